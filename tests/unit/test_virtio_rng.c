/* virtio-rng: bytes by a legacy and a modern driver, a limit, a source that has nothing for a while. */
#include "virtio_guest.h"

extern const struct device_class rng_pci_class;

static struct {
    bool refuses;
    unsigned asked;
} source;

static bool source_get(void *opaque, uint8_t *bytes, size_t len)
{
    source.asked++;
    memset(bytes, 0x5a, len);
    return !source.refuses;
}

static bool source_is_there(void *opaque, const char *id)
{
    return strcmp(id, "r0") == 0;
}

static const struct board_rng board_rng = {source_get, source_is_there, NULL};
static void *config;

static void config_set(const char *name, uint64_t value)
{
    for (const struct property *p = rng_pci_class.properties; p->name; p++) {
        if (strcmp(p->name, name) == 0)
            memcpy((uint8_t *)config + p->offset, &value, p->size);
    }
}

static void setup(uint64_t max_bytes, uint32_t period)
{
    guest_free();
    g_free(config);
    config = g_malloc0(rng_pci_class.config_size);
    for (const struct property *p = rng_pci_class.properties; p->name; p++) {
        if (p->type == PROPERTY_NUMBER)
            config_set(p->name, g_ascii_strtoull(p->preset, NULL, 0));
    }
    config_set("max-bytes", max_bytes);
    config_set("period", period);
    memset(&source, 0, sizeof(source));
    memset(guest_offers, 0, sizeof(guest_offers));
    guest_provide(NULL, "rng", (void *)&board_rng);
    guest_setup(&rng_pci_class, config);
}

static void ask(uint32_t len)
{
    guest_kick(0, guest_put(0, GUEST_BUFFER, len, true, false));
}

static void test_bytes(gconstpointer modern)
{
    uint32_t len = 0;
    setup(INT64_MAX, 1000);
    guest_start(GPOINTER_TO_INT(modern), 0, 1);
    ask(10000);
    g_assert_true(guest_take(0, NULL, &len));
    g_assert_cmpuint(len, ==, 10000);
    g_assert_cmphex(guest_read(GUEST_BUFFER + 9996, 4), ==, 0x5a5a5a5a);
    g_assert_cmphex(guest_read(GUEST_BUFFER + 10000, 4), ==, 0);
    g_assert_true(guest_intx());
    g_assert_cmpuint(source.asked, ==, 3);
    ask(0);
    g_assert_true(guest_take(0, NULL, &len));
    g_assert_cmpuint(len, ==, 0);
    g_assert_cmphex(guest_status() & 0x40, ==, 0);
}

static void test_long_buffer_is_filled_in_part(void)
{
    uint32_t len = 0;
    setup(INT64_MAX, 1000);
    guest_start(true, 0, 1);
    ask(0x200000);
    g_assert_true(guest_take(0, NULL, &len));
    g_assert_cmpuint(len, ==, 65536);
}

static void test_limit(void)
{
    uint32_t len = 0;
    setup(100, 50);
    guest_start(true, 0, 1);
    ask(60);
    ask(60);
    ask(60);
    g_assert_true(guest_take(0, NULL, &len));
    g_assert_cmpuint(len, ==, 60);
    g_assert_true(guest_take(0, NULL, &len));
    g_assert_cmpuint(len, ==, 40);
    g_assert_false(guest_take(0, NULL, NULL));
    vclock_fake_advance(49 * MS);
    g_assert_false(guest_take(0, NULL, NULL));
    guest_reload(config); /* the rest of the period is saved */
    guest_settle();
    g_assert_false(guest_take(0, NULL, NULL));
    vclock_fake_advance(2 * MS);
    guest_settle();
    g_assert_true(guest_take(0, NULL, &len));
    g_assert_cmpuint(len, ==, 60);
}

static void test_reset_gives_no_more(void)
{
    setup(100, 50);
    guest_start(true, 0, 1);
    ask(100);
    g_assert_true(guest_take(0, NULL, NULL));
    guest_start(true, 0, 1);
    ask(1);
    g_assert_false(guest_take(0, NULL, NULL));
}

static void test_source_without(void)
{
    setup(INT64_MAX, 1000);
    guest_start(true, 0, 1);
    source.refuses = true;
    ask(16);
    g_assert_false(guest_take(0, NULL, NULL));
    source.refuses = false;
    vclock_fake_advance(20 * MS);
    guest_settle();
    g_assert_true(guest_take(0, NULL, NULL));
}

static void test_wrong_configurations(void)
{
    struct device_site site = {.board = &guest.board, .id = "rng", .unit = PCI_DEVFN(5, 0)};
    GError *error = NULL;
    setup(INT64_MAX, 1000);
    config_set("rng", (uintptr_t) "nobody");
    g_assert_null(rng_pci_class.create(&site, config, &error));
    g_assert_nonnull(strstr(error->message, "'nobody'"));
    g_clear_error(&error);
    config_set("rng", 0);
    config_set("period", 0);
    g_assert_null(rng_pci_class.create(&site, config, &error));
    g_assert_nonnull(strstr(error->message, "'period'"));
    g_clear_error(&error);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/virtio_rng/bytes/legacy", NULL, test_bytes);
    g_test_add_data_func("/virtio_rng/bytes/modern", GINT_TO_POINTER(1), test_bytes);
    g_test_add_func("/virtio_rng/long_buffer_is_filled_in_part", test_long_buffer_is_filled_in_part);
    g_test_add_func("/virtio_rng/limit", test_limit);
    g_test_add_func("/virtio_rng/reset_gives_no_more", test_reset_gives_no_more);
    g_test_add_func("/virtio_rng/source_without", test_source_without);
    g_test_add_func("/virtio_rng/wrong_configurations", test_wrong_configurations);
    int rc = g_test_run();
    guest_free();
    return rc;
}
