/* Parallel port with a printer that takes everything. */
#pragma once

#include "backend.h"
#include "device.h"
#include "irq.h"

struct lpt;

/* base: 378h and so on; three ports. backend: where the printed bytes go. */
struct lpt *lpt_new(uint16_t base, const struct irq *irq, struct chardev *backend);
void lpt_free(struct lpt *lpt);

extern const struct device_class lpt_class;
