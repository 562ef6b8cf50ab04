/* What every device file ends in: a const descriptor.
 *
 * A device is a pointer-free `regs` struct plus wires. reset is RESET#; save/load copy the regs as a
 * versioned, named-field blob so that a snapshot survives added fields; dump is for humans.
 */
#pragma once

#include <glib.h>

#include "types.h"

struct device_ops {
    const char *name;
    void (*reset)(void *dev);
    void (*save)(void *dev, GByteArray *out);
    /* False when the bytes do not fit this version. */
    bool (*load)(void *dev, const uint8_t *bytes, size_t len);
    void (*dump)(void *dev, GString *out);
};
