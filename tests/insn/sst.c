/* Runs the SingleStepTests suites of hardware captures (MOO files, also gzipped) on our engines.
 *
 * usage: sst [--engine interp|bt] [--cpu 286|8086] [--revoked LIST] [--reports N] FILE...
 *
 * A test is the state of a real-mode CPU before and after one instruction. The captured CPUs are older than the
 * 386: what they do otherwise is left out, and counted by reason (see skip_reason). Undefined flags are masked by
 * what insn.def says. The suites are public data (github.com/SingleStepTests) and not part of this repository.
 *
 * The interpreter executes the instruction by itself. The translator runs it together with a HLT that is put where
 * the interpreter came to; where the HLT would fall into the instruction or its memory operands, the test is left
 * out for it.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "cpu.h"
#include "cpu/cpuid.h"
#include "engine.h"
#include "insn.h"
#include "mem.h"

enum reg { R_AX, R_BX, R_CX, R_DX, R_CS, R_SS, R_DS, R_ES, R_SP, R_BP, R_SI, R_DI, R_IP, R_FLAGS, R_COUNT };
static const char *const reg_name[R_COUNT] = {"ax", "bx", "cx", "dx", "cs", "ss", "ds",
                                              "es", "sp", "bp", "si", "di", "ip", "flags"};
static const uint8_t gpr_of[R_COUNT] = {
    [R_AX] = EAX, [R_BX] = EBX, [R_CX] = ECX, [R_DX] = EDX, [R_SP] = ESP, [R_BP] = EBP, [R_SI] = ESI, [R_DI] = EDI};
static const uint8_t seg_of[R_COUNT] = {[R_CS] = SEG_CS, [R_SS] = SEG_SS, [R_DS] = SEG_DS, [R_ES] = SEG_ES};

#define BYTES_MAX 4096
struct state {
    uint16_t reg[R_COUNT];
    uint16_t given; /* bit per register */
    unsigned count;
    uint32_t at[BYTES_MAX];
    uint8_t value[BYTES_MAX];
};

struct test {
    char name[128];
    uint8_t bytes[32];
    unsigned len;
    struct state before, after;
    uint8_t hash[20];
    int exception; /* -1: none */
    uint32_t flag_address;
};

/* What a real-mode program of the captured CPU and the 386 see differently. */
enum skip {
    SKIP_NONE,
    SKIP_NEWER,   /* an opcode or prefix that means something else since the 386 */
    SKIP_FPU,     /* escapes: depends on a coprocessor */
    SKIP_LOCK,    /* LOCK where the 386 raises #UD */
    SKIP_LENGTH,  /* longer than 10 bytes: the 286's limit */
    SKIP_IO,      /* reads the bus of the test bench */
    SKIP_ALIAS,   /* undocumented encodings of the 8086 */
    SKIP_WRAP,    /* an operand beyond FFFFh or 1 MiB: the 8086 wraps; so does the 286 with far pointers */
    SKIP_COUNT,   /* shift counts above 31: the 8086 does not mask */
    SKIP_DIVIDE,  /* the 8086 pushes the next address; the 286 lets some IDIV pass */
    SKIP_BCD,     /* decimal adjustments of what is no decimal number: the 8086 carries otherwise */
    SKIP_PUSHF,   /* the upper flag bits differ */
    SKIP_STACK,   /* faults of the stack: vector 12 since the 386 where it was 13 */
    SKIP_MIDWAY,  /* faults after which the 286 has moved SP, SI, DI or CX already */
    SKIP_REVOKED, /* the suite's own list of bad captures, and what must be one */
    SKIP_OVERLAP, /* the handler's first bytes are the frame just pushed: captured before the push */
    SKIP_HLT,     /* no place for the translator's HLT */
    SKIP_KINDS
};
static const char *const skip_text[SKIP_KINDS] = {
    [SKIP_NEWER] = "opcodes and prefixes that the 386 gave a meaning",
    [SKIP_FPU] = "coprocessor escapes",
    [SKIP_LOCK] = "LOCK that the 386 refuses",
    [SKIP_LENGTH] = "instructions longer than the 286 takes",
    [SKIP_IO] = "reads of I/O ports",
    [SKIP_ALIAS] = "undocumented encodings of the 8086",
    [SKIP_WRAP] = "operands that wrap at FFFFh or 1 MiB",
    [SKIP_COUNT] = "shift counts above 31 on the 8086",
    [SKIP_DIVIDE] = "divide errors that come otherwise",
    [SKIP_BCD] = "decimal adjustments of AL that is not decimal, on the 8086",
    [SKIP_PUSHF] = "pushes of the 8086's upper flag bits",
    [SKIP_STACK] = "stack faults, vector 12 since the 386",
    [SKIP_MIDWAY] = "string and POP faults that the 286 takes midway",
    [SKIP_REVOKED] = "captures that are wrong",
    [SKIP_OVERLAP] = "handlers that lie in the frame just pushed",
    [SKIP_HLT] = "no place for HLT (translator)",
};

static struct {
    bool bt, is_8086;
    unsigned reports;
} options = {.reports = 10};

static struct cpu *cpu;
static const struct engine *engine;
static char *revoked; /* hashes in hexadecimal, one per line */
static uint64_t run_count, skipped[SKIP_KINDS], failed;

/* --- MOO --- */

struct chunk {
    char tag[5];
    const uint8_t *data;
    uint32_t len;
};

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static bool chunk_next(const uint8_t **p, const uint8_t *end, struct chunk *c)
{
    if (end - *p < 8)
        return false;
    memcpy(c->tag, *p, 4);
    c->tag[4] = 0;
    c->len = get32(*p + 4);
    c->data = *p + 8;
    if ((size_t)(end - c->data) < c->len)
        return false;
    *p = c->data + c->len;
    return true;
}

static void parse_state(const struct chunk *outer, struct state *s)
{
    const uint8_t *p = outer->data, *end = p + outer->len;
    struct chunk c;
    s->given = 0;
    s->count = 0;
    while (chunk_next(&p, end, &c)) {
        if (!strcmp(c.tag, "REGS")) {
            const uint8_t *v = c.data + 2;
            memcpy(&s->given, c.data, 2);
            for (unsigned r = 0; r < R_COUNT; r++)
                if (s->given >> r & 1) {
                    memcpy(&s->reg[r], v, 2);
                    v += 2;
                }
        } else if (!strcmp(c.tag, "RAM ")) {
            s->count = MIN(get32(c.data), BYTES_MAX);
            for (unsigned i = 0; i < s->count; i++) {
                s->at[i] = get32(c.data + 4 + 5 * i);
                s->value[i] = c.data[8 + 5 * i];
            }
        }
    }
}

static void parse_test(const struct chunk *outer, struct test *t)
{
    const uint8_t *p = outer->data + 4, *end = outer->data + outer->len;
    struct chunk c;
    t->exception = -1;
    t->len = 0;
    t->name[0] = 0;
    while (chunk_next(&p, end, &c)) {
        if (!strcmp(c.tag, "NAME")) {
            unsigned n = MIN(get32(c.data), sizeof t->name - 1);
            memcpy(t->name, c.data + 4, n);
            t->name[n] = 0;
        } else if (!strcmp(c.tag, "BYTS")) {
            t->len = MIN(get32(c.data), sizeof t->bytes);
            memcpy(t->bytes, c.data + 4, t->len);
        } else if (!strcmp(c.tag, "INIT")) {
            parse_state(&c, &t->before);
        } else if (!strcmp(c.tag, "FINA")) {
            parse_state(&c, &t->after);
        } else if (!strcmp(c.tag, "HASH") && c.len >= sizeof t->hash) {
            memcpy(t->hash, c.data, sizeof t->hash);
        } else if (!strcmp(c.tag, "EXCP")) {
            t->exception = c.data[0];
            t->flag_address = get32(c.data + 1);
        }
    }
    for (unsigned r = 0; r < R_COUNT; r++)
        if (!(t->after.given >> r & 1))
            t->after.reg[r] = t->before.reg[r];
}

/* --- what is left out --- */

static bool is_string_op(uint8_t op)
{
    return (op >= 0xa4 && op <= 0xa7) || (op >= 0xaa && op <= 0xaf) || (op >= 0x6c && op <= 0x6f);
}

static enum skip skip_reason(const struct test *t, const struct insn *insn, unsigned prefixes)
{
    uint8_t op = t->bytes[prefixes];
    for (unsigned i = 0; i < prefixes; i++) {
        if (t->bytes[i] >= 0x64 && t->bytes[i] <= 0x67)
            return SKIP_NEWER;
        if (t->bytes[i] == 0xf0)
            return SKIP_LOCK;
    }
    if (op >= 0x64 && op <= 0x67)
        return SKIP_NEWER;
    if (op == 0x0f || op == 0xf1 || op == 0xd6 || op == 0x82)
        return SKIP_NEWER;
    if ((op == 0x8c || op == 0x8e) && (insn->reg > SEG_DS || (op == 0x8e && insn->reg == SEG_CS)))
        return SKIP_NEWER; /* FS and GS; MOV CS */
    if ((op >= 0xd8 && op <= 0xdf) || op == 0x9b)
        return SKIP_FPU;
    if (op == 0xe4 || op == 0xe5 || op == 0xec || op == 0xed || op == 0x6c || op == 0x6d)
        return SKIP_IO;
    if (op == 0xf0)
        return SKIP_LOCK;
    if (insn->len > 10)
        return SKIP_LENGTH;
    if (!options.is_8086)
        return SKIP_NONE;
    bool rep = insn->rep != REP_NONE;
    if ((op >= 0x60 && op <= 0x6f) || op == 0xc0 || op == 0xc1 || op == 0xc8 || op == 0xc9 ||
        (rep && !is_string_op(op)))
        return SKIP_ALIAS;
    if ((op == 0xf6 || op == 0xf7) && insn->reg == 1)
        return SKIP_ALIAS;
    if ((op == 0xd2 || op == 0xd3) && (insn->reg == 6 || (t->before.reg[R_CX] & 0xff) > 31))
        return insn->reg == 6 ? SKIP_ALIAS : SKIP_COUNT;
    if ((op == 0xd0 || op == 0xd1) && insn->reg == 6)
        return SKIP_ALIAS;
    if (((op == 0xfe && insn->reg > 1) || (op == 0xff && insn->reg == 7)) || (op == 0x8f && insn->reg) ||
        ((op == 0xc6 || op == 0xc7) && insn->reg))
        return SKIP_ALIAS;
    if ((op == 0xff && (insn->reg == 3 || insn->reg == 5) && insn->mod == 3) ||
        ((op == 0x8d || op == 0xc4 || op == 0xc5) && insn->mod == 3))
        return SKIP_ALIAS;
    if (op == 0x54 || (op == 0xff && insn->reg == 6 && insn->mod == 3 && insn->rm == ESP))
        return SKIP_NEWER; /* PUSH SP */
    uint8_t al = (uint8_t)t->before.reg[R_AX];
    bool above = al >= 0x9a && al <= 0x9f;
    if ((op == 0x27 && above) || (op == 0x2f && (above || al < 6)) || (op == 0x37 && al > 0xf9) ||
        (op == 0x3f && al < 6))
        return SKIP_BCD;
    if (t->before.reg[R_IP] + insn->len > 0x10000)
        return SKIP_WRAP;
    if (op == 0x9c || op == 0xcc || op == 0xcd || op == 0xce)
        return SKIP_PUSHF;
    return SKIP_NONE;
}

static bool wraps_segment(const struct state *s)
{
    for (unsigned i = 0; i < s->count; i++)
        for (unsigned k = 0; k < s->count; k++)
            if (s->at[k] == s->at[i] + 0xffff)
                return true;
    return false;
}

static bool wraps_memory(const struct test *t, const struct state *s)
{
    for (unsigned i = 0; i < s->count; i++)
        for (unsigned r = R_CS; r <= R_ES; r++)
            if (t->before.reg[r] > 0xf000 && s->at[i] < 0x10000)
                return true;
    return false;
}

/* The 8086 wraps at the end of a segment, where the 386 faults: the addresses that the capture names show it. At the
 * end of memory A20 does the same, which leaves nothing to the translator. */
static bool wraps(const struct test *t)
{
    return wraps_segment(&t->before) || wraps_segment(&t->after) ||
           (options.bt && (wraps_memory(t, &t->before) || wraps_memory(t, &t->after)));
}

/* --- running --- */

static struct seg real_seg(uint16_t sel, bool code)
{
    return (struct seg){.sel = sel,
                        .access = ACC_P | ACC_S | ACC_WRITE | ACC_ACCESSED | (code ? ACC_CODE : 0),
                        .base = (uint32_t)sel << 4,
                        .limit = 0xffff};
}

static void load_state(const struct test *t)
{
    const struct state *s = &t->before;
    for (unsigned i = 0; i < s->count; i++)
        mem_write(s->at[i], &s->value[i], 1);
    memset(cpu->gpr, 0, sizeof cpu->gpr);
    for (unsigned r = 0; r < R_COUNT; r++) {
        if (r >= R_CS && r <= R_ES)
            cpu->seg[seg_of[r]] = real_seg(s->reg[r], r == R_CS);
        else if (r < R_IP)
            cpu->gpr[gpr_of[r]] = s->reg[r];
    }
    cpu->seg[SEG_FS] = cpu->seg[SEG_GS] = real_seg(0, false);
    cpu->eip = s->reg[R_IP];
    cpu->eflags = (s->reg[R_FLAGS] & 0x0fff) | FL_FIXED1;
    cpu->eflags &= ~FL_TF;
    cpu->cr0 = CR0_ET;
    cpu->cpl = 0;
    cpu->halted = cpu->shutdown = cpu->inhibit_irq = false;
    cpu->a20_masked = options.is_8086 && !options.bt;
    cpu->changed |= CHANGED_MODE | CHANGED_A20;
    cpu->idtr = (struct dtable){0, 0x3ff};
}

static uint16_t have(unsigned r)
{
    return r == R_IP                ? (uint16_t)cpu->eip
           : r == R_FLAGS           ? (uint16_t)cpu->eflags
           : r >= R_CS && r <= R_ES ? cpu->seg[seg_of[r]].sel
                                    : (uint16_t)cpu->gpr[gpr_of[r]];
}

static void report(const struct test *t, const char *file, const char *what, uint32_t where, uint32_t want,
                   uint32_t got)
{
    if (failed >= options.reports)
        return;
    printf("%s: %s:", file, t->name);
    for (unsigned i = 0; i < t->len; i++)
        printf(" %02x", t->bytes[i]);
    printf(": %s", what);
    if (where != UINT32_MAX)
        printf(" at %05x", where);
    printf(" is %04x, expected %04x", got, want);
    if (t->exception >= 0)
        printf(", exception %d, flags at %05x", t->exception, t->flag_address);
    printf("\n");
    for (unsigned r = 0; r < R_COUNT; r++)
        printf(" %s=%04x", reg_name[r], t->before.reg[r]);
    printf("\n");
}

/* True if the state is that of the capture, flags in `ignored` apart. */
static bool compare(const struct test *t, const char *file, uint32_t ignored)
{
    uint16_t mask = (uint16_t)(0x0fd5 & ~ignored);
    for (unsigned r = 0; r < R_COUNT; r++) {
        uint16_t want = t->after.reg[r], got = have(r);
        if (r == R_IP && !options.is_8086 && t->bytes[0] != 0xf4)
            want--; /* behind the HLT that ended the capture */
        if (r == R_FLAGS) {
            want &= mask;
            got &= mask;
        }
        if (want != got) {
            report(t, file, reg_name[r], UINT32_MAX, want, got);
            return false;
        }
    }
    for (unsigned i = 0; i < t->after.count; i++) {
        uint8_t got, want = t->after.value[i];
        mem_read(t->after.at[i], &got, 1);
        if (t->exception >= 0 && (t->after.at[i] == t->flag_address || t->after.at[i] == t->flag_address + 1)) {
            uint8_t m = (uint8_t)(t->after.at[i] == t->flag_address ? mask : mask >> 8);
            want &= m;
            got &= m;
        }
        if (want != got) {
            report(t, file, "memory", t->after.at[i], want, got);
            return false;
        }
    }
    return true;
}

/* One instruction; a REP instruction, of which the interpreter may do a part at a time, to its end. */
static void step(const struct insn *insn)
{
    uint32_t eip = cpu->eip, cs = cpu->seg[SEG_CS].base;
    bool again;
    do {
        uint32_t count = cpu->gpr[ECX];
        interp_step(cpu);
        again = insn->rep != REP_NONE && cpu->eip == eip && cpu->seg[SEG_CS].base == cs && cpu->gpr[ECX] != count;
    } while (again);
}

static void clean(const struct test *t)
{
    static const uint8_t zero;
    for (unsigned i = 0; i < t->before.count; i++)
        mem_write(t->before.at[i], &zero, 1);
    for (unsigned i = 0; i < t->after.count; i++)
        mem_write(t->after.at[i], &zero, 1);
}

/* The memory operand, of up to four bytes, includes the byte at `at`. */
static bool operand_covers(const struct insn *insn, uint32_t at)
{
    if (!insn_is_memory(insn))
        return false;
    uint32_t offset = (uint32_t)insn->disp;
    offset += insn->base == REG_NONE ? 0 : cpu->gpr[insn->base];
    offset += insn->index == REG_NONE ? 0 : cpu->gpr[insn->index];
    return at - (cpu->seg[insn->seg].base + (offset & 0xffff)) < 4;
}

/* The instruction changes the byte. */
static bool is_written(const struct test *t, uint32_t at)
{
    for (unsigned i = 0; i < t->after.count; i++)
        for (unsigned k = 0; t->after.at[i] == at && k < t->before.count; k++)
            if (t->before.at[k] == at)
                return t->before.value[k] != t->after.value[i];
    return false;
}

static bool is_named(const struct state *s, uint32_t at)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->at[i] == at)
            return true;
    return false;
}

/* CS:IP is where vector n leads. */
static bool took_vector(unsigned n)
{
    uint16_t entry[2];
    mem_read(4 * n, entry, sizeof entry);
    return cpu->eip == entry[0] && cpu->seg[SEG_CS].sel == entry[1];
}

static bool went_where_captured(const struct test *t)
{
    return cpu->seg[SEG_CS].sel == t->after.reg[R_CS];
}

static bool is_revoked(const struct test *t)
{
    char text[2 * sizeof t->hash + 1];
    for (unsigned i = 0; i < sizeof t->hash; i++)
        snprintf(text + 2 * i, 3, "%02x", t->hash[i]);
    return revoked && strstr(revoked, text);
}

static void run_test(struct test *t, const char *file)
{
    struct insn insn;
    unsigned prefixes = 0;
    while (prefixes < t->len && strchr("\x26\x2e\x36\x3e\xf0\xf2\xf3\x64\x65\x66\x67", t->bytes[prefixes]) &&
           t->bytes[prefixes])
        prefixes++;
    uint8_t padded[16] = {0};
    memcpy(padded, t->bytes, MIN(t->len, 15));
    if (insn_decode(&insn, padded, 15, false) <= 0 || prefixes >= t->len) {
        skipped[SKIP_LENGTH]++;
        return;
    }
    enum skip why = is_revoked(t) ? SKIP_REVOKED : skip_reason(t, &insn, prefixes);
    if (!why && options.is_8086 && wraps(t))
        why = SKIP_WRAP;
    if (!why && t->exception == 6)
        why = insn.row->id == 0 ? SKIP_NEWER : SKIP_NONE;
    if (why) {
        skipped[why]++;
        return;
    }
    uint32_t ignored = insn.row->flags_undefined;
    bool shift = !strncmp(t->name, "sh", 2) || !strncmp(t->name, "ro", 2) || !strncmp(t->name, "rc", 2) ||
                 !strncmp(t->name, "sa", 2);
    if (shift)
        ignored |= FL_OF | FL_AF; /* OF: defined for a count of one only */
    load_state(t);
    step(&insn);
    uint8_t op = t->bytes[prefixes];
    if (t->exception == 13 && (took_vector(12) || is_string_op(op) || op == 0x8f)) {
        skipped[took_vector(12) ? SKIP_STACK : SKIP_MIDWAY]++;
        clean(t);
        return;
    }
    if (options.is_8086 && (op == 0xf6 || op == 0xf7 || op == 0xd4) &&
        (took_vector(0) || t->after.reg[R_CS] != t->before.reg[R_CS])) {
        skipped[SKIP_DIVIDE]++;
        clean(t);
        return;
    }
    /* AL = 80h without a divide error although the quotient is out of range; a far pointer that wraps. */
    bool far_pointer = op == 0xc4 || op == 0xc5 || (op == 0xff && (insn.reg == 3 || insn.reg == 5));
    if (t->exception < 0 && !went_where_captured(t) &&
        ((took_vector(0) && !options.is_8086 && (op == 0xf6 || op == 0xf7)) || (took_vector(13) && far_pointer))) {
        skipped[took_vector(0) ? SKIP_DIVIDE : SKIP_WRAP]++;
        clean(t);
        return;
    }
    /* The captures give the bus cycle's address, which is even, and not for every divide error. */
    if (t->exception < 0 && took_vector(0))
        t->exception = 0;
    t->flag_address = ((uint32_t)t->before.reg[R_SS] << 4) + (uint16_t)(t->before.reg[R_SP] - 2);
    /* Two captures of INT and INTO show SS where the CPU pushes CS: their bench's error. */
    for (unsigned i = 0; t->exception >= 0 && i < t->after.count; i++)
        if (t->after.at[i] == t->flag_address - 2 && t->after.value[i] == (uint8_t)t->before.reg[R_SS] &&
            t->after.value[i] != (uint8_t)t->before.reg[R_CS]) {
            skipped[SKIP_REVOKED]++;
            clean(t);
            return;
        }
    uint32_t handler = cpu->seg[SEG_CS].base + cpu->eip;
    if (t->exception >= 0 && handler + 16 - t->flag_address < 32) {
        skipped[SKIP_OVERLAP]++;
        clean(t);
        return;
    }
    /* After a divide error all are undefined; translated code may have lost dead flags at any fault. */
    if (t->exception == 0 || (options.bt && t->exception > 0))
        ignored = FL_ARITH;
    bool ok;
    if (!options.bt) {
        ok = compare(t, file, ignored);
    } else {
        uint32_t hlt = cpu->seg[SEG_CS].base + cpu->eip,
                 first = ((uint32_t)t->before.reg[R_CS] << 4) + t->before.reg[R_IP];
        bool in_code = hlt - first < insn.len;
        clean(t);
        load_state(t);
        uint8_t old;
        mem_read(hlt, &old, 1);
        bool operand = hlt - first >= 16 && (is_named(&t->before, hlt) || is_named(&t->after, hlt)) &&
                       old != 0xf4; /* the captures' own HLT at a jump's target */
        if (in_code || operand || is_written(t, hlt) || operand_covers(&insn, hlt)) {
            skipped[SKIP_HLT]++;
            clean(t);
            return;
        }
        mem_write(hlt, "\xf4", 1);
        engine->reset(cpu);
        engine->run_one(cpu);
        if (t->bytes[0] != 0xf4)
            cpu->eip = (cpu->eip - 1) & 0xffff; /* the HLT */
        mem_write(hlt, &old, 1);
        ok = compare(t, file, ignored);
        static const uint8_t zero;
        mem_write(hlt, &zero, 1);
    }
    clean(t);
    run_count++;
    failed += !ok;
}

static bool run_file(const char *path)
{
    gzFile in = gzopen(path, "rb");
    if (!in) {
        fprintf(stderr, "sst: cannot open %s\n", path);
        return false;
    }
    GByteArray *all = g_byte_array_new();
    uint8_t buffer[65536];
    int n;
    while ((n = gzread(in, buffer, sizeof buffer)) > 0)
        g_byte_array_append(all, buffer, (guint)n);
    gzclose(in);
    const uint8_t *p = all->data, *end = p + all->len;
    struct chunk c;
    static struct test t;
    char *file = g_path_get_basename(path);
    if (!chunk_next(&p, end, &c) || strcmp(c.tag, "MOO ")) {
        fprintf(stderr, "sst: %s is not a MOO file\n", path);
        return false;
    }
    while (chunk_next(&p, end, &c))
        if (!strcmp(c.tag, "TEST")) {
            parse_test(&c, &t);
            run_test(&t, file);
        }
    g_free(file);
    g_byte_array_unref(all);
    return true;
}

extern const struct engine engine_bt, engine_interp;

int main(int argc, char **argv)
{
    GError *error = NULL;
    int at = 1;
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        if (!strcmp(argv[at], "--engine"))
            options.bt = !strcmp(argv[at + 1], "bt");
        else if (!strcmp(argv[at], "--cpu"))
            options.is_8086 = !strcmp(argv[at + 1], "8086");
        else if (!strcmp(argv[at], "--revoked")) {
            if (!g_file_get_contents(argv[at + 1], &revoked, NULL, &error)) {
                fprintf(stderr, "sst: %s\n", error->message);
                return 1;
            }
        } else if (!strcmp(argv[at], "--reports"))
            options.reports = (unsigned)atoi(argv[at + 1]);
        else
            break;
    }
    if (at >= argc) {
        fprintf(stderr, "usage: sst [--engine interp|bt] [--cpu 286|8086] [--revoked LIST] [--reports N] FILE...\n");
        return 2;
    }
    if (!mem_init(17 * MiB, &error)) {
        fprintf(stderr, "sst: %s\n", error->message);
        return 1;
    }
    struct cpu_model *model = cpu_model_parse("pentium3", &error);
    g_assert_no_error(error);
    engine = options.bt ? &engine_bt : &engine_interp;
    cpu = engine->create(model);
    cpu_reset(cpu);
    engine->reset(cpu);
    for (; at < argc; at++)
        if (!run_file(argv[at]))
            return 1;
    for (unsigned k = 1; k < SKIP_KINDS; k++)
        if (skipped[k])
            printf("left out: %" G_GUINT64_FORMAT " %s\n", skipped[k], skip_text[k]);
    printf("%s: %" G_GUINT64_FORMAT " tests, %" G_GUINT64_FORMAT " failed\n", engine->name, run_count, failed);
    return failed != 0;
}
