/* Networks over sockets: between stream.c, dgram.c and role_socket.c, which is either. */
#pragma once

#include "process.h"

/* First member of what both open. */
struct socket_state {
    const struct net_role *role;
};

/* An end as the options have it: "prefix.type" inet, unix, fd; .host, .port, .path, .str. False with *error. */
bool sockets_connect(struct keyvalues *options, const char *prefix, bool is_server, int *fd, GString *info,
                     GError **error);
/* The same end as an address, for those who connect again and again: no fd. */
bool sockets_resolve(struct keyvalues *options, const char *prefix, struct sockaddr_storage *at, socklen_t *len,
                     GString *info, GError **error);
/* From a descriptor; what stream and socket,fd= start with. */
void *stream_from_listener(struct netproc *process, int listener);
void *stream_from_connection(struct netproc *process, int fd);
void *dgram_from_socket(struct netproc *process, int fd, const struct sockaddr_storage *to, socklen_t to_len);
