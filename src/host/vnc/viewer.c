/* Inside of one viewer's process: libvncserver with one client. What the viewer does is told to the monitor. Whatever
 * it makes of the library ends with this process, and harms nobody else.
 *
 * Until the viewer has come in there is one thread; then one reads what it does and one sends pictures, as a slow line
 * would else keep its keys from us until a picture has gone over it.
 *
 * "The RFB Protocol" (rfbproto.rst).
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"
#include "vnc.h"

#define DOOR_US    (60 * G_USEC_PER_SEC) /* who has not come in by then is sent away */
#define POLL_MS    1000
#define MEMORY_MAX (512ull * 1024 * 1024) /* what it may have more than its parent */

static struct {
    struct vnc_house *house;
    rfbScreenInfoPtr screen;
    rfbClientPtr client;
    struct viewer viewer;
    int orders; /* the parent's end of this is where the monitor's messages come from */
    bool is_websocket, asked;
} self;

bool vnc_takes_positions(void)
{
    return self.house->takes_positions;
}

struct vnc_house *vnc_house(void)
{
    return self.house;
}

/* --- What the viewer does --- */

static void gone(rfbClientPtr client)
{
    _exit(0);
}

/* The first thing that one does who has come in. */
static void wants_picture(rfbClientPtr client, rfbFramebufferUpdateRequestMsg *request)
{
    struct viewer *viewer = viewer_of(client);
    if (!viewer->is_ready) {
        viewer->is_ready = true;
        vnc_tell(VNC_READY, viewer->id, 0, 0, 0, 0, NULL, 0);
    }
    vnc_qemu_pointer(client);
    vnc_shape_look(client);
}

/* Before a picture is sent: the library would take the viewer's wish for JPEG as leave to use it. */
static void stay_exact(rfbClientPtr client)
{
    client->tightQualityLevel = client->turboQualityLevel = -1;
}

static enum rfbNewClientAction comes(rfbClientPtr client)
{
    GString *peer = g_string_new(NULL); /* stays empty for a Unix socket */
    client->clientData = &self.viewer;
    client->clientGoneHook = gone;
    client->clientFramebufferUpdateRequestHook = wants_picture;
    address_of_socket(client->sock, true, peer);
    vnc_tell(VNC_CONNECTED, self.viewer.id, self.is_websocket, 0, 0, 0, peer->str, peer->len);
    g_string_free(peer, TRUE);
    return RFB_CLIENT_ACCEPT;
}

static void key(rfbBool down, rfbKeySym symbol, rfbClientPtr client)
{
    vnc_tell(VNC_KEY, viewer_of(client)->id, down != 0, 0, symbol, 0, NULL, 0);
}

static void pointer(int buttons, int x, int y, rfbClientPtr client)
{
    const struct viewer *viewer = viewer_of(client);
    bool moves = viewer->takes_moves && viewer->told_positions == 0;
    vnc_tell(VNC_POINTER, viewer->id, (uint32_t)buttons, (uint32_t)(moves ? x - MOVE_ZERO : x),
             (uint32_t)(moves ? y - MOVE_ZERO : y), moves, NULL, 0);
}

static void paste_latin1(char *text, int len, rfbClientPtr client)
{
    char *utf8 = len > 0 ? g_convert(text, len, "UTF-8", "ISO-8859-1", NULL, NULL, NULL) : NULL;
    if (utf8)
        vnc_tell(VNC_PASTE, viewer_of(client)->id, 0, 0, 0, 0, utf8, strlen(utf8));
    g_free(utf8);
}

static void paste_utf8(char *text, int len, rfbClientPtr client)
{
    if (len > 0)
        vnc_tell(VNC_PASTE, viewer_of(client)->id, 0, 0, 0, 0, text, strnlen(text, (size_t)len));
}

/* DES of 16 bytes that we have sent, with the password for its key. */
static rfbBool password_fits(rfbClientPtr client, const char *response, int len)
{
    uint8_t expected[CHALLENGESIZE], different = 0;
    char password[VNC_PASSWORD_MAX + 1];
    const struct vnc_house *house = self.house;
    bool may_come = house->has_password && g_get_real_time() / G_USEC_PER_SEC < house->expires;
    memcpy(password, house->password, sizeof(password));
    memcpy(expected, client->authChallenge, sizeof(expected));
    vnc_rfb.rfbEncryptBytes_(expected, password);
    if (len != CHALLENGESIZE)
        return FALSE;
    for (unsigned i = 0; i < CHALLENGESIZE; i++)
        different |= expected[i] ^ (uint8_t)response[i];
    return may_come && !different;
}

/* Whether it wants to be alone is said in one byte, which only the library is going to read: so it is looked at before.
 * The parent decides what comes of it. */
static void look_at_wish(void)
{
    uint8_t bytes[16];
    ssize_t len = recv(self.client->sock, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    unsigned at = self.is_websocket ? 6 : 0; /* a frame's head, and four bytes that its text is masked with */
    if (self.asked || len <= (ssize_t)at)
        return;
    uint8_t shared = self.is_websocket ? bytes[6] ^ bytes[2] : bytes[0];
    self.asked = true;
    if (!shared)
        vnc_tell_parent(self.orders, VNC_ALONE);
}

/* --- What the monitor says --- */

static void cut(char *text)
{
    char *latin1 = g_convert_with_fallback(text, -1, "ISO-8859-1", "UTF-8", "?", NULL, NULL, NULL);
    if (latin1)
        vnc_rfb.rfbSendServerCutText_(self.screen, latin1, (int)strlen(latin1));
    g_free(latin1);
}

static void obey(struct vnc_message *message, size_t text_len)
{
    const struct vnc_head *head = &message->head;
    switch ((enum vnc_kind)head->kind) {
    case VNC_SIZE:
        vnc_house_obey(self.house, message);
        vnc_rfb.rfbNewFramebuffer_(self.screen, vnc_shape_picture(), (int)head->a, (int)head->b, 8, 3, 4);
        vnc_rfb.rfbMarkRectAsModified_(self.screen, 0, 0, (int)head->a, (int)head->b);
        break;
    case VNC_CHANGED:
        if (!vnc_shape_sees(head->viewer))
            break;
        vnc_rfb.rfbMarkRectAsModified_(self.screen, (int)head->a, (int)head->b, (int)(head->a + head->c),
                                       (int)(head->b + head->d));
        break;
    case VNC_SHAPE:
        vnc_shape_obey(self.client, message);
        break;
    case VNC_PLACE:
        vnc_shape_place(self.client, message);
        break;
    case VNC_SOUND:
        if (self.client->state == RFB_NORMAL)
            vnc_sound_play(self.client, (const int16_t *)(const void *)message->text,
                           (unsigned)(text_len / (2 * sizeof(int16_t))), head->a);
        break;
    case VNC_CUT:
        cut(message->text);
        break;
    default:
        vnc_house_obey(self.house, message);
        if (head->kind == VNC_POINTER_IS)
            vnc_qemu_pointer(self.client);
        break;
    }
}

/* --- Life --- */

/* One pixel: 0x00RRGGBB, as the monitor's pictures are. */
static bool screen_make(void)
{
    const struct vnc_start *start = self.house->start;
    rfbScreenInfoPtr screen =
        vnc_rfb.rfbGetScreen_(NULL, NULL, (int)self.house->width, (int)self.house->height, 8, 3, 4);
    if (!screen)
        return false;
    screen->frameBuffer = self.house->picture;
    screen->serverFormat.redShift = 16;
    screen->serverFormat.greenShift = 8;
    screen->serverFormat.blueShift = 0;
    screen->desktopName = start->title;
    screen->autoPort = FALSE;
    screen->port = screen->ipv6port = screen->udpPort = screen->httpPort = 0; /* the sockets are there already */
    vnc_shape_begin(screen);
    screen->newClientHook = comes;
    screen->kbdAddEvent = key;
    screen->ptrAddEvent = pointer;
    screen->setXCutText = paste_latin1;
    screen->setXCutTextUTF8 = paste_utf8;
    screen->alwaysShared = TRUE; /* it is alone here: see look_at_wish() */
    screen->deferUpdateTime = 0;
    if (!start->lossy)
        screen->displayHook = stay_exact;
    if (start->password) {
        screen->authPasswdData = (void *)"";
        screen->passwordCheck = password_fits;
    }
    self.screen = screen;
    vnc_rfb.rfbRegisterProtocolExtension_(&vnc_qemu_extension);
    vnc_rfb.rfbInitServerWithPthreadsAndZRLE_(screen);
    return true;
}

static void limits_set(void)
{
    struct rlimit limit = {self.house->memory + MEMORY_MAX, self.house->memory + MEMORY_MAX};
    setrlimit(RLIMIT_DATA, &limit);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void take_orders(void)
{
    static struct vnc_message message;
    ssize_t len;
    while ((len = recv(self.orders, &message, sizeof(message) - 1, MSG_DONTWAIT)) > 0) {
        ((char *)&message)[len] = 0;
        if (len >= (ssize_t)sizeof(message.head))
            obey(&message, (size_t)len - sizeof(message.head));
    }
    if (len == 0)
        _exit(0);
}

_Noreturn void vnc_viewer_main(struct vnc_house *house, uint32_t id, int fd, int orders, bool is_websocket)
{
    self.house = house;
    self.orders = orders;
    self.is_websocket = is_websocket;
    self.viewer = (struct viewer){.id = id, .since = g_get_monotonic_time(), .told_positions = -1};
    limits_set();
    if (!screen_make() || !(self.client = vnc_rfb.rfbNewClient_(self.screen, fd)))
        _exit(1);
    while (self.client->state != RFB_NORMAL) {
        struct pollfd fds[] = {{orders, POLLIN, 0}, {self.client->sock, POLLIN, 0}};
        if ((poll(fds, 2, POLL_MS) < 0 && errno != EINTR) || g_get_monotonic_time() - self.viewer.since > DOOR_US)
            _exit(1);
        if (fds[0].revents)
            take_orders();
        if (self.client->state == RFB_INITIALISATION && fds[1].revents)
            look_at_wish();
        vnc_rfb.rfbProcessEvents_(self.screen, 0);
    }
    self.screen->backgroundLoop = TRUE;
    vnc_rfb.rfbStartOnHoldClient_(self.client);
    for (;;) {
        struct pollfd wait = {orders, POLLIN, 0};
        if (poll(&wait, 1, POLL_MS) < 0 && errno != EINTR)
            _exit(1);
        if (wait.revents)
            take_orders();
        if (!self.viewer.is_ready && g_get_monotonic_time() - self.viewer.since > DOOR_US)
            _exit(0);
    }
}
