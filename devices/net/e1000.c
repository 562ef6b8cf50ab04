/* Intel 82540EM: registers, EEPROM, interrupts, its life. PCI/PCI-X Family of Gigabit Ethernet Controllers Software
 * Developer's Manual (317453), chapters 5 (EEPROM), 13 (registers), 14 (reset).
 *
 * e1000_tx.c and e1000_rx.c are its two rings, e1000_phy.c the PHY with the link's state. No flow control, no wake-up,
 * no packet buffer that can be looked into: there is none, frames go from and to the guest's RAM.
 */
#include "e1000.h"

#include <string.h>

#include "log.h"

#define IO_BAR       64u
#define EEPROM_MAC   0x00
#define EEPROM_SUM   0x3f
#define EEPROM_WHOLE 0xbaba /* what all words add up to */
#define ITR_UNIT     256ll  /* nanoseconds */

struct e1000_config {
    struct netdev *netdev;
    uint8_t mac[6];
    const struct board_rom *rom;
};

/* --- Interrupts (13.4.17 to 13.4.21) --- */

/* Must be called when causes, the mask, or the time from which interrupts are allowed may have changed. */
static void e1000_update_irq(struct e1000 *e)
{
    bool wanted = e1000_get(e, ICR) & e1000_get(e, IMS);
    int64_t now = vclock_now();
    if (!wanted) {
        e->regs.pin = false;
        vtimer_cancel(e->irq_timer);
    } else if (!e->regs.pin && now < e->regs.throttled_until) {
        vtimer_arm(e->irq_timer, e->regs.throttled_until);
    } else if (!e->regs.pin) {
        e->regs.pin = true;
        e->regs.throttled_until = now + (e1000_get(e, ITR) & 0xffff) * ITR_UNIT;
    }
    pci_set_intx(&e->pci, e->regs.pin);
}

static void irq_timer(void *opaque)
{
    e1000_update_irq(opaque);
}

void e1000_cause(struct e1000 *e, uint32_t causes)
{
    *e1000_reg(e, ICR) |= causes;
    e1000_update_irq(e);
}

/* --- Counters (13.7): they stay at all ones --- */

void e1000_count(struct e1000 *e, uint32_t counter, uint32_t by)
{
    uint32_t *reg = e1000_reg(e, counter);
    *reg = *reg > UINT32_MAX - by ? UINT32_MAX : *reg + by;
}

void e1000_count64(struct e1000 *e, uint32_t counter, uint32_t by)
{
    uint32_t *low = e1000_reg(e, counter), *high = e1000_reg(e, counter + 4);
    uint64_t value = (uint64_t)*high << 32 | *low;
    value = value > UINT64_MAX - by ? UINT64_MAX : value + by;
    *low = (uint32_t)value;
    *high = (uint32_t)(value >> 32);
}

void e1000_count_size(struct e1000 *e, uint32_t first, size_t len)
{
    static const uint16_t most[] = {64, 127, 255, 511, 1023};
    unsigned i = 0;
    while (i < G_N_ELEMENTS(most) && len > most[i])
        i++;
    e1000_count(e, first + 4 * i, 1);
}

static uint32_t counter_read(struct e1000 *e, uint32_t offset)
{
    uint32_t value = e1000_get(e, offset);
    switch (offset) {
    case GORCL:
    case GOTCL:
    case TORL:
    case TOTL:
        break; /* both halves are cleared with the upper one */
    case GORCL + 4:
    case GOTCL + 4:
    case TORL + 4:
    case TOTL + 4:
        *e1000_reg(e, offset - 4) = 0;
        *e1000_reg(e, offset) = 0;
        break;
    default:
        *e1000_reg(e, offset) = 0;
    }
    return value;
}

bool e1000_is_looped(const struct e1000 *e)
{
    return (e1000_get(e, RCTL) & RCTL_LBM) || e1000_phy_is_looped(e);
}

/* --- EEPROM (chapter 5) --- */

/* The words that drivers and the chip itself look at; what a card from the shop has. */
static void eeprom_init(struct e1000 *e)
{
    static const uint16_t contents[EEPROM93_WORDS] = {
        [0x03] = 0x0000, [0x04] = 0xffff, [0x05] = 0xffff, [0x06] = 0xffff,          [0x07] = 0xffff,
        [0x08] = 0x3000, [0x09] = 0x1000, [0x0a] = 0x6403, [0x0b] = 0x1100,          [0x0c] = 0x1af4,
        [0x0d] = 0x100e, [0x0e] = 0x8086, [0x0f] = 0x3040, [0x10] = 0x0008,          [0x11] = 0x2000,
        [0x12] = 0x7e14, [0x13] = 0x0048, [0x14] = 0x1000, [0x15] = 0x00d8,          [0x16] = 0x0000,
        [0x17] = 0x2700, [0x18] = 0x6cc9, [0x19] = 0x3150, [0x1a] = 0x0722,          [0x1b] = 0x040b,
        [0x1c] = 0x0984, [0x1d] = 0x0000, [0x1e] = 0xc000, [0x1f] = 0x0706,          [0x20] = 0x1008,
        [0x21] = 0x0000, [0x22] = 0x0f04, [0x23] = 0x7fff, [0x24] = 0x4d01,          [0x25 ... 0x2f] = 0xffff,
        [0x30] = 0x0100, [0x31] = 0x4000, [0x32] = 0x121c, [0x33 ... 0x3e] = 0xffff,
    };
    uint16_t sum = 0;
    memcpy(e->regs.eeprom.word, contents, sizeof(contents));
    memcpy(&e->regs.eeprom.word[EEPROM_MAC], e->mac, 6);
    for (unsigned i = 0; i < EEPROM_SUM; i++)
        sum += e->regs.eeprom.word[i];
    e->regs.eeprom.word[EEPROM_SUM] = EEPROM_WHOLE - sum;
}

static void eeprom_unwire(struct e1000 *e)
{
    eeprom93_wires(&e->regs.eeprom, false, false, false);
    *e1000_reg(e, EECD) = EECD_PRES | 1u << 4 | EECD_DO; /* writes to the flash memory are off */
    *e1000_reg(e, EERD) = 0;
}

static void eecd_write(struct e1000 *e, uint32_t value)
{
    uint32_t kept = value & (EECD_SK | EECD_CS | EECD_DI | EECD_FWE | EECD_REQ);
    bool out = true;
    /* Nobody else wants the EEPROM: a request is granted at once. Without one its wires are not driven. */
    if (value & EECD_REQ)
        out = eeprom93_wires(&e->regs.eeprom, value & EECD_CS, value & EECD_SK, value & EECD_DI);
    else
        eeprom93_wires(&e->regs.eeprom, false, false, false);
    *e1000_reg(e, EECD) = kept | EECD_PRES | (value & EECD_REQ ? EECD_GNT : 0) | (out ? EECD_DO : 0);
}

static void eerd_write(struct e1000 *e, uint32_t value)
{
    unsigned address = value >> 8 & 0xff;
    uint32_t word = address < EEPROM93_WORDS ? e->regs.eeprom.word[address] : 0xffff;
    *e1000_reg(e, EERD) = value & EERD_START ? word << 16 | address << 8 | EERD_DONE : value & 0xff00;
}

/* --- Reset (14.2, 14.3) --- */

static void registers_reset(struct e1000 *e)
{
    uint32_t status = e1000_get(e, STATUS);
    uint8_t mac[6];
    memset(e->regs.reg, 0, sizeof(e->regs.reg));
    *e1000_reg(e, CTRL) = 0x00000201 | CTRL_SLU; /* full duplex, 1000 Mb/s; SLU as the EEPROM says */
    *e1000_reg(e, STATUS) = status;
    *e1000_reg(e, VET) = ETHER_TAGGED;
    *e1000_reg(e, TCTL) = 0;
    *e1000_reg(e, PBA) = 0x00100030; /* 48 KiB to receive, 16 KiB to transmit */
    *e1000_reg(e, LEDCTL) = 0x07068302;
    *e1000_reg(e, TXDCTL) = 0;
    *e1000_reg(e, RDTR) = 0;
    *e1000_reg(e, FCAL) = 0x00c28001;
    *e1000_reg(e, FCAH) = 0x00000100;
    *e1000_reg(e, FCT) = 0x00008808;
    *e1000_reg(e, TIPG) = 0x00602008;
    *e1000_reg(e, TXCW) = 0x000001a0;
    memcpy(mac, &e->regs.eeprom.word[EEPROM_MAC], 6);
    memcpy(e1000_reg(e, RAL), mac, 4);
    *e1000_reg(e, RAH) = mac[4] | (uint32_t)mac[5] << 8 | 1u << 31;
    eeprom_unwire(e);
    e->regs.packet = (struct e1000_packet){0};
    e->regs.context = e->regs.tso_context = (struct e1000_context){0};
    e->tx_blocked = false;
    e->regs.io_address = 0;
    e->regs.throttled_until = 0;
    e->regs.rx_delay = e->regs.rx_delay_most = e->regs.tx_delay = e->regs.tx_delay_most = E1000_NEVER;
    pci_work_cancel(e->tx_work);
    vtimer_cancel(e->rx_timer);
    vtimer_cancel(e->tx_timer);
    netdev_set_takes(e->netdev, 0);
    e1000_update_irq(e);
    e1000_rx_ready(e);
}

/* CTRL.RST: all but the PHY, and the link it has. */
static void device_reset(struct e1000 *e)
{
    registers_reset(e);
    e1000_link_update(e);
    *e1000_reg(e, ICR) = 0;
    e1000_update_irq(e);
}

static void e1000_reset(void *dev)
{
    struct e1000 *e = dev;
    *e1000_reg(e, STATUS) = 0;
    registers_reset(e);
    e1000_phy_reset(e);
    *e1000_reg(e, ICR) = 0;
    e1000_update_irq(e);
}

static void ctrl_write(struct e1000 *e, uint32_t value)
{
    if (value & CTRL_RST) {
        device_reset(e);
        return;
    }
    *e1000_reg(e, CTRL) = value & ~CTRL_PHY_RST;
    if (value & CTRL_PHY_RST)
        e1000_phy_reset(e);
    else
        e1000_link_update(e);
}

/* --- Registers --- */

static void mdic_write(struct e1000 *e, uint32_t value)
{
    *e1000_reg(e, MDIC) = e1000_mdic(e, value);
    if (value & MDIC_I)
        e1000_cause(e, ICR_MDAC);
}

static void icr_clear(struct e1000 *e, uint32_t causes)
{
    *e1000_reg(e, ICR) &= ~causes;
    e1000_update_irq(e);
}

static uint32_t reg_read(struct e1000 *e, uint32_t offset)
{
    uint32_t value;
    switch (offset) {
    case CTRL_DUP:
        return e1000_get(e, CTRL);
    case ICR:
        value = e1000_get(e, ICR);
        icr_clear(e, ~0u);
        return value;
    case ICS: /* write only; they read as this on the chip */
    case IMC:
        return 0;
    case STATS ... STATS_END - 4:
        return counter_read(e, offset);
    default:
        return e1000_get(e, offset);
    }
}

/* Registers that keep what is written; bits that are not there read as zero. 0: no such register, or only to read. */
static uint32_t reg_writable(uint32_t offset)
{
    switch (offset) {
    case CTRL_EXT:
    case FLA:
    case FCAL:
    case FCTTV:
    case TXCW:
    case TCTL:
    case TIPG:
    case TBT:
    case AIFS:
    case LEDCTL:
    case FCRTL:
    case FCRTH:
    case RDBAH:
    case RXDCTL:
    case TXDMAC:
    case TDBAH:
    case TXDCTL:
    case TSPMT:
    case WUC:
    case WUFC:
    case MANC:
    case IPAV:
    case WUPL:
    case RCTL:
    case RXCSUM:
    case MTA ... MTA + MTA_WORDS * 4 - 4:
    case VFTA ... VFTA + 0x1fc:
    case IP4AT ... IP4AT + 0x18:
    case IP6AT ... IP6AT + 0xc:
    case WUPM ... WUPM + 0x7c:
    case FFMT ... FFMT + 0x3fc:
    case FFVT ... FFVT + 0x3fc:
        return ~0u;
    case FCAH:
    case FCT:
    case VET:
    case ITR:
    case RDH:
    case RDT:
    case TDH:
    case TDT:
    case RADV:
    case TADV:
        return 0xffff;
    case RDTR:
    case TIDV:
        return 0xffff; /* FPD is an order */
    case PBA:
        return 0x7f;
    case RSRPD:
        return 0xfff;
    case RDBAL:
    case TDBAL:
        return ~15u;
    case RDLEN:
    case TDLEN:
        return 0xfff80;
    case RDFH ... RDFPC:
    case TDFH ... TDFPC:
        return 0x1fff;
    case RAL ... RAL + RA_ENTRIES * 8 - 4:
        return offset & 4 ? 0x8003ffff : ~0u;
    case FFLT ... FFLT + 0x1c:
        return 0x7ff;
    default:
        return 0;
    }
}

/* What a register that keeps its value does besides. */
static void reg_written(struct e1000 *e, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case CTRL_EXT:
        if (value & CTRL_EXT_EE_RST) {
            *e1000_reg(e, CTRL_EXT) &= ~CTRL_EXT_EE_RST;
            eeprom_unwire(e);
        }
        break;
    case PBA: /* what is not for receiving, of 64 KiB */
        *e1000_reg(e, PBA) = (value & 0x7f) | (64u - MIN(value & 0x7f, 64u)) << 16;
        break;
    case TCTL:
    case TDT:
        e1000_tx_kick(e);
        break;
    case RCTL:
    case RDT:
        e1000_rx_ready(e);
        break;
    case RXCSUM:
        netdev_set_takes(e->netdev, value & RXCSUM_TUOFL ? NETDEV_TAKES_CSUM : 0);
        break;
    case ITR:
        if (!value) {
            e->regs.throttled_until = 0;
            e1000_update_irq(e);
        }
        break;
    case RDTR:
        if ((value & DELAY_FPD) || !(value & 0xffff))
            e1000_rx_flush(e);
        break;
    case TIDV:
        if ((value & DELAY_FPD) || !(value & 0xffff))
            e1000_tx_flush(e);
        break;
    }
}

static void reg_write(struct e1000 *e, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case CTRL:
    case CTRL_DUP:
        ctrl_write(e, value);
        return;
    case EECD:
        eecd_write(e, value);
        return;
    case EERD:
        eerd_write(e, value);
        return;
    case MDIC:
        mdic_write(e, value);
        return;
    case ICR:
        icr_clear(e, value);
        return;
    case ICS:
        e1000_cause(e, value & ICR_ALL);
        return;
    case IMS:
        *e1000_reg(e, IMS) |= value & ICR_ALL;
        e1000_update_irq(e);
        return;
    case IMC:
        *e1000_reg(e, IMS) &= ~value;
        e1000_update_irq(e);
        return;
    case WUS:
        *e1000_reg(e, WUS) &= ~value;
        return;
    }
    uint32_t writable = reg_writable(offset);
    if (!writable) {
        if (offset != STATUS && offset != RXCW && (offset < STATS || offset >= STATS_END))
            log_guest("e1000: %x is written to %x, where nothing is", value, offset);
        return;
    }
    *e1000_reg(e, offset) = value & writable;
    reg_written(e, offset, value);
}

/* True for what E1000_WORDS has a place for. */
static bool is_register(uint32_t offset)
{
    return offset < 0x6000 || (offset >= FFMT && offset < FFMT + 0x1000);
}

static uint64_t mmio_read(void *opaque, uint32_t offset, unsigned size)
{
    struct e1000 *e = opaque;
    uint32_t dword = offset & ~3u;
    uint64_t value = is_register(dword) ? reg_read(e, dword) : 0;
    if (size == 8 && is_register(dword + 4))
        value |= (uint64_t)reg_read(e, dword + 4) << 32;
    return size == 8 ? value : value >> (offset & 3) * 8;
}

/* Registers are written as a whole (13.2); of less there is only a part that is there. */
static void mmio_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct e1000 *e = opaque;
    uint32_t dword = offset & ~3u;
    if (size < 4)
        log_guest("e1000: %u bytes are written to %x", size, offset);
    if (is_register(dword))
        reg_write(e, dword, (uint32_t)value << (offset & 3) * 8);
    if (size == 8 && is_register(dword + 4))
        reg_write(e, dword + 4, (uint32_t)(value >> 32));
}

static const struct mmio_ops e1000_mmio = {mmio_read, mmio_write};

/* IOADDR and IODATA (13.2.2). */
static uint32_t io_read(void *opaque, uint16_t port, unsigned size)
{
    struct e1000 *e = opaque;
    switch ((port - e->pci.bar[1].base) & (IO_BAR - 4)) {
    case 0:
        return e->regs.io_address;
    case 4:
        return e->regs.io_address < E1000_BAR ? (uint32_t)mmio_read(e, e->regs.io_address & ~3u, 4) : 0;
    default:
        return 0;
    }
}

static void io_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct e1000 *e = opaque;
    switch ((port - e->pci.bar[1].base) & (IO_BAR - 4)) {
    case 0:
        e->regs.io_address = value;
        break;
    case 4:
        if (e->regs.io_address < E1000_BAR)
            mmio_write(e, e->regs.io_address & ~3u, 4, value);
        break;
    }
}

static const struct io_ops e1000_io = {.widths = 4, .read = io_read, .write = io_write};

/* --- The cable --- */

static bool from_cable(void *opaque, const uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    return e1000_is_looped(opaque) || e1000_receive(opaque, frame, len, offload);
}

static void link_changed(void *opaque)
{
    struct e1000 *e = opaque;
    e1000_link_update(e);
    e->tx_blocked = false; /* without a link all is sent, and lost */
    e1000_tx_kick(e);
}

static void sendable(void *opaque)
{
    struct e1000 *e = opaque;
    e->tx_blocked = false;
    e1000_tx_kick(e);
}

static const struct netdev_front e1000_front = {from_cable, link_changed, sendable};

/* --- State --- */

static const struct state_field e1000_fields[] = {
    STATE_FIELD(e1000_regs, reg),
    STATE_FIELD(e1000_regs, io_address),
    STATE_FIELD(e1000_regs, phy),
    STATE_FIELD(e1000_regs, eeprom),
    STATE_FIELD(e1000_regs, context),
    STATE_FIELD(e1000_regs, tso_context),
    STATE_FIELD(e1000_regs, packet),
    STATE_FIELD(e1000_regs, pin),
    STATE_FIELD(e1000_regs, negotiating),
    STATE_FIELD(e1000_regs, link_at),
    STATE_FIELD(e1000_regs, throttled_until),
    STATE_FIELD(e1000_regs, rx_delay),
    STATE_FIELD(e1000_regs, rx_delay_most),
    STATE_FIELD(e1000_regs, tx_delay),
    STATE_FIELD(e1000_regs, tx_delay_most),
};
static const struct state_layout e1000_layout = STATE_LAYOUT(1, e1000_regs, e1000_fields);

static void e1000_pieces(void *dev, struct state_pieces *pieces)
{
    struct e1000 *e = dev;
    state_add(pieces, "regs", 0, &e1000_layout, &e->regs);
    state_add_bytes(pieces, "partial", 0, e->partial, sizeof(e->partial));
}

/* All of them are 65535 units of about a microsecond ahead at most: with a second nobody waits for long. */
static void limit(int64_t *when)
{
    int64_t most = vclock_now() + NS_PER_SECOND;
    if (*when != E1000_NEVER && *when > most)
        *when = most;
}

/* Registers are looked at when they are used, as the guest could have written anything into them. */
static bool e1000_after_load(void *dev)
{
    struct e1000 *e = dev;
    struct e1000_regs *regs = &e->regs;
    if (!eeprom93_is_sane(&regs->eeprom) || regs->packet.len > sizeof(e->partial) || regs->packet.begun > 1 ||
        (regs->packet.options & ~PACKET_ALL))
        return false;
    limit(&regs->link_at);
    limit(&regs->throttled_until);
    limit(&regs->rx_delay);
    limit(&regs->rx_delay_most);
    limit(&regs->tx_delay);
    limit(&regs->tx_delay_most);
    /* Whoever is at the cable's other end now does not know of what was waiting. */
    e->tx_blocked = e->rx_full = false;
    pci_work_cancel(e->tx_work);
    vtimer_cancel(e->link_timer);
    if (regs->negotiating)
        vtimer_arm(e->link_timer, regs->link_at);
    e1000_rx_arm(e);
    e1000_tx_arm(e);
    netdev_set_takes(e->netdev, e1000_get(e, RXCSUM) & RXCSUM_TUOFL ? NETDEV_TAKES_CSUM : 0);
    e1000_update_irq(e);
    pci_work_ask(e->tx_work); /* looks whether there is anything to do */
    netdev_ready(e->netdev);
    return true;
}

static void e1000_dump(void *dev, GString *out)
{
    const struct e1000 *e = dev;
    const uint16_t *mac = e->regs.eeprom.word;
    uint32_t status = e1000_get(e, STATUS);
    g_string_append_printf(out, "e1000: %02x:%02x:%02x:%02x:%02x:%02x, link %s%s%s\n", mac[0] & 0xff, mac[0] >> 8,
                           mac[1] & 0xff, mac[1] >> 8, mac[2] & 0xff, mac[2] >> 8, status & STATUS_LU ? "up" : "down",
                           e->netdev ? "" : ", no cable", e1000_is_looped(e) ? ", looped back" : "");
    g_string_append_printf(out, "  CTRL %08x STATUS %08x RCTL %08x TCTL %08x RXCSUM %04x\n", e1000_get(e, CTRL), status,
                           e1000_get(e, RCTL), e1000_get(e, TCTL), e1000_get(e, RXCSUM));
    g_string_append_printf(out, "  ICR %05x IMS %05x ITR %u pin %d RDTR %u RADV %u TIDV %u TADV %u\n",
                           e1000_get(e, ICR), e1000_get(e, IMS), e1000_get(e, ITR), e->regs.pin, e1000_get(e, RDTR),
                           e1000_get(e, RADV), e1000_get(e, TIDV), e1000_get(e, TADV));
    g_string_append_printf(out, "  receive ring %llx: %u descriptors, head %u, tail %u%s\n",
                           (unsigned long long)e1000_ring(e, RDBAL), e1000_get(e, RDLEN) / 16, e1000_get(e, RDH),
                           e1000_get(e, RDT), e->rx_full ? ", full" : "");
    g_string_append_printf(out, "  transmit ring %llx: %u descriptors, head %u, tail %u%s\n",
                           (unsigned long long)e1000_ring(e, TDBAL), e1000_get(e, TDLEN) / 16, e1000_get(e, TDH),
                           e1000_get(e, TDT), e->tx_blocked ? ", waiting" : "");
    e1000_phy_dump(e, out);
}

/* --- Its life --- */

static void e1000_destroy(void *dev)
{
    struct e1000 *e = dev;
    netdev_detach(e->netdev);
    pci_work_free(e->tx_work);
    vtimer_free(e->link_timer);
    vtimer_free(e->irq_timer);
    vtimer_free(e->rx_timer);
    vtimer_free(e->tx_timer);
    pci_unplug(&e->pci);
    g_free(e);
}

static void *e1000_create(const struct device_site *site, const void *opaque, GError **error)
{
    const struct e1000_config *config = opaque;
    struct e1000 *e = g_new0(struct e1000, 1);
    pci_device_init(&e->pci, "e1000", 0x8086, 0x100e, 0x020000, 3);
    e->pci.config[PCI_INTERRUPT_PIN] = 1;
    pci_add_mmio_bar(&e->pci, 0, E1000_BAR, &e1000_mmio, e);
    pci_add_io_bar(&e->pci, 1, IO_BAR, &e1000_io, e);
    if (!pci_add_rom(&e->pci, config->rom, error)) {
        g_free(e);
        return NULL;
    }
    e->netdev = config->netdev;
    memcpy(e->mac, config->mac, 6);
    e->tx_work = pci_work_new(&e->pci, e1000_tx_work, e);
    e->link_timer = vtimer_new(e1000_link_timer, e, "e1000 link");
    e->irq_timer = vtimer_new(irq_timer, e, "e1000 throttle");
    e->rx_timer = vtimer_new(e1000_rx_timer, e, "e1000 receive delay");
    e->tx_timer = vtimer_new(e1000_tx_timer, e, "e1000 transmit delay");
    eeprom_init(e);
    netdev_attach(e->netdev, &e1000_front, e);
    pci_plug(board_service(site->board, "pci"), &e->pci, (uint8_t)site->unit);
    e1000_reset(e);
    return e;
}

static const struct property e1000_properties[] = {NIC_PROPERTIES(e1000_config, "pxe-e1000.rom"), PROPERTY_END};

/* clang-format off */
#define E1000_CLASS(class_name) \
    {.name = class_name, .help = "Intel 82540EM Gigabit Ethernet", .bus = BUS_PCI, .devfn = -1, \
     .properties = e1000_properties, .config_size = sizeof(struct e1000_config), .create = e1000_create, \
     .destroy = e1000_destroy, .reset = e1000_reset, .pieces = e1000_pieces, .after_load = e1000_after_load, \
     .dump = e1000_dump}
/* clang-format on */

const struct device_class e1000_class = E1000_CLASS("e1000");
DEVICE_CLASS(e1000_class);
/* QEMU's other name of it. */
static const struct device_class e1000_82540em_class = E1000_CLASS("e1000-82540em");
DEVICE_CLASS(e1000_82540em_class);
