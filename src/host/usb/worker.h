/* Inside of the process that has a device of the host's: process.c is its loop, device.c the device. */
#pragma once

#include <glib.h>

#include "load.h"
#include "order.h"

#define FAILURES_MAX  3u  /* that often it is tried to take a device */
#define REMEMBERED    16u /* devices that could not be taken */
#define INTERFACE_MAX 32u

struct usb_worker {
    struct usb_wanted wanted;
    struct usb_share *share;
    libusb_context *context;
    bool quits; /* the monitor is gone, or wants no more */

    /* The device; NULL: it is not there, or not ours yet. */
    libusb_device *device;
    libusb_device_handle *handle;
    uint32_t session;
    bool is_lost;
    uint8_t configurations;
    uint32_t claimed, detached; /* interfaces */
    uint8_t alternate[INTERFACE_MAX];
    uint8_t owner[USBHOST_SLOTS]; /* the interface of an endpoint */

    struct libusb_transfer *transfer[USBHOST_SLOTS];
    uint32_t flying; /* slots */
    uint8_t control[LIBUSB_CONTROL_SETUP_SIZE + USBHOST_CONTROL_MAX];

    struct {
        uint16_t bus, address;
        unsigned count;
    } failed[REMEMBERED];
    unsigned failed_count;
    bool was_ours; /* a device was */
};

/* --- process.c --- */
void worker_news(struct usb_worker *worker, struct usb_news *news);
void worker_answer(struct usb_worker *worker, unsigned slot, enum usbhost_status status, uint32_t actual);

/* --- device.c --- */
bool device_transfers_make(struct usb_worker *worker);
/* One that is wanted and can be taken, if there is: a session begins. False: there is none, and text says why, if it is
 * new. */
bool device_take(struct usb_worker *worker, char *text, size_t room);
/* It is not among the host's devices any more. */
bool device_is_gone(struct usb_worker *worker);
/* Back to the host, whose driver gets it. again: it may be taken again. */
void device_give_back(struct usb_worker *worker, bool again);
void device_serve(struct usb_worker *worker, const struct usbhost_order *order);
void device_cancel(struct usb_worker *worker, unsigned slot);
/* "info usbhost". */
void devices_list(struct usb_worker *worker, char *text, size_t room);
