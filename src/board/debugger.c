/* A debugger's machine: attaching, running, stepping, and how it hears of stops. What it reads and writes:
 * engine/debug_memory.c, engine/debug_registers.c.
 *
 * For a debugger the machine stands while any reason but a snapshot says so. It goes on by lifting its own reason and
 * the user's, as the user's cont lifts the debugger's.
 */
#include "machine_internal.h"

#include "engine/debug_memory.h"
#include "engine/debug_registers.h"
#include "lock.h"
#include "points.h"

/* With the machine lock held. */
static bool is_held(const struct machine *machine)
{
    for (unsigned i = 0; i < PAUSE_COUNT; i++) {
        if (machine->pauses[i] && i != PAUSE_SNAPSHOT)
            return true;
    }
    return false;
}

/* With the machine lock held. */
static bool is_off(const struct machine *machine)
{
    return machine->pauses[PAUSE_SHUTDOWN] || machine->pauses[PAUSE_INTERNAL];
}

static gboolean settle_idle(gpointer opaque)
{
    machine_settle(opaque);
    return G_SOURCE_REMOVE;
}

/* Called on the processor's thread with the machine lock held. */
void debugger_hook(void *opaque, const struct debug_stop *stop)
{
    struct machine *machine = opaque;
    struct debugger *d = &machine->debugger;
    if (d->met)
        return;
    d->met = true;
    d->stop = *stop;
    machine->pauses[PAUSE_DEBUG] = 1;
    vcpu_pause(machine->vcpu);
    g_idle_add_full(G_PRIORITY_HIGH, settle_idle, machine, NULL);
}

/* Which kind of breakpoint there is at the address is not the engine's business. */
static enum debug_point break_kind(gla_t address)
{
    return points_wanted(DEBUG_BREAK_SOFTWARE, address) ? DEBUG_BREAK_SOFTWARE : DEBUG_BREAK_HARDWARE;
}

/* What the client is to be told of the machine that has just come to stand. */
static struct debug_stop take_stop(struct machine *machine)
{
    struct debugger *d = &machine->debugger;
    struct debug_stop stop = {.why = DEBUG_ASKED};
    machine_lock();
    if (d->met)
        stop = d->stop;
    else if (is_off(machine))
        stop.why = DEBUG_OFF;
    d->met = false;
    machine_unlock();
    if (stop.why == DEBUG_BREAK)
        stop.point = break_kind(stop.address);
    return stop;
}

void debugger_settled(struct machine *machine)
{
    struct debugger *d = &machine->debugger;
    if (!d->attached)
        return;
    machine_lock();
    bool held = is_held(machine);
    machine_unlock();
    if (held && machine->stands && d->runs) {
        struct debug_stop stop = take_stop(machine);
        d->runs = d->steps = false;
        d->client.stopped(d->client.opaque, &stop);
    } else if (!held && !machine->stands && !d->runs) {
        d->runs = true;
        if (d->client.running)
            d->client.running(d->client.opaque);
    }
}

void debugger_goes_on(struct machine *machine)
{
    struct debugger *d = &machine->debugger;
    machine_lock();
    bool met = d->met; /* before a snapshot came: to be told now */
    machine_unlock();
    if (!d->attached || met)
        return;
    if (d->steps)
        vcpu_debug_go(machine->vcpu, d->step_flags & DEBUG_STEP_NOIRQ ? DEBUG_GO_STEP_NOIRQ : DEBUG_GO_STEP);
    else if (!d->runs || d->goes)
        vcpu_debug_go(machine->vcpu, DEBUG_GO_RUN);
    d->goes = false;
}

/* --- struct debug_target --- */

static bool target_attach(void *opaque, const struct debug_client *client, GError **error)
{
    struct machine *machine = opaque;
    struct debugger *d = &machine->debugger;
    if (d->attached) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "there is a debugger already");
        return false;
    }
    if (!vcpu_debug_works(machine->vcpu, error))
        return false;
    d->client = *client;
    d->runs = d->steps = d->met = false;
    d->attached = true;
    machine_lock();
    machine->pauses[PAUSE_DEBUG] = 1;
    machine_unlock();
    machine_settle(machine);
    return true;
}

static void target_detach(void *opaque)
{
    struct machine *machine = opaque;
    struct debugger *d = &machine->debugger;
    if (!d->attached)
        return;
    points_remove_all();
    vcpu_points_changed(machine->vcpu);
    d->attached = false;
    machine_lock();
    d->met = false;
    machine->pauses[PAUSE_DEBUG] = 0;
    machine_unlock();
    machine_settle(machine);
}

static void target_stop(void *opaque)
{
    struct machine *machine = opaque;
    machine_lock();
    machine->pauses[PAUSE_DEBUG] = 1;
    machine_unlock();
    machine_settle(machine);
}

static bool target_is_running(void *opaque)
{
    const struct machine *machine = opaque;
    return machine->debugger.runs;
}

/* Lifts what the user may lift. False: that is not enough. */
static bool let_go(struct machine *machine)
{
    machine_lock();
    bool off = is_off(machine);
    if (!off)
        machine->pauses[PAUSE_USER] = machine->pauses[PAUSE_RESET] = machine->pauses[PAUSE_DEBUG] = 0;
    machine_unlock();
    return !off;
}

static void go(struct machine *machine)
{
    machine->debugger.runs = machine->debugger.goes = true;
    if (let_go(machine))
        machine_settle(machine);
    else /* not within this call */
        g_idle_add_full(G_PRIORITY_HIGH, settle_idle, machine, NULL);
}

static void target_run(void *opaque)
{
    struct machine *machine = opaque;
    if (!machine->debugger.runs)
        go(machine);
}

static void target_step(void *opaque, unsigned flags)
{
    struct machine *machine = opaque;
    struct debugger *d = &machine->debugger;
    const struct cpu *cpu = vcpu_cpu(machine->vcpu);
    if (d->runs)
        return;
    machine_lock();
    bool off = is_off(machine);
    machine_unlock();
    if ((flags & DEBUG_STEP_NOIRQ) && (flags & DEBUG_STEP_NOTIMER) && !off && machine->stands && !cpu->halted &&
        !cpu->shutdown) {
        d->runs = true;
        vcpu_debug_step_now(machine->vcpu);
        machine_drain(machine);
        return;
    }
    d->steps = true;
    d->step_flags = flags;
    go(machine);
}

static const struct cpu *target_cpu(void *opaque)
{
    const struct machine *machine = opaque;
    return vcpu_cpu(machine->vcpu);
}

static bool target_write_register(void *opaque, enum debug_register reg, unsigned number, const uint8_t *value,
                                  size_t len)
{
    struct machine *machine = opaque;
    return machine->stands && debug_write_register(machine->vcpu, reg, number, value, len);
}

static bool target_read_memory(void *opaque, bool physical, uint64_t address, uint8_t *bytes, size_t len)
{
    struct machine *machine = opaque;
    return debug_read_memory(machine->vcpu, physical, address, bytes, len);
}

static bool target_write_memory(void *opaque, bool physical, uint64_t address, const uint8_t *bytes, size_t len)
{
    struct machine *machine = opaque;
    return debug_write_memory(machine->vcpu, physical, address, bytes, len);
}

/* Where it stands, engines hear of it when it goes on: a debugger removes and adds its points at each stop. */
static void points_have_changed(struct machine *machine)
{
    if (machine->debugger.runs)
        vcpu_points_changed(machine->vcpu);
}

static bool target_point_add(void *opaque, enum debug_point kind, gla_t address, uint32_t len)
{
    if (!points_add(kind, address, len))
        return false;
    points_have_changed(opaque);
    return true;
}

static bool target_point_remove(void *opaque, enum debug_point kind, gla_t address, uint32_t len)
{
    if (!points_remove(kind, address, len))
        return false;
    points_have_changed(opaque);
    return true;
}

const struct debug_target *machine_debug_target(struct machine *machine)
{
    machine->debugger.target = (struct debug_target){
        .opaque = machine,
        .attach = target_attach,
        .detach = target_detach,
        .stop = target_stop,
        .is_running = target_is_running,
        .run = target_run,
        .step = target_step,
        .cpu = target_cpu,
        .write_register = target_write_register,
        .read_memory = target_read_memory,
        .write_memory = target_write_memory,
        .point_add = target_point_add,
        .point_remove = target_point_remove,
    };
    return &machine->debugger.target;
}

void debugger_free(struct machine *machine)
{
    machine->debugger.attached = false;
    points_remove_all();
}
