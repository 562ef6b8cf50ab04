/* Where sockets begin and end, and the making of them. May take long: names are looked up, and others must answer. */
#pragma once

#include <glib.h>
#include <sys/socket.h>

#include "types.h"

#define ADDRESS_WHY 320

enum address_kind { ADDRESS_INET, ADDRESS_UNIX };
enum address_order { ADDRESS_CONNECT, ADDRESS_LISTEN, ADDRESS_UDP };

/* No pointers: it goes from process to process. */
struct address {
    enum address_kind kind;
    enum address_order order;
    bool abstract, tight; /* Unix */
    bool only_ipv4, only_ipv6;
    uint16_t to; /* listening: up to this port, the first that is free; 0: only port */
    char path[108];
    char host[256], port[34];
    char local_host[256], local_port[34]; /* UDP */
};

/* A descriptor, O_NONBLOCK; -1 with a sentence in why, in QEMU's words. */
int address_open(const struct address *address, char why[ADDRESS_WHY]);
bool address_equal(const struct address *a, const struct address *b);
/* "host:port" of a socket's own end or of its peer; false: it has none of that kind. */
bool address_of_socket(int fd, bool peer, GString *text);
/* Such a text in two, without the brackets of IPv6; "" and "" for "". Free both. True: IPv6. */
bool address_split(const char *text, char **host, char **service);
/* Loads what looking names up needs, while files may be opened for that. */
void address_warm_up(void);
