/* Which pages of code may run directly: translator/scan.c. */
#include <glib.h>
#include <string.h>

#include "bt.h"
#include "translator/block.h"
#include "translator/ginsn.h"

#define ALL_ISA UINT32_MAX

static uint8_t page[PAGE_SIZE];

static bool scan(unsigned at, const uint8_t *code, unsigned len, unsigned entry)
{
    uint8_t known[PAGE_SIZE] = {0};
    memset(page, 0x90, sizeof page);
    memcpy(page + at, code, len);
    if (entry < PAGE_SIZE)
        known[entry] = 1;
    return tr_page_is_direct(page, NULL, known, ALL_ISA);
}

static const struct {
    const char *name;
    bool direct;
    uint8_t len, code[8];
} cases[] = {
    {"mov", true, 2, {0x89, 0xc8}},
    {"call", true, 5, {0xe8, 0, 0, 0, 0}},
    {"int_80h", true, 2, {0xcd, 0x80}},
    {"int_3_of_two_bytes", false, 2, {0xcd, 0x03}},
    {"int3", true, 1, {0xcc}},
    {"into", false, 1, {0xce}},
    {"icebp", false, 1, {0xf1}},
    {"hlt", true, 1, {0xf4}},
    {"in", true, 1, {0xec}},
    {"cli", true, 1, {0xfa}},
    {"mov_cr3", true, 3, {0x0f, 0x20, 0xd8}},
    {"pushf", true, 1, {0x9c}},
    {"popf", false, 1, {0x9d}},
    {"fnsave", true, 2, {0xdd, 0x30}},
    {"cpuid", false, 2, {0x0f, 0xa2}},
    {"rdtsc", false, 2, {0x0f, 0x31}},
    {"rdtscp", false, 3, {0x0f, 0x01, 0xf9}},
    {"rdpmc", false, 2, {0x0f, 0x33}},
    {"sgdt", false, 3, {0x0f, 0x01, 0x00}},
    {"sidt", false, 3, {0x0f, 0x01, 0x08}},
    {"smsw", false, 3, {0x0f, 0x01, 0xe0}},
    {"sldt", false, 3, {0x0f, 0x00, 0xc0}},
    {"str", false, 3, {0x0f, 0x00, 0xc8}},
    {"verr", false, 3, {0x0f, 0x00, 0xe0}},
    {"lar", false, 3, {0x0f, 0x02, 0xc0}},
    {"lsl", false, 3, {0x0f, 0x03, 0xc0}},
    {"sysenter", false, 2, {0x0f, 0x34}},
    {"syscall", false, 2, {0x0f, 0x05}},
    {"mov_from_ds", false, 2, {0x8c, 0xd8}},
    {"mov_to_gs", false, 2, {0x8e, 0xe8}},
    {"push_cs", false, 1, {0x0e}},
    {"pop_es", false, 1, {0x07}},
    {"pop_fs", false, 2, {0x0f, 0xa1}},
    {"lds", false, 2, {0xc5, 0x00}},
    {"les", false, 2, {0xc4, 0x00}},
    {"lss", false, 3, {0x0f, 0xb2, 0x00}},
    {"lgs", false, 3, {0x0f, 0xb5, 0x00}},
    {"far_jmp", false, 7, {0xea, 0, 0, 0, 0, 0x33, 0}},
    {"far_call", false, 7, {0x9a, 0, 0, 0, 0, 0x33, 0}},
    {"far_jmp_indirect", false, 2, {0xff, 0x28}},
    {"far_call_indirect", false, 2, {0xff, 0x18}},
    {"retf", false, 1, {0xcb}},
    {"retf_n", false, 3, {0xca, 4, 0}},
    {"iret", false, 1, {0xcf}},
    {"rdrand", false, 3, {0x0f, 0xc7, 0xf0}},
    {"xgetbv", false, 3, {0x0f, 0x01, 0xd0}},
    {"vex_vaddps", true, 4, {0xc5, 0xf8, 0x58, 0xc1}}, /* as long as it is not executed */
};

/* Behind the entry, before it, and as the page's last instruction. */
static void test_case(gconstpointer data)
{
    unsigned i = GPOINTER_TO_UINT(data), len = cases[i].len;
    g_assert_cmpint(scan(2000, cases[i].code, len, 100), ==, cases[i].direct);
    g_assert_cmpint(scan(1000, cases[i].code, len, 3000), ==, cases[i].direct);
    g_assert_cmpint(scan(PAGE_SIZE - len, cases[i].code, len, 100), ==, cases[i].direct);
    g_assert_cmpint(scan(1000, cases[i].code, len, PAGE_SIZE), ==, cases[i].direct); /* no entry is known */
}

/* All but the last byte in this page. What must not run directly has to be seen by its first bytes, or to be so long
 * that it cannot be told. */
static void test_cut(gconstpointer data)
{
    unsigned i = GPOINTER_TO_UINT(data), len = cases[i].len;
    if (len > 1 && !cases[i].direct) {
        g_assert_false(scan(PAGE_SIZE - len + 1, cases[i].code, len - 1, 100));
        g_assert_false(scan(PAGE_SIZE - len + 1, cases[i].code, len - 1, PAGE_SIZE));
    }
}

static void test_hidden(void)
{
    static const uint8_t constant[] = {0xb8, 0xcb, 0x0f, 0xa2, 0x9d}; /* mov $imm, %eax */
    g_assert_true(scan(2000, constant, sizeof constant, 100));
    g_assert_false(scan(2000, constant, sizeof constant, 2001)); /* it is entered in the middle */
}

static void test_old_processor(void)
{
    static const uint8_t cmov[] = {0x0f, 0x44, 0xc1};
    g_assert_true(scan(2000, cmov, sizeof cmov, 100));
    memset(page, 0x90, sizeof page);
    memcpy(page + 2000, cmov, sizeof cmov);
    uint8_t known[PAGE_SIZE] = {[100] = 1};
    g_assert_false(tr_page_is_direct(page, NULL, known, 0)); /* would be #UD in the guest */
}

/* All but the last byte in this page, and that in the next one, which is there. */
static void test_cut_seen(gconstpointer data)
{
    unsigned i = GPOINTER_TO_UINT(data), len = cases[i].len;
    uint8_t known[PAGE_SIZE] = {[100] = 1}, next[PAGE_SIZE];
    memset(page, 0x90, sizeof page);
    memset(next, 0x90, sizeof next);
    memcpy(page + PAGE_SIZE - len + 1, cases[i].code, len - 1u);
    next[0] = cases[i].code[len - 1];
    if (len > 1)
        g_assert_cmpint(tr_page_is_direct(page, next, known, ALL_ISA), ==, cases[i].direct);
}

/* What came after the guest's processor may lie there, but not be executed. */
static void test_newer(void)
{
    static const uint8_t crc32[] = {0xf2, 0x0f, 0x38, 0xf1, 0xc1}, vaddps[] = {0xc5, 0xf8, 0x58, 0xc1};
    for (unsigned i = 0; i < 2; i++) {
        uint8_t known[PAGE_SIZE] = {[100] = 1};
        memset(page, 0x90, sizeof page);
        memcpy(page + 2000, i ? vaddps : crc32, i ? sizeof vaddps : sizeof crc32);
        g_assert_true(tr_page_is_direct(page, NULL, known, ALL_ISA & ~GISA_SSE42));
        known[2000] = 1;
        g_assert_false(tr_page_is_direct(page, NULL, known, ALL_ISA & ~GISA_SSE42));
    }
}

/* What is known of a page says which of the things that its bytes may be are none. */
static void test_known(void)
{
    static const uint8_t constant[] = {0xb8, 0xcb, 0x0f, 0xa2, 0x9d}; /* mov $imm, %eax */
    uint8_t known[PAGE_SIZE] = {0};
    /* Behind a jump lies a byte of data that looks like the beginning of a far call; behind it a function begins. */
    memset(page, 0x90, sizeof page);
    page[1000] = 0xc3;
    page[1001] = 0x9a;
    known[500] = 1;
    g_assert_false(tr_page_is_direct(page, NULL, known, ALL_ISA));
    known[1002] = 1;
    g_assert_true(tr_page_is_direct(page, NULL, known, ALL_ISA));
    /* Both are known to be entered: an instruction, and one in the middle of it. */
    memset(page, 0x90, sizeof page);
    memcpy(page + 2000, constant, sizeof constant);
    known[2000] = 1;
    g_assert_true(tr_page_is_direct(page, NULL, known, ALL_ISA));
    known[2001] = 1;
    g_assert_false(tr_page_is_direct(page, NULL, known, ALL_ISA));
    /* Before all that is known: only sweeps that come to it say anything. 05: ADD EAX with four bytes more. */
    memset(page, 0x05, sizeof page);
    memset(known, 0, sizeof known);
    for (unsigned at = 4; at + 5 <= 1000; at += 5)
        page[at] = 0xcb;
    known[1000] = 1;
    memset(page + 1000, 0x90, PAGE_SIZE - 1000);
    g_assert_true(tr_page_is_direct(page, NULL, known, ALL_ISA));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        char *path = g_strdup_printf("/scan/%s", cases[i].name);
        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_case);
        g_free(path);
        path = g_strdup_printf("/scan/cut/%s", cases[i].name);
        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_cut);
        g_free(path);
        path = g_strdup_printf("/scan/cut_seen/%s", cases[i].name);
        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_cut_seen);
        g_free(path);
    }
    g_test_add_func("/scan/hidden", test_hidden);
    g_test_add_func("/scan/known", test_known);
    g_test_add_func("/scan/newer", test_newer);
    g_test_add_func("/scan/old_processor", test_old_processor);
    return g_test_run();
}
