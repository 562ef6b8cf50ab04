/* Boot sector of the BIOS tests, and what C cannot do: calls into the BIOS, interrupt hooks.
 *
 * Boots from a 1.44M floppy; loads the rest to 1000:0, where code, data and stack share one segment.
 */
#define SEG 0x1000
#define LOAD_SECTORS 80

    .code16
    .section .boot, "ax"
    .globl _start
_start:
    ljmpw $0x7c0, $1f - _start
1:  cli
    movw $0x7c0, %ax
    movw %ax, %ds
    xorw %ax, %ax
    movw %ax, %ss
    movw $0x7c00, %sp
    sti
    movb %dl, drive - _start
    movw $SEG, %ax
    movw %ax, %es
    xorw %bx, %bx               /* destination */
    cmpb $3, medium - _start    /* all of it was loaded: a CD without emulation */
    jne 4f
    movw $512 + LOAD_SECTORS * 512 - 2, %si
    movw $LOAD_SECTORS * 512 - 2, %di
    movw $LOAD_SECTORS * 256, %cx
    std                         /* from its end: the two places overlap */
    rep movsw
    cld
    jmp 5f
4:  movw $1, %si                /* sector to load, from 0 */
    movw $LOAD_SECTORS, %di
2:  movw %si, %ax               /* one sector at a time: no BIOS gets that wrong */
    movb $18, %cl
    divb %cl
    movb %ah, %cl
    incb %cl
    movb $0, %dh
    shrb $1, %al
    adcb $0, %dh
    movb %al, %ch
    movb drive - _start, %dl
    movw $0x0201, %ax
    int $0x13
    jnc 3f
    decb tries - _start
    jnz 2b
    movb $'!', %al
    outb %al, $0xe9
    movb $2, %al
    movw $0x501, %dx
    outb %al, %dx
3:  addw $512, %bx
    incw %si
    decw %di
    jnz 2b
5:  movb drive - _start, %dl
    ljmpw $SEG, $start2
drive:
    .byte 0
tries:
    .byte 9
    .org 508                    /* filled by run.py: 0 floppy, 1 to 3 CD as floppy, as disk, as it is */
medium:
    .byte 0
    .byte 0                     /* bit 0: resets come back; bit 1: hooks may go deep */
    .org 510
    .word 0xaa55

    .text
    .globl start2
start2:
    cli
    movw $SEG, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0xfff0, %esp
    cld
    sti
    movzbl %dl, %eax
    pushl %eax
    calll guest_main
    hlt

/* void bios_int(unsigned vector, struct bregs *regs): INT n with all registers from *regs and back to it. flags:
 * what the caller's image says afterwards. */
    .globl bios_int
bios_int:
    pushal
    movl 36(%esp), %eax
    movb %al, vector
    movl 40(%esp), %ebp
    movl %ebp, regs_at
    movl 12(%ebp), %esi         /* struct bregs, bios/lib/regs.h */
    movl 8(%ebp), %edi
    movl 20(%ebp), %ebx
    movl 24(%ebp), %edx
    movl 28(%ebp), %ecx
    movw 4(%ebp), %es
    movw 2(%ebp), %fs
    movw 0(%ebp), %gs
    pushl 32(%ebp)
    pushw 6(%ebp)
    movl 16(%ebp), %ebp
    popw %ds
    popl %eax
    sti
    .byte 0xcd
vector:
    .byte 0
    pushfw
    pushw %ds
    pushl %ebp
    movw %cs, %bp
    movw %bp, %ds
    movl regs_at, %ebp
    movl %eax, 32(%ebp)
    movl %esi, 12(%ebp)
    movl %edi, 8(%ebp)
    movl %ebx, 20(%ebp)
    movl %edx, 24(%ebp)
    movl %ecx, 28(%ebp)
    movw %es, 4(%ebp)
    movw %fs, 2(%ebp)
    movw %gs, 0(%ebp)
    popl 16(%ebp)
    popw 6(%ebp)
    popw 40(%ebp)
    movw %cs, %ax
    movw %ax, %es
    cld
    popal
    retl

/* uint32_t int_on_small_stack(unsigned vector, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx): the same on a
 * stack of 128 bytes between guards at 3000:0, with ESP's upper half full; EAX, or FFFFFFFFh if a guard was hit. */
    .globl int_on_small_stack
int_on_small_stack:
    pushl %ebp
    pushl %ebx
    pushl %esi
    movl 16(%esp), %eax
    movb %al, 2f + 1
    movl 20(%esp), %eax
    movl 24(%esp), %ebx
    movl 28(%esp), %ecx
    movl 32(%esp), %edx
    movl %esp, saved_esp
    movw $0x3000, %bp
    movw %bp, %fs
    movl $0x600dcafe, %fs:0x100
    movl $0x600dcafe, %fs:0x184
    movw $0x4000, %bp           /* BUFFER */
    movw %bp, %es
    cli
    movw $0x3000, %bp
    movw %bp, %ss
    movl $0x12340184, %esp
    sti
    jmp 2f
2:  int $0
    cli
    movl %esp, %esi
    movw %cs, %bp
    movw %bp, %ss
    movl saved_esp, %esp
    sti
    cmpl $0x12340184, %esi
    jne 3f
    movw $0x3000, %bp
    movw %bp, %fs
    cmpl $0x600dcafe, %fs:0x100
    jne 3f
    cmpl $0x600dcafe, %fs:0x184
    je 4f
3:  movl $0xffffffff, %eax
4:  movw %cs, %bp
    movw %bp, %ds
    movw %bp, %es
    popl %esi
    popl %ebx
    popl %ebp
    retl

/* Hooks that count. */
    .macro COUNTER name
    .globl hook_\name, count_\name
hook_\name:
    incl %cs:count_\name
    iretw
    .data
count_\name:
    .long 0
    .text
    .endm
    COUNTER 1b
    COUNTER 1c
    COUNTER 4a
    COUNTER 02

/* Hooks that leave the interrupted stack, as DOS's STACKS do in hardware interrupts, and use the BIOS from their own,
 * 3000:400h and 3000:600h: INT 08h goes on to the BIOS's, INT 1Ch asks for a key. */
    .macro STACKS name, top, code
    .globl hook_\name, count_\name
hook_\name:
    pushal
    pushw %ds
    movw %cs, %ax
    movw %ax, %ds
    movw %ss, left_\name
    movw %sp, left_\name + 2
    movw $0x3000, %ax
    movw %ax, %ss
    movw $\top, %sp
    \code
    cli
    movw left_\name, %ss
    movw left_\name + 2, %sp
    incl count_\name
    popw %ds
    popal
    iretw
    .data
left_\name:
    .word 0, 0
count_\name:
    .long 0
    .text
    .endm
    STACKS 08, 0x400, "pushfw; lcallw *old_08"
    STACKS 1c_bios, 0x600, "movb $1, %ah; int $0x16"
    .data
    .globl old_08
old_08:
    .long 0
    .text

/* INT 15h: 4Fh turns scan code 1Eh (A) into 30h (B), the rest goes on. Without carry it is no call of the keyboard's. */
    .globl hook_15, old_15
hook_15:
    jnc 1f
    cmpw $0x4f1e, %ax
    jne 1f
    movb $0x30, %al
    incl %cs:count_15
    pushw %bp
    movw %sp, %bp
    orw $1, 6(%bp)              /* carry */
    popw %bp
    iretw
1:  ljmpw *%cs:old_15

/* Another, which leaves each key to the BIOS by doing nothing: what carry was is in the flags that IRET takes. */
    .globl hook_15_leaves
hook_15_leaves:
    cmpb $0x4f, %ah
    jne 1b
    iretw
    .data
    .globl count_15
count_15:
    .long 0
old_15:
    .long 0
    .text

/* A hook of INT 9 that reads the key before it goes on. */
    .globl hook_09, old_09
hook_09:
    pushw %ax
    inb $0x60, %al
    popw %ax
    ljmpw *%cs:old_09
    .data
old_09:
    .long 0
    .text

/* void int_with_if0(unsigned vector, uint32_t eax): INT n with interrupts off before and after. */
    .globl int_with_if0
int_with_if0:
    pushal
    movl 36(%esp), %eax
    movb %al, 1f + 1
    movl 40(%esp), %eax
    movl %eax, %edx
    xorl %ebx, %ebx
    xorl %edx, %edx
    movw %ax, %dx
    cli
    jmp 1f
1:  .byte 0xcd, 0
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    movw %ax, %es
    popal
    retl

/* A timer hook in the manner of 1985: it ends the interrupt, lets the next ones in, uses much of the stack that it finds,
 * switches to its own and waits for a key there; while it waits, the next tick does the same, DEEP times. The last gives
 * each of them its key. */
#define DEEP 12
#define DEEP_USE 0x600
    .globl hook_deep, deep_count, deep_bad
hook_deep:
    pushal
    pushw %ds
    pushw %es
    movw %cs, %ax
    movw %ax, %ds
    cmpb $DEEP, deep_count
    jae 4f
    incb deep_count
    movb $0x20, %al
    outb %al, $0x20
    movw %ss, %ax
    movw %ax, %es
    cld
    subw $DEEP_USE, %sp
    movw %sp, %di
    movw $DEEP_USE / 2, %cx
    movw $0xdead, %ax
    rep stosw
    movzbl deep_count, %ebx
    movl %ebx, %ebp
    movw %sp, deep_sp(,%ebx,4)
    movw %ss, deep_sp + 2(,%ebx,4)
    shlw $12, %bx
    movw $0x5000, %ax
    movw %ax, %ss
    movw %bx, %sp
    pushl $0x13579bdf
    cmpb $DEEP, deep_count
    jb 2f
    movw $DEEP + 1, %si
1:  movw $0x0500, %ax
    movw $0x1e61, %cx
    int $0x16
    decw %si
    jnz 1b
2:  sti
    movl $0x2468ace0, %ecx
    movl %ebp, %edx
    movw $0x0000, %ax
    int $0x16
    cli
    cmpw $0x1e61, %ax
    jne 3f
    cmpl $0x2468ace0, %ecx
    jne 3f
    cmpl %ebp, %edx
    jne 3f
    popl %eax
    cmpl $0x13579bdf, %eax
    jne 3f
    jmp 5f
3:  incb %cs:deep_bad
5:  movw %cs, %ax
    movw %ax, %ds
    movl %ebp, %ebx
    movw deep_sp + 2(,%ebx,4), %ss
    movw deep_sp(,%ebx,4), %sp
    movw %ss, %ax
    movw %ax, %es
    movw %sp, %di
    movw $DEEP_USE / 2, %cx
    movw $0xdead, %ax
    cld
    repe scasw
    je 6f
    incb deep_bad
6:  addw $DEEP_USE, %sp
4:  popw %es
    popw %ds
    popal
    iretw
    .data
    .balign 4
deep_sp:
    .space 4 * (DEEP + 1)
deep_count:
    .byte 0
deep_bad:
    .byte 0
    .text

/* The mouse handler of INT 15h function C207h: status, X, Y, 0 on the stack. */
    .globl mouse_handler
mouse_handler:
    pushw %bp
    movw %sp, %bp
    pushl %eax
    movw 12(%bp), %ax
    movw %ax, %cs:mouse_seen
    movw 10(%bp), %ax
    movw %ax, %cs:mouse_seen + 2
    movw 8(%bp), %ax
    movw %ax, %cs:mouse_seen + 4
    movw 6(%bp), %ax
    movw %ax, %cs:mouse_seen + 6
    incl %cs:mouse_count
    popl %eax
    popw %bp
    lretw

    .data
    .balign 4
    .globl mouse_seen, mouse_count
mouse_seen:
    .word 0, 0, 0, 0
mouse_count:
    .long 0
regs_at:
    .long 0
saved_esp:
    .long 0

/* uint32_t call_bios32(uint32_t entry, struct pm_regs *regs): far call in 32-bit protected mode, flat, to a linear address;
 * struct pm_regs is eax, ebx, ecx, edx, esi, edi. Returns the flags. */
    .text
    .globl call_bios32
call_bios32:
    pushal
    movl 36(%esp), %eax
    movl %eax, pm_target
    movl 40(%esp), %ebp
    cli
    lgdtl pm_gdtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $0x08, $1f
    .code32
1:  movw $0x10, %ax             /* flat, as operating systems call */
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs               /* a BIOS saves and reloads them */
    movw %ax, %gs
    addl $SEG * 16, %esp
    addl $SEG * 16, %ebp
    movl (%ebp), %eax
    movl 4(%ebp), %ebx
    movl 8(%ebp), %ecx
    movl 12(%ebp), %edx
    movl 16(%ebp), %esi
    movl 20(%ebp), %edi
    pushl %ebp
    lcall *pm_target + SEG * 16
    popl %ebp
    pushfl
    movl %eax, (%ebp)
    movl %ebx, 4(%ebp)
    movl %ecx, 8(%ebp)
    movl %edx, 12(%ebp)
    movl %esi, 16(%ebp)
    movl %edi, 20(%ebp)
    popl %eax
    movl %eax, pm_flags + SEG * 16
    subl $SEG * 16, %esp
    ljmpl $0x28, $2f
    .code16
2:  movw $0x30, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmpw $SEG, $3f
3:  movw $SEG, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    sti
    popal
    movl pm_flags, %eax
    retl

/* uint32_t v86_int(struct pm_regs *regs, unsigned vector): INT n in virtual 8086 mode (IOPL 3, interrupts on, the PC's own ports open), under
 * a monitor that reflects interrupts through the vectors at 0:0 and lets HLT pass. ES is BUFFER. 0, or what else the
 * code did: exception << 8 | opcode byte. */
#define BASE (SEG * 16)
#define V86_IDT 0x60000             /* 256 gates, then the TSS with its bitmap, then the stack's top at 6F000h */
#define V86_TSS 0x60800
    .text
    .globl v86_int
v86_int:
    pushal
    movl 36(%esp), %ebp
    movl 40(%esp), %eax
    movb %al, v86_vector
    movl %esp, saved_esp
    movl %ebp, regs_at
    cli
    movb $0x89, pm_tss_access       /* not busy */
    lgdtl pm_gdtr
    lidtl v86_idtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $0x08, $1f
    .code32
1:  movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x6f000, %esp
    movl $V86_IDT, %edi             /* gates: interrupt, 32 bits, ring 0 */
    movl $v86_stubs, %eax
2:  movw %ax, (%edi)
    movl $0x8e000008, 2(%edi)
    movb $0, 4(%edi)
    movb $0x8e, 5(%edi)
    movw $0, 6(%edi)
    addl $8, %edi
    addl $8, %eax
    cmpl $V86_IDT + 0x800, %edi
    jb 2b
    xorl %eax, %eax                 /* TSS: SS0:ESP0, bitmap behind it */
    movl $0x2100 / 4, %ecx
    rep stosl
    movl $0x6f000, V86_TSS + 4
    movl $0x10, V86_TSS + 8
    movw $0x68, V86_TSS + 102
    movb $0xff, V86_TSS + 0x68 + 0x2000
    movl $V86_TSS + 0x68 + 0x400 / 8, %edi  /* shut above 3FFh, but for the power management block at 600h */
    movl $(0x2000 - 0x400 / 8) / 4, %ecx
    movl $0xffffffff, %eax
    rep stosl
    movl $0, V86_TSS + 0x68 + 0x600 / 8
    movl $0, V86_TSS + 0x68 + 0x620 / 8
    movw $0x38, %ax
    ltr %ax
    movl regs_at + BASE, %ebp
    addl $BASE, %ebp
    pushl $0x5678                   /* GS FS DS ES SS ESP EFLAGS CS EIP */
    pushl $0x1234
    pushl $SEG
    pushl $0x4000
    pushl $SEG
    movl saved_esp + BASE, %eax
    subl $64, %eax
    pushl %eax
    pushl $0x23202                  /* VM, IOPL 3, IF */
    pushl $SEG
    pushl $v86_code
    movl (%ebp), %eax
    movl 4(%ebp), %ebx
    movl 8(%ebp), %ecx
    movl 12(%ebp), %edx
    movl 16(%ebp), %esi
    movl 20(%ebp), %edi
    iretl

    .balign 8
v86_stubs:
    .set n, 0
    .rept 256
    .balign 8
    push $n - 128                   /* two bytes each: common adds 128 */
    jmp v86_common
    .set n, n + 1
    .endr

v86_common:                         /* vector, (error code for 13), EIP, CS, EFLAGS, ESP, SS */
    pushal
    movw $0x10, %ax
    movw %ax, %ds
    movl 32(%esp), %ebx
    addl $128, %ebx
    leal 36(%esp), %ebp             /* at EIP */
    cmpl $13, %ebx
    jne 3f
    addl $4, %ebp
    movzwl 4(%ebp), %esi
    shll $4, %esi
    addl (%ebp), %esi
    movzbl (%esi), %eax
    cmpb $0xf4, %al
    je 1f
    cmpb $0xcd, %al
    jne v86_leave
    movzbl 1(%esi), %ebx
    addl $2, (%ebp)
    jmp 4f
1:  incl (%ebp)                     /* HLT */
    jmp 5f
3:  movzwl 4(%ebp), %esi
    shll $4, %esi
    addl (%ebp), %esi
    movzbl (%esi), %eax
    cmpl $8, %ebx
    jb v86_leave
    cmpl $0x10, %ebx
    jb 4f
    cmpl $0x70, %ebx
    jb v86_leave
    cmpl $0x78, %ebx
    jae v86_leave
4:  movzwl 16(%ebp), %edi           /* reflect interrupt EBX */
    shll $4, %edi
    movl 12(%ebp), %ecx
    subw $6, %cx
    movl %ecx, 12(%ebp)
    movzwl %cx, %ecx
    movl (%ebp), %edx
    movw %dx, (%edi,%ecx)
    movl 4(%ebp), %edx
    movw %dx, 2(%edi,%ecx)
    movl 8(%ebp), %edx
    movw %dx, 4(%edi,%ecx)
    andl $~0x300, 8(%ebp)
    movzwl (,%ebx,4), %edx
    movl %edx, (%ebp)
    movzwl 2(,%ebx,4), %edx
    movl %edx, 4(%ebp)
5:  movl %ebp, 12(%esp)             /* POPA skips it: where IRET's frame is */
    movl 12(%esp), %eax
    movl %eax, v86_frame + BASE
    popal
    movl %ss:v86_frame + BASE, %esp
    iretl

v86_leave:                          /* EBX vector, EAX the byte: UD2 of v86_code is the good end */
    movl regs_at + BASE, %edi
    addl $BASE, %edi
    movl 28(%esp), %edx
    movl %edx, (%edi)
    movl 16(%esp), %edx
    movl %edx, 4(%edi)
    movl 24(%esp), %edx
    movl %edx, 8(%edi)
    movl 20(%esp), %edx
    movl %edx, 12(%edi)
    movl 4(%esp), %edx
    movl %edx, 16(%edi)
    movl 8(%ebp), %edx              /* EFLAGS for EDI's place */
    movl %edx, 20(%edi)
    movl %ebx, %ecx
    shll $8, %ecx
    orl %eax, %ecx
    cmpl $0x60f, %ecx
    jne 1f
    xorl %ecx, %ecx
1:  movl %ecx, pm_flags + BASE
    ljmpl $0x28, $1f
    .code16
1:  movw $0x30, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs
    movw %ax, %gs
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmpw $SEG, $1f
1:  movw $SEG, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl saved_esp, %esp
    lidtl real_idtr
    sti
    popal
    movl pm_flags, %eax
    retl

v86_code:
    .byte 0xcd
v86_vector:
    .byte 0
    ud2

    .data
    .balign 4
v86_frame:
    .long 0
v86_idtr:
    .word 0x7ff
    .long V86_IDT

/* bool enter_by_bios(void): into protected mode by INT 15h function 89h with the table at 4000:0, and back. */
    .text
    .globl enter_by_bios
enter_by_bios:
    pushal
    cli
    movl %esp, saved_esp
    movl $0, pm_flags
    movw $0x4000, %ax
    movw %ax, %es
    xorw %si, %si
    movl $0x2468ace0, %ecx
    movw $0x5068, %bx
    movw $0x8900, %ax
    int $0x15
    jc 2f
    smswl %edx
    testb $1, %dl
    jz 2f
    cmpl $0x2468ace0, %ecx
    jne 1f
    movw %es, %dx
    cmpw $0x20, %dx
    jne 1f
    movw %cs, %dx
    cmpw $0x30, %dx
    jne 1f
    movb $1, pm_flags           /* DS reaches us, too */
1:  movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmpw $SEG, $2f
2:  movw %cs, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl saved_esp, %esp
    lidtl real_idtr
    popal
    movzbl pm_flags, %eax
    retl

/* void reset_and_resume(unsigned way): resets the CPU with shutdown byte 0Ah and comes back by way of 40:67.
 * 0: port 92h, 1: keyboard controller, 2: triple fault, 3: CF9h. */
    .text
    .globl reset_and_resume
reset_and_resume:
    movl 4(%esp), %ebx
    pushal
    cli
    movb $0x8f, %al
    outb %al, $0x70
    movb $0x0a, %al
    outb %al, $0x71
    movw $0x40, %ax
    movw %ax, %es
    movw $9f, %es:0x67
    movw %cs, %es:0x69
    movl %esp, saved_esp
    cmpl $1, %ebx
    je 1f
    cmpl $2, %ebx
    je 2f
    cmpl $3, %ebx
    je 3f
    inb $0x92, %al
    andb $0xfe, %al
    outb %al, $0x92
    orb $1, %al
    outb %al, $0x92
    jmp 5f
1:  movb $0xfe, %al
    outb %al, $0x64
    jmp 5f
2:  lidtl no_idtr
    int $3
3:  movw $0xcf9, %dx
    movb $0x02, %al
    outb %al, %dx
    movb $0x06, %al
    outb %al, %dx
5:  hlt
    jmp 5b
9:  movw %cs, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl saved_esp, %esp
    cld
    popal
    retl

    .data
    .balign 8
no_idtr:
    .word 0
    .long 0
real_idtr:
    .word 0x3ff
    .long 0
pm_gdt:
    .quad 0
    .word 0xffff, 0x0000, 0x9b01, 0x0040 /* 08h: 32-bit code at 10000h */
    .word 0xffff, 0x0000, 0x9300, 0x00cf /* 10h: flat data */
    .quad 0
    .word 0xffff, 0x0000, 0x9b00, 0x00cf /* 20h: flat code */
    .word 0xffff, 0x0000, 0x9b01, 0x0000 /* 28h: 16-bit code at 10000h */
    .word 0xffff, 0x0000, 0x9301, 0x0000 /* 30h: 16-bit data there */
    .word 0x2068, V86_TSS & 0xffff       /* 38h: TSS */
    .byte V86_TSS >> 16
pm_tss_access:
    .byte 0x89, 0, 0
pm_gdtr:
    .word . - pm_gdt - 1
    .long pm_gdt + 0x10000
    .globl pm_target
pm_target:
    .long 0
    .word 0x20                  /* flat */
pm_flags:
    .long 0
