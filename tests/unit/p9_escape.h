/* Of test_9p.c: every way out of the exported folder that we can think of, tried. */
#pragma once

#include <pthread.h>

static bool outside_is_whole(void)
{
    char *secret = g_build_filename(outside, "secret", NULL), *command;
    struct stat stat_is;
    bool ok = has(secret, "secret") && stat(secret, &stat_is) == 0 && (stat_is.st_mode & 07777) == 0666 &&
              stat_is.st_nlink == 1 && stat_is.st_mtim.tv_sec > 5000;
    command = g_strdup_printf("test \"$(ls -A '%s')\" = secret", outside);
    ok = ok && system(command) == 0;
    g_free(secret);
    g_free(command);
    return ok;
}

/* All that a name can be used for, with a fid of the folder it is in: none of it may reach what is outside. */
static void use_name(uint32_t dir, const char *name)
{
    struct attributes is;
    (void)walk(dir, 500, 1, name);
    if (getattr(500, &is) == 0) {
        char *secret = g_build_filename(outside, "secret", NULL);
        struct stat theirs, folder;
        g_assert_cmpint(stat(secret, &theirs) | stat(outside, &folder), ==, 0);
        g_assert_cmpuint(is.qid_path, !=, theirs.st_ino);
        g_assert_cmpuint(is.qid_path, !=, folder.st_ino);
        g_free(secret);
        (void)setattr(500, P9_SETATTR_MODE | P9_SETATTR_ATIME | P9_SETATTR_MTIME | P9_SETATTR_MTIME_SET, 0711, 0, 0);
        (void)setattr(500, P9_SETATTR_SIZE, 0, 0, 1);
        (void)walk(500, 501, 1, "secret");
        g_assert_cmpint(clunk(501), ==, EBADF);
        (void)call(P9_TLCREATE, "dsddd", 500, "planted", O_RDWR, 0644, 0);
        (void)call(P9_TMKDIR, "dsdd", 500, "planted", 0755, 0);
    }
    (void)clunk(500);
    (void)call(P9_TMKDIR, "dsdd", dir, name, 0755, 0);
    (void)call(P9_TSYMLINK, "dssd", dir, name, "x", 0);
    (void)call(P9_TMKNOD, "dsdddd", dir, name, S_IFREG | 0644, 0, 0, 0);
    if (walk(dir, 502, 0) == 0)
        (void)call(P9_TLCREATE, "dsddd", 502, name, O_RDWR | O_TRUNC, 0644, 0);
    (void)call(P9_TWRITE, "dqD", 502, (uint64_t)0, "overwritten", 11);
    (void)clunk(502);
    if (walk(ROOT, 503, 1, "file") == 0) {
        (void)call(P9_TLINK, "dds", dir, 503, name);
        (void)clunk(503);
    }
    (void)call(P9_TRENAMEAT, "dsds", dir, name, ROOT, "taken");
    (void)call(P9_TRENAMEAT, "dsds", ROOT, "dir", dir, name);
    (void)call(P9_TUNLINKAT, "dsd", dir, name, 0);
    (void)call(P9_TUNLINKAT, "dsd", dir, name, 0x200);
    g_assert_true(outside_is_whole());
}

static void escape_setup(void)
{
    char *secret;
    setup(&(struct p9_export){.model = P9_PASSTHROUGH});
    secret = g_build_filename(outside, "secret", NULL);
    g_assert_cmpint(chmod(secret, 0666), ==, 0);
    g_free(secret);
}

static void test_escape_names(void)
{
    escape_setup();
    char *absolute = g_build_filename(outside, "secret", NULL), *long_name = g_strnfill(300, 'x');
    char *very_long = g_strnfill(65000, 'y');
    const char *const names[] = {"..",
                                 ".",
                                 "",
                                 "/",
                                 "../outside",
                                 "../outside/secret",
                                 "dir/../../outside",
                                 "./..",
                                 "dir/..",
                                 "file/..",
                                 "//",
                                 "dir/",
                                 "...",
                                 absolute,
                                 outside,
                                 long_name,
                                 very_long,
                                 "\xff\xfe",
                                 "dir/inner",
                                 "..\\outside",
                                 "/etc/passwd",
                                 "../../../../../../../../etc/passwd"};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        use_name(ROOT, names[i]);
        if (access(at("dir"), F_OK) != 0)
            g_assert_cmpint(mkdir(at("dir"), 0755), ==, 0);
        if (access(at("file"), F_OK) != 0)
            put_file(at("file"), "x");
        (void)system("true");
        if (walk(ROOT, 600, 1, "dir") == 0) {
            use_name(600, names[i]);
            clunk(600);
        }
    }
    /* Zeros in a name: nothing behind them counts, and nothing before them is taken for it. */
    struct p9_out out = {client_message, client_message + P9_HEADER, client_message + 100, false};
    p9_put(&out, ROOT, 4);
    p9_put(&out, 700, 4);
    p9_put(&out, 1, 2);
    p9_put_string(&out, "file\0/../x", 10);
    uint32_t len = (uint32_t)(out.at - client_message);
    out.at = client_message;
    p9_put(&out, len, 4);
    p9_put(&out, P9_TWALK, 1);
    p9_put(&out, 7, 2);
    g_assert_cmpuint(p9_server_answer(client_server, client_message, len, client_answer, 4096), ==, P9_ERROR);
    g_assert_cmpint(walk(ROOT, 700, 1, long_name), ==, ENAMETOOLONG);
    g_assert_cmpint(walk(ROOT, 700, 1, ""), ==, ENOENT);
    g_assert_cmpint(walk(ROOT, 700, 1, "dir/inner"), ==, ENOENT);
    g_assert_cmpint(walk(ROOT, 700, 1, "."), ==, EINVAL);
    g_assert_cmpint(call(P9_TMKDIR, "dsdd", ROOT, "..", 0755, 0), ==, EINVAL);
    g_free(absolute);
    g_free(long_name);
    g_free(very_long);
    teardown();
}

static void test_escape_dotdot(void)
{
    struct attributes root, is;
    escape_setup();
    g_assert_cmpint(getattr(ROOT, &root), ==, 0);
    g_assert_cmpint(walk(ROOT, 1, 3, "..", "..", ".."), ==, 0); /* above the root is the root */
    g_assert_cmpint(getattr(1, &is), ==, 0);
    g_assert_cmpuint(is.qid_path, ==, root.qid_path);
    g_assert_cmpint(walk(ROOT, 2, 4, "dir", "..", "..", "dir"), ==, 0);
    g_assert_cmpint(walk(ROOT, 3, 2, "..", "outside"), ==, ENOENT);
    g_assert_cmpint(walk(ROOT, 3, 2, "file", ".."), ==, ENOENT);
    /* Nor does reading the root tell of what is above. */
    struct stat above;
    g_assert_cmpint(stat(top, &above), ==, 0);
    g_assert_cmpint(call(P9_TLOPEN, "dd", 1, O_RDONLY), ==, 0);
    g_assert_cmpint(call(P9_TREADDIR, "dqd", 1, (uint64_t)0, 4000), ==, 0);
    (void)p9_u32(&client_in);
    while (client_in.at < client_in.end) {
        char name[256];
        p9_take(&client_in, 5);
        g_assert_cmpuint(p9_u64(&client_in), !=, above.st_ino);
        p9_take(&client_in, 9);
        p9_string(&client_in, name, 255);
    }
    g_assert_true(outside_is_whole());
    teardown();
}

static void test_escape_links(void)
{
    escape_setup();
    char *secret = g_build_filename(outside, "secret", NULL);
    /* Of the guest's, and of the host's. */
    g_assert_cmpint(call(P9_TSYMLINK, "dssd", ROOT, "abs", secret, getgid()), ==, 0);
    g_assert_cmpint(call(P9_TSYMLINK, "dssd", ROOT, "rel", "../outside", getgid()), ==, 0);
    g_assert_cmpint(call(P9_TSYMLINK, "dssd", ROOT, "up", "..", getgid()), ==, 0);
    g_assert_cmpint(symlink(outside, at("host")), ==, 0);
    g_assert_cmpint(symlink("/proc/self/root", at("proc")), ==, 0);
    g_assert_cmpint(symlink(secret, at("dir/deep")), ==, 0);
    g_assert_cmpint(symlink("../outside/planted", at("dangling")), ==, 0);
    static const char *const names[] = {"abs", "rel", "up", "host", "proc", "dangling"};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        struct attributes is;
        g_assert_cmpint(walk(ROOT, 1, 1, names[i]), ==, 0);
        g_assert_cmpint(getattr(1, &is), ==, 0);
        g_assert_true(S_ISLNK(is.mode)); /* itself, never what it leads to */
        g_assert_cmpint(walk(1, 2, 1, "secret"), ==, ENOTDIR);
        g_assert_cmpint(walk(ROOT, 2, 2, names[i], "secret"), ==, ENOENT);
        g_assert_cmpint(call(P9_TLOPEN, "dd", 1, O_RDONLY), ==, ELOOP);
        g_assert_cmpint(call(P9_TLOPEN, "dd", 1, O_RDWR), ==, ELOOP);
        g_assert_cmpint(setattr(1, P9_SETATTR_MODE, 0600, 0, 0), !=, 0);
        g_assert_cmpint(setattr(1, P9_SETATTR_SIZE, 0, 0, 0), ==, EINVAL);
        (void)setattr(1, P9_SETATTR_UID, 0, 4321, 0);
        (void)setattr(1, P9_SETATTR_MTIME | P9_SETATTR_MTIME_SET, 0, 0, 0);
        g_assert_cmpint(call(P9_TXATTRWALK, "dds", 1, 3, "user.x"), !=, 0);
        g_assert_cmpint(walk(ROOT, 4, 0), ==, 0);
        g_assert_cmpint(call(P9_TLCREATE, "dsddd", 4, names[i], O_RDWR | O_TRUNC, 0644, 0), ==, ELOOP);
        clunk(4);
        g_assert_cmpint(call(P9_TMKDIR, "dsdd", ROOT, names[i], 0755, 0), ==, EEXIST);
        /* A second name for a link is one for the link. */
        g_assert_cmpint(call(P9_TLINK, "dds", ROOT, 1, "second"), ==, 0);
        struct stat second;
        g_assert_cmpint(lstat(at("second"), &second), ==, 0);
        g_assert_true(S_ISLNK(second.st_mode));
        g_assert_cmpint(unlink(at("second")), ==, 0);
        clunk(1);
        g_assert_true(outside_is_whole());
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        use_name(ROOT, names[i]);
    struct stat stat_is;
    g_assert_cmpint(stat(secret, &stat_is), ==, 0);
    g_assert_cmpuint(stat_is.st_uid, ==, geteuid());
    g_free(secret);
    teardown();
}

/* What a fid holds is moved out of the folder by the host: no way leads further from there. */
static void test_escape_moved(void)
{
    escape_setup();
    char *gone = g_build_filename(top, "gone", NULL);
    g_assert_cmpint(mkdir(at("dir/sub"), 0755), ==, 0);
    g_assert_cmpint(walk(ROOT, 1, 1, "dir"), ==, 0);
    g_assert_cmpint(walk(ROOT, 2, 2, "dir", "sub"), ==, 0);
    g_assert_cmpint(rename(at("dir"), gone), ==, 0);
    g_assert_cmpint(walk(1, 3, 1, ".."), ==, ENOENT);
    g_assert_cmpint(walk(1, 3, 3, "..", "outside", "secret"), ==, ENOENT);
    g_assert_cmpint(walk(2, 3, 1, ".."), ==, ENOENT);
    g_assert_cmpint(walk(2, 3, 2, "..", ".."), ==, ENOENT);
    g_assert_cmpint(call(P9_TRENAME, "dds", 2, ROOT, "fetched"), ==, ENOENT);
    g_assert_cmpint(call(P9_TREMOVE, "d", 2), ==, ENOENT);
    /* One whose path begins with that of the folder, but is not below it. */
    char *beside = g_strconcat(at("beside"), NULL), *other = g_strdup_printf("%s/export2", top);
    g_assert_cmpint(mkdir(beside, 0755) | mkdir(other, 0755), ==, 0);
    g_assert_cmpint(walk(ROOT, 4, 1, "beside"), ==, 0);
    char *moved = g_build_filename(other, "beside", NULL);
    g_assert_cmpint(rename(beside, moved), ==, 0);
    g_assert_cmpint(walk(4, 5, 1, ".."), ==, ENOENT);
    g_assert_cmpint(call(P9_TREMOVE, "d", 4), ==, ENOENT);
    g_assert_cmpint(access(moved, F_OK), ==, 0);
    /* The folder itself is moved: it stays the root. */
    char *export = g_strdup(at("")), *renamed = g_build_filename(top, "renamed", NULL);
    export[strlen(export) - 1] = 0;
    g_assert_cmpint(rename(export, renamed), ==, 0);
    g_assert_cmpint(walk(ROOT, 6, 2, "..", "file"), ==, 0);
    g_assert_cmpint(rename(renamed, export), ==, 0);
    g_assert_true(outside_is_whole());
    g_free(gone);
    g_free(beside);
    g_free(other);
    g_free(moved);
    g_free(export);
    g_free(renamed);
    teardown();
}

static void test_escape_devices(void)
{
    struct stat stat_is;
    escape_setup();
    g_assert_cmpint(call(P9_TMKNOD, "dsdddd", ROOT, "mem", S_IFCHR | 0666, 1, 1, 0), ==, EPERM);
    g_assert_cmpint(call(P9_TMKNOD, "dsdddd", ROOT, "sda", S_IFBLK | 0666, 8, 0, 0), ==, EPERM);
    g_assert_cmpint(lstat(at("mem"), &stat_is) & lstat(at("sda"), &stat_is), ==, -1);
    g_assert_cmpint(mkfifo(at("pipe"), 0666), ==, 0);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(at("sock")) < sizeof(address.sun_path)) {
        strcpy(address.sun_path, at("sock"));
        g_assert_cmpint(bind(listener, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    }
    bool has_device = geteuid() == 0 && mknod(at("null"), S_IFCHR | 0666, makedev(1, 3)) == 0;
    const char *const names[] = {"pipe", "sock", has_device ? "null" : "pipe"};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (walk(ROOT, 1, 1, names[i]) != 0)
            continue;
        g_assert_cmpint(call(P9_TLOPEN, "dd", 1, O_RDONLY), ==, ENXIO);
        g_assert_cmpint(call(P9_TLOPEN, "dd", 1, O_RDWR), ==, ENXIO);
        g_assert_cmpint(setattr(1, P9_SETATTR_SIZE, 0, 0, 0), ==, EINVAL);
        g_assert_cmpint(walk(ROOT, 2, 0), ==, 0);
        g_assert_cmpint(call(P9_TLCREATE, "dsddd", 2, names[i], O_RDWR, 0644, 0), ==, ENXIO);
        g_assert_cmpint(clunk(1) | clunk(2), ==, 0);
    }
    close(listener);
    teardown();
}

/* --- Races --- */

static _Atomic bool racing;

/* Swaps a folder and a file with links that lead out, as fast as it can. */
static void *racer(void *opaque)
{
    char dir[3][4200], file[3][4200];
    const char *suffixes[] = {"swapped", "real", "link"};
    char *secret = g_build_filename(outside, "secret", NULL);
    for (unsigned i = 0; i < 3; i++) {
        g_snprintf(dir[i], sizeof(dir[i]), "%s/export/d-%s", top, suffixes[i]);
        g_snprintf(file[i], sizeof(file[i]), "%s/export/f-%s", top, suffixes[i]);
    }
    while (racing) {
        (void)!symlink(outside, dir[2]);
        (void)!symlink(secret, file[2]);
        (void)!mkdir(dir[1], 0755);
        (void)!close(open(file[1], O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
        (void)!rename(dir[1], dir[0]);
        (void)!rename(file[1], file[0]);
        (void)!rename(dir[0], dir[1]);
        (void)!rename(dir[2], dir[0]);
        (void)!rename(file[2], file[0]);
        (void)!unlink(dir[0]);
    }
    g_free(secret);
    return NULL;
}

static void test_escape_races(void)
{
    pthread_t thread;
    escape_setup();
    racing = true;
    g_assert_cmpint(pthread_create(&thread, NULL, racer, NULL), ==, 0);
    int64_t until = g_get_monotonic_time() + (g_test_thorough() ? 60 : 2) * G_USEC_PER_SEC;
    unsigned opened = 0, made = 0;
    while (g_get_monotonic_time() < until) {
        g_assert_cmpint(walk(ROOT, 1, 2, "d-swapped", "secret"), ==, ENOENT);
        if (walk(ROOT, 1, 1, "d-swapped") == 0) {
            if (call(P9_TLCREATE, "dsddd", 1, "planted", O_RDWR, 0644, 0) == 0)
                made++;
            clunk(1);
        }
        if (walk(ROOT, 1, 1, "d-swapped") == 0) {
            (void)call(P9_TMKDIR, "dsdd", 1, "planted2", 0755, 0);
            (void)call(P9_TRENAMEAT, "dsds", ROOT, "file", 1, "planted3");
            (void)call(P9_TRENAMEAT, "dsds", 1, "planted3", ROOT, "file");
            (void)call(P9_TUNLINKAT, "dsd", 1, "secret", 0);
            (void)call(P9_TUNLINKAT, "dsd", 1, "planted", 0);
            (void)call(P9_TUNLINKAT, "dsd", 1, "planted2", 0x200);
            (void)setattr(1, P9_SETATTR_MODE, 0755, 0, 0);
            clunk(1);
        }
        if (open_fid(2, "f-swapped", O_RDWR) == 0) {
            opened++;
            g_assert_cmpint(call(P9_TREAD, "dqd", 2, (uint64_t)0, 100), ==, 0);
            uint32_t len = p9_u32(&client_in);
            g_assert_false(len == 6 && memcmp(client_in.at, "secret", 6) == 0);
            (void)call(P9_TWRITE, "dqD", 2, (uint64_t)0, "planted", 7);
        }
        clunk(2);
        if (walk(ROOT, 3, 0) == 0) {
            if (call(P9_TLCREATE, "dsddd", 3, "f-swapped", O_RDWR | O_TRUNC, 0644, 0) == 0)
                (void)call(P9_TWRITE, "dqD", 3, (uint64_t)0, "planted", 7);
            clunk(3);
        }
        if (walk(ROOT, 4, 1, "f-swapped") == 0) {
            (void)setattr(4, P9_SETATTR_MODE | P9_SETATTR_MTIME | P9_SETATTR_MTIME_SET, 0600, 0, 0);
            (void)setattr(4, P9_SETATTR_SIZE, 0, 0, 1);
            clunk(4);
        }
        (void)call(P9_TSYMLINK, "dssd", ROOT, "f-swapped", "x", 0);
        (void)call(P9_TMKNOD, "dsdddd", ROOT, "f-swapped", S_IFREG | 0600, 0, 0, 0);
    }
    racing = false;
    pthread_join(thread, NULL);
    g_test_message("%u opened, %u made", opened, made);
    g_assert_cmpuint(opened, >, 0);
    g_assert_true(outside_is_whole());
    teardown();
}

/* A descriptor was closed for want of room, and the way to it leads out now. */
static void test_escape_evicted(void)
{
    struct attributes is;
    char name[16];
    escape_setup();
    p9_server_free(client_server);
    open_export(&(struct p9_export){.model = P9_PASSTHROUGH, .descriptors = 8});
    put_file(at("dir/secret"), "mine");
    g_assert_cmpint(walk(ROOT, 1, 2, "dir", "secret"), ==, 0);
    for (unsigned i = 0; i < 30; i++) {
        g_snprintf(name, sizeof(name), "x%u", i);
        put_file(at(name), "");
        g_assert_cmpint(walk(ROOT, 100 + i, 1, name), ==, 0);
    }
    g_assert_cmpint(rename(at("dir"), at("dir2")), ==, 0);
    g_assert_cmpint(symlink(outside, at("dir")), ==, 0);
    g_assert_cmpint(getattr(1, &is), ==, ENOTDIR);
    g_assert_cmpint(call(P9_TLOPEN, "dd", 1, O_RDWR), ==, ENOTDIR);
    /* In saved fids, too, a path is one of names. */
    static const char *const paths[] = {"../outside/secret", "/etc/passwd", "dir/secret", "dir2/../../outside/secret",
                                        "dir2//secret"};
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        uint8_t bytes[256];
        struct stat secret;
        char *path = g_build_filename(outside, "secret", NULL);
        struct p9_out out = {bytes, bytes, bytes + sizeof(bytes), false};
        g_assert_cmpint(stat(path, &secret), ==, 0);
        p9_put(&out, 8192, 4);
        p9_put(&out, 1, 4);
        p9_put(&out, 5, 4);
        p9_put(&out, 0, 4);
        p9_put(&out, 1, 4); /* open, */
        p9_put(&out, O_RDWR, 4);
        p9_put(&out, 0, 8);
        p9_put(&out, secret.st_dev, 8);
        p9_put(&out, secret.st_ino, 8);
        p9_put_string(&out, paths[i], strlen(paths[i]));
        p9_server_load(client_server, bytes, (uint32_t)(out.at - bytes));
        g_assert_cmpuint(p9_server_fids(client_server), ==, 0);
        g_free(path);
    }
    g_assert_true(outside_is_whole());
    teardown();
}
