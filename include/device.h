/* What every device file ends in: a const class.
 *
 * A device is a pointer-free `regs` struct plus wires. The class says how it is made, which properties the user may
 * set, which wires it takes from the board, and what of it is saved. A row of the board (src/board/pc.c) or -device
 * makes an instance. A class registers itself with DEVICE_CLASS; nothing else names it.
 */
#pragma once

#include <glib.h>

#include "irq.h"
#include "state.h"
#include "types.h"

struct chardev;
struct block;
struct netdev;
struct fsdev;
struct audiodev;
struct board_rom;

/* --- Properties: text of the user's, put into the config struct that create() gets --- */

enum property_type {
    PROPERTY_BOOL,     /* on or off: bool */
    PROPERTY_NUMBER,   /* decimal or 0x: an unsigned integer of the member's size, at most max */
    PROPERTY_STRING,   /* const char *, NULL if not given */
    PROPERTY_CHARDEV,  /* id of a -chardev: struct chardev * */
    PROPERTY_DRIVE,    /* id of a -drive: const struct device_drive *; max: DRIVE_* */
    PROPERTY_NETDEV,   /* id of a -netdev: struct netdev *; NULL: no cable */
    PROPERTY_FSDEV,    /* id of a -fsdev: struct fsdev *; NULL: none */
    PROPERTY_AUDIODEV, /* id of an -audiodev: struct audiodev *; NULL: nobody hears it */
    PROPERTY_MAC,      /* 52:54:00:12:34:56: uint8_t[6]; not given: the next of QEMU's */
    PROPERTY_ROM,      /* a file: const struct board_rom *; "" or a preset that is not there: NULL */
};

/* Of a PROPERTY_DRIVE that is not given. */
#define DRIVE_NEEDED   0 /* create() gets NULL */
#define DRIVE_EMPTY    1 /* it gets a drive without a medium */
#define DRIVE_EMPTY_CD 2 /* the same, for media that are only read */

struct property {
    const char *name;
    enum property_type type;
    uint32_t offset, size; /* in the config struct */
    uint64_t max;
    const char *preset; /* what it is if nobody says otherwise; NULL: 0, off, none */
    const char *help;
};

#define PROPERTY(config, member, name, type, max, preset, help) \
    { \
        name, type, offsetof(struct config, member), sizeof(((struct config *)NULL)->member), max, preset, help \
    }
/* What every network card has. rom: the file of its boot program, by QEMU's name. */
#define NIC_PROPERTIES(config, rom_preset) \
    PROPERTY(config, netdev, "netdev", PROPERTY_NETDEV, 0, NULL, "id of a -netdev"), \
        PROPERTY(config, mac, "mac", PROPERTY_MAC, 0, NULL, "Ethernet address"), \
        PROPERTY(config, rom, "romfile", PROPERTY_ROM, 0, rom_preset, "boot program; empty: none")
#define PROPERTY_END \
    { \
        .name = NULL \
    }

/* A -drive with its medium, as the board opened it. */
struct device_drive {
    const char *id;
    struct block *block; /* a removable one may be without medium */
    bool is_cd;
    const char *serial;                 /* or NULL */
    uint16_t cylinders, heads, sectors; /* of a disk: what the board takes its geometry for */
};

/* --- The board, as a device sees it while it is created --- */

struct board;

struct board_ops {
    /* The wire of that name; with nobody at its other end if there is none. */
    struct irq (*wire)(struct board *board, const char *name);
    /* From now on wire(name) is this one. */
    void (*provide_wire)(struct board *board, const char *name, struct irq irq);
    /* Something of another device that is no wire: NULL if there is none. Each name says what type it is. */
    void *(*service)(struct board *board, const char *name);
    void (*provide)(struct board *board, const char *name, void *service);
    /* ISA interrupt line 0 to 15, as ISA cards drive it, and the same input as PCI interrupt routing drives it. Each
     * call makes one more driver, for the life of the board: the line is the OR of all. */
    struct irq (*isa_irq)(struct board *board, unsigned line);
    struct irq (*pci_irq)(struct board *board, unsigned line);
    /* sink hears of all these lines: its argument `line` is 0 to 15 for ISA's, BOARD_LINE_PCI up for PCI's. */
    void (*add_irq_sink)(struct board *board, void (*sink)(void *opaque, int line, bool level), void *opaque);
    /* hook is called between two guest instructions after wire "bus-request" was pulsed. */
    void (*add_bus_hook)(struct board *board, void (*hook)(void *opaque), void *opaque);
};

#define BOARD_LINE_PCI 16

struct board {
    const struct board_ops *ops;
};

/* Services that are not another chip (those have its name and are its struct):
 *   "int-ack"   struct board_int_ack *     the processor's interrupt acknowledge cycle
 *   "cpu-apic"  struct board_cpu_apic *    the local APIC as the processor's MSRs reach it
 *   "exit"      struct board_exit *        ends the process
 *   "cpu-time"  const struct board_cpu_time *
 *   "display"   const struct display *
 *   "vga-rom"   const struct board_rom *   our own video BIOS
 *   "cirrus-rom" const struct board_rom *  the one for that card
 *   "input"     struct input_sink *        the one plugged in last, with those before behind it (input.h)
 *   "usb"       struct usb_bus *           the first one, with those of later controllers behind it (usb.h)
 *   "usb-host"  const struct usbhost_service *  USB devices of the host's (usbhost.h); NULL: none can be had
 *   "rng"       const struct board_rng *   random bytes of the host's
 *   "opl3"      struct opl_card *          the board's FM chip, by the card that came first
 *   "balloon"   const struct balloon *     memory that the guest gives back (balloon.h)
 *   "news"      const struct board_news *  who wants to know what happens */
struct board_int_ack {
    uint8_t (*ack)(void *opaque); /* returns the vector */
    void *opaque;
};
struct board_cpu_apic {
    void (*set_enabled)(void *opaque, bool enabled); /* IA32_APIC_BASE's global enable */
    uint64_t (*deadline)(void *opaque);              /* IA32_TSC_DEADLINE */
    /* when: the time at which the TSC has that value */
    void (*set_deadline)(void *opaque, uint64_t value, int64_t when);
    void *opaque;
};
struct board_cpu_time {
    int64_t (*busy)(void *opaque); /* nanoseconds for which the host has let the processor run so far */
    void *opaque;
};
struct board_exit {
    void (*exit)(void *opaque, int status);
    void *opaque;
};
struct board_rng {
    /* Fills all of it. False: there is nothing now. */
    bool (*get)(void *opaque, uint8_t *bytes, size_t len);
    /* The user has made such a source with -object. */
    bool (*is_there)(void *opaque, const char *id);
    void *opaque;
};
struct board_news {
    void (*port_changed)(void *opaque, const char *device, bool open); /* by its driver */
    void (*balloon_changed)(void *opaque, uint64_t bytes);             /* that the guest has now */
    void *opaque;
};

struct board_rom {
    const uint8_t *bytes;
    uint32_t size;
};

/* Wires: "intr", "nmi" (pulse), "a20", "reset" (pulse), "soft-off" (pulse), "bus-request" (pulse); of the
 * processor's x87 "ferr", and "ignne" (pulse: it goes on in spite of the error, until FERR# ends). */
static inline struct irq board_wire(struct board *board, const char *name)
{
    return board->ops->wire(board, name);
}
static inline void board_provide_wire(struct board *board, const char *name, struct irq irq)
{
    board->ops->provide_wire(board, name, irq);
}
static inline void *board_service(struct board *board, const char *name)
{
    return board->ops->service(board, name);
}
static inline void board_provide(struct board *board, const char *name, void *service)
{
    board->ops->provide(board, name, service);
}
static inline struct irq board_isa_irq(struct board *board, unsigned line)
{
    return board->ops->isa_irq(board, line);
}
static inline struct irq board_pci_irq(struct board *board, unsigned line)
{
    return board->ops->pci_irq(board, line);
}
static inline void board_add_irq_sink(struct board *board, void (*sink)(void *opaque, int line, bool level),
                                      void *opaque)
{
    board->ops->add_irq_sink(board, sink, opaque);
}
static inline void board_add_bus_hook(struct board *board, void (*hook)(void *opaque), void *opaque)
{
    board->ops->add_bus_hook(board, hook, opaque);
}

/* --- Classes --- */

/* What a device is plugged into. The names in -device bus= are those of instances: isa.0, pci.0, ide.0, ide.1. */
enum device_bus { BUS_SYSTEM, BUS_ISA, BUS_PCI, BUS_IDE, BUS_FLOPPY, BUS_VIRTIO_SERIAL, BUS_USB, BUS_COUNT };

/* Where an instance is: what the board found out before it calls create(). */
struct device_site {
    struct board *board;
    const char *id;   /* for messages and as a name of what it opens; unique */
    unsigned bus;     /* number of the bus of its kind: ide.1 is 1 */
    unsigned unit;    /* PCI: slot << 3 | function; IDE and floppy: unit on the bus */
    void *controller; /* IDE, floppy, virtio-serial: the device whose bus it is; USB: its struct usb_bus */
};

struct device_class {
    const char *name;  /* QEMU's */
    const char *alias; /* another of QEMU's for the same, or NULL */
    const char *help;
    const char *info; /* the word behind "info" in the monitor for dump(); NULL: the name */
    enum device_bus bus;
    bool internal;                     /* part of a board: not for -device */
    uint8_t provides_bus;              /* BUS_*: has a bus of this kind; BUS_SYSTEM: none */
    uint8_t provides_count;            /* and so many of them */
    int8_t devfn;                      /* PCI: where it belongs, -1 for the next free slot. The board's own only */
    const struct property *properties; /* ends with PROPERTY_END; NULL: none */
    uint32_t config_size;
    /* config is valid as long as the device. NULL with a sentence in *error. */
    void *(*create)(const struct device_site *site, const void *config, GError **error);
    void (*destroy)(void *dev); /* NULL: somebody else has all of it */
    /* While the machine runs: the guest sees it go, and nobody finds it any more; destroy() follows. NULL: it stays. */
    void (*unplug)(void *dev);
    bool takes_hotplug;       /* the bus that it provides takes devices while the machine runs */
    void (*reset)(void *dev); /* RESET#; may be NULL */
    /* State: one layout at an offset in the device, or pieces. Neither: it has none. */
    const struct state_layout *layout;
    uint32_t regs_offset;
    void (*pieces)(void *dev, struct state_pieces *pieces);
    void (*before_save)(void *dev); /* brings regs up to date, and other devices' with it; may be NULL */
    void (*before_load)(void *dev); /* what is under way is given up; may be NULL */
    /* False: the values make no sense, and nothing was done with them. Else wires are driven and timers armed as they
     * say. May be NULL. */
    bool (*after_load)(void *dev);
    void (*dump)(void *dev, GString *out); /* for humans; may be NULL */
};

/* For a card whose ports the user chooses: false with a sentence if another device has one of them. */
bool isa_ports_claim(const struct device_site *site, uint32_t first, unsigned count, GError **error);

/* Registers the class; a static library with such files is linked whole. */
#define DEVICE_CLASS(class) \
    static const struct device_class *const device_class_of_##class __attribute__((used, section("device_classes"))) = \
        &class

/* Of all devices of a machine before the first is saved. */
void device_before_save(const struct device_class *class, void *dev);
void device_save(const struct device_class *class, void *dev, GByteArray *out);
/* Loads the registers and nothing else, so that all devices have theirs before wires move; device_after_load() is to
 * follow. False when the bytes do not fit. */
bool device_load_regs(const struct device_class *class, void *dev, const uint8_t *bytes, size_t len);
bool device_after_load(const struct device_class *class, void *dev);
/* Both; the device is as it was when that fails. */
bool device_load(const struct device_class *class, void *dev, const uint8_t *bytes, size_t len);
