/* What QEMU added to RFB, and other viewers understand since: keys by their place on the keyboard, pointers that take
 * moves, sound. "The RFB Protocol" (rfbproto.rst), 7.6.4, 7.8.14, 7.8.15.
 */
#include <arpa/inet.h>
#include <string.h>

#include "internal.h"

#define POINTER_TYPE   (-257)
#define EXTENDED_KEY   (-258)
#define AUDIO          (-259)
#define CLIENT_MESSAGE 255
#define MESSAGE_KEY    0
#define MESSAGE_AUDIO  1

/* A rectangle without pixels, which says that we understand encoding; x: what it has to say. */
static void pseudo_rectangle(rfbClientPtr client, int encoding, uint16_t x)
{
    struct {
        uint8_t type, pad;
        uint16_t count, x, y, width, height;
        int32_t encoding;
    } __attribute__((packed)) update = {.count = htons(1),
                                        .x = htons(x),
                                        .width = htons((uint16_t)client->screen->width),
                                        .height = htons((uint16_t)client->screen->height),
                                        .encoding = (int32_t)htonl((uint32_t)encoding)};
    pthread_mutex_lock(&client->sendMutex);
    vnc_rfb.rfbWriteExact_(client, (const char *)&update, sizeof(update));
    pthread_mutex_unlock(&client->sendMutex);
}

void vnc_qemu_pointer(rfbClientPtr client)
{
    struct viewer *viewer = viewer_of(client);
    int positions = vnc_takes_positions();
    if (!viewer->takes_moves || viewer->told_positions == positions)
        return;
    viewer->told_positions = positions;
    pseudo_rectangle(client, POINTER_TYPE, (uint16_t)positions);
}

static rfbBool new_client(rfbClientPtr client, void **data)
{
    return TRUE;
}

static rfbBool enable(rfbClientPtr client, void **data, int encoding)
{
    struct viewer *viewer = viewer_of(client);
    if (encoding == EXTENDED_KEY || encoding == AUDIO) {
        pseudo_rectangle(client, encoding, 0);
        return TRUE;
    }
    if (encoding == POINTER_TYPE) {
        viewer->takes_moves = true;
        viewer->told_positions = -1;
        vnc_qemu_pointer(client);
        return TRUE;
    }
    return FALSE;
}

static bool read_all(rfbClientPtr client, void *bytes, int len)
{
    return vnc_rfb.rfbReadExact_(client, bytes, len) > 0;
}

static bool key(rfbClientPtr client)
{
    struct {
        uint16_t down;
        uint32_t symbol, code;
    } __attribute__((packed)) message;
    if (!read_all(client, &message, sizeof(message)))
        return false;
    vnc_tell(VNC_KEY, viewer_of(client)->id, message.down != 0, ntohl(message.code), ntohl(message.symbol), 0, NULL, 0);
    return true;
}

enum { AUDIO_ENABLE, AUDIO_DISABLE, AUDIO_FORMAT };

static bool audio(rfbClientPtr client)
{
    struct viewer *viewer = viewer_of(client);
    uint16_t operation;
    struct {
        uint8_t sample, channels;
        uint32_t frequency;
    } __attribute__((packed)) wanted;
    if (!read_all(client, &operation, sizeof(operation)))
        return false;
    operation = ntohs(operation);
    if (operation == AUDIO_FORMAT) {
        if (!read_all(client, &wanted, sizeof(wanted)))
            return false;
        const struct vnc_sound_format format = {wanted.sample, wanted.channels, ntohl(wanted.frequency)};
        return vnc_sound_format_set(&format);
    }
    vnc_sound_listen(operation == AUDIO_ENABLE);
    vnc_tell(VNC_LISTENS, viewer->id, operation == AUDIO_ENABLE, 0, 0, 0, NULL, 0);
    return operation <= AUDIO_DISABLE;
}

static rfbBool handle(rfbClientPtr client, void *data, const rfbClientToServerMsg *message)
{
    uint8_t kind;
    if (message->type != CLIENT_MESSAGE || !read_all(client, &kind, sizeof(kind)))
        return FALSE;
    return (kind == MESSAGE_KEY && key(client)) || (kind == MESSAGE_AUDIO && audio(client));
}

static int encodings[] = {EXTENDED_KEY, POINTER_TYPE, AUDIO, 0};

rfbProtocolExtension vnc_qemu_extension = {
    .newClient = new_client,
    .pseudoEncodings = encodings,
    .enablePseudoEncoding = enable,
    .handleMessage = handle,
};
