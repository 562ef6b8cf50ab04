/* Entry, ring 3, and the handlers whose cost is measured. Intel SDM vol. 3A, chapters 3, 5, 6; Multiboot
 * Specification 0.6.96. Every handler does what it must and no more, so that what is measured is the CPU's part. */
#define KCODE 0x08
#define KDATA 0x10
#define UCODE 0x1b
#define UDATA 0x23
#define FLAGS_IF 0x202

    .section .multiboot, "ax"
    .balign 4
    .long 0x1badb002, 3, -(0x1badb002 + 3)
    .globl _start
_start:                         /* at 10000Ch: rom.S */
    cld
    movl $boot_stack_top, %esp
    pushl %ebx
    pushl %eax
    call nano_main
1:  hlt
    jmp 1b

    .text

/* void gdt_load(const void *gdtr) */
    .globl gdt_load
gdt_load:
    movl 4(%esp), %eax
    lgdt (%eax)
    movw $KDATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    ljmp $KCODE, $1f
1:  ret

/* uint64_t user_run(const void *entry, uint32_t count): runs entry in ring 3 with EBX = count, until INT 81h; returns
 * what is in EDX:EAX then. */
    .globl user_run
user_run:
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    movl 20(%esp), %eax
    movl 24(%esp), %ebx
    movl %esp, user_run_esp
    movl $UDATA, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    pushl $UDATA
    pushl $user_stack_top
    pushl $FLAGS_IF
    pushl $UCODE
    pushl %eax
    iretl
    .globl on_user_end
on_user_end:
    movl $KDATA, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl user_run_esp, %esp
    popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    ret

/* --- Handlers --- */

    .globl on_syscall_int
on_syscall_int:
    iretl

    .globl on_sysenter
on_sysenter:
    sti
    sysexit

/* Goes on behind the instruction, which has two bytes. */
    .globl on_divide_error
on_divide_error:
    addl $2, (%esp)
    iretl

    .globl on_page_fault_skip
on_page_fault_skip:
    pushl %eax
    movl %cr2, %eax
    popl %eax
    addl $2, 4(%esp)
    addl $4, %esp
    iretl

/* Maps the page as the table says, as a kernel does with a fresh page of a process. */
    .globl on_page_fault_map
on_page_fault_map:
    pushl %eax
    pushl %ecx
    movl %cr2, %eax
    shrl $12, %eax
    andl $0x3ff, %eax
    movl %ss:demand_ptes(,%eax,4), %ecx
    movl %ecx, %ss:test_table(,%eax,4)
    popl %ecx
    popl %eax
    addl $4, %esp
    iretl

    .globl on_timer
on_timer:
    pushl %eax
    pushl %edx
    rdtsc
    movl %eax, %ss:timer_tsc
    movl %edx, %ss:timer_tsc + 4
    movb $0x20, %al
    outb %al, $0x20
    movl $1, %ss:timer_seen
    popl %edx
    popl %eax
    iretl

    .globl on_other
on_other:
    movl $KDATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %esp, %eax
    pushl %eax
    call nano_trap

/* --- Loops, each: uint64_t name(uint32_t count), ticks for count operations --- */

#define LOOP(name)                                                                                 \
    .globl name;                                                                                   \
    .balign 16;                                                                                    \
name:                                                                                              \
    pushl %ebx;                                                                                    \
    pushl %esi;                                                                                    \
    pushl %edi;                                                                                    \
    movl 16(%esp), %ebx;                                                                           \
    rdtsc;                                                                                         \
    movl %eax, %esi;                                                                               \
    movl %edx, %edi
#define LOOP_END                                                                                   \
    rdtsc;                                                                                         \
    subl %esi, %eax;                                                                               \
    sbbl %edi, %edx;                                                                               \
    popl %edi;                                                                                     \
    popl %esi;                                                                                     \
    popl %ebx;                                                                                     \
    ret

LOOP(loop_in)
1:  inb $0x21, %al              /* the interrupt controller's mask */
    decl %ebx
    jnz 1b
LOOP_END

LOOP(loop_out)
    movb $0xff, %al
1:  outb %al, $0x21
    decl %ebx
    jnz 1b
LOOP_END

LOOP(loop_cr3_write)
    movl %cr3, %ecx
1:  movl %ecx, %cr3
    decl %ebx
    jnz 1b
LOOP_END

LOOP(loop_call_ret)             /* 16 an iteration */
1:
    .rept 16
    call call_target
    .endr
    subl $16, %ebx
    jnz 1b
LOOP_END
    .balign 16
call_target:
    ret

LOOP(loop_call_indirect)        /* one site, four targets in turn */
1:  movl %ebx, %ecx
    andl $3, %ecx
    call *call_targets(,%ecx,4)
    decl %ebx
    jnz 1b
LOOP_END
    .balign 16
call_target_0: ret
    .balign 16
call_target_1: ret
    .balign 16
call_target_2: ret
    .balign 16
call_target_3: ret
    .balign 4
call_targets:
    .long call_target_0, call_target_1, call_target_2, call_target_3

LOOP(loop_page_fault)           /* TEST_REGION's first page is not present */
    movl $0x40000000, %ecx
1:  movb (%ecx), %al            /* two bytes: on_page_fault_skip */
    decl %ebx
    jnz 1b
LOOP_END

LOOP(loop_touch)                /* count pages of TEST_REGION, one after the other */
    movl $0x40000000, %ecx
1:  movb $1, (%ecx)
    addl $4096, %ecx
    decl %ebx
    jnz 1b
LOOP_END

LOOP(loop_divide_error)
    xorl %ecx, %ecx
1:  divl %ecx                   /* two bytes: on_divide_error */
    decl %ebx
    jnz 1b
LOOP_END

LOOP(loop_pte_modify)           /* a bit that is the kernel's own; 4 an iteration */
1:  xorl $0x200, test_table
    xorl $0x400, test_table
    xorl $0x200, test_table
    xorl $0x400, test_table
    subl $4, %ebx
    jnz 1b
LOOP_END

LOOP(loop_invlpg)
1:  invlpg 0x40000000
    decl %ebx
    jnz 1b
LOOP_END

LOOP(loop_page_remap)           /* another frame, INVLPG, a read */
1:  xorl $0x1000, test_table
    invlpg 0x40000000
    movb 0x40000000, %al
    decl %ebx
    jnz 1b
LOOP_END

LOOP(loop_rdtsc)                /* 4 an iteration */
1:
    .rept 4
    rdtsc
    .endr
    subl $4, %ebx
    jnz 1b
LOOP_END

LOOP(loop_context_switch)       /* two switches an iteration */
1:  movl $other_esp, %eax
    movl $main_esp, %edx
    movl other_cr3, %ecx
    call switch_to
    incl 0x40000000
    subl $2, %ebx
    jnz 1b
LOOP_END

/* Saves the stack pointer at (%edx), takes the one at (%eax) and the address space %ecx. */
    .balign 16
switch_to:
    pushl %ebp
    pushl %ebx
    pushl %esi
    pushl %edi
    movl %esp, (%edx)
    movl %ecx, %cr3
    movl (%eax), %esp
    popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    ret

    .globl other_thread
other_thread:
    incl 0x40000000
    movl $main_esp, %eax
    movl $other_esp, %edx
    movl main_cr3, %ecx
    call switch_to
    jmp other_thread

/* --- Ring 3; ends in INT 81h --- */

#define USER_LOOP(name)                                                                            \
    .globl name;                                                                                   \
    .balign 16;                                                                                    \
name:                                                                                              \
    rdtsc;                                                                                         \
    movl %eax, %esi;                                                                               \
    movl %edx, %edi
#define USER_LOOP_END                                                                              \
    rdtsc;                                                                                         \
    subl %esi, %eax;                                                                               \
    sbbl %edi, %edx;                                                                               \
    int $0x81;                                                                                     \
    ud2

    .section .user, "awx"
USER_LOOP(user_syscall_int)
1:  int $0x80
    decl %ebx
    jnz 1b
USER_LOOP_END

USER_LOOP(user_sysenter)
1:  movl $2f, %edx
    movl %esp, %ecx
    sysenter
2:  decl %ebx
    jnz 1b
USER_LOOP_END

USER_LOOP(user_touch)
    movl $0x40000000, %ecx
1:  movb $1, (%ecx)
    addl $4096, %ecx
    decl %ebx
    jnz 1b
USER_LOOP_END
    .balign 4096
    .space 4096
user_stack_top:

    .data
    .globl main_esp, other_esp, main_cr3, other_cr3
main_esp: .long 0
other_esp: .long 0
main_cr3: .long 0
other_cr3: .long 0
user_run_esp: .long 0

    .bss
    .balign 16
    .space 16384
boot_stack_top:
    .section .note.GNU-stack, "", @progbits
