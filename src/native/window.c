/* Window mappings and how many of them there are (see window.h). */
#include "window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"

#define DEFAULT_MAX_MAP_COUNT 65530
#define MARGIN 4096 /* for the rest of the process */

static uint32_t limit = DEFAULT_MAX_MAP_COUNT - MARGIN;
static int maps = -1;     /* /proc/self/maps: what is in it is read anew each time */
static uint32_t estimate; /* upper bound of mappings since the last true count */

void window_init(void)
{
    char text[32];
    maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return;
    text[n] = 0;
    long value = strtol(text, NULL, 10);
    if (value > 2 * MARGIN)
        limit = (uint32_t)(value > 1000000 ? 1000000 : value) - MARGIN;
    else if (value > 0)
        limit = (uint32_t)value / 2;
}

bool window_map(uint8_t *base, gla_t gla, uint64_t offset, uint64_t len, bool writable, bool populate)
{
    estimate++;
    return mmap(base + gla, len, PROT_READ | (writable ? PROT_WRITE : 0),
                MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0), guest_mem.fd,
                (off_t)offset) != MAP_FAILED;
}

void window_unmap(uint8_t *base, gla_t gla, uint64_t len)
{
    estimate++; /* a hole in the middle of a mapping makes two */
    if (munmap(base + gla, len) == 0)
        return;
    /* Splitting would exceed the limit. Replacing by an inaccessible page cannot be refused more
     * often than that; dropping the whole window always works. */
    if (munmap(base, WINDOW_SIZE) != 0)
        assert_always(!"munmap of a whole window");
}

bool window_protect(uint8_t *base, gla_t gla, uint64_t len, bool writable)
{
    estimate += 2;
    return mprotect(base + gla, len, PROT_READ | (writable ? PROT_WRITE : 0)) == 0;
}

static uint32_t count_mappings(void)
{
    static char buffer[65536];
    if (maps < 0 || lseek(maps, 0, SEEK_SET) < 0)
        return UINT32_MAX;
    uint32_t lines = 0;
    ssize_t n;
    while ((n = read(maps, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += buffer[i] == '\n';
    return lines;
}

bool window_crowded(void)
{
    if (likely(estimate < limit))
        return false;
    uint32_t count = count_mappings();
    if (count == UINT32_MAX) {
        estimate = 0; /* the caller drops windows now; start over */
        return true;
    }
    estimate = count;
    /* Leave room, so that the next count is not due at once. */
    return count > limit - limit / 4;
}

uint32_t window_mappings(void)
{
    return estimate;
}
