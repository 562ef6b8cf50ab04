/* The processor: registers, page tables, models, interrupts. Formats are those of QEMU's monitor. */
#include <string.h>

#include "commands.h"
#include "cpu/cpuid.h"
#include "cpu/paging.h"
#include "lock.h"
#include "mem.h"

#define OUT_MAX (800u * 1024u)

static void print_registers(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const struct cpu *cpu = commands_hold(context->machine);
    g_string_append(out, "\nCPU#0\n");
    cpu_print(cpu, out);
    commands_release(context->machine);
}

/* --- Page tables --- */

/* Calls take for every mapped page of 4 KiB or more, in order; it returns false to end. */
static void pages_walk(const struct cpu *cpu, bool (*take)(void *opaque, gla_t gla, const struct paging_result *page),
                       void *opaque)
{
    for (uint64_t gla = 0; gla <= 0xffffffff;) {
        struct paging_result page;
        uint64_t next = gla + PAGE_SIZE;
        if (paging_peek(cpu, (gla_t)gla, 0, &page)) {
            next = (gla | (page.page_size - 1)) + 1;
            if (!take(opaque, (gla_t)gla, &page))
                return;
        }
        gla = next;
    }
}

static bool tlb_print(void *opaque, gla_t gla, const struct paging_result *page)
{
    GString *out = opaque;
    g_string_append_printf(out, "%016x: %016llx %c%c%c%c%c--%c%c\n", gla, (unsigned long long)page->gpa,
                           page->nx ? 'X' : '-', page->global ? 'G' : '-', page->page_size > PAGE_SIZE ? 'P' : '-',
                           page->dirty ? 'D' : '-', page->accessed ? 'A' : '-', page->user ? 'U' : '-',
                           page->writable ? 'W' : '-');
    return out->len < OUT_MAX;
}

static void print_tlb(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const struct cpu *cpu = commands_hold(context->machine);
    if (cpu_is_paging(cpu))
        pages_walk(cpu, tlb_print, out);
    else
        g_string_append(out, "PG disabled\n");
    commands_release(context->machine);
}

/* A stretch of pages with the same rights. */
struct stretch {
    GString *out;
    uint64_t start, end;
    bool user, writable;
};

static void stretch_print(struct stretch *stretch)
{
    if (stretch->end > stretch->start)
        g_string_append_printf(stretch->out, "%016llx-%016llx %016llx %cr%c\n", (unsigned long long)stretch->start,
                               (unsigned long long)stretch->end, (unsigned long long)(stretch->end - stretch->start),
                               stretch->user ? 'u' : '-', stretch->writable ? 'w' : '-');
}

static bool stretch_add(void *opaque, gla_t gla, const struct paging_result *page)
{
    struct stretch *stretch = opaque;
    if (gla != stretch->end || page->user != stretch->user || page->writable != stretch->writable) {
        stretch_print(stretch);
        stretch->start = gla;
        stretch->user = page->user;
        stretch->writable = page->writable;
    }
    stretch->end = ((uint64_t)gla | (page->page_size - 1)) + 1;
    return stretch->out->len < OUT_MAX;
}

static void print_mem(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    struct stretch stretch = {.out = out};
    const struct cpu *cpu = commands_hold(context->machine);
    if (cpu_is_paging(cpu)) {
        pages_walk(cpu, stretch_add, &stretch);
        stretch_print(&stretch);
    } else {
        g_string_append(out, "PG disabled\n");
    }
    commands_release(context->machine);
}

/* --- Processors --- */

static json_t *query_cpus(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    return json_pack("[{s:i s:{s:i s:i s:i} s:s s:i s:s}]", "thread-id", vcpu_thread_id(machine->vcpu), "props",
                     "core-id", 0, "thread-id", 0, "socket-id", 0, "qom-path", "/machine/unattached/device[0]",
                     "cpu-index", 0, "target", "i386");
}

static void print_cpus(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    g_string_append_printf(out, "* CPU #0: thread_id=%lld\n",
                           (long long)arg_int(json_array_get(value, 0), "thread-id", 0));
}

static char *model_type(const char *name)
{
    return g_strdup_printf("%s-i386-cpu", name);
}

static json_t *query_definitions(struct command_context *context, json_t *args, GError **error)
{
    json_t *list = json_array();
    const char *name;
    for (unsigned i = 0; (name = cpu_model_name(i)); i++) {
        char *type = model_type(name);
        json_array_append_new(list,
                              json_pack("{s:s s:s s:[] s:b s:b s:b}", "name", name, "typename", type,
                                        "unavailable-features", "static", 0, "migration-safe", 1, "deprecated", 0));
        g_free(type);
    }
    return list;
}

static json_t *query_hotpluggable(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    char *type = model_type(machine->model->name);
    json_t *list = json_pack("[{s:{s:i s:i s:i} s:i s:s s:s}]", "props", "core-id", 0, "thread-id", 0, "socket-id", 0,
                             "vcpus-count", 1, "qom-path", "/machine/unattached/device[0]", "type", type);
    g_free(type);
    return list;
}

/* --- Interrupts, translated code --- */

static void print_irq(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    struct machine *machine = context->machine;
    g_string_append(out, "IRQ statistics:\n");
    machine_lock();
    for (unsigned line = 0; line < 16; line++) {
        uint64_t count = registry_irq_requests(machine->registry, line);
        if (count)
            g_string_append_printf(out, "%2u: %llu\n", line, (unsigned long long)count);
    }
    machine_unlock();
}

static bool register_read(struct command_context *context, const char *name, int64_t *value)
{
    static const char *const names[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    static const char *const segments[SEG_COUNT] = {
        [SEG_ES] = "es", [SEG_CS] = "cs", [SEG_SS] = "ss", [SEG_DS] = "ds", [SEG_FS] = "fs", [SEG_GS] = "gs"};
    const struct cpu *cpu = commands_hold(context->machine);
    bool found = true;
    if (strcmp(name, "eip") == 0 || strcmp(name, "pc") == 0)
        *value = (uint32_t)(cpu->seg[SEG_CS].base + cpu->eip);
    else if (strcmp(name, "eflags") == 0)
        *value = cpu->eflags;
    else
        found = false;
    for (unsigned i = 0; i < 8 && !found; i++) {
        found = strcmp(name, names[i]) == 0;
        *value = cpu->gpr[i];
    }
    for (unsigned i = 0; i < SEG_COUNT && !found && segments[i]; i++) {
        found = strcmp(name, segments[i]) == 0;
        *value = cpu->seg[i].sel;
        if (!found && g_str_has_prefix(name, segments[i]) && strcmp(name + 2, ".base") == 0) {
            found = true;
            *value = cpu->seg[i].base;
        }
    }
    commands_release(context->machine);
    return found;
}

static const struct schema_type types[] = {
    {"CpuInstanceProperties", "node-id:int? socket-id:int? die-id:int? cluster-id:int? core-id:int? thread-id:int?"},
    {"CpuInfoFast",
     "cpu-index:int qom-path:str thread-id:int props:CpuInstanceProperties? target:SysEmuTarget | target=i386:Empty"},
    {"CpuDefinitionInfo", "name:str migration-safe:bool? static:bool unavailable-features:[str]? typename:str "
                          "alias-of:str? deprecated:bool"},
    {"HotpluggableCPU", "type:str vcpus-count:int props:CpuInstanceProperties qom-path:str?"},
};

static const struct command rows[] = {
    {NULL, "info registers [-a:all]", "all:bool?", NULL, "the processor's registers", NULL, print_registers},
    {NULL, "info mem", NULL, NULL, "which virtual addresses are mapped", NULL, print_mem},
    {NULL, "info tlb", NULL, NULL, "every mapped page", NULL, print_tlb},
    {NULL, "info irq", NULL, NULL, "how often each interrupt line was asked for", NULL, print_irq},
    {"query-cpus-fast", "info cpus", NULL, "[CpuInfoFast]", "the processors", query_cpus, print_cpus},
    {"query-cpu-definitions", NULL, NULL, "[CpuDefinitionInfo]", "what -cpu knows", query_definitions, NULL},
    {"query-hotpluggable-cpus", NULL, NULL, "[HotpluggableCPU]", "processors that can be there", query_hotpluggable,
     NULL},
};

void commands_cpu_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    commands_add(rows, G_N_ELEMENTS(rows));
    command_set_register_reader(register_read);
}
