/* Disk images: a format (raw, qcow2) over a host file, an overlay for -snapshot, and how they are opened.
 *
 * An image is used by one thread at a time. Functions return 0 or an errno value.
 */
#pragma once

#include <glib.h>

#include "types.h"

enum image_cache {
    IMAGE_WRITEBACK,    /* the host's page cache; a guest's flush is an fdatasync */
    IMAGE_WRITETHROUGH, /* each write is followed by a flush */
    IMAGE_UNSAFE,       /* flushes are ignored */
};

struct image_options {
    const char *path;
    const char *format; /* NULL: by its first bytes */
    bool read_only;
    bool snapshot; /* writes go to a temporary file */
    enum image_cache cache;
    bool discard; /* what the guest discards is given back to the host */
};

struct image;

struct image_ops {
    const char *format;
    int (*read)(struct image *image, uint64_t offset, uint8_t *buffer, uint32_t len);
    int (*write)(struct image *image, uint64_t offset, const uint8_t *buffer, uint32_t len);
    int (*flush)(struct image *image);
    void (*close)(struct image *image); /* frees what the format added, flushes nothing */
    /* The range is not needed any more; nothing has to be done about it. NULL: nothing is. */
    int (*discard)(struct image *image, uint64_t offset, uint32_t len);
    /* Zeros without writing them; ENOTSUP: not possible here. NULL: it never is. */
    int (*zero)(struct image *image, uint64_t offset, uint32_t len, bool may_unmap);
    /* What is below may have changed: it is looked at anew, and what was written over it is void. NULL: it never has.
     */
    int (*refresh)(struct image *image);
};

/* A host file, locked against other users. */
struct image_file {
    int fd;
    char *path;
    uint64_t size;
    bool writable;
};

/* Embedded as the first member of each format's own. */
struct image {
    const struct image_ops *ops;
    struct image_file file;
    uint64_t size; /* bytes as the guest sees them, a multiple of 512 */
    enum image_cache cache;
    bool has_told;
    bool is_guess; /* raw because its first bytes were nothing else: they must stay so, see image_write() */
};

struct image *image_open(const struct image_options *options, GError **error);
/* Flushes and closes; the error of the flush. */
int image_close(struct image *image);

/* Is path the very file that it writes to? Nobody can open that a second time. */
bool image_writes_to(const struct image *image, const char *path);

/* Within size. */
int image_read(struct image *image, uint64_t offset, uint8_t *buffer, uint32_t len);
int image_write(struct image *image, uint64_t offset, const uint8_t *buffer, uint32_t len);
int image_flush(struct image *image);
int image_discard(struct image *image, uint64_t offset, uint32_t len);
int image_zero(struct image *image, uint64_t offset, uint32_t len, bool may_unmap);
/* The guest begins anew: a folder is shown as it is now. Nothing to do for others. */
int image_refresh(struct image *image);

/* --- for the formats --- */

#define IMAGE_DEPTH_MAX 64 /* of a chain of backing files */

GQuark image_error(void);
#define IMAGE_FAIL(error, file, ...) image_fail(error, (file)->path, __VA_ARGS__)
/* Sets *error to "disk image 'path' ..." and returns NULL. */
void *image_fail(GError **error, const char *path, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

/* Exactly len bytes; what lies behind the end of the file reads as zeros, or is EIO with strict. */
int image_file_read(const struct image_file *file, uint64_t offset, void *buffer, uint64_t len, bool strict);
int image_file_write(struct image_file *file, uint64_t offset, const void *buffer, uint64_t len);
int image_file_sync(struct image_file *file);
/* Makes the range read as zeros, and gives its room back (punch) or keeps it. ENOTSUP: the host cannot do that. */
int image_file_zero(struct image_file *file, uint64_t offset, uint64_t len, bool punch);
int image_file_extend(struct image_file *file, uint64_t size);

/* A backing file named in an image: relative names are relative to that image's folder. */
struct image *image_open_backing(const struct image *top, const char *name, const char *format,
                                 const struct image_file *const *chain, unsigned depth, GError **error);

/* qemu-img's name for the container that a file begins (or ends) as; NULL: none, or qcow2. head: its first 512 bytes.
 */
const char *image_foreign(const struct image_file *file, const uint8_t *head, size_t len);
const char *image_foreign_head(const uint8_t *head, size_t len);
/* Is it a format that qemu-img makes qcow2 of? And how (g_free). */
bool image_can_convert(const char *name);
char *image_convert_command(const char *path, const char *name);

/* Take over file, also when they fail. chain: the files above, against loops. */
struct image *image_raw_open(struct image_file *file, GError **error);
bool image_qcow2_probe(const uint8_t *head, size_t len);
struct image *image_qcow2_open(struct image_file *file, const struct image_file *const *chain, unsigned depth,
                               GError **error);
/* Is it a folder's name, "fat:..."; would the guest's writes go into the folder? */
bool image_is_fat(const char *path);
bool image_fat_writes(const char *path);
struct image *image_fat_open(const char *path, bool may_write, GError **error);
/* Takes over base. */
struct image *image_snapshot_new(struct image *base, GError **error);

/* Nobody else's, gone when it is closed; -1 with errno. */
int image_temporary_file(void);

/* Writes everything that a snapshot of image_snapshot_new() holds into the image below it, which is opened for writing
 * meanwhile, and flushes that. An errno value. */
int image_snapshot_commit(struct image *image);

/* Readers go together; a writer is alone. False: another user is in the way. */
bool image_file_lock(const struct image_file *file);
/* It stays open while somebody else, who must not be kept out by us, opens it for writing. */
void image_file_unlock(const struct image_file *file);

void image_file_close(struct image_file *file);
