/* ATAPI CD-ROM: the PACKET command and the SCSI commands that CD drives know.
 *
 * ATA-4 (X3T13 1153D), 9.6 and 9.8; SFF-8020i rev. 2.6; MMC-3 (T10 1363-D). The disc has one session with
 * one data track of 2048-byte sectors.
 */
#include <string.h>

#include "ide_drive.h"
#include "log.h"
#include "scsi_bytes.h"

#define CD_SECTOR  2048u
#define RAW_SECTOR 2352u

/* Interrupt reason, in the sector count register. */
#define IR_CD 0x01u /* command, as opposed to data */
#define IR_IO 0x02u /* to the host */

#define SENSE_NONE            0x0u
#define SENSE_NOT_READY       0x2u
#define SENSE_MEDIUM_ERROR    0x3u
#define SENSE_ILLEGAL_REQUEST 0x5u
#define SENSE_UNIT_ATTENTION  0x6u

#define ASC_INVALID_OPCODE    0x2000u
#define ASC_LBA_OUT_OF_RANGE  0x2100u
#define ASC_INVALID_FIELD     0x2400u
#define ASC_MEDIUM_CHANGED    0x2800u
#define ASC_SAVING_PARAMETERS 0x3900u
#define ASC_NO_MEDIUM         0x3a00u
#define ASC_READ_ERROR        0x1100u
#define ASC_REMOVAL_PREVENTED 0x5302u
#define ASC_ILLEGAL_MODE      0x6400u

#define EVENT_EJECT_REQUEST 1
#define EVENT_NEW_MEDIA     2
#define EVENT_MEDIA_REMOVAL 3

static void put_msf(uint8_t *bytes, uint32_t lba)
{
    lba += 150; /* two seconds of lead-in */
    bytes[0] = (uint8_t)(lba / 75 / 60);
    bytes[1] = (uint8_t)(lba / 75 % 60);
    bytes[2] = (uint8_t)(lba % 75);
}

static bool has_disc(const struct ide_drive *drive)
{
    return drive->block->has_medium && !drive->regs.tray_open;
}

static uint32_t disc_sectors(const struct ide_drive *drive)
{
    return (uint32_t)MIN(drive->block->size / CD_SECTOR, UINT32_MAX);
}

/* --- The phases of a command --- */

static void packet_done(struct ide_drive *drive)
{
    drive->regs.nsector = IR_IO | IR_CD;
    drive->regs.sense_key = SENSE_NONE;
    drive->regs.asc = drive->regs.ascq = 0;
    ide_done(drive);
}

static void packet_fail(struct ide_drive *drive, uint8_t key, uint16_t asc)
{
    drive->regs.nsector = IR_IO | IR_CD;
    drive->regs.sense_key = key;
    drive->regs.asc = (uint8_t)(asc >> 8);
    drive->regs.ascq = (uint8_t)asc;
    ide_fail(drive, (uint8_t)(key << 4) | (key == SENSE_ILLEGAL_REQUEST ? ERR_ABRT : 0));
}

static void invalid_field(struct ide_drive *drive)
{
    packet_fail(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
}

/* Offers the next piece of what is in the buffer, from pos. */
static void reply_piece(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    uint32_t pos = regs->pos, len = regs->reply_left;

    if (regs->dma) {
        ide_start_dma(drive, true, len, STEP_REPLY_TAKEN);
        return;
    }
    if (len > regs->byte_limit)
        len = regs->byte_limit;
    regs->lcyl = (uint8_t)len;
    regs->hcyl = (uint8_t)(len >> 8);
    regs->nsector = IR_IO;
    ide_start_in(drive, pos, len, STEP_REPLY_TAKEN);
    ide_raise(drive);
}

/* The reply is buffer[0 .. len), of which the host wants at most allocation bytes. */
static void reply(struct ide_drive *drive, uint32_t len, uint32_t allocation)
{
    struct ide_drive_regs *regs = &drive->regs;
    regs->reply_left = MIN(len, allocation);
    regs->pos = 0;
    regs->left = 0;
    if (regs->reply_left)
        reply_piece(drive);
    else
        packet_done(drive);
}

static void read_more(struct ide_drive *drive);

void atapi_reply_taken_step(struct ide_drive *drive, int error)
{
    struct ide_drive_regs *regs = &drive->regs;
    uint32_t taken = regs->dma ? regs->end : MIN(regs->reply_left, regs->byte_limit);

    regs->reply_left -= MIN(taken, regs->reply_left);
    if (regs->reply_left)
        reply_piece(drive);
    else if (regs->left)
        read_more(drive);
    else
        packet_done(drive);
}

void atapi_packet(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;

    if (regs->feature & 0x02) { /* overlapped */
        ide_abort(drive);
        return;
    }
    regs->dma = false;
    regs->byte_limit = (uint32_t)regs->hcyl << 8 | regs->lcyl;
    /* FFFFh is FFFEh; 0 is an error in the manual and FFFEh in the drives. A piece in the middle is even. */
    if (regs->byte_limit == 0 || regs->byte_limit == 0xffff)
        regs->byte_limit = 0xfffe;
    if (regs->byte_limit > 1)
        regs->byte_limit &= ~1u;
    regs->nsector = IR_CD;
    ide_start_out(drive, 0, sizeof(regs->packet), STEP_PACKET);
}

/* --- Commands --- */

/* What a command needs. */
#define NEEDS_DISC 0x01u
#define PASSES_UA  0x02u /* does not report a unit attention */

struct packet_command {
    void (*run)(struct ide_drive *drive, const uint8_t *packet);
    uint8_t flags;
};

static void cmd_test_unit_ready(struct ide_drive *drive, const uint8_t *packet)
{
    packet_done(drive);
}

static void cmd_request_sense(struct ide_drive *drive, const uint8_t *packet)
{
    struct ide_drive_regs *regs = &drive->regs;
    uint8_t *out = drive->buffer;

    memset(out, 0, 18);
    if (regs->unit_attention && regs->sense_key == SENSE_NONE) {
        regs->sense_key = SENSE_UNIT_ATTENTION;
        regs->asc = ASC_MEDIUM_CHANGED >> 8;
        regs->ascq = 0;
        regs->unit_attention = false;
    }
    out[0] = 0x70;
    out[2] = regs->sense_key;
    out[7] = 10;
    out[12] = regs->asc;
    out[13] = regs->ascq;
    reply(drive, 18, packet[4]);
}

static void cmd_inquiry(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *out = drive->buffer;

    if (packet[1] & 1) { /* vital product data */
        memset(out, 0, 16);
        out[0] = 5;
        out[1] = packet[2];
        if (packet[2] == 0x00) {
            out[3] = 1;
            reply(drive, 5, get16(packet + 3));
        } else {
            invalid_field(drive);
        }
        return;
    }
    memset(out, 0, 36);
    out[0] = 0x05; /* CD-ROM */
    out[1] = 0x80; /* removable */
    out[3] = 0x21; /* ATAPI-2, response format 1 */
    out[4] = 31;
    memcpy(out + 8, "RINGER  CD-ROM          1.0 ", 28);
    reply(drive, 36, packet[4]);
}

static void cmd_read_capacity(struct ide_drive *drive, const uint8_t *packet)
{
    put32(drive->buffer, disc_sectors(drive) - 1);
    put32(drive->buffer + 4, CD_SECTOR);
    reply(drive, 8, 8);
}

/* Sync, header, data, and for what is behind zeros: mode 1 without error correction bytes. */
static void make_raw(uint8_t *out, uint32_t lba, const uint8_t *sector)
{
    memmove(out + 16, sector, CD_SECTOR); /* first of all: out may be where the sector is */
    out[0] = 0;
    memset(out + 1, 0xff, 10);
    out[11] = 0;
    put_msf(out + 12, lba);
    out[15] = 1;
    memset(out + 16 + CD_SECTOR, 0, RAW_SECTOR - 16 - CD_SECTOR);
}

static void read_more(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    uint32_t room = IDE_BUFFER / RAW_SECTOR;
    uint32_t sectors = MIN(regs->left, regs->cd_bytes == RAW_SECTOR ? room : IDE_BUFFER / CD_SECTOR);
    if (!has_disc(drive) || regs->lba + sectors > disc_sectors(drive)) { /* somebody has taken it out */
        packet_fail(drive, SENSE_NOT_READY, ASC_NO_MEDIUM + 1);
        return;
    }
    ide_start_read(drive, regs->lba * CD_SECTOR, sectors * CD_SECTOR, STEP_CD_READ);
}

void atapi_read_step(struct ide_drive *drive, int error)
{
    struct ide_drive_regs *regs = &drive->regs;
    uint32_t sectors = regs->request_len / CD_SECTOR;

    if (error) {
        packet_fail(drive, SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
        return;
    }
    if (regs->cd_bytes == RAW_SECTOR) {
        for (uint32_t i = sectors; i-- > 0;) /* from the last on: they grow */
            make_raw(drive->buffer + i * RAW_SECTOR, (uint32_t)regs->lba + i, drive->buffer + i * CD_SECTOR);
    }
    regs->lba += sectors;
    regs->left -= sectors;
    regs->reply_left = sectors * regs->cd_bytes;
    regs->pos = 0;
    reply_piece(drive);
}

static void read_start(struct ide_drive *drive, uint32_t lba, uint32_t sectors, uint16_t bytes)
{
    struct ide_drive_regs *regs = &drive->regs;

    if (lba > disc_sectors(drive) || sectors > disc_sectors(drive) - lba) {
        packet_fail(drive, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
        return;
    }
    if (sectors == 0) {
        packet_done(drive);
        return;
    }
    regs->lba = lba;
    regs->left = sectors;
    regs->cd_bytes = bytes;
    read_more(drive);
}

static void cmd_read10(struct ide_drive *drive, const uint8_t *packet)
{
    read_start(drive, get32(packet + 2), get16(packet + 7), CD_SECTOR);
}

static void cmd_read12(struct ide_drive *drive, const uint8_t *packet)
{
    read_start(drive, get32(packet + 2), get32(packet + 6), CD_SECTOR);
}

/* What of a sector the flag byte of READ CD asks for: nothing, the user data, or everything. */
static void read_cd(struct ide_drive *drive, uint32_t lba, uint32_t sectors, uint8_t type, uint8_t flags)
{
    type = type >> 2 & 7;
    if (type != 0 && type != 2) { /* any, or mode 1 */
        packet_fail(drive, SENSE_ILLEGAL_REQUEST, ASC_ILLEGAL_MODE);
        return;
    }
    switch (flags & 0xf8) {
    case 0x00:
        packet_done(drive);
        return;
    case 0x10:
        read_start(drive, lba, sectors, CD_SECTOR);
        return;
    case 0xf8:
        read_start(drive, lba, sectors, RAW_SECTOR);
        return;
    default:
        invalid_field(drive);
    }
}

static void cmd_read_cd(struct ide_drive *drive, const uint8_t *packet)
{
    read_cd(drive, get32(packet + 2), get32(packet + 5) & 0xffffff, packet[1], packet[9]);
}

static void cmd_read_cd_msf(struct ide_drive *drive, const uint8_t *packet)
{
    int32_t first = ((int32_t)packet[3] * 60 + packet[4]) * 75 + packet[5] - 150;
    int32_t end = ((int32_t)packet[6] * 60 + packet[7]) * 75 + packet[8] - 150;
    if (first < 0 || end < first)
        invalid_field(drive);
    else
        read_cd(drive, (uint32_t)first, (uint32_t)(end - first), packet[1], packet[9]);
}

static void cmd_seek(struct ide_drive *drive, const uint8_t *packet)
{
    if (get32(packet + 2) >= disc_sectors(drive))
        packet_fail(drive, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    else
        packet_done(drive);
}

static void put_address(uint8_t *bytes, uint32_t lba, bool msf)
{
    bytes[0] = 0;
    if (msf)
        put_msf(bytes + 1, lba);
    else
        put32(bytes, lba);
}

/* Format 0: the tracks from the given one, and the lead-out. */
static unsigned toc_tracks(const struct ide_drive *drive, uint8_t *out, uint8_t start, bool msf)
{
    unsigned len = 4;
    if (start > 1 && start != 0xaa)
        return 0;
    out[2] = out[3] = 1; /* first and last track */
    if (start <= 1) {
        uint8_t track[4] = {0, 0x14, 1, 0};
        memcpy(out + len, track, 4);
        put_address(out + len + 4, 0, msf);
        len += 8;
    }
    uint8_t lead_out[4] = {0, 0x16, 0xaa, 0};
    memcpy(out + len, lead_out, 4);
    put_address(out + len + 4, disc_sectors(drive), msf);
    return len + 8;
}

/* Format 2: the points of the lead-in's sub-channel. */
static unsigned toc_full(const struct ide_drive *drive, uint8_t *out)
{
    static const uint8_t points[4] = {0xa0, 0xa1, 0xa2, 0x01};
    unsigned len = 4;

    out[2] = out[3] = 1; /* first and last session */
    for (unsigned i = 0; i < 4; i++, len += 11) {
        uint8_t *row = out + len;
        memset(row, 0, 11);
        row[0] = 1;
        row[1] = points[i] == 0xa2 ? 0x16 : 0x14;
        row[3] = points[i];
        if (points[i] == 0xa0 || points[i] == 0xa1)
            row[8] = 1; /* number of the first, the last track */
        else
            put_msf(row + 8, points[i] == 0xa2 ? disc_sectors(drive) : 0);
    }
    return len;
}

static void cmd_read_toc(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *out = drive->buffer;
    bool msf = packet[1] & 2;
    unsigned format = packet[2] & 15, len = 0;

    if (format == 0)
        format = packet[9] >> 6; /* where SFF-8020i has it */
    memset(out, 0, 64);
    switch (format) {
    case 0:
        len = toc_tracks(drive, out, packet[6], msf);
        break;
    case 1: /* the first track of the last session */
        out[2] = out[3] = 1;
        out[5] = 0x14;
        out[6] = 1;
        put_address(out + 8, 0, msf);
        len = 12;
        break;
    case 2:
        len = toc_full(drive, out);
        break;
    }
    if (!len) {
        invalid_field(drive);
        return;
    }
    put16(out, len - 2);
    reply(drive, len, get16(packet + 7));
}

/* Mode pages 01h (errors), 0Dh (CD parameters), 0Eh (audio) and 2Ah (capabilities); 0: no such page. */
static unsigned mode_page(const struct ide_drive *drive, uint8_t *out, uint8_t page)
{
    static const uint8_t errors[8] = {0x01, 6, 0x00, 0x05};
    static const uint8_t parameters[8] = {0x0d, 6, 0x00, 0x0d, 0, 60, 0, 75};
    static const uint8_t audio[16] = {0x0e, 14, 0x04, 0, 0, 0, 0, 75, 1, 0xff, 2, 0xff};

    switch (page) {
    case 0x01:
        memcpy(out, errors, 8);
        return 8;
    case 0x0d:
        memcpy(out, parameters, 8);
        return 8;
    case 0x0e:
        memcpy(out, audio, 16);
        return 16;
    case 0x2a:
        memset(out, 0, 20);
        out[0] = 0x2a;
        out[1] = 18;
        out[2] = 0x3b;                                        /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
        out[4] = 0x70;                                        /* mode 2 forms, multi-session */
        out[5] = 0x03;                                        /* CD-DA commands */
        out[6] = 0x29 | (drive->regs.tray_locked ? 0x02 : 0); /* tray, eject, lock */
        put16(out + 8, 706);                                  /* KB/s: 4x */
        put16(out + 10, 2);
        put16(out + 12, 512); /* KB of buffer */
        put16(out + 14, 706);
        return 20;
    default:
        return 0;
    }
}

static void mode_sense(struct ide_drive *drive, const uint8_t *packet, unsigned head, uint32_t allocation)
{
    uint8_t *out = drive->buffer;
    uint8_t page = packet[2] & 0x3f;
    unsigned control = packet[2] >> 6, len = head;

    if (control == 3) {
        packet_fail(drive, SENSE_ILLEGAL_REQUEST, ASC_SAVING_PARAMETERS);
        return;
    }
    memset(out, 0, 128);
    if (page == 0x3f) {
        static const uint8_t pages[] = {0x01, 0x0d, 0x0e, 0x2a};
        for (unsigned i = 0; i < sizeof(pages); i++)
            len += mode_page(drive, out + len, pages[i]);
    } else {
        unsigned page_len = mode_page(drive, out + len, page);
        if (!page_len) {
            invalid_field(drive);
            return;
        }
        len += page_len;
    }
    if (control == 1) { /* changeable values: none */
        for (unsigned at = head; at < len; at += 2 + out[at + 1])
            memset(out + at + 2, 0, out[at + 1]);
    }
    /* Medium type: 01h a 120 mm data disc, 70h no disc, 71h the tray is open. */
    uint8_t type = drive->regs.tray_open ? 0x71 : drive->block->has_medium ? 0x01 : 0x70;
    if (head == 8) {
        put16(out, len - 2);
        out[2] = type;
    } else {
        out[0] = (uint8_t)(len - 1);
        out[1] = type;
    }
    reply(drive, len, allocation);
}

static void cmd_mode_sense6(struct ide_drive *drive, const uint8_t *packet)
{
    mode_sense(drive, packet, 4, packet[4]);
}

static void cmd_mode_sense10(struct ide_drive *drive, const uint8_t *packet)
{
    mode_sense(drive, packet, 8, get16(packet + 7));
}

/* The parameter list is taken and has no effect: nothing in the pages is changeable but the audio volume. */
static void cmd_mode_select10(struct ide_drive *drive, const uint8_t *packet)
{
    struct ide_drive_regs *regs = &drive->regs;
    uint32_t len = get16(packet + 7);

    if (len == 0) {
        packet_done(drive);
    } else if (regs->dma) {
        ide_start_dma(drive, false, len, STEP_PARAMETERS);
    } else {
        regs->lcyl = (uint8_t)len;
        regs->hcyl = (uint8_t)(len >> 8);
        regs->nsector = 0;
        ide_start_out(drive, 0, len, STEP_PARAMETERS);
        ide_raise(drive);
    }
}

void atapi_parameters_step(struct ide_drive *drive, int error)
{
    packet_done(drive);
}

/* The back end knows of it, too. */
static void tray_tell(struct ide_drive *drive)
{
    struct block *block = drive->block;
    if (!block->has_tray)
        return;
    block->tray_open = drive->regs.tray_open;
    block->tray_locked = drive->regs.tray_locked;
    block->ops->tray_changed(block);
}

static void tray_move(struct ide_drive *drive, bool open)
{
    struct ide_drive_regs *regs = &drive->regs;
    if (open != regs->tray_open && drive->block->has_medium) {
        regs->event = open ? EVENT_MEDIA_REMOVAL : EVENT_NEW_MEDIA;
        regs->unit_attention |= !open;
    }
    regs->tray_open = open;
    tray_tell(drive);
}

void atapi_move_tray(void *opaque, bool open)
{
    tray_move(opaque, open);
}

void atapi_request_tray(void *opaque)
{
    struct ide_drive *drive = opaque;
    drive->regs.event = EVENT_EJECT_REQUEST;
}

void atapi_tray_loaded(struct ide_drive *drive)
{
    tray_tell(drive);
}

static void cmd_start_stop(struct ide_drive *drive, const uint8_t *packet)
{
    const struct ide_drive_regs *regs = &drive->regs;
    bool load_eject = packet[4] & 2, start = packet[4] & 1;

    if (load_eject && !start) {
        if (regs->tray_locked) {
            packet_fail(drive, has_disc(drive) ? SENSE_ILLEGAL_REQUEST : SENSE_NOT_READY, ASC_REMOVAL_PREVENTED);
            return;
        }
        tray_move(drive, true);
    } else if (load_eject) {
        tray_move(drive, false);
    }
    packet_done(drive);
}

static void cmd_prevent_allow(struct ide_drive *drive, const uint8_t *packet)
{
    drive->regs.tray_locked = packet[4] & 1;
    tray_tell(drive);
    packet_done(drive);
}

static void cmd_get_configuration(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *out = drive->buffer;
    uint32_t start = get16(packet + 2);
    unsigned request = packet[1] & 3, len = 8;
    /* Feature, version and flags (bit 0 current, bit 1 persistent), additional length, data. */
    static const uint8_t features[][12] = {
        {0x00, 0x00, 0x03, 8, 0x00, 0x10, 0x00, 0, 0x00, 0x08, 0x00, 0}, /* profiles: DVD-ROM, CD-ROM */
        {0x00, 0x01, 0x0b, 8, 0x00, 0x00, 0x00, 2, 0x01, 0x00, 0x00, 0}, /* core: ATAPI */
        {0x00, 0x03, 0x03, 4, 0x29, 0x00, 0x00, 0},                      /* removable: a tray */
        {0x00, 0x10, 0x01, 8, 0x00, 0x00, 0x08, 0, 0x00, 0x01, 0x00, 0}, /* random read, 2048 bytes */
        {0x00, 0x1e, 0x01, 4, 0x00, 0x00, 0x00, 0},                      /* CD read */
    };

    if (request == 3) {
        invalid_field(drive);
        return;
    }
    memset(out, 0, 8);
    unsigned profile = has_disc(drive) ? (disc_sectors(drive) > 80 * 60 * 75 ? 0x10 : 0x08) : 0;
    put16(out + 6, profile);
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        const uint8_t *feature = features[i];
        bool is_current = feature[2] & 1 && (has_disc(drive) || !(i == 3 || i == 4));
        uint32_t code = get16(feature);
        if (request == 2 ? code != start : code < start || (request == 1 && !is_current))
            continue;
        memcpy(out + len, feature, 4u + feature[3]);
        if (!is_current)
            out[len + 2] &= 0xfe;
        if (i == 0) {
            out[len + 6] = profile == 0x10;
            out[len + 10] = profile == 0x08;
        }
        len += 4u + feature[3];
    }
    put32(out, len - 4);
    reply(drive, len, get16(packet + 7));
}

static void cmd_get_event_status(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *out = drive->buffer;
    unsigned len = 4;

    if (!(packet[1] & 1)) { /* asynchronous notification */
        invalid_field(drive);
        return;
    }
    memset(out, 0, 8);
    out[3] = 0x10; /* we tell of media events */
    if (packet[4] & 0x10) {
        out[2] = 0x04;
        out[4] = drive->regs.event;
        out[5] = drive->regs.tray_open ? 0x01 : drive->block->has_medium ? 0x02 : 0;
        drive->regs.event = 0;
        len = 8;
    } else {
        out[2] = 0x80; /* no class that was asked for */
    }
    put16(out, len - 2);
    reply(drive, len, get16(packet + 7));
}

static void cmd_read_disc_information(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *out = drive->buffer;

    if (packet[1] & 7) {
        invalid_field(drive);
        return;
    }
    memset(out, 0, 34);
    put16(out, 32);
    out[2] = 0x0e;                         /* a complete disc, its last session complete */
    out[3] = out[4] = out[5] = out[6] = 1; /* first track, sessions, first and last track of the last */
    out[7] = 0x20;                         /* unrestricted use */
    memset(out + 16, 0xff, 8);             /* no further session */
    reply(drive, 34, get16(packet + 7));
}

static void cmd_read_track_information(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *out = drive->buffer;

    if ((packet[1] & 3) == 1 ? get32(packet + 2) != 1 : false) {
        invalid_field(drive);
        return;
    }
    memset(out, 0, 28);
    put16(out, 26);
    out[2] = out[3] = 1;
    out[5] = 0x04; /* data */
    out[6] = 0x01; /* mode 1 */
    put32(out + 24, disc_sectors(drive));
    reply(drive, 28, get16(packet + 7));
}

static void cmd_mechanism_status(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *out = drive->buffer;
    memset(out, 0, 8);
    out[1] = drive->regs.tray_open ? 0x10 : 0;
    out[5] = 0;
    reply(drive, 8, get16(packet + 8));
}

static void cmd_read_subchannel(struct ide_drive *drive, const uint8_t *packet)
{
    memset(drive->buffer, 0, 4);
    drive->buffer[1] = 0x15; /* no audio status */
    reply(drive, 4, get16(packet + 7));
}

static void cmd_read_dvd_structure(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *out = drive->buffer;
    uint32_t sectors = disc_sectors(drive);

    if (packet[7] != 0 || packet[6] != 0 || sectors <= 80 * 60 * 75) {
        invalid_field(drive); /* only the physical format, only of a DVD */
        return;
    }
    memset(out, 0, 2052);
    put16(out, 2050);
    out[4] = 0x01; /* DVD-ROM, version 1 */
    out[5] = 0x0f; /* 120 mm, maximum rate not given */
    out[6] = 0x01; /* one layer, embossed */
    put32(out + 8, 0x30000);
    put32(out + 12, 0x30000 + sectors - 1);
    reply(drive, 2052, get16(packet + 8));
}

static const struct packet_command packet_commands[256] = {
    [0x00] = {cmd_test_unit_ready, NEEDS_DISC},
    [0x03] = {cmd_request_sense, PASSES_UA},
    [0x12] = {cmd_inquiry, PASSES_UA},
    [0x1a] = {cmd_mode_sense6, 0},
    [0x1b] = {cmd_start_stop, 0},
    [0x1e] = {cmd_prevent_allow, 0},
    [0x25] = {cmd_read_capacity, NEEDS_DISC},
    [0x28] = {cmd_read10, NEEDS_DISC},
    [0x2b] = {cmd_seek, NEEDS_DISC},
    [0x42] = {cmd_read_subchannel, NEEDS_DISC},
    [0x43] = {cmd_read_toc, NEEDS_DISC},
    [0x46] = {cmd_get_configuration, PASSES_UA},
    [0x4a] = {cmd_get_event_status, PASSES_UA},
    [0x4e] = {cmd_test_unit_ready, NEEDS_DISC}, /* STOP PLAY: nothing plays */
    [0x51] = {cmd_read_disc_information, NEEDS_DISC},
    [0x52] = {cmd_read_track_information, NEEDS_DISC},
    [0x55] = {cmd_mode_select10, 0},
    [0x5a] = {cmd_mode_sense10, 0},
    [0xa8] = {cmd_read12, NEEDS_DISC},
    [0xad] = {cmd_read_dvd_structure, NEEDS_DISC},
    [0xb9] = {cmd_read_cd_msf, NEEDS_DISC},
    [0xbb] = {cmd_test_unit_ready, 0}, /* SET CD SPEED */
    [0xbd] = {cmd_mechanism_status, PASSES_UA},
    [0xbe] = {cmd_read_cd, NEEDS_DISC},
};

void atapi_packet_step(struct ide_drive *drive, int error)
{
    struct ide_drive_regs *regs = &drive->regs;
    const struct packet_command *command = &packet_commands[drive->buffer[0]];

    memcpy(regs->packet, drive->buffer, sizeof(regs->packet));
    regs->dma = regs->feature & 1;
    regs->status = STS_BSY | STS_DRDY | STS_DSC;
    if (regs->unit_attention && !(command->flags & PASSES_UA)) {
        regs->unit_attention = false;
        packet_fail(drive, SENSE_UNIT_ATTENTION, ASC_MEDIUM_CHANGED);
    } else if (!command->run) {
        log_guest("ide%u: packet command %02x is not there", drive->number, regs->packet[0]);
        packet_fail(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
    } else if ((command->flags & NEEDS_DISC) && !has_disc(drive)) {
        /* 3A01h: the tray is closed, 3A02h: it is open */
        packet_fail(drive, SENSE_NOT_READY, ASC_NO_MEDIUM + (regs->tray_open ? 2 : 1));
    } else {
        command->run(drive, regs->packet);
    }
}

static void put_word(uint8_t *words, unsigned word, unsigned value)
{
    words[2 * word] = (uint8_t)value;
    words[2 * word + 1] = (uint8_t)(value >> 8);
}

void atapi_identify(struct ide_drive *drive)
{
    uint8_t *words = drive->buffer;
    const struct ide_drive_regs *regs = &drive->regs;

    memset(words, 0, 512);
    put_word(words, 0, 0x85c0); /* ATAPI, CD-ROM, removable, DRQ within 50 us, 12-byte packets */
    ide_put_string(words + 20, 20, drive->serial);
    put_word(words, 20, 3);
    put_word(words, 21, 512);
    put_word(words, 22, 4);
    ide_put_string(words + 46, 8, "1.0");
    ide_put_string(words + 54, 40, "RINGER CD-ROM");
    put_word(words, 48, 1);
    put_word(words, 49, 0x0b00); /* IORDY, LBA, DMA */
    put_word(words, 51, 0x0200);
    put_word(words, 53, 0x0007);
    put_word(words, 63, 0x0007 | (regs->mwdma_mode != 0xff ? 0x100u << regs->mwdma_mode : 0));
    put_word(words, 64, 0x0003);
    for (unsigned word = 65; word <= 68; word++)
        put_word(words, word, 120);
    put_word(words, 71, 30); /* ns from PACKET to bus release, from SERVICE to BSY clear */
    put_word(words, 72, 30);
    put_word(words, 80, 0x001e); /* up to ATA/ATAPI-4 */
    put_word(words, 82, 0x4210); /* NOP, DEVICE RESET, PACKET */
    put_word(words, 83, 0x4000);
    put_word(words, 84, 0x4000);
    put_word(words, 85, 0x4210);
    put_word(words, 87, 0x4000);
    put_word(words, 88, 0x003f | (regs->udma_mode != 0xff ? 0x100u << regs->udma_mode : 0));
    put_word(words, 93, drive->number & 1 ? 0x6200 : 0x6001);
    ide_start_in(drive, 0, 512, STEP_END);
    ide_raise(drive);
}

void atapi_reset(struct ide_drive *drive)
{
    drive->regs.sense_key = SENSE_NONE;
    drive->regs.asc = drive->regs.ascq = 0;
    drive->regs.tray_locked = false;
    tray_tell(drive);
}

void atapi_medium_changed(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    if (!drive->block->has_tray) /* nobody will say that it is closed */
        regs->tray_open = false;
    if (regs->tray_open)
        return; /* noticed when it is closed */
    regs->unit_attention = drive->block->has_medium;
    regs->event = drive->block->has_medium ? EVENT_NEW_MEDIA : EVENT_MEDIA_REMOVAL;
}
