/* virtio-9p: a folder of the host.
 *
 * VIRTIO 1.2, 5.13 has little more than its number; the rest is 9P's: a chain is a message to be read and room for its
 * answer. Nothing of a message is looked at here but its length. Many are under way at once, as many as the back end
 * has slots for.
 *
 * A saved machine keeps the session (which fids there are) as the back end gives it, which is after all requests that
 * were under way; so their answers are saved, too, unless they are long: those only read, and are asked for anew.
 */
#include <string.h>

#include "fsdev.h"
#include "log.h"
#include "virtio_pci.h"

#define F_MOUNT_TAG 1ull

#define TAG_MAX    32u
#define QUEUE      0
#define QUEUE_SIZE 128u
#define HEADER_LEN 7u /* u32 size, u8 type, u16 tag */
#define REPLY_MAX  256u

struct p9_config {
    struct virtio_options virtio;
    struct fsdev *fsdev;
    const char *mount_tag;
};

/* Saved: what is under way, with the answers that have come. */
struct p9_regs {
    uint16_t head[FSDEV_SLOTS];
    uint16_t reply_len[FSDEV_SLOTS]; /* 0: it is asked again */
    uint8_t reply[FSDEV_SLOTS][REPLY_MAX];
    uint8_t count;
    uint32_t session_len; /* 0: no fid is left */
};

struct p9_request {
    struct virtio_chain *chain; /* of its own; NULL: the slot is free */
    bool is_answered;
    struct fsdev_answer answer;
};

struct p9 {
    struct virtio virtio; /* first */
    struct p9_regs regs;
    const struct p9_config *config;
    struct fsdev *fsdev;
    struct p9_request request[FSDEV_SLOTS];
    unsigned under_way;
    struct p9_regs todo; /* loaded, and still to be walked */
    uint8_t *session;    /* FSDEV_STATE_MAX bytes, while it is saved or loaded */
    bool has_pushed;
};

/* --- Answers --- */

static void reply(struct p9 *p9, const struct virtio_chain *chain, const uint8_t *bytes, uint32_t len)
{
    struct virtio *virtio = &p9->virtio;
    if (len < HEADER_LEN) {
        virtio_break(virtio, "a buffer without room for an answer");
        return;
    }
    virtio_chain_write(virtio, chain, 0, bytes, len);
    virtqueue_push(virtio, QUEUE, chain->head, len);
    p9->has_pushed = true;
}

static void request_free(struct p9 *p9, unsigned slot)
{
    g_clear_pointer(&p9->request[slot].chain, g_free);
    p9->request[slot].is_answered = false;
    p9->under_way--;
}

static void answers_take(struct p9 *p9)
{
    struct fsdev_answer answer;
    /* Also those of before a reset, which nobody waits for: their slots become free by that. */
    while (p9->fsdev->ops->take(p9->fsdev, &answer)) {
        p9->request[answer.slot].answer = answer;
        p9->request[answer.slot].is_answered = true;
    }
}

static void answers_push(struct p9 *p9)
{
    answers_take(p9);
    for (unsigned slot = 0; p9->under_way && slot < FSDEV_SLOTS; slot++) {
        const struct p9_request *request = &p9->request[slot];
        if (!request->is_answered)
            continue;
        reply(p9, request->chain, request->answer.bytes, request->answer.len);
        p9->fsdev->ops->release(p9->fsdev, slot);
        request_free(p9, slot);
    }
}

/* On the device thread: guest memory is for the next run. */
static void p9_answered(void *opaque)
{
    struct p9 *p9 = opaque;
    virtio_kick(&p9->virtio, QUEUE);
}

/* --- Requests --- */

/* The chain is virtio->chain. */
static void request_begin(struct p9 *p9, unsigned slot, uint8_t *message)
{
    struct virtio *virtio = &p9->virtio;
    const struct virtio_chain *chain = virtio->chain;
    uint32_t size = 0, len = (uint32_t)MIN(chain->out_len, FSDEV_MESSAGE_MAX);
    len = virtio_chain_read(virtio, chain, 0, message, len);
    memcpy(&size, message, MIN(len, sizeof(size)));
    if (len < HEADER_LEN || size < HEADER_LEN || size > len || chain->in_len < HEADER_LEN) {
        virtio_break(virtio, "a message that is not as long as it says, or has no room for its answer");
        return;
    }
    p9->request[slot].chain = virtio_chain_copy(chain);
    p9->under_way++;
    p9->fsdev->ops->send(p9->fsdev, slot, size, (uint32_t)MIN(chain->in_len, FSDEV_MESSAGE_MAX));
}

/* What was under way when the state was saved. */
static void loaded_requests_begin(struct p9 *p9)
{
    struct virtio *virtio = &p9->virtio;
    struct p9_regs *todo = &p9->todo;
    unsigned count = todo->count, slot;
    todo->count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!virtqueue_walk(virtio, QUEUE, todo->head[i], virtio->chain))
            continue;
        uint8_t *message = todo->reply_len[i] ? NULL : p9->fsdev->ops->begin(p9->fsdev, &slot);
        if (message)
            request_begin(p9, slot, message);
        else if (todo->reply_len[i])
            reply(p9, virtio->chain, todo->reply[i], todo->reply_len[i]);
    }
}

#define RUN_BUDGET 128
#define WAITS_MAX  8

static bool p9_run(struct virtio *virtio, unsigned queue)
{
    struct p9 *p9 = (struct p9 *)virtio;
    unsigned left = RUN_BUDGET, waits = 0, slot;
    uint8_t *message = NULL;
    loaded_requests_begin(p9);
    answers_push(p9);
    virtqueue_hush(virtio, QUEUE);
    do {
        while (left && (message = p9->fsdev->ops->begin(p9->fsdev, &slot)) &&
               virtqueue_pop(virtio, QUEUE, virtio->chain)) {
            request_begin(p9, slot, message);
            left--;
        }
    } while (left && message && virtqueue_listen(virtio, QUEUE));
    while (waits < WAITS_MAX && (p9->under_way || !message) && p9->fsdev->ops->wait(p9->fsdev)) {
        answers_push(p9);
        waits++;
    }
    if (p9->has_pushed)
        virtqueue_interrupt(virtio, QUEUE);
    p9->has_pushed = false;
    return !left || waits == WAITS_MAX || (!message && waits);
}

static void requests_give_up(struct p9 *p9)
{
    for (unsigned slot = 0; slot < FSDEV_SLOTS; slot++) {
        if (p9->request[slot].chain)
            request_free(p9, slot);
    }
    p9->fsdev->ops->reset(p9->fsdev);
    p9->todo.count = 0;
    p9->has_pushed = false;
}

static void p9_was_reset(struct virtio *virtio)
{
    requests_give_up((struct p9 *)virtio);
}

/* 5.13.4: u16 length, the tag without a zero. */
static void p9_get_config(struct virtio *virtio, uint8_t *bytes)
{
    const struct p9 *p9 = (struct p9 *)virtio;
    uint16_t len = (uint16_t)strlen(p9->config->mount_tag);
    memcpy(bytes, &len, 2);
    memcpy(bytes + 2, p9->config->mount_tag, len);
}

/* --- The card --- */

static const struct virtio_ops p9_ops = {.run = p9_run, .get_config = p9_get_config, .reset = p9_was_reset};
static const struct virtio_identity p9_identity = {"virtio-9p", 9, 0x1009, 0x000200, 2 + TAG_MAX};
static const struct fsdev_front p9_front = {p9_answered};

static void *p9_create(const struct device_site *site, enum virtio_variant variant, const void *opaque, GError **error)
{
    const struct p9_config *config = opaque;
    if (!config->fsdev || !config->mount_tag || !*config->mount_tag) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: needs %s", site->id,
                    config->fsdev ? "mount_tag=, the name by which the guest mounts it" : "fsdev=, the id of a -fsdev");
        return NULL;
    }
    struct p9 *p9 = g_new0(struct p9, 1);
    if (!virtio_init(&p9->virtio, site, &p9_identity, variant, &config->virtio, &p9_ops, error)) {
        g_free(p9);
        return NULL;
    }
    p9->config = config;
    p9->fsdev = config->fsdev;
    p9->fsdev->front = &p9_front;
    p9->fsdev->front_opaque = p9;
    p9->session = g_malloc0(FSDEV_STATE_MAX);
    p9->virtio.features |= F_MOUNT_TAG;
    p9->virtio.config_size = 2 + (uint32_t)strlen(config->mount_tag);
    virtio_add_queue(&p9->virtio, QUEUE_SIZE);
    virtio_plug(&p9->virtio, site);
    return p9;
}

static void p9_destroy(void *dev)
{
    struct p9 *p9 = dev;
    requests_give_up(p9);
    p9->fsdev->front = NULL;
    virtio_destroy(&p9->virtio);
    g_free(p9->session);
    g_free(p9);
}

static void p9_reset(void *dev)
{
    virtio_reset(dev);
}

/* --- State --- */

static const struct state_field p9_fields[] = {STATE_FIELD(p9_regs, head), STATE_FIELD(p9_regs, reply_len),
                                               STATE_FIELD(p9_regs, reply), STATE_FIELD(p9_regs, count),
                                               STATE_FIELD(p9_regs, session_len)};
static const struct state_layout p9_layout = STATE_LAYOUT(1, p9_regs, p9_fields);

static void p9_pieces(void *dev, struct state_pieces *pieces)
{
    struct p9 *p9 = dev;
    virtio_pieces(dev, pieces);
    state_add(pieces, "9p", 0, &p9_layout, &p9->regs);
    state_add_bytes(pieces, "session", 0, p9->session, FSDEV_STATE_MAX);
}

static void p9_before_save(void *dev)
{
    struct p9 *p9 = dev;
    struct p9_regs *regs = &p9->regs;
    p9->fsdev->ops->settle(p9->fsdev);
    answers_take(p9);
    *regs = p9->todo;
    for (unsigned slot = 0; slot < FSDEV_SLOTS && regs->count < FSDEV_SLOTS; slot++) {
        const struct p9_request *request = &p9->request[slot];
        unsigned n = regs->count;
        if (!request->chain)
            continue;
        regs->head[n] = request->chain->head;
        regs->reply_len[n] = 0;
        memset(regs->reply[n], 0, REPLY_MAX);
        if (request->is_answered && request->answer.len >= HEADER_LEN && request->answer.len <= REPLY_MAX) {
            regs->reply_len[n] = (uint16_t)request->answer.len;
            memcpy(regs->reply[n], request->answer.bytes, request->answer.len);
        }
        regs->count++;
    }
    for (unsigned n = regs->count; n < FSDEV_SLOTS; n++) {
        regs->head[n] = regs->reply_len[n] = 0;
        memset(regs->reply[n], 0, REPLY_MAX);
    }
    memset(p9->session, 0, FSDEV_STATE_MAX);
    regs->session_len = MIN(p9->fsdev->ops->save(p9->fsdev, p9->session), FSDEV_STATE_MAX);
}

static void p9_before_load(void *dev)
{
    requests_give_up(dev);
}

static bool p9_after_load(void *dev)
{
    struct p9 *p9 = dev;
    if (p9->regs.count > FSDEV_SLOTS || p9->regs.session_len > FSDEV_STATE_MAX)
        return false;
    for (unsigned i = 0; i < p9->regs.count; i++) {
        uint16_t len = p9->regs.reply_len[i];
        if (len > REPLY_MAX || (len && len < HEADER_LEN))
            return false;
    }
    if (!virtio_after_load(&p9->virtio))
        return false;
    if (p9->regs.session_len)
        p9->fsdev->ops->load(p9->fsdev, p9->session, p9->regs.session_len);
    p9->todo = p9->regs;
    return true;
}

static void p9_dump(void *dev, GString *out)
{
    const struct p9 *p9 = dev;
    virtio_dump(&p9->virtio, out);
    g_string_append_printf(out, "  mount tag %s: %u requests under way\n", p9->config->mount_tag, p9->under_way);
}

static const struct property p9_properties[] = {
    VIRTIO_PROPERTIES(p9_config), PROPERTY(p9_config, fsdev, "fsdev", PROPERTY_FSDEV, 0, NULL, "id of a -fsdev"),
    PROPERTY(p9_config, mount_tag, "mount_tag", PROPERTY_STRING, TAG_MAX, NULL, "name by which the guest mounts it"),
    PROPERTY_END};

VIRTIO_CLASSES(p9, "virtio-9p", "Virtio folder of the host");
