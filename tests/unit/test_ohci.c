/* OHCI 1.0a: registers, root hub, lists, the done queue, errors, lists that are traps, and frames that nobody looks at.
 */
#include "usb_guest.h"
#include "devices/usb/ohci.h"

extern const struct device_class ohci_class;

#define HCCA    0x40000u
#define ED(n)   (0x41000u + 0x20u * (n))
#define TD(n)   (0x42000u + 0x20u * (n))
#define DATA(n) (0x60000u + 0x4000u * (n))

#define OUT      (1u << 19)
#define IN       (2u << 19)
#define ROUNDING (1u << 18)
#define DELAY(n) ((uint32_t)(n) << 21)
#define NEW      0xe0000000u
#define CODE(n)  (word(TD(n))[0] >> 28)

static struct ohci *ohci;
static uint8_t slot = PCI_DEVFN(4, 0);

static struct puppet {
    struct usb_device usb; /* first */
    enum usb_result result;
    unsigned len, packets, resets;
    uint8_t heard[32768];
    uint32_t heard_len;
} puppet;

static enum usb_result puppet_packet(struct usb_device *dev, struct usb_packet *packet)
{
    puppet.packets++;
    if (puppet.result != USB_ACK)
        return puppet.result;
    packet->actual = packet->pid == USB_IN ? MIN(puppet.len, packet->len) : packet->len;
    for (unsigned i = 0; packet->pid == USB_IN && i < packet->actual; i++)
        packet->buffer[i] = (uint8_t)(puppet.heard_len + i + 1);
    if (packet->pid != USB_IN && puppet.heard_len + packet->len <= sizeof(puppet.heard))
        memcpy(puppet.heard + puppet.heard_len, packet->buffer, packet->len);
    puppet.heard_len += packet->actual;
    puppet.len -= packet->pid == USB_IN ? packet->actual : 0;
    return USB_ACK;
}

static void puppet_reset(struct usb_device *dev)
{
    puppet.resets++;
    dev->address = 0;
}

static void free_all(void)
{
    if (puppet.usb.port)
        usb_forget(&puppet.usb);
    if (ohci)
        ohci_class.destroy(ohci);
    ohci = NULL;
    usb_free();
}

static uint32_t hr(unsigned offset)
{
    return (uint32_t)ohci->pci.bar[0].mmio->read(ohci, offset, 4);
}

static void hw(unsigned offset, uint32_t value)
{
    ohci->pci.bar[0].mmio->write(ohci, offset, 4, value);
}

static void setup_bare(void)
{
    static const struct usb_device_ops ops = {.packet = puppet_packet, .reset = puppet_reset};
    static const uint8_t config[8] = {3};
    GError *error = NULL;
    free_all();
    usb_setup_bare(); /* its UHCI stays halted */
    const struct device_site site = {.board = &usb.board, .id = "ohci", .unit = slot};
    usb.bus = NULL;
    ohci = ohci_class.create(&site, config, &error);
    g_assert_no_error(error);
    pci_config_write(usb.pci, slot, PCI_BAR0, 4, 0xe0000000);
    pci_config_write(usb.pci, slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    puppet = (struct puppet){.usb = {.ops = &ops, .product = "puppet", .speeds = 1u << USB_FULL}};
    usb_attach(usb.bus, &puppet.usb, NULL, &error);
    g_assert_no_error(error);
}

static void setup(void)
{
    setup_bare();
    hw(OHCI_HCCA, HCCA);
    hw(OHCI_INTR_ENABLE, OHCI_INT_MIE | OHCI_INT_WDH);
    hw(OHCI_CONTROL, OHCI_RUNS | OHCI_CTL_PLE | OHCI_CTL_CLE | OHCI_CTL_BLE);
    hw(OHCI_RH_PORT, 0x10);
    hw(OHCI_RH_PORT, OHCI_PORT_CHANGES);
    vclock_fake_advance(0);
    puppet.packets = 0;
}

static void put_ed(unsigned n, unsigned packet, uint32_t head, uint32_t tail, uint32_t next)
{
    uint32_t *ed = word(ED(n));
    ed[0] = 1u << 7 | packet << 16; /* endpoint 1 of address 0 */
    ed[1] = tail;
    ed[2] = head;
    ed[3] = next;
}

static void td_put(unsigned n, uint32_t flags, uint32_t next, uint32_t buffer, uint32_t len)
{
    uint32_t *td = word(TD(n));
    td[0] = flags | NEW;
    td[1] = len ? buffer : 0;
    td[2] = next;
    td[3] = len ? buffer + len - 1 : 0;
}

static void run_bulk(unsigned ed)
{
    hw(OHCI_BULK_HEAD, ED(ed));
    hw(OHCI_COMMAND_STATUS, OHCI_CMD_BLF);
    frames_pass(4);
}

static uint32_t done(void)
{
    return word(HCCA)[0x84 / 4];
}

static void test_registers(void)
{
    setup_bare();
    g_assert_cmphex(pci_config_read(usb.pci, slot, 0, 4), ==, 0x003f106b);
    g_assert_cmphex(pci_config_read(usb.pci, slot, 8, 4) >> 8, ==, 0x0c0310);
    g_assert_cmphex(hr(OHCI_REVISION), ==, 0x10);
    g_assert_cmphex(hr(OHCI_RH_A) & 0xff, ==, 3);
    g_assert_cmphex(hr(OHCI_FM_INTERVAL), ==, 0x27782edf);
    hw(OHCI_CONTROL, OHCI_RUNS | 0x300);
    hw(OHCI_COMMAND_STATUS, OHCI_CMD_HCR);
    g_assert_cmphex(hr(OHCI_CONTROL), ==, OHCI_SUSPEND | 0x300);
    g_assert_cmphex(hr(OHCI_COMMAND_STATUS), ==, 0);
    hw(OHCI_INTR_ENABLE, 0x8000007f);
    hw(OHCI_INTR_DISABLE, 0x0f);
    g_assert_cmphex(hr(OHCI_INTR_ENABLE), ==, 0x80000070);
    hw(OHCI_HCCA, 0x12345678);
    g_assert_cmphex(hr(OHCI_HCCA), ==, 0x12345600);
    g_assert_cmphex(hr(OHCI_RH_PORT + 12), ==, 0);
}

static void test_root_hub(void)
{
    setup_bare();
    g_assert_cmphex(hr(OHCI_RH_PORT), ==, OHCI_PORT_PPS | OHCI_PORT_CCS | OHCI_PORT_CSC);
    hw(OHCI_RH_PORT, OHCI_PORT_CSC);
    hw(OHCI_RH_PORT, 0x10);
    g_assert_cmpuint(puppet.resets, ==, 1);
    g_assert_cmphex(hr(OHCI_RH_PORT), ==, OHCI_PORT_PPS | OHCI_PORT_CCS | OHCI_PORT_PES | OHCI_PORT_PRSC);
    hw(OHCI_RH_PORT, OHCI_PORT_PRSC | 0x04);
    g_assert_true(hr(OHCI_RH_PORT) & OHCI_PORT_PSS);
    usb_wakeup(&puppet.usb, 1, true);
    g_assert_cmphex(hr(OHCI_RH_PORT) & (OHCI_PORT_PSS | OHCI_PORT_PSSC), ==, OHCI_PORT_PSSC);
    hw(OHCI_RH_PORT, 0x01 | OHCI_PORT_PSSC);
    g_assert_cmphex(hr(OHCI_RH_PORT), ==, OHCI_PORT_PPS | OHCI_PORT_CCS);
    hw(OHCI_RH_PORT, 0x02);
    usb_detach(&puppet.usb);
    g_assert_cmphex(hr(OHCI_RH_PORT), ==, OHCI_PORT_PPS | OHCI_PORT_CSC | OHCI_PORT_PESC);
    g_assert_true(hr(OHCI_INTR_STATUS) & OHCI_INT_RHSC);
}

static void test_frames(void)
{
    setup();
    uint32_t first = hr(OHCI_FM_NUMBER);
    frames_pass(10);
    g_assert_cmpuint(hr(OHCI_FM_NUMBER), ==, first + 10);
    g_assert_cmpuint(word(HCCA)[0x80 / 4], ==, first + 10);
    frames_pass(2000);
    g_assert_cmpuint(hr(OHCI_FM_NUMBER), ==, first + 2010);
    uint64_t before = ohci->walks;
    hw(OHCI_INTR_ENABLE, OHCI_INT_SF); /* an interrupt with each: none is late */
    frames_pass(1000);
    g_assert_cmpuint(ohci->walks - before, >=, 1000);
    g_assert_true(usb.irq.level);
}

static void test_bulk_out(void)
{
    setup();
    uint32_t at = DATA(0) + 0xf9c; /* over the end of a page, in the middle of a packet */
    for (unsigned i = 0; i < 600; i++)
        guest_mem.ram[at + i] = (uint8_t)(i * 5);
    puppet.result = USB_ACK;
    td_put(0, OUT | DELAY(0), TD(1), at, 600);
    put_ed(0, 64, TD(0), TD(1), 0);
    run_bulk(0);
    g_assert_cmpuint(puppet.packets, ==, 10);
    g_assert_cmpmem(puppet.heard, puppet.heard_len, guest_mem.ram + at, 600);
    g_assert_cmphex(CODE(0), ==, 0);
    g_assert_cmphex(word(TD(0))[1], ==, 0);
    g_assert_cmphex(word(ED(0))[2] & ~3u, ==, TD(1));
    g_assert_cmphex(done() & ~1u, ==, TD(0));
    g_assert_true(usb.irq.level);
    g_assert_false(hr(OHCI_COMMAND_STATUS) & OHCI_CMD_BLF);
    /* Until that is answered the next ones wait. */
    word(HCCA)[0x84 / 4] = 0;
    td_put(1, OUT | DELAY(0), TD(2), at, 10);
    word(ED(0))[1] = TD(2);
    run_bulk(0);
    g_assert_cmphex(done(), ==, 0);
    hw(OHCI_INTR_STATUS, OHCI_INT_WDH);
    frames_pass(2);
    g_assert_cmphex(done() & ~1u, ==, TD(1));
}

/* One TD after the other, each put there when the one before it has been told: a frame each, as WDH comes at a frame's
 * end (6.4.4) and so the next TD is never wanted earlier than in the frame after it. */
static void test_one_after_the_other(void)
{
    setup();
    puppet.result = USB_ACK;
    put_ed(0, 64, TD(0), TD(0), 0);
    hw(OHCI_BULK_HEAD, ED(0));
    frames_pass(1);
    int64_t begin = vclock_now();
    for (unsigned n = 0; n < 16; n++) {
        td_put(n, OUT | DELAY(0), TD(n + 1), DATA(0), 64);
        word(ED(0))[1] = TD(n + 1);
        hw(OHCI_COMMAND_STATUS, OHCI_CMD_BLF);
        while (!usb.irq.level) {
            g_assert_cmpint(vclock_now() - begin, <=, 17 * MS);
            vclock_fake_advance(10000);
        }
        g_assert_cmphex(CODE(n), ==, 0);
        hw(OHCI_INTR_STATUS, OHCI_INT_WDH);
        vclock_fake_advance(300000); /* the driver thinks */
    }
}

static void test_short_and_errors(void)
{
    static const struct {
        enum usb_result result;
        uint32_t flags;
        unsigned len, code;
        bool halted;
    } cases[] = {{USB_ACK, ROUNDING, 20, 0, false},
                 {USB_ACK, 0, 20, 9, true},
                 {USB_STALL, 0, 0, 4, true},
                 {USB_BABBLE, 0, 0, 8, true},
                 {USB_NONE, 0, 0, 5, true}};
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        setup();
        puppet.result = cases[i].result;
        puppet.len = cases[i].len;
        td_put(0, IN | cases[i].flags | DELAY(7), TD(1), DATA(0), 64);
        put_ed(0, 64, TD(0), TD(1), 0);
        run_bulk(0);
        g_assert_cmpuint(CODE(0), ==, cases[i].code);
        g_assert_cmpint(word(ED(0))[2] & 1, ==, cases[i].halted);
        if (cases[i].len)
            g_assert_cmphex(word(TD(0))[1], ==, DATA(0) + 20);
        /* No interrupt was wanted, but errors are always told. */
        g_assert_cmphex(done() & ~1u, ==, cases[i].code ? TD(0) : 0);
    }
}

static void test_periodic_and_idle(void)
{
    setup();
    puppet.result = USB_NAK;
    td_put(0, IN | DELAY(0), TD(1), DATA(0), 8);
    put_ed(1, 8, TD(0), TD(1), 0);
    for (unsigned i = 0; i < 32; i += 8)
        word(HCCA)[i] = ED(1);
    frames_pass(2000);
    uint64_t work = puppet.packets;
    frames_pass(80);
    g_assert_cmpuint(puppet.packets - work, >=, 6);
    g_assert_cmpuint(puppet.packets - work, <=, 14);
    puppet.result = USB_ACK;
    puppet.len = 5;
    usb_wakeup(&puppet.usb, 1, false);
    frames_pass(9);
    g_assert_cmpuint(CODE(0), ==, 9);
    /* And the bulk list, of which a device says NAK. */
    setup();
    puppet.result = USB_NAK;
    td_put(0, IN | DELAY(0), TD(1), DATA(0), 64);
    put_ed(0, 64, TD(0), TD(1), 0);
    run_bulk(0);
    frames_pass(2000);
    g_assert_true(hr(OHCI_COMMAND_STATUS) & OHCI_CMD_BLF);
    puppet.result = USB_ACK;
    puppet.len = 64;
    usb_wakeup(&puppet.usb, 1, false);
    vclock_fake_advance(MS);
    g_assert_cmpuint(CODE(0), ==, 0);
}

static void test_traps(void)
{
    setup();
    puppet.result = USB_ACK;
    td_put(0, OUT, TD(0), DATA(0), 0); /* TDs and EDs that go round */
    put_ed(0, 64, TD(0), TD(1), ED(0));
    run_bulk(0);
    for (unsigned i = 0; i < 32; i++)
        word(HCCA)[i] = ED(0);
    frames_pass(50);
    unsigned before = puppet.packets;
    frames_pass(1);
    g_assert_cmpuint(puppet.packets - before, <, 600);
    hw(OHCI_HCCA, 0xf0000000);
    hw(OHCI_BULK_HEAD, 0xfffffff0);
    run_bulk(0);
    GRand *random = g_rand_new_with_seed(77);
    hw(OHCI_HCCA, HCCA);
    for (unsigned round = 0; round < 3000; round++) {
        for (unsigned i = 0; i < 48; i++)
            word(HCCA + (g_rand_int(random) & 0x27fc))[0] =
                g_rand_int(random) & 1 ? g_rand_int(random) : (HCCA + (g_rand_int(random) & 0x27f0));
        puppet.result = (enum usb_result)g_rand_int_range(random, USB_ACK, USB_ASYNC);
        puppet.len = UINT_MAX;
        hw(g_rand_int(random) & 1 ? OHCI_BULK_HEAD : OHCI_CONTROL_HEAD, HCCA + (g_rand_int(random) & 0x27f0));
        hw(OHCI_COMMAND_STATUS, 6);
        hw(OHCI_INTR_STATUS, g_rand_int(random) & 0x7f);
        frames_pass(2);
    }
    g_rand_free(random);
}

static void test_state(void)
{
    setup();
    puppet.result = USB_NAK;
    td_put(0, IN | DELAY(0), TD(1), DATA(0), 64);
    put_ed(0, 64, TD(0), TD(1), 0);
    run_bulk(0);
    GByteArray *blob = g_byte_array_new(), *again = g_byte_array_new();
    device_save(&ohci_class, ohci, blob);
    hw(OHCI_COMMAND_STATUS, OHCI_CMD_HCR);
    g_assert_true(device_load(&ohci_class, ohci, blob->data, blob->len));
    device_save(&ohci_class, ohci, again);
    g_assert_cmpmem(blob->data, blob->len, again->data, again->len);
    puppet.result = USB_ACK;
    puppet.len = 64;
    frames_pass(33);
    g_assert_cmpuint(CODE(0), ==, 0);
    GRand *random = g_rand_new_with_seed(5);
    for (unsigned i = 0; i < 3000; i++) {
        guint8 *bytes = g_memdup2(blob->data, blob->len);
        for (unsigned n = 0; n < 3; n++)
            bytes[g_rand_int_range(random, 0, (gint32)blob->len)] = (uint8_t)g_rand_int(random);
        device_load(&ohci_class, ohci, bytes, blob->len);
        frames_pass(3);
        g_free(bytes);
    }
    g_rand_free(random);
    g_byte_array_unref(blob);
    g_byte_array_unref(again);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ohci/registers", test_registers);
    g_test_add_func("/ohci/root_hub", test_root_hub);
    g_test_add_func("/ohci/frames", test_frames);
    g_test_add_func("/ohci/bulk_out", test_bulk_out);
    g_test_add_func("/ohci/one_after_the_other", test_one_after_the_other);
    g_test_add_func("/ohci/short_and_errors", test_short_and_errors);
    g_test_add_func("/ohci/periodic_and_idle", test_periodic_and_idle);
    g_test_add_func("/ohci/traps", test_traps);
    g_test_add_func("/ohci/state", test_state);
    int rc = g_test_run();
    free_all();
    return rc;
}
