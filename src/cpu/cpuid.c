/* CPU models and CPUID. Intel SDM vol. 2A, CPUID; vol. 3A, chapter 22 for what came when.
 *
 * The default is an Intel Atom of the Bonnell core (family 6, model 1Ch): an in-order processor that does
 * not speculate, so that kernels neither build retpolines nor isolate page tables (Linux: cpu_vuln_whitelist,
 * NO_SPECULATION). Stepping 10, since kernels distrust large pages of steppings up to 2. It has the local APIC's timer
 * by the TSC, unlike the real one: kernels then need not measure the APIC's frequency for 0.1 s at each start. */
#include "cpuid.h"

#include <string.h>

#include "log.h"

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
    /* QEMU's 32-bit models, less what does not run here: MCE, MCA, 3DNow!, and what belongs to 64-bit mode. */
    {.name = "n270",
     .vendor = "GenuineIntel",
     .brand = "Intel(R) Atom(TM) CPU N270   @ 1.60GHz",
     .signature = 0x106c2,
     .max_leaf = 10,
     .max_ext_leaf = 0x80000008,
     .edx = EDX_P6 | CPUID_CLFSH | CPUID_SSE2,
     .ecx = CPUID_SSE3_C | CPUID_SSSE3_C | CPUID_MOVBE_C,
     .ext_edx = CPUID_NX_X,
     .phys_bits = 36},
    {.name = "core2duo",
     .vendor = "GenuineIntel",
     .brand = "Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz",
     .signature = 0x6fb,
     .max_leaf = 10,
     .max_ext_leaf = 0x80000008,
     .edx = EDX_P6 | CPUID_PSE36 | CPUID_CLFSH | CPUID_SSE2,
     .ecx = CPUID_SSE3_C | CPUID_SSSE3_C,
     .ext_edx = CPUID_NX_X,
     .phys_bits = 36},
    {.name = "coreduo",
     .vendor = "GenuineIntel",
     .brand = "Genuine Intel(R) CPU           T2600  @ 2.16GHz",
     .signature = 0x6e8,
     .max_leaf = 10,
     .max_ext_leaf = 0x80000008,
     .edx = EDX_P6 | CPUID_CLFSH | CPUID_SSE2,
     .ecx = CPUID_SSE3_C,
     .ext_edx = CPUID_NX_X,
     .phys_bits = 36},
    {.name = "qemu32",
     .vendor = "GenuineIntel",
     .brand = "QEMU Virtual CPU version 2.5+",
     .signature = 0x663,
     .max_leaf = 4,
     .max_ext_leaf = 0x80000004,
     .edx = EDX_P6 | CPUID_SSE2,
     .ecx = CPUID_SSE3_C,
     .phys_bits = 36},
    {.name = "kvm32",
     .vendor = "GenuineIntel",
     .brand = "Common 32-bit KVM processor",
     .signature = 0xf61,
     .max_leaf = 5,
     .max_ext_leaf = 0x80000008,
     .edx = EDX_P6 | CPUID_PSE36 | CPUID_CLFSH | CPUID_SSE2,
     .ecx = CPUID_SSE3_C,
     .phys_bits = 36},
    {.name = "athlon",
     .vendor = "AuthenticAMD",
     .brand = "QEMU Virtual CPU version 2.5+",
     .signature = 0x623,
     .max_leaf = 2,
     .max_ext_leaf = 0x80000008,
     .edx = EDX_P6 | CPUID_PSE36 | CPUID_SSE2,
     .phys_bits = 36},
    {.name = "pentium3",
     .vendor = "GenuineIntel",
     .signature = 0x673,
     .max_leaf = 3,
     .edx = EDX_P6 | CPUID_PSE36,
     .phys_bits = 36},
    {.name = "pentium2",
     .vendor = "GenuineIntel",
     .signature = 0x652,
     .max_leaf = 2,
     .edx = (EDX_P6 & ~CPUID_SSE) | CPUID_PSE36,
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

/* QEMU's names of 64-bit models, by how they begin, and of what means "as much as there is". */
static const char *const wide_models[] = {
    "host",           "max",          "base",        "qemu64",    "kvm64",    "Broadwell",     "Cascadelake",
    "Conroe",         "Cooperlake",   "Denverton",   "Dhyana",    "EPYC",     "GraniteRapids", "Haswell",
    "Icelake",        "IvyBridge",    "KnightsMill", "Nehalem",   "Opteron",  "Penryn",        "SandyBridge",
    "SapphireRapids", "SierraForest", "Skylake",     "Snowridge", "Westmere", "phenom"};

static bool is_wide_model(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(wide_models); i++) {
        if (g_str_has_prefix(name, wide_models[i]))
            return true;
    }
    return false;
}

/* The most that runs here: the default with the newer instruction sets that the host has as well. */
static struct cpu_model *best_model(void)
{
    struct cpu_model *model = g_memdup2(&models[0], sizeof(models[0]));
    model->ecx |= CPUID_SSE41_C | CPUID_SSE42_C | CPUID_POPCNT_C;
    return model;
}

const char *cpu_model_name(unsigned i)
{
    return i < G_N_ELEMENTS(models) ? models[i].name : NULL;
}

static struct cpu_model *find_model(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        if (strcmp(models[i].name, name) == 0)
            return g_memdup2(&models[i], sizeof(models[i]));
    }
    return is_wide_model(name) ? best_model() : NULL;
}

/* "+sse", "-sse", "sse=on", "sse=off". What QEMU's models can have and these cannot is understood: off is what it is,
 * and on is told in *not_here. False: it is no feature. */
static bool feature_parse(struct cpu_model *model, const char *part, const char **not_here)
{
    static const char *const others[] = {"3dnow",      "3dnowext",
                                         "abm",        "acpi",
                                         "adx",        "aes",
                                         "arat",       "avx",
                                         "avx2",       "bmi1",
                                         "bmi2",       "check",
                                         "clflushopt", "cx16",
                                         "dca",        "ds",
                                         "enforce",    "erms",
                                         "f16c",       "fma",
                                         "fsgsbase",   "host-phys-bits",
                                         "ht",         "hypervisor",
                                         "invpcid",    "kvm",
                                         "lahf-lm",    "lahf_lm",
                                         "lm",         "mca",
                                         "mce",        "migratable",
                                         "mmxext",     "monitor",
                                         "osxsave",    "pcid",
                                         "pclmulqdq",  "pdpe1gb",
                                         "pmu",        "pni",
                                         "rdrand",     "rdseed",
                                         "rdtscp",     "smap",
                                         "smep",       "ss",
                                         "svm",        "syscall",
                                         "tm",         "umip",
                                         "vmx",        "x2apic",
                                         "xsave",      "xsaveopt"};
    bool on = part[0] == '+';
    char name[32];
    if (part[0] == '+' || part[0] == '-') {
        g_strlcpy(name, part + 1, sizeof(name));
    } else {
        const char *equals = strchr(part, '=');
        on = !equals || strcmp(equals + 1, "on") == 0 || strcmp(equals + 1, "true") == 0;
        g_snprintf(name, sizeof(name), "%.*s", equals ? (int)(equals - part) : (int)strlen(part), part);
        if (!equals) /* how strictly the host's features are looked at: nothing depends on them here */
            return strcmp(name, "check") == 0 || strcmp(name, "enforce") == 0;
        if (g_str_has_prefix(name, "hv_") || g_str_has_prefix(name, "hv-") || g_str_has_prefix(name, "kvm")) {
            *not_here = on ? part : *not_here;
            return true;
        }
    }
    if (switch_feature(model, strcmp(name, "pni") == 0 ? "sse3" : name, on))
        return true;
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        if (strcmp(others[i], name) == 0) {
            if (on)
                *not_here = part;
            return true;
        }
    }
    return false;
}

static void unknown_model(const char *name, GError **error)
{
    GString *known = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++)
        g_string_append_printf(known, "%s%s", i ? ", " : "", models[i].name);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "there is no CPU model '%s': use -cpu with one of %s, or max", name, known->str);
    g_string_free(known, TRUE);
}

static void unknown_feature(const char *part, GError **error)
{
    GString *known = g_string_new(NULL);
    for (unsigned f = 0; f < G_N_ELEMENTS(features); f++)
        g_string_append_printf(known, " %s", features[f].name);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "-cpu does not understand '%s': write +FEATURE or -FEATURE, of%s", part, known->str);
    g_string_free(known, TRUE);
}

struct cpu_model *cpu_model_parse(const char *arg, GError **error)
{
    gchar **parts = g_strsplit(arg ? arg : "default", ",", -1);
    const char *name = parts[0] ? parts[0] : "", *not_here = NULL;
    struct cpu_model *model = find_model(name);

    if (!model)
        unknown_model(name, error);
    for (unsigned i = 1; model && parts[i]; i++) {
        if (!feature_parse(model, parts[i], &not_here)) {
            unknown_feature(parts[i], error);
            g_free(model);
            model = NULL;
        }
    }
    if (model && is_wide_model(name))
        log_user("-cpu %s: this PC has a 32-bit processor; it is the best model that runs here", name);
    if (model && not_here)
        log_user("-cpu: '%s' is not there, and not shown", not_here);
    g_strfreev(parts);
    if (model)
        finish_model(model);
    return model;
}

void cpu_model_hide_apic(struct cpu_model *model)
{
    model->edx &= ~CPUID_APIC;
    model->ecx &= ~CPUID_TSC_DEADLINE_C;
}

const struct cpu_model *cpuid_model_default(void)
{
    static struct cpu_model *model;

    if (!model)
        model = cpu_model_parse(NULL, NULL);
    return model;
}

/* Leaf 4: the caches of leaf 2, one by one. */
static void cpuid_cache(uint32_t subleaf, uint32_t out[4])
{
    static const struct {
        uint8_t type, level; /* type: 1 data, 2 code, 3 both */
        uint16_t ways, sets;
    } caches[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 8, 4096}};
    if (subleaf >= G_N_ELEMENTS(caches))
        return;
    out[0] = caches[subleaf].type | (uint32_t)caches[subleaf].level << 5 | 1u << 8; /* initializes itself */
    out[1] = (caches[subleaf].ways - 1u) << 22 | (64 - 1);
    out[2] = caches[subleaf].sets - 1u;
}

static void cpuid_basic(const struct cpu_model *model, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
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
    case 2: /* one call tells all; L1 of 32 KiB data and 32 KiB code, L2 of 2 MiB, lines of 64 bytes */
        out[0] = 0x00000001;
        out[3] = 0x002c307d;
        break;
    case 4:
        cpuid_cache(subleaf, out);
        break;
    default: /* leaf 3: no serial number */
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
    case 0x80000005: /* AMD: TLBs, then L1 data and code of 32 KiB */
        if (strcmp(model->vendor, "AuthenticAMD") == 0) {
            out[0] = out[1] = 0x01ff01ff;
            out[2] = out[3] = 32u << 24 | 8u << 16 | 1u << 8 | 64;
        }
        break;
    case 0x80000006: /* L2: KiB, code for 8 ways, line */
        out[2] = 2048u << 16 | 6u << 12 | 64;
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
    cpuid_basic(model, leaf > model->max_leaf ? model->max_leaf : leaf, subleaf, out);
}
