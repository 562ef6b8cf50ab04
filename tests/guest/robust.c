/* Guests that do what no guest should: the monitor must live, whatever becomes of the guest.
 *
 * -append "WHAT SEED": triple, nowhere, fuzz0 (garbage in ring 0), fuzz3 (in ring 3), fuzz16, ports, tables, text.
 * Numbers come from a seeded generator: the same seed is the same guest.
 */
#include "guest.h"

static uint8_t *const garbage = (uint8_t *)0x2000000u;
static uint32_t pd[1024] __attribute__((aligned(4096)));
static uint32_t pt[64][1024] __attribute__((aligned(4096)));

static bool leave(struct trap *t)
{
    pic_eoi(0);
    return false;
}

/* Bytes that are rarely all invalid: known openings, random operands. */
static void garbage_fill(unsigned n)
{
    static const uint8_t openings[] = {0x0f, 0x66, 0x67, 0xf3, 0xf2, 0x2e, 0x64, 0xff, 0x8e, 0xcf, 0x9a,
                                       0xea, 0xcd, 0xf0, 0xd8, 0xdd, 0xa4, 0xab, 0x6c, 0x6f, 0x9d, 0xc8,
                                       0xe8, 0xe9, 0xc2, 0x62, 0xc4, 0xc5, 0xf7, 0x80, 0xfb, 0x17};

    for (unsigned i = 0; i < n; i++)
        garbage[i] = rnd() % 4 ? (uint8_t)(rnd() >> 8) : openings[(rnd() >> 8) % sizeof openings];
}

/* Ring 3 is confined to the 4 MiB of garbage; ring 0 may destroy the kernel. */
static void fuzz(unsigned ring, unsigned rounds, bool code16)
{
    struct state s;

    if (ring) {
        for (unsigned i = 0; i < 32; i++)
            pd[i] = i << 22 | 0x83;
        pd[(uint32_t)garbage >> 22] |= 4;
        write_cr4(read_cr4() | CR4_PSE);
        write_cr3((uint32_t)pd);
    }

    for (unsigned i = 0; i < rounds; i++) {
        garbage_fill(256);
        /* What the last one may have broken. */
        tables_load();
        pic_init();
        trap_handlers[VEC_IRQ0] = leave;
        pit_periodic(1193);
        pic_unmask(0);
        write_cr0((read_cr0() & ~(CR0_PG | CR0_TS | CR0_EM | CR0_AM)) | CR0_NE | (ring ? CR0_PG : 0));
        state_init(&s, ring, garbage + rnd() % 16);
        if (code16) {
            gdt[GDT_FREE / 8] = desc_make((uint32_t)garbage, 0xffff, D_CODE | D_DPL(3));
            s.cs = GDT_FREE | 3;
            s.eip = rnd() % 16;
        }
        s.eax = rnd();
        s.ebx = (uint32_t)garbage + rnd() % 65536;
        s.ecx = rnd() % 3 ? rnd() % 64 : rnd();
        s.edx = rnd();
        s.esi = (uint32_t)garbage + 65536 + rnd() % 65536;
        s.edi = (uint32_t)garbage + 131072 + rnd() % 65536;
        s.ebp = rnd() % 2 ? s.esp : rnd();
        s.eflags |= FL_IF | (rnd() & (ring ? 0x44cd5 : 0xcd5));
        if (ring)
            s.esp = (uint32_t)garbage + 0x300000;
        run(&s);
        if (i % 500 == 0)
            print("# %u: vector %u\n", i, (unsigned)s.vector);
    }
    check(true, "survived %u rounds of garbage", rounds);
}

static void fuzz_ports(unsigned rounds)
{
    static const uint16_t ports[] = {0x20,  0x21,  0xa0,  0xa1,  0x40,   0x41,   0x42,   0x43,   0x61,   0x60,
                                     0x64,  0x70,  0x71,  0x80,  0x92,   0xcf8,  0xcfc,  0xcfd,  0xcfe,  0xcff,
                                     0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc,  0x3fd,  0x3fe,  0x3ff,  0x2f8,  0x4d0,
                                     0x4d1, 0x600, 0x602, 0x608, 0xb000, 0xb002, 0xb008, 0xafe0, 0xae00, 0x0,
                                     0x8,   0xd0,  0x1f0, 0x1f7, 0x3c0,  0x3d4,  0x3f5};

    for (unsigned i = 0; i < rounds; i++) {
        uint16_t port = rnd() % 8 ? ports[rnd() % ARRAY_COUNT(ports)] : (uint16_t)(rnd() >> 8);
        uint32_t v = rnd();
        /* Not our own way out, nor reset and power-off, nor the console. */
        if ((port >= 0xf1 && port <= 0xf7) || (port >= 0xe6 && port <= 0xe9) || port == 0xcf9 || port == 0x604 ||
            port == 0xb004)
            continue;
        if (port == 0x64 && ((v & 0xf0) == 0xf0 || (v & 0xff) == 0xd1))
            continue;
        if (port == 0x92)
            v &= ~1u;
        if (port == 0xcf8 && rnd() % 2)
            v = 0x80000000 | (v & 0x3ffc); /* devices that exist */
        switch (v >> 8 & 7) {
        case 0:
            __asm__ volatile("outw %w0, %w1" : : "a"(v), "d"(port));
            break;
        case 1:
            if (port != 0x600 && port != 0x602 && port != 0xb002 && port != 0xcf8 + 1)
                __asm__ volatile("outl %0, %w1" : : "a"(v), "d"(port));
            break;
        case 2: {
            uint32_t x;
            __asm__ volatile("inl %w1, %0" : "=a"(x) : "d"(port));
            break;
        }
        case 3:
            (void)inb(port);
            break;
        default:
            outb(port, (uint8_t)v);
        }
    }
    check(true, "survived %u accesses to ports", rounds);
}

/* Page tables of garbage, over RAM, ROM, holes and devices. */
static volatile unsigned faults;
static void fuzz_tables(unsigned rounds)
{
    struct state s;
    SNIPPET(code_touch, "movl (%esi), %eax\n movl %eax, (%edi)\n rep movsl");
    SNIPPET(code_go, "jmp *%esi");

    for (unsigned i = 0; i < 32; i++)
        pd[i] = i << 22 | 0x87;
    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned n = 0; n < 64; n++) {
            pd[256 + n] = rnd() % 8 ? (uint32_t)pt[n] | 7 | (rnd() & 0x178) : rnd();
            pt[n][rnd() % 16] = rnd() % 4 ? (rnd() & 0x7fff000) | (rnd() & 0x17f) | 1 : rnd();
        }
        uint32_t cr4 = CR4_PSE | (rnd() & CR4_PGE);
        write_cr4((read_cr4() & ~(CR4_PAE | CR4_PGE)) | cr4);
        write_cr3((uint32_t)pd);
        write_cr0(read_cr0() | CR0_PG | (rnd() & CR0_WP));
        for (unsigned k = 0; k < 8; k++) {
            /* Reads anything; writes go to the last 32 MiB only through our own mapping: writes to what the
             * kernel is made of would end the test, not the monitor. */
            state_init(&s, rnd() & 1 ? 3 : 0, rnd() % 4 ? code_touch : code_go);
            s.esi = 0x40000000 + (rnd() % 64 << 22) + (rnd() % 16 << 12) + rnd() % 4096;
            s.edi = 0x2000000u + rnd() % 0x4000000u;
            s.ecx = rnd() % 3000;
            s.eflags |= FL_IF;
            pit_oneshot(5000);
            trap_handlers[VEC_IRQ0] = leave;
            pic_unmask(0);
            run(&s);
            faults += s.vector == EXC_PF;
        }
        write_cr0(read_cr0() & ~CR0_PG);
    }
    check(faults > 0, "survived %u page tables of garbage", rounds);
}

void guest_main(void)
{
    uint32_t seed = 0;
    for (const char *p = guest_cmdline; *p; p++)
        seed = *p >= '0' && *p <= '9' ? seed * 10 + (uint32_t)(*p - '0') : *p == ' ' ? 0 : seed;
    rnd_state = seed * 2654435761u + 12345;
    print("# %s, seed %u\n", guest_cmdline, (unsigned)seed);

    if (string_has(guest_cmdline, "triple")) {
        idt_load(0);
        __asm__ volatile("ud2");
    } else if (string_has(guest_cmdline, "nowhere")) {
        memset(idt, 0, sizeof idt);
        __asm__ volatile("movl $0x1234, %%esp\n jmp *%0" : : "r"(0xf0000000u));
    } else if (string_has(guest_cmdline, "fuzz0")) {
        fuzz(0, 3000, false);
    } else if (string_has(guest_cmdline, "fuzz16")) {
        fuzz(3, 1000, true);
    } else if (string_has(guest_cmdline, "fuzz3")) {
        fuzz(3, 1000, false);
    } else if (string_has(guest_cmdline, "ports")) {
        fuzz_ports(100000);
    } else if (string_has(guest_cmdline, "tables")) {
        fuzz_tables(400);
    } else if (string_has(guest_cmdline, "text")) {
        for (unsigned i = 0; i < 20000; i++)
            ((volatile uint32_t *)0xa0000)[rnd() % 0x8000] = rnd();
        for (unsigned i = 0; i < 20000; i++)
            ((volatile uint8_t *)0xb8000)[rnd() % 4000] = (uint8_t)rnd();
        check(true, "survived garbage in video memory");
    } else {
        check(false, "-append names nothing");
    }
}
