/* The process that lets viewers in: it listens, makes a process for each that comes, passes the monitor's messages on
 * to all of them, and clears away after those that end, for whatever reason. It reads nothing that a viewer sends.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/fence.h"
#include "host/process.h"
#include "internal.h"
#include "vnc.h"

#define WAIT_MS 20000 /* a viewer that takes nothing for so long is let go */
#define NICE    10    /* many viewers' compressing must not take the processor from the guest: setpriority(2) */

struct guest { /* one who has come to look */
    pid_t pid;
    uint32_t id;
    int orders;
    bool missed; /* it did not take a message: all may have changed for it */
};

static struct {
    struct vnc_house house;
    struct guest guests[VNC_VIEWERS_MAX];
    unsigned count;
    uint32_t last_id;
    struct knock {
        int fd;
        bool is_websocket;
    } knocks[VNC_VIEWERS_MAX]; /* before the monitor has said what there is to see now */
    unsigned knock_count;
    int listener[2]; /* -1: none; the second one is for WebSockets */
} self = {.house = {.expires = INT64_MAX}};

void vnc_tell(enum vnc_kind kind, uint32_t viewer, uint32_t a, uint32_t b, uint32_t c, uint32_t d, const char *text,
              size_t len)
{
    struct vnc_head head = {kind, viewer, a, b, c, d};
    struct iovec parts[] = {{&head, sizeof(head)}, {(void *)text, text ? MIN(len, VNC_TEXT_MAX) : 0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    while (sendmsg(PROCESS_FD + VNC_CONTROL, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

void vnc_tell_parent(int orders, enum vnc_kind kind)
{
    struct vnc_head head = {.kind = kind};
    send(orders, &head, sizeof(head), MSG_NOSIGNAL);
}

void vnc_house_obey(struct vnc_house *house, const struct vnc_message *message)
{
    const struct vnc_head *head = &message->head;
    switch ((enum vnc_kind)head->kind) {
    case VNC_SIZE:
        house->width = head->a;
        house->height = head->b;
        break;
    case VNC_PASSWORD:
        house->has_password = head->a;
        memset(house->password, 0, sizeof(house->password));
        g_strlcpy(house->password, message->text, sizeof(house->password));
        break;
    case VNC_EXPIRY:
        house->expires = (int64_t)((uint64_t)head->b << 32 | head->a);
        break;
    case VNC_POINTER_IS:
        house->takes_positions = head->a;
        break;
    case VNC_SHAPE:
        house->is_apart = head->a;
        memcpy(&house->shape, message->text, sizeof(house->shape));
        house->shape.width = MIN(house->shape.width, DISPLAY_CURSOR_MAX);
        house->shape.height = MIN(house->shape.height, DISPLAY_CURSOR_MAX);
        break;
    case VNC_PLACE:
        house->place[0] = head->a;
        house->place[1] = head->b;
        break;
    default:
        break;
    }
}

/* --- Viewers' processes --- */

static void end(unsigned i)
{
    struct guest *guest = &self.guests[i];
    kill(guest->pid, SIGKILL);
    while (waitpid(guest->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    close(guest->orders);
    vnc_tell(VNC_GONE, guest->id, 0, 0, 0, 0, NULL, 0);
    *guest = self.guests[--self.count];
}

static void end_all_but(uint32_t id)
{
    for (unsigned i = self.count; i-- > 0;) {
        if (self.guests[i].id != id)
            end(i);
    }
}

static void let_in(int fd, bool is_websocket)
{
    int ends[2];
    if (self.count == VNC_VIEWERS_MAX || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        close(fd);
        return;
    }
    uint32_t id = ++self.last_id;
    pid_t pid = fork();
    if (pid == 0) {
        for (unsigned i = 0; i < self.count; i++)
            close(self.guests[i].orders);
        for (unsigned i = 0; i < self.knock_count; i++)
            close(self.knocks[i].fd);
        close(ends[0]);
        for (unsigned i = 0; i < G_N_ELEMENTS(self.listener); i++) {
            if (self.listener[i] >= 0)
                close(self.listener[i]);
        }
        vnc_viewer_main(&self.house, id, fd, ends[1], is_websocket);
    }
    close(fd);
    close(ends[1]);
    if (pid < 0)
        close(ends[0]);
    else
        self.guests[self.count++] = (struct guest){pid, id, ends[0], false};
}

static void knock(int fd, bool is_websocket)
{
    if (self.count + self.knock_count >= VNC_VIEWERS_MAX) {
        close(fd);
        return;
    }
    self.knocks[self.knock_count++] = (struct knock){fd, is_websocket};
    vnc_tell(VNC_KNOCK, 0, 0, 0, 0, 0, NULL, 0);
}

static void accept_from(int listener, bool is_websocket)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        knock(fd, is_websocket);
}

static void open_door(void)
{
    while (self.knock_count > 0) {
        struct knock *first = &self.knocks[0];
        int fd = first->fd;
        bool is_websocket = first->is_websocket;
        memmove(first, first + 1, --self.knock_count * sizeof(*first));
        let_in(fd, is_websocket);
    }
}

/* It has said something, or ended. */
static void hear(unsigned i)
{
    struct guest *guest = &self.guests[i];
    struct vnc_head head;
    ssize_t len = recv(guest->orders, &head, sizeof(head), MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len != sizeof(head) || head.kind != VNC_ALONE) {
        end(i);
        return;
    }
    int share = self.house.start->share;
    if (share == VNC_ALLOW_EXCLUSIVE)
        end_all_but(guest->id);
    else if (share == VNC_FORCE_SHARED)
        end(i);
}

/* --- What the monitor says --- */

static bool pass_to(struct guest *guest, const void *message, size_t len)
{
    return send(guest->orders, message, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

/* One that did not take something: the picture, and the pointer's shape. */
static bool tell_all(struct guest *guest)
{
    const struct vnc_head size = {VNC_SIZE, 0, self.house.width, self.house.height, 0, 0};
    struct vnc_head head = {VNC_SHAPE, 0, self.house.is_apart, 0, 0, 0};
    struct iovec parts[] = {{&head, sizeof(head)}, {&self.house.shape, VNC_SHAPE_BYTES(&self.house.shape)}};
    struct msghdr shape = {.msg_iov = parts, .msg_iovlen = 2};
    return pass_to(guest, &size, sizeof(size)) && sendmsg(guest->orders, &shape, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

/* One that did not take something is told of all as soon as it takes anything. */
static void pass_on(const struct vnc_message *message, size_t len)
{
    for (unsigned i = 0; i < self.count; i++) {
        struct guest *guest = &self.guests[i];
        if (guest->missed)
            guest->missed = !tell_all(guest);
        if (guest->missed || !pass_to(guest, message, len))
            guest->missed = true;
    }
}

static void take_message(void)
{
    static struct vnc_message message;
    ssize_t len = recv(PROCESS_FD + VNC_CONTROL, &message, sizeof(message) - 1, 0);
    if (len == 0)
        _exit(0); /* and all viewers' processes with it */
    if (len < (ssize_t)sizeof(message.head))
        return;
    ((char *)&message)[len] = 0;
    vnc_house_obey(&self.house, &message);
    if (message.head.kind == VNC_DISCONNECT)
        end_all_but(0);
    else if (message.head.kind == VNC_ENTER)
        open_door();
    else
        pass_on(&message, (size_t)len);
}

/* --- Life --- */

_Noreturn static void fail(const char *why)
{
    vnc_tell(VNC_STARTED, 0, 0, 0, 0, 0, why, strlen(why));
    _exit(1);
}

_Noreturn static void serve(void)
{
    struct pollfd fds[VNC_FDS + VNC_VIEWERS_MAX];
    for (;;) {
        unsigned count = self.count;
        fds[0] = (struct pollfd){PROCESS_FD + VNC_CONTROL, POLLIN, 0};
        for (unsigned i = 0; i < 2; i++)
            fds[1 + i] = (struct pollfd){self.listener[i], POLLIN, 0};
        for (unsigned i = 0; i < count; i++)
            fds[3 + i] = (struct pollfd){self.guests[i].orders, POLLIN, 0};
        if (poll(fds, 3 + count, -1) < 0 && errno != EINTR)
            _exit(1);
        if (fds[0].revents)
            take_message();
        for (unsigned i = count; i-- > 0;) {
            if (i < self.count && fds[3 + i].revents && self.guests[i].orders == fds[3 + i].fd)
                hear(i);
        }
        for (unsigned i = 0; i < 2; i++) {
            if (fds[1 + i].revents & POLLIN)
                accept_from(self.listener[i], i == 1);
            else if (fds[1 + i].revents)
                self.listener[i] = -1;
        }
    }
}

/* What libraries load or ask of the host when they are used first, which is before the fence. */
static void warm_up(void)
{
    uint8_t bytes[16] = {0};
    char password[VNC_PASSWORD_MAX + 1] = "x";
    vnc_rfb.rfbEncryptBytes_(bytes, password);
    g_free(g_convert("x", 1, "ISO-8859-1", "UTF-8", NULL, NULL, NULL));
    g_free(g_convert("x", 1, "UTF-8", "ISO-8859-1", NULL, NULL, NULL));
}

/* As RLIMIT_DATA counts it: proc(5), statm. */
static uint64_t memory_now(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    bool ok = file && fscanf(file, "%*s %*s %*s %*s %*s %llu", &pages) == 1;
    if (file)
        fclose(file);
    return ok ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : UINT64_MAX / 2;
}

_Noreturn void vnc_process_main(const struct vnc_start *start)
{
    const char *why = vnc_load();
    if (why)
        fail(why);
    int was = getpriority(PRIO_PROCESS, 0);
    setpriority(PRIO_PROCESS, 0, was + NICE);
    self.house.start = start;
    self.house.memory = memory_now();
    self.house.picture = mmap(NULL, VNC_MEMORY, PROT_READ, MAP_SHARED, PROCESS_FD + VNC_PICTURE, 0);
    if (self.house.picture == MAP_FAILED)
        fail(g_strerror(errno));
    vnc_rfb.rfbLogEnable_(0);
    *vnc_rfb.max_client_wait = WAIT_MS;
    warm_up();
    fence_enter_viewers();
    vnc_tell(VNC_STARTED, 0, 1, 0, 0, 0, NULL, 0);
    self.listener[0] = start->reverse ? -1 : PROCESS_FD + VNC_LISTEN;
    self.listener[1] = start->has_websocket ? PROCESS_FD + VNC_LISTEN_WEBSOCKET : -1;
    if (start->reverse)
        knock(PROCESS_FD + VNC_LISTEN, false);
    serve();
}
