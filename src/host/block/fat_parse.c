/* Reads what a guest has made of the file system, and believes none of it: all of it makes sense, or it is not carried
 * into the folder. Microsoft, FAT 1.03.
 */
#include "fat_internal.h"

struct parse {
    struct fat *fat;
    GPtrArray *found; /* struct fat_found */
    uint8_t *used;    /* by cluster: somebody has it */
    char *reason;
    int code;
};

static void found_free(gpointer opaque)
{
    struct fat_found *found = opaque;
    g_free(found->name);
    if (found->chain)
        g_array_free(found->chain, TRUE);
    g_free(found);
}

#define BAD(parse, ...) ((parse)->reason = g_strdup_printf(__VA_ARGS__), false)

static bool chain_read(struct parse *parse, uint32_t first, GArray **chain)
{
    const struct fat *fat = parse->fat;
    *chain = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    for (uint32_t cluster = first; first;) {
        if (cluster < 2 || cluster >= fat->clusters + 2)
            return BAD(parse, "a file's clusters lead out of the disk");
        if (parse->used[cluster])
            return BAD(parse, "two files have the same cluster");
        parse->used[cluster] = 1;
        g_array_append_val(*chain, cluster);
        cluster = fat_next(fat, cluster);
        if (fat_is_end(fat, cluster))
            break;
    }
    return true;
}

/* Long names come in pieces before their entry, last piece first. */
struct long_name {
    uint16_t units[20 * 13];
    unsigned next, pieces; /* next 0: complete, or none */
    uint8_t sum;
};

static void long_piece(struct long_name *name, const uint8_t *entry)
{
    static const uint8_t unit_at[13] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    unsigned number = entry[0] & 0x3f;
    if (number == 0 || number > 20 || (!(entry[0] & 0x40) && (number != name->next || entry[13] != name->sum))) {
        name->pieces = 0;
        return;
    }
    if (entry[0] & 0x40) {
        name->pieces = number;
        name->sum = entry[13];
    }
    name->next = number - 1;
    for (unsigned i = 0; i < 13; i++)
        name->units[(number - 1) * 13 + i] = get16(entry + unit_at[i]);
}

static unsigned long_units(const struct long_name *name, const uint8_t *entry)
{
    unsigned count = 0;
    if (!name->pieces || name->next || name->sum != fat_short_sum(entry))
        return 0;
    while (count < name->pieces * 13 && name->units[count])
        count++;
    return count;
}

static bool entry_parse(struct parse *parse, struct fat_found *dir, const uint8_t *entry, const struct long_name *longs,
                        GHashTable *names, unsigned depth)
{
    const struct fat *fat = parse->fat;
    bool is_dir = entry[11] & ATTR_DIRECTORY;
    uint32_t first = get16(entry + 26) | (fat->type == 32 ? (uint32_t)get16(entry + 20) << 16 : 0);
    struct fat_found *found = g_new0(struct fat_found, 1);
    g_ptr_array_add(parse->found, found);
    found->parent = dir;
    found->is_dir = is_dir;
    found->attributes = entry[11];
    found->size = is_dir ? 0 : get32(entry + 28);
    found->mtime = fat_time_get(entry + 22);
    unsigned units = long_units(longs, entry);
    found->name = fat_entry_name(entry, longs->units, units);
    found->has_long = units || (entry[12] & 0x18); /* or the case of its letters is known */
    memcpy(found->short_name, entry, 11);
    if (!found->name)
        return BAD(parse, "a file has a name that this host cannot give it");
    if (!g_hash_table_add(names, g_strdup(found->name)))
        return BAD(parse, "two files have the name '%s'", found->name);
    if (parse->found->len > FAT_NODES_MAX)
        return BAD(parse, "there are too many files");
    if (is_dir && depth >= FAT_DEPTH_MAX)
        return BAD(parse, "there are too many folders in each other");
    if (!chain_read(parse, first, &found->chain))
        return false;
    uint64_t room = (uint64_t)found->chain->len * cluster_bytes(fat);
    if (is_dir ? !found->chain->len : found->size > room)
        return BAD(parse, "'%s' has fewer clusters than it needs", found->name);
    return true;
}

/* Its clusters' bytes, or the root's. */
static uint8_t *dir_bytes(struct parse *parse, const struct fat_found *dir, size_t *len)
{
    struct fat *fat = parse->fat;
    if (!dir->chain) {
        *len = fat->root_entries * ENTRY;
        return g_memdup2(fat->meta + (size_t)fat->data * SECTOR - *len, *len);
    }
    *len = (size_t)dir->chain->len * cluster_bytes(fat);
    if (*len > (size_t)FAT_DIR_MAX * ENTRY + cluster_bytes(fat)) {
        parse->reason = g_strdup("a folder is larger than FAT allows");
        return NULL;
    }
    uint8_t *bytes = g_malloc(*len);
    for (unsigned i = 0; i < dir->chain->len; i++) {
        uint32_t cluster = g_array_index(dir->chain, uint32_t, i);
        parse->code = fat_cluster_read(fat, cluster, 0, bytes + (size_t)i * cluster_bytes(fat), cluster_bytes(fat));
        if (parse->code) {
            parse->reason = g_strdup(g_strerror(parse->code));
            g_free(bytes);
            return NULL;
        }
    }
    return bytes;
}

static bool is_dots(const uint8_t *entry)
{
    return memcmp(entry, ".          ", 11) == 0 || memcmp(entry, "..         ", 11) == 0;
}

static bool dir_parse(struct parse *parse, struct fat_found *dir, unsigned depth)
{
    size_t len;
    uint8_t *bytes = dir_bytes(parse, dir, &len);
    if (!bytes)
        return false;
    /* A cluster that was never written as a directory is none. */
    bool ok = !dir->parent || (len >= 2 * ENTRY && is_dots(bytes) && is_dots(bytes + ENTRY)) ||
              BAD(parse, "'%s' is no folder", dir->name);
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct long_name longs = {.pieces = 0};
    unsigned from = parse->found->len;
    for (size_t at = dir->parent ? 2 * ENTRY : 0; ok && at < len && bytes[at]; at += ENTRY) {
        const uint8_t *entry = bytes + at;
        if (entry[0] == 0xe5) {
            longs.pieces = 0;
        } else if ((entry[11] & 0x3f) == ATTR_LONG_NAME) {
            long_piece(&longs, entry);
        } else {
            if (!(entry[11] & ATTR_VOLUME_ID))
                ok = entry_parse(parse, dir, entry, &longs, names, depth);
            longs.pieces = 0;
        }
    }
    g_hash_table_destroy(names);
    g_free(bytes);
    unsigned to = parse->found->len;
    for (unsigned i = from; ok && i < to; i++) {
        struct fat_found *found = g_ptr_array_index(parse->found, i);
        if (found->is_dir)
            ok = dir_parse(parse, found, depth + 1);
    }
    return ok;
}

/* Formatted anew: nobody means by that that the host's files are to go. */
static bool is_same_volume(const struct fat *fat)
{
    const uint8_t *boot = fat->meta + (size_t)fat->hidden * SECTOR;
    unsigned serial = fat->type == 32 ? 67 : 39;
    return memcmp(boot + 11, fat->boot + 11, 25) == 0 && memcmp(boot + serial, fat->boot + serial, 4) == 0 &&
           (fat->type != 32 || memcmp(boot + 36, fat->boot + 36, 16) == 0);
}

GPtrArray *fat_parse(struct fat *fat, char **reason, int *code)
{
    struct parse parse = {.fat = fat, .found = g_ptr_array_new_with_free_func(found_free)};
    struct fat_found *root = g_new0(struct fat_found, 1);
    root->is_dir = true;
    g_ptr_array_add(parse.found, root);
    parse.used = g_malloc0(fat->clusters + 2);
    bool ok = is_same_volume(fat) || BAD(&parse, "the disk has been formatted");
    if (ok && (fat_next(fat, 0) & 0xff) != (fat->options.floppy ? 0xf0 : 0xf8))
        ok = BAD(&parse, "its allocation table is damaged");
    ok = ok && (fat->type != 32 || chain_read(&parse, 2, &root->chain)) && dir_parse(&parse, root, 0);
    g_free(parse.used);
    if (ok)
        return parse.found;
    g_ptr_array_free(parse.found, TRUE);
    *reason = parse.reason;
    *code = parse.code;
    return NULL;
}
