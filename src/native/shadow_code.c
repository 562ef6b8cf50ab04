/* Pages with code: where the supervisor's are, and the jump tables of all modes. */
#include "shadow_space.h"

#include <glib.h>
#include <string.h>

#include "log.h"
#include "translator/cache.h"
#include "translator/jtable.h"

/* Supervisor code pages entered in the supervisor's tables: linear page -> frame. Those whose mapping is
 * not global are apart: a switch of CR3 must look at each of them. */
struct code_where {
    gpa_t gpa;
    bool global;
};
#define SUP_CODE_MAX 16384

bool code_init(void)
{
    shadow.sup.table[0].table = jtable_new();
    if (!shadow.sup.table[0].table)
        return false;
    shadow.sup.table[0].mode = UINT32_MAX; /* nobody's yet */
    for (unsigned g = 0; g < 2; g++)
        shadow.sup.code[g] = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    return true;
}

/* Tables are indexed by EIP: only without a base that is the linear address. */
static void drop_page(struct user_table *t, gla_t gla)
{
    if (t->table && t->cs_base)
        jtable_clear(t->table);
    else if (t->table)
        jtable_drop_page(t->table, gla);
}

void space_drop_code(struct space *s, gla_t gla)
{
    for (unsigned k = 0; k < USER_TABLES; k++)
        drop_page(&s->user[k], gla);
    shadow.codes++;
}

static struct code_where *sup_find(gla_t gla)
{
    struct code_where *w = g_hash_table_lookup(shadow.sup.code[1], GUINT_TO_POINTER(gla));
    return w ? w : g_hash_table_lookup(shadow.sup.code[0], GUINT_TO_POINTER(gla));
}

/* Linear page gla no longer is what was translated from it. */
static void sup_drop(gla_t gla, const struct code_where *w)
{
    tcache_drop_linear(w->gpa, gla);
    for (unsigned n = 0; n < SUP_TABLES; n++)
        drop_page(&shadow.sup.table[n], gla);
    shadow.codes++;
}

static void sup_check(struct bt *bt, gla_t gla, const struct code_where *w)
{
    struct walk k;
    if (shadow_walk(&bt->cpu, shadow.current, gla, &k) && k.page == w->gpa && !k.nx)
        return;
    sup_drop(gla, w);
    g_hash_table_remove(shadow.sup.code[w->global], GUINT_TO_POINTER(gla));
}

void code_check(struct bt *bt, bool global)
{
    GHashTable *pages = shadow.sup.code[global];
    if (!g_hash_table_size(pages))
        return;
    GHashTableIter it;
    gpointer key, value;
    GArray *check = g_array_new(FALSE, FALSE, sizeof(gla_t));
    g_hash_table_iter_init(&it, pages);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        gla_t gla = GPOINTER_TO_UINT(key);
        g_array_append_val(check, gla);
    }
    for (unsigned n = 0; n < check->len; n++) {
        gla_t gla = g_array_index(check, gla_t, n);
        sup_check(bt, gla, g_hash_table_lookup(pages, GUINT_TO_POINTER(gla)));
    }
    g_array_free(check, TRUE);
}

void code_check_page(struct bt *bt, gla_t gla)
{
    const struct code_where *w = sup_find(gla);
    if (w)
        sup_check(bt, gla, w);
}

bool shadow_code_crowded(void)
{
    return g_hash_table_size(shadow.sup.code[0]) + g_hash_table_size(shadow.sup.code[1]) >= SUP_CODE_MAX;
}

void shadow_code_forget(void)
{
    tcache_flush();
    memset(shadow.sup.large, 0, sizeof shadow.sup.large);
    for (unsigned g = 0; g < 2; g++)
        g_hash_table_remove_all(shadow.sup.code[g]);
    shadow.codes++;
}

static struct user_table *table_slot(unsigned i)
{
    return i < SPACES * USER_TABLES ? &shadow.spaces[i / USER_TABLES].user[i % USER_TABLES]
                                    : &shadow.sup.table[i - SPACES * USER_TABLES];
}

void code_rest(struct space *s)
{
    for (unsigned n = 0; n < USER_TABLES; n++)
        if (s->user[n].table && jtable_is_empty(s->user[n].table)) {
            jtable_give_back(s->user[n].table);
            s->user[n].table = NULL;
        }
}

/* A table of the space that was not present for longest; NULL: there is none but of the present one. */
static struct jtable *oldest_table(void)
{
    struct space *oldest = NULL;
    unsigned which = 0;
    for (unsigned n = 0; n < SPACES; n++) {
        struct space *s = &shadow.spaces[n];
        for (unsigned k = 0; k < USER_TABLES && s != shadow.current; k++)
            if (s->user[k].table && (!oldest || s->used_at < oldest->used_at)) {
                oldest = s;
                which = k;
            }
    }
    if (!oldest)
        return NULL;
    struct jtable *table = oldest->user[which].table;
    oldest->user[which].table = NULL;
    return table;
}

/* The host gives no more address space: takes a table from somebody else, who is then without. */
static struct jtable *steal_table(const struct bt *bt)
{
    unsigned slots = SPACES * USER_TABLES + SUP_TABLES;
    struct user_table *from = NULL;
    for (unsigned n = 0; n < slots && (!from || from->table == bt->table); n++) {
        struct user_table *t = table_slot(shadow.steal_turn++ % slots);
        if (t->table)
            from = t; /* the running one only if there is no other */
    }
    assert_always(from); /* shadow_init made one */
    struct jtable *table = from->table;
    from->table = NULL;
    return table;
}

static void slots_clear(struct bt *bt)
{
    for (unsigned n = 0; n < MODE_SLOTS; n++)
        bt->slot[n].mode = GATES_NONE;
}

void code_forget_slots(struct bt *bt, const struct jtable *table)
{
    for (unsigned n = 0; n < MODE_SLOTS; n++)
        if (table ? bt->slot[n].table == table : (bt->slot[n].mode & MODE_CPL) == MODE_CPL)
            bt->slot[n].mode = GATES_NONE;
    if (bt->cs_slots_used)
        memset(bt->cs_slot, 0, sizeof bt->cs_slot);
    bt->cs_slots_used = false;
}

static struct mode_slot *slot_of(struct bt *bt, uint32_t mode)
{
    return &bt->slot[mode * bt->slot_hash >> MODE_SLOT_SHIFT];
}

/* Two modes in one slot would leave translated code at every change from one to the other. Then another hash is tried:
 * few modes are in use at a time, so most put each into a slot of its own. */
static void slot_set(struct bt *bt, const struct mode_slot *slot)
{
    uint32_t there = slot_of(bt, slot->mode)->mode;
    if (there != GATES_NONE && there != slot->mode) {
        bt->slot_hash *= MODE_SLOT_HASH;
        slots_clear(bt);
    }
    *slot_of(bt, slot->mode) = *slot;
}

static struct jtable *table_of(struct user_table *tables, unsigned count, unsigned *next, struct bt *bt)
{
    for (unsigned n = 0; n < count; n++)
        if (tables[n].table && tables[n].mode == bt->mode && tables[n].cs_base == bt->cs_base &&
            tables[n].cs_limit == bt->cs_limit)
            return tables[n].table;
    struct user_table *t = &tables[(*next)++ % count];
    if (!t->table && jtable_should_share())
        t->table = oldest_table();
    if (!t->table)
        t->table = jtable_new();
    if (!t->table)
        t->table = steal_table(bt);
    jtable_clear(t->table);
    code_forget_slots(bt, t->table);
    t->mode = bt->mode;
    t->cs_base = bt->cs_base;
    t->cs_limit = bt->cs_limit;
    return t->table;
}

void shadow_select(struct bt *bt)
{
    bool user = (bt->mode & MODE_CPL) == MODE_CPL; /* CPL 3 */
    bt->window = shadow.current->window[user];
    struct jtable *table = user && (bt->mode & MODE_PAGING)
                               ? table_of(shadow.current->user, USER_TABLES, &shadow.current->user_next, bt)
                               : table_of(shadow.sup.table, SUP_TABLES, &shadow.sup.next, bt);
    bt->table = table;
    bt->jtable = jtable_base(table);
    if (bt->cs_base == 0 && bt->cs_limit == UINT32_MAX)
        slot_set(bt, &(struct mode_slot){.mode = bt->mode, .jtable = bt->jtable, .table = table});
    if (!(bt->mode & MODE_PROT) && bt->cs_limit == 0xffff) {
        bt->cs_slot[bt->cpu.seg[SEG_CS].sel % CS_SLOTS] =
            (struct cs_slot){.minus_base = -bt->cs_base, .minus_mode = -bt->mode, .jtable = bt->jtable, .table = table};
        bt->cs_slots_used = true;
    }
}

bool shadow_code_page(struct bt *bt, gla_t gla, gpa_t *gpa, bool *global)
{
    struct space *s = shadow.current;
    struct walk k;
    bool user = bt->cpu.cpl == 3;
    if (!shadow_walk(&bt->cpu, s, gla, &k) || k.nx || (user && !k.u) || !mem_code_ptr(k.page))
        return false;
    if (!shadow_set_accessed(&k, false))
        return false;
    *gpa = k.page;
    *global = k.global && !user;
    struct ptcopy *c = space_use_table(s, &k);
    if (c) {
        space_use_entry(s, c, &k, k.pte);
        bit_set(c->code, k.j);
    } else {
        s->large_code[k.i] = 1;
    }
    if (!user) {
        struct code_where *w = sup_find(gla);
        if (w && (w->gpa != k.page || w->global != k.global)) {
            if (w->gpa != k.page)
                sup_drop(gla, w);
            g_hash_table_remove(shadow.sup.code[w->global], GUINT_TO_POINTER(gla));
            w = NULL;
        }
        if (!w) {
            w = g_new(struct code_where, 1);
            *w = (struct code_where){k.page, k.global};
            shadow.sup.large[gla >> 22] |= k.large && s->config & CONFIG_PAGING; /* else it is not the guest's page */
            g_hash_table_insert(shadow.sup.code[k.global], GUINT_TO_POINTER(gla), w);
        }
    }
    return true;
}
