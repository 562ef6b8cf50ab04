/* Inside of a folder's process: see folder.h. It gives up what it does not need, and carries orders out in turn.
 *
 * When the guest has written nothing for a while, what it has written goes into the folder without being asked for: DOS
 * never asks. When the monitor is gone, the rest does.
 */
#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "host/fence.h"
#include "host/process.h"
#include "order.h"

#define SETTLE_MS 1500
#define LOCK_US   (10 * G_USEC_PER_SEC)

static GString *texts;

static void tell(void *opaque, const char *text)
{
    if (texts->len + strlen(text) + 1 <= TEXT_MAX)
        g_string_append_len(texts, text, (gssize)strlen(text) + 1);
}

static bool answer(struct fat *fat, int code)
{
    const struct answer answer = {code, (uint32_t)texts->len, fat ? fat_size(fat) : 0};
    int fd = PROCESS_FD + FOLDER_SOCKET;
    bool ok = socket_write(fd, &answer, sizeof(answer)) && socket_write(fd, texts->str, texts->len);
    g_string_truncate(texts, 0);
    return ok;
}

/* Of root's powers those over files and their owners. */
static void powers_drop(bool writable)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct kept[2] = {{0}};
    if (geteuid() != 0)
        return;
    kept[0].effective = kept[0].permitted =
        writable ? 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER : 1u << CAP_DAC_READ_SEARCH;
    syscall(SYS_capset, &header, kept);
}

/* False: the monitor is gone. */
static bool serve(struct fat *fat, uint8_t *buffer, bool *wrote)
{
    struct order order;
    int fd = PROCESS_FD + FOLDER_SOCKET, code = 0;
    if (!socket_read(fd, &order, sizeof(order)))
        return false;
    bool has_data = order.kind == ORDER_READ || order.kind == ORDER_WRITE;
    if (has_data && (order.len > ORDER_MAX || order.offset > fat_size(fat) || order.len > fat_size(fat) - order.offset))
        return false;
    switch (order.kind) {
    case ORDER_READ:
        code = fat_read(fat, order.offset, buffer, order.len);
        return answer(fat, code) && (code || socket_write(fd, buffer, order.len));
    case ORDER_WRITE:
        if (!socket_read(fd, buffer, order.len))
            return false;
        *wrote = true;
        return answer(fat, fat_write(fat, order.offset, buffer, order.len));
    case ORDER_FLUSH:
        *wrote = false;
        return answer(fat, fat_flush(fat));
    case ORDER_REFRESH:
        return answer(fat, fat_refresh(fat, false));
    case ORDER_FINISH:
        *wrote = false;
        return answer(fat, fat_finish(fat));
    case ORDER_AGAIN:
        return answer(fat, fat_refresh(fat, true));
    default:
        return false;
    }
}

static void loop(struct fat *fat)
{
    uint8_t *buffer = g_malloc(ORDER_MAX);
    bool wrote = false;
    for (;;) {
        struct pollfd socket = {PROCESS_FD + FOLDER_SOCKET, POLLIN, 0};
        int ready = poll(&socket, 1, wrote ? SETTLE_MS : -1);
        if (ready == 0) {
            fat_settle(fat);
            wrote = false;
        } else if (ready > 0 && !serve(fat, buffer, &wrote)) {
            break;
        }
    }
    g_free(buffer);
}

/* One machine at a time writes into a folder: the process of one that has been killed may still be doing so, and is
 * waited for. Who only looks waits for it, too, and then is in nobody's way. */
static bool folder_lock(bool is_writable)
{
    int operation = is_writable ? LOCK_EX : LOCK_SH, fd = PROCESS_FD + FOLDER_ROOT;
    int64_t end = g_get_monotonic_time() + LOCK_US;
    int rc;
    while ((rc = flock(fd, operation | LOCK_NB)) < 0 && errno == EWOULDBLOCK && g_get_monotonic_time() < end)
        g_usleep(10000);
    bool is_taken = rc < 0 && errno == EWOULDBLOCK;
    if (!is_writable && rc == 0)
        flock(fd, LOCK_UN);
    return !is_taken || !is_writable;
}

_Noreturn void folder_process_main(const struct fat_options *options)
{
    GError *error = NULL;
    prctl(PR_SET_PDEATHSIG, 0); /* the socket tells us, and then there is something to be done */
    texts = g_string_new(NULL);
    powers_drop(options->writable);
    tzset();
    fence_enter_folder(PROCESS_FD + FOLDER_ROOT, !options->writable);
    if (!folder_lock(options->writable)) {
        tell(NULL, "another machine writes into this folder");
        answer(NULL, EBUSY);
        _exit(1);
    }
    struct fat *fat = fat_open(PROCESS_FD + FOLDER_ROOT, PROCESS_FD + FOLDER_STORE, options, tell, NULL, &error);
    if (!fat) {
        tell(NULL, error->message);
        answer(NULL, EINVAL);
        _exit(1);
    }
    if (answer(fat, 0))
        loop(fat);
    fat_close(fat);
    _exit(0);
}
