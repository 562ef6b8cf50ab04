/* A debugger by gdb's remote serial protocol (manual of gdb, appendix E), with QEMU's packets for physical memory and
 * single steps. README.md says what is different from QEMU.
 */
#pragma once

#include <glib.h>

#include "backend.h"
#include "debug.h"

/* All are called on the main thread without the lock. None may free the stub. */
struct gdb_hooks {
    void (*command)(void *opaque, const char *line, GString *out); /* "monitor ..." */
    void (*quit)(void *opaque);                                    /* the debugger kills the machine */
    void (*reset)(void *opaque);
    void *opaque;
};

struct gdb_stub;

/* Main thread. The machine is stopped when a debugger connects, and goes on when it leaves. hooks is copied, target
 * stays the caller's. */
struct gdb_stub *gdb_stub_new(struct chardev *chardev, const struct debug_target *target, const struct gdb_hooks *hooks,
                              GError **error);
/* The program ends: a debugger that is there hears of it, with the program's status. */
void gdb_stub_exited(struct gdb_stub *stub, int status);
/* NULL is all right. */
void gdb_stub_free(struct gdb_stub *stub);
