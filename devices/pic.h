/* Two cascaded 8259A interrupt controllers with the PIIX's edge/level control registers. */
#pragma once

#include "device.h"
#include "irq.h"

struct pic;

/* intr: the pair's INT output, the CPU's INTR pin. Registers ports 20h, 21h, A0h, A1h, 4D0h, 4D1h. */
struct pic *pic_new(const struct irq *intr);
void pic_free(struct pic *pic);

/* The irq.h function of the inputs. Lines 0 to 15 are the ISA wires, 16 to 31 the same pins as driven by
 * PCI interrupt routing; a pin is the OR of its two wires. */
#define PIC_LINE_PCI 16
void pic_set_line(void *opaque, int line, bool level);

/* The CPU's INTA cycles: returns the vector. With nothing pending it is the spurious one (IR7). */
uint8_t pic_ack(struct pic *pic);
bool pic_intr(const struct pic *pic);

/* IRQ irq is requested and not yet acknowledged. */
bool pic_is_requested(const struct pic *pic, int irq);
bool pic_is_masked(const struct pic *pic, int irq);

/* Hears (as a pulse) whenever IRQ irq leaves service: how a tick source learns that the guest took
 * its tick and can be given one it missed. */
void pic_set_eoi_hook(struct pic *pic, int irq, const struct irq *hook);

extern const struct device_class pic_class;
