/* PIIX4 power management function (82371AB function 3) as far as ACPI uses it.
 *
 * Intel 290562 (PIIX4), chapter 7; ACPI 1.0, 4.7. PMBASE (config 40h) and PMREGMISC.PMIOSE (80h) place
 * 64 ports. There is no SMM: a write of ACPI_SMI_ENABLE to SMI_CMD (B2h) sets SCI_EN by itself.
 */
#include "acpi_pm.h"

#include <string.h>

#include "ioport.h"
#include "log.h"
#include "state.h"
#include "vclock.h"

#define PM1_TMR_STS    0x0001u
#define PM1_BM_STS     0x0010u
#define PM1_GBL_STS    0x0020u
#define PM1_PWRBTN_STS 0x0100u
#define PM1_RTC_STS    0x0400u
#define PM1_WAK_STS    0x8000u
#define PM1_STS_BITS   (PM1_TMR_STS | PM1_BM_STS | PM1_GBL_STS | PM1_PWRBTN_STS | PM1_RTC_STS | PM1_WAK_STS)
#define PM1_EN_BITS    (PM1_TMR_STS | PM1_GBL_STS | PM1_PWRBTN_STS | PM1_RTC_STS)

#define PM1_CNT_SCI_EN  0x0001u
#define PM1_CNT_BM_RLD  0x0002u
#define PM1_CNT_SLP_TYP 0x1c00u
#define PM1_CNT_SLP_EN  0x2000u

#define PMBASE    0x40
#define PMREGMISC 0x80

struct acpi_pm_regs {
    uint16_t pm1_sts, pm1_en, pm1_cnt;
    uint16_t gpe_sts, gpe_en;
    uint8_t apmc, apms;
    uint8_t scratch[ACPI_PM_SIZE]; /* the rest of the block: processor control, device monitors */
    int64_t seen_toggle;           /* number of the last change of the timer's bit 23 that TMR_STS reflects */
};

struct acpi_pm {
    struct pci_device pci; /* first */
    struct acpi_pm_regs regs;
    struct irq sci, soft_off;
    struct vtimer *timer;
    bool mapped;
    uint16_t base;
};

#define TOGGLE_PERIOD (1ll << 23) /* TMR_STS is set each time bit 23 changes */

static int64_t pm_timer_count(void)
{
    return vclock_ticks(vclock_now(), ACPI_PM_TIMER_HZ);
}

/* Must be called whenever a status, an enable or the time may have changed. */
static void acpi_pm_update_irq(struct acpi_pm *pm)
{
    struct acpi_pm_regs *regs = &pm->regs;
    int64_t toggle = pm_timer_count() / TOGGLE_PERIOD;
    if (toggle > regs->seen_toggle)
        regs->pm1_sts |= PM1_TMR_STS;
    regs->seen_toggle = toggle;

    bool level = (regs->pm1_cnt & PM1_CNT_SCI_EN) &&
                 ((regs->pm1_sts & regs->pm1_en & PM1_EN_BITS) || (regs->gpe_sts & regs->gpe_en));
    irq_set(&pm->sci, level);

    if ((regs->pm1_en & PM1_TMR_STS) && !(regs->pm1_sts & PM1_TMR_STS)) {
        __int128 next = (__int128)(toggle + 1) * TOGGLE_PERIOD;
        vtimer_arm(pm->timer, (int64_t)((next * NS_PER_SECOND + ACPI_PM_TIMER_HZ - 1) / ACPI_PM_TIMER_HZ));
    } else {
        vtimer_cancel(pm->timer);
    }
}

static void acpi_pm_timer(void *opaque)
{
    acpi_pm_update_irq(opaque);
}

void acpi_pm_press_power_button(struct acpi_pm *pm)
{
    pm->regs.pm1_sts |= PM1_PWRBTN_STS;
    acpi_pm_update_irq(pm);
}

static void pm1_cnt_write(struct acpi_pm *pm, uint16_t value)
{
    /* SCI_EN is the firmware's to set (through SMI_CMD); SLP_EN reads as zero. */
    pm->regs.pm1_cnt = (pm->regs.pm1_cnt & PM1_CNT_SCI_EN) | (value & (PM1_CNT_BM_RLD | PM1_CNT_SLP_TYP));
    if (value & PM1_CNT_SLP_EN) {
        unsigned type = (value & PM1_CNT_SLP_TYP) >> 10;
        if (type == ACPI_SLP_TYP_S5)
            irq_set(&pm->soft_off, true);
        else
            log_guest("acpi: sleep type %u is not there", type);
    }
}

static uint16_t reg_read16(struct acpi_pm *pm, unsigned offset)
{
    uint16_t value;
    switch (offset) {
    case ACPI_PM1_EVT:
        acpi_pm_update_irq(pm);
        return pm->regs.pm1_sts;
    case ACPI_PM1_EVT + 2:
        return pm->regs.pm1_en;
    case ACPI_PM1_CNT:
        return pm->regs.pm1_cnt;
    case ACPI_PM_TMR:
        return (uint16_t)pm_timer_count();
    case ACPI_PM_TMR + 2:
        return (uint16_t)(pm_timer_count() >> 16 & 0xff); /* 24 bits */
    case ACPI_GPE0:
        return pm->regs.gpe_sts;
    case ACPI_GPE0 + 2:
        return pm->regs.gpe_en;
    default:
        memcpy(&value, &pm->regs.scratch[offset], 2);
        return value;
    }
}

static void reg_write16(struct acpi_pm *pm, unsigned offset, uint16_t value)
{
    switch (offset) {
    case ACPI_PM1_EVT:
        acpi_pm_update_irq(pm);
        pm->regs.pm1_sts &= ~(value & PM1_STS_BITS);
        break;
    case ACPI_PM1_EVT + 2:
        pm->regs.pm1_en = value & PM1_EN_BITS;
        break;
    case ACPI_PM1_CNT:
        pm1_cnt_write(pm, value);
        break;
    case ACPI_PM_TMR:
    case ACPI_PM_TMR + 2:
        break;
    case ACPI_GPE0:
        pm->regs.gpe_sts &= ~value;
        break;
    case ACPI_GPE0 + 2:
        pm->regs.gpe_en = value;
        break;
    default:
        memcpy(&pm->regs.scratch[offset], &value, 2);
        break;
    }
    acpi_pm_update_irq(pm);
}

static uint32_t acpi_pm_read(void *opaque, uint16_t port, unsigned size)
{
    struct acpi_pm *pm = opaque;
    unsigned offset = (port - pm->base) & (ACPI_PM_SIZE - 1);
    if (size == 4 && offset == ACPI_PM_TMR)
        return (uint32_t)(pm_timer_count() & 0xffffff); /* in one piece: it must not tear */
    uint32_t value = reg_read16(pm, offset & ~1u);
    if (size == 1)
        return offset & 1 ? value >> 8 : value & 0xff;
    if (size == 4)
        value |= (uint32_t)reg_read16(pm, ((offset & ~1u) + 2) & (ACPI_PM_SIZE - 1)) << 16;
    return value;
}

static void acpi_pm_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct acpi_pm *pm = opaque;
    unsigned offset = (port - pm->base) & (ACPI_PM_SIZE - 1);
    if (size == 1) {
        /* Status registers are write-one-to-clear: zero for the other half; others keep it. */
        bool is_status = (offset & ~1u) == ACPI_PM1_EVT || (offset & ~1u) == ACPI_GPE0;
        uint16_t other = is_status ? 0 : reg_read16(pm, offset & ~1u);
        value = offset & 1 ? (other & 0xff) | value << 8 : (other & 0xff00) | value;
        reg_write16(pm, offset & ~1u, value);
        return;
    }
    reg_write16(pm, offset & ~1u, value);
    if (size == 4)
        reg_write16(pm, ((offset & ~1u) + 2) & (ACPI_PM_SIZE - 1), value >> 16);
}

static const struct io_ops acpi_pm_io = {.widths = 1 | 2 | 4, .read = acpi_pm_read, .write = acpi_pm_write};

static void acpi_pm_config_written(struct pci_device *dev, uint8_t offset, unsigned size)
{
    struct acpi_pm *pm = (struct acpi_pm *)dev;
    uint16_t base = (dev->config[PMBASE + 1] << 8 | dev->config[PMBASE]) & 0xffc0;
    bool wanted = (dev->config[PMREGMISC] & 1) && base;

    if (pm->mapped && (!wanted || base != pm->base)) {
        ioport_unregister(pm->base, ACPI_PM_SIZE);
        pm->mapped = false;
    }
    if (wanted && !pm->mapped) {
        if (!ioport_is_free(base, ACPI_PM_SIZE)) {
            log_guest("acpi: PMBASE %x collides with other ports", base);
            return;
        }
        ioport_register(base, ACPI_PM_SIZE, &acpi_pm_io, pm, "acpi-pm");
        pm->base = base;
        pm->mapped = true;
    }
}

static uint32_t smi_read(void *opaque, uint16_t port, unsigned size)
{
    struct acpi_pm *pm = opaque;
    return port & 1 ? pm->regs.apms : pm->regs.apmc;
}

static void smi_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct acpi_pm *pm = opaque;
    if (port & 1) {
        pm->regs.apms = value;
        return;
    }
    pm->regs.apmc = value;
    if (value == ACPI_SMI_ENABLE)
        pm->regs.pm1_cnt |= PM1_CNT_SCI_EN;
    else if (value == ACPI_SMI_DISABLE)
        pm->regs.pm1_cnt &= ~PM1_CNT_SCI_EN;
    acpi_pm_update_irq(pm);
}

static const struct io_ops smi_io = {.widths = 1, .read = smi_read, .write = smi_write};

static void acpi_pm_reset(void *dev)
{
    struct acpi_pm *pm = dev;
    pci_device_reset(&pm->pci);
    acpi_pm_config_written(&pm->pci, PMBASE, 4);
    memset(&pm->regs, 0, sizeof(pm->regs));
    pm->regs.seen_toggle = pm_timer_count() / TOGGLE_PERIOD;
    acpi_pm_update_irq(pm);
}

static const struct state_field acpi_pm_fields[] = {
    STATE_FIELD(acpi_pm_regs, pm1_sts), STATE_FIELD(acpi_pm_regs, pm1_en),  STATE_FIELD(acpi_pm_regs, pm1_cnt),
    STATE_FIELD(acpi_pm_regs, gpe_sts), STATE_FIELD(acpi_pm_regs, gpe_en),  STATE_FIELD(acpi_pm_regs, apmc),
    STATE_FIELD(acpi_pm_regs, apms),    STATE_FIELD(acpi_pm_regs, scratch), STATE_FIELD(acpi_pm_regs, seen_toggle),
};
static const struct state_layout acpi_pm_layout = STATE_LAYOUT(1, acpi_pm_regs, acpi_pm_fields);

/* Its config space is loaded with the bus. */
static bool acpi_pm_after_load(void *dev)
{
    struct acpi_pm *pm = dev;
    acpi_pm_update_irq(pm);
    return true;
}

static void acpi_pm_dump(void *dev, GString *out)
{
    struct acpi_pm *pm = dev;
    g_string_append_printf(out, "acpi: base=%x sts=%04x en=%04x cnt=%04x gpe=%04x/%04x timer=%06x\n",
                           pm->mapped ? pm->base : 0, pm->regs.pm1_sts, pm->regs.pm1_en, pm->regs.pm1_cnt,
                           pm->regs.gpe_sts, pm->regs.gpe_en, (unsigned)(pm_timer_count() & 0xffffff));
}

struct acpi_pm *acpi_pm_new(struct pci_bus *bus, const struct irq *sci, const struct irq *soft_off)
{
    struct acpi_pm *pm = g_new0(struct acpi_pm, 1);
    pm->sci = *sci;
    pm->soft_off = *soft_off;
    pm->timer = vtimer_new(acpi_pm_timer, pm, "acpi-pm");

    struct pci_device *dev = &pm->pci;
    pci_device_init(dev, "piix4-pm", 0x8086, 0x7113, 0x068000, 3);
    dev->config[PCI_STATUS] = 0x80;
    dev->config[PCI_INTERRUPT_PIN] = 1;
    dev->config[PCI_INTERRUPT_LINE] = 9; /* the SCI's fixed route */
    dev->config[PMBASE] = 1;
    dev->writable[PMBASE] = 0xc0;
    dev->writable[PMBASE + 1] = 0xff;
    dev->writable[PMREGMISC] = 0x01;
    for (unsigned reg = 0x44; reg < 0x80; reg++)
        dev->writable[reg] = 0xff; /* device activity and resources: kept, without effect */
    dev->config[0x5b] = 0x02;      /* APMC_EN: tells firmware that SMM is taken care of, for there is none */
    dev->config_written = acpi_pm_config_written;
    pci_plug(bus, dev, PCI_DEVFN(1, 3));

    ioport_register(ACPI_SMI_CMD, 2, &smi_io, pm, "smi-cmd");
    acpi_pm_reset(pm);
    return pm;
}

void acpi_pm_free(struct acpi_pm *pm)
{
    ioport_unregister(ACPI_SMI_CMD, 2);
    if (pm->mapped)
        ioport_unregister(pm->base, ACPI_PM_SIZE);
    pci_unplug(&pm->pci);
    vtimer_free(pm->timer);
    g_free(pm);
}

static void *acpi_pm_create(const struct device_site *site, const void *config, GError **error)
{
    struct irq sci = board_isa_irq(site->board, 9), soft_off = board_wire(site->board, "soft-off");
    struct acpi_pm *pm = acpi_pm_new(board_service(site->board, "pci"), &sci, &soft_off);
    board_provide(site->board, "acpi_pm", pm);
    return pm;
}

static void acpi_pm_destroy(void *dev)
{
    acpi_pm_free(dev);
}

const struct device_class acpi_pm_class = {
    .name = "PIIX4_PM",
    .info = "acpi_pm",
    .help = "PIIX4 power management: ACPI registers, PM timer, soft-off",
    .bus = BUS_PCI,
    .internal = true,
    .devfn = PCI_DEVFN(1, 3),
    .create = acpi_pm_create,
    .destroy = acpi_pm_destroy,
    .reset = acpi_pm_reset,
    .layout = &acpi_pm_layout,
    .regs_offset = offsetof(struct acpi_pm, regs),
    .after_load = acpi_pm_after_load,
    .dump = acpi_pm_dump,
};
DEVICE_CLASS(acpi_pm_class);
