/* The processor's registers for humans, in the form that users of QEMU and their scripts know. */
#include <glib.h>
#include <string.h>

#include "cpu.h"
#include "mem.h"
#include "paging.h"
#include "segment.h"

static const char *const system_types[16] = {
    "Reserved", "TSS16-avl", "LDT",      "TSS16-busy", "CallGate16", "TaskGate", "IntGate16", "TrapGate16",
    "Reserved", "TSS32-avl", "Reserved", "TSS32-busy", "CallGate32", "Reserved", "IntGate32", "TrapGate32"};

static void segment_print(const struct cpu *cpu, const struct seg *seg, const char *name, GString *out)
{
    uint16_t access = seg->access;
    uint32_t limit = access & ACC_G ? seg->limit >> 12 : seg->limit;
    g_string_append_printf(out, "%-3s=%04x %08x %08x %08x", name, seg->sel, seg->base, seg->limit,
                           (uint32_t)(access & 0xf0ff) << 8 | (limit & 0xf0000));
    if (cpu_is_real(cpu) || !(access & ACC_P)) {
        g_string_append(out, "\n");
        return;
    }
    g_string_append_printf(out, " DPL=%u ", (access & ACC_DPL) >> ACC_DPL_SHIFT);
    if (!(access & ACC_S))
        g_string_append_printf(out, "%s\n", system_types[access & ACC_TYPE]);
    else if (access & ACC_CODE)
        g_string_append_printf(out, "CS%u [%c%c%c]\n", access & ACC_DB ? 32u : 16u, access & ACC_CONFORM ? 'C' : '-',
                               access & ACC_READ ? 'R' : '-', access & ACC_ACCESSED ? 'A' : '-');
    else
        g_string_append_printf(out, "%s [%c%c%c]\n", access & ACC_DB ? "DS  " : "DS16",
                               access & ACC_EXPDOWN ? 'E' : '-', access & ACC_WRITE ? 'W' : '-',
                               access & ACC_ACCESSED ? 'A' : '-');
}

void cpu_print_short(const struct cpu *cpu, GString *out)
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
        segment_print(cpu, &cpu->seg[i], segments[i], out);
    g_string_append_printf(out, "GDT=     %08x %08x\nIDT=     %08x %08x\n", cpu->gdtr.base, cpu->gdtr.limit,
                           cpu->idtr.base, cpu->idtr.limit);
    g_string_append_printf(out, "CR0=%08x CR2=%08x CR3=%08x CR4=%08x\n", cpu->cr0, cpu->cr2, cpu->cr3, cpu->cr4);
    g_string_append_printf(out, "DR0=%08x DR1=%08x DR2=%08x DR3=%08x \nDR6=%08x DR7=%08x\n", cpu->dr[0], cpu->dr[1],
                           cpu->dr[2], cpu->dr[3], cpu->dr[6], cpu->dr[7]);
    g_string_append_printf(out, "EFER=%016llx\n", (unsigned long long)cpu->efer);
}

static uint64_t quarter(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, 8);
    return value;
}

void cpu_print(const struct cpu *cpu, GString *out)
{
    const struct fxstate *fx = &cpu->fpu;
    unsigned top = fx->fsw >> 11 & 7;
    cpu_print_short(cpu, out);
    g_string_append_printf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n", fx->fcw, fx->fsw, top, fx->ftw,
                           fx->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *st = fx->st[(i - top) & 7]; /* by number in the FPU, not from the top */
        g_string_append_printf(out, "FPR%u=%016llx %04x%c", i, (unsigned long long)quarter(st), st[8] | st[9] << 8,
                               i & 1 ? '\n' : ' ');
    }
    for (unsigned i = 0; i < 8; i++)
        g_string_append_printf(out, "XMM%02u=%016llx %016llx%c", i, (unsigned long long)quarter(fx->xmm[i] + 8),
                               (unsigned long long)quarter(fx->xmm[i]), i & 1 ? '\n' : ' ');
}

#define CODE_BEFORE 20
#define CODE_BYTES  50

void cpu_print_code(const struct cpu *cpu, GString *out)
{
    gla_t pc = cpu->seg[SEG_CS].base + cpu->eip;
    unsigned before = cpu->eip < CODE_BEFORE ? cpu->eip : CODE_BEFORE;
    g_string_append(out, "Code=");
    for (unsigned i = 0; i < CODE_BYTES; i++) {
        gla_t gla = pc - before + i;
        struct paging_result r;
        const uint8_t *page = paging_peek(cpu, gla, 0, &r) ? mem_ptr(r.gpa) : NULL;
        char text[3] = "??";
        if (page)
            g_snprintf(text, sizeof text, "%02x", page[gla & (PAGE_SIZE - 1)]);
        g_string_append_printf(out, "%s%s%s%s", i ? " " : "", i == before ? "<" : "", text, i == before ? ">" : "");
    }
    g_string_append(out, "\n");
}
