/* Paging: permissions enumerated, A and D bits, large pages, PAE, NX, reserved bits, TLB. Intel SDM
 * vol. 3A, chapter 4. */
#include "cpu/paging.h"
#include "tiny.h"

#define PD_AT     PAGES_AT
#define PT_AT     (PAGES_AT + 0x1000u)
#define TESTED    0x00400000u /* linear address whose mapping is varied: directory entry 1 */
#define TESTED_PT (PAGES_AT + 0x2000u)

/* Identity for the low 4 MiB (supervisor and user), CR0.PG on. */
static void start_paged(void)
{
    tiny_start();
    put32(PD_AT, PT_AT | PTE_P | PTE_W | PTE_U);
    for (uint32_t i = 0; i < 1024; i++)
        put32(PT_AT + i * 4, i << 12 | PTE_P | PTE_W | PTE_U);
    cpu.cr3 = PD_AT;
    cpu.cr0 |= CR0_PG;
    interp_flush_tlb(&cpu);
}

static void map_tested(uint32_t pde, uint32_t pte)
{
    put32(PD_AT + 4, TESTED_PT | pde);
    put32(TESTED_PT, DATA_AT | pte);
}

enum kind { READ, WRITE, EXEC };

static void put_access(enum kind kind)
{
    static const uint8_t read[] = {0x8b, 0x03}, write[] = {0x89, 0x03};

    cpu.gpr[EBX] = TESTED;
    if (kind == EXEC)
        cpu.eip = TESTED;
    else
        tiny_code_at(CODE_AT, kind == READ ? read : write, 2);
    guest_mem.ram[DATA_AT] = 0x90;
}

/* All combinations of P, W, U at both levels, CPL, WP and kind of access. */
static void test_permissions(void)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        uint32_t pde = bits & 7, pte = bits >> 3;
        for (unsigned mode = 0; mode < 12; mode++) {
            bool user = mode & 1, wp = mode & 2;
            enum kind kind = mode >> 2;
            bool present = pde & pte & PTE_P;
            bool allowed = present;
            if (user && !(pde & pte & PTE_U))
                allowed = false;
            if (kind == WRITE && !(pde & pte & PTE_W) && (user || wp))
                allowed = false;

            start_paged();
            cpu.cr0 |= wp ? CR0_WP : 0;
            map_tested(pde, pte);
            tiny_ring(user ? 3 : 0);
            put_access(kind);
            int vector = tiny_step_vector();
            if (allowed) {
                g_assert_cmpint(vector, ==, -1);
                g_assert_true(get32(PD_AT + 4) & PTE_A);
                g_assert_cmphex(get32(TESTED_PT) & (PTE_A | PTE_D), ==, kind == WRITE ? PTE_A | PTE_D : PTE_A);
                continue;
            }
            g_assert_cmpint(vector, ==, EXC_PF);
            g_assert_cmphex(cpu.cr2, ==, TESTED);
            g_assert_cmphex(tiny_top(0), ==,
                            (present ? PFERR_P : 0) | (kind == WRITE ? PFERR_W : 0) | (user ? PFERR_U : 0));
            g_assert_false(get32(TESTED_PT) & (PTE_A | PTE_D));
        }
    }
}

static void test_rmw_fault_says_write(void)
{
    start_paged();
    map_tested(PTE_P | PTE_W | PTE_U, 0);
    cpu.gpr[EBX] = TESTED;
    tiny_code(0x01, 0x03); /* add [ebx],eax */
    assert_fault(EXC_PF, PFERR_W);
}

static void test_crossing_write_is_all_or_nothing(void)
{
    start_paged();
    map_tested(PTE_P | PTE_W | PTE_U, PTE_P | PTE_W | PTE_U);
    cpu.gpr[EBX] = TESTED + 0xffe; /* the next page is not present */
    cpu.gpr[EAX] = 0x12345678;
    tiny_code(0x89, 0x03);
    assert_fault(EXC_PF, PFERR_W);
    g_assert_cmphex(cpu.cr2, ==, TESTED + 0x1000);
    g_assert_cmphex(get16(DATA_AT + 0xffe), ==, 0);
}

static void test_instruction_crossing_into_missing_page(void)
{
    static const uint8_t code[] = {0xb8, 0x01};

    start_paged();
    map_tested(PTE_P | PTE_W | PTE_U, PTE_P | PTE_W | PTE_U);
    tiny_code_at(DATA_AT + 0xffe, code, 2);
    cpu.eip = TESTED + 0xffe;
    assert_fault(EXC_PF, 0);
    g_assert_cmphex(cpu.cr2, ==, TESTED + 0x1000);
    g_assert_cmphex(tiny_top(1), ==, TESTED + 0xffe);
}

static void test_tlb_keeps_until_invlpg(void)
{
    start_paged();
    map_tested(PTE_P | PTE_W | PTE_U, PTE_P | PTE_W | PTE_U);
    put32(DATA_AT, 1);
    put32(DATA_AT + 0x1000, 2);
    cpu.gpr[EBX] = TESTED;
    tiny_code(0x8b, 0x03,       /* mov eax,[ebx] */
              0x0f, 0x01, 0x3b, /* invlpg [ebx] */
              0x8b, 0x03);
    interp_step(&cpu);
    g_assert_cmpuint(cpu.gpr[EAX], ==, 1);
    put32(TESTED_PT, (DATA_AT + 0x1000) | PTE_P);
    interp_step(&cpu);
    g_assert_true(cpu.changed & CHANGED_INVLPG);
    g_assert_cmphex(cpu.invlpg[cpu.invlpg_count - 1], ==, TESTED);
    interp_step(&cpu);
    g_assert_cmpuint(cpu.gpr[EAX], ==, 2);
}

static void test_invlpg_of_large_page_drops_all_of_it(void)
{
    start_paged();
    cpu.cr4 |= CR4_PSE;
    put32(PD_AT + 4, 0x00400000 | PTE_P | PTE_W | PTE_PS);
    put32(0x401000, 0x11);
    put32(0x801000, 0x22);
    cpu.gpr[EBX] = 0x401000;
    cpu.gpr[ECX] = 0x400000;
    tiny_code(0x8b, 0x03, 0x0f, 0x01, 0x39, 0x8b, 0x03);
    interp_step(&cpu);
    put32(PD_AT + 4, 0x00800000 | PTE_P | PTE_W | PTE_PS);
    interp_step(&cpu);
    interp_step(&cpu);
    g_assert_cmphex(cpu.gpr[EAX], ==, 0x22);
}

static void test_mov_cr3_flushes(void)
{
    start_paged();
    map_tested(PTE_P | PTE_W, PTE_P | PTE_W);
    cpu.gpr[EBX] = TESTED;
    cpu.gpr[EDX] = PD_AT;
    put32(DATA_AT + 0x1000, 0x77);
    tiny_code(0x8b, 0x03, 0x0f, 0x22, 0xda, 0x8b, 0x03);
    interp_step(&cpu);
    put32(TESTED_PT, (DATA_AT + 0x1000) | PTE_P);
    cpu.changed = 0;
    interp_step(&cpu);
    g_assert_true(cpu.changed & CHANGED_CR3);
    interp_step(&cpu);
    g_assert_cmphex(cpu.gpr[EAX], ==, 0x77);
}

static void test_large_page_dirty(void)
{
    start_paged();
    cpu.cr4 |= CR4_PSE;
    put32(PD_AT + 4, 0x00400000 | PTE_P | PTE_W | PTE_PS);
    cpu.gpr[EBX] = 0x412344;
    cpu.gpr[EAX] = 0x55;
    tiny_code(0x89, 0x03);
    g_assert_cmpint(tiny_step_vector(), ==, -1);
    g_assert_cmphex(get32(0x412344), ==, 0x55);
    g_assert_cmphex(get32(PD_AT + 4) & (PTE_A | PTE_D), ==, PTE_A | PTE_D);
}

static void test_large_page_needs_pse(void)
{
    start_paged();
    put32(PD_AT + 4, TESTED_PT | PTE_P | PTE_W | PTE_PS); /* PS ignored: a table */
    put32(TESTED_PT, DATA_AT | PTE_P);
    put32(DATA_AT, 0x99);
    cpu.gpr[EBX] = TESTED;
    tiny_code(0x8b, 0x03);
    interp_step(&cpu);
    g_assert_cmphex(cpu.gpr[EAX], ==, 0x99);
}

static void test_large_page_reserved_bits(void)
{
    start_paged();
    cpu.cr4 |= CR4_PSE;
    put32(PD_AT + 4, 0x00400000 | 1u << 21 | PTE_P | PTE_W | PTE_PS);
    cpu.gpr[EBX] = TESTED;
    tiny_code(0x8b, 0x03);
    assert_fault(EXC_PF, PFERR_P | PFERR_RSVD);
}

/* --- PAE --- */

#define PDPT_AT   (PAGES_AT + 0x4000u)
#define PAE_PD_AT (PAGES_AT + 0x5000u)
#define PAE_PT_AT (PAGES_AT + 0x6000u)

static void put64(uint32_t gpa, uint64_t value)
{
    mem_write(gpa, &value, 8);
}

/* Low 2 MiB as one large page; linear 2 MiB has a table at PAE_PT_AT. */
static void start_pae(void)
{
    tiny_start();
    put64(PDPT_AT, PAE_PD_AT | PTE_P);
    put64(PAE_PD_AT, 0 | PTE_P | PTE_W | PTE_U | PTE_PS);
    put64(PAE_PD_AT + 8, PAE_PT_AT | PTE_P | PTE_W | PTE_U);
    put64(PAE_PT_AT, DATA_AT | PTE_P | PTE_W | PTE_U);
    cpu.cr4 |= CR4_PAE;
    cpu.cr3 = PDPT_AT;
    g_assert_true(paging_load_pdptes(&cpu, cpu.cr3));
    cpu.cr0 |= CR0_PG;
    cpu.efer = EFER_NXE;
    interp_flush_tlb(&cpu);
}

static void test_pae_maps(void)
{
    start_pae();
    put32(DATA_AT + 8, 0xabcd);
    cpu.gpr[EBX] = 0x200008;
    tiny_code(0x8b, 0x03);
    interp_step(&cpu);
    g_assert_cmphex(cpu.gpr[EAX], ==, 0xabcd);
}

static void test_pae_nx(void)
{
    start_pae();
    put64(PAE_PT_AT, DATA_AT | PTE_P | PTE_W | PTE_U | PTE_NX);
    cpu.eip = 0x200000;
    assert_fault(EXC_PF, PFERR_P | PFERR_I);
}

static void test_pae_nx_off_is_reserved(void)
{
    start_pae();
    cpu.efer = 0;
    put64(PAE_PT_AT, DATA_AT | PTE_P | PTE_W | PTE_U | PTE_NX);
    cpu.gpr[EBX] = 0x200000;
    tiny_code(0x8b, 0x03);
    assert_fault(EXC_PF, PFERR_P | PFERR_RSVD);
}

static void test_pae_reserved_address(void)
{
    start_pae();
    put64(PAE_PT_AT, DATA_AT | PTE_P | PTE_W | 1ull << 40);
    cpu.gpr[EBX] = 0x200000;
    tiny_code(0x8b, 0x03);
    assert_fault(EXC_PF, PFERR_P | PFERR_RSVD);
}

static void test_pae_bad_pdpte(void)
{
    start_pae();
    put64(PDPT_AT, PAE_PD_AT | PTE_P | PTE_W); /* bit 1 is reserved in a PDPTE */
    cpu.gpr[EAX] = PDPT_AT;
    tiny_code(0x0f, 0x22, 0xd8);
    assert_fault(EXC_GP, 0);
}

static void test_pae_pdptes_are_cached(void)
{
    start_pae();
    put64(PDPT_AT, 0);
    cpu.gpr[EBX] = 0x200000;
    tiny_code(0x8b, 0x03);
    g_assert_cmpint(tiny_step_vector(), ==, -1);
}

/* --- what other engines use --- */

static void test_peek_changes_nothing(void)
{
    struct paging_result r;

    start_paged();
    map_tested(PTE_P | PTE_W | PTE_U, PTE_P | PTE_U);
    g_assert_true(paging_peek(&cpu, TESTED, PAGING_USER, &r));
    g_assert_cmphex(r.gpa, ==, DATA_AT);
    g_assert_true(r.user);
    g_assert_false(r.writable);
    g_assert_false(r.accessed);
    g_assert_cmphex(get32(TESTED_PT), ==, DATA_AT | PTE_P | PTE_U);
    g_assert_false(paging_peek(&cpu, TESTED, PAGING_USER | PAGING_WRITE, &r));
    g_assert_cmphex(r.error, ==, PFERR_P | PFERR_W | PFERR_U);
}

static void test_a20_masks(void)
{
    tiny_start();
    put32(0x100004, 0x1111);
    put32(0x000004, 0x2222);
    cpu.gpr[EBX] = 0x100004;
    tiny_code(0x8b, 0x03, 0x8b, 0x03);
    interp_step(&cpu);
    g_assert_cmphex(cpu.gpr[EAX], ==, 0x1111);
    cpu.a20_masked = true;
    interp_step(&cpu);
    g_assert_cmphex(cpu.gpr[EAX], ==, 0x2222);
    cpu.a20_masked = false;
}

static void test_store_log_undoes(void)
{
    struct store_log_entry entries[16];
    struct store_log log = {.entry = entries, .capacity = 16};

    start_paged();
    map_tested(PTE_P | PTE_W, PTE_P | PTE_W);
    put32(DATA_AT, 0xdead);
    cpu.gpr[EBX] = TESTED;
    tiny_code(0x89, 0x03);
    interp_set_store_log(&cpu, &log);
    interp_step(&cpu);
    interp_set_store_log(&cpu, NULL);
    g_assert_cmphex(get32(DATA_AT), ==, 0);
    g_assert_cmpuint(log.count, >=, 2); /* the page tables' A and D bits, and the store */
    for (uint32_t i = log.count; i-- > 0;)
        mem_write(entries[i].gpa, entries[i].old, entries[i].size);
    g_assert_cmphex(get32(DATA_AT), ==, 0xdead);
    g_assert_cmphex(get32(TESTED_PT), ==, DATA_AT | PTE_P | PTE_W);
}

static void test_store_log_refuses_devices(void)
{
    struct store_log log = {.capacity = 0};

    tiny_start();
    tiny_code(0xec);
    interp_set_store_log(&cpu, &log);
    g_assert_cmpint(interp_step(&cpu), ==, CPU_EXIT);
    g_assert_true(log.device);
    g_assert_cmphex(cpu.eip, ==, CODE_AT);
    interp_set_store_log(&cpu, NULL);
}

static void test_self_modifying_next_instruction(void)
{
    for (unsigned round = 0; round < 2; round++) { /* the second time the bytes are in the cache */
        if (round == 0)
            tiny_start();
        cpu.gpr[EBX] = cpu.gpr[ECX] = 0;
        cpu.halted = false;
        cpu.eip = CODE_AT;
        /* mov byte [next],43h (inc ebx); next: inc ecx; hlt */
        tiny_code(0xc6, 0x05, 0x07, 0x00, 0x01, 0x00, 0x43, 0x41, 0xf4);
        tiny_run();
        g_assert_cmpuint(cpu.gpr[EBX], ==, 1);
        g_assert_cmpuint(cpu.gpr[ECX], ==, 0);
    }
}

static void test_modified_immediate(void)
{
    tiny_start();
    /* mov eax,1; inc byte [imm]; cmp al,3; jne again; hlt */
    tiny_code(0xb8, 0x01, 0, 0, 0, 0xfe, 0x05, 0x01, 0x00, 0x01, 0x00, 0x3c, 0x03, 0x75, 0xf1, 0xf4);
    g_assert_cmpint(tiny_run(), ==, EXIT_HALT);
    g_assert_cmpuint(cpu.gpr[EAX], ==, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/paging/permissions", test_permissions);
    g_test_add_func("/paging/rmw", test_rmw_fault_says_write);
    g_test_add_func("/paging/crossing_write", test_crossing_write_is_all_or_nothing);
    g_test_add_func("/paging/crossing_fetch", test_instruction_crossing_into_missing_page);
    g_test_add_func("/paging/invlpg", test_tlb_keeps_until_invlpg);
    g_test_add_func("/paging/invlpg_large", test_invlpg_of_large_page_drops_all_of_it);
    g_test_add_func("/paging/cr3", test_mov_cr3_flushes);
    g_test_add_func("/paging/large_dirty", test_large_page_dirty);
    g_test_add_func("/paging/large_needs_pse", test_large_page_needs_pse);
    g_test_add_func("/paging/large_reserved", test_large_page_reserved_bits);
    g_test_add_func("/paging/pae", test_pae_maps);
    g_test_add_func("/paging/pae_nx", test_pae_nx);
    g_test_add_func("/paging/pae_nx_reserved", test_pae_nx_off_is_reserved);
    g_test_add_func("/paging/pae_reserved", test_pae_reserved_address);
    g_test_add_func("/paging/pae_pdpte", test_pae_bad_pdpte);
    g_test_add_func("/paging/pae_pdpte_cached", test_pae_pdptes_are_cached);
    g_test_add_func("/paging/peek", test_peek_changes_nothing);
    g_test_add_func("/paging/a20", test_a20_masks);
    g_test_add_func("/paging/store_log", test_store_log_undoes);
    g_test_add_func("/paging/store_log_device", test_store_log_refuses_devices);
    g_test_add_func("/paging/self_modifying", test_self_modifying_next_instruction);
    g_test_add_func("/paging/modified_immediate", test_modified_immediate);
    return g_test_run();
}
