/* What all network cards do with frames: the frame check sequence, however long they are. */
#include <glib.h>

#include "devices/net/frame.h"

/* IEEE 802.3, 3.2.9, bit by bit. */
static uint32_t crc_of_bits(const uint8_t *bytes, size_t len)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void test_crc_known(void)
{
    g_assert_cmphex(ether_crc_le((const uint8_t *)"123456789", 9), ==, 0xcbf43926);
}

static void test_crc_all_lengths(void)
{
    uint8_t bytes[2048 + 16];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)g_test_rand_int();
    for (unsigned len = 0; len <= 2048; len++) {
        const uint8_t *at = bytes + len % 16; /* at any address */
        g_assert_cmphex(ether_crc_le(at, len), ==, crc_of_bits(at, len));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/frame/crc/known", test_crc_known);
    g_test_add_func("/frame/crc/all_lengths", test_crc_all_lengths);
    return g_test_run();
}
