/* A guest that makes its virtual machine remember things: code at ever new addresses, one page of memory in many
 * places, page tables without end. footprint.py looks at the monitor's memory meanwhile.
 *
 * -append WHAT: code, drop, keep, user, places, tables.
 */
#include "guest.h"

#define FIRST       64u   /* page directory entries from there on are played with */
#define LAST        1000u /* and below this one */
#define DIRECTORIES 40

static uint32_t directory[DIRECTORIES][1024] __attribute__((aligned(4096)));
static uint32_t table[1024] __attribute__((aligned(4096)));
static uint8_t frame[4096] __attribute__((aligned(4096)));

/* EBX: first address, ECX: how many, a page apart. */
SNIPPET(walk, "1: call *%ebx\n addl $4096, %ebx\n decl %ecx\n jnz 1b");

static void call(uint32_t at)
{
    __asm__ volatile("call *%0" : : "r"(at) : "eax", "ecx", "edx", "memory", "cc");
}

/* One page of code at a thousand addresses for each directory entry; keep: they all stay mapped. */
static void test_code(unsigned entries, bool drop, bool keep)
{
    unsigned pages = 0;

    frame[0] = 0xc3;
    frame[4094] = 0xb8; /* MOV EAX, imm32, which goes on in the next page, that is, at frame[0] */
    frame[3] = 0xc3;
    for (unsigned i = 0; i < 1024; i++)
        table[i] = (uint32_t)frame | 3;
    for (unsigned k = 0; k < entries; k++) {
        unsigned d = FIRST + k * (LAST - FIRST) / entries;
        directory[0][d] = (uint32_t)table | 3;
        write_cr3((uint32_t)directory[0]);
        for (unsigned page = 0; page < 1023; page++, pages++) {
            call(d << 22 | page << 12);
            if (keep)
                call((d << 22 | page << 12) + 4094);
            if (drop && page % 256 == 255) {
                directory[0][d] = 0;
                write_cr3((uint32_t)directory[0]);
                directory[0][d] = (uint32_t)table | 3;
                write_cr3((uint32_t)directory[0]);
            }
        }
        if (!keep) {
            directory[0][d] = d << 22 | 0x83;
            write_cr3((uint32_t)directory[0]);
        }
    }
    check(true, "code at %u addresses", pages);
}

static void test_user(unsigned entries)
{
    bool ok = true;

    frame[0] = 0xc3;
    for (unsigned i = 0; i < 1024; i++) {
        table[i] = (uint32_t)frame | 7;
        directory[0][i] |= 4;
    }
    write_cr3((uint32_t)directory[0]);
    for (unsigned k = 0; k < entries; k++) {
        struct state s;
        unsigned d = FIRST + k * (LAST - FIRST) / entries;
        directory[0][d] = (uint32_t)table | 7;
        write_cr3((uint32_t)directory[0]);
        state_init(&s, 3, walk);
        s.ebx = d << 22;
        s.ecx = 1024;
        run(&s);
        ok &= s.vector == VEC_DONE;
    }
    check(ok, "code of ring 3 at %u addresses", entries * 1024);
}

/* More than once: a page that is read once need not be mapped. */
static uint32_t touch(uint32_t at)
{
    uint32_t n = 20, last;
    __asm__ volatile("rep lodsl" : "+c"(n), "+S"(at), "=a"(last) : : "memory");
    return last;
}

/* The same 4 MiB of memory in every entry of some directories. */
static void test_places(unsigned directories)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < 1024; i++)
        table[i] = (0x2000000u + i * 4096) | 0x67;
    for (unsigned n = 0; n < directories; n++) {
        for (unsigned d = 8; d < 1024; d++)
            directory[n][d] = (uint32_t)table | 0x27;
        write_cr3((uint32_t)directory[n]);
        for (uint32_t at = 8u << 22; at >= 8u << 22; at += 0x10000)
            sum += touch(at);
    }
    check(sum == 0, "a page in %u places", directories * 1016);
}

/* One access through each of many page tables. */
static void test_tables(void)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < 1024; i++)
        table[i] = (0x2000000u + i * 4096) | 0x67;
    for (unsigned n = 0; n < DIRECTORIES; n++) {
        for (unsigned d = 8; d < 1024; d++)
            directory[n][d] = (uint32_t)table | 0x27;
        write_cr3((uint32_t)directory[n]);
        for (unsigned d = 8; d < 1024; d++)
            sum += touch(d << 22 | d << 12);
    }
    check(sum == 0, "%u page tables", DIRECTORIES * 1016);
}

void guest_main(void)
{
    for (unsigned n = 0; n < DIRECTORIES; n++)
        for (unsigned d = 0; d < 1024; d++)
            directory[n][d] = d << 22 | 0x83;
    memset((void *)0x2000000, 0, 4096 * 1024);
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)directory[0]);
    write_cr0(read_cr0() | CR0_PG);
    if (string_has(guest_cmdline, "code"))
        test_code(100, false, false);
    if (string_has(guest_cmdline, "drop"))
        test_code(100, true, false);
    if (string_has(guest_cmdline, "keep"))
        test_code(80, false, true);
    if (string_has(guest_cmdline, "user"))
        test_user(60);
    if (string_has(guest_cmdline, "places"))
        test_places(6);
    if (string_has(guest_cmdline, "tables"))
        test_tables();
    /* Long enough for a look: 20,000 changes of the refresh signal, 0.3 s. */
    for (unsigned n = 0, last = 0; n < 20000;) {
        unsigned now = inb(0x61) & 0x10;
        n += now != last;
        last = now;
    }
    guest_end();
}
