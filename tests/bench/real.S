/* Real-mode and 16-bit protected-mode work, as a BIOS ROM that runs here and under QEMU (realmode.py).
 *
 * For each kernel a line on port E9h: its name, TSC cycles in hexadecimal, a checksum. Then port 501h ends it.
 *   10000h  code    30000h  data    20000h  stack    40000h  a program with code and data in one page
 */
        .code16
        .section .text
        .globl _start

        .equ DATA, 0x3000
        .equ STACK, 0x2000

/* --- what is copied to 1000:0 and runs there, in real mode and with 16-bit descriptors --- */
        .org 0
code_start:
/* Primes below 8192, 800 times: byte stores with a stride, byte loads, a counter. */
sieve:  movw $800, %bp
        xorw %dx, %dx
1:      movw $8192, %cx
        xorw %di, %di
        movb $1, %al
        cld
        rep stosb
        movw $2, %si
2:      cmpb $0, (%si)
        je 4f
        incw %dx
        movw %si, %di
        addw %si, %di
        jc 4f
3:      cmpw $8192, %di
        jae 4f
        movb $0, (%di)
        addw %si, %di
        jmp 3b
4:      incw %si
        cmpw $8192, %si
        jb 2b
        decw %bp
        jnz 1b
        movw %dx, %ax
        ret

/* CRC-16 of 4 KiB by a call per byte, 400 times. */
crc:    movw $400, %bp
        movw $0xffff, %dx
1:      xorw %si, %si
        movw $4096, %cx
2:      lodsb
        call crc_byte
        loop 2b
        decw %bp
        jnz 1b
        movw %dx, %ax
        ret
crc_byte:
        pushw %cx
        xorb %ah, %ah
        xorw %ax, %dx
        movw $8, %cx
3:      shrw $1, %dx
        jnc 4f
        xorw $0xa001, %dx
4:      loop 3b
        popw %cx
        ret

/* Insertion sort of 600 words out of a generator, 300 times. */
sort:   movw $300, %bp
        movw $1, %dx
1:      xorw %di, %di
2:      movw %dx, %ax
        movw $25173, %bx
        mulw %bx
        addw $13849, %ax
        movw %ax, %dx
        movw %ax, (%di)
        addw $2, %di
        cmpw $1200, %di
        jb 2b
        movw $2, %si
3:      movw (%si), %ax
        movw %si, %di
4:      cmpw %ax, -2(%di)
        jbe 5f
        movw -2(%di), %bx
        movw %bx, (%di)
        subw $2, %di
        jnz 4b
5:      movw %ax, (%di)
        addw $2, %si
        cmpw $1200, %si
        jb 3b
        decw %bp
        jnz 1b
        movw 600, %ax
        ret

/* fib(21) by recursion with a frame as compilers of the time made it, 80 times. */
fibs:   movw $80, %cx
        xorw %dx, %dx
1:      pushw %cx
        pushw %dx
        movw $21, %ax
        pushw %ax
        call fib
        addw $2, %sp
        popw %dx
        addw %ax, %dx
        popw %cx
        loop 1b
        movw %dx, %ax
        ret
fib:    pushw %bp
        movw %sp, %bp
        pushw %si
        movw 4(%bp), %ax
        cmpw $2, %ax
        jb 1f
        decw %ax
        pushw %ax
        call fib
        addw $2, %sp
        movw %ax, %si
        movw 4(%bp), %ax
        subw $2, %ax
        pushw %ax
        call fib
        addw $2, %sp
        addw %si, %ax
1:      popw %si
        popw %bp
        ret

/* Strings: copies, a search, a translation through a table, 2000 times. */
string: movw $2000, %bp
        xorw %dx, %dx
1:      xorw %si, %si
        movw $8192, %di
        movw $2048, %cx
        rep movsw
        movw $8192, %di
        movw $4096, %cx
        movb $0xee, %al
        repne scasb
        addw %cx, %dx
        xorw %si, %si
        movw $16384, %di
        movw $256, %bx
        movw $1024, %cx
2:      lodsb
        xlat
        stosb
        addb %al, %dl
        loop 2b
        decw %bp
        jnz 1b
        movw %dx, %ax
        ret

/* A large-model program: 300,000 far calls into another code segment, which takes a far pointer from the stack. */
large:  movw $60, %bp
        xorw %dx, %dx
1:      movw $5000, %cx
2:      pushw %cx
        movw %cx, %ax
        shlw $2, %ax
        pushw %ds
        pushw %ax
        lcall $0x1001, $(far_step - code_start - 16)
        addw $4, %sp
        addw %ax, %dx
        popw %cx
        loop 2b
        decw %bp
        jnz 1b
        movw %dx, %ax
        ret
far_step:
        pushw %bp
        movw %sp, %bp
        pushw %ds
        pushw %es
        ldsw 6(%bp), %si
        lesw 6(%bp), %di
        movw (%si), %ax
        addw %es:2(%di), %ax
        movw %ax, %es:2(%di)
        popw %es
        popw %ds
        popw %bp
        lret
code_end:

/* --- code and data in one page, copied to 4000:0100 as a .COM would be --- */
com_start:
com:    movw $0, %bx
        movw $20, %dx
0:      movw $50000, %cx
1:      incw com_counter - com_start + 0x100
        movw com_counter - com_start + 0x100, %ax
        andw $15, %ax
        movw %ax, %si
        addw %si, %si
        addw %cx, com_table - com_start + 0x100(%si)
        addw com_table - com_start + 0x100(%si), %bx
        call com_step
        loop 1b
        decw %dx
        jnz 0b
        movw %bx, %ax
        lret
com_step:
        movw %bx, com_last - com_start + 0x100
        rolw $1, %bx
        xorw com_last - com_start + 0x100, %bx
        ret
com_counter: .word 0
com_last:    .word 0
com_table:   .fill 16, 2, 0
com_end:

/* --- the ROM's own part --- */
        .org 0x2000
hex_nibble:
        andb $15, %al
        addb $'0', %al
        cmpb $'9', %al
        jbe 1f
        addb $'a' - '0' - 10, %al
1:      outb %al, $0xe9
        ret
/* EAX in hexadecimal */
hex32:  movw $8, %cx
1:      roll $4, %eax
        pushl %eax
        call hex_nibble
        popl %eax
        loop 1b
        ret
/* zero-terminated text at CS:SI */
print:  movb %cs:(%si), %al
        incw %si
        testb %al, %al
        jz 1f
        outb %al, $0xe9
        jmp print
1:      ret

/* Fills the data segment with a pattern: DS = data. */
fill:   xorw %di, %di
        movw $0x1234, %ax
1:      movw %ax, (%di)
        imulw $25173, %ax, %ax
        addw $13849, %ax
        addw $2, %di
        jnz 1b
        ret

/* Runs a kernel on fresh data and prints its line. In: DS = ES = data, GS = a scratch segment. */
        .macro RUN name, target
        call fill
        movw $text_\name, %si
        call print
        rdtsc
        movl %eax, %gs:0
        \target
        movw %ax, %gs:8
        rdtsc
        subl %gs:0, %eax
        call hex32
        movb $' ', %al
        outb %al, $0xe9
        movzwl %gs:8, %eax
        call hex32
        movb $'\n', %al
        outb %al, $0xe9
        .endm

start:  cli
        cld
        xorw %ax, %ax
        movw %ax, %ss
        movw $0x7000, %sp
        movw %cs, %ax
        movw %ax, %ds
        /* the kernels */
        movw $0x1000, %ax
        movw %ax, %es
        xorw %di, %di
        movw $code_start, %si
        movw $(code_end - code_start), %cx
        rep movsb
        /* far entries: call rel16; lret, one each, at 1000:0700 */
        movw $0x700, %di
        movw $entries, %si
        movw $6, %cx
1:      lodsw
        movb $0xe8, %es:(%di)
        leaw 3(%di), %bx
        subw %bx, %ax
        movw %ax, %es:1(%di)
        movb $0xcb, %es:3(%di)
        addw $4, %di
        loop 1b
        movw $0x4000, %ax
        movw %ax, %es
        movw $0x100, %di
        movw $com_start, %si
        movw $(com_end - com_start), %cx
        rep movsb
        xorw %ax, %ax
        movw %ax, %gs
        movw $STACK, %ax
        movw %ax, %ss
        movw $0xfff0, %sp
        movw $DATA, %ax
        movw %ax, %ds
        movw %ax, %es
        movw $0x50, %ax
        movw %ax, %gs
        RUN real_sieve, "lcall $0x1000, $0x700"
        RUN real_crc, "lcall $0x1000, $0x704"
        RUN real_sort, "lcall $0x1000, $0x708"
        RUN real_fib, "lcall $0x1000, $0x70c"
        RUN real_string, "lcall $0x1000, $0x710"
        RUN large_model, "lcall $0x1000, $0x714"
        movw $0x4000, %ax
        movw %ax, %ds
        movw $text_com, %si
        call print
        rdtsc
        movl %eax, %gs:0
        lcall $0x4000, $0x100
        movw %ax, %gs:8
        rdtsc
        subl %gs:0, %eax
        call hex32
        movb $' ', %al
        outb %al, $0xe9
        movzwl %gs:8, %eax
        call hex32
        movb $'\n', %al
        outb %al, $0xe9
        /* the same in 16-bit protected mode */
        lgdtl %cs:gdt_at
        movl %cr0, %eax
        orb $1, %al
        movl %eax, %cr0
        ljmp $0x08, $prot
prot:   movw $0x18, %ax
        movw %ax, %ds
        movw %ax, %es
        movw $0x20, %ax
        movw %ax, %ss
        movw $0xfff0, %sp
        movw $0x28, %ax
        movw %ax, %gs
        RUN prot_sieve, "lcall $0x10, $0x700"
        RUN prot_crc, "lcall $0x10, $0x704"
        RUN prot_sort, "lcall $0x10, $0x708"
        RUN prot_fib, "lcall $0x10, $0x70c"
        RUN prot_string, "lcall $0x10, $0x710"
        movw $0x501, %dx
        movb $0x10, %al
        outb %al, %dx
1:      hlt
        jmp 1b

entries: .word sieve, crc, sort, fibs, string, large
text_real_sieve:  .asciz "real_sieve "
text_real_crc:    .asciz "real_crc "
text_real_sort:   .asciz "real_sort "
text_real_fib:    .asciz "real_fib "
text_real_string: .asciz "real_string "
text_large_model: .asciz "large_model "
text_com:         .asciz "one_page "
text_prot_sieve:  .asciz "prot_sieve "
text_prot_crc:    .asciz "prot_crc "
text_prot_sort:   .asciz "prot_sort "
text_prot_fib:    .asciz "prot_fib "
text_prot_string: .asciz "prot_string "
        .balign 8
gdt:    .quad 0
        .quad 0x00009b0f0000ffff /* 08h: this ROM, base F0000h */
        .quad 0x00009b010000ffff /* 10h: code, 10000h */
        .quad 0x000093030000ffff /* 18h: data, 30000h */
        .quad 0x000093020000ffff /* 20h: stack, 20000h */
        .quad 0x000093000500ffff /* 28h: 500h */
gdt_at: .word gdt_at - gdt - 1
        .long 0xf0000 + gdt

        .org 0xfff0
_start: ljmp $0xf000, $start
        .org 0x10000
