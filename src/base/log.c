/* Messages to the user, logs of `-d`, rate-limited guest mistakes, assertions. See log.h. */
#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint32_t log_enabled;

static FILE *log_file; /* NULL: stderr */
static bool user_timestamps;
static const char *user_name;

static const struct {
    const char *name;
    uint32_t mask;
} log_items[] = {
    {"guest_errors", LOG_GUEST},
    {"tr", LOG_TR},
    {"int", LOG_INT},
    {"exec", LOG_EXEC},
    {"mmu", LOG_MMU},
    {"io", LOG_IO},
    {"cpu", LOG_CPU},
    {"cpu_reset", LOG_RESET},
    /* QEMU's names for what we have, and for what there is nothing to say about here. */
    {"in_asm", LOG_TR},
    {"out_asm", LOG_TR},
    {"op", LOG_TR},
    {"op_opt", LOG_TR},
    {"pcall", LOG_INT},
    {"page", LOG_MMU},
    {"fpu", LOG_IDLE},
    {"nochain", LOG_IDLE},
    {"plugin", LOG_IDLE},
    {"strace", LOG_IDLE},
    {"unimp", LOG_IDLE},
    {"vpu", LOG_IDLE},
};

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

bool log_open(const char *path)
{
    FILE *file = fopen(path, "we");

    if (!file)
        return false;
    if (log_file)
        fclose(log_file);
    log_file = file;
    fcntl(fileno(file), F_SETFL, O_APPEND); /* messages may go there, too, by way of another descriptor */
    setvbuf(file, NULL, _IOLBF, 0);
    return true;
}

static void log_vprintf(const char *prefix, const char *fmt, va_list args)
{
    FILE *file = log_file ? log_file : stderr;

    /* One piece per message: several threads log. A listing of a block may be many lines long. */
    flockfile(file);
    fputs(prefix, file);
    vfprintf(file, fmt, args);
    funlockfile(file);
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
    abort();
}
