/* Block nodes. See nodes.h. */
#include "nodes.h"

#include <string.h>

#include "blockdev.h"

#define NODES_MAX 256

#define FAIL(...) (g_set_error(error, image_error(), 0, __VA_ARGS__), false)

static GPtrArray *nodes; /* struct node */

static void node_free(gpointer opaque)
{
    struct node *node = opaque;
    g_free(node->name);
    g_free(node->driver);
    g_free(node->path);
    g_free(node->below);
    g_free(node->drive);
    g_free(node);
}

static struct node *find(const char *name)
{
    for (unsigned i = 0; nodes && i < nodes->len; i++) {
        struct node *node = g_ptr_array_index(nodes, i);
        if (strcmp(node->name, name) == 0)
            return node;
    }
    return NULL;
}

const struct node *nodes_at(unsigned i)
{
    return nodes && i < nodes->len ? g_ptr_array_index(nodes, i) : NULL;
}

static bool is_host_file(const struct node *node)
{
    return strcmp(node->driver, "file") == 0;
}

static struct image_options options_of(const struct node *node)
{
    return (struct image_options){.path = node->path,
                                  .format = is_host_file(node) ? "raw" : node->driver,
                                  .read_only = node->read_only,
                                  .cache = node->cache};
}

/* Can it be opened? Read only: whoever writes to it now is not in our way. */
static bool try_open(const struct node *node, GError **error)
{
    struct image_options options = options_of(node);
    options.read_only = true;
    struct image *image = image_open(&options, error);
    if (image)
        image_close(image);
    return image;
}

bool nodes_add(const struct node *wanted, GError **error)
{
    const struct node *below = wanted->below ? find(wanted->below) : NULL;
    if (find(wanted->name))
        return FAIL("Duplicate nodes with node-name='%s'", wanted->name);
    if (!g_ascii_isalpha(*wanted->name) || strlen(wanted->name) > 31)
        return FAIL("Invalid node-name: '%s'", wanted->name);
    if (nodes && nodes->len >= NODES_MAX)
        return FAIL("there are %u nodes already; blockdev-del some", NODES_MAX);
    if (!is_host_file(wanted) && strcmp(wanted->driver, "raw") != 0 && strcmp(wanted->driver, "qcow2") != 0)
        return FAIL("Unknown driver '%s'", wanted->driver);
    if (wanted->below && !below)
        return FAIL("Cannot find device='' nor node-name='%s'", wanted->below);
    if (below && !is_host_file(below))
        return FAIL("node '%s' is not a file", wanted->below);
    if (!below && !wanted->path)
        return FAIL("Parameter '%s' is missing", is_host_file(wanted) ? "filename" : "file");
    struct node *node = g_new0(struct node, 1);
    node->name = g_strdup(wanted->name);
    node->driver = g_strdup(wanted->driver);
    node->path = g_strdup(below ? below->path : wanted->path);
    node->below = g_strdup(wanted->below);
    node->read_only = wanted->read_only;
    node->cache = wanted->cache;
    if (!try_open(node, error)) {
        node_free(node);
        return false;
    }
    if (!nodes)
        nodes = g_ptr_array_new_with_free_func(node_free);
    g_ptr_array_add(nodes, node);
    return true;
}

bool nodes_remove(const char *name, GError **error)
{
    struct node *node = find(name);
    if (!node)
        return FAIL("Failed to find node with node-name='%s'", name);
    if (node->drive)
        return FAIL("Node %s is in use", name);
    for (unsigned i = 0; i < nodes->len; i++) {
        const struct node *above = g_ptr_array_index(nodes, i);
        if (above->below && strcmp(above->below, name) == 0)
            return FAIL("Block device %s is in use", name);
    }
    g_ptr_array_remove(nodes, node);
    return true;
}

/* A drive that has another medium by now has no node in it any more. */
static void forget(const char *label)
{
    for (unsigned i = 0; nodes && i < nodes->len; i++) {
        struct node *node = g_ptr_array_index(nodes, i);
        if (node->drive && strcmp(node->drive, label) == 0) {
            g_free(node->drive);
            node->drive = NULL;
        }
    }
}

bool nodes_insert(const char *label, const char *name, GError **error)
{
    struct node *node = find(name);
    if (!node)
        return FAIL("Cannot find device='' nor node-name='%s'", name);
    if (node->drive)
        return FAIL("Node '%s' is already in use", name);
    struct image_options options = options_of(node);
    if (!blockdev_put_in(label, &options, error))
        return false;
    forget(label);
    node->drive = g_strdup(label);
    return true;
}

bool nodes_take_out(const char *label, GError **error)
{
    if (!blockdev_put_in(label, NULL, error))
        return false;
    forget(label);
    return true;
}

bool nodes_is_there(const char *name)
{
    return find(name);
}

bool nodes_claim(const char *label, const char *name, struct image_options *options, GError **error)
{
    struct node *node = find(name);
    if (!node)
        return FAIL("Cannot find device='' nor node-name='%s'", name);
    if (node->drive)
        return FAIL("Node '%s' is already in use", name);
    node->drive = g_strdup(label);
    *options = options_of(node);
    return true;
}

void nodes_release(const char *label)
{
    forget(label);
}
