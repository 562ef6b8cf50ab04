/* The BIOS ROM: its image, and where the bus has it. See bios.h. */
#include "rom.h"

#include "loader.h"
#include "mem.h"

#define BIOS_MAX  (16 * MiB)
#define BIOS_UNIT (64 * KiB)

extern const uint8_t bios_rom[];
extern const uint32_t bios_rom_size;

bool bios_open(struct bios *bios, const char *path, GError **error)
{
    if (!path) {
        *bios = (struct bios){g_memdup2(bios_rom, bios_rom_size), bios_rom_size};
        return true;
    }

    GBytes *file = boot_read_file("BIOS", path, error);
    if (!file)
        return false;
    gsize len;
    uint8_t *bytes = g_bytes_unref_to_data(file, &len);
    if (len == 0 || len % BIOS_UNIT || len > BIOS_MAX) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "-bios: %s has %zu bytes; a BIOS image has a multiple of 64 KiB, at most 16 MiB", path,
                    (size_t)len);
        g_free(bytes);
        return false;
    }
    *bios = (struct bios){bytes, len};
    return true;
}

void bios_install(const struct bios *bios)
{
    /* The last 128 KiB are also below 1 MiB, where the chipset's decoder puts them. */
    size_t low = MIN(bios->len, 128 * KiB);
    mem_add_rom(4 * GiB - bios->len, bios->image, (uint32_t)bios->len);
    mem_set_isa_rom(MiB - low, bios->image + bios->len - low, (uint32_t)low);
}

void bios_close(struct bios *bios)
{
    g_free(bios->image);
    bios->image = NULL;
}
