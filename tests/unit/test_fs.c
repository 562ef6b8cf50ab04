/* Folders with their processes, without a guest: options, a round trip and what it costs, sessions, a process's death.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devthread.h"
#include "host/fs/fs.h"
#include "host/fs/p9.h"
#include "keyvalue.h"
#include "lock.h"

static char top[] = "/var/tmp/fs-XXXXXX";
static unsigned told;

static void answered(void *opaque)
{
    told++;
}

static const struct fsdev_front front = {answered};

static struct fsdev *make(const char *format, GError **error)
{
    char *text = g_strdup_printf(format, top);
    struct keyvalues *list = keyvalues_parse(text, "-fsdev", "fsdriver", error);
    struct fsdev *fsdev = fs_new(list, error);
    keyvalues_free(list);
    g_free(text);
    if (fsdev)
        fsdev->front = &front;
    return fsdev;
}

static void test_options(void)
{
    static const char *const bad[] = {
        "local,id=x,security_model=none",
        "local,path=%s,security_model=none",
        "local,id=x,path=%s",
        "local,id=x,path=%s,security_model=mapped-file",
        "local,id=x,path=%s,security_model=odd",
        "local,id=x,path=%s/nowhere,security_model=none",
        "local,id=x,path=/etc/passwd,security_model=none",
        "local,id=x,path=%s,security_model=none,fmode=0644",
        "local,id=x,path=%s,security_model=mapped,fmode=rw",
        "local,id=x,path=%s,security_model=none,readonly=maybe",
        "local,id=x,path=%s,security_model=none,writeout=late",
        "local,id=x,path=%s,security_model=none,multidevs=all",
        "local,id=x,path=%s,security_model=none,colour=red",
        "synth,id=x",
        "proxy,id=x,socket=y",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *error = NULL;
        g_assert_null(make(bad[i], &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
    }
    GError *error = NULL;
    g_assert_nonnull(make("local,id=x,path=%s,security_model=mapped,fmode=0644,dmode=0755,readonly=on,multidevs=remap,"
                          "writeout=immediate",
                          &error));
    g_assert_no_error(error);
    g_assert_null(make("local,id=x,path=%s,security_model=none", &error)); /* once more the same id */
    g_clear_error(&error);
    g_assert_nonnull(fs_find("x"));
    fs_close_all();
    g_assert_null(fs_find("x"));
}

/* A message of type with numbers of four bytes, and a string; the answer's type, its bytes in *answer. */
static uint8_t ask(struct fsdev *fsdev, uint8_t type, const char *text, unsigned count, const uint32_t *numbers,
                   uint8_t *answer)
{
    unsigned slot;
    uint8_t *bytes = fsdev->ops->begin(fsdev, &slot);
    g_assert(bytes);
    struct p9_out out = {bytes, bytes + P9_HEADER, bytes + 4096, false};
    for (unsigned i = 0; i < count; i++)
        p9_put(&out, numbers[i], 4);
    if (text)
        p9_put_string(&out, text, strlen(text));
    uint32_t len = (uint32_t)(out.at - bytes);
    out.at = bytes;
    p9_put(&out, len, 4);
    p9_put(&out, type, 1);
    p9_put(&out, 1, 2);
    fsdev->ops->send(fsdev, slot, len, 4096);
    struct fsdev_answer got;
    while (!fsdev->ops->take(fsdev, &got))
        fsdev->ops->wait(fsdev);
    g_assert_cmpuint(got.slot, ==, slot);
    g_assert_cmpuint(got.len, <=, 4096);
    memcpy(answer, got.bytes, got.len);
    fsdev->ops->release(fsdev, slot);
    return answer[4];
}

static void session(struct fsdev *fsdev)
{
    uint8_t answer[4096];
    g_assert_cmpuint(ask(fsdev, P9_TVERSION, "9P2000.L", 1, (const uint32_t[]){8192}, answer), ==, P9_TVERSION + 1);
    /* fid, afid, two empty strings, uid */
    g_assert_cmpuint(ask(fsdev, P9_TATTACH, NULL, 4, (const uint32_t[]){0, P9_NO_FID, 0, 0}, answer), ==,
                     P9_TATTACH + 1);
}

static uint8_t getattr(struct fsdev *fsdev, uint32_t fid)
{
    uint8_t answer[4096];
    return ask(fsdev, P9_TGETATTR, NULL, 3, (const uint32_t[]){fid, 0x7ff, 0}, answer);
}

static struct fsdev *make_one(void)
{
    GError *error = NULL;
    struct fsdev *fsdev = make("local,id=x,path=%s,security_model=none", &error);
    g_assert_no_error(error);
    return fsdev;
}

static void test_round_trip(void)
{
    struct fsdev *fsdev = make_one();
    machine_lock();
    session(fsdev);
    unsigned count = 20000;
    int64_t start = g_get_monotonic_time();
    for (unsigned i = 0; i < count; i++)
        g_assert_cmpuint(getattr(fsdev, 0), ==, P9_TGETATTR + 1);
    g_test_message("a round trip: %.2f us", (double)(g_get_monotonic_time() - start) / count);
    /* And when the process has gone to sleep. */
    int64_t slept = 0;
    for (unsigned i = 0; i < 200; i++) {
        g_usleep(1000);
        start = g_get_monotonic_time();
        getattr(fsdev, 0);
        slept += g_get_monotonic_time() - start;
    }
    g_test_message("and to one that sleeps: %.2f us", (double)slept / 200);
    machine_unlock();
    fs_close_all();
}

static void test_sessions(void)
{
    static uint8_t bytes[FSDEV_STATE_MAX];
    struct fsdev *fsdev = make_one();
    machine_lock();
    session(fsdev);
    uint32_t len = fsdev->ops->save(fsdev, bytes);
    g_assert_cmpuint(len, >, 8);
    g_assert_cmpuint(getattr(fsdev, 0), ==, P9_TGETATTR + 1);
    fsdev->ops->reset(fsdev);
    g_assert_cmpuint(getattr(fsdev, 0), ==, P9_RLERROR);
    fsdev->ops->load(fsdev, bytes, len);
    g_assert_cmpuint(getattr(fsdev, 0), ==, P9_TGETATTR + 1);
    for (unsigned i = 0; i < 300; i++) { /* as often as one likes */
        g_assert_cmpuint(fsdev->ops->save(fsdev, bytes), ==, len);
        fsdev->ops->load(fsdev, bytes, len);
    }
    g_assert_cmpuint(getattr(fsdev, 0), ==, P9_TGETATTR + 1);
    /* While an answer waits to be taken, too. */
    unsigned slot;
    struct fsdev_answer answer;
    g_assert(fsdev->ops->begin(fsdev, &slot));
    fsdev->ops->send(fsdev, slot, 7, 100);
    for (unsigned i = 0; i < 50; i++)
        g_assert_cmpuint(fsdev->ops->save(fsdev, bytes), ==, len);
    g_assert_true(fsdev->ops->take(fsdev, &answer));
    g_assert_cmpuint(answer.slot, ==, slot);
    fsdev->ops->release(fsdev, slot);
    g_assert_cmpuint(getattr(fsdev, 0), ==, P9_TGETATTR + 1);
    fs_close_all();
    fsdev = make_one(); /* another process */
    g_assert_cmpuint(getattr(fsdev, 0), ==, P9_RLERROR);
    fsdev->ops->load(fsdev, bytes, len);
    g_assert_cmpuint(getattr(fsdev, 0), ==, P9_TGETATTR + 1);
    /* What is under way when the session ends is not answered, and its slots are free again. */
    for (unsigned round = 0; round < 10; round++) {
        struct fsdev_answer none;
        while (fsdev->ops->begin(fsdev, &slot))
            fsdev->ops->send(fsdev, slot, 7, 100);
        fsdev->ops->reset(fsdev);
        fsdev->ops->settle(fsdev);
        g_assert_false(fsdev->ops->take(fsdev, &none));
        g_assert_nonnull(fsdev->ops->begin(fsdev, &slot));
    }
    machine_unlock();
    fs_close_all();
}

static pid_t child_named(const char *name)
{
    char *text = NULL, path[64];
    pid_t found = 0;
    g_snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    char **children = g_strsplit(text, " ", -1);
    for (unsigned i = 0; children[i]; i++) {
        char *comm = NULL;
        g_snprintf(path, sizeof(path), "/proc/%s/comm", children[i]);
        if (*children[i] && g_file_get_contents(path, &comm, NULL, NULL) && strcmp(g_strstrip(comm), name) == 0)
            found = (pid_t)atoi(children[i]);
        g_free(comm);
    }
    g_strfreev(children);
    g_free(text);
    return found;
}

static void test_death(void)
{
    struct fsdev *fsdev = make_one();
    uint8_t answer[4096];
    machine_lock();
    session(fsdev);
    told = 0;
    machine_unlock();
    pid_t pid = child_named("ringer-9p");
    g_assert_cmpint(pid, >, 0);
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    for (unsigned i = 0; i < 1000 && !told; i++)
        g_main_context_iteration(devthread_context(), FALSE), g_usleep(1000);
    g_assert_cmpuint(told, >=, 1);
    machine_lock();
    for (unsigned i = 0; i < 200; i++) {
        g_assert_cmpuint(ask(fsdev, P9_TGETATTR, NULL, 3, (const uint32_t[]){0, 0x7ff, 0}, answer), ==, P9_RLERROR);
        g_assert_cmpuint(answer[P9_HEADER], ==, 5); /* EIO */
    }
    fsdev->ops->settle(fsdev);
    g_assert_cmpuint(fsdev->ops->save(fsdev, answer), ==, 0);
    machine_unlock();
    fs_close_all();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_nonnull(g_mkdtemp(top));
    g_test_add_func("/fs/options", test_options);
    g_test_add_func("/fs/round_trip", test_round_trip);
    g_test_add_func("/fs/sessions", test_sessions);
    g_test_add_func("/fs/death", test_death);
    int status = g_test_run();
    rmdir(top);
    return status;
}
