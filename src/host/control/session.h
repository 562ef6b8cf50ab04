/* A control connection as the main thread sees it: what a monitor or a debugger is told through, on top of a chardev.
 *
 * The chardev speaks on the device thread with the machine lock held. Here everything is on the main thread without
 * the lock, in the order it came in. Nothing is ever waited for and nothing grows without bound: input stays with the
 * chardev until it is taken, and whoever does not read his answers is cut off.
 */
#pragma once

#include "backend.h"

struct session;

/* All are called from the main loop (default context), never from within session_write(). */
struct session_ops {
    /* Somebody is there. May be NULL. */
    void (*opened)(void *opaque);
    void (*received)(void *opaque, const uint8_t *bytes, size_t len);
    /* He is not there any more, or was cut off. May be NULL. */
    void (*closed)(void *opaque);
    /* Of several fronts this one gets what is typed now (or no longer). May be NULL. */
    void (*focus)(void *opaque, bool in);
};

/* Main thread without the lock. NULL: the chardev has a front already. ops stays the caller's. */
struct session *session_new(struct chardev *chardev, const struct session_ops *ops, void *opaque);

/* May be called from within ops. Nothing is called after it. */
void session_free(struct session *session);

/* Takes all of it or nothing; main thread without the lock. False: it is lost, because nobody is there or because more
 * than the limit is unread. In the latter case he is cut off: what is queued remains his to read, closed() is called,
 * and what he sends is thrown away. When he has read it all, or comes again, opened() is called. */
bool session_write(struct session *session, const uint8_t *bytes, size_t len);

/* Of unread output, in bytes; 1 MiB unless set. */
void session_set_limit(struct session *session, size_t limit);

bool session_is_open(const struct session *session);
