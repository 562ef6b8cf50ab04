/* Mass storage: one SCSI disk or CD-ROM drive behind the Bulk-Only Transport. USB Mass Storage Class, Bulk-Only
 * Transport 1.0; its section 6.7 has the thirteen cases of what host and device want to move: Hn, Hi, Ho and Dn, Di,
 * Do.
 *
 * What is not there yet is NAK, and a wake-up when the medium has answered.
 */
#include <string.h>

#include "block.h"
#include "devices/scsi_disk.h"
#include "log.h"
#include "usb_function.h"

#define BULK_IN  1u
#define BULK_OUT 2u

#define CBW_SIGNATURE 0x43425355u
#define CBW_LEN       31u
#define CSW_SIGNATURE 0x53425355u
#define CSW_LEN       13u

#define GET_MAX_LUN     0xfeu
#define BULK_ONLY_RESET 0xffu

enum csw_status { CSW_PASSED, CSW_FAILED, CSW_PHASE_ERROR };

enum storage_stage {
    STAGE_COMMAND, /* a CBW is to come */
    STAGE_IN,      /* data of the command's */
    STAGE_OUT,
    STAGE_STATUS, /* the CSW, when the command is over */
    STAGE_BROKEN, /* no CBW: both pipes are halted until Reset Recovery (6.6.1) */
    STAGES
};

/* Saved. */
struct usb_storage_regs {
    uint8_t stage; /* enum storage_stage */
    uint32_t tag;
    uint32_t left;            /* of what the host wants to move */
    bool is_phase_error;      /* what the CSW is to say, whatever the command says */
    bool waits_in, waits_out; /* NAK was said there */
};

struct usb_storage_config {
    struct usb_options usb;
    const struct device_drive *drive;
    const char *serial;
    bool removable;
};

struct usb_storage {
    struct usb_function function; /* first */
    struct usb_storage_regs regs;
    struct scsi_disk disk;
    char serial[40];
};

/* --- Descriptors --- */

#define DEVICE_DESC(version, packet) \
    { \
        18, USB_DESC_DEVICE, 0x00, version, 0, 0, 0, packet, 0xf4, 0x46, 0x01, 0x00, 0x00, 0x00, 1, 2, 3, 1 \
    }
/* Self-powered; one interface, SCSI transparent, bulk-only; two endpoints. */
#define CONFIG_DESC(packet) \
    { \
        9, USB_DESC_CONFIG, 32, 0, 1, 1, 0, 0xc0, 0,                  /* configuration */ \
            9, 4, 0, 0, 2, 8, 6, 0x50, 0,                             /* interface */ \
            7, 5, 0x80 | BULK_IN, 2, (packet)&0xff, (packet) >> 8, 0, /* endpoints */ \
            7, 5, BULK_OUT, 2, (packet)&0xff, (packet) >> 8, 0 \
    }
static const uint8_t device_desc[] = DEVICE_DESC(2, 8), high_device_desc[] = DEVICE_DESC(2, 64);
static const uint8_t full_config[] = CONFIG_DESC(64), high_config[] = CONFIG_DESC(512);
static const char *const storage_strings[] = {NULL, "QEMU", "QEMU USB HARDDRIVE", "1"};

static uint32_t get32(const uint8_t *bytes)
{
    return (uint32_t)(bytes[0] | bytes[1] << 8 | bytes[2] << 16) | (uint32_t)bytes[3] << 24;
}

static void put32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

/* --- The command's way through its stages --- */

static void broken(struct usb_storage *storage, const char *why)
{
    log_guest("usb-storage: %s", why);
    storage->regs.stage = STAGE_BROKEN;
}

/* The device will not move what the host still waits for (6.7.2, 6.7.3), in the CSW's residue. */
static void stop_data(struct usb_storage *storage)
{
    struct usb_storage_regs *regs = &storage->regs;
    if (regs->left)
        usb_function_halt(&storage->function, regs->stage == STAGE_IN ? USB_DIR_IN | BULK_IN : BULK_OUT);
    regs->stage = STAGE_STATUS;
}

static void phase_error(struct usb_storage *storage)
{
    storage->regs.is_phase_error = true;
    scsi_disk_abort(&storage->disk);
    stop_data(storage);
}

static void command_start(struct usb_storage *storage, const uint8_t *cbw)
{
    struct usb_storage_regs *regs = &storage->regs;
    const struct scsi_disk_regs *scsi = &storage->disk.regs;
    uint8_t cdb[SCSI_CDB_MAX] = {0};
    memcpy(cdb, cbw + 15, cbw[14]);
    regs->tag = get32(cbw + 4);
    regs->left = get32(cbw + 8);
    regs->is_phase_error = false;
    regs->stage = !regs->left ? STAGE_STATUS : cbw[12] & 0x80 ? STAGE_IN : STAGE_OUT;
    scsi_disk_start(&storage->disk, cdb);
    bool host_in = regs->stage == STAGE_IN, has_data = scsi->total != 0 && scsi->data != SCSI_NO_DATA;
    /* What failed at once, or has no data: cases 1, 4 and 9. */
    if (!scsi->is_under_way || !has_data) {
        stop_data(storage);
        return;
    }
    /* Cases 2, 3, 8, 10; and 13, of which nothing is written. */
    if (!regs->left || host_in != (scsi->data == SCSI_IN) || (!host_in && regs->left < scsi->total))
        phase_error(storage);
}

static enum usb_result take_command(struct usb_storage *storage, struct usb_packet *packet)
{
    const uint8_t *cbw = packet->buffer;
    if (scsi_disk_is_busy(&storage->disk)) /* with what was given up */
        return USB_NAK;
    packet->actual = packet->len;
    /* 6.2: valid; and meaningful, as there is LUN 0 only. */
    if (packet->len != CBW_LEN || get32(cbw) != CBW_SIGNATURE)
        broken(storage, "that is no command block wrapper");
    else if (cbw[13] & 0x0f || (cbw[14] & 0x1f) < 1 || (cbw[14] & 0x1f) > SCSI_CDB_MAX || cbw[14] & 0xe0)
        broken(storage, "a command block wrapper for another unit, or of a length that there is not");
    else
        command_start(storage, cbw);
    return storage->regs.stage == STAGE_BROKEN ? USB_STALL : USB_ACK;
}

static enum usb_result give_data(struct usb_storage *storage, struct usb_packet *packet)
{
    struct usb_storage_regs *regs = &storage->regs;
    struct scsi_disk *disk = &storage->disk;
    uint32_t wanted = MIN(packet->len, regs->left), filled = 0, ready;
    /* Pieces of the disk's are multiples of a packet, so each packet is full but the last one. */
    while (filled < wanted && (ready = scsi_disk_ready(disk)) > 0) {
        uint32_t len = MIN(ready, wanted - filled);
        scsi_disk_take(disk, packet->buffer + filled, len);
        filled += len;
    }
    if (!filled && disk->regs.is_under_way)
        return USB_NAK;
    regs->left -= filled;
    packet->actual = filled;
    if (!regs->left && disk->regs.is_under_way) { /* case 7: the host wants less */
        phase_error(storage);
    } else if (!disk->regs.is_under_way) {
        if (!filled) { /* it failed between two packets */
            stop_data(storage);
            return USB_STALL;
        }
        stop_data(storage);
    }
    return USB_ACK;
}

static enum usb_result take_data(struct usb_storage *storage, struct usb_packet *packet)
{
    struct usb_storage_regs *regs = &storage->regs;
    struct scsi_disk *disk = &storage->disk;
    uint32_t room = scsi_disk_ready(disk), len = MIN(packet->len, disk->regs.total - disk->regs.moved);
    if (disk->regs.is_under_way && !room)
        return USB_NAK;
    /* It failed; or the host sends more than it said, or packets that are not of the endpoint's size. */
    if (!disk->regs.is_under_way || packet->len > regs->left || len > room) {
        if (disk->regs.is_under_way)
            phase_error(storage);
        else
            stop_data(storage);
        usb_function_halt(&storage->function, BULK_OUT);
        return USB_STALL;
    }
    scsi_disk_give(disk, packet->buffer, len);
    packet->actual = packet->len;
    regs->left -= len;
    if (disk->regs.is_under_way && disk->regs.moved < disk->regs.total)
        return USB_ACK;
    if (packet->len > len) { /* case 11: more came with the last packet */
        regs->stage = STAGE_STATUS;
        if (regs->left > packet->len - len)
            usb_function_halt(&storage->function, BULK_OUT);
    } else {
        stop_data(storage);
    }
    return USB_ACK;
}

static enum usb_result give_status(struct usb_storage *storage, struct usb_packet *packet)
{
    struct usb_storage_regs *regs = &storage->regs;
    uint8_t csw[CSW_LEN];
    if (storage->disk.regs.is_under_way || scsi_disk_is_busy(&storage->disk))
        return USB_NAK;
    put32(csw, CSW_SIGNATURE);
    put32(csw + 4, regs->tag);
    put32(csw + 8, regs->left);
    csw[12] = regs->is_phase_error ? CSW_PHASE_ERROR : storage->disk.regs.status == SCSI_GOOD ? CSW_PASSED : CSW_FAILED;
    enum usb_result result = usb_answer(packet, csw, CSW_LEN);
    if (result == USB_ACK) {
        regs->stage = STAGE_COMMAND;
        regs->left = 0;
    }
    return result;
}

static enum usb_result storage_packet(struct usb_function *function, struct usb_packet *packet)
{
    struct usb_storage *storage = (struct usb_storage *)function;
    struct usb_storage_regs *regs = &storage->regs;
    bool is_in = packet->pid == USB_IN;
    enum usb_result result = USB_NAK; /* it is the other pipe's turn: cannot be known to be a mistake yet */
    if (regs->stage == STAGE_BROKEN)
        result = USB_STALL;
    else if (regs->stage == STAGE_IN && is_in)
        result = give_data(storage, packet);
    else if (regs->stage == STAGE_STATUS && is_in)
        result = give_status(storage, packet);
    else if (regs->stage == STAGE_OUT && !is_in)
        result = take_data(storage, packet);
    else if (regs->stage == STAGE_COMMAND && !is_in)
        result = take_command(storage, packet);
    bool *waits = is_in ? &regs->waits_in : &regs->waits_out, *other = is_in ? &regs->waits_out : &regs->waits_in;
    *waits = result == USB_NAK;
    /* What one pipe was told makes the other one go on. */
    if (result != USB_NAK && *other) {
        *other = false;
        usb_function_wakeup(function, is_in ? BULK_OUT : BULK_IN);
    }
    return result;
}

/* The medium has answered. */
static void disk_changed(void *opaque)
{
    struct usb_storage *storage = opaque;
    struct usb_storage_regs *regs = &storage->regs;
    if (regs->waits_in)
        usb_function_wakeup(&storage->function, BULK_IN);
    if (regs->waits_out)
        usb_function_wakeup(&storage->function, BULK_OUT);
    regs->waits_in = regs->waits_out = false;
}

static bool storage_request(struct usb_function *function, const struct usb_setup *setup, uint8_t *data, uint16_t *len)
{
    struct usb_storage *storage = (struct usb_storage *)function;
    const uint8_t to_interface = USB_TYPE_CLASS | USB_TO_INTERFACE;
    switch (setup->request) {
    case USB_REQUEST(to_interface, BULK_ONLY_RESET): /* 3.1: halts and toggles stay as they are */
        if (setup->value || setup->index || setup->length)
            return false;
        scsi_disk_abort(&storage->disk);
        storage->regs = (struct usb_storage_regs){0};
        return true;
    case USB_REQUEST(USB_DIR_IN | to_interface, GET_MAX_LUN):
        data[0] = 0;
        *len = 1;
        return !setup->value && !setup->index;
    default:
        return false;
    }
}

static void was_reset(struct usb_function *function)
{
    struct usb_storage *storage = (struct usb_storage *)function;
    if (!storage->disk.io)
        return;
    scsi_disk_abort(&storage->disk);
    storage->regs = (struct usb_storage_regs){0};
}

static const struct usb_function_class storage_function = {.device = device_desc,
                                                           .configuration = full_config,
                                                           .configuration_len = sizeof(full_config),
                                                           .high_device = high_device_desc,
                                                           .high_configuration = high_config,
                                                           .high_configuration_len = sizeof(high_config),
                                                           .strings = 3,
                                                           .string = storage_strings,
                                                           .request = storage_request,
                                                           .packet = storage_packet,
                                                           .was_reset = was_reset};

/* --- The device --- */

static bool config_is_valid(const struct device_site *site, const struct usb_storage_config *config, GError **error)
{
    const char *why = NULL;
    if (!config->drive)
        why = "drive property not set: needs drive=, the id of a -drive with if=none";
    else if (!config->drive->block->has_medium && !config->removable && !config->drive->is_cd)
        why = "needs a drive with a medium, or removable=on";
    if (why)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: %s", site->id, why);
    return !why;
}

static void *storage_create(const struct device_site *site, const void *opaque, GError **error)
{
    const struct usb_storage_config *config = opaque;
    if (!config_is_valid(site, config, error))
        return NULL;
    struct usb_storage *storage = g_new0(struct usb_storage, 1);
    if (!usb_function_init(&storage->function, &storage_function, "QEMU USB MSD", site, &config->usb, error)) {
        g_free(storage);
        return NULL;
    }
    const char *serial = config->serial ? config->serial : config->drive->serial;
    if (serial)
        g_strlcpy(storage->serial, serial, sizeof(storage->serial));
    else /* 4.1.1: at least twelve digits, unlike those of another in the machine */
        g_snprintf(storage->serial, sizeof(storage->serial), "%012X",
                   g_str_hash(config->drive->id) ^ g_str_hash(storage->function.usb.port->path) << 8);
    storage->function.serial = storage->serial;
    storage->disk = (struct scsi_disk){.drive = config->drive,
                                       .serial = serial,
                                       .is_removable = config->removable || config->drive->is_cd,
                                       .changed = disk_changed,
                                       .opaque = storage};
    scsi_disk_init(&storage->disk);
    return storage;
}

static void storage_unplug(void *dev)
{
    struct usb_storage *storage = dev;
    usb_function_unplug(dev);
    scsi_disk_unplug(&storage->disk);
}

static void storage_destroy(void *dev)
{
    struct usb_storage *storage = dev;
    usb_function_destroy(&storage->function);
    scsi_disk_destroy(&storage->disk);
    g_free(storage);
}

static void storage_reset(void *dev)
{
    struct usb_storage *storage = dev;
    usb_function_reset(dev);
    scsi_disk_reset(&storage->disk);
}

static const struct state_field storage_fields[] = {
    STATE_FIELD(usb_storage_regs, stage),    STATE_FIELD(usb_storage_regs, tag),
    STATE_FIELD(usb_storage_regs, left),     STATE_FIELD(usb_storage_regs, is_phase_error),
    STATE_FIELD(usb_storage_regs, waits_in), STATE_FIELD(usb_storage_regs, waits_out),
};
static const struct state_layout storage_layout = STATE_LAYOUT(1, usb_storage_regs, storage_fields);

static void storage_pieces(void *dev, struct state_pieces *pieces)
{
    struct usb_storage *storage = dev;
    usb_function_pieces(&storage->function, pieces);
    state_add(pieces, "storage", 0, &storage_layout, &storage->regs);
    scsi_disk_pieces(&storage->disk, pieces);
}

static void storage_before_load(void *dev)
{
    struct usb_storage *storage = dev;
    scsi_disk_before_load(&storage->disk);
}

static bool storage_after_load(void *dev)
{
    struct usb_storage *storage = dev;
    const struct usb_storage_regs *regs = &storage->regs;
    const struct scsi_disk_regs *scsi = &storage->disk.regs;
    if (regs->stage >= STAGES ||
        (scsi->is_under_way && regs->stage != STAGE_IN && regs->stage != STAGE_OUT && regs->stage != STAGE_STATUS))
        return false;
    if (scsi->is_under_way &&
        ((regs->stage == STAGE_IN && scsi->data != SCSI_IN) || (regs->stage == STAGE_OUT && scsi->data != SCSI_OUT)))
        return false;
    return usb_function_after_load(&storage->function) && scsi_disk_after_load(&storage->disk);
}

static void storage_dump(void *dev, GString *out)
{
    static const char *const stages[] = {"waits for a command", "data in", "data out", "status", "broken"};
    const struct usb_storage *storage = dev;
    const struct scsi_disk_regs *scsi = &storage->disk.regs;
    g_string_append_printf(
        out, "QEMU USB MSD: address %u, drive %s, %s, %u bytes left; SCSI: %u of %u, sense %x/%04x%s\n",
        storage->function.regs.address, storage->disk.drive->id, stages[storage->regs.stage], storage->regs.left,
        scsi->moved, scsi->total, scsi->sense_key, scsi->asc, scsi->tray_open ? ", ejected" : "");
}

static const struct property storage_properties[] = {
    USB_PROPERTIES(usb_storage_config),
    PROPERTY(usb_storage_config, drive, "drive", PROPERTY_DRIVE, DRIVE_NEEDED, NULL, "id of a -drive"),
    PROPERTY(usb_storage_config, serial, "serial", PROPERTY_STRING, 36, NULL, "serial number"),
    PROPERTY(usb_storage_config, removable, "removable", PROPERTY_BOOL, 0, "off", "the medium can be changed"),
    PROPERTY_END};

const struct device_class usb_storage_class = {
    .name = "usb-storage",
    .help = "USB disk (bulk-only, SCSI)",
    .bus = BUS_USB,
    .properties = storage_properties,
    .config_size = sizeof(struct usb_storage_config),
    .create = storage_create,
    .destroy = storage_destroy,
    .unplug = storage_unplug,
    .reset = storage_reset,
    .pieces = storage_pieces,
    .before_load = storage_before_load,
    .after_load = storage_after_load,
    .dump = storage_dump,
};
DEVICE_CLASS(usb_storage_class);
