/* KVM's forms of processor state and memory map, without KVM. */
#include <glib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "engine/kvm/kvm_state.h"
#include "mem.h"

static void cpu_fill(struct cpu *cpu)
{
    memset(cpu, 0, sizeof(*cpu));
    cpu->model = cpuid_model_default();
    for (unsigned i = 0; i < 8; i++)
        cpu->gpr[i] = 0x80000000u + 0x01010101u * i;
    cpu->eip = 0xfedc1234;
    cpu->eflags = FL_FIXED1 | FL_IF | FL_CF | FL_DF | FL_ID;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu->seg[i] = (struct seg){.sel = (uint16_t)(8 * i + 3),
                                   .access = ACC_P | ACC_S | ACC_DPL | ACC_DB | ACC_G | ACC_WRITE | ACC_ACCESSED,
                                   .base = 0x1000u * i,
                                   .limit = 0xffffffff};
    cpu->seg[SEG_CS].access |= ACC_CODE | ACC_AVL;
    cpu->seg[SEG_FS] = (struct seg){.sel = 3, .access = ACC_DPL}; /* null */
    cpu->seg[SEG_LDTR] = (struct seg){.sel = 0x28, .access = ACC_P | 2, .base = 0x4000, .limit = 0x7f};
    cpu->seg[SEG_TR] = (struct seg){.sel = 0x30, .access = ACC_P | 11, .base = 0x5000, .limit = 0x67};
    cpu->cpl = 3;
    cpu->gdtr = (struct dtable){0xc1000000, 0x3ff};
    cpu->idtr = (struct dtable){0xc2000000, 0x7ff};
    cpu->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_ET | CR0_NE;
    cpu->cr2 = 0xdeadbeef;
    cpu->cr3 = 0x00123000;
    cpu->cr4 = CR4_PSE | CR4_PGE | CR4_OSFXSR;
    cpu->efer = EFER_NXE;
    cpu->dr[0] = 0x11111111;
    cpu->dr[3] = 0x44444444;
    cpu->dr[6] = 0xffff0ff1;
    cpu->dr[7] = 0x403;
    cpu->nmi_blocked = true;
    cpu->msr_apicbase = 0xfee00900;
    cpu->fpu = (struct fxstate){.fcw = 0x37f,
                                .fsw = 0x3800,
                                .ftw = 0x81,
                                .fop = 0x123,
                                .fip = 0x8000aaaa,
                                .fcs = 0x73,
                                .fdp = 0x9000bbbb,
                                .fds = 0x7b,
                                .mxcsr = 0x1f80};
    for (unsigned i = 0; i < 8; i++) {
        memset(cpu->fpu.st[i], (int)(0x10 + i), 10);
        memset(cpu->fpu.xmm[i], (int)(0x50 + i), 16);
    }
}

/* Everything that goes to KVM comes back. */
static void test_round_trip(void)
{
    struct cpu cpu, back;
    struct kvm_state state;
    cpu_fill(&cpu);
    kvm_state_from_cpu(&state, &cpu);
    memset(&back, 0, sizeof(back));
    kvm_state_to_cpu(&state, &back);

    g_assert_cmpmem(back.gpr, sizeof(back.gpr), cpu.gpr, sizeof(cpu.gpr));
    g_assert_cmphex(back.eip, ==, cpu.eip);
    g_assert_cmphex(back.eflags, ==, cpu.eflags);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        g_assert_cmphex(back.seg[i].sel, ==, cpu.seg[i].sel);
        g_assert_cmphex(back.seg[i].access, ==, cpu.seg[i].access);
        g_assert_cmphex(back.seg[i].base, ==, cpu.seg[i].base);
        g_assert_cmphex(back.seg[i].limit, ==, cpu.seg[i].limit);
    }
    g_assert_cmpuint(back.cpl, ==, 3);
    g_assert_cmphex(back.gdtr.base, ==, cpu.gdtr.base);
    g_assert_cmphex(back.idtr.limit, ==, cpu.idtr.limit);
    g_assert_cmphex(back.cr0, ==, cpu.cr0);
    g_assert_cmphex(back.cr2, ==, cpu.cr2);
    g_assert_cmphex(back.cr3, ==, cpu.cr3);
    g_assert_cmphex(back.cr4, ==, cpu.cr4);
    g_assert_cmphex(back.efer, ==, cpu.efer);
    g_assert_cmphex(back.msr_apicbase, ==, cpu.msr_apicbase);
    g_assert_cmpmem(back.dr, sizeof(back.dr), cpu.dr, sizeof(cpu.dr));
    g_assert_true(back.nmi_blocked && !back.inhibit_irq && !back.inhibit_db);
    g_assert_cmpmem(&back.fpu, offsetof(struct fxstate, mxcsr_mask), &cpu.fpu, offsetof(struct fxstate, mxcsr_mask));
    g_assert_cmpmem(back.fpu.st, sizeof(back.fpu.st), cpu.fpu.st, sizeof(cpu.fpu.st));
    g_assert_cmpmem(back.fpu.xmm, sizeof(back.fpu.xmm), cpu.fpu.xmm, sizeof(cpu.fpu.xmm));
}

static void test_segments(void)
{
    struct cpu cpu;
    struct kvm_state state;
    cpu_fill(&cpu);
    kvm_state_from_cpu(&state, &cpu);
    const struct kvm_segment *cs = &state.sregs.cs;
    g_assert_cmphex(cs->type, ==, 11);
    g_assert_true(cs->s && cs->present && cs->db && cs->g && cs->avl && !cs->l && !cs->unusable);
    g_assert_cmpuint(cs->dpl, ==, 3);
    g_assert_true(state.sregs.fs.unusable);
    g_assert_true(!state.sregs.tr.s && state.sregs.tr.type == 11);
    /* The CPL is that of SS for KVM, whatever stands in the cache: SYSEXIT and real mode. */
    cpu.seg[SEG_SS].access &= (uint16_t)~ACC_DPL;
    kvm_state_from_cpu(&state, &cpu);
    g_assert_cmpuint(state.sregs.ss.dpl, ==, 3);
}

static void test_levels(void)
{
    struct cpu cpu, back;
    struct kvm_state state;
    cpu_fill(&cpu);
    cpu.cr0 = CR0_ET;
    cpu.cpl = 0;
    kvm_state_from_cpu(&state, &cpu);
    state.sregs.ss.dpl = 3; /* what is left of protected mode */
    kvm_state_to_cpu(&state, &back);
    g_assert_cmpuint(back.cpl, ==, 0);
    state.sregs.cr0 |= CR0_PE;
    state.regs.rflags |= FL_VM;
    state.sregs.ss.dpl = 0;
    kvm_state_to_cpu(&state, &back);
    g_assert_cmpuint(back.cpl, ==, 3);
}

static void test_shadow(void)
{
    struct cpu cpu, back;
    struct kvm_state state;
    cpu_fill(&cpu);
    cpu.inhibit_irq = true;
    kvm_state_from_cpu(&state, &cpu);
    g_assert_cmpuint(state.events.interrupt.shadow, ==, KVM_X86_SHADOW_INT_STI);
    g_assert_true(state.events.flags & KVM_VCPUEVENT_VALID_SHADOW);
    cpu.inhibit_db = true;
    kvm_state_from_cpu(&state, &cpu);
    g_assert_cmpuint(state.events.interrupt.shadow, ==, KVM_X86_SHADOW_INT_MOV_SS);
    kvm_state_to_cpu(&state, &back);
    g_assert_true(back.inhibit_irq && back.inhibit_db);
}

static void test_msrs(void)
{
    struct cpu cpu;
    GHashTable *seen = g_hash_table_new(NULL, NULL);
    cpu_fill(&cpu);
    for (unsigned n = 0; n < KVM_STATE_MSRS; n++) {
        uint32_t index;
        kvm_state_set_msr(&cpu, n, 0x1000 + n);
        g_assert_cmphex(kvm_state_msr(&cpu, n, &index), ==, 0x1000 + n);
        g_assert_cmphex(index, !=, 0);
        g_assert_true(g_hash_table_add(seen, GUINT_TO_POINTER(index)));
    }
    g_assert_cmphex(cpu.sysenter_eip, ==, 0x1002);
    g_hash_table_destroy(seen);

    struct cpu_model *old = cpu_model_parse("486", NULL);
    cpu.model = old;
    for (unsigned n = 0; n < KVM_STATE_MSRS; n++) {
        uint32_t index;
        kvm_state_msr(&cpu, n, &index);
        g_assert_true(index == 0 || index == MSR_MISC_ENABLE);
    }
    g_free(old);
}

static void test_cpuid(void)
{
    struct cpu cpu;
    struct kvm_cpuid_entry2 entry[KVM_STATE_CPUID_MAX];
    cpu_fill(&cpu);
    unsigned count = kvm_state_cpuid(&cpu, entry, KVM_STATE_CPUID_MAX);
    g_assert_cmpuint(count, ==, cpu.model->max_leaf + 1 + 9 + 3);
    unsigned caches = 0;
    for (unsigned i = 0; i < count; i++) {
        uint32_t out[4];
        cpu_model_cpuid(cpu.model, entry[i].function, entry[i].index, out);
        /* A guest asks for caches until there is none: were the index not looked at, for ever. */
        g_assert_cmpuint(entry[i].flags, ==, entry[i].function == 4 ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0);
        if (entry[i].function == 4) {
            g_assert_cmpuint(entry[i].index, ==, caches++);
            g_assert_cmpint((out[0] & 0x1f) == 0, ==, caches == 4);
        }
        if (entry[i].function == 0x80000008)
            g_assert_cmphex(entry[i].eax, ==, cpu.model->phys_bits); /* KVM knows 48 and 57 linear bits, or none said */
        else
            g_assert_cmphex(entry[i].eax, ==, out[0]);
        if (entry[i].function == 1)
            g_assert_cmphex(entry[i].ecx, ==, out[2] & ~CPUID_TSC_DEADLINE_C);
        g_assert_cmphex(entry[i].edx, ==, out[3]);
    }
    g_assert_cmpuint(caches, ==, 4);
    g_assert_cmpuint(kvm_state_cpuid(&cpu, entry, 3), ==, 3);
}

/* --- slots --- */

static const struct mmio_ops no_ops;

static void map_build(void)
{
    static uint8_t bios[65536], vga[4096];
    const struct mem_block *lfb = mem_block_new(1 << 20, NULL);
    mem_add_mmio(0xa0000, 0x20000, &no_ops, NULL, "vga");
    mem_set_isa_rom(0xc0000, vga, sizeof(vga));
    mem_set_isa_rom(0xf0000, bios, sizeof(bios));
    mem_add_rom(0xffff0000, bios, sizeof(bios));
    mem_map_block(0xe0000000, 1 << 20, lfb, 0, false, "lfb");
}

static const struct kvm_slot *slot_of(const struct kvm_slot *slot, unsigned count, uint64_t gpa)
{
    for (unsigned i = 0; i < count; i++) {
        if (gpa >= slot[i].gpa && gpa < slot[i].gpa + slot[i].size)
            return &slot[i];
    }
    return NULL;
}

/* Each page is in the slot it belongs into, and in one only. */
static void check_slots(const struct kvm_slot *slot, unsigned count, bool a20_masked)
{
    for (unsigned i = 1; i < count; i++)
        g_assert_cmphex(slot[i - 1].gpa + slot[i - 1].size, <=, slot[i].gpa);
    for (uint64_t gpa = 0; gpa < (uint64_t)MEM_PAGES << PAGE_SHIFT; gpa += PAGE_SIZE) {
        uint64_t real = a20_masked && gpa >= MiB && gpa < 2 * MiB ? gpa - MiB : gpa;
        const struct kvm_slot *in = slot_of(slot, count, gpa);
        uint8_t *host = mem_ptr(real);
        if (!host != !in ||
            (in && (in->host + (gpa - in->gpa) != host || in->rom != !!(mem_page_flags(real) & MEM_PAGE_ROM))))
            g_error("page %llx: slot %d, memory %p", (unsigned long long)gpa, in ? (int)(in - slot) : -1, (void *)host);
    }
}

static void test_slots(void)
{
    struct kvm_slot slot[KVM_SLOTS_MAX];
    g_assert_true(mem_init(64 * MiB, NULL));
    map_build();
    unsigned count = kvm_slots_compute(slot, KVM_SLOTS_MAX, false);
    check_slots(slot, count, false);
    /* Below the VGA, ROM, RAM behind it, frame buffer, ROM at the top. */
    g_assert_cmpuint(count, ==, 5);
    g_assert_cmphex(slot[0].size, ==, 0xa0000);
    g_assert_true(slot[1].rom && !slot[2].rom && !slot[3].rom && slot[4].rom);

    /* The chipset shadows part of the ROM area. */
    mem_set_pam(0xf0000, 0x10000, true, true);
    mem_set_pam(0xc8000, 0x4000, true, true);
    count = kvm_slots_compute(slot, KVM_SLOTS_MAX, false);
    check_slots(slot, count, false);
    g_assert_false(slot_of(slot, count, 0xf0000)->rom);
    g_assert_true(slot_of(slot, count, 0xcc000)->rom);

    /* A bank of video memory instead of the card's registers. */
    mem_remove_mmio(0xa0000);
    mem_map_block(0xa0000, 0x10000, mem_block_new(0x10000, NULL), 0, false, "bank");
    mem_add_mmio(0xb0000, 0x10000, &no_ops, NULL, "vga");
    check_slots(slot, kvm_slots_compute(slot, KVM_SLOTS_MAX, false), false);
    mem_destroy();
}

static void test_slots_above_4_gib(void)
{
    struct kvm_slot slot[KVM_SLOTS_MAX];
    g_assert_true(mem_init(6 * GiB, NULL));
    map_build();
    unsigned count = kvm_slots_compute(slot, KVM_SLOTS_MAX, false);
    check_slots(slot, count, false);
    g_assert_cmpuint(count, ==, 6);
    g_assert_cmphex(slot[5].gpa, ==, 4 * GiB);
    g_assert_cmphex(slot[5].size, ==, 3 * GiB);
    check_slots(slot, kvm_slots_compute(slot, KVM_SLOTS_MAX, true), true);
    mem_destroy();
}

static void test_a20(void)
{
    struct kvm_slot slot[KVM_SLOTS_MAX];
    g_assert_true(mem_init(16 * MiB, NULL));
    map_build();
    unsigned count = kvm_slots_compute(slot, KVM_SLOTS_MAX, true);
    check_slots(slot, count, true);
    g_assert_true(slot_of(slot, count, 0x100000)->host == guest_mem.ram);
    g_assert_null(slot_of(slot, count, 0x1a0000));
    mem_destroy();

    g_assert_true(mem_init(MiB, NULL)); /* no second MiB to hide */
    count = kvm_slots_compute(slot, KVM_SLOTS_MAX, true);
    check_slots(slot, count, true);
    mem_destroy();
}

static void test_slot_limit(void)
{
    struct kvm_slot slot[2];
    g_assert_true(mem_init(4 * MiB, NULL));
    map_build();
    g_assert_cmpuint(kvm_slots_compute(slot, 2, false), ==, 2);
    mem_destroy();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm_state/round_trip", test_round_trip);
    g_test_add_func("/kvm_state/segments", test_segments);
    g_test_add_func("/kvm_state/levels", test_levels);
    g_test_add_func("/kvm_state/shadow", test_shadow);
    g_test_add_func("/kvm_state/msrs", test_msrs);
    g_test_add_func("/kvm_state/cpuid", test_cpuid);
    g_test_add_func("/kvm_state/slots", test_slots);
    g_test_add_func("/kvm_state/slots_above_4_gib", test_slots_above_4_gib);
    g_test_add_func("/kvm_state/a20", test_a20);
    g_test_add_func("/kvm_state/slot_limit", test_slot_limit);
    return g_test_run();
}
