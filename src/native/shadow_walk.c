/* Reading the guest's page tables (Intel SDM vol. 3A, chapter 4). */
#include "shadow_space.h"

uint32_t space_config_of(const struct cpu *cpu)
{
    if (!cpu_is_paging(cpu))
        return 0;
    return CONFIG_PAGING | (cpu->cr4 & CR4_PAE ? CONFIG_PAE : 0) | (cpu->cr4 & CR4_PSE ? CONFIG_PSE : 0) |
           (cpu->cr0 & CR0_WP ? CONFIG_WP : 0) | (cpu->efer & EFER_NXE ? CONFIG_NXE : 0);
}

/* PAE: the entry for directory i >> 9. The processor keeps those of the present space; another's are loaded when it
 * gets its turn. */
static uint64_t pdpte_of(const struct cpu *cpu, const struct space *s, unsigned i)
{
    if (s == shadow.current)
        return cpu->pdpte[i >> 9];
    const uint8_t *table = mem_ptr(s->root);
    return table ? entry_read(s, table + (s->root & (PAGE_SIZE - 1)) + (i >> 9) * 8) : 0;
}

/* Where the guest's page-directory entry for index i is. */
static gpa_t pde_gpa(const struct cpu *cpu, const struct space *s, unsigned i)
{
    if (s->config & CONFIG_PAE)
        return (pdpte_of(cpu, s, i) & 0xffffff000ull) + (i & 511) * 8;
    return (s->root & PAGE_MASK) + i * 4;
}

/* Host pointer to it, NULL if there is none to read. */
static void *pde_ptr(const struct cpu *cpu, const struct space *s, unsigned i)
{
    if ((s->config & CONFIG_PAE) && !(pdpte_of(cpu, s, i) & PTE_P))
        return NULL;
    return mem_ptr(pde_gpa(cpu, s, i));
}

uint64_t space_pde(const struct cpu *cpu, const struct space *s, unsigned i)
{
    if (!(s->config & CONFIG_PAGING)) /* identity, by large pages that are not the guest's */
        return (uint64_t)i << 22 | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | PTE_PS | PTE_G;
    const void *p = pde_ptr(cpu, s, i);
    return p ? entry_read(s, p) : 0;
}

void shadow_set_pse36(unsigned high_bits)
{
    shadow.pse_reserved = 0x3fe000 & ~(((1ull << high_bits) - 1) << 13);
}

/* False: not present, or bits set that only the interpreter's exact walk judges (k->odd). */
bool shadow_walk(const struct cpu *cpu, const struct space *s, gla_t gla, struct walk *k)
{
    k->odd = false;
    k->i = gla >> pde_shift(s);
    k->dir = pde_gpa(cpu, s, k->i);
    k->pde_at = s->config & CONFIG_PAGING ? pde_ptr(cpu, s, k->i) : NULL;
    k->pde = space_pde(cpu, s, k->i);
    if (!(k->pde & PTE_P)) {
        k->odd =
            (s->config & CONFIG_PAGING) && !k->pde_at && (!(s->config & CONFIG_PAE) || (cpu->pdpte[k->i >> 9] & PTE_P));
        return false;
    }
    uint64_t reserved = s->config & CONFIG_PAE ? 0x7ffffff000000000ull : 0;
    if (!(s->config & CONFIG_NXE))
        reserved |= PTE_NX;
    if (k->pde & reserved) {
        k->odd = true;
        return false;
    }
    k->w = k->pde & PTE_W;
    k->u = k->pde & PTE_U;
    k->nx = k->pde & PTE_NX;
    k->large = is_large(s, k->pde);
    if (k->large) {
        /* Reserved address bits. All of them: a fault for another reason would be told without RSVD. */
        if (s->config & CONFIG_PAGING && (k->pde & (s->config & CONFIG_PAE ? 0x1fe000 : shadow.pse_reserved))) {
            k->odd = true;
            return false;
        }
        k->pte = k->pde;
        k->pte_at = k->pde_at;
        k->page = large_gpa(s, k->pde) + (gla & (pde_span(s) - 1) & PAGE_MASK);
    } else {
        k->table = small_gpa(s, k->pde);
        k->j = entry_number(s, gla);
        uint8_t *table = mem_ptr(k->table);
        if (!table) {
            k->odd = true;
            return false;
        }
        k->pte_at = table + k->j * entry_size(s);
        k->pte = entry_read(s, k->pte_at);
        if (!(k->pte & PTE_P) || (k->pte & reserved)) {
            k->odd = k->pte & PTE_P;
            return false;
        }
        k->w = k->w && (k->pte & PTE_W);
        k->u = k->u && (k->pte & PTE_U);
        k->nx = k->nx || (k->pte & PTE_NX);
        k->page = small_gpa(s, k->pte);
    }
    k->global = !(s->config & CONFIG_PAGING) || ((k->pte & PTE_G) && (cpu->cr4 & CR4_PGE));
    return true;
}

static void entry_or(void *p, uint32_t bits)
{
    __atomic_fetch_or((uint32_t *)p, bits, __ATOMIC_SEQ_CST);
}

bool shadow_set_accessed(struct walk *k, bool dirty)
{
    if (!k->pde_at)
        return true;
    uint32_t leaf = PTE_A | (dirty ? PTE_D : 0);
    if ((!k->large && !(k->pde & PTE_A) && (mem_page_flags(k->dir) & (MEM_PAGE_GUARDED | MEM_PAGE_ROM))) ||
        ((k->pte & leaf) != leaf && (mem_page_flags(k->large ? k->dir : k->table) & (MEM_PAGE_GUARDED | MEM_PAGE_ROM))))
        return false; /* the interpreter's walk knows how */
    if (!k->large && !(k->pde & PTE_A)) {
        entry_or(k->pde_at, PTE_A);
        k->pde |= PTE_A;
    }
    uint32_t want = PTE_A | (dirty ? PTE_D : 0);
    if ((k->pte & want) != want) {
        entry_or(k->pte_at, want);
        k->pte |= want;
        if (k->large)
            k->pde |= want;
    }
    return true;
}
