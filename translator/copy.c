/* A block once more, for another linear address.
 *
 * A library lies elsewhere in each process (address-space layout randomization), on the same pages of RAM. What of a
 * block depends on where it lies is few: EIPs that it pushes, compares, stores and looks up, and how far it is from its
 * own code to the monitor's. The translator notes them (struct treloc), so that the block for another address is a copy
 * with other values there: a twentieth of the work. A relative branch leads as far from there as from here; a branch
 * that may lead across the end of the address space, or to a limit, does not occur in a model (translate.c).
 */
#include <string.h>

#include "stats.h"
#include "tr.h"
#include "block.h"
#include "cache.h"
#include "jtable.h"
#include "log.h"
#include "mem.h"

/* Loops begin at multiples of 32; entries are even, or odd. */
#define ALIGNMENT 32

/* Writes the code to e, with what is other there. */
static void copy_code(struct emit *e, const struct tblock *from, const uint8_t *host, uint32_t eip_delta)
{
    uint8_t *to = e->pos;
    uint32_t host_delta = (uint32_t)(host - from->host);
    memcpy(to, from->host, from->host_len);
    for (unsigned i = 0; i < from->reloc_count; i++) {
        uint8_t *at = to + from->reloc[i].at;
        uint32_t value;
        memcpy(&value, at, 4);
        switch ((enum reloc_kind)from->reloc[i].kind) {
        case RELOC_EIP:
            value += eip_delta;
            break;
        case RELOC_MINUS:
            value -= eip_delta;
            break;
        case RELOC_NUMBER: /* both lie in a page alike */
            value = (value + tcache_number_of(eip_delta)) & tcache_number_of(UINT32_MAX);
            break;
        case RELOC_OUT:
            value -= host_delta;
            break;
        case RELOC_HOST:
            value += host_delta;
            break;
        case RELOC_NONE:
            break;
        }
        memcpy(at, &value, 4);
    }
    e->pos += from->host_len;
}

static void copy_exits(struct tblock *b, const struct tblock *from, const struct emit *e, uint32_t eip_delta)
{
    intptr_t host_delta = b->host - from->host;
    b->exit = tcache_alloc_exits(TRING_COPIES, from->exit_count);
    for (unsigned i = 0; i < from->exit_count; i++) {
        const struct texit *x = &from->exit[i];
        b->exit[i] = (struct texit){.rel32 = x->rel32 + host_delta,
                                    .target = x->target + eip_delta,
                                    .cross_page = x->cross_page,
                                    .has_table = x->has_table,
                                    .block = b};
        /* The model's may be linked, or another by now (tcache_exit_by_table). */
        struct emit stub = *e;
        stub.pos = (uint8_t *)(uintptr_t)(x->stub + host_delta) - e->rx_delta;
        tcache_exit_stub(TRING_COPIES, &stub, &b->exit[i]);
        emit_patch(b->exit[i].rel32, e->rx_delta, b->exit[i].stub);
    }
}

/* What the copy knows of its instructions is the model's, whose memory stays as long as the copies (tcache_make_room).
 */
static struct tblock *copy_block(const struct tblock *from, const uint8_t *host, uint32_t eip_delta)
{
    struct tblock *b = memcpy(tcache_alloc(TRING_COPIES, sizeof *b), from, sizeof *b);
    b->eip += eip_delta;
    b->gla2 += from->phys2 != TBLOCK_NO_PAGE ? eip_delta : 0;
    b->host = (uint8_t *)(uintptr_t)host;
    b->entry = tcache_alloc(TRING_COPIES, from->entry_count * sizeof *b->entry);
    for (unsigned i = 0; i < b->entry_count; i++) {
        const struct tentry *t = &from->entry[i];
        b->entry[i] = (struct tentry){.phys = t->phys,
                                      .eip = t->eip + eip_delta,
                                      .mode = t->mode,
                                      .cs_base = t->cs_base,
                                      .cs_limit = t->cs_limit,
                                      .host = t->host + (host - from->host),
                                      .natural = t->natural,
                                      .block = b};
        from->entry[i].copy = &b->entry[i];
        from->entry[i].copy_reuses = tcache_reuses();
    }
    b->reloc = NULL;
    b->reloc_count = 0;
    b->is_model = false;
    return b;
}

/* The block alone; there is room for it. NULL: it cannot be copied. */
static struct tblock *copy_one(struct bt *bt, const struct tblock *model, uint32_t eip_delta)
{
    bool two = model->phys2 != TBLOCK_NO_PAGE, global;
    gpa_t phys2;
    if (two && (!tr_state.code_page(bt, model->gla2 + eip_delta, &phys2, &global) || phys2 != model->phys2)) {
        stats_count(STAT_copies_refused);
        return NULL;
    }
    if (tcache_page_is_crowded(model->phys) || (two && tcache_page_is_crowded(phys2)) || jtable_depends_crowded())
        return NULL; /* to be made room for by those who do not need the model */
    struct emit e = tcache_begin(TRING_COPIES);
    e.pos += ((uintptr_t)model->host - (uintptr_t)emit_rx(&e)) % ALIGNMENT;
    const uint8_t *host = emit_rx(&e);
    copy_code(&e, model, host, eip_delta);
    struct tblock *b = copy_block(model, host, eip_delta);
    copy_exits(b, model, &e, eip_delta);
    tcache_commit(TRING_COPIES, b, &e);
    if (two)
        jtable_depends(b->cs_base + b->eip, b->gla2);
    stats_count(STAT_blocks_copied);
    return b;
}

/* Mostly it is the one that was made last, and to look at it costs less than the hash table's cache misses. */
struct tentry *tr_copy_known(struct tentry *from, uint32_t eip)
{
    if (from->eip == eip)
        return from;
    if (from->copy && from->copy_reuses == tcache_reuses() && from->copy->eip == eip && !from->copy->block->dead)
        return from->copy;
    return tcache_find_start(from->phys, eip, from->mode, from->cs_base, from->cs_limit);
}

/* Where a model goes to another block of its page directly, that way has been taken, and will be: copying that one at
 * once, too, costs less than coming here once more. */
#define AHEAD 16

struct tentry *tr_copy(struct bt *bt, const struct tentry *from, uint32_t eip)
{
    const struct tblock *models[AHEAD] = {from->block};
    struct tblock *copies[AHEAD];
    uint32_t eip_delta = eip - from->eip, flushes = tcache_flushes();
    tcache_make_room(TRING_COPIES, TR_BLOCK_BYTES);
    if (flushes != tcache_flushes() || !(copies[0] = copy_one(bt, models[0], eip_delta)))
        return NULL;
    unsigned count = 1;
    for (unsigned n = 0; n < count && !bt->single && !log_on(LOG_NOCHAIN); n++)
        for (unsigned i = 0; i < models[n]->exit_count; i++) {
            struct tentry *target = models[n]->exit[i].to;
            if (!target || models[n]->exit[i].cross_page || copies[n]->exit[i].to)
                continue;
            struct tentry *to = tr_copy_known(target, target->eip + eip_delta);
            if (!to && target->block->is_model && count < AHEAD && tcache_has_room(TRING_COPIES, TR_BLOCK_BYTES) &&
                (copies[count] = copy_one(bt, target->block, eip_delta))) {
                to = &copies[count]->entry[target - target->block->entry];
                models[count++] = target->block;
            }
            if (to && tr_depends_alike(copies[n], to)) {
                to->natural = true;
                tcache_link(&copies[n]->exit[i], to);
            }
        }
    return &copies[0]->entry[from - models[0]->entry];
}
