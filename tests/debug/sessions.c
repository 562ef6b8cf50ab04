/* Debugs a guest (debuggee.c) at random: steps, breakpoints, watchpoints, memory and registers written.
 *
 *   sessions SESSIONS SEED free|fixed|storm|speed RINGER-OPTIONS...
 *
 * What it does depends on the seed and on what the guest does, not on the engine. "fixed": the guest is the same on
 * each run, and a line is printed for each stop, to be compared with those of another engine (sessions.py). "free": it
 * has interrupts; what must hold in any case is checked. That is checked in both. "storm": any register and any memory
 * gets anything, and nothing may happen to the monitor. Status 0: all was as it must be.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/machine.h"
#include "cli/options.h"
#include "debug.h"
#include "log.h"

#define COMMANDS 25  /* a session */
#define POOL     512 /* instructions that are known */
#define POINTS   16

static struct {
    struct machine *machine;
    const struct debug_target *t;
    GRand *rand;
    bool free, storm;
    unsigned sessions, session, command, stops;
    gla_t pool[POOL];
    unsigned pool_count;
    struct point {
        enum debug_point kind;
        gla_t address;
        uint32_t len;
    } point[POINTS];
    unsigned point_count;
    bool stepping, flags_known;
    unsigned step_flags;
    bool was_halted;
    gla_t round_begin, knob, bad, data, rounds, tick_handler;
    uint64_t hits, watches, steps;
} g;

static unsigned rnd(unsigned n)
{
    return (unsigned)g_rand_int_range(g.rand, 0, (gint32)n);
}

static _Noreturn void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sessions: session %u, command %u: ", g.session, g.command);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    fflush(stdout);
    _Exit(1);
}

/* --- The guest --- */

static gla_t symbol(const uint8_t *elf, const char *name)
{
    const Elf32_Ehdr *header = (const Elf32_Ehdr *)elf;
    const Elf32_Shdr *sections = (const Elf32_Shdr *)(elf + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const char *names = (const char *)elf + sections[sections[i].sh_link].sh_offset;
        const Elf32_Sym *symbols = (const Elf32_Sym *)(elf + sections[i].sh_offset);
        for (unsigned n = 0; n < sections[i].sh_size / sizeof *symbols; n++) {
            if (!strcmp(names + symbols[n].st_name, name))
                return symbols[n].st_value;
        }
    }
    fail("no symbol %s", name);
}

/* Places worth a breakpoint to begin with: whatever has a name. The blob is run where the guest has copied it to. */
static void fill_pool(const uint8_t *elf)
{
    const Elf32_Ehdr *header = (const Elf32_Ehdr *)elf;
    const Elf32_Shdr *sections = (const Elf32_Shdr *)(elf + header->e_shoff);
    gla_t blob = symbol(elf, "blob"), blob_end = symbol(elf, "blob_end");
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const Elf32_Sym *symbols = (const Elf32_Sym *)(elf + sections[i].sh_offset);
        for (unsigned n = 0; sections[i].sh_type == SHT_SYMTAB && n < sections[i].sh_size / sizeof *symbols; n++) {
            gla_t at = symbols[n].st_value;
            bool is_code = symbols[n].st_shndx < header->e_shnum &&
                           !strcmp((const char *)elf + sections[header->e_shstrndx].sh_offset +
                                       sections[symbols[n].st_shndx].sh_name,
                                   ".text");
            if (at >= blob && at < blob_end)
                at = at - blob + 0x8000;
            else if (!is_code)
                continue;
            if (g.pool_count < POOL)
                g.pool[g.pool_count++] = at;
        }
    }
}

static uint32_t peek(gla_t at)
{
    uint32_t value;
    if (!g.t->read_memory(g.t->opaque, false, at, (uint8_t *)&value, 4))
        fail("cannot read %08x", at);
    return value;
}

static void poke(gla_t at, uint32_t value)
{
    if (!g.t->write_memory(g.t->opaque, false, at, (const uint8_t *)&value, 4) || peek(at) != value)
        fail("cannot write %08x", at);
}

static gla_t pc(void)
{
    const struct cpu *cpu = g.t->cpu(g.t->opaque);
    return cpu->seg[SEG_CS].base + cpu->eip;
}

static uint32_t hash(uint32_t h, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n--)
        h = (h ^ *p++) * 16777619u;
    return h;
}

/* Flags that nothing reads any more may be wrong where an engine was left in the middle of a block (DESIGN.md, 3):
 * after a watchpoint, until a breakpoint. */
static void print_stop(const struct debug_stop *stop)
{
    const struct cpu *cpu = g.t->cpu(g.t->opaque);
    uint8_t data[8192];
    uint32_t h = 2166136261u;
    for (unsigned i = 0; i < 8; i++) {
        h = hash(h, cpu->fpu.st[i], 10);
        h = hash(h, cpu->fpu.xmm[i], 16);
    }
    h = hash(h, &cpu->fpu.fcw, 5);
    h = hash(h, &cpu->fpu.mxcsr, 4);
    if (!g.t->read_memory(g.t->opaque, false, g.data, data, sizeof data))
        fail("cannot read the guest's data");
    printf("%u.%u why=%d point=%d at=%08x pc=%04x:%08x fl=%08x", g.session, g.command, stop->why, stop->point,
           stop->address, cpu->seg[SEG_CS].sel, cpu->eip, cpu->eflags & ~(g.flags_known ? FL_RF : FL_RF | FL_ARITH));
    for (unsigned i = 0; i < 8; i++)
        printf(" %08x", cpu->gpr[i]);
    for (unsigned i = 0; i < 6; i++)
        printf(" %04x", cpu->seg[i].sel);
    printf(" cpl=%u cr2=%08x fpu=%08x data=%08x\n", cpu->cpl, cpu->cr2, h, hash(0, data, sizeof data));
}

/* --- What must hold --- */

static bool is_watch(enum debug_point kind)
{
    return kind >= DEBUG_WATCH_WRITE;
}

static void check_stop(const struct debug_stop *stop)
{
    bool found = false;
    if (g.storm)
        return;
    for (unsigned i = 0; i < g.point_count; i++) {
        const struct point *p = &g.point[i];
        if (stop->why == DEBUG_BREAK)
            found |= p->address == pc() && p->kind == stop->point;
        else if (stop->why == DEBUG_WATCH)
            found |= is_watch(p->kind) && stop->address - p->address < p->len && p->kind == stop->point;
    }
    if ((stop->why == DEBUG_BREAK || stop->why == DEBUG_WATCH) && !found)
        fail("stopped (%d) at %08x for %08x, where no such point is", stop->why, pc(), stop->address);
    if (stop->why == DEBUG_OFF || (!g.free && stop->why == DEBUG_ASKED))
        fail("stopped at %08x without a reason: %d", pc(), stop->why);
    if (!g.stepping && stop->why == DEBUG_STEP)
        fail("a step that was not asked for");
    if (g.stepping && stop->why == DEBUG_BREAK)
        fail("a step ended with %d", stop->why);
    if (stop->why == DEBUG_STEP && (g.step_flags & DEBUG_STEP_NOIRQ) && pc() == g.tick_handler && !g.was_halted)
        fail("an interrupt came in a step without them");
    if (peek(g.bad))
        fail("the guest has found %u mistakes", peek(g.bad));
    g.hits += stop->why == DEBUG_BREAK;
    g.watches += stop->why == DEBUG_WATCH;
    g.steps += stop->why == DEBUG_STEP;
}

/* --- Commands --- */

static gla_t random_address(void)
{
    const struct cpu *cpu = g.t->cpu(g.t->opaque);
    switch (rnd(4)) {
    case 0:
        return g.data + rnd(8192);
    case 1:
        return g.data + 4000 + rnd(16);
    case 2:
        return cpu->seg[SEG_SS].base + cpu->gpr[ESP] - 64 + rnd(128);
    default:
        return g.data + rnd(8);
    }
}

static void add_point(enum debug_point kind, gla_t address, uint32_t len)
{
    if (!g.t->point_add(g.t->opaque, kind, address, len))
        fail("no point at %08x", address);
    for (unsigned i = 0; i < g.point_count; i++) {
        if (g.point[i].kind == kind && g.point[i].address == address && g.point[i].len == len)
            return;
    }
    g.point[g.point_count++] = (struct point){kind, address, len};
}

static void remove_point(unsigned n)
{
    struct point *p = &g.point[n];
    if (!g.t->point_remove(g.t->opaque, p->kind, p->address, p->len))
        fail("the point at %08x is not there", p->address);
    *p = g.point[--g.point_count];
}

static void change_points(bool remove)
{
    while (remove && g.point_count > 1 && (g.point_count > POINTS / 2 || rnd(2)))
        remove_point(1 + rnd(g.point_count - 1));
    for (unsigned n = rnd(3); n; n--) {
        if (rnd(2) && g.pool_count)
            add_point((enum debug_point)rnd(2), g.pool[rnd(g.pool_count)] + (rnd(8) ? 0 : 1), 1);
        else
            add_point(DEBUG_WATCH_WRITE + rnd(3), random_address(), rnd(4) ? 1 + rnd(8) : 1 + rnd(4096));
    }
}

static void write_register(enum debug_register reg, unsigned number, const void *value, size_t len)
{
    if (!g.t->write_register(g.t->opaque, reg, number, value, len))
        fail("register %d/%u refuses a value", reg, number);
}

/* At a round's begin the guest takes what it finds. */
static void change_inputs(void)
{
    static const uint8_t inputs[] = {EAX, ECX, EDX, EBX, EBP, ESI, EDI};
    const struct cpu *cpu = g.t->cpu(g.t->opaque);
    uint32_t value = rnd(INT32_MAX);
    uint8_t bytes[16];
    poke(g.knob, rnd(512));
    write_register(DEBUG_GPR, inputs[rnd(7)], &value, 4);
    value = cpu->eflags ^ (rnd(2048) & FL_ARITH);
    write_register(DEBUG_EFLAGS, 0, &value, 4);
    for (unsigned i = 0; i < 16; i++)
        bytes[i] = (uint8_t)rnd(256);
    write_register(DEBUG_XMM, rnd(8), bytes, 16);
    value = rnd(2) ? 0x10 : 0;
    write_register(DEBUG_SEG, SEG_FS, &value, 4);
}

/* What changes nothing. */
static void write_same(void)
{
    const struct cpu *cpu = g.t->cpu(g.t->opaque);
    uint8_t bytes[64];
    gla_t at = rnd(2) ? pc() & ~63u : random_address();
    if (g.t->read_memory(g.t->opaque, false, at, bytes, sizeof bytes) &&
        !g.t->write_memory(g.t->opaque, false, at, bytes, sizeof bytes))
        fail("cannot write %08x", at);
    write_register(DEBUG_EIP, 0, &cpu->eip, 4);
    write_register(DEBUG_CR, 3, &cpu->cr3, 4);
    write_register(DEBUG_SEG, SEG_CS, &cpu->seg[SEG_CS].sel, 2);
}

/* Whatever a debugger sends must be harmless; here what is refused. */
static void write_nonsense(void)
{
    const struct cpu *cpu = g.t->cpu(g.t->opaque);
    uint32_t value = cpu->eflags ^ FL_VM, none = 0, large = 0xffffffff;
    uint8_t byte = 0;
    if (g.t->write_register(g.t->opaque, DEBUG_EFLAGS, 0, (uint8_t *)&value, 4) ||
        g.t->write_register(g.t->opaque, DEBUG_MXCSR, 0, (uint8_t *)&large, 4) ||
        g.t->write_register(g.t->opaque, DEBUG_CR, 4, (uint8_t *)&large, 4) ||
        g.t->write_register(g.t->opaque, DEBUG_CR, 7, (uint8_t *)&none, 4) ||
        g.t->write_register(g.t->opaque, DEBUG_GPR, 8, (uint8_t *)&none, 4) ||
        g.t->write_register(g.t->opaque, DEBUG_ST, 0, (uint8_t *)&none, 4) ||
        g.t->write_memory(g.t->opaque, true, 0xfffffff0, &byte, 1) ||
        g.t->write_memory(g.t->opaque, true, 1ull << 60, &byte, 1) ||
        g.t->read_memory(g.t->opaque, false, 1ull << 33, &byte, 1) ||
        g.t->point_add(g.t->opaque, DEBUG_WATCH_WRITE, 0xfffffff0, 32) ||
        g.t->point_add(g.t->opaque, DEBUG_WATCH_WRITE, 0, 0) ||
        g.t->point_remove(g.t->opaque, DEBUG_BREAK_HARDWARE, 0xdeadbeef, 1))
        fail("nonsense was taken");
}

/* A debugger that means no good: anything into any register and any memory. */
static void storm(void)
{
    for (unsigned n = 1 + rnd(4); n; n--) {
        uint8_t bytes[16];
        size_t len = rnd(3) ? 4 : rnd(17);
        for (unsigned i = 0; i < 16; i++)
            bytes[i] = rnd(3) ? (uint8_t)rnd(256) : 0;
        enum debug_register reg = (enum debug_register)rnd(DEBUG_MXCSR + 2);
        if (reg == DEBUG_ST || reg == DEBUG_XMM)
            len = reg == DEBUG_ST ? 10 : 16;
        if (reg == DEBUG_CR && rnd(2)) /* near what it is */
            memcpy(bytes, &(uint32_t){g.t->cpu(g.t->opaque)->cr0 ^ 1u << rnd(32)}, 4);
        g.t->write_register(g.t->opaque, reg, rnd(9), bytes, len);
        if (!rnd(4))
            g.t->write_memory(g.t->opaque, rnd(2), rnd(2) ? pc() + rnd(64) : (uint64_t)rnd(INT32_MAX) * rnd(4), bytes,
                              16);
        if (!rnd(4))
            g.t->point_add(g.t->opaque, (enum debug_point)rnd(5),
                           rnd(2) ? pc() + rnd(64) : (uint32_t)rnd(INT32_MAX) * 3, 1 + rnd(4096));
    }
}

static gboolean interrupt(gpointer opaque)
{
    if (g.t->is_running(g.t->opaque))
        g.t->stop(g.t->opaque);
    return G_SOURCE_REMOVE;
}

static void go_on(void)
{
    g.stepping = rnd(3) != 0;
    g.was_halted = g.t->cpu(g.t->opaque)->halted;
    if (g.stepping) {
        static const unsigned flags[] = {0, DEBUG_STEP_NOIRQ, DEBUG_STEP_NOTIMER, DEBUG_STEP_NOIRQ | DEBUG_STEP_NOTIMER,
                                         DEBUG_STEP_NOIRQ | DEBUG_STEP_NOTIMER};
        g.step_flags = flags[rnd(5)];
        g.t->step(g.t->opaque, g.step_flags);
        return;
    }
    if (g.free && !rnd(4))
        g_timeout_add(rnd(5), interrupt, NULL);
    g.t->run(g.t->opaque);
    if (rnd(16) == 0 && g.t->is_running(g.t->opaque) && g.free)
        change_points(false); /* while it runs; what goes then may have been met just before */
}

static void begin_session(void)
{
    static const struct debug_client *client;
    GError *error = NULL;
    g.point_count = 0;
    if (g.session && g.session == g.sessions) {
        machine_quit(g.machine, 0);
        return;
    }
    extern const struct debug_client sessions_client;
    client = &sessions_client;
    machine_stop(g.machine);
    g.t->detach(g.t->opaque);
    if (!g.t->attach(g.t->opaque, client, &error))
        fail("%s", error->message);
    if (g.t->attach(g.t->opaque, client, NULL))
        fail("two debuggers at once");
    g.session++;
    g.command = 0;
    add_point(DEBUG_BREAK_SOFTWARE, g.round_begin, 1);
    g.stepping = false;
    if (g.storm)
        g_timeout_add(20, interrupt, NULL);
    g.t->run(g.t->opaque);
}

static gboolean next_command(gpointer opaque)
{
    if (++g.command > COMMANDS) {
        begin_session();
        return G_SOURCE_REMOVE;
    }
    if (g.storm) {
        storm();
        g.stepping = rnd(2);
        if (g.stepping)
            g.t->step(g.t->opaque, rnd(4));
        else
            g.t->run(g.t->opaque);
        g_timeout_add(rnd(4), interrupt, NULL);
        return G_SOURCE_REMOVE;
    }
    if (g.pool_count < POOL && pc() - g.round_begin >= 64)
        g.pool[g.pool_count++] = pc();
    else if (pc() - g.round_begin >= 64)
        g.pool[rnd(POOL)] = pc();
    if (pc() == g.round_begin && rnd(2))
        change_inputs();
    if (!rnd(3))
        change_points(true);
    if (!rnd(8))
        write_same();
    if (!rnd(32))
        write_nonsense();
    go_on();
    return G_SOURCE_REMOVE;
}

static void stopped(void *opaque, const struct debug_stop *stop)
{
    if (g.t->is_running(g.t->opaque))
        fail("it runs and has stopped");
    check_stop(stop);
    g.flags_known = stop->why == DEBUG_BREAK || (g.flags_known && stop->why == DEBUG_STEP);
    if (!g.free)
        print_stop(stop);
    g_idle_add(next_command, NULL);
}

static void running(void *opaque)
{
    fail("it runs on its own");
}

/* --- speed: what breakpoints that are not hit cost. Not a test. --- */

#define SPEED_MS    500
#define SPEED_TIMES 20

static gboolean speed_moment(gpointer opaque)
{
    static uint32_t rounds, sum[2];
    static unsigned times;
    g.t->stop(g.t->opaque);
    uint32_t now = peek(g.rounds);
    sum[times & 1] += times > 1 ? now - rounds : 0;
    rounds = now;
    if (++times == SPEED_TIMES) {
        printf("%u rounds without points, %u with %u breakpoints that are not hit: %.3f\n", sum[0], sum[1],
               g.pool_count, (double)sum[1] / sum[0]);
        machine_quit(g.machine, 0);
        return G_SOURCE_REMOVE;
    }
    for (unsigned i = 0; i < g.pool_count; i++) {
        if (times & 1)
            g.t->point_add(g.t->opaque, DEBUG_BREAK_SOFTWARE, g.pool[i] + 1, 1);
        else
            g.t->point_remove(g.t->opaque, DEBUG_BREAK_SOFTWARE, g.pool[i] + 1, 1);
    }
    g.t->run(g.t->opaque);
    return G_SOURCE_CONTINUE;
}

/* One that is hit is none of those that are meant. */
static void speed_stopped(void *opaque, const struct debug_stop *stop)
{
    for (unsigned i = 0; stop->why == DEBUG_BREAK && i < g.pool_count; i++) {
        if (g.pool[i] + 1 == stop->address)
            g.pool[i] = g.pool[--g.pool_count];
    }
    if (stop->why == DEBUG_BREAK) {
        g.t->point_remove(g.t->opaque, DEBUG_BREAK_SOFTWARE, stop->address, 1);
        g.t->run(g.t->opaque);
    }
}

static const struct debug_client speed_client = {speed_stopped, NULL, NULL};

static gboolean speed_begin(gpointer opaque)
{
    if (!g.t->attach(g.t->opaque, &speed_client, NULL))
        fail("cannot attach");
    g_timeout_add(SPEED_MS, speed_moment, NULL);
    g.t->run(g.t->opaque);
    return G_SOURCE_REMOVE;
}

extern const struct debug_client sessions_client;
const struct debug_client sessions_client = {stopped, running, NULL};

static gboolean begin(gpointer opaque)
{
    begin_session();
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
    struct options options;
    GError *error = NULL;
    gchar *elf;
    if (argc < 5) {
        fprintf(stderr, "usage: sessions SESSIONS SEED free|fixed|storm|speed RINGER-OPTIONS...\n");
        return 2;
    }
    g.sessions = (unsigned)atoi(argv[1]);
    g.rand = g_rand_new_with_seed((guint32)atoi(argv[2]));
    g.storm = !strcmp(argv[3], "storm");
    g.free = g.storm || !strcmp(argv[3], "free");
    if (!options_parse(argc - 3, argv + 3, &options, &error) || !(g.machine = machine_new(&options, &error)) ||
        !g_file_get_contents(options.kernel, &elf, NULL, &error)) {
        fprintf(stderr, "sessions: %s\n", error->message);
        return 1;
    }
    const char *bad_item;
    if (options.log_items && (!log_parse(options.log_items, &bad_item) || !log_open(options.log_file)))
        fail("-d and -D");
    g.round_begin = symbol((uint8_t *)elf, "round_begin");
    g.knob = symbol((uint8_t *)elf, "knob");
    g.bad = symbol((uint8_t *)elf, "bad");
    g.data = symbol((uint8_t *)elf, "data");
    g.rounds = symbol((uint8_t *)elf, "rounds");
    g.tick_handler = symbol((uint8_t *)elf, "trap_stubs") + 0x20 * 16;
    fill_pool((uint8_t *)elf);
    g.t = machine_debug_target(g.machine);
    g_idle_add(strcmp(argv[3], "speed") ? begin : speed_begin, NULL);
    int status = machine_run(g.machine);
    if (!strcmp(argv[3], "speed"))
        return status;
    fprintf(stderr, "sessions: %u sessions, %u breakpoints, %u watchpoints, %u steps\n", g.session, (unsigned)g.hits,
            (unsigned)g.watches, (unsigned)g.steps);
    if (!status && g.session != g.sessions)
        fail("the machine has ended");
    machine_free(g.machine);
    return status;
}
