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

static void raw_close(struct image *image)
{
}

static const struct image_ops raw_ops = {"raw", raw_read, raw_write, raw_flush, raw_close};

struct image *image_raw_open(struct image_file *file, GError **error)
{
    struct image *image = g_new0(struct image, 1);
    image->ops = &raw_ops;
    image->file = *file;
    image->size = (file->size + 511) & ~511ull;
    return image;
}
