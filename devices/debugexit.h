/* Ports for test programs: end the process with a status, and a plain debug console. */
#pragma once

#include "backend.h"
#include "device.h"

struct debugexit;

/* `-device isa-debug-exit`: a write of v to [base, base + count) ends the process with (v << 1) | 1. */
struct debugexit *debugexit_new(uint16_t base, uint16_t count, void (*done)(void *opaque, int status), void *opaque);
void debugexit_free(struct debugexit *debugexit);

struct debugcon;

/* `-debugcon`: bytes written to the port go to the back; reads return E9h, which is how it is probed. */
struct debugcon *debugcon_new(uint16_t port, struct chardev *backend);
void debugcon_free(struct debugcon *debugcon);
