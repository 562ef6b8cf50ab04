/* Inside of a network process: its beginning, its loop, what the monitor asks it. See process.h.
 *
 * The loop sleeps until the card has sent something, the role hears of the world, or the monitor asks. What the card
 * sends is handed over while it comes; frames to the card wait for room in its ring, so that whoever sends them (TCP at
 * the other end of a socket) is slowed down instead of losing them.
 */
#include "process.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "busypoll.h"
#include "host/process.h"

#define FRAMES_AT_ONCE 256

struct netproc {
    struct cable cable;
    int control;
    const struct net_role *role;
    void *state;
    struct busypoll busypoll;
    bool held; /* frame has a frame that the role does not take now */
    size_t held_len;
    struct netdev_offload held_offload;
    uint8_t frame[NETDEV_FRAME_MAX];
};

static bool no_commands;

void netproc_forbid_commands(void)
{
    no_commands = true;
}

bool netproc_may_run(const char *what, GError **error)
{
    if (no_commands)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_PERM, "%s goes with -netdev on the command line only", what);
    return !no_commands;
}

static const struct net_role *const roles[] = {
#ifdef HAVE_SLIRP
    &role_user,
#endif
    &role_tap, &role_socket, &role_stream, &role_dgram};

const struct net_role *net_role_at(unsigned i)
{
    return i < G_N_ELEMENTS(roles) ? roles[i] : NULL;
}

const struct net_role *net_role_find(const char *type)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(roles); i++) {
        if (strcmp(roles[i]->type, type) == 0)
            return roles[i];
    }
    return NULL;
}

int polls_add(struct polls *polls, int fd, short events)
{
    struct pollfd poll = {fd, events, 0};
    g_array_append_val(polls->fds, poll);
    return (int)polls->fds->len - 1;
}

short polls_result(const struct polls *polls, int place)
{
    return place >= 0 && (guint)place < polls->fds->len ? g_array_index(polls->fds, struct pollfd, place).revents : 0;
}

void polls_limit(struct polls *polls, int64_t milliseconds)
{
    int limit = (int)CLAMP(milliseconds, 0, 1000000);
    if (polls->timeout < 0 || polls->timeout > limit)
        polls->timeout = limit;
}

void netproc_deliver(struct netproc *process, const struct iovec *pieces, unsigned count,
                     const struct netdev_offload *offload)
{
    cable_put(&process->cable, pieces, count, offload);
}

uint8_t netproc_front_takes(const struct netproc *process)
{
    return (uint8_t)atomic_load(process->cable.takes);
}

static void answer(const struct netproc *process, char verdict, const char *text)
{
    gsize len = MIN(strlen(text), NETPROC_MESSAGE - 1);
    char *message = g_malloc(len + 1);
    message[0] = verdict;
    memcpy(message + 1, text, len);
    while (write(process->control, message, len + 1) < 0 && errno == EINTR)
        continue;
    g_free(message);
}

/* Takes what the card has sent; true: there may be more. */
static bool take_frames(struct netproc *process)
{
    for (unsigned i = 0; i < FRAMES_AT_ONCE; i++) {
        if (!process->held) {
            process->held_len = cable_get(&process->cable, process->frame, &process->held_offload);
            if (process->held_len == 0)
                return false;
        }
        process->held =
            !process->role->frame(process->state, process->frame, process->held_len, &process->held_offload);
        if (process->held)
            return false;
    }
    return true;
}

static void take_order(struct netproc *process)
{
    char order[4096];
    ssize_t len = read(process->control, order, sizeof(order) - 1);
    if (len < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (len <= 0)
        _exit(0); /* whom we work for is gone */
    order[len] = 0;
    GError *error = NULL;
    char *text = NULL;
    if (process->role->order)
        text = process->role->order(process->state, order, &error);
    else
        g_set_error(&error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "'%s' takes no orders", process->role->type);
    answer(process, error ? '-' : '+', error ? error->message : text ? text : "");
    g_clear_error(&error);
    g_free(text);
}

/* Looks at the card's ring and at all else before it sleeps; what poll(2) has to say is in polls. */
static void wait_for_something(struct netproc *process, struct polls *polls)
{
    struct pollfd *fds = (struct pollfd *)polls->fds->data;
    bool has_come = false;
    int count = 0;
    if (polls->timeout != 0 && busypoll_begin(&process->busypoll)) {
        do {
            count = poll(fds, polls->fds->len, 0);
            has_come = count != 0 || (!process->held && cable_has_frames(&process->cable));
        } while (!has_come && busypoll_more(&process->busypoll));
    }
    if (!has_come) {
        bool sleeps = polls->timeout != 0 && (process->held || cable_may_sleep(&process->cable));
        count = poll(fds, polls->fds->len, sleeps ? polls->timeout : 0);
        if (sleeps)
            busypoll_slept(&process->busypoll);
    }
    for (guint i = 0; count < 0 && i < polls->fds->len; i++)
        fds[i].revents = 0;
}

_Noreturn static void loop(struct netproc *process)
{
    struct polls polls = {g_array_new(FALSE, FALSE, sizeof(struct pollfd)), -1};
    for (;;) {
        bool more = take_frames(process);
        if (process->cable.broken)
            _exit(1);
        bool has_room = !cable_wait_for_room(&process->cable);
        g_array_set_size(polls.fds, 0);
        polls.timeout = -1;
        int wake = polls_add(&polls, process->cable.wake_us, POLLIN);
        int control = polls_add(&polls, process->control, POLLIN);
        process->role->fill(process->state, &polls);
        if (!has_room) { /* only what the card or the monitor says matters, and time */
            g_array_set_size(polls.fds, 2);
            polls_limit(&polls, 100);
        }
        if (more)
            polls.timeout = 0;
        wait_for_something(process, &polls);
        if (polls_result(&polls, wake))
            cable_awake(&process->cable);
        if (polls_result(&polls, control))
            take_order(process);
        process->role->done(process->state, &polls, has_room);
    }
}

static void netproc_run(void *opaque)
{
    static struct netproc process;
    static const int cable_fds[CABLE_FDS] = {PROCESS_FD, PROCESS_FD + 1, PROCESS_FD + 2};
    struct keyvalues *options = opaque;
    const char *type = keyvalues_get(options, "type");
    struct fence_network needs = {0};
    GString *info = g_string_new(NULL);
    GError *error = NULL;
    process.control = PROCESS_FD + CABLE_FDS;
    busypoll_init(&process.busypoll);
    process.role = type ? net_role_find(type) : NULL;
    (void)keyvalues_get(options, "id");
    if (!process.role || !cable_open(&process.cable, cable_fds, false)) {
        answer(&process, '-', "no memory");
        _exit(1);
    }
    process.state = process.role->open(&process, options, info, &error);
    const char *unused = process.state ? keyvalues_unused(options) : NULL;
    if (unused)
        g_set_error(&error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "Invalid parameter '%s'", unused);
    if (error || !process.state) {
        answer(&process, '-', error ? error->message : "it cannot be opened");
        _exit(1);
    }
    if (process.role->needs)
        process.role->needs(process.state, &needs);
    fence_enter_network(&needs); /* where the host allows it: as in the monitor, which has said so */
    char *text =
        g_strdup_printf("%c%s", '0' + (process.role->takes ? process.role->takes(process.state) : 0), info->str);
    answer(&process, '+', text);
    g_free(text);
    g_string_free(info, TRUE);
    loop(&process);
}

bool netproc_start(struct keyvalues *options, const int *fds, unsigned count, GError **error)
{
    return process_start("ringer-net", fds, count, netproc_run, options, error) > 0;
}
