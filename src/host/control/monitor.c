/* Clients of a chardev, each with a face. See monitor.h. */
#include "monitor.h"

#include <unistd.h>

#include "face.h"
#include "host/char/chardev.h"
#include "lock.h"
#include "session.h"

struct client {
    struct monitor *monitor;
    struct chardev *own; /* accepted, and closed with it; NULL: the monitor's */
    struct session *session;
    struct face *face;
    struct command_context context;
    guint gone_source; /* it is to be freed, when nobody uses it any more */
};

struct monitor {
    const struct face_ops *ops;
    bool pretty;
    void *machine;
    struct chardev *chardev;
    bool listens;
    GPtrArray *clients; /* struct client */
    GQueue accepted;    /* struct chardev, by the device thread; machine lock */
    guint accept_source;
};

static void say(void *opaque, const char *text, size_t len)
{
    struct client *client = opaque;
    if (client->session)
        session_write(client->session, (const uint8_t *)text, len); /* who does not read is cut off there */
}

static int take_fd(void *opaque)
{
    struct client *client = opaque;
    int fd = -1;
    machine_lock();
    if (!chardev_take_fd(client->own ? client->own : client->monitor->chardev, &fd))
        fd = -1;
    machine_unlock();
    return fd;
}

static void client_free(gpointer opaque)
{
    struct client *client = opaque;
    if (client->gone_source)
        g_source_remove(client->gone_source);
    if (client->session)
        session_free(client->session);
    client->monitor->ops->destroy(client->face);
    g_hash_table_unref(client->context.fds);
    if (client->own) {
        machine_lock();
        chardev_close(client->own);
        machine_unlock();
    }
    g_free(client);
}

static gboolean gone_idle(gpointer opaque)
{
    struct client *client = opaque;
    client->gone_source = 0;
    g_ptr_array_remove(client->monitor->clients, client);
    return G_SOURCE_REMOVE;
}

static void opened(void *opaque)
{
    struct client *client = opaque;
    client->monitor->ops->opened(client->face);
}

static void received(void *opaque, const uint8_t *bytes, size_t len)
{
    struct client *client = opaque;
    client->monitor->ops->received(client->face, bytes, len);
}

static void closed(void *opaque)
{
    struct client *client = opaque;
    client->monitor->ops->closed(client->face);
    g_hash_table_remove_all(client->context.fds);
    if (client->own && !client->gone_source)
        client->gone_source = g_idle_add(gone_idle, client);
}

static void focus(void *opaque, bool in)
{
    struct client *client = opaque;
    if (client->monitor->ops->focus)
        client->monitor->ops->focus(client->face, in);
}

static const struct session_ops session_ops = {opened, received, closed, focus};

static void fd_close(gpointer fd)
{
    close(GPOINTER_TO_INT(fd));
}

static bool client_new(struct monitor *monitor, struct chardev *chardev, bool own)
{
    struct client *client = g_new0(struct client, 1);
    client->monitor = monitor;
    client->own = own ? chardev : NULL;
    client->context.machine = monitor->machine;
    client->context.take_fd = take_fd;
    client->context.client = client;
    client->context.fds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, fd_close);
    client->face = monitor->ops->create(&client->context, say, client, monitor->pretty);
    client->session = session_new(chardev, &session_ops, client);
    if (!client->session) {
        client_free(client);
        return false;
    }
    g_ptr_array_add(monitor->clients, client);
    return true;
}

static gboolean accept_idle(gpointer opaque)
{
    struct monitor *monitor = opaque;
    for (;;) {
        machine_lock();
        struct chardev *chardev = g_queue_pop_head(&monitor->accepted);
        if (!chardev)
            monitor->accept_source = 0;
        machine_unlock();
        if (!chardev)
            return G_SOURCE_REMOVE;
        client_new(monitor, chardev, true);
    }
}

/* Device thread, machine lock held. */
static void accepted(void *opaque, struct chardev *chardev)
{
    struct monitor *monitor = opaque;
    g_queue_push_tail(&monitor->accepted, chardev);
    if (!monitor->accept_source)
        monitor->accept_source = g_idle_add(accept_idle, monitor);
}

struct monitor *monitor_new(struct chardev *chardev, bool program, bool pretty, void *machine, GError **error)
{
    struct monitor *monitor = g_new0(struct monitor, 1);
    monitor->ops = program ? &qmp_face : &hmp_face;
    monitor->pretty = pretty;
    monitor->machine = machine;
    monitor->chardev = chardev;
    monitor->clients = g_ptr_array_new_with_free_func(client_free);
    g_queue_init(&monitor->accepted);
    machine_lock();
    monitor->listens = chardev_set_acceptor(chardev, accepted, monitor);
    machine_unlock();
    if (!monitor->listens && !client_new(monitor, chardev, false)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "a monitor's character device is in use by something else; give it one of its own, or mux=on");
        monitor_free(monitor);
        return NULL;
    }
    return monitor;
}

void monitor_free(struct monitor *monitor)
{
    struct chardev *chardev;
    machine_lock();
    if (monitor->listens)
        chardev_set_acceptor(monitor->chardev, NULL, NULL);
    if (monitor->accept_source)
        g_source_remove(monitor->accept_source);
    while ((chardev = g_queue_pop_head(&monitor->accepted)))
        chardev_close(chardev);
    machine_unlock();
    g_ptr_array_unref(monitor->clients);
    g_free(monitor);
}
