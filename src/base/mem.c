/* Guest physical memory: the RAM memfd, ROM, MMIO regions, per-page flags. See mem.h. */
#include "mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lock.h"
#include "log.h"

struct mem guest_mem = {.fd = -1};

struct mem_region {
    gpa_t base;
    uint32_t size;
    const struct mmio_ops *ops;
    void *opaque;
    const char *name;
    const struct mem_block *block; /* ops is NULL then */
    uint32_t offset;               /* in the block */
    bool rom;
};

/* C0000h to FFFFFh: what is not seen at the moment, DRAM where reads go to the bus, and the bus (ROM) where
 * they go to DRAM. guest_mem.ram holds what is seen, so that nobody else needs to know. */
#define PAM_UNIT  0x4000u
#define PAM_UNITS (MEM_ISA_ROM_SIZE / PAM_UNIT)
static struct {
    uint8_t hidden[MEM_ISA_ROM_SIZE];
    bool read_dram[PAM_UNITS], write_dram[PAM_UNITS];
    bool ready; /* somebody has a ROM or a chipset */
} pam;
static GPtrArray *blocks;

static void block_free(gpointer opaque)
{
    struct mem_block *block = opaque;
    munmap(block->host, block->size);
    g_free(block);
}

bool mem_init(uint64_t size, GError **error)
{
    assert_always(!guest_mem.ram);
    if (size < MiB || size > MEM_MAX || size % PAGE_SIZE) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "guest memory of %llu KiB is not possible: choose 1 MiB to %llu MiB with -m",
                    (unsigned long long)(size / KiB), MEM_MAX / MiB);
        return false;
    }

    int fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
                    "cannot create %llu MiB of guest memory: %s; choose less with -m", (unsigned long long)(size / MiB),
                    g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    void *ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (ram == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
                    "cannot map %llu MiB of guest memory: %s; choose less with -m", (unsigned long long)(size / MiB),
                    g_strerror(errno));
        close(fd);
        return false;
    }
    guest_mem.fd = fd;
    guest_mem.ram = ram;
    guest_mem.ram_below = MIN(size, MEM_BELOW_4G_MAX);
    guest_mem.ram_size = size;
    guest_mem.file_size = size;
    guest_mem.page_flags = g_malloc0(MEM_PAGES);
    guest_mem.generation++;
    blocks = g_ptr_array_new_with_free_func(block_free);
    memset(&pam, 0, sizeof pam);
    return true;
}

void mem_destroy(void)
{
    if (!guest_mem.ram)
        return;
    g_free(guest_mem.regions);
    g_ptr_array_free(blocks, TRUE);
    g_free(guest_mem.page_flags);
    munmap(guest_mem.ram, guest_mem.ram_size);
    close(guest_mem.fd);
    guest_mem = (struct mem){.fd = -1, .generation = guest_mem.generation + 1};
}

/* The region of gpa, or NULL. Regions are sorted by base and do not overlap. */
static struct mem_region *mem_find(gpa_t gpa)
{
    unsigned low = 0, high = guest_mem.region_count;
    /* Most often it is the one of the last time. Any thread may come here: it is a number, not an address. */
    static unsigned last;
    unsigned guess = __atomic_load_n(&last, __ATOMIC_RELAXED);

    if (guess < high && gpa - guest_mem.regions[guess].base < guest_mem.regions[guess].size)
        return &guest_mem.regions[guess];
    while (low < high) {
        unsigned middle = (low + high) / 2;
        struct mem_region *region = &guest_mem.regions[middle];
        if (gpa < region->base)
            high = middle;
        else if (gpa - region->base >= region->size)
            low = middle + 1;
        else {
            __atomic_store_n(&last, middle, __ATOMIC_RELAXED);
            return region;
        }
    }
    return NULL;
}

static void mem_flag(gpa_t base, uint32_t size, uint8_t flag, bool on)
{
    for (gpa_t gpa = base; gpa < base + size && gpa >> PAGE_SHIFT < MEM_PAGES; gpa += PAGE_SIZE) {
        uint8_t *flags = &guest_mem.page_flags[gpa >> PAGE_SHIFT];
        *flags = (uint8_t)(on ? *flags | flag : *flags & ~flag);
    }
}

/* What was translated or decoded from these pages is about to vanish. */
static void mem_forget_code(gpa_t base, uint32_t size)
{
    for (gpa_t gpa = base; gpa < base + size && gpa >> PAGE_SHIFT < MEM_PAGES; gpa += PAGE_SIZE) {
        uint8_t flags = mem_page_flags(gpa);
        if ((flags & MEM_PAGE_GUARDED) && guest_mem.code_written)
            guest_mem.code_written(guest_mem.code_opaque, gpa, PAGE_SIZE);
        if ((flags & MEM_PAGE_DECODED) && guest_mem.decoded_written)
            guest_mem.decoded_written(guest_mem.decoded_opaque, gpa, PAGE_SIZE);
    }
}

static void mem_insert(const struct mem_region *region)
{
    unsigned at = 0;

    assert_always(region->size && region->base % PAGE_SIZE == 0 && region->size % PAGE_SIZE == 0);
    guest_mem.regions = g_renew(struct mem_region, guest_mem.regions, guest_mem.region_count + 1);
    while (at < guest_mem.region_count && guest_mem.regions[at].base < region->base)
        at++;
    assert_always(at == 0 || guest_mem.regions[at - 1].base + guest_mem.regions[at - 1].size <= region->base);
    assert_always(at == guest_mem.region_count || region->base + region->size <= guest_mem.regions[at].base);
    memmove(&guest_mem.regions[at + 1], &guest_mem.regions[at],
            (guest_mem.region_count - at) * sizeof(guest_mem.regions[0]));
    guest_mem.regions[at] = *region;
    guest_mem.region_count++;
    mem_forget_code(region->base, region->size);
    mem_flag(region->base, region->size, MEM_PAGE_MMIO, true);
    guest_mem.generation++;
}

void mem_add_mmio(gpa_t base, uint32_t size, const struct mmio_ops *ops, void *opaque, const char *name)
{
    struct mem_region region = {.base = base, .size = size, .ops = ops, .opaque = opaque, .name = name};

    mem_insert(&region);
}

const struct mem_block *mem_block_new(uint32_t size, GError **error)
{
    assert_always(size && size % PAGE_SIZE == 0);
    uint64_t offset = guest_mem.file_size;
    void *host = MAP_FAILED;
    if (ftruncate(guest_mem.fd, (off_t)(offset + size)) == 0)
        host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, guest_mem.fd, (off_t)offset);
    if (host == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
                    "cannot create %u KiB of video memory or ROM: %s; raise the memory limit (ulimit -v)", size / 1024,
                    g_strerror(errno));
        return NULL;
    }
    guest_mem.file_size += size;
    struct mem_block *block = g_new(struct mem_block, 1);
    *block = (struct mem_block){host, offset, size};
    g_ptr_array_add(blocks, block);
    return block;
}

void mem_block_clear(const struct mem_block *block, uint32_t size)
{
    assert_always(size % PAGE_SIZE == 0 && size <= block->size);
    if (madvise(block->host, size, MADV_REMOVE) < 0)
        memset(block->host, 0, size);
}

void mem_map_block(gpa_t base, uint32_t size, const struct mem_block *block, uint32_t offset, bool rom,
                   const char *name)
{
    assert_always(offset % PAGE_SIZE == 0 && offset + (uint64_t)size <= block->size);
    struct mem_region region = {.base = base, .size = size, .name = name, .block = block, .offset = offset, .rom = rom};
    mem_insert(&region);
    if (rom)
        mem_flag(base, size, MEM_PAGE_ROM, true);
}

uint8_t *mem_ptr_other(gpa_t gpa)
{
    if (gpa >= MEM_HIGH && mem_is_ram(gpa))
        return guest_mem.ram + mem_ram_offset(gpa);
    const struct mem_region *region = mem_find(gpa);
    return region && region->block ? region->block->host + region->offset + (gpa - region->base) : NULL;
}

const uint8_t *mem_code_ptr_other(gpa_t gpa)
{
    const struct mem_region *region = mem_find(gpa);
    return region && !region->rom ? NULL : mem_ptr_other(gpa);
}

uint64_t mem_file_offset(gpa_t gpa)
{
    if (mem_is_ram(gpa))
        return mem_ram_offset(gpa);
    const struct mem_region *region = mem_find(gpa);
    assert_always(region && region->block);
    return region->block->offset + region->offset + (gpa - region->base);
}

static void piece_print(GString *out, gpa_t start, uint64_t size, const char *kind, const char *name)
{
    if (size)
        g_string_append_printf(out, "  %016llx-%016llx (prio 0, %s): %s\n", (unsigned long long)start,
                               (unsigned long long)(start + size - 1), kind, name);
}

void mem_print(GString *out)
{
    gpa_t at = 0;
    for (unsigned i = 0; i <= guest_mem.region_count; i++) {
        const struct mem_region *region = i < guest_mem.region_count ? &guest_mem.regions[i] : NULL;
        gpa_t end = region ? region->base : MEM_HIGH;
        if (at < guest_mem.ram_below)
            piece_print(out, at, MIN(end, guest_mem.ram_below) - at, "ram", "pc.ram");
        if (region)
            piece_print(out, region->base, region->size,
                        region->ops   ? "i/o"
                        : region->rom ? "rom"
                                      : "ram",
                        region->name);
        at = region ? region->base + region->size : end;
    }
    piece_print(out, MEM_HIGH, guest_mem.ram_size - guest_mem.ram_below, "ram", "pc.ram");
}

void mem_print_roms(GString *out)
{
    for (unsigned i = 0; i < guest_mem.region_count; i++) {
        const struct mem_region *region = &guest_mem.regions[i];
        if (region->rom)
            g_string_append_printf(out, "addr=%016llx size=0x%06x mem=rom name=\"%s\"\n",
                                   (unsigned long long)region->base, region->size, region->name);
    }
    g_string_append_printf(out, "addr=%016x size=0x%06x mem=rom name=\"isa-bios\"\n", MEM_ISA_ROM, MEM_ISA_ROM_SIZE);
}

struct mem_piece mem_piece_at(gpa_t gpa)
{
    gpa_t end = gpa < MEM_HIGH ? MEM_HIGH : (gpa_t)MEM_PAGES << PAGE_SHIFT, ram_end = mem_ram_end(gpa);
    const struct mem_region *region = mem_find(gpa);

    if (region) {
        uint8_t *host = region->block ? region->block->host + region->offset + (gpa - region->base) : NULL;
        return (struct mem_piece){region->base + region->size - gpa, host, region->rom};
    }
    for (unsigned i = 0; i < guest_mem.region_count; i++) {
        if (guest_mem.regions[i].base > gpa)
            end = MIN(end, guest_mem.regions[i].base);
    }
    if (gpa >= ram_end)
        return (struct mem_piece){end - gpa, NULL, false};
    end = MIN(end, ram_end);
    if (gpa >= MEM_HIGH) /* no ROM there */
        return (struct mem_piece){end - gpa, guest_mem.ram + mem_ram_offset(gpa), false};
    bool rom = mem_page_flags(gpa) & MEM_PAGE_ROM;
    gpa_t at = (gpa | (PAGE_SIZE - 1)) + 1;
    while (at < end && !!(mem_page_flags(at) & MEM_PAGE_ROM) == rom)
        at += PAGE_SIZE;
    return (struct mem_piece){at - gpa, guest_mem.ram + gpa, rom};
}

bool mem_is_free(gpa_t base, uint32_t size)
{
    if (base < mem_ram_end(base) || (base < MEM_HIGH && base + size > MEM_HIGH && mem_is_ram(MEM_HIGH)))
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
    mem_forget_code(base, region->size);
    mem_flag(base, region->size, MEM_PAGE_MMIO, false);
    if (region->rom)
        mem_flag(base, region->size, MEM_PAGE_ROM, false);
    unsigned at = (unsigned)(region - guest_mem.regions);
    memmove(region, region + 1, (guest_mem.region_count - at - 1) * sizeof(*region));
    guest_mem.region_count--;
    guest_mem.generation++;
}

void mem_add_rom(gpa_t base, const void *image, uint32_t size)
{
    uint32_t whole = (size + PAGE_SIZE - 1) & PAGE_MASK;

    assert_always(base % PAGE_SIZE == 0 && size > 0);
    if (base + whole <= guest_mem.ram_below) {
        mem_forget_code(base, whole);
        memset(guest_mem.ram + base, 0xff, whole);
        memcpy(guest_mem.ram + base, image, size);
        mem_set_rom(base, whole, true);
        return;
    }
    assert_always(base >= guest_mem.ram_below);
    const struct mem_block *block = mem_block_new(whole, NULL);
    assert_always(block);
    memset(block->host, 0xff, whole);
    memcpy(block->host, image, size);
    mem_map_block(base, whole, block, 0, true, "rom");
}

void mem_set_rom(gpa_t base, uint32_t size, bool rom)
{
    mem_flag(base, size, MEM_PAGE_ROM, rom);
    guest_mem.generation++;
}

/* From here on the area is the chipset's: all reads go to the bus, where nothing is yet. */
static void pam_begin(void)
{
    if (pam.ready || guest_mem.ram_size < MiB)
        return;
    pam.ready = true;
    memcpy(pam.hidden, guest_mem.ram + MEM_ISA_ROM, MEM_ISA_ROM_SIZE);
    memset(guest_mem.ram + MEM_ISA_ROM, 0xff, MEM_ISA_ROM_SIZE);
    mem_set_rom(MEM_ISA_ROM, MEM_ISA_ROM_SIZE, true);
}

void mem_set_isa_rom(gpa_t base, const void *image, uint32_t size)
{
    assert_always(base >= MEM_ISA_ROM && base + size <= MEM_ISA_ROM + MEM_ISA_ROM_SIZE);
    pam_begin();
    for (uint32_t done = 0; done < size;) {
        uint32_t at = (uint32_t)base - MEM_ISA_ROM + done, unit = at / PAM_UNIT;
        uint32_t piece = MIN(size - done, (unit + 1) * PAM_UNIT - at);
        uint8_t *bus = pam.read_dram[unit] ? pam.hidden : guest_mem.ram + MEM_ISA_ROM;
        if (!pam.read_dram[unit])
            mem_forget_code(MEM_ISA_ROM + unit * PAM_UNIT, PAM_UNIT);
        memcpy(bus + at, (const uint8_t *)image + done, piece);
        done += piece;
    }
}

void mem_set_pam(gpa_t base, uint32_t size, bool read_dram, bool write_dram)
{
    assert_always(base >= MEM_ISA_ROM && base + size <= MEM_ISA_ROM + MEM_ISA_ROM_SIZE && base % PAM_UNIT == 0 &&
                  size % PAM_UNIT == 0);
    pam_begin();
    for (unsigned unit = (unsigned)(base - MEM_ISA_ROM) / PAM_UNIT; size; unit++, size -= PAM_UNIT) {
        gpa_t gpa = MEM_ISA_ROM + unit * PAM_UNIT;
        if (pam.read_dram[unit] != read_dram) {
            uint8_t *seen = guest_mem.ram + gpa, *hidden = pam.hidden + unit * PAM_UNIT;
            uint8_t swap[PAM_UNIT];
            mem_forget_code(gpa, PAM_UNIT);
            memcpy(swap, seen, PAM_UNIT);
            memcpy(seen, hidden, PAM_UNIT);
            memcpy(hidden, swap, PAM_UNIT);
            pam.read_dram[unit] = read_dram;
        }
        pam.write_dram[unit] = write_dram;
        bool rom = !(read_dram && write_dram);
        if (rom != !!(mem_page_flags(gpa) & MEM_PAGE_ROM))
            mem_set_rom(gpa, PAM_UNIT, rom);
    }
}

/* A write to a page with MEM_PAGE_ROM: dropped, but for DRAM that takes writes while reads go to the bus. */
static void rom_write(gpa_t gpa, const uint8_t *bytes, uint32_t len)
{
    if (!pam.ready || gpa < MEM_ISA_ROM || gpa >= MEM_ISA_ROM + MEM_ISA_ROM_SIZE)
        return;
    unsigned unit = (unsigned)(gpa - MEM_ISA_ROM) / PAM_UNIT;
    if (pam.write_dram[unit] && !pam.read_dram[unit])
        memcpy(pam.hidden + (gpa - MEM_ISA_ROM), bytes, len);
}

bool mem_is_mmio(gpa_t gpa)
{
    return mem_ptr(gpa) == NULL;
}

/* Devices see at most the widths a guest's instruction would use on the bus: len as it came if it
 * is 1, 2, 4 or 8 and aligned, else natural pieces. */
static unsigned mmio_width(uint32_t offset, uint32_t len)
{
    unsigned size = 8;
    while (len < size || (offset & (size - 1)))
        size /= 2;
    return size;
}

static void mmio_read(const struct mem_region *region, gpa_t gpa, uint8_t *buffer, uint32_t len)
{
    if (!region || !region->ops || !region->ops->read) {
        log_at(LOG_IO, "io: read of %u bytes at %llx: nobody\n", len, (unsigned long long)gpa);
        memset(buffer, 0xff, len);
        return;
    }
    uint32_t offset = (uint32_t)(gpa - region->base);
    const struct mmio_ops *ops = region->ops; /* the access may change the map */
    void *opaque = region->opaque;
    guest_mem.device_accesses++;
    while (len > 0) {
        unsigned size = mmio_width(offset, len);
        uint64_t value = ops->read(opaque, offset, size);
        memcpy(buffer, &value, size);
        offset += size;
        buffer += size;
        len -= size;
    }
}

/* Not a copy to a wider variable: a load that takes in more than the last store waits for the cache. */
static uint64_t value_of(const uint8_t *buffer, unsigned size)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;

    switch (size) {
    case 1:
        return *buffer;
    case 2:
        memcpy(&two, buffer, 2);
        return two;
    case 4:
        memcpy(&four, buffer, 4);
        return four;
    }
    memcpy(&eight, buffer, 8);
    return eight;
}

static void mmio_write(const struct mem_region *region, gpa_t gpa, const uint8_t *buffer, uint32_t len)
{
    if (!region || !region->ops || !region->ops->write) {
        log_at(LOG_IO, "io: write of %u bytes at %llx: nobody\n", len, (unsigned long long)gpa);
        return;
    }
    uint32_t offset = (uint32_t)(gpa - region->base);
    const struct mmio_ops *ops = region->ops; /* the access may change the map */
    void *opaque = region->opaque;
    guest_mem.device_accesses++;
    while (len > 0) {
        unsigned size = mmio_width(offset, len);
        ops->write(opaque, offset, size, value_of(buffer, size));
        offset += size;
        buffer += size;
        len -= size;
    }
}

bool mem_touch_device(gpa_t gpa, void *buffer, uint32_t len, bool write)
{
    const struct mem_region *region = mem_find(gpa);
    bool lock = !region || !region->ops || !region->ops->unlocked;

    if (lock)
        machine_lock();
    if (write)
        mmio_write(region, gpa, buffer, len);
    else
        mmio_read(region, gpa, buffer, len);
    if (lock)
        machine_unlock();
    return lock;
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
            mmio_read(mem_find(gpa), gpa, to, piece);
        gpa += piece;
        to += piece;
        len -= piece;
    }
}

#define WRITE_AT_ONCE \
    (64 * KiB) /* from there on, the host's write beats its page faults: 3 ms for a kernel instead of 18 */

/* Writes what it can of whole pages of plain RAM through the memory file; returns how many bytes. */
static uint32_t write_ram(gpa_t gpa, const uint8_t *from, uint32_t len)
{
    uint32_t whole = 0;
    if (gpa % PAGE_SIZE)
        return 0;
    while (len - whole >= PAGE_SIZE && mem_is_ram(gpa + whole) && !mem_page_flags(gpa + whole))
        whole += PAGE_SIZE;
    if (whole < WRITE_AT_ONCE)
        return 0;
    ssize_t done = pwrite(guest_mem.fd, from, whole, (off_t)mem_ram_offset(gpa));
    return done > 0 ? (uint32_t)done & PAGE_MASK : 0;
}

void mem_write(gpa_t gpa, const void *buffer, uint32_t len)
{
    const uint8_t *from = buffer;

    while (len > 0) {
        uint32_t piece = len >= WRITE_AT_ONCE ? write_ram(gpa, from, len) : 0;
        if (piece) {
            gpa += piece;
            from += piece;
            len -= piece;
            continue;
        }
        piece = bytes_in_page(gpa, len);
        uint8_t *to = mem_ptr(gpa);
        if (to) {
            uint8_t flags = mem_page_flags(gpa);
            if (!(flags & MEM_PAGE_ROM)) {
                if ((flags & MEM_PAGE_GUARDED) && guest_mem.code_written)
                    guest_mem.code_written(guest_mem.code_opaque, gpa, piece);
                if ((flags & MEM_PAGE_DECODED) && guest_mem.decoded_written)
                    guest_mem.decoded_written(guest_mem.decoded_opaque, gpa, piece);
                memcpy(to, from, piece);
            } else {
                rom_write(gpa, from, piece);
            }
        } else {
            mmio_write(mem_find(gpa), gpa, from, piece);
        }
        gpa += piece;
        from += piece;
        len -= piece;
    }
}

/* A run of plain RAM. All mappings of it, windows and cells too, are of the memory file: a hole in that is zero to all.
 */
static void discard_run(gpa_t gpa, uint32_t size)
{
    uint8_t *at = guest_mem.ram + mem_ram_offset(gpa);
    mem_forget_code(gpa, size);
    if (madvise(at, size, MADV_REMOVE) < 0)
        memset(at, 0, size);
}

void mem_discard(gpa_t gpa, uint64_t size)
{
    uint32_t run = 0;
    for (gpa_t end = gpa + size; gpa < end; gpa += PAGE_SIZE) {
        bool plain = gpa + PAGE_SIZE <= mem_ram_end(gpa) && mem_is_ram(gpa) && !(mem_page_flags(gpa) & MEM_PAGE_ROM);
        if (run && (!plain || run == GiB || gpa == MEM_HIGH)) {
            discard_run(gpa - run, run);
            run = 0;
        }
        if (plain)
            run += PAGE_SIZE;
    }
    if (run)
        discard_run(gpa - run, run);
}

/* --- Saving and loading --- */

static bool page_is_zero(const uint8_t *page)
{
    const uint64_t *word = (const uint64_t *)page;
    for (unsigned i = 0; i < PAGE_SIZE / 8; i += 4) {
        if (word[i] | word[i + 1] | word[i + 2] | word[i + 3])
            return false;
    }
    return true;
}

#define RUN_MAX (16 * MiB)

void mem_save_ram(GByteArray *out)
{
    uint64_t size = guest_mem.ram_size, at = 0;
    g_byte_array_append(out, (const uint8_t *)&size, sizeof(size));
    while (at < size) {
        /* Where nothing was ever written the file has a hole: looking would make pages of it. */
        off_t data = lseek(guest_mem.fd, (off_t)at, SEEK_DATA);
        if (data >= 0)
            at = MIN((uint64_t)data & ~(uint64_t)(PAGE_SIZE - 1), size);
        else if (errno == ENXIO)
            break;
        bool zero = true;
        while (at < size && (zero = page_is_zero(guest_mem.ram + at))) {
            at += PAGE_SIZE;
            if (at % MiB == 0)
                break;
        }
        if (zero)
            continue; /* perhaps to a hole: its first page is not to be looked at either */
        uint64_t end = at;
        while (end < size && end - at < RUN_MAX && !page_is_zero(guest_mem.ram + end))
            end += PAGE_SIZE;
        uint32_t run = (uint32_t)(end - at);
        g_byte_array_append(out, (const uint8_t *)&at, sizeof(at));
        g_byte_array_append(out, (const uint8_t *)&run, sizeof(run));
        g_byte_array_append(out, guest_mem.ram + at, run);
        at = end;
    }
}

bool mem_load_ram(const uint8_t *bytes, size_t len)
{
    uint64_t size, at = 0;
    if (len < sizeof(size))
        return false;
    memcpy(&size, bytes, sizeof(size));
    if (size != guest_mem.ram_size)
        return false;
    for (; at < size; at += PAGE_SIZE) {
        gpa_t gpa = mem_ram_gpa(at);
        if (mem_page_flags(gpa) & (MEM_PAGE_GUARDED | MEM_PAGE_DECODED))
            mem_forget_code(gpa, PAGE_SIZE);
    }
    if (madvise(guest_mem.ram, size, MADV_REMOVE) < 0)
        memset(guest_mem.ram, 0, size);
    bytes += sizeof(size);
    len -= sizeof(size);
    while (len) {
        uint32_t run;
        if (len < sizeof(at) + sizeof(run))
            return false;
        memcpy(&at, bytes, sizeof(at));
        memcpy(&run, bytes + sizeof(at), sizeof(run));
        bytes += sizeof(at) + sizeof(run);
        len -= sizeof(at) + sizeof(run);
        if (run > len || at > size || run > size - at)
            return false;
        memcpy(guest_mem.ram + at, bytes, run);
        bytes += run;
        len -= run;
    }
    guest_mem.generation++;
    return true;
}

void mem_save_shadow(GByteArray *out)
{
    g_byte_array_append(out, pam.hidden, sizeof(pam.hidden));
}

bool mem_load_shadow(const uint8_t *bytes, size_t len)
{
    if (len != sizeof(pam.hidden))
        return false;
    memcpy(pam.hidden, bytes, len);
    return true;
}
