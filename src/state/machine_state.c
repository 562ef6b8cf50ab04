/* The whole machine as bytes: see machine_state.h. */
#include "machine_state.h"

#include <string.h>

#include "board/machine_internal.h"
#include "cpu/cpuid.h"
#include "mem.h"
#include "state.h"
#include "vclock.h"

#define MAGIC          "RNGRSTAT"
#define STREAM_VERSION 1u
#define CLOCK_MAX      (1ll << 60) /* ns: 36 years; sums of times must not overflow */

static GQuark state_error(void)
{
    return g_quark_from_static_string("ringer-state");
}

#define FAIL(...) (g_set_error(error, state_error(), 0, __VA_ARGS__), false)

/* --- Sections --- */

static void put(GByteArray *out, const void *bytes, size_t len)
{
    g_byte_array_append(out, bytes, (guint)len);
}

static void section_add(GByteArray *out, const char *name, uint32_t version, const GByteArray *body)
{
    uint8_t name_len = (uint8_t)strlen(name);
    uint64_t size = body->len;
    put(out, &name_len, 1);
    put(out, name, name_len);
    put(out, &version, sizeof(version));
    put(out, &size, sizeof(size));
    put(out, body->data, body->len);
}

struct section {
    char name[256];
    uint32_t version;
    const uint8_t *bytes;
    size_t len;
};

/* False: the stream ends in the middle. */
static bool section_next(const uint8_t **at, const uint8_t *end, struct section *section)
{
    uint64_t size;
    size_t name_len = **at, left = (size_t)(end - *at) - 1;
    if (left < name_len + sizeof(section->version) + sizeof(size))
        return false;
    memcpy(section->name, *at + 1, name_len);
    section->name[name_len] = 0;
    memcpy(&section->version, *at + 1 + name_len, sizeof(section->version));
    memcpy(&size, *at + 1 + name_len + sizeof(section->version), sizeof(size));
    left -= name_len + sizeof(section->version) + sizeof(size);
    if (size > left)
        return false;
    section->bytes = end - left;
    section->len = (size_t)size;
    *at = section->bytes + size;
    return true;
}

/* --- What the machine is made of --- */

/* Values that a guest can notice: numbers and switches. Which file or back end is behind a device may differ. */
static void instance_describe(const struct instance *instance, GString *out)
{
    g_string_append_printf(out, "device %s %s on bus %d.%u at %x", instance->class->name, instance->id,
                           instance->class->bus, instance->site.bus, instance->site.unit);
    for (const struct property *p = instance->class->properties; p && p->name; p++) {
        const uint8_t *at = (const uint8_t *)instance->config + p->offset;
        uint64_t number = 0;
        if (p->type != PROPERTY_NUMBER && p->type != PROPERTY_BOOL)
            continue;
        memcpy(&number, at, p->size);
        g_string_append_printf(out, " %s=%llu", p->name, (unsigned long long)number);
    }
    g_string_append_c(out, '\n');
}

static GByteArray *description(const struct machine *machine)
{
    const struct cpu_model *model = machine->model;
    const struct instance *instance;
    GString *out = g_string_new(NULL);
    g_string_append_printf(out, "memory %llu bytes\n", (unsigned long long)machine->options.ram_size);
    g_string_append_printf(out, "processor %s %08x features %08x %08x %08x %08x %08x\n", model->name, model->signature,
                           model->edx, model->ecx, model->ext_edx, model->ext_ecx, model->feats);
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++)
        instance_describe(instance, out);
    gsize len = out->len;
    return g_byte_array_new_take((guint8 *)g_string_free(out, FALSE), len);
}

static bool description_fits(const struct machine *machine, const struct section *section, GError **error)
{
    GByteArray *own = description(machine);
    char *theirs = g_strndup((const char *)section->bytes, section->len);
    char *ours = g_strndup((const char *)own->data, own->len);
    char **a = g_strsplit(theirs, "\n", -1), **b = g_strsplit(ours, "\n", -1);
    unsigned i = 0;
    bool ok;
    while (a[i] && b[i] && strcmp(a[i], b[i]) == 0)
        i++;
    ok =
        (!a[i] && !b[i]) || FAIL("this state is of another machine: it has '%s', here is '%s'; give the options it was "
                                 "saved with",
                                 a[i] && *a[i] ? a[i] : "nothing more", b[i] && *b[i] ? b[i] : "nothing more");
    g_strfreev(a);
    g_strfreev(b);
    g_free(theirs);
    g_free(ours);
    g_byte_array_unref(own);
    return ok;
}

/* --- Clock, board --- */

struct clock_saved {
    int64_t now, wall_base;
};
static const struct state_field clock_fields[] = {STATE_FIELD(clock_saved, now), STATE_FIELD(clock_saved, wall_base)};
static const struct state_layout clock_layout = STATE_LAYOUT(1, clock_saved, clock_fields);

struct board_saved {
    uint8_t was_reset;
};
static const struct state_field board_fields[] = {STATE_FIELD(board_saved, was_reset)};
static const struct state_layout board_layout = STATE_LAYOUT(1, board_saved, board_fields);

static GByteArray *layout_bytes(const struct state_layout *layout, const void *regs)
{
    GByteArray *body = g_byte_array_new();
    state_save(layout, regs, body);
    return body;
}

/* --- Saving --- */

static void section_take(GByteArray *out, const char *name, GByteArray *body)
{
    section_add(out, name, 1, body);
    g_byte_array_unref(body);
}

void machine_save(struct machine *machine, GByteArray *out)
{
    const struct instance *instance;
    uint32_t version = STREAM_VERSION;

    machine_pause(machine, PAUSE_SNAPSHOT);
    machine_lock();
    /* All of them before the first is saved: a sound card that plays what is due moves the DMA controller's counts, and
     * raises its interrupt. */
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++)
        device_before_save(instance->class, instance->dev);
    put(out, MAGIC, strlen(MAGIC));
    put(out, &version, sizeof(version));
    section_take(out, "machine", description(machine));
    section_take(out, "clock", layout_bytes(&clock_layout, &(struct clock_saved){vclock_now(), vclock_wall_base()}));
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        char *name = g_strdup_printf("device/%s", instance->id);
        GByteArray *body = g_byte_array_new();
        device_save(instance->class, instance->dev, body);
        section_take(out, name, body);
        g_free(name);
    }
    section_take(out, "board", layout_bytes(&board_layout, &(struct board_saved){machine->was_reset}));
    GByteArray *body = g_byte_array_new();
    mem_save_ram(body);
    section_take(out, "ram", body);
    body = g_byte_array_new();
    mem_save_shadow(body);
    section_take(out, "shadow", body);
    body = g_byte_array_new();
    vcpu_save(machine->vcpu, body);
    section_take(out, "cpu", body);
    machine_unlock();
    machine_resume(machine, PAUSE_SNAPSHOT);
}

/* --- Loading --- */

static const struct instance *instance_find(const struct machine *machine, const char *id)
{
    const struct instance *instance;
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        if (strcmp(instance->id, id) == 0)
            return instance;
    }
    return NULL;
}

/* The machine's own sections, by name; false: the bytes do not fit. */
static bool own_section_load(struct machine *machine, const struct section *section, bool *known)
{
    *known = true;
    if (strcmp(section->name, "clock") == 0) {
        struct clock_saved clock;
        if (!state_load(&clock_layout, &clock, section->bytes, section->len) || clock.now < 0 ||
            clock.now > CLOCK_MAX || ABS(clock.wall_base / 2) > 1ll << 40)
            return false;
        vclock_set(clock.now);
        vclock_set_wall_base(clock.wall_base + clock.now / NS_PER_SECOND);
        return true;
    }
    if (strcmp(section->name, "board") == 0) {
        struct board_saved board;
        bool ok = state_load(&board_layout, &board, section->bytes, section->len);
        machine->was_reset = ok && board.was_reset;
        return ok;
    }
    if (strcmp(section->name, "ram") == 0)
        return mem_load_ram(section->bytes, section->len);
    if (strcmp(section->name, "shadow") == 0)
        return mem_load_shadow(section->bytes, section->len);
    if (strcmp(section->name, "cpu") == 0)
        return vcpu_load(machine->vcpu, section->bytes, section->len);
    *known = false;
    return false;
}

static bool section_load(struct machine *machine, const struct section *section, GError **error)
{
    bool known;
    if (section->version != 1)
        return FAIL("this state's section '%s' is of version %u, which this Ringer does not know", section->name,
                    section->version);
    if (strcmp(section->name, "machine") == 0)
        return description_fits(machine, section, error);
    if (g_str_has_prefix(section->name, "device/")) {
        const struct instance *instance = instance_find(machine, section->name + strlen("device/"));
        if (!instance)
            return FAIL("this state has a device '%s', this machine has not", section->name);
        return device_load_regs(instance->class, instance->dev, section->bytes, section->len) ||
               FAIL("this state of '%s' is damaged or of another version", section->name);
    }
    return own_section_load(machine, section, &known) ||
           (known ? FAIL("this state's section '%s' is damaged or of another version", section->name)
                  : FAIL("this state has a section '%s', which this Ringer does not know", section->name));
}

/* All registers are there: wires are driven and timers armed. Memory comes after it, as some of them move it about. */
static bool devices_after_load(struct machine *machine, GError **error)
{
    const struct instance *instance;
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        if (!device_after_load(instance->class, instance->dev))
            return FAIL("this state of '%s' makes no sense", instance->id);
    }
    return true;
}

static bool stream_load(struct machine *machine, const uint8_t *bytes, size_t len, GError **error)
{
    static const char *const needed[] = {"machine", "clock", "board", "ram", "shadow", "cpu"};
    const uint8_t *at = bytes + strlen(MAGIC) + sizeof(uint32_t), *end = bytes + len;
    unsigned seen = 0;
    uint32_t version;
    bool devices = false;

    if (len < strlen(MAGIC) + sizeof(version) || memcmp(bytes, MAGIC, strlen(MAGIC)) != 0)
        return FAIL("this is not the state of a machine");
    memcpy(&version, bytes + strlen(MAGIC), sizeof(version));
    if (version != STREAM_VERSION)
        return FAIL("this state is of format %u; this Ringer reads format %u", version, STREAM_VERSION);
    while (at < end) {
        struct section section;
        if (!section_next(&at, end, &section))
            return FAIL("this state is cut off");
        if (strcmp(section.name, "machine") != 0 && !(seen & 1))
            return FAIL("this state does not begin with what machine it is of");
        if (devices && (strcmp(section.name, "clock") == 0 || g_str_has_prefix(section.name, "device/")))
            return FAIL("this state has its section '%s' behind the memory", section.name);
        for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++)
            seen |= (strcmp(section.name, needed[i]) == 0) << i;
        if (strcmp(section.name, "ram") == 0 && !devices) {
            devices = true;
            if (!devices_after_load(machine, error))
                return false;
        }
        if (!section_load(machine, &section, error))
            return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (!(seen & 1u << i))
            return FAIL("this state lacks its section '%s'", needed[i]);
    }
    return true;
}

bool machine_load(struct machine *machine, const uint8_t *bytes, size_t len, GError **error)
{
    machine_pause(machine, PAUSE_SNAPSHOT);
    machine_lock();
    bool ok = stream_load(machine, bytes, len, error);
    machine_unlock();
    machine_resume(machine, PAUSE_SNAPSHOT);
    return ok;
}
