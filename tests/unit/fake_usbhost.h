/* USB devices of the host's for tests of usb_host.c: orders are kept, and answered when the test says so; and a bus
 * with two ports for what asks for one. */
#pragma once

#include <string.h>

#include "device.h"
#include "usb.h"
#include "usbhost.h"

extern const struct device_class usb_host_class;

static struct {
    const struct usbhost_front *front;
    void *opaque;
    struct usbhost_order order[USBHOST_SLOTS];
    uint32_t busy; /* slots */
    unsigned cancels, opens, closes, releases;
    bool again; /* of the last release */
    struct usbhost_about about;
    uint8_t buffer[USBHOST_SLOTS][USBHOST_BUFFER];
} real;

static struct {
    struct board board; /* first */
    struct usb_bus bus;
    struct usb_port port[2];
    unsigned changes, wakeups;
    const struct usbhost_service *service;
} host_board;

static inline struct usbhost *real_open(const char *id, const struct usbhost_match *match,
                                        const struct usbhost_front *front, void *opaque, GError **error)
{
    real.front = front;
    real.opaque = opaque;
    real.opens++;
    return (struct usbhost *)(void *)&real;
}

static inline void real_close(struct usbhost *usbhost)
{
    real.closes++;
}

static inline uint8_t *real_buffer(struct usbhost *usbhost, unsigned slot)
{
    return real.buffer[slot];
}

static inline void real_submit(struct usbhost *usbhost, const struct usbhost_order *order)
{
    g_assert_cmpuint(order->slot, <, USBHOST_SLOTS);
    g_assert_false(real.busy & 1u << order->slot);
    g_assert_cmpuint(order->len, <=, order->slot ? USBHOST_BUFFER : USBHOST_CONTROL_MAX);
    real.busy |= 1u << order->slot;
    real.order[order->slot] = *order;
}

static inline void real_cancel(struct usbhost *usbhost, unsigned slot)
{
    g_assert_true(real.busy & 1u << slot);
    real.cancels++;
}

static inline void real_release(struct usbhost *usbhost, bool again)
{
    real.releases++;
    real.again = again;
}

static inline void real_answer(unsigned slot, enum usbhost_status status, uint32_t actual)
{
    const struct usbhost_answer answer = {(uint8_t)slot, (uint8_t)status, actual};
    g_assert_true(real.busy & 1u << slot);
    real.busy &= ~(1u << slot);
    real.front->answered(real.opaque, &answer, &real.about);
}

static inline void *host_board_service(struct board *board, const char *name)
{
    return strcmp(name, "usb-host") == 0 ? (void *)host_board.service
           : strcmp(name, "usb") == 0    ? &host_board.bus
                                         : NULL;
}

static inline void host_board_changed(struct usb_port *port)
{
    host_board.changes++;
}

static inline void host_board_wakeup(struct usb_port *port, struct usb_device *dev, unsigned endpoint, bool can_resume)
{
    host_board.wakeups++;
}

/* service: NULL: the one above. */
static inline void *host_board_make(const void *config, const struct usbhost_service *service, uint8_t speeds,
                                    GError **error)
{
    static const struct board_ops ops = {.service = host_board_service};
    static const struct usb_port_ops port_ops = {host_board_changed, host_board_wakeup};
    static const struct usbhost_service own = {real_open,   real_close,  real_buffer,
                                               real_submit, real_cancel, real_release};
    memset(&host_board, 0, sizeof(host_board));
    host_board.board.ops = &ops;
    host_board.service = service ? service : &own;
    for (unsigned i = 0; i < 2; i++) {
        host_board.port[i] = (struct usb_port){.ops = &port_ops, .speeds = speeds};
        usb_port_add(&host_board.bus, &host_board.port[i], NULL, i + 1);
    }
    const struct device_site site = {.board = &host_board.board, .id = "dev", .controller = &host_board.bus};
    return usb_host_class.create(&site, config, error);
}

/* As usb_host.c has it. */
struct host_config {
    struct {
        const char *port;
        uint8_t full_only;
    } usb;
    uint32_t bus, address, vendor, product;
    const char *hostport;
    bool guest_reset, guest_resets_all;
};
