/* Between the files of this folder, in the monitor. */
#pragma once

#include <stdatomic.h>

#include "keyvalue.h"
#include "net.h"

struct net_backend;

struct net_backend_ops {
    void (*close)(struct net_backend *backend);
    void (*resume)(struct net_backend *backend); /* NULL: nothing waits */
    /* What is there goes to the card, as far as it can and for a moment only. True: there is more. NULL: as resume. */
    bool (*deliver)(struct net_backend *backend);
    /* As net_look(): whether there is something to deliver. NULL: as resume. */
    bool (*look)(struct net_backend *backend, bool last);
};

/* First member of each back end. Its netdev's send() ends in net_sent(), and what it has for the card goes through
 * net_deliver(). */
struct net_backend {
    struct netdev netdev; /* first */
    const struct net_backend_ops *ops;
    char *id, *type, *info;
    _Atomic bool asked;      /* deliver() is to be called when the bus is granted */
    bool switched_off, dead; /* set_link off; what is behind it has ended. Neither: link_up */
    GPtrArray *dumps;        /* NULL: nobody listens in */
    uint64_t frames;         /* that have gone either way */
};

/* To the card, if its cable is plugged; as netdev_front.receive. */
bool net_deliver(struct net_backend *backend, const uint8_t *frame, size_t len, const struct netdev_offload *offload);
/* The card has sent this. */
void net_sent(struct net_backend *backend, const struct iovec *pieces, unsigned count);
/* There may be something to deliver. Any thread, with the machine lock or without it. */
void net_ask(struct net_backend *backend);
/* After a change of switched_off or dead. */
void net_link_update(struct net_backend *backend);
struct net_backend *net_backend_find(const char *id);
GQuark net_error(void);
#define NET_FAIL(...) (g_set_error(error, net_error(), 0, __VA_ARGS__), NULL)

/* link.c: a back end in a process. */
struct net_backend *link_new(struct keyvalues *options, GError **error);
/* Asks the process; false with what it says. Main thread. text NULL: nobody wants the answer. */
bool link_ask(struct net_backend *backend, const char *order, GString *text, GError **error);
bool link_is(const struct net_backend *backend);

/* hub.c */
struct net_backend *hub_port_new(struct keyvalues *options, GError **error);
int hub_of(const struct net_backend *backend); /* -1: none */
const char *hub_peer(const struct net_backend *backend);

/* dump.c */
struct dump;
void net_dump_close_all(void);
void dump_frame(struct dump *dump, const struct iovec *pieces, unsigned count);
