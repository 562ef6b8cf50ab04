/* Guest physical memory: the RAM memfd, ROM, MMIO regions, per-page flags. See mem.h. */
#include "mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

struct mem guest_mem = {.fd = -1};

struct mem_region {
    gpa_t base;
    uint32_t size;
    const struct mmio_ops *ops;
    void *opaque;
    const char *name;
    uint8_t *rom; /* ROM above the end of RAM: its bytes; ops is rom_ops */
};

bool mem_init(uint64_t size, GError **error)
{
    assert_always(!guest_mem.ram);
    if (size < MiB || size > MEM_BELOW_4G_MAX || size % PAGE_SIZE) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "guest memory of %llu KiB is not possible: choose 1 MiB to 3072 MiB with -m",
                    (unsigned long long)(size / KiB));
        return false;
    }

    int fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
                    "cannot create %llu MiB of guest memory: %s; choose less with -m",
                    (unsigned long long)(size / MiB), g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    void *ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (ram == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
                    "cannot map %llu MiB of guest memory: %s; choose less with -m",
                    (unsigned long long)(size / MiB), g_strerror(errno));
        close(fd);
        return false;
    }
    guest_mem.fd = fd;
    guest_mem.ram = ram;
    guest_mem.ram_size = size;
    guest_mem.page_flags = g_malloc0(size >> PAGE_SHIFT);
    guest_mem.generation++;
    return true;
}

void mem_destroy(void)
{
    if (!guest_mem.ram)
        return;
    for (unsigned i = 0; i < guest_mem.region_count; i++)
        g_free(guest_mem.regions[i].rom);
    g_free(guest_mem.regions);
    g_free(guest_mem.page_flags);
    munmap(guest_mem.ram, guest_mem.ram_size);
    close(guest_mem.fd);
    guest_mem = (struct mem){.fd = -1, .generation = guest_mem.generation + 1};
}

/* The region of gpa, or NULL. Regions are sorted by base and do not overlap. */
static struct mem_region *mem_find(gpa_t gpa)
{
    unsigned low = 0, high = guest_mem.region_count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        struct mem_region *region = &guest_mem.regions[middle];
        if (gpa < region->base)
            high = middle;
        else if (gpa - region->base >= region->size)
            low = middle + 1;
        else
            return region;
    }
    return NULL;
}

static void mem_flag(gpa_t base, uint32_t size, uint8_t flag, bool on)
{
    for (gpa_t gpa = base; gpa < base + size && gpa < guest_mem.ram_size; gpa += PAGE_SIZE) {
        uint8_t *flags = &guest_mem.page_flags[gpa >> PAGE_SHIFT];
        *flags = (uint8_t)(on ? *flags | flag : *flags & ~flag);
    }
}

/* What was translated or decoded from these pages is about to vanish. */
static void mem_forget_code(gpa_t base, uint32_t size)
{
    for (gpa_t gpa = base; gpa < base + size && gpa < guest_mem.ram_size; gpa += PAGE_SIZE) {
        uint8_t flags = mem_page_flags(gpa);
        if ((flags & MEM_PAGE_CODE) && guest_mem.code_written)
            guest_mem.code_written(guest_mem.code_opaque, gpa, PAGE_SIZE);
        if ((flags & MEM_PAGE_DECODED) && guest_mem.decoded_written)
            guest_mem.decoded_written(guest_mem.decoded_opaque, gpa, PAGE_SIZE);
    }
}

static void mem_insert(const struct mem_region *region)
{
    unsigned at = 0;

    assert_always(region->size && region->base % PAGE_SIZE == 0 && region->size % PAGE_SIZE == 0);
    guest_mem.regions =
        g_renew(struct mem_region, guest_mem.regions, guest_mem.region_count + 1);
    while (at < guest_mem.region_count && guest_mem.regions[at].base < region->base)
        at++;
    assert_always(at == 0 || guest_mem.regions[at - 1].base + guest_mem.regions[at - 1].size <=
                                 region->base);
    assert_always(at == guest_mem.region_count ||
                  region->base + region->size <= guest_mem.regions[at].base);
    memmove(&guest_mem.regions[at + 1], &guest_mem.regions[at],
            (guest_mem.region_count - at) * sizeof(guest_mem.regions[0]));
    guest_mem.regions[at] = *region;
    guest_mem.region_count++;
    mem_forget_code(region->base, region->size);
    mem_flag(region->base, region->size, MEM_PAGE_MMIO, true);
    guest_mem.generation++;
}

void mem_add_mmio(gpa_t base, uint32_t size, const struct mmio_ops *ops, void *opaque,
                  const char *name)
{
    struct mem_region region = {base, size, ops, opaque, name, NULL};

    mem_insert(&region);
}

bool mem_is_free(gpa_t base, uint32_t size)
{
    if (base < guest_mem.ram_size)
        return false;
    for (unsigned i = 0; i < guest_mem.region_count; i++) {
        const struct mem_region *region = &guest_mem.regions[i];
        if (base < region->base + region->size && region->base < base + size)
            return false;
    }
    return true;
}

void mem_remove_mmio(gpa_t base)
{
    struct mem_region *region = mem_find(base);

    assert_always(region && region->base == base);
    mem_flag(base, region->size, MEM_PAGE_MMIO, false);
    g_free(region->rom);
    unsigned at = (unsigned)(region - guest_mem.regions);
    memmove(region, region + 1, (guest_mem.region_count - at - 1) * sizeof(*region));
    guest_mem.region_count--;
    guest_mem.generation++;
}

static uint64_t rom_read(void *opaque, uint32_t offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, (uint8_t *)opaque + offset, size);
    return value;
}

static void rom_write(void *opaque, uint32_t offset, unsigned size, uint64_t value)
{
    log_guest("write of %u bytes to ROM, offset %x", size, offset);
}

static const struct mmio_ops rom_ops = {rom_read, rom_write};

void mem_add_rom(gpa_t base, const void *image, uint32_t size)
{
    uint32_t whole = (size + PAGE_SIZE - 1) & PAGE_MASK;

    assert_always(base % PAGE_SIZE == 0 && size > 0);
    if (base + whole <= guest_mem.ram_size) {
        mem_forget_code(base, whole);
        memset(guest_mem.ram + base, 0xff, whole);
        memcpy(guest_mem.ram + base, image, size);
        mem_set_rom(base, whole, true);
        return;
    }
    assert_always(base >= guest_mem.ram_size);
    struct mem_region region = {base, whole, &rom_ops, NULL, "rom", g_malloc(whole)};
    memset(region.rom, 0xff, whole);
    memcpy(region.rom, image, size);
    region.opaque = region.rom;
    mem_insert(&region);
}

void mem_set_rom(gpa_t base, uint32_t size, bool rom)
{
    mem_flag(base, size, MEM_PAGE_ROM, rom);
    guest_mem.generation++;
}

bool mem_is_mmio(gpa_t gpa)
{
    return mem_ptr(gpa) == NULL;
}

/* The widest naturally aligned access that fits. */
static unsigned mmio_width(uint32_t offset, uint32_t len)
{
    for (unsigned size = 8; size > 1; size /= 2) {
        if (len >= size && offset % size == 0)
            return size;
    }
    return 1;
}

/* Devices see at most the widths a guest's instruction would use on the bus: len as it came if it
 * is 1, 2, 4 or 8 and aligned, else natural pieces. */
static void mmio_read(gpa_t gpa, uint8_t *buffer, uint32_t len)
{
    struct mem_region *region = mem_find(gpa);

    if (!region || !region->ops->read) {
        log_at(LOG_IO, "io: read of %u bytes at %llx: nobody\n", len, (unsigned long long)gpa);
        memset(buffer, 0xff, len);
        return;
    }
    uint32_t offset = (uint32_t)(gpa - region->base);
    while (len > 0) {
        unsigned size = mmio_width(offset, len);
        uint64_t value = region->ops->read(region->opaque, offset, size);
        memcpy(buffer, &value, size);
        offset += size;
        buffer += size;
        len -= size;
    }
}

static void mmio_write(gpa_t gpa, const uint8_t *buffer, uint32_t len)
{
    struct mem_region *region = mem_find(gpa);

    if (!region || !region->ops->write) {
        log_at(LOG_IO, "io: write of %u bytes at %llx: nobody\n", len, (unsigned long long)gpa);
        return;
    }
    uint32_t offset = (uint32_t)(gpa - region->base);
    while (len > 0) {
        unsigned size = mmio_width(offset, len);
        uint64_t value = 0;
        memcpy(&value, buffer, size);
        region->ops->write(region->opaque, offset, size, value);
        offset += size;
        buffer += size;
        len -= size;
    }
}

static uint32_t bytes_in_page(gpa_t gpa, uint32_t len)
{
    uint32_t rest = PAGE_SIZE - (uint32_t)(gpa % PAGE_SIZE);

    return len < rest ? len : rest;
}

void mem_read(gpa_t gpa, void *buffer, uint32_t len)
{
    uint8_t *to = buffer;

    while (len > 0) {
        uint32_t piece = bytes_in_page(gpa, len);
        const uint8_t *from = mem_ptr(gpa);
        if (from)
            memcpy(to, from, piece);
        else
            mmio_read(gpa, to, piece);
        gpa += piece;
        to += piece;
        len -= piece;
    }
}

void mem_write(gpa_t gpa, const void *buffer, uint32_t len)
{
    const uint8_t *from = buffer;

    while (len > 0) {
        uint32_t piece = bytes_in_page(gpa, len);
        uint8_t *to = mem_ptr(gpa);
        if (to) {
            uint8_t flags = mem_page_flags(gpa);
            if (!(flags & MEM_PAGE_ROM)) {
                if ((flags & MEM_PAGE_CODE) && guest_mem.code_written)
                    guest_mem.code_written(guest_mem.code_opaque, gpa, piece);
                if ((flags & MEM_PAGE_DECODED) && guest_mem.decoded_written)
                    guest_mem.decoded_written(guest_mem.decoded_opaque, gpa, piece);
                memcpy(to, from, piece);
            }
        } else {
            mmio_write(gpa, from, piece);
        }
        gpa += piece;
        from += piece;
        len -= piece;
    }
}
