/* Blocks of translated code, for the run loop and the native layer: finding and making them, chaining, and getting back
 * from a host address to guest state. translate.c, recover.c, scan.c, mode.c. */
#pragma once

#include <signal.h>
#include <ucontext.h>

#include "bt.h"
#include "jtable.h"

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

/* The jump table's entry for eip, NULL if none; and making entry the one. */
static inline const void *tr_published(const struct bt *bt, uint32_t eip)
{
    return jtable_get(bt->table, eip);
}
void tr_publish(struct bt *bt, uint32_t eip, struct tentry *entry);
/* A hint: entering at host would only come back with EXIT_INTERP. Such entries are at odd addresses. */
static inline bool tr_leads_to_interp(const void *host)
{
    return (uintptr_t)host & 1;
}
/* Is instruction i of the block a string instruction (which lockstep steps to its end)? */
bool tr_is_string(const struct tentry *entry, unsigned i);
/* May the page of code run directly on the CPU (scan.c)? next: the one behind it, NULL if that cannot be told; known:
 * for each of its bytes, is it known that an instruction begins there? */
bool tr_page_is_direct(const uint8_t *page, const uint8_t *next, const uint8_t *known, uint32_t isa);
/* Notes in known where the instructions that are translated begin in the page of RAM at gpa; of so many blocks. */
void tcache_known_starts(gpa_t gpa, uint8_t *known);
unsigned tcache_blocks_in_page(gpa_t gpa);
/* Pages whose code and data lie so close that protecting them costs more than it saves. Blocks from such a page compare
 * their own source bytes on entry, and the page stays writable. */
bool tcache_page_is_mixed(gpa_t gpa);
void tr_print_block(const struct tentry *entry); /* guest and host code, to the log */
const void *tr_ret_slow(void);
const void *tr_leave(void);                                  /* leaves with EXIT_LOOKUP */
void tr_code_written(void *opaque, gpa_t gpa, uint32_t len); /* guest_mem.code_written */

/* EXIT_CHAIN with exit id arg: the EIP it wants. */
uint32_t tr_exit_target(const struct bt *bt, uint32_t arg);
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
    bool has_operand; /* in memory */
};
bool tr_x87_find(const struct bt *bt, uint32_t host, struct x87_place *place);
/* Whether gla is the page of RAM of that number, from now on as far as the jump table is right. TOUCH_NEAR. */
bool tr_know_page(struct bt *bt, gla_t gla, uint32_t page);
