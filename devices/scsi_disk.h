/* A SCSI disk or CD-ROM drive: commands and their data, whatever carries them. SPC-3 (T10 1416-D), SBC-2 (T10 1417-D),
 * MMC-3 (T10 1363-D).
 *
 * One command at a time, and its data piece by piece through a buffer. Nobody waits: scsi_disk_ready() says how many
 * bytes can be moved now, and changed() is called when that is more, or the command over, after the medium was asked.
 */
#pragma once

#include "device.h"

#define SCSI_BUFFER  (64u * 1024)
#define SCSI_CDB_MAX 16u

#define SCSI_GOOD            0x00u
#define SCSI_CHECK_CONDITION 0x02u

enum scsi_data { SCSI_NO_DATA, SCSI_IN, SCSI_OUT };

enum scsi_request { SCSI_REQUEST_NONE, SCSI_REQUEST_READ, SCSI_REQUEST_WRITE, SCSI_REQUEST_FLUSH };

/* Saved. */
struct scsi_disk_regs {
    uint8_t sense_key;
    uint16_t asc;            /* ASC, ASCQ: of the last command that failed */
    uint16_t unit_attention; /* the same: what the next command is told; 0: nothing */
    bool tray_open, is_locked;
    /* The command. */
    bool is_under_way;
    uint8_t status;
    uint8_t data;   /* enum scsi_data */
    bool is_medium; /* the data are those of the medium, else of the buffer only */
    bool force_unit_access;
    uint32_t total;       /* bytes that it moves in all */
    uint32_t moved;       /* bytes of them */
    uint32_t pos, filled; /* of the buffer: bytes moved of this piece, and of how many */
    uint64_t offset;      /* on the medium, of the next request */
    uint8_t request;      /* enum scsi_request: under way */
    uint64_t request_offset;
    uint32_t request_len;
};

struct scsi_io;

struct scsi_disk {
    struct scsi_disk_regs regs;
    const struct device_drive *drive;
    struct block *block;
    const char *serial; /* or NULL */
    bool is_removable;
    struct scsi_io *io; /* the buffer, and the request that uses it */
    uint8_t *buffer;
    void (*changed)(void *opaque);
    void *opaque;
};

/* drive, serial, is_removable, changed and opaque are set. */
void scsi_disk_init(struct scsi_disk *disk);
void scsi_disk_destroy(struct scsi_disk *disk); /* the medium may be gone before */
/* Before that while the machine runs: the medium is somebody else's afterwards. */
void scsi_disk_unplug(struct scsi_disk *disk);
/* RESET#: nothing is under way, and its data are forgotten. */
void scsi_disk_reset(struct scsi_disk *disk);
/* The command, if there is one, is given up. */
void scsi_disk_abort(struct scsi_disk *disk);

/* None is under way. Afterwards regs say which way data go and how many bytes; or it is over. */
void scsi_disk_start(struct scsi_disk *disk, const uint8_t cdb[SCSI_CDB_MAX]);
/* How many bytes can be moved now. */
uint32_t scsi_disk_ready(const struct scsi_disk *disk);
/* At most that many. */
void scsi_disk_take(struct scsi_disk *disk, uint8_t *bytes, uint32_t len);
void scsi_disk_give(struct scsi_disk *disk, const uint8_t *bytes, uint32_t len);
/* What was given up still waits for the medium: no command can be started until changed() is called. */
bool scsi_disk_is_busy(const struct scsi_disk *disk);

void scsi_disk_pieces(struct scsi_disk *disk, struct state_pieces *pieces);
void scsi_disk_before_load(struct scsi_disk *disk);
bool scsi_disk_after_load(struct scsi_disk *disk);
