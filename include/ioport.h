/* The 64 Ki I/O ports. A device registers ranges; overlapping registration is our bug. */
#pragma once

#include "types.h"

struct io_ops {
    /* Widths the device itself handles, as a bit mask of 1, 2, 4; other widths are split into (or,
     * for a device that only knows wider ones, refused as) byte accesses, low address first. */
    unsigned widths;
    uint32_t (*read)(void *opaque, uint16_t port, unsigned size);
    void (*write)(void *opaque, uint16_t port, unsigned size, uint32_t value);
    bool uses_registers; /* calls ioport_registers() */
};

void ioport_register(uint16_t first, uint16_t count, const struct io_ops *ops, void *opaque, const char *name);
/* Nobody answers on any of these ports: for ranges that a guest places (PCI BARs). */
bool ioport_is_free(uint16_t first, uint16_t count);
void ioport_unregister(uint16_t first, uint16_t count);
/* Unclaimed ports read as all ones, writes to them are dropped (logged under -d io). Callers hold the
 * machine lock. size: 1, 2 or 4. */
uint32_t ioport_read(uint16_t port, unsigned size);
void ioport_write(uint16_t port, unsigned size, uint32_t value);
/* The registers of the processor whose instruction reads or writes a port just now, in the order of instructions'
 * encodings, for a port that is a call (VMware's); what IN returns is EAX's afterwards, whatever is written there.
 * NULL: there is no processor. */
enum { IO_EAX, IO_ECX, IO_EDX, IO_EBX, IO_ESI = 6, IO_EDI };
uint32_t *ioport_registers(void);
void ioport_set_registers(uint32_t *gpr);
bool ioport_uses_registers(uint16_t port);
void ioport_clear(void); /* for tests */
struct _GString;
void ioport_print(struct _GString *out); /* a line for each range */
