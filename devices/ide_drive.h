/* What the drives on an IDE channel share: registers, transfers, and how a command ends. ide.c knows the commands of
 * ata.c and atapi.c; those know ide_drive.c. ATA-4 (X3T13 1153D) and ATA/ATAPI-6 for 48-bit addresses.
 */
#pragma once

#include "ide.h"
#include "ide_dma.h"

#define STS_BSY  0x80u
#define STS_DRDY 0x40u
#define STS_DF   0x20u
#define STS_DSC  0x10u
#define STS_DRQ  0x08u
#define STS_ERR  0x01u

#define ERR_UNC  0x40u
#define ERR_IDNF 0x10u
#define ERR_ABRT 0x04u

#define SEL_LBA  0x40u
#define SEL_UNIT 0x10u

#define CTL_NIEN 0x02u
#define CTL_SRST 0x04u
#define CTL_HOB  0x80u

#define IDE_BUFFER (256u * 1024)

/* What goes on between a drive and its buffer. */
enum ide_phase {
    PHASE_IDLE,
    PHASE_IN,    /* the host reads data[pos .. end) through the data register */
    PHASE_OUT,   /* the host writes it */
    PHASE_BLOCK, /* a request to the medium is under way */
    PHASE_DMA,   /* the bus master is to move data[0 .. end) */
};

/* What comes when a phase has ended: an index of ide_steps, so that it can be saved. */
enum ide_step {
    STEP_END,         /* all data read: ready, without an interrupt */
    STEP_DONE,        /* ready, with an interrupt */
    STEP_READ,        /* ATA: a piece has come from the medium */
    STEP_READ_TAKEN,  /* ATA: the host has taken a piece */
    STEP_WRITE_GIVEN, /* ATA: the host has given a piece */
    STEP_WRITTEN,     /* ATA: it is on the medium */
    STEP_PACKET,      /* ATAPI: the command packet is here */
    STEP_REPLY_TAKEN, /* ATAPI: the host has taken a piece of the reply */
    STEP_CD_READ,     /* ATAPI: sectors have come from the medium */
    STEP_PARAMETERS,  /* ATAPI: the host has given a parameter list */
    STEP_RESET,       /* what was under way at a reset has ended */
    STEP_COUNT
};

enum ide_request { REQUEST_NONE, REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH };

struct ide_drive_regs {
    /* The command block, and what each register held before its last write. */
    uint8_t feature, nsector, sector, lcyl, hcyl, select;
    uint8_t hob_feature, hob_nsector, hob_sector, hob_lcyl, hob_hcyl;
    uint8_t status, error, command;
    bool intrq;
    /* Settings. */
    uint16_t cylinders, heads, track_sectors;          /* the present translation; never 0 */
    uint8_t multiple, pio_mode, mwdma_mode, udma_mode; /* modes: 0xff = not this kind */
    uint8_t power;                                     /* what CHECK POWER MODE says */
    bool write_cache, look_ahead, smart;
    /* The transfer. */
    uint8_t phase, step, request;
    bool dma, dma_in, lba48, force_unit_access, no_data;
    uint32_t pos, end; /* of the present piece in the buffer */
    uint32_t filled;   /* bytes of it that are valid: read from the medium, or given by the host */
    uint64_t lba;      /* the next sector (of the drive's own size) */
    uint32_t left;     /* sectors that are still to go */
    uint32_t request_len;
    uint64_t request_offset;
    /* ATAPI */
    uint8_t packet[12];
    uint8_t sense_key, asc, ascq;
    bool tray_open, tray_locked, unit_attention;
    uint8_t event;       /* the media event that GET EVENT STATUS NOTIFICATION tells next */
    uint32_t reply_left; /* bytes of a reply in the buffer, from pos */
    uint32_t byte_limit; /* of one piece */
    uint16_t cd_bytes;   /* per sector as READ CD wants them */
};

struct ide_io;
struct ide_channel;

struct ide_drive {
    struct ide_drive_regs regs;
    enum ide_kind kind;
    unsigned number; /* 0 to 3 */
    struct ide_channel *channel;
    struct block *block;
    struct ide_io *io;                        /* the buffer, and the request that uses it */
    uint8_t *buffer;                          /* IDE_BUFFER bytes */
    uint16_t cylinders, heads, track_sectors; /* by default */
    char serial[21];
};

typedef void ide_step_fn(struct ide_drive *drive, int error);

struct ide_channel_regs {
    uint8_t control;
    uint8_t unit; /* the selected drive */
    bool irq_level;
};

struct ide_channel {
    struct ide_channel_regs regs;
    struct ide_dma_regs dma;
    struct ide_drive drive[2];
    struct irq irq;
    struct irq bus_request;
    uint16_t base;
    ide_step_fn *const *steps; /* by enum ide_step */
};

/* A buffer, and the request that uses it; it may outlive the drive, or its state. */
struct ide_io {
    struct ide_drive *drive; /* NULL: orphaned */
    bool in_flight;
    uint8_t buffer[IDE_BUFFER];
};

struct ide_command {
    void (*run)(struct ide_drive *drive);
    uint8_t kinds; /* bits 1 << enum ide_kind */
};

/* --- ide_drive.c --- */
bool ide_is_present(const struct ide_drive *drive);
struct ide_drive *ide_selected(struct ide_channel *channel);
/* Must be called when INTRQ, the selection or nIEN may have changed. */
void ide_update_irq(struct ide_channel *channel);
/* Must be called when a drive has come to its DMA phase or the guest has started the bus master. */
void ide_request_bus(struct ide_channel *channel);
/* The phase has ended. */
void ide_next_step(struct ide_drive *drive, int error);
ide_step_fn ide_end_step, ide_done_step;
/* What regs say of a request, again. */
void ide_send_request(struct ide_drive *drive);
bool ide_is_under_way(const struct ide_drive *drive);
void ide_raise(struct ide_drive *drive);
/* The command is over. */
void ide_done(struct ide_drive *drive);
void ide_fail(struct ide_drive *drive, uint8_t error);
void ide_abort(struct ide_drive *drive);
void ide_set_signature(struct ide_drive *drive);
/* The host is to read or write buffer[pos .. pos + len). */
void ide_start_in(struct ide_drive *drive, uint32_t pos, uint32_t len, enum ide_step step);
void ide_start_out(struct ide_drive *drive, uint32_t pos, uint32_t len, enum ide_step step);
/* Requests use the buffer from its start. */
void ide_start_read(struct ide_drive *drive, uint64_t offset, uint32_t len, enum ide_step step);
void ide_start_write(struct ide_drive *drive, uint64_t offset, uint32_t len, enum ide_step step);
void ide_start_flush(struct ide_drive *drive, enum ide_step step);
/* The bus master is to move buffer[0 .. len). */
void ide_start_dma(struct ide_drive *drive, bool in, uint32_t len, enum ide_step step);
void ide_put_string(uint8_t *words, unsigned bytes, const char *text);
struct ide_drive *ide_other_drive(struct ide_drive *drive);

/* --- ata.c --- */
ide_step_fn ata_read_step, ata_read_taken_step, ata_write_given_step, ata_written_step;
void ata_read_sectors(struct ide_drive *drive), ata_read_multiple(struct ide_drive *drive);
void ata_read_dma(struct ide_drive *drive), ata_write_sectors(struct ide_drive *drive);
void ata_write_multiple(struct ide_drive *drive), ata_write_dma(struct ide_drive *drive);
void ata_verify(struct ide_drive *drive), ata_seek(struct ide_drive *drive);
void ata_recalibrate(struct ide_drive *drive), ata_identify(struct ide_drive *drive);
void ata_set_parameters(struct ide_drive *drive), ata_set_multiple(struct ide_drive *drive);
void ata_set_features(struct ide_drive *drive), ata_flush(struct ide_drive *drive);
void ata_power(struct ide_drive *drive), ata_check_power(struct ide_drive *drive);
void ata_native_max(struct ide_drive *drive), ata_smart(struct ide_drive *drive);

/* --- atapi.c --- */
ide_step_fn atapi_packet_step, atapi_reply_taken_step, atapi_read_step, atapi_parameters_step;
void atapi_identify(struct ide_drive *drive), atapi_packet(struct ide_drive *drive);
void atapi_reset(struct ide_drive *drive);
void atapi_medium_changed(struct ide_drive *drive);
/* opaque: the drive. The user moves the tray; or asks the guest to. */
void atapi_move_tray(void *opaque, bool open);
void atapi_request_tray(void *opaque);
void atapi_tray_loaded(struct ide_drive *drive); /* its state came from elsewhere */
