/* Text to the debug port and the screen, time-outs, CMOS. */
#include "bios.h"

#include <stdarg.h>

void *memset(void *to, int byte, size_t len)
{
    uint8_t *at = to;
    while (len--)
        *at++ = (uint8_t)byte;
    return to;
}

void *memcpy(void *to, const void *from, size_t len)
{
    uint8_t *d = to;
    const uint8_t *s = from;
    while (len--)
        *d++ = *s++;
    return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;
    for (; len; len--, x++, y++) {
        if (*x != *y)
            return *x - *y;
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t len = 0;
    while (text[len])
        len++;
    return len;
}

/* --- Text --- */

#define DEBUG_PORT 0x402

/* Not from V86 mode: a monitor's I/O bitmap may end before this port. */
static void put_debug(char c)
{
    if (!is_protected())
        outb(DEBUG_PORT, (uint8_t)c);
}

static void put_screen(char c)
{
    struct bregs regs;
    memset(&regs, 0, sizeof(regs));
    if (c == '\n') {
        regs.ax = 0x0e0d;
        regs.bx = 7;
        call_int(0x10, &regs);
    }
    regs.ax = (uint16_t)(0x0e00 | (uint8_t)c);
    regs.bx = 7;
    call_int(0x10, &regs);
    put_debug(c);
}

static void put_number(void (*put)(char), uint32_t value, unsigned base, unsigned width, char pad)
{
    char text[12];
    unsigned len = 0;
    do {
        text[len++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > len; width--)
        put(pad);
    while (len)
        put(text[--len]);
}

/* %c %s %d %u %x with a width, 0 before it pads with zeros. */
static void format(void (*put)(char), const char *text, va_list args)
{
    for (; *text; text++) {
        if (*text != '%') {
            put(*text);
            continue;
        }
        char pad = ' ';
        unsigned width = 0;
        if (*++text == '0')
            pad = '0';
        for (; *text >= '0' && *text <= '9'; text++)
            width = width * 10 + (unsigned)(*text - '0');
        switch (*text) {
        case 'c':
            put((char)va_arg(args, int));
            break;
        case 's':
            for (const char *s = va_arg(args, const char *); *s; s++)
                put(*s);
            break;
        case 'd': {
            int value = va_arg(args, int);
            if (value < 0)
                put('-');
            put_number(put, (uint32_t)(value < 0 ? -value : value), 10, width, pad);
            break;
        }
        case 'u':
            put_number(put, va_arg(args, uint32_t), 10, width, pad);
            break;
        case 'x':
            put_number(put, va_arg(args, uint32_t), 16, width, pad);
            break;
        default:
            put(*text);
            break;
        }
    }
}

void dprintf(const char *text, ...)
{
    va_list args;
    va_start(args, text);
    format(put_debug, text, args);
    va_end(args);
}

void printf(const char *text, ...)
{
    va_list args;
    va_start(args, text);
    format(put_screen, text, args);
    va_end(args);
}

void log_unknown(const char *which, const struct bregs *regs)
{
    dprintf("%s: unknown call ax=%04x bx=%04x cx=%04x dx=%04x from %04x:%04x\n", which, regs->ax, regs->bx, regs->cx,
            regs->dx, regs->cs, regs->ip);
}

/* --- Calls out --- */

void call_int(uint8_t vector, struct bregs *regs)
{
    call_far(regs, peek32(0, (uint16_t)(vector * 4)), 1);
}

void set_vector(uint8_t vector, uint16_t seg, uint16_t off)
{
    poke32(0, (uint16_t)(vector * 4), (uint32_t)seg << 16 | off);
}

uint16_t ebda_seg(void)
{
    return peek16(BDA_SEG, BDA_EBDA);
}

/* --- CMOS --- */

uint8_t cmos_read(uint8_t index)
{
    outb(0x70, index | 0x80);
    uint8_t value = inb(0x71);
    outb(0x70, 0x0d);
    return value;
}

void cmos_write(uint8_t index, uint8_t value)
{
    outb(0x70, index | 0x80);
    outb(0x71, value);
    outb(0x70, 0x0d);
}

/* --- Time-outs --- */

#define PM_TIMER_HZ   3579545u
#define REFRESH_TICKS 54u /* of the PM timer in one change of port 61h bit 4, 15.085 us */

uint16_t pm_base; /* 0: no power management function; the refresh bit counts then */

static uint32_t clock_read(struct timeout *t)
{
    if (pm_base)
        return inl((uint16_t)(pm_base + 8));
    uint8_t bit = inb(0x61) & 0x10;
    if (bit != t->refresh) {
        t->refresh = bit;
        return t->last + REFRESH_TICKS;
    }
    return t->last;
}

struct timeout timeout_start(uint32_t ms)
{
    struct timeout t;
    memset(&t, 0, sizeof(t));
    t.last = clock_read(&t) & 0xffffff;
    t.left = ms * (PM_TIMER_HZ / 1000);
    return t;
}

bool timeout_passed(struct timeout *t)
{
    uint32_t now = clock_read(t) & 0xffffff, passed = (now - t->last) & 0xffffff;
    t->last = now;
    t->left = passed >= t->left ? 0 : t->left - passed;
    return !t->left;
}

void delay_ms(uint32_t ms)
{
    struct timeout t = timeout_start(ms);
    while (!timeout_passed(&t))
        continue;
}
