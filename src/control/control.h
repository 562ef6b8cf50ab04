/* How a running machine is controlled: the monitors and the debugger's stub that the command line (or a command) opens,
 * over the one table of commands. */
#pragma once

#include <glib.h>

#include "board/machine.h"

/* Opens what -monitor, -mon, -qmp, -gdb and "mon:" name. The machine is built and does not run yet. Main thread. */
bool control_open(struct machine *machine, const struct options *options, GError **error);
/* The machine does not run any more; the process ends with this status. */
void control_close(int status);

/* gdbserver: waits for a debugger on a character device as -gdb names it; "none": no longer. */
bool control_debug(struct machine *machine, const char *device, GError **error);
