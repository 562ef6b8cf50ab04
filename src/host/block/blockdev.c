/* Host ends of drives: each image has a thread of its own that carries out the drive's requests in order, so
 * that neither the vCPU nor the main loop ever waits for a disk. See block.h.
 */
#include "blockdev.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "log.h"
#include "vclock.h"

enum request_kind {
    REQUEST_READ,
    REQUEST_WRITE,
    REQUEST_FLUSH,
    REQUEST_DISCARD,
    REQUEST_ZERO,
    REQUEST_CHANGE,
    REQUEST_REFRESH
};

struct request {
    enum request_kind kind;
    uint64_t offset;
    uint8_t *buffer;
    uint32_t len;
    block_done_fn *done;
    void *opaque;
    int64_t asked_at; /* ns */
    bool may_unmap;
};

/* The drive's tray, as the drive moves it. */
struct tray {
    void (*move)(void *opaque, bool open);
    void (*request)(void *opaque);
    void *opaque;
    bool told_open; /* what the hooks were told last */
};

struct blockdev {
    struct block block;           /* first */
    struct image *image;          /* the thread's; others look at block */
    struct image_options options; /* as the drive was given, for the next medium */
    char *label;
    char *format;                  /* as given with the present medium, NULL: it told itself */
    void (*changed)(void *opaque); /* NULL: the medium is fixed */
    void *changed_opaque;
    uint64_t max_size;
    struct tray tray;
    struct blockdev_stats stats; /* under mutex */
    bool read_only;              /* of the present medium; options.read_only is the drive's */
    GThread *thread;
    GMutex mutex; /* around the four below; taken with or without the machine lock, never the other way */
    GCond cond;
    GQueue queue; /* struct request */
    bool busy;    /* a request is being carried out, its completion included */
    bool stops;
    int64_t told_at; /* when the user last heard of an error, monotonic microseconds */
    unsigned untold;
};

static GPtrArray *all; /* struct blockdev */
static struct blockdev_hooks hooks;

void blockdev_set_hooks(const struct blockdev_hooks *wanted)
{
    machine_lock(); /* drives are at work when the last who listens goes */
    hooks = *wanted;
    machine_unlock();
}

static int64_t now_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

#define TELL_EVERY (10 * G_USEC_PER_SEC)

/* One message, then at most one every ten seconds: a guest retries. */
static void tell_error(struct blockdev *dev, const struct request *request, int code)
{
    static const char *const verb[] = {"reading", "writing", "flushing", "discarding in", "zeroing"};
    int64_t now = g_get_monotonic_time();
    if (dev->told_at && now - dev->told_at < TELL_EVERY) {
        dev->untold++;
        return;
    }
    char more[48] = "";
    if (dev->untold)
        g_snprintf(more, sizeof(more), ", and %u more errors before", dev->untold);
    log_user("%s: %s '%s' at byte %llu failed: %s%s; the guest sees a drive error", dev->label, verb[request->kind],
             dev->image->file.path, (unsigned long long)request->offset, g_strerror(code), more);
    dev->told_at = now;
    dev->untold = 0;
}

static int request_run(struct blockdev *dev, const struct request *request)
{
    /* Asked of a larger medium, which is gone. */
    if (request->offset > dev->image->size || request->len > dev->image->size - request->offset)
        return ENOMEDIUM;
    switch (request->kind) {
    case REQUEST_READ:
        return image_read(dev->image, request->offset, request->buffer, request->len);
    case REQUEST_WRITE:
        return dev->block.read_only ? EROFS : image_write(dev->image, request->offset, request->buffer, request->len);
    case REQUEST_DISCARD:
        if (dev->block.read_only)
            return EROFS;
        return dev->options.discard ? image_discard(dev->image, request->offset, request->len) : 0;
    case REQUEST_ZERO:
        return dev->block.read_only
                   ? EROFS
                   : image_zero(dev->image, request->offset, request->len, request->may_unmap && dev->options.discard);
    default:
        return image_flush(dev->image);
    }
}

/* What blockdev_change() wants, and what came of it. */
struct change {
    const char *path, *format;
    bool read_only;
    GError *error;
    bool done;
};

static void medium_set(struct blockdev *dev, struct image *image, bool read_only)
{
    machine_lock();
    dev->image = image;
    dev->block.read_only = image ? read_only : dev->options.read_only;
    dev->block.has_medium = image != NULL;
    dev->block.size = image ? image->size : 0;
    dev->changed(dev->changed_opaque);
    machine_unlock();
}

static void medium_out(struct blockdev *dev)
{
    struct image *old = dev->image;

    if (!old)
        return;
    medium_set(dev, NULL, false);
    int code = image_close(old);
    if (code)
        log_user("%s: closing the old medium failed: %s", dev->label, g_strerror(code));
}

static struct image *medium_open(const struct blockdev *dev, const char *path, const char *format, bool read_only,
                                 GError **error)
{
    struct image_options options = dev->options;
    options.path = path;
    options.format = format;
    options.read_only = read_only;
    struct image *image = image_open(&options, error);
    if (image && image->size > dev->max_size) {
        g_set_error(error, image_error(), 0, "disk image '%s' is too large for this drive", path);
        image_close(image);
        image = NULL;
    }
    return image;
}

/* The new medium is opened before the old one goes: what cannot be opened leaves the old one in. */
static void medium_change(struct blockdev *dev, struct change *change)
{
    struct image *image = NULL;

    if (change->path && dev->image && image_writes_to(dev->image, change->path)) {
        /* The same again: it can be open once only. */
        char *path = g_strdup(change->path), *format = g_strdup(dev->format);
        bool read_only = dev->block.read_only;
        medium_out(dev);
        image = medium_open(dev, change->path, change->format, change->read_only, &change->error);
        struct image *old = image ? NULL : medium_open(dev, path, format, read_only, NULL);
        if (old)
            medium_set(dev, old, read_only);
        g_free(path);
        g_free(format);
    } else if (change->path) {
        image = medium_open(dev, change->path, change->format, change->read_only, &change->error);
    }
    if (!change->error) {
        medium_out(dev);
        g_free(dev->format);
        dev->format = image ? g_strdup(change->format) : NULL;
        if (image)
            medium_set(dev, image, change->read_only);
    }
    g_mutex_lock(&dev->mutex);
    change->done = true;
    g_cond_broadcast(&dev->cond);
    g_mutex_unlock(&dev->mutex);
}

static void request_over(struct blockdev *dev)
{
    g_mutex_lock(&dev->mutex);
    dev->busy = false;
    g_cond_broadcast(&dev->cond);
    g_mutex_unlock(&dev->mutex);
}

/* What query-blockstats says. */
static void request_count(struct blockdev *dev, const struct request *request, int code)
{
    bool is_write = request->kind == REQUEST_WRITE || request->kind == REQUEST_ZERO;
    struct blockdev_count *count = request->kind == REQUEST_READ      ? &dev->stats.rd
                                   : is_write                         ? &dev->stats.wr
                                   : request->kind == REQUEST_DISCARD ? &dev->stats.unmap
                                                                      : &dev->stats.flush;
    int64_t now = now_ns();
    g_mutex_lock(&dev->mutex);
    dev->stats.last_at = now;
    if (code) {
        count->failed++;
    } else {
        count->operations++;
        count->bytes += request->len;
        count->ns += now - request->asked_at;
        if (is_write)
            dev->stats.wr_highest = MAX(dev->stats.wr_highest, request->offset + request->len);
    }
    g_mutex_unlock(&dev->mutex);
}

static gpointer worker(gpointer opaque)
{
    struct blockdev *dev = opaque;
    for (;;) {
        g_mutex_lock(&dev->mutex);
        while (g_queue_is_empty(&dev->queue) && !dev->stops)
            g_cond_wait(&dev->cond, &dev->mutex);
        struct request *request = g_queue_pop_head(&dev->queue);
        dev->busy = request != NULL;
        g_mutex_unlock(&dev->mutex);
        if (!request)
            return NULL;
        if (request->kind == REQUEST_CHANGE) {
            medium_change(dev, request->opaque);
            g_free(request);
            request_over(dev);
            continue;
        }
        if (request->kind == REQUEST_REFRESH) {
            int why = dev->image ? image_refresh(dev->image) : 0;
            if (why)
                log_user("%s: '%s' cannot be read again: %s", dev->label, dev->image->file.path, g_strerror(why));
            g_free(request);
            request_over(dev);
            continue;
        }
        int code = dev->image ? request_run(dev, request) : ENOMEDIUM;
        bool failed = code && dev->image;
        if (failed)
            tell_error(dev, request, code);
        request_count(dev, request, code);
        machine_lock();
        if (failed && hooks.failed && request->kind != REQUEST_FLUSH)
            hooks.failed(hooks.opaque, dev->label, request->kind != REQUEST_READ, code);
        request->done(request->opaque, code);
        machine_unlock();
        g_free(request);
        request_over(dev);
    }
}

bool blockdev_drain(void)
{
    bool waited = false;
    for (unsigned i = 0; all && i < all->len; i++) {
        struct blockdev *dev = g_ptr_array_index(all, i);
        g_mutex_lock(&dev->mutex);
        while (dev->busy || !g_queue_is_empty(&dev->queue)) {
            waited = true;
            g_cond_wait(&dev->cond, &dev->mutex);
        }
        g_mutex_unlock(&dev->mutex);
    }
    return waited;
}

static void submit(struct block *block, struct request what)
{
    struct blockdev *dev = (struct blockdev *)block;
    assert_always(what.kind == REQUEST_FLUSH || (what.offset <= block->size && what.len <= block->size - what.offset));
    what.asked_at = now_ns();
    g_mutex_lock(&dev->mutex);
    g_queue_push_tail(&dev->queue, g_memdup2(&what, sizeof(what)));
    g_cond_broadcast(&dev->cond);
    g_mutex_unlock(&dev->mutex);
}

static void blockdev_read(struct block *block, uint64_t offset, void *buffer, uint32_t len, block_done_fn *done,
                          void *opaque)
{
    submit(block, (struct request){REQUEST_READ, offset, buffer, len, done, opaque});
}

static void blockdev_write(struct block *block, uint64_t offset, const void *buffer, uint32_t len, block_done_fn *done,
                           void *opaque)
{
    submit(block, (struct request){REQUEST_WRITE, offset, (uint8_t *)buffer, len, done, opaque});
}

static void blockdev_flush(struct block *block, block_done_fn *done, void *opaque)
{
    submit(block, (struct request){REQUEST_FLUSH, 0, NULL, 0, done, opaque});
}

static void blockdev_discard(struct block *block, uint64_t offset, uint32_t len, block_done_fn *done, void *opaque)
{
    submit(block, (struct request){REQUEST_DISCARD, offset, NULL, len, done, opaque});
}

static void blockdev_write_zeroes(struct block *block, uint64_t offset, uint32_t len, bool may_unmap,
                                  block_done_fn *done, void *opaque)
{
    submit(block, (struct request){REQUEST_ZERO, offset, NULL, len, done, opaque, .may_unmap = may_unmap});
}

static void blockdev_set_removable(struct block *block, void (*changed)(void *opaque), void *opaque, uint64_t max_size)
{
    struct blockdev *dev = (struct blockdev *)block;
    dev->changed = changed;
    dev->changed_opaque = opaque;
    dev->max_size = max_size;
}

static void blockdev_set_tray(struct block *block, void (*move)(void *opaque, bool open), void (*request)(void *opaque),
                              void *opaque)
{
    struct blockdev *dev = (struct blockdev *)block;
    dev->tray = (struct tray){move, request, opaque, block->tray_open};
}

static void blockdev_tray_changed(struct block *block)
{
    struct blockdev *dev = (struct blockdev *)block;
    if (dev->tray.told_open == block->tray_open)
        return;
    dev->tray.told_open = block->tray_open;
    if (hooks.tray_moved)
        hooks.tray_moved(hooks.opaque, dev->label, block->tray_open);
}

static const struct block_ops blockdev_ops = {blockdev_read,          blockdev_write,       blockdev_flush,
                                              blockdev_set_removable, blockdev_set_tray,    blockdev_tray_changed,
                                              blockdev_discard,       blockdev_write_zeroes};

/* Its thread has ended, or never was. */
static void blockdev_free(struct blockdev *dev)
{
    if (dev->image) {
        char *path = g_strdup(dev->image->file.path);
        int code = image_close(dev->image);
        if (code)
            log_user("%s: closing '%s' failed: %s; what was written last may be lost", dev->label, path,
                     g_strerror(code));
        g_free(path);
    }
    g_mutex_clear(&dev->mutex);
    g_cond_clear(&dev->cond);
    g_free(dev->label);
    g_free(dev->format);
    g_free(dev);
}

struct block *blockdev_open(const struct image_options *options, const char *label, GError **error)
{
    struct image *image = NULL;
    if (options->path) {
        image = image_open(options, error);
        if (!image)
            return NULL;
    }
    struct blockdev *dev = g_new0(struct blockdev, 1);
    dev->block.ops = &blockdev_ops;
    dev->image = image;
    dev->label = g_strdup(label);
    dev->options = *options;
    dev->format = g_strdup(options->format);
    dev->block.read_only = options->read_only;
    if (image) {
        dev->block.size = image->size;
        dev->block.has_medium = true;
    }
    g_mutex_init(&dev->mutex);
    g_cond_init(&dev->cond);
    g_queue_init(&dev->queue);

    /* Signals are for the threads that expect them. */
    sigset_t none, before;
    sigfillset(&none);
    pthread_sigmask(SIG_SETMASK, &none, &before);
    dev->thread = g_thread_try_new(label, worker, dev, error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!dev->thread) {
        g_prefix_error(error, "drive '%s': ", label);
        blockdev_free(dev);
        return NULL;
    }
    if (!all)
        all = g_ptr_array_new();
    g_ptr_array_add(all, dev);
    return &dev->block;
}

void blockdev_refresh_all(void)
{
    const struct request request = {.kind = REQUEST_REFRESH};
    for (unsigned i = 0; all && i < all->len; i++) {
        struct blockdev *dev = g_ptr_array_index(all, i);
        g_mutex_lock(&dev->mutex);
        g_queue_push_tail(&dev->queue, g_memdup2(&request, sizeof(request)));
        g_cond_broadcast(&dev->cond);
        g_mutex_unlock(&dev->mutex);
    }
}

static struct blockdev *blockdev_find(const char *label)
{
    for (unsigned i = 0; all && i < all->len; i++) {
        struct blockdev *dev = g_ptr_array_index(all, i);
        if (strcmp(dev->label, label) == 0)
            return dev;
    }
    return NULL;
}

/* With *error: there is none of that name, or its medium stays. */
static struct blockdev *removable_find(const char *label, GError **error)
{
    struct blockdev *dev = blockdev_find(label);
    if (dev && dev->changed)
        return dev;
    g_set_error(error, image_error(), 0,
                dev ? "Device '%s' is not removable: its disk is fixed" : "Device '%s' not found", label);
    return NULL;
}

static bool change(struct blockdev *dev, const char *path, const char *format, bool read_only, GError **error)
{
    struct change change = {.path = path, .format = format, .read_only = read_only};
    struct request request = {.kind = REQUEST_CHANGE, .opaque = &change};
    g_mutex_lock(&dev->mutex);
    g_queue_push_tail(&dev->queue, g_memdup2(&request, sizeof(request)));
    g_cond_broadcast(&dev->cond);
    while (!change.done)
        g_cond_wait(&dev->cond, &dev->mutex);
    g_mutex_unlock(&dev->mutex);
    if (change.error)
        g_propagate_error(error, change.error);
    return !change.error;
}

bool blockdev_change(const char *label, const char *path, const char *format, GError **error)
{
    struct blockdev *dev = removable_find(label, error);
    return dev && change(dev, path, format, dev->options.read_only, error);
}

/* A drive without a tray is always open. */
static bool tray_open(struct blockdev *dev, bool force, GError **error)
{
    bool ok = true;
    machine_lock();
    if (dev->tray.move && !dev->block.tray_open) {
        if (dev->block.tray_locked && !force) {
            dev->tray.request(dev->tray.opaque);
            ok = false;
        } else {
            dev->tray.move(dev->tray.opaque, true);
        }
    }
    machine_unlock();
    if (!ok)
        g_set_error(error, image_error(), 0,
                    "Device '%s' is locked and force was not specified, wait for tray to open and try again",
                    dev->label);
    return ok;
}

static void tray_close(struct blockdev *dev)
{
    machine_lock();
    if (dev->tray.move)
        dev->tray.move(dev->tray.opaque, false);
    machine_unlock();
}

bool blockdev_open_tray(const char *label, bool force, GError **error)
{
    struct blockdev *dev = removable_find(label, error);
    return dev && tray_open(dev, force, error);
}

bool blockdev_close_tray(const char *label, GError **error)
{
    struct blockdev *dev = removable_find(label, error);
    if (dev)
        tray_close(dev);
    return dev;
}

bool blockdev_eject(const char *label, bool force, GError **error)
{
    struct blockdev *dev = removable_find(label, error);
    return dev && tray_open(dev, force, error) && change(dev, NULL, NULL, false, error);
}

bool blockdev_insert(const char *label, const char *path, const char *format, enum blockdev_mode mode, bool force,
                     GError **error)
{
    struct blockdev *dev = removable_find(label, error);
    if (!dev)
        return false;
    machine_lock();
    bool was_open = dev->block.tray_open;
    bool read_only =
        mode == BLOCKDEV_RETAIN ? dev->block.read_only || dev->options.read_only : mode == BLOCKDEV_READ_ONLY;
    bool is_cd = dev->options.read_only && dev->tray.move;
    machine_unlock();
    if (is_cd && mode == BLOCKDEV_READ_WRITE) {
        g_set_error(error, image_error(), 0, "Device '%s' can only hold media that are read-only", label);
        return false;
    }
    if (!tray_open(dev, force, error))
        return false;
    bool ok = change(dev, path, format, read_only, error);
    if (ok || !was_open)
        tray_close(dev);
    return ok;
}

bool blockdev_put_in(const char *label, const struct image_options *options, GError **error)
{
    struct blockdev *dev = removable_find(label, error);
    if (!dev)
        return false;
    machine_lock();
    bool closed = dev->tray.move && !dev->block.tray_open, full = dev->block.has_medium;
    machine_unlock();
    if (closed) {
        g_set_error(error, image_error(), 0, "Tray of device '%s' is not open", label);
        return false;
    }
    if (options && full) {
        g_set_error(error, image_error(), 0, "There already is a medium in device '%s'", label);
        return false;
    }
    return change(dev, options ? options->path : NULL, options ? options->format : NULL,
                  options && (options->read_only || dev->options.read_only), error);
}

bool blockdev_commit(const char *label, GError **error)
{
    bool found = false;
    for (unsigned i = 0; all && i < all->len; i++) {
        struct blockdev *dev = g_ptr_array_index(all, i);
        if (label && strcmp(dev->label, label) != 0)
            continue;
        found = true;
        if (!dev->options.snapshot || !dev->image)
            continue;
        int code = image_snapshot_commit(dev->image);
        if (code) {
            g_set_error(error, image_error(), 0, "'commit' error for '%s': %s", dev->label, g_strerror(code));
            return false;
        }
    }
    if (!found && label)
        g_set_error(error, image_error(), 0, "Device '%s' not found", label);
    return found || !label;
}

bool blockdev_look(unsigned i, struct blockdev_look *look)
{
    if (!all || i >= all->len)
        return false;
    struct blockdev *dev = g_ptr_array_index(all, i);
    *look = (struct blockdev_look){.label = dev->label, .removable = dev->changed, .cache = dev->options.cache};
    machine_lock();
    const struct block *block = &dev->block;
    look->has_tray = block->has_tray;
    look->tray_open = block->tray_open;
    look->tray_locked = block->tray_locked;
    look->read_only = block->read_only;
    look->snapshot = dev->options.snapshot;
    if (block->has_medium) {
        look->path = g_strdup(dev->image->file.path);
        look->format = dev->image->ops->format;
        look->size = block->size;
    }
    machine_unlock();
    g_mutex_lock(&dev->mutex);
    look->stats = dev->stats;
    g_mutex_unlock(&dev->mutex);
    if (look->stats.last_at)
        look->stats.idle_ns = now_ns() - look->stats.last_at;
    return true;
}

void blockdev_look_clear(struct blockdev_look *look)
{
    g_free(look->path);
}

bool blockdev_peek(struct block *block, uint64_t offset, void *buffer, uint32_t len)
{
    struct blockdev *dev = (struct blockdev *)block;
    return dev->image && offset <= block->size && len <= block->size - offset &&
           image_read(dev->image, offset, buffer, len) == 0;
}

void blockdev_close(struct block *block)
{
    struct blockdev *dev = (struct blockdev *)block;
    g_ptr_array_remove(all, dev);
    g_mutex_lock(&dev->mutex);
    dev->stops = true;
    g_cond_signal(&dev->cond);
    g_mutex_unlock(&dev->mutex);
    g_thread_join(dev->thread); /* after the last request */
    blockdev_free(dev);
}

void blockdev_close_all(void)
{
    while (all && all->len)
        blockdev_close(g_ptr_array_index(all, 0));
}
