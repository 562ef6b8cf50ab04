/* MC146818A real-time clock and the 128 bytes of CMOS RAM behind ports 70h/71h. */
#pragma once

#include "device.h"
#include "irq.h"

struct rtc;

/* irq8: the chip's IRQ output. */
struct rtc *rtc_new(const struct irq *irq8);
void rtc_free(struct rtc *rtc);

/* CMOS RAM as the board's maker or the BIOS setup would fill it; survives a reset. index 0x0e..0x7f. */
void rtc_set_cmos(struct rtc *rtc, uint8_t index, uint8_t value);
uint8_t rtc_get_cmos(const struct rtc *rtc, uint8_t index);
/* Fills in the standard bytes that describe the RAM below and above 4 GiB, and the checksum. */
void rtc_set_memory_size(struct rtc *rtc, uint64_t below_4g, uint64_t above_4g);

/* Whose time it is that passes; see debt.h. */
void rtc_set_cpu_time(struct rtc *rtc, const struct board_cpu_time *cpu);
/* The guest ended the service of IRQ 8 (a periodic tick it missed may follow): for pic_set_eoi_hook(). */
void rtc_tick_taken(void *opaque, int line, bool level);

extern const struct device_class rtc_class;
