/* A device of the host's in its process: found, taken, used, given back. libusb-1.0's documentation; USB 2.0, 9.6.
 *
 * Calls that set something (configuration, interface, halts, reset) wait for the host's kernel, which takes up to some
 * seconds: nobody but this device waits with them. Before each, what is under way on the endpoints concerned is ended.
 */
#include <string.h>

#include "worker.h"

#define CONTROL_MS 10000u
#define DRAIN_US   (3 * G_USEC_PER_SEC)
#define PORTS_MAX  7 /* hubs, one behind the other */

/* As enum usb_speed, which this side does not see. */
enum { SPEED_LOW, SPEED_FULL, SPEED_HIGH, SPEED_SUPER };

/* --- Which one --- */

static void port_name(libusb_device *device, char *text, size_t room)
{
    uint8_t port[PORTS_MAX];
    int count = usb_lib.libusb_get_port_numbers_(device, port, PORTS_MAX);
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < count && i < PORTS_MAX && at < room; i++)
        at += (size_t)g_snprintf(text + at, room - at, "%s%u", i ? "." : "", port[i]);
}

static bool is_wanted(const struct usb_worker *worker, libusb_device *device)
{
    const struct usb_wanted *wanted = &worker->wanted;
    struct libusb_device_descriptor about;
    char port[40];
    if (usb_lib.libusb_get_device_descriptor_(device, &about) != 0 || about.bDeviceClass == LIBUSB_CLASS_HUB)
        return false;
    port_name(device, port, sizeof(port));
    return (!wanted->bus || wanted->bus == usb_lib.libusb_get_bus_number_(device)) &&
           (!wanted->address || wanted->address == usb_lib.libusb_get_device_address_(device)) &&
           (!wanted->vendor || wanted->vendor == about.idVendor) &&
           (!wanted->product || wanted->product == about.idProduct) &&
           (!wanted->port[0] || strcmp(wanted->port, port) == 0);
}

static unsigned *failures_of(struct usb_worker *worker, libusb_device *device)
{
    uint16_t bus = usb_lib.libusb_get_bus_number_(device), address = usb_lib.libusb_get_device_address_(device);
    unsigned i = 0;
    while (i < worker->failed_count && (worker->failed[i].bus != bus || worker->failed[i].address != address))
        i++;
    if (i == REMEMBERED) /* the oldest one may be tried again */
        memmove(worker->failed, worker->failed + 1, sizeof(worker->failed[0]) * --i);
    if (i >= worker->failed_count || worker->failed[i].bus != bus || worker->failed[i].address != address) {
        worker->failed[i].bus = bus;
        worker->failed[i].address = address;
        worker->failed[i].count = 0;
        worker->failed_count = i + 1;
    }
    return &worker->failed[i].count;
}

/* Plugged in anew, it may be tried again. */
static void failures_forget(struct usb_worker *worker, libusb_device **list, ssize_t count)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < worker->failed_count; i++) {
        bool is_there = false;
        for (ssize_t n = 0; n < count && !is_there; n++)
            is_there = worker->failed[i].bus == usb_lib.libusb_get_bus_number_(list[n]) &&
                       worker->failed[i].address == usb_lib.libusb_get_device_address_(list[n]);
        if (is_there)
            worker->failed[kept++] = worker->failed[i];
    }
    worker->failed_count = kept;
}

/* --- Interfaces and endpoints --- */

static void about_endpoint(struct usb_worker *worker, struct usbhost_about *about,
                           const struct libusb_endpoint_descriptor *endpoint, uint8_t interface)
{
    unsigned number = endpoint->bEndpointAddress & 0xf;
    unsigned slot = number + (endpoint->bEndpointAddress & LIBUSB_ENDPOINT_IN ? USBHOST_IN : 0);
    if (number == 0)
        return;
    about->endpoint[slot] =
        (struct usbhost_endpoint){1, endpoint->bmAttributes & 3, (uint16_t)(endpoint->wMaxPacketSize & 0x7ff)};
    worker->owner[slot] = interface;
    /* Slower, bulk packets become smaller and mean the same; interrupt ones would not fit, isochronous ones not come.
     */
    if (about->endpoint[slot].type == LIBUSB_TRANSFER_TYPE_ISOCHRONOUS ||
        (about->endpoint[slot].type == LIBUSB_TRANSFER_TYPE_INTERRUPT && about->endpoint[slot].packet > 64))
        about->can_slow = 0;
}

static void about_settings(struct usb_worker *worker)
{
    struct usbhost_about about = worker->share->about;
    struct libusb_config_descriptor *config = NULL;
    memset(about.endpoint, 0, sizeof(about.endpoint));
    about.can_slow = about.speed >= SPEED_HIGH ? 1u << SPEED_FULL : 0;
    if (usb_lib.libusb_get_active_config_descriptor_(worker->device, &config) != 0)
        config = NULL;
    for (unsigned i = 0; config && i < config->bNumInterfaces; i++) {
        const struct libusb_interface *interface = &config->interface[i];
        for (int n = 0; n < interface->num_altsetting; n++) {
            const struct libusb_interface_descriptor *setting = &interface->altsetting[n];
            if (setting->bInterfaceNumber >= INTERFACE_MAX ||
                setting->bAlternateSetting != worker->alternate[setting->bInterfaceNumber])
                continue;
            for (unsigned e = 0; e < setting->bNumEndpoints; e++)
                about_endpoint(worker, &about, &setting->endpoint[e], setting->bInterfaceNumber);
        }
    }
    worker->share->about = about;
    if (config)
        usb_lib.libusb_free_config_descriptor_(config);
}

static int interface_claim(struct usb_worker *worker, int number)
{
    if (usb_lib.libusb_kernel_driver_active_(worker->handle, number) == 1 &&
        usb_lib.libusb_detach_kernel_driver_(worker->handle, number) == 0)
        worker->detached |= 1u << number;
    int rc = usb_lib.libusb_claim_interface_(worker->handle, number);
    if (rc == 0)
        worker->claimed |= 1u << number;
    return rc;
}

/* All of the configuration that is in force. */
static int interfaces_claim(struct usb_worker *worker)
{
    struct libusb_config_descriptor *config;
    int rc = usb_lib.libusb_get_active_config_descriptor_(worker->device, &config);
    if (rc == LIBUSB_ERROR_NOT_FOUND) /* it is not configured */
        return 0;
    if (rc != 0)
        return rc;
    for (unsigned i = 0; rc == 0 && i < config->bNumInterfaces; i++) {
        const struct libusb_interface *interface = &config->interface[i];
        uint8_t number = interface->num_altsetting > 0 ? interface->altsetting[0].bInterfaceNumber : INTERFACE_MAX;
        if (number < INTERFACE_MAX)
            rc = interface_claim(worker, number);
    }
    usb_lib.libusb_free_config_descriptor_(config);
    memset(worker->alternate, 0, sizeof(worker->alternate));
    return rc;
}

static void interfaces_release(struct usb_worker *worker)
{
    for (int i = 0; i < (int)INTERFACE_MAX; i++) {
        if (worker->claimed & 1u << i)
            usb_lib.libusb_release_interface_(worker->handle, i);
    }
    worker->claimed = 0;
}

/* --- Transfers --- */

static enum usbhost_status status_of(struct usb_worker *worker, int rc)
{
    switch (rc) {
    case 0:
        return USBHOST_OK;
    case LIBUSB_ERROR_PIPE:
        return USBHOST_STALL;
    case LIBUSB_ERROR_OVERFLOW:
        return USBHOST_BABBLE;
    case LIBUSB_ERROR_NO_DEVICE:
        worker->is_lost = true;
        return USBHOST_FAILED;
    default:
        return USBHOST_FAILED;
    }
}

static void LIBUSB_CALL transfer_done(struct libusb_transfer *transfer)
{
    static const uint8_t statuses[] = {
        [LIBUSB_TRANSFER_COMPLETED] = USBHOST_OK,     [LIBUSB_TRANSFER_ERROR] = USBHOST_FAILED,
        [LIBUSB_TRANSFER_TIMED_OUT] = USBHOST_FAILED, [LIBUSB_TRANSFER_CANCELLED] = USBHOST_GIVEN_UP,
        [LIBUSB_TRANSFER_STALL] = USBHOST_STALL,      [LIBUSB_TRANSFER_NO_DEVICE] = USBHOST_FAILED,
        [LIBUSB_TRANSFER_OVERFLOW] = USBHOST_BABBLE,
    };
    struct usb_worker *worker = transfer->user_data;
    unsigned slot = 0;
    while (slot < USBHOST_SLOTS && worker->transfer[slot] != transfer)
        slot++;
    if (slot == USBHOST_SLOTS || !(worker->flying & 1u << slot))
        return;
    worker->flying &= ~(1u << slot);
    worker->is_lost = worker->is_lost || transfer->status == LIBUSB_TRANSFER_NO_DEVICE;
    unsigned status = (unsigned)transfer->status;
    uint32_t room = (uint32_t)transfer->length - (slot == 0 ? (uint32_t)LIBUSB_CONTROL_SETUP_SIZE : 0);
    uint32_t actual = CLAMP(transfer->actual_length, 0, (int)room);
    if (slot == 0 && worker->control[0] & LIBUSB_ENDPOINT_IN)
        memcpy(worker->share->buffer[0], worker->control + LIBUSB_CONTROL_SETUP_SIZE, actual);
    worker_answer(worker, slot, status < sizeof(statuses) ? statuses[status] : USBHOST_FAILED, actual);
}

bool device_transfers_make(struct usb_worker *worker)
{
    for (unsigned slot = 0; slot < USBHOST_SLOTS; slot++) {
        worker->transfer[slot] = usb_lib.libusb_alloc_transfer_(0);
        if (!worker->transfer[slot])
            return false;
    }
    return true;
}

/* Nothing is under way on these slots. A library that does not let go of a buffer takes its process with it. */
static void drain(struct usb_worker *worker, uint32_t slots)
{
    int64_t end = g_get_monotonic_time() + DRAIN_US;
    for (unsigned slot = 0; slot < USBHOST_SLOTS; slot++) {
        if (worker->flying & slots & 1u << slot)
            usb_lib.libusb_cancel_transfer_(worker->transfer[slot]);
    }
    while (worker->flying & slots) {
        struct timeval wait = {0, 100000};
        usb_lib.libusb_handle_events_timeout_completed_(worker->context, &wait, NULL);
        if (g_get_monotonic_time() > end)
            _exit(2);
    }
}

static void transfer_start(struct usb_worker *worker, const struct usbhost_order *order)
{
    struct libusb_transfer *transfer = worker->transfer[order->slot];
    unsigned slot = order->slot;
    const struct usbhost_endpoint *endpoint = &worker->share->about.endpoint[slot];
    uint8_t *buffer = worker->share->buffer[slot];
    uint8_t address = (uint8_t)((slot & 0xf) | (slot >= USBHOST_IN ? LIBUSB_ENDPOINT_IN : 0));
    if (order->kind == USBHOST_CONTROL) {
        memcpy(worker->control, order->setup, sizeof(order->setup));
        if (!(order->setup[0] & LIBUSB_ENDPOINT_IN))
            memcpy(worker->control + LIBUSB_CONTROL_SETUP_SIZE, worker->share->buffer[0], order->len);
        libusb_fill_control_transfer(transfer, worker->handle, worker->control, transfer_done, worker, CONTROL_MS);
        transfer->length = (int)(LIBUSB_CONTROL_SETUP_SIZE + order->len);
    } else if (endpoint->type == LIBUSB_TRANSFER_TYPE_INTERRUPT) {
        libusb_fill_interrupt_transfer(transfer, worker->handle, address, buffer, (int)order->len, transfer_done,
                                       worker, 0);
    } else {
        libusb_fill_bulk_transfer(transfer, worker->handle, address, buffer, (int)order->len, transfer_done, worker, 0);
    }
    worker->flying |= 1u << slot;
    int rc = usb_lib.libusb_submit_transfer_(transfer);
    if (rc != 0) {
        worker->flying &= ~(1u << slot);
        worker_answer(worker, slot, status_of(worker, rc), 0);
    }
}

void device_cancel(struct usb_worker *worker, unsigned slot)
{
    if (worker->flying & 1u << slot)
        usb_lib.libusb_cancel_transfer_(worker->transfer[slot]);
}

/* --- Requests that the host's kernel has to know of --- */

static int configuration_set(struct usb_worker *worker, uint16_t value)
{
    int now = 0, rc = usb_lib.libusb_get_configuration_(worker->handle, &now);
    drain(worker, ~1u);
    /* The only one is in force: to set it again would reset the device. Its interfaces start anew. */
    if (rc == 0 && worker->configurations == 1 && (value == now || value == 0)) {
        for (int i = 0; rc == 0 && i < (int)INTERFACE_MAX; i++) {
            if (worker->claimed & 1u << i && worker->alternate[i])
                rc = usb_lib.libusb_set_interface_alt_setting_(worker->handle, i, 0);
            if (rc == 0)
                worker->alternate[i] = 0;
        }
        return rc;
    }
    interfaces_release(worker);
    rc = usb_lib.libusb_set_configuration_(worker->handle, value ? value & 0xff : -1);
    int claimed = interfaces_claim(worker);
    return rc ? rc : claimed;
}

static int interface_set(struct usb_worker *worker, uint16_t number, uint16_t alternate)
{
    uint32_t slots = 0;
    if (number >= INTERFACE_MAX || alternate > UINT8_MAX || !(worker->claimed & 1u << number))
        return LIBUSB_ERROR_PIPE;
    for (unsigned slot = 1; slot < USBHOST_SLOTS; slot++) {
        if (worker->share->about.endpoint[slot].is_there && worker->owner[slot] == number)
            slots |= 1u << slot;
    }
    drain(worker, slots);
    int rc = usb_lib.libusb_set_interface_alt_setting_(worker->handle, number, alternate);
    if (rc == 0)
        worker->alternate[number] = (uint8_t)alternate;
    return rc;
}

static int port_reset(struct usb_worker *worker)
{
    drain(worker, ~1u);
    int rc = usb_lib.libusb_reset_device_(worker->handle);
    if (rc == LIBUSB_ERROR_NOT_FOUND) /* it is another one now */
        worker->is_lost = true;
    return rc;
}

void device_serve(struct usb_worker *worker, const struct usbhost_order *order)
{
    unsigned number = order->index & 0xf, slot = number + (order->index & LIBUSB_ENDPOINT_IN ? USBHOST_IN : 0);
    int rc;
    if (order->kind <= USBHOST_TRANSFER) {
        transfer_start(worker, order);
        return;
    }
    switch (order->kind) {
    case USBHOST_CONFIGURATION:
        rc = configuration_set(worker, order->value);
        break;
    case USBHOST_INTERFACE:
        rc = interface_set(worker, order->index, order->value);
        break;
    case USBHOST_CLEAR_HALT:
        drain(worker, 1u << slot);
        rc = usb_lib.libusb_clear_halt_(worker->handle, (uint8_t)order->index);
        break;
    default:
        rc = port_reset(worker);
        break;
    }
    if (!worker->is_lost)
        about_settings(worker);
    worker_answer(worker, 0, status_of(worker, rc), 0);
}

/* --- Taken and given back --- */

static void about_device(struct usb_worker *worker, const struct libusb_device_descriptor *descriptor)
{
    struct usbhost_about *about = &worker->share->about;
    int speed = usb_lib.libusb_get_device_speed_(worker->device);
    *about = (struct usbhost_about){
        .speed = speed == LIBUSB_SPEED_LOW     ? SPEED_LOW
                 : speed == LIBUSB_SPEED_HIGH  ? SPEED_HIGH
                 : speed >= LIBUSB_SPEED_SUPER ? SPEED_SUPER
                                               : SPEED_FULL,
        .packet0 = descriptor->bMaxPacketSize0,
        .vendor = descriptor->idVendor,
        .product = descriptor->idProduct,
        .bus = usb_lib.libusb_get_bus_number_(worker->device),
        .address = usb_lib.libusb_get_device_address_(worker->device),
    };
}

/* A string of the device's for people: printable, or empty. */
static void text_get(libusb_device_handle *handle, uint8_t index, char *text, int room)
{
    int len = index ? usb_lib.libusb_get_string_descriptor_ascii_(handle, index, (unsigned char *)text, room - 1) : 0;
    len = CLAMP(len, 0, room - 1);
    text[len] = 0;
    len = (int)strlen(text);
    for (int i = 0; i < len; i++)
        text[i] = g_ascii_isprint(text[i]) ? text[i] : '?';
}

static void handle_close(struct usb_worker *worker)
{
    interfaces_release(worker);
    for (int i = 0; i < (int)INTERFACE_MAX; i++) {
        if (worker->detached & 1u << i)
            usb_lib.libusb_attach_kernel_driver_(worker->handle, i);
    }
    worker->detached = 0;
    usb_lib.libusb_close_(worker->handle);
    usb_lib.libusb_unref_device_(worker->device);
    worker->handle = NULL;
    worker->device = NULL;
}

static int handle_open(struct usb_worker *worker, libusb_device *device)
{
    struct libusb_device_descriptor descriptor;
    int rc = usb_lib.libusb_get_device_descriptor_(device, &descriptor);
    if (rc == 0)
        rc = usb_lib.libusb_open_(device, &worker->handle);
    if (rc != 0)
        return rc;
    worker->device = usb_lib.libusb_ref_device_(device);
    worker->configurations = descriptor.bNumConfigurations;
    worker->claimed = worker->detached = 0;
    rc = interfaces_claim(worker);
    if (rc != 0) {
        handle_close(worker);
        return rc;
    }
    about_device(worker, &descriptor);
    about_settings(worker);
    text_get(worker->handle, descriptor.iProduct, worker->share->about.name, sizeof(worker->share->about.name));
    return 0;
}

static void failure_tell(libusb_device *device, int rc, char *text, size_t room)
{
    unsigned bus = usb_lib.libusb_get_bus_number_(device), address = usb_lib.libusb_get_device_address_(device);
    const char *why = rc == LIBUSB_ERROR_ACCESS ? "may not be opened: give this user the right to write to"
                      : rc == LIBUSB_ERROR_BUSY ? "is in use by another program or machine; it is at"
                                                : NULL;
    if (why)
        g_snprintf(text, room, "host USB device %u:%u %s /dev/bus/usb/%03u/%03u", bus, address, why, bus, address);
    else
        g_snprintf(text, room, "host USB device %u:%u cannot be taken: %s", bus, address,
                   usb_lib.libusb_error_name_(rc));
}

bool device_take(struct usb_worker *worker, char *text, size_t room)
{
    libusb_device **list;
    ssize_t count = usb_lib.libusb_get_device_list_(worker->context, &list);
    text[0] = 0;
    if (count < 0)
        return false;
    failures_forget(worker, list, count);
    for (ssize_t i = 0; i < count && !worker->handle; i++) {
        if (!is_wanted(worker, list[i]))
            continue;
        unsigned *failures = failures_of(worker, list[i]);
        if (*failures >= FAILURES_MAX)
            continue;
        int rc = handle_open(worker, list[i]);
        if (rc == 0)
            break;
        if (++*failures == 1)
            failure_tell(list[i], rc, text, room);
    }
    usb_lib.libusb_free_device_list_(list, 1);
    if (!worker->handle)
        return false;
    worker->session++;
    worker->is_lost = false;
    worker->was_ours = true;
    return true;
}

bool device_is_gone(struct usb_worker *worker)
{
    libusb_device **list;
    ssize_t count = usb_lib.libusb_get_device_list_(worker->context, &list);
    bool is_there = count < 0;
    for (ssize_t i = 0; i < count && !is_there; i++)
        is_there = list[i] == worker->device;
    if (count >= 0)
        usb_lib.libusb_free_device_list_(list, 1);
    return !is_there;
}

void device_give_back(struct usb_worker *worker, bool again)
{
    if (!worker->handle)
        return;
    if (!again)
        *failures_of(worker, worker->device) = FAILURES_MAX;
    drain(worker, ~0u);
    handle_close(worker);
}

/* --- info usbhost --- */

void devices_list(struct usb_worker *worker, char *text, size_t room)
{
    static const char *const speeds[] = {"?", "1.5", "12", "480", "5000", "5000+"};
    libusb_device **list;
    ssize_t count = usb_lib.libusb_get_device_list_(worker->context, &list);
    GString *out = g_string_new(NULL);
    for (ssize_t i = 0; i < count; i++) {
        struct libusb_device_descriptor about;
        libusb_device_handle *handle;
        char port[40], name[64] = "";
        if (usb_lib.libusb_get_device_descriptor_(list[i], &about) != 0 || about.bDeviceClass == LIBUSB_CLASS_HUB)
            continue;
        port_name(list[i], port, sizeof(port));
        if (about.iProduct && usb_lib.libusb_open_(list[i], &handle) == 0) {
            text_get(handle, about.iProduct, name, sizeof(name));
            usb_lib.libusb_close_(handle);
        }
        unsigned speed = (unsigned)usb_lib.libusb_get_device_speed_(list[i]);
        g_string_append_printf(out, "  Bus %u, Addr %u, Port %s, Speed %s Mb/s\n",
                               usb_lib.libusb_get_bus_number_(list[i]), usb_lib.libusb_get_device_address_(list[i]),
                               port, speeds[speed < G_N_ELEMENTS(speeds) ? speed : 0]);
        g_string_append_printf(out, "    Class %02x: USB device %04x:%04x%s%s\n", about.bDeviceClass, about.idVendor,
                               about.idProduct, *name ? ", " : "", name);
    }
    if (count >= 0)
        usb_lib.libusb_free_device_list_(list, 1);
    if (!out->len)
        g_string_append(out, "  no USB devices on the host\n");
    g_strlcpy(text, out->str, room);
    g_string_free(out, TRUE);
}
