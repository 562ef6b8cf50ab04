/* -kernel: reading files, telling kinds of kernels apart, and what all boot protocols share. */
#include "loader.h"

#include <string.h>

#include "mem.h"

struct boot_image {
    struct linux_image *linux_image;
    struct multiboot_image *multiboot;
    uint64_t ram_size;
};

G_DEFINE_QUARK(ringer - boot - error - quark, boot_error)

/* Where no BIOS ran that would say. */
static void boot_memory_map(uint64_t ram_size, struct e820_map *map)
{
    unsigned n = 0;
    map->entry[n++] = (struct e820_entry){0, 0x9fc00, E820_RAM};
    map->entry[n++] = (struct e820_entry){0x9fc00, 0x400, E820_RESERVED}; /* extended BIOS data area */
    map->entry[n++] = (struct e820_entry){0xf0000, 0x10000, E820_RESERVED};
    if (ram_size > MiB)
        map->entry[n++] = (struct e820_entry){MiB, ram_size - MiB, E820_RAM};
    map->count = n;
}

GMappedFile *boot_map_file(const char *what, const char *path, GError **error)
{
    GError *cause = NULL;

    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FILE, "%s '%s' is a directory; name a file", what, path);
        return NULL;
    }
    GMappedFile *file = g_mapped_file_new(path, FALSE, &cause);
    if (!file) {
        const char *why = cause->code == G_FILE_ERROR_NOENT ? "there is no such file" : cause->message;
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FILE, "cannot read %s '%s': %s", what, path, why);
        g_error_free(cause);
        return NULL;
    }
    if (g_mapped_file_get_length(file) == 0) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FILE, "%s '%s' is empty", what, path);
        g_mapped_file_unref(file);
        return NULL;
    }
    return file;
}

static void segment_set(struct seg *seg, uint16_t sel, uint16_t access)
{
    *seg = (struct seg){.sel = sel, .access = access, .base = 0, .limit = 0xffffffffu};
}

void boot_set_flat_mode(struct cpu *cpu, uint32_t eip)
{
    static const uint64_t gdt[4] = {0, 0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull};
    const uint16_t code = ACC_P | ACC_S | ACC_CODE | ACC_READ | ACC_ACCESSED | ACC_DB | ACC_G;
    const uint16_t stack = ACC_P | ACC_S | ACC_WRITE | ACC_ACCESSED | ACC_DB | ACC_G;

    mem_write(BOOT_GDT, gdt, sizeof(gdt));
    cpu->gdtr = (struct dtable){BOOT_GDT, sizeof(gdt) - 1};
    cpu->idtr = (struct dtable){0, 0};
    segment_set(&cpu->seg[SEG_CS], BOOT_CS, code);
    for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
        if (s != SEG_CS)
            segment_set(&cpu->seg[s], BOOT_DS, stack);
    }
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[ESP] = BOOT_GDT; /* undefined by the protocols; better somewhere harmless */
    cpu->cr0 = CR0_PE | CR0_ET;
    cpu->cpl = 0;
    cpu->eflags = FL_FIXED1;
    cpu->eip = eip;
    cpu->changed |= CHANGED_MODE | CHANGED_CR3 | CHANGED_TLB;
}

struct boot_image *boot_image_open(const char *kernel, const char *initrd, const char *append, uint64_t ram_size,
                                   GError **error)
{
    GMappedFile *file = boot_map_file("kernel", kernel, error);
    if (!file)
        return NULL;

    const uint8_t *bytes = (const uint8_t *)g_mapped_file_get_contents(file);
    size_t len = g_mapped_file_get_length(file);
    struct boot_image *image = g_new0(struct boot_image, 1);
    image->ram_size = ram_size;
    if (!append)
        append = "";

    if (linux_is_kernel(bytes, len)) {
        image->linux_image = linux_image_new(kernel, file, initrd, append, ram_size, error);
    } else if (multiboot_is_kernel(bytes, len)) {
        image->multiboot = multiboot_image_new(kernel, file, initrd, append, ram_size, error);
    } else if (len >= 4 && memcmp(bytes, "\177ELF", 4) == 0) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' is an ELF file without a multiboot header; give the bzImage instead", kernel);
    } else {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' is neither a Linux bzImage nor a multiboot kernel", kernel);
    }
    g_mapped_file_unref(file); /* the loaders hold their own references */
    if (!image->linux_image && !image->multiboot) {
        g_free(image);
        return NULL;
    }
    return image;
}

void boot_image_free(struct boot_image *image)
{
    if (!image)
        return;
    if (image->linux_image)
        linux_image_free(image->linux_image);
    if (image->multiboot)
        multiboot_image_free(image->multiboot);
    g_free(image);
}

void boot_image_install(const struct boot_image *image, struct cpu *cpu, const struct e820_map *map)
{
    struct e820_map own;
    if (!map) {
        boot_memory_map(image->ram_size, &own);
        map = &own;
    }
    if (image->linux_image)
        linux_image_install(image->linux_image, cpu, map);
    else
        multiboot_image_install(image->multiboot, cpu, map);
}
