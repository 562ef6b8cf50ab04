/* What a BIOS has to do, asked of the one that runs: prints "ok NAME" or "not ok NAME" and a verdict on port E9h.
 *
 * The same image runs on our BIOS and on SeaBIOS, under Ringer and QEMU; run.py makes the media: every 512-byte sector
 * of the hard disk and 2048-byte sector of the CD begins with its number, as do the floppy's from 200 on.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../bios/lib/far.h"
#include "../../bios/lib/io.h"
#include "../../bios/lib/regs.h"

#define SEG    0x1000
#define BUFFER 0x4000 /* segment of 64 KiB that nobody else uses, and the next ones */
#define BDA    0x40

struct pm_regs {
    uint32_t eax, ebx, ecx, edx, esi, edi;
};

void bios_int(unsigned vector, struct bregs *regs);
uint32_t int_on_small_stack(unsigned vector, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx);
uint32_t call_bios32(uint32_t entry, struct pm_regs *regs);
void reset_and_resume(unsigned way);
uint32_t enter_by_bios(void);
uint32_t v86_int(struct pm_regs *regs, unsigned vector);
void guest_main(uint32_t boot_drive);
void hook_1b(void), hook_1c(void), hook_4a(void), hook_02(void), hook_15(void), hook_15_leaves(void);
void mouse_handler(void);
void hook_08(void), hook_1c_bios(void);
void hook_09(void), hook_deep(void);
void int_with_if0(unsigned vector, uint32_t eax);
extern volatile uint32_t count_08, count_1c_bios, old_08, old_09;
extern volatile uint8_t deep_count, deep_bad;
extern volatile uint32_t count_1b, count_1c, count_4a, count_02, count_15, mouse_count, old_15;
extern volatile uint16_t mouse_seen[4];

static unsigned passed, failed;

/* --- Output --- */

static void put(const char *text)
{
    for (; *text; text++)
        outb(0xe9, (uint8_t)*text);
}

static void put_hex(uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4)
        outb(0xe9, (uint8_t) "0123456789abcdef"[value >> shift & 15]);
}

static void put_number(unsigned value)
{
    if (value >= 10)
        put_number(value / 10);
    outb(0xe9, (uint8_t)('0' + value % 10));
}

static void check(const char *name, bool good)
{
    put(good ? "ok " : "not ok ");
    put(name);
    put("\n");
    if (good)
        passed++;
    else
        failed++;
}

static void check_is(const char *name, uint32_t value, uint32_t wanted)
{
    check(name, value == wanted);
    if (value != wanted) {
        put("# is ");
        put_hex(value);
        put(" wanted ");
        put_hex(wanted);
        put("\n");
    }
}

/* The registers of a call, with marks where nothing is passed. */
static struct bregs fresh(uint16_t ax)
{
    struct bregs r;
    uint8_t *at = (uint8_t *)&r;
    for (unsigned i = 0; i < sizeof(r); i++)
        at[i] = 0;
    r.eax = 0x11110000u | ax;
    r.ebx = 0x22220000u;
    r.ecx = 0x33330000u;
    r.edx = 0x44440000u;
    r.esi = 0x55550000u;
    r.edi = 0x66660000u;
    r.ebp = 0x77778888u;
    r.ds = r.es = SEG;
    r.fs = 0x1234;
    r.gs = 0x5678;
    return r;
}

static bool carry(const struct bregs *r)
{
    return r->flags & F_CF;
}

static uint32_t ticks(void)
{
    return peek32(BDA, 0x6c);
}

static void wait_ticks(uint32_t n)
{
    uint32_t start = ticks();
    while (ticks() - start < n)
        continue;
}

/* --- Memory and entry points --- */

static void test_memory(void)
{
    struct bregs r = fresh(0);
    bios_int(0x12, &r);
    check_is("int12/is 40:13", r.ax, peek16(BDA, 0x13));
    check_is("int12/639 KiB below the EBDA", r.ax, 639);
    check_is("bda/EBDA begins where memory ends", peek16(BDA, 0x0e), r.ax * 64u);
    check_is("ebda/its first byte is its size", peek8(peek16(BDA, 0x0e), 0), 1);
    r = fresh(0);
    bios_int(0x11, &r);
    check_is("int11/is 40:10", r.ax, peek16(BDA, 0x10));
    check("int11/floppy drive, coprocessor", (r.ax & 3) == 3);
    check("rom/reset vector is a far jump to F000:E05B",
          peek8(0xf000, 0xfff0) == 0xea && peek32(0xf000, 0xfff1) == 0xf000e05b);
    check_is("rom/model byte", peek8(0xf000, 0xfffe), 0xfc);
    check("rom/date has slashes", peek8(0xf000, 0xfff7) == '/' && peek8(0xf000, 0xfffa) == '/');

    uint32_t ems = peek32(0, 0x67 * 4);
    check("vectors/60h to 66h are the user's", peek32(0, 0x60 * 4) == 0 && peek32(0, 0x66 * 4) == 0);
    check_is("vectors/67h leads to an IRET", peek8((uint16_t)(ems >> 16), (uint16_t)ems), 0xcf);
    uint32_t tables = peek32(0, 0x1d * 4), font = peek32(0, 0x1f * 4), save = peek32(BDA, 0xa8);
    check("vectors/1Dh: registers of the 6845", peek8((uint16_t)(tables >> 16), (uint16_t)tables) == 0x38 &&
                                                    peek8((uint16_t)(tables >> 16), (uint16_t)(tables + 17)) == 80);
    check("vectors/1Fh: a font for 80h to FFh", peek8((uint16_t)(font >> 16), (uint16_t)(font + 0x5b * 8)) != 0);
    uint32_t params = peek32((uint16_t)(save >> 16), (uint16_t)save);
    uint16_t seg = (uint16_t)(params >> 16), off = (uint16_t)params;
    check("video parameters/in IBM's order",
          peek8(seg, off) == 40 && peek8(seg, off + 2) == 8 && peek16(seg, off + 4 * 64 + 3) == 0x4000 &&
              peek8(seg, off + 0x18 * 64) == 80 && peek8(seg, off + 0x18 * 64 + 2) == 16 &&
              peek8(seg, off + 0x13 * 64 + 2) == 14 && peek8(seg, off + 0x1c * 64) == 40);
    uint8_t above = peek8(0xd000, 0);
    poke8(0xd000, 0, 0x5a);
    check("upper memory/open bus where no ROM is", above == 0xff && peek8(0xd000, 0) == 0xff);

    uint16_t old = peek16(0xf000, 0x0010);
    poke16(0xf000, 0x0010, (uint16_t)~old);
    check("rom/F0000h is read-only", peek16(0xf000, 0x0010) == old);

    r = fresh(0x8800);
    bios_int(0x15, &r);
    check("int15.88/memory above 1 MiB, in KiB", !carry(&r) && r.ax == 63 * 1024);
    r = fresh(0xe801);
    bios_int(0x15, &r);
    check("int15.e801/15 MiB and the rest in 64 KiB",
          !carry(&r) && r.ax == 15 * 1024 && r.bx == 48 * 16 && r.cx == r.ax && r.dx == r.bx);

    uint32_t next = 0, total = 0, entries = 0;
    bool in_order = true, low = false, high = false;
    uint64_t last = 0;
    do {
        r = fresh(0xe820);
        r.eax = 0xe820;
        r.ebx = next;
        r.ecx = 20;
        r.edx = 0x534d4150;
        r.es = BUFFER;
        r.edi = 0;
        bios_int(0x15, &r);
        if (carry(&r) || r.eax != 0x534d4150 || r.ecx != 20)
            break;
        uint64_t base = peek32(BUFFER, 0) | (uint64_t)peek32(BUFFER, 4) << 32;
        uint32_t size = peek32(BUFFER, 8), type = peek32(BUFFER, 16);
        if (base < last)
            in_order = false;
        last = base + size;
        if (type == 1)
            total += size;
        low |= base == 0 && type == 1 && size == 639 * 1024;
        high |= base == 0x100000 && type == 1;
        next = r.ebx;
        entries++;
    } while (next && entries < 32);
    check("int15.e820/ends with EBX 0", next == 0 && entries > 3);
    check("int15.e820/in ascending order, no overlaps", in_order);
    check("int15.e820/639 KiB at 0, RAM at 1 MiB", low && high);
    check("int15.e820/about 64 MiB in all", total > 62u * 1024 * 1024 && total <= 64u * 1024 * 1024);
    r = fresh(0xe820);
    r.eax = 0xe820;
    r.edx = 0;
    r.ebx = 0;
    r.ecx = 20;
    bios_int(0x15, &r);
    check("int15.e820/needs SMAP", carry(&r));
    r = fresh(0xe820);
    r.eax = 0xe820;
    r.edx = 0x534d4150;
    r.ecx = 128;
    r.ebx = 0;
    r.es = BUFFER;
    bios_int(0x15, &r);
    check_is("int15.e820/20 bytes, however many are asked for", r.ecx, 20);
}

static void test_system(void)
{
    struct bregs r = fresh(0xc000);
    bios_int(0x15, &r);
    check("int15.c0/configuration table",
          !carry(&r) && r.ah == 0 && peek16(r.es, r.bx) >= 8 && peek8(r.es, (uint16_t)(r.bx + 2)) == 0xfc);
    check("int15.c0/feature byte: EBDA, RTC, second PIC", (peek8(r.es, (uint16_t)(r.bx + 5)) & 0x64) == 0x64);
    r = fresh(0xc100);
    bios_int(0x15, &r);
    check("int15.c1/EBDA segment", !carry(&r) && r.es == peek16(BDA, 0x0e));
    r = fresh(0x4f1e);
    bios_int(0x15, &r);
    check("int15.4f/key goes on to the BIOS", carry(&r) && r.al == 0x1e);
    r = fresh(0xff00);
    bios_int(0x15, &r);
    check("int15.ff/unknown is 86h with carry", carry(&r) && r.ah == 0x86);
    check("int15.ff/other registers as they were",
          (r.eax >> 16) == 0x1111 && r.ebx == 0x22220000 && r.ecx == 0x33330000 && r.edx == 0x44440000 &&
              r.esi == 0x55550000 && r.edi == 0x66660000 && r.ebp == 0x77778888 && r.ds == SEG && r.es == SEG &&
              r.fs == 0x1234 && r.gs == 0x5678);

    /* A20: with the gate closed, FFFF:10 is 0:0. */
    r = fresh(0x2403);
    bios_int(0x15, &r);
    check("int15.2403/both ways", !carry(&r) && r.ah == 0 && (r.bx & 3) == 3);
    r = fresh(0x2401);
    bios_int(0x15, &r);
    check("int15.2401/on", !carry(&r) && r.ah == 0);
    poke32(0, 0x7f0, 0x13579bdf);
    poke32(0xffff, 0x800, 0x2468ace0);
    check_is("a20/on: 1 MiB is not 0", peek32(0, 0x7f0), 0x13579bdf);
    r = fresh(0x2402);
    bios_int(0x15, &r);
    check("int15.2402/says on", !carry(&r) && r.al == 1);
    r = fresh(0x2400);
    bios_int(0x15, &r);
    check_is("a20/off: 1 MiB is 0", peek32(0xffff, 0x800), 0x13579bdf);
    r = fresh(0x2402);
    bios_int(0x15, &r);
    check("int15.2402/says off", !carry(&r) && r.al == 0);
    r = fresh(0x2401);
    bios_int(0x15, &r);

    /* Block move to 2 MiB and back. */
    for (uint16_t i = 0; i < 1024; i += 4)
        poke32(BUFFER, i, 0xa5000000u + i);
    for (unsigned way = 0; way < 2; way++) {
        for (uint16_t i = 0; i < 0x30; i += 4)
            poke32(BUFFER, (uint16_t)(0x8000 + i), 0);
        uint32_t from = way ? 0x200000 : BUFFER * 16, to = way ? BUFFER * 16 + 0x1000 : 0x200000;
        poke32(BUFFER, 0x8010, 0xffff | from << 16);
        poke32(BUFFER, 0x8014, 0x9300 | (from >> 16 & 0xff));
        poke32(BUFFER, 0x8018, 0xffff | to << 16);
        poke32(BUFFER, 0x801c, 0x9300 | (to >> 16 & 0xff));
        r = fresh(0x8700);
        r.cx = 512;
        r.es = BUFFER;
        r.si = 0x8000;
        bios_int(0x15, &r);
        check(way ? "int15.87/from extended memory" : "int15.87/to extended memory", !carry(&r) && r.ah == 0);
    }
    bool same = true;
    for (uint16_t i = 0; i < 1024; i += 4)
        same &= peek32(BUFFER, (uint16_t)(0x1000 + i)) == 0xa5000000u + i;
    check("int15.87/bytes arrived", same);
    check("int15.87/upper halves kept", (r.ecx >> 16) == 0x3333 && (r.esi >> 16) == 0x5555);

    /* Waits. */
    uint32_t start;
    wait_ticks(1);
    start = ticks();
    r = fresh(0x8600);
    r.cx = 3;
    r.dx = 0x0d40; /* 200,000 us */
    bios_int(0x15, &r);
    uint32_t waited = ticks() - start;
    check("int15.86/waits 200 ms", !carry(&r) && waited >= 2 && waited <= 20); /* a busy host delivers ticks late */
    r = fresh(0x8300);
    poke8(BUFFER, 0x10, 0);
    r.cx = 1;
    r.dx = 0x86a0; /* 100,000 us */
    r.es = BUFFER;
    r.bx = 0x10;
    bios_int(0x15, &r);
    bool accepted = !carry(&r), early = peek8(BUFFER, 0x10) & 0x80;
    r = fresh(0x8300);
    r.es = BUFFER;
    r.bx = 0x10;
    r.cx = 1;
    bios_int(0x15, &r);
    check("int15.83/one at a time", carry(&r));
    start = ticks();
    while (!(peek8(BUFFER, 0x10) & 0x80) && ticks() - start < 20)
        continue;
    waited = ticks() - start;
    check("int15.83/sets the flag after 100 ms", accepted && !early && waited < 20);

    r = fresh(0x5300);
    bios_int(0x15, &r);
    check("apm/installation check: 1.2, PM", !carry(&r) && r.ax == 0x0102 && r.bx == 0x504d && (r.cx & 3) == 3);
    r = fresh(0x530a);
    r.bx = 1;
    bios_int(0x15, &r);
    check("apm/not connected: power status is refused or on line", carry(&r) ? r.ah == 3 : r.bh == 1);
    r = fresh(0x5301);
    bios_int(0x15, &r);
    check("apm/connect real mode", !carry(&r));
    r = fresh(0x530a);
    r.bx = 1;
    bios_int(0x15, &r);
    check("apm/power status: on line", !carry(&r) && r.bh == 1);
    r = fresh(0x530b);
    bios_int(0x15, &r);
    check("apm/no event", carry(&r) && r.ah == 0x80);
    r = fresh(0x5304);
    bios_int(0x15, &r);
    check("apm/disconnect", !carry(&r));
    r = fresh(0x5303);
    bios_int(0x15, &r);
    check("apm/connect 32-bit interface", !carry(&r) && r.ax >= 0xe000);
    uint32_t entry = r.ax * 16u + r.ebx;
    struct pm_regs p = {.eax = 0x530a, .ebx = 1};
    uint32_t flags = call_bios32(entry, &p);
    check("apm32/power status: on line", !(flags & 1) && (p.ebx >> 8 & 0xff) == 1);
    p = (struct pm_regs){.eax = 0x530b};
    flags = call_bios32(entry, &p);
    check("apm32/no event", (flags & 1) && (p.eax >> 8 & 0xff) == 0x80);
    r = fresh(0x5304);
    bios_int(0x15, &r);
    check("apm/disconnect 32-bit interface", !carry(&r));
}

/* --- Disks --- */

static struct bregs chs(uint16_t ax, unsigned drive, unsigned c, unsigned h, unsigned s)
{
    struct bregs r = fresh(ax);
    r.es = BUFFER;
    r.bx = 0;
    r.cx = (uint16_t)((c & 0xff) << 8 | (c >> 2 & 0xc0) | s);
    r.dx = (uint16_t)(h << 8 | drive);
    return r;
}

static void clear_buffer(void)
{
    for (uint32_t i = 0; i < 0x10000; i += 4)
        poke32(BUFFER, (uint16_t)i, 0xeeeeeeee);
}

static void test_floppy(void)
{
    struct bregs r = fresh(0x0000);
    r.dx = 0;
    bios_int(0x13, &r);
    check("int13.00/floppy reset", !carry(&r) && r.ah == 0);
    r = fresh(0x0800);
    r.dx = 0;
    bios_int(0x13, &r);
    check("int13.08/1.44M: 80 cylinders, 2 heads, 18 sectors", !carry(&r) && r.ch == 79 && r.cl == 18 && r.dh == 1);
    check("int13.08/drive type 4, table at ES:DI", r.bl == 4 && peek8(r.es, (uint16_t)(r.di + 3)) == 2);
    check("int13.08/one drive", r.dl == 1);
    r = fresh(0x1500);
    r.dx = 0;
    bios_int(0x13, &r);
    check("int13.15/floppy", !carry(&r) && (r.ah == 1 || r.ah == 2));

    clear_buffer();
    r = chs(0x0212, 0, 10, 0, 1);
    bios_int(0x13, &r);
    check("int13.02/floppy track", !carry(&r) && r.al == 18);
    bool good = true;
    for (uint16_t i = 0; i < 18; i++)
        good &= peek32(BUFFER, (uint16_t)(i * 512)) == 360u + i;
    check("int13.02/floppy track's bytes", good && peek32(BUFFER, 18 * 512) == 0xeeeeeeee);
    clear_buffer();
    r = chs(0x0201, 0, 79, 1, 18);
    bios_int(0x13, &r);
    check("int13.02/floppy's last sector", !carry(&r) && peek32(BUFFER, 0) == 2879);
    r = chs(0x0201, 0, 0, 0, 19);
    bios_int(0x13, &r);
    check("int13.02/floppy sector 19: an error", carry(&r) && r.ah != 0);
    check_is("int13.02/error is in 40:41", peek8(BDA, 0x41), r.ah);
    uint8_t code = r.ah;
    r = fresh(0x0100);
    r.dx = 0;
    bios_int(0x13, &r);
    check("int13.01/status of the last floppy command", r.ah == code);
    r = fresh(0x0000);
    r.dx = 0;
    bios_int(0x13, &r);

    for (uint16_t i = 0; i < 1024; i += 4)
        poke32(BUFFER, i, 0xf0f00000u + i);
    r = chs(0x0302, 0, 70, 1, 5);
    bios_int(0x13, &r);
    check("int13.03/floppy write", !carry(&r) && r.al == 2);
    clear_buffer();
    r = chs(0x0202, 0, 70, 1, 5);
    bios_int(0x13, &r);
    good = !carry(&r);
    for (uint16_t i = 0; i < 1024; i += 4)
        good &= peek32(BUFFER, i) == 0xf0f00000u + i;
    check("int13.03/floppy reads back", good);
    r = chs(0x0402, 0, 70, 1, 5);
    bios_int(0x13, &r);
    check("int13.04/floppy verify", !carry(&r));

    /* DMA cannot cross 64 KiB: real BIOSes say 09h. */
    r = chs(0x0204, 0, 10, 0, 1);
    r.bx = 0xfe00;
    bios_int(0x13, &r);
    check("int13.02/DMA boundary is 09h", carry(&r) && r.ah == 0x09);

    for (uint16_t i = 0; i < 18; i++)
        poke32(BUFFER, (uint16_t)(i * 4), 60u | 0x100 | (uint32_t)(i + 1) << 16 | 0x02000000);
    r = chs(0x0512, 0, 60, 1, 1);
    bios_int(0x13, &r);
    check("int13.05/format a track", !carry(&r));
    clear_buffer();
    r = chs(0x0201, 0, 60, 1, 7);
    bios_int(0x13, &r);
    check("int13.05/a formatted sector has the fill byte", !carry(&r) && peek32(BUFFER, 0) == 0xf6f6f6f6);
    r = chs(0x0201, 1, 0, 0, 1);
    bios_int(0x13, &r);
    check("int13.02/drive B: is not there", carry(&r) && r.ah != 0);

    wait_ticks(2);
    check("floppy/motor runs", peek8(BDA, 0x3f) & 1);
    wait_ticks(50);
    check("floppy/motor stops by itself", !(peek8(BDA, 0x3f) & 1));

    uint32_t eax = int_on_small_stack(0x13, 0x99990201, 0, 0x0a02, 0);
    (void)eax;
    check_is("stack/INT 13h needs less than 128 bytes of it, floppy",
             int_on_small_stack(0x1a, 0, 0, 0, 0) == 0xffffffff, 0);
}

/* Interrupts while the BIOS waits, whose handlers call the BIOS from another stack. Failed with FreeDOS: what the
 * handler had left on the BIOS's stack was overwritten. */
static void test_stacks(void)
{
    uint32_t old_1c = peek32(0, 0x1c * 4), start = ticks();
    bool good = true;
    old_08 = peek32(0, 0x08 * 4);
    __asm__ volatile("cli");
    poke32(0, 0x08 * 4, (uint32_t)SEG << 16 | (uint32_t)hook_08);
    poke32(0, 0x1c * 4, (uint32_t)SEG << 16 | (uint32_t)hook_1c_bios);
    outb(0x43, 0x34); /* 2000 ticks a second */
    outb(0x40, 1193182 / 2000 & 0xff);
    outb(0x40, 1193182 / 2000 >> 8);
    __asm__ volatile("sti");
    /* As many as there are ticks in: a busy host may let few come. */
    for (uint16_t n = 0; n < 40 || (ticks() - start < 10 && n < 4000); n++) {
        uint16_t i = n % 40;
        clear_buffer();
        struct bregs r = chs(0x0209, 0, 10 + i, 1, 1);
        bios_int(0x13, &r);
        good &=
            !carry(&r) && r.al == 9 && peek32(BUFFER, 0) == 378u + 36 * i && peek32(BUFFER, 8 * 512) == 386u + 36 * i;
    }
    __asm__ volatile("cli");
    outb(0x43, 0x34);
    outb(0x40, 0);
    outb(0x40, 0);
    poke32(0, 0x08 * 4, old_08);
    poke32(0, 0x1c * 4, old_1c);
    __asm__ volatile("sti");
    check("int13.02/ticks on another stack in the middle", good && ticks() - start >= 10);
    check("int08/every tick came back from another stack",
          count_08 >= ticks() - start - 1 && count_08 == count_1c_bios);
}

static void make_dap(uint32_t lba_low, uint32_t lba_high, uint16_t count, uint16_t seg, uint16_t off)
{
    poke32(SEG, 0xf000, 16u | (uint32_t)count << 16);
    poke32(SEG, 0xf004, off | (uint32_t)seg << 16);
    poke32(SEG, 0xf008, lba_low);
    poke32(SEG, 0xf00c, lba_high);
}

static struct bregs extended(uint16_t ax, unsigned drive)
{
    struct bregs r = fresh(ax);
    r.dx = (uint16_t)drive;
    r.si = 0xf000;
    r.ds = SEG;
    return r;
}

#define HD_SECTORS 80640u /* 80 cylinders of 16 heads and 63 sectors */

/* Hooks that switch stacks and call the BIOS again, deeper and deeper: everybody gets his own back. */
static void test_deep_hooks(void)
{
    uint32_t old_1c = peek32(0, 0x1c * 4);
    struct bregs r = fresh(0x0000);
    __asm__ volatile("cli");
    poke32(0, 0x1c * 4, (uint32_t)SEG << 16 | (uint32_t)hook_deep);
    __asm__ volatile("sti");
    bios_int(0x16, &r);
    __asm__ volatile("cli");
    poke32(0, 0x1c * 4, old_1c);
    __asm__ volatile("sti");
    check_is("hooks/as many as there should be", deep_count, 12);
    check_is("hooks/each got its key and its registers", deep_bad, 0);
    check("hooks/and so did who waited first",
          r.ax == 0x1e61 && r.ebx == 0x22220000u && r.ecx == 0x33330000u && r.ebp == 0x77778888u && r.fs == 0x1234);
}

/* Services called with interrupts off let them in: the timer turns, and its interrupt comes. */
static void test_interrupts_off(void)
{
    static const struct {
        const char *name;
        uint8_t vector;
        uint16_t ax;
    } services[] = {{"if0/INT 10h", 0x10, 0x0f00}, {"if0/INT 13h", 0x13, 0x0100}, {"if0/INT 14h", 0x14, 0x0300},
                    {"if0/INT 15h", 0x15, 0xc000}, {"if0/INT 16h", 0x16, 0x0100}, {"if0/INT 17h", 0x17, 0x0200},
                    {"if0/INT 1Ah", 0x1a, 0x0000}};
    unsigned first = peek8(0, 0x7c00 + 509) & 1 ? 0 : 1; /* QEMU's video BIOS is not ours */
    for (unsigned i = first; i < sizeof(services) / sizeof(services[0]); i++) {
        uint32_t start = ticks();
        uint16_t before = 0;
        unsigned turns = 0;
        while (ticks() - start < 2 && turns < 40) { /* a busy host delivers ticks late */
            int_with_if0(services[i].vector, services[i].ax);
            outb(0x43, 0x00);
            uint16_t now = inb(0x40);
            now = (uint16_t)(now | inb(0x40) << 8);
            turns += now > before; /* it counts down, and begins anew */
            before = now;
        }
        __asm__ volatile("sti");
        check(services[i].name, ticks() - start >= 2);
    }
}

/* The monitor: power states and identity. */
static void test_monitor(void)
{
    struct bregs r = fresh(0x4f10);
    bios_int(0x10, &r);
    check("vbe10/standby, suspend and off are there", r.ax == 0x004f && (r.bh & 7) == 7);
    static const uint8_t states[] = {0x04, 0x01, 0x02, 0x00};
    for (unsigned i = 0; i < sizeof(states); i++) {
        r = fresh(0x4f10);
        r.bx = (uint16_t)(states[i] << 8 | 1);
        bios_int(0x10, &r);
        bool set = r.ax == 0x004f;
        outb(0x3c4, 1);
        bool is_dark = inb(0x3c5) & 0x20;
        r = fresh(0x4f10);
        r.bx = 2;
        bios_int(0x10, &r);
        check(i < 3 ? "vbe10/off" : "vbe10/on again",
              set && r.ax == 0x004f && r.bh == states[i] && is_dark == (states[i] != 0));
    }
    r = fresh(0x4f15);
    bios_int(0x10, &r);
    check("vbe15/DDC2", r.ax == 0x004f && (r.bl & 2));
    clear_buffer();
    r = fresh(0x4f15);
    r.bx = 1;
    r.cx = r.dx = 0;
    r.es = BUFFER;
    r.edi = 0x100;
    bios_int(0x10, &r);
    uint8_t sum = 0;
    for (uint16_t i = 0; i < 128; i++)
        sum = (uint8_t)(sum + peek8(BUFFER, (uint16_t)(0x100 + i)));
    check("vbe15/EDID block", r.ax == 0x004f && peek32(BUFFER, 0x100) == 0xffffff00 &&
                                  peek32(BUFFER, 0x104) == 0x00ffffff && !sum && peek32(BUFFER, 0x180) == 0xeeeeeeee);
    check("vbe15/it prefers a timing", peek16(BUFFER, 0x100 + 54) != 0);
}

static void test_hd(void)
{
    struct bregs r = fresh(0x0800);
    r.dx = 0x80;
    bios_int(0x13, &r);
    unsigned last_cylinder = r.ch | (r.cl & 0xc0u) << 2, heads = r.dh + 1u, spt = r.cl & 63u;
    check("int13.08/disk: 16 heads, 63 sectors, one disk", !carry(&r) && heads == 16 && spt == 63 && r.dl == 1);
    check_is("int13.08/disk: of 80 cylinders, one is reserved", last_cylinder, 78);
    r = fresh(0x1500);
    r.dx = 0x80;
    bios_int(0x13, &r);
    check("int13.15/disk, with its sectors", !carry(&r) && r.ah == 3 && ((uint32_t)r.cx << 16 | r.dx) > 77u * 1008);
    check_is("bda/one disk", peek8(BDA, 0x75), 1);

    clear_buffer();
    r = chs(0x0201, 0x80, 0, 0, 1);
    bios_int(0x13, &r);
    check("int13.02/disk's first sector", !carry(&r) && r.ah == 0 && peek32(BUFFER, 4) == 0x52534543);
    check("int13.02/registers", (r.eax >> 16) == 0x1111 && r.bx == 0 && r.es == BUFFER && r.ebp == 0x77778888 &&
                                    (r.edx >> 16) == 0x4444 && r.gs == 0x5678 && r.fs == 0x1234);
    r = chs(0x023f, 0x80, 11, 7, 1);
    bios_int(0x13, &r);
    bool good = !carry(&r) && r.al == 63;
    for (uint16_t i = 0; i < 63; i++)
        good &= peek32(BUFFER, (uint16_t)(i * 512)) == (11u * 16 + 7) * 63 + i;
    check("int13.02/disk track", good && peek32(BUFFER, 63 * 512) == 0xeeeeeeee);
    r = chs(0x0201, 0x80, 1000, 0, 1);
    bios_int(0x13, &r);
    check("int13.02/cylinder that is not there", carry(&r) && r.ah != 0);
    check_is("int13.02/error is in 40:74", peek8(BDA, 0x74), r.ah);
    r = chs(0x0200, 0x80, 0, 0, 1);
    bios_int(0x13, &r);
    check("int13.02/no sectors: an error", carry(&r));
    r = chs(0x0201, 0x81, 0, 0, 1);
    bios_int(0x13, &r);
    check("int13.02/no second disk", carry(&r) && r.ah == 0x01);
    r = chs(0x0401, 0x80, 1, 1, 1);
    bios_int(0x13, &r);
    check("int13.04/disk verify", !carry(&r));
    r = chs(0x0c00, 0x80, 5, 0, 1);
    bios_int(0x13, &r);
    check("int13.0c/seek", !carry(&r));
    r = fresh(0x1000);
    r.dx = 0x80;
    bios_int(0x13, &r);
    check("int13.10/drive is ready", !carry(&r));
    r = fresh(0x1100);
    r.dx = 0x80;
    bios_int(0x13, &r);
    check("int13.11/recalibrate", !carry(&r));

    r = extended(0x4100, 0x80);
    r.bx = 0x55aa;
    bios_int(0x13, &r);
    check("int13.41/extensions 3.0", !carry(&r) && r.bx == 0xaa55 && r.ah == 0x30 && (r.cx & 5) == 5);
    r = extended(0x4100, 0x80);
    r.bx = 0x1234;
    bios_int(0x13, &r);
    check("int13.41/needs 55AAh", carry(&r) || r.bx != 0xaa55);
    clear_buffer();
    make_dap(HD_SECTORS - 2, 0, 2, BUFFER, 0x200);
    r = extended(0x4200, 0x80);
    bios_int(0x13, &r);
    check("int13.42/last two sectors", !carry(&r) && r.ah == 0 && peek32(BUFFER, 0x200) == HD_SECTORS - 2 &&
                                           peek32(BUFFER, 0x400) == HD_SECTORS - 1 && peek32(BUFFER, 0) == 0xeeeeeeee);
    make_dap(HD_SECTORS - 1, 0, 2, BUFFER, 0);
    r = extended(0x4200, 0x80);
    bios_int(0x13, &r);
    check("int13.42/beyond the end", carry(&r) && r.ah != 0);
    make_dap(0, 1, 1, BUFFER, 0);
    r = extended(0x4200, 0x80);
    bios_int(0x13, &r);
    check("int13.42/far beyond the end", carry(&r));
    make_dap(1000, 0, 127, BUFFER, 0x0);
    clear_buffer();
    r = extended(0x4200, 0x80);
    bios_int(0x13, &r);
    good = !carry(&r);
    for (uint16_t i = 0; i < 127; i++)
        good &= peek32(BUFFER, (uint16_t)(i * 512)) == 1000u + i;
    check("int13.42/127 sectors", good);
    clear_buffer();
    make_dap(3000, 0, 100, BUFFER - 0x0800, 0x8000); /* ends in the next 64 KiB of memory */
    r = extended(0x4200, 0x80);
    bios_int(0x13, &r);
    good = !carry(&r);
    for (uint16_t i = 0; i < 100; i++)
        good &= peek32(BUFFER, (uint16_t)(i * 512)) == 3000u + i;
    check("int13.42/across a 64 KiB boundary", good);
    clear_buffer();
    make_dap(77, 0, 1, BUFFER, 0x0101); /* odd: no DMA to there */
    r = extended(0x4200, 0x80);
    bios_int(0x13, &r);
    check("int13.42/odd address", !carry(&r) && peek32(BUFFER, 0x101) == 77);

    for (uint16_t i = 0; i < 2048; i += 4)
        poke32(BUFFER, i, 0x0ddba11u + i);
    make_dap(50000, 0, 4, BUFFER, 0);
    r = extended(0x4300, 0x80);
    bios_int(0x13, &r);
    check("int13.43/write", !carry(&r));
    r = extended(0x4400, 0x80);
    bios_int(0x13, &r);
    check("int13.44/verify", !carry(&r));
    clear_buffer();
    make_dap(50000, 0, 4, BUFFER, 0x1000);
    r = extended(0x4200, 0x80);
    bios_int(0x13, &r);
    good = !carry(&r);
    for (uint16_t i = 0; i < 2048; i += 4)
        good &= peek32(BUFFER, (uint16_t)(0x1000 + i)) == 0x0ddba11u + i;
    check("int13.43/reads back", good);
    r = extended(0x4700, 0x80);
    bios_int(0x13, &r);
    check("int13.47/seek", !carry(&r));

    for (uint16_t i = 0; i < 80; i++)
        poke8(SEG, (uint16_t)(0xf000 + i), 0);
    poke16(SEG, 0xf000, 30);
    r = extended(0x4800, 0x80);
    bios_int(0x13, &r);
    check("int13.48/sectors and their size",
          !carry(&r) && peek32(SEG, 0xf010) == HD_SECTORS && peek32(SEG, 0xf014) == 0 && peek16(SEG, 0xf018) == 512);
    check("int13.48/physical geometry",
          peek32(SEG, 0xf004) == 80 && peek32(SEG, 0xf008) == 16 && peek32(SEG, 0xf00c) == 63);
    uint16_t dpte = peek16(SEG, 0xf01a), dpte_seg = peek16(SEG, 0xf01c);
    uint8_t sum = 0;
    for (uint16_t i = 0; i < 16; i++)
        sum = (uint8_t)(sum + peek8(dpte_seg, (uint16_t)(dpte + i)));
    check("int13.48/parameter table extension: ports 1F0h and 3F6h, checksum",
          peek16(dpte_seg, dpte) == 0x1f0 && peek16(dpte_seg, (uint16_t)(dpte + 2)) == 0x3f6 && !sum);
    poke16(SEG, 0xf000, 66);
    r = extended(0x4800, 0x80);
    bios_int(0x13, &r);
    check("int13.48/device path: PCI, ATA", !carry(&r) && peek16(SEG, 0xf01e) == 0xbedd &&
                                                peek32(SEG, 0xf024) == 0x20494350 && peek16(SEG, 0xf028) == 0x5441);
    poke16(SEG, 0xf000, 10);
    r = extended(0x4800, 0x80);
    bios_int(0x13, &r);
    check("int13.48/too small a buffer", carry(&r));

    uint32_t table = peek32(0, 0x41 * 4);
    check("int41/disk table: cylinders, heads, sectors",
          peek16((uint16_t)(table >> 16), (uint16_t)table) == 80 &&
              peek8((uint16_t)(table >> 16), (uint16_t)(table + 2)) == 16 &&
              peek8((uint16_t)(table >> 16), (uint16_t)(table + 14)) == 63);

    r = fresh(0xfe00);
    r.dx = 0x80;
    bios_int(0x13, &r);
    check("int13.fe/unknown is 01h with carry", carry(&r) && r.ah == 0x01);
    check_is("stack/INT 13h on 128 bytes, disk", int_on_small_stack(0x13, 0x99990201, 0, 0x0002, 0x80), 0x99990001);
}

static void test_cd(void)
{
    struct bregs r = extended(0x4100, 0xe0);
    r.bx = 0x55aa;
    bios_int(0x13, &r);
    check("cd/extensions", !carry(&r) && r.bx == 0xaa55);
    clear_buffer();
    make_dap(100, 0, 3, BUFFER, 0);
    r = extended(0x4200, 0xe0);
    bios_int(0x13, &r);
    check("cd/three blocks", !carry(&r) && peek32(BUFFER, 0) == 100 && peek32(BUFFER, 2048) == 101 &&
                                 peek32(BUFFER, 4096) == 102 && peek32(BUFFER, 6144) == 0xeeeeeeee);
    make_dap(100, 0, 1, BUFFER, 0);
    r = extended(0x4300, 0xe0);
    bios_int(0x13, &r);
    check("cd/no writing", carry(&r));
    poke16(SEG, 0xf000, 26);
    r = extended(0x4800, 0xe0);
    bios_int(0x13, &r);
    check("cd/2048 bytes in a sector", !carry(&r) && peek16(SEG, 0xf018) == 2048);
    r = extended(0x4b01, 0xe0);
    bios_int(0x13, &r);
    check("cd/no emulation when not booted from it", carry(&r) || peek8(SEG, 0xf001) == 0 || r.ah != 0);
}

/* --- Keyboard and mouse --- */

static void kbc_wait(void)
{
    for (unsigned i = 0; i < 100000 && (inb(0x64) & 2); i++)
        continue;
}

/* A byte as if the device had sent it. */
static void inject(uint8_t command, uint8_t byte)
{
    kbc_wait();
    outb(0x64, command);
    kbc_wait();
    outb(0x60, byte);
    for (unsigned i = 0; i < 100000 && (inb(0x64) & 1); i++)
        continue;
}

static void scan(const char *codes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        inject(0xd2, (uint8_t)codes[i]);
}
#define SCAN(codes) scan(codes, sizeof(codes) - 1)

/* Checks one key, and takes away what may be left after it: each check stands alone. */
static uint32_t key(uint8_t function);

static void drain(void)
{
    while (key(0x10) != 0xffffffff)
        continue;
}

static void check_key(const char *name, uint8_t function, uint32_t wanted)
{
    uint32_t got = key(function);
    drain();
    check_is(name, got, wanted);
}

static uint32_t key(uint8_t function)
{
    struct bregs r = fresh((uint16_t)((function | 1) << 8));
    bios_int(0x16, &r);
    if (r.flags & F_ZF)
        return 0xffffffff;
    uint16_t seen = r.ax;
    r = fresh((uint16_t)(function << 8));
    bios_int(0x16, &r);
    return r.ax == seen ? seen : 0xfffffffe;
}

static void test_keyboard(void)
{
    struct bregs r;
    drain();
    old_09 = peek32(0, 0x09 * 4);
    poke32(0, 0x09 * 4, (uint32_t)SEG << 16 | (uint32_t)hook_09);
    SCAN("\x1e\x9e");
    check_key("int09/a hook has read the key first", 0x00, 0x1e61);
    SCAN("\xe0\x48\xe0\xc8");
    check_key("int09/and one with a prefix", 0x10, 0x48e0);
    poke32(0, 0x09 * 4, old_09);
    check_key("int16/no key", 0x00, 0xffffffff);
    SCAN("\x1e\x9e");
    check_key("int16/a", 0x00, 0x1e61);
    SCAN("\x2a\x1e\x9e");
    r = fresh(0x0200);
    bios_int(0x16, &r);
    check_is("int16.02/left shift", r.al & 0x0f, 0x02);
    SCAN("\xaa");
    check_key("int16/A", 0x00, 0x1e41);
    SCAN("\x1d\x2e\xae\x9d");
    check_key("int16/Ctrl-C", 0x00, 0x2e03);
    SCAN("\x38\x10\x90\xb8");
    check_key("int16/Alt-Q", 0x00, 0x1000);
    SCAN("\x3b\xbb");
    check_key("int16/F1", 0x00, 0x3b00);
    SCAN("\x57\xd7");
    check_key("int16.10/F11", 0x10, 0x8500);
    SCAN("\x57\xd7\x1f\x9f");
    check_key("int16.00/F11 is skipped", 0x00, 0x1f73);
    SCAN("\xe0\x48\xe0\xc8");
    check_key("int16.10/grey up", 0x10, 0x48e0);
    SCAN("\xe0\x48\xe0\xc8");
    check_key("int16.00/grey up", 0x00, 0x4800);
    SCAN("\xe0\x1c\xe0\x9c");
    check_key("int16.10/keypad Enter", 0x10, 0xe00d);
    SCAN("\xe0\x1c\xe0\x9c");
    check_key("int16.00/keypad Enter", 0x00, 0x1c0d);
    SCAN("\xe0\x35\xe0\xb5");
    check_key("int16.10/keypad /", 0x10, 0xe02f);
    SCAN("\xe0\x35\xe0\xb5");
    check_key("int16.00/keypad /", 0x00, 0x352f);
    SCAN("\x1d\x0e\x8e\x9d");
    check_key("int16/Ctrl-Backspace", 0x00, 0x0e7f);
    SCAN("\x38\xe0\x47\xe0\xc7\xb8");
    check_key("int16.10/Alt-Home", 0x10, 0x9700);
    SCAN("\x0f\x8f");
    check_key("int16/Tab", 0x00, 0x0f09);
    SCAN("\x3a\xba");
    SCAN("\x1e\x9e");
    check_key("int16/Caps Lock turns letters", 0x00, 0x1e41);
    SCAN("\x02\x82");
    check_key("int16/Caps Lock leaves digits", 0x00, 0x0231);
    SCAN("\x3a\xba");
    uint8_t num = peek8(BDA, 0x17) & 0x20;
    if (num)
        SCAN("\x45\xc5");
    SCAN("\x47\xc7");
    check_key("int16/keypad 7 is Home", 0x00, 0x4700);
    SCAN("\x45\xc5");
    SCAN("\x47\xc7");
    check_key("int16/Num Lock: keypad 7", 0x00, 0x4737);
    if (!num)
        SCAN("\x45\xc5");
    SCAN("\x38\x4f\xcf\x50\xd0\xb8"); /* Alt, keypad 1 and 2 */
    check_key("int16/Alt and keypad make a character", 0x00, 0x000c);
    drain();
    SCAN("\xe0\x52\xe0\xd2");
    check("bda/Insert is a state", (peek8(BDA, 0x17) & 0x80) && key(0x00) == 0x5200);
    SCAN("\xe0\x52\xe0\xd2");
    key(0x00);
    SCAN("\xe0\x1d");
    r = fresh(0x1200);
    bios_int(0x16, &r);
    check_is("int16.12/right Ctrl", r.ah & 0x05, 0x04);
    SCAN("\xe0\x9d");

    poke32(0, 0x1b * 4, (uint32_t)SEG << 16 | (uint32_t)hook_1b);
    SCAN("\x1e\x9e\xe0\x46\xe0\xc6");
    uint32_t breaks = count_1b;
    SCAN("\x1d\xe0\x46\xe0\xc6\x9d");
    check("int1b/Ctrl-Break calls it, empties the buffer, sets 40:71",
          breaks == 0 && count_1b == 1 && (peek8(BDA, 0x71) & 0x80) && key(0x00) == 0);
    poke8(BDA, 0x71, 0);

    drain();
    r = fresh(0x0500);
    r.cx = 0x1234;
    bios_int(0x16, &r);
    check("int16.05/puts a key", r.al == 0 && key(0x00) == 0x1234);
    unsigned stored = 0;
    for (; stored < 20; stored++) {
        r = fresh(0x0500);
        r.cx = (uint16_t)(0x3000 | stored);
        bios_int(0x16, &r);
        if (r.al)
            break;
    }
    check_is("int16.05/15 keys fit", stored, 15);
    bool order = true;
    for (unsigned i = 0; i < 15; i++)
        order &= key(0x00) == (0x3000u | i);
    check("int16/keys come out in order", order && key(0x00) == 0xffffffff);
    r = fresh(0x0900);
    bios_int(0x16, &r);
    check("int16.09/enhanced functions", r.al & 0x20);

    old_15 = peek32(0, 0x15 * 4);
    poke32(0, 0x15 * 4, (uint32_t)SEG << 16 | (uint32_t)hook_15);
    SCAN("\x1e\x9e");
    poke32(0, 0x15 * 4, old_15);
    check("int15.4f/a hook that wants carry changes the key", count_15 == 1 && key(0x00) == 0x3062);
    drain();
    poke32(0, 0x15 * 4, (uint32_t)SEG << 16 | (uint32_t)hook_15_leaves);
    SCAN("\x1e\x9e");
    poke32(0, 0x15 * 4, old_15);
    check_key("int15.4f/a hook that does nothing leaves the key", 0x00, 0x1e61);
}

static void test_mouse(void)
{
    struct bregs r = fresh(0xc205);
    r.bh = 3;
    bios_int(0x15, &r);
    check("mouse/initialise", !carry(&r) && r.ah == 0);
    r = fresh(0xc207);
    r.es = SEG;
    r.bx = (uint16_t)(uint32_t)mouse_handler;
    bios_int(0x15, &r);
    check("mouse/set handler", !carry(&r));
    r = fresh(0xc204);
    bios_int(0x15, &r);
    check("mouse/type", !carry(&r) && r.bh == 0);
    r = fresh(0xc202);
    r.bh = 5;
    bios_int(0x15, &r);
    check("mouse/sample rate", !carry(&r));
    r = fresh(0xc203);
    r.bh = 2;
    bios_int(0x15, &r);
    check("mouse/resolution", !carry(&r));
    r = fresh(0xc203);
    r.bh = 9;
    bios_int(0x15, &r);
    check("mouse/resolution 9 is 02h", carry(&r) && r.ah == 0x02);
    r = fresh(0xc200);
    r.bh = 1;
    bios_int(0x15, &r);
    check("mouse/on", !carry(&r));
    r = fresh(0xc206);
    r.bh = 0;
    bios_int(0x15, &r);
    check("mouse/status: on, 100 per second", !carry(&r) && (r.bl & 0x20) && r.cl == 2 && r.dl == 100);
    mouse_count = 0;
    inject(0xd3, 0x09);
    inject(0xd3, 0x05);
    inject(0xd3, 0xfd);
    check("mouse/handler is called once with the packet", mouse_count == 1 && (mouse_seen[0] & 0xff) == 0x09 &&
                                                              (mouse_seen[1] & 0xff) == 0x05 &&
                                                              (mouse_seen[2] & 0xff) == 0xfd && mouse_seen[3] == 0);
    r = fresh(0xc200);
    r.bh = 0;
    bios_int(0x15, &r);
    check("mouse/off", !carry(&r));
    r = fresh(0xc209);
    bios_int(0x15, &r);
    check("mouse/unknown is 01h or 86h", carry(&r) && (r.ah == 0x01 || r.ah == 0x86));
    SCAN("\x1e\x9e");
    check_key("mouse/the keyboard still works", 0x00, 0x1e61);

    /* A byte of the keyboard's that nobody has taken is not the controller's answer. */
    outb(0x21, (uint8_t)(inb(0x21) | 0x02));
    outb(0x60, 0xee);
    while (!(inb(0x64) & 1))
        continue;
    r = fresh(0xc200);
    bios_int(0x15, &r);
    outb(0x64, 0x20);
    while (!(inb(0x64) & 1))
        continue;
    uint8_t command_byte = inb(0x60);
    outb(0x21, (uint8_t)(inb(0x21) & ~0x02));
    check("mouse/a waiting key does not become the command byte", (command_byte & 0x51) == 0x41);
    SCAN("\x1e\x9e");
    check_key("mouse/and the keyboard works after it", 0x00, 0x1e61);
}

/* --- Clock --- */

static bool is_bcd(uint8_t value)
{
    return (value & 15) <= 9 && value >> 4 <= 9;
}

static void test_clock(void)
{
    struct bregs r = fresh(0x0000);
    bios_int(0x1a, &r);
    check("int1a.00/ticks", ((uint32_t)r.cx << 16 | r.dx) - ticks() + 2 <= 3);
    poke32(0, 0x1c * 4, (uint32_t)SEG << 16 | (uint32_t)hook_1c);
    wait_ticks(1);
    uint32_t before = count_1c;
    wait_ticks(5);
    check("int1c/with every tick", count_1c - before >= 5 && count_1c - before <= 6);
    uint32_t was = ticks();
    r = fresh(0x0100);
    r.cx = 0x0018;
    r.dx = 0x00ae;
    bios_int(0x1a, &r);
    wait_ticks(1);
    uint32_t start = count_1c;
    while (count_1c - start < 4)
        continue;
    check("int08/midnight: count begins again", ticks() < 10);
    r = fresh(0x0000);
    bios_int(0x1a, &r);
    check("int1a.00/midnight flag", r.al == 1);
    r = fresh(0x0000);
    bios_int(0x1a, &r);
    check("int1a.00/midnight flag is told once", r.al == 0);
    r = fresh(0x0100);
    r.cx = (uint16_t)(was >> 16);
    r.dx = (uint16_t)was;
    bios_int(0x1a, &r);

    r = fresh(0x0200);
    bios_int(0x1a, &r);
    check("int1a.02/time",
          !carry(&r) && is_bcd(r.ch) && is_bcd(r.cl) && is_bcd(r.dh) && r.ch < 0x24 && r.cl < 0x60 && r.dh < 0x60);
    r = fresh(0x0400);
    bios_int(0x1a, &r);
    check("int1a.04/date: run.py says 17 June 2026", !carry(&r) && r.cx == 0x2026 && r.dx == 0x0617);
    r = fresh(0x0300);
    r.cx = 0x1234;
    r.dx = 0x1500;
    bios_int(0x1a, &r);
    r = fresh(0x0200);
    bios_int(0x1a, &r);
    check("int1a.03/sets the time", !carry(&r) && r.cx == 0x1234 && (r.dh == 0x15 || r.dh == 0x16));
    r = fresh(0x0500);
    r.cx = 0x1999;
    r.dx = 0x1231;
    bios_int(0x1a, &r);
    r = fresh(0x0400);
    bios_int(0x1a, &r);
    check("int1a.05/sets the date", !carry(&r) && r.cx == 0x1999 && r.dx == 0x1231);

    poke32(0, 0x4a * 4, (uint32_t)SEG << 16 | (uint32_t)hook_4a);
    r = fresh(0x0300);
    r.cx = 0x1000;
    r.dx = 0x0000;
    bios_int(0x1a, &r);
    r = fresh(0x0600);
    r.cx = 0x1000;
    r.dx = 0x0200;
    bios_int(0x1a, &r);
    check("int1a.06/alarm", !carry(&r));
    r = fresh(0x0600);
    bios_int(0x1a, &r);
    check("int1a.06/one at a time", carry(&r));
    start = ticks();
    while (!count_4a && ticks() - start < 60)
        continue;
    check("int4a/the alarm rings", count_4a == 1);
    r = fresh(0x0700);
    bios_int(0x1a, &r);
    check("int1a.07/alarm off", !carry(&r));
    r = fresh(0x7700);
    bios_int(0x1a, &r);
    check("int1a.77/unknown: carry", carry(&r));
}

/* --- PCI and tables --- */

static uint8_t sum_of(uint16_t seg, uint32_t off, uint32_t len)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + peek8(seg, (uint16_t)(off + i)));
    return sum;
}

/* Where a signature of four characters is, on 16-byte boundaries from E000:0 on; as an offset from E0000h, or -1. */
static int32_t find(uint32_t signature, uint32_t from)
{
    for (uint32_t at = from; at < 0x20000; at += 16) {
        if (peek32((uint16_t)(0xe000 + (at >> 4)), 0) == signature)
            return (int32_t)at;
    }
    return -1;
}

static void test_tables(void)
{
    int32_t at = find(0x20445352, 0); /* "RSD " */
    uint16_t seg = (uint16_t)(0xe000 + (at >> 4));
    check("acpi/RSDP", at >= 0 && peek32(seg, 4) == 0x20525450 && !sum_of(seg, 0, 20));
    at = find(0x52495024, 0x10000); /* "$PIR" */
    seg = (uint16_t)(0xe000 + (at >> 4));
    check("pir/table", at >= 0 && peek16(seg, 4) == 0x100 && !sum_of(seg, 0, peek16(seg, 6)));
    at = find(0x5f4d535f, 0x10000); /* "_SM_" */
    seg = (uint16_t)(0xe000 + (at >> 4));
    check("smbios/entry", at >= 0 && !sum_of(seg, 0, peek8(seg, 5)) && !sum_of(seg, 0x10, 15));
    if (at >= 0) {
        uint32_t table = peek32(seg, 0x18), count = peek16(seg, 0x1c), n = 0, types = 0;
        uint16_t off = 0, len = peek16(seg, 0x16);
        bool low = table < 0x100000;
        while (low && off < len && n < 100) {
            uint16_t s = (uint16_t)((table + off) >> 4);
            uint16_t o = (uint16_t)((table + off) & 15);
            uint8_t type = peek8(s, o);
            if (type < 32)
                types |= 1u << type;
            off = (uint16_t)(off + peek8(s, (uint16_t)(o + 1)));
            while (peek16((uint16_t)((table + off) >> 4), (table + off) & 15))
                off++;
            off = (uint16_t)(off + 2);
            n++;
        }
        check("smbios/structures: as many as said, no bytes left", !low || (n == count && off == len));
        check("smbios/BIOS, system, case, processor, memory", !low || (types & 0xb001b) == 0xb001b);
    }
    at = find(0x5f504d5f, 0x10000); /* "_MP_" */
    seg = (uint16_t)(0xe000 + (at >> 4));
    check("mp/pointer", at >= 0 && !sum_of(seg, 0, 16));
    if (at >= 0) {
        uint32_t table = peek32(seg, 4);
        uint16_t s = (uint16_t)(table >> 4), o = table & 15;
        check("mp/table", peek32(s, o) == 0x504d4350 && !sum_of(s, o, peek16(s, (uint16_t)(o + 4))));
    }
    at = find(0x5f32335f, 0); /* "_32_" */
    seg = (uint16_t)(0xe000 + (at >> 4));
    check("bios32/directory", at >= 0 && !sum_of(seg, 0, peek8(seg, 9) * 16u));
    if (at < 0)
        return;
    struct pm_regs p = {.eax = 0x49435024, .ebx = 0};
    call_bios32(peek32(seg, 4), &p);
    check("bios32/$PCI is there", (p.eax & 0xff) == 0 && p.ebx <= 0xf0000 && p.ecx && p.ebx + p.edx < 0x100000);
    uint32_t entry = p.ebx + p.edx;
    check_is("bios32/base of $PCI", p.ebx, 0xf0000);
    p = (struct pm_regs){.eax = 0x12345678, .ebx = 0};
    call_bios32(peek32(seg, 4), &p);
    check("bios32/unknown service is 80h", (p.eax & 0xff) == 0x80);
    p = (struct pm_regs){.eax = 0xb101};
    uint32_t flags = call_bios32(entry, &p);
    check("pci32/present, 2.10", !(flags & 1) && p.edx == 0x20494350 && (p.ebx & 0xffff) == 0x0210);
    p = (struct pm_regs){.eax = 0xb102, .ecx = 0x1237, .edx = 0x8086, .esi = 0};
    flags = call_bios32(entry, &p);
    check("pci32/finds the host bridge", !(flags & 1) && (p.ebx & 0xffff) == 0 && (p.eax & 0xff00) == 0);
    p = (struct pm_regs){.eax = 0xb103, .ecx = 0x060100, .esi = 0};
    flags = call_bios32(entry, &p);
    check("pci32/finds the ISA bridge by class", !(flags & 1) && (p.ebx & 0xffff) == 0x0008);
    p = (struct pm_regs){.eax = 0xb103, .ecx = 0x060100, .esi = 1};
    flags = call_bios32(entry, &p);
    check("pci32/no second one", (flags & 1) && (p.eax >> 8 & 0xff) == 0x86);
    p = (struct pm_regs){.eax = 0xb10a, .ebx = 0, .edi = 0};
    flags = call_bios32(entry, &p);
    check_is("pci32/reads a dword", p.ecx, 0x12378086);
    p = (struct pm_regs){.eax = 0xb109, .ebx = 8, .edi = 2};
    flags = call_bios32(entry, &p);
    check_is("pci32/reads a word", p.ecx & 0xffff, 0x7000);
    p = (struct pm_regs){.eax = 0xb10b, .ebx = 0, .ecx = 0x5a, .edi = 0x3c};
    flags = call_bios32(entry, &p);
    p = (struct pm_regs){.eax = 0xb108, .ebx = 0, .edi = 0x3c};
    call_bios32(entry, &p);
    check("pci32/writes a byte", !(flags & 1) && (p.ecx & 0xff) == 0x5a);
    p = (struct pm_regs){.eax = 0xb10a, .ebx = 0, .edi = 2};
    flags = call_bios32(entry, &p);
    check("pci32/dword at 2 is 87h", (flags & 1) && (p.eax >> 8 & 0xff) == 0x87);
}

static void test_pci(void)
{
    struct bregs r = fresh(0xb101);
    bios_int(0x1a, &r);
    check("int1a.b101/present", !carry(&r) && r.ah == 0 && r.edx == 0x20494350 && r.bx == 0x0210 && (r.al & 1));
    r = fresh(0xb102);
    r.cx = 0x7000;
    r.dx = 0x8086;
    r.si = 0;
    bios_int(0x1a, &r);
    check("int1a.b102/PIIX3 is 00:01.0", !carry(&r) && r.bx == 0x0008);
    r = fresh(0xb102);
    r.cx = 0x7000;
    r.dx = 0x8086;
    r.si = 1;
    bios_int(0x1a, &r);
    check("int1a.b102/no second: 86h", carry(&r) && r.ah == 0x86);
    r = fresh(0xb102);
    r.cx = 0;
    r.dx = 0xffff;
    r.si = 0;
    bios_int(0x1a, &r);
    check("int1a.b102/vendor FFFFh: 83h", carry(&r) && r.ah == 0x83);
    r = fresh(0xb103);
    r.ecx = 0x010180;
    r.si = 0;
    bios_int(0x1a, &r);
    check("int1a.b103/IDE is 00:01.1", !carry(&r) && r.bx == 0x0009);
    r = fresh(0xb10a);
    r.bx = 0x0009;
    r.di = 0x20;
    bios_int(0x1a, &r);
    check("int1a.b10a/bus master ports are assigned", !carry(&r) && (r.ecx & 1) && (r.ecx & 0xfff0) >= 0x1000);
    r = fresh(0xb109);
    r.bx = 0x0009;
    r.di = 0x04;
    bios_int(0x1a, &r);
    check("int1a.b109/and switched on", !carry(&r) && (r.cx & 5) == 5);
    r = fresh(0xb109);
    r.bx = 0;
    r.di = 1;
    bios_int(0x1a, &r);
    check("int1a.b109/odd register: 87h", carry(&r) && r.ah == 0x87);
    poke16(BUFFER, 0, 0x1000);
    poke16(BUFFER, 2, 0x100);
    poke16(BUFFER, 4, BUFFER);
    r = fresh(0xb10e);
    r.es = BUFFER;
    r.edi = 0;
    r.ds = 0xf000;
    bios_int(0x1a, &r);
    uint16_t len = peek16(BUFFER, 0);
    bool slot1 = false;
    for (uint16_t at = 0; at + 16 <= len; at = (uint16_t)(at + 16))
        slot1 |=
            (peek8(BUFFER, (uint16_t)(0x100 + at + 1)) >> 3) == 1 && peek8(BUFFER, (uint16_t)(0x100 + at + 2)) == 0x60;
    check("int1a.b10e/routing: slot 1 pin A is link 60h", !carry(&r) && len >= 16 && len % 16 == 0 && slot1);
    poke16(BUFFER, 0, 8);
    r = fresh(0xb10e);
    r.es = BUFFER;
    r.edi = 0;
    r.ds = 0xf000;
    bios_int(0x1a, &r);
    check("int1a.b10e/small buffer: 89h and the size", carry(&r) && r.ah == 0x89 && peek16(BUFFER, 0) == len);
    check("elcr/10 and 11 are level triggered", (inb(0x4d1) & 0x0c) == 0x0c);
}

static void test_ports(void)
{
    struct bregs r = fresh(0x0300);
    r.dx = 0;
    check_is("bda/COM1", peek16(BDA, 0), 0x3f8);
    bios_int(0x14, &r);
    check("int14.03/transmitter is empty", (r.ah & 0x60) == 0x60);
    r = fresh(0x00e3);
    r.dx = 0;
    bios_int(0x14, &r);
    outb(0x3fb, inb(0x3fb) | 0x80);
    uint16_t divisor = (uint16_t)(inb(0x3f8) | inb(0x3f9) << 8);
    outb(0x3fb, inb(0x3fb) & 0x7f);
    check("int14.00/9600 8N1", divisor == 12 && inb(0x3fb) == 0x03);
    r = fresh(0x0155);
    r.dx = 0;
    bios_int(0x14, &r);
    check("int14.01/sends", !(r.ah & 0x80));
    r = fresh(0x0300);
    r.dx = 3;
    r.ax = 0x0355;
    bios_int(0x14, &r);
    check("int14/a port that is not there", peek16(BDA, 6) || r.al == 0x55 || (r.ah & 0x80));
    poke8(BDA, 0x7c, 1);
    r = fresh(0x0200);
    r.dx = 0;
    bios_int(0x14, &r);
    check("int14.02/time-out when nothing comes", r.ah & 0x80);
}

static void verdict(void)
{
    put(failed ? "FAIL " : "PASS ");
    put_number(failed ? failed : passed);
    if (failed) {
        put(" of ");
        put_number(passed + failed);
    }
    put("\n");
    outb(0x501, failed ? 1 : 0);
}

/* Calls from virtual 8086 mode, as under EMM386 or Windows: nothing privileged but what a monitor lets pass. */
static void test_v86(void)
{
    struct pm_regs p = {.eax = 0x1200};
    check_is("v86/INT 12h: no exception", v86_int(&p, 0x12), 0);
    check_is("v86/INT 12h", p.eax & 0xffff, 639);
    clear_buffer();
    p = (struct pm_regs){.eax = 0xaaaa0203, .ebx = 0xbbbb0000, .ecx = 0xcccc0a05, .edx = 0xdddd0080};
    check_is("v86/disk read: no exception", v86_int(&p, 0x13), 0);
    uint32_t lba = (10u * 16 + 0) * 63 + 4;
    check("v86/disk read",
          !(p.edi & 1) && (p.eax & 0xff00) == 0 && peek32(BUFFER, 0) == lba && peek32(BUFFER, 1024) == lba + 2);
    check("v86/upper halves of registers",
          p.eax >> 16 == 0xaaaa && p.ebx >> 16 == 0xbbbb && p.ecx >> 16 == 0xcccc && p.edx >> 16 == 0xdddd);
    for (unsigned i = 0; i < 2; i++) {
        clear_buffer();
        p = (struct pm_regs){.eax = 0x0202, .ebx = 0, .ecx = 0x1e01, .edx = 0x0000};
        uint32_t end = v86_int(&p, 0x13);
        if (i || (!end && !(p.edi & 1))) {
            check_is("v86/floppy read: no exception", end, 0);
            check("v86/floppy read, its interrupt arrives", !(p.edi & 1) && peek32(BUFFER, 0) == 1080);
            break;
        }
    }
    poke32(SEG, 0xf000, 16u | 2u << 16);
    poke32(SEG, 0xf004, BUFFER << 16);
    poke32(SEG, 0xf008, 5);
    poke32(SEG, 0xf00c, 0);
    p = (struct pm_regs){.eax = 0x4200, .edx = 0xe0, .esi = 0xf000};
    check_is("v86/CD read: no exception", v86_int(&p, 0x13), 0);
    check("v86/CD read", !(p.edi & 1) && peek32(BUFFER, 0) == 5 && peek32(BUFFER, 2048) == 6);
    p = (struct pm_regs){.eax = 0x0100};
    check_is("v86/INT 16h: no exception", v86_int(&p, 0x16), 0);
    check("v86/INT 16h: no key", p.edi & 0x40);
    p = (struct pm_regs){.eax = 0x0200};
    check_is("v86/INT 1Ah: no exception", v86_int(&p, 0x1a), 0);
    check("v86/INT 1Ah: time", !(p.edi & 1) && is_bcd((uint8_t)(p.ecx >> 8)));
    p = (struct pm_regs){.eax = 0x0e40, .ebx = 7};
    check_is("v86/INT 10h: no exception", v86_int(&p, 0x10), 0);
    p = (struct pm_regs){.eax = 0x8600, .ecx = 0, .edx = 60000};
    check_is("v86/wait: no exception", v86_int(&p, 0x15), 0);
    check("v86/wait", !(p.edi & 1));
}

/* INT 15h function 89h; it moves and masks all interrupts. */
static void test_protected(void)
{
    static const struct {
        uint32_t base;
        uint16_t limit, access;
    } table[8] = {{0, 0, 0},
                  {BUFFER * 16, 0x3f, 0x9300},
                  {0, 0, 0x9300},
                  {SEG * 16, 0xffff, 0x9300},
                  {BUFFER * 16, 0xffff, 0x9300},
                  {SEG * 16, 0xffff, 0x9300},
                  {SEG * 16, 0xffff, 0x9b00},
                  {0, 0, 0}};
    for (unsigned i = 0; i < 8; i++) {
        poke32(BUFFER, (uint16_t)(i * 8), table[i].limit | table[i].base << 16);
        poke32(BUFFER, (uint16_t)(i * 8 + 4), table[i].access | (table[i].base >> 16 & 0xff));
    }
    check("int15.89/into protected mode, registers kept", enter_by_bios() == 1);
    check("int15.89/interrupts are masked", inb(0x21) == 0xff && inb(0xa1) == 0xff);
}

/* --- Upper halves ---
 *
 * Services from before the 386 know 16-bit registers. Programs count in ECX after MOV CX and get away with it, as long
 * as nobody leaves anything in the upper half; so each register's upper half must come back from each service. */

#define WIDE_A  1 /* what a service's interface says returns 32 bits */
#define WIDE_B  2
#define WIDE_C  4
#define WIDE_D  8
#define WIDE_SI 16
#define WIDE_DI 32

static bool halves_kept(const struct bregs *r, unsigned wide)
{
    return ((wide & WIDE_A) || r->eax >> 16 == 0x1111) && ((wide & WIDE_B) || r->ebx >> 16 == 0x2222) &&
           ((wide & WIDE_C) || r->ecx >> 16 == 0x3333) && ((wide & WIDE_D) || r->edx >> 16 == 0x4444) &&
           ((wide & WIDE_SI) || r->esi >> 16 == 0x5555) && ((wide & WIDE_DI) || r->edi >> 16 == 0x6666) &&
           r->ebp >> 16 == 0x7777 && r->fs == 0x1234 && r->gs == 0x5678;
}

struct call {
    uint16_t ax, bx, cx, dx;
    unsigned wide;
};

static const struct call video_calls[] = {
    {0x0003, 0, 0, 0, 0},      {0x0100, 0, 0x0607, 0, 0}, {0x0200, 0, 0, 0x0203, 0},     {0x0300, 0, 0, 0, 0},
    {0x0400, 0, 0, 0, 0},      {0x0500, 0, 0, 0, 0},      {0x0601, 0x700, 0, 0x0203, 0}, {0x0701, 0x700, 0, 0x0203, 0},
    {0x0800, 0, 0, 0, 0},      {0x0941, 7, 1, 0, 0},      {0x0a41, 7, 1, 0, 0},          {0x0b00, 0, 0, 0, 0},
    {0x0e0d, 7, 0, 0, 0},      {0x0f00, 0, 0, 0, 0},      {0x1003, 1, 0, 0, 0},          {0x1007, 1, 0, 0, 0},
    {0x1008, 0, 0, 0, 0},      {0x1009, 0, 0, 0x8000, 0}, {0x1015, 1, 0, 0, 0},          {0x1017, 0, 16, 0x8000, 0},
    {0x1018, 0xff, 0, 0, 0},   {0x1019, 0, 0, 0, 0},      {0x101a, 0, 0, 0, 0},          {0x1130, 0x0600, 0, 0, 0},
    {0x1130, 0x0200, 0, 0, 0}, {0x1200, 0x10, 0, 0, 0},   {0x1202, 0x30, 0, 0, 0},       {0x1200, 0x33, 0, 0, 0},
    {0x1200, 0x36, 0, 0, 0},   {0x1300, 7, 1, 0x0101, 0}, {0x1a00, 0, 0, 0, 0},          {0x1b00, 0, 0, 0, 0},
    {0x1c00, 0, 7, 0, 0},      {0x4f00, 0, 0, 0, 0},      {0x4f01, 0, 0x101, 0, 0},      {0x4f01, 0, 0x118, 0, 0},
    {0x4f02, 0x101, 0, 0, 0},  {0x4f03, 0, 0, 0, 0},      {0x4f04, 0, 7, 0, 0},          {0x4f05, 0x100, 0, 0, 0},
    {0x4f05, 0, 0, 1, 0},      {0x4f06, 1, 0, 0, 0},      {0x4f06, 0, 1024, 0, 0},       {0x4f06, 3, 0, 0, 0},
    {0x4f07, 1, 0, 0, 0},      {0x4f07, 0, 0, 1, 0},      {0x4f08, 1, 0, 0, 0},          {0x4f08, 0x800, 0, 0, 0},
    {0x4f09, 1, 16, 0, 0},     {0x4f0a, 0, 0, 0, 0},      {0x4f10, 0, 0, 0, 0},          {0x4f15, 0, 0, 0, 0},
    {0x4fff, 0, 0, 0, 0},      {0x0012, 0, 0, 0, 0},      {0x0c07, 0, 3, 4, 0},          {0x0d00, 0, 3, 4, 0},
    {0x0e41, 7, 0, 0, 0},      {0x0013, 0, 0, 0, 0},      {0x0c07, 0, 3, 4, 0},          {0x0d00, 0, 3, 4, 0},
    {0x0003, 0, 0, 0, 0},      {0xff00, 0, 0, 0, 0},
};

static const struct call disk_calls[] = {
    {0x0000, 0, 0, 0x00, 0},        {0x0100, 0, 0, 0x00, 0},      {0x0201, 0, 0x1e01, 0x00, 0},
    {0x0201, 0, 0x1e01, 0x00, 0},   {0x0401, 0, 0x1e01, 0x00, 0}, {0x0201, 0, 0x1e20, 0x00, 0},
    {0x0800, 0, 0, 0x00, 0},        {0x0800, 0, 0, 0x05, 0},      {0x1500, 0, 0, 0x00, 0},
    {0x1600, 0, 0, 0x00, 0},        {0x1704, 0, 0, 0x00, 0},      {0x1800, 0, 0x4f12, 0x00, 0},
    {0x4100, 0x55aa, 0, 0x00, 0},   {0x0000, 0, 0, 0x80, 0},      {0x0100, 0, 0, 0x80, 0},
    {0x0202, 0, 0x0505, 0x80, 0},   {0x0302, 0, 0x0505, 0x80, 0}, {0x0401, 0, 0x0505, 0x80, 0},
    {0x0201, 0, 0x053f, 0x5080, 0}, {0x0800, 0, 0, 0x80, 0},      {0x0800, 0, 0, 0x85, 0},
    {0x0900, 0, 0, 0x80, 0},        {0x0c00, 0, 0x0505, 0x80, 0}, {0x0d00, 0, 0, 0x80, 0},
    {0x1000, 0, 0, 0x80, 0},        {0x1100, 0, 0, 0x80, 0},      {0x1400, 0, 0, 0x80, 0},
    {0x1500, 0, 0, 0x80, 0},        {0x1500, 0, 0, 0x85, 0},      {0x4100, 0x55aa, 0, 0x80, 0},
    {0x4200, 0, 0, 0x80, 0},        {0x4300, 0, 0, 0x80, 0},      {0x4400, 0, 0, 0x80, 0},
    {0x4500, 0, 0, 0x80, 0},        {0x4700, 0, 0, 0x80, 0},      {0x4800, 0, 0, 0x80, 0},
    {0x4e01, 0, 0, 0x80, 0},        {0x4100, 0x55aa, 0, 0xe0, 0}, {0x4200, 0, 0, 0xe0, 0},
    {0x4500, 0, 0, 0xe0, 0},        {0x4800, 0, 0, 0xe0, 0},      {0x4b01, 0, 0, 0xe0, 0},
    {0xff00, 0, 0, 0x80, 0},
};

static const struct call serial_calls[] = {
    {0x00e3, 0, 0, 0, 0}, {0x0155, 0, 0, 0, 0}, {0x0200, 0, 0, 0, 0},
    {0x0300, 0, 0, 0, 0}, {0x0300, 0, 0, 3, 0}, {0xff00, 0, 0, 0, 0},
};

static const struct call system_calls[] = {
    {0x2400, 0, 0, 0, 0},
    {0x2401, 0, 0, 0, 0},
    {0x2402, 0, 0, 0, 0},
    {0x2403, 0, 0, 0, 0},
    {0x4f1e, 0, 0, 0, 0},
    {0x5300, 0, 0, 0, 0},
    {0x5302, 0, 0, 0, 0},
    {0x530a, 1, 0, 0, 0},
    {0x530b, 0, 0, 0, 0},
    {0x530c, 1, 0, 0, 0},
    {0x530e, 0, 0x102, 0, 0},
    {0x5304, 0, 0, 0, 0},
    {0x5303, 0, 0, 0, WIDE_B | WIDE_SI},
    {0x5304, 0, 0, 0, 0},
    {0x5301, 0, 0, 0, 0},
    {0x5305, 0, 0, 0, 0},
    {0x5304, 0, 0, 0, 0},
    {0x8001, 0, 0, 0, 0},
    {0x8300, 0x9000, 0, 1000, 0},
    {0x8301, 0, 0, 0, 0},
    {0x8400, 0, 0, 1, 0},
    {0x8600, 0, 0, 60000, 0},
    {0x8700, 0, 16, 0, 0},
    {0x8800, 0, 0, 0, 0},
    {0x9000, 0, 0, 0, 0},
    {0x9100, 0, 0, 0, 0},
    {0xc000, 0, 0, 0, 0},
    {0xc100, 0, 0, 0, 0},
    {0xc205, 0x300, 0, 0, 0},
    {0xc201, 0, 0, 0, 0},
    {0xc202, 0x500, 0, 0, 0},
    {0xc203, 0x300, 0, 0, 0},
    {0xc204, 0, 0, 0, 0},
    {0xc206, 0, 0, 0, 0},
    {0xe801, 0, 0, 0, 0},
    {0xe820, 0, 20, 0, 0},
    {0xe881, 0, 0, 0, WIDE_A | WIDE_B | WIDE_C | WIDE_D},
    {0xff00, 0, 0, 0, 0},
};

static const struct call key_calls[] = {
    {0x0100, 0, 0, 0, 0}, {0x0200, 0, 0, 0, 0}, {0x0305, 0, 0, 0, 0}, {0x0500, 0, 0x1e61, 0, 0},
    {0x0100, 0, 0, 0, 0}, {0x0000, 0, 0, 0, 0}, {0x0900, 0, 0, 0, 0}, {0x0500, 0, 0x1e61, 0, 0},
    {0x1100, 0, 0, 0, 0}, {0x1000, 0, 0, 0, 0}, {0x0a00, 0, 0, 0, 0}, {0x1200, 0, 0, 0, 0},
    {0xa200, 0, 0, 0, 0}, {0xff00, 0, 0, 0, 0},
};

static const struct call printer_calls[] = {{0x0200, 0, 0, 0, 0}, {0x0200, 0, 0, 3, 0}, {0xff00, 0, 0, 0, 0}};

static const struct call clock_calls[] = {
    {0x0000, 0, 0, 0, 0},           {0x0200, 0, 0, 0, 0},           {0x0400, 0, 0, 0, 0},
    {0x0600, 0, 0x2359, 0x5900, 0}, {0x0700, 0, 0, 0, 0},           {0xb101, 0, 0, 0, WIDE_D | WIDE_DI},
    {0xb102, 0, 0x7000, 0x8086, 0}, {0xb102, 0, 0xffff, 0x8086, 0}, {0xb108, 8, 0, 0, 0},
    {0xb109, 8, 0, 0, 0},           {0xb10a, 8, 0, 0, WIDE_C},      {0xb10b, 8, 0, 0, 0},
    {0xb10c, 8, 0, 0, 0},           {0xb10d, 8, 0, 0, 0},           {0xb10e, 0, 0, 0, 0},
    {0xff00, 0, 0, 0, 0},
};

static const struct call one_call[] = {{0x0000, 0, 0, 0, 0}};

static void check_halves(const char *name, uint8_t vector, const struct call *calls, unsigned count)
{
    bool good = true;
    for (unsigned i = 0; i < count; i++) {
        const struct call *c = &calls[i];
        clear_buffer();
        make_dap(7, 0, 1, BUFFER, 0);
        if (vector == 0x13 && c->ax == 0x4800)
            poke16(SEG, 0xf000, 30);
        for (uint16_t at = 0; at < 0x30; at += 4)
            poke32(BUFFER, (uint16_t)(0xf000 + at), (at & 7) ? 0x9300 | BUFFER >> 12 : 0xffff | (uint32_t)BUFFER << 20);
        struct bregs r = fresh(c->ax);
        r.bx = c->bx;
        r.cx = c->cx;
        r.dx = c->dx;
        r.si = 0xf000;
        r.bp = 0x8000;
        if (vector == 0x10 && c->ax == 0x4f09)
            r.di = 0x9000;
        else if (vector == 0x10 || (vector == 0x1a && c->ax == 0xb10e))
            r.di = 0x8000;
        else if (c->ax == 0xe820)
            r.edx = 0x534d4150;
        r.es = BUFFER;
        struct bregs before = r;
        bios_int(vector, &r);
        if (c->ax == 0xe820) { /* all of EAX to EDX, of which the last stays */
            r.eax = before.eax;
            r.ebx = before.ebx;
            r.ecx = before.ecx;
            if (r.edx == before.edx)
                r.edx = 0x44440000;
        }
        if (halves_kept(&r, c->wide))
            continue;
        good = false;
        put("# AX=");
        put_hex(before.ax);
        put(" BX=");
        put_hex(before.bx);
        put(": ");
        const uint32_t now[] = {r.eax, r.ebx, r.ecx, r.edx, r.esi, r.edi, r.ebp};
        for (unsigned k = 0; k < sizeof(now) / sizeof(now[0]); k++) {
            put(" ");
            put_hex(now[k]);
        }
        put("\n");
    }
    check(name, good);
}

#define HALVES(vector, calls) \
    check_halves("halves/INT " #vector "h keeps them", 0x##vector, calls, sizeof(calls) / sizeof(calls[0]))

static void test_halves(void)
{
    HALVES(08, one_call); /* the timer's and the disk's interrupt, as if they had come */
    HALVES(10, video_calls);
    HALVES(11, one_call);
    HALVES(12, one_call);
    HALVES(13, disk_calls);
    HALVES(14, serial_calls);
    HALVES(15, system_calls);
    drain();
    HALVES(16, key_calls);
    HALVES(17, printer_calls);
    HALVES(1a, clock_calls);
    HALVES(70, one_call);
    HALVES(76, one_call);
    drain();
}

/* At the end: interrupts do not work after this until somebody sets the controllers up again. */
static void test_reset(void)
{
    static const char *const names[] = {
        "reset/port 92h, shutdown byte 0Ah: comes back", "reset/keyboard controller, shutdown byte 0Ah: comes back",
        "reset/triple fault, shutdown byte 0Ah: comes back", "reset/CF9h, shutdown byte 0Ah: comes back"};
    for (unsigned way = 0; way < 4; way++) {
        reset_and_resume(way);
        outb(0x70, 0x8f);
        check(names[way], inb(0x71) == 0); /* and the byte is used up */
    }
}

/* Booted from a CD, the image looking like a floppy (1), a hard disk (2), or nothing (3). */
static void test_boot_cd(uint32_t boot_drive, unsigned medium)
{
    static const uint8_t number[] = {0, 0x00, 0x80, 0xe0}, media[] = {0, 2, 4, 0};
    struct bregs r;

    check_is("cdboot/drive number", boot_drive & 0xff, number[medium]);
    for (uint16_t i = 0; i < 0x20; i++)
        poke8(SEG, (uint16_t)(0xf000 + i), 0);
    r = extended(0x4b01, boot_drive & 0xff);
    bios_int(0x13, &r);
    check("int13.4b/status", !carry(&r) && r.ah == 0);
    check("int13.4b/packet: size, medium, drive", peek8(SEG, 0xf000) == 0x13 &&
                                                      (peek8(SEG, 0xf001) & 15) == media[medium] &&
                                                      peek8(SEG, 0xf002) == number[medium]);
    check("int13.4b/packet: controller and device, image's block",
          peek8(SEG, 0xf003) == 1 && peek16(SEG, 0xf008) == 0 && peek32(SEG, 0xf004) == 20);
    if (medium == 3) {
        clear_buffer();
        make_dap(100, 0, 2, BUFFER, 0);
        r = extended(0x4200, 0xe0);
        bios_int(0x13, &r);
        check("cdboot/blocks of the CD", !carry(&r) && peek32(BUFFER, 0) == 100 && peek32(BUFFER, 2048) == 101);
        check_is("cdboot/a disk is still 80h", peek8(BDA, 0x75), 1);
        return;
    }
    unsigned drive = boot_drive & 0xff;
    r = fresh(0x0800);
    r.dx = (uint16_t)drive;
    bios_int(0x13, &r);
    check("cdboot/geometry: 2 heads, 18 sectors", !carry(&r) && r.dh == 1 && (r.cl & 63) == 18);
    clear_buffer();
    r = chs(0x0212, drive, 10, 0, 1);
    bios_int(0x13, &r);
    bool good = !carry(&r) && r.al == 18;
    for (uint16_t i = 0; i < 18; i++)
        good &= peek32(BUFFER, (uint16_t)(i * 512)) == 360u + i;
    check("cdboot/a track", good && peek32(BUFFER, 18 * 512) == 0xeeeeeeee);
    clear_buffer();
    r = chs(0x0203, drive, 10, 1, 3); /* begins and ends inside blocks of the CD */
    bios_int(0x13, &r);
    check("cdboot/three sectors",
          !carry(&r) && peek32(BUFFER, 0) == 380 && peek32(BUFFER, 1024) == 382 && peek32(BUFFER, 1536) == 0xeeeeeeee);
    r = chs(0x0301, drive, 10, 0, 1);
    bios_int(0x13, &r);
    check("cdboot/write-protected", carry(&r) && r.ah == 0x03);
    r = chs(0x0201, drive, 80, 0, 1);
    bios_int(0x13, &r);
    check("cdboot/beyond its end", carry(&r));
    if (medium == 2) {
        check_is("cdboot/two disks", peek8(BDA, 0x75), 2);
        clear_buffer();
        make_dap(5000, 0, 1, BUFFER, 0);
        r = extended(0x4200, 0x81);
        bios_int(0x13, &r);
        check("cdboot/the real disk is 81h", !carry(&r) && peek32(BUFFER, 0) == 5000);
    } else {
        r = fresh(0);
        bios_int(0x11, &r);
        check("cdboot/two floppy drives", (r.ax & 0xc1) == 0x41);
        for (unsigned i = 0; i < 3; i++) { /* a new medium is told once */
            clear_buffer();
            r = chs(0x0201, 1, 30, 0, 1);
            bios_int(0x13, &r);
            if (!carry(&r))
                break;
        }
        check("cdboot/the real floppy drive is B:", !carry(&r) && peek32(BUFFER, 0) == 1080 && r.dl == 1);
    }
    make_dap(100, 0, 1, BUFFER, 0);
    r = extended(0x4200, 0xe0);
    bios_int(0x13, &r);
    check("cdboot/the whole CD is E0h", !carry(&r) && peek32(BUFFER, 0) == 320); /* block 100 is image sector 320 */
    r = extended(0x4b00, drive);
    bios_int(0x13, &r);
    check("int13.4b00/ends the emulation", !carry(&r));
    clear_buffer();
    if (medium == 2) {
        make_dap(5000, 0, 1, BUFFER, 0);
        r = extended(0x4200, 0x80);
        bios_int(0x13, &r);
        check("int13.4b00/the disk is 80h again", !carry(&r) && peek32(BUFFER, 0) == 5000 && peek8(BDA, 0x75) == 1);
    } else {
        r = chs(0x0201, 0, 30, 0, 1);
        bios_int(0x13, &r);
        check("int13.4b00/the floppy is A: again", !carry(&r) && peek32(BUFFER, 0) == 1080);
    }
}

void guest_main(uint32_t boot_drive)
{
    unsigned medium = peek8(0, 0x7c00 + 508);
    if (medium) {
        test_boot_cd(boot_drive, medium);
        verdict();
    }

    check_is("boot/DL is the drive", boot_drive & 0xff, 0);
    test_memory();
    test_system();
    test_floppy();
    test_stacks();
    if (peek8(0, 0x7c00 + 509) & 2) { /* run.py: SeaBIOS does not survive the first, nor have the second */
        test_deep_hooks();
        test_interrupts_off();
    }
    test_hd();
    test_cd();
    test_keyboard();
    test_mouse();
    test_clock();
    test_pci();
    test_tables();
    test_ports();
    test_halves();
    test_v86();
    test_protected();
    if (peek8(0, 0x7c00 + 509) & 1) /* the video BIOS is ours, too */
        test_monitor();
    if (peek8(0, 0x7c00 + 509) & 1) /* run.py says that the machine has the shutdown byte */
        test_reset();
    verdict();
}
