/* Makes network processes by order of the monitor: see broker.h. unix(7), SCM_RIGHTS.
 *
 * An order is the list of options as text; the answer is four descriptors, or a sentence.
 */
#include "broker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/fence.h"
#include "host/process.h"
#include "net_internal.h"
#include "process.h"

#define FDS       (CABLE_FDS + 1)
#define ORDER_MAX 16384

static int broker_fd = -1;
static bool is_started;

bool broker_is_needed(void)
{
    return is_started;
}

/* --- In the process --- */

static void make(const char *text)
{
    GError *error = NULL;
    int fds[FDS] = {-1, -1, -1, -1}, pair[2] = {-1, -1};
    struct keyvalues *options = keyvalues_parse(text, "netdev_add", "type", &error);
    bool ok = options && cable_make(fds, &error);
    if (ok && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
        const int given[FDS] = {fds[0], fds[1], fds[2], pair[1]};
        fds[CABLE_FDS] = pair[0];
        ok = netproc_start(options, given, FDS, &error);
    } else {
        ok = false;
    }
    process_answer(ok ? fds : NULL, FDS, ok ? "" : error ? error->message : "no socket pair");
    for (unsigned i = 0; i < FDS; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    if (pair[1] >= 0)
        close(pair[1]);
    keyvalues_free(options);
    g_clear_error(&error);
}

static void broker_run(void *opaque)
{
    static char order[ORDER_MAX + 1];
    signal(SIGCHLD, SIG_IGN); /* nobody asks how they ended */
    netproc_forbid_commands();
    fence_enter_broker();
    for (;;) {
        ssize_t len = recv(PROCESS_FD, order, ORDER_MAX, 0);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            _exit(0);
        order[len] = 0;
        make(order);
    }
}

/* --- In the monitor --- */

bool net_broker_start(GError **error)
{
    if (broker_fd < 0)
        broker_fd = process_start_server("ringer-broker", broker_run, error);
    is_started |= broker_fd >= 0;
    return broker_fd >= 0;
}

void broker_stop(void)
{
    if (broker_fd >= 0)
        close(broker_fd);
    broker_fd = -1; /* and nobody makes any more */
}

static char *list_text(const struct keyvalues *options)
{
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < options->item->len; i++) {
        const struct keyvalue *item = g_ptr_array_index(options->item, i);
        g_string_append_printf(text, "%s%s=", i ? "," : "", item->key);
        for (const char *c = item->value; *c; c++) {
            g_string_append_c(text, *c);
            if (*c == ',')
                g_string_append_c(text, ',');
        }
    }
    return g_string_free(text, FALSE);
}

bool broker_order(struct keyvalues *options, int cable[CABLE_FDS], int *control, GError **error)
{
    int fds[FDS];
    bool is_lost;
    char *text = list_text(options);
    bool ok = broker_fd >= 0 && strlen(text) <= ORDER_MAX && write(broker_fd, text, strlen(text)) >= 0;
    g_free(text);
    if (!ok)
        return NET_FAIL("the process that makes network back ends takes no order");
    if (!process_take_answer(broker_fd, "network back ends", fds, FDS, &is_lost, error)) {
        if (is_lost)
            broker_stop();
        return false;
    }
    memcpy(cable, fds, CABLE_FDS * sizeof(int));
    *control = fds[CABLE_FDS];
    return true;
}
