/* OHCI: registers and root hub. OHCI 1.0a, 7. No system management mode is there to own it: ownership is not routed. */
#include "ohci.h"

#include <string.h>

#include "log.h"

#define FM_INTERVAL 0x27782edfu /* 12,000 bit times, and the largest packet's */
#define RH_A_NPS    0x00000200u /* ports have power always */
#define RH_A_RW     0xff001f00u

void ohci_update_irq(struct ohci *ohci)
{
    const struct ohci_regs *regs = &ohci->regs;
    pci_set_intx(&ohci->pci, (regs->intr_enable & OHCI_INT_MIE) && (regs->intr_status & regs->intr_enable));
}

static void interrupt(struct ohci *ohci, uint32_t why)
{
    ohci->regs.intr_status |= why;
    ohci_update_irq(ohci);
}

/* --- Root hub (7.4) --- */

static uint32_t port_live(const struct usb_port *port)
{
    return OHCI_PORT_PPS | (port->device ? OHCI_PORT_CCS : 0) |
           (port->device && port->device->speed == USB_LOW ? OHCI_PORT_LSDA : 0);
}

static void port_changed(struct usb_port *port)
{
    struct ohci *ohci = port->opaque;
    uint32_t *status = &ohci->regs.port_status[port - ohci->port];
    bool was_enabled = *status & OHCI_PORT_PES;
    *status &= ~(OHCI_PORT_CCS | OHCI_PORT_LSDA);
    *status |= port_live(port) | OHCI_PORT_CSC;
    if (!port->device)
        *status = (*status & ~(OHCI_PORT_PES | OHCI_PORT_PSS)) | (was_enabled ? OHCI_PORT_PESC : 0);
    if ((ohci->regs.control & OHCI_CTL_HCFS) == OHCI_SUSPEND && ohci->regs.remote_wakeup) {
        ohci->regs.control = (ohci->regs.control & ~OHCI_CTL_HCFS) | OHCI_RESUME;
        ohci->regs.intr_status |= OHCI_INT_RD;
    }
    interrupt(ohci, OHCI_INT_RHSC);
    ohci_attend(ohci);
}

static void port_wakeup(struct usb_port *port, struct usb_device *dev, unsigned endpoint, bool can_resume)
{
    struct ohci *ohci = port->opaque;
    uint32_t *status = &ohci->regs.port_status[port - ohci->port];
    if (can_resume && (*status & OHCI_PORT_PSS)) {
        *status = (*status & ~OHCI_PORT_PSS) | OHCI_PORT_PSSC;
        interrupt(ohci, OHCI_INT_RHSC);
    }
    if (can_resume && (ohci->regs.control & OHCI_CTL_HCFS) == OHCI_SUSPEND && (*status & OHCI_PORT_PES)) {
        ohci->regs.control = (ohci->regs.control & ~OHCI_CTL_HCFS) | OHCI_RESUME;
        interrupt(ohci, OHCI_INT_RD);
    }
    ohci_attend(ohci);
}

static const struct usb_port_ops port_ops = {port_changed, port_wakeup};

static void port_write(struct ohci *ohci, unsigned n, uint32_t value)
{
    uint32_t *status = &ohci->regs.port_status[n];
    struct usb_device *dev = ohci->port[n].device;
    *status &= ~(value & OHCI_PORT_CHANGES);
    if (value & 0x01) /* ClearPortEnable */
        *status &= ~(OHCI_PORT_PES | OHCI_PORT_PSS);
    if (value & (0x02 | 0x04 | 0x10) && !dev) /* nobody is there to be enabled, suspended, reset */
        *status |= OHCI_PORT_CSC;
    if (dev && (value & 0x02)) /* SetPortEnable */
        *status |= OHCI_PORT_PES;
    if (value & 0x04 && *status & OHCI_PORT_PES) /* SetPortSuspend */
        *status |= OHCI_PORT_PSS;
    if (value & 0x08 && *status & OHCI_PORT_PSS) /* ClearSuspendStatus: over at once */
        *status = (*status & ~OHCI_PORT_PSS) | OHCI_PORT_PSSC;
    if (dev && (value & 0x10)) { /* SetPortReset: the same */
        dev->ops->reset(dev);
        *status = (*status & ~OHCI_PORT_PSS) | OHCI_PORT_PES | OHCI_PORT_PRSC;
    }
    if (*status & OHCI_PORT_CHANGES)
        ohci->regs.intr_status |= OHCI_INT_RHSC;
}

/* --- Running --- */

bool ohci_runs(const struct ohci *ohci)
{
    return (ohci->regs.control & OHCI_CTL_HCFS) == OHCI_RUNS;
}

static uint16_t frame_now(const struct ohci *ohci)
{
    const struct ohci_regs *regs = &ohci->regs;
    int64_t since = vclock_now() - regs->frame_at;
    if (!ohci_runs(ohci) || since < 0 || !ohci_is_idle(ohci))
        return (uint16_t)(regs->fm_number - (ohci_runs(ohci) ? 1 : 0));
    return (uint16_t)(regs->fm_number + since / OHCI_FRAME_NS);
}

/* Devices lose their addresses; what is connected stays. */
static void reset_ports(struct ohci *ohci, bool with_devices)
{
    for (unsigned n = 0; n < ohci->ports; n++) {
        struct usb_device *dev = ohci->port[n].device;
        if (dev && with_devices)
            dev->ops->reset(dev);
        ohci->regs.port_status[n] = port_live(&ohci->port[n]) | (dev ? OHCI_PORT_CSC : 0);
    }
}

static void hc_reset(struct ohci *ohci, uint32_t state, uint32_t keep)
{
    ohci->regs = (struct ohci_regs){.control = (ohci->regs.control & keep) | state,
                                    .done_delay = OHCI_NO_DONE,
                                    .fm_interval = FM_INTERVAL,
                                    .ls_threshold = 0x628,
                                    .rh_a = RH_A_NPS | ohci->ports};
    reset_ports(ohci, false);
    pci_work_cancel(ohci->work);
    ohci_arm(ohci);
    ohci_update_irq(ohci);
}

static void control_write(struct ohci *ohci, uint32_t value)
{
    struct ohci_regs *regs = &ohci->regs;
    bool ran = ohci_runs(ohci);
    uint16_t frame = frame_now(ohci);
    if ((value & OHCI_CTL_HCFS) == OHCI_RESET && (regs->control & OHCI_CTL_HCFS) != OHCI_RESET)
        reset_ports(ohci, true);
    regs->control = value & OHCI_CTL_ALL;
    if (!ran && ohci_runs(ohci)) {
        regs->frame_at = vclock_now();
    } else if (ran && !ohci_runs(ohci)) {
        regs->fm_number = frame;
        pci_work_cancel(ohci->work);
    }
}

/* --- Registers --- */

static uint32_t fm_remaining(const struct ohci *ohci)
{
    uint32_t interval = ohci->regs.fm_interval & 0x3fff;
    int64_t left = (ohci->regs.frame_at - vclock_now()) % OHCI_FRAME_NS;
    if (!ohci_runs(ohci))
        return 0;
    if (left < 0)
        left += OHCI_FRAME_NS;
    return (uint32_t)(left * interval / OHCI_FRAME_NS) | (ohci->regs.fm_interval & 0x80000000u);
}

static uint32_t reg_read(const struct ohci *ohci, uint32_t offset)
{
    const struct ohci_regs *regs = &ohci->regs;
    switch (offset) {
    case OHCI_REVISION:
        return 0x10;
    case OHCI_CONTROL:
        return regs->control;
    case OHCI_COMMAND_STATUS:
        return regs->command_status;
    case OHCI_INTR_STATUS:
        return regs->intr_status;
    case OHCI_INTR_ENABLE:
    case OHCI_INTR_DISABLE:
        return regs->intr_enable;
    case OHCI_HCCA:
        return regs->hcca;
    case OHCI_CONTROL_HEAD:
        return regs->control_head;
    case OHCI_CONTROL_CUR:
        return regs->control_current;
    case OHCI_BULK_HEAD:
        return regs->bulk_head;
    case OHCI_BULK_CUR:
        return regs->bulk_current;
    case OHCI_DONE_HEAD:
        return regs->done_head;
    case OHCI_FM_INTERVAL:
        return regs->fm_interval;
    case OHCI_FM_REMAINING:
        return fm_remaining(ohci);
    case OHCI_FM_NUMBER:
        return frame_now(ohci);
    case OHCI_PERIODIC_START:
        return regs->periodic_start;
    case OHCI_LS_THRESHOLD:
        return regs->ls_threshold;
    case OHCI_RH_A:
        return regs->rh_a;
    case OHCI_RH_B:
        return regs->rh_b;
    case OHCI_RH_STATUS:
        return (uint32_t)regs->remote_wakeup << 15;
    default:
        return offset >= OHCI_RH_PORT && offset < OHCI_RH_PORT + 4 * ohci->ports
                   ? regs->port_status[(offset - OHCI_RH_PORT) / 4]
                   : 0;
    }
}

static void reg_write(struct ohci *ohci, uint32_t offset, uint32_t value)
{
    struct ohci_regs *regs = &ohci->regs;
    switch (offset) {
    case OHCI_CONTROL:
        control_write(ohci, value);
        break;
    case OHCI_COMMAND_STATUS: /* bits are set by ones (7.1.3) */
        if (value & OHCI_CMD_HCR)
            hc_reset(ohci, OHCI_SUSPEND, 0x300); /* IR and RWC stay */
        else
            regs->command_status |= value & (OHCI_CMD_CLF | OHCI_CMD_BLF);
        break;
    case OHCI_INTR_STATUS:
        regs->intr_status &= ~value;
        break;
    case OHCI_INTR_ENABLE:
        regs->intr_enable |= value & (OHCI_INT_ALL | OHCI_INT_MIE | 0x40000000u);
        break;
    case OHCI_INTR_DISABLE:
        regs->intr_enable &= ~value;
        break;
    case OHCI_HCCA:
        regs->hcca = value & 0xffffff00u;
        break;
    case OHCI_CONTROL_HEAD:
        regs->control_head = value & 0xfffffff0u;
        break;
    case OHCI_CONTROL_CUR:
        regs->control_current = value & 0xfffffff0u;
        break;
    case OHCI_BULK_HEAD:
        regs->bulk_head = value & 0xfffffff0u;
        break;
    case OHCI_BULK_CUR:
        regs->bulk_current = value & 0xfffffff0u;
        break;
    case OHCI_FM_INTERVAL:
        regs->fm_interval = value & 0xffff3fffu;
        break;
    case OHCI_PERIODIC_START:
        regs->periodic_start = value & 0x3fff;
        break;
    case OHCI_LS_THRESHOLD:
        regs->ls_threshold = value & 0xfff;
        break;
    case OHCI_RH_A:
        regs->rh_a = (regs->rh_a & ~RH_A_RW) | (value & RH_A_RW) | RH_A_NPS;
        break;
    case OHCI_RH_B:
        regs->rh_b = value;
        break;
    case OHCI_RH_STATUS:
        regs->remote_wakeup = (regs->remote_wakeup || value & 0x8000) && !(value & 0x80000000u);
        break;
    default:
        if (offset >= OHCI_RH_PORT && offset < OHCI_RH_PORT + 4 * ohci->ports)
            port_write(ohci, (offset - OHCI_RH_PORT) / 4, value);
        break;
    }
    ohci_update_irq(ohci);
    ohci_attend(ohci);
}

/* Dwords only, as the specification has them (7): what is smaller reads its bytes, and writes nothing. */
static uint64_t ohci_read(void *opaque, uint32_t offset, unsigned size)
{
    struct ohci *ohci = opaque;
    uint64_t value = reg_read(ohci, offset & ~3u);
    if (size == 8)
        value |= (uint64_t)reg_read(ohci, (offset & ~3u) + 4) << 32;
    if ((offset & ~3u) == OHCI_FM_NUMBER && ohci_is_idle(ohci))
        ohci_kick(ohci);
    return value >> 8 * (offset & 3);
}

static void ohci_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    if (size < 4 || offset & 3) {
        log_guest("ohci: %u bytes written at %x", size, offset);
        return;
    }
    reg_write(opaque, offset, (uint32_t)value);
    if (size == 8)
        reg_write(opaque, offset + 4, (uint32_t)(value >> 32));
}

static const struct mmio_ops ohci_mmio = {ohci_read, ohci_write};

/* --- The card --- */

struct ohci_config {
    uint8_t num_ports;
};

static void ohci_timer(void *opaque)
{
    ohci_kick(opaque);
}

static void *ohci_create(const struct device_site *site, const void *opaque, GError **error)
{
    const struct ohci_config *config = opaque;
    if (config->num_ports < 1) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: num-ports is from 1 to 15", site->id);
        return NULL;
    }
    struct ohci *ohci = g_new0(struct ohci, 1);
    struct pci_device *pci = &ohci->pci;
    ohci->ports = config->num_ports;
    pci_device_init(pci, "pci-ohci", 0x106b, 0x003f, 0x0c0310, 0);
    pci->config[PCI_INTERRUPT_PIN] = 1;
    pci_add_mmio_bar(pci, 0, OHCI_BAR, &ohci_mmio, ohci);
    pci_plug(board_service(site->board, "pci"), pci, (uint8_t)site->unit);
    ohci->timer = vtimer_new(ohci_timer, ohci, "ohci");
    ohci->work = pci_work_new(pci, ohci_run, ohci);
    usb_bus_add(site->board, &ohci->bus, ohci, site->id);
    for (unsigned n = 0; n < ohci->ports; n++) {
        ohci->port[n] = (struct usb_port){.ops = &port_ops, .opaque = ohci, .speeds = 1u << USB_LOW | 1u << USB_FULL};
        usb_port_add(&ohci->bus, &ohci->port[n], NULL, n + 1);
    }
    hc_reset(ohci, OHCI_RESET, 0);
    return ohci;
}

static void ohci_destroy(void *dev)
{
    struct ohci *ohci = dev;
    pci_work_free(ohci->work);
    vtimer_free(ohci->timer);
    pci_unplug(&ohci->pci);
    g_free(ohci);
}

static void ohci_reset(void *dev)
{
    struct ohci *ohci = dev;
    hc_reset(ohci, OHCI_RESET, 0);
    pci_device_reset(&ohci->pci);
}

#define F(member) STATE_FIELD(ohci_regs, member)
static const struct state_field ohci_fields[] = {
    F(control),         F(command_status), F(intr_status),  F(intr_enable), F(hcca),        F(control_head),
    F(control_current), F(bulk_head),      F(bulk_current), F(done_head),   F(fm_interval), F(periodic_start),
    F(ls_threshold),    F(rh_a),           F(rh_b),         F(fm_number),   F(done_delay),  F(remote_wakeup),
    F(frame_at),        F(port_status),    F(quiet),
};
#undef F
static const struct state_layout ohci_layout = STATE_LAYOUT(1, ohci_regs, ohci_fields);

static void ohci_before_load(void *dev)
{
    struct ohci *ohci = dev;
    pci_work_cancel(ohci->work);
    vtimer_cancel(ohci->timer);
}

static bool ohci_after_load(void *dev)
{
    struct ohci *ohci = dev;
    struct ohci_regs *regs = &ohci->regs;
    if (regs->control & ~OHCI_CTL_ALL || regs->command_status & ~(OHCI_CMD_CLF | OHCI_CMD_BLF) ||
        regs->intr_status & ~OHCI_INT_ALL || regs->hcca & 0xff || regs->done_delay > OHCI_NO_DONE ||
        (regs->control_head | regs->control_current | regs->bulk_head | regs->bulk_current) & 0xf ||
        (regs->rh_a & 0xff) != ohci->ports)
        return false;
    int64_t now = vclock_now();
    if (ohci_runs(ohci) && (regs->frame_at < 0 || regs->frame_at > now + OHCI_FRAME_NS))
        regs->frame_at = now;
    for (unsigned n = 0; n < ohci->ports; n++) {
        uint32_t *status = &regs->port_status[n];
        *status &= OHCI_PORT_PES | OHCI_PORT_PSS | OHCI_PORT_CHANGES;
        *status = (ohci->port[n].device ? *status : *status & OHCI_PORT_CHANGES) | port_live(&ohci->port[n]);
    }
    ohci_update_irq(ohci);
    ohci_arm(ohci);
    return true;
}

static void ohci_dump(void *dev, GString *out)
{
    const struct ohci *ohci = dev;
    const struct ohci_regs *regs = &ohci->regs;
    g_string_append_printf(out,
                           "HcControl %03x  HcCommandStatus %x  HcInterruptStatus %02x  HcInterruptEnable %08x  "
                           "HcHCCA %08x  HcFmNumber %04x\nHcRhPortStatus",
                           regs->control, regs->command_status, regs->intr_status, regs->intr_enable, regs->hcca,
                           frame_now(ohci));
    for (unsigned n = 0; n < ohci->ports; n++)
        g_string_append_printf(out, " %06x", regs->port_status[n]);
    g_string_append_printf(out, "\n%s, %llu frames walked\n",
                           !ohci_runs(ohci)     ? "halted"
                           : ohci_is_idle(ohci) ? "idle"
                                                : "busy",
                           (unsigned long long)ohci->walks);
}

static const struct property ohci_properties[] = {
    PROPERTY(ohci_config, num_ports, "num-ports", PROPERTY_NUMBER, OHCI_PORTS_MAX, "3", "ports"), PROPERTY_END};

const struct device_class ohci_class = {
    .name = "pci-ohci",
    .help = "USB controller (OHCI)",
    .bus = BUS_PCI,
    .provides_bus = BUS_USB,
    .provides_count = 1,
    .takes_hotplug = true,
    .devfn = -1,
    .properties = ohci_properties,
    .config_size = sizeof(struct ohci_config),
    .create = ohci_create,
    .destroy = ohci_destroy,
    .reset = ohci_reset,
    .layout = &ohci_layout,
    .regs_offset = offsetof(struct ohci, regs),
    .before_load = ohci_before_load,
    .after_load = ohci_after_load,
    .dump = ohci_dump,
};
DEVICE_CLASS(ohci_class);
