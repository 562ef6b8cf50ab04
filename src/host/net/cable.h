/* The cable between the monitor and a process with a network in it: two rings of frames in shared memory, and an
 * eventfd at each end.
 *
 * Whoever sleeps says so in the ring, so that a stream of frames costs no system call. What the other side has written
 * is not trusted: each end keeps its own positions, takes each header once, and holds a ring that makes no sense for
 * broken.
 *
 *     monitor                      shared memory                 process
 *     cable_put() -> [ to the process: header frame header ... ] -> cable_get()
 *     cable_get() <- [ to the monitor: header frame header ... ] <- cable_put()
 */
#pragma once

#include <glib.h>
#include <stdatomic.h>

#include "netdev.h"

struct ring_shared; /* in the memory of both */

struct cable {
    struct ring_shared *out, *in;
    uint32_t out_head, in_tail; /* our own positions */
    _Atomic uint32_t *takes;    /* netdev.front_takes, as the monitor last said */
    int wake_other, wake_us;    /* eventfds */
    bool broken;
};

#define CABLE_FDS 3 /* memory, the monitor's eventfd, the process's */

/* New memory and eventfds; they are the caller's. */
bool cable_make(int fds[CABLE_FDS], GError **error);
/* One end of it; false: no memory. */
bool cable_open(struct cable *cable, const int fds[CABLE_FDS], bool is_monitor);
void cable_close(struct cable *cable); /* the memory; not the descriptors */

/* False: no room (or broken). Wakes the other end where needed. Either pieces with their offload, or NULL. */
bool cable_put(struct cable *cable, const struct iovec *pieces, unsigned count, const struct netdev_offload *offload);
/* Copies the next frame out; its length, 0: there is none. frame has NETDEV_FRAME_MAX bytes. */
size_t cable_get(struct cable *cable, uint8_t *frame, struct netdev_offload *offload);
/* How much fits. */
size_t cable_room(struct cable *cable);

/* Whether there is something to get, for who looks again soon: the other end need not wake us. */
bool cable_has_frames(struct cable *cable);
/* Before sleeping on wake_us: false if there is something to get. */
bool cable_may_sleep(struct cable *cable);
/* Awake again: wake_us is read, and the other end need not wake us. */
void cable_awake(struct cable *cable);
/* wake_us is wanted as soon as half of the ring out is free. False: it is already. */
bool cable_wait_for_room(struct cable *cable);
