/* Floppy controller (82077AA in AT mode) with two drives. */
#pragma once

#include "block.h"
#include "device.h"
#include "dma8237.h"
#include "irq.h"

/* CMOS drive types; also what kind of drive an image makes. */
enum fdc_drive_type {
    FDC_NO_DRIVE = 0,
    FDC_360K = 1,
    FDC_1200K = 2,
    FDC_720K = 3,
    FDC_1440K = 4,
    FDC_2880K = 5,
};

struct fdc;

struct fdc_wiring {
    struct irq irq6;
    struct irq bus_request; /* pulse: fdc_bus_granted() is to be called when data may be moved */
    struct dma8237 *dma;    /* channel 2 */
};

/* The drive that takes this medium; without one, or for one of no known size, a 2.88M drive. */
enum fdc_drive_type fdc_type_of(const struct block *block);
/* False: larger than any floppy. */
bool fdc_fits(uint64_t bytes);

/* block[n] NULL: there is no drive n. */
struct fdc *fdc_new(const struct fdc_wiring *wiring, struct block *const block[2]);
/* Drive n is there, with this medium or none. Before the first reset. */
void fdc_attach(struct fdc *fdc, unsigned n, struct block *block);
void fdc_free(struct fdc *fdc); /* all requests have ended */
void fdc_bus_granted(struct fdc *fdc);
void fdc_medium_changed(struct fdc *fdc, unsigned n);

extern const struct device_class fdc_class;
