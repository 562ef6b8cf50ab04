/* The x87 pointers as a Linux program sees them: FNSTENV right behind an instruction, which is how some code learns
 * where it is, and what a SIGFPE handler finds. Prints a line for each kind, and "fip: passed" if all are right. For
 * fip.py; runs natively, too. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <ucontext.h>

#define ROUNDS 100000
#define ERRORS 2000

static sigjmp_buf back;
static volatile struct {
    uint32_t fip, fcs, fdp, status, eip, wrong;
} seen;

extern char divide_at[], wait_at[];

static void on_sigfpe(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    const ucontext_t *uc = context;
    const struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;

    seen.fip = (uint32_t)fp->ipoff;
    seen.fcs = (uint32_t)fp->cssel & 0xffff;
    seen.fdp = (uint32_t)fp->dataoff;
    seen.status = (uint32_t)fp->status;
    seen.eip = (uint32_t)uc->uc_mcontext.gregs[REG_EIP];
    siglongjmp(back, 1);
}

static unsigned where_am_i(void)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t env[7], label;
        __asm__ volatile("1: fldz\n fnstenv %0\n fstp %%st(0)\n fldcw %2\n movl $1b, %1"
                         : "=m"(env), "=r"(label)
                         : "m"(*(const uint16_t *)"\x7f\x03"));
        wrong += env[3] != label;
    }
    return wrong;
}

static unsigned divide(void)
{
    static const uint16_t unmasked = 0x37b;
    static const float zero = 0, one = 1;
    struct sigaction action = {.sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO | SA_NODEFER};
    uint16_t cs;

    __asm__("movw %%cs, %0" : "=r"(cs));
    sigaction(SIGFPE, &action, NULL);
    for (volatile unsigned i = 0; i < ERRORS; i++) {
        if (sigsetjmp(back, 1)) {
            /* A 64-bit kernel has no room for the selector. */
            seen.wrong += seen.fip != (uint32_t)divide_at || seen.eip != (uint32_t)wait_at || !(seen.status & 4) ||
                          seen.fdp != (uint32_t)&zero || (seen.fcs && seen.fcs != cs);
            __asm__ volatile("fninit");
            continue;
        }
        __asm__ volatile("fninit\n fldcw %0\n flds %1\n divide_at: fdivs %2\n wait_at: fwait\n fstp %%st(0)"
                         :
                         : "m"(unmasked), "m"(one), "m"(zero));
        seen.wrong++; /* no SIGFPE */
        __asm__ volatile("fninit");
    }
    return seen.wrong;
}

int main(void)
{
    unsigned a = where_am_i(), b = divide();

    printf("FNSTENV: %u of %u wrong\nSIGFPE: %u of %u wrong (fip %x, want %x, fcs %x, fdp %x)\n", a, ROUNDS, b, ERRORS,
           seen.fip, (unsigned)divide_at, seen.fcs, seen.fdp);
    /* A switch of tasks between the two instructions clears FIP on AMD's processors, natively too. */
    puts(a <= 2 && b == 0 ? "fip: passed" : "fip: failed");
    return 0;
}
