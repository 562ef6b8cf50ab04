/* INT 11h, 12h and 15h: equipment, memory, system services.
 *
 * IBM PS/2 BIOS Interface Technical Reference; ACPI 1.0b chapter 14 (E820h).
 */
#include "bios.h"

void handle_11(struct bregs *regs)
{
    regs->ax = peek16(BDA_SEG, BDA_EQUIPMENT);
}

void handle_12(struct bregs *regs)
{
    regs->ax = peek16(BDA_SEG, BDA_MEM_KIB);
}

static void unsupported(struct bregs *regs)
{
    regs->ah = 0x86;
    set_cf(regs, true);
}

static void good(struct bregs *regs)
{
    regs->ah = 0;
    set_cf(regs, false);
}

/* --- A20 --- */

static void a20_15(struct bregs *regs)
{
    switch (regs->al) {
    case 0x00:
    case 0x01:
        outb(0x92, (uint8_t)((inb(0x92) & ~3) | (regs->al ? 2 : 0)));
        good(regs);
        break;
    case 0x02:
        good(regs);
        regs->al = inb(0x92) >> 1 & 1;
        break;
    case 0x03:
        good(regs);
        regs->bx = 0x0003; /* keyboard controller and port 92h */
        break;
    default:
        unsupported(regs);
        break;
    }
}

/* --- Memory --- */

static uint32_t kib_above(uint32_t from, uint32_t limit_kib)
{
    if (memory_below_4g <= from)
        return 0;
    uint32_t kib = (memory_below_4g - from) >> 10;
    return kib > limit_kib ? limit_kib : kib;
}

static void e820(struct bregs *regs)
{
    if (regs->edx != 0x534d4150 || regs->ecx < 20 || regs->ebx >= e820_count) {
        regs->ah = 0x86;
        set_cf(regs, true);
        return;
    }
    const struct e820_entry *e = &e820_map[regs->ebx];
    poke32(regs->es, regs->di, (uint32_t)e->base);
    poke32(regs->es, (uint16_t)(regs->di + 4), (uint32_t)(e->base >> 32));
    poke32(regs->es, (uint16_t)(regs->di + 8), (uint32_t)e->size);
    poke32(regs->es, (uint16_t)(regs->di + 12), (uint32_t)(e->size >> 32));
    poke32(regs->es, (uint16_t)(regs->di + 16), e->type);
    /* However much room there is: ACPI 3's four bytes more would say nothing, and old callers take 20 only. */
    regs->eax = 0x534d4150;
    regs->ecx = 20;
    regs->ebx = regs->ebx + 1 < e820_count ? regs->ebx + 1 : 0;
    set_cf(regs, false);
}

static void e801(struct bregs *regs, bool wide)
{
    uint32_t low = kib_above(0x100000, 15 * 1024), high = kib_above(0x1000000, 0xffffffff) >> 6;
    if (wide) {
        regs->eax = regs->ecx = low;
        regs->ebx = regs->edx = high;
    } else {
        regs->ax = regs->cx = (uint16_t)low;
        regs->bx = regs->dx = (uint16_t)(high > 0xffff ? 0xffff : high);
    }
    set_cf(regs, false);
}

/* Block move: ES:SI is a descriptor table; we fill in what the AT fills in. */
static void move_15(struct bregs *regs)
{
    uint16_t es = regs->es, si = regs->si;
    uint32_t table = es * 16u + si;

    if (regs->cx > 0x8000) {
        regs->ah = 0x02;
        set_cf(regs, true);
        return;
    }
    if (is_protected()) {
        /* A V86 monitor serves this call itself; from here we cannot leave V86 mode. */
        regs->ah = 0x03;
        set_cf(regs, true);
        return;
    }
    uint8_t a20 = inb(0x92);
    outb(0x92, (uint8_t)((a20 & ~1) | 2));
    poke32(es, (uint16_t)(si + 0x08), (table & 0xffff) << 16 | 0x2f);
    poke32(es, (uint16_t)(si + 0x0c), 0x9300 | table >> 16);
    poke32(es, (uint16_t)(si + 0x20), 0x0000ffff);
    poke32(es, (uint16_t)(si + 0x24), 0x00009b0f); /* code at F0000h */
    poke32(es, (uint16_t)(si + 0x28), 0x0000ffff);
    poke32(es, (uint16_t)(si + 0x2c), 0x0000930e); /* E0000h: real-mode limits again */
    block_move(table, regs->cx);
    if (!(a20 & 2))
        outb(0x92, (uint8_t)(a20 & ~3));
    regs->ah = 0;
    set_cf(regs, false);
    set_zf(regs, true);
}

/* Into protected mode, for good: ES:SI is the table, BH and BL the new interrupt bases. */
static void switch_15(struct bregs *regs)
{
    uint16_t es = regs->es, si = regs->si;

    if (is_protected()) {
        unsupported(regs);
        return;
    }
    outb(0x92, (uint8_t)((inb(0x92) & ~1) | 2));
    for (unsigned chip = 0; chip < 2; chip++) {
        uint16_t port = chip ? 0xa0 : 0x20;
        outb(port, 0x11);
        outb((uint16_t)(port + 1), chip ? regs->bl : regs->bh);
        outb((uint16_t)(port + 1), chip ? 2 : 4);
        outb((uint16_t)(port + 1), 1);
        outb((uint16_t)(port + 1), 0xff);
    }
    poke32(es, (uint16_t)(si + 0x38), 0x0000ffff);
    poke32(es, (uint16_t)(si + 0x3c), 0x00009b0f);
    pm_gdtr.limit = peek16(es, (uint16_t)(si + 0x08));
    pm_gdtr.base = peek32(es, (uint16_t)(si + 0x0a)) & 0xffffff;
    pm_idtr.limit = peek16(es, (uint16_t)(si + 0x10));
    pm_idtr.base = peek32(es, (uint16_t)(si + 0x12)) & 0xffffff;
    enter_protected(regs);
}

/* --- INT 15h --- */

void handle_15(struct bregs *regs)
{
    switch (regs->ah) {
    case 0x24:
        a20_15(regs);
        break;
    case 0x41: /* wait for an external event: not on AT and later */
    case 0x4f: /* keyboard hook: leave the key as it is, and let the BIOS have it */
        if (regs->ah == 0x4f)
            set_cf(regs, true);
        else
            unsupported(regs);
        break;
    case 0x52: /* medium is about to be ejected: nobody minds */
        good(regs);
        break;
    case 0x53:
        apm_15(regs);
        break;
    case 0x80:
    case 0x81:
    case 0x82: /* device open, close, program end: for those who hook */
    case 0x85: /* Sys Req */
    case 0x90: /* device busy */
    case 0x91: /* device interrupt is there */
        good(regs);
        break;
    case 0x83:
        clock_15_83(regs);
        break;
    case 0x84: /* joystick: no game port answers */
        unsupported(regs);
        break;
    case 0x86:
        clock_15_86(regs);
        break;
    case 0x87:
        move_15(regs);
        break;
    case 0x88:
        regs->ax = (uint16_t)kib_above(0x100000, 0xfc00);
        set_cf(regs, false);
        break;
    case 0x89:
        switch_15(regs);
        break;
    case 0xc0:
        regs->es = CODE_SEG;
        regs->bx = (uint16_t)(uint32_t)config_table;
        good(regs);
        break;
    case 0xc1:
        regs->es = ebda_seg();
        set_cf(regs, false);
        break;
    case 0xc2:
        mouse_15(regs);
        break;
    case 0xe8:
        if (regs->al == 0x20) {
            e820(regs);
        } else if (regs->al == 0x01) {
            e801(regs, false);
        } else if (regs->al == 0x81) {
            e801(regs, true);
        } else {
            log_unknown("int 15", regs);
            unsupported(regs);
        }
        break;
    case 0xec: /* the operating system says in which mode it will run */
        if (regs->al == 0x00)
            good(regs);
        else
            unsupported(regs);
        break;
    default:
        log_unknown("int 15", regs);
        unsupported(regs);
        break;
    }
}
