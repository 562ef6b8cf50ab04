/* What the drives on an IDE channel share: the interrupt, transfers between buffer, host and medium, and how a command
 * ends. What comes after a transfer is said by number (enum ide_step), so that it can be saved.
 *
 * ATA-4 (X3T13 1153D), chapter 9.
 */
#include "ide_drive.h"

#include "log.h"

/* --- Interrupt and end of a command --- */

bool ide_is_present(const struct ide_drive *drive)
{
    return drive->kind != IDE_NONE;
}

struct ide_drive *ide_selected(struct ide_channel *channel)
{
    return &channel->drive[channel->regs.unit];
}

struct ide_drive *ide_other_drive(struct ide_drive *drive)
{
    return &drive->channel->drive[!(drive->number & 1)];
}

/* Must be called when INTRQ, the selection or nIEN may have changed. */
void ide_update_irq(struct ide_channel *channel)
{
    const struct ide_drive *drive = ide_selected(channel);
    bool level = ide_is_present(drive) && drive->regs.intrq && !(channel->regs.control & CTL_NIEN);
    if (level && !channel->regs.irq_level)
        ide_dma_interrupt(&channel->dma);
    channel->regs.irq_level = level;
    irq_set(&channel->irq, level);
}

void ide_raise(struct ide_drive *drive)
{
    drive->regs.intrq = true;
    ide_update_irq(drive->channel);
}

/* Off the bus master, if the command was at it. */
static void leave_transfer(struct ide_drive *drive)
{
    if (drive->regs.dma)
        ide_dma_end(&drive->channel->dma);
    drive->regs.dma = false;
    drive->regs.phase = PHASE_IDLE;
}

void ide_done(struct ide_drive *drive)
{
    leave_transfer(drive);
    drive->regs.status = STS_DRDY | STS_DSC;
    drive->regs.error = 0;
    ide_raise(drive);
}

void ide_fail(struct ide_drive *drive, uint8_t error)
{
    leave_transfer(drive);
    drive->regs.status = STS_DRDY | STS_DSC | STS_ERR;
    drive->regs.error = error;
    ide_raise(drive);
}

void ide_abort(struct ide_drive *drive)
{
    ide_fail(drive, ERR_ABRT);
}

void ide_end_step(struct ide_drive *drive, int error)
{
    leave_transfer(drive);
    drive->regs.status = STS_DRDY | STS_DSC;
}

void ide_done_step(struct ide_drive *drive, int error)
{
    if (error)
        ide_fail(drive, ERR_ABRT);
    else
        ide_done(drive);
}

void ide_next_step(struct ide_drive *drive, int error)
{
    drive->regs.phase = PHASE_IDLE;
    drive->channel->steps[drive->regs.step](drive, error);
}

/* --- Transfers --- */

void ide_start_in(struct ide_drive *drive, uint32_t pos, uint32_t len, enum ide_step step)
{
    if (!len || pos + len > IDE_BUFFER) { /* registers that a state brought */
        ide_abort(drive);
        return;
    }
    drive->regs.phase = PHASE_IN;
    drive->regs.step = step;
    drive->regs.pos = pos;
    drive->regs.end = pos + len;
    drive->regs.status = STS_DRDY | STS_DSC | STS_DRQ;
}

void ide_start_out(struct ide_drive *drive, uint32_t pos, uint32_t len, enum ide_step step)
{
    ide_start_in(drive, pos, len, step);
    if (drive->regs.phase == PHASE_IN)
        drive->regs.phase = PHASE_OUT;
}

static void request_done(void *opaque, int error)
{
    struct ide_io *io = opaque;
    io->in_flight = false;
    if (!io->drive) {
        g_free(io);
        return;
    }
    io->drive->regs.request = REQUEST_NONE;
    ide_next_step(io->drive, error);
}

void ide_send_request(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    const struct block_ops *ops = drive->block->ops;

    drive->io->in_flight = true;
    if (regs->request == REQUEST_READ)
        ops->read(drive->block, regs->request_offset, drive->buffer, regs->request_len, request_done, drive->io);
    else if (regs->request == REQUEST_WRITE)
        ops->write(drive->block, regs->request_offset, drive->buffer, regs->request_len, request_done, drive->io);
    else
        ops->flush(drive->block, request_done, drive->io);
}

static void request_start(struct ide_drive *drive, enum ide_request request, uint64_t offset, uint32_t len,
                          enum ide_step step)
{
    struct ide_drive_regs *regs = &drive->regs;
    const struct block *block = drive->block;
    assert_always(!drive->io->in_flight);
    if (len > IDE_BUFFER ||
        (request != REQUEST_FLUSH && (!block->has_medium || offset > block->size || len > block->size - offset))) {
        ide_abort(drive); /* registers that a state brought */
        return;
    }
    regs->status = STS_BSY | STS_DRDY | STS_DSC;
    regs->phase = PHASE_BLOCK;
    regs->step = step;
    regs->request = request;
    regs->request_offset = offset;
    regs->request_len = len;
    ide_send_request(drive);
}

void ide_start_read(struct ide_drive *drive, uint64_t offset, uint32_t len, enum ide_step step)
{
    request_start(drive, REQUEST_READ, offset, len, step);
}

void ide_start_write(struct ide_drive *drive, uint64_t offset, uint32_t len, enum ide_step step)
{
    request_start(drive, REQUEST_WRITE, offset, len, step);
}

void ide_start_flush(struct ide_drive *drive, enum ide_step step)
{
    request_start(drive, REQUEST_FLUSH, 0, 0, step);
}

/* Must be called when a drive has come to its DMA phase or the guest has started the bus master. */
void ide_request_bus(struct ide_channel *channel)
{
    for (unsigned unit = 0; unit < 2; unit++) {
        if (channel->drive[unit].regs.phase == PHASE_DMA && ide_dma_is_started(&channel->dma))
            irq_set(&channel->bus_request, true);
    }
}

void ide_start_dma(struct ide_drive *drive, bool in, uint32_t len, enum ide_step step)
{
    if (!len || len > IDE_BUFFER) {
        ide_abort(drive);
        return;
    }
    drive->regs.status = STS_BSY | STS_DRDY | STS_DSC;
    drive->regs.phase = PHASE_DMA;
    drive->regs.step = step;
    drive->regs.dma = true;
    drive->regs.dma_in = in;
    drive->regs.pos = 0;
    drive->regs.end = len;
    ide_request_bus(drive->channel);
}

void ide_set_signature(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    regs->nsector = regs->sector = 1;
    regs->lcyl = drive->kind == IDE_CD ? 0x14 : 0;
    regs->hcyl = drive->kind == IDE_CD ? 0xeb : 0;
    regs->select &= SEL_UNIT;
}

bool ide_is_under_way(const struct ide_drive *drive)
{
    return drive->io && drive->io->in_flight;
}

/* Text in an IDENTIFY block: padded with blanks, each word's first character in its high byte. */
void ide_put_string(uint8_t *words, unsigned bytes, const char *text)
{
    for (unsigned i = 0; i < bytes; i++)
        words[i ^ 1] = (uint8_t)(*text ? *text++ : ' ');
}
