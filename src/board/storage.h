/* Drives, controllers and what CMOS RAM says of them, put together from the command line. */
#pragma once

#include "devices/fdc.h"
#include "devices/ide.h"
#include "devices/pci.h"
#include "devices/rtc.h"
#include "drives.h"

struct storage_wiring {
    struct irq ide_irq[2], fdc_irq;
    struct irq bus_request; /* storage_bus_granted() is to be called between two guest instructions */
};

struct storage {
    struct ide *ide;
    struct dma8237 *dma;
    struct fdc *fdc;
    struct rtc *rtc;
    char boot_order[8];
};

bool storage_build(struct storage *storage, const struct drive_options *drives, struct pci_bus *pci, struct rtc *rtc,
                   const struct storage_wiring *wiring, GError **error);
/* vCPU thread, machine lock held. */
void storage_bus_granted(struct storage *storage);
/* What -boot once= said counts until the first reset after power-on. */
void storage_end_boot_once(struct storage *storage);
/* Carries out what the guest has asked for, and closes all images. The machine stands still; the lock is not
 * held. Also after a storage_build() that failed. */
void storage_close(struct storage *storage);
void storage_free(struct storage *storage); /* after storage_close() */
