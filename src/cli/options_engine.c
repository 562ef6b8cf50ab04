/* The command line: machine, memory, processor and engine. */
#include "options_internal.h"

#include <stdlib.h>
#include <string.h>

#include "board/machine.h"
#include "keyvalue.h"
#include "log.h"

static enum accel_kind own_engine(void)
{
    return ACCEL_DIRECT;
}

/* One more engine to try, behind those named before. */
static bool engine_add(struct parse *parse, const char *flag, const char *name, GError **error)
{
    enum accel_kind kind = ACCEL_COUNT;
    if (strcmp(name, "tcg") == 0 || strcmp(name, "auto") == 0)
        kind = own_engine();
    for (unsigned i = 0; i < ACCEL_COUNT; i++) {
        if (strcmp(name, vcpu_accel_name(i)) == 0)
            kind = i;
    }
    if (kind == ACCEL_COUNT)
        return FAIL("%s: there is no engine '%s'; choose direct, bt, interp, lockstep or kvm", flag, name);
    if (parse->engine_count == ENGINES_MAX)
        return FAIL("%s: more than %u engines are named", flag, ENGINES_MAX);
    parse->engine[parse->engine_count++] = kind;
    return true;
}

/* names may be a list "kvm:tcg", first choice first. */
static bool engine_parse(struct parse *parse, const char *flag, const char *names, GError **error)
{
    char **name = g_strsplit(names, ":", -1);
    bool ok = true;
    for (unsigned i = 0; name[i] && ok; i++)
        ok = engine_add(parse, flag, name[i], error);
    g_strfreev(name);
    if (ok && !names[0])
        ok = engine_add(parse, flag, "", error);
    g_snprintf(parse->engine_why, sizeof(parse->engine_why), "%s %s", flag, names);
    return ok;
}

/* Of several engines the first that works here. */
void engine_settle(struct parse *parse)
{
    struct options *options = parse->options;
    GString *why = g_string_new(parse->engine_why);
    unsigned i = 0;

    if (!parse->engine_count)
        parse->engine[parse->engine_count++] = own_engine();
    /* Scripts say kvm where they mean "fast": without it there is still a machine. */
    if (parse->engine[parse->engine_count - 1] == ACCEL_KVM && !parse->no_fallback && parse->engine_count < ENGINES_MAX)
        parse->engine[parse->engine_count++] = own_engine();
    for (; i + 1 < parse->engine_count; i++) {
        GError *error = NULL;
        if (vcpu_accel_works(parse->engine[i], &error))
            break;
        g_string_append_printf(why, "; %.*s", (int)strcspn(error->message, ";"), error->message);
        g_error_free(error);
    }
    options->accel = parse->engine[i];
    g_strlcpy(options->accel_why, why->str, sizeof(options->accel_why));
    g_string_free(why, TRUE);
}

static bool accel_item(struct parse *parse, const char *key, const char *value, GError **error)
{
    bool on;
    uint64_t mib;
    if (strcmp(key, "accel") == 0)
        return engine_parse(parse, "-accel", value, error);
    if (strcmp(key, "thread") == 0) /* an option of QEMU's TCG that changes nothing a guest sees */
        return true;
    if (strcmp(key, "fallback") == 0 || strcmp(key, "always") == 0) {
        if (!value_is_switch(value, &on))
            return FAIL("-accel: %s is on or off, not '%s'", key, value);
        if (key[0] == 'f')
            parse->no_fallback = !on;
        else
            parse->options->direct_always = on;
        return true;
    }
    if (strcmp(key, "tb-size") == 0) {
        if (!value_is_number(value, 1024, &mib) || !mib)
            return FAIL("-accel: tb-size is the size of the code cache in MiB, from 1 to 1024, not '%s'", value);
        parse->options->tb_size = (unsigned)mib;
        return true;
    }
    return FAIL("-accel: option '%s' is not known", key);
}

bool set_accel(struct parse *parse, const char *arg, GError **error)
{
    return list_parse(arg, "-accel", "accel", accel_item, parse, error);
}

bool set_enable_kvm(struct parse *parse, const char *arg, GError **error)
{
    bool ok = engine_parse(parse, "-enable-kvm", "kvm:tcg", error);
    g_strlcpy(parse->engine_why, "-enable-kvm", sizeof(parse->engine_why));
    return ok;
}

/* Boards: pc, whatever version of it; and what stands in for others. */
static bool board_parse(struct parse *parse, const char *type, GError **error)
{
    const struct machine_type *known = machine_type_find(type);
    if (known) {
        parse->options->isapc = known->is_isa;
        return true;
    }
    if (g_str_has_prefix(type, "pc-0.") || g_str_has_prefix(type, "pc-1."))
        return true;
    if (strcmp(type, "q35") == 0 || g_str_has_prefix(type, "pc-q35")) {
        log_user("-machine %s: there is no Q35 chipset; it is an i440FX PC, 'pc'", type);
        return true;
    }
    return FAIL("-machine: there is no '%s'; this is an i440FX PC, 'pc'", type);
}

/* Keys of -machine that change nothing here, or nothing that is not so already. */
static bool machine_key_is_idle(const char *key)
{
    static const char *const idle[] = {"dump-guest-core",
                                       "memory-backend", /* RAM is what -m says */
                                       "kernel-irqchip",
                                       "kernel_irqchip",
                                       "mem-merge",
                                       "nvdimm",
                                       "smm",
                                       "memory-encryption",
                                       "max-ram-below-4g",
                                       "suppress-vmdesc",
                                       "phandle_start",
                                       "igd-passthru",
                                       "smbus",
                                       "sata",
                                       "pit",
                                       "pic",
                                       "rtc"};
    for (unsigned i = 0; i < G_N_ELEMENTS(idle); i++) {
        if (strcmp(idle[i], key) == 0)
            return true;
    }
    return false;
}

static bool machine_key_set(struct parse *parse, const char *key, const char *value, GError **error)
{
    struct options *options = parse->options;
    bool on;
    if (strcmp(key, "type") == 0)
        return board_parse(parse, value, error);
    if (strcmp(key, "accel") == 0)
        return engine_parse(parse, "-machine accel", value, error);
    if (strcmp(key, "hpet") == 0 || strcmp(key, "acpi") == 0 || strcmp(key, "usb") == 0 ||
        strcmp(key, "fd-bootchk") == 0) {
        if (!value_is_switch(value, &on))
            return FAIL("-machine: %s is on or off, not '%s'", key, value);
        if (key[0] == 'h')
            options->no_hpet = !on;
        else if (key[0] == 'a')
            options->no_acpi = !on;
        else if (key[0] == 'f')
            options->drives.no_floppy_signature = !on;
        else
            options->usb = on;
        return true;
    }
    if (strcmp(key, "vmport") == 0) {
        on = true;
        if (strcmp(value, "auto") != 0 && !value_is_switch(value, &on))
            return FAIL("-machine: vmport is on, off or auto, not '%s'", value);
        options->no_vmport = !on;
        return true;
    }
    if (strcmp(key, "pcspk-audiodev") == 0) {
        options->speaker_audiodev = g_intern_string(value);
        return true;
    }
    if (machine_key_is_idle(key))
        return true;
    if (strcmp(key, "graphics") == 0)
        return strcmp(value, "off") != 0 || set_nographic(parse, NULL, error);
    return FAIL("-machine: option '%s' is not known", key);
}

bool set_machine(struct parse *parse, const char *arg, GError **error)
{
    return list_parse(arg, "-machine", "type", machine_key_set, parse, error);
}

bool set_memory(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-m", "size", error);
    if (!list)
        return false;
    const char *size = keyvalues_get(list, "size");
    uint64_t bytes = RAM_DEFAULT;
    bool ok = true;
    /* Memory that could be plugged in later: a board of these years takes none. */
    keyvalues_get(list, "maxmem");
    keyvalues_get(list, "slots");
    const char *unknown = keyvalues_unused(list);
    if (unknown)
        ok = FAIL("-m: '%s' is not supported; give only a size, as in -m 256", unknown);
    else if (!arg[0] || (size && !value_is_size(size, 20, &bytes)))
        ok = FAIL("-m: '%s' is not a size; write for example -m 256 (MiB) or -m 1G", size ? size : "");
    else if (bytes < MiB || bytes % PAGE_SIZE)
        ok = FAIL("-m: '%s' is out of range; this PC takes at least 1 MiB", size);
    if (ok && bytes > RAM_MAX_MIB * MiB) {
        log_user("-m %s: this PC takes %u MiB, and gets them", size, RAM_MAX_MIB);
        bytes = RAM_MAX_MIB * MiB;
    }
    if (ok)
        parse->options->ram_size = bytes;
    keyvalues_free(list);
    return ok;
}

bool set_cpu(struct parse *parse, const char *arg, GError **error)
{
    parse->options->cpu = arg;
    return true;
}

/* One processor, whatever the wish: guests run on one as well. */
bool set_smp(struct parse *parse, const char *arg, GError **error)
{
    static const char *const keys[] = {"cpus", "cores", "threads", "sockets", "dies", "clusters", "maxcpus"};
    struct keyvalues *list = keyvalues_parse(arg, "-smp", "cpus", error);
    uint64_t number, cpus = 0, product = 1;
    bool ok = list;
    for (unsigned i = 0; ok && i < G_N_ELEMENTS(keys); i++) {
        const char *value = keyvalues_get(list, keys[i]);
        if (!value)
            continue;
        if (!value_is_number(value, 4096, &number) || !number)
            ok = FAIL("-smp: '%s' is not a number of processors", value);
        else if (i == 0)
            cpus = number;
        else if (strcmp(keys[i], "maxcpus") != 0)
            product *= number;
    }
    const char *unknown = ok ? keyvalues_unused(list) : NULL;
    if (unknown)
        ok = FAIL("-smp: option '%s' is not known", unknown);
    if (ok && (cpus ? cpus : product) > 1)
        log_user("-smp %s: this PC has one processor", arg);
    keyvalues_free(list);
    return ok;
}
