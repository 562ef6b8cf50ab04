/* See gdb_packet.h. Manual of gdb, "Overview" of the remote protocol. */
#include "gdb_packet.h"

#define INTERRUPT 0x03
#define ESCAPE    '}'

static void body_add(struct gdb_packet *packet, uint8_t byte)
{
    if (packet->len < GDB_PACKET_MAX)
        packet->body[packet->len++] = byte;
    else
        packet->too_long = true;
}

/* "0* " is four zeros: the character after the star is the number of repetitions plus 29. */
static void body_repeat(struct gdb_packet *packet, uint8_t byte)
{
    if (byte < 29 || packet->len == 0) {
        packet->bad = true;
        return;
    }
    for (unsigned i = 29; i < byte; i++)
        body_add(packet, packet->body[packet->len - 1]);
}

static enum gdb_packet_event take_between(struct gdb_packet *packet, uint8_t byte)
{
    switch (byte) {
    case '$':
        packet->state = BODY;
        packet->sum = 0;
        packet->bad = packet->too_long = false;
        packet->len = 0;
        return GDB_NOTHING;
    case '+':
        return GDB_ACK;
    case '-':
        return GDB_NAK;
    case INTERRUPT:
        return GDB_INTERRUPT;
    default:
        return GDB_NOTHING;
    }
}

static enum gdb_packet_event packet_end(struct gdb_packet *packet)
{
    packet->state = BETWEEN;
    packet->body[packet->len] = 0;
    if (packet->bad || packet->told != packet->sum)
        return GDB_BAD_SUM;
    return packet->too_long ? GDB_TOO_LONG : GDB_PACKET;
}

enum gdb_packet_event gdb_packet_take(struct gdb_packet *packet, uint8_t byte)
{
    if (packet->state == BETWEEN)
        return take_between(packet, byte);
    if (byte == '$') { /* never part of one: the last one has broken off */
        packet->state = BETWEEN;
        return take_between(packet, byte);
    }
    switch (packet->state) {
    case SUM_HIGH:
    case SUM_LOW:
        packet->bad |= !g_ascii_isxdigit(byte);
        packet->told = (uint8_t)(packet->told << 4 | (g_ascii_xdigit_value((gchar)byte) & 15));
        if (packet->state == SUM_LOW)
            return packet_end(packet);
        packet->state = SUM_LOW;
        return GDB_NOTHING;
    default:
        break;
    }
    if (byte == '#') {
        packet->bad |= packet->state != BODY;
        packet->state = SUM_HIGH;
        return GDB_NOTHING;
    }
    packet->sum += byte;
    if (packet->state == ESCAPED) {
        packet->state = BODY;
        body_add(packet, byte ^ 0x20);
    } else if (packet->state == REPEATED) {
        packet->state = BODY;
        body_repeat(packet, byte);
    } else if (byte == ESCAPE) {
        packet->state = ESCAPED;
    } else if (byte == '*') {
        packet->state = REPEATED;
    } else {
        body_add(packet, byte);
    }
    return GDB_NOTHING;
}

void gdb_packet_frame(GString *out, const char *body, size_t len)
{
    uint8_t sum = 0;
    g_string_append_c(out, '$');
    for (size_t i = 0; i < len; i++) {
        char byte = body[i];
        if (byte == '$' || byte == '#' || byte == '*' || byte == ESCAPE) {
            g_string_append_c(out, ESCAPE);
            sum += ESCAPE;
            byte ^= 0x20;
        }
        g_string_append_c(out, byte);
        sum += (uint8_t)byte;
    }
    g_string_append_printf(out, "#%02x", sum);
}
