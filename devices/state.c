/* Saving and loading a device's regs as named fields: see state.h. */
#include "state.h"

#include <string.h>

#include "log.h"

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

bool state_load(const struct state_layout *layout, void *regs, size_t regs_size, const uint8_t *bytes, size_t len)
{
    uint16_t head[2];
    if (len < sizeof(head))
        return false;
    memcpy(head, bytes, sizeof(head));
    if (head[0] != layout->version)
        return false;

    uint8_t *fresh = g_memdup2(regs, regs_size);
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
        ok = field && field->size == size && size <= len - pos;
        if (ok) {
            memcpy(fresh + field->offset, bytes + pos, size);
            pos += size;
        }
    }
    ok = ok && pos == len;
    if (ok)
        memcpy(regs, fresh, regs_size);
    g_free(fresh);
    return ok;
}
