/* The BIOS and -kernel: who starts first.
 *
 * Our BIOS gets the kernel through port 5A0h (bios/boot.c): a read of a byte says whether one waits; a write of a
 * dword, where in the BIOS's memory the machine's memory map is, starts it, between two instructions. With another BIOS
 * the kernel is put into memory at once, and firmware.c does what a BIOS would have done.
 */
#include "machine_internal.h"

#include "firmware/firmware.h"
#include "ioport.h"
#include "log.h"
#include "mem.h"

#define KERNEL_PORT 0x5a0
#define BIOS_MEMORY 0xe0000u /* up to 1 MiB */

/* bios/vga, by bin2c.py */
extern const uint8_t vgabios_rom[];
extern const uint32_t vgabios_rom_size;
extern const uint8_t vgabios_cirrus_rom[];
extern const uint32_t vgabios_cirrus_rom_size;

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

bool kernel_open(struct machine *machine, GError **error)
{
    const struct options *options = &machine->options;
    if (options->kernel) {
        machine->boot = boot_image_open(options->kernel, options->initrd, options->append, options->ram_size, error);
        if (!machine->boot)
            return false;
    }
    machine->kernel_by_bios = machine->boot && !options->bios;
    if (machine->boot && options->bios && boot_image_needs_bios(machine->boot)) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' starts in real mode and calls the BIOS: that goes with Ringer's own, without -bios",
                    options->kernel);
        return false;
    }
    return bios_open(&machine->bios, options->bios, error);
}

void kernel_build(struct machine *machine)
{
    bios_install(&machine->bios);
    if (machine->kernel_by_bios)
        ioport_register(KERNEL_PORT, 4, &kernel_port_io, machine, "kernel");
    machine->vga_rom = (struct board_rom){vgabios_rom, vgabios_rom_size};
    machine->cirrus_rom = (struct board_rom){vgabios_cirrus_rom, vgabios_cirrus_rom_size};
    board_provide(registry_board(machine->registry), "vga-rom", &machine->vga_rom);
    board_provide(registry_board(machine->registry), "cirrus-rom", &machine->cirrus_rom);
}

void kernel_reset(struct machine *machine)
{
    struct board *board = registry_board(machine->registry);
    if (!machine->boot || machine->kernel_by_bios)
        return;
    if (board_service(board, "pci"))
        firmware_init_board(board_service(board, "pci"));
    if (board_service(board, "display"))
        firmware_init_vga(vgabios_rom);
    boot_image_install(machine->boot, vcpu_cpu(machine->vcpu), NULL);
}

void kernel_granted(struct machine *machine)
{
    if (!machine->boot_now)
        return;
    struct e820_map map;
    mem_read(machine->boot_now, &map, sizeof(map));
    machine->boot_now = 0;
    cpu_reset(vcpu_cpu(machine->vcpu));
    boot_image_install(machine->boot, vcpu_cpu(machine->vcpu), map.count <= E820_MAX ? &map : NULL);
}

void kernel_close(struct machine *machine)
{
    if (machine->kernel_by_bios && machine->vga_rom.bytes)
        ioport_unregister(KERNEL_PORT, 4);
    boot_image_free(machine->boot);
    bios_close(&machine->bios);
}
