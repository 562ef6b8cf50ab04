/* The bus that the stand-in for libusb has: a file that the test and all processes with the library share. It is there
 * when the library is loaded; tests/boot/usb_host.py knows the layout, too.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define FAKE_ENV     "RINGER_FAKE_USB"
#define FAKE_DEVICES 2
#define FAKE_DISK    (4u << 20)
#define FAKE_REPORTS 64

enum { FAKE_STICK, FAKE_MOUSE };

/* What goes wrong. */
enum {
    FAKE_DIES = 1,    /* the library aborts when a transfer is handed to it */
    FAKE_HANGS = 2,   /* it never comes back from there */
    FAKE_STALLS = 4,  /* bulk endpoints are halted */
    FAKE_BUSY = 8,    /* interfaces are somebody else's */
    FAKE_DENIED = 16, /* devices may not be opened */
    FAKE_CHAOS = 32,  /* everything at random */
    FAKE_MUTE = 64,   /* bulk endpoints never answer */
    FAKE_KEEPS = 128, /* transfers that are given up are never returned */
    FAKE_SHORT = 256, /* a third of what a bulk IN transfer could bring comes, and the pipe halts */
};

struct fake_bus {
    _Atomic uint32_t present;               /* 1 << FAKE_* */
    _Atomic uint32_t plugged[FAKE_DEVICES]; /* how often: another address each time */
    _Atomic uint32_t wrong;
    _Atomic uint32_t seed;
    _Atomic uint32_t opened, closed, claimed, released, detached, attached, resets, halts_cleared, transfers, cancelled;
    _Atomic uint32_t longest; /* transfer in bytes */
    _Atomic uint32_t reports_put, reports_taken;
    uint8_t report[FAKE_REPORTS][4];
    uint8_t disk[FAKE_DISK];
};
