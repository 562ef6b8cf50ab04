/* Port 92h (PS/2 system control A): fast A20 gate and fast reset. */
#pragma once

#include "device.h"
#include "irq.h"

struct port92;

/* a20: true = address line 20 passes. reset: pulse. */
struct port92 *port92_new(const struct irq *a20, const struct irq *reset);
void port92_free(struct port92 *port92);

extern const struct device_class port92_class;
