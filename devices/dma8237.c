/* 8237A DMA controllers as in the AT: bytes at 00h to 0Fh, words at C0h to DFh, pages at 80h to 8Fh.
 *
 * Intel 8237A data sheet; IBM AT Technical Reference, "Direct Memory Access". Channel 4 passes the first
 * controller's requests on, when it is unmasked and in cascade mode. There is no memory-to-memory transfer
 * on this board. An address runs within its 64 KiB (words: 128 KiB) page.
 */
#include "dma8237.h"

#include <string.h>

#include "ioport.h"
#include "mem.h"
#include "state.h"

#define CMD_DISABLE 0x04u

#define MODE_TYPE        0x0cu
#define MODE_VERIFY      0x00u
#define MODE_TO_MEMORY   0x04u /* "write transfer" */
#define MODE_FROM_MEMORY 0x08u
#define MODE_AUTOINIT    0x10u
#define MODE_DECREMENT   0x20u
#define MODE_CASCADE     0xc0u

struct dma8237_regs {
    uint16_t base_address[8], base_count[8], address[8], count[8];
    uint8_t mode[8];
    uint8_t command[2], status[2], mask[2], request[2];
    bool flip_flop[2]; /* the next access is to the high byte */
    uint8_t page[16];  /* as written to 80h up */
    uint8_t dreq;      /* bit per channel */
};

struct dma8237 {
    struct dma8237_regs regs;
    struct irq ready[8];
    struct {
        void (*fn)(void *opaque);
        void *opaque;
    } sync[8];
};

/* Which page register belongs to a channel; 4 is refresh. */
static const uint8_t page_of[8] = {7, 3, 1, 2, 15, 11, 9, 10};

static bool is_open(const struct dma8237_regs *regs, unsigned channel)
{
    unsigned chip = channel / 4;
    return !(regs->command[chip] & CMD_DISABLE) && !(regs->mask[chip] >> (channel & 3) & 1);
}

static bool may_move(const struct dma8237_regs *regs, unsigned channel)
{
    if (!is_open(regs, channel) || (regs->mode[channel] & MODE_CASCADE) == MODE_CASCADE)
        return false;
    return channel >= 4 || (is_open(regs, 4) && (regs->mode[4] & MODE_CASCADE) == MODE_CASCADE);
}

/* Must be called when the guest may have opened a channel. */
static void tell_ready(struct dma8237 *dma)
{
    for (unsigned channel = 0; channel < 8; channel++) {
        if ((dma->regs.dreq >> channel & 1) && may_move(&dma->regs, channel))
            irq_set(&dma->ready[channel], true);
    }
}

static gpa_t address_now(const struct dma8237_regs *regs, unsigned channel)
{
    gpa_t page = regs->page[page_of[channel]];
    if (channel < 4)
        return page << 16 | regs->address[channel];
    return (page & 0xfe) << 16 | (gpa_t)regs->address[channel] << 1;
}

/* One unit has been moved; true at the terminal count. */
static bool advance(struct dma8237_regs *regs, unsigned channel, uint32_t units)
{
    if (regs->mode[channel] & MODE_DECREMENT)
        regs->address[channel] -= (uint16_t)units;
    else
        regs->address[channel] += (uint16_t)units;
    bool ends = units > regs->count[channel];
    regs->count[channel] -= (uint16_t)units;
    if (!ends)
        return false;
    unsigned chip = channel / 4, bit = 1u << (channel & 3);
    regs->status[chip] |= (uint8_t)bit;
    regs->request[chip] &= (uint8_t)~bit;
    if (regs->mode[channel] & MODE_AUTOINIT) {
        regs->address[channel] = regs->base_address[channel];
        regs->count[channel] = regs->base_count[channel];
    } else {
        regs->mask[chip] |= (uint8_t)bit;
    }
    return true;
}

uint32_t dma8237_move(struct dma8237 *dma, unsigned channel, uint8_t *buffer, uint32_t len, bool to_memory, bool *tc)
{
    struct dma8237_regs *regs = &dma->regs;
    unsigned unit = channel < 4 ? 1 : 2;
    uint32_t moved = 0;

    *tc = false;
    if (!may_move(regs, channel))
        return 0;
    while (moved + unit <= len && !*tc) {
        /* A stretch that neither wraps nor passes the end of the count. */
        uint32_t units = (len - moved) / unit, left = regs->count[channel] + 1u;
        bool down = regs->mode[channel] & MODE_DECREMENT;
        uint32_t to_wrap = 0x10000u - regs->address[channel];
        units = MIN(units, left);
        units = down ? 1 : MIN(units, to_wrap);
        unsigned type = regs->mode[channel] & MODE_TYPE;
        gpa_t gpa = address_now(regs, channel);
        if (to_memory && type == MODE_TO_MEMORY)
            mem_write(gpa, buffer + moved, units * unit);
        else if (!to_memory && type == MODE_FROM_MEMORY)
            mem_read(gpa, buffer + moved, units * unit);
        else if (!to_memory) /* verify, or the wrong direction: nobody drives the bus */
            memset(buffer + moved, 0xff, units * unit);
        moved += units * unit;
        *tc = advance(regs, channel, units);
    }
    return moved;
}

void dma8237_set_dreq(struct dma8237 *dma, unsigned channel, bool level)
{
    dma->regs.dreq = (uint8_t)((dma->regs.dreq & ~(1u << channel)) | (unsigned)level << channel);
}

void dma8237_set_hook(struct dma8237 *dma, unsigned channel, const struct irq *ready)
{
    dma->ready[channel] = *ready;
}

void dma8237_set_sync(struct dma8237 *dma, unsigned channel, void (*fn)(void *opaque), void *opaque)
{
    dma->sync[channel].fn = fn;
    dma->sync[channel].opaque = opaque;
}

static void sync_all(struct dma8237 *dma)
{
    for (unsigned channel = 0; channel < 8; channel++) {
        if (dma->sync[channel].fn)
            dma->sync[channel].fn(dma->sync[channel].opaque);
    }
}

/* --- Registers --- */

static void master_clear(struct dma8237_regs *regs, unsigned chip)
{
    regs->command[chip] = regs->status[chip] = regs->request[chip] = 0;
    regs->mask[chip] = 0x0f;
    regs->flip_flop[chip] = false;
}

static uint8_t reg_read(struct dma8237_regs *regs, unsigned chip, unsigned reg)
{
    if (reg < 8) {
        unsigned channel = 4 * chip + reg / 2;
        uint16_t value = reg & 1 ? regs->count[channel] : regs->address[channel];
        bool high = regs->flip_flop[chip];
        regs->flip_flop[chip] = !high;
        return (uint8_t)(high ? value >> 8 : value);
    }
    switch (reg) {
    case 8: {
        uint8_t value = regs->status[chip];
        value |= (uint8_t)(((regs->dreq >> (4 * chip) & 15) | regs->request[chip]) << 4);
        regs->status[chip] = 0; /* the terminal counts are told once */
        return value;
    }
    case 13:
        return 0; /* temporary register: of memory-to-memory transfers */
    case 15:
        return regs->mask[chip] | 0xf0;
    default: /* write-only: nothing, as from QEMU's; programs that save and restore the chip read them all */
        return 0;
    }
}

static void set16(uint16_t *both[2], bool high, uint8_t value)
{
    for (unsigned i = 0; i < 2; i++)
        *both[i] = high ? (uint16_t)((*both[i] & 0x00ff) | value << 8) : (uint16_t)((*both[i] & 0xff00) | value);
}

static void reg_write(struct dma8237_regs *regs, unsigned chip, unsigned reg, uint8_t value)
{
    if (reg < 8) {
        unsigned channel = 4 * chip + reg / 2;
        uint16_t *address[2] = {&regs->base_address[channel], &regs->address[channel]};
        uint16_t *count[2] = {&regs->base_count[channel], &regs->count[channel]};
        set16(reg & 1 ? count : address, regs->flip_flop[chip], value);
        regs->flip_flop[chip] = !regs->flip_flop[chip];
        return;
    }
    uint8_t bit = (uint8_t)(1u << (value & 3));
    switch (reg) {
    case 8:
        regs->command[chip] = value;
        break;
    case 9:
        regs->request[chip] = value & 4 ? regs->request[chip] | bit : regs->request[chip] & (uint8_t)~bit;
        break;
    case 10:
        regs->mask[chip] = value & 4 ? regs->mask[chip] | bit : regs->mask[chip] & (uint8_t)~bit;
        break;
    case 11:
        regs->mode[4 * chip + (value & 3)] = value & 0xfc;
        break;
    case 12:
        regs->flip_flop[chip] = false;
        break;
    case 13:
        master_clear(regs, chip);
        break;
    case 14:
        regs->mask[chip] = 0;
        break;
    case 15:
        regs->mask[chip] = value & 0x0f;
        break;
    }
}

static uint32_t dma1_read(void *opaque, uint16_t port, unsigned size)
{
    struct dma8237 *dma = opaque;
    sync_all(dma);
    return reg_read(&dma->regs, 0, port & 15);
}

static void dma1_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct dma8237 *dma = opaque;
    sync_all(dma);
    reg_write(&dma->regs, 0, port & 15, (uint8_t)value);
    tell_ready(dma);
}

static uint32_t dma2_read(void *opaque, uint16_t port, unsigned size)
{
    struct dma8237 *dma = opaque;
    sync_all(dma);
    return reg_read(&dma->regs, 1, port >> 1 & 15);
}

static void dma2_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct dma8237 *dma = opaque;
    sync_all(dma);
    reg_write(&dma->regs, 1, port >> 1 & 15, (uint8_t)value);
    tell_ready(dma);
}

static uint32_t page_read(void *opaque, uint16_t port, unsigned size)
{
    struct dma8237 *dma = opaque;
    return dma->regs.page[port & 15];
}

static void page_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct dma8237 *dma = opaque;
    sync_all(dma);
    dma->regs.page[port & 15] = (uint8_t)value;
}

static const struct io_ops dma1_io = {.widths = 1, .read = dma1_read, .write = dma1_write};
static const struct io_ops dma2_io = {.widths = 1, .read = dma2_read, .write = dma2_write};
static const struct io_ops page_io = {.widths = 1, .read = page_read, .write = page_write};

static void dma8237_reset(void *dev)
{
    struct dma8237 *dma = dev;
    memset(&dma->regs, 0, sizeof(dma->regs));
    master_clear(&dma->regs, 0);
    master_clear(&dma->regs, 1);
}

#define F(member) STATE_FIELD(dma8237_regs, member)
static const struct state_field dma8237_fields[] = {F(base_address), F(base_count), F(address), F(count),
                                                    F(mode),         F(command),    F(status),  F(mask),
                                                    F(request),      F(flip_flop),  F(page),    F(dreq)};
#undef F
static const struct state_layout dma8237_layout = STATE_LAYOUT(1, dma8237_regs, dma8237_fields);

static void dma8237_dump(void *dev, GString *out)
{
    struct dma8237 *dma = dev;
    for (unsigned channel = 0; channel < 8; channel++)
        g_string_append_printf(out, "dma%u: mode=%02x address=%06llx count=%04x open=%d dreq=%d\n", channel,
                               dma->regs.mode[channel], (unsigned long long)address_now(&dma->regs, channel),
                               dma->regs.count[channel], may_move(&dma->regs, channel), dma->regs.dreq >> channel & 1);
}

struct dma8237 *dma8237_new(void)
{
    struct dma8237 *dma = g_new0(struct dma8237, 1);
    ioport_register(0x00, 16, &dma1_io, dma, "dma1");
    ioport_register(0xc0, 32, &dma2_io, dma, "dma2");
    ioport_register(0x80, 16, &page_io, dma, "dma-page");
    dma8237_reset(dma);
    return dma;
}

void dma8237_free(struct dma8237 *dma)
{
    ioport_unregister(0x00, 16);
    ioport_unregister(0xc0, 32);
    ioport_unregister(0x80, 16);
    g_free(dma);
}

static void *dma8237_create(const struct device_site *site, const void *config, GError **error)
{
    struct dma8237 *dma = dma8237_new();
    board_provide(site->board, "dma8237", dma);
    return dma;
}

static void dma8237_destroy(void *dev)
{
    dma8237_free(dev);
}

const struct device_class dma8237_class = {
    .name = "i8257",
    .info = "dma8237",
    .help = "the AT's two DMA controllers",
    .bus = BUS_ISA,
    .internal = true,
    .create = dma8237_create,
    .destroy = dma8237_destroy,
    .reset = dma8237_reset,
    .layout = &dma8237_layout,
    .regs_offset = offsetof(struct dma8237, regs),
    .dump = dma8237_dump,
};
DEVICE_CLASS(dma8237_class);
