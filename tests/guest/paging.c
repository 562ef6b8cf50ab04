/* Paging: rights, error codes, A and D, invalidation, global pages, aliases, many address spaces.
 * Intel SDM vol. 3A, chapter 4. What must fault is computed here from the manual's rules. */
#include "guest.h"

#define TEST 0x40000000u /* linear addresses under test: this 4 MiB */
#define EFER 0xc0000080u

static uint32_t pd[1024] __attribute__((aligned(4096)));
static uint32_t pt[1024] __attribute__((aligned(4096)));
static uint64_t pdpt[4] __attribute__((aligned(32)));
static uint64_t pae_pd[4][512] __attribute__((aligned(4096)));
static uint64_t pae_pt[512] __attribute__((aligned(4096)));
/* Frames to map: 4 MiB aligned, so that large pages can map them, too. */
#define FRAMES 0x2000000u
static uint8_t *const frames = (uint8_t *)FRAMES;

static const uint8_t code_int80[2] = {0xcd, VEC_DONE};

SNIPPET(do_read, "movl (%esi), %eax");
SNIPPET(do_write, "movl %eax, (%esi)");
SNIPPET(do_rmw, "addl $1, (%esi)");
SNIPPET(do_jump, "jmp *%esi");

/* Identity mapping of RAM by large pages for every ring. */
static void build(void)
{
    for (unsigned i = 0; i < 32; i++)
        pd[i] = i << 22 | P_PS | ALL;
    for (unsigned i = 0; i < 4; i++)
        pdpt[i] = (uint32_t)pae_pd[i] | P_P;
    for (unsigned i = 0; i < 64; i++)
        pae_pd[0][i] = i << 21 | P_PS | ALL;
}

static void paging_on(bool pae)
{
    write_cr0(read_cr0() & ~CR0_PG);
    for (unsigned i = 0; i < 4; i++)
        pdpt[i] &= ~(uint64_t)P_A; /* QEMU's TCG sets the bit; it is reserved, and a KVM that runs on TCG says so */
    write_cr4((read_cr4() & ~(CR4_PAE | CR4_PGE)) | CR4_PSE | (pae ? CR4_PAE : 0));
    write_cr3(pae ? (uint32_t)pdpt : (uint32_t)pd);
    write_cr0(read_cr0() | CR0_PG);
}

static void paging_off(void)
{
    write_cr0(read_cr0() & ~(CR0_PG | CR0_WP));
    write_cr4(read_cr4() & ~(CR4_PAE | CR4_PGE));
}

enum access { READ, WRITE, EXECUTE };
static const char *const access_code[] = {do_read, do_write, do_jump};

/* One mode: every combination of rights at both levels, ring, WP and access. */
static void test_rights(const char *name, bool pae, bool large, bool nx)
{
    unsigned wrong = 0, count = 0, bad_ad = 0, bad_cr2 = 0;
    unsigned levels = nx ? 16 : 8;
    unsigned tables = large ? 1 : levels;
    struct state s;

    if (nx)
        wrmsr(EFER, rdmsr(EFER) | 1u << 11);
    paging_on(pae);
    memcpy(frames + 0x123c, code_int80, 2);
    uint32_t gla = TEST + 0x123c;
    for (unsigned wp = 0; wp < 2; wp++) {
        write_cr0((read_cr0() & ~CR0_WP) | (wp ? CR0_WP : 0));
        for (unsigned d = 0; d < levels; d++)
            for (unsigned t = 0; t < tables; t++)
                for (unsigned ring = 0; ring < 4; ring += 3)
                    for (enum access a = READ; a <= EXECUTE; a++) {
                        uint64_t rights = large ? d : (d & t & 7) | ((d | t) & 8);
                        uint64_t pde = (d & 7) | (d & 8 ? P_NX : 0);
                        uint64_t pte = (t & 7) | (t & 8 ? P_NX : 0);
                        pde |= large ? FRAMES | P_PS : (pae ? (uint32_t)pae_pt : (uint32_t)pt);
                        pte |= FRAMES + PAGE;
                        if (pae) {
                            pae_pd[1][0] = pde;
                            pae_pt[1] = pte;
                        } else {
                            pd[TEST >> 22] = (uint32_t)pde;
                            pt[1] = (uint32_t)pte;
                        }
                        invlpg(gla);

                        bool user = ring == 3, fault = false;
                        uint32_t error = 0;
                        if (!(rights & P_P))
                            fault = true;
                        else if (user && !(rights & P_U))
                            fault = true;
                        else if (a == WRITE && !(rights & P_W) && (user || wp))
                            fault = true;
                        else if (a == EXECUTE && (rights & 8))
                            fault = true;
                        if (rights & P_P)
                            error |= 1;
                        if (a == WRITE)
                            error |= 2;
                        if (user)
                            error |= 4;
                        if (a == EXECUTE && nx)
                            error |= 16;

                        state_init(&s, ring, access_code[a]);
                        s.esi = gla;
                        s.eax = 0xcccc80cd;
                        run(&s);
                        count++;
                        bool right = fault ? s.vector == EXC_PF && s.error == error : s.vector == VEC_DONE;
                        if (right && a == EXECUTE)
                            right = s.eip == (fault ? gla : gla + 2);
                        if (!right && wrong++ < 8)
                            print("# %s: pde %x pte %x ring %u wp %u access %u: vector %u error %x eip %x, want "
                                  "%u %x\n",
                                  name, d, t, ring, wp, (unsigned)a, (unsigned)s.vector, (unsigned)s.error,
                                  (unsigned)s.eip, fault ? EXC_PF : VEC_DONE, (unsigned)(fault ? error : 0));
                        if (s.vector == EXC_PF && s.cr2 != gla)
                            bad_cr2++;
                        if (s.vector == VEC_DONE) {
                            uint32_t e = pae ? (uint32_t)pae_pd[1][0] : pd[TEST >> 22];
                            uint32_t leaf = large ? e : pae ? (uint32_t)pae_pt[1] : pt[1];
                            if (!(e & P_A) || !(leaf & P_A) || !(leaf & P_D) != (a != WRITE))
                                bad_ad++;
                        }
                    }
    }
    check(wrong == 0, "%s: faults and error codes of %u combinations", name, count);
    check(bad_cr2 == 0, "%s: CR2", name);
    check(bad_ad == 0, "%s: A set by use, D by writes only", name);
    paging_off();
    if (nx)
        wrmsr(EFER, rdmsr(EFER) & ~(1ull << 11));
}

/* --- 32-bit paging from here on --- */

static void map(uint32_t gla, uint32_t entry)
{
    pt[(gla >> 12) & 1023] = entry;
    __asm__ volatile("" : : : "memory");
}

static uint32_t read_at(uint32_t gla)
{
    uint32_t v;
    __asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(gla) : "memory");
    return v;
}

static void write_at(uint32_t gla, uint32_t v)
{
    __asm__ volatile("movl %0, (%1)" : : "r"(v), "r"(gla) : "memory");
}

static uint32_t call_at(uint32_t gla)
{
    uint32_t v;
    __asm__ volatile("call *%1" : "=a"(v) : "r"(gla) : "ecx", "edx", "memory");
    return v;
}

/* mov $v, %eax; ret */
static void put_function(uint8_t *at, uint32_t v)
{
    at[0] = 0xb8;
    memcpy(at + 1, &v, 4);
    at[5] = 0xc3;
}

static void frame_fill(unsigned frame, uint32_t v)
{
    uint32_t *p = (uint32_t *)(frames + frame * PAGE);
    for (unsigned i = 0; i < PAGE / 4; i++)
        p[i] = v;
}

static uint32_t frame(unsigned n)
{
    return FRAMES + n * PAGE;
}

static volatile unsigned faults;
static volatile uint32_t fault_error, fault_cr2;
static volatile uint32_t fix_gla, fix_entry;
/* Mends the mapping and lets the instruction try again. */
static bool fix_fault(struct trap *t)
{
    faults++;
    fault_error = t->error;
    fault_cr2 = read_cr2();
    if (faults > 100)
        return false;
    if ((fault_cr2 ^ fix_gla) & ~0xfffu)
        return false;
    map(fix_gla, fix_entry);
    return true;
}

static void test_invalidation(void)
{
    struct state s;

    pd[TEST >> 22] = (uint32_t)pt | ALL;
    paging_on(false);
    frame_fill(0, 0xaaaa0000);
    frame_fill(1, 0xbbbb0001);

    unsigned wrong = 0;
    for (unsigned i = 0; i < 1000; i++) {
        map(TEST, frame(i & 1) | ALL);
        invlpg(TEST);
        wrong += read_at(TEST + 4 * i) != (i & 1 ? 0xbbbb0001 : 0xaaaa0000);
    }
    check_equal(wrong, 0, "invlpg: the new frame is read, 1000 rounds");
    wrong = 0;
    for (unsigned i = 0; i < 1000; i++) {
        map(TEST, frame(i & 1) | ALL);
        write_cr3(read_cr3());
        wrong += read_at(TEST + 4 * i) != (i & 1 ? 0xbbbb0001 : 0xaaaa0000);
    }
    check_equal(wrong, 0, "cr3: the new frame is read, 1000 rounds");
    map(TEST, frame(2) | ALL);
    invlpg(TEST + 0xfff);
    write_at(TEST + 8, 0x12345678);
    check_equal(*(uint32_t *)(frames + 2 * PAGE + 8), 0x12345678, "invlpg: of another byte of the page");
    /* A freed page table: the directory entry changes. */
    static uint32_t pt2[1024] __attribute__((aligned(4096)));
    pt2[0] = frame(1) | ALL;
    map(TEST, frame(0) | ALL);
    invlpg(TEST);
    (void)read_at(TEST);
    pd[TEST >> 22] = (uint32_t)pt2 | ALL;
    invlpg(TEST);
    check_equal(read_at(TEST), 0xbbbb0001, "invlpg: another page table");
    pd[TEST >> 22] = (uint32_t)pt | ALL;
    write_cr3(read_cr3());
    check_equal(read_at(TEST), 0xaaaa0000, "cr3: another page table");
    pd[TEST >> 22] = FRAMES | P_PS | ALL;
    invlpg(TEST);
    check_equal(read_at(TEST + PAGE), 0xbbbb0001, "invlpg: a large page instead of a table");
    pd[TEST >> 22] = (uint32_t)pt | ALL;
    invlpg(TEST);
    map(TEST + PAGE, 0);
    invlpg(TEST + PAGE);
    state_init(&s, 3, do_read);
    s.esi = TEST + PAGE;
    run_expect(&s, EXC_PF, 4, "invlpg: a table instead of a large page");

    /* Not present becomes present without any invalidation. */
    trap_handlers[EXC_PF] = fix_fault;
    wrong = 0;
    for (unsigned i = 0; i < 200; i++) {
        fix_gla = TEST + (i + 2) * PAGE;
        fix_entry = frame(i & 1) | ALL;
        faults = 0;
        map(fix_gla, 0);
        wrong += read_at(fix_gla + 16) != (i & 1 ? 0xbbbb0001 : 0xaaaa0000) || faults != 1 || fault_error != 0 ||
                 fault_cr2 != fix_gla + 16;
    }
    check_equal(wrong, 0, "demand: a page becomes present in the fault handler, 200 pages");
    /* More rights without invalidation: at most one needless fault. */
    write_cr0(read_cr0() | CR0_WP);
    faults = 0;
    fix_gla = TEST + 300 * PAGE;
    fix_entry = frame(3) | ALL;
    map(fix_gla, frame(3) | P_P);
    invlpg(fix_gla);
    (void)read_at(fix_gla);
    write_at(fix_gla, 77);
    check(faults == 1 && fault_error == 3, "copy on write: one fault in the handler of which the page becomes "
                                           "writable");
    check_equal(*(uint32_t *)(frames + 3 * PAGE), 77, "copy on write: the write arrives");
    map(fix_gla, frame(3) | P_P);
    invlpg(fix_gla);
    (void)read_at(fix_gla);
    map(fix_gla, fix_entry);
    faults = 0;
    write_at(fix_gla, 78);
    check(faults <= 1, "rights raised without INVLPG: at most one fault");
    trap_handlers[EXC_PF] = NULL;
    write_cr0(read_cr0() & ~CR0_WP);

    /* WP toggles. */
    map(TEST, frame(0) | P_P | P_U);
    invlpg(TEST);
    wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        write_cr0((read_cr0() & ~CR0_WP) | (i & 1 ? CR0_WP : 0));
        state_init(&s, 0, do_write);
        s.esi = TEST;
        run(&s);
        wrong += s.vector != (i & 1 ? EXC_PF : VEC_DONE);
    }
    check_equal(wrong, 0, "wp: toggled 100 times");
    write_cr0(read_cr0() & ~CR0_WP);

    /* Read-modify-write of a read-only page faults as a write; nothing is changed. */
    frame_fill(0, 5);
    state_init(&s, 3, do_rmw);
    s.esi = TEST;
    run_expect(&s, EXC_PF, 7, "read-modify-write of a read-only page");
    check_equal(*(uint32_t *)frames, 5, "read-modify-write of a read-only page: unchanged");

    /* Across two pages. */
    map(TEST, frame(0) | ALL);
    map(TEST + PAGE, 0);
    invlpg(TEST);
    invlpg(TEST + PAGE);
    state_init(&s, 3, do_write);
    s.esi = TEST + PAGE - 2;
    s.eax = 0xffffffff;
    run_expect(&s, EXC_PF, 6, "across pages: second not present");
    check_equal(s.cr2, TEST + PAGE, "across pages: CR2 is the second page");
    check_equal(*(uint16_t *)(frames + PAGE - 2), 0, "across pages: no half write");
    map(TEST, 0);
    map(TEST + PAGE, frame(1) | ALL);
    invlpg(TEST);
    invlpg(TEST + PAGE);
    state_init(&s, 3, do_read);
    s.esi = TEST + PAGE - 2;
    run_expect(&s, EXC_PF, 4, "across pages: first not present");
    check_equal(s.cr2, TEST + PAGE - 2, "across pages: CR2 is the first byte");
    map(TEST, frame(4) | ALL);
    map(TEST + PAGE, 0);
    invlpg(TEST);
    invlpg(TEST + PAGE);
    memcpy(frames + 4 * PAGE + PAGE - 3, (uint8_t[]){0x90, 0xb8, 1}, 3);
    state_init(&s, 3, (void *)(TEST + PAGE - 3));
    run_expect(&s, EXC_PF, 4, "across pages: instruction");
    check(s.cr2 == TEST + PAGE && s.eip == TEST + PAGE - 2, "across pages: instruction: CR2 and EIP");

    paging_off();
}

static void test_global(void)
{
    struct state s;

    if (!(cpuid_edx(1) & 1u << 13)) {
        check(false, "global: CPUID.PGE");
        return;
    }
    paging_on(false);
    frame_fill(0, 0xaaaa0000);
    frame_fill(1, 0xbbbb0001);
    write_cr4(read_cr4() | CR4_PGE);
    unsigned wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        map(TEST, frame(i & 1) | ALL | P_G);
        write_cr4(read_cr4() & ~CR4_PGE);
        write_cr4(read_cr4() | CR4_PGE);
        wrong += read_at(TEST) != (i & 1 ? 0xbbbb0001 : 0xaaaa0000);
    }
    check_equal(wrong, 0, "global: toggling PGE drops global pages");
    wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        map(TEST, frame(i & 1) | ALL | P_G);
        invlpg(TEST);
        wrong += read_at(TEST) != (i & 1 ? 0xbbbb0001 : 0xaaaa0000);
    }
    check_equal(wrong, 0, "global: INVLPG drops a global page");
    /* MOV CR3 may keep it: either frame is right, but nothing else. */
    wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        map(TEST, frame(i & 1) | ALL | P_G);
        write_cr3(read_cr3());
        uint32_t v = read_at(TEST);
        wrong += v != 0xbbbb0001 && v != 0xaaaa0000;
        invlpg(TEST);
        wrong += read_at(TEST) != (i & 1 ? 0xbbbb0001 : 0xaaaa0000);
    }
    check_equal(wrong, 0, "global: MOV CR3 may keep a global page");
    /* Toggling PG drops all. */
    wrong = 0;
    for (unsigned i = 0; i < 20; i++) {
        map(TEST, frame(i & 1) | ALL | P_G);
        write_cr0(read_cr0() & ~CR0_PG);
        write_cr0(read_cr0() | CR0_PG);
        wrong += read_at(TEST) != (i & 1 ? 0xbbbb0001 : 0xaaaa0000);
    }
    check_equal(wrong, 0, "global: toggling PG drops global pages");
    map(TEST, 0);
    invlpg(TEST);
    state_init(&s, 3, do_read);
    s.esi = TEST;
    run_expect(&s, EXC_PF, 4, "global: unmapped is gone");
    paging_off();
}

static void test_code_pages(void)
{
    paging_on(false);
    put_function(frames + 5 * PAGE, 5);
    put_function(frames + 6 * PAGE, 6);
    unsigned wrong = 0;
    for (unsigned i = 0; i < 2000; i++) {
        map(TEST, frame(5 + (i & 1)) | ALL);
        invlpg(TEST);
        wrong += call_at(TEST) != 5 + (i & 1);
    }
    check_equal(wrong, 0, "remap: code seen through INVLPG, 2000 rounds");
    /* A caller that is translated once and jumps to what is remapped. */
    wrong = 0;
    for (unsigned i = 0; i < 2000; i++) {
        map(TEST, frame(5 + (i & 1)) | ALL);
        write_cr3(read_cr3());
        uint32_t sum;
        __asm__ volatile("movl $0x40000000, %%ecx\n call *%%ecx\n movl %%eax, %%edx\n call *%%ecx\n"
                         " addl %%edx, %%eax"
                         : "=a"(sum)
                         :
                         : "ecx", "edx", "memory");
        wrong += sum != 2 * (5 + (i & 1));
    }
    check_equal(wrong, 0, "remap: code seen through MOV CR3, 2000 rounds");
    /* Code that jumps straight into a page remapped under it: both pages map to the same linear addresses. */
    map(TEST, frame(7) | ALL);
    invlpg(TEST);
    uint8_t *p = frames + 7 * PAGE;
    memcpy(p + 0xffb, (uint8_t[]){0xe9, 0, 0, 0, 0}, 5); /* jmp to the next page */
    wrong = 0;
    for (unsigned i = 0; i < 500; i++) {
        map(TEST + PAGE, frame(5 + (i & 1)) | ALL);
        invlpg(TEST + PAGE);
        wrong += call_at(TEST + 0xffb) != 5 + (i & 1);
    }
    check_equal(wrong, 0, "remap: target of a direct jump, 500 rounds");
    memcpy(p + 0xffd, (uint8_t[]){0xb8, 1, 2}, 3); /* mov $imm32, across the page */
    wrong = 0;
    for (unsigned i = 0; i < 500; i++) {
        uint8_t *q = frames + (5 + (i & 1)) * PAGE;
        memcpy(q + 0x800, q, 6);
        q[0] = (uint8_t)(3 + i);
        q[1] = 4;
        q[2] = 0xc3;
        map(TEST + PAGE, frame(5 + (i & 1)) | ALL);
        invlpg(TEST + PAGE);
        wrong += call_at(TEST + 0xffd) != (0x04000201u | (uint32_t)(uint8_t)(3 + i) << 16);
        memcpy(q, q + 0x800, 6);
    }
    check_equal(wrong, 0, "remap: second half of an instruction, 500 rounds");

    /* One frame, two linear addresses. */
    map(TEST, frame(8) | ALL);
    map(TEST + PAGE, frame(8) | ALL);
    invlpg(TEST);
    invlpg(TEST + PAGE);
    wrong = 0;
    for (unsigned i = 0; i < 1000; i++) {
        put_function((uint8_t *)TEST, i);
        serialize();
        wrong += call_at(TEST + PAGE) != i;
        wrong += call_at(TEST) != i;
        put_function((uint8_t *)TEST + PAGE, ~i);
        serialize();
        wrong += call_at(TEST + PAGE) != ~i;
    }
    check_equal(wrong, 0, "alias: code written through another address, 1000 rounds");
    wrong = 0;
    for (unsigned i = 0; i < 1000; i++) {
        write_at(TEST + 0x100, i);
        wrong += read_at(TEST + PAGE + 0x100) != i;
        write_at(TEST + PAGE + 0x100, ~i);
        wrong += *(volatile uint32_t *)(frames + 8 * PAGE + 0x100) != ~i;
    }
    check_equal(wrong, 0, "alias: data, 1000 rounds");
    paging_off();
}

static void test_cr2(void)
{
    struct state s;

    paging_on(false);
    write_cr2(0x12345678);
    check_equal(read_cr2(), 0x12345678, "cr2: is a register");
    map(TEST + 7 * PAGE, 0);
    invlpg(TEST + 7 * PAGE);
    for (unsigned i = 0; i < 4; i++) {
        static const uint32_t at[] = {TEST + 7 * PAGE, TEST + 7 * PAGE + 4092, 0xfffffffc, 0xc0000000};
        state_init(&s, 3, do_read);
        s.esi = at[i];
        run(&s);
        check(s.vector == EXC_PF && s.error == 4 && s.cr2 == at[i], "cr2: holds the address, %u", i);
    }
    state_init(&s, 0, do_read);
    s.esi = 0xfffffffc;
    run_expect(&s, EXC_PF, 0, "cr2: ring 0 read of the last page");
    /* PUSH, CALL, string instructions. */
    SNIPPET(do_push, "pushl %eax");
    SNIPPET(do_call, "call *%esi");
    SNIPPET(do_movs, "movsl");
    state_init(&s, 3, do_push);
    s.esp = TEST + 8 * PAGE;
    run_expect(&s, EXC_PF, 6, "cr2: push");
    check(s.cr2 == TEST + 8 * PAGE - 4 && s.esp == TEST + 8 * PAGE, "cr2: push: address, ESP unchanged");
    state_init(&s, 3, do_call);
    s.esi = TEST + 7 * PAGE + 5;
    run_expect(&s, EXC_PF, 4, "cr2: call to nowhere");
    check(s.cr2 == s.eip && s.eip == TEST + 7 * PAGE + 5, "cr2: call to nowhere: EIP is the target");
    state_init(&s, 3, do_movs);
    s.esi = FRAMES;
    s.edi = TEST + 7 * PAGE;
    run_expect(&s, EXC_PF, 6, "cr2: movs writes");
    check(s.esi == FRAMES && s.edi == TEST + 7 * PAGE, "cr2: movs: registers unchanged");
    paging_off();

    /* A reserved bit. */
    paging_on(true);
    pae_pd[1][0] = (uint32_t)pae_pt | ALL;
    pae_pt[0] = FRAMES | ALL | 1ull << 62;
    write_cr3(read_cr3());
    state_init(&s, 3, do_write);
    s.esi = TEST;
    run_expect(&s, EXC_PF, 0xf, "reserved bit of a PAE entry");
    pae_pt[0] = FRAMES | ALL | P_NX;
    write_cr3(read_cr3());
    state_init(&s, 3, do_read);
    s.esi = TEST;
    run_expect(&s, EXC_PF, 0xd, "NX is reserved without EFER.NXE");
    /* PDPTEs are loaded by MOV CR3 only; a reserved bit in one faults there. */
    SNIPPET(do_cr3, "movl %eax, %cr3");
    pdpt[2] = (uint32_t)pae_pd[2] | P_P | P_W;
    state_init(&s, 0, do_cr3);
    s.eax = (uint32_t)pdpt;
    run_expect(&s, EXC_GP, 0, "reserved bit of a PDPTE: #GP at MOV CR3");
    pdpt[2] = (uint32_t)pae_pd[2] | P_P;
    paging_off();
}

/* --- 200 address spaces --- */

#define SPACES    200
#define SPACES_AT 0x3000000u /* four pages each: directory, table, data, code */

static void test_spaces(void)
{
    unsigned wrong_data = 0, wrong_code = 0, wrong_user = 0;

    for (unsigned i = 0; i < SPACES; i++) {
        uint32_t at = SPACES_AT + i * 4 * PAGE;
        uint32_t *dir = (uint32_t *)at, *table = (uint32_t *)(at + PAGE);
        memcpy(dir, pd, PAGE);
        memset(table, 0, PAGE);
        memset((void *)(at + 2 * PAGE), 0, PAGE);
        dir[TEST >> 22] = (at + PAGE) | ALL;
        table[0] = (at + 2 * PAGE) | ALL;
        table[1] = (at + 3 * PAGE) | ALL;
        put_function((uint8_t *)at + 3 * PAGE, i * 3);
        *(uint32_t *)(at + 2 * PAGE) = i;
    }
    paging_on(false);
    for (unsigned round = 0; round < 20; round++)
        for (unsigned n = 0; n < SPACES; n++) {
            unsigned i = (n * 77 + round) % SPACES;
            struct state s;
            write_cr3(SPACES_AT + i * 4 * PAGE);
            wrong_data += read_at(TEST) != i || read_at(TEST + 4) != round;
            write_at(TEST + 4, round + 1);
            /* One instruction stream, its immediate changed in some spaces and not in others. */
            if (round % 5 == 4 && i % 3 == 0) {
                put_function((uint8_t *)TEST + PAGE, i * 3 + round);
                write_at(TEST + 8, round);
            }
            wrong_code += call_at(TEST + PAGE) != i * 3 + read_at(TEST + 8);
            if (n % 8 == 0) {
                state_init(&s, 3, do_read);
                s.esi = TEST;
                run(&s);
                wrong_user += s.vector != VEC_DONE || s.eax != i;
            }
        }
    check_equal(wrong_data, 0, "spaces: data of 200 spaces in 20 rounds");
    check_equal(wrong_code, 0, "spaces: code of 200 spaces in 20 rounds");
    check_equal(wrong_user, 0, "spaces: ring 3 in 200 spaces");
    /* A directory reused for another space. */
    unsigned wrong = 0;
    for (unsigned i = 0; i < 500; i++) {
        uint32_t at = SPACES_AT + (i % 2) * 4 * PAGE;
        uint32_t other = SPACES_AT + (2 + i % 50) * 4 * PAGE;
        ((uint32_t *)at)[TEST >> 22] = (other + PAGE) | ALL;
        write_cr3(at);
        wrong += read_at(TEST) != 2 + i % 50;
        wrong += call_at(TEST + PAGE) != (2 + i % 50) * 3 + read_at(TEST + 8);
    }
    check_equal(wrong, 0, "spaces: directories reused, 500 rounds");
    paging_off();
}

/* Another page at the very instruction after paging changes: the code runs on. */
static void test_toggle(void)
{
    unsigned wrong = 0;
    frame_fill(9, 0x99990000);
    *(uint32_t *)(FRAMES + 10 * PAGE) = 0x1234;
    pd[TEST >> 22] = (uint32_t)pt | ALL;
    map(TEST, frame(9) | ALL);
    for (unsigned i = 0; i < 200; i++) {
        paging_on(false);
        wrong += read_at(TEST) != 0x99990000;
        wrong += read_at(FRAMES + 10 * PAGE) != 0x1234;
        paging_off();
        wrong += read_at(FRAMES + 9 * PAGE) != 0x99990000;
    }
    check_equal(wrong, 0, "toggle: PG on and off 200 times");
}

/* Every bit of an entry that must be zero (36 address bits), at both levels, with each access: P and RSVD, whatever the
 * rights; nothing of it if P is clear. And those next to them, which mean something else. */
static void test_reserved(const char *name, bool pae, bool large, bool nx)
{
    unsigned wrong = 0, wrong_absent = 0, count = 0;
    struct state s;

    if (nx)
        wrmsr(EFER, rdmsr(EFER) | 1u << 11);
    paging_on(pae);
    memcpy(frames + 0x123c, code_int80, 2);
    uint32_t gla = TEST + 0x123c;
    for (unsigned level = large; level < 2; level++)
        for (unsigned bit = 3; bit < (pae ? 64u : 32u); bit++)
            for (unsigned k = 0; k < 24; k++) {
                enum access a = k % 3;
                unsigned ring = k / 3 % 2 ? 3 : 0;
                bool absent = k / 6 % 2, forbidden = k / 12;
                bool is_leaf = large || level == 0;
                bool reserved = pae ? bit >= 36 && (bit < 63 || !nx) : false;
                if (large)
                    reserved |= pae ? bit >= 13 && bit <= 20 : bit >= 17 && bit <= 21;
                bool address = bit >= 12 && !reserved && !(large && bit == 12);
                if (address || (bit >= 5 && bit <= 7) || (bit == 63 && !reserved))
                    continue; /* another page, A, D, PS; NX */
                uint64_t rights = P_P | P_W | (forbidden && is_leaf ? 0 : P_U);
                uint64_t pde = large ? FRAMES | P_PS : pae ? (uint32_t)pae_pt : (uint32_t)pt;
                uint64_t pte = FRAMES + PAGE;
                pde |= level == 1 ? (rights & ~(uint64_t)(absent ? P_P : 0)) | 1ull << bit : ALL;
                pte |= level == 0 ? (rights & ~(uint64_t)(absent ? P_P : 0)) | 1ull << bit : rights;
                if (pae) {
                    pae_pd[1][0] = pde;
                    pae_pt[1] = pte;
                } else {
                    pd[TEST >> 22] = (uint32_t)pde;
                    pt[1] = (uint32_t)pte;
                }
                write_cr3(read_cr3());
                state_init(&s, ring, access_code[a]);
                s.esi = gla;
                s.eax = 0x80cd80cd; /* INT 80h: what is there anyway */
                run(&s);
                uint32_t error = (a == WRITE ? 2 : 0) | (ring == 3 ? 4 : 0) | (a == EXECUTE && nx ? 16 : 0);
                bool fault = absent || reserved || (forbidden && is_leaf && ring == 3);
                if (!absent && fault)
                    error |= reserved ? 9 : 1;
                bool ok = fault ? s.vector == EXC_PF && s.error == error && s.cr2 == gla : s.vector == VEC_DONE;
                count++;
                if (!ok && !wrong && !wrong_absent)
                    print("# bit %u level %u access %u ring %u: vector %u error %x, want %s %x\n", bit, level, a, ring,
                          (unsigned)s.vector, (unsigned)s.error, fault ? "a fault," : "none", (unsigned)error);
                if (absent)
                    wrong_absent += !ok;
                else
                    wrong += !ok;
            }
    check(wrong == 0, "reserved bits: %s: P and RSVD in the error code", name);
    check(wrong_absent == 0 && count > 100, "reserved bits: %s: not looked at without P", name);
    paging_off();
    if (nx)
        wrmsr(EFER, rdmsr(EFER) & ~(uint64_t)(1u << 11));
}

void guest_main(void)
{
    build();
    test_rights("32-bit", false, false, false);
    test_rights("4 MiB", false, true, false);
    test_rights("PAE", true, false, false);
    test_rights("PAE 2 MiB", true, true, false);
    test_rights("PAE NX", true, false, true);
    test_rights("PAE 2 MiB NX", true, true, true);
    test_invalidation();
    test_global();
    test_code_pages();
    test_cr2();
    test_reserved("32-bit", false, false, false);
    test_reserved("4 MiB", false, true, false);
    test_reserved("PAE", true, false, false);
    test_reserved("PAE 2 MiB", true, true, false);
    test_reserved("PAE NX", true, false, true);
    test_reserved("PAE 2 MiB NX", true, true, true);
    test_spaces();
    test_toggle();
}
