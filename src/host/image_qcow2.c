/* qcow2 disk images. */
#include "image.h"

#include <string.h>

bool image_qcow2_probe(const uint8_t *head, size_t len)
{
    return len >= 4 && memcmp(head, "QFI\xfb", 4) == 0;
}

struct image *image_qcow2_open(struct image_file *file, const struct image_file *const *chain, unsigned depth,
                               GError **error)
{
    IMAGE_FAIL(error, file, "is in qcow2 format, which is not there yet");
    image_file_close(file);
    return NULL;
}
