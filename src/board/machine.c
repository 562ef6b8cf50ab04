/* The PC put together: who drives which wire, what a reset is, how it ends. */
#include "machine.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "devices/acpi_pm.h"
#include "devices/debugexit.h"
#include "devices/fw_cfg.h"
#include "devices/hpet.h"
#include "devices/ioapic.h"
#include "devices/kbd8042.h"
#include "devices/lapic.h"
#include "devices/lpt.h"
#include "devices/pci.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/port92.h"
#include "devices/rtc.h"
#include "devices/testdev.h"
#include "devices/uart.h"
#include "devices/vga.h"
#include "cpu/cpuid.h"
#include "firmware/rom.h"
#include "firmware/firmware.h"
#include "host/char/chardev.h"
#include "host/display/display_curses.h"
#include "host/fence.h"
#include "host/display/keys.h"
#include "host/control/monitor.h"
#include "ioport.h"
#include "firmware/loader.h"
#include "log.h"
#include "mem.h"
#include "stats.h"
#include "storage.h"
#include "vclock.h"
#include "engine/vcpu.h"

/* bios/vga, by bin2c.py */
extern const uint8_t vgabios_rom[];
extern const uint32_t vgabios_rom_size;

struct part {
    const struct device_ops *ops;
    void *dev;
};

#define PART_MAX 24

struct machine {
    struct options options;
    struct cpu_model *model;
    struct vcpu *vcpu;
    struct boot_image *boot;
    struct bios bios;
    bool kernel_by_bios; /* our BIOS runs first and asks for the kernel */
    uint32_t boot_now;   /* it did: guest address of the memory map it hands over, else 0 */
    GMainLoop *loop;
    _Atomic int exit_status; /* -1 while running */

    struct pic *pic;
    struct lapic *lapic; /* NULL where the CPU model has none; then neither is the I/O APIC */
    struct ioapic *ioapic;
    struct hpet *hpet;
    bool hpet_legacy; /* it stands in for the PIT's and the RTC's interrupts */
    struct testdev *testdev;
    struct pit *pit;
    struct rtc *rtc;
    struct kbd8042 *kbd;
    struct port92 *port92;
    struct pci_bus *pci;
    struct acpi_pm *acpi_pm;
    struct fw_cfg *fw_cfg;
    struct storage storage;
    bool was_reset; /* since power-on */
    struct uart *uart[OPTIONS_SERIAL_MAX];
    struct lpt *lpt;
    struct vga *vga; /* NULL: -vga none */
    struct monitor *monitor;
    FILE *stats_file; /* -stats file: opened while files may be opened */
    bool running;     /* not stopped by -S or the monitor; main thread */
    struct debugexit *debugexit;
    struct debugcon *debugcon;
    struct part part[PART_MAX]; /* in the order of their reset */
    unsigned part_count;
};

static gboolean quit_idle(gpointer opaque)
{
    struct machine *machine = opaque;
    g_main_loop_quit(machine->loop);
    return G_SOURCE_REMOVE;
}

void machine_quit(struct machine *machine, int status)
{
    int running = -1;
    /* By way of the main loop: a quit that comes before it runs must not be lost. */
    if (atomic_compare_exchange_strong(&machine->exit_status, &running, status))
        g_idle_add_full(G_PRIORITY_HIGH, quit_idle, machine, NULL);
}

/* --- Wires --- */

/* Each interrupt line goes to both kinds of controller; the timer's is pin 2 of the I/O APIC. */
static void wire_line(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    pic_set_line(machine->pic, line, level);
    if (!machine->ioapic)
        return;
    int pin = line & 15;
    ioapic_set_line(machine->ioapic, (pin ? pin : 2) + (line >= PIC_LINE_PCI ? IOAPIC_LINE_PCI : 0), level);
}

static struct irq pic_line(struct machine *machine, int line)
{
    return (struct irq){wire_line, machine, line};
}

/* The PIT's (line 0) and the RTC's (line 8) own interrupts. */
static void wire_legacy_timer(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    if (!machine->hpet_legacy)
        wire_line(machine, line, level);
}

static void wire_hpet_replaces(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    machine->hpet_legacy = level;
    wire_line(machine, 0, false);
    wire_line(machine, 8, false);
}

static void wire_nmi(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    if (machine->vcpu && level)
        vcpu_request_nmi(machine->vcpu);
}

static uint8_t wire_pic_ack(void *opaque)
{
    struct machine *machine = opaque;
    return pic_ack(machine->pic);
}

static void wire_apic_eoi(void *opaque, uint8_t vector)
{
    struct machine *machine = opaque;
    ioapic_eoi(machine->ioapic, vector);
}

static void wire_apicbase(void *opaque, uint64_t value)
{
    struct machine *machine = opaque;
    machine_lock();
    lapic_set_enabled(machine->lapic, value & APICBASE_ENABLE);
    machine_unlock();
}

static uint64_t wire_deadline_read(void *opaque)
{
    struct machine *machine = opaque;
    machine_lock();
    uint64_t value = lapic_deadline(machine->lapic);
    machine_unlock();
    return value;
}

static void wire_deadline_write(void *opaque, uint64_t value, uint64_t host_tsc)
{
    struct machine *machine = opaque;
    machine_lock();
    lapic_set_deadline(machine->lapic, value, vclock_of_tsc(host_tsc));
    machine_unlock();
}

static void wire_intr(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    if (machine->vcpu)
        vcpu_set_intr(machine->vcpu, level);
}

static void wire_a20(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    if (machine->vcpu)
        vcpu_set_a20(machine->vcpu, level);
}

/* The guest asks for a reset: from a port write, so on the vCPU thread with the machine lock held. */
static void wire_reset(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    if (machine->options.no_reboot) {
        vcpu_pause(machine->vcpu);
        machine_quit(machine, 0);
    } else {
        vcpu_request_reset(machine->vcpu);
    }
}

static void wire_soft_off(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    vcpu_pause(machine->vcpu);
    if (!machine->options.no_shutdown)
        machine_quit(machine, 0);
}

static void wire_bus_request(void *opaque, int line, bool level)
{
    struct machine *machine = opaque;
    vcpu_request_bus(machine->vcpu);
}

static void wire_pam(void *opaque, gpa_t base, uint32_t size, bool readable, bool writable)
{
    mem_set_pam(base, size, readable, writable);
}

static bool irq0_is_requested(void *opaque)
{
    struct machine *machine = opaque;
    /* A tick that the 8259A masks is nobody's: the I/O APIC may have had it. */
    return pic_is_requested(machine->pic, 0) && !pic_is_masked(machine->pic, 0);
}

static void debug_exit(void *opaque, int status)
{
    struct machine *machine = opaque;
    vcpu_pause(machine->vcpu);
    machine_quit(machine, status);
}

/* --- What the run loop asks for --- */

static void hook_bus(void *opaque)
{
    struct machine *machine = opaque;
    storage_bus_granted(&machine->storage);
    if (machine->boot_now) {
        struct e820_map map;
        mem_read(machine->boot_now, &map, sizeof(map));
        machine->boot_now = 0;
        cpu_reset(vcpu_cpu(machine->vcpu));
        boot_image_install(machine->boot, vcpu_cpu(machine->vcpu), map.count <= E820_MAX ? &map : NULL);
    }
}

/* How our BIOS gets the kernel of -kernel (bios/boot.c): a read of a byte says whether one waits; a write of a dword,
 * where in the BIOS's memory the machine's memory map is, starts it, between two instructions. */
#define BIOS_MEMORY 0xe0000u /* up to 1 MiB */

static uint32_t kernel_port_read(void *opaque, uint16_t port, unsigned size)
{
    return 'K';
}

static void kernel_port_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct machine *machine = opaque;
    if (size != 4 || value < BIOS_MEMORY || value > MiB - sizeof(struct e820_map)) {
        log_guest("kernel port: a write of %#x means nothing\n", value);
        return;
    }
    machine->boot_now = value;
    vcpu_request_bus(machine->vcpu);
}

static const struct io_ops kernel_port_io = {.widths = 1 | 4, .read = kernel_port_read, .write = kernel_port_write};

static uint8_t hook_ack(void *opaque)
{
    struct machine *machine = opaque;
    return machine->lapic ? lapic_ack(machine->lapic) : pic_ack(machine->pic);
}

/* Full reset, as the RESET# pin does it: every chip, then the CPU, then what stands in for the BIOS. */
static void machine_reset(void *opaque)
{
    struct machine *machine = opaque;
    if (machine->was_reset)
        storage_end_boot_once(&machine->storage);
    machine->was_reset = true;
    for (unsigned i = 0; i < machine->part_count; i++)
        machine->part[i].ops->reset(machine->part[i].dev);
    cpu_reset(vcpu_cpu(machine->vcpu));
    wire_a20(machine, 0, true);
    if (machine->boot && !machine->kernel_by_bios) {
        firmware_init_board(machine->pci);
        if (machine->vga)
            firmware_init_vga(vgabios_rom);
        boot_image_install(machine->boot, vcpu_cpu(machine->vcpu), NULL);
    }
}

static void hook_triple_fault(void *opaque)
{
    struct machine *machine = opaque;
    const struct cpu *cpu = vcpu_cpu(machine->vcpu);
    log_guest("triple fault at %04x:%08x\n", cpu->seg[SEG_CS].sel, cpu->eip);
    wire_reset(machine, 0, true); /* the chipset turns the shutdown cycle into INIT or RESET# */
}

/* FERR# drives IRQ 13 until the handler writes port F0h, which also lets the processor go on (IGNNE#). */
static void hook_ferr(void *opaque, bool level)
{
    struct machine *machine = opaque;
    pic_set_line(machine->pic, 13, level);
}

static void fpu_port_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct machine *machine = opaque;
    struct cpu *cpu = vcpu_cpu(machine->vcpu);
    cpu->ignne = cpu->ferr;
    pic_set_line(machine->pic, 13, false);
}

static const struct io_ops fpu_port_io = {.widths = 1, .write = fpu_port_write};

/* --- Building --- */

static void part_add(struct machine *machine, const struct device_ops *ops, void *dev)
{
    assert_always(machine->part_count < PART_MAX);
    machine->part[machine->part_count++] = (struct part){ops, dev};
}

static void fw_cfg_fill(struct machine *machine)
{
    struct fw_cfg *fw = machine->fw_cfg;
    fw_cfg_add_u64(fw, FW_CFG_RAM_SIZE, machine->options.ram_size);
    fw_cfg_add_u16(fw, FW_CFG_NOGRAPHIC, machine->options.nographic);
    fw_cfg_add_u16(fw, FW_CFG_NB_CPUS, 1);
    fw_cfg_add_u16(fw, FW_CFG_MAX_CPUS, 1);
    fw_cfg_add_u16(fw, FW_CFG_BOOT_MENU, machine->options.drives.boot_menu);
    /* Address, length, type as E820 has them. */
    struct {
        uint64_t base, len;
        uint32_t type;
    } __attribute__((packed)) e820[] = {{0, machine->options.ram_size, 1}};
    fw_cfg_add_file(fw, "etc/e820", e820, sizeof e820);
}

static void board_build(struct machine *machine)
{
    const struct irq intr = {wire_intr, machine, 0};
    const struct irq a20 = {wire_a20, machine, 0};
    const struct irq reset = {wire_reset, machine, 0};
    const struct irq soft_off = {wire_soft_off, machine, 0};

    if (machine->model->edx & CPUID_APIC) {
        const struct lapic_wiring wiring = {.intr = intr,
                                            .nmi = {wire_nmi, machine, 0},
                                            .eoi = wire_apic_eoi,
                                            .eoi_opaque = machine,
                                            .pic_ack = wire_pic_ack,
                                            .pic_opaque = machine,
                                            .tsc_deadline = machine->model->ecx & CPUID_TSC_DEADLINE_C};
        machine->lapic = lapic_new(&wiring);
        machine->ioapic = ioapic_new(machine->lapic);
        cpu_set_apicbase_hook(wire_apicbase, machine);
        cpu_set_tsc_deadline_hooks((struct tsc_deadline_hooks){wire_deadline_read, wire_deadline_write, machine});
        const struct irq lint0 = {lapic_set_lint0, machine->lapic, 0};
        machine->pic = pic_new(&lint0);
        part_add(machine, &lapic_ops, machine->lapic);
        part_add(machine, &ioapic_ops, machine->ioapic);
    } else {
        machine->pic = pic_new(&intr);
    }
    part_add(machine, &pic_ops, machine->pic);

    struct pci_wiring pci_wiring = {.reset = reset, .pam_changed = wire_pam};
    for (int i = 0; i < 16; i++)
        pci_wiring.irq[i] = pic_line(machine, PIC_LINE_PCI + i);
    machine->pci = pci_new(&pci_wiring);
    part_add(machine, &pci_ops, machine->pci);

    struct irq irq0 = {wire_legacy_timer, machine, 0}, irq8 = {wire_legacy_timer, machine, 8};
    struct irq irq9 = pic_line(machine, 9);
    machine->pit = pit_new(&irq0);
    pit_set_requested_hook(machine->pit, irq0_is_requested, machine);
    pic_set_eoi_hook(machine->pic, 0, &(struct irq){pit_tick_taken, machine->pit, 0});
    part_add(machine, &pit_ops, machine->pit);

    machine->rtc = rtc_new(&irq8);
    pic_set_eoi_hook(machine->pic, 8, &(struct irq){rtc_tick_taken, machine->rtc, 8});
    rtc_set_cmos(machine->rtc, 0x14, 0x06); /* equipment: coprocessor, mouse; no drive, no display */
    rtc_set_memory_size(machine->rtc, machine->options.ram_size);
    part_add(machine, &rtc_ops, machine->rtc);

    struct kbd8042_wiring kbd_wiring = {pic_line(machine, 1), pic_line(machine, 12), a20, reset};
    machine->kbd = kbd8042_new(&kbd_wiring);
    part_add(machine, &kbd8042_ops, machine->kbd);
    machine->port92 = port92_new(&a20, &reset);
    part_add(machine, &port92_ops, machine->port92);

    if (machine->ioapic) {
        struct hpet_wiring hpet_wiring = {.legacy = {pic_line(machine, 0), pic_line(machine, 8)},
                                          .replaces = {wire_hpet_replaces, machine, 0}};
        for (int pin = 0; pin < IOAPIC_PINS; pin++)
            hpet_wiring.pin[pin] = (struct irq){ioapic_set_line, machine->ioapic, pin};
        machine->hpet = hpet_new(&hpet_wiring);
        part_add(machine, &hpet_ops, machine->hpet);
    }

    machine->acpi_pm = acpi_pm_new(machine->pci, &irq9, &soft_off);
    part_add(machine, &acpi_pm_ops, machine->acpi_pm);

    machine->fw_cfg = fw_cfg_new();
    fw_cfg_fill(machine);
    part_add(machine, &fw_cfg_ops, machine->fw_cfg);

    ioport_register(0xf0, 1, &fpu_port_io, machine, "fpu-clear");
    if (machine->kernel_by_bios)
        ioport_register(0x5a0, 4, &kernel_port_io, machine, "kernel");
}

static bool drives_build(struct machine *machine, GError **error)
{
    const struct storage_wiring wiring = {.ide_irq = {pic_line(machine, 14), pic_line(machine, 15)},
                                          .fdc_irq = pic_line(machine, 6),
                                          .bus_request = {wire_bus_request, machine, 0}};
    if (!storage_build(&machine->storage, &machine->options.drives, machine->pci, machine->rtc, &wiring, error))
        return false;
    part_add(machine, &ide_ops, machine->storage.ide);
    part_add(machine, &dma8237_ops, machine->storage.dma);
    part_add(machine, &fdc_ops, machine->storage.fdc);
    rtc_set_memory_size(machine->rtc, machine->options.ram_size); /* the checksum anew */
    return true;
}

static bool vga_build(struct machine *machine, GError **error)
{
    if (machine->options.no_vga) { /* the bus is open there: no RAM shines through */
        static const struct mmio_ops nothing;
        mem_add_mmio(0xa0000, 0x20000, &nothing, NULL, "no-vga");
        return true;
    }
    char *rom = NULL;
    gsize rom_size = 0;
    if (machine->options.vga_rom && !g_file_get_contents(machine->options.vga_rom, &rom, &rom_size, error))
        return false;
    if (rom && (rom_size < 512 || rom_size > 256 * KiB)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "VGA.romfile: '%s' is not a video BIOS (%zu bytes)",
                    machine->options.vga_rom, (size_t)rom_size);
        g_free(rom);
        return false;
    }
    machine->vga = rom ? vga_new(machine->pci, (uint8_t *)rom, (uint32_t)rom_size, error)
                       : vga_new(machine->pci, vgabios_rom, vgabios_rom_size, error);
    g_free(rom);
    if (!machine->vga)
        return false;
    part_add(machine, &vga_ops, machine->vga);
    return true;
}

static bool backends_build(struct machine *machine, GError **error)
{
    static const struct {
        uint16_t base;
        int irq;
        const char *name;
    } com[OPTIONS_SERIAL_MAX] = {
        {0x3f8, 4, "serial0"}, {0x2f8, 3, "serial1"}, {0x3e8, 4, "serial2"}, {0x2e8, 3, "serial3"}};

    for (unsigned i = 0; i < OPTIONS_SERIAL_MAX; i++) {
        if (!machine->options.serial[i])
            continue;
        struct chardev *backend = chardev_open(machine->options.serial[i], com[i].name, error);
        if (!backend)
            return false;
        /* COM3 and COM4 share the wires of COM1 and COM2: an ISA wire has one driver at a time. */
        struct irq irq = pic_line(machine, com[i].irq);
        machine->uart[i] = uart_new(com[i].base, &irq, backend, com[i].name);
        part_add(machine, &uart_ops, machine->uart[i]);
    }
    if (machine->options.parallel) {
        struct chardev *backend = chardev_open(machine->options.parallel, "parallel0", error);
        if (!backend)
            return false;
        struct irq irq = pic_line(machine, 7);
        machine->lpt = lpt_new(0x378, &irq, backend);
        part_add(machine, &lpt_ops, machine->lpt);
    }
    if (machine->options.debugcon) {
        struct chardev *backend = chardev_open(machine->options.debugcon, "debugcon", error);
        if (!backend)
            return false;
        machine->debugcon = debugcon_new(machine->options.debugcon_port, backend);
    }
    if (machine->options.testdev) {
        struct irq lines[24] = {{0}};
        for (int n = 0; n < 24; n++)
            lines[n] = n < 16 || !machine->ioapic ? pic_line(machine, n & 15)
                                                  : (struct irq){ioapic_set_line, machine->ioapic, n};
        machine->testdev = testdev_new(lines);
    }
    if (machine->options.debug_exit) {
        uint16_t base = machine->options.debug_exit_base, count = machine->options.debug_exit_count;
        if (!ioport_is_free(base, count)) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-device isa-debug-exit: ports %#x to %#x are taken",
                        base, base + count - 1);
            return false;
        }
        machine->debugexit = debugexit_new(base, count, debug_exit, machine);
    }
    return true;
}

/* --- What the monitor asks for --- */

static void monitor_quit(void *opaque)
{
    machine_quit(opaque, 0);
}

static void monitor_reset(void *opaque)
{
    struct machine *machine = opaque;
    vcpu_request_reset(machine->vcpu);
}

static void monitor_stop(void *opaque)
{
    struct machine *machine = opaque;
    vcpu_pause(machine->vcpu);
    vclock_stop();
    machine->running = false;
}

static void monitor_cont(void *opaque)
{
    struct machine *machine = opaque;
    vclock_start();
    vcpu_resume(machine->vcpu);
    machine->running = true;
}

static bool monitor_is_running(void *opaque)
{
    struct machine *machine = opaque;
    return machine->running;
}

/* Registers are in memory only while the CPU stands still. */
static void monitor_registers(void *opaque, GString *out)
{
    static const char *const gpr[8] = {"EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"};
    static const char *const seg[SEG_COUNT] = {"ES", "CS", "SS", "DS", "FS", "GS"};
    struct machine *machine = opaque;
    const struct cpu *cpu = vcpu_cpu(machine->vcpu);

    vcpu_pause(machine->vcpu);
    g_usleep(20000);
    for (unsigned i = 0; i < 8; i++)
        g_string_append_printf(out, "%s=%08x%c", gpr[i], cpu->gpr[i], i % 4 == 3 ? '\n' : ' ');
    g_string_append_printf(out, "EIP=%08x EFL=%08x CPL=%u HLT=%d A20=%d\n", cpu->eip, cpu->eflags, cpu->cpl,
                           cpu->halted, !cpu->a20_masked);
    for (unsigned i = 0; i < 6; i++)
        g_string_append_printf(out, "%s =%04x %08x %08x\n", seg[i], cpu->seg[i].sel, cpu->seg[i].base,
                               cpu->seg[i].limit);
    g_string_append_printf(out, "GDT=     %08x %08x\nIDT=     %08x %08x\n", cpu->gdtr.base, cpu->gdtr.limit,
                           cpu->idtr.base, cpu->idtr.limit);
    g_string_append_printf(out, "CR0=%08x CR2=%08x CR3=%08x CR4=%08x\n", cpu->cr0, cpu->cr2, cpu->cr3, cpu->cr4);
    if (machine->running)
        vcpu_resume(machine->vcpu);
}

static bool monitor_device(void *opaque, const char *name, GString *out)
{
    struct machine *machine = opaque;
    bool found = false;
    for (unsigned i = 0; i < machine->part_count; i++) {
        const struct part *part = &machine->part[i];
        if (!part->ops->dump)
            continue;
        if (!name) {
            g_string_append_printf(out, " %s", part->ops->name);
        } else if (strcmp(name, part->ops->name) == 0) {
            machine_lock();
            part->ops->dump(part->dev, out);
            machine_unlock();
            found = true;
        }
    }
    return found;
}

static void monitor_stats(void *opaque, bool json, GString *out)
{
    struct machine *machine = opaque;
    vcpu_print_stats(machine->vcpu, json, out);
}

static void key_to_guest(void *opaque, uint16_t code, bool down)
{
    struct machine *machine = opaque;
    kbd8042_key(machine->kbd, code, down);
}

static bool host_build(struct machine *machine, GError **error)
{
    const struct monitor_hooks hooks = {
        monitor_quit,   monitor_reset,      monitor_stop,
        monitor_cont,   monitor_is_running, monitor_registers,
        monitor_device, monitor_stats,      machine->vga ? vga_display(machine->vga) : NULL,
        machine};

    keys_set_sink(key_to_guest, machine);
    if (machine->options.curses && !machine->vga) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-display curses needs a graphics card, not -vga none");
        return false;
    }
    if (machine->options.curses && !curses_open(hooks.display, monitor_quit, machine, error))
        return false;
    if (machine->options.monitor) {
        machine->monitor = monitor_new(machine->options.monitor, &hooks, error);
        return machine->monitor;
    }
    return true;
}

static void quit_by_key(void *opaque)
{
    machine_quit(opaque, 0);
}

static gboolean stats_by_signal(gpointer opaque)
{
    GString *out = g_string_new(NULL);
    monitor_stats(opaque, false, out);
    fputs(out->str, stderr);
    g_string_free(out, TRUE);
    return G_SOURCE_CONTINUE;
}

static gboolean quit_by_signal(gpointer opaque)
{
    machine_quit(opaque, 0);
    return G_SOURCE_CONTINUE;
}

static void clock_build(const struct options *options)
{
    int64_t now = time(NULL);
    if (options->rtc_base_set)
        vclock_set_wall_base(options->rtc_base);
    else if (options->rtc_localtime) {
        time_t t = now;
        struct tm tm;
        localtime_r(&t, &tm);
        vclock_set_wall_base(now + tm.tm_gmtoff);
    } else {
        vclock_set_wall_base(now);
    }
}

struct machine *machine_new(const struct options *options, GError **error)
{
    struct machine *machine = g_new0(struct machine, 1);
    machine->options = *options;
    machine->exit_status = -1;
    machine->loop = g_main_loop_new(NULL, FALSE);

    /* What can be wrong with the user's files is found out before anything is opened or built. */
    if (options->kernel) {
        machine->boot = boot_image_open(options->kernel, options->initrd, options->append, options->ram_size, error);
        if (!machine->boot)
            goto fail;
    }
    machine->kernel_by_bios = machine->boot && !options->bios;
    if ((options->bios || !machine->boot || machine->kernel_by_bios) &&
        !bios_open(&machine->bios, options->bios, error))
        goto fail;
    machine->model = cpu_model_parse(options->cpu, error);
    if (!machine->model)
        goto fail;
    if (!mem_init(options->ram_size, error))
        goto fail;

    if (options->stats_file && !(machine->stats_file = fopen(options->stats_file, "we"))) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "-stats: cannot write '%s': %s",
                    options->stats_file, g_strerror(errno));
        goto fail;
    }
    clock_build(options);
    if (machine->bios.image)
        bios_install(&machine->bios);
    board_build(machine);
    struct vcpu_hooks hooks = {hook_ack, machine_reset, hook_triple_fault, hook_ferr, machine, hook_bus};
    machine->vcpu = vcpu_new(options->accel, options->direct_always, options->tb_size, machine->model, &hooks, error);
    if (!machine->vcpu || !drives_build(machine, error) || !vga_build(machine, error) ||
        !backends_build(machine, error) || !host_build(machine, error))
        goto fail;
    machine_lock();
    machine_reset(machine);
    machine_unlock();
    chardev_set_quit(quit_by_key, machine);
    return machine;

fail:
    machine_free(machine);
    return NULL;
}

void machine_free(struct machine *machine)
{
    if (machine->stats_file)
        fclose(machine->stats_file);
    storage_close(&machine->storage);
    curses_close();
    if (machine->monitor)
        monitor_free(machine->monitor);
    for (unsigned i = 0; i < OPTIONS_SERIAL_MAX; i++) {
        if (machine->uart[i])
            uart_free(machine->uart[i]);
    }
    if (machine->lpt)
        lpt_free(machine->lpt);
    chardev_close_all();
    if (machine->debugcon)
        debugcon_free(machine->debugcon);
    if (machine->testdev)
        testdev_free(machine->testdev);
    if (machine->debugexit)
        debugexit_free(machine->debugexit);
    if (machine->vcpu)
        vcpu_free(machine->vcpu);
    if (machine->pic) {
        ioport_unregister(0xf0, 1);
        if (machine->kernel_by_bios)
            ioport_unregister(0x5a0, 4);
        if (machine->vga)
            vga_free(machine->vga);
        acpi_pm_free(machine->acpi_pm);
        fw_cfg_free(machine->fw_cfg);
        storage_free(&machine->storage);
        port92_free(machine->port92);
        kbd8042_free(machine->kbd);
        rtc_free(machine->rtc);
        pit_free(machine->pit);
        pci_free(machine->pci);
        pic_free(machine->pic);
        if (machine->hpet)
            hpet_free(machine->hpet);
        if (machine->lapic) {
            cpu_set_apicbase_hook(NULL, NULL);
            cpu_set_tsc_deadline_hooks((struct tsc_deadline_hooks){0});
            ioapic_free(machine->ioapic);
            lapic_free(machine->lapic);
        }
    }
    mem_destroy();
    boot_image_free(machine->boot);
    bios_close(&machine->bios);
    g_free(machine->model);
    g_main_loop_unref(machine->loop);
    g_free(machine);
}

/* -stats file:PATH: at the end, as JSON. */
static void stats_save(struct machine *machine)
{
    if (!machine->stats_file)
        return;
    GString *out = g_string_new(NULL);
    vcpu_print_stats(machine->vcpu, true, out);
    bool ok = fputs(out->str, machine->stats_file) >= 0;
    if (fclose(machine->stats_file) != 0 || !ok)
        log_user("-stats: cannot write '%s': %s", machine->options.stats_file, g_strerror(errno));
    machine->stats_file = NULL;
    g_string_free(out, TRUE);
}

/* Everything is open and running but the processor. False: the user insists on a fence, and there is none. */
static bool fence_up(const struct machine *machine)
{
    const struct options *options = &machine->options;
    const struct fence_needs needs = {
        .kvm = options->accel == ACCEL_KVM,
        .files = options->monitor,
        .clients = options->monitor && g_str_has_prefix(options->monitor, "unix:"),
        .cells = options->accel == ACCEL_DIRECT,
    };
    GError *error = NULL;
    if (options->sandbox == SANDBOX_OFF || fence_enter(&needs, &error))
        return true;
    if (options->sandbox == SANDBOX_ON)
        log_user("-sandbox on: this host does not allow it (%s); use -sandbox off to do without", error->message);
    else
        log_user("running without the seccomp fence, which this host does not allow (%s)", error->message);
    g_error_free(error);
    return options->sandbox != SANDBOX_ON;
}

int machine_run(struct machine *machine)
{
    bool paused = machine->options.start_stopped;

    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write(), not our end */
    g_unix_signal_add(SIGINT, quit_by_signal, machine);
    g_unix_signal_add(SIGTERM, quit_by_signal, machine);
    g_unix_signal_add(SIGHUP, quit_by_signal, machine);
    g_unix_signal_add(SIGUSR1, stats_by_signal, machine);
    vclock_attach();
    if (!fence_up(machine))
        return 1;
    machine->running = !paused;
    if (machine->options.stats)
        stats_set_timing(true);
    if (!paused)
        vclock_start();
    vcpu_start(machine->vcpu, paused);
    g_main_loop_run(machine->loop);
    bool ended = vcpu_stop(machine->vcpu);
    stats_save(machine);
    if (!ended) {
        log_user("the engine does not stop; please report it (-accel interp may help)");
        chardev_close_all();
        _exit(atomic_load(&machine->exit_status));
    }
    vclock_stop();
    return atomic_load(&machine->exit_status);
}
