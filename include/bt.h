/* What translated code runs on: the state around a virtual CPU that emitted code, world.S, the run loop and the native
 * layer share, and everything a translation depends on.
 *
 * Invariants of emitted code (every function that emits relies on them, at block entries and exits):
 *   - Guest EAX ECX EDX EBX EBP ESI EDI are in the host registers of the same number, upper halves
 *     zero. Guest ESP is R13 + delta, delta known at translation time and 0 at entries and exits.
 *   - The guest's arithmetic flags and DF are the host's. IF is bt->vif, the rest bt->sysflags.
 *   - x87, MMX and SSE state is the host's if bt->fpu_on. With MODE_FPU_OFF an FPU instruction leaves with
 *     EXIT_FPU, and the run loop puts the state into the host and changes the mode. Saving and restoring
 *     costs more than all the rest of a short visit to the kernel.
 *   - R15 = struct bt, R14 = base of the window (also GS base). R8-R11 are scratch.
 *   - R12 = jump table in code that never meets position-independent code (struct tr's meets_pic); in
 *     position-independent code, the linear address of the page that it is in.
 *   - Where a block is entered through the jump table R8 = EIP.
 *   - RSP is the private return-address stack. Nothing on it but addresses of return sites, each of those of
 *     position-independent code with the caller's R12 above it, or, below the last of these, transient values within
 *     one instruction.
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
#define MODE_SHARED      0x80000000u /* of a block: see struct tblock */
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
    uint64_t same_raw, same_seg; /* what CS has then: selector, rights, base */
};
/* What all entries depend on besides the raw descriptors. */
struct gate_basis {
    struct dtable gdtr, idtr;
    uint32_t ldt_base, ldt_limit, tss_base, tss_limit;
    uint16_t ldt_access, tss_access;
    uint32_t cr0, cr4;
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
#define MODE_SLOTS      32
#define MODE_SLOT_HASH  0x9e3779b1u /* the first; odd, as all */
#define MODE_SLOT_SHIFT 27

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
#define SITE_EXACT 0x20000u  /* should the page not be there, a page fault is what the instruction raises */
#define SITE_COUNT 0x40000u  /* ECX says how many elements there are: none, and nothing is touched */
#define SITE_CALLS 0x80000u  /* bt->touch answers for a device or an unmapped page: no use in interpreting on */
#define SITE_BULK  0x100000u /* the interpreter does as many of them at a time as are in a page */
#define SITE_DIV   0x200000u /* not a page: the division cannot be done */

/* Argument of bt->touch: number of the site, size, TOUCH_*. */
#define TOUCH_SIZE_SHIFT 10 /* bytes: 1, 2, 4 */
#define TOUCH_WRITE      0x02000u
#define TOUCH_CHANGE     0x04000u /* a read, with what is changed to be written by another call: */
#define TOUCH_AGAIN      0x08000u /* this one, which cannot fail */
#define TOUCH_USER       0x10000u
#define TOUCH_PORT       0x20000u /* the address is that of a port, there is no site */
#define TOUCH_INVLPG     0x40000u /* the page is to be looked up anew */
#define TOUCH_NEAR       0x80000u /* is the page's frame the one of that number? See tr_near. */
/* How far behind the address where translated code goes on after a failure that after success is: a jmp rel32. */
#define TOUCH_DONE 5

/* The private return stack of a class of code: supervisor, user. */
struct ras {
    uint8_t *base, *rsp; /* rsp is right while the other class runs */
    uint32_t mode, cs_base, cs_limit;
};

/* What the run loop remembers from one turn to the next; nobody else's (src/engine/bt_loop.c). */
struct bt_loop {
    bool mode_ok;              /* the present mode can be translated for; else the interpreter has it */
    bool natural;              /* EIP is where guest code itself goes on (see tr_lookup) */
    bool direct_wanted;        /* see bt_want_direct */
    bool direct_always;        /* its argument */
    unsigned visits;           /* of bt_run: now and then one has more to do */
    struct {                   /* who wants the FPU state in the host: see fpu_wanted */
        bool user;             /* user code has used it in this address space */
        unsigned kernel_exits; /* for so many more the kernel keeps it */
        unsigned kernel_heat;  /* of its FPU instructions in the interpreter */
    } fpu;
    struct {            /* when and for which space the private return stacks were found true */
        unsigned space; /* of the user stack */
        uint32_t tcache_epoch, code_epoch;
    } ras_seen;
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
    uint64_t jump_eip;        /* of the jump under way through a table */
    uint32_t bias;            /* R12 of a jump that has no way yet */
    uint8_t *ras_rsp, *ras_base;
    void (*exit_fn)(void); /* world_exit: out of rel32 reach of the code cache */
    void *host_rsp;
    uint32_t host_mxcsr;
    uint32_t fpu_on; /* world_enter and world_exit load and save the FPU */
    /* What the host knows of the last x87 instruction: FNSTENV's image at world_exit, and an address in the code cache
     * that is known to be of that instruction, should the image say nothing. See src/engine/x87.h. */
    uint32_t x87_env[7], x87_at;
    uint32_t x87_bias;    /* R12 at the last x87 instruction of position-independent code */
    uint32_t x87_ran;     /* not 0: an x87 instruction was executed since world_enter, the image is of now */
    uint64_t x87_operand; /* the first 8 bytes of its segment register (selector, base), as the last x87 instruction
                             with an operand in memory found it; all ones: there was none */
    uint32_t mxcsr_new;   /* LDMXCSR's operand */
    uint16_t left_cs, unused[3]; /* before the last change of CPL by INT n, IRET, SYSENTER, SYSEXIT */
    uint8_t *view[2];            /* windows of the present space: supervisor, user */
    uint8_t *gs_base;            /* what the host's GS base is */
    struct ras ras[2];
    uint32_t leave_out;  /* LEAVE_*: reasons to leave instead of returning to user code */
    uint32_t user_exits; /* entries to the supervisor by instructions and page faults */
    uint32_t user_tsd;   /* MODE_TSD if RDTSC is privileged at CPL 3 */
    uint32_t site_gla;   /* EXIT_SITE: what was not mapped */
    struct mode_slot slot[MODE_SLOTS];
    uint32_t slot_hash; /* a slot's number: the highest bits of the mode's product with it */
    struct cs_slot cs_slot[CS_SLOTS];
    struct gate_desc gate_desc[GATES_DESC]; /* by selector >> 3 */
    struct gate_in gate_in[GATES_IN];       /* by vector */
    struct gate_out gate_out;
    void (*call_fn)(void); /* world_call */
    /* Where translated code goes on that has no way there yet: a host address. reason EXIT_LOOKUP: at EIP; EXIT_CHAIN:
     * at the target of exit arg. */
    uint32_t (*find)(struct bt *bt, uint32_t arg, uint32_t reason);
    /* Accesses a device, or RAM, for translated code, which goes on at touch_back: TOUCH_DONE further if that was done.
     */
    uint32_t (*touch)(struct bt *bt, gla_t gla, uint32_t what, uint32_t value);
    uint64_t touch_back;
    gpa_t touch_gpa; /* of TOUCH_CHANGE, if touch_host is NULL */
    uint8_t *touch_host;
    /* --- monitor only --- */
    uint32_t mode, cs_base, cs_limit;
    struct jtable *table;    /* whose base jtable is */
    uint32_t recovered;      /* how often translated code was left by a signal */
    uint32_t isa;            /* GISA_* */
    uint32_t mem_generation; /* of the memory map this was last brought in line with */
    bool single;             /* lockstep: blocks are entered one by one, nothing is chained */
    bool cs_slots_used;
    bool inline_gates;          /* translated code may change GS base itself */
    bool gs_matters;            /* the supervisor accesses memory through GS */
    bool gs_seen;               /* such an instruction has been translated: takes effect with the next change of mode */
    uint32_t user_fpu, user_gs; /* MODE_FPU_OFF and the shape of GS as user code in the present state has them */
    volatile bool sites_due;    /* tr_sites_take has something to do; set by the handler of host signals */
    struct gate_basis gate_basis; /* of gate_desc, gate_in and gate_out */
    struct bt_loop loop;
};
