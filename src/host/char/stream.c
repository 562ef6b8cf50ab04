/* Descriptors: watched and read on the device thread, written by way of bounded outlets. See char_internal.h. */
#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "char_internal.h"
#include "devthread.h"
#include "lock.h"
#include "log.h"

/* --- Watches --- */

struct watch {
    struct watch **slot; /* NULL: cancelled */
    struct host_chardev *dev;
    void (*run)(void *opaque, GIOCondition condition);
    void *opaque;
    GSource *source;
};

/* The callback may be waiting for the lock while somebody cancels it: it looks again when it has the lock. */
static gboolean watch_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    struct watch *watch = opaque;
    machine_lock();
    if (watch->slot)
        watch->run(watch->opaque, condition);
    machine_unlock();
    return G_SOURCE_CONTINUE;
}

static gboolean watch_once(gpointer opaque)
{
    struct watch *watch = opaque;
    machine_lock();
    if (watch->slot) {
        *watch->slot = NULL;
        watch->slot = NULL;
        watch->run(watch->opaque, 0);
    }
    machine_unlock();
    return G_SOURCE_REMOVE;
}

static void watch_free(gpointer opaque)
{
    struct watch *watch = opaque;
    host_chardev_unref(watch->dev);
    g_free(watch);
}

static void watch_start(struct watch **slot, struct host_chardev *dev, GSource *source, GSourceFunc ready,
                        void (*run)(void *opaque, GIOCondition condition), void *opaque)
{
    assert_always(!*slot);
    struct watch *watch = g_new0(struct watch, 1);
    *watch = (struct watch){slot, dev, run, opaque, source};
    host_chardev_ref(dev);
    g_source_set_callback(source, ready, watch, watch_free);
    *slot = watch;
    g_source_attach(source, devthread_context());
    g_source_unref(source);
}

void watch_fd(struct watch **slot, struct host_chardev *dev, int fd, GIOCondition condition,
              void (*run)(void *opaque, GIOCondition condition), void *opaque)
{
    watch_start(slot, dev, g_unix_fd_source_new(fd, condition), G_SOURCE_FUNC(watch_ready), run, opaque);
}

void watch_soon(struct watch **slot, struct host_chardev *dev, void (*run)(void *opaque, GIOCondition condition),
                void *opaque)
{
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    watch_start(slot, dev, source, watch_once, run, opaque);
}

void watch_after(struct watch **slot, struct host_chardev *dev, unsigned ms,
                 void (*run)(void *opaque, GIOCondition condition), void *opaque)
{
    watch_start(slot, dev, g_timeout_source_new(ms), watch_once, run, opaque);
}

void watch_cancel(struct watch **slot)
{
    struct watch *watch = *slot;
    if (!watch)
        return;
    *slot = NULL;
    watch->slot = NULL;
    g_source_destroy(watch->source);
}

/* --- Outlets --- */

#define WRITE_BYTES    4096u /* a pipe that polls as writable has room for PIPE_BUF bytes */
#define DATAGRAM_BYTES 1024u

static void outlet_ready(void *opaque, GIOCondition condition)
{
    outlet_flush(opaque);
}

void outlet_init(struct outlet *outlet, struct host_chardev *dev, int fd)
{
    *outlet = (struct outlet){.dev = dev, .fd = fd, .bytes = g_byte_array_new()};
}

void outlet_free(struct outlet *outlet)
{
    if (outlet->bytes)
        g_byte_array_unref(outlet->bytes);
}

void outlet_stop(struct outlet *outlet)
{
    watch_cancel(&outlet->soon);
    watch_cancel(&outlet->ready);
    if (outlet->fd >= 0)
        close(outlet->fd);
    outlet->fd = -1;
    g_byte_array_set_size(outlet->bytes, 0);
}

static void outlet_schedule(struct outlet *outlet)
{
    if (outlet->bytes->len && !outlet->soon && !outlet->ready)
        watch_soon(&outlet->soon, outlet->dev, outlet_ready, outlet);
}

size_t outlet_put(struct outlet *outlet, const uint8_t *bytes, size_t len, bool may_drop)
{
    GByteArray *out = outlet->bytes;
    if (outlet->fd < 0 || outlet->dead)
        return len;
    size_t room = out->len < OUT_LIMIT ? OUT_LIMIT - out->len : 0, skipped = 0;
    if (may_drop && room < len) { /* half of it, so that what is left is worth reading */
        skipped = len > OUT_LIMIT / 2 ? len - OUT_LIMIT / 2 : 0;
        g_byte_array_remove_range(out, 0, skipped ? out->len : (out->len + 1) / 2);
        room = OUT_LIMIT - out->len;
    }
    size_t taken = MIN(len - skipped, room);
    g_byte_array_append(out, bytes + skipped, (guint)taken);
    outlet_schedule(outlet);
    return skipped + taken;
}

void outlet_force(struct outlet *outlet, const uint8_t *bytes, size_t len)
{
    if (outlet->fd < 0 || outlet->dead)
        return;
    g_byte_array_append(outlet->bytes, bytes, (guint)len);
    outlet_schedule(outlet);
}

static void outlet_fail(struct outlet *outlet, int code)
{
    outlet->dead = true;
    g_byte_array_set_size(outlet->bytes, 0);
    if (outlet->failed)
        outlet->failed(outlet, code);
    else
        log_user("%s: cannot write (%s); further output is lost", outlet->dev->id, g_strerror(code));
}

/* Writes what the descriptor takes now. The buffer is small and writes to it do not block, so that the lock is not held
 * long. */
void outlet_flush(struct outlet *outlet)
{
    struct host_chardev *dev = outlet->dev;
    bool progress = false;
    host_chardev_ref(dev);
    while (outlet->bytes->len && !outlet->dead && outlet->fd >= 0) {
        struct pollfd poll_fd = {.fd = outlet->fd, .events = POLLOUT};
        if (poll(&poll_fd, 1, 0) <= 0)
            break;
        size_t len = MIN(outlet->bytes->len, outlet->is_datagram ? DATAGRAM_BYTES : WRITE_BYTES);
        ssize_t written = write(outlet->fd, outlet->bytes->data, len);
        if (written < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (written <= 0 && outlet->is_datagram)
            written = (ssize_t)len; /* nobody listens there now, or it got lost: as on the wire */
        if (written <= 0) {
            outlet_fail(outlet, errno);
            break;
        }
        progress = true;
        g_byte_array_remove_range(outlet->bytes, 0, (guint)written);
    }
    if (outlet->bytes->len && outlet->fd >= 0 && !outlet->ready)
        watch_fd(&outlet->ready, dev, outlet->fd, G_IO_OUT, outlet_ready, outlet);
    else if (!outlet->bytes->len || outlet->fd < 0)
        watch_cancel(&outlet->ready);
    if ((progress || outlet->dead) && outlet->progress)
        outlet->progress(outlet);
    host_chardev_unref(dev);
}

/* --- Streams --- */

static void stream_progress(struct outlet *outlet)
{
    struct host_chardev *dev = outlet->dev;
    if (dev->closed && !dev->written && !outlet->bytes->len)
        chardev_is_written(dev);
    else if (outlet->bytes->len < OUT_LIMIT)
        chardev_tell_room(dev);
}

static void stream_readable(void *opaque, GIOCondition condition)
{
    struct stream *stream = opaque;
    struct host_chardev *dev = &stream->dev;
    uint8_t bytes[IN_LIMIT];
    size_t want = stream->hard_to_wait ? 256 : chardev_in_space(dev);

    if (stream->out.is_datagram && dev->in->len) /* the next one could be as long as the whole buffer */
        want = 0;
    if (!want || (dev->awaits && !dev->base.front)) { /* it can wait; in_space watches again */
        watch_cancel(&stream->in);
        return;
    }
    struct pollfd poll_fd = {.fd = stream->in_fd, .events = POLLIN}; /* somebody else may have been faster */
    if (poll(&poll_fd, 1, 0) == 0)
        return;
    ssize_t len = stream->read ? stream->read(stream, bytes, want) : read(stream->in_fd, bytes, want);
    if (len < 0 && (errno == EAGAIN || errno == EINTR || stream->out.is_datagram))
        return;
    host_chardev_ref(dev);
    if (len > 0) {
        if (stream->filter)
            stream->filter(stream, bytes, (size_t)len);
        else
            chardev_receive(dev, bytes, (size_t)len);
    } else if (len < 0 || !stream->out.is_datagram) {
        watch_cancel(&stream->in);
        if (stream->ended)
            stream->ended(stream, len < 0 || (poll_fd.revents & (POLLHUP | POLLERR)));
        else
            stream->in_fd = -1;
    }
    host_chardev_unref(dev);
}

void stream_in_space(struct host_chardev *dev)
{
    struct stream *stream = (struct stream *)dev;
    if (stream->in_fd >= 0 && !stream->in)
        watch_fd(&stream->in, dev, stream->in_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, stream_readable, stream);
}

void stream_start(struct stream *stream, int in_fd, int out_fd)
{
    stream->in_fd = in_fd;
    if (!stream->out.bytes)
        outlet_init(&stream->out, &stream->dev, out_fd);
    stream->out.progress = stream_progress;
    stream->out.fd = out_fd;
    stream->out.dead = false;
    stream_in_space(&stream->dev);
    if (stream->out.bytes->len)
        outlet_schedule(&stream->out);
}

void stream_stop(struct stream *stream)
{
    int in_fd = stream->in_fd;
    if (!stream->out.bytes) /* never started */
        return;
    watch_cancel(&stream->in);
    stream->in_fd = -1;
    if (stream->owns_fds && in_fd >= 0 && in_fd != stream->out.fd)
        close(in_fd);
    if (!stream->owns_fds)
        stream->out.fd = -1;
    outlet_stop(&stream->out);
}

size_t stream_write(struct host_chardev *dev, const uint8_t *bytes, size_t len)
{
    struct stream *stream = (struct stream *)dev;
    return outlet_put(&stream->out, bytes, len, stream->drops && chardev_may_drop(dev));
}

bool stream_close(struct host_chardev *dev)
{
    struct stream *stream = (struct stream *)dev;
    watch_cancel(&stream->in);
    return stream->out.bytes && stream->out.bytes->len && !stream->out.dead && stream->out.fd >= 0;
}

void stream_release(struct host_chardev *dev)
{
    stream_stop((struct stream *)dev);
}

void stream_free(struct host_chardev *dev)
{
    outlet_free(&((struct stream *)dev)->out);
}
