/* Linux kernels, and what looks like one (memdisk, iPXE, GRUB's lnxboot): boot protocols from 2.00 on.
 *
 * Linux, Documentation/arch/x86/boot.rst and zero-page.rst. Where our BIOS ran, the kernel starts as after any boot
 * loader of its time, and as with QEMU: its own setup code in real mode, which asks the BIOS for all that the kernel
 * wants to know. Where none ran that has services to offer (a -bios of the user's), it starts in its 32-bit code, what
 * setup would have found out standing in boot_params.
 *
 * In real mode (protocol)  from 2.02     2.00, 2.01    any, not loaded high (zImage)
 *      setup code          10000h        90000h        90000h
 *      command line        20000h        below 9A000h  below 9A000h
 *      the rest            100000h       100000h       10000h
 */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

#include "acpi_tables.h"
#include "mem.h"

/* Setup header, offsets in the file and in boot_params. */
#define HDR_START        0x1f1
#define HDR_OLD_MAGIC    0x020 /* the command line of 2.00 and 2.01: a mark, its offset from the setup code */
#define HDR_OLD_OFFSET   0x022
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
#define HDR_HEAP_END     0x224
#define HDR_CMD_LINE_PTR 0x228
#define HDR_INITRD_MAX   0x22c
#define HDR_XLOADFLAGS   0x236
#define HDR_CMDLINE_SIZE 0x238
#define HDR_PREF_ADDRESS 0x258
#define HDR_INIT_SIZE    0x260
#define HDR_MIN_FILE     0x268

#define OLD_MAGIC     0xa33fu
#define LOADED_HIGH   0x01u
#define CAN_USE_HEAP  0x80u
#define XLF_KERNEL_64 0x01u

#define INITRD_MAX_OLD 0x37ffffffu /* before the header said it */

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
    GBytes *kernel, *initrd;
    char *append;
    uint64_t ram_size;
    unsigned version;
    uint32_t setup_size; /* bytes before the 32-bit code */
    uint32_t code_size;
    uint32_t load_addr; /* as the 32-bit protocol wants it; 0: this kernel cannot be started by it */
    uint32_t initrd_addr;
    uint32_t real_addr, cmdline_addr, high_addr; /* in real mode */
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

static void put16(uint8_t *at, uint16_t value)
{
    memcpy(at, &value, 2);
}

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, 4);
}

bool linux_is_kernel(const uint8_t *file, size_t len)
{
    return len >= HDR_MAGIC + 6 && get16(file + HDR_BOOT_FLAG) == 0xaa55 && memcmp(file + HDR_MAGIC, "HdrS", 4) == 0;
}

/* What the header has from a version on; before that, otherwise. */
static uint32_t since(const struct linux_image *image, unsigned version, const uint8_t *at, uint32_t otherwise)
{
    return image->version >= version ? get32(at) : otherwise;
}

static void linux_place(struct linux_image *image, bool high)
{
    uint32_t line = (uint32_t)(strlen(image->append) + 16) & ~15u;

    bool is_old = !high || image->version < 0x202;
    image->real_addr = is_old ? 0x90000 : 0x10000;
    image->cmdline_addr = is_old ? 0x9a000 - line : 0x20000;
    image->high_addr = high ? MiB : 0x10000;
}

/* Everything that can be wrong with the kernel file. end: first byte above what it needs to unpack. */
static bool linux_check(struct linux_image *image, const char *path, const uint8_t *file, size_t len, uint64_t *end,
                        GError **error)
{
    bool high = file[HDR_LOADFLAGS] & LOADED_HIGH;

    image->version = get16(file + HDR_VERSION);
    if (image->version < 0x200) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT, "kernel '%s' has boot protocol %u.%02u; 2.00 is the first",
                    path, image->version >> 8, image->version & 0xff);
        return false;
    }
    uint32_t sects = file[HDR_SETUP_SECTS] ? file[HDR_SETUP_SECTS] : 4;
    image->setup_size = (sects + 1) * 512;
    if (len < HDR_MIN_FILE || len <= image->setup_size) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT, "kernel '%s' is truncated: it ends inside its %s", path,
                    len < HDR_MIN_FILE ? "header" : "setup code");
        return false;
    }
    if (image->version >= 0x20c && (get16(file + HDR_XLOADFLAGS) & XLF_KERNEL_64)) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' is for 64-bit PCs; this is a 32-bit PC, give an i386 kernel", path);
        return false;
    }
    /* syssize counts paragraphs, and builders differ in whether the last one is padded; before 2.04 it is 16 bits of
     * something else where the kernel is large. */
    uint64_t promised = (uint64_t)since(image, 0x204, file + HDR_SYSSIZE, high ? 0 : get16(file + HDR_SYSSIZE)) * 16;
    if (len - image->setup_size + 16 < promised) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' is truncated: %llu bytes are there, its header says %llu", path,
                    (unsigned long long)len, (unsigned long long)(image->setup_size + promised));
        return false;
    }
    image->code_size = (uint32_t)(len - image->setup_size);
    linux_place(image, high);
    image->load_addr = high && image->version >= 0x206 ? get32(file + HDR_CODE32_START) : 0;
    if (image->load_addr < MiB)
        image->load_addr = 0;
    *end = (uint64_t)MAX(image->load_addr, image->high_addr) + image->code_size;
    if (!high && *end > image->real_addr) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_SPACE, "kernel '%s' is a zImage of %u KiB; %u are possible", path,
                    image->code_size / 1024, (image->real_addr - image->high_addr) / 1024);
        return false;
    }
    if (image->setup_size > MIN(image->cmdline_addr, BOOT_LOW_END) - image->real_addr - PAGE_SIZE) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' has %u KiB of setup code, more than there is room for", path,
                    image->setup_size / 1024);
        return false;
    }
    if (image->version >= 0x20a) {
        uint64_t unpacked =
            MAX(get64(file + HDR_PREF_ADDRESS), MAX(image->load_addr, image->high_addr)) + get32(file + HDR_INIT_SIZE);
        *end = MAX(*end, unpacked);
    }
    if (*end > image->ram_size) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_SPACE,
                    "kernel '%s' needs %llu MiB to start, the machine has %llu; give more with -m", path,
                    (unsigned long long)((*end + MiB - 1) / MiB), (unsigned long long)(image->ram_size / MiB));
        return false;
    }
    size_t cmdline_max = since(image, 0x206, file + HDR_CMDLINE_SIZE, 255);
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
    image->initrd = boot_read_file("initrd", path, error);
    if (!image->initrd)
        return false;
    uint64_t size = g_bytes_get_size(image->initrd);
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

struct linux_image *linux_image_new(const char *path, GBytes *kernel, const char *initrd, const char *append,
                                    uint64_t ram_size, GError **error)
{
    struct linux_image *image = g_new0(struct linux_image, 1);
    const uint8_t *file = boot_bytes(kernel);
    uint64_t end;

    image->kernel = g_bytes_ref(kernel);
    image->append = g_strdup(append);
    image->ram_size = ram_size;
    if (!linux_check(image, path, file, g_bytes_get_size(kernel), &end, error) ||
        (initrd && !linux_place_initrd(image, initrd, since(image, 0x203, file + HDR_INITRD_MAX, INITRD_MAX_OLD),
                                       MAX(end, MiB), error))) {
        linux_image_free(image);
        return NULL;
    }
    return image;
}

void linux_image_free(struct linux_image *image)
{
    if (image->initrd)
        g_bytes_unref(image->initrd);
    g_bytes_unref(image->kernel);
    g_free(image->append);
    g_free(image);
}

bool linux_image_needs_bios(const struct linux_image *image)
{
    return image->load_addr == 0;
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
    const uint8_t *file = boot_bytes(image->kernel);
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
        put32(params + HDR_RAMDISK_SIZE, (uint32_t)g_bytes_get_size(image->initrd));
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

static void linux_start_32(const struct linux_image *image, struct cpu *cpu, const struct e820_map *map)
{
    uint8_t params[PAGE_SIZE];

    linux_fill_params(image, map, params);
    mem_write(BOOT_PARAMS, params, sizeof(params));
    mem_write(BOOT_CMDLINE, image->append, (uint32_t)strlen(image->append) + 1);
    mem_write(image->load_addr, boot_bytes(image->kernel) + image->setup_size, image->code_size);
    boot_set_flat_mode(cpu, BOOT_CS_LINUX, image->load_addr);
    cpu->gpr[ESI] = BOOT_PARAMS;
}

/* vga=..., which is for the boot loader: else the kernel's own wish stands. */
static void video_mode_set(uint8_t *setup, const char *append)
{
    static const struct {
        const char *name;
        uint16_t mode;
    } names[] = {{"normal", 0xffff}, {"ext", 0xfffe}, {"ask", 0xfffd}};
    const char *value = strstr(append, "vga=");

    if (!value || (value > append && value[-1] != ' '))
        return;
    uint16_t mode = (uint16_t)strtoul(value + 4, NULL, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_has_prefix(value + 4, names[i].name))
            mode = names[i].mode;
    }
    put16(setup + HDR_VID_MODE, mode);
}

static void linux_start_16(const struct linux_image *image, struct cpu *cpu)
{
    const uint8_t *file = boot_bytes(image->kernel);
    uint8_t *setup = g_memdup2(file, image->setup_size);
    uint16_t segment = (uint16_t)(image->real_addr >> 4), line = (uint16_t)(image->cmdline_addr - image->real_addr);
    bool is_near = image->cmdline_addr - image->real_addr < 64 * KiB;
    uint16_t stack = is_near ? line - 16 : 0xfff0;

    video_mode_set(setup, image->append);
    setup[HDR_LOADER_TYPE] = 0xff; /* no registered boot loader */
    if (image->version >= 0x202) {
        put32(setup + HDR_CMD_LINE_PTR, image->cmdline_addr);
    } else {
        put16(setup + HDR_OLD_MAGIC, OLD_MAGIC);
        put16(setup + HDR_OLD_OFFSET, line);
    }
    if (image->version >= 0x201) {
        setup[HDR_LOADFLAGS] |= CAN_USE_HEAP;
        put16(setup + HDR_HEAP_END, stack - 0x200 - 0x200); /* relative to the end of the boot sector; and some stack */
    }
    if (image->initrd) {
        put32(setup + HDR_RAMDISK, image->initrd_addr);
        put32(setup + HDR_RAMDISK_SIZE, (uint32_t)g_bytes_get_size(image->initrd));
    }
    mem_write(image->high_addr, file + image->setup_size, image->code_size);
    mem_write(image->real_addr, setup, image->setup_size);
    mem_write(image->cmdline_addr, image->append, (uint32_t)strlen(image->append) + 1);
    boot_set_real_mode(cpu, segment + 0x20, 0, segment, stack);
    g_free(setup);
}

void linux_image_install(const struct linux_image *image, struct cpu *cpu, const struct e820_map *map, bool has_bios)
{
    if (image->initrd)
        mem_write(image->initrd_addr, boot_bytes(image->initrd), (uint32_t)g_bytes_get_size(image->initrd));
    if (has_bios || !image->load_addr)
        linux_start_16(image, cpu);
    else
        linux_start_32(image, cpu, map);
}
