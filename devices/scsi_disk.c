/* A SCSI disk or CD-ROM drive: see scsi_disk.h. Section numbers are SPC-3's, SBC-2's or MMC-3's, as the command is. */
#include "scsi_disk.h"

#include <string.h>

#include "block.h"
#include "log.h"
#include "scsi_bytes.h"

#define DISK_SECTOR 512u
#define CD_SECTOR   2048u

#define KEY_NOT_READY       0x2u
#define KEY_MEDIUM_ERROR    0x3u
#define KEY_ILLEGAL_REQUEST 0x5u
#define KEY_UNIT_ATTENTION  0x6u
#define KEY_DATA_PROTECT    0x7u

#define ASC_WRITE_ERROR       0x0c00u
#define ASC_READ_ERROR        0x1100u
#define ASC_INVALID_OPCODE    0x2000u
#define ASC_LBA_OUT_OF_RANGE  0x2100u
#define ASC_INVALID_FIELD     0x2400u
#define ASC_NO_SUCH_LUN       0x2500u
#define ASC_WRITE_PROTECTED   0x2700u
#define ASC_MEDIUM_CHANGED    0x2800u
#define ASC_POWER_ON          0x2900u
#define ASC_SAVING_PARAMETERS 0x3900u
#define ASC_NO_MEDIUM         0x3a00u /* 3A01h: the tray is closed, 3A02h: it is open */
#define ASC_REMOVAL_PREVENTED 0x5302u

#define INQUIRY_LEN 36u
#define RANGE_MAX   UINT32_MAX /* bytes of one command */

/* It may outlive the drive, or its state. */
struct scsi_io {
    struct scsi_disk *disk; /* NULL: orphaned */
    bool in_flight;
    bool is_stale; /* what it was for was given up */
    uint8_t buffer[SCSI_BUFFER];
};

static uint64_t get64(const uint8_t *bytes)
{
    return (uint64_t)get32(bytes) << 32 | get32(bytes + 4);
}

static uint32_t sector_size(const struct scsi_disk *disk)
{
    return disk->drive->is_cd ? CD_SECTOR : DISK_SECTOR;
}

static uint64_t sectors(const struct scsi_disk *disk)
{
    return disk->block->size / sector_size(disk);
}

static bool has_medium(const struct scsi_disk *disk)
{
    return disk->block->has_medium && !disk->regs.tray_open;
}

/* --- How a command ends --- */

static void command_end(struct scsi_disk *disk, uint8_t status)
{
    struct scsi_disk_regs *regs = &disk->regs;
    regs->status = status;
    regs->is_under_way = false;
    regs->pos = regs->filled = 0;
}

static void command_done(struct scsi_disk *disk)
{
    disk->regs.sense_key = 0;
    disk->regs.asc = 0;
    command_end(disk, SCSI_GOOD);
}

static void command_fail(struct scsi_disk *disk, uint8_t key, uint16_t asc)
{
    disk->regs.sense_key = key;
    disk->regs.asc = asc;
    command_end(disk, SCSI_CHECK_CONDITION);
}

static void invalid_field(struct scsi_disk *disk)
{
    command_fail(disk, KEY_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
}

/* --- Data --- */

static void request_send(struct scsi_disk *disk);

static void request_start(struct scsi_disk *disk, enum scsi_request request, uint64_t offset, uint32_t len)
{
    struct scsi_disk_regs *regs = &disk->regs;
    const struct block *block = disk->block;
    assert_always(!disk->io->in_flight);
    if (request != SCSI_REQUEST_FLUSH &&
        (!has_medium(disk) || offset > block->size || len > block->size - offset)) { /* it went meanwhile */
        command_fail(disk, KEY_NOT_READY, ASC_NO_MEDIUM + (regs->tray_open ? 2 : 1));
        return;
    }
    regs->request = request;
    regs->request_offset = offset;
    regs->request_len = len;
    request_send(disk);
}

static void read_more(struct scsi_disk *disk)
{
    struct scsi_disk_regs *regs = &disk->regs;
    uint32_t len = MIN(regs->total - regs->moved, SCSI_BUFFER);
    regs->pos = regs->filled = 0;
    request_start(disk, SCSI_REQUEST_READ, regs->offset, len);
}

/* The medium has answered. */
static void request_over(struct scsi_disk *disk, int error)
{
    struct scsi_disk_regs *regs = &disk->regs;
    uint8_t request = regs->request;
    regs->request = SCSI_REQUEST_NONE;
    if (error) {
        bool is_gone = error == ENOMEDIUM, is_read = request == SCSI_REQUEST_READ;
        command_fail(disk, is_gone ? KEY_NOT_READY : KEY_MEDIUM_ERROR,
                     is_gone   ? ASC_NO_MEDIUM + 1
                     : is_read ? ASC_READ_ERROR
                               : ASC_WRITE_ERROR);
    } else if (request == SCSI_REQUEST_READ) {
        regs->filled = regs->request_len;
        regs->offset += regs->request_len;
    } else if (request == SCSI_REQUEST_WRITE) {
        regs->offset += regs->request_len;
        regs->pos = 0;
        regs->filled = MIN(regs->total - regs->moved, SCSI_BUFFER);
        if (!regs->filled && regs->force_unit_access)
            request_start(disk, SCSI_REQUEST_FLUSH, 0, 0);
        else if (!regs->filled)
            command_done(disk);
    } else {
        command_done(disk);
    }
}

static void request_done(void *opaque, int error)
{
    struct scsi_io *io = opaque;
    struct scsi_disk *disk = io->disk;
    io->in_flight = false;
    if (!disk) {
        g_free(io);
        return;
    }
    if (!io->is_stale)
        request_over(disk, error);
    io->is_stale = false;
    disk->changed(disk->opaque);
}

static void request_send(struct scsi_disk *disk)
{
    const struct scsi_disk_regs *regs = &disk->regs;
    const struct block_ops *ops = disk->block->ops;
    disk->io->in_flight = true;
    if (regs->request == SCSI_REQUEST_READ)
        ops->read(disk->block, regs->request_offset, disk->buffer, regs->request_len, request_done, disk->io);
    else if (regs->request == SCSI_REQUEST_WRITE)
        ops->write(disk->block, regs->request_offset, disk->buffer, regs->request_len, request_done, disk->io);
    else
        ops->flush(disk->block, request_done, disk->io);
}

uint32_t scsi_disk_ready(const struct scsi_disk *disk)
{
    const struct scsi_disk_regs *regs = &disk->regs;
    return regs->is_under_way && !regs->request ? regs->filled - regs->pos : 0;
}

void scsi_disk_take(struct scsi_disk *disk, uint8_t *bytes, uint32_t len)
{
    struct scsi_disk_regs *regs = &disk->regs;
    memcpy(bytes, disk->buffer + regs->pos, len);
    regs->pos += len;
    regs->moved += len;
    if (regs->moved == regs->total)
        command_done(disk);
    else if (regs->pos == regs->filled)
        read_more(disk);
}

void scsi_disk_give(struct scsi_disk *disk, const uint8_t *bytes, uint32_t len)
{
    struct scsi_disk_regs *regs = &disk->regs;
    memcpy(disk->buffer + regs->pos, bytes, len);
    regs->pos += len;
    regs->moved += len;
    if (regs->pos < regs->filled)
        return;
    if (regs->is_medium)
        request_start(disk, SCSI_REQUEST_WRITE, regs->offset, regs->filled);
    else
        command_done(disk); /* mode parameters: nothing of them can be changed */
}

/* The reply is buffer[0 .. len), of which the host wants at most allocation bytes. */
static void reply(struct scsi_disk *disk, uint32_t len, uint32_t allocation)
{
    struct scsi_disk_regs *regs = &disk->regs;
    regs->total = regs->filled = MIN(len, allocation);
    regs->data = SCSI_IN;
    if (!regs->total) {
        regs->data = SCSI_NO_DATA;
        command_done(disk);
    }
}

/* --- Commands --- */

#define NEEDS_MEDIUM 0x01u
#define PASSES_UA    0x02u /* is not told of a unit attention */
#define FOR_DISKS    0x04u
#define FOR_CDS      0x08u
#define FOR_BOTH     (FOR_DISKS | FOR_CDS)

struct scsi_command {
    void (*run)(struct scsi_disk *disk, const uint8_t *cdb);
    uint8_t flags;
};

static void cmd_nothing(struct scsi_disk *disk, const uint8_t *cdb)
{
    command_done(disk);
}

static void cmd_request_sense(struct scsi_disk *disk, const uint8_t *cdb)
{
    struct scsi_disk_regs *regs = &disk->regs;
    uint8_t *out = disk->buffer;
    memset(out, 0, 18);
    if (!regs->sense_key && regs->unit_attention) {
        regs->sense_key = KEY_UNIT_ATTENTION;
        regs->asc = regs->unit_attention;
        regs->unit_attention = 0;
    }
    out[0] = 0x70;
    out[2] = regs->sense_key;
    out[7] = 10;
    put16(out + 12, regs->asc);
    reply(disk, 18, cdb[4]);
}

/* 7.6: 00h which pages there are, 80h serial number, 83h identification, B0h limits. */
static void inquiry_page(struct scsi_disk *disk, uint8_t page, uint32_t allocation)
{
    uint8_t *out = disk->buffer;
    const char *text = disk->serial ? disk->serial : "";
    unsigned len = 0;
    memset(out, 0, 64);
    out[0] = disk->drive->is_cd ? 0x05 : 0x00;
    out[1] = page;
    if (page == 0x00) {
        static const uint8_t pages[] = {0x00, 0x80, 0x83};
        memcpy(out + 4, pages, len = sizeof(pages));
    } else if (page == 0x80) {
        len = (unsigned)MIN(strlen(text), 36);
        memcpy(out + 4, text, len);
    } else if (page == 0x83) {
        unsigned bytes = (unsigned)MIN(strlen(disk->drive->id), 32);
        out[4] = 0x02; /* ASCII, vendor specific */
        out[7] = (uint8_t)bytes;
        memcpy(out + 8, disk->drive->id, bytes);
        len = 4 + bytes;
    } else {
        invalid_field(disk);
        return;
    }
    out[3] = (uint8_t)len;
    reply(disk, 4 + len, allocation);
}

static void cmd_inquiry(struct scsi_disk *disk, const uint8_t *cdb)
{
    uint8_t *out = disk->buffer;
    if (cdb[1] & 1) {
        inquiry_page(disk, cdb[2], get16(cdb + 3));
        return;
    }
    if (cdb[2]) {
        invalid_field(disk);
        return;
    }
    memset(out, 0, INQUIRY_LEN);
    out[0] = disk->drive->is_cd ? 0x05 : 0x00;
    out[1] = disk->is_removable ? 0x80 : 0x00;
    out[2] = 5; /* SPC-3 */
    out[3] = 2; /* response format */
    out[4] = INQUIRY_LEN - 5;
    memcpy(out + 8, disk->drive->is_cd ? "QEMU    QEMU CD-ROM     2.5+" : "QEMU    QEMU HARDDISK   2.5+", 28);
    reply(disk, INQUIRY_LEN, get16(cdb + 3));
}

static void cmd_read_capacity10(struct scsi_disk *disk, const uint8_t *cdb)
{
    uint64_t last = sectors(disk) - 1;
    put32(disk->buffer, (uint32_t)MIN(last, UINT32_MAX));
    put32(disk->buffer + 4, sector_size(disk));
    reply(disk, 8, 8);
}

static void cmd_service_action_in(struct scsi_disk *disk, const uint8_t *cdb)
{
    uint8_t *out = disk->buffer;
    uint64_t last = sectors(disk) - 1;
    if ((cdb[1] & 0x1f) != 0x10) { /* READ CAPACITY (16) is all there is of it */
        invalid_field(disk);
        return;
    }
    memset(out, 0, 32);
    put32(out, (uint32_t)(last >> 32));
    put32(out + 4, (uint32_t)last);
    put32(out + 8, sector_size(disk));
    reply(disk, 32, get32(cdb + 10));
}

/* UFI's (USB Mass Storage, UFI command specification, 4.10), which old drivers ask for: the present capacity. */
static void cmd_read_format_capacities(struct scsi_disk *disk, const uint8_t *cdb)
{
    uint8_t *out = disk->buffer;
    memset(out, 0, 12);
    out[3] = 8;
    put32(out + 4, has_medium(disk) ? (uint32_t)MIN(sectors(disk), UINT32_MAX) : UINT32_MAX);
    put32(out + 8, sector_size(disk));
    out[8] = has_medium(disk) ? 2 : 3; /* formatted, no medium */
    reply(disk, 12, get16(cdb + 7));
}

static void cmd_report_luns(struct scsi_disk *disk, const uint8_t *cdb)
{
    memset(disk->buffer, 0, 16);
    disk->buffer[3] = 8;
    reply(disk, 16, get32(cdb + 6));
}

/* --- Reading and writing --- */

static void transfer(struct scsi_disk *disk, const uint8_t *cdb, uint64_t lba, uint64_t count, bool is_write)
{
    struct scsi_disk_regs *regs = &disk->regs;
    uint64_t bytes = count * sector_size(disk);
    if (lba > sectors(disk) || count > sectors(disk) - lba || bytes > RANGE_MAX) {
        command_fail(disk, KEY_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
        return;
    }
    if (is_write && disk->block->read_only) {
        command_fail(disk, KEY_DATA_PROTECT, ASC_WRITE_PROTECTED);
        return;
    }
    if (!bytes) {
        command_done(disk);
        return;
    }
    regs->is_medium = true;
    regs->total = (uint32_t)bytes;
    regs->offset = lba * sector_size(disk);
    regs->data = is_write ? SCSI_OUT : SCSI_IN;
    /* FUA; the commands of 6 bytes have none. */
    regs->force_unit_access = is_write && (cdb[0] & 0xe0) != 0 && (cdb[1] & 0x08);
    if (is_write)
        regs->filled = MIN(regs->total, SCSI_BUFFER);
    else
        read_more(disk);
}

/* The place and length that the command's group (4.3.2: the upper bits of its code) puts where. */
static uint64_t cdb_lba(const uint8_t *cdb)
{
    return cdb[0] < 0x20                               ? get32(cdb) & 0x1fffff
           : cdb[0] >= 0x80 && (cdb[0] & 0xe0) != 0xa0 ? get64(cdb + 2)
                                                       : get32(cdb + 2);
}

static uint32_t cdb_count(const uint8_t *cdb)
{
    return cdb[0] < 0x20             ? (cdb[4] ? cdb[4] : 256u)
           : (cdb[0] & 0xe0) == 0xa0 ? get32(cdb + 6)
           : (cdb[0] & 0xe0) == 0x80 ? get32(cdb + 10)
                                     : get16(cdb + 7);
}

static void cmd_read(struct scsi_disk *disk, const uint8_t *cdb)
{
    transfer(disk, cdb, cdb_lba(cdb), cdb_count(cdb), false);
}

static void cmd_write(struct scsi_disk *disk, const uint8_t *cdb)
{
    transfer(disk, cdb, cdb_lba(cdb), cdb_count(cdb), true);
}

static void cmd_verify(struct scsi_disk *disk, const uint8_t *cdb)
{
    uint64_t lba = cdb_lba(cdb), count = cdb_count(cdb);
    if (cdb[1] & 0x06) /* BYTCHK: no comparing */
        invalid_field(disk);
    else if (lba > sectors(disk) || count > sectors(disk) - lba)
        command_fail(disk, KEY_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    else
        command_done(disk);
}

static void cmd_synchronize_cache(struct scsi_disk *disk, const uint8_t *cdb)
{
    request_start(disk, SCSI_REQUEST_FLUSH, 0, 0);
}

/* --- Modes --- */

/* 0: no such page. */
static unsigned mode_page(const struct scsi_disk *disk, uint8_t *out, uint8_t page)
{
    static const uint8_t cd_errors[8] = {0x01, 6, 0x00, 0x05};
    static const uint8_t errors[12] = {0x01, 10, 0x80};  /* AWRE */
    static const uint8_t caching[20] = {0x08, 18, 0x04}; /* WCE */
    bool is_cd = disk->drive->is_cd;
    switch (page) {
    case 0x01:
        memcpy(out, is_cd ? cd_errors : errors, is_cd ? 8 : 12);
        return is_cd ? 8 : 12;
    case 0x08:
        if (is_cd)
            return 0;
        memcpy(out, caching, 20);
        return 20;
    case 0x2a:
        if (!is_cd)
            return 0;
        memset(out, 0, 20);
        out[0] = 0x2a;
        out[1] = 18;
        out[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
        out[4] = 0x70;
        out[6] = 0x29 | (disk->regs.is_locked ? 0x02 : 0); /* tray, eject, lock */
        put16(out + 8, 706);
        put16(out + 12, 64);
        put16(out + 14, 706);
        return 20;
    default:
        return 0;
    }
}

static void mode_sense(struct scsi_disk *disk, const uint8_t *cdb, unsigned head, uint32_t allocation)
{
    static const uint8_t pages[] = {0x01, 0x08, 0x2a};
    uint8_t *out = disk->buffer, page = cdb[2] & 0x3f;
    unsigned len = head, control = cdb[2] >> 6;
    bool has_block = !(cdb[1] & 0x08) && has_medium(disk) && !disk->drive->is_cd; /* DBD */
    if (control == 3) {
        command_fail(disk, KEY_ILLEGAL_REQUEST, ASC_SAVING_PARAMETERS);
        return;
    }
    memset(out, 0, 128);
    uint8_t specific = disk->drive->is_cd ? 0 : (disk->block->read_only ? 0x80 : 0) | 0x10; /* DPOFUA */
    if (has_block) {
        uint64_t count = sectors(disk);
        put32(out + len, count > 0xffffff ? 0xffffff : (uint32_t)count);
        put32(out + len + 4, sector_size(disk));
        len += 8;
    }
    unsigned first = len;
    for (unsigned i = 0; i < sizeof(pages); i++) {
        if (page == 0x3f || page == pages[i])
            len += mode_page(disk, out + len, pages[i]);
    }
    if (len == first && page != 0x3f && page != 0x00) {
        invalid_field(disk);
        return;
    }
    if (control == 1) { /* which can be changed: none */
        for (unsigned at = first; at < len; at += 2u + out[at + 1])
            memset(out + at + 2, 0, out[at + 1]);
    }
    if (head == 8) {
        put16(out, len - 2);
        out[3] = specific;
        out[7] = has_block ? 8 : 0;
    } else {
        out[0] = (uint8_t)(len - 1);
        out[2] = specific;
        out[3] = has_block ? 8 : 0;
    }
    reply(disk, len, allocation);
}

static void cmd_mode_sense6(struct scsi_disk *disk, const uint8_t *cdb)
{
    mode_sense(disk, cdb, 4, cdb[4]);
}

static void cmd_mode_sense10(struct scsi_disk *disk, const uint8_t *cdb)
{
    mode_sense(disk, cdb, 8, get16(cdb + 7));
}

static void cmd_mode_select(struct scsi_disk *disk, const uint8_t *cdb)
{
    uint32_t len = cdb[0] == 0x15 ? cdb[4] : get16(cdb + 7);
    if (!len) {
        command_done(disk);
        return;
    }
    disk->regs.data = SCSI_OUT;
    disk->regs.total = disk->regs.filled = len; /* less than the buffer has */
}

/* --- The tray --- */

static void tray_tell(struct scsi_disk *disk)
{
    struct block *block = disk->block;
    if (!block->has_tray)
        return;
    block->tray_open = disk->regs.tray_open;
    block->tray_locked = disk->regs.is_locked;
    block->ops->tray_changed(block);
}

static void tray_move(void *opaque, bool open)
{
    struct scsi_disk *disk = opaque;
    if (disk->regs.tray_open && !open && disk->block->has_medium)
        disk->regs.unit_attention = ASC_MEDIUM_CHANGED;
    disk->regs.tray_open = open;
    tray_tell(disk);
}

static void tray_request(void *opaque)
{
    /* Nobody is told: GET EVENT STATUS NOTIFICATION is not there, and the guest lets go when it unmounts. */
}

static void cmd_start_stop(struct scsi_disk *disk, const uint8_t *cdb)
{
    bool load_eject = cdb[4] & 2, start = cdb[4] & 1;
    if (!load_eject || !disk->is_removable) {
        command_done(disk);
    } else if (!start && disk->regs.is_locked) {
        command_fail(disk, KEY_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
    } else {
        tray_move(disk, !start);
        command_done(disk);
    }
}

static void cmd_prevent_allow(struct scsi_disk *disk, const uint8_t *cdb)
{
    disk->regs.is_locked = disk->is_removable && (cdb[4] & 1);
    tray_tell(disk);
    command_done(disk);
}

/* --- CDs: one session with one track of data --- */

static void put_address(uint8_t *out, uint32_t lba, bool msf)
{
    if (!msf) {
        put32(out, lba);
        return;
    }
    lba += 150; /* two seconds of lead-in */
    out[0] = 0;
    out[1] = (uint8_t)(lba / 75 / 60);
    out[2] = (uint8_t)(lba / 75 % 60);
    out[3] = (uint8_t)(lba % 75);
}

static void cmd_read_toc(struct scsi_disk *disk, const uint8_t *cdb)
{
    uint8_t *out = disk->buffer;
    unsigned format = cdb[2] & 15, len = 4;
    bool msf = cdb[1] & 2;
    if (format > 1 || (format == 0 && cdb[6] > 1 && cdb[6] != 0xaa)) {
        invalid_field(disk);
        return;
    }
    memset(out, 0, 20);
    out[2] = out[3] = 1;
    if (format == 1 || cdb[6] <= 1) {
        out[len + 1] = 0x14; /* data */
        out[len + 2] = 1;
        put_address(out + len + 4, 0, msf);
        len += 8;
    }
    if (format == 0) {
        out[len + 1] = 0x16;
        out[len + 2] = 0xaa; /* lead-out */
        put_address(out + len + 4, (uint32_t)MIN(sectors(disk), UINT32_MAX), msf);
        len += 8;
    }
    put16(out, len - 2);
    reply(disk, len, get16(cdb + 7));
}

static const struct scsi_command commands[256] = {
    [0x00] = {cmd_nothing, FOR_BOTH | NEEDS_MEDIUM}, /* TEST UNIT READY */
    [0x03] = {cmd_request_sense, FOR_BOTH | PASSES_UA},
    [0x08] = {cmd_read, FOR_BOTH | NEEDS_MEDIUM},
    [0x0a] = {cmd_write, FOR_DISKS | NEEDS_MEDIUM},
    [0x12] = {cmd_inquiry, FOR_BOTH | PASSES_UA},
    [0x15] = {cmd_mode_select, FOR_BOTH},
    [0x1a] = {cmd_mode_sense6, FOR_BOTH},
    [0x1b] = {cmd_start_stop, FOR_BOTH},
    [0x1e] = {cmd_prevent_allow, FOR_BOTH},
    [0x23] = {cmd_read_format_capacities, FOR_BOTH},
    [0x25] = {cmd_read_capacity10, FOR_BOTH | NEEDS_MEDIUM},
    [0x28] = {cmd_read, FOR_BOTH | NEEDS_MEDIUM},
    [0x2a] = {cmd_write, FOR_DISKS | NEEDS_MEDIUM},
    [0x2b] = {cmd_nothing, FOR_BOTH | NEEDS_MEDIUM}, /* SEEK */
    [0x2e] = {cmd_write, FOR_DISKS | NEEDS_MEDIUM},  /* WRITE AND VERIFY */
    [0x2f] = {cmd_verify, FOR_BOTH | NEEDS_MEDIUM},
    [0x35] = {cmd_synchronize_cache, FOR_BOTH | NEEDS_MEDIUM},
    [0x43] = {cmd_read_toc, FOR_CDS | NEEDS_MEDIUM},
    [0x55] = {cmd_mode_select, FOR_BOTH},
    [0x5a] = {cmd_mode_sense10, FOR_BOTH},
    [0x88] = {cmd_read, FOR_DISKS | NEEDS_MEDIUM},
    [0x8a] = {cmd_write, FOR_DISKS | NEEDS_MEDIUM},
    [0x8f] = {cmd_verify, FOR_DISKS | NEEDS_MEDIUM},
    [0x91] = {cmd_synchronize_cache, FOR_DISKS | NEEDS_MEDIUM},
    [0x9e] = {cmd_service_action_in, FOR_DISKS | NEEDS_MEDIUM},
    [0xa0] = {cmd_report_luns, FOR_BOTH | PASSES_UA},
    [0xa8] = {cmd_read, FOR_BOTH | NEEDS_MEDIUM},
    [0xaa] = {cmd_write, FOR_DISKS | NEEDS_MEDIUM},
    [0xaf] = {cmd_verify, FOR_DISKS | NEEDS_MEDIUM},
};

void scsi_disk_start(struct scsi_disk *disk, const uint8_t cdb[SCSI_CDB_MAX])
{
    struct scsi_disk_regs *regs = &disk->regs;
    const struct scsi_command *command = &commands[cdb[0]];
    regs->is_under_way = true;
    regs->data = SCSI_NO_DATA;
    regs->is_medium = regs->force_unit_access = false;
    regs->total = regs->moved = regs->pos = regs->filled = 0;
    if (!command->run || !(command->flags & (disk->drive->is_cd ? FOR_CDS : FOR_DISKS))) {
        log_guest("scsi: command %02x is not there", cdb[0]);
        command_fail(disk, KEY_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
    } else if (regs->unit_attention && !(command->flags & PASSES_UA)) {
        command_fail(disk, KEY_UNIT_ATTENTION, regs->unit_attention);
        regs->unit_attention = 0;
    } else if ((command->flags & NEEDS_MEDIUM) && (!has_medium(disk) || !sectors(disk))) {
        command_fail(disk, KEY_NOT_READY, ASC_NO_MEDIUM + (regs->tray_open ? 2 : 1));
    } else {
        command->run(disk, cdb);
    }
}

/* --- Life --- */

static void io_new(struct scsi_disk *disk)
{
    disk->io = g_new0(struct scsi_io, 1);
    disk->io->disk = disk;
    disk->buffer = disk->io->buffer;
}

/* Whoever is at the medium still comes back, and has nobody to tell. */
static void io_leave(struct scsi_disk *disk)
{
    if (disk->io->in_flight)
        disk->io->disk = NULL;
    else
        g_free(disk->io);
    disk->io = NULL;
}

static void medium_changed(void *opaque)
{
    struct scsi_disk *disk = opaque;
    if (!disk->block->has_tray) /* nobody will say that it is closed */
        disk->regs.tray_open = false;
    if (!disk->regs.tray_open && disk->block->has_medium)
        disk->regs.unit_attention = ASC_MEDIUM_CHANGED;
}

void scsi_disk_init(struct scsi_disk *disk)
{
    struct block *block = disk->block = disk->drive->block;
    io_new(disk);
    if (disk->is_removable && block->ops->set_removable)
        block->ops->set_removable(block, medium_changed, disk, UINT64_MAX);
    if (disk->is_removable && block->ops->set_tray) {
        block->has_tray = true;
        block->ops->set_tray(block, tray_move, tray_request, disk);
    }
    scsi_disk_reset(disk);
}

void scsi_disk_destroy(struct scsi_disk *disk)
{
    io_leave(disk);
}

void scsi_disk_unplug(struct scsi_disk *disk)
{
    struct block *block = disk->block;
    if (disk->is_removable && block->ops->set_tray) {
        block->has_tray = block->tray_open = block->tray_locked = false;
        block->ops->set_tray(block, NULL, NULL, NULL);
    }
    if (disk->is_removable && block->ops->set_removable)
        block->ops->set_removable(block, NULL, NULL, 0);
}

bool scsi_disk_is_busy(const struct scsi_disk *disk)
{
    return disk->io->in_flight;
}

void scsi_disk_abort(struct scsi_disk *disk)
{
    disk->io->is_stale = disk->io->in_flight;
    disk->regs.request = SCSI_REQUEST_NONE;
    command_end(disk, SCSI_CHECK_CONDITION);
}

void scsi_disk_reset(struct scsi_disk *disk)
{
    bool was_open = disk->regs.tray_open;
    scsi_disk_abort(disk);
    disk->regs = (struct scsi_disk_regs){.tray_open = was_open, .unit_attention = ASC_POWER_ON};
    tray_tell(disk);
}

static const struct state_field disk_fields[] = {
    STATE_FIELD(scsi_disk_regs, sense_key),
    STATE_FIELD(scsi_disk_regs, asc),
    STATE_FIELD(scsi_disk_regs, unit_attention),
    STATE_FIELD(scsi_disk_regs, tray_open),
    STATE_FIELD(scsi_disk_regs, is_locked),
    STATE_FIELD(scsi_disk_regs, is_under_way),
    STATE_FIELD(scsi_disk_regs, status),
    STATE_FIELD(scsi_disk_regs, data),
    STATE_FIELD(scsi_disk_regs, is_medium),
    STATE_FIELD(scsi_disk_regs, force_unit_access),
    STATE_FIELD(scsi_disk_regs, total),
    STATE_FIELD(scsi_disk_regs, moved),
    STATE_FIELD(scsi_disk_regs, pos),
    STATE_FIELD(scsi_disk_regs, filled),
    STATE_FIELD(scsi_disk_regs, offset),
    STATE_FIELD(scsi_disk_regs, request),
    STATE_FIELD(scsi_disk_regs, request_offset),
    STATE_FIELD(scsi_disk_regs, request_len),
};
static const struct state_layout disk_layout = STATE_LAYOUT(1, scsi_disk_regs, disk_fields);

void scsi_disk_pieces(struct scsi_disk *disk, struct state_pieces *pieces)
{
    state_add(pieces, "scsi", 0, &disk_layout, &disk->regs);
    state_add_bytes(pieces, "buffer", 0, disk->buffer, SCSI_BUFFER);
}

void scsi_disk_before_load(struct scsi_disk *disk)
{
    io_leave(disk);
    io_new(disk);
}

/* What a request and a transfer need to stay within the buffer and the medium. */
static bool regs_fit(const struct scsi_disk *disk)
{
    const struct scsi_disk_regs *regs = &disk->regs;
    const struct block *block = disk->block;
    if (regs->data > SCSI_OUT || regs->request > SCSI_REQUEST_FLUSH || regs->pos > regs->filled ||
        regs->filled > SCSI_BUFFER || regs->moved > regs->total || regs->request_len > SCSI_BUFFER)
        return false;
    if (!regs->is_under_way)
        return !regs->request && !regs->filled;
    if (regs->request == SCSI_REQUEST_FLUSH)
        return true;
    if (regs->filled - regs->pos > regs->total - regs->moved || (!regs->request && regs->pos == regs->filled) ||
        (regs->data == SCSI_NO_DATA))
        return false;
    if (regs->request && regs->data != (regs->request == SCSI_REQUEST_READ ? SCSI_IN : SCSI_OUT))
        return false;
    if (regs->request == SCSI_REQUEST_READ && (regs->filled || regs->request_len > regs->total - regs->moved))
        return false;
    return !regs->request || (block->has_medium && regs->request_offset <= block->size &&
                              regs->request_len <= block->size - regs->request_offset);
}

bool scsi_disk_after_load(struct scsi_disk *disk)
{
    if (!regs_fit(disk))
        return false;
    tray_tell(disk);
    if (disk->regs.request)
        request_send(disk);
    return true;
}
