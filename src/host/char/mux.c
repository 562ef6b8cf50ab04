/* Several fronts on one back end: all write to it, one gets what is typed. A key (Ctrl-A, or what -echr says) starts a
 * command, as in QEMU: h help, x end, b break, c the next front, s save snapshots, t times before lines.
 */
#include <string.h>

#include "char_internal.h"
#include "lock.h"
#include "vclock.h"

#define FRONTS_MAX 4u

struct mux_end {
    const struct chardev_front *front; /* NULL: free */
    void *opaque;
    bool told_open, owes_room;
    GByteArray *in;
};

struct mux {
    struct host_chardev dev;     /* first */
    struct host_chardev *driver; /* whose only front this is; NULL: closed */
    struct mux_end end[FRONTS_MAX];
    unsigned focus; /* of a free one: nobody listens */
    bool got_escape, delivering;
    bool timestamps, line_started;
    int64_t timestamps_from; /* us */
    GByteArray *pending;     /* of a time, not yet taken by the driver */
};

static struct {
    uint8_t escape;
    void (*quit)(void *opaque);
    void *quit_opaque;
    void (*commit)(void *opaque);
    void *commit_opaque;
} commands = {.escape = 0x01};

void chardev_set_escape(uint8_t key)
{
    commands.escape = key;
}

void chardev_set_quit(void (*quit)(void *opaque), void *opaque)
{
    commands.quit = quit;
    commands.quit_opaque = opaque;
}

void chardev_set_commit(void (*commit)(void *opaque), void *opaque)
{
    commands.commit = commit;
    commands.commit_opaque = opaque;
}

static struct mux *mux_of(struct chardev *chardev)
{
    return (struct mux *)chardev;
}

static bool end_hears(const struct mux_end *end)
{
    return end->front && (end->front->is_control || !vclock_is_stopped());
}

static void end_tell(struct mux_end *end, enum chardev_event event)
{
    if (end_hears(end) && end->front->event)
        end->front->event(end->opaque, event);
}

static void end_tell_state(struct mux *mux, struct mux_end *end)
{
    if (!end_hears(end) || end->told_open == mux->dev.is_open)
        return;
    end->told_open = mux->dev.is_open;
    end_tell(end, end->told_open ? CHARDEV_OPENED : CHARDEV_CLOSED);
}

/* --- Output --- */

static bool pending_write(struct mux *mux)
{
    if (mux->pending->len) {
        size_t taken = mux->driver->base.ops->write(&mux->driver->base, mux->pending->data, mux->pending->len);
        g_byte_array_remove_range(mux->pending, 0, (guint)taken);
    }
    return !mux->pending->len;
}

static void time_append(struct mux *mux)
{
    char text[32];
    int64_t now = g_get_monotonic_time();
    if (!mux->timestamps_from)
        mux->timestamps_from = now;
    int64_t ms = (now - mux->timestamps_from) / 1000;
    int len = g_snprintf(text, sizeof(text), "[%02d:%02d:%02d.%03d] ", (int)(ms / 3600000), (int)(ms / 60000 % 60),
                         (int)(ms / 1000 % 60), (int)(ms % 1000));
    g_byte_array_append(mux->pending, (const uint8_t *)text, (guint)len);
}

/* The bytes up to the end of a line that may go out now; with the time before them at its beginning. */
static size_t line_next(struct mux *mux, const uint8_t *bytes, size_t len)
{
    if (!mux->timestamps)
        return len;
    if (!mux->line_started)
        time_append(mux);
    mux->line_started = true;
    const uint8_t *end = memchr(bytes, '\n', len);
    return end ? (size_t)(end + 1 - bytes) : len;
}

static size_t mux_write(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    struct mux *mux = mux_of(chardev);
    size_t done = 0;
    while (mux->driver && done < len) {
        size_t part = line_next(mux, bytes + done, len - done);
        if (!pending_write(mux))
            return done;
        size_t taken = mux->driver->base.ops->write(&mux->driver->base, bytes + done, part);
        done += taken;
        if (taken && bytes[done - 1] == '\n')
            mux->line_started = false;
        if (taken < part)
            return done;
    }
    return len;
}

static void mux_write_all(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    struct mux *mux = mux_of(chardev);
    host_chardev_ref(&mux->dev);
    while (mux->driver && len) {
        size_t part = line_next(mux, bytes, len);
        uint8_t time[64];
        size_t time_len = MIN(mux->pending->len, sizeof(time));
        memcpy(time, mux->pending->data, time_len);
        g_byte_array_set_size(mux->pending, 0);
        if (time_len)
            chardev_write_all(&mux->driver->base, time, time_len);
        if (mux->driver)
            chardev_write_all(&mux->driver->base, bytes, part);
        if (bytes[part - 1] == '\n')
            mux->line_started = false;
        bytes += part;
        len -= part;
    }
    host_chardev_unref(&mux->dev);
}

static void mux_write_last(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    struct mux *mux = mux_of(chardev);
    if (mux->driver)
        mux->driver->base.ops->write_last(&mux->driver->base, bytes, len);
}

static void mux_say(struct mux *mux, const char *text)
{
    mux->driver->base.ops->write(&mux->driver->base, (const uint8_t *)text, strlen(text));
}

static void driver_writable(void *opaque)
{
    struct mux *mux = opaque;
    for (unsigned i = 0; i < FRONTS_MAX && mux->driver; i++) {
        struct mux_end *end = &mux->end[i];
        end->owes_room = !end_hears(end);
        if (!end->owes_room && end->front->writable)
            end->front->writable(end->opaque);
    }
}

/* --- Input --- */

static void mux_deliver(struct mux *mux)
{
    if (mux->delivering)
        return;
    mux->delivering = true;
    for (;;) {
        struct mux_end *end = &mux->end[mux->focus];
        uint8_t bytes[256];
        if (!end_hears(end) || !end->in->len || !end->front->receive)
            break;
        size_t len = MIN(MIN(end->front->room(end->opaque), end->in->len), sizeof(bytes));
        if (!len)
            break;
        memcpy(bytes, end->in->data, len);
        g_byte_array_remove_range(end->in, 0, (guint)len);
        end->front->receive(end->opaque, bytes, len);
    }
    mux->delivering = false;
}

static void focus_set(struct mux *mux, unsigned focus)
{
    if (focus == mux->focus && mux->end[focus].front)
        return;
    end_tell(&mux->end[mux->focus], CHARDEV_FOCUS_OUT);
    mux->focus = focus;
    end_tell(&mux->end[focus], CHARDEV_FOCUS_IN);
}

static void focus_next(struct mux *mux)
{
    for (unsigned i = 1; i < FRONTS_MAX; i++) {
        unsigned next = (mux->focus + i) % FRONTS_MAX;
        if (mux->end[next].front && mux->end[next].front->receive) {
            focus_set(mux, next);
            return;
        }
    }
}

void mux_break(struct host_chardev *dev)
{
    struct mux *mux = (struct mux *)dev;
    end_tell(&mux->end[mux->focus], CHARDEV_BREAK);
}

static void help_say(struct mux *mux)
{
    static const char *const lines[][2] = {{"h", "this help"},
                                           {"x", "end the machine"},
                                           {"s", "save what -snapshot keeps back into the disk images"},
                                           {"t", "times before lines, on and off"},
                                           {"b", "send a break"},
                                           {"c", "the next of those on this line, such as the monitor"}};
    char key[16];
    if (commands.escape >= 1 && commands.escape <= 26)
        g_snprintf(key, sizeof(key), "Ctrl-%c", 'A' - 1 + commands.escape);
    else
        g_snprintf(key, sizeof(key), "0x%02x", commands.escape);
    GString *text = g_string_new("\r\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++)
        g_string_append_printf(text, "%s %s  %s\r\n", key, lines[i][0], lines[i][1]);
    g_string_append_printf(text, "%s %s  send %s\r\n", key, key, key);
    mux_say(mux, text->str);
    g_string_free(text, TRUE);
}

static void command(struct mux *mux, uint8_t key)
{
    switch (key) {
    case 'h':
    case '?':
        help_say(mux);
        break;
    case 'x':
        mux_say(mux, "\r\nringer: ended by Ctrl-A x\r\n");
        if (commands.quit)
            commands.quit(commands.quit_opaque);
        break;
    case 's':
        if (commands.commit)
            commands.commit(commands.commit_opaque);
        break;
    case 'b':
        mux_break(&mux->dev);
        break;
    case 'c':
        focus_next(mux);
        break;
    case 't':
        mux->timestamps = !mux->timestamps;
        mux->timestamps_from = 0;
        mux->line_started = false;
        break;
    }
}

static void driver_receive(void *opaque, const uint8_t *bytes, size_t len)
{
    struct mux *mux = opaque;
    host_chardev_ref(&mux->dev);
    for (size_t i = 0; i < len && mux->driver; i++) {
        struct mux_end *end = &mux->end[mux->focus];
        if (mux->got_escape && bytes[i] != commands.escape) {
            mux->got_escape = false;
            mux_deliver(mux); /* what was typed before belongs to who listened then */
            command(mux, bytes[i]);
        } else if (!mux->got_escape && bytes[i] == commands.escape) {
            mux->got_escape = true;
        } else {
            mux->got_escape = false;
            if (end->front && end->front->receive && end->in->len < IN_LIMIT)
                g_byte_array_append(end->in, &bytes[i], 1);
        }
    }
    mux_deliver(mux);
    host_chardev_unref(&mux->dev);
}

/* Where keys command us, all of them must be seen; anybody else can wait. */
static size_t driver_room(void *opaque)
{
    struct mux *mux = opaque;
    const struct mux_end *end = &mux->end[mux->focus];
    if (!end->front || !end->front->receive || mux->driver->kind == &chardev_stdio)
        return IN_LIMIT;
    return end->in->len < IN_LIMIT ? IN_LIMIT - end->in->len : 0;
}

static void driver_event(void *opaque, enum chardev_event event)
{
    struct mux *mux = opaque;
    if (event == CHARDEV_BREAK) {
        mux_break(&mux->dev);
    } else if (event == CHARDEV_OPENED || event == CHARDEV_CLOSED) {
        mux->dev.is_open = event == CHARDEV_OPENED;
        for (unsigned i = 0; i < FRONTS_MAX; i++)
            end_tell_state(mux, &mux->end[i]);
    }
}

const struct chardev_front mux_front = {driver_room, driver_receive, driver_writable, driver_event, .is_control = true};

static void mux_room_changed(struct chardev *chardev)
{
    struct mux *mux = mux_of(chardev);
    host_chardev_ref(&mux->dev);
    mux_deliver(mux);
    if (mux->driver && !mux->delivering)
        mux->driver->base.ops->room_changed(&mux->driver->base);
    host_chardev_unref(&mux->dev);
}

/* --- Fronts --- */

/* For chardev.c: somebody has it. */
static void mark_taken(struct mux *mux)
{
    mux->dev.base.front = NULL;
    for (unsigned i = 0; i < FRONTS_MAX; i++) {
        if (mux->end[i].front)
            mux->dev.base.front = mux->end[i].front;
    }
}

/* A part of the machine comes before what controls it. */
static bool mux_attach(struct chardev *chardev, const struct chardev_front *front, void *opaque)
{
    struct mux *mux = mux_of(chardev);
    unsigned at = 0;
    while (at < FRONTS_MAX && mux->end[at].front)
        at++;
    if (at == FRONTS_MAX || !mux->driver)
        return false;
    bool taken = guard_enter();
    const struct chardev_front *listener = mux->end[mux->focus].front;
    bool listens = listener && listener->receive;
    struct mux_end *end = &mux->end[at];
    end->front = front;
    end->opaque = opaque;
    end->told_open = end->owes_room = false;
    g_byte_array_set_size(end->in, 0);
    mark_taken(mux);
    end_tell_state(mux, end);
    if (!front->receive) {
        /* nothing is typed to it */
    } else if (!listens) {
        mux->focus = at;
        end_tell(end, CHARDEV_FOCUS_IN);
    } else if (!front->is_control) {
        focus_set(mux, at);
    }
    guard_leave(taken);
    return true;
}

static void mux_detach(struct chardev *chardev, void *opaque)
{
    struct mux *mux = mux_of(chardev);
    bool taken = guard_enter();
    for (unsigned i = 0; i < FRONTS_MAX; i++) {
        struct mux_end *end = &mux->end[i];
        if (!end->front || end->opaque != opaque)
            continue;
        end->front = NULL;
        end->opaque = NULL;
        if (mux->focus == i)
            focus_next(mux);
    }
    mark_taken(mux);
    guard_leave(taken);
}

static void mux_set_lines(struct chardev *chardev, bool dtr, bool rts)
{
    struct mux *mux = mux_of(chardev);
    if (mux->driver)
        mux->driver->base.ops->set_lines(&mux->driver->base, dtr, rts);
}

static void mux_resume(struct host_chardev *dev)
{
    struct mux *mux = (struct mux *)dev;
    for (unsigned i = 0; i < FRONTS_MAX; i++) {
        struct mux_end *end = &mux->end[i];
        end_tell_state(mux, end);
        if (end->owes_room && end_hears(end)) {
            end->owes_room = false;
            if (end->front->writable)
                end->front->writable(end->opaque);
        }
    }
    mux_room_changed(&dev->base);
}

/* --- Life --- */

static bool mux_close(struct host_chardev *dev)
{
    struct mux *mux = (struct mux *)dev;
    struct host_chardev *driver = mux->driver;
    for (unsigned i = 0; i < FRONTS_MAX; i++)
        mux->end[i].front = NULL;
    mux->driver = NULL;
    if (driver)
        chardev_close(&driver->base);
    return false;
}

static void mux_free(struct host_chardev *dev)
{
    struct mux *mux = (struct mux *)dev;
    for (unsigned i = 0; i < FRONTS_MAX; i++)
        g_byte_array_unref(mux->end[i].in);
    g_byte_array_unref(mux->pending);
}

static const struct chardev_ops mux_ops = {mux_write,  mux_room_changed, mux_write_all, mux_attach,
                                           mux_detach, mux_set_lines,    mux_write_last};

static size_t never_written(struct host_chardev *dev, const uint8_t *bytes, size_t len)
{
    return len;
}

const struct chardev_kind chardev_mux = {.name = "mux",
                                         .size = sizeof(struct mux),
                                         .write = never_written,
                                         .resume = mux_resume,
                                         .close = mux_close,
                                         .free = mux_free,
                                         .ops = &mux_ops};

struct host_chardev *mux_new(const char *id, struct host_chardev *driver)
{
    struct mux *mux = (struct mux *)host_chardev_new(&chardev_mux, id);
    mux->dev.base.is_shared = true;
    for (unsigned i = 0; i < FRONTS_MAX; i++)
        mux->end[i].in = g_byte_array_new();
    mux->pending = g_byte_array_new();
    mux->driver = driver;
    host_chardev_register(&mux->dev, true);
    chardev_attach(&driver->base, &mux_front, mux);
    return &mux->dev;
}
