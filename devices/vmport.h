/* VMware's backdoor: an IN from port 5658h with 564D5868h in EAX is a call, whose number is in CX. */
#pragma once

#include "types.h"

#define VMPORT_MAGIC 0x564d5868u

struct vmport;

/* gpr: the caller's registers, in the order of instructions' encodings (ioport.h), to read and to change. The value is
 * EAX's. Machine lock, on the processor's thread. */
typedef uint32_t vmport_fn(void *opaque, uint32_t *gpr);
/* While the board is made; it is service "vmport". A number is added once. */
void vmport_add(struct vmport *vmport, uint16_t number, vmport_fn *fn, void *opaque);
