/* A USB device of the host's as the monitor sees it, and the process that makes the processes: see README.md. unix(7),
 * SCM_RIGHTS.
 *
 * What comes from a device's process is checked as what comes from a stranger: one answer to each order, no longer than
 * was asked. A process that says anything else, or ends, is a device that was unplugged.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "devthread.h"
#include "host/fence.h"
#include "host/process.h"
#include "lock.h"
#include "log.h"
#include "order.h"
#include "usb.h"

#define READY_MS   5000
#define LEAVE_MS   300 /* for the device to be given back before another program may want it */
#define SAYS_MAX   10  /* sentences in so many seconds */
#define SAYS_US    (60 * G_USEC_PER_SEC)
#define FAIL(...)  (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, __VA_ARGS__), false)
#define NEWS_BURST 64 /* of one device, before it is somebody else's turn */

struct usbhost {
    char *id;
    const struct usbhost_front *front;
    void *front_opaque;
    int fds[USB_FDS];
    struct usb_share *share;
    guint source;
    bool is_dead, is_closed;
    bool is_present;
    uint32_t session, busy; /* busy: slots */
    uint32_t asked[USBHOST_SLOTS];
    struct usbhost_about about;
    unsigned says;
    int64_t says_since;
};

static int maker_fd = -1;

/* --- The process that makes them --- */

static void child_run(void *opaque)
{
    usb_process_main(opaque);
}

static void make(struct usb_wanted *wanted)
{
    int pair[2] = {-1, -1}, memory = process_memory("ringer-usb", sizeof(struct usb_share));
    GError *error = NULL;
    bool ok = memory >= 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0;
    if (ok) {
        const int given[USB_FDS] = {pair[1], memory};
        ok = process_start("ringer-usb", given, USB_FDS, child_run, wanted, &error) > 0;
    }
    const int kept[USB_FDS] = {pair[0], memory};
    process_answer(ok ? kept : NULL, USB_FDS, ok ? "" : error ? error->message : "no memory or socket for its process");
    for (unsigned i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
    }
    if (memory >= 0)
        close(memory);
    g_clear_error(&error);
}

/* Of root's powers none is needed for what root owns. */
static void powers_drop(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    if (geteuid() == 0)
        syscall(SYS_capset, &header, none);
}

static void maker_run(void *opaque)
{
    struct usb_wanted wanted;
    signal(SIGCHLD, SIG_IGN); /* nobody asks how they ended */
    powers_drop();            /* and all that it makes */
    fence_enter_broker();
    for (;;) {
        ssize_t len = recv(PROCESS_FD, &wanted, sizeof(wanted), 0);
        if (len < 0 && errno == EINTR)
            continue;
        if (len != sizeof(wanted))
            _exit(0);
        wanted.port[sizeof(wanted.port) - 1] = 0;
        make(&wanted);
    }
}

bool usb_host_start(GError **error)
{
    if (maker_fd < 0)
        maker_fd = process_start_server("ringer-usbmaker", maker_run, error);
    return maker_fd >= 0;
}

void usb_host_stop(void)
{
    if (maker_fd >= 0)
        close(maker_fd);
    maker_fd = -1;
}

/* --- Ends of a process --- */

static void usbhost_free(struct usbhost *usbhost)
{
    if (usbhost->share)
        munmap(usbhost->share, sizeof(*usbhost->share));
    for (unsigned i = 0; i < USB_FDS; i++) {
        if (usbhost->fds[i] >= 0)
            close(usbhost->fds[i]);
    }
    g_free(usbhost->id);
    g_free(usbhost);
}

/* For a terminal. */
static void text_settle(struct usb_news *news)
{
    news->text[sizeof(news->text) - 1] = 0;
    for (char *c = news->text; *c; c++)
        *c = g_ascii_isprint(*c) ? *c : '?';
}

/* Its process runs, and looks for a device. */
static bool process_make(struct usbhost *usbhost, const struct usb_wanted *wanted, GError **error)
{
    struct usb_news news;
    if (maker_fd < 0)
        return FAIL("there is no process that makes processes for USB devices");
    if (write(maker_fd, wanted, sizeof(*wanted)) != sizeof(*wanted))
        return FAIL("the process that makes processes for USB devices takes no order");
    bool is_lost;
    if (!process_take_answer(maker_fd, "processes for USB devices", usbhost->fds, USB_FDS, &is_lost, error)) {
        if (is_lost)
            usb_host_stop();
        return false;
    }
    void *at = mmap(NULL, sizeof(struct usb_share), PROT_READ | PROT_WRITE, MAP_SHARED, usbhost->fds[USB_MEMORY], 0);
    if (at == MAP_FAILED)
        return FAIL("no memory to share with its process: %s", g_strerror(errno));
    usbhost->share = at;
    int fd = usbhost->fds[USB_SOCKET];
    if (!process_is_readable(fd, READY_MS) || read(fd, &news, sizeof(news)) != sizeof(news) || news.kind != NEWS_READY)
        return FAIL("its process has ended or does not answer");
    text_settle(&news);
    return news.answer.status == 0 || FAIL("%s", news.text);
}

/* --- Orders --- */

static void link_die(struct usbhost *usbhost, const char *why)
{
    if (usbhost->is_dead)
        return;
    usbhost->is_dead = true;
    log_user("the process behind host USB device '%s' %s: the guest sees it unplugged; device_del and device_add bring "
             "it back",
             usbhost->id, why);
    if (usbhost->is_present)
        usbhost->front->went(usbhost->front_opaque);
    usbhost->is_present = false;
}

static gboolean die_later(gpointer opaque)
{
    struct usbhost *usbhost = opaque;
    machine_lock();
    if (!usbhost->is_closed)
        link_die(usbhost, "takes no orders");
    machine_unlock();
    return G_SOURCE_REMOVE;
}

/* There is room for all that may be under way, so a socket that is full has nobody at its other end; who asks is in the
 * midst of something, and is told later. */
static void call_send(struct usbhost *usbhost, const struct usbhost_order *order)
{
    const struct usb_call call = {usbhost->session, *order};
    if (usbhost->is_dead || !usbhost->is_present)
        return;
    if (write(usbhost->fds[USB_SOCKET], &call, sizeof(call)) != sizeof(call))
        devthread_idle_add(die_later, usbhost);
}

static uint8_t *link_buffer(struct usbhost *usbhost, unsigned slot)
{
    return usbhost->share->buffer[slot];
}

static void link_submit(struct usbhost *usbhost, const struct usbhost_order *order)
{
    assert_always(order->slot < USBHOST_SLOTS && !(usbhost->busy & 1u << order->slot));
    usbhost->busy |= 1u << order->slot;
    usbhost->asked[order->slot] = order->len;
    call_send(usbhost, order);
}

static void link_cancel(struct usbhost *usbhost, unsigned slot)
{
    const struct usbhost_order order = {.kind = ORDER_CANCEL, .slot = (uint8_t)slot};
    call_send(usbhost, &order);
}

static void link_release(struct usbhost *usbhost, bool again)
{
    const struct usbhost_order order = {.kind = ORDER_RELEASE, .value = again};
    call_send(usbhost, &order);
}

/* --- News --- */

static void says(struct usbhost *usbhost, const char *text)
{
    int64_t now = g_get_monotonic_time();
    if (now - usbhost->says_since > SAYS_US) {
        usbhost->says_since = now;
        usbhost->says = 0;
    }
    if (usbhost->says++ < SAYS_MAX)
        log_user("%s: %s", usbhost->id, text);
}

static bool answer_is_sound(const struct usbhost *usbhost, const struct usbhost_answer *answer)
{
    return answer->slot < USBHOST_SLOTS && usbhost->busy & 1u << answer->slot && answer->status < USBHOST_STATUSES &&
           answer->actual <= usbhost->asked[answer->slot];
}

/* False: it makes no sense. */
static bool news_take(struct usbhost *usbhost, struct usb_news *news)
{
    text_settle(news);
    switch (news->kind) {
    case NEWS_CAME:
        if (usbhost->is_present)
            return false;
        usbhost->session = news->session;
        usbhost->is_present = true;
        usbhost->busy = 0;
        usbhost->about = usbhost->share->about;
        usbhost->front->came(usbhost->front_opaque, &usbhost->about);
        return true;
    case NEWS_WENT:
        if (!usbhost->is_present)
            return false;
        usbhost->is_present = false;
        usbhost->busy = 0;
        usbhost->front->went(usbhost->front_opaque);
        return true;
    case NEWS_ANSWER:
        if (!usbhost->is_present || !answer_is_sound(usbhost, &news->answer))
            return false;
        usbhost->busy &= ~(1u << news->answer.slot);
        if (news->answer.slot == 0)
            usbhost->about = usbhost->share->about;
        usbhost->front->answered(usbhost->front_opaque, &news->answer, &usbhost->about);
        return true;
    case NEWS_SAYS:
        says(usbhost, news->text);
        return true;
    default:
        return false;
    }
}

/* On the device thread. */
static gboolean news_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    struct usbhost *usbhost = opaque;
    machine_lock();
    for (unsigned i = 0; i < NEWS_BURST && !usbhost->is_closed && !usbhost->is_dead; i++) {
        struct usb_news news;
        ssize_t len = read(fd, &news, sizeof(news));
        if (len < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (len != sizeof(news))
            link_die(usbhost, "has ended");
        else if (!news_take(usbhost, &news))
            link_die(usbhost, "has said what makes no sense");
    }
    bool goes_on = !usbhost->is_closed && !usbhost->is_dead;
    machine_unlock();
    return goes_on ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* --- Life --- */

static void wanted_fill(struct usb_wanted *wanted, const struct usbhost_match *match)
{
    *wanted = (struct usb_wanted){
        .bus = match->bus, .address = match->address, .vendor = match->vendor, .product = match->product};
    if (match->port)
        g_strlcpy(wanted->port, match->port, sizeof(wanted->port));
}

static struct usbhost *usbhost_new(const char *id)
{
    struct usbhost *usbhost = g_new0(struct usbhost, 1);
    usbhost->id = g_strdup(id);
    for (unsigned i = 0; i < USB_FDS; i++)
        usbhost->fds[i] = -1;
    return usbhost;
}

static struct usbhost *link_open(const char *id, const struct usbhost_match *match, const struct usbhost_front *front,
                                 void *front_opaque, GError **error)
{
    struct usbhost *usbhost = usbhost_new(id);
    struct usb_wanted wanted;
    wanted_fill(&wanted, match);
    usbhost->front = front;
    usbhost->front_opaque = front_opaque;
    if (!process_make(usbhost, &wanted, error)) {
        usbhost_free(usbhost);
        return NULL;
    }
    int fd = usbhost->fds[USB_SOCKET];
    fcntl(fd, F_SETFL, O_NONBLOCK);
    usbhost->source = devthread_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, news_ready, usbhost);
    return usbhost;
}

static gboolean free_later(gpointer opaque)
{
    usbhost_free(opaque);
    return G_SOURCE_REMOVE;
}

static void link_close(struct usbhost *usbhost)
{
    const struct usb_call leave = {.order.kind = ORDER_LEAVE};
    int fd = usbhost->fds[USB_SOCKET];
    int64_t end = g_get_monotonic_time() + LEAVE_MS * 1000;
    struct usb_news news;
    usbhost->is_closed = true;
    if (write(fd, &leave, sizeof(leave)) == sizeof(leave)) {
        while (g_get_monotonic_time() < end && process_is_readable(fd, (int)((end - g_get_monotonic_time()) / 1000)) &&
               read(fd, &news, sizeof(news)) > 0)
            continue;
    }
    if (!devthread_is_running()) {
        devthread_source_remove(usbhost->source);
        usbhost_free(usbhost);
        return;
    }
    /* Its callback may wait for the lock that we hold: it is freed behind that. */
    devthread_source_remove(usbhost->source);
    devthread_idle_add(free_later, usbhost);
}

const struct usbhost_service *usb_host_service(void)
{
    static const struct usbhost_service service = {link_open,   link_close,  link_buffer,
                                                   link_submit, link_cancel, link_release};
    return maker_fd >= 0 ? &service : NULL;
}

void usb_host_list(GString *out)
{
    const struct usb_wanted wanted = {.is_list = true};
    struct usbhost *usbhost = usbhost_new("list");
    GError *error = NULL;
    bool ok = process_make(usbhost, &wanted, &error);
    for (unsigned i = 0; ok && i < LIST_MAX && usbhost->share->list[i]; i++) {
        char c = usbhost->share->list[i];
        g_string_append_c(out, g_ascii_isprint(c) || c == '\n' ? c : '?');
    }
    if (!ok)
        g_string_append_printf(out, "info usbhost: %s\n", error->message);
    g_clear_error(&error);
    usbhost_free(usbhost);
}
