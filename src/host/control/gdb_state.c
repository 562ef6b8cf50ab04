/* The debugger's packets for what there is to see and change: registers, memory, points. */
#include "gdb_regs.h"
#include "gdb_stub.h"

#define READ_MAX  (GDB_PACKET_MAX / 2) /* two digits a byte */
#define PAGE      4096u
#define POINT_MAX (16 * PAGE)

static void reply_hex(struct gdb_stub *stub, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        g_string_append_c(stub->reply, digits[bytes[i] >> 4]);
        g_string_append_c(stub->reply, digits[bytes[i] & 15]);
    }
}

/* --- Registers --- */

static const struct cpu *cpu_of(struct gdb_stub *stub)
{
    return stub->target->cpu(stub->target->opaque);
}

/* g: who has not read the description knows the plain ones only. */
static void command_read_all(struct gdb_stub *stub, struct gdb_args *args)
{
    unsigned count = stub->described ? gdb_regs_count() : GDB_REGS_PLAIN;
    for (unsigned i = 0; i < count; i++) {
        uint8_t bytes[GDB_REG_BYTES];
        reply_hex(stub, bytes, gdb_reg_read(cpu_of(stub), i, bytes));
    }
}

/* G */
static void command_write_all(struct gdb_stub *stub, struct gdb_args *args)
{
    GByteArray *values = g_byte_array_new();
    if (args_bytes(args, values) && values->len && gdb_regs_write(stub->target, values->data, values->len))
        gdb_reply_ok(stub);
    else
        gdb_reply_error(stub, GDB_EINVAL);
    g_byte_array_unref(values);
}

/* p number */
static void command_read_one(struct gdb_stub *stub, struct gdb_args *args)
{
    uint8_t bytes[GDB_REG_BYTES];
    uint64_t number;
    if (args_hex(args, &number) && args_end(args) && number < gdb_regs_count())
        reply_hex(stub, bytes, gdb_reg_read(cpu_of(stub), (unsigned)number, bytes));
    else
        gdb_reply_error(stub, GDB_EINVAL);
}

/* P number=value */
static void command_write_one(struct gdb_stub *stub, struct gdb_args *args)
{
    GByteArray *value = g_byte_array_new();
    uint64_t number;
    if (args_hex(args, &number) && number < gdb_regs_count() && args_char(args, '=') && args_bytes(args, value) &&
        value->len == gdb_reg_size((unsigned)number) && gdb_reg_write(stub->target, (unsigned)number, value->data))
        gdb_reply_ok(stub);
    else
        gdb_reply_error(stub, GDB_EINVAL);
    g_byte_array_unref(value);
}

/* --- Memory, a page at a time --- */

static uint64_t address_end(const struct gdb_stub *stub)
{
    return stub->physical ? UINT64_MAX : UINT64_C(1) << 32;
}

static size_t piece_len(uint64_t address, size_t left)
{
    return MIN(left, PAGE - (size_t)(address % PAGE));
}

/* m address,length: what of it can be read from its start on. */
static void command_read_memory(struct gdb_stub *stub, struct gdb_args *args)
{
    uint64_t address, len;
    uint8_t bytes[PAGE];
    if (!args_range(args, &address, &len) || !args_end(args) || len == 0) {
        gdb_reply_error(stub, GDB_EINVAL);
        return;
    }
    len = MIN(len, READ_MAX);
    while (len && address < address_end(stub)) {
        size_t piece = piece_len(address, len);
        if (!stub->target->read_memory(stub->target->opaque, stub->physical, address, bytes, piece))
            break;
        reply_hex(stub, bytes, piece);
        address += piece;
        len -= piece;
    }
    if (!stub->reply->len)
        gdb_reply_error(stub, GDB_EFAULT);
}

static bool memory_write(struct gdb_stub *stub, uint64_t address, const uint8_t *bytes, size_t len)
{
    while (len) {
        size_t piece = piece_len(address, len);
        if (address >= address_end(stub) ||
            !stub->target->write_memory(stub->target->opaque, stub->physical, address, bytes, piece))
            return false;
        address += piece;
        bytes += piece;
        len -= piece;
    }
    return true;
}

static void reply_written(struct gdb_stub *stub, uint64_t address, const uint8_t *bytes, size_t len)
{
    if (memory_write(stub, address, bytes, len))
        gdb_reply_ok(stub);
    else
        gdb_reply_error(stub, GDB_EFAULT);
}

/* M address,length:digits */
static void command_write_memory(struct gdb_stub *stub, struct gdb_args *args)
{
    GByteArray *bytes = g_byte_array_new();
    uint64_t address, len;
    if (args_range(args, &address, &len) && args_char(args, ':') && args_bytes(args, bytes) && bytes->len == len)
        reply_written(stub, address, bytes->data, bytes->len);
    else
        gdb_reply_error(stub, GDB_EINVAL);
    g_byte_array_unref(bytes);
}

/* X address,length:bytes. None are written to see whether we know it. */
static void command_write_binary(struct gdb_stub *stub, struct gdb_args *args)
{
    uint64_t address, len;
    if (args_range(args, &address, &len) && args_char(args, ':') && args->left == len)
        reply_written(stub, address, (const uint8_t *)args->at, args->left);
    else
        gdb_reply_error(stub, GDB_EINVAL);
}

/* --- Points --- */

static bool point_is_watch(enum debug_point kind)
{
    return kind >= DEBUG_WATCH_WRITE;
}

/* The target takes up to a page at a time. */
static bool point_set(struct gdb_stub *stub, const struct gdb_point *point, uint32_t len, bool add)
{
    const struct debug_target *target = stub->target;
    bool ok = true;
    for (uint32_t done = 0; done < len; done += PAGE) {
        gla_t address = point->address + done;
        uint32_t piece = MIN(len - done, PAGE);
        if (!add)
            ok &= target->point_remove(target->opaque, point->kind, address, piece);
        else if (!target->point_add(target->opaque, point->kind, address, piece))
            return point_set(stub, point, done, false) && false;
    }
    return ok;
}

static struct gdb_point *point_find(struct gdb_stub *stub, const struct gdb_point *want)
{
    for (guint i = 0; i < stub->points->len; i++) {
        struct gdb_point *point = &g_array_index(stub->points, struct gdb_point, i);
        if (point->kind == want->kind && point->address == want->address && point->len == want->len)
            return point;
    }
    return NULL;
}

/* "kind,address,length" after Z or z; another kind is answered as what is not known is. */
static bool point_parse(struct gdb_stub *stub, struct gdb_args *args, struct gdb_point *point)
{
    uint64_t kind, address, len;
    bool ok = args_hex(args, &kind) && args_char(args, ',') && args_range(args, &address, &len);
    if (ok && kind > DEBUG_WATCH_ACCESS)
        return false;
    if (!ok || !args_end(args) || address > UINT32_MAX ||
        (point_is_watch((enum debug_point)kind) &&
         (len == 0 || len > POINT_MAX || address + len > UINT64_C(1) << 32))) {
        gdb_reply_error(stub, GDB_EINVAL);
        return false;
    }
    /* The length of a breakpoint is the kind of instruction it replaces: nothing here. */
    *point = (struct gdb_point){(enum debug_point)kind, (gla_t)address,
                                point_is_watch((enum debug_point)kind) ? (uint32_t)len : 1};
    return true;
}

/* Z */
static void command_point_add(struct gdb_stub *stub, struct gdb_args *args)
{
    struct gdb_point point;
    if (!point_parse(stub, args, &point))
        return;
    if (point_find(stub, &point)) {
        gdb_reply_ok(stub);
    } else if (point_set(stub, &point, point.len, true)) {
        g_array_append_val(stub->points, point);
        gdb_reply_ok(stub);
    } else {
        gdb_reply_error(stub, GDB_EINVAL);
    }
}

/* z: one that is not there is gone. */
static void command_point_remove(struct gdb_stub *stub, struct gdb_args *args)
{
    struct gdb_point point;
    if (!point_parse(stub, args, &point))
        return;
    struct gdb_point *found = point_find(stub, &point);
    if (found) {
        point_set(stub, &point, point.len, false);
        g_array_remove_index_fast(stub->points, (guint)(found - &g_array_index(stub->points, struct gdb_point, 0)));
    }
    gdb_reply_ok(stub);
}

void gdb_points_remove(struct gdb_stub *stub)
{
    for (guint i = 0; i < stub->points->len; i++) {
        const struct gdb_point *point = &g_array_index(stub->points, struct gdb_point, i);
        point_set(stub, point, point->len, false);
    }
    g_array_set_size(stub->points, 0);
}

const struct gdb_command gdb_state_commands[] = {
    {"g", command_read_all, GDB_STAND},     {"G", command_write_all, GDB_STAND},
    {"p", command_read_one, GDB_STAND},     {"P", command_write_one, GDB_STAND},
    {"m", command_read_memory, GDB_STAND},  {"M", command_write_memory, GDB_STAND},
    {"X", command_write_binary, GDB_STAND}, {"Z", command_point_add, GDB_STAND},
    {"z", command_point_remove, GDB_STAND}, {NULL},
};
