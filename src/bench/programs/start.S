/* Entry and system calls of the measured program. System V ABI, Intel386 supplement. */
    .text
    .globl _start
_start:
    movl %esp, %eax
    andl $-16, %esp
    subl $12, %esp
    pushl %eax
    call program_start          /* program_start(const uint32_t *argc_and_what_follows) */
    hlt

/* long sys_call(long number, long a, long b, long c, long d, long e, long f): by sys_entry. */
    .globl sys_call
sys_call:
    pushl %ebp
    pushl %edi
    pushl %esi
    pushl %ebx
    movl 20(%esp), %eax
    movl 24(%esp), %ebx
    movl 28(%esp), %ecx
    movl 32(%esp), %edx
    movl 36(%esp), %esi
    movl 40(%esp), %edi
    movl 44(%esp), %ebp
    call *sys_entry
    popl %ebx
    popl %esi
    popl %edi
    popl %ebp
    ret

    .globl sys_int80
sys_int80:
    int $0x80
    ret

    .data
    .globl sys_entry
sys_entry:
    .long sys_int80
    .section .note.GNU-stack, "", @progbits
