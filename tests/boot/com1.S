/* A boot sector that says "ready" on COM1 and sends back what comes there; for a BREAK it sends 'B'. */
#define PORT 0x3f8
    .code16
    .section .boot, "ax"
    .globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7c00, %sp
    movw $PORT + 3, %dx         /* 8N1 */
    movb $3, %al
    outb %al, %dx
    movw $PORT + 4, %dx         /* DTR, RTS */
    movb $3, %al
    outb %al, %dx
    movw $message, %si
1:  lodsb
    testb %al, %al
    jz wait
    call put
    jmp 1b
wait:
    movw $PORT + 5, %dx
    inb %dx, %al
    testb $0x10, %al
    jnz break
    testb $0x01, %al
    jz wait
    movw $PORT, %dx
    inb %dx, %al
    call put
    jmp wait
break:
    movw $PORT, %dx             /* the byte that stands for it */
    inb %dx, %al
    movb $'B', %al
    call put
    jmp wait
put:
    movb %al, %ah
1:  movw $PORT + 5, %dx
    inb %dx, %al
    testb $0x20, %al
    jz 1b
    movb %ah, %al
    movw $PORT, %dx
    outb %al, %dx
    outb %al, $0xe9             /* and on a debug console, if there is one */
    ret
message: .asciz "ready\r\n"
    .org 510
    .word 0xaa55
    .section .note.GNU-stack, "", @progbits
