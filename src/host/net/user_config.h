/* -netdev user: the options as libslirp takes them. */
#pragma once

#include <glib.h>
#include <slirp/libslirp.h>

#include "keyvalue.h"

struct user_config {
    SlirpConfig slirp;
    char *smb; /* folder that is served; NULL: none */
    struct in_addr smb_server;
    const char **search; /* slirp.vdnssearch */
};

bool user_config_parse(struct keyvalues *options, struct user_config *config, GError **error);

/* Calls each for every value of key: "hostfwd=..." repeated, or QMP's "hostfwd.0.str". False as soon as each is. */
bool user_config_each(struct keyvalues *options, const char *key,
                      bool (*each)(void *opaque, const char *value, GError **error), void *opaque, GError **error);

/* "tcp:127.0.0.1:2222-10.0.2.15:22", "udp::53-:53", "tcp:[::1]:80-[fec0::15]:80". has_guest false: the part from '-' on
 * is not there (hostfwd_remove). */
struct forward {
    bool is_udp;
    struct sockaddr_storage host, guest;
    socklen_t host_len, guest_len;
};
bool forward_parse(const char *rule, bool has_guest, struct forward *forward, GError **error);
