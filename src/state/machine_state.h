/* The whole machine as bytes, and back.
 *
 * A stream: "RNGRSTAT", u32 version, then sections: u8 name length, name, u32 version, u64 size, bytes. In this order:
 *   machine        what it is made of, as text: it must be the same where it is loaded
 *   clock          time, and the date at time 0
 *   device/ID      each device's pieces (device.h)
 *   board          what the machine remembers beside its chips
 *   ram            main memory without its zero pages
 *   shadow         what lies under or over the ROMs (mem.h)
 *   cpu            last, as devices drive some of its pins
 */
#pragma once

#include <glib.h>

#include "board/machine.h"

/* Makes the machine stand still meanwhile. Main thread. */
void machine_save(struct machine *machine, GByteArray *out);
/* A machine of the same description, built and not yet run, or standing still. False with a sentence in *error; then it
 * is neither the old nor the new one and must be reset. Main thread. */
bool machine_load(struct machine *machine, const uint8_t *bytes, size_t len, GError **error);
