/* PIIX bus-master IDE: command, status and descriptor table of one channel.
 *
 * Intel 290550 (PIIX3), 2.7 "Bus master IDE"; Programming Interface for Bus Master IDE Controller, rev. 1.0.
 * A descriptor is {u32 address; u16 count, 0 = 64 KiB; u16 flags, bit 15 = last}.
 */
#include "ide_dma.h"

#include <string.h>

#include "log.h"
#include "mem.h"

#define CMD_START     0x01u
#define CMD_TO_MEMORY 0x08u

#define STS_ACTIVE    0x01u
#define STS_ERROR     0x02u
#define STS_INTERRUPT 0x04u
#define STS_CAPABLE   0x60u /* what the firmware says of the drives */

void ide_dma_reset(struct ide_dma_regs *dma)
{
    memset(dma, 0, sizeof(*dma));
}

bool ide_dma_is_started(const struct ide_dma_regs *dma)
{
    return (dma->command & CMD_START) && (dma->status & STS_ACTIVE);
}

static uint8_t read_byte(const struct ide_dma_regs *dma, unsigned offset)
{
    switch (offset) {
    case 0:
        return dma->command;
    case 2:
        return dma->status;
    case 4:
    case 5:
    case 6:
    case 7:
        return (uint8_t)(dma->table >> (8 * (offset - 4)));
    default:
        return 0xff;
    }
}

uint32_t ide_dma_read(const struct ide_dma_regs *dma, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size && offset + i < IDE_DMA_PORTS; i++)
        value |= (uint32_t)read_byte(dma, offset + i) << (8 * i);
    return value;
}

static bool write_command(struct ide_dma_regs *dma, uint8_t value)
{
    bool was_started = dma->command & CMD_START;
    dma->command = value & (CMD_START | CMD_TO_MEMORY);
    if (!(value & CMD_START)) {
        dma->status &= ~STS_ACTIVE; /* "aborts the transfer in progress; it cannot be resumed" */
        return false;
    }
    if (was_started)
        return false;
    dma->status |= STS_ACTIVE;
    dma->next = dma->table;
    dma->left = 0;
    dma->last = dma->exhausted = false;
    return true;
}

bool ide_dma_write(struct ide_dma_regs *dma, unsigned offset, unsigned size, uint32_t value)
{
    bool starts = false;
    for (unsigned i = 0; i < size && offset + i < IDE_DMA_PORTS; i++, value >>= 8) {
        unsigned at = offset + i;
        uint8_t byte = (uint8_t)value;
        if (at == 0) {
            starts = write_command(dma, byte);
        } else if (at == 2) {
            dma->status = (dma->status & ~(byte & (STS_ERROR | STS_INTERRUPT)) & ~STS_CAPABLE) | (byte & STS_CAPABLE);
        } else if (at >= 4) {
            unsigned shift = 8 * (at - 4);
            dma->table = (dma->table & ~(0xffu << shift)) | (uint32_t)byte << shift;
            dma->table &= ~3u;
        }
    }
    return starts;
}

/* Takes the next descriptor; false when there is none. */
static bool next_descriptor(struct ide_dma_regs *dma)
{
    uint32_t words[2];
    if (dma->last)
        return false;
    /* The table must not cross 64 KiB: the counter behind the pointer has 16 bits. */
    mem_read(dma->next, words, sizeof(words[0]));
    mem_read((dma->next & 0xffff0000u) | ((dma->next + 4) & 0xffff), words + 1, sizeof(words[1]));
    dma->next = (dma->next & 0xffff0000u) | ((dma->next + 8) & 0xffff);
    dma->address = words[0] & ~1u;
    dma->left = (words[1] & 0xfffe) ? words[1] & 0xfffe : 0x10000;
    dma->last = words[1] >> 31;
    return true;
}

#define REGISTERS_AT_ONCE 16

uint32_t ide_dma_move(struct ide_dma_regs *dma, uint8_t *buffer, uint32_t len, bool to_memory)
{
    uint32_t moved = 0;
    for (unsigned others = 0; moved < len;) {
        if (dma->left == 0 && !next_descriptor(dma)) {
            dma->exhausted = true;
            dma->status &= ~STS_ACTIVE; /* active and interrupt both clear: the descriptors were too short */
            log_guest("ide: bus master descriptors end after %u of %u bytes", moved, len);
            break;
        }
        /* Registers of devices may take their time: a few at a time. */
        if (!mem_ptr(dma->address) && ++others > REGISTERS_AT_ONCE)
            break;
        uint32_t piece = dma->left < len - moved ? dma->left : len - moved;
        if (piece > 4 * GiB - dma->address) /* its address has 32 bits */
            piece = (uint32_t)(4 * GiB - dma->address);
        if (to_memory)
            mem_write(dma->address, buffer + moved, piece);
        else
            mem_read(dma->address, buffer + moved, piece);
        dma->address += piece;
        dma->left -= piece;
        moved += piece;
    }
    return moved;
}

void ide_dma_end(struct ide_dma_regs *dma)
{
    /* With descriptors left over the master stays active, and the interrupt says that the drive is done. */
    if (dma->left == 0 && dma->last)
        dma->status &= ~STS_ACTIVE;
}

void ide_dma_interrupt(struct ide_dma_regs *dma)
{
    dma->status |= STS_INTERRUPT;
}
