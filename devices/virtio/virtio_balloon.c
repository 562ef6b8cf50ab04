/* virtio-balloon: memory that the guest gives back. VIRTIO 1.1, 5.5.
 *
 * The host says in num_pages how large the balloon shall be; the driver takes pages from its kernel, names them in the
 * inflate queue, and says in actual how many there are. What is named loses its bytes (mem_discard). The driver keeps a
 * buffer with statistics in a third queue; it is given back when we want new ones.
 */
#include "balloon.h"

#include <string.h>

#include "log.h"
#include "mem.h"
#include "vclock.h"
#include "virtio_pci.h"

#define F_STATS_VQ       (1ull << 1)
#define F_DEFLATE_ON_OOM (1ull << 2)

#define QUEUE_INFLATE 0
#define QUEUE_DEFLATE 1
#define QUEUE_STATS   2
#define QUEUE_SIZE    128

#define PFN_SHIFT 12 /* whatever the guest's pages are */

struct balloon_config {
    struct virtio_options virtio;
    bool deflate_on_oom;
};

/* struct virtio_balloon_config, 5.5.4 */
struct layout_config {
    uint32_t num_pages, actual;
};

/* Saved. */
struct balloon_regs {
    uint64_t inflated; /* pages of the chain at the head of the inflate queue that are done */
    uint64_t stat[BALLOON_STATS];
    int64_t stats_time; /* seconds since the epoch, 0: never */
    uint32_t num_pages, actual;
    uint32_t polling; /* seconds, 0: off */
    uint16_t stats_head;
    bool has_stats; /* the driver's buffer is with us: stats_head */
};

struct balloon_dev {
    struct virtio virtio; /* first */
    struct balloon_regs regs;
    struct balloon balloon; /* what the board sees */
    const struct board_news *news;
    struct vtimer *poll, *tell;
    int64_t told_at; /* when the news were told; 0: not yet */
    bool wants_stats;
};

static uint64_t ram_pages(void)
{
    return guest_mem.ram_size >> PFN_SHIFT;
}

/* --- Inflating --- */

#define RUN_PAGES  4096u
#define RUN_CHAINS 64u
#define PFNS       256u

/* virtio->chain, from where it was left; false: the budget is used up before. */
static bool chain_inflate(struct balloon_dev *dev, unsigned *left)
{
    struct virtio *virtio = &dev->virtio;
    uint64_t pages = virtio->chain->out_len / 4;
    uint32_t pfn[PFNS];
    while (dev->regs.inflated < pages && *left) {
        uint32_t count = (uint32_t)MIN(MIN(pages - dev->regs.inflated, *left), PFNS);
        memset(pfn, 0xff, sizeof(pfn));
        virtio_chain_read(virtio, virtio->chain, 4 * dev->regs.inflated, pfn, 4 * count);
        for (unsigned i = 0, run; i < count; i += run) { /* neighbours at once, also those that come downwards */
            bool down = i + 1 < count && pfn[i + 1] + 1 == pfn[i];
            for (run = 1; i + run < count && pfn[i + run] == (down ? pfn[i] - run : pfn[i] + run); run++)
                continue;
            mem_discard((gpa_t)(down ? pfn[i] - (run - 1) : pfn[i]) << PFN_SHIFT, (uint64_t)run << PFN_SHIFT);
        }
        dev->regs.inflated += count;
        *left -= count;
    }
    return dev->regs.inflated >= pages;
}

static bool inflate_run(struct balloon_dev *dev)
{
    struct virtio *virtio = &dev->virtio;
    unsigned pages = RUN_PAGES, chains = RUN_CHAINS;
    virtqueue_hush(virtio, QUEUE_INFLATE);
    do {
        while (pages && chains && virtqueue_pop(virtio, QUEUE_INFLATE, virtio->chain)) {
            if (!chain_inflate(dev, &pages)) {
                virtqueue_unpop(virtio, QUEUE_INFLATE);
                break;
            }
            dev->regs.inflated = 0;
            virtqueue_push(virtio, QUEUE_INFLATE, virtio->chain->head, 0);
            chains--;
        }
    } while (pages && chains && virtqueue_listen(virtio, QUEUE_INFLATE));
    virtqueue_interrupt(virtio, QUEUE_INFLATE);
    return !(pages && chains);
}

/* The host finds memory when the guest touches it. */
static bool deflate_run(struct balloon_dev *dev)
{
    struct virtio *virtio = &dev->virtio;
    unsigned chains = RUN_CHAINS;
    virtqueue_hush(virtio, QUEUE_DEFLATE);
    do {
        while (chains && virtqueue_pop(virtio, QUEUE_DEFLATE, virtio->chain)) {
            virtqueue_push(virtio, QUEUE_DEFLATE, virtio->chain->head, 0);
            chains--;
        }
    } while (chains && virtqueue_listen(virtio, QUEUE_DEFLATE));
    virtqueue_interrupt(virtio, QUEUE_DEFLATE);
    return !chains;
}

/* --- Statistics --- */

static void stats_forget(struct balloon_dev *dev)
{
    memset(dev->regs.stat, 0xff, sizeof(dev->regs.stat));
    dev->regs.stats_time = 0;
}

/* 5.5.6.3.1: pairs of tag and value, packed. */
static void stats_take(struct balloon_dev *dev)
{
    struct virtio *virtio = &dev->virtio;
    struct {
        uint16_t tag;
        uint64_t value;
    } __attribute__((packed)) stat[2 * BALLOON_STATS];
    uint32_t len = virtio_chain_read(virtio, virtio->chain, 0, stat, sizeof(stat));
    stats_forget(dev);
    for (unsigned i = 0; i < len / sizeof(stat[0]); i++) {
        if (stat[i].tag < BALLOON_STATS)
            dev->regs.stat[stat[i].tag] = stat[i].value;
    }
    dev->regs.stats_time = vclock_wall_seconds();
}

/* One buffer is with us at a time; the first one comes unasked. */
static bool stats_run(struct balloon_dev *dev)
{
    struct virtio *virtio = &dev->virtio;
    unsigned chains = RUN_CHAINS;
    if (dev->wants_stats && dev->regs.has_stats) {
        dev->regs.has_stats = false;
        virtqueue_push(virtio, QUEUE_STATS, dev->regs.stats_head, 0);
    }
    dev->wants_stats = false;
    do {
        while (chains && virtqueue_pop(virtio, QUEUE_STATS, virtio->chain)) {
            if (dev->regs.has_stats) /* it has given us another one before we asked */
                virtqueue_push(virtio, QUEUE_STATS, dev->regs.stats_head, 0);
            stats_take(dev);
            dev->regs.stats_head = virtio->chain->head;
            dev->regs.has_stats = true;
            chains--;
        }
    } while (chains && virtqueue_listen(virtio, QUEUE_STATS)); /* the next one is to be heard of, too */
    virtqueue_interrupt(virtio, QUEUE_STATS);
    return !chains;
}

static void poll_arm(struct balloon_dev *dev)
{
    if (dev->regs.polling)
        vtimer_arm(dev->poll, vclock_now() + dev->regs.polling * NS_PER_SECOND);
    else
        vtimer_cancel(dev->poll);
}

static void poll_due(void *opaque)
{
    struct balloon_dev *dev = opaque;
    dev->wants_stats = true;
    virtio_kick(&dev->virtio, QUEUE_STATS);
    poll_arm(dev);
}

static bool balloon_run(struct virtio *virtio, unsigned queue)
{
    struct balloon_dev *dev = (struct balloon_dev *)virtio;
    return queue == QUEUE_INFLATE ? inflate_run(dev) : queue == QUEUE_DEFLATE ? deflate_run(dev) : stats_run(dev);
}

/* --- News: once a second at most, and the last one surely --- */

static uint64_t balloon_actual(void *opaque)
{
    const struct balloon_dev *dev = opaque;
    return guest_mem.ram_size - (MIN((uint64_t)dev->regs.actual, ram_pages()) << PFN_SHIFT);
}

static void tell(void *opaque)
{
    struct balloon_dev *dev = opaque;
    dev->told_at = MAX(vclock_now(), 1);
    if (dev->news)
        dev->news->balloon_changed(dev->news->opaque, balloon_actual(dev));
}

static void actual_changed(struct balloon_dev *dev)
{
    if (vtimer_armed(dev->tell))
        return;
    if (dev->told_at && vclock_now() < dev->told_at + NS_PER_SECOND)
        vtimer_arm(dev->tell, dev->told_at + NS_PER_SECOND);
    else
        tell(dev);
}

/* --- The board's side --- */

static void balloon_set_target(void *opaque, uint64_t bytes)
{
    struct balloon_dev *dev = opaque;
    dev->regs.num_pages = (uint32_t)((guest_mem.ram_size - MIN(bytes, guest_mem.ram_size)) >> PFN_SHIFT);
    virtio_config_changed(&dev->virtio);
}

static int64_t balloon_stats(void *opaque, uint64_t stat[BALLOON_STATS])
{
    const struct balloon_dev *dev = opaque;
    memcpy(stat, dev->regs.stat, sizeof(dev->regs.stat));
    return dev->regs.stats_time;
}

static void balloon_set_polling(void *opaque, uint32_t seconds)
{
    struct balloon_dev *dev = opaque;
    dev->regs.polling = seconds;
    poll_arm(dev);
}

static uint32_t balloon_polling(void *opaque)
{
    const struct balloon_dev *dev = opaque;
    return dev->regs.polling;
}

/* --- The card --- */

static void balloon_get_config(struct virtio *virtio, uint8_t *bytes)
{
    const struct balloon_dev *dev = (struct balloon_dev *)virtio;
    const struct layout_config layout = {dev->regs.num_pages, dev->regs.actual};
    memcpy(bytes, &layout, sizeof(layout));
}

static void balloon_set_config(struct virtio *virtio, const uint8_t *config, uint32_t offset, unsigned size)
{
    struct balloon_dev *dev = (struct balloon_dev *)virtio;
    struct layout_config layout;
    memcpy(&layout, config, sizeof(layout));
    if (layout.actual == dev->regs.actual)
        return;
    dev->regs.actual = layout.actual;
    actual_changed(dev);
}

/* What the balloon holds stays the host's wish; all memory is the guest's again. */
static void balloon_was_reset(struct virtio *virtio)
{
    struct balloon_dev *dev = (struct balloon_dev *)virtio;
    bool changed = dev->regs.actual;
    dev->regs.has_stats = dev->wants_stats = false;
    dev->regs.inflated = 0;
    dev->regs.actual = 0;
    stats_forget(dev);
    if (changed)
        actual_changed(dev);
}

static const struct virtio_ops balloon_ops = {balloon_run, balloon_get_config, balloon_set_config,
                                              .reset = balloon_was_reset};
static const struct virtio_identity balloon_identity = {"virtio-balloon", 5, 0x1002, 0x00ff00,
                                                        sizeof(struct layout_config)};

static void *balloon_create(const struct device_site *site, enum virtio_variant variant, const void *opaque,
                            GError **error)
{
    const struct balloon_config *config = opaque;
    if (board_service(site->board, "balloon")) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: Only one balloon device is supported", site->id);
        return NULL;
    }
    struct balloon_dev *dev = g_new0(struct balloon_dev, 1);
    if (!virtio_init(&dev->virtio, site, &balloon_identity, variant, &config->virtio, &balloon_ops, error)) {
        g_free(dev);
        return NULL;
    }
    dev->balloon = (struct balloon){
        site->id, balloon_set_target, balloon_actual, balloon_stats, balloon_set_polling, balloon_polling, dev};
    dev->news = board_service(site->board, "news");
    dev->poll = vtimer_new(poll_due, dev, "balloon-stats");
    dev->tell = vtimer_new(tell, dev, "balloon-news");
    dev->virtio.features |= F_STATS_VQ | (config->deflate_on_oom ? F_DEFLATE_ON_OOM : 0);
    stats_forget(dev);
    for (unsigned i = 0; i < 3; i++)
        virtio_add_queue(&dev->virtio, QUEUE_SIZE);
    virtio_plug(&dev->virtio, site);
    board_provide(site->board, "balloon", &dev->balloon);
    return dev;
}

static void balloon_destroy(void *opaque)
{
    struct balloon_dev *dev = opaque;
    virtio_destroy(&dev->virtio);
    vtimer_free(dev->poll);
    vtimer_free(dev->tell);
    g_free(dev);
}

static void balloon_reset(void *dev)
{
    virtio_reset(dev);
}

/* --- State --- */

static const struct state_field balloon_fields[] = {
    STATE_FIELD(balloon_regs, inflated),   STATE_FIELD(balloon_regs, stat),      STATE_FIELD(balloon_regs, stats_time),
    STATE_FIELD(balloon_regs, num_pages),  STATE_FIELD(balloon_regs, actual),    STATE_FIELD(balloon_regs, polling),
    STATE_FIELD(balloon_regs, stats_head), STATE_FIELD(balloon_regs, has_stats),
};
static const struct state_layout balloon_layout = STATE_LAYOUT(1, balloon_regs, balloon_fields);

static void balloon_pieces(void *opaque, struct state_pieces *pieces)
{
    struct balloon_dev *dev = opaque;
    virtio_pieces(opaque, pieces);
    state_add(pieces, "balloon", 0, &balloon_layout, &dev->regs);
}

static void balloon_before_save(void *dev)
{
}

static void balloon_before_load(void *dev)
{
}

static bool balloon_after_load(void *opaque)
{
    struct balloon_dev *dev = opaque;
    if (!virtio_after_load(&dev->virtio))
        return false;
    dev->wants_stats = false;
    poll_arm(dev);
    vtimer_cancel(dev->tell); /* another clock */
    dev->told_at = 0;
    return true;
}

static void balloon_dump(void *opaque, GString *out)
{
    const struct balloon_dev *dev = opaque;
    virtio_dump(&dev->virtio, out);
    g_string_append_printf(out, "  %u pages wanted, %u in it; statistics every %u s, %s\n", dev->regs.num_pages,
                           dev->regs.actual, dev->regs.polling, dev->regs.has_stats ? "there" : "not there");
}

static const struct property balloon_properties[] = {VIRTIO_PROPERTIES(balloon_config),
                                                     PROPERTY(balloon_config, deflate_on_oom, "deflate-on-oom",
                                                              PROPERTY_BOOL, 0, NULL,
                                                              "the guest may take back what it needs"),
                                                     PROPERTY_END};

VIRTIO_CLASSES(balloon, "virtio-balloon", "Virtio memory balloon");
