/* A line to the monitor of a running engine. See stats_link.h; the monitor is src/host/control/monitor.c.
 */
#include "stats_link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "child.h"

#define WAIT_SECONDS 10
#define COMMAND      "info stats json\n"
#define END          "\n }}\n" /* of what it answers */

gboolean stats_link_init(struct stats_link *link, GError **error)
{
    link->fd = -1;
    link->path = NULL;
    link->folder = g_dir_make_tmp("ringer-bench.XXXXXX", error);
    if (link->folder)
        link->path = g_build_filename(link->folder, "monitor", NULL);
    return link->folder != NULL;
}

void stats_link_clear(struct stats_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    if (link->folder) {
        unlink(link->path);
        rmdir(link->folder);
    }
    g_free(link->path);
    g_free(link->folder);
}

char *stats_link_option(const struct stats_link *link)
{
    return g_strdup_printf("unix:%s,server=on,wait=off", link->path);
}

static bool link_connect(struct stats_link *link)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = WAIT_SECONDS};
    if (strlen(link->path) >= sizeof address.sun_path)
        return false;
    strcpy(address.sun_path, link->path);
    link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return link->fd >= 0 && !setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) &&
           !connect(link->fd, (struct sockaddr *)&address, sizeof address);
}

char *stats_link_ask(struct stats_link *link, GError **error)
{
    GString *text = g_string_new(NULL);
    char part[4096];
    ssize_t n = 1;

    if ((link->fd >= 0 || link_connect(link)) &&
        send(link->fd, COMMAND, strlen(COMMAND), MSG_NOSIGNAL) == (ssize_t)strlen(COMMAND)) {
        while (!strstr(text->str, END) && (n = recv(link->fd, part, sizeof part, 0)) > 0) {
            for (ssize_t i = 0; i < n; i++) {
                if (part[i] != '\r') /* it talks as to a terminal */
                    g_string_append_c(text, part[i]);
            }
        }
    }
    char *begin = strchr(text->str, '{'), *answer = NULL;
    if (begin && strstr(begin, END))
        answer = g_strdup(begin);
    else
        bench_fail(error, "its monitor does not tell its statistics: %s", n == 0 ? "it hung up" : g_strerror(errno));
    g_string_free(text, TRUE);
    return answer;
}
