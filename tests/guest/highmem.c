/* RAM above 4 GiB, for a board with 6 GiB of it: 3 from 0 on, 3 from 4 GiB on. By PAE (small pages, large ones, tables
 * that lie there themselves) and by 4 MiB pages with PSE-36: data, code, code that changes, and what lies 4 GiB below.
 * Intel SDM vol. 3A, 4.3 and 4.4. */
#include "guest.h"

#define G4   (1ull << 32)
#define GiB  (1ull << 30)
#define AREA 0x4000000u /* a low frame with room for 4 MiB, whose twin G4 above is used as well */
#define END  (7 * GiB)

/* Linear addresses: 2 MiB of small pages, small pages by a table above 4 GiB, a large page. */
#define SMALL ((uint8_t *)0x40000000u)
#define FAR   ((uint8_t *)0x40200000u)
#define LARGE ((uint8_t *)0x40400000u)

static uint64_t pdpt[4] __attribute__((aligned(32)));
static uint64_t pae_pd[4][512] __attribute__((aligned(4096)));
static uint64_t pae_pt[512] __attribute__((aligned(4096)));
static volatile uint32_t pd[1024] __attribute__((aligned(4096)));

SNIPPET(do_read, "movl (%esi), %eax");

static const uint64_t far_table = END - 3 * PAGE;

static void build(void)
{
    for (unsigned i = 0; i < 4; i++)
        pdpt[i] = (uint32_t)pae_pd[i] | P_P;
    for (unsigned i = 0; i < 64; i++)
        pae_pd[0][i] = i << 21 | P_PS | ALL;
    pae_pd[1][0] = (uint32_t)pae_pt | ALL;
    pae_pd[1][1] = far_table | ALL;
    for (unsigned i = 0; i < 32; i++)
        pd[i] = i << 22 | P_PS | ALL;
}

static void paging_on(bool pae)
{
    write_cr0(read_cr0() & ~CR0_PG);
    for (unsigned i = 0; i < 4; i++)
        pdpt[i] &= ~(uint64_t)P_A; /* see paging.c */
    write_cr4((read_cr4() & ~CR4_PAE) | CR4_PSE | (pae ? CR4_PAE : 0));
    write_cr3(pae ? (uint32_t)pdpt : (uint32_t)pd);
    write_cr0(read_cr0() | CR0_PG);
}

static volatile uint32_t *map_small(unsigned i, uint64_t frame)
{
    pae_pt[i] = frame | ALL;
    invlpg((uint32_t)(SMALL + i * PAGE));
    return (volatile uint32_t *)(SMALL + i * PAGE);
}

/* frame: a multiple of 2 MiB. */
static volatile uint32_t *map_large(uint64_t frame)
{
    pae_pd[1][2] = frame | P_PS | ALL;
    invlpg((uint32_t)LARGE);
    return (volatile uint32_t *)LARGE;
}

/* frame: a multiple of 4 MiB. */
static volatile uint32_t *map_pse(uint64_t frame)
{
    pd[(uint32_t)LARGE >> 22] = (uint32_t)frame | (uint32_t)(frame >> 32) << 13 | P_PS | ALL;
    invlpg((uint32_t)LARGE);
    return (volatile uint32_t *)LARGE;
}

static const uint64_t frames[] = {
    AREA,           G4 + AREA,      G4,        G4 + PAGE, 5 * GiB + 0x123000, 2 * GiB + PAGE, 3 * GiB - PAGE,
    6 * GiB + AREA, END - 2 * PAGE, END - PAGE};

static uint32_t value_of(unsigned i)
{
    return 0x1234567u * (i + 1);
}

static void test_data(void)
{
    unsigned wrong = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(frames); i++)
        map_small(i, frames[i])[i] = value_of(i);
    for (unsigned i = 0; i < ARRAY_COUNT(frames); i++)
        wrong += ((volatile uint32_t *)(SMALL + i * PAGE))[i] != value_of(i);
    check_equal(wrong, 0, "PAE: words written are read");
    for (unsigned i = 0; i < ARRAY_COUNT(frames); i++) /* the other way round in linear memory */
        wrong += map_small(ARRAY_COUNT(frames) - 1 - i, frames[i])[i] != value_of(i);
    check_equal(wrong, 0, "PAE: and by other linear addresses");
    for (unsigned i = 0; i < ARRAY_COUNT(frames); i++) {
        uint64_t large = frames[i] & ~0x1fffffull;
        wrong += map_large(large)[(uint32_t)(frames[i] - large) / 4 + i] != value_of(i);
    }
    check_equal(wrong, 0, "PAE: and by 2 MiB pages");
    for (unsigned i = 0; i < ARRAY_COUNT(frames); i++) {
        uint64_t large = frames[i] & ~0x1fffffull;
        map_large(large)[(uint32_t)(frames[i] - large) / 4 + i] += i;
        wrong += map_small(0, frames[i])[i] != value_of(i) + i;
        map_small(0, frames[i])[i] -= i;
    }
    check_equal(wrong, 0, "PAE: a store through a 2 MiB page");
    map_small(0, frames[1])[1] = 1;
    wrong = map_small(0, frames[0])[1] == 1;
    map_small(0, frames[1])[1] = value_of(1);
    check_equal(wrong, 0, "PAE: what lies 4 GiB below is another page");
    /* Across pages that are far from each other. */
    map_small(0, END - PAGE);
    map_small(1, AREA);
    *(volatile uint32_t *)(SMALL + PAGE - 2) = 0xaabbccdd;
    check_equal(map_small(2, END - PAGE)[PAGE / 4 - 1] >> 16, 0xccdd, "PAE: first half of a store across pages");
    check_equal((uint16_t)map_small(2, AREA)[0], 0xaabb, "PAE: its second half");
    map_small(0, AREA)[0] = value_of(0);
}

static void test_tables(void)
{
    volatile uint64_t *table = (volatile uint64_t *)map_small(20, far_table);
    unsigned wrong = 0;
    struct state s;
    table[0] = frames[0] | ALL;
    invlpg((uint32_t)FAR);
    state_init(&s, 0, do_read);
    s.esi = (uint32_t)FAR;
    run(&s);
    if (!check(s.vector == VEC_DONE && s.eax == value_of(0), "page table above 4 GiB is found"))
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(frames); i++) {
        table[i] = frames[i] | ALL;
        invlpg((uint32_t)(FAR + i * PAGE));
        wrong += ((volatile uint32_t *)(FAR + i * PAGE))[i] != value_of(i);
    }
    check_equal(wrong, 0, "page table above 4 GiB");
    for (unsigned i = 0; i < ARRAY_COUNT(frames); i++)
        wrong += (table[i] & (P_A | P_D)) != P_A;
    check_equal(wrong, 0, "page table above 4 GiB: A");
    for (unsigned i = 0; i < ARRAY_COUNT(frames); i++) {
        ((volatile uint32_t *)(FAR + i * PAGE))[i] = value_of(i);
        wrong += (table[i] & (P_A | P_D)) != (P_A | P_D);
    }
    check_equal(wrong, 0, "page table above 4 GiB: D");
}

/* --- code --- */

static uint32_t call(const volatile void *at)
{
    uint32_t v;
    __asm__ volatile("call *%1" : "=a"(v) : "r"(at) : "ecx", "edx", "memory", "cc");
    return v;
}

/* mov $v, %eax; ret */
static void put_return(volatile uint8_t *p, uint32_t v)
{
    p[0] = 0xb8;
    memcpy((uint8_t *)p + 1, &v, 4);
    p[5] = 0xc3;
}

/* A loop that adds its own immediate and raises it, at any address: EDX is that of its start. */
extern char smc_text[], smc_text_end[];
__asm__(".pushsection .text.smc,\"ax\"\n"
        "smc_text: call 1f\n1: popl %edx\n subl $5, %edx\n xorl %eax, %eax\n movl $100, %ecx\n"
        " movl $1, 3f+1-smc_text(%edx)\n"
        "2: jmp 3f\n"
        "3: .byte 5\n .long 1\n incl 3b+1-smc_text(%edx)\n decl %ecx\n jnz 2b\n ret\n"
        "smc_text_end: .popsection\n");

static void test_code(const char *how, uint8_t *at, uint8_t *other)
{
    unsigned wrong = 0;
    for (uint32_t v = 0; v < 300; v++) {
        put_return(at + 0x100, v);
        wrong += call(at + 0x100) != v;
    }
    check_equal(wrong, 0, how);
    for (uint32_t v = 0; v < 300; v++) { /* written by another linear address */
        put_return(other + 0x100, v + 7);
        serialize();
        wrong += call(at + 0x100) != v + 7;
    }
    check(!wrong, "%s: written by another mapping", how);
    memcpy(at + 0x200, smc_text, (size_t)(smc_text_end - smc_text));
    for (unsigned n = 0; n < 20; n++)
        wrong += call(at + 0x200) != 5050;
    check(!wrong, "%s: changes itself", how);
    for (unsigned n = 0; n < 20; n++) {
        put_return(at + 0x300, n);
        struct state s;
        state_init(&s, 3, at + 0x300);
        at[0x305] = 0xcd; /* int $VEC_DONE */
        at[0x306] = VEC_DONE;
        run(&s);
        wrong += s.vector != VEC_DONE || s.eax != n;
    }
    check(!wrong, "%s: in ring 3", how);
}

static void test_pae_code(void)
{
    unsigned wrong = 0;
    map_small(1, 5 * GiB + 0x123000);
    map_small(2, 5 * GiB + 0x123000);
    test_code("PAE: code", SMALL + PAGE, SMALL + 2 * PAGE);
    map_large(5 * GiB + 0x200000);
    map_small(2, 5 * GiB + 0x200000);
    test_code("PAE: code in a 2 MiB page", LARGE, SMALL + 2 * PAGE);
    map_small(1, END - PAGE);
    map_small(2, END - PAGE);
    test_code("PAE: code in the last page", SMALL + PAGE, SMALL + 2 * PAGE);

    /* The same linear address and the same low 32 bits: pages that a cache of code could confuse. */
    for (unsigned n = 0; n < 3; n++) {
        map_small(3, AREA + n * G4 / 2);
        put_return(SMALL + 3 * PAGE, 100 + n);
    }
    for (unsigned n = 0; n < 300; n++) {
        map_small(3, AREA + n % 3 * G4 / 2);
        wrong += call(SMALL + 3 * PAGE) != 100 + n % 3;
    }
    check_equal(wrong, 0, "PAE: code in pages of the same low bits");
    for (unsigned n = 0; n < 300; n++) { /* a store to one does not change the other */
        map_small(3, AREA);
        map_small(4, AREA + G4);
        put_return(SMALL + 3 * PAGE, n);
        put_return(SMALL + 4 * PAGE, ~n);
        wrong += call(SMALL + 3 * PAGE) != n || call(SMALL + 4 * PAGE) != ~n;
    }
    check_equal(wrong, 0, "PAE: stores to code in pages of the same low bits");
    /* An instruction across two pages that lie far apart. */
    map_small(3, END - PAGE);
    map_small(4, AREA);
    for (uint32_t v = 0; v < 100; v++) {
        put_return(SMALL + 4 * PAGE - 3, v * 0x1010101);
        wrong += call(SMALL + 4 * PAGE - 3) != v * 0x1010101;
    }
    check_equal(wrong, 0, "PAE: an instruction across pages");
    map_small(3, AREA)[0] = value_of(0);
    map_small(3, AREA + G4)[1] = value_of(1);
    map_small(3, END - PAGE)[9] = value_of(9);
}

static void test_pse36(void)
{
    unsigned wrong = 0;
    if (!check(cpuid_edx(1) & 1u << 17, "PSE-36 is there"))
        return;
    paging_on(false);
    for (unsigned i = 0; i < ARRAY_COUNT(frames); i++) {
        uint64_t large = frames[i] & ~0x3fffffull;
        wrong += map_pse(large)[(uint32_t)(frames[i] - large) / 4 + i] != value_of(i);
    }
    check_equal(wrong, 0, "PSE-36: what PAE wrote");
    map_pse(G4 + AREA);
    pd[((uint32_t)LARGE >> 22) + 1] = pd[(uint32_t)LARGE >> 22] & ~(P_A | P_D);
    invlpg((uint32_t)LARGE + 0x400000);
    test_code("PSE-36: code", LARGE + 5 * PAGE, LARGE + 0x400000 + 5 * PAGE);
    volatile uint32_t *p = (volatile uint32_t *)(LARGE + 6 * PAGE);
    *p = 0x87654321;
    map_pse(AREA);
    *p = 0x12345678;
    map_pse(G4 + AREA);
    check_equal(*p, 0x87654321, "PSE-36: what lies 4 GiB below is another page");
    check_equal(pd[(uint32_t)LARGE >> 22] & (P_A | P_D), P_A, "PSE-36: A");
    *p = 1;
    check_equal(pd[(uint32_t)LARGE >> 22] & (P_A | P_D), P_A | P_D, "PSE-36: A and D");
    paging_on(true);
    check_equal(map_small(0, G4 + AREA + 6 * PAGE)[0], 1, "PAE: what PSE-36 wrote");
    check_equal(map_small(0, AREA + 6 * PAGE)[0], 0x12345678, "PAE: and 4 GiB below");
}

static void test_nothing(void)
{
    static const uint64_t where[] = {END, END + PAGE, 17 * GiB, 63 * GiB + 0x5000, 0xffffff000};
    unsigned wrong = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(where); i++) {
        volatile uint32_t *p = map_small(0, where[i]);
        wrong += *p != 0xffffffff;
        *p = 0;
        wrong += *p != 0xffffffff;
        wrong += map_large(where[i] & ~0x1fffffull)[3] != 0xffffffff;
    }
    check_equal(wrong, 0, "where no RAM is, all ones are read");
}

void guest_main(void)
{
    build();
    paging_on(true);
    test_data();
    test_tables();
    test_pae_code();
    test_data();
    test_pse36();
    test_nothing();
    write_cr0(read_cr0() & ~CR0_PG);
    guest_end();
}
