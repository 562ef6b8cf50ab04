/* -daemonize: the machine runs in the background, and whoever started it goes on when it does. */
#pragma once

#include <glib.h>

#include "types.h"

/* Only what comes back is the machine's process: the caller's waits, and ends with its status. Before there are
 * threads. */
bool daemon_begin(GError **error);
/* Before the fence goes up: standard input and output are closed; messages go to log_file, if there is one. */
void daemon_detach(const char *log_file);
/* Whoever waits goes on. 0: the machine runs. Otherwise messages are heard again until it has ended. */
void daemon_report(int status);
