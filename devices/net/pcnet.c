/* AMD PCnet-PCI II (Am79C970A, data sheet 19436): registers, interrupts, PCI. The rings are pcnet_ring.c.
 *
 *             word I/O    double-word I/O (after a double-word write to RDP, until RESET#)
 *   APROM     00h-0Fh     00h-0Fh
 *   RDP       10h         10h          the CSR that RAP names
 *   RAP       12h         14h
 *   RESET     14h         18h          reading it is a software reset
 *   BDP       16h         1Ch          the BCR that RAP names
 *
 * The same at BAR0 (I/O) and BAR1 (memory). The board has no serial EEPROM: the APROM comes filled, as by firmware.
 */
#include "pcnet.h"

#include <string.h>

#include "log.h"

#define DECODED 32u

enum { RDP, RAP, RESET, BDP };

#define CSR0_EVENTS (CSR0_BABL | CSR0_CERR | CSR0_MISS | CSR0_MERR | CSR0_RINT | CSR0_TINT | CSR0_IDON)
#define CSR0_ERRORS (CSR0_BABL | CSR0_CERR | CSR0_MISS | CSR0_MERR)
#define CSR0_MASKED (CSR0_EVENTS & ~CSR0_CERR) /* by the same bits of CSR3; CERR asks for no interrupt */
#define CSR3_BITS   0x5f7cu
#define CSR4_EVENTS 0x026au /* the mask of 0200h, 0020h, 0008h and 0002h is the next lower bit; UINT has none */
#define CSR4_BITS   0xfd15u
#define CSR4_RESET  0x0115u
#define CSR5_EVENTS 0x0a90u /* the enable is the next lower bit */
#define CSR5_BITS   0xc56fu

#define BCR2_APROMWE 0x0100u
#define BCR4_LEDOUT  0x8000u
#define BCR4_LNKSE   0x0040u
#define BCR18_DWIO   0x0080u

enum { BCR_MC = 2, BCR_LED0 = 4, BCR_LED3 = 7, BCR_BSBC = 18, BCR_EECAS = 19, BCR_SWS = 20, BCR_PCILAT = 22 };

static bool csr_asks(const struct pcnet_regs *regs)
{
    uint16_t csr4 = regs->csr[4], csr5 = regs->csr[5];
    return (regs->csr[0] & CSR0_MASKED & ~regs->csr[3]) || (csr4 & CSR4_UINT) ||
           (csr4 & CSR4_EVENTS & ~CSR4_UINT & ~(csr4 << 1)) || (csr5 & CSR5_EVENTS & (csr5 << 1));
}

void pcnet_update_irq(struct pcnet *pcnet)
{
    struct pcnet_regs *regs = &pcnet->regs;
    regs->csr[0] &= ~(CSR0_INTR | CSR0_ERR);
    if (regs->csr[0] & CSR0_ERRORS)
        regs->csr[0] |= CSR0_ERR;
    if (csr_asks(regs))
        regs->csr[0] |= CSR0_INTR;
    pci_set_intx(&pcnet->pci, (regs->csr[0] & CSR0_INTR) && (regs->csr[0] & CSR0_IENA));
}

/* --- Resets --- */

void pcnet_stop(struct pcnet *pcnet)
{
    struct pcnet_regs *regs = &pcnet->regs;
    regs->csr[0] = CSR0_STOP;
    regs->csr[4] &= ~(CSR4_EVENTS | CSR4_UINTCMD);
    regs->csr[5] &= ~(CSR5_SPND | CSR5_MPMODE | CSR5_MPINT);
    regs->csr[CSR_MFC] = regs->csr[CSR_RCC] = 0;
    regs->init_pending = regs->tx_in_frame = regs->tx_waits = regs->rx_waits = regs->rx_misses = false;
    regs->tx_len = 0;
    regs->empty_polls = 0;
    pci_work_cancel(pcnet->work);
    vtimer_cancel(pcnet->pace);
    pcnet_update_poll(pcnet);
    pcnet_update_irq(pcnet);
}

/* S_RESET. BCRs, the ring registers and DWIO stay. */
static void software_reset(struct pcnet *pcnet)
{
    struct pcnet_regs *regs = &pcnet->regs;
    regs->csr[3] = regs->csr[5] = regs->csr[CSR_MODE] = regs->csr[124] = 0;
    regs->csr[4] = CSR4_RESET;
    regs->csr[80] = 0x1410;
    regs->csr[100] = 0x0200;
    regs->rap = 0;
    pcnet_stop(pcnet);
    netdev_ready(pcnet->netdev); /* what waits is lost now */
}

static void aprom_fill(struct pcnet_regs *regs, const uint8_t mac[6])
{
    uint16_t sum = 0;
    memset(regs->aprom, 0, sizeof(regs->aprom));
    memcpy(regs->aprom, mac, 6);
    regs->aprom[9] = 0x11; /* hardware ID that AMD's drivers want */
    regs->aprom[14] = regs->aprom[15] = 0x57;
    for (unsigned i = 0; i < 16; i++)
        sum += regs->aprom[i];
    regs->aprom[12] = (uint8_t)sum;
    regs->aprom[13] = (uint8_t)(sum >> 8);
}

/* H_RESET. */
static void pcnet_reset(void *dev)
{
    static const struct {
        uint8_t n;
        uint16_t value;
    } bcr[] = {{0, 5},         {1, 5},
               {BCR_MC, 2},    {4, 0x00c0},
               {5, 0x0084},    {6, 0x0088},
               {7, 0x0090},    {BCR_BSBC, 0x9001},
               {BCR_EECAS, 2}, {BCR_SWS, CSR58_CSRPCNET},
               {21, 0},        {BCR_PCILAT, 0xff06}};
    struct pcnet *pcnet = dev;
    struct pcnet_regs *regs = &pcnet->regs;
    memset(regs, 0, sizeof(*regs));
    for (unsigned i = 0; i < G_N_ELEMENTS(bcr); i++)
        regs->bcr[bcr[i].n] = bcr[i].value;
    aprom_fill(regs, pcnet->mac);
    for (unsigned i = 0; i < 3; i++)
        regs->csr[CSR_PADR + i] = (uint16_t)(pcnet->mac[2 * i] | pcnet->mac[2 * i + 1] << 8);
    regs->csr[CSR_SWS] = CSR58_CSRPCNET;
    regs->csr[88] = 0x1003; /* version 0, part 2621h, AMD */
    regs->csr[89] = 0x0262;
    software_reset(pcnet);
}

/* --- CSRs --- */

static void csr0_write(struct pcnet *pcnet, uint16_t value)
{
    struct pcnet_regs *regs = &pcnet->regs;
    regs->csr[0] &= ~(value & CSR0_EVENTS);
    if (value & CSR0_STOP) { /* it wins over STRT and INIT */
        pcnet_stop(pcnet);
        netdev_ready(pcnet->netdev);
        return;
    }
    regs->csr[0] = (regs->csr[0] & ~CSR0_IENA) | (value & CSR0_IENA);
    if (value & ~regs->csr[0] & CSR0_INIT) {
        regs->csr[0] = (regs->csr[0] & ~CSR0_STOP) | CSR0_INIT;
        regs->init_pending = true;
    }
    if (value & ~regs->csr[0] & CSR0_STRT) {
        regs->csr[0] = (regs->csr[0] & ~CSR0_STOP) | CSR0_STRT;
        pcnet_switch_on(pcnet);
        netdev_ready(pcnet->netdev);
    }
    if ((value & CSR0_TDMD) && (regs->csr[0] & CSR0_TXON))
        regs->csr[0] |= CSR0_TDMD;
    if (regs->init_pending || (regs->csr[0] & CSR0_TDMD))
        pci_work_ask(pcnet->work);
    pcnet_update_poll(pcnet);
}

static void csr4_write(struct pcnet *pcnet, uint16_t value)
{
    uint16_t events = pcnet->regs.csr[4] & CSR4_EVENTS & ~value;
    if (value & CSR4_UINTCMD)
        events |= CSR4_UINT;
    pcnet->regs.csr[4] = events | (value & CSR4_BITS);
    pcnet_update_poll(pcnet);
}

static void csr5_write(struct pcnet *pcnet, uint16_t value)
{
    struct pcnet_regs *regs = &pcnet->regs;
    bool was_suspended = pcnet_is_suspended(pcnet);
    regs->csr[5] = (regs->csr[5] & CSR5_EVENTS & ~value) | (value & CSR5_BITS);
    if (regs->csr[0] & CSR0_STOP)
        regs->csr[5] &= ~CSR5_SPND;
    if (was_suspended && !pcnet_is_suspended(pcnet)) {
        pci_work_ask(pcnet->work);
        netdev_ready(pcnet->netdev);
    }
    pcnet_update_poll(pcnet);
}

/* Which structures in memory: CSR58 and BCR20 are the same register. */
static void style_write(struct pcnet *pcnet, uint16_t value)
{
    static const uint16_t shows[] = {CSR58_CSRPCNET, CSR58_SSIZE32, CSR58_CSRPCNET | CSR58_SSIZE32,
                                     CSR58_CSRPCNET | CSR58_SSIZE32};
    unsigned style = value & CSR58_STYLE;
    if (style >= G_N_ELEMENTS(shows)) {
        log_guest("pcnet: software style %u is none", style);
        return;
    }
    pcnet->regs.csr[CSR_SWS] = pcnet->regs.bcr[BCR_SWS] = (value & 0x0400) | shows[style] | (uint16_t)style;
}

static void csr_write(struct pcnet *pcnet, unsigned n, uint16_t value)
{
    struct pcnet_regs *regs = &pcnet->regs;
    switch (n) {
    case 0:
        csr0_write(pcnet, value);
        break;
    case 3:
        if (value & CSR3_BSWP)
            log_guest("pcnet: big-endian mode does nothing here");
        regs->csr[3] = value & CSR3_BITS;
        break;
    case 4:
        csr4_write(pcnet, value);
        break;
    case 5:
        csr5_write(pcnet, value);
        break;
    case 6:         /* encoded ring lengths */
    case 26 ... 29: /* NRDA, CRDA: the counter says */
    case 32 ... 39: /* NXDA, CXDA, NNRD, NNXD */
    case 88 ... 89: /* chip ID */
    case CSR_MFC ... CSR_RCC + 1:
        break;
    case 122:
        regs->csr[n] = value & 1;
        break;
    case 124:
        if (regs->csr[4] & CSR4_EN124)
            regs->csr[n] = value & 0x08;
        break;
    default: /* only while nothing runs */
        if (!(regs->csr[0] & CSR0_STOP) && !pcnet_is_suspended(pcnet))
            log_guest("pcnet: CSR%u is written while the chip runs", n);
        else if (n == CSR_SWS)
            style_write(pcnet, value);
        else if (n < G_N_ELEMENTS(regs->csr))
            regs->csr[n == 16 || n == 17 ? n - 15 : n] = value; /* these are CSR1 and CSR2 */
        break;
    }
    pcnet_update_irq(pcnet);
}

static uint16_t csr_read(const struct pcnet *pcnet, unsigned n)
{
    switch (n) {
    case 16 ... 17:
        return pcnet->regs.csr[n - 15];
    case 26 ... 29: /* next, current */
        return (uint16_t)(pcnet_descriptor_at(pcnet, true, n < 28) >> 16 * (n & 1));
    case 32 ... 35:
        return (uint16_t)(pcnet_descriptor_at(pcnet, false, n < 34) >> 16 * (n & 1));
    case 36 ... 39: /* next but one */
        return (uint16_t)(pcnet_descriptor_at(pcnet, n < 38, 2) >> 16 * (n & 1));
    default:
        return n < G_N_ELEMENTS(pcnet->regs.csr) ? pcnet->regs.csr[n] : 0;
    }
}

/* --- BCRs --- */

static void bcr_write(struct pcnet *pcnet, unsigned n, uint16_t value)
{
    struct pcnet_regs *regs = &pcnet->regs;
    switch (n) {
    case BCR_MC:
    case BCR_LED0 ... BCR_LED3:
    case 9: /* full duplex */
    case 16 ... 17:
    case 21:
        regs->bcr[n] = n >= BCR_LED0 && n <= BCR_LED3 ? value & ~BCR4_LEDOUT : value;
        break;
    case BCR_BSBC:
        regs->bcr[n] = (value & ~BCR18_DWIO) | (regs->bcr[n] & BCR18_DWIO);
        break;
    case BCR_EECAS: /* PREAD finds no EEPROM: PVALID and EEDET stay 0 */
        regs->bcr[n] = value & 0x17;
        break;
    case BCR_SWS:
        csr_write(pcnet, CSR_SWS, value);
        break;
    case BCR_PCILAT:
        regs->bcr[n] = value;
        memcpy(&pcnet->pci.config[0x3e], &value, 2); /* MIN_GNT, MAX_LAT */
        break;
    }
}

static uint16_t bcr_read(const struct pcnet *pcnet, unsigned n)
{
    uint16_t value = n < G_N_ELEMENTS(pcnet->regs.bcr) ? pcnet->regs.bcr[n] : 0;
    if (n >= BCR_LED0 && n <= BCR_LED3 && (value & BCR4_LNKSE) && netdev_link_is_up(pcnet->netdev))
        value |= BCR4_LEDOUT;
    return value;
}

/* --- I/O and memory accesses --- */

static bool is_dwio(const struct pcnet *pcnet)
{
    return pcnet->regs.bcr[BCR_BSBC] & BCR18_DWIO;
}

static uint16_t port_read(struct pcnet *pcnet, unsigned which)
{
    switch (which) {
    case RDP:
        return csr_read(pcnet, pcnet->regs.rap);
    case RAP:
        return pcnet->regs.rap;
    case RESET:
        software_reset(pcnet);
        return 0;
    default:
        return bcr_read(pcnet, pcnet->regs.rap);
    }
}

static void port_write(struct pcnet *pcnet, unsigned which, uint16_t value)
{
    switch (which) {
    case RDP:
        csr_write(pcnet, pcnet->regs.rap, value);
        break;
    case RAP:
        pcnet->regs.rap = (uint8_t)value;
        break;
    case BDP:
        bcr_write(pcnet, pcnet->regs.rap, value);
        break;
    }
}

/* Accesses of other widths than the mode's reach nothing, except to the APROM. */
static uint32_t pcnet_read(struct pcnet *pcnet, uint32_t offset, unsigned size)
{
    uint32_t value = ~0u;
    if (offset >= DECODED || offset % size)
        return value;
    if (offset < 16)
        memcpy(&value, &pcnet->regs.aprom[offset], size);
    else if (is_dwio(pcnet) && size == 4)
        value = port_read(pcnet, (offset - 16) / 4);
    else if (!is_dwio(pcnet) && size == 2 && offset < 24)
        value = port_read(pcnet, (offset - 16) / 2);
    return value;
}

static void pcnet_write(struct pcnet *pcnet, uint32_t offset, unsigned size, uint32_t value)
{
    if (offset >= DECODED || offset % size)
        return;
    if (offset < 16) {
        if (pcnet->regs.bcr[BCR_MC] & BCR2_APROMWE)
            memcpy(&pcnet->regs.aprom[offset], &value, size);
    } else if (size == 4) {
        if (offset == 16)
            pcnet->regs.bcr[BCR_BSBC] |= BCR18_DWIO;
        if (is_dwio(pcnet))
            port_write(pcnet, (offset - 16) / 4, (uint16_t)value);
    } else if (!is_dwio(pcnet) && size == 2 && offset < 24) {
        port_write(pcnet, (offset - 16) / 2, (uint16_t)value);
    }
}

static uint32_t pcnet_io_read(void *opaque, uint16_t port, unsigned size)
{
    struct pcnet *pcnet = opaque;
    return pcnet_read(pcnet, port - pcnet->pci.bar[0].base, size);
}

static void pcnet_io_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct pcnet *pcnet = opaque;
    pcnet_write(pcnet, port - pcnet->pci.bar[0].base, size, value);
}

static const struct io_ops pcnet_io = {.widths = 1 | 2 | 4, .read = pcnet_io_read, .write = pcnet_io_write};

static uint64_t pcnet_mmio_read(void *opaque, uint32_t offset, unsigned size)
{
    if (size == 8)
        return pcnet_read(opaque, offset, 4) | (uint64_t)pcnet_read(opaque, offset + 4, 4) << 32;
    return pcnet_read(opaque, offset, size);
}

static void pcnet_mmio_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    pcnet_write(opaque, offset, size < 4 ? size : 4, (uint32_t)value);
    if (size == 8)
        pcnet_write(opaque, offset + 4, 4, (uint32_t)(value >> 32));
}

static const struct mmio_ops pcnet_mmio = {pcnet_mmio_read, pcnet_mmio_write};

/* What waited for the bus goes on when the guest lets it be master. */
static void pcnet_config_written(struct pci_device *dev, uint8_t offset, unsigned size)
{
    struct pcnet *pcnet = dev->opaque;
    if (!(pcnet->regs.csr[0] & CSR0_STOP))
        pci_work_ask(pcnet->work);
}

/* --- The class --- */

static const struct state_field pcnet_fields[] = {
    STATE_FIELD(pcnet_regs, csr),         STATE_FIELD(pcnet_regs, bcr),          STATE_FIELD(pcnet_regs, aprom),
    STATE_FIELD(pcnet_regs, rap),         STATE_FIELD(pcnet_regs, init_pending), STATE_FIELD(pcnet_regs, tx_in_frame),
    STATE_FIELD(pcnet_regs, tx_adds_fcs), STATE_FIELD(pcnet_regs, tx_waits),     STATE_FIELD(pcnet_regs, tx_len),
    STATE_FIELD(pcnet_regs, tx_frame),    STATE_FIELD(pcnet_regs, empty_polls),  STATE_FIELD(pcnet_regs, rx_waits),
    STATE_FIELD(pcnet_regs, rx_misses),   STATE_FIELD(pcnet_regs, rx_until),
};
static const struct state_layout pcnet_layout = STATE_LAYOUT(1, pcnet_regs, pcnet_fields);

static bool pcnet_after_load(void *dev)
{
    struct pcnet *pcnet = dev;
    if ((pcnet->regs.csr[CSR_SWS] & CSR58_STYLE) > 3)
        return false;
    pcnet->regs.rx_until = MIN(pcnet->regs.rx_until, vclock_now() + PCNET_PATIENCE_NS); /* it may come from anybody */
    memcpy(&pcnet->pci.config[0x3e], &pcnet->regs.bcr[BCR_PCILAT], 2);
    pcnet_update_irq(pcnet);
    if (pcnet->regs.csr[0] & CSR0_STOP)
        pci_work_cancel(pcnet->work);
    else
        pci_work_ask(pcnet->work);
    pcnet_update_poll(pcnet);
    netdev_ready(pcnet->netdev);
    return true;
}

static void pcnet_dump(void *dev, GString *out)
{
    const struct pcnet *pcnet = dev;
    const struct pcnet_regs *regs = &pcnet->regs;
    g_string_append_printf(out, "pcnet: csr0 %04x csr3 %04x csr4 %04x csr5 %04x mode %04x style %u%s link %s\n",
                           regs->csr[0], regs->csr[3], regs->csr[4], regs->csr[5], regs->csr[CSR_MODE],
                           regs->csr[CSR_SWS] & CSR58_STYLE, is_dwio(pcnet) ? " dwio" : "",
                           netdev_link_is_up(pcnet->netdev) ? "up" : "down");
    g_string_append_printf(out, "  receive: ring %08x length %u at %08x%s\n", pcnet_csr32(pcnet, CSR_BADR),
                           (uint16_t)-regs->csr[CSR_RCVRL], pcnet_descriptor_at(pcnet, true, 0),
                           regs->rx_waits    ? ", waits"
                           : regs->rx_misses ? ", misses"
                                             : "");
    g_string_append_printf(out, "  transmit: ring %08x length %u at %08x%s\n", pcnet_csr32(pcnet, CSR_BADX),
                           (uint16_t)-regs->csr[CSR_XMTRL], pcnet_descriptor_at(pcnet, false, 0),
                           regs->tx_waits      ? ", waits"
                           : regs->tx_in_frame ? ", in a frame"
                                               : "");
}

struct pcnet_config {
    struct netdev *netdev;
    uint8_t mac[6];
    const struct board_rom *rom;
};

static void *pcnet_create(const struct device_site *site, const void *config, GError **error)
{
    const struct pcnet_config *wanted = config;
    struct pcnet *pcnet = g_new0(struct pcnet, 1);
    struct pci_device *pci = &pcnet->pci;
    pci_device_init(pci, "pcnet", 0x1022, 0x2000, 0x020000, 0x10);
    memset(&pci->config[PCI_SUBSYSTEM], 0, 4); /* the chip has none */
    pci->config[PCI_STATUS] = 0x80;            /* fast back-to-back */
    pci->config[PCI_INTERRUPT_PIN] = 1;
    pci->config[0x3e] = 0x06; /* MIN_GNT, MAX_LAT */
    pci->config[0x3f] = 0xff;
    pci->config_written = pcnet_config_written;
    pci->opaque = pcnet;
    pci_add_io_bar(pci, 0, DECODED, &pcnet_io, pcnet);
    pci_add_mmio_bar(pci, 1, PAGE_SIZE, &pcnet_mmio, pcnet);
    if (!pci_add_rom(pci, wanted->rom, error)) {
        g_free(pcnet);
        return NULL;
    }
    memcpy(pcnet->mac, wanted->mac, 6);
    pcnet->netdev = wanted->netdev;
    pcnet->work = pci_work_new(pci, pcnet_work, pcnet);
    pcnet->pace = vtimer_new(pcnet_pace, pcnet, "pcnet-pace");
    pcnet->poll = vtimer_new(pcnet_poll, pcnet, "pcnet-poll");
    netdev_attach(pcnet->netdev, &pcnet_front, pcnet);
    pci_plug(board_service(site->board, "pci"), pci, (uint8_t)site->unit);
    pcnet_reset(pcnet);
    return pcnet;
}

static void pcnet_destroy(void *dev)
{
    struct pcnet *pcnet = dev;
    netdev_detach(pcnet->netdev);
    pci_work_free(pcnet->work);
    pci_unplug(&pcnet->pci);
    vtimer_free(pcnet->pace);
    vtimer_free(pcnet->poll);
    g_free(pcnet);
}

static const struct property pcnet_properties[] = {
    NIC_PROPERTIES(pcnet_config, "pxe-pcnet.rom"),
    PROPERTY_END,
};

const struct device_class pcnet_class = {
    .name = "pcnet",
    .help = "AMD PCnet-PCI II (Am79C970A) network card",
    .bus = BUS_PCI,
    .properties = pcnet_properties,
    .config_size = sizeof(struct pcnet_config),
    .create = pcnet_create,
    .destroy = pcnet_destroy,
    .reset = pcnet_reset,
    .layout = &pcnet_layout,
    .regs_offset = offsetof(struct pcnet, regs),
    .after_load = pcnet_after_load,
    .dump = pcnet_dump,
};
DEVICE_CLASS(pcnet_class);
