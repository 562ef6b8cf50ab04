/* Serial and parallel ports, printing the screen: INT 14h, 17h, 05h.
 *
 * IBM AT Technical Reference; National Semiconductor PC16550D.
 */
#include "bios.h"

#define LSR      5
#define MSR      6
#define LSR_DR   0x01
#define LSR_THRE 0x20

static bool has_uart(uint16_t base)
{
    uint16_t scratch = (uint16_t)(base + 7);
    if (inb((uint16_t)(base + 2)) & 0x30) /* always zero in IIR */
        return false;
    outb(scratch, 0x5a);
    if (inb(scratch) != 0x5a)
        return false;
    outb(scratch, 0xa5);
    return inb(scratch) == 0xa5;
}

static bool has_lpt(uint16_t base)
{
    outb((uint16_t)(base + 2), 0x04);
    outb(base, 0xaa);
    if (inb(base) != 0xaa)
        return false;
    outb(base, 0x55);
    return inb(base) == 0x55;
}

void serial_init(void)
{
    static const uint16_t com[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8}, lpt[] = {0x3bc, 0x378, 0x278};
    uint16_t found = 0, equipment = peek16(BDA_SEG, BDA_EQUIPMENT);

    for (unsigned i = 0; i < 4; i++) {
        if (has_uart(com[i])) {
            outb((uint16_t)(com[i] + 1), 0);
            poke16(BDA_SEG, (uint16_t)(BDA_COM + found * 2), com[i]);
            poke8(BDA_SEG, (uint16_t)(BDA_COM_TIMEOUT + found), 10);
            found++;
            printf("com%u: %03xh\n", found, com[i]);
        }
    }
    equipment = (uint16_t)((equipment & ~0x0e00) | found << 9);
    found = 0;
    for (unsigned i = 0; i < 3; i++) {
        if (has_lpt(lpt[i])) {
            poke16(BDA_SEG, (uint16_t)(BDA_LPT + found * 2), lpt[i]);
            poke8(BDA_SEG, (uint16_t)(BDA_LPT_TIMEOUT + found), 20);
            found++;
            printf("lpt%u: %03xh\n", found, lpt[i]);
        }
    }
    equipment = (uint16_t)((equipment & ~0xc000) | found << 14);
    poke16(BDA_SEG, BDA_EQUIPMENT, equipment);
}

static void report_line(struct bregs *regs, uint16_t base)
{
    regs->ah = inb((uint16_t)(base + LSR));
    regs->al = inb((uint16_t)(base + MSR));
}

/* Bits in the line status and modem status registers, all of them, before the BDA's time-out (about 55 ms each). */
static bool wait_lines(uint16_t base, uint8_t number, uint8_t lsr, uint8_t msr)
{
    struct timeout t = timeout_start(peek8(BDA_SEG, (uint16_t)(BDA_COM_TIMEOUT + number)) * 55u);
    do {
        if ((inb((uint16_t)(base + LSR)) & lsr) == lsr && (inb((uint16_t)(base + MSR)) & msr) == msr)
            return true;
        yield();
    } while (!timeout_passed(&t));
    return false;
}

void handle_14(struct bregs *regs)
{
    static const uint16_t divisors[] = {1047, 768, 384, 192, 96, 48, 24, 12};
    static const uint32_t rates[] = {110, 150, 300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200};
    uint16_t base = regs->dx < 4 ? peek16(BDA_SEG, (uint16_t)(BDA_COM + regs->dx * 2)) : 0;

    if (!base) /* as the AT: an absent port leaves everything alone */
        return;
    switch (regs->ah) {
    case 0x00: {
        uint16_t divisor = divisors[regs->al >> 5];
        outb((uint16_t)(base + 3), 0x80);
        outb(base, (uint8_t)divisor);
        outb((uint16_t)(base + 1), (uint8_t)(divisor >> 8));
        outb((uint16_t)(base + 3), regs->al & 0x1f);
        outb((uint16_t)(base + 1), 0);
        report_line(regs, base);
        break;
    }
    case 0x01: {
        outb((uint16_t)(base + 4), inb((uint16_t)(base + 4)) | 0x03);
        bool ready = wait_lines(base, (uint8_t)regs->dx, LSR_THRE, 0);
        if (ready)
            outb(base, regs->al);
        regs->ah = (uint8_t)(inb((uint16_t)(base + LSR)) | (ready ? 0 : 0x80));
        break;
    }
    case 0x02: {
        outb((uint16_t)(base + 4), inb((uint16_t)(base + 4)) | 0x01);
        bool ready = wait_lines(base, (uint8_t)regs->dx, LSR_DR, 0);
        if (ready) {
            regs->ah = inb((uint16_t)(base + LSR)) & 0x1e;
            regs->al = inb(base);
        } else {
            regs->ah = (uint8_t)(inb((uint16_t)(base + LSR)) | 0x80);
        }
        break;
    }
    case 0x03:
        report_line(regs, base);
        break;
    case 0x04: /* extended initialisation: AL break, BH parity, BL stop bits, CH word length, CL rate */
        if (regs->cl >= 12 || regs->bh > 4 || regs->bl > 1 || regs->ch > 3)
            break;
        {
            static const uint8_t parity[] = {0x00, 0x08, 0x18, 0x28, 0x38};
            uint32_t divisor = 115200 / rates[regs->cl];
            outb((uint16_t)(base + 3), 0x80);
            outb(base, (uint8_t)divisor);
            outb((uint16_t)(base + 1), (uint8_t)(divisor >> 8));
            outb((uint16_t)(base + 3), (uint8_t)((regs->al ? 0x40 : 0) | parity[regs->bh] | regs->bl << 2 | regs->ch));
        }
        report_line(regs, base);
        break;
    case 0x05: /* modem control register */
        if (regs->al == 0) {
            regs->bl = inb((uint16_t)(base + 4));
        } else {
            outb((uint16_t)(base + 4), regs->bl);
            report_line(regs, base);
        }
        break;
    default:
        log_unknown("int 14", regs);
        break;
    }
}

/* --- Parallel ports --- */

/* The status register as the BIOS shows it: ACK and ERROR are active low on the wire. */
static uint8_t printer_status(uint16_t base)
{
    return (uint8_t)((inb((uint16_t)(base + 1)) ^ 0x48) & 0xf8);
}

void handle_17(struct bregs *regs)
{
    uint16_t base = regs->dx < 3 ? peek16(BDA_SEG, (uint16_t)(BDA_LPT + regs->dx * 2)) : 0;

    if (!base)
        return;
    switch (regs->ah) {
    case 0x00: {
        struct timeout t = timeout_start(peek8(BDA_SEG, (uint16_t)(BDA_LPT_TIMEOUT + regs->dx)) * 55u);
        bool ready = false;
        outb(base, regs->al);
        do {
            ready = inb((uint16_t)(base + 1)) & 0x80; /* not busy */
            if (!ready)
                yield();
        } while (!ready && !timeout_passed(&t));
        if (ready) {
            outb((uint16_t)(base + 2), 0x0d); /* strobe */
            outb((uint16_t)(base + 2), 0x0c);
        }
        regs->ah = (uint8_t)(printer_status(base) | (ready ? 0 : 0x01));
        break;
    }
    case 0x01:
        outb((uint16_t)(base + 2), 0x08);
        delay_ms(1);
        outb((uint16_t)(base + 2), 0x0c);
        regs->ah = printer_status(base);
        break;
    case 0x02:
        regs->ah = printer_status(base);
        break;
    default:
        log_unknown("int 17", regs);
        break;
    }
}

/* --- Print screen --- */

static bool print_char(uint8_t c)
{
    struct bregs regs;
    memset(&regs, 0, sizeof(regs));
    regs.al = c;
    call_int(0x17, &regs);
    return !(regs.ah & 0x29); /* time-out, error, out of paper */
}

void handle_05(struct bregs *regs)
{
    struct bregs video, cursor;

    if (peek8(BDA_SEG, BDA_PRINT_SCREEN) == 1 || !peek16(BDA_SEG, BDA_LPT))
        return;
    poke8(BDA_SEG, BDA_PRINT_SCREEN, 1);
    memset(&video, 0, sizeof(video));
    video.ah = 0x0f;
    call_int(0x10, &video);
    uint8_t columns = video.ah, page = video.bh, rows = peek8(BDA_SEG, 0x84);
    memset(&cursor, 0, sizeof(cursor));
    cursor.ah = 0x03;
    cursor.bh = page;
    call_int(0x10, &cursor);
    bool good = print_char('\r') && print_char('\n');
    for (unsigned row = 0; good && row <= (rows ? rows : 24u); row++) {
        for (unsigned column = 0; good && column < columns; column++) {
            struct bregs cell;
            memset(&cell, 0, sizeof(cell));
            cell.ah = 0x02;
            cell.bh = page;
            cell.dh = (uint8_t)row;
            cell.dl = (uint8_t)column;
            call_int(0x10, &cell);
            cell.ah = 0x08;
            cell.bh = page;
            call_int(0x10, &cell);
            good = print_char(cell.al ? cell.al : ' ');
        }
        good = good && print_char('\r') && print_char('\n');
    }
    cursor.ah = 0x02;
    cursor.bh = page;
    call_int(0x10, &cursor);
    poke8(BDA_SEG, BDA_PRINT_SCREEN, good ? 0 : 0xff);
}
