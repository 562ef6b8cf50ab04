/* A boot sector that says "ready", fills the last row with blocks, and shows the keys that INT 16h reads. */
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
    movw $0x0003, %ax
    int $0x10
    movb $24, %dh               /* the last row */
    movb $0, %dl
    xorb %bh, %bh
    movb $0x02, %ah
    int $0x10
    movw $0x09db, %ax
    movw $0x000a, %bx
    movw $80, %cx
    int $0x10
    xorw %dx, %dx
    movb $0x02, %ah
    xorb %bh, %bh
    int $0x10
    movw $message, %si
1:  lodsb
    orb %al, %al
    jz 2f
    movb $0x0e, %ah
    movw $7, %bx
    int $0x10
    jmp 1b
2:  xorb %ah, %ah
    int $0x16
    movb $0x0e, %ah
    movw $7, %bx
    int $0x10
    jmp 2b
message: .asciz "ready\r\n"
    .org 510
    .word 0xaa55
    .section .note.GNU-stack, "", @progbits
