/* PCI: the bus, and what every device on it embeds. */
#pragma once

#include "device.h"
#include "ioport.h"
#include "irq.h"
#include "mem.h"

#define PCI_VENDOR_ID      0x00
#define PCI_DEVICE_ID      0x02
#define PCI_COMMAND        0x04
#define PCI_STATUS         0x06
#define PCI_REVISION       0x08
#define PCI_CLASS          0x09 /* programming interface, sub-class, base class */
#define PCI_HEADER_TYPE    0x0e
#define PCI_BAR0           0x10
#define PCI_SUBSYSTEM      0x2c
#define PCI_ROM_BAR        0x30
#define PCI_CAPABILITIES   0x34
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN  0x3d

#define PCI_COMMAND_IO           0x0001u
#define PCI_COMMAND_MEMORY       0x0002u
#define PCI_COMMAND_MASTER       0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u

#define PCI_DEVFN(slot, function) ((uint8_t)((slot) << 3 | (function)))

struct pci_bus;
struct pci_work;

/* What is asked of a bus: pci_work.c. */
struct pci_works {
    GPtrArray *all; /* struct pci_work, NULL: none yet */
    struct irq request;
    struct vtimer *timer; /* instead of it */
};

struct pci_bar {
    uint32_t size; /* 0 = not there; a power of two */
    bool is_io;
    const struct io_ops *io;
    const struct mmio_ops *mmio;
    void *opaque;
    /* For memory that the device maps itself (frame buffers): called instead of mem_add_mmio. */
    void (*moved)(void *opaque, uint32_t base, bool mapped);
    bool mapped; /* and then where: */
    uint32_t base;
};

struct pci_device {
    const char *name;
    uint8_t devfn;
    struct pci_bus *bus;
    uint8_t config[256];
    uint8_t writable[256];     /* bits the guest may change */
    uint8_t clearable[256];    /* bits cleared by writing a one */
    uint8_t reset_config[256]; /* as after pci_plug: what RESET# brings back */
    struct pci_bar bar[6];
    bool intx;                   /* level of its interrupt pin */
    uint8_t msi;                 /* where its MSI capability is; 0: it has none */
    struct pci_msix *msix;       /* NULL: it has no such capability */
    const struct mem_block *rom; /* behind PCI_ROM_BAR; NULL: none */
    uint32_t rom_base;           /* where it is mapped; 0: it is not */
    /* After the guest wrote config[offset .. offset + size); may be NULL. */
    void (*config_written)(struct pci_device *dev, uint8_t offset, unsigned size);
    /* Before the guest reads it, to bring it up to date; may be NULL. */
    void (*config_reading)(struct pci_device *dev, uint8_t offset, unsigned size);
    void *opaque;
};

/* class_code: base class, sub-class, programming interface, as in 0x020000. */
void pci_device_init(struct pci_device *dev, const char *name, uint16_t vendor, uint16_t device, uint32_t class_code,
                     uint8_t revision);
void pci_add_io_bar(struct pci_device *dev, unsigned bar, uint32_t size, const struct io_ops *ops, void *opaque);
void pci_add_mmio_bar(struct pci_device *dev, unsigned bar, uint32_t size, const struct mmio_ops *ops, void *opaque);
void pci_add_ram_bar(struct pci_device *dev, unsigned bar, uint32_t size,
                     void (*moved)(void *opaque, uint32_t base, bool mapped), void *opaque);
/* An expansion ROM (PCI 2.1, 6.3), before pci_plug(); rom NULL: none. Its PCI data structure gets the device's vendor
 * and device number where it has others, so that one file serves a family of cards. False: no memory. */
bool pci_add_rom(struct pci_device *dev, const struct board_rom *rom, GError **error);
/* Puts dev into its slot, when its config space is complete. */
void pci_plug(struct pci_bus *bus, struct pci_device *dev, uint8_t devfn);
void pci_unplug(struct pci_device *dev);

/* The level of the interrupt pin that PCI_INTERRUPT_PIN names. */
void pci_set_intx(struct pci_device *dev, bool level);

/* The device as bus master. Without PCI_COMMAND_MASTER, and where there is no memory (RAM, ROM, video memory), reads
 * give all ones and writes are lost: a card does not reach into the registers of another, or its own. Any length;
 * addresses above 4 GiB are possible. */
void pci_dma_read(const struct pci_device *dev, uint64_t address, void *buffer, uint32_t len);
void pci_dma_write(const struct pci_device *dev, uint64_t address, const void *buffer, uint32_t len);

/* For what is only to be read: host memory that holds all of [address, address + len), if that is plain RAM in one
 * piece and the device is master; else NULL, and pci_dma_read() has the answer. Valid while the machine lock is held;
 * the guest may change what is there meanwhile. */
const uint8_t *pci_dma_ptr(const struct pci_device *dev, uint64_t address, uint32_t len);

/* Work of a bus master. What the processor has translated or decoded from memory is its thread's alone, and a write to
 * memory makes it forget: so whoever writes to memory does it in such work, which is done on that thread between two
 * instructions (also while the machine stands), and never on the device thread or in a completion. fn is called soon
 * after it was asked for, once, with the machine lock held. */
struct pci_work *pci_work_new(struct pci_device *dev, void (*fn)(void *opaque), void *opaque);
void pci_work_free(struct pci_work *work);
void pci_work_ask(struct pci_work *work);
void pci_work_cancel(struct pci_work *work);
bool pci_work_is_asked(const struct pci_work *work);

/* A capability of any kind at offset of config space: the bytes behind its id and link. Before pci_plug(); which of
 * them the guest may write is the caller's to say. */
void pci_add_capability(struct pci_device *dev, uint8_t id, uint8_t offset, const void *body, uint8_t len);

/* --- Messages instead of the pin: pci_msi.c --- */

/* A capability for one message-signalled interrupt, at offset of config space (16 bytes), before pci_plug(). While the
 * guest has it on, the interrupt pin is not driven, and the device sends messages instead. */
void pci_add_msi(struct pci_device *dev, uint8_t offset);
bool pci_msi_is_on(const struct pci_device *dev);
void pci_msi_notify(struct pci_device *dev); /* nothing happens unless it is on */

/* The same for up to PCI_MSIX_VECTORS messages (MSI-X, 12 bytes of config space), whose table and pending bits are in a
 * BAR of their own, which this adds. It is saved with the bus. */
#define PCI_MSIX_VECTORS 2048u
void pci_add_msix(struct pci_device *dev, uint8_t offset, unsigned bar, unsigned vectors);
bool pci_msix_is_on(const struct pci_device *dev);
/* Nothing happens unless it is on. What is masked is sent when it is not any more. */
void pci_msix_notify(struct pci_device *dev, unsigned vector);

bool pci_messages_are_on(const struct pci_device *dev); /* of either kind: the pin is not driven */

/* For the bus */
void pci_msix_update(struct pci_device *dev); /* must be called when its config space may have changed */
void pci_msix_reset(struct pci_device *dev);
void pci_msix_free(struct pci_device *dev);
void pci_msix_pieces(struct pci_device *dev, struct state_pieces *pieces);
/* A write to memory that is a message. Lost unless the device is bus master. */
void pci_bus_message(const struct pci_device *dev, uint64_t address, uint32_t data);

/* Config space as the guest's accesses see it; for firmware that runs on our side. */
uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, uint8_t offset, unsigned size);
void pci_config_write(struct pci_bus *bus, uint8_t devfn, uint8_t offset, unsigned size, uint32_t value);
struct pci_device *pci_find(struct pci_bus *bus, uint8_t devfn);

/* A device's own reset calls this for its config space (BARs unmapped, commands off). */
void pci_device_reset(struct pci_device *dev);

/* --- The bus, as its bridges see it --- */

#define PCI_PIRQS         4 /* wires that the devices' pins are on */
#define PCI_RESET_CONTROL 0xcf9

struct pci_bus *pci_bus_new(void);
void pci_bus_free(struct pci_bus *bus); /* what is still plugged is unplugged */
/* Where PIRQA# to PIRQD# go. */
void pci_bus_set_router(struct pci_bus *bus, const struct irq pirq[PCI_PIRQS]);
/* Who hears of message-signalled interrupts, which are writes to memory. */
void pci_bus_set_msi(struct pci_bus *bus, void (*msi)(void *opaque, uint64_t address, uint32_t data), void *opaque);
/* request: a pulse asks for pci_bus_granted() between two instructions. Without, a timer does, as in tests. */
void pci_bus_set_request(struct pci_bus *bus, struct irq request);
void pci_bus_granted(void *bus);
/* For pci_work.c. */
struct pci_works *pci_bus_works(struct pci_bus *bus);
void pci_works_clear(struct pci_works *works);
/* Bytes at CF9h, amid the host bridge's dword at CF8h, are the ISA bridge's. */
void pci_bus_claim_reset_control(struct pci_bus *bus, const struct io_ops *ops, void *opaque);
uint32_t pci_bus_reset_control_read(struct pci_bus *bus);
void pci_bus_reset_control_write(struct pci_bus *bus, uint8_t value);

/* All devices' config spaces and pins. */
void pci_bus_reset(struct pci_bus *bus);
void pci_bus_pieces(struct pci_bus *bus, struct state_pieces *pieces);
void pci_bus_before_save(struct pci_bus *bus); /* and before loading: what the bytes lack stays */
void pci_bus_after_load(struct pci_bus *bus);
void pci_bus_dump(const struct pci_bus *bus, GString *out);
