/* Ports of the guest's network at which something of the host's answers: guestfwd=, smb=. */
#pragma once

#include "process.h"
#include "user_config.h"

struct guestfwds;
struct guestfwds *guestfwds_new(Slirp *slirp, const struct user_config *config);
/* "[tcp]:server:port-dev", dev: cmd:COMMAND (one for each connection), tcp:HOST:PORT, unix:PATH. */
bool guestfwds_add(struct guestfwds *guestfwds, const char *rule, GError **error);
/* Starts the process that serves them, if there are any; smb: a folder, or NULL. Before the fence. */
bool guestfwds_start(struct guestfwds *guestfwds, const char *smb, struct in_addr smb_server, GError **error);
