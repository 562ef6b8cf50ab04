/* User code that tries to get out. Run directly on the CPU (-accel direct,always=on), code may jump to the host's
 * 64-bit selector 33h and is then an ordinary host program; nothing that it does there may have an effect. Each attempt
 * would leave a mark in its own memory if it succeeded, and ends in #GP for the guest. On other engines selector 33h is
 * the guest's own affair, with the same end. See ../boot/hostile.py and ../tools/mutants.py.
 *
 * The page scan lets no far return through, so the code hides: as constants of "movl $imm32, disp32(%ebx)", whose eight
 * free bytes are six of code and a jump over the next two.
 */
#include "guest.h"

#define HIDE(a, b, c, d, e, f) ".byte 0xc7, 0x83, " #a ", " #b ", " #c ", " #d ", " #e ", " #f ", 0xeb, 0x02\n"
#define NOPS                   0x90, 0x90, 0x90

static uint32_t directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static uint8_t user_code[4096] __attribute__((aligned(4096)));
static volatile uint32_t user_data[1024] __attribute__((aligned(4096)));
static volatile uint32_t secret[1024] __attribute__((aligned(4096)));

#define MARK   0x600dcafeu
#define SECRET 0x5ec2e70fu

/* Enters with 33h and the 64-bit entry's address on the stack: a hidden far return. */
#define TO_64 "pushl $0x33\n pushl %ebp\n jmp 1f+2\n 1: " HIDE(0xcb, 0x90, 0x90, 0x90, 0x90, 0x90)
/* The mark, at [RDX + 0], becomes what is in EAX; then an end by #GP in either mode. */
#define TELL HIDE(0x89, 0x02, 0x90, 0x90, 0x90, 0x90) HIDE(0xf4, 0x90, 0x90, 0x90, 0x90, 0x90)

#define ATTEMPT(name, code) \
    extern char name[], name##_64[], name##_end[]; \
    __asm__(".pushsection .text\n" #name ":\n" TO_64 #name "_64:\n" code TELL #name "_end:\n.popsection\n")

/* SYSCALL with number RAX and arguments RDI, RSI, as they were in 32-bit code. RDX must stay for the mark: so EBX
 * has its address, and is moved there afterwards. */
#define HIDE_SYSCALL HIDE(0x0f, 0x05, 0x48, 0x89, 0xda, 0x90)
ATTEMPT(attempt_syscall, HIDE_SYSCALL);
/* INT 80h of 64-bit code: the host's 32-bit system calls. */
ATTEMPT(attempt_int80, HIDE(0xcd, 0x80, 0x48, 0x89, 0xfa, 0x90));
/* A store to address RBX << 32 | RSI. */
ATTEMPT(attempt_store, HIDE(0x48, 0xc1, 0xe3, 0x20, 0x90, 0x90) HIDE(0x48, 0x09, 0xf3, 0x90, 0x90, 0x90)
                           HIDE(0x89, 0x03, 0x90, 0x90, 0x90, 0x90));
/* A load from address RSI, below 4 GiB. */
ATTEMPT(attempt_load, HIDE(0x8b, 0x06, 0x90, 0x90, 0x90, 0x90));
/* A jump to RBX << 32 | RSI, with R12 = R13 - 8 = RDI: an address of orders of one's own. */
ATTEMPT(attempt_manager, HIDE(0x48, 0xc1, 0xe3, 0x20, 0x90, 0x90) HIDE(0x48, 0x09, 0xf3, 0x90, 0x90, 0x90)
                             HIDE(0x49, 0x89, 0xfc, 0x90, 0x90, 0x90) HIDE(0x49, 0x89, 0xcd, 0x90, 0x90, 0x90)
                                 HIDE(0x31, 0xdb, 0x90, 0x90, 0x90, 0x90) HIDE(0xff, 0xe6, 0x90, 0x90, 0x90, 0x90));
/* The vsyscall page's time(RDI): -10 MiB + 400h. */
ATTEMPT(attempt_vsyscall, HIDE(0x48, 0xf7, 0xd3, 0x90, 0x90, 0x90) HIDE(0xff, 0xd3, 0x90, 0x90, 0x90, 0x90));

static void attempt(const char *name, const char *code, const char *code64, const char *end, struct state with)
{
    struct state s;
    memset(user_code, 0x90, sizeof user_code);
    memcpy(user_code, code, (size_t)(end - code));
    state_init(&s, 3, user_code);
    s.eflags |= FL_IF; /* else it is not run directly */
    s.eax = with.eax;
    s.ebx = with.ebx;
    s.ecx = with.ecx;
    s.edx = (uint32_t)user_data;
    s.esi = with.esi;
    s.edi = with.edi;
    s.ebp = (uint32_t)user_code + (uint32_t)(code64 - code) + 2;
    user_data[0] = MARK;
    user_data[2] = MARK;
    secret[0] = SECRET;
    run(&s);
    check(s.vector == EXC_GP, "%s: ends in #GP, vector %u at %x", name, s.vector, s.eip);
    check_equal(user_data[0], MARK, name);
    check_equal(user_data[2], MARK, name);
    check_equal(secret[0], SECRET, name);
}
#define TRY(which, name, ...) \
    attempt(name, attempt_##which, attempt_##which##_64, attempt_##which##_end, (struct state){__VA_ARGS__})

static void paging_on(void)
{
    for (unsigned i = 0; i < 1024; i++)
        table[i] = i << 12 | 3;
    uint8_t *user[] = {user_code, (uint8_t *)user_data};
    for (unsigned i = 0; i < ARRAY_COUNT(user); i++)
        table[(uint32_t)user[i] >> 12] |= 4;
    for (unsigned i = 0; i <= sizeof ring_stacks[3] / 4096; i++) /* it need not begin with a page */
        table[((uint32_t)ring_stacks[3] >> 12) + i] |= 4;
    directory[0] = (uint32_t)table | 7;
    write_cr3((uint32_t)directory);
    write_cr0(read_cr0() | CR0_PG);
}

/* Ordinary code, before and after: the cell is well. */
static void ordinary(const char *name)
{
    static const uint8_t loop[] = {0xb9, 0x00, 0x00, 0x10, 0x00, /* mov $100000h, %ecx */
                                   0x31, 0xc0,                   /* xor %eax, %eax */
                                   0x01, 0xc8,                   /* 1: add %ecx, %eax */
                                   0x49,                         /* dec %ecx */
                                   0x75, 0xfb,                   /* jnz 1b */
                                   0xcd, 0x80};
    struct state s;
    memset(user_code, 0x90, sizeof user_code);
    memcpy(user_code, loop, sizeof loop);
    state_init(&s, 3, user_code);
    s.eflags |= FL_IF;
    run_expect(&s, VEC_DONE, 0, "ordinary code %s", name);
    check_equal(s.eax, 0x00080000, name);
}

/* 32-bit code that reads, then writes the kernel's memory. */
static void plain(void)
{
    static const uint8_t load[] = {0x8b, 0x06, 0x89, 0x02, 0xcd, 0x80}, store[] = {0x89, 0x06, 0x89, 0x02, 0xcd, 0x80};
    for (unsigned i = 0; i < 2; i++) {
        struct state s;
        memset(user_code, 0x90, sizeof user_code);
        memcpy(user_code, i ? store : load, sizeof load);
        state_init(&s, 3, user_code);
        s.eflags |= FL_IF;
        s.esi = (uint32_t)secret;
        s.edx = (uint32_t)user_data;
        user_data[0] = MARK;
        secret[0] = SECRET;
        run_expect(&s, EXC_PF, i ? 7 : 5, "%s of kernel memory by 32-bit code", i ? "store" : "load");
        check(user_data[0] == MARK && secret[0] == SECRET, "%s of kernel memory: no effect", i ? "store" : "load");
    }
}

void guest_main(void)
{
    paging_on();
    ordinary("before");
    uint32_t mark = (uint32_t)user_data;
    for (unsigned round = 0; round < 3; round++) {
        TRY(syscall, "getpid", .eax = 39, .ebx = mark);
        TRY(syscall, "fork", .eax = 57, .ebx = mark);
        TRY(syscall, "time to memory", .eax = 201, .edi = mark + 8, .ebx = mark);
        TRY(syscall, "munmap of all of itself", .eax = 11, .edi = 0x1000, .esi = 0xffffe000, .ebx = mark);
        TRY(syscall, "brk", .eax = 12, .edi = 0, .ebx = mark);
        TRY(syscall, "mmap of 1 GiB", .eax = 9, .edi = 0, .esi = 0x40000000, .ebx = mark);
        TRY(syscall, "ptrace", .eax = 101, .ebx = mark);
        TRY(syscall, "rt_sigreturn", .eax = 15, .ebx = mark);
        TRY(syscall, "exit_group", .eax = 231, .ebx = mark);
        TRY(syscall, "x32 getpid", .eax = 0x40000027, .ebx = mark);
        TRY(int80, "getpid by INT 80h", .eax = 20, .edi = mark);
        TRY(store, "store to the orders", .eax = 1, .ebx = 0x7000, .esi = 0x00100000);
        TRY(store, "store to the stub", .eax = 1, .ebx = 0x7000, .esi = 0x00000000);
        TRY(load, "load of guest kernel memory", .esi = (uint32_t)secret);
        /* A page of orders: count 1, then time(mark + 8). */
        user_data[16] = 1;
        user_data[18] = 201;
        user_data[20] = mark + 8;
        for (uint32_t at = 0; at < 0x200; at++)
            if (round == 0)
                TRY(manager, "jump into the stub", .eax = 201, .ebx = 0x7000, .esi = at, .edi = mark + 64,
                    .ecx = mark + 72);
        TRY(vsyscall, "vsyscall", .edi = mark + 8, .ebx = 0x009ffbff);
        plain();
        ordinary("after");
    }
}
