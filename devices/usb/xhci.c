/* xHCI: registers, ports, the interrupter. xHCI 1.1, 5 (registers), 4.15, 4.19 (ports). One interrupter, one segment of
 * events, contexts of 32 bytes, no streams, nothing isochronous.
 *
 * A port of the bus is two of the controller's, as with a blue socket: where a device shows itself depends on its
 * speed. Nothing is done but in answer to a doorbell, to a port or to a device that wakes up: there is no clock to run.
 */
#include "xhci.h"

#include <string.h>

#include "log.h"

#define PLS(state)     ((uint32_t)(state) << 5)
#define PLS_U0         PLS(0)
#define PLS_U3         PLS(3)
#define PLS_RX_DETECT  PLS(5)
#define PLS_POLLING    PLS(7)
#define MSI_CAPABILITY 0x70u
#define SBRN           0x60u
#define MICROFRAME_NS  125000

void xhci_update_irq(struct xhci *xhci)
{
    const struct xhci_regs *regs = &xhci->regs;
    bool wants = (regs->iman & XHCI_IMAN_IP) && (regs->iman & XHCI_IMAN_IE) && (regs->usbcmd & XHCI_CMD_INTE);
    pci_set_intx(&xhci->pci, wants && !pci_msi_is_on(&xhci->pci));
}

/* 4.17.2: one interrupt until the guest has said that it has seen the events (EHB). */
void xhci_event_told(struct xhci *xhci)
{
    struct xhci_regs *regs = &xhci->regs;
    bool first = !(regs->erdp & XHCI_ERDP_EHB);
    regs->erdp |= XHCI_ERDP_EHB;
    regs->usbsts |= XHCI_STS_EINT;
    regs->iman |= XHCI_IMAN_IP;
    if (pci_msi_is_on(&xhci->pci)) {
        if (first && (regs->iman & XHCI_IMAN_IE) && (regs->usbcmd & XHCI_CMD_INTE)) {
            regs->iman &= ~XHCI_IMAN_IP; /* 5.5.2.1: cleared by the message */
            pci_msi_notify(&xhci->pci);
        }
    }
    xhci_update_irq(xhci);
}

static void ask(struct xhci *xhci)
{
    if (xhci->regs.usbcmd & XHCI_CMD_RS)
        pci_work_ask(xhci->work);
}

/* --- Ports (4.19, 5.4.8) --- */

static void port_event(struct xhci *xhci, unsigned n)
{
    xhci->regs.port_events |= 1u << n;
    xhci->regs.usbsts |= XHCI_STS_PCD;
    ask(xhci);
}

/* In line with what is plugged in. */
static void port_show(struct xhci *xhci, unsigned n)
{
    static const uint8_t speed_id[] = {[USB_LOW] = 2, [USB_FULL] = 1, [USB_HIGH] = 3, [USB_SUPER] = 4};
    uint32_t *portsc = &xhci->regs.portsc[n], before = *portsc;
    const struct usb_device *dev = xhci_port(xhci, n)->device;
    bool is_super = n >= xhci->ports2, is_here = dev && (dev->speed == USB_SUPER) == is_super;
    *portsc &= ~(XHCI_PORT_CCS | XHCI_PORT_PED | XHCI_PORT_PLS | XHCI_PORT_SPEED);
    *portsc |= XHCI_PORT_PP | (is_here ? XHCI_PORT_CCS | (uint32_t)speed_id[dev->speed] << 10 : 0) |
               (!is_here   ? PLS_RX_DETECT
                : is_super ? PLS_U0 | XHCI_PORT_PED
                           : PLS_POLLING);
    if ((before ^ *portsc) & XHCI_PORT_CCS) {
        *portsc |= XHCI_PORT_CSC;
        port_event(xhci, n);
    }
}

static void port_changed(struct usb_port *port)
{
    struct xhci *xhci = port->opaque;
    for (unsigned n = 0; n < xhci->ports2 + xhci->ports3; n++) {
        if (xhci_port(xhci, n) == port)
            port_show(xhci, n);
    }
}

static void port_wakeup(struct usb_port *port, struct usb_device *dev, unsigned endpoint, bool can_resume)
{
    struct xhci *xhci = port->opaque;
    struct xhci_regs *regs = &xhci->regs;
    for (unsigned n = 0; n < xhci->ports2 + xhci->ports3; n++) {
        uint32_t *portsc = &regs->portsc[n];
        if (xhci_port(xhci, n) == port && (*portsc & XHCI_PORT_PLS) == PLS_U3 && can_resume) {
            *portsc = (*portsc & ~XHCI_PORT_PLS) | PLS(15) | XHCI_PORT_PLC; /* resume: the guest ends it */
            port_event(xhci, n);
        }
    }
    for (unsigned slot = 1; slot <= XHCI_SLOTS; slot++) {
        unsigned n = regs->slot_port[slot] & 0x7fu;
        if (n && xhci_port(xhci, n - 1) == port) {
            regs->doorbell[slot] |= regs->waiting[slot];
            regs->waiting[slot] = 0;
        }
    }
    ask(xhci);
}

static const struct usb_port_ops port_ops = {port_changed, port_wakeup};

static void port_reset(struct xhci *xhci, unsigned n, uint32_t change)
{
    uint32_t *portsc = &xhci->regs.portsc[n];
    struct usb_device *dev = xhci_port(xhci, n)->device;
    if (!(*portsc & XHCI_PORT_CCS))
        return;
    dev->ops->reset(dev);
    *portsc = (*portsc & ~XHCI_PORT_PLS) | XHCI_PORT_PED | PLS_U0 | change; /* over at once */
    port_event(xhci, n);
}

static void port_write(struct xhci *xhci, unsigned n, uint32_t value)
{
    uint32_t *portsc = &xhci->regs.portsc[n];
    *portsc &= ~(value & XHCI_PORT_RWC);
    *portsc = (*portsc & ~XHCI_PORT_WAKE) | (value & XHCI_PORT_WAKE);
    if (value & (XHCI_PORT_PR | XHCI_PORT_WPR)) {
        port_reset(xhci, n, XHCI_PORT_PRC | (n >= xhci->ports2 ? XHCI_PORT_WRC & (value >> 12) : 0));
        return;
    }
    if (value & *portsc & XHCI_PORT_PED) { /* writing 1 disables */
        *portsc = (*portsc & ~(XHCI_PORT_PED | XHCI_PORT_PLS)) | PLS_POLLING;
        return;
    }
    if ((value & XHCI_PORT_LWS) && (*portsc & XHCI_PORT_PED)) {
        uint32_t state = value & XHCI_PORT_PLS;
        if (state != PLS_U0 && state != PLS_U3)
            return;
        bool resumed = state == PLS_U0 && (*portsc & XHCI_PORT_PLS) != PLS_U0;
        *portsc = (*portsc & ~XHCI_PORT_PLS) | state;
        if (resumed) {
            *portsc |= XHCI_PORT_PLC;
            port_event(xhci, n);
        }
    }
}

/* --- Registers --- */

static void hc_reset(struct xhci *xhci)
{
    memset(&xhci->regs, 0, sizeof(xhci->regs));
    xhci->regs.usbsts = XHCI_STS_HCH;
    pci_work_cancel(xhci->work);
    for (unsigned n = 0; n < xhci->ports2 + xhci->ports3; n++)
        port_show(xhci, n);
    xhci_update_irq(xhci);
}

static uint32_t protocol_read(const struct xhci *xhci, uint32_t offset)
{
    bool is_3 = offset >= 0x10;
    unsigned first = is_3 ? xhci->ports2 + 1 : 1, count = is_3 ? xhci->ports3 : xhci->ports2;
    switch (offset & 0xf) {
    case 0: /* 7.2: supported protocol */
        return is_3 ? 0x03000002u : 0x02000002u | (xhci->ports3 ? 4u << 8 : 0);
    case 4:
        return 0x20425355; /* "USB " */
    case 8:
        return first | count << 8;
    default:
        return 0;
    }
}

static uint32_t reg_read(const struct xhci *xhci, uint32_t offset)
{
    const struct xhci_regs *regs = &xhci->regs;
    switch (offset) {
    case XHCI_CAPLENGTH:
        return 0x01000000u | XHCI_OPERATIONAL;
    case XHCI_HCSPARAMS1:
        return XHCI_SLOTS | 1u << 8 | (xhci->ports2 + xhci->ports3) << 24;
    case XHCI_HCSPARAMS2:
        return 0x0f; /* one segment of events, no scratchpad */
    case XHCI_HCCPARAMS1:
        return XHCI_PROTOCOLS / 4 << 16;
    case XHCI_DBOFF:
        return XHCI_DOORBELL;
    case XHCI_RTSOFF:
        return XHCI_RUNTIME;
    case XHCI_USBCMD:
        return regs->usbcmd;
    case XHCI_USBSTS:
        return regs->usbsts;
    case XHCI_PAGESIZE:
        return 1;
    case XHCI_DNCTRL:
        return regs->dnctrl;
    case XHCI_CRCR:
        return regs->crr ? XHCI_CRCR_CRR : 0;
    case XHCI_DCBAAP:
        return (uint32_t)regs->dcbaap;
    case XHCI_DCBAAP + 4:
        return (uint32_t)(regs->dcbaap >> 32);
    case XHCI_CONFIG:
        return regs->config;
    case XHCI_RUNTIME:
        return regs->usbcmd & XHCI_CMD_RS ? (uint32_t)(vclock_now() / MICROFRAME_NS) & 0x3fff : 0;
    case XHCI_IMAN:
        return regs->iman;
    case XHCI_IMOD:
        return regs->imod;
    case XHCI_ERSTSZ:
        return regs->erstsz;
    case XHCI_ERSTBA:
        return (uint32_t)regs->erstba;
    case XHCI_ERSTBA + 4:
        return (uint32_t)(regs->erstba >> 32);
    case XHCI_ERDP:
        return (uint32_t)regs->erdp;
    case XHCI_ERDP + 4:
        return (uint32_t)(regs->erdp >> 32);
    default:
        break;
    }
    if (offset >= XHCI_PROTOCOLS && offset < XHCI_PROTOCOLS + (xhci->ports3 ? 0x20 : 0x10))
        return protocol_read(xhci, offset - XHCI_PROTOCOLS);
    uint32_t n = (offset - XHCI_PORTSC) / 0x10;
    return offset >= XHCI_PORTSC && n < xhci->ports2 + xhci->ports3 && !(offset & 0xf) ? regs->portsc[n] : 0;
}

static void half_set(uint64_t *reg, bool high, uint32_t value, uint32_t keep)
{
    *reg = high ? (*reg & 0xffffffffu) | (uint64_t)value << 32 : (*reg & ~0xffffffffull) | (value & ~keep);
}

static void cmd_write(struct xhci *xhci, uint32_t value)
{
    struct xhci_regs *regs = &xhci->regs;
    if (value & XHCI_CMD_HCRST) { /* over at once: the bit reads 0 */
        hc_reset(xhci);
        return;
    }
    regs->usbcmd = value & XHCI_CMD_ALL;
    if (value & XHCI_CMD_RS) {
        regs->usbsts &= ~XHCI_STS_HCH;
        ask(xhci);
    } else {
        regs->usbsts |= XHCI_STS_HCH;
        regs->crr = false;
        pci_work_cancel(xhci->work);
    }
}

static void doorbell_write(struct xhci *xhci, uint32_t slot, uint32_t value)
{
    struct xhci_regs *regs = &xhci->regs;
    unsigned target = value & 0xff;
    if (!(regs->usbcmd & XHCI_CMD_RS))
        return;
    if (slot == 0 && target == 0) {
        regs->command = regs->crr = true;
    } else if (slot >= 1 && slot <= XHCI_SLOTS && target >= 1 && target <= 31 && regs->slot_port[slot]) {
        regs->doorbell[slot] |= 1u << target;
    } else {
        log_guest("xhci: doorbell %u with target %u", slot, target);
        return;
    }
    pci_work_ask(xhci->work);
}

static void erdp_write(struct xhci *xhci, bool high, uint32_t value)
{
    struct xhci_regs *regs = &xhci->regs;
    uint64_t ehb = regs->erdp & XHCI_ERDP_EHB;
    half_set(&regs->erdp, high, value, XHCI_ERDP_EHB);
    regs->erdp |= !high && (value & XHCI_ERDP_EHB) ? 0 : ehb;
    bool is_empty = (regs->erdp & ~0xfull) == regs->er_base + 16ull * regs->er_at;
    if (!high && (value & XHCI_ERDP_EHB) && regs->er_size && !is_empty)
        xhci_event_told(xhci); /* it has not seen all */
    ask(xhci);                 /* there may be room again */
}

static void reg_write(struct xhci *xhci, uint32_t offset, uint32_t value)
{
    struct xhci_regs *regs = &xhci->regs;
    bool high = offset & 4;
    switch (offset) {
    case XHCI_USBCMD:
        cmd_write(xhci, value);
        break;
    case XHCI_USBSTS:
        regs->usbsts &= ~(value & XHCI_STS_RWC);
        break;
    case XHCI_DNCTRL:
        regs->dnctrl = value & 0xffff;
        break;
    case XHCI_CRCR:
    case XHCI_CRCR + 4:
        if (!high && (value & (XHCI_CRCR_CS | XHCI_CRCR_CA)) && regs->crr)
            regs->crr = regs->command = false; /* nothing is ever under way */
        else if (!regs->crr)
            half_set(&regs->crcr, !(offset == XHCI_CRCR), value, 0x3e);
        break;
    case XHCI_DCBAAP:
    case XHCI_DCBAAP + 4:
        half_set(&regs->dcbaap, high, value, 0x3f);
        break;
    case XHCI_CONFIG:
        regs->config = value & 0xff;
        break;
    case XHCI_IMAN:
        regs->iman = ((regs->iman & ~(value & XHCI_IMAN_IP)) & XHCI_IMAN_IP) | (value & XHCI_IMAN_IE);
        break;
    case XHCI_IMOD:
        regs->imod = value;
        break;
    case XHCI_ERSTSZ:
        regs->erstsz = value & 0xffff;
        break;
    case XHCI_ERSTBA:
    case XHCI_ERSTBA + 4:
        half_set(&regs->erstba, high, value, 0x3f);
        regs->er_changed = true;
        break;
    case XHCI_ERDP:
    case XHCI_ERDP + 4:
        erdp_write(xhci, high, value);
        break;
    default:
        if (offset >= XHCI_DOORBELL && offset < XHCI_DOORBELL + 4 * (XHCI_SLOTS + 1))
            doorbell_write(xhci, (offset - XHCI_DOORBELL) / 4, value);
        else if (offset >= XHCI_PORTSC && (offset - XHCI_PORTSC) / 0x10 < xhci->ports2 + xhci->ports3 &&
                 !(offset & 0xf))
            port_write(xhci, (offset - XHCI_PORTSC) / 0x10, value);
        break;
    }
    xhci_update_irq(xhci);
}

static uint64_t xhci_read(void *opaque, uint32_t offset, unsigned size)
{
    uint64_t value = 0;
    uint32_t first = offset & ~3u;
    for (unsigned i = 0; first + 4 * i < offset + size && i < 2; i++)
        value |= (uint64_t)reg_read(opaque, first + 4 * i) << 32 * i;
    return value >> 8 * (offset & 3);
}

/* 5.1: in dwords or more; what is narrower is merged with what can be read. */
static void xhci_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    if (size < 4) {
        uint32_t mask = (size == 1 ? 0xffu : 0xffffu) << 8 * (offset & 3);
        value = ((uint32_t)value << 8 * (offset & 3) & mask) | (reg_read(opaque, offset & ~3u) & ~mask);
        offset &= ~3u;
    }
    reg_write(opaque, offset & ~3u, (uint32_t)value);
    if (size == 8)
        reg_write(opaque, (offset & ~3u) + 4, (uint32_t)(value >> 32));
}

static const struct mmio_ops xhci_mmio = {xhci_read, xhci_write};

/* --- The card --- */

struct identity {
    const char *name;
    uint16_t vendor, device;
    uint8_t revision;
};

struct xhci_config {
    uint32_t p2, p3;
};

static void *xhci_create(const struct device_site *site, const struct xhci_config *config,
                         const struct identity *identity, GError **error)
{
    if (config->p2 < 1 || config->p2 > XHCI_PORTS_MAX || config->p3 > XHCI_PORTS_MAX) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "p2 is 1 to %u, p3 is 0 to %u", XHCI_PORTS_MAX,
                    XHCI_PORTS_MAX);
        return NULL;
    }
    struct xhci *xhci = g_new0(struct xhci, 1);
    struct pci_device *pci = &xhci->pci;
    xhci->ports2 = (unsigned)config->p2;
    xhci->ports3 = (unsigned)config->p3;
    pci_device_init(pci, identity->name, identity->vendor, identity->device, 0x0c0330, identity->revision);
    pci->config[PCI_INTERRUPT_PIN] = 1;
    pci->config[SBRN] = 0x30;
    pci_add_mmio_bar(pci, 0, XHCI_BAR, &xhci_mmio, xhci);
    pci_add_msi(pci, MSI_CAPABILITY);
    pci_plug(board_service(site->board, "pci"), pci, (uint8_t)site->unit);
    xhci->work = pci_work_new(pci, xhci_run, xhci);
    usb_bus_add(site->board, &xhci->bus, xhci, site->id);
    for (unsigned n = 0; n < MAX(xhci->ports2, xhci->ports3); n++) {
        uint8_t speeds = (n < xhci->ports2 ? 1u << USB_LOW | 1u << USB_FULL | 1u << USB_HIGH : 0) |
                         (n < xhci->ports3 ? 1u << USB_SUPER : 0);
        xhci->port[n] = (struct usb_port){.ops = &port_ops, .opaque = xhci, .speeds = speeds};
        usb_port_add(&xhci->bus, &xhci->port[n], NULL, n + 1);
    }
    hc_reset(xhci);
    return xhci;
}

static void xhci_destroy(void *dev)
{
    struct xhci *xhci = dev;
    pci_work_free(xhci->work);
    pci_unplug(&xhci->pci);
    g_free(xhci);
}

static void xhci_reset(void *dev)
{
    struct xhci *xhci = dev;
    hc_reset(xhci);
    pci_device_reset(&xhci->pci);
}

static const struct state_field xhci_fields[] = {
    STATE_FIELD(xhci_regs, usbcmd),      STATE_FIELD(xhci_regs, usbsts),   STATE_FIELD(xhci_regs, dnctrl),
    STATE_FIELD(xhci_regs, config),      STATE_FIELD(xhci_regs, iman),     STATE_FIELD(xhci_regs, imod),
    STATE_FIELD(xhci_regs, erstsz),      STATE_FIELD(xhci_regs, dcbaap),   STATE_FIELD(xhci_regs, crcr),
    STATE_FIELD(xhci_regs, erstba),      STATE_FIELD(xhci_regs, erdp),     STATE_FIELD(xhci_regs, crr),
    STATE_FIELD(xhci_regs, er_changed),  STATE_FIELD(xhci_regs, er_base),  STATE_FIELD(xhci_regs, er_size),
    STATE_FIELD(xhci_regs, er_at),       STATE_FIELD(xhci_regs, er_cycle), STATE_FIELD(xhci_regs, portsc),
    STATE_FIELD(xhci_regs, port_events), STATE_FIELD(xhci_regs, command),  STATE_FIELD(xhci_regs, slot_port),
    STATE_FIELD(xhci_regs, doorbell),    STATE_FIELD(xhci_regs, waiting),  STATE_FIELD(xhci_regs, moved),
};
static const struct state_layout xhci_layout = STATE_LAYOUT(1, xhci_regs, xhci_fields);

static void xhci_before_load(void *dev)
{
    pci_work_cancel(((struct xhci *)dev)->work);
}

static bool xhci_after_load(void *dev)
{
    struct xhci *xhci = dev;
    struct xhci_regs *regs = &xhci->regs;
    unsigned ports = xhci->ports2 + xhci->ports3;
    if (regs->usbcmd & ~XHCI_CMD_ALL || regs->er_size > 65536 || (regs->er_size && regs->er_at >= regs->er_size))
        return false;
    for (unsigned slot = 1; slot <= XHCI_SLOTS; slot++) {
        if ((regs->slot_port[slot] & 0x7fu) > ports || (regs->slot_port[slot] & 0x80 && regs->slot_port[slot] != 0x80))
            return false;
    }
    regs->port_events &= ports < 32 ? (1u << ports) - 1 : ~0u;
    for (unsigned n = 0; n < ports; n++) {
        uint32_t live = XHCI_PORT_PED | XHCI_PORT_PLS, before = regs->portsc[n], events = regs->port_events;
        uint32_t status = regs->usbsts;
        port_show(xhci, n);
        if (before & regs->portsc[n] & XHCI_PORT_CCS) {
            regs->portsc[n] = (regs->portsc[n] & ~live) | (before & live);
            regs->port_events = events;
            regs->usbsts = status;
        }
    }
    xhci_update_irq(xhci);
    ask(xhci);
    return true;
}

static void xhci_dump(void *dev, GString *out)
{
    const struct xhci *xhci = dev;
    const struct xhci_regs *regs = &xhci->regs;
    g_string_append_printf(out, "USBCMD %04x  USBSTS %04x  IMAN %x  DCBAAP %08llx  ERDP %08llx\nPORTSC", regs->usbcmd,
                           regs->usbsts, regs->iman, (unsigned long long)regs->dcbaap, (unsigned long long)regs->erdp);
    for (unsigned n = 0; n < xhci->ports2 + xhci->ports3; n++)
        g_string_append_printf(out, " %06x", regs->portsc[n]);
    g_string_append_printf(out, "\n%llu runs\n", (unsigned long long)xhci->runs);
}

static const struct property xhci_properties[] = {
    PROPERTY(xhci_config, p2, "p2", PROPERTY_NUMBER, XHCI_PORTS_MAX, "4", "USB 2 ports"),
    PROPERTY(xhci_config, p3, "p3", PROPERTY_NUMBER, XHCI_PORTS_MAX, "4", "USB 3 ports"), PROPERTY_END};

#define XHCI_CLASS(what, class_name, vendor, device, revision, class_help) \
    static void *what##_create(const struct device_site *site, const void *config, GError **error) \
    { \
        static const struct identity identity = {class_name, vendor, device, revision}; \
        return xhci_create(site, config, &identity, error); \
    } \
    const struct device_class what##_class = {.name = class_name, \
                                              .help = class_help, \
                                              .bus = BUS_PCI, \
                                              .provides_bus = BUS_USB, \
                                              .provides_count = 1, \
                                              .takes_hotplug = true, \
                                              .devfn = -1, \
                                              .properties = xhci_properties, \
                                              .config_size = sizeof(struct xhci_config), \
                                              .create = what##_create, \
                                              .destroy = xhci_destroy, \
                                              .reset = xhci_reset, \
                                              .layout = &xhci_layout, \
                                              .regs_offset = offsetof(struct xhci, regs), \
                                              .before_load = xhci_before_load, \
                                              .after_load = xhci_after_load, \
                                              .dump = xhci_dump}; \
    DEVICE_CLASS(what##_class)

XHCI_CLASS(qemu_xhci, "qemu-xhci", 0x1b36, 0x000d, 0x01, "USB 3.0 controller (xHCI)");
XHCI_CLASS(nec_xhci, "nec-usb-xhci", 0x1033, 0x0194, 0x03, "USB 3.0 controller (xHCI), NEC's");
