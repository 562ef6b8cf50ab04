/* 8254 interval timer and the PC's port 61h around it. */
#pragma once

#include "device.h"
#include "irq.h"

#define PIT_HZ 1193182

struct pit;

/* irq0: rising edges of channel 0's OUT. Each is driven as a fall at once followed by a rise, so that
 * the wire is otherwise high and a request is not withdrawn by the square wave's low half. */
struct pit *pit_new(const struct irq *irq0);
void pit_free(struct pit *pit);

/* Tells whether the previous tick is still waiting to be acknowledged: then the next one is kept
 * for later instead of being lost in the same request. */
void pit_set_requested_hook(struct pit *pit, bool (*requested)(void *opaque), void *opaque);
/* Whose time it is that passes; see debt.h. */
void pit_set_cpu_time(struct pit *pit, const struct board_cpu_time *cpu);
/* The guest ended the service of IRQ 0: an irq.h function for pic_set_eoi_hook(). */
void pit_tick_taken(void *opaque, int line, bool level);

/* What drives the speaker: OUT2 where port 61h's bit 1 lets it through. changing: is called before it may get another
 * course, changed: after that. Both NULL: nobody hears it. */
void pit_set_speaker(struct pit *pit, void (*changing)(void *opaque), void (*changed)(void *opaque), void *opaque);
int64_t pit_clk_now(void);
/* In how many of the CLKs from `from` up to, and without, `to` it is high: a time in which its course did not change.
 */
uint32_t pit_speaker_high(struct pit *pit, int64_t from, int64_t to);
/* It will go up again by itself. */
bool pit_speaker_is_live(const struct pit *pit);

extern const struct device_class pit_class;
