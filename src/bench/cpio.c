/* A cpio archive in memory: "newc" as Linux unpacks it
 * (Documentation/driver-api/early-userspace/buffer-format.rst). */
#include "cpio.h"

#include <string.h>

static void cpio_align(GByteArray *archive)
{
    static const uint8_t zeros[4];
    g_byte_array_append(archive, zeros, -archive->len % 4);
}

void cpio_add(GByteArray *archive, const char *path, uint32_t mode, const void *content, size_t size, unsigned major,
              unsigned minor)
{
    char head[6 + 13 * 8 + 1];
    size_t name = strlen(path) + 1;
    /* magic, inode, mode, uid, gid, links, mtime, size, device (2), rdev (2), name's length, check
     */
    g_snprintf(head, sizeof head, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", archive->len, mode, 0,
               0, 1, 0, (unsigned)size, 0, 0, major, minor, (unsigned)name, 0);
    g_byte_array_append(archive, (const uint8_t *)head, sizeof head - 1);
    g_byte_array_append(archive, (const uint8_t *)path, (guint)name);
    cpio_align(archive);
    g_byte_array_append(archive, content, (guint)size);
    cpio_align(archive);
}

void cpio_end(GByteArray *archive)
{
    cpio_add(archive, "TRAILER!!!", 0, "", 0, 0, 0);
}
