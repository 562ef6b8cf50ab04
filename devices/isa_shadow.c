/* A board without a chipset that shadows ROMs: C0000h to FFFFFh is RAM with the ROMs' contents, from each reset on, as
 * QEMU's isapc has it. BIOSes keep variables there. */
#include "device.h"
#include "mem.h"

static void isa_shadow_reset(void *dev)
{
    uint8_t *roms = dev;
    mem_set_pam(MEM_ISA_ROM, MEM_ISA_ROM_SIZE, false, false);
    mem_read(MEM_ISA_ROM, roms, MEM_ISA_ROM_SIZE);
    mem_set_pam(MEM_ISA_ROM, MEM_ISA_ROM_SIZE, true, true);
    mem_write(MEM_ISA_ROM, roms, MEM_ISA_ROM_SIZE);
}

static void *isa_shadow_create(const struct device_site *site, const void *config, GError **error)
{
    return g_malloc(MEM_ISA_ROM_SIZE);
}

static void isa_shadow_destroy(void *dev)
{
    g_free(dev);
}

/* What is in RAM is saved with RAM; a board that was reset has all of it open already. */
static const struct device_class isa_shadow_class = {
    .name = "isa-shadow",
    .help = "RAM in the place of ROMs",
    .bus = BUS_SYSTEM,
    .internal = true,
    .create = isa_shadow_create,
    .destroy = isa_shadow_destroy,
    .reset = isa_shadow_reset,
};
DEVICE_CLASS(isa_shadow_class);
