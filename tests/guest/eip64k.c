/* 16-bit code at offsets beyond 64 KiB and across FFFFh. EIP has 32 bits there, too: what runs on keeps them, a jump
 * with 16-bit operands clears the upper half, a call pushes what its operand size holds (Intel SDM vol. 2, JMP, Jcc,
 * CALL, RET, LOOP; vol. 3A, 21.3). Everything runs several times, so that translations are entered in every way there
 * is. */
#include "guest.h"

enum {
    SEL_BIG = GDT_FREE,       /* 16-bit code, base 0, limit 4 GiB, ring 3 */
    SEL_64K = GDT_FREE + 8,   /* limit FFFFh */
    SEL_BIG0 = GDT_FREE + 16, /* 4 GiB, ring 0: for real mode with that limit */
    SEL_D16 = GDT_FREE + 24,
};
_Static_assert(SEL_BIG0 == 0x60 && SEL_D16 == 0x68, "in the assembly");

#define HIGH   0x28000u /* where the code is */
#define LOW    0x08000u /* the same in 16 bits: where it goes */
#define ROUNDS 3

#define PIECE(name, text) \
    extern uint8_t name[], name##_end[]; \
    __asm__(".pushsection .data.piece,\"aw\"\n.balign 16\n.code16\n" #name ":\n" text "\n" #name \
            "_end:\n.code32\n.popsection\n")

PIECE(p_done, "int $0x80");
/* Runs on through 200 instructions, then back and forth with 32-bit operands. */
PIECE(p_straight, ".rept 200\n incw %ax\n .endr\n int $0x80");
PIECE(p_loop32, "movw $5, %cx\n 1: incw %ax\n nop\n decw %cx\n .byte 0x66, 0x0f, 0x85\n .long 1b-.-4\n int $0x80");
PIECE(p_call32, ".byte 0x66, 0xe8\n .long 1f-.-4\n incw %ax\n int $0x80\n 1: addw $0x100, %ax\n retl");
PIECE(p_jmp32, "jmpl *%ebx");
/* With 16-bit operands: to the low 64 KiB. */
PIECE(p_jmp16, "incw %ax\n jmp 1f\n nop\n 1:");
PIECE(p_jcc16, "cmpw %ax, %ax\n jnz 1f\n movw $1, %ax\n jz 1f\n nop\n 1:");
PIECE(p_jcc16_near, "cmpw %ax, %ax\n .byte 0x0f, 0x84\n .word 1f-.-2\n nop\n 1:");
PIECE(p_loop16, "movw $2, %cx\n incw %ax\n loop 1f\n nop\n 1:");
PIECE(p_loop16_ends, "movw $1, %cx\n loop 1f\n incw %ax\n 1: incw %ax\n int $0x80");
PIECE(p_jcxz16, "xorw %cx, %cx\n jcxz 1f\n nop\n 1:");
PIECE(p_call16, "incw %ax\n call 1f\n p_call16_back: nop\n 1:");
PIECE(p_call16_ind, "incw %ax\n call *%bx\n p_call16_ind_back: nop");
PIECE(p_ret16, "pushw %bx\n retw");
PIECE(p_jmp16_ind, "jmp *%bx");
/* 16 bits pushed beyond 64 KiB and returned to. */
PIECE(p_ret_only, "addw $0x10, %ax\n retw");
extern uint8_t p_call16_back[], p_call16_ind_back[];

static uint32_t size_of(const uint8_t *piece, const uint8_t *end)
{
    return (uint32_t)(end - piece);
}

/* INT 80h all over the low copy of the place, so that wherever a jump goes there it ends, and EIP tells where. */
static void paint_low(void)
{
    for (uint32_t at = LOW - 64; at < LOW + 512; at += 2)
        memcpy((void *)at, p_done, 2);
}

static void start(struct state *s, uint16_t cs, uint32_t at)
{
    state_init(s, 3, (void *)at);
    s->cs = cs | 3;
    s->eax = s->ecx = 0;
    s->ebx = LOW + 0x40;
}

static void expect(const char *name, const uint8_t *piece, const uint8_t *end, uint32_t at, uint32_t eax, uint32_t eip)
{
    struct state s;
    bool ok = true;

    memcpy((void *)at, piece, size_of(piece, end));
    for (unsigned round = 0; round < ROUNDS && ok; round++) {
        start(&s, SEL_BIG, at);
        if (piece == p_jmp32)
            s.ebx = HIGH + 0x1000;
        run(&s);
        ok = s.vector == VEC_DONE && s.eax == eax && s.eip == eip;
    }
    if (!check(ok, "%s", name))
        print("# vector %u error %x eax %x eip %x, want eax %x eip %x\n", (unsigned)s.vector, (unsigned)s.error,
              (unsigned)s.eax, (unsigned)s.eip, (unsigned)eax, (unsigned)eip);
}

#define EXPECT(name, piece, eax, eip) expect(name, piece, piece##_end, HIGH, eax, eip)
#define END_OF(piece)                 (HIGH + size_of(piece, piece##_end))
/* Where a 16-bit jump to the end of the piece goes, and the INT 80h that is met there (they lie at even places). */
#define LOW_END(piece) ((LOW + size_of(piece, piece##_end) + 1) & ~1u)

static void test_beyond(void)
{
    paint_low();
    memcpy((void *)(HIGH + 0x1000), p_done, 2);
    EXPECT("beyond: runs on", p_straight, 200, END_OF(p_straight));
    EXPECT("beyond: jnz rel32", p_loop32, 5, END_OF(p_loop32));
    EXPECT("beyond: call rel32, ret", p_call32, 0x101, HIGH + 6 + 3);
    EXPECT("beyond: jmp r32", p_jmp32, 0, HIGH + 0x1002);
    /* The pieces below end at an odd or even place; jumps go there in the low copy. */
    static const struct {
        const char *name;
        const uint8_t *piece, *end;
        uint32_t eax;
    } low[] = {
        {"beyond: jmp rel8", p_jmp16, p_jmp16_end, 1},
        {"beyond: jz rel8", p_jcc16, p_jcc16_end, 1},
        {"beyond: jz rel16", p_jcc16_near, p_jcc16_near_end, 0},
        {"beyond: loop", p_loop16, p_loop16_end, 1},
        {"beyond: jcxz", p_jcxz16, p_jcxz16_end, 0},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(low); i++) {
        uint32_t to = LOW + size_of(low[i].piece, low[i].end);
        paint_low();
        memcpy((void *)to, p_done, 2);
        expect(low[i].name, low[i].piece, low[i].end, HIGH, low[i].eax, to + 2);
    }
    EXPECT("beyond: loop not taken", p_loop16_ends, 2, END_OF(p_loop16_ends));
    paint_low();
    EXPECT("beyond: jmp r16", p_jmp16_ind, 0, LOW + 0x42);
    EXPECT("beyond: push, ret", p_ret16, 0, LOW + 0x42);
}

/* A call pushes 16 bits of EIP, and its return goes there. */
static void test_calls(void)
{
    struct state s;
    static const struct {
        const char *name;
        const uint8_t *piece, *end, *back;
    } calls[] = {
        {"call rel16", p_call16, p_call16_end, p_call16_back},
        {"call r16", p_call16_ind, p_call16_ind_end, p_call16_ind_back},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(calls); i++) {
        uint32_t back = LOW + (uint32_t)(calls[i].back - calls[i].piece);
        uint32_t callee = i ? LOW + 0x40 : LOW + size_of(calls[i].piece, calls[i].end);
        unsigned wrong = 0;

        memcpy((void *)HIGH, calls[i].piece, size_of(calls[i].piece, calls[i].end));
        for (unsigned round = 0; round < ROUNDS; round++) {
            /* The callee ends: what was pushed? */
            paint_low();
            memcpy((void *)callee, p_done, 2);
            start(&s, SEL_BIG, HIGH);
            uint32_t esp = s.esp;
            run(&s);
            wrong +=
                s.vector != VEC_DONE || s.eip != callee + 2 || s.esp != esp - 2 || *(uint16_t *)s.esp != (uint16_t)back;
            /* It returns: to the low copy. */
            memset((void *)(LOW - 64), 0x90, 64 + 512);
            memcpy((void *)callee, p_ret_only, size_of(p_ret_only, p_ret_only_end));
            memcpy((void *)back, p_done, 2);
            start(&s, SEL_BIG, HIGH);
            run(&s);
            wrong += s.vector != VEC_DONE || s.eip != back + 2 || s.esp != esp || s.eax != 0x11;
        }
        check(wrong == 0, "beyond: %s pushes 16 bits, ret goes there", calls[i].name);
    }
}

/* Across FFFFh. */
static void test_across(void)
{
    struct state s;
    unsigned wrong;

    expect("across: runs on with a limit of 4 GiB", p_straight, p_straight_end, 0x10000 - 100, 200,
           0x10000 - 100 + size_of(p_straight, p_straight_end));
    expect("across: jnz back with 32 bits", p_loop32, p_loop32_end, 0x10000 - 6, 5,
           0x10000 - 6 + size_of(p_loop32, p_loop32_end));
    for (unsigned before = 0; before < 2; before++) {
        /* Instructions of one byte up to the end, or one across it. */
        memset((void *)0xff00, 0x40, 0x100);
        if (before)
            memcpy((void *)0xfffe, (uint8_t[]){0x05, 1, 0}, 3); /* add ax, 1 */
        wrong = 0;
        for (unsigned round = 0; round < ROUNDS; round++) {
            start(&s, SEL_64K, 0xfff0);
            run(&s);
            wrong += s.vector != EXC_GP || s.error != 0 || s.eip != (before ? 0xfffe : 0x10000) ||
                     s.eax != (before ? 14 : 16);
        }
        if (!check(wrong == 0, "across: limit FFFFh, %s: #GP", before ? "an instruction across it" : "behind it"))
            print("# vector %u error %x eip %x eax %x\n", (unsigned)s.vector, (unsigned)s.error, (unsigned)s.eip,
                  (unsigned)s.eax);
    }
    /* A call whose end is the end: pushes 0, whatever the limit. */
    for (unsigned big = 0; big < 2; big++) {
        paint_low();
        memcpy((void *)0xfffd, (uint8_t[]){0xe8, (uint8_t)LOW, LOW >> 8}, 3); /* from 0000 on */
        wrong = 0;
        for (unsigned round = 0; round < ROUNDS; round++) {
            start(&s, big ? SEL_BIG : SEL_64K, 0xfffd);
            uint32_t esp = s.esp;
            run(&s);
            wrong += s.vector != VEC_DONE || s.eip != LOW + 2 || s.esp != esp - 2 || *(uint16_t *)s.esp != 0;
        }
        check(wrong == 0, "across: a call at the end pushes 0, limit %s", big ? "4 GiB" : "FFFFh");
    }
    /* A branch not taken at the end. */
    memcpy((void *)0xfffe, (uint8_t[]){0x75, 0x10, 0x40, 0xcd, 0x80}, 5); /* jnz, inc ax, int 80h */
    wrong = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        start(&s, SEL_BIG, 0xfffe);
        s.eflags |= FL_ZF;
        run(&s);
        wrong += s.vector != VEC_DONE || s.eip != 0x10003 || s.eax != 1;
    }
    check(wrong == 0, "across: a branch not taken at the end");
}

/* Real mode keeps a limit of 4 GiB in CS until CS is loaded. */
extern uint32_t huge_run(uint32_t at);
__asm__(".pushsection .text\n"
        "huge_run: movl 4(%esp), %edx\n pushal\n movl %esp, huge_esp\n sidt huge_idt\n"
        " movl $0x7000, %esp\n"
        " ljmp $0x60, $0x6000\n"
        "huge_back: movw $0x10, %cx\n movw %cx, %ds\n movw %cx, %es\n movw %cx, %ss\n movl huge_esp, %esp\n"
        " movl %eax, 28(%esp)\n popal\n ret\n"
        ".popsection\n"
        ".pushsection .data.huge,\"aw\"\n"
        "huge_esp: .long 0\n huge_idt: .space 8\n"
        ".code16\n"
        ".globl huge_code, huge_code_end\n"
        /* At 6000h: protected to real mode, CALL EDX with 32 bits, and back. */
        "huge_code: movw $0x68, %ax\n movw %ax, %ss\n movw %ax, %ds\n"
        " movl %cr0, %eax\n andb $0xfe, %al\n movl %eax, %cr0\n xorw %ax, %ax\n movw %ax, %ss\n movw %ax, %ds\n"
        " calll *%edx\n movw %ax, %bx\n"
        " movl %cr0, %eax\n orb $1, %al\n movl %eax, %cr0\n movzwl %bx, %eax\n ljmpl $0x08, $huge_back\n"
        "huge_code_end:\n.code32\n.popsection\n");
extern uint8_t huge_code[], huge_code_end[];
PIECE(p_huge,
      "movw $0, %ax\n .rept 40\n incw %ax\n .endr\n movw $5, %cx\n 1: incw %ax\n decw %cx\n .byte 0x66, 0x0f, 0x85\n"
      " .long 1b-.-4\n .byte 0x66, 0xe8\n .long 2f-.-4\n retl\n 2: addw $0x1000, %ax\n retl");

static void test_huge(void)
{
    unsigned wrong = 0;

    memcpy((void *)0x6000, huge_code, (uint32_t)(huge_code_end - huge_code));
    for (unsigned k = 0; k < 2; k++) {
        uint32_t at = k ? 0xfff0 : HIGH + 0x2000;
        memcpy((void *)at, p_huge, size_of(p_huge, p_huge_end));
        for (unsigned round = 0; round < ROUNDS; round++)
            wrong += huge_run(at) != 0x1000 + 45;
    }
    check(wrong == 0, "huge real mode: beyond 64 KiB and across");
}

void guest_main(void)
{
    gdt[SEL_BIG / 8] = desc_make(0, 0xfffff, D_CODE | D_DPL(3) | D_PAGES);
    gdt[SEL_64K / 8] = desc_make(0, 0xffff, D_CODE | D_DPL(3));
    gdt[SEL_BIG0 / 8] = desc_make(0, 0xfffff, D_CODE | D_PAGES);
    gdt[SEL_D16 / 8] = desc_make(0, 0xffff, D_DATA);
    test_beyond();
    test_calls();
    test_across();
    test_huge();
}
