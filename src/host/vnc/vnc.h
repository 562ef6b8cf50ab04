/* The guest's screen for viewers far away (RFB 3.8, "VNC"). What speaks with them is a process of its own, whose fence
 * leaves it nothing but their sockets: see README.md.
 */
#pragma once

#include <glib.h>

#include "audio.h"
#include "display.h"
#include "host/address.h"

enum vnc_share {
    VNC_ALLOW_EXCLUSIVE, /* a viewer may ask that all others go */
    VNC_FORCE_SHARED,    /* one that asks for that goes itself */
    VNC_IGNORE,          /* nobody goes */
};

struct vnc_options {
    struct address address, websocket;
    bool has_websocket;
    bool reverse;  /* calls the viewer, at address */
    bool password; /* nobody comes in before one is set */
    bool lossy;    /* JPEG, where the viewer wants it */
    enum vnc_share share;
    struct audiodev *audiodev; /* what viewers hear; NULL: nothing. Closed after vnc_close(). */
};

struct vnc_viewer {
    uint32_t id;
    const char *host, *service; /* as text; "" where there is none: a Unix socket */
    bool is_unix, is_ipv6, is_websocket;
    bool is_ready; /* it has begun to look */
};

/* News of viewers; main thread, without the machine lock. */
struct vnc_hooks {
    void (*connected)(void *opaque, const struct vnc_viewer *viewer);
    void (*ready)(void *opaque, const struct vnc_viewer *viewer);
    void (*gone)(void *opaque, const struct vnc_viewer *viewer);
    void *opaque;
};

/* Before there are threads. False with a sentence. title: what viewers are told the machine's name is. */
bool vnc_open(const struct display *display, const struct vnc_options *options, const char *title, GError **error);
void vnc_close(void); /* idempotent */
void vnc_set_hooks(const struct vnc_hooks *hooks);

bool vnc_is_open(void);
const struct vnc_options *vnc_options_now(void);
/* Where it listens, "host:port" or a path; false: nowhere (any more). */
bool vnc_listens_at(bool websocket, GString *text);
/* Viewer i, false behind the last. */
bool vnc_viewer_look(unsigned i, struct vnc_viewer *viewer);

/* NULL: none, nobody comes in. Of more than 8 bytes the protocol uses the first 8. False: this server asks for none. */
bool vnc_set_password(const char *password, GError **error);
/* Seconds since 1970; INT64_MAX: never. */
bool vnc_expire_password(int64_t when, GError **error);
void vnc_disconnect_all(void);
