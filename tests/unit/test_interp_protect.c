/* Protection: segment checks, rings, gates, task switches, descriptors. Intel SDM vol. 3A, chapters
 * 5 to 7. */
#include "tiny.h"

/* --- segment limits and types --- */

static void test_limit_expand_up(void)
{
    tiny_start();
    cpu.seg[SEG_DS].limit = 0xfff;
    cpu.gpr[EBX] = 0xffc;
    tiny_code(0x8b, 0x03, 0x8b, 0x03); /* mov eax,[ebx] */
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    cpu.gpr[EBX] = 0xffd;
    assert_fault(EXC_GP, 0);
}

static void test_limit_expand_down(void)
{
    tiny_start();
    cpu.seg[SEG_DS] = (struct seg){DS0, 0x4097, 0, 0xfff}; /* valid: 1000 up */
    cpu.gpr[EBX] = 0x1000;
    tiny_code(0x8b, 0x03, 0x8b, 0x03);
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    cpu.gpr[EBX] = 0xfff;
    assert_fault(EXC_GP, 0);
}

static void test_expand_down_16_ends_at_ffff(void)
{
    tiny_start();
    cpu.seg[SEG_DS] = (struct seg){DS0, 0x0097, 0, 0xfff};
    cpu.gpr[EBX] = 0xfffc;
    tiny_code(0x8b, 0x03, 0x8b, 0x03);
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    cpu.gpr[EBX] = 0xfffd;
    assert_fault(EXC_GP, 0);
}

static void test_stack_limit_is_ss_fault(void)
{
    tiny_start();
    cpu.seg[SEG_SS].limit = 0x1ffff;
    cpu.gpr[EBP] = 0x1fffd;
    tiny_code(0x8b, 0x45, 0x00); /* mov eax,[ebp] */
    assert_fault(EXC_SS, 0);
}

static void test_write_to_read_only(void)
{
    tiny_start();
    cpu.seg[SEG_DS].access = 0xc091;
    tiny_code(0x89, 0x03); /* mov [ebx],eax */
    assert_fault(EXC_GP, 0);
}

static void test_write_to_code(void)
{
    tiny_start();
    tiny_code(0x2e, 0x89, 0x03); /* mov cs:[ebx],eax */
    assert_fault(EXC_GP, 0);
}

static void test_read_execute_only(void)
{
    tiny_start();
    cpu.seg[SEG_CS].access = 0xc099;
    tiny_code(0x2e, 0x8b, 0x03);
    assert_fault(EXC_GP, 0);
}

static void test_null_segment(void)
{
    tiny_start();
    tiny_code(0x31, 0xc0, 0x8e, 0xd8, 0x8b, 0x03); /* xor eax,eax; mov ds,ax; mov eax,[ebx] */
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    assert_fault(EXC_GP, 0);
}

/* --- segment loads --- */

struct load_case {
    uint16_t access;
    uint8_t rpl, cpl;
    int vector; /* -1: loads */
};

static void check_ds_load(const struct load_case *c)
{
    uint16_t sel = FREE_SEL | c->rpl;

    tiny_start();
    tiny_ring(c->cpl);
    put_desc(FREE_SEL, 0x1000, 0xff, c->access);
    cpu.gpr[EAX] = sel;
    tiny_code(0x8e, 0xd8);
    g_assert_cmpint(tiny_step_vector(), ==, c->vector);
    if (c->vector < 0) {
        g_assert_cmphex(cpu.seg[SEG_DS].sel, ==, sel);
        g_assert_cmphex(cpu.seg[SEG_DS].base, ==, 0x1000);
        g_assert_cmphex(cpu.seg[SEG_DS].limit, ==, 0xff);
        g_assert_true(cpu.seg[SEG_DS].access & ACC_ACCESSED);
        g_assert_true(get32(GDT_AT + FREE_SEL + 4) & 0x100);
    } else {
        g_assert_cmphex(tiny_top(0), ==, FREE_SEL);
    }
}

static void test_ds_load(void)
{
    static const struct load_case cases[] = {
        {0x92, 0, 0, -1},     {0x90, 0, 0, -1},     {0x92, 3, 0, EXC_GP}, {0xf2, 3, 0, -1},     {0xf2, 3, 3, -1},
        {0x92, 3, 3, EXC_GP}, {0x92, 0, 3, EXC_GP}, {0x98, 0, 0, EXC_GP}, {0x9a, 0, 0, -1},     {0x9e, 3, 3, -1},
        {0x9c, 0, 0, EXC_GP}, {0x12, 0, 0, EXC_NP}, {0x82, 0, 0, EXC_GP}, {0x89, 0, 0, EXC_GP},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
        check_ds_load(&cases[i]);
}

static void test_ss_load_not_present_is_ss_fault(void)
{
    tiny_start();
    put_desc(FREE_SEL, 0, 0xfffff, 0xc013);
    cpu.gpr[EAX] = FREE_SEL;
    tiny_code(0x8e, 0xd0);
    assert_fault(EXC_SS, FREE_SEL);
}

static void test_ss_load_null(void)
{
    tiny_start();
    tiny_code(0x31, 0xc0, 0x8e, 0xd0);
    interp_step(&cpu);
    assert_fault(EXC_GP, 0);
}

static void test_selector_beyond_gdt(void)
{
    tiny_start();
    cpu.gpr[EAX] = GDT_ENTRIES * 8 + 3;
    tiny_code(0x8e, 0xd8);
    assert_fault(EXC_GP, GDT_ENTRIES * 8);
}

static void test_mov_cs_is_undefined(void)
{
    tiny_start();
    tiny_code(0x8e, 0xc8);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_UD);
}

/* --- interrupts and rings --- */

static void test_interrupt_same_level(void)
{
    tiny_start();
    cpu.eflags |= FL_IF | FL_CF;
    tiny_code(0xcd, 0x40);
    g_assert_cmpint(tiny_step_vector(), ==, 0x40);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT + 2);
    g_assert_cmphex(tiny_top(1), ==, CS0);
    g_assert_cmphex(tiny_top(2), ==, FL_FIXED1 | FL_IF | FL_CF);
    g_assert_false(cpu.eflags & FL_IF);
    g_assert_cmphex(cpu.gpr[ESP], ==, STACK_AT - 12);
}

static void test_trap_gate_keeps_if(void)
{
    tiny_start();
    cpu.eflags |= FL_IF;
    put_idt(0x40, CS0, STUBS_AT + 0x40, 0x8f);
    tiny_code(0xcd, 0x40);
    g_assert_cmpint(tiny_step_vector(), ==, 0x40);
    g_assert_true(cpu.eflags & FL_IF);
}

static void test_interrupt_from_ring3(void)
{
    tiny_start();
    tiny_ring(3);
    put_idt(0x80, CS0, STUBS_AT + 0x80, 0xee);
    tiny_code(0xcd, 0x80);
    g_assert_cmpint(tiny_step_vector(), ==, 0x80);
    g_assert_cmpint(cpu.cpl, ==, 0);
    g_assert_cmphex(cpu.seg[SEG_SS].sel, ==, DS0);
    g_assert_cmphex(cpu.gpr[ESP], ==, STACK0 - 20);
    g_assert_cmphex(tiny_top(1), ==, CS3);
    g_assert_cmphex(tiny_top(3), ==, STACK_AT);
    g_assert_cmphex(tiny_top(4), ==, DS3);
}

static void test_software_interrupt_dpl(void)
{
    tiny_start();
    tiny_ring(3);
    tiny_code(0xcd, 0x41);
    assert_fault(EXC_GP, 0x41 * 8 + 2);
    g_assert_cmphex(tiny_top(1), ==, CODE_AT);
}

static void test_gate_not_present(void)
{
    tiny_start();
    put_idt(0x42, CS0, STUBS_AT + 0x42, 0x0e);
    tiny_code(0xcd, 0x42);
    assert_fault(EXC_NP, 0x42 * 8 + 2);
}

static void test_idt_limit(void)
{
    tiny_start();
    cpu.idtr.limit = 0x43 * 8 - 1;
    tiny_code(0xcd, 0x43);
    assert_fault(EXC_GP, 0x43 * 8 + 2);
}

static void test_external_sets_ext(void)
{
    tiny_start();
    put_idt(0x44, CS0, 0, 0x0e); /* not present */
    tiny_code(0x90);
    cpu.eflags |= FL_IF;
    cpu_interrupt(&cpu, 0x44);
    g_assert_cmphex(cpu.eip, ==, STUBS_AT + EXC_NP);
    g_assert_cmphex(tiny_top(0), ==, 0x44 * 8 + 2 + 1);
}

static void test_sixteen_bit_gate(void)
{
    tiny_start();
    put_idt(0x45, CS0, STUBS_AT + 0x45, 0x86);
    tiny_code(0xcd, 0x45);
    g_assert_cmpint(tiny_step_vector(), ==, 0x45);
    g_assert_cmphex(cpu.gpr[ESP], ==, STACK_AT - 6);
    g_assert_cmphex(get16(STACK_AT - 6), ==, (CODE_AT + 2) & 0xffff);
}

static void test_bad_inner_stack(void)
{
    tiny_start();
    tiny_ring(3);
    put16(TSS_AT + 8, DS3); /* SS0 with DPL 3 */
    put_idt(EXC_TS, CS0, STUBS_AT + EXC_TS, 0x8e);
    put_idt(0x80, CS0, STUBS_AT + 0x80, 0xee);
    tiny_code(0xcd, 0x80);
    /* #TS cannot be delivered on the same bad stack: double fault, then triple. */
    g_assert_cmpint(interp_step(&cpu), ==, CPU_EXIT);
    g_assert_true(cpu.shutdown);
}

static void test_iret_to_ring3(void)
{
    tiny_start();
    cpu.seg[SEG_FS] = (struct seg){DS0, 0xc093, 0, 0xffffffff};
    static const uint32_t frame[] = {CODE_AT + 0x100, CS3, FL_IF | FL_IOPL | FL_FIXED1, 0x1234, DS3};
    cpu.gpr[ESP] = STACK_AT - sizeof(frame);
    mem_write(cpu.gpr[ESP], frame, sizeof(frame));
    tiny_code(0xcf);
    interp_step(&cpu);
    g_assert_cmpint(cpu.cpl, ==, 3);
    g_assert_cmphex(cpu.eip, ==, CODE_AT + 0x100);
    g_assert_cmphex(cpu.gpr[ESP], ==, 0x1234);
    g_assert_cmphex(cpu.eflags, ==, FL_IF | FL_IOPL | FL_FIXED1);
    g_assert_false(cpu.seg[SEG_FS].access & ACC_P); /* ring 0 data is taken away */
}

static void test_iret_ring3_cannot_change_iopl(void)
{
    tiny_start();
    tiny_ring(3);
    static const uint32_t frame[] = {CODE_AT + 0x100, CS3, FL_IF | FL_IOPL | FL_CF | FL_FIXED1};
    cpu.gpr[ESP] = STACK_AT - sizeof(frame);
    mem_write(cpu.gpr[ESP], frame, sizeof(frame));
    tiny_code(0xcf);
    interp_step(&cpu);
    g_assert_cmphex(cpu.eflags, ==, FL_CF | FL_FIXED1);
}

static void test_iret_to_inner_ring(void)
{
    tiny_start();
    tiny_ring(3);
    static const uint32_t frame[] = {CODE_AT, CS0, FL_FIXED1};
    cpu.gpr[ESP] = STACK_AT - sizeof(frame);
    mem_write(cpu.gpr[ESP], frame, sizeof(frame));
    tiny_code(0xcf);
    assert_fault(EXC_GP, CS0);
}

/* --- privileged instructions in ring 3 --- */

static void test_privileged(void)
{
    static const uint8_t code[][4] = {
        {0xf4},             /* hlt */
        {0x0f, 0x20, 0xc0}, /* mov eax,cr0 */
        {0x0f, 0x22, 0xd8}, /* mov cr3,eax */
        {0x0f, 0x06},       /* clts */
        {0x0f, 0x01, 0x10}, /* lgdt [eax] */
        {0x0f, 0x00, 0xd0}, /* lldt ax */
        {0x0f, 0x00, 0xd8}, /* ltr ax */
        {0x0f, 0x32},       /* rdmsr */
        {0x0f, 0x09},       /* wbinvd */
        {0x0f, 0x01, 0x38}, /* invlpg [eax] */
        {0xfa},             /* cli */
        {0xfb},             /* sti */
        {0xec},             /* in al,dx: no bitmap bit */
        {0x0f, 0x23, 0xc0}, /* mov dr0,eax */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(code); i++) {
        tiny_start();
        tiny_ring(3);
        put16(TSS_AT + 102, 0x300);
        tiny_code_at(CODE_AT, code[i], 4);
        assert_fault(EXC_GP, 0);
    }
}

static void test_io_bitmap(void)
{
    tiny_start();
    tiny_ring(3);
    memset(guest_mem.ram + TSS_AT + 0x68, 0xff, 0x200);
    guest_mem.ram[TSS_AT + 0x68 + 0x60 / 8] = (uint8_t)~0x01; /* port 60h only */
    tiny_code(0xe4, 0x60, 0xe5, 0x60);                        /* in al,60h; in eax,60h */
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    g_assert_cmphex(cpu.gpr[EAX] & 0xff, ==, 0xff); /* open bus */
    assert_fault(EXC_GP, 0);
}

/* --- call gates --- */

static void test_call_gate_inner(void)
{
    static const uint8_t code[] = {0x9a, 0, 0, 0, 0, FREE_SEL, 0};
    static const uint32_t params[] = {0x11111111, 0x22222222};

    tiny_start();
    tiny_ring(3);
    put_gate(GDT_AT + FREE_SEL, CS0, CODE_AT + 0x200, 0xec, 2);
    cpu.gpr[ESP] = STACK_AT - 8;
    mem_write(cpu.gpr[ESP], params, 8);
    tiny_code_at(CODE_AT, code, sizeof(code));
    interp_step(&cpu);
    g_assert_cmphex(cpu.eip, ==, CODE_AT + 0x200);
    g_assert_cmpint(cpu.cpl, ==, 0);
    g_assert_cmphex(cpu.gpr[ESP], ==, STACK0 - 24);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT + 7);
    g_assert_cmphex(tiny_top(1), ==, CS3);
    g_assert_cmphex(tiny_top(2), ==, 0x11111111);
    g_assert_cmphex(tiny_top(3), ==, 0x22222222);
    g_assert_cmphex(tiny_top(4), ==, STACK_AT - 8);
    g_assert_cmphex(tiny_top(5), ==, DS3);

    /* and back: RETF 8 drops the parameters on both stacks */
    static const uint8_t retf[] = {0xca, 8, 0};
    tiny_code_at(CODE_AT + 0x200, retf, sizeof(retf));
    interp_step(&cpu);
    g_assert_cmphex(cpu.eip, ==, CODE_AT + 7);
    g_assert_cmpint(cpu.cpl, ==, 3);
    g_assert_cmphex(cpu.gpr[ESP], ==, STACK_AT);
}

static void test_call_gate_dpl(void)
{
    static const uint8_t code[] = {0x9a, 0, 0, 0, 0, FREE_SEL, 0};

    tiny_start();
    tiny_ring(3);
    put_gate(GDT_AT + FREE_SEL, CS0, CODE_AT + 0x200, 0x8c, 0);
    tiny_code_at(CODE_AT, code, sizeof(code));
    assert_fault(EXC_GP, FREE_SEL);
}

static void test_jmp_gate_cannot_go_inward(void)
{
    static const uint8_t code[] = {0xea, 0, 0, 0, 0, FREE_SEL, 0};

    tiny_start();
    tiny_ring(3);
    put_gate(GDT_AT + FREE_SEL, CS0, CODE_AT + 0x200, 0xec, 0);
    tiny_code_at(CODE_AT, code, sizeof(code));
    assert_fault(EXC_GP, CS0);
}

static void test_conforming_keeps_cpl(void)
{
    static const uint8_t code[] = {0xea, 0x00, 0x02, 0x01, 0x00, FREE_SEL | 3, 0};

    tiny_start();
    tiny_ring(3);
    put_desc(FREE_SEL, 0, 0xfffff, 0xc09e);
    tiny_code_at(CODE_AT, code, sizeof(code));
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    g_assert_cmphex(cpu.eip, ==, 0x10200);
    g_assert_cmpint(cpu.cpl, ==, 3);
    g_assert_cmphex(cpu.seg[SEG_CS].sel, ==, FREE_SEL | 3);
}

static void test_far_jump_errors(void)
{
    static const struct {
        uint16_t access;
        int vector;
    } cases[] = {{0x409a, -1}, {0x40fa, EXC_GP}, {0x401a, EXC_NP}, {0x4092, EXC_GP}};
    static const uint8_t code[] = {0xea, 0x00, 0x02, 0x01, 0x00, FREE_SEL, 0};

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        tiny_start();
        put_desc(FREE_SEL, 0, 0xfffff, cases[i].access);
        tiny_code_at(CODE_AT, code, sizeof(code));
        g_assert_cmpint(tiny_step_vector(), ==, cases[i].vector);
        if (cases[i].vector >= 0)
            g_assert_cmphex(tiny_top(0), ==, FREE_SEL);
    }
}

static void test_far_jump_beyond_limit(void)
{
    static const uint8_t code[] = {0xea, 0x00, 0x02, 0x01, 0x00, FREE_SEL, 0};

    tiny_start();
    put_desc(FREE_SEL, 0, 0x101ff, 0x409a);
    tiny_code_at(CODE_AT, code, sizeof(code));
    assert_fault(EXC_GP, 0);
}

/* --- tasks --- */

static void put_task(void)
{
    put32(TSS2_AT + 0x20, CODE_AT + 0x400);
    put32(TSS2_AT + 0x24, FL_FIXED1);
    put32(TSS2_AT + 0x28, 0xaaaa0000);
    put32(TSS2_AT + 0x38, 0x9000);
    put32(TSS2_AT + 0x48, DS0);
    put32(TSS2_AT + 0x4c, CS0);
    put32(TSS2_AT + 0x50, DS0);
    put32(TSS2_AT + 0x54, DS0);
}

static bool is_busy(uint16_t sel)
{
    return get32(GDT_AT + sel + 4) & 0x200;
}

static void test_task_call_and_return(void)
{
    static const uint8_t call[] = {0x9a, 0, 0, 0, 0, TSS2_SEL, 0}, iret[] = {0xcf};

    tiny_start();
    put_task();
    cpu.gpr[EBX] = 0xbbbb;
    tiny_code_at(CODE_AT, call, sizeof(call));
    tiny_code_at(CODE_AT + 0x400, iret, 1);
    interp_step(&cpu);
    g_assert_cmphex(cpu.eip, ==, CODE_AT + 0x400);
    g_assert_cmphex(cpu.gpr[EAX], ==, 0xaaaa0000);
    g_assert_cmphex(cpu.gpr[ESP], ==, 0x9000);
    g_assert_cmphex(cpu.seg[SEG_TR].sel, ==, TSS2_SEL);
    g_assert_true(cpu.eflags & FL_NT);
    g_assert_true(cpu.cr0 & CR0_TS);
    g_assert_true(is_busy(TSS_SEL));
    g_assert_true(is_busy(TSS2_SEL));
    g_assert_cmphex(get16(TSS2_AT), ==, TSS_SEL);
    g_assert_cmphex(get32(TSS_AT + 0x20), ==, CODE_AT + 7);
    g_assert_cmphex(get32(TSS_AT + 0x34), ==, 0xbbbb);

    interp_step(&cpu);
    g_assert_cmphex(cpu.eip, ==, CODE_AT + 7);
    g_assert_cmphex(cpu.gpr[EBX], ==, 0xbbbb);
    g_assert_cmphex(cpu.seg[SEG_TR].sel, ==, TSS_SEL);
    g_assert_false(is_busy(TSS2_SEL));
    g_assert_true(is_busy(TSS_SEL));
    g_assert_false(cpu.eflags & FL_NT);
}

static void test_task_jump_frees_old(void)
{
    static const uint8_t jump[] = {0xea, 0, 0, 0, 0, TSS2_SEL, 0};

    tiny_start();
    put_task();
    tiny_code_at(CODE_AT, jump, sizeof(jump));
    interp_step(&cpu);
    g_assert_cmphex(cpu.seg[SEG_TR].sel, ==, TSS2_SEL);
    g_assert_false(is_busy(TSS_SEL));
    g_assert_true(is_busy(TSS2_SEL));
    g_assert_false(cpu.eflags & FL_NT);
}

static void test_task_busy(void)
{
    static const uint8_t jump[] = {0xea, 0, 0, 0, 0, TSS_SEL, 0};

    tiny_start();
    tiny_code_at(CODE_AT, jump, sizeof(jump));
    assert_fault(EXC_GP, TSS_SEL);
}

static void test_task_limit(void)
{
    static const uint8_t jump[] = {0xea, 0, 0, 0, 0, TSS2_SEL, 0};

    tiny_start();
    put_desc(TSS2_SEL, TSS2_AT, 0x66, 0x89);
    tiny_code_at(CODE_AT, jump, sizeof(jump));
    assert_fault(EXC_TS, TSS2_SEL);
}

static void test_task_gate_in_idt_pushes_error(void)
{
    tiny_start();
    put_task();
    put_gate(IDT_AT + EXC_GP * 8, TSS2_SEL, 0, 0x85, 0);
    cpu.seg[SEG_DS].limit = 0;
    tiny_code(0x8b, 0x03); /* mov eax,[ebx] */
    interp_step(&cpu);
    g_assert_cmphex(cpu.seg[SEG_TR].sel, ==, TSS2_SEL);
    g_assert_cmphex(cpu.gpr[ESP], ==, 0x9000 - 4);
    g_assert_cmphex(tiny_top(0), ==, 0);
    g_assert_cmphex(get32(TSS_AT + 0x20), ==, CODE_AT); /* a fault returns to itself */
    g_assert_true(get32(TSS_AT + 0x24) & FL_RF);
}

static void test_task_bad_ss_faults_in_new_task(void)
{
    static const uint8_t jump[] = {0xea, 0, 0, 0, 0, TSS2_SEL, 0};

    tiny_start();
    put_task();
    put32(TSS2_AT + 0x50, CS0);
    put_gate(IDT_AT + EXC_TS * 8, TSS_SEL, 0, 0x85, 0); /* handled by the old task: it has a stack */
    put32(TSS_AT + 0x20, 0);
    tiny_code_at(CODE_AT, jump, sizeof(jump));
    interp_step(&cpu);
    g_assert_cmphex(cpu.seg[SEG_TR].sel, ==, TSS_SEL);
    g_assert_cmphex(cpu.eip, ==, CODE_AT + 7);
    g_assert_cmphex(tiny_top(0), ==, CS0);
    g_assert_cmphex(get16(TSS_AT), ==, TSS2_SEL);
}

static void test_task_trap_bit(void)
{
    static const uint8_t jump[] = {0xea, 0, 0, 0, 0, TSS2_SEL, 0};

    tiny_start();
    put_task();
    put16(TSS2_AT + 100, 1);
    tiny_code_at(CODE_AT, jump, sizeof(jump));
    interp_step(&cpu);
    g_assert_cmpint(tiny_step_vector(), ==, EXC_DB);
    g_assert_true(cpu.dr[6] & 0x8000);
    g_assert_cmphex(tiny_top(0), ==, CODE_AT + 0x400);
}

static void test_task_16(void)
{
    static const uint8_t jump[] = {0xea, 0, 0, 0, 0, TSS2_SEL, 0};

    tiny_start();
    put_desc(TSS2_SEL, TSS2_AT, 0x2b, 0x81);
    put16(TSS2_AT + 14, 0x6000);
    put16(TSS2_AT + 16, FL_FIXED1);
    put16(TSS2_AT + 18, 0x1234);
    put16(TSS2_AT + 26, 0x9000);
    put16(TSS2_AT + 34, DS16);
    put16(TSS2_AT + 36, CS16);
    put16(TSS2_AT + 38, DS16);
    put16(TSS2_AT + 40, DS16);
    tiny_code_at(CODE_AT, jump, sizeof(jump));
    interp_step(&cpu);
    g_assert_cmphex(cpu.eip, ==, 0x6000);
    g_assert_cmphex(cpu.seg[SEG_CS].sel, ==, CS16);
    g_assert_cmphex(cpu.gpr[EAX] & 0xffff, ==, 0x1234);
    g_assert_cmphex(cpu.gpr[ESP] & 0xffff, ==, 0x9000);
}

/* --- LAR, LSL, VERR, VERW, ARPL --- */

static void test_lar_lsl(void)
{
    tiny_start();
    cpu.gpr[EBX] = CS0;
    tiny_code(0x0f, 0x02, 0xc3, 0x0f, 0x03, 0xcb); /* lar eax,bx; lsl ecx,bx */
    interp_step(&cpu);
    interp_step(&cpu);
    g_assert_cmphex(cpu.gpr[EAX], ==, 0x00cf9b00);
    g_assert_cmphex(cpu.gpr[ECX], ==, 0xffffffff);
    g_assert_true(cpu.eflags & FL_ZF);
}

static void test_lsl_rejects_gate(void)
{
    tiny_start();
    put_gate(GDT_AT + FREE_SEL, CS0, 0, 0x8c, 0);
    cpu.gpr[EBX] = FREE_SEL;
    cpu.eflags |= FL_ZF;
    tiny_code(0x0f, 0x03, 0xcb, 0x0f, 0x02, 0xcb);
    interp_step(&cpu);
    g_assert_false(cpu.eflags & FL_ZF);
    interp_step(&cpu); /* LAR accepts a call gate */
    g_assert_true(cpu.eflags & FL_ZF);
}

static void test_verr_verw(void)
{
    tiny_start();
    cpu.gpr[EBX] = CS0;
    tiny_code(0x0f, 0x00, 0xe3, 0x0f, 0x00, 0xeb);
    interp_step(&cpu);
    g_assert_true(cpu.eflags & FL_ZF);
    interp_step(&cpu);
    g_assert_false(cpu.eflags & FL_ZF);
}

static void test_arpl(void)
{
    tiny_start();
    cpu.gpr[EAX] = 0x10;
    cpu.gpr[ECX] = 0x03;
    tiny_code(0x63, 0xc8); /* arpl ax,cx */
    interp_step(&cpu);
    g_assert_cmphex(cpu.gpr[EAX], ==, 0x13);
    g_assert_true(cpu.eflags & FL_ZF);
}

static void test_sysenter_sysexit(void)
{
    tiny_start();
    tiny_ring(3);
    cpu.sysenter_cs = CS0;
    cpu.sysenter_eip = CODE_AT + 0x500;
    cpu.sysenter_esp = STACK0;
    cpu.eflags |= FL_IF;
    tiny_code(0x0f, 0x34);
    static const uint8_t sysexit[] = {0x0f, 0x35};
    tiny_code_at(CODE_AT + 0x500, sysexit, 2);
    interp_step(&cpu);
    g_assert_cmpint(cpu.cpl, ==, 0);
    g_assert_cmphex(cpu.eip, ==, CODE_AT + 0x500);
    g_assert_cmphex(cpu.gpr[ESP], ==, STACK0);
    g_assert_cmphex(cpu.seg[SEG_SS].sel, ==, CS0 + 8);
    g_assert_false(cpu.eflags & FL_IF);
    cpu.gpr[EDX] = CODE_AT + 2;
    cpu.gpr[ECX] = 0x7777;
    interp_step(&cpu);
    g_assert_cmpint(cpu.cpl, ==, 3);
    g_assert_cmphex(cpu.seg[SEG_CS].sel, ==, CS0 + 16 + 3);
    g_assert_cmphex(cpu.gpr[ESP], ==, 0x7777);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/protect/limit_expand_up", test_limit_expand_up);
    g_test_add_func("/protect/limit_expand_down", test_limit_expand_down);
    g_test_add_func("/protect/expand_down_16", test_expand_down_16_ends_at_ffff);
    g_test_add_func("/protect/stack_limit", test_stack_limit_is_ss_fault);
    g_test_add_func("/protect/write_read_only", test_write_to_read_only);
    g_test_add_func("/protect/write_code", test_write_to_code);
    g_test_add_func("/protect/read_execute_only", test_read_execute_only);
    g_test_add_func("/protect/null_segment", test_null_segment);
    g_test_add_func("/protect/ds_load", test_ds_load);
    g_test_add_func("/protect/ss_not_present", test_ss_load_not_present_is_ss_fault);
    g_test_add_func("/protect/ss_null", test_ss_load_null);
    g_test_add_func("/protect/beyond_gdt", test_selector_beyond_gdt);
    g_test_add_func("/protect/mov_cs", test_mov_cs_is_undefined);
    g_test_add_func("/protect/int_same_level", test_interrupt_same_level);
    g_test_add_func("/protect/trap_gate", test_trap_gate_keeps_if);
    g_test_add_func("/protect/int_from_ring3", test_interrupt_from_ring3);
    g_test_add_func("/protect/int_dpl", test_software_interrupt_dpl);
    g_test_add_func("/protect/gate_not_present", test_gate_not_present);
    g_test_add_func("/protect/idt_limit", test_idt_limit);
    g_test_add_func("/protect/external_ext", test_external_sets_ext);
    g_test_add_func("/protect/gate16", test_sixteen_bit_gate);
    g_test_add_func("/protect/bad_inner_stack", test_bad_inner_stack);
    g_test_add_func("/protect/iret_ring3", test_iret_to_ring3);
    g_test_add_func("/protect/iret_iopl", test_iret_ring3_cannot_change_iopl);
    g_test_add_func("/protect/iret_inner", test_iret_to_inner_ring);
    g_test_add_func("/protect/privileged", test_privileged);
    g_test_add_func("/protect/io_bitmap", test_io_bitmap);
    g_test_add_func("/protect/call_gate_inner", test_call_gate_inner);
    g_test_add_func("/protect/call_gate_dpl", test_call_gate_dpl);
    g_test_add_func("/protect/jmp_gate_inward", test_jmp_gate_cannot_go_inward);
    g_test_add_func("/protect/conforming", test_conforming_keeps_cpl);
    g_test_add_func("/protect/far_jump_errors", test_far_jump_errors);
    g_test_add_func("/protect/far_jump_limit", test_far_jump_beyond_limit);
    g_test_add_func("/protect/task_call", test_task_call_and_return);
    g_test_add_func("/protect/task_jump", test_task_jump_frees_old);
    g_test_add_func("/protect/task_busy", test_task_busy);
    g_test_add_func("/protect/task_limit", test_task_limit);
    g_test_add_func("/protect/task_gate_error", test_task_gate_in_idt_pushes_error);
    g_test_add_func("/protect/task_bad_ss", test_task_bad_ss_faults_in_new_task);
    g_test_add_func("/protect/task_trap", test_task_trap_bit);
    g_test_add_func("/protect/task_16", test_task_16);
    g_test_add_func("/protect/lar_lsl", test_lar_lsl);
    g_test_add_func("/protect/lsl_gate", test_lsl_rejects_gate);
    g_test_add_func("/protect/verr_verw", test_verr_verw);
    g_test_add_func("/protect/arpl", test_arpl);
    g_test_add_func("/protect/sysenter", test_sysenter_sysexit);
    return g_test_run();
}
