/* Points reach what executes: translations of pages where breakpoints have changed go, pages where points have changed
 * leave windows and cells, and the interpreter's caches are emptied (see points.h). */
#include "take_points.h"

#include "native/shadow.h"
#include "points.h"
#include "translator/cache.h"

/* From so many pages on it is quicker to drop all translations than to look for those of each page. */
#define PAGES_MAX 32

struct changes {
    unsigned pages;
};

static void page_changed(void *opaque, gla_t page)
{
    struct changes *changes = opaque;
    shadow_drop_page(page);
    if (++changes->pages <= PAGES_MAX)
        tcache_drop_code(page);
}

static void nothing_else(void *opaque, gla_t page)
{
}

void engine_take_points(struct cpu *cpu, struct bt *bt)
{
    struct changes changes = {0};
    points_take_over(bt ? page_changed : nothing_else, &changes);
    if (changes.pages > PAGES_MAX)
        tcache_flush();
    interp_flush_tlb(cpu);
}
