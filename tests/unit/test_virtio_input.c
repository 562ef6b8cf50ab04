/* virtio-input: what a driver finds in the configuration, keys, moves, positions, LEDs, a driver that does not read. */
#include "input.h"
#include "virtio_guest.h"

extern const struct device_class virtio_keyboard_class, virtio_mouse_class, virtio_tablet_class;

#define EVENTS 0
#define STATUS 1

static void *config;

static void setup(const struct device_class *class)
{
    guest_free();
    g_free(config);
    config = g_malloc0(class->config_size);
    memset(guest_offers, 0, sizeof(guest_offers));
    guest_setup(class, config);
    guest_start(true, 0, 2);
}

static const struct input_sink *sink(void)
{
    return guest_service(NULL, "input");
}

static unsigned ask(uint8_t select, uint8_t subsel)
{
    guest_write(GUEST_CONFIG, 1, select);
    guest_write(GUEST_CONFIG + 1, 1, subsel);
    return guest_read(GUEST_CONFIG + 2, 1);
}

static bool has_bit(unsigned bit)
{
    return guest_read(GUEST_CONFIG + 8 + bit / 8, 1) >> bit % 8 & 1;
}

static void expect_name(const char *name)
{
    unsigned len = ask(1, 0);
    g_assert_cmpuint(len, ==, strlen(name));
    for (unsigned i = 0; i < len; i++)
        g_assert_cmpint((char)guest_read(GUEST_CONFIG + 8 + i, 1), ==, name[i]);
}

/* Buffers of 8 bytes for so many events. */
static void offer(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        guest_avail(EVENTS, guest_put(EVENTS, GUEST_BUFFER + 8u * guest.queue[EVENTS].free, 8, true, false));
    guest_notify(EVENTS);
    guest_settle();
}

static void expect_event(uint16_t type, uint16_t code, uint32_t value)
{
    uint32_t head = 0, len = 0;
    guest_settle();
    g_assert_true(guest_take(EVENTS, &head, &len));
    g_assert_cmpuint(len, ==, 8);
    uint64_t at = GUEST_BUFFER + 8 * head;
    g_assert_cmphex(guest_read(at, 2), ==, type);
    g_assert_cmphex(guest_read(at + 2, 2), ==, code);
    g_assert_cmphex(guest_read(at + 4, 4), ==, value);
}

static void expect_nothing(void)
{
    guest_settle();
    g_assert_false(guest_take(EVENTS, NULL, NULL));
}

static void test_keyboard_configuration(void)
{
    setup(&virtio_keyboard_class);
    g_assert_cmphex(guest_config(0, 4), ==, 0x10521af4);
    g_assert_cmphex(guest_config(PCI_CLASS + 1, 2), ==, 0x0900);
    expect_name("QEMU Virtio Keyboard");
    g_assert_cmpuint(ask(3, 0), ==, 8);
    g_assert_cmphex(guest_read(GUEST_CONFIG + 8, 4), ==, 0x06270006);
    g_assert_cmphex(guest_read(GUEST_CONFIG + 12, 4), ==, 0x00010001);
    g_assert_cmpuint(ask(0x11, 1), >, 0);
    static const unsigned keys[] = {1, 30, 57, 87, 96, 103, 111, 119, 125};
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++)
        g_assert_true(has_bit(keys[i]));
    g_assert_false(has_bit(0));
    g_assert_cmpuint(ask(0x11, 0x11), ==, 1);
    g_assert_cmphex(guest_read(GUEST_CONFIG + 8, 1), ==, 7);
    g_assert_cmpuint(ask(0x11, 0x14), ==, 1);
    g_assert_cmpuint(ask(0x11, 2), ==, 0);
    g_assert_cmpuint(ask(0x10, 0), ==, 0);
    g_assert_cmpuint(ask(2, 0), ==, 0);
    g_assert_cmpuint(ask(0x77, 3), ==, 0);
    g_assert_null(sink()->mouse);
    g_assert_null(sink()->absolute);
}

static void test_pointer_configurations(void)
{
    setup(&virtio_mouse_class);
    expect_name("QEMU Virtio Mouse");
    g_assert_cmpuint(ask(0x11, 2), ==, 2);
    g_assert_cmphex(guest_read(GUEST_CONFIG + 8, 2), ==, 0x0103);
    ask(0x11, 1);
    g_assert_true(has_bit(0x110) && has_bit(0x114) && !has_bit(0x10f));
    g_assert_cmpuint(ask(0x12, 0), ==, 0);
    setup(&virtio_tablet_class);
    expect_name("QEMU Virtio Tablet");
    g_assert_cmphex(guest_config(PCI_CLASS + 1, 2), ==, 0x0980);
    g_assert_cmpuint(ask(0x11, 3), ==, 1);
    g_assert_cmphex(guest_read(GUEST_CONFIG + 8, 1), ==, 3);
    for (uint8_t axis = 0; axis < 2; axis++) {
        g_assert_cmpuint(ask(0x12, axis), ==, 20);
        g_assert_cmpuint(guest_read(GUEST_CONFIG + 8, 4), ==, 0);
        g_assert_cmpuint(guest_read(GUEST_CONFIG + 12, 4), ==, 32767);
    }
    g_assert_cmpuint(ask(0x12, 2), ==, 0);
}

static void test_keys(void)
{
    setup(&virtio_keyboard_class);
    offer(8);
    sink()->key(sink()->opaque, 0x1e, true);
    expect_event(1, 30, 1);
    expect_event(0, 0, 0);
    g_assert_true(guest_intx());
    sink()->key(sink()->opaque, 0xe048, false);
    expect_event(1, 103, 0);
    expect_event(0, 0, 0);
    sink()->key(sink()->opaque, 0xe11d, true);
    expect_event(1, 119, 1);
    expect_event(0, 0, 0);
    sink()->key(sink()->opaque, 0x55, true); /* no key */
    sink()->key(sink()->opaque, 0xe0ff, true);
    expect_nothing();
}

static void test_mouse(void)
{
    setup(&virtio_mouse_class);
    offer(16);
    sink()->mouse(sink()->opaque, 5, -3, 1, 1);
    expect_event(1, 0x110, 1);
    expect_event(2, 0, 5);
    expect_event(2, 1, 3);
    expect_event(2, 8, (uint32_t)-1);
    expect_event(0, 0, 0);
    sink()->mouse(sink()->opaque, 0, 0, 0, 1); /* nothing has changed */
    expect_nothing();
    sink()->mouse(sink()->opaque, 0, 0, 0, 6);
    expect_event(1, 0x110, 0);
    expect_event(1, 0x111, 1);
    expect_event(1, 0x112, 1);
    expect_event(0, 0, 0);
}

static void test_tablet(void)
{
    setup(&virtio_tablet_class);
    offer(16);
    sink()->absolute(sink()->opaque, 100, 40000, 0, 0);
    expect_event(3, 0, 100);
    expect_event(3, 1, 32767);
    expect_event(0, 0, 0);
    sink()->absolute(sink()->opaque, 100, 7, -1, 2);
    expect_event(1, 0x111, 1);
    expect_event(3, 1, 7);
    expect_event(2, 8, 1);
    expect_event(0, 0, 0);
}

static void test_on_and_off(void)
{
    setup(&virtio_keyboard_class);
    g_assert_true(input_sink_is_on(sink()));
    guest_set_status(0);
    g_assert_false(input_sink_is_on(sink()));
    sink()->key(sink()->opaque, 0x1e, true); /* lost */
    guest_start(true, 0, 2);
    offer(8);
    expect_nothing();
}

/* What waits is saved, whole groups are lost. */
static void test_driver_that_does_not_read(void)
{
    setup(&virtio_keyboard_class);
    offer(1);
    for (unsigned i = 0; i < 1000; i++)
        sink()->key(sink()->opaque, 0x1e, i % 2 == 0);
    expect_event(1, 30, 1);
    expect_nothing();
    guest_reload(config);
    unsigned count = 1;
    for (;; count++) {
        offer(1);
        if (!guest_take(EVENTS, NULL, NULL))
            break;
    }
    g_assert_cmpuint(count, ==, 256);
    sink()->key(sink()->opaque, 0x1e, true);
    expect_event(1, 30, 1);
}

static void test_leds(void)
{
    GString *text = g_string_new(NULL);
    setup(&virtio_keyboard_class);
    guest_write(GUEST_BUFFER, 8, 0x0000000100010011ull); /* Caps Lock on */
    guest_kick(STATUS, guest_put(STATUS, GUEST_BUFFER, 8, false, false));
    g_assert_true(guest_take(STATUS, NULL, NULL));
    guest_kick(STATUS, guest_put(STATUS, GUEST_BUFFER, 5, false, false)); /* not a whole one */
    g_assert_true(guest_take(STATUS, NULL, NULL));
    guest.class->dump(guest.dev, text);
    g_assert_nonnull(strstr(text->str, "LEDs 2"));
    g_string_free(text, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio_input/keyboard_configuration", test_keyboard_configuration);
    g_test_add_func("/virtio_input/pointer_configurations", test_pointer_configurations);
    g_test_add_func("/virtio_input/keys", test_keys);
    g_test_add_func("/virtio_input/mouse", test_mouse);
    g_test_add_func("/virtio_input/tablet", test_tablet);
    g_test_add_func("/virtio_input/on_and_off", test_on_and_off);
    g_test_add_func("/virtio_input/driver_that_does_not_read", test_driver_that_does_not_read);
    g_test_add_func("/virtio_input/leds", test_leds);
    int rc = g_test_run();
    guest_free();
    return rc;
}
