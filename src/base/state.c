/* Saving and loading structs as named fields: see state.h. */
#include "state.h"

#include <string.h>

#include "log.h"
#include "mem.h"

void state_save(const struct state_layout *layout, const void *regs, GByteArray *out)
{
    uint16_t head[2] = {layout->version, layout->count};
    g_byte_array_append(out, (const uint8_t *)head, sizeof(head));
    for (unsigned i = 0; i < layout->count; i++) {
        const struct state_field *field = &layout->field[i];
        size_t name_len = strlen(field->name);
        assert_always(name_len < 256);
        uint8_t name_byte = (uint8_t)name_len;
        g_byte_array_append(out, &name_byte, 1);
        g_byte_array_append(out, (const uint8_t *)field->name, (guint)name_len);
        g_byte_array_append(out, (const uint8_t *)&field->size, sizeof(field->size));
        g_byte_array_append(out, (const uint8_t *)regs + field->offset, field->size);
    }
}

static const struct state_field *field_find(const struct state_layout *layout, const uint8_t *name, size_t len)
{
    for (unsigned i = 0; i < layout->count; i++) {
        const struct state_field *field = &layout->field[i];
        if (strlen(field->name) == len && memcmp(field->name, name, len) == 0)
            return field;
    }
    return NULL;
}

static bool is_valid(const struct state_field *field, const uint8_t *bytes)
{
    for (uint32_t i = 0; field->is_bool && i < field->size; i++) {
        if (bytes[i] > 1)
            return false;
    }
    return true;
}

bool state_load(const struct state_layout *layout, void *regs, const uint8_t *bytes, size_t len)
{
    uint16_t head[2];
    if (len < sizeof(head))
        return false;
    memcpy(head, bytes, sizeof(head));
    if (head[0] != layout->version)
        return false;

    uint8_t *fresh = g_memdup2(regs, layout->size);
    size_t pos = sizeof(head);
    bool ok = true;
    for (unsigned i = 0; i < head[1] && ok; i++) {
        uint32_t size;
        size_t name_len = pos < len ? bytes[pos] : 0;
        ok = pos + 1 + name_len + sizeof(size) <= len;
        if (!ok)
            break;
        const struct state_field *field = field_find(layout, bytes + pos + 1, name_len);
        memcpy(&size, bytes + pos + 1 + name_len, sizeof(size));
        pos += 1 + name_len + sizeof(size);
        ok = field && field->size == size && size <= len - pos && is_valid(field, bytes + pos);
        if (ok) {
            memcpy(fresh + field->offset, bytes + pos, size);
            pos += size;
        }
    }
    ok = ok && pos == len;
    if (ok)
        memcpy(regs, fresh, layout->size);
    g_free(fresh);
    return ok;
}

/* --- Pieces --- */

void state_add(struct state_pieces *pieces, const char *name, unsigned number, const struct state_layout *layout,
               void *regs)
{
    struct state_piece piece = {.name = name, .number = number, .layout = layout, .at = regs, .size = layout->size};
    g_array_append_val(pieces->piece, piece);
}

void state_add_bytes(struct state_pieces *pieces, const char *name, unsigned number, void *bytes, uint32_t size)
{
    struct state_piece piece = {.name = name, .number = number, .at = bytes, .size = size};
    g_array_append_val(pieces->piece, piece);
}

void state_add_memory(struct state_pieces *pieces, const char *name, const struct mem_block *block, uint32_t size)
{
    struct state_piece piece = {.name = name, .at = block->host, .size = size, .memory = block};
    g_array_append_val(pieces->piece, piece);
}

static uint32_t used_bytes(const uint8_t *bytes, uint32_t size)
{
    while (size >= 8) {
        uint64_t last;
        memcpy(&last, bytes + size - 8, 8);
        if (last)
            break;
        size -= 8;
    }
    while (size && !bytes[size - 1])
        size--;
    return size;
}

void state_pieces_save(const struct state_pieces *pieces, GByteArray *out)
{
    for (unsigned i = 0; i < pieces->piece->len; i++) {
        const struct state_piece *piece = &g_array_index(pieces->piece, struct state_piece, i);
        uint8_t name_len = (uint8_t)strlen(piece->name);
        uint32_t head[2] = {piece->number, 0};
        g_byte_array_append(out, &name_len, 1);
        g_byte_array_append(out, (const uint8_t *)piece->name, name_len);
        guint at = out->len;
        g_byte_array_append(out, (const uint8_t *)head, sizeof(head));
        if (piece->layout)
            state_save(piece->layout, piece->at, out);
        else
            g_byte_array_append(out, piece->at, used_bytes(piece->at, piece->size));
        head[1] = out->len - at - (uint32_t)sizeof(head);
        memcpy(out->data + at, head, sizeof(head));
    }
}

static bool piece_load(const struct state_piece *piece, const uint8_t *bytes, uint32_t len)
{
    if (piece->layout)
        return state_load(piece->layout, piece->at, bytes, len);
    if (len > piece->size)
        return false;
    if (piece->memory) {
        mem_block_clear(piece->memory, piece->size);
    } else { /* what is zero and has never been used takes no memory of the host's, and shall not now */
        uint32_t used = used_bytes(piece->at, piece->size);
        if (used > len)
            memset((uint8_t *)piece->at + len, 0, used - len);
    }
    memcpy(piece->at, bytes, len);
    return true;
}

bool state_pieces_load(const struct state_pieces *pieces, const uint8_t *bytes, size_t len)
{
    while (len) {
        uint32_t head[2];
        size_t name_len = bytes[0];
        if (len < 1 + name_len + sizeof(head))
            return false;
        memcpy(head, bytes + 1 + name_len, sizeof(head));
        const uint8_t *name = bytes + 1;
        bytes += 1 + name_len + sizeof(head);
        len -= 1 + name_len + sizeof(head);
        if (head[1] > len)
            return false;
        bool found = false;
        for (unsigned i = 0; i < pieces->piece->len && !found; i++) {
            const struct state_piece *piece = &g_array_index(pieces->piece, struct state_piece, i);
            found =
                piece->number == head[0] && strlen(piece->name) == name_len && memcmp(piece->name, name, name_len) == 0;
            if (found && !piece_load(piece, bytes, head[1]))
                return false;
        }
        if (!found)
            return false;
        bytes += head[1];
        len -= head[1];
    }
    return true;
}
