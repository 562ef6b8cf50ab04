/* What a tablet, a mouse and a keyboard have in common (usb_hid.c), and the keyboard's keys (usb_hid_keys.c). Device
 * Class Definition for Human Interface Devices, 1.11. */
#pragma once

#include "input.h"
#include "usb_function.h"
#include "vclock.h"

#define HID_REPORT_MAX 8u
#define HID_MOVES      16u
#define HID_KEYS       256u /* a power of two */
#define HID_DOWN_MAX   16u

/* What happened to the pointer, not reported yet. */
struct hid_move {
    int32_t x, y; /* where it is; of a mouse: how far it moved */
    int32_t z;    /* wheel, away from the user */
    uint8_t buttons;
};

/* Saved. */
struct usb_hid_regs {
    bool is_polled;   /* somebody has asked for reports since it was configured */
    uint8_t protocol; /* 0 boot, 1 report */
    uint8_t idle;     /* 4 ms each; 0: reports only when something changes */
    bool is_due;      /* it is time for a report even so */
    int64_t reported; /* when that last was */
    uint8_t leds;
    /* pointer */
    uint8_t first, count;
    struct hid_move move[HID_MOVES]; /* a ring */
    struct hid_move told;            /* the last one reported */
    struct hid_move last;            /* the last one that was put in */
    /* keyboard */
    uint16_t key_first, key_count;
    uint8_t key[HID_KEYS];             /* a ring of usages */
    bool is_release[HID_KEYS];         /* of each */
    uint8_t is_down[32];               /* a bit each: as put in */
    uint8_t down[HID_DOWN_MAX], downs; /* as reported, in the order of pressing */
    uint8_t modifiers;
};

/* The report's bits from a usage of the keyboard page. 0: there is no such key. */
uint8_t hid_usage_of_scan(uint16_t scan);
