/* Real mode, V86, exceptions and their priorities, debug facilities, interrupt shadows, CPU models. Intel
 * SDM vol. 3A, chapters 6, 20; vol. 3B, chapter 17. */
#include "tiny.h"

#define V86_CODE 0x10000u

static int real_vector(void)
{
    interp_step(&cpu);
    return cpu.seg[SEG_CS].sel == 0x0500 ? (int)cpu.eip : -1;
}

/* --- real mode --- */

static void test_real_interrupt_frame(void)
{
    tiny_start_real();
    cpu.eflags |= FL_IF | FL_TF;
    cpu.eflags &= ~FL_TF;
    tiny_code(0xcd, 0x21);
    g_assert_cmpint(real_vector(), ==, 0x21);
    g_assert_cmphex(cpu.gpr[ESP], ==, 0x7ffa);
    g_assert_cmphex(get16(0x27ffa), ==, 2);
    g_assert_cmphex(get16(0x27ffc), ==, CODE_AT >> 4);
    g_assert_cmphex(get16(0x27ffe), ==, FL_IF | FL_FIXED1);
    g_assert_false(cpu.eflags & FL_IF);
}

static void test_real_word_at_ffff(void)
{
    tiny_start_real();
    cpu.gpr[EBX] = 0xffff;
    tiny_code(0x8b, 0x07); /* mov ax,[bx] */
    g_assert_cmpint(real_vector(), ==, EXC_GP);
    g_assert_cmphex(cpu.gpr[ESP], ==, 0x7ffa); /* no error code in real mode */
}

static void test_real_stack_at_ffff(void)
{
    tiny_start_real();
    cpu.gpr[EBP] = 0xffff;
    tiny_code(0x8b, 0x46, 0x00); /* mov ax,[bp] */
    g_assert_cmpint(real_vector(), ==, EXC_SS);
}

static void test_real_sp_wraps(void)
{
    tiny_start_real();
    cpu.gpr[ESP] = 0x12340000;
    cpu.gpr[EAX] = 0xabcd;
    tiny_code(0x50); /* push ax */
    g_assert_cmpint(real_vector(), ==, -1);
    g_assert_cmphex(cpu.gpr[ESP], ==, 0x1234fffe);
    g_assert_cmphex(get16(0x2fffe), ==, 0xabcd);
}

static void test_real_offset_wraps_in_address_size(void)
{
    tiny_start_real();
    cpu.gpr[EBX] = 0xfffe;
    put16(DATA_AT + 2, 0x5678);
    tiny_code(0x8b, 0x47, 0x04); /* mov ax,[bx+4] */
    interp_step(&cpu);
    g_assert_cmphex(cpu.gpr[EAX] & 0xffff, ==, 0x5678);
}

static void test_real_32bit_address_is_limited(void)
{
    tiny_start_real();
    cpu.gpr[EBX] = 0x10000;
    tiny_code(0x67, 0x8b, 0x03); /* mov ax,[ebx] */
    g_assert_cmpint(real_vector(), ==, EXC_GP);
}

static void test_unreal(void)
{
    tiny_start_real();
    cpu.seg[SEG_DS].limit = 0xffffffff;
    cpu.gpr[EAX] = 0;
    cpu.gpr[EBX] = 0x150000;
    put16(0x150000, 0x4242);
    tiny_code(0x8e, 0xd8, 0x67, 0x8b, 0x03); /* mov ds,ax; mov ax,[ebx] */
    interp_step(&cpu);
    g_assert_cmpint(real_vector(), ==, -1);
    g_assert_cmphex(cpu.gpr[EAX] & 0xffff, ==, 0x4242);
}

static void test_real_idt_limit(void)
{
    tiny_start_real();
    cpu.idtr.limit = 0x3f;
    tiny_code(0xcd, 0x21);
    g_assert_cmpint(real_vector(), ==, EXC_GP);
}

static void test_real_protected_only_is_undefined(void)
{
    static const uint8_t code[][3] = {{0x0f, 0x00, 0xc0}, {0x0f, 0x00, 0xd8}, {0x0f, 0x02, 0xc0}, {0x63, 0xc0}};

    for (unsigned i = 0; i < G_N_ELEMENTS(code); i++) {
        tiny_start_real();
        tiny_code_at(CODE_AT, code[i], 3);
        g_assert_cmpint(real_vector(), ==, EXC_UD);
    }
}

static void test_into_protected_mode_and_back(void)
{
    tiny_start();
    cpu_reset(&cpu);
    cpu.gdtr = (struct dtable){GDT_AT, GDT_ENTRIES * 8 - 1};
    cpu.seg[SEG_CS] = (struct seg){CODE_AT >> 4, 0x93, CODE_AT, 0xffff};
    cpu.eip = 0;
    /* mov eax,cr0; or al,1; mov cr0,eax; jmp far dword 8:10100h */
    tiny_code(0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, 0x66, 0xea, 0x00, 0x01, 0x01, 0x00, 0x08, 0x00);
    for (unsigned i = 0; i < 4; i++)
        interp_step(&cpu);
    g_assert_cmphex(cpu.eip, ==, 0x10100);
    g_assert_true(cpu.seg[SEG_CS].access & ACC_DB);
    /* and back through a 16-bit segment: jmp 38h:0200h there: mov eax,cr0; and al,FEh; mov cr0,eax;
     * jmp far 1000h:0 */
    static const uint8_t jump[] = {0xea, 0x00, 0x02, 0x00, 0x00, CS16, 0x00};
    static const uint8_t leave[] = {0x0f, 0x20, 0xc0, 0x24, 0xfe, 0x0f, 0x22, 0xc0, 0xea, 0x00, 0x00, 0x00, 0x10};
    tiny_code_at(0x10100, jump, sizeof(jump));
    tiny_code_at(0x200, leave, sizeof(leave));
    for (unsigned i = 0; i < 5; i++)
        interp_step(&cpu);
    g_assert_false(cpu.cr0 & CR0_PE);
    g_assert_cmphex(cpu.seg[SEG_CS].base, ==, 0x10000);
    g_assert_cmphex(cpu.eip, ==, 0);
    g_assert_false(cpu_code32(&cpu));
}

/* --- V86 --- */

static void start_v86(unsigned iopl)
{
    tiny_start();
    cpu.cpl = 3;
    cpu.eflags = FL_FIXED1 | FL_VM | iopl << FL_IOPL_SHIFT | FL_IF;
    for (unsigned i = 0; i <= SEG_GS; i++)
        cpu.seg[i] = (struct seg){0x2000, 0xf3, 0x20000, 0xffff};
    cpu.seg[SEG_CS] = (struct seg){V86_CODE >> 4, 0xf3, V86_CODE, 0xffff};
    cpu.seg[SEG_GS].sel = 0x2222;
    cpu.eip = 0;
    cpu.gpr[ESP] = 0x1000;
    put_idt(0x21, CS0, STUBS_AT + 0x21, 0xee);
}

static void test_v86_interrupt_frame(void)
{
    start_v86(3);
    tiny_code(0xcd, 0x21);
    g_assert_cmpint(tiny_step_vector(), ==, 0x21);
    g_assert_false(cpu.eflags & FL_VM);
    g_assert_cmphex(cpu.gpr[ESP], ==, STACK0 - 36);
    g_assert_cmphex(tiny_top(0), ==, 2);
    g_assert_cmphex(tiny_top(1), ==, V86_CODE >> 4);
    g_assert_true(tiny_top(2) & FL_VM);
    g_assert_cmphex(tiny_top(3), ==, 0x1000);
    g_assert_cmphex(tiny_top(4), ==, 0x2000);
    g_assert_cmphex(tiny_top(8), ==, 0x2222);
    g_assert_cmphex(cpu.seg[SEG_GS].sel, ==, 0);
    g_assert_false(cpu.seg[SEG_GS].access & ACC_P);

    static const uint8_t iret[] = {0xcf}; /* and back */
    tiny_code_at(STUBS_AT + 0x21, iret, 1);
    interp_step(&cpu);
    g_assert_true(cpu_is_v86(&cpu));
    g_assert_cmpint(cpu.cpl, ==, 3);
    g_assert_cmphex(cpu.seg[SEG_GS].sel, ==, 0x2222);
    g_assert_cmphex(cpu.seg[SEG_GS].base, ==, 0x22220);
    g_assert_cmphex(cpu.gpr[ESP], ==, 0x1000);
    g_assert_cmphex(cpu.eip, ==, 2);
}

static void test_v86_iopl_sensitive(void)
{
    static const uint8_t code[][2] = {{0xcd, 0x21}, {0x9c}, {0x9d}, {0xfa}, {0xfb}, {0xcf}};

    for (unsigned i = 0; i < G_N_ELEMENTS(code); i++) {
        start_v86(0);
        tiny_code_at(V86_CODE, code[i], 2);
        assert_fault(EXC_GP, 0);
    }
}

static void test_v86_int3_is_not_iopl_sensitive(void)
{
    start_v86(0);
    put_idt(EXC_BP, CS0, STUBS_AT + EXC_BP, 0xee);
    tiny_code(0xcc);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_BP);
}

static void test_v86_io_ignores_iopl(void)
{
    start_v86(3);
    put16(TSS_AT + 102, 0x300); /* beyond the TSS: no port is allowed */
    tiny_code(0xe4, 0x60);
    assert_fault(EXC_GP, 0);
}

/* IOPL 0, CR4.VME, an interrupt redirection bitmap in front of the I/O bitmap: all bits set, so none redirected. */
static void start_vme(uint32_t more)
{
    start_v86(0);
    cpu.cr4 |= CR4_VME;
    put16(TSS_AT + 102, 0x88);
    for (unsigned i = 0; i < 32; i++)
        guest_mem.ram[TSS_AT + 0x68 + i] = 0xff;
    cpu.eflags = (cpu.eflags & ~FL_IF) | more;
}

static void test_vme_flags(void)
{
    start_vme(0);
    tiny_code(0xfb, 0x9c, 0xfa, 0x9d); /* sti; pushfw; cli; popfw */
    interp_step(&cpu);
    g_assert_cmphex(cpu.eflags & (FL_VIF | FL_IF), ==, FL_VIF);
    interp_step(&cpu);
    g_assert_cmphex(get16(cpu.seg[SEG_SS].base + cpu.gpr[ESP]) & (FL_IF | FL_IOPL), ==, FL_IF | FL_IOPL);
    interp_step(&cpu);
    g_assert_cmphex(cpu.eflags & FL_VIF, ==, 0);
    interp_step(&cpu);
    g_assert_cmphex(cpu.eflags & (FL_VIF | FL_IF | FL_IOPL | FL_VM), ==, FL_VIF | FL_VM);
}

static void test_vme_pending_interrupt_faults(void)
{
    start_vme(FL_VIP);
    tiny_code(0xfb); /* sti */
    assert_fault(EXC_GP, 0);
    start_vme(FL_VIP);
    put16(cpu.seg[SEG_SS].base + cpu.gpr[ESP], FL_IF);
    tiny_code(0x9d); /* popfw of IF */
    assert_fault(EXC_GP, 0);
    start_vme(0);
    put16(cpu.seg[SEG_SS].base + cpu.gpr[ESP], FL_TF);
    tiny_code(0x9d);
    assert_fault(EXC_GP, 0); /* and of TF */
    start_vme(0);
    tiny_code(0x66, 0x9c); /* pushfd */
    assert_fault(EXC_GP, 0);
}

static void test_vme_interrupt_redirection(void)
{
    start_vme(FL_VIF);
    tiny_code(0xcd, 0x21);
    assert_fault(EXC_GP, 0); /* bit set, IOPL below 3: the monitor's */
    start_vme(FL_VIF);
    tiny_code(0xcd, 0x21);
    guest_mem.ram[TSS_AT + 0x68 + 0x21 / 8] &= (uint8_t) ~(1u << (0x21 & 7));
    put16(0x21 * 4, 0x0010);
    put16(0x21 * 4 + 2, 0x0456);
    uint16_t cs = cpu.seg[SEG_CS].sel, ip = (uint16_t)(cpu.eip + 2);
    uint32_t top = cpu.seg[SEG_SS].base + cpu.gpr[ESP];
    interp_step(&cpu);
    g_assert_true(cpu_is_v86(&cpu));
    g_assert_cmphex(cpu.seg[SEG_CS].sel, ==, 0x0456);
    g_assert_cmphex(cpu.eip, ==, 0x0010);
    g_assert_cmphex(cpu.eflags & FL_VIF, ==, 0);
    g_assert_cmphex(get16(top - 2) & (FL_IF | FL_IOPL), ==, FL_IF | FL_IOPL);
    g_assert_cmphex(get16(top - 4), ==, cs);
    g_assert_cmphex(get16(top - 6), ==, ip);
    tiny_code_at(0x4570, "\xcf", 1); /* iretw */
    interp_step(&cpu);
    g_assert_cmphex(cpu.eip, ==, ip);
    g_assert_cmphex(cpu.eflags & (FL_VIF | FL_IF | FL_VM), ==, FL_VIF | FL_VM);
}

static void test_pvi_virtual_interrupt_flag(void)
{
    tiny_start();
    tiny_ring(3);
    cpu.cr4 |= CR4_PVI;
    tiny_code(0xfb, 0xfa);
    interp_step(&cpu);
    g_assert_cmphex(cpu.eflags & (FL_VIF | FL_IF), ==, FL_VIF);
    interp_step(&cpu);
    g_assert_cmphex(cpu.eflags & FL_VIF, ==, 0);
}

static void test_v86_handler_must_be_ring0(void)
{
    start_v86(3);
    put_desc(FREE_SEL, 0, 0xfffff, 0xc0fb); /* DPL 3 */
    put_idt(0x21, FREE_SEL, STUBS_AT, 0xee);
    tiny_code(0xcd, 0x21);
    assert_fault(EXC_GP, FREE_SEL);
}

/* --- exceptions --- */

static void test_divide_error_is_a_fault(void)
{
    tiny_start();
    tiny_code(0xf7, 0xf1); /* div ecx, ecx = 0 */
    cpu.gpr[ECX] = 0;
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DE);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT);
    g_assert_true(tiny_top(2) & FL_RF);
}

static void test_divide_overflow_edges(void)
{
    tiny_start();
    cpu.gpr[EDX] = 0xffffffff;
    cpu.gpr[EAX] = 0x80000000;
    cpu.gpr[ECX] = 0xffffffff; /* -2^31 / -1 */
    tiny_code(0xf7, 0xf9);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DE);
    tiny_start();
    cpu.gpr[EDX] = 0x80000000;
    cpu.gpr[EAX] = 0;
    cpu.gpr[ECX] = 0xffffffff; /* -2^63 / -1 must not kill the monitor */
    tiny_code(0xf7, 0xf9);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DE);
}

static void test_lock_legality(void)
{
    static const uint8_t legal[][4] = {
        {0xf0, 0x01, 0x03}, {0xf0, 0xff, 0x03}, {0xf0, 0x87, 0x03}, {0xf0, 0x0f, 0xb1, 0x03}};
    static const uint8_t illegal[][4] = {
        {0xf0, 0x01, 0xc3}, {0xf0, 0x8b, 0x03}, {0xf0, 0x39, 0x03}, {0xf0, 0x90}, {0xf0, 0x0f, 0xa3, 0x03}};

    for (unsigned i = 0; i < G_N_ELEMENTS(legal); i++) {
        tiny_start();
        cpu.gpr[EBX] = DATA_AT;
        tiny_code_at(CODE_AT, legal[i], 4);
        g_assert_cmpint(tiny_step_vector(), ==, -1);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(illegal); i++) {
        tiny_start();
        cpu.gpr[EBX] = DATA_AT;
        tiny_code_at(CODE_AT, illegal[i], 4);
        g_assert_cmpint(tiny_step_vector(), ==, EXC_UD);
    }
}

static void test_sixteen_byte_instruction(void)
{
    static const uint8_t code[] = {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                                   0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90};

    tiny_start();
    tiny_code_at(CODE_AT, code, sizeof(code));
    assert_fault(EXC_GP, 0);
}

static void test_fetch_beyond_code_limit(void)
{
    tiny_start();
    cpu.seg[SEG_CS].limit = CODE_AT + 1;
    tiny_code(0xb8, 0x01, 0x02, 0x03, 0x04); /* five bytes, two inside */
    assert_fault(EXC_GP, 0);
    g_assert_cmphex(tiny_top(1), ==, CODE_AT);
}

static void test_double_fault(void)
{
    tiny_start();
    put_idt(EXC_GP, CS0, 0, 0x0e); /* #GP's gate not present: #NP while delivering #GP */
    cpu.seg[SEG_DS].limit = 0;
    tiny_code(0x8b, 0x03);
    assert_fault(EXC_DF, 0);
}

static void test_benign_then_fault_is_serial(void)
{
    tiny_start();
    put_idt(EXC_UD, CS0, 0, 0x0e);
    tiny_code(0x0f, 0x0b);
    assert_fault(EXC_NP, EXC_UD * 8 + 2 + 1);
}

static void test_triple_fault(void)
{
    tiny_start();
    cpu.idtr.limit = 0;
    tiny_code(0x0f, 0x0b);
    g_assert_cmpint(interp_step(&cpu), ==, CPU_EXIT);
    g_assert_true(cpu.shutdown);
}

static void test_cpu_exception_sets_cr2(void)
{
    tiny_start();
    cpu_exception(&cpu, EXC_PF, PFERR_W, 0x12345000);
    g_assert_cmphex(cpu.cr2, ==, 0x12345000);
    g_assert_cmphex(cpu.eip, ==, STUBS_AT + EXC_PF);
    g_assert_cmphex(tiny_top(0), ==, PFERR_W);
}

static void test_alignment_check(void)
{
    tiny_start();
    tiny_ring(3);
    cpu.cr0 |= CR0_AM;
    cpu.eflags |= FL_AC;
    cpu.gpr[EBX] = DATA_AT + 2;
    tiny_code(0x8b, 0x03);
    assert_fault(EXC_AC, 0);
    tiny_ring(0); /* ring 0 is never checked */
    cpu.eflags |= FL_AC;
    cpu.eip = CODE_AT;
    g_assert_cmpint(tiny_step_vector(), ==, -1);
}

static void test_interrupt_wakes_halt(void)
{
    tiny_start();
    cpu.eflags |= FL_IF;
    tiny_code(0xf4);
    g_assert_cmpint(tiny_run(), ==, EXIT_HALT);
    cpu_interrupt(&cpu, 0x30);
    g_assert_false(cpu.halted);
    g_assert_cmphex(cpu.eip, ==, STUBS_AT + 0x30);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT + 1);
}

/* --- single step and breakpoints --- */

static void test_single_step(void)
{
    tiny_start();
    cpu.eflags |= FL_TF;
    tiny_code(0x90, 0x90);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DB);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT + 1);
    g_assert_false(tiny_top(2) & FL_RF); /* a trap */
    g_assert_true(tiny_top(2) & FL_TF);
    g_assert_true(cpu.dr[6] & 0x4000);
    g_assert_false(cpu.eflags & FL_TF);
}

static void test_popf_tf_traps_after_next(void)
{
    tiny_start();
    cpu.gpr[ESP] = STACK_AT - 4;
    put32(STACK_AT - 4, FL_TF | FL_FIXED1);
    tiny_code(0x9d, 0x90, 0x90);
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DB);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT + 2);
}

static void test_mov_ss_holds_off_single_step(void)
{
    tiny_start();
    cpu.eflags |= FL_TF;
    cpu.gpr[EAX] = DS0;
    tiny_code(0x8e, 0xd0, 0x90);
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DB);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT + 3);
}

static void test_int_swallows_single_step(void)
{
    tiny_start();
    cpu.eflags |= FL_TF;
    tiny_code(0xcd, 0x40);
    g_assert_cmpint(tiny_step_vector(), ==, 0x40);
    g_assert_true(tiny_top(2) & FL_TF);
}

static void test_rep_single_steps_each_iteration(void)
{
    tiny_start();
    cpu.eflags |= FL_TF;
    cpu.gpr[ECX] = 3;
    cpu.gpr[EDI] = DATA_AT;
    tiny_code(0xf3, 0xaa);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DB);
    g_assert_cmpuint(cpu.gpr[ECX], ==, 2);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT);
}

static void test_instruction_breakpoint(void)
{
    tiny_start();
    cpu.dr[0] = CODE_AT + 1;
    cpu.dr[7] = 0x402;
    tiny_code(0x90, 0x41, 0x90);
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DB);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT + 1); /* a fault, before execution */
    g_assert_true(tiny_top(2) & FL_RF);
    g_assert_true(cpu.dr[6] & 1);
    static const uint8_t iret[] = {0xcf}; /* RF in the image lets it pass */
    tiny_code_at(STUBS_AT + EXC_DB, iret, 1);
    cpu.gpr[ECX] = 0;
    interp_step(&cpu);
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    g_assert_cmpuint(cpu.gpr[ECX], ==, 1);
    g_assert_false(cpu.eflags & FL_RF);
}

static void test_data_breakpoint(void)
{
    tiny_start();
    cpu.dr[1] = DATA_AT;
    cpu.dr[7] = 0x400 | 0x8 | 1u << 20 | 3u << 22; /* global, write, 4 bytes */
    cpu.gpr[EBX] = DATA_AT + 3;
    tiny_code(0x8a, 0x03, 0x88, 0x03); /* mov al,[ebx]; mov [ebx],al */
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DB);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT + 4); /* a trap */
    g_assert_true(cpu.dr[6] & 2);
}

static void test_general_detect(void)
{
    tiny_start();
    cpu.dr[7] = 0x2400;
    tiny_code(0x0f, 0x21, 0xc0);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DB);
    g_assert_true(cpu.dr[6] & 0x2000);
    g_assert_false(cpu.dr[7] & 0x2000);
}

static void test_icebp(void)
{
    tiny_start();
    tiny_code(0xf1);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DB);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT + 1);
}

static void test_sti_shadow(void)
{
    int kick = 0, irq = 1;
    uint64_t done = 0;

    tiny_start();
    tiny_code(0xfb, 0x90, 0x90);
    g_assert_cmpint(interp_run(&cpu, 10, &kick, &irq, &done), ==, EXIT_KICK);
    g_assert_cmpuint(done, ==, 2); /* STI and one more */
    g_assert_false(cpu.inhibit_irq);
}

/* --- control registers --- */

static void test_cr0_checks(void)
{
    tiny_start();
    cpu.gpr[EAX] = CR0_PG; /* PG without PE */
    tiny_code(0x0f, 0x22, 0xc0);
    assert_fault(EXC_GP, 0);
    tiny_start();
    cpu.gpr[EAX] = CR0_PE | CR0_NW; /* NW without CD */
    tiny_code(0x0f, 0x22, 0xc0);
    assert_fault(EXC_GP, 0);
}

static void test_lmsw_cannot_clear_pe(void)
{
    tiny_start();
    cpu.gpr[EAX] = CR0_TS;
    tiny_code(0x0f, 0x01, 0xf0);
    interp_step(&cpu);
    g_assert_true(cpu.cr0 & CR0_PE);
    g_assert_true(cpu.cr0 & CR0_TS);
}

static void test_cr4_reserved(void)
{
    tiny_start();
    cpu.gpr[EAX] = 1u << 20; /* SMEP */
    tiny_code(0x0f, 0x22, 0xe0);
    assert_fault(EXC_GP, 0);
}

static void test_unknown_msr(void)
{
    tiny_start();
    cpu.gpr[ECX] = 0x12345;
    tiny_code(0x0f, 0x32);
    assert_fault(EXC_GP, 0);
}

static void test_rdtsc_tsd(void)
{
    tiny_start();
    tiny_ring(3);
    cpu.cr4 |= CR4_TSD;
    tiny_code(0x0f, 0x31);
    assert_fault(EXC_GP, 0);
}

/* --- models --- */

static void test_486_lacks_cmov(void)
{
    tiny_start_model("486");
    tiny_code(0x0f, 0x44, 0xc1);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_UD);
    tiny_start_model("486");
    tiny_code(0x0f, 0x31);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_UD);
}

static void test_feature_switch(void)
{
    tiny_start_model("default,-sse2");
    tiny_code(0x66, 0x0f, 0xef, 0xc0);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_UD);
    g_assert_false(cpu.model->edx & CPUID_SSE2);
}

static void test_model_errors(void)
{
    GError *error = NULL;

    g_assert_null(cpu_model_parse("z80", &error));
    g_assert_nonnull(strstr(error->message, "z80"));
    g_clear_error(&error);
    g_assert_null(cpu_model_parse("default,+colour", &error));
    g_assert_nonnull(strstr(error->message, "+colour"));
    g_clear_error(&error);
}

static void test_default_model_does_not_speculate(void)
{
    uint32_t out[4];

    tiny_start();
    cpu_model_cpuid(cpu.model, 0, 0, out);
    g_assert_cmpmem(&out[1], 4, "Genu", 4);
    cpu_model_cpuid(cpu.model, 1, 0, out);
    g_assert_cmphex(out[0], ==, 0x106ca);
    g_assert_false(out[2] & (1u << 31)); /* no hypervisor */
    g_assert_true(out[3] & (1u << 9));   /* a local APIC */
}

#define ADD(name) g_test_add_func("/modes/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(real_interrupt_frame);
    ADD(real_word_at_ffff);
    ADD(real_stack_at_ffff);
    ADD(real_sp_wraps);
    ADD(real_offset_wraps_in_address_size);
    ADD(real_32bit_address_is_limited);
    ADD(unreal);
    ADD(real_idt_limit);
    ADD(real_protected_only_is_undefined);
    ADD(into_protected_mode_and_back);
    ADD(v86_interrupt_frame);
    ADD(v86_iopl_sensitive);
    ADD(v86_int3_is_not_iopl_sensitive);
    ADD(v86_io_ignores_iopl);
    ADD(vme_flags);
    ADD(vme_pending_interrupt_faults);
    ADD(vme_interrupt_redirection);
    ADD(pvi_virtual_interrupt_flag);
    ADD(v86_handler_must_be_ring0);
    ADD(divide_error_is_a_fault);
    ADD(divide_overflow_edges);
    ADD(lock_legality);
    ADD(sixteen_byte_instruction);
    ADD(fetch_beyond_code_limit);
    ADD(double_fault);
    ADD(benign_then_fault_is_serial);
    ADD(triple_fault);
    ADD(cpu_exception_sets_cr2);
    ADD(alignment_check);
    ADD(interrupt_wakes_halt);
    ADD(single_step);
    ADD(popf_tf_traps_after_next);
    ADD(mov_ss_holds_off_single_step);
    ADD(int_swallows_single_step);
    ADD(rep_single_steps_each_iteration);
    ADD(instruction_breakpoint);
    ADD(data_breakpoint);
    ADD(general_detect);
    ADD(icebp);
    ADD(sti_shadow);
    ADD(cr0_checks);
    ADD(lmsw_cannot_clear_pe);
    ADD(cr4_reserved);
    ADD(unknown_msr);
    ADD(rdtsc_tsd);
    ADD(486_lacks_cmov);
    ADD(feature_switch);
    ADD(model_errors);
    ADD(default_model_does_not_speculate);
    return g_test_run();
}
