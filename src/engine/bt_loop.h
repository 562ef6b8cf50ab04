/* The default engine: translated code, with the interpreter for what is rare (DESIGN.md, 2, 3, 5). */
#pragma once

#include <glib.h>

#include "stats.h"
#include "bt.h"

/* Builds the engine around a fresh CPU (bt->cpu, not yet reset). One per process. NULL with *error. */
struct bt *bt_new(size_t tcache_size, GError **error); /* TCACHE_MIN to TCACHE_MAX bytes */
/* Takes note of bt->cpu.model: which instructions exist. */
void bt_set_model(struct bt *bt);
/* User code is to run directly where it pays, or always. Before bt_attach_thread. */
void bt_want_direct(struct bt *bt, bool always);
/* The machine was reset: nothing of what ran before is kept. On that thread, not within bt_run. */
void bt_forget(void);
/* For the thread that will call bt_run, once. */
void bt_attach_thread(struct bt *bt);

/* Runs until *kick or a deliverable interrupt (EXIT_KICK), HLT (EXIT_HALT) or triple fault
 * (EXIT_SHUTDOWN). lockstep: compare each block with the interpreter first; a difference is printed
 * and ends the process with status 3. */
enum exit_reason bt_run(struct bt *bt, bool lockstep);

/* After EXIT_SITE: maps the page. EXIT_LOOKUP: go on at cpu->eip; EXIT_FAULT, EXIT_INTERP: as if that had been the
 * exit. */
enum exit_reason bt_site(struct bt *bt);
/* After EXIT_STALE: drops the blocks at cpu->eip. */
void bt_drop_stale(struct bt *bt);

/* What the engine counts by itself; outside struct bt, as the other statistics are outside what they count. */
struct bt_stats {
    uint64_t exits[EXIT_COUNT];               /* of translated code, by reason */
    uint64_t lockstep_blocks, lockstep_insns; /* compared */
    uint64_t interp_opcode[512][8];           /* sampled: by opcode (0..255 one-byte, 256.. two-byte) and ModRM.reg */
};
extern struct bt_stats bt_stats;
/* Fills in what the engine counts by itself; any thread. */
void bt_stats_gather(struct stats *s);
/* key=value: the instructions the interpreter is asked for most, sampled; lockstep's progress. */
void bt_stats_print(GString *out);
