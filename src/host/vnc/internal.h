/* What the files of the viewers' process share. */
#pragma once

#include <glib.h>

#include "load.h"
#include "share.h"

struct viewer {
    uint32_t id;
    int64_t since; /* monotonic time */
    bool is_ready;
    bool takes_moves; /* it understands that the guest's pointer takes moves, not positions */
    int told_positions;
};

static inline struct viewer *viewer_of(rfbClientPtr client)
{
    return client->clientData;
}

/* To the monitor; any thread. text may be NULL. */
void vnc_tell(enum vnc_kind kind, uint32_t viewer, uint32_t a, uint32_t b, uint32_t c, uint32_t d, const char *text,
              size_t len);
bool vnc_takes_positions(void);

/* qemu.c */
extern rfbProtocolExtension vnc_qemu_extension;
/* Tells what the guest's pointer is, if that is news. The viewer's own thread. */
void vnc_qemu_pointer(rfbClientPtr client);
