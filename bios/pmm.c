/* POST Memory Manager: memory that option ROMs ask for while they initialise. Network boot ROMs put themselves there
 * and leave only a stub below 1 MiB, so that there is room for the next.
 *
 * POST Memory Manager Specification 1.01. Blocks in extended memory keep their place until the guest's next owner of
 * memory takes it, as elsewhere: nothing is taken from the map that operating systems see.
 */
#include "bios.h"

#define CONVENTIONAL 1u
#define EXTENDED     2u
#define ALIGNED      4u
#define PERMANENT    8u

#define NO_HANDLE   0xffffffffu
#define UNSUPPORTED 0xffffffffu

/* Where POST, boot sectors and who lowers 40:13 have nothing. */
#define LOW_FLOOR  0x20000u
#define LOW_END    0x80000u
#define HIGH_FLOOR 0x200000u /* below, kernels and ROMs decompress without asking */

static struct block {
    uint32_t base, size, handle; /* size 0: free */
} blocks[16];

struct pmm {
    char signature[4];
    uint8_t revision, length, checksum;
    uint16_t off, seg;
    uint8_t reserved[5];
} __attribute__((packed));

static uint16_t header; /* in the code segment; 0: there is none */

static const struct block *block_in(uint32_t base, uint32_t end)
{
    for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (blocks[i].size && blocks[i].base < end && base < blocks[i].base + blocks[i].size)
            return &blocks[i];
    }
    return NULL;
}

/* The highest place from floor to end; 0: none. */
static uint32_t place(uint32_t floor, uint32_t end, uint32_t size, uint32_t align)
{
    while (end >= floor && end - floor >= size) {
        uint32_t base = (end - size) & ~(align - 1);
        if (base < floor)
            return 0;
        const struct block *other = block_in(base, base + size);
        if (!other)
            return base;
        end = other->base;
    }
    return 0;
}

static uint32_t largest(uint32_t floor, uint32_t end)
{
    uint32_t found = 0;
    while (end > floor) {
        uint32_t bottom = floor;
        const struct block *below = NULL;
        for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
            if (blocks[i].size && blocks[i].base < end && blocks[i].base + blocks[i].size > bottom) {
                below = &blocks[i];
                bottom = below->base + below->size;
            }
        }
        if (bottom < end && end - bottom > found)
            found = end - bottom;
        end = below ? below->base : floor;
    }
    return found;
}

static uint32_t allocate(uint32_t paragraphs, uint32_t handle, uint16_t flags)
{
    uint32_t size = paragraphs << 4, align = flags & ALIGNED ? size & -size : 16, base = 0;
    uint32_t high_end = memory_below_4g;
    struct block *block = NULL;

    if (!paragraphs) {
        uint32_t low = flags & CONVENTIONAL ? largest(LOW_FLOOR, LOW_END) : 0;
        uint32_t high = flags & EXTENDED ? largest(HIGH_FLOOR, high_end) : 0;
        return (low > high ? low : high) >> 4;
    }
    if (paragraphs > 0xfffffff)
        return 0;
    for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (!blocks[i].size)
            block = &blocks[i];
        else if (handle != NO_HANDLE && blocks[i].handle == handle)
            return 0;
    }
    if (!block)
        return 0;
    if (flags & EXTENDED)
        base = place(HIGH_FLOOR, high_end, size, align);
    if (!base && (flags & CONVENTIONAL) && !(flags & PERMANENT))
        base = place(LOW_FLOOR, LOW_END, size, align);
    if (base)
        *block = (struct block){base, size, handle};
    return base;
}

static uint32_t find(uint32_t handle)
{
    for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]) && handle != NO_HANDLE; i++) {
        if (blocks[i].size && blocks[i].handle == handle)
            return blocks[i].base;
    }
    return 0;
}

static uint32_t deallocate(uint32_t base)
{
    for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (blocks[i].size && blocks[i].base == base) {
            blocks[i].size = 0;
            return 0;
        }
    }
    return 1;
}

/* ES:DI: the arguments, as C pushes them. The result is in DX:AX. */
void handle_pmm(struct bregs *regs)
{
    uint16_t function = peek16(regs->es, regs->di);
    uint32_t first = peek32(regs->es, (uint16_t)(regs->di + 2)), result;
    switch (function) {
    case 0:
        result =
            allocate(first, peek32(regs->es, (uint16_t)(regs->di + 6)), peek16(regs->es, (uint16_t)(regs->di + 10)));
        dprintf("pmm: %u paragraphs for %08x: %08x\n", first, peek32(regs->es, (uint16_t)(regs->di + 6)), result);
        break;
    case 1:
        result = find(first);
        break;
    case 2:
        result = deallocate(first);
        break;
    default:
        result = UNSUPPORTED;
        break;
    }
    regs->ax = (uint16_t)result;
    regs->dx = (uint16_t)(result >> 16);
}

void pmm_begin(void)
{
    static struct pmm pmm;
    memset(blocks, 0, sizeof(blocks));
    pmm = (struct pmm){.signature = "$PMM",
                       .revision = 1,
                       .length = sizeof(pmm),
                       .off = (uint16_t)(uint32_t)entry_pmm,
                       .seg = CODE_SEG};
    uint8_t sum = 0;
    for (unsigned i = 0; i < sizeof(pmm); i++)
        sum = (uint8_t)(sum + ((const uint8_t *)&pmm)[i]);
    pmm.checksum = (uint8_t)-sum;
    header = tables_put(&pmm, sizeof(pmm));
}

/* POST is over: nobody finds us any more. */
void pmm_end(void)
{
    if (header)
        poke32(CODE_SEG, header, 0);
}
