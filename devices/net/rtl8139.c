/* Realtek RTL8139C+: registers, EEPROM, timer, interrupts, its life. RTL8139C(L) data sheet, chapters 5 and 6;
 * RTL8139C(L)+ data sheet for descriptor rings (C+ mode, which CPCR switches on for either direction).
 *
 * rtl8139_tx.c and rtl8139_rx.c are its two directions, rtl8139_phy.c the link. No wake-up, no early interrupts: a
 * frame is there as a whole, or not at all.
 */
#include "rtl8139.h"

#include <string.h>

#include "log.h"

#define IO_BAR      256u
#define NEVER       INT64_MAX
#define EEPROM_IDR  7u                         /* word */
#define TICKS(ns)   ((uint64_t)(ns)*33 / 1000) /* of TCTR: the PCI clock */
#define TICKS_NS(t) ((int64_t)(((t)*1000 + 32) / 33))

struct rtl_config {
    struct netdev *netdev;
    uint8_t mac[6];
    const struct board_rom *rom;
};

/* --- Interrupts --- */

/* Must be called when ISR or IMR may have changed. */
static void rtl_update_irq(struct rtl8139 *r)
{
    pci_set_intx(&r->pci, rtl_get16(r, ISR) & rtl_get16(r, IMR));
}

void rtl_cause(struct rtl8139 *r, uint32_t causes)
{
    rtl_put(r, ISR, 2, rtl_get16(r, ISR) | causes);
    rtl_update_irq(r);
}

/* --- TCTR and TIMERINT --- */

static uint64_t ticks(const struct rtl8139 *r)
{
    return TICKS(vclock_now() - r->regs.tctr_zero);
}

static void timer_arm(struct rtl8139 *r)
{
    if (r->regs.timer_at == NEVER)
        vtimer_cancel(r->timer);
    else
        vtimer_arm(r->timer, r->regs.timer_at);
}

/* When the counter, which goes round, is TIMERINT the next time. */
static void timer_set(struct rtl8139 *r)
{
    uint64_t now = ticks(r), at = (now & ~0xffffffffull) | rtl_get32(r, TIMERINT);
    if (at <= now)
        at += 1ull << 32;
    r->regs.timer_at = rtl_get32(r, TIMERINT) ? r->regs.tctr_zero + TICKS_NS(at) : NEVER;
    timer_arm(r);
}

static void timer_fired(void *opaque)
{
    struct rtl8139 *r = opaque;
    rtl_cause(r, INT_TIMEOUT);
    timer_set(r);
}

/* --- EEPROM --- */

static void eeprom_init(struct rtl8139 *r)
{
    static const uint16_t contents[EEPROM93_WORDS] = {
        [0] = 0x8129,                /* there is something in it */
        [1] = 0x10ec,  [2] = 0x8139, /* PCI: vendor, device, */
        [3] = 0x1af4,  [4] = 0x1100, /* and subsystem */
        [5] = 0x4020,                /* MAXLAT, MINGNT */
        [6] = 0xe108,                /* CONFIG3, MSRBMCR */
        [10] = 0x0d10,               /* CONFIG1, CONFIG0 */
        [12] = 0xf7c2,               /* PMC */
        [13] = 0x8001,               /* CONFIG4 */
    };
    memcpy(r->regs.eeprom.word, contents, sizeof(contents));
    memcpy(&r->regs.eeprom.word[EEPROM_IDR], r->mac, 6);
}

/* After RESET#, and when the driver wants it. */
static void eeprom_load(struct rtl8139 *r)
{
    memcpy(&r->regs.reg[IDR], &r->regs.eeprom.word[EEPROM_IDR], 6);
    rtl_put(r, CONFIG0, 1, 0x00);
    rtl_put(r, CONFIG1, 1, 0x0d); /* memory and I/O space, power management */
    rtl_put(r, CONFIG3, 1, 0x01); /* fast back-to-back */
    rtl_put(r, CONFIG4, 1, 0x00);
}

static void cr9346_write(struct rtl8139 *r, uint8_t value)
{
    bool out = false;
    if ((value & CR9346_MODE) == CR9346_AUTOLOAD) {
        eeprom_load(r);
        value = 0;
    }
    if ((value & CR9346_MODE) == CR9346_PROGRAM)
        out = eeprom93_wires(&r->regs.eeprom, value & CR9346_EECS, value & CR9346_EESK, value & CR9346_EEDI);
    else
        eeprom93_wires(&r->regs.eeprom, false, false, false);
    rtl_put(r, CR9346, 1, (value & ~CR9346_EEDO & 0xff) | (out ? CR9346_EEDO : 0));
}

/* --- Work --- */

static bool tally_is_wanted(const struct rtl8139 *r)
{
    return r->regs.dtccr & DTCCR_CMD;
}

static void kick(struct rtl8139 *r)
{
    if (rtl_tx_is_wanted(r) || tally_is_wanted(r))
        pci_work_ask(r->work);
}

/* The counters as they lie in memory: without gaps, which struct rtl_tally has not either. */
_Static_assert(sizeof(struct rtl_tally) == 64, "DTCCR");

static void work(void *opaque)
{
    struct rtl8139 *r = opaque;
    if (tally_is_wanted(r)) {
        pci_dma_write(&r->pci, r->regs.dtccr & ~63ull, &r->regs.tally, sizeof(r->regs.tally));
        r->regs.dtccr &= ~(uint64_t)DTCCR_CMD;
    }
    if (rtl_tx_work(r))
        pci_work_ask(r->work);
}

/* --- Reset --- */

/* CR.RST (6.6): addresses, filters, what comes from the EEPROM, and the PHY stay. */
static void soft_reset(struct rtl8139 *r)
{
    for (unsigned offset = TSD; offset < RTL_REGS; offset++) {
        bool stays = (offset >= CR9346 && offset <= CONFIG1) || (offset >= MSR && offset <= CONFIG4) ||
                     (offset >= BMCR && offset < CSCR + 4) || offset == CONFIG5;
        if (!stays)
            r->regs.reg[offset] = 0;
    }
    for (unsigned i = 0; i < 4; i++)
        rtl_put(r, TSD + 4 * i, 4, TSD_OWN);
    rtl_put(r, CAPR, 2, 0xfff0);
    rtl_put(r, TCR, 4, TCR_VERSION);
    rtl_put(r, RERID, 1, 0x20);
    r->regs.dtccr = 0;
    r->regs.tx_sent = 0;
    r->regs.tx_queue = r->regs.tx_next = r->regs.cp_tx[0] = r->regs.cp_tx[1] = r->regs.cp_rx = 0;
    r->regs.tctr_zero = vclock_now();
    r->tx_blocked = false;
    timer_set(r);
    pci_work_cancel(r->work);
    netdev_set_takes(r->netdev, 0);
    rtl_update_irq(r);
    rtl_rx_ready(r);
}

static void rtl_reset(void *dev)
{
    struct rtl8139 *r = dev;
    struct eeprom93 eeprom = r->regs.eeprom;
    memset(&r->regs, 0, sizeof(r->regs));
    r->regs.eeprom = eeprom;
    eeprom_load(r);
    cr9346_write(r, 0);
    soft_reset(r);
    rtl_phy_reset(r);
    rtl_put(r, ISR, 2, 0);
    rtl_update_irq(r);
}

/* --- Registers. Each has a size of its own, and can be reached with accesses of any --- */

static unsigned unit_size(const struct rtl8139 *r, unsigned offset)
{
    switch (offset) {
    case TSD ... RBSTART + 3:
    case TCR ... MPC + 3:
    case TIMERINT ... TIMERINT + 3:
    case RDSAR ... RDSAR + 7:
        return 4;
    case ERBCR ... ERBCR + 1:
    case CAPR ... ISR + 1:
    case MULINT ... MULINT + 1:
    case TSADS ... CSCR + 1:
    case CPCR ... CPCR + 1:
        return 2;
    default:
        return 1;
    }
}

static bool is_cp(const struct rtl8139 *r)
{
    return rtl_get16(r, CPCR) & (CPCR_TX | CPCR_RX);
}

/* OWN, TABT, TUN and TOK of each of the four (6.16). */
static uint16_t tsd_summary(const struct rtl8139 *r)
{
    uint16_t bits = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t tsd = rtl_get32(r, TSD + 4 * i);
        bits |= (tsd & TSD_OWN ? 1u : 0) << i | (tsd & TSD_TABT ? 0x10u : 0) << i | (tsd & TSD_TUN ? 0x100u : 0) << i |
                (tsd & TSD_TOK ? 0x1000u : 0) << i;
    }
    return bits;
}

static uint32_t unit_read(const struct rtl8139 *r, unsigned offset, unsigned size)
{
    switch (offset) {
    case DTCCR:
    case DTCCR + 4:
        if (is_cp(r))
            return (uint32_t)(r->regs.dtccr >> (offset - DTCCR) * 8);
        break;
    case CR:
        return rtl_get8(r, CR) | (rtl_rx_is_empty(r) ? CR_BUFE : 0);
    case TCTR:
        return (uint32_t)ticks(r);
    case TSADS:
        return tsd_summary(r);
    case TPPOLL:
        return 0; /* write only */
    }
    return size == 4 ? rtl_get32(r, offset) : size == 2 ? rtl_get16(r, offset) : rtl_get8(r, offset);
}

static void command_write(struct rtl8139 *r, uint8_t value)
{
    if (value & CR_RST) {
        soft_reset(r);
        return;
    }
    uint8_t was = rtl_get8(r, CR);
    rtl_put(r, CR, 1, value & (CR_TE | CR_RE));
    if (!(was & CR_TE) && (value & CR_TE)) /* transmission begins with the first descriptors (5.2) */
        r->regs.tx_next = r->regs.cp_tx[0] = r->regs.cp_tx[1] = 0, r->regs.tx_sent = 0;
    if (!(was & CR_RE) && (value & CR_RE))
        r->regs.cp_rx = 0;
    if (!(was & CR_RE) && (value & CR_RE) && !(rtl_get16(r, CPCR) & CPCR_RX)) {
        rtl_put(r, CBR, 2, 0); /* the ring is empty */
        rtl_put(r, CAPR, 2, 0xfff0);
    }
    kick(r);
    rtl_rx_ready(r);
}

static void tsd_write(struct rtl8139 *r, unsigned offset, uint32_t value)
{
    if (is_cp(r)) {
        if (offset > DTCCR + 4)
            return;
        unsigned shift = (offset - DTCCR) * 8;
        r->regs.dtccr = (r->regs.dtccr & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
        r->regs.dtccr &= ~(63ull & ~DTCCR_CMD);
    } else {
        /* What the chip sets is gone, and what the driver may not set stays away. */
        rtl_put(r, offset, 4, value & (TSD_SIZE | TSD_OWN | TSD_ERTXTH));
    }
    kick(r);
}

static void config_write(struct rtl8139 *r, unsigned offset, uint8_t value)
{
    static const uint8_t writable[] = {
        [CONFIG1 - CONFIG0] = 0xf1, [CONFIG3 - CONFIG0] = 0x70, [CONFIG4 - CONFIG0] = 0xf7};
    uint8_t mask = writable[offset - CONFIG0];
    if ((rtl_get8(r, CR9346) & CR9346_MODE) != CR9346_UNLOCKED)
        log_guest("rtl8139: %x is written to %x, which is locked", value, offset);
    else
        rtl_put(r, offset, 1, (rtl_get8(r, offset) & ~mask) | (value & mask));
}

static void tppoll_write(struct rtl8139 *r, uint8_t value)
{
    r->regs.reg[TPPOLL] |= value & (TPPOLL_HPQ | TPPOLL_NPQ);
    if (value & TPPOLL_SW)
        rtl_cause(r, INT_SW);
    kick(r);
}

/* A ring that is put somewhere is begun from its start. */
static void ring_moved(struct rtl8139 *r, unsigned offset)
{
    if (offset >= RDSAR)
        r->regs.cp_rx = 0;
    else
        r->regs.cp_tx[offset >= THPDS] = 0;
    if (offset < RDSAR)
        r->regs.tx_sent = 0;
}

/* value has the whole unit; of what is written in part the rest is as it reads, but for mask. */
static void unit_write(struct rtl8139 *r, unsigned offset, unsigned size, uint32_t value, uint32_t mask)
{
    uint32_t whole = (unit_read(r, offset, size) & ~mask) | (value & mask);
    switch (offset) {
    case TSD ... TSD + 15:
        tsd_write(r, offset, whole);
        return;
    case CR:
        command_write(r, (uint8_t)value);
        return;
    case CAPR:
        rtl_put(r, CAPR, 2, whole);
        rtl_rx_ready(r);
        return;
    case IMR:
        rtl_put(r, IMR, 2, whole & 0xe1ff);
        rtl_update_irq(r);
        rtl_rx_ready(r); /* C+: often the first access after descriptors were given */
        return;
    case ISR:
        rtl_put(r, ISR, 2, rtl_get16(r, ISR) & ~(value & mask));
        rtl_update_irq(r);
        rtl_rx_ready(r);
        return;
    case TCR:
        rtl_put(r, TCR, 4, TCR_VERSION | (whole & TCR_WRITABLE)); /* CLRABT: nothing is ever aborted */
        return;
    case RCR:
        rtl_put(r, RCR, 4, whole & RCR_WRITABLE);
        rtl_rx_ready(r);
        return;
    case TCTR:
        r->regs.tctr_zero = vclock_now();
        timer_set(r);
        return;
    case MPC:
        rtl_put(r, MPC, 4, 0); /* by any value */
        return;
    case CR9346:
        cr9346_write(r, (uint8_t)value);
        return;
    case CONFIG0:
    case CONFIG1:
    case CONFIG3:
    case CONFIG4:
        config_write(r, offset, (uint8_t)value);
        return;
    case TIMERINT:
        rtl_put(r, TIMERINT, 4, whole);
        timer_set(r);
        return;
    case MSR:
        rtl_put(r, MSR, 1, (rtl_get8(r, MSR) & ~MSR_PAUSE) | (value & MSR_PAUSE));
        return;
    case BMCR:
    case ANAR:
    case NWAYTR:
    case CSCR:
        rtl_phy_write(r, offset, (uint16_t)value, (uint16_t)mask);
        return;
    case TPPOLL:
        tppoll_write(r, (uint8_t)value);
        return;
    case CPCR:
        rtl_put(r, CPCR, 2, whole & 0x007b);
        netdev_set_takes(r->netdev, whole & CPCR_CHKSUM ? NETDEV_TAKES_CSUM : 0);
        kick(r);
        rtl_rx_ready(r);
        return;
    case TNPDS ... TNPDS + 15:
    case RDSAR ... RDSAR + 7:
        rtl_put(r, offset, 4, whole);
        ring_moved(r, offset);
        return;
    case IDR ... MAR + 7:
    case RBSTART:
    case MULINT:
    case 0x78 ... 0xd3: /* parameters of the PHY, wake-up */
    case CONFIG5:
    case ETTHR:
        rtl_put(r, offset, size, whole);
        return;
    default: /* what can only be read, and what is not there */
        return;
    }
}

static uint32_t access_read(const struct rtl8139 *r, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size && offset + i < RTL_REGS;) {
        unsigned at = offset + i, unit = unit_size(r, at), base = at & ~(unit - 1);
        unsigned take = MIN(unit - (at - base), size - i);
        uint32_t part = unit_read(r, base, unit) >> (at - base) * 8;
        value |= (take < 4 ? part & ((1u << take * 8) - 1) : part) << i * 8;
        i += take;
    }
    return value;
}

static void access_write(struct rtl8139 *r, unsigned offset, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size && offset + i < RTL_REGS;) {
        unsigned at = offset + i, unit = unit_size(r, at), base = at & ~(unit - 1);
        unsigned take = MIN(unit - (at - base), size - i);
        uint32_t mask = (take < 4 ? (1u << take * 8) - 1 : ~0u) << (at - base) * 8;
        unit_write(r, base, unit, (value >> i * 8) << (at - base) * 8, mask);
        i += take;
    }
}

static uint64_t mmio_read(void *opaque, uint32_t offset, unsigned size)
{
    if (offset >= RTL_REGS)
        return ~0ull;
    uint64_t value = access_read(opaque, offset, MIN(size, 4));
    return size == 8 ? value | (uint64_t)access_read(opaque, offset + 4, 4) << 32 : value;
}

static void mmio_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    access_write(opaque, offset, MIN(size, 4), (uint32_t)value);
    if (size == 8)
        access_write(opaque, offset + 4, 4, (uint32_t)(value >> 32));
}

static const struct mmio_ops rtl_mmio = {mmio_read, mmio_write};

static uint32_t io_read(void *opaque, uint16_t port, unsigned size)
{
    const struct rtl8139 *r = opaque;
    return access_read(r, port - r->pci.bar[0].base, size);
}

static void io_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct rtl8139 *r = opaque;
    access_write(r, port - r->pci.bar[0].base, size, value);
}

static const struct io_ops rtl_io = {.widths = 1 | 2 | 4, .read = io_read, .write = io_write};

/* --- The cable --- */

static bool from_cable(void *opaque, const uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    return rtl_is_looped(opaque) || rtl_receive(opaque, frame, len, offload);
}

static void sendable(void *opaque)
{
    struct rtl8139 *r = opaque;
    r->tx_blocked = false;
    kick(r);
}

static void link_changed(void *opaque)
{
    rtl_link_update(opaque);
    sendable(opaque); /* without a link all is sent, and lost */
}

static const struct netdev_front rtl_front = {from_cable, link_changed, sendable};

/* The driver may make the card a master only after it has given it something. */
static void config_written(struct pci_device *dev, uint8_t offset, unsigned size)
{
    if (offset < PCI_COMMAND + 2)
        kick(dev->opaque);
}

/* --- State --- */

static const struct state_field rtl_fields[] = {
    STATE_FIELD(rtl_regs, reg),         STATE_FIELD(rtl_regs, eeprom),    STATE_FIELD(rtl_regs, tally),
    STATE_FIELD(rtl_regs, dtccr),       STATE_FIELD(rtl_regs, tctr_zero), STATE_FIELD(rtl_regs, link_at),
    STATE_FIELD(rtl_regs, timer_at),    STATE_FIELD(rtl_regs, tx_sent),   STATE_FIELD(rtl_regs, tx_queue),
    STATE_FIELD(rtl_regs, tx_next),     STATE_FIELD(rtl_regs, cp_tx),     STATE_FIELD(rtl_regs, cp_rx),
    STATE_FIELD(rtl_regs, negotiating),
};
static const struct state_layout rtl_layout = STATE_LAYOUT(1, rtl_regs, rtl_fields);

/* Registers are looked at when they are used, as the guest could have written anything into most of them. */
static bool rtl_after_load(void *dev)
{
    struct rtl8139 *r = dev;
    struct rtl_regs *regs = &r->regs;
    if (!eeprom93_is_sane(&regs->eeprom) || regs->tx_queue > 1 || regs->tx_next > 3 || regs->cp_tx[0] >= CP_RING ||
        regs->cp_tx[1] >= CP_RING || regs->cp_rx >= CP_RING || regs->tctr_zero > vclock_now() || regs->tctr_zero < 0 ||
        regs->timer_at < 0)
        return false;
    regs->link_at = MIN(regs->link_at, vclock_now() + NS_PER_SECOND);
    /* Whoever is at the cable's other end now does not know of what was waiting. */
    r->tx_blocked = r->rx_full = false;
    vtimer_cancel(r->rx_poll);
    vtimer_cancel(r->link_timer);
    if (regs->negotiating)
        vtimer_arm(r->link_timer, regs->link_at);
    timer_arm(r);
    netdev_set_takes(r->netdev, rtl_get16(r, CPCR) & CPCR_CHKSUM ? NETDEV_TAKES_CSUM : 0);
    rtl_update_irq(r);
    pci_work_ask(r->work); /* looks whether there is anything to do */
    netdev_ready(r->netdev);
    return true;
}

static void rtl_dump(void *dev, GString *out)
{
    const struct rtl8139 *r = dev;
    const uint8_t *id = &r->regs.reg[IDR];
    g_string_append_printf(out, "rtl8139: %02x:%02x:%02x:%02x:%02x:%02x, link %s%s%s\n", id[0], id[1], id[2], id[3],
                           id[4], id[5], rtl_get16(r, BMSR) & BMSR_LINK ? "up" : "down", r->netdev ? "" : ", no cable",
                           rtl_is_looped(r) ? ", looped back" : "");
    g_string_append_printf(out, "  CR %02x TCR %08x RCR %08x CPCR %04x ISR %04x IMR %04x\n", unit_read(r, CR, 1),
                           rtl_get32(r, TCR), rtl_get32(r, RCR), rtl_get16(r, CPCR), rtl_get16(r, ISR),
                           rtl_get16(r, IMR));
    g_string_append_printf(out, "  receive ring %x: CBR %04x CAPR %04x; descriptors %llx, next %u%s\n",
                           rtl_get32(r, RBSTART), rtl_get16(r, CBR), rtl_get16(r, CAPR),
                           (unsigned long long)rtl_get64(r, RDSAR), r->regs.cp_rx, r->rx_full ? ", full" : "");
    for (unsigned i = 0; i < 4; i++)
        g_string_append_printf(out, "  TSD%u %08x TSAD%u %08x%s\n", i, rtl_get32(r, TSD + 4 * i), i,
                               rtl_get32(r, TSAD + 4 * i), i == r->regs.tx_next ? " next" : "");
    g_string_append_printf(out, "  descriptors to transmit: next %u, of high priority %u%s\n", r->regs.cp_tx[0],
                           r->regs.cp_tx[1], r->tx_blocked ? ", waiting" : "");
    g_string_append_printf(out, "  BMCR %04x BMSR %04x MSR %02x%s; sent %llu, received %llu\n", rtl_get16(r, BMCR),
                           rtl_get16(r, BMSR), rtl_get8(r, MSR), r->regs.negotiating ? ", negotiating" : "",
                           (unsigned long long)r->regs.tally.tx_ok, (unsigned long long)r->regs.tally.rx_ok);
}

/* --- Its life --- */

static void rtl_destroy(void *dev)
{
    struct rtl8139 *r = dev;
    netdev_detach(r->netdev);
    pci_work_free(r->work);
    vtimer_free(r->link_timer);
    vtimer_free(r->timer);
    vtimer_free(r->rx_poll);
    pci_unplug(&r->pci);
    g_free(r);
}

static void *rtl_create(const struct device_site *site, const void *opaque, GError **error)
{
    const struct rtl_config *config = opaque;
    struct rtl8139 *r = g_new0(struct rtl8139, 1);
    pci_device_init(&r->pci, "rtl8139", 0x10ec, 0x8139, 0x020000, 0x20);
    r->pci.config[PCI_INTERRUPT_PIN] = 1;
    pci_add_io_bar(&r->pci, 0, IO_BAR, &rtl_io, r);
    pci_add_mmio_bar(&r->pci, 1, PAGE_SIZE, &rtl_mmio, r); /* the chip has 256 bytes; memory is mapped by pages */
    if (!pci_add_rom(&r->pci, config->rom, error)) {
        g_free(r);
        return NULL;
    }
    r->pci.opaque = r;
    r->pci.config_written = config_written;
    r->netdev = config->netdev;
    memcpy(r->mac, config->mac, 6);
    r->work = pci_work_new(&r->pci, work, r);
    r->link_timer = vtimer_new(rtl_link_timer, r, "rtl8139 link");
    r->timer = vtimer_new(timer_fired, r, "rtl8139 timer");
    r->rx_poll = vtimer_new(rtl_rx_poll, r, "rtl8139 receive");
    eeprom_init(r);
    netdev_attach(r->netdev, &rtl_front, r);
    pci_plug(board_service(site->board, "pci"), &r->pci, (uint8_t)site->unit);
    rtl_reset(r);
    return r;
}

static const struct property rtl_properties[] = {NIC_PROPERTIES(rtl_config, "pxe-rtl8139.rom"), PROPERTY_END};

const struct device_class rtl8139_class = {
    .name = "rtl8139",
    .help = "Realtek RTL8139C+ Fast Ethernet",
    .bus = BUS_PCI,
    .devfn = -1,
    .properties = rtl_properties,
    .config_size = sizeof(struct rtl_config),
    .create = rtl_create,
    .destroy = rtl_destroy,
    .reset = rtl_reset,
    .layout = &rtl_layout,
    .regs_offset = offsetof(struct rtl8139, regs),
    .after_load = rtl_after_load,
    .dump = rtl_dump,
};
DEVICE_CLASS(rtl8139_class);
