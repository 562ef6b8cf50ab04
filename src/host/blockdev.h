/* Host ends of drives: an image and the thread that works on it. */
#pragma once

#include <glib.h>

#include "block.h"
#include "image.h"

/* label: how messages name the drive. NULL options: a drive without a medium. */
struct block *blockdev_open(const struct image_options *options, const char *label, GError **error);
/* Reads now, on this thread; before the machine runs. False when it cannot be read. */
bool blockdev_peek(struct block *block, uint64_t offset, void *buffer, uint32_t len);
/* Ends all requests, flushes and closes all images. The machine does not run any more; the lock is not held. */
void blockdev_close_all(void);
