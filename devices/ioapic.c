/* I/O APIC (Intel 82093AA data sheet, 290566-001). */
#include "ioapic.h"

#include <string.h>

#include "mem.h"
#include "state.h"

#define RTE_VECTOR     0x000000ffull
#define RTE_LOGICAL    0x00000800ull
#define RTE_STATUS     0x00001000ull /* read-only: a message waits to be sent; here never for long */
#define RTE_LOW_ACTIVE 0x00002000ull
#define RTE_REMOTE_IRR 0x00004000ull /* read-only */
#define RTE_LEVEL      0x00008000ull
#define RTE_MASKED     0x00010000ull
#define RTE_WRITABLE   0xff0000000001afffull

struct ioapic_regs {
    uint32_t index, id;
    uint64_t rte[IOAPIC_PINS];
    uint64_t wires; /* lines, as in ioapic.h */
    uint32_t irr;   /* requests: edges seen, levels that stand */
};

struct ioapic {
    struct ioapic_regs regs;
    struct lapic *lapic;
};

static bool pin_level(const struct ioapic *ioapic, unsigned pin)
{
    return (ioapic->regs.wires >> pin | ioapic->regs.wires >> (pin + IOAPIC_LINE_PCI)) & 1;
}

/* Sends what pin asks for, if it may. */
static void serve(struct ioapic *ioapic, unsigned pin)
{
    uint64_t *rte = &ioapic->regs.rte[pin];
    uint32_t bit = 1u << pin;
    if (!(ioapic->regs.irr & bit) || (*rte & RTE_MASKED))
        return;
    bool level = *rte & RTE_LEVEL;
    if (level && (*rte & RTE_REMOTE_IRR))
        return; /* not before its EOI */
    if (level)
        *rte |= RTE_REMOTE_IRR;
    else
        ioapic->regs.irr &= ~bit;
    lapic_message(ioapic->lapic, (uint8_t)(*rte >> 56), *rte & RTE_LOGICAL, *rte >> 8 & 7, (uint8_t)(*rte & RTE_VECTOR),
                  level);
}

void ioapic_set_line(void *opaque, int line, bool level)
{
    struct ioapic *ioapic = opaque;
    unsigned pin = (unsigned)line % IOAPIC_LINE_PCI;
    bool before = pin_level(ioapic, pin);
    if (level)
        ioapic->regs.wires |= 1ull << line;
    else
        ioapic->regs.wires &= ~(1ull << line);
    bool now = pin_level(ioapic, pin);
    if (pin >= IOAPIC_PINS)
        return;
    if (ioapic->regs.rte[pin] & RTE_LEVEL) {
        if (now)
            ioapic->regs.irr |= 1u << pin;
        else
            ioapic->regs.irr &= ~(1u << pin);
    } else if (now && !before && !(ioapic->regs.rte[pin] & RTE_MASKED)) { /* ignored, not held pending */
        ioapic->regs.irr |= 1u << pin;
    }
    serve(ioapic, pin);
}

void ioapic_eoi(void *opaque, uint8_t vector)
{
    struct ioapic *ioapic = opaque;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *rte = &ioapic->regs.rte[pin];
        if ((*rte & RTE_VECTOR) != vector || !(*rte & RTE_LEVEL))
            continue;
        *rte &= ~RTE_REMOTE_IRR;
        serve(ioapic, pin);
    }
}

static uint32_t window_read(const struct ioapic *ioapic)
{
    uint32_t index = ioapic->regs.index;
    switch (index) {
    case 0:
    case 2: /* arbitration ID: loaded with the ID */
        return ioapic->regs.id;
    case 1:
        return 0x11 | (IOAPIC_PINS - 1) << 16;
    }
    if (index < 0x10 || index >= 0x10 + 2 * IOAPIC_PINS)
        return 0;
    uint64_t rte = ioapic->regs.rte[(index - 0x10) / 2];
    return (uint32_t)(index & 1 ? rte >> 32 : rte);
}

static void window_write(struct ioapic *ioapic, uint32_t value)
{
    uint32_t index = ioapic->regs.index;
    if (index == 0)
        ioapic->regs.id = value & 0x0f000000u;
    if (index < 0x10 || index >= 0x10 + 2 * IOAPIC_PINS)
        return;
    unsigned pin = (index - 0x10) / 2, shift = index & 1 ? 32 : 0;
    uint64_t *rte = &ioapic->regs.rte[pin];
    uint64_t want = (*rte & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
    *rte = (want & RTE_WRITABLE) | (*rte & ~RTE_WRITABLE);
    if (!(*rte & RTE_LEVEL))
        *rte &= ~RTE_REMOTE_IRR; /* how software forces an EOI */
    else if (pin_level(ioapic, pin))
        ioapic->regs.irr |= 1u << pin;
    serve(ioapic, pin);
}

static uint64_t ioapic_read(void *opaque, uint32_t offset, unsigned size)
{
    struct ioapic *ioapic = opaque;
    uint32_t value = (offset & ~3u) == 0x00 ? ioapic->regs.index : (offset & ~3u) == 0x10 ? window_read(ioapic) : 0;
    return value >> (8 * (offset & 3));
}

static void ioapic_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct ioapic *ioapic = opaque;
    if (offset == 0x00)
        ioapic->regs.index = value & 0xff;
    else if (offset == 0x10 && size == 4)
        window_write(ioapic, (uint32_t)value);
}

static const struct mmio_ops ioapic_io = {ioapic_read, ioapic_write};

static void ioapic_reset(void *dev)
{
    struct ioapic *ioapic = dev;
    uint64_t wires = ioapic->regs.wires;
    memset(&ioapic->regs, 0, sizeof ioapic->regs);
    ioapic->regs.wires = wires;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        ioapic->regs.rte[pin] = RTE_MASKED;
}

static const struct state_field ioapic_fields[] = {
    STATE_FIELD(ioapic_regs, index), STATE_FIELD(ioapic_regs, id),  STATE_FIELD(ioapic_regs, rte),
    STATE_FIELD(ioapic_regs, wires), STATE_FIELD(ioapic_regs, irr),
};
static const struct state_layout ioapic_layout = STATE_LAYOUT(1, ioapic_regs, ioapic_fields);

static void ioapic_dump(void *dev, GString *out)
{
    struct ioapic *ioapic = dev;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        if (!(ioapic->regs.rte[pin] & RTE_MASKED))
            g_string_append_printf(out, "ioapic: pin %u %016" G_GINT64_MODIFIER "x level %d\n", pin,
                                   (guint64)ioapic->regs.rte[pin], pin_level(ioapic, pin));
}

struct ioapic *ioapic_new(struct lapic *lapic)
{
    struct ioapic *ioapic = g_new0(struct ioapic, 1);
    ioapic->lapic = lapic;
    lapic_set_eoi_hook(lapic, ioapic_eoi, ioapic);
    mem_add_mmio(IOAPIC_BASE, PAGE_SIZE, &ioapic_io, ioapic, "ioapic");
    ioapic_reset(ioapic);
    return ioapic;
}

void ioapic_free(struct ioapic *ioapic)
{
    mem_remove_mmio(IOAPIC_BASE);
    g_free(ioapic);
}

/* The board's interrupt lines: the timer's is pin 2. */
static void ioapic_board_line(void *opaque, int line, bool level)
{
    int pin = line % 16;
    ioapic_set_line(opaque, (pin ? pin : 2) + (line >= BOARD_LINE_PCI ? IOAPIC_LINE_PCI : 0), level);
}

static void *ioapic_create(const struct device_site *site, const void *config, GError **error)
{
    struct ioapic *ioapic = ioapic_new(board_service(site->board, "apic"));
    board_add_irq_sink(site->board, ioapic_board_line, ioapic);
    board_provide(site->board, "ioapic", ioapic);
    return ioapic;
}

static void ioapic_destroy(void *dev)
{
    ioapic_free(dev);
}

const struct device_class ioapic_class = {
    .name = "ioapic",
    .help = "I/O APIC with 24 inputs",
    .bus = BUS_SYSTEM,
    .internal = true,
    .create = ioapic_create,
    .destroy = ioapic_destroy,
    .reset = ioapic_reset,
    .layout = &ioapic_layout,
    .regs_offset = offsetof(struct ioapic, regs),
    .dump = ioapic_dump,
};
DEVICE_CLASS(ioapic_class);
