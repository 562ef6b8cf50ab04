/* Makes a FAT file system of a tree. Microsoft, FAT 1.03, sections 3 to 6; the partition table is DOS's.
 *
 *     disk    | MBR, 63 sectors | boot ... | FAT | FAT | root (FAT12, FAT16) | cluster 2, 3, ... |
 *     floppy                    | the same, from sector 0
 *
 * A disk is 504 MiB, 1024 cylinders with 16 heads, as long as the folder fits: no BIOS and no DOS sees it otherwise.
 */
#include "fat_internal.h"

#define PARTITION_START 63u
#define CLUSTERS_MAX    (4u << 20) /* of FAT32, here */

static const char *const boot_text = "This disk is a view of a folder: no system starts from it.\r\n";

/* --- Sizes --- */

struct shape {
    unsigned type, cylinders, heads, sectors, per_cluster, root_entries;
};

static uint32_t dir_entries(const struct fat_node *dir)
{
    uint32_t count = dir->parent ? 2 : 1; /* "." and "..", or the label */
    for (unsigned i = 0; i < dir->children->len; i++)
        count += fat_entry_count(g_ptr_array_index(dir->children, i));
    return count;
}

static uint32_t node_clusters(const struct fat *fat, const struct fat_node *node)
{
    uint64_t bytes = node->is_dir ? (uint64_t)dir_entries(node) * ENTRY : node->size;
    if (!node->parent && fat->type != 32)
        return 0;
    return (uint32_t)((bytes + cluster_bytes(fat) - 1) / cluster_bytes(fat));
}

static uint64_t clusters_needed(const struct fat *fat)
{
    uint64_t sum = 0;
    for (unsigned i = 1; i < fat->nodes->len; i++)
        sum += node_clusters(fat, fat_node(fat, i));
    return sum;
}

static unsigned entry_bits(unsigned type)
{
    return type;
}

/* The tables are as large as what they leave needs. False: that is no FAT of this type. */
static bool shape_set(struct fat *fat, const struct shape *shape)
{
    fat->type = shape->type;
    fat->cylinders = shape->cylinders;
    fat->heads = shape->heads;
    fat->sectors = shape->sectors;
    fat->total = (uint64_t)shape->cylinders * shape->heads * shape->sectors;
    fat->hidden = fat->options.floppy ? 0 : PARTITION_START;
    fat->reserved = fat->type == 32 ? 32 : 1;
    fat->root_entries = fat->type == 32 ? 0 : shape->root_entries;
    fat->per_cluster = shape->per_cluster;
    uint64_t volume = fat->total - fat->hidden, fixed = fat->reserved + fat->root_entries * ENTRY / SECTOR;
    fat->fat_sectors = 1;
    for (;;) {
        if (volume <= fixed + 2ull * fat->fat_sectors + fat->per_cluster)
            return false;
        uint64_t clusters = (volume - fixed - 2ull * fat->fat_sectors) / fat->per_cluster;
        uint64_t wanted = ((clusters + 2) * entry_bits(fat->type) + 8 * SECTOR - 1) / (8 * SECTOR);
        fat->clusters = (uint32_t)clusters;
        if (wanted <= fat->fat_sectors)
            break;
        fat->fat_sectors = (uint32_t)wanted;
    }
    fat->data = fat->hidden + (uint32_t)fixed + 2 * fat->fat_sectors;
    /* The number of clusters is what tells a driver the type; its edges are avoided, as Microsoft advises. */
    return fat->type == 12   ? fat->clusters < 4085 - 16
           : fat->type == 16 ? fat->clusters >= 4085 + 16 && fat->clusters < 65525
                             : fat->clusters >= 65525 + 16 && fat->clusters < CLUSTERS_MAX;
}

/* Sectors to spare, in 16ths. */
static bool shape_try(struct fat *fat, struct shape shape, unsigned spare)
{
    if (fat->options.type && fat->options.type != shape.type)
        return false;
    uint32_t entries = dir_entries(fat_node(fat, 1)), roomy = (entries + entries / 2 + 15) & ~15u;
    if (shape.type != 32) {
        shape.root_entries = MAX(shape.root_entries, roomy);
        if (shape.root_entries > 16384)
            return false;
    }
    return shape_set(fat, &shape) && clusters_needed(fat) <= (uint64_t)fat->clusters * (16 - spare) / 16;
}

static bool floppy_choose(struct fat *fat)
{
    return shape_try(fat, (struct shape){12, 80, 2, 18, 1, 224}, 0) ||
           shape_try(fat, (struct shape){12, 80, 2, 36, 2, 240}, 0) ||
           shape_try(fat, (struct shape){16, 80, 2, 36, 1, 240}, 0);
}

/* 255 heads, as a BIOS makes them of a disk that is larger. */
static bool large_choose(struct fat *fat)
{
    static const unsigned per_cluster[] = {8, 16, 32, 64};
    uint64_t bytes = 0;
    for (unsigned i = 1; i < fat->nodes->len; i++)
        bytes += fat_node(fat, i)->size + (4 * KiB);
    uint64_t cylinder = 255 * 63 * SECTOR, cylinders = (bytes + bytes / 4 + (256 * MiB)) / cylinder + 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(per_cluster) && cylinders < 65536; i++) {
        /* 8 GiB with 4 KiB, and so on. */
        if (i + 1 < G_N_ELEMENTS(per_cluster) && cylinders * cylinder > (8ull << i) * GiB)
            continue;
        if (shape_try(fat, (struct shape){32, (unsigned)cylinders, 255, 63, per_cluster[i], 0}, 0))
            return true;
    }
    return false;
}

static bool disk_choose(struct fat *fat)
{
    if (fat->options.type == 12)
        return shape_try(fat, (struct shape){12, 64, 16, 63, 16, 512}, 0);
    return shape_try(fat, (struct shape){16, 1024, 16, 63, 16, 512}, 1) ||
           shape_try(fat, (struct shape){16, 130, 255, 63, 32, 512}, 1) ||
           shape_try(fat, (struct shape){16, 261, 255, 63, 64, 512}, 1) ||
           shape_try(fat, (struct shape){32, 1024, 16, 63, 8, 0}, 8) || large_choose(fat);
}

/* --- The allocation table --- */

static uint8_t *table(const struct fat *fat, unsigned copy)
{
    return fat->meta + (size_t)(fat->hidden + fat->reserved + copy * fat->fat_sectors) * SECTOR;
}

uint32_t fat_next(const struct fat *fat, uint32_t cluster)
{
    const uint8_t *at = table(fat, 0);
    if (fat->type == 32)
        return get32(at + 4 * (size_t)cluster) & 0x0fffffff;
    if (fat->type == 16)
        return get16(at + 2 * (size_t)cluster);
    uint16_t both = get16(at + cluster + cluster / 2);
    return cluster & 1 ? both >> 4 : both & 0xfff;
}

bool fat_is_end(const struct fat *fat, uint32_t next)
{
    return next >= (fat->type == 32 ? 0x0ffffff8 : fat->type == 16 ? 0xfff8 : 0xff8);
}

static void next_set(struct fat *fat, uint32_t cluster, uint32_t next)
{
    uint8_t *at = table(fat, 0);
    if (fat->type == 32) {
        put32(at + 4 * (size_t)cluster, next & 0x0fffffff);
    } else if (fat->type == 16) {
        put16(at + 2 * (size_t)cluster, next);
    } else {
        at += cluster + cluster / 2;
        put16(at, cluster & 1 ? (get16(at) & 0x000fu) | (next & 0xfff) << 4 : (get16(at) & 0xf000u) | (next & 0xfff));
    }
}

static uint8_t media_of(const struct fat *fat)
{
    return fat->options.floppy ? 0xf0 : 0xf8;
}

/* --- Sectors with a meaning --- */

/* Prints text, and asks the BIOS for the next disk. */
static void code_write(uint8_t *sector, unsigned at, const char *text)
{
    static const uint8_t code[] = {0x0e, 0x1f,                               /* push cs; pop ds */
                                   0xbe, 0x00, 0x00,                         /* mov si, text */
                                   0xac, 0x84, 0xc0,                         /* 1: lodsb; test al, al */
                                   0x74, 0x09,                               /* jz 2f */
                                   0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10, /* INT 10h: teletype */
                                   0xeb, 0xf2,                               /* jmp 1b */
                                   0xcd, 0x18, 0xf4, 0xeb, 0xfd};            /* 2: int 18h; 3: hlt; jmp 3b */
    memcpy(sector + at, code, sizeof(code));
    put16(sector + at + 3, 0x7c00 + at + sizeof(code));
    memcpy(sector + at + sizeof(code), text, strlen(text) + 1);
    sector[510] = 0x55;
    sector[511] = 0xaa;
}

static void label_put(const struct fat *fat, uint8_t at[11])
{
    const char *label = fat->options.label[0] ? fat->options.label : "FOLDER";
    memset(at, ' ', 11);
    for (unsigned i = 0; i < 11 && label[i]; i++)
        at[i] = (uint8_t)g_ascii_toupper(label[i]);
}

static void boot_write(struct fat *fat)
{
    uint8_t *boot = fat->meta + (size_t)fat->hidden * SECTOR;
    uint64_t volume = fat->total - fat->hidden;
    bool is_32 = fat->type == 32;
    struct stat stat = {0};
    fstat(fat->folder, &stat);
    memcpy(boot, is_32 ? "\xeb\x58\x90MSDOS5.0" : "\xeb\x3c\x90MSDOS5.0", 11);
    put16(boot + 11, SECTOR);
    boot[13] = (uint8_t)fat->per_cluster;
    put16(boot + 14, fat->reserved);
    boot[16] = 2;
    put16(boot + 17, fat->root_entries);
    put16(boot + 19, volume < 65536 ? (uint32_t)volume : 0);
    boot[21] = media_of(fat);
    put16(boot + 22, is_32 ? 0 : fat->fat_sectors);
    put16(boot + 24, fat->sectors);
    put16(boot + 26, fat->heads);
    put32(boot + 28, fat->hidden);
    put32(boot + 32, volume < 65536 ? 0 : (uint32_t)volume);
    uint8_t *more = boot + 36;
    if (is_32) {
        put32(boot + 36, fat->fat_sectors);
        put32(boot + 44, 2);
        put16(boot + 48, 1);
        put16(boot + 50, 6);
        more = boot + 64;
    }
    more[0] = fat->options.floppy ? 0 : 0x80;
    more[2] = 0x29;
    put32(more + 3, (uint32_t)(stat.st_ino * 2654435761u ^ stat.st_dev));
    label_put(fat, more + 7);
    memcpy(more + 18, is_32 ? "FAT32   " : fat->type == 16 ? "FAT16   " : "FAT12   ", 8);
    code_write(boot, (unsigned)(more + 26 - boot), boot_text);
    memcpy(fat->boot, boot, SECTOR);
}

static void info_write(struct fat *fat, uint32_t used)
{
    uint8_t *boot = fat->meta + (size_t)fat->hidden * SECTOR, *info = boot + SECTOR;
    put32(info, 0x41615252);
    put32(info + 484, 0x61417272);
    put32(info + 488, fat->clusters - used);
    put32(info + 492, 2 + used);
    put32(info + 508, 0xaa550000);
    memcpy(boot + 6 * SECTOR, boot, 2 * SECTOR);
}

static void chs_put(const struct fat *fat, uint8_t at[3], uint64_t sector)
{
    uint64_t cylinder = sector / (fat->heads * fat->sectors);
    unsigned head = (unsigned)(sector / fat->sectors % fat->heads), number = (unsigned)(sector % fat->sectors) + 1;
    if (cylinder > 1023) {
        cylinder = 1023;
        head = fat->heads - 1;
        number = fat->sectors;
    }
    at[0] = (uint8_t)head;
    at[1] = (uint8_t)(number | (cylinder >> 8) << 6);
    at[2] = (uint8_t)cylinder;
}

static void partition_write(struct fat *fat)
{
    uint8_t *mbr = fat->meta, *entry = mbr + 446;
    code_write(mbr, 0, boot_text);
    put32(mbr + 440, get32(fat->boot + (fat->type == 32 ? 67 : 39))); /* Windows NT's number of the disk */
    entry[0] = 0x80;
    chs_put(fat, entry + 1, fat->hidden);
    entry[4] = fat->type == 32 ? 0x0c : fat->type == 12 ? 0x01 : 0x06;
    chs_put(fat, entry + 5, fat->total - 1);
    put32(entry + 8, fat->hidden);
    put32(entry + 12, (uint32_t)(fat->total - fat->hidden));
}

/* --- Folders --- */

static uint8_t *dots_write(const struct fat_node *dir, uint8_t *at)
{
    static const char *const names[] = {".          ", "..         "};
    for (unsigned i = 0; i < 2; i++, at += ENTRY) {
        const struct fat_node *node = i == 0 ? dir : dir->parent;
        uint32_t first = node->parent ? node->first : 0;
        memcpy(at, names[i], 11);
        at[11] = ATTR_DIRECTORY;
        fat_time_put(at + 22, node->mtime);
        put16(at + 20, first >> 16);
        put16(at + 26, first);
    }
    return at;
}

static int dir_write(struct fat *fat, const struct fat_node *dir)
{
    bool in_meta = !dir->parent && fat->type != 32;
    size_t len = in_meta ? fat->root_entries * ENTRY : (size_t)dir->clusters * cluster_bytes(fat);
    uint8_t *bytes = g_malloc0(len), *at = bytes;
    int code = 0;
    if (dir->parent) {
        at = dots_write(dir, at);
    } else {
        label_put(fat, at);
        at[11] = ATTR_VOLUME_ID;
        fat_time_put(at + 22, dir->mtime);
        at += ENTRY;
    }
    for (unsigned i = 0; i < dir->children->len; i++)
        at = fat_entry_write(g_ptr_array_index(dir->children, i), at);
    if (in_meta)
        memcpy(fat->meta + (size_t)(fat->data - fat->root_entries * ENTRY / SECTOR) * SECTOR, bytes, len);
    for (uint32_t i = 0; !in_meta && i < dir->clusters && code == 0; i++)
        code = fat_cluster_write(fat, dir->first + i, 0, bytes + (size_t)i * cluster_bytes(fat), cluster_bytes(fat));
    g_free(bytes);
    return code;
}

/* --- All of it --- */

static uint32_t node_place(struct fat *fat, struct fat_node *node, uint32_t next)
{
    node->clusters = node_clusters(fat, node);
    node->first = node->clusters ? next : 0;
    for (uint32_t i = 0; i < node->clusters; i++) {
        fat->map[next + i].node = node->number;
        fat->map[next + i].index = i;
        next_set(fat, next + i, i + 1 < node->clusters ? next + i + 1 : 0x0fffffff);
    }
    return next + node->clusters;
}

static bool choose(struct fat *fat, const struct fat *same)
{
    if (!same)
        return fat->options.floppy ? floppy_choose(fat) : disk_choose(fat);
    const struct shape shape = {same->type,    same->cylinders,   same->heads,
                                same->sectors, same->per_cluster, same->root_entries};
    return shape_set(fat, &shape) && clusters_needed(fat) <= fat->clusters &&
           (fat->type == 32 || dir_entries(fat_node(fat, 1)) <= fat->root_entries);
}

static bool dirs_fit(const struct fat *fat)
{
    for (unsigned i = 1; i < fat->nodes->len; i++) {
        const struct fat_node *node = fat_node(fat, i);
        if (node->is_dir && dir_entries(node) > FAT_DIR_MAX)
            return false;
    }
    return true;
}

bool fat_layout(struct fat *fat, const struct fat *same, GError **error)
{
    int code = 0;
    if (!dirs_fit(fat)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
                    "has more files in one folder than FAT allows (%u entries)", FAT_DIR_MAX);
        return false;
    }
    if (!choose(fat, same)) {
        if (fat->options.floppy)
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "holds more than fits on a floppy%s",
                        fat->options.type == 32 ? ", and there are none with FAT32" : "");
        else if (fat->options.type)
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "holds more than fits into FAT%u%s", fat->options.type,
                        fat->options.type == 32 ? "" : "; leave the type out, or say fat:32:");
        else
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "holds more than fits into this disk");
        return false;
    }
    fat->meta = g_malloc0((size_t)fat->data * SECTOR);
    fat->map = g_new0(struct fat_cluster, fat->clusters + 3);
    boot_write(fat);
    if (fat->hidden)
        partition_write(fat);
    next_set(fat, 0, 0x0fffff00u | media_of(fat));
    next_set(fat, 1, 0x0fffffff);
    uint32_t next = 2;
    for (unsigned i = 1; i < fat->nodes->len; i++)
        next = node_place(fat, fat_node(fat, i), next);
    for (unsigned i = 1; i < fat->nodes->len && code == 0; i++) {
        if (fat_node(fat, i)->is_dir)
            code = dir_write(fat, fat_node(fat, i));
    }
    if (code)
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), "has no room for its directories: %s",
                    g_strerror(code));
    if (fat->type == 32)
        info_write(fat, next - 2);
    memcpy(table(fat, 1), table(fat, 0), (size_t)fat->fat_sectors * SECTOR);
    return code == 0;
}
