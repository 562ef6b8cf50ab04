/* A boot sector that loads the rest of the image to 1000:0000 and runs it with a stack in the same segment. */
    .code16
    .section .boot, "ax"
    .globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7c00, %sp
    sti
    movb %dl, drive
    movw $0x1000, %ax
    movw %ax, %es
    movw $1, %si                /* sector, counted from 0 */
1:  movw %si, %ax               /* 18 sectors a track, 2 heads: the same on a floppy and where we are so small */
    movb $18, %cl
    divb %cl
    movb %ah, %cl
    incb %cl
    movb %al, %dh
    andb $1, %dh
    movb %al, %ch
    shrb $1, %ch
    movb drive, %dl
    xorw %bx, %bx
    movw $0x0201, %ax
    int $0x13
    jc 9f
    movw %es, %ax
    addw $0x20, %ax
    movw %ax, %es
    incw %si
    cmpw $SECTORS, %si
    jbe 1b
    movw $0x1000, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0xfff0, %esp
    ljmp $0x1000, $0
9:  movb $'!', %al
    outb %al, $0xe9
    movw $0xf4, %dx
    movb $0x7f, %al
    outb %al, %dx
    hlt
drive: .byte 0
    .org 510
    .word 0xaa55

    .section .entry, "ax"
    calll main
    movw $0xf4, %dx
    movb $0x10, %al
    outb %al, %dx
2:  hlt
    jmp 2b

    .text
/* void int10(struct regs *): eax at 0, ebx 4, ecx 8, edx 12, esi 16, edi 20, ebp 24, es 28 */
    .globl int10
int10:
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    pushw %es
    movl %eax, %ebp
    pushl %eax
    movw 28(%ebp), %es
    movl (%ebp), %eax
    movl 4(%ebp), %ebx
    movl 8(%ebp), %ecx
    movl 12(%ebp), %edx
    movl 16(%ebp), %esi
    movl 20(%ebp), %edi
    movl 24(%ebp), %ebp
    int $0x10
    pushl %ebp
    movl 4(%esp), %ebp
    movl %eax, (%ebp)
    movl %ebx, 4(%ebp)
    movl %ecx, 8(%ebp)
    movl %edx, 12(%ebp)
    movl %esi, 16(%ebp)
    movl %edi, 20(%ebp)
    popl 24(%ebp)
    movw %es, 28(%ebp)
    popl %eax
    popw %es
    popl %ebp
    popl %edi
    popl %esi
    popl %ebx
    retl

/* void pm_call(struct regs *, uint32_t linear): a near call of 32-bit code in protected mode, as VBE's interface wants */
    .globl pm_call
pm_call:
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    movl %eax, pm_regs
    movl %edx, %ebp
    cli
    lgdtl pm_gdtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmp $0x08, $1f
1:  movl pm_regs, %esi
    movl (%esi), %eax
    movl 4(%esi), %ebx
    movl 8(%esi), %ecx
    movl 12(%esi), %edx
    movl 20(%esi), %edi
    .byte 0x66, 0x9a            /* far call with a 32-bit offset */
    .long pm_stub + 0x10000
    .word 0x10
    movl pm_regs, %esi
    movl %eax, (%esi)
    movl %ebx, 4(%esi)
    movl %ecx, 8(%esi)
    movl %edx, 12(%esi)
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmp $0x1000, $2f
2:  sti
    popl %ebp
    popl %edi
    popl %esi
    popl %ebx
    retl
    .code32
pm_stub:
    calll *%ebp
    lretl
    .code16
    .balign 4
pm_regs: .long 0
pm_gdt:
    .quad 0
    .word 0xffff, 0x0000
    .byte 0x01, 0x9a, 0x00, 0x00    /* 16-bit code at 10000h */
    .word 0xffff, 0x0000
    .byte 0x00, 0x9a, 0xcf, 0x00    /* 32-bit code, flat */
pm_gdtr:
    .word 23
    .long pm_gdt + 0x10000

    .section .note.GNU-stack, "", @progbits
