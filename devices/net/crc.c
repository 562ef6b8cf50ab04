/* The frame check sequence of IEEE 802.3, 3.2.9: CRC-32, by a table, and sixteen bytes at a time by carry-less
 * multiplication where the host has it ("Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel 2009).
 */
#include <immintrin.h>
#include <string.h>

#include "frame.h"

#define CRC_POLYNOMIAL 0xedb88320u /* the bits of 802.3's, reversed: the wire has the least significant one first */
#define FOLD_MIN       64u

/* table[n][b]: what byte b does to the register when n more zero bytes follow it, so that eight bytes are one step. */
static uint32_t crc_table[8][256];
static bool can_fold;

static void crc_init(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? CRC_POLYNOMIAL : 0);
        crc_table[0][byte] = crc;
    }
    for (unsigned n = 1; n < 8; n++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint32_t crc = crc_table[n - 1][byte];
            crc_table[n][byte] = crc >> 8 ^ crc_table[0][crc & 0xff];
        }
    }
    can_fold = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

static uint32_t crc_by_table(uint32_t crc, const uint8_t *bytes, size_t len)
{
    for (; len >= 8; bytes += 8, len -= 8) {
        uint32_t low, high;
        memcpy(&low, bytes, 4);
        memcpy(&high, bytes + 4, 4);
        low ^= crc;
        crc = crc_table[7][low & 0xff] ^ crc_table[6][low >> 8 & 0xff] ^ crc_table[5][low >> 16 & 0xff] ^
              crc_table[4][low >> 24] ^ crc_table[3][high & 0xff] ^ crc_table[2][high >> 8 & 0xff] ^
              crc_table[1][high >> 16 & 0xff] ^ crc_table[0][high >> 24];
    }
    for (; len > 0; bytes++, len--)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *bytes) & 0xff];
    return crc;
}

/* a moved on by the distance that factors stand for (powers of x modulo the polynomial), and next added. */
static inline __attribute__((target("pclmul,sse4.1"))) __m128i fold(__m128i a, __m128i factors, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(a, factors, 0x00), high = _mm_clmulepi64_si128(a, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

static inline __m128i load(const uint8_t *bytes)
{
    return _mm_loadu_si128((const __m128i *)bytes);
}

/* len: a multiple of 16, at least FOLD_MIN. */
static __attribute__((target("pclmul,sse4.1"))) uint32_t crc_by_folding(uint32_t crc, const uint8_t *bytes, size_t len)
{
    const __m128i by_64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4), by_16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    const __m128i last = _mm_set_epi64x(0, 0x163cd6124), reduce = _mm_set_epi64x(0x1f7011641, 0x1db710641);
    const __m128i low_words = _mm_set_epi32(0, -1, 0, -1);
    __m128i a = _mm_xor_si128(load(bytes), _mm_cvtsi32_si128((int)crc)), b = load(bytes + 16), c = load(bytes + 32),
            d = load(bytes + 48), t;
    for (bytes += 64, len -= 64; len >= 64; bytes += 64, len -= 64) {
        a = fold(a, by_64, load(bytes));
        b = fold(b, by_64, load(bytes + 16));
        c = fold(c, by_64, load(bytes + 32));
        d = fold(d, by_64, load(bytes + 48));
    }
    a = fold(fold(fold(a, by_16, b), by_16, c), by_16, d);
    for (; len >= 16; bytes += 16, len -= 16)
        a = fold(a, by_16, load(bytes));
    /* 128 bits to 64, and those by Barrett's reduction to 32. */
    a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by_16, 0x10));
    t = _mm_clmulepi64_si128(_mm_and_si128(a, low_words), last, 0x00);
    a = _mm_xor_si128(_mm_srli_si128(a, 4), t);
    t = _mm_clmulepi64_si128(_mm_and_si128(a, low_words), reduce, 0x10);
    t = _mm_clmulepi64_si128(_mm_and_si128(t, low_words), reduce, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(a, t), 1);
}

uint32_t ether_crc_le(const uint8_t *bytes, size_t len)
{
    uint32_t crc = ~0u;
    if (!crc_table[0][1])
        crc_init(); /* under the machine lock, as all that cards do */
    if (can_fold && len >= FOLD_MIN) {
        size_t whole = len & ~(size_t)15;
        crc = crc_by_folding(crc, bytes, whole);
        bytes += whole;
        len -= whole;
    }
    return ~crc_by_table(crc, bytes, len);
}
