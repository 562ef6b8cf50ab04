/* The guest's pointer for a viewer that can show it itself: its shape, its place, and which of the two pictures the
 * viewer sees. "The RFB Protocol" (rfbproto.rst), 7.8.1 Cursor, 7.8.2 X Cursor, 7.8.5 (its position), 7.8.27 Cursor
 * With Alpha.
 *
 * The library sends shapes of one bit of transparency, asking us for them (shape_now); it has no cursor of its own,
 * which it would paint into the picture. Shapes with eight bits are ours to send; a viewer that takes these gets no
 * others.
 */
#include <arpa/inet.h>
#include <string.h>

#include "internal.h"

#define WITH_ALPHA (-314)
#define RAW        0
#define OPAQUE     128 /* from here on, where there is no half way */

#define SIDE DISPLAY_CURSOR_MAX

static struct {
    GMutex mutex; /* of all this and of the house's shape: threads read, send and take orders */
    bool takes_alpha;
    bool shows_bare;
    rfbCursor cursor; /* as the library was given it; only the thread that sends has this and what is in it */
    uint32_t rich[SIDE * SIDE];
    uint8_t mask[SIDE * SIDE / 8], source[SIDE * SIDE / 8];
} self;

static uint32_t undo_alpha(uint32_t pixel)
{
    uint32_t alpha = pixel >> 24, colour = 0;
    for (unsigned shift = 0; shift < 24; shift += 8)
        colour |= MIN((pixel >> shift & 255) * 255 / MAX(alpha, 1u), 255u) << shift;
    return colour;
}

static bool is_light(uint32_t colour)
{
    return (colour >> 16 & 255) * 3 + (colour >> 8 & 255) * 6 + (colour & 255) > 5 * 255;
}

/* The library's: what to send of the pointer; NULL: nothing is seen of it. */
static rfbCursorPtr shape_now(rfbClientPtr client)
{
    rfbCursor *cursor = &self.cursor;
    g_mutex_lock(&self.mutex);
    const struct vnc_shape *shape = &vnc_house()->shape;
    unsigned width = self.shows_bare ? shape->width : 0, height = shape->height, row = (width + 7) / 8;
    *cursor = (rfbCursor){.width = (unsigned short)width,
                          .height = (unsigned short)height,
                          .xhot = (unsigned short)shape->hot_x,
                          .yhot = (unsigned short)shape->hot_y,
                          .foreRed = 0xffff,
                          .foreGreen = 0xffff,
                          .foreBlue = 0xffff,
                          .source = self.source,
                          .mask = self.mask,
                          .richSource = (unsigned char *)self.rich};
    memset(self.mask, 0, sizeof(self.mask));
    memset(self.source, 0, sizeof(self.source));
    for (unsigned i = 0; i < width * height; i++) {
        unsigned at = i / width * row + i % width / 8, bit = 0x80u >> (i % width % 8);
        self.rich[i] = undo_alpha(shape->pixels[i]);
        if (shape->pixels[i] >> 24 >= OPAQUE)
            self.mask[at] |= (uint8_t)bit;
        if (is_light(self.rich[i]))
            self.source[at] |= (uint8_t)bit;
    }
    g_mutex_unlock(&self.mutex);
    return width ? cursor : NULL;
}

/* A message of its own: a viewer need not have asked for a picture. */
static void alpha_send(rfbClientPtr client)
{
    struct {
        uint8_t type, pad;
        uint16_t count, x, y, width, height;
        int32_t encoding, pixels_encoding;
        uint32_t pixels[SIDE * SIDE]; /* bytes: red, green, blue, alpha */
    } __attribute__((packed)) update = {
        .count = htons(1), .encoding = (int32_t)htonl((uint32_t)WITH_ALPHA), .pixels_encoding = (int32_t)htonl(RAW)};
    g_mutex_lock(&self.mutex);
    const struct vnc_shape *shape = &vnc_house()->shape;
    unsigned count = self.shows_bare ? shape->width * shape->height : 0;
    if (count) {
        update.x = htons((uint16_t)shape->hot_x);
        update.y = htons((uint16_t)shape->hot_y);
        update.width = htons((uint16_t)shape->width);
        update.height = htons((uint16_t)shape->height);
    }
    for (unsigned i = 0; i < count; i++)
        update.pixels[i] = htonl(shape->pixels[i] << 8 | shape->pixels[i] >> 24);
    g_mutex_unlock(&self.mutex);
    pthread_mutex_lock(&client->sendMutex);
    vnc_rfb.rfbWriteExact_(client, (const char *)&update, (int)(offsetof(__typeof__(update), pixels) + 4 * count));
    pthread_mutex_unlock(&client->sendMutex);
}

/* Its thread that sends looks whether there is something new. */
static void wake(rfbClientPtr client)
{
    pthread_mutex_lock(&client->updateMutex);
    pthread_cond_signal(&client->updateCond);
    pthread_mutex_unlock(&client->updateMutex);
}

/* --- Which picture --- */

char *vnc_shape_picture(void)
{
    return vnc_house()->picture + (self.shows_bare ? VNC_PIXELS_MAX * sizeof(uint32_t) : 0);
}

/* Where it is another one now, all may be different. */
static void picture_choose(rfbClientPtr client)
{
    rfbScreenInfoPtr screen = client->screen;
    g_mutex_lock(&self.mutex);
    bool bare = vnc_house()->is_apart && (self.takes_alpha || client->enableCursorShapeUpdates);
    bool is_other = bare != self.shows_bare;
    self.shows_bare = bare;
    screen->frameBuffer = vnc_shape_picture();
    g_mutex_unlock(&self.mutex);
    if (is_other)
        vnc_rfb.rfbMarkRectAsModified_(screen, 0, 0, screen->width, screen->height);
}

bool vnc_shape_sees(enum vnc_picture which)
{
    return which == VNC_ALL_PICTURES || (which == VNC_BARE) == self.shows_bare;
}

/* --- News --- */

static void shape_send(rfbClientPtr client)
{
    if (self.takes_alpha) {
        alpha_send(client);
    } else if (client->enableCursorShapeUpdates) {
        client->cursorWasChanged = TRUE;
        wake(client);
    }
}

void vnc_shape_obey(rfbClientPtr client, const struct vnc_message *message)
{
    g_mutex_lock(&self.mutex);
    vnc_house_obey(vnc_house(), message);
    g_mutex_unlock(&self.mutex);
    picture_choose(client);
    shape_send(client);
}

void vnc_shape_place(rfbClientPtr client, const struct vnc_message *message)
{
    const struct vnc_head *head = &message->head;
    vnc_house_obey(vnc_house(), message);
    client->screen->cursorX = (int)head->a;
    client->screen->cursorY = (int)head->b;
    if (head->viewer == viewer_of(client)->id || !client->enableCursorPosUpdates)
        return;
    client->cursorWasMoved = TRUE;
    wake(client);
}

/* A viewer says anew what it understands at any time; so this is looked at whenever it asks for a picture. */
void vnc_shape_look(rfbClientPtr client)
{
    bool was_bare = self.shows_bare, library_sends = client->enableCursorShapeUpdates;
    picture_choose(client);
    if (self.takes_alpha && library_sends)
        client->enableCursorShapeUpdates = FALSE;
    if (was_bare != self.shows_bare || (self.takes_alpha && library_sends))
        shape_send(client);
}

/* --- Life --- */

static rfbBool new_client(rfbClientPtr client, void **data)
{
    return TRUE;
}

static rfbBool enable(rfbClientPtr client, void **data, int encoding)
{
    if (encoding != WITH_ALPHA)
        return FALSE;
    self.takes_alpha = true;
    picture_choose(client);
    alpha_send(client);
    return TRUE;
}

static int encodings[] = {WITH_ALPHA, 0};
static rfbProtocolExtension extension = {
    .newClient = new_client, .pseudoEncodings = encodings, .enablePseudoEncoding = enable};

void vnc_shape_begin(rfbScreenInfoPtr screen)
{
    screen->cursor = NULL;
    screen->getCursorPtr = shape_now;
    screen->cursorX = (int)vnc_house()->place[0];
    screen->cursorY = (int)vnc_house()->place[1];
    vnc_rfb.rfbRegisterProtocolExtension_(&extension);
}
