/* PIIX3 (82371SB) function 2: USB host controller. Intel 290550, and the UHCI Design Guide, 2 (registers).
 *
 * The schedule is in uhci_walk.c. The registers' two odd corners: USBINT has two reasons with a switch each, and
 * software debug mode (SWDBG) is stored and does nothing.
 */
#include "uhci.h"

#include <string.h>

#include "log.h"

#define SBRN       0x60 /* serial bus release number */
#define LEGSUP     0xc0
#define LEGSUP_RWC 0x8f00u
#define LEGSUP_RW  0x20bfu

void uhci_update_irq(struct uhci *uhci)
{
    const struct uhci_regs *regs = &uhci->regs;
    pci_set_intx(&uhci->pci, (regs->cause & regs->usbintr) ||
                                 ((regs->usbsts & STS_ERRINT) && (regs->usbintr & INTR_CRC)) ||
                                 ((regs->usbsts & STS_RD) && (regs->usbintr & INTR_RESUME)) ||
                                 (regs->usbsts & (STS_HSE | STS_HCPE)));
}

/* --- Ports (2.1.7) --- */

static uint16_t port_lines(const struct usb_port *port)
{
    return !port->device ? 0 : port->device->speed == USB_LOW ? PORT_LINE_K | PORT_LSDA : PORT_LINE_J;
}

static void resume_detected(struct uhci *uhci)
{
    uhci->regs.usbsts |= STS_RD;
    uhci_update_irq(uhci);
}

static void port_changed(struct usb_port *port)
{
    struct uhci *uhci = port->opaque;
    uint16_t *portsc = &uhci->regs.portsc[port - uhci->port], before = *portsc;
    *portsc &= ~(PORT_CCS | PORT_LINE_J | PORT_LINE_K | PORT_LSDA);
    *portsc |= port_lines(port) | (port->device ? PORT_CCS : 0);
    if ((*portsc ^ before) & PORT_CCS)
        *portsc |= PORT_CSC;
    if (!port->device && (*portsc & PORT_PE))
        *portsc = (*portsc & ~(PORT_PE | PORT_SUSP | PORT_RD)) | PORT_PEC;
    if (uhci->regs.usbcmd & CMD_EGSM)
        resume_detected(uhci);
    uhci_attend(uhci);
}

static void port_wakeup(struct usb_port *port, struct usb_device *dev, unsigned endpoint, bool can_resume)
{
    struct uhci *uhci = port->opaque;
    uint16_t *portsc = &uhci->regs.portsc[port - uhci->port];
    bool is_asleep = (*portsc & PORT_SUSP) || (uhci->regs.usbcmd & CMD_EGSM);
    if (is_asleep && can_resume && (*portsc & PORT_PE)) {
        *portsc |= PORT_RD;
        resume_detected(uhci);
    }
    uhci_attend(uhci);
}

static const struct usb_port_ops port_ops = {port_changed, port_wakeup};

static void port_write(struct uhci *uhci, unsigned n, uint16_t value, uint16_t mask)
{
    uint16_t *portsc = &uhci->regs.portsc[n], before = *portsc;
    uint16_t writable = (PORT_PE | PORT_RD | PORT_PR | PORT_SUSP) & mask;
    struct usb_device *dev = uhci->port[n].device;
    *portsc = (*portsc & ~writable) | (value & writable);
    *portsc &= ~(value & mask & (PORT_CSC | PORT_PEC));
    if (!dev || (*portsc & PORT_PR))
        *portsc &= ~PORT_PE;
    if ((*portsc & ~before & PORT_PR) && dev)
        dev->ops->reset(dev);
    if ((*portsc & PORT_PR) || ((before & PORT_RD) && !(*portsc & PORT_RD)))
        *portsc &= ~(PORT_SUSP | PORT_RD); /* resumed (or given up) */
}

/* --- Running --- */

static uint16_t frame_now(const struct uhci *uhci)
{
    const struct uhci_regs *regs = &uhci->regs;
    int64_t since = vclock_now() - regs->frame_at;
    if (!(regs->usbcmd & CMD_RS))
        return regs->frame;
    int64_t frames = since < 0 ? -1 : since / UHCI_FRAME_NS;
    if (!uhci_is_idle(
            uhci)) { /* a frame of which something is expected is over when it is walked; FRNUM goes on only */
        int64_t late = (regs->late_until - regs->frame_at) / UHCI_FRAME_NS;
        frames = MIN(frames, MAX(late, 0));
    }
    return (uint16_t)((regs->frame + frames) & FRAME_MASK);
}

static void stop(struct uhci *uhci)
{
    uhci->regs.frame = frame_now(uhci);
    uhci->regs.usbcmd &= ~CMD_RS;
    uhci->regs.usbsts |= STS_HCH;
    pci_work_cancel(uhci->work);
    uhci_arm(uhci);
}

void uhci_process_error(struct uhci *uhci)
{
    stop(uhci);
    uhci->regs.usbsts |= STS_HCPE;
    uhci_update_irq(uhci);
}

static void reset_ports(struct uhci *uhci)
{
    for (unsigned i = 0; i < UHCI_PORTS; i++) {
        struct usb_device *dev = uhci->port[i].device;
        uhci->regs.portsc[i] = PORT_ONE | port_lines(&uhci->port[i]) | (dev ? PORT_CCS | PORT_CSC : 0);
    }
}

static void hc_reset(struct uhci *uhci)
{
    uhci->regs = (struct uhci_regs){.usbsts = STS_HCH, .sofmod = 0x40};
    reset_ports(uhci);
    pci_work_cancel(uhci->work);
    uhci_arm(uhci);
    uhci_update_irq(uhci);
}

static void cmd_write(struct uhci *uhci, uint16_t value)
{
    struct uhci_regs *regs = &uhci->regs;
    uint16_t before = regs->usbcmd;
    if (value & CMD_HCRESET) { /* over at once: the bit reads 0 */
        hc_reset(uhci);
        return;
    }
    if (value & ~before & CMD_GRESET) {
        for (unsigned i = 0; i < UHCI_PORTS; i++) {
            if (uhci->port[i].device)
                uhci->port[i].device->ops->reset(uhci->port[i].device);
        }
        hc_reset(uhci);
    }
    if ((before & CMD_RS) && !(value & CMD_RS))
        stop(uhci);
    bool starts = (value & ~regs->usbcmd & CMD_RS) && !(value & CMD_GRESET);
    regs->usbcmd = value & CMD_ALL & ~(value & CMD_GRESET ? CMD_RS : 0);
    if (starts) {
        regs->usbsts &= ~STS_HCH;
        regs->frame_at = vclock_now();
    }
    if (regs->usbcmd & CMD_RS)
        uhci_attend(uhci);
}

/* --- Registers --- */

static uint16_t reg_read(struct uhci *uhci, unsigned offset)
{
    const struct uhci_regs *regs = &uhci->regs;
    switch (offset) {
    case USBCMD:
        return regs->usbcmd;
    case USBSTS:
        return regs->usbsts;
    case USBINTR:
        return regs->usbintr;
    case FRNUM:
        return frame_now(uhci);
    case FLBASEADD:
        return (uint16_t)regs->flbaseadd;
    case FLBASEADD + 2:
        return (uint16_t)(regs->flbaseadd >> 16);
    case SOFMOD:
        return regs->sofmod;
    case PORTSC1:
    case PORTSC2:
        return regs->portsc[(offset - PORTSC1) / 2];
    default:
        return 0; /* and no bit 7: drivers count ports by it */
    }
}

static void reg_write(struct uhci *uhci, unsigned offset, uint16_t value, uint16_t mask)
{
    struct uhci_regs *regs = &uhci->regs;
    uint16_t merged = (value & mask) | (reg_read(uhci, offset) & ~mask);
    switch (offset) {
    case USBCMD:
        cmd_write(uhci, merged);
        return;
    case USBSTS:
        regs->usbsts &= ~(value & mask & (STS_HCH - 1));
        if (value & mask & STS_USBINT)
            regs->cause = 0;
        break;
    case USBINTR:
        regs->usbintr = merged & 0xf;
        break;
    case FRNUM:
        if (!(regs->usbcmd & CMD_RS)) /* running, its effect is undefined (2.1.4): none */
            regs->frame = merged & FRAME_MASK;
        break;
    case FLBASEADD:
        regs->flbaseadd = (regs->flbaseadd & 0xffff0000u) | (merged & 0xf000u);
        break;
    case FLBASEADD + 2:
        regs->flbaseadd = (regs->flbaseadd & 0xffffu) | (uint32_t)merged << 16;
        break;
    case SOFMOD:
        regs->sofmod = merged & 0x7f;
        break;
    case PORTSC1:
    case PORTSC2:
        port_write(uhci, (offset - PORTSC1) / 2, value, mask);
        break;
    default:
        return;
    }
    uhci_update_irq(uhci);
    if (offset != USBSTS)
        uhci_attend(uhci);
}

static uint32_t uhci_io_read(void *opaque, uint16_t port, unsigned size)
{
    struct uhci *uhci = opaque;
    unsigned offset = port & 0x1f, first = offset & ~1u;
    uint64_t value = 0;
    for (unsigned i = 0; first + 2 * i < offset + size; i++)
        value |= (uint64_t)reg_read(uhci, first + 2 * i) << 16 * i;
    if (first <= FRNUM && offset + size > FRNUM && uhci_is_idle(uhci) && vclock_now() >= uhci->regs.frame_at)
        uhci_kick(uhci); /* it may stay idle: Linux looks at FRNUM four times a second, for nothing */
    return (uint32_t)(value >> 8 * (offset & 1));
}

static void uhci_io_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct uhci *uhci = opaque;
    unsigned offset = port & 0x1f, shift = 8 * (offset & 1);
    uint64_t bytes = (uint64_t)value << shift, mask = ((1ull << 8 * size) - 1) << shift;
    for (unsigned at = offset & ~1u; at < offset + size; at += 2, bytes >>= 16, mask >>= 16)
        reg_write(uhci, at, (uint16_t)bytes, (uint16_t)mask);
}

static const struct io_ops uhci_io = {.widths = 1 | 2 | 4, .read = uhci_io_read, .write = uhci_io_write};

/* --- The card --- */

static void uhci_timer(void *opaque)
{
    uhci_kick(opaque);
}

struct uhci_config {
    const char *masterbus; /* NULL: it is nobody's companion */
    uint8_t firstport;
};

struct identity {
    const char *name;
    uint16_t device;
    uint8_t revision, pin;
};

static bool ports_add(struct uhci *uhci, const struct device_site *site, const struct uhci_config *config,
                      GError **error)
{
    bool is_alone = !config || !config->masterbus;
    struct usb_bus *master = is_alone ? NULL : usb_bus_named(site->board, config->masterbus);
    for (unsigned i = 0; i < UHCI_PORTS; i++)
        uhci->port[i] = (struct usb_port){.ops = &port_ops, .opaque = uhci, .speeds = 1u << USB_LOW | 1u << USB_FULL};
    if (!is_alone && (!master || !master->add_companion)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: USB bus '%s' not found, or it takes no companions",
                    site->id, config->masterbus);
        return false;
    }
    if (!is_alone)
        return master->add_companion(master, config->firstport, uhci->port, UHCI_PORTS, error);
    usb_bus_add(site->board, &uhci->bus, uhci, site->id);
    for (unsigned i = 0; i < UHCI_PORTS; i++)
        usb_port_add(&uhci->bus, &uhci->port[i], NULL, i + 1);
    return true;
}

static void *card_create(const struct device_site *site, const struct identity *identity,
                         const struct uhci_config *config, GError **error)
{
    struct uhci *uhci = g_new0(struct uhci, 1);
    struct pci_device *pci = &uhci->pci;
    if (!ports_add(uhci, site, config, error)) {
        g_free(uhci);
        return NULL;
    }
    pci_device_init(pci, identity->name, 0x8086, identity->device, 0x0c0300, identity->revision);
    pci->config[PCI_INTERRUPT_PIN] = identity->pin;
    pci->config[SBRN] = 0x10;
    pci->config[LEGSUP + 1] = 0x20; /* USBPIRQDEN */
    for (unsigned i = 0; i < 2; i++) {
        pci->writable[LEGSUP + i] = (uint8_t)(LEGSUP_RW >> 8 * i);
        pci->clearable[LEGSUP + i] = (uint8_t)(LEGSUP_RWC >> 8 * i);
    }
    pci_add_io_bar(pci, 4, 32, &uhci_io, uhci);
    pci_plug(board_service(site->board, "pci"), pci, (uint8_t)site->unit);
    uhci->timer = vtimer_new(uhci_timer, uhci, "uhci");
    uhci->work = pci_work_new(pci, uhci_run, uhci);
    hc_reset(uhci);
    return uhci;
}

static void uhci_destroy(void *dev)
{
    struct uhci *uhci = dev;
    pci_work_free(uhci->work);
    vtimer_free(uhci->timer);
    pci_unplug(&uhci->pci);
    g_free(uhci);
}

static void uhci_reset(void *dev)
{
    struct uhci *uhci = dev;
    hc_reset(uhci);
    pci_device_reset(&uhci->pci);
}

static const struct state_field uhci_fields[] = {
    STATE_FIELD(uhci_regs, usbcmd),    STATE_FIELD(uhci_regs, usbsts),     STATE_FIELD(uhci_regs, usbintr),
    STATE_FIELD(uhci_regs, cause),     STATE_FIELD(uhci_regs, frame),      STATE_FIELD(uhci_regs, frame_at),
    STATE_FIELD(uhci_regs, flbaseadd), STATE_FIELD(uhci_regs, sofmod),     STATE_FIELD(uhci_regs, portsc),
    STATE_FIELD(uhci_regs, quiet),     STATE_FIELD(uhci_regs, late_until),
};
static const struct state_layout uhci_layout = STATE_LAYOUT(1, uhci_regs, uhci_fields);

static void uhci_before_load(void *dev)
{
    struct uhci *uhci = dev;
    pci_work_cancel(uhci->work);
    vtimer_cancel(uhci->timer);
}

static bool uhci_after_load(void *dev)
{
    struct uhci *uhci = dev;
    struct uhci_regs *regs = &uhci->regs;
    bool is_running = regs->usbcmd & CMD_RS;
    if (regs->usbcmd & (CMD_HCRESET | ~CMD_ALL) || regs->usbsts & ~0x3fu || is_running == !!(regs->usbsts & STS_HCH) ||
        regs->usbintr & ~0xfu || regs->cause & ~(INTR_IOC | INTR_SPD) || regs->frame & ~FRAME_MASK ||
        regs->flbaseadd & 0xfffu || regs->sofmod & 0x80)
        return false;
    /* Of a clock like ours: frames that are due, or the next one. */
    int64_t now = vclock_now();
    if (is_running && (regs->frame_at < 0 || regs->frame_at > now + UHCI_FRAME_NS))
        regs->frame_at = now;
    regs->late_until = MIN(MAX(regs->late_until, 0), now);
    for (unsigned i = 0; i < UHCI_PORTS; i++) {
        const uint16_t live = PORT_CCS | PORT_LINE_J | PORT_LINE_K | PORT_LSDA;
        uint16_t *portsc = &regs->portsc[i];
        *portsc &= PORT_CSC | PORT_PE | PORT_PEC | PORT_RD | PORT_PR | PORT_SUSP | live;
        *portsc = (*portsc & ~live) | PORT_ONE | port_lines(&uhci->port[i]) | (uhci->port[i].device ? PORT_CCS : 0);
        if (!uhci->port[i].device || (*portsc & PORT_PR))
            *portsc &= ~PORT_PE;
    }
    uhci_update_irq(uhci);
    uhci_arm(uhci);
    return true;
}

static void uhci_dump(void *dev, GString *out)
{
    const struct uhci *uhci = dev;
    const struct uhci_regs *regs = &uhci->regs;
    g_string_append_printf(out, "USBCMD %02x  USBSTS %02x  USBINTR %x  FRNUM %03x  FLBASEADD %08x  PORTSC %04x %04x\n",
                           regs->usbcmd, regs->usbsts, regs->usbintr, frame_now(uhci), regs->flbaseadd, regs->portsc[0],
                           regs->portsc[1]);
    g_string_append_printf(out, "%s, %llu frames walked\n",
                           !(regs->usbcmd & CMD_RS) ? "halted"
                           : uhci_is_idle(uhci)     ? "idle"
                                                    : "busy",
                           (unsigned long long)uhci->walks);
}

static const struct property uhci_properties[] = {
    PROPERTY(uhci_config, masterbus, "masterbus", PROPERTY_STRING, 39, NULL, "bus of the EHCI whose companion it is"),
    PROPERTY(uhci_config, firstport, "firstport", PROPERTY_NUMBER, 14, "0", "and the first port of that, from 0"),
    PROPERTY_END};

#define UHCI_CLASS(what, class_name, device, revision, pin, class_help) \
    static void *what##_create(const struct device_site *site, const void *config, GError **error) \
    { \
        static const struct identity identity = {class_name, device, revision, pin}; \
        return card_create(site, &identity, config, error); \
    } \
    const struct device_class what##_class = {.name = class_name, \
                                              .help = class_help, \
                                              .bus = BUS_PCI, \
                                              .provides_bus = BUS_USB, \
                                              .provides_count = 1, \
                                              .takes_hotplug = true, \
                                              .devfn = -1, \
                                              .properties = uhci_properties, \
                                              .config_size = sizeof(struct uhci_config), \
                                              .create = what##_create, \
                                              .destroy = uhci_destroy, \
                                              .reset = uhci_reset, \
                                              .layout = &uhci_layout, \
                                              .regs_offset = offsetof(struct uhci, regs), \
                                              .before_load = uhci_before_load, \
                                              .after_load = uhci_after_load, \
                                              .dump = uhci_dump}; \
    DEVICE_CLASS(what##_class)

UHCI_CLASS(uhci, "piix3-usb-uhci", 0x7020, 1, 4, "PIIX3 USB controller (UHCI)");
UHCI_CLASS(ich9_uhci1, "ich9-usb-uhci1", 0x2934, 3, 1, "USB controller (UHCI) of ICH9, ports 1 and 2");
UHCI_CLASS(ich9_uhci2, "ich9-usb-uhci2", 0x2935, 3, 2, "USB controller (UHCI) of ICH9, ports 3 and 4");
UHCI_CLASS(ich9_uhci3, "ich9-usb-uhci3", 0x2936, 3, 3, "USB controller (UHCI) of ICH9, ports 5 and 6");
