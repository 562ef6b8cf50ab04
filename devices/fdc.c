/* 82077AA floppy disk controller, AT mode, ports 3F2h to 3F5h and 3F7h.
 *
 * Intel 82077AA data sheet (290166): chapter 2 registers, 4 phases, 5 commands, 6 status registers. The
 * medium is an image of plain sectors of 512 bytes; deleted address marks and other sector sizes cannot be
 * on it. Mechanics take little time, but they take some, and in the order of a real drive.
 */
#include "fdc.h"

#include <string.h>

#include "ioport.h"
#include "log.h"
#include "state.h"
#include "vclock.h"

#define SECTOR 512u

#define DOR_SELECT   0x03u
#define DOR_NRESET   0x04u
#define DOR_DMA_GATE 0x08u
#define DOR_MOTOR0   0x10u

#define MSR_RQM  0x80u
#define MSR_DIO  0x40u
#define MSR_NDMA 0x20u
#define MSR_BUSY 0x10u

#define DSR_RESET 0x80u

#define ST0_ABNORMAL  0x40u
#define ST0_INVALID   0x80u
#define ST0_CHANGED   0xc0u
#define ST0_SEEK_END  0x20u
#define ST0_EQUIPMENT 0x10u

#define ST1_END_OF_CYLINDER 0x80u
#define ST1_DATA_ERROR      0x20u
#define ST1_OVERRUN         0x10u
#define ST1_NO_DATA         0x04u
#define ST1_NOT_WRITABLE    0x02u
#define ST1_NO_ADDRESS_MARK 0x01u

#define ST2_CONTROL_MARK   0x40u
#define ST2_DATA_ERROR     0x20u
#define ST2_WRONG_CYLINDER 0x10u

#define ST3_WRITE_PROTECT 0x40u
#define ST3_READY         0x20u
#define ST3_TRACK0        0x10u
#define ST3_TWO_SIDE      0x08u

#define CONFIG_EIS  0x40u /* implied seek */
#define CONFIG_POLL 0x10u /* 1: polling off */

#define STEP_NS  100000ll /* per track */
#define HEAD_NS  200000ll /* from a command to its first sector, and for anything else that turns */
#define RESET_NS 50000ll

#define BUFFER (2 * 40 * SECTOR) /* a cylinder */

enum fdc_phase {
    PHASE_RESET, /* held in reset */
    PHASE_COMMAND,
    PHASE_WAIT, /* execution: the disk turns, or the image is being read or written */
    PHASE_DMA,  /* execution: data is to be moved through DMA */
    PHASE_PIO,  /* execution: through the data register */
    PHASE_RESULT,
};

enum fdc_kind { KIND_READ, KIND_WRITE, KIND_VERIFY, KIND_FORMAT, KIND_READ_ID };

struct fdc_drive_regs {
    uint8_t cylinder; /* where the head is */
    uint8_t target;   /* while it seeks */
    /* 0 or 1; no bool, as whatever is loaded is in them before it can be looked at */
    uint8_t seeks, recalibrates, changed;
    uint8_t seek_done; /* SENSE INTERRUPT STATUS has not been told yet */
    uint8_t seek_st0;
    uint8_t pcn;     /* where the controller thinks that the head is */
    uint8_t next_id; /* the sector that READ ID finds next, from 0 */
    int64_t seek_at; /* when it ends */
};

struct fdc_regs {
    uint8_t dor, tdr, rate, precompensation, fifo[16], fifo_pos, fifo_len;
    uint8_t phase, kind;
    uint8_t config, pretrk, perpendicular, lock, step_rate, head_load;
    bool irq, no_dma;
    uint8_t reset_senses;       /* how many of the four drives' "ready changed" are still to be told */
    int64_t reset_at, start_at; /* when a reset ends, when a data command finds its sector; 0 = not under way */
    /* The data command. */
    uint8_t st0, st1, st2;
    uint8_t drive, head, cylinder, sector_head, sector, size, last_sector, count, fill;
    bool multi_track, deleted, skip, whole_track, is_flushing;
    bool by_processor; /* not by DMA */
    bool terminal_count;
    uint32_t pos, len; /* of the buffer */
    uint16_t left;     /* sectors that EOT and MT allow, from the first one in the buffer */
    struct fdc_drive_regs drives[4];
};

struct fdc_format {
    uint16_t sectors; /* of the whole disk */
    uint8_t cylinders, heads, track_sectors;
    uint8_t type;  /* enum fdc_drive_type */
    uint8_t rates; /* bits by rate select: 0 = 500, 1 = 300, 2 = 250 kbit/s, 3 = 1 Mbit/s */
};

struct fdc {
    struct fdc_regs regs;
    struct fdc_wiring wiring;
    struct block *block[2];
    enum fdc_drive_type type[2];
    const struct fdc_format *format[2]; /* of the medium, NULL without */
    struct vtimer *timer;
    struct fdc_io *io;
};

/* As for IDE: a reset ends when what was under way has, and a request may outlive the controller, or its state. */
struct fdc_io {
    struct fdc *fdc; /* NULL: orphaned */
    bool in_flight;
    bool is_given_up; /* by a reset */
    uint8_t buffer[BUFFER];
};

/* First those of IBM's drives, then what formatting programs make of them; of one size the first counts. */
static const struct fdc_format formats[] = {
    {320, 40, 1, 8, FDC_360K, 0x06},    {360, 40, 1, 9, FDC_360K, 0x06},    {640, 40, 2, 8, FDC_360K, 0x06},
    {720, 40, 2, 9, FDC_360K, 0x06},    {1440, 80, 2, 9, FDC_1440K, 0x04},  {2400, 80, 2, 15, FDC_1200K, 0x01},
    {2880, 80, 2, 18, FDC_1440K, 0x01}, {5760, 80, 2, 36, FDC_2880K, 0x08}, {820, 41, 2, 10, FDC_360K, 0x06},
    {840, 42, 2, 10, FDC_360K, 0x06},   {1600, 80, 2, 10, FDC_1440K, 0x04}, {1640, 82, 2, 10, FDC_1440K, 0x04},
    {1660, 83, 2, 10, FDC_1440K, 0x04}, {1760, 80, 2, 11, FDC_1200K, 0x04}, {2080, 80, 2, 13, FDC_1440K, 0x04},
    {2240, 80, 2, 14, FDC_1440K, 0x04}, {2952, 82, 2, 18, FDC_1200K, 0x01}, {2988, 83, 2, 18, FDC_1200K, 0x01},
    {3200, 80, 2, 20, FDC_1440K, 0x01}, {3360, 80, 2, 21, FDC_1440K, 0x01}, {3444, 82, 2, 21, FDC_1440K, 0x01},
    {3486, 83, 2, 21, FDC_1440K, 0x01}, {3520, 80, 2, 22, FDC_1440K, 0x01}, {3680, 80, 2, 23, FDC_1440K, 0x01},
    {3840, 80, 2, 24, FDC_1440K, 0x01},
};
#define LARGEST (5760 * (uint64_t)SECTOR)

/* The format of exactly this size, else the drive's own, whose end the image then lacks: what QEMU makes of it, as a
 * boot sector with a kernel behind it is read there with as many sectors in a call as it likes. */
static const struct fdc_format *format_find(uint64_t bytes, enum fdc_drive_type type)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (formats[i].sectors * (uint64_t)SECTOR == bytes)
            return &formats[i];
    }
    uint16_t own = type == FDC_360K ? 720 : type == FDC_1200K ? 2400 : type == FDC_2880K ? 5760 : 2880;
    return format_find(own * (uint64_t)SECTOR, type);
}

bool fdc_fits(uint64_t bytes)
{
    return bytes <= LARGEST;
}

/* A drive without a disk, or with one of no known size, is the one that takes most. */
enum fdc_drive_type fdc_type_of(const struct block *block)
{
    const struct fdc_format *format = block->has_medium ? format_find(block->size, FDC_2880K) : NULL;
    return format ? (enum fdc_drive_type)format->type : FDC_2880K;
}

/* --- Interrupt and phases --- */

/* On IBM's card the DOR's DMA gate disconnects the interrupt, too; on QEMU's it does not, and kernels written there
 * leave it closed and move the data themselves. */
static void fdc_update_irq(struct fdc *fdc)
{
    irq_set(&fdc->wiring.irq6, fdc->regs.irq);
}

/* Whoever has not sensed all four drives after a reset does not find the rest behind the next interrupt (QEMU's way;
 * simple kernels sense once, recalibrate and sense again). */
static void fdc_raise(struct fdc *fdc)
{
    fdc->regs.reset_senses = 0;
    fdc->regs.irq = true;
    fdc_update_irq(fdc);
}

static void fdc_lower(struct fdc *fdc)
{
    fdc->regs.irq = false;
    fdc_update_irq(fdc);
}

static void phase_command(struct fdc *fdc)
{
    fdc->regs.phase = PHASE_COMMAND;
    fdc->regs.fifo_pos = 0;
    fdc->regs.fifo_len = 1; /* more when the first byte is known */
}

/* The result is in fifo[0 .. len). */
static void phase_result(struct fdc *fdc, unsigned len)
{
    fdc->regs.phase = PHASE_RESULT;
    fdc->regs.fifo_pos = 0;
    fdc->regs.fifo_len = (uint8_t)len;
}

static bool has_drive(const struct fdc *fdc, unsigned n)
{
    return n < 2 && fdc->block[n];
}

static const struct fdc_format *medium(const struct fdc *fdc, unsigned n)
{
    return has_drive(fdc, n) ? fdc->format[n] : NULL;
}

/* Must be called when a time has been set: one timer serves them all. */
static void fdc_arm(struct fdc *fdc)
{
    int64_t when = INT64_MAX;
    if (fdc->regs.reset_at && !fdc->io->in_flight)
        when = MIN(when, fdc->regs.reset_at);
    if (fdc->regs.start_at)
        when = MIN(when, fdc->regs.start_at);
    for (unsigned n = 0; n < 4; n++) {
        if (fdc->regs.drives[n].seeks)
            when = MIN(when, fdc->regs.drives[n].seek_at);
    }
    if (when == INT64_MAX)
        vtimer_cancel(fdc->timer);
    else
        vtimer_arm(fdc->timer, when);
}

/* --- Data commands --- */

static void request_bus(struct fdc *fdc)
{
    dma8237_set_dreq(fdc->wiring.dma, 2, true);
    irq_set(&fdc->wiring.bus_request, true);
}

/* The seven bytes behind every data command. */
static void data_end(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;

    dma8237_set_dreq(fdc->wiring.dma, 2, false);
    regs->fifo[0] = regs->st0 | (uint8_t)(regs->head << 2) | regs->drive;
    regs->fifo[1] = regs->st1;
    regs->fifo[2] = regs->st2;
    regs->fifo[3] = regs->cylinder;
    regs->fifo[4] = regs->sector_head;
    regs->fifo[5] = regs->sector;
    regs->fifo[6] = regs->size;
    phase_result(fdc, 7);
    fdc_raise(fdc);
}

static void data_fail(struct fdc *fdc, uint8_t st1, uint8_t st2)
{
    fdc->regs.st0 = ST0_ABNORMAL;
    fdc->regs.st1 = st1;
    fdc->regs.st2 = st2;
    data_end(fdc);
}

/* The last sector of a side. With MT a side that ends before EOT is as good as EOT, as in QEMU: boot sectors count on
 * it that read a kernel in one go. (The chip would not find the next sector.) */
static uint8_t side_end(const struct fdc_regs *regs, const struct fdc_format *format)
{
    return regs->multi_track ? MIN(regs->last_sector, format->track_sectors) : regs->last_sector;
}

/* C, H, R move on by one sector, as the data sheet's table 5-4 says; false at the end of the cylinder. */
static bool address_advance(struct fdc_regs *regs, const struct fdc_format *format)
{
    if (regs->sector < side_end(regs, format)) {
        regs->sector++;
        return true;
    }
    regs->sector = 1;
    if (regs->multi_track) {
        regs->sector_head ^= 1;
        regs->head ^= 1;
        if (regs->head)
            return true;
    }
    regs->cylinder++;
    return false;
}

/* How many sectors from the present one on that lie together in the image, and in the buffer. */
static unsigned sectors_ahead(const struct fdc_regs *regs, const struct fdc_format *format)
{
    unsigned last = MIN(regs->last_sector, format->track_sectors);
    unsigned ahead = regs->sector <= last ? last - regs->sector + 1u : 1;
    if (regs->multi_track && regs->head == 0 && format->heads == 2 && last == format->track_sectors)
        ahead += last;
    return MIN(MIN(ahead, regs->left), BUFFER / SECTOR);
}

/* How far the command may go: from R to EOT, and with MT through another side. */
static uint16_t sectors_allowed(const struct fdc_regs *regs)
{
    unsigned allowed = regs->sector <= regs->last_sector ? regs->last_sector - regs->sector + 1u : 1;
    /* In the processor's hands there is no terminal count: there the cylinder's end is the end. */
    if (regs->multi_track && (regs->head == 0 || !regs->by_processor))
        allowed += regs->last_sector;
    return (uint16_t)allowed;
}

static uint64_t sector_offset(const struct fdc *fdc)
{
    const struct fdc_regs *regs = &fdc->regs;
    const struct fdc_format *format = fdc->format[regs->drive];
    uint32_t track = regs->drives[regs->drive].cylinder * format->heads + regs->head;
    return ((uint64_t)track * format->track_sectors + regs->sector - 1) * SECTOR;
}

/* Is the sector that C, H, R, N ask for under the head? Fails the command if it is not. */
static bool sector_find(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    const struct fdc_format *format = medium(fdc, regs->drive);
    unsigned at = regs->drives[regs->drive].cylinder;

    if (!format || !(format->rates >> regs->rate & 1) || at >= format->cylinders || regs->head >= format->heads) {
        data_fail(fdc, ST1_NO_ADDRESS_MARK, 0);
        return false;
    }
    if (regs->cylinder != at) {
        data_fail(fdc, ST1_NO_DATA, ST2_WRONG_CYLINDER);
        return false;
    }
    if (regs->sector_head != regs->head || regs->sector == 0 || regs->sector > format->track_sectors ||
        regs->size != 2) {
        data_fail(fdc, ST1_NO_DATA, 0);
        return false;
    }
    return true;
}

static void io_done(void *opaque, int error);

/* Reads or writes buffer[0 .. len) at offset. What lies behind the end of a short image reads as zeros. */
static void io_start(struct fdc *fdc, bool write, uint64_t offset, uint32_t len)
{
    struct block *block = fdc->block[fdc->regs.drive];
    struct fdc_io *io = fdc->io;
    uint32_t here = offset < block->size ? (uint32_t)MIN(len, block->size - offset) : 0;

    fdc->regs.phase = PHASE_WAIT;
    io->in_flight = true;
    if (write && here == len) {
        block->ops->write(block, offset, io->buffer, len, io_done, io);
    } else if (write) {
        io->in_flight = false;
        data_fail(fdc, ST1_DATA_ERROR, ST2_DATA_ERROR);
    } else {
        memset(io->buffer + here, 0, len - here);
        block->ops->read(block, here ? offset : 0, io->buffer, here, io_done, io);
    }
}

static void move_data(struct fdc *fdc);

/* The data is in the buffer, or there is room for it: now the host. */
static void exchange_start(struct fdc *fdc)
{
    fdc->regs.pos = 0;
    if (fdc->regs.by_processor) {
        fdc->regs.phase = PHASE_PIO;
        fdc_raise(fdc);
    } else {
        fdc->regs.phase = PHASE_DMA;
        request_bus(fdc);
    }
}

/* The buffer is through, but EOT and MT allow more: on to the other side, or to the next cylinder, where the chip would
 * end (and QEMU does not). False: it is over. */
static bool exchange_goes_on(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    const struct fdc_format *format = medium(fdc, regs->drive);
    unsigned sectors = regs->len / SECTOR;

    if (regs->terminal_count || regs->pos < regs->len || regs->left <= sectors || !regs->multi_track || regs->no_dma ||
        !format || format->heads < 2)
        return false;
    if (regs->cylinder + 1u >= format->cylinders && (regs->head || side_end(regs, format) == format->track_sectors))
        return false; /* the disk's last sector */
    for (unsigned i = 0; i < sectors; i++) {
        if (!address_advance(regs, format))
            regs->drives[regs->drive].cylinder = regs->drives[regs->drive].pcn = regs->cylinder;
    }
    regs->left -= (uint16_t)sectors;
    regs->len = sectors_ahead(regs, format) * SECTOR;
    if (regs->kind == KIND_WRITE)
        exchange_start(fdc);
    else
        io_start(fdc, false, sector_offset(fdc), regs->len);
    return true;
}

/* All that is to be moved has been moved, or the terminal count came: C, H, R and the end of the command. */
static void exchange_end(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    const struct fdc_format *format = medium(fdc, regs->drive);
    unsigned sectors = (regs->pos + SECTOR - 1) / SECTOR;
    bool more = true;

    for (unsigned i = 0; i < sectors && format; i++)
        more = address_advance(regs, format);
    if (regs->whole_track) {
        regs->cylinder = regs->drives[regs->drive].cylinder;
    } else if (!regs->terminal_count && (!more || sectors == 0 || regs->pos == regs->len)) {
        regs->st0 = ST0_ABNORMAL; /* nobody said stop before the end of the cylinder */
        regs->st1 = ST1_END_OF_CYLINDER;
    }
    data_end(fdc);
}

static void write_out(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    uint32_t whole = (regs->pos + SECTOR - 1) / SECTOR * SECTOR;
    if (!medium(fdc, regs->drive)) { /* somebody has taken it out */
        data_fail(fdc, ST1_NO_ADDRESS_MARK, 0);
        return;
    }
    if (whole == 0) {
        exchange_end(fdc);
        return;
    }
    memset(fdc->io->buffer + regs->pos, 0, whole - regs->pos); /* "the rest of the sector is filled with 00" */
    io_start(fdc, true, sector_offset(fdc), whole);
}

/* The sectors' address fields are in the buffer: writes the fill byte where a sector goes. */
static void format_out(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    const struct fdc_format *format = medium(fdc, regs->drive);
    uint8_t *buffer = fdc->io->buffer;
    unsigned at = regs->drives[regs->drive].cylinder;

    if (!format) { /* somebody has taken the disk out */
        data_fail(fdc, ST1_NO_ADDRESS_MARK, 0);
        return;
    }

    for (unsigned i = 0; i < regs->count; i++) {
        const uint8_t *id = buffer + 4 * i;
        if (4 * (i + 1) > regs->pos || id[0] != at || id[1] != regs->head || id[2] == 0 ||
            id[2] > format->track_sectors || id[3] != 2) {
            log_guest("fdc: formatting with sector %u/%u/%u size %u, which the image cannot hold", id[0], id[1], id[2],
                      id[3]);
            data_fail(fdc, ST1_NO_ADDRESS_MARK, 0);
            return;
        }
    }
    memset(buffer, regs->fill, format->track_sectors * SECTOR);
    regs->sector = 1;
    regs->is_flushing = true;
    io_start(fdc, true, sector_offset(fdc), format->track_sectors * SECTOR);
}

static void io_done(void *opaque, int error)
{
    struct fdc_io *io = opaque;
    struct fdc *fdc = io->fdc;

    io->in_flight = false;
    if (!fdc) {
        g_free(io);
        return;
    }
    struct fdc_regs *regs = &fdc->regs;
    if (io->is_given_up) {
        io->is_given_up = false;
        fdc_arm(fdc);
        return;
    }
    if (error) {
        data_fail(fdc, ST1_DATA_ERROR, ST2_DATA_ERROR);
        return;
    }
    switch (regs->kind) {
    case KIND_READ:
        exchange_start(fdc);
        break;
    case KIND_VERIFY:
        regs->pos = regs->len;
        regs->terminal_count = true;
        exchange_end(fdc);
        break;
    case KIND_WRITE:
        if (!exchange_goes_on(fdc))
            exchange_end(fdc);
        break;
    default: /* formatted */
        regs->is_flushing = false;
        data_end(fdc);
        break;
    }
}

/* The heads are loaded and the disk has turned to where the sector is. */
static void data_start(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    const struct fdc_format *format = medium(fdc, regs->drive);

    if ((regs->config & CONFIG_EIS) && regs->kind != KIND_FORMAT && regs->kind != KIND_READ_ID &&
        has_drive(fdc, regs->drive)) { /* implied seek */
        struct fdc_drive_regs *drive = &regs->drives[regs->drive];
        if (drive->cylinder != regs->cylinder && format)
            drive->changed = false;
        drive->cylinder = drive->pcn = regs->cylinder;
    }
    if (regs->kind == KIND_READ_ID) {
        struct fdc_drive_regs *drive = &regs->drives[regs->drive];
        if (!format || !(format->rates >> regs->rate & 1) || drive->cylinder >= format->cylinders ||
            regs->head >= format->heads) {
            data_fail(fdc, ST1_NO_ADDRESS_MARK, 0);
            return;
        }
        drive->next_id = (uint8_t)((drive->next_id + 1) % format->track_sectors);
        regs->cylinder = drive->cylinder;
        regs->sector_head = regs->head;
        regs->sector = drive->next_id + 1;
        regs->size = 2;
        data_end(fdc);
        return;
    }
    bool writes = regs->kind == KIND_WRITE || regs->kind == KIND_FORMAT;
    if (writes && format && fdc->block[regs->drive]->read_only) {
        data_fail(fdc, ST1_NOT_WRITABLE, 0);
        return;
    }
    if (regs->kind == KIND_FORMAT) {
        regs->cylinder = regs->drives[regs->drive].cylinder;
        regs->sector_head = regs->head;
        regs->sector = 1;
        if (!sector_find(fdc))
            return;
        regs->len = 4u * regs->count;
        if (regs->count > format->track_sectors || regs->count == 0)
            data_fail(fdc, ST1_NO_ADDRESS_MARK, 0);
        else
            exchange_start(fdc);
        return;
    }
    if (!sector_find(fdc))
        return;
    regs->left = sectors_allowed(regs);
    unsigned sectors = sectors_ahead(regs, format);
    if (regs->kind == KIND_VERIFY && regs->count)
        sectors = MIN(sectors, regs->count);
    if (regs->deleted && regs->kind == KIND_READ) {
        /* An ordinary sector found by READ DELETED DATA: taken once and marked, or skipped. */
        regs->st2 = ST2_CONTROL_MARK;
        sectors = 1;
    }
    regs->len = sectors * SECTOR;
    if (regs->kind == KIND_WRITE)
        exchange_start(fdc);
    else
        io_start(fdc, false, sector_offset(fdc), regs->len);
}

/* The host's side of the transfer is over. */
static void host_done(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    dma8237_set_dreq(fdc->wiring.dma, 2, false);
    if (regs->deleted && regs->kind == KIND_READ)
        regs->terminal_count = true; /* it stops there by itself */
    if (regs->kind == KIND_WRITE)
        write_out(fdc);
    else if (regs->kind == KIND_FORMAT)
        format_out(fdc);
    else if (!exchange_goes_on(fdc))
        exchange_end(fdc);
}

static void move_data(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    bool tc;

    if (regs->phase != PHASE_DMA)
        return;
    regs->pos += dma8237_move(fdc->wiring.dma, 2, fdc->io->buffer + regs->pos, regs->len - regs->pos,
                              regs->kind == KIND_READ, &tc);
    regs->terminal_count |= tc;
    if (tc || regs->pos == regs->len)
        host_done(fdc);
}

void fdc_bus_granted(struct fdc *fdc)
{
    move_data(fdc);
}

static void dma_ready(void *opaque, int line, bool level)
{
    struct fdc *fdc = opaque;
    irq_set(&fdc->wiring.bus_request, true);
}

/* --- Commands --- */

static void data_command(struct fdc *fdc, enum fdc_kind kind)
{
    struct fdc_regs *regs = &fdc->regs;
    regs->kind = kind;
    regs->drive = regs->fifo[1] & 3;
    regs->head = regs->fifo[1] >> 2 & 1;
    regs->st0 = regs->st1 = regs->st2 = 0;
    regs->terminal_count = regs->whole_track = regs->is_flushing = false;
    regs->multi_track = regs->fifo[0] & 0x80;
    regs->skip = regs->fifo[0] & 0x20;
    regs->deleted = false;
    regs->by_processor = regs->no_dma || !(regs->dor & DOR_DMA_GATE);
    regs->pos = regs->len = 0;
    regs->count = 0;
    if (kind != KIND_FORMAT && kind != KIND_READ_ID) {
        regs->cylinder = regs->fifo[2];
        regs->sector_head = regs->fifo[3];
        regs->sector = regs->fifo[4];
        regs->size = regs->fifo[5];
        regs->last_sector = regs->fifo[6];
    }
    regs->phase = PHASE_WAIT;
    regs->start_at = vclock_now() + HEAD_NS;
    fdc_arm(fdc);
}

static void cmd_read(struct fdc *fdc)
{
    data_command(fdc, KIND_READ);
    fdc->regs.deleted = (fdc->regs.fifo[0] & 0x1f) == 0x0c;
}

static void cmd_write(struct fdc *fdc)
{
    data_command(fdc, KIND_WRITE);
}

/* Every sector from the index hole on, EOT of them, whatever their numbers. */
static void cmd_read_track(struct fdc *fdc)
{
    data_command(fdc, KIND_READ);
    fdc->regs.whole_track = true;
    fdc->regs.multi_track = false;
    fdc->regs.sector = 1;
}

static void cmd_verify(struct fdc *fdc)
{
    data_command(fdc, KIND_VERIFY);
    if (fdc->regs.fifo[1] & 0x80) /* EC: the last byte is a count of sectors */
        fdc->regs.count = fdc->regs.fifo[8];
}

static void cmd_format(struct fdc *fdc)
{
    data_command(fdc, KIND_FORMAT);
    fdc->regs.size = fdc->regs.fifo[2];
    fdc->regs.count = fdc->regs.fifo[3];
    fdc->regs.fill = fdc->regs.fifo[5];
}

static void cmd_read_id(struct fdc *fdc)
{
    data_command(fdc, KIND_READ_ID);
}

static void seek_start(struct fdc *fdc, unsigned n, uint8_t target, bool recalibrates)
{
    struct fdc_drive_regs *drive = &fdc->regs.drives[n];
    unsigned steps = target > drive->cylinder ? target - drive->cylinder : drive->cylinder - target;

    drive->target = target;
    drive->seeks = true;
    drive->recalibrates = recalibrates;
    drive->seek_done = false;
    drive->seek_at = vclock_now() + HEAD_NS + (int64_t)steps * STEP_NS;
    phase_command(fdc);
    fdc_arm(fdc);
}

static void seek_end(struct fdc *fdc, unsigned n)
{
    struct fdc_drive_regs *drive = &fdc->regs.drives[n];
    uint8_t st0 = ST0_SEEK_END | (uint8_t)n;

    drive->seeks = false;
    if (has_drive(fdc, n)) {
        uint8_t end = MIN(drive->target, 84); /* the mechanism's stop */
        if (end != drive->cylinder && fdc->format[n])
            drive->changed = false; /* a step with a disk in resets the line */
        drive->cylinder = end;
    } else if (drive->recalibrates) {
        st0 |= ST0_ABNORMAL | ST0_EQUIPMENT; /* track 0 never came */
    }
    drive->pcn = drive->target;
    drive->seek_st0 = st0 | (fdc->regs.fifo[1] & 4);
    drive->seek_done = true;
    fdc_raise(fdc);
}

static void cmd_recalibrate(struct fdc *fdc)
{
    seek_start(fdc, fdc->regs.fifo[1] & 3, 0, true);
}

static void cmd_seek(struct fdc *fdc)
{
    seek_start(fdc, fdc->regs.fifo[1] & 3, fdc->regs.fifo[2], false);
}

static void cmd_relative_seek(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    unsigned n = regs->fifo[1] & 3, at = regs->drives[n].pcn, by = regs->fifo[2];
    bool inwards = regs->fifo[0] & 0x40;
    seek_start(fdc, n, (uint8_t)(inwards ? MIN(at + by, 255) : at - MIN(at, by)), false);
}

static void cmd_sense_interrupt(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;

    fdc_lower(fdc);
    if (regs->reset_senses) {
        unsigned n = 4u - regs->reset_senses--;
        regs->fifo[0] = ST0_CHANGED | (uint8_t)n;
        regs->fifo[1] = regs->drives[n].pcn;
        phase_result(fdc, 2);
        return;
    }
    for (unsigned n = 0; n < 4; n++) {
        struct fdc_drive_regs *drive = &regs->drives[n];
        if (!drive->seek_done)
            continue;
        drive->seek_done = false;
        regs->fifo[0] = drive->seek_st0;
        regs->fifo[1] = drive->pcn;
        phase_result(fdc, 2);
        for (unsigned m = n + 1; m < 4; m++) {
            if (regs->drives[m].seek_done)
                fdc_raise(fdc); /* the next one's */
        }
        return;
    }
    regs->fifo[0] = ST0_INVALID;
    phase_result(fdc, 1);
}

static void cmd_sense_drive(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    unsigned n = regs->fifo[1] & 3;
    uint8_t st3 = (regs->fifo[1] & 7) | ST3_READY | ST3_TWO_SIDE;

    if (has_drive(fdc, n)) {
        if (regs->drives[n].cylinder == 0)
            st3 |= ST3_TRACK0;
        if (!fdc->format[n] || fdc->block[n]->read_only)
            st3 |= ST3_WRITE_PROTECT; /* without a disk the sensor is in the dark, too */
    }
    regs->fifo[0] = st3;
    phase_result(fdc, 1);
}

static void cmd_specify(struct fdc *fdc)
{
    fdc->regs.step_rate = fdc->regs.fifo[1];
    fdc->regs.head_load = fdc->regs.fifo[2] & 0xfe;
    fdc->regs.no_dma = fdc->regs.fifo[2] & 1;
    if (fdc->regs.no_dma) /* QEMU's has one bit for both */
        fdc->regs.dor &= ~DOR_DMA_GATE;
    else
        fdc->regs.dor |= DOR_DMA_GATE;
    phase_command(fdc);
}

static void cmd_version(struct fdc *fdc)
{
    fdc->regs.fifo[0] = 0x90; /* an enhanced controller */
    phase_result(fdc, 1);
}

static void cmd_part_id(struct fdc *fdc)
{
    fdc->regs.fifo[0] = 0x41; /* stepping 1 */
    phase_result(fdc, 1);
}

static void cmd_configure(struct fdc *fdc)
{
    fdc->regs.config = fdc->regs.fifo[2];
    fdc->regs.pretrk = fdc->regs.fifo[3];
    phase_command(fdc);
}

static void cmd_dump(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    for (unsigned n = 0; n < 4; n++)
        regs->fifo[n] = regs->drives[n].pcn;
    regs->fifo[4] = regs->step_rate;
    regs->fifo[5] = regs->head_load | regs->no_dma;
    regs->fifo[6] = regs->last_sector;
    regs->fifo[7] = (uint8_t)(regs->lock << 7) | (regs->perpendicular & 0x7f);
    regs->fifo[8] = regs->config;
    regs->fifo[9] = regs->pretrk;
    phase_result(fdc, 10);
}

static void cmd_lock(struct fdc *fdc)
{
    fdc->regs.lock = fdc->regs.fifo[0] >> 7;
    fdc->regs.fifo[0] = (uint8_t)(fdc->regs.lock << 4);
    phase_result(fdc, 1);
}

static void cmd_perpendicular(struct fdc *fdc)
{
    /* OW says whether the drives' bits are meant. */
    if (fdc->regs.fifo[1] & 0x80)
        fdc->regs.perpendicular = fdc->regs.fifo[1] & 0x3f;
    else
        fdc->regs.perpendicular = (fdc->regs.perpendicular & 0x3c) | (fdc->regs.fifo[1] & 3);
    phase_command(fdc);
}

static const struct fdc_command {
    uint8_t mask, value, len;
    void (*run)(struct fdc *fdc);
} fdc_commands[] = {
    {0x1f, 0x06, 9, cmd_read},          {0x1f, 0x0c, 9, cmd_read},
    {0x3f, 0x05, 9, cmd_write},         {0x3f, 0x09, 9, cmd_write},
    {0x9f, 0x02, 9, cmd_read_track},    {0x1f, 0x16, 9, cmd_verify},
    {0xbf, 0x0d, 6, cmd_format},        {0xbf, 0x0a, 2, cmd_read_id},
    {0xff, 0x07, 2, cmd_recalibrate},   {0xff, 0x08, 1, cmd_sense_interrupt},
    {0xff, 0x03, 3, cmd_specify},       {0xff, 0x04, 2, cmd_sense_drive},
    {0xff, 0x0f, 3, cmd_seek},          {0xbf, 0x8f, 3, cmd_relative_seek},
    {0xff, 0x10, 1, cmd_version},       {0xff, 0x13, 4, cmd_configure},
    {0xff, 0x0e, 1, cmd_dump},          {0x7f, 0x14, 1, cmd_lock},
    {0xff, 0x12, 2, cmd_perpendicular}, {0xff, 0x18, 1, cmd_part_id},
};

static const struct fdc_command *command_find(uint8_t first)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fdc_commands); i++) {
        if ((first & fdc_commands[i].mask) == fdc_commands[i].value)
            return &fdc_commands[i];
    }
    return NULL;
}

static void fdc_timer(void *opaque)
{
    struct fdc *fdc = opaque;
    struct fdc_regs *regs = &fdc->regs;
    int64_t now = vclock_now();

    if (regs->reset_at && regs->reset_at <= now && !fdc->io->in_flight) {
        regs->reset_at = 0;
        if (!(regs->config & CONFIG_POLL)) {
            fdc_raise(fdc);
            regs->reset_senses = 4;
        }
    }
    for (unsigned n = 0; n < 4; n++) {
        if (regs->drives[n].seeks && regs->drives[n].seek_at <= now)
            seek_end(fdc, n);
    }
    if (regs->start_at && regs->start_at <= now) {
        regs->start_at = 0;
        data_start(fdc);
    }
    fdc_arm(fdc);
}

/* --- Registers --- */

/* Before another state is loaded, and at first. */
static void io_renew(struct fdc *fdc)
{
    if (fdc->io && fdc->io->in_flight) {
        fdc->io->fdc = NULL;
        fdc->io = NULL;
    }
    if (!fdc->io) {
        fdc->io = g_new0(struct fdc_io, 1);
        fdc->io->fdc = fdc;
    }
}

/* DOR, DSR and hardware reset alike: the mechanics keep their place. */
static void soft_reset(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;
    fdc->io->is_given_up = fdc->io->in_flight;
    dma8237_set_dreq(fdc->wiring.dma, 2, false);
    regs->start_at = regs->reset_at = 0;
    regs->reset_senses = 0;
    if (!regs->lock) {
        regs->config = 0x20; /* EFIFO off: as on the 8272 */
        regs->pretrk = 0;
    }
    regs->perpendicular &= 0x3c;
    for (unsigned n = 0; n < 4; n++) {
        regs->drives[n].seeks = regs->drives[n].seek_done = false;
        regs->drives[n].pcn = 0;
    }
    fdc_lower(fdc);
    phase_command(fdc);
}

static void dor_write(struct fdc *fdc, uint8_t value)
{
    struct fdc_regs *regs = &fdc->regs;
    uint8_t before = regs->dor;

    regs->dor = value;
    if (!(value & DOR_NRESET)) {
        if (before & DOR_NRESET)
            soft_reset(fdc);
        regs->reset_at = 0;
        regs->phase = PHASE_RESET;
    } else if (!(before & DOR_NRESET)) {
        soft_reset(fdc);
        regs->reset_at = vclock_now() + RESET_NS;
    }
    fdc_arm(fdc);
    fdc_update_irq(fdc);
}

static uint8_t msr_read(const struct fdc *fdc)
{
    const struct fdc_regs *regs = &fdc->regs;
    uint8_t msr = 0;

    for (unsigned n = 0; n < 4; n++) {
        if (regs->drives[n].seeks)
            msr |= (uint8_t)(1u << n);
    }
    switch (regs->phase) {
    case PHASE_COMMAND:
        if (!regs->reset_at)
            msr |= MSR_RQM;
        if (regs->fifo_pos)
            msr |= MSR_BUSY;
        break;
    case PHASE_WAIT:
    case PHASE_DMA:
        msr |= MSR_BUSY;
        break;
    case PHASE_PIO:
        msr |= MSR_RQM | MSR_NDMA | MSR_BUSY;
        if (regs->kind == KIND_READ)
            msr |= MSR_DIO;
        break;
    case PHASE_RESULT:
        msr |= MSR_RQM | MSR_DIO | MSR_BUSY;
        break;
    }
    return msr;
}

static void data_write(struct fdc *fdc, uint8_t value)
{
    struct fdc_regs *regs = &fdc->regs;

    if (regs->phase == PHASE_PIO && regs->kind != KIND_READ) {
        fdc->io->buffer[regs->pos++] = value;
        if (regs->pos == regs->len) {
            fdc_lower(fdc);
            host_done(fdc);
        }
        return;
    }
    if (regs->phase != PHASE_COMMAND || regs->reset_at) {
        log_guest("fdc: data %02x in phase %u", value, regs->phase);
        return;
    }
    regs->fifo[regs->fifo_pos++] = value;
    const struct fdc_command *command = command_find(regs->fifo[0]);
    if (!command) {
        log_guest("fdc: command %02x is not there", regs->fifo[0]);
        regs->fifo[0] = ST0_INVALID;
        phase_result(fdc, 1);
        return;
    }
    regs->fifo_len = command->len;
    if (regs->fifo_pos == command->len)
        command->run(fdc);
}

static uint8_t data_read(struct fdc *fdc)
{
    struct fdc_regs *regs = &fdc->regs;

    if (regs->phase == PHASE_PIO && regs->kind == KIND_READ) {
        uint8_t value = fdc->io->buffer[regs->pos++];
        if (regs->pos == regs->len) {
            fdc_lower(fdc);
            host_done(fdc);
        }
        return value;
    }
    if (regs->phase != PHASE_RESULT)
        return 0xff;
    if (regs->fifo_pos == 0 && regs->fifo_len == 7)
        fdc_lower(fdc); /* of a data command: "cleared by reading the first result byte" */
    uint8_t value = regs->fifo[regs->fifo_pos++];
    if (regs->fifo_pos == regs->fifo_len)
        phase_command(fdc);
    return value;
}

static uint32_t fdc_read(void *opaque, uint16_t port, unsigned size)
{
    struct fdc *fdc = opaque;
    switch (port & 7) {
    case 2:
        return fdc->regs.dor;
    case 3:
        return fdc->regs.tdr;
    case 4:
        return msr_read(fdc);
    case 5:
        return data_read(fdc);
    case 7: {
        unsigned n = fdc->regs.dor & DOR_SELECT;
        bool motor = fdc->regs.dor >> (4 + n) & 1;
        bool changed = has_drive(fdc, n) && motor && (fdc->regs.drives[n].changed || !fdc->format[n]);
        return changed ? 0x80 : 0;
    }
    default:
        return 0xff;
    }
}

static void fdc_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct fdc *fdc = opaque;
    switch (port & 7) {
    case 2:
        dor_write(fdc, (uint8_t)value);
        break;
    case 3:
        fdc->regs.tdr = value & 3;
        break;
    case 4:
        fdc->regs.rate = value & 3;
        fdc->regs.precompensation = value >> 2 & 7;
        if ((value & DSR_RESET) && (fdc->regs.dor & DOR_NRESET)) {
            soft_reset(fdc);
            fdc->regs.reset_at = vclock_now() + RESET_NS;
            fdc_arm(fdc);
        }
        break;
    case 5:
        if (fdc->regs.dor & DOR_NRESET)
            data_write(fdc, (uint8_t)value);
        break;
    case 7:
        fdc->regs.rate = value & 3;
        break;
    }
}

static const struct io_ops fdc_io = {.widths = 1, .read = fdc_read, .write = fdc_write};

static void fdc_reset(void *dev)
{
    struct fdc *fdc = dev;
    struct fdc_regs *regs = &fdc->regs;
    bool changed[4];

    for (unsigned n = 0; n < 4; n++)
        changed[n] = regs->drives[n].changed;
    memset(regs, 0, sizeof(*regs));
    for (unsigned n = 0; n < 4; n++)
        regs->drives[n].changed = changed[n];
    regs->rate = 2;
    soft_reset(fdc);
    regs->phase = PHASE_RESET;
    fdc_arm(fdc);
}

#define F(member) STATE_FIELD(fdc_regs, member)
static const struct state_field fdc_fields[] = {F(dor),         F(tdr),
                                                F(rate),        F(precompensation),
                                                F(fifo),        F(fifo_pos),
                                                F(fifo_len),    F(phase),
                                                F(kind),        F(config),
                                                F(pretrk),      F(perpendicular),
                                                F(lock),        F(step_rate),
                                                F(head_load),   F(irq),
                                                F(no_dma),      F(reset_senses),
                                                F(reset_at),    F(start_at),
                                                F(st0),         F(st1),
                                                F(st2),         F(drive),
                                                F(head),        F(cylinder),
                                                F(sector_head), F(sector),
                                                F(size),        F(last_sector),
                                                F(count),       F(fill),
                                                F(multi_track), F(deleted),
                                                F(skip),        F(whole_track),
                                                F(is_flushing), F(terminal_count),
                                                F(pos),         F(len),
                                                F(left),        F(by_processor),
                                                F(drives)};
#undef F
static const struct state_layout fdc_layout = {2, G_N_ELEMENTS(fdc_fields), fdc_fields, sizeof(struct fdc_regs)};

static void fdc_pieces(void *dev, struct state_pieces *pieces)
{
    struct fdc *fdc = dev;
    state_add_bytes(pieces, "buffer", 0, fdc->io->buffer, BUFFER);
}

static void fdc_before_load(void *dev)
{
    io_renew(dev);
}

static bool fdc_after_load(void *dev)
{
    struct fdc *fdc = dev;
    const struct fdc_regs *regs = &fdc->regs;

    if (regs->phase > PHASE_RESULT || regs->kind > KIND_READ_ID || regs->fifo_pos > regs->fifo_len ||
        regs->fifo_len > sizeof(regs->fifo) || regs->pos > regs->len || regs->len > BUFFER || regs->drive > 3 ||
        regs->rate > 3)
        return false;
    for (unsigned n = 0; n < 4; n++) {
        const struct fdc_drive_regs *d = &regs->drives[n];
        if ((d->seeks | d->recalibrates | d->changed | d->seek_done) > 1)
            return false;
    }
    /* The next byte must have its place. */
    const struct fdc_command *command = command_find(regs->fifo[0]);
    if ((regs->phase == PHASE_COMMAND && regs->fifo_pos && (!command || regs->fifo_pos >= command->len)) ||
        (regs->phase == PHASE_RESULT && regs->fifo_pos >= regs->fifo_len) ||
        (regs->phase == PHASE_PIO && regs->pos >= regs->len))
        return false;
    fdc_update_irq(fdc);
    fdc_arm(fdc);
    if (regs->phase == PHASE_DMA)
        request_bus(fdc);
    /* What was being read or written is asked for again. */
    if (regs->phase == PHASE_WAIT && !regs->start_at) {
        if (!medium(fdc, regs->drive)) /* somebody has taken it out */
            data_fail(fdc, ST1_NO_ADDRESS_MARK, 0);
        else if (regs->kind == KIND_WRITE)
            write_out(fdc);
        else if (regs->kind == KIND_FORMAT)
            io_start(fdc, true, sector_offset(fdc), fdc->format[regs->drive]->track_sectors * SECTOR);
        else
            io_start(fdc, false, sector_offset(fdc), regs->len);
    }
    return true;
}

static void fdc_dump(void *dev, GString *out)
{
    struct fdc *fdc = dev;
    const struct fdc_regs *regs = &fdc->regs;
    g_string_append_printf(out, "fdc: dor=%02x msr=%02x rate=%u phase=%u kind=%u pos=%u/%u chr=%u/%u/%u irq=%d\n",
                           regs->dor, msr_read(fdc), regs->rate, regs->phase, regs->kind, regs->pos, regs->len,
                           regs->cylinder, regs->sector_head, regs->sector, regs->irq);
    for (unsigned n = 0; n < 2; n++) {
        if (has_drive(fdc, n))
            g_string_append_printf(out, "fd%u: cylinder=%u changed=%d medium=%u sectors\n", n, regs->drives[n].cylinder,
                                   regs->drives[n].changed, fdc->format[n] ? fdc->format[n]->sectors : 0);
    }
}

void fdc_medium_changed(struct fdc *fdc, unsigned n)
{
    fdc->regs.drives[n].changed = true;
    fdc->format[n] = fdc->block[n]->has_medium ? format_find(fdc->block[n]->size, fdc->type[n]) : NULL;
}

struct fdc *fdc_new(const struct fdc_wiring *wiring, struct block *const block[2])
{
    struct fdc *fdc = g_new0(struct fdc, 1);
    fdc->wiring = *wiring;
    fdc->timer = vtimer_new(fdc_timer, fdc, "fdc");
    for (unsigned n = 0; n < 2; n++) {
        fdc->block[n] = block[n];
        if (!block[n])
            continue;
        fdc->type[n] = fdc_type_of(block[n]);
        fdc_medium_changed(fdc, n);
    }
    io_renew(fdc);
    dma8237_set_hook(wiring->dma, 2, &(struct irq){dma_ready, fdc, 2});
    ioport_register(0x3f2, 4, &fdc_io, fdc, "fdc");
    ioport_register(0x3f7, 1, &fdc_io, fdc, "fdc-dir");
    fdc_reset(fdc);
    return fdc;
}

void fdc_free(struct fdc *fdc)
{
    ioport_unregister(0x3f2, 4);
    ioport_unregister(0x3f7, 1);
    vtimer_free(fdc->timer);
    if (fdc->io->in_flight)
        fdc->io->fdc = NULL;
    else
        g_free(fdc->io);
    g_free(fdc);
}

/* --- As a device, and its drives --- */

#define FDC_MEDIUM_MAX (2880 * KiB)

static void fdc_changed_0(void *opaque)
{
    fdc_medium_changed(opaque, 0);
}

static void fdc_changed_1(void *opaque)
{
    fdc_medium_changed(opaque, 1);
}

void fdc_attach(struct fdc *fdc, unsigned n, struct block *block)
{
    fdc->block[n] = block;
    fdc->type[n] = fdc_type_of(fdc->block[n]);
    fdc_medium_changed(fdc, n);
    if (block->ops->set_removable)
        block->ops->set_removable(block, n ? fdc_changed_1 : fdc_changed_0, fdc, FDC_MEDIUM_MAX);
}

static void fdc_bus_hook(void *opaque)
{
    fdc_bus_granted(opaque);
}

static void *fdc_create(const struct device_site *site, const void *config, GError **error)
{
    struct fdc_wiring wiring = {board_isa_irq(site->board, 6), board_wire(site->board, "bus-request"),
                                board_service(site->board, "dma8237")};
    struct block *none[2] = {NULL, NULL};
    struct fdc *fdc = fdc_new(&wiring, none);
    board_add_bus_hook(site->board, fdc_bus_hook, fdc);
    return fdc;
}

static void fdc_destroy(void *dev)
{
    fdc_free(dev);
}

const struct device_class fdc_class = {
    .name = "isa-fdc",
    .info = "fdc",
    .help = "82077AA floppy controller with two drives",
    .bus = BUS_ISA,
    .internal = true,
    .provides_bus = BUS_FLOPPY,
    .provides_count = 1,
    .create = fdc_create,
    .destroy = fdc_destroy,
    .reset = fdc_reset,
    .layout = &fdc_layout,
    .regs_offset = offsetof(struct fdc, regs),
    .pieces = fdc_pieces,
    .before_load = fdc_before_load,
    .after_load = fdc_after_load,
    .dump = fdc_dump,
};
DEVICE_CLASS(fdc_class);

struct floppy_config {
    const struct device_drive *drive;
};

static const struct property floppy_properties[] = {
    PROPERTY(floppy_config, drive, "drive", PROPERTY_DRIVE, DRIVE_EMPTY, NULL, "the medium in it"),
    PROPERTY_END,
};

static void *floppy_create(const struct device_site *site, const void *config, GError **error)
{
    const struct floppy_config *wanted = config;
    struct block *block = wanted->drive ? wanted->drive->block : NULL;
    if (!block) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: it needs drive=, the id of a -drive", site->id);
        return NULL;
    }
    if (block->has_medium && !fdc_fits(block->size)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: the image of drive '%s' is larger than any floppy (%llu KiB, 2880 at most)", site->id,
                    wanted->drive->id, (unsigned long long)(block->size / KiB));
        return NULL;
    }
    fdc_attach(site->controller, site->unit, block);
    return site->controller;
}

static const struct device_class floppy_class = {
    .name = "floppy",
    .help = "floppy drive, of the kind that takes its medium",
    .bus = BUS_FLOPPY,
    .properties = floppy_properties,
    .config_size = sizeof(struct floppy_config),
    .create = floppy_create,
};
DEVICE_CLASS(floppy_class);
