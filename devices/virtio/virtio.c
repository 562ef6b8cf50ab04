/* The life of a virtio device: features and status, its driver's notifications, interrupts, state. What its registers
 * look like on PCI is virtio_pci.c's.
 *
 * VIRTIO 1.1, chapters 2 and 3. A notification only marks its queue: the work is done when the bus is granted
 * (pci_work_new in pci.h).
 */
#include <string.h>

#include "log.h"
#include "virtio_pci.h"

static bool is_modern_driver(const struct virtio *virtio)
{
    return virtio_has(virtio, VIRTIO_F_VERSION_1);
}

bool virtio_is_running(const struct virtio *virtio)
{
    return virtio->regs.started && !virtio->regs.broken;
}

bool virtio_queue_is_on(const struct virtio *virtio, unsigned queue)
{
    return queue < virtio->queue_count && virtio->queue[queue].regs.enabled;
}

/* --- Interrupts --- */

/* Must be called when the interrupt status may have changed. While messages are on, the bus does not drive the pin. */
static void virtio_update_irq(struct virtio *virtio)
{
    pci_set_intx(&virtio->pci, virtio->regs.isr != 0);
}

static void interrupt(struct virtio *virtio, uint8_t isr, uint16_t vector)
{
    virtio->regs.isr |= isr;
    virtio_update_irq(virtio);
    if (vector != VIRTIO_NO_VECTOR)
        pci_msix_notify(&virtio->pci, vector);
}

void virtio_queue_interrupt(struct virtio *virtio, unsigned queue)
{
    interrupt(virtio, VIRTIO_ISR_QUEUE, virtio->queue[queue].regs.vector);
}

void virtio_config_changed(struct virtio *virtio)
{
    virtio->regs.generation++;
    if (virtio->regs.started)
        interrupt(virtio, VIRTIO_ISR_CONFIG, virtio->regs.config_vector);
}

uint8_t virtio_ack_isr(struct virtio *virtio)
{
    uint8_t isr = virtio->regs.isr;
    virtio->regs.isr = 0;
    virtio_update_irq(virtio);
    return isr;
}

/* 2.1.2: a driver that knows of the bit hears of it. */
void virtio_break(struct virtio *virtio, const char *why)
{
    if (virtio->regs.broken)
        return;
    log_guest("%s: %s; it stands still until it is reset", virtio->identity->name, why);
    virtio->regs.broken = true;
    virtio->regs.kicked = 0;
    pci_work_cancel(virtio->work);
    if (is_modern_driver(virtio)) {
        virtio->regs.status |= VIRTIO_NEEDS_RESET;
        virtio_config_changed(virtio);
    }
}

/* --- Work --- */

static void work_arm(struct virtio *virtio)
{
    if ((virtio->regs.kicked | virtio->recheck) && virtio_is_running(virtio))
        pci_work_ask(virtio->work);
}

/* Each kicked queue once: what does not end within its budget comes again, so that others get the lock. */
static void work(void *opaque)
{
    struct virtio *virtio = opaque;
    uint64_t now = virtio->regs.kicked | virtio->recheck;
    virtio->regs.kicked = virtio->recheck = 0;
    for (unsigned queue = 0; queue < virtio->queue_count; queue++) {
        if ((now >> queue & 1) && virtio_is_running(virtio) && virtio_queue_is_on(virtio, queue) &&
            virtio->ops->run(virtio, queue))
            virtio->regs.kicked |= 1ull << queue;
    }
    if (virtio->regs.broken)
        virtio->regs.kicked = 0;
    work_arm(virtio);
}

void virtio_kick(struct virtio *virtio, unsigned queue)
{
    virtio->recheck |= 1ull << queue;
    work_arm(virtio);
}

static void start(struct virtio *virtio, bool is_legacy)
{
    if (virtio->regs.started)
        return;
    /* Old drivers forget that a device which is to reach memory has to be made master. */
    if (is_legacy)
        virtio->pci.config[PCI_COMMAND] |= PCI_COMMAND_MASTER;
    virtio->regs.started = true;
    if (virtio->ops->driver_ok)
        virtio->ops->driver_ok(virtio);
    work_arm(virtio);
}

void virtio_driver_kick(struct virtio *virtio, unsigned queue)
{
    if (!virtio_queue_is_on(virtio, queue) || virtio->regs.broken) {
        log_guest("%s: queue %u is told of, but it is not on", virtio->identity->name, queue);
        return;
    }
    /* Linux before 3.18 reads the partition table before it says that its driver is ready. */
    if (virtio->has_legacy && !virtio->regs.started && !is_modern_driver(virtio) &&
        (virtio->regs.status & VIRTIO_DRIVER))
        start(virtio, true);
    virtio->regs.kicked |= 1ull << queue;
    work_arm(virtio);
}

/* --- Status --- */

void virtio_queue_off(struct virtio *virtio, unsigned queue)
{
    virtio->queue[queue].regs =
        (struct virtqueue_regs){.size = virtio->queue[queue].size_max, .vector = VIRTIO_NO_VECTOR};
    virtio->regs.kicked &= ~(1ull << queue);
    virtio->recheck &= ~(1ull << queue);
}

void virtio_reset(struct virtio *virtio)
{
    pci_work_cancel(virtio->work);
    virtio->regs = (struct virtio_regs){.config_vector = VIRTIO_NO_VECTOR, .generation = virtio->regs.generation};
    for (unsigned i = 0; i < virtio->queue_count; i++)
        virtio_queue_off(virtio, i);
    virtio_update_irq(virtio);
    if (virtio->ops->reset)
        virtio->ops->reset(virtio);
}

void virtio_set_status(struct virtio *virtio, uint8_t status, bool is_legacy)
{
    struct virtio_regs *regs = &virtio->regs;
    if (!status) {
        virtio_reset(virtio);
        return;
    }
    if (!is_legacy && (status & VIRTIO_FEATURES_OK) && !(regs->status & VIRTIO_FEATURES_OK) &&
        ((regs->driver_features & ~virtio->features) || !(regs->driver_features & VIRTIO_F_VERSION_1))) {
        log_guest("%s: features %llx cannot be had", virtio->identity->name, (unsigned long long)regs->driver_features);
        status &= (uint8_t)~VIRTIO_FEATURES_OK; /* 3.1.1: the driver looks whether it stayed */
    }
    regs->status = (uint8_t)((status & ~VIRTIO_NEEDS_RESET) | (regs->status & VIRTIO_NEEDS_RESET));
    if (regs->status & VIRTIO_DRIVER_OK)
        start(virtio, is_legacy);
}

/* --- Making one --- */

bool virtio_init(struct virtio *virtio, const struct device_site *site, const struct virtio_identity *identity,
                 enum virtio_variant variant, const struct virtio_options *options, const struct virtio_ops *ops,
                 GError **error)
{
    const char *disable_legacy = options->disable_legacy ? options->disable_legacy : "auto";
    bool no_legacy = strcmp(disable_legacy, "on") == 0;
    if (!no_legacy && strcmp(disable_legacy, "off") != 0 && strcmp(disable_legacy, "auto") != 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: 'disable-legacy' is on, off or auto, not '%s'",
                    site->id, disable_legacy);
        return false;
    }
    virtio->has_legacy =
        variant == VIRTIO_TRANSITIONAL || (variant == VIRTIO_BY_PROPERTIES && identity->legacy_id && !no_legacy);
    virtio->has_modern = variant != VIRTIO_BY_PROPERTIES || !options->disable_modern;
    if (!virtio->has_legacy && !virtio->has_modern) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: device cannot work as neither modern nor legacy mode is enabled; leave out disable-modern",
                    site->id);
        return false;
    }
    assert_always(identity->config_size <= VIRTIO_CONFIG_MAX);
    virtio->identity = identity;
    virtio->ops = ops;
    virtio->config_size = identity->config_size;
    virtio->vectors = options->vectors;
    virtio->features = VIRTIO_F_ANY_LAYOUT | (virtio->has_modern ? VIRTIO_F_VERSION_1 : 0) |
                       (options->event_idx ? VIRTIO_F_EVENT_IDX : 0) |
                       (options->indirect_desc ? VIRTIO_F_INDIRECT_DESC : 0);
    virtio_pci_init(virtio);
    virtio->work = pci_work_new(&virtio->pci, work, virtio);
    virtio->chain = g_new0(struct virtio_chain, 1);
    virtio->regs.config_vector = VIRTIO_NO_VECTOR;
    return true;
}

unsigned virtio_add_queue(struct virtio *virtio, uint16_t size_max)
{
    assert_always(virtio->queue_count < VIRTIO_QUEUES_MAX && size_max && size_max <= VIRTQUEUE_SIZE_MAX &&
                  !(size_max & (size_max - 1)));
    virtio->queue[virtio->queue_count].size_max = size_max;
    virtio_queue_off(virtio, virtio->queue_count);
    return virtio->queue_count++;
}

void virtio_plug(struct virtio *virtio, const struct device_site *site)
{
    if (virtio->vectors == VIRTIO_VECTORS_BY_QUEUES)
        virtio->vectors = virtio->queue_count + 1;
    virtio_pci_add(virtio);
    pci_plug(board_service(site->board, "pci"), &virtio->pci, (uint8_t)site->unit);
}

void virtio_destroy(struct virtio *virtio)
{
    pci_work_free(virtio->work);
    if (virtio->pci.bus)
        pci_unplug(&virtio->pci);
    g_free(virtio->chain);
}

/* --- State --- */

static const struct state_field virtio_fields[] = {
    STATE_FIELD(virtio_regs, driver_features),
    STATE_FIELD(virtio_regs, kicked),
    STATE_FIELD(virtio_regs, device_feature_select),
    STATE_FIELD(virtio_regs, driver_feature_select),
    STATE_FIELD(virtio_regs, queue_select),
    STATE_FIELD(virtio_regs, config_vector),
    STATE_FIELD(virtio_regs, status),
    STATE_FIELD(virtio_regs, isr),
    STATE_FIELD(virtio_regs, generation),
    STATE_FIELD(virtio_regs, started),
    STATE_FIELD(virtio_regs, broken),
};
static const struct state_layout virtio_layout = STATE_LAYOUT(1, virtio_regs, virtio_fields);

void virtio_pieces(struct virtio *virtio, struct state_pieces *pieces)
{
    state_add(pieces, "virtio", 0, &virtio_layout, &virtio->regs);
    for (unsigned i = 0; i < virtio->queue_count; i++)
        state_add(pieces, "queue", i, &virtqueue_layout, &virtio->queue[i].regs);
}

static bool vector_is_valid(const struct virtio *virtio, uint16_t vector)
{
    return vector == VIRTIO_NO_VECTOR || vector < virtio->vectors;
}

bool virtio_after_load(struct virtio *virtio)
{
    const struct virtio_regs *regs = &virtio->regs;
    if (!vector_is_valid(virtio, regs->config_vector) || regs->isr > (VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG) ||
        (virtio->queue_count < 64 && regs->kicked >> virtio->queue_count))
        return false;
    for (unsigned i = 0; i < virtio->queue_count; i++) {
        const struct virtqueue_regs *queue = &virtio->queue[i].regs;
        if (!vector_is_valid(virtio, queue->vector) || !queue->size || queue->size > virtio->queue[i].size_max ||
            (queue->size & (queue->size - 1)))
            return false;
    }
    pci_work_cancel(virtio->work);
    virtio_update_irq(virtio);
    virtio->recheck = 0;
    for (unsigned i = 0; i < virtio->queue_count; i++) {
        if (virtio_queue_is_on(virtio, i))
            virtio_kick(virtio, i);
    }
    return true;
}

void virtio_dump(const struct virtio *virtio, GString *out)
{
    const struct virtio_regs *regs = &virtio->regs;
    g_string_append_printf(out, "%s: status=%02x isr=%x features=%llx of %llx%s%s\n", virtio->identity->name,
                           regs->status, regs->isr, (unsigned long long)regs->driver_features,
                           (unsigned long long)virtio->features, regs->started ? "" : " not started",
                           regs->broken ? " broken" : "");
    for (unsigned i = 0; i < virtio->queue_count; i++) {
        const struct virtqueue_regs *queue = &virtio->queue[i].regs;
        if (queue->enabled)
            g_string_append_printf(out, "  queue %u: size=%u desc=%llx avail=%llx used=%llx taken=%u given=%u\n", i,
                                   queue->size, (unsigned long long)queue->desc, (unsigned long long)queue->avail,
                                   (unsigned long long)queue->used, queue->last_avail, queue->used_index);
    }
}
