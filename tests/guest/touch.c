/* Instructions whose operand is a device's memory, again and again: a translator may come to access the device without
 * leaving its code (translator/tr_touch.c). Each form must do on the planes of a VGA (one plane, write mode 0: plain
 * bytes) what it does on RAM, to registers, flags and memory. */
#include "code.h"

#define ROUNDS 60
#define PLANE  0xa0000u
#define FS_SEL (GDT_FREE)

/* ESI, EDI: where the operand is, scaled by nothing; FS: the page. ECX survives LOOPs. */
#define LOADS(F) \
    F(mov_eax, "movl (%esi), %eax") \
    F(mov_dl, "movb (%esi), %dl") \
    F(mov_bx, "movw 2(%esi), %bx") \
    F(mov_ah, "movb (%esi), %ah") \
    F(mov_into_base, "movl (%esi), %esi") \
    F(mov_scaled, "movl $1, %ecx; movl -4(%esi,%ecx,4), %ecx") \
    F(mov_unaligned, "movl 3(%esi), %eax") \
    F(mov_esp, "movl %esp, %ebp; movl (%esi), %esp; movl %esp, %eax; movl %ebp, %esp") \
    F(mov_pushed, "pushl %ebx; movl (%esi), %eax; popl %edx") \
    F(moffs_eax, "movl %fs:0x40, %eax") \
    F(moffs_al, "movb %fs:0x41, %al") \
    F(moffs_ax, ".byte 0x64, 0x66, 0xa1; .long 0x42") \
    F(movzx_b, "movzbl (%esi), %ebx") \
    F(movzx_w, "movzwl (%esi), %eax") \
    F(movzx_bw, "movzbw 1(%esi), %dx") \
    F(movsx_b, "movsbl (%esi), %ecx") \
    F(movsx_w, "movswl (%esi), %edx") \
    F(add_r, "addl (%esi), %eax") \
    F(adc_r, "adcl (%esi), %edx") \
    F(sbb_r8, "sbbb (%esi), %bl") \
    F(and_r16, "andw (%esi), %cx") \
    F(xor_r, "xorl (%esi), %ebx") \
    F(cmp_r, "cmpl (%esi), %eax") \
    F(cmp_m, "cmpl %eax, (%esi)") \
    F(cmp_i8, "cmpb $0x12, (%esi)") \
    F(cmp_i, "cmpl $0x12345678, (%esi)") \
    F(cmp_is, "cmpw $-3, (%esi)") \
    F(test_m, "testl %ecx, (%esi)") \
    F(test_m8, "testb %dl, (%esi)") \
    F(test_i, "testl $0x80000001, (%esi)") \
    F(test_i8, "testb $0x80, 3(%esi)") \
    F(imul, "imull (%esi), %ecx") \
    F(cmov_c, "cmovcl (%esi), %ebx") \
    F(cmov_nc, "cmovncl (%esi), %ebx") \
    F(compared, "cmpl %eax, (%esi); sete %cl; setc %ch") \
    F(branch, "cmpl (%esi), %eax; jb 2f; movl $7, %edx; 2: movl 4(%esi), %ebx") \
    F(down, "std; movl (%esi), %eax; cld")
#define STORES(F) \
    F(store_eax, "movl %eax, (%esi)") \
    F(store_bl, "movb %bl, 1(%esi)") \
    F(store_ch, "movb %ch, (%esi)") \
    F(store_dx, "movw %dx, 2(%esi)") \
    F(store_i, "movl $0x89abcdef, (%esi)") \
    F(store_i16, "movw $0x1234, (%esi)") \
    F(store_i8, "movb $0x56, 3(%esi)") \
    F(store_esp, "movl %esp, (%esi)") \
    F(store_unaligned, "movl %ebx, 1(%esi)") \
    F(store_moffs, "movl %eax, %fs:0x40") \
    F(store_moffs8, "movb %al, %fs:0x43") \
    F(store_pushed, "pushl %ebx; movl %ecx, (%esi); popl %edx") \
    F(add_m, "addl %eax, (%esi)") \
    F(adc_m, "adcl $-2, (%esi)") \
    F(or_m, "orb %dl, (%esi)") \
    F(and_m, "andl $0x0ff00ff0, (%esi)") \
    F(sub_m, "subw %bx, (%esi)") \
    F(xor_m, "lock xorl %ecx, (%esi)") \
    F(xchg_m, "xchgl %eax, (%esi)") \
    F(xchg_m8, "xchgb %cl, 2(%esi)") \
    F(inc_m, "incl (%esi)") \
    F(dec_m8, "decb (%esi)") \
    F(not_m, "notl (%esi)") \
    F(neg_m, "negw (%esi)") \
    F(read_and_write, "movb (%esi), %al; movb %bl, (%esi); orb %cl, 1(%esi); movw (%esi), %dx")

#define DEFINE(name, text) SNIPPET(name, text);
LOADS(DEFINE)
STORES(DEFINE)
#define ROW(name, text) {#name, name},
static const struct {
    const char *name, *code;
} forms[] = {LOADS(ROW) STORES(ROW)};

static uint8_t ram[4096] __attribute__((aligned(4096)));

static void set(uint16_t port, uint8_t index, uint8_t value)
{
    outb(port, index);
    outb(port + 1, value);
}

static void plane_start(void)
{
    set(0x3c4, 2, 1); /* one plane is written */
    set(0x3c4, 4, 6); /* neither odd/even nor chain 4 */
    set(0x3ce, 0, 0);
    set(0x3ce, 1, 0);
    set(0x3ce, 3, 0);
    set(0x3ce, 4, 0); /* and read */
    set(0x3ce, 5, 0);
    set(0x3ce, 6, 5); /* 64 KiB at A0000h */
    set(0x3ce, 8, 0xff);
}

/* What the code does to the page at `base`. */
static void once(const char *code, uint32_t base, unsigned ring, uint32_t seed, struct state *s, uint32_t *left)
{
    volatile uint32_t *at = (volatile uint32_t *)(base + 0x40);
    rnd_state = seed;
    at[0] = rnd();
    at[1] = rnd();
    gdt[FS_SEL / 8] = desc_make(base, 0xfffff, D_DATA | D_DPL(3) | D_FLAT);
    state_init(s, ring, code);
    s->esi = base + 0x40;
    s->eax = rnd() & 1 ? at[0] : rnd();
    s->ebx = rnd();
    s->ecx = rnd();
    s->edx = rnd();
    s->ebp = 0;
    s->fs = FS_SEL | ring;
    s->eflags |= rnd() & 0x8d5;
    run(s);
    left[0] = at[0];
    left[1] = at[1];
}

static bool is_same(const struct state *a, const struct state *b, unsigned form)
{
    uint32_t flags = a->eflags ^ b->eflags;
    if (forms[form].code == imul)
        flags &= ~0xd4u; /* undefined */
    uint32_t esi = a->esi ^ b->esi;
    if (forms[form].code != mov_into_base)
        esi ^= PLANE ^ (uint32_t)ram;
    return a->vector == VEC_DONE && b->vector == VEC_DONE && a->eax == b->eax && a->ebx == b->ebx && a->ecx == b->ecx &&
           a->edx == b->edx && !esi && a->edi == b->edi && a->ebp == b->ebp && a->esp == b->esp && !(flags & 0x8d5);
}

static bool run_quietly(struct state *s)
{
    run(s);
    return s->vector == VEC_DONE;
}

/* --- ports: registers that can be written and read back; EAX: what is written, EBX: EAX before the read --- */

SNIPPET(port_byte, "outb %al, $0x21; movl %ebx, %eax; inb $0x21, %al");
SNIPPET(port_byte_dx, "movl $0xabcd0021, %edx; outb %al, %dx; movl %ebx, %eax; inb %dx, %al");
SNIPPET(port_word, "movl $0x1ce, %edx; outw %ax, %dx; movl %ebx, %eax; inw %dx, %ax");
SNIPPET(port_long, "movl $0xcf8, %edx; outl %eax, %dx; movl %ebx, %eax; inl %dx, %eax");
SNIPPET(port_pushed, "pushl %ebx; outb %al, $0x21; popl %edx; pushl %ecx; inb $0x21, %al; popl %ebp");

static void ports(unsigned ring)
{
    static const struct {
        const char *name, *code;
        uint32_t written, read; /* bits that the register keeps, and that IN changes */
    } port[] = {{"byte", port_byte, 0xff, 0xff},
                {"byte, DX", port_byte_dx, 0xff, 0xff},
                {"word", port_word, 7, 0xffff},
                {"long", port_long, 0x80fffffc, 0xffffffff},
                {"byte, pushed", port_pushed, 0xff, 0xff}};
    for (unsigned i = 0; i < ARRAY_COUNT(port); i++) {
        bool ok = true, refused = true;
        for (unsigned round = 0; round < ROUNDS; round++) {
            struct state s;
            state_init(&s, ring, port[i].code);
            uint32_t eax = s.eax = rnd() & port[i].written, ebx = s.ebx = rnd(), ecx = s.ecx = rnd();
            uint32_t flags = rnd() & 0x8d5, want = (ebx & ~port[i].read) | eax;
            s.eflags |= flags | (ring ? FL_IOPL3 : 0);
            if (port[i].code == port_pushed) {
                want = eax;
                ok &= run_quietly(&s) && s.edx == ebx && s.ebp == ecx;
            } else {
                ok &= run_quietly(&s);
            }
            ok &= s.eax == want && s.ebx == ebx && s.ecx == ecx && (s.eflags & 0x8d5) == flags;
            if (ring) { /* the I/O permission bitmap forbids it */
                state_init(&s, ring, port[i].code);
                run(&s);
                refused &= s.vector == EXC_GP && s.error == 0;
            }
        }
        check(ok, "port, %s, ring %u", port[i].name, ring);
        if (ring)
            check(refused, "port, %s, ring %u, forbidden", port[i].name, ring);
    }
}

/* --- the FPU's state, which the host may have --- */

SNIPPET(fpu_kept,
        "fninit; pushl %ecx; fildl (%esp); ldmxcsr (%edx); movd %eax, %xmm0; movd %ebx, %xmm3; movd %ecx, %xmm7\n"
        "movl (%esi), %ebp; movl %ebx, (%esi); inb $0x21, %al\n"
        "fistpl (%esp); popl %eax; movd %xmm0, %edi; movd %xmm3, %ebx; movd %xmm7, %ecx; stmxcsr (%edx)");

static void fpu(unsigned ring)
{
    static uint32_t mxcsr;
    unsigned wrong = 0;
    write_cr0((read_cr0() & ~(CR0_EM | CR0_TS)) | CR0_NE);
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMM);
    for (unsigned round = 1; round <= ROUNDS && !wrong; round++) {
        struct state s;
        state_init(&s, ring, fpu_kept);
        uint32_t want = mxcsr = 0x1f80 | (round & 3) << 13, eax = s.eax = rnd(), ebx = s.ebx = rnd(),
                 ecx = s.ecx = rnd();
        s.edx = (uint32_t)&mxcsr;
        s.esi = PLANE + 0x40;
        s.eflags |= ring ? FL_IOPL3 : 0;
        run(&s);
        if (s.vector != VEC_DONE || s.eax != ecx || s.edi != eax || s.ebx != ebx || s.ecx != ecx || mxcsr != want)
            wrong = round;
    }
    check(!wrong, "FPU state, ring %u", ring);
}

void guest_main(void)
{
    plane_start();
    fpu(0);
    fpu(3);
    ports(0);
    ports(3);
    for (unsigned ring = 0; ring < 4; ring += 3) {
        for (unsigned form = 0; form < ARRAY_COUNT(forms); form++) {
            unsigned wrong = 0;
            for (unsigned round = 1; round <= ROUNDS && !wrong; round++) {
                struct state mine, want;
                uint32_t left[2], left_want[2], seed = round * 0x9e3779b1u + form;
                once(forms[form].code, PLANE, ring, seed, &mine, left);
                once(forms[form].code, (uint32_t)ram, ring, seed, &want, left_want);
                if (is_same(&mine, &want, form) && left[0] == left_want[0] && left[1] == left_want[1])
                    continue;
                wrong = round;
                print("# eax %x ebx %x ecx %x edx %x eflags %x left %x %x vector %u; want %x %x %x %x %x %x %x\n",
                      (unsigned)mine.eax, (unsigned)mine.ebx, (unsigned)mine.ecx, (unsigned)mine.edx,
                      (unsigned)mine.eflags, (unsigned)left[0], (unsigned)left[1], (unsigned)mine.vector,
                      (unsigned)want.eax, (unsigned)want.ebx, (unsigned)want.ecx, (unsigned)want.edx,
                      (unsigned)want.eflags, (unsigned)left_want[0], (unsigned)left_want[1]);
            }
            check(!wrong, "%s, ring %u", forms[form].name, ring);
        }
    }
}
