/* Virtio devices on PCI: what each embeds as its first member, and the transport's side of it. README.md has a walk.
 *
 * VIRTIO 1.1 (OASIS), chapters 2 and 4.1; the legacy interface is Virtio PCI Card 0.9.5's.
 */
#pragma once

#include "devices/pci.h"
#include "virtqueue.h"

#define VIRTIO_QUEUES_MAX 64
#define VIRTIO_CONFIG_MAX 256 /* bytes of device-specific configuration */
#define VIRTIO_NO_VECTOR  0xffffu

/* Features that are the transport's. */
#define VIRTIO_F_ANY_LAYOUT    (1ull << 27)
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)

/* Device status (2.1). */
#define VIRTIO_ACKNOWLEDGE 0x01u
#define VIRTIO_DRIVER      0x02u
#define VIRTIO_DRIVER_OK   0x04u
#define VIRTIO_FEATURES_OK 0x08u
#define VIRTIO_NEEDS_RESET 0x40u
#define VIRTIO_FAILED      0x80u

/* All are called with the machine lock held; any but run may be NULL. */
struct virtio_ops {
    /* The driver has put chains into queue: as bus master (pci_work_new). True: the budget of a run is used up and
     * there is more, the next run comes soon. */
    bool (*run)(struct virtio *virtio, unsigned queue);
    /* Device-specific configuration as it is now, and what the driver wrote to it. */
    void (*get_config)(struct virtio *virtio, uint8_t *config);
    void (*set_config)(struct virtio *virtio, const uint8_t *config, uint32_t offset, unsigned size);
    /* The features are settled, and the driver is there: virtio_has(). Before any run; after a reset, once. */
    void (*driver_ok)(struct virtio *virtio);
    /* The driver, or RESET#, has reset the device: what is under way is given up, queues are already off. */
    void (*reset)(struct virtio *virtio);
};

/* Saved. */
struct virtio_regs {
    uint64_t driver_features; /* as written; what counts is virtio_has() */
    uint64_t kicked;          /* queues to be run, a bit each */
    uint32_t device_feature_select, driver_feature_select;
    uint16_t queue_select, config_vector;
    uint8_t status, isr, generation;
    bool started; /* its driver is there: queues may be used */
    bool broken;
};

struct virtio {
    struct pci_device pci; /* first */
    struct virtio_regs regs;
    const struct virtio_ops *ops;
    const struct virtio_identity *identity;
    uint64_t features; /* offered; the device adds its own before its driver can look */
    struct virtqueue queue[VIRTIO_QUEUES_MAX];
    unsigned queue_count;
    unsigned vectors; /* 0: no MSI-X */
    uint32_t config_size;
    bool has_legacy, has_modern;
    uint64_t recheck;           /* as regs.kicked, of our own accord: it is not saved */
    struct pci_work *work;      /* runs kicked queues */
    struct virtio_chain *chain; /* for ops->run: one at a time */
};

/* --- Making one --- */

/* "virtio-x-pci" by its properties, "-transitional", "-non-transitional". */
enum virtio_variant { VIRTIO_BY_PROPERTIES, VIRTIO_TRANSITIONAL, VIRTIO_NON_TRANSITIONAL };

/* Member `virtio` of a device's config struct. */
struct virtio_options {
    const char *disable_legacy;
    bool disable_modern, event_idx, indirect_desc;
    uint32_t vectors;
};
#define VIRTIO_VECTORS_BY_QUEUES UINT32_MAX /* one for each and one for the configuration */

/* The first two are of VIRTIO_BY_PROPERTIES alone: they come first in a device's list. */
#define VIRTIO_PROPERTIES(config) \
    PROPERTY(config, virtio.disable_legacy, "disable-legacy", PROPERTY_STRING, 4, "auto", \
             "no legacy interface: on, off, auto (off)"), \
        PROPERTY(config, virtio.disable_modern, "disable-modern", PROPERTY_BOOL, 0, NULL, \
                 "the legacy interface alone"), \
        PROPERTY(config, virtio.vectors, "vectors", PROPERTY_NUMBER, 2048, "0xffffffff", "MSI-X interrupts; 0: none"), \
        PROPERTY(config, virtio.event_idx, "event_idx", PROPERTY_BOOL, 0, "on", "the driver says when to interrupt"), \
        PROPERTY(config, virtio.indirect_desc, "indirect_desc", PROPERTY_BOOL, 0, "on", "tables of descriptors")
#define VIRTIO_VARIANT_PROPERTIES 2

struct virtio_identity {
    const char *name;
    uint16_t device_id;   /* of VIRTIO 1.1, chapter 5 */
    uint16_t legacy_id;   /* PCI device id of the transitional device; 0: there is none */
    uint32_t class_code;  /* PCI's */
    uint32_t config_size; /* bytes of device-specific configuration */
};

/* Sets up all but the queues, which virtio_add_queue() adds, and the slot, into which virtio_plug() puts it; between
 * them pci_add_rom(). False with a sentence: the properties contradict each other. After success virtio_destroy(). */
bool virtio_init(struct virtio *virtio, const struct device_site *site, const struct virtio_identity *identity,
                 enum virtio_variant variant, const struct virtio_options *options, const struct virtio_ops *ops,
                 GError **error);
unsigned virtio_add_queue(struct virtio *virtio, uint16_t size_max);
void virtio_plug(struct virtio *virtio, const struct device_site *site);
void virtio_destroy(struct virtio *virtio);

/* --- For the device's class --- */

void virtio_reset(struct virtio *virtio); /* RESET# */
void virtio_pieces(struct virtio *virtio, struct state_pieces *pieces);
/* False: the values make no sense. */
bool virtio_after_load(struct virtio *virtio);
void virtio_dump(const struct virtio *virtio, GString *out);

/* Defines PREFIX_VARIANT's class by the functions and the list PREFIX_create (with the variant behind the site),
 * _destroy, _reset, _pieces, _before_save, _before_load, _after_load, _dump, _properties, and struct PREFIX_config. */
#define VIRTIO_CLASS(prefix, symbol, class_name, class_help, variant, ...) \
    static void *symbol##_create(const struct device_site *site, const void *config, GError **error) \
    { \
        return prefix##_create(site, variant, config, error); \
    } \
    const struct device_class symbol##_class = {.name = class_name, \
                                                .help = class_help, \
                                                .bus = BUS_PCI, \
                                                .properties = (variant) == VIRTIO_BY_PROPERTIES \
                                                                  ? prefix##_properties \
                                                                  : prefix##_properties + VIRTIO_VARIANT_PROPERTIES, \
                                                .config_size = sizeof(struct prefix##_config), \
                                                .create = symbol##_create, \
                                                .destroy = prefix##_destroy, \
                                                .reset = prefix##_reset, \
                                                .pieces = prefix##_pieces, \
                                                .before_save = prefix##_before_save, \
                                                .before_load = prefix##_before_load, \
                                                .after_load = prefix##_after_load, \
                                                .dump = prefix##_dump, \
                                                __VA_ARGS__}; \
    DEVICE_CLASS(symbol##_class)
/* All three; what is behind the help, as in .provides_count = 1, is in each class. */
#define VIRTIO_CLASSES(prefix, base_name, help, ...) \
    VIRTIO_CLASS(prefix, prefix##_pci, base_name "-pci", help, VIRTIO_BY_PROPERTIES, .alias = base_name, \
                 ##__VA_ARGS__); \
    VIRTIO_CLASS(prefix, prefix##_transitional, base_name "-pci-transitional", help " (legacy and modern)", \
                 VIRTIO_TRANSITIONAL, ##__VA_ARGS__); \
    VIRTIO_CLASS(prefix, prefix##_modern, base_name "-pci-non-transitional", help " (modern)", \
                 VIRTIO_NON_TRANSITIONAL, ##__VA_ARGS__)

/* --- For the device's work --- */

/* The driver has taken all of these features. */
static inline bool virtio_has(const struct virtio *virtio, uint64_t features)
{
    return (virtio->features & virtio->regs.driver_features & features) == features;
}
/* Queues may be used: the driver is there and nothing is broken. */
bool virtio_is_running(const struct virtio *virtio);
bool virtio_queue_is_on(const struct virtio *virtio, unsigned queue);
/* Runs the queue soon, as if the driver had told of it. What is noted here alone is not saved: after a load all queues
 * that are on are run once. */
void virtio_kick(struct virtio *virtio, unsigned queue);
/* Device-specific configuration has changed by itself. */
void virtio_config_changed(struct virtio *virtio);
/* What the driver has done cannot be: nothing more happens until it resets the device. why is for people. */
void virtio_break(struct virtio *virtio, const char *why);
/* For virtqueue.c: the queue's interrupt. */
void virtio_queue_interrupt(struct virtio *virtio, unsigned queue);

/* --- Between virtio.c, the device's life, and virtio_pci.c, its registers --- */

#define VIRTIO_ISR_QUEUE  1u
#define VIRTIO_ISR_CONFIG 2u

void virtio_pci_init(struct virtio *virtio); /* who it is */
void virtio_pci_add(struct virtio *virtio);  /* BARs and capabilities */
void virtio_set_status(struct virtio *virtio, uint8_t status, bool is_legacy);
void virtio_driver_kick(struct virtio *virtio, unsigned queue);
uint8_t virtio_ack_isr(struct virtio *virtio); /* a read of the interrupt status, which clears it */
void virtio_queue_off(struct virtio *virtio, unsigned queue);
