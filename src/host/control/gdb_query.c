/* The debugger's questions and settings: what we can do, threads, descriptions, QEMU's extras, the monitor. */
#include "gdb_regs.h"
#include "gdb_stub.h"

/* --- Who we are --- */

/* qSupported:feature;feature... */
static void query_supported(struct gdb_stub *stub, struct gdb_args *args)
{
    char *wanted = g_strndup(args->at, args->left);
    char **words = g_strsplit_set(wanted, ":;", -1);
    const gchar *const *list = (const gchar *const *)words;
    stub->multiprocess = g_strv_contains(list, "multiprocess+");
    stub->swbreak = g_strv_contains(list, "swbreak+");
    stub->hwbreak = g_strv_contains(list, "hwbreak+");
    stub->greeted = true;
    g_string_printf(stub->reply, "PacketSize=%x;qXfer:features:read+;vContSupported+;QStartNoAckMode+", GDB_PACKET_MAX);
    g_string_append(stub->reply, ";multiprocess+;swbreak+;hwbreak+");
    g_strfreev(words);
    g_free(wanted);
}

/* This reply is acknowledged, the next ones are not. */
static void set_no_ack(struct gdb_stub *stub, struct gdb_args *args)
{
    stub->no_ack = true;
    gdb_reply_ok(stub);
}

static void command_extended(struct gdb_stub *stub, struct gdb_args *args)
{
    gdb_reply_ok(stub);
}

/* It was there before the debugger: leaving it detaches, and does not kill. */
static void query_attached(struct gdb_stub *stub, struct gdb_args *args)
{
    g_string_assign(stub->reply, "1");
}

/* --- Threads: the processor is the only one --- */

static void reply_thread(struct gdb_stub *stub, const char *prefix)
{
    g_string_printf(stub->reply, "%s%s", prefix, stub->multiprocess ? "p01.01" : "01");
}

static void query_thread(struct gdb_stub *stub, struct gdb_args *args)
{
    reply_thread(stub, "QC");
}

static void query_first_thread(struct gdb_stub *stub, struct gdb_args *args)
{
    reply_thread(stub, "m");
}

static void query_more_threads(struct gdb_stub *stub, struct gdb_args *args)
{
    g_string_assign(stub->reply, "l");
}

static void append_hex(GString *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        g_string_append_printf(out, "%02x", (uint8_t)text[i]);
}

/* qThreadExtraInfo,thread */
static void query_thread_words(struct gdb_stub *stub, struct gdb_args *args)
{
    if (!args_char(args, ',') || !args_thread(args) || !args_end(args)) {
        gdb_reply_error(stub, GDB_EINVAL);
        return;
    }
    bool running = stub->target->is_running(stub->target->opaque);
    const char *words = running ? "CPU#0 [running]" : "CPU#0 [stopped]";
    append_hex(stub->reply, words, strlen(words));
}

/* T thread: is it alive? */
static void command_thread_alive(struct gdb_stub *stub, struct gdb_args *args)
{
    if (args_thread(args) && args_end(args))
        gdb_reply_ok(stub);
    else
        gdb_reply_error(stub, GDB_EINVAL);
}

/* H operation thread */
static void command_thread_choose(struct gdb_stub *stub, struct gdb_args *args)
{
    if (args_char(args, 'g') || args_char(args, 'c'))
        command_thread_alive(stub, args);
    else
        gdb_reply_error(stub, GDB_EINVAL);
}

/* --- Descriptions --- */

/* One piece: 'm' and there is more, 'l' and that was the last. */
static void reply_piece(struct gdb_stub *stub, const GString *text, uint64_t offset, uint64_t len)
{
    if (offset > text->len) {
        gdb_reply_error(stub, GDB_EINVAL);
        return;
    }
    size_t left = text->len - (size_t)offset;
    size_t piece = (size_t)MIN(MIN(len, left), GDB_PACKET_MAX / 2); /* all of it may have to be escaped */
    g_string_append_c(stub->reply, piece < left ? 'm' : 'l');
    g_string_append_len(stub->reply, text->str + offset, (gssize)piece);
}

/* qXfer:features:read:annex:offset,length. What the processor is now is looked at where reading begins, and then holds
 * until it is read again. */
static void query_xfer(struct gdb_stub *stub, struct gdb_args *args)
{
    uint64_t offset, len;
    const char *colon;
    if (!args_word(args, ":features:read:") || !(colon = memchr(args->at, ':', args->left))) {
        return; /* empty: another object, or writing */
    }
    char *annex = g_strndup(args->at, (gsize)(colon - args->at));
    GString *text = g_string_new(NULL);
    args_word(args, annex);
    if (args_char(args, ':') && args_range(args, &offset, &len) && args_end(args) && len != 0) {
        if (offset == 0 && strcmp(annex, "target.xml") == 0)
            stub->is_16bit = gdb_is_16bit(stub->target->cpu(stub->target->opaque));
        if (gdb_xml(annex, stub->is_16bit, text)) {
            stub->described = true;
            reply_piece(stub, text, offset, len);
        } else {
            g_string_assign(stub->reply, "E00"); /* no such annex */
        }
    } else {
        gdb_reply_error(stub, GDB_EINVAL);
    }
    g_string_free(text, TRUE);
    g_free(annex);
}

/* --- The monitor --- */

/* qRcmd,hex: what it says comes as text, then OK. */
static void query_command(struct gdb_stub *stub, struct gdb_args *args)
{
    const size_t piece = GDB_PACKET_MAX / 2 - 1;
    GByteArray *line = g_byte_array_new();
    if (!args_char(args, ',') || !args_bytes(args, line)) {
        gdb_reply_error(stub, GDB_EINVAL);
        g_byte_array_unref(line);
        return;
    }
    g_byte_array_append(line, (const guint8 *)"", 1);
    GString *out = g_string_new(NULL), *body = g_string_new(NULL);
    stub->hooks.command(stub->hooks.opaque, (const char *)line->data, out);
    for (size_t done = 0; done < out->len; done += piece) {
        g_string_assign(body, "O");
        append_hex(body, out->str + done, MIN(piece, out->len - done));
        gdb_send(stub, body->str, body->len);
    }
    gdb_reply_ok(stub);
    g_string_free(out, TRUE);
    g_string_free(body, TRUE);
    g_byte_array_unref(line);
}

/* --- QEMU's --- */

static void query_qemu_supported(struct gdb_stub *stub, struct gdb_args *args)
{
    g_string_assign(stub->reply, "sstepbits;sstep;PhyMemMode");
}

static void query_sstepbits(struct gdb_stub *stub, struct gdb_args *args)
{
    g_string_printf(stub->reply, "ENABLE=%x,NOIRQ=%x,NOTIMER=%x", SSTEP_ENABLE, SSTEP_NOIRQ, SSTEP_NOTIMER);
}

static void query_sstep(struct gdb_stub *stub, struct gdb_args *args)
{
    g_string_printf(stub->reply, "0x%x", stub->sstep);
}

/* Qqemu.sstep=bits */
static void set_sstep(struct gdb_stub *stub, struct gdb_args *args)
{
    uint64_t bits;
    bool ok = args_char(args, '=');
    args_word(args, "0x");
    if (ok && args_hex(args, &bits) && args_end(args) && !(bits & ~(uint64_t)SSTEP_ALL)) {
        stub->sstep = (unsigned)bits;
        gdb_reply_ok(stub);
    } else {
        gdb_reply_error(stub, GDB_EINVAL);
    }
}

static void query_physical(struct gdb_stub *stub, struct gdb_args *args)
{
    g_string_assign(stub->reply, stub->physical ? "1" : "0");
}

/* Qqemu.PhyMemMode:0 or 1 */
static void set_physical(struct gdb_stub *stub, struct gdb_args *args)
{
    uint64_t on;
    if (args_char(args, ':') && args_hex(args, &on) && args_end(args)) {
        stub->physical = on != 0;
        gdb_reply_ok(stub);
    } else {
        gdb_reply_error(stub, GDB_EINVAL);
    }
}

const struct gdb_command gdb_query_commands[] = {
    {"qSupported", query_supported, GDB_ANY},
    {"QStartNoAckMode", set_no_ack, GDB_ANY},
    {"!", command_extended, GDB_ANY},
    {"qAttached", query_attached, GDB_ANY},
    {"qC", query_thread, GDB_ANY},
    {"qfThreadInfo", query_first_thread, GDB_ANY},
    {"qsThreadInfo", query_more_threads, GDB_ANY},
    {"qThreadExtraInfo", query_thread_words, GDB_ANY},
    {"H", command_thread_choose, GDB_ANY},
    {"T", command_thread_alive, GDB_ANY},
    {"qXfer", query_xfer, GDB_STAND},
    {"qRcmd", query_command, GDB_ANY},
    {"qqemu.Supported", query_qemu_supported, GDB_ANY},
    {"qqemu.sstepbits", query_sstepbits, GDB_ANY},
    {"qqemu.sstep", query_sstep, GDB_ANY},
    {"Qqemu.sstep", set_sstep, GDB_ANY},
    {"qqemu.PhyMemMode", query_physical, GDB_ANY},
    {"Qqemu.PhyMemMode", set_physical, GDB_ANY},
    {NULL},
};
