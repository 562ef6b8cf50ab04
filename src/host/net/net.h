/* Back ends of network cards, by id: what -netdev, -nic and -net name.
 *
 * Those that have to do with the world (user, tap, socket, stream, dgram) are a process each (link.c, process.c); a hub
 * port is in the monitor. What is said here to need the machine lock takes it if the caller does not have it.
 */
#pragma once

#include <glib.h>

#include "netdev.h"

struct keyvalues;

/* options: "type", "id" and what QEMU's -netdev has besides; stays the caller's. Main thread; before there are threads,
 * or by order of the process that net_broker_start() made. NULL with a sentence. */
struct netdev *net_new(struct keyvalues *options, GError **error);
/* Machine lock, or before machine_run(). NULL: there is none. */
struct netdev *net_find(const char *id);
/* Takes it away: its card, if it has one, has no cable from then on. Machine lock. */
bool net_remove(const char *id, GError **error);
void net_close_all(void);
/* Every name that "type" may have. */
bool net_has_type(const char *type);
void net_types_each(void (*each)(void *opaque, const char *name), void *opaque);

/* netdev_add behind the fence: a process that makes what net_new() then needs. Before there are threads. */
bool net_broker_start(GError **error);

/* Cards write to guest memory, which is the processor's thread's to do (devices/pci.h): so frames are handed over
 * there. request asks for net_granted() between two of its instructions; it is called on any thread, with the machine
 * lock or without. Without this, as in tests, frames come on the device thread. */
void net_set_bus(void (*request)(void *opaque), void *opaque);
void net_granted(void); /* machine lock held */
/* Whether frames have come, for whoever would rather look than be woken: then the bus is asked for. last: wake us again
 * from now on. Machine lock. */
void net_look(bool last);

/* set_link: pulls the cable, or plugs it. Machine lock. */
void net_set_link(struct netdev *netdev, bool up);
/* The machine goes on: frames that came while it stood are handed over. Machine lock. */
void net_resume(void);

struct net_description {
    const char *id, *type, *info;
    struct netdev *netdev;
    const char *peer; /* of a hub port with a back end: its id, or NULL */
    int hub;          /* -1: no port of a hub */
    uint64_t frames;  /* either way */
};
/* Machine lock. */
void net_each(void (*each)(void *opaque, const struct net_description *description), void *opaque);

/* --- User networking. Main thread, without the machine lock: the process is asked, and answers in time. id NULL: the
 * only one there is. --- */
bool net_hostfwd_add(const char *id, const char *rule, GError **error);
bool net_hostfwd_remove(const char *id, const char *rule, GError **error);
/* info usernet: all of them. */
void net_usernet_print(GString *out);

/* --- filter-dump: frames of a netdev, both ways, into a pcap file --- */
/* options: "id", "netdev", "file", "maxlen". False with a sentence. */
bool net_dump_add(struct keyvalues *options, GError **error);
bool net_dump_remove(const char *id, GError **error);
