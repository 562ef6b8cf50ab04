/* The device thread: see devthread.h. */
#include "devthread.h"

#include <glib-unix.h>

static struct {
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
} dt;

GMainContext *devthread_context(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        dt.context = g_main_context_new();
        g_once_init_leave(&once, 1);
    }
    return dt.context;
}

static gpointer devthread_run(gpointer opaque)
{
    g_main_context_push_thread_default(dt.context);
    g_main_loop_run(dt.loop);
    g_main_context_pop_thread_default(dt.context);
    return NULL;
}

bool devthread_start(GError **error)
{
    dt.loop = g_main_loop_new(devthread_context(), FALSE);
    dt.thread = g_thread_try_new("devices", devthread_run, NULL, error);
    if (!dt.thread)
        g_clear_pointer(&dt.loop, g_main_loop_unref);
    return dt.thread;
}

void devthread_stop(void)
{
    if (!dt.thread)
        return;
    /* A loop that is told to quit before it runs would run for ever: so it is told from within. */
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_HIGH - 10);
    g_source_set_callback(source, G_SOURCE_FUNC(g_main_loop_quit), dt.loop, NULL);
    g_source_attach(source, dt.context);
    g_source_unref(source);
    g_thread_join(dt.thread);
    g_main_loop_unref(dt.loop);
    dt.thread = NULL;
    dt.loop = NULL;
}

bool devthread_is_running(void)
{
    return dt.thread;
}

bool devthread_is_current(void)
{
    return dt.thread && g_thread_self() == dt.thread;
}

guint devthread_fd_add(int fd, GIOCondition condition,
                       gboolean (*ready)(gint fd, GIOCondition condition, gpointer opaque), gpointer opaque)
{
    GSource *source = g_unix_fd_source_new(fd, condition);
    g_source_set_callback(source, G_SOURCE_FUNC(ready), opaque, NULL);
    guint id = g_source_attach(source, devthread_context());
    g_source_unref(source);
    return id;
}

guint devthread_idle_add(GSourceFunc run, gpointer opaque)
{
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, run, opaque, NULL);
    guint id = g_source_attach(source, devthread_context());
    g_source_unref(source);
    return id;
}

void devthread_source_remove(guint id)
{
    GSource *source = g_main_context_find_source_by_id(devthread_context(), id);
    if (source)
        g_source_destroy(source);
}
