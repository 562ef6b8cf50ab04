/* Saving and loading structs as named fields, so that snapshots survive added fields.
 *
 * A blob: u16 version, u16 count, then per field u8 name length, name, u32 size, bytes. All little endian, as the host
 * is. A field the blob lacks keeps its reset value; a field we do not know, or of another size, makes the load fail.
 */
#pragma once

#include <glib.h>

#include "types.h"

struct state_field {
    const char *name;
    uint32_t offset, size;
    bool is_bool; /* each byte is 0 or 1 */
};

/* A bool, or an array of them: the compiler takes it for granted that no other value is in it. */
#define STATE_IS_BOOL(member) \
    (__builtin_types_compatible_p(typeof(member), bool) || \
     __builtin_types_compatible_p(typeof(member), bool[sizeof(member)]))

#define STATE_FIELD(type, member) \
    { \
#member, offsetof(struct type, member), sizeof(((struct type *)NULL)->member), \
            STATE_IS_BOOL(((struct type *)NULL)->member) \
    }

struct state_layout {
    uint16_t version; /* raised when a field changes its meaning */
    uint16_t count;
    const struct state_field *field;
    uint32_t size; /* of the struct. tests/tools/layouts.py sees that no member is missing */
};

#define STATE_LAYOUT(version, type, fields) \
    { \
        version, G_N_ELEMENTS(fields), fields, sizeof(struct type) \
    }

void state_save(const struct state_layout *layout, const void *regs, GByteArray *out);
/* False when the bytes do not fit; regs is then unchanged. */
bool state_load(const struct state_layout *layout, void *regs, const uint8_t *bytes, size_t len);

/* What a device consists of, one piece after the other. Names are its alone; number tells pieces of one kind apart. */
struct mem_block;
struct state_piece {
    const char *name;
    unsigned number;
    const struct state_layout *layout; /* NULL: plain bytes */
    void *at;
    uint32_t size;
    const struct mem_block *memory; /* of plain bytes: this is what they are */
};
struct state_pieces {
    GArray *piece;
};
void state_add(struct state_pieces *pieces, const char *name, unsigned number, const struct state_layout *layout,
               void *regs);
/* Plain bytes; trailing zeros take no room. */
void state_add_bytes(struct state_pieces *pieces, const char *name, unsigned number, void *bytes, uint32_t size);
/* The first size bytes of a block. */
void state_add_memory(struct state_pieces *pieces, const char *name, const struct mem_block *block, uint32_t size);

/* All pieces as one blob: per piece u8 name length, name, u32 number, u32 size, bytes. */
void state_pieces_save(const struct state_pieces *pieces, GByteArray *out);
/* A piece that the blob lacks stays as it is. False when something does not fit; pieces may then be half loaded. */
bool state_pieces_load(const struct state_pieces *pieces, const uint8_t *bytes, size_t len);
