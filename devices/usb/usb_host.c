/* A USB device of the host's, given to the guest: usbhost.h says what is behind it. USB 2.0, 5.8, 8.5, 9.4.
 *
 * What the guest sends goes to the real device as it is, but for what the host's kernel has to know of: the address is
 * the guest's matter alone; configuration, interface and halts are set by calls of their own. Nothing waits: NAK until
 * there is an answer, then a wake-up.
 *
 *     packets of one transfer (packet.more) -> one order -> the real bus -> its answer, packet by packet
 *
 * IN: as much is asked for as the guest's transfer wants, rounded up to whole packets of the real endpoint, never more.
 * What came for a transfer that the guest has given up meanwhile is what its next one gets, as it would from the
 * device. OUT: packets are collected up to the transfer's last, which is answered when the device has taken all of
 * them.
 *
 * Nothing of it is saved: a loaded machine sees the device unplugged and plugged in.
 */
#include <string.h>

#include "log.h"
#include "usb_function.h"
#include "usbhost.h"

#define TYPE_ISOCHRONOUS 1
#define SUPER_PACKET0    9u /* 2 to the power of that (USB 3.0, 9.6.1) */
#define PACKET0          64u
#define FAILURES_TOLD    3u /* a controller tries a packet so often */

enum pipe_state {
    PIPE_IDLE, /* of OUT: packets may have been collected */
    PIPE_BUSY, /* the order is under way */
    PIPE_DONE, /* its answer is there, and not all of it told */
};

struct pipe {
    uint8_t state;   /* enum pipe_state */
    uint8_t status;  /* PIPE_DONE: enum usbhost_status */
    bool waits;      /* NAK was said */
    bool is_void;    /* PIPE_BUSY: the answer is nobody's */
    bool is_empty;   /* IN: a packet of no bytes is still to be told */
    uint8_t told;    /* how often an error was */
    uint32_t len;    /* IN: what came; OUT: what was collected */
    uint32_t at;     /* IN: told so far; OUT: where the last packet begins */
    uint32_t wanted; /* OUT: the rest of the guest's transfer. IN: what was asked for */
};

enum stage { STAGE_IDLE, STAGE_IN, STAGE_OUT, STAGE_STATUS, STAGE_STALL };

struct usb_host_config {
    struct usb_options usb;
    uint32_t bus, address, vendor, product;
    const char *hostport;
    bool guest_reset, guest_resets_all;
};

struct usb_host {
    struct usb_device usb; /* first */
    char *id;
    const struct usbhost_service *service;
    struct usbhost *real;
    bool guest_reset, guest_resets_all;
    struct usbhost_about about;
    char name[80];
    uint32_t isochronous_told; /* slots */
    struct pipe pipe[USBHOST_SLOTS];

    /* The default pipe. */
    uint8_t stage, new_address; /* enum stage */
    bool has_request;           /* it is to be sent when slot 0 is free */
    bool is_answered, is_local; /* the request; it was no order */
    bool wants_reset;
    struct usb_setup setup;
    uint8_t setup_bytes[8];
    uint8_t packet0;
    uint32_t len, moved; /* of data */
    uint8_t data[USBHOST_CONTROL_MAX];
};

/* --- Orders --- */

static void pipe_wake(struct usb_host *host, unsigned slot)
{
    struct pipe *pipe = &host->pipe[slot];
    if (pipe->waits)
        usb_wakeup(&host->usb, slot & 0xf, false);
    pipe->waits = false;
}

/* What is known of a pipe is no more so. */
static void pipe_forget(struct usb_host *host, unsigned slot)
{
    struct pipe *pipe = &host->pipe[slot];
    *pipe = (struct pipe){.state = pipe->state == PIPE_BUSY ? PIPE_BUSY : PIPE_IDLE,
                          .is_void = pipe->state == PIPE_BUSY,
                          .waits = pipe->waits};
}

/* Its answer is nobody's, and may come soon: asked for once. */
static void pipe_give_up(struct usb_host *host, unsigned slot)
{
    struct pipe *pipe = &host->pipe[slot];
    if (pipe->state == PIPE_BUSY && !pipe->is_void)
        host->service->cancel(host->real, slot);
    pipe_forget(host, slot);
}

static void pipes_forget(struct usb_host *host)
{
    for (unsigned slot = 1; slot < USBHOST_SLOTS; slot++)
        pipe_forget(host, slot);
}

static void order_send(struct usb_host *host, const struct usbhost_order *order)
{
    host->pipe[order->slot].state = PIPE_BUSY;
    host->pipe[order->slot].is_void = false;
    host->service->submit(host->real, order);
}

/* The request as an order, or what of its kind the host has a call for. */
static void request_send(struct usb_host *host)
{
    const struct usb_setup *setup = &host->setup;
    struct usbhost_order order = {.kind = USBHOST_CONTROL, .value = setup->value, .index = setup->index};
    bool is_halt = setup->request == USB_REQUEST(USB_TO_ENDPOINT, USB_CLEAR_FEATURE) &&
                   setup->value == USB_ENDPOINT_HALT && (setup->index & 0xf) && !setup->length;
    host->has_request = false;
    if (setup->request == USB_REQUEST(USB_TO_DEVICE, USB_SET_CONFIG)) {
        order.kind = USBHOST_CONFIGURATION;
        pipes_forget(host);
    } else if (setup->request == USB_REQUEST(USB_TO_INTERFACE, USB_SET_INTERFACE)) {
        order.kind = USBHOST_INTERFACE;
        pipes_forget(host);
    } else if (is_halt) {
        order.kind = USBHOST_CLEAR_HALT;
        pipe_forget(host, (setup->index & 0xf) + (setup->index & USB_DIR_IN ? USBHOST_IN : 0));
    } else {
        memcpy(order.setup, host->setup_bytes, sizeof(order.setup));
        order.len = MIN(setup->length, USBHOST_CONTROL_MAX);
        order.setup[6] = (uint8_t)order.len;
        order.setup[7] = (uint8_t)(order.len >> 8);
        if (!(setup->request >> 8 & USB_DIR_IN))
            memcpy(host->service->buffer(host->real, 0), host->data, order.len);
    }
    order_send(host, &order);
}

static void slot_0_next(struct usb_host *host)
{
    if (host->pipe[0].state != PIPE_IDLE)
        return;
    if (host->wants_reset) {
        const struct usbhost_order order = {.kind = USBHOST_RESET};
        host->wants_reset = false;
        order_send(host, &order);
    } else if (host->has_request) {
        request_send(host);
    }
}

/* --- The default pipe (8.5.3) --- */

static void request_ask(struct usb_host *host)
{
    host->is_answered = false;
    host->has_request = true;
    pipe_give_up(host, 0); /* with what the guest waits for no more */
    slot_0_next(host);
}

static enum usb_result setup_packet(struct usb_host *host, struct usb_packet *packet)
{
    const uint8_t *bytes = packet->buffer;
    if (packet->len != 8)
        return USB_NONE; /* it is no SETUP, and nobody hears it */
    packet->actual = 8;
    memcpy(host->setup_bytes, bytes, 8);
    host->setup = (struct usb_setup){USB_REQUEST(bytes[0], bytes[1]), (uint16_t)(bytes[2] | bytes[3] << 8),
                                     (uint16_t)(bytes[4] | bytes[5] << 8), (uint16_t)(bytes[6] | bytes[7] << 8)};
    host->len = host->moved = 0;
    host->new_address = host->usb.address;
    host->is_local = false;
    host->has_request = false;
    if (host->setup.request == USB_REQUEST(USB_TO_DEVICE, USB_SET_ADDRESS)) {
        host->stage = host->setup.value > 127 ? STAGE_STALL : STAGE_STATUS;
        host->new_address = host->setup.value & 0x7f;
        host->is_local = host->is_answered = true;
    } else if (bytes[0] & USB_DIR_IN && host->setup.length) {
        host->stage = STAGE_IN;
        request_ask(host);
    } else if (host->setup.length > USBHOST_CONTROL_MAX) {
        log_guest("usb-host: a request that sends %u bytes, more than the %u that Linux moves in one",
                  host->setup.length, USBHOST_CONTROL_MAX);
        host->stage = STAGE_STALL;
    } else if (host->setup.length) {
        host->stage = STAGE_OUT;
    } else {
        host->stage = STAGE_STATUS;
        request_ask(host);
    }
    return USB_ACK;
}

static enum usb_result nak_0(struct usb_host *host)
{
    host->pipe[0].waits = true;
    return USB_NAK;
}

static enum usb_result control_in(struct usb_host *host, struct usb_packet *packet)
{
    if (host->stage == STAGE_IN) {
        if (!host->is_answered)
            return nak_0(host);
        uint32_t len = MIN(MIN(host->len - host->moved, packet->len), host->packet0);
        enum usb_result result = usb_answer(packet, host->data + host->moved, len);
        host->moved += len;
        return result;
    }
    if (host->stage != STAGE_STATUS)
        return USB_STALL;
    if (!host->is_answered)
        return nak_0(host);
    host->stage = STAGE_IDLE;
    host->usb.address = host->new_address;
    return USB_ACK;
}

static enum usb_result control_out(struct usb_host *host, struct usb_packet *packet)
{
    if (host->stage == STAGE_IN) { /* the guest has had enough: the status stage */
        if (!host->is_answered)
            return nak_0(host);
        host->stage = STAGE_IDLE;
        packet->actual = packet->len;
        return USB_ACK;
    }
    if (host->stage != STAGE_OUT || packet->len > host->setup.length - host->moved) {
        host->stage = STAGE_STALL;
        return USB_STALL;
    }
    memcpy(host->data + host->moved, packet->buffer, packet->len);
    host->moved += packet->len;
    packet->actual = packet->len;
    if (host->moved == host->setup.length) {
        host->stage = STAGE_STATUS;
        request_ask(host);
    }
    return USB_ACK;
}

/* A device for a faster bus says 2 to the power of 9 (USB 3.0), which no slower bus has. */
static void descriptor_mend(struct usb_host *host)
{
    if (host->setup.request == USB_REQUEST(USB_DIR_IN | USB_TO_DEVICE, USB_GET_DESCRIPTOR) &&
        host->setup.value >> 8 == USB_DESC_DEVICE && host->len >= 8 && host->data[7] == SUPER_PACKET0)
        host->data[7] = PACKET0;
}

static void request_answered(struct usb_host *host, const struct usbhost_answer *answer)
{
    host->is_answered = true;
    if (answer->status != USBHOST_OK)
        host->stage = STAGE_STALL; /* a device that does not answer at all is gone soon */
    if (host->stage == STAGE_IN) {
        host->len = MIN(answer->actual, host->setup.length);
        memcpy(host->data, host->service->buffer(host->real, 0), host->len);
        descriptor_mend(host);
    }
}

/* --- Endpoints --- */

static enum usb_result result_of(uint8_t status)
{
    return status == USBHOST_OK       ? USB_ACK
           : status == USBHOST_STALL  ? USB_STALL
           : status == USBHOST_BABBLE ? USB_BABBLE
                                      : USB_NONE;
}

static enum usb_result nak(struct pipe *pipe)
{
    pipe->waits = true;
    return USB_NAK;
}

/* The guest's packets are smaller than the real ones: a device plugged in slower than it is. */
static bool is_slowed(const struct usb_host *host)
{
    return (uint8_t)host->usb.speed != host->about.speed;
}

static enum usb_result in_tell(struct usb_host *host, unsigned slot, struct usb_packet *packet)
{
    struct pipe *pipe = &host->pipe[slot];
    uint32_t left = pipe->len - pipe->at, len = MIN(left, host->about.endpoint[slot].packet);
    if (is_slowed(host))
        len = MIN(len, packet->len);
    if (!left && !pipe->is_empty) { /* what it ended with */
        enum usb_result result = result_of(pipe->status);
        pipe->state = PIPE_IDLE;
        return result;
    }
    enum usb_result result = usb_answer(packet, host->service->buffer(host->real, slot) + pipe->at, len);
    pipe->at += len;
    if (!left)
        pipe->is_empty = false;
    if (result == USB_BABBLE || (pipe->at == pipe->len && !pipe->is_empty && pipe->status == USBHOST_OK))
        pipe->state = PIPE_IDLE;
    return result;
}

static enum usb_result in_packet(struct usb_host *host, unsigned slot, struct usb_packet *packet)
{
    struct pipe *pipe = &host->pipe[slot];
    uint32_t size = host->about.endpoint[slot].packet;
    if (pipe->state == PIPE_DONE)
        return in_tell(host, slot, packet);
    if (pipe->state == PIPE_IDLE) {
        uint32_t wanted = MIN(packet->len + packet->more, USBHOST_BUFFER);
        uint32_t packets = MAX(MIN((wanted + size - 1) / size, USBHOST_BUFFER / size), 1);
        const struct usbhost_order order = {.kind = USBHOST_TRANSFER, .slot = (uint8_t)slot, .len = packets * size};
        pipe->wanted = order.len;
        order_send(host, &order);
    }
    return nak(pipe);
}

static void out_send(struct usb_host *host, unsigned slot)
{
    struct pipe *pipe = &host->pipe[slot];
    const struct usbhost_order order = {.kind = USBHOST_TRANSFER, .slot = (uint8_t)slot, .len = pipe->len};
    pipe->told = 0;
    order_send(host, &order);
}

/* It is the one that waits for its answer, sent once more. */
static bool is_same(struct usb_host *host, unsigned slot, const struct usb_packet *packet)
{
    const struct pipe *pipe = &host->pipe[slot];
    return packet->len == pipe->len - pipe->at &&
           memcmp(host->service->buffer(host->real, slot) + pipe->at, packet->buffer, packet->len) == 0;
}

static enum usb_result out_packet(struct usb_host *host, unsigned slot, struct usb_packet *packet)
{
    struct pipe *pipe = &host->pipe[slot];
    if (packet->len > USBHOST_BUFFER)
        return USB_NONE;
    if (pipe->state == PIPE_BUSY)
        return nak(pipe);
    if (pipe->state == PIPE_DONE && is_same(host, slot, packet)) {
        enum usb_result result = result_of(pipe->status);
        /* What was collected with it is not sent again by the guest, which tries this packet: it is told the same. */
        if (result != USB_NONE || pipe->at == 0 || ++pipe->told == FAILURES_TOLD) {
            pipe->state = PIPE_IDLE;
            pipe->len = 0;
        }
        packet->actual = packet->len;
        return result;
    }
    /* Another transfer than that whose packets were collected, or whose end the guest did not wait for. */
    if (pipe->state == PIPE_DONE || packet->len + packet->more != pipe->wanted ||
        pipe->len + packet->len > USBHOST_BUFFER)
        pipe->len = 0;
    pipe->state = PIPE_IDLE;
    pipe->at = pipe->len;
    memcpy(host->service->buffer(host->real, slot) + pipe->at, packet->buffer, packet->len);
    pipe->len += packet->len;
    pipe->wanted = packet->more;
    if (packet->more && packet->len && pipe->len + packet->len <= USBHOST_BUFFER) {
        packet->actual = packet->len;
        return USB_ACK;
    }
    out_send(host, slot);
    return nak(pipe);
}

/* Isochronous ones are nobody's here: no controller of ours has them. */
static enum usb_result isochronous_refuse(struct usb_host *host, unsigned slot)
{
    if (!(host->isochronous_told & 1u << slot))
        log_user("%s: the guest uses endpoint %u of '%s', which is isochronous: such transfers are not passed on, and "
                 "end in errors",
                 host->id, slot & 0xf, host->name);
    host->isochronous_told |= 1u << slot;
    return USB_NONE;
}

static enum usb_result host_packet(struct usb_device *dev, struct usb_packet *packet)
{
    struct usb_host *host = (struct usb_host *)dev;
    unsigned slot = packet->endpoint + (packet->pid == USB_IN ? USBHOST_IN : 0);
    const struct usbhost_endpoint *endpoint = &host->about.endpoint[slot];
    if (packet->endpoint == 0)
        return packet->pid == USB_SETUP ? setup_packet(host, packet)
               : packet->pid == USB_IN  ? control_in(host, packet)
                                        : control_out(host, packet);
    if (packet->pid == USB_SETUP || !endpoint->is_there)
        return USB_NONE;
    if (packet->is_isochronous || endpoint->type == TYPE_ISOCHRONOUS)
        return isochronous_refuse(host, slot);
    return packet->pid == USB_IN ? in_packet(host, slot, packet) : out_packet(host, slot, packet);
}

/* --- What the other side says --- */

static void about_take(struct usb_host *host, const struct usbhost_about *about)
{
    host->about = *about;
    host->about.name[sizeof(about->name) - 1] = 0;
    for (char *c = host->about.name; *c; c++)
        *c = g_ascii_isprint(*c) ? *c : '?';
    for (unsigned slot = 0; slot < USBHOST_SLOTS; slot++) {
        struct usbhost_endpoint *endpoint = &host->about.endpoint[slot];
        endpoint->type &= 3;
        if (endpoint->packet == 0 || endpoint->packet > 1024)
            endpoint->is_there = 0;
    }
}

static void answered(void *opaque, const struct usbhost_answer *answer, const struct usbhost_about *about)
{
    struct usb_host *host = opaque;
    struct pipe *pipe = &host->pipe[answer->slot];
    bool is_void = pipe->is_void;
    pipe->is_void = false;
    pipe->state = PIPE_IDLE;
    about_take(host, about);
    if (answer->slot == 0) {
        if (!is_void && !host->is_answered && !host->has_request)
            request_answered(host, answer);
        slot_0_next(host);
    } else if (is_void || answer->status == USBHOST_GIVEN_UP) {
        pipe_forget(host, answer->slot);
    } else {
        pipe->state = PIPE_DONE;
        pipe->status = answer->status;
        if (answer->slot >= USBHOST_IN) {
            uint32_t size = MAX(host->about.endpoint[answer->slot].packet, 1);
            pipe->len = MIN(answer->actual, pipe->wanted);
            pipe->at = 0;
            pipe->is_empty = answer->status == USBHOST_OK && pipe->len < pipe->wanted && pipe->len % size == 0;
        }
    }
    pipe_wake(host, answer->slot);
}

static void came(void *opaque, const struct usbhost_about *about)
{
    struct usb_host *host = opaque;
    GError *error = NULL;
    about_take(host, about);
    g_strlcpy(host->name, host->about.name, sizeof(host->name));
    if (!*host->name)
        g_snprintf(host->name, sizeof(host->name), "host:%u.%u", host->about.bus, host->about.address);
    host->usb.product = host->name;
    host->usb.speeds = (uint8_t)(1u << MIN(host->about.speed, USB_HIGH)) | host->about.can_slow;
    host->packet0 = host->about.packet0 == SUPER_PACKET0 ? PACKET0 : MAX(host->about.packet0, 8);
    host->stage = STAGE_IDLE;
    host->isochronous_told = 0;
    if (usb_appear(&host->usb, &error))
        return;
    log_user("%s: host USB device %u:%u (%04x:%04x) is left to the host, as it cannot be plugged in: %s", host->id,
             host->about.bus, host->about.address, host->about.vendor, host->about.product, error->message);
    g_error_free(error);
    host->service->release(host->real, false);
}

static void went(void *opaque)
{
    struct usb_host *host = opaque;
    memset(host->pipe, 0, sizeof(host->pipe));
    host->has_request = host->wants_reset = false;
    host->stage = STAGE_IDLE;
    usb_vanish(&host->usb);
    host->usb.address = 0;
    host->usb.product = "USB Host Device";
}

/* --- The device --- */

static void bus_reset(struct usb_device *dev)
{
    struct usb_host *host = (struct usb_host *)dev;
    bool had_address = dev->address;
    host->stage = STAGE_IDLE;
    host->has_request = false;
    host->is_answered = true;
    dev->address = 0;
    if (!usb_is_present(dev))
        return;
    for (unsigned slot = 0; slot < USBHOST_SLOTS; slot++)
        pipe_give_up(host, slot);
    /* One that nobody has spoken to since the last one does not need another, which takes the host long. */
    if (host->guest_reset && (had_address || host->guest_resets_all)) {
        host->wants_reset = true;
        slot_0_next(host);
    }
}

static void *host_create(const struct device_site *site, const void *opaque, GError **error)
{
    static const struct usb_device_ops ops = {.packet = host_packet, .reset = bus_reset};
    static const struct usbhost_front front = {came, went, answered};
    const struct usb_host_config *config = opaque;
    const struct usbhost_match match = {config->bus, config->address, config->vendor, config->product,
                                        config->hostport};
    const struct usbhost_service *service = board_service(site->board, "usb-host");
    if (!match.bus && !match.address && !match.vendor && !match.product && !match.port) {
        g_set_error(
            error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
            "%s: which device of the host's? vendorid= and productid=, or hostbus= with hostaddr= or hostport=; "
            "'info usbhost' lists them",
            site->id);
        return NULL;
    }
    if (!service) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NODEV,
                    "%s: there is no way to USB devices of the host's: give this machine a monitor or such a device "
                    "when it is started",
                    site->id);
        return NULL;
    }
    struct usb_host *host = g_new0(struct usb_host, 1);
    host->usb.ops = &ops;
    host->usb.product = "USB Host Device";
    host->usb.id = strchr(site->id, '/') ? NULL : site->id;
    host->id = g_strdup(site->id);
    host->service = service;
    host->guest_reset = config->guest_reset;
    host->guest_resets_all = config->guest_resets_all;
    if (usb_claim(site->controller, &host->usb, config->usb.port, error)) {
        host->real = service->open(site->id, &match, &front, host, error);
        if (host->real)
            return host;
        g_prefix_error(error, "%s: ", site->id);
        usb_forget(&host->usb);
    }
    g_free(host->id);
    g_free(host);
    return NULL;
}

static void host_destroy(void *dev)
{
    struct usb_host *host = dev;
    usb_forget(&host->usb);
    host->service->close(host->real);
    g_free(host->id);
    g_free(host);
}

static void host_unplug(void *dev)
{
    struct usb_host *host = dev;
    usb_detach(&host->usb);
}

static void host_reset(void *dev)
{
    bus_reset(dev);
}

/* The guest's driver knows a device that the real one is not any more: it is to see another one. */
static void before_load(void *dev)
{
    struct usb_host *host = dev;
    if (!usb_is_present(&host->usb))
        return;
    log_user("%s: a device of the host's is not part of a saved machine: the guest sees '%s' unplugged and plugged in",
             host->id, host->name);
    usb_vanish(&host->usb);
    host->service->release(host->real, true);
}

static void host_dump(void *dev, GString *out)
{
    static const char *const states[] = {"idle", "under way", "answered"};
    const struct usb_host *host = dev;
    const struct usbhost_about *about = &host->about;
    if (!usb_is_present(&host->usb)) {
        g_string_append_printf(out, "USB Host Device, port %s: not there\n",
                               host->usb.port ? host->usb.port->path : "-");
        return;
    }
    g_string_append_printf(out, "%s: %04x:%04x, on the host %u:%u, address %u\n", host->name, about->vendor,
                           about->product, about->bus, about->address, host->usb.address);
    for (unsigned slot = 1; slot < USBHOST_SLOTS; slot++) {
        if (about->endpoint[slot].is_there)
            g_string_append_printf(out, "  endpoint %u %s: %s, %u of %u bytes\n", slot & 0xf,
                                   slot >= USBHOST_IN ? "in" : "out", states[host->pipe[slot].state],
                                   host->pipe[slot].at, host->pipe[slot].len);
    }
}

static const struct property host_properties[] = {
    USB_PROPERTIES(usb_host_config),
    PROPERTY(usb_host_config, bus, "hostbus", PROPERTY_NUMBER, 0xffff, NULL, "the host's bus"),
    PROPERTY(usb_host_config, address, "hostaddr", PROPERTY_NUMBER, 127, NULL, "the device's address there"),
    PROPERTY(usb_host_config, hostport, "hostport", PROPERTY_STRING, 31, NULL, "the port there, as 1.4"),
    PROPERTY(usb_host_config, vendor, "vendorid", PROPERTY_NUMBER, 0xffff, NULL, "who has made it, as 0x0951"),
    PROPERTY(usb_host_config, product, "productid", PROPERTY_NUMBER, 0xffff, NULL, "what it is, as 0x1666"),
    PROPERTY(usb_host_config, guest_reset, "guest-reset", PROPERTY_BOOL, 0, "on", "the guest may reset it"),
    PROPERTY(usb_host_config, guest_resets_all, "guest-resets-all", PROPERTY_BOOL, 0, "off",
             "at its first reset, too, which is one of many"),
    PROPERTY_END};

const struct device_class usb_host_class = {
    .name = "usb-host",
    .help = "USB device of the host's",
    .bus = BUS_USB,
    .properties = host_properties,
    .config_size = sizeof(struct usb_host_config),
    .create = host_create,
    .destroy = host_destroy,
    .unplug = host_unplug,
    .reset = host_reset,
    .before_load = before_load,
    .dump = host_dump,
};
DEVICE_CLASS(usb_host_class);
