/* PIIX3 IDE (82371SB function 1): two channels of two drives, bus-master DMA. */
#pragma once

#include "block.h"
#include "device.h"
#include "irq.h"
#include "pci.h"

enum ide_kind { IDE_NONE, IDE_DISK, IDE_CD };

struct ide_drive_config {
    enum ide_kind kind;
    struct block *block;                /* NULL only for IDE_NONE; a CD drive's may be without a medium */
    uint16_t cylinders, heads, sectors; /* of a disk, as IDENTIFY says by default */
    const char *serial;                 /* NULL: one by the drive's number */
};

struct ide_wiring {
    struct irq irq[2]; /* of the primary and the secondary channel */
    /* Pulse: the bus master wants to move data; ide_bus_granted() is to be called when that may be. */
    struct irq bus_request;
};

struct ide;

/* drive: primary master, primary slave, secondary master, secondary slave; NULL: ide_attach() follows. Plugs PCI
 * function 00:01.1. */
struct ide *ide_new(struct pci_bus *bus, const struct ide_wiring *wiring, const struct ide_drive_config drive[4]);
/* Drive n is there. Before the first reset. */
void ide_attach(struct ide *ide, unsigned n, const struct ide_drive_config *config);
/* All requests to its blocks have ended. */
void ide_free(struct ide *ide);

void ide_bus_granted(struct ide *ide);
/* The user changed what is in drive n, a CD drive. */
void ide_medium_changed(struct ide *ide, unsigned n);

/* What a drive of this size says of itself: 16 heads, 63 sectors, at most 16383 cylinders. */
void ide_default_geometry(uint64_t sectors, uint16_t *cylinders, uint16_t *heads, uint16_t *track_sectors);

extern const struct device_class ide_class;
