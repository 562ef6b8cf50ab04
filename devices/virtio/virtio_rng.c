/* virtio-rng: random bytes. VIRTIO 1.1, 5.4.
 *
 * The driver's buffers are filled from the host's source as they come, at most max-bytes in each period; those for
 * which none are left wait in the ring.
 */
#include "log.h"
#include "vclock.h"
#include "virtio_pci.h"

#define QUEUE_SIZE 8

struct rng_config {
    struct virtio_options virtio;
    const char *rng;
    uint64_t max_bytes;
    uint32_t period;
};

/* Saved. */
struct rng_regs {
    uint64_t left;      /* bytes of this period */
    int64_t period_end; /* vclock's; 0: none has begun */
};

struct rng {
    struct virtio virtio; /* first */
    struct rng_regs regs;
    const struct rng_config *config;
    const struct board_rng *source;
    struct vtimer *timer; /* there are bytes again */
};

#define NS_PER_MS  1000000ll
#define RETRY_MS   10 /* for a source that has nothing now */
#define PIECE      4096u
#define RUN_BYTES  (64u * KiB)
#define RUN_CHAINS 64u

static bool is_limited(const struct rng *rng)
{
    return rng->config->max_bytes < INT64_MAX;
}

static void period_begin(struct rng *rng)
{
    int64_t now = vclock_now();
    if (!is_limited(rng) || now < rng->regs.period_end)
        return;
    rng->regs.left = rng->config->max_bytes;
    rng->regs.period_end = now + rng->config->period * NS_PER_MS;
}

/* virtio->chain gets its bytes, as far as *left goes; how many. */
static uint32_t chain_fill(struct rng *rng, uint32_t *left)
{
    struct virtio *virtio = &rng->virtio;
    uint64_t most = MIN(virtio->chain->in_len, *left);
    uint32_t done = 0;
    uint8_t bytes[PIECE];
    if (is_limited(rng))
        most = MIN(most, rng->regs.left);
    while (done < most) {
        uint32_t part = (uint32_t)MIN(most - done, PIECE);
        if (!rng->source->get(rng->source->opaque, bytes, part))
            break;
        done += virtio_chain_write(virtio, virtio->chain, done, bytes, part);
    }
    if (is_limited(rng))
        rng->regs.left -= done;
    *left -= done;
    return done;
}

static bool rng_run(struct virtio *virtio, unsigned queue)
{
    struct rng *rng = (struct rng *)virtio;
    uint32_t bytes = RUN_BYTES;
    unsigned chains = RUN_CHAINS;
    bool waits = false;
    virtqueue_hush(virtio, queue);
    do {
        while (bytes && chains && !waits && virtqueue_pop(virtio, queue, virtio->chain)) {
            period_begin(rng);
            uint32_t written = chain_fill(rng, &bytes);
            waits = !written && virtio->chain->in_len;
            if (waits)
                virtqueue_unpop(virtio, queue);
            else
                virtqueue_push(virtio, queue, virtio->chain->head, written);
            chains--;
        }
    } while (bytes && chains && !waits && virtqueue_listen(virtio, queue));
    virtqueue_interrupt(virtio, queue);
    if (waits)
        vtimer_arm(rng->timer,
                   is_limited(rng) && !rng->regs.left ? rng->regs.period_end : vclock_now() + RETRY_MS * NS_PER_MS);
    return !waits && !(bytes && chains);
}

static void rng_timer(void *opaque)
{
    struct rng *rng = opaque;
    virtio_kick(&rng->virtio, 0);
}

/* The limit stays: a driver cannot get more by resetting the device. */
static void rng_was_reset(struct virtio *virtio)
{
    struct rng *rng = (struct rng *)virtio;
    vtimer_cancel(rng->timer);
}

/* --- The card --- */

static const struct virtio_ops rng_ops = {.run = rng_run, .reset = rng_was_reset};
static const struct virtio_identity rng_identity = {"virtio-rng", 4, 0x1005, 0x00ff00, 0};

static bool config_is_valid(const struct device_site *site, const struct rng_config *config,
                            const struct board_rng *source, GError **error)
{
    if (!source)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: there is no source of random bytes", site->id);
    else if (config->rng && !source->is_there(source->opaque, config->rng))
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: there is no -object rng-random or rng-builtin with the id '%s'", site->id, config->rng);
    else if (!config->period)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: 'period' parameter expects a positive integer",
                    site->id);
    else
        return true;
    return false;
}

static void *rng_create(const struct device_site *site, enum virtio_variant variant, const void *opaque, GError **error)
{
    const struct rng_config *config = opaque;
    const struct board_rng *source = board_service(site->board, "rng");
    if (!config_is_valid(site, config, source, error))
        return NULL;
    struct rng *rng = g_new0(struct rng, 1);
    if (!virtio_init(&rng->virtio, site, &rng_identity, variant, &config->virtio, &rng_ops, error)) {
        g_free(rng);
        return NULL;
    }
    rng->config = config;
    rng->source = source;
    rng->timer = vtimer_new(rng_timer, rng, "virtio-rng");
    virtio_add_queue(&rng->virtio, QUEUE_SIZE);
    virtio_plug(&rng->virtio, site);
    return rng;
}

static void rng_destroy(void *dev)
{
    struct rng *rng = dev;
    virtio_destroy(&rng->virtio);
    vtimer_free(rng->timer);
    g_free(rng);
}

static void rng_reset(void *dev)
{
    virtio_reset(dev);
}

static const struct state_field rng_fields[] = {STATE_FIELD(rng_regs, left), STATE_FIELD(rng_regs, period_end)};
static const struct state_layout rng_layout = STATE_LAYOUT(1, rng_regs, rng_fields);

static void rng_pieces(void *dev, struct state_pieces *pieces)
{
    struct rng *rng = dev;
    virtio_pieces(dev, pieces);
    state_add(pieces, "rng", 0, &rng_layout, &rng->regs);
}

static void rng_before_save(void *dev)
{
}

static void rng_before_load(void *dev)
{
}

/* Who waits is run again, and arms the timer. */
static bool rng_after_load(void *dev)
{
    struct rng *rng = dev;
    if (!virtio_after_load(&rng->virtio))
        return false;
    /* Another limit than where it was saved, or a time that cannot be. */
    rng->regs.left = MIN(rng->regs.left, rng->config->max_bytes);
    rng->regs.period_end = CLAMP(rng->regs.period_end, 0, vclock_now() + rng->config->period * NS_PER_MS);
    vtimer_cancel(rng->timer);
    return true;
}

static void rng_dump(void *dev, GString *out)
{
    const struct rng *rng = dev;
    virtio_dump(&rng->virtio, out);
    if (is_limited(rng))
        g_string_append_printf(out, "  %llu of %llu bytes left in this period of %u ms\n",
                               (unsigned long long)rng->regs.left, (unsigned long long)rng->config->max_bytes,
                               rng->config->period);
}

static const struct property rng_properties[] = {
    VIRTIO_PROPERTIES(rng_config),
    PROPERTY(rng_config, rng, "rng", PROPERTY_STRING, 0, NULL, "id of an -object rng-random or rng-builtin"),
    PROPERTY(rng_config, max_bytes, "max-bytes", PROPERTY_NUMBER, INT64_MAX, "0x7fffffffffffffff",
             "in each period, at most"),
    PROPERTY(rng_config, period, "period", PROPERTY_NUMBER, UINT32_MAX, "65536", "milliseconds"), PROPERTY_END};

VIRTIO_CLASSES(rng, "virtio-rng", "Virtio source of random bytes");
