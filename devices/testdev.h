/* QEMU's pc-testdev: what the kvm-unit-tests use to try port and memory accesses and interrupt lines. */
#pragma once

#include "device.h"
#include "irq.h"

struct testdev;

/* irq: the 24 lines behind ports 2000h up. */
struct testdev *testdev_new(const struct irq irq[24]);
void testdev_free(struct testdev *testdev);
