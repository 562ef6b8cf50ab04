/* A process that makes network processes when the monitor no longer can: for netdev_add behind the fence. */
#pragma once

#include <glib.h>

#include "cable.h"

struct keyvalues;

/* Only it makes them from now on. */
bool broker_is_needed(void);
/* Has a network process made: its descriptors, and its control socket. False with *error. */
bool broker_order(struct keyvalues *options, int cable[CABLE_FDS], int *control, GError **error);
void broker_stop(void);
