/* A boot sector that fills video memory by the byte, again and again, then ends: MODE, SEG, LEN bytes, COUNT times. */
    .code16
    .section .boot, "ax"
    .globl _start
_start:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7c00, %sp
    movw $MODE, %ax
    int $0x10
    movw $SEG, %ax
    movw %ax, %es
    movb $'<', %al              /* between the marks at port E9h is what is measured */
    outb %al, $0xe9
    movl $COUNT, %ebp
1:  xorw %di, %di
    movw $LEN, %cx
    movb %cl, %al
2:  movb %al, %es:(%di)
    incw %di
    incb %al
    loop 2b
    decl %ebp
    jnz 1b
    movb $'>', %al
    outb %al, $0xe9
    movw $0xf4, %dx
    movb $0, %al
    outb %al, %dx
    hlt
    .org 510
    .word 0xaa55
    .section .note.GNU-stack, "", @progbits
