/* What all devices have in common: their state as bytes. See device.h. */
#include "device.h"

#include "ioport.h"

static void pieces_of(const struct device_class *class, void *dev, struct state_pieces *pieces)
{
    pieces->piece = g_array_new(FALSE, FALSE, sizeof(struct state_piece));
    if (class->layout)
        state_add(pieces, "regs", 0, class->layout, (uint8_t *)dev + class->regs_offset);
    if (class->pieces)
        class->pieces(dev, pieces);
}

void device_before_save(const struct device_class *class, void *dev)
{
    if (class->before_save)
        class->before_save(dev);
}

void device_save(const struct device_class *class, void *dev, GByteArray *out)
{
    struct state_pieces pieces;
    device_before_save(class, dev);
    pieces_of(class, dev, &pieces);
    state_pieces_save(&pieces, out);
    g_array_unref(pieces.piece);
}

bool device_load_regs(const struct device_class *class, void *dev, const uint8_t *bytes, size_t len)
{
    struct state_pieces pieces;
    if (class->before_load)
        class->before_load(dev);
    pieces_of(class, dev, &pieces);
    bool ok = state_pieces_load(&pieces, bytes, len);
    g_array_unref(pieces.piece);
    return ok;
}

bool device_after_load(const struct device_class *class, void *dev)
{
    return !class->after_load || class->after_load(dev);
}

bool device_load(const struct device_class *class, void *dev, const uint8_t *bytes, size_t len)
{
    GByteArray *was = g_byte_array_new();
    device_save(class, dev, was);
    bool ok = device_load_regs(class, dev, bytes, len) && device_after_load(class, dev);
    if (!ok && device_load_regs(class, dev, was->data, was->len))
        device_after_load(class, dev);
    g_byte_array_unref(was);
    return ok;
}

bool isa_ports_claim(const struct device_site *site, uint32_t first, unsigned count, GError **error)
{
    if (first + count <= 0x10000 && ioport_is_free((uint16_t)first, (uint16_t)count))
        return true;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: ports %#x to %#x are taken or do not exist", site->id,
                first, first + count - 1);
    return false;
}
