/* What goes over the socket between the monitor and the process that has a device of the host's, and the memory that
 * they share. See README.md. */
#pragma once

#include <errno.h>
#include <unistd.h>

#include "usbhost.h"

/* Kinds besides enum usbhost_kind. */
enum { ORDER_CANCEL = USBHOST_KINDS, ORDER_RELEASE, ORDER_LEAVE };

/* To the process. */
struct usb_call {
    uint32_t session; /* of the device, as it last came */
    struct usbhost_order order;
};

enum usb_news_kind {
    NEWS_READY,  /* it looks for the device; or, in status, that it cannot: text */
    NEWS_CAME,   /* a new session: about */
    NEWS_WENT,   /* the session is over */
    NEWS_ANSWER, /* about is as after it */
    NEWS_SAYS,   /* to the user: text */
};

/* From it. */
struct usb_news {
    uint32_t kind, session; /* enum usb_news_kind */
    struct usbhost_answer answer;
    char text[256];
};

#define LIST_MAX (16u * KiB) /* of text */

/* The monitor copies what it looks at more than once. */
struct usb_share {
    struct usbhost_about about;
    char list[LIST_MAX];
    uint8_t buffer[USBHOST_SLOTS][USBHOST_BUFFER];
};

/* What a process is made for. */
struct usb_wanted {
    uint32_t bus, address, vendor, product; /* as struct usbhost_match */
    char port[32];
    bool is_list; /* only the text of 'info usbhost' */
};

/* Descriptors in the process, from PROCESS_FD on. */
enum usb_fd { USB_SOCKET, USB_MEMORY, USB_FDS };

_Noreturn void usb_process_main(const struct usb_wanted *wanted);
