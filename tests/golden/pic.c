/* Position-independent code: a block of a program must be, byte for byte, what the translator makes of the same page at
 * another linear address; and found there without being made.
 *
 *   pic [ROUNDS [SEED]]
 *
 * Pages of random code are mapped at three places: where a block is translated first, where it is wanted, too, and
 * where the pages around it are others. Each round takes one page and looks at the blocks from many of its bytes.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostcpu.h"
#include "mem.h"
#include "translator/tr.h"
#include "bt.h"
#include "translator/block.h"
#include "translator/cache.h"
#include "translator/site.h"

#define PAGES   4u /* of code, from physical page 16 on: the block's is the second one */
#define PHYS    0x10000u
#define FIRST   0x08048000u /* where they are mapped */
#define SECOND  0xb7d30000u
#define ANOTHER 0x40000000u /* the same page with others around it */

static GRand *chance;
static bool some_are_missing; /* at SECOND: the last page */

static bool mapped(struct bt *bt, gla_t gla, gpa_t *gpa, bool *global)
{
    static const gla_t at[] = {FIRST, SECOND, ANOTHER};
    *global = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(at); i++) {
        if (gla < at[i] || gla >= at[i] + PAGES * PAGE_SIZE)
            continue;
        unsigned page = (gla - at[i]) >> PAGE_SHIFT;
        *gpa = PHYS + page * PAGE_SIZE;
        if (at[i] == ANOTHER && page != 1)
            *gpa += PAGES * PAGE_SIZE;
        return !(some_are_missing && at[i] == SECOND && page == PAGES - 1);
    }
    return false;
}

static void no_protect(gpa_t page)
{
}

/* --- code --- */

static unsigned below(unsigned n)
{
    return (unsigned)g_rand_int_range(chance, 0, (gint32)n);
}

static void put32(uint8_t *to, uint32_t value)
{
    memcpy(to, &value, 4);
}

/* A distance to somewhere in the pages, or near, or anywhere. */
static uint32_t distance(unsigned from)
{
    switch (below(4)) {
    case 0:
        return (uint32_t)g_rand_int(chance);
    case 1:
        return below(PAGES * PAGE_SIZE) - from;
    default:
        return below(256) - 128;
    }
}

/* One instruction, more or less; its length. off: where it will be in the pages. */
static unsigned random_insn(uint8_t *code, unsigned off)
{
    static const uint8_t plain[][8] = {
        {2, 0x89, 0xd8},             /* mov %ebx, %eax */
        {3, 0x8b, 0x45, 0x08},       /* mov 8(%ebp), %eax */
        {3, 0x89, 0x55, 0xfc},       /* mov %edx, -4(%ebp) */
        {2, 0x39, 0xc8},             /* cmp %ecx, %eax */
        {1, 0x50},                   /* push %eax */
        {1, 0x5b},                   /* pop %ebx */
        {1, 0xc3},                   /* ret */
        {3, 0xc2, 0x08, 0x00},       /* ret $8 */
        {2, 0xff, 0xd0},             /* call *%eax */
        {3, 0xff, 0x50, 0x04},       /* call *4(%eax) */
        {2, 0xff, 0xe2},             /* jmp *%edx */
        {2, 0xcd, 0x80},             /* int $0x80 */
        {2, 0x0f, 0x34},             /* sysenter */
        {2, 0xf3, 0xa5},             /* rep movsl */
        {1, 0xaa},                   /* stosb */
        {1, 0xc9},                   /* leave */
        {2, 0x01, 0x0b},             /* add %ecx, (%ebx) */
        {3, 0xc6, 0x06, 0x07},       /* movb $7, (%esi) */
        {3, 0x0f, 0xb6, 0x02},       /* movzbl (%edx), %eax */
        {2, 0xe4, 0x21},             /* in $0x21, %al */
        {1, 0xef},                   /* out %eax, %dx */
        {1, 0x9c},                   /* pushf */
        {1, 0x9d},                   /* popf */
        {2, 0x8e, 0xe8},             /* mov %eax, %gs */
        {6, 0x65, 0xa1, 0x14, 0, 0}, /* mov %gs:0x14, %eax */
        {2, 0xd9, 0xe8},             /* fld1 */
        {3, 0xdd, 0x5d, 0xf0},       /* fstpl -16(%ebp) */
        {2, 0xd9, 0x30},             /* fnstenv (%eax) */
        {2, 0x0f, 0x0b},             /* ud2 */
        {1, 0xf4},                   /* hlt */
        {4, 0x8b, 0x04, 0x24, 0xc3}, /* mov (%esp), %eax; ret: a thunk */
        {4, 0x8b, 0x1c, 0x24, 0xc3}, /* mov (%esp), %ebx; ret */
        {2, 0xf7, 0xf1},             /* div %ecx */
        {4, 0x0f, 0x10, 0x45, 0xe0}, /* movups -32(%ebp), %xmm0 */
    };
    switch (below(13)) {
    case 0: /* call */
        code[0] = 0xe8;
        put32(code + 1, distance(off));
        return 5;
    case 11: /* call of a thunk in the last page */
        code[0] = 0xe8;
        put32(code + 1, PAGES * PAGE_SIZE - 8 - (off + 5));
        return 5;
    case 1: /* jmp */
        code[0] = 0xe9;
        put32(code + 1, distance(off));
        return 5;
    case 2: /* jcc */
        code[0] = 0x0f;
        code[1] = (uint8_t)(0x80 | below(16));
        put32(code + 2, distance(off));
        return 6;
    case 3: /* jcc, short; loop; jecxz */
        code[0] = (uint8_t)(below(4) ? 0x70 | below(16) : 0xe0 | below(4));
        code[1] = (uint8_t)below(256);
        return 2;
    case 4: /* jmp, short */
        code[0] = 0xeb;
        code[1] = (uint8_t)below(256);
        return 2;
    case 5: /* anything */
        for (unsigned i = 0; i < 4; i++)
            code[i] = (uint8_t)below(256);
        return 1 + below(4);
    default: {
        const uint8_t *insn = plain[below(G_N_ELEMENTS(plain))];
        memcpy(code, insn + 1, insn[0]);
        return insn[0];
    }
    }
}

static void make_code(void)
{
    for (unsigned page = 0; page < 2; page++) { /* what is mapped at FIRST, and what surrounds the page at ANOTHER */
        uint8_t *code = guest_mem.ram + PHYS + page * PAGES * PAGE_SIZE;
        for (unsigned off = 0; off < PAGES * PAGE_SIZE - 16;)
            off += random_insn(code + off, off);
        memcpy(code + PAGES * PAGE_SIZE - 8, "\x8b\x1c\x24\xc3", 4);
    }
}

/* --- comparing --- */

/* What there is to know about a block, in one string of bytes. */
static GByteArray *description(const struct tblock *b)
{
    GByteArray *d = g_byte_array_new();
#define PUT(value) \
    do { \
        __typeof__(value) v_ = (value); \
        g_byte_array_append(d, (const guint8 *)&v_, sizeof v_); \
    } while (0)
    g_byte_array_append(d, b->host, b->host_len);
    PUT(b->host);
    PUT(b->phys);
    PUT(b->phys2);
    PUT(b->gla2);
    PUT(b->eip);
    PUT(b->cs_base);
    PUT(b->mode);
    PUT(b->first);
    PUT(b->guest_len);
    for (unsigned i = 0; i < b->row_count; i++) {
        PUT(b->row[i].host);
        PUT(b->row[i].delta);
        PUT(b->row[i].insn);
        PUT(b->row[i].kind);
        PUT(b->row[i].arg);
    }
    for (unsigned i = 0; i < b->insn_count; i++) {
        PUT(b->insn_off[i]);
        PUT(b->x87 ? b->x87[i] : (uint16_t)0);
        if (b->insn_next) {
            PUT(b->insn_next[i][0]);
            PUT(b->insn_next[i][1]);
            PUT(b->insn_steps[i]);
        }
    }
    for (unsigned i = 0; i < b->entry_count; i++) {
        PUT(b->entry[i].phys);
        PUT(b->entry[i].eip);
        PUT(b->entry[i].host);
        PUT(b->entry[i].direct);
        PUT(b->entry[i].natural);
    }
    for (unsigned i = 0; i < b->exit_count; i++) {
        PUT(b->exit[i].rel32);
        PUT(b->exit[i].stub);
        PUT(b->exit[i].target);
        PUT(b->exit[i].cross_page);
        PUT(b->exit[i].has_table);
        PUT(b->exit[i].to ? b->exit[i].to->host : NULL);
    }
#undef PUT
    return d;
}

/* Some instructions of the block at offset off become sites (site.h), and stay it. */
static void make_sites(struct bt *bt, unsigned off)
{
    tcache_flush();
    const struct tentry *t = tr_lookup(bt, FIRST + off, true);
    for (unsigned i = 0; t && i < t->block->row_count; i++)
        for (unsigned times = 0; times < 64; times++)
            tr_site_fault(bt, t->block->host + t->block->row[i].host);
    tr_sites_take(bt);
}

static struct {
    unsigned blocks, compared, two_pages, not_shared, wrong;
} seen;

static void complain(const char *what, unsigned off, gla_t to, const struct bt *bt)
{
    if (seen.wrong++ < 10)
        printf("the block at offset %x %s at %x%s\n", off, what, to, bt->single ? ", lockstep" : "");
}

/* The code alone: in lockstep each address has a block of its own. */
static GByteArray *code_of(const struct tblock *b)
{
    GByteArray *d = g_byte_array_new();
    g_byte_array_append(d, b->host, b->host_len);
    return d;
}

static void compare(struct bt *bt, unsigned off, gla_t to)
{
    tcache_flush();
    const struct tentry *t = tr_lookup(bt, FIRST + off, true);
    if (!t)
        return;
    seen.blocks++;
    seen.not_shared += !t->block->jpage;
    gpa_t second = t->block->phys2;
    GByteArray *first = bt->single ? code_of(t->block) : description(t->block);
    if (!bt->single && t->block->jpage && tr_lookup(bt, to + off, true) != t)
        complain("is not found", off, to, bt);
    tcache_flush();
    t = tr_lookup(bt, to + off, true);
    /* A call that leads to a thunk here may lead to something else there, or to what is not mapped: see tr_near. */
    if (t && t->block->phys2 == second) {
        GByteArray *other = bt->single ? code_of(t->block) : description(t->block);
        seen.compared++;
        seen.two_pages += second != TBLOCK_NO_PAGE;
        if (first->len != other->len || memcmp(first->data, other->data, first->len) != 0) {
            unsigned at = 0;
            while (at < first->len && at < other->len && first->data[at] == other->data[at])
                at++;
            complain("is another one", off, to, bt);
            if (seen.wrong <= 10)
                printf("  from byte %u of %u and %u (code: %u)\n", at, first->len, other->len, t->block->host_len);
        }
        g_byte_array_unref(other);
    }
    g_byte_array_unref(first);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 30, seed = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    GError *error = NULL;
    hostcpu_assume(&(struct hostcpu){0});
    if (!mem_init(1 * MiB, &error) || !tcache_init(TCACHE_MIN, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 2;
    }
    tr_set_code_page(mapped);
    tr_set_protect(no_protect);
    struct bt *bt = aligned_alloc(64, (sizeof *bt + 63) / 64 * 64);
    memset(bt, 0, sizeof *bt);
    bt->isa = ~0u;
    chance = g_rand_new_with_seed(seed);
    for (unsigned n = 0; n < rounds; n++) {
        struct cpu *cpu = &bt->cpu;
        memset(cpu, 0, sizeof *cpu);
        cpu->eflags = FL_FIXED1 | (n & 16 ? FL_IOPL : 0);
        cpu->cr0 = CR0_PE | CR0_PG;
        cpu->cr4 = CR4_OSFXSR;
        cpu->cpl = 3;
        bt->single = n & 1;
        bt->fpu_on = n & 2;
        bt->inline_gates = n & 4;
        some_are_missing = n & 8;
        for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
            struct seg *seg = &cpu->seg[s];
            seg->sel = 0x23;
            seg->access = ACC_P | ACC_S | ACC_WRITE | ACC_ACCESSED | (s == SEG_CS ? ACC_CODE : 0) | ACC_DB | ACC_G;
            seg->limit = UINT32_MAX;
            if (s == SEG_GS)
                seg->base = 0x1000;
        }
        bool ok;
        bt->mode = bt_mode(bt, &ok);
        bt->cs_base = 0;
        bt->cs_limit = UINT32_MAX;
        g_assert_true(ok);
        make_code();
        for (unsigned i = 0; i < 20; i++)
            make_sites(bt, PAGE_SIZE + below(PAGE_SIZE));
        for (unsigned off = PAGE_SIZE; off < 2 * PAGE_SIZE; off += 1 + below(40)) {
            compare(bt, off, SECOND);
            compare(bt, off, ANOTHER);
        }
    }
    printf("pic: %u blocks, %u of them not shared; %u compared, %u of them on two pages; %u differ\n", seen.blocks,
           seen.not_shared, seen.compared, seen.two_pages, seen.wrong);
    g_rand_free(chance);
    free(bt);
    return seen.wrong || seen.compared < seen.blocks / 4 * 3 || !seen.two_pages;
}
