/* A machine for the debugger that runs nothing: a processor's state, 256 KiB of memory, a list of points, and a log of
 * what was asked: r run, s step (with its flags), h halt, a attach, d detach.
 */
#pragma once

#include <glib.h>
#include <string.h>

#include "debug.h"
#include "lock.h"

#define FAKE_MEMORY 0x40000u
#define FAKE_POINTS 8u /* budget */

struct fake_target {
    struct debug_target target;
    struct debug_client client;
    struct cpu cpu;
    uint8_t memory[FAKE_MEMORY];
    bool running, attached, refuses, held; /* held: by somebody else, so that run() does not help */
    GArray *points;                        /* struct fake_point */
    GString *log;
};
struct fake_point {
    enum debug_point kind;
    gla_t address;
    uint32_t len;
};

static inline void fake_stopped(struct fake_target *fake, struct debug_stop stop)
{
    fake->running = false;
    if (fake->attached)
        fake->client.stopped(fake->client.opaque, &stop);
}

static bool fake_attach(void *opaque, const struct debug_client *client, GError **error)
{
    struct fake_target *fake = opaque;
    g_assert_false(machine_is_locked());
    g_assert_false(fake->attached);
    if (fake->refuses) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "there is a debugger already");
        return false;
    }
    g_string_append_c(fake->log, 'a');
    fake->client = *client;
    fake->attached = true;
    if (fake->running)
        fake_stopped(fake, (struct debug_stop){.why = DEBUG_ASKED});
    return true;
}

static void fake_detach(void *opaque)
{
    struct fake_target *fake = opaque;
    g_assert_true(fake->attached);
    g_string_append_c(fake->log, 'd');
    fake->attached = false;
    fake->running = !fake->held;
    g_array_set_size(fake->points, 0);
}

static void fake_stop(void *opaque)
{
    struct fake_target *fake = opaque;
    g_string_append_c(fake->log, 'h');
    if (fake->running)
        fake_stopped(fake, (struct debug_stop){.why = DEBUG_ASKED});
}

static bool fake_is_running(void *opaque)
{
    return ((struct fake_target *)opaque)->running;
}

static void fake_run(void *opaque)
{
    struct fake_target *fake = opaque;
    g_assert_true(fake->attached && !fake->running);
    g_string_append_c(fake->log, 'r');
    fake->running = !fake->held;
}

static void fake_step(void *opaque, unsigned flags)
{
    struct fake_target *fake = opaque;
    g_assert_true(fake->attached && !fake->running);
    g_string_append_printf(fake->log, "s%u", flags);
    fake->cpu.eip++;
    fake_stopped(fake, (struct debug_stop){.why = DEBUG_STEP});
}

static const struct cpu *fake_cpu(void *opaque)
{
    return &((struct fake_target *)opaque)->cpu;
}

/* A selector's base is its 16-fold in every mode; CR4 takes nothing. */
static bool fake_write_register(void *opaque, enum debug_register reg, unsigned number, const uint8_t *value,
                                size_t len)
{
    struct fake_target *fake = opaque;
    struct cpu *cpu = &fake->cpu;
    uint32_t value32;
    g_assert_false(fake->running);
    g_assert_cmpuint(len, ==, reg == DEBUG_ST ? 10 : reg == DEBUG_XMM ? 16 : 4);
    memcpy(&value32, value, sizeof(value32));
    switch (reg) {
    case DEBUG_GPR:
        g_assert_cmpuint(number, <, 8);
        cpu->gpr[number] = value32;
        return true;
    case DEBUG_EIP:
        cpu->eip = value32;
        return true;
    case DEBUG_EFLAGS:
        cpu->eflags = value32;
        return true;
    case DEBUG_SEG:
        g_assert_cmpuint(number, <, SEG_LDTR);
        cpu->seg[number].sel = (uint16_t)value32;
        cpu->seg[number].base = value32 << 4;
        return true;
    case DEBUG_SEG_BASE:
        g_assert_cmpuint(number, <, SEG_LDTR);
        cpu->seg[number].base = value32;
        return true;
    case DEBUG_CR:
        if (number == 0)
            cpu->cr0 = value32;
        return number == 0;
    case DEBUG_ST:
        memcpy(cpu->fpu.st[number], value, len);
        return true;
    case DEBUG_XMM:
        memcpy(cpu->fpu.xmm[number], value, len);
        return true;
    default:
        return true;
    }
}

/* The last quarter is a hole in linear memory; physical addresses are 0x100 lower. */
static bool fake_memory(struct fake_target *fake, bool physical, uint64_t address, size_t len, uint64_t *place)
{
    uint64_t end = physical ? FAKE_MEMORY - 0x100 : FAKE_MEMORY / 4 * 3;
    g_assert_cmpuint(len, >, 0);
    g_assert_cmpuint(address % 4096 + len, <=, 4096);
    g_assert_false(fake->running);
    *place = address + (physical ? 0x100 : 0);
    return address <= end && len <= end - address;
}

static bool fake_read_memory(void *opaque, bool physical, uint64_t address, uint8_t *bytes, size_t len)
{
    struct fake_target *fake = opaque;
    uint64_t place;
    if (!fake_memory(fake, physical, address, len, &place))
        return false;
    memcpy(bytes, fake->memory + place, len);
    return true;
}

static bool fake_write_memory(void *opaque, bool physical, uint64_t address, const uint8_t *bytes, size_t len)
{
    struct fake_target *fake = opaque;
    uint64_t place;
    if (!fake_memory(fake, physical, address, len, &place))
        return false;
    memcpy(fake->memory + place, bytes, len);
    return true;
}

static bool fake_point_add(void *opaque, enum debug_point kind, gla_t address, uint32_t len)
{
    struct fake_target *fake = opaque;
    struct fake_point point = {kind, address, len};
    g_assert_true(fake->attached && len >= 1 && len <= 4096);
    if (fake->points->len == FAKE_POINTS)
        return false;
    g_array_append_val(fake->points, point);
    return true;
}

static bool fake_point_remove(void *opaque, enum debug_point kind, gla_t address, uint32_t len)
{
    struct fake_target *fake = opaque;
    for (guint i = 0; i < fake->points->len; i++) {
        struct fake_point *point = &g_array_index(fake->points, struct fake_point, i);
        if (point->kind == kind && point->address == address && point->len == len) {
            g_array_remove_index(fake->points, i);
            return true;
        }
    }
    return false;
}

static inline struct fake_target *fake_target_new(void)
{
    struct fake_target *fake = g_new0(struct fake_target, 1);
    fake->target = (struct debug_target){
        .opaque = fake,
        .attach = fake_attach,
        .detach = fake_detach,
        .stop = fake_stop,
        .is_running = fake_is_running,
        .run = fake_run,
        .step = fake_step,
        .cpu = fake_cpu,
        .write_register = fake_write_register,
        .read_memory = fake_read_memory,
        .write_memory = fake_write_memory,
        .point_add = fake_point_add,
        .point_remove = fake_point_remove,
    };
    fake->running = true;
    fake->points = g_array_new(FALSE, FALSE, sizeof(struct fake_point));
    fake->log = g_string_new(NULL);
    return fake;
}

static inline void fake_target_free(struct fake_target *fake)
{
    g_array_unref(fake->points);
    g_string_free(fake->log, TRUE);
    g_free(fake);
}
