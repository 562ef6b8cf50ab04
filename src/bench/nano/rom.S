/* The nano-benchmark kernel as a ROM, for a PC that boots no kernels: the CPU begins at its last 16 bytes. It needs no
 * BIOS. Intel SDM vol. 3A, 9.1.4, First Instruction Executed. */
#define ROM 0xffff0000          /* of 64 KiB */
#define KERNEL 0x100000
#define KERNEL_ENTRY 0x10000c
#define CLEAR_TO 0x180000       /* behind the kernel's own variables */

    .text
    .globl _start
_start:
payload:
    .incbin "nano.bin"
payload_end:
    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_end:
gdt_register:
    .word gdt_end - gdt - 1
    .long ROM + gdt - payload

    .code16
start16:
    cli
    lgdtl %cs:gdt_register - payload
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $ROM + start32 - payload

    .code32
start32:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    inb $0x92, %al              /* A20 on */
    orb $2, %al
    outb %al, $0x92
    cld
    movl $ROM, %esi
    movl $KERNEL, %edi
    movl $payload_end - payload, %ecx
    rep movsb
    xorl %eax, %eax
    movl $CLEAR_TO, %ecx
    subl %edi, %ecx
    rep stosb
    xorl %ebx, %ebx             /* nothing from a boot loader */
    movl $KERNEL_ENTRY, %ecx
    jmp *%ecx

    .org 0xfff0
    .code16
    jmp start16
    .org 0x10000
    .section .note.GNU-stack, "", @progbits
