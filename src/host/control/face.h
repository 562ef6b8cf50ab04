/* The two faces of the command table, as a monitor (monitor.c) sees them: bytes from a client, answers to it. */
#pragma once

#include <glib.h>
#include <jansson.h>

#include "command.h"

/* One client's conversation. */
struct face;

struct face_ops {
    struct face *(*create)(struct command_context *context, void (*say)(void *client, const char *text, size_t len),
                           void *client, bool pretty);
    void (*destroy)(struct face *face);
    void (*opened)(struct face *face); /* greets */
    void (*received)(struct face *face, const uint8_t *bytes, size_t len);
    void (*closed)(struct face *face);
    void (*focus)(struct face *face, bool in); /* may be NULL */
};

extern const struct face_ops hmp_face, qmp_face;

/* What they say they are. */
#define CONTROL_QEMU_MAJOR 7
#define CONTROL_QEMU_MINOR 2
#define CONTROL_QEMU_MICRO 0
