/* USB's default pipe, a hub, and devices of HID: as a driver meets them behind a UHCI. USB 1.1, 9 and 11; HID 1.11. */
#include "usb_guest.h"

#include "devices/usb/usb_hid.h"

extern const struct device_class usb_tablet_class, usb_mouse_class, usb_keyboard_class, usb_hub_class;

#define ADDRESS 5u

static void setup(const struct device_class *class)
{
    usb_setup(class);
    enumerate(ADDRESS);
}

static int get(uint8_t type, uint8_t request, uint16_t value, uint16_t index, uint16_t length)
{
    memset(guest_mem.ram + USB_BUFFER(1), 0xee, 0x400);
    return control(ADDRESS, type | 0x80, request, value, index, length, NULL);
}

static int set(uint8_t type, uint8_t request, uint16_t value, uint16_t index)
{
    return control(ADDRESS, type, request, value, index, 0, NULL);
}

static void expect_bytes(const uint8_t *at, const void *bytes, size_t len)
{
    g_assert_cmpmem(at, len, bytes, len);
}

#define EXPECT_DATA(...) \
    expect_bytes(control_data(), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* A report comes at once, and is this one. */
static void expect_report(const uint8_t *bytes, unsigned len)
{
    poll_put(ADDRESS, 8, 0);
    frames_pass(40);
    g_assert_true(poll_is_done());
    g_assert_cmphex(td_status(32) & (STATUS_STALL | STATUS_CRC), ==, 0);
    g_assert_cmpuint(td_actual(32), ==, len);
    expect_bytes(poll_data(), bytes, len);
}

#define EXPECT_REPORT(...) expect_report((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void expect_silence(void)
{
    poll_put(ADDRESS, 8, 0);
    frames_pass(40);
    g_assert_false(poll_is_done());
    g_assert_cmphex(td_status(32) & STATUS_NAK, !=, 0);
}

/* --- The default pipe --- */

static void test_enumeration(void)
{
    usb_setup(&usb_tablet_class);
    memset(guest_mem.ram + USB_BUFFER(1), 0, 64);
    g_assert_cmpint(control(0, 0x80, 6, 0x0100, 0, 64, NULL), ==, 18); /* short: 18 of 64 */
    EXPECT_DATA(18, 1, 0x10, 1, 0, 0, 0, 8, 0x27, 0x06, 1, 0, 0, 0, 1, 2, 3, 1);
    g_assert_cmpint(control(0, 0, 5, ADDRESS, 0, 0, NULL), ==, 0);
    g_assert_cmpint(get(0, 6, 0x0200, 0, 9), ==, 9);
    EXPECT_DATA(9, 2, 34, 0, 1, 1, 0, 0xa0, 50);
    g_assert_cmpint(get(0, 6, 0x0200, 0, 255), ==, 34);
    g_assert_cmphex(control_data()[9 + 5], ==, 3); /* HID */
    g_assert_cmphex(control_data()[34], ==, 0xee);
    g_assert_cmpint(get(0, 8, 0, 0, 1), ==, 1);
    EXPECT_DATA(0);
    g_assert_cmpint(set(0, 9, 2, 0), ==, STALLED);
    g_assert_cmpint(set(0, 9, 1, 0), ==, 0);
    g_assert_cmpint(get(0, 8, 0, 0, 1), ==, 1);
    EXPECT_DATA(1);
    /* At its old address nobody is left, and after a reset of the port it is there again. */
    put_td(40, LINK_END, STATUS_ON | STATUS_3, USB_SETUP, 0, 0, 8, 0);
    put_qh(QH_AT, LINK_END, USB_TD(40));
    all_frames(QH_AT | LINK_QH);
    frames_pass(40);
    g_assert_cmphex(td_status(40), ==, STATUS_STALL | STATUS_CRC);
    port_start(0);
    g_assert_cmpint(control(0, 0x80, 8, 0, 0, 1, NULL), ==, 1);
    EXPECT_DATA(0);
}

static void test_strings(void)
{
    setup(&usb_tablet_class);
    g_assert_cmpint(get(0, 6, 0x0300, 0, 255), ==, 4);
    EXPECT_DATA(4, 3, 9, 4);
    g_assert_cmpint(get(0, 6, 0x0302, 0x409, 255), ==, 2 + 2 * 15);
    EXPECT_DATA(32, 3, 'Q', 0, 'E', 0, 'M', 0, 'U', 0, ' ', 0, 'U', 0, 'S', 0, 'B', 0, ' ', 0, 'T', 0);
    g_assert_cmpint(get(0, 6, 0x0304, 0x409, 255), ==, STALLED);
    g_assert_cmpint(get(0, 6, 0x0600, 0, 10), ==, 10); /* what it is at high speed */
    g_assert_cmpint(get(0, 8, 0, 0, 1), ==, 1);        /* a stall of the default pipe ends with the next request */
}

static void test_features(void)
{
    setup(&usb_tablet_class);
    g_assert_cmpint(get(0, 0, 0, 0, 2), ==, 2);
    EXPECT_DATA(0, 0);
    g_assert_cmpint(set(0, 3, 1, 0), ==, 0);
    g_assert_cmpint(get(0, 0, 0, 0, 2), ==, 2);
    EXPECT_DATA(2, 0);
    g_assert_cmpint(set(0, 1, 1, 0), ==, 0);
    g_assert_cmpint(set(0, 3, 2, 0), ==, STALLED);
    g_assert_cmpint(set(2, 3, 0, 0x81), ==, 0); /* endpoint 1 is halted */
    g_assert_cmpint(get(2, 0, 0, 0x81, 2), ==, 2);
    EXPECT_DATA(1, 0);
    poll_put(ADDRESS, 8, 0);
    frames_pass(40);
    g_assert_cmphex(td_status(32) & STATUS_STALL, !=, 0);
    g_assert_cmpint(set(2, 1, 0, 0x81), ==, 0);
    expect_silence();
    g_assert_cmpint(set(2, 3, 0, 0x82), ==, STALLED); /* there is none */
    g_assert_cmpint(set(1, 11, 0, 0), ==, 0);
    g_assert_cmpint(set(1, 11, 1, 0), ==, STALLED);
    g_assert_cmpint(set(0x40, 1, 0, 0), ==, STALLED);
}

static void test_requests_that_are_too_long(void)
{
    setup(&usb_keyboard_class);
    uint8_t bytes[600] = {0};
    g_assert_cmpint(control(ADDRESS, 0x21, 9, 0x0200, 0, 160, bytes), ==, 160);
    /* More than we hold: 600 bytes of OUT. */
    uint8_t setup_bytes[8] = {0x21, 9, 0, 2, 0, 0, 88, 2};
    memcpy(guest_mem.ram + USB_BUFFER(0), setup_bytes, 8);
    put_td(0, USB_TD(1) | LINK_DEPTH, STATUS_ON, USB_SETUP, ADDRESS, 0, 8, 0);
    put_td(1, LINK_END, STATUS_ON, USB_OUT, ADDRESS, 0, 600, 1);
    put_qh(QH_AT, LINK_END, USB_TD(0));
    all_frames(QH_AT | LINK_QH);
    frames_pass(40);
    g_assert_cmphex(td_status(1) & STATUS_STALL, !=, 0);
    /* More data than was said. */
    setup_bytes[6] = 4;
    setup_bytes[7] = 0;
    memcpy(guest_mem.ram + USB_BUFFER(0), setup_bytes, 8);
    put_td(0, USB_TD(1) | LINK_DEPTH, STATUS_ON, USB_SETUP, ADDRESS, 0, 8, 0);
    put_td(1, LINK_END, STATUS_ON, USB_OUT, ADDRESS, 0, 8, 1);
    put_qh(QH_AT, LINK_END, USB_TD(0));
    frames_pass(40);
    g_assert_cmphex(td_status(1) & STATUS_STALL, !=, 0);
    g_assert_cmpint(get(0, 8, 0, 0, 1), ==, 1);
}

/* --- HID --- */

/* What a report's items add up to, in bits. */
static unsigned report_bits(const uint8_t *at, unsigned len, uint8_t kind)
{
    unsigned size = 0, count = 0, bits = 0, depth = 0;
    for (const uint8_t *end = at + len; at < end;) {
        uint8_t item = *at++;
        unsigned bytes = (item & 3) == 3 ? 4 : item & 3, value = 0;
        for (unsigned i = 0; i < bytes; i++)
            value |= (unsigned)*at++ << 8 * i;
        size = (item & 0xfc) == 0x74 ? value : size;
        count = (item & 0xfc) == 0x94 ? value : count;
        bits += (item & 0xfc) == kind ? size * count : 0;
        depth += ((item & 0xfc) == 0xa0) - ((item & 0xfc) == 0xc0);
    }
    g_assert_cmpuint(depth, ==, 0);
    return bits;
}

static void expect_descriptors(const struct device_class *class, unsigned in, unsigned out)
{
    setup(class);
    g_assert_cmpint(get(0, 6, 0x0200, 0, 34), ==, 34);
    unsigned len = control_data()[25] | (unsigned)control_data()[26] << 8;
    g_assert_cmphex(control_data()[19], ==, 0x21);
    g_assert_cmpint(get(1, 6, 0x2100, 0, 9), ==, 9);
    g_assert_cmpuint(control_data()[7], ==, len);
    g_assert_cmpint(get(1, 6, 0x2200, 0, 255), ==, (int)len);
    g_assert_cmpuint(report_bits(control_data(), len, 0x80), ==, in);
    g_assert_cmpuint(report_bits(control_data(), len, 0x90), ==, out);
}

static void test_report_descriptors(void)
{
    expect_descriptors(&usb_tablet_class, 48, 0);
    expect_descriptors(&usb_mouse_class, 32, 0);
    expect_descriptors(&usb_keyboard_class, 64, 8);
}

static void place(unsigned x, unsigned y, int dz, unsigned buttons)
{
    usb.input->absolute(usb.input->opaque, x, y, dz, buttons);
}

static void test_tablet(void)
{
    setup(&usb_tablet_class);
    g_assert_false(input_sink_is_on(usb.input));
    place(1, 1, 0, 0);
    g_assert_null(usb.input->mouse);
    g_assert_null(usb.input->key);
    EXPECT_REPORT(0, 1, 0, 1, 0, 0);
    g_assert_true(input_sink_is_on(usb.input)); /* somebody asks */
    expect_silence();
    place(0x1234, 99999, 0, 1);
    EXPECT_REPORT(1, 0x34, 0x12, 0xff, 0x7f, 0);
    place(0x1234, 32767, 0, 1); /* nothing new */
    expect_silence();
    place(0x1234, 32767, -1, 0); /* the wheel, away from the user */
    EXPECT_REPORT(0, 0x34, 0x12, 0xff, 0x7f, 1);
    expect_silence();
}

/* No click is lost between two reports, and moves become one. */
static void test_clicks_wait(void)
{
    setup(&usb_tablet_class);
    for (unsigned i = 1; i <= 50; i++)
        place(i, 0, 1, 0);
    place(50, 0, 0, 1);
    place(50, 0, 0, 0);
    place(51, 0, 0, 2);
    EXPECT_REPORT(0, 50, 0, 0, 0, (uint8_t)-50);
    EXPECT_REPORT(1, 50, 0, 0, 0, 0);
    EXPECT_REPORT(0, 50, 0, 0, 0, 0);
    EXPECT_REPORT(2, 51, 0, 0, 0, 0);
    expect_silence();
    for (unsigned i = 0; i < 1000; i++)
        place(i, 0, 0, i & 1);
    unsigned count = 0;
    for (; poll_put(ADDRESS, 8, 0), frames_pass(40), poll_is_done(); count++)
        continue;
    g_assert_cmpuint(count, ==, HID_MOVES);
    g_assert_cmphex(poll_data()[1] | poll_data()[2] << 8, ==, 999); /* the last is the last */
    g_assert_cmphex(poll_data()[0], ==, 1);
}

/* A move is there within a frame or two, although the controller had gone idle. */
static void test_a_move_wakes(void)
{
    setup(&usb_tablet_class);
    poll_put(ADDRESS, 8, STATUS_IOC);
    frames_pass(3000);
    uint64_t walks = usb.uhci->walks;
    frames_pass(1000);
    g_assert_cmpuint(usb.uhci->walks - walks, <, 40);
    g_assert_false(poll_is_done());
    place(7, 8, 0, 0);
    vclock_fake_advance(MS);
    g_assert_true(poll_is_done());
    g_assert_cmphex(uw(USBSTS), ==, STS_USBINT);
}

static void test_remote_wakeup(void)
{
    setup(&usb_tablet_class);
    uw_set(PORTSC1, PORT_PE | PORT_SUSP);
    place(7, 8, 0, 0);
    g_assert_cmphex(uw(PORTSC1) & PORT_RD, ==, 0); /* nobody has allowed it */
    uw_set(PORTSC1, PORT_PE);
    g_assert_cmpint(set(0, 3, 1, 0), ==, 0);
    uw_set(PORTSC1, PORT_PE | PORT_SUSP);
    place(9, 8, 0, 0);
    g_assert_cmphex(uw(PORTSC1) & PORT_RD, !=, 0);
    g_assert_cmphex(uw(USBSTS), ==, STS_RD);
    uw_set(PORTSC1, PORT_PE);
    EXPECT_REPORT(0, 9, 0, 8, 0, 0);
}

static void test_mouse(void)
{
    setup(&usb_mouse_class);
    usb.input->mouse(usb.input->opaque, 3, 5, 1, 4);
    usb.input->mouse(usb.input->opaque, 300, 0, 0, 4);
    EXPECT_REPORT(4, 127, (uint8_t)-5, (uint8_t)-1);
    EXPECT_REPORT(4, 127, 0, 0);
    EXPECT_REPORT(4, 49, 0, 0);
    expect_silence();
    g_assert_cmpint(set(0x21, 11, 0, 0), ==, 0);
    usb.input->mouse(usb.input->opaque, -1, 0, 0, 0);
    EXPECT_REPORT(0, 0xff, 0); /* of the boot protocol */
    g_assert_cmpint(get(0x21, 3, 0, 0, 1), ==, 1);
    EXPECT_DATA(0);
    g_assert_cmpint(get(0x21, 1, 0x0100, 0, 3), ==, 3);
}

static void press(uint16_t code, bool down)
{
    usb.input->key(usb.input->opaque, code, down);
}

static void test_keyboard(void)
{
    setup(&usb_keyboard_class);
    press(0x2a, true);
    press(0x1e, true);
    press(0x1e, true); /* what repeats is the guest's matter */
    press(0xe038, true);
    press(0x1e, false);
    EXPECT_REPORT(2, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_REPORT(2, 0, 4, 0, 0, 0, 0, 0);
    EXPECT_REPORT(0x42, 0, 4, 0, 0, 0, 0, 0);
    EXPECT_REPORT(0x42, 0, 0, 0, 0, 0, 0, 0);
    press(0x2a, false);
    press(0xe038, false);
    press(0x55, true); /* no key */
    EXPECT_REPORT(0x40, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_REPORT(0, 0, 0, 0, 0, 0, 0, 0);
    expect_silence();
    static const uint16_t seven[] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x57};
    for (unsigned i = 0; i < 7; i++)
        press(seven[i], true);
    for (unsigned i = 0; i < 5; i++) {
        poll_put(ADDRESS, 8, 0);
        frames_pass(40);
    }
    EXPECT_REPORT(0, 0, 0x14, 0x1a, 0x08, 0x15, 0x17, 0x1c);
    EXPECT_REPORT(0, 0, 1, 1, 1, 1, 1, 1); /* too many */
    press(0x10, false);
    EXPECT_REPORT(0, 0, 0x1a, 0x08, 0x15, 0x17, 0x1c, 0x44);
}

/* Whatever waits, each press that was taken has its release. */
static void test_keys_that_nobody_reads(void)
{
    setup(&usb_keyboard_class);
    for (unsigned round = 0; round < 4; round++) {
        for (uint16_t code = 1; code <= 0x53; code++)
            press(code, true);
        for (uint16_t code = 1; code <= 0x53; code++)
            press(code, false);
    }
    static const uint8_t nothing[8];
    unsigned count = 0;
    for (; poll_put(ADDRESS, 8, 0), frames_pass(20), poll_is_done(); count++)
        g_assert_cmpuint(count, <, HID_KEYS);
    g_assert_cmpuint(count, >=, 0x53 * 2);
    expect_bytes(poll_data(), nothing, 8);
    press(0x1e, true);
    EXPECT_REPORT(0, 0, 4, 0, 0, 0, 0, 0);
}

static void test_leds(void)
{
    GString *text = g_string_new(NULL);
    setup(&usb_keyboard_class);
    g_assert_cmpint(control(ADDRESS, 0x21, 9, 0x0200, 0, 1, "\x02"), ==, 1);
    usb.class[0]->dump(usb.device[0], text);
    g_assert_nonnull(strstr(text->str, "LEDs 2"));
    g_string_free(text, TRUE);
    setup(&usb_tablet_class);
    g_assert_cmpint(control(ADDRESS, 0x21, 9, 0x0200, 0, 1, "\x02"), ==, STALLED);
}

/* 7.2.4: the same report again, each so many times 4 ms. */
static void test_idle_rate(void)
{
    setup(&usb_keyboard_class);
    expect_silence();
    g_assert_cmpint(set(0x21, 10, 25 << 8, 0), ==, 0);
    g_assert_cmpint(get(0x21, 2, 0, 0, 1), ==, 1);
    EXPECT_DATA(25);
    press(0x1e, true);
    EXPECT_REPORT(0, 0, 4, 0, 0, 0, 0, 0);
    expect_silence(); /* 80 ms so far, or less */
    unsigned waited = 0;
    for (; !poll_is_done() && waited < 500; waited++)
        frames_pass(1);
    g_assert_cmpuint(waited, >, 10);
    g_assert_cmpuint(waited, <, 100);
    expect_bytes(poll_data() + 2, "\x04", 1);
    g_assert_cmpint(set(0x21, 10, 0, 0), ==, 0);
    poll_put(ADDRESS, 8, 0);
    frames_pass(40); /* what was due */
    poll_put(ADDRESS, 8, 0);
    frames_pass(500);
    g_assert_false(poll_is_done());
}

static void test_not_configured(void)
{
    usb_setup(&usb_keyboard_class);
    press(0x1e, true); /* lost */
    enumerate(ADDRESS);
    expect_silence();
    g_assert_true(input_sink_is_on(usb.input));
    press(0x1e, true);
    g_assert_cmpint(set(0, 9, 0, 0), ==, 0);
    g_assert_false(input_sink_is_on(usb.input));
    poll_put(ADDRESS, 8, 0);
    frames_pass(40);
    g_assert_cmphex(td_status(32) & STATUS_CRC, !=, 0); /* there is no such endpoint then */
    g_assert_cmpint(set(0, 9, 1, 0), ==, 0);
    expect_silence(); /* the key is forgotten */
}

/* --- Saved in the middle --- */

static void reload(void *dev, const struct device_class *class)
{
    GByteArray *saved = device_saved(class, dev);
    class->reset(dev);
    device_load_checked(class, dev, saved);
}

static void test_state(void)
{
    setup(&usb_tablet_class);
    place(1, 2, 0, 1);
    place(3, 4, 0, 0);
    g_assert_cmpint(set(0x21, 10, 200 << 8, 0), ==, 0);
    reload(usb.device[0], usb.class[0]);
    EXPECT_REPORT(1, 1, 0, 2, 0, 0);
    reload(usb.device[0], usb.class[0]);
    EXPECT_REPORT(0, 3, 0, 4, 0, 0);
    g_assert_cmpint(get(0x21, 2, 0, 0, 1), ==, 1);
    EXPECT_DATA(200);
    reload(usb.device[0], usb.class[0]);
    poll_put(ADDRESS, 8, 0);
    frames_pass(900); /* the timer was armed again */
    g_assert_true(poll_is_done());
    /* Between SETUP and data. */
    uint8_t setup_bytes[8] = {0x80, 6, 0, 1, 0, 0, 18, 0};
    memcpy(guest_mem.ram + USB_BUFFER(0), setup_bytes, 8);
    put_td(0, LINK_END, STATUS_ON, USB_SETUP, ADDRESS, 0, 8, 0);
    put_td(1, LINK_END, STATUS_ON, USB_IN, ADDRESS, 0, 8, 1);
    put_qh(QH_AT, LINK_END, USB_TD(0));
    all_frames(QH_AT | LINK_QH);
    frames_pass(40);
    reload(usb.device[0], usb.class[0]);
    put_qh(QH_AT, LINK_END, USB_TD(1));
    frames_pass(40);
    g_assert_cmpuint(td_actual(1), ==, 8);
    EXPECT_DATA(18, 1);
}

static void expect_refused(void (*damage)(struct usb_hid_regs *regs, struct usb_function_regs *function))
{
    struct copy {
        struct usb_function function;
        struct usb_hid_regs regs;
    } * hid; /* how usb_hid.c's begins */
    setup(&usb_tablet_class);
    hid = usb.device[0];
    struct copy good = *hid;
    damage(&hid->regs, &hid->function.regs);
    GByteArray *saved = device_saved(usb.class[0], hid);
    *hid = good;
    g_assert_false(device_load(usb.class[0], hid, saved -> data, saved -> len));
    g_byte_array_unref(saved);
    place(1, 1, 0, 0);
    EXPECT_REPORT(0, 1, 0, 1, 0, 0);
}

static void damage_ring(struct usb_hid_regs *regs, struct usb_function_regs *function)
{
    regs->first = HID_MOVES;
}

static void damage_count(struct usb_hid_regs *regs, struct usb_function_regs *function)
{
    regs->downs = HID_DOWN_MAX + 1;
}

static void damage_place(struct usb_hid_regs *regs, struct usb_function_regs *function)
{
    regs->move[3].x = -1;
}

static void damage_pipe(struct usb_hid_regs *regs, struct usb_function_regs *function)
{
    function->len = USB_CONTROL_MAX + 1;
}

static void damage_moved(struct usb_hid_regs *regs, struct usb_function_regs *function)
{
    function->moved = 1;
    function->len = 0;
}

static void test_bad_state(void)
{
    expect_refused(damage_ring);
    expect_refused(damage_count);
    expect_refused(damage_place);
    expect_refused(damage_pipe);
    expect_refused(damage_moved);
}

/* --- A hub --- */

#define BEHIND 9u

/* Asks the hub for what has changed. */
static unsigned changes(void)
{
    poll_put(ADDRESS, 2, 0);
    frames_pass(40);
    return poll_is_done() ? poll_data()[0] | (unsigned)poll_data()[1] << 8 : 0;
}

static void expect_port(unsigned port, uint16_t status, uint16_t change)
{
    g_assert_cmpint(get(0x23, 0, 0, (uint16_t)port, 4), ==, 4);
    EXPECT_DATA((uint8_t)status, (uint8_t)(status >> 8), (uint8_t)change, (uint8_t)(change >> 8));
}

static void test_hub(void)
{
    usb_setup_bare();
    usb_add(&usb_hub_class);
    g_assert_cmpuint(usb_bus_free_ports(usb.bus), ==, 9);
    struct usb_device *tablet = usb_add(&usb_tablet_class);
    g_assert_cmpstr(tablet->port->path, ==, "2");
    struct usb_device *keyboard = usb_add(&usb_keyboard_class);
    g_assert_cmpstr(keyboard->port->path, ==, "1.1");
    usb_start();
    port_start(0);
    enumerate(ADDRESS);
    g_assert_cmpint(get(0x20, 6, 0x2900, 0, 15), ==, 11);
    EXPECT_DATA(11, 0x29, 8);
    g_assert_cmpuint(changes(), ==, 1u << 1);
    expect_port(1, 0x101, 1);
    expect_port(2, 0x100, 0);
    g_assert_cmpint(get(0x23, 0, 0, 9, 4), ==, STALLED);
    g_assert_cmpint(set(0x23, 1, 16, 1), ==, 0);
    g_assert_cmpuint(changes(), ==, 0);
    g_assert_cmpint(set(0x23, 3, 4, 1), ==, 0); /* reset */
    expect_port(1, 0x103, 0x10);
    g_assert_cmpint(set(0x23, 1, 20, 1), ==, 0);
    expect_port(1, 0x103, 0);
    enumerate(BEHIND);
    reload(usb.device[0], &usb_hub_class);
    press(0x1e, true);
    put_td(33, LINK_END, STATUS_ON | STATUS_3, USB_IN, BEHIND, 1, 8, 9);
    put_qh(QH_AT, LINK_END, USB_TD(33));
    all_frames(QH_AT | LINK_QH);
    frames_pass(40);
    g_assert_cmphex(guest_mem.ram[USB_BUFFER(9) + 2], ==, 4);
    put_td(33, LINK_END, STATUS_ON | STATUS_3, USB_IN, BEHIND, 1, 8, 9);
    put_qh(QH_AT, LINK_END, USB_TD(33));
    frames_pass(3000);
    press(0x1e, false); /* the word goes up through the hub */
    vclock_fake_advance(MS);
    g_assert_cmphex(td_status(33) & STATUS_ON, ==, 0);
    g_assert_cmpint(set(0x23, 1, 1, 1), ==, 0); /* disabled: nobody hears */
    put_td(33, LINK_END, STATUS_ON | STATUS_3, USB_IN, BEHIND, 1, 8, 9);
    put_qh(QH_AT, LINK_END, USB_TD(33));
    all_frames(QH_AT | LINK_QH);
    frames_pass(40);
    g_assert_cmphex(td_status(33), ==, STATUS_STALL | STATUS_CRC);
    usb_detach(keyboard);
    g_assert_cmpuint(changes(), ==, 1u << 1);
    expect_port(1, 0x100, 1);
}

/* When the board goes, the processor may have gone already: nobody asks it for the bus. */
static void test_going_is_silent(void)
{
    unsigned asked = 0;
    usb_setup_bare();
    usb_add(&usb_hub_class);
    usb_add(&usb_tablet_class);
    usb_add(&usb_keyboard_class);
    usb_start();
    port_start(0);
    enumerate(ADDRESS);
    pci_bus_set_request(usb.pci, (struct irq){pulse_count, &asked, 0});
    usb_wakeup(usb.device[2], 1, false);
    g_assert_cmpuint(asked, ==, 1);
    pci_bus_granted(usb.pci);
    asked = 0;
    usb_free();
    g_assert_cmpuint(asked, ==, 0);
}

static void test_hubs_are_not_endless(void)
{
    usb_setup_bare();
    GError *error = NULL;
    char *path = g_strdup("1");
    for (unsigned i = 0; i <= USB_HUBS_DEEP; i++) {
        struct {
            const char *port;
        } config = {path};
        const struct device_site site = {.board = &usb.board, .id = "hub/0", .controller = usb.bus};
        void *hub = usb_hub_class.create(&site, &config, &error);
        if (i == USB_HUBS_DEEP) {
            g_assert_null(hub);
            g_assert_nonnull(strstr(error->message, "no more than 5"));
            g_clear_error(&error);
            break;
        }
        g_assert_no_error(error);
        usb.class[usb.devices] = &usb_hub_class;
        usb.device[usb.devices++] = hub;
        char *next = g_strdup_printf("%s.8", path);
        g_free(path);
        path = next;
    }
    g_assert_cmpuint(usb_bus_free_ports(usb.bus), ==, 1 + 4 * 7 + 8);
    g_free(path);
    struct usb_device nobody = {.product = "x", .speeds = 1u << USB_HIGH};
    g_assert_false(usb_attach(usb.bus, &nobody, "2", &error));
    g_assert_nonnull(strstr(error->message, "speed"));
    g_clear_error(&error);
    nobody.speeds = 1u << USB_FULL;
    g_assert_false(usb_attach(usb.bus, &nobody, "1", &error));
    g_assert_nonnull(strstr(error->message, "taken"));
    g_clear_error(&error);
    g_assert_false(usb_attach(usb.bus, &nobody, "7", &error));
    g_assert_nonnull(strstr(error->message, "no USB port '7'"));
    g_clear_error(&error);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usb_hid/enumeration", test_enumeration);
    g_test_add_func("/usb_hid/strings", test_strings);
    g_test_add_func("/usb_hid/features", test_features);
    g_test_add_func("/usb_hid/requests_that_are_too_long", test_requests_that_are_too_long);
    g_test_add_func("/usb_hid/report_descriptors", test_report_descriptors);
    g_test_add_func("/usb_hid/tablet", test_tablet);
    g_test_add_func("/usb_hid/clicks_wait", test_clicks_wait);
    g_test_add_func("/usb_hid/a_move_wakes", test_a_move_wakes);
    g_test_add_func("/usb_hid/remote_wakeup", test_remote_wakeup);
    g_test_add_func("/usb_hid/mouse", test_mouse);
    g_test_add_func("/usb_hid/keyboard", test_keyboard);
    g_test_add_func("/usb_hid/keys_that_nobody_reads", test_keys_that_nobody_reads);
    g_test_add_func("/usb_hid/leds", test_leds);
    g_test_add_func("/usb_hid/idle_rate", test_idle_rate);
    g_test_add_func("/usb_hid/not_configured", test_not_configured);
    g_test_add_func("/usb_hid/state", test_state);
    g_test_add_func("/usb_hid/bad_state", test_bad_state);
    g_test_add_func("/usb_hid/hub", test_hub);
    g_test_add_func("/usb_hid/going_is_silent", test_going_is_silent);
    g_test_add_func("/usb_hid/hubs_are_not_endless", test_hubs_are_not_endless);
    int rc = g_test_run();
    usb_free();
    return rc;
}
