/* QEMU's firmware configuration device: a selector, a byte stream, and a DMA interface.
 *
 *   510h  selector, 16 bits, write only
 *   511h  the selected item, byte by byte; all zeroes behind its end
 *   514h  DMA: address of a descriptor, big endian; the low half (518h) starts it
 *
 * docs/specs/fw_cfg.rst of QEMU. Items are read-only.
 */
#include "fw_cfg.h"

#include <string.h>

#include "ioport.h"
#include "mem.h"
#include "state.h"

#define FILES_MAX 64

#define ID_TRADITIONAL 1u
#define ID_DMA         2u

#define DMA_ERROR  0x01u
#define DMA_READ   0x02u
#define DMA_SKIP   0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE  0x10u
#define DMA_PIECE  (1024u * 1024) /* moved at a time: nobody waits for the machine's lock for long */

struct file {
    char name[56];
    GByteArray *bytes;
};

struct fw_cfg_regs {
    uint16_t selector;
    uint32_t offset;
    uint32_t dma_high;
    /* The transfer under way: its descriptor, where the next byte goes, how many are left. */
    uint64_t dma_at, dma_to;
    uint32_t dma_left;
};

struct fw_cfg {
    GByteArray *item[FW_CFG_FILE_FIRST];
    struct file file[FILES_MAX];
    unsigned file_count;
    struct fw_cfg_regs regs;
    struct irq bus_request;
};

static const GByteArray *selected(const struct fw_cfg *fw)
{
    unsigned s = fw->regs.selector & 0x3fff; /* bit 14: write, bit 15: of the architecture */
    if (fw->regs.selector & 0x8000)
        return NULL;
    if (s < FW_CFG_FILE_FIRST)
        return fw->item[s];
    s -= FW_CFG_FILE_FIRST;
    return s < fw->file_count ? fw->file[s].bytes : NULL;
}

static void fw_cfg_select(struct fw_cfg *fw, uint16_t selector)
{
    fw->regs.selector = selector;
    fw->regs.offset = 0;
}

static uint8_t next_byte(struct fw_cfg *fw)
{
    const GByteArray *item = selected(fw);
    return item && fw->regs.offset < item->len ? item->data[fw->regs.offset++] : 0;
}

static void put_be32(uint8_t *p, uint32_t v)
{
    v = GUINT32_TO_BE(v);
    memcpy(p, &v, 4);
}
static uint32_t get_be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return GUINT32_FROM_BE(v);
}

static void dma_finish(gpa_t at, uint32_t result)
{
    uint8_t control[4];
    put_be32(control, result);
    mem_write(at, control, sizeof control);
}

/* A piece of the transfer: of the item, then zeros, as far as there is RAM. */
static void dma_move(struct fw_cfg *fw)
{
    static const uint8_t zero[4096];
    struct fw_cfg_regs *regs = &fw->regs;
    for (uint32_t room = DMA_PIECE; room && regs->dma_left;) {
        const GByteArray *item = selected(fw);
        uint32_t have = item && regs->offset < item->len ? item->len - regs->offset : 0;
        uint32_t n = MIN(MIN(room, regs->dma_left), have ? have : sizeof zero);
        if (have)
            mem_write(regs->dma_to, item->data + regs->offset, n);
        else if (regs->dma_to < mem_ram_end(regs->dma_to))
            mem_write(regs->dma_to, zero, n);
        else
            regs->dma_left = n; /* the last piece */
        regs->offset += have ? n : 0;
        regs->dma_to += n;
        regs->dma_left -= n;
        room -= n;
    }
    if (!regs->dma_left)
        dma_finish(regs->dma_at, 0);
}

/* Between two instructions of the guest, which looks at the descriptor until its control word is 0. */
void fw_cfg_bus_granted(void *opaque)
{
    struct fw_cfg *fw = opaque;
    if (fw->regs.dma_left)
        dma_move(fw);
    if (fw->regs.dma_left)
        irq_set(&fw->bus_request, true);
}

/* Descriptor: control, length (32 bits each), address (64), all big endian. What is short is done at once. */
static void dma_run(struct fw_cfg *fw, gpa_t at)
{
    uint8_t d[16];
    mem_read(at, d, sizeof d);
    uint32_t control = get_be32(d), len = get_be32(d + 4);
    gpa_t to = (gpa_t)get_be32(d + 8) << 32 | get_be32(d + 12);
    if (control & DMA_SELECT)
        fw_cfg_select(fw, (uint16_t)(control >> 16));
    fw->regs.dma_left = 0; /* of one that was still under way nothing more is heard */
    if ((control & DMA_READ) && len) {
        fw->regs.dma_at = at;
        fw->regs.dma_to = to;
        fw->regs.dma_left = len;
        fw_cfg_bus_granted(fw);
        return;
    }
    if (!(control & DMA_READ) && (control & DMA_SKIP))
        fw->regs.offset = len > UINT32_MAX - fw->regs.offset ? UINT32_MAX : fw->regs.offset + len;
    dma_finish(at, (control & (DMA_READ | DMA_SKIP | DMA_WRITE)) == DMA_WRITE ? DMA_ERROR : 0);
}

static uint32_t fw_cfg_read(void *opaque, uint16_t port, unsigned size)
{
    return port == 0x511 ? next_byte(opaque) : 0;
}

static void fw_cfg_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    if (size == 2 && port == 0x510)
        fw_cfg_select(opaque, (uint16_t)value);
}

static uint32_t dma_read(void *opaque, uint16_t port, unsigned size)
{
    /* "QEMU CFG", big endian */
    return GUINT32_SWAP_LE_BE(port == 0x514 ? 0x51454d55u : 0x20434647u);
}

static void dma_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct fw_cfg *fw = opaque;
    value = GUINT32_SWAP_LE_BE(value);
    if (port == 0x514) {
        fw->regs.dma_high = value;
    } else if (port == 0x518) {
        gpa_t at = (gpa_t)fw->regs.dma_high << 32 | value;
        fw->regs.dma_high = 0;
        dma_run(fw, at);
    }
}

static const struct io_ops port_io = {.widths = 1 | 2, .read = fw_cfg_read, .write = fw_cfg_write};
static const struct io_ops dma_io = {.widths = 4, .read = dma_read, .write = dma_write};

struct fw_cfg *fw_cfg_new(void)
{
    struct fw_cfg *fw = g_new0(struct fw_cfg, 1);
    ioport_register(0x510, 2, &port_io, fw, "fw_cfg");
    ioport_register(0x514, 8, &dma_io, fw, "fw_cfg-dma");
    fw_cfg_add(fw, FW_CFG_SIGNATURE, "QEMU", 4);
    const uint8_t id[4] = {ID_TRADITIONAL | ID_DMA};
    fw_cfg_add(fw, FW_CFG_ID, id, sizeof id);
    fw_cfg_add(fw, FW_CFG_FILE_DIR, "\0\0\0\0", 4);
    return fw;
}

void fw_cfg_set_bus_request(struct fw_cfg *fw, struct irq bus_request)
{
    fw->bus_request = bus_request;
}

void fw_cfg_free(struct fw_cfg *fw)
{
    ioport_unregister(0x510, 2);
    ioport_unregister(0x514, 8);
    for (unsigned i = 0; i < FW_CFG_FILE_FIRST; i++)
        if (fw->item[i])
            g_byte_array_unref(fw->item[i]);
    for (unsigned i = 0; i < fw->file_count; i++)
        g_byte_array_unref(fw->file[i].bytes);
    g_free(fw);
}

static GByteArray *copy_of(const void *bytes, size_t len)
{
    return g_byte_array_append(g_byte_array_new(), bytes, (guint)len);
}

void fw_cfg_add(struct fw_cfg *fw, uint16_t selector, const void *bytes, size_t len)
{
    if (fw->item[selector])
        g_byte_array_unref(fw->item[selector]);
    fw->item[selector] = copy_of(bytes, len);
}

void fw_cfg_add_u16(struct fw_cfg *fw, uint16_t selector, uint16_t value)
{
    value = GUINT16_TO_LE(value);
    fw_cfg_add(fw, selector, &value, sizeof value);
}

void fw_cfg_add_u64(struct fw_cfg *fw, uint16_t selector, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    fw_cfg_add(fw, selector, &value, sizeof value);
}

/* Count, then per file: size, selector, reserved, name[56]; numbers big endian. */
static void make_directory(struct fw_cfg *fw)
{
    uint8_t dir[4 + FILES_MAX * 64] = {0};
    put_be32(dir, fw->file_count);
    for (unsigned i = 0; i < fw->file_count; i++) {
        uint8_t *p = dir + 4 + i * 64;
        unsigned selector = FW_CFG_FILE_FIRST + i;
        put_be32(p, fw->file[i].bytes->len);
        p[4] = (uint8_t)(selector >> 8);
        p[5] = (uint8_t)selector;
        memcpy(p + 8, fw->file[i].name, sizeof fw->file[i].name);
    }
    fw_cfg_add(fw, FW_CFG_FILE_DIR, dir, 4 + fw->file_count * 64);
}

void fw_cfg_add_file(struct fw_cfg *fw, const char *name, const void *bytes, size_t len)
{
    unsigned at = 0;
    g_assert(fw->file_count < FILES_MAX && strlen(name) < sizeof fw->file[0].name);
    while (at < fw->file_count && strcmp(fw->file[at].name, name) < 0)
        at++;
    memmove(&fw->file[at + 1], &fw->file[at], (fw->file_count - at) * sizeof fw->file[0]);
    fw->file_count++;
    fw->file[at] = (struct file){.bytes = copy_of(bytes, len)};
    g_strlcpy(fw->file[at].name, name, sizeof fw->file[at].name);
    make_directory(fw);
}

static void fw_cfg_reset(void *dev)
{
    struct fw_cfg *fw = dev;
    memset(&fw->regs, 0, sizeof fw->regs);
}

static const struct state_field fw_cfg_fields[] = {
    STATE_FIELD(fw_cfg_regs, selector), STATE_FIELD(fw_cfg_regs, offset), STATE_FIELD(fw_cfg_regs, dma_high),
    STATE_FIELD(fw_cfg_regs, dma_at),   STATE_FIELD(fw_cfg_regs, dma_to), STATE_FIELD(fw_cfg_regs, dma_left),
};
static const struct state_layout fw_cfg_layout = STATE_LAYOUT(1, fw_cfg_regs, fw_cfg_fields);

static bool fw_cfg_after_load(void *dev)
{
    struct fw_cfg *fw = dev;
    if (fw->regs.dma_left)
        irq_set(&fw->bus_request, true);
    return true;
}

static void fw_cfg_dump(void *dev, GString *out)
{
    struct fw_cfg *fw = dev;
    g_string_append_printf(out, "fw_cfg: selector %04x offset %u, %u files\n", fw->regs.selector, fw->regs.offset,
                           fw->file_count);
}

static void *fw_cfg_create(const struct device_site *site, const void *config, GError **error)
{
    struct fw_cfg *fw = fw_cfg_new();
    fw_cfg_set_bus_request(fw, board_wire(site->board, "bus-request"));
    board_add_bus_hook(site->board, fw_cfg_bus_granted, fw);
    board_provide(site->board, "fw_cfg", fw);
    return fw;
}

static void fw_cfg_destroy(void *dev)
{
    fw_cfg_free(dev);
}

const struct device_class fw_cfg_class = {
    .name = "fw_cfg",
    .help = "QEMU's firmware configuration device",
    .bus = BUS_ISA,
    .internal = true,
    .create = fw_cfg_create,
    .destroy = fw_cfg_destroy,
    .reset = fw_cfg_reset,
    .layout = &fw_cfg_layout,
    .regs_offset = offsetof(struct fw_cfg, regs),
    .after_load = fw_cfg_after_load,
    .dump = fw_cfg_dump,
};
DEVICE_CLASS(fw_cfg_class);
