/* Page-table walks: 32-bit with PSE-36, PAE with NX. Intel SDM vol. 3A, chapter 4. */
#include "paging.h"

#include "cpuid.h"
#include "interp.h"

/* Bits of a PAE entry that must be zero (SDM tables 4-8 to 4-11). */
static uint64_t pae_reserved(const struct cpu *cpu)
{
    uint64_t bits = ((1ull << 63) - 1) & ~((1ull << cpu->model->phys_bits) - 1);

    return (cpu->efer & EFER_NXE) ? bits : bits | PTE_NX;
}

/* Reads an entry of size n. Tables in unmapped space read as open bus. */
static uint64_t read_entry(const struct cpu *cpu, gpa_t gpa, unsigned n)
{
    const uint8_t *p = mem_ptr(paging_a20(cpu, gpa));
    uint64_t entry = 0;

    if (!p)
        return n == 4 ? 0xffffffffu : ~0ull;
    memcpy(&entry, p, n);
    return entry;
}

/* Sets A/D bits (all in the low byte) in an entry. */
static void set_entry_bits(struct cpu *cpu, gpa_t gpa, uint64_t entry, uint64_t bits)
{
    if ((entry & bits) == bits)
        return;
    gpa = paging_a20(cpu, gpa);
    uint8_t *p = mem_ptr(gpa);
    if (!p)
        return;
    if (mem_page_flags(gpa) & MEM_PAGE_ROM) {
        uint8_t byte = (uint8_t)(entry | bits);
        mem_write(gpa, &byte, 1);
        return;
    }
    interp_before_store(cpu, gpa, 1);
    struct store_log *log = cpu->interp->log;
    if (log && !log->overflow)
        log->entry[log->count - 1].walk = true;
    __atomic_fetch_or(p, (uint8_t)bits, __ATOMIC_SEQ_CST);
}

struct walk {
    gpa_t entry_gpa[2]; /* directory, table */
    uint64_t entry[2];
    unsigned levels;
    bool is_large;
};

/* Finds the leaf; false with the error's P and RSVD bits when there is none. */
static bool walk_legacy(const struct cpu *cpu, gla_t gla, struct walk *w, struct paging_result *out)
{
    w->entry_gpa[0] = (cpu->cr3 & PAGE_MASK) + (gla >> 22) * 4;
    w->entry[0] = read_entry(cpu, w->entry_gpa[0], 4);
    w->levels = 1;
    if (!(w->entry[0] & PTE_P))
        return false;
    if ((w->entry[0] & PTE_PS) && (cpu->cr4 & CR4_PSE)) {
        uint64_t high = (w->entry[0] >> 13) & 0x1ff; /* bits 13..20: physical 32..39 (PSE-36) */
        unsigned high_bits = cpu->model->pse36 ? cpu->model->phys_bits - 32u : 0;
        if (high >> high_bits) {
            out->error |= PFERR_RSVD | PFERR_P;
            return false;
        }
        w->is_large = true;
        out->page_size = 4 * MiB;
        out->gpa = (w->entry[0] & 0xffc00000u) | high << 32 | (gla & 0x3ff000u);
        return true;
    }
    w->entry_gpa[1] = (w->entry[0] & PAGE_MASK) + ((gla >> 12) & 0x3ff) * 4;
    w->entry[1] = read_entry(cpu, w->entry_gpa[1], 4);
    w->levels = 2;
    out->gpa = w->entry[1] & PAGE_MASK;
    return w->entry[1] & PTE_P;
}

static bool walk_pae(const struct cpu *cpu, gla_t gla, struct walk *w, struct paging_result *out)
{
    const uint64_t address = ((1ull << cpu->model->phys_bits) - 1) & ~0xfffull;
    const uint64_t reserved = pae_reserved(cpu);
    uint64_t pdpte = cpu->pdpte[gla >> 30];

    if (!(pdpte & PTE_P))
        return false;
    w->entry_gpa[0] = (pdpte & address) + ((gla >> 21) & 0x1ff) * 8;
    w->entry[0] = read_entry(cpu, w->entry_gpa[0], 8);
    w->levels = 1;
    if (!(w->entry[0] & PTE_P))
        return false;
    if (w->entry[0] & (reserved | ((w->entry[0] & PTE_PS) ? 0x1fe000u : 0))) {
        out->error |= PFERR_RSVD | PFERR_P;
        return false;
    }
    if (w->entry[0] & PTE_PS) {
        w->is_large = true;
        out->page_size = 2 * MiB;
        out->gpa = (w->entry[0] & address & ~0x1fffffull) | (gla & 0x1ff000u);
        return true;
    }
    w->entry_gpa[1] = (w->entry[0] & address) + ((gla >> 12) & 0x1ff) * 8;
    w->entry[1] = read_entry(cpu, w->entry_gpa[1], 8);
    w->levels = 2;
    if (!(w->entry[1] & PTE_P))
        return false;
    if (w->entry[1] & reserved) {
        out->error |= PFERR_RSVD | PFERR_P;
        return false;
    }
    out->gpa = w->entry[1] & address;
    return true;
}

static inline bool walk_any(const struct cpu *cpu, gla_t gla, unsigned access, struct walk *w,
                            struct paging_result *out)
{
    bool nx_on = (cpu->cr4 & CR4_PAE) && (cpu->efer & EFER_NXE);

    out->error = (access & PAGING_WRITE ? PFERR_W : 0) | (access & PAGING_USER ? PFERR_U : 0) |
                 ((access & PAGING_EXEC) && nx_on ? PFERR_I : 0);
    out->page_size = PAGE_SIZE;
    *w = (struct walk){.levels = 0};
    if (!((cpu->cr4 & CR4_PAE) ? walk_pae(cpu, gla, w, out) : walk_legacy(cpu, gla, w, out)))
        return false;

    uint64_t all = w->levels == 2 ? w->entry[0] & w->entry[1] : w->entry[0];
    uint64_t any = w->levels == 2 ? w->entry[0] | w->entry[1] : w->entry[0];
    uint64_t leaf = w->entry[w->levels - 1];
    out->user = all & PTE_U;
    out->writable = all & PTE_W;
    out->nx = nx_on && (any & PTE_NX);
    out->global = (leaf & PTE_G) && (cpu->cr4 & CR4_PGE);
    out->accessed = leaf & PTE_A;
    out->dirty = leaf & PTE_D;
    out->gpa = paging_a20(cpu, out->gpa);

    bool allowed = true;
    if ((access & PAGING_USER) && !out->user)
        allowed = false;
    if ((access & PAGING_WRITE) && !out->writable && ((access & PAGING_USER) || (cpu->cr0 & CR0_WP)))
        allowed = false;
    if ((access & PAGING_EXEC) && out->nx)
        allowed = false;
    if (!allowed)
        out->error |= PFERR_P;
    return allowed;
}

static void walk_unpaged(const struct cpu *cpu, gla_t gla, struct paging_result *out)
{
    *out = (struct paging_result){
        .gpa = paging_a20(cpu, gla & PAGE_MASK),
        .page_size = PAGE_SIZE,
        .user = true,
        .writable = true,
        .accessed = true,
        .dirty = true,
    };
}

bool paging_walk(struct cpu *cpu, gla_t gla, unsigned access, struct paging_result *out)
{
    struct walk w;

    if (!cpu_is_paging(cpu)) {
        walk_unpaged(cpu, gla, out);
        return true;
    }
    if (!walk_any(cpu, gla, access, &w, out))
        return false;
    uint64_t leaf_bits = access & PAGING_WRITE ? PTE_A | PTE_D : PTE_A;
    if (w.levels == 2)
        set_entry_bits(cpu, w.entry_gpa[0], w.entry[0], PTE_A);
    set_entry_bits(cpu, w.entry_gpa[w.levels - 1], w.entry[w.levels - 1], leaf_bits);
    out->accessed = true;
    out->dirty |= (access & PAGING_WRITE) != 0;
    return true;
}

bool paging_peek(const struct cpu *cpu, gla_t gla, unsigned access, struct paging_result *out)
{
    struct walk w;

    if (!cpu_is_paging(cpu)) {
        walk_unpaged(cpu, gla, out);
        return true;
    }
    return walk_any(cpu, gla, access, &w, out);
}

bool paging_load_pdptes(struct cpu *cpu, uint32_t cr3)
{
    /* SDM table 4-8: bits 1, 2, 5..8 and those above the physical address width */
    const uint64_t reserved = ~((1ull << cpu->model->phys_bits) - 1) | 0x1e6;
    uint64_t pdpte[4];

    for (unsigned i = 0; i < 4; i++) {
        pdpte[i] = read_entry(cpu, (cr3 & ~31u) + i * 8, 8);
        if ((pdpte[i] & PTE_P) && (pdpte[i] & reserved))
            return false;
    }
    memcpy(cpu->pdpte, pdpte, sizeof(pdpte));
    return true;
}
