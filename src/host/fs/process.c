/* Inside of a folder's process: it gives up what it does not need, and answers messages in turn. See share.h.
 *
 * A guest that lists a tree asks again as soon as it has been answered: the process looks for that a short while before
 * it sleeps, since waking it would take longer than answering.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "host/fence.h"
#include "host/process.h"
#include "share.h"

#define AWAKE_US 200 /* after the last message */

static struct {
    struct share *share;
    struct p9_server *server;
    uint32_t taken, answered, session;
    bool may_spin;
} process;

static void answer(char verdict, const char *text)
{
    char *message = g_strdup_printf("%c%s", verdict, text);
    while (write(PROCESS_FD + SHARE_CONTROL, message, strlen(message)) < 0 && errno == EINTR)
        continue;
    g_free(message);
}

/* Of root's powers those that have to do with files and their owners. */
static void powers_drop(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct kept[2] = {{0}};
    if (geteuid() != 0)
        return;
    kept[0].effective = kept[0].permitted =
        1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER | 1u << CAP_FSETID;
    syscall(SYS_capset, &header, kept);
}

static void descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static uint32_t answer_one(const struct share_todo *todo)
{
    struct share_slot *slot = &process.share->slot[todo->slot];
    uint32_t len = MIN(todo->len, FSDEV_MESSAGE_MAX), room = MIN(todo->room, FSDEV_MESSAGE_MAX);
    switch (todo->kind) {
    case SHARE_SAVE:
        return p9_server_save(process.server, slot->answer, room);
    case SHARE_LOAD:
        p9_server_load(process.server, slot->message, len);
        return 0;
    default:
        return p9_server_answer(process.server, slot->message, len, slot->answer, room);
    }
}

/* False: there is none. */
static bool serve(void)
{
    struct share *share = process.share;
    uint32_t session = atomic_load(&share->session);
    if (session != process.session) {
        process.session = session;
        p9_server_reset(process.server);
    }
    if (atomic_load_explicit(&share->sent, memory_order_acquire) == process.taken)
        return false;
    const struct share_todo todo = share->todo[process.taken++ % SHARE_RING];
    if (todo.slot >= SHARE_SLOTS)
        _exit(1);
    if (todo.session != process.session && atomic_load(&share->session) == todo.session) {
        process.session = todo.session;
        p9_server_reset(process.server);
    }
    uint32_t len = todo.session == process.session ? answer_one(&todo) : 0;
    share->done[process.answered++ % SHARE_RING] = (struct share_done){todo.slot, len};
    atomic_store(&share->answered, process.answered);
    if (atomic_load(&share->monitor_sleeps) && atomic_exchange(&share->monitor_sleeps, 0))
        share_wake(PROCESS_FD + SHARE_WAKE_MONITOR);
    return true;
}

static bool something_comes(void)
{
    if (!process.may_spin)
        return false;
    int64_t until = g_get_monotonic_time() + AWAKE_US;
    do {
        for (unsigned i = 0; i < 64; i++) {
            if (atomic_load_explicit(&process.share->sent, memory_order_acquire) != process.taken)
                return true;
            share_pause();
        }
    } while (g_get_monotonic_time() < until);
    return false;
}

_Noreturn static void loop(void)
{
    struct share *share = process.share;
    uint64_t count;
    for (;;) {
        while (serve() || something_comes())
            continue;
        atomic_store(&share->process_sleeps, 1);
        if (atomic_load(&share->sent) == process.taken && atomic_load(&share->session) == process.session &&
            read(PROCESS_FD + SHARE_WAKE_PROCESS, &count, sizeof(count)) < 0 && errno != EINTR)
            _exit(1);
        atomic_store(&share->process_sleeps, 0);
    }
}

_Noreturn void fs_process_main(const struct p9_export *export)
{
    process.may_spin = g_get_num_processors() > 1;
    process.share =
        mmap(NULL, sizeof(*process.share), PROT_READ | PROT_WRITE, MAP_SHARED, PROCESS_FD + SHARE_MEMORY, 0);
    umask(0);
    descriptors_raise();
    process.server = process.share == MAP_FAILED ? NULL : p9_server_new(PROCESS_FD + SHARE_ROOT, export);
    if (!process.server) {
        answer('-', g_strerror(errno));
        _exit(1);
    }
    powers_drop();
    fence_enter_folder(PROCESS_FD + SHARE_ROOT, export->read_only);
    answer('+', "");
    loop();
}
