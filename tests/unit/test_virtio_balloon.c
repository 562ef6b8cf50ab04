/* virtio-balloon: pages that lose their bytes and those that must not, statistics, news, state in the middle. */
#include "balloon.h"
#include "virtio_guest.h"

extern const struct device_class balloon_pci_class;

#define INFLATE 0
#define DEFLATE 1
#define STATS   2
#define F_STATS (1ull << 1)
#define PAGE    0x600000u

static struct {
    unsigned count;
    uint64_t bytes;
} news;

static void port_changed(void *opaque, const char *device, bool open)
{
}

static void balloon_changed(void *opaque, uint64_t bytes)
{
    news.count++;
    news.bytes = bytes;
}

static const struct board_news board_news = {port_changed, balloon_changed, NULL};
static void *config;

static void setup(void)
{
    guest_free();
    g_free(config);
    config = g_malloc0(balloon_pci_class.config_size);
    memset(&news, 0, sizeof(news));
    memset(guest_offers, 0, sizeof(guest_offers));
    guest_provide(NULL, "news", (void *)&board_news);
    guest_setup(&balloon_pci_class, config);
    vclock_set_wall_base(1000000);
}

static const struct balloon *balloon(void)
{
    return guest_service(NULL, "balloon");
}

static void put_pfn(unsigned i, uint32_t pfn)
{
    guest_write(GUEST_BUFFER + 4 * i, 4, pfn);
}

static void inflate(unsigned count)
{
    guest_kick(INFLATE, guest_put(INFLATE, GUEST_BUFFER, 4 * count, false, false));
    g_assert_true(guest_take(INFLATE, NULL, NULL));
}

static void fill(uint64_t at, uint32_t size)
{
    memset(guest_mem.ram + at, 0xaa, size);
}

static bool is_zero(uint64_t at)
{
    for (unsigned i = 0; i < 4096; i++) {
        if (guest_mem.ram[at + i])
            return false;
    }
    return true;
}

static void test_inflate(gconstpointer modern)
{
    setup();
    guest_start(GPOINTER_TO_INT(modern), F_STATS, 3);
    fill(PAGE - 4096, 12 * 4096);
    for (unsigned i = 0; i < 3; i++) /* upwards, downwards, alone */
        put_pfn(i, (PAGE >> 12) + i);
    for (unsigned i = 0; i < 3; i++)
        put_pfn(3 + i, (PAGE >> 12) + 7 - i);
    put_pfn(6, (PAGE >> 12) + 9);
    inflate(7);
    static const bool empty[] = {false, true, true, true, false, false, true, true, true, false, true};
    for (unsigned i = 0; i < G_N_ELEMENTS(empty); i++)
        g_assert_cmpint(is_zero(PAGE - 4096 + 4096u * i), ==, empty[i]);
    guest_kick(DEFLATE, guest_put(DEFLATE, GUEST_BUFFER, 28, false, false));
    g_assert_true(guest_take(DEFLATE, NULL, NULL));
    guest_write(PAGE, 4, 0x12345678);
    g_assert_cmphex(guest_read(PAGE, 4), ==, 0x12345678);
}

static unsigned forgotten;

static void code_written(void *opaque, gpa_t gpa, uint32_t len)
{
    g_assert_cmphex(gpa, ==, PAGE + 4096);
    forgotten++;
}

static void test_translations_are_dropped(void)
{
    setup();
    guest_start(true, 0, 3);
    forgotten = 0;
    guest_mem.code_written = guest_mem.decoded_written = code_written;
    guest_mem.page_flags[(PAGE >> 12) + 1] = MEM_PAGE_CODE | MEM_PAGE_DECODED;
    put_pfn(0, PAGE >> 12);
    put_pfn(1, (PAGE >> 12) + 1);
    inflate(2);
    g_assert_cmpuint(forgotten, ==, 2);
    guest_mem.code_written = guest_mem.decoded_written = NULL;
    guest_mem.page_flags[(PAGE >> 12) + 1] = 0;
}

static void test_pages_that_are_no_memory(void)
{
    static const struct mmio_ops nothing;
    setup();
    guest_start(true, 0, 3);
    fill(PAGE, 3 * 4096);
    mem_set_rom(PAGE, 4096, true);
    mem_add_mmio(PAGE + 4096, 4096, &nothing, NULL, "device");
    uint32_t pfn[] = {PAGE >> 12, (PAGE >> 12) + 1, 0xe0010, 0xfffff, 0x100000, 0xffffffff, 16 * MiB >> 12};
    for (unsigned i = 0; i < G_N_ELEMENTS(pfn); i++)
        put_pfn(i, pfn[i]);
    inflate(G_N_ELEMENTS(pfn));
    mem_remove_mmio(PAGE + 4096);
    mem_set_rom(PAGE, 4096, false);
    for (unsigned i = 0; i < 3; i++)
        g_assert_false(is_zero(PAGE + 4096 * i));
    guest_kick(INFLATE, guest_put(INFLATE, GUEST_BUFFER, 3, false, false)); /* not even a number */
    g_assert_true(guest_take(INFLATE, NULL, NULL));
    g_assert_cmphex(guest_status() & 0x40, ==, 0);
}

/* A chain of more pages than one run does, saved after the first of these. */
static void test_long_chain_is_saved_in_the_middle(void)
{
    setup();
    guest_start(true, 0, 3);
    for (unsigned i = 0; i < 6000; i++)
        put_pfn(i, 0x900 + i % 0x500);
    fill(0x900000, 0x500000);
    guest_avail(INFLATE, guest_put(INFLATE, GUEST_BUFFER, 4 * 6000, false, false));
    guest_notify(INFLATE);
    pci_bus_granted(i440fx_bus(guest.host)); /* one run */
    g_assert_false(guest_take(INFLATE, NULL, NULL));
    guest_reload(config);
    guest_settle();
    g_assert_true(guest_take(INFLATE, NULL, NULL));
    for (unsigned i = 0; i < 0x500; i++)
        g_assert_true(is_zero(0x900000 + 4096 * i));
}

static void test_target_and_actual(void)
{
    setup();
    guest_start(true, 0, 3);
    (void)guest_isr();
    balloon()->set_target(balloon()->opaque, 12 * MiB);
    g_assert_cmphex(guest_isr(), ==, 2);
    g_assert_cmpuint(guest_read(GUEST_CONFIG, 4), ==, 1024);
    g_assert_cmpuint(balloon()->actual(balloon()->opaque), ==, 16 * MiB);
    guest_write(GUEST_CONFIG, 4, 77); /* the host's */
    g_assert_cmpuint(guest_read(GUEST_CONFIG, 4), ==, 1024);
    guest_write(GUEST_CONFIG + 4, 4, 256);
    g_assert_cmpuint(balloon()->actual(balloon()->opaque), ==, 15 * MiB);
    g_assert_cmpuint(news.count, ==, 1);
    g_assert_cmpuint(news.bytes, ==, 15 * MiB);
    guest_write(GUEST_CONFIG + 4, 4, 512); /* told a second later, and only what it is then */
    guest_write(GUEST_CONFIG + 4, 4, 1024);
    g_assert_cmpuint(news.count, ==, 1);
    vclock_fake_advance(NS_PER_SECOND + 1);
    g_assert_cmpuint(news.count, ==, 2);
    g_assert_cmpuint(news.bytes, ==, 12 * MiB);
    guest_write(GUEST_CONFIG + 4, 4, 0xffffffff);
    g_assert_cmpuint(balloon()->actual(balloon()->opaque), ==, 0);
    balloon()->set_target(balloon()->opaque, 100 * GiB);
    g_assert_cmpuint(guest_read(GUEST_CONFIG, 4), ==, 0);
    guest_set_status(0); /* all of it is the guest's again */
    g_assert_cmpuint(balloon()->actual(balloon()->opaque), ==, 16 * MiB);
}

static void put_stat(unsigned i, uint16_t tag, uint64_t value)
{
    guest_write(GUEST_BUFFER + 10 * i, 2, tag);
    guest_write(GUEST_BUFFER + 10 * i + 2, 8, value);
}

static void test_statistics(void)
{
    uint64_t stat[BALLOON_STATS];
    setup();
    guest_start(true, F_STATS, 3);
    g_assert_cmpint(balloon()->stats(balloon()->opaque, stat), ==, 0);
    g_assert_cmphex(stat[BALLOON_FREE_MEMORY], ==, UINT64_MAX);
    put_stat(0, 4, 0x1234567890);
    put_stat(1, 99, 5);
    guest_kick(STATS, guest_put(STATS, GUEST_BUFFER, 20, false, false));
    g_assert_false(guest_take(STATS, NULL, NULL)); /* it stays with us */
    g_assert_cmpint(balloon()->stats(balloon()->opaque, stat), >, 0);
    g_assert_cmphex(stat[BALLOON_FREE_MEMORY], ==, 0x1234567890);
    g_assert_cmphex(stat[BALLOON_SWAP_IN], ==, UINT64_MAX);
    balloon()->set_polling(balloon()->opaque, 2);
    guest_reload(config);
    vclock_fake_advance(2 * NS_PER_SECOND);
    guest_settle();
    g_assert_true(guest_take(STATS, NULL, NULL));
    guest_kick(STATS, guest_put(STATS, GUEST_BUFFER, 10, false, false));
    g_assert_false(guest_take(STATS, NULL, NULL));
    guest_kick(STATS, guest_put(STATS, GUEST_BUFFER, 10, false, false)); /* two at once: the first comes back */
    g_assert_true(guest_take(STATS, NULL, NULL));
    g_assert_false(guest_take(STATS, NULL, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/virtio_balloon/inflate/legacy", NULL, test_inflate);
    g_test_add_data_func("/virtio_balloon/inflate/modern", GINT_TO_POINTER(1), test_inflate);
    g_test_add_func("/virtio_balloon/translations_are_dropped", test_translations_are_dropped);
    g_test_add_func("/virtio_balloon/pages_that_are_no_memory", test_pages_that_are_no_memory);
    g_test_add_func("/virtio_balloon/long_chain_is_saved_in_the_middle", test_long_chain_is_saved_in_the_middle);
    g_test_add_func("/virtio_balloon/target_and_actual", test_target_and_actual);
    g_test_add_func("/virtio_balloon/statistics", test_statistics);
    int rc = g_test_run();
    guest_free();
    return rc;
}
