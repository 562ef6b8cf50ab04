/* The boards: which rows a -machine has, in the order in which they are reset, and what their firmware is told. */
#include "machine_internal.h"

#include <string.h>

#include "cpu/cpuid.h"
#include "devices/fw_cfg.h"
#include "devices/rtc.h"
#include "firmware/acpi_tables.h"
#include "firmware/loader.h"
#include "ioport.h"
#include "log.h"
#include "mem.h"

#define CMOS_EQUIPMENT 0x14

/* When a row is there. */
static bool always(const struct machine *machine)
{
    return true;
}

static bool has_pci(const struct machine *machine)
{
    return !machine->options.isapc;
}

static bool has_no_pci(const struct machine *machine)
{
    return machine->options.isapc;
}

static bool has_apic(const struct machine *machine)
{
    return has_pci(machine) && machine->model->edx & CPUID_APIC;
}

static bool has_deadline(const struct machine *machine)
{
    return has_apic(machine) && (machine->model->ecx & CPUID_TSC_DEADLINE_C);
}

static bool has_plain_apic(const struct machine *machine)
{
    return has_apic(machine) && !has_deadline(machine);
}

static bool has_hpet(const struct machine *machine)
{
    return has_apic(machine) && !machine->options.no_hpet;
}

static bool has_acpi(const struct machine *machine)
{
    return has_pci(machine) && !machine->options.no_acpi;
}

static bool has_usb(const struct machine *machine)
{
    return has_pci(machine) && machine->options.usb;
}

static bool has_vmport(const struct machine *machine)
{
    return !machine->options.no_vmport;
}

static const struct row {
    bool (*is_there)(const struct machine *machine);
    const char *row;
} pc_rows[] = {
    {has_deadline, "apic,tsc-deadline=on"},
    {has_plain_apic, "apic"},
    {has_apic, "ioapic"},
    {always, "isa-i8259"},
    {has_pci, "i440FX-pcihost"},
    {has_pci, "PIIX3"},
    {has_no_pci, "isa-shadow"},
    {has_hpet, "hpet"}, /* before the timers whose interrupts it can replace */
    {always, "isa-pit"},
    {always, "mc146818rtc"},
    {always, "i8042"},
    {always, "port92"},
    {has_vmport, "vmport"},
    {has_vmport, "vmmouse"},
    {has_acpi, "PIIX4_PM"},
    {always, "fw_cfg"},
    {always, "ferr"},
    {has_pci, "piix3-ide"},
    {has_no_pci, "isa-ide"},
    {has_usb, "piix3-usb-uhci,addr=1.2"},
    {always, "i8257"},
    {always, "isa-fdc"},
};

static const struct machine_type types[] = {
    {"pc-i440fx-7.2", "pc", "pc-i440fx", "default", false},
    {"isapc", NULL, NULL, "486", true},
};

const struct machine_type *machine_type_at(unsigned i)
{
    return i < G_N_ELEMENTS(types) ? &types[i] : NULL;
}

const struct machine_type *machine_type_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        const struct machine_type *type = &types[i];
        if (strcmp(name, type->name) == 0 || (type->alias && strcmp(name, type->alias) == 0) ||
            (type->prefix && g_str_has_prefix(name, type->prefix)))
            return type;
    }
    return NULL;
}

static void fw_cfg_fill(struct machine *machine)
{
    struct fw_cfg *fw = board_service(registry_board(machine->registry), "fw_cfg");
    fw_cfg_add_u64(fw, FW_CFG_RAM_SIZE, machine->options.ram_size);
    fw_cfg_add_u16(fw, FW_CFG_NOGRAPHIC, machine->options.nographic);
    fw_cfg_add_u16(fw, FW_CFG_NB_CPUS, 1);
    fw_cfg_add_u16(fw, FW_CFG_MAX_CPUS, 1);
    fw_cfg_add_u16(fw, FW_CFG_BOOT_MENU, machine->options.drives.boot_menu);
    /* Address, length, type as E820 has them. */
    struct {
        uint64_t base, len;
        uint32_t type;
    } __attribute__((packed))
    e820[] = {{0, guest_mem.ram_below, 1}, {MEM_HIGH, guest_mem.ram_size - guest_mem.ram_below, 1}};
    fw_cfg_add_file(fw, "etc/e820", e820, e820[1].len ? sizeof e820 : sizeof e820[0]);
}

/* -option-rom: the BIOS finds them under "genroms/". */
static bool option_roms_offer(struct machine *machine, GError **error)
{
    struct fw_cfg *fw = board_service(registry_board(machine->registry), "fw_cfg");
    for (unsigned i = 0; i < machine->options.option_rom_count; i++) {
        const char *path = machine->options.option_rom[i];
        uint8_t *bytes = NULL;
        char *base = g_path_get_basename(path), *name = g_strdup_printf("genroms/%u-%.40s", i, base);
        gsize len;
        GBytes *file = boot_read_file("option ROM", path, error);
        bool ok = file;
        if (ok)
            bytes = g_bytes_unref_to_data(file, &len);
        g_free(base);
        if (ok && (len < 512 || len > 128 * KiB || bytes[0] != 0x55 || bytes[1] != 0xaa)) {
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-option-rom: '%s' is not a ROM image", path);
            g_free(bytes);
            ok = false;
        }
        if (ok) {
            fw_cfg_add_file(fw, name, bytes, len);
            g_free(bytes);
        }
        g_free(name);
        if (!ok)
            return false;
    }
    return true;
}

/* For a BIOS that is not ours: when all devices are there. */
static void acpi_offer(struct machine *machine)
{
    const struct acpi_board board = {.apic = has_apic(machine),
                                     .hpet = has_hpet(machine),
                                     .com2 = !ioport_is_free(0x2f8, 8),
                                     .lpt = !ioport_is_free(0x378, 3),
                                     .floppy = !ioport_is_free(0x3f2, 4)};
    acpi_tables_offer(board_service(registry_board(machine->registry), "fw_cfg"), &board);
}

/* A port; its back end is open already, under this label where it is its own (machine.c). */
static bool port_add(struct machine *machine, const char *driver, const char *spec, const char *label,
                     const char *index, GError **error)
{
    if (!spec)
        return true;
    if (g_str_has_prefix(spec, "chardev:"))
        label = spec + strlen("chardev:");
    return index ? registry_add_pairs(machine->registry, error, driver, "chardev", label, "index", index, NULL)
                 : registry_add_pairs(machine->registry, error, driver, "chardev", label, NULL);
}

static bool speaker_add(struct machine *machine, GError **error)
{
    const char *audiodev = machine->options.speaker_audiodev;
    return audiodev ? registry_add_pairs(machine->registry, error, "isa-pcspk", "audiodev", audiodev, NULL)
                    : registry_add_row(machine->registry, "isa-pcspk", error);
}

static bool ports_add(struct machine *machine, GError **error)
{
    const struct options *options = &machine->options;
    for (unsigned i = 0; i < OPTIONS_SERIAL_MAX; i++) {
        char label[16], index[4];
        g_snprintf(label, sizeof(label), "serial%u", i);
        g_snprintf(index, sizeof(index), "%u", i);
        if (!port_add(machine, "isa-serial", options->serial[i], label, index, error))
            return false;
    }
    return port_add(machine, "isa-parallel", options->parallel, "parallel0", NULL, error) &&
           port_add(machine, "isa-debugcon", options->debugcon, "debugcon", NULL, error);
}

static bool user_devices_add(struct machine *machine, GError **error)
{
    GPtrArray *devices = machine->options.devices;
    for (unsigned i = 0; devices && i < devices->len; i++) {
        struct keyvalues *request = g_ptr_array_index(devices, i);
        g_ptr_array_index(devices, i) = NULL;
        if (!registry_add(machine->registry, request, true, error))
            return false;
    }
    return true;
}

bool pc_build(struct machine *machine, GError **error)
{
    struct board *board = registry_board(machine->registry);
    struct rtc *rtc;

    for (unsigned i = 0; i < G_N_ELEMENTS(pc_rows); i++) {
        if (pc_rows[i].is_there(machine) && !registry_add_row(machine->registry, pc_rows[i].row, error))
            return false;
    }
    if (!speaker_add(machine, error))
        return false;
    fw_cfg_fill(machine);
    rtc = board_service(board, "rtc");
    rtc_set_cmos(rtc, CMOS_EQUIPMENT, 0x06); /* coprocessor, mouse; no drive, no display */
    if (!storage_open(&machine->storage, &machine->options.drives, error) || !nodes_open(machine, error) ||
        !storage_add_devices(&machine->storage, machine->registry, error))
        return false;
    const char *vga = machine->options.vga;
    if (vga && !has_pci(machine) && strcmp(vga, "VGA") != 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "-vga: the %s is a PCI card, and -machine isapc has no PCI", vga);
        return false;
    }
    if (vga && !registry_add_row(machine->registry, has_pci(machine) ? vga : "isa-vga", error))
        return false;
    if (!ports_add(machine, error) || !network_add_cards(machine, error) || !user_devices_add(machine, error))
        return false;
    if (!board_service(board, "display")) { /* the bus is open there: no RAM shines through */
        static const struct mmio_ops nothing;
        mem_add_mmio(0xa0000, 0x20000, &nothing, NULL, "no-vga");
    }
    if (!storage_settle(&machine->storage, machine->registry, rtc, error))
        return false;
    boot_order_offer(machine);
    rtc_set_memory_size(rtc, guest_mem.ram_below, guest_mem.ram_size - guest_mem.ram_below); /* last: the checksum */
    if (has_acpi(machine))
        acpi_offer(machine);
    if (!option_roms_offer(machine, error))
        return false;
    const char *unused = registry_unused_global(machine->registry);
    if (unused)
        log_user("-global: no '%s' of this machine takes it", unused);
    return true;
}
