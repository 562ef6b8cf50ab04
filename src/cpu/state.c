/* The processor as bytes: see cpu_save() in cpu.h. */
#include "state.h"

#include <string.h>

#include "cpu.h"
#include "interp.h"

/* What struct cpu has beside the architectural state: layouts.py is told that it is not saved.
 * The TSC is saved as a value, since the host's differs where it is loaded. */
#define F(member) STATE_FIELD(cpu, member)
/* layouts: not saved: changed ferr_news invlpg_count invlpg model fpu_fetch interp tsc_offset */
static const struct state_field cpu_fields[] = {
    F(gpr),
    F(eip),
    F(eflags),
    F(seg),
    F(gdtr),
    F(idtr),
    F(cr0),
    F(cr2),
    F(cr3),
    F(cr4),
    F(pdpte),
    F(efer),
    F(dr),
    F(cpl),
    F(halted),
    F(shutdown),
    F(nmi_blocked),
    F(inhibit_irq),
    F(inhibit_db),
    F(a20_masked),
    F(ferr),
    F(ignne),
    F(sysenter_cs),
    F(sysenter_esp),
    F(sysenter_eip),
    F(msr_pat),
    F(msr_apicbase),
    F(msr_misc_enable),
    F(msr_mtrr_def_type),
    F(msr_mtrr),
    F(fpu),
};
#undef F
static const struct state_layout cpu_layout = STATE_LAYOUT(1, cpu, cpu_fields);

struct cpu_more {
    uint64_t tsc;        /* at the moment at which time stopped */
    uint32_t pending_db; /* DR6 bits of a #DB that comes before the next instruction */
};

static const struct state_field more_fields[] = {STATE_FIELD(cpu_more, tsc), STATE_FIELD(cpu_more, pending_db)};
static const struct state_layout more_layout = STATE_LAYOUT(1, cpu_more, more_fields);

static void pieces_make(struct state_pieces *pieces, struct cpu *cpu, struct cpu_more *more)
{
    pieces->piece = g_array_new(FALSE, FALSE, sizeof(struct state_piece));
    state_add(pieces, "cpu", 0, &cpu_layout, cpu);
    state_add(pieces, "more", 0, &more_layout, more);
}

void cpu_save(struct cpu *cpu, uint64_t stopped_tsc, GByteArray *out)
{
    struct cpu_more more = {stopped_tsc + cpu->tsc_offset, cpu->interp->db_hits};
    struct state_pieces pieces;
    pieces_make(&pieces, cpu, &more);
    state_pieces_save(&pieces, out);
    g_array_unref(pieces.piece);
}

/* What the rest of the interpreter and the engines rely on; everything else a guest could have made, too. */
static bool is_sane(const struct cpu *cpu)
{
    if (!(cpu->eflags & FL_FIXED1) || cpu->cpl > 3 || ((cpu->cr0 & CR0_PG) && !(cpu->cr0 & CR0_PE)))
        return false;
    if (!(cpu->cr0 & CR0_PE) && cpu->cpl != 0)
        return false;
    return !(cpu->fpu.mxcsr & ~0xffffu); /* the host would raise #GP */
}

bool cpu_load(struct cpu *cpu, uint64_t stopped_tsc, const uint8_t *bytes, size_t len)
{
    struct cpu was = *cpu;
    struct cpu_more more = {0};
    struct state_pieces pieces;
    pieces_make(&pieces, cpu, &more);
    bool ok = state_pieces_load(&pieces, bytes, len) && is_sane(cpu);
    g_array_unref(pieces.piece);
    if (!ok) {
        *cpu = was;
        return false;
    }
    cpu->tsc_offset = more.tsc - stopped_tsc;
    cpu->interp->db_hits = more.pending_db;
    cpu->changed = CHANGED_MODE | CHANGED_TLB | CHANGED_CR3 | CHANGED_A20 | CHANGED_DR;
    cpu->fpu_fetch = NULL; /* the state is here */
    interp_flush_tlb(cpu);
    return true;
}
