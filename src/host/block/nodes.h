/* Block nodes: images by a name of the user's (node-name), which drives can be given as their media.
 *
 * A node of driver "file" is a host file; one of a format ("raw", "qcow2") lies over such a node, or over a file that
 * it names itself. A node is opened to see whether it can be, and again when a drive gets it: until then nothing is
 * locked. Main thread.
 */
#pragma once

#include <glib.h>

#include "image.h"

struct node {
    char *name, *driver;
    char *path;  /* of the file below */
    char *below; /* the node of the file, NULL: it has none of its own */
    bool read_only;
    enum image_cache cache;
    char *drive; /* the label of the drive that it is in, NULL: in none */
};

/* driver, path or below, and what else is set; the strings are copied. False with a sentence in QEMU's words. */
bool nodes_add(const struct node *wanted, GError **error);
bool nodes_remove(const char *name, GError **error);
const struct node *nodes_at(unsigned i); /* NULL behind the last */

bool nodes_is_there(const char *name);
/* A drive of that label is opened with it, as *options say, and is closed again. */
bool nodes_claim(const char *label, const char *name, struct image_options *options, GError **error);
void nodes_release(const char *label);

/* Puts a node into a drive whose tray is open and which is empty; and takes whatever is in it out. */
bool nodes_insert(const char *label, const char *name, GError **error);
bool nodes_take_out(const char *label, GError **error);
