/* For the statistics: what kind of callout an instruction is (stats.def, group CALLOUT). */
#include "callout.h"

#include "stats.h"

/* By instruction; 0 (STAT_guest, which is no callout): by its class. */
static const uint8_t kind_of_id[INSN_COUNT] = {
    [INSN_IN_ALIb] = STAT_port,       [INSN_IN_eAXIb] = STAT_port,
    [INSN_OUT_IbAL] = STAT_port,      [INSN_OUT_IbeAX] = STAT_port,
    [INSN_IN_ALDX] = STAT_port,       [INSN_IN_eAXDX] = STAT_port,
    [INSN_OUT_DXAL] = STAT_port,      [INSN_OUT_DXeAX] = STAT_port,
    [INSN_INSB] = STAT_port,          [INSN_INSV] = STAT_port,
    [INSN_OUTSB] = STAT_port,         [INSN_OUTSV] = STAT_port,
    [INSN_MOV_RdCd] = STAT_cr_read,   [INSN_SMSW] = STAT_cr_read,
    [INSN_MOV_CdRd] = STAT_cr_write,  [INSN_LMSW] = STAT_cr_write,
    [INSN_CLTS] = STAT_cr_write,      [INSN_INVLPG] = STAT_invlpg,
    [INSN_MOV_RdDd] = STAT_debug_reg, [INSN_MOV_DdRd] = STAT_debug_reg,
    [INSN_INT_Ib] = STAT_int_n,       [INSN_INT3] = STAT_int_n,
    [INSN_INTO] = STAT_int_n,         [INSN_ICEBP] = STAT_int_n,
    [INSN_BOUND] = STAT_int_n,        [INSN_IRET] = STAT_iret,
    [INSN_SYSENTER] = STAT_sysenter,  [INSN_SYSEXIT] = STAT_sysenter,
    [INSN_POP_ES] = STAT_seg_load,    [INSN_POP_SS] = STAT_seg_load,
    [INSN_POP_DS] = STAT_seg_load,    [INSN_POP_FS] = STAT_seg_load,
    [INSN_POP_GS] = STAT_seg_load,    [INSN_MOV_SwEw] = STAT_seg_load,
    [INSN_LES] = STAT_seg_load,       [INSN_LDS] = STAT_seg_load,
    [INSN_LSS] = STAT_seg_load,       [INSN_LFS] = STAT_seg_load,
    [INSN_LGS] = STAT_seg_load,       [INSN_PUSH_ES] = STAT_seg_store,
    [INSN_PUSH_CS] = STAT_seg_store,  [INSN_PUSH_SS] = STAT_seg_store,
    [INSN_PUSH_DS] = STAT_seg_store,  [INSN_PUSH_FS] = STAT_seg_store,
    [INSN_PUSH_GS] = STAT_seg_store,  [INSN_MOV_EvSw] = STAT_seg_store,
    [INSN_LAR] = STAT_seg_store,      [INSN_LSL] = STAT_seg_store,
    [INSN_VERR] = STAT_seg_store,     [INSN_VERW] = STAT_seg_store,
    [INSN_ARPL] = STAT_seg_store,     [INSN_CALLF_Ap] = STAT_far,
    [INSN_CALLF_Mp] = STAT_far,       [INSN_JMPF_Ap] = STAT_far,
    [INSN_JMPF_Mp] = STAT_far,        [INSN_RETF] = STAT_far,
    [INSN_RETF_Iw] = STAT_far,        [INSN_SGDT] = STAT_dtable,
    [INSN_SIDT] = STAT_dtable,        [INSN_LGDT] = STAT_dtable,
    [INSN_LIDT] = STAT_dtable,        [INSN_SLDT] = STAT_dtable,
    [INSN_LLDT] = STAT_dtable,        [INSN_STR] = STAT_dtable,
    [INSN_LTR] = STAT_dtable,         [INSN_PUSHF] = STAT_flags,
    [INSN_POPF] = STAT_flags,         [INSN_CLI] = STAT_flags,
    [INSN_STI] = STAT_flags,          [INSN_HLT] = STAT_hlt,
    [INSN_RDMSR] = STAT_msr,          [INSN_WRMSR] = STAT_msr,
    [INSN_RDTSC] = STAT_tsc,          [INSN_RDPMC] = STAT_tsc,
    [INSN_CPUID] = STAT_cpuid,
};

void callout_note(const struct insn *insn)
{
    enum stat_id kind = kind_of_id[insn->id];

    if (insn->id == INSN_MOV_CdRd && insn->reg == 3)
        kind = STAT_cr3_write;
    if (!kind) {
        switch (insn->row->class) {
        case CLASS_STRING:
            kind = STAT_string;
            break;
        case CLASS_X87:
        case CLASS_MMX:
        case CLASS_SSE:
            kind = STAT_fpu;
            break;
        default:
            if (!insn_is_memory(insn) && insn->row->class != CLASS_STACK && insn->row->class != CLASS_MOV)
                return;
            kind = STAT_memory;
        }
    }
    stats_callout(kind);
}
