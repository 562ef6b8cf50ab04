/* Window mappings and how many of them there are (see window.h). */
#include "window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "bt.h"

#define DEFAULT_MAX_MAP_COUNT 65530
#define MARGIN                4096 /* for the rest of the process */

static struct {
    uint32_t limit;    /* of mappings, less the margin */
    uint32_t estimate; /* upper bound of mappings since the last true count */
    int maps;          /* /proc/self/maps: what is in it is read anew each time */
} window = {.limit = DEFAULT_MAX_MAP_COUNT - MARGIN, .maps = -1};

void window_init(void)
{
    char text[32];
    window.maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
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
        window.limit = (uint32_t)(value > 1000000 ? 1000000 : value) - MARGIN;
    else if (value > 0)
        window.limit = (uint32_t)value / 2;
}

#define BIT_STRING_REACH (256 * MiB) /* of BT, BTS, BTR, BTC, with a little for the operand */
_Static_assert(WINDOW_LIST == WINDOW_SIZE >> PAGE_SHIFT, "a byte for each page");
_Static_assert(WINDOW_READABLE - WINDOW_LIST > BIT_STRING_REACH + PAGE_SIZE, "a window's start");
_Static_assert(WINDOW_STRIDE - WINDOW_WRITABLE > WINDOW_SIZE + BIT_STRING_REACH + PAGE_SIZE, "the one before's end");

bool window_reserve(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (mmap(window_base(i) - WINDOW_WRITABLE, 2 * WINDOW_LIST, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
            return false;
    return true;
}

bool window_lists(const uint8_t *base, gla_t gla, bool write)
{
    return base[(int64_t)(gla >> PAGE_SHIFT) - (write ? WINDOW_WRITABLE : WINDOW_READABLE)];
}

#define FORGET_AT_ONCE (256 * MiB) /* from there on, giving the lists' memory back is cheaper than clearing it */

static void note(uint8_t *base, gla_t gla, uint64_t len, bool readable, bool writable)
{
    uint8_t *r = base - WINDOW_READABLE + (gla >> PAGE_SHIFT), *w = base - WINDOW_WRITABLE + (gla >> PAGE_SHIFT);
    size_t pages = len >> PAGE_SHIFT;
    if (pages == 1) {
        *r = readable;
        *w = writable;
    } else if (len >= FORGET_AT_ONCE && !readable &&
               madvise(base - WINDOW_WRITABLE, 2 * WINDOW_LIST, MADV_DONTNEED) == 0) {
        return; /* of all the window: where there is something still, one has to ask again */
    } else {
        memset(r, readable, pages);
        memset(w, writable, pages);
    }
}

bool window_map(uint8_t *base, gla_t gla, uint64_t offset, uint64_t len, bool writable, bool populate)
{
    window.estimate++;
    if (mmap(base + gla, len, PROT_READ | (writable ? PROT_WRITE : 0),
             MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0), guest_mem.fd, (off_t)offset) == MAP_FAILED)
        return false;
    note(base, gla, len, true, writable);
    return true;
}

void window_unmap(uint8_t *base, gla_t gla, uint64_t len)
{
    window.estimate++; /* a hole in the middle of a mapping makes two */
    note(base, gla, len, false, false);
    if (munmap(base + gla, len) == 0)
        return;
    /* Splitting would exceed the limit. Replacing by an inaccessible page cannot be refused more
     * often than that; dropping the whole window always works. */
    note(base, 0, WINDOW_SIZE, false, false);
    if (munmap(base, WINDOW_SIZE) != 0)
        assert_always(!"munmap of a whole window");
}

bool window_protect(uint8_t *base, gla_t gla, uint64_t len, bool writable)
{
    window.estimate += 2;
    if (mprotect(base + gla, len, PROT_READ | (writable ? PROT_WRITE : 0)) != 0)
        return false;
    note(base, gla, len, true, writable);
    return true;
}

static uint32_t count_mappings(void)
{
    static char buffer[65536];
    if (window.maps < 0 || lseek(window.maps, 0, SEEK_SET) < 0)
        return UINT32_MAX;
    uint32_t lines = 0;
    ssize_t n;
    while ((n = read(window.maps, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += buffer[i] == '\n';
    return lines;
}

bool window_crowded(void)
{
    if (likely(window.estimate < window.limit))
        return false;
    uint32_t count = count_mappings();
    if (count == UINT32_MAX) {
        window.estimate = 0; /* the caller drops windows now; start over */
        return true;
    }
    window.estimate = count;
    /* Leave room, so that the next count is not due at once. */
    return count > window.limit - window.limit / 4;
}

uint32_t window_mappings(void)
{
    return window.estimate;
}
