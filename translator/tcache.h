/* The code cache: blocks, their entries and exits, and which guest bytes they came from.
 *
 * Code memory is one memfd mapped twice, writable at one place and executable at another, below
 * 4 GiB so that a jump table holds 32-bit host addresses. It is filled region by region, and begun again where it is
 * oldest; a block whose guest bytes change is unlinked at once and its room is regained when its region's turn comes.
 */
#pragma once

#include "emit.h"
#include "bt.h"
#include "types.h"

struct tblock;
struct jpage;

/* A place where a block can be entered: its start, or the return site of a call in it. */
struct tentry {
    gpa_t phys; /* of the instruction at eip */
    uint32_t eip, mode, cs_base, cs_limit;
    uint8_t *host;   /* RX address, for those who come through a jump table or the run loop */
    uint8_t *direct; /* the same for jumps of the block's own page: R12 is right already */
    bool natural;    /* see tr_lookup */
    struct tblock *block;
    struct tentry *hash_next;
    struct jtable *table; /* the one that it was entered into; NULL: into none, or, with `tables`, into several */
    bool tables;
    struct texit *in; /* exits that jump here directly */
};

/* A direct jump or call out of a block. */
struct texit {
    uint8_t *rel32;      /* RW address of the displacement */
    const uint8_t *stub; /* RX address it points to while unchained */
    uint32_t target;
    bool cross_page; /* may be chained only if the target's mapping is global */
    bool has_table;  /* may go through the jump table instead */
    struct tblock *block;
    struct tentry *to;
    struct texit *next_in, **link_in; /* to->in's list, and the pointer in it that points here */
};

enum row_kind {
    ROW_INSN,       /* first host byte of a guest instruction: an instruction boundary */
    ROW_SHADOW,     /* the same in the interrupt shadow of STI: no boundary */
    ROW_STRING,     /* RSI and RDI hold host pointers; stopping at the row's first byte is a boundary */
    ROW_STRING_SEG, /* the same through segments: R9 R10 R11 hold the guest's ECX ESI EDI, arg is STRING_* */
    ROW_SWAPPED,    /* the low two bytes of register `arg` are swapped */
    ROW_POPF,       /* as ROW_GLUE; the row's first host instruction is a POPFQ */
    ROW_FLAGS,      /* as ROW_GLUE; the guest's flags are on top of the private stack */
    ROW_GLUE,       /* between instructions, as ROW_INSN, but not a boundary: the guest state is that of
                       the start of insn, flags may be lost (they are dead or saved) */
};

/* arg of ROW_STRING_SEG: the source's segment in the low bits, and which registers take part. */
#define STRING_SEG 0x07u
#define STRING_SI  0x08u
#define STRING_DI  0x10u
#define STRING_16  0x20u /* 16-bit offsets */
#define STRING_REP 0x40u

/* From host offset host on (up to the next row), guest state is that of the start of insn number
 * insn, with guest ESP = R13 + delta, and the displacement kind says. */
struct trow {
    uint16_t host;
    int16_t delta;
    uint8_t insn, kind, arg;
};

/* An instruction that sets FIP and its like: its FOP in the low 11 bits. */
#define X87_FOP  0x07ffu
#define X87_MEM  0x4000u /* an operand in memory */
#define X87_INSN 0x8000u

/* In the list of a page's blocks. */
struct tlink {
    struct tblock *next, **at; /* at: the pointer that points to this block */
};

/* What of a page decided what a block is, as it was then. */
struct tseen {
    uint16_t from, len;
    uint8_t *bytes;
};

struct tblock {
    gpa_t phys;  /* of the instruction at eip */
    gpa_t phys2; /* a second page with bytes of the block, or TBLOCK_NO_PAGE */
    gla_t gla2;  /* where that page was: the block holds only where it still is */
    uint32_t eip, cs_base, cs_limit, mode;
    int16_t first;      /* offset from eip of the lowest source byte in the first page, and of the */
    uint32_t guest_len; /* one behind the highest */
    uint8_t *host;      /* RX */
    uint32_t host_len;
    struct tentry *entry;
    unsigned entry_count;
    struct texit *exit;
    unsigned exit_count;
    struct trow *row;
    unsigned row_count;
    int16_t *insn_off; /* offset of instruction i from eip */
    uint16_t *x87;     /* X87_* of instruction i; NULL: all 0 */
    /* Lockstep only: the instruction that i falls through to within the block, and the one its jump goes to;
     * -1: none. And guest instructions it stands for: more than one for G_THUNK. */
    int16_t (*insn_next)[2];
    uint8_t *insn_steps;
    struct tseen *seen; /* lockstep only: of the first and the second page */
    unsigned insn_count;
    /* The block is position-independent and stands for its page wherever that is mapped: all EIPs in it and its entries
     * and exits are counted from the page's beginning, its mode has MODE_SHARED. NULL: it is not. */
    struct jpage *jpage;
    struct jpage *near;   /* of a shared block: of phys2 */
    struct tlink link[2]; /* of the page of phys, and of that of phys2 */
    bool dead;
};

#define TBLOCK_NO_PAGE (~(gpa_t)0)

#define TCACHE_BLOCK_EXITS 1024 /* no block has more */

/* Makes room for a block of at least that many bytes of code, and twice as many of metadata. Drops the oldest blocks if
 * need be, or all there are. */
void tcache_make_room(size_t bytes);
/* An emitter at the end of the used part. */
struct emit tcache_begin(void);
/* Metadata memory, zeroed, living as long as the blocks made before the next tcache_make_room do. */
void *tcache_alloc(size_t bytes);
/* Enters a finished block (all fields set, code up to e->pos) into the indexes. */
void tcache_commit(struct tblock *block, const struct emit *e);

/* The page has so many blocks that dropping a few of them takes long: time to drop them all. */
bool tcache_page_is_crowded(gpa_t gpa);

struct tentry *tcache_find(gpa_t phys, uint32_t eip, uint32_t mode, uint32_t cs_base, uint32_t cs_limit);
struct tblock *tcache_block_at(const void *pc_rx); /* NULL if in no block; async-signal-safe */
/* The row that holds at pc, which is in the block. Async-signal-safe. */
const struct trow *tblock_row(const struct tblock *b, const void *pc_rx);
struct texit *tcache_exit_by_id(unsigned id);
struct texit *tcache_alloc_exits(unsigned count); /* consecutive, numbered, zeroed */
void tcache_return_exits(unsigned count);         /* the last ones, which turned out to be too many */
/* Emits what an exit leads to as long as it is not linked. */
void tcache_exit_stub(struct emit *e, struct texit *exit);
void tcache_link(struct texit *exit, struct tentry *entry);
/* Makes the exit go through the jump table from now on. */
void tcache_exit_by_table(struct texit *exit);

/* Address of 64 KiB that can be read, with 4 KiB behind them that cannot. Fits into a displacement. */
uint32_t tcache_probe(void);

/* Trampolines at the start of the cache, in reach of a rel32. */
enum tramp {
    /* Exit R8D of a block is not linked; there is no block known for EIP. By bt->find, without leaving if it may be. */
    TRAMP_CHAIN,
    TRAMP_LOOKUP,
    /* Leave for the run loop. */
    TRAMP_INTERP,
    TRAMP_FPU,
    TRAMP_STALE,
    TRAMP_GATE,
    TRAMP_SITE,
    TRAMP_RET_SLOW,
    TRAMP_JUMP,
    /* To EIP R8 in mode R9, whose table it looks up; the second with the flags in R11. Uses R10, R11. */
    TRAMP_MODE,
    TRAMP_MODE_FLAGS,
    /* To EIP R8 in the real-mode segment with base R9, selector R10. Uses R11; changes no flags. */
    TRAMP_CS,
    /* Leaves with EXIT_LOOKUP, for the run loop to go on at EIP. */
    TRAMP_LEAVE,
    /* A call of bt->touch for linear address R8, R9 what, R10 the value, which comes back in R10; R11 as touch_back.
     * All else but R8 to R11 remains as it is. */
    TRAMP_TOUCH,
    TRAMP_COUNT
};
const uint8_t *tcache_tramp(enum tramp tramp);
/* Where the code cache is executed. Its first bytes look up the EIP in R8: where an empty entry of a jump table leads.
 * Below 2 GiB. */
const uint8_t *tcache_code(void);
/* R9 = the host address that the jump table has for the EIP in R8, whose upper half is zero. Uses R10. No flags. */
void tcache_load_slot(struct emit *e, uint8_t table); /* the register with the table's base; may be R11 */
void tcache_load_slot_low(struct emit *e, uint8_t table, uint8_t low); /* the same if EIP's low byte is known */
void tcache_load_middle(struct emit *e, uint8_t from); /* R9 = bits 31 to 8 of a register, whose upper half is zero */
void tcache_load_slot_of(struct emit *e, uint32_t eip, uint8_t table); /* the same for an EIP that is known */
/* A POPFQ in a trampoline. */
bool tcache_is_popfq(const void *pc_rx);
