/* HPET: one test per behaviour of the IA-PC HPET specification 1.0a. */
#include "board.h"
#include "devices/hpet.h"
#include "mem.h"

static struct wire pin[32], legacy[2], replaces;
static struct hpet *hpet;

static uint64_t get(uint32_t offset)
{
    uint64_t value;
    mem_read(HPET_BASE + offset, &value, 8);
    return value;
}
static void put(uint32_t offset, uint64_t value)
{
    mem_write(HPET_BASE + offset, &value, 8);
}

static void setup(void)
{
    if (hpet)
        hpet_free(hpet);
    else
        g_assert_true(mem_init(1 * MiB, NULL));
    vclock_fake_start();
    memset(pin, 0, sizeof pin);
    memset(legacy, 0, sizeof legacy);
    memset(&replaces, 0, sizeof replaces);
    struct hpet_wiring wiring = {.legacy = {wire_irq(&legacy[0]), wire_irq(&legacy[1])},
                                 .replaces = wire_irq(&replaces)};
    for (unsigned i = 0; i < 32; i++)
        wiring.pin[i] = wire_irq(&pin[i]);
    hpet = hpet_new(&wiring);
}

static void test_counter_runs_when_enabled(void)
{
    setup();
    g_assert_cmpuint(get(0) >> 32, ==, 10000000); /* femtoseconds a tick */
    vclock_fake_advance(MS);
    g_assert_cmpuint(get(0xf0), ==, 0);
    put(0xf0, 1000);
    put(0x10, 1);
    vclock_fake_advance(MS);
    g_assert_cmpuint(get(0xf0), ==, 101000);
    uint32_t half;
    mem_read(HPET_BASE + 0xf0, &half, 4);
    g_assert_cmpuint(half, ==, 101000);
    put(0x10, 0);
    vclock_fake_advance(MS);
    g_assert_cmpuint(get(0xf0), ==, 101000); /* stands, and keeps its value */
}

static void test_one_shot(void)
{
    setup();
    put(0x100, 20 << 9 | 0x04);
    put(0x108, 500); /* 5 us */
    put(0x10, 1);
    vclock_fake_advance(4 * US);
    g_assert_cmpuint(pin[20].rises, ==, 0);
    vclock_fake_advance(2 * US);
    g_assert_cmpuint(pin[20].rises, ==, 1);
    vclock_fake_advance(MS);
    g_assert_cmpuint(pin[20].rises, ==, 1);
}

static void test_periodic(void)
{
    setup();
    put(0x100, 20 << 9 | 0x4c); /* enable, periodic, VAL_SET */
    put(0x108, 1000);
    put(0x108, 1000);
    put(0x10, 1);
    vclock_fake_advance(100 * US + 5 * US);
    g_assert_cmpuint(pin[20].rises, ==, 10);
}

static void test_level_until_status_is_cleared(void)
{
    setup();
    put(0x100, 21 << 9 | 0x06);
    put(0x108, 100);
    put(0x10, 1);
    vclock_fake_advance(2 * US);
    g_assert_true(pin[21].level);
    g_assert_cmpuint(get(0x20), ==, 1);
    put(0x20, 1);
    g_assert_false(pin[21].level);
    g_assert_cmpuint(get(0x20), ==, 0);
}

static void test_legacy_replacement(void)
{
    setup();
    put(0x120, 20 << 9 | 0x04);
    put(0x128, 100);
    put(0x10, 3);
    g_assert_true(replaces.level);
    vclock_fake_advance(2 * US);
    g_assert_cmpuint(legacy[1].rises, ==, 1);
    g_assert_cmpuint(pin[20].rises, ==, 0);
    put(0x10, 1);
    g_assert_false(replaces.level);
}

static void test_32_bit_comparator_wraps(void)
{
    setup();
    put(0xf0, 0xffffffff);
    put(0x140, 20 << 9 | 0x104);
    put(0x148, 9);
    put(0x10, 1);
    vclock_fake_advance(US);
    g_assert_cmpuint(pin[20].rises, ==, 1);
}

static void test_reset(void)
{
    setup();
    put(0x100, 20 << 9 | 0x04);
    put(0x108, 100);
    put(0x10, 3);
    hpet_class.reset(hpet);
    g_assert_false(replaces.level);
    vclock_fake_advance(MS);
    g_assert_cmpuint(pin[20].rises, ==, 0);
    g_assert_cmpuint(get(0xf0), ==, 0);
}

static void test_save_and_load(void)
{
    setup();
    put(0x100, 20 << 9 | 0x04);
    put(0x108, 500);
    put(0x10, 1);
    vclock_fake_advance(2 * US);
    GByteArray *state = g_byte_array_new();
    device_save(&hpet_class, hpet, state);
    hpet_class.reset(hpet);
    g_assert_true(device_load(&hpet_class, hpet, state->data, state->len));
    vclock_fake_advance(4 * US);
    g_assert_cmpuint(pin[20].rises, ==, 1);
    g_byte_array_unref(state);
}

#define ADD(name) g_test_add_func("/hpet/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(counter_runs_when_enabled);
    ADD(one_shot);
    ADD(periodic);
    ADD(level_until_status_is_cleared);
    ADD(legacy_replacement);
    ADD(32_bit_comparator_wraps);
    ADD(reset);
    ADD(save_and_load);
    return g_test_run();
}
