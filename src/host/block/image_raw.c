/* Raw disk images: byte n of the medium is byte n of the file. Of a size that is no multiple of 512 the
 * last sector is there all the same: its rest reads as zeros, and the file grows to whole sectors when it is written.
 */
#include "image.h"

#include <errno.h>

static int raw_read(struct image *image, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    return image_file_read(&image->file, offset, buffer, len, false);
}

static int raw_write(struct image *image, uint64_t offset, const uint8_t *buffer, uint32_t len)
{
    if (!image->file.writable)
        return EROFS;
    return image_file_write(&image->file, offset, buffer, len);
}

static int raw_flush(struct image *image)
{
    return image->file.writable ? image_file_sync(&image->file) : 0;
}

static int raw_discard(struct image *image, uint64_t offset, uint32_t len)
{
    if (!image->file.writable)
        return EROFS;
    int code = len ? image_file_zero(&image->file, offset, len, true) : 0;
    return code == ENOTSUP ? 0 : code;
}

/* Where holes cannot be punched, nor zeros be had for nothing, they are written. */
static int raw_zero(struct image *image, uint64_t offset, uint32_t len, bool may_unmap)
{
    if (!image->file.writable)
        return EROFS;
    if (!len)
        return 0;
    int code = may_unmap ? image_file_zero(&image->file, offset, len, true) : ENOTSUP;
    return code == ENOTSUP ? image_file_zero(&image->file, offset, len, false) : code;
}

static void raw_close(struct image *image)
{
}

static const struct image_ops raw_ops = {"raw", raw_read, raw_write, raw_flush, raw_close, raw_discard, raw_zero};

struct image *image_raw_open(struct image_file *file, GError **error)
{
    struct image *image = g_new0(struct image, 1);
    image->ops = &raw_ops;
    image->file = *file;
    image->size = (file->size + 511) & ~511ull;
    return image;
}
