/* Between registry.c and registry_print.c. */
#pragma once

#include "device.h"

unsigned device_class_count(void);
const struct device_class *device_class_at(unsigned i);
