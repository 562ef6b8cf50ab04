/* The native oracle: runs one instruction per case on the CPU itself, in 32-bit compatibility mode.
 *
 * A 32-bit static program without a C library (it builds without 32-bit headers or libraries).
 * Started by insn_test with fd 3 = the memfd of native_case.h, fd 4 = commands, fd 5 = answers.
 * It unmaps its stack and the vDSO, so that stray operands find nothing but what the cases may see.
 *
 * An instruction that completes runs into a jump to exit_next and costs no kernel entry. A signal's
 * handler copies the frame and goes on with the next case; it never returns to the kernel.
 */
#include "native_case.h"

#define SYS_EXIT            1
#define SYS_READ            3
#define SYS_WRITE           4
#define SYS_MUNMAP          91
#define SYS_MODIFY_LDT      123
#define SYS_RT_SIGACTION    174
#define SYS_SIGALTSTACK     186
#define SYS_MMAP2           192
#define SYS_SET_THREAD_AREA 243

#define AT_NULL         0
#define AT_SYSINFO_EHDR 33

#define CASES ((struct nt_cases *)NT_CASES)

/* What run_case and the exits exchange; named by assembly. */
extern struct nt_regs native_regs;
extern uint32_t native_fpu, native_code16, native_exit;
extern uint16_t native_data, native_stack, native_flat;
extern struct native_far {
    uint32_t eip;
    uint16_t cs;
} native_far;
extern uint8_t native_fx[512];
extern uint32_t native_env[7];
struct nt_regs native_regs;
uint32_t native_fpu, native_code16, native_exit;
uint16_t native_data, native_stack, native_flat = NT_DS;
struct native_far native_far;
uint8_t native_fx[512] __attribute__((aligned(16)));
uint32_t native_env[7];

static uint8_t stack[16384] __attribute__((aligned(16)));
static uint8_t signal_stack[32768] __attribute__((aligned(16)));
extern uint8_t *native_stack_top;
uint8_t *native_stack_top = stack + sizeof(stack);

void native_run(void);
void native_exit_next(void);
void native_exit_back(void);
void native_exit_forth(void);
void native_resume(void) __attribute__((noreturn));
void native_main(uint32_t *sp) __attribute__((noreturn, used));

__asm__(".text\n"
        ".globl _start\n"
        "_start:\n"
        "    movl %esp, %eax\n"
        "    movl native_stack_top, %esp\n"
        "    pushl $0\n"
        "    pushl $0\n"
        "    pushl %eax\n"
        "    call native_main\n"
        /* Loads the case's registers and jumps to its instruction; comes back through native_resume. */
        "native_run:\n"
        "    pushl %ebp\n"
        "    pushl %ebx\n"
        "    pushl %esi\n"
        "    pushl %edi\n"
        "    movl %esp, saved_esp\n"
        "    cmpl $0, native_fpu\n"
        "    je 1f\n"
        "    fxrstor native_fx\n"
        "1:  cmpl $0, native_code16\n"
        "    jne 3f\n"
        "    call 4f\n"
        "    jmp *%cs:native_regs+36\n"
        "3:  call 4f\n"
        "    ljmp *%cs:native_far\n"
        /* The case's segments and registers. Code can be read through CS whatever those are. */
        "4:  popl native_back\n"
        "    pushl native_regs+32\n"
        "    popfl\n"
        "    movw %cs:native_data, %ds\n"
        "    movw %cs:native_data, %es\n"
        "    movl %cs:native_regs+0, %eax\n"
        "    movl %cs:native_regs+4, %ecx\n"
        "    movl %cs:native_regs+8, %edx\n"
        "    movl %cs:native_regs+12, %ebx\n"
        "    movl %cs:native_regs+20, %ebp\n"
        "    movl %cs:native_regs+24, %esi\n"
        "    movl %cs:native_regs+28, %edi\n"
        "    movw %cs:native_stack, %ss\n"
        "    movl %cs:native_regs+16, %esp\n"
        "    jmp *%cs:native_back\n"
        "native_exit_next:\n"
        "    movw %cs:native_flat, %ds\n" /* MOV keeps the flags */
        "    movl $0, native_exit\n"
        "    jmp 2f\n"
        "native_exit_back:\n"
        "    movw %cs:native_flat, %ds\n"
        "    movl $1, native_exit\n"
        "    jmp 2f\n"
        "native_exit_forth:\n"
        "    movw %cs:native_flat, %ds\n"
        "    movl $2, native_exit\n"
        "2:  movw native_flat, %es\n"
        "    movw native_flat, %ss\n"
        "    movl %eax, native_regs+0\n"
        "    movl %ecx, native_regs+4\n"
        "    movl %edx, native_regs+8\n"
        "    movl %ebx, native_regs+12\n"
        "    movl %esp, native_regs+16\n"
        "    movl %ebp, native_regs+20\n"
        "    movl %esi, native_regs+24\n"
        "    movl %edi, native_regs+28\n"
        "    movl saved_esp, %esp\n"
        "    pushfl\n"
        "    popl native_regs+32\n"
        "    cmpl $0, native_fpu\n"
        "    je native_resume\n"
        "    fxsave native_fx\n"
        "    fnstenv native_env\n"
        "    fninit\n" /* a pending x87 exception must not reach the next FXRSTOR */
        "native_resume:\n"
        "    movl saved_esp, %esp\n"
        "    pushl $0x202\n" /* DF, AC, NT off again */
        "    popfl\n"
        "    popl %edi\n"
        "    popl %esi\n"
        "    popl %ebx\n"
        "    popl %ebp\n"
        "    ret\n"
        ".lcomm saved_esp, 4\n"
        ".lcomm native_back, 4\n");

static int32_t call6(uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f)
{
    int32_t result;
    uint32_t last[2] = {f, number};

    /* The sixth argument goes in EBP, which the compiler may be using. */
    __asm__ volatile("pushl %%ebp\n\t"
                     "movl 4(%%eax), %%ebp\n\t"
                     "pushl (%%eax)\n\t"
                     "movl %%ebp, %%eax\n\t"
                     "popl %%ebp\n\t"
                     "int $0x80\n\t"
                     "popl %%ebp"
                     : "=a"(result)
                     : "a"(last), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "memory", "cc");
    return result;
}

static int32_t call3(uint32_t number, uint32_t a, uint32_t b, uint32_t c)
{
    return call6(number, a, b, c, 0, 0, 0);
}

static void die(const char *sentence)
{
    uint32_t n = 0;

    while (sentence[n])
        n++;
    call3(SYS_WRITE, 2, (uint32_t)sentence, n);
    call3(SYS_EXIT, 2, 0, 0);
}

static void copy(void *to, const void *from, uint32_t bytes)
{
    __asm__ volatile("rep movsl" : "+D"(to), "+S"(from) : "c"(bytes / 4) : "memory");
}

/* The compilers may call it for structure assignments. */
void *memcpy(void *to, const void *from, unsigned n);
void *memcpy(void *to, const void *from, unsigned n)
{
    void *start = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return start;
}

/* The 32-bit signal frame's machine context (Linux, asm/sigcontext.h, i386). */
struct mcontext {
    uint32_t gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax;
    uint32_t trapno, error, eip, cs, eflags, esp_at_signal, ss;
    uint32_t fpstate, oldmask, cr2;
};
struct ucontext {
    uint32_t flags, link, stack_sp, stack_flags, stack_size;
    struct mcontext m;
};

static void on_signal(int number, void *info, struct ucontext *uc)
{
    const struct mcontext *m = &uc->m;
    struct nt_case *c = &CASES->c[CASES->progress];

    (void)number;
    (void)info;
    native_regs = (struct nt_regs){.gpr = {m->eax, m->ecx, m->edx, m->ebx, m->esp_at_signal, m->ebp, m->esi, m->edi},
                                   .eflags = m->eflags,
                                   .eip = m->eip};
    native_exit = NT_EXIT_SIGNAL;
    c->vector = m->trapno;
    c->error = m->error;
    c->cr2 = m->cr2;
    if (native_fpu) /* the FXSAVE image follows the 112 bytes of the FSAVE one */
        copy(native_fx, (const void *)(m->fpstate + 112), 512);
    native_resume();
}

static void catch_signal(uint32_t number)
{
    struct {
        uint32_t handler, flags, restorer, mask[2];
    } action = {.handler = (uint32_t)on_signal, .flags = 0x4 | 0x08000000 | 0x40000000}; /* SIGINFO, ONSTACK, NODEFER */

    if (call6(SYS_RT_SIGACTION, number, (uint32_t)&action, 0, 8, 0, 0) < 0)
        die("native32: sigaction failed\n");
}

/* Populated, because a page that nobody has touched reports its first protection fault as "not present". */
static void map(uint32_t linear, uint32_t size, uint32_t protection, uint32_t offset)
{
    int32_t at = call6(SYS_MMAP2, linear, size, protection, 0x8011 /* SHARED|FIXED|POPULATE */, 3, offset >> 12);

    if ((uint32_t)at != linear)
        die("native32: cannot map the shared memory\n");
}

/* Nothing may lie where a test's stray address could find it: gives back the stack and the vDSO. */
static void unmap_surroundings(uint32_t *sp)
{
    uint32_t *p = sp + 1 + sp[0] + 1;
    uint32_t vdso = 0;

    while (*p)
        p++;
    for (p++; p[0] != AT_NULL; p += 2)
        if (p[0] == AT_SYSINFO_EHDR)
            vdso = p[1];
    if (vdso)
        call3(SYS_MUNMAP, vdso - 0x10000, 0x20000, 0); /* its data pages precede it */
    call3(SYS_MUNMAP, ((uint32_t)sp & ~0xfffffu) - 0x100000, 0u - 0x2000u - (((uint32_t)sp & ~0xfffffu) - 0x100000), 0);
}

static void run_case(struct nt_case *c)
{
    native_regs = c->in;
    native_fpu = c->flags & NT_FPU;
    native_code16 = c->flags & NT_CODE16;
    native_data = NT_SEL_DATA(c->shape);
    native_stack = NT_SEL_STACK(c->shape);
    native_far = (struct native_far){c->in.eip, NT_CS16};
    if (native_fpu)
        copy(native_fx, c->fx_in, 512);
    if (c->window_len)
        copy((void *)c->window, c->memory_in, c->window_len);
    native_run();
    c->out = native_regs;
    c->exit = native_exit;
    if (native_fpu) {
        copy(c->fx_out, native_fx, 512);
        copy(c->env, native_env, sizeof(native_env));
    }
    if (c->window_len)
        copy(c->memory_out, (const void *)c->window, c->window_len);
}

/* Entry number of the LDT: a data segment, or the 16-bit code. */
static int set_ldt(uint32_t entry, const struct nt_segment *s, int is_code)
{
    struct {
        uint32_t entry, base, limit, flags;
    } d = {entry, s->base, s->limit, s->big | (is_code ? 2u : s->expand_down) << 1};

    if (s->limit > 0xfffffu) {
        d.limit >>= 12;
        d.flags |= 0x10;
    }
    return call3(SYS_MODIFY_LDT, 0x11, (uint32_t)&d, sizeof(d)) == 0;
}

static int read_all(void *buffer, uint32_t n)
{
    uint8_t *p = buffer;

    while (n) {
        int32_t got = call3(SYS_READ, 4, (uint32_t)p, n);

        if (got <= 0)
            return 0;
        p += got;
        n -= (uint32_t)got;
    }
    return 1;
}

void native_main(uint32_t *sp)
{
    struct {
        uint32_t sp, flags, size;
    } alternate = {(uint32_t)signal_stack, 0, sizeof(signal_stack)};
    struct {
        uint32_t entry, base, limit, flags;
    } fs = {NT_FS_ENTRY, NT_FS_BASE, NT_FS_LIMIT, 0x1 | 0x40}; /* 32-bit, useable */
    static const struct nt_segment code16 = {NT_CODE, NT_CODE_SIZE - 1, 0, 0};
    static const uint8_t signals[] = {4, 5, 7, 8, 11}; /* ILL TRAP BUS FPE SEGV */
    struct nt_command command;

    map(NT_RO, 0x1000, 1, NT_DATA_AT);
    map(NT_DATA, NT_DATA_SIZE, 3, NT_DATA_AT + 0x1000);
    map(NT_CODE, NT_CODE_SIZE, 5, NT_CODE_AT);
    map(NT_CASES, (sizeof(struct nt_cases) + 0xfff) & ~0xfffu, 3, NT_CASES_AT);
    if (call3(SYS_SIGALTSTACK, (uint32_t)&alternate, 0, 0) < 0)
        die("native32: sigaltstack failed\n");
    for (uint32_t i = 0; i < sizeof(signals); i++)
        catch_signal(signals[i]);
    if (call3(SYS_SET_THREAD_AREA, (uint32_t)&fs, 0, 0) < 0)
        die("native32: set_thread_area failed\n");
    CASES->has_code16 = set_ldt(NT_CS16 >> 3, &code16, 1);
    for (uint32_t i = 1; i < NT_SHAPES && CASES->has_code16; i++)
        CASES->has_code16 = set_ldt(NT_SEL_DATA(i) >> 3, &nt_shapes[i].data, 0) &&
                            set_ldt(NT_SEL_STACK(i) >> 3, &nt_shapes[i].stack, 0);
    __asm__ volatile("movw %w0, %%fs; movw %w1, %%gs" : : "r"(NT_FS), "r"(0));
    unmap_surroundings(sp);
    CASES->exit_entry[NT_EXIT_NEXT] = (uint32_t)native_exit_next;
    CASES->exit_entry[NT_EXIT_BACK] = (uint32_t)native_exit_back;
    CASES->exit_entry[NT_EXIT_FORTH] = (uint32_t)native_exit_forth;
    while (read_all(&command, sizeof(command))) {
        copy((void *)NT_DATA, CASES->data_first, NT_DATA_SIZE);
        for (uint32_t i = command.first; i < command.first + command.count; i++) {
            CASES->progress = i;
            run_case(&CASES->c[i]);
        }
        copy(CASES->data_last, (const void *)NT_DATA, NT_DATA_SIZE);
        call3(SYS_WRITE, 5, (uint32_t)&command, sizeof(command));
    }
    call3(SYS_EXIT, 0, 0, 0);
    __builtin_unreachable();
}
