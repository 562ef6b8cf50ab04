/* The debugger's connection: packets and acknowledgements, who has the machine, which command it is. See gdb.h. */
#include "gdb_stub.h"

static void debugger_forget(struct gdb_stub *stub)
{
    stub->no_ack = stub->greeted = stub->multiprocess = stub->swbreak = stub->hwbreak = false;
    stub->described = stub->physical = false;
    stub->sstep = SSTEP_ALL;
    g_string_truncate(stub->last, 0);
}

/* --- Sending --- */

void gdb_send(struct gdb_stub *stub, const char *body, size_t len)
{
    g_string_truncate(stub->last, 0);
    gdb_packet_frame(stub->last, body, len);
    session_write(stub->session, (const uint8_t *)stub->last->str, stub->last->len);
    if (stub->no_ack)
        g_string_truncate(stub->last, 0);
}

static void send_byte(struct gdb_stub *stub, char byte)
{
    session_write(stub->session, (const uint8_t *)&byte, 1);
}

void gdb_reply_ok(struct gdb_stub *stub)
{
    g_string_assign(stub->reply, "OK");
}

void gdb_reply_error(struct gdb_stub *stub, unsigned number)
{
    g_string_printf(stub->reply, "E%02x", number);
}

/* --- The machine --- */

static void send_stop(struct gdb_stub *stub)
{
    GString *body = g_string_new(NULL);
    gdb_waits_no_more(stub);
    gdb_stop_reply(stub, body);
    gdb_send(stub, body->str, body->len);
    g_string_free(body, TRUE);
}

static gboolean send_off(gpointer opaque)
{
    struct gdb_stub *stub = opaque;
    stub->off_reply = 0;
    send_stop(stub);
    return G_SOURCE_REMOVE;
}

static void client_stopped(void *opaque, const struct debug_stop *stop)
{
    struct gdb_stub *stub = opaque;
    stub->stop = *stop;
    if (!stub->awaiting || stub->off_reply || gdb_range_goes_on(stub))
        return;
    if (stop->why == DEBUG_OFF)
        stub->off_reply = g_idle_add_full(G_PRIORITY_LOW, send_off, stub, NULL);
    else
        send_stop(stub);
}

/* The user lets it run behind the debugger's back: the next command that needs it standing stops it. */
static void client_running(void *opaque)
{
}

bool gdb_attach(struct gdb_stub *stub)
{
    GError *error = NULL;
    if (stub->attached)
        return true;
    stub->stop = (struct debug_stop){.why = DEBUG_STEP};
    stub->awaiting = false;
    if (!stub->target->attach(stub->target->opaque, &stub->client, &error)) {
        g_string_printf(stub->reply, "E.%s", error ? error->message : "the machine cannot be debugged");
        g_clear_error(&error);
        return false;
    }
    stub->attached = true;
    stub->stop.why = DEBUG_STEP; /* a debugger that has come hears of SIGTRAP */
    return true;
}

void gdb_detach(struct gdb_stub *stub)
{
    gdb_waits_no_more(stub);
    g_array_set_size(stub->points, 0);
    if (!stub->attached)
        return;
    stub->attached = false;
    stub->target->detach(stub->target->opaque);
}

/* A debugger that waits is told, also when there was nothing to stop: somebody else holds the machine. */
static void machine_interrupt(struct gdb_stub *stub)
{
    const struct debug_target *target = stub->target;
    if (target->is_running(target->opaque))
        target->stop(target->opaque);
    if (!stub->awaiting || target->is_running(target->opaque))
        return;
    if (!stub->off_reply)
        stub->stop.why = DEBUG_ASKED;
    send_stop(stub);
}

static bool machine_stands(struct gdb_stub *stub)
{
    if (!gdb_attach(stub))
        return false;
    machine_interrupt(stub);
    if (stub->target->is_running(stub->target->opaque)) {
        gdb_reply_error(stub, GDB_EINVAL);
        return false;
    }
    return true;
}

/* --- Commands --- */

static bool is_command(const struct gdb_command *command, struct gdb_args *args)
{
    if (!args_word(args, command->name))
        return false;
    if (!command->name[1] || args_end(args) || strchr(",:;=", *args->at))
        return true;
    size_t len = strlen(command->name);
    args->at -= len;
    args->left += len;
    return false;
}

static const struct gdb_command *command_find(struct gdb_args *args)
{
    const struct gdb_command *const tables[] = {gdb_state_commands, gdb_run_commands, gdb_query_commands};
    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
        for (const struct gdb_command *command = tables[i]; command->name; command++) {
            if (is_command(command, args))
                return command;
        }
    }
    return NULL;
}

static void command_run(struct gdb_stub *stub)
{
    struct gdb_args args = {(const char *)stub->packet.body, stub->packet.len};
    const struct gdb_command *command = command_find(&args);
    g_string_truncate(stub->reply, 0);
    stub->silent = false;
    if (command && (command->needs == GDB_ANY || machine_stands(stub)))
        command->run(stub, &args);
    if (!stub->silent)
        gdb_send(stub, stub->reply->str, stub->reply->len); /* unknown: empty */
}

static void packet_came(struct gdb_stub *stub, enum gdb_packet_event event)
{
    switch (event) {
    case GDB_NOTHING:
        break;
    case GDB_ACK:
        g_string_truncate(stub->last, 0);
        break;
    case GDB_NAK:
        if (stub->last->len)
            session_write(stub->session, (const uint8_t *)stub->last->str, stub->last->len);
        break;
    case GDB_BAD_SUM:
        if (!stub->no_ack)
            send_byte(stub, '-');
        break;
    case GDB_INTERRUPT:
        if (stub->attached)
            machine_interrupt(stub);
        break;
    case GDB_TOO_LONG:
    case GDB_PACKET:
        /* A second greeting is a new debugger's, on a line that does not tell of who comes and goes. */
        if (event == GDB_PACKET && stub->greeted && g_str_has_prefix((const char *)stub->packet.body, "qSupported"))
            debugger_forget(stub);
        if (!stub->no_ack)
            send_byte(stub, '+');
        if (event == GDB_PACKET)
            command_run(stub);
        else
            gdb_send(stub, "E22", 3);
        break;
    }
}

/* --- The session --- */

static void session_opened(void *opaque)
{
    struct gdb_stub *stub = opaque;
    debugger_forget(stub);
    stub->packet.state = BETWEEN;
    gdb_attach(stub); /* who cannot have it hears so when he asks for something */
}

static void session_received(void *opaque, const uint8_t *bytes, size_t len)
{
    struct gdb_stub *stub = opaque;
    for (size_t i = 0; i < len && session_is_open(stub->session); i++)
        packet_came(stub, gdb_packet_take(&stub->packet, bytes[i]));
}

static void session_closed(void *opaque)
{
    gdb_detach(opaque);
}

static const struct session_ops session_ops = {
    .opened = session_opened,
    .received = session_received,
    .closed = session_closed,
};

struct gdb_stub *gdb_stub_new(struct chardev *chardev, const struct debug_target *target, const struct gdb_hooks *hooks,
                              GError **error)
{
    struct gdb_stub *stub = g_new0(struct gdb_stub, 1);
    stub->target = target;
    stub->hooks = *hooks;
    stub->client = (struct debug_client){client_stopped, client_running, stub};
    stub->last = g_string_new(NULL);
    stub->reply = g_string_new(NULL);
    stub->points = g_array_new(FALSE, FALSE, sizeof(struct gdb_point));
    debugger_forget(stub);
    stub->session = session_new(chardev, &session_ops, stub);
    if (!stub->session) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "gdb: the character device is in use already; give the debugger one of its own");
        gdb_stub_free(stub);
        return NULL;
    }
    return stub;
}

void gdb_stub_exited(struct gdb_stub *stub, int status)
{
    char body[8];
    int len = g_snprintf(body, sizeof(body), "W%02x", status & 0xff);
    if (stub && stub->attached)
        gdb_send(stub, body, (size_t)len);
}

void gdb_stub_free(struct gdb_stub *stub)
{
    if (!stub)
        return;
    session_free(stub->session);
    gdb_detach(stub);
    g_string_free(stub->last, TRUE);
    g_string_free(stub->reply, TRUE);
    g_array_unref(stub->points);
    g_free(stub);
}
