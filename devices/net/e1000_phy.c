/* The 82540EM's PHY, an 88E1011S behind MDIC: manual 13.4.8 (MDIC), chapter 11, and IEEE 802.3 clause 22.2.4 for
 * registers 0 to 15.
 *
 * The link comes up when auto-negotiation is complete, which takes a while after a reset, a restart, or the plugging of
 * the cable: drivers wait for that, and some take a link that is there at once for a stale one.
 */
#include "e1000.h"

#include "log.h"

#define PHY_ADDRESS 1u
#define NEGOTIATION (200 * 1000000ll)

enum {
    PCTRL = 0,
    PSTATUS = 1,
    PID1 = 2,
    PID2 = 3,
    ANA = 4,
    LPA = 5,
    ANE = 6,
    GCON = 9,
    GSTATUS = 10,
    ESTATUS = 15,
    PSCON = 16,
    PSSTAT = 17,
    PINTE = 18,
    PINTS = 19,
    EPSCON1 = 20,
};

#define PCTRL_RESET     0x8000u
#define PCTRL_LOOPBACK  0x4000u
#define PCTRL_SPEED_LSB 0x2000u
#define PCTRL_AN        0x1000u
#define PCTRL_DOWN      0x0800u
#define PCTRL_RESTART   0x0200u
#define PCTRL_DUPLEX    0x0100u
#define PCTRL_SPEED_MSB 0x0040u

#define PSTATUS_AN_DONE 0x0020u
#define PSTATUS_LINK    0x0004u

#define PSSTAT_1000     0x8000u
#define PSSTAT_DUPLEX   0x2000u
#define PSSTAT_RESOLVED 0x0800u
#define PSSTAT_LINK     0x0400u

static const uint16_t phy_after_reset[32] = {
    [PCTRL] = PCTRL_AN | PCTRL_DUPLEX | PCTRL_SPEED_MSB,
    [PSTATUS] = 0x7949, /* all modes of 10 and 100 Mb/s, extended status, no preamble needed, negotiates, extended */
    [PID1] = 0x0141,
    [PID2] = 0x0c20,
    [ANA] = 0x0de1,
    [GCON] = 0x0e00,
    [ESTATUS] = 0x3000,
    [PSCON] = 0x0068,
    [EPSCON1] = 0x0d60,
};

/* Bits that the driver may change. */
static const uint16_t phy_writable[32] = {
    [PCTRL] = 0x7dc0, [ANA] = 0xbfff,   [7] = 0xffff,       [GCON] = 0xff00,
    [PSCON] = 0xffff, [PINTE] = 0xffff, [EPSCON1] = 0xffff, [21 ... 31] = 0xffff,
};

bool e1000_phy_is_looped(const struct e1000 *e)
{
    return e->regs.phy[PCTRL] & PCTRL_LOOPBACK;
}

static unsigned forced_speed(uint16_t control)
{
    return (control & PCTRL_SPEED_MSB ? 2u : 0u) | (control & PCTRL_SPEED_LSB ? 1u : 0u);
}

/* What both sides and STATUS say, once it is known whether there is a link. */
static void link_set(struct e1000 *e, bool up)
{
    uint16_t *phy = e->regs.phy;
    bool negotiates = phy[PCTRL] & PCTRL_AN;
    unsigned speed = negotiates || forced_speed(phy[PCTRL]) == 3 ? SPEED_1000 : forced_speed(phy[PCTRL]);
    bool full = negotiates || (phy[PCTRL] & PCTRL_DUPLEX);
    phy[PSTATUS] &= (uint16_t) ~(PSTATUS_LINK | PSTATUS_AN_DONE);
    phy[PSSTAT] = 0;
    phy[LPA] = phy[ANE] = phy[GSTATUS] = 0;
    if (up) {
        phy[PSTATUS] |= PSTATUS_LINK;
        phy[PSSTAT] = (uint16_t)(speed << 14 | PSSTAT_RESOLVED | PSSTAT_LINK | (full ? PSSTAT_DUPLEX : 0));
        if (negotiates) {
            phy[PSTATUS] |= PSTATUS_AN_DONE;
            phy[LPA] = 0xcde1; /* the partner knows all, and both kinds of pause */
            phy[ANE] = 0x0003;
            phy[GSTATUS] = 0x3c00; /* both receivers are well, the partner does 1000BASE-T */
        }
    }
    /* The MAC recognizes the PHY's link while CTRL.SLU is set; the EEPROM sets it at reset. */
    bool visible = up && (e1000_get(e, CTRL) & CTRL_SLU);
    uint32_t *status = e1000_reg(e, STATUS), was = *status;
    *status &= ~(STATUS_LU | STATUS_FD | 3u << STATUS_SPEED | 3u << STATUS_ASDV);
    *status |= speed << STATUS_SPEED | speed << STATUS_ASDV | (full ? STATUS_FD : 0) | (visible ? STATUS_LU : 0);
    if ((was ^ *status) & STATUS_LU) {
        e1000_cause(e, ICR_LSC);
        e1000_rx_ready(e); /* what waits is lost, or can come */
    }
}

void e1000_link_update(struct e1000 *e)
{
    uint16_t control = e->regs.phy[PCTRL];
    bool on = !(control & PCTRL_DOWN);
    if (control & PCTRL_LOOPBACK) {
        e->regs.negotiating = false;
        link_set(e, on);
    } else if (!on || !netdev_link_is_up(e->netdev)) {
        e->regs.negotiating = false;
        link_set(e, false);
    } else if (e->regs.negotiating) {
        return;
    } else if (!(control & PCTRL_AN) || (e->regs.phy[PSTATUS] & PSTATUS_AN_DONE)) {
        link_set(e, true);
    } else {
        e->regs.negotiating = true;
        e->regs.link_at = vclock_now() + NEGOTIATION;
        vtimer_arm(e->link_timer, e->regs.link_at);
        link_set(e, false);
    }
}

static void negotiate_again(struct e1000 *e)
{
    e->regs.negotiating = false;
    e->regs.phy[PSTATUS] &= (uint16_t)~PSTATUS_AN_DONE;
    e1000_link_update(e);
}

void e1000_link_timer(void *opaque)
{
    struct e1000 *e = opaque;
    if (!e->regs.negotiating)
        return;
    e->regs.negotiating = false;
    link_set(e, netdev_link_is_up(e->netdev));
}

void e1000_phy_reset(struct e1000 *e)
{
    memcpy(e->regs.phy, phy_after_reset, sizeof(e->regs.phy));
    negotiate_again(e);
}

static void phy_write(struct e1000 *e, unsigned number, uint16_t value)
{
    uint16_t *reg = &e->regs.phy[number], was = *reg;
    if (number == PCTRL && (value & PCTRL_RESET)) {
        /* 22.2.4.1.1: back to what it was after power-on. (The 88E1011 keeps what is in these registers and takes
         * it over only now; it is all the same as speeds and modes cost nothing here.) */
        uint16_t ana = e->regs.phy[ANA], gcon = e->regs.phy[GCON];
        e1000_phy_reset(e);
        e->regs.phy[ANA] = ana;
        e->regs.phy[GCON] = gcon;
        return;
    }
    *reg = (uint16_t)((was & ~phy_writable[number]) | (value & phy_writable[number]));
    if (number == PCTRL) {
        if ((value & PCTRL_RESTART) || ((was ^ *reg) & (PCTRL_AN | PCTRL_LOOPBACK | PCTRL_DOWN)))
            negotiate_again(e);
        else
            e1000_link_update(e);
    }
}

uint32_t e1000_mdic(struct e1000 *e, uint32_t value)
{
    unsigned number = value >> 16 & 31;
    value &= ~(MDIC_R | MDIC_E);
    if ((value >> 21 & 31) != PHY_ADDRESS) {
        value |= MDIC_E;
    } else if ((value & MDIC_OP) == MDIC_OP_READ) {
        value = (value & 0xffff0000u) | e->regs.phy[number];
        if (number == PINTS)
            e->regs.phy[PINTS] = 0;
    } else if ((value & MDIC_OP) == MDIC_OP_WRITE) {
        phy_write(e, number, (uint16_t)value);
    } else {
        log_guest("e1000: MDIC %x is neither a read nor a write", value);
        value |= MDIC_E;
    }
    return value | MDIC_R;
}

void e1000_phy_dump(const struct e1000 *e, GString *out)
{
    const uint16_t *phy = e->regs.phy;
    g_string_append_printf(out, "  PHY: control %04x status %04x advertises %04x %04x specific %04x%s\n", phy[PCTRL],
                           phy[PSTATUS], phy[ANA], phy[GCON], phy[PSSTAT], e->regs.negotiating ? ", negotiating" : "");
}
