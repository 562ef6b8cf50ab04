/* Fuzzes the 9P server: random requests against a folder of its own, well-formed ones and such as are damaged.
 *
 *     p9_fuzz [--ops N] [--seed N]      the same seed does the same, but for what the file system says
 *
 * Built with ASan and UBSan. Besides crashes it looks for answers that are no messages, and for limits that do not
 * hold; and at the end for a file beside the folder that is not as it was.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/fs/p9.h"
#include "host/fs/server.h"
#include "log.h"

/* The library has no use for them. */
uint32_t log_enabled;
void log_user(const char *fmt, ...)
{
}
void log_guest(const char *fmt, ...)
{
}

static uint64_t state;

static uint32_t random32(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static uint32_t below(uint32_t n)
{
    return random32() % n;
}

#define DESCRIPTORS 24u
#define FIDS        40u
#define ROOM        16384u

static const char *const names[] = {"a",
                                    "b",
                                    "c",
                                    "d",
                                    "e",
                                    "f",
                                    "..",
                                    ".",
                                    "",
                                    "a/b",
                                    "../outside",
                                    "secret",
                                    "/etc/passwd",
                                    "user.a",
                                    "user.b",
                                    "user.virtfs.mode",
                                    "security.x",
                                    "system.posix_acl_access",
                                    "a-name-that-is-a-bit-longer-than-the-others-are"};

static void put_name(struct p9_out *out)
{
    if (below(200) == 0) {
        uint16_t len = (uint16_t)below(400);
        p9_put(out, len, 2);
        for (unsigned i = 0; i < len; i++)
            p9_put(out, random32(), 1);
        return;
    }
    const char *name = names[below(4) ? below(6) : below(G_N_ELEMENTS(names))];
    p9_put_string(out, name, strlen(name));
}

static uint32_t any_fid(void)
{
    return below(3) ? below(12) : below(50) ? below(FIDS * 2) : random32();
}

static uint64_t any_size(void)
{
    static const uint64_t sizes[] = {0, 1, 511, 4096, 65535, 65536, 65537, 1ull << 31, 1ull << 32, 1ull << 63, ~0ull};
    return below(3) ? below(5000) : below(4) ? sizes[below(7)] : sizes[below(G_N_ELEMENTS(sizes))];
}

/* s name, f fid, d w b q numbers, z size, m mode, o open flags, D data; W names of a walk. */
static const struct {
    uint8_t type;
    const char *format;
    unsigned weight;
} kinds[] = {
    {P9_TSTATFS, "f", 1},
    {P9_TLOPEN, "fo", 8},
    {P9_TLCREATE, "fsomd", 8},
    {P9_TSYMLINK, "fssd", 3},
    {P9_TMKNOD, "fsmddd", 3},
    {P9_TRENAME, "ffs", 3},
    {P9_TREADLINK, "f", 2},
    {P9_TGETATTR, "fq", 6},
    {P9_TSETATTR, "fvmddzqqqq", 5},
    {P9_TXATTRWALK, "ffs", 4},
    {P9_TXATTRCREATE, "fszbbbb", 4},
    {P9_TREADDIR, "fzd", 4},
    {P9_TFSYNC, "fd", 1},
    {P9_TLOCK, "fbdqqds", 1},
    {P9_TGETLOCK, "fbqqds", 1},
    {P9_TLINK, "ffs", 3},
    {P9_TMKDIR, "fsmd", 4},
    {P9_TRENAMEAT, "fsfs", 4},
    {P9_TUNLINKAT, "fsu", 5},
    {P9_TVERSION, "ds", 1},
    {P9_TAUTH, "ffss", 1},
    {P9_TATTACH, "ffssd", 6},
    {P9_TFLUSH, "w", 1},
    {P9_TWALK, "ffW", 25},
    {P9_TREAD, "fzd", 8},
    {P9_TWRITE, "fzD", 8},
    {P9_TCLUNK, "f", 14},
    {P9_TREMOVE, "f", 2},
};

static void put_part(struct p9_out *out, char kind)
{
    static const uint8_t zeros[4096];
    uint32_t n;
    switch (kind) {
    case 's':
        put_name(out);
        break;
    case 'f':
        p9_put(out, any_fid(), 4);
        break;
    case 'd':
        p9_put(out, below(2) ? below(2000) : random32(), 4);
        break;
    case 'w':
        p9_put(out, random32(), 2);
        break;
    case 'b':
        p9_put(out, below(4) ? 0 : random32(), 1);
        break;
    case 'q':
        p9_put(out, (uint64_t)random32() << 32 | random32(), 8);
        break;
    case 'z':
        p9_put(out, any_size(), 8);
        break;
    case 'm':
        p9_put(out, below(2) ? below(010000) : random32(), 4);
        break;
    case 'o':
        p9_put(out, below(2) ? below(3) : random32(), 4);
        break;
    case 'v': /* sizes are small: the disk is the host's */
        p9_put(out, below(0x200), 4);
        break;
    case 'u':
        p9_put(out, below(3) ? 0 : below(3) ? 0x200 : random32(), 4);
        break;
    case 'D':
        n = below(sizeof(zeros));
        p9_put(out, n, 4);
        p9_put_bytes(out, zeros, n);
        break;
    case 'W':
        n = below(4) ? below(3) : below(20);
        p9_put(out, n, 2);
        while (n--)
            put_name(out);
        break;
    }
}

static uint32_t message_make(uint8_t *message)
{
    static unsigned total;
    static bool is_counted;
    struct p9_out out = {message, message + P9_HEADER, message + ROOM, false};
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds) && !is_counted; i++)
        total += kinds[i].weight;
    is_counted = true;
    unsigned pick = below(total), kind = 0;
    while (pick >= kinds[kind].weight)
        pick -= kinds[kind++].weight;
    uint8_t type = kinds[kind].type;
    for (const char *part = kinds[kind].format; *part; part++)
        put_part(&out, *part);
    uint32_t len = (uint32_t)(out.at - message);
    bool is_damaged = below(20) == 0;
    if (is_damaged && below(2))
        len = P9_HEADER + below(len - P9_HEADER + 1);
    out.at = message;
    p9_put(&out, len, 4);
    p9_put(&out, type, 1);
    p9_put(&out, random32(), 2);
    for (unsigned i = below(4); is_damaged && i > 0; i--)
        message[below(len)] = (uint8_t)random32();
    return len;
}

/* A 4 GiB file would be the host's. setattr's size is the only one that makes such, and sparse; writes go to an offset.
 */
static bool is_too_large(const uint8_t *message, uint32_t len)
{
    uint64_t size = 0;
    if (message[4] == P9_TSETATTR && len >= P9_HEADER + 28)
        memcpy(&size, message + P9_HEADER + 20, 8);
    if (message[4] == P9_TWRITE && len >= P9_HEADER + 12)
        memcpy(&size, message + P9_HEADER + 4, 8);
    return size > 1u << 20 && size <= INT64_MAX;
}

static void fail(const char *why, uint64_t number)
{
    fprintf(stderr, "FAIL: request %llu: %s\n", (unsigned long long)number, why);
    abort();
}

int main(int argc, char **argv)
{
    static uint8_t message[ROOM], answer[ROOM], saved[ROOM];
    uint64_t ops = 20000, seed = 1, good = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--ops") == 0)
            ops = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
    }
    state = seed * 0x9e3779b97f4a7c15ull + 1;
    const char *folder = g_getenv("MESON_BUILD_ROOT");
    char *top = g_build_filename(folder ? folder : "/var/tmp", "p9-fuzz-XXXXXX", NULL);
    if (!g_mkdtemp(top))
        return 1;
    char *export = g_build_filename(top, "export", NULL), *outside = g_build_filename(top, "outside", NULL);
    char *secret = g_build_filename(outside, "secret", NULL), *is = NULL, *command;
    umask(0);
    if (mkdir(export, 0755) || mkdir(outside, 0755) || !g_file_set_contents(secret, "secret", -1, NULL))
        return 1;
    struct p9_server *server = NULL;
    for (uint64_t i = 0; i < ops; i++) {
        if (i % 20000 == 0) { /* another model, on an empty folder */
            const struct p9_export kind = {.model = (enum p9_model)below(3),
                                           .fmode = 0600,
                                           .dmode = 0700,
                                           .writeout = below(2),
                                           .one_device = below(2),
                                           .read_only = below(8) == 0,
                                           .descriptors = DESCRIPTORS,
                                           .fids = FIDS};
            if (server)
                p9_server_free(server);
            command = g_strdup_printf("chmod -R u+rwX '%s'; rm -rf '%s'/* '%s'/.[!.]*", export, export, export);
            if (system(command) != 0)
                return 1;
            g_free(command);
            server = p9_server_new(open(export, O_RDONLY | O_DIRECTORY | O_CLOEXEC), &kind);
        }
        if (below(3000) == 0) { /* fids, and fids that somebody has damaged */
            uint32_t len = p9_server_save(server, saved, sizeof(saved));
            for (unsigned n = below(3) ? 0 : 5; n && len; n--)
                saved[below(len)] = (uint8_t)random32();
            p9_server_load(server, saved, len);
        }
        uint32_t len = message_make(message), size;
        if (is_too_large(message, len))
            continue;
        uint32_t room = below(10) ? ROOM : below(200);
        uint8_t *exact = g_memdup2(message, len); /* so that a step beyond its end is seen */
        len = p9_server_answer(server, exact, len, answer, room);
        g_free(exact);
        memcpy(&size, answer, 4);
        if (len > room || (len && (len < P9_HEADER || size != len)))
            fail("an answer that is none", i);
        if (p9_server_fids(server) > FIDS || p9_server_descriptors(server) > DESCRIPTORS + 1)
            fail("more than there may be", i);
        good += len && answer[4] != P9_RLERROR;
    }
    if (server)
        p9_server_free(server);
    struct stat about;
    command = g_strdup_printf("test \"$(ls -A '%s')\" = secret", outside);
    if (!g_file_get_contents(secret, &is, NULL, NULL) || strcmp(is, "secret") != 0 || stat(secret, &about) != 0 ||
        about.st_nlink != 1 || system(command) != 0)
        fail("what is outside is not as it was", ops);
    g_free(command);
    g_free(is);
    command = g_strdup_printf("chmod -R u+rwX '%s'; rm -rf '%s'", top, top);
    bool is_clean = system(command) == 0;
    g_free(command);
    g_free(secret);
    g_free(outside);
    g_free(export);
    g_free(top);
    printf("%llu requests, %llu done as asked\n", (unsigned long long)ops, (unsigned long long)good);
    return !is_clean || good < ops / 20;
}
