/* The nano-benchmark kernel: what single operations of a guest kernel cost, in ticks of the
 * time-stamp counter.
 *
 * After Adams and Agesen, A Comparison of Software and Hardware Techniques for x86 Virtualization,
 * ASPLOS 2006, section 6. Intel SDM vol. 3A; 8259A, 8254 and 16550A data sheets.
 *
 * Lines on COM1, numbers in hexadecimal:
 *   @sample NAME COUNT TICKS     count operations took so many ticks; SAMPLES lines for each
 *   @begin NAME                  before and after a longer run of the same, so that the host can
 *   @end NAME COUNT TICKS        hold its clock against ours
 *   @late NAME COUNT TICKS       from arming the 8254's counter 0 with COUNT to its handler
 *   @skip NAME                   this CPU has it not
 *   @done                        the end
 *   @fail EIP CR2                an exception that none expected
 */
#include <stddef.h>
#include <stdint.h>

#define KCODE            0x08
#define TSS_SEL          0x28
#define SAMPLES          15
#define SAMPLE_TICKS     1000000u   /* a sample takes at least so long */
#define RUN_TICKS        150000000u /* and a run for the host's clock */
#define RUN_TICKS_QUICK  30000000u
#define SAMPLE_TICKS_ROM 50000u /* from ROM: an emulator's counter may count instructions */
#define RUN_COUNT_ROM    200000u
#define TEST_PAGES       256u      /* touched by one sample of the page-fault figures */
#define TEST_FRAMES      0x400000u /* their memory */
#define TIMER_COUNT      2386u     /* 2 ms */
#define PTE_PRESENT      0x067u    /* P, RW, U, A, D */
#define PTE_KERNEL       0x063u

struct op {
    const char *name;
    uint64_t (*sample)(uint32_t count);
    void (*prepare)(void); /* before each sample, not timed; then there is no run for the host */
    uint32_t count_max;
};

/* entry.S */
void gdt_load(const void *gdtr);
uint64_t user_run(const void *entry, uint32_t count);
extern char on_user_end[], on_syscall_int[], on_sysenter[], on_divide_error[], on_page_fault_skip[],
    on_page_fault_map[], on_timer[], on_other[], other_thread[], user_syscall_int[], user_sysenter[], user_touch[],
    user_begin[], user_end[];
uint64_t loop_in(uint32_t), loop_out(uint32_t), loop_cr3_write(uint32_t), loop_call_ret(uint32_t),
    loop_call_indirect(uint32_t), loop_page_fault(uint32_t), loop_touch(uint32_t), loop_divide_error(uint32_t),
    loop_pte_modify(uint32_t), loop_invlpg(uint32_t), loop_page_remap(uint32_t), loop_rdtsc(uint32_t),
    loop_context_switch(uint32_t);
extern uint32_t main_esp, other_esp, main_cr3, other_cr3;

void nano_main(uint32_t magic, const uint32_t *info);
void nano_trap(const uint32_t *frame);

static uint32_t directories[2][1024] __attribute__((aligned(4096)));
/* The first 16 MiB, as they are; from 40000000h; the same in the other address space. */
static uint32_t kernel_tables[4][1024] __attribute__((aligned(4096)));
uint32_t test_table[1024] __attribute__((aligned(4096)));
static uint32_t other_table[1024] __attribute__((aligned(4096)));
uint32_t demand_ptes[1024];
volatile uint32_t timer_seen;
volatile uint64_t timer_tsc;

static uint64_t gdt[6], idt[256];
static uint32_t tss[26];
static uint8_t trap_stack[8192] __attribute__((aligned(16)));
static uint32_t other_stack[1024] __attribute__((aligned(16)));
static uint32_t sample_ticks = SAMPLE_TICKS, run_ticks = RUN_TICKS, run_count = 0xf0000000;

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint64_t rdtsc(void)
{
    uint64_t v;
    __asm__ volatile("rdtsc" : "=A"(v));
    return v;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "A"(v) : "memory");
}
static inline void cr3_load(const uint32_t *directory)
{
    __asm__ volatile("movl %0, %%cr3" : : "r"(directory) : "memory");
}

/* --- Text --- */

static void put_char(char c)
{
    while (!(inb(0x3fd) & 0x20)) /* LSR.THRE */
        ;
    outb(0x3f8, (uint8_t)c);
}

static void put_text(const char *text)
{
    while (*text)
        put_char(*text++);
}

static void put_hex(uint64_t value)
{
    int shift = 60;
    put_char(' ');
    while (shift && !(value >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        put_char("0123456789abcdef"[value >> shift & 15]);
}

static void put_line(const char *what, const char *name, uint64_t a, uint64_t b)
{
    put_text(what);
    put_text(name);
    put_hex(a);
    put_hex(b);
    put_char('\n');
}

void nano_trap(const uint32_t *frame)
{
    uint32_t cr2;
    __asm__ volatile("movl %%cr2, %0" : "=r"(cr2));
    put_line("@fail", "", frame[0], cr2);
    put_line("@stack", "", frame[1], frame[2]);
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* --- Tables --- */

static void gate_set(unsigned vector, const void *handler, unsigned dpl)
{
    uint32_t at = (uint32_t)handler;
    idt[vector] = (uint64_t)((at & 0xffff0000) | 0x8e00 | dpl << 13) << 32 | KCODE << 16 | (at & 0xffff);
}

struct table_register {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed));

static void tables_load(void)
{
    struct table_register g = {sizeof gdt - 1, (uint32_t)gdt}, i = {sizeof idt - 1, (uint32_t)idt};
    uint32_t at = (uint32_t)tss;

    /* KCODE, KDATA, UCODE, UDATA: flat, as SYSENTER and SYSEXIT want them */
    gdt[1] = 0x00cf9b000000ffff;
    gdt[2] = 0x00cf93000000ffff;
    gdt[3] = 0x00cffb000000ffff;
    gdt[4] = 0x00cff3000000ffff;
    gdt[5] =
        (uint64_t)(at & 0xff000000) << 32 | 0x0000890000000000 | (uint64_t)(at & 0xffffff) << 16 | (sizeof tss - 1);
    tss[1] = (uint32_t)trap_stack + sizeof trap_stack; /* ESP0, SS0 */
    tss[2] = 0x10;
    tss[25] = sizeof tss << 16; /* no I/O bitmap */
    gdt_load(&g);
    for (unsigned v = 0; v < 256; v++)
        gate_set(v, on_other, 0);
    gate_set(0, on_divide_error, 0);
    gate_set(0x20, on_timer, 0);
    gate_set(0x80, on_syscall_int, 3);
    gate_set(0x81, on_user_end, 3);
    __asm__ volatile("lidt %0; ltr %w1" : : "m"(i), "r"(TSS_SEL));
}

static void paging_start(void)
{
    uint32_t cr0;
    for (uint32_t i = 0; i < 4096; i++) {
        uint32_t at = i << 12;
        int user = at >= (uint32_t)user_begin && at < (uint32_t)user_end;
        kernel_tables[i >> 10][i & 1023] = at | (user ? PTE_PRESENT : PTE_KERNEL);
    }
    for (unsigned d = 0; d < 2; d++) {
        for (unsigned t = 0; t < 4; t++)
            directories[d][t] = (uint32_t)kernel_tables[t] | PTE_PRESENT;
        directories[d][256] = (uint32_t)(d ? other_table : test_table) | PTE_PRESENT;
    }
    /* Neighbours in the region are no neighbours in memory, as with pages of a process. */
    for (uint32_t i = 0; i < TEST_PAGES; i++)
        demand_ptes[i] = (TEST_FRAMES + (i * 37 % TEST_PAGES << 12)) | PTE_PRESENT;
    other_table[0] = (TEST_FRAMES + (TEST_PAGES << 12)) | PTE_KERNEL;
    main_cr3 = (uint32_t)directories[0];
    other_cr3 = (uint32_t)directories[1];
    cr3_load(directories[0]);
    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0 | 0x80010000) : "memory"); /* PG, WP */
}

static void chips_init(void)
{
    static const uint8_t icw[2][4] = {{0x11, 0x20, 4, 1}, {0x11, 0x28, 2, 1}};
    for (unsigned chip = 0; chip < 2; chip++) {
        uint16_t port = chip ? 0xa0 : 0x20;
        outb(port, icw[chip][0]);
        for (unsigned i = 1; i < 4; i++)
            outb(port + 1, icw[chip][i]);
        outb(port + 1, 0xff);
    }
    outb(0x3fb, 0x83); /* 115200 8N1, no interrupts */
    outb(0x3f8, 1);
    outb(0x3f9, 0);
    outb(0x3fb, 0x03);
    outb(0x3f9, 0);
}

/* --- Operations --- */

static void region_clear(void)
{
    for (unsigned i = 0; i < TEST_PAGES; i++)
        test_table[i] = 0;
    cr3_load(directories[0]);
}

/* One page is there, and has been used. */
static void region_one(void)
{
    region_clear();
    test_table[0] = TEST_FRAMES | PTE_KERNEL;
    *(volatile uint8_t *)0x40000000 = 1;
}

/* The page tables say that all pages are there; nothing else has heard of it. */
static void region_fill(void)
{
    region_clear();
    for (unsigned i = 0; i < TEST_PAGES; i++)
        test_table[i] = demand_ptes[i];
}

static uint64_t sample_syscall_int(uint32_t count)
{
    return user_run(user_syscall_int, count);
}

static uint64_t sample_sysenter(uint32_t count)
{
    return user_run(user_sysenter, count);
}

static uint64_t sample_demand(uint32_t count)
{
    gate_set(14, on_page_fault_map, 0);
    uint64_t ticks = user_run(user_touch, count);
    gate_set(14, on_other, 0);
    return ticks;
}

static uint64_t sample_page_fault(uint32_t count)
{
    gate_set(14, on_page_fault_skip, 0);
    uint64_t ticks = loop_page_fault(count);
    gate_set(14, on_other, 0);
    return ticks;
}

static void measure(const struct op *op, void (*once)(void))
{
    uint32_t count = 16, done = 0;
    uint64_t ticks, sum = 0;

    if (once)
        once();
    for (;;) {
        if (op->prepare)
            op->prepare();
        ticks = op->sample(count);
        if (ticks >= sample_ticks || count * 2 > op->count_max)
            break;
        count *= 2;
    }
    for (unsigned i = 0; i < SAMPLES; i++) {
        if (op->prepare)
            op->prepare();
        put_line("@sample ", op->name, count, op->sample(count));
    }
    if (op->prepare)
        return;
    put_text("@begin ");
    put_text(op->name);
    put_char('\n');
    for (; sum < run_ticks && done < run_count; done += count)
        sum += op->sample(count);
    put_line("@end ", op->name, done, sum);
}

/* How late the handler of the timer's interrupt is called. */
static void measure_timer(const char *name, int halt)
{
    outb(0x21, 0xfe);
    for (unsigned i = 0; i <= SAMPLES; i++) { /* the first takes what the BIOS left pending */
        timer_seen = 0;
        outb(0x43, 0x30); /* counter 0, mode 0 */
        outb(0x40, TIMER_COUNT & 0xff);
        outb(0x40, TIMER_COUNT >> 8);
        uint64_t begin = rdtsc();
        while (!timer_seen) {
            if (halt)
                __asm__ volatile("cli; cmpl $0, timer_seen; jne 1f; sti; hlt; 1: sti" : : : "memory");
            else
                __asm__ volatile("sti; nop" : : : "memory");
        }
        __asm__ volatile("cli");
        if (i)
            put_line("@late ", name, TIMER_COUNT, timer_tsc - begin);
    }
    outb(0x21, 0xff);
}

static int cpu_has_sysenter(void)
{
    uint32_t a = 1, b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return d >> 11 & 1;
}

static int text_has_quick(const char *text)
{
    for (; *text; text++)
        if (text[0] == 'q' && text[1] == 'u' && text[2] == 'i' && text[3] == 'c' && text[4] == 'k')
            return 1;
    return 0;
}

void nano_main(uint32_t magic, const uint32_t *info)
{
    static const struct op ops[] = {
        {"syscall_int", sample_syscall_int, NULL, 1u << 24},
        {"in", loop_in, NULL, 1u << 24},
        {"out", loop_out, NULL, 1u << 24},
        {"cr3_write", loop_cr3_write, NULL, 1u << 24},
        {"call_ret", loop_call_ret, NULL, 1u << 24},
        {"call_indirect", loop_call_indirect, NULL, 1u << 24},
        {"page_fault", sample_page_fault, NULL, 1u << 24},
        {"page_fault_hidden", loop_touch, region_fill, TEST_PAGES},
        {"page_fault_demand", sample_demand, region_clear, TEST_PAGES},
        {"divide_error", loop_divide_error, NULL, 1u << 24},
        {"rdtsc", loop_rdtsc, NULL, 1u << 24},
    };
    static const struct op one_page_ops[] = {
        {"pte_modify", loop_pte_modify, NULL, 1u << 24},
        {"invlpg", loop_invlpg, NULL, 1u << 24},
        {"page_remap", loop_page_remap, NULL, 1u << 24},
        {"context_switch", loop_context_switch, NULL, 1u << 24},
    };
    static const struct op sysenter = {"syscall_sysenter", sample_sysenter, NULL, 1u << 24};

    if (magic == 0x2badb002 && (info[0] & 4) && text_has_quick((const char *)info[4]))
        run_ticks = RUN_TICKS_QUICK;
    if (magic != 0x2badb002) {
        sample_ticks = SAMPLE_TICKS_ROM;
        run_count = RUN_COUNT_ROM;
    }
    tables_load();
    chips_init();
    paging_start();
    put_text("@start\n");
    for (unsigned i = 0; i < sizeof ops / sizeof *ops; i++)
        measure(&ops[i], region_clear);
    if (cpu_has_sysenter()) {
        wrmsr(0x174, KCODE);
        wrmsr(0x175, (uint32_t)trap_stack + sizeof trap_stack);
        wrmsr(0x176, (uint32_t)on_sysenter);
        measure(&sysenter, NULL);
    } else {
        put_text("@skip syscall_sysenter\n");
    }
    other_stack[1023] = (uint32_t)other_thread;
    other_esp = (uint32_t)&other_stack[1019]; /* below: EBP, EBX, ESI, EDI */
    for (unsigned i = 0; i < sizeof one_page_ops / sizeof *one_page_ops; i++)
        measure(&one_page_ops[i], region_one);
    measure_timer("hlt_wake", 1);
    measure_timer("irq_busy", 0);
    put_text("@done\n");
}
