/* A DOS program (.COM): asks by the packet driver at INT 60h who has 10.0.2.2, and says whether somebody answers.
 * FTP Software's PC/TCP Packet Driver Specification 1.09.
 */
    .code16
    .globl _start
_start:
    movw $0x0201, %ax           /* access_type: class 1, DIX Ethernet */
    movw $0xffff, %bx           /* any type of card, */
    xorb %dl, %dl               /* the first */
    movw $2, %cx
    movw $arp, %si
    movw $receiver, %di
    int $0x60
    movw $no_driver, %dx
    jc print_end
    movw %ax, handle
    movw %ax, %bx
    movb $6, %ah                /* get_address */
    movw $own, %di
    movw $6, %cx
    int $0x60
    movw $own, %si
    movw $frame + 6, %di
    movw $3, %cx
    rep movsw
    movw $own, %si
    movw $frame + 22, %di
    movw $3, %cx
    rep movsw
    movw $10, tries
again:
    movb $4, %ah                /* send_pkt */
    movw $frame, %si
    movw $60, %cx
    int $0x60
    movw $no_send, %dx
    jc release
    xorb %ah, %ah
    int $0x1a
    movw %dx, %di
1:  movw $answered, %dx
    cmpb $0, got
    jne release
    xorb %ah, %ah
    int $0x1a
    subw %di, %dx
    cmpw $18, %dx               /* a second */
    jb 1b
    decw tries
    jnz again
    movw $silence, %dx
release:
    pushw %dx
    movb $3, %ah                /* release_type */
    movw handle, %bx
    int $0x60
    popw %dx
print_end:
    movb $9, %ah
    int $0x21
    movw $0x4c00, %ax
    int $0x21

/* AX 0: where CX bytes shall go; 1: they are there. */
receiver:
    testw %ax, %ax
    jnz 2f
    pushw %cs
    popw %es
    movw $buffer, %di
    cmpw $128, %cx
    jbe 1f
    xorw %di, %di               /* not here */
    movw %di, %es
1:  lret
2:  cmpw $0x0200, %cs:buffer + 20 /* an answer */
    jne 3f
    cmpl $0x0202000a, %cs:buffer + 28
    jne 3f
    movb $1, %cs:got
3:  lret

arp:        .byte 0x08, 0x06
frame:      .byte 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0x08, 0x06
            .byte 0, 1, 8, 0, 6, 4, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2
            .fill 18, 1, 0
handle:     .word 0
tries:      .word 0
got:        .byte 0
own:        .fill 6, 1, 0
no_driver:  .ascii "no packet driver\r\n$"
no_send:    .ascii "nothing was sent\r\n$"
answered:   .ascii "10.0.2.2 has answered\r\n$"
silence:    .ascii "nobody answers\r\n$"
buffer:     .fill 128, 1, 0
