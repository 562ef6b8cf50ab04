/* The flight recorder. See flight.h. Readers take no lock: an entry that is being written while it is read is shown as
 * it then is, which is as good as one that is lost. */
#include "flight.h"

#include <stdio.h>
#include <string.h>
#include <x86intrin.h>

#define EVENTS 256
#define EXITS  64

static struct {
    struct event {
        uint64_t tsc;
        uint8_t kind, cpl;
        uint16_t cs;
        uint32_t eip, a, b, c;
    } event[EVENTS];
    struct left {
        uint32_t eip;
        uint32_t reason;
    } left[EXITS];
    uint32_t events, exits; /* so far */
    uint64_t first_tsc;
    int64_t first_us; /* of the host's clock */
} flight;

static const char *const exit_names[EXIT_COUNT] = {
    [EXIT_BUDGET] = "budget", [EXIT_KICK] = "kick",     [EXIT_HALT] = "halt",   [EXIT_SHUTDOWN] = "shutdown",
    [EXIT_DEVICE] = "device", [EXIT_LOOKUP] = "lookup", [EXIT_CHAIN] = "chain", [EXIT_INTERP] = "interp",
    [EXIT_FPU] = "fpu",       [EXIT_STALE] = "stale",   [EXIT_SITE] = "site",   [EXIT_GATE] = "gate",
    [EXIT_FAULT] = "fault"};

void flight_note(enum flight_kind kind, const struct cpu *cpu, uint32_t a, uint32_t b, uint32_t c)
{
    /* Guests raise exceptions and call their kernels a million times a second: a look at the clock would show. */
    uint64_t now = kind == FLIGHT_EXCEPTION || kind == FLIGHT_SOFT_INT ? 0 : __rdtsc();
    if (now && unlikely(!flight.first_tsc)) {
        flight.first_us = g_get_monotonic_time();
        flight.first_tsc = now;
    }
    flight.event[flight.events % EVENTS] =
        (struct event){now, (uint8_t)kind, cpu->cpl, cpu->seg[SEG_CS].sel, cpu->eip, a, b, c};
    __atomic_store_n(&flight.events, flight.events + 1, __ATOMIC_RELEASE);
}

void flight_exit(enum exit_reason reason, uint32_t eip)
{
    flight.left[flight.exits % EXITS] = (struct left){eip, reason};
    __atomic_store_n(&flight.exits, flight.exits + 1, __ATOMIC_RELEASE);
}

/* What happened, in words; returns the length as snprintf does. */
static int describe(char *text, size_t size, const struct event *e)
{
    switch ((enum flight_kind)e->kind) {
    case FLIGHT_EXCEPTION:
        return e->a == EXC_PF ? snprintf(text, size, "exception %02x error=%04x cr2=%08x", e->a, e->b, e->c)
                              : snprintf(text, size, "exception %02x error=%04x", e->a, e->b);
    case FLIGHT_SOFT_INT:
        return snprintf(text, size, "int %02x", e->a);
    case FLIGHT_IRQ:
        return snprintf(text, size, "interrupt %02x", e->a);
    case FLIGHT_CR0:
        return snprintf(text, size, "cr0 %08x, was %08x", e->a, e->b);
    case FLIGHT_TASK:
        return snprintf(text, size, "task %04x", e->a);
    case FLIGHT_TRIPLE:
        return snprintf(text, size, "triple fault");
    case FLIGHT_RESET:
        return snprintf(text, size, "reset");
    case FLIGHT_POINT:
        return snprintf(text, size, "stop of the debugger %u at %08x", e->a, e->b);
    case FLIGHT_KINDS:
        break;
    }
    return snprintf(text, size, "?");
}

/* Line n of all there is, oldest first, without its end; false: that was the last. */
static bool line(unsigned n, char *text, size_t size, int64_t now_us, uint64_t now_tsc)
{
    uint32_t events = __atomic_load_n(&flight.events, __ATOMIC_ACQUIRE);
    uint32_t exits = __atomic_load_n(&flight.exits, __ATOMIC_ACQUIRE);
    unsigned shown = events < EVENTS ? events : EVENTS, left = exits < EXITS ? exits : EXITS;
    if (n < shown) {
        struct event e = flight.event[(events - shown + n) % EVENTS];
        double scale =
            now_tsc > flight.first_tsc ? (double)(now_us - flight.first_us) / (double)(now_tsc - flight.first_tsc) : 0;
        int len = 18;
        memset(text, ' ', (size_t)len);
        if (e.tsc)
            len = snprintf(text, size, "%11.1f us ago", (double)(int64_t)(now_tsc - e.tsc) * scale);
        len += snprintf(text + len, size - (size_t)len, "  %04x:%08x cpl=%u  ", e.cs, e.eip, e.cpl);
        describe(text + len, size - (size_t)len, &e);
        return true;
    }
    n -= shown;
    if (n < left) {
        struct left e = flight.left[(exits - left + n) % EXITS];
        const char *name = e.reason < EXIT_COUNT ? exit_names[e.reason] : "?";
        snprintf(text, size, "   exit of translated code  eip=%08x  %s", e.eip, name);
        return true;
    }
    return false;
}

void flight_print(GString *out)
{
    char text[160];
    int64_t us = g_get_monotonic_time();
    uint64_t tsc = __rdtsc();
    for (unsigned n = 0; line(n, text, sizeof text, us, tsc); n++)
        g_string_append_printf(out, "%s\n", text);
}

void flight_dump(int fd)
{
    char text[160];
    int64_t us = g_get_monotonic_time();
    uint64_t tsc = __rdtsc();
    if (flight.events || flight.exits)
        dprintf(fd, "ringer: what happened last:\n");
    for (unsigned n = 0; line(n, text, sizeof text, us, tsc); n++)
        dprintf(fd, "%s\n", text);
}
