/* Back ends of byte streams: who there is, and what all kinds have in common with their front. See chardev.h. */
#include "char_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "devthread.h"
#include "files.h"
#include "lock.h"
#include "log.h"
#include "vclock.h"

#define LINGER_MS 2000u

static struct {
    GPtrArray *all;     /* struct host_chardev: not yet written out */
    _Atomic bool hurry; /* the processor is to stop */
} chardevs;

bool chardev_fail(GError **error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    GError *what = g_error_new_valist(g_quark_from_static_string("ringer-chardev"), 0, fmt, args);
    va_end(args);
    g_propagate_error(error, what);
    return false;
}

bool guard_enter(void)
{
    if (machine_is_locked())
        return false;
    machine_lock();
    return true;
}

void guard_leave(bool taken)
{
    if (taken)
        machine_unlock();
}

/* --- Life --- */

static size_t host_write(struct chardev *chardev, const uint8_t *bytes, size_t len);
static void host_write_all(struct chardev *chardev, const uint8_t *bytes, size_t len);
static void host_room_changed(struct chardev *chardev);
static bool host_attach(struct chardev *chardev, const struct chardev_front *front, void *opaque);
static void host_detach(struct chardev *chardev, void *opaque);
static void host_set_lines(struct chardev *chardev, bool dtr, bool rts);
static void host_write_last(struct chardev *chardev, const uint8_t *bytes, size_t len);

static const struct chardev_ops host_ops = {host_write,  host_room_changed, host_write_all, host_attach,
                                            host_detach, host_set_lines,    host_write_last};

struct host_chardev *host_chardev_new(const struct chardev_kind *kind, const char *id)
{
    struct host_chardev *dev = g_malloc0(kind->size);
    dev->base.ops = kind->ops ? kind->ops : &host_ops;
    dev->kind = kind;
    dev->id = g_strdup(id);
    dev->refs = 1;
    dev->in = g_byte_array_new();
    return dev;
}

void host_chardev_register(struct host_chardev *dev, bool named)
{
    if (!chardevs.all)
        chardevs.all = g_ptr_array_new();
    dev->named = named;
    g_ptr_array_add(chardevs.all, dev);
}

void host_chardev_ref(struct host_chardev *dev)
{
    g_atomic_int_inc(&dev->refs);
}

void host_chardev_unref(struct host_chardev *dev)
{
    if (!g_atomic_int_dec_and_test(&dev->refs))
        return;
    if (dev->kind->free)
        dev->kind->free(dev);
    if (dev->log) {
        outlet_free(dev->log);
        g_free(dev->log);
    }
    g_byte_array_unref(dev->in);
    g_free(dev->id);
    g_free(dev);
}

static struct host_chardev *find(const char *id)
{
    for (unsigned i = 0; chardevs.all && i < chardevs.all->len; i++) {
        struct host_chardev *dev = g_ptr_array_index(chardevs.all, i);
        if (dev->named && strcmp(dev->id, id) == 0)
            return dev;
    }
    return NULL;
}

struct chardev *chardev_find(const char *id)
{
    bool taken = guard_enter();
    struct host_chardev *dev = find(id);
    guard_leave(taken);
    return dev ? &dev->base : NULL;
}

/* Of a closed one: nothing is left to do. */
static void settle(struct host_chardev *dev)
{
    bool logs = dev->log && dev->log->bytes->len && !dev->log->dead;
    if (!dev->closed || !dev->written || (logs && dev->linger))
        return;
    watch_cancel(&dev->linger);
    if (dev->kind->release)
        dev->kind->release(dev);
    if (dev->log)
        outlet_stop(dev->log);
    if (chardevs.all)
        g_ptr_array_remove(chardevs.all, dev);
    host_chardev_unref(dev);
}

void chardev_is_written(struct host_chardev *dev)
{
    dev->written = true;
    settle(dev);
}

static void linger_end(void *opaque, GIOCondition condition)
{
    chardev_is_written(opaque);
}

static void log_progress(struct outlet *outlet)
{
    settle(outlet->dev);
}

void chardev_close(struct chardev *chardev)
{
    bool taken = guard_enter();
    struct host_chardev *dev = (struct host_chardev *)chardev;
    if (!dev->closed) {
        host_chardev_ref(dev);
        dev->base.front = NULL;
        dev->base.front_opaque = NULL;
        dev->closed = true;
        dev->named = false;
        g_byte_array_set_size(dev->in, 0);
        watch_after(&dev->linger, dev, LINGER_MS, linger_end, dev);
        dev->written = !dev->kind->close || !dev->kind->close(dev);
        settle(dev);
        host_chardev_unref(dev);
    }
    guard_leave(taken);
}

bool chardev_remove(const char *id, GError **error)
{
    bool taken = guard_enter(), ok = true;
    struct host_chardev *dev = find(id);
    if (!dev)
        ok = CHARDEV_FAIL("Chardev '%s' not found", id);
    else if (dev->base.front || dev->accepts)
        ok = CHARDEV_FAIL("Chardev '%s' is busy", id);
    else
        chardev_close(&dev->base);
    guard_leave(taken);
    return ok;
}

void chardev_close_all(void)
{
    bool taken = guard_enter();
    int64_t give_up = g_get_monotonic_time() + LINGER_MS * 1000;
    while (chardevs.all && chardevs.all->len) {
        /* A mux first: its driver is closed by it. */
        struct host_chardev *dev = g_ptr_array_index(chardevs.all, 0);
        for (unsigned i = 0; i < chardevs.all->len; i++) {
            struct host_chardev *other = g_ptr_array_index(chardevs.all, i);
            if (other->kind == &chardev_mux && !other->closed)
                dev = other;
        }
        host_chardev_ref(dev);
        chardev_close(&dev->base);
        while (!dev->written && g_get_monotonic_time() < give_up) {
            struct outlet *out = &((struct stream *)dev)->out; /* only streams have something left */
            struct pollfd poll_fd = {.fd = out->fd, .events = POLLOUT};
            poll(&poll_fd, 1, 100);
            outlet_flush(out);
        }
        if (dev->log)
            outlet_flush(dev->log);
        if (!dev->written && !((struct stream *)dev)->drops)
            log_user("%s: nobody has read the last %u bytes; they are lost", dev->id,
                     ((struct stream *)dev)->out.bytes->len);
        watch_cancel(&dev->linger);
        if (!dev->written || g_ptr_array_find(chardevs.all, dev, NULL))
            chardev_is_written(dev);
        host_chardev_unref(dev);
    }
    guard_leave(taken);
    terminal_restore();
}

/* --- The front --- */

bool chardev_hears(const struct host_chardev *dev)
{
    return dev->base.front && (dev->base.front->is_control || !vclock_is_stopped());
}

static void tell_state(struct host_chardev *dev)
{
    if (!chardev_hears(dev) || dev->told_open == dev->is_open)
        return;
    dev->told_open = dev->is_open;
    if (dev->base.front->event)
        dev->base.front->event(dev->base.front_opaque, dev->is_open ? CHARDEV_OPENED : CHARDEV_CLOSED);
}

void chardev_set_open(struct host_chardev *dev, bool open)
{
    dev->is_open = open;
    tell_state(dev);
}

void chardev_break(struct host_chardev *dev)
{
    dev->break_pending = true;
    if (!chardev_hears(dev))
        return;
    dev->break_pending = false;
    if (dev->base.front->event)
        dev->base.front->event(dev->base.front_opaque, CHARDEV_BREAK);
}

static bool host_attach(struct chardev *chardev, const struct chardev_front *front, void *opaque)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    if (chardev->front || dev->accepts || dev->closed)
        return false;
    bool taken = guard_enter();
    chardev->front = front;
    chardev->front_opaque = opaque;
    dev->keeps = front->can_wait || (front->is_control && front != &mux_front);
    dev->told_open = dev->break_pending = dev->was_short = false;
    host_chardev_ref(dev);
    tell_state(dev);
    chardev_deliver(dev);
    if (dev->awaits && !dev->closed)
        dev->kind->in_space(dev);
    host_chardev_unref(dev);
    guard_leave(taken);
    return true;
}

static void host_detach(struct chardev *chardev, void *opaque)
{
    if (chardev->front_opaque != opaque)
        return;
    bool taken = guard_enter();
    chardev->front = NULL;
    chardev->front_opaque = NULL;
    guard_leave(taken);
}

bool chardev_may_drop(const struct host_chardev *dev)
{
    return !dev->keeps;
}

/* --- From the front --- */

static size_t host_write(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    if (dev->closed)
        return len;
    size_t taken = dev->kind->write(dev, bytes, len);
    if (taken < len)
        dev->was_short = true;
    if (dev->log && taken)
        outlet_put(dev->log, bytes, taken, true);
    return taken;
}

static void host_write_last(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    size_t taken = host_write(chardev, bytes, len);
    if (taken < len) /* only streams take less */
        outlet_force(&((struct stream *)dev)->out, bytes + taken, len - taken);
}

/* The processor's thread, in a port write. The device thread, which empties the buffer, runs meanwhile. */
static void host_write_all(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    host_chardev_ref(dev);
    for (;;) {
        size_t taken = host_write(chardev, bytes, len);
        bytes += taken;
        len -= taken;
        if (!len || !dev->kind->waits)
            break;
        if (atomic_load(&chardevs.hurry)) { /* one access; what nobody reads is told at the end */
            outlet_force(&((struct stream *)dev)->out, bytes, len);
            break;
        }
        machine_unlock();
        g_usleep(1000);
        machine_lock();
    }
    dev->was_short = false; /* it has not asked to be told */
    host_chardev_unref(dev);
}

void chardev_set_waiting(bool wait)
{
    atomic_store(&chardevs.hurry, !wait);
}

void chardev_tell_room(struct host_chardev *dev)
{
    if (!dev->was_short || !chardev_hears(dev))
        return;
    dev->was_short = false;
    if (dev->base.front->writable)
        dev->base.front->writable(dev->base.front_opaque);
}

static void host_set_lines(struct chardev *chardev, bool dtr, bool rts)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    if (dev->kind->set_lines && !dev->closed)
        dev->kind->set_lines(dev, dtr, rts);
}

/* --- To the front --- */

size_t chardev_in_space(const struct host_chardev *dev)
{
    return dev->in->len < IN_LIMIT ? IN_LIMIT - dev->in->len : 0;
}

void chardev_receive(struct host_chardev *dev, const uint8_t *bytes, size_t len)
{
    if (dev->closed)
        return;
    g_byte_array_append(dev->in, bytes, (guint)MIN(len, chardev_in_space(dev)));
    chardev_deliver(dev);
}

/* Receiving may make the front ask for more at once, take itself away, or close this. */
void chardev_deliver(struct host_chardev *dev)
{
    if (dev->delivering)
        return;
    host_chardev_ref(dev);
    dev->delivering = true;
    while (dev->in->len && chardev_hears(dev) && dev->base.front->receive) {
        uint8_t bytes[256];
        size_t room = dev->base.front->room(dev->base.front_opaque);
        size_t len = MIN(MIN(room, dev->in->len), sizeof(bytes));
        if (!len)
            break;
        memcpy(bytes, dev->in->data, len);
        g_byte_array_remove_range(dev->in, 0, (guint)len);
        dev->base.front->receive(dev->base.front_opaque, bytes, len);
    }
    dev->delivering = false;
    host_chardev_unref(dev);
}

static void host_room_changed(struct chardev *chardev)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    host_chardev_ref(dev);
    chardev_deliver(dev);
    if (!dev->closed && dev->kind->in_space && chardev_in_space(dev))
        dev->kind->in_space(dev);
    host_chardev_unref(dev);
}

void chardev_resume(void)
{
    bool taken = guard_enter();
    for (unsigned i = 0; chardevs.all && i < chardevs.all->len; i++) {
        struct host_chardev *dev = g_ptr_array_index(chardevs.all, i);
        if (dev->closed)
            continue;
        host_chardev_ref(dev);
        if (dev->kind->resume) {
            dev->kind->resume(dev);
        } else {
            tell_state(dev);
            chardev_tell_room(dev);
            if (dev->break_pending)
                chardev_break(dev);
            host_room_changed(&dev->base);
        }
        host_chardev_unref(dev);
    }
    guard_leave(taken);
}

bool chardev_send_break(const char *id, GError **error)
{
    bool taken = guard_enter(), ok = true;
    struct host_chardev *dev = find(id);
    if (dev && dev->kind == &chardev_mux)
        mux_break(dev);
    else if (dev)
        chardev_break(dev);
    else
        ok = CHARDEV_FAIL("Chardev '%s' not found", id);
    guard_leave(taken);
    return ok;
}

/* --- What there is --- */

void chardev_each(void (*each)(void *opaque, const struct chardev_description *description), void *opaque)
{
    bool taken = guard_enter();
    for (unsigned i = 0; chardevs.all && i < chardevs.all->len; i++) {
        const struct host_chardev *dev = g_ptr_array_index(chardevs.all, i);
        if (!dev->named)
            continue;
        GString *filename = g_string_new(NULL);
        if (dev->kind->describe)
            dev->kind->describe(g_ptr_array_index(chardevs.all, i), filename);
        else
            g_string_append(filename, dev->kind->name);
        const struct chardev_description description = {dev->id, filename->str, dev->base.front || dev->accepts};
        each(opaque, &description);
        g_string_free(filename, TRUE);
    }
    guard_leave(taken);
}

/* --- null --- */

static size_t null_write(struct host_chardev *dev, const uint8_t *bytes, size_t len)
{
    return len;
}

static bool null_open(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    dev->is_open = true;
    return true;
}

const struct chardev_kind chardev_null = {
    .name = "null", .size = sizeof(struct host_chardev), .open = null_open, .write = null_write};

/* --- logfile= and the making of all kinds --- */

int chardev_open_path(const char *path, int flags, mode_t mode)
{
    if (chardev_is_sealed()) /* nobody waits for a FIFO's reader while the machine runs */
        flags |= O_NONBLOCK;
    machine_unlock();
    int fd = files_open(path, flags, mode), code = errno;
    machine_lock();
    errno = code;
    return fd;
}

static bool log_open_for(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    const char *path = keyvalues_get(options, "logfile");
    if (!path)
        return true;
    int mode = chardev_switch(options, "logappend", false) ? O_APPEND : O_TRUNC;
    int fd = chardev_open_path(path, O_WRONLY | O_CREAT | O_NOCTTY | mode, 0666);
    if (fd < 0)
        return CHARDEV_FAIL("Unable to open logfile %s: %s", path, g_strerror(errno));
    dev->log = g_new0(struct outlet, 1);
    outlet_init(dev->log, dev, fd);
    dev->log->progress = log_progress;
    return true;
}

/* Opened, with its logfile, and known by its id. */
static struct host_chardev *open_one(const struct chardev_kind *kind, const char *id, struct keyvalues *options,
                                     GError **error)
{
    struct host_chardev *dev = host_chardev_new(kind, id);
    if (log_open_for(dev, options, error) && kind->open(dev, options, error)) {
        host_chardev_register(dev, true);
        return dev;
    }
    chardev_close(&dev->base);
    return NULL;
}

struct chardev *chardev_new(struct keyvalues *options, GError **error)
{
    const char *id = keyvalues_get(options, "id"), *backend = keyvalues_get(options, "backend");
    bool mux = false;
    if (!id)
        CHARDEV_FAIL("chardev: no id specified");
    else if (!backend)
        CHARDEV_FAIL("chardev: \"%s\" missing backend", id);
    else if (!chardev_id_is_good(id))
        CHARDEV_FAIL("Parameter 'id' expects an identifier: letters, digits, '-', '.', '_', starting with a letter");
    if (!id || !backend || !chardev_id_is_good(id) || !chardev_options_check(options, error))
        return NULL;
    const struct chardev_kind *kind = chardev_kind_find(backend, error);
    if (!kind)
        return NULL;
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write(), not our end */
    mux = chardev_switch(options, "mux", false);
    char *driver_id = mux ? g_strdup_printf("%s-base", id) : g_strdup(id);
    bool taken = guard_enter();
    struct host_chardev *dev = NULL;
    if (find(id) || find(driver_id))
        CHARDEV_FAIL("Duplicate ID '%s' for chardev", id);
    else
        dev = open_one(kind, driver_id, options, error);
    if (dev && mux)
        dev = mux_new(id, dev);
    guard_leave(taken);
    g_free(driver_id);
    return dev ? &dev->base : NULL;
}
