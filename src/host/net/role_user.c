/* User networking in its process: libslirp between the card's frames and the host's sockets.
 *
 * libslirp has its own TCP: frames are at most a segment long there, but it takes longer ones from the card, if their
 * checksums are right. What it sends goes through merge.c, for cards that can take several segments as one.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "guestfwd.h"
#include "merge.h"
#include "offload.h"
#include "process.h"
#include "user_config.h"

struct timer {
    SlirpTimerId id;
    void *opaque;
    int64_t when; /* milliseconds; -1: not armed */
};

struct user {
    struct netproc *process;
    Slirp *slirp;
    struct user_config config;
    struct merge *merge;
    GPtrArray *timers;
    struct guestfwds *guestfwds;
    struct polls *polls; /* while it is filled */
    const struct polls *results;
};

static int64_t now_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

/* --- What libslirp calls --- */

static ssize_t send_packet(const void *bytes, size_t len, void *opaque)
{
    struct user *user = opaque;
    merge_put(user->merge, bytes, len, netproc_front_takes(user->process));
    return (ssize_t)len;
}

static void guest_error(const char *message, void *opaque)
{
}

static int64_t clock_get_ns(void *opaque)
{
    return now_ns();
}

static void *timer_new_opaque(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    struct user *user = opaque;
    struct timer *timer = g_new(struct timer, 1);
    *timer = (struct timer){id, cb_opaque, -1};
    g_ptr_array_add(user->timers, timer);
    return timer;
}

static void timer_free(void *timer, void *opaque)
{
    struct user *user = opaque;
    g_ptr_array_remove_fast(user->timers, timer);
    g_free(timer);
}

static void timer_mod(void *opaque_timer, int64_t milliseconds, void *opaque)
{
    struct timer *timer = opaque_timer;
    timer->when = milliseconds;
}

static void ignore_fd(int fd, void *opaque)
{
}

static void notify(void *opaque)
{
}

static void init_completed(Slirp *slirp, void *opaque)
{
    ((struct user *)opaque)->slirp = slirp; /* timers come before slirp_new() returns */
}

/* --- The loop --- */

static int add_poll(int fd, int events, void *opaque)
{
    struct user *user = opaque;
    return polls_add(user->polls, fd,
                     (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                             (events & SLIRP_POLL_PRI ? POLLPRI : 0)));
}

static int get_revents(int place, void *opaque)
{
    const struct user *user = opaque;
    short events = polls_result(user->results, place);
    return (events & POLLIN ? SLIRP_POLL_IN : 0) | (events & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (events & POLLPRI ? SLIRP_POLL_PRI : 0) | (events & POLLERR ? SLIRP_POLL_ERR : 0) |
           (events & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void user_fill(void *role, struct polls *polls)
{
    struct user *user = role;
    uint32_t timeout = UINT32_MAX;
    int64_t now = now_ns() / 1000000;
    merge_flush(user->merge); /* what answers the card's frames */
    user->polls = polls;
    slirp_pollfds_fill(user->slirp, &timeout, add_poll, user);
    user->polls = NULL;
    if (timeout != UINT32_MAX)
        polls_limit(polls, timeout);
    for (unsigned i = 0; i < user->timers->len; i++) {
        const struct timer *timer = g_ptr_array_index(user->timers, i);
        if (timer->when >= 0)
            polls_limit(polls, timer->when - now);
    }
}

static void timers_run(struct user *user)
{
    int64_t now = now_ns() / 1000000;
    for (unsigned i = 0; i < user->timers->len; i++) {
        struct timer *timer = g_ptr_array_index(user->timers, i);
        if (timer->when >= 0 && timer->when <= now) {
            timer->when = -1;
            slirp_handle_timer(user->slirp, timer->id, timer->opaque);
        }
    }
}

static void user_done(void *role, const struct polls *polls, bool can_deliver)
{
    struct user *user = role;
    timers_run(user);
    if (can_deliver) {
        user->results = polls;
        slirp_pollfds_poll(user->slirp, 0, get_revents, user);
        user->results = NULL;
    }
    merge_flush(user->merge);
}

static bool user_frame(void *role, uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    struct user *user = role;
    if (offload_finish(frame, len, offload))
        slirp_input(user->slirp, frame, (int)len);
    return true;
}

/* --- Orders --- */

static bool hostfwd_add(void *opaque, const char *rule, GError **error)
{
    struct user *user = opaque;
    struct forward forward;
    if (!forward_parse(rule, true, &forward, error))
        return false;
    if (forward.guest_len == sizeof(struct sockaddr_in)) {
        struct sockaddr_in *in = (struct sockaddr_in *)&forward.guest;
        if (!in->sin_addr.s_addr)
            in->sin_addr = user->config.slirp.vdhcp_start;
    }
    int flags =
        (forward.is_udp ? SLIRP_HOSTFWD_UDP : 0) | (forward.host.ss_family == AF_INET6 ? SLIRP_HOSTFWD_V6ONLY : 0);
    if (slirp_add_hostxfwd(user->slirp, (struct sockaddr *)&forward.host, forward.host_len,
                           (struct sockaddr *)&forward.guest, forward.guest_len, flags) == 0)
        return true;
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
                "Could not set up host forwarding rule '%s': %s", rule, g_strerror(errno));
    return false;
}

static bool hostfwd_remove(struct user *user, const char *rule, GError **error)
{
    struct forward forward;
    if (!forward_parse(rule, false, &forward, error))
        return false;
    int flags =
        (forward.is_udp ? SLIRP_HOSTFWD_UDP : 0) | (forward.host.ss_family == AF_INET6 ? SLIRP_HOSTFWD_V6ONLY : 0);
    if (slirp_remove_hostxfwd(user->slirp, (struct sockaddr *)&forward.host, forward.host_len, flags) == 0)
        return true;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "host forwarding rule for %s not found", rule);
    return false;
}

static char *user_order(void *role, const char *order, GError **error)
{
    struct user *user = role;
    if (g_str_has_prefix(order, "hostfwd_add "))
        return hostfwd_add(user, order + strlen("hostfwd_add "), error) ? g_strdup("") : NULL;
    if (g_str_has_prefix(order, "hostfwd_remove "))
        return hostfwd_remove(user, order + strlen("hostfwd_remove "), error) ? g_strdup("") : NULL;
    if (strcmp(order, "info") == 0)
        return slirp_connection_info(user->slirp);
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "there is no order '%s'", order);
    return NULL;
}

/* --- Life --- */

static bool guestfwd_add(void *opaque, const char *rule, GError **error)
{
    struct user *user = opaque;
    return guestfwds_add(user->guestfwds, rule, error);
}

static void *user_open(struct netproc *process, struct keyvalues *options, GString *info, GError **error)
{
    static const SlirpCb calls = {.send_packet = send_packet,
                                  .guest_error = guest_error,
                                  .clock_get_ns = clock_get_ns,
                                  .timer_free = timer_free,
                                  .timer_mod = timer_mod,
                                  .register_poll_fd = ignore_fd,
                                  .unregister_poll_fd = ignore_fd,
                                  .notify = notify,
                                  .init_completed = init_completed,
                                  .timer_new_opaque = timer_new_opaque};
    struct user *user = g_new0(struct user, 1);
    user->process = process;
    user->timers = g_ptr_array_new();
    user->merge = merge_new(process);
    if (!user_config_parse(options, &user->config, error))
        return NULL;
    user->slirp = slirp_new(&user->config.slirp, &calls, user);
    if (!user->slirp) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "libslirp does not take these addresses");
        return NULL;
    }
    user->guestfwds = guestfwds_new(user->slirp, &user->config);
    if (!user_config_each(options, "hostfwd", hostfwd_add, user, error) ||
        !user_config_each(options, "guestfwd", guestfwd_add, user, error) ||
        !guestfwds_start(user->guestfwds, user->config.smb, user->config.smb_server, error))
        return NULL;
    char address[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &user->config.slirp.vnetwork, address, sizeof(address));
    g_string_append_printf(info, "net=%s,restrict=%s", address, user->config.slirp.restricted ? "on" : "off");
    return user;
}

static void user_needs(void *role, struct fence_network *needs)
{
    const struct user *user = role;
    needs->name_servers = true;
    needs->folder = user->config.slirp.tftp_path;
}

static uint8_t user_takes(void *role)
{
    return NETDEV_TAKES_CSUM | NETDEV_TAKES_TSO4 | NETDEV_TAKES_TSO6;
}

const struct net_role role_user = {.type = "user",
                                   .open = user_open,
                                   .needs = user_needs,
                                   .takes = user_takes,
                                   .frame = user_frame,
                                   .fill = user_fill,
                                   .done = user_done,
                                   .order = user_order};
