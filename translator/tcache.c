/* The code cache (see tcache.h). */
#include "tcache.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "block.h"
#include "cache.h"
#include "jtable.h"
#include "tcache_tramp.h"

/* The cache is made of regions of one size, each with its code, metadata, exits and blocks. It is filled region by
 * region; when it comes to one that is in use, that one's blocks go.
 *
 * Budgets, by the size of a region. A boot of Debian to the shell and 300 processes: 6.3 MB of code, 276 bytes of
 * code and 3 exits a block, 3.1 bytes of metadata for one of code. Where one of them is used up, the region is full.
 */
#define REGIONS_MAX     16
#define REGION_MIN      (256 * KiB) /* room for some blocks of the largest kind, with their exits */
#define META_SIZE       (2 * tc.region_size)
#define EXITS_MAX       (tc.region_size / 128)
#define BLOCKS_MAX      (tc.region_size / 256)
#define HASH_BITS       20
#define STARTS_PAGES    65536 /* pages of RAM where entries begin: 256 MiB */
#define PAGE_BLOCKS_MAX 16384 /* of one page of RAM: it may be mapped anywhere, and each place has its own blocks */
#define EXIT_STUB_SIZE  11    /* mov $id, %r8d; jmp TRAMP_CHAIN */

/* How often a page lost all its translations to a store and got new ones soon after. */
struct heat {
    uint16_t losses;
    bool mixed;
    uint8_t times; /* it has been mixed before */
    uint32_t when; /* blocks made in all at the last loss */
};
#define HEAT_MIXED 32
#define MIXED_MAX  256
#define MIXED_FIRST \
    200 /* ms that it stays mixed, doubled each time: a kernel that patches itself at boot is through then */
#define MIXED_TIMES 12
#define HEAT_FORGET 2000 /* blocks made since: an unrelated use of the page */

struct region {
    size_t first, used;     /* offsets in the code: where it begins, and where it is free */
    uint8_t *meta;          /* what tcache_alloc hands out: META_SIZE */
    size_t meta_used;       /* of it */
    struct texit *exits;    /* EXITS_MAX, by number */
    unsigned exit_count;    /* of these */
    struct tblock **blocks; /* by rising host address */
    unsigned block_count;   /* of these */
};

static struct {
    uint8_t *rw, *rx;   /* the code, as it is written and as it is executed */
    size_t size;        /* of it; it begins with TCACHE_FIXED bytes of trampolines */
    size_t region_size; /* the first one's trampolines included */
    struct region region[REGIONS_MAX];
    unsigned region_count, now_filling;
    uint32_t blocks_made;                 /* in all, those before the last flush too: the clock of struct heat */
    struct tentry *hash[1u << HASH_BITS]; /* by hash_of: lists by hash_next */
    /* A bit per byte of a page of RAM: some entry begins there, or did before the last flush. Most questions for an
     * entry are about instructions that are none. */
    struct starts {
        uint64_t bit[PAGE_SIZE / 64];
    } * starts;               /* STARTS_PAGES; the first one stands for all pages without entries */
    uint32_t *starts_of;      /* by page of RAM: number of its starts */
    unsigned starts_used;     /* of them */
    struct tblock **page;     /* by page of RAM: blocks with bytes in it */
    uint16_t *page_blocks;    /* by page of RAM: how many */
    struct heat *heat;        /* by page of RAM */
    uint32_t epoch;           /* see tcache_epoch */
    uint32_t flushes, reuses; /* so far */
    uint32_t mixed_pages;     /* that became mixed so far */
    struct {
        gpa_t page;
        uint64_t until;   /* ms */
    } mixed[MIXED_MAX];   /* those that are it for a while */
    unsigned mixed_count; /* of these */
    uint64_t now;         /* ms, see tcache_cool */
} tc;

static void *reserve(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Each region's memory. */
static bool init_regions(void)
{
    unsigned count = tc.region_count = (unsigned)MIN(tc.size / REGION_MIN, REGIONS_MAX);
    tc.region_size = tc.size / count & ~(size_t)(PAGE_SIZE - 1);
    for (unsigned i = 0; i < count; i++) {
        struct region *r = &tc.region[i];
        r->used = r->first = i ? i * tc.region_size : TCACHE_FIXED;
        r->meta = reserve(META_SIZE);
        r->exits = reserve(EXITS_MAX * sizeof *r->exits);
        r->blocks = reserve(BLOCKS_MAX * sizeof *r->blocks);
        if (!r->meta || !r->exits || !r->blocks)
            return false;
        /* Filled from the front: one page fault for 2 MiB where the host has large pages. */
        madvise(r->meta, META_SIZE, MADV_HUGEPAGE);
        madvise(r->exits, EXITS_MAX * sizeof *r->exits, MADV_HUGEPAGE);
    }
    return true;
}

bool tcache_init(size_t size, GError **error)
{
    assert_always(size >= TCACHE_MIN && size <= TCACHE_MAX);
    tc.size = size;
    int fd = memfd_create("ringer-code", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, tc.size) < 0)
        goto fail;
    tc.rw = mmap(NULL, tc.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (tc.rw == MAP_FAILED)
        goto fail;
    tc.rx = MAP_FAILED;
    for (uintptr_t at = 0x20000000; at < 0x7c000000 && tc.rx == MAP_FAILED; at += tc.size)
        tc.rx = mmap((void *)at, tc.size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (tc.rx == MAP_FAILED)
        goto fail;
    close(fd);
    fd = -1;
    if (!tcache_map_probe() || !jtable_init() || !init_regions())
        goto fail;
    tc.page = reserve(MEM_PAGES * sizeof *tc.page);
    tc.page_blocks = reserve(MEM_PAGES * sizeof *tc.page_blocks);
    tc.heat = reserve(MEM_PAGES * sizeof *tc.heat);
    tc.starts = reserve(STARTS_PAGES * sizeof *tc.starts);
    tc.starts_of = reserve(MEM_PAGES * sizeof *tc.starts_of);
    tc.starts_used = 1;
    if (!tc.starts || !tc.starts_of || !tc.page || !tc.page_blocks || !tc.heat)
        goto fail;
    tcache_write_tramps((struct emit){.pos = tc.rw, .end = tc.rw + TCACHE_FIXED, .rx_delta = tc.rx - tc.rw});
    tc.epoch = 1;
    return true;
fail:
    g_set_error(error, g_quark_from_static_string("ringer"), 0,
                "no memory for translated code (%s): raise the address-space limit (ulimit -v unlimited)",
                g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return false;
}

uint64_t tcache_used(void)
{
    uint64_t used = 0;
    for (unsigned i = 0; i < tc.region_count; i++)
        used += tc.region[i].used - i * tc.region_size;
    return used;
}

uint64_t tcache_size(void)
{
    return tc.size;
}

unsigned tcache_block_count(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < tc.region_count; i++)
        count += tc.region[i].block_count;
    return count;
}

uint32_t tcache_epoch(void)
{
    return tc.epoch;
}

unsigned tcache_mixed_pages(void)
{
    return tc.mixed_pages;
}

uint32_t tcache_flushes(void)
{
    return tc.flushes;
}

uint32_t tcache_reuses(void)
{
    return tc.reuses;
}

static void region_empty(struct region *r)
{
    r->used = r->first;
    r->meta_used = 0;
    r->exit_count = r->block_count = 0;
}

const uint8_t *tcache_code(void)
{
    return tc.rx;
}

void tcache_flush(void)
{
    for (unsigned k = 0; k < tc.region_count; k++) {
        struct region *r = &tc.region[k];
        for (unsigned i = 0; i < r->block_count; i++) {
            struct tblock *b = r->blocks[i];
            if (b->dead)
                continue;
            tc.page[b->phys >> PAGE_SHIFT] = NULL;
            tc.page_blocks[b->phys >> PAGE_SHIFT] = 0;
            guest_mem.page_flags[b->phys >> PAGE_SHIFT] &= (uint8_t)~MEM_PAGE_CODE;
            if (b->phys2 != TBLOCK_NO_PAGE) {
                tc.page[b->phys2 >> PAGE_SHIFT] = NULL;
                tc.page_blocks[b->phys2 >> PAGE_SHIFT] = 0;
                guest_mem.page_flags[b->phys2 >> PAGE_SHIFT] &= (uint8_t)~MEM_PAGE_CODE;
            }
        }
        region_empty(r);
    }
    memset(tc.hash, 0, sizeof tc.hash);
    madvise(tc.starts, STARTS_PAGES * sizeof *tc.starts, MADV_DONTNEED);
    madvise(tc.starts_of, MEM_PAGES * sizeof *tc.starts_of, MADV_DONTNEED);
    tc.starts_used = 1;
    tc.now_filling = 0;
    tc.epoch++;
    tc.flushes++;
    tc.reuses++;
    jtable_clear_all();
}

void tcache_forget(void)
{
    tcache_flush();
    madvise(tc.rw + TCACHE_FIXED, tc.size - TCACHE_FIXED, MADV_REMOVE);
    for (unsigned k = 0; k < tc.region_count; k++) {
        madvise(tc.region[k].meta, META_SIZE, MADV_DONTNEED);
        madvise(tc.region[k].exits, EXITS_MAX * sizeof(struct texit), MADV_DONTNEED);
    }
}

static struct region *filling(void)
{
    return &tc.region[tc.now_filling];
}

static size_t region_end(const struct region *r)
{
    return (size_t)(r - tc.region + 1) * tc.region_size;
}

static bool has_room(const struct region *r, size_t bytes)
{
    return r->used + bytes <= region_end(r) && r->meta_used + 2 * bytes <= META_SIZE &&
           r->exit_count + TCACHE_BLOCK_EXITS <= EXITS_MAX && r->block_count + 1 <= BLOCKS_MAX;
}

/* A block begins in up to two pages that have none yet. */
static bool starts_are_used_up(void)
{
    return tc.starts_used + 2 > STARTS_PAGES;
}

static bool starts_at(gpa_t phys)
{
    const struct starts *s = &tc.starts[tc.starts_of[phys >> PAGE_SHIFT]];
    unsigned off = phys & (PAGE_SIZE - 1);
    return s->bit[off >> 6] >> (off & 63) & 1;
}

static void start_at(gpa_t phys)
{
    uint32_t *number = &tc.starts_of[phys >> PAGE_SHIFT];
    unsigned off = phys & (PAGE_SIZE - 1);
    if (!*number)
        *number = tc.starts_used++;
    assert_always(*number < STARTS_PAGES);
    tc.starts[*number].bit[off >> 6] |= 1ull << (off & 63);
}

struct emit tcache_begin(void)
{
    const struct region *r = filling();
    return (struct emit){.pos = tc.rw + r->used, .end = tc.rw + region_end(r), .rx_delta = tc.rx - tc.rw};
}

void *tcache_alloc(size_t bytes)
{
    struct region *r = filling();
    bytes = (bytes + 15) & ~(size_t)15;
    assert_always(r->meta_used + bytes <= META_SIZE);
    void *p = r->meta + r->meta_used;
    r->meta_used += bytes;
    return memset(p, 0, bytes);
}

struct texit *tcache_alloc_exits(unsigned count)
{
    struct region *r = filling();
    assert_always(r->exit_count + count <= EXITS_MAX);
    struct texit *x = r->exits + r->exit_count;
    r->exit_count += count;
    return memset(x, 0, count * sizeof *x);
}

void tcache_return_exits(unsigned count)
{
    filling()->exit_count -= count;
}

/* Region r's exits are numbered from r * EXITS_MAX on. */
static unsigned exit_id(const struct region *r, const struct texit *exit)
{
    return (unsigned)((size_t)(r - tc.region) * EXITS_MAX + (size_t)(exit - r->exits));
}

struct texit *tcache_exit_by_id(unsigned id)
{
    struct region *r = &tc.region[id / EXITS_MAX];
    assert_always(id / EXITS_MAX < tc.region_count && id % EXITS_MAX < r->exit_count);
    return &r->exits[id % EXITS_MAX];
}

void tcache_exit_stub(struct emit *e, struct texit *exit)
{
    exit->stub = emit_rx(e);
    emit_mov_ri(e, R8, exit_id(filling(), exit));
    emit_jmp(e, tcache_tramp(TRAMP_CHAIN));
}

/* Entries of one page lie side by side: they are looked for, made and dropped together. */
#define HASH_NEAR 6

static unsigned hash_of(gpa_t phys, uint32_t eip, uint32_t mode, uint32_t cs_base)
{
    uint64_t h = (phys >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull ^
                 (uint64_t)(eip - (uint32_t)phys) * 0xc2b2ae3d27d4eb4full ^
                 (uint64_t)(mode * 0x85ebca6bu ^ cs_base) << 7;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ull;
    unsigned near = (unsigned)(phys ^ phys >> HASH_NEAR) & ((1u << HASH_NEAR) - 1);
    return (unsigned)(h >> (64 - HASH_BITS + HASH_NEAR)) << HASH_NEAR | near;
}

struct tentry *tcache_find(gpa_t phys, uint32_t eip, uint32_t mode, uint32_t cs_base, uint32_t cs_limit)
{
    if (!starts_at(phys))
        return NULL;
    for (struct tentry *t = tc.hash[hash_of(phys, eip, mode, cs_base)]; t; t = t->hash_next)
        if (t->phys == phys && t->eip == eip && t->mode == mode && t->cs_base == cs_base && t->cs_limit == cs_limit)
            return t;
    return NULL;
}

/* Has it bytes in a second page of RAM? That may be the first one, mapped a second time. */
static bool is_on_two_pages(const struct tblock *b)
{
    return b->phys2 != TBLOCK_NO_PAGE && b->phys2 >> PAGE_SHIFT != b->phys >> PAGE_SHIFT;
}

/* A block is on up to two lists: what belongs to it on page pfn's. */
static struct tlink *page_link(struct tblock *b, gpa_t pfn)
{
    return &b->link[b->phys >> PAGE_SHIFT != pfn];
}

static void page_add(struct tblock *b, gpa_t pfn)
{
    struct tblock **head = &tc.page[pfn];
    *page_link(b, pfn) = (struct tlink){.next = *head, .at = head};
    if (*head)
        page_link(*head, pfn)->at = &page_link(b, pfn)->next;
    *head = b;
    tc.page_blocks[pfn]++;
}

static void page_remove(struct tblock *b, gpa_t pfn)
{
    const struct tlink *link = page_link(b, pfn);
    *link->at = link->next;
    if (link->next)
        page_link(link->next, pfn)->at = link->at;
    tc.page_blocks[pfn]--;
    if (!tc.page[pfn])
        guest_mem.page_flags[pfn] &= (uint8_t)~MEM_PAGE_CODE;
}

static void pages_use(struct tblock *b, int more)
{
    if (b->jpage)
        jtable_page_use(b->jpage, more);
    if (b->near)
        jtable_page_use(b->near, more);
}

void tcache_commit(struct tblock *b, const struct emit *e)
{
    struct region *r = filling();
    assert_always(!e->full);
    r->used = (size_t)(e->pos - tc.rw);
    r->blocks[r->block_count++] = b;
    tc.blocks_made++;
    for (unsigned i = 0; i < b->entry_count; i++) {
        struct tentry *t = &b->entry[i];
        start_at(t->phys);
        struct tentry **head = &tc.hash[hash_of(t->phys, t->eip, t->mode, t->cs_base)];
        t->hash_next = *head;
        *head = t;
    }
    pages_use(b, 1);
    page_add(b, b->phys >> PAGE_SHIFT);
    if (is_on_two_pages(b))
        page_add(b, b->phys2 >> PAGE_SHIFT);
}

struct tblock *tcache_block_at(const void *pc_rx)
{
    const uint8_t *pc = pc_rx;
    if (!tr_in_code(pc) || (size_t)(pc - tc.rx) / tc.region_size >= tc.region_count)
        return NULL;
    const struct region *r = &tc.region[(size_t)(pc - tc.rx) / tc.region_size];
    unsigned lo = 0, hi = r->block_count;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (r->blocks[mid]->host <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo)
        return NULL;
    struct tblock *b = r->blocks[lo - 1];
    return pc < b->host + b->host_len ? b : NULL;
}

const struct trow *tblock_row(const struct tblock *b, const void *pc_rx)
{
    uint32_t off = (uint32_t)((const uint8_t *)pc_rx - b->host);
    unsigned lo = 0, hi = b->row_count;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (b->row[mid].host <= off)
            lo = mid + 1;
        else
            hi = mid;
    }
    assert_always(lo);
    return &b->row[lo - 1];
}

bool tr_in_code(const void *pc)
{
    return (const uint8_t *)pc >= tc.rx && (const uint8_t *)pc < tc.rx + tc.size;
}

void tcache_link(struct texit *exit, struct tentry *entry)
{
    assert_always(!exit->to);
    exit->to = entry;
    exit->next_in = entry->in;
    exit->link_in = &entry->in;
    if (entry->in)
        entry->in->link_in = &exit->next_in;
    entry->in = exit;
    emit_patch(exit->rel32, tc.rx - tc.rw, entry->direct);
}

void tcache_exit_by_table(struct texit *exit)
{
    assert_always(!exit->to);
    uint8_t *stub = tc.rw + (exit->stub - tc.rx);
    struct emit e = {.pos = stub, .end = stub + EXIT_STUB_SIZE, .rx_delta = tc.rx - tc.rw};
    assert_always(!exit->block->jpage);
    emit_mov_ri(&e, R8, exit->target);
    emit_jmp(&e, tcache_tramp(TRAMP_JUMP));
    assert_always(!e.full);
}

static void unlink_exit(struct texit *x)
{
    *x->link_in = x->next_in;
    if (x->next_in)
        x->next_in->link_in = x->link_in;
    x->to = NULL;
    emit_patch(x->rel32, tc.rx - tc.rw, x->stub);
}

static void kill_block(struct tblock *b)
{
    assert_always(!b->dead);
    b->dead = true;
    for (unsigned i = 0; i < b->entry_count; i++) {
        struct tentry *t = &b->entry[i];
        struct tentry **p = &tc.hash[hash_of(t->phys, t->eip, t->mode, t->cs_base)];
        while (*p != t)
            p = &(*p)->hash_next;
        *p = t->hash_next;
        while (t->in)
            unlink_exit(t->in);
        jtable_forget(t);
    }
    for (unsigned i = 0; i < b->exit_count; i++)
        if (b->exit[i].to)
            unlink_exit(&b->exit[i]);
    pages_use(b, -1);
    page_remove(b, b->phys >> PAGE_SHIFT);
    if (is_on_two_pages(b))
        page_remove(b, b->phys2 >> PAGE_SHIFT);
    tc.epoch++;
}

static void region_drop(struct region *r)
{
    for (unsigned i = 0; i < r->block_count; i++)
        if (!r->blocks[i]->dead)
            kill_block(r->blocks[i]);
    tc.reuses += r->block_count > 0;
    region_empty(r);
}

bool tcache_drop_oldest(void)
{
    for (unsigned k = 1; k < tc.region_count; k++) {
        struct region *r = &tc.region[(tc.now_filling + k) % tc.region_count];
        if (r->block_count) {
            region_drop(r);
            return true;
        }
    }
    return false;
}

void tcache_make_room(size_t bytes)
{
    if (starts_are_used_up())
        tcache_flush();
    if (has_room(filling(), bytes))
        return;
    tc.now_filling = (tc.now_filling + 1) % tc.region_count;
    region_drop(filling());
    assert_always(has_room(filling(), bytes));
}

/* True if the block may have source bytes in [gpa, gpa + len), which lies in one page. */
static bool block_covers(const struct tblock *b, gpa_t gpa, uint32_t len)
{
    if (b->phys2 != TBLOCK_NO_PAGE && ((gpa ^ b->phys2) < PAGE_SIZE))
        return true;
    return gpa < b->phys + b->guest_len && gpa + len > b->phys + (gpa_t)(int64_t)b->first;
}

void tcache_invalidate(gpa_t gpa, uint32_t len)
{
    while (len) {
        uint32_t part = PAGE_SIZE - (uint32_t)(gpa & (PAGE_SIZE - 1));
        if (part > len)
            part = len;
        gpa_t pfn = gpa >> PAGE_SHIFT;
        if (pfn < MEM_PAGES) {
            struct tblock *next;
            for (struct tblock *b = tc.page[pfn]; b; b = next) {
                next = page_link(b, pfn)->next;
                if (block_covers(b, gpa, part))
                    kill_block(b);
            }
        }
        gpa += part;
        len -= part;
    }
}

unsigned tcache_blocks_in_page(gpa_t gpa)
{
    return tc.page_blocks[gpa >> PAGE_SHIFT];
}

bool tcache_page_is_crowded(gpa_t gpa)
{
    return tcache_blocks_in_page(gpa) >= PAGE_BLOCKS_MAX;
}

void tcache_known_starts(gpa_t gpa, uint8_t *known)
{
    gpa_t pfn = gpa >> PAGE_SHIFT;
    for (struct tblock *b = tc.page[pfn]; b; b = page_link(b, pfn)->next) {
        for (unsigned i = 0; i < b->insn_count; i++) {
            gpa_t in_first = (b->phys & (PAGE_SIZE - 1)) + (gpa_t)(int64_t)b->insn_off[i];
            gpa_t page = in_first < PAGE_SIZE ? b->phys : b->phys2;
            if (page >> PAGE_SHIFT == pfn)
                known[in_first & (PAGE_SIZE - 1)] = 1;
        }
    }
}

bool tcache_page_is_mixed(gpa_t gpa)
{
    return tc.heat[gpa >> PAGE_SHIFT].mixed;
}

void tcache_written(gpa_t gpa, uint32_t len)
{
    for (gpa_t page = gpa & ~(gpa_t)(PAGE_SIZE - 1); page < gpa + len; page += PAGE_SIZE) {
        if (!(mem_page_flags(page) & MEM_PAGE_CODE))
            continue;
        /* All of the page's blocks go: a page that is being filled anew would fault for each store. */
        tcache_invalidate(page, PAGE_SIZE);
        struct heat *h = &tc.heat[page >> PAGE_SHIFT];
        if (tc.blocks_made - h->when > HEAT_FORGET)
            h->losses = 0;
        h->when = tc.blocks_made;
        if (++h->losses >= HEAT_MIXED && !h->mixed && tc.mixed_count < MIXED_MAX) {
            h->mixed = true;
            tc.mixed_pages++;
            tc.mixed[tc.mixed_count].page = page;
            tc.mixed[tc.mixed_count++].until = tc.now + ((uint64_t)MIXED_FIRST << h->times);
            if (h->times < MIXED_TIMES)
                h->times++;
        }
    }
}

void tcache_cool(uint64_t ms)
{
    tc.now = ms;
    for (unsigned i = 0; i < tc.mixed_count;) {
        gpa_t page = tc.mixed[i].page;
        if (ms < tc.mixed[i].until) {
            i++;
            continue;
        }
        struct heat *h = &tc.heat[page >> PAGE_SHIFT];
        h->mixed = false;
        h->losses = 0;
        tcache_invalidate(page, PAGE_SIZE);
        tc.mixed[i] = tc.mixed[--tc.mixed_count];
    }
}

void tcache_drop_linear(gpa_t gpa, gla_t gla)
{
    gpa_t pfn = gpa >> PAGE_SHIFT;
    struct tblock *next;
    for (struct tblock *b = tc.page[pfn]; b; b = next) {
        next = page_link(b, pfn)->next;
        gla_t first = b->cs_base + b->eip;
        if (b->jpage)
            continue; /* at no linear page in particular */
        if ((first ^ gla) < PAGE_SIZE || (b->phys2 != TBLOCK_NO_PAGE && b->gla2 == (gla & PAGE_MASK)))
            kill_block(b);
    }
}

void tcache_drop_code(gla_t gla)
{
    for (unsigned k = 0; k < tc.region_count; k++)
        for (unsigned i = 0; i < tc.region[k].block_count; i++) {
            struct tblock *b = tc.region[k].blocks[i];
            gla_t first = b->cs_base + b->eip;
            if (!b->dead && !b->jpage &&
                ((first & PAGE_MASK) == (gla & PAGE_MASK) ||
                 (b->phys2 != TBLOCK_NO_PAGE && b->gla2 == (gla & PAGE_MASK))))
                kill_block(b);
        }
}
