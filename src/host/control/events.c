/* QMP's events, from any thread to whoever listens. See events.h. */
#include "events.h"

#include <string.h>

#include "log.h"

#define WAITING_MAX 256 /* a guest can make many, the main thread can be busy */

struct listener {
    void (*told)(void *opaque, json_t *message);
    void *opaque;
};

static struct {
    GPtrArray *types;  /* const struct event_type * */
    GArray *listeners; /* the main thread's */
    GMutex mutex;      /* around what follows */
    GQueue waiting;    /* json_t */
    bool scheduled;
} events;

void events_add(const struct event_type *types, size_t count)
{
    if (!events.types)
        events.types = g_ptr_array_new();
    for (size_t i = 0; i < count; i++)
        g_ptr_array_add(events.types, (gpointer)&types[i]);
}

const struct event_type *event_at(unsigned i)
{
    return events.types && i < events.types->len ? g_ptr_array_index(events.types, i) : NULL;
}

static json_t *message_next(void)
{
    g_mutex_lock(&events.mutex);
    json_t *message = g_queue_pop_head(&events.waiting);
    g_mutex_unlock(&events.mutex);
    return message;
}

void events_flush(void)
{
    json_t *message;
    while ((message = message_next())) {
        /* Being told may end a listener. */
        GArray *listeners = events.listeners;
        for (unsigned i = listeners ? listeners->len : 0; i-- > 0;) {
            if (i < listeners->len) {
                struct listener listener = g_array_index(listeners, struct listener, i);
                listener.told(listener.opaque, message);
            }
        }
        json_decref(message);
    }
}

static gboolean tell_idle(gpointer opaque)
{
    g_mutex_lock(&events.mutex);
    events.scheduled = false;
    g_mutex_unlock(&events.mutex);
    events_flush();
    return G_SOURCE_REMOVE;
}

/* A flood of one kind does not take another's place: the oldest of the same name goes, or else the oldest. */
static json_t *make_room(const char *name)
{
    for (GList *link = events.waiting.head; link; link = link->next) {
        json_t *message = link->data;
        if (strcmp(json_string_value(json_object_get(message, "event")), name) == 0) {
            g_queue_delete_link(&events.waiting, link);
            return message;
        }
    }
    return g_queue_pop_head(&events.waiting);
}

void event_emit(const char *name, json_t *data)
{
    gint64 now = g_get_real_time();
    json_t *message = json_pack("{s:{s:I s:I} s:s}", "timestamp", "seconds", (json_int_t)(now / G_USEC_PER_SEC),
                                "microseconds", (json_int_t)(now % G_USEC_PER_SEC), "event", name);
    if (data)
        json_object_set_new(message, "data", data);
    g_mutex_lock(&events.mutex);
    bool schedule = !events.scheduled;
    json_t *dropped = g_queue_get_length(&events.waiting) < WAITING_MAX ? NULL : make_room(name);
    g_queue_push_tail(&events.waiting, message);
    events.scheduled = true;
    g_mutex_unlock(&events.mutex);
    json_decref(dropped);
    if (schedule)
        g_idle_add_full(G_PRIORITY_DEFAULT, tell_idle, NULL, NULL);
}

void events_listen(void (*told)(void *opaque, json_t *message), void *opaque)
{
    struct listener listener = {told, opaque};
    if (!events.listeners)
        events.listeners = g_array_new(FALSE, FALSE, sizeof(struct listener));
    g_array_append_val(events.listeners, listener);
}

void events_unlisten(void *opaque)
{
    for (unsigned i = 0; events.listeners && i < events.listeners->len; i++) {
        if (g_array_index(events.listeners, struct listener, i).opaque == opaque) {
            g_array_remove_index(events.listeners, i);
            return;
        }
    }
}
