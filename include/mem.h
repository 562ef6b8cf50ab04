/* Guest physical memory: RAM in a memfd, video RAM, ROM, MMIO; and which pages hold translated or decoded
 * code.
 *
 * mem.c owns every pointer into guest memory. RAM is [0, ram_below), at most 3 GiB, and what there is more of it
 * from 4 GiB on, for guests with PAE or PSE-36; the memfd has both one behind the other. What a device or ROM covers
 * (0xA0000 up, when somebody registers it) hides the RAM below.
 * Blocks (video RAM, ROM) lie behind RAM in the same file and can be put at any address, also parts of one
 * at several. Unmapped space reads as all ones and ignores writes (open bus).
 */
#pragma once

#include <glib.h>

#include "types.h"

struct mmio_ops {
    /* size is 1, 2, 4 or 8; offset is relative to the region's start. */
    uint64_t (*read)(void *opaque, uint32_t offset, unsigned size);
    void (*write)(void *opaque, uint32_t offset, unsigned size, uint64_t value);
    /* The processor's thread comes without the machine lock: what these change beside bytes of video memory is
     * changed by that thread alone while the processor runs. A lock costs as much as all the rest of an access. */
    bool unlocked;
};

#define MEM_BELOW_4G_MAX (3 * GiB) /* 0xC0000000 up is PCI, APICs, ROM */
#define MEM_HIGH         (4 * GiB) /* where the rest begins */
#define MEM_MAX          (16 * GiB)

struct mem {
    int fd;              /* the RAM memfd */
    uint8_t *ram;        /* all of RAM, host mapping, file order */
    uint64_t ram_below;  /* bytes of RAM from 0 on, up to MEM_BELOW_4G_MAX */
    uint64_t ram_size;   /* all of it: bytes, multiple of 4 KiB, 1 MiB to MEM_MAX */
    uint64_t file_size;  /* RAM and blocks */
    uint8_t *page_flags; /* one byte per page (by gpa, to MEM_PAGES): MEM_PAGE_* */
    struct mem_region *regions;
    unsigned region_count;
    uint32_t generation; /* grows with every change of the map: windows and TLBs flush on it */
    /* Called before a store to a page with MEM_PAGE_CODE set takes effect (interp, device DMA, fault
     * handler): drops translations of [gpa, gpa + len). May clear MEM_PAGE_CODE. */
    void (*code_written)(void *opaque, gpa_t gpa, uint32_t len);
    void *code_opaque;
    /* The same for MEM_PAGE_DECODED: the interpreter's decoded instructions. */
    void (*decoded_written)(void *opaque, gpa_t gpa, uint32_t len);
    void *decoded_opaque;
    uint64_t device_accesses; /* that a device's mmio_ops answered; for engines and statistics */
};

#define MEM_PAGE_CODE    0x01u /* translated blocks came from this page */
#define MEM_PAGE_DECODED 0x02u /* the interpreter caches decoded instructions of this page */
#define MEM_PAGE_ROM     0x04u /* writes are dropped */
#define MEM_PAGE_MMIO    0x08u /* covered by a region: what RAM is there is hidden */
#define MEM_PAGE_DIRECT  0x10u /* executable in a cell: as with translations, a store has to be heard of */
#define MEM_PAGE_GUARDED (MEM_PAGE_CODE | MEM_PAGE_DIRECT)
/* Pages that have flags: to the end of the most RAM there can be. Tables by page are reserved for all of them; only
 * what is used takes memory. */
#define MEM_PAGES ((unsigned)((MEM_HIGH + MEM_MAX - MEM_BELOW_4G_MAX) >> PAGE_SHIFT))

extern struct mem guest_mem; /* one machine per process */

/* Creates RAM. size in bytes. On failure sets *error to a sentence for the user. */
bool mem_init(uint64_t size, GError **error);
void mem_destroy(void);
/* Covers [base, base + size), page-aligned, with a device. Regions may not overlap. */
void mem_add_mmio(gpa_t base, uint32_t size, const struct mmio_ops *ops, void *opaque, const char *name);
void mem_remove_mmio(gpa_t base);
/* Neither RAM nor a region in [base, base + size): for ranges that a guest places (PCI BARs). */
bool mem_is_free(gpa_t base, uint32_t size);
/* A piece of memory that is not main memory: video RAM, a ROM. size is a multiple of 4 KiB. It lives until
 * mem_destroy. Failing that (no memory): NULL with *error set. */
struct mem_block {
    uint8_t *host;
    uint64_t offset; /* in the memfd */
    uint32_t size;
};
const struct mem_block *mem_block_new(uint32_t size, GError **error); /* all zero */
/* The pages of [gpa, gpa + size), page-aligned, are zero, and the host gets their memory back until somebody uses them
 * again. Only plain RAM, as far as there is some: a device, ROM, and what is no memory stay as they are. To be called
 * where bus masters write to memory (pci_work_new in devices/pci.h). */
void mem_discard(gpa_t gpa, uint64_t size);
/* Makes the first size bytes, a multiple of 4 KiB, zero; the host gets their memory back. */
void mem_block_clear(const struct mem_block *block, uint32_t size);
/* Puts [offset, offset + size) of a block at base, all page-aligned, over RAM or where nothing is; guests reach
 * it at full speed. rom: writes are dropped. mem_remove_mmio takes it away again. */
void mem_map_block(gpa_t base, uint32_t size, const struct mem_block *block, uint32_t offset, bool rom,
                   const char *name);
/* Copies a ROM image to base (page-aligned) and write-protects it; above the end of RAM as a block. */
void mem_add_rom(gpa_t base, const void *image, uint32_t size);

/* Makes RAM in [base, base + size), page-aligned, read-only or writable again. */
void mem_set_rom(gpa_t base, uint32_t size, bool rom);

/* --- C0000h to FFFFFh: ROM on the bus over DRAM that the chipset can shadow it with --- */
#define MEM_ISA_ROM      0xc0000u
#define MEM_ISA_ROM_SIZE 0x40000u
/* What the bus has there, for reads that do not go to DRAM (all ones where nothing is put). */
void mem_set_isa_rom(gpa_t base, const void *image, uint32_t size);
/* The chipset's PAM for [base, base + size), multiples of 16 KiB: whether reads and writes go to DRAM. */
void mem_set_pam(gpa_t base, uint32_t size, bool read_dram, bool write_dram);

/* --- Saving and loading, while the machine stands --- */
/* RAM without its zero pages: u64 its size, then runs of u64 offset in the memfd, u32 length, bytes. */
void mem_save_ram(GByteArray *out);
bool mem_load_ram(const uint8_t *bytes, size_t len);
/* What PAM hides of C0000h to FFFFFh. After the chipset has been loaded: it says what is hidden. */
void mem_save_shadow(GByteArray *out);
bool mem_load_shadow(const uint8_t *bytes, size_t len);

/* Host pointer to the RAM, block or ROM page that holds gpa, or NULL for MMIO and unmapped space.
 * Valid to the end of that page. Stores through it must respect page_flags: use mem_write. */
uint8_t *mem_ptr_other(gpa_t gpa); /* the part of mem_ptr that is not plain RAM below 4 GiB */
static inline uint8_t *mem_ptr(gpa_t gpa)
{
    if (unlikely(gpa >= guest_mem.ram_below) || unlikely(guest_mem.page_flags[gpa >> PAGE_SHIFT] & MEM_PAGE_MMIO))
        return mem_ptr_other(gpa);
    return guest_mem.ram + gpa;
}
/* The same for code that is kept in another form, decoded or translated: NULL for video memory, too, as devices change
 * it without a word, and it can be seen at several addresses. */
const uint8_t *mem_code_ptr_other(gpa_t gpa);
static inline const uint8_t *mem_code_ptr(gpa_t gpa)
{
    if (unlikely(gpa >= guest_mem.ram_below) || unlikely(guest_mem.page_flags[gpa >> PAGE_SHIFT] & MEM_PAGE_MMIO))
        return mem_code_ptr_other(gpa);
    return guest_mem.ram + gpa;
}
/* Where RAM that begins at or below gpa ends; gpa or less where none is. Does not look at what covers it. */
static inline gpa_t mem_ram_end(gpa_t gpa)
{
    return gpa < MEM_HIGH ? guest_mem.ram_below : MEM_HIGH + (guest_mem.ram_size - guest_mem.ram_below);
}
/* Between RAM and its offset in the memfd. */
static inline uint64_t mem_ram_offset(gpa_t gpa)
{
    return gpa < MEM_HIGH ? gpa : gpa - MEM_HIGH + guest_mem.ram_below;
}
static inline gpa_t mem_ram_gpa(uint64_t offset)
{
    return offset < guest_mem.ram_below ? offset : offset - guest_mem.ram_below + MEM_HIGH;
}
/* Plain RAM: not covered by anything. */
static inline bool mem_is_ram(gpa_t gpa)
{
    return gpa < mem_ram_end(gpa) && !(guest_mem.page_flags[gpa >> PAGE_SHIFT] & MEM_PAGE_MMIO);
}
static inline uint8_t mem_page_flags(gpa_t gpa)
{
    return gpa >> PAGE_SHIFT < MEM_PAGES ? guest_mem.page_flags[gpa >> PAGE_SHIFT] : 0;
}
/* Offset in the memfd of a page for which mem_ptr is not NULL. */
uint64_t mem_file_offset(gpa_t gpa);

/* The memory map in pieces, for an engine that hands it to somebody else: the piece that gpa (of a page below
 * MEM_PAGES) lies in, from gpa on, to where it changes its nature, to 4 GiB or to MEM_PAGES. */
struct mem_piece {
    uint64_t size;
    uint8_t *host; /* NULL: a device, or nobody */
    bool rom;      /* writes are to go through mem_write */
};
struct mem_piece mem_piece_at(gpa_t gpa);

/* The memory map for people, a line for each piece; and its ROMs. Machine lock held. */
void mem_print(GString *out);
void mem_print_roms(GString *out);

/* Any length, any memory: RAM, ROM, MMIO (split into naturally sized accesses), open bus. mem_write
 * honours page_flags (code invalidation, ROM). For the interpreter's slow path and DMA. */
void mem_read(gpa_t gpa, void *buffer, uint32_t len);
void mem_write(gpa_t gpa, const void *buffer, uint32_t len);
/* One of them for the processor, within a page for which mem_ptr is NULL: takes the machine lock where the device asks
 * for it, and tells whether it did. */
bool mem_touch_device(gpa_t gpa, void *buffer, uint32_t len, bool write);
/* True when any byte of the page of gpa is neither RAM nor ROM. */
bool mem_is_mmio(gpa_t gpa);
