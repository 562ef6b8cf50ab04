/* EHCI: registers, ports and who owns them. EHCI 1.0, 2 (registers), 4.2 (port routing). As usb-ehci it is Intel's ICH4
 * one without companions (only high-speed devices can be in it); as ich9-usb-ehci1 it may have UHCIs beside it.
 */
#include "ehci.h"

#include <string.h>

#include "log.h"

#define SBRN    0x60 /* serial bus release number */
#define FLADJ   0x61 /* frame length adjustment, 20h: 60,000 bit times */
#define WAKECAP 0x62

void ehci_update_irq(struct ehci *ehci)
{
    pci_set_intx(&ehci->pci, ehci->regs.usbsts & ehci->regs.usbintr & EHCI_STS_RWC);
}

/* --- Ports (2.3.9) --- */

static void port_change_detected(struct ehci *ehci)
{
    ehci->regs.usbsts |= EHCI_STS_PCD;
    ehci_update_irq(ehci);
}

static uint32_t port_lines(const struct usb_device *dev)
{
    return !dev || dev->speed == USB_HIGH ? 0 : dev->speed == USB_LOW ? EHCI_PORT_LINE_K : EHCI_PORT_LINE_J;
}

static void set_speed(struct usb_device *dev, uint8_t speeds)
{
    for (int speed = USB_HIGH; speed >= USB_LOW; speed--) {
        if (speeds & dev->speeds & 1u << speed) {
            dev->speed = (enum usb_speed)speed;
            return;
        }
    }
}

/* Brings what port and companion show in line with what is plugged in, and whose it is. */
static void port_route(struct ehci *ehci, unsigned n)
{
    uint32_t *portsc = &ehci->regs.portsc[n], before = *portsc;
    struct usb_device *dev = ehci->port[n].device;
    struct usb_port *companion = ehci->companion[n];
    bool is_ours = !(*portsc & EHCI_PORT_OWNER);
    struct usb_device *theirs = is_ours ? NULL : dev;
    if (companion && companion->device != theirs) {
        companion->device = theirs;
        if (theirs)
            set_speed(theirs, companion->speeds);
        companion->ops->changed(companion);
    }
    if (is_ours && dev && !(before & EHCI_PORT_CCS))
        set_speed(dev, ehci->port[n].speeds);
    *portsc &= ~(EHCI_PORT_CCS | EHCI_PORT_LINE_J | EHCI_PORT_LINE_K);
    if (is_ours && dev)
        *portsc |= EHCI_PORT_CCS | port_lines(dev);
    if (!(*portsc & EHCI_PORT_CCS))
        *portsc &= ~(EHCI_PORT_PED | EHCI_PORT_SUSP | EHCI_PORT_FPR);
    if ((*portsc ^ before) & EHCI_PORT_CCS) {
        *portsc |= EHCI_PORT_CSC;
        port_change_detected(ehci);
    }
}

static void port_changed(struct usb_port *port)
{
    struct ehci *ehci = port->opaque;
    unsigned n = (unsigned)(port - ehci->port);
    port_route(ehci, n);
    if (!port->device && ehci->regs.configflag && (ehci->regs.portsc[n] & EHCI_PORT_OWNER)) {
        ehci->regs.portsc[n] &= ~EHCI_PORT_OWNER; /* 4.2.2: the next device is ours to look at */
        port_route(ehci, n);
    }
    ehci_attend(ehci);
}

static void port_wakeup(struct usb_port *port, struct usb_device *dev, unsigned endpoint, bool can_resume)
{
    struct ehci *ehci = port->opaque;
    unsigned n = (unsigned)(port - ehci->port);
    uint32_t *portsc = &ehci->regs.portsc[n];
    if (*portsc & EHCI_PORT_OWNER) {
        if (ehci->companion[n])
            ehci->companion[n]->ops->wakeup(ehci->companion[n], dev, endpoint, can_resume);
        return;
    }
    if ((*portsc & EHCI_PORT_SUSP) && can_resume && !(*portsc & EHCI_PORT_FPR)) {
        *portsc |= EHCI_PORT_FPR;
        port_change_detected(ehci);
    }
    ehci_attend(ehci);
}

static const struct usb_port_ops port_ops = {port_changed, port_wakeup};

static void port_write(struct ehci *ehci, unsigned n, uint32_t value)
{
    uint32_t *portsc = &ehci->regs.portsc[n], before = *portsc;
    struct usb_device *dev = ehci->port[n].device;
    *portsc &= ~(value & (EHCI_PORT_CSC | EHCI_PORT_PEDC));
    *portsc = (*portsc & ~EHCI_PORT_WAKE) | (value & EHCI_PORT_WAKE);
    if ((value ^ before) & EHCI_PORT_OWNER && ehci->regs.configflag) {
        *portsc = (*portsc & ~EHCI_PORT_OWNER) | (value & EHCI_PORT_OWNER);
        port_route(ehci, n);
    }
    if (*portsc & EHCI_PORT_OWNER)
        return;
    if (!(value & EHCI_PORT_PED)) /* it is set by a reset only */
        *portsc &= ~EHCI_PORT_PED;
    if (value & ~before & EHCI_PORT_PR) {
        *portsc = (*portsc & ~(EHCI_PORT_PED | EHCI_PORT_SUSP | EHCI_PORT_FPR)) | EHCI_PORT_PR;
    } else if (before & ~value & EHCI_PORT_PR) { /* over at once */
        *portsc &= ~EHCI_PORT_PR;
        if (dev)
            dev->ops->reset(dev);
        if (dev && dev->speed == USB_HIGH)
            *portsc |= EHCI_PORT_PED;
    }
    if (value & EHCI_PORT_SUSP && *portsc & EHCI_PORT_PED)
        *portsc |= EHCI_PORT_SUSP;
    if (value & EHCI_PORT_FPR && *portsc & EHCI_PORT_SUSP)
        *portsc |= EHCI_PORT_FPR;
    else if (!(value & EHCI_PORT_FPR) && *portsc & EHCI_PORT_FPR) /* resumed */
        *portsc &= ~(EHCI_PORT_FPR | EHCI_PORT_SUSP);
}

static void configflag_write(struct ehci *ehci, bool on)
{
    if (on == ehci->regs.configflag)
        return;
    ehci->regs.configflag = on;
    for (unsigned n = 0; n < EHCI_PORTS; n++) {
        ehci->regs.portsc[n] = (ehci->regs.portsc[n] & ~EHCI_PORT_OWNER) | (on ? 0 : EHCI_PORT_OWNER);
        port_route(ehci, n);
    }
}

/* --- Running --- */

static uint32_t frindex_now(const struct ehci *ehci)
{
    const struct ehci_regs *regs = &ehci->regs;
    int64_t since = vclock_now() - regs->frame_at;
    if (!(regs->usbcmd & EHCI_CMD_RS))
        return regs->frame * 8u;
    int64_t frames = since < 0 ? -1 : since / EHCI_FRAME_NS;
    int64_t micro = (since - frames * EHCI_FRAME_NS) * 8 / EHCI_FRAME_NS;
    if (!ehci_is_idle(ehci)) { /* a frame of which something is expected is over when it is walked */
        int64_t late = (regs->late_until - regs->frame_at) / EHCI_FRAME_NS;
        if (frames > MAX(late, 0)) {
            frames = MAX(late, 0);
            micro = 7;
        }
    }
    return (uint32_t)((regs->frame + frames) & EHCI_FRAME_MASK) * 8u + (uint32_t)(micro & 7);
}

static void update_status(struct ehci *ehci)
{
    struct ehci_regs *regs = &ehci->regs;
    bool runs = regs->usbcmd & EHCI_CMD_RS;
    regs->usbsts &= ~(EHCI_STS_HCH | EHCI_STS_PSS | EHCI_STS_ASS);
    regs->usbsts |= runs ? 0 : EHCI_STS_HCH;
    regs->usbsts |= runs && (regs->usbcmd & EHCI_CMD_PSE) ? EHCI_STS_PSS : 0;
    regs->usbsts |= runs && (regs->usbcmd & EHCI_CMD_ASE) ? EHCI_STS_ASS : 0;
}

static void hc_reset(struct ehci *ehci)
{
    struct ehci_regs *regs = &ehci->regs;
    *regs = (struct ehci_regs){.usbcmd = 0x00080000, .usbsts = EHCI_STS_HCH};
    for (unsigned n = 0; n < EHCI_PORTS; n++) {
        regs->portsc[n] = EHCI_PORT_PP | EHCI_PORT_OWNER;
        port_route(ehci, n);
    }
    pci_work_cancel(ehci->work);
    ehci_arm(ehci);
    ehci_update_irq(ehci);
}

static void cmd_write(struct ehci *ehci, uint32_t value)
{
    struct ehci_regs *regs = &ehci->regs;
    uint32_t before = regs->usbcmd;
    if (value & EHCI_CMD_HCRESET) { /* over at once: the bit reads 0 */
        hc_reset(ehci);
        return;
    }
    if ((before & EHCI_CMD_RS) && !(value & EHCI_CMD_RS)) {
        regs->frame = (uint16_t)(frindex_now(ehci) / 8);
        pci_work_cancel(ehci->work);
    }
    regs->usbcmd = (value & EHCI_CMD_ALL) | (before & EHCI_CMD_IAAD);
    if (!(regs->usbcmd & EHCI_CMD_ASE)) /* 4.8.2: only while the list is gone through */
        regs->usbcmd &= ~EHCI_CMD_IAAD;
    if (~before & regs->usbcmd & EHCI_CMD_RS)
        regs->frame_at = vclock_now();
    update_status(ehci);
    ehci_arm(ehci);
}

/* --- Registers --- */

static uint32_t reg_read(const struct ehci *ehci, uint32_t offset)
{
    const struct ehci_regs *regs = &ehci->regs;
    switch (offset) {
    case EHCI_CAPLENGTH:
        return 0x01000000u | EHCI_OPERATIONAL;
    case EHCI_HCSPARAMS:
        return EHCI_PORTS | (ehci->companions ? 2u << 8 : 0) | ehci->companions << 12;
    case EHCI_HCCPARAMS:
        return 0x10; /* the isochronous threshold: one microframe; a frame list of 1024 */
    case EHCI_USBCMD:
        return regs->usbcmd;
    case EHCI_USBSTS:
        return regs->usbsts;
    case EHCI_USBINTR:
        return regs->usbintr;
    case EHCI_FRINDEX:
        return frindex_now(ehci);
    case EHCI_PERIODIC:
        return regs->periodiclistbase;
    case EHCI_ASYNC:
        return regs->asynclistaddr;
    case EHCI_CONFIGFLAG:
        return regs->configflag;
    default:
        return offset >= EHCI_PORTSC && offset < EHCI_PORTSC + 4 * EHCI_PORTS ? regs->portsc[(offset - EHCI_PORTSC) / 4]
                                                                              : 0;
    }
}

static void reg_write(struct ehci *ehci, uint32_t offset, uint32_t value, uint32_t mask)
{
    struct ehci_regs *regs = &ehci->regs;
    uint32_t merged = (value & mask) | (reg_read(ehci, offset) & ~mask);
    switch (offset) {
    case EHCI_USBCMD:
        cmd_write(ehci, merged);
        break;
    case EHCI_USBSTS:
        regs->usbsts &= ~(value & mask & EHCI_STS_RWC);
        break;
    case EHCI_USBINTR:
        regs->usbintr = merged & EHCI_STS_RWC;
        break;
    case EHCI_FRINDEX:
        if (!(regs->usbcmd & EHCI_CMD_RS)) /* running, its effect is undefined (2.3.4): none */
            regs->frame = (uint16_t)(merged / 8 & EHCI_FRAME_MASK);
        break;
    case EHCI_PERIODIC:
        regs->periodiclistbase = merged & 0xfffff000u;
        break;
    case EHCI_ASYNC:
        regs->asynclistaddr = merged & 0xffffffe0u;
        break;
    case EHCI_CONFIGFLAG:
        configflag_write(ehci, merged & 1);
        break;
    default:
        if (offset < EHCI_PORTSC || offset >= EHCI_PORTSC + 4 * EHCI_PORTS)
            return;
        if (mask != 0xffffffffu) /* bytes that are not written do not clear what a one would */
            merged &= mask | ~(EHCI_PORT_CSC | EHCI_PORT_PEDC);
        port_write(ehci, (offset - EHCI_PORTSC) / 4, merged);
        break;
    }
    ehci_update_irq(ehci);
    ehci_attend(ehci); /* USBSTS, too: whoever answers an interrupt has more to do as a rule */
}

static uint64_t ehci_read(void *opaque, uint32_t offset, unsigned size)
{
    struct ehci *ehci = opaque;
    uint64_t value = 0;
    uint32_t first = offset & ~3u;
    for (unsigned i = 0; first + 4 * i < offset + size && i < 2; i++)
        value |= (uint64_t)reg_read(ehci, first + 4 * i) << 32 * i;
    if (first == EHCI_FRINDEX && ehci_is_idle(ehci) && vclock_now() >= ehci->regs.frame_at)
        ehci_kick(ehci);
    return value >> 8 * (offset & 3);
}

static void ehci_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct ehci *ehci = opaque;
    unsigned shift = 8 * (offset & 3);
    uint64_t mask = (size >= 8 ? UINT64_MAX : (1ull << 8 * size) - 1) << shift;
    value <<= shift;
    for (uint32_t at = offset & ~3u; mask; at += 4, value >>= 32, mask >>= 32) {
        if ((uint32_t)mask)
            reg_write(ehci, at, (uint32_t)value, (uint32_t)mask);
    }
}

static const struct mmio_ops ehci_mmio = {ehci_read, ehci_write};

/* --- The card --- */

static void ehci_timer(void *opaque)
{
    ehci_kick(opaque);
}

/* Called while the companion is made, which is before there are devices. */
static bool add_companion(struct usb_bus *bus, unsigned first, struct usb_port *ports, unsigned count, GError **error)
{
    struct ehci *ehci = bus->controller;
    bool is_free = first + count <= EHCI_PORTS;
    for (unsigned i = 0; is_free && i < count; i++)
        is_free = !ehci->companion[first + i] && !ehci->port[first + i].device;
    if (!is_free || ehci->companions == EHCI_COMPANIONS) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "firstport must be 0, 2 or 4 of a bus without a companion or device there");
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        ehci->companion[first + i] = &ports[i];
        ehci->port[first + i].speeds |= ports[i].speeds;
    }
    ehci->companions++;
    return true;
}

struct identity {
    const char *name;
    uint16_t device;
    uint8_t revision, pin;
};

static void *ehci_create(const struct device_site *site, const struct identity *identity)
{
    struct ehci *ehci = g_new0(struct ehci, 1);
    struct pci_device *pci = &ehci->pci;
    pci_device_init(pci, identity->name, 0x8086, identity->device, 0x0c0320, identity->revision);
    pci->config[PCI_INTERRUPT_PIN] = identity->pin;
    pci->config[SBRN] = pci->config[FLADJ] = 0x20;
    pci->writable[FLADJ] = 0x3f;
    pci->config[WAKECAP] = 0x7f;
    pci->writable[WAKECAP] = 0xff;
    pci->config[WAKECAP + 1] = 0;
    pci_add_mmio_bar(pci, 0, EHCI_BAR, &ehci_mmio, ehci);
    pci_plug(board_service(site->board, "pci"), pci, (uint8_t)site->unit);
    ehci->timer = vtimer_new(ehci_timer, ehci, "ehci");
    ehci->halt_timer = vtimer_new(ehci_timer, ehci, "ehci-halt");
    ehci->work = pci_work_new(pci, ehci_run, ehci);
    usb_bus_add(site->board, &ehci->bus, ehci, site->id);
    ehci->bus.add_companion = add_companion;
    for (unsigned n = 0; n < EHCI_PORTS; n++) {
        ehci->port[n] = (struct usb_port){.ops = &port_ops, .opaque = ehci, .speeds = 1u << USB_HIGH};
        usb_port_add(&ehci->bus, &ehci->port[n], NULL, n + 1);
    }
    hc_reset(ehci);
    return ehci;
}

static void ehci_destroy(void *dev)
{
    struct ehci *ehci = dev;
    pci_work_free(ehci->work);
    vtimer_free(ehci->timer);
    vtimer_free(ehci->halt_timer);
    pci_unplug(&ehci->pci);
    g_free(ehci);
}

static void ehci_reset(void *dev)
{
    struct ehci *ehci = dev;
    hc_reset(ehci);
    pci_device_reset(&ehci->pci);
}

static const struct state_field ehci_fields[] = {
    STATE_FIELD(ehci_regs, usbcmd),        STATE_FIELD(ehci_regs, usbsts),     STATE_FIELD(ehci_regs, usbintr),
    STATE_FIELD(ehci_regs, frame),         STATE_FIELD(ehci_regs, frame_at),   STATE_FIELD(ehci_regs, periodiclistbase),
    STATE_FIELD(ehci_regs, asynclistaddr), STATE_FIELD(ehci_regs, configflag), STATE_FIELD(ehci_regs, portsc),
    STATE_FIELD(ehci_regs, quiet),         STATE_FIELD(ehci_regs, active_at),  STATE_FIELD(ehci_regs, late_until),
};
static const struct state_layout ehci_layout = STATE_LAYOUT(1, ehci_regs, ehci_fields);

static void ehci_before_load(void *dev)
{
    struct ehci *ehci = dev;
    pci_work_cancel(ehci->work);
    vtimer_cancel(ehci->timer);
    vtimer_cancel(ehci->halt_timer);
}

static bool ehci_after_load(void *dev)
{
    struct ehci *ehci = dev;
    struct ehci_regs *regs = &ehci->regs;
    const uint32_t live = EHCI_PORT_CCS | EHCI_PORT_LINE_J | EHCI_PORT_LINE_K;
    if (regs->usbcmd & ~EHCI_CMD_ALL || regs->usbintr & ~EHCI_STS_RWC || regs->frame & ~EHCI_FRAME_MASK ||
        regs->periodiclistbase & 0xfffu || regs->asynclistaddr & 0x1fu)
        return false;
    int64_t now = vclock_now();
    regs->usbsts &= EHCI_STS_RWC;
    update_status(ehci);
    if ((regs->usbcmd & EHCI_CMD_RS) && (regs->frame_at < 0 || regs->frame_at > now + EHCI_FRAME_NS))
        regs->frame_at = now;
    regs->late_until = MIN(MAX(regs->late_until, 0), now);
    regs->active_at = MIN(MAX(regs->active_at, 0), now);
    for (unsigned n = 0; n < EHCI_PORTS; n++) {
        uint32_t *portsc = &regs->portsc[n];
        struct usb_device *dev_there = ehci->port[n].device;
        struct usb_port *companion = ehci->companion[n];
        *portsc &= EHCI_PORT_CSC | EHCI_PORT_PED | EHCI_PORT_PEDC | EHCI_PORT_FPR | EHCI_PORT_SUSP | EHCI_PORT_PR |
                   EHCI_PORT_OWNER | EHCI_PORT_WAKE | live;
        bool is_ours = !(*portsc & EHCI_PORT_OWNER);
        /* Without a word to anybody: the companion has its own state. */
        if (companion)
            companion->device = is_ours ? NULL : dev_there;
        if (dev_there)
            set_speed(dev_there, is_ours ? ehci->port[n].speeds : companion ? companion->speeds : 0);
        *portsc = (*portsc & ~live) | EHCI_PORT_PP | (is_ours && dev_there ? EHCI_PORT_CCS | port_lines(dev_there) : 0);
        if (!is_ours || !dev_there || dev_there->speed != USB_HIGH || (*portsc & EHCI_PORT_PR))
            *portsc &= ~EHCI_PORT_PED;
    }
    ehci_update_irq(ehci);
    ehci_arm(ehci);
    return true;
}

static void ehci_dump(void *dev, GString *out)
{
    const struct ehci *ehci = dev;
    const struct ehci_regs *regs = &ehci->regs;
    g_string_append_printf(out,
                           "USBCMD %06x  USBSTS %04x  USBINTR %02x  FRINDEX %04x  PERIODICLISTBASE %08x  "
                           "ASYNCLISTADDR %08x  CONFIGFLAG %d\nPORTSC",
                           regs->usbcmd, regs->usbsts, regs->usbintr, frindex_now(ehci), regs->periodiclistbase,
                           regs->asynclistaddr, regs->configflag);
    for (unsigned n = 0; n < EHCI_PORTS; n++)
        g_string_append_printf(out, " %06x", regs->portsc[n]);
    g_string_append_printf(out, "\n%s, %llu times walked\n",
                           !(regs->usbcmd & EHCI_CMD_RS) ? "halted"
                           : ehci_is_idle(ehci)          ? "idle"
                                                         : "busy",
                           (unsigned long long)ehci->walks);
}

#define EHCI_CLASS(what, class_name, device, revision, class_help) \
    static void *what##_create(const struct device_site *site, const void *config, GError **error) \
    { \
        static const struct identity identity = {class_name, device, revision, 4}; \
        return ehci_create(site, &identity); \
    } \
    const struct device_class what##_class = {.name = class_name, \
                                              .help = class_help, \
                                              .bus = BUS_PCI, \
                                              .provides_bus = BUS_USB, \
                                              .provides_count = 1, \
                                              .takes_hotplug = true, \
                                              .devfn = -1, \
                                              .create = what##_create, \
                                              .destroy = ehci_destroy, \
                                              .reset = ehci_reset, \
                                              .layout = &ehci_layout, \
                                              .regs_offset = offsetof(struct ehci, regs), \
                                              .before_load = ehci_before_load, \
                                              .after_load = ehci_after_load, \
                                              .dump = ehci_dump}; \
    DEVICE_CLASS(what##_class)

EHCI_CLASS(usb_ehci, "usb-ehci", 0x24cd, 0x10, "USB 2.0 controller (EHCI), for high-speed devices");
EHCI_CLASS(ich9_ehci, "ich9-usb-ehci1", 0x293a, 0x03, "USB 2.0 controller (EHCI) of ICH9");
