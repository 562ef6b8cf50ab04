/* One channel of the PIIX bus master: where the data goes. For ide.c. */
#pragma once

#include "types.h"

#define IDE_DMA_PORTS 8

struct ide_dma_regs {
    uint8_t command, status;
    uint32_t table;   /* descriptor table pointer, as written */
    uint32_t next;    /* the next descriptor */
    uint32_t address; /* the rest of the present one */
    uint32_t left;
    bool last, exhausted;
};

void ide_dma_reset(struct ide_dma_regs *dma);
uint32_t ide_dma_read(const struct ide_dma_regs *dma, unsigned offset, unsigned size);
/* True when the guest has just started the master. */
bool ide_dma_write(struct ide_dma_regs *dma, unsigned offset, unsigned size, uint32_t value);
bool ide_dma_is_started(const struct ide_dma_regs *dma);
/* Moves up to len bytes to or from guest memory; less when the descriptors end (`exhausted`), or when the rest is
 * better moved later, as it goes to registers. */
uint32_t ide_dma_move(struct ide_dma_regs *dma, uint8_t *buffer, uint32_t len, bool to_memory);
/* The drive's command is over, and wanted no more than was moved. */
void ide_dma_end(struct ide_dma_regs *dma);
/* The channel's interrupt rose. */
void ide_dma_interrupt(struct ide_dma_regs *dma);
