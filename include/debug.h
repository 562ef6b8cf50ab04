/* What a debugger asks of the machine, as the host side (gdb stub) sees it: no engine, no thread.
 *
 * All calls are made on the main thread without the machine lock. Unless said otherwise the machine stands: everything
 * of the processor is in struct cpu. Addresses of points are guest linear addresses, whatever the mode.
 */
#pragma once

#include <glib.h>

#include "cpu.h"
#include "types.h"

/* As the packets Z0 to Z4 of gdb's remote protocol number them. Software and hardware breakpoints differ in nothing:
 * guest memory is never changed for one, and there is no limit of four. */
enum debug_point {
    DEBUG_BREAK_SOFTWARE,
    DEBUG_BREAK_HARDWARE,
    DEBUG_WATCH_WRITE,
    DEBUG_WATCH_READ,
    DEBUG_WATCH_ACCESS,
};

enum debug_why {
    DEBUG_ASKED, /* interrupted by the user, or somebody else has stopped the machine */
    DEBUG_BREAK, /* the instruction at CS:EIP has a breakpoint and was not executed */
    DEBUG_WATCH, /* the instruction before CS:EIP has touched a watched byte */
    DEBUG_STEP,  /* one instruction was executed (or one iteration of a REP) */
    DEBUG_OFF,   /* the guest has switched the machine off, or it cannot go on */
};

struct debug_stop {
    enum debug_why why;
    enum debug_point point; /* DEBUG_BREAK, DEBUG_WATCH: the kind that was hit */
    gla_t address;          /* DEBUG_WATCH: the first watched byte that was touched */
};

#define DEBUG_STEP_NOIRQ   0x1u /* no interrupt is taken during the step */
#define DEBUG_STEP_NOTIMER 0x2u /* the guest's clocks stand meanwhile */

enum debug_register {
    DEBUG_GPR, /* number: 0 EAX to 7 EDI */
    DEBUG_EIP, /* offset in CS */
    DEBUG_EFLAGS,
    DEBUG_SEG,      /* number: SEG_*: the selector; its descriptor is loaded as a MOV would (real mode: base too) */
    DEBUG_SEG_BASE, /* number: SEG_*: the hidden base alone */
    DEBUG_CR,       /* number: 0, 2, 3, 4, 8 (TPR; nothing happens) */
    DEBUG_EFER,
    DEBUG_ST, /* number: 0 to 7, ten bytes, ST(n) */
    DEBUG_FCTRL,
    DEBUG_FSTAT,
    DEBUG_FTAG /* the full tag word */,
    DEBUG_FISEG,
    DEBUG_FIOFF,
    DEBUG_FOSEG,
    DEBUG_FOOFF,
    DEBUG_FOP,
    DEBUG_XMM, /* number: 0 to 7, 16 bytes */
    DEBUG_MXCSR,
};

/* How the debugger hears. Called on the main thread. */
struct debug_client {
    /* The machine stands now, and did not before. */
    void (*stopped)(void *opaque, const struct debug_stop *stop);
    /* It runs now, and the debugger has not asked for it (the user said cont). */
    void (*running)(void *opaque);
    void *opaque;
};

struct debug_target {
    void *opaque;
    /* One debugger at a time. False with a sentence when there is one already, or this engine cannot be debugged. The
     * machine is stopped at once (reason: debugger). May be called while it runs. */
    bool (*attach)(void *opaque, const struct debug_client *client, GError **error);
    /* All points are removed; the machine goes on if the debugger alone has held it. */
    void (*detach)(void *opaque);
    /* Stops it: stopped() is called when it stands (at once, within this call). May be called while it runs. */
    void (*stop)(void *opaque);
    bool (*is_running)(void *opaque);
    /* Lets it go on: at a breakpoint's address that instruction is executed first. */
    void (*run)(void *opaque);
    /* One instruction; stopped() follows. flags: DEBUG_STEP_*. */
    void (*step)(void *opaque, unsigned flags);
    /* The processor, to be read. The FPU's state is there as well. */
    const struct cpu *(*cpu)(void *opaque);
    /* value: little endian, len bytes. False: there is no such register, or it cannot have this value. */
    bool (*write_register)(void *opaque, enum debug_register reg, unsigned number, const uint8_t *value, size_t len);
    /* Without side effects: accessed bits, devices and #PF are left alone; pages of the supervisor may be read and
     * written, read-only ones too, ROM not. False: some byte is not mapped, or is a device's. */
    bool (*read_memory)(void *opaque, bool physical, uint64_t address, uint8_t *bytes, size_t len);
    bool (*write_memory)(void *opaque, bool physical, uint64_t address, const uint8_t *bytes, size_t len);
    /* len: 1 to 4096 bytes of a watchpoint. False: no such point can be had (its budget is used up). Adding the same
     * one twice is one. While it runs, too. */
    bool (*point_add)(void *opaque, enum debug_point kind, gla_t address, uint32_t len);
    bool (*point_remove)(void *opaque, enum debug_point kind, gla_t address, uint32_t len);
};
