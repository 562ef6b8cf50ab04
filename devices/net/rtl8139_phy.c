/* RTL8139C+: the PHY inside, as registers BMCR to CSCR show it, and the link. Data sheet, 6.17 to 6.27; IEEE 802.3,
 * 22.2.4. */
#include "rtl8139.h"

#define NEGOTIATION (100 * 1000000ll)

static void link_set(struct rtl8139 *r, bool up)
{
    uint16_t bmcr = rtl_get16(r, BMCR), bmsr = rtl_get16(r, BMSR), was = bmsr;
    bool negotiates = bmcr & BMCR_ANE, is_fast = negotiates || (bmcr & BMCR_100);
    bmsr &= (uint16_t) ~(BMSR_LINK | BMSR_DONE);
    if (up)
        bmsr |= BMSR_LINK | (negotiates ? BMSR_DONE : 0);
    rtl_put(r, BMSR, 2, bmsr);
    rtl_put(r, ANLPAR, 2, up && negotiates ? 0x45e1 : 0); /* the partner does all, and pause */
    rtl_put(r, ANER, 2, up && negotiates ? 1 : 0);
    rtl_put(r, MSR, 1,
            (rtl_get8(r, MSR) & MSR_PAUSE) | MSR_AUX | (up ? 0 : MSR_LINKB) | (up && !is_fast ? MSR_SPEED : 0));
    rtl_put(r, CSCR, 2, (rtl_get16(r, CSCR) & ~0x0408u) | (up ? 0x0408 : 0));
    if ((was ^ bmsr) & BMSR_LINK) {
        rtl_cause(r, INT_LINKCHG);
        rtl_rx_ready(r);
    }
}

void rtl_link_update(struct rtl8139 *r)
{
    if (!netdev_link_is_up(r->netdev)) {
        r->regs.negotiating = false;
        link_set(r, false);
    } else if (r->regs.negotiating) {
        return;
    } else if (!(rtl_get16(r, BMCR) & BMCR_ANE) || (rtl_get16(r, BMSR) & BMSR_DONE)) {
        link_set(r, true);
    } else {
        r->regs.negotiating = true;
        r->regs.link_at = vclock_now() + NEGOTIATION;
        vtimer_arm(r->link_timer, r->regs.link_at);
        link_set(r, false);
    }
}

void rtl_link_timer(void *opaque)
{
    struct rtl8139 *r = opaque;
    if (!r->regs.negotiating)
        return;
    r->regs.negotiating = false;
    link_set(r, netdev_link_is_up(r->netdev));
}

static void negotiate_again(struct rtl8139 *r)
{
    r->regs.negotiating = false;
    rtl_put(r, BMSR, 2, rtl_get16(r, BMSR) & ~BMSR_DONE);
    rtl_link_update(r);
}

void rtl_phy_reset(struct rtl8139 *r)
{
    rtl_put(r, BMCR, 2, BMCR_100 | BMCR_ANE | BMCR_DUPLEX);
    rtl_put(r, BMSR, 2, 0x7809 | (rtl_get16(r, BMSR) & BMSR_LINK));
    rtl_put(r, ANAR, 2, 0x05e1);
    rtl_put(r, NWAYTR, 2, 0);
    rtl_put(r, CSCR, 2, 0x03c0);
    negotiate_again(r);
}

void rtl_phy_write(struct rtl8139 *r, unsigned offset, uint16_t value, uint16_t mask)
{
    uint16_t was = rtl_get16(r, offset);
    value = (uint16_t)((was & ~mask) | (value & mask));
    if (offset != BMCR) {
        rtl_put(r, offset, 2, value);
        return;
    }
    if (value & BMCR_RESET) {
        rtl_phy_reset(r);
        return;
    }
    value &= BMCR_100 | BMCR_ANE | BMCR_RESTART | BMCR_DUPLEX;
    rtl_put(r, BMCR, 2, value & ~BMCR_RESTART);
    if ((value & BMCR_RESTART) || ((was ^ value) & BMCR_ANE))
        negotiate_again(r);
    else
        rtl_link_update(r);
}
