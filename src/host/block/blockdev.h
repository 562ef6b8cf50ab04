/* Host ends of drives: an image and the thread that works on it. */
#pragma once

#include <glib.h>

#include "block.h"
#include "image.h"

/* label: how messages name the drive. options->path NULL: a drive without a medium, for now. */
struct block *blockdev_open(const struct image_options *options, const char *label, GError **error);
/* Reads now, on this thread; before the machine runs. False when it cannot be read. */
bool blockdev_peek(struct block *block, uint64_t offset, void *buffer, uint32_t len);
/* Takes the medium out of the drive of this label and puts another in (path NULL: none; format NULL: by its first
 * bytes). Waits for what the guest has asked of the old one. When the new one cannot be opened the drive is left
 * empty. Main thread, without the machine lock, while the machine runs. */
bool blockdev_change(const char *label, const char *path, const char *format, GError **error);
/* Waits until no drive has anything to do, and all completions have been told. True if there was anything: a device may
 * have asked for more meanwhile. Without the machine lock. */
bool blockdev_drain(void);
/* A line for each drive: label, medium, what may be done. */
void blockdev_describe(GString *out);
/* Ends all requests, flushes and closes all images. The machine does not run any more; the lock is not held. */
void blockdev_close_all(void);
