/* Linux bzImage by the 32-bit boot protocol.
 *
 * Linux, Documentation/arch/x86/boot.rst ("32-bit boot protocol") and zero-page.rst. The kernel's
 * real-mode setup code is not run: what it would find out stands in boot_params.
 */
#include "loader.h"

#include <string.h>

#include "acpi_tables.h"
#include "mem.h"

/* Setup header, offsets in the file and in boot_params. */
#define HDR_START        0x1f1
#define HDR_SETUP_SECTS  0x1f1
#define HDR_SYSSIZE      0x1f4
#define HDR_VID_MODE     0x1fa
#define HDR_BOOT_FLAG    0x1fe
#define HDR_JUMP         0x200 /* its second byte: header's end is 0x202 + that */
#define HDR_MAGIC        0x202
#define HDR_VERSION      0x206
#define HDR_LOADER_TYPE  0x210
#define HDR_LOADFLAGS    0x211
#define HDR_CODE32_START 0x214
#define HDR_RAMDISK      0x218
#define HDR_RAMDISK_SIZE 0x21c
#define HDR_CMD_LINE_PTR 0x228
#define HDR_INITRD_MAX   0x22c
#define HDR_XLOADFLAGS   0x236
#define HDR_CMDLINE_SIZE 0x238
#define HDR_PREF_ADDRESS 0x258
#define HDR_INIT_SIZE    0x260
#define HDR_MIN_FILE     0x268

#define LOADED_HIGH   0x01u
#define XLF_KERNEL_64 0x01u

/* boot_params. */
#define BP_CURSOR        0x000 /* column, line */
#define BP_EXT_MEM_K     0x002
#define BP_VIDEO_MODE    0x006
#define BP_VIDEO_COLUMNS 0x007
#define BP_VIDEO_LINES   0x00e
#define BP_VIDEO_IS_VGA  0x00f
#define BP_VIDEO_POINTS  0x010
#define BP_ACPI_RSDP     0x070
#define BP_ALT_MEM_K     0x1e0
#define BP_E820_COUNT    0x1e8
#define BP_E820_TABLE    0x2d0

struct linux_image {
    GMappedFile *kernel, *initrd;
    char *append;
    uint64_t ram_size;
    uint32_t setup_size; /* bytes before the 32-bit code */
    uint32_t code_size;
    uint32_t load_addr;
    uint32_t initrd_addr;
};

static uint16_t get16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, 2);
    return value;
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, 4);
}

bool linux_is_kernel(const uint8_t *file, size_t len)
{
    return len >= HDR_MAGIC + 6 && get16(file + HDR_BOOT_FLAG) == 0xaa55 && memcmp(file + HDR_MAGIC, "HdrS", 4) == 0;
}

/* Everything that can be wrong with the kernel file. end: first byte above what it needs to unpack. */
static bool linux_check(struct linux_image *image, const char *path, const uint8_t *file, size_t len, uint64_t *end,
                        GError **error)
{
    unsigned version = get16(file + HDR_VERSION);
    if (version < 0x206) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' has boot protocol %u.%02u; at least 2.06 (Linux 2.6.22) is needed", path, version >> 8,
                    version & 0xff);
        return false;
    }
    if (len < HDR_MIN_FILE) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT, "kernel '%s' is truncated: it ends inside its header", path);
        return false;
    }
    if (!(file[HDR_LOADFLAGS] & LOADED_HIGH)) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT, "kernel '%s' is a zImage; give a bzImage", path);
        return false;
    }
    if (version >= 0x20c && (get16(file + HDR_XLOADFLAGS) & XLF_KERNEL_64)) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' is for 64-bit PCs; this is a 32-bit PC, give an i386 kernel", path);
        return false;
    }
    uint32_t sects = file[HDR_SETUP_SECTS] ? file[HDR_SETUP_SECTS] : 4;
    uint64_t promised = (uint64_t)get32(file + HDR_SYSSIZE) * 16;
    image->setup_size = (sects + 1) * 512;
    /* syssize counts paragraphs, and builders differ in whether the last one is padded. */
    if (len <= image->setup_size || len - image->setup_size + 16 < promised) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' is truncated: %llu bytes are there, its header says %llu", path,
                    (unsigned long long)len, (unsigned long long)(image->setup_size + promised));
        return false;
    }
    image->code_size = (uint32_t)(len - image->setup_size);
    image->load_addr = get32(file + HDR_CODE32_START);
    if (image->load_addr < MiB) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT, "kernel '%s' wants to be loaded at %#x, below 1 MiB", path,
                    image->load_addr);
        return false;
    }
    *end = (uint64_t)image->load_addr + image->code_size;
    if (version >= 0x20a) {
        uint64_t unpacked = MAX(get64(file + HDR_PREF_ADDRESS), image->load_addr) + get32(file + HDR_INIT_SIZE);
        *end = MAX(*end, unpacked);
    }
    if (*end > image->ram_size) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_SPACE,
                    "kernel '%s' needs %llu MiB to start, the machine has %llu; give more with -m", path,
                    (unsigned long long)((*end + MiB - 1) / MiB), (unsigned long long)(image->ram_size / MiB));
        return false;
    }
    size_t cmdline_max = get32(file + HDR_CMDLINE_SIZE);
    cmdline_max = MIN(cmdline_max, BOOT_LOW_END - BOOT_CMDLINE - 1);
    if (strlen(image->append) > cmdline_max) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_SPACE, "-append is %zu bytes long; this kernel takes %zu",
                    strlen(image->append), cmdline_max);
        return false;
    }
    return true;
}

/* The highest place below the kernel's own limit and the end of RAM. */
static bool linux_place_initrd(struct linux_image *image, const char *path, uint32_t addr_max, uint64_t kernel_end,
                               GError **error)
{
    image->initrd = boot_map_file("initrd", path, error);
    if (!image->initrd)
        return false;
    uint64_t size = g_mapped_file_get_length(image->initrd);
    uint64_t top = MIN(image->ram_size, (uint64_t)addr_max + 1);
    if (size > top || ((top - size) & ~(uint64_t)(PAGE_SIZE - 1)) < kernel_end) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_SPACE,
                    "initrd '%s' (%llu KiB) does not fit beside the kernel in %llu MiB; give more with -m", path,
                    (unsigned long long)(size / KiB), (unsigned long long)(image->ram_size / MiB));
        return false;
    }
    image->initrd_addr = (uint32_t)((top - size) & PAGE_MASK);
    return true;
}

struct linux_image *linux_image_new(const char *path, GMappedFile *kernel, const char *initrd, const char *append,
                                    uint64_t ram_size, GError **error)
{
    struct linux_image *image = g_new0(struct linux_image, 1);
    const uint8_t *file = (const uint8_t *)g_mapped_file_get_contents(kernel);
    uint64_t end;

    image->kernel = g_mapped_file_ref(kernel);
    image->append = g_strdup(append);
    image->ram_size = ram_size;
    if (!linux_check(image, path, file, g_mapped_file_get_length(kernel), &end, error) ||
        (initrd && !linux_place_initrd(image, initrd, get32(file + HDR_INITRD_MAX), end, error))) {
        linux_image_free(image);
        return NULL;
    }
    return image;
}

void linux_image_free(struct linux_image *image)
{
    if (image->initrd)
        g_mapped_file_unref(image->initrd);
    g_mapped_file_unref(image->kernel);
    g_free(image->append);
    g_free(image);
}

/* screen_info, from what the BIOS data area says about the screen. All zero is how "no VGA" is said. */
static void linux_fill_screen(uint8_t params[PAGE_SIZE])
{
    uint8_t bda[0x100];

    mem_read(0x400, bda, sizeof(bda));
    if (bda[0x49] != 3 || get16(bda + 0x63) != 0x3d4)
        return;
    memcpy(params + BP_CURSOR, bda + 0x50, 2); /* the console goes on where the BIOS stopped writing */
    params[BP_VIDEO_MODE] = bda[0x49];
    params[BP_VIDEO_COLUMNS] = bda[0x4a];
    params[BP_VIDEO_LINES] = (uint8_t)(bda[0x84] + 1);
    params[BP_VIDEO_IS_VGA] = 1;
    params[BP_VIDEO_POINTS] = bda[0x85];
}

static void linux_fill_params(const struct linux_image *image, const struct e820_map *map, uint8_t params[PAGE_SIZE])
{
    const uint8_t *file = (const uint8_t *)g_mapped_file_get_contents(image->kernel);
    unsigned header_end = HDR_MAGIC + file[HDR_JUMP + 1];
    char signature[8];

    memset(params, 0, PAGE_SIZE);
    memcpy(params + HDR_START, file + HDR_START, header_end - HDR_START);
    params[HDR_LOADER_TYPE] = 0xff;                         /* no registered boot loader */
    params[HDR_VID_MODE] = params[HDR_VID_MODE + 1] = 0xff; /* "normal" */
    put32(params + HDR_CMD_LINE_PTR, BOOT_CMDLINE);
    put32(params + HDR_CODE32_START, image->load_addr);
    if (image->initrd) {
        put32(params + HDR_RAMDISK, image->initrd_addr);
        put32(params + HDR_RAMDISK_SIZE, (uint32_t)g_mapped_file_get_length(image->initrd));
    }

    linux_fill_screen(params);
    uint64_t extended = image->ram_size > MiB ? (image->ram_size - MiB) / KiB : 0;
    params[BP_EXT_MEM_K] = MIN(extended, 0xffff) & 0xff;
    params[BP_EXT_MEM_K + 1] = MIN(extended, 0xffff) >> 8;
    put32(params + BP_ALT_MEM_K, (uint32_t)extended);
    /* Tables of our own are named; a BIOS's are searched for, as after any boot loader that does not know them. */
    mem_read(ACPI_RSDP_ADDR, signature, sizeof(signature));
    if (get16(file + HDR_VERSION) >= 0x20e && memcmp(signature, "RSD PTR ", sizeof(signature)) == 0)
        put32(params + BP_ACPI_RSDP, ACPI_RSDP_ADDR);

    params[BP_E820_COUNT] = (uint8_t)map->count;
    memcpy(params + BP_E820_TABLE, map->entry, map->count * sizeof(map->entry[0]));
}

void linux_image_install(const struct linux_image *image, struct cpu *cpu, const struct e820_map *map)
{
    const uint8_t *file = (const uint8_t *)g_mapped_file_get_contents(image->kernel);
    uint8_t params[PAGE_SIZE];

    linux_fill_params(image, map, params);
    mem_write(BOOT_PARAMS, params, sizeof(params));
    mem_write(BOOT_CMDLINE, image->append, (uint32_t)strlen(image->append) + 1);
    mem_write(image->load_addr, file + image->setup_size, image->code_size);
    if (image->initrd)
        mem_write(image->initrd_addr, g_mapped_file_get_contents(image->initrd),
                  (uint32_t)g_mapped_file_get_length(image->initrd));
    boot_set_flat_mode(cpu, image->load_addr);
    cpu->gpr[ESI] = BOOT_PARAMS;
}
