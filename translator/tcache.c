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

/* Budgets, by the size of the cache. A boot of Debian to the shell and 300 processes: 6.3 MB of code, 276 bytes of
 * code and 3 exits a block, 3.1 bytes of metadata for one of code. Where one of them is used up, the cache is flushed.
 */
#define META_SIZE       (2 * tc.size)
#define EXITS_MAX       (tc.size / 128)
#define BLOCKS_MAX      (tc.size / 256)
#define HASH_BITS       18
#define STARTS_SIZE     ((size_t)MEM_PAGES * PAGE_SIZE / 8)
#define STARTS_PAGES    8192  /* of it that may be touched: the blocks of at least 256 MiB */
#define PAGE_BLOCKS_MAX 16384 /* of one page of RAM: it may be mapped anywhere, and each place has its own blocks */
#define FIXED_SIZE      4096  /* trampolines */
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

static struct {
    uint8_t *rw, *rx;                     /* the code, as it is written and as it is executed */
    size_t size, used;                    /* of it: FIXED_SIZE of trampolines, then the blocks */
    uint8_t *meta;                        /* what tcache_alloc hands out: META_SIZE, zero beyond meta_used */
    size_t meta_used;                     /* of it */
    struct texit *exits;                  /* EXITS_MAX, by number */
    unsigned exit_count;                  /* of these */
    struct tblock **blocks;               /* by rising host address */
    unsigned block_count;                 /* of these */
    uint32_t blocks_made;                 /* in all, those before the last flush too: the clock of struct heat */
    struct tentry *hash[1u << HASH_BITS]; /* by hash_of: lists by hash_next */
    /* A bit per byte of guest memory: some entry begins there, or did before the last flush. Most questions for an
     * entry are about instructions that are none. */
    uint64_t *starts;
    uint64_t starts_touched[STARTS_SIZE / PAGE_SIZE / 64]; /* bit per page of it */
    unsigned starts_pages;                                 /* how many */
    struct tblock **page;                                  /* by page of RAM: blocks with bytes in it */
    uint16_t *page_blocks;                                 /* by page of RAM: how many */
    struct heat *heat;                                     /* by page of RAM */
    uint32_t epoch;                                        /* see tcache_epoch */
    uint32_t flushes;                                      /* so far */
    uint32_t mixed_pages;                                  /* that became mixed so far */
    struct {
        gpa_t page;
        uint64_t until;                /* ms */
    } mixed[MIXED_MAX];                /* those that are it for a while */
    unsigned mixed_count;              /* of these */
    uint64_t now;                      /* ms, see tcache_cool */
    const uint8_t *tramp[TRAMP_COUNT]; /* where they are executed */
    const uint8_t *popfq[2];           /* the POPFQs in them, see tcache_is_popfq */
    uint32_t probe;                    /* host address, see tcache_probe */
} tc;

static void *reserve(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* All its pages are one: it costs a line of cache and no memory. */
static bool map_probe(void)
{
    int fd = memfd_create("ringer-probe", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, PAGE_SIZE) < 0)
        return false;
    uint8_t *at = MAP_FAILED;
    for (uintptr_t want = 0x10000000; want < 0x20000000 && at == MAP_FAILED; want += MiB)
        at = mmap((void *)want, 64 * KiB + PAGE_SIZE, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    bool ok = at != MAP_FAILED;
    for (unsigned page = 0; ok && page < 16; page++)
        ok = mmap(at + page * PAGE_SIZE, PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
    close(fd);
    tc.probe = (uint32_t)(uintptr_t)at;
    return ok;
}

uint32_t tcache_probe(void)
{
    return tc.probe;
}

static void load_flags(struct emit *e, unsigned n)
{
    emit_push(e, R11);
    tc.popfq[n] = emit_rx(e);
    emit_popfq(e);
}

static void write_mode_tramp(struct emit *e, enum tramp tramp)
{
    _Static_assert(sizeof(struct mode_slot) == 32, "index = hash * 32");
    bool flags = tramp == TRAMP_MODE_FLAGS;
#define SLOT(field) \
    ((struct hmem){ \
        .base = R15, .index = R10, .disp = (int32_t)(offsetof(struct bt, slot) + offsetof(struct mode_slot, field))})
    struct hmem key = SLOT(mode), slot_jtable = SLOT(jtable), slot_table = SLOT(table);
#undef SLOT
    struct hmem mode = hmem_base(R15, (int32_t)offsetof(struct bt, mode));
    struct hmem jtable = hmem_base(R15, (int32_t)offsetof(struct bt, jtable));
    struct hmem table = hmem_base(R15, (int32_t)offsetof(struct bt, table));
    struct hmem eip = hmem_base(R15, (int32_t)offsetof(struct bt, cpu.eip));
    struct hmem changed = hmem_base(R15, (int32_t)offsetof(struct bt, cpu.changed));
    struct hmem entry = {.base = R12, .index = R8, .scale = 2};

    tc.tramp[tramp] = emit_rx(e);
    emit_imul_ri(e, R10, R9, MODE_SLOT_HASH);
    emit_shift64_i(e, false, R10, 27);
    emit_shift64_i(e, true, R10, 5);
    emit_alu_rm(e, 7, R9, &key);
    uint8_t *miss = emit_jcc_fwd(e, 5);
    emit_store32(e, &mode, R9);
    emit_load64(e, R12, &slot_jtable);
    emit_store64(e, &jtable, R12);
    emit_load64(e, R9, &slot_table);
    emit_store64(e, &table, R9);
    emit_load32(e, R9, &entry);
    if (flags)
        load_flags(e, 0);
    emit_jmp_reg(e, R9);
    emit_fix(e, miss);
    emit_store32(e, &eip, R8);
    emit_alu_mi(e, 1, &changed, CHANGED_MODE);
    if (flags)
        load_flags(e, 1);
    emit_jmp(e, tc.tramp[TRAMP_LOOKUP]);
}

static void write_cs_tramp(struct emit *e)
{
    _Static_assert(sizeof(struct cs_slot) == 32 && CS_SLOTS == 256, "index = low byte of the selector * 32");
#define SLOT(field) \
    ((struct hmem){.base = R15, \
                   .index = R10, \
                   .scale = 3, \
                   .disp = (int32_t)(offsetof(struct bt, cs_slot) + offsetof(struct cs_slot, field))})
    struct hmem minus_base = SLOT(minus_base), minus_mode = SLOT(minus_mode);
    struct hmem slot_jtable = SLOT(jtable), slot_table = SLOT(table);
#undef SLOT
    struct hmem mode = hmem_base(R15, (int32_t)offsetof(struct bt, mode));
    struct hmem cs_base = hmem_base(R15, (int32_t)offsetof(struct bt, cs_base));
    struct hmem jtable = hmem_base(R15, (int32_t)offsetof(struct bt, jtable));
    struct hmem table = hmem_base(R15, (int32_t)offsetof(struct bt, table));
    struct hmem eip = hmem_base(R15, (int32_t)offsetof(struct bt, cpu.eip));
    struct hmem changed = hmem_base(R15, (int32_t)offsetof(struct bt, cpu.changed));
    struct hmem times4 = {.base = HREG_NONE, .index = R10, .scale = 2};
    struct hmem plus_base = {.base = RCX, .index = R9}, plus_mode = {.base = RCX, .index = R12};
    struct hmem entry = {.base = R12, .index = R8, .scale = 2};

    tc.tramp[TRAMP_CS] = emit_rx(e);
    emit_movzb(e, R10, R10);
    emit_lea32(e, R10, &times4);
    emit_mov_rr(e, R11, RCX);
    emit_load32(e, RCX, &minus_base);
    emit_lea32(e, RCX, &plus_base);
    uint8_t *same_base = emit_jecxz_fwd(e);
    uint8_t *miss = emit_jmp_fwd(e);
    emit_fix8(e, same_base);
    emit_load32(e, RCX, &minus_mode);
    emit_load32(e, R12, &mode); /* the old segment's table is needed no more */
    emit_lea32(e, RCX, &plus_mode);
    uint8_t *same_mode = emit_jecxz_fwd(e);
    emit_fix(e, miss);
    emit_mov_rr(e, RCX, R11);
    emit_store32(e, &eip, R8);
    emit_store32_i(e, &changed, CHANGED_MODE); /* 0 in translated code */
    emit_jmp(e, tc.tramp[TRAMP_LOOKUP]);
    emit_fix8(e, same_mode);
    emit_mov_rr(e, RCX, R11);
    emit_store32(e, &cs_base, R9);
    emit_load64(e, R12, &slot_jtable);
    emit_store64(e, &jtable, R12);
    emit_load64(e, R9, &slot_table);
    emit_store64(e, &table, R9);
    emit_load32(e, R9, &entry);
    emit_jmp_reg(e, R9);
}

bool tcache_is_popfq(const void *pc_rx)
{
    return pc_rx == tc.popfq[0] || pc_rx == tc.popfq[1];
}

static void write_trampolines(void)
{
    struct emit e = {.pos = tc.rw, .end = tc.rw + FIXED_SIZE, .rx_delta = tc.rx - tc.rw};
    static const enum exit_reason reason[] = {
        [TRAMP_CHAIN] = EXIT_CHAIN, [TRAMP_INTERP] = EXIT_INTERP, [TRAMP_LOOKUP] = EXIT_LOOKUP, [TRAMP_FPU] = EXIT_FPU,
        [TRAMP_STALE] = EXIT_STALE, [TRAMP_GATE] = EXIT_GATE,     [TRAMP_SITE] = EXIT_SITE};
    for (unsigned i = TRAMP_CHAIN; i <= TRAMP_SITE; i++) {
        tc.tramp[i] = emit_rx(&e);
        /* R9D = reason; world_exit expects R8D = argument, guest registers live */
        emit_mov_ri(&e, R9, reason[i]);
        struct hmem fn = hmem_base(R15, (int32_t)offsetof(struct bt, exit_fn));
        emit_load64(&e, R10, &fn);
        emit_jmp_reg(&e, R10);
    }
    /* ret_slow: the private stack ran empty. R8D = guest return address. */
    tc.tramp[TRAMP_RET_SLOW] = emit_rx(&e);
    struct hmem base = hmem_base(R15, (int32_t)offsetof(struct bt, ras_base));
    emit_load64(&e, RSP, &base);
    /* jump through the table: R8D = guest EIP. An empty entry jumps to address 0, which faults; the
     * fault handler turns that into EXIT_LOOKUP. */
    tc.tramp[TRAMP_JUMP] = emit_rx(&e);
    struct hmem slot = {.base = R12, .index = R8, .scale = 2};
    emit_load32(&e, R9, &slot);
    emit_jmp_reg(&e, R9);
    write_mode_tramp(&e, TRAMP_MODE);
    write_mode_tramp(&e, TRAMP_MODE_FLAGS);
    write_cs_tramp(&e);
    assert_always(!e.full);
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
    if (!map_probe())
        goto fail;
    tc.meta = reserve(META_SIZE);
    tc.exits = reserve(EXITS_MAX * sizeof *tc.exits);
    tc.blocks = reserve(BLOCKS_MAX * sizeof *tc.blocks);
    tc.page = reserve(MEM_PAGES * sizeof *tc.page);
    tc.page_blocks = reserve(MEM_PAGES * sizeof *tc.page_blocks);
    tc.heat = reserve(MEM_PAGES * sizeof *tc.heat);
    tc.starts = reserve(STARTS_SIZE);
    if (!tc.starts || !tc.meta || !tc.exits || !tc.blocks || !tc.page || !tc.page_blocks || !tc.heat)
        goto fail;
    /* Filled from the front: one page fault for 2 MiB where the host has large pages. */
    madvise(tc.meta, META_SIZE, MADV_HUGEPAGE);
    madvise(tc.exits, EXITS_MAX * sizeof *tc.exits, MADV_HUGEPAGE);
    write_trampolines();
    tc.used = FIXED_SIZE;
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

const uint8_t *tcache_tramp(enum tramp tramp)
{
    return tc.tramp[tramp];
}

uint64_t tcache_used(void)
{
    return tc.used;
}

uint64_t tcache_size(void)
{
    return tc.size;
}

unsigned tcache_block_count(void)
{
    return tc.block_count;
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

void tcache_flush(void)
{
    for (unsigned i = 0; i < tc.block_count; i++) {
        struct tblock *b = tc.blocks[i];
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
    memset(tc.hash, 0, sizeof tc.hash);
    madvise(tc.starts, STARTS_SIZE, MADV_DONTNEED);
    memset(tc.starts_touched, 0, sizeof tc.starts_touched);
    tc.starts_pages = 0;
    /* Metadata must be zero when handed out again. */
    madvise(tc.meta, META_SIZE, MADV_DONTNEED);
    madvise(tc.exits, EXITS_MAX * sizeof *tc.exits, MADV_DONTNEED);
    tc.meta_used = 0;
    tc.exit_count = 0;
    tc.block_count = 0;
    tc.used = FIXED_SIZE;
    tc.epoch++;
    tc.flushes++;
    jtable_clear_all();
}

void tcache_forget(void)
{
    tcache_flush();
    madvise(tc.rw + FIXED_SIZE, tc.size - FIXED_SIZE, MADV_REMOVE);
}

bool tcache_room(size_t bytes)
{
    return tc.used + bytes <= tc.size && tc.meta_used + 2 * bytes <= META_SIZE &&
           tc.exit_count + TCACHE_BLOCK_EXITS <= EXITS_MAX && tc.block_count + 1 <= BLOCKS_MAX &&
           tc.starts_pages < STARTS_PAGES;
}

struct emit tcache_begin(void)
{
    return (struct emit){.pos = tc.rw + tc.used, .end = tc.rw + tc.size, .rx_delta = tc.rx - tc.rw};
}

void *tcache_alloc(size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    assert_always(tc.meta_used + bytes <= META_SIZE);
    void *p = tc.meta + tc.meta_used;
    tc.meta_used += bytes;
    return p;
}

struct texit *tcache_alloc_exits(unsigned count)
{
    assert_always(tc.exit_count + count <= EXITS_MAX);
    struct texit *x = tc.exits + tc.exit_count;
    tc.exit_count += count;
    return x;
}

void tcache_return_exits(unsigned count)
{
    tc.exit_count -= count;
}

unsigned tcache_exit_id(const struct texit *exit)
{
    return (unsigned)(exit - tc.exits);
}

struct texit *tcache_exit_by_id(unsigned id)
{
    assert_always(id < tc.exit_count);
    return &tc.exits[id];
}

static unsigned hash_of(gpa_t phys, uint32_t eip, uint32_t mode, uint32_t cs_base)
{
    uint64_t h = phys * 0x9e3779b97f4a7c15ull ^ (uint64_t)eip * 0xc2b2ae3d27d4eb4full ^
                 (uint64_t)(mode * 0x85ebca6bu ^ cs_base) << 7;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ull;
    return (unsigned)(h >> (64 - HASH_BITS));
}

struct tentry *tcache_find(gpa_t phys, uint32_t eip, uint32_t mode, uint32_t cs_base, uint32_t cs_limit)
{
    if (!(tc.starts[phys >> 6] >> (phys & 63) & 1))
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

void tcache_commit(struct tblock *b, const struct emit *e)
{
    assert_always(!e->full);
    tc.used = (size_t)(e->pos - tc.rw);
    tc.blocks[tc.block_count++] = b;
    tc.blocks_made++;
    for (unsigned i = 0; i < b->entry_count; i++) {
        struct tentry *t = &b->entry[i];
        unsigned touched = (unsigned)(t->phys >> (PAGE_SHIFT + 3));
        if (!(tc.starts_touched[touched >> 6] >> (touched & 63) & 1)) {
            tc.starts_touched[touched >> 6] |= 1ull << (touched & 63);
            tc.starts_pages++;
        }
        tc.starts[t->phys >> 6] |= 1ull << (t->phys & 63);
        struct tentry **head = &tc.hash[hash_of(t->phys, t->eip, t->mode, t->cs_base)];
        t->hash_next = *head;
        *head = t;
    }
    struct tblock **page = &tc.page[b->phys >> PAGE_SHIFT];
    b->page_next = *page;
    *page = b;
    tc.page_blocks[b->phys >> PAGE_SHIFT]++;
    if (is_on_two_pages(b)) {
        page = &tc.page[b->phys2 >> PAGE_SHIFT];
        b->page2_next = *page;
        *page = b;
        tc.page_blocks[b->phys2 >> PAGE_SHIFT]++;
    }
}

struct tblock *tcache_block_at(const void *pc_rx)
{
    const uint8_t *pc = pc_rx;
    unsigned lo = 0, hi = tc.block_count;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (tc.blocks[mid]->host <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo)
        return NULL;
    struct tblock *b = tc.blocks[lo - 1];
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
    emit_patch(exit->rel32, tc.rx - tc.rw, entry->host);
}

void tcache_exit_by_table(struct texit *exit)
{
    assert_always(!exit->to);
    uint8_t *stub = tc.rw + (exit->stub - tc.rx);
    struct emit e = {.pos = stub, .end = stub + EXIT_STUB_SIZE, .rx_delta = tc.rx - tc.rw};
    emit_mov_ri(&e, R8, exit->target);
    emit_jmp(&e, tc.tramp[TRAMP_JUMP]);
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

/* The list link that belongs to page pfn: a block is on up to two lists. */
static struct tblock **page_link(struct tblock *b, gpa_t pfn)
{
    return b->phys >> PAGE_SHIFT == pfn ? &b->page_next : &b->page2_next;
}

static void page_remove(struct tblock *b, gpa_t pfn)
{
    struct tblock **p = &tc.page[pfn];
    while (*p != b)
        p = page_link(*p, pfn);
    *p = *page_link(b, pfn);
    tc.page_blocks[pfn]--;
    if (!tc.page[pfn])
        guest_mem.page_flags[pfn] &= (uint8_t)~MEM_PAGE_CODE;
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
        jtable_forget(t->eip, t->host);
    }
    for (unsigned i = 0; i < b->exit_count; i++)
        if (b->exit[i].to)
            unlink_exit(&b->exit[i]);
    page_remove(b, b->phys >> PAGE_SHIFT);
    if (is_on_two_pages(b))
        page_remove(b, b->phys2 >> PAGE_SHIFT);
    tc.epoch++;
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
                next = *page_link(b, pfn);
                if (block_covers(b, gpa, part))
                    kill_block(b);
            }
        }
        gpa += part;
        len -= part;
    }
}

bool tcache_page_is_crowded(gpa_t gpa)
{
    return tc.page_blocks[gpa >> PAGE_SHIFT] >= PAGE_BLOCKS_MAX;
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
        next = *page_link(b, pfn);
        gla_t first = b->cs_base + b->eip;
        if ((first ^ gla) < PAGE_SIZE || (b->phys2 != TBLOCK_NO_PAGE && b->gla2 == (gla & PAGE_MASK)))
            kill_block(b);
    }
}

void tcache_drop_code(gla_t gla)
{
    for (unsigned i = 0; i < tc.block_count; i++) {
        struct tblock *b = tc.blocks[i];
        gla_t first = b->cs_base + b->eip;
        if (!b->dead &&
            ((first & PAGE_MASK) == (gla & PAGE_MASK) || (b->phys2 != TBLOCK_NO_PAGE && b->gla2 == (gla & PAGE_MASK))))
            kill_block(b);
    }
}
