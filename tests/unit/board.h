/* What every chip test needs: a recorder on the end of a wire, port access, a save and load round trip. */
#pragma once

#include <glib.h>
#include <string.h>

#include "device.h"
#include "ioport.h"
#include "irq.h"
#include "vclock.h"

struct wire {
    bool level;
    unsigned rises, falls;
};

static inline void wire_set(void *opaque, int line, bool level)
{
    struct wire *wire = opaque;
    if (level && !wire->level)
        wire->rises++;
    if (!level && wire->level)
        wire->falls++;
    wire->level = level;
}

static inline struct irq wire_irq(struct wire *wire)
{
    return (struct irq){wire_set, wire, 0};
}

/* For wires that carry pulses: each call counts. */
static inline void pulse_count(void *opaque, int line, bool level)
{
    unsigned *count = opaque;
    *count += level;
}

static inline void outb(uint16_t port, uint8_t value)
{
    ioport_write(port, 1, value);
}

static inline uint8_t inb(uint16_t port)
{
    return (uint8_t)ioport_read(port, 1);
}

static inline GByteArray *device_saved(const struct device_class *class, void *dev)
{
    GByteArray *bytes = g_byte_array_new();
    device_save(class, dev, bytes);
    return bytes;
}

/* Loads what was saved into another instance and checks that it saves the same. Frees bytes. */
static inline void device_load_checked(const struct device_class *class, void *dev, GByteArray *bytes)
{
    /* Damaged blobs are refused, first of all: they must leave the device usable. */
    g_assert_false(device_load(class, dev, bytes->data, bytes->len - 1));
    g_assert_false(device_load(class, dev, bytes->data, 3));
    g_assert_true(device_load(class, dev, bytes->data, bytes->len));
    GByteArray *again = device_saved(class, dev);
    g_assert_cmpmem(bytes->data, bytes->len, again->data, again->len);
    g_byte_array_unref(again);
    g_byte_array_unref(bytes);
}

#define MS 1000000ll
#define US 1000ll
