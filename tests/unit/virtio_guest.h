/* A machine with one virtio device, and its driver: by the legacy or the modern interface, with rings in RAM. */
#pragma once

#include "board.h"
#include "devices/i440fx.h"
#include "devices/pci.h"
#include "mem.h"

#define GUEST_DEVFN  PCI_DEVFN(4, 0)
#define GUEST_IO     0xc000u
#define GUEST_MSIX   0xe0000000u
#define GUEST_MODERN 0xe0010000u
#define GUEST_NOTIFY (GUEST_MODERN + 0x3000)
#define GUEST_CONFIG (GUEST_MODERN + 0x2000)
#define GUEST_RINGS  0x100000u /* 64 KiB for each queue */
#define GUEST_BUFFER 0x400000u

#define F_INDIRECT_DESC (1ull << 28)
#define F_EVENT_IDX     (1ull << 29)
#define F_VERSION_1     (1ull << 32)

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

struct guest_queue {
    uint16_t size, avail_index, used_index, free; /* free: the descriptor that is given next */
    uint64_t desc, avail, used;
};

struct guest {
    struct board board; /* first */
    struct i440fx *host;
    const struct device_class *class;
    void *dev;
    bool modern;
    uint64_t features; /* what both have */
    struct guest_queue queue[8];
    struct wire pirq[PCI_PIRQS];
    unsigned messages;
    uint64_t message_address;
    uint32_t message_data;
};

static struct guest guest;

/* Services that a test offers, and what its device has provided. */
static struct guest_offer {
    const char *name;
    void *service;
    bool is_devices;
} guest_offers[8];

static inline void guest_provide(struct board *board, const char *name, void *service)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(guest_offers); i++) {
        if (!guest_offers[i].name || *guest_offers[i].name == '-' || strcmp(guest_offers[i].name, name) == 0) {
            guest_offers[i] = (struct guest_offer){name, service, board};
            return;
        }
    }
    g_assert_not_reached();
}

static inline void *guest_service(struct board *board, const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(guest_offers) && guest_offers[i].name; i++) {
        if (strcmp(guest_offers[i].name, name) == 0)
            return guest_offers[i].service;
    }
    return strcmp(name, "pci") == 0 ? i440fx_bus(guest.host) : NULL;
}

static inline void guest_message(void *opaque, uint64_t address, uint32_t data)
{
    guest.messages++;
    guest.message_address = address;
    guest.message_data = data;
}

static inline uint32_t guest_read(uint64_t at, unsigned size)
{
    uint32_t value = 0;
    mem_read(at, &value, size);
    return value;
}

static inline void guest_write(uint64_t at, unsigned size, uint64_t value)
{
    mem_write(at, &value, size);
}

static inline uint32_t guest_config(uint8_t offset, unsigned size)
{
    return pci_config_read(i440fx_bus(guest.host), GUEST_DEVFN, offset, size);
}

static inline void guest_config_set(uint8_t offset, unsigned size, uint32_t value)
{
    pci_config_write(i440fx_bus(guest.host), GUEST_DEVFN, offset, size, value);
}

static inline void guest_free(void)
{
    if (guest.dev)
        guest.class->destroy(guest.dev);
    if (guest.host)
        i440fx_free(guest.host);
    memset(&guest, 0, sizeof(guest));
}

/* Another instance of the class on the same memory, BARs where they belong. config: as the properties say. */
static inline void guest_plug(const struct device_class *class, const void *config)
{
    static const struct board_ops ops = {.service = guest_service, .provide = guest_provide};
    struct irq pirq[PCI_PIRQS];
    GError *error = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(guest_offers); i++) {
        if (guest_offers[i].is_devices) /* of the one before */
            guest_offers[i] = (struct guest_offer){.name = "-"};
    }
    guest.board.ops = &ops;
    guest.class = class;
    ioport_clear();
    guest.host = i440fx_new(NULL, NULL);
    for (unsigned i = 0; i < PCI_PIRQS; i++)
        pirq[i] = wire_irq(&guest.pirq[i]);
    pci_bus_set_router(i440fx_bus(guest.host), pirq);
    pci_bus_set_msi(i440fx_bus(guest.host), guest_message, NULL);
    const struct device_site site = {.board = &guest.board, .id = "virtio", .unit = GUEST_DEVFN};
    guest.dev = class->create(&site, config, &error);
    g_assert_no_error(error);
    guest_config_set(PCI_BAR0, 4, GUEST_IO);
    guest_config_set(PCI_BAR0 + 4, 4, GUEST_MSIX);
    guest_config_set(PCI_BAR0 + 16, 4, GUEST_MODERN);
    guest_config_set(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static inline void guest_setup(const struct device_class *class, const void *config)
{
    static bool has_memory;
    GError *error = NULL;
    if (!has_memory) {
        g_assert_true(mem_init(16 * MiB, &error));
        has_memory = true;
    }
    guest_free();
    vclock_fake_start();
    memset(guest_mem.ram, 0, 16 * MiB);
    guest_plug(class, config);
}

/* Work that was asked for is done. */
static inline void guest_settle(void)
{
    for (unsigned i = 0; i < 100; i++)
        vclock_fake_advance(1);
}

static inline bool guest_intx(void)
{
    for (unsigned i = 0; i < PCI_PIRQS; i++) {
        if (guest.pirq[i].level)
            return true;
    }
    return false;
}

/* --- The driver --- */

static inline void guest_set_status(uint8_t status)
{
    if (guest.modern)
        guest_write(GUEST_MODERN + 20, 1, status);
    else
        outb(GUEST_IO + 18, status);
}

static inline uint8_t guest_status(void)
{
    return guest.modern ? (uint8_t)guest_read(GUEST_MODERN + 20, 1) : inb(GUEST_IO + 18);
}

static inline uint8_t guest_isr(void)
{
    return guest.modern ? (uint8_t)guest_read(GUEST_MODERN + 0x1000, 1) : inb(GUEST_IO + 19);
}

static inline uint64_t guest_offered(void)
{
    if (!guest.modern)
        return ioport_read(GUEST_IO, 4);
    guest_write(GUEST_MODERN, 4, 0);
    uint64_t features = guest_read(GUEST_MODERN + 4, 4);
    guest_write(GUEST_MODERN, 4, 1);
    return features | (uint64_t)guest_read(GUEST_MODERN + 4, 4) << 32;
}

static inline void guest_set_features(uint64_t features)
{
    if (!guest.modern) {
        ioport_write(GUEST_IO + 4, 4, (uint32_t)features);
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        guest_write(GUEST_MODERN + 8, 4, i);
        guest_write(GUEST_MODERN + 12, 4, (uint32_t)(features >> (32 * i)));
    }
}

static inline void guest_queue_setup(unsigned n, uint16_t size)
{
    struct guest_queue *queue = &guest.queue[n];
    memset(queue, 0, sizeof(*queue));
    queue->desc = GUEST_RINGS + 0x10000u * n;
    if (guest.modern) {
        guest_write(GUEST_MODERN + 22, 2, n);
        queue->size = (uint16_t)guest_read(GUEST_MODERN + 24, 2);
        if (size && size < queue->size) {
            queue->size = size;
            guest_write(GUEST_MODERN + 24, 2, size);
        }
    } else {
        ioport_write(GUEST_IO + 14, 2, n);
        queue->size = (uint16_t)ioport_read(GUEST_IO + 12, 2);
    }
    queue->avail = queue->desc + 16u * queue->size;
    queue->used = (queue->avail + 6 + 2u * queue->size + 4095) & ~4095ull;
    memset(guest_mem.ram + queue->desc, 0, 0x10000);
    if (!guest.modern) {
        ioport_write(GUEST_IO + 8, 4, (uint32_t)(queue->desc >> 12));
        return;
    }
    uint64_t at[] = {queue->desc, queue->avail, queue->used};
    for (unsigned i = 0; i < 3; i++) {
        guest_write(GUEST_MODERN + 32 + 8 * i, 4, at[i]);
        guest_write(GUEST_MODERN + 36 + 8 * i, 4, at[i] >> 32);
    }
    guest_write(GUEST_MODERN + 28, 2, 1);
}

/* The device is found and its features settled: wanted of those that it offers. Then queues, and guest_drive(). */
static inline void guest_begin(bool modern, uint64_t wanted)
{
    guest.modern = modern;
    guest_set_status(0);
    guest_set_status(1);
    guest_set_status(3);
    guest.features = guest_offered() & (wanted | (modern ? F_VERSION_1 : 0));
    guest_set_features(guest.features);
    if (modern) {
        guest_set_status(3 | 8);
        g_assert_cmphex(guest_status(), ==, 3 | 8);
    }
}

static inline void guest_drive(void)
{
    guest_set_status(guest.modern ? 3 | 8 | 4 : 3 | 4);
}

static inline void guest_start(bool modern, uint64_t wanted, unsigned queues)
{
    guest_begin(modern, wanted);
    for (unsigned i = 0; i < queues; i++)
        guest_queue_setup(i, 0);
    guest_drive();
}

static inline void guest_desc(uint64_t table, unsigned n, uint64_t address, uint32_t len, uint16_t flags, uint16_t next)
{
    guest_write(table + 16 * n, 8, address);
    guest_write(table + 16 * n + 8, 4, len);
    guest_write(table + 16 * n + 12, 2, flags);
    guest_write(table + 16 * n + 14, 2, next);
}

/* One buffer of a chain; more: another follows. Returns its number. */
static inline uint16_t guest_put(unsigned n, uint64_t address, uint32_t len, bool write, bool more)
{
    struct guest_queue *queue = &guest.queue[n];
    uint16_t at = queue->free, next = (uint16_t)((at + 1) % queue->size);
    guest_desc(queue->desc, at, address, len, (write ? DESC_WRITE : 0) | (more ? DESC_NEXT : 0), next);
    queue->free = next;
    return at;
}

static inline void guest_avail(unsigned n, uint16_t head)
{
    struct guest_queue *queue = &guest.queue[n];
    guest_write(queue->avail + 4 + 2 * (queue->avail_index % queue->size), 2, head);
    guest_write(queue->avail + 2, 2, ++queue->avail_index);
}

static inline void guest_notify(unsigned n)
{
    if (guest.modern)
        guest_write(GUEST_NOTIFY + 4 * n, 2, n);
    else
        ioport_write(GUEST_IO + 16, 2, n);
}

/* The driver makes it known and tells of it, and time goes on. */
static inline void guest_kick(unsigned n, uint16_t head)
{
    guest_avail(n, head);
    guest_notify(n);
    guest_settle();
}

static inline uint16_t guest_used_index(unsigned n)
{
    return (uint16_t)guest_read(guest.queue[n].used + 2, 2);
}

/* Something was given back: which chain, and how many bytes were written. */
static inline bool guest_take(unsigned n, uint32_t *head, uint32_t *len)
{
    struct guest_queue *queue = &guest.queue[n];
    if (queue->used_index == guest_used_index(n))
        return false;
    uint64_t at = queue->used + 4 + 8 * (queue->used_index++ % queue->size);
    if (head)
        *head = guest_read(at, 4);
    if (len)
        *len = guest_read(at + 4, 4);
    return true;
}

static inline void guest_used_event(unsigned n, uint16_t event)
{
    guest_write(guest.queue[n].avail + 4 + 2 * guest.queue[n].size, 2, event);
}

static inline uint16_t guest_avail_event(unsigned n)
{
    return (uint16_t)guest_read(guest.queue[n].used + 4 + 8 * guest.queue[n].size, 2);
}

static inline void guest_msix_on(unsigned vectors)
{
    for (unsigned i = 0; i < vectors; i++) {
        guest_write(GUEST_MSIX + 16 * i, 4, 0xfee00000u + 0x1000 * i);
        guest_write(GUEST_MSIX + 16 * i + 4, 4, 0);
        guest_write(GUEST_MSIX + 16 * i + 8, 4, 0x40 + i);
        guest_write(GUEST_MSIX + 16 * i + 12, 4, 0);
    }
    guest_config_set(0x98 + 2, 2, 0x8000);
}

/* Saves the device and its bus, and goes on with another instance that has loaded them. */
static inline void guest_reload(const void *config)
{
    GByteArray *bus = device_saved(&i440fx_class, guest.host), *bytes = device_saved(guest.class, guest.dev);
    const struct device_class *class = guest.class;
    struct guest was = guest;
    class->destroy(guest.dev);
    i440fx_free(guest.host);
    guest_plug(class, config);
    memcpy(guest.queue, was.queue, sizeof(was.queue));
    guest.modern = was.modern;
    guest.features = was.features;
    g_assert_true(device_load(&i440fx_class, guest.host, bus->data, bus->len));
    device_load_checked(class, guest.dev, bytes);
    g_byte_array_unref(bus);
}
