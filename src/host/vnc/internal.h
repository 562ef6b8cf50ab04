/* What the files of the viewers' processes share. */
#pragma once

#include <glib.h>

#include "load.h"
#include "share.h"

#define VNC_PASSWORD_MAX 8 /* characters that count */

/* What is so for all viewers; each has a copy, as it was when it came, and hears of changes. */
struct vnc_house {
    const struct vnc_start *start;
    char *picture;
    uint64_t memory; /* that the parent has of its own (RLIMIT_DATA counts what the monitor has reserved, too) */
    uint32_t width, height;
    bool takes_positions, has_password;
    bool is_apart; /* the picture without the guest's pointer is kept, too */
    struct vnc_shape shape;
    uint32_t place[2]; /* of the pointer */
    char password[VNC_PASSWORD_MAX + 1];
    int64_t expires; /* seconds since 1970 */
};
/* Password, expiry, kind of pointer and its shape and place, size. */
void vnc_house_obey(struct vnc_house *house, const struct vnc_message *message);

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

/* To the monitor. text may be NULL. */
void vnc_tell(enum vnc_kind kind, uint32_t viewer, uint32_t a, uint32_t b, uint32_t c, uint32_t d, const char *text,
              size_t len);
/* From a viewer's process to its parent. */
void vnc_tell_parent(int orders, enum vnc_kind kind);
bool vnc_takes_positions(void);
struct vnc_house *vnc_house(void);

/* shape.c */
void vnc_shape_begin(rfbScreenInfoPtr screen);
/* The picture that the viewer sees now; and whether that is one of these. */
char *vnc_shape_picture(void);
bool vnc_shape_sees(enum vnc_picture which);
/* VNC_SHAPE; VNC_PLACE; the viewer asks for a picture. */
void vnc_shape_obey(rfbClientPtr client, const struct vnc_message *message);
void vnc_shape_place(rfbClientPtr client, const struct vnc_message *message);
void vnc_shape_look(rfbClientPtr client);

/* viewer.c: a process's whole life. fd: its connection. orders: its end of what the parent says. */
_Noreturn void vnc_viewer_main(struct vnc_house *house, uint32_t id, int fd, int orders, bool is_websocket);

/* sound.c */
struct vnc_sound_format {
    uint8_t sample, channels; /* QEMU's numbers: 0 U8, 1 S8, 2 U16, 3 S16, 4 U32, 5 S32 */
    uint32_t frequency;
};
/* False: there is no such format. */
bool vnc_sound_format_set(const struct vnc_sound_format *format);
void vnc_sound_listen(bool on);
/* Frames of the monitor's for this viewer; count 0: no more for a while. */
void vnc_sound_play(rfbClientPtr client, const int16_t *frames, unsigned count, uint32_t frequency);

/* qemu.c */
#define MOVE_ZERO 0x7fff /* no move, where a position would be */
extern rfbProtocolExtension vnc_qemu_extension;
/* Tells what the guest's pointer is, if that is news. */
void vnc_qemu_pointer(rfbClientPtr client);
