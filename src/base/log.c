/* Messages to the user, logs of `-d`, rate-limited guest mistakes, assertions. See log.h. */
#include "log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "flight.h"

uint32_t log_enabled;

static FILE *log_file; /* NULL: stderr */
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool user_timestamps;
static const char *user_name;

/* QEMU's names and what it says of them, as far as there is something to say about here, and our own. */
static const struct {
    const char *name;
    uint32_t mask;
    const char *text; /* NULL: another name, which -d help does not tell of */
} log_items[] = {
    {"tr", LOG_TR, "show guest and host code of each translated block side by side"},
    {"out_asm", LOG_TR, "the same (QEMU: host code alone)"},
    {"op", LOG_TR, "the same (QEMU: micro ops)"},
    {"op_opt", LOG_TR, NULL},
    {"op_ind", LOG_TR, NULL},
    {"in_asm", LOG_ASM, "show guest code of each translated block"},
    {"int", LOG_INT, "show interrupts/exceptions in short format"},
    {"exec", LOG_EXEC, "show trace before each block that is entered (lots of logs)"},
    {"cpu", LOG_CPU, "show CPU registers before each such block or interpreted instruction (lots of logs)"},
    {"fpu", LOG_FPU, "include FPU registers in the 'cpu' logging"},
    {"mmu", LOG_MMU, "log what windows map and drop"},
    {"io", LOG_IO, "log accesses to ports and memory that nobody claims"},
    {"pcall", LOG_PCALL, "show protected mode far calls/jumps/returns"},
    {"cpu_reset", LOG_RESET, "show CPU state before CPU resets, and what came before a triple fault"},
    {"guest_errors", LOG_GUEST, "log when the guest OS does something invalid"},
    {"nochain", LOG_NOCHAIN, "do not chain blocks, so that \"exec\" and \"cpu\" show complete traces"},
    {"page", LOG_IDLE, NULL},
    {"plugin", LOG_IDLE, NULL},
    {"strace", LOG_IDLE, NULL},
    {"unimp", LOG_IDLE, NULL},
    {"vpu", LOG_IDLE, NULL},
};

void log_print_items(GString *out)
{
    g_string_append(out, "Log items (comma separated):\n");
    for (unsigned i = 0; i < sizeof(log_items) / sizeof(log_items[0]); i++) {
        if (log_items[i].text)
            g_string_append_printf(out, "%-15s %s\n", log_items[i].name, log_items[i].text);
    }
}

static uint32_t log_item_mask(const char *name, size_t len)
{
    for (unsigned i = 0; i < sizeof(log_items) / sizeof(log_items[0]); i++) {
        if (strlen(log_items[i].name) == len && !memcmp(log_items[i].name, name, len))
            return log_items[i].mask;
    }
    return 0;
}

bool log_parse(const char *items, const char **bad)
{
    uint32_t mask = 0;

    for (const char *item = items; *item;) {
        size_t len = strcspn(item, ",");
        uint32_t bit = log_item_mask(item, len);
        if (!bit) {
            *bad = item;
            return false;
        }
        mask |= bit;
        item += len;
        item += *item == ',';
    }
    log_enabled |= mask;
    return true;
}

#define FILTERS 64

static struct {
    uint32_t first, last;
} log_filters[FILTERS];
static unsigned log_filter_count; /* 0: all is wanted */

/* "FIRST..LAST", "FIRST+LEN", "LAST-LEN"; *end: behind it. */
static bool parse_range(const char *text, char **end, uint64_t *first, uint64_t *last)
{
    uint64_t a = strtoull(text, end, 0), b;
    if (*end == text)
        return false;
    char kind = **end;
    const char *second = *end + (kind == '.' ? 2 : 1);
    if (!(kind == '+' || kind == '-' || (kind == '.' && (*end)[1] == '.')))
        return false;
    b = strtoull(second, end, 0);
    if (*end == second || (kind != '.' && b == 0))
        return false;
    *first = kind == '-' ? a - (b - 1) : a;
    *last = kind == '+' ? a + (b - 1) : kind == '-' ? a : b;
    return *first <= *last && *last <= UINT32_MAX;
}

bool log_filter(const char *ranges)
{
    unsigned n = 0;
    for (const char *text = ranges;; n++) {
        uint64_t first, last;
        char *end;
        if (n == FILTERS || !parse_range(text, &end, &first, &last) || (*end && *end != ','))
            return false;
        log_filters[n].first = (uint32_t)first;
        log_filters[n].last = (uint32_t)last;
        if (!*end)
            break;
        text = end + 1;
    }
    log_filter_count = n + 1;
    return true;
}

bool log_wants(uint32_t gla)
{
    for (unsigned i = 0; i < log_filter_count; i++) {
        if (gla >= log_filters[i].first && gla <= log_filters[i].last)
            return true;
    }
    return !log_filter_count;
}

bool log_open(const char *path)
{
    FILE *file = fopen(path, "we");

    if (!file)
        return false;
    setvbuf(file, NULL, _IOLBF, 0);
    pthread_mutex_lock(&log_mutex);
    FILE *old = log_file;
    log_file = file;
    pthread_mutex_unlock(&log_mutex);
    if (old)
        fclose(old);
    fcntl(fileno(file), F_SETFL, O_APPEND); /* messages may go there, too, by way of another descriptor */
    return true;
}

static void log_vprintf(const char *prefix, const char *fmt, va_list args)
{
    /* One piece per message: several threads log, and one may change the file. A listing of a block may be many lines
     * long. */
    pthread_mutex_lock(&log_mutex);
    FILE *file = log_file ? log_file : stderr;
    fputs(prefix, file);
    vfprintf(file, fmt, args);
    pthread_mutex_unlock(&log_mutex);
}

void log_printf(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_vprintf("", fmt, args);
    va_end(args);
}

#define GUEST_LINES_PER_SECOND 20

void log_guest(const char *fmt, ...)
{
    static time_t second;
    static unsigned lines;
    struct timespec now;
    va_list args;

    if (!log_on(LOG_GUEST))
        return;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec != second) {
        second = now.tv_sec;
        lines = 0;
    }
    if (lines++ >= GUEST_LINES_PER_SECOND) {
        if (lines == GUEST_LINES_PER_SECOND + 1)
            log_printf("guest: (more of this, not shown for the rest of this second)\n");
        return;
    }
    va_start(args, fmt);
    log_vprintf("guest: ", fmt, args);
    va_end(args);
    if (fmt[0] && fmt[strlen(fmt) - 1] != '\n')
        log_printf("\n");
}

void log_user(const char *fmt, ...)
{
    char line[1024], when[48] = "";
    struct timespec now;
    struct tm tm;
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (user_timestamps) {
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(when + strlen(when), sizeof(when) - strlen(when), ".%06ldZ ", now.tv_nsec / 1000);
    }
    fprintf(stderr, "%s%s%sringer: %s\n", when, user_name ? user_name : "", user_name ? " " : "", line);
}

void log_set_prefix(bool timestamps, const char *name)
{
    user_timestamps = timestamps;
    user_name = name;
}

void assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "ringer: internal error: %s (%s:%d); please report it\n", expr, file, line);
    flight_dump(STDERR_FILENO);
    abort();
}
