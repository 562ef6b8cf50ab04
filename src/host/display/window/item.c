/* Rows of the menu, for whoever fills it. */
#include "window.h"

struct window_item *window_item_new(const char *label)
{
    struct window_item *item = g_new0(struct window_item, 1);
    item->label = g_strdup(label);
    return item;
}

void window_item_free(void *opaque)
{
    struct window_item *item = opaque;
    g_free(item->label);
    g_free(item->command);
    g_free(item->question);
    g_free(item->done);
    g_free(item->page);
    g_free(item->argument);
    g_free(item->keys);
    g_free(item);
}
