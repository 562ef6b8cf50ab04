/* Opening disk images: kinds of files, locks, formats by their magic. The locks are those of QEMU
 * (docs/devel/qapi-code-gen and block/file-posix.c describe the protocol): one byte for each permission
 * that is used, one for each that is not shared, as open-file-description locks, see fcntl(2).
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "log.h"

GQuark image_error(void)
{
    return g_quark_from_static_string("ringer-image");
}

void *image_fail(GError **error, const char *path, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *what = g_strdup_vprintf(fmt, args);
    va_end(args);
    for (char *at = what; *at; at++) { /* names out of a file: one sentence stays one line */
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    }
    g_set_error(error, image_error(), 0, "disk image '%s' %s", path, what);
    g_free(what);
    return NULL;
}

/* --- Host files --- */

int image_file_read(const struct image_file *file, uint64_t offset, void *buffer, uint64_t len, bool strict)
{
    uint8_t *to = buffer;
    while (len > 0) {
        ssize_t got = pread(file->fd, to, MIN(len, 1u << 30), (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0) {
            if (strict)
                return EIO;
            memset(to, 0, len);
            return 0;
        }
        to += got;
        offset += (uint64_t)got;
        len -= (uint64_t)got;
    }
    return 0;
}

int image_file_write(struct image_file *file, uint64_t offset, const void *buffer, uint64_t len)
{
    const uint8_t *from = buffer;
    while (len > 0) {
        ssize_t put = pwrite(file->fd, from, MIN(len, 1u << 30), (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : EIO;
        from += put;
        offset += (uint64_t)put;
        len -= (uint64_t)put;
    }
    if (offset > file->size)
        file->size = offset;
    return 0;
}

int image_file_sync(struct image_file *file)
{
    int rc;
    do
        rc = fdatasync(file->fd);
    while (rc < 0 && errno == EINTR);
    /* A file system or device that cannot sync keeps nothing back. */
    return rc < 0 && errno != EINVAL && errno != EROFS ? errno : 0;
}

int image_file_zero(struct image_file *file, uint64_t offset, uint64_t len, bool punch)
{
    int mode = FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
    int rc;
    do
        rc = fallocate(file->fd, mode, (off_t)offset, (off_t)len);
    while (rc < 0 && errno == EINTR);
    return rc == 0 ? 0 : errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL || errno == ENODEV ? ENOTSUP : errno;
}

int image_file_extend(struct image_file *file, uint64_t size)
{
    if (size <= file->size)
        return 0;
    if (ftruncate(file->fd, (off_t)size) < 0)
        return errno;
    file->size = size;
    return 0;
}

void image_file_close(struct image_file *file)
{
    if (file->fd >= 0)
        close(file->fd); /* and with it go the locks */
    file->fd = -1;
    g_free(file->path);
    file->path = NULL;
}

/* --- Locks --- */

#define LOCK_USED     100
#define LOCK_UNSHARED 200
/* Permissions, as bits. */
#define PERM_CONSISTENT_READ 0x01u
#define PERM_WRITE           0x02u
#define PERM_RESIZE          0x08u

static int lock_byte(int fd, int command, short type, off_t at, struct flock *lock)
{
    *lock = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    return fcntl(fd, command, lock) < 0 ? errno : 0;
}

/* True when another user's lock at a byte speaks against ours. */
static bool is_locked(int fd, off_t at)
{
    struct flock lock;
    return lock_byte(fd, F_OFD_GETLK, F_WRLCK, at, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool image_file_lock(const struct image_file *file)
{
    unsigned used = PERM_CONSISTENT_READ | (file->writable ? PERM_WRITE | PERM_RESIZE : 0);
    unsigned unshared = PERM_WRITE | PERM_RESIZE;
    struct flock lock;

    /* First ours, then a look at the others': of two that start together at least one sees the other. */
    for (unsigned bit = 0; bit < 5; bit++) {
        /* File systems without locks (EINVAL, ENOLCK, ...) have none that could be in our way. */
        if (used & 1u << bit)
            lock_byte(file->fd, F_OFD_SETLK, F_RDLCK, LOCK_USED + bit, &lock);
        if (unshared & 1u << bit)
            lock_byte(file->fd, F_OFD_SETLK, F_RDLCK, LOCK_UNSHARED + bit, &lock);
    }
    for (unsigned bit = 0; bit < 5; bit++) {
        if ((used & 1u << bit) && is_locked(file->fd, LOCK_UNSHARED + bit))
            return false;
        if ((unshared & 1u << bit) && is_locked(file->fd, LOCK_USED + bit))
            return false;
    }
    return true;
}

void image_file_unlock(const struct image_file *file)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = LOCK_USED, .l_len = LOCK_UNSHARED};
    fcntl(file->fd, F_OFD_SETLK, &lock);
}

/* --- Opening --- */

/* What QEMU opens by such a name is no file. */
static bool is_protocol(const char *path)
{
    static const char *const protocols[] = {
        "nbd:", "nbd+",    "http:", "https:",    "ftp:",  "ftps:", "ssh:",      "iscsi:",
        "rbd:", "gluster", "nfs:",  "sheepdog:", "json:", "nvme:", "blkdebug:", "blkverify:"};
    for (unsigned i = 0; i < G_N_ELEMENTS(protocols); i++) {
        if (g_str_has_prefix(path, protocols[i]))
            return true;
    }
    return false;
}

static const char *open_trouble(const char *path, int code)
{
    if (code == ENOENT && is_protocol(path))
        return "servers as disks are not supported; make an image file of it";
    return code == ENOENT ? "there is no such file" : g_strerror(code);
}

static bool file_open(struct image_file *file, const char *path, bool writable, GError **error)
{
    *file = (struct image_file){.fd = -1, .path = g_strdup(path), .writable = writable};
    struct stat st;

    /* O_NONBLOCK: opening a FIFO must not wait for its other end. */
    file->fd = files_open(path, (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY, 0);
    if (file->fd < 0) {
        int code = errno;
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            IMAGE_FAIL(error, file, "is a directory");
        else if (writable && (code == EACCES || code == EROFS || code == EPERM) && access(path, R_OK) == 0)
            IMAGE_FAIL(error, file, "cannot be written (%s); use -snapshot, or readonly=on with -drive",
                       g_strerror(code));
        else
            IMAGE_FAIL(error, file, "cannot be opened: %s", open_trouble(path, code));
        goto fail;
    }
    if (fstat(file->fd, &st) < 0) {
        IMAGE_FAIL(error, file, "cannot be opened: %s", g_strerror(errno));
        goto fail;
    }
    if (S_ISDIR(st.st_mode)) {
        IMAGE_FAIL(error, file, "is a directory");
        goto fail;
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        IMAGE_FAIL(error, file, "is neither a file nor a block device");
        goto fail;
    }
    off_t end = lseek(file->fd, 0, SEEK_END);
    if (end < 0) {
        IMAGE_FAIL(error, file, "has no size: %s", g_strerror(errno));
        goto fail;
    }
    file->size = (uint64_t)end;
    int ro = 0;
    if (writable && S_ISBLK(st.st_mode) && ioctl(file->fd, BLKROGET, &ro) == 0 && ro) {
        IMAGE_FAIL(error, file, "is a read-only device; use -snapshot, or readonly=on with -drive");
        goto fail;
    }
    if (file->size == 0) {
        IMAGE_FAIL(error, file, "is empty");
        goto fail;
    }
    /* A process that has just been killed may still be on its way out. */
    bool locked = image_file_lock(file);
    for (unsigned tries = 0; !locked && tries < 10; tries++) {
        g_usleep(20000);
        locked = image_file_lock(file);
    }
    if (!locked) {
        IMAGE_FAIL(error, file,
                   "is in use already, by another drive or process; end that one, or use -snapshot for both");
        goto fail;
    }
    return true;

fail:
    image_file_close(file);
    return false;
}

static void fail_foreign(GError **error, const char *path, const char *name)
{
    char *command = image_convert_command(path, name);
    image_fail(
        error, path,
        "is in %s format, which is not known here; convert it: %s (or say format=raw with -drive, if these bytes "
        "are the disk's own)",
        name, command);
    g_free(command);
}

static struct image *format_open(struct image_file *file, const char *format, const struct image_file *const *chain,
                                 unsigned depth, GError **error)
{
    uint8_t head[512];
    size_t head_len = MIN(sizeof(head), file->size);
    int code = image_file_read(file, 0, head, head_len, true);

    if (code) {
        IMAGE_FAIL(error, file, "cannot be read: %s", g_strerror(code));
        goto fail;
    }
    bool is_qcow2 = image_qcow2_probe(head, head_len);
    const char *foreign = format     ? NULL
                          : is_qcow2 ? image_foreign_head(head, head_len) /* its last bytes are the guest's */
                                     : image_foreign(file, head, head_len);
    if (foreign) {
        fail_foreign(error, file->path, foreign);
        goto fail;
    }
    if (format && strcmp(format, "qcow2") == 0 && !is_qcow2) {
        IMAGE_FAIL(error, file, "is not in qcow2 format");
        goto fail;
    }
    if (format ? strcmp(format, "qcow2") == 0 : is_qcow2)
        return image_qcow2_open(file, chain, depth, error);
    struct image *image = image_raw_open(file, error);
    image->is_guess = !format;
    return image;

fail:
    image_file_close(file);
    return NULL;
}

static bool is_known_format(const char *format)
{
    return !format || strcmp(format, "raw") == 0 || strcmp(format, "qcow2") == 0;
}

/* What the guest writes goes into the folder, if that was said, or to a temporary file. */
static struct image *folder_open(const struct image_options *options, GError **error)
{
    if (options->format && strcmp(options->format, "raw") != 0 && strcmp(options->format, "vvfat") != 0)
        return image_fail(error, options->path, "has format '%s', and a folder has none but raw", options->format);
    bool may_write = !options->read_only && !options->snapshot;
    struct image *image = image_fat_open(options->path, may_write, error);
    if (image && !image->file.writable && !options->read_only)
        image = image_snapshot_new(image, error);
    if (image)
        image->cache = options->cache;
    return image;
}

struct image *image_open(const struct image_options *options, GError **error)
{
    struct image_file file;

    if (image_is_fat(options->path))
        return folder_open(options, error);

    if (!is_known_format(options->format)) {
        if (!image_can_convert(options->format))
            return image_fail(error, options->path, "has format '%s'; known are raw and qcow2", options->format);
        char *command = image_convert_command(options->path, options->format);
        image_fail(error, options->path, "has format '%s'; known are raw and qcow2, convert it: %s", options->format,
                   command);
        g_free(command);
        return NULL;
    }
    if (!file_open(&file, options->path, !options->read_only && !options->snapshot, error))
        return NULL;
    struct image *image = format_open(&file, options->format, NULL, 0, error);
    if (image && options->snapshot && !options->read_only)
        image = image_snapshot_new(image, error);
    if (image)
        image->cache = options->cache;
    return image;
}

bool image_writes_to(const struct image *image, const char *path)
{
    struct stat there, ours;
    if (image_is_fat(path)) /* open only once, whether it is written or not */
        return strcmp(image->file.path, path) == 0;
    return image->file.writable && stat(path, &there) == 0 && fstat(image->file.fd, &ours) == 0 &&
           there.st_dev == ours.st_dev && there.st_ino == ours.st_ino;
}

static bool is_same_file(const struct image_file *a, const struct image_file *b)
{
    struct stat sa, sb;
    return fstat(a->fd, &sa) == 0 && fstat(b->fd, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

struct image *image_open_backing(const struct image *top, const char *name, const char *format,
                                 const struct image_file *const *chain, unsigned depth, GError **error)
{
    if (g_str_has_prefix(name, "file:"))
        name += 5;
    else if (strchr(name, ':') && strcspn(name, ":") < strcspn(name, "/"))
        return IMAGE_FAIL(error, &top->file, "has the backing file '%s', which is not a plain file name", name);
    if (!is_known_format(format))
        return IMAGE_FAIL(error, &top->file, "has a backing file of format '%s'; known are raw and qcow2", format);
    if (depth >= IMAGE_DEPTH_MAX)
        return IMAGE_FAIL(error, &top->file, "stands on more than %d backing files", IMAGE_DEPTH_MAX);

    char *folder = g_path_get_dirname(top->file.path);
    char *path = g_path_is_absolute(name) ? g_strdup(name) : g_build_filename(folder, name, NULL);
    struct image_file file;
    struct image *image = NULL;
    const struct image_file *longer[IMAGE_DEPTH_MAX + 1];

    if (depth)
        memcpy(longer, chain, depth * sizeof(longer[0]));
    longer[depth] = &top->file;
    /* Before it is opened: the lock of the writer on top would keep a loop out with the wrong sentence. */
    struct stat st, above;
    for (unsigned i = 0; i <= depth; i++) {
        if (stat(path, &st) == 0 && fstat(longer[i]->fd, &above) == 0 && st.st_dev == above.st_dev &&
            st.st_ino == above.st_ino) {
            IMAGE_FAIL(error, &top->file, "has the backing file '%s', which stands on it itself", name);
            goto out;
        }
    }
    GError *inner = NULL;
    if (!file_open(&file, path, false, &inner)) {
        IMAGE_FAIL(error, &top->file, "needs its backing file: %s", inner->message);
        g_error_free(inner);
        goto out;
    }
    for (unsigned i = 0; i <= depth; i++) {
        if (is_same_file(&file, longer[i])) {
            IMAGE_FAIL(error, &top->file, "has the backing file '%s', which stands on it itself", name);
            image_file_close(&file);
            goto out;
        }
    }
    image = format_open(&file, format, longer, depth + 1, error);

out:
    g_free(folder);
    g_free(path);
    return image;
}

int image_read(struct image *image, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    assert_always(offset <= image->size && len <= image->size - offset);
    return image->ops->read(image, offset, buffer, len);
}

int image_write(struct image *image, uint64_t offset, const uint8_t *buffer, uint32_t len)
{
    assert_always(offset <= image->size && len <= image->size - offset);
    /* A guest that could make its disk look like a qcow2 would name the host's files as its backing file, and read
     * them after the next start. */
    if (image->is_guess && offset == 0 && len >= 512 &&
        (image_qcow2_probe(buffer, 512) || image_foreign_head(buffer, 512))) {
        if (!image->has_told)
            log_user(
                "'%s': the guest writes a first sector that looks like another image format; this is refused, as the "
                "image would not be taken for raw any more (format=raw with -drive allows it)",
                image->file.path);
        image->has_told = true;
        return EPERM;
    }
    int code = image->ops->write(image, offset, buffer, len);
    return code == 0 && image->cache == IMAGE_WRITETHROUGH ? image->ops->flush(image) : code;
}

int image_discard(struct image *image, uint64_t offset, uint32_t len)
{
    assert_always(offset <= image->size && len <= image->size - offset);
    return image->ops->discard ? image->ops->discard(image, offset, len) : 0;
}

#define ZEROS_AT_ONCE (64 * KiB)

int image_zero(struct image *image, uint64_t offset, uint32_t len, bool may_unmap)
{
    static const uint8_t zeros[ZEROS_AT_ONCE];
    assert_always(offset <= image->size && len <= image->size - offset);
    int code = image->ops->zero ? image->ops->zero(image, offset, len, may_unmap) : ENOTSUP;
    if (code != ENOTSUP)
        return code == 0 && image->cache == IMAGE_WRITETHROUGH ? image->ops->flush(image) : code;
    for (code = 0; len > 0 && code == 0;) {
        uint32_t piece = MIN(len, ZEROS_AT_ONCE - (uint32_t)(offset % ZEROS_AT_ONCE));
        code = image->ops->write(image, offset, zeros, piece);
        offset += piece;
        len -= piece;
    }
    return code == 0 && image->cache == IMAGE_WRITETHROUGH ? image->ops->flush(image) : code;
}

int image_refresh(struct image *image)
{
    return image->ops->refresh ? image->ops->refresh(image) : 0;
}

int image_flush(struct image *image)
{
    return image->cache == IMAGE_UNSAFE ? 0 : image->ops->flush(image);
}

int image_close(struct image *image)
{
    int code = image->ops->flush(image); /* also under cache=unsafe: a format's own tables */
    image->ops->close(image);
    image_file_close(&image->file);
    g_free(image);
    return code;
}
