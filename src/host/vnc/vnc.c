/* The monitor's side of the screen for viewers far away: shares the picture with the process that speaks with them, and
 * does to the guest what they do. See vnc.h, share.h.
 */
#include "vnc.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clipboard.h"
#include "host/audio/audiodev.h"
#include "host/display/grab.h"
#include "host/display/keys.h"
#include "host/display/pointer.h"
#include "host/process.h"
#include "input.h"
#include "keysyms.h"
#include "lock.h"
#include "log.h"
#include "share.h"

#define BUSY_MS    33
#define IDLE_MS    150
#define IDLE_LATE  30 /* looks without a change, and it is idle */
#define START_MS   20000
#define BAND       16u /* rows that are compared, and told, at a time */
#define KEYS_HELD  32
#define SHIFT_LEFT 0x2a
#define SHIFT      0x36

struct viewer {
    struct vnc_viewer look;
    char *host, *service;
    int x, y; /* of its pointer, where the guest's takes moves; -1: it has not been seen yet */
    unsigned buttons;
    uint16_t held[KEYS_HELD]; /* 0: none */
    bool listens;
};

static struct {
    bool is_open;
    struct vnc_options options;
    const struct display *display;
    struct vnc_hooks hooks;
    pid_t pid;
    int control, listener[2];
    uint32_t *shared;
    struct display_reader reader;
    unsigned width, height;     /* of what viewers have */
    struct display_pixels band; /* rows with the card's pointer in them */
    bool apart;                 /* viewers that can show the pointer themselves: the bare picture is kept */
    int told_apart;             /* what they have been told of it; -1: nothing */
    struct vnc_shape shape;     /* and of its shape */
    uint32_t place[2];          /* and of its place; who moved it last, and when (monotonic time) */
    uint32_t mover;
    int64_t moved;
    GPtrArray *viewers;
    guint timer, socket;
    unsigned interval, unchanged;
    bool missed;  /* something could not be told: all of it again */
    bool listens; /* to the mixer */
    int positions;
    uint64_t cut; /* the guest's text that viewers have: clipboard.h's serial */
} vnc = {.control = -1, .listener = {-1, -1}};

static gboolean look(gpointer opaque);

static bool send_head(struct vnc_head head, const void *bytes, size_t len)
{
    struct iovec parts[] = {{&head, sizeof(head)}, {(void *)bytes, MIN(len, VNC_TEXT_MAX)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent;
    while ((sent = sendmsg(vnc.control, &message, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0 && errno == EINTR)
        continue;
    return sent >= 0;
}

static bool say_bytes(enum vnc_kind kind, uint32_t a, uint32_t b, uint32_t c, uint32_t d, const void *bytes, size_t len)
{
    return send_head((struct vnc_head){kind, 0, a, b, c, d}, bytes, len);
}

static bool say(enum vnc_kind kind, uint32_t a, uint32_t b, uint32_t c, uint32_t d, const char *text)
{
    return say_bytes(kind, a, b, c, d, text, text ? strlen(text) : 0);
}

static void set_interval(unsigned interval)
{
    if (vnc.interval == interval)
        return;
    if (vnc.timer)
        g_source_remove(vnc.timer);
    vnc.interval = interval;
    vnc.timer = interval ? g_timeout_add(interval, look, NULL) : 0;
}

/* Somebody has done something: the guest will, too. */
static void be_awake(void)
{
    vnc.unchanged = 0;
    if (vnc.interval)
        set_interval(BUSY_MS);
}

/* --- The picture --- */

static uint32_t *shared_rows(enum vnc_picture which, unsigned y)
{
    return vnc.shared + (which == VNC_BARE ? VNC_PIXELS_MAX : 0) + (size_t)y * vnc.width;
}

/* Rows of the picture as it was read, with the card's pointer over them; valid until the next call. */
static const uint32_t *painted_rows(unsigned first, unsigned end)
{
    const uint32_t *rows = vnc.reader.picture.pixels + (size_t)first * vnc.width;
    if (!vnc.reader.is_bare)
        return rows;
    if (vnc.band.width != vnc.width) {
        display_pixels_clear(&vnc.band);
        vnc.band = (struct display_pixels){vnc.width, BAND, g_new(uint32_t, (size_t)vnc.width * BAND)};
    }
    memcpy(vnc.band.pixels, rows, (size_t)vnc.width * (end - first) * sizeof(uint32_t));
    machine_lock();
    vnc.display->overlay(vnc.display->opaque, vnc.width, first, end - first, vnc.band.pixels);
    machine_unlock();
    return vnc.band.pixels;
}

/* Rows first to end into one of the pictures: what is between the first and the last column that has changed is told.
 */
static void put_band(enum vnc_picture which, const uint32_t *rows, unsigned first, unsigned end)
{
    unsigned left = vnc.width, right = 0;
    for (unsigned y = first; y < end; y++) {
        const uint32_t *from = rows + (size_t)(y - first) * vnc.width;
        uint32_t *to = shared_rows(which, y);
        if (memcmp(from, to, vnc.width * sizeof(uint32_t)) == 0)
            continue;
        unsigned a = 0, b = vnc.width;
        while (from[a] == to[a])
            a++;
        while (from[b - 1] == to[b - 1])
            b--;
        memcpy(to + a, from + a, (b - a) * sizeof(uint32_t));
        left = MIN(left, a);
        right = MAX(right, b);
    }
    const struct vnc_head head = {VNC_CHANGED, vnc.apart ? which : VNC_ALL_PICTURES, left, first, right - left,
                                  end - first};
    if (left < right && !send_head(head, NULL, 0))
        vnc.missed = true;
}

static void bare_fill(void)
{
    memcpy(shared_rows(VNC_BARE, 0), vnc.reader.picture.pixels, (size_t)vnc.width * vnc.height * sizeof(uint32_t));
}

static void take_rows(unsigned first, unsigned end)
{
    for (unsigned y = first; y < end; y += BAND) {
        unsigned stop = MIN(y + BAND, end);
        put_band(VNC_PAINTED, painted_rows(y, stop), y, stop);
        if (vnc.apart)
            put_band(VNC_BARE, vnc.reader.picture.pixels + (size_t)y * vnc.width, y, stop);
    }
}

static void take_size(void)
{
    vnc.width = vnc.reader.picture.width;
    vnc.height = vnc.reader.picture.height;
    for (unsigned y = 0; y < vnc.height; y += BAND) {
        unsigned end = MIN(y + BAND, vnc.height);
        memcpy(shared_rows(VNC_PAINTED, y), painted_rows(y, end), (size_t)vnc.width * (end - y) * sizeof(uint32_t));
    }
    if (vnc.apart)
        bare_fill();
    vnc.missed = !say(VNC_SIZE, vnc.width, vnc.height, 0, 0, NULL);
}

static bool picture_take(void)
{
    unsigned first, end;
    bool is_other, changed = display_read(vnc.display, &vnc.reader, &first, &end, &is_other);
    if (!changed && !vnc.missed)
        return false;
    if ((uint64_t)vnc.reader.picture.width * vnc.reader.picture.height > VNC_PIXELS_MAX)
        return false;
    if (vnc.missed || vnc.reader.picture.width != vnc.width || vnc.reader.picture.height != vnc.height)
        take_size();
    else
        take_rows(first, MIN(end, vnc.height));
    return true;
}

/* --- The guest's pointer --- */

/* The guest takes positions, so that its pointer is where a viewer's is: then a viewer may show it, if it can. What it
 * is now; false: it is to be in the picture. */
static bool cursor_read(struct display_cursor *cursor)
{
    if (vnc.positions != 1 || !vnc.width || !vnc.height)
        return false;
    machine_lock();
    bool ok = vnc.display->cursor(vnc.display->opaque, cursor);
    machine_unlock();
    return ok;
}

/* From now on both pictures are kept, or only the painted one. */
static void set_apart(bool apart)
{
    if (apart == vnc.apart)
        return;
    vnc.apart = apart;
    if (apart)
        bare_fill();
}

static void shape_tell(const struct display_cursor *cursor)
{
    struct vnc_shape shape = {0};
    shape.width = vnc.apart ? cursor->width : 0;
    shape.height = vnc.apart ? cursor->height : 0;
    shape.hot_x = shape.width ? cursor->hot_x : 0;
    shape.hot_y = shape.height ? cursor->hot_y : 0;
    memcpy(shape.pixels, cursor->pixels, VNC_SHAPE_BYTES(&shape) - offsetof(struct vnc_shape, pixels));
    if (vnc.told_apart == vnc.apart && memcmp(&shape, &vnc.shape, VNC_SHAPE_BYTES(&shape)) == 0)
        return;
    if (say_bytes(VNC_SHAPE, vnc.apart, 0, 0, 0, &shape, VNC_SHAPE_BYTES(&shape))) {
        vnc.told_apart = vnc.apart;
        vnc.shape = shape;
    }
}

/* Whoever has moved it in the last second knows better than the guest, which comes behind. */
static void place_tell(const struct display_cursor *cursor)
{
    if (!vnc.apart || !cursor->width)
        return;
    const uint32_t place[2] = {(uint32_t)CLAMP((int64_t)cursor->x + cursor->hot_x, 0, vnc.width - 1),
                               (uint32_t)CLAMP((int64_t)cursor->y + cursor->hot_y, 0, vnc.height - 1)};
    bool is_his = vnc.moved && g_get_monotonic_time() - vnc.moved < G_USEC_PER_SEC;
    const struct vnc_head head = {VNC_PLACE, is_his ? vnc.mover : 0, place[0], place[1], 0, 0};
    if (memcmp(place, vnc.place, sizeof(place)) != 0 && send_head(head, NULL, 0))
        memcpy(vnc.place, place, sizeof(place));
}

static void cursor_take(void)
{
    struct display_cursor cursor = {0};
    set_apart(cursor_read(&cursor));
    shape_tell(&cursor);
    place_tell(&cursor);
}

static void clipboard_take(void)
{
    uint64_t serial = vnc.cut;
    machine_lock();
    char *own = clipboard_news(CLIPBOARD_GUEST, &serial);
    machine_unlock();
    if (!own || say(VNC_CUT, 0, 0, 0, 0, own))
        vnc.cut = serial;
    g_free(own);
}

static gboolean look(gpointer opaque)
{
    unsigned interval = vnc.interval;
    int positions = pointer_is_absolute();
    vnc.unchanged = picture_take() ? 0 : vnc.unchanged + 1;
    if (positions != vnc.positions && say(VNC_POINTER_IS, (uint32_t)positions, 0, 0, 0, NULL))
        vnc.positions = positions;
    if (vnc.reader.is_bare)
        cursor_take();
    clipboard_take();
    set_interval(vnc.unchanged > IDLE_LATE ? IDLE_MS : BUSY_MS);
    return vnc.interval == interval ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* --- Sound --- */

static void hear(void *opaque, const int16_t *frames, unsigned count, uint32_t frequency)
{
    say_bytes(VNC_SOUND, frequency, 0, 0, 0, frames, count * 2 * sizeof(*frames));
}

static void quiet(void *opaque)
{
    say(VNC_SOUND, 0, 0, 0, 0, NULL);
}

/* Nothing is taken from the mixer while nobody wants to hear it. */
static void sound_update(void)
{
    static const struct audio_listener listener = {hear, quiet, NULL};
    bool wanted = false;
    for (unsigned i = 0; i < vnc.viewers->len; i++)
        wanted |= ((struct viewer *)g_ptr_array_index(vnc.viewers, i))->listens;
    if (!vnc.options.audiodev || wanted == vnc.listens)
        return;
    vnc.listens = wanted;
    machine_lock();
    audiodev_listen(vnc.options.audiodev, wanted ? &listener : NULL);
    machine_unlock();
}

/* --- Viewers --- */

static void viewer_free(void *opaque)
{
    struct viewer *viewer = opaque;
    g_free(viewer->host);
    g_free(viewer->service);
    g_free(viewer);
}

static struct viewer *viewer_find(uint32_t id)
{
    for (unsigned i = 0; i < vnc.viewers->len; i++) {
        struct viewer *viewer = g_ptr_array_index(vnc.viewers, i);
        if (viewer->look.id == id)
            return viewer;
    }
    return NULL;
}

static void connected(const struct vnc_message *message)
{
    struct viewer *viewer = g_new0(struct viewer, 1);
    bool is_ipv6 = address_split(message->text, &viewer->host, &viewer->service);
    viewer->look = (struct vnc_viewer){.id = message->head.viewer,
                                       .host = viewer->host,
                                       .service = viewer->service,
                                       .is_unix = !message->text[0],
                                       .is_ipv6 = is_ipv6,
                                       .is_websocket = message->head.a};
    viewer->x = viewer->y = -1;
    g_ptr_array_add(vnc.viewers, viewer);
    set_interval(BUSY_MS);
    be_awake();
    if (vnc.hooks.connected)
        vnc.hooks.connected(vnc.hooks.opaque, &viewer->look);
}

static void key_send(struct viewer *viewer, uint16_t code, bool down)
{
    unsigned at = 0, unused = KEYS_HELD;
    for (; at < KEYS_HELD && viewer->held[at] != code; at++)
        unused = viewer->held[at] ? unused : at;
    if (at < KEYS_HELD && !down)
        viewer->held[at] = 0;
    else if (at == KEYS_HELD && down && unused < KEYS_HELD)
        viewer->held[unused] = code;
    keys_set(code, down);
}

static bool is_held(const struct viewer *viewer, uint16_t code)
{
    for (unsigned i = 0; i < KEYS_HELD; i++) {
        if (viewer->held[i] == code)
            return true;
    }
    return false;
}

/* By its symbol: where the viewer's keyboard has it with Shift and the guest's without, or the other way round, Shift
 * goes down or up meanwhile. The guest's Caps Lock may do for letters what the viewer's does. */
static void symbol_send(struct viewer *viewer, uint32_t symbol, bool down)
{
    bool shift, matters, held = is_held(viewer, SHIFT_LEFT) || is_held(viewer, SHIFT);
    uint16_t code = vnc_key_of_symbol(symbol, &shift, &matters), other = is_held(viewer, SHIFT) ? SHIFT : SHIFT_LEFT;
    if (!code)
        return;
    bool is_turned = matters && g_ascii_isalpha((char)symbol) && keys_leds() & INPUT_LED_CAPS;
    bool turns = down && matters && shift != (held != is_turned);
    if (turns)
        keys_set(other, !held);
    key_send(viewer, code, down);
    if (turns)
        keys_set(other, held);
}

static void key(struct viewer *viewer, const struct vnc_head *head)
{
    uint32_t number = head->b;
    if (number == 0xc6)
        key_send(viewer, 0xe11d, head->a); /* Pause */
    else if (number > 0 && number < 0x100)
        key_send(viewer, (uint16_t)(number & 0x80 ? 0xe000 | (number & 0x7f) : number), head->a);
    else
        symbol_send(viewer, head->c, head->a);
}

static int scaled(uint32_t value, unsigned size)
{
    return size > 1 ? (int)(MIN(value, size - 1) * (uint64_t)INPUT_ABSOLUTE_MAX / (size - 1)) : 0;
}

/* RFB's buttons: left, middle, right, then the wheel up and down. */
static unsigned buttons_of(unsigned buttons)
{
    return (buttons & 1) | (buttons & 2) << 1 | (buttons & 4) >> 1;
}

static void pointer(struct viewer *viewer, const struct vnc_head *head)
{
    unsigned pressed = head->a & ~viewer->buttons;
    vnc.mover = viewer->look.id;
    vnc.moved = g_get_monotonic_time();
    int dz = (pressed & 16 ? 1 : 0) - (pressed & 8 ? 1 : 0), x = (int)head->b, y = (int)head->c;
    if (pointer_is_absolute() && !head->d) {
        pointer_place(scaled(head->b, vnc.width), scaled(head->c, vnc.height), dz);
    } else if (head->d) {
        pointer_move(CLAMP(x, -32768, 32767), CLAMP(y, -32768, 32767), dz);
    } else {
        pointer_move(viewer->x >= 0 ? x - viewer->x : 0, viewer->y >= 0 ? y - viewer->y : 0, dz);
        viewer->x = x;
        viewer->y = y;
    }
    if (buttons_of(head->a) != buttons_of(viewer->buttons))
        pointer_buttons(buttons_of(head->a));
    viewer->buttons = head->a;
}

static void viewer_gone(struct viewer *viewer)
{
    for (unsigned i = 0; i < KEYS_HELD; i++) {
        if (viewer->held[i])
            keys_set(viewer->held[i], false);
    }
    if (buttons_of(viewer->buttons))
        pointer_buttons(0);
    if (vnc.hooks.gone)
        vnc.hooks.gone(vnc.hooks.opaque, &viewer->look);
    g_ptr_array_remove(vnc.viewers, viewer);
    sound_update();
    if (!vnc.viewers->len)
        set_interval(0);
}

static void ready(struct viewer *viewer)
{
    viewer->look.is_ready = true;
    if (vnc.hooks.ready)
        vnc.hooks.ready(vnc.hooks.opaque, &viewer->look);
}

static void paste(const char *text)
{
    machine_lock();
    clipboard_offer(CLIPBOARD_HOST, text, strlen(text));
    machine_unlock();
}

static void heard(const struct vnc_message *message)
{
    const struct vnc_head *head = &message->head;
    struct viewer *viewer = viewer_find(head->viewer);
    if (head->kind == VNC_KNOCK) {
        picture_take();
        if (vnc.reader.is_bare)
            cursor_take();
        say(VNC_ENTER, 0, 0, 0, 0, NULL);
        return;
    }
    if (head->kind == VNC_CONNECTED && !viewer && vnc.viewers->len < VNC_VIEWERS_MAX)
        connected(message);
    if (!viewer)
        return;
    switch ((enum vnc_kind)head->kind) {
    case VNC_READY:
        ready(viewer);
        break;
    case VNC_GONE:
        viewer_gone(viewer);
        break;
    case VNC_KEY:
        be_awake();
        key(viewer, head);
        break;
    case VNC_POINTER:
        be_awake();
        pointer(viewer, head);
        break;
    case VNC_PASTE:
        paste(message->text);
        break;
    case VNC_LISTENS:
        viewer->listens = head->a;
        sound_update();
        break;
    default:
        break;
    }
}

/* --- The process --- */

static ssize_t receive(struct vnc_message *message)
{
    ssize_t len = recv(vnc.control, message, sizeof(*message) - 1, MSG_DONTWAIT);
    if (len > 0)
        ((char *)message)[len] = 0;
    return len;
}

static void process_gone(void)
{
    log_user("-vnc: the process that speaks with viewers has ended; nobody can look any more");
    while (vnc.viewers->len)
        viewer_gone(g_ptr_array_index(vnc.viewers, 0));
    vnc.socket = 0;
    vnc_close();
}

#define HEARD_AT_ONCE 64 /* others of the main loop have their turn */

static gboolean socket_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    static struct vnc_message message;
    for (unsigned i = 0; i < HEARD_AT_ONCE; i++) {
        ssize_t len = receive(&message);
        if (len < 0 && (errno == EAGAIN || errno == EINTR))
            return G_SOURCE_CONTINUE;
        if (len < (ssize_t)sizeof(message.head)) {
            process_gone();
            return G_SOURCE_REMOVE;
        }
        heard(&message);
    }
    return G_SOURCE_CONTINUE;
}

static void process_run(void *opaque)
{
    vnc_process_main(opaque);
}

static bool process_begin(const struct vnc_start *start, const int fds[VNC_FDS], GError **error)
{
    static struct vnc_message message;
    vnc.pid = process_start("ringer-vnc", fds, start->has_websocket ? VNC_FDS : VNC_FDS - 1, process_run, (void *)start,
                            error);
    if (vnc.pid < 0)
        return false;
    struct pollfd wait = {.fd = vnc.control, .events = POLLIN};
    while (poll(&wait, 1, START_MS) < 0 && errno == EINTR)
        continue;
    ssize_t len = receive(&message);
    bool ok = len >= (ssize_t)sizeof(message.head) && message.head.kind == VNC_STARTED && message.head.a;
    if (!ok)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "-vnc: %s",
                    len > (ssize_t)sizeof(message.head) ? message.text : "its process has died");
    return ok;
}

static bool sockets_open(GError **error)
{
    char why[ADDRESS_WHY];
    vnc.listener[0] = address_open(&vnc.options.address, why);
    bool ok = vnc.listener[0] >= 0;
    if (ok && vnc.options.has_websocket) {
        vnc.listener[1] = address_open(&vnc.options.websocket, why);
        ok = vnc.listener[1] >= 0;
    }
    if (!ok)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "-vnc: %s", why);
    return ok;
}

bool vnc_open(const struct display *display, const struct vnc_options *options, const char *title, GError **error)
{
    int ends[2];
    vnc.options = *options;
    vnc.display = display;
    vnc.positions = vnc.told_apart = -1;
    vnc.apart = false;
    vnc.reader.is_bare = display->bare_rows != NULL;
    vnc.viewers = g_ptr_array_new_with_free_func(viewer_free);
    vnc.is_open = true;
    if (!sockets_open(error)) {
        vnc_close();
        return false;
    }
    int memory = memfd_create("ringer-vnc", MFD_CLOEXEC);
    bool ok = memory >= 0 && ftruncate(memory, VNC_MEMORY) == 0;
    void *shared = ok ? mmap(NULL, VNC_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0) : MAP_FAILED;
    ok = shared != MAP_FAILED && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0;
    if (!ok) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "-vnc: %s", g_strerror(errno));
    } else {
        const int fds[VNC_FDS] = {ends[1], memory, vnc.listener[0], vnc.listener[1]};
        const struct vnc_start start = {.title = title,
                                        .share = options->share,
                                        .password = options->password,
                                        .lossy = options->lossy,
                                        .reverse = options->reverse,
                                        .has_websocket = options->has_websocket};
        vnc.shared = shared;
        vnc.control = ends[0];
        ok = process_begin(&start, fds, error);
        close(ends[1]);
    }
    if (memory >= 0)
        close(memory);
    if (ok)
        vnc.socket = g_unix_fd_add(vnc.control, G_IO_IN | G_IO_HUP | G_IO_ERR, socket_ready, NULL);
    else
        vnc_close();
    return ok;
}

void vnc_close(void)
{
    if (!vnc.is_open)
        return;
    vnc.is_open = false;
    if (vnc.listens) {
        machine_lock();
        audiodev_listen(vnc.options.audiodev, NULL);
        machine_unlock();
        vnc.listens = false;
    }
    set_interval(0);
    if (vnc.socket)
        g_source_remove(vnc.socket);
    vnc.socket = 0;
    int *fds[] = {&vnc.control, &vnc.listener[0], &vnc.listener[1]};
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    if (vnc.shared)
        munmap(vnc.shared, VNC_MEMORY);
    vnc.shared = NULL;
    if (vnc.options.address.kind == ADDRESS_UNIX && vnc.options.address.order == ADDRESS_LISTEN &&
        !vnc.options.address.abstract)
        unlink(vnc.options.address.path);
    display_pixels_clear(&vnc.reader.picture);
    display_pixels_clear(&vnc.band);
    g_clear_pointer(&vnc.viewers, g_ptr_array_unref);
}

/* --- Looking and ordering --- */

void vnc_set_hooks(const struct vnc_hooks *hooks)
{
    vnc.hooks = *hooks;
}

bool vnc_is_open(void)
{
    return vnc.is_open;
}

const struct vnc_options *vnc_options_now(void)
{
    return &vnc.options;
}

bool vnc_listens_at(bool websocket, GString *text)
{
    const struct address *address = websocket ? &vnc.options.websocket : &vnc.options.address;
    int fd = vnc.listener[websocket];
    if (fd < 0 || vnc.options.reverse)
        return false;
    if (address->kind == ADDRESS_UNIX)
        g_string_append(text, address->path);
    else
        address_of_socket(fd, false, text);
    return true;
}

bool vnc_viewer_look(unsigned i, struct vnc_viewer *viewer)
{
    if (!vnc.is_open || i >= vnc.viewers->len)
        return false;
    *viewer = ((struct viewer *)g_ptr_array_index(vnc.viewers, i))->look;
    return true;
}

static bool tell_or_fail(bool told, GError **error)
{
    if (!told)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "the VNC server does not listen now; try again");
    return told;
}

static bool has_passwords(GError **error)
{
    if (vnc.is_open && vnc.options.password)
        return true;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                vnc.is_open ? "this VNC server asks for no password; start it with -vnc ...,password=on"
                            : "there is no VNC server");
    return false;
}

bool vnc_set_password(const char *password, GError **error)
{
    return has_passwords(error) &&
           tell_or_fail(say(VNC_PASSWORD, password != NULL, 0, 0, 0, password ? password : ""), error);
}

bool vnc_expire_password(int64_t when, GError **error)
{
    return has_passwords(error) &&
           tell_or_fail(say(VNC_EXPIRY, (uint32_t)when, (uint32_t)((uint64_t)when >> 32), 0, 0, NULL), error);
}

void vnc_disconnect_all(void)
{
    if (vnc.is_open)
        say(VNC_DISCONNECT, 0, 0, 0, 0, NULL);
}
