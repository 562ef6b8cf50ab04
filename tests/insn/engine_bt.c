/* The translator as an engine of the instruction tests. */
#include "engine/bt_loop.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine.h"
#include "translator/cache.h"

static struct bt *bt;

static struct cpu *bt_create(const struct cpu_model *model)
{
    GError *error = NULL;

    bt = bt_new(TCACHE_DEFAULT, &error);
    if (!bt) {
        fprintf(stderr, "insn_test: %s\n", error->message);
        exit(1);
    }
    bt->cpu.model = model;
    bt->cpu.interp = interp_new(&bt->cpu);
    bt_set_model(bt);
    bt_attach_thread(bt);
    return &bt->cpu;
}

static void bt_reset(struct cpu *cpu)
{
    cpu->changed |= CHANGED_MODE | CHANGED_CR3 | CHANGED_TLB;
    interp_flush_tlb(cpu);
}

static void bt_run_one(struct cpu *cpu)
{
    bt_run(bt, false); /* to the HLT in the handler */
    cpu->halted = false;
}

const struct engine engine_bt = {
    .name = "bt",
    .create = bt_create,
    .reset = bt_reset,
    .run_one = bt_run_one,
    .ends_at_hlt = true,
    .loses_flags_on_faults = true,
    .loses_x87_pointers = true,
};
