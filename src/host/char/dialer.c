/* The process that makes sockets: see dialer.h. unix(7), seccomp by host/fence.h. */
#include "dialer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devthread.h"
#include "host/fence.h"
#include "host/process.h"
#include "lock.h"
#include "log.h"

#define ORDERS_MAX 16 /* under way at a time */

struct order {
    uint32_t serial;
    struct address address;
};

struct answer {
    uint32_t serial;
    char why[ADDRESS_WHY]; /* empty: a descriptor comes with it */
};

/* --- In the process --- */

static struct {
    int fd;
    const struct address *allowed;
    unsigned count;
    bool anything;
    _Atomic int busy;
} self;

static void answer_send(const struct answer *answer, int fd)
{
    struct iovec bytes = {(void *)answer, sizeof(*answer)};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof(control.room);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    }
    while (sendmsg(self.fd, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

static bool is_allowed(const struct address *address)
{
    for (unsigned i = 0; i < self.count; i++) {
        if (address_equal(address, &self.allowed[i]))
            return true;
    }
    return self.anything;
}

static void *order_run(void *opaque)
{
    struct order *order = opaque;
    struct answer answer = {.serial = order->serial};
    int fd = -1;
    if (is_allowed(&order->address))
        fd = address_open(&order->address, answer.why);
    else
        g_strlcpy(answer.why, "the command line does not name this address", sizeof(answer.why));
    if (fd >= 0)
        answer.why[0] = 0;
    answer_send(&answer, fd);
    if (fd >= 0)
        close(fd);
    g_free(order);
    atomic_fetch_sub(&self.busy, 1);
    return NULL;
}

static void order_start(const struct order *given)
{
    pthread_t thread;
    struct answer answer = {.serial = given->serial};
    if (atomic_fetch_add(&self.busy, 1) < ORDERS_MAX) {
        struct order *order = g_new(struct order, 1);
        *order = *given;
        if (pthread_create(&thread, NULL, order_run, order) == 0) {
            pthread_detach(thread);
            return;
        }
        g_free(order);
    }
    atomic_fetch_sub(&self.busy, 1);
    g_strlcpy(answer.why, "too many connections are being made; try again later", sizeof(answer.why));
    answer_send(&answer, -1);
}

static void dialer_run(void *opaque)
{
    struct order order;
    self.fd = PROCESS_FD;
    address_warm_up();
    fence_enter_dialer(); /* where the host allows it: as in the monitor, which has said so */
    for (;;) {
        ssize_t len = recv(self.fd, &order, sizeof(order), 0);
        if (len < 0 && errno == EINTR)
            continue;
        if (len != sizeof(order))
            _exit(0);
        order.address.path[sizeof(order.address.path) - 1] = 0;
        order.address.host[sizeof(order.address.host) - 1] = order.address.port[sizeof(order.address.port) - 1] = 0;
        order.address.local_host[sizeof(order.address.local_host) - 1] = 0;
        order.address.local_port[sizeof(order.address.local_port) - 1] = 0;
        order_start(&order);
    }
}

/* --- In the monitor --- */

struct dial {
    uint32_t serial;
    void (*answered)(void *opaque, int fd, const char *why);
    void *opaque;
};

static struct {
    int fd; /* 0: there is none */
    guint source;
    uint32_t serial;
    GPtrArray *dials;
} dialer;

bool dialer_is_there(void)
{
    return dialer.fd > 0;
}

static struct dial *dial_take(uint32_t serial)
{
    for (unsigned i = 0; i < dialer.dials->len; i++) {
        struct dial *dial = g_ptr_array_index(dialer.dials, i);
        if (dial->serial == serial)
            return g_ptr_array_remove_index_fast(dialer.dials, i);
    }
    return NULL;
}

static void dial_answer(struct dial *dial, int fd, const char *why)
{
    if (dial)
        dial->answered(dial->opaque, fd, why);
    else if (fd >= 0)
        close(fd); /* nobody wants it any more */
    g_free(dial);
}

static void dialer_lost(void)
{
    log_user("the process that makes connections has ended; no new ones can be made");
    dialer_stop();
}

static gboolean answer_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    struct answer answer;
    struct iovec bytes = {&answer, sizeof(answer)};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)};
    int got = -1;
    ssize_t len = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    machine_lock();
    if (len == sizeof(answer)) {
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
            memcpy(&got, CMSG_DATA(header), sizeof(got));
        answer.why[sizeof(answer.why) - 1] = 0;
        dial_answer(dial_take(answer.serial), got, answer.why);
    } else if (dialer.fd > 0) {
        dialer_lost();
    }
    machine_unlock();
    return G_SOURCE_CONTINUE;
}

bool dialer_start(const struct address *allowed, unsigned count, bool anything, GError **error)
{
    if (dialer.fd > 0)
        return true;
    self.allowed = allowed; /* for the process, which gets a copy */
    self.count = count;
    self.anything = anything;
    int fd = process_start_server("ringer-dialer", dialer_run, error);
    if (fd < 0)
        return false;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    dialer.fd = fd;
    dialer.dials = g_ptr_array_new();
    dialer.source = devthread_fd_add(dialer.fd, G_IO_IN | G_IO_HUP | G_IO_ERR, answer_ready, NULL);
    return true;
}

/* Everybody who waits hears of it. Machine lock, or no other thread. */
void dialer_stop(void)
{
    if (dialer.fd <= 0)
        return;
    devthread_source_remove(dialer.source);
    close(dialer.fd);
    dialer.fd = 0;
    while (dialer.dials->len)
        dial_answer(g_ptr_array_steal_index(dialer.dials, 0), -1, "the process that makes connections has ended");
}

struct dial *dialer_order(const struct address *address, void (*answered)(void *opaque, int fd, const char *why),
                          void *opaque)
{
    if (dialer.fd <= 0)
        return NULL;
    struct order order = {.serial = ++dialer.serial, .address = *address};
    if (send(dialer.fd, &order, sizeof(order), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(order))
        return NULL;
    struct dial *dial = g_new(struct dial, 1);
    *dial = (struct dial){order.serial, answered, opaque};
    g_ptr_array_add(dialer.dials, dial);
    return dial;
}

void dialer_cancel(struct dial *dial)
{
    g_ptr_array_remove_fast(dialer.dials, dial);
    g_free(dial);
}

struct wait {
    bool done;
    int fd;
    char *why;
};

static void wait_answered(void *opaque, int fd, const char *why)
{
    struct wait *wait = opaque;
    *wait = (struct wait){true, fd, g_strdup(why)};
}

int dialer_wait(const struct address *address, unsigned ms, char why[ADDRESS_WHY])
{
    struct wait wait = {.fd = -1};
    int64_t give_up = g_get_monotonic_time() + ms * 1000ll;
    machine_lock();
    struct dial *dial = dialer_order(address, wait_answered, &wait);
    while (dial && !wait.done && g_get_monotonic_time() < give_up) {
        machine_unlock();
        g_usleep(1000);
        machine_lock();
    }
    if (dial && !wait.done)
        dialer_cancel(dial);
    machine_unlock();
    g_strlcpy(why,
              !dial       ? "no connection can be made now"
              : wait.done ? wait.why
                          : "there is no answer yet",
              ADDRESS_WHY);
    g_free(wait.why);
    return wait.fd;
}
