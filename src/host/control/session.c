/* Control connections: from the device thread to the main thread and back. See session.h.
 *
 * Between the threads stand, under the machine lock, the bytes of one connection and what happened around them:
 *
 *     [opened] bytes [closed] [opened]
 *
 * While a closed waits there, the bytes of the next connection stay with the chardev: so this never gets longer. Who
 * does not read his answers is not heard further, as on a terminal; who lets an answer of a megabyte lie is cut off.
 */
#include "session.h"

#include <glib.h>
#include <string.h>

#include "lock.h"

#define IN_LIMIT  65536u
#define OUT_LIMIT (1024 * 1024u)

#define OUT_ENOUGH    65536u /* unread: he gets no further answers before he has read some */
#define PIECE         256u
#define STEPS_AT_ONCE 64u

struct news {
    bool opened, closed, reopened;
    bool focus, focus_in; /* focus: there is news of it */
    GByteArray *bytes;
};

struct session {
    struct chardev *chardev;
    const struct session_ops *ops;
    void *opaque;
    /* Under the machine lock. */
    struct news news;
    bool line_open;  /* as the chardev has told last */
    bool cut_off;    /* does not read: what comes from him is thrown away until it is read */
    GByteArray *out; /* not yet taken by the chardev */
    size_t out_limit;
    guint idle; /* 0: none is waiting */
    /* Main thread. */
    bool open;  /* opened() was called, closed() was not */
    bool stale; /* he is gone, and closed() comes when his last bytes have been received: nobody is written to */
    bool handling, freed;
};

static gboolean session_idle(gpointer opaque);

/* Lock held. */
static void session_wake(struct session *session)
{
    if (!session->idle)
        session->idle = g_idle_add_full(G_PRIORITY_DEFAULT, session_idle, session, NULL);
}

/* --- The front: device thread, machine lock held --- */

static void news_open(struct session *session)
{
    struct news *news = &session->news;
    session->line_open = true;
    if (news->closed)
        news->reopened = true;
    else
        news->opened = true;
    session_wake(session);
}

static void news_close(struct session *session)
{
    struct news *news = &session->news;
    session->line_open = false;
    if (news->reopened)
        news->reopened = false; /* came and went without a word */
    else
        news->closed = true;
    session_wake(session);
}

static size_t front_room(void *opaque)
{
    struct session *session = opaque;
    if (session->news.closed)
        return 0;
    return IN_LIMIT - MIN(session->news.bytes->len, IN_LIMIT);
}

static void front_receive(void *opaque, const uint8_t *bytes, size_t len)
{
    struct session *session = opaque;
    size_t room = front_room(session);
    if (session->cut_off)
        return;
    if (!session->line_open) /* a back that does not tell: there is always somebody */
        news_open(session);
    g_byte_array_append(session->news.bytes, bytes, (guint)MIN(len, room));
    session_wake(session);
}

/* As much as the chardev takes. Lock held. */
static void out_flush(struct session *session)
{
    while (session->out->len) {
        size_t taken = session->chardev->ops->write(session->chardev, session->out->data, session->out->len);
        if (!taken)
            return;
        g_byte_array_remove_range(session->out, 0, (guint)MIN(taken, session->out->len));
    }
    if (session->cut_off) {
        session->cut_off = false;
        if (session->line_open)
            news_open(session);
    }
}

/* He has read: what waited for that goes on. Lock held. */
static void out_read(struct session *session)
{
    if (session->out->len <= OUT_ENOUGH && session->news.bytes->len)
        session_wake(session);
}

static void front_writable(void *opaque)
{
    struct session *session = opaque;
    out_flush(session);
    out_read(session);
}

static void front_event(void *opaque, enum chardev_event event)
{
    struct session *session = opaque;
    switch (event) {
    case CHARDEV_OPENED:
        if (session->line_open)
            news_close(session);
        session->cut_off = false;
        g_byte_array_set_size(session->out, 0);
        news_open(session);
        break;
    case CHARDEV_CLOSED:
        g_byte_array_set_size(session->out, 0);
        if (!session->line_open)
            break;
        if (session->cut_off)
            session->line_open = session->cut_off = false; /* closed was told when he was cut off */
        else
            news_close(session);
        break;
    case CHARDEV_FOCUS_IN:
    case CHARDEV_FOCUS_OUT:
        session->news.focus = true;
        session->news.focus_in = event == CHARDEV_FOCUS_IN;
        session_wake(session);
        break;
    case CHARDEV_BREAK:
        break;
    }
}

static const struct chardev_front session_front = {
    .room = front_room,
    .receive = front_receive,
    .writable = front_writable,
    .event = front_event,
    .is_control = true,
};

/* --- Main thread --- */

static void tell_opened(struct session *session)
{
    if (session->open || session->freed)
        return;
    session->open = true;
    if (session->ops->opened)
        session->ops->opened(session->opaque);
}

static void tell_closed(struct session *session)
{
    if (!session->open || session->freed)
        return;
    session->open = session->stale = false;
    if (session->ops->closed)
        session->ops->closed(session->opaque);
}

static void tell(struct session *session, const struct news *news)
{
    if (news->opened)
        tell_opened(session);
    if (news->focus && session->ops->focus && !session->freed)
        session->ops->focus(session->opaque, news->focus_in);
    if (news->bytes->len && session->open && !session->freed)
        session->ops->received(session->opaque, news->bytes->data, news->bytes->len);
    if (news->closed)
        tell_closed(session);
    if (news->reopened)
        tell_opened(session);
}

static void session_destroy(struct session *session)
{
    g_byte_array_unref(session->news.bytes);
    g_byte_array_unref(session->out);
    g_free(session);
}

/* How much of what has come is handed over at once: a line at most, so that there is room for its answer. Lock held. */
static guint piece_length(const GByteArray *bytes)
{
    guint len = MIN(bytes->len, PIECE);
    const uint8_t *end = len ? memchr(bytes->data, '\n', len) : NULL;
    return end ? (guint)(end - bytes->data) + 1 : len;
}

/* The next news in order; false: there are none, or they wait for him to read. What bytes are left keeps what comes
 * behind them. Lock held. */
static bool news_take(struct session *session, struct news *news)
{
    struct news *all = &session->news;
    if (!(all->opened || all->closed || all->reopened || all->focus || all->bytes->len))
        return false;
    if (session->out->len > OUT_ENOUGH && !all->closed)
        return false; /* front_writable wakes us */
    guint len = piece_length(all->bytes);
    *news = *all;
    news->bytes = g_byte_array_sized_new(len + 1);
    g_byte_array_append(news->bytes, all->bytes->data, len);
    g_byte_array_remove_range(all->bytes, 0, len);
    all->opened = all->focus = false;
    if (all->bytes->len)
        news->closed = news->reopened = false;
    else
        all->closed = all->reopened = false;
    session->stale = news->closed || all->closed;
    return true;
}

/* False: nothing is to be done any more, the session may be gone. */
static bool session_step(struct session *session)
{
    struct news news;
    machine_lock();
    bool any = news_take(session, &news);
    machine_unlock();
    if (!any)
        return false;
    session->handling = true;
    tell(session, &news);
    session->handling = session->stale = false;
    g_byte_array_unref(news.bytes);
    if (session->freed) {
        session_destroy(session);
        return false;
    }
    machine_lock();
    session->chardev->ops->room_changed(session->chardev);
    machine_unlock();
    return true;
}

static gboolean session_idle(gpointer opaque)
{
    struct session *session = opaque;
    unsigned steps = 0;
    machine_lock();
    session->idle = 0;
    bool later = session->handling; /* a main loop within ops: in order, when those are over */
    machine_unlock();
    if (later)
        return G_SOURCE_REMOVE;
    while (session_step(session)) {
        if (++steps < STEPS_AT_ONCE)
            continue;
        machine_lock();
        session_wake(session); /* others want the main thread, too */
        machine_unlock();
        break;
    }
    return G_SOURCE_REMOVE;
}

bool session_write(struct session *session, const uint8_t *bytes, size_t len)
{
    bool taken = false;
    machine_lock();
    if (session->open && !session->freed && !session->stale && session->line_open && !session->news.closed &&
        !session->cut_off) {
        out_flush(session);
        taken = session->out->len + len <= session->out_limit;
        if (taken) {
            g_byte_array_append(session->out, bytes, (guint)len);
            out_flush(session);
        } else {
            g_byte_array_set_size(session->news.bytes, 0);
            news_close(session);
            session->line_open = session->cut_off = true;
        }
    }
    machine_unlock();
    return taken;
}

void session_set_limit(struct session *session, size_t limit)
{
    machine_lock();
    session->out_limit = limit;
    machine_unlock();
}

bool session_is_open(const struct session *session)
{
    return session->open;
}

struct session *session_new(struct chardev *chardev, const struct session_ops *ops, void *opaque)
{
    struct session *session = g_new0(struct session, 1);
    session->chardev = chardev;
    session->ops = ops;
    session->opaque = opaque;
    session->news.bytes = g_byte_array_new();
    session->out = g_byte_array_new();
    session->out_limit = OUT_LIMIT;
    machine_lock();
    bool attached = chardev_attach(chardev, &session_front, session);
    if (attached)
        chardev->ops->room_changed(chardev); /* what has come before anybody listened */
    machine_unlock();
    if (attached)
        return session;
    session_destroy(session);
    return NULL;
}

void session_free(struct session *session)
{
    if (!session)
        return;
    machine_lock();
    if (session->out->len && session->chardev->ops->write_last)
        session->chardev->ops->write_last(session->chardev, session->out->data, session->out->len);
    chardev_detach(session->chardev, session);
    if (session->idle)
        g_source_remove(session->idle);
    session->idle = 0;
    machine_unlock();
    session->freed = true;
    if (!session->handling)
        session_destroy(session);
}
