/* Packets of gdb's remote protocol as bytes: $body#sum, acknowledgements, the interrupt. */
#pragma once

#include <glib.h>

#include "types.h"

/* Bytes of a body, after unescaping. */
#define GDB_PACKET_MAX 0x4000u

enum gdb_packet_event {
    GDB_NOTHING,   /* more is to come */
    GDB_PACKET,    /* body[0 .. len) is one; a NUL follows it */
    GDB_BAD_SUM,   /* it must be sent again */
    GDB_TOO_LONG,  /* it came well, but nobody will ever take it */
    GDB_INTERRUPT, /* Ctrl-C between packets */
    GDB_ACK,
    GDB_NAK,
};

struct gdb_packet {
    enum { BETWEEN, BODY, ESCAPED, REPEATED, SUM_HIGH, SUM_LOW } state;
    uint8_t sum, told; /* as counted, as sent */
    bool bad, too_long;
    size_t len;
    uint8_t body[GDB_PACKET_MAX + 1];
};

/* Splitting in any way, junk between packets and a packet that breaks off before the next one are all right. */
enum gdb_packet_event gdb_packet_take(struct gdb_packet *packet, uint8_t byte);

/* Appends a body as a packet, escaped where it must be. */
void gdb_packet_frame(GString *out, const char *body, size_t len);
