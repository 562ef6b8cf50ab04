/* USB devices of the host, as a device that a guest sees uses them: the contract between devices/usb/usb_host.c and
 * src/host/usb/. All calls in both directions are made with the machine lock held.
 *
 * There is a slot for each pipe: 0 is the default one, 1 to 15 are the OUT endpoints, 17 to 31 the IN ones. Each has
 * one order at most that is not answered, and a buffer; nothing that the other side says is believed further than its
 * length. Nothing waits.
 */
#pragma once

#include <glib.h>

#include "types.h"

#define USBHOST_SLOTS       32u
#define USBHOST_IN          16u         /* added to the number of an IN endpoint */
#define USBHOST_BUFFER      (64u * KiB) /* of a slot */
#define USBHOST_CONTROL_MAX 4096u       /* bytes of one request: what Linux moves in one */

/* Which device: 0 and NULL match any. */
struct usbhost_match {
    uint32_t bus, address, vendor, product;
    const char *port; /* "1.4" */
};

/* Of an endpoint in the settings that are in force. */
struct usbhost_endpoint {
    uint8_t is_there, type; /* bmAttributes: control, isochronous, bulk, interrupt */
    uint16_t packet;        /* wMaxPacketSize, without what is above */
};

struct usbhost_about {
    uint8_t speed;    /* enum usb_speed */
    uint8_t packet0;  /* bMaxPacketSize0, as the device has it */
    uint8_t can_slow; /* 1 << enum usb_speed: slower ones at which its endpoints make sense */
    uint8_t address;  /* on the host */
    uint16_t vendor, product, bus;
    char name[64]; /* of the product, printable */
    struct usbhost_endpoint endpoint[USBHOST_SLOTS];
};

enum usbhost_kind {
    USBHOST_CONTROL,       /* slot 0: setup, and data in the buffer */
    USBHOST_TRANSFER,      /* bulk or interrupt, as the endpoint is */
    USBHOST_CONFIGURATION, /* slot 0, as the rest: value */
    USBHOST_INTERFACE,     /* value: the alternate setting of index */
    USBHOST_CLEAR_HALT,    /* index: the endpoint's address */
    USBHOST_RESET,         /* of its port */
    USBHOST_KINDS
};

struct usbhost_order {
    uint8_t kind, slot; /* enum usbhost_kind */
    uint8_t setup[8];
    uint16_t value, index;
    uint32_t len; /* of data, in either direction */
};

enum usbhost_status {
    USBHOST_OK,
    USBHOST_STALL,
    USBHOST_BABBLE,
    USBHOST_FAILED,   /* the bus's errors, time-outs */
    USBHOST_GIVEN_UP, /* nothing is known of it */
    USBHOST_STATUSES
};

struct usbhost_answer {
    uint8_t slot, status; /* enum usbhost_status */
    uint32_t actual;      /* bytes moved, in case of an error, too: at most len */
};

/* On the device thread. */
struct usbhost_front {
    /* The device is there and ours; no order is under way. about: until the next call. */
    void (*came)(void *opaque, const struct usbhost_about *about);
    /* It is not any more, and no order will be answered. */
    void (*went)(void *opaque);
    /* about: after an order of slot 0's as it is then; else as it was last said to be. */
    void (*answered)(void *opaque, const struct usbhost_answer *answer, const struct usbhost_about *about);
};

struct usbhost;

struct usbhost_service {
    /* A process that looks for the device, and takes it whenever it comes. front is not called within. NULL with a
     * sentence. */
    struct usbhost *(*open)(const char *id, const struct usbhost_match *match, const struct usbhost_front *front,
                            void *front_opaque, GError **error);
    void (*close)(struct usbhost *usbhost);
    uint8_t *(*buffer)(struct usbhost *usbhost, unsigned slot);
    /* The slot has no order under way. */
    void (*submit)(struct usbhost *usbhost, const struct usbhost_order *order);
    /* Its answer will come sooner. */
    void (*cancel)(struct usbhost *usbhost, unsigned slot);
    /* Gives the device back; went() follows. again: it may be taken again. */
    void (*release)(struct usbhost *usbhost, bool again);
};
