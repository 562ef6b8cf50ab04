/* Inside of a FAT view of a folder: see fat.h. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fat.h"

#define SECTOR        512u
#define ENTRY         32u                    /* of a directory */
#define FAT_NODES_MAX 200000u                /* files and folders */
#define FAT_DEPTH_MAX 64u                    /* folders in folders */
#define FAT_DIR_MAX   65536u                 /* entries of one directory */
#define FAT_FILE_MAX  0xffffffffull          /* bytes of one file */
#define FAT_RESCUE    "ringer-fat-unwritten" /* files of that beginning are ours, and not shown */
#define FAT_TEMPORARY "ringer-fat-moved"

enum fat_attribute {
    ATTR_READ_ONLY = 0x01,
    ATTR_HIDDEN = 0x02,
    ATTR_SYSTEM = 0x04,
    ATTR_VOLUME_ID = 0x08,
    ATTR_DIRECTORY = 0x10,
    ATTR_ARCHIVE = 0x20,
    ATTR_LONG_NAME = 0x0f
};

/* A file or folder of the host. Number 1 is the root. */
struct fat_node {
    uint32_t number;
    char *name;  /* the host's */
    char *shown; /* the guest's, UTF-8 */
    struct fat_node *parent;
    bool is_dir;
    uint32_t size;
    time_t mtime;
    struct timespec host_mtime; /* with size: is it as we have left it? */
    uint8_t attributes;
    uint32_t first, clusters;
    GPtrArray *children; /* only while the image is made */
    uint8_t short_name[11];
    bool claimed; /* while a flush looks for what became of it */
};

struct fat_cluster {
    uint32_t node, index; /* which cluster of which file it was; 0: none */
    uint32_t slot;        /* in the store, plus 1: what it is now */
};

#define FAT_FDS 16

struct fat {
    int folder, store;
    struct fat_options options;
    fat_tell_fn *tell;
    void *tell_opaque;

    unsigned type, cylinders, heads, sectors; /* geometry */
    uint64_t total;                           /* sectors of the disk */
    uint32_t hidden;                          /* before the volume */
    uint32_t reserved, fat_sectors, root_entries, per_cluster;
    uint32_t data; /* the first sector of cluster 2, on the disk */
    uint32_t clusters;
    uint8_t *meta;           /* the sectors before data */
    struct fat_cluster *map; /* by cluster; one more for what is behind the last */
    GPtrArray *nodes;        /* struct fat_node by number, NULL: gone */
    GArray *free_slots;
    uint32_t next_slot;
    uint8_t boot[SECTOR]; /* as we made it */
    bool dirty, told_bad;
    char *rescue; /* its name in the folder, NULL: there is none */

    struct {
        struct fat_node *node;
        int fd;
        uint64_t used;
    } fds[FAT_FDS];
    uint64_t used;
};

#define FAT_SAY(fat, ...) fat_say(fat, __VA_ARGS__)
void fat_say(const struct fat *fat, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static inline uint32_t cluster_bytes(const struct fat *fat)
{
    return fat->per_cluster * SECTOR;
}

static inline struct fat_node *fat_node(const struct fat *fat, uint32_t number)
{
    return number && number < fat->nodes->len ? g_ptr_array_index(fat->nodes, number) : NULL;
}

static inline uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}
static inline uint32_t get32(const uint8_t *at)
{
    return get16(at) | (uint32_t)get16(at + 2) << 16;
}
static inline void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}
static inline void put32(uint8_t *at, uint32_t value)
{
    put16(at, value);
    put16(at + 2, value >> 16);
}

/* --- fat_names.c --- */

/* What the guest sees for a name of the host's: no character that FAT forbids. g_free. */
char *fat_shown_name(const char *name);
/* Two names that differ in case only are one to the guest. g_free. */
char *fat_fold(const char *shown);
/* Gives the children of a folder names that are unique in it, long and short. */
void fat_names_settle(struct fat_node *folder);
bool fat_needs_long(const struct fat_node *node);
/* How many entries it takes, with its long name. */
unsigned fat_entry_count(const struct fat_node *node);
/* Writes them; behind the last byte. */
uint8_t *fat_entry_write(const struct fat_node *node, uint8_t *at);
void fat_time_put(uint8_t *at, time_t when); /* time, then date */
time_t fat_time_get(const uint8_t *at);
uint8_t fat_short_sum(const uint8_t short_name[11]);
/* The name in an entry; NULL: none that a host can have. longs: its long name's units, or count 0. g_free. */
char *fat_entry_name(const uint8_t *entry, const uint16_t *units, unsigned count);

/* --- fat_tree.c --- */

/* Reads the folder into nodes. False with *error. again: nothing is said of what is left out. */
bool fat_tree_read(struct fat *fat, bool again, GError **error);
struct fat_node *fat_node_new(struct fat *fat, struct fat_node *parent, const char *name, bool is_dir);
void fat_node_drop(struct fat *fat, struct fat_node *node);
void fat_node_stat(struct fat_node *node, const struct stat *stat);
/* A descriptor of it; -1 with errno. */
int fat_node_dir(struct fat *fat, const struct fat_node *node);
int fat_node_open(struct fat *fat, const struct fat_node *node, int flags);
int fat_node_read(struct fat *fat, struct fat_node *node, uint64_t offset, uint8_t *buffer, uint32_t len);
void fat_fds_close(struct fat *fat, const struct fat_node *node); /* NULL: all */
char *fat_node_path(const struct fat_node *node);                 /* for messages */

/* --- fat_layout.c --- */

/* Everything from nodes. same: geometry is to be that one's. */
bool fat_layout(struct fat *fat, const struct fat *same, GError **error);
uint32_t fat_next(const struct fat *fat, uint32_t cluster);
bool fat_is_end(const struct fat *fat, uint32_t next);

/* --- fat.c --- */

int fat_cluster_read(struct fat *fat, uint32_t cluster, uint32_t within, uint8_t *buffer, uint32_t len);
int fat_cluster_write(struct fat *fat, uint32_t cluster, uint32_t within, const uint8_t *buffer, uint32_t len);
void fat_slot_free(struct fat *fat, uint32_t cluster);

/* --- fat_parse.c: what the guest has made of it --- */

struct fat_found {
    char *name;
    struct fat_found *parent; /* NULL: the root */
    bool is_dir;
    uint8_t attributes, short_name[11];
    bool has_long;
    uint32_t size;
    time_t mtime;
    GArray *chain;         /* uint32_t */
    struct fat_node *node; /* what it is of the host's, NULL: new */
};

/* All of it, folders before what is in them; NULL with a reason: it is not consistent, or *code. */
GPtrArray *fat_parse(struct fat *fat, char **reason, int *code);

/* --- fat_back.c --- */

/* Makes the folder what the guest has made of the image. An errno value with its *reason; found is used up. */
int fat_back(struct fat *fat, GPtrArray *found, char **reason);
