/* The run loop: interrupts in, engine out, HLT asleep. See vcpu.h. */
#include "vcpu.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bt_loop.h"
#include "busypoll.h"
#include "engine/kvm/kvm.h"
#include "engine/kvm/kvm_host.h"
#include "take_points.h"
#include "flight.h"
#include "ioport.h"
#include "log.h"
#include "native/sighandler.h"
#include "points.h"
#include "state.h"
#include "stats.h"
#include "vclock.h"
#include "translator/cache.h"

#define REQUEST_STOP  0x1
#define REQUEST_PAUSE 0x2
#define REQUEST_RESET 0x4
#define REQUEST_BUS   0x8
#define REQUEST_CALL  0x10

/* Instructions between two looks at the loop, kick or not: only the statistics need them. */
#define BUDGET (1ull << 24)

/* An engine that does not come back in this time never will. */
#define STOP_SECONDS 5

struct vcpu {
    struct cpu *cpu;         /* in bt if there is one, else allocated for itself */
    struct vcpu_hooks hooks; /* what the machine does for it */
    enum accel_kind kind;
    pthread_t thread;                /* once started */
    bool started;                    /* and not stopped yet */
    _Atomic int thread_id;           /* gettid() */
    struct bt *bt;                   /* the translator's state around cpu, NULL for the interpreter and KVM */
    struct kvm *kvm;                 /* NULL for all others */
    volatile int *kick;              /* leave the engine at the next boundary */
    volatile int *intr;              /* level of the INTR pin */
    volatile int own_kick, own_intr; /* what these point to without bt */
    _Atomic int requests;            /* REQUEST_* */
    _Atomic bool nmi;                /* one waits to be taken */
    _Atomic bool asleep;             /* waiting for kick, on wake */
    _Atomic bool looks;              /* halted, and sees kick without being woken */
    bool waits_for_timers;           /* the last halt ended with one */
    struct busypoll halt_poll;
    pthread_mutex_t wait_lock;  /* of the conditions */
    pthread_cond_t wake;        /* kick was set */
    bool stands;                /* it waits for vcpu_resume, its state is in cpu; under wait_lock */
    pthread_cond_t stood;       /* stands became true */
    uint64_t instructions;      /* see vcpu_instructions */
    void (*call)(void *opaque); /* see vcpu_call; NULL: it is done. Under wait_lock */
    void *call_opaque;
    bool debug_going;       /* vcpu_debug_go: to be done before anything else */
    enum debug_go debug_go; /* this */
};

static const char *const accel_names[ACCEL_COUNT] = {"bt", "interp", "lockstep", "direct", "kvm"};

const char *vcpu_accel_name(enum accel_kind kind)
{
    return accel_names[kind];
}

bool vcpu_accel_works(enum accel_kind kind, GError **error)
{
    return kind != ACCEL_KVM || kvm_host_try(error);
}

struct cpu *vcpu_cpu(struct vcpu *vcpu)
{
    return vcpu->cpu;
}

static void vcpu_met_point(void *opaque, const struct debug_stop *stop)
{
    struct vcpu *vcpu = opaque;
    flight_note(FLIGHT_POINT, vcpu->cpu, stop->why, stop->address, 0);
    machine_lock();
    if (vcpu->hooks.debug_stop)
        vcpu->hooks.debug_stop(vcpu->hooks.opaque, stop);
    machine_unlock();
}

struct vcpu *vcpu_new(enum accel_kind kind, bool direct_always, unsigned tb_size, const struct cpu_model *model,
                      const struct vcpu_hooks *hooks, GError **error)
{
    struct bt *bt = NULL;
    struct cpu *cpu;
    if (kind == ACCEL_INTERP || kind == ACCEL_KVM) {
        int rc = posix_memalign((void **)&cpu, 64, sizeof *cpu);
        assert_always(rc == 0);
        memset(cpu, 0, sizeof *cpu);
    } else {
        bt = bt_new(tb_size ? tb_size * MiB : TCACHE_DEFAULT, error);
        if (!bt)
            return NULL;
        cpu = &bt->cpu;
    }
    struct vcpu *vcpu = g_new0(struct vcpu, 1);
    vcpu->kind = kind;
    vcpu->bt = bt;
    vcpu->cpu = cpu;
    vcpu->cpu->model = model;
    vcpu->cpu->interp = interp_new(vcpu->cpu);
    vcpu->hooks = *hooks;
    ioport_set_registers(cpu->gpr);
    if (kind == ACCEL_KVM) {
        vcpu->kvm = kvm_new(cpu, error);
        if (!vcpu->kvm) {
            interp_free(cpu->interp);
            free(cpu);
            g_free(vcpu);
            return NULL;
        }
        interp_share_ram(cpu);
    }
    if (!bt) {
        vcpu->kick = &vcpu->own_kick;
        vcpu->intr = &vcpu->own_intr;
    } else {
        vcpu->kick = &vcpu->bt->kick;
        vcpu->intr = &vcpu->bt->irq_pending;
        bt_set_model(vcpu->bt);
        if (kind == ACCEL_DIRECT)
            bt_want_direct(bt, direct_always);
    }
    interp_set_point_hook(cpu, (struct point_hook){vcpu_met_point, vcpu});
    busypoll_init(&vcpu->halt_poll);
    pthread_mutex_init(&vcpu->wait_lock, NULL);
    pthread_cond_init(&vcpu->wake, NULL);
    pthread_cond_init(&vcpu->stood, NULL);
    return vcpu;
}

void vcpu_free(struct vcpu *vcpu)
{
    assert_always(!vcpu->started);
    if (vcpu->kvm)
        kvm_free(vcpu->kvm);
    interp_free(vcpu->cpu->interp);
    if (!vcpu->bt)
        free(vcpu->cpu); /* the translator's state lives as long as its windows and signal handlers */
    pthread_cond_destroy(&vcpu->wake);
    pthread_cond_destroy(&vcpu->stood);
    pthread_mutex_destroy(&vcpu->wait_lock);
    g_free(vcpu);
}

void vcpu_kick(struct vcpu *vcpu)
{
    __atomic_store_n(vcpu->kick, 1, __ATOMIC_SEQ_CST);
    /* Either the sleeper sees kick before it sleeps, or we see that it is asleep; and so for one that looks. */
    if (atomic_load(&vcpu->looks))
        return;
    if (atomic_load(&vcpu->asleep)) {
        pthread_mutex_lock(&vcpu->wait_lock);
        pthread_cond_signal(&vcpu->wake);
        pthread_mutex_unlock(&vcpu->wait_lock);
    } else if (vcpu->bt && vcpu->started && !pthread_equal(pthread_self(), vcpu->thread)) {
        pthread_kill(vcpu->thread, sighandler_kick_signal()); /* translated code polls nothing */
    } else if (vcpu->kvm && vcpu->started && !pthread_equal(pthread_self(), vcpu->thread)) {
        kvm_kick(vcpu->kvm, vcpu->thread);
    }
}

static void vcpu_sleep(struct vcpu *vcpu, enum stat_id why)
{
    stats_enter(why);
    pthread_mutex_lock(&vcpu->wait_lock);
    atomic_store(&vcpu->asleep, true);
    while (!__atomic_load_n(vcpu->kick, __ATOMIC_SEQ_CST))
        pthread_cond_wait(&vcpu->wake, &vcpu->wait_lock);
    atomic_store(&vcpu->asleep, false);
    pthread_mutex_unlock(&vcpu->wait_lock);
    stats_leave(STAT_dispatch);
}

/* --- HLT --- */

static void look_around(struct vcpu *vcpu, bool last)
{
    machine_lock();
    if (vcpu->hooks.look)
        vcpu->hooks.look(vcpu->hooks.opaque, last);
    vclock_look();
    machine_unlock();
}

/* Who wakes us from now on needs only to set kick. */
static void halt_look(struct vcpu *vcpu)
{
    atomic_store(&vcpu->looks, true);
    while (!__atomic_load_n(vcpu->kick, __ATOMIC_SEQ_CST) && busypoll_more(&vcpu->halt_poll))
        look_around(vcpu, false);
    atomic_store(&vcpu->looks, false);
    look_around(vcpu, true);
}

/* Until somebody wants something, or a timer is due. An idle guest waits for its timer: it is run here then. One that
 * waits for a disk or a network is woken earlier, and leaves the timers to the device thread. */
static void halt_sleep(struct vcpu *vcpu)
{
    machine_lock();
    int64_t until = vclock_first_due();
    bool takes_over = vcpu->waits_for_timers && until != INT64_MAX;
    if (takes_over)
        vclock_begin_wait();
    machine_unlock();
    const struct timespec end = {until / NS_PER_SECOND, until % NS_PER_SECOND};
    int rc = 0;
    pthread_mutex_lock(&vcpu->wait_lock);
    atomic_store(&vcpu->asleep, true);
    while (rc == 0 && !__atomic_load_n(vcpu->kick, __ATOMIC_SEQ_CST)) {
        if (takes_over)
            rc = pthread_cond_clockwait(&vcpu->wake, &vcpu->wait_lock, CLOCK_MONOTONIC, &end);
        else
            pthread_cond_wait(&vcpu->wake, &vcpu->wait_lock);
    }
    atomic_store(&vcpu->asleep, false);
    pthread_mutex_unlock(&vcpu->wait_lock);
    stats_leave(STAT_device_bus);
    vcpu->waits_for_timers = g_get_monotonic_time() >= until / 1000;
    if (takes_over) {
        machine_lock();
        vclock_run_due();
        machine_unlock();
    }
}

static void vcpu_halt(struct vcpu *vcpu)
{
    stats_enter(STAT_idle);
    vclock_halt();
    if (busypoll_begin(&vcpu->halt_poll))
        halt_look(vcpu);
    if (!__atomic_load_n(vcpu->kick, __ATOMIC_SEQ_CST)) {
        halt_sleep(vcpu);
        busypoll_slept(&vcpu->halt_poll);
        vclock_set_looked_at(vcpu->halt_poll.look_ns != 0);
    }
    stats_leave(STAT_dispatch);
}

void vcpu_request_reset(struct vcpu *vcpu)
{
    atomic_fetch_or(&vcpu->requests, REQUEST_RESET);
    vcpu_kick(vcpu);
}

void vcpu_request_bus(struct vcpu *vcpu)
{
    atomic_fetch_or(&vcpu->requests, REQUEST_BUS);
    vcpu_kick(vcpu);
}

void vcpu_request_nmi(struct vcpu *vcpu)
{
    atomic_store(&vcpu->nmi, true);
    vcpu_kick(vcpu);
}

int vcpu_thread_id(const struct vcpu *vcpu)
{
    return atomic_load(&vcpu->thread_id);
}

int64_t vcpu_busy_ns(const struct vcpu *vcpu)
{
    clockid_t clock;
    struct timespec time;
    if (!vcpu->started || pthread_getcpuclockid(vcpu->thread, &clock) || clock_gettime(clock, &time))
        return 0;
    return (int64_t)time.tv_sec * NS_PER_SECOND + time.tv_nsec;
}

void vcpu_pause(struct vcpu *vcpu)
{
    atomic_fetch_or(&vcpu->requests, REQUEST_PAUSE);
    vcpu_kick(vcpu);
}

void vcpu_wait(struct vcpu *vcpu)
{
    assert_always(!vcpu_is_current(vcpu));
    if (!vcpu->started)
        return;
    pthread_mutex_lock(&vcpu->wait_lock);
    while (!vcpu->stands || __atomic_load_n(vcpu->kick, __ATOMIC_SEQ_CST))
        pthread_cond_wait(&vcpu->stood, &vcpu->wait_lock);
    pthread_mutex_unlock(&vcpu->wait_lock);
}

void vcpu_call(struct vcpu *vcpu, void (*fn)(void *opaque), void *opaque)
{
    assert_always(!vcpu_is_current(vcpu));
    if (!vcpu->started) {
        fn(opaque);
        return;
    }
    pthread_mutex_lock(&vcpu->wait_lock);
    vcpu->call = fn;
    vcpu->call_opaque = opaque;
    pthread_mutex_unlock(&vcpu->wait_lock);
    atomic_fetch_or(&vcpu->requests, REQUEST_CALL);
    vcpu_kick(vcpu);
    pthread_mutex_lock(&vcpu->wait_lock);
    while (vcpu->call)
        pthread_cond_wait(&vcpu->stood, &vcpu->wait_lock);
    pthread_mutex_unlock(&vcpu->wait_lock);
}

/* That thread's part of it. */
static void vcpu_answer_call(struct vcpu *vcpu)
{
    atomic_fetch_and(&vcpu->requests, ~REQUEST_CALL);
    vcpu->call(vcpu->call_opaque);
    pthread_mutex_lock(&vcpu->wait_lock);
    vcpu->call = NULL;
    pthread_cond_broadcast(&vcpu->stood);
    pthread_mutex_unlock(&vcpu->wait_lock);
}

bool vcpu_is_current(const struct vcpu *vcpu)
{
    return vcpu->started && pthread_equal(pthread_self(), vcpu->thread);
}

void vcpu_resume(struct vcpu *vcpu)
{
    atomic_fetch_and(&vcpu->requests, ~REQUEST_PAUSE);
    vcpu_kick(vcpu);
}

void vcpu_set_intr(struct vcpu *vcpu, bool level)
{
    __atomic_store_n(vcpu->intr, level, __ATOMIC_SEQ_CST);
    if (level)
        vcpu_kick(vcpu);
}

void vcpu_set_a20(struct vcpu *vcpu, bool open)
{
    if (vcpu->cpu->a20_masked == !open)
        return;
    vcpu->cpu->a20_masked = !open;
    vcpu->cpu->changed |= CHANGED_A20;
    vcpu_kick(vcpu);
}

/* --- State --- */

struct vcpu_pins {
    uint8_t nmi;       /* one waits to be taken */
    uint8_t ferr_news; /* the board has not been told of FERR# yet */
};
static const struct state_field pin_fields[] = {STATE_FIELD(vcpu_pins, nmi), STATE_FIELD(vcpu_pins, ferr_news)};
static const struct state_layout pin_layout = STATE_LAYOUT(1, vcpu_pins, pin_fields);

/* u32 length of the pins, the pins, the processor. */
void vcpu_save(struct vcpu *vcpu, GByteArray *out)
{
    const struct vcpu_pins pins = {atomic_load(&vcpu->nmi), vcpu->cpu->ferr_news};
    GByteArray *bytes = g_byte_array_new();
    state_save(&pin_layout, &pins, bytes);
    uint32_t len = bytes->len;
    g_byte_array_append(out, (const uint8_t *)&len, sizeof(len));
    g_byte_array_append(out, bytes->data, bytes->len);
    g_byte_array_unref(bytes);
    cpu_save(vcpu->cpu, vclock_stopped_tsc(), out);
}

bool vcpu_load(struct vcpu *vcpu, const uint8_t *bytes, size_t len)
{
    struct vcpu_pins pins;
    uint32_t pin_len;
    if (len < sizeof(pin_len))
        return false;
    memcpy(&pin_len, bytes, sizeof(pin_len));
    bytes += sizeof(pin_len);
    len -= sizeof(pin_len);
    if (pin_len > len || !state_load(&pin_layout, &pins, bytes, pin_len) ||
        !cpu_load(vcpu->cpu, vclock_stopped_tsc(), bytes + pin_len, len - pin_len))
        return false;
    atomic_store(&vcpu->nmi, pins.nmi);
    vcpu->cpu->ferr_news = pins.ferr_news;
    return true;
}

void vcpu_print_stats(struct vcpu *vcpu, bool json, GString *out)
{
    struct stats copy;
    stats_read(&copy);
    if (vcpu->bt)
        bt_stats_gather(&copy);
    if (json) {
        stats_json(&copy, vcpu_accel_name(vcpu->kind), out);
        return;
    }
    stats_print(&copy, vcpu_accel_name(vcpu->kind), out);
    if (vcpu->bt)
        bt_stats_print(out);
}

void vcpu_print_jit(struct vcpu *vcpu, GString *out)
{
    struct stats copy;
    if (!vcpu->bt) {
        g_string_append_printf(out, "nothing is translated by -accel %s\n", vcpu_accel_name(vcpu->kind));
        return;
    }
    stats_read(&copy);
    bt_stats_gather(&copy);
    g_string_append_printf(out,
                           "Translation buffer state:\ngen code size       %llu/%llu\nTB count            %u\n\n"
                           "Statistics:\nTB flush count      %llu\nTB translated       %llu\n",
                           (unsigned long long)tcache_used(), (unsigned long long)tcache_size(), tcache_block_count(),
                           (unsigned long long)copy.n[STAT_tcache_flushes], (unsigned long long)copy.n[STAT_translate]);
}

uint64_t vcpu_instructions(const struct vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->instructions, __ATOMIC_RELAXED);
}

/* The pin may have fallen again since it was seen: only what stands at the INTA cycle counts. False: it has. */
static bool vcpu_take_interrupt(struct vcpu *vcpu)
{
    stats_enter(STAT_interrupt);
    machine_lock();
    bool level = *vcpu->intr;
    uint8_t vector = level ? vcpu->hooks.ack(vcpu->hooks.opaque) : 0;
    machine_unlock();
    if (level) {
        log_at(LOG_INT, "Servicing hardware INT=0x%02x\n", vector);
        cpu_interrupt(vcpu->cpu, vector);
    }
    stats_leave(STAT_dispatch);
    return level;
}

/* An NMI waits while another is handled and in an interrupt shadow. True: it waits, and the CPU is to go on
 * instruction by instruction until it may come (such handlers are short). */
static bool vcpu_take_nmi(struct vcpu *vcpu)
{
    struct cpu *cpu = vcpu->cpu;
    if (!atomic_load(&vcpu->nmi) || cpu->shutdown)
        return false;
    if (cpu->nmi_blocked || cpu->inhibit_irq || interp_db_pending(cpu))
        return true;
    atomic_store(&vcpu->nmi, false);
    cpu_interrupt(cpu, EXC_NMI);
    return false;
}

/* KVM delivers interrupts and NMIs by itself, and wakes a halted CPU with them. */
static int vcpu_vector_for_kvm(void *opaque)
{
    struct vcpu *vcpu = opaque;
    machine_lock();
    int vector = *vcpu->intr ? vcpu->hooks.ack(vcpu->hooks.opaque) : -1;
    machine_unlock();
    return vector;
}

static void vcpu_run_kvm(struct vcpu *vcpu)
{
    const struct kvm_irq irq = {vcpu_vector_for_kvm, vcpu};
    if (atomic_exchange(&vcpu->nmi, false))
        kvm_nmi(vcpu->kvm);
    kvm_run_guest(vcpu->kvm, vcpu->kick, vcpu->intr, &irq);
}

/* Paused. Requests still wake it, and are served. */
static void vcpu_stand(struct vcpu *vcpu)
{
    if (vcpu->cpu->fpu_fetch)
        vcpu->cpu->fpu_fetch(vcpu->cpu);
    pthread_mutex_lock(&vcpu->wait_lock);
    vcpu->stands = true;
    pthread_cond_broadcast(&vcpu->stood);
    pthread_mutex_unlock(&vcpu->wait_lock);
    vcpu_sleep(vcpu, STAT_stopped);
    pthread_mutex_lock(&vcpu->wait_lock);
    vcpu->stands = false;
    pthread_mutex_unlock(&vcpu->wait_lock);
}

/* False: the thread is to end. */
static bool vcpu_serve_requests(struct vcpu *vcpu)
{
    int requests = atomic_load(&vcpu->requests);
    if (requests & REQUEST_STOP)
        return false;
    if (vcpu->kvm)
        kvm_fetch(vcpu->kvm); /* they look at the processor */
    if (requests & (REQUEST_RESET | REQUEST_BUS))
        stats_enter(STAT_device_bus);
    if (requests & REQUEST_RESET) {
        atomic_fetch_and(&vcpu->requests, ~REQUEST_RESET);
        machine_lock();
        vcpu->hooks.reset(vcpu->hooks.opaque);
        machine_unlock();
        interp_flush_tlb(vcpu->cpu);
        if (vcpu->bt)
            bt_forget();
    }
    if (requests & REQUEST_BUS) {
        atomic_fetch_and(&vcpu->requests, ~REQUEST_BUS);
        machine_lock();
        if (vcpu->hooks.bus)
            vcpu->hooks.bus(vcpu->hooks.opaque);
        machine_unlock();
    }
    stats_leave(STAT_dispatch);
    if (requests & REQUEST_CALL)
        vcpu_answer_call(vcpu);
    if (requests & REQUEST_PAUSE)
        vcpu_stand(vcpu);
    return true;
}

static void vcpu_tell_ferr(struct vcpu *vcpu)
{
    if (!vcpu->cpu->ferr_news)
        return;
    vcpu->cpu->ferr_news = false;
    machine_lock();
    vcpu->hooks.set_ferr(vcpu->hooks.opaque, false); /* it may have been so for a moment */
    vcpu->hooks.set_ferr(vcpu->hooks.opaque, vcpu->cpu->ferr);
    machine_unlock();
}

/* --- Debugger --- */

bool vcpu_debug_works(const struct vcpu *vcpu, GError **error)
{
    if (vcpu->kvm)
        g_set_error(error, g_quark_from_static_string("ringer"), 0,
                    "the guest runs on the host's KVM, where it cannot be debugged: use -accel bt");
    return !vcpu->kvm;
}

static void vcpu_take_points(void *opaque)
{
    struct vcpu *vcpu = opaque;
    engine_take_points(vcpu->cpu, vcpu->bt);
}

void vcpu_points_changed(struct vcpu *vcpu)
{
    vcpu_call(vcpu, vcpu_take_points, vcpu);
}

void vcpu_debug_go(struct vcpu *vcpu, enum debug_go go)
{
    vcpu->debug_go = go;
    vcpu->debug_going = true;
}

static void vcpu_step_done(struct vcpu *vcpu)
{
    vcpu_tell_ferr(vcpu);
    if (!interp_point_hit(vcpu->cpu))
        vcpu_met_point(vcpu, &(struct debug_stop){.why = DEBUG_STEP});
}

static void vcpu_step(struct vcpu *vcpu, uint64_t standing_tsc)
{
    stats_count(STAT_interp_insns);
    interp_step_one(vcpu->cpu, standing_tsc);
    __atomic_store_n(&vcpu->instructions, vcpu->instructions + 1, __ATOMIC_RELAXED);
}

static void vcpu_step_called(void *opaque)
{
    struct vcpu *vcpu = opaque;
    engine_take_points(vcpu->cpu, vcpu->bt);
    interp_points_begin(vcpu->cpu);
    vcpu_step(vcpu, vclock_stopped_tsc());
    vcpu_step_done(vcpu);
}

void vcpu_debug_step_now(struct vcpu *vcpu)
{
    vcpu_call(vcpu, vcpu_step_called, vcpu);
}

/* An interrupt or NMI that may be taken is. True: one was. */
static bool vcpu_take_event(struct vcpu *vcpu)
{
    struct cpu *cpu = vcpu->cpu;
    bool nmi = atomic_load(&vcpu->nmi);
    vcpu_take_nmi(vcpu);
    if (nmi && !atomic_load(&vcpu->nmi))
        return true;
    return *vcpu->intr && (cpu->eflags & FL_IF) && !cpu->inhibit_irq && !interp_db_pending(cpu) &&
           vcpu_take_interrupt(vcpu);
}

/* What comes first after a stop. A step ends at the first instruction of an interrupt's handler, as it does at that of
 * an exception's. Where the processor is halted only an interrupt can end it, whatever was asked for. */
static void vcpu_debug_begin(struct vcpu *vcpu)
{
    struct cpu *cpu = vcpu->cpu;
    engine_take_points(cpu, vcpu->bt);
    interp_points_begin(cpu);
    if (vcpu->debug_go == DEBUG_GO_RUN) {
        vcpu->debug_going = false;
        if (!cpu->halted && points_break_at(cpu->seg[SEG_CS].base + cpu->eip))
            vcpu_step(vcpu, 0);
        vcpu_tell_ferr(vcpu);
        return;
    }
    bool taken = (cpu->halted || vcpu->debug_go == DEBUG_GO_STEP) && vcpu_take_event(vcpu);
    if (!taken && cpu->halted) {
        vcpu_halt(vcpu);
        return;
    }
    vcpu->debug_going = false;
    if (!taken)
        vcpu_step(vcpu, 0);
    vcpu_step_done(vcpu);
}

static void *vcpu_thread(void *opaque)
{
    struct vcpu *vcpu = opaque;
    struct cpu *cpu = vcpu->cpu;

    atomic_store(&vcpu->thread_id, (int)gettid());
    if (vcpu->bt)
        bt_attach_thread(vcpu->bt);
    if (vcpu->kvm)
        kvm_attach_thread(vcpu->kvm);
    stats_enter(STAT_dispatch);
    for (;;) {
        /* Before looking at anything it announces: what comes later kicks again. */
        __atomic_store_n(vcpu->kick, 0, __ATOMIC_SEQ_CST);
        if (atomic_load(&vcpu->requests)) {
            if (!vcpu_serve_requests(vcpu))
                break;
            continue;
        }
        if (unlikely(vcpu->debug_going) && !cpu->shutdown) {
            vcpu_debug_begin(vcpu);
            continue;
        }
        bool waiting = false, deliverable = false;
        if (vcpu->kvm) {
            vcpu_run_kvm(vcpu);
        } else {
            waiting = vcpu_take_nmi(vcpu);
            deliverable = *vcpu->intr && (cpu->eflags & FL_IF);
            if (deliverable && !cpu->inhibit_irq && !interp_db_pending(cpu))
                vcpu_take_interrupt(vcpu);
        }
        if (cpu->shutdown) {
            machine_lock();
            vcpu->hooks.triple_fault(vcpu->hooks.opaque);
            machine_unlock();
            if (!atomic_load(&vcpu->requests))
                vcpu_sleep(vcpu, STAT_stopped);
            continue;
        }
        if (cpu->halted) {
            vcpu_halt(vcpu);
            continue;
        }
        if (vcpu->kvm)
            continue;
        uint64_t done = 0;
        if (waiting) {
            stats_enter(STAT_interp_inhibit);
            interp_step(cpu);
            done = 1;
        } else if (vcpu->bt) {
            bt_run(vcpu->bt, vcpu->kind == ACCEL_LOCKSTEP);
        } else if (deliverable && (cpu->inhibit_irq || interp_db_pending(cpu))) {
            stats_enter(STAT_interp_inhibit);
            interp_step(cpu); /* the one instruction of the interrupt shadow */
            done = 1;
        } else {
            stats_enter(STAT_interp);
            interp_run(cpu, BUDGET, vcpu->kick, vcpu->intr, &done);
        }
        stats_leave(STAT_dispatch);
        stats_add(STAT_interp_insns, done);
        __atomic_store_n(&vcpu->instructions, vcpu->instructions + done, __ATOMIC_RELAXED);
        vcpu_tell_ferr(vcpu);
    }
    stats_leave(STAT_stopped);
    return NULL;
}

bool vcpu_start(struct vcpu *vcpu, bool paused)
{
    assert_always(!vcpu->started);
    if (paused)
        atomic_fetch_or(&vcpu->requests, REQUEST_PAUSE);
    int rc = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);
    if (rc != 0)
        return false;
    pthread_setname_np(vcpu->thread, "vcpu");
    vcpu->started = true;
    return true;
}

bool vcpu_stop(struct vcpu *vcpu)
{
    struct timespec give_up;

    if (!vcpu->started)
        return true;
    atomic_fetch_or(&vcpu->requests, REQUEST_STOP);
    vcpu_kick(vcpu);
    clock_gettime(CLOCK_REALTIME, &give_up);
    give_up.tv_sec += STOP_SECONDS;
    vcpu->started = false; /* who kicks from now on comes too late for it */
    return pthread_timedjoin_np(vcpu->thread, NULL, &give_up) == 0;
}
