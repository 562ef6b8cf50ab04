/* Multiboot 1 kernels: ELF32 or the a.out kludge, modules, memory map.
 *
 * Multiboot Specification 0.6.96. The information structure and its strings stand below 640 KiB, modules
 * page-aligned above the kernel.
 */
#include "loader.h"

#include <elf.h>
#include <string.h>

#include "mem.h"

#define MB_MAGIC       0x1badb002u
#define MB_BOOT_MAGIC  0x2badb002u
#define MB_SEARCH      8192
#define MB_MEMORY_INFO 0x00000002u
#define MB_VIDEO_MODE  0x00000004u
#define MB_AOUT_KLUDGE 0x00010000u
#define MB_KNOWN_MUST  0x00000007u /* of bits 0 to 15, which a loader must understand */

#define MBI_MEMORY  0x001u
#define MBI_DEVICE  0x002u
#define MBI_CMDLINE 0x004u
#define MBI_MODULES 0x008u
#define MBI_MMAP    0x040u
#define MBI_LOADER  0x200u

struct mb_header {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

struct mb_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
};

struct mb_module {
    uint32_t start, end, string, reserved;
};

struct mb_mmap {
    uint32_t size; /* of what follows */
    struct e820_entry entry;
} __attribute__((packed));

/* A piece of the kernel file that goes to guest memory; memory beyond file_size is cleared. */
struct mb_segment {
    uint32_t offset, file_size, addr, mem_size;
};

struct multiboot_image {
    GBytes *kernel;
    GArray *segments;        /* struct mb_segment */
    GPtrArray *module_files; /* GBytes */
    GPtrArray *module_strings;
    GArray *module_addrs; /* uint32_t */
    char *cmdline;
    uint64_t ram_size;
    uint32_t entry;
};

/* Offset of the header, or -1. The header struct is padded with zeroes at the end of the file. */
static long multiboot_find(const uint8_t *file, size_t len, struct mb_header *header)
{
    for (size_t at = 0; at + 12 <= len && at + 12 <= MB_SEARCH; at += 4) {
        memset(header, 0, sizeof(*header));
        memcpy(header, file + at, MIN(sizeof(*header), len - at));
        if (header->magic == MB_MAGIC && header->magic + header->flags + header->checksum == 0)
            return (long)at;
    }
    return -1;
}

bool multiboot_is_kernel(const uint8_t *file, size_t len)
{
    struct mb_header header = {0};
    return multiboot_find(file, len, &header) >= 0;
}

static bool segment_add(struct multiboot_image *image, const char *path, size_t len, uint64_t offset,
                        uint64_t file_size, uint64_t addr, uint64_t mem_size, GError **error)
{
    if (offset > len || file_size > len - offset) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' is truncated: a segment of it ends beyond the file", path);
        return false;
    }
    if (addr + mem_size > image->ram_size) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_SPACE,
                    "kernel '%s' needs memory up to %llu MiB, the machine has %llu; give more with -m", path,
                    (unsigned long long)((addr + mem_size + MiB - 1) / MiB),
                    (unsigned long long)(image->ram_size / MiB));
        return false;
    }
    /* What we hand over has its place, too; nobody links a kernel there. */
    if (addr < BOOT_LOW_END && addr + mem_size > BOOT_GDT) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_SPACE,
                    "kernel '%s' wants the memory at %#x, where the boot information goes", path, BOOT_GDT);
        return false;
    }
    struct mb_segment segment = {(uint32_t)offset, (uint32_t)file_size, (uint32_t)addr, (uint32_t)mem_size};
    g_array_append_val(image->segments, segment);
    return true;
}

static bool multiboot_read_aout(struct multiboot_image *image, const char *path, size_t len,
                                const struct mb_header *header, long at, GError **error)
{
    uint32_t before = header->header_addr - header->load_addr; /* bytes of the image before the header */
    if (header->header_addr < header->load_addr || before > (uint64_t)at) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT, "kernel '%s' has a multiboot header that contradicts itself",
                    path);
        return false;
    }
    uint64_t offset = (uint64_t)at - before;
    uint64_t file_size = header->load_end_addr ? (uint64_t)header->load_end_addr - header->load_addr : len - offset;
    uint64_t mem_size = file_size;
    if (header->bss_end_addr > header->load_addr)
        mem_size = MAX(mem_size, (uint64_t)header->bss_end_addr - header->load_addr);
    image->entry = header->entry_addr;
    return segment_add(image, path, len, offset, file_size, header->load_addr, mem_size, error);
}

static bool multiboot_read_elf(struct multiboot_image *image, const char *path, const uint8_t *file, size_t len,
                               GError **error)
{
    Elf32_Ehdr ehdr;
    if (len < sizeof(ehdr) || memcmp(file, ELFMAG, SELFMAG) != 0) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' has a multiboot header but is neither ELF nor gives load addresses", path);
        return false;
    }
    memcpy(&ehdr, file, sizeof(ehdr));
    if (ehdr.e_ident[EI_CLASS] != ELFCLASS32 || ehdr.e_machine != EM_386) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT,
                    "kernel '%s' is not a 32-bit x86 ELF file; this is a 32-bit PC", path);
        return false;
    }
    if (ehdr.e_phentsize != sizeof(Elf32_Phdr) || ehdr.e_phoff > len ||
        (len - ehdr.e_phoff) / sizeof(Elf32_Phdr) < ehdr.e_phnum) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT, "kernel '%s' is truncated: its program headers are not there",
                    path);
        return false;
    }
    image->entry = ehdr.e_entry;
    for (unsigned i = 0; i < ehdr.e_phnum; i++) {
        Elf32_Phdr phdr;
        memcpy(&phdr, file + ehdr.e_phoff + i * sizeof(phdr), sizeof(phdr));
        if (phdr.p_type != PT_LOAD || phdr.p_memsz == 0)
            continue;
        if (!segment_add(image, path, len, phdr.p_offset, MIN(phdr.p_filesz, phdr.p_memsz), phdr.p_paddr, phdr.p_memsz,
                         error))
            return false;
        /* A kernel linked high names its entry by virtual address. */
        if (ehdr.e_entry >= phdr.p_vaddr && ehdr.e_entry - phdr.p_vaddr < phdr.p_memsz)
            image->entry = ehdr.e_entry - phdr.p_vaddr + phdr.p_paddr;
    }
    if (image->segments->len == 0) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT, "kernel '%s' has nothing to load", path);
        return false;
    }
    return true;
}

static uint64_t multiboot_end(const struct multiboot_image *image)
{
    uint64_t end = MiB;
    for (unsigned i = 0; i < image->segments->len; i++) {
        const struct mb_segment *segment = &g_array_index(image->segments, struct mb_segment, i);
        end = MAX(end, (uint64_t)segment->addr + segment->mem_size);
    }
    return end;
}

/* "file args,file2 args": each piece is a module; its string is the whole piece. ",," stands for a comma. */
static char **modules_split(const char *list)
{
    GPtrArray *pieces = g_ptr_array_new();
    GString *piece = g_string_new(NULL);
    for (const char *c = list;; c++) {
        if (c[0] == ',' && c[1] == ',') {
            g_string_append_c(piece, *c++);
        } else if (*c == ',' || *c == 0) {
            g_ptr_array_add(pieces, g_strdup(piece->str));
            g_string_truncate(piece, 0);
            if (*c == 0)
                break;
        } else {
            g_string_append_c(piece, *c);
        }
    }
    g_string_free(piece, TRUE);
    g_ptr_array_add(pieces, NULL);
    return (char **)g_ptr_array_free(pieces, FALSE);
}

static bool multiboot_read_modules(struct multiboot_image *image, const char *list, GError **error)
{
    char **pieces = modules_split(list);
    uint64_t next = multiboot_end(image);
    bool ok = true;

    for (unsigned i = 0; pieces[i] && ok; i++) {
        const char *start = pieces[i] + strspn(pieces[i], " ");
        char *path = g_strndup(start, strcspn(start, " "));
        GBytes *file = boot_read_file("initrd", path, error);
        ok = file != NULL;
        if (ok) {
            uint64_t size = g_bytes_get_size(file);
            next = (next + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
            uint32_t addr = (uint32_t)next;
            g_ptr_array_add(image->module_files, file);
            g_ptr_array_add(image->module_strings, g_strdup(start));
            g_array_append_val(image->module_addrs, addr);
            next += size;
            if (next > image->ram_size) {
                g_set_error(error, BOOT_ERROR, BOOT_ERROR_SPACE,
                            "initrd '%s' (%llu KiB) does not fit beside the kernel in %llu MiB; "
                            "give more with -m",
                            path, (unsigned long long)(size / KiB), (unsigned long long)(image->ram_size / MiB));
                ok = false;
            }
        }
        g_free(path);
    }
    g_strfreev(pieces);
    return ok;
}

/* Bytes of boot information: see multiboot_image_install. */
static size_t multiboot_info_size(const struct multiboot_image *image)
{
    size_t size = sizeof(struct mb_info) + E820_MAX * sizeof(struct mb_mmap) +
                  image->module_files->len * sizeof(struct mb_module) + strlen(image->cmdline) + 1 + 64;
    for (unsigned i = 0; i < image->module_strings->len; i++)
        size += strlen(g_ptr_array_index(image->module_strings, i)) + 1;
    return size;
}

struct multiboot_image *multiboot_image_new(const char *path, GBytes *kernel, const char *modules, const char *append,
                                            uint64_t ram_size, GError **error)
{
    struct multiboot_image *image = g_new0(struct multiboot_image, 1);
    size_t len;
    const uint8_t *file = g_bytes_get_data(kernel, &len);
    struct mb_header header = {0};
    long at = multiboot_find(file, len, &header);

    image->kernel = g_bytes_ref(kernel);
    image->segments = g_array_new(FALSE, FALSE, sizeof(struct mb_segment));
    image->module_files = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    image->module_strings = g_ptr_array_new_with_free_func(g_free);
    image->module_addrs = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    image->cmdline = append[0] ? g_strdup_printf("%s %s", path, append) : g_strdup(path);
    image->ram_size = ram_size;

    bool ok = true;
    if (header.flags & 0xffff & ~MB_KNOWN_MUST) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_FORMAT, "kernel '%s' demands unknown multiboot features (flags %#x)",
                    path, header.flags);
        ok = false;
    }
    ok = ok && (header.flags & MB_AOUT_KLUDGE ? multiboot_read_aout(image, path, len, &header, at, error)
                                              : multiboot_read_elf(image, path, file, len, error));
    ok = ok && (!modules || multiboot_read_modules(image, modules, error));
    if (ok && multiboot_info_size(image) > BOOT_LOW_END - BOOT_PARAMS) {
        g_set_error(error, BOOT_ERROR, BOOT_ERROR_SPACE, "-append and -initrd arguments take more than %u KiB",
                    (BOOT_LOW_END - BOOT_PARAMS) / 1024);
        ok = false;
    }
    if (!ok) {
        multiboot_image_free(image);
        return NULL;
    }
    return image;
}

void multiboot_image_free(struct multiboot_image *image)
{
    g_bytes_unref(image->kernel);
    g_array_unref(image->segments);
    g_ptr_array_unref(image->module_files);
    g_ptr_array_unref(image->module_strings);
    g_array_unref(image->module_addrs);
    g_free(image->cmdline);
    g_free(image);
}

/* Appends to the boot information; returns the guest address. */
static uint32_t info_put(uint32_t *next, const void *bytes, size_t len)
{
    uint32_t addr = *next;
    mem_write(addr, bytes, (uint32_t)len);
    *next = (uint32_t)((addr + len + 3) & ~3ull);
    return addr;
}

void multiboot_image_install(const struct multiboot_image *image, struct cpu *cpu, const struct e820_map *map)
{
    const uint8_t *file = boot_bytes(image->kernel);
    static const uint8_t zeroes[PAGE_SIZE];

    for (unsigned i = 0; i < image->segments->len; i++) {
        const struct mb_segment *segment = &g_array_index(image->segments, struct mb_segment, i);
        mem_write(segment->addr, file + segment->offset, MIN(segment->file_size, segment->mem_size));
        for (uint32_t at = segment->file_size; at < segment->mem_size; at += PAGE_SIZE)
            mem_write(segment->addr + at, zeroes, MIN(PAGE_SIZE, segment->mem_size - at));
    }

    /* What QEMU says, too: the boot device (a disk, unknown partition) and the modules, though there be none. */
    struct mb_info info = {.flags = MBI_MEMORY | MBI_DEVICE | MBI_CMDLINE | MBI_MODULES | MBI_MMAP | MBI_LOADER,
                           .boot_device = 0x8000ffff};
    uint32_t next = BOOT_PARAMS + sizeof(info);
    info.mem_lower = 639;
    info.mem_upper = (uint32_t)((image->ram_size - MIN(image->ram_size, MiB)) / KiB);
    info.cmdline = info_put(&next, image->cmdline, strlen(image->cmdline) + 1);
    info.boot_loader_name = info_put(&next, "ringer", 7);

    struct mb_mmap mmap[E820_MAX];
    for (unsigned i = 0; i < map->count; i++)
        mmap[i] = (struct mb_mmap){sizeof(map->entry[i]), map->entry[i]};
    info.mmap_length = map->count * (uint32_t)sizeof(mmap[0]);
    info.mmap_addr = info_put(&next, mmap, info.mmap_length);

    if (image->module_files->len) {
        struct mb_module *modules = g_new0(struct mb_module, image->module_files->len);
        for (unsigned i = 0; i < image->module_files->len; i++) {
            GBytes *module = g_ptr_array_index(image->module_files, i);
            const char *string = g_ptr_array_index(image->module_strings, i);
            uint32_t size = (uint32_t)g_bytes_get_size(module);
            modules[i].start = g_array_index(image->module_addrs, uint32_t, i);
            modules[i].end = modules[i].start + size;
            modules[i].string = info_put(&next, string, strlen(string) + 1);
            mem_write(modules[i].start, boot_bytes(module), size);
        }
        info.mods_count = image->module_files->len;
        info.mods_addr = info_put(&next, modules, info.mods_count * sizeof(*modules));
        g_free(modules);
    }
    mem_write(BOOT_PARAMS, &info, sizeof(info));

    boot_set_flat_mode(cpu, BOOT_CS_MULTIBOOT, image->entry);
    cpu->gpr[EAX] = MB_BOOT_MAGIC;
    cpu->gpr[EBX] = BOOT_PARAMS;
}
