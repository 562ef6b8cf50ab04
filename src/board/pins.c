/* The processor's pins and the board's buttons: what is on the other end of the wires that devices drive, and what the
 * run loop asks the board for. */
#include "machine_internal.h"

#include "cpu/cpuid.h"
#include "devices/acpi_pm.h"
#include "display.h"
#include "flight.h"
#include "host/block/blockdev.h"
#include "host/control/events.h"
#include "host/net/net.h"
#include "log.h"
#include "vclock.h"

/* --- Wires --- */

static void pin_intr(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    if (machine->vcpu)
        vcpu_set_intr(machine->vcpu, level);
}

static void pin_nmi(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    if (machine->vcpu && level)
        vcpu_request_nmi(machine->vcpu);
}

static void pin_a20(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    if (machine->vcpu)
        vcpu_set_a20(machine->vcpu, level);
}

/* From a port write of this processor. */
static void pin_ignne(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    struct cpu *cpu = vcpu_cpu(machine->vcpu);
    cpu->ignne = cpu->ferr;
}

void machine_power_off(struct machine *machine, bool guest, const char *reason)
{
    event_emit("SHUTDOWN", json_pack("{s:b s:s}", "guest", guest, "reason", reason));
    machine_pause_soon(machine, PAUSE_SHUTDOWN);
    if (!machine->options.no_shutdown)
        machine_quit(machine, 0);
}

/* The guest asks for a reset: from a port write, so on the vCPU thread with the machine lock held. */
static void pin_reset(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    if (machine->options.no_reboot) {
        machine_power_off(machine, true, "guest-reset");
    } else {
        event_emit("RESET", json_pack("{s:b s:s}", "guest", 1, "reason", "guest-reset"));
        vcpu_request_reset(machine->vcpu);
    }
}

static void pin_soft_off(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    machine_power_off(machine, true, "guest-shutdown");
}

bool machine_press_power_button(struct machine *machine)
{
    machine_lock();
    struct acpi_pm *pm = board_service(registry_board(machine->registry), "acpi_pm");
    if (pm)
        acpi_pm_press_power_button(pm);
    machine_unlock();
    return pm;
}

static void pin_bus_request(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    vcpu_request_bus(machine->vcpu);
}

static void exit_by_guest(void *opaque, int status)
{
    struct machine *machine = opaque;
    machine_pause_soon(machine, PAUSE_SHUTDOWN);
    machine_quit(machine, status);
}

static int64_t cpu_busy(void *opaque)
{
    const struct machine *machine = opaque;
    return machine->vcpu ? vcpu_busy_ns(machine->vcpu) : 0;
}

void pins_provide(struct machine *machine)
{
    static const struct {
        const char *name;
        void (*set)(void *opaque, int line, bool level);
    } pins[] = {{"intr", pin_intr},
                {"nmi", pin_nmi},
                {"ignne", pin_ignne},
                {"a20", pin_a20},
                {"reset", pin_reset},
                {"soft-off", pin_soft_off},
                {"bus-request", pin_bus_request}};
    struct board *board = registry_board(machine->registry);
    for (unsigned i = 0; i < G_N_ELEMENTS(pins); i++)
        board_provide_wire(board, pins[i].name, (struct irq){pins[i].set, machine, 0});
    machine->exit = (struct board_exit){exit_by_guest, machine};
    board_provide(board, "exit", &machine->exit);
    machine->cpu_time = (struct board_cpu_time){cpu_busy, machine};
    board_provide(board, "cpu-time", &machine->cpu_time);
}

/* --- What the processor asks for --- */

static uint8_t hook_ack(void *opaque)
{
    struct machine *machine = opaque;
    return machine->int_ack->ack(machine->int_ack->opaque);
}

/* -d cpu_reset */
static void log_processor(struct machine *machine, const char *why, bool is_end)
{
    if (!log_on(LOG_RESET))
        return;
    GString *out = g_string_new(NULL);
    cpu_print(vcpu_cpu(machine->vcpu), out);
    if (is_end) {
        cpu_print_code(vcpu_cpu(machine->vcpu), out);
        flight_print(out);
    }
    log_printf("%s\n%s", why, out->str);
    g_string_free(out, TRUE);
}

/* Full reset, as the RESET# pin does it: every chip, then the CPU, then what stands in for the BIOS. */
static void hook_reset(void *opaque)
{
    struct machine *machine = opaque;
    log_processor(machine, "CPU Reset (CPU 0)", false);
    if (machine->was_reset) {
        storage_end_boot_once(&machine->storage);
        blockdev_refresh_all();
    }
    machine->was_reset = true;
    registry_reset(machine->registry);
    flight_note(FLIGHT_RESET, vcpu_cpu(machine->vcpu), 0, 0, 0);
    cpu_reset(vcpu_cpu(machine->vcpu));
    pin_a20(machine, 0, true);
    kernel_reset(machine);
}

static void hook_triple_fault(void *opaque)
{
    struct machine *machine = opaque;
    const struct cpu *cpu = vcpu_cpu(machine->vcpu);
    log_guest("triple fault at %04x:%08x\n", cpu->seg[SEG_CS].sel, cpu->eip);
    log_processor(machine, "Triple fault", true);
    pin_reset(machine, 0, true); /* the chipset turns the shutdown cycle into INIT or RESET# */
}

static void hook_ferr(void *opaque, bool level)
{
    struct machine *machine = opaque;
    irq_set(&machine->ferr, level);
}

static void hook_bus(void *opaque)
{
    struct machine *machine = opaque;
    registry_bus_granted(machine->registry);
    kernel_granted(machine);
}

static void hook_look(void *opaque, bool last)
{
    net_look(last);
}

struct vcpu_hooks pins_hooks(struct machine *machine)
{
    return (struct vcpu_hooks){hook_ack, hook_reset, hook_triple_fault, hook_ferr,
                               machine,  hook_bus,   debugger_hook,     hook_look};
}

/* --- MSRs of the local APIC --- */

static void msr_apicbase(void *opaque, uint64_t value)
{
    struct machine *machine = opaque;
    machine_lock();
    machine->apic->set_enabled(machine->apic->opaque, value & APICBASE_ENABLE);
    machine_unlock();
}

static uint64_t msr_deadline_read(void *opaque)
{
    struct machine *machine = opaque;
    machine_lock();
    uint64_t value = machine->apic->deadline(machine->apic->opaque);
    machine_unlock();
    return value;
}

static void msr_deadline_write(void *opaque, uint64_t value, uint64_t host_tsc)
{
    struct machine *machine = opaque;
    machine_lock();
    machine->apic->set_deadline(machine->apic->opaque, value, vclock_of_tsc(host_tsc));
    machine_unlock();
}

void pins_connect(struct machine *machine)
{
    struct board *board = registry_board(machine->registry);
    machine->int_ack = board_service(board, "int-ack");
    machine->apic = board_service(board, "cpu-apic");
    machine->ferr = board_wire(board, "ferr");
    if (machine->apic) {
        cpu_set_apicbase_hook(msr_apicbase, machine);
        cpu_set_tsc_deadline_hooks((struct tsc_deadline_hooks){msr_deadline_read, msr_deadline_write, machine});
    }
}

void pins_disconnect(struct machine *machine)
{
    if (machine->apic) {
        cpu_set_apicbase_hook(NULL, NULL);
        cpu_set_tsc_deadline_hooks((struct tsc_deadline_hooks){0});
    }
}
