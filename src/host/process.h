/* Processes of our own: what the monitor must not do itself behind its fence (make sockets, talk to networks, reach
 * into an exported folder) is done by a process with a narrower fence, joined to it by descriptors.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "types.h"

/* The process's first descriptor; the others of fds follow it. */
#define PROCESS_FD 3

/* Forks. The child is named, ends when its maker does, is deaf to the terminal's signals, has its standard descriptors
 * on /dev/null, fds from PROCESS_FD on and nothing else that is open; then it is in run(), which does not return.
 * Before there are threads. -1 with *error. */
pid_t process_start(const char *name, const int *fds, unsigned count, void (*run)(void *opaque), void *opaque,
                    GError **error);
/* The same for a process that takes orders: joined by a socket pair (SOCK_SEQPACKET), of which it has PROCESS_FD. The
 * other end, or -1 with *error. */
int process_start_server(const char *name, void (*run)(void *opaque), GError **error);

/* Memory to share with one, of so many bytes: whoever has the other end cannot take it away under our feet. -1 with
 * errno. */
int process_memory(const char *name, uint64_t size);

/* Something can be read from fd, or its other end is gone, before ms are over. */
bool process_is_readable(int fd, int ms);

/* A server's answer to an order: descriptors, or (fds NULL) a sentence that says why there are none. unix(7),
 * SCM_RIGHTS. */
void process_answer(const int *fds, unsigned count, const char *why);
/* At the other end, within some seconds. False with *error; *is_lost: no answer came, and a late one is nobody's: the
 * server is of no more use. name: what it makes, for that sentence. */
bool process_take_answer(int fd, const char *name, int *fds, unsigned count, bool *is_lost, GError **error);
