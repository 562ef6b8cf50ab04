/* What every USB device has in common: its default pipe, standard requests, descriptors (USB 1.1, chapters 8.5.2, 9).
 * Endpoints other than 0, and requests of classes, are the device's own. */
#pragma once

#include "usb.h"

#define USB_CONTROL_MAX 512u /* bytes of one request */

/* bmRequestType and bRequest, as in the high and the low byte of one word. */
#define USB_REQUEST(type, request) ((uint16_t)((type) << 8 | (request)))
#define USB_DIR_IN                 0x80u
#define USB_TYPE_CLASS             0x20u
#define USB_TO_DEVICE              0x00u
#define USB_TO_INTERFACE           0x01u
#define USB_TO_ENDPOINT            0x02u
#define USB_TO_OTHER               0x03u
#define USB_GET_STATUS             0x00u
#define USB_CLEAR_FEATURE          0x01u
#define USB_SET_FEATURE            0x03u
#define USB_SET_ADDRESS            0x05u
#define USB_GET_DESCRIPTOR         0x06u
#define USB_GET_CONFIG             0x08u
#define USB_SET_CONFIG             0x09u
#define USB_GET_INTERFACE          0x0au
#define USB_SET_INTERFACE          0x0bu
#define USB_ENDPOINT_HALT          0u
#define USB_REMOTE_WAKEUP          1u
#define USB_DESC_DEVICE            1u
#define USB_DESC_CONFIG            2u
#define USB_DESC_STRING            3u
#define USB_DESC_QUALIFIER         6u
#define USB_DESC_OTHER_SPEED       7u

enum usb_stage { USB_STAGE_IDLE, USB_STAGE_IN, USB_STAGE_OUT, USB_STAGE_STATUS, USB_STAGE_STALL, USB_STAGES };

struct usb_setup {
    uint16_t request; /* USB_REQUEST */
    uint16_t value, index, length;
};

/* Saved. */
struct usb_function_regs {
    struct usb_setup setup;
    uint8_t stage; /* enum usb_stage */
    uint8_t address, new_address;
    uint8_t configuration; /* 0: not configured */
    bool remote_wakeup;
    uint32_t halted;     /* 1 << endpoint; of IN << 16 */
    uint16_t len, moved; /* of data */
    uint8_t data[USB_CONTROL_MAX];
};

struct usb_function;

struct usb_function_class {
    const uint8_t *device; /* its descriptor, 18 bytes */
    const uint8_t *configuration;
    uint16_t configuration_len;
    /* The same at high speed; NULL: it cannot do that. */
    const uint8_t *high_device, *high_configuration;
    uint16_t high_configuration_len;
    uint8_t strings; /* string[1] up to it */
    const char *const *string;
    /* A request that is not everybody's. IN: puts at most USB_CONTROL_MAX bytes and their number into data and *len.
     * False: stall. */
    bool (*request)(struct usb_function *function, const struct usb_setup *setup, uint8_t *data, uint16_t *len);
    /* IN and OUT at endpoints from 1, when configured and not halted. */
    enum usb_result (*packet)(struct usb_function *function, struct usb_packet *packet);
    /* All that is no more so when not configured. */
    void (*was_reset)(struct usb_function *function);
};

struct usb_function {
    struct usb_device usb; /* first */
    struct usb_function_regs regs;
    const struct usb_function_class *class;
    const char *serial; /* the text of its serial number; NULL: the class's */
};

struct usb_options {
    const char *port;  /* NULL: the first free one */
    uint8_t full_only; /* it does without high speed, though its class can */
};
#define USB_PROPERTIES(config) \
    PROPERTY(config, usb.port, "port", PROPERTY_STRING, USB_PATH_MAX - 1, NULL, \
             "which port, as 1 or, behind a hub, 1.2")

/* product: for people. */
bool usb_function_init(struct usb_function *function, const struct usb_function_class *class, const char *product,
                       const struct device_site *site, const struct usb_options *options, GError **error);
void usb_function_destroy(struct usb_function *function);
/* dev: one whose first member is a usb_function. For device_class's unplug. */
void usb_function_unplug(void *dev);
/* At the speed that it is plugged in with. */
const uint8_t *usb_function_configuration(const struct usb_function *function, uint16_t *len);
/* Halts an endpoint, an IN one with USB_DIR_IN: until the host clears that (5.8.5). */
void usb_function_halt(struct usb_function *function, uint16_t endpoint);
/* Of a bus, or of the machine. */
void usb_function_reset(struct usb_device *dev);
enum usb_result usb_function_packet(struct usb_device *dev, struct usb_packet *packet);
/* There is something for an endpoint at which NAK was said. */
void usb_function_wakeup(struct usb_function *function, unsigned endpoint);
/* Copies what a packet of IN asked for. */
enum usb_result usb_answer(struct usb_packet *packet, const void *bytes, uint32_t len);

void usb_function_pieces(struct usb_function *function, struct state_pieces *pieces);
bool usb_function_after_load(struct usb_function *function);
