/* The monitor's side of cells (see cell.h). The only user of ptrace. */
#include "cell.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include <glib.h>

#include "native/cell/stub.h"
#include "log.h"
#include "mem.h"
#include "sighandler.h"

#define HOST_CS32 0x23
#define HOST_DS   0x2b
/* Flags that user code sees or sets as in the guest. */
#define USER_FLAGS (FL_ARITH | FL_DF | FL_ID)

extern const uint8_t cell_stub[];
extern const uint32_t cell_stub_size;

struct order {
    uint64_t nr, arg[6];
};
_Static_assert(sizeof(struct order) == STUB_ORDER_SIZE, "as stub.S reads it");

struct orders {
    uint32_t count, unused;
    struct order order[STUB_ORDERS];
};

struct cell {
    pid_t manager, runner;
    struct orders *orders; /* shared with the manager, which cannot write to it */
    unsigned count;
    bool lost; /* orders that were too many to be collected failed: nothing is mapped, as far as one knows */
    bool dead;
    bool last_known; /* regs and last_fpu are those of the runner's end */
    struct fxstate last_fpu;
    struct user_regs_struct regs;
    int cpu[2];         /* of the host, where the runner and the manager are bound to; -1: nowhere yet */
    unsigned trap_back; /* how far behind the trapping instruction EIP is */
};

/* What all cells have in common. */
static struct {
    volatile pid_t running; /* the runner that is let go; the kick handler reads it */
    int stub;               /* file with the program of a cell; -1: none yet */
    bool sigchld_quiet;     /* children's ends raise no signal any more */
    gla_t lowest;           /* see cell_lowest; 0: not read yet */
    int bound_to;           /* processor of the host that the vCPU thread is bound to; -1: to none */
    unsigned turn;          /* counts runs: see BIND_PERIOD */
    bool known;             /* everywhere is */
    cpu_set_t everywhere;   /* where the vCPU thread may run when it is not bound */
} cells = {.stub = -1, .bound_to = -1};

static int stub_file(void)
{
    if (cells.stub >= 0)
        return cells.stub;
    int low = memfd_create("ringer-cell", MFD_CLOEXEC);
    int fd = fcntl(low, F_DUPFD_CLOEXEC, 10); /* out of the way of the descriptors that the stub gets */
    if (low >= 0)
        close(low);
    if (fd < 0)
        return -1;
    if (write(fd, cell_stub, cell_stub_size) != (ssize_t)cell_stub_size) {
        close(fd);
        return -1;
    }
    return cells.stub = fd;
}

/* The child shares our memory until it is another program: nothing here may write to what we use. */
static pid_t spawn(int stub, int ram, int orders)
{
    static char *const none[] = {NULL};
    sigset_t empty;
    sigemptyset(&empty);
    pid_t monitor = getpid();
    int high_ram = fcntl(ram, F_DUPFD_CLOEXEC, 10), high_orders = fcntl(orders, F_DUPFD_CLOEXEC, 10);
    pid_t pid = vfork();
    if (pid == 0) {
        /* It ends with us, from here on; and if we have ended just now. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != monitor)
            _exit(1);
        if (dup2(high_ram, STUB_FD_RAM) < 0 || dup2(high_orders, STUB_FD_ORDERS) < 0)
            _exit(1);
        /* Everything else that is open is not close-on-exec by accident at most: see to it. */
        syscall(SYS_close_range, 0, 2, 0);
        syscall(SYS_close_range, STUB_FD_ORDERS + 1, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
        sigprocmask(SIG_SETMASK, &empty, NULL);
        syscall(SYS_execveat, stub, "", none, none, AT_EMPTY_PATH);
        _exit(1);
    }
    close(high_ram);
    close(high_orders);
    return pid;
}

/* Status of the next stop; -1: it is gone. */
static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, __WALL) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static bool stopped_by(int status, int sig)
{
    return status >= 0 && WIFSTOPPED(status) && status >> 16 == 0 && WSTOPSIG(status) == sig;
}

/* What the program in the cell is made to do at first: nothing is mapped there, so this faults. */
#define PROBE_EIP 0x00400000u

static struct cell *set_up(const char **why)
{
    if (!cells.sigchld_quiet) {
        sighandler_quiet_children();
        cell_lowest(); /* read now: later, no file is opened any more (host/fence.c) */
        cells.sigchld_quiet = true;
    }
    int stub = stub_file();
    int fd = memfd_create("ringer-orders", MFD_CLOEXEC);
    *why = "there is no memory file to be had";
    if (stub < 0 || fd < 0 || ftruncate(fd, STUB_ORDERS_SIZE) < 0) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct cell *c = g_new0(struct cell, 1);
    c->cpu[0] = c->cpu[1] = -1;
    c->orders = mmap(NULL, STUB_ORDERS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (c->orders == MAP_FAILED) {
        *why = "there is no address space to be had";
        close(fd);
        g_free(c);
        return NULL;
    }
    c->manager = spawn(stub, guest_mem.fd, fd);
    close(fd);
    *why = "a child process cannot be started";
    if (c->manager < 0)
        goto fail;
    int status = wait_for(c->manager);
    *why = "the host does not allow ptrace or seccomp to us";
    if (!stopped_by(status, SIGTRAP))
        goto fail;
    ptrace(PTRACE_SETOPTIONS, c->manager, 0, PTRACE_O_EXITKILL);
    if (ptrace(PTRACE_GETREGS, c->manager, 0, &c->regs) < 0)
        goto fail;
    c->runner = (pid_t)c->regs.rbx;
    if (!stopped_by(wait_for(c->runner), SIGTRAP))
        goto fail;
    if (ptrace(PTRACE_SETOPTIONS, c->runner, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT) < 0)
        goto fail;

    *why = "the host runs no 32-bit code";
    memset(&c->regs, 0, sizeof c->regs);
    struct cpu *cpu = g_new0(struct cpu, 1);
    cpu->eip = PROBE_EIP;
    cell_put(c, cpu);
    g_free(cpu);
    uint64_t address = 0;
    static const volatile int none;
    bool ok = cell_run(c, &none, &address) == CELL_FAULT && address == PROBE_EIP && cell_eip(c) == PROBE_EIP;
    if (!ok)
        goto fail;
    return c;
fail:
    cell_free(c);
    return NULL;
}

#define END_TRIES 1000 /* milliseconds that a dying process is waited for; after that init gets it */

void cell_free(struct cell *c)
{
    pid_t pids[] = {c->runner, c->manager};
    for (unsigned i = 0; i < 2; i++) {
        if (pids[i] <= 0)
            continue;
        /* It may stand at its exit event already, where a second SIGKILL does not count; and it may come to it yet. */
        int status;
        kill(pids[i], SIGKILL);
        ptrace(PTRACE_CONT, pids[i], 0, 0);
        for (unsigned tries = 0; tries < END_TRIES; tries++) {
            pid_t pid = waitpid(pids[i], &status, __WALL | WNOHANG);
            if (pid < 0 || (pid > 0 && !WIFSTOPPED(status)))
                break;
            if (pid > 0)
                ptrace(PTRACE_CONT, pids[i], 0, 0);
            else
                usleep(1000);
        }
    }
    munmap(c->orders, STUB_ORDERS_SIZE);
    g_free(c);
}

bool cell_is_dead(const struct cell *c)
{
    return c->dead;
}

gla_t cell_lowest(void)
{
    if (!cells.lowest) {
        FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "re");
        unsigned long value;
        cells.lowest = f && fscanf(f, "%lu", &value) == 1 && value <= MiB ? (gla_t)value : 64 * KiB;
        if (f)
            fclose(f);
        if (cells.lowest < PAGE_SIZE)
            cells.lowest = PAGE_SIZE;
    }
    return cells.lowest;
}

/* Somebody may kill a cell while it is set up: that says nothing about the host, so it is tried again. */
#define SET_UP_TRIES 3

struct cell *cell_new(const char **why)
{
    struct cell *c = NULL;
    for (unsigned tries = 0; !c && tries < SET_UP_TRIES; tries++)
        c = set_up(why);
    return c;
}

/* --- orders --- */

/* Only one of us and the cell's two tasks runs at a time. On one processor of the host the other starts at once and
 * finds its cache warm: a round trip of 8.5 us instead of 50 on two (loaded machine, 2026-11-22). So all are bound to
 * the processor we are on, and let go for a few round trips now and then: the scheduler may know a better one. */
#define BIND_PERIOD 256
#define BIND_FREE   4

static void set_cpus(pid_t pid, int cpu)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    if (cpu >= 0)
        CPU_SET(cpu, &one);
    sched_setaffinity(pid, sizeof one, cpu >= 0 ? &one : &cells.everywhere); /* refused: merely slower */
}

void cell_unbind(void)
{
    if (cells.bound_to >= 0)
        set_cpus(0, -1);
    cells.bound_to = -1;
}

static void bind_self(void)
{
    if (!cells.known) {
        cells.known = true;
        if (sched_getaffinity(0, sizeof cells.everywhere, &cells.everywhere) < 0) /* more than 1024 processors */
            CPU_ZERO(&cells.everywhere);
    }
    if (CPU_COUNT(&cells.everywhere) < 2)
        return;
    unsigned phase = cells.turn++ % BIND_PERIOD;
    if (phase == 0)
        cell_unbind();
    if (phase < BIND_FREE || cells.bound_to >= 0)
        return;
    int cpu = sched_getcpu();
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    set_cpus(0, cpu);
    cells.bound_to = cpu;
}

static void bind_task(pid_t pid, int *bound)
{
    if (*bound == cells.bound_to)
        return;
    set_cpus(pid, cells.bound_to);
    *bound = cells.bound_to;
}

static void died(struct cell *c)
{
    c->dead = true;
    c->count = 0;
}

/* The runner is stopped, or on its way out because somebody killed it: its registers for the last time. */
static void take_last(struct cell *c)
{
    if (ptrace(PTRACE_GETREGS, c->runner, 0, &c->regs) == 0 &&
        ptrace(PTRACE_GETFPREGS, c->runner, 0, &c->last_fpu) == 0)
        c->last_known = true;
    died(c);
}

/* Lets the manager go once. False: it found an order that cannot be. */
static bool carry_out(struct cell *c)
{
    c->orders->count = c->count;
    c->count = 0;
    bind_task(c->manager, &c->cpu[1]);
    if (ptrace(PTRACE_CONT, c->manager, 0, 0) < 0) {
        take_last(c);
        return true;
    }
    int status = wait_for(c->manager);
    if (stopped_by(status, SIGTRAP))
        return true;
    if (!stopped_by(status, SIGILL)) {
        take_last(c);
        return true;
    }
    struct user_regs_struct r;
    if (ptrace(PTRACE_GETREGS, c->manager, 0, &r) < 0) {
        take_last(c);
        return true;
    }
    r.rip += 2; /* behind the UD2; it stops at once again, ready */
    ptrace(PTRACE_SETREGS, c->manager, 0, &r);
    c->orders->count = 0;
    if (ptrace(PTRACE_CONT, c->manager, 0, 0) < 0 || !stopped_by(wait_for(c->manager), SIGTRAP))
        take_last(c);
    return false;
}

static void give(struct cell *c, struct order order)
{
    if (c->dead)
        return;
    if (c->count == STUB_ORDERS && !carry_out(c))
        c->lost = true;
    c->orders->order[c->count++] = order;
}

void cell_map(struct cell *c, gla_t gla, uint64_t ram_offset, uint64_t len, int prot)
{
    give(c, (struct order){SYS_mmap,
                           {gla, len, (uint64_t)prot, MAP_SHARED | MAP_FIXED | MAP_POPULATE, STUB_FD_RAM, ram_offset}});
}

void cell_protect(struct cell *c, gla_t gla, uint64_t len, int prot)
{
    give(c, (struct order){SYS_mprotect, {gla, len, (uint64_t)prot}});
}

void cell_unmap(struct cell *c, gla_t gla, uint64_t len)
{
    give(c, (struct order){SYS_munmap, {gla, len}});
}

bool cell_flush(struct cell *c)
{
    if (c->dead)
        return false;
    if (c->count && !carry_out(c))
        c->lost = true;
    if (c->lost && !c->dead) {
        c->lost = false;
        cell_unmap(c, 0, 4 * GiB);
        if (!carry_out(c))
            take_last(c);
        return false;
    }
    return !c->dead;
}

uint64_t cell_measure(struct cell *c)
{
    if (c->dead || c->count || c->lost)
        return 0;
    uint64_t begin = __rdtsc();
    carry_out(c);
    return c->dead ? 0 : __rdtsc() - begin;
}

/* --- the runner --- */

void cell_put(struct cell *c, const struct cpu *cpu)
{
    struct user_regs_struct *r = &c->regs;
    r->rax = cpu->gpr[EAX];
    r->rcx = cpu->gpr[ECX];
    r->rdx = cpu->gpr[EDX];
    r->rbx = cpu->gpr[EBX];
    r->rsp = cpu->gpr[ESP];
    r->rbp = cpu->gpr[EBP];
    r->rsi = cpu->gpr[ESI];
    r->rdi = cpu->gpr[EDI];
    r->r8 = r->r9 = r->r10 = r->r11 = r->r12 = r->r13 = r->r14 = r->r15 = 0;
    r->rip = cpu->eip;
    r->eflags = (cpu->eflags & USER_FLAGS) | FL_IF | FL_FIXED1;
    r->orig_rax = (unsigned long long)-1; /* no system call to be restarted */
    r->cs = HOST_CS32;
    r->ss = r->ds = r->es = HOST_DS;
    bool fs = cpu->seg[SEG_FS].access & ACC_P, gs = cpu->seg[SEG_GS].access & ACC_P;
    r->fs = fs ? HOST_DS : 0;
    r->gs = gs ? HOST_DS : 0;
    r->fs_base = fs ? cpu->seg[SEG_FS].base : 0;
    r->gs_base = gs ? cpu->seg[SEG_GS].base : 0;
    if (!c->dead && ptrace(PTRACE_SETREGS, c->runner, 0, r) < 0)
        died(c);
    c->trap_back = 0;
}

void cell_get(struct cell *c, struct cpu *cpu)
{
    struct user_regs_struct *r = &c->regs;
    cpu->gpr[EAX] = (uint32_t)r->rax;
    cpu->gpr[ECX] = (uint32_t)r->rcx;
    cpu->gpr[EDX] = (uint32_t)r->rdx;
    cpu->gpr[EBX] = (uint32_t)r->rbx;
    cpu->gpr[ESP] = (uint32_t)r->rsp;
    cpu->gpr[EBP] = (uint32_t)r->rbp;
    cpu->gpr[ESI] = (uint32_t)r->rsi;
    cpu->gpr[EDI] = (uint32_t)r->rdi;
    cpu->eip = (uint32_t)r->rip - c->trap_back;
    cpu->eflags = (cpu->eflags & ~USER_FLAGS) | ((uint32_t)r->eflags & USER_FLAGS) | FL_FIXED1;
}

void cell_put_fpu(struct cell *c, const struct fxstate *fpu)
{
    _Static_assert(sizeof(struct user_fpregs_struct) == sizeof *fpu, "both are FXSAVE's image");
    if (!c->dead && ptrace(PTRACE_SETFPREGS, c->runner, 0, fpu) < 0)
        died(c);
}

void cell_get_fpu(struct cell *c, struct fxstate *fpu)
{
    if (c->last_known)
        *fpu = c->last_fpu;
    else
        ptrace(PTRACE_GETFPREGS, c->runner, 0, fpu);
}

uint32_t cell_eip(struct cell *c)
{
    return (uint32_t)c->regs.rip;
}

void cell_kick(void)
{
    pid_t pid = cells.running;
    if (pid)
        syscall(SYS_tgkill, pid, pid, sighandler_kick_signal());
}

/* Whether status, of the runner, is that of its end; then what is left of it is taken. */
static bool at_its_end(struct cell *c, int status)
{
    if (status < 0 || !WIFSTOPPED(status))
        died(c);
    else if (status >> 16 == PTRACE_EVENT_EXIT)
        take_last(c);
    else
        return false;
    return true;
}

enum cell_stop cell_run(struct cell *c, const volatile int *kick, uint64_t *address)
{
    if (c->dead)
        return CELL_DEAD;
    bind_self();
    bind_task(c->runner, &c->cpu[0]);
    /* A kick from here on finds us: a signal that comes before the runner goes stops it at once. */
    cells.running = c->runner;
    if (*kick) {
        cells.running = 0;
        return CELL_KICK;
    }
    /* Killed while it stood, it may have come to its exit event, where CONT would let it go with its registers. Should
     * CONT fail, it is on its way there. */
    int status;
    if (waitpid(c->runner, &status, __WALL | WNOHANG) <= 0) {
        ptrace(PTRACE_CONT, c->runner, 0, 0);
        status = wait_for(c->runner);
    }
    cells.running = 0;
    if (at_its_end(c, status))
        return CELL_DEAD;
    int sig = WSTOPSIG(status);
    if (ptrace(PTRACE_GETREGS, c->runner, 0, &c->regs) < 0) { /* killed just now */
        at_its_end(c, wait_for(c->runner));
        died(c);
        return CELL_DEAD;
    }
    if (sig == sighandler_kick_signal())
        return CELL_KICK;
    siginfo_t si;
    if (c->regs.cs != HOST_CS32)
        return CELL_ROGUE;
    switch (sig) {
    case SIGSEGV:
        if (ptrace(PTRACE_GETSIGINFO, c->runner, 0, &si) == 0 &&
            (si.si_code == SEGV_MAPERR || si.si_code == SEGV_ACCERR)) {
            *address = (uint64_t)(uintptr_t)si.si_addr;
            return CELL_FAULT;
        }
        return CELL_TRAP;
    case SIGSYS:
        c->trap_back = 2; /* INT 80h, SYSCALL, SYSENTER: EIP is behind it */
        return CELL_TRAP;
    case SIGTRAP:
        c->trap_back = 1; /* INT3 */
        return CELL_TRAP;
    case SIGFPE:
    case SIGILL:
    case SIGBUS:
        return CELL_TRAP;
    default:
        return CELL_KICK; /* a signal that somebody sent: as if it had not been */
    }
}
