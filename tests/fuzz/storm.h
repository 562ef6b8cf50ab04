/* What the storms over cards share: chance, a board with one card on it, its registers and states, and a watch over the
 * time that an operation takes. A storm includes it once, and says how its board is made: board_build() and
 * board_free(); STORM is its name.
 */
#pragma once

#include <glib.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "board/registry.h"
#include "chance.h"
#include "device.h"
#include "input.h"
#include "ioport.h"
#include "lock.h"
#include "log.h"
#include "mem.h"
#include "vclock.h"

#define RAM       (4 * MiB)
#define ROM       0x3f0000u /* a piece of it that cannot be written */
#define ROM_SIZE  0x4000u
#define STUCK_S   20    /* of processor time for one operation, on the slowest host */
#define LIFE      4000u /* operations, about, before a board is made afresh */
#define GROWTH    (1024 * 1024)
#define PORT_BASE 0xc000u
#define MMIO_BASE 0xe0000000u

#ifdef __SANITIZE_ADDRESS__
#define HAS_ASAN true
#else
#define HAS_ASAN false
#endif

/* --- Chance --- */

static uint64_t seed, op_now;
static const struct device_class *class_now;

#define FAIL(...) \
    do { \
        char *what = g_strdup_printf(__VA_ARGS__); \
        g_error("%s, seed %llu, operation %llu: %s", class_now->name, (unsigned long long)seed, \
                (unsigned long long)op_now, what); \
    } while (0)

/* One address in so many is a bad one; it changes, as rings that work need some luck. */
static uint32_t odds = 4;

static uint32_t page(void)
{
    return 0x10000 + below(64) * PAGE_SIZE;
}

/* Mostly pages that somebody prepares; else the ROM, the end of RAM and what is behind it, registers. */
static uint32_t address(void)
{
    switch (below(odds) ? 5 : below(5)) {
    case 0:
        return ROM + below(ROM_SIZE);
    case 1:
        return RAM - below(64);
    case 2:
        return MMIO_BASE + below(0x100000);
    case 3:
        return below(2) ? 0xfffffff0u + below(16) : 0xfee00000u + below(0x1000);
    case 4:
        return rnd();
    default:
        return page() + (below(4) ? below(16) * 16 : below(PAGE_SIZE));
    }
}

/* Numbers as devices know them: small ones, single bits, all ones, addresses, anything. */
static uint32_t value(void)
{
    switch (below(8)) {
    case 0:
        return below(4);
    case 1:
        return 1u << below(32);
    case 2:
        return ~0u;
    case 3:
        return below(256);
    case 4:
        return below(0x10000);
    case 5:
        return address();
    default:
        return rnd();
    }
}

static inline uint32_t length(void)
{
    static const uint32_t edges[] = {0, 1, 4, 13, 14, 59, 60, 64, 1514, 1518, 1519, 1522, 2048, 4095, 4096, 16384};
    switch (below(4)) {
    case 0:
        return edges[below(G_N_ELEMENTS(edges))];
    case 1:
        return below(0x10001);
    default:
        return below(1600);
    }
}

/* --- The board --- */

static inline void memory_make(void)
{
    GError *error = NULL;
    if (!mem_init(RAM, &error))
        g_error("%s", error->message);
    mem_set_rom(ROM, ROM_SIZE, true);
}

static struct registry *registry;
static const struct instance *card;

static struct {
    uint32_t base, size; /* size 0: not there */
    bool is_io;
} bars[6];
static unsigned bar_list[6], bar_count;

static void board_build(void);
static void board_free(void);

static uint32_t config_read(unsigned offset)
{
    ioport_write(0xcf8, 4, 0x80000000u | card->site.unit << 8 | (offset & 0xfc));
    return ioport_read(0xcfc, 4);
}

static void config_write(unsigned offset, unsigned size, uint32_t v)
{
    ioport_write(0xcf8, 4, 0x80000000u | card->site.unit << 8 | (offset & 0xfc));
    ioport_write((uint16_t)(0xcfc + (offset & 3)), size, v);
}

static void bars_place(void)
{
    for (unsigned i = 0; i < 6; i++) {
        if (bars[i].size)
            config_write(0x10 + 4 * i, 4, bars[i].base);
    }
    config_write(4, 2, 7);
}

static void bars_find(void)
{
    bar_count = 0;
    memset(bars, 0, sizeof bars);
    if (card->class->bus == BUS_ISA) { /* whatever answers where ISA cards are */
        for (uint32_t port = 0x200; port < 0x400; port++) {
            if (ioport_is_free((uint16_t)port, 1))
                continue;
            bars[0].base = bars[0].size ? bars[0].base : port;
            bars[0].size = port + 1 - bars[0].base;
        }
        bars[0].is_io = true;
        bar_list[bar_count++] = 0;
        return;
    }
    for (unsigned i = 0; i < 6; i++) {
        uint32_t old = config_read(0x10 + 4 * i), mask;
        config_write(0x10 + 4 * i, 4, ~0u);
        mask = config_read(0x10 + 4 * i);
        config_write(0x10 + 4 * i, 4, old);
        if (mask == old && !mask)
            continue;
        bars[i].is_io = mask & 1;
        bars[i].size = -(mask & (mask & 1 ? ~3u : ~15u));
        if (bars[i].is_io)
            bars[i].size &= 0xffff;
        bars[i].base = bars[i].is_io ? PORT_BASE + 0x400 * i : MMIO_BASE + 0x1000000 * i;
        bar_list[bar_count++] = i;
        if ((mask & 7) == 4) /* 64 bits: the upper half stays 0 */
            config_write(0x10 + 4 * ++i, 4, 0);
    }
    bars_place();
}

static bool bus_is_asked; /* for bus masters' work, which the processor's thread lets them do */

static void ask_bus(void *opaque, int line, bool level)
{
    bus_is_asked |= level;
}

static void grant_bus(void)
{
    bus_is_asked = false;
    registry_bus_granted(registry);
}

/* The command register, or any other; mostly the ranges are put back. */
static inline void touch_config(void)
{
    if (below(2))
        config_write(4, 2, value());
    else
        config_write(below(256), 1u << below(3), value());
    if (below(4))
        bars_place();
}

/* --- People --- */

static inline void input_act(const struct input_sink *sink)
{
    input_sink_is_on(sink);
    if (sink->key)
        sink->key(sink->opaque, (uint16_t)(below(2) ? below(0x80) : value()), below(2));
    if (sink->mouse)
        sink->mouse(sink->opaque, (int)below(20) - 10, (int)value(), (int)below(3) - 1, below(8) ? below(4) : value());
    if (sink->absolute)
        sink->absolute(sink->opaque, value(), below(40000), (int)below(3) - 1, below(4));
}

/* --- Registers --- */

static void reg_write(unsigned bar, uint32_t offset, unsigned size, uint32_t v)
{
    uint8_t bytes[8];
    memcpy(bytes, &v, 4);
    memcpy(bytes + 4, &v, 4);
    if (!bars[bar].size)
        return;
    if (bars[bar].is_io)
        ioport_write((uint16_t)(bars[bar].base + offset), MIN(size, 4u), v);
    else
        mem_write(bars[bar].base + offset, bytes, size);
}

static uint32_t reg_read(unsigned bar, uint32_t offset, unsigned size)
{
    uint8_t bytes[8] = {0};
    uint32_t v = 0;
    if (!bars[bar].size)
        return 0;
    if (bars[bar].is_io)
        return ioport_read((uint16_t)(bars[bar].base + offset), MIN(size, 4u));
    mem_read(bars[bar].base + offset, bytes, size);
    memcpy(&v, bytes, 4);
    return v;
}

static void touch_register(bool is_write)
{
    static uint32_t last; /* read, change, write back; and the same one again */
    if (!bar_count)
        return;
    unsigned bar = bar_list[below(bar_count)], size = 1u << below(4);
    uint32_t reach = below(4) ? MIN(bars[bar].size, 0x100u) : bars[bar].size;
    uint32_t offset = below(reach ? reach : 1);
    if (below(8))
        offset &= ~(size - 1);
    if (!is_write)
        last = reg_read(bar, offset, size);
    else
        reg_write(bar, offset, size, below(8) ? value() : last ^ (1u << below(32)));
}

/* --- States --- */

static bool has_state(const struct instance *instance)
{
    return instance->class->layout || instance->class->pieces;
}

static GByteArray *saved(const struct instance *instance)
{
    GByteArray *bytes = g_byte_array_new();
    device_save(instance->class, instance->dev, bytes);
    return bytes;
}

static void save_and_load(void)
{
    GByteArray *bytes = saved(card);
    if (!device_load(card->class, card->dev, bytes->data, bytes->len))
        FAIL("its own state is refused");
    GByteArray *again = saved(card);
    for (unsigned i = 0; i < MAX(again->len, bytes->len); i++) {
        if (i >= again->len || i >= bytes->len || again->data[i] != bytes->data[i])
            FAIL("what was loaded is saved otherwise, from byte %u on", i);
    }
    g_byte_array_unref(again);
    g_byte_array_unref(bytes);
}

/* Refused, or a card that can be gone on with. */
static void load_damaged(void)
{
    GByteArray *bytes = saved(card);
    for (unsigned i = below(6); i-- && bytes->len;)
        bytes->data[below(bytes->len)] = (uint8_t)value();
    device_load(card->class, card->dev, bytes->data, below(10) ? bytes->len : below(bytes->len + 1));
    g_byte_array_unref(bytes);
}

/* The whole board in another process, as it were: the frame that the cable holds is not there any more. */
static void move(void)
{
    GPtrArray *states = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    const struct instance *instance;
    for (unsigned i = 0; (instance = registry_instance(registry, i)); i++)
        g_ptr_array_add(states, has_state(instance) ? saved(instance) : g_byte_array_new());
    board_free();
    board_build();
    for (unsigned i = 0; (instance = registry_instance(registry, i)); i++) {
        const GByteArray *bytes = g_ptr_array_index(states, i);
        if (has_state(instance) && !device_load_regs(instance->class, instance->dev, bytes->data, bytes->len))
            FAIL("the state of %s does not fit a new one", instance->id);
    }
    for (unsigned i = 0; (instance = registry_instance(registry, i)); i++) {
        if (has_state(instance) && !device_after_load(instance->class, instance->dev))
            FAIL("the state of %s is refused by a new one", instance->id);
    }
    g_ptr_array_unref(states);
}

static void dump_card(void)
{
    GString *text = g_string_new(NULL);
    if (card->class->dump)
        card->class->dump(card->dev, text);
    g_string_free(text, TRUE);
}

/* Now and then the board moves to another process, or is made anew. */
static void renew(void (*make)(void))
{
    if (below(LIFE))
        return;
    if (below(4)) {
        move();
    } else {
        board_free();
        make();
    }
}

/* --- Time --- */

static void let_time_pass(void)
{
    static const int64_t most[] = {1, 2000, 100000, 3000000, 100000000};
    int64_t ns = (int64_t)(rnd() % (uint64_t)most[below(below(8) ? 4 : 5)]);
    machine_unlock();
    for (unsigned i = 0; i < 8; i++) { /* in slices, as work asks for time and time for work */
        vclock_fake_advance(ns / 8);
        machine_lock();
        if (bus_is_asked)
            grant_bus();
        machine_unlock();
    }
    machine_lock();
}

/* --- One operation may not take for ever --- */

static void stuck(int sig)
{
    char text[160];
    int len = snprintf(text, sizeof text, STORM ": %s, seed %llu, operation %llu is stuck\n", class_now->name,
                       (unsigned long long)seed, (unsigned long long)op_now);
    if (write(STDERR_FILENO, text, (size_t)len) < 0)
        _exit(2);
    abort();
}

static void watch(void)
{
    struct itimerval limit = {.it_value.tv_sec = STUCK_S};
    if (op_now % 64 == 0)
        setitimer(ITIMER_VIRTUAL, &limit, NULL);
}

/* What the process has allocated while it has no board. ASan counts for itself: leaks are found at the end. */
static size_t allocated(void)
{
    return HAS_ASAN ? 0 : mallinfo2().uordblks;
}

/* Operations on the board that there is, which make() makes anew, and then frees; with the machine lock held on the way
 * in, not on the way out. How many seconds that took. */
static double storm_run(uint64_t ops, void (*make)(void), void (*step)(void))
{
    size_t before = 0;
    int64_t began = g_get_monotonic_time();
    for (op_now = 0; op_now < ops; op_now++) {
        if (op_now == ops / 4) { /* by now, what is allocated once is */
            board_free();
            before = allocated();
            make();
        }
        watch();
        step();
    }
    board_free();
    machine_unlock();
    if (allocated() > before + GROWTH)
        FAIL("%zu bytes more than after a quarter of the time", allocated() - before);
    return (double)(g_get_monotonic_time() - began) / 1e6;
}

/* --ops, --seed, --class; storm() for each class that is_card(). */
static int storm_main(int argc, char **argv, bool (*is_card)(const struct device_class *class),
                      void (*storm)(uint64_t ops))
{
    gint64 ops = 200000, given = -1;
    char *name = NULL;
    GError *error = NULL;
    unsigned count = 0;
    const GOptionEntry entries[] = {{"ops", 0, 0, G_OPTION_ARG_INT64, &ops, "operations for each class", "N"},
                                    {"seed", 0, 0, G_OPTION_ARG_INT64, &given, "the same again", "S"},
                                    {"class", 0, 0, G_OPTION_ARG_STRING, &name, "only this one", "NAME"},
                                    {NULL}};
    GOptionContext *context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error))
        g_error("%s", error->message);
    g_option_context_free(context);
    seed = given >= 0 ? (uint64_t)given : (uint64_t)g_get_real_time();
    printf(STORM ": seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    signal(SIGVTALRM, stuck);
    vclock_fake_start();
    memory_make();
    for (unsigned i = 0; (class_now = device_class_number(i)); i++) {
        if (!is_card(class_now) || (name && strcmp(name, class_now->name) != 0))
            continue;
        storm((uint64_t)ops);
        count++;
    }
    mem_destroy();
    if (!count)
        g_error("there is no such class");
    g_free(name);
    return 0;
}
