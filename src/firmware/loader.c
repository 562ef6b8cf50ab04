/* -kernel: reading files, telling kinds of kernels apart, and what all boot protocols share. */
#include "loader.h"

#include <glib/gstdio.h>
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
    uint64_t below = MIN(ram_size, MEM_BELOW_4G_MAX);
    unsigned n = 0;
    map->entry[n++] = (struct e820_entry){0, 0x9fc00, E820_RAM};
    map->entry[n++] = (struct e820_entry){0x9fc00, 0x400, E820_RESERVED}; /* extended BIOS data area */
    map->entry[n++] = (struct e820_entry){0xf0000, 0x10000, E820_RESERVED};
    if (below > MiB)
        map->entry[n++] = (struct e820_entry){MiB, below - MiB, E820_RAM};
    if (ram_size > below)
        map->entry[n++] = (struct e820_entry){MEM_HIGH, ram_size - below, E820_RAM};
    map->count = n;
}

GBytes *boot_read_file(const char *what, const char *path, GError **error)
{
    GError *cause = NULL;
    GStatBuf st;
    char *bytes;
    gsize len;
    bool is_there = g_stat(path, &st) == 0;

    if (is_there && !S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FILE, "%s '%s' is a %s; name a file", what, path,
                    S_ISDIR(st.st_mode) ? "directory" : "device");
        return NULL;
    }
    if (is_there && (uint64_t)st.st_size > 4 * GiB) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_SPACE, "%s '%s' (%llu MiB) does not fit into a 32-bit PC", what, path,
                    (unsigned long long)st.st_size / MiB);
        return NULL;
    }
    if (!g_file_get_contents(path, &bytes, &len, &cause)) {
        const char *why = cause->code == G_FILE_ERROR_NOENT ? "there is no such file" : cause->message;
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FILE, "cannot read %s '%s': %s", what, path, why);
        g_error_free(cause);
        return NULL;
    }
    if (len == 0) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FILE, "%s '%s' is empty", what, path);
        g_free(bytes);
        return NULL;
    }
    return g_bytes_new_take(bytes, len);
}

static void segment_set(struct seg *seg, uint16_t sel, uint16_t access)
{
    *seg = (struct seg){.sel = sel, .access = access, .base = 0, .limit = 0xffffffffu};
}

void boot_set_flat_mode(struct cpu *cpu, uint16_t code_sel, uint32_t eip)
{
    uint64_t gdt[8] = {0};
    const uint16_t code = ACC_P | ACC_S | ACC_CODE | ACC_READ | ACC_ACCESSED | ACC_DB | ACC_G;
    const uint16_t stack = ACC_P | ACC_S | ACC_WRITE | ACC_ACCESSED | ACC_DB | ACC_G;
    const uint16_t limit = code_sel + 15;

    gdt[code_sel >> 3] = 0x00cf9b000000ffffull;
    gdt[(code_sel >> 3) + 1] = 0x00cf93000000ffffull;
    mem_write(BOOT_GDT, gdt, limit + 1u);
    cpu->gdtr = (struct dtable){BOOT_GDT, limit};
    cpu->idtr = (struct dtable){0, 0};
    segment_set(&cpu->seg[SEG_CS], code_sel, code);
    for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
        if (s != SEG_CS)
            segment_set(&cpu->seg[s], code_sel + 8, stack);
    }
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[ESP] = BOOT_GDT; /* undefined by the protocols; better somewhere harmless */
    cpu->cr0 = CR0_PE | CR0_ET;
    cpu->cpl = 0;
    cpu->eflags = FL_FIXED1;
    cpu->eip = eip;
    cpu->changed |= CHANGED_MODE | CHANGED_CR3 | CHANGED_TLB;
}

void boot_set_real_mode(struct cpu *cpu, uint16_t code, uint16_t ip, uint16_t segment, uint16_t sp)
{
    for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
        uint16_t sel = s == SEG_CS ? code : segment;
        cpu->seg[s] = (struct seg){
            .sel = sel, .access = ACC_P | ACC_S | ACC_WRITE | ACC_ACCESSED, .base = sel * 16u, .limit = 0xffff};
    }
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[ESP] = sp;
    cpu->idtr = (struct dtable){0, 0x3ff};
    cpu->cr0 = CR0_ET;
    cpu->cpl = 0;
    cpu->eflags = FL_FIXED1;
    cpu->eip = ip;
    cpu->changed |= CHANGED_MODE | CHANGED_CR3 | CHANGED_TLB;
}

struct boot_image *boot_image_open(const char *kernel, const char *initrd, const char *append, uint64_t ram_size,
                                   GError **error)
{
    GBytes *file = boot_read_file("kernel", kernel, error);
    if (!file)
        return NULL;

    size_t len;
    const uint8_t *bytes = g_bytes_get_data(file, &len);
    struct boot_image *image = g_new0(struct boot_image, 1);
    image->ram_size = ram_size;
    ram_size = MIN(ram_size, MEM_BELOW_4G_MAX); /* nothing is loaded above */
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
    g_bytes_unref(file); /* the loaders hold their own references */
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

bool boot_image_needs_bios(const struct boot_image *image)
{
    return image->linux_image && linux_image_needs_bios(image->linux_image);
}

void boot_image_install(const struct boot_image *image, struct cpu *cpu, const struct e820_map *map)
{
    struct e820_map own;
    bool has_bios = map != NULL;
    if (!map) {
        boot_memory_map(image->ram_size, &own);
        map = &own;
    }
    if (image->linux_image)
        linux_image_install(image->linux_image, cpu, map, has_bios);
    else
        multiboot_image_install(image->multiboot, cpu, map);
}
