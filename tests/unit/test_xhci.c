/* xHCI 1.1: registers, ports, commands, transfers, events, and rings that are traps. */
#include "usb_guest.h"
#include "devices/usb/xhci.h"

extern const struct device_class qemu_xhci_class;

#define MMIO     0xe0000000u
#define DCBAA    0x40000u
#define COMMANDS 0x41000u
#define ERST     0x42000u
#define EVENTS   0x43000u
#define EVENTS_N 32u
#define OUTPUT   0x44000u
#define INPUT    0x45000u
#define RING(n)  (0x50000u + 0x1000u * (n)) /* by DCI */
#define DATA     0x60000u

#define TYPE(n) ((uint32_t)(n) << 10)
#define IOC     0x20u
#define CHAIN   0x10u
#define ISP     0x04u
#define IDT     0x40u
#define DIR_IN  0x10000u

static struct xhci *xhci;
static uint8_t slot_at = PCI_DEVFN(4, 0);
static unsigned commands, events, ring_at[32];
static bool event_cycle;

/* --- A device that does what a test says --- */

static struct puppet {
    struct usb_device usb; /* first */
    enum usb_result result;
    unsigned len, packets, resets;
    uint8_t setup[8], heard[8192];
    uint32_t heard_len;
} puppet;

static enum usb_result puppet_packet(struct usb_device *dev, struct usb_packet *packet)
{
    puppet.packets++;
    if (puppet.result != USB_ACK)
        return puppet.result;
    packet->actual = packet->len;
    if (packet->pid == USB_SETUP) {
        memcpy(puppet.setup, packet->buffer, 8);
        if (puppet.setup[1] == 5)
            dev->address = puppet.setup[2];
    } else if (packet->pid == USB_IN) {
        packet->actual = MIN(puppet.len, packet->len);
        for (unsigned i = 0; i < packet->actual; i++)
            packet->buffer[i] = (uint8_t)(puppet.heard_len + i + 1);
        puppet.heard_len += packet->actual;
        puppet.len -= packet->actual;
    } else if (puppet.heard_len + packet->len <= sizeof(puppet.heard)) {
        memcpy(puppet.heard + puppet.heard_len, packet->buffer, packet->len);
        puppet.heard_len += packet->len;
    }
    return USB_ACK;
}

static void puppet_reset(struct usb_device *dev)
{
    puppet.resets++;
    dev->address = 0;
}

static void plug_puppet(void)
{
    static const struct usb_device_ops ops = {.packet = puppet_packet, .reset = puppet_reset};
    GError *error = NULL;
    puppet = (struct puppet){.usb = {.ops = &ops, .product = "puppet", .speeds = 1u << USB_HIGH}};
    usb_attach(usb.bus, &puppet.usb, NULL, &error);
    g_assert_no_error(error);
}

/* --- The controller --- */

static uint32_t xr(unsigned offset)
{
    return (uint32_t)xhci->pci.bar[0].mmio->read(xhci, offset, 4);
}

static void xw(unsigned offset, uint32_t value)
{
    xhci->pci.bar[0].mmio->write(xhci, offset, 4, value);
    vclock_fake_advance(0);
}

static void free_all(void)
{
    if (puppet.usb.port)
        usb_forget(&puppet.usb);
    if (xhci)
        qemu_xhci_class.destroy(xhci);
    xhci = NULL;
    usb_free();
}

static void setup(void)
{
    static const struct {
        uint32_t p2, p3;
    } config = {4, 4};
    GError *error = NULL;
    free_all();
    usb_setup_bare();
    const struct device_site site = {.board = &usb.board, .id = "xhci", .unit = slot_at};
    usb.bus = NULL;
    xhci = qemu_xhci_class.create(&site, &config, &error);
    g_assert_no_error(error);
    pci_config_write(usb.pci, slot_at, PCI_BAR0, 4, MMIO);
    pci_config_write(usb.pci, slot_at, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    memset(guest_mem.ram + DCBAA, 0, 0x30000);
    commands = events = 0;
    memset(ring_at, 0, sizeof(ring_at));
    event_cycle = true;
    word(DCBAA)[2] = OUTPUT;
    word(ERST)[0] = EVENTS;
    word(ERST)[2] = EVENTS_N;
}

static void start(void)
{
    xw(XHCI_DCBAAP, DCBAA);
    xw(XHCI_CRCR, COMMANDS | 1);
    xw(XHCI_ERSTSZ, 1);
    xw(XHCI_ERDP, EVENTS);
    xw(XHCI_ERSTBA, ERST);
    xw(XHCI_CONFIG, XHCI_SLOTS);
    xw(XHCI_IMAN, XHCI_IMAN_IE);
    xw(XHCI_USBCMD, XHCI_CMD_RS | XHCI_CMD_INTE);
}

/* The next event; NULL: there is none. The guest has seen it. */
static const uint32_t *event(void)
{
    const uint32_t *trb = word(EVENTS + 16 * events);
    vclock_fake_advance(0);
    if ((trb[3] & 1) != event_cycle)
        return NULL;
    if (++events == EVENTS_N) {
        events = 0;
        event_cycle = !event_cycle;
    }
    xw(XHCI_ERDP, (EVENTS + 16 * events) | XHCI_ERDP_EHB);
    return trb;
}

static void expect_event(unsigned type, unsigned code, uint32_t parameter)
{
    const uint32_t *trb = event();
    g_assert_nonnull(trb);
    g_assert_cmpuint(trb[3] >> 10 & 0x3f, ==, type);
    g_assert_cmpuint(trb[2] >> 24, ==, code);
    g_assert_cmphex(trb[0], ==, parameter);
}

static void put(uint32_t at, uint64_t parameter, uint32_t status, uint32_t control)
{
    uint32_t *trb = word(at);
    trb[0] = (uint32_t)parameter;
    trb[1] = (uint32_t)(parameter >> 32);
    trb[2] = status;
    trb[3] = control | 1;
}

/* Its completion code. */
static unsigned command(uint64_t parameter, uint32_t control)
{
    uint32_t at = COMMANDS + 16 * commands++;
    put(at, parameter, 0, control);
    xw(XHCI_DOORBELL, 0);
    const uint32_t *trb = event();
    g_assert_nonnull(trb);
    g_assert_cmpuint(trb[3] >> 10 & 0x3f, ==, 33);
    g_assert_cmphex(trb[0], ==, at);
    return trb[2] >> 24;
}

static uint32_t queue(unsigned dci, uint64_t parameter, uint32_t status, uint32_t control)
{
    uint32_t at = RING(dci) + 16 * ring_at[dci]++;
    put(at, parameter, status, control);
    return at;
}

static void ring_bell(unsigned dci)
{
    xw(XHCI_DOORBELL + 4, dci);
}

static void put_endpoint(unsigned dci, unsigned type, unsigned packet)
{
    uint32_t *ep = word(INPUT + 32 * (dci + 1));
    ep[1] = 3u << 1 | type << 3 | packet << 16;
    ep[2] = RING(dci) | 1;
}

/* Slot 1 with an address, and bulk endpoints 1 IN and 2 OUT. */
static void setup_device(void)
{
    setup();
    plug_puppet();
    start();
    expect_event(34, 1, 1u << 24);
    xw(XHCI_PORTSC, XHCI_PORT_PP | XHCI_PORT_CSC | XHCI_PORT_PR);
    expect_event(34, 1, 1u << 24);
    xw(XHCI_PORTSC, XHCI_PORT_PP | XHCI_PORT_PRC);
    g_assert_cmpuint(command(0, TYPE(9)), ==, 1);
    word(INPUT)[1] = 3;
    word(INPUT + 32)[0] = 1u << 27 | 3u << 20;
    word(INPUT + 32)[1] = 1u << 16;
    put_endpoint(1, 4, 64);
    g_assert_cmpuint(command(INPUT, TYPE(11) | 1u << 24), ==, 1);
    word(INPUT)[1] = 1 | 1u << 3 | 1u << 4;
    word(INPUT + 32)[0] = 4u << 27 | 3u << 20;
    put_endpoint(3, 6, 512);
    put_endpoint(4, 2, 512);
    g_assert_cmpuint(command(INPUT, TYPE(12) | 1u << 24), ==, 1);
}

static void test_capabilities(void)
{
    setup();
    g_assert_cmphex(xr(XHCI_CAPLENGTH), ==, 0x01000040);
    g_assert_cmphex(xr(XHCI_HCSPARAMS1), ==, 8u << 24 | 1u << 8 | XHCI_SLOTS);
    uint32_t at = xr(XHCI_HCCPARAMS1) >> 16 << 2;
    g_assert_cmphex(xr(at), ==, 0x02000402);
    g_assert_cmphex(xr(at + 8), ==, 4u << 8 | 1);
    g_assert_cmphex(xr(at + 16), ==, 0x03000002);
    g_assert_cmphex(xr(at + 24), ==, 4u << 8 | 5);
    g_assert_cmphex(xr(XHCI_USBSTS), ==, XHCI_STS_HCH);
}

static void test_port(void)
{
    setup();
    start();
    plug_puppet();
    g_assert_cmphex(xr(XHCI_PORTSC), ==, XHCI_PORT_CCS | 7u << 5 | XHCI_PORT_PP | 3u << 10 | XHCI_PORT_CSC);
    g_assert_cmphex(xr(XHCI_PORTSC + 0x40) & XHCI_PORT_CCS, ==, 0);
    expect_event(34, 1, 1u << 24);
    xw(XHCI_PORTSC, XHCI_PORT_PP | XHCI_PORT_PR);
    g_assert_cmpuint(puppet.resets, ==, 1);
    g_assert_cmphex(xr(XHCI_PORTSC) & (XHCI_PORT_PED | XHCI_PORT_PLS | XHCI_PORT_PRC), ==,
                    XHCI_PORT_PED | XHCI_PORT_PRC);
    usb_detach(&puppet.usb);
    vclock_fake_advance(0);
    g_assert_cmphex(xr(XHCI_PORTSC) & (XHCI_PORT_CCS | XHCI_PORT_PED), ==, 0);
}

static void test_interrupt(void)
{
    setup();
    start();
    g_assert_false(xhci->pci.intx);
    put(COMMANDS, 0, 0, TYPE(23));
    xw(XHCI_DOORBELL, 0);
    g_assert_true(xhci->pci.intx);
    xw(XHCI_IMAN, XHCI_IMAN_IE | XHCI_IMAN_IP);
    g_assert_false(xhci->pci.intx);
    xw(XHCI_ERDP, EVENTS | XHCI_ERDP_EHB); /* not all was seen */
    g_assert_true(xhci->pci.intx);
    xw(XHCI_IMAN, XHCI_IMAN_IE | XHCI_IMAN_IP);
    expect_event(33, 1, COMMANDS);
    g_assert_false(xhci->pci.intx);
}

static void test_commands(void)
{
    setup_device();
    g_assert_cmpuint(puppet.usb.address, ==, 1);
    g_assert_cmphex(word(OUTPUT)[3], ==, 3u << 27 | 1);
    g_assert_cmphex(word(OUTPUT + 32 * 3)[0] & 7, ==, 1);
    g_assert_cmpuint(command(0, TYPE(23)), ==, 1);
    g_assert_cmpuint(command(0, TYPE(10) | 2u << 24), ==, 11);
    g_assert_cmpuint(command(0, TYPE(15) | 1u << 24 | 3u << 16), ==, 1);
    g_assert_cmphex(word(OUTPUT + 32 * 3)[0] & 7, ==, 3);
    g_assert_cmpuint(command(0, TYPE(15) | 1u << 24 | 3u << 16), ==, 19);
    g_assert_cmpuint(command(0, TYPE(14) | 1u << 24 | 3u << 16), ==, 19);
    g_assert_cmpuint(command(0, TYPE(63) | 1u << 24), ==, 5);
    g_assert_cmpuint(command(0, TYPE(10) | 1u << 24), ==, 1);
    g_assert_cmpuint(command(INPUT, TYPE(11) | 1u << 24), ==, 11);
}

static void test_control(void)
{
    setup_device();
    puppet.len = 18;
    queue(1, 0x0012000001000680ull, 8, TYPE(2) | IDT | 3u << 16);
    queue(1, DATA, 18, TYPE(3) | DIR_IN);
    uint32_t at = queue(1, 0, 0, TYPE(4) | IOC);
    ring_bell(1);
    expect_event(32, 1, at);
    g_assert_cmpuint(puppet.setup[1], ==, 6);
    g_assert_cmpuint(guest_mem.ram[DATA + 17], ==, 18);
    g_assert_null(event());
}

static void test_bulk_chain_and_short(void)
{
    setup_device();
    puppet.len = 700 + 1300;
    queue(3, DATA, 300, TYPE(1) | CHAIN);
    queue(3, DATA + 0x1000, 400, TYPE(1) | IOC);
    uint32_t first = RING(3) + 16;
    uint32_t at = queue(3, DATA + 0x2000, 4096, TYPE(1) | IOC | ISP);
    ring_bell(3);
    expect_event(32, 1, first);
    const uint32_t *trb = event();
    g_assert_cmphex(trb[0], ==, at);
    g_assert_cmpuint(trb[2] >> 24, ==, 13);
    g_assert_cmpuint(trb[2] & 0xffffff, ==, 4096 - 1300);
    g_assert_cmpuint(guest_mem.ram[DATA], ==, 1);
    g_assert_cmpuint(guest_mem.ram[DATA + 0x1000], ==, (uint8_t)301);
    g_assert_cmpuint(guest_mem.ram[DATA + 0x2000], ==, (uint8_t)701);
    for (unsigned i = 0; i < 1000; i++)
        guest_mem.ram[DATA + i] = (uint8_t)(i * 7);
    puppet.heard_len = 0;
    at = queue(4, DATA, 1000, TYPE(1) | IOC);
    ring_bell(4);
    expect_event(32, 1, at);
    g_assert_cmpmem(puppet.heard, puppet.heard_len, guest_mem.ram + DATA, 1000);
}

/* Behind a link that toggles the cycle what has the other cycle bit counts. */
static void test_link(void)
{
    setup_device();
    puppet.len = 100;
    uint32_t first = queue(3, DATA, 8, TYPE(1) | IOC);
    queue(3, RING(3), 0, TYPE(6) | 2);
    ring_bell(3);
    expect_event(32, 1, first);
    put(RING(3), DATA + 8, 8, TYPE(1) | IOC);
    ring_bell(3);
    g_assert_null(event());
    word(RING(3))[3] &= ~1u;
    ring_bell(3);
    expect_event(32, 1, first);
    g_assert_cmpuint(guest_mem.ram[DATA + 8], ==, 9);
}

/* A device that is not ready is asked again when it says so, and not before. */
static void test_nak_and_wakeup(void)
{
    setup_device();
    puppet.result = USB_NAK;
    uint32_t at = queue(3, DATA, 8, TYPE(1) | IOC);
    ring_bell(3);
    unsigned asked = puppet.packets;
    vclock_fake_advance(1000000000);
    g_assert_cmpuint(puppet.packets, ==, asked);
    g_assert_null(event());
    puppet.result = USB_ACK;
    puppet.len = 8;
    usb_wakeup(&puppet.usb, 1, false);
    vclock_fake_advance(0);
    expect_event(32, 1, at);
}

static void test_stall(void)
{
    setup_device();
    puppet.result = USB_STALL;
    uint32_t at = queue(3, DATA, 8, TYPE(1) | IOC), next = queue(3, DATA, 8, TYPE(1) | IOC);
    ring_bell(3);
    expect_event(32, 6, at);
    g_assert_cmphex(word(OUTPUT + 32 * 3)[0] & 7, ==, 2);
    puppet.result = USB_ACK;
    puppet.len = 8;
    ring_bell(3);
    g_assert_null(event());
    g_assert_cmpuint(command(0, TYPE(14) | 1u << 24 | 3u << 16), ==, 1);
    g_assert_cmpuint(command(next | 1, TYPE(16) | 1u << 24 | 3u << 16), ==, 1);
    ring_bell(3);
    expect_event(32, 1, next);
}

static void test_unplugged(void)
{
    setup_device();
    usb_detach(&puppet.usb);
    vclock_fake_advance(0);
    expect_event(34, 1, 1u << 24);
    uint32_t at = queue(3, DATA, 8, TYPE(1) | IOC);
    ring_bell(3);
    expect_event(32, 4, at);
}

/* Events for which there is no room wait until there is some. */
static void test_event_ring_is_full(void)
{
    setup();
    start();
    for (unsigned i = 0; i < 60; i++)
        put(COMMANDS + 16 * i, 0, 0, TYPE(23));
    xw(XHCI_DOORBELL, 0);
    for (unsigned i = 0; i < 60; i++)
        expect_event(33, 1, COMMANDS + 16 * i);
    g_assert_null(event());
}

/* Links that lead to themselves, chains without an end: nothing hangs, and the rest goes on. */
static void test_traps(void)
{
    setup_device();
    queue(3, RING(3), 0, TYPE(6));
    ring_bell(3);
    for (unsigned i = 0; i < 300; i++)
        queue(4, DATA, 512, TYPE(1) | CHAIN);
    ring_bell(4);
    g_assert_null(event());
    g_assert_cmpuint(command(0, TYPE(23)), ==, 1);
}

static void test_save_and_load(void)
{
    setup_device();
    puppet.result = USB_NAK;
    uint32_t at = queue(3, DATA, 8, TYPE(1) | IOC);
    ring_bell(3);
    struct xhci_regs saved = xhci->regs;
    qemu_xhci_class.before_load(xhci);
    memset(&xhci->regs, 0, sizeof(saved));
    xhci->regs = saved;
    g_assert_true(qemu_xhci_class.after_load(xhci));
    puppet.result = USB_ACK;
    puppet.len = 8;
    usb_wakeup(&puppet.usb, 1, false);
    vclock_fake_advance(0);
    expect_event(32, 1, at);
    xhci->regs.slot_port[1] = 100;
    g_assert_false(qemu_xhci_class.after_load(xhci));
}

/* Anything in memory and registers. */
static void test_storm(void)
{
    GRand *rand = g_rand_new_with_seed(1);
    for (unsigned round = 0; round < 200; round++) {
        setup_device();
        for (unsigned i = 0; i < 300; i++) {
            uint32_t at = DCBAA + 4 * (uint32_t)g_rand_int_range(rand, 0, 0x5000);
            uint32_t value = g_rand_int_range(rand, 0, 3) ? g_rand_int(rand)
                                                          : DCBAA + 16 * (uint32_t)g_rand_int_range(rand, 0, 0x2000);
            if (g_rand_int_range(rand, 0, 2))
                value = TYPE(g_rand_int_range(rand, 0, 40)) | 1u << 24 | (g_rand_int(rand) & 0x1f0037);
            *word(at) = value;
            if (g_rand_int_range(rand, 0, 4) == 0)
                xw(4 * (uint32_t)g_rand_int_range(rand, 0, XHCI_BAR / 4), value & ~XHCI_CMD_HCRST);
            if (g_rand_int_range(rand, 0, 3) == 0)
                xw(XHCI_DOORBELL + 4 * (uint32_t)g_rand_int_range(rand, 0, 3), (uint32_t)g_rand_int_range(rand, 0, 6));
            puppet.result = (enum usb_result)g_rand_int_range(rand, 0, 5);
            puppet.len = 1000;
            if (g_rand_int_range(rand, 0, 5) == 0)
                puppet.heard_len = 0;
        }
    }
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xhci/capabilities", test_capabilities);
    g_test_add_func("/xhci/port", test_port);
    g_test_add_func("/xhci/interrupt", test_interrupt);
    g_test_add_func("/xhci/commands", test_commands);
    g_test_add_func("/xhci/control", test_control);
    g_test_add_func("/xhci/bulk_chain_and_short", test_bulk_chain_and_short);
    g_test_add_func("/xhci/link", test_link);
    g_test_add_func("/xhci/nak_and_wakeup", test_nak_and_wakeup);
    g_test_add_func("/xhci/stall", test_stall);
    g_test_add_func("/xhci/unplugged", test_unplugged);
    g_test_add_func("/xhci/event_ring_is_full", test_event_ring_is_full);
    g_test_add_func("/xhci/traps", test_traps);
    g_test_add_func("/xhci/save_and_load", test_save_and_load);
    g_test_add_func("/xhci/storm", test_storm);
    int rc = g_test_run();
    free_all();
    return rc;
}
