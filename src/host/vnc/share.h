/* Between the monitor and the process that speaks with viewers: the picture in shared memory, messages on a socket. */
#pragma once

#include <stddef.h>

#include "display.h"

/* Its descriptors, from PROCESS_FD on. */
enum vnc_fd { VNC_CONTROL, VNC_PICTURE, VNC_LISTEN, VNC_LISTEN_WEBSOCKET, VNC_FDS };

/* As large as the largest card's memory shows, in 32 bits a pixel: rows of width pixels, 0x00RRGGBB. */
#define VNC_PIXELS_MAX (16u * 1024 * 1024)
/* Two of them: the picture with a card's own pointer in it; and without it, for viewers that show it themselves. */
#define VNC_PICTURES 2u
#define VNC_MEMORY   (VNC_PICTURES * VNC_PIXELS_MAX * (uint32_t)sizeof(uint32_t))
enum vnc_picture { VNC_ALL_PICTURES, VNC_PAINTED, VNC_BARE };

#define VNC_VIEWERS_MAX 64u
#define VNC_TEXT_MAX    65536u

enum vnc_kind {
    /* to the process */
    VNC_SIZE,       /* a: width, b: height: the picture is another one */
    VNC_CHANGED,    /* viewer: enum vnc_picture; a, b: left upper corner, c, d: width and height */
    VNC_SHAPE,      /* a: viewers that can shall show the pointer; text: struct vnc_shape, as many pixels as it has */
    VNC_PLACE,      /* viewer: who moved the pointer last; a, b: where it is */
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

struct vnc_shape {
    uint32_t width, height; /* 0: the guest shows none */
    uint32_t hot_x, hot_y;
    uint32_t pixels[DISPLAY_CURSOR_MAX * DISPLAY_CURSOR_MAX]; /* display.h's */
};
#define VNC_SHAPE_BYTES(shape) \
    (offsetof(struct vnc_shape, pixels) + (shape)->width * (shape)->height * sizeof(uint32_t))

struct vnc_start {
    const char *title;
    int share; /* enum vnc_share */
    bool password, lossy, reverse, has_websocket;
};

/* Does not return. */
_Noreturn void vnc_process_main(const struct vnc_start *start);
