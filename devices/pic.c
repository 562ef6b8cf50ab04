/* Two 8259A interrupt controllers, cascaded on IR2, and the PIIX's ELCR.
 *
 * Intel 8259A data sheet (231468-003); 82371SB (PIIX3) data sheet, section 2.5.3 (ELCR). As in the PIIX,
 * ICW1's LTIM bit is ignored: the ELCR decides per pin. The 8085 mode (ICW4.uPM = 0) is not there.
 */
#include "pic.h"

#include <string.h>

#include "ioport.h"
#include "lapic.h"
#include "log.h"
#include "state.h"

struct pic_chip {
    uint8_t irr, isr, imr;
    uint8_t pins; /* input levels now */
    uint8_t elcr; /* 1 = level triggered */
    uint8_t icw2, icw3, icw4;
    uint8_t lowest;    /* the IR with the lowest priority: 7 after ICW1 */
    uint8_t init_step; /* next ICW expected: 0 none, 2, 3, 4 */
    uint8_t need_icw4, single;
    uint8_t read_isr, poll, special_mask, rotate_aeoi;
};

struct pic_regs {
    uint32_t wires; /* PIC_LINE_PCI + n: bit 16 + n */
};

struct pic {
    struct pic_regs regs;
    struct pic_chip chip[2];
    struct irq intr;
    struct board_int_ack int_ack;
    struct irq eoi_hook[16];
    uint16_t eoi_pending; /* hooks to call once the chip is consistent again */
    bool level;
};

#define MASTER     0
#define SLAVE      1
#define CASCADE_IR 2

#define ICW4_AEOI 0x02u
#define ICW4_SFNM 0x10u

/* IRs in order of priority, highest first: lowest + 1, lowest + 2, ... Returns the first of bits, or -1. */
static int chip_highest(const struct pic_chip *chip, uint8_t bits)
{
    for (int i = 1; i <= 8; i++) {
        int ir = (chip->lowest + i) & 7;
        if (bits & (1u << ir))
            return ir;
    }
    return -1;
}

static int chip_rank(const struct pic_chip *chip, int ir)
{
    return ir < 0 ? 8 : (ir - chip->lowest - 1) & 7;
}

/* The request that would be acknowledged now, or -1. */
static int chip_request(const struct pic *pic, int which)
{
    const struct pic_chip *chip = &pic->chip[which];
    int ir = chip_highest(chip, chip->irr & ~chip->imr);
    if (ir < 0)
        return -1;

    uint8_t in_service = chip->isr;
    if (chip->special_mask)
        in_service &= ~chip->imr;
    /* Special fully nested mode: the slave's IR is not locked out by its own earlier request. */
    if (which == MASTER && (chip->icw4 & ICW4_SFNM) && ir == CASCADE_IR)
        in_service &= ~(1u << CASCADE_IR);
    if (chip_rank(chip, ir) >= chip_rank(chip, chip_highest(chip, in_service)))
        return -1;
    return ir;
}

/* latched: an edge stays requested when the pin falls again before its INTA. The data sheet asks for a spurious
 * IR7 then; the controllers that guests know from KVM and QEMU remember the edge, and tests count on it. The
 * cascade input, which falls when the slave's request is masked or withdrawn, does follow its pin. */
static void chip_set_pin(struct pic_chip *chip, int ir, bool level, bool latched)
{
    uint8_t bit = 1u << ir;
    if (!level) {
        chip->pins &= ~bit;
        if (!latched || (chip->elcr & bit))
            chip->irr &= ~bit;
    } else if ((chip->elcr & bit) || !(chip->pins & bit)) {
        chip->pins |= bit;
        chip->irr |= bit;
    }
}

/* Must be called every time a request, a mask or the service state may have changed. */
static void pic_update_irq(struct pic *pic)
{
    chip_set_pin(&pic->chip[MASTER], CASCADE_IR, chip_request(pic, SLAVE) >= 0, false);
    bool level = chip_request(pic, MASTER) >= 0;
    if (level != pic->level) {
        pic->level = level;
        irq_set(&pic->intr, level);
    }
    while (pic->eoi_pending) {
        int irq = __builtin_ctz(pic->eoi_pending);
        pic->eoi_pending &= ~(1u << irq);
        irq_set(&pic->eoi_hook[irq], true);
    }
}

void pic_set_line(void *opaque, int line, bool level)
{
    struct pic *pic = opaque;
    assert_always(line >= 0 && line < 32);
    if (level)
        pic->regs.wires |= 1u << line;
    else
        pic->regs.wires &= ~(1u << line);

    int irq = line & 15;
    if (irq == CASCADE_IR)
        return; /* not a pin on a PC */
    bool pin = (pic->regs.wires >> irq | pic->regs.wires >> (irq + PIC_LINE_PCI)) & 1;
    chip_set_pin(&pic->chip[irq >> 3], irq & 7, pin, true);
    pic_update_irq(pic);
}

static void chip_end_service(struct pic *pic, int which, int ir)
{
    struct pic_chip *chip = &pic->chip[which];
    if (!(chip->isr & (1u << ir)))
        return;
    chip->isr &= ~(1u << ir);
    pic->eoi_pending |= 1u << (which * 8 + ir);
}

/* The chip's side of an INTA sequence (or of a poll). ir -1: spurious, nothing changes. */
static void chip_ack(struct pic *pic, int which, int ir)
{
    struct pic_chip *chip = &pic->chip[which];
    if (ir < 0)
        return;
    if (!(chip->elcr & (1u << ir)))
        chip->irr &= ~(1u << ir);
    chip->isr |= 1u << ir;
    if (chip->icw4 & ICW4_AEOI) {
        chip_end_service(pic, which, ir);
        if (chip->rotate_aeoi)
            chip->lowest = ir;
    }
}

uint8_t pic_ack(struct pic *pic)
{
    struct pic_chip *master = &pic->chip[MASTER];
    struct pic_chip *slave = &pic->chip[SLAVE];
    uint8_t vector;

    int ir = chip_request(pic, MASTER);
    if (ir == CASCADE_IR) {
        int slave_ir = chip_request(pic, SLAVE);
        chip_ack(pic, MASTER, CASCADE_IR);
        chip_ack(pic, SLAVE, slave_ir);
        /* The acknowledged slave drops its INT output between requests: give IR2 its next edge. */
        chip_set_pin(master, CASCADE_IR, false, false);
        vector = slave->icw2 | (slave_ir < 0 ? 7 : slave_ir);
    } else {
        chip_ack(pic, MASTER, ir);
        vector = master->icw2 | (ir < 0 ? 7 : ir);
    }
    pic_update_irq(pic);
    return vector;
}

bool pic_intr(const struct pic *pic)
{
    return pic->level;
}

bool pic_is_requested(const struct pic *pic, int irq)
{
    return pic->chip[irq >> 3].irr & (1u << (irq & 7));
}

bool pic_is_masked(const struct pic *pic, int irq)
{
    return pic->chip[irq >> 3].imr & (1u << (irq & 7));
}

void pic_set_eoi_hook(struct pic *pic, int irq, const struct irq *hook)
{
    pic->eoi_hook[irq] = *hook;
}

static void chip_write_icw1(struct pic *pic, int which, uint8_t value)
{
    struct pic_chip *chip = &pic->chip[which];
    chip->init_step = 2;
    chip->single = value & 0x02;
    chip->need_icw4 = value & 0x01;
    /* "The edge sense circuit is reset": an input already high must fall before it can request again. */
    chip->irr = chip->pins & chip->elcr;
    chip->isr = 0;
    chip->imr = 0;
    chip->lowest = 7;
    chip->special_mask = 0;
    chip->read_isr = 0;
    chip->poll = 0;
    chip->rotate_aeoi = 0;
    if (!chip->need_icw4)
        chip->icw4 = 0;
}

static void chip_write_ocw2(struct pic *pic, int which, uint8_t value)
{
    struct pic_chip *chip = &pic->chip[which];
    int level = value & 7;
    uint8_t candidates = chip->isr;
    if (chip->special_mask)
        candidates &= ~chip->imr; /* a non-specific EOI does not see masked levels then */

    switch (value >> 5) {
    case 0: /* rotate in automatic EOI mode: clear */
        chip->rotate_aeoi = 0;
        break;
    case 4: /* set */
        chip->rotate_aeoi = 1;
        break;
    case 1: /* non-specific EOI */
    case 5: /* and rotate */
        level = chip_highest(chip, candidates);
        if (level < 0)
            break;
        chip_end_service(pic, which, level);
        if (value & 0x80)
            chip->lowest = level;
        break;
    case 3: /* specific EOI */
        chip_end_service(pic, which, level);
        break;
    case 7: /* and rotate */
        chip_end_service(pic, which, level);
        chip->lowest = level;
        break;
    case 6: /* set priority */
        chip->lowest = level;
        break;
    case 2: /* no operation */
        break;
    }
}

static void chip_write_ocw3(struct pic_chip *chip, uint8_t value)
{
    if (value & 0x04)
        chip->poll = 1;
    if (value & 0x02)
        chip->read_isr = value & 0x01;
    if (value & 0x40)
        chip->special_mask = (value & 0x20) != 0;
}

static void pic_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct pic *pic = opaque;
    int which = port >= 0xa0;
    struct pic_chip *chip = &pic->chip[which];

    if (!(port & 1)) {
        if (value & 0x10)
            chip_write_icw1(pic, which, value);
        else if (value & 0x08)
            chip_write_ocw3(chip, value);
        else
            chip_write_ocw2(pic, which, value);
    } else {
        switch (chip->init_step) {
        case 0:
            chip->imr = value;
            break;
        case 2:
            chip->icw2 = value & 0xf8;
            chip->init_step = !chip->single ? 3 : chip->need_icw4 ? 4 : 0;
            break;
        case 3:
            chip->icw3 = value;
            if (value != (which == MASTER ? 1u << CASCADE_IR : CASCADE_IR))
                log_guest("pic: ICW3=%02x does not match the PC's wiring", value);
            chip->init_step = chip->need_icw4 ? 4 : 0;
            break;
        case 4:
            chip->icw4 = value;
            chip->init_step = 0;
            if (!(value & 0x01))
                log_guest("pic: ICW4=%02x asks for 8085 mode", value);
            break;
        }
    }
    pic_update_irq(pic);
}

static uint32_t pic_read(void *opaque, uint16_t port, unsigned size)
{
    struct pic *pic = opaque;
    int which = port >= 0xa0;
    struct pic_chip *chip = &pic->chip[which];

    if (chip->poll) {
        /* The read is the INTA of a poll: bit 7 says whether there was a request. */
        chip->poll = 0;
        int ir = chip_request(pic, which);
        chip_ack(pic, which, ir);
        pic_update_irq(pic);
        return ir < 0 ? 0 : 0x80 | ir;
    }
    if (port & 1)
        return chip->imr;
    return chip->read_isr ? chip->isr : chip->irr;
}

static const struct io_ops pic_io = {.widths = 1, .read = pic_read, .write = pic_write};

/* IRQs 0, 1, 2, 8 and 13 are edge triggered for good. */
static const uint8_t elcr_writable[2] = {0xf8, 0xde};

static uint32_t elcr_read(void *opaque, uint16_t port, unsigned size)
{
    struct pic *pic = opaque;
    return pic->chip[port & 1].elcr;
}

static void elcr_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct pic *pic = opaque;
    struct pic_chip *chip = &pic->chip[port & 1];
    uint8_t was = chip->elcr;
    chip->elcr = value & elcr_writable[port & 1];
    chip->irr |= chip->pins & chip->elcr & ~was;
    pic_update_irq(pic);
}

static const struct io_ops elcr_io = {.widths = 1, .read = elcr_read, .write = elcr_write};

static void pic_reset(void *dev)
{
    struct pic *pic = dev;
    for (int i = 0; i < 2; i++) {
        uint8_t pins = pic->chip[i].pins;
        memset(&pic->chip[i], 0, sizeof(pic->chip[i]));
        pic->chip[i].pins = pins; /* the wires belong to others */
        pic->chip[i].lowest = 7;
        pic->chip[i].imr = 0xff; /* undefined in the data sheet; quiet until ICW1 is the safe choice */
    }
    pic->eoi_pending = 0;
    pic_update_irq(pic);
}

#define F(member) STATE_FIELD(pic_chip, member)
static const struct state_field chip_fields[] = {
    F(irr),    F(isr),       F(imr),       F(pins),   F(elcr),     F(icw2), F(icw3),         F(icw4),
    F(lowest), F(init_step), F(need_icw4), F(single), F(read_isr), F(poll), F(special_mask), F(rotate_aeoi)};
#undef F
static const struct state_layout chip_layout = STATE_LAYOUT(1, pic_chip, chip_fields);

static const struct state_field pic_fields[] = {
    STATE_FIELD(pic_regs, wires),
};
static const struct state_layout pic_layout = STATE_LAYOUT(1, pic_regs, pic_fields);

static void pic_pieces(void *dev, struct state_pieces *pieces)
{
    struct pic *pic = dev;
    state_add(pieces, "regs", 0, &pic_layout, &pic->regs);
    for (unsigned i = 0; i < 2; i++)
        state_add(pieces, "chip", i, &chip_layout, &pic->chip[i]);
}

static bool pic_after_load(void *dev)
{
    struct pic *pic = dev;
    for (int i = 0; i < 2; i++)
        pic->chip[i].lowest &= 7;
    pic_update_irq(pic);
    irq_set(&pic->intr, pic->level);
    return true;
}

static void pic_dump(void *dev, GString *out)
{
    struct pic *pic = dev;
    for (int i = 0; i < 2; i++) {
        const struct pic_chip *chip = &pic->chip[i];
        g_string_append_printf(out, "pic%d: irr=%02x isr=%02x imr=%02x pins=%02x elcr=%02x base=%02x\n", i, chip->irr,
                               chip->isr, chip->imr, chip->pins, chip->elcr, chip->icw2);
    }
}

struct pic *pic_new(const struct irq *intr)
{
    struct pic *pic = g_new0(struct pic, 1);
    pic->intr = *intr;
    ioport_register(0x20, 2, &pic_io, pic, "pic-master");
    ioport_register(0xa0, 2, &pic_io, pic, "pic-slave");
    ioport_register(0x4d0, 2, &elcr_io, pic, "elcr");
    pic_reset(pic);
    return pic;
}

void pic_free(struct pic *pic)
{
    ioport_unregister(0x20, 2);
    ioport_unregister(0xa0, 2);
    ioport_unregister(0x4d0, 2);
    g_free(pic);
}

static void pic_board_line(void *opaque, int line, bool level)
{
    pic_set_line(opaque, line, level);
}

static uint8_t pic_int_ack(void *opaque)
{
    return pic_ack(opaque);
}

static void *pic_create(const struct device_site *site, const void *config, GError **error)
{
    struct lapic *lapic = board_service(site->board, "apic");
    struct irq intr = board_wire(site->board, lapic ? "pic-intr" : "intr");
    struct pic *pic = pic_new(&intr);
    pic->int_ack = (struct board_int_ack){pic_int_ack, pic};
    if (lapic)
        lapic_set_pic_ack(lapic, pic_int_ack, pic);
    else
        board_provide(site->board, "int-ack", &pic->int_ack);
    board_add_irq_sink(site->board, pic_board_line, pic);
    board_provide(site->board, "pic", pic);
    return pic;
}

static void pic_destroy(void *dev)
{
    pic_free(dev);
}

const struct device_class pic_class = {
    .name = "isa-i8259",
    .info = "pic",
    .help = "the AT's two interrupt controllers",
    .bus = BUS_ISA,
    .internal = true,
    .create = pic_create,
    .destroy = pic_destroy,
    .reset = pic_reset,
    .pieces = pic_pieces,
    .after_load = pic_after_load,
    .dump = pic_dump,
};
DEVICE_CLASS(pic_class);
