/* What runs in a cell's process besides guest code: see ../cell.h. A static program without libc, linked high, so that
 * the low 4 GiB are the guest's. It becomes two tasks in one memory, both traced by the monitor:
 *
 *   the manager  maps and unmaps what the page of orders says, which is read-only here. It uses no memory that can be
 *                written, so whatever the runner does to the memory they share does not concern it.
 *   the runner   has no files and may do no system call whatever; the monitor puts guest registers into it.
 *
 * On entry: descriptor 3 is guest RAM, 4 the orders. Each stop by INT3 tells the monitor "ready"; UD2 "an order
 * failed", with its result in RAX.
 */
#include "stub.h"

#define SYS_mmap     9
#define SYS_mprotect 10
#define SYS_munmap   11
#define SYS_close    3
#define SYS_clone    56
#define SYS_ptrace   101
#define SYS_prctl    157
#define SYS_getppid  110
#define SYS_exit_group 231
#define SYS_seccomp  317
#define SYS_close_range 436

#define CLONE_VM     0x100
#define CLONE_PARENT 0x8000
#define SIGCHLD      17

#define PR_SET_PDEATHSIG    1
#define PR_SET_NO_NEW_PRIVS 38
#define SECCOMP_SET_MODE_FILTER       1
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW 4 /* or stores wait for loads, on some hosts */

    .text
    .globl _start
_start:
    /* R14 = the monitor. We die with it (spawn() has seen to that); only then may we ask to be traced: a process whose
     * parent has gone would be traced by process 1, and stand for ever. */
    movl $SYS_getppid, %eax
    syscall
    movq %rax, %r14
    xorl %edi, %edi /* PTRACE_TRACEME */
    movl $SYS_ptrace, %eax
    syscall
    testq %rax, %rax
    js refused
    movl $PR_SET_NO_NEW_PRIVS, %edi
    movl $1, %esi
    xorl %edx, %edx
    xorl %r10d, %r10d
    xorl %r8d, %r8d
    movl $SYS_prctl, %eax
    syscall
    testq %rax, %rax
    js refused
    /* the orders, read-only */
    movabsq $STUB_ORDERS_AT, %rdi
    movl $STUB_ORDERS_SIZE, %esi
    movl $1, %edx       /* PROT_READ */
    movl $0x11, %r10d   /* MAP_SHARED | MAP_FIXED */
    movl $STUB_FD_ORDERS, %r8d
    xorl %r9d, %r9d
    movl $SYS_mmap, %eax
    syscall
    testq %rax, %rax
    js refused
    movl $STUB_FD_ORDERS, %edi
    movl $SYS_close, %eax
    syscall

    /* No stack: it would grow for whoever writes below it. It ends one to three pages above RSP; beyond the end of the
     * address space munmap refuses. */
    movl $4 * 4096, %ebx
1:  subl $4096, %ebx
    jz refused
    movq %rsp, %rdi
    andq $-4096, %rdi
    subq $0x100000, %rdi
    leaq 0x100000(%rbx), %rsi
    movl $SYS_munmap, %eax
    syscall
    testq %rax, %rax
    js 1b

    movl $CLONE_VM | CLONE_PARENT | SIGCHLD, %edi
    xorl %esi, %esi
    xorl %edx, %edx
    xorl %r10d, %r10d
    xorl %r8d, %r8d
    movl $SYS_clone, %eax
    syscall
    testq %rax, %rax
    js refused
    jz runner

    /* The manager. RBX = the runner's process number, for the monitor. */
    movq %rax, %rbx
    movl $SECCOMP_SET_MODE_FILTER, %edi
    movl $SECCOMP_FILTER_FLAG_SPEC_ALLOW, %esi
    leaq manager_program(%rip), %rdx
    movl $SYS_seccomp, %eax
    syscall
    testq %rax, %rax
    js refused
    movabsq $STUB_ORDERS_AT, %r12
ready:
    int3
    xorl %ebx, %ebx
    leaq STUB_ORDER_FIRST(%r12), %r13
next:
    cmpl (%r12), %ebx
    jae ready
    movq (%r13), %rax
    movq 8(%r13), %rdi
    movq 16(%r13), %rsi
    movq 24(%r13), %rdx
    movq 32(%r13), %r10
    movq 40(%r13), %r8
    movq 48(%r13), %r9
    syscall
    cmpq $-4095, %rax
    jae failed
    incl %ebx
    addq $STUB_ORDER_SIZE, %r13
    jmp next
failed:
    ud2
    jmp ready

    /* Something is not allowed here: RAX = -errno. */
refused:
    ud2
    jmp refused

runner:
    movl $PR_SET_PDEATHSIG, %edi
    movl $9, %esi
    movl $SYS_prctl, %eax
    syscall
    movl $SYS_getppid, %eax
    syscall
    cmpq %r14, %rax
    je 1f
    movl $SYS_exit_group, %eax /* it was gone before */
    syscall
1:  xorl %edi, %edi
    movl $SYS_ptrace, %eax
    syscall
    testq %rax, %rax
    js refused
    /* Not PR_SET_TSC: pages with RDTSC are not executable here anyhow, and a write to CR4 with each switch doubles the
     * time of a round trip (17 us against 8.5, 2026-11-22). */
    xorl %edi, %edi
    movl $-1, %esi
    xorl %edx, %edx
    movl $SYS_close_range, %eax
    syscall
    testq %rax, %rax
    jns 1f
    xorl %ebx, %ebx /* before Linux 5.9: one by one, nothing else is open */
2:  movl %ebx, %edi
    movl $SYS_close, %eax
    syscall
    incl %ebx
    cmpl $16, %ebx
    jb 2b
1:  movl $SECCOMP_SET_MODE_FILTER, %edi
    movl $SECCOMP_FILTER_FLAG_SPEC_ALLOW, %esi
    leaq runner_program(%rip), %rdx
    movl $SYS_seccomp, %eax
    syscall
    testq %rax, %rax
    js refused
3:  int3
    jmp 3b

    .section .rodata
    .balign 8
#define FILTER(code, jt, jf, k) .short code; .byte jt, jf; .long k
#define LOAD  0x20 /* BPF_LD | BPF_W | BPF_ABS */
#define JEQ   0x15 /* BPF_JMP | BPF_JEQ | BPF_K */
#define RET   0x06
#define TRAP  0x00030000
#define KILL  0x80000000
#define ALLOW 0x7fff0000
runner_filter:
    FILTER(RET, 0, 0, TRAP)
runner_filter_end:
manager_filter:
    FILTER(LOAD, 0, 0, 4) /* arch */
    FILTER(JEQ, 0, 4, 0xc000003e) /* AUDIT_ARCH_X86_64 */
    FILTER(LOAD, 0, 0, 0) /* number */
    FILTER(JEQ, 3, 0, SYS_mmap)
    FILTER(JEQ, 2, 0, SYS_munmap)
    FILTER(JEQ, 1, 0, SYS_mprotect)
    FILTER(RET, 0, 0, KILL)
    FILTER(RET, 0, 0, ALLOW)
manager_filter_end:
    .balign 8
runner_program:
    .short (runner_filter_end - runner_filter) / 8
    .balign 8
    .quad runner_filter
manager_program:
    .short (manager_filter_end - manager_filter) / 8
    .balign 8
    .quad manager_filter

    .section .note.GNU-stack, "", @progbits
