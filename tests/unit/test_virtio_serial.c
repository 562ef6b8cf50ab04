/* virtio-serial: ports by control messages, bytes both ways with either side slow, state in the middle of a transfer.
 */
#include "fake_chardev.h"
#include "virtio_guest.h"

extern const struct device_class serial_pci_class, console_class, stream_class;

#define CONTROL_IN  2
#define CONTROL_OUT 3
#define IN(port)    ((port) ? 2 * (port) + 2 : 0)
#define OUT(port)   (IN(port) + 1)
#define F_MULTIPORT 2
#define MESSAGES    (GUEST_BUFFER + 0x100000)

struct port_config { /* as its class has it */
    struct chardev *chardev;
    const char *name;
    uint32_t nr;
};

static struct fake_chardev ends[2];
static struct port_config ports[2];
static void *port[2], *config;

static struct {
    unsigned count;
    bool open;
} news;

static void port_changed(void *opaque, const char *device, bool open)
{
    if (strcmp(device, "port1") != 0)
        return;
    news.count++;
    news.open = open;
}

static void balloon_changed(void *opaque, uint64_t bytes)
{
}

static const struct board_news board_news = {port_changed, balloon_changed, NULL};

static void ports_free(void)
{
    if (port[1])
        stream_class.destroy(port[1]);
    if (port[0])
        console_class.destroy(port[0]);
    port[0] = port[1] = NULL;
}

static void ports_plug(void)
{
    GError *error = NULL;
    const struct device_site console = {.board = &guest.board, .id = "port0", .controller = guest.dev};
    const struct device_site stream = {.board = &guest.board, .id = "port1", .controller = guest.dev};
    port[0] = console_class.create(&console, &ports[0], &error);
    g_assert_no_error(error);
    port[1] = stream_class.create(&stream, &ports[1], &error);
    g_assert_no_error(error);
}

static void setup_ports(uint64_t max_ports)
{
    ports_free();
    guest_free();
    g_free(config);
    config = g_malloc0(serial_pci_class.config_size);
    for (const struct property *p = serial_pci_class.properties; p->name; p++) {
        uint64_t value = p->preset && p->type == PROPERTY_NUMBER ? g_ascii_strtoull(p->preset, NULL, 0) : 1;
        if (strcmp(p->name, "max_ports") == 0)
            value = max_ports;
        if (p->type == PROPERTY_NUMBER || strcmp(p->name, "emergency-write") == 0)
            memcpy((uint8_t *)config + p->offset, &value, p->size);
    }
    memset(&news, 0, sizeof(news));
    memset(guest_offers, 0, sizeof(guest_offers));
    guest_provide(NULL, "news", (void *)&board_news);
    for (unsigned i = 0; i < 2; i++) {
        if (ends[i].out)
            fake_clear(&ends[i]);
        fake_init(&ends[i]);
        ports[i] = (struct port_config){&ends[i].base, i ? "org.test.0" : NULL, UINT32_MAX};
    }
    guest_setup(&serial_pci_class, config);
    machine_lock();
}

static void done(void)
{
    machine_unlock();
}

static void send_message(uint32_t id, uint16_t event, uint16_t value)
{
    guest_write(MESSAGES, 4, id);
    guest_write(MESSAGES + 4, 2, event);
    guest_write(MESSAGES + 6, 2, value);
    guest_avail(CONTROL_OUT, guest_put(CONTROL_OUT, MESSAGES, 8, false, false));
    guest_notify(CONTROL_OUT);
}

/* Time goes on without the lock, which timers take. */
static void settle(void)
{
    machine_unlock();
    guest_settle();
    machine_lock();
}

static void expect_message(uint32_t id, uint16_t event, uint16_t value)
{
    uint32_t head = 0, len = 0;
    settle();
    g_assert_true(guest_take(CONTROL_IN, &head, &len));
    g_assert_cmpuint(len, >=, 8);
    uint64_t at = MESSAGES + 0x1000 + 64 * head;
    g_assert_cmpuint(guest_read(at, 4), ==, id);
    g_assert_cmpuint(guest_read(at + 4, 2), ==, event);
    g_assert_cmpuint(guest_read(at + 6, 2), ==, value);
    guest_avail(CONTROL_IN,
                guest_put(CONTROL_IN, MESSAGES + 0x1000 + 64u * guest.queue[CONTROL_IN].free, 64, true, false));
    guest_notify(CONTROL_IN);
}

static void event(unsigned i, enum chardev_event what)
{
    ends[i].base.front->event(ends[i].base.front_opaque, what);
    settle();
}

/* The driver is there, and has opened its ports. */
static void start(bool modern)
{
    guest_start(modern, F_MULTIPORT, 6);
    for (unsigned i = 0; i < 8; i++)
        guest_avail(CONTROL_IN, guest_put(CONTROL_IN, MESSAGES + 0x1000 + 64 * i, 64, true, false));
    guest_notify(CONTROL_IN);
    send_message(0, 0, 1);
    expect_message(0, 1, 1);
    expect_message(1, 1, 1);
    send_message(0, 3, 1);
    expect_message(0, 4, 1);
    expect_message(0, 6, 1);
    send_message(1, 3, 1);
    expect_message(1, 7, 1);
    g_assert_false(guest_take(CONTROL_IN, NULL, NULL)); /* nobody is at the other end */
    event(1, CHARDEV_OPENED);
    expect_message(1, 6, 1);
    send_message(0, 6, 1);
    settle();
}

static void open_port(void)
{
    send_message(1, 6, 1);
    settle();
    g_assert_cmpuint(news.count, ==, 1);
    g_assert_true(news.open);
}

static void feed(unsigned i, const void *bytes, size_t len)
{
    g_byte_array_append(ends[i].in, bytes, (guint)len);
    fake_room_changed(&ends[i].base);
    settle();
}

static void test_messages(gconstpointer modern)
{
    setup_ports(31);
    ports_plug();
    guest.modern = GPOINTER_TO_INT(modern);
    start(guest.modern);
    g_assert_cmpmem(guest_mem.ram + MESSAGES + 0x1000 + 64 * 4 + 8, 11, "org.test.0", 11);
    open_port();
    send_message(1, 6, 0);
    settle();
    g_assert_cmpuint(news.count, ==, 2);
    g_assert_false(news.open);
    event(1, CHARDEV_CLOSED);
    expect_message(1, 6, 0);
    send_message(17, 6, 1); /* no such port; and nonsense */
    send_message(0xffffffff, 3, 1);
    send_message(0, 99, 1);
    settle();
    g_assert_cmphex(guest_status() & 0x40, ==, 0);
    done();
}

static void test_to_the_guest(void)
{
    setup_ports(31);
    ports_plug();
    start(true);
    feed(1, "early", 5); /* it waits until the driver opens the port */
    g_assert_cmpuint(ends[1].in->len, ==, 5);
    guest_avail(IN(1), guest_put(IN(1), GUEST_BUFFER, 3, true, false));
    guest_notify(IN(1));
    open_port();
    g_assert_cmpuint(ends[1].in->len, ==, 0);
    uint32_t len = 0;
    g_assert_true(guest_take(IN(1), NULL, &len));
    g_assert_cmpuint(len, ==, 3);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER, 3, "ear", 3);
    uint8_t *many = g_malloc(10000);
    for (unsigned i = 0; i < 10000; i++)
        many[i] = (uint8_t)(i * 7);
    feed(1, many, 10000); /* the chardev keeps what the FIFO does not hold */
    g_assert_cmpuint(ends[1].in->len, ==, 10000 - 4096 + 2);
    guest_avail(IN(1), guest_put(IN(1), GUEST_BUFFER, 10002, true, false));
    guest_notify(IN(1));
    settle();
    g_assert_true(guest_take(IN(1), NULL, &len));
    g_assert_cmpuint(len, ==, 4096);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER, 2, "ly", 2);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER + 2, 4094, many, 4094);
    g_free(many);
    done();
}

static uint16_t put_bytes(uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        guest_mem.ram[GUEST_BUFFER + i] = (uint8_t)(i * 5 + i / 256);
    uint16_t head = guest_put(OUT(1), GUEST_BUFFER, len / 3, false, true);
    guest_put(OUT(1), GUEST_BUFFER + len / 3, len - len / 3, false, false);
    return head;
}

static void test_from_the_guest_to_a_slow_reader(void)
{
    setup_ports(31);
    ports_plug();
    start(true);
    open_port();
    ends[1].capacity = 1000;
    guest_avail(OUT(1), put_bytes(30000));
    guest_notify(OUT(1));
    GByteArray *all = g_byte_array_new();
    settle();
    for (unsigned i = 0; i < 40 && !guest_take(OUT(1), NULL, NULL); i++) {
        g_assert_cmpuint(ends[1].out->len, ==, 1000); /* it waits */
        g_byte_array_append(all, ends[1].out->data, ends[1].out->len);
        g_byte_array_set_size(ends[1].out, 0);
        ends[1].base.front->writable(ends[1].base.front_opaque);
        settle();
    }
    g_byte_array_append(all, ends[1].out->data, ends[1].out->len);
    g_assert_cmpmem(all->data, all->len, guest_mem.ram + GUEST_BUFFER, 30000);
    g_byte_array_unref(all);
    done();
}

static void test_nobody_at_the_other_end(void)
{
    setup_ports(31);
    ports_plug();
    start(true);
    open_port();
    ends[1].capacity = 10;
    guest_avail(OUT(1), put_bytes(300));
    guest_notify(OUT(1));
    settle();
    g_assert_false(guest_take(OUT(1), NULL, NULL));
    event(1, CHARDEV_CLOSED); /* the rest is lost, and the driver goes on */
    g_assert_true(guest_take(OUT(1), NULL, NULL));
    g_assert_cmpuint(ends[1].out->len, ==, 10);
    done();
}

static void reload(void)
{
    GByteArray *bus = device_saved(&i440fx_class, guest.host), *bytes = device_saved(guest.class, guest.dev);
    GByteArray *one = device_saved(&console_class, port[0]), *two = device_saved(&stream_class, port[1]);
    struct guest was = guest;
    ports_free();
    guest.class->destroy(guest.dev);
    i440fx_free(guest.host);
    guest_plug(was.class, config);
    ports_plug();
    memcpy(guest.queue, was.queue, sizeof(was.queue));
    guest.modern = was.modern;
    guest.features = was.features;
    g_assert_true(device_load(&i440fx_class, guest.host, bus->data, bus->len));
    device_load_checked(guest.class, guest.dev, bytes);
    device_load_checked(&console_class, port[0], one);
    device_load_checked(&stream_class, port[1], two);
    g_byte_array_unref(bus);
}

static void test_state_in_the_middle(void)
{
    uint32_t len = 0;
    setup_ports(31);
    ports_plug();
    start(true);
    open_port();
    ends[1].capacity = 700;
    guest_avail(OUT(1), put_bytes(1500));
    guest_notify(OUT(1));
    feed(1, "to the guest", 12);
    g_assert_false(guest_take(OUT(1), NULL, NULL));
    reload();
    g_byte_array_set_size(ends[1].out, 0);
    event(1, CHARDEV_OPENED);
    g_assert_false(guest_take(CONTROL_IN, NULL, NULL)); /* it knows that */
    g_assert_cmpmem(ends[1].out->data, ends[1].out->len, guest_mem.ram + GUEST_BUFFER + 700, 700);
    g_byte_array_set_size(ends[1].out, 0);
    ends[1].base.front->writable(ends[1].base.front_opaque);
    settle();
    g_assert_cmpmem(ends[1].out->data, ends[1].out->len, guest_mem.ram + GUEST_BUFFER + 1400, 100);
    g_assert_true(guest_take(OUT(1), NULL, NULL));
    guest_avail(IN(1), guest_put(IN(1), GUEST_BUFFER + 0x8000, 64, true, false));
    guest_notify(IN(1));
    settle();
    g_assert_true(guest_take(IN(1), NULL, &len));
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER + 0x8000, len, "to the guest", 12);
    done();
}

/* A driver that knows no control messages has the first port, always open. */
static void test_single_port(gconstpointer modern)
{
    setup_ports(31);
    ports_plug();
    guest_start(GPOINTER_TO_INT(modern), 0, 2);
    memcpy(guest_mem.ram + GUEST_BUFFER, "hello", 5);
    guest_avail(OUT(0), guest_put(OUT(0), GUEST_BUFFER, 5, false, false));
    guest_notify(OUT(0));
    guest_avail(IN(0), guest_put(IN(0), GUEST_BUFFER + 64, 64, true, false));
    guest_notify(IN(0));
    feed(0, "world", 5);
    g_assert_cmpmem(ends[0].out->data, ends[0].out->len, "hello", 5);
    g_assert_true(guest_take(OUT(0), NULL, NULL));
    g_assert_true(guest_take(IN(0), NULL, NULL));
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER + 64, 5, "world", 5);
    done();
}

static void test_reset_closes(void)
{
    setup_ports(31);
    ports_plug();
    start(true);
    open_port();
    guest_set_status(0);
    g_assert_cmpuint(news.count, ==, 2);
    g_assert_false(news.open);
    feed(1, "waits", 5);
    g_assert_cmpuint(ends[1].in->len, ==, 5);
    done();
}

static void test_emergency(void)
{
    setup_ports(31);
    ports_plug();
    guest.modern = true;
    g_assert_true(guest_offered() & 4);
    guest_write(GUEST_CONFIG + 8, 4, '!');
    g_assert_cmpmem(ends[0].out->data, ends[0].out->len, "!", 1);
    done();
}

static void expect_refused(const struct device_class *class, uint32_t nr, const char *name, const char *why)
{
    const struct port_config wanted = {NULL, name, nr};
    const struct device_site site = {.board = &guest.board, .id = "third", .controller = guest.dev};
    GError *error = NULL;
    g_assert_null(class->create(&site, &wanted, &error));
    g_assert_nonnull(strstr(error->message, why));
    g_error_free(error);
}

static void test_ports_that_cannot_be(void)
{
    setup_ports(2);
    ports_plug();
    guest.modern = true;
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 4, 4), ==, 2);
    expect_refused(&stream_class, UINT32_MAX, NULL, "Maximum port limit");
    expect_refused(&stream_class, 0, NULL, "reserved");
    expect_refused(&stream_class, 1, NULL, "at this number");
    expect_refused(&stream_class, 2, NULL, "max_ports");
    expect_refused(&console_class, UINT32_MAX, "org.test.0", "by this name");
    done();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/virtio_serial/messages/legacy", NULL, test_messages);
    g_test_add_data_func("/virtio_serial/messages/modern", GINT_TO_POINTER(1), test_messages);
    g_test_add_func("/virtio_serial/to_the_guest", test_to_the_guest);
    g_test_add_func("/virtio_serial/from_the_guest_to_a_slow_reader", test_from_the_guest_to_a_slow_reader);
    g_test_add_func("/virtio_serial/nobody_at_the_other_end", test_nobody_at_the_other_end);
    g_test_add_func("/virtio_serial/state_in_the_middle", test_state_in_the_middle);
    g_test_add_data_func("/virtio_serial/single_port/legacy", NULL, test_single_port);
    g_test_add_data_func("/virtio_serial/single_port/modern", GINT_TO_POINTER(1), test_single_port);
    g_test_add_func("/virtio_serial/reset_closes", test_reset_closes);
    g_test_add_func("/virtio_serial/emergency", test_emergency);
    g_test_add_func("/virtio_serial/ports_that_cannot_be", test_ports_that_cannot_be);
    int rc = g_test_run();
    ports_free();
    guest_free();
    return rc;
}
