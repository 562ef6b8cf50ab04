/* virtio-blk: requests by a legacy and a modern driver, errors, budgets, resets and saving while they are under way. */
#include "ram_block.h"
#include "virtio_guest.h"

extern const struct device_class blk_pci_class;

#define F_SEG_MAX      (1ull << 2)
#define F_RO           (1ull << 5)
#define F_FLUSH        (1ull << 9)
#define F_CONFIG_WCE   (1ull << 11)
#define F_MQ           (1ull << 12)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)
#define F_ALL          (F_FLUSH | F_DISCARD | F_WRITE_ZEROES | F_MQ | F_INDIRECT_DESC | F_EVENT_IDX)

#define DISK_SIZE (16ull * MiB)
#define HEADERS   0x300000u /* 16 bytes of header and one of status for each request */
#define STATUS(n) (HEADERS + 32u * (n) + 16)
#define NOTHING   0x77

static struct ram_block ram;
static struct device_drive drive;
static void *config;

/* The class's config struct is its own: it is filled by its properties, as the board does. */
static void config_set(const char *name, uint64_t value)
{
    for (const struct property *p = blk_pci_class.properties; p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            memcpy((uint8_t *)config + p->offset, &value, p->size);
            return;
        }
    }
    g_assert_not_reached();
}

static void prepare(bool read_only)
{
    g_free(config);
    config = g_malloc0(blk_pci_class.config_size);
    g_free(ram.bytes);
    ram_block_init(&ram, DISK_SIZE);
    ram.block.read_only = read_only;
    drive = (struct device_drive){
        .id = "d", .block = &ram.block, .serial = "S-12345", .cylinders = 32, .heads = 16, .sectors = 63};
    for (const struct property *p = blk_pci_class.properties; p->name; p++) {
        if (p->type == PROPERTY_NUMBER)
            config_set(p->name, g_ascii_strtoull(p->preset, NULL, 0));
        else if (p->type == PROPERTY_BOOL)
            config_set(p->name, p->preset != NULL);
    }
    config_set("drive", (uintptr_t)&drive);
}

static void setup(void)
{
    prepare(false);
    guest_setup(&blk_pci_class, config);
}

static void complete_all(void)
{
    guest_settle();
    while (ram.count) {
        ram_block_complete(&ram);
        guest_settle();
    }
}

/* Request n of this type with len bytes at its buffer, in one piece or several; it is told of, not waited for. */
static uint16_t put_request(unsigned queue, unsigned n, uint32_t type, uint64_t sector, uint64_t buffer, uint32_t len,
                            bool to_guest, uint32_t piece)
{
    guest_write(HEADERS + 32 * n, 4, type);
    guest_write(HEADERS + 32 * n + 4, 4, 0);
    guest_write(HEADERS + 32 * n + 8, 8, sector);
    guest_write(STATUS(n), 1, NOTHING);
    uint16_t head = guest_put(queue, HEADERS + 32 * n, 16, false, true);
    for (uint32_t at = 0; at < len; at += piece)
        guest_put(queue, buffer + at, MIN(piece, len - at), to_guest, true);
    guest_put(queue, STATUS(n), 1, true, false);
    return head;
}

static void ask(unsigned n, uint32_t type, uint64_t sector, uint64_t buffer, uint32_t len, bool to_guest)
{
    guest_kick(0, put_request(0, n, type, sector, buffer, len, to_guest, len));
}

static uint8_t status(unsigned n)
{
    return (uint8_t)guest_read(STATUS(n), 1);
}

static uint32_t used_len(unsigned queue)
{
    uint32_t len = 0;
    g_assert_true(guest_take(queue, NULL, &len));
    return len;
}

static void test_configuration(void)
{
    setup();
    guest.modern = true;
    g_assert_cmphex(guest_offered(), ==, 0x138006e54ull);
    g_assert_cmphex(guest_config(0, 4), ==, 0x10011af4);
    g_assert_cmphex(guest_config(PCI_CLASS + 2, 1), ==, 1);
    g_assert_cmpuint(guest_read(GUEST_CONFIG, 4), ==, DISK_SIZE / 512);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 12, 4), ==, 254);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 16, 2), ==, 32);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 20, 4), ==, 512);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 34, 2), ==, 1);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 40, 4), ==, 1);
    prepare(true);
    config_set("num-queues", 4);
    guest_setup(&blk_pci_class, config);
    guest.modern = true;
    g_assert_cmphex(guest_offered() & (F_RO | F_DISCARD | F_WRITE_ZEROES | F_MQ), ==, F_RO | F_MQ);
    g_assert_cmpuint(guest_read(GUEST_MODERN + 18, 2), ==, 4);
}

static void test_bad_properties(void)
{
    static const struct {
        const char *name;
        uint64_t value;
    } bad[] = {{"drive", 0}, {"queue-size", 100}, {"queue-size", 2}, {"num-queues", 0}, {"logical_block_size", 513}};
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *error = NULL;
        prepare(false);
        config_set(bad[i].name, bad[i].value);
        const struct device_site site = {.board = &guest.board, .id = "x", .unit = PCI_DEVFN(5, 0)};
        g_assert_null(blk_pci_class.create(&site, config, &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
    }
}

static void test_read_write(gconstpointer modern)
{
    setup();
    guest_start(GPOINTER_TO_INT(modern), F_FLUSH, 1);
    ask(0, 0, 5, GUEST_BUFFER, 4096, true);
    g_assert_cmpuint(ram.count, ==, 1);
    g_assert_cmphex(status(0), ==, NOTHING);
    ram_block_complete(&ram);
    g_assert_cmphex(status(0), ==, NOTHING); /* memory is written as bus master, not on the drive's thread */
    guest_settle();
    g_assert_cmphex(status(0), ==, 0);
    g_assert_true(guest_intx());
    g_assert_cmpuint(used_len(0), ==, 4097);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER, 4096, ram.bytes + 5 * 512, 4096);

    memset(guest_mem.ram + GUEST_BUFFER, 0xa7, 1024);
    ask(1, 1, 9, GUEST_BUFFER, 1024, false);
    complete_all();
    g_assert_cmphex(status(1), ==, 0);
    g_assert_cmpuint(used_len(0), ==, 1);
    g_assert_cmpmem(ram.bytes + 9 * 512, 1024, guest_mem.ram + GUEST_BUFFER, 1024);
    g_assert_cmpuint(ram.flushes, ==, 0);
}

static void test_scattered(void)
{
    setup();
    guest_start(true, 0, 1);
    guest_kick(0, put_request(0, 0, 0, 0, GUEST_BUFFER, 1536, true, 100));
    complete_all();
    g_assert_cmphex(status(0), ==, 0);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER, 1536, ram.bytes, 1536);
}

/* Three bytes more than fit into the buffer, so to speak. */
static void test_large_in_pieces(void)
{
    uint32_t len = 3 * MiB - 512;
    setup();
    guest_start(true, F_FLUSH, 1);
    ask(0, 0, 1, GUEST_BUFFER, len, true);
    complete_all();
    g_assert_cmpuint(ram.reads, ==, 3);
    g_assert_cmpuint(ram.largest, ==, 1 * MiB);
    g_assert_cmphex(status(0), ==, 0);
    g_assert_cmpuint(used_len(0), ==, len + 1);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER, len, ram.bytes + 512, len);
    memset(guest_mem.ram + GUEST_BUFFER, 0x3c, len);
    ask(1, 1, 1, GUEST_BUFFER, len, false);
    complete_all();
    g_assert_cmpuint(ram.writes, ==, 3);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER, len, ram.bytes + 512, len);
}

static void test_serial(void)
{
    setup();
    guest_start(false, 0, 1);
    memset(guest_mem.ram + GUEST_BUFFER, 0xff, 32);
    ask(0, 8, 0, GUEST_BUFFER, 20, true);
    g_assert_cmphex(status(0), ==, 0);
    g_assert_cmpuint(used_len(0), ==, 21);
    g_assert_cmpstr((char *)guest_mem.ram + GUEST_BUFFER, ==, "S-12345");
    config_set("serial", (uintptr_t) "01234567890123456789");
    ask(1, 8, 0, GUEST_BUFFER, 20, true);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER, 21, "01234567890123456789\xff", 21);
}

static void test_flush_and_cache_modes(void)
{
    setup();
    guest_start(true, F_FLUSH | F_CONFIG_WCE, 1);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 32, 1), ==, 1);
    ask(0, 4, 0, 0, 0, false);
    g_assert_cmpuint(ram.flushes, ==, 1);
    complete_all();
    g_assert_cmphex(status(0), ==, 0);
    guest_write(GUEST_CONFIG + 32, 1, 0); /* written through from now on */
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 32, 1), ==, 0);
    ask(1, 1, 0, GUEST_BUFFER, 512, false);
    ram_block_complete(&ram);
    guest_settle();
    g_assert_cmphex(status(1), ==, NOTHING);
    g_assert_cmpuint(ram.flushes, ==, 2);
    complete_all();
    g_assert_cmphex(status(1), ==, 0);
    guest_start(false, 0, 1); /* a driver that cannot flush */
    ask(2, 1, 0, GUEST_BUFFER, 512, false);
    complete_all();
    g_assert_cmpuint(ram.flushes, ==, 3);
}

static void put_range(uint64_t sector, uint32_t sectors, uint32_t flags)
{
    guest_write(GUEST_BUFFER, 8, sector);
    guest_write(GUEST_BUFFER + 8, 4, sectors);
    guest_write(GUEST_BUFFER + 12, 4, flags);
}

static void test_discard_and_zeroes(void)
{
    setup();
    guest_start(true, F_DISCARD | F_WRITE_ZEROES | F_FLUSH, 1);
    put_range(3, 5, 0);
    ask(0, 11, 0, GUEST_BUFFER, 16, false);
    g_assert_cmpuint(ram.discards, ==, 1);
    complete_all();
    g_assert_cmphex(status(0), ==, 0);
    put_range(3, 5, 1);
    ask(1, 13, 0, GUEST_BUFFER, 16, false);
    complete_all();
    g_assert_cmphex(status(1), ==, 0);
    g_assert_cmpuint(ram.bytes[3 * 512] | ram.bytes[8 * 512 - 1], ==, 0);
    g_assert_cmpuint(ram.bytes[8 * 512], ==, 8);
    put_range(3, 5, 2); /* a flag that is not known */
    ask(2, 13, 0, GUEST_BUFFER, 16, false);
    g_assert_cmphex(status(2), ==, 2);
    put_range(3, 5, 1); /* which a discard has not */
    ask(3, 11, 0, GUEST_BUFFER, 16, false);
    g_assert_cmphex(status(3), ==, 2);
    put_range(DISK_SIZE / 512 - 1, 2, 0);
    ask(4, 11, 0, GUEST_BUFFER, 16, false);
    g_assert_cmphex(status(4), ==, 1);
    put_range(~0ull, 2, 0);
    ask(5, 11, 0, GUEST_BUFFER, 16, false);
    g_assert_cmphex(status(5), ==, 1);
    ask(6, 11, 0, GUEST_BUFFER, 32, false); /* one range at a time */
    g_assert_cmphex(status(6), ==, 1);
    put_range(0, 0xffffffff, 0);
    ask(7, 13, 0, GUEST_BUFFER, 16, false);
    g_assert_cmphex(status(7), ==, 1);
    guest_start(true, F_FLUSH, 1); /* not agreed on */
    put_range(3, 5, 0);
    ask(8, 11, 0, GUEST_BUFFER, 16, false);
    g_assert_cmphex(status(8), ==, 2);
}

static void test_errors(void)
{
    setup();
    guest_start(true, F_FLUSH, 1);
    ask(0, 0, DISK_SIZE / 512 - 1, GUEST_BUFFER, 1024, true); /* over the end */
    g_assert_cmphex(status(0), ==, 1);
    g_assert_cmpuint(used_len(0), ==, 1);
    ask(1, 0, ~0ull, GUEST_BUFFER, 512, true);
    g_assert_cmphex(status(1), ==, 1);
    ask(2, 0, 0, GUEST_BUFFER, 100, true); /* no sector */
    g_assert_cmphex(status(2), ==, 1);
    ask(3, 99, 0, GUEST_BUFFER, 512, true);
    g_assert_cmphex(status(3), ==, 2);
    ask(4, 0, 0, 0, 0, true); /* nothing at all */
    g_assert_cmphex(status(4), ==, 0);
    ram.error = EIO;
    ask(5, 1, 0, GUEST_BUFFER, 512, false);
    complete_all();
    g_assert_cmphex(status(5), ==, 1);
    g_assert_cmphex(guest_status(), ==, 15);
    guest_put(0, HEADERS, 8, false, false); /* no status, half a header */
    guest_kick(0, (uint16_t)(guest.queue[0].free - 1));
    g_assert_cmphex(guest_status(), ==, 0x4f);
}

static void test_read_only(void)
{
    prepare(true);
    guest_setup(&blk_pci_class, config);
    guest_start(true, 0, 1);
    ask(0, 1, 0, GUEST_BUFFER, 512, false);
    g_assert_cmphex(status(0), ==, 1);
    g_assert_cmpuint(ram.writes, ==, 0);
    ask(1, 0, 0, GUEST_BUFFER, 512, true);
    complete_all();
    g_assert_cmphex(status(1), ==, 0);
}

static void test_buffer_where_no_memory_is(void)
{
    setup();
    guest_start(true, F_FLUSH, 1);
    ask(0, 0, 0, 0xd0000000u, 4096, true);
    complete_all();
    ask(1, 1, 0, 0xd0000000u, 4096, false);
    complete_all();
    g_assert_cmphex(status(1), ==, 0);
    g_assert_cmpuint(ram.bytes[100], ==, 0xff);
}

/* What is under way has a limit, in number and in bytes; the rest waits in the ring, and no kick is needed for it. */
static void test_budget(void)
{
    setup();
    guest_start(true, F_FLUSH, 1);
    for (unsigned i = 0; i < 80; i++)
        guest_avail(0, put_request(0, i, 0, i, GUEST_BUFFER + 512 * i, 512, true, 512));
    guest_notify(0);
    guest_settle();
    g_assert_cmpuint(ram.count, ==, 64);
    complete_all();
    for (unsigned i = 0; i < 80; i++)
        g_assert_cmphex(status(i), ==, 0);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER, 80 * 512, ram.bytes, 80 * 512);
    for (unsigned i = 0; i < 12; i++)
        guest_avail(0, put_request(0, i, 0, 0, GUEST_BUFFER, 4 * MiB, true, 4 * MiB));
    guest_notify(0);
    guest_settle();
    g_assert_cmpuint(ram.count, ==, 8);
    complete_all();
    for (unsigned i = 0; i < 12; i++)
        g_assert_cmphex(status(i), ==, 0);
}

static void test_many_queues(void)
{
    prepare(false);
    config_set("num-queues", 4);
    guest_setup(&blk_pci_class, config);
    guest_start(true, F_MQ, 4);
    for (unsigned i = 0; i < 4; i++)
        guest_kick(i, put_request(i, i, 0, 10 * i, GUEST_BUFFER + 512 * i, 512, true, 512));
    g_assert_cmpuint(ram.count, ==, 4);
    complete_all();
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmphex(status(i), ==, 0);
        g_assert_cmpuint(used_len(i), ==, 513);
        g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER + 512 * i, 512, ram.bytes + 5120 * i, 512);
    }
}

/* What was asked for before a reset still ends, but not in memory; and does not pile up. */
static void test_reset_with_requests_under_way(void)
{
    setup();
    for (unsigned round = 0; round < 10; round++) {
        guest_start(true, F_FLUSH, 1);
        for (unsigned i = 0; i < 30; i++)
            guest_avail(0, put_request(0, i, 0, i, GUEST_BUFFER + 512 * i, 512, true, 512));
        guest_notify(0);
        guest_settle();
        g_assert_cmpuint(ram.count, <=, 64);
    }
    guest_set_status(0);
    memset(guest_mem.ram + GUEST_BUFFER, 0x11, 512);
    complete_all();
    g_assert_cmpuint(guest_mem.ram[GUEST_BUFFER], ==, 0x11);
    g_assert_cmphex(status(0), ==, NOTHING);
    guest_start(true, F_FLUSH, 1);
    ask(0, 0, 0, GUEST_BUFFER, 512, true);
    complete_all();
    g_assert_cmphex(status(0), ==, 0);
    ask(1, 0, 0, GUEST_BUFFER, 512, true);
    ram_block_complete(&ram); /* it is done, but not told yet */
    guest_set_status(0);
    guest_settle();
    g_assert_cmphex(status(1), ==, NOTHING);
    guest_start(true, F_FLUSH, 1);
    ask(2, 0, 0, GUEST_BUFFER, 512, true);
    guest_free(); /* the card goes while the medium is at it */
    ram_block_complete(&ram);
}

static void test_save_load_with_requests_under_way(gconstpointer modern)
{
    prepare(false);
    config_set("num-queues", 2);
    guest_setup(&blk_pci_class, config);
    guest_start(GPOINTER_TO_INT(modern), F_FLUSH | F_MQ | F_EVENT_IDX, 2);
    memset(guest_mem.ram + GUEST_BUFFER + MiB, 0x42, 2 * MiB);
    guest_kick(0, put_request(0, 0, 0, 7, GUEST_BUFFER, 1024, true, 1024));
    guest_kick(1, put_request(1, 1, 1, 100, GUEST_BUFFER + MiB, 2 * MiB, false, 65536));
    guest_kick(0, put_request(0, 2, 4, 0, 0, 0, false, 1));
    ram_block_complete(&ram); /* the first is done, and has not been told */
    guest_reload(config);
    guest_reload(config); /* and once more before anything has gone on */
    while (ram.count > 1)
        ram_block_complete(&ram); /* orphans */
    complete_all();
    for (unsigned i = 0; i < 3; i++)
        g_assert_cmphex(status(i), ==, 0);
    g_assert_cmpuint(used_len(1), ==, 1);
    g_assert_true(guest_take(0, NULL, NULL));
    g_assert_true(guest_take(0, NULL, NULL));
    g_assert_false(guest_take(0, NULL, NULL));
    g_assert_cmpmem(ram.bytes + 100 * 512, 2 * MiB, guest_mem.ram + GUEST_BUFFER + MiB, 2 * MiB);
    guest_kick(0, put_request(0, 3, 0, 8, GUEST_BUFFER, 512, true, 512));
    complete_all();
    g_assert_cmphex(status(3), ==, 0);
}

static void test_storm(void)
{
    GRand *rand = g_rand_new_with_seed(7);
    setup();
    for (unsigned round = 0; round < 300; round++) {
        guest_start(g_rand_boolean(rand), F_ALL, 1);
        for (unsigned i = 0; i < 60; i++) {
            uint32_t value = g_rand_int(rand);
            if (value % 8 == 0) {
                guest_desc(GUEST_RINGS, g_rand_int_range(rand, 0, 256), GUEST_BUFFER + (value >> 8),
                           g_rand_int(rand) >> value % 32, value >> 5 & 7, value >> 8 & 255);
            } else if (value % 8 == 1 && ram.count) {
                ram.error = value >> 8 & 1 ? EIO : 0;
                ram_block_complete(&ram);
            } else if (value % 8 == 2) {
                guest_set_status((uint8_t)g_rand_int(rand));
            } else {
                guest_avail(0, put_request(0, i, value >> 8 & 15, value >> 12 & 0x7fff, GUEST_BUFFER,
                                           512 * (value >> 20 & 63), value >> 31, 1 + (value >> 16 & 0x7fff)));
                guest_notify(0);
            }
            vclock_fake_advance(1);
        }
        ram.error = 0;
        complete_all();
    }
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio_blk/configuration", test_configuration);
    g_test_add_func("/virtio_blk/bad_properties", test_bad_properties);
    g_test_add_data_func("/virtio_blk/read_write_legacy", GINT_TO_POINTER(0), test_read_write);
    g_test_add_data_func("/virtio_blk/read_write_modern", GINT_TO_POINTER(1), test_read_write);
    g_test_add_func("/virtio_blk/scattered", test_scattered);
    g_test_add_func("/virtio_blk/large_in_pieces", test_large_in_pieces);
    g_test_add_func("/virtio_blk/serial", test_serial);
    g_test_add_func("/virtio_blk/flush_and_cache_modes", test_flush_and_cache_modes);
    g_test_add_func("/virtio_blk/discard_and_zeroes", test_discard_and_zeroes);
    g_test_add_func("/virtio_blk/errors", test_errors);
    g_test_add_func("/virtio_blk/read_only", test_read_only);
    g_test_add_func("/virtio_blk/buffer_where_no_memory_is", test_buffer_where_no_memory_is);
    g_test_add_func("/virtio_blk/budget", test_budget);
    g_test_add_func("/virtio_blk/many_queues", test_many_queues);
    g_test_add_func("/virtio_blk/reset_with_requests_under_way", test_reset_with_requests_under_way);
    g_test_add_data_func("/virtio_blk/save_load_legacy", GINT_TO_POINTER(0), test_save_load_with_requests_under_way);
    g_test_add_data_func("/virtio_blk/save_load_modern", GINT_TO_POINTER(1), test_save_load_with_requests_under_way);
    g_test_add_func("/virtio_blk/storm", test_storm);
    return g_test_run();
}
