/* What programs are told without asking: QMP's events. */
#pragma once

#include <glib.h>
#include <jansson.h>

#include "types.h"

/* Declares what there can be: name and the members of its data (schema.h), NULL: none. Stays. */
struct event_type {
    const char *name, *data;
};
void events_add(const struct event_type *types, size_t count);
const struct event_type *event_at(unsigned i); /* NULL behind the last */

/* Told to all who listen, with the time of this call. data: a new reference, NULL: none. Any thread, also with the
 * machine lock held. Of those that nobody has been told yet a limited number is kept. */
void event_emit(const char *name, json_t *data);

/* Tells what waits now, before anything else is said. Main thread without the machine lock. */
void events_flush(void);

/* Listeners hear on the main thread; message is the whole event. */
void events_listen(void (*told)(void *opaque, json_t *message), void *opaque);
void events_unlisten(void *opaque);
