/* The dialer: a process of ours that makes sockets while the machine runs, which the monitor itself may not any more
 * (host/fence.h). It is started early, knows no guest, and has a fence of its own.
 *
 *      monitor --- order, address --->  dialer --- connects, listens, looks names up; each in a thread
 *      monitor <-- descriptor, or why --
 *
 * It does only what the command line names, unless somebody may give further orders: a monitor, QMP, a debugger.
 */
#pragma once

#include "host/address.h"

struct dial; /* an order under way */

/* Before there are threads. allowed is copied; anything: it is not looked at. */
bool dialer_start(const struct address *allowed, unsigned count, bool anything, GError **error);
bool dialer_is_there(void);

/* answered is called once on the device thread with the machine lock held, with a descriptor that is the caller's or -1
 * and a sentence. NULL: there is no dialer, or it is busy; try later. Machine lock. */
struct dial *dialer_order(const struct address *address, void (*answered)(void *opaque, int fd, const char *why),
                          void *opaque);
void dialer_cancel(struct dial *dial);
/* Waits so long for the answer, without the machine lock; -1 with a sentence. Not on the device thread. */
int dialer_wait(const struct address *address, unsigned ms, char why[ADDRESS_WHY]);
void dialer_stop(void);
