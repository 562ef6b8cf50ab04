/* Architectural constants of the IA-32 (Intel SDM volumes 2 and 3A), shared with the BIOS. */
#pragma once

/* General registers, in encoding order. */
enum gpr { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };

/* Segment registers, in encoding order; the two system ones follow. */
enum segreg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* EFLAGS, SDM vol. 1, 3.4.3 */
#define FL_CF         0x00000001u
#define FL_FIXED1     0x00000002u
#define FL_PF         0x00000004u
#define FL_AF         0x00000010u
#define FL_ZF         0x00000040u
#define FL_SF         0x00000080u
#define FL_TF         0x00000100u
#define FL_IF         0x00000200u
#define FL_DF         0x00000400u
#define FL_OF         0x00000800u
#define FL_IOPL       0x00003000u
#define FL_NT         0x00004000u
#define FL_RF         0x00010000u
#define FL_VM         0x00020000u
#define FL_AC         0x00040000u
#define FL_VIF        0x00080000u
#define FL_VIP        0x00100000u
#define FL_ID         0x00200000u
#define FL_ARITH      (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)
#define FL_IOPL_SHIFT 12

/* Exceptions, SDM vol. 3A, 6.3.1 */
enum vector {
    EXC_DE = 0,
    EXC_DB = 1,
    EXC_NMI = 2,
    EXC_BP = 3,
    EXC_OF = 4,
    EXC_BR = 5,
    EXC_UD = 6,
    EXC_NM = 7,
    EXC_DF = 8,
    EXC_CSO = 9,
    EXC_TS = 10,
    EXC_NP = 11,
    EXC_SS = 12,
    EXC_GP = 13,
    EXC_PF = 14,
    EXC_MF = 16,
    EXC_AC = 17,
    EXC_MC = 18,
    EXC_XM = 19,
};

/* Page-fault error code */
#define PFERR_P    0x01u /* protection violation (1) or not present (0) */
#define PFERR_W    0x02u
#define PFERR_U    0x04u
#define PFERR_RSVD 0x08u
#define PFERR_I    0x10u

/* CR0, CR4 */
#define CR0_PE 0x00000001u
#define CR0_MP 0x00000002u
#define CR0_EM 0x00000004u
#define CR0_TS 0x00000008u
#define CR0_ET 0x00000010u
#define CR0_NE 0x00000020u
#define CR0_WP 0x00010000u
#define CR0_AM 0x00040000u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u

#define CR4_VME        0x0001u
#define CR4_PVI        0x0002u
#define CR4_TSD        0x0004u
#define CR4_DE         0x0008u
#define CR4_PSE        0x0010u
#define CR4_PAE        0x0020u
#define CR4_MCE        0x0040u
#define CR4_PGE        0x0080u
#define CR4_PCE        0x0100u
#define CR4_OSFXSR     0x0200u
#define CR4_OSXMMEXCPT 0x0400u

/* Page-table entries */
#define PTE_P   0x001ull
#define PTE_W   0x002ull
#define PTE_U   0x004ull
#define PTE_PWT 0x008ull
#define PTE_PCD 0x010ull
#define PTE_A   0x020ull
#define PTE_D   0x040ull
#define PTE_PS  0x080ull
#define PTE_G   0x100ull
#define PTE_NX  0x8000000000000000ull

/* Descriptor fields as in `struct seg.access`: bits 8..23 of the descriptor's high dword, moved to
 * bits 0..15 (type 0..3, S 4, DPL 5..6, P 7, limit 19:16 in 8..11 (kept zero), AVL 12, D/B 14, G 15). */
#define ACC_TYPE      0x000fu
#define ACC_ACCESSED  0x0001u
#define ACC_WRITE     0x0002u /* data: writable */
#define ACC_READ      0x0002u /* code: readable */
#define ACC_EXPDOWN   0x0004u /* data: expand-down */
#define ACC_CONFORM   0x0004u /* code: conforming */
#define ACC_CODE      0x0008u
#define ACC_S         0x0010u
#define ACC_DPL       0x0060u
#define ACC_DPL_SHIFT 5
#define ACC_P         0x0080u
#define ACC_AVL       0x1000u
#define ACC_DB        0x4000u
#define ACC_G         0x8000u

/* MSRs */
#define MSR_TSC           0x010u
#define MSR_APICBASE      0x01bu
#define APICBASE_ENABLE   0x800u
#define MSR_BIOS_SIGN_ID  0x08bu
#define MSR_MTRRCAP       0x0feu
#define MSR_SYSENTER_CS   0x174u
#define MSR_SYSENTER_ESP  0x175u
#define MSR_SYSENTER_EIP  0x176u
#define MSR_MCG_CAP       0x179u
#define MSR_MCG_STATUS    0x17au
#define MSR_MISC_ENABLE   0x1a0u
#define MSR_PAT           0x277u
#define MSR_MTRR_DEF_TYPE 0x2ffu
#define MSR_TSC_DEADLINE  0x6e0u
#define MSR_EFER          0xc0000080u
#define EFER_NXE          0x800u
