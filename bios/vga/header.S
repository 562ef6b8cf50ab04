/* Option ROM header (PCI Firmware Specification), the way into INT 10h, and the 32-bit interface of VBE. */
#include "dispi.h"

/* struct bregs, ../lib/regs.h */
#define BREGS_FLAGS 40

    .code16
    .section .header, "ax"
    .globl header
header:
    .byte 0x55, 0xaa
    .byte rom_blocks            /* of 512 bytes; set with the checksum by mkrom.py */
    jmp init
    .org 0x18
    .word pcir
    .org 0x1e
    .ascii "IBM"                /* old programs look for the maker of the EGA here */
    .byte 0
    /* For firmware_vga.c, which shows text without running this ROM: mode 3's parameters, the font. */
    .org 0x24
    .word mode_params + 64 * 0x18, font_8x16
rom_blocks = 0
    .balign 4
    .globl pcir
pcir:
    .ascii "PCIR"
    .word CARD_VENDOR, CARD_DEVICE
    .word 0                     /* no vital product data */
    .word 0x18                  /* length of this structure */
    .byte 0                     /* revision */
    .byte 0x00, 0x00, 0x03      /* class: VGA */
    .word 0                     /* image length; mkrom.py */
    .word 1                     /* level of the code */
    .byte 0                     /* PC-AT */
    .byte 0x80                  /* the last image */
    .word 0

    .text
/* Makes struct bregs on the caller's stack, with DS = ES = SS for C's pointers to its locals and GS = CS for
 * constants, and calls \function with its address. */
.macro enter_c function
    cld
    pushl %eax
    pushl %ecx
    pushl %edx
    pushl %ebx
    pushl %ebp
    pushl %esi
    pushl %edi
    pushw %ds
    pushw %es
    pushw %fs
    pushw %gs
    movw %ss, %bx
    movw %bx, %ds
    movw %bx, %es
    movw %cs, %bx
    movw %bx, %gs
    movl %esp, %ebx             /* its upper half may hold anything, and must come back */
    movzwl %sp, %esp
    movl %esp, %eax
    calll \function
    movl %ebx, %esp
    popw %gs
    popw %fs
    popw %es
    popw %ds
    popl %edi
    popl %esi
    popl %ebp
    popl %ebx
    popl %edx
    popl %ecx
    popl %eax
.endm

    .globl int10_entry
int10_entry:
    sti                         /* as IBM's: time goes on for a program that calls with interrupts off */
    nop
    rep; nop                    /* where emulators look for interrupts */
    cli
    enter_c handle_10
    iretw

/* VBE mode information's window function: function 4F05h by a far call. */
    .globl vbe_window_entry
vbe_window_entry:
    movw $0x4f05, %ax
    int $0x10
    lretw

init:
    pushfw                      /* for the shape of struct bregs */
    pushw %cs
    pushw $1f
    enter_c vga_init
    addw $6, %sp
1:  lretw

/* --- VBE function 4F0Ah: 32-bit code that a caller copies to its own memory --- */
    .section .rom, "a"
    .balign 4
    .globl vbe_pm, vbe_pm_end
    .code32
vbe_pm:
    .word pm_set_window - vbe_pm
    .word pm_set_start - vbe_pm
    .word pm_set_palette - vbe_pm
    .word pm_ports - vbe_pm
pm_ports:
    .word DISPI_PORT_INDEX, DISPI_PORT_DATA, 0x3c8, 0x3c9, 0x3da, 0xffff, 0xffff

/* BH 00: set window BL to position DX (in 64 KiB) */
pm_set_window:
    cmpw $0x4f05, %ax
    jne 9f
    orb %bl, %bl
    jnz 8f
    orb %bh, %bh
    jnz 1f
    pushl %eax
    pushl %edx
    movl %edx, %ecx
    movw $DISPI_PORT_INDEX, %dx
    movw $5, %ax
    outw %ax, %dx
    incl %edx
    movw %cx, %ax
    outw %ax, %dx
    popl %edx
    popl %eax
    movw $0x004f, %ax
    ret
1:  movw $DISPI_PORT_INDEX, %dx            /* BH 01: get */
    movw $5, %ax
    outw %ax, %dx
    incl %edx
    inw %dx, %ax
    movw %ax, %dx
    movw $0x004f, %ax
    ret
8:  movw $0x014f, %ax
    ret
9:  movw $0x014f, %ax
    ret

/* BL 00 or 80h: DX:CX is the first byte shown, in units of 4 */
pm_set_start:
    cmpw $0x4f07, %ax
    jne 9b
    pushl %ebx
    pushl %esi
    pushl %edx
    movzwl %cx, %esi
    shll $16, %edx
    orl %edx, %esi
    shll $2, %esi               /* bytes */
    movw $DISPI_PORT_INDEX, %dx
    movw $3, %ax
    outw %ax, %dx
    incl %edx
    inw %dx, %ax
    addw $7, %ax
    shrw $3, %ax
    movzwl %ax, %ebx            /* bytes of a pixel */
    decl %edx
    movw $6, %ax
    outw %ax, %dx
    incl %edx
    inw %dx, %ax
    movzwl %ax, %ecx            /* virtual width */
    movl %esi, %eax
    xorl %edx, %edx
    divl %ebx
    xorl %edx, %edx
    divl %ecx                   /* line in EAX, pixel in EDX */
    movl %eax, %esi
    movl %edx, %ecx
    movw $DISPI_PORT_INDEX, %dx
    movw $8, %ax
    outw %ax, %dx
    incl %edx
    movw %cx, %ax
    outw %ax, %dx
    decl %edx
    movw $9, %ax
    outw %ax, %dx
    incl %edx
    movw %si, %ax
    outw %ax, %dx
    popl %edx
    popl %esi
    popl %ebx
    movw $0x004f, %ax
    ret

/* CX colours from number DX on, at ES:EDI: blue, green, red, unused */
pm_set_palette:
    cmpw $0x4f09, %ax
    jne 9b
    pushl %edi
    pushl %ecx
    pushl %edx
    movzwl %cx, %ecx
    movb %dl, %al
    movw $0x3c8, %dx
    outb %al, %dx
    incl %edx
    jecxz 2f
1:  movb %es:2(%edi), %al
    outb %al, %dx
    movb %es:1(%edi), %al
    outb %al, %dx
    movb %es:(%edi), %al
    outb %al, %dx
    addl $4, %edi
    decl %ecx
    jnz 1b
2:  popl %edx
    popl %ecx
    popl %edi
    movw $0x004f, %ax
    ret
vbe_pm_end:

/* --- Save pointer tables (IBM PS/2 BIOS Interface): the video parameters, and in the secondary table the display
 * combination codes. The segment is where option ROMs of a VGA are: C000h. --- */
    .balign 4
    .globl save_pointers, dcc_table
save_pointers:
    .word mode_params, 0xc000
    .long 0, 0, 0
    .word secondary_pointers, 0xc000
    .long 0, 0
secondary_pointers:
    .word 26
    .word dcc_table, 0xc000
    .long 0, 0, 0, 0, 0
dcc_table:
    .byte 16, 1, 8, 0           /* entries, version, highest code, reserved */
    .byte 0,0, 0,1, 0,2, 2,1, 0,4, 4,1, 0,5, 2,5, 0,6, 1,6, 5,6, 0,8, 1,8, 0,7, 2,7, 6,7
    .section .note.GNU-stack, "", @progbits
