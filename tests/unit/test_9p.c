/* The 9P server, by messages, without a guest: what each request does, and that nothing leads out of the folder. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "p9_client.h"

#define ROOT 0u

/* top/export is what is exported; top/outside is what must not be reached. */
static char *top, *outside;

static char *at(const char *path)
{
    static char text[4][4200];
    static unsigned n;
    n = (n + 1) % 4;
    g_snprintf(text[n], sizeof(text[n]), "%s/export/%s", top, path);
    return text[n];
}

static void put_file(const char *path, const char *content)
{
    g_assert_true(g_file_set_contents(path, content, -1, NULL));
}

static bool has(const char *path, const char *content)
{
    char *is = NULL;
    bool ok = g_file_get_contents(path, &is, NULL, NULL) && strcmp(is, content) == 0;
    g_free(is);
    return ok;
}

static void open_export(const struct p9_export *export)
{
    int root = open(at(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    client_server = p9_server_new(root, export);
    g_assert_nonnull(client_server);
    g_assert_cmpint(call(P9_TVERSION, "ds", P9_MSIZE_MAX, "9P2000.L"), ==, 0);
    g_assert_cmpint(call(P9_TATTACH, "ddssd", ROOT, P9_NO_FID, "root", "", 0), ==, 0);
}

static void setup(const struct p9_export *export)
{
    static const struct p9_export plain = {.model = P9_NONE, .fmode = 0600, .dmode = 0700};
    const char *folder = g_getenv("MESON_BUILD_ROOT"); /* /tmp may lack extended attributes */
    top = g_build_filename(folder ? folder : "/var/tmp", "p9-XXXXXX", NULL);
    umask(0);
    client_room = P9_MSIZE_MAX;
    g_assert_nonnull(g_mkdtemp(top));
    g_assert_cmpint(mkdir(at(""), 0755), ==, 0);
    outside = g_build_filename(top, "outside", NULL);
    g_assert_cmpint(mkdir(outside, 0755), ==, 0);
    char *secret = g_build_filename(outside, "secret", NULL);
    put_file(secret, "secret");
    g_free(secret);
    put_file(at("file"), "0123456789");
    g_assert_cmpint(mkdir(at("dir"), 0755), ==, 0);
    put_file(at("dir/inner"), "inner");
    open_export(export ? export : &plain);
}

static void teardown(void)
{
    char *command = g_strdup_printf("rm -rf '%s'", top);
    p9_server_free(client_server);
    g_assert_cmpint(system(command), ==, 0);
    g_free(command);
    g_free(top);
    g_free(outside);
}

static int open_fid(uint32_t fid, const char *name, uint32_t flags)
{
    int why = walk(ROOT, fid, 1, name);
    return why ? why : call(P9_TLOPEN, "dd", fid, flags);
}

static int setattr(uint32_t fid, uint32_t valid, uint32_t mode, uint32_t uid, uint64_t size)
{
    return call(P9_TSETATTR,
                "ddddd"
                "qqqqq",
                fid, valid, mode, uid, uid, size, (uint64_t)1000, (uint64_t)5, (uint64_t)2000, (uint64_t)6);
}

/* --- What requests do --- */

static void test_version(void)
{
    setup(NULL);
    g_assert_cmpint(call(P9_TVERSION, "ds", 1u << 30, "9P2000.L"), ==, 0);
    g_assert_cmpuint(p9_u32(&client_in), ==, P9_MSIZE_MAX);
    g_assert_cmpint(walk(ROOT, 1, 0), ==, EBADF); /* a new session */
    g_assert_cmpint(call(P9_TVERSION, "ds", 8192, "9P2000.u"), ==, 0);
    char text[16];
    g_assert_cmpuint(p9_u32(&client_in), ==, 8192);
    g_assert_cmpuint(p9_string(&client_in, text, 15), ==, 7);
    g_assert_cmpstr(text, ==, "unknown");
    g_assert_cmpint(call(P9_TVERSION, "ds", 100, "9P2000.L"), ==, EMSGSIZE);
    g_assert_cmpint(call(P9_TAUTH, "dssd", 5, "root", "", 0), ==, EOPNOTSUPP);
    g_assert_cmpint(call(200, ""), ==, EOPNOTSUPP);
    g_assert_cmpint(call(P9_TFLUSH, "w", 5), ==, 0);
    teardown();
}

static void test_walk(void)
{
    struct attributes root, is;
    setup(NULL);
    g_assert_cmpint(walk(ROOT, 1, 2, "dir", "inner"), ==, 0);
    g_assert_cmpint(walk(ROOT, 1, 1, "file"), ==, EBADF); /* it is in use */
    g_assert_cmpint(walk(ROOT, 2, 2, "dir", "nothing"), ==, ENOENT);
    g_assert_cmpint(clunk(2), ==, EBADF);
    g_assert_cmpint(walk(ROOT, 2, 2, "file", "x"), ==, ENOENT);
    g_assert_cmpint(walk(1, 2, 1, "x"), ==, ENOTDIR);
    g_assert_cmpint(walk(ROOT, 2, 0), ==, 0);
    g_assert_cmpint(walk(2, 2, 1, "dir"), ==, 0); /* itself moves */
    g_assert_cmpint(walk(2, 3, 1, ".."), ==, 0);
    g_assert_cmpint(getattr(ROOT, &root), ==, 0);
    g_assert_cmpint(getattr(3, &is), ==, 0);
    g_assert_cmpuint(is.qid_path, ==, root.qid_path);
    g_assert_cmpint(clunk(1) | clunk(2) | clunk(3), ==, 0);
    g_assert_cmpuint(p9_server_fids(client_server), ==, 1);
    g_assert_cmpuint(p9_server_descriptors(client_server), ==, 1);
    teardown();
}

static void test_read_write(void)
{
    setup(NULL);
    g_assert_cmpint(open_fid(1, "file", O_RDWR), ==, 0);
    g_assert_cmpint(call(P9_TREAD, "dqd", 1, (uint64_t)3, 4), ==, 0);
    g_assert_cmpuint(p9_u32(&client_in), ==, 4);
    g_assert_cmpmem(client_in.at, 4, "3456", 4);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 1, (uint64_t)8, "abcd", 4), ==, 0);
    g_assert_true(has(at("file"), "01234567abcd"));
    g_assert_cmpint(call(P9_TFSYNC, "dd", 1, 0), ==, 0);
    g_assert_cmpint(call(P9_TFSYNC, "dd", 1, 1), ==, 0);
    g_assert_cmpint(call(P9_TREAD, "dqd", 1, UINT64_MAX, 4), ==, EINVAL);
    g_assert_cmpint(call(P9_TLOPEN, "dd", 1, 0), ==, EBUSY);
    g_assert_cmpint(open_fid(2, "file", O_RDONLY), ==, 0);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 2, (uint64_t)0, "x", 1), ==, EBADF);
    g_assert_cmpint(open_fid(3, "file", O_WRONLY | O_TRUNC), ==, 0);
    g_assert_true(has(at("file"), ""));
    g_assert_cmpint(open_fid(4, "file", O_ACCMODE), ==, EINVAL);
    teardown();
}

static void test_small_rooms(void)
{
    setup(NULL);
    g_assert_cmpint(open_fid(1, "file", O_RDONLY), ==, 0);
    client_room = 11 + 5;
    g_assert_cmpint(call(P9_TREAD, "dqd", 1, (uint64_t)0, 100), ==, 0);
    g_assert_cmpuint(p9_u32(&client_in), ==, 5);
    g_assert_cmpint(call(P9_TGETATTR, "dq", 1, (uint64_t)0), ==, ENOBUFS);
    client_room = 10;
    client_message[0] = 7;
    memset(client_message + 1, 0, 6);
    g_assert_cmpuint(p9_server_answer(client_server, client_message, 7, client_answer, 10), ==, 0);
    client_room = P9_MSIZE_MAX;
    /* What was agreed on is a limit, too, in both directions. */
    g_assert_cmpint(call(P9_TVERSION, "ds", 4096, "9P2000.L"), ==, 0);
    g_assert_cmpint(call(P9_TATTACH, "ddssd", ROOT, P9_NO_FID, "root", "", 0), ==, 0);
    g_assert_cmpint(open_fid(1, "file", O_RDWR), ==, 0);
    char *big = g_malloc0(8192);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 1, (uint64_t)0, big, 8192), ==, EMSGSIZE);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 1, (uint64_t)0, big, 4000), ==, 0);
    g_assert_cmpint(call(P9_TREAD, "dqd", 1, (uint64_t)0, 100000), ==, 0);
    g_assert_cmpuint(p9_u32(&client_in), ==, 4000);
    g_free(big);
    teardown();
}

static void test_create(void)
{
    struct attributes is;
    setup(NULL);
    g_assert_cmpint(walk(ROOT, 1, 0), ==, 0);
    g_assert_cmpint(call(P9_TLCREATE, "dsddd", 1, "new", O_RDWR | O_CREAT | O_EXCL, 0640, getgid()), ==, 0);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 1, (uint64_t)0, "x", 1), ==, 0);
    g_assert_true(has(at("new"), "x"));
    g_assert_cmpint(getattr(1, &is), ==, 0);
    g_assert_cmphex(is.mode, ==, S_IFREG | 0640);
    g_assert_cmpint(walk(ROOT, 2, 0), ==, 0);
    g_assert_cmpint(call(P9_TLCREATE, "dsddd", 2, "new", O_RDWR | O_EXCL, 0640, 0), ==, EEXIST);
    g_assert_cmpint(call(P9_TLCREATE, "dsddd", 2, "new", O_RDWR, 0640, 0), ==, 0);
    g_assert_cmpint(call(P9_TMKDIR, "dsdd", ROOT, "made", 01755, getgid()), ==, 0);
    g_assert_cmpint(walk(ROOT, 3, 1, "made"), ==, 0);
    g_assert_cmpint(getattr(3, &is), ==, 0);
    g_assert_cmphex(is.mode, ==, S_IFDIR | 01755);
    g_assert_cmphex(is.qid_type, ==, P9_QID_DIR);
    g_assert_cmpint(call(P9_TMKDIR, "dsdd", ROOT, "made", 0755, 0), ==, EEXIST);
    g_assert_cmpint(call(P9_TMKNOD, "dsdddd", ROOT, "pipe", S_IFIFO | 0600, 0, 0, getgid()), ==, 0);
    g_assert_cmpint(walk(ROOT, 4, 1, "pipe"), ==, 0);
    g_assert_cmpint(getattr(4, &is), ==, 0);
    g_assert_cmphex(is.mode, ==, S_IFIFO | 0600);
    g_assert_cmpint(call(P9_TLOPEN, "dd", 4, O_RDONLY), ==, ENXIO); /* nor would it wait for a writer */
    g_assert_cmpint(call(P9_TMKNOD, "dsdddd", ROOT, "odd", S_IFDIR | 0600, 0, 0, 0), ==, EINVAL);
    teardown();
}

static void test_links(void)
{
    char text[100];
    struct attributes is;
    setup(NULL);
    g_assert_cmpint(call(P9_TSYMLINK, "dssd", ROOT, "sym", "dir/inner", getgid()), ==, 0);
    g_assert_cmphex(p9_u8(&client_in), ==, P9_QID_SYMLINK);
    g_assert_cmpint(walk(ROOT, 1, 1, "sym"), ==, 0);
    g_assert_cmpint(call(P9_TREADLINK, "d", 1), ==, 0);
    p9_string(&client_in, text, 99);
    g_assert_cmpstr(text, ==, "dir/inner");
    g_assert_cmpint(walk(ROOT, 2, 1, "file"), ==, 0);
    g_assert_cmpint(call(P9_TLINK, "dds", ROOT, 2, "hard"), ==, 0);
    g_assert_cmpint(getattr(2, &is), ==, 0);
    g_assert_cmpuint(is.nlink, ==, 2);
    g_assert_cmpint(call(P9_TREADLINK, "d", 2), ==, EINVAL);
    g_assert_cmpint(walk(ROOT, 3, 1, "dir"), ==, 0);
    g_assert_cmpint(call(P9_TLINK, "dds", ROOT, 3, "harddir"), ==, EPERM);
    teardown();
}

static void test_rename_and_remove(void)
{
    setup(NULL);
    g_assert_cmpint(walk(ROOT, 1, 1, "dir"), ==, 0);
    g_assert_cmpint(walk(ROOT, 2, 1, "file"), ==, 0);
    g_assert_cmpint(call(P9_TRENAMEAT, "dsds", ROOT, "file", 1, "moved"), ==, 0);
    g_assert_true(has(at("dir/moved"), "0123456789"));
    g_assert_cmpint(call(P9_TRENAME, "dds", 2, ROOT, "back"), ==, 0); /* by a fid that was walked before */
    g_assert_true(has(at("back"), "0123456789"));
    g_assert_cmpint(call(P9_TRENAME, "dds", ROOT, 1, "root"), ==, EBUSY);
    g_assert_cmpint(call(P9_TUNLINKAT, "dsd", ROOT, "dir", 0), ==, EISDIR);
    g_assert_cmpint(call(P9_TUNLINKAT, "dsd", ROOT, "dir", 0x200), ==, ENOTEMPTY);
    g_assert_cmpint(call(P9_TUNLINKAT, "dsd", 1, "inner", 0), ==, 0);
    g_assert_cmpint(call(P9_TUNLINKAT, "dsd", ROOT, "dir", 0x200), ==, 0);
    g_assert_cmpint(call(P9_TREMOVE, "d", 2), ==, 0);
    g_assert_cmpint(access(at("back"), F_OK), ==, -1);
    g_assert_cmpint(clunk(2), ==, EBADF);
    g_assert_cmpint(call(P9_TREMOVE, "d", ROOT), ==, EBUSY); /* and its fid has ended */
    teardown();
}

/* What is open stays usable without a name. */
static void test_unlinked(void)
{
    struct attributes is;
    setup(NULL);
    g_assert_cmpint(open_fid(1, "file", O_RDWR), ==, 0);
    g_assert_cmpint(call(P9_TUNLINKAT, "dsd", ROOT, "file", 0), ==, 0);
    g_assert_cmpint(getattr(1, &is), ==, 0);
    g_assert_cmpuint(is.nlink, ==, 0);
    g_assert_cmpint(setattr(1, P9_SETATTR_SIZE, 0, 0, 3), ==, 0);
    g_assert_cmpint(call(P9_TREAD, "dqd", 1, (uint64_t)0, 100), ==, 0);
    g_assert_cmpuint(p9_u32(&client_in), ==, 3);
    g_assert_cmpint(call(P9_TREMOVE, "d", 1), ==, ENOENT);
    teardown();
}

static void test_setattr(void)
{
    struct attributes is;
    struct stat stat_is;
    setup(NULL);
    g_assert_cmpint(walk(ROOT, 1, 1, "file"), ==, 0);
    g_assert_cmpint(setattr(1, P9_SETATTR_MODE, 0604, 0, 0), ==, 0);
    g_assert_cmpint(setattr(1, P9_SETATTR_SIZE, 0, 0, 4), ==, 0);
    g_assert_cmpint(setattr(1, P9_SETATTR_SIZE, 0, 0, UINT64_MAX), ==, EFBIG);
    g_assert_cmpint(
        setattr(1, P9_SETATTR_ATIME | P9_SETATTR_ATIME_SET | P9_SETATTR_MTIME | P9_SETATTR_MTIME_SET, 0, 0, 0), ==, 0);
    g_assert_cmpint(getattr(1, &is), ==, 0);
    g_assert_cmphex(is.mode, ==, S_IFREG | 0604);
    g_assert_cmpuint(is.size, ==, 4);
    g_assert_cmpint(stat(at("file"), &stat_is), ==, 0);
    g_assert_cmpint(stat_is.st_atim.tv_sec, ==, 1000);
    g_assert_cmpint(stat_is.st_mtim.tv_nsec, ==, 6);
    g_assert_cmpint(setattr(1, P9_SETATTR_UID | P9_SETATTR_GID, 0, 1234, 0), ==, 0); /* none: whether it can or not */
    g_assert_cmpint(walk(ROOT, 2, 1, "dir"), ==, 0);
    g_assert_cmpint(setattr(2, P9_SETATTR_SIZE, 0, 0, 4), ==, EINVAL);
    g_assert_cmpint(call(P9_TSTATFS, "d", 1), ==, 0);
    g_assert_cmpuint(client_in.end - client_in.at, ==, 60);
    teardown();
}

static void test_readdir(void)
{
    unsigned found = 0, calls = 0, dots = 0;
    uint64_t offset = 0;
    uint32_t len = 1;
    setup(NULL);
    for (unsigned i = 0; i < 500; i++) {
        char name[100];
        g_snprintf(name, sizeof(name), "dir/an-entry-with-a-somewhat-longer-name-%u", i);
        put_file(at(name), "");
    }
    g_assert_cmpint(open_fid(1, "dir", O_RDONLY), ==, 0);
    g_assert_cmpint(call(P9_TREAD, "dqd", 1, (uint64_t)0, 100), ==, EISDIR);
    for (; len; calls++) {
        g_assert_cmpint(call(P9_TREADDIR, "dqd", 1, offset, 1000), ==, 0);
        len = p9_u32(&client_in);
        g_assert_cmpuint(len, <=, 1000);
        g_assert_cmpuint(client_in.end - client_in.at, ==, len);
        while (client_in.at < client_in.end) {
            char name[256];
            p9_take(&client_in, 13);
            offset = p9_u64(&client_in);
            (void)p9_u8(&client_in);
            p9_string(&client_in, name, 255);
            dots += name[0] == '.';
            found++;
        }
        g_assert_false(client_in.bad);
    }
    g_assert_cmpuint(found, ==, 503);
    g_assert_cmpuint(dots, ==, 2);
    g_assert_cmpuint(calls, >, 20);
    g_assert_cmpint(call(P9_TREADDIR, "dqd", 1, (uint64_t)0, 10), ==, EINVAL); /* not one fits */
    g_assert_cmpint(call(P9_TREADDIR, "dqd", 1, (uint64_t)0, 1000), ==, 0);    /* from the start */
    g_assert_cmpuint(p9_u32(&client_in), >, 900);
    teardown();
}

static void test_locks(void)
{
    setup(NULL);
    g_assert_cmpint(open_fid(1, "file", O_RDWR), ==, 0);
    g_assert_cmpint(call(P9_TLOCK, "dbdqqds", 1, 1, 0, (uint64_t)0, (uint64_t)0, 77, "guest"), ==, 0);
    g_assert_cmpuint(p9_u8(&client_in), ==, P9_LOCK_SUCCESS);
    g_assert_cmpint(call(P9_TGETLOCK, "dbqqds", 1, 1, (uint64_t)0, (uint64_t)0, 77, "guest"), ==, 0);
    g_assert_cmpuint(p9_u8(&client_in), ==, P9_UNLOCKED);
    teardown();
}

static void test_xattrs(void)
{
    char value[16] = "";
    setup(NULL);
    g_assert_cmpint(walk(ROOT, 1, 1, "file"), ==, 0);
    g_assert_cmpint(walk(ROOT, 2, 1, "file"), ==, 0);
    g_assert_cmpint(call(P9_TXATTRCREATE, "dsqd", 2, "user.a", (uint64_t)5, 0), ==, 0);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 2, (uint64_t)0, "hello", 5), ==, 0);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 2, (uint64_t)5, "x", 1), ==, ENOSPC);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 2, UINT64_MAX, "x", 1), ==, ENOSPC);
    g_assert_cmpint(clunk(2), ==, 0);
    g_assert_cmpint(getxattr(at("file"), "user.a", value, sizeof(value)), ==, 5);
    g_assert_cmpstr(value, ==, "hello");
    g_assert_cmpint(call(P9_TXATTRWALK, "dds", 1, 3, "user.a"), ==, 0);
    g_assert_cmpuint(p9_u64(&client_in), ==, 5);
    g_assert_cmpint(call(P9_TREAD, "dqd", 3, (uint64_t)1, 100), ==, 0);
    g_assert_cmpuint(p9_u32(&client_in), ==, 4);
    g_assert_cmpmem(client_in.at, 4, "ello", 4);
    g_assert_cmpint(call(P9_TXATTRWALK, "dds", 1, 4, ""), ==, 0);
    g_assert_cmpuint(p9_u64(&client_in), ==, 7);
    g_assert_cmpint(call(P9_TXATTRWALK, "dds", 1, 5, "user.b"), ==, ENODATA);
    g_assert_cmpint(call(P9_TXATTRWALK, "dds", 1, 5, "trusted.b"), ==, EOPNOTSUPP);
    g_assert_cmpint(call(P9_TXATTRCREATE, "dsqd", 1, "security.capability", (uint64_t)5, 0), ==, EOPNOTSUPP);
    g_assert_cmpint(call(P9_TXATTRCREATE, "dsqd", 1, "user.c", (uint64_t)65537, 0), ==, E2BIG);
    g_assert_cmpint(walk(ROOT, 6, 1, "file"), ==, 0);
    g_assert_cmpint(call(P9_TXATTRCREATE, "dsqd", 6, "user.a", (uint64_t)0, 0), ==, 0);
    g_assert_cmpint(clunk(6), ==, 0);
    g_assert_cmpint(getxattr(at("file"), "user.a", value, sizeof(value)), ==, -1);
    /* Many at once are bounded. */
    int why = 0;
    for (uint32_t fid = 100; !why && fid < 1000; fid++) {
        g_assert_cmpint(walk(ROOT, fid, 1, "file"), ==, 0);
        why = call(P9_TXATTRCREATE, "dsqd", fid, "user.big", (uint64_t)65536, 0);
    }
    g_assert_cmpint(why, ==, ENOSPC);
    teardown();
}

static void test_read_only(void)
{
    struct attributes is;
    setup(&(struct p9_export){.model = P9_PASSTHROUGH, .read_only = true});
    g_assert_cmpint(open_fid(1, "file", O_RDONLY), ==, 0);
    g_assert_cmpint(call(P9_TREAD, "dqd", 1, (uint64_t)0, 100), ==, 0);
    g_assert_cmpint(walk(ROOT, 2, 1, "file"), ==, 0);
    g_assert_cmpint(call(P9_TLOPEN, "dd", 2, O_RDWR), ==, EROFS);
    g_assert_cmpint(call(P9_TLOPEN, "dd", 2, O_TRUNC), ==, EROFS);
    g_assert_cmpint(setattr(2, P9_SETATTR_MODE, 0, 0, 0), ==, EROFS);
    g_assert_cmpint(call(P9_TMKDIR, "dsdd", ROOT, "x", 0755, 0), ==, EROFS);
    g_assert_cmpint(call(P9_TSYMLINK, "dssd", ROOT, "x", "y", 0), ==, EROFS);
    g_assert_cmpint(call(P9_TMKNOD, "dsdddd", ROOT, "x", S_IFIFO | 0600, 0, 0, 0), ==, EROFS);
    g_assert_cmpint(call(P9_TLCREATE, "dsddd", ROOT, "x", O_RDONLY, 0640, 0), ==, EROFS);
    g_assert_cmpint(call(P9_TLINK, "dds", ROOT, 2, "x"), ==, EROFS);
    g_assert_cmpint(call(P9_TRENAMEAT, "dsds", ROOT, "file", ROOT, "x"), ==, EROFS);
    g_assert_cmpint(call(P9_TRENAME, "dds", 2, ROOT, "x"), ==, EROFS);
    g_assert_cmpint(call(P9_TUNLINKAT, "dsd", ROOT, "file", 0), ==, EROFS);
    g_assert_cmpint(call(P9_TXATTRCREATE, "dsqd", 2, "user.a", (uint64_t)1, 0), ==, EROFS);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 1, (uint64_t)0, "x", 1), ==, EROFS);
    g_assert_cmpint(call(P9_TREMOVE, "d", 2), ==, EROFS);
    g_assert_cmpint(getattr(2, &is), ==, EBADF);
    g_assert_true(has(at("file"), "0123456789"));
    teardown();
}

/* --- The mapped model --- */

static void test_mapped(void)
{
    struct attributes is;
    struct stat host;
    uint32_t value = 0;
    char text[100];
    setup(&(struct p9_export){.model = P9_MAPPED_XATTR, .fmode = 0600, .dmode = 0700});
    g_assert_cmpint(walk(ROOT, 1, 0), ==, 0);
    g_assert_cmpint(call(P9_TLCREATE, "dsddd", 1, "new", O_RDWR, 04755, 55), ==, 0);
    g_assert_cmpint(lstat(at("new"), &host), ==, 0);
    g_assert_cmphex(host.st_mode, ==, S_IFREG | 0600);
    g_assert_cmpint(getxattr(at("new"), "user.virtfs.gid", &value, 4), ==, 4);
    g_assert_cmpuint(value, ==, 55);
    g_assert_cmpint(getxattr(at("new"), "user.virtfs.mode", &value, 4), ==, 4);
    g_assert_cmphex(value, ==, S_IFREG | 04755);
    g_assert_cmpint(getattr(1, &is), ==, 0);
    g_assert_cmphex(is.mode, ==, S_IFREG | 04755);
    g_assert_cmpint(setattr(1, P9_SETATTR_UID | P9_SETATTR_GID, 0, 4711, 0), ==, 0);
    g_assert_cmpint(setattr(1, P9_SETATTR_MODE, 0711, 0, 0), ==, 0);
    g_assert_cmpint(getattr(1, &is), ==, 0);
    g_assert_cmphex(is.mode, ==, S_IFREG | 0711);
    g_assert_cmpuint(is.uid, ==, 4711);
    /* A link is a file with its target in it, and is not opened. */
    g_assert_cmpint(call(P9_TSYMLINK, "dssd", ROOT, "sym", "/etc/passwd", 0), ==, 0);
    g_assert_cmphex(p9_u8(&client_in), ==, P9_QID_SYMLINK);
    g_assert_true(has(at("sym"), "/etc/passwd"));
    g_assert_cmpint(walk(ROOT, 2, 1, "sym"), ==, 0);
    g_assert_cmpint(call(P9_TREADLINK, "d", 2), ==, 0);
    p9_string(&client_in, text, 99);
    g_assert_cmpstr(text, ==, "/etc/passwd");
    g_assert_cmpint(call(P9_TLOPEN, "dd", 2, O_RDONLY), ==, ELOOP);
    /* A device is one for the guest only. */
    g_assert_cmpint(call(P9_TMKNOD, "dsdddd", ROOT, "disk", S_IFBLK | 0600, 8, 1, 6), ==, 0);
    g_assert_cmpint(lstat(at("disk"), &host), ==, 0);
    g_assert_cmphex(host.st_mode, ==, S_IFREG | 0600);
    g_assert_cmpint(walk(ROOT, 3, 1, "disk"), ==, 0);
    g_assert_cmpint(getattr(3, &is), ==, 0);
    g_assert_cmphex(is.mode, ==, S_IFBLK | 0600);
    g_assert_cmphex(is.rdev, ==, makedev(8, 1));
    g_assert_cmpint(call(P9_TLOPEN, "dd", 3, O_RDONLY), ==, ENXIO);
    /* The attributes themselves are not for the guest. */
    g_assert_cmpint(call(P9_TXATTRWALK, "dds", 3, 4, "user.virtfs.mode"), ==, EOPNOTSUPP);
    g_assert_cmpint(call(P9_TXATTRCREATE, "dsqd", 3, "user.virtfs.mode", (uint64_t)4, 0), ==, EOPNOTSUPP);
    g_assert_cmpint(call(P9_TXATTRWALK, "dds", 3, 4, ""), ==, 0);
    g_assert_cmpuint(p9_u64(&client_in), ==, 0);
    /* A folder is one whatever its attribute says. */
    value = S_IFREG | 0644;
    g_assert_cmpint(setxattr(at("dir"), "user.virtfs.mode", &value, 4, 0), ==, 0);
    g_assert_cmpint(walk(ROOT, 5, 1, "dir"), ==, 0);
    g_assert_cmpint(getattr(5, &is), ==, 0);
    g_assert_cmphex(is.mode, ==, S_IFDIR | 0644);
    g_assert_cmpint(call(P9_TMKDIR, "dsdd", ROOT, "made", 0755, 9), ==, 0);
    g_assert_cmpint(lstat(at("made"), &host), ==, 0);
    g_assert_cmphex(host.st_mode, ==, S_IFDIR | 0700);
    teardown();
}

static void test_passthrough_owner(void)
{
    struct stat host;
    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    setup(&(struct p9_export){.model = P9_PASSTHROUGH});
    g_assert_cmpint(call(P9_TATTACH, "ddssd", 9, P9_NO_FID, "user", "", 1234), ==, 0);
    g_assert_cmpint(call(P9_TMKDIR, "dsdd", 9, "made", 0755, 55), ==, 0);
    g_assert_cmpint(lstat(at("made"), &host), ==, 0);
    g_assert_cmpuint(host.st_uid, ==, 1234);
    g_assert_cmpuint(host.st_gid, ==, 55);
    g_assert_cmpint(call(P9_TLCREATE, "dsddd", 9, "new", O_RDWR, 06755, 55), ==, 0);
    g_assert_cmpint(lstat(at("new"), &host), ==, 0);
    g_assert_cmphex(host.st_mode, ==, S_IFREG | 06755);
    g_assert_cmpuint(host.st_uid, ==, 1234);
    teardown();
}

/* --- Limits --- */

static void test_many_fids(void)
{
    struct attributes is;
    int why = 0;
    uint32_t fid = 1;
    setup(&(struct p9_export){.model = P9_NONE, .fids = 1000});
    for (; !why; fid++)
        why = walk(ROOT, fid, 1, "file");
    g_assert_cmpint(why, ==, ENFILE);
    g_assert_cmpuint(fid, ==, 1001);
    g_assert_cmpint(getattr(999, &is), ==, 0);
    teardown();
}

/* Descriptors are fewer than fids: those longest unused are closed, and found again. */
static void test_few_descriptors(void)
{
    struct attributes is;
    char name[32];
    setup(&(struct p9_export){.model = P9_NONE, .descriptors = 16});
    for (unsigned i = 0; i < 200; i++) {
        g_snprintf(name, sizeof(name), "f%u", i);
        put_file(at(name), name);
        g_assert_cmpint(walk(ROOT, 1000 + i, 1, name), ==, 0);
        g_assert_cmpuint(p9_server_descriptors(client_server), <=, 16);
    }
    for (unsigned i = 0; i < 200; i++) {
        g_snprintf(name, sizeof(name), "f%u", i);
        g_assert_cmpint(getattr(1000 + i, &is), ==, 0);
        g_assert_cmpuint(is.size, ==, strlen(name));
        g_assert_cmpuint(p9_server_descriptors(client_server), <=, 16);
    }
    /* One that was moved meanwhile, and by another in its place. */
    g_assert_cmpint(rename(at("f1"), at("f2")), ==, 0);
    g_assert_cmpint(getattr(1001, &is), ==, ENOENT);
    g_assert_cmpint(getattr(1002, &is), ==, ESTALE);
    /* Two at once. */
    g_assert_cmpint(call(P9_TLINK, "dds", ROOT, 1010, "linked"), ==, 0);
    g_assert_cmpint(walk(ROOT, 2, 1, "dir"), ==, 0);
    for (unsigned i = 20; i < 60; i++)
        g_assert_cmpint(getattr(1000 + i, &is), ==, 0);
    g_assert_cmpint(call(P9_TRENAME, "dds", 1011, 2, "renamed"), ==, 0);
    g_assert_true(has(at("dir/renamed"), "f11"));
    /* What is open for reading stays: then there are no more. */
    int why = 0;
    for (unsigned i = 20; !why && i < 60; i++)
        why = call(P9_TLOPEN, "dd", 1000 + i, O_RDONLY);
    g_assert_cmpint(why, ==, EMFILE);
    teardown();
}

static void test_save_and_load(void)
{
    static uint8_t bytes[65536];
    struct attributes is;
    setup(NULL);
    g_assert_cmpint(open_fid(1, "file", O_RDWR | O_TRUNC), ==, 0);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 1, (uint64_t)0, "kept", 4), ==, 0);
    g_assert_cmpint(walk(ROOT, 2, 2, "dir", "inner"), ==, 0);
    g_assert_cmpint(open_fid(3, "dir", O_RDONLY), ==, 0);
    put_file(at("gone"), "");
    g_assert_cmpint(walk(ROOT, 4, 1, "gone"), ==, 0);
    uint32_t len = p9_server_save(client_server, bytes, sizeof(bytes));
    g_assert_cmpuint(len, >, 100);
    p9_server_free(client_server);
    g_assert_cmpint(unlink(at("gone")), ==, 0);
    int root = open(at(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    client_server = p9_server_new(root, &(struct p9_export){.model = P9_NONE});
    p9_server_load(client_server, bytes, len);
    g_assert_cmpuint(p9_server_fids(client_server), ==, 4);
    g_assert_cmpint(call(P9_TREAD, "dqd", 1, (uint64_t)0, 100), ==, 0); /* not emptied again */
    g_assert_cmpuint(p9_u32(&client_in), ==, 4);
    g_assert_cmpint(call(P9_TWRITE, "dqD", 1, (uint64_t)4, "!", 1), ==, 0);
    g_assert_cmpint(getattr(2, &is), ==, 0);
    g_assert_cmpuint(is.size, ==, 5);
    g_assert_cmpint(call(P9_TREADDIR, "dqd", 3, (uint64_t)0, 1000), ==, 0);
    g_assert_cmpint(getattr(4, &is), ==, EBADF);
    /* Bytes that somebody has made up. */
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t copy[1024];
        uint32_t part = MIN(len, sizeof(copy));
        memcpy(copy, bytes, part);
        for (unsigned n = 0; n < 4; n++)
            copy[g_test_rand_int_range(0, (int)part)] = (uint8_t)g_test_rand_int();
        p9_server_load(client_server, copy, (uint32_t)g_test_rand_int_range(0, (int)part + 1));
    }
    teardown();
}

#include "p9_escape.h"

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/9p/version", test_version);
    g_test_add_func("/9p/walk", test_walk);
    g_test_add_func("/9p/read_write", test_read_write);
    g_test_add_func("/9p/small_rooms", test_small_rooms);
    g_test_add_func("/9p/create", test_create);
    g_test_add_func("/9p/links", test_links);
    g_test_add_func("/9p/rename_and_remove", test_rename_and_remove);
    g_test_add_func("/9p/unlinked", test_unlinked);
    g_test_add_func("/9p/setattr", test_setattr);
    g_test_add_func("/9p/readdir", test_readdir);
    g_test_add_func("/9p/locks", test_locks);
    g_test_add_func("/9p/xattrs", test_xattrs);
    g_test_add_func("/9p/read_only", test_read_only);
    g_test_add_func("/9p/mapped", test_mapped);
    g_test_add_func("/9p/passthrough_owner", test_passthrough_owner);
    g_test_add_func("/9p/many_fids", test_many_fids);
    g_test_add_func("/9p/few_descriptors", test_few_descriptors);
    g_test_add_func("/9p/save_and_load", test_save_and_load);
    g_test_add_func("/9p/escape/names", test_escape_names);
    g_test_add_func("/9p/escape/dotdot", test_escape_dotdot);
    g_test_add_func("/9p/escape/links", test_escape_links);
    g_test_add_func("/9p/escape/moved", test_escape_moved);
    g_test_add_func("/9p/escape/devices", test_escape_devices);
    g_test_add_func("/9p/escape/races", test_escape_races);
    g_test_add_func("/9p/escape/evicted", test_escape_evicted);
    return g_test_run();
}
