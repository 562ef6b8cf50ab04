/* UHCI, by Intel's Design Guide 1.1: registers, ports, the schedule, errors, and frames that nobody looks at. */
#include "usb_guest.h"

extern const struct device_class usb_tablet_class, usb_mouse_class, usb_hub_class;

/* --- A device that does what a test says --- */

struct puppet {
    struct usb_device usb; /* first */
    enum usb_result result;
    unsigned len; /* of what it sends */
    unsigned packets, resets;
    bool answers; /* NAK becomes data when it hears something */
    uint8_t heard[1280];
    uint32_t heard_len;
};

static struct puppet puppet;

static enum usb_result puppet_packet(struct usb_device *dev, struct usb_packet *packet)
{
    puppet.packets++;
    if (puppet.answers && packet->pid == USB_OUT)
        puppet.result = USB_ACK;
    if (puppet.result != USB_ACK)
        return puppet.result;
    packet->actual = packet->len;
    if (packet->pid == USB_IN) {
        packet->actual = puppet.len;
        for (unsigned i = 0; i < MIN(puppet.len, packet->len); i++)
            packet->buffer[i] = (uint8_t)(i + 1);
    } else {
        memcpy(puppet.heard, packet->buffer, packet->len);
        puppet.heard_len = packet->len;
    }
    return USB_ACK;
}

static void puppet_reset(struct usb_device *dev)
{
    puppet.resets++;
    dev->address = 0;
}

static void plug_puppet(enum usb_speed speed)
{
    static const struct usb_device_ops ops = {.packet = puppet_packet, .reset = puppet_reset};
    GError *error = NULL;
    puppet = (struct puppet){.usb = {.ops = &ops, .product = "puppet", .speeds = (uint8_t)(1u << speed)}};
    usb_attach(usb.bus, &puppet.usb, NULL, &error);
    g_assert_no_error(error);
}

static void setup(void)
{
    usb_setup_bare();
    plug_puppet(USB_FULL);
    usb_start();
    port_start(0);
    frames_pass(2);
    puppet.packets = 0;
}

static void put_in(unsigned n, uint32_t link, uint32_t status, unsigned len)
{
    put_td(n, link, status | STATUS_ON | STATUS_3, USB_IN, 0, 1, len, n);
}

/* Every frame has this queue, and the next one is walked. */
static void run_queue(unsigned td)
{
    put_qh(QH_AT, LINK_END, USB_TD(td));
    all_frames(QH_AT | LINK_QH);
    uw_set(SOFMOD, 0x40); /* a register: it is looked at from now on */
    frames_pass(1);
}

/* --- Registers --- */

static void test_identity(void)
{
    usb_setup_bare();
    g_assert_cmphex(pci_config_read(usb.pci, USB_SLOT, 0, 4), ==, 0x70208086);
    g_assert_cmphex(pci_config_read(usb.pci, USB_SLOT, 8, 4) >> 8, ==, 0x0c0300);
    g_assert_cmphex(pci_config_read(usb.pci, USB_SLOT, 0x3d, 1), ==, 4);
    g_assert_cmphex(pci_config_read(usb.pci, USB_SLOT, 0x60, 1), ==, 0x10);
    g_assert_cmphex(pci_config_read(usb.pci, USB_SLOT, 0xc0, 2), ==, 0x2000);
    pci_config_write(usb.pci, USB_SLOT, 0xc0, 2, 0x8f10);
    g_assert_cmphex(pci_config_read(usb.pci, USB_SLOT, 0xc0, 2), ==, 0x0010);
}

static void test_registers_after_reset(void)
{
    usb_setup_bare();
    g_assert_cmphex(uw(USBCMD), ==, 0);
    g_assert_cmphex(uw(USBSTS), ==, STS_HCH);
    g_assert_cmphex(inb(USB_IO + SOFMOD), ==, 0x40);
    g_assert_cmphex(uw(PORTSC1), ==, 0x0080);
    g_assert_cmphex(uw(PORTSC2), ==, 0x0080);
    g_assert_cmphex(uw(0x14) & 0x80, ==, 0); /* two ports are all there are */
    ioport_write(USB_IO + FLBASEADD, 4, 0x12345fff);
    g_assert_cmphex(ioport_read(USB_IO + FLBASEADD, 4), ==, 0x12345000);
    ioport_write(USB_IO + USBINTR, 4, 0xffffffff);
    g_assert_cmphex(ioport_read(USB_IO + USBINTR, 4), ==, 0x07ff000f);
    outb(USB_IO + FRNUM, 0x12);
    g_assert_cmphex(uw(FRNUM), ==, 0x0712);
    g_assert_cmphex(inb(USB_IO + FRNUM + 1), ==, 0x07);
    uw_set(USBCMD, CMD_HCRESET);
    g_assert_cmphex(uw(USBCMD), ==, 0);
    g_assert_cmphex(uw(FRNUM), ==, 0);
    g_assert_cmphex(ioport_read(USB_IO + FLBASEADD, 4), ==, 0);
}

static void test_frame_number_is_time(void)
{
    usb_setup_bare();
    uw_set(FRNUM, 0x7fe);
    usb_start();
    g_assert_cmphex(uw(USBSTS), ==, 0);
    for (unsigned i = 0; i < 5; i++, frames_pass(1))
        g_assert_cmphex(uw(FRNUM), ==, (0x7fe + i) & 0x7ff);
    for (unsigned i = 5; i < 3000; i += 7, vclock_fake_advance(7 * MS)) /* idle or not */
        g_assert_cmphex(uw(FRNUM), ==, (0x7fe + i) & 0x7ff);
    uint16_t last = uw(FRNUM);
    uw_set(FRNUM, 5); /* not while it runs */
    g_assert_cmphex(uw(FRNUM), ==, last);
    uw_set(USBCMD, 0);
    frames_pass(10);
    g_assert_cmphex(uw(USBSTS), ==, STS_HCH);
    g_assert_cmphex(uw(FRNUM), ==, last);
}

/* --- Ports --- */

static void test_port_changes(void)
{
    usb_setup_bare();
    plug_puppet(USB_FULL);
    g_assert_cmphex(uw(PORTSC1), ==, 0x0093);
    uw_set(PORTSC1, PORT_CSC);
    g_assert_cmphex(uw(PORTSC1), ==, 0x0091);
    uw_set(PORTSC1, PORT_PR);
    g_assert_cmpuint(puppet.resets, ==, 1);
    uw_set(PORTSC1, PORT_PR | PORT_PE); /* not while it is reset */
    g_assert_cmphex(uw(PORTSC1), ==, 0x0291);
    g_assert_cmpuint(puppet.resets, ==, 1);
    uw_set(PORTSC1, 0);
    uw_set(PORTSC1, PORT_PE);
    g_assert_cmphex(uw(PORTSC1), ==, 0x0095);
    usb_detach(&puppet.usb);
    g_assert_cmphex(uw(PORTSC1), ==, 0x008a);
    uw_set(PORTSC1, PORT_PE | PORT_PEC); /* nobody is there */
    g_assert_cmphex(uw(PORTSC1), ==, 0x0082);
    uw_set(PORTSC2, PORT_PE);
    g_assert_cmphex(uw(PORTSC2), ==, 0x0080);
    plug_puppet(USB_LOW);
    g_assert_cmphex(uw(PORTSC1), ==, 0x01a3);
}

static void test_only_enabled_ports_hear(void)
{
    setup();
    puppet.result = USB_NAK;
    put_in(0, LINK_END, 0, 8);
    run_queue(0);
    g_assert_cmpuint(puppet.packets, ==, 1);
    uw_set(PORTSC1, PORT_PE | PORT_SUSP);
    frames_pass(2);
    g_assert_cmpuint(puppet.packets, ==, 1);
    g_assert_cmphex(td_status(0) & STATUS_CRC, !=, 0);
    uw_set(PORTSC1, PORT_PE);
    put_in(0, LINK_END, 0, 8);
    frames_pass(1);
    g_assert_cmpuint(puppet.packets, ==, 2);
    uw_set(PORTSC1, 0);
    frames_pass(2);
    g_assert_cmpuint(puppet.packets, ==, 2);
}

static void test_suspend_and_resume(void)
{
    setup();
    uw_set(USBINTR, INTR_RESUME);
    uw_set(PORTSC1, PORT_PE | PORT_SUSP);
    usb_wakeup(&puppet.usb, 1, false);
    g_assert_cmphex(uw(PORTSC1) & PORT_RD, ==, 0);
    usb_wakeup(&puppet.usb, 1, true);
    g_assert_cmphex(uw(PORTSC1) & PORT_RD, !=, 0);
    g_assert_cmphex(uw(USBSTS) & STS_RD, !=, 0);
    g_assert_true(usb.irq.level);
    uw_set(USBSTS, STS_RD);
    g_assert_false(usb.irq.level);
    uw_set(PORTSC1, PORT_PE | PORT_SUSP); /* resume is over */
    g_assert_cmphex(uw(PORTSC1) & (PORT_RD | PORT_SUSP | PORT_PE), ==, PORT_PE);
    uw_set(USBCMD, CMD_EGSM);
    usb_wakeup(&puppet.usb, 1, true);
    g_assert_cmphex(uw(USBSTS), ==, STS_RD | STS_HCH);
    uw_set(USBSTS, STS_RD);
    usb_detach(&puppet.usb); /* that wakes, too */
    g_assert_true(usb.irq.level);
}

static void test_global_reset(void)
{
    setup();
    unsigned resets = puppet.resets;
    uw_set(USBCMD, CMD_GRESET);
    g_assert_cmpuint(puppet.resets, ==, resets + 1);
    g_assert_cmphex(uw(USBCMD), ==, CMD_GRESET);
    g_assert_cmphex(uw(PORTSC1) & PORT_PE, ==, 0);
    g_assert_cmphex(uw(USBSTS), ==, STS_HCH);
    uw_set(USBCMD, 0);
    g_assert_cmphex(uw(USBCMD), ==, 0);
}

/* --- The schedule --- */

static void test_in_and_out(void)
{
    setup();
    puppet.len = 20;
    put_in(0, USB_TD(1), 0, 20);
    put_td(1, LINK_END, STATUS_ON, USB_OUT, 0, 2, 1280, 1);
    memset(guest_mem.ram + USB_BUFFER(1), 0x5a, 1280);
    run_queue(0);
    g_assert_cmphex(td_status(0), ==, STATUS_3 | 19);
    g_assert_cmpuint(guest_mem.ram[USB_BUFFER(0) + 19], ==, 20);
    g_assert_cmpuint(guest_mem.ram[USB_BUFFER(0) + 20], ==, 0);
    g_assert_cmphex(word(QH_AT)[1], ==, USB_TD(1)); /* breadth first: the second is the next frame's */
    g_assert_cmphex(td_status(1), ==, STATUS_ON);
    frames_pass(1);
    g_assert_cmphex(td_status(1), ==, 1279);
    g_assert_cmpuint(puppet.heard_len, ==, 1280);
    g_assert_cmphex(puppet.heard[1279], ==, 0x5a);
    g_assert_cmphex(word(QH_AT)[1], ==, LINK_END);
    g_assert_cmphex(uw(USBSTS), ==, 0);
}

static void test_depth_first_and_ioc(void)
{
    setup();
    uw_set(USBINTR, INTR_IOC);
    put_in(0, USB_TD(1) | LINK_DEPTH, 0, 8);
    put_in(1, USB_TD(2) | LINK_DEPTH, STATUS_IOC, 8);
    put_in(2, LINK_END, 0, 8);
    puppet.len = 8;
    run_queue(0);
    g_assert_cmphex(td_status(2), ==, STATUS_3 | 7);
    g_assert_true(usb.irq.level);
    g_assert_cmphex(uw(USBSTS), ==, STS_USBINT);
    uw_set(USBINTR, INTR_SPD); /* that has another switch */
    g_assert_false(usb.irq.level);
    uw_set(USBINTR, INTR_IOC);
    uw_set(USBSTS, STS_USBINT);
    g_assert_false(usb.irq.level);
    g_assert_cmphex(uw(USBSTS), ==, 0);
}

/* How drivers have themselves called at a frame. */
static void test_ioc_of_an_inactive_td(void)
{
    setup();
    put_td(0, LINK_END, STATUS_IOC, USB_IN, 0, 1, 8, 0);
    run_queue(0);
    g_assert_cmphex(uw(USBSTS), ==, STS_USBINT);
    g_assert_cmpuint(puppet.packets, ==, 0);
    g_assert_cmphex(word(QH_AT)[1], ==, USB_TD(0));
}

static void test_short_packet(void)
{
    setup();
    uw_set(USBINTR, INTR_SPD);
    puppet.len = 3;
    put_in(0, USB_TD(1) | LINK_DEPTH, 0, 8); /* without SPD it goes on */
    put_in(1, USB_TD(2) | LINK_DEPTH, STATUS_SPD, 8);
    put_in(2, LINK_END, 0, 8);
    run_queue(0);
    g_assert_cmphex(td_status(0), ==, STATUS_3 | 2);
    g_assert_cmphex(td_status(1), ==, STATUS_3 | STATUS_SPD | 2);
    g_assert_cmphex(td_status(2) & STATUS_ON, !=, 0);
    g_assert_cmphex(word(QH_AT)[1] & ~15u, ==, USB_TD(1));
    g_assert_cmphex(uw(USBSTS), ==, STS_USBINT);
    g_assert_true(usb.irq.level);
    puppet.len = 0;
    put_in(1, LINK_END, 0, 8);
    run_queue(1);
    g_assert_cmphex(td_status(1), ==, STATUS_3 | 0x7ff);
    uw_set(USBSTS, STS_USBINT);
    put_in(3, LINK_END, STATUS_SPD, 8);
    all_frames(USB_TD(3)); /* of no queue: that is no news */
    frames_pass(1);
    g_assert_cmphex(td_status(3) & STATUS_ON, ==, 0);
    g_assert_cmphex(uw(USBSTS), ==, 0);
}

static void test_nak_then_data(void)
{
    setup();
    puppet.result = USB_NAK;
    put_in(0, LINK_END, STATUS_IOC, 8);
    run_queue(0);
    frames_pass(3);
    g_assert_cmphex(td_status(0), ==, STATUS_ON | STATUS_3 | STATUS_IOC | STATUS_NAK);
    g_assert_cmphex(uw(USBSTS), ==, 0);
    puppet.result = USB_ACK;
    puppet.len = 8;
    frames_pass(1);
    g_assert_cmphex(td_status(0), ==, STATUS_3 | STATUS_IOC | 7);
    g_assert_cmphex(uw(USBSTS), ==, STS_USBINT);
}

static void expect_failure(enum usb_result result, uint32_t bits)
{
    setup();
    uw_set(USBINTR, INTR_CRC);
    puppet.result = result;
    put_in(0, USB_TD(1) | LINK_DEPTH, 0, 8);
    put_in(1, LINK_END, 0, 8);
    run_queue(0);
    g_assert_cmphex(td_status(0) & (STATUS_ON | STATUS_STALL | STATUS_BABB), ==, bits);
    g_assert_cmphex(td_status(1) & STATUS_ON, !=, 0);
    g_assert_cmphex(word(QH_AT)[1], ==, USB_TD(0)); /* the queue stands */
    g_assert_cmphex(uw(USBSTS), ==, STS_ERRINT);
    g_assert_true(usb.irq.level);
}

static void test_stall(void)
{
    expect_failure(USB_STALL, STATUS_STALL);
}

static void test_babble(void)
{
    expect_failure(USB_BABBLE, STATUS_STALL | STATUS_BABB);
    setup();
    puppet.len = 9; /* says ACK, but it is too much */
    put_in(0, LINK_END, 0, 8);
    run_queue(0);
    g_assert_cmphex(td_status(0) & (STATUS_STALL | STATUS_BABB), ==, STATUS_STALL | STATUS_BABB);
    g_assert_cmpuint(guest_mem.ram[USB_BUFFER(0)], ==, 0);
}

static void test_error_counter(void)
{
    setup();
    put_td(0, LINK_END, STATUS_ON | STATUS_3, USB_IN, 77, 1, 8, 0); /* there is no such address */
    run_queue(0);
    g_assert_cmphex(td_status(0), ==, STATUS_ON | STATUS_CRC | 2u << 27);
    frames_pass(1);
    g_assert_cmphex(td_status(0), ==, STATUS_ON | STATUS_CRC | 1u << 27);
    g_assert_cmphex(uw(USBSTS), ==, 0);
    frames_pass(1);
    g_assert_cmphex(td_status(0), ==, STATUS_STALL | STATUS_CRC);
    g_assert_cmphex(uw(USBSTS), ==, STS_ERRINT);
    put_td(0, LINK_END, STATUS_ON, USB_IN, 77, 1, 8, 0); /* no limit */
    run_queue(0);
    frames_pass(20);
    g_assert_cmphex(td_status(0), ==, STATUS_ON | STATUS_CRC);
}

static void test_bad_tds_stop_it(void)
{
    setup();
    put_td(0, LINK_END, STATUS_ON, 0x99, 0, 1, 8, 0);
    run_queue(0);
    g_assert_cmphex(uw(USBSTS), ==, STS_HCPE | STS_HCH);
    g_assert_cmphex(uw(USBCMD) & CMD_RS, ==, 0);
    g_assert_true(usb.irq.level);
    setup();
    put_in(0, LINK_END, 0, 1281);
    run_queue(0);
    g_assert_cmphex(uw(USBSTS), ==, STS_HCPE | STS_HCH);
    g_assert_cmpuint(puppet.packets, ==, 0);
}

/* TDs of the frame list: one try each, then the next. */
static void test_isochronous(void)
{
    setup();
    uint16_t frame = uw(FRNUM);
    for (unsigned i = 0; i < 4; i++) {
        put_in(i, QH_AT | LINK_QH, 1u << 25, 8);
        word(FRAMES)[(frame + 1 + i) & 0x3ff] = USB_TD(i);
    }
    put_qh(QH_AT, LINK_END, LINK_END);
    puppet.len = 5;
    frames_pass(1);
    g_assert_cmphex(td_status(0), ==, STATUS_3 | 1u << 25 | 4);
    g_assert_cmphex(td_status(1) & STATUS_ON, !=, 0);
    puppet.result = USB_NAK;
    frames_pass(1);
    g_assert_cmphex(td_status(1), ==, STATUS_3 | 1u << 25 | 0x7ff);
    puppet.result = USB_STALL;
    frames_pass(1);
    g_assert_cmphex(td_status(2) & (STATUS_ON | STATUS_STALL), ==, 0);
    g_assert_cmphex(td_status(3) & STATUS_ON, !=, 0);
    g_assert_cmpuint(puppet.packets, ==, 3);
}

/* 19 packets of 64 bytes are a frame's, also when the queue goes in a circle. */
static void test_bandwidth(void)
{
    setup();
    puppet.len = 64;
    for (unsigned i = 0; i < 100; i++)
        put_td(i, i == 99 ? LINK_END : USB_TD(i + 1), STATUS_ON, USB_IN, 0, 1, 64, 0);
    put_qh(QH_AT, QH_AT | LINK_QH, USB_TD(0));
    all_frames(QH_AT | LINK_QH);
    uw_set(SOFMOD, 0x40);
    frames_pass(1);
    g_assert_cmpuint(puppet.packets, ==, 20);
    frames_pass(1);
    g_assert_cmpuint(puppet.packets, ==, 40);
    frames_pass(20);
    g_assert_cmpuint(puppet.packets, ==, 100);
}

/* In a circle of queues, who has nothing to say is asked once a frame. */
static void test_nak_in_a_circle(void)
{
    setup();
    puppet.result = USB_NAK;
    put_in(0, LINK_END, 0, 8);
    put_qh(QH_AT, (QH_AT + 16) | LINK_QH, LINK_END);
    put_qh(QH_AT + 16, (QH_AT + 32) | LINK_QH, USB_TD(0));
    put_qh(QH_AT + 32, (QH_AT + 16) | LINK_QH, LINK_END);
    all_frames(QH_AT | LINK_QH);
    uw_set(SOFMOD, 0x40);
    frames_pass(4);
    g_assert_cmpuint(puppet.packets, >=, 4);
    g_assert_cmpuint(puppet.packets, <=, 2 * 4);
}

/* Circles of all kinds end, and soon. */
static void test_circles(void)
{
    setup();
    put_qh(QH_AT, (QH_AT + 16) | LINK_QH, LINK_END); /* begins with one that is not of it */
    put_qh(QH_AT + 16, (QH_AT + 32) | LINK_QH, LINK_END);
    put_qh(QH_AT + 32, (QH_AT + 16) | LINK_QH, LINK_END);
    all_frames(QH_AT | LINK_QH);
    frames_pass(100);
    put_td(0, USB_TD(0) | LINK_DEPTH, 0, USB_IN, 0, 1, 8, 0); /* a TD that comes after itself */
    all_frames(USB_TD(0));
    frames_pass(100);
    put_qh(QH_AT, QH_AT | LINK_QH, QH_AT | LINK_QH); /* an element that is its queue */
    all_frames(QH_AT | LINK_QH);
    frames_pass(100);
    put_td(0, USB_TD(0) | LINK_DEPTH, STATUS_ON | 1u << 25, USB_IN, 0, 1, 8, 0);
    put_qh(QH_AT, QH_AT | LINK_QH, USB_TD(0));
    frames_pass(100);
    g_assert_cmphex(uw(USBSTS), ==, 0);
    all_frames(0xfffffff0u); /* no memory: all ones, which end it */
    frames_pass(10);
    all_frames(0xfffffff2u);
    frames_pass(10);
    g_assert_cmphex(uw(USBSTS) & STS_HCH, ==, 0);
}

/* --- Frames that nobody looks at --- */

static void test_idle(void)
{
    setup();
    puppet.result = USB_NAK;
    put_in(0, LINK_END, STATUS_IOC, 8);
    run_queue(0);
    frames_pass(40);
    unsigned packets = puppet.packets;
    uint64_t walks = usb.uhci->walks;
    for (unsigned i = 0; i < 1000; i++)
        vclock_fake_advance(MS);
    g_assert_cmpuint(usb.uhci->walks - walks, <=, 1000 / 16 + 1);
    g_assert_cmpuint(puppet.packets - packets, <=, 1000 / 16 + 1);
    walks = usb.uhci->walks;
    for (unsigned i = 0; i < 1000; i++)
        vclock_fake_advance(MS);
    g_assert_cmpuint(usb.uhci->walks - walks, <=, 1000 / 32 + 2);
    g_assert_cmpuint(usb.uhci->walks - walks, >=, 20);
    /* The device says that it has something: now, not in 32 ms. */
    puppet.result = USB_ACK;
    puppet.len = 8;
    usb_wakeup(&puppet.usb, 1, false);
    vclock_fake_advance(MS);
    g_assert_cmphex(td_status(0), ==, STATUS_3 | STATUS_IOC | 7);
    g_assert_cmphex(uw(USBSTS), ==, STS_USBINT);
}

/* What is put into memory without a word is found, soon; a register makes it at once. */
static void test_idle_and_new_tds(void)
{
    setup();
    frames_pass(2000);
    put_qh(QH_AT, LINK_END, USB_TD(0));
    puppet.len = 8;
    put_in(0, LINK_END, 0, 8);
    all_frames(QH_AT | LINK_QH);
    unsigned waited = 0;
    for (; (td_status(0) & STATUS_ON) && waited < 100; waited++)
        frames_pass(1);
    g_assert_cmpuint(waited, <=, 33);
    frames_pass(2000);
    put_in(0, LINK_END, 0, 8);
    put_qh(QH_AT, LINK_END, USB_TD(0));
    uw_set(SOFMOD, 0x40);
    frames_pass(1);
    g_assert_cmphex(td_status(0) & STATUS_ON, ==, 0);
    frames_pass(2000);
    put_in(0, LINK_END, 0, 8);
    put_qh(QH_AT, LINK_END, USB_TD(0));
    (void)uw(FRNUM); /* somebody who asks what time it is has something in mind */
    frames_pass(1);
    g_assert_cmphex(td_status(0) & STATUS_ON, ==, 0);
}

/* A driver that puts one TD there after the other, without a register, has each in the next frame while it is not idle
 * for long: interrupts come at a frame's end (3.3), so that is as early as it can be. */
static void test_one_after_the_other(void)
{
    setup();
    put_qh(QH_AT, LINK_END, LINK_END);
    all_frames(QH_AT | LINK_QH);
    uw_set(USBINTR, 15);
    frames_pass(1);
    int64_t begin = vclock_now();
    for (unsigned n = 0; n < 16; n++) {
        put_td(n, LINK_END, STATUS_ON | STATUS_IOC, USB_OUT, 0, 2, 64, 1);
        put_qh(QH_AT, LINK_END, USB_TD(n));
        while (!usb.irq.level) {
            g_assert_cmpint(vclock_now() - begin, <=, 17 * MS);
            vclock_fake_advance(10000);
        }
        g_assert_cmphex(td_status(n) & STATUS_ON, ==, 0);
        uw_set(USBSTS, 1);
        vclock_fake_advance(300000); /* the driver thinks */
    }
}

/* Each frame is walked from its own entry, late or not: none is left out. */
static void test_idle_leaves_no_frame_out(void)
{
    setup();
    frames_pass(100);
    puppet.result = USB_ACK;
    puppet.len = 8;
    uint16_t now = usb.uhci->regs.frame;
    for (unsigned i = 0; i < 10; i++) {
        put_in(i, LINK_END, 1u << 25, 8);
        word(FRAMES)[(now + 3 * i) & 0x3ff] = USB_TD(i);
    }
    vclock_fake_advance(32 * MS);
    for (unsigned i = 0; i < 10; i++)
        g_assert_cmphex(td_status(i) & STATUS_ON, ==, 0);
    g_assert_false(uhci_is_idle(usb.uhci));
}

/* What was quiet in a run of late frames may not be after a frame in which something happened. */
static void test_idle_run_that_is_not_quiet(void)
{
    setup();
    puppet.result = USB_NAK;
    puppet.answers = true;
    puppet.len = 8;
    put_in(0, LINK_END, 0, 8);
    put_td(1, LINK_END, STATUS_ON | 1u << 25, USB_OUT, 0, 2, 8, 1);
    put_qh(QH_AT, LINK_END, USB_TD(0));
    all_frames(QH_AT | LINK_QH);
    frames_pass(100);
    while (usb.uhci->regs.quiet % 16) /* a run is over */
        frames_pass(1);
    g_assert_true(uhci_is_idle(usb.uhci));
    word(FRAMES)[(usb.uhci->regs.frame + 4) & 0x3ff] = USB_TD(1);
    while (td_status(1) & STATUS_ON)
        frames_pass(1);
    g_assert_cmphex(td_status(0) & STATUS_ON, ==, 0);
}

/* The host has slept: the frames of seconds are not made up for. */
static void test_frames_that_are_lost(void)
{
    setup();
    puppet.result = USB_NAK;
    put_td(0, LINK_END, STATUS_ON, USB_IN, 77, 1, 8, 0); /* nobody's, and without limit: never quiet */
    put_qh(QH_AT, LINK_END, USB_TD(0));
    all_frames(QH_AT | LINK_QH);
    frames_pass(100);
    usb.uhci->regs.frame_at -= 5000 * MS;
    uint16_t frame = usb.uhci->regs.frame;
    uint64_t walks = usb.uhci->walks;
    uw_set(SOFMOD, 0x40);
    frames_pass(1);
    g_assert_cmpuint(usb.uhci->walks - walks, <=, 65);
    g_assert_cmpuint(usb.uhci->walks - walks, >=, 64);
    g_assert_cmpuint((usb.uhci->regs.frame - frame) & 0x7ff, >=, 5000 % 2048);
}

/* FRNUM only goes on, whatever wakes an idle controller. */
static void test_frame_number_and_wakes(void)
{
    setup();
    puppet.result = USB_NAK;
    put_in(0, LINK_END, 0, 8);
    put_qh(QH_AT, LINK_END, USB_TD(0));
    all_frames(QH_AT | LINK_QH);
    uint16_t first = uw(FRNUM);
    for (unsigned i = 1; i < 500; i++) {
        vclock_fake_advance(MS);
        if (i % 23 == 0) {
            usb_wakeup(&puppet.usb, 1, false); /* the walk is still to come */
            g_assert_cmphex(uw(FRNUM), ==, (first + i) & 0x7ff);
        }
        if (i % 50 == 0)
            g_assert_cmphex(uw(FRNUM), ==, (first + i) & 0x7ff);
    }
}

/* Schedules of chance, with real devices: nothing breaks, and no frame takes long. */
static void test_storm(void)
{
    for (unsigned round = 0; round < 300; round++) {
        usb_setup_bare();
        usb_add(&usb_hub_class);
        usb_add(&usb_tablet_class);
        usb_start();
        port_start(0);
        port_start(1);
        for (uint32_t at = QH_AT; at < QH_AT + 0x1000; at += 16) {
            static const uint32_t pid[] = {USB_IN, USB_OUT, USB_SETUP, USB_SETUP};
            uint32_t link =
                (QH_AT + (uint32_t)g_test_rand_int_range(0, 256) * 16) | (uint32_t)g_test_rand_int_range(0, 8);
            word(at)[0] = link & ~(g_test_rand_int_range(0, 8) ? 1u : 0u);
            word(at)[1] = (uint32_t)g_test_rand_int() | (g_test_rand_bit() ? STATUS_ON : 0);
            word(at)[2] = pid[g_test_rand_int_range(0, 4)] | (g_test_rand_bit() ? 7u << 21 : 0xffe00000u) |
                          (uint32_t)g_test_rand_int_range(0, 2) << 15;
            word(at)[3] = QH_AT + (uint32_t)g_test_rand_int_range(0, 0x1000); /* also into the schedule */
            if (!g_test_rand_int_range(0, 3))
                word(at)[1] = (QH_AT + (uint32_t)g_test_rand_int_range(0, 256) * 16) | (uint32_t)g_test_rand_bit() * 2;
        }
        for (unsigned i = 0; i < 1024; i++)
            word(FRAMES)[i] = (QH_AT + (uint32_t)g_test_rand_int_range(0, 256) * 16) | (uint32_t)g_test_rand_bit() * 2;
        for (unsigned i = 0; i < 40; i++) {
            uw_set(USBSTS, 0x3f);
            uw_set(USBCMD, CMD_RS);
            vclock_fake_advance(7 * MS);
        }
    }
}

/* --- State --- */

static void test_state(void)
{
    setup();
    puppet.result = USB_NAK;
    uw_set(USBINTR, 0xf);
    put_in(0, LINK_END, STATUS_IOC, 8);
    run_queue(0);
    frames_pass(7);
    uint16_t frame = uw(FRNUM);
    GByteArray *saved = device_saved(&uhci_class, usb.uhci);
    uw_set(USBCMD, CMD_HCRESET);
    g_byte_array_ref(saved);
    device_load_checked(&uhci_class, usb.uhci, saved);
    g_assert_cmphex(uw(FRNUM), ==, frame);
    g_assert_cmphex(uw(PORTSC1) & (PORT_CCS | PORT_PE), ==, PORT_CCS | PORT_PE);
    puppet.result = USB_ACK;
    puppet.len = 8;
    frames_pass(1); /* it goes on */
    g_assert_cmphex(td_status(0) & STATUS_ON, ==, 0);
    g_assert_true(usb.irq.level);
    g_byte_array_unref(saved);
    saved = device_saved(&uhci_class, usb.uhci);
    uw_set(USBCMD, CMD_HCRESET);
    g_assert_false(usb.irq.level);
    g_assert_true(device_load(&uhci_class, usb.uhci, saved->data, saved->len));
    g_assert_true(usb.irq.level);
    usb_detach(&puppet.usb); /* who is there now counts */
    g_assert_true(device_load(&uhci_class, usb.uhci, saved->data, saved->len));
    g_assert_cmphex(uw(PORTSC1) & (PORT_CCS | PORT_PE), ==, 0);
    g_byte_array_unref(saved);
}

static void expect_refused(void (*damage)(struct uhci_regs *regs))
{
    setup();
    struct uhci_regs good = usb.uhci->regs;
    damage(&usb.uhci->regs);
    GByteArray *saved = device_saved(&uhci_class, usb.uhci);
    usb.uhci->regs = good;
    g_assert_false(device_load(&uhci_class, usb.uhci, saved->data, saved->len));
    g_assert_cmpmem(&usb.uhci->regs, sizeof(good), &good, sizeof(good));
    g_byte_array_unref(saved);
}

static void damage_frame(struct uhci_regs *regs)
{
    regs->frame = 0x800;
}

static void damage_list(struct uhci_regs *regs)
{
    regs->flbaseadd |= 4;
}

static void damage_halted(struct uhci_regs *regs)
{
    regs->usbsts |= STS_HCH;
}

static void test_bad_state(void)
{
    expect_refused(damage_frame);
    expect_refused(damage_list);
    expect_refused(damage_halted);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/uhci/identity", test_identity);
    g_test_add_func("/uhci/registers_after_reset", test_registers_after_reset);
    g_test_add_func("/uhci/frame_number_is_time", test_frame_number_is_time);
    g_test_add_func("/uhci/port_changes", test_port_changes);
    g_test_add_func("/uhci/only_enabled_ports_hear", test_only_enabled_ports_hear);
    g_test_add_func("/uhci/suspend_and_resume", test_suspend_and_resume);
    g_test_add_func("/uhci/global_reset", test_global_reset);
    g_test_add_func("/uhci/in_and_out", test_in_and_out);
    g_test_add_func("/uhci/depth_first_and_ioc", test_depth_first_and_ioc);
    g_test_add_func("/uhci/ioc_of_an_inactive_td", test_ioc_of_an_inactive_td);
    g_test_add_func("/uhci/short_packet", test_short_packet);
    g_test_add_func("/uhci/nak_then_data", test_nak_then_data);
    g_test_add_func("/uhci/stall", test_stall);
    g_test_add_func("/uhci/babble", test_babble);
    g_test_add_func("/uhci/error_counter", test_error_counter);
    g_test_add_func("/uhci/bad_tds_stop_it", test_bad_tds_stop_it);
    g_test_add_func("/uhci/isochronous", test_isochronous);
    g_test_add_func("/uhci/bandwidth", test_bandwidth);
    g_test_add_func("/uhci/nak_in_a_circle", test_nak_in_a_circle);
    g_test_add_func("/uhci/circles", test_circles);
    g_test_add_func("/uhci/one_after_the_other", test_one_after_the_other);
    g_test_add_func("/uhci/idle", test_idle);
    g_test_add_func("/uhci/idle_and_new_tds", test_idle_and_new_tds);
    g_test_add_func("/uhci/idle_leaves_no_frame_out", test_idle_leaves_no_frame_out);
    g_test_add_func("/uhci/idle_run_that_is_not_quiet", test_idle_run_that_is_not_quiet);
    g_test_add_func("/uhci/frames_that_are_lost", test_frames_that_are_lost);
    g_test_add_func("/uhci/frame_number_and_wakes", test_frame_number_and_wakes);
    g_test_add_func("/uhci/storm", test_storm);
    g_test_add_func("/uhci/state", test_state);
    g_test_add_func("/uhci/bad_state", test_bad_state);
    int rc = g_test_run();
    usb_free();
    return rc;
}
