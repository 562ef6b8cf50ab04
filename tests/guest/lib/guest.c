/* Runtime of the guest kernels in tests/guest (see guest.h). 8259A, 8254: Intel data sheets. */
#include "guest.h"

void guest_start(uint32_t magic, const uint32_t *info);
void trap_enter(struct trap *t);
void run_enter(const struct state *s);
void run_leave(void) __attribute__((noreturn));
void gdt_load(const void *gdtr);

uint64_t gdt[GDT_COUNT] __attribute__((aligned(8)));
uint64_t idt[256] __attribute__((aligned(8)));
struct tss tss;
trap_handler *trap_handlers[256];
uint8_t ring_stacks[4][65536] __attribute__((aligned(16)));
const char *guest_cmdline = "";
static uint8_t trap_stack[65536] __attribute__((aligned(16)));
static unsigned checks, failures;
static struct state *running;

/* --- Output --- */

static void put(char c)
{
    outb(0xe9, (uint8_t)c);
}

static void put_number(uint32_t v, unsigned base, int width, char pad)
{
    char digits[12];
    int n = 0;

    do
        digits[n++] = "0123456789abcdef"[v % base];
    while ((v /= base));
    while (width-- > n)
        put(pad);
    while (n)
        put(digits[--n]);
}

static void print_list(const char *f, va_list args)
{
    for (; *f; f++) {
        char pad = ' ';
        int width = 0;
        if (*f != '%') {
            put(*f);
            continue;
        }
        if (*++f == '0') {
            pad = '0';
            f++;
        }
        for (; *f >= '0' && *f <= '9'; f++)
            width = width * 10 + *f - '0';
        if (*f == 'c') {
            put((char)va_arg(args, int));
        } else if (*f == 's') {
            for (const char *s = va_arg(args, const char *); *s; s++)
                put(*s);
        } else if (*f == 'd') {
            int v = va_arg(args, int);
            if (v < 0)
                put('-');
            put_number(v < 0 ? -(uint32_t)v : (uint32_t)v, 10, width, pad);
        } else {
            put_number(va_arg(args, uint32_t), *f == 'u' ? 10 : 16, width, pad);
        }
    }
}

void print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_list(format, args);
    va_end(args);
}

static bool check_list(bool ok, const char *name, va_list args)
{
    checks++;
    if (!ok)
        failures++;
    print(ok ? "ok " : "not ok ");
    print_list(name, args);
    put('\n');
    return ok;
}

bool check(bool ok, const char *name, ...)
{
    va_list args;

    va_start(args, name);
    check_list(ok, name, args);
    va_end(args);
    return ok;
}

bool check_equal(uint32_t got, uint32_t want, const char *name)
{
    if (!check(got == want, "%s", name))
        print("# got %08x, want %08x\n", (unsigned)got, (unsigned)want);
    return got == want;
}

void guest_exit(uint8_t value)
{
    outb(0xf4, value);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void guest_end(void)
{
    if (failures)
        print("FAIL %u of %u\n", failures, checks);
    else
        print("PASS %u\n", checks);
    guest_exit(failures ? 1 : 0);
}

/* --- Traps --- */

static void trap_panic(const struct trap *t)
{
    print("PANIC vector %u error %x cr2 %08x at %04x:%08x eflags %08x\n", (unsigned)t->vector, (unsigned)t->error,
          (unsigned)read_cr2(), (unsigned)t->cs, (unsigned)t->eip, (unsigned)t->eflags);
    print("eax %08x ebx %08x ecx %08x edx %08x esi %08x edi %08x ebp %08x\n", (unsigned)t->eax, (unsigned)t->ebx,
          (unsigned)t->ecx, (unsigned)t->edx, (unsigned)t->esi, (unsigned)t->edi, (unsigned)t->ebp);
    guest_exit(2);
}

void trap_enter(struct trap *t)
{
    uint32_t flags = read_eflags();
    struct state *s = running;
    trap_handler *handler = trap_handlers[t->vector & 0xff];

    if (handler && handler(t))
        return;
    if (!s)
        trap_panic(t);
    bool v86 = t->eflags & FL_VM, same = !v86 && !(t->cs & 3);
    *s = (struct state){.edi = t->edi,
                        .esi = t->esi,
                        .ebp = t->ebp,
                        .ebx = t->ebx,
                        .edx = t->edx,
                        .ecx = t->ecx,
                        .eax = t->eax,
                        .esp = same ? (uint32_t)&t->esp : t->esp,
                        .ss = same ? KDATA : t->ss & 0xffff,
                        .ds = v86 ? t->v86_ds : t->ds & 0xffff,
                        .es = v86 ? t->v86_es : t->es & 0xffff,
                        .fs = v86 ? t->v86_fs : t->fs & 0xffff,
                        .gs = v86 ? t->v86_gs : t->gs & 0xffff,
                        .eip = t->eip,
                        .cs = t->cs & 0xffff,
                        .eflags = t->eflags,
                        .vector = t->vector,
                        .error = t->error,
                        .cr2 = read_cr2(),
                        .handler_eflags = flags};
    running = NULL;
    run_leave();
}

void run(struct state *s)
{
    running = s;
    run_enter(s);
}

void state_init(struct state *s, unsigned ring, const void *eip)
{
    static const uint16_t code[4] = {KCODE, R1CODE, R2CODE, UCODE};
    static const uint16_t data[4] = {KDATA, R1DATA, R2DATA, UDATA};

    *s = (struct state){.eip = (uint32_t)eip,
                        .cs = code[ring],
                        .ss = data[ring],
                        .ds = data[ring],
                        .es = data[ring],
                        .fs = data[ring],
                        .gs = data[ring],
                        .eflags = 2,
                        .esp = (uint32_t)ring_stacks[ring] + sizeof ring_stacks[ring] - 64};
}

bool run_expect(struct state *s, uint32_t vector, uint32_t error, const char *name, ...)
{
    va_list args;

    run(s);
    va_start(args, name);
    bool ok = check_list(s->vector == vector && s->error == error, name, args);
    va_end(args);
    if (!ok)
        print("# vector %u error %x cr2 %08x at %04x:%08x, want vector %u error %x\n", (unsigned)s->vector,
              (unsigned)s->error, (unsigned)s->cr2, (unsigned)s->cs, (unsigned)s->eip, (unsigned)vector,
              (unsigned)error);
    return ok;
}

/* --- Descriptors --- */

uint64_t desc_make(uint32_t base, uint32_t limit, unsigned access)
{
    uint32_t low = (limit & 0xffff) | base << 16;
    uint32_t high = ((base >> 16) & 0xff) | (access & 0xf0ff) << 8 | (limit & 0xf0000) | (base & 0xff000000);

    return (uint64_t)high << 32 | low;
}

uint64_t gate_make(uint16_t sel, const void *offset, unsigned access, unsigned params)
{
    uint32_t at = (uint32_t)offset;

    return (uint64_t)((at & 0xffff0000) | access << 8 | params) << 32 | (uint32_t)sel << 16 | (at & 0xffff);
}

void gate_set(unsigned vector, unsigned access)
{
    idt[vector] = gate_make(KCODE, trap_stubs[vector], access, 0);
}

struct table_register {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed));

void idt_load(unsigned limit)
{
    struct table_register r = {(uint16_t)limit, (uint32_t)idt};
    __asm__ volatile("lidt %0" : : "m"(r));
}

void tables_load(void)
{
    struct table_register r = {sizeof gdt - 1, (uint32_t)gdt};

    for (unsigned ring = 0; ring < 4; ring++) {
        static const uint16_t code[4] = {KCODE, R1CODE, R2CODE, UCODE};
        gdt[code[ring] / 8] = desc_make(0, 0xfffff, D_CODE | D_DPL(ring) | D_FLAT);
        gdt[code[ring] / 8 + 1] = desc_make(0, 0xfffff, D_DATA | D_DPL(ring) | D_FLAT);
    }
    tss.ss0 = KDATA;
    tss.esp0 = (uint32_t)trap_stack + sizeof trap_stack;
    tss.ss1 = R1DATA;
    tss.esp1 = (uint32_t)ring_stacks[1] + 32768;
    tss.ss2 = R2DATA;
    tss.esp2 = (uint32_t)ring_stacks[2] + 32768;
    tss.iomap = offsetof(struct tss, bitmap);
    memset(tss.bitmap, 0xff, sizeof tss.bitmap);
    gdt[TSS_SEL / 8] = desc_make((uint32_t)&tss, sizeof tss - 1, D_TSS32);
    gdt_load(&r);
    __asm__ volatile("ltr %w0; lldt %w1" : : "r"(TSS_SEL), "r"(0));
    for (unsigned i = 0; i < 256; i++)
        gate_set(i, D_INT32);
    gate_set(EXC_BP, D_INT32 | D_DPL(3));
    gate_set(EXC_OF, D_INT32 | D_DPL(3));
    gate_set(VEC_DONE, D_INT32 | D_DPL(3));
    idt_load(sizeof idt - 1);
}

/* --- Chips --- */

void pic_init(void)
{
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, VEC_IRQ0);
    outb(0xa1, VEC_IRQ0 + 8);
    outb(0x21, 4);
    outb(0xa1, 2);
    outb(0x21, 1);
    outb(0xa1, 1);
    outb(0x21, 0xfb); /* all but the cascade */
    outb(0xa1, 0xff);
}

void pic_unmask(unsigned irq)
{
    uint16_t port = irq < 8 ? 0x21 : 0xa1;
    outb(port, (uint8_t)(inb(port) & ~(1u << (irq & 7))));
}

void pic_mask(unsigned irq)
{
    uint16_t port = irq < 8 ? 0x21 : 0xa1;
    outb(port, (uint8_t)(inb(port) | 1u << (irq & 7)));
}

void pic_eoi(unsigned irq)
{
    if (irq >= 8)
        outb(0xa0, 0x20);
    outb(0x20, 0x20);
}

void pit_periodic(unsigned divisor)
{
    outb(0x43, 0x34);
    outb(0x40, (uint8_t)divisor);
    outb(0x40, (uint8_t)(divisor >> 8));
}

void pit_oneshot(unsigned count)
{
    outb(0x43, 0x30);
    outb(0x40, (uint8_t)count);
    outb(0x40, (uint8_t)(count >> 8));
}

/* Mode 0 without a count: the output stays low. */
void pit_stop(void)
{
    outb(0x43, 0x30);
}

/* --- Memory and numbers --- */

void *memset(void *to, int c, size_t n)
{
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(c) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (; n >= 4 && *(const uint32_t *)x == *(const uint32_t *)y; n -= 4)
        x += 4, y += 4;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

bool string_has(const char *s, const char *word)
{
    size_t n = strlen(word);

    for (; *s; s++)
        if (!memcmp(s, word, n))
            return true;
    return false;
}

uint32_t rnd_state = 1;
uint32_t rnd(void)
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 17;
    rnd_state ^= rnd_state << 5;
    return rnd_state;
}

void guest_start(uint32_t magic, const uint32_t *info)
{
    if (magic == 0x2badb002 && (info[0] & 4))
        guest_cmdline = (const char *)info[4];
    tables_load();
    pic_init();
    guest_main();
    guest_end();
}
