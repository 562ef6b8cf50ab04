/* A USB device of the host's: what becomes an order, and what the guest sees of its answer. USB 2.0, 5.8, 8.5.3, 9.4.
 */
#include <glib.h>

#include "fake_usbhost.h"

#define HIGH  (1u << USB_HIGH)
#define FULL  (1u << USB_FULL)
#define IN_1  (USBHOST_IN + 1)
#define OUT_2 2

static struct usb_device *dev;
static uint8_t bytes[USBHOST_BUFFER + 16];
static uint32_t actual;

static const struct host_config any = {.vendor = 0x1209, .guest_reset = true};

static enum usb_result packet(uint8_t pid, unsigned endpoint, uint32_t len, uint32_t more)
{
    struct usb_packet one = {
        .pid = pid, .address = dev->address, .endpoint = (uint8_t)endpoint, .buffer = bytes, .len = len, .more = more};
    enum usb_result result = dev->ops->packet(dev, &one);
    actual = one.actual;
    return result;
}

static void come(enum usb_speed speed, uint8_t can_slow)
{
    real.about = (struct usbhost_about){
        .speed = (uint8_t)speed, .packet0 = 64, .can_slow = can_slow, .address = 7, .vendor = 0x1209, .bus = 1};
    real.about.endpoint[IN_1] = (struct usbhost_endpoint){1, 2, 512};
    real.about.endpoint[OUT_2] = (struct usbhost_endpoint){1, 2, 512};
    real.about.endpoint[USBHOST_IN + 3] = (struct usbhost_endpoint){1, 1, 192};
    real.about.endpoint[USBHOST_IN + 4] = (struct usbhost_endpoint){1, 3, 8};
    real.front->came(real.opaque, &real.about);
}

static void setup_with(const struct host_config *config, uint8_t speeds)
{
    GError *error = NULL;
    memset(&real, 0, sizeof(real));
    dev = host_board_make(config, NULL, speeds, &error);
    g_assert_no_error(error);
}

static void setup(void)
{
    setup_with(&any, HIGH | FULL);
    come(USB_HIGH, FULL);
    g_assert_true(usb_is_present(dev));
}

static void done(void)
{
    usb_host_class.destroy(dev);
    g_assert_cmpuint(real.opens, ==, real.closes);
}

static void request(uint8_t type, uint8_t number, uint16_t value, uint16_t index, uint16_t length)
{
    const uint8_t wire[8] = {type,           number, (uint8_t)value,  (uint8_t)(value >> 8),
                             (uint8_t)index, 0,      (uint8_t)length, (uint8_t)(length >> 8)};
    memcpy(bytes, wire, 8);
    g_assert_cmpint(packet(USB_SETUP, 0, 8, 0), ==, USB_ACK);
}

static void comes_and_goes(void)
{
    setup_with(&any, HIGH | FULL);
    g_assert_false(usb_is_present(dev));
    g_assert_cmpuint(usb_bus_free_ports(&host_board.bus), ==, 1);
    for (unsigned i = 0; i < 2; i++) {
        come(USB_HIGH, 0);
        g_assert_true(usb_is_present(dev) && dev->speed == USB_HIGH);
        g_assert_cmpint(packet(USB_IN, 1, 512, 0), ==, USB_NAK);
        real.busy = 0;
        real.front->went(real.opaque);
        g_assert_false(usb_is_present(dev));
        g_assert_cmpuint(host_board.changes, ==, 2 * i + 2);
    }
    usb_host_class.unplug(dev);
    g_assert_cmpuint(usb_bus_free_ports(&host_board.bus), ==, 2);
    done();
}

static void no_room_at_its_speed(void)
{
    setup_with(&any, FULL);
    come(USB_HIGH, 0);
    g_assert_false(usb_is_present(dev));
    g_assert_true(real.releases == 1 && !real.again);
    real.front->went(real.opaque);
    come(USB_HIGH, FULL);
    g_assert_true(usb_is_present(dev) && dev->speed == USB_FULL);
    done();
}

static void which_one_is_needed(void)
{
    static const struct host_config none = {.guest_reset = true};
    GError *error = NULL;
    g_assert_null(host_board_make(&none, NULL, HIGH, &error));
    g_assert_nonnull(strstr(error->message, "which device"));
    g_clear_error(&error);
    g_assert_cmpuint(usb_bus_free_ports(&host_board.bus), ==, 2);
}

static void control_in_by_packets(void)
{
    setup();
    request(0x80, 6, 0x0200, 0, 100);
    g_assert_cmpint(packet(USB_IN, 0, 64, 0), ==, USB_NAK);
    g_assert_true(real.busy == 1 && real.order[0].kind == USBHOST_CONTROL && real.order[0].len == 100);
    for (unsigned i = 0; i < 100; i++)
        real.buffer[0][i] = (uint8_t)i;
    real_answer(0, USBHOST_OK, 70);
    g_assert_cmpuint(host_board.wakeups, ==, 1);
    g_assert_true(packet(USB_IN, 0, 64, 0) == USB_ACK && actual == 64 && bytes[63] == 63);
    g_assert_true(packet(USB_IN, 0, 36, 0) == USB_ACK && actual == 6 && bytes[5] == 69);
    g_assert_cmpint(packet(USB_OUT, 0, 0, 0), ==, USB_ACK);
    g_assert_cmpint(packet(USB_IN, 0, 64, 0), ==, USB_STALL);
    done();
}

static void control_out_and_stall(void)
{
    setup();
    request(0x21, 9, 0, 0, 3);
    memcpy(bytes, "abc", 3);
    g_assert_cmpint(packet(USB_OUT, 0, 3, 0), ==, USB_ACK);
    g_assert_cmpint(packet(USB_IN, 0, 0, 0), ==, USB_NAK);
    g_assert_true(real.order[0].len == 3 && memcmp(real.buffer[0], "abc", 3) == 0);
    real_answer(0, USBHOST_OK, 3);
    g_assert_cmpint(packet(USB_IN, 0, 0, 0), ==, USB_ACK);
    request(0x21, 9, 0, 0, 0);
    real_answer(0, USBHOST_STALL, 0);
    g_assert_cmpint(packet(USB_IN, 0, 0, 0), ==, USB_STALL);
    request(0x21, 9, 0, 0, 5000); /* more than Linux moves */
    g_assert_true(packet(USB_OUT, 0, 64, 0) == USB_STALL && !real.busy);
    done();
}

/* The address is between the guest and us. */
static void address_is_local(void)
{
    setup();
    request(0, 5, 17, 0, 0);
    g_assert_true(!real.busy && dev->address == 0);
    g_assert_cmpint(packet(USB_IN, 0, 0, 0), ==, USB_ACK);
    g_assert_cmpuint(dev->address, ==, 17);
    done();
}

static void calls_of_their_own(void)
{
    setup();
    request(0, 9, 1, 0, 0);
    g_assert_true(real.order[0].kind == USBHOST_CONFIGURATION && real.order[0].value == 1);
    real_answer(0, USBHOST_OK, 0);
    request(1, 11, 2, 3, 0);
    g_assert_true(real.order[0].kind == USBHOST_INTERFACE && real.order[0].value == 2 && real.order[0].index == 3);
    real_answer(0, USBHOST_OK, 0);
    request(2, 1, 0, 0x81, 0);
    g_assert_true(real.order[0].kind == USBHOST_CLEAR_HALT && real.order[0].index == 0x81);
    real_answer(0, USBHOST_OK, 0);
    done();
}

/* A SETUP ends what was before it; its late answer is not the new one's. */
static void setup_overtakes(void)
{
    setup();
    request(0x80, 6, 0x0100, 0, 18);
    request(0x80, 6, 0x0200, 0, 9);
    request(0x80, 6, 0x0200, 0, 32);
    g_assert_cmpuint(real.cancels, ==, 1);
    real.buffer[0][0] = 1;
    real_answer(0, USBHOST_OK, 18);
    g_assert_true(real.busy == 1 && real.order[0].len == 32);
    real.buffer[0][0] = 2;
    real_answer(0, USBHOST_OK, 32);
    g_assert_true(packet(USB_IN, 0, 32, 0) == USB_ACK && actual == 32 && bytes[0] == 2);
    done();
}

static void super_speed_packet_size(void)
{
    setup();
    real.front->went(real.opaque);
    come(USB_SUPER, FULL);
    g_assert_cmpint(dev->speed, ==, USB_HIGH);
    request(0x80, 6, 0x0100, 0, 18);
    real.buffer[0][7] = 9;
    real_answer(0, USBHOST_OK, 18);
    g_assert_true(packet(USB_IN, 0, 18, 0) == USB_ACK && bytes[7] == 64);
    done();
}

/* One order for all that the guest's transfer wants, in whole packets. */
static void in_is_one_order(void)
{
    setup();
    g_assert_cmpint(packet(USB_IN, 1, 512, 700), ==, USB_NAK);
    g_assert_true(real.order[IN_1].kind == USBHOST_TRANSFER && real.order[IN_1].len == 1536);
    for (unsigned i = 0; i < 1536; i++)
        real.buffer[IN_1][i] = (uint8_t)(i / 512);
    real_answer(IN_1, USBHOST_OK, 1100);
    g_assert_cmpuint(host_board.wakeups, ==, 1);
    g_assert_true(packet(USB_IN, 1, 512, 700) == USB_ACK && actual == 512 && bytes[0] == 0);
    g_assert_true(packet(USB_IN, 1, 512, 188) == USB_ACK && actual == 512 && bytes[0] == 1);
    g_assert_true(packet(USB_IN, 1, 188, 0) == USB_ACK && actual == 76 && bytes[0] == 2);
    g_assert_false(real.busy);
    /* Never more than the buffer. */
    packet(USB_IN, 1, 512, 0x7fffff00);
    g_assert_cmpuint(real.order[IN_1].len, ==, USBHOST_BUFFER);
    done();
}

static void in_ends_with_an_empty_packet(void)
{
    setup();
    packet(USB_IN, 1, 512, 3584);
    real_answer(IN_1, USBHOST_OK, 512);
    g_assert_true(packet(USB_IN, 1, 512, 3584) == USB_ACK && actual == 512);
    g_assert_true(packet(USB_IN, 1, 512, 3072) == USB_ACK && actual == 0);
    g_assert_cmpint(packet(USB_IN, 1, 512, 0), ==, USB_NAK);
    g_assert_true(real.busy == 1u << IN_1); /* the next one's */
    done();
}

static void in_data_and_then_an_error(void)
{
    setup();
    packet(USB_IN, 1, 512, 512);
    real_answer(IN_1, USBHOST_STALL, 512);
    g_assert_true(packet(USB_IN, 1, 512, 512) == USB_ACK && actual == 512);
    g_assert_cmpint(packet(USB_IN, 1, 512, 0), ==, USB_STALL);
    packet(USB_IN, 1, 512, 0);
    real_answer(IN_1, USBHOST_FAILED, 0);
    g_assert_cmpint(packet(USB_IN, 1, 512, 0), ==, USB_NONE);
    packet(USB_IN, 1, 13, 0);
    real_answer(IN_1, USBHOST_OK, 512); /* more than was asked for, and a packet */
    g_assert_cmpint(packet(USB_IN, 1, 13, 0), ==, USB_BABBLE);
    g_assert_cmpint(packet(USB_IN, 1, 13, 0), ==, USB_NAK);
    done();
}

static void out_is_collected(void)
{
    setup();
    for (unsigned i = 0; i < 3; i++) {
        memset(bytes, (int)i, 512);
        g_assert_cmpint(packet(USB_OUT, 2, i < 2 ? 512 : 100, i < 2 ? 1124 - 512 * (i + 1) : 0), ==,
                        i < 2 ? USB_ACK : USB_NAK);
    }
    g_assert_true(real.busy == 1u << OUT_2 && real.order[OUT_2].len == 1124);
    g_assert_true(real.buffer[OUT_2][511] == 0 && real.buffer[OUT_2][512] == 1 && real.buffer[OUT_2][1123] == 2);
    g_assert_cmpint(packet(USB_OUT, 2, 100, 0), ==, USB_NAK);
    real_answer(OUT_2, USBHOST_OK, 1124);
    g_assert_true(packet(USB_OUT, 2, 100, 0) == USB_ACK && actual == 100 && !real.busy);
    done();
}

/* The guest gives a transfer up; the next one is not taken for it. */
static void out_given_up(void)
{
    setup();
    memset(bytes, 1, 31);
    packet(USB_OUT, 2, 31, 0);
    real_answer(OUT_2, USBHOST_OK, 31);
    memset(bytes, 2, 31);
    g_assert_cmpint(packet(USB_OUT, 2, 31, 0), ==, USB_NAK);
    g_assert_true(real.busy == 1u << OUT_2 && real.buffer[OUT_2][0] == 2);
    real_answer(OUT_2, USBHOST_STALL, 0);
    g_assert_cmpint(packet(USB_OUT, 2, 31, 0), ==, USB_STALL);
    /* Collected, and then another transfer begins. */
    g_assert_cmpint(packet(USB_OUT, 2, 512, 512), ==, USB_ACK);
    g_assert_cmpint(packet(USB_OUT, 2, 31, 0), ==, USB_NAK);
    g_assert_cmpuint(real.order[OUT_2].len, ==, 31);
    done();
}

static void reset_forgets(void)
{
    setup();
    request(0, 5, 17, 0, 0);
    packet(USB_IN, 0, 0, 0);
    packet(USB_IN, 1, 512, 0);
    dev->ops->reset(dev);
    g_assert_true(dev->address == 0 && real.cancels == 1);
    g_assert_true(real.busy == (1u << IN_1 | 1) && real.order[0].kind == USBHOST_RESET);
    real_answer(IN_1, USBHOST_OK, 512); /* from before it */
    request(0x80, 6, 0x0100, 0, 18);    /* waits for it */
    g_assert_cmpint(packet(USB_IN, 0, 18, 0), ==, USB_NAK);
    real_answer(0, USBHOST_OK, 0);
    g_assert_cmpint(real.order[0].kind, ==, USBHOST_CONTROL);
    real_answer(0, USBHOST_OK, 18);
    g_assert_cmpint(packet(USB_IN, 0, 18, 0), ==, USB_ACK);
    g_assert_cmpint(packet(USB_IN, 1, 512, 0), ==, USB_NAK);
    g_assert_true(real.busy == 1u << IN_1);
    /* Without an address there is nothing that a reset would change. */
    real_answer(IN_1, USBHOST_GIVEN_UP, 0);
    dev->ops->reset(dev);
    g_assert_false(real.busy);
    done();
}

static void isochronous_and_unknown(void)
{
    setup();
    g_assert_cmpint(packet(USB_IN, 3, 192, 0), ==, USB_NONE);
    g_assert_cmpint(packet(USB_IN, 9, 64, 0), ==, USB_NONE);
    g_assert_cmpint(packet(USB_OUT, 1, 64, 0), ==, USB_NONE);
    g_assert_false(real.busy);
    done();
}

/* At full speed the guest's packets are smaller than the device's. */
static void slowed(void)
{
    setup_with(&any, FULL);
    come(USB_HIGH, FULL);
    packet(USB_IN, 1, 64, 0);
    g_assert_cmpuint(real.order[IN_1].len, ==, 512);
    real_answer(IN_1, USBHOST_OK, 130);
    g_assert_true(packet(USB_IN, 1, 64, 0) == USB_ACK && actual == 64);
    g_assert_true(packet(USB_IN, 1, 64, 0) == USB_ACK && actual == 64);
    g_assert_true(packet(USB_IN, 1, 64, 0) == USB_ACK && actual == 2);
    done();
}

/* A saved machine has no device of the host's: the guest sees it go, and come. */
static void load_unplugs(void)
{
    setup();
    usb_host_class.before_load(dev);
    g_assert_true(!usb_is_present(dev) && real.releases == 1 && real.again);
    real.front->went(real.opaque);
    come(USB_HIGH, 0);
    g_assert_true(usb_is_present(dev));
    done();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usb_host/comes_and_goes", comes_and_goes);
    g_test_add_func("/usb_host/no_room_at_its_speed", no_room_at_its_speed);
    g_test_add_func("/usb_host/which_one_is_needed", which_one_is_needed);
    g_test_add_func("/usb_host/control_in_by_packets", control_in_by_packets);
    g_test_add_func("/usb_host/control_out_and_stall", control_out_and_stall);
    g_test_add_func("/usb_host/address_is_local", address_is_local);
    g_test_add_func("/usb_host/calls_of_their_own", calls_of_their_own);
    g_test_add_func("/usb_host/setup_overtakes", setup_overtakes);
    g_test_add_func("/usb_host/super_speed_packet_size", super_speed_packet_size);
    g_test_add_func("/usb_host/in_is_one_order", in_is_one_order);
    g_test_add_func("/usb_host/in_ends_with_an_empty_packet", in_ends_with_an_empty_packet);
    g_test_add_func("/usb_host/in_data_and_then_an_error", in_data_and_then_an_error);
    g_test_add_func("/usb_host/out_is_collected", out_is_collected);
    g_test_add_func("/usb_host/out_given_up", out_given_up);
    g_test_add_func("/usb_host/reset_forgets", reset_forgets);
    g_test_add_func("/usb_host/isochronous_and_unknown", isochronous_and_unknown);
    g_test_add_func("/usb_host/slowed", slowed);
    g_test_add_func("/usb_host/load_unplugs", load_unplugs);
    return g_test_run();
}
