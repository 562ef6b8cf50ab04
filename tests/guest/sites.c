/* Instructions that touch missing memory again and again: a translator may come to look before they touch (translator/
 * tr_site.c). Whatever it does, each form of access faults exactly where the manual says (Intel SDM vol. 3A, 4.7 and
 * 6.15), once, with the right error code, and then does its work; and what does not access memory does not fault. */
#include "guest.h"

#define TEST   0x40000000u /* linear addresses under test: this 4 MiB */
#define FRAMES 0x2000000u
#define ROUNDS 300

static uint32_t pd[1024] __attribute__((aligned(4096)));
static uint32_t pt[1024] __attribute__((aligned(4096)));

/* EBX: flags that must survive; ESI: where; EDI: 0, or elsewhere in strings. */
SNIPPET(load, "movl (%esi), %eax");
SNIPPET(load_scaled, "movl %esi, %ecx; shrl $2, %ecx; movl (,%ecx,4), %eax");
SNIPPET(load_byte_high, "movb (%esi), %ah");
SNIPPET(load_zero_extended, "movzwl (%esi), %eax");
SNIPPET(load_into_base, "movl %esi, %ecx; movl (%ecx), %ecx; movl %ecx, %eax");
SNIPPET(load_between_flags, "cmpl $5, %ebx; movl (%esi), %eax; setz %cl; setc %ch");
SNIPPET(load_fs, "movl %fs:(%edx), %eax");
SNIPPET(load_absolute, "movl 0x40000040, %eax");
SNIPPET(store, "movl $0x1234567, (%esi)");
SNIPPET(store_eax, "movl %eax, (%esi)");
SNIPPET(store_cl, "movb %cl, (%esi)");
SNIPPET(store_high, "movb %ch, (%esi)");
SNIPPET(push_from, "pushl (%esi); popl %eax");
SNIPPET(add_carry, "stc; adcl $1, (%esi); sbbl %edx, %edx");
SNIPPET(exchange, "movl $9, %eax; xchgl %eax, (%esi)");
SNIPPET(compare_exchange, "movl $1, %edx; lock cmpxchgl %edx, (%esi); setz %cl");
SNIPPET(test_bit, "movl $0x10000, %eax; btl %eax, (%esi); setc %cl");                     /* the bit is 8 KiB behind */
SNIPPET(string_store, "movl %esi, %edi; movl %ebp, %ecx; movl $7, %eax; cld; rep stosl"); /* EBP of them */
SNIPPET(string_store_one, "movl %esi, %edi; movb $0x55, %al; cld; stosb");
SNIPPET(string_load, "cld; lodsl");
SNIPPET(string_compare, "movl $2, %ecx; cld; repe cmpsl; setz %al");
SNIPPET(string_copy_down, "movl $2, %ecx; std; rep movsl; cld");
SNIPPET(hint, "prefetchnta (%esi); prefetcht0 64(%esi); nopl (%esi)");
SNIPPET(unaligned_sse, "movaps (%esi), %xmm0");
SNIPPET(x87_load, "fninit; fldl (%esi); fstp %st(0)");
/* Each division divides EDX:EAX, or part of it, by ECX. A flag lives across it into the frame of a fault. */
SNIPPET(divide_long, "stc; divl %ecx");
SNIPPET(divide_word, "stc; divw %cx");
SNIPPET(divide_byte, "stc; divb %cl");
SNIPPET(divide_memory, "stc; divl (%esi)");
SNIPPET(divide_byte_memory, "stc; divb (%esi)");
SNIPPET(divide_ebx, "movl %ecx, %ebx; stc; divl %ebx");
SNIPPET(divide_high, "movb %cl, %bh; stc; divb %bh");
SNIPPET(divide_by_cx_memory, "movl %esi, %ecx; stc; divw (%ecx)");
SNIPPET(divide_signed, "stc; idivl %ecx");
SNIPPET(divide_signed_word, "stc; idivw %cx");
SNIPPET(divide_signed_byte, "stc; idivb %cl");
volatile uint32_t ticks;
SNIPPET(stores_for_ticks, "1: movl %ecx, (%esi); cmpl %ecx, %ss:ticks; jb 1b");
/* Nothing here ends the loop but its count. */
SNIPPET(turns, "1: xorl $0x1000, (%edi); invlpg (%esi); addl (%esi), %eax; decl %ecx; jnz 1b");

static struct {
    unsigned faults;
    uint32_t error, cr2, entry, want_page;
} pf;

/* Maps the page as it is to be and tries again. */
static bool on_page_fault(struct trap *t)
{
    pf.faults++;
    pf.error = t->error;
    pf.cr2 = read_cr2();
    if (pf.faults > 3 || (pf.cr2 & ~0xfffu) != pf.want_page)
        return false;
    pt[pf.want_page >> 12 & 1023] = pf.entry;
    __asm__ volatile("" : : : "memory");
    return true;
}

static void unmap(uint32_t gla)
{
    pt[gla >> 12 & 1023] = 0;
    invlpg(gla);
}

static uint32_t string_length = 4;

static uint32_t *frame(unsigned n)
{
    return (uint32_t *)(FRAMES + n % 16 * PAGE);
}

static void fs_base(uint32_t base)
{
    gdt[GDT_FREE / 8] = desc_make(base, 0xfffff, D_DATA | D_DPL(3) | D_FLAT);
}

/* One access by `code` at offset into a page that is not there; the page becomes frame n with first words 1, 2.
 * True if it faulted once as it should, `error` without the user bit. */
static bool touch(const char *code, unsigned ring, unsigned n, uint32_t offset, uint32_t error, struct state *s)
{
    uint32_t page = TEST + n % 64 * PAGE;
    uint32_t *f = frame(n);
    for (unsigned i = 0; i < PAGE / 4; i++)
        f[i] = 1 + i - offset / 4;
    if (code == load_absolute)
        page = TEST;
    unmap(page);
    pf.faults = 0;
    pf.want_page = page;
    pf.entry = (uint32_t)f | ALL;
    state_init(s, ring, code);
    s->esi = page + offset;
    s->edi = (uint32_t)frame(15) + 64;
    s->ebx = 5;
    s->ecx = 0xcccc;
    s->edx = offset;
    s->ebp = string_length;
    s->eax = 1;
    if (code == load_fs) {
        fs_base(page);
        s->fs = GDT_FREE | ring;
    }
    run(s);
    return s->vector == VEC_DONE && pf.faults == 1 && pf.cr2 == page + offset && pf.error == (error | (ring ? 4 : 0));
}

static void each_form(unsigned ring)
{
    static const struct {
        const char *name, *code;
        uint32_t error, eax;
        bool eax_known;
    } form[] = {
        {"load", load, 0, 1, true},
        {"load with a scaled index", load_scaled, 0, 1, true},
        {"load of AH", load_byte_high, 0, 0x101, true},
        {"load, zero-extended", load_zero_extended, 0, 1, true},
        {"load over its own base", load_into_base, 0, 1, true},
        {"load through FS", load_fs, 0, 1, true},
        {"load of an absolute address", load_absolute, 0, 1, true},
        {"push from memory", push_from, 0, 1, true},
        {"exchange", exchange, 2, 1, true},
        {"LODS", string_load, 0, 1, true},
    };
    struct state s;
    for (unsigned k = 0; k < ARRAY_COUNT(form); k++) {
        unsigned wrong = 0;
        for (unsigned n = 0; n < ROUNDS; n++)
            wrong += !touch(form[k].code, ring, n, 64, form[k].error, &s) || s.eax != form[k].eax;
        check_equal(wrong, 0, form[k].name);
    }
    unsigned wrong = 0, modify = 0;
    for (unsigned n = 0; n < ROUNDS; n++) {
        wrong += !touch(load_between_flags, ring, n, 64, 0, &s) || s.eax != 1 || (s.ecx & 0xffff) != 0x0001;
        wrong += !touch(store, ring, n, 64, 2, &s) || frame(n)[16] != 0x1234567 || frame(n)[17] != 2;
        wrong += !touch(store_cl, ring, n, 65, 2, &s) || frame(n)[16] != 0xcc01;
        wrong += !touch(store_high, ring, n, 67, 2, &s) || frame(n)[16] != 0xcc000001;
        modify += !touch(add_carry, ring, n, 64, 2, &s) || frame(n)[16] != 3 || s.edx != 0;
        modify += !touch(compare_exchange, ring, n, 64, 2, &s) || (s.ecx & 0xff) != 1 || frame(n)[16] != 1;
    }
    check_equal(wrong, 0, "stores, flags live across a load");
    check_equal(modify, 0, "read-modify-writes");
}

static void strings(unsigned ring)
{
    struct state s;
    unsigned wrong = 0, none = 0;
    for (unsigned n = 0; n < ROUNDS; n++) {
        wrong += !touch(string_store, ring, n, 64, 2, &s) || s.ecx || frame(n)[19] != 7 || frame(n)[20] != 5 ||
                 s.edi != s.esi + 16;
        wrong += !touch(string_store_one, ring, n, 64, 2, &s) || frame(n)[16] != 0x55 || s.edi != s.esi + 1;
        frame(15)[16] = 1;
        frame(15)[17] = n & 1 ? 2 : 3;
        if (n % 16 != 15)
            wrong += !touch(string_compare, ring, n, 64, 0, &s) || (s.eax & 0xff) != (n & 1);
        if (n % 16 != 15)
            wrong += !touch(string_copy_down, ring, n, 64, 0, &s) || frame(15)[16] != 1 || frame(15)[15] != 0 ||
                     s.edi != (uint32_t)frame(15) + 56;
        string_length = 0;
        (void)touch(string_store, ring, n, 64, 2, &s);
        none += s.vector != VEC_DONE || pf.faults;
        string_length = 4;
    }
    check_equal(wrong, 0, "strings");
    check_equal(none, 0, "strings with ECX = 0 touch nothing");
    /* From a page that is there into one that is not. */
    wrong = 0;
    for (unsigned n = 0; n < ROUNDS; n++) {
        pt[0] = FRAMES + 14 * PAGE + ALL;
        invlpg(TEST);
        unmap(TEST + PAGE);
        pf.faults = 0;
        pf.want_page = TEST + PAGE;
        pf.entry = (uint32_t)frame(13) | ALL;
        state_init(&s, ring, string_store);
        s.esi = TEST + PAGE - 8;
        s.ebp = 4;
        run(&s);
        wrong += s.vector != VEC_DONE || pf.faults != 1 || pf.cr2 != TEST + PAGE || s.ecx || frame(13)[1] != 7;
    }
    check_equal(wrong, 0, "strings into a missing page");
}

static void what_does_not_touch(unsigned ring)
{
    struct state s;
    unsigned hints = 0, bits = 0, sse = 0;
    for (unsigned n = 0; n < ROUNDS; n++) {
        (void)touch(hint, ring, n, 64, 0, &s);
        hints += s.vector != VEC_DONE || pf.faults;
        /* The bit string's base is not there, its bit is. */
        uint32_t page = TEST + n % 32 * PAGE;
        unmap(page);
        frame(3)[0] = 1;
        pt[(page + 2 * PAGE) >> 12 & 1023] = (uint32_t)frame(3) | ALL;
        invlpg(page + 2 * PAGE);
        pf.faults = 0;
        state_init(&s, ring, test_bit);
        s.esi = page;
        run(&s);
        bits += s.vector != VEC_DONE || (s.ecx & 0xff) != 1;
    }
    check_equal(hints, 0, "hints do not fault");
    check_equal(bits, 0, "BT reaches beyond its operand, and only there");
    if (!(cpuid_edx(1) & 1u << 25))
        return;
    write_cr4(read_cr4() | CR4_OSFXSR);
    for (unsigned n = 0; n < ROUNDS; n++) {
        sse += !touch(x87_load, ring, n, 64, 0, &s);
        sse += !touch(unaligned_sse, ring, n, 64, 0, &s);
        (void)touch(unaligned_sse, ring, n, 68, 0, &s);
        sse += s.vector != EXC_GP || pf.faults;
    }
    check_equal(sse, 0, "x87 and SSE loads; misaligned is #GP before the page is looked for");
}

static bool on_tick(struct trap *t)
{
    ticks++;
    pic_eoi(0);
    return true;
}

/* A site that faults no more, then does again; whose page changes its frame and its rights. */
static void changes(unsigned ring)
{
    struct state s;
    unsigned wrong = 0;
    for (unsigned turn = 0; turn < 5; turn++) {
        for (unsigned n = 0; n < ROUNDS / 5; n++) {
            uint32_t page = TEST + n * PAGE;
            unmap(page);
            pf.faults = 0;
            pf.want_page = page;
            pf.entry = (uint32_t)frame(n) | ALL;
            state_init(&s, ring, stores_for_ticks);
            s.esi = page;
            s.ecx = ticks = 1;
            run(&s);
            wrong += s.vector != VEC_DONE || pf.faults != 1 || frame(n)[0] != 1;
        }
        pf.faults = 0;
        state_init(&s, ring, stores_for_ticks);
        s.eflags |= FL_IF;
        s.esi = TEST;
        s.ecx = 20;
        ticks = 0;
        pic_unmask(0);
        pit_periodic(1193);
        run(&s);
        pit_stop();
        pic_mask(0);
        wrong += s.vector != VEC_DONE || pf.faults;
    }
    check_equal(wrong, 0, "an access that faults now and then");
    wrong = 0;
    write_cr0(read_cr0() | CR0_WP);
    for (unsigned n = 0; n < ROUNDS; n++) {
        (void)touch(store, ring, n, 64, 2, &s); /* mapped and writable now */
        uint32_t page = TEST + n % 64 * PAGE;
        frame(n)[16] = 0;
        pt[page >> 12 & 1023] = (uint32_t)frame(n) | P_P | P_U;
        invlpg(page);
        pf.faults = 0;
        state_init(&s, ring, store);
        s.esi = page + 64;
        run(&s);
        wrong += s.vector != VEC_DONE || pf.faults != 1 || pf.error != (ring ? 7 : 3) || frame(n)[16] != 0x1234567;
        frame(n + 1)[16] = 77;
        pt[page >> 12 & 1023] = (uint32_t)frame(n + 1) | ALL;
        invlpg(page);
        state_init(&s, ring, load);
        s.esi = page + 64;
        run(&s);
        wrong += s.vector != VEC_DONE || s.eax != 77;
    }
    check_equal(wrong, 0, "rights taken, another frame");
    write_cr0(read_cr0() & ~CR0_WP);
}

/* Page n of TEST is there as said, not mapped by the translator yet, and no fault is expected. */
static void map_anew(unsigned n, uint32_t entry)
{
    pt[n] = entry;
    invlpg(TEST + n * PAGE);
    pf.faults = 0;
    pf.want_page = TEST + n * PAGE;
    pf.entry = (uint32_t)frame(n) | ALL;
}

static void access_at(struct state *s, const char *code, unsigned ring, uint32_t address)
{
    state_init(s, ring, code);
    s->esi = address;
    s->eax = 0x11223344;
    run(s);
}

/* What a page table says is obeyed and noted by who finds a page there without a fault (SDM vol. 3A, 4.6 and 4.8). */
static void entries(unsigned ring)
{
    struct state s;
    unsigned rights = 0, accessed = 0, dirty = 0, across = 0;
    for (unsigned n = 0; n < ROUNDS; n++) {
        unsigned page = n % 32;
        uint32_t at = TEST + page * PAGE, *f = frame(page), *g = frame(page + 1);
        f[16] = 5;
        map_anew(page, (uint32_t)f | P_P | P_W);
        access_at(&s, load, ring, at + 64);
        rights += s.vector != VEC_DONE || s.eax != 5 || pf.faults != (ring ? 1 : 0) || (ring && pf.error != 5);
        map_anew(page, (uint32_t)f | ALL);
        access_at(&s, load, ring, at + 64);
        accessed += pf.faults || (pt[page] & 0x60) != 0x20;
        map_anew(page, (uint32_t)f | ALL);
        access_at(&s, store_eax, ring, at + 64);
        dirty += pf.faults || (pt[page] & 0x60) != 0x60 || f[16] != 0x11223344;
        /* Two pages, and then the second one is missing, too. */
        f[PAGE / 4 - 1] = 0xaabb0000;
        g[0] = 0xccdd;
        map_anew(page, (uint32_t)f | ALL);
        map_anew(page + 1, (uint32_t)g | ALL);
        access_at(&s, load, ring, at + PAGE - 2);
        across += pf.faults || s.eax != 0xccddaabb;
        map_anew(page, (uint32_t)f | ALL);
        map_anew(page + 1, 0);
        access_at(&s, store_eax, ring, at + PAGE - 2);
        across += s.vector != VEC_DONE || pf.faults != 1 || pf.cr2 != at + PAGE || f[PAGE / 4 - 1] != 0x33440000 ||
                  g[0] != 0x1122;
    }
    check_equal(rights, 0, "a supervisor's page");
    check_equal(accessed, 0, "accessed, not dirty, by a load");
    check_equal(dirty, 0, "dirty by a store");
    check_equal(across, 0, "an operand in two pages");
}

/* Devices: the local APIC's task priority, by the same store and load that touched memory before. */
#define APIC_TPR 0xfee00080u
static void devices(void)
{
    struct state s;
    unsigned wrong = 0;
    for (unsigned n = 0; n < ROUNDS; n++) {
        state_init(&s, 0, store_eax);
        s.esi = APIC_TPR;
        s.eax = n & 0xf0;
        run(&s);
        wrong += s.vector != VEC_DONE;
        state_init(&s, 0, load);
        s.esi = APIC_TPR;
        run(&s);
        wrong += s.vector != VEC_DONE || s.eax != (n & 0xf0);
    }
    check_equal(wrong, 0, "a device's registers");
}

/* A store that changes code which was executed: the next call does the new thing. */
static uint8_t patched[PAGE] __attribute__((aligned(4096)));
static void code(void)
{
    struct state s;
    unsigned wrong = 0;
    uint32_t (*function)(void) = (uint32_t(*)(void))(uintptr_t)patched;
    patched[0] = 0xb8; /* mov $imm32, %eax; ret */
    patched[5] = 0xc3;
    for (unsigned n = 0; n < ROUNDS; n++) {
        state_init(&s, 0, store_cl);
        s.esi = (uint32_t)patched + 1;
        s.ecx = n & 0xff;
        run(&s);
        wrong += s.vector != VEC_DONE || function() != (n & 0xff);
    }
    check_equal(wrong, 0, "stores into code");
    wrong = 0;
    for (unsigned n = 0; n < ROUNDS; n++) { /* in many pages: one whose code changes often is not protected any more */
        uint8_t *in_frame = (uint8_t *)frame(n);
        if (n < 16)
            memcpy(in_frame, patched, 6);
        wrong +=
            ((uint32_t(*)(void))(uintptr_t)in_frame)() != (n < 16 ? *(uint32_t *)(patched + 1) : 0x11223344 + n - 16);
        map_anew(n % 32, (uint32_t)in_frame | ALL);
        state_init(&s, 0, store_eax);
        s.esi = TEST + n % 32 * PAGE + 1;
        s.eax = 0x11223344 + n;
        run(&s);
        wrong += s.vector != VEC_DONE || pf.faults || ((uint32_t(*)(void))(uintptr_t)in_frame)() != 0x11223344 + n;
    }
    check_equal(wrong, 0, "stores into code through a mapping of the moment");

    /* Where an access was that faulted often, there is a hint now. */
    static const uint8_t load_esi[] = {0x8b, 0x06, 0xcd, 0x80}, hint_esi[] = {0x0f, 0x18, 0x06, 0xcd, 0x80};
    uint8_t *at = patched + 256;
    wrong = 0;
    memcpy(at, load_esi, sizeof load_esi);
    for (unsigned n = 0; n < 50; n++)
        wrong += !touch((const char *)at, 0, n, 64, 0, &s);
    memcpy(at, hint_esi, sizeof hint_esi);
    for (unsigned n = 0; n < 50; n++) {
        (void)touch((const char *)at, 0, n, 64, 0, &s);
        wrong += s.vector != VEC_DONE || pf.faults;
    }
    check_equal(wrong, 0, "a hint in the place of an access");
}

/* Divisions that fault again and again, among others that do not, at the edges of what has room. */
static void divisions(unsigned ring)
{
    static const struct {
        const char *code;
        unsigned bits, sign;
        const char *name;
    } form[] = {{divide_long, 32, 0, "DIV r32"},      {divide_word, 16, 0, "DIV r16"},
                {divide_byte, 8, 0, "DIV r8"},        {divide_memory, 32, 0, "DIV m32"},
                {divide_byte_memory, 8, 0, "DIV m8"}, {divide_ebx, 32, 0, "DIV EBX"},
                {divide_high, 8, 0, "DIV BH"},        {divide_by_cx_memory, 16, 0, "DIV m16"},
                {divide_signed, 32, 1, "IDIV r32"},   {divide_signed_word, 16, 1, "IDIV r16"},
                {divide_signed_byte, 8, 1, "IDIV r8"}};
    static uint32_t divisor;
    for (unsigned f = 0; f < ARRAY_COUNT(form); f++) {
        unsigned bits = form[f].bits;
        uint32_t mask = bits == 32 ? ~0u : (1u << bits) - 1, wrong = 0;
        for (unsigned i = 0; i < ROUNDS; i++) {
            /* upper half and divisor: 0, small, around each other, all ones; what is above them is not to matter */
            uint32_t by = (i % 5 == 0 ? 0 : i % 5 == 4 ? ~0u : i * 0x01010101u) & mask;
            uint32_t half = (i % 3 == 0 ? by : i % 3 == 1 ? by - 1 : by + 1) & mask;
            if (form[f].sign)
                half = 0; /* 55h by anything has room */
            struct state s;
            state_init(&s, ring, form[f].code);
            s.eax = bits == 8 ? (half << 8 | 0x55) | 0xabc00000 : 0x55;
            s.edx = bits == 8 ? 0x77777777 : bits == 16 ? half | 0xdef00000 : half;
            s.ecx = by | (~mask & 0x12345678);
            divisor = s.ecx;
            s.esi = (uint32_t)&divisor;
            bool fits = half < by;
            run(&s);
            wrong += s.vector != (fits ? VEC_DONE : EXC_DE);
            if (!fits)
                wrong += *(uint8_t *)s.eip == 0xf9 || !(s.eflags & FL_CF) || (s.eax & 0xff) != 0x55;
            else if (!form[f].sign && bits == 32)
                wrong += s.edx >= by || s.eax * by + s.edx != 0x55;
        }
        check(!wrong, "%s: in ring %u, %u of %u rounds are wrong", form[f].name, ring, wrong, ROUNDS);
    }
}

/* A page given another frame at each turn of a loop that leaves translated code for nothing else: what one finds in it
 * is the new frame's, and mapping it each time is the dearest way (sites_looks: dropped_pages). */
static void another_frame(void)
{
    struct state s;
    frame(2)[0] = 3;
    frame(3)[0] = 1000;
    pt[0] = (uint32_t)frame(2) | ALL;
    invlpg(TEST);
    state_init(&s, 0, turns);
    s.eax = 0;
    s.ecx = 20000;
    s.esi = TEST;
    s.edi = (uint32_t)&pt[0];
    run_expect(&s, VEC_DONE, 0, "a page of two frames by turns");
    check_equal(s.eax, 10000 * 1003, "what both hold");
    unmap(TEST);
}

void guest_main(void)
{
    for (unsigned i = 0; i < 32; i++)
        pd[i] = i << 22 | P_PS | ALL;
    pd[0xfee00000u >> 22] = 0xfec00000u | P_PS | P_P | P_W;
    pd[TEST >> 22] = (uint32_t)pt | ALL;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((uint32_t)pd);
    write_cr0(read_cr0() | CR0_PG);
    trap_handlers[EXC_PF] = on_page_fault;
    trap_handlers[VEC_IRQ0] = on_tick;
    pic_init();
    for (unsigned ring = 0; ring < 4; ring += 3) {
        print("# ring %u\n", ring);
        each_form(ring);
        strings(ring);
        what_does_not_touch(ring);
        changes(ring);
        entries(ring);
        divisions(ring);
    }
    devices();
    code();
    another_frame();
    guest_end();
}
