/* A line to the monitor of a running engine of ours, for its statistics. */
#pragma once

#include <glib.h>

struct stats_link {
    char *folder, *path; /* of the socket, in a folder of its own */
    int fd;              /* -1: not connected yet */
};

/* Makes a place for the socket. False with *error. */
gboolean stats_link_init(struct stats_link *link, GError **error);
void stats_link_clear(struct stats_link *link);
/* The value of -monitor; g_free(). */
char *stats_link_option(const struct stats_link *link);
/* What "info stats json" says now; g_free(). NULL with *error. Waits at most some seconds. */
char *stats_link_ask(struct stats_link *link, GError **error);
