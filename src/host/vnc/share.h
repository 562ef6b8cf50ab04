/* Between the monitor and the process that speaks with viewers: the picture in shared memory, messages on a socket. */
#pragma once

#include "types.h"

/* Its descriptors, from PROCESS_FD on. */
enum vnc_fd { VNC_CONTROL, VNC_PICTURE, VNC_LISTEN, VNC_LISTEN_WEBSOCKET, VNC_FDS };

/* As large as the largest card's memory shows, in 32 bits a pixel: rows of width pixels, 0x00RRGGBB. */
#define VNC_PIXELS_MAX (16u * 1024 * 1024)

#define VNC_VIEWERS_MAX 64u
#define VNC_TEXT_MAX    65536u

enum vnc_kind {
    /* to the process */
    VNC_SIZE,       /* a: width, b: height: the picture is another one */
    VNC_CHANGED,    /* a, b: left upper corner, c, d: width and height */
    VNC_PASSWORD,   /* text; a: there is one */
    VNC_EXPIRY,     /* a, b: low and high half of seconds since 1970 */
    VNC_POINTER_IS, /* a: it takes positions */
    VNC_CUT,        /* text, UTF-8: the guest's clipboard */
    VNC_DISCONNECT, /* all */
    VNC_SOUND,      /* a: frames per second; text: frames, two samples of 16 bits each; none: no more for a while */
    VNC_ENTER,      /* who has knocked may come in: what he will see is there */
    /* from the process */
    VNC_KNOCK,     /* somebody has come */
    VNC_STARTED,   /* a: well; else text says why not */
    VNC_CONNECTED, /* viewer; a: by a WebSocket; text: host:service, none: a Unix socket */
    VNC_READY,     /* viewer */
    VNC_GONE,      /* viewer */
    VNC_KEY,       /* viewer; a: down, b: the key's number (scan code set 1; bit 7: E0h), 0: none, c: its symbol */
    VNC_POINTER,   /* viewer; a: buttons, b, c: position, or (d) moves */
    VNC_PASTE,     /* viewer; text, UTF-8 */
    VNC_LISTENS,   /* viewer; a: it wants to hear */
    /* from a viewer's process to its parent */
    VNC_ALONE, /* it would like to be */
};

struct vnc_head {
    uint32_t kind, viewer, a, b, c, d;
};

struct vnc_message {
    struct vnc_head head;
    char text[VNC_TEXT_MAX + 1]; /* as long as the message is */
};

struct vnc_start {
    const char *title;
    int share; /* enum vnc_share */
    bool password, lossy, reverse, has_websocket;
};

/* Does not return. */
_Noreturn void vnc_process_main(const struct vnc_start *start);
