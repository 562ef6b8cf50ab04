/* CPU models and CPUID. Intel SDM vol. 2A, CPUID; vol. 3A, chapter 22 for what came when.
 *
 * The default is an Intel Atom of the Bonnell core (family 6, model 1Ch): an in-order processor that does
 * not speculate, so that kernels neither build retpolines nor isolate page tables (Linux: cpu_vuln_whitelist,
 * NO_SPECULATION). Stepping 10, since kernels distrust large pages of steppings up to 2. It has the local APIC's timer
 * by the TSC, unlike the real one: kernels then need not measure the APIC's frequency for 0.1 s at each start. */
#include "cpuid.h"

#include <string.h>

#define EDX_486 CPUID_FPU
#define EDX_PENTIUM \
    (CPUID_FPU | CPUID_VME | CPUID_DE | CPUID_PSE | CPUID_TSC | CPUID_MSR | CPUID_CX8 | CPUID_MMX | CPUID_APIC)
#define EDX_P6 \
    (EDX_PENTIUM | CPUID_PAE | CPUID_SEP | CPUID_MTRR | CPUID_PGE | CPUID_CMOV | CPUID_PAT | CPUID_FXSR | CPUID_SSE)

static const struct cpu_model models[] = {
    {.name = "default",
     .vendor = "GenuineIntel",
     .brand = "Intel(R) Atom(TM) CPU N450 (Ringer)",
     .signature = 0x106ca,
     .max_leaf = 4,
     .max_ext_leaf = 0x80000008,
     .edx = EDX_P6 | CPUID_CLFSH | CPUID_SSE2,
     .ecx = CPUID_SSE3_C | CPUID_SSSE3_C | CPUID_MOVBE_C | CPUID_TSC_DEADLINE_C,
     .ext_edx = CPUID_NX_X,
     .power_edx = CPUID_INVARIANT_TSC,
     .phys_bits = 36},
    {.name = "pentium3",
     .vendor = "GenuineIntel",
     .signature = 0x68a,
     .max_leaf = 2,
     .edx = EDX_P6 | CPUID_PSE36,
     .phys_bits = 36},
    {.name = "pentium",
     .vendor = "GenuineIntel",
     .signature = 0x543,
     .max_leaf = 1,
     .edx = EDX_PENTIUM,
     .phys_bits = 32},
    {.name = "486", .vendor = "GenuineIntel", .signature = 0x480, .max_leaf = 1, .edx = EDX_486, .phys_bits = 32},
};

enum word { WORD_EDX, WORD_ECX, WORD_EXT_EDX, WORD_POWER };

/* What `-cpu` can switch, which rows hang on it, and whether the host must have it because guest code
 * runs on the host's units. */
static const struct {
    const char *name;
    uint8_t word;
    uint32_t bit;
    bool host;
    uint32_t feats;
} features[] = {
    {"fpu", WORD_EDX, CPUID_FPU, false, 1u << FEAT_FPU},
    {"vme", WORD_EDX, CPUID_VME, false, 0},
    {"de", WORD_EDX, CPUID_DE, false, 0},
    {"pse", WORD_EDX, CPUID_PSE, false, 0},
    {"tsc", WORD_EDX, CPUID_TSC, false, 1u << FEAT_TSC},
    {"msr", WORD_EDX, CPUID_MSR, false, 1u << FEAT_MSR},
    {"pae", WORD_EDX, CPUID_PAE, false, 0},
    {"cx8", WORD_EDX, CPUID_CX8, false, 1u << FEAT_CX8},
    {"apic", WORD_EDX, CPUID_APIC, false, 0},
    {"sep", WORD_EDX, CPUID_SEP, false, 1u << FEAT_SEP},
    {"mtrr", WORD_EDX, CPUID_MTRR, false, 0},
    {"pge", WORD_EDX, CPUID_PGE, false, 0},
    {"cmov", WORD_EDX, CPUID_CMOV, false, 1u << FEAT_CMOV | 1u << FEAT_FCMOV},
    {"pat", WORD_EDX, CPUID_PAT, false, 0},
    {"pse36", WORD_EDX, CPUID_PSE36, false, 0},
    {"clflush", WORD_EDX, CPUID_CLFSH, false, 1u << FEAT_CLFLUSH},
    {"mmx", WORD_EDX, CPUID_MMX, true, 1u << FEAT_MMX},
    {"fxsr", WORD_EDX, CPUID_FXSR, true, 1u << FEAT_FXSR},
    {"sse", WORD_EDX, CPUID_SSE, true, 1u << FEAT_SSE},
    {"sse2", WORD_EDX, CPUID_SSE2, true, 1u << FEAT_SSE2},
    {"sse3", WORD_ECX, CPUID_SSE3_C, true, 1u << FEAT_SSE3},
    {"ssse3", WORD_ECX, CPUID_SSSE3_C, true, 1u << FEAT_SSSE3},
    {"sse4.1", WORD_ECX, CPUID_SSE41_C, true, 1u << FEAT_SSE41},
    {"sse4.2", WORD_ECX, CPUID_SSE42_C, true, 1u << FEAT_SSE42},
    {"movbe", WORD_ECX, CPUID_MOVBE_C, true, 1u << FEAT_MOVBE},
    {"tsc-deadline", WORD_ECX, CPUID_TSC_DEADLINE_C, false, 0},
    {"popcnt", WORD_ECX, CPUID_POPCNT_C, true, 1u << FEAT_POPCNT},
    {"nx", WORD_EXT_EDX, CPUID_NX_X, false, 0},
    {"invtsc", WORD_POWER, CPUID_INVARIANT_TSC, false, 0},
};

static uint32_t *model_word(struct cpu_model *model, uint8_t word)
{
    switch (word) {
    case WORD_EDX:
        return &model->edx;
    case WORD_ECX:
        return &model->ecx;
    case WORD_EXT_EDX:
        return &model->ext_edx;
    default:
        return &model->power_edx;
    }
}

static bool switch_feature(struct cpu_model *model, const char *name, bool on)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        if (strcmp(features[i].name, name))
            continue;
        uint32_t *word = model_word(model, features[i].word);
        *word = on ? *word | features[i].bit : *word & ~features[i].bit;
        return true;
    }
    return false;
}

/* Only what the host has, and what follows from the bits. */
static void finish_model(struct cpu_model *model)
{
    uint32_t eax = 1, ebx, ecx = 0, edx;
    unsigned family = (model->signature >> 8) & 0xf;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    model->feats = 1u << FEAT_BASE;
    if (family >= 4)
        model->feats |= 1u << FEAT_I486 | 1u << FEAT_CPUID;
    if (family >= 6)
        model->feats |= 1u << FEAT_P6 | 1u << FEAT_NOPL;
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        uint32_t *word = model_word(model, features[i].word);
        uint32_t host = features[i].word == WORD_EDX ? edx : ecx;
        if (features[i].host && !(host & features[i].bit))
            *word &= ~features[i].bit;
        if (*word & features[i].bit)
            model->feats |= features[i].feats;
    }
    if (!(model->edx & CPUID_APIC) || !(model->edx & CPUID_TSC))
        model->ecx &= ~CPUID_TSC_DEADLINE_C;
    model->pse36 = model->edx & CPUID_PSE36;
    if (!(model->edx & CPUID_FPU))
        model->feats &= ~(1u << FEAT_FCMOV);
}

struct cpu_model *cpu_model_parse(const char *arg, GError **error)
{
    gchar **parts = g_strsplit(arg ? arg : "default", ",", -1);
    struct cpu_model *model = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        if (parts[0] && !strcmp(models[i].name, parts[0]))
            model = g_memdup2(&models[i], sizeof(models[i]));
    }
    if (!model) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "there is no CPU model '%s': use -cpu default, pentium3, pentium or 486", parts[0] ? parts[0] : "");
        g_strfreev(parts);
        return NULL;
    }
    for (unsigned i = 1; parts[i]; i++) {
        const char *part = parts[i];
        if ((part[0] != '+' && part[0] != '-') || !switch_feature(model, part + 1, part[0] == '+')) {
            GString *known = g_string_new(NULL);
            for (unsigned f = 0; f < G_N_ELEMENTS(features); f++)
                g_string_append_printf(known, " %s", features[f].name);
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "-cpu does not understand '%s': write +FEATURE or -FEATURE, of%s", part, known->str);
            g_string_free(known, TRUE);
            g_free(model);
            g_strfreev(parts);
            return NULL;
        }
    }
    g_strfreev(parts);
    finish_model(model);
    return model;
}

const struct cpu_model *cpuid_model_default(void)
{
    static struct cpu_model *model;

    if (!model)
        model = cpu_model_parse(NULL, NULL);
    return model;
}

static void cpuid_basic(const struct cpu_model *model, uint32_t leaf, uint32_t out[4])
{
    switch (leaf) {
    case 0:
        out[0] = model->max_leaf;
        memcpy(&out[1], model->vendor, 4);
        memcpy(&out[3], model->vendor + 4, 4);
        memcpy(&out[2], model->vendor + 8, 4);
        break;
    case 1:
        out[0] = model->signature;
        out[1] = (model->edx & CPUID_CLFSH) ? 8u << 8 : 0; /* CLFLUSH line: 8 quadwords */
        out[2] = model->ecx;
        out[3] = model->edx;
        break;
    case 2:
        out[0] = 0x00000001; /* one call tells all, and there is no descriptor */
        break;
    default: /* leaf 3: no serial number; leaf 4: no cache to describe */
        break;
    }
}

static void cpuid_extended(const struct cpu_model *model, uint32_t leaf, uint32_t out[4])
{
    switch (leaf) {
    case 0x80000000:
        out[0] = model->max_ext_leaf;
        break;
    case 0x80000001:
        out[2] = model->ext_ecx;
        out[3] = model->ext_edx;
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        memcpy(out, model->brand + (leaf - 0x80000002) * 16, 16);
        break;
    case 0x80000007:
        out[3] = model->power_edx;
        break;
    case 0x80000008:
        out[0] = model->phys_bits | 32u << 8;
        break;
    default:
        break;
    }
}

void cpu_model_cpuid(const struct cpu_model *model, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof(out[0]));
    if (leaf >= 0x80000000 && model->max_ext_leaf && leaf <= model->max_ext_leaf) {
        cpuid_extended(model, leaf, out);
        return;
    }
    /* Beyond the highest leaf Intel processors answer with the highest basic one. */
    cpuid_basic(model, leaf > model->max_leaf ? model->max_leaf : leaf, out);
}
