/* Just enough of a board for one network card: RAM, a PCI bus or an ISA interrupt line, a cable. */
#pragma once

#include "board.h"
#include "fake_netdev.h"
#include "mem.h"
#include "devices/pci.h"

#define NIC_RAM (4 * MiB)

struct nic_board {
    struct board board; /* first */
    struct pci_bus *pci;
    struct wire irq;
    struct fake_netdev cable;
    const struct device_class *class;
    void *dev;
};

static struct nic_board nic_board;

static inline void *nic_board_service(struct board *board, const char *name)
{
    return nic_board.pci;
}

static inline struct irq nic_board_irq(struct board *board, unsigned line)
{
    return wire_irq(&nic_board.irq);
}

static inline void nic_board_remove(void)
{
    if (nic_board.dev)
        nic_board.class->destroy(nic_board.dev);
    nic_board.dev = NULL;
    if (nic_board.pci)
        pci_bus_free(nic_board.pci);
    nic_board.pci = NULL;
}

/* Nobody grants a bus here: timers do. */
static inline struct irq nic_board_wire(struct board *board, const char *name)
{
    return (struct irq){0};
}

/* config: of the class. A card of PCI is in slot 3. */
static inline void nic_board_plug(const struct device_class *class, const void *config)
{
    static const struct board_ops ops = {
        .wire = nic_board_wire, .service = nic_board_service, .isa_irq = nic_board_irq};
    GError *error = NULL;
    struct irq pirq[PCI_PIRQS];
    nic_board.board.ops = &ops;
    nic_board.class = class;
    nic_board.pci = pci_bus_new();
    for (unsigned i = 0; i < PCI_PIRQS; i++)
        pirq[i] = wire_irq(&nic_board.irq);
    pci_bus_set_router(nic_board.pci, pirq);
    const struct device_site site = {.board = &nic_board.board, .id = "nic", .unit = PCI_DEVFN(3, 0)};
    nic_board.dev = class->create(&site, config, &error);
    g_assert_no_error(error);
    nic_board.irq = (struct wire){0};
}

/* Once for each test, before the card is plugged. */
static inline void nic_board_begin(void)
{
    GError *error = NULL;
    nic_board_remove();
    if (nic_board.cable.sent)
        fake_netdev_clear(&nic_board.cable);
    fake_netdev_init(&nic_board.cable);
    ioport_clear();
    vclock_fake_start();
    if (!guest_mem.ram)
        g_assert_true(mem_init(NIC_RAM, &error));
    memset(guest_mem.ram, 0, NIC_RAM);
}

static inline void pci_put(uint8_t offset, unsigned size, uint32_t value)
{
    pci_config_write(nic_board.pci, PCI_DEVFN(3, 0), offset, size, value);
}

static inline uint32_t pci_get(uint8_t offset, unsigned size)
{
    return pci_config_read(nic_board.pci, PCI_DEVFN(3, 0), offset, size);
}

/* What was asked for is done; no time passes. */
static inline void settle(void)
{
    vclock_fake_advance(0);
}

static inline const GByteArray *sent_frame(unsigned n)
{
    g_assert_cmpuint(nic_board.cable.sent->len, >, n);
    return g_ptr_array_index(nic_board.cable.sent, n);
}

/* A frame from somebody to mac, with bytes that tell where they are. */
static inline void frame_make(uint8_t *frame, size_t len, const char *mac)
{
    for (size_t i = 0; i < len; i++)
        frame[i] = (uint8_t)(i * 7 + i / 256);
    memcpy(frame, mac, 6);
    memcpy(frame + 6, "\x02\x00\x00\x00\x00\x99\x08\x00", 8);
}

static inline bool deliver(const void *frame, size_t len)
{
    return fake_netdev_deliver(&nic_board.cable, frame, len);
}
