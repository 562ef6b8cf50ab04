/* A folder of the host as the monitor sees it: the near end of the memory shared with its process. See share.h.
 *
 * Most answers come sooner than another thread could be woken: the sender waits for them a few microseconds. When that
 * was in vain, it does so less often. The process's death is EIO for all that was asked and will be.
 */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "devthread.h"
#include "host/process.h"
#include "lock.h"
#include "log.h"
#include "share.h"

#define WAIT_US    60
#define MISSES_MAX 6         /* 2 to the power of that: how often it is not waited for at most */
#define SETTLE_US  5000000ll /* for a process that hangs in the host's file system */
#define VERDICT_MS 10000

enum slot_state { SLOT_FREE, SLOT_BEGUN, SLOT_SENT, SLOT_ORPHAN, SLOT_TAKEN };

struct fslink {
    struct fsdev fsdev; /* first */
    char *id;
    struct share *share;
    int fds[SHARE_FDS]; /* -1: not ours */
    guint ready, hangup;
    bool dead, may_wait;
    unsigned misses, skip;
    uint32_t sent, taken;
    enum slot_state state[SHARE_SLOTS]; /* the last one's says nothing */
    uint32_t room[SHARE_SLOTS];
};

static struct fslink *link_of(struct fsdev *fsdev)
{
    return (struct fslink *)fsdev;
}

static void link_die(struct fslink *link, const char *why)
{
    if (link->dead)
        return;
    link->dead = true;
    log_user("the process behind folder '%s' %s: the guest gets errors from now on", link->id, why);
    for (unsigned i = 0; i < SHARE_SLOTS; i++) {
        if (link->state[i] == SLOT_ORPHAN)
            link->state[i] = SLOT_FREE;
    }
    if (link->fsdev.front)
        link->fsdev.front->answered(link->fsdev.front_opaque);
}

/* --- Messages --- */

static uint8_t *link_begin(struct fsdev *fsdev, unsigned *slot)
{
    struct fslink *link = link_of(fsdev);
    for (unsigned i = 0; i < FSDEV_SLOTS; i++) {
        if (link->state[i] != SLOT_FREE && link->state[i] != SLOT_BEGUN)
            continue;
        link->state[i] = SLOT_BEGUN;
        *slot = i;
        return link->share->slot[i].message;
    }
    return NULL;
}

static void send_kind(struct fslink *link, unsigned slot, uint32_t len, uint32_t room, enum share_kind kind)
{
    struct share *share = link->share;
    link->state[slot] = SLOT_SENT;
    link->room[slot] = MIN(room, FSDEV_MESSAGE_MAX);
    if (link->dead)
        return;
    share->todo[link->sent++ % SHARE_RING] =
        (struct share_todo){slot, len, link->room[slot], kind, atomic_load(&share->session)};
    atomic_store(&share->sent, link->sent);
    if (atomic_load(&share->process_sleeps) && atomic_exchange(&share->process_sleeps, 0))
        share_wake(link->fds[SHARE_WAKE_PROCESS]);
}

static void link_send(struct fsdev *fsdev, unsigned slot, uint32_t len, uint32_t room)
{
    send_kind(link_of(fsdev), slot, len, room, SHARE_MESSAGE);
}

/* Rlerror: EIO, where nobody answers any more. */
static bool take_from_dead(struct fslink *link, struct fsdev_answer *answer)
{
    for (unsigned i = 0; i < FSDEV_SLOTS; i++) {
        struct share_slot *slot = &link->share->slot[i];
        uint8_t error[11] = {11, 0, 0, 0, 7, slot->message[5], slot->message[6], EIO, 0, 0, 0};
        if (link->state[i] != SLOT_SENT)
            continue;
        link->state[i] = SLOT_TAKEN;
        memcpy(slot->answer, error, sizeof(error));
        *answer = (struct fsdev_answer){i, slot->answer, link->room[i] < sizeof(error) ? 0 : (uint32_t)sizeof(error)};
        return true;
    }
    return false;
}

/* What has come, of whatever slot: false if there is nothing. */
static bool take_any(struct fslink *link, struct fsdev_answer *answer)
{
    struct share *share = link->share;
    while (!link->dead && atomic_load_explicit(&share->answered, memory_order_acquire) != link->taken) {
        const struct share_done done = share->done[link->taken++ % SHARE_RING];
        if (done.slot == FSDEV_SLOTS && (int32_t)(link->sent - link->taken) >= 0)
            continue;
        enum slot_state state = done.slot < FSDEV_SLOTS ? link->state[done.slot] : SLOT_FREE;
        if ((state != SLOT_SENT && state != SLOT_ORPHAN) || done.len > link->room[done.slot]) {
            link_die(link, "has answered what makes no sense");
            break;
        }
        if (state == SLOT_ORPHAN) {
            link->state[done.slot] = SLOT_FREE;
            continue;
        }
        link->state[done.slot] = SLOT_TAKEN;
        *answer = (struct fsdev_answer){done.slot, share->slot[done.slot].answer, done.len};
        return true;
    }
    return link->dead && take_from_dead(link, answer);
}

static bool link_take(struct fsdev *fsdev, struct fsdev_answer *answer)
{
    return take_any(link_of(fsdev), answer);
}

static void link_release(struct fsdev *fsdev, unsigned slot)
{
    link_of(fsdev)->state[slot] = SLOT_FREE;
}

/* --- Waiting --- */

static bool has_answer(const struct fslink *link)
{
    return link->dead || atomic_load_explicit(&link->share->answered, memory_order_acquire) != link->taken;
}

static bool is_idle(const struct fslink *link)
{
    return link->dead ? true : link->sent == link->taken;
}

static bool has_sent(const struct fslink *link)
{
    for (unsigned i = 0; i < FSDEV_SLOTS; i++) {
        if (link->state[i] == SLOT_SENT)
            return true;
    }
    return false;
}

static bool spin(struct fslink *link)
{
    if (!link->may_wait)
        return false;
    if (link->skip) {
        link->skip--;
        return false;
    }
    int64_t until = g_get_monotonic_time() + WAIT_US;
    do {
        for (unsigned i = 0; i < 64; i++) {
            if (has_answer(link)) {
                link->misses = 0;
                return true;
            }
            share_pause();
        }
    } while (g_get_monotonic_time() < until);
    link->misses = MIN(link->misses + 1, MISSES_MAX);
    link->skip = (1u << link->misses) - 1;
    return false;
}

static bool link_wait(struct fsdev *fsdev)
{
    struct fslink *link = link_of(fsdev);
    if (link->dead)
        return has_sent(link);
    if (is_idle(link))
        return false;
    if (has_answer(link) || spin(link))
        return true;
    atomic_store(&link->share->monitor_sleeps, 1);
    return has_answer(link);
}

/* On the device thread. */
static gboolean link_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    struct fslink *link = opaque;
    uint64_t count;
    bool is_ours = read(fd, &count, sizeof(count)) == sizeof(count);
    machine_lock();
    if (is_ours && link->fsdev.front)
        link->fsdev.front->answered(link->fsdev.front_opaque);
    machine_unlock();
    return G_SOURCE_CONTINUE;
}

static gboolean link_hangup(gint fd, GIOCondition condition, gpointer opaque)
{
    struct fslink *link = opaque;
    machine_lock();
    link_die(link, "has ended");
    machine_unlock();
    return G_SOURCE_REMOVE;
}

/* --- Sessions --- */

static void link_reset(struct fsdev *fsdev)
{
    struct fslink *link = link_of(fsdev);
    for (unsigned i = 0; i < SHARE_SLOTS; i++) {
        if (link->state[i] == SLOT_SENT && !link->dead)
            link->state[i] = SLOT_ORPHAN;
        else if (link->state[i] != SLOT_ORPHAN)
            link->state[i] = SLOT_FREE;
    }
    atomic_fetch_add(&link->share->session, 1);
    if (!link->dead && atomic_exchange(&link->share->process_sleeps, 0))
        share_wake(link->fds[SHARE_WAKE_PROCESS]);
}

static bool has_ended(const struct fslink *link)
{
    struct pollfd control = {link->fds[SHARE_CONTROL], 0, 0};
    return poll(&control, 1, 0) > 0 && (control.revents & (POLLHUP | POLLERR));
}

void fs_link_settle(struct fsdev *fsdev)
{
    const struct fslink *link = (const struct fslink *)fsdev;
    int64_t until = g_get_monotonic_time() + SETTLE_US;
    while (!link->dead && atomic_load(&link->share->answered) != atomic_load(&link->share->sent) &&
           g_get_monotonic_time() < until && !has_ended(link))
        g_usleep(50);
}

static void link_settle(struct fsdev *fsdev)
{
    fs_link_settle(fsdev);
}

/* What the last slot was answered is not for take_any(). */
static void exchanges_forget(struct fslink *link)
{
    const struct share *share = link->share;
    while (link->taken != link->sent && atomic_load(&share->answered) != link->taken &&
           share->done[link->taken % SHARE_RING].slot == FSDEV_SLOTS)
        link->taken++;
}

/* By the last slot, when nothing else is under way. False: no answer comes in time. */
static bool exchange(struct fslink *link, uint32_t len, uint32_t room, enum share_kind kind, uint32_t *answer_len)
{
    struct share *share = link->share;
    uint32_t place = link->sent;
    fs_link_settle(&link->fsdev);
    if (link->dead || atomic_load(&share->answered) != place)
        return false;
    exchanges_forget(link);
    if (place - link->taken > FSDEV_SLOTS) /* they are to be taken first, or the ring would be too small */
        return false;
    send_kind(link, FSDEV_SLOTS, len, room, kind);
    fs_link_settle(&link->fsdev);
    bool ok = atomic_load(&share->answered) == link->sent;
    *answer_len = MIN(share->done[place % SHARE_RING].len, room);
    exchanges_forget(link);
    return ok;
}

static uint32_t link_save(struct fsdev *fsdev, uint8_t *bytes)
{
    struct fslink *link = link_of(fsdev);
    uint32_t len = 0;
    if (!exchange(link, 0, FSDEV_STATE_MAX, SHARE_SAVE, &len))
        return 0;
    memcpy(bytes, link->share->slot[FSDEV_SLOTS].answer, len);
    return len;
}

static void link_load(struct fsdev *fsdev, const uint8_t *bytes, uint32_t len)
{
    struct fslink *link = link_of(fsdev);
    uint32_t none;
    len = MIN(len, FSDEV_STATE_MAX);
    memcpy(link->share->slot[FSDEV_SLOTS].message, bytes, len);
    exchange(link, len, 0, SHARE_LOAD, &none);
}

/* --- Life --- */

void fs_link_free(struct fsdev *fsdev)
{
    struct fslink *link = link_of(fsdev);
    if (link->ready)
        devthread_source_remove(link->ready);
    if (link->hangup)
        devthread_source_remove(link->hangup);
    if (link->share)
        munmap(link->share, sizeof(*link->share));
    for (unsigned i = 0; i < SHARE_FDS; i++) {
        if (link->fds[i] >= 0)
            close(link->fds[i]);
    }
    g_free(link->id);
    g_free(link);
}

static void child_run(void *opaque)
{
    fs_process_main(opaque);
}

static bool memory_make(struct fslink *link)
{
    int *fds = link->fds;
    fds[SHARE_MEMORY] = process_memory("ringer-9p", sizeof(struct share));
    fds[SHARE_WAKE_MONITOR] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fds[SHARE_WAKE_PROCESS] = eventfd(0, EFD_CLOEXEC);
    if (fds[SHARE_MEMORY] < 0 || fds[SHARE_WAKE_MONITOR] < 0 || fds[SHARE_WAKE_PROCESS] < 0)
        return false;
    void *at = mmap(NULL, sizeof(struct share), PROT_READ | PROT_WRITE, MAP_SHARED, fds[SHARE_MEMORY], 0);
    link->share = at == MAP_FAILED ? NULL : at;
    return link->share;
}

/* It is behind its fence. */
static bool verdict(int control, GError **error)
{
    char text[256] = "";
    ssize_t len = process_is_readable(control, VERDICT_MS) ? read(control, text, sizeof(text) - 1) : -1;
    if (len > 0 && text[0] == '+')
        return true;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s", len > 1 ? text + 1 : "its process has ended");
    return false;
}

static bool link_start(struct fslink *link, const struct p9_export *export, GError **error)
{
    int pair[2] = {-1, -1}, given[SHARE_FDS];
    if (!memory_make(link) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "no shared memory: %s",
                    g_strerror(errno));
        return false;
    }
    memcpy(given, link->fds, sizeof(given));
    given[SHARE_CONTROL] = pair[1];
    bool ok = process_start("ringer-9p", given, SHARE_FDS, child_run, (void *)export, error) > 0;
    close(pair[1]);
    link->fds[SHARE_CONTROL] = pair[0];
    close(link->fds[SHARE_ROOT]);
    link->fds[SHARE_ROOT] = -1;
    return ok && verdict(pair[0], error);
}

struct fsdev *fs_link_new(const char *id, int root, const struct p9_export *export, GError **error)
{
    static const struct fsdev_ops ops = {link_begin, link_send,   link_take, link_release, link_wait,
                                         link_reset, link_settle, link_save, link_load};
    struct fslink *link = g_new0(struct fslink, 1);
    link->fsdev.ops = &ops;
    link->id = g_strdup(id);
    link->may_wait = g_get_num_processors() > 1;
    for (unsigned i = 0; i < SHARE_FDS; i++)
        link->fds[i] = -1;
    link->fds[SHARE_ROOT] = root;
    if (!link_start(link, export, error)) {
        fs_link_free(&link->fsdev);
        return NULL;
    }
    link->ready = devthread_fd_add(link->fds[SHARE_WAKE_MONITOR], G_IO_IN, link_ready, link);
    link->hangup = devthread_fd_add(link->fds[SHARE_CONTROL], G_IO_HUP | G_IO_ERR, link_hangup, link);
    return &link->fsdev;
}
