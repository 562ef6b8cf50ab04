/* The interpreter's memory access: software TLB, page crossing, MMIO, #AC, data breakpoints, the store
 * log, and forgetting decoded instructions when their bytes are written. */
#include "interp.h"

#include "hostcpu.h"
#include "paging.h"
#include "stats.h"
#include "vclock.h"

/* --- flushing --- */

static void interp_drop_fetch(struct interp *ip)
{
    ip->fetch_tag = TLB_INVALID;
}

static void drop_device_pages(struct interp *ip)
{
    if (!ip->device_filled)
        return;
    ip->device_filled = false;
    for (unsigned i = 0; i < sizeof ip->device / sizeof(struct device_page); i++)
        (&ip->device[0][0][0])[i].tag = TLB_INVALID;
}

void interp_flush_tlb(struct cpu *cpu)
{
    struct interp *ip = cpu->interp;
    struct tlb_entry *e = &ip->tlb[0][0][0];

    if (ip->filled_count < TLB_FILLED_MAX) {
        /* Under translation a flush comes after a handful of fills: only those need undoing. */
        for (unsigned i = 0; i < ip->filled_count; i++)
            e[ip->filled[i]].tag = TLB_INVALID;
    } else {
        for (unsigned i = 0; i < 2 * TLB_KINDS * TLB_SIZE; i++)
            e[i].tag = TLB_INVALID;
    }
    ip->filled_count = 0;
    drop_device_pages(ip);
    ip->large_mask = 0;
    interp_drop_fetch(ip);
}

void interp_flush_page(struct cpu *cpu, gla_t gla)
{
    struct interp *ip = cpu->interp;
    unsigned slot = (gla >> PAGE_SHIFT) & (TLB_SIZE - 1);

    if (ip->large_mask && (gla & ip->large_mask) == ip->large_base) {
        interp_flush_tlb(cpu); /* the 4 KiB pieces of a large page all go */
        return;
    }
    for (unsigned user = 0; user < 2; user++) {
        for (unsigned kind = 0; kind < TLB_KINDS; kind++) {
            if (ip->tlb[user][kind][slot].tag == (gla & PAGE_MASK))
                ip->tlb[user][kind][slot].tag = TLB_INVALID;
        }
    }
    drop_device_pages(ip);
    interp_drop_fetch(ip);
}

static bool dr7_watches_data(uint32_t dr7)
{
    for (unsigned i = 0; i < 4; i++) {
        if (((dr7 >> (i * 2)) & 3) && ((dr7 >> (16 + i * 4)) & 3))
            return true;
    }
    return false;
}

void interp_sync(struct cpu *cpu)
{
    struct interp *ip = cpu->interp;

    if (ip->forget_decoded) {
        ip->forget_decoded = false;
        interp_flush_decoded(ip);
    }
    if (ip->seen_flags != guest_mem.page_flags || ip->seen_ram_size != guest_mem.ram_size) {
        /* Another RAM: nothing that was counted or flagged exists any more. */
        for (unsigned i = 0; i < DCACHE_SIZE; i++)
            ip->dcache[i].key = DKEY_INVALID;
        g_free(ip->decoded_count);
        ip->decoded_count = g_new0(uint16_t, MEM_PAGES);
        ip->seen_flags = guest_mem.page_flags;
        ip->seen_ram_size = guest_mem.ram_size;
    } else if (ip->seen_generation != guest_mem.generation) {
        interp_flush_decoded(ip);
    }
    guest_mem.decoded_written = interp_decoded_written;
    guest_mem.decoded_opaque = ip;
    ip->seen_generation = guest_mem.generation;
    ip->seen_a20 = cpu->a20_masked;
    ip->seen_dr7 = cpu->dr[7];
    ip->no_fill = dr7_watches_data(cpu->dr[7]);
    interp_flush_tlb(cpu);
}

/* --- decoded instructions --- */

void interp_drop_decoded(struct interp *ip, struct dinsn *d)
{
    gpa_t page = dinsn_gpa(d->key) >> PAGE_SHIFT;

    d->key = DKEY_INVALID;
    if (--ip->decoded_count[page] == 0)
        guest_mem.page_flags[page] &= (uint8_t)~MEM_PAGE_DECODED;
}

void interp_flush_decoded(struct interp *ip)
{
    for (unsigned i = 0; i < DCACHE_SIZE; i++) {
        if (ip->dcache[i].key != DKEY_INVALID)
            interp_drop_decoded(ip, &ip->dcache[i]);
    }
}

static __thread char this_thread;

void interp_claim(struct interp *ip)
{
    ip->thread = &this_thread;
}

void interp_decoded_written(void *opaque, gpa_t gpa, uint32_t len)
{
    struct interp *ip = opaque;
    gpa_t page = gpa & ~(gpa_t)(PAGE_SIZE - 1);
    gpa_t first = gpa - (INSN_MAX_LEN - 1);

    if (ip->thread != &this_thread) {
        ip->forget_decoded = true; /* the caches are the vCPU thread's alone */
        return;
    }
    if (first > gpa || first < page)
        first = page;
    for (gpa_t at = first; at < gpa + len; at++) {
        struct dinsn *d = &ip->dcache[dcache_slot(at)];
        if (d->key != DKEY_INVALID && dinsn_gpa(d->key) == at && at + d->insn.len > gpa)
            interp_drop_decoded(ip, d);
    }
}

/* --- stores --- */

void interp_before_store(struct cpu *cpu, gpa_t gpa, unsigned n)
{
    struct store_log *log = cpu->interp->log;
    uint8_t flags = mem_page_flags(gpa);

    if (log) {
        for (unsigned done = 0; done < n;) {
            unsigned piece = n - done < 16 ? n - done : 16;
            if (log->count == log->capacity) {
                log->overflow = true;
                break;
            }
            struct store_log_entry *entry = &log->entry[log->count++];
            entry->gpa = gpa + done;
            entry->size = (uint8_t)piece;
            entry->walk = false;
            memcpy(entry->old, mem_ptr(gpa) + done, piece);
            done += piece;
        }
    }
    if ((flags & MEM_PAGE_GUARDED) && guest_mem.code_written)
        guest_mem.code_written(guest_mem.code_opaque, gpa, n);
    if ((flags & MEM_PAGE_DECODED) && guest_mem.decoded_written)
        guest_mem.decoded_written(guest_mem.decoded_opaque, gpa, n);
}

void interp_set_store_log(struct cpu *cpu, struct store_log *log)
{
    cpu->interp->log = log;
    interp_flush_tlb(cpu); /* with a log no writable entry may exist */
}

/* --- translation --- */

static enum cpu_rc raise_page_fault(struct cpu *cpu, gla_t gla, uint32_t error)
{
    cpu->interp->pending.cr2 = gla;
    return cpu_raise(cpu, EXC_PF, error);
}

static inline struct device_page *device_page(struct interp *ip, gla_t gla, enum tlb_kind kind, bool user)
{
    return &ip->device[user][kind][(gla >> PAGE_SHIFT) & (DEVICE_PAGES - 1)];
}

static void tlb_fill(struct cpu *cpu, gla_t gla, enum tlb_kind kind, bool user, const struct paging_result *r)
{
    struct interp *ip = cpu->interp;
    uint8_t *host = mem_ptr(r->gpa);

    if (!host) {
        *device_page(ip, gla, kind, user) = (struct device_page){gla & PAGE_MASK, r->gpa};
        ip->device_filled = true;
        return;
    }
    if (ip->no_fill && kind != TLB_EXEC)
        return;
    if (kind == TLB_WRITE && (ip->log || (mem_page_flags(r->gpa) & MEM_PAGE_ROM)))
        return;
    /* An entry for writing serves for reading what is written next. */
    if (kind != TLB_EXEC && unlikely(points_of_page(gla) & (kind == TLB_WRITE ? POINT_WATCH : POINT_READ)))
        return;
    if (r->page_size > PAGE_SIZE) {
        gla_t mask = ~(r->page_size - 1);
        if (!ip->large_mask) {
            ip->large_mask = mask;
            ip->large_base = gla & mask;
        }
        ip->large_mask &= mask;
        while ((gla & ip->large_mask) != (ip->large_base & ip->large_mask))
            ip->large_mask <<= 1;
        ip->large_base &= ip->large_mask;
    }
    struct tlb_entry *e = &ip->tlb[user][kind][(gla >> PAGE_SHIFT) & (TLB_SIZE - 1)];
    if (ip->filled_count < TLB_FILLED_MAX)
        ip->filled[ip->filled_count++] = (uint16_t)(e - &ip->tlb[0][0][0]);
    e->tag = gla & PAGE_MASK;
    e->page = (uint32_t)(r->gpa >> PAGE_SHIFT);
    e->host = host;
    e->flags = &guest_mem.page_flags[r->gpa >> PAGE_SHIFT];
}

/* Page of gla for an access. Raises #PF. */
static enum cpu_rc translate(struct cpu *cpu, gla_t gla, enum tlb_kind kind, bool user, gpa_t *page)
{
    static const unsigned access_of[TLB_KINDS] = {0, PAGING_WRITE, PAGING_EXEC};
    const struct tlb_entry *e = &cpu->interp->tlb[user][kind][(gla >> PAGE_SHIFT) & (TLB_SIZE - 1)];
    struct paging_result r;

    if (e->tag == (gla & PAGE_MASK)) {
        *page = (gpa_t)e->page << PAGE_SHIFT;
        return CPU_OK;
    }
    const struct device_page *device = device_page(cpu->interp, gla, kind, user);
    if (device->tag == (gla & PAGE_MASK)) {
        *page = device->page;
        return CPU_OK;
    }
    if (!paging_walk(cpu, gla, access_of[kind] | (user ? PAGING_USER : 0), &r))
        return raise_page_fault(cpu, gla, r.error);
    *page = r.gpa;
    tlb_fill(cpu, gla, kind, user, &r);
    return CPU_OK;
}

enum cpu_rc interp_fetch_page(struct cpu *cpu, gla_t gla)
{
    struct interp *ip = cpu->interp;
    bool user = cpu_is_user(cpu);
    gpa_t page = 0;
    enum cpu_rc rc = translate(cpu, gla, TLB_EXEC, user, &page);

    if (rc != CPU_OK)
        return rc;
    ip->fetch_tag = gla & PAGE_MASK;
    ip->fetch_user = user;
    ip->fetch_gpa = page;
    ip->fetch_host = mem_code_ptr(page);
    ip->fetch_flags = ip->fetch_host ? &guest_mem.page_flags[page >> PAGE_SHIFT] : NULL;
    return CPU_OK;
}

/* --- access --- */

/* Data breakpoints, SDM vol. 3B, 17.2.4. type: 1 write, 3 read or write. */
static void check_watch(struct cpu *cpu, gla_t gla, unsigned n, bool write)
{
    uint32_t dr7 = cpu->dr[7];

    for (unsigned i = 0; i < 4; i++) {
        unsigned type = (dr7 >> (16 + i * 4)) & 3;
        unsigned len = ((dr7 >> (18 + i * 4)) & 3) + 1; /* 3 does not occur as a length */
        if (!((dr7 >> (i * 2)) & 3) || !(type == 3 || (type == 1 && write)))
            continue;
        gla_t first = cpu->dr[i] & ~(len - 1);
        if (gla < first + len && first < gla + n)
            cpu->interp->db_hits |= 1u << i;
    }
}

/* The debugger's. */
static __attribute__((noinline, cold)) void check_points(struct cpu *cpu, gla_t gla, unsigned n, bool write)
{
    struct debug_stop stop = {.why = DEBUG_WATCH};

    if (points_watch(gla, n, write, &stop.address, &stop.point))
        interp_tell_point(cpu->interp, &stop);
}

struct access {
    gpa_t gpa[2];
    uint8_t *host[2]; /* NULL: a device, or nobody */
    unsigned n[2];
};

/* What #AC asks of an operand of n bytes (SDM vol. 3A, table 6-7; AMD's APM vol. 2, 8.2.18): a mask. */
static unsigned ac_mask(unsigned n)
{
    switch (n) {
    case 2:
    case 4:
    case 8:
        return n - 1;
    case 16:
        return hostcpu()->unaligned16_ac ? 15 : 0;
    case 10: /* x87 extended, BCD */
        return 7;
    case 14: /* x87 environment and state, by operand size */
    case 94:
        return 1;
    case 28:
    case 108:
        return 3;
    default:
        return 0;
    }
}

/* Everything that can fault in an access to [gla, gla + n), before anything is moved. */
static enum cpu_rc access_begin(struct cpu *cpu, gla_t gla, unsigned n, bool write, bool user, struct access *a)
{
    enum tlb_kind kind = write ? TLB_WRITE : TLB_READ;
    unsigned in_first = PAGE_SIZE - (gla & ~PAGE_MASK);

    if (user && (cpu->eflags & FL_AC) && (cpu->cr0 & CR0_AM) && (gla & ac_mask(n)))
        return cpu_raise(cpu, EXC_AC, 0);
    a->n[0] = n < in_first ? n : in_first;
    a->n[1] = n - a->n[0];
    enum cpu_rc rc = translate(cpu, gla, kind, user, &a->gpa[0]);
    if (rc == CPU_OK && a->n[1])
        rc = translate(cpu, (gla & PAGE_MASK) + PAGE_SIZE, kind, user, &a->gpa[1]);
    if (rc != CPU_OK)
        return rc;
    a->gpa[0] += gla & ~PAGE_MASK;
    a->host[0] = mem_ptr(a->gpa[0]);
    a->host[1] = a->n[1] ? mem_ptr(a->gpa[1]) : a->host[0];
    if (unlikely(cpu->interp->log && (!a->host[0] || !a->host[1]))) {
        cpu->interp->log->device = true;
        return CPU_EXIT;
    }
    if (cpu->interp->no_fill)
        check_watch(cpu, gla, n, write);
    if (unlikely(points.page != NULL))
        check_points(cpu, gla, n, write);
    return CPU_OK;
}

bool interp_find_device(struct cpu *cpu, gla_t gla, unsigned n, bool write, bool user, bool walk, gpa_t *gpa)
{
    struct interp *ip = cpu->interp;
    enum tlb_kind kind = write ? TLB_WRITE : TLB_READ;
    const struct device_page *device = device_page(ip, gla, kind, user);
    struct paging_result r;

    if ((gla & ~PAGE_MASK) > PAGE_SIZE - n || ip->no_fill || ip->log || points.page ||
        ip->seen_generation != guest_mem.generation || ip->seen_a20 != cpu->a20_masked || ip->seen_dr7 != cpu->dr[7])
        return false;
    if (device->tag != (gla & PAGE_MASK)) {
        if (!walk || !paging_walk(cpu, gla, (write ? PAGING_WRITE : 0) | (user ? PAGING_USER : 0), &r) ||
            mem_ptr(r.gpa))
            return false;
        tlb_fill(cpu, gla, kind, user, &r);
    }
    *gpa = device->page + (gla & ~PAGE_MASK);
    return true;
}

/* The world may be another one behind it, unless the device promises that it is not. */
static void touch_device(struct interp *ip, const struct access *a, unsigned i, void *buffer, bool write)
{
    enum stat_id before = stats_enter(STAT_device_memory);
    ip->recheck |= mem_touch_device(a->gpa[i], buffer, a->n[i], write);
    stats_leave(before);
}

enum cpu_rc interp_linear_load(struct cpu *cpu, gla_t gla, void *buffer, unsigned n, bool user)
{
    struct access a;
    uint8_t *to = buffer;
    enum cpu_rc rc = access_begin(cpu, gla, n, false, user, &a);

    if (rc != CPU_OK)
        return rc;
    for (unsigned i = 0; i < 2 && a.n[i]; i++) {
        if (likely(a.host[i]))
            memcpy(to, a.host[i], a.n[i]);
        else
            touch_device(cpu->interp, &a, i, to, false);
        to += a.n[i];
    }
    return CPU_OK;
}

enum cpu_rc interp_linear_store(struct cpu *cpu, gla_t gla, const void *buffer, unsigned n, bool user)
{
    struct access a;
    const uint8_t *from = buffer;
    enum cpu_rc rc = access_begin(cpu, gla, n, true, user, &a);

    if (rc != CPU_OK)
        return rc;
    for (unsigned i = 0; i < 2 && a.n[i]; i++) {
        if (!a.host[i]) {
            touch_device(cpu->interp, &a, i, (void *)from, true);
        } else if (unlikely(mem_page_flags(a.gpa[i]) & MEM_PAGE_ROM)) {
            mem_write(a.gpa[i], from, a.n[i]); /* below a ROM there may be DRAM that takes it */
        } else {
            interp_before_store(cpu, a.gpa[i], a.n[i]);
            memcpy(a.host[i], from, a.n[i]);
        }
        from += a.n[i];
    }
    return CPU_OK;
}

enum cpu_rc interp_linear_probe(struct cpu *cpu, gla_t gla, unsigned n, bool write, bool user)
{
    struct access a;

    return access_begin(cpu, gla, n, write, user, &a);
}

enum cpu_rc interp_rmw_slow(struct cpu *cpu, gla_t gla, unsigned n, uint32_t *value)
{
    enum cpu_rc rc = interp_linear_probe(cpu, gla, n, true, cpu_is_user(cpu));

    *value = 0;
    return rc == CPU_OK ? interp_linear_load(cpu, gla, value, n, cpu_is_user(cpu)) : rc;
}

/* --- what interp_fpu.c and the other handlers use --- */

enum cpu_rc interp_load_at(struct cpu *cpu, unsigned seg, goff_t offset, void *buffer, unsigned n)
{
    gla_t gla;
    enum cpu_rc rc = seg_to_linear(cpu, seg, offset, n, false, &gla);

    return rc == CPU_OK ? interp_linear_load(cpu, gla, buffer, n, cpu_is_user(cpu)) : rc;
}

enum cpu_rc interp_store_at(struct cpu *cpu, unsigned seg, goff_t offset, const void *buffer, unsigned n)
{
    gla_t gla;
    enum cpu_rc rc = seg_to_linear(cpu, seg, offset, n, true, &gla);

    return rc == CPU_OK ? interp_linear_store(cpu, gla, buffer, n, cpu_is_user(cpu)) : rc;
}

enum cpu_rc interp_load(struct cpu *cpu, const struct insn *insn, void *buffer, unsigned n)
{
    return interp_load_at(cpu, insn->seg, interp_ea(cpu, insn), buffer, n);
}

enum cpu_rc interp_load_far(struct cpu *cpu, const struct insn *insn, uint16_t *sel, uint32_t *offset)
{
    uint8_t pointer[6] = {0};
    enum cpu_rc rc = interp_load(cpu, insn, pointer, insn->opsize + 2u);

    *offset = 0;
    memcpy(offset, pointer, insn->opsize);
    memcpy(sel, pointer + insn->opsize, 2);
    return rc;
}

enum cpu_rc interp_store(struct cpu *cpu, const struct insn *insn, const void *buffer, unsigned n)
{
    return interp_store_at(cpu, insn->seg, interp_ea(cpu, insn), buffer, n);
}

static enum cpu_rc aligned_operand(struct cpu *cpu, const struct insn *insn, unsigned n, bool write, gla_t *gla)
{
    goff_t offset = interp_ea(cpu, insn);

    if ((cpu->seg[insn->seg].base + offset) & (n - 1)) /* goes before the limit, and before #SS */
        return cpu_raise(cpu, EXC_GP, 0);
    return seg_to_linear(cpu, insn->seg, offset, n, write, gla);
}

enum cpu_rc interp_load_aligned(struct cpu *cpu, const struct insn *insn, void *buffer, unsigned n)
{
    gla_t gla;
    enum cpu_rc rc = aligned_operand(cpu, insn, n, false, &gla);

    return rc == CPU_OK ? interp_linear_load(cpu, gla, buffer, n, cpu_is_user(cpu)) : rc;
}

enum cpu_rc interp_store_aligned(struct cpu *cpu, const struct insn *insn, const void *buffer, unsigned n)
{
    gla_t gla;
    enum cpu_rc rc = aligned_operand(cpu, insn, n, true, &gla);

    return rc == CPU_OK ? interp_linear_store(cpu, gla, buffer, n, cpu_is_user(cpu)) : rc;
}

enum cpu_rc interp_probe_store(struct cpu *cpu, const struct insn *insn, unsigned n)
{
    gla_t gla;
    enum cpu_rc rc = seg_to_linear(cpu, insn->seg, interp_ea(cpu, insn), n, true, &gla);

    return rc == CPU_OK ? interp_linear_probe(cpu, gla, n, true, cpu_is_user(cpu)) : rc;
}
