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

/* --- The same as a user does it: by the tray, where the drive has one --- */

/* force: also while the guest has locked it; without, it is asked to let go. */
bool blockdev_open_tray(const char *label, bool force, GError **error);
bool blockdev_close_tray(const char *label, GError **error);
/* Leaves the tray open. */
bool blockdev_eject(const char *label, bool force, GError **error);
enum blockdev_mode { BLOCKDEV_RETAIN, BLOCKDEV_READ_ONLY, BLOCKDEV_READ_WRITE };
bool blockdev_insert(const char *label, const char *path, const char *format, enum blockdev_mode mode, bool force,
                     GError **error);
/* By hand, while the tray is open: a medium into an empty drive, or (NULL) whatever is in it out. Of options path,
 * format, read_only count. */
bool blockdev_put_in(const char *label, const struct image_options *options, GError **error);
/* Writes what -snapshot has kept apart into the images: of one drive, or (NULL) of all. While the machine stands. */
bool blockdev_commit(const char *label, GError **error);

/* --- Looking --- */

struct blockdev_count {
    uint64_t operations, bytes, failed;
    int64_t ns; /* from being asked for to its end, all together */
};

struct blockdev_stats {
    struct blockdev_count rd, wr, flush, unmap;
    uint64_t wr_highest;      /* the end of the last byte that was written */
    int64_t last_at, idle_ns; /* last_at 0: nothing was asked yet */
};

struct blockdev_look {
    const char *label;
    bool removable, has_tray, tray_open, tray_locked, read_only, snapshot;
    enum image_cache cache;
    char *path; /* NULL: there is no medium */
    const char *format;
    uint64_t size;
    struct blockdev_stats stats;
};
/* Drive number i; false behind the last. blockdev_look_clear() frees what it holds. Without the machine lock. */
bool blockdev_look(unsigned i, struct blockdev_look *look);
void blockdev_look_clear(struct blockdev_look *look);

/* News of drives; called on any thread with the machine lock held. Any may be NULL. */
struct blockdev_hooks {
    void (*tray_moved)(void *opaque, const char *label, bool open);
    void (*failed)(void *opaque, const char *label, bool is_write, int error);
    void *opaque;
};
/* Without the lock. */
void blockdev_set_hooks(const struct blockdev_hooks *hooks);

/* --- Its life --- */

/* Ends one that no device has, or ever had. */
void blockdev_close(struct block *block);
/* The machine was reset: folders as disks are shown as they are now, see image_refresh(). */
void blockdev_refresh_all(void);
/* Waits until no drive has anything to do, and all completions have been told. True if there was anything: a device may
 * have asked for more meanwhile. Without the machine lock. */
bool blockdev_drain(void);
/* Ends all requests, flushes and closes all images. The machine does not run any more; the lock is not held. */
void blockdev_close_all(void);
