/* A stand-in for libusb-1.0.so.0 with two devices: a high-speed stick (bulk) and a full-speed mouse (interrupt), which
 * come, go and misbehave as fake.h's file says. Only what src/host/usb/ uses, as libusb-1.0's documentation has it; the
 * devices as in USB 2.0, 9, the Bulk-Only Transport 1.0 and HID 1.11, B.2.
 *
 * Not our bus code: packets end transfers, as on the wire. A transfer IN takes whole packets until one is short.
 */
#include <errno.h>
#include <fcntl.h>
#include <libusb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake.h"

#define ADDRESSES   64u /* of a device, one after the other */
#define FLYING_MAX  64
#define PENDING_US  2000
#define STICK_IN    0x81
#define STICK_OUT   0x02
#define STICK_SIZE  512
#define MOUSE_IN    0x81
#define DATA_MAX    (64u << 10)
#define SECTOR      512u
#define MIN(a, b)   ((a) < (b) ? (a) : (b))
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

struct libusb_device {
    unsigned kind, number; /* FAKE_*; how often it had been plugged in */
};

struct libusb_device_handle {
    struct libusb_device *device;
    uint32_t claimed;
    bool has_driver; /* the kernel's */
};

static struct fake_bus *bus;
static struct libusb_device devices[FAKE_DEVICES][ADDRESSES];
static int event_fd = -1;
static struct libusb_transfer *flying[FLYING_MAX];
static bool given_up[FLYING_MAX];
static uint64_t chance_state;

/* The Bulk-Only Transport's way. */
static struct {
    enum { STICK_COMMAND, STICK_DATA_IN, STICK_DATA_OUT, STICK_STATUS } stage;
    uint8_t tag[4], status, sense;
    uint32_t wanted, len, at; /* wanted: by the host; len: by the device */
    uint32_t sector, count;
    uint8_t answer[64];
    const uint8_t *from;
    bool halted_in, halted_out;
} stick;

__attribute__((constructor)) static void bus_open(void)
{
    const char *path = getenv(FAKE_ENV);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*bus), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    bus = at == MAP_FAILED ? NULL : at;
    for (unsigned kind = 0; kind < FAKE_DEVICES; kind++) {
        for (unsigned n = 0; n < ADDRESSES; n++)
            devices[kind][n] = (struct libusb_device){kind, n};
    }
}

static uint32_t chance(uint32_t below)
{
    if (!chance_state)
        chance_state = 0x9e3779b97f4a7c15ull * (atomic_fetch_add(&bus->seed, 1) + 1);
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return (uint32_t)(chance_state >> 32) % below;
}

static bool is_wrong(uint32_t what)
{
    return bus->wrong & what;
}

static struct libusb_device *device_now(unsigned kind)
{
    return bus->present & 1u << kind ? &devices[kind][bus->plugged[kind] % ADDRESSES] : NULL;
}

static bool is_there(const struct libusb_device *device)
{
    return device_now(device->kind) == device;
}

/* --- Descriptors --- */

static const uint8_t stick_device[] = {18, 1, 0x00, 2, 0, 0, 0, 64, 0x09, 0x12, 0x5c, 0xd1, 0, 1, 1, 2, 3, 1};
static const uint8_t stick_config[] = {9,    2, 32, 0, 1,        1, 0, 0xc0, 0, 9, 4, 0,         0, 2, 8, 6,
                                       0x50, 0, 7,  5, STICK_IN, 2, 0, 2,    0, 7, 5, STICK_OUT, 2, 0, 2, 0};
static const uint8_t mouse_device[] = {18, 1, 0x10, 1, 0, 0, 0, 8, 0x09, 0x12, 0xce, 0x30, 0, 1, 1, 4, 0, 1};
static const uint8_t mouse_report[] = {0x05, 1,    0x09, 2,    0xa1, 1,    0x09, 1,    0xa1, 0,    0x05, 9,    0x19,
                                       1,    0x29, 3,    0x15, 0,    0x25, 1,    0x95, 3,    0x75, 1,    0x81, 2,
                                       0x95, 1,    0x75, 5,    0x81, 3,    0x05, 1,    0x09, 0x30, 0x09, 0x31, 0x15,
                                       0x81, 0x25, 0x7f, 0x75, 8,    0x95, 2,    0x81, 6,    0xc0, 0xc0};
static const uint8_t mouse_config[] = {9, 2, 34, 0,        1, 1, 0,    0xa0, 50, 9, 4, 0,    0,
                                       1, 3, 0,  0,        0, 9, 0x21, 0x11, 1,  0, 1, 0x22, sizeof(mouse_report),
                                       0, 7, 5,  MOUSE_IN, 3, 4, 0,    10};
static const char *const strings[] = {NULL, "Ringer", "Stand-in Stick", "000000000001", "Stand-in Mouse"};

static const uint8_t *device_bytes(const struct libusb_device *device)
{
    return device->kind == FAKE_STICK ? stick_device : mouse_device;
}

static int string_get(unsigned n, uint8_t *bytes)
{
    if (n >= COUNT(strings))
        return -1;
    if (n == 0) {
        memcpy(bytes, (const uint8_t[]){4, 3, 9, 4}, 4);
        return 4;
    }
    int len = 2 + 2 * (int)strlen(strings[n]);
    memset(bytes, 0, (size_t)len);
    bytes[0] = (uint8_t)len;
    bytes[1] = 3;
    for (int i = 0; strings[n][i]; i++)
        bytes[2 + 2 * i] = (uint8_t)strings[n][i];
    return len;
}

/* How many bytes; -1: stall. */
static int control_answer(const struct libusb_device *device, const uint8_t *setup, uint8_t *bytes)
{
    bool is_stick = device->kind == FAKE_STICK;
    switch (setup[0] << 8 | setup[1]) {
    case 0x8006:
        if (setup[3] == 1) {
            memcpy(bytes, device_bytes(device), 18);
            return 18;
        }
        if (setup[3] == 2) {
            memcpy(bytes, is_stick ? stick_config : mouse_config,
                   is_stick ? sizeof(stick_config) : sizeof(mouse_config));
            return is_stick ? sizeof(stick_config) : sizeof(mouse_config);
        }
        return setup[3] == 3 ? string_get(setup[2], bytes) : -1;
    case 0x8106:
        if (is_stick || setup[3] != 0x22)
            return -1;
        memcpy(bytes, mouse_report, sizeof(mouse_report));
        return sizeof(mouse_report);
    case 0x8000:
    case 0x8100:
    case 0x8200:
        memset(bytes, 0, 2);
        return 2;
    case 0x8008:
        bytes[0] = 1;
        return 1;
    case 0x810a:
        bytes[0] = 0;
        return 1;
    case 0xa1fe: /* the last unit */
        bytes[0] = 0;
        return is_stick ? 1 : -1;
    case 0x21ff: /* Bulk-Only Reset */
        stick.stage = STICK_COMMAND;
        return is_stick ? 0 : -1;
    case 0x210a: /* SET_IDLE, SET_PROTOCOL, SET_REPORT */
    case 0x210b:
    case 0x2109:
        return is_stick ? -1 : 0;
    case 0x0003:
    case 0x0001:
        return 0;
    default:
        return -1;
    }
}

/* --- The stick --- */

static uint32_t get32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void scsi_start(const uint8_t *cdb)
{
    static const uint8_t inquiry[36] = "\0\0\2\2\x1f\0\0\0Ringer  Stand-in Stick  1.0 ";
    stick.from = stick.answer;
    stick.len = stick.status = 0;
    if (cdb[0] != 0x03)
        stick.sense = 5;
    memset(stick.answer, 0, sizeof(stick.answer));
    switch (cdb[0]) {
    case 0x12:
        memcpy(stick.answer, inquiry, sizeof(inquiry));
        stick.len = cdb[1] & 1 ? 0 : 36;
        stick.status = cdb[1] & 1;
        break;
    case 0x25:
        stick.answer[2] = (FAKE_DISK / SECTOR - 1) >> 8;
        stick.answer[3] = (FAKE_DISK / SECTOR - 1) & 0xff;
        stick.answer[6] = SECTOR >> 8;
        stick.len = 8;
        break;
    case 0x03:
        stick.answer[0] = 0x70;
        stick.answer[2] = stick.sense;
        stick.answer[7] = 10;
        stick.answer[12] = stick.sense == 5 ? 0x20 : 0;
        stick.len = 18;
        break;
    case 0x1a:
        stick.answer[0] = 3;
        stick.len = 4;
        break;
    case 0x28:
    case 0x2a:
        stick.sector = get32(cdb + 2);
        stick.count = (uint32_t)cdb[7] << 8 | cdb[8];
        if (stick.sector > FAKE_DISK / SECTOR || stick.count > FAKE_DISK / SECTOR - stick.sector) {
            stick.status = 1;
            break;
        }
        stick.from = bus->disk + SECTOR * stick.sector;
        stick.len = SECTOR * stick.count;
        break;
    case 0x00:
    case 0x1b:
    case 0x1e:
    case 0x2f:
    case 0x35:
        break;
    default:
        stick.status = 1;
    }
}

static enum libusb_transfer_status stick_out(struct libusb_transfer *transfer)
{
    const uint8_t *bytes = transfer->buffer;
    if (stick.stage == STICK_COMMAND) {
        if (transfer->length != 31 || memcmp(bytes, "USBC", 4) != 0) {
            stick.halted_in = stick.halted_out = true;
            return LIBUSB_TRANSFER_STALL;
        }
        memcpy(stick.tag, bytes + 4, 4);
        stick.wanted = (uint32_t)(bytes[8] | bytes[9] << 8 | bytes[10] << 16) | (uint32_t)bytes[11] << 24;
        stick.at = 0;
        scsi_start(bytes + 15);
        stick.stage = !stick.wanted ? STICK_STATUS : bytes[12] & 0x80 ? STICK_DATA_IN : STICK_DATA_OUT;
        stick.len = MIN(stick.len, stick.wanted);
        transfer->actual_length = transfer->length;
        return LIBUSB_TRANSFER_COMPLETED;
    }
    if (stick.stage != STICK_DATA_OUT)
        return LIBUSB_TRANSFER_ERROR;
    uint32_t len = MIN((uint32_t)transfer->length, stick.len - stick.at);
    if (len)
        memcpy((uint8_t *)stick.from + stick.at, bytes, len);
    stick.at += len;
    transfer->actual_length = transfer->length;
    if (stick.at == stick.len)
        stick.stage = STICK_STATUS;
    return LIBUSB_TRANSFER_COMPLETED;
}

/* Packets until a short one. False: the device says NAK, and nothing has come. */
static bool stick_in(struct libusb_transfer *transfer, enum libusb_transfer_status *status)
{
    uint32_t room = (uint32_t)transfer->length;
    *status = LIBUSB_TRANSFER_COMPLETED;
    for (;;) {
        uint8_t packet[STICK_SIZE];
        uint32_t len;
        if (stick.stage == STICK_DATA_IN) {
            len = MIN(stick.len - stick.at, STICK_SIZE);
            memcpy(packet, stick.from + stick.at, len);
            stick.at += len;
            /* What the host wants more of ends with a packet that is short, or empty. */
            if (stick.at == stick.len && (len < STICK_SIZE || stick.len == stick.wanted))
                stick.stage = STICK_STATUS;
        } else if (stick.stage == STICK_STATUS) {
            uint32_t residue = stick.wanted - stick.at;
            len = 13;
            memcpy(packet, "USBS", 4);
            memcpy(packet + 4, stick.tag, 4);
            for (unsigned i = 0; i < 4; i++)
                packet[8 + i] = (uint8_t)(residue >> 8 * i);
            packet[12] = stick.status;
            stick.stage = STICK_COMMAND;
        } else {
            return transfer->actual_length > 0;
        }
        if (len > room) {
            *status = LIBUSB_TRANSFER_OVERFLOW;
            return true;
        }
        memcpy(transfer->buffer + transfer->actual_length, packet, len);
        transfer->actual_length += (int)len;
        room -= len;
        if (len < STICK_SIZE || room == 0)
            return true;
    }
}

/* --- Transfers --- */

static bool chaos_run(struct libusb_transfer *transfer, enum libusb_transfer_status *status)
{
    if (chance(3) == 0)
        return false;
    *status = (enum libusb_transfer_status)chance(8) % 7; /* all but the one that ends the session, mostly */
    if (*status == LIBUSB_TRANSFER_NO_DEVICE && chance(50))
        *status = LIBUSB_TRANSFER_COMPLETED;
    int room = transfer->length - (transfer->type == LIBUSB_TRANSFER_TYPE_CONTROL ? LIBUSB_CONTROL_SETUP_SIZE : 0);
    uint8_t *bytes = transfer->buffer + (transfer->length - room);
    bool is_in =
        transfer->type == LIBUSB_TRANSFER_TYPE_CONTROL ? transfer->buffer[0] & 0x80 : transfer->endpoint & 0x80;
    for (int i = 0; is_in && i < room; i += 1 + (int)chance(7))
        bytes[i] = (uint8_t)chance(256);
    transfer->actual_length = chance(4) == 0 ? room : room > 0 ? (int)chance((uint32_t)room) : 0;
    if (chance(20) == 0) /* a library that is wrong */
        transfer->actual_length = chance(2) ? -1 : transfer->length + (int)chance(100000);
    return true;
}

static bool transfer_run(struct libusb_transfer *transfer, enum libusb_transfer_status *status)
{
    const struct libusb_device *device = transfer->dev_handle->device;
    *status = LIBUSB_TRANSFER_COMPLETED;
    transfer->actual_length = 0;
    if (is_wrong(FAKE_CHAOS))
        return chaos_run(transfer, status);
    if (transfer->type == LIBUSB_TRANSFER_TYPE_CONTROL) {
        uint8_t bytes[256];
        int len = control_answer(device, transfer->buffer, bytes);
        if (len < 0) {
            *status = LIBUSB_TRANSFER_STALL;
            return true;
        }
        transfer->actual_length = MIN(len, transfer->length - (int)LIBUSB_CONTROL_SETUP_SIZE);
        if (transfer->buffer[0] & 0x80)
            memcpy(transfer->buffer + LIBUSB_CONTROL_SETUP_SIZE, bytes, (size_t)transfer->actual_length);
        else
            transfer->actual_length = transfer->length - (int)LIBUSB_CONTROL_SETUP_SIZE;
        return true;
    }
    if (device->kind == FAKE_MOUSE) {
        if (transfer->endpoint != MOUSE_IN || bus->reports_put == bus->reports_taken)
            return transfer->endpoint != MOUSE_IN;
        transfer->actual_length = MIN(3, transfer->length);
        memcpy(transfer->buffer, bus->report[bus->reports_taken % FAKE_REPORTS], (size_t)transfer->actual_length);
        bus->reports_taken++;
        return true;
    }
    bool is_in = transfer->endpoint & 0x80;
    if (is_wrong(FAKE_MUTE))
        return false;
    if (is_wrong(FAKE_STALLS))
        stick.halted_in = stick.halted_out = true;
    if (is_in ? stick.halted_in : stick.halted_out) {
        *status = LIBUSB_TRANSFER_STALL;
        return true;
    }
    if (is_in && is_wrong(FAKE_SHORT) && stick.stage == STICK_DATA_IN) {
        uint32_t len = MIN(stick.len, (uint32_t)transfer->length) / 3 / STICK_SIZE * STICK_SIZE;
        memcpy(transfer->buffer, stick.from + stick.at, len);
        transfer->actual_length = (int)len;
        stick.at += len;
        stick.status = 1;
        stick.sense = 0xb; /* aborted: may be tried again */
        stick.stage = STICK_STATUS;
        stick.halted_in = true;
        bus->wrong &= ~(uint32_t)FAKE_SHORT;
        *status = LIBUSB_TRANSFER_STALL;
        return true;
    }
    if (is_in)
        return stick_in(transfer, status);
    *status = stick_out(transfer);
    return true;
}

static void pass(void)
{
    uint64_t one = 1;
    if (write(event_fd, &one, sizeof(one)) < 0)
        return;
}

int LIBUSB_CALL libusb_submit_transfer(struct libusb_transfer *transfer)
{
    if (is_wrong(FAKE_DIES))
        abort();
    while (is_wrong(FAKE_HANGS))
        usleep(100000);
    if (!is_there(transfer->dev_handle->device))
        return LIBUSB_ERROR_NO_DEVICE;
    if (is_wrong(FAKE_CHAOS) && chance(10) == 0)
        return -1 - (int)chance(12);
    bus->transfers++;
    if (transfer->type != LIBUSB_TRANSFER_TYPE_CONTROL && (uint32_t)transfer->length > bus->longest)
        bus->longest = (uint32_t)transfer->length;
    for (unsigned i = 0; i < FLYING_MAX; i++) {
        if (!flying[i]) {
            flying[i] = transfer;
            given_up[i] = false;
            pass();
            return 0;
        }
    }
    return LIBUSB_ERROR_NO_MEM;
}

int LIBUSB_CALL libusb_cancel_transfer(struct libusb_transfer *transfer)
{
    for (unsigned i = 0; i < FLYING_MAX; i++) {
        if (flying[i] == transfer) {
            bus->cancelled++;
            given_up[i] = !is_wrong(FAKE_KEEPS);
            pass();
            return 0;
        }
    }
    return LIBUSB_ERROR_NOT_FOUND;
}

int LIBUSB_CALL libusb_handle_events_timeout_completed(libusb_context *context, struct timeval *wait, int *completed)
{
    uint64_t count;
    if (read(event_fd, &count, sizeof(count)) < 0 && (wait->tv_sec || wait->tv_usec))
        usleep((useconds_t)MIN(wait->tv_usec, PENDING_US));
    for (unsigned i = 0; i < FLYING_MAX; i++) {
        struct libusb_transfer *transfer = flying[i];
        enum libusb_transfer_status status = LIBUSB_TRANSFER_CANCELLED;
        if (!transfer)
            continue;
        if (!is_there(transfer->dev_handle->device))
            status = LIBUSB_TRANSFER_NO_DEVICE;
        else if (!given_up[i] && !transfer_run(transfer, &status))
            continue;
        flying[i] = NULL;
        transfer->status = status;
        transfer->callback(transfer);
    }
    return 0;
}

int LIBUSB_CALL libusb_get_next_timeout(libusb_context *context, struct timeval *due)
{
    for (unsigned i = 0; i < FLYING_MAX; i++) {
        if (flying[i]) {
            *due = (struct timeval){0, PENDING_US};
            return 1;
        }
    }
    return 0;
}

const struct libusb_pollfd **LIBUSB_CALL libusb_get_pollfds(libusb_context *context)
{
    static struct libusb_pollfd one;
    static const struct libusb_pollfd *list[2] = {&one, NULL};
    one = (struct libusb_pollfd){event_fd, 1 /* POLLIN */};
    return list;
}

void LIBUSB_CALL libusb_free_pollfds(const struct libusb_pollfd **list)
{
}

struct libusb_transfer *LIBUSB_CALL libusb_alloc_transfer(int packets)
{
    return calloc(1, sizeof(struct libusb_transfer));
}

void LIBUSB_CALL libusb_free_transfer(struct libusb_transfer *transfer)
{
    free(transfer);
}

/* --- Devices --- */

int LIBUSB_CALL libusb_init(libusb_context **context)
{
    if (!bus)
        return LIBUSB_ERROR_OTHER;
    event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    *context = NULL;
    return 0;
}

ssize_t LIBUSB_CALL libusb_get_device_list(libusb_context *context, libusb_device ***list)
{
    ssize_t count = 0;
    *list = calloc(FAKE_DEVICES + 1, sizeof(**list));
    for (unsigned kind = 0; kind < FAKE_DEVICES; kind++) {
        if (device_now(kind))
            (*list)[count++] = device_now(kind);
    }
    return count;
}

void LIBUSB_CALL libusb_free_device_list(libusb_device **list, int unref)
{
    free(list);
}

libusb_device *LIBUSB_CALL libusb_ref_device(libusb_device *device)
{
    return device;
}

void LIBUSB_CALL libusb_unref_device(libusb_device *device)
{
}

uint8_t LIBUSB_CALL libusb_get_bus_number(libusb_device *device)
{
    return 1;
}

uint8_t LIBUSB_CALL libusb_get_device_address(libusb_device *device)
{
    return (uint8_t)(2 + FAKE_DEVICES * device->number + device->kind);
}

int LIBUSB_CALL libusb_get_port_numbers(libusb_device *device, uint8_t *ports, int room)
{
    ports[0] = 1;
    ports[1] = (uint8_t)(device->kind + 1);
    return 2;
}

int LIBUSB_CALL libusb_get_device_speed(libusb_device *device)
{
    return device->kind == FAKE_STICK ? LIBUSB_SPEED_HIGH : LIBUSB_SPEED_FULL;
}

int LIBUSB_CALL libusb_get_device_descriptor(libusb_device *device, struct libusb_device_descriptor *out)
{
    const uint8_t *bytes = device_bytes(device);
    *out = (struct libusb_device_descriptor){.bLength = 18,
                                             .bDescriptorType = 1,
                                             .bMaxPacketSize0 = bytes[7],
                                             .idVendor = (uint16_t)(bytes[8] | bytes[9] << 8),
                                             .idProduct = (uint16_t)(bytes[10] | bytes[11] << 8),
                                             .iProduct = bytes[15],
                                             .bNumConfigurations = bytes[17]};
    if (is_wrong(FAKE_CHAOS)) {
        out->bMaxPacketSize0 = (uint8_t)chance(256);
        out->bNumConfigurations = (uint8_t)chance(3);
    }
    return 0;
}

struct settings {
    struct libusb_config_descriptor config; /* first */
    struct libusb_interface interface[4];
    struct libusb_interface_descriptor setting[4];
    struct libusb_endpoint_descriptor endpoint[32];
};

int LIBUSB_CALL libusb_get_active_config_descriptor(libusb_device *device, struct libusb_config_descriptor **out)
{
    struct settings *all = calloc(1, sizeof(*all));
    bool is_stick = device->kind == FAKE_STICK, is_chaos = is_wrong(FAKE_CHAOS);
    unsigned interfaces = is_chaos ? chance(5) : 1, endpoints = is_stick ? 2 : 1;
    if (is_chaos && chance(10) == 0) {
        free(all);
        return -(int)chance(13) - 1;
    }
    all->config = (struct libusb_config_descriptor){.bNumInterfaces = (uint8_t)interfaces, .interface = all->interface};
    for (unsigned i = 0; i < interfaces; i++) {
        all->interface[i] = (struct libusb_interface){&all->setting[i], is_chaos ? (int)chance(2) : 1};
        all->setting[i].bInterfaceNumber = (uint8_t)(is_chaos ? chance(40) : i);
        all->setting[i].bNumEndpoints = (uint8_t)(is_chaos ? chance(33) : endpoints);
        all->setting[i].endpoint = all->endpoint;
    }
    all->endpoint[0].bEndpointAddress = is_stick ? STICK_IN : MOUSE_IN;
    all->endpoint[1].bEndpointAddress = STICK_OUT;
    for (unsigned i = 0; i < 32; i++) {
        all->endpoint[i].bmAttributes = is_stick ? 2 : 3;
        all->endpoint[i].wMaxPacketSize = is_stick ? STICK_SIZE : 4;
        if (!is_chaos)
            continue;
        all->endpoint[i].bEndpointAddress = (uint8_t)chance(256);
        all->endpoint[i].bmAttributes = (uint8_t)(chance(8) ? 2 + chance(2) : chance(256));
        all->endpoint[i].wMaxPacketSize = (uint16_t)(chance(4) ? 8u << chance(8) : chance(65536));
    }
    *out = &all->config;
    return 0;
}

void LIBUSB_CALL libusb_free_config_descriptor(struct libusb_config_descriptor *config)
{
    free(config);
}

/* --- Handles --- */

int LIBUSB_CALL libusb_open(libusb_device *device, libusb_device_handle **handle)
{
    if (is_wrong(FAKE_DENIED))
        return LIBUSB_ERROR_ACCESS;
    if (!is_there(device))
        return LIBUSB_ERROR_NO_DEVICE;
    bus->opened++;
    *handle = calloc(1, sizeof(**handle));
    (*handle)->device = device;
    (*handle)->has_driver = true;
    if (device->kind == FAKE_STICK)
        memset(&stick, 0, sizeof(stick));
    return 0;
}

void LIBUSB_CALL libusb_close(libusb_device_handle *handle)
{
    bus->closed++;
    free(handle);
}

static int sync_result(const libusb_device_handle *handle)
{
    if (!is_there(handle->device))
        return LIBUSB_ERROR_NO_DEVICE;
    return is_wrong(FAKE_CHAOS) && chance(4) == 0 ? -(int)chance(13) : 0;
}

int LIBUSB_CALL libusb_kernel_driver_active(libusb_device_handle *handle, int number)
{
    return handle->has_driver;
}

int LIBUSB_CALL libusb_detach_kernel_driver(libusb_device_handle *handle, int number)
{
    handle->has_driver = false;
    bus->detached++;
    return 0;
}

int LIBUSB_CALL libusb_attach_kernel_driver(libusb_device_handle *handle, int number)
{
    if (!is_there(handle->device))
        return LIBUSB_ERROR_NO_DEVICE;
    if (handle->claimed & 1u << number)
        return LIBUSB_ERROR_BUSY;
    handle->has_driver = true;
    bus->attached++;
    return 0;
}

int LIBUSB_CALL libusb_claim_interface(libusb_device_handle *handle, int number)
{
    if (is_wrong(FAKE_BUSY) || handle->has_driver)
        return LIBUSB_ERROR_BUSY;
    handle->claimed |= 1u << number;
    bus->claimed++;
    return sync_result(handle);
}

int LIBUSB_CALL libusb_release_interface(libusb_device_handle *handle, int number)
{
    handle->claimed &= ~(1u << number);
    bus->released++;
    return sync_result(handle);
}

int LIBUSB_CALL libusb_get_configuration(libusb_device_handle *handle, int *value)
{
    *value = is_wrong(FAKE_CHAOS) ? (int)chance(3) : 1;
    return sync_result(handle);
}

int LIBUSB_CALL libusb_set_configuration(libusb_device_handle *handle, int value)
{
    if (handle->claimed)
        return LIBUSB_ERROR_BUSY;
    return value == 1 || value == -1 ? sync_result(handle) : LIBUSB_ERROR_NOT_FOUND;
}

int LIBUSB_CALL libusb_set_interface_alt_setting(libusb_device_handle *handle, int number, int alternate)
{
    if (!(handle->claimed & 1u << number) || (alternate && !is_wrong(FAKE_CHAOS)))
        return LIBUSB_ERROR_NOT_FOUND;
    return sync_result(handle);
}

int LIBUSB_CALL libusb_clear_halt(libusb_device_handle *handle, unsigned char endpoint)
{
    if (endpoint & 0x80)
        stick.halted_in = false;
    else
        stick.halted_out = false;
    bus->halts_cleared++;
    return sync_result(handle);
}

int LIBUSB_CALL libusb_reset_device(libusb_device_handle *handle)
{
    memset(&stick, 0, sizeof(stick));
    bus->resets++;
    return sync_result(handle);
}

int LIBUSB_CALL libusb_get_string_descriptor_ascii(libusb_device_handle *handle, uint8_t n, unsigned char *text,
                                                   int room)
{
    if (!n || n >= COUNT(strings))
        return LIBUSB_ERROR_INVALID_PARAM;
    if (is_wrong(FAKE_CHAOS)) {
        for (int i = 0; i < room; i++)
            text[i] = (unsigned char)chance(256);
        return (int)chance((uint32_t)room + 10);
    }
    int len = MIN((int)strlen(strings[n]), room - 1);
    memcpy(text, strings[n], (size_t)len);
    text[len] = 0;
    return len;
}

const char *LIBUSB_CALL libusb_error_name(int code)
{
    return "LIBUSB_ERROR_STAND_IN";
}
