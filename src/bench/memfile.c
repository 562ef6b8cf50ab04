/* A file without a name. See memfile.h; memfd_create(2). */
#include "memfile.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"

char *memfile_new(const char *name, const void *content, size_t size, int *fd, GError **error)
{
    *fd = memfd_create(name, MFD_CLOEXEC);
    const char *at = content;
    while (*fd >= 0 && size > 0) {
        ssize_t n = write(*fd, at, size);
        if (n <= 0)
            break;
        at += n;
        size -= (size_t)n;
    }
    if (*fd >= 0 && size == 0)
        return g_strdup_printf("/proc/%d/fd/%d", (int)getpid(), *fd);
    bench_fail(error, "cannot keep %s in memory: %s", name, g_strerror(errno));
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return NULL;
}
