/* The registers of a virtio device on PCI: the legacy ones in I/O ports, the modern ones in memory.
 *
 * VIRTIO 1.1, 4.1; legacy: Virtio PCI Card 0.9.5, 2.2. Where things are is as in QEMU:
 *
 *   BAR0  legacy registers, device configuration behind them
 *   BAR1  MSI-X
 *   BAR4  0000h common configuration   1000h interrupt status   2000h device configuration   3000h notifications
 */
#include "virtio_pci.h"

#include <string.h>

#include "log.h"

#define VENDOR    0x1af4
#define MODERN_ID 0x1040 /* and the virtio device id */

#define BAR_LEGACY 0
#define BAR_MSIX   1
#define BAR_MODERN 4

static struct virtqueue *queue_selected(struct virtio *virtio)
{
    return virtio->regs.queue_select < virtio->queue_count ? &virtio->queue[virtio->regs.queue_select] : NULL;
}

/* A vector that is not there reads back as none (4.1.5.1.2.1). */
static uint16_t vector_taken(const struct virtio *virtio, uint32_t vector)
{
    return vector < virtio->vectors ? (uint16_t)vector : VIRTIO_NO_VECTOR;
}

/* --- Device-specific configuration --- */

static uint32_t device_read(struct virtio *virtio, uint32_t offset, unsigned size)
{
    uint8_t config[VIRTIO_CONFIG_MAX + 8] = {0};
    uint32_t value = 0;
    if (offset >= virtio->config_size)
        return 0;
    if (virtio->ops->get_config)
        virtio->ops->get_config(virtio, config);
    memcpy(&value, config + offset, size);
    return value;
}

static void device_write(struct virtio *virtio, uint32_t offset, unsigned size, uint32_t value)
{
    uint8_t config[VIRTIO_CONFIG_MAX + 8] = {0};
    if (offset + size > virtio->config_size || !virtio->ops->set_config)
        return;
    if (virtio->ops->get_config)
        virtio->ops->get_config(virtio, config);
    memcpy(config + offset, &value, size);
    virtio->ops->set_config(virtio, config, offset, size);
}

/* --- The legacy interface --- */

#define LEGACY_DEVICE_FEATURES 0x00
#define LEGACY_DRIVER_FEATURES 0x04
#define LEGACY_QUEUE_PFN       0x08
#define LEGACY_QUEUE_SIZE      0x0c
#define LEGACY_QUEUE_SELECT    0x0e
#define LEGACY_QUEUE_NOTIFY    0x10
#define LEGACY_STATUS          0x12
#define LEGACY_ISR             0x13
#define LEGACY_CONFIG_VECTOR   0x14 /* these two are there while MSI-X is on */
#define LEGACY_QUEUE_VECTOR    0x16
#define LEGACY_CONFIG          0x14
#define LEGACY_CONFIG_MSIX     0x18

static uint32_t legacy_config_at(const struct virtio *virtio)
{
    return pci_msix_is_on(&virtio->pci) ? LEGACY_CONFIG_MSIX : LEGACY_CONFIG;
}

static uint32_t legacy_register(struct virtio *virtio, uint32_t offset)
{
    const struct virtqueue *queue = queue_selected(virtio);
    switch (offset) {
    case LEGACY_DEVICE_FEATURES:
        return (uint32_t)virtio->features;
    case LEGACY_DRIVER_FEATURES:
        return (uint32_t)virtio->regs.driver_features;
    case LEGACY_QUEUE_PFN:
        return queue && queue->regs.enabled ? (uint32_t)(queue->regs.desc >> PAGE_SHIFT) : 0;
    case LEGACY_QUEUE_SIZE:
        return queue ? queue->size_max : 0;
    case LEGACY_QUEUE_SELECT:
        return virtio->regs.queue_select;
    case LEGACY_STATUS:
        return virtio->regs.status;
    case LEGACY_ISR:
        return virtio_ack_isr(virtio);
    case LEGACY_CONFIG_VECTOR:
        return virtio->regs.config_vector;
    case LEGACY_QUEUE_VECTOR:
        return queue ? queue->regs.vector : VIRTIO_NO_VECTOR;
    default:
        return 0;
    }
}

static uint32_t legacy_read(void *opaque, uint16_t port, unsigned size)
{
    struct virtio *virtio = opaque;
    uint32_t offset = port - virtio->pci.bar[BAR_LEGACY].base, config = legacy_config_at(virtio);
    return offset >= config ? device_read(virtio, offset - config, size) : legacy_register(virtio, offset);
}

/* 2.3: the page number of a ring whose parts follow each other; 0 takes it away. */
static void legacy_set_pfn(struct virtio *virtio, uint32_t pfn)
{
    struct virtqueue *queue = queue_selected(virtio);
    if (!queue)
        return;
    uint16_t vector = queue->regs.vector;
    virtio_queue_off(virtio, virtio->regs.queue_select);
    queue->regs.vector = vector;
    if (!pfn)
        return;
    queue->regs.desc = (uint64_t)pfn << PAGE_SHIFT;
    queue->regs.avail = queue->regs.desc + 16ul * queue->size_max;
    queue->regs.used = (queue->regs.avail + 6 + 2ul * queue->size_max + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
    queue->regs.enabled = true;
}

static void legacy_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct virtio *virtio = opaque;
    struct virtqueue *queue = queue_selected(virtio);
    uint32_t offset = port - virtio->pci.bar[BAR_LEGACY].base, config = legacy_config_at(virtio);
    if (offset >= config) {
        device_write(virtio, offset - config, size, value);
        return;
    }
    switch (offset) {
    case LEGACY_DRIVER_FEATURES:
        if (!virtio->regs.started)
            virtio->regs.driver_features = value & virtio->features;
        break;
    case LEGACY_QUEUE_PFN:
        legacy_set_pfn(virtio, value);
        break;
    case LEGACY_QUEUE_SELECT:
        virtio->regs.queue_select = (uint16_t)value;
        break;
    case LEGACY_QUEUE_NOTIFY:
        virtio_driver_kick(virtio, value & 0xffff);
        break;
    case LEGACY_STATUS:
        virtio_set_status(virtio, (uint8_t)value, true);
        break;
    case LEGACY_CONFIG_VECTOR:
        virtio->regs.config_vector = vector_taken(virtio, value & 0xffff);
        break;
    case LEGACY_QUEUE_VECTOR:
        if (queue)
            queue->regs.vector = vector_taken(virtio, value & 0xffff);
        break;
    default:
        break;
    }
}

static const struct io_ops legacy_io = {1 | 2 | 4, legacy_read, legacy_write};

/* --- The modern interface --- */

#define MODERN_SIZE     0x4000u
#define MODERN_REGION   0x1000u
#define MODERN_COMMON   0x0000u
#define MODERN_ISR      0x1000u
#define MODERN_DEVICE   0x2000u
#define MODERN_NOTIFY   0x3000u
#define NOTIFY_MULTIPLE 4u /* bytes between the notification addresses of queues */

/* struct virtio_pci_common_cfg, 4.1.4.3 */
struct common {
    uint32_t device_feature_select, device_feature;
    uint32_t driver_feature_select, driver_feature;
    uint16_t config_msix_vector, num_queues;
    uint8_t device_status, config_generation;
    uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
    uint64_t queue_desc, queue_driver, queue_device;
};
#define COMMON(member) offsetof(struct common, member)

static uint32_t feature_word(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static void common_get(struct virtio *virtio, struct common *common)
{
    const struct virtio_regs *regs = &virtio->regs;
    const struct virtqueue *queue = queue_selected(virtio);
    *common = (struct common){
        .device_feature_select = regs->device_feature_select,
        .device_feature = feature_word(virtio->features, regs->device_feature_select),
        .driver_feature_select = regs->driver_feature_select,
        .driver_feature = feature_word(regs->driver_features, regs->driver_feature_select),
        .config_msix_vector = regs->config_vector,
        .num_queues = (uint16_t)virtio->queue_count,
        .device_status = regs->status,
        .config_generation = regs->generation,
        .queue_select = regs->queue_select,
        .queue_msix_vector = VIRTIO_NO_VECTOR,
    };
    if (!queue)
        return;
    common->queue_size = queue->regs.size;
    common->queue_msix_vector = queue->regs.vector;
    common->queue_enable = queue->regs.enabled;
    common->queue_notify_off = regs->queue_select;
    common->queue_desc = queue->regs.desc;
    common->queue_driver = queue->regs.avail;
    common->queue_device = queue->regs.used;
}

static uint64_t common_read(struct virtio *virtio, uint32_t offset, unsigned size)
{
    struct common common;
    uint64_t value = 0;
    common_get(virtio, &common);
    if (offset + size <= sizeof(common))
        memcpy(&value, (uint8_t *)&common + offset, size);
    return value;
}

static void set_size(struct virtio *virtio, struct virtqueue *queue, uint16_t size)
{
    if (size && size <= queue->size_max && !(size & (size - 1)))
        queue->regs.size = size;
    else
        log_guest("%s: a queue of %u cannot be", virtio->identity->name, size);
}

/* One half of an address, or all of it. */
static void set_address(uint64_t *address, uint32_t within, unsigned size, uint64_t value)
{
    if (within + size <= 8)
        memcpy((uint8_t *)address + within, &value, size);
}

/* Of the queue that is selected. While it is on, it stays what it is (4.1.5.1.3). */
static void queue_write(struct virtio *virtio, struct virtqueue *queue, uint32_t offset, unsigned size, uint64_t value)
{
    if (offset == COMMON(queue_msix_vector)) {
        queue->regs.vector = vector_taken(virtio, value & 0xffff);
        return;
    }
    if (queue->regs.enabled)
        return;
    if (offset == COMMON(queue_size))
        set_size(virtio, queue, (uint16_t)value);
    else if (offset == COMMON(queue_enable))
        queue->regs.enabled = (value & 0xffff) == 1;
    else if (offset >= COMMON(queue_device))
        set_address(&queue->regs.used, offset - (uint32_t)COMMON(queue_device), size, value);
    else if (offset >= COMMON(queue_driver))
        set_address(&queue->regs.avail, offset - (uint32_t)COMMON(queue_driver), size, value);
    else if (offset >= COMMON(queue_desc))
        set_address(&queue->regs.desc, offset - (uint32_t)COMMON(queue_desc), size, value);
}

static void common_write(struct virtio *virtio, uint32_t offset, unsigned size, uint64_t value)
{
    struct virtio_regs *regs = &virtio->regs;
    struct virtqueue *queue = queue_selected(virtio);
    switch (offset) {
    case COMMON(device_feature_select):
        regs->device_feature_select = (uint32_t)value;
        break;
    case COMMON(driver_feature_select):
        regs->driver_feature_select = (uint32_t)value;
        break;
    case COMMON(driver_feature):
        if (!(regs->status & VIRTIO_FEATURES_OK) && !regs->started && regs->driver_feature_select < 2)
            memcpy((uint8_t *)&regs->driver_features + 4 * regs->driver_feature_select, &value, 4);
        break;
    case COMMON(config_msix_vector):
        regs->config_vector = vector_taken(virtio, value & 0xffff);
        break;
    case COMMON(device_status):
        virtio_set_status(virtio, (uint8_t)value, false);
        break;
    case COMMON(queue_select):
        regs->queue_select = (uint16_t)value;
        break;
    default:
        if (queue && offset >= COMMON(queue_size) && offset < sizeof(struct common))
            queue_write(virtio, queue, offset, size, value);
        break;
    }
}

static uint64_t modern_read(void *opaque, uint32_t offset, unsigned size)
{
    struct virtio *virtio = opaque;
    uint32_t within = offset % MODERN_REGION;
    switch (offset - within) {
    case MODERN_COMMON:
        return common_read(virtio, within, size);
    case MODERN_ISR:
        return within == 0 ? virtio_ack_isr(virtio) : 0;
    case MODERN_DEVICE:
        return device_read(virtio, within, MIN(size, 4));
    default:
        return 0;
    }
}

static void modern_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct virtio *virtio = opaque;
    uint32_t within = offset % MODERN_REGION;
    switch (offset - within) {
    case MODERN_COMMON:
        common_write(virtio, within, size, value);
        break;
    case MODERN_DEVICE:
        device_write(virtio, within, MIN(size, 4), (uint32_t)value);
        break;
    case MODERN_NOTIFY:
        virtio_driver_kick(virtio, within / NOTIFY_MULTIPLE);
        break;
    default:
        break;
    }
}

static const struct mmio_ops modern_mmio = {modern_read, modern_write};

/* --- Capabilities --- */

#define CAP_VENDOR 0x09
#define CAP_COMMON 1
#define CAP_NOTIFY 2
#define CAP_ISR    3
#define CAP_DEVICE 4
#define CAP_PCI    5

#define AT_COMMON 0x40
#define AT_ISR    0x50
#define AT_DEVICE 0x60
#define AT_NOTIFY 0x70
#define AT_PCI    0x84
#define AT_MSIX   0x98

/* struct virtio_pci_cap, 4.1.4, without its id and link, and what follows it */
struct capability {
    uint8_t len, type, bar, id, padding[2];
    uint16_t offset[2], length[2], more[2]; /* 32-bit values, at odd places here */
};

static void add_capability(struct virtio *virtio, uint8_t at, uint8_t type, uint32_t offset, uint32_t length,
                           uint32_t more)
{
    bool is_long = type == CAP_NOTIFY || type == CAP_PCI;
    struct capability capability = {.len = is_long ? 20 : 16, .type = type, .bar = length ? BAR_MODERN : 0};
    memcpy(capability.offset, &offset, 4);
    memcpy(capability.length, &length, 4);
    memcpy(capability.more, &more, 4);
    pci_add_capability(&virtio->pci, CAP_VENDOR, at, &capability, (uint8_t)(capability.len - 2));
}

/* 4.1.4.7: BAR4 through config space, for firmware that does not map it. */
#define PCI_CAP_BAR    (AT_PCI + 4)
#define PCI_CAP_OFFSET (AT_PCI + 8)
#define PCI_CAP_LENGTH (AT_PCI + 12)
#define PCI_CAP_DATA   (AT_PCI + 16)

/* An access of the guest to config[offset .. + size) is one to BAR4: where, and of what size. */
static bool window_access(const struct pci_device *dev, uint8_t offset, unsigned size, uint32_t *at, uint32_t *len)
{
    if (size > 4 || offset < PCI_CAP_DATA || offset >= PCI_CAP_DATA + 4)
        return false;
    memcpy(at, &dev->config[PCI_CAP_OFFSET], 4);
    memcpy(len, &dev->config[PCI_CAP_LENGTH], 4);
    return dev->config[PCI_CAP_BAR] == BAR_MODERN && (*len == 1 || *len == 2 || *len == 4) && *at % *len == 0 &&
           *at < MODERN_SIZE;
}

static void config_reading(struct pci_device *dev, uint8_t offset, unsigned size)
{
    uint32_t at, len;
    if (!window_access(dev, offset, size, &at, &len))
        return;
    uint64_t value = modern_read(dev->opaque, at, len);
    memcpy(&dev->config[PCI_CAP_DATA], &value, len);
}

static void config_written(struct pci_device *dev, uint8_t offset, unsigned size)
{
    uint32_t at, len, value = 0;
    if (!window_access(dev, offset, size, &at, &len))
        return;
    memcpy(&value, &dev->config[PCI_CAP_DATA], len);
    modern_write(dev->opaque, at, len, value);
}

static void modern_add(struct virtio *virtio)
{
    struct pci_device *pci = &virtio->pci;
    pci_add_mmio_bar(pci, BAR_MODERN, MODERN_SIZE, &modern_mmio, virtio);
    add_capability(virtio, AT_COMMON, CAP_COMMON, MODERN_COMMON, sizeof(struct common), 0);
    add_capability(virtio, AT_ISR, CAP_ISR, MODERN_ISR, 1, 0);
    if (virtio->config_size)
        add_capability(virtio, AT_DEVICE, CAP_DEVICE, MODERN_DEVICE, virtio->config_size, 0);
    add_capability(virtio, AT_NOTIFY, CAP_NOTIFY, MODERN_NOTIFY, NOTIFY_MULTIPLE * virtio->queue_count,
                   NOTIFY_MULTIPLE);
    add_capability(virtio, AT_PCI, CAP_PCI, 0, 0, 0);
    pci->writable[PCI_CAP_BAR] = 0xff;
    memset(&pci->writable[PCI_CAP_OFFSET], 0xff, 12);
    pci->config_reading = config_reading;
    pci->config_written = config_written;
}

static void set16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

void virtio_pci_init(struct virtio *virtio)
{
    const struct virtio_identity *identity = virtio->identity;
    struct pci_device *pci = &virtio->pci;
    uint16_t id = virtio->has_legacy ? identity->legacy_id : (uint16_t)(MODERN_ID + identity->device_id);
    pci_device_init(pci, identity->name, VENDOR, id, identity->class_code, virtio->has_legacy ? 0 : 1);
    set16(&pci->config[PCI_SUBSYSTEM], VENDOR);
    set16(&pci->config[PCI_SUBSYSTEM + 2], virtio->has_legacy ? identity->device_id : 0x1100);
    pci->config[PCI_INTERRUPT_PIN] = 1;
    pci->opaque = virtio;
}

void virtio_pci_add(struct virtio *virtio)
{
    struct pci_device *pci = &virtio->pci;
    if (virtio->has_legacy) {
        uint32_t size = 32;
        while (size < LEGACY_CONFIG_MSIX + virtio->config_size)
            size *= 2;
        pci_add_io_bar(pci, BAR_LEGACY, size, &legacy_io, virtio);
    }
    if (virtio->has_modern)
        modern_add(virtio);
    if (virtio->vectors)
        pci_add_msix(pci, AT_MSIX, BAR_MSIX, virtio->vectors);
}
