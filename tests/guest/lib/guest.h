/* Runtime of the guest kernels in tests/guest: printing, checks, traps, descriptor tables, PIC, PIT.
 *
 * A kernel defines guest_main(), which calls check() once per behaviour. Everything runs with interrupts
 * off and without paging until the kernel says otherwise. Output goes to port E9h; the end is a byte
 * written to port F4h (isa-debug-exit): 0 all passed, 1 some failed, 2 unexpected trap.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Selectors. The first four stand as SYSENTER and SYSEXIT want them. */
#define KCODE     0x08
#define KDATA     0x10
#define UCODE     0x1b
#define UDATA     0x23
#define R1CODE    0x29
#define R1DATA    0x31
#define R2CODE    0x3a
#define R2DATA    0x42
#define TSS_SEL   0x48
#define GDT_FREE  0x50 /* from here on the kernel's own */
#define GDT_COUNT 256

/* Access byte and flags of a descriptor: bits 8-15 and 20-23 of the high word, shifted down by 8. */
#define D_CODE      0x009b
#define D_DATA      0x0093
#define D_LDT       0x0082
#define D_TASK_GATE 0x0085
#define D_TSS16     0x0081
#define D_TSS32     0x0089
#define D_CALL16    0x0084
#define D_INT16     0x0086
#define D_TRAP16    0x0087
#define D_CALL32    0x008c
#define D_INT32     0x008e
#define D_TRAP32    0x008f
#define D_DPL(n)    ((n) << 5)
#define D_32        0x4000
#define D_PAGES     0x8000
#define D_FLAT      (D_32 | D_PAGES)

#define FL_CF    0x1u
#define FL_ZF    0x40u
#define FL_TF    0x100u
#define FL_IF    0x200u
#define FL_DF    0x400u
#define FL_OF    0x800u
#define FL_IOPL3 0x3000u
#define FL_NT    0x4000u
#define FL_RF    0x10000u
#define FL_VM    0x20000u
#define FL_AC    0x40000u

enum {
    EXC_DE,
    EXC_DB,
    EXC_NMI,
    EXC_BP,
    EXC_OF,
    EXC_BR,
    EXC_UD,
    EXC_NM,
    EXC_DF,
    EXC_TS = 10,
    EXC_NP,
    EXC_SS,
    EXC_GP,
    EXC_PF,
    EXC_MF = 16,
    EXC_AC,
    EXC_XM = 19
};
#define VEC_DONE 0x80 /* how code started by run() says that it is done; trap and gate DPL 3 */
#define VEC_IRQ0 0x20

/* What the trap stubs push. */
struct trap {
    uint32_t gs, fs, es, ds;
    uint32_t edi, esi, ebp, esp_before, ebx, edx, ecx, eax;
    uint32_t vector, error;
    uint32_t eip, cs, eflags;
    uint32_t esp, ss; /* from here on only if the ring changed */
    uint32_t v86_es, v86_ds, v86_fs, v86_gs;
};

/* A state to start from with run(), and how it ended. */
struct state {
    uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
    uint32_t ds, es, fs, gs;
    uint32_t eip, cs, eflags, ss;
    uint32_t vector, error, cr2;
    uint32_t handler_eflags; /* as the handler found them: what the gate does to IF, TF, NT */
};

struct tss {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs,
        ss, ds, fs, gs, ldt;
    uint16_t trap, iomap;
    uint8_t bitmap[8192 + 1];
} __attribute__((packed));

/* Assembler text under a name, ending in INT 80h. */
#define SNIPPET(name, text) \
    extern char name[]; \
    __asm__(".pushsection .text.snippet,\"ax\"\n.balign 4\n" #name ":\n" text "\nint $0x80\n1: jmp 1b\n.popsection\n")

void guest_main(void);
extern const char *guest_cmdline;

/* --- Output and verdict --- */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool check(bool ok, const char *name, ...) __attribute__((format(printf, 2, 3)));
bool check_equal(uint32_t got, uint32_t want, const char *name);
void guest_end(void) __attribute__((noreturn));
void guest_exit(uint8_t value) __attribute__((noreturn));

/* --- Other rings and modes --- */
/* Flat segments of a ring (0 to 3), its own stack, EFLAGS clear. */
void state_init(struct state *s, unsigned ring, const void *eip);
/* Runs until a trap that no handler takes. */
void run(struct state *s);
/* Runs and checks how it ended. */
bool run_expect(struct state *s, uint32_t vector, uint32_t error, const char *name, ...)
    __attribute__((format(printf, 4, 5)));
/* True if taken: the trap returns. */
typedef bool trap_handler(struct trap *t);
extern trap_handler *trap_handlers[256];
extern char trap_stubs[256][16];
extern char trap_iret[], run_iret[];
extern uint8_t ring_stacks[4][65536];

/* --- Descriptors --- */
extern uint64_t gdt[GDT_COUNT], idt[256];
extern struct tss tss;
uint64_t desc_make(uint32_t base, uint32_t limit, unsigned access);
uint64_t gate_make(uint16_t sel, const void *offset, unsigned access, unsigned params);
void gate_set(unsigned vector, unsigned access);
void tables_load(void);
void idt_load(unsigned limit);

/* --- Chips --- */
void pic_init(void); /* IRQ 0-15 at VEC_IRQ0, all masked */
void pic_unmask(unsigned irq);
void pic_mask(unsigned irq);
void pic_eoi(unsigned irq);
void pit_periodic(unsigned divisor);
void pit_oneshot(unsigned count);
void pit_stop(void);

/* --- Memory and numbers --- */
void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
bool string_has(const char *s, const char *word);
uint32_t rnd(void); /* the same numbers on every run */
extern uint32_t rnd_state;
extern char image_end[];

/* --- Instructions --- */
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
#define READ_CR(n) \
    static inline uint32_t read_cr##n(void) \
    { \
        uint32_t v; \
        __asm__ volatile("movl %%cr" #n ", %0" : "=r"(v) : : "memory"); \
        return v; \
    } \
    static inline void write_cr##n(uint32_t v) \
    { \
        __asm__ volatile("movl %0, %%cr" #n : : "r"(v) : "memory"); \
    }
READ_CR(0)
READ_CR(2)
READ_CR(3)
READ_CR(4)
#define CR0_PE     0x1u
#define CR0_MP     0x2u
#define CR0_EM     0x4u
#define CR0_TS     0x8u
#define CR0_NE     0x20u
#define CR0_WP     0x10000u
#define CR0_AM     0x40000u
#define CR0_PG     0x80000000u
#define CR4_TSD    0x4u
#define CR4_DE     0x8u
#define CR4_PSE    0x10u
#define CR4_PAE    0x20u
#define CR4_PGE    0x80u
#define CR4_OSFXSR 0x200u
#define CR4_OSXMM  0x400u
/* Entries of page tables and directories. */
#define PAGE 4096u
#define P_P  0x1u
#define P_W  0x2u
#define P_U  0x4u
#define P_A  0x20u
#define P_D  0x40u
#define P_PS 0x80u
#define P_G  0x100u
#define P_NX (1ull << 63)
#define ALL  (P_P | P_W | P_U)
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
static inline uint64_t rdmsr(uint32_t msr)
{
    uint64_t v;
    __asm__ volatile("rdmsr" : "=A"(v) : "c"(msr));
    return v;
}
static inline uint32_t read_eflags(void)
{
    uint32_t v;
    __asm__ volatile("pushfl; popl %0" : "=r"(v) : : "memory");
    return v;
}
static inline void invlpg(uint32_t gla)
{
    __asm__ volatile("invlpg (%0)" : : "r"(gla) : "memory");
}
static inline uint32_t cpuid_edx(uint32_t leaf)
{
    uint32_t a = leaf, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
    return d;
}
#define serialize() ((void)cpuid_edx(0))
