/* Host ends of drives: each image has a thread of its own that carries out the drive's requests in order, so
 * that neither the vCPU nor the main loop ever waits for a disk. See block.h.
 */
#include "blockdev.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "log.h"
#include "vclock.h"

enum request_kind { REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH };

struct request {
    enum request_kind kind;
    uint64_t offset;
    uint8_t *buffer;
    uint32_t len;
    block_done_fn *done;
    void *opaque;
};

struct blockdev {
    struct block block; /* first */
    struct image *image;
    char *label;
    GThread *thread;
    GMutex mutex; /* around the two below; taken with or without the machine lock, never the other way */
    GCond cond;
    GQueue queue; /* struct request */
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
    log_user("%s: %s '%s' at byte %llu failed: %s%s; the guest sees a drive error", dev->label,
             verb[request->kind], dev->image->file.path, (unsigned long long)request->offset,
             g_strerror(code), more);
    dev->told_at = now;
    dev->untold = 0;
}

static int request_run(struct blockdev *dev, const struct request *request)
{
    switch (request->kind) {
    case REQUEST_READ:
        return image_read(dev->image, request->offset, request->buffer, request->len);
    case REQUEST_WRITE:
        return dev->block.read_only
                   ? EROFS
                   : image_write(dev->image, request->offset, request->buffer, request->len);
    default:
        return image_flush(dev->image);
    }
}

static gpointer worker(gpointer opaque)
{
    struct blockdev *dev = opaque;
    for (;;) {
        g_mutex_lock(&dev->mutex);
        while (g_queue_is_empty(&dev->queue) && !dev->stops)
            g_cond_wait(&dev->cond, &dev->mutex);
        struct request *request = g_queue_pop_head(&dev->queue);
        g_mutex_unlock(&dev->mutex);
        if (!request)
            return NULL;
        int code = dev->image ? request_run(dev, request) : ENOMEDIUM;
        if (code && dev->image)
            tell_error(dev, request, code);
        machine_lock();
        request->done(request->opaque, code);
        machine_unlock();
        g_free(request);
    }
}

static void submit(struct block *block, struct request what)
{
    struct blockdev *dev = (struct blockdev *)block;
    assert_always(what.kind == REQUEST_FLUSH ||
                  (what.offset <= block->size && what.len <= block->size - what.offset));
    g_mutex_lock(&dev->mutex);
    g_queue_push_tail(&dev->queue, g_memdup2(&what, sizeof(what)));
    g_cond_signal(&dev->cond);
    g_mutex_unlock(&dev->mutex);
}

static void blockdev_read(struct block *block, uint64_t offset, void *buffer, uint32_t len,
                          block_done_fn *done, void *opaque)
{
    submit(block, (struct request){REQUEST_READ, offset, buffer, len, done, opaque});
}

static void blockdev_write(struct block *block, uint64_t offset, const void *buffer, uint32_t len,
                           block_done_fn *done, void *opaque)
{
    submit(block, (struct request){REQUEST_WRITE, offset, (uint8_t *)buffer, len, done, opaque});
}

static void blockdev_flush(struct block *block, block_done_fn *done, void *opaque)
{
    submit(block, (struct request){REQUEST_FLUSH, 0, NULL, 0, done, opaque});
}

static const struct block_ops blockdev_ops = {blockdev_read, blockdev_write, blockdev_flush};

struct block *blockdev_open(const struct image_options *options, const char *label, GError **error)
{
    struct image *image = NULL;
    if (options) {
        image = image_open(options, error);
        if (!image)
            return NULL;
    }
    struct blockdev *dev = g_new0(struct blockdev, 1);
    dev->block.ops = &blockdev_ops;
    dev->image = image;
    dev->label = g_strdup(label);
    if (image) {
        dev->block.size = image->size;
        dev->block.has_medium = true;
        dev->block.read_only = options->read_only;
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
        g_free(dev);
    }
    if (all)
        g_ptr_array_set_size(all, 0);
}
