/* Folders of the host that guests mount, by id: what -fsdev names. Each has a process of its own (process.c), in whose
 * fence there is that folder and nothing else.
 */
#pragma once

#include <glib.h>

#include "fsdev.h"

struct keyvalues;

/* options: "fsdriver", "id", "path", "security_model" and what QEMU's -fsdev has besides; stays the caller's. Before
 * there are threads. NULL with a sentence. */
struct fsdev *fs_new(struct keyvalues *options, GError **error);
/* NULL: there is none. */
struct fsdev *fs_find(const char *id);
void fs_close_all(void);
/* Waits until nothing is under way: the machine stands. */
void fs_settle_all(void);
