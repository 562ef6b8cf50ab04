/* Protected-mode entry points: BIOS32 directory, PCI BIOS, APM. No data segment may be used: only registers, the
 * caller's stack and ports.
 *
 * BIOS32 Service Directory 0.4; PCI BIOS 2.1, chapter 3; APM 1.2, 4.6 (all take a far call).
 */
    .text
    .code32

/* EAX service, EBX function. AL 0: EBX base, ECX length, EDX entry offset. */
    .balign 16
    .globl bios32_entry
bios32_entry:
    pushfl
    cmpl $0x49435024, %eax      /* "$PCI" */
    jne 1f
    testl %ebx, %ebx
    jnz 2f
    movl $0xf0000, %ebx
    movl $0x10000, %ecx
    movl $pci32_entry, %edx
    xorb %al, %al
    popfl
    lretl
1:  movb $0x80, %al
    popfl
    lretl
2:  movb $0x81, %al
    popfl
    lretl

/* CF8h for bus BH, device and function BL, register %edi; changes EAX, EDX. */
pci32_address:
    movzwl %bx, %eax
    shll $8, %eax
    movl %edi, %edx
    andl $0xfc, %edx
    orl %edx, %eax
    orl $0x80000000, %eax
    movw $0xcf8, %dx
    outl %eax, %dx
    movl %edi, %edx
    andl $3, %edx
    addl $0xcfc, %edx
    ret

/* AH B1h, AL function, as INT 1Ah. */
pci32_entry:
    cmpb $0xb1, %ah
    jne pci32_bad
    cmpb $0x01, %al
    je pci32_present
    cmpb $0x02, %al
    je pci32_find
    cmpb $0x03, %al
    je pci32_find
    cmpb $0x08, %al
    jb pci32_bad
    cmpb $0x0d, %al
    jbe pci32_access
pci32_bad:
    movb $0x81, %ah
    stc
    lretl

pci32_present:
    movl $0x20494350, %edx
    movw $0x0001, %ax
    movw $0x0210, %bx
    movb $0, %cl
    clc
    lretl

pci32_access:
    pushl %edx
    pushl %eax
    movzbl %al, %eax
    subl $8, %eax               /* 0 1 2 read, 3 4 5 write: byte, word, dword */
    pushl %eax
    cmpl $3, %eax
    jb 1f
    subl $3, %eax
1:  xchgl %eax, %ecx
    movl $1, %edx
    shll %cl, %edx
    decl %edx
    xchgl %eax, %ecx
    testw %dx, %di
    jnz pci32_bad_register
    testl $0xff00, %edi
    jnz pci32_bad_register
    call pci32_address
    popl %eax
    cmpb $1, %al
    jb 2f
    je 3f
    cmpb $3, %al
    jb 4f
    je 5f
    cmpb $5, %al
    jb 6f
    movl %ecx, %eax
    outl %eax, %dx
    jmp 7f
2:  inb %dx, %al
    movb %al, %cl
    jmp 7f
3:  inw %dx, %ax
    movw %ax, %cx
    jmp 7f
4:  inl %dx, %eax
    movl %eax, %ecx
    jmp 7f
5:  movb %cl, %al
    outb %al, %dx
    jmp 7f
6:  movw %cx, %ax
    outw %ax, %dx
7:  popl %eax
    popl %edx
    movb $0, %ah
    clc
    lretl
pci32_bad_register:
    popl %eax
    popl %eax
    popl %edx
    movb $0x87, %ah
    stc
    lretl

/* 02: CX device, DX vendor; 03: ECX class code; SI index. BX is the place found. */
pci32_find:
    pushl %edi
    pushl %edx
    pushl %ecx
    pushl %esi
    pushl %eax
    cmpb $0x02, %al
    jne 1f
    cmpw $0xffff, %dx
    je 8f
    shll $16, %ecx
    movw %dx, %cx               /* ECX: what the register has to be */
    jmp 2f
1:  andl $0xffffff, %ecx
2:  xorl %ebx, %ebx
3:  xorl %edi, %edi
    call pci32_address
    inl %dx, %eax
    cmpw $0xffff, %ax
    je 7f
    cmpb $0x02, (%esp)
    je 4f
    movl $8, %edi
    call pci32_address
    inl %dx, %eax
    shrl $8, %eax
4:  cmpl %ecx, %eax
    jne 5f
    decw %si
    js 9f                       /* index was 0 */
5:  testb $7, %bl               /* function 0 of a single-function device: the others mirror it or are not there */
    jnz 6f
    movl $0x0c, %edi
    call pci32_address
    inl %dx, %eax
    testl $0x800000, %eax
    jnz 6f
    addw $8, %bx
    jmp 10f
7:  testb $7, %bl
    jnz 6f
    addw $8, %bx
    jmp 10f
6:  incw %bx
10: cmpw $0x100, %bx
    jb 3b
    popl %eax
    popl %esi
    popl %ecx
    popl %edx
    popl %edi
    movb $0x86, %ah
    stc
    lretl
8:  popl %eax
    popl %esi
    popl %ecx
    popl %edx
    popl %edi
    movb $0x83, %ah
    stc
    lretl
9:  popl %eax
    popl %esi
    popl %ecx
    popl %edx
    popl %edi
    movb $0, %ah
    clc
    lretl

/* APM functions 04h and up, by far call in protected mode; ret: the far return of the code's width. */
    .macro APM ret
    cmpb $0x53, %ah
    jne 9f
    cmpb $0x04, %al
    jb 9f
    cmpb $0x05, %al
    je 5f
    cmpb $0x07, %al
    je 7f
    cmpb $0x0a, %al
    je 10f
    cmpb $0x0b, %al
    je 11f
    cmpb $0x0c, %al
    je 12f
    cmpb $0x0e, %al
    je 14f
    cmpb $0x0f, %al
    ja 9f
    movb $0, %ah
    clc
    \ret
5:  pushf
    sti
    hlt
    popf
    movb $0, %ah
    clc
    \ret
7:  cmpw $3, %cx
    jne 8f
    cmpw $1, %bx
    jne 8f
    movw $0x604, %dx            /* PM_BASE + 4 in pci.c */
    movw $0x2000, %ax
    outw %ax, %dx
    cli
    hlt
8:  cmpw $0, %cx
    je 6f
    cmpw $4, %cx
    je 6f
    movb $0x60, %ah
    stc
    \ret
6:  movb $0, %ah
    clc
    \ret
10: movw $0x01ff, %bx
    movw $0x80ff, %cx
    movw $0xffff, %dx
    movb $0, %ah
    clc
    \ret
11: movb $0x80, %ah
    stc
    \ret
12: movw $0, %cx
    movb $0, %ah
    clc
    \ret
14: movw $0x0102, %ax
    clc
    \ret
9:  movb $0x0c, %ah
    stc
    \ret
    .endm

    .globl apm_entry32, apm_entry16
apm_entry32:
    APM lretl
    .code16
apm_entry16:
    APM lretw
