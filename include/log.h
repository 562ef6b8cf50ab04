/* Messages: to the user (one sentence that says what to do), about the guest's mistakes
 * (rate-limited, `-d guest_errors`), and assertions that stay on in release builds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_mask {
    LOG_GUEST = 1u << 0,    /* guest_errors: the guest did what a manual forbids */
    LOG_TR = 1u << 1,       /* tr, op, out_asm: every translated block, guest and host side by side */
    LOG_INT = 1u << 2,      /* int: exceptions and interrupts delivered */
    LOG_EXEC = 1u << 3,     /* exec: every block dispatched */
    LOG_MMU = 1u << 4,      /* mmu: shadow fills and drops */
    LOG_IO = 1u << 5,       /* io: port and MMIO accesses nobody claims */
    LOG_CPU = 1u << 6,      /* cpu: registers before each dispatched instruction or block */
    LOG_RESET = 1u << 7,    /* cpu_reset: registers before each reset, and where a triple fault happened */
    LOG_IDLE = 1u << 8,     /* items of QEMU's that say nothing here */
    LOG_ASM = 1u << 9,      /* in_asm: every translated block's guest code */
    LOG_PCALL = 1u << 10,   /* pcall: far calls, jumps and returns in protected mode */
    LOG_FPU = 1u << 11,     /* fpu: the FPU too where LOG_CPU shows registers */
    LOG_NOCHAIN = 1u << 12, /* nochain: blocks are entered one by one, so that LOG_EXEC and LOG_CPU tell of each */
};

extern uint32_t log_enabled; /* bits of enum log_mask; set by `-d`, read everywhere */

/* Parses the argument of `-d` ("tr,int"). On an unknown item returns false and stores a pointer to
 * it in *bad (points into items). */
bool log_parse(const char *items, const char **bad);
/* What `-d help` prints. */
struct _GString;
void log_print_items(struct _GString *out);
/* Parses the argument of `-dfilter` ("0x1000..0x1fff,0x7c00+0x200"): addresses of code that LOG_ASM, LOG_TR, LOG_EXEC
 * and LOG_CPU are about. False, and nothing is filtered: it is no such list. */
bool log_filter(const char *ranges);
bool log_wants(uint32_t gla); /* the filter lets it through */
/* Opens `-D FILE`; false with errno set on failure. */
bool log_open(const char *path);
void log_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define log_on(mask) __builtin_expect((log_enabled & (mask)) != 0, 0)
#define log_at(mask, ...) \
    do { \
        if (log_on(mask)) \
            log_printf(__VA_ARGS__); \
    } while (0)

/* The guest did something a real chip would quietly ignore. At most some per second are printed. */
void log_guest(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Prints "ringer: ..." to stderr. One sentence: what is wrong and what to do. */
void log_user(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Before each: the time (as in 2026-11-28T22:39:38.088099Z), and the machine's name, or NULL. */
void log_set_prefix(bool timestamps, const char *name);

_Noreturn void assert_failed(const char *expr, const char *file, int line);
/* For our own bugs only; must not be reachable by anything a guest does. On in release builds. */
#define assert_always(expr) \
    do { \
        if (__builtin_expect(!(expr), 0)) \
            assert_failed(#expr, __FILE__, __LINE__); \
    } while (0)
