/* What stands at the start of the code cache: the trampolines, and the probe's pages (see tcache.h). */
#include "tcache_tramp.h"

#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "bt.h"
#include "jtable.h"

static struct {
    const uint8_t *at[TRAMP_COUNT]; /* where they are executed */
    const uint8_t *popfq[4];        /* the POPFQs in them, see tcache_is_popfq */
    uint32_t probe;                 /* host address, see tcache_probe */
} tramps;

/* All its pages are one: it costs a line of cache and no memory. */
bool tcache_map_probe(void)
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
    tramps.probe = (uint32_t)(uintptr_t)at;
    return ok;
}

uint32_t tcache_probe(void)
{
    return tramps.probe;
}

static void load_flags(struct emit *e, unsigned n)
{
    emit_push(e, R11);
    tramps.popfq[n] = emit_rx(e);
    emit_popfq(e);
}

void tcache_load_middle(struct emit *e, uint8_t from)
{
    struct hmem eip = hmem_base(R15, (int32_t)offsetof(struct bt, jump_eip)), middle = eip;
    middle.disp += JTABLE_UNIT_SHIFT / 8;
    emit_store64(e, &eip, from);
    emit_load32(e, R9, &middle); /* a shift would change flags */
}

void tcache_load_slot(struct emit *e, uint8_t table)
{
    struct hmem number = {.base = table, .index = R9, .scale = 2};
    struct hmem entry = {.base = R9, .index = R10, .scale = 2, .disp = (int32_t)jtable_units()};
    tcache_load_middle(e, R8);
    emit_movzb(e, R10, R8);
    emit_load32(e, R9, &number);
    emit_load32(e, R9, &entry);
}

void tcache_load_slot_low(struct emit *e, uint8_t table, uint8_t low)
{
    struct hmem number = {.base = table, .index = R9, .scale = 2};
    struct hmem entry = hmem_base(R9, (int32_t)(jtable_units() + low * 4u));
    tcache_load_middle(e, R8);
    emit_load32(e, R9, &number);
    emit_load32(e, R9, &entry);
}

void tcache_load_slot_of(struct emit *e, uint32_t eip, uint8_t table)
{
    struct hmem number = hmem_base(table, (int32_t)((eip >> JTABLE_UNIT_SHIFT) * 4));
    struct hmem entry = hmem_base(R9, (int32_t)(jtable_units() + (eip & ((1u << JTABLE_UNIT_SHIFT) - 1)) * 4));
    emit_load32(e, R9, &number);
    emit_load32(e, R9, &entry);
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
    struct hmem hash = hmem_base(R15, (int32_t)offsetof(struct bt, slot_hash));
    struct hmem mode = hmem_base(R15, (int32_t)offsetof(struct bt, mode));
    struct hmem jtable = hmem_base(R15, (int32_t)offsetof(struct bt, jtable));
    struct hmem table = hmem_base(R15, (int32_t)offsetof(struct bt, table));
    struct hmem eip = hmem_base(R15, (int32_t)offsetof(struct bt, cpu.eip));
    struct hmem changed = hmem_base(R15, (int32_t)offsetof(struct bt, cpu.changed));

    tramps.at[tramp] = emit_rx(e);
    emit_mov_rr(e, R10, R9);
    emit_imul_rm(e, R10, &hash);
    emit_shift64_i(e, false, R10, MODE_SLOT_SHIFT);
    emit_shift64_i(e, true, R10, 5);
    emit_alu_rm(e, 7, R9, &key);
    uint8_t *miss = emit_jcc_fwd(e, 5);
    emit_store32(e, &mode, R9);
    emit_load64(e, R12, &slot_jtable);
    emit_store64(e, &jtable, R12);
    emit_load64(e, R9, &slot_table);
    emit_store64(e, &table, R9);
    tcache_load_slot(e, R12);
    if (flags)
        load_flags(e, 0);
    emit_jmp_reg(e, R9);
    emit_fix(e, miss);
    emit_store32(e, &eip, R8);
    emit_alu_mi(e, 1, &changed, CHANGED_MODE);
    if (flags)
        load_flags(e, 1);
    emit_jmp(e, tramps.at[TRAMP_LOOKUP]);
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

    tramps.at[TRAMP_CS] = emit_rx(e);
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
    emit_jmp(e, tramps.at[TRAMP_LOOKUP]);
    emit_fix8(e, same_mode);
    emit_mov_rr(e, RCX, R11);
    emit_store32(e, &cs_base, R9);
    emit_load64(e, R12, &slot_jtable);
    emit_store64(e, &jtable, R12);
    emit_load64(e, R9, &slot_table);
    emit_store64(e, &table, R9);
    tcache_load_slot(e, R12);
    emit_jmp_reg(e, R9);
}

/* --- Calls of C functions --- */

/* The guest's registers that C functions do not save go onto the monitor's own stack, where it was when it entered
 * translated code; nothing may be pushed twice on the private one. */
static const uint8_t kept[] = {RAX, RCX, RDX, RSI, RDI};
_Static_assert(G_N_ELEMENTS(kept) % 2 == 1, "with the flags: the stack is aligned at the call");

/* Calls the function at offset fn of struct bt with bt, R8D, R9D and R10D; R10D = what it returned. */
static void write_call(struct emit *e, size_t fn)
{
    struct hmem ras = hmem_base(R15, (int32_t)offsetof(struct bt, ras_rsp));
    struct hmem stack = hmem_base(R15, (int32_t)offsetof(struct bt, host_rsp));
    struct hmem call = hmem_base(R15, (int32_t)offsetof(struct bt, call_fn)), to = hmem_base(R15, (int32_t)fn);
    emit_store64(e, &ras, RSP);
    emit_load64(e, RSP, &stack);
    emit_pushfq(e);
    for (unsigned i = 0; i < G_N_ELEMENTS(kept); i++)
        emit_push(e, kept[i]);
    emit_cld(e);
    emit_mov_rr64(e, RDI, R15);
    emit_mov_rr(e, RSI, R8);
    emit_mov_rr(e, RDX, R9);
    emit_mov_rr(e, RCX, R10);
    emit_load64(e, RAX, &to);
    emit_load64(e, R11, &call);
    emit_call_reg(e, R11);
    emit_mov_rr(e, R10, RAX);
}

/* Everything is again as it was before write_call, but for R8 to R11. */
static void write_return(struct emit *e, unsigned popfq)
{
    struct hmem ras = hmem_base(R15, (int32_t)offsetof(struct bt, ras_rsp));
    for (unsigned i = G_N_ELEMENTS(kept); i-- > 0;)
        emit_pop(e, kept[i]);
    tramps.popfq[popfq] = emit_rx(e);
    emit_popfq(e);
    emit_load64(e, RSP, &ras);
}

/* A kick that arrives before the function has returned is seen by the code behind the call (tr_touch.c), a later one
 * finds this code and steps to the next boundary. */
static void write_touch_tramp(struct emit *e)
{
    struct hmem back = hmem_base(R15, (int32_t)offsetof(struct bt, touch_back));
    tramps.at[TRAMP_TOUCH] = emit_rx(e);
    emit_store64(e, &back, R11);
    write_call(e, offsetof(struct bt, touch));
    write_return(e, 2);
    emit_load64(e, R11, &back);
    emit_jmp_reg(e, R11);
}

/* A jump that has no way yet: bt->find says where it goes on, TRAMP_LEAVE if that is for the run loop to find out. */
static void write_find_tramps(struct emit *e)
{
    struct hmem kick = hmem_base(R15, (int32_t)offsetof(struct bt, kick));
    struct hmem exit = hmem_base(R15, (int32_t)offsetof(struct bt, exit_fn));
    struct hmem bias = hmem_base(R15, (int32_t)offsetof(struct bt, bias));
    struct hmem jtable = hmem_base(R15, (int32_t)offsetof(struct bt, jtable));
    struct hmem eip = hmem_base(R15, (int32_t)offsetof(struct bt, cpu.eip));
    tramps.at[TRAMP_LEAVE] = emit_rx(e);
    emit_mov_ri(e, R9, EXIT_LOOKUP);
    emit_load64(e, R10, &exit);
    emit_jmp_reg(e, R10);
    tramps.at[TRAMP_CHAIN] = emit_rx(e);
    emit_store32(e, &bias, R12);
    emit_mov_ri(e, R9, EXIT_CHAIN);
    uint8_t *find = emit_jmp_fwd(e);
    tramps.at[TRAMP_LOOKUP] = emit_rx(e);
    emit_mov_ri(e, R9, EXIT_LOOKUP);
    emit_fix(e, find);
    write_call(e, offsetof(struct bt, find));
    /* As above; the signal of one that came before has found the monitor, and done nothing. */
    emit_alu_mi(e, 7, &kick, 0);
    uint8_t *none = emit_jcc_fwd(e, 4);
    emit_mov_ri(e, R10, (uint32_t)(uintptr_t)tramps.at[TRAMP_LEAVE]);
    emit_fix(e, none);
    write_return(e, 3);
    emit_load32(e, R8, &eip);
    emit_load64(e, R12, &jtable);
    emit_jmp_reg(e, R10);
}

bool tcache_is_popfq(const void *pc_rx)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(tramps.popfq); i++)
        if (pc_rx == tramps.popfq[i])
            return true;
    return false;
}

void tcache_write_tramps(struct emit e)
{
    /* Where an empty entry of a jump table leads: R8D = guest EIP. */
    assert_always(emit_rx(&e) == tcache_code());
    struct hmem eip = hmem_base(R15, (int32_t)offsetof(struct bt, cpu.eip));
    emit_store32(&e, &eip, R8);
    uint8_t *lookup = emit_jmp_fwd(&e);
    static const enum exit_reason reason[] = {[TRAMP_INTERP] = EXIT_INTERP,
                                              [TRAMP_FPU] = EXIT_FPU,
                                              [TRAMP_STALE] = EXIT_STALE,
                                              [TRAMP_GATE] = EXIT_GATE,
                                              [TRAMP_SITE] = EXIT_SITE};
    for (unsigned i = TRAMP_INTERP; i <= TRAMP_SITE; i++) {
        tramps.at[i] = emit_rx(&e);
        /* R9D = reason; world_exit expects R8D = argument, guest registers live */
        emit_mov_ri(&e, R9, reason[i]);
        struct hmem fn = hmem_base(R15, (int32_t)offsetof(struct bt, exit_fn));
        emit_load64(&e, R10, &fn);
        emit_jmp_reg(&e, R10);
    }
    write_find_tramps(&e);
    emit_patch(lookup, e.rx_delta, tramps.at[TRAMP_LOOKUP]);
    /* ret_slow: the private stack ran empty. R8D = guest return address. */
    tramps.at[TRAMP_RET_SLOW] = emit_rx(&e);
    struct hmem base = hmem_base(R15, (int32_t)offsetof(struct bt, ras_base));
    struct hmem jtable = hmem_base(R15, (int32_t)offsetof(struct bt, jtable));
    emit_load64(&e, RSP, &base);
    /* Jump through the table: R8D = guest EIP. */
    tramps.at[TRAMP_JUMP] = emit_rx(&e);
    emit_load64(&e, R12, &jtable);
    tcache_load_slot(&e, R12);
    emit_jmp_reg(&e, R9);
    write_mode_tramp(&e, TRAMP_MODE);
    write_mode_tramp(&e, TRAMP_MODE_FLAGS);
    write_cs_tramp(&e);
    write_touch_tramp(&e);
    assert_always(!e.full);
}

const uint8_t *tcache_tramp(enum tramp tramp)
{
    return tramps.at[tramp];
}
