/* i440FX (82441FX PMC): the host bridge at 00:00.0, which has the PCI bus. */
#pragma once

#include "device.h"
#include "mem.h"
#include "pci.h"

struct i440fx;

/* pam_changed: the guest changed what [base, base + size) is; may be NULL. */
struct i440fx *i440fx_new(void (*pam_changed)(void *opaque, gpa_t base, uint32_t size, bool readable, bool writable),
                          void *opaque);
void i440fx_free(struct i440fx *host);
struct pci_bus *i440fx_bus(struct i440fx *host);

/* Save and load cover the config space and the pin of each device on the bus. */
extern const struct device_class i440fx_class;
