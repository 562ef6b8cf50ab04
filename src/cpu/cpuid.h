/* CPU models: what CPUID shows, and which instructions exist. Intel SDM vol. 2A, CPUID. */
#pragma once

#include <glib.h>

#include "cpu.h"
#include "insn.h"

struct cpu_model {
    const char *name;
    char vendor[13];
    char brand[49];                  /* empty: no brand leaves */
    uint32_t signature;              /* CPUID.1:EAX; also EDX after reset */
    uint32_t max_leaf, max_ext_leaf; /* max_ext_leaf 0: none */
    uint32_t edx, ecx;               /* CPUID.1 */
    uint32_t ext_edx, ext_ecx;       /* CPUID.80000001h */
    uint32_t power_edx;              /* CPUID.80000007h */
    uint8_t phys_bits;               /* physical address width */
    bool pse36;
    uint32_t feats; /* bit FEAT_* set: the row's instructions exist */
};

#define CPUID_FPU            (1u << 0)
#define CPUID_VME            (1u << 1)
#define CPUID_DE             (1u << 2)
#define CPUID_PSE            (1u << 3)
#define CPUID_TSC            (1u << 4)
#define CPUID_MSR            (1u << 5)
#define CPUID_PAE            (1u << 6)
#define CPUID_CX8            (1u << 8)
#define CPUID_APIC           (1u << 9)
#define CPUID_SEP            (1u << 11)
#define CPUID_MTRR           (1u << 12)
#define CPUID_PGE            (1u << 13)
#define CPUID_CMOV           (1u << 15)
#define CPUID_PAT            (1u << 16)
#define CPUID_PSE36          (1u << 17)
#define CPUID_CLFSH          (1u << 19)
#define CPUID_MMX            (1u << 23)
#define CPUID_FXSR           (1u << 24)
#define CPUID_SSE            (1u << 25)
#define CPUID_SSE2           (1u << 26)
#define CPUID_SSE3_C         (1u << 0)
#define CPUID_SSSE3_C        (1u << 9)
#define CPUID_SSE41_C        (1u << 19)
#define CPUID_SSE42_C        (1u << 20)
#define CPUID_MOVBE_C        (1u << 22)
#define CPUID_POPCNT_C       (1u << 23)
#define CPUID_TSC_DEADLINE_C (1u << 24)
#define CPUID_NX_X           (1u << 20)
#define CPUID_INVARIANT_TSC  (1u << 8)

/* Parses the argument of `-cpu`: NAME[,+FEATURE,-FEATURE...]. NULL means default. The result is the
 * caller's to g_free. On failure returns NULL with a sentence for the user. Features the host CPU
 * lacks are left out. */
struct cpu_model *cpu_model_parse(const char *arg, GError **error);

/* The model `-cpu default` names, built once. */
const struct cpu_model *cpuid_model_default(void);

/* The name of model number i of those that -cpu knows, NULL behind the last. */
const char *cpu_model_name(unsigned i);

/* For a board that has no use for the local APIC. */
void cpu_model_hide_apic(struct cpu_model *model);

void cpu_model_cpuid(const struct cpu_model *model, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

static inline bool cpu_model_has(const struct cpu_model *model, enum insn_feature feat)
{
    return (model->feats >> feat) & 1;
}
