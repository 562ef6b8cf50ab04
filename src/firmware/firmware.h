/* What a BIOS would have done to the board before an operating system starts: for `-kernel` with a `-bios` that is not
 * ours and would not ask for the kernel. */
#pragma once

#include "devices/pci.h"

/* Through the same ports and registers as a BIOS. After a reset, with the machine lock held. */
void firmware_init_board(struct pci_bus *pci);
/* The screen in 80x25 text, as the video BIOS leaves it, and the BIOS data area says so. rom: ours. */
void firmware_init_vga(const uint8_t *rom);
