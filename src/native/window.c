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

/* What a list's bytes say; who looks whether a page is mapped asks for anything but 0. A page with BEGINS is one behind
 * which the kernel may have another mapping than before it: their number is what the kernel has at most (it joins those
 * that fit), so nobody needs to ask it. */
#define MAPPED 1u
#define BEGINS 2u

static struct {
    uint32_t limit;               /* of mappings, less the margin */
    uint32_t count;               /* in all windows, at most */
    uint32_t in[WINDOWS_AT_MOST]; /* in each of them */
} window = {.limit = DEFAULT_MAX_MAP_COUNT - MARGIN};

void window_init(void)
{
    char text[32];
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
    assert_always(n <= WINDOWS_AT_MOST);
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

/* How many mappings the window has. */
static uint32_t *count_of(const uint8_t *base)
{
    return &window.in[(size_t)(base - window_base(0)) / WINDOW_STRIDE];
}

/* It has `more` than it had. */
static void count(const uint8_t *base, int64_t more)
{
    *count_of(base) = (uint32_t)(*count_of(base) + more);
    window.count = (uint32_t)(window.count + more);
}

static unsigned begins_in(const uint8_t *list, size_t pages)
{
    unsigned n = 0;
    for (size_t i = 0; i < pages; i++)
        n += list[i] >> 1;
    return n;
}

/* The page, if it is mapped, belongs to another mapping than the one before it from now on. */
static void begin_at(uint8_t *base, size_t page)
{
    uint8_t *r = base - WINDOW_READABLE + page;
    if (page < WINDOW_LIST && *r == MAPPED) {
        *r |= BEGINS;
        count(base, 1);
    }
}

/* The pages are as said from now on, in one mapping or in none. */
static void note(uint8_t *base, gla_t gla, uint64_t len, bool readable, bool writable)
{
    size_t first = gla >> PAGE_SHIFT, pages = len >> PAGE_SHIFT;
    uint8_t *r = base - WINDOW_READABLE + first, *w = base - WINDOW_WRITABLE + first;
    if (len == WINDOW_SIZE && !readable) {
        count(base, -(int64_t)*count_of(base));
    } else {
        count(base, (int64_t)readable - begins_in(r, pages));
        begin_at(base, first + pages);
    }
    if (pages == 1) {
        *r = readable ? MAPPED | BEGINS : 0;
        *w = writable;
        return;
    }
    /* Of all the window: where there is something still, one has to ask again, and it counts until all of it goes. */
    if (len >= FORGET_AT_ONCE && !readable && madvise(base - WINDOW_WRITABLE, 2 * WINDOW_LIST, MADV_DONTNEED) == 0)
        return;
    memset(r, readable ? MAPPED : 0, pages);
    memset(w, writable, pages);
    if (readable)
        *r |= BEGINS;
}

bool window_map(uint8_t *base, gla_t gla, uint64_t offset, uint64_t len, bool writable, bool populate)
{
    if (mmap(base + gla, len, PROT_READ | (writable ? PROT_WRITE : 0),
             MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0), guest_mem.fd, (off_t)offset) == MAP_FAILED)
        return false;
    note(base, gla, len, true, writable);
    return true;
}

void window_unmap(uint8_t *base, gla_t gla, uint64_t len)
{
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
    if (mprotect(base + gla, len, PROT_READ | (writable ? PROT_WRITE : 0)) != 0)
        return false;
    /* It may be of several mappings, which stay. */
    size_t first = gla >> PAGE_SHIFT, pages = len >> PAGE_SHIFT;
    begin_at(base, first);
    begin_at(base, first + pages);
    memset(base - WINDOW_WRITABLE + first, writable, pages);
    return true;
}

bool window_crowded(void)
{
    return window.count >= window.limit;
}

bool window_is_roomy(void)
{
    return window.count < window.limit / 4 * 3;
}

uint32_t window_mappings(void)
{
    return window.count;
}
