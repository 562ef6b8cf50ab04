/* Points reach what executes: translations of pages where breakpoints have changed go, pages where points have changed
 * leave windows and cells, and the interpreter's caches are emptied (see points.h). */
#include "take_points.h"

#include "native/shadow.h"
#include "points.h"
#include "translator/cache.h"

/* From so many pages on it is quicker to drop all translations than to look for those of each page. */
#define PAGES_MAX 32

struct changes {
    struct bt *bt; /* may be NULL */
    unsigned pages;
};

static void page_changed(void *opaque, gla_t page)
{
    struct changes *changes = opaque;
    changes->pages++;
    if (!changes->bt)
        return;
    shadow_drop_page(page);
    if (changes->pages <= PAGES_MAX)
        tcache_drop_code(page);
}

void engine_take_points(struct cpu *cpu, struct bt *bt)
{
    struct changes changes = {.bt = bt};
    points_take_over(page_changed, &changes);
    if (bt && changes.pages > PAGES_MAX)
        tcache_flush();
    if (changes.pages)
        interp_points_changed(cpu);
}
