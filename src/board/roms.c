/* Option ROMs of cards (romfile=): from the user's file, or from where distributions install QEMU's. */
#include "machine_internal.h"

#include <string.h>

#define ROM_MAX (1u << 20) /* what an expansion ROM's BAR is put up with */

static const char *const folders[] = {"/usr/lib/ipxe/qemu", "/usr/share/qemu", "/usr/share/ipxe/qemu",
                                      "/usr/share/qemu-kvm", "/usr/local/share/qemu"};

static char *rom_path(const char *file)
{
    if (strchr(file, '/') || g_file_test(file, G_FILE_TEST_EXISTS))
        return g_strdup(file);
    for (unsigned i = 0; i < G_N_ELEMENTS(folders); i++) {
        char *path = g_build_filename(folders[i], file, NULL);
        if (g_file_test(path, G_FILE_TEST_EXISTS))
            return path;
        g_free(path);
    }
    return g_strdup(file);
}

static void rom_free(gpointer opaque)
{
    struct board_rom *rom = opaque;
    g_free((uint8_t *)rom->bytes);
    g_free(rom);
}

const struct board_rom *roms_open(struct machine *machine, const char *file, GError **error)
{
    char *path = rom_path(file);
    GBytes *bytes = boot_read_file("option ROM", path, error);
    struct board_rom *rom = NULL;
    if (bytes && (g_bytes_get_size(bytes) == 0 || g_bytes_get_size(bytes) > ROM_MAX)) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT, "option ROM '%s' has no bytes, or more than 1 MiB", path);
        g_bytes_unref(bytes);
        bytes = NULL;
    }
    if (bytes) {
        gsize size;
        rom = g_new0(struct board_rom, 1);
        rom->bytes = g_bytes_unref_to_data(bytes, &size);
        rom->size = (uint32_t)size;
        if (!machine->roms)
            machine->roms = g_ptr_array_new_with_free_func(rom_free);
        g_ptr_array_add(machine->roms, rom);
    }
    g_free(path);
    return rom;
}

void roms_close(struct machine *machine)
{
    g_clear_pointer(&machine->roms, g_ptr_array_unref);
}
