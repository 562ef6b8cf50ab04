/* virtio-9p: messages by a legacy and a modern driver, damaged ones, as many as there are slots, resets, saving. */
#include "fsdev.h"
#include "virtio_guest.h"

extern const struct device_class p9_pci_class;

/* A back end that answers when it is told to: what came, with type + 1. */
static struct fake {
    struct fsdev fsdev; /* first */
    uint8_t message[FSDEV_SLOTS][4096], answer[FSDEV_SLOTS][4096];
    enum { FREE, BEGUN, SENT, DONE, TAKEN } state[FSDEV_SLOTS];
    uint32_t len[FSDEV_SLOTS], room[FSDEV_SLOTS];
    unsigned resets, loads, sent;
    uint32_t answer_len; /* instead of the message's; 0: that */
    bool at_once;
} fake;

static uint8_t *fake_begin(struct fsdev *fsdev, unsigned *slot)
{
    for (unsigned i = 0; i < FSDEV_SLOTS; i++) {
        if (fake.state[i] > BEGUN)
            continue;
        fake.state[i] = BEGUN;
        *slot = i;
        return fake.message[i]; /* the tests' are no longer than that */
    }
    return NULL;
}

static void fake_send(struct fsdev *fsdev, unsigned slot, uint32_t len, uint32_t room)
{
    g_assert_cmpint(fake.state[slot], ==, BEGUN);
    fake.state[slot] = SENT;
    fake.len[slot] = len;
    fake.room[slot] = room;
    fake.sent++;
    if (fake.at_once)
        fake.state[slot] = DONE;
}

static bool fake_take(struct fsdev *fsdev, struct fsdev_answer *answer)
{
    for (unsigned i = 0; i < FSDEV_SLOTS; i++) {
        if (fake.state[i] != DONE)
            continue;
        fake.state[i] = TAKEN;
        memcpy(fake.answer[i], fake.message[i], 4096);
        fake.answer[i][4]++;
        *answer = (struct fsdev_answer){i, fake.answer[i],
                                        MIN(fake.room[i], fake.answer_len ? fake.answer_len : fake.len[i])};
        return true;
    }
    return false;
}

static void fake_release(struct fsdev *fsdev, unsigned slot)
{
    g_assert_cmpint(fake.state[slot], ==, TAKEN);
    fake.state[slot] = FREE;
}

static bool fake_wait(struct fsdev *fsdev)
{
    for (unsigned i = 0; i < FSDEV_SLOTS; i++) {
        if (fake.state[i] == DONE)
            return true;
    }
    return false;
}

static void fake_reset(struct fsdev *fsdev)
{
    memset(fake.state, 0, sizeof(fake.state));
    fake.resets++;
}

static void fake_settle(struct fsdev *fsdev)
{
    for (unsigned i = 0; i < FSDEV_SLOTS; i++) {
        if (fake.state[i] == SENT)
            fake.state[i] = DONE;
    }
}

static uint32_t fake_save(struct fsdev *fsdev, uint8_t *bytes)
{
    memcpy(bytes, "session", 7);
    return 7;
}

static void fake_load(struct fsdev *fsdev, const uint8_t *bytes, uint32_t len)
{
    g_assert_cmpmem(bytes, len, "session", 7);
    fake.loads++;
}

static void answer_all(void)
{
    fake_settle(&fake.fsdev);
    fake.fsdev.front->answered(fake.fsdev.front_opaque);
    guest_settle();
}

static void *config;

static void config_set(const char *name, uint64_t value)
{
    for (const struct property *p = p9_pci_class.properties; p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            memcpy((uint8_t *)config + p->offset, &value, p->size);
            return;
        }
    }
    g_assert_not_reached();
}

static void setup(void)
{
    static const struct fsdev_ops ops = {fake_begin, fake_send,   fake_take, fake_release, fake_wait,
                                         fake_reset, fake_settle, fake_save, fake_load};
    guest_free();
    g_free(config);
    config = g_malloc0(p9_pci_class.config_size);
    memset(&fake, 0, sizeof(fake));
    fake.fsdev.ops = &ops;
    for (const struct property *p = p9_pci_class.properties; p->name; p++) {
        if (p->type == PROPERTY_NUMBER)
            config_set(p->name, g_ascii_strtoull(p->preset, NULL, 0));
        else if (p->type == PROPERTY_BOOL)
            config_set(p->name, p->preset != NULL);
    }
    config_set("fsdev", (uintptr_t)&fake);
    config_set("mount_tag", (uintptr_t) "shared");
    guest_setup(&p9_pci_class, config);
}

#define MESSAGE(n) (GUEST_BUFFER + 0x1000u * (n))
#define ANSWER(n)  (MESSAGE(n) + 0x800)

/* Message n of len bytes that says it has size, and room for its answer; it is told of. */
static void ask(unsigned n, uint32_t len, uint32_t size, uint32_t room)
{
    guest_write(MESSAGE(n), 4, size);
    guest_write(MESSAGE(n) + 4, 1, 110);
    guest_write(MESSAGE(n) + 5, 2, 0x100 + n);
    for (uint32_t i = 7; i < len; i++)
        guest_write(MESSAGE(n) + i, 1, n + i);
    guest_write(ANSWER(n), 4, 0x77777777);
    uint16_t head = guest_put(0, MESSAGE(n), len / 2, false, true);
    guest_put(0, MESSAGE(n) + len / 2, len - len / 2, false, room);
    if (room) {
        guest_put(0, ANSWER(n), 5, true, true);
        guest_put(0, ANSWER(n) + 5, room - 5, true, false);
    }
    guest_kick(0, head);
}

static bool is_answered(unsigned n, uint32_t len)
{
    return guest_read(ANSWER(n), 4) == len && guest_read(ANSWER(n) + 4, 1) == 111 &&
           guest_read(ANSWER(n) + 5, 2) == 0x100 + n &&
           memcmp(guest_mem.ram + ANSWER(n) + 7, guest_mem.ram + MESSAGE(n) + 7, len - 7) == 0;
}

static void test_configuration(void)
{
    GError *error = NULL;
    setup();
    guest.modern = true;
    g_assert_cmphex(guest_config(0, 4), ==, 0x10091af4);
    g_assert_cmphex(guest_offered() & 1, ==, 1);
    g_assert_cmpuint(guest_read(GUEST_CONFIG, 2), ==, 6);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 2, 1), ==, 's');
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 7, 1), ==, 'd');
    const struct device_site site = {.board = &guest.board, .id = "x", .unit = PCI_DEVFN(5, 0)};
    config_set("fsdev", 0);
    g_assert_null(p9_pci_class.create(&site, config, &error));
    g_clear_error(&error);
    setup();
    config_set("mount_tag", 0);
    g_assert_null(p9_pci_class.create(&site, config, &error));
    g_clear_error(&error);
}

static void test_message(gconstpointer modern)
{
    uint32_t len = 0;
    setup();
    guest_start(GPOINTER_TO_INT(modern), 1, 1);
    ask(0, 30, 30, 100);
    g_assert_cmpuint(fake.sent, ==, 1);
    g_assert_cmpuint(fake.room[0], ==, 100);
    g_assert_false(is_answered(0, 30));
    answer_all();
    g_assert_true(is_answered(0, 30));
    g_assert_true(guest_take(0, NULL, &len));
    g_assert_cmpuint(len, ==, 30);
    g_assert_true(guest_intx());
    fake.at_once = true; /* in the same run */
    ask(1, 40, 31, 100);
    g_assert_cmpuint(fake.len[0], ==, 31);
    g_assert_true(guest_take(0, NULL, &len));
    g_assert_cmpuint(len, ==, 31);
}

static void test_damaged(void)
{
    static const struct {
        uint32_t len, size, room;
    } bad[] = {{6, 6, 100}, {30, 31, 100}, {30, 6, 100}, {30, 0xffffffff, 100}, {30, 30, 6}, {30, 30, 0}};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        setup();
        guest_start(true, 1, 1);
        ask(0, bad[i].len, bad[i].size, bad[i].room);
        g_assert_cmpuint(fake.sent, ==, 0);
        g_assert_cmphex(guest_status() & 0x40, ==, 0x40);
    }
    setup();
    guest_start(true, 1, 1);
    fake.answer_len = 3; /* nothing that fits */
    ask(0, 30, 30, 100);
    answer_all();
    g_assert_cmphex(guest_status() & 0x40, ==, 0x40);
}

static void test_more_than_slots(void)
{
    setup();
    guest_start(true, F_INDIRECT_DESC, 1);
    for (unsigned n = 0; n < 100; n++) { /* one descriptor each, of a table of its own */
        uint64_t table = 0x300000 + 64 * n;
        guest_write(MESSAGE(n), 4, 7);
        guest_write(MESSAGE(n) + 4, 4, 110 | 0x100u << 8);
        guest_desc(table, 0, MESSAGE(n), 7, DESC_NEXT, 1);
        guest_desc(table, 1, ANSWER(n), 20, DESC_WRITE, 0);
        guest_desc(guest.queue[0].desc, n, table, 32, DESC_INDIRECT, 0);
        guest_avail(0, (uint16_t)n);
    }
    guest_notify(0);
    guest_settle();
    g_assert_cmpuint(fake.sent, ==, FSDEV_SLOTS);
    answer_all();
    g_assert_cmpuint(fake.sent, ==, 100);
    answer_all();
    g_assert_cmpuint(guest_used_index(0), ==, 100);
}

static void test_reset(void)
{
    setup();
    guest_start(true, 1, 1);
    ask(0, 30, 30, 100);
    unsigned resets = fake.resets;
    guest_set_status(0);
    g_assert_cmpuint(fake.resets, ==, resets + 1);
    guest_start(true, 1, 1);
    answer_all();
    g_assert_false(is_answered(0, 30)); /* nobody waits for it */
    ask(1, 30, 30, 100);
    answer_all();
    g_assert_true(is_answered(1, 30));
}

/* Short answers are saved, for what was asked has been done; long ones are asked for again. */
static void test_save(void)
{
    setup();
    guest_start(true, 1, 1);
    ask(0, 30, 30, 100);
    ask(1, 300, 300, 400);
    guest_reload(config);
    g_assert_cmpuint(fake.loads, >=, 1);
    unsigned sent = fake.sent;
    guest_settle();
    g_assert_true(is_answered(0, 30));
    g_assert_false(is_answered(1, 300));
    g_assert_cmpuint(fake.sent, ==, sent + 1);
    answer_all();
    g_assert_true(is_answered(1, 300));
    g_assert_cmpuint(guest_used_index(0), ==, 2);
}

/* And who goes on after it was saved has lost nothing. */
static void test_save_and_go_on(void)
{
    setup();
    guest_start(true, 1, 1);
    ask(0, 30, 30, 100);
    ask(1, 300, 300, 400);
    g_byte_array_unref(device_saved(guest.class, guest.dev));
    ask(2, 20, 20, 40);
    answer_all();
    g_assert_true(is_answered(0, 30) && is_answered(1, 300) && is_answered(2, 20));
    g_assert_cmpuint(guest_used_index(0), ==, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio_9p/configuration", test_configuration);
    g_test_add_data_func("/virtio_9p/message/legacy", GINT_TO_POINTER(0), test_message);
    g_test_add_data_func("/virtio_9p/message/modern", GINT_TO_POINTER(1), test_message);
    g_test_add_func("/virtio_9p/damaged", test_damaged);
    g_test_add_func("/virtio_9p/more_than_slots", test_more_than_slots);
    g_test_add_func("/virtio_9p/reset", test_reset);
    g_test_add_func("/virtio_9p/save", test_save);
    g_test_add_func("/virtio_9p/save_and_go_on", test_save_and_go_on);
    return g_test_run();
}
