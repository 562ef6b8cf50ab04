/* Rings, gates, privileged instructions, I/O permission, segment loads. Intel SDM vol. 3A, chapters 3, 5, 6;
 * vol. 1, 19.5 for the I/O permission bitmap. */
#include "guest.h"

enum {
    SEL_CONFORMING = GDT_FREE,
    SEL_NP_DATA = GDT_FREE + 8,
    SEL_NP_CODE = GDT_FREE + 16,
    SEL_XONLY = GDT_FREE + 24,
    SEL_RO = GDT_FREE + 32,
    SEL_NP_STACK = GDT_FREE + 40,
    SEL_GATE = GDT_FREE + 48,
    SEL_LDT = GDT_FREE + 56,
    SEL_NP_LDT = GDT_FREE + 64,
    SEL_SMALL = GDT_FREE + 72,
    SEL_DOWN = GDT_FREE + 80,
    SEL_SCODE = GDT_FREE + 88,
    SEL_BEYOND = GDT_COUNT * 8,
};

static void set(uint16_t sel, uint64_t d)
{
    gdt[sel / 8] = d;
}

/* --- Entering outer rings and coming back --- */

SNIPPET(code_report, "movl %cs, %eax\n movl %ss, %ebx\n movl %esp, %ecx\n pushfl\n popl %edx");
SNIPPET(code_int81, "int $0x81");
SNIPPET(code_int82, "int $0x82");

static void test_iret(void)
{
    struct state s;

    for (unsigned ring = 0; ring < 4; ring++) {
        state_init(&s, ring, code_report);
        uint32_t cs = s.cs, ss = s.ss, esp = s.esp;
        run_expect(&s, VEC_DONE, 0, "ring%u: runs and comes back", ring);
        check(s.eax == cs && s.ebx == ss && s.ecx == esp && s.cs == cs && s.ss == ss && s.esp == esp,
              "ring%u: selectors and stack", ring);
        check((s.eax & 3) == ring, "ring%u: RPL of CS is the CPL", ring);
    }
    state_init(&s, 3, code_report);
    s.eflags = 0x2 | FL_CF | FL_DF | FL_OF | FL_IOPL3 | FL_AC;
    run(&s);
    check_equal(s.edx & 0x57fd5, FL_CF | FL_DF | FL_OF | FL_IOPL3 | FL_AC, "iret: loads EFLAGS with IOPL");
    /* An outer return clears data segments that the outer ring may not use. */
    state_init(&s, 3, code_report);
    s.ds = KDATA;
    s.es = UDATA;
    s.fs = R1DATA;
    s.gs = R2DATA;
    run(&s);
    check(s.ds == 0 && s.es == UDATA && s.fs == 0 && s.gs == 0, "iret: inner data segments become null");

    /* Faults of IRET itself: raised in ring 0, at the IRET. */
    static const struct {
        const char *name;
        uint16_t cs, ss;
        unsigned vector;
        uint32_t error;
    } bad[] = {
        {"null CS", 3, UDATA, EXC_GP, 0},
        {"data as CS", UDATA, UDATA, EXC_GP, UDATA & ~3},
        {"CS beyond the GDT", SEL_BEYOND | 3, UDATA, EXC_GP, SEL_BEYOND},
        {"CS not present", SEL_NP_CODE | 3, UDATA, EXC_NP, SEL_NP_CODE},
        {"DPL of CS is not its RPL", KCODE | 3, UDATA, EXC_GP, KCODE},
        {"null SS", UCODE, 3, EXC_GP, 0},
        {"RPL of SS differs", UCODE, UDATA & ~3, EXC_GP, UDATA & ~3},
        {"DPL of SS differs", UCODE, R1DATA | 3, EXC_GP, R1DATA & ~3},
        {"SS is read-only", UCODE, SEL_RO | 3, EXC_GP, SEL_RO},
        {"SS not present", UCODE, SEL_NP_STACK | 3, EXC_SS, SEL_NP_STACK},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        state_init(&s, 3, code_report);
        s.cs = bad[i].cs;
        s.ss = bad[i].ss;
        run_expect(&s, bad[i].vector, bad[i].error, "iret: %s", bad[i].name);
        check(s.cs == KCODE && s.eip == (uint32_t)run_iret, "iret: %s: at the IRET", bad[i].name);
    }
}

static void test_gates(void)
{
    struct state s;

    gate_set(0x81, D_INT32 | D_DPL(3));
    gate_set(0x82, D_TRAP32 | D_DPL(3));
    state_init(&s, 3, code_int81);
    s.eflags |= FL_IF;
    run_expect(&s, 0x81, 0, "gate: interrupt gate from ring 3");
    check(!(s.handler_eflags & FL_IF) && (s.eflags & FL_IF), "gate: interrupt gate clears IF");
    check_equal(s.eip, (uint32_t)code_int81 + 2, "gate: EIP after INT n");
    state_init(&s, 3, code_int82);
    s.eflags |= FL_IF;
    run_expect(&s, 0x82, 0, "gate: trap gate from ring 3");
    check(s.handler_eflags & FL_IF, "gate: trap gate keeps IF");
    state_init(&s, 3, code_int82);
    s.eflags |= FL_NT;
    run(&s);
    check(!(s.handler_eflags & FL_NT) && (s.eflags & FL_NT), "gate: NT cleared for the handler only");

    static const struct {
        unsigned dpl, ring;
    } allowed[] = {{0, 0}, {0, 1}, {0, 3}, {1, 1}, {1, 2}, {2, 2}, {2, 3}, {3, 3}};
    for (unsigned i = 0; i < ARRAY_COUNT(allowed); i++) {
        bool ok = allowed[i].ring <= allowed[i].dpl;
        gate_set(0x81, D_INT32 | D_DPL(allowed[i].dpl));
        state_init(&s, allowed[i].ring, code_int81);
        run_expect(&s, ok ? 0x81 : EXC_GP, ok ? 0 : 0x81 * 8 + 2, "gate: INT n of DPL %u from ring %u", allowed[i].dpl,
                   allowed[i].ring);
        if (!ok)
            check_equal(s.eip, (uint32_t)code_int81, "gate: EIP of the refused INT n");
    }
    gate_set(0x81, D_INT32 | D_DPL(3));
    idt[0x81] &= ~(1ull << 47);
    state_init(&s, 3, code_int81);
    run_expect(&s, EXC_NP, 0x81 * 8 + 2, "gate: not present");
    idt[0x81] = gate_make(KCODE, trap_stubs[0x81], D_CALL32 | D_DPL(3), 0);
    state_init(&s, 3, code_int81);
    run_expect(&s, EXC_GP, 0x81 * 8 + 2, "gate: a call gate in the IDT");
    idt[0x81] = gate_make(KDATA, trap_stubs[0x81], D_INT32 | D_DPL(3), 0);
    state_init(&s, 3, code_int81);
    run_expect(&s, EXC_GP, KDATA, "gate: to a data segment");
    idt[0x81] = gate_make(0, trap_stubs[0x81], D_INT32 | D_DPL(3), 0);
    state_init(&s, 3, code_int81);
    run_expect(&s, EXC_GP, 0, "gate: to a null selector");
    idt[0x81] = gate_make(SEL_NP_CODE, trap_stubs[0x81], D_INT32 | D_DPL(3), 0);
    state_init(&s, 3, code_int81);
    run_expect(&s, EXC_NP, SEL_NP_CODE, "gate: to code not present");
    idt[0x81] = gate_make(UCODE, trap_stubs[0x81], D_INT32 | D_DPL(3), 0);
    state_init(&s, 0, code_int81);
    run_expect(&s, EXC_GP, UCODE & ~3, "gate: to an outer ring");
    gate_set(0x81, D_INT32 | D_DPL(3));
    idt_load(0x81 * 8 - 1);
    state_init(&s, 3, code_int81);
    run_expect(&s, EXC_GP, 0x81 * 8 + 2, "gate: beyond the IDT's limit");
    idt_load(sizeof idt - 1);

    /* A fault within the delivery of a fault. */
    SNIPPET(code_ud2, "ud2");
    SNIPPET(code_hlt, "hlt");
    idt[EXC_GP] &= ~(1ull << 47);
    state_init(&s, 3, code_hlt);
    run_expect(&s, EXC_DF, 0, "double fault: #NP while delivering #GP");
    gate_set(EXC_GP, D_INT32);
    idt[EXC_UD] &= ~(1ull << 47);
    state_init(&s, 3, code_ud2);
    run_expect(&s, EXC_NP, EXC_UD * 8 + 3, "delivery: #NP while delivering #UD has EXT");
    gate_set(EXC_UD, D_INT32);
    /* The inner stack is bad. */
    uint32_t ss0 = tss.ss0;
    tss.ss0 = R1DATA;
    state_init(&s, 3, code_int81);
    gate_set(EXC_TS, D_TASK_GATE); /* not used: #TS is delivered on the stack of TSS, which is bad, too */
    gate_set(EXC_TS, D_INT32);
    tss.ss1 = UDATA;
    idt[0x81] = gate_make(R1CODE, trap_stubs[0x81], D_INT32 | D_DPL(3), 0);
    tss.ss0 = ss0;
    run_expect(&s, EXC_TS, UDATA & ~3, "inner stack: DPL of SS differs, #TS");
    tss.ss1 = 1;
    state_init(&s, 3, code_int81);
    run_expect(&s, EXC_TS, 0, "inner stack: null SS, #TS");
    tss.ss1 = SEL_NP_STACK | 1;
    set(SEL_NP_STACK, desc_make(0, 0xfffff, (D_DATA & ~0x80) | D_DPL(1) | D_FLAT));
    state_init(&s, 3, code_int81);
    run_expect(&s, EXC_SS, SEL_NP_STACK, "inner stack: SS not present, #SS");
    set(SEL_NP_STACK, desc_make(0, 0xfffff, (D_DATA & ~0x80) | D_DPL(3) | D_FLAT));
    tss.ss1 = R1DATA;
    gate_set(0x81, D_INT32 | D_DPL(3));
}

/* --- Call gates --- */

uint32_t gate_frame[16], gate_cs, gate_ss, gate_esp, gate_es;
__asm__(".pushsection .text.snippet,\"ax\"\n"
        ".macro target name, pop\n"
        "\\name:\n"
        " movl %cs, %eax\n movl %eax, %ss:gate_cs\n movl %ss, %eax\n movl %eax, %ss:gate_ss\n"
        " movl %esp, %ss:gate_esp\n"
        " movl $0, %eax\n"
        "1: movl %ss:(%esp,%eax,4), %edx\n movl %edx, %ss:gate_frame(,%eax,4)\n incl %eax\n"
        " cmpl $10, %eax\n jb 1b\n"
        " \\pop\n .endm\n"
        "target gate_target3, \"lret $12\"\n"
        "target gate_target0, \"lret\"\n"
        "target gate_target16, \"lretw $6\"\n"
        "target gate_target_es, \"movl $0x10, %eax; movl %eax, %es; lret\"\n"
        ".popsection\n");
extern char gate_target3[], gate_target0[], gate_target16[], gate_target_es[];

SNIPPET(code_call3, "pushl $0x11111111\n pushl $0x22222222\n pushl $0x33333333\n lcall $0x80, $0x12345678\n"
                    "code_call3_after: nop");
SNIPPET(code_call0, "lcall $0x80, $0\n code_call0_after: nop");
SNIPPET(code_call16, "pushw $0x1111\n pushw $0x2222\n pushw $0x3333\n lcall $0x80, $0\n code_call16_after: nop");
SNIPPET(code_jmp_gate, "ljmp $0x80, $0");
extern char code_call3_after[], code_call0_after[], code_call16_after[];
_Static_assert(SEL_GATE == 0x80, "selector in the snippets above");

static void test_call_gates(void)
{
    struct state s;
    static const uint16_t code[4] = {KCODE, R1CODE, R2CODE, UCODE};

    for (unsigned from = 1; from < 4; from++)
        for (unsigned to = 0; to <= from; to++) {
            uint32_t inner = to == 0 ? tss.esp0 : to == 1 ? tss.esp1 : tss.esp2;
            uint16_t inner_ss = to == 0 ? KDATA : to == 1 ? R1DATA : R2DATA;
            set(SEL_GATE, gate_make(code[to], gate_target3, D_CALL32 | D_DPL(3), 3));
            state_init(&s, from, code_call3);
            uint32_t esp = s.esp, ss = s.ss, cs = s.cs;
            run_expect(&s, VEC_DONE, 0, "call gate: ring %u to %u and back", from, to);
            check((gate_cs & 3) == to && s.cs == cs && s.ss == ss && s.esp == esp,
                  "call gate: %u to %u: CPL inside, stack after", from, to);
            if (to == from) {
                check(gate_frame[0] == (uint32_t)code_call3_after && gate_frame[1] == cs && gate_frame[2] == 0x33333333,
                      "call gate: %u to %u: no stack switch", from, to);
                continue;
            }
            check(gate_esp == inner - 7 * 4 && gate_ss == inner_ss, "call gate: %u to %u: inner stack", from, to);
            check(gate_frame[0] == (uint32_t)code_call3_after && gate_frame[1] == cs && gate_frame[2] == 0x33333333 &&
                      gate_frame[3] == 0x22222222 && gate_frame[4] == 0x11111111 && gate_frame[5] == esp - 12 &&
                      gate_frame[6] == ss,
                  "call gate: %u to %u: frame with three parameters", from, to);
        }
    set(SEL_GATE, gate_make(KCODE, gate_target0, D_CALL32 | D_DPL(3), 0));
    state_init(&s, 3, code_call0);
    run_expect(&s, VEC_DONE, 0, "call gate: no parameters");
    check(gate_frame[0] == (uint32_t)code_call0_after && gate_frame[2] == s.esp && gate_frame[3] == UDATA,
          "call gate: no parameters: frame");
    set(SEL_GATE, gate_make(KCODE, gate_target_es, D_CALL32 | D_DPL(3), 0));
    state_init(&s, 3, code_call0);
    run(&s);
    check(s.vector == VEC_DONE && s.es == 0 && s.ds == UDATA, "call gate: RET clears inner data segments");
    /* A code segment within reach of a 16-bit offset, for the 286's gate. */
    uint32_t base = (uint32_t)gate_target16 & ~15u;
    set(SEL_SCODE, desc_make(base, 0xfffff, D_CODE | D_FLAT));
    set(SEL_GATE, gate_make(SEL_SCODE, gate_target16 - base, D_CALL16 | D_DPL(3), 3));
    /* Its frame keeps 16 bits of EIP and ESP: caller and stack must fit. */
    uint32_t ubase = (uint32_t)code_call16 & ~15u, sbase = (uint32_t)ring_stacks[3];
    set(SEL_SMALL, desc_make(ubase, 0xfffff, D_CODE | D_DPL(3) | D_FLAT));
    set(SEL_DOWN, desc_make(sbase, 0xffff, D_DATA | D_DPL(3)));
    state_init(&s, 3, code_call16 - ubase);
    s.cs = SEL_SMALL | 3;
    s.ss = SEL_DOWN | 3;
    s.esp = 0x8000;
    run_expect(&s, VEC_DONE, 0, "call gate: 16-bit");
    const uint16_t *words = (const uint16_t *)gate_frame;
    check(words[0] == (uint16_t)((uint32_t)code_call16_after - ubase) && words[1] == (SEL_SMALL | 3) &&
              words[2] == 0x3333 && words[3] == 0x2222 && words[4] == 0x1111 && words[5] == 0x8000 - 6 &&
              words[6] == (SEL_DOWN | 3) && gate_esp == tss.esp0 - 14,
          "call gate: 16-bit: frame of words");

    /* Who may pass. */
    for (unsigned dpl = 0; dpl < 4; dpl++)
        for (unsigned ring = 0; ring < 4; ring++) {
            bool ok = ring <= dpl;
            set(SEL_GATE, gate_make(KCODE, gate_target0, D_CALL32 | D_DPL(dpl), 0));
            state_init(&s, ring, code_call0);
            run_expect(&s, ok ? VEC_DONE : EXC_GP, ok ? 0 : SEL_GATE, "call gate: DPL %u from ring %u", dpl, ring);
        }
    set(SEL_GATE, gate_make(KCODE, gate_target0, (D_CALL32 & ~0x80) | D_DPL(3), 0));
    state_init(&s, 3, code_call0);
    run_expect(&s, EXC_NP, SEL_GATE, "call gate: not present");
    set(SEL_GATE, gate_make(0, gate_target0, D_CALL32 | D_DPL(3), 0));
    state_init(&s, 3, code_call0);
    run_expect(&s, EXC_GP, 0, "call gate: null target");
    set(SEL_GATE, gate_make(UDATA, gate_target0, D_CALL32 | D_DPL(3), 0));
    state_init(&s, 3, code_call0);
    run_expect(&s, EXC_GP, UDATA & ~3, "call gate: data target");
    set(SEL_GATE, gate_make(SEL_NP_CODE, gate_target0, D_CALL32 | D_DPL(3), 0));
    state_init(&s, 3, code_call0);
    run_expect(&s, EXC_NP, SEL_NP_CODE, "call gate: target not present");
    set(SEL_GATE, gate_make(KCODE, gate_target0, D_CALL32 | D_DPL(3), 0));
    state_init(&s, 3, code_jmp_gate);
    run_expect(&s, EXC_GP, KCODE, "call gate: JMP may not go inward");
    SNIPPET(code_done, "nop");
    set(SEL_GATE, gate_make(UCODE, code_done, D_CALL32 | D_DPL(3), 0));
    state_init(&s, 3, code_jmp_gate);
    run_expect(&s, VEC_DONE, 0, "call gate: JMP within the ring");
}

/* --- Far transfers without gates --- */

SNIPPET(code_call_conforming, "lcall $0x53, $1f\n jmp 2f\n 1: movl %cs, %eax\n movl %esp, %ebx\n lret\n 2:");
SNIPPET(code_ljmp, "pushl %eax\n pushl $1f\n ljmp *(%esp)\n 1:");
SNIPPET(code_lret, "pushl %eax\n pushl $1f\n lret\n 1:");
_Static_assert((SEL_CONFORMING | 3) == 0x53, "selector in the snippet above");

static void test_far(void)
{
    struct state s;
    static const struct {
        const char *name;
        unsigned ring;
        uint16_t sel;
        unsigned vector;
        uint32_t error;
    } jumps[] = {
        {"same ring", 3, UCODE, VEC_DONE, 0},
        {"null", 3, 0, EXC_GP, 0},
        {"null with RPL", 3, 3, EXC_GP, 0},
        {"inner ring", 3, KCODE, EXC_GP, KCODE},
        {"data segment", 3, UDATA, EXC_GP, UDATA & ~3},
        {"not present", 3, SEL_NP_CODE, EXC_NP, SEL_NP_CODE},
        {"beyond the GDT", 3, SEL_BEYOND, EXC_GP, SEL_BEYOND},
        {"no LDT", 3, 7, EXC_GP, 4},
        {"outer ring", 0, UCODE, EXC_GP, UCODE & ~3},
        {"an LDT", 0, SEL_LDT, EXC_GP, SEL_LDT},
        {"conforming", 3, SEL_CONFORMING, VEC_DONE, 0},
        {"conforming from ring 0", 0, SEL_CONFORMING, VEC_DONE, 0},
    };

    state_init(&s, 3, code_call_conforming);
    run_expect(&s, VEC_DONE, 0, "conforming: called from ring 3");
    check_equal(s.eax, SEL_CONFORMING | 3, "conforming: CPL stays");
    for (unsigned i = 0; i < ARRAY_COUNT(jumps); i++) {
        state_init(&s, jumps[i].ring, code_ljmp);
        s.eax = jumps[i].sel;
        run_expect(&s, jumps[i].vector, jumps[i].error, "ljmp: %s", jumps[i].name);
        check((s.cs & 3) == jumps[i].ring, "ljmp: %s: CPL", jumps[i].name);
    }
    state_init(&s, 3, code_lret);
    s.eax = KCODE;
    run_expect(&s, EXC_GP, KCODE, "lret: inward");
    state_init(&s, 3, code_lret);
    s.eax = UCODE;
    run_expect(&s, VEC_DONE, 0, "lret: same ring");
    state_init(&s, 0, code_lret);
    s.eax = 0;
    run_expect(&s, EXC_GP, 0, "lret: null");
    state_init(&s, 3, code_lret);
    s.eax = SEL_NP_CODE | 3;
    run_expect(&s, EXC_NP, SEL_NP_CODE, "lret: not present");
}

/* --- SYSENTER --- */

uint32_t sysenter_seen[5];
__asm__(".pushsection .text.snippet,\"ax\"\n"
        "sysenter_target:\n"
        " movl %cs, %eax\n movl %eax, %ss:sysenter_seen\n movl %ss, %eax\n movl %eax, %ss:sysenter_seen+4\n"
        " movl %esp, %ss:sysenter_seen+8\n pushfl\n popl %ss:sysenter_seen+12\n"
        " movl $sysexit_target, %edx\n sysexit\n"
        ".popsection\n");
extern char sysenter_target[];
SNIPPET(code_sysenter, "movl %esp, %ecx\n sysenter\n"
                       ".globl sysexit_target\n sysexit_target: movl %cs, %eax\n movl %ss, %ebx");
SNIPPET(code_sysexit, "sysexit");

static void test_sysenter(void)
{
    struct state s;

    if (!(cpuid_edx(1) & 1u << 11)) {
        check(false, "sysenter: CPUID.SEP");
        return;
    }
    wrmsr(0x174, KCODE);
    wrmsr(0x175, tss.esp0 - 1024);
    wrmsr(0x176, (uint32_t)sysenter_target);
    state_init(&s, 3, code_sysenter);
    s.eflags |= FL_IF;
    uint32_t esp = s.esp;
    run_expect(&s, VEC_DONE, 0, "sysenter: and SYSEXIT");
    check(sysenter_seen[0] == KCODE && sysenter_seen[1] == KDATA && sysenter_seen[2] == tss.esp0 - 1024,
          "sysenter: CS, SS, ESP");
    check(!(sysenter_seen[3] & FL_IF), "sysenter: clears IF");
    check(s.eax == UCODE && s.ebx == UDATA && s.esp == esp, "sysexit: CS, SS, ESP");
    state_init(&s, 3, code_sysexit);
    run_expect(&s, EXC_GP, 0, "sysexit: from ring 3");
    wrmsr(0x174, 0);
    state_init(&s, 3, code_sysenter);
    run_expect(&s, EXC_GP, 0, "sysenter: null MSR");
    check_equal(s.eip, (uint32_t)code_sysenter + 2, "sysenter: null MSR: EIP");
    state_init(&s, 0, code_sysexit);
    run_expect(&s, EXC_GP, 0, "sysexit: null MSR");
    wrmsr(0x174, KCODE);
}

/* --- Privileged instructions --- */

static const struct {
    const char *name;
    uint8_t bytes[8];
    bool in_ring0; /* harmless there: must not fault */
} privileged[] = {
    {"hlt", {0xf4}, false},
    {"clts", {0x0f, 0x06}, true},
    {"lgdt", {0x0f, 0x01, 0x16}, false},
    {"lidt", {0x0f, 0x01, 0x1e}, false},
    {"lldt", {0x0f, 0x00, 0xd0}, true},
    {"ltr", {0x0f, 0x00, 0xd8}, false},
    {"lmsw", {0x0f, 0x01, 0xf2}, true},
    {"mov eax, cr0", {0x0f, 0x20, 0xc0}, true},
    {"mov eax, cr2", {0x0f, 0x20, 0xd0}, true},
    {"mov eax, cr3", {0x0f, 0x20, 0xd8}, true},
    {"mov eax, cr4", {0x0f, 0x20, 0xe0}, true},
    {"mov cr2, eax", {0x0f, 0x22, 0xd0}, true},
    {"mov cr3, eax", {0x0f, 0x22, 0xd8}, true},
    {"mov eax, dr0", {0x0f, 0x21, 0xc0}, true},
    {"mov eax, dr7", {0x0f, 0x21, 0xf8}, true},
    {"mov dr0, eax", {0x0f, 0x23, 0xc0}, true},
    {"invlpg", {0x0f, 0x01, 0x3e}, true},
    {"wbinvd", {0x0f, 0x09}, true},
    {"invd", {0x0f, 0x08}, true},
    {"rdmsr", {0x0f, 0x32}, true},
    {"wrmsr", {0x0f, 0x30}, true},
    {"cli", {0xfa}, true},
    {"sti", {0xfb}, false},
    {"in al, 80h", {0xe4, 0x80}, true},
    {"in eax, dx", {0xed}, true},
    {"out 80h, al", {0xe6, 0x80}, true},
    {"out dx, al", {0xee}, true},
    {"insb", {0x6c}, true},
    {"outsb", {0x6e}, true},
    {"rep outsd", {0xf3, 0x6f}, true},
};
static uint8_t privileged_code[16];
static uint8_t scratch[64];

static void test_privileged(void)
{
    struct state s;

    for (unsigned i = 0; i < ARRAY_COUNT(privileged); i++)
        for (unsigned ring = 0; ring < 4; ring++) {
            if (ring == 0 && !privileged[i].in_ring0)
                continue;
            memset(privileged_code, 0x90, sizeof privileged_code);
            memcpy(privileged_code, privileged[i].bytes, 8);
            for (unsigned j = 0; j < 8; j++)
                if (!privileged_code[j])
                    privileged_code[j] = j && privileged[i].bytes[j - 1] == 0x0f ? 0 : 0x90;
            privileged_code[8] = 0xcd;
            privileged_code[9] = VEC_DONE;
            serialize();
            state_init(&s, ring, privileged_code);
            s.ecx = 0x174; /* for RDMSR, WRMSR: SYSENTER_CS */
            s.edx = 0;
            s.eax = ring || privileged[i].bytes[1] != 0x30 ? 0 : KCODE;
            if (privileged[i].bytes[0] == 0xed || privileged[i].bytes[0] == 0xee || privileged[i].bytes[0] == 0x6c ||
                privileged[i].bytes[0] == 0x6e || privileged[i].bytes[0] == 0xf3) {
                s.edx = 0x80;
                s.ecx = 2;
            }
            if (privileged[i].bytes[2] == 0xf2)
                s.edx = 1; /* LMSW with PE */
            s.esi = s.edi = (uint32_t)scratch;
            run_expect(&s, ring ? EXC_GP : VEC_DONE, 0, "privileged: %s in ring %u", privileged[i].name, ring);
            if (ring)
                check(s.eip == (uint32_t)privileged_code, "privileged: %s in ring %u: EIP", privileged[i].name, ring);
        }

    /* With IOPL = 3 those of the I/O group are free. */
    static const unsigned free_group[] = {21, 22, 23, 24, 25, 26, 27, 28, 29};
    for (unsigned i = 0; i < ARRAY_COUNT(free_group); i++) {
        memset(privileged_code, 0x90, sizeof privileged_code);
        memcpy(privileged_code, privileged[free_group[i]].bytes, 2);
        if (!privileged_code[1])
            privileged_code[1] = 0x90;
        privileged_code[8] = 0xcd;
        privileged_code[9] = VEC_DONE;
        serialize();
        state_init(&s, 3, privileged_code);
        s.eflags |= FL_IOPL3;
        s.edx = 0x80;
        s.ecx = 2;
        s.esi = s.edi = (uint32_t)scratch;
        run_expect(&s, VEC_DONE, 0, "iopl 3: %s in ring 3", privileged[free_group[i]].name);
    }

    SNIPPET(code_rdtsc, "rdtsc");
    write_cr4(read_cr4() | CR4_TSD);
    state_init(&s, 3, code_rdtsc);
    run_expect(&s, EXC_GP, 0, "tsd: RDTSC in ring 3");
    state_init(&s, 0, code_rdtsc);
    run_expect(&s, VEC_DONE, 0, "tsd: RDTSC in ring 0");
    write_cr4(read_cr4() & ~CR4_TSD);
    state_init(&s, 3, code_rdtsc);
    run_expect(&s, VEC_DONE, 0, "no tsd: RDTSC in ring 3");

    /* SMSW, SGDT, SIDT, STR, SLDT are not privileged. */
    SNIPPET(code_store, "smsw %eax\n str %bx\n sldt %cx\n sgdt (%esi)\n sidt 8(%esi)");
    state_init(&s, 3, code_store);
    s.esi = (uint32_t)scratch;
    run_expect(&s, VEC_DONE, 0, "unprivileged: SMSW, STR, SLDT, SGDT, SIDT in ring 3");
    check((s.eax & 0xffff) == (read_cr0() & 0xffff) && (s.ebx & 0xffff) == TSS_SEL && (s.ecx & 0xffff) == 0,
          "unprivileged: values");
    check(!memcmp(scratch + 2, (uint32_t[]){(uint32_t)gdt}, 4) && !memcmp(scratch + 10, (uint32_t[]){(uint32_t)idt}, 4),
          "unprivileged: tables");
}

/* POPF, PUSHF, CLI, STI by IOPL and ring. */
static void test_eflags(void)
{
    struct state s;
    SNIPPET(code_popf, "pushl %eax\n popfl\n pushfl\n popl %ebx");
    SNIPPET(code_popfw, "pushw %ax\n popfw\n pushfl\n popl %ebx");
    SNIPPET(code_cli, "cli\n pushfl\n popl %ebx");
    SNIPPET(code_sti, "sti\n pushfl\n popl %ebx");

    for (unsigned ring = 0; ring < 4; ring++)
        for (unsigned iopl = 0; iopl < 4; iopl++) {
            uint32_t before = 2 | FL_IF | iopl << 12, want;
            state_init(&s, ring, code_popf);
            s.eflags = before;
            s.eax = FL_CF | FL_DF | (iopl ^ 3) << 12; /* IF off, IOPL other, ID and AC off */
            run(&s);
            want = 2 | FL_CF | FL_DF | (ring ? iopl : iopl ^ 3) << 12;
            if (ring > iopl)
                want |= FL_IF;
            check(s.vector == VEC_DONE && s.ebx == want, "popf: ring %u, IOPL %u", ring, iopl);
            state_init(&s, ring, code_popfw);
            s.eflags = before | FL_AC;
            s.eax = FL_CF | FL_DF | (iopl ^ 3) << 12;
            run(&s);
            check(s.vector == VEC_DONE && s.ebx == (want | FL_AC), "popf of 16 bits: ring %u, IOPL %u", ring, iopl);
            state_init(&s, ring, code_cli);
            s.eflags = before;
            run_expect(&s, ring > iopl ? EXC_GP : VEC_DONE, 0, "cli: ring %u, IOPL %u", ring, iopl);
            check(ring > iopl || !(s.ebx & FL_IF), "cli: ring %u, IOPL %u: IF", ring, iopl);
            state_init(&s, ring, code_sti);
            s.eflags = before & ~FL_IF;
            run_expect(&s, ring > iopl ? EXC_GP : VEC_DONE, 0, "sti: ring %u, IOPL %u", ring, iopl);
            check(ring > iopl || (s.ebx & FL_IF), "sti: ring %u, IOPL %u: IF", ring, iopl);
        }
}

/* --- I/O permission bitmap --- */

static void test_bitmap(void)
{
    struct state s;
    SNIPPET(code_outb, "outb %al, %dx");
    SNIPPET(code_outw, "outw %ax, %dx");
    SNIPPET(code_outl, "outl %eax, %dx");
    SNIPPET(code_inb, "inb %dx, %al");
    SNIPPET(code_repoutsb, "movl $2, %ecx\n rep outsb");
    static const struct {
        const char *name;
        const char *code;
        uint16_t port;
        bool ok;
    } cases[] = {
        {"byte, allowed", code_outb, 0x320, true},
        {"byte, next to it", code_outb, 0x321, false},
        {"byte, before it", code_outb, 0x31f, false},
        {"word, half allowed", code_outw, 0x320, false},
        {"word, other half", code_outw, 0x31f, false},
        {"dword allowed, across a byte of the map", code_outl, 0x336, true},
        {"dword, last byte not", code_outl, 0x337, false},
        {"word allowed, last two", code_outw, 0x338, true},
        {"in, allowed", code_inb, 0x320, true},
        {"in, not", code_inb, 0x322, false},
        {"string, allowed", code_repoutsb, 0x320, true},
        {"string, not", code_repoutsb, 0x322, false},
        {"port 65535", code_outb, 0xffff, false},
    };
    tss.bitmap[0x320 / 8] &= (uint8_t)~1u;
    tss.bitmap[0x336 / 8] &= (uint8_t)~0xc0u;
    tss.bitmap[0x338 / 8] &= (uint8_t)~0x03u;
    for (unsigned ring = 1; ring < 4; ring++)
        for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
            state_init(&s, ring, cases[i].code);
            s.edx = cases[i].port;
            s.esi = (uint32_t)scratch;
            run_expect(&s, cases[i].ok ? VEC_DONE : EXC_GP, 0, "bitmap: %s, ring %u", cases[i].name, ring);
        }
    /* A bitmap that ends early: ports beyond it are refused. */
    uint64_t whole = gdt[TSS_SEL / 8];
    tss.bitmap[0x330 / 8] = 0;
    gdt[TSS_SEL / 8] = desc_make((uint32_t)&tss, offsetof(struct tss, bitmap) + 0x328 / 8, D_TSS32);
    __asm__ volatile("ltr %w0" : : "r"(TSS_SEL));
    state_init(&s, 3, code_outb);
    s.edx = 0x320;
    run_expect(&s, VEC_DONE, 0, "bitmap: within the TSS's limit");
    state_init(&s, 3, code_outb);
    s.edx = 0x330;
    run_expect(&s, EXC_GP, 0, "bitmap: beyond the TSS's limit");
    gdt[TSS_SEL / 8] = whole & ~(2ull << 40);
    __asm__ volatile("ltr %w0" : : "r"(TSS_SEL));
    tss.iomap = sizeof tss;
    state_init(&s, 3, code_outb);
    s.edx = 0x320;
    run_expect(&s, EXC_GP, 0, "bitmap: none");
    state_init(&s, 3, code_outb);
    s.eflags |= FL_IOPL3;
    s.edx = 0x80;
    run_expect(&s, VEC_DONE, 0, "bitmap: IOPL 3 needs none");
    tss.iomap = offsetof(struct tss, bitmap);
}

/* --- Segment loads --- */

static void test_segments(void)
{
    struct state s;
    SNIPPET(code_ds, "movl %eax, %ds");
    SNIPPET(code_pop_es, "pushl %eax\n popl %es");
    SNIPPET(code_ss, "movl %eax, %ss");
    SNIPPET(code_lfs, "pushl %eax\n pushl $0x1234\n lfs (%esp), %ebx\n movl %fs, %ecx\n addl $8, %esp");
    SNIPPET(code_use_ds, "movl %eax, %ds\n movl (%esi), %ebx");
    static const struct {
        const char *name;
        unsigned ring;
        uint16_t sel;
        unsigned data, stack; /* vector, or VEC_DONE */
        bool null_error;
    } loads[] = {
        {"flat data", 3, UDATA, VEC_DONE, VEC_DONE, false},
        {"ring 0 data in ring 3", 3, KDATA, EXC_GP, EXC_GP, false},
        {"ring 0 data with RPL 3", 3, KDATA | 3, EXC_GP, EXC_GP, false},
        {"RPL 0 of ring 3 data", 3, UDATA & ~3, VEC_DONE, EXC_GP, false},
        {"ring 3 data in ring 0", 0, UDATA, VEC_DONE, EXC_GP, false},
        {"ring 1 data in ring 2", 2, R1DATA, EXC_GP, EXC_GP, false},
        {"ring 2 data in ring 1", 1, R2DATA, VEC_DONE, EXC_GP, false},
        {"null", 3, 0, VEC_DONE, EXC_GP, true},
        {"null with RPL", 3, 3, VEC_DONE, EXC_GP, true},
        {"null in ring 0", 0, 0, VEC_DONE, EXC_GP, true},
        {"not present", 3, SEL_NP_DATA | 3, EXC_NP, EXC_SS, false},
        {"readable code", 3, UCODE, VEC_DONE, EXC_GP, false},
        {"execute-only code", 3, SEL_XONLY | 3, EXC_GP, EXC_GP, false},
        {"conforming code of ring 0", 3, SEL_CONFORMING | 3, VEC_DONE, EXC_GP, false},
        {"read-only data", 3, SEL_RO | 3, VEC_DONE, EXC_GP, false},
        {"a TSS", 0, TSS_SEL, EXC_GP, EXC_GP, false},
        {"a call gate", 0, SEL_GATE, EXC_GP, EXC_GP, false},
        {"beyond the GDT", 3, SEL_BEYOND | 3, EXC_GP, EXC_GP, false},
        {"no LDT", 3, 0xf, EXC_GP, EXC_GP, false},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(loads); i++) {
        uint32_t error = loads[i].null_error ? 0 : loads[i].sel & ~3u;
        state_init(&s, loads[i].ring, code_ds);
        s.eax = loads[i].sel;
        run_expect(&s, loads[i].data, loads[i].data == VEC_DONE ? 0 : error, "mov ds: %s", loads[i].name);
        if (loads[i].data == VEC_DONE)
            check(s.ds == loads[i].sel, "mov ds: %s: selector", loads[i].name);
        state_init(&s, loads[i].ring, code_pop_es);
        s.eax = loads[i].sel;
        uint32_t esp = s.esp;
        run_expect(&s, loads[i].data, loads[i].data == VEC_DONE ? 0 : error, "pop es: %s", loads[i].name);
        check(s.esp == esp - (loads[i].data == VEC_DONE ? 0 : 4), "pop es: %s: ESP", loads[i].name);
        state_init(&s, loads[i].ring, code_lfs);
        s.eax = loads[i].sel;
        s.ebx = 0x9999;
        run_expect(&s, loads[i].data, loads[i].data == VEC_DONE ? 0 : error, "lfs: %s", loads[i].name);
        check(s.ebx == (loads[i].data == VEC_DONE ? 0x1234 : 0x9999), "lfs: %s: EBX", loads[i].name);
        state_init(&s, loads[i].ring, code_ss);
        s.eax = loads[i].sel;
        run_expect(&s, loads[i].stack, loads[i].stack == VEC_DONE ? 0 : error, "mov ss: %s", loads[i].name);
    }
    state_init(&s, 3, code_use_ds);
    s.esi = (uint32_t)scratch;
    run_expect(&s, EXC_GP, 0, "null DS: use faults");
    check_equal(s.eip, (uint32_t)code_use_ds + 2, "null DS: EIP at the use");
    state_init(&s, 3, code_use_ds);
    s.eax = SEL_RO | 3;
    s.esi = (uint32_t)scratch;
    run_expect(&s, VEC_DONE, 0, "read-only DS: read");
    SNIPPET(code_write_ds, "movl %eax, %ds\n movl %ebx, (%esi)");
    state_init(&s, 3, code_write_ds);
    s.eax = SEL_RO | 3;
    s.esi = (uint32_t)scratch;
    run_expect(&s, EXC_GP, 0, "limit: write to read-only DS");
    SNIPPET(code_write_cs, "movl %ebx, %cs:(%esi)");
    state_init(&s, 3, code_write_cs);
    s.esi = (uint32_t)scratch;
    run_expect(&s, EXC_GP, 0, "limit: write through CS");

    /* The accessed bit. */
    set(SEL_SMALL, desc_make((uint32_t)scratch, 15, D_DATA & ~1u) | 3ull << 45);
    state_init(&s, 3, code_ds);
    s.eax = SEL_SMALL | 3;
    run(&s);
    check(gdt[SEL_SMALL / 8] >> 40 & 1, "accessed bit set by the load");

    /* Limits. */
    SNIPPET(code_gs_read4, "movl %eax, %gs\n movl %gs:(%esi), %ebx");
    SNIPPET(code_gs_read1, "movl %eax, %gs\n movb %gs:(%esi), %bl");
    SNIPPET(code_gs_write2, "movl %eax, %gs\n movw %bx, %gs:(%esi)");
    static const struct {
        const char *name, *code;
        uint16_t sel;
        uint32_t offset;
        bool ok;
    } limits[] = {
        {"dword at the end", code_gs_read4, SEL_SMALL, 12, true},
        {"dword across the end", code_gs_read4, SEL_SMALL, 13, false},
        {"byte at the end", code_gs_read1, SEL_SMALL, 15, true},
        {"byte beyond", code_gs_read1, SEL_SMALL, 16, false},
        {"word across the end", code_gs_write2, SEL_SMALL, 15, false},
        {"offset of 4 GiB - 1", code_gs_read1, SEL_SMALL, 0xffffffff, false},
        {"expand-down below", code_gs_read1, SEL_DOWN, 0xfff, false},
        {"expand-down at the limit", code_gs_read1, SEL_DOWN, 0xffe, false},
        {"expand-down, dword astride", code_gs_read4, SEL_DOWN, 0xffe, false},
        {"expand-down above", code_gs_read4, SEL_DOWN, 0x1000, true},
        {"expand-down, 16-bit top", code_gs_read1, SEL_DOWN, 0xffff, true},
        {"expand-down, beyond 64 KiB", code_gs_read1, SEL_DOWN, 0x10000, false},
        {"expand-down, astride 64 KiB", code_gs_read4, SEL_DOWN, 0xfffe, false},
    };
    set(SEL_DOWN, desc_make((uint32_t)ring_stacks[2], 0xfff, 0x97 | D_DPL(3)));
    for (unsigned i = 0; i < ARRAY_COUNT(limits); i++) {
        state_init(&s, 3, limits[i].code);
        s.eax = limits[i].sel | 3;
        s.esi = limits[i].offset;
        run_expect(&s, limits[i].ok ? VEC_DONE : EXC_GP, 0, "limit: %s", limits[i].name);
    }
    /* The stack's limit raises #SS. */
    SNIPPET(code_push, "pushl %eax");
    set(SEL_DOWN, desc_make((uint32_t)ring_stacks[2], 0xfff, D_DATA | D_DPL(3) | D_32));
    state_init(&s, 3, code_push);
    s.ss = SEL_DOWN | 3;
    s.esp = 0x1000;
    run_expect(&s, VEC_DONE, 0, "limit: push at the end of the stack segment");
    state_init(&s, 3, code_push);
    s.ss = SEL_DOWN | 3;
    s.esp = 0x1001;
    run_expect(&s, EXC_SS, 0, "limit: push beyond the stack segment");
    /* The code segment's limit. */
    set(SEL_SCODE, desc_make(0, ((uint32_t)code_push >> 12) - 1, D_CODE | D_DPL(3) | D_FLAT));
    state_init(&s, 3, code_push);
    s.cs = SEL_SCODE | 3;
    run_expect(&s, EXC_GP, 0, "limit: IRET beyond the code segment");

    /* An LDT. */
    static uint64_t ldt[4];
    ldt[1] = desc_make(0, 0xfffff, D_DATA | D_DPL(3) | D_FLAT);
    set(SEL_LDT, desc_make((uint32_t)ldt, sizeof ldt - 1, D_LDT));
    set(SEL_NP_LDT, desc_make((uint32_t)ldt, sizeof ldt - 1, D_LDT & ~0x80));
    SNIPPET(code_lldt, "lldt %ax\n sldt %bx");
    state_init(&s, 0, code_lldt);
    s.eax = SEL_NP_LDT;
    run_expect(&s, EXC_NP, SEL_NP_LDT, "lldt: not present");
    state_init(&s, 0, code_lldt);
    s.eax = KDATA;
    run_expect(&s, EXC_GP, KDATA, "lldt: not an LDT");
    state_init(&s, 0, code_lldt);
    s.eax = 0xc;
    run_expect(&s, EXC_GP, 0xc, "lldt: selector in the LDT");
    state_init(&s, 0, code_lldt);
    s.eax = SEL_LDT;
    run_expect(&s, VEC_DONE, 0, "lldt: an LDT");
    state_init(&s, 3, code_ds);
    s.eax = 0xf;
    run_expect(&s, VEC_DONE, 0, "ldt: data");
    state_init(&s, 3, code_ds);
    s.eax = 0x27;
    run_expect(&s, EXC_GP, 0x24, "ldt: beyond its limit");
    __asm__ volatile("lldt %w0" : : "r"(0));
    SNIPPET(code_ltr, "ltr %ax");
    state_init(&s, 0, code_ltr);
    s.eax = TSS_SEL;
    run_expect(&s, EXC_GP, TSS_SEL, "ltr: busy TSS");
    state_init(&s, 0, code_ltr);
    run_expect(&s, EXC_GP, 0, "ltr: null");
    gdt[TSS_SEL / 8] &= ~(2ull << 40); /* for a processor that took it */
    __asm__ volatile("ltr %w0" : : "r"(TSS_SEL));
}

/* LAR, LSL, VERR, VERW, ARPL. */
static void test_verify(void)
{
    struct state s;
    SNIPPET(code_verify, "movl $0x55, %ebx\n larl %eax, %ebx\n pushfl\n"
                         " movl $0x66, %ecx\n lsll %eax, %ecx\n pushfl\n"
                         " verr %ax\n pushfl\n verw %ax\n pushfl\n"
                         " popl %edi\n popl %esi\n popl %edx\n popl %ebp\n"
                         " andl $0x40, %edi\n andl $0x40, %esi\n andl $0x40, %edx\n andl $0x40, %ebp\n"
                         " shrl $6, %edi\n shrl $5, %esi\n shrl $4, %edx\n shrl $3, %ebp\n"
                         " orl %esi, %edi\n orl %edx, %edi\n orl %ebp, %edi");
    static const struct {
        const char *name;
        uint16_t sel;
        unsigned flags; /* ZF of VERW, VERR, LSL, LAR in bits 0 to 3 */
    } cases[] = {
        {"data", UDATA, 0xf},
        {"code", UCODE, 0xe},
        {"execute-only", SEL_XONLY | 3, 0xc},
        {"read-only", SEL_RO | 3, 0xe},
        {"inner data", KDATA, 0},
        {"conforming inner", SEL_CONFORMING, 0xe},
        {"null", 0, 0},
        {"beyond", SEL_BEYOND, 0},
        {"not present", SEL_NP_DATA | 3, 0xf},
        {"ring 3 gate", SEL_GATE | 3, 0x8},
        {"ring 0 TSS", TSS_SEL, 0},
        {"ring 3 LDT", SEL_LDT | 3, 0xc},
    };
    set(SEL_GATE, gate_make(KCODE, gate_target0, D_CALL32 | D_DPL(3), 0));
    set(SEL_LDT, desc_make(0x1000, 0x77, D_LDT | D_DPL(3)));
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        state_init(&s, 3, code_verify);
        s.eax = cases[i].sel;
        run(&s);
        check(s.vector == VEC_DONE && s.edi == cases[i].flags, "verify: %s", cases[i].name);
        uint32_t high = (uint32_t)(gdt[(cases[i].sel / 8) % GDT_COUNT] >> 32);
        if (cases[i].flags & 8)
            check((s.ebx & 0xf0ff00) == (high & 0xf0ff00), "lar: %s: rights", cases[i].name);
        else
            check(s.ebx == 0x55, "lar: %s: destination kept", cases[i].name);
        if (!(cases[i].flags & 4))
            check(s.ecx == 0x66, "lsl: %s: destination kept", cases[i].name);
    }
    state_init(&s, 3, code_verify);
    s.eax = UDATA;
    run(&s);
    check_equal(s.ecx, 0xffffffff, "lsl: flat segment");
    state_init(&s, 3, code_verify);
    s.eax = SEL_LDT | 3;
    run(&s);
    check_equal(s.ecx, 0x77, "lsl: byte granularity");
    SNIPPET(code_arpl, "arpl %bx, %ax\n pushfl\n popl %ecx");
    state_init(&s, 3, code_arpl);
    s.eax = 0x101;
    s.ebx = 0x203;
    run(&s);
    check((s.eax & 0xffff) == 0x103 && (s.ecx & FL_ZF), "arpl: raises the RPL");
    state_init(&s, 3, code_arpl);
    s.eax = 0x102;
    s.ebx = 0x201;
    run(&s);
    check((s.eax & 0xffff) == 0x102 && !(s.ecx & FL_ZF), "arpl: leaves a higher one");
}

void guest_main(void)
{
    set(SEL_CONFORMING, desc_make(0, 0xfffff, 0x9f | D_FLAT));
    set(SEL_NP_DATA, desc_make(0, 0xfffff, (D_DATA & ~0x80) | D_DPL(3) | D_FLAT));
    set(SEL_NP_CODE, desc_make(0, 0xfffff, (D_CODE & ~0x80) | D_DPL(3) | D_FLAT));
    set(SEL_XONLY, desc_make(0, 0xfffff, 0x99 | D_DPL(3) | D_FLAT));
    set(SEL_RO, desc_make(0, 0xfffff, 0x91 | D_DPL(3) | D_FLAT));
    set(SEL_NP_STACK, desc_make(0, 0xfffff, (D_DATA & ~0x80) | D_DPL(3) | D_FLAT));
    set(SEL_LDT, desc_make(0, 7, D_LDT));
    set(SEL_GATE, gate_make(KCODE, gate_target0, D_CALL32, 0));
    test_iret();
    test_gates();
    test_call_gates();
    test_far();
    test_sysenter();
    test_privileged();
    test_eflags();
    test_bitmap();
    test_segments();
    test_verify();
}
