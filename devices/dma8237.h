/* The AT's two 8237A DMA controllers with their page registers. */
#pragma once

#include "device.h"
#include "irq.h"

struct dma8237;

struct dma8237 *dma8237_new(void);
void dma8237_free(struct dma8237 *dma);

/* A device on channel (0 to 3 bytes, 5 to 7 words) moves up to len bytes, to memory or from it, as far as the
 * channel is programmed to let it: returns how many. *tc: the count ran out (and the device must stop).
 * Only where RAM may be written: between two guest instructions. */
uint32_t dma8237_move(struct dma8237 *dma, unsigned channel, uint8_t *buffer, uint32_t len, bool to_memory, bool *tc);
/* The device's request line, which the status register shows. */
void dma8237_set_dreq(struct dma8237 *dma, unsigned channel, bool level);
/* Pulsed when the guest has programmed something while channel's DREQ stands: moving may succeed now. */
void dma8237_set_hook(struct dma8237 *dma, unsigned channel, const struct irq *ready);

/* Called before the guest looks at the registers or changes them: a device that moves in time (sound) moves what is
 * due, so that counts are right. Not for moves to memory. fn NULL: nobody. */
void dma8237_set_sync(struct dma8237 *dma, unsigned channel, void (*fn)(void *opaque), void *opaque);

extern const struct device_class dma8237_class;
