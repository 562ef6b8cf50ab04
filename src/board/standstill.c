/* Pause: the machine stands still as long as there is a reason for it.
 *
 * When machine_pause() returns, the processor stands and all of its state is in struct cpu, no timer fires, no device
 * callback runs, and no disk request is under way. Everything that looks at the whole machine comes through here.
 */
#include "machine_internal.h"

#include <string.h>

#include "host/block/blockdev.h"
#include "host/char/chardev.h"
#include "host/control/events.h"
#include "host/fs/fs.h"
#include "host/net/net.h"
#include "vclock.h"

static const char *const reason_names[PAUSE_COUNT] = {
    [PAUSE_USER] = NULL,           [PAUSE_RESET] = "prelaunch",
    [PAUSE_SHUTDOWN] = "shutdown", [PAUSE_INTERNAL] = "internal-error",
    [PAUSE_SNAPSHOT] = "save-vm",  [PAUSE_DEBUG] = "debug"};

/* With the machine lock held. */
static bool has_reason(const struct machine *machine)
{
    for (unsigned i = 0; i < PAUSE_COUNT; i++) {
        if (machine->pauses[i])
            return true;
    }
    return false;
}

/* Looking at it is none. */
static bool has_reason_to_tell(const struct machine *machine)
{
    for (unsigned i = 0; i < PAUSE_COUNT; i++) {
        if (machine->pauses[i] && i != PAUSE_SNAPSHOT)
            return true;
    }
    return false;
}

static void stand_still(struct machine *machine)
{
    vcpu_pause(machine->vcpu);
    chardev_set_waiting(false);
    vcpu_wait(machine->vcpu);
    machine_lock();
    vclock_stop();
    machine_unlock();
    machine_drain(machine);
    machine->stands = true;
}

void machine_drain(struct machine *machine)
{
    /* What a disk has done may make the processor move data, and that may ask the disk for more. */
    do {
        vcpu_wait(machine->vcpu);
    } while (blockdev_drain());
    fs_settle_all();
    vcpu_wait(machine->vcpu);
}

static void go_on(struct machine *machine)
{
    machine_lock();
    machine->stands = false;
    machine->has_run = true;
    vcpu_cpu(machine->vcpu)->tsc_offset -= vclock_start();
    chardev_resume();
    net_resume();
    machine_unlock();
    chardev_set_waiting(true);
    debugger_goes_on(machine);
    vcpu_resume(machine->vcpu);
}

void machine_settle(struct machine *machine)
{
    machine_lock();
    bool stand = has_reason(machine), stopped = has_reason_to_tell(machine);
    machine_unlock();
    if (stand && !machine->stands)
        stand_still(machine);
    else if (!stand && machine->stands && machine->started)
        go_on(machine);
    if (machine->started && stopped != machine->told_stopped) {
        machine->told_stopped = stopped;
        event_emit(stopped ? "STOP" : "RESUME", NULL);
    }
    debugger_settled(machine);
}

static gboolean settle_idle(gpointer opaque)
{
    machine_settle(opaque);
    return G_SOURCE_REMOVE;
}

void machine_pause(struct machine *machine, enum pause_reason reason)
{
    machine_lock();
    machine->pauses[reason]++;
    machine_unlock();
    machine_settle(machine);
}

void machine_resume(struct machine *machine, enum pause_reason reason)
{
    machine_lock();
    if (machine->pauses[reason])
        machine->pauses[reason]--;
    machine_unlock();
    machine_settle(machine);
}

void machine_pause_soon(struct machine *machine, enum pause_reason reason)
{
    machine->pauses[reason]++;
    vcpu_pause(machine->vcpu);
    g_idle_add_full(G_PRIORITY_HIGH, settle_idle, machine, NULL);
}

void machine_stop(struct machine *machine)
{
    machine_lock();
    machine->pauses[PAUSE_USER] = 1;
    machine_unlock();
    machine_settle(machine);
}

bool machine_cont(struct machine *machine, GError **error)
{
    machine_lock();
    bool is_off = machine->pauses[PAUSE_SHUTDOWN] || machine->pauses[PAUSE_INTERNAL];
    if (!is_off)
        machine->pauses[PAUSE_USER] = machine->pauses[PAUSE_RESET] = machine->pauses[PAUSE_DEBUG] = 0;
    machine_unlock();
    if (is_off) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                    "Resetting the Virtual Machine is required: system_reset comes first");
        return false;
    }
    machine_settle(machine);
    return true;
}

void machine_reset(struct machine *machine)
{
    machine_lock();
    if (machine->options.no_reboot) {
        machine_power_off(machine, false, "host-qmp-system-reset");
        machine_unlock();
        return;
    }
    if (machine->pauses[PAUSE_SHUTDOWN] || machine->pauses[PAUSE_INTERNAL]) {
        machine->pauses[PAUSE_SHUTDOWN] = machine->pauses[PAUSE_INTERNAL] = 0;
        machine->pauses[PAUSE_RESET] = 1; /* it goes on when it is told to */
    }
    if (has_reason(machine))
        machine->has_run = false; /* as QEMU: "prelaunch" again */
    machine_unlock();
    event_emit("RESET", json_pack("{s:b s:s}", "guest", 0, "reason", "host-qmp-system-reset"));
    vcpu_request_reset(machine->vcpu);
}

const char *machine_status(struct machine *machine)
{
    const char *status = "running";
    machine_lock();
    if (has_reason(machine))
        status = machine->has_run ? "paused" : "prelaunch";
    for (unsigned i = 0; i < PAUSE_COUNT; i++) {
        if (machine->pauses[i] && reason_names[i])
            status = reason_names[i];
    }
    machine_unlock();
    return status;
}
