/* Saving and loading a device's regs as named fields, so that snapshots survive added fields.
 *
 * The blob: u16 version, u16 count, then per field u8 name length, name, u32 size, bytes. All little
 * endian, as the host is. A field the blob lacks keeps its reset value; a field we do not know, or of
 * another size, makes the load fail.
 */
#pragma once

#include <glib.h>

#include "types.h"

struct state_field {
    const char *name;
    uint32_t offset, size;
};

#define STATE_FIELD(type, member) \
    { \
#member, offsetof(struct type, member), sizeof(((struct type *)NULL)->member) \
    }

struct state_layout {
    uint16_t version; /* raised when a field changes its meaning */
    uint16_t count;
    const struct state_field *field;
};

void state_save(const struct state_layout *layout, const void *regs, GByteArray *out);
/* False when the bytes do not fit; regs is then unchanged. */
bool state_load(const struct state_layout *layout, void *regs, size_t regs_size, const uint8_t *bytes, size_t len);
