/* What the run loop and the native layer know of the translator.
 *
 * Invariants of emitted code (every function that emits relies on them, at block entries and exits):
 *   - Guest EAX ECX EDX EBX EBP ESI EDI are in the host registers of the same number, upper halves
 *     zero. Guest ESP is R13 + delta, delta known at translation time and 0 at entries and exits.
 *   - The guest's arithmetic flags and DF are the host's. IF is bt->vif, the rest bt->sysflags.
 *   - x87, MMX and SSE state is the host's if bt->fpu_on. With MODE_FPU_OFF an FPU instruction leaves with
 *     EXIT_FPU, and the run loop puts the state into the host and changes the mode. Saving and restoring
 *     costs more than all the rest of a short visit to the kernel.
 *   - R15 = struct bt, R14 = base of the window (also GS base), R12 = jump table. R8-R11 are scratch.
 *   - RSP is the private return-address stack. Nothing on it but addresses of return sites, or, below
 *     the last of these, transient values within one instruction.
 *   - A faulting access changes nothing the guest can see beyond what its row describes.
 */
#pragma once

#include <glib.h>
#include <signal.h>
#include <ucontext.h>

#include "cpu.h"
#include "types.h"

/* Everything a translation depends on besides the bytes it was made from. */
#define MODE_CODE32      0x00000001u
#define MODE_STACK32     0x00000002u
#define MODE_CPL         0x0000000cu /* two bits */
#define MODE_CPL_SHIFT   2
#define MODE_PAGING      0x00000010u
#define MODE_PROT        0x00000020u /* protected mode and not V86 */
#define MODE_NOFPU       0x00000040u /* CR0.EM or TS, or FERR#: x87/MMX/SSE are left to the interpreter */
#define MODE_NOSSE       0x00000080u /* CR4.OSFXSR clear */
#define MODE_TSD         0x00000100u /* RDTSC is privileged and CPL > 0 */
#define MODE_IOPL_OK     0x00000200u /* CPL <= IOPL: CLI, STI, POPF change IF */
#define MODE_FPU_OFF     0x00000400u /* FPU instructions leave with EXIT_FPU: see bt->fpu_on, MODE_USERS */
#define MODE_CS_READ     0x00000800u /* data may be read through CS */
#define MODE_SHAPE_SHIFT 12          /* MODE_SHAPE_BITS each for ES CS SS DS FS GS */
#define MODE_SHAPE_BITS  3
static inline unsigned mode_shape(uint32_t mode, unsigned seg)
{
    return mode >> (MODE_SHAPE_SHIFT + MODE_SHAPE_BITS * seg) & ((1u << MODE_SHAPE_BITS) - 1);
}

#define LEAVE_DIRECT 1u /* user code of the present space runs in a cell */
#define LEAVE_PREMAP 2u /* a page fault of user code is being handled: its page is mapped at once on the way back */

/* What a change of privilege level leaves as it was. */
#define MODE_SHAPE_OF(seg) (((1u << MODE_SHAPE_BITS) - 1) << (MODE_SHAPE_SHIFT + MODE_SHAPE_BITS * (seg)))
#define MODE_INHERITED \
    (MODE_PAGING | MODE_PROT | MODE_NOFPU | MODE_NOSSE | MODE_FPU_OFF | MODE_SHAPE_OF(SEG_ES) | \
     MODE_SHAPE_OF(SEG_DS) | MODE_SHAPE_OF(SEG_FS) | MODE_SHAPE_OF(SEG_GS))

/* What the supervisor runs alike with, that it need not be translated once for each state that user code may leave
 * behind: it has MODE_FPU_OFF unless it uses the FPU itself, and GS counts as slow for it until it has been seen to use
 * GS (bt->gs_matters). On the way to user code these bits come from bt->user_fpu and user_gs. Not in lockstep. */
#define MODE_USERS   (MODE_FPU_OFF | MODE_SHAPE_OF(SEG_GS))
#define MODE_GS_SLOW ((uint32_t)SHAPE_SLOW << (MODE_SHAPE_SHIFT + MODE_SHAPE_BITS * SEG_GS))

/* Segment shapes. CS has one for data read through it; for branches its limit is in the key of each translation
 * (bt->cs_limit), so that direct ones are checked when they are translated. */
enum seg_shape {
    SHAPE_FLAT,    /* writable data (CS: code), base 0, limit 4 GiB */
    SHAPE_BASED,   /* the same with any base */
    SHAPE_CHECKED, /* writable expand-up data of any limit: every access is checked */
    SHAPE_SLOW,    /* anything else: accesses are left to the interpreter */
    SHAPE_64K,     /* as CHECKED, limit FFFFh: a 16-bit offset can only be wrong at its very end */
};

struct jtable;
struct tentry;
const void *jtable_get(const struct jtable *table, uint32_t eip);      /* NULL if unknown */
bool jtable_contains(const struct jtable *table, const void *address); /* async-signal-safe */

/* What translated code remembers of descriptors and gates, so that segment loads, INT n and IRET need not leave it
 * (tr_gate.c). An entry holds while memory still has the raw descriptors it was made from, which is compared each
 * time, and while the tables are where they were and CR0 and CR4 as they were, which gates_check sees to
 * (src/engine/gates.c, the only one who fills entries). */
#define GATES_NONE UINT32_MAX /* as tag: nothing here */
struct gate_desc {            /* for a data segment register at CPL 0 */
    uint64_t raw;
    uint32_t gla; /* of the descriptor; of the table's first one for null selectors */
    uint32_t tag; /* selector */
    struct seg seg;
    uint32_t shape;
};
struct gate_in { /* INT n at CPL 3 through a 32-bit gate to CPL 0, flat code and stack */
    uint64_t idt_raw, cs_raw, ss_raw;
    uint32_t idt_gla, cs_gla, ss_gla;
    uint32_t tss_gla; /* of ESP0, SS0 */
    uint32_t tag;     /* vector */
    uint32_t ss_sel, eip;
    uint32_t vif_mask;  /* what remains of IF */
    uint32_t mode_bits; /* of the new mode, but for MODE_INHERITED */
    struct seg cs, ss;
};
struct gate_out { /* IRET at CPL 0 to flat code and stack at CPL 3 */
    uint64_t cs_raw, ss_raw;
    uint32_t cs_gla, ss_gla;
    uint32_t tag; /* CS selector */
    uint32_t ss_sel, mode_bits;
    struct seg cs, ss;
    uint32_t same_tag, same_gla; /* the same for CS alone where CPL stays 0 */
    uint64_t same_raw;
};
/* exit_arg of EXIT_GATE: kind, and vector or segment register. */
#define GATE_SEG   0x100u
#define GATE_INT   0x200u
#define GATE_IRET  0x300u
#define GATE_KIND  0xf00u
#define GATES_DESC 32
#define GATES_IN   16
/* Modes with a jump table of their own, by hash. Emptied when tables change owners or the address space changes. */
struct mode_slot {
    uint32_t mode; /* GATES_NONE: free */
    uint32_t unused;
    uint32_t *jtable;
    struct jtable *table;
    uint64_t unused2;
};
#define MODE_SLOTS     32
#define MODE_SLOT_HASH 0x9e3779b1u
static inline unsigned mode_slot_number(uint32_t mode)
{
    return mode * MODE_SLOT_HASH >> 27;
}

/* The same for CS in real mode and V86 with a limit of FFFFh, by the low byte of the selector; negative so that they
 * are compared without flags. */
struct cs_slot {
    uint32_t minus_base, minus_mode; /* mode 0: free */
    uint32_t *jtable;
    struct jtable *table;
    uint64_t unused;
};
#define CS_SLOTS 256

/* The windows' lists, which the native layer keeps: below each window two arrays of a byte for each of its pages, not 0
 * if it is mapped, and if it is mapped for writing. 0 only means that one has to ask. Page n's are at
 * base - WINDOW_READABLE + n and base - WINDOW_WRITABLE + n. Far enough below: BT and its like reach 256 MiB beyond
 * either end of a window, and nothing may be there. */
#define WINDOW_LIST     0x100000 /* bytes of one */
#define WINDOW_READABLE 0x40100000
#define WINDOW_WRITABLE 0x40200000

/* Sites: instructions whose memory operand faults so often that they look whether it is mapped before they touch it
 * (tr_site.c). exit_arg of EXIT_SITE: number of the site, and SITE_*. */
#define SITES      1024
#define SITE_WRITE 0x10000u
#define SITE_COUNT 0x40000u /* ECX says how many elements there are: none, and nothing is touched */
#define SITE_EXACT 0x20000u /* should the page not be there, a page fault is what the instruction raises */

/* The private return stack of a class of code: supervisor, user. */
struct ras {
    uint8_t *base, *rsp; /* rsp is right while the other class runs */
    uint32_t mode, cs_base, cs_limit;
};

#define BT_RAS_SIZE  (64 * 1024)
#define BT_RAS_GUARD 4096
#define BT_RAS_SLOTS 512 /* return slots above the base, all pointing to ret_slow */

/* The translator's view of a virtual CPU; R15 in translated code. Offsets of the first fields are
 * known to world.S (checked there by bt_layout.h). */
struct bt {
    struct cpu cpu;
    /* --- read and written by emitted code and world.S --- */
    uint32_t host_flags;      /* arithmetic flags and DF for entry and exit, with bits 1 and 9 set */
    uint32_t vif;             /* FL_IF or 0 */
    uint32_t sysflags;        /* EFLAGS without arithmetic flags, DF and IF */
    volatile int kick;        /* someone wants the run loop: checked on entry, set by vcpu_kick */
    volatile int irq_pending; /* the PIC's INT output: checked where IF becomes 1 */
    uint32_t exit_arg;        /* r8d at exit */
    uint8_t *window;          /* base of the current window */
    uint32_t *jtable;         /* base of the current jump table */
    uint8_t *ras_rsp, *ras_base;
    void (*exit_fn)(void); /* world_exit: out of rel32 reach of the code cache */
    void *host_rsp;
    uint32_t host_mxcsr;
    uint32_t fpu_on; /* world_enter and world_exit load and save the FPU */
    /* What the host knows of the last x87 instruction: FNSTENV's image at world_exit, and an address in the code cache
     * that is known to be of that instruction, should the image say nothing. See src/engine/x87.h. */
    uint32_t x87_env[7], x87_at;
    uint32_t mxcsr_new;                         /* LDMXCSR's operand */
    uint16_t left_cs, left_ss, left_ds, unused; /* before the last change of CPL by INT n, IRET, SYSENTER, SYSEXIT */
    uint8_t *view[2];                           /* windows of the present space: supervisor, user */
    uint8_t *gs_base;                           /* what the host's GS base is */
    struct ras ras[2];
    uint32_t leave_out;  /* LEAVE_*: reasons to leave instead of returning to user code */
    uint32_t user_exits; /* entries to the supervisor by instructions and page faults */
    uint32_t user_tsd;   /* MODE_TSD if RDTSC is privileged at CPL 3 */
    uint32_t site_gla;   /* EXIT_SITE: what was not mapped */
    uint32_t site_credit[SITES];
    struct mode_slot slot[MODE_SLOTS];
    struct cs_slot cs_slot[CS_SLOTS];
    struct gate_desc gate_desc[GATES_DESC]; /* by selector >> 3 */
    struct gate_in gate_in[GATES_IN];       /* by vector */
    struct gate_out gate_out;
    /* --- monitor only --- */
    uint32_t mode, cs_base, cs_limit;
    struct jtable *table;    /* whose base jtable is */
    uint32_t isa;            /* GISA_* */
    uint32_t mem_generation; /* of the memory map this was last brought in line with */
    bool single;             /* lockstep: blocks are entered one by one, nothing is chained */
    bool cs_slots_used;
    bool inline_gates;          /* translated code may change GS base itself */
    bool gs_matters;            /* the supervisor accesses memory through GS */
    bool gs_seen;               /* such an instruction has been translated: takes effect with the next change of mode */
    uint32_t user_fpu, user_gs; /* MODE_FPU_OFF and the shape of GS as user code in the present state has them */
};

/* --- translate.c --- */
/* MODE_* of the CPU as it stands; false in *ok when translated code cannot run in it at all. */
uint32_t bt_mode(const struct bt *bt, bool *ok);
enum seg_shape bt_seg_shape(const struct cpu *cpu, unsigned seg);
/* Whether GS counts as slow in the mode: see MODE_USERS. */
static inline bool bt_hides_gs(const struct bt *bt, uint32_t mode)
{
    return (mode & MODE_PROT) && !(mode & MODE_CPL) && !bt->gs_matters && !bt->single;
}
void bt_split_flags(struct bt *bt); /* cpu.eflags -> host_flags, vif, sysflags */
void bt_merge_flags(struct bt *bt); /* and back */

/* Resolves a code page for translation: the physical page that linear page gla executes from now, or
 * false (not present, not executable, not RAM). *global: the mapping is the same in all address
 * spaces until it is flushed. Provided by the native layer. */
typedef bool code_page_fn(struct bt *bt, gla_t gla, gpa_t *gpa, bool *global);

void tr_set_code_page(code_page_fn *fn);
/* Called when a page gets its first translation: takes write access to it out of all windows. */
typedef void tr_protect_fn(gpa_t page);
void tr_set_protect(tr_protect_fn *fn);

/* Finds or makes the translation of cs_base:eip in the present mode. NULL: the instruction there is
 * for the interpreter (it does not fetch, or its page is not RAM).
 * natural: guest code jumps or falls to it, as opposed to a place where an interrupt or fault happened
 * to come back. Other blocks end where they meet a natural entry, and only there: else each timer tick
 * in a loop would cut the loop in two for good. */
struct tentry *tr_lookup(struct bt *bt, uint32_t eip, bool natural);
const void *tentry_host(const struct tentry *entry);
/* Number of guest instructions of the block behind entry, and the EIP of number i (lockstep). */
unsigned tentry_insn_count(const struct tentry *entry);
uint32_t tentry_insn_eip(const struct tentry *entry, unsigned i);
/* The number of the instruction that the block itself goes to when instruction i has led to eip; -1: it is
 * left. Only in blocks made for lockstep. */
int tentry_insn_next(const struct tentry *entry, unsigned i, uint32_t eip);
/* How many guest instructions, one after the other, instruction i of the block stands for. */
unsigned tentry_insn_steps(const struct tentry *entry, unsigned i);
/* Is the code that the block was made from still what memory holds? Only in blocks made for lockstep. */
bool tentry_is_current(const struct tentry *entry);
bool tentry_crosses(const struct tentry *entry); /* it has bytes in a second page */

/* The jump table's entry for eip, NULL if none; and making entry the one for its EIP. */
static inline const void *tr_published(const struct bt *bt, uint32_t eip)
{
    return jtable_get(bt->table, eip);
}
void tr_publish(struct bt *bt, const struct tentry *entry);
/* A hint: entering at host would only come back with EXIT_INTERP. Such entries are at odd addresses. */
static inline bool tr_leads_to_interp(const void *host)
{
    return (uintptr_t)host & 1;
}
/* Is instruction i of the block a string instruction (which lockstep steps to its end)? */
bool tr_is_string(const struct tentry *entry, unsigned i);
/* May the page of code run directly on the CPU (scan.c)? entry: an offset at which an instruction begins, PAGE_SIZE if
 * none is known. */
bool tr_page_is_direct(const uint8_t *page, unsigned entry, uint32_t isa);
/* Pages whose code and data lie so close that protecting them costs more than it saves. Blocks from such a page compare
 * their own source bytes on entry, and the page stays writable. */
bool tcache_page_is_mixed(gpa_t gpa);
void tr_print_block(const struct tentry *entry); /* guest and host code, to the log */
const void *tr_ret_slow(void);
void tr_code_written(void *opaque, gpa_t gpa, uint32_t len); /* guest_mem.code_written */

/* After EXIT_CHAIN with exit id arg: the EIP it wants. */
uint32_t tr_exit_target(uint32_t arg);
/* Makes exit arg jump to entry directly, if that is valid for good. */
void tr_chain(struct bt *bt, uint32_t arg, struct tentry *entry);

/* Where a host address in the code cache lies. TR_BOUNDARY: between two guest instructions (or
 * iterations of a string instruction), an interrupt may be taken there. TR_POPF: the host's next
 * instruction is a POPFQ. Async-signal-safe. */
enum tr_where { TR_INSIDE, TR_POPF, TR_BOUNDARY };
enum tr_where tr_where(const void *pc);
/* Exact guest state (GPRs, EIP, arithmetic flags into *bt) at the start of the guest instruction that
 * the host context is in; what the instruction had pushed for itself is off the context's stack. False: it is in no
 * block. Only to leave translated code for good: what it overwrites (EIP) may have been stored by the block itself on
 * its way out. Async-signal-safe. */
bool tr_recover(struct bt *bt, ucontext_t *uc);
/* The part of it that needs no row: GPRs and arithmetic flags, guest ESP = R13 + delta. */
void tr_take_registers(struct bt *bt, const ucontext_t *uc, int32_t delta);
bool tr_in_code(const void *pc); /* pc lies in the code cache */

/* The x87 instruction that the host address is in, one that leaves its address behind (FIP). */
struct x87_place {
    uint32_t eip, cs_base, mode;
    uint16_t fop;
    bool has_operand;    /* in memory */
    uint8_t operand_seg; /* of that operand, else of the last one before in the block; DS if there is none */
};
bool tr_x87_find(uint32_t host, struct x87_place *place);

/* --- tr_site.c --- */
/* The instruction at host address pc touched a page that was not mapped (for this). Async-signal-safe. */
void tr_site_fault(const void *pc);
/* Retranslates instructions that tr_site_fault found to be worth it. Not while translated code runs. */
extern volatile bool tr_sites_due;
void tr_sites_take(struct bt *bt);
/* After EXIT_SITE: false if it came because the site seldom misses by now, and looks no more. */
bool tr_site_missed(struct bt *bt);
/* Then: is it better to interpret the access than to map the page? page: a number for it and its address space; epoch:
 * another one after each change of address spaces. */
bool tr_site_interprets(const struct bt *bt, uint64_t page, uint32_t epoch);
void tr_site_touched(const struct bt *bt, uint64_t page, uint32_t epoch); /* that was done */
/* The page is mapped now, whatever for. Async-signal-safe. */
void tr_site_mapped(uint64_t page, uint32_t epoch);

/* --- tcache.c --- */
#define TCACHE_MIN     (1 * MiB)
#define TCACHE_MAX     (1 * GiB)
#define TCACHE_DEFAULT (64 * MiB)
bool tcache_init(size_t size, GError **error);   /* bytes of host code, a multiple of 4 KiB */
void tcache_flush(void);                         /* drops everything */
void tcache_forget(void);                        /* and gives its memory back */
void tcache_invalidate(gpa_t gpa, uint32_t len); /* drops translations of these bytes */
/* A store to a page with translations: drops all of the page, and learns from it. */
void tcache_written(gpa_t gpa, uint32_t len);
/* Drops what was translated from linear page gla of physical page gpa (its mapping changed). */
void tcache_drop_linear(gpa_t gpa, gla_t gla);
uint64_t tcache_used(void);
uint32_t tcache_flushes(void);
/* To be called now and then with a clock in milliseconds: pages that were mixed for a while get another chance. */
void tcache_cool(uint64_t ms);
unsigned tcache_mixed_pages(void); /* how many pages became "mixed" so far */
uint32_t tcache_epoch(void);       /* grows with every flush or invalidation: private stacks are stale */

/* --- jump tables, jtable.c --- */
/* A table of 32-bit host addresses indexed by EIP; 0 = unknown. 16 GiB of address space each. */
struct jtable *jtable_new(void); /* NULL: no address space */
uint32_t *jtable_base(struct jtable *table);
void jtable_set(struct jtable *table, uint32_t eip, const struct tentry *entry);
/* Translated code has read the entry of eip. Async-signal-safe. */
void jtable_touched(struct jtable *table, uint32_t eip);
/* The tables together have reached their budget of memory: time for jtable_release_all, which forgets all entries. */
bool jtable_crowded(void);
void jtable_release_all(void);
/* Forgets the entries of linear page gla, and those of pages that depend on it. */
void jtable_drop_page(struct jtable *table, gla_t gla);
/* From now on entries of linear page gla go when linear page `on` goes: some translation of it holds only
 * while that page is mapped where it was. */
void jtable_depends(gla_t gla, gla_t on);
bool jtable_depends_crowded(void); /* time for a tcache_flush, which forgets them */
void jtable_clear(struct jtable *table);
void jtable_clear_all(void); /* all entries of all tables, and all dependences */
/* Forgets one entry point in every table. */
void jtable_forget(uint32_t eip, const void *host);
