/* The "std" card: a VGA with the Bochs display interface (DISPI), on PCI 1234:1111, or without PCI. See vga.h.
 */
#include "vga.h"

#include <string.h>

#include "ioport.h"
#include "state.h"
#include "regs.h"

/* --- PCI: BAR0 memory, BAR2 registers, ROM --- */

/* BAR2: ports 3C0h to 3DFh at 400h, DISPI registers at 500h. */
static uint64_t regs_read(void *opaque, uint32_t offset, unsigned size)
{
    struct vga *vga = opaque;
    uint64_t value = 0;

    if (offset >= 0x500 && offset + size <= 0x500 + 2 * DISPI_COUNT && size >= 2) {
        for (unsigned i = 0; i < size; i += 2)
            value |= (uint64_t)vga_dispi_read(vga, (offset - 0x500 + i) / 2) << (8 * i);
    } else if (offset >= 0x400 && offset + size <= 0x420) {
        for (unsigned i = 0; i < size; i++)
            value |= (uint64_t)vga_port_read(vga, (uint16_t)(offset + i - 0x400 + 0x3c0)) << (8 * i);
    }
    return value;
}

static void regs_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = opaque;

    if (offset >= 0x500 && offset + size <= 0x500 + 2 * DISPI_COUNT && size >= 2) {
        for (unsigned i = 0; i < size; i += 2)
            vga_dispi_write(vga, (offset - 0x500 + i) / 2, (uint16_t)(value >> (8 * i)));
    } else if (offset >= 0x400 && offset + size <= 0x420) {
        for (unsigned i = 0; i < size; i++)
            vga_port_write(vga, (uint16_t)(offset + i - 0x400 + 0x3c0), (uint8_t)(value >> (8 * i)));
    }
}

static const struct mmio_ops regs_ops = {regs_read, regs_write};

static void frame_buffer_moved(void *opaque, uint32_t base, bool mapped)
{
    struct vga *vga = opaque;
    if (mapped)
        mem_map_block(base, vga->size, vga->memory, 0, false, "vga-lfb");
    else
        mem_remove_mmio(base);
}

/* The expansion ROM follows its own enable bit and the memory bit of the command register. */
static void rom_update(struct vga *vga)
{
    uint32_t bar, base = 0;

    memcpy(&bar, &vga->dev.config[PCI_ROM_BAR], 4);
    if ((bar & 1) && (vga->dev.config[PCI_COMMAND] & PCI_COMMAND_MEMORY))
        base = bar & ~0x7ffu;
    if (base == vga->rom_base)
        return;
    if (vga->rom_base)
        mem_remove_mmio(vga->rom_base);
    vga->rom_base = 0;
    if (base && (uint64_t)base + vga->rom->size <= 0xfffff000u && mem_is_free(base, vga->rom->size)) {
        mem_map_block(base, vga->rom->size, vga->rom, 0, true, "vga-rom");
        vga->rom_base = base;
    }
}

static void vga_config_written(struct pci_device *dev, uint8_t offset, unsigned size)
{
    struct vga *vga = dev->opaque;
    if (vga->rom)
        rom_update(vga);
}

static bool vga_plug(struct vga *vga, uint8_t devfn, const uint8_t *rom, uint32_t rom_size, GError **error)
{
    struct pci_device *dev = &vga->dev;
    static const uint8_t subsystem[4] = {0xf4, 0x1a, 0x00, 0x11}; /* 1AF4:1100, as QEMU's cards */

    pci_device_init(dev, "vga", 0x1234, 0x1111, 0x030000, 2);
    memcpy(&dev->config[PCI_SUBSYSTEM], subsystem, 4);
    pci_add_ram_bar(dev, 0, vga->size, frame_buffer_moved, vga);
    pci_add_mmio_bar(dev, 2, PAGE_SIZE, &regs_ops, vga);
    dev->config_written = vga_config_written;
    dev->opaque = vga;
    if (rom) {
        uint32_t size = PAGE_SIZE;
        while (size < rom_size)
            size *= 2;
        vga->rom = mem_block_new(size, error);
        if (!vga->rom)
            return false;
        memset(vga->rom->host, 0xff, size);
        memcpy(vga->rom->host, rom, rom_size);
        uint32_t writable = ~(size - 1) | 1;
        memcpy(&dev->writable[PCI_ROM_BAR], &writable, 4);
    }
    pci_plug(vga->pci, dev, devfn);
    return true;
}

static const struct vga_card std_card = {.picture = vga_dispi_picture};

/* --- Life --- */

static void std_reset(void *opaque)
{
    struct vga *vga = opaque;

    vga_reset(vga);
    vga_dispi_reset(vga);
    if (vga->pci) {
        pci_device_reset(&vga->dev);
        if (vga->rom)
            rom_update(vga);
    }
}

static void std_before_save(void *opaque)
{
    vga_sync(opaque);
}

static void std_pieces(void *opaque, struct state_pieces *pieces)
{
    struct vga *vga = opaque;
    state_add_memory(pieces, "vram", vga->memory, vga->size);
}

static bool std_after_load(void *opaque)
{
    struct vga *vga = opaque;

    if (!vga_regs_are_sane(vga))
        return false;
    vga_dispi_after_load(vga);
    vga_window_update(vga);
    return true;
}

static void std_dump(void *opaque, GString *out)
{
    struct vga *vga = opaque;
    const struct vga_regs *r = &vga->regs;

    vga_dump(vga, out);
    if (vga_dispi_on(vga))
        g_string_append_printf(out, " dispi: %ux%ux%u enable=%02x bank=%u virtual=%u offset=%u,%u\n",
                               r->dispi[DISPI_XRES], r->dispi[DISPI_YRES], r->dispi[DISPI_BPP], r->dispi[DISPI_ENABLE],
                               r->dispi[DISPI_BANK], r->dispi[DISPI_VIRT_WIDTH], r->dispi[DISPI_X_OFFSET],
                               r->dispi[DISPI_Y_OFFSET]);
}

static struct vga *vga_new_sized(struct pci_bus *pci, uint8_t devfn, uint32_t memory, const uint8_t *rom,
                                 uint32_t rom_size, GError **error)
{
    struct vga *vga = g_new0(struct vga, 1);

    vga->pci = pci;
    if (!vga_init(vga, &std_card, memory, error) || (pci && !vga_plug(vga, devfn, rom, rom_size, error))) {
        g_free(vga);
        return NULL;
    }
    vga_open(vga);
    vga_dispi_open(vga);
    std_reset(vga);
    return vga;
}

struct vga *vga_new(struct pci_bus *pci, uint8_t devfn, const uint8_t *rom, uint32_t rom_size, GError **error)
{
    return vga_new_sized(pci, devfn, VGA_MEMORY, rom, rom_size, error);
}

void vga_free(struct vga *vga)
{
    vga_close(vga);
    vga_dispi_close();
    if (vga->rom_base)
        mem_remove_mmio(vga->rom_base);
    if (vga->pci)
        pci_unplug(&vga->dev);
    g_free(vga);
}

/* --- As a device --- */

struct vga_config {
    const char *romfile;
    uint32_t vgamem_mb;
};

static const struct property vga_properties[] = {
    PROPERTY(vga_config, romfile, "romfile", PROPERTY_STRING, 0, NULL, "video BIOS in a file instead of ours"),
    PROPERTY(vga_config, vgamem_mb, "vgamem_mb", PROPERTY_NUMBER, 256, "16", "video memory in MiB: 1, 2, 4, ... 256"),
    PROPERTY_END,
};

static void *vga_create(const struct device_site *site, const void *config, GError **error)
{
    const struct vga_config *wanted = config;
    const struct board_rom *own = board_service(site->board, "vga-rom");
    char *file = NULL;
    gsize size = 0;

    if (!vga_is_first(site, error))
        return NULL;
    if (wanted->vgamem_mb == 0 || wanted->vgamem_mb & (wanted->vgamem_mb - 1)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: vgamem_mb is 1, 2, 4, 8, ... 256, not %u", site->id,
                    wanted->vgamem_mb);
        return NULL;
    }
    if (wanted->romfile && !(file = vga_romfile_read(wanted->romfile, "VGA", &size, error)))
        return NULL;
    const uint8_t *rom = file ? (uint8_t *)file : own ? own->bytes : NULL;
    uint32_t rom_size = file ? (uint32_t)size : own ? own->size : 0;
    struct vga *vga = vga_new_sized(board_service(site->board, "pci"), (uint8_t)site->unit,
                                    (uint32_t)(wanted->vgamem_mb * MiB), rom, rom_size, error);
    g_free(file);
    if (vga)
        board_provide(site->board, "display", (void *)vga_display(vga));
    return vga;
}

static void vga_destroy(void *dev)
{
    vga_free(dev);
}

const struct device_class vga_class = {
    .name = "VGA",
    .info = "vga",
    .help = "VGA with the Bochs VBE interface and 16 MiB",
    .bus = BUS_PCI,
    .devfn = -1,
    .properties = vga_properties,
    .config_size = sizeof(struct vga_config),
    .create = vga_create,
    .destroy = vga_destroy,
    .reset = std_reset,
    .layout = &vga_layout,
    .regs_offset = offsetof(struct vga, regs),
    .pieces = std_pieces,
    .before_save = std_before_save,
    .before_load = vga_before_load,
    .after_load = std_after_load,
    .dump = std_dump,
};
DEVICE_CLASS(vga_class);

static void *isa_vga_create(const struct device_site *site, const void *config, GError **error)
{
    const struct board_rom *own = board_service(site->board, "vga-rom");
    struct vga *vga = vga_new(NULL, 0, NULL, 0, error);
    if (!vga)
        return NULL;
    if (own)
        mem_set_isa_rom(MEM_ISA_ROM, own->bytes, own->size);
    board_provide(site->board, "display", (void *)vga_display(vga));
    return vga;
}

static const struct device_class isa_vga_class = {
    .name = "isa-vga",
    .info = "vga",
    .help = "VGA of a board without PCI: no linear frame buffer",
    .bus = BUS_ISA,
    .internal = true,
    .create = isa_vga_create,
    .destroy = vga_destroy,
    .reset = std_reset,
    .layout = &vga_layout,
    .regs_offset = offsetof(struct vga, regs),
    .pieces = std_pieces,
    .before_save = std_before_save,
    .before_load = vga_before_load,
    .after_load = std_after_load,
    .dump = std_dump,
};
DEVICE_CLASS(isa_vga_class);
