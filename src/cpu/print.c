/* The processor's registers for humans, in the form that users of QEMU and their scripts know. */
#include <glib.h>

#include "cpu.h"

static void segment_print(const struct seg *seg, const char *name, GString *out)
{
    g_string_append_printf(out, "%-3s=%04x %08x %08x %08x DPL=%u\n", name, seg->sel, seg->base, seg->limit,
                           (uint32_t)(seg->access & 0xf0ff) << 8, seg->access >> 5 & 3);
}

void cpu_print(const struct cpu *cpu, GString *out)
{
    static const char *const segments[SEG_COUNT] = {
        [SEG_ES] = "ES", [SEG_CS] = "CS", [SEG_SS] = "SS",    [SEG_DS] = "DS",
        [SEG_FS] = "FS", [SEG_GS] = "GS", [SEG_LDTR] = "LDT", [SEG_TR] = "TR"};
    static const struct {
        char letter;
        uint32_t flag;
    } flags[] = {{'D', FL_DF}, {'O', FL_OF}, {'S', FL_SF}, {'Z', FL_ZF}, {'A', FL_AF}, {'P', FL_PF}, {'C', FL_CF}};
    char shown[8] = {0};
    for (unsigned i = 0; i < 7; i++)
        shown[i] = cpu->eflags & flags[i].flag ? flags[i].letter : '-';
    g_string_append_printf(out, "EAX=%08x EBX=%08x ECX=%08x EDX=%08x\n", cpu->gpr[EAX], cpu->gpr[EBX], cpu->gpr[ECX],
                           cpu->gpr[EDX]);
    g_string_append_printf(out, "ESI=%08x EDI=%08x EBP=%08x ESP=%08x\n", cpu->gpr[ESI], cpu->gpr[EDI], cpu->gpr[EBP],
                           cpu->gpr[ESP]);
    g_string_append_printf(out, "EIP=%08x EFL=%08x [%s] CPL=%u II=%u A20=%u SMM=0 HLT=%u\n", cpu->eip, cpu->eflags,
                           shown, cpu->cpl, cpu->inhibit_irq, !cpu->a20_masked, cpu->halted);
    for (unsigned i = 0; i < SEG_COUNT; i++)
        segment_print(&cpu->seg[i], segments[i], out);
    g_string_append_printf(out, "GDT=     %08x %08x\nIDT=     %08x %08x\n", cpu->gdtr.base, cpu->gdtr.limit,
                           cpu->idtr.base, cpu->idtr.limit);
    g_string_append_printf(out, "CR0=%08x CR2=%08x CR3=%08x CR4=%08x\n", cpu->cr0, cpu->cr2, cpu->cr3, cpu->cr4);
    g_string_append_printf(out, "DR0=%08x DR1=%08x DR2=%08x DR3=%08x\nDR6=%08x DR7=%08x\n", cpu->dr[0], cpu->dr[1],
                           cpu->dr[2], cpu->dr[3], cpu->dr[6], cpu->dr[7]);
    g_string_append_printf(out, "EFER=%016llx\nFCW=%04x FSW=%04x FTW=%02x MXCSR=%08x\n", (unsigned long long)cpu->efer,
                           cpu->fpu.fcw, cpu->fpu.fsw, cpu->fpu.ftw, cpu->fpu.mxcsr);
}
