/* Host ends of drives: each image has a thread of its own that carries out the drive's requests in order, so
 * that neither the vCPU nor the main loop ever waits for a disk. See block.h.
 */
#include "blockdev.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "log.h"
#include "vclock.h"

enum request_kind { REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH, REQUEST_CHANGE };

struct request {
    enum request_kind kind;
    uint64_t offset;
    uint8_t *buffer;
    uint32_t len;
    block_done_fn *done;
    void *opaque;
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

#define TELL_EVERY (10 * G_USEC_PER_SEC)

/* One message, then at most one every ten seconds: a guest retries. */
static void tell_error(struct blockdev *dev, const struct request *request, int code)
{
    static const char *const verb[] = {"reading", "writing", "flushing"};
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
    default:
        return image_flush(dev->image);
    }
}

/* What blockdev_change() wants, and what came of it. */
struct change {
    const char *path, *format;
    GError *error;
    bool done;
};

static void medium_set(struct blockdev *dev, struct image *image)
{
    machine_lock();
    dev->image = image;
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
    medium_set(dev, NULL);
    int code = image_close(old);
    if (code)
        log_user("%s: closing the old medium failed: %s", dev->label, g_strerror(code));
}

static struct image *medium_open(const struct blockdev *dev, const char *path, const char *format, GError **error)
{
    struct image_options options = dev->options;
    options.path = path;
    options.format = format;
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
        medium_out(dev);
        image = medium_open(dev, change->path, change->format, &change->error);
        struct image *old = image ? NULL : medium_open(dev, path, format, NULL);
        if (old)
            medium_set(dev, old);
        g_free(path);
        g_free(format);
    } else if (change->path) {
        image = medium_open(dev, change->path, change->format, &change->error);
    }
    if (!change->error) {
        medium_out(dev);
        g_free(dev->format);
        dev->format = image ? g_strdup(change->format) : NULL;
        if (image)
            medium_set(dev, image);
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
        int code = dev->image ? request_run(dev, request) : ENOMEDIUM;
        if (code && dev->image)
            tell_error(dev, request, code);
        machine_lock();
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

static void blockdev_set_removable(struct block *block, void (*changed)(void *opaque), void *opaque, uint64_t max_size)
{
    struct blockdev *dev = (struct blockdev *)block;
    dev->changed = changed;
    dev->changed_opaque = opaque;
    dev->max_size = max_size;
}

static const struct block_ops blockdev_ops = {blockdev_read, blockdev_write, blockdev_flush, blockdev_set_removable};

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
    dev->thread = g_thread_new(label, worker, dev);
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    if (!all)
        all = g_ptr_array_new();
    g_ptr_array_add(all, dev);
    return &dev->block;
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

bool blockdev_change(const char *label, const char *path, const char *format, GError **error)
{
    struct blockdev *dev = blockdev_find(label);
    if (!dev || !dev->changed) {
        g_set_error(error, image_error(), 0, dev ? "%s: its disk is fixed" : "%s: there is no such drive", label);
        return false;
    }
    struct change change = {.path = path, .format = format};
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

void blockdev_describe(GString *out)
{
    machine_lock();
    for (unsigned i = 0; all && i < all->len; i++) {
        const struct blockdev *dev = g_ptr_array_index(all, i);
        g_string_append_printf(out, "%s: ", dev->label);
        if (dev->block.has_medium)
            g_string_append_printf(out, "%s (%s, %llu KiB%s)", dev->image->file.path, dev->image->ops->format,
                                   (unsigned long long)(dev->block.size / KiB),
                                   dev->block.read_only ? ", read-only" : "");
        else
            g_string_append(out, "empty");
        g_string_append(out, dev->changed ? ", removable\n" : "\n");
    }
    machine_unlock();
}

bool blockdev_peek(struct block *block, uint64_t offset, void *buffer, uint32_t len)
{
    struct blockdev *dev = (struct blockdev *)block;
    return dev->image && offset <= block->size && len <= block->size - offset &&
           image_read(dev->image, offset, buffer, len) == 0;
}

void blockdev_close_all(void)
{
    for (unsigned i = 0; all && i < all->len; i++) {
        struct blockdev *dev = g_ptr_array_index(all, i);
        g_mutex_lock(&dev->mutex);
        dev->stops = true;
        g_cond_signal(&dev->cond);
        g_mutex_unlock(&dev->mutex);
        g_thread_join(dev->thread); /* after the last request */
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
    if (all)
        g_ptr_array_set_size(all, 0);
}
