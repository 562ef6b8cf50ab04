/* A port whose IN is a call: VMware's backdoor reads and changes registers of the program that does it, in the kernel
 * and outside of it, also where it runs as translated code for the thousandth time. */
#include "guest.h"

#define MAGIC 0x564d5868u

SNIPPET(code_version, "movl $0x564d5868, %eax\n xorl %ebx, %ebx\n movl $10, %ecx\n movl $0x5658, %edx\n"
                      " movl $0x51515151, %esi\n movl $0x52525252, %edi\n inl %dx, %eax");
SNIPPET(code_out, "movl $0x564d5868, %eax\n xorl %ebx, %ebx\n movl $10, %ecx\n movl $0x5658, %edx\n outl %eax, %dx");

struct regs {
    uint32_t eax, ebx, ecx, edx, esi, edi;
};

static struct regs call(uint32_t number, uint32_t ebx)
{
    struct regs r = {MAGIC, ebx, number, 0x5658, 0x51515151, 0x52525252};
    __asm__ volatile("inl %%dx, %%eax" : "+a"(r.eax), "+b"(r.ebx), "+c"(r.ecx), "+d"(r.edx), "+S"(r.esi), "+D"(r.edi));
    return r;
}

static void test_rings(void)
{
    struct state s;
    for (unsigned ring = 0; ring < 4; ring += 3) {
        state_init(&s, ring, code_version);
        s.eflags |= FL_IOPL3;
        run_expect(&s, VEC_DONE, 0, "ring%u: runs and comes back", ring);
        check(s.eax == 6 && s.ebx == MAGIC, "ring%u: version", ring);
        check(s.esi == 0x51515151 && s.edi == 0x52525252, "ring%u: other registers are left alone", ring);
        state_init(&s, ring, code_out);
        s.eflags |= FL_IOPL3;
        run_expect(&s, VEC_DONE, 0, "ring%u: runs and comes back from OUT", ring);
        check(s.eax == 6 && s.ebx == MAGIC, "ring%u: version by OUT", ring);
    }
    state_init(&s, 3, code_version);
    run_expect(&s, EXC_GP, 0, "ring3 without IOPL: #GP");
}

/* In translated code, with all registers in use. */
static void test_often(void)
{
    unsigned wrong = 0;
    for (unsigned i = 0; i < 1000; i++) {
        struct regs r = call(10, i);
        wrong += r.eax != 6 || r.ebx != MAGIC || r.edx != 0x5658 || r.esi != 0x51515151 || r.edi != 0x52525252;
    }
    check_equal(wrong, 0, "version, a thousand times");
    for (unsigned i = 0; i < 1000; i++) {
        struct regs r = {i, i, 10, 0x5658, 3, 4};
        __asm__ volatile("inl %%dx, %%eax" : "+a"(r.eax), "+b"(r.ebx), "+c"(r.ecx) : "d"(0x5658));
        wrong += r.eax != 0xffffffff || r.ebx != i || r.ecx != 10;
    }
    check_equal(wrong, 0, "without the magic number: nobody's port");
}

static void test_mouse(void)
{
    check_equal(call(40, 0).eax, 0xffff0000, "mouse: off at first");
    call(41, 0x45414552);
    check_equal(call(40, 0).eax, 1, "mouse: one word waits");
    check_equal(call(39, 1).eax, 0x3442554a, "mouse: its number");
    check_equal(call(40, 0).eax, 0, "mouse: nothing waits");
    struct regs r = call(39, 4);
    check_equal(call(40, 0).eax, 0xffff0000, "mouse: asking for what is not there switches it off");
    check(r.esi == 0x51515151, "mouse: registers that are not asked for");
}

void guest_main(void)
{
    test_rings();
    test_often();
    test_mouse();
}
