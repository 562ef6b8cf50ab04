/* Reset, the way from an interrupt into C and back, protected-mode copies, and the entry points that the
 * IBM AT's BIOS has at fixed offsets (IBM AT Technical Reference, BIOS listing).
 */
#define DATA_SEG 0xe000
#define CODE_SEG 0xf000
#define STACK_TOP 0xfff0
/* While somebody's program calls us, interrupts are let in, and hooks are called, on its stack and never on ours: theirs
 * may push what they like, switch stacks, call us again from there and wait, however deep. On ours, one behind the other,
 * are only our own frames, from stack_free down. In POST, which runs on our stack, a hook has this much of it. */
#define HOOK_ROOM 0x400
/* Programs that are aborted inside of a call (by Ctrl-Break, a critical error) leave their frames behind. Where these
 * reach this far down, nobody comes back for the oldest. */
#define STACK_LOW (data_end + 0x800)

/* struct bregs, lib/regs.h; behind it, the caller's stack pointer, and the frame before this one */
#define R_GS 0
#define R_FS 2
#define R_ES 4
#define R_DS 6
#define R_EDI 8
#define R_ESI 12
#define R_EBP 16
#define R_EBX 20
#define R_EDX 24
#define R_ECX 28
#define R_EAX 32
#define R_IP 36
#define R_CS 38
#define R_FLAGS 40
#define R_CALLER_ESP 44
#define R_CALLER_SS 48
#define R_OUTER 52
#define FRAME_BYTES 56

    .code16
    .text

/* --- Reset --- */

/* Before the shadow RAM is on, code runs from the ROM below 1 MiB, which vanishes when the attribute map turns
 * to RAM. So this part runs in the ROM's other place, below 4 GiB, in 16-bit protected mode, and uses no RAM. */
reset_start:
    cli
    cld
    cmpb $0, %cs:is_shadow      /* not in the ROM: a program jumped here */
    jne reset_by_jump
    inb $0x92, %al
    orb $2, %al                 /* A20 on: a jump to FFFF:0 may come with it off */
    andb $0xfe, %al
    outb %al, $0x92
    lgdtl %cs:high_gdtr
    movl %cr0, %eax
    andl $0x1ffffffe, %eax      /* caches on, no paging */
    orb $1, %al
    movl %eax, %cr0
    ljmpw $0x08, $reset_high
reset_high:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es

    movl $0x80000058, %eax      /* i440FX PAM0: F0000h is RAM, read and write */
    movw $0xcf8, %dx
    outl %eax, %dx
    movb $0x30, %al
    movw $0xcfd, %dx
    outb %al, %dx
    movl $0x8000005c, %eax      /* PAM5, PAM6: E0000h */
    movw $0xcf8, %dx
    outl %eax, %dx
    movb $0x33, %al
    movw $0xcfe, %dx
    outb %al, %dx
    incw %dx
    outb %al, %dx

    xorl %ebp, %ebp
    movl $0xe0000 + shadow_mark, %ebx
    cmpl $SHADOW_MARK, (%ebx)
    jne 1f
    /* Our own RAM is alive: what did the software that reset the CPU leave in the shutdown byte? */
    movb $0x8f, %al
    outb %al, $0x70
    inb $0x71, %al
    movzbl %al, %ebp
    movb $0x8f, %al
    outb %al, $0x70
    movb $0, %al
    outb %al, $0x71
    cmpl $0x05, %ebp
    je 2f
    cmpl $0x09, %ebp
    je 2f
    cmpl $0x0a, %ebp
    je 2f
    xorl %ebp, %ebp
1:
    movl $0xfffe0000, %esi
    movl $0x000e0000, %edi
    movl $0x20000 / 4, %ecx
    rep movsl (%esi), (%edi)
2:
    movw $0x18, %ax             /* limits of 64 KiB again */
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs
    movw %ax, %gs
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmpw $CODE_SEG, $reset_low
reset_low:
    lidtl %cs:real_idtr
    testl %ebp, %ebp
    jnz resume
    movw $DATA_SEG, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $STACK_TOP, %esp
    calll post
    hlt

/* "Jump to FFFF:0" is a reset of the machine, with all its devices, not of the processor alone. By the 8042 first, which a
 * V86 monitor knows; IBM's BIOS would run its POST. */
reset_by_jump:
    movb $0xfe, %al
    outb %al, $0x64
    movw $0xcf9, %dx
    movb $0x02, %al
    outb %al, %dx
    movb $0x06, %al
    outb %al, %dx
1:  hlt
    jmp 1b

/* After a reset with a shutdown byte: 5 EOI and jump, 9 return from a block move, 0Ah jump. */
resume:
    movw $0x40, %ax
    movw %ax, %ds
    cmpl $0x05, %ebp
    jne 1f
    movb $0x20, %al
    outb %al, $0xa0
    outb %al, $0x20
1:  cmpl $0x09, %ebp
    je 2f
    ljmpw *0x67
2:  movw 0x69, %ss
    movw 0x67, %sp
    popw %ds
    popw %es
    popaw
    iretw

    .balign 8
high_gdt:
    .quad 0
    .word 0xffff, 0, 0x9bff, 0xff00     /* 08h: 16-bit code, base FFFF0000h */
    .word 0xffff, 0, 0x9300, 0x00cf     /* 10h: flat data */
    .word 0xffff, 0, 0x9300, 0x0000     /* 18h: real-mode data */
high_gdtr:
    .word . - high_gdt - 1
    .long high_gdt + 0xffff0000
real_idtr:
    .word 0x3ff
    .long 0
    .globl is_shadow
is_shadow:                      /* set in the copy, at the end of POST */
    .byte 0

/* --- Interrupts --- */

/* On the caller's stack: offset of the C function (dword), IP, CS, flags. */
entry_common:
    cli
    cld
    pushw %ds
    pushl %eax
    pushl %ebx
    movw %ss, %ax
    movw $DATA_SEG, %bx
    movw %bx, %ds
    cmpw %bx, %ax
    je 1f
    movl stack_free, %eax
    cmpl $STACK_LOW, %eax
    ja 2f
    movl $STACK_TOP, %eax
    jmp 2f
1:  movzwl %sp, %eax
2:  subl $FRAME_BYTES, %eax
    andb $0xfc, %al
    movl frame, %ebx
    movl %ebx, R_OUTER(%eax)
    movl %eax, frame
    movw $DATA_SEG, %bx
    movw %gs, R_GS(%eax)
    movw %fs, R_FS(%eax)
    movw %es, R_ES(%eax)
    movl %edi, R_EDI(%eax)
    movl %esi, R_ESI(%eax)
    movl %ebp, R_EBP(%eax)
    movl %edx, R_EDX(%eax)
    movl %ecx, R_ECX(%eax)
    movl %esp, R_CALLER_ESP(%eax)
    movw %ss, R_CALLER_SS(%eax)
    movzwl %sp, %ebp
    movl 0(%ebp), %ecx
    movl %ecx, R_EBX(%eax)
    movl 4(%ebp), %ecx
    movl %ecx, R_EAX(%eax)
    movw 8(%ebp), %cx
    movw %cx, R_DS(%eax)
    movl 10(%ebp), %edx
    movl 14(%ebp), %ecx
    movl %ecx, R_IP(%eax)
    movw 18(%ebp), %cx
    movw %cx, R_FLAGS(%eax)
    movw %bx, %es
    movw %bx, %ss
    movl %eax, %esp
    calll *%edx
    movl %esp, %eax
    movl R_OUTER(%eax), %ecx
    movl %ecx, frame
    movw R_CALLER_SS(%eax), %ss
    movl R_CALLER_ESP(%eax), %esp
    movzwl %sp, %ebp
    movl R_IP(%eax), %ecx
    movl %ecx, 14(%ebp)
    movw R_FLAGS(%eax), %cx
    movw %cx, 18(%ebp)
    movl R_EAX(%eax), %ecx
    movl %ecx, 4(%ebp)
    movw R_DS(%eax), %cx
    movw %cx, 8(%ebp)
    movw R_GS(%eax), %gs
    movw R_FS(%eax), %fs
    movw R_ES(%eax), %es
    movl R_EDI(%eax), %edi
    movl R_ESI(%eax), %esi
    movl R_EBP(%eax), %ebp
    movl R_EBX(%eax), %ebx
    movl R_EDX(%eax), %edx
    movl R_ECX(%eax), %ecx
    addw $4, %sp
    popl %eax
    popw %ds
    addw $4, %sp
    iretw

    .macro ENTRY name
    .globl entry_\name
entry_\name:
    pushl $handle_\name
    jmp entry_common
    .endm
    /* Services: IBM's begin with STI, so that time goes on for a program that calls them with interrupts off. */
    .macro SERVICE name
    .globl entry_\name
entry_\name:
    sti
    nop
    rep; nop                    /* where emulators look for interrupts */
    pushl $handle_\name
    jmp entry_common
    .endm

    ENTRY 02
    ENTRY 05
    ENTRY 08
    ENTRY 09
    ENTRY 0e
    SERVICE 10
    ENTRY 11
    ENTRY 12
    SERVICE 13
    SERVICE 14
    SERVICE 15
    SERVICE 16
    SERVICE 17
    ENTRY 18
    ENTRY 19
    SERVICE 1a
    ENTRY 40
    ENTRY 70
    ENTRY 74
    ENTRY 75
    ENTRY 76
    ENTRY irq_master
    ENTRY irq_slave
    ENTRY unknown

    .globl entry_iret
entry_iret:
    iretw

/* To the stack of the program that has called us, with stack_free where ours ends; in POST we stay, below what a hook may
 * push. Both destroy the register. */
    .macro TO_CALLERS_STACK reg32
    movl frame, \reg32
    testl \reg32, \reg32
    jz 91f
    cmpw $DATA_SEG, R_CALLER_SS(\reg32)
    je 91f
    movl %esp, stack_free
    movw R_CALLER_SS(\reg32), %ss
    movl R_CALLER_ESP(\reg32), %esp
    jmp 92f
91: leal -HOOK_ROOM(%esp), \reg32
    movl \reg32, stack_free
92:
    .endm
    .macro TO_OUR_STACK reg16
    movw %ss, \reg16
    cmpw $DATA_SEG, \reg16
    je 93f
    movw $DATA_SEG, \reg16
    movw \reg16, %ss
    movl stack_free, %esp
93:
    .endm

/* void call_far(struct bregs *regs, uint32_t seg_off, uint32_t is_int): calls out of the BIOS with the registers in
 * *regs, carry too, and takes the results there. is_int: the target ends with IRET. Interrupts are off before and after. */
    .globl call_far
call_far:
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    pushl stack_free
    pushl %eax
    TO_CALLERS_STACK %ebx
    btw $0, R_FLAGS(%eax)       /* carry: what the target finds, and what an IRET that changes nothing returns */
    jecxz 1f
    pushfw
1:  pushw %cs
    pushw $call_far_back
    pushl %edx
    movl R_EDI(%eax), %edi
    movl R_ESI(%eax), %esi
    movl R_EBP(%eax), %ebp
    movl R_EBX(%eax), %ebx
    movl R_EDX(%eax), %edx
    movl R_ECX(%eax), %ecx
    movw R_ES(%eax), %es
    movw R_FS(%eax), %fs
    movw R_GS(%eax), %gs
    pushw R_DS(%eax)
    pushl R_EAX(%eax)
    popl %eax
    popw %ds
    lretw
call_far_back:
    pushfw
    cli
    cld
    pushw %ds
    pushl %eax
    movw $DATA_SEG, %ax
    movw %ax, %ds
    movw %ss, %ax
    cmpw $DATA_SEG, %ax
    je 1f
    movl stack_free, %eax
    movl (%eax), %eax
    jmp 2f
1:  movzwl %sp, %esp
    movl 8(%esp), %eax
2:  movl %ebx, R_EBX(%eax)
    movl %edx, R_EDX(%eax)
    movl %ecx, R_ECX(%eax)
    movl %edi, R_EDI(%eax)
    movl %esi, R_ESI(%eax)
    movl %ebp, R_EBP(%eax)
    movw %es, R_ES(%eax)
    movw %fs, R_FS(%eax)
    movw %gs, R_GS(%eax)
    popl R_EAX(%eax)
    popw R_DS(%eax)
    popw R_FLAGS(%eax)
    movw $DATA_SEG, %bx
    movw %bx, %es
    TO_OUR_STACK %bx
    popl %eax
    popl stack_free
    popl %ebp
    popl %edi
    popl %esi
    popl %ebx
    retl

/* void yield(void): lets pending interrupts in. */
    .globl yield
yield:
    pushl stack_free
    TO_CALLERS_STACK %eax
    sti
    nop
    rep; nop                    /* where emulators look for interrupts */
    cli
    cld
    TO_OUR_STACK %ax
    popl stack_free
    retl

/* void yield_halt(void): sleeps until an interrupt. */
    .globl yield_halt
yield_halt:
    pushl stack_free
    TO_CALLERS_STACK %eax
    sti
    hlt
    cli
    cld
    TO_OUR_STACK %ax
    popl stack_free
    retl

/* void mouse_call(uint32_t seg_off, uint32_t status_x, uint32_t y): the handler of INT 15h function C207h takes four
 * words on the stack and leaves them there. */
    .globl mouse_call
mouse_call:
    pushal
    pushl stack_free
    TO_CALLERS_STACK %ebx
    movl %edx, %ebx
    shrl $16, %ebx
    pushw %dx
    pushw %bx
    pushw %cx
    pushw $0
    pushw %cs
    pushw $1f
    pushl %eax
    lretw
1:  cli
    cld
    movw $DATA_SEG, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ss, %ax
    cmpw $DATA_SEG, %ax
    jne 2f
    movzwl %sp, %esp
    addl $8, %esp
2:  TO_OUR_STACK %ax
    popl stack_free
    popal
    retl

/* void boot_jump(uint32_t seg_off, uint32_t edx): leaves for a boot sector. */
    .globl boot_jump
boot_jump:
    xorl %ecx, %ecx
    movl $STACK_TOP, stack_free
    movl %ecx, frame
    movw %cx, %ss
    movl $0x7000, %esp
    pushw $0x0202
    pushl %eax
    movw %cx, %ds
    movw %cx, %es
    movw %cx, %fs
    movw %cx, %gs
    xorl %eax, %eax
    xorl %ebx, %ebx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %ebp, %ebp
    movw $0xaa55, %ax
    iretw

/* --- Protected-mode copies --- */

/* void pm_copy(uint32_t dest, uint32_t source, uint32_t len): physical addresses; POST only. */
    .globl pm_copy
pm_copy:
    pushl %esi
    pushl %edi
    movl %eax, %edi
    movl %edx, %esi
    lgdtl %cs:low_gdtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    jmp 1f
1:  movw $0x10, %dx
    movw %dx, %ds
    movw %dx, %es
    movl %ecx, %edx             /* device registers take dwords only */
    shrl $2, %ecx
    rep movsl (%esi), (%edi)
    movl %edx, %ecx
    andl $3, %ecx
    rep movsb (%esi), (%edi)
    movw $0x18, %dx
    movw %dx, %ds
    movw %dx, %es
    andb $0xfe, %al
    movl %eax, %cr0
    ljmpw $CODE_SEG, $2f
2:  movw $DATA_SEG, %ax
    movw %ax, %ds
    movw %ax, %es
    popl %edi
    popl %esi
    retl

/* void big_real(bool big): 4 GiB limits of DS, ES, FS and GS in real mode, as option ROMs expect while they initialise
 * (PCI Firmware Specification 3.0, 5.2.1.1), or 64 KiB again. */
    .globl big_real
big_real:
    movw $0x18, %dx
    testb %al, %al
    jz 1f
    movw $0x10, %dx
1:  lgdtl %cs:low_gdtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    jmp 1f
1:  movw %dx, %ds
    movw %dx, %es
    movw %dx, %fs
    movw %dx, %gs
    andb $0xfe, %al
    movl %eax, %cr0
    ljmpw $CODE_SEG, $2f
2:  movw $DATA_SEG, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    retl

    .balign 8
low_gdt:
    .quad 0
    .word 0xffff, 0, 0x9b0f, 0x0000     /* 08h: 16-bit code, base F0000h */
    .word 0xffff, 0, 0x9300, 0x00cf
    .word 0xffff, 0, 0x9300, 0x0000
low_gdtr:
    .word . - low_gdt - 1
    .long low_gdt + 0xf0000

/* void block_move(uint32_t gdt, uint32_t words): INT 15h function 87h with the caller's table at physical address
 * gdt: source is descriptor 10h, destination 18h. We fill 08h, 20h and 28h as the AT does. */
    .globl block_move
block_move:
    pushl %esi
    pushl %edi
    pushl %ebx
    movl %edx, %ecx
    movl %eax, block_gdtr + 2
    lgdtl block_gdtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpw $0x20, $1f
1:  movw $0x10, %dx
    movw %dx, %ds
    movw $0x18, %dx
    movw %dx, %es
    xorl %esi, %esi
    xorl %edi, %edi
    rep movsw (%esi), (%edi)
    movw $0x28, %dx
    movw %dx, %ds
    movw %dx, %es
    andb $0xfe, %al
    movl %eax, %cr0
    ljmpw $CODE_SEG, $2f
2:  movw $DATA_SEG, %ax
    movw %ax, %ds
    movw %ax, %es
    popl %ebx
    popl %edi
    popl %esi
    retl

/* void enter_protected(struct bregs *regs): INT 15h function 89h. Returns to the caller in protected mode, through its
 * descriptors: 18h DS, 20h ES, 28h SS, 30h CS; 38h is ours. DS is the real-mode one until the end. */
    .globl enter_protected
enter_protected:
    movl %eax, %edx
    lgdtl pm_gdtr
    lidtl pm_idtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpw $0x38, $1f
1:  movzwl R_CALLER_ESP(%edx), %eax
    addl $14, %eax              /* IP, CS, flags */
    movw $0x28, %cx
    movw %cx, %ss
    movl %eax, %esp
    movw $0x30, 2(%esp)
    movw $0x20, %cx
    movw %cx, %es
    movl R_EBX(%edx), %ebx
    movl R_EDI(%edx), %edi
    movl R_ESI(%edx), %esi
    movl R_EBP(%edx), %ebp
    pushl R_ECX(%edx)
    movl R_EDX(%edx), %edx
    movw $0x18, %ax
    movw %ax, %ds
    popl %ecx
    xorw %ax, %ax               /* AH 0, CF 0 */
    lretw $2

/* Plug and Play BIOS: entry points that say "function not supported". */
    .globl pnp_real, pnp_protected
pnp_real:
    movw $0x82, %ax
    lretw
pnp_protected:
    movw $0x82, %ax
    lretw

/* POST Memory Manager: called far, arguments on the stack, result in DX:AX. */
    .globl entry_pmm
entry_pmm:
    pushw %es
    pushl %edi
    movw %ss, %di
    movw %di, %es
    movzwl %sp, %edi
    addw $10, %di               /* behind what we have pushed, and the return address */
    pushfw
    pushw %cs
    pushw $1f
    pushl $handle_pmm
    jmp entry_common
1:  popl %edi
    popw %es
    lretw

    .data
    .balign 4
    .globl shadow_mark, stack_free
shadow_mark:
    .long 0
stack_free:                     /* where the next frame goes, when we are called from another stack */
    .long STACK_TOP
frame:                          /* the innermost: of the handler that runs; 0: POST */
    .long 0
block_gdtr:
    .word 0x2f
    .long 0
    .globl pm_gdtr, pm_idtr
pm_gdtr:
    .word 0
    .long 0
pm_idtr:
    .word 0
    .long 0

/* --- Entry points at fixed offsets --- */

    .section .fixed, "ax"
fixed_start:
    .macro AT offset
    .org \offset - 0xe000
    .endm

    AT 0xe05b
    jmp reset_start
    AT 0xe2c3
    jmp entry_02
    AT 0xe3fe
    jmp entry_13
    AT 0xe401
    .fill 16, 1, 0                      /* drive type 1 of the table, unused: see INT 41h */
    AT 0xe6f2
    jmp entry_19
    AT 0xe6f5
    .globl config_table
config_table:
    .word 8                             /* INT 15h function C0h */
    .byte 0xfc, 0x00, 0x01
    .byte 0x74                          /* 2nd PIC, RTC, INT 09h calls 15h/4Fh, extended BIOS area */
    .byte 0x40                          /* INT 16h function 09h */
    .byte 0x00, 0x00, 0x00
    AT 0xe729
    .word 0x0417, 0x0300, 0x0180, 0x00c0, 0x0060, 0x0030, 0x0018, 0x000c
    AT 0xe739
    jmp entry_14
    AT 0xe82e
    jmp entry_16
    AT 0xe987
    jmp entry_09
    AT 0xec59
    jmp entry_40
    AT 0xef57
    jmp entry_0e
    AT 0xefc7
    .globl diskette_table
diskette_table:                         /* 1.44M: step rate and unload, load, motor off, 512, sectors, gaps, fill, */
    .byte 0xdf, 0x02, 0x25, 0x02, 0x12, 0x1b, 0xff, 0x6c, 0xf6, 0x0f, 0x08  /* settle, motor on */
    AT 0xefd2
    jmp entry_17
    AT 0xf065
    jmp entry_10
    AT 0xf0a4
video_table:                            /* INT 1Dh: the 6845 in 40x25, 80x25, graphics, monochrome; */
    .byte 0x38, 0x28, 0x2d, 0x0a, 0x1f, 0x06, 0x19, 0x1c, 0x02, 0x07, 0x06, 0x07, 0, 0, 0, 0
    .byte 0x71, 0x50, 0x5a, 0x0a, 0x1f, 0x06, 0x19, 0x1c, 0x02, 0x07, 0x06, 0x07, 0, 0, 0, 0
    .byte 0x38, 0x28, 0x2d, 0x0a, 0x7f, 0x06, 0x64, 0x70, 0x02, 0x01, 0x06, 0x07, 0, 0, 0, 0
    .byte 0x61, 0x50, 0x52, 0x0f, 0x19, 0x06, 0x19, 0x19, 0x02, 0x0d, 0x0b, 0x0c, 0, 0, 0, 0
    .word 2048, 4096, 16384, 16384      /* size of the screen: 40x25, 80x25, 320x200, 640x200 */
    .byte 40, 40, 80, 80, 40, 40, 80, 80 /* columns of modes 0 to 7 */
    .byte 0x2c, 0x28, 0x2d, 0x29, 0x2a, 0x2e, 0x1e, 0x29 /* their mode register */
    AT 0xf841
    jmp entry_12
    AT 0xf84d
    jmp entry_11
    AT 0xf859
    jmp entry_15
    AT 0xfa6e
    .globl font_8x8                     /* filled from the video BIOS, for programs that know the place */
font_8x8:
    .fill 1024, 1, 0
    AT 0xfe6e
    jmp entry_1a
    AT 0xfea5
    jmp entry_08
    AT 0xff53
    iretw
    AT 0xff54
    jmp entry_05
    AT 0xfff0
    .globl reset_vector
reset_vector:
    ljmpw $CODE_SEG, $0xe05b
    AT 0xfff5
    .ascii "11/22/26"
    .byte 0
    .byte 0xfc                          /* model: AT */
    .byte 0
