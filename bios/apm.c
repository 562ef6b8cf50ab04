/* Advanced Power Management 1.2, real-mode side; protected-mode entries are in pm.S.
 *
 * Intel/Microsoft, APM BIOS Interface Specification 1.2.
 */
#include "bios.h"

extern const uint8_t apm_entry16[], apm_entry32[]; /* in the code segment */

static uint8_t connected; /* 0 no, 1 real, 2 16-bit, 3 32-bit protected mode */

static void apm_fail(struct bregs *regs, uint8_t code)
{
    dprintf("int 15 53%02x bx=%04x: error %02x\n", regs->al, regs->bx, code);
    regs->ah = code;
    set_cf(regs, true);
}

static void power_off(void)
{
    if (pm_base)
        outw((uint16_t)(pm_base + 4), 0x2000); /* SLP_TYP 0 is S5, SLP_EN */
    for (;;)
        __asm__ volatile("cli\n\thlt");
}

void apm_15(struct bregs *regs)
{
    set_cf(regs, false);
    if (regs->al != 0x00 && regs->al != 0x80 && regs->al > 0x04 && !connected) {
        apm_fail(regs, 0x03);
        return;
    }
    switch (regs->al) {
    case 0x00:
        if (regs->bx) {
            apm_fail(regs, 0x09);
            break;
        }
        regs->ax = 0x0102;
        regs->bx = 0x504d; /* "PM" */
        regs->cx = 0x0003; /* 16-bit and 32-bit interfaces */
        break;
    case 0x01:
    case 0x02:
    case 0x03:
        if (regs->bx) {
            apm_fail(regs, 0x09);
            break;
        }
        if (connected) {
            apm_fail(regs, regs->al == 0x01 ? 0x02 : regs->al == 0x02 ? 0x05 : 0x07);
            break;
        }
        connected = regs->al;
        if (regs->al == 0x02) {
            regs->ax = CODE_SEG;
            regs->bx = (uint16_t)(uint32_t)apm_entry16;
            regs->cx = DATA_SEG;
            regs->si = 0xffff;
            regs->di = 0xffff;
        } else if (regs->al == 0x03) {
            regs->ax = CODE_SEG;
            regs->ebx = (uint32_t)apm_entry32;
            regs->cx = CODE_SEG;
            regs->dx = DATA_SEG;
            regs->esi = 0xffffffff; /* lengths of both code segments */
            regs->di = 0xffff;
        }
        break;
    case 0x04:
        if (!connected)
            apm_fail(regs, 0x03);
        connected = 0;
        break;
    case 0x05:
        yield_halt();
        break;
    case 0x06:
    case 0x08:
    case 0x09:
    case 0x0d:
    case 0x0f:
        break;
    case 0x07:
        if (regs->bx != 0x0001 && (regs->bx >> 8) == 0)
            apm_fail(regs, 0x09);
        else if (regs->cx == 3 && regs->bx == 0x0001)
            power_off();
        else if (regs->cx == 1 || regs->cx == 2)
            apm_fail(regs, 0x60); /* cannot enter that state */
        break;
    case 0x0a: /* on line, no battery */
        if (regs->bx != 0x0001) {
            apm_fail(regs, 0x09);
            break;
        }
        regs->bx = 0x01ff;
        regs->cx = 0x80ff;
        regs->dx = 0xffff;
        break;
    case 0x0b:
        apm_fail(regs, 0x80); /* no event */
        break;
    case 0x0c:
        regs->cx = 0;
        break;
    case 0x0e:
        regs->ax = 0x0102;
        break;
    default:
        apm_fail(regs, 0x0c);
        break;
    }
}
