/* Host signal handling for the vCPU thread (see sighandler.h). The only user of sigaction and
 * ucontext besides tr_recover. */
#include "sighandler.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "cell.h"
#include "flight.h"
#include "log.h"
#include "shadow.h"
#include "stats.h"
#include "window.h"
#include "world.h"
#include "translator/block.h"
#include "translator/jtable.h"
#include "translator/site.h"

#define ALTSTACK_SIZE (256 * 1024)
#define TRAP_DE       0
#define TRAP_DB       1
#define TRAP_PF       14
#define HOST_TF       0x100

struct guest_fault guest_fault;

static __thread struct bt *attached;

int sighandler_kick_signal(void)
{
    return SIGUSR2;
}

void sighandler_quiet_children(void)
{
    struct sigaction sa;
    if (sigaction(SIGCHLD, NULL, &sa) == 0) {
        sa.sa_flags |= SA_NOCLDSTOP;
        sigaction(SIGCHLD, &sa, NULL);
    }
}

/* Resumes the host in the monitor, guest registers already in bt->cpu. */
static void leave(struct bt *bt, ucontext_t *uc, enum exit_reason reason)
{
    greg_t *r = uc->uc_mcontext.gregs;
    bt->ras_rsp = (uint8_t *)r[REG_RSP];
    r[REG_R9] = reason;
    r[REG_RIP] = (greg_t)(uintptr_t)world_exit_recovered;
    r[REG_EFL] &= ~(greg_t)HOST_TF;
}

static _Noreturn void die(int sig, const siginfo_t *si, const ucontext_t *uc)
{
    /* Not from translated code: our own bug. Say where, and let it be seen as what it is. */
    const greg_t *r = uc->uc_mcontext.gregs;
    dprintf(STDERR_FILENO,
            "ringer: internal error: signal %d at host %#llx, address %p, r15 %#llx, rsp %#llx, trap %lld; "
            "please report it\n",
            sig, (unsigned long long)r[REG_RIP], si->si_addr, (unsigned long long)r[REG_R15],
            (unsigned long long)r[REG_RSP], (long long)r[REG_TRAPNO]);
    signal(sig, SIG_DFL);
    flight_dump(STDERR_FILENO);
    raise(sig);
    _exit(1);
}

/* An indirect jump found no entry, as there is no memory for it: the host stands before the load. */
static void missed_jump(struct bt *bt, ucontext_t *uc)
{
    tr_take_registers(bt, uc, 0);
    bt->cpu.eip = (uint32_t)uc->uc_mcontext.gregs[REG_R8];
    leave(bt, uc, EXIT_LOOKUP);
}

/* Which window of the present space a host address lies in; VIEWS: in none. */
static enum view view_at(const struct bt *bt, const uint8_t *at)
{
    for (unsigned v = 0; v < WINDOWS; v++)
        if (at >= bt->view[v] && at < bt->view[v] + WINDOW_SIZE)
            return v;
    return VIEWS;
}

static void on_fault(int sig, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;
    greg_t *r = uc->uc_mcontext.gregs;
    struct bt *bt = attached;
    int saved_errno = errno;

    if (!bt || (struct bt *)r[REG_R15] != bt)
        die(sig, si, context);
    uint8_t *at = si->si_addr;
    bool page_fault = sig == SIGSEGV && r[REG_TRAPNO] == TRAP_PF;
    if (page_fault && at >= bt->ras_base - BT_RAS_SIZE - BT_RAS_GUARD && at < bt->ras_base - BT_RAS_SIZE) {
        /* The private stack is full (in translated code, or where world.c pushes flags): forget it and
         * push again. */
        r[REG_RSP] = (greg_t)(uintptr_t)bt->ras_base;
        return;
    }
    if (page_fault && jtable_contains(bt->table, at)) {
        missed_jump(bt, uc); /* a guarded table */
        return;
    }
    if (!tr_in_code((void *)r[REG_RIP]))
        die(sig, si, context);
    enum view view = view_at(bt, at);
    /* The other window than the present one: descriptors, and the stack to which INT goes. If what is there is not to
     * be had, the interpreter says why. */
    bool present = view != VIEWS && bt->view[view] == bt->window;
    if (view != VIEWS && (page_fault || (present && sig == SIGBUS))) {
        gla_t gla = (gla_t)(at - bt->view[view]);
        if (present)
            tr_site_fault(bt, (void *)r[REG_RIP]);
        uint32_t error = 0;
        enum stat_id before = stats_enter(STAT_shadow_fill);
        switch (shadow_fill(bt, view, gla, page_fault && (r[REG_ERR] & PFERR_W), &error)) {
        case FILL_OK:
            stats_leave(before);
            /* A loop that is never left otherwise would fault for good: it is translated anew now. */
            if (bt->sites_due && !bt->single) {
                assert_always(tr_recover(bt, uc));
                leave(bt, uc, EXIT_KICK);
            }
            errno = saved_errno;
            return;
        case FILL_FAULT:
            stats_leave(STAT_page_fault);
            if (!present || gla >= (gla_t)-512) /* may cross 4 GiB, which is not a page fault: see below */
                break;
            guest_fault.gla = gla;
            guest_fault.error = error;
            guest_fault.premap = true;
            assert_always(tr_recover(bt, uc));
            leave(bt, uc, EXIT_FAULT);
            return;
        case FILL_EMULATE:
            stats_leave(STAT_memory);
            break;
        }
    }
    if (sig == SIGFPE && r[REG_TRAPNO] == TRAP_DE)
        tr_site_fault(bt, (void *)r[REG_RIP]);
    /* Beyond the window's end, #GP for alignment, #DE, x87 and SIMD exceptions, MMIO, stores to code:
     * the interpreter does the instruction again and finds out. */
    assert_always(tr_recover(bt, uc));
    leave(bt, uc, EXIT_INTERP);
    errno = saved_errno;
}

static void leave_at_boundary(struct bt *bt, ucontext_t *uc)
{
    greg_t *r = uc->uc_mcontext.gregs;
    switch (tr_where((void *)r[REG_RIP])) {
    case TR_BOUNDARY:
        assert_always(tr_recover(bt, uc));
        leave(bt, uc, EXIT_KICK);
        return;
    case TR_POPF:
        /* The host's next instruction loads all flags: it must not end the stepping. */
        *(uint64_t *)r[REG_RSP] |= HOST_TF;
        break;
    case TR_INSIDE:
        break;
    }
    r[REG_EFL] |= HOST_TF;
}

static void on_kick(int sig, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;
    greg_t *r = uc->uc_mcontext.gregs;
    struct bt *bt = attached;
    if (!bt)
        return;
    uintptr_t pc = (uintptr_t)r[REG_RIP];
    if (pc >= (uintptr_t)world_enter_restart && pc < (uintptr_t)world_enter_end)
        r[REG_RIP] = (greg_t)(uintptr_t)world_enter_abort;
    else if (tr_in_code((void *)pc)) {
        tr_site_sample(bt, (void *)pc);
        leave_at_boundary(bt, uc);
    } else
        cell_kick();
    /* else: in the monitor, which looks at bt->kick before it enters again */
}

static void on_trap(int sig, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;
    greg_t *r = uc->uc_mcontext.gregs;
    struct bt *bt = attached;
    if (!bt)
        die(sig, si, context);
    if (tr_in_code((void *)r[REG_RIP]) && bt->kick)
        leave_at_boundary(bt, uc);
    else
        r[REG_EFL] &= ~(greg_t)HOST_TF;
}

void sighandler_init(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&sa.sa_mask);
    /* A kick during a fill would find the monitor, not translated code, and be lost. */
    sigaddset(&sa.sa_mask, sighandler_kick_signal());
    sa.sa_sigaction = on_fault;
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    sigaction(SIGFPE, &sa, NULL);
    sigaction(SIGILL, &sa, NULL);
    sa.sa_sigaction = on_trap;
    sigaction(SIGTRAP, &sa, NULL);
    sighandler_init_kick();
}

void sighandler_init_kick(void)
{
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART, .sa_sigaction = on_kick};
    sigemptyset(&sa.sa_mask);
    sigaction(sighandler_kick_signal(), &sa, NULL);
}

void sighandler_attach_kick(void)
{
    sigset_t blocked;
    sigfillset(&blocked);
    sigdelset(&blocked, sighandler_kick_signal());
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
}

void sighandler_attach(struct bt *bt)
{
    stack_t ss = {.ss_size = ALTSTACK_SIZE};
    ss.ss_sp = mmap(NULL, ss.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    assert_always(ss.ss_sp != MAP_FAILED && sigaltstack(&ss, NULL) == 0);
    /* Only our own handlers know of translated code and its stack: all else is the main thread's. */
    sigset_t blocked;
    sigfillset(&blocked);
    static const int ours[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++)
        sigdelset(&blocked, ours[i]);
    sigdelset(&blocked, sighandler_kick_signal());
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    attached = bt;
}
