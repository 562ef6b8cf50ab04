/* Inside of the process that speaks with viewers: libvncserver with a thread for each of them, so that one who stops
 * reading stops nobody else. What they do is told to the monitor; the picture is shared with it.
 *
 * "The RFB Protocol" (rfbproto.rst).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/fence.h"
#include "host/process.h"
#include "internal.h"
#include "vnc.h"

#define WAIT_MS    20000                 /* a viewer that takes nothing for so long is let go */
#define FIRST_SIZE 64                    /* before the monitor has said what there is to see */
#define PASSWORD   8                     /* characters that count */
#define DOOR_US    (60 * G_USEC_PER_SEC) /* who has not come in by then is sent away */
#define REAP_MS    5000

static struct {
    rfbScreenInfoPtr screen;
    char *picture;
    _Atomic unsigned viewers;
    _Atomic uint32_t next_id;
    _Atomic bool takes_positions;
    pthread_mutex_t lock; /* what follows */
    bool has_password;
    char password[PASSWORD + 1];
    int64_t expires;
    char *cut; /* for all viewers' clipboards; the courier's */
    pthread_cond_t news;
} self = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER, .expires = INT64_MAX};

static __thread bool via_websocket; /* the connection that this thread is making */

void vnc_tell(enum vnc_kind kind, uint32_t viewer, uint32_t a, uint32_t b, uint32_t c, uint32_t d, const char *text,
              size_t len)
{
    struct vnc_head head = {kind, viewer, a, b, c, d};
    struct iovec parts[] = {{&head, sizeof(head)}, {(void *)text, text ? MIN(len, VNC_TEXT_MAX) : 0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    while (sendmsg(PROCESS_FD + VNC_CONTROL, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

bool vnc_takes_positions(void)
{
    return self.takes_positions;
}

/* --- What viewers do --- */

static void gone(rfbClientPtr client)
{
    struct viewer *viewer = client->clientData;
    client->clientData = NULL;
    vnc_tell(VNC_GONE, viewer->id, 0, 0, 0, 0, NULL, 0);
    atomic_fetch_sub(&self.viewers, 1);
    g_free(viewer);
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
}

/* Before a picture is sent: the library would take the viewer's wish for JPEG as leave to use it. */
static void stay_exact(rfbClientPtr client)
{
    client->tightQualityLevel = client->turboQualityLevel = -1;
}

static void peer_text(int fd, char *text, size_t room, size_t *len, uint32_t *via)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    char host[INET6_ADDRSTRLEN] = "", service[8] = "";
    if (getpeername(fd, (struct sockaddr *)&address, &size) < 0 || address.ss_family == AF_UNIX) {
        *via |= VNC_VIA_UNIX;
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        g_snprintf(service, sizeof(service), "%u", ntohs(in6->sin6_port));
        *via |= VNC_VIA_IPV6;
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        g_snprintf(service, sizeof(service), "%u", ntohs(in->sin_port));
    }
    g_strlcpy(text, host, room);
    g_strlcpy(text + strlen(host) + 1, service, room - strlen(host) - 1);
    *len = strlen(host) + 1 + strlen(service);
}

static enum rfbNewClientAction comes(rfbClientPtr client)
{
    char text[128];
    size_t len;
    uint32_t via = via_websocket ? VNC_VIA_WEBSOCKET : 0;
    struct viewer *viewer = g_new0(struct viewer, 1);
    viewer->id = atomic_fetch_add(&self.next_id, 1) + 1;
    viewer->told_positions = -1;
    viewer->since = g_get_monotonic_time();
    client->clientData = viewer;
    client->clientGoneHook = gone;
    client->clientFramebufferUpdateRequestHook = wants_picture;
    peer_text(client->sock, text, sizeof(text), &len, &via);
    vnc_tell(VNC_CONNECTED, viewer->id, via, 0, 0, 0, text, len);
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
    vnc_tell(VNC_POINTER, viewer->id, (uint32_t)buttons, (uint32_t)(moves ? x - 0x7fff : x),
             (uint32_t)(moves ? y - 0x7fff : y), moves, NULL, 0);
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
    char password[PASSWORD + 1];
    pthread_mutex_lock(&self.lock);
    bool may_come = self.has_password && g_get_real_time() / G_USEC_PER_SEC < self.expires;
    memcpy(password, self.password, sizeof(password));
    memcpy(expected, client->authChallenge, sizeof(expected));
    vnc_rfb.rfbEncryptBytes_(expected, password); /* it has a key of its own for all: under the lock */
    pthread_mutex_unlock(&self.lock);
    if (len != CHALLENGESIZE)
        return FALSE;
    for (unsigned i = 0; i < CHALLENGESIZE; i++)
        different |= expected[i] ^ (uint8_t)response[i];
    return may_come && !different;
}

/* --- Coming in --- */

struct visitor {
    int fd;
    bool websocket;
};

/* A browser speaks first, all others wait for us: that is waited for, a tenth of a second. */
static void *visit(void *opaque)
{
    struct visitor *visitor = opaque;
    via_websocket = visitor->websocket;
    rfbClientPtr client = vnc_rfb.rfbNewClient_(self.screen, visitor->fd);
    if (client && client->clientData)
        vnc_rfb.rfbStartOnHoldClient_(client);
    else if (!client)
        atomic_fetch_sub(&self.viewers, 1);
    g_free(visitor);
    return NULL;
}

static void let_in(int fd, bool websocket)
{
    pthread_t thread;
    if (atomic_fetch_add(&self.viewers, 1) >= VNC_VIEWERS_MAX) {
        atomic_fetch_sub(&self.viewers, 1);
        close(fd);
        return;
    }
    struct visitor *visitor = g_new(struct visitor, 1);
    *visitor = (struct visitor){fd, websocket};
    if (pthread_create(&thread, NULL, visit, visitor) == 0) {
        pthread_detach(thread);
        return;
    }
    atomic_fetch_sub(&self.viewers, 1);
    close(fd);
    g_free(visitor);
}

static void accept_from(int listener, bool websocket)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        let_in(fd, websocket);
}

/* --- What the monitor says --- */

static void each_client(void (*act)(rfbClientPtr client))
{
    rfbClientIteratorPtr iterator = vnc_rfb.rfbGetClientIterator_(self.screen);
    rfbClientPtr client;
    while ((client = vnc_rfb.rfbClientIteratorNext_(iterator))) {
        if (client->clientData)
            act(client);
    }
    vnc_rfb.rfbReleaseClientIterator_(iterator);
}

static void send_away(rfbClientPtr client)
{
    vnc_rfb.rfbCloseClient_(client);
}

static void password_set(const char *text, bool is_there)
{
    pthread_mutex_lock(&self.lock);
    self.has_password = is_there;
    memset(self.password, 0, sizeof(self.password));
    g_strlcpy(self.password, text, sizeof(self.password));
    pthread_mutex_unlock(&self.lock);
}

static void expiry_set(int64_t when)
{
    pthread_mutex_lock(&self.lock);
    self.expires = when;
    pthread_mutex_unlock(&self.lock);
}

/* Texts wait for viewers that take nothing: so a thread of its own brings them. */
static void *courier(void *opaque)
{
    for (;;) {
        pthread_mutex_lock(&self.lock);
        while (!self.cut)
            pthread_cond_wait(&self.news, &self.lock);
        char *text = self.cut;
        self.cut = NULL;
        pthread_mutex_unlock(&self.lock);
        vnc_rfb.rfbSendServerCutText_(self.screen, text, (int)strlen(text));
        g_free(text);
    }
    return NULL;
}

static void cut(char *text)
{
    char *latin1 = g_convert_with_fallback(text, -1, "ISO-8859-1", "UTF-8", "?", NULL, NULL, NULL);
    pthread_mutex_lock(&self.lock);
    g_free(self.cut);
    self.cut = latin1;
    pthread_cond_signal(&self.news);
    pthread_mutex_unlock(&self.lock);
}

static void send_away_at_the_door(rfbClientPtr client)
{
    const struct viewer *viewer = viewer_of(client);
    if (!viewer->is_ready && g_get_monotonic_time() - viewer->since > DOOR_US)
        vnc_rfb.rfbCloseClient_(client);
}

static void obey(struct vnc_message *message)
{
    const struct vnc_head *head = &message->head;
    switch ((enum vnc_kind)head->kind) {
    case VNC_SIZE:
        vnc_rfb.rfbNewFramebuffer_(self.screen, self.picture, (int)head->a, (int)head->b, 8, 3, 4);
        break;
    case VNC_CHANGED:
        vnc_rfb.rfbMarkRectAsModified_(self.screen, (int)head->a, (int)head->b, (int)(head->a + head->c),
                                       (int)(head->b + head->d));
        break;
    case VNC_PASSWORD:
        password_set(message->text, head->a);
        break;
    case VNC_EXPIRY:
        expiry_set((int64_t)((uint64_t)head->b << 32 | head->a));
        break;
    case VNC_POINTER_IS:
        self.takes_positions = head->a;
        vnc_rfb.rfbMarkRectAsModified_(self.screen, 0, 0, 1,
                                       1); /* after which each viewer asks for more, and is told */
        break;
    case VNC_CUT:
        cut(message->text);
        break;
    case VNC_DISCONNECT:
        each_client(send_away);
        break;
    default:
        break;
    }
}

/* --- Life --- */

_Noreturn static void fail(const char *why)
{
    vnc_tell(VNC_STARTED, 0, 0, 0, 0, 0, why, strlen(why));
    _exit(1);
}

/* One pixel: 0x00RRGGBB, as the monitor's pictures are. */
static void screen_make(const struct vnc_start *start)
{
    rfbScreenInfoPtr screen = vnc_rfb.rfbGetScreen_(NULL, NULL, FIRST_SIZE, FIRST_SIZE, 8, 3, 4);
    if (!screen)
        fail("libvncserver has no memory");
    screen->frameBuffer = self.picture;
    screen->serverFormat.redShift = 16;
    screen->serverFormat.greenShift = 8;
    screen->serverFormat.blueShift = 0;
    screen->desktopName = start->title;
    screen->autoPort = FALSE;
    screen->port = screen->ipv6port = screen->udpPort = screen->httpPort = 0; /* the sockets are there already */
    screen->cursor = NULL;                                                    /* it is in the picture */
    screen->newClientHook = comes;
    screen->kbdAddEvent = key;
    screen->ptrAddEvent = pointer;
    screen->setXCutText = paste_latin1;
    screen->setXCutTextUTF8 = paste_utf8;
    screen->alwaysShared = start->share == VNC_IGNORE;
    screen->dontDisconnect = start->share == VNC_FORCE_SHARED;
    screen->deferUpdateTime = 5;
    if (!start->lossy)
        screen->displayHook = stay_exact;
    if (start->password) {
        screen->authPasswdData = (void *)"";
        screen->passwordCheck = password_fits;
    }
    self.screen = screen;
    vnc_rfb.rfbRegisterProtocolExtension_(&vnc_qemu_extension);
    vnc_rfb.rfbInitServerWithPthreadsAndZRLE_(screen);
    screen->backgroundLoop = TRUE;
}

_Noreturn static void serve(void)
{
    static struct vnc_message message;
    pthread_t thread;
    pthread_create(&thread, NULL, courier, NULL);
    struct pollfd fds[VNC_FDS] = {{.fd = PROCESS_FD + VNC_CONTROL, .events = POLLIN},
                                  {.fd = -1},
                                  {.fd = PROCESS_FD + VNC_LISTEN, .events = POLLIN},
                                  {.fd = PROCESS_FD + VNC_LISTEN_WEBSOCKET, .events = POLLIN}};
    for (;;) {
        int ready = poll(fds, VNC_FDS, REAP_MS);
        if (ready < 0 && errno != EINTR)
            _exit(1);
        if (ready <= 0) {
            each_client(send_away_at_the_door);
            continue;
        }
        if (fds[VNC_CONTROL].revents) {
            ssize_t len = recv(fds[VNC_CONTROL].fd, &message, sizeof(message) - 1, 0);
            if (len == 0)
                _exit(0);
            if (len >= (ssize_t)sizeof(message.head)) {
                ((char *)&message)[len] = 0;
                obey(&message);
            }
        }
        if (fds[VNC_LISTEN].revents & POLLIN)
            accept_from(fds[VNC_LISTEN].fd, false);
        if (fds[VNC_LISTEN_WEBSOCKET].revents & POLLIN)
            accept_from(fds[VNC_LISTEN_WEBSOCKET].fd, true);
        for (unsigned i = VNC_LISTEN; i < VNC_FDS; i++) {
            if (fds[i].revents & (POLLERR | POLLHUP | POLLNVAL))
                fds[i].fd = -1;
        }
    }
}

_Noreturn void vnc_process_main(const struct vnc_start *start)
{
    const char *why = vnc_load();
    if (why)
        fail(why);
    self.picture = mmap(NULL, VNC_PIXELS_MAX * sizeof(uint32_t), PROT_READ, MAP_SHARED, PROCESS_FD + VNC_PICTURE, 0);
    if (self.picture == MAP_FAILED)
        fail(g_strerror(errno));
    vnc_rfb.rfbLogEnable_(0);
    *vnc_rfb.max_client_wait = WAIT_MS;
    screen_make(start);
    g_free(g_convert("x", 1, "ISO-8859-1", "UTF-8", NULL, NULL, NULL)); /* what that loads, before the fence */
    g_free(g_convert("x", 1, "UTF-8", "ISO-8859-1", NULL, NULL, NULL));
    fence_enter_viewers();
    vnc_tell(VNC_STARTED, 0, 1, 0, 0, 0, NULL, 0);
    if (start->reverse) {
        let_in(dup(PROCESS_FD + VNC_LISTEN), false);
        close(PROCESS_FD + VNC_LISTEN);
    }
    serve();
}
