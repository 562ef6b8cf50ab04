/* EHCI 1.0: registers, port routing, both schedules, errors, schedules that are traps, and time that nobody looks at.
 */
#include "usb_guest.h"
#include "devices/usb/ehci.h"

extern const struct device_class usb_ehci_class, ich9_ehci_class, ich9_uhci1_class, usb_tablet_class;

#define MMIO     0xe0000000u
#define LIST     0x40000u /* periodic frame list */
#define HEAD     0x50000u /* the head of the asynchronous list */
#define QUEUE(n) (0x50100u + 0x80u * (n))
#define QTD(n)   (0x52000u + 0x40u * (n))
#define DATA(n)  (0x60000u + 0x8000u * (n))
#define T        1u
#define QH       2u

#define ACTIVE 0x80u
#define HALTED 0x40u
#define IN     (1u << 8)
#define SETUP  (2u << 8)
#define CERR   (3u << 10)
#define IOC    (1u << 15)

static struct ehci *ehci;
static uint8_t slot = PCI_DEVFN(4, 7);

/* --- A device that does what a test says --- */

static struct puppet {
    struct usb_device usb; /* first */
    enum usb_result result;
    unsigned len, packets, resets; /* len: of what it sends */
    uint8_t heard[32768];
    uint32_t heard_len;
} puppet;

static enum usb_result puppet_packet(struct usb_device *dev, struct usb_packet *packet)
{
    puppet.packets++;
    if (puppet.result != USB_ACK)
        return puppet.result;
    packet->actual = packet->len;
    if (packet->pid == USB_IN) {
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

static void plug_puppet(uint8_t speeds)
{
    static const struct usb_device_ops ops = {.packet = puppet_packet, .reset = puppet_reset};
    GError *error = NULL;
    puppet = (struct puppet){.usb = {.ops = &ops, .product = "puppet", .speeds = speeds}};
    usb_attach(usb.bus, &puppet.usb, NULL, &error);
    g_assert_no_error(error);
}

/* --- The controller --- */

static uint32_t er(unsigned offset)
{
    return (uint32_t)ehci->pci.bar[0].mmio->read(ehci, offset, 4);
}

static void ew(unsigned offset, uint32_t value)
{
    ehci->pci.bar[0].mmio->write(ehci, offset, 4, value);
}

static void free_all(void)
{
    if (puppet.usb.port)
        usb_forget(&puppet.usb);
    while (usb.devices > 0) {
        usb.devices--;
        usb.class[usb.devices]->destroy(usb.device[usb.devices]);
    }
    if (ehci)
        usb_ehci_class.destroy(ehci);
    ehci = NULL;
    usb_free();
}

static void setup_bare(const struct device_class *class)
{
    GError *error = NULL;
    free_all();
    usb_setup_bare(); /* its UHCI stays halted, with the first bus */
    const struct device_site site = {.board = &usb.board, .id = "ehci", .unit = slot};
    usb.bus = NULL;
    ehci = class->create(&site, NULL, &error);
    g_assert_no_error(error);
    pci_config_write(usb.pci, slot, PCI_BAR0, 4, MMIO);
    pci_config_write(usb.pci, slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    for (unsigned i = 0; i < 1024; i++)
        word(LIST)[i] = T;
    /* A list of its head alone. */
    memset(guest_mem.ram + HEAD, 0, 0x80);
    word(HEAD)[0] = HEAD | QH;
    word(HEAD)[1] = 0x8000 | 2u << 12 | 64u << 16;
    word(HEAD)[4] = word(HEAD)[5] = T;
    word(HEAD)[6] = HALTED;
}

static void start(uint32_t schedules)
{
    ew(EHCI_PERIODIC, LIST);
    ew(EHCI_ASYNC, HEAD);
    ew(EHCI_USBCMD, EHCI_CMD_RS | schedules);
    ew(EHCI_CONFIGFLAG, 1);
    vclock_fake_advance(0);
}

static void start_port(unsigned n)
{
    ew(EHCI_PORTSC + 4 * n, EHCI_PORT_PP | EHCI_PORT_PR | EHCI_PORT_CSC);
    ew(EHCI_PORTSC + 4 * n, EHCI_PORT_PP);
    vclock_fake_advance(0);
}

static void put_qtd(unsigned n, uint32_t next, uint32_t alternate, uint32_t token, uint32_t len, uint32_t buffer)
{
    uint32_t *qtd = word(QTD(n));
    qtd[0] = next;
    qtd[1] = alternate;
    qtd[2] = token | len << 16;
    for (unsigned i = 0; i < 5; i++)
        qtd[3 + i] = i == 0 ? buffer : (buffer & ~0xfffu) + 0x1000 * i;
}

static uint32_t token_of(unsigned n)
{
    return word(QTD(n))[2];
}

static void put_queue(unsigned n, uint32_t link, unsigned address, unsigned endpoint, unsigned packet, uint32_t qtd)
{
    uint32_t *qh = word(QUEUE(n));
    memset(qh, 0, 0x80);
    qh[0] = link;
    qh[1] = address | endpoint << 8 | 2u << 12 | packet << 16;
    qh[2] = 1u << 30;
    qh[4] = qtd;
    qh[5] = T;
}

/* One queue behind the head. */
static void put_async(unsigned packet, uint32_t qtd)
{
    put_queue(0, HEAD | QH, 0, 1, packet, qtd);
    word(HEAD)[0] = QUEUE(0) | QH;
}

static void setup(void)
{
    setup_bare(&usb_ehci_class);
    plug_puppet(1u << USB_HIGH);
    start(EHCI_CMD_PSE | EHCI_CMD_ASE);
    start_port(0);
    puppet.packets = 0;
    puppet.heard_len = 0;
}

static void look(void) /* some register: the schedules are looked at now */
{
    ew(EHCI_USBINTR, 0x3f);
    vclock_fake_advance(0);
}

/* --- Registers and ports --- */

static void test_registers(void)
{
    setup_bare(&usb_ehci_class);
    g_assert_cmphex(pci_config_read(usb.pci, slot, 0, 4), ==, 0x24cd8086);
    g_assert_cmphex(pci_config_read(usb.pci, slot, 8, 4) >> 8, ==, 0x0c0320);
    g_assert_cmphex(pci_config_read(usb.pci, slot, 0x60, 2), ==, 0x2020);
    g_assert_cmphex(er(0), ==, 0x01000020);
    g_assert_cmphex(er(EHCI_HCSPARAMS), ==, 6);
    g_assert_cmphex(er(EHCI_USBCMD), ==, 0x00080000);
    g_assert_cmphex(er(EHCI_USBSTS), ==, EHCI_STS_HCH);
    g_assert_cmphex(er(EHCI_PORTSC), ==, EHCI_PORT_PP | EHCI_PORT_OWNER);
    g_assert_cmphex(er(EHCI_PORTSC + 24), ==, 0);
    ew(EHCI_FRINDEX, 0x1ff8);
    start(EHCI_CMD_PSE);
    g_assert_cmphex(er(EHCI_USBSTS) & ~EHCI_STS_FLR, ==, EHCI_STS_PSS);
    frames_pass(2);
    g_assert_cmphex(er(EHCI_FRINDEX) & ~7u, ==, 0x2008);
    g_assert_true(er(EHCI_USBSTS) & EHCI_STS_FLR);
    ew(EHCI_USBSTS, EHCI_STS_FLR);
    frames_pass(1000);
    g_assert_false(er(EHCI_USBSTS) & EHCI_STS_FLR);
    frames_pass(60);
    g_assert_true(er(EHCI_USBSTS) & EHCI_STS_FLR);
    ew(EHCI_USBCMD, EHCI_CMD_HCRESET);
    g_assert_cmphex(er(EHCI_USBCMD), ==, 0x00080000);
    g_assert_cmphex(er(EHCI_CONFIGFLAG), ==, 0);
}

static void test_port(void)
{
    setup_bare(&usb_ehci_class);
    plug_puppet(1u << USB_HIGH);
    g_assert_cmphex(er(EHCI_PORTSC), ==, EHCI_PORT_PP | EHCI_PORT_OWNER); /* nobody's yet */
    start(0);
    g_assert_cmphex(er(EHCI_PORTSC), ==, EHCI_PORT_PP | EHCI_PORT_CCS | EHCI_PORT_CSC);
    g_assert_true(er(EHCI_USBSTS) & EHCI_STS_PCD);
    start_port(0);
    g_assert_cmphex(er(EHCI_PORTSC), ==, EHCI_PORT_PP | EHCI_PORT_CCS | EHCI_PORT_PED);
    g_assert_cmpuint(puppet.resets, ==, 1);
    ew(EHCI_PORTSC, EHCI_PORT_PP | EHCI_PORT_PED | EHCI_PORT_SUSP);
    usb_wakeup(&puppet.usb, 1, true);
    g_assert_true(er(EHCI_PORTSC) & EHCI_PORT_FPR);
    ew(EHCI_PORTSC, EHCI_PORT_PP | EHCI_PORT_PED);
    g_assert_cmphex(er(EHCI_PORTSC) & (EHCI_PORT_FPR | EHCI_PORT_SUSP), ==, 0);
    usb_detach(&puppet.usb);
    g_assert_cmphex(er(EHCI_PORTSC), ==, EHCI_PORT_PP | EHCI_PORT_CSC);
}

static void test_companion(void)
{
    static const struct {
        const char *masterbus;
        uint8_t firstport;
    } config = {"ehci.0", 0}, wrong = {"ehci.0", 5}, nowhere = {"none.0", 0};
    GError *error = NULL;
    setup_bare(&ich9_ehci_class);
    const struct device_site site = {.board = &usb.board, .id = "uhci1", .unit = PCI_DEVFN(4, 0)};
    g_assert_null(ich9_uhci1_class.create(&site, &wrong, &error));
    g_clear_error(&error);
    g_assert_null(ich9_uhci1_class.create(&site, &nowhere, &error));
    g_clear_error(&error);
    struct uhci *uhci = ich9_uhci1_class.create(&site, &config, &error);
    g_assert_no_error(error);
    g_assert_cmphex(er(EHCI_HCSPARAMS), ==, 0x1206);
    g_assert_cmphex(pci_config_read(usb.pci, PCI_DEVFN(4, 0), 0x0e, 1), ==, 0x80);
    plug_puppet(1u << USB_HIGH | 1u << USB_FULL);
    g_assert_true(uhci->regs.portsc[0] & PORT_CCS); /* as long as nobody has said that there is an EHCI */
    g_assert_cmpint(puppet.usb.speed, ==, USB_FULL);
    start(0);
    g_assert_false(uhci->regs.portsc[0] & PORT_CCS);
    g_assert_true(er(EHCI_PORTSC) & EHCI_PORT_CCS);
    g_assert_cmpint(puppet.usb.speed, ==, USB_HIGH);
    usb_detach(&puppet.usb);
    plug_puppet(1u << USB_LOW);
    g_assert_cmphex(er(EHCI_PORTSC) & (EHCI_PORT_LINE_K | EHCI_PORT_LINE_J), ==, EHCI_PORT_LINE_K);
    start_port(0);
    g_assert_false(er(EHCI_PORTSC) & EHCI_PORT_PED);
    ew(EHCI_PORTSC, EHCI_PORT_PP | EHCI_PORT_OWNER);
    g_assert_false(er(EHCI_PORTSC) & EHCI_PORT_CCS);
    g_assert_true(uhci->regs.portsc[0] & PORT_CCS);
    usb_detach(&puppet.usb);
    g_assert_false(uhci->regs.portsc[0] & PORT_CCS);
    g_assert_false(er(EHCI_PORTSC) & EHCI_PORT_OWNER); /* the next one is looked at by the EHCI again */
    ich9_uhci1_class.destroy(uhci);
    ehci->companion[0] = ehci->companion[1] = NULL;
}

/* --- Queues --- */

static void test_out_over_pages(void)
{
    setup();
    uint32_t len = 20000, at = DATA(0) + 0x123;
    for (uint32_t i = 0; i < len; i++)
        guest_mem.ram[at + i] = (uint8_t)(i * 7);
    puppet.result = USB_ACK;
    put_qtd(0, T, T, ACTIVE | CERR | IOC, len, at);
    put_async(512, QTD(0));
    look();
    g_assert_cmphex(token_of(0) & (ACTIVE | HALTED), ==, 0);
    g_assert_cmphex(token_of(0) >> 16 & 0x7fff, ==, 0);
    g_assert_cmpuint(puppet.packets, ==, (len + 511) / 512);
    g_assert_cmpmem(puppet.heard, puppet.heard_len, guest_mem.ram + at, len);
    g_assert_true(er(EHCI_USBSTS) & EHCI_STS_INT);
    g_assert_true(usb.irq.level);
    ew(EHCI_USBSTS, EHCI_STS_INT | EHCI_STS_PCD);
    g_assert_false(usb.irq.level);
}

static void test_short_packet_takes_the_alternate(void)
{
    setup();
    puppet.result = USB_ACK;
    puppet.len = 700;
    put_qtd(0, QTD(1), QTD(2), ACTIVE | CERR | IN, 2048, DATA(0));
    put_qtd(1, T, T, ACTIVE | CERR | IN, 512, DATA(1));
    put_qtd(2, T, T, ACTIVE | CERR | IN | IOC, 0, DATA(2));
    put_async(512, QTD(0));
    look();
    g_assert_cmphex(token_of(0) & ACTIVE, ==, 0);
    g_assert_cmpuint(token_of(0) >> 16 & 0x7fff, ==, 2048 - 700);
    g_assert_true(token_of(1) & ACTIVE);
    g_assert_false(token_of(2) & ACTIVE);
    for (unsigned i = 0; i < 700; i++)
        g_assert_cmphex(guest_mem.ram[DATA(0) + i], ==, (uint8_t)((i / 512 ? 512 : 0) + i % 512 + 1));
}

static void test_errors_halt(void)
{
    static const struct {
        enum usb_result result;
        uint32_t status;
    } cases[] = {{USB_STALL, HALTED}, {USB_BABBLE, HALTED | 0x10}, {USB_NONE, HALTED | 0x08}};
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        setup();
        puppet.result = cases[i].result;
        put_qtd(0, QTD(1), T, ACTIVE | CERR | IN, 512, DATA(0));
        put_qtd(1, T, T, ACTIVE | CERR | IN, 512, DATA(0));
        put_async(512, QTD(0));
        look();
        frames_pass(2);
        g_assert_cmphex(token_of(0) & 0xf8, ==, cases[i].status);
        g_assert_true(token_of(1) & ACTIVE);
        g_assert_true(er(EHCI_USBSTS) & EHCI_STS_ERRINT);
        g_assert_cmpuint(puppet.packets, ==, cases[i].result == USB_NONE ? 3 : 1);
    }
    setup(); /* the buffer ends before the data */
    puppet.result = USB_ACK;
    put_qtd(0, T, T, ACTIVE | CERR, 0x7fff, DATA(0));
    put_async(512, QTD(0));
    look();
    g_assert_cmphex(token_of(0) & (HALTED | 0x20), ==, HALTED | 0x20);
}

static void test_doorbell(void)
{
    setup();
    ew(EHCI_USBCMD, EHCI_CMD_RS | EHCI_CMD_ASE | EHCI_CMD_IAAD);
    vclock_fake_advance(0);
    g_assert_true(er(EHCI_USBSTS) & EHCI_STS_IAA);
    g_assert_false(er(EHCI_USBCMD) & EHCI_CMD_IAAD);
    g_assert_cmphex(er(EHCI_ASYNC), ==, HEAD);
}

static void test_periodic(void)
{
    setup();
    puppet.result = USB_NAK;
    put_qtd(0, T, T, ACTIVE | CERR | IN | IOC, 8, DATA(0));
    put_queue(1, T, 0, 1, 8, QTD(0));
    word(QUEUE(1))[2] |= 1;
    for (unsigned i = 0; i < 1024; i += 8)
        word(LIST)[i] = QUEUE(1) | QH;
    look();
    frames_pass(16);
    g_assert_cmpuint(puppet.packets, >=, 1);
    g_assert_cmpuint(puppet.packets, <=, 3);
    /* Nobody looks, and the wake-up is heard. */
    frames_pass(2000);
    g_assert_cmphex(er(EHCI_USBCMD) & EHCI_CMD_PSE, ==, EHCI_CMD_PSE);
    ew(EHCI_USBCMD, EHCI_CMD_RS | EHCI_CMD_PSE);
    frames_pass(2000);
    uint64_t before = ehci->walks;
    frames_pass(1000);
    g_assert_cmpuint(ehci->walks - before, <, 70);
    puppet.result = USB_ACK;
    puppet.len = 5;
    usb_wakeup(&puppet.usb, 1, false);
    frames_pass(9);
    g_assert_cmphex(token_of(0) & (ACTIVE | HALTED), ==, 0);
    g_assert_true(er(EHCI_USBSTS) & EHCI_STS_INT);
}

/* The asynchronous list, too, though the driver leaves it on. */
static void test_idle_list(void)
{
    setup();
    puppet.result = USB_NAK;
    put_qtd(0, T, T, ACTIVE | CERR | IN | IOC, 8, DATA(0));
    put_async(512, QTD(0));
    look();
    frames_pass(2000);
    uint64_t before = ehci->walks;
    frames_pass(1000);
    g_assert_cmpuint(ehci->walks - before, <, 70);
    puppet.result = USB_ACK;
    puppet.len = 8;
    usb_wakeup(&puppet.usb, 1, false);
    vclock_fake_advance(0);
    g_assert_false(token_of(0) & ACTIVE);
    /* What is put there without a word is found. */
    puppet.len = 8;
    frames_pass(2000);
    put_qtd(1, T, T, ACTIVE | CERR | IN | IOC, 8, DATA(0));
    word(QUEUE(0))[4] = QTD(1);
    frames_pass(33);
    g_assert_false(token_of(1) & ACTIVE);
}

static int64_t until_done(unsigned n)
{
    int64_t begin = vclock_now();
    while (token_of(n) & ACTIVE) {
        g_assert_cmpint(vclock_now() - begin, <, 10 * MS);
        vclock_fake_advance(1000);
    }
    return vclock_now() - begin;
}

/* 4.8.4: an empty list is looked at again 10 us later, not in the next microframe. The driver is like Linux': it
 * answers the interrupt, and a while later puts the next qTD into the queue without touching a register. */
static void test_one_after_the_other(void)
{
    static const struct {
        int64_t think, most; /* of the driver's time, of the controller's */
    } cases[] = {{5000, 11000}, {20000, 15000}, {80000, 45000}, {500000, 126000}};
    setup();
    puppet.result = USB_ACK;
    put_async(512, T);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        int64_t waited = 0;
        puppet.heard_len = 0;
        look();
        for (unsigned n = 0; n < 16; n++) { /* 64 KiB */
            put_qtd(n, T, T, ACTIVE | CERR | IOC, 4096, DATA(0));
            word(QUEUE(0))[4] = QTD(n);
            waited += until_done(n);
            g_assert_true(er(EHCI_USBSTS) & EHCI_STS_INT);
            ew(EHCI_USBSTS, EHCI_STS_INT);
            vclock_fake_advance(cases[i].think);
        }
        g_test_message("a driver that takes %lld us: %lld us waited", (long long)cases[i].think / 1000,
                       (long long)waited / 1000);
        g_assert_cmpint(waited, <=, 16 * cases[i].most);
    }
    /* Nothing comes any more: it is looked at less and less. */
    uint64_t before = ehci->walks;
    vclock_fake_advance(4 * MS);
    g_assert_cmpuint(ehci->walks - before, <, 40);
    before = ehci->walks;
    frames_pass(10);
    g_assert_cmpuint(ehci->walks - before, <=, 11);
}

/* A processor that halts has put there what it waits for: that is moved at once, one thing after the other. */
static void test_halt(void)
{
    setup();
    puppet.result = USB_ACK;
    put_async(512, T);
    for (unsigned n = 0; n < 3; n++) {
        put_qtd(n, T, T, ACTIVE | CERR | IOC, 4096, DATA(0));
        word(QUEUE(0))[4] = QTD(n);
        if (n == 0) {
            look();
            g_assert_false(token_of(n) & ACTIVE);
            continue;
        }
        vclock_fake_advance(100);
        g_assert_true(token_of(n) & ACTIVE);
        vclock_halt();
        vclock_fake_advance(0);
        g_assert_false(token_of(n) & ACTIVE);
    }
    /* Only once: a guest that halts again and again while nothing moves costs nothing. */
    vclock_halt();
    vclock_fake_advance(0);
    uint64_t before = ehci->walks;
    vclock_halt();
    vclock_fake_advance(0);
    g_assert_cmpuint(ehci->walks, ==, before);
}

/* --- Traps --- */

static void test_loops(void)
{
    setup();
    puppet.result = USB_ACK;
    /* A qTD that is its own next one and never ends being active is retired, so it ends there. */
    put_qtd(0, QTD(0), QTD(0), ACTIVE | CERR, 0, DATA(0));
    put_async(512, QTD(0));
    look();
    /* A list without a head, and one that goes round elsewhere. */
    put_queue(0, QUEUE(1) | QH, 0, 1, 512, T);
    put_queue(1, QUEUE(2) | QH, 0, 1, 512, T);
    put_queue(2, QUEUE(1) | QH, 0, 1, 512, T);
    ew(EHCI_ASYNC, QUEUE(0));
    frames_pass(40);
    for (unsigned i = 0; i < 1024; i++)
        word(LIST)[i] = QUEUE(1) | QH;
    frames_pass(40);
    /* No memory is there: all ones. */
    ew(EHCI_ASYNC, 0xf0000000);
    ew(EHCI_PERIODIC, 0xf0000000);
    frames_pass(40);
    /* A device that has always more. */
    puppet.len = UINT_MAX;
    for (unsigned i = 0; i < 8; i++)
        put_qtd(i, QTD((i + 1) % 8), T, ACTIVE | CERR | IN, 16384, DATA(0));
    ew(EHCI_PERIODIC, LIST);
    ew(EHCI_ASYNC, HEAD);
    put_async(1, QTD(0));
    unsigned before = puppet.packets;
    look();
    g_assert_cmpuint(puppet.packets - before, ==, 8 * 16384); /* each is retired once, in several runs */
}

static void test_random_schedules(void)
{
    GRand *random = g_rand_new_with_seed(99);
    setup();
    puppet.result = USB_ACK;
    puppet.len = UINT_MAX;
    for (unsigned round = 0; round < 2000; round++) {
        for (unsigned i = 0; i < 64; i++) {
            uint32_t value = g_rand_int(random);
            if (value & 0x100) /* a link into them */
                value = (HEAD + (value >> 8 & 0x3fff)) & ~0x1fu;
            word(HEAD + (g_rand_int(random) & 0x27fc))[0] = value | (g_rand_int(random) & 0xc7);
        }
        for (unsigned i = 0; i < 8; i++)
            word(LIST)[g_rand_int(random) & 1023] = (HEAD + (g_rand_int(random) & 0x27e0)) | (g_rand_int(random) & 7);
        puppet.result = (enum usb_result)g_rand_int_range(random, USB_ACK, USB_ASYNC);
        ew(g_rand_int(random) & 1 ? EHCI_ASYNC : EHCI_FRINDEX, HEAD + (g_rand_int(random) & 0x27e0));
        if (!(round & 15))
            ew(EHCI_USBCMD, (g_rand_int(random) & 0x70) | EHCI_CMD_RS);
        frames_pass(2);
    }
    g_rand_free(random);
}

/* --- State --- */

static void test_state(void)
{
    setup();
    puppet.result = USB_NAK;
    put_qtd(0, T, T, ACTIVE | CERR | IN | IOC, 512, DATA(0));
    put_async(512, QTD(0));
    look();
    frames_pass(100);
    GByteArray *blob = g_byte_array_new(), *again = g_byte_array_new();
    device_save(&usb_ehci_class, ehci, blob);
    ew(EHCI_USBCMD, EHCI_CMD_HCRESET);
    g_assert_true(device_load(&usb_ehci_class, ehci, blob->data, blob->len));
    device_save(&usb_ehci_class, ehci, again);
    g_assert_cmpmem(blob->data, blob->len, again->data, again->len);
    puppet.result = USB_ACK;
    puppet.len = 512;
    frames_pass(33);
    g_assert_false(token_of(0) & ACTIVE);
    GRand *random = g_rand_new_with_seed(5);
    for (unsigned i = 0; i < 3000; i++) {
        guint8 *bytes = g_memdup2(blob->data, blob->len);
        for (unsigned n = 0; n < 3; n++)
            bytes[g_rand_int_range(random, 0, (gint32)blob->len)] = (uint8_t)g_rand_int(random);
        device_load(&usb_ehci_class, ehci, bytes, blob->len);
        frames_pass(3);
        g_free(bytes);
    }
    g_rand_free(random);
    g_byte_array_unref(blob);
    g_byte_array_unref(again);
}

/* A disk and a tablet are what they are at high speed. */
static void test_high_speed_descriptors(void)
{
    setup_bare(&usb_ehci_class);
    usb_add(&usb_tablet_class);
    start(EHCI_CMD_ASE);
    start_port(0);
    memcpy(guest_mem.ram + DATA(0), "\x80\x06\x00\x01\x00\x00\x12\x00", 8);
    put_qtd(0, QTD(1), T, ACTIVE | CERR | SETUP, 8, DATA(0));
    put_qtd(1, QTD(2), QTD(2), ACTIVE | CERR | IN, 18, DATA(1));
    put_qtd(2, T, T, ACTIVE | CERR | IOC, 0, DATA(2));
    put_async(64, QTD(0));
    word(QUEUE(0))[1] &= ~0xf00u;
    look();
    g_assert_false(token_of(2) & (ACTIVE | HALTED));
    g_assert_cmphex(guest_mem.ram[DATA(1) + 3], ==, 2); /* USB 2.0 */
    g_assert_cmpuint(guest_mem.ram[DATA(1) + 7], ==, 64);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ehci/registers", test_registers);
    g_test_add_func("/ehci/port", test_port);
    g_test_add_func("/ehci/companion", test_companion);
    g_test_add_func("/ehci/out_over_pages", test_out_over_pages);
    g_test_add_func("/ehci/short_packet_takes_the_alternate", test_short_packet_takes_the_alternate);
    g_test_add_func("/ehci/errors_halt", test_errors_halt);
    g_test_add_func("/ehci/doorbell", test_doorbell);
    g_test_add_func("/ehci/periodic", test_periodic);
    g_test_add_func("/ehci/idle_list", test_idle_list);
    g_test_add_func("/ehci/one_after_the_other", test_one_after_the_other);
    g_test_add_func("/ehci/halt", test_halt);
    g_test_add_func("/ehci/loops", test_loops);
    g_test_add_func("/ehci/random_schedules", test_random_schedules);
    g_test_add_func("/ehci/state", test_state);
    g_test_add_func("/ehci/high_speed_descriptors", test_high_speed_descriptors);
    int rc = g_test_run();
    free_all();
    return rc;
}
