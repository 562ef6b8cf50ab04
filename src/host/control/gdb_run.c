/* The debugger's packets that move the machine, and what it hears when that stands again. */
#include "gdb_regs.h"
#include "gdb_stub.h"

#define SIGNAL_INT  2u
#define SIGNAL_QUIT 3u
#define SIGNAL_TRAP 5u

/* --- Why it stands --- */

static unsigned stop_signal(const struct debug_stop *stop)
{
    switch (stop->why) {
    case DEBUG_ASKED:
        return SIGNAL_INT;
    case DEBUG_OFF:
        return SIGNAL_QUIT;
    default:
        return SIGNAL_TRAP;
    }
}

static void stop_reason(const struct gdb_stub *stub, GString *out)
{
    const struct debug_stop *stop = &stub->stop;
    if (stop->why == DEBUG_WATCH) {
        const char *kind = stop->point == DEBUG_WATCH_READ     ? "rwatch"
                           : stop->point == DEBUG_WATCH_ACCESS ? "awatch"
                                                               : "watch";
        g_string_append_printf(out, "%s:%x;", kind, stop->address);
    } else if (stop->why == DEBUG_BREAK && stop->point == DEBUG_BREAK_HARDWARE) {
        g_string_append(out, stub->hwbreak ? "hwbreak:;" : "");
    } else if (stop->why == DEBUG_BREAK) {
        g_string_append(out, stub->swbreak ? "swbreak:;" : "");
    }
}

void gdb_stop_reply(struct gdb_stub *stub, GString *out)
{
    g_string_append_printf(out, "T%02x", stop_signal(&stub->stop));
    stop_reason(stub, out);
    g_string_append(out, stub->multiprocess ? "thread:p01.01;" : "thread:01;");
}

/* ?: asked by who has just come, so nothing of one before him is left. */
static void command_why(struct gdb_stub *stub, struct gdb_args *args)
{
    gdb_points_remove(stub);
    gdb_stop_reply(stub, stub->reply);
}

/* --- Going on --- */

static void machine_run(struct gdb_stub *stub)
{
    stub->silent = stub->awaiting = true;
    stub->target->run(stub->target->opaque);
}

static void machine_step(struct gdb_stub *stub)
{
    unsigned flags =
        (stub->sstep & SSTEP_NOIRQ ? DEBUG_STEP_NOIRQ : 0) | (stub->sstep & SSTEP_NOTIMER ? DEBUG_STEP_NOTIMER : 0);
    if (!(stub->sstep & SSTEP_ENABLE)) {
        machine_run(stub);
        return;
    }
    stub->silent = stub->awaiting = true;
    stub->target->step(stub->target->opaque, flags);
}

/* Steps from start up to end, which no breakpoint and nobody else interrupts, are one for the debugger. The main loop
 * is left between two: Ctrl-C is heard. */
static gboolean range_step(gpointer opaque)
{
    struct gdb_stub *stub = opaque;
    stub->next_step = 0;
    machine_step(stub);
    return G_SOURCE_REMOVE;
}

bool gdb_range_goes_on(struct gdb_stub *stub)
{
    gla_t pc = gdb_pc(stub->target->cpu(stub->target->opaque));
    if (!stub->in_range || stub->stop.why != DEBUG_STEP || pc < stub->range_start || pc >= stub->range_end)
        return false;
    stub->next_step = g_idle_add_full(G_PRIORITY_DEFAULT, range_step, stub, NULL);
    return true;
}

static void source_end(guint *source)
{
    if (*source)
        g_source_remove(*source);
    *source = 0;
}

void gdb_waits_no_more(struct gdb_stub *stub)
{
    stub->awaiting = stub->in_range = false;
    source_end(&stub->next_step);
    source_end(&stub->off_reply);
}

static void machine_step_range(struct gdb_stub *stub, uint64_t start, uint64_t end)
{
    stub->range_start = (gla_t)MIN(start, UINT32_MAX);
    stub->range_end = (gla_t)MIN(end, UINT32_MAX);
    stub->in_range = stub->sstep & SSTEP_ENABLE;
    machine_step(stub);
}

/* An address to go on at, perhaps. False: there is something else. */
static bool resume_at(struct gdb_stub *stub, struct gdb_args *args)
{
    uint64_t address;
    if (args_end(args))
        return true;
    if (!args_hex(args, &address) || !args_end(args) || address > UINT32_MAX)
        return false;
    uint32_t pc = GUINT32_TO_LE((uint32_t)address);
    return gdb_reg_write(stub->target, GDB_REG_PC, (const uint8_t *)&pc);
}

/* c [address] */
static void command_continue(struct gdb_stub *stub, struct gdb_args *args)
{
    if (resume_at(stub, args))
        machine_run(stub);
    else
        gdb_reply_error(stub, GDB_EINVAL);
}

/* s [address] */
static void command_step(struct gdb_stub *stub, struct gdb_args *args)
{
    if (resume_at(stub, args))
        machine_step(stub);
    else
        gdb_reply_error(stub, GDB_EINVAL);
}

/* C signal [;address], S signal [;address]: there is nobody whom a signal could be given. */
static bool signal_skip(struct gdb_args *args)
{
    uint64_t number;
    return args_hex(args, &number) && (args_end(args) || args_char(args, ';'));
}

static void command_continue_signal(struct gdb_stub *stub, struct gdb_args *args)
{
    if (signal_skip(args))
        command_continue(stub, args);
    else
        gdb_reply_error(stub, GDB_EINVAL);
}

static void command_step_signal(struct gdb_stub *stub, struct gdb_args *args)
{
    if (signal_skip(args))
        command_step(stub, args);
    else
        gdb_reply_error(stub, GDB_EINVAL);
}

struct action {
    char what; /* 0: none */
    uint64_t start, end;
};

/* One ";action[:thread]". */
static bool action_parse(struct gdb_args *args, struct action *action)
{
    uint64_t number;
    if (!args_char(args, ';') || !args->left || !memchr("csCStr", *args->at, 6))
        return false;
    action->what = *args->at;
    args_char(args, action->what);
    if ((action->what == 'C' || action->what == 'S') && !args_hex(args, &number))
        return false;
    if (action->what == 'r' && !args_range(args, &action->start, &action->end))
        return false;
    return !args_char(args, ':') || args_thread(args);
}

/* vCont: of several the first counts; every thread that can be named is the one that there is. */
static void command_vcont(struct gdb_stub *stub, struct gdb_args *args)
{
    struct action first = {0}, action = {0};
    bool ok = !args_end(args);
    while (ok && !args_end(args)) {
        ok = action_parse(args, &action);
        if (!first.what)
            first = action;
    }
    if (!ok)
        gdb_reply_error(stub, GDB_EINVAL);
    else if (first.what == 'r')
        machine_step_range(stub, first.start, first.end);
    else if (g_ascii_tolower(first.what) == 'c')
        machine_run(stub);
    else if (g_ascii_tolower(first.what) == 's')
        machine_step(stub);
    else
        gdb_stop_reply(stub, stub->reply); /* t: it stands */
}

static void command_vcont_which(struct gdb_stub *stub, struct gdb_args *args)
{
    g_string_assign(stub->reply, "vCont;c;C;s;S;t;r");
}

/* --- Beginning and ending --- */

/* D [;process]: the machine goes on, also one that the user had stopped (-S), as in QEMU. The connection stays, and may
 * ask for it again. */
static void command_detach(struct gdb_stub *stub, struct gdb_args *args)
{
    if (!args_end(args) && !(args_char(args, ';') && args_one(args) && args_end(args))) {
        gdb_reply_error(stub, GDB_EINVAL);
        return;
    }
    if (stub->attached && !stub->target->is_running(stub->target->opaque)) {
        gdb_points_remove(stub);
        stub->target->run(stub->target->opaque);
    }
    gdb_detach(stub);
    gdb_reply_ok(stub);
}

/* vAttach;process */
static void command_attach(struct gdb_stub *stub, struct gdb_args *args)
{
    if (args_char(args, ';') && args_one(args) && args_end(args))
        gdb_stop_reply(stub, stub->reply);
    else
        gdb_reply_error(stub, GDB_EINVAL);
}

/* k: no answer. */
static void command_kill(struct gdb_stub *stub, struct gdb_args *args)
{
    if (!args_end(args))
        return;
    stub->silent = true;
    stub->hooks.quit(stub->hooks.opaque);
}

/* vKill;process */
static void command_vkill(struct gdb_stub *stub, struct gdb_args *args)
{
    if (!args_char(args, ';') || !args_one(args) || !args_end(args)) {
        gdb_reply_error(stub, GDB_EINVAL);
        return;
    }
    gdb_send(stub, "OK", 2);
    stub->silent = true;
    stub->hooks.quit(stub->hooks.opaque);
}

/* R number: no answer; the machine stands where it starts. */
static void command_restart(struct gdb_stub *stub, struct gdb_args *args)
{
    stub->silent = true;
    stub->hooks.reset(stub->hooks.opaque);
}

const struct gdb_command gdb_run_commands[] = {
    {"?", command_why, GDB_STAND},
    {"c", command_continue, GDB_STAND},
    {"s", command_step, GDB_STAND},
    {"C", command_continue_signal, GDB_STAND},
    {"S", command_step_signal, GDB_STAND},
    {"vCont", command_vcont, GDB_STAND},
    {"vCont?", command_vcont_which, GDB_ANY},
    {"D", command_detach, GDB_ANY},
    {"vAttach", command_attach, GDB_STAND},
    {"k", command_kill, GDB_ANY},
    {"vKill", command_vkill, GDB_ANY},
    {"R", command_restart, GDB_STAND},
    {NULL},
};
