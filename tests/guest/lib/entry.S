/* Entry, trap stubs and the way into and out of other modes for the guest kernels of tests/guest.
 *
 * Multiboot Specification 0.6.96; Intel SDM vol. 3A, chapters 3, 5, 6. struct trap and struct state in
 * guest.h mirror the offsets used here.
 */
#define KCODE 0x08
#define KDATA 0x10

    .section .multiboot, "ax"
    .balign 4
    .long 0x1badb002, 3, -(0x1badb002 + 3)

    .text
    .globl _start
_start:
    cld
    movl $boot_stack_top, %esp
    pushl %ebx
    pushl %eax
    call guest_start
1:  hlt
    jmp 1b

/* void gdt_load(const void *gdtr): also reloads every segment register. */
    .globl gdt_load
gdt_load:
    movl 4(%esp), %eax
    lgdt (%eax)
    movw $KDATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    ljmp $KCODE, $1f
1:  ret

/* --- Traps: one stub of 16 bytes a vector --- */
    .balign 16
    .globl trap_stubs
trap_stubs:
    vector = 0
    .rept 256
    .balign 16
    .if vector != 8 && vector != 17 && (vector < 10 || vector > 14)
    pushl $0
    .endif
    pushl $vector
    jmp trap_common
    vector = vector + 1
    .endr
    .balign 16
trap_common:
    pushal
    pushl %ds
    pushl %es
    pushl %fs
    pushl %gs
    movl $KDATA, %eax
    movl %eax, %ds
    movl %eax, %es
    cld
    movl %esp, %eax
    pushl %eax
    call trap_enter
    addl $4, %esp
    popl %gs
    popl %fs
    popl %es
    popl %ds
    popal
    addl $8, %esp
    .globl trap_iret
trap_iret:
    iretl

/* void run_enter(const struct state *): loads all of it and IRETs; comes back by run_leave(). */
    .globl run_enter
run_enter:
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    pushfl
    movl 24(%esp), %ebx
    movl %esp, run_esp
    testl $0x20000, 56(%ebx)
    jnz 3f
    testl $3, 52(%ebx)
    jnz 4f
    movl 60(%ebx), %eax
    movl %eax, %ss
    movl 12(%ebx), %esp
    jmp 5f
3:  pushl 44(%ebx)          /* V86: GS, FS, DS, ES come off the stack */
    pushl 40(%ebx)
    pushl 32(%ebx)
    pushl 36(%ebx)
4:  pushl 60(%ebx)          /* SS */
    pushl 12(%ebx)          /* ESP */
5:  pushl 56(%ebx)          /* EFLAGS */
    pushl 52(%ebx)          /* CS */
    pushl 48(%ebx)          /* EIP */
    pushl 28(%ebx)          /* EAX, ECX, EDX, EBX, -, EBP, ESI, EDI for POPA */
    pushl 24(%ebx)
    pushl 20(%ebx)
    pushl 16(%ebx)
    pushl $0
    pushl 8(%ebx)
    pushl 4(%ebx)
    pushl 0(%ebx)
    testl $0x20000, 56(%ebx)
    jnz 6f
    movl 44(%ebx), %eax
    movl %eax, %gs
    movl 40(%ebx), %eax
    movl %eax, %fs
    movl 36(%ebx), %eax
    movl %eax, %es
    movl 32(%ebx), %eax
    movl %eax, %ds
6:  popal
    .globl run_iret
run_iret:
    iretl

    .globl run_leave
run_leave:
    movl $KDATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    movl run_esp, %esp
    popfl
    popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    ret

    .bss
    .balign 16
    .space 65536
boot_stack_top:
run_esp: .space 4
    .section .note.GNU-stack, "", @progbits
