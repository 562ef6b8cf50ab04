/* The virtio transport on PCI and its queues, under a device that gives back what it gets. */
#include "devices/virtio/virtio_pci.h"
#include "virtio_guest.h"

struct echo_config {
    struct virtio_options virtio;
};

struct echo {
    struct virtio virtio; /* first */
    uint8_t config[16];
    unsigned started, resets, budget;
};

static bool echo_run(struct virtio *virtio, unsigned queue)
{
    struct echo *echo = (struct echo *)virtio;
    static uint8_t bytes[8192];
    unsigned left = echo->budget;
    virtqueue_hush(virtio, queue);
    do {
        while (left && virtqueue_pop(virtio, queue, virtio->chain)) {
            uint32_t len = virtio_chain_read(virtio, virtio->chain, 0, bytes, sizeof(bytes));
            for (uint32_t i = 0; i < len; i++)
                bytes[i] ^= 0xff;
            virtqueue_push(virtio, queue, virtio->chain->head,
                           virtio_chain_write(virtio, virtio->chain, 0, bytes, len));
            left--;
        }
    } while (left && virtqueue_listen(virtio, queue));
    virtqueue_interrupt(virtio, queue);
    return !left;
}

static void echo_get_config(struct virtio *virtio, uint8_t *config)
{
    memcpy(config, ((struct echo *)virtio)->config, 16);
}

static void echo_set_config(struct virtio *virtio, const uint8_t *config, uint32_t offset, unsigned size)
{
    memcpy(((struct echo *)virtio)->config + offset, config + offset, size);
}

static void echo_driver_ok(struct virtio *virtio)
{
    ((struct echo *)virtio)->started++;
}

static void echo_was_reset(struct virtio *virtio)
{
    ((struct echo *)virtio)->resets++;
}

static const struct virtio_ops echo_ops = {echo_run, echo_get_config, echo_set_config, echo_driver_ok, echo_was_reset};
static const struct virtio_identity echo_identity = {"virtio-echo", 5, 0x1002, 0x00ff00, 16};

static void *echo_create(const struct device_site *site, enum virtio_variant variant, const void *opaque,
                         GError **error)
{
    const struct echo_config *config = opaque;
    struct echo *echo = g_new0(struct echo, 1);
    if (!virtio_init(&echo->virtio, site, &echo_identity, variant, &config->virtio, &echo_ops, error)) {
        g_free(echo);
        return NULL;
    }
    echo->budget = 8;
    for (unsigned i = 0; i < 16; i++)
        echo->config[i] = (uint8_t)(0x10 + i);
    virtio_add_queue(&echo->virtio, 64);
    virtio_add_queue(&echo->virtio, 128);
    virtio_plug(&echo->virtio, site);
    return echo;
}

static void echo_destroy(void *dev)
{
    virtio_destroy(dev);
    g_free(dev);
}

static void echo_reset(void *dev)
{
    virtio_reset(dev);
}

static void echo_pieces(void *dev, struct state_pieces *pieces)
{
    virtio_pieces(dev, pieces);
}

static void echo_before_save(void *dev)
{
}

static void echo_before_load(void *dev)
{
}

static bool echo_after_load(void *dev)
{
    return virtio_after_load(dev);
}

static void echo_dump(void *dev, GString *out)
{
    virtio_dump(dev, out);
}

static const struct property echo_properties[] = {VIRTIO_PROPERTIES(echo_config), PROPERTY_END};

VIRTIO_CLASSES(echo, "virtio-echo", "gives back what it gets");

static const struct echo_config plain = {{.event_idx = true, .indirect_desc = true, .vectors = UINT32_MAX}};

static struct echo *setup_class(const struct device_class *class)
{
    guest_setup(class, &plain);
    return guest.dev;
}

static struct echo *setup(void)
{
    return setup_class(&echo_pci_class);
}

/* A chain of one buffer to be read and one to be written. */
static uint16_t put_pair(unsigned n, unsigned slot)
{
    uint64_t at = GUEST_BUFFER + 0x1000u * slot;
    guest_write(at, 4, 0x01020304 + slot);
    guest_write(at + 0x800, 4, 0);
    uint16_t head = guest_put(n, at, 4, false, true);
    guest_put(n, at + 0x800, 4, true, false);
    return head;
}

static void check_pair(unsigned n, unsigned slot)
{
    uint32_t len = 0;
    g_assert_true(guest_take(n, NULL, &len));
    g_assert_cmpuint(len, ==, 4);
    g_assert_cmphex(guest_read(GUEST_BUFFER + 0x1000 * slot + 0x800, 4), ==, ~(0x01020304 + slot));
}

static void test_identity_of_variants(void)
{
    setup();
    g_assert_cmphex(guest_config(0, 4), ==, 0x10021af4);
    g_assert_cmphex(guest_config(PCI_SUBSYSTEM, 4), ==, 0x00051af4);
    g_assert_cmphex(guest_config(PCI_REVISION, 1), ==, 0);
    setup_class(&echo_transitional_class);
    g_assert_cmphex(guest_config(0, 4), ==, 0x10021af4);
    setup_class(&echo_modern_class);
    g_assert_cmphex(guest_config(0, 4), ==, 0x10451af4);
    g_assert_cmphex(guest_config(PCI_REVISION, 1), ==, 1);
    g_assert_cmphex(guest_config(PCI_BAR0, 4), ==, 0);
}

static void test_properties_choose_interfaces(void)
{
    struct echo_config config = plain;
    config.virtio.disable_legacy = "on";
    guest_setup(&echo_pci_class, &config);
    g_assert_cmphex(guest_config(0, 4), ==, 0x10451af4);
    config.virtio.disable_legacy = "off";
    config.virtio.disable_modern = true;
    config.virtio.vectors = 0;
    guest_setup(&echo_pci_class, &config);
    g_assert_cmphex(guest_config(0, 4), ==, 0x10021af4);
    g_assert_cmphex(guest_config(PCI_CAPABILITIES, 1), ==, 0);
    g_assert_cmphex(guest_config(PCI_BAR0 + 16, 4), ==, 0);
    config.virtio.disable_legacy = "on";
    GError *error = NULL;
    const struct device_site site = {.board = &guest.board, .id = "x", .unit = PCI_DEVFN(5, 0)};
    g_assert_null(echo_pci_class.create(&site, &config, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
}

static void test_capabilities_can_be_walked(void)
{
    unsigned seen = 0, msix = 0;
    setup();
    for (uint8_t at = (uint8_t)guest_config(PCI_CAPABILITIES, 1); at; at = (uint8_t)guest_config(at + 1, 1)) {
        if (guest_config(at, 1) == 0x11)
            msix++;
        if (guest_config(at, 1) != 9)
            continue;
        unsigned type = guest_config(at + 3, 1);
        seen |= 1u << type;
        if (type >= 1 && type <= 4)
            g_assert_cmpuint(guest_config(at + 4, 1), ==, 4);
        if (type == 2)
            g_assert_cmpuint(guest_config(at + 16, 4), ==, 4);
        if (type == 4)
            g_assert_cmpuint(guest_config(at + 12, 4), ==, 16);
    }
    g_assert_cmphex(seen, ==, 0x3e);
    g_assert_cmpuint(msix, ==, 1);
    g_assert_cmpuint(guest_config(0x9a, 2), ==, 2); /* three vectors */
}

static void test_echo(gconstpointer modern)
{
    struct echo *echo = setup();
    guest_start(GPOINTER_TO_INT(modern), 0, 2);
    g_assert_cmpuint(echo->started, ==, 1);
    for (unsigned i = 0; i < 300; i++) {
        guest_kick(1, put_pair(1, 0));
        check_pair(1, 0);
        g_assert_true(guest_intx());
        g_assert_cmphex(guest_isr(), ==, 1);
        g_assert_false(guest_intx());
    }
    guest_kick(0, put_pair(0, 3));
    check_pair(0, 3);
}

static void test_features_are_settled_once(void)
{
    setup();
    guest.modern = true;
    guest_set_status(3);
    guest_set_features(F_VERSION_1 | 1); /* bit 0 was not offered */
    guest_set_status(3 | 8);
    g_assert_cmphex(guest_status(), ==, 3);
    guest_set_features(F_EVENT_IDX); /* not a modern driver */
    guest_set_status(3 | 8);
    g_assert_cmphex(guest_status(), ==, 3);
    guest_set_features(F_VERSION_1);
    guest_set_status(3 | 8);
    g_assert_cmphex(guest_status(), ==, 3 | 8);
    guest_set_features(F_VERSION_1 | F_EVENT_IDX); /* too late */
    g_assert_cmphex(guest_read(GUEST_MODERN + 12, 4), ==, 1);
    guest_write(GUEST_MODERN + 8, 4, 0);
    g_assert_cmphex(guest_read(GUEST_MODERN + 12, 4), ==, 0);
    g_assert_true(guest_offered() & F_VERSION_1);
    guest.modern = false;
    g_assert_cmphex(guest_offered() >> 32, ==, 0);
}

static void test_reset_by_status(void)
{
    struct echo *echo = setup();
    guest_start(true, 0, 2);
    guest_avail(0, put_pair(0, 0));
    guest_notify(0);
    guest_set_status(0);
    g_assert_cmpuint(echo->resets, ==, 2); /* with the one it began with */
    guest_settle();
    g_assert_cmpuint(guest_used_index(0), ==, 0);
    g_assert_cmphex(guest_status(), ==, 0);
    g_assert_cmpuint(guest_read(GUEST_MODERN + 28, 2), ==, 0);
    guest_start(true, 0, 2);
    guest_kick(0, put_pair(0, 0));
    check_pair(0, 0);
}

static void test_device_configuration(void)
{
    struct echo *echo = setup();
    g_assert_cmphex(ioport_read(GUEST_IO + 20, 4), ==, 0x13121110);
    g_assert_cmphex(inb(GUEST_IO + 20 + 15), ==, 0x1f);
    g_assert_cmphex(inb(GUEST_IO + 20 + 16), ==, 0);
    g_assert_cmphex(guest_read(GUEST_CONFIG + 2, 2), ==, 0x1312);
    g_assert_cmphex(guest_read(GUEST_CONFIG + 16, 4), ==, 0);
    guest_write(GUEST_CONFIG + 4, 2, 0xabcd);
    g_assert_cmphex(echo->config[4], ==, 0xcd);
    outb(GUEST_IO + 20 + 5, 0x77);
    g_assert_cmphex(echo->config[5], ==, 0x77);
    guest_write(GUEST_CONFIG + 14, 4, 0); /* over the end */
    guest_msix_on(3);
    g_assert_cmphex(ioport_read(GUEST_IO + 24, 4), ==, 0x13121110);
    g_assert_cmphex(ioport_read(GUEST_IO + 20, 2), ==, 0xffff); /* a vector now */
}

static void test_configuration_change_interrupts(void)
{
    setup();
    guest_begin(true, 0);
    uint8_t generation = (uint8_t)guest_read(GUEST_MODERN + 21, 1);
    virtio_config_changed(guest.dev);
    g_assert_false(guest_intx()); /* nobody there yet */
    guest_drive();
    virtio_config_changed(guest.dev);
    g_assert_true(guest_intx());
    g_assert_cmphex(guest_isr(), ==, 2);
    g_assert_cmpuint((uint8_t)(guest_read(GUEST_MODERN + 21, 1) - generation), ==, 2);
}

static void test_msix_vectors(gconstpointer modern)
{
    setup();
    guest_msix_on(3);
    guest_begin(GPOINTER_TO_INT(modern), 0);
    guest_queue_setup(0, 0);
    guest_queue_setup(1, 0);
    if (guest.modern) {
        guest_write(GUEST_MODERN + 26, 2, 7); /* there are three */
        g_assert_cmphex(guest_read(GUEST_MODERN + 26, 2), ==, 0xffff);
        guest_write(GUEST_MODERN + 26, 2, 2);
        g_assert_cmphex(guest_read(GUEST_MODERN + 26, 2), ==, 2);
    } else {
        ioport_write(GUEST_IO + 22, 2, 7);
        g_assert_cmphex(ioport_read(GUEST_IO + 22, 2), ==, 0xffff);
        ioport_write(GUEST_IO + 22, 2, 2);
        g_assert_cmphex(ioport_read(GUEST_IO + 22, 2), ==, 2);
    }
    guest_drive();
    guest_kick(1, put_pair(1, 0));
    g_assert_false(guest_intx());
    g_assert_cmpuint(guest.messages, ==, 1);
    g_assert_cmphex(guest.message_address, ==, 0xfee02000u);
    g_assert_cmphex(guest.message_data, ==, 0x42);
    guest_kick(0, put_pair(0, 0)); /* has no vector */
    g_assert_cmpuint(guest.messages, ==, 1);
}

static void test_driver_can_forbid_interrupts(void)
{
    setup();
    guest_start(true, 0, 1);
    guest_write(guest.queue[0].avail, 2, 1);
    guest_kick(0, put_pair(0, 0));
    check_pair(0, 0);
    g_assert_false(guest_intx());
}

static void test_event_index(void)
{
    setup();
    guest_start(true, F_EVENT_IDX, 1);
    g_assert_true(guest.features & F_EVENT_IDX);
    guest_used_event(0, 2); /* when the third is done */
    for (unsigned i = 0; i < 5; i++) {
        guest_kick(0, put_pair(0, i));
        check_pair(0, i);
        g_assert_cmpuint(guest_avail_event(0), ==, i + 1);
        g_assert_cmpint(guest_isr(), ==, i == 0 || i == 2); /* the first, as nothing is known of before */
    }
}

static void test_event_index_around_the_end(void)
{
    setup();
    guest_start(true, F_EVENT_IDX, 1);
    for (unsigned i = 0; i < 70000; i++) {
        guest_used_event(0, (uint16_t)i);
        guest_avail(0, put_pair(0, 0));
        guest_notify(0);
        vclock_fake_advance(1);
        vclock_fake_advance(1);
        g_assert_true(guest_take(0, NULL, NULL));
        g_assert_cmphex(guest_isr(), ==, 1);
    }
}

static void test_indirect(void)
{
    uint64_t table = GUEST_BUFFER + 0x100000;
    setup();
    guest_start(true, F_INDIRECT_DESC, 1);
    for (unsigned i = 0; i < 4; i++) {
        guest_write(GUEST_BUFFER + 0x1000 * i, 1, i);
        guest_desc(table, 7 * i, GUEST_BUFFER + 0x1000 * i, 1, DESC_NEXT, (uint16_t)(7 * (i + 1)));
    }
    guest_desc(table, 0, GUEST_BUFFER, 1, DESC_NEXT, 7);
    guest_desc(table, 28, GUEST_BUFFER + 0x8000, 2, DESC_WRITE | DESC_NEXT, 30);
    guest_desc(table, 30, GUEST_BUFFER + 0x9000, 100, DESC_WRITE, 0);
    guest_desc(guest.queue[0].desc, 5, table, 32 * 16, DESC_INDIRECT, 0);
    guest_kick(0, 5);
    uint32_t head = 0, len = 0;
    g_assert_true(guest_take(0, &head, &len));
    g_assert_cmpuint(head, ==, 5);
    g_assert_cmpuint(len, ==, 4);
    g_assert_cmphex(guest_read(GUEST_BUFFER + 0x8000, 4), ==, 0x0000feff);
    g_assert_cmphex(guest_read(GUEST_BUFFER + 0x9000, 4), ==, 0x0000fcfd);
}

static void test_budget(void)
{
    setup();
    guest_start(true, 0, 1);
    for (unsigned i = 0; i < 20; i++)
        guest_avail(0, put_pair(0, i));
    guest_notify(0);
    g_assert_cmpuint(guest_used_index(0), ==, 0); /* not in the access */
    guest_settle();
    for (unsigned i = 0; i < 20; i++)
        check_pair(0, i);
}

/* What cannot be: the device says so, stands still, and is as new after a reset. */
static void check_broken(void)
{
    guest_settle();
    g_assert_cmphex(guest_status() & 0x40, ==, 0x40);
    g_assert_cmphex(guest_isr() & 2, ==, 2);
    g_assert_cmpuint(guest_used_index(0), ==, 0);
    guest_notify(0);
    guest_settle();
    g_assert_cmpuint(guest_used_index(0), ==, 0);
    guest_reload(&plain);
    g_assert_cmphex(guest_status() & 0x40, ==, 0x40);
    guest_start(true, F_INDIRECT_DESC, 1);
    guest_kick(0, put_pair(0, 0));
    check_pair(0, 0);
    guest_start(true, F_INDIRECT_DESC, 1);
}

static void test_broken_rings(void)
{
    uint64_t table = GUEST_BUFFER + 0x100000;
    setup();
    guest_start(true, F_INDIRECT_DESC, 1);

    guest_kick(0, 64); /* a head that is not there */
    check_broken();

    guest_write(guest.queue[0].avail + 2, 2, 65); /* more than the ring has */
    guest_notify(0);
    check_broken();

    guest_desc(guest.queue[0].desc, 0, GUEST_BUFFER, 4, DESC_NEXT, 1); /* a loop */
    guest_desc(guest.queue[0].desc, 1, GUEST_BUFFER, 4, DESC_NEXT, 0);
    guest_kick(0, 0);
    check_broken();

    guest_desc(guest.queue[0].desc, 0, GUEST_BUFFER, 4, DESC_NEXT, 64); /* outside the table */
    guest_kick(0, 0);
    check_broken();

    guest_desc(guest.queue[0].desc, 0, GUEST_BUFFER, 4, DESC_WRITE | DESC_NEXT, 1); /* the wrong way round */
    guest_desc(guest.queue[0].desc, 1, GUEST_BUFFER, 4, 0, 0);
    guest_kick(0, 0);
    check_broken();

    guest_desc(guest.queue[0].desc, 0, table, 16, DESC_INDIRECT, 0); /* a table in a table */
    guest_desc(table, 0, table, 16, DESC_INDIRECT, 0);
    guest_kick(0, 0);
    check_broken();

    guest_desc(guest.queue[0].desc, 0, table, 17, DESC_INDIRECT, 0);
    guest_kick(0, 0);
    check_broken();

    guest_desc(guest.queue[0].desc, 0, table, 0, DESC_INDIRECT, 0);
    guest_kick(0, 0);
    check_broken();

    guest_desc(guest.queue[0].desc, 0, table, 0xfffffff0, DESC_INDIRECT, 0); /* a loop in a large one */
    guest_desc(table, 0, GUEST_BUFFER, 0xffffffff, DESC_NEXT, 0);
    guest_kick(0, 0);
    check_broken();
}

static void test_indirect_must_be_agreed_on(void)
{
    setup();
    guest_start(true, 0, 1);
    guest_desc(guest.queue[0].desc, 0, GUEST_BUFFER, 16, DESC_INDIRECT, 0);
    guest_kick(0, 0);
    g_assert_cmphex(guest_status() & 0x40, ==, 0x40);
}

/* A legacy driver cannot be told: nothing happens any more. */
static void test_broken_legacy(void)
{
    setup();
    guest_start(false, 0, 1);
    guest_kick(0, 64);
    g_assert_cmphex(guest_status(), ==, 7);
    g_assert_false(guest_intx());
}

static void test_buffers_where_no_memory_is(void)
{
    setup();
    guest_start(true, 0, 1);
    guest_put(0, 0xd0000000u, 4, false, true);
    guest_put(0, ~0ull - 1, 4, true, false);
    guest_kick(0, 0);
    g_assert_true(guest_take(0, NULL, NULL));
    guest_put(0, GUEST_MODERN + 20, 4, false, true); /* its own registers */
    guest_put(0, GUEST_MODERN + 20, 4, true, false);
    guest_kick(0, 2);
    g_assert_true(guest_take(0, NULL, NULL));
    g_assert_cmphex(guest_status(), ==, 15);
}

static void test_rings_where_no_memory_is(void)
{
    setup();
    guest_begin(true, 0);
    guest_queue_setup(0, 0);
    guest_write(GUEST_MODERN + 22, 2, 1);
    for (unsigned i = 0; i < 3; i++) {
        guest_write(GUEST_MODERN + 32 + 8 * i, 4, GUEST_MODERN);
        guest_write(GUEST_MODERN + 36 + 8 * i, 4, i == 2 ? 0xffffffff : 0);
    }
    guest_write(GUEST_MODERN + 28, 2, 1);
    guest_drive();
    guest_notify(1);
    guest_settle();
    g_assert_cmphex(guest_status(), ==, 0x4f); /* the index that reads as all ones cannot be */
}

static void test_legacy_works_before_driver_ok(void)
{
    struct echo *echo = setup();
    guest_begin(false, 0);
    guest_config_set(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY); /* and forgets about bus mastering */
    guest_queue_setup(0, 0);
    guest_kick(0, put_pair(0, 0));
    check_pair(0, 0);
    guest_drive();
    g_assert_cmpuint(echo->started, ==, 1);
}

static void test_modern_waits_for_driver_ok(void)
{
    setup();
    guest_begin(true, 0);
    guest_queue_setup(0, 0);
    guest_kick(0, put_pair(0, 0));
    g_assert_cmpuint(guest_used_index(0), ==, 0);
    guest_drive();
    guest_settle();
    check_pair(0, 0);
}

static void test_legacy_queue_goes_away(void)
{
    setup();
    guest_start(false, 0, 1);
    ioport_write(GUEST_IO + 14, 2, 0);
    g_assert_cmphex(ioport_read(GUEST_IO + 8, 4), ==, GUEST_RINGS >> 12);
    ioport_write(GUEST_IO + 8, 4, 0);
    g_assert_cmphex(ioport_read(GUEST_IO + 8, 4), ==, 0);
    guest_kick(0, put_pair(0, 0));
    g_assert_cmpuint(guest_used_index(0), ==, 0);
    ioport_write(GUEST_IO + 14, 2, 99);
    g_assert_cmphex(ioport_read(GUEST_IO + 12, 2), ==, 0); /* no such queue */
    ioport_write(GUEST_IO + 8, 4, 77);
}

static void test_queue_sizes(void)
{
    setup();
    guest_begin(true, 0);
    guest_write(GUEST_MODERN + 22, 2, 1);
    g_assert_cmpuint(guest_read(GUEST_MODERN + 18, 2), ==, 2);
    g_assert_cmpuint(guest_read(GUEST_MODERN + 24, 2), ==, 128);
    guest_write(GUEST_MODERN + 24, 2, 100);
    guest_write(GUEST_MODERN + 24, 2, 0);
    guest_write(GUEST_MODERN + 24, 2, 256);
    g_assert_cmpuint(guest_read(GUEST_MODERN + 24, 2), ==, 128);
    guest_queue_setup(1, 2);
    guest_drive();
    for (unsigned i = 0; i < 10; i++) {
        guest_kick(1, put_pair(1, 0));
        check_pair(1, 0);
    }
    guest_write(GUEST_MODERN + 24, 2, 64); /* it is on */
    g_assert_cmpuint(guest_read(GUEST_MODERN + 24, 2), ==, 2);
}

static void test_window_in_configuration_space(void)
{
    struct echo *echo = setup();
    guest_config_set(PCI_COMMAND, 2, PCI_COMMAND_MASTER); /* BARs are off */
    guest_config_set(0x84 + 4, 1, 4);
    guest_config_set(0x84 + 8, 4, 0x2004);
    guest_config_set(0x84 + 12, 4, 2);
    g_assert_cmphex(guest_config(0x84 + 16, 2), ==, 0x1514);
    guest_config_set(0x84 + 16, 2, 0xbeef);
    g_assert_cmphex(echo->config[4], ==, 0xef);
    guest_config_set(0x84 + 8, 4, 0x4000); /* behind the end */
    guest_config_set(0x84 + 16, 4, 0);
    guest_config_set(0x84 + 8, 4, 0xfffffffe);
    guest_config(0x84 + 16, 4);
    guest_config_set(0x84 + 4, 1, 1);
    guest_config(0x84 + 16, 4);
}

static void test_not_bus_master(void)
{
    setup();
    guest_start(true, 0, 1);
    guest_config_set(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    guest_kick(0, put_pair(0, 0));
    g_assert_cmphex(guest_status() & 0x40, ==, 0x40);
}

static void test_save_load_with_work_to_do(gconstpointer modern)
{
    setup();
    guest_msix_on(3);
    guest_start(GPOINTER_TO_INT(modern), F_EVENT_IDX, 2);
    guest_kick(0, put_pair(0, 0));
    check_pair(0, 0);
    guest_avail(0, put_pair(0, 1));
    guest_notify(0);
    guest_reload(&plain);
    guest_settle();
    check_pair(0, 1);
    guest_kick(0, put_pair(0, 2));
    check_pair(0, 2);
}

static void test_load_of_nonsense(void)
{
    struct echo *echo = setup();
    guest_start(true, 0, 2);
    struct virtqueue_regs was = echo->virtio.queue[1].regs;
    static const struct {
        uint16_t size, vector;
    } wrong[] = {{0, 0}, {3, 0}, {256, 0}, {128, 3}};
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        echo->virtio.queue[1].regs.size = wrong[i].size;
        echo->virtio.queue[1].regs.vector = wrong[i].vector;
        GByteArray *bytes = device_saved(guest.class, echo);
        echo->virtio.queue[1].regs = was;
        g_assert_false(device_load(guest.class, echo, bytes->data, bytes->len));
        g_byte_array_unref(bytes);
    }
    echo->virtio.regs.kicked = 4;
    GByteArray *bytes = device_saved(guest.class, echo);
    echo->virtio.regs.kicked = 0;
    g_assert_false(device_load(guest.class, echo, bytes->data, bytes->len));
    g_byte_array_unref(bytes);
}

/* Random registers, random rings. */
static void test_storm(void)
{
    GRand *rand = g_rand_new_with_seed(20261129);
    setup();
    for (unsigned round = 0; round < 300; round++) {
        guest_start(g_rand_boolean(rand), g_rand_boolean(rand) ? F_EVENT_IDX | F_INDIRECT_DESC : 0, 2);
        for (unsigned i = 0; i < 200; i++) {
            uint32_t what = g_rand_int_range(rand, 0, 8), value = g_rand_int(rand);
            uint32_t near = (uint32_t)GUEST_RINGS + (value & 0x1ffff);
            if (what == 0)
                guest_write(GUEST_MODERN + g_rand_int_range(rand, 0, 0x4000), 1u << value % 4, value);
            else if (what == 1)
                ioport_write((uint16_t)(GUEST_IO + g_rand_int_range(rand, 0, 60)), 1u << value % 3, value);
            else if (what == 2)
                guest_desc(GUEST_RINGS + 0x10000 * (value & 1), value >> 1 & 63, near, g_rand_int(rand) >> value % 32,
                           (value >> 8) & 7, value >> 12 & 63);
            else if (what == 3)
                guest_avail(value & 1, value >> 1 & 63);
            else if (what == 4)
                guest_config_set((uint8_t)(0x40 + (value & 0x7c)), 4, g_rand_int(rand) & 0xffff);
            else if (what == 5)
                guest_write(near, 2, value >> 20);
            else if (what == 6)
                guest_read(GUEST_MODERN + g_rand_int_range(rand, 0, 0x4000), 1u << value % 3);
            else
                guest_notify(value & 1);
            vclock_fake_advance(1);
        }
    }
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio/identity_of_variants", test_identity_of_variants);
    g_test_add_func("/virtio/properties_choose_interfaces", test_properties_choose_interfaces);
    g_test_add_func("/virtio/capabilities_can_be_walked", test_capabilities_can_be_walked);
    g_test_add_data_func("/virtio/echo_legacy", GINT_TO_POINTER(0), test_echo);
    g_test_add_data_func("/virtio/echo_modern", GINT_TO_POINTER(1), test_echo);
    g_test_add_func("/virtio/features_are_settled_once", test_features_are_settled_once);
    g_test_add_func("/virtio/reset_by_status", test_reset_by_status);
    g_test_add_func("/virtio/device_configuration", test_device_configuration);
    g_test_add_func("/virtio/configuration_change_interrupts", test_configuration_change_interrupts);
    g_test_add_data_func("/virtio/msix_vectors_legacy", GINT_TO_POINTER(0), test_msix_vectors);
    g_test_add_data_func("/virtio/msix_vectors_modern", GINT_TO_POINTER(1), test_msix_vectors);
    g_test_add_func("/virtio/driver_can_forbid_interrupts", test_driver_can_forbid_interrupts);
    g_test_add_func("/virtio/event_index", test_event_index);
    g_test_add_func("/virtio/event_index_around_the_end", test_event_index_around_the_end);
    g_test_add_func("/virtio/indirect", test_indirect);
    g_test_add_func("/virtio/budget", test_budget);
    g_test_add_func("/virtio/broken_rings", test_broken_rings);
    g_test_add_func("/virtio/indirect_must_be_agreed_on", test_indirect_must_be_agreed_on);
    g_test_add_func("/virtio/broken_legacy", test_broken_legacy);
    g_test_add_func("/virtio/buffers_where_no_memory_is", test_buffers_where_no_memory_is);
    g_test_add_func("/virtio/rings_where_no_memory_is", test_rings_where_no_memory_is);
    g_test_add_func("/virtio/legacy_works_before_driver_ok", test_legacy_works_before_driver_ok);
    g_test_add_func("/virtio/modern_waits_for_driver_ok", test_modern_waits_for_driver_ok);
    g_test_add_func("/virtio/legacy_queue_goes_away", test_legacy_queue_goes_away);
    g_test_add_func("/virtio/queue_sizes", test_queue_sizes);
    g_test_add_func("/virtio/window_in_configuration_space", test_window_in_configuration_space);
    g_test_add_func("/virtio/not_bus_master", test_not_bus_master);
    g_test_add_data_func("/virtio/save_load_legacy", GINT_TO_POINTER(0), test_save_load_with_work_to_do);
    g_test_add_data_func("/virtio/save_load_modern", GINT_TO_POINTER(1), test_save_load_with_work_to_do);
    g_test_add_func("/virtio/load_of_nonsense", test_load_of_nonsense);
    g_test_add_func("/virtio/storm", test_storm);
    return g_test_run();
}
