/* National DP8390D (data sheet of July 1995) as NE2000 cards have it: registers, remote DMA, resets. Frames are
 * dp8390_frame.c.
 *
 *   00h-0Fh  the chip's registers, in four pages that CR.PS chooses between; the RTL8029's page 3 is its own
 *   10h-17h  data port: the remote DMA moves a byte or a word (DCR.WTS) at each access
 *   18h-1Fh  reset, when read
 *
 * The card's memory, as the chip sees it: 0000h the PROM, each byte of it twice so that it reads the same with words:
 * the address, and 57h at the end; 4000h to 7FFFh RAM.
 */
#include "dp8390.h"

#include <string.h>

#include "log.h"
#include "state.h"

#define RD_READ  0x08u
#define RD_WRITE 0x10u
#define RD_ABORT 0x20u

#define DATA_PORT  0x10u
#define RESET_PORT 0x18u

#define CR9346_CONFIG 0xc0u /* the configuration registers may be written */

void dp8390_update_irq(struct dp8390 *nic)
{
    irq_set(&nic->irq, nic->regs.isr & nic->regs.imr & ~ISR_RST);
}

/* --- Memory and remote DMA --- */

uint8_t dp8390_memory(const struct dp8390 *nic, uint16_t address)
{
    if (address < DP8390_RAM)
        return nic->prom[address % sizeof(nic->prom)];
    return address < DP8390_RAM_END ? nic->ram[address - DP8390_RAM] : 0xff;
}

void dp8390_memory_put(struct dp8390 *nic, uint16_t address, uint8_t value)
{
    if (address >= DP8390_RAM && address < DP8390_RAM_END)
        nic->ram[address - DP8390_RAM] = value;
}

static void remote_done(struct dp8390 *nic)
{
    nic->regs.isr |= ISR_RDC;
    dp8390_update_irq(nic);
}

/* After a byte or a word; at the end of the receive ring it goes on at its beginning. */
static void remote_step(struct dp8390 *nic, unsigned bytes)
{
    struct dp8390_regs *regs = &nic->regs;
    regs->crda += bytes;
    if (regs->crda == regs->pstop * DP8390_PAGE)
        regs->crda = (uint16_t)(regs->pstart * DP8390_PAGE);
    regs->rbcr -= MIN(bytes, regs->rbcr);
    if (regs->rbcr == 0)
        remote_done(nic);
}

static bool remote_is(const struct dp8390 *nic, unsigned direction)
{
    if ((nic->regs.cr & CR_RD) == direction && nic->regs.rbcr)
        return true;
    log_guest("ne2000: data port without a remote DMA");
    return false;
}

/* A card in a 16-bit slot moves a whole word for a byte access, too; in byte mode, the bus makes bytes of a word. */
static uint32_t data_read(struct dp8390 *nic, unsigned size)
{
    unsigned unit = nic->regs.dcr & DCR_WTS ? 2 : 1;
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i += unit) {
        uint32_t piece = 0xffff;
        if (remote_is(nic, RD_READ)) {
            piece = dp8390_memory(nic, nic->regs.crda);
            if (unit == 2)
                piece |= (uint32_t)dp8390_memory(nic, (uint16_t)(nic->regs.crda + 1)) << 8;
            remote_step(nic, unit);
        }
        value |= (unit == 2 ? piece : piece & 0xff) << 8 * i;
    }
    return value;
}

static void data_write(struct dp8390 *nic, unsigned size, uint32_t value)
{
    unsigned unit = nic->regs.dcr & DCR_WTS ? 2 : 1;
    for (unsigned i = 0; i < size; i += unit) {
        if (!remote_is(nic, RD_WRITE))
            return;
        dp8390_memory_put(nic, nic->regs.crda, (uint8_t)(value >> 8 * i));
        if (unit == 2)
            dp8390_memory_put(nic, (uint16_t)(nic->regs.crda + 1), (uint8_t)(value >> 8 * i >> 8));
        remote_step(nic, unit);
    }
}

/* --- Resets --- */

/* --- When it transmits --- */

static void work_ask(struct dp8390 *nic)
{
    nic->asked = true;
    if (nic->bus_request.set)
        irq_set(&nic->bus_request, true);
    else
        vtimer_arm(nic->work, vclock_now());
}

static void work_cancel(struct dp8390 *nic)
{
    nic->asked = false;
}

static void bus_granted(void *opaque)
{
    struct dp8390 *nic = opaque;
    if (!nic->asked)
        return;
    nic->asked = false;
    dp8390_work(nic);
}

/* --- Resets --- */

/* The reset port: what the data sheet's table of RESET names. All else stays. */
static void port_reset(struct dp8390 *nic)
{
    struct dp8390_regs *regs = &nic->regs;
    regs->cr = RD_ABORT;
    regs->running = false;
    regs->isr = ISR_RST;
    regs->imr = 0;
    regs->tcr &= ~TCR_LB;
    regs->dcr &= ~0x04u; /* LAS */
    work_cancel(nic);
    dp8390_update_irq(nic);
    dp8390_receive_anew(nic);
}

void dp8390_reset(struct dp8390 *nic)
{
    nic->regs = (struct dp8390_regs){.config2 = 0x40}; /* 10BASE-T */
    port_reset(nic);
    netdev_ready(nic->netdev);
}

/* --- Registers --- */

static void command_write(struct dp8390 *nic, uint8_t value)
{
    struct dp8390_regs *regs = &nic->regs;
    bool was_running = regs->running;
    regs->cr = (value & (CR_PS | CR_RD)) | (regs->cr & CR_TXP);
    if (value & CR_STP) { /* what is being sent is sent to its end */
        regs->running = false;
        regs->isr |= ISR_RST;
    } else if (value & CR_STA) {
        regs->running = true;
        if (!was_running)
            regs->isr &= ~ISR_RST;
    }
    if ((value & CR_RD) && !(value & RD_ABORT) && regs->rbcr == 0)
        remote_done(nic);
    if ((value & CR_TXP) && regs->running) {
        regs->cr |= CR_TXP;
        work_ask(nic);
    }
    if (regs->running != was_running)
        dp8390_receive_anew(nic);
}

static uint8_t tally_read(struct dp8390 *nic, unsigned n)
{
    uint8_t value = nic->regs.cntr[n];
    nic->regs.cntr[n] = 0;
    return value;
}

static uint8_t page0_read(struct dp8390 *nic, unsigned n)
{
    struct dp8390_regs *regs = &nic->regs;
    switch (n) {
    case 0x1:
        return (uint8_t)regs->clda;
    case 0x2:
        return (uint8_t)(regs->clda >> 8);
    case 0x3:
        return regs->bnry;
    case 0x4:
        return regs->tsr;
    case 0x5:
        return regs->ncr;
    case 0x6:
        return regs->fifo[regs->fifo_at++ % sizeof(regs->fifo)];
    case 0x7:
        return regs->isr;
    case 0x8:
        return (uint8_t)regs->crda;
    case 0x9:
        return (uint8_t)(regs->crda >> 8);
    case 0xa:
        return nic->is_8029 ? 0x50 : 0xff;
    case 0xb:
        return nic->is_8029 ? 0x43 : 0xff;
    case 0xc:
        return regs->rsr;
    default:
        return tally_read(nic, n - 0xd);
    }
}

static void set_low(uint16_t *reg, uint8_t value)
{
    *reg = (*reg & 0xff00) | value;
}

static void set_high(uint16_t *reg, uint8_t value)
{
    *reg = (uint16_t)((*reg & 0x00ff) | value << 8);
}

static void page0_write(struct dp8390 *nic, unsigned n, uint8_t value)
{
    struct dp8390_regs *regs = &nic->regs;
    switch (n) {
    case 0x1:
        regs->pstart = value;
        break;
    case 0x2:
        regs->pstop = value;
        break;
    case 0x3: /* a packet has been removed from the ring */
        regs->bnry = value;
        if (regs->running)
            regs->isr &= ~ISR_RST;
        dp8390_receive_anew(nic);
        break;
    case 0x4:
        regs->tpsr = value;
        break;
    case 0x5:
        set_low(&regs->tbcr, value);
        break;
    case 0x6:
        set_high(&regs->tbcr, value);
        break;
    case 0x7: /* RST is a status */
        regs->isr &= ~value | ISR_RST;
        break;
    case 0x8:
        set_low(&regs->crda, value);
        break;
    case 0x9:
        set_high(&regs->crda, value);
        break;
    case 0xa:
        set_low(&regs->rbcr, value);
        break;
    case 0xb:
        set_high(&regs->rbcr, value);
        break;
    case 0xc:
        regs->rcr = value & 0x3f;
        break;
    case 0xd:
        regs->tcr = value & 0x1f;
        dp8390_receive_anew(nic);
        break;
    case 0xe:
        regs->dcr = value & 0x7f;
        break;
    case 0xf:
        regs->imr = value & 0x7f;
        break;
    }
    dp8390_update_irq(nic);
}

static uint8_t page1_read(const struct dp8390 *nic, unsigned n)
{
    if (n <= 6)
        return nic->regs.par[n - 1];
    return n == 7 ? nic->regs.curr : nic->regs.mar[n - 8];
}

static void page1_write(struct dp8390 *nic, unsigned n, uint8_t value)
{
    if (n <= 6) {
        nic->regs.par[n - 1] = value;
    } else if (n == 7) {
        nic->regs.curr = nic->regs.next_local = value;
        dp8390_receive_anew(nic);
    } else {
        nic->regs.mar[n - 8] = value;
    }
}

/* For diagnostics: what page 0 only writes. */
static uint8_t page2_read(const struct dp8390 *nic, unsigned n)
{
    const struct dp8390_regs *regs = &nic->regs;
    switch (n) {
    case 0x1:
        return regs->pstart;
    case 0x2:
        return regs->pstop;
    case 0x3:
        return regs->next_remote;
    case 0x4:
        return regs->tpsr;
    case 0x5:
        return regs->next_local;
    case 0x6:
        return (uint8_t)(regs->address_counter >> 8);
    case 0x7:
        return (uint8_t)regs->address_counter;
    case 0xc:
        return regs->rcr | 0xc0; /* bits that are not there read as ones */
    case 0xd:
        return regs->tcr | 0xe0;
    case 0xe:
        return regs->dcr | 0x80;
    case 0xf:
        return regs->imr | 0x80;
    default:
        return 0xff;
    }
}

static void page2_write(struct dp8390 *nic, unsigned n, uint8_t value)
{
    struct dp8390_regs *regs = &nic->regs;
    switch (n) {
    case 0x1:
        set_low(&regs->clda, value);
        break;
    case 0x2:
        set_high(&regs->clda, value);
        break;
    case 0x3:
        regs->next_remote = value;
        break;
    case 0x5:
        regs->next_local = value;
        break;
    case 0x6:
        set_high(&regs->address_counter, value);
        break;
    case 0x7:
        set_low(&regs->address_counter, value);
        break;
    }
}

/* RTL8029: configuration. There is no serial EEPROM behind 9346CR. */
static uint8_t page3_read(const struct dp8390 *nic, unsigned n)
{
    switch (nic->is_8029 ? n : 0) {
    case 0x1:
        return nic->regs.cr9346;
    case 0x3:
        return 0x00; /* CONFIG0: not BNC */
    case 0x5:
        return nic->regs.config2;
    case 0x6:
        return nic->regs.config3;
    case 0xe:
        return 0x29;
    case 0xf:
        return 0x80;
    default:
        return 0xff;
    }
}

static void page3_write(struct dp8390 *nic, unsigned n, uint8_t value)
{
    bool may = nic->is_8029 && (nic->regs.cr9346 & CR9346_CONFIG) == CR9346_CONFIG;
    if (n == 0x1 && nic->is_8029)
        nic->regs.cr9346 = value & 0xce;
    else if (n == 0x5 && may)
        nic->regs.config2 = value;
    else if (n == 0x6 && may)
        nic->regs.config3 = value & 0x46;
}

static uint8_t reg_read(struct dp8390 *nic, unsigned n)
{
    if (n == 0)
        return nic->regs.cr | (nic->regs.running ? CR_STA : CR_STP);
    switch (nic->regs.cr >> 6) {
    case 0:
        return page0_read(nic, n);
    case 1:
        return page1_read(nic, n);
    case 2:
        return page2_read(nic, n);
    default:
        return page3_read(nic, n);
    }
}

static void reg_write(struct dp8390 *nic, unsigned n, uint8_t value)
{
    static void (*const page[4])(struct dp8390 * nic, unsigned n, uint8_t value) = {page0_write, page1_write,
                                                                                    page2_write, page3_write};
    if (n == 0)
        command_write(nic, value);
    else
        page[nic->regs.cr >> 6](nic, n, value);
}

uint32_t dp8390_read(struct dp8390 *nic, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++, offset++) {
        if (offset >= RESET_PORT)
            port_reset(nic);
        else if (offset >= DATA_PORT)
            return value | data_read(nic, size - i) << 8 * i;
        else
            value |= (uint32_t)reg_read(nic, offset) << 8 * i;
    }
    return value;
}

void dp8390_write(struct dp8390 *nic, unsigned offset, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++, offset++) {
        if (offset >= RESET_PORT)
            return; /* the end of a reset that a read has begun */
        if (offset >= DATA_PORT) {
            data_write(nic, size - i, value >> 8 * i);
            return;
        }
        reg_write(nic, offset, (uint8_t)(value >> 8 * i));
    }
}

/* --- Life --- */

static const struct state_field dp8390_fields[] = {
    STATE_FIELD(dp8390_regs, cr),          STATE_FIELD(dp8390_regs, running),
    STATE_FIELD(dp8390_regs, pstart),      STATE_FIELD(dp8390_regs, pstop),
    STATE_FIELD(dp8390_regs, bnry),        STATE_FIELD(dp8390_regs, curr),
    STATE_FIELD(dp8390_regs, tpsr),        STATE_FIELD(dp8390_regs, tbcr),
    STATE_FIELD(dp8390_regs, rbcr),        STATE_FIELD(dp8390_regs, clda),
    STATE_FIELD(dp8390_regs, crda),        STATE_FIELD(dp8390_regs, address_counter),
    STATE_FIELD(dp8390_regs, next_remote), STATE_FIELD(dp8390_regs, next_local),
    STATE_FIELD(dp8390_regs, isr),         STATE_FIELD(dp8390_regs, imr),
    STATE_FIELD(dp8390_regs, rcr),         STATE_FIELD(dp8390_regs, tcr),
    STATE_FIELD(dp8390_regs, dcr),         STATE_FIELD(dp8390_regs, tsr),
    STATE_FIELD(dp8390_regs, rsr),         STATE_FIELD(dp8390_regs, ncr),
    STATE_FIELD(dp8390_regs, par),         STATE_FIELD(dp8390_regs, mar),
    STATE_FIELD(dp8390_regs, cntr),        STATE_FIELD(dp8390_regs, fifo),
    STATE_FIELD(dp8390_regs, fifo_at),     STATE_FIELD(dp8390_regs, rx_waits),
    STATE_FIELD(dp8390_regs, rx_misses),   STATE_FIELD(dp8390_regs, rx_until),
    STATE_FIELD(dp8390_regs, cr9346),      STATE_FIELD(dp8390_regs, config2),
    STATE_FIELD(dp8390_regs, config3),
};
static const struct state_layout dp8390_layout = STATE_LAYOUT(1, dp8390_regs, dp8390_fields);

void dp8390_pieces(struct dp8390 *nic, struct state_pieces *pieces)
{
    state_add(pieces, "regs", 0, &dp8390_layout, &nic->regs);
    state_add_bytes(pieces, "ram", 0, nic->ram, sizeof(nic->ram));
}

bool dp8390_after_load(struct dp8390 *nic)
{
    dp8390_update_irq(nic);
    if (nic->regs.cr & CR_TXP)
        work_ask(nic);
    else
        work_cancel(nic);
    nic->regs.rx_until = MIN(nic->regs.rx_until, vclock_now() + DP8390_PATIENCE_NS); /* it may come from anybody */
    if (nic->regs.rx_waits)
        vtimer_arm(nic->patience, vclock_now());
    else
        vtimer_cancel(nic->patience);
    netdev_ready(nic->netdev);
    return true;
}

void dp8390_dump(const struct dp8390 *nic, const char *name, GString *out)
{
    const struct dp8390_regs *regs = &nic->regs;
    g_string_append_printf(out, "%s: cr %02x %s isr %02x imr %02x rcr %02x tcr %02x dcr %02x link %s\n", name, regs->cr,
                           regs->running ? "started" : "stopped", regs->isr, regs->imr, regs->rcr, regs->tcr, regs->dcr,
                           netdev_link_is_up(nic->netdev) ? "up" : "down");
    g_string_append_printf(out, "  ring %02x to %02x, boundary %02x, current %02x%s\n", regs->pstart, regs->pstop,
                           regs->bnry, regs->curr,
                           regs->rx_waits    ? ", waits"
                           : regs->rx_misses ? ", misses"
                                             : "");
    g_string_append_printf(out, "  remote at %04x, %u bytes left\n", regs->crda, regs->rbcr);
}

void dp8390_init(struct dp8390 *nic, struct board *board, struct netdev *netdev, const uint8_t mac[6])
{
    nic->bus_request = board_wire(board, "bus-request");
    if (nic->bus_request.set)
        board_add_bus_hook(board, bus_granted, nic);
    for (unsigned i = 0; i < 6; i++)
        nic->prom[2 * i] = nic->prom[2 * i + 1] = mac[i];
    memset(&nic->prom[28], 0x57, 4);
    nic->netdev = netdev;
    nic->work = vtimer_new(bus_granted, nic, "ne2000");
    nic->patience = vtimer_new(dp8390_patience, nic, "ne2000-ring");
    netdev_attach(netdev, &dp8390_front, nic);
    dp8390_reset(nic);
}

void dp8390_destroy(struct dp8390 *nic)
{
    netdev_detach(nic->netdev);
    vtimer_free(nic->work);
    vtimer_free(nic->patience);
}
