/* Guest memory: looked at, computed with, saved. Formats are those of QEMU's monitor. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "disassemble.h"
#include "cpu/paging.h"
#include "engine/debug_memory.h"
#include "files.h"
#include "ioport.h"
#include "lock.h"
#include "mem.h"

#define OUT_MAX   (800u * 1024u) /* of one command: a client who reads late is cut off at a megabyte */
#define COUNT_MAX 65536u
#define CHUNK     (1024u * 1024u)

/* --- Reading without effects --- */

/* How many of the len bytes from address on could be read. cpu NULL: address is physical. */
static size_t memory_read(const struct cpu *cpu, uint64_t address, uint8_t *bytes, size_t len)
{
    machine_lock();
    size_t done = debug_peek(cpu, address, bytes, len);
    machine_unlock();
    return done;
}

/* --- x, xp --- */

static void number_print(GString *out, char format, unsigned size, uint64_t value)
{
    unsigned bits = size * 8;
    int64_t value_signed = (int64_t)(value << (64 - bits)) >> (64 - bits);
    switch (format) {
    case 'x':
        g_string_append_printf(out, " 0x%0*llx", (int)(2 * size), (unsigned long long)value);
        break;
    case 'o':
        g_string_append_printf(out, " %#*llo", (int)((bits + 2) / 3), (unsigned long long)value);
        break;
    case 'u':
        g_string_append_printf(out, " %*llu", (int)((bits * 10 + 32) / 33), (unsigned long long)value);
        break;
    case 'd':
        g_string_append_printf(out, " %*lld", (int)((bits * 10 + 32) / 33), (long long)value_signed);
        break;
    case 'c':
        g_string_append(out, value == '\'' ? " '\\''" : value == '\\' ? " '\\\\'" : "");
        if (value == '\'' || value == '\\')
            break;
        if (value == '\n' || value == '\r')
            g_string_append(out, value == '\n' ? " '\\n'" : " '\\r'");
        else if (value >= 32 && value < 127)
            g_string_append_printf(out, " '%c'", (char)value);
        else
            g_string_append_printf(out, " '\\x%02x'", (unsigned)(value & 0xff));
        break;
    }
}

static bool code_print(const struct cpu *cpu, bool physical, uint64_t address, uint64_t count, GString *out)
{
    for (uint64_t i = 0; i < count && out->len < OUT_MAX; i++) {
        uint8_t bytes[INSN_LONGEST];
        size_t len = memory_read(physical ? NULL : cpu, address, bytes, sizeof(bytes));
        if (!len)
            return false;
        address += disassemble_one(bytes, len, address, cpu_code32(cpu), out);
    }
    return true;
}

static void memory_print(struct command_context *context, json_t *args, bool physical, GString *out)
{
    uint64_t count = (uint64_t)arg_int(args, "count", 1), address = (uint64_t)arg_int(args, "addr", 0);
    const char *wanted = arg_str(args, "format");
    char format = wanted ? *wanted : 'x';
    unsigned size = format == 'c' ? 1 : (unsigned)arg_int(args, "size", 4);
    unsigned in_line = format == 'c' ? 16 : size == 1 ? 8 : 16 / size;
    bool ok = true;

    if (count > COUNT_MAX) {
        g_string_append_printf(out, "at most %u at a time\n", COUNT_MAX);
        return;
    }
    if (!physical)
        address &= 0xffffffff;
    const struct cpu *cpu = commands_hold(context->machine);
    if (format == 'i' || format == 's') {
        ok = code_print(cpu, physical, address, count, out);
        count = 0;
    }
    for (uint64_t i = 0; ok && i < count && out->len < OUT_MAX; i++) {
        uint64_t value = 0;
        if (memory_read(physical ? NULL : cpu, address, (uint8_t *)&value, size) < size) {
            ok = false;
            break;
        }
        if (i % in_line == 0)
            g_string_append_printf(out, "%s%0*llx:", i ? "\n" : "", physical ? 16 : 8, (unsigned long long)address);
        number_print(out, format, size, value);
        address += size;
    }
    commands_release(context->machine);
    if (count && out->len && out->str[out->len - 1] != '\n')
        g_string_append_c(out, '\n');
    if (!ok)
        g_string_append(out, "Cannot access memory\n");
}

static void print_x(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    memory_print(context, args, false, out);
}

static void print_xp(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    memory_print(context, args, true, out);
}

static void print_print(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const char *wanted = arg_str(args, "format");
    long long number = arg_int(args, "val", 0);
    switch (wanted ? *wanted : 'd') {
    case 'x':
        g_string_append_printf(out, "%#llx\n", (unsigned long long)number);
        break;
    case 'o':
        g_string_append_printf(out, "%#llo\n", (unsigned long long)number);
        break;
    case 'u':
        g_string_append_printf(out, "%llu\n", (unsigned long long)number);
        break;
    case 'c': {
        GString *character = g_string_new(NULL);
        number_print(character, 'c', 1, (uint64_t)number & 0xff);
        g_string_append_printf(out, "%s\n", character->str + 1);
        g_string_free(character, TRUE);
        break;
    }
    default:
        g_string_append_printf(out, "%lld\n", number);
    }
}

/* --- Ports --- */

static unsigned port_size(const json_t *args)
{
    unsigned size = (unsigned)arg_int(args, "size", 1);
    return size > 4 ? 4 : size;
}

static void print_i(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    static const char suffix[] = {0, 'b', 'w', 0, 'l'};
    uint16_t port = (uint16_t)arg_int(args, "addr", 0);
    unsigned size = port_size(args);
    commands_hold(context->machine);
    machine_lock();
    uint32_t read = ioport_read(port, size);
    machine_unlock();
    commands_release(context->machine);
    g_string_append_printf(out, "port%c[0x%04x] = 0x%0*x\n", suffix[size], port, (int)(2 * size), read);
}

static json_t *run_o(struct command_context *context, json_t *args, GError **error)
{
    commands_hold(context->machine);
    machine_lock();
    ioport_write((uint16_t)arg_int(args, "addr", 0), port_size(args), (uint32_t)arg_int(args, "val", 0));
    machine_unlock();
    commands_release(context->machine);
    return json_object();
}

/* --- Sums and translations --- */

/* As the 16-bit sum of BSD's sum(1), as QEMU's. */
static void print_sum(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    uint64_t at = (uint64_t)arg_int(args, "start", 0), left = (uint64_t)arg_int(args, "size", 0);
    uint16_t sum = 0;
    left = MIN(left, 64 * MiB);
    while (left) { /* a page at a time: each takes the machine lock once */
        uint8_t bytes[PAGE_SIZE];
        size_t piece = (size_t)MIN(left, PAGE_SIZE - (at & (PAGE_SIZE - 1)));
        memset(bytes, 0xff, piece);
        memory_read(NULL, at, bytes, piece);
        for (size_t i = 0; i < piece; i++) {
            sum = (uint16_t)((sum >> 1) | (sum << 15));
            sum = (uint16_t)(sum + bytes[i]);
        }
        at += piece;
        left -= piece;
    }
    g_string_append_printf(out, "%05d\n", sum);
}

static void print_gva2gpa(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    gla_t gla = (gla_t)arg_int(args, "addr", 0);
    struct paging_result page;
    const struct cpu *cpu = commands_hold(context->machine);
    bool found = paging_peek(cpu, gla, 0, &page);
    commands_release(context->machine);
    if (found)
        g_string_append_printf(out, "gpa: %#llx\n", (unsigned long long)(page.gpa | (gla & (PAGE_SIZE - 1))));
    else
        g_string_append(out, "Unmapped\n");
}

/* --- Saving --- */

static bool bytes_write(int fd, const uint8_t *bytes, size_t len)
{
    while (len) {
        ssize_t written = write(fd, bytes, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        len -= (size_t)written;
    }
    return true;
}

static json_t *memory_save(struct command_context *context, json_t *args, bool physical, GError **error)
{
    const char *path = arg_str(args, "filename");
    uint64_t address = (uint64_t)arg_int(args, "val", 0);
    int64_t size = arg_int(args, "size", 0);
    if (arg_int(args, "cpu-index", 0) != 0)
        return COMMAND_FAIL(GENERIC, "Parameter 'cpu-index' expects a CPU number");
    if (size < 0)
        return COMMAND_FAIL(GENERIC, "Parameter 'size' expects a number that is not negative");
    int fd = files_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_NONBLOCK, 0666);
    if (fd < 0)
        return COMMAND_FAIL(GENERIC, "Could not open '%s': %s", path, g_strerror(errno));
    uint8_t *bytes = g_malloc(CHUNK);
    bool ok = true;
    for (int64_t done = 0; ok && done < size;) {
        size_t piece = (size_t)MIN(size - done, (int64_t)CHUNK);
        uint64_t at = address + (uint64_t)done;
        size_t got = 0;
        if (physical || at + piece <= 4 * GiB) {
            const struct cpu *cpu = commands_hold(context->machine);
            got = memory_read(physical ? NULL : cpu, at, bytes, piece);
            commands_release(context->machine);
        }
        if (got < piece)
            ok = (g_set_error(error, command_error(), COMMAND_ERROR_GENERIC,
                              "Invalid addr 0x%016llx/size %lld specified", (unsigned long long)(at + got),
                              (long long)size),
                  false);
        else if (!bytes_write(fd, bytes, piece))
            ok = (g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "cannot write '%s': %s", path,
                              g_strerror(errno)),
                  false);
        done += (int64_t)piece;
    }
    g_free(bytes);
    if (close(fd) != 0 && ok)
        return COMMAND_FAIL(GENERIC, "cannot write '%s': %s", path, g_strerror(errno));
    return ok ? json_object() : NULL;
}

static json_t *run_memsave(struct command_context *context, json_t *args, GError **error)
{
    return memory_save(context, args, false, error);
}

static json_t *run_pmemsave(struct command_context *context, json_t *args, GError **error)
{
    return memory_save(context, args, true, error);
}

/* --- How much there is --- */

static json_t *query_memory_size(struct command_context *context, json_t *args, GError **error)
{
    return json_pack("{s:I s:i}", "base-memory", (json_int_t)guest_mem.ram_size, "plugged-memory", 0);
}

static void print_memory_size(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    g_string_append_printf(out, "base memory: %lld\nplugged memory: 0\n", (long long)arg_int(value, "base-memory", 0));
}

static const struct schema_type types[] = {{"MemoryInfo", "base-memory:int plugged-memory:int?"}};

#define FORMAT "count:int? format:str? size:int? "

static const struct command rows[] = {
    {NULL, "x /fmt addr", FORMAT "addr:int", NULL, "virtual memory: /COUNT, x d u o c i, b h w g", NULL, print_x},
    {NULL, "xp /fmt addr", FORMAT "addr:int", NULL, "physical memory: /COUNT, x d u o c i, b h w g", NULL, print_xp},
    {NULL, "print|p /fmt val", FORMAT "val:int", NULL, "the value of an expression ($eip and so on are registers)",
     NULL, print_print},
    {NULL, "i /fmt addr", FORMAT "addr:int", NULL, "read an I/O port", NULL, print_i},
    {NULL, "o /fmt addr val", FORMAT "addr:int val:int", NULL, "write to an I/O port", run_o, NULL},
    {NULL, "sum start size", "start:int size:int", NULL, "a checksum of physical memory", NULL, print_sum},
    {NULL, "gva2gpa addr", "addr:int", NULL, "the physical address of a virtual one", NULL, print_gva2gpa},
    {"memsave", "memsave val size filename", "val:int size:int filename:str cpu-index:int?", NULL,
     "virtual memory to a file", run_memsave, NULL},
    {"pmemsave", "pmemsave val size filename", "val:int size:int filename:str", NULL, "physical memory to a file",
     run_pmemsave, NULL},
    {"query-memory-size-summary", "info memory_size_summary", NULL, "MemoryInfo", "how much memory there is",
     query_memory_size, print_memory_size},
};

void commands_memory_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    commands_add(rows, G_N_ELEMENTS(rows));
}
