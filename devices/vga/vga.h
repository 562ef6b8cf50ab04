/* VGA with the Bochs display interface (DISPI), as a PCI card: 1234:1111, as QEMU's "std" card.
 *
 * IBM PS/2 Hardware Technical Reference, Video Subsystem (1992); Bochs VBE DISPI interface B0C5h.
 */
#pragma once

#include "device.h"
#include "display.h"
#include "devices/pci.h"

#define VGA_DEVFN  PCI_DEVFN(2, 0)
#define VGA_MEMORY (16 * MiB)

struct vga;

/* rom: the video BIOS behind the expansion ROM BAR; may be NULL. pci may be NULL: an ISA card without the
 * linear frame buffer. NULL with *error set when the host has no memory. */
struct vga *vga_new(struct pci_bus *pci, uint8_t devfn, const uint8_t *rom, uint32_t rom_size, GError **error);
void vga_free(struct vga *vga);
/* For the host side; valid as long as the card. */
const struct display *vga_display(struct vga *vga);

/* Cirrus Logic CL-GD5446: 1013:00B8. rom may be NULL. */
struct cirrus;
struct board_rom;
struct cirrus *cirrus_new(struct pci_bus *pci, uint8_t devfn, const struct board_rom *rom, GError **error);
void cirrus_free(struct cirrus *cirrus);
const struct display *cirrus_display(struct cirrus *cirrus);

/* VMware SVGA II: 15AD:0405; size of its frame buffer, a power of two. rom may be NULL. */
struct svga;
struct svga *svga_new(struct pci_bus *pci, uint8_t devfn, uint32_t size, const struct board_rom *rom, GError **error);
void svga_free(struct svga *svga);
const struct display *svga_display(struct svga *svga);

extern const struct device_class vga_class, cirrus_class, svga_class;
