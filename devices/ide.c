/* IDE channels: registers, drive selection, resets, the transfers between a drive's buffer and the host.
 *
 * ATA-4 (X3T13 1153D), chapters 7 and 9; Intel 290550 (PIIX3), 2.7. A channel without drives reads as zeros, as
 * QEMU's: neither busy nor ready nor asking for data, which is what simple drivers take for "nobody there" at once.
 * (With a real one's pull-down on DD7 alone, 7Fh, they see a drive that wants to transfer.) Drive 0 answers with status
 * 0 for a drive 1 that is not there.
 */
#include "ide.h"

#include <stdio.h>
#include <string.h>

#include "ide_drive.h"
#include "ioport.h"
#include "log.h"
#include "state.h"

#define IDETIM 0x40 /* config: timing, bit 15 = decode enable, one word per channel */

struct ide {
    struct pci_device pci; /* first */
    struct ide_channel channel[2];
};

static ide_step_fn reset_step;

static ide_step_fn *const steps[STEP_COUNT] = {
    [STEP_END] = ide_end_step,
    [STEP_DONE] = ide_done_step,
    [STEP_READ] = ata_read_step,
    [STEP_READ_TAKEN] = ata_read_taken_step,
    [STEP_WRITE_GIVEN] = ata_write_given_step,
    [STEP_WRITTEN] = ata_written_step,
    [STEP_PACKET] = atapi_packet_step,
    [STEP_REPLY_TAKEN] = atapi_reply_taken_step,
    [STEP_CD_READ] = atapi_read_step,
    [STEP_PARAMETERS] = atapi_parameters_step,
    [STEP_RESET] = reset_step,
};

#define DISK (1u << IDE_DISK)
#define CD   (1u << IDE_CD)

static void device_reset(struct ide_drive *drive);
static void diagnose(struct ide_drive *drive);

/* What is not here is aborted: NOP, read long, format track, security, ... */
static const struct ide_command ide_commands[256] = {
    [0x08] = {device_reset, CD},
    [0x10 ... 0x1f] = {ata_recalibrate, DISK},
    [0x20] = {ata_read_sectors, DISK | CD}, /* a CD drive aborts it, and shows its signature */
    [0x21] = {ata_read_sectors, DISK},
    [0x24] = {ata_read_sectors, DISK},  /* EXT */
    [0x25] = {ata_read_dma, DISK},      /* EXT */
    [0x27] = {ata_native_max, DISK},    /* EXT */
    [0x29] = {ata_read_multiple, DISK}, /* EXT */
    [0x30] = {ata_write_sectors, DISK},
    [0x31] = {ata_write_sectors, DISK},
    [0x34] = {ata_write_sectors, DISK},  /* EXT */
    [0x35] = {ata_write_dma, DISK},      /* EXT */
    [0x39] = {ata_write_multiple, DISK}, /* EXT */
    [0x3c] = {ata_write_sectors, DISK},  /* WRITE VERIFY */
    [0x3d] = {ata_write_dma, DISK},      /* FUA EXT */
    [0x40] = {ata_verify, DISK},
    [0x41] = {ata_verify, DISK},
    [0x42] = {ata_verify, DISK}, /* EXT */
    [0x70 ... 0x7f] = {ata_seek, DISK},
    [0x90] = {diagnose, DISK | CD},
    [0x91] = {ata_set_parameters, DISK},
    [0x94 ... 0x97] = {ata_power, DISK | CD},
    [0x98] = {ata_check_power, DISK | CD},
    [0x99] = {ata_power, DISK | CD},
    [0xa0] = {atapi_packet, CD},
    [0xa1] = {atapi_identify, CD},
    [0xb0] = {ata_smart, DISK},
    [0xc4] = {ata_read_multiple, DISK},
    [0xc5] = {ata_write_multiple, DISK},
    [0xc6] = {ata_set_multiple, DISK},
    [0xc8 ... 0xc9] = {ata_read_dma, DISK},
    [0xca ... 0xcb] = {ata_write_dma, DISK},
    [0xce] = {ata_write_multiple, DISK}, /* FUA EXT */
    [0xe0 ... 0xe3] = {ata_power, DISK | CD},
    [0xe5] = {ata_check_power, DISK | CD},
    [0xe6] = {ata_power, DISK | CD},
    [0xe7] = {ata_flush, DISK | CD},
    [0xea] = {ata_flush, DISK}, /* EXT */
    [0xec] = {ata_identify, DISK | CD},
    [0xef] = {ata_set_features, DISK | CD},
    [0xf8] = {ata_native_max, DISK},
};

static void channel_move(struct ide_channel *channel)
{
    for (unsigned unit = 0; unit < 2; unit++) {
        struct ide_drive *drive = &channel->drive[unit];
        struct ide_drive_regs *regs = &drive->regs;
        if (regs->phase != PHASE_DMA || !ide_dma_is_started(&channel->dma))
            continue;
        uint32_t len = regs->end - regs->pos;
        regs->pos += ide_dma_move(&channel->dma, drive->buffer + regs->pos, len, regs->dma_in);
        if (regs->pos == regs->end) {
            ide_next_step(drive, 0);
        } else if (!channel->dma.exhausted) {
            irq_set(&channel->bus_request, true); /* the rest at the next grant */
        } else {
            /* The host has no room or no data for the rest: the drive waits for what will not come, as
             * one whose DMACK- stays away, but a reset or another command takes it out of there. */
            regs->phase = PHASE_IDLE;
            regs->dma = false;
            regs->status = STS_DRDY | STS_DSC;
        }
    }
}

void ide_bus_granted(struct ide *ide)
{
    if (!(ide->pci.config[PCI_COMMAND] & PCI_COMMAND_MASTER))
        return;
    for (unsigned i = 0; i < 2; i++)
        channel_move(&ide->channel[i]);
}

/* --- Resets --- */

/* Gives up the command. A request that is under way goes on, and the drive is busy until it has ended: a guest that
 * resets a drive again and again would collect buffers otherwise. */
static void drive_stop(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    if (!drive->io && ide_is_present(drive)) {
        drive->io = g_new0(struct ide_io, 1);
        drive->io->drive = drive;
        drive->buffer = drive->io->buffer;
    }
    regs->phase = ide_is_under_way(drive) ? PHASE_BLOCK : PHASE_IDLE;
    regs->step = STEP_RESET;
    regs->request = REQUEST_NONE;
    regs->dma = false;
    regs->pos = regs->end = regs->filled = regs->left = regs->reply_left = 0;
}

/* As after SRST or EXECUTE DEVICE DIAGNOSTIC: the signature, "no error found". Settings stay. */
static void drive_soft_reset(struct ide_drive *drive)
{
    drive_stop(drive);
    ide_set_signature(drive);
    drive->regs.error = 0x01;
    drive->regs.status = STS_BSY;
    drive->regs.intrq = false;
    drive->regs.power = 0xff;
    if (drive->kind == IDE_CD)
        atapi_reset(drive);
    if (!ide_is_under_way(drive))
        reset_step(drive, 0);
}

static void reset_step(struct ide_drive *drive, int error)
{
    if (!(drive->channel->regs.control & CTL_SRST))
        drive->regs.status = drive->kind == IDE_CD ? 0 : STS_DRDY | STS_DSC;
}

static void drive_hard_reset(struct ide_drive *drive)
{
    struct ide_drive_regs *regs = &drive->regs;
    drive_stop(drive);
    bool tray_open = regs->tray_open;
    memset(regs, 0, sizeof(*regs));
    regs->tray_open = tray_open;
    regs->cylinders = drive->cylinders;
    regs->heads = drive->heads;
    regs->track_sectors = drive->track_sectors;
    regs->multiple = 16;
    regs->pio_mode = 4;
    regs->mwdma_mode = 2;
    regs->udma_mode = 0xff;
    regs->write_cache = regs->look_ahead = true;
    drive_soft_reset(drive);
}

static void device_reset(struct ide_drive *drive)
{
    drive_soft_reset(drive); /* no interrupt */
}

static void diagnose(struct ide_drive *drive)
{
    struct ide_channel *channel = drive->channel;
    for (unsigned unit = 0; unit < 2; unit++)
        drive_soft_reset(&channel->drive[unit]);
    channel->regs.unit = 0;
    ide_raise(ide_selected(channel));
}

/* --- Registers --- */

static uint32_t data_read(struct ide_drive *drive, unsigned size)
{
    struct ide_drive_regs *regs = &drive->regs;
    uint32_t value = 0;
    unsigned bus = size < 2 ? 2 : size; /* the register is 16 bits wide; two accesses are one of 32 */

    if (regs->phase != PHASE_IN)
        return 0xffffffffu;
    unsigned here = MIN(bus, regs->end - regs->pos);
    memcpy(&value, drive->buffer + regs->pos, here);
    regs->pos += here;
    if (regs->pos == regs->end)
        ide_next_step(drive, 0);
    return value;
}

static void data_write(struct ide_drive *drive, unsigned size, uint32_t value)
{
    struct ide_drive_regs *regs = &drive->regs;
    unsigned bus = size < 2 ? 2 : size;

    if (regs->phase != PHASE_OUT)
        return;
    unsigned here = MIN(bus, regs->end - regs->pos);
    memcpy(drive->buffer + regs->pos, &value, here);
    regs->pos += here;
    if (regs->pos == regs->end)
        ide_next_step(drive, 0);
}

static uint8_t status_read(struct ide_channel *channel)
{
    const struct ide_drive *drive = ide_selected(channel);
    if (ide_is_present(drive))
        return drive->regs.status;
    return 0;
}

static uint8_t register_read(struct ide_channel *channel, unsigned reg)
{
    struct ide_drive *drive = ide_selected(channel);
    const struct ide_drive_regs *regs = &drive->regs;
    bool hob = channel->regs.control & CTL_HOB;

    if (!ide_is_present(drive) && reg != 7 && (reg != 6 || !ide_is_present(&channel->drive[!channel->regs.unit])))
        return 0;
    switch (reg) {
    case 1:
        return regs->error;
    case 2:
        return hob ? regs->hob_nsector : regs->nsector;
    case 3:
        return hob ? regs->hob_sector : regs->sector;
    case 4:
        return hob ? regs->hob_lcyl : regs->lcyl;
    case 5:
        return hob ? regs->hob_hcyl : regs->hcyl;
    case 6:
        return (regs->select & ~SEL_UNIT) | 0xa0 | (channel->regs.unit ? SEL_UNIT : 0);
    default:
        drive->regs.intrq = false;
        ide_update_irq(channel);
        return status_read(channel);
    }
}

static void command_write(struct ide_channel *channel, uint8_t value)
{
    struct ide_drive *drive = ide_selected(channel);
    struct ide_drive_regs *regs = &drive->regs;
    const struct ide_command *command = &ide_commands[value];

    if (value == 0x90) { /* for both drives, whichever is selected */
        drive = &channel->drive[ide_is_present(&channel->drive[0]) ? 0 : 1];
        if (ide_is_present(drive))
            diagnose(drive);
        return;
    }
    if (!ide_is_present(drive))
        return;
    if ((regs->status & STS_BSY) && !(value == 0x08 && drive->kind == IDE_CD)) {
        log_guest("ide%u: command %02x while busy with %02x", drive->number, value, regs->command);
        return;
    }
    regs->intrq = false;
    ide_update_irq(channel);
    drive_stop(drive); /* a command in the middle of a data transfer gives it up */
    regs->command = value;
    if (regs->power == 0x00 && command->run != ata_check_power && command->run != ata_power)
        regs->power = 0xff; /* it spins up again */
    if (!command->run || !(command->kinds & 1u << drive->kind)) {
        log_guest("ide%u: command %02x is not there", drive->number, value);
        ide_abort(drive);
        return;
    }
    regs->status = STS_BSY | STS_DRDY | STS_DSC;
    regs->error = 0;
    command->run(drive);
}

/* Both drives hear every write. */
static void register_write(struct ide_channel *channel, unsigned reg, uint8_t value)
{
    channel->regs.control &= ~CTL_HOB;
    if (reg == 7) {
        command_write(channel, value);
        return;
    }
    if (reg == 6) {
        channel->regs.unit = !!(value & SEL_UNIT);
        channel->drive[0].regs.select = channel->drive[1].regs.select = value;
        ide_update_irq(channel);
        return;
    }
    for (unsigned unit = 0; unit < 2; unit++) {
        struct ide_drive_regs *regs = &channel->drive[unit].regs;
        if (regs->status & STS_BSY)
            continue;
        switch (reg) {
        case 1:
            regs->hob_feature = regs->feature;
            regs->feature = value;
            break;
        case 2:
            regs->hob_nsector = regs->nsector;
            regs->nsector = value;
            break;
        case 3:
            regs->hob_sector = regs->sector;
            regs->sector = value;
            break;
        case 4:
            regs->hob_lcyl = regs->lcyl;
            regs->lcyl = value;
            break;
        case 5:
            regs->hob_hcyl = regs->hcyl;
            regs->hcyl = value;
            break;
        }
    }
}

static uint32_t command_block_read(void *opaque, uint16_t port, unsigned size)
{
    struct ide_channel *channel = opaque;
    unsigned reg = port - channel->base;

    if (reg == 0) {
        struct ide_drive *drive = ide_selected(channel);
        return ide_is_present(drive) ? data_read(drive, size) : 0;
    }
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)register_read(channel, (reg + i) & 7) << (8 * i);
    return value;
}

static void command_block_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct ide_channel *channel = opaque;
    unsigned reg = port - channel->base;

    if (reg == 0) {
        if (ide_is_present(ide_selected(channel)))
            data_write(ide_selected(channel), size, value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        register_write(channel, (reg + i) & 7, (uint8_t)(value >> (8 * i)));
}

static const struct io_ops command_block_io = {
    .widths = 1 | 2 | 4, .read = command_block_read, .write = command_block_write};

static uint32_t control_read(void *opaque, uint16_t port, unsigned size)
{
    return status_read(opaque); /* the alternate status: the interrupt stays */
}

static void control_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct ide_channel *channel = opaque;
    bool rises = value & ~channel->regs.control & CTL_SRST;
    bool falls = ~value & channel->regs.control & CTL_SRST;

    channel->regs.control = (uint8_t)value & (CTL_NIEN | CTL_SRST | CTL_HOB);
    for (unsigned unit = 0; unit < 2; unit++) {
        struct ide_drive *drive = &channel->drive[unit];
        if (rises) {
            drive_stop(drive);
            drive->regs.intrq = false;
            drive->regs.status = ide_is_present(drive) ? STS_BSY : 0;
        }
        if (falls)
            drive_soft_reset(drive);
    }
    if (rises || falls)
        channel->regs.unit = 0;
    ide_update_irq(channel);
}

static const struct io_ops control_io = {.widths = 1, .read = control_read, .write = control_write};

static uint32_t bus_master_read(void *opaque, uint16_t port, unsigned size)
{
    struct ide *ide = opaque;
    unsigned offset = (port - ide->pci.bar[4].base) & 15;
    return ide_dma_read(&ide->channel[offset / 8].dma, offset % 8, size);
}

static void bus_master_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct ide *ide = opaque;
    unsigned offset = (port - ide->pci.bar[4].base) & 15;
    struct ide_channel *channel = &ide->channel[offset / 8];
    if (ide_dma_write(&channel->dma, offset % 8, size, value))
        ide_request_bus(channel);
}

static const struct io_ops bus_master_io = {.widths = 1 | 2 | 4, .read = bus_master_read, .write = bus_master_write};

/* --- The PCI function --- */

static void ide_config_written(struct pci_device *dev, uint8_t offset, unsigned size)
{
    struct ide *ide = (struct ide *)dev;
    /* Bus mastering may have been allowed just now. */
    for (unsigned i = 0; i < 2; i++)
        ide_request_bus(&ide->channel[i]);
}

static void ide_reset(void *dev)
{
    struct ide *ide = dev;
    pci_device_reset(&ide->pci);
    for (unsigned i = 0; i < 2; i++) {
        struct ide_channel *channel = &ide->channel[i];
        memset(&channel->regs, 0, sizeof(channel->regs));
        ide_dma_reset(&channel->dma);
        for (unsigned unit = 0; unit < 2; unit++)
            drive_hard_reset(&channel->drive[unit]);
        ide_update_irq(channel);
    }
}

#define F(member) STATE_FIELD(ide_drive_regs, member)
static const struct state_field drive_fields[] = {
    F(feature),
    F(nsector),
    F(sector),
    F(lcyl),
    F(hcyl),
    F(select),
    F(hob_feature),
    F(hob_nsector),
    F(hob_sector),
    F(hob_lcyl),
    F(hob_hcyl),
    F(status),
    F(error),
    F(command),
    F(intrq),
    F(cylinders),
    F(heads),
    F(track_sectors),
    F(multiple),
    F(pio_mode),
    F(mwdma_mode),
    F(udma_mode),
    F(power),
    F(write_cache),
    F(look_ahead),
    F(smart),
    F(phase),
    F(step),
    F(request),
    F(dma),
    F(dma_in),
    F(lba48),
    F(force_unit_access),
    F(no_data),
    F(pos),
    F(end),
    F(filled),
    F(lba),
    F(left),
    F(request_len),
    F(request_offset),
    F(packet),
    F(sense_key),
    F(asc),
    F(ascq),
    F(tray_open),
    F(tray_locked),
    F(unit_attention),
    F(event),
    F(reply_left),
    F(byte_limit),
    F(cd_bytes),
};
#undef F
static const struct state_layout drive_layout = {1, G_N_ELEMENTS(drive_fields), drive_fields,
                                                 sizeof(struct ide_drive_regs)};
static const struct state_field channel_fields[] = {STATE_FIELD(ide_channel_regs, control),
                                                    STATE_FIELD(ide_channel_regs, unit),
                                                    STATE_FIELD(ide_channel_regs, irq_level)};
static const struct state_layout channel_layout = {1, G_N_ELEMENTS(channel_fields), channel_fields,
                                                   sizeof(struct ide_channel_regs)};
#define F(member) STATE_FIELD(ide_dma_regs, member)
static const struct state_field dma_fields[] = {F(command), F(status), F(table), F(next),
                                                F(address), F(left),   F(last),  F(exhausted)};
#undef F
static const struct state_layout dma_layout = {1, G_N_ELEMENTS(dma_fields), dma_fields, sizeof(struct ide_dma_regs)};

static void ide_pieces(void *dev, struct state_pieces *pieces)
{
    struct ide *ide = dev;
    for (unsigned i = 0; i < 2; i++) {
        struct ide_channel *channel = &ide->channel[i];
        state_add(pieces, "channel", i, &channel_layout, &channel->regs);
        state_add(pieces, "dma", i, &dma_layout, &channel->dma);
        for (unsigned unit = 0; unit < 2; unit++) {
            struct ide_drive *drive = &channel->drive[unit];
            if (!ide_is_present(drive))
                continue;
            state_add(pieces, "drive", drive->number, &drive_layout, &drive->regs);
            state_add_bytes(pieces, "buffer", drive->number, drive->buffer, IDE_BUFFER);
        }
    }
}

static void ide_before_load(void *dev)
{
    struct ide *ide = dev;
    for (unsigned n = 0; n < 4; n++) {
        struct ide_drive *drive = &ide->channel[n / 2].drive[n % 2];
        if (ide_is_under_way(drive)) {
            drive->io->drive = NULL;
            drive->io = NULL;
        }
        drive_stop(drive);
    }
}

/* What a request and a transfer need to stay within the buffer and the medium. */
static bool drive_regs_fit(const struct ide_drive *drive, const struct ide_drive_regs *regs)
{
    if (regs->phase > PHASE_DMA || regs->step >= STEP_COUNT || regs->request > REQUEST_FLUSH)
        return false;
    if (regs->pos > regs->end || regs->end > IDE_BUFFER || regs->filled > IDE_BUFFER || regs->reply_left > IDE_BUFFER ||
        regs->request_len > IDE_BUFFER)
        return false;
    if ((regs->phase == PHASE_BLOCK || regs->phase == PHASE_DMA) && !(regs->status & STS_BSY))
        return false; /* the next command would come while one is under way */
    if (drive->kind == IDE_DISK && (!regs->heads || !regs->track_sectors))
        return false;
    if (regs->cd_bytes > 2352 ||
        (regs->step == STEP_CD_READ && (uint64_t)regs->request_len / 2048 * regs->cd_bytes > IDE_BUFFER))
        return false;
    if (regs->phase != PHASE_BLOCK || regs->request == REQUEST_FLUSH || regs->step == STEP_RESET)
        return regs->phase == PHASE_IDLE || drive->kind != IDE_NONE;
    return drive->block && drive->block->has_medium && regs->request_offset <= drive->block->size &&
           regs->request_len <= drive->block->size - regs->request_offset;
}

static bool ide_after_load(void *dev)
{
    struct ide *ide = dev;
    for (unsigned n = 0; n < 4; n++) {
        const struct ide_drive *drive = &ide->channel[n / 2].drive[n % 2];
        if (!drive_regs_fit(drive, &drive->regs) || drive->channel->regs.unit > 1)
            return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct ide_channel *channel = &ide->channel[i];
        irq_set(&channel->irq, channel->regs.irq_level);
        for (unsigned unit = 0; unit < 2; unit++) {
            struct ide_drive *drive = &channel->drive[unit];
            if (drive->kind == IDE_CD)
                atapi_tray_loaded(drive);
            if (drive->regs.phase == PHASE_BLOCK && drive->regs.step == STEP_RESET)
                ide_next_step(drive, 0); /* what it waited for was another machine's */
            else if (drive->regs.phase == PHASE_BLOCK)
                ide_send_request(drive);
        }
        ide_request_bus(channel);
    }
    return true;
}

static void ide_dump(void *dev, GString *out)
{
    struct ide *ide = dev;
    for (unsigned n = 0; n < 4; n++) {
        const struct ide_drive *drive = &ide->channel[n / 2].drive[n % 2];
        const struct ide_drive_regs *regs = &drive->regs;
        if (ide_is_present(drive))
            g_string_append_printf(out,
                                   "ide%u: status=%02x error=%02x command=%02x phase=%u step=%u pos=%u/%u "
                                   "lba=%llu left=%u intrq=%d bm=%02x/%02x\n",
                                   n, regs->status, regs->error, regs->command, regs->phase, regs->step, regs->pos,
                                   regs->end, (unsigned long long)regs->lba, regs->left, regs->intrq,
                                   ide->channel[n / 2].dma.command, ide->channel[n / 2].dma.status);
    }
}

void ide_default_geometry(uint64_t sectors, uint16_t *cylinders, uint16_t *heads, uint16_t *track_sectors)
{
    uint64_t count = sectors / (16 * 63);
    *cylinders = (uint16_t)(count < 2 ? 2 : count > 16383 ? 16383 : count);
    *heads = 16;
    *track_sectors = 63;
}

void ide_medium_changed(struct ide *ide, unsigned n)
{
    struct ide_drive *drive = &ide->channel[n / 2].drive[n % 2];
    if (drive->kind == IDE_CD)
        atapi_medium_changed(drive);
}

static void drive_configure(struct ide_drive *drive, const struct ide_drive_config *config)
{
    drive->kind = config->kind;
    drive->block = config->block;
    drive->cylinders = config->cylinders;
    drive->heads = config->heads;
    drive->track_sectors = config->sectors;
    if (config->serial)
        g_strlcpy(drive->serial, config->serial, sizeof(drive->serial));
    else
        snprintf(drive->serial, sizeof(drive->serial), "RG%05u", drive->number + 1);
}

/* The bus master, and where BIOS and drivers find it. An ISA controller has none. */
static void ide_plug(struct ide *ide, struct pci_bus *bus)
{
    struct pci_device *dev = &ide->pci;
    pci_device_init(dev, "piix3-ide", 0x8086, 0x7010, 0x010180, 0);
    dev->config[PCI_STATUS] = 0x80;
    dev->writable[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MASTER;
    for (unsigned i = 0; i < 4; i++)
        dev->writable[IDETIM + i] = 0xff;
    dev->writable[0x44] = 0xff; /* slave timing */
    pci_add_io_bar(dev, 4, 16, &bus_master_io, ide);
    dev->config_written = ide_config_written;
    pci_plug(bus, dev, PCI_DEVFN(1, 1));
}

struct ide *ide_new(struct pci_bus *bus, const struct ide_wiring *wiring, const struct ide_drive_config drive[4])
{
    static const uint16_t base[2] = {0x1f0, 0x170};
    struct ide *ide = g_new0(struct ide, 1);

    for (unsigned n = 0; n < 4; n++) {
        struct ide_drive *d = &ide->channel[n / 2].drive[n % 2];
        d->number = n;
        d->channel = &ide->channel[n / 2];
        if (drive)
            drive_configure(d, &drive[n]);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct ide_channel *channel = &ide->channel[i];
        channel->base = base[i];
        channel->irq = wiring->irq[i];
        channel->bus_request = wiring->bus_request;
        channel->steps = steps;
        ioport_register(base[i], 8, &command_block_io, channel, i ? "ide1" : "ide0");
        ioport_register(base[i] + 0x206, 1, &control_io, channel, i ? "ide1-control" : "ide0-control");
    }

    if (bus)
        ide_plug(ide, bus);
    ide_reset(ide);
    return ide;
}

void ide_free(struct ide *ide)
{
    if (ide->pci.bus)
        pci_unplug(&ide->pci);
    for (unsigned i = 0; i < 2; i++) {
        ioport_unregister(ide->channel[i].base, 8);
        ioport_unregister(ide->channel[i].base + 0x206, 1);
        for (unsigned unit = 0; unit < 2; unit++) {
            struct ide_io *io = ide->channel[i].drive[unit].io;
            if (io && io->in_flight)
                io->drive = NULL;
            else
                g_free(io);
        }
    }
    g_free(ide);
}

/* --- As a device, and its drives --- */

#define CD_CHANGED(n) \
    static void cd_changed_##n(void *opaque) \
    { \
        ide_medium_changed(opaque, n); \
    }
CD_CHANGED(0)
CD_CHANGED(1)
CD_CHANGED(2)
CD_CHANGED(3)

void ide_attach(struct ide *ide, unsigned n, const struct ide_drive_config *config)
{
    static void (*const cd_changed[4])(void *opaque) = {cd_changed_0, cd_changed_1, cd_changed_2, cd_changed_3};
    struct ide_drive *drive = &ide->channel[n / 2].drive[n % 2];
    drive_configure(drive, config);
    if (config->kind == IDE_CD && config->block->ops->set_removable)
        config->block->ops->set_removable(config->block, cd_changed[n], ide, UINT64_MAX);
    if (config->kind == IDE_CD && config->block->ops->set_tray) {
        config->block->has_tray = true;
        config->block->ops->set_tray(config->block, atapi_move_tray, atapi_request_tray, drive);
    }
    drive_hard_reset(drive);
}

static void ide_bus_hook(void *opaque)
{
    ide_bus_granted(opaque);
}

static void *ide_create(const struct device_site *site, const void *config, GError **error)
{
    struct ide_wiring wiring = {{board_isa_irq(site->board, 14), board_isa_irq(site->board, 15)},
                                board_wire(site->board, "bus-request")};
    struct ide *ide = ide_new(board_service(site->board, "pci"), &wiring, NULL);
    board_add_bus_hook(site->board, ide_bus_hook, ide);
    return ide;
}

static void ide_destroy(void *dev)
{
    ide_free(dev);
}

const struct device_class ide_class = {
    .name = "piix3-ide",
    .info = "ide",
    .help = "PIIX3 IDE controller: two channels of two drives, bus-master DMA",
    .bus = BUS_PCI,
    .internal = true,
    .provides_bus = BUS_IDE,
    .provides_count = 2,
    .devfn = PCI_DEVFN(1, 1),
    .create = ide_create,
    .destroy = ide_destroy,
    .reset = ide_reset,
    .pieces = ide_pieces,
    .before_load = ide_before_load,
    .after_load = ide_after_load,
    .dump = ide_dump,
};
DEVICE_CLASS(ide_class);

/* The same two channels where there is no PCI: board_service("pci") is NULL. */
static const struct device_class isa_ide_class = {
    .name = "isa-ide",
    .info = "ide",
    .help = "IDE controller: two channels of two drives, without DMA",
    .bus = BUS_ISA,
    .internal = true,
    .provides_bus = BUS_IDE,
    .provides_count = 2,
    .create = ide_create,
    .destroy = ide_destroy,
    .reset = ide_reset,
    .pieces = ide_pieces,
    .before_load = ide_before_load,
    .after_load = ide_after_load,
    .dump = ide_dump,
};
DEVICE_CLASS(isa_ide_class);

struct ide_drive_properties {
    const struct device_drive *drive;
    const char *serial;
    uint32_t cylinders, heads, sectors;
};

static const struct property hd_properties[] = {
    PROPERTY(ide_drive_properties, drive, "drive", PROPERTY_DRIVE, 0, NULL, "the disk"),
    PROPERTY(ide_drive_properties, serial, "serial", PROPERTY_STRING, 20, NULL, "serial number"),
    PROPERTY(ide_drive_properties, cylinders, "cyls", PROPERTY_NUMBER, 65535, "0", "geometry; 0: guessed"),
    PROPERTY(ide_drive_properties, heads, "heads", PROPERTY_NUMBER, 16, "0", NULL),
    PROPERTY(ide_drive_properties, sectors, "secs", PROPERTY_NUMBER, 255, "0", NULL),
    PROPERTY_END,
};

static const struct property cd_properties[] = {
    PROPERTY(ide_drive_properties, drive, "drive", PROPERTY_DRIVE, DRIVE_EMPTY_CD, NULL, "the CD in it"),
    PROPERTY(ide_drive_properties, serial, "serial", PROPERTY_STRING, 20, NULL, "serial number"),
    PROPERTY_END,
};

static void *drive_create(const struct device_site *site, const struct ide_drive_properties *wanted, enum ide_kind kind,
                          GError **error)
{
    const struct device_drive *drive = wanted->drive;
    bool has_geometry = wanted->cylinders && wanted->heads && wanted->sectors;
    if (!drive) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: it needs drive=, the id of a -drive", site->id);
        return NULL;
    }
    if (kind == IDE_DISK && !drive->block->has_medium) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: drive '%s' has no file=", site->id, drive->id);
        return NULL;
    }
    if (!has_geometry && (wanted->cylinders || wanted->heads || wanted->sectors)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: a geometry is cyls=, heads= and secs= together",
                    site->id);
        return NULL;
    }
    ide_attach(site->controller, 2 * site->bus + site->unit,
               &(struct ide_drive_config){
                   .kind = kind,
                   .block = drive->block,
                   .cylinders = has_geometry ? (uint16_t)wanted->cylinders : drive->cylinders,
                   .heads = has_geometry ? (uint16_t)wanted->heads : drive->heads,
                   .sectors = has_geometry ? (uint16_t)wanted->sectors : drive->sectors,
                   .serial = wanted->serial ? wanted->serial : drive->serial,
               });
    return site->controller;
}

static void *hd_create(const struct device_site *site, const void *config, GError **error)
{
    return drive_create(site, config, IDE_DISK, error);
}

static void *cd_create(const struct device_site *site, const void *config, GError **error)
{
    return drive_create(site, config, IDE_CD, error);
}

static const struct device_class hd_class = {
    .name = "ide-hd",
    .help = "IDE disk",
    .bus = BUS_IDE,
    .properties = hd_properties,
    .config_size = sizeof(struct ide_drive_properties),
    .create = hd_create,
};
DEVICE_CLASS(hd_class);

static const struct device_class cd_class = {
    .name = "ide-cd",
    .help = "IDE CD-ROM drive",
    .bus = BUS_IDE,
    .properties = cd_properties,
    .config_size = sizeof(struct ide_drive_properties),
    .create = cd_create,
};
DEVICE_CLASS(cd_class);
