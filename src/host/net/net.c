/* Back ends of network cards, by id: see net.h. */
#include <string.h>

#include "broker.h"
#include "lock.h"
#include "net_internal.h"
#include "process.h"

static struct {
    void (*request)(void *opaque);
    void *opaque;
} bus;

static GPtrArray *backends; /* struct net_backend *, in the order of their making */

GQuark net_error(void)
{
    return g_quark_from_static_string("ringer-net");
}

struct net_backend *net_backend_find(const char *id)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        struct net_backend *backend = g_ptr_array_index(backends, i);
        if (strcmp(backend->id, id) == 0)
            return backend;
    }
    return NULL;
}

struct netdev *net_find(const char *id)
{
    struct net_backend *backend = net_backend_find(id);
    return backend ? &backend->netdev : NULL;
}

bool net_has_type(const char *type)
{
    return net_role_find(type) || strcmp(type, "hubport") == 0;
}

void net_types_each(void (*each)(void *opaque, const char *name), void *opaque)
{
    for (unsigned i = 0; net_role_at(i); i++)
        each(opaque, net_role_at(i)->type);
    each(opaque, "hubport");
}

struct netdev *net_new(struct keyvalues *options, GError **error)
{
    const char *id = keyvalues_get(options, "id"), *type = keyvalues_get(options, "type");
    struct net_backend *backend;
    if (!id || !*id)
        return NET_FAIL("Parameter 'id' is missing");
    if (!type)
        return NET_FAIL("Parameter 'type' is missing");
    machine_lock();
    bool is_there = net_backend_find(id);
    machine_unlock();
    if (is_there)
        return NET_FAIL("Duplicate ID '%s' for netdev", id);
    if (strcmp(type, "hubport") == 0) {
        machine_lock();
        backend = hub_port_new(options, error);
        machine_unlock();
    } else if (net_role_find(type)) {
        backend = link_new(options, error);
    } else if (strcmp(type, "user") == 0) {
        return NET_FAIL("user networking needs libslirp, which this ringer was built without");
    } else {
        return NET_FAIL("there is no network back end '%s'; -netdev help lists them", type);
    }
    if (!backend)
        return NULL;
    backend->id = g_strdup(id);
    backend->type = g_strdup(type);
    machine_lock();
    net_link_update(backend);
    if (!backends)
        backends = g_ptr_array_new();
    g_ptr_array_add(backends, backend);
    if (backend->ops->resume)
        backend->ops->resume(backend); /* the machine may run already */
    machine_unlock();
    return &backend->netdev;
}

static void backend_free(struct net_backend *backend)
{
    char *id = backend->id, *type = backend->type, *info = backend->info;
    g_clear_pointer(&backend->dumps, g_ptr_array_unref);
    backend->ops->close(backend);
    g_free(id);
    g_free(type);
    g_free(info);
}

bool net_remove(const char *id, GError **error)
{
    struct net_backend *backend = net_backend_find(id);
    if (!backend)
        return NET_FAIL("Device '%s' not found", id);
    if (backend->netdev.front) /* the card keeps the pointer: it has a dead cable */
        return NET_FAIL("Device '%s' is in use", id);
    g_ptr_array_remove(backends, backend);
    backend_free(backend);
    return true;
}

void net_close_all(void)
{
    net_dump_close_all();
    broker_stop();
    while (backends && backends->len)
        backend_free(g_ptr_array_steal_index(backends, backends->len - 1));
    g_clear_pointer(&backends, g_ptr_array_unref);
}

void net_link_update(struct net_backend *backend)
{
    bool up = !backend->switched_off && !backend->dead;
    if (backend->netdev.link_up == up)
        return;
    backend->netdev.link_up = up;
    if (backend->netdev.front && backend->netdev.front->link_changed)
        backend->netdev.front->link_changed(backend->netdev.front_opaque);
}

void net_set_link(struct netdev *netdev, bool up)
{
    struct net_backend *backend = (struct net_backend *)netdev;
    backend->switched_off = !up;
    net_link_update(backend);
}

void net_resume(void)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        struct net_backend *backend = g_ptr_array_index(backends, i);
        if (backend->ops->resume)
            backend->ops->resume(backend);
    }
}

void net_set_bus(void (*request)(void *opaque), void *opaque)
{
    bus.request = request;
    bus.opaque = opaque;
}

void net_ask(struct net_backend *backend)
{
    if (bus.request) {
        if (!atomic_exchange(&backend->asked, true))
            bus.request(bus.opaque);
    } else { /* nobody grants one: a test's back end without a machine */
        machine_lock();
        while (backend->ops->deliver(backend))
            continue;
        machine_unlock();
    }
}

void net_granted(void)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        struct net_backend *backend = g_ptr_array_index(backends, i);
        if (!atomic_exchange(&backend->asked, false))
            continue;
        if (backend->ops->deliver(backend))
            net_ask(backend); /* the guest goes on for an instruction at least, and hears of interrupts */
    }
}

void net_look(bool last)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        struct net_backend *backend = g_ptr_array_index(backends, i);
        if (backend->ops->look && backend->ops->look(backend, last))
            net_ask(backend);
    }
}

static void listen_in(const struct net_backend *backend, const struct iovec *pieces, unsigned count)
{
    for (unsigned i = 0; backend->dumps && i < backend->dumps->len; i++)
        dump_frame(g_ptr_array_index(backend->dumps, i), pieces, count);
}

bool net_deliver(struct net_backend *backend, const uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    const struct netdev *netdev = &backend->netdev;
    if (!netdev->link_up || !netdev->front)
        return true;
    if (!netdev->front->receive(netdev->front_opaque, frame, len, offload))
        return false;
    backend->frames++;
    if (backend->dumps)
        listen_in(backend, &(struct iovec){(void *)frame, len}, 1);
    return true;
}

void net_sent(struct net_backend *backend, const struct iovec *pieces, unsigned count)
{
    backend->frames++;
    if (backend->dumps)
        listen_in(backend, pieces, count);
}

void net_each(void (*each)(void *opaque, const struct net_description *description), void *opaque)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        struct net_backend *backend = g_ptr_array_index(backends, i);
        const struct net_description description = {backend->id,      backend->type,     backend->info,
                                                    &backend->netdev, hub_peer(backend), hub_of(backend),
                                                    backend->frames};
        each(opaque, &description);
    }
}

/* --- User networking --- */

static struct net_backend *user_find(const char *id, GError **error)
{
    struct net_backend *found = NULL;
    for (unsigned i = 0; backends && i < backends->len; i++) {
        struct net_backend *backend = g_ptr_array_index(backends, i);
        if (strcmp(backend->type, "user") != 0 || (id && strcmp(backend->id, id) != 0))
            continue;
        if (found)
            return NET_FAIL("there are several user networks: name one");
        found = backend;
    }
    if (!found && id)
        return NET_FAIL("Device '%s' not found", id);
    return found ? found : NET_FAIL("there is no user network");
}

static bool order(const char *id, const char *verb, const char *rule, GError **error)
{
    struct net_backend *backend = user_find(id, error);
    if (!backend)
        return false;
    char *text = g_strconcat(verb, " ", rule, NULL);
    bool ok = link_ask(backend, text, NULL, error);
    g_free(text);
    return ok;
}

bool net_hostfwd_add(const char *id, const char *rule, GError **error)
{
    return order(id, "hostfwd_add", rule, error);
}

bool net_hostfwd_remove(const char *id, const char *rule, GError **error)
{
    return order(id, "hostfwd_remove", rule, error);
}

/* The hub that a back end is plugged into, -1: none. */
static int hub_above(const struct net_backend *backend)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        const struct net_backend *port = g_ptr_array_index(backends, i);
        const char *peer = hub_peer(port);
        if (peer && strcmp(peer, backend->id) == 0)
            return hub_of(port);
    }
    return -1;
}

void net_usernet_print(GString *out)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        struct net_backend *backend = g_ptr_array_index(backends, i);
        GError *error = NULL;
        if (strcmp(backend->type, "user") != 0)
            continue;
        g_string_append_printf(out, "Hub %d (%s):\n", hub_above(backend), backend->id);
        if (!link_ask(backend, "info", out, &error))
            g_string_append_printf(out, "  %s\n", error->message);
        g_clear_error(&error);
    }
}
