/* The way into and out of translated code: switches between the monitor's registers and the guest's.
 * The only place, beside the code cache, where guest registers are in host registers. */
#include "world.h"

#include <asm/hwcap2.h>
#include <asm/prctl.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

bool world_has_fsgsbase(void)
{
    return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

void world_set_gs_base(const void *base)
{
    static int fsgsbase = -1;
    if (fsgsbase < 0)
        fsgsbase = world_has_fsgsbase();
    if (fsgsbase)
        __asm__ volatile("wrgsbase %0" : : "r"(base));
    else
        assert_always(syscall(SYS_arch_prctl, ARCH_SET_GS, base) == 0);
}

#define OFF(field) [field] "i"(offsetof(struct bt, field))

/* System V: RDI = bt, RSI = host address to enter. Returns in EAX. */
__attribute__((naked)) unsigned world_enter(struct bt *bt __attribute__((unused)),
                                            const void *host __attribute__((unused)))
{
    __asm__ volatile("push %%rbx\n\t"
                     "push %%rbp\n\t"
                     "push %%r12\n\t"
                     "push %%r13\n\t"
                     "push %%r14\n\t"
                     "push %%r15\n\t"
                     "sub $8, %%rsp\n\t"
                     "mov %%rsp, %c[host_rsp](%%rdi)\n\t"
                     "mov %%rdi, %%r15\n\t"
                     "mov %%rsi, %%r11\n\t"
                     /* From here to the jump a kick is caught by the check below or by the kick handler, which
                      * moves us to world_enter_abort. */
                     ".globl world_enter_restart\n"
                     "world_enter_restart:\n\t"
                     "cmpl $0, %c[kick](%%r15)\n\t"
                     "jne world_enter_abort\n\t"
                     "cmpl $0, %c[fpu_on](%%r15)\n\t"
                     "je 1f\n\t"
                     "fxrstor %c[fpu](%%r15)\n"
                     "1:\n\t"
                     "mov %c[jtable](%%r15), %%r12\n\t"
                     "mov %c[window](%%r15), %%r14\n\t"
                     "mov %c[ras_rsp](%%r15), %%rsp\n\t"
                     "mov %c[host_flags](%%r15), %%r8d\n\t"
                     "push %%r8\n\t"
                     "popfq\n\t"
                     "mov %c[gpr](%%r15), %%eax\n\t"
                     "mov 4+%c[gpr](%%r15), %%ecx\n\t"
                     "mov 8+%c[gpr](%%r15), %%edx\n\t"
                     "mov 12+%c[gpr](%%r15), %%ebx\n\t"
                     "mov 16+%c[gpr](%%r15), %%r13d\n\t"
                     "mov 20+%c[gpr](%%r15), %%ebp\n\t"
                     "mov 24+%c[gpr](%%r15), %%esi\n\t"
                     "mov 28+%c[gpr](%%r15), %%edi\n\t"
                     "mov %c[eip](%%r15), %%r8d\n\t"
                     "jmp *%%r11\n\t"
                     ".globl world_enter_end\n"
                     "world_enter_end:\n\t"
                     ".globl world_enter_abort\n"
                     "world_enter_abort:\n\t"
                     "mov %[exit_kick], %%r9d\n\t"
                     "jmp world_leave\n\t"

                     ".globl world_exit\n\t"
                     ".type world_exit, @function\n"
                     "world_exit:\n\t"
                     "mov %%eax, %c[gpr](%%r15)\n\t"
                     "mov %%ecx, 4+%c[gpr](%%r15)\n\t"
                     "mov %%edx, 8+%c[gpr](%%r15)\n\t"
                     "mov %%ebx, 12+%c[gpr](%%r15)\n\t"
                     "mov %%r13d, 16+%c[gpr](%%r15)\n\t"
                     "mov %%ebp, 20+%c[gpr](%%r15)\n\t"
                     "mov %%esi, 24+%c[gpr](%%r15)\n\t"
                     "mov %%edi, 28+%c[gpr](%%r15)\n\t"
                     "mov %%r8d, %c[exit_arg](%%r15)\n\t"
                     "mov %%rsp, %c[ras_rsp](%%r15)\n\t"
                     "pushfq\n\t"
                     "pop %%r8\n\t"
                     "mov %%r8d, %c[host_flags](%%r15)\n\t"
                     ".globl world_exit_recovered\n\t"
                     ".type world_exit_recovered, @function\n"
                     "world_exit_recovered:\n\t"
                     "cmpl $0, %c[fpu_on](%%r15)\n\t"
                     "je world_leave\n\t"
                     "fxsave %c[fpu](%%r15)\n\t"
                     "cmpl $0, %c[x87_ran](%%r15)\n\t"
                     "je world_leave\n\t"
                     /* FXSAVE has the x87 pointers only while an exception is pending, on AMD's processors. */
                     "fnstenv %c[x87_env](%%r15)\n"
                     "world_leave:\n\t"
                     "cld\n\t"
                     "cmpl $0, %c[fpu_on](%%r15)\n\t"
                     "je 1f\n\t"
                     "fninit\n\t"
                     "ldmxcsr %c[host_mxcsr](%%r15)\n"
                     "1:\n\t"
                     "mov %c[host_rsp](%%r15), %%rsp\n\t"
                     "add $8, %%rsp\n\t"
                     "mov %%r9d, %%eax\n\t"
                     "pop %%r15\n\t"
                     "pop %%r14\n\t"
                     "pop %%r13\n\t"
                     "pop %%r12\n\t"
                     "pop %%rbp\n\t"
                     "pop %%rbx\n\t"
                     "ret\n\t"
                     :
                     : OFF(host_rsp), OFF(kick), OFF(jtable), OFF(window), OFF(ras_rsp), OFF(host_flags), OFF(exit_arg),
                       OFF(host_mxcsr), OFF(fpu_on), OFF(x87_env),
                       OFF(x87_ran), [gpr] "i"(offsetof(struct bt, cpu.gpr)), [eip] "i"(offsetof(struct bt, cpu.eip)),
                       [fpu] "i"(offsetof(struct bt, cpu.fpu)), [exit_kick] "i"(EXIT_KICK));
}

/* RAX = function, RDI = bt. System V calls, but for the eight XMM registers of the guest and its MXCSR. */
__attribute__((naked)) void world_call(void)
{
    __asm__ volatile("cmpl $0, %c[fpu_on](%%rdi)\n\t"
                     "jne 1f\n\t"
                     "jmp *%%rax\n"
                     "1:\n\t"
                     "push %%rbx\n\t"
                     "sub $144, %%rsp\n\t"
                     "mov %%rdi, %%rbx\n\t"
                     "movaps %%xmm0, (%%rsp)\n\t"
                     "movaps %%xmm1, 16(%%rsp)\n\t"
                     "movaps %%xmm2, 32(%%rsp)\n\t"
                     "movaps %%xmm3, 48(%%rsp)\n\t"
                     "movaps %%xmm4, 64(%%rsp)\n\t"
                     "movaps %%xmm5, 80(%%rsp)\n\t"
                     "movaps %%xmm6, 96(%%rsp)\n\t"
                     "movaps %%xmm7, 112(%%rsp)\n\t"
                     "stmxcsr 128(%%rsp)\n\t"
                     "ldmxcsr %c[host_mxcsr](%%rbx)\n\t"
                     "call *%%rax\n\t"
                     "movaps (%%rsp), %%xmm0\n\t"
                     "movaps 16(%%rsp), %%xmm1\n\t"
                     "movaps 32(%%rsp), %%xmm2\n\t"
                     "movaps 48(%%rsp), %%xmm3\n\t"
                     "movaps 64(%%rsp), %%xmm4\n\t"
                     "movaps 80(%%rsp), %%xmm5\n\t"
                     "movaps 96(%%rsp), %%xmm6\n\t"
                     "movaps 112(%%rsp), %%xmm7\n\t"
                     "ldmxcsr 128(%%rsp)\n\t"
                     "add $144, %%rsp\n\t"
                     "pop %%rbx\n\t"
                     "ret\n\t"
                     :
                     : OFF(fpu_on), OFF(host_mxcsr));
}
