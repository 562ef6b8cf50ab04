/* The translation in progress: what translate.c and the tr_*.c files share. Private to translator/. */
#pragma once

#include "block.h"
#include "emit.h"
#include "ginsn.h"
#include "tcache.h"
#include "bt.h"

/* Budgets of a block. The guest decides how much of each an instruction takes, so before each one tr_emit looks whether
 * the worst there is and its settling still fit; where they do not, the block ends. */
#define TR_MAX_INSNS   96
#define TR_MAX_ROWS    1536
#define TR_MAX_PENDS   768
#define TR_BLOCK_BYTES (48 * KiB) /* rows hold host offsets of 16 bits */

/* The worst instruction (IRET takes 12 pends, a CMPS between limited segments most rows), with some room, and settling
 * one pend. tr_emit and tr_translate check that this is so. */
#define TR_INSN_ROWS    24
#define TR_INSN_PENDS   16
#define TR_INSN_BYTES   1024
#define TR_SETTLE_ROWS  4
#define TR_SETTLE_BYTES 96
#define TR_ENTRY_BYTES  16 /* of a return site or label */

enum pend_kind {
    PEND_EXIT,     /* to guest EIP `target`, with delta 0 */
    PEND_INTERNAL, /* to instruction number `target` of this block */
    PEND_MISS,     /* a return site that is not the one: through the table to R8 */
    PEND_STALE,    /* the entry check failed */
    PEND_MODE,     /* a segment register has another shape, R9, from here on: see tr_gate.c */
    PEND_NEAR,     /* the second page is not known to be the one that the block was made from */
    PEND_SLOW,     /* leave before the present instruction: the interpreter executes it */
};

/* A jump emitted whose destination is settled at the end of the block. */
struct pend {
    uint8_t *rel32;
    uint32_t target;
    uint8_t kind;
    bool pop_flags; /* PEND_SLOW, PEND_MODE: the guest's flags were pushed */
    uint8_t shift;  /* PEND_MODE: of the shape in the mode */
    uint16_t gate;  /* PEND_SLOW: argument of EXIT_GATE, 0: EXIT_INTERP */
    uint32_t site;  /* PEND_SLOW: argument of EXIT_SITE + 1, 0: no site */
    uint8_t touch;  /* of a site: enum touch */
    uint8_t insn;   /* the same: its number */
    uint8_t *back;  /* the same: RX address behind the instruction */
    int16_t delta;  /* PEND_SLOW, PEND_MODE, PEND_NEAR */
    uint32_t eip;   /* PEND_SLOW, PEND_NEAR */
    uint32_t x87;   /* PEND_EXIT: see tr_x87_before */
};

/* How a site accesses a device without leaving translated code. */
enum touch {
    TOUCH_NOT,
    TOUCH_LOADS,
    TOUCH_STORES,
    TOUCH_CHANGES,
};

/* Where execution goes on after an instruction that is not left by its jump. */
enum after {
    AFTER_NEXT, /* the next one of the block */
    AFTER_EXIT, /* what follows it in memory, which is not in the block */
    AFTER_NONE, /* nowhere: it always jumps */
};

struct tr {
    struct emit e;
    struct bt *bt;
    uint32_t mode, cs_base, cs_limit, eip;
    gpa_t phys, phys2;
    gla_t gla2;          /* linear page of phys2 */
    const uint8_t *page; /* host pointer to the source page */
    bool global;         /* the page is mapped alike everywhere */
    bool code32, fast_stack, stack32, use_table, single;
    bool pic;          /* the code is position-independent: R12 is its page's linear address, which was bias */
    bool meets_pic;    /* it is, or may call some that is or be called by it: R12 is not the jump table */
    bool shared;       /* and so are its entries and exits: the same block wherever the page is mapped */
    uint32_t bias;     /* subtracted from EIPs in the code, if it is */
    uint32_t key_bias; /* the same for those of entries and exits */
    uint32_t key_mode; /* theirs */
    bool mixed;        /* see tcache_page_is_mixed */
    bool regions;      /* blocks go on behind an unconditional end, see tr_decode.c */
    uint8_t shape[6];
    unsigned cpl;

    struct ginsn g[TR_MAX_INSNS];
    unsigned count;
    /* The lowest number of an instruction that begins at this offset of the page, marked with the block: see
     * tr_insn_at. */
    uint16_t number[PAGE_SIZE];
    uint16_t mark;
    bool join[TR_MAX_INSNS];         /* jumped to from inside the block */
    bool loop[TR_MAX_INSNS];         /* and from behind: the head of a loop */
    uint8_t *label[TR_MAX_INSNS];    /* RX address of join points */
    uint32_t live_in[TR_MAX_INSNS];  /* arithmetic flags read later, before instruction i */
    uint32_t live_out[TR_MAX_INSNS]; /* the same behind it, where it falls through */
    uint8_t after[TR_MAX_INSNS];     /* enum after */
    /* Offsets in the source page and in phys2: what the block is depends on bytes between them. In a mixed page those
     * are the ones that the entry check compares. */
    struct {
        uint32_t from, to;
    } seen[2];
    bool interp_first; /* instruction 0 turned out to be the interpreter's */

    unsigned i;     /* instruction being emitted */
    unsigned site;  /* its number among the sites + 1; 0: it is none */
    int delta;      /* guest ESP - R13 */
    int insn_delta; /* the same at the start of instruction i */
    uint8_t *start_rw;
    const uint8_t *start; /* RX address of instruction 0 */
    struct trow row[TR_MAX_ROWS];
    unsigned row_count;
    struct pend pend[TR_MAX_PENDS];
    unsigned pend_count;
    unsigned settle_count;                 /* of these, those with code of their own at the block's end */
    uint8_t *stale;                        /* RX address of what all PEND_STALE share */
    struct tentry entry[2 * TR_MAX_INSNS]; /* return sites, labels */
    unsigned entry_count;
};

/* Host register of a guest general register. */
static inline uint8_t host_gpr(uint8_t gpr)
{
    return gpr == ESP ? R13 : gpr;
}
static inline struct hmem cpu_field(size_t offset)
{
    return hmem_base(R15, (int32_t)offset);
}
/* A field of segment register n. */
#define TR_SEG_FIELD(n, field) \
    cpu_field(offsetof(struct cpu, seg) + (n) * sizeof(struct seg) + offsetof(struct seg, field))
static inline struct hmem tr_seg_base(unsigned seg)
{
    return TR_SEG_FIELD(seg, base);
}
#define BT_FIELD(field) cpu_field(offsetof(struct bt, field))

/* What the translator's files share; defined in translate.c. */
extern struct tr_state {
    code_page_fn *code_page; /* see tr_set_code_page */
    tr_protect_fn *protect;  /* see tr_set_protect */
    GHashTable *undecided;   /* see tr_decode.c */
    struct tr block;         /* being translated: there is one vCPU thread */
} tr_state;

/* Fills t->g and what belongs to it. False: not even one instruction. */
bool tr_decode(struct tr *t);
/* What is found at eip may make code worth translating anew. */
void tr_decide(const struct bt *bt, uint32_t eip, gpa_t phys);
/* Joins, loops and live flags of what tr_decode found. */
void tr_analyse(struct tr *t);
/* Number of the instruction at eip in the block, -1 if it is not there. */
int tr_insn_at(const struct tr *t, uint32_t eip);
/* Where execution goes on behind g if it does not jump (but for a G_FOLLOWED). */
uint32_t tr_next_eip(const struct ginsn *g);
bool tr_same_page(const struct tr *t, uint32_t eip);
static inline bool tr_is_branch(const struct ginsn *g) /* a direct jump, conditional or not */
{
    return 1ull << g->gclass & (1ull << G_JCC | 1ull << G_JMP | 1ull << G_JCXZ | 1ull << G_LOOP);
}

void tr_row(struct tr *t, enum row_kind kind, uint8_t arg);
/* dst = eip, one near the block's own; and memory. No flags; the second uses R9. */
void tr_eip(struct tr *t, uint8_t dst, uint32_t eip);
void tr_store_eip(struct tr *t, const struct hmem *to, uint32_t eip);
/* Leaves with cpu.eip = eip. */
void tr_exit(struct tr *t, uint32_t eip, enum tramp tramp);
/* jmp to a trampoline. */
void tr_jmp_out(struct tr *t, enum tramp tramp);
/* R9 = the host address that the jump table has for the EIP in R8; for eip, which R8 is then, too. Uses R10, R11. Then
 No flags. */
void tr_load_slot(struct tr *t);
void tr_load_slot_of(struct tr *t, uint32_t eip);
/* POPFQ inside an instruction's translation, known to the kick handler. */
void tr_popfq(struct tr *t);
/* Makes R13 the guest's ESP. Changes no flags. Only where no part of the instruction has taken
 * effect, or at its very end. */
void tr_flush_delta(struct tr *t);
void tr_pend(struct tr *t, enum pend_kind kind, uint8_t *rel32, uint32_t target);
void tr_pend_slow(struct tr *t, uint8_t *rel32, bool pop_flags);
bool tr_may_chain(const struct tr *t, uint32_t target);
/* X87_* of an instruction, see tcache.h. */
uint16_t tr_x87_of(const struct ginsn *g);
/* Where the host's code of the x87 instruction is that is the last one before instruction `end` whatever way led there;
 * 0: none is. And telling the monitor so: wherever FIP is stored, or control leaves the block by a jump that may end in
 * a signal, with which the host forgets its own (src/engine/x87.h). */
uint32_t tr_x87_before(const struct tr *t, unsigned end);
void tr_note_x87(struct tr *t, uint32_t at);
/* Emits "leave: the interpreter executes this instruction". */
void tr_interp(struct tr *t);

/* Memory operand of the present instruction (or of explicit parts). Emits what is needed to form and
 * check it, in R8, R9, R11. size: bytes accessed. False: leave it to the interpreter. */
bool tr_mem(struct tr *t, const struct ginsn *g, unsigned size, bool write, bool no_rex, struct hmem *m);
/* R8 = offset in seg, of adsize bits: limit check as the segment's shape asks; *m = operand. R10 survives. */
bool tr_mem_r8(struct tr *t, uint8_t seg, unsigned adsize, unsigned size, struct hmem *m);

/* Leaves to the interpreter if the offset in R8 is above last. */
void tr_check_offset(struct tr *t, uint32_t last);

/* Leaves to the interpreter unless the upper half of r is zero. No flags; uses R9, R11. */
void tr_check_16(struct tr *t, uint8_t r);

/* R8 is a 16-bit offset: leaves to the interpreter if an access of size bytes there goes beyond FFFFh. Uses R9. */
void tr_probe_64k(struct tr *t, unsigned size);

/* Stack accesses of 2 or 4 bytes. push: src = host register, or HREG_NONE for imm. R10 survives. */
bool tr_push(struct tr *t, unsigned size, uint8_t src, uint32_t imm);
bool tr_push_eip(struct tr *t, unsigned size, uint32_t eip); /* one near the block's own */
bool tr_pop(struct tr *t, unsigned size, uint8_t dst);       /* zero-extended into dst; adjusts ESP */

/* Number + 1 of the site that the instruction at eip is, 0 if it is none. */
unsigned tr_site_of(const struct tr *t, uint32_t eip);
/* If instruction g is a site: looks whether its operand *m of tr_mem may be accessed, leaving if not. Uses R8, R9, R11;
 * *m is another operand afterwards. Changes no flags. */
void tr_site_look(struct tr *t, const struct ginsn *g, unsigned size, bool write, struct hmem *m);
/* The same for a DIV or IDIV that is a site: looks whether it is one by zero, or its quotient (a DIV's) has no room.
 * *op: what is to be emitted. Uses R9, R10, R11. */
void tr_site_look_divisor(struct tr *t, const struct ginsn *g, const struct hop *op);
/* The same for the linear address in guest register reg, of a string; rep: of ECX elements; bulk: see SITE_BULK. */
void tr_site_look_at(struct tr *t, uint8_t reg, bool write, bool rep, bool bulk);

/* Behind the code of instruction g, if tr_site_look was called for it. tr_touch.c. */
void tr_touch_back(struct tr *t);
enum touch tr_touch_of(const struct tr *t, const struct ginsn *g);
bool tr_port(struct tr *t, const struct ginsn *g);
/* Else ports are the interpreter's: it asks the I/O permission bitmap, and lockstep lets it have all devices. */
static inline bool tr_may_call_ports(const struct tr *t)
{
    return (t->mode & MODE_IOPL_OK) && !t->single;
}
/* Before an instruction that depends on the second page: is it mapped as it was? A shared block asks the jump table,
 * which has the number of its units if it is known to be. Uses R8 to R11, no flags. */
void tr_near(struct tr *t);
void tr_settle_near(struct tr *t, const struct pend *p);
bool tr_invlpg(struct tr *t, const struct ginsn *g);
static inline bool tr_may_call_invlpg(const struct tr *t, const struct ginsn *g)
{
    return !t->cpl && (t->mode & MODE_PAGING) && t->shape[g->seg] == SHAPE_FLAT && g->adsize == 32 && !t->single;
}
/* What a site's pend leads to. */
void tr_settle_touch(struct tr *t, const struct pend *p);

/* The effective address (offset) of g into host register dst. */
void tr_ea(struct tr *t, const struct ginsn *g, uint8_t dst);
/* R13 + delta into dst: the guest's ESP. */
void tr_lea_esp(struct tr *t, uint8_t dst, int delta);

/* One instruction of the class. False: it must be left to the interpreter (nothing was emitted that
 * matters). */
bool tr_generic(struct tr *t, const struct ginsn *g);
bool tr_lea(struct tr *t, const struct ginsn *g);
bool tr_moffs(struct tr *t, const struct ginsn *g);
bool tr_xlat(struct tr *t, const struct ginsn *g);
bool tr_opreg(struct tr *t, const struct ginsn *g);
bool tr_flow(struct tr *t, const struct ginsn *g);
bool tr_stack(struct tr *t, const struct ginsn *g);
bool tr_sys(struct tr *t, const struct ginsn *g);
bool tr_string(struct tr *t, const struct ginsn *g);
/* R10 = the selector that MOV to a segment register names, zero-extended. False: for the interpreter. */
bool tr_load_selector(struct tr *t, const struct ginsn *g);
/* Which register POP (07, 1F, 0F A1, 0F A9) loads. */
static inline unsigned tr_popped_seg(const struct ginsn *g)
{
    return g->opcode >> 3 & 7;
}
bool tr_gate(struct tr *t, const struct ginsn *g);
bool tr_real(struct tr *t, const struct ginsn *g);
static inline bool tr_is_far(const struct ginsn *g)
{
    return g->gclass == G_CALL_FAR || g->gclass == G_JMP_FAR || g->gclass == G_RET_FAR;
}
bool tr_real_can_far(const struct tr *t, const struct ginsn *g); /* or the far transfer g is the interpreter's */
/* What PEND_MODE jumps to. */
void tr_settle_mode(struct tr *t, const struct pend *p);

/* Listing for `-d tr`. */
void tr_dump(const struct tr *t, const struct tblock *b);
