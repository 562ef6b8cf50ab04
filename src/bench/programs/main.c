/* The measured program: what it is told to do, its clock, and its lines. See program.h.
 *
 *   program exit                     ends at once: what "exec" executes
 *   program measure FOLDER MS NAMES  measures natively; FOLDER is on tmpfs, NAMES "all" or "a,b,c"
 *   as process 1                     the same in a guest, with bench_ms and bench_names out of the
 *                                    environment, which is the kernel's command line; powers off
 *
 * Lines, numbers in hexadecimal: "@clock NANOSECONDS TSC" before and after each workload, so that
 * whoever reads them can hold a clock of his own against this one's; "@batch NAME COUNT NANOSECONDS
 * TICKS CHECKSUM" for each batch; "@part NAME" before each list of workloads; "@done" at the end;
 * "@fail WHAT" if something could not be done.
 */
#include "program.h"

#define BATCHES              5
#define BATCH_NS_DEFAULT     10000000u
#define CLOCK_MONOTONIC      1
#define AT_SYSINFO           32
#define REBOOT_MAGIC1        0xfee1deadu
#define REBOOT_MAGIC2        0x28121969u
#define REBOOT_POWER_OFF     0x4321fedcu
#define SYSLOG_CONSOLE_LEVEL 8

struct timespec64 {
    int64_t seconds;
    uint32_t nanoseconds, padding;
};

const char *program_path = "/init";
const char *program_folder = "/tmp";

/* --- Text --- */

static char line[256];
static uint32_t line_length;

static void put_text(const char *text)
{
    while (*text && line_length < sizeof line)
        line[line_length++] = *text++;
}

static void put_hex(uint64_t value)
{
    char digits[17];
    int at = 16;
    digits[16] = 0;
    do {
        digits[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    put_text(" ");
    put_text(digits + at);
}

static void put_end(void)
{
    put_text("\n");
    sys3(SYS_write, 1, line, line_length);
    line_length = 0;
}

void program_fail(const char *what, long result)
{
    line_length = 0;
    put_text("@fail ");
    put_text(what);
    put_hex((uint32_t)-result);
    put_end();
    sys1(SYS_exit, 1);
    __builtin_unreachable();
}

static int text_is(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* Whether the comma-separated list has the word. */
static int list_has(const char *list, const char *word)
{
    for (;;) {
        const char *w = word;
        while (*list && *list != ',' && *list == *w)
            list++, w++;
        if (!*w && (!*list || *list == ','))
            return 1;
        while (*list && *list != ',')
            list++;
        if (!*list++)
            return 0;
    }
}

static uint32_t number_of(const char *text)
{
    uint32_t value = 0;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + (uint32_t)(*text++ - '0');
    return value;
}

void *memset(void *to, int value, size_t count)
{
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(value) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t count)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(count) : : "memory");
    return to;
}

/* --- Clock --- */

struct instant {
    uint64_t nanoseconds, ticks;
};

static struct instant now(void)
{
    struct timespec64 t;
    struct instant i;
    long rc = sys2(SYS_clock_gettime64, CLOCK_MONOTONIC, &t);
    if (rc < 0)
        program_fail("clock_gettime64", rc);
    __asm__ volatile("rdtsc" : "=A"(i.ticks));
    i.nanoseconds = (uint64_t)(uint32_t)t.seconds * 1000000000u + t.nanoseconds;
    return i;
}

static struct instant span_begin, span_sum;

void span_pause(void)
{
    struct instant i = now();
    span_sum.nanoseconds += i.nanoseconds - span_begin.nanoseconds;
    span_sum.ticks += i.ticks - span_begin.ticks;
}

void span_resume(void)
{
    span_begin = now();
}

static void clock_line(void)
{
    struct instant i = now();
    put_text("@clock");
    put_hex(i.nanoseconds);
    put_hex(i.ticks);
    put_end();
}

/* --- Measuring --- */

static uint32_t batch_run(const struct workload *w, uint32_t count)
{
    span_sum = (struct instant){0, 0};
    span_resume();
    uint32_t sum = w->run(count);
    span_pause();
    return sum;
}

static void measure(const struct workload *w, uint32_t batch_ns)
{
    uint32_t count = 1;
    clock_line();
    for (;;) { /* also warms up */
        batch_run(w, count);
        if (span_sum.nanoseconds >= batch_ns || count >= 1u << 30)
            break;
        count *= span_sum.nanoseconds < batch_ns / 8 ? 4 : 2;
    }
    for (int batch = 0; batch < BATCHES; batch++) {
        uint32_t sum = batch_run(w, count);
        put_text("@batch ");
        put_text(w->name);
        put_hex(count);
        put_hex(span_sum.nanoseconds);
        put_hex(span_sum.ticks);
        put_hex(sum);
        put_end();
    }
    clock_line();
}

static void measure_all(uint32_t milliseconds, const char *names)
{
    static const struct {
        const char *part;
        const struct workload *workloads;
    } lists[] = {{"@part system", os_workloads}, {"@part computing", compute_workloads}};
    uint32_t batch_ns = milliseconds ? milliseconds * 1000000u : BATCH_NS_DEFAULT;
    for (unsigned l = 0; l < 2; l++) {
        put_text(lists[l].part);
        put_end();
        for (const struct workload *w = lists[l].workloads; w->name; w++)
            if (text_is(names, "all") || list_has(names, w->name))
                measure(w, batch_ns);
    }
    put_text("@done");
    put_end();
}

static const char *environment(const uint32_t *envp, const char *name)
{
    for (; *envp; envp++) {
        const char *at = (const char *)*envp, *n = name;
        while (*n && *at == *n)
            at++, n++;
        if (!*n && *at == '=')
            return at + 1;
    }
    return NULL;
}

/* Process 1 of a guest. */
static void guest_run(const uint32_t *envp)
{
    const char *ms = environment(envp, "bench_ms"), *names = environment(envp, "bench_names");
    put_text("@booted");
    put_end();
    sys3(SYS_syslog, SYSLOG_CONSOLE_LEVEL, 0, 1); /* the kernel's messages must not run into our lines */
    sys2(SYS_mkdir, "/tmp", 0777);
    long rc = sys5(SYS_mount, "tmpfs", "/tmp", "tmpfs", 0, 0);
    if (rc < 0)
        program_fail("mount", rc);
    measure_all(ms ? number_of(ms) : 0, names ? names : "all");
    const uint32_t pause[2] = {0, 300000000}; /* time to ask the engine for its statistics */
    sys2(SYS_nanosleep, pause, 0);
    sys3(SYS_reboot, REBOOT_MAGIC1, REBOOT_MAGIC2, REBOOT_POWER_OFF);
    for (;;)
        sys0(SYS_pause);
}

void program_start(const uint32_t *at);
void program_start(const uint32_t *at)
{
    uint32_t argc = at[0];
    const char *const *argv = (const char *const *)(at + 1);
    const uint32_t *envp = at + argc + 2, *aux = envp;

    if (argc == 2 && text_is(argv[1], "exit"))
        sys1(SYS_exit, 0);
    while (*aux++)
        ;
    for (; aux[0]; aux += 2)
        if (aux[0] == AT_SYSINFO)
            sys_entry = (void *)aux[1];
    if (sys0(SYS_getpid) == 1) {
        guest_run(envp);
    } else if (argc == 5 && text_is(argv[1], "measure")) {
        program_path = argv[0];
        program_folder = argv[2];
        measure_all(number_of(argv[3]), argv[4]);
        sys1(SYS_exit, 0);
    }
    program_fail("usage: program measure FOLDER MILLISECONDS all|NAME,...", 0);
}
