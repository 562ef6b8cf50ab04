/* Fuzzes what a guest can write onto a disk that is a folder: sectors with a few bytes changed, copied or made up, in
 * its tables and directories above all; flushes, resets.
 *
 *     fat_fuzz COUNT [SEED [FIRST]]        every input depends on SEED and its number only: FIRST repeats one
 *
 * Built with ASan and UBSan. Besides crashes it looks for anything outside of the folder that has changed, and for
 * files that are gone although the file system made no sense: what it cannot interpret it must leave alone.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/block/fat.h"

static uint64_t state;

static uint32_t below(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % n;
}

static void tell(void *opaque, const char *text)
{
    (*(unsigned *)opaque)++;
}

static void die(const char *what, uint64_t number)
{
    fprintf(stderr, "input %llu: %s\n", (unsigned long long)number, what);
    exit(1);
}

static void put(int dir, const char *name, size_t len)
{
    char bytes[9000];
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    memset(bytes, name[0], sizeof(bytes));
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
        exit(1);
    close(fd);
}

/* All of it, whatever is in it. */
static void wipe(int dir, unsigned depth)
{
    DIR *list = fdopendir(dup(dir));
    const struct dirent *entry;
    rewinddir(list);
    while ((entry = readdir(list))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || unlinkat(dir, entry->d_name, 0) == 0)
            continue;
        int fd = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (fd >= 0 && depth < 100)
            wipe(fd, depth + 1);
        if (fd >= 0)
            close(fd);
        unlinkat(dir, entry->d_name, AT_REMOVEDIR);
    }
    closedir(list);
}

static void tree_make(int folder)
{
    put(folder, "a", 100);
    put(folder, "A long name.txt", 5000);
    put(folder, "empty", 0);
    mkdirat(folder, "below", 0700);
    int dir = openat(folder, "below", O_RDONLY | O_DIRECTORY);
    for (unsigned i = 0; i < 12; i++) {
        char name[32];
        snprintf(name, sizeof(name), "number %u", i);
        put(dir, name, 600 * i);
    }
    mkdirat(dir, "deeper", 0700);
    close(dir);
    if (symlinkat("../outside", folder, "way out") < 0)
        exit(1);
}

static bool is_outside_same(int top)
{
    struct stat stat;
    DIR *list = fdopendir(openat(top, "outside", O_RDONLY | O_DIRECTORY));
    unsigned count = 0;
    while (readdir(list))
        count++;
    closedir(list);
    return count == 3 && fstatat(top, "outside/canary", &stat, 0) == 0 && stat.st_size == 77;
}

/* An entry such as guests make them, or would like to. */
static void entry_make(uint8_t *at)
{
    static const char *const names[] = {"..         ", ".          ", "A/B     TXT",    "../../X    ",  "NEW     TXT",
                                        "BELOW      ", "RINGER~1IMG", "\345ONE    TXT", "\0          ", "WAYOUT~1   "};
    memcpy(at, names[below(G_N_ELEMENTS(names))], 11);
    at[11] = (uint8_t)(below(2) ? 0x10 : below(4) ? 0x20 : below(256));
    at[26] = (uint8_t)below(80);
    at[27] = below(8) ? 0 : (uint8_t)below(256);
    at[28] = (uint8_t)below(256);
    at[29] = (uint8_t)below(16);
    at[30] = at[31] = below(10) ? 0 : (uint8_t)below(256);
}

static void sector_mutate(uint8_t *sector)
{
    for (unsigned i = 1 + below(4); i > 0; i--) {
        unsigned at = below(512);
        switch (below(7)) {
        case 0:
            sector[at] = (uint8_t)below(256);
            break;
        case 1:
            sector[at] ^= (uint8_t)(1u << below(8));
            break;
        case 2:
            entry_make(sector + (at & ~31u));
            break;
        case 3:
            memmove(sector + (at & ~31u), sector + (below(512) & ~31u), 32);
            break;
        case 4:
            sector[at & ~31u] = below(2) ? 0xe5 : 0;
            break;
        case 5: /* a long name's units */
            sector[(at & ~31u) + 11] = 0x0f;
            sector[(at & ~31u) + 1 + below(10)] = (uint8_t)below(256);
            break;
        default: /* a chain's next */
            sector[at] = (uint8_t)below(100);
            sector[(at + 1) & 511] = (uint8_t)(below(2) ? 0 : below(256));
            break;
        }
    }
}

static void guest_write(struct fat *fat, uint32_t interesting)
{
    uint8_t sector[512];
    uint64_t total = fat_size(fat) / 512, at = below(10) ? below(interesting) : below((uint32_t)total);
    if (fat_read(fat, at * 512, sector, 512))
        return;
    if (below(12) == 0) /* another sector's contents */
        fat_read(fat, (uint64_t)below(interesting) * 512, sector, 512);
    else
        sector_mutate(sector);
    fat_write(fat, at * 512, sector, 512);
}

static void one(int top, uint64_t number)
{
    static const struct fat_options kinds[] = {{.floppy = true, .writable = true, .label = "FUZZ"},
                                               {.floppy = true, .writable = true, .type = 16},
                                               {.writable = true, .type = 12},
                                               {.writable = true, .type = 32}};
    const struct fat_options *options = &kinds[below(20) ? below(3) : 3];
    unsigned told = 0;
    GError *error = NULL;
    int folder = openat(top, "folder", O_RDONLY | O_DIRECTORY);
    tree_make(folder);
    struct fat *fat = fat_open(dup(folder), openat(top, ".", O_TMPFILE | O_RDWR, 0600), options, tell, &told, &error);
    if (!fat)
        die(error->message, number);
    uint32_t interesting = options->type == 32 ? 2200 : options->type == 12 ? 260 : 120;
    for (unsigned i = 1 + below(30); i > 0; i--) {
        guest_write(fat, interesting);
        if (below(6) == 0)
            fat_flush(fat);
        if (below(10) == 0)
            fat_settle(fat);
        if (below(40) == 0)
            fat_refresh(fat, below(2));
    }
    fat_close(fat);
    if (!is_outside_same(top))
        die("something outside of the folder has changed", number);
    wipe(folder, 0);
    close(folder);
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 500;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, first = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
    char memory[] = "/dev/shm/fat-fuzz-XXXXXX", disk[] = "/var/tmp/fat-fuzz-XXXXXX"; /* each flush is a sync */
    const char *path = mkdtemp(memory) ? memory : mkdtemp(disk);
    int top = path ? open(path, O_RDONLY | O_DIRECTORY) : -1;
    if (top < 0 || mkdirat(top, "folder", 0700) < 0 || mkdirat(top, "outside", 0700) < 0)
        return 1;
    int outside = openat(top, "outside", O_RDONLY | O_DIRECTORY);
    put(outside, "canary", 77);
    printf("seed %llu\n", (unsigned long long)seed);
    for (uint64_t number = first; number < first + count; number++) {
        state = (seed * 0x9e3779b97f4a7c15ull) ^ (number * 0xbf58476d1ce4e5b9ull) ^ 0x94d049bb133111ebull;
        for (unsigned i = 0; i < 4; i++)
            below(2);
        one(top, number);
    }
    wipe(top, 0);
    rmdir(path);
    printf("%llu inputs: no complaint\n", (unsigned long long)count);
    return 0;
}
