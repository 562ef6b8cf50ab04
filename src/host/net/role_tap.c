/* A tap device of the host in its process: -netdev tap. Linux, Documentation/networking/tuntap.rst; <linux/if_tun.h>.
 *
 * The device exists already, and is ours to use (ip tuntap add tap0 mode tap user ...), or comes as a descriptor. With
 * IFF_VNET_HDR it takes and gives frames whose checksums and segmentation are left open: the header's first ten bytes
 * are struct netdev_offload.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/process.h"
#include "offload.h"
#include "process.h"

#define FRAMES_AT_ONCE 64

#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, __VA_ARGS__), NULL)

struct tap {
    struct netproc *process;
    int fd;
    bool has_header;
    uint8_t takes; /* as the kernel was last told */
    int place;     /* in polls */
    bool blocked;  /* it took no more frames */
    uint8_t frame[NETDEV_FRAME_MAX];
};

static void offload_set(struct tap *tap, uint8_t takes)
{
    unsigned flags = (takes & NETDEV_TAKES_CSUM ? TUN_F_CSUM : 0) | (takes & NETDEV_TAKES_TSO4 ? TUN_F_TSO4 : 0) |
                     (takes & NETDEV_TAKES_TSO6 ? TUN_F_TSO6 : 0);
    tap->takes = takes;
    if (tap->has_header)
        (void)ioctl(tap->fd, TUNSETOFFLOAD, flags); /* refused: the kernel computes them itself */
}

static int tap_make(const char *name, bool *has_header, char taken[IFNAMSIZ])
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (name)
        g_strlcpy(request.ifr_name, name, IFNAMSIZ);
    *has_header = true;
    if (ioctl(fd, TUNSETIFF, &request) < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    int size = 10; /* another program may have left it otherwise */
    ioctl(fd, TUNSETVNETHDRSZ, &size);
    g_strlcpy(taken, request.ifr_name, IFNAMSIZ);
    return fd;
}

static int run_script(const char *script, const char *name)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        close_range(STDERR_FILENO + 1, ~0u, 0);
        execl(script, script, name, NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

struct down {
    const char *script;
    char name[IFNAMSIZ];
};

/* Waits for the end of the process with the tap, and runs the script then. */
static void down_run(void *opaque)
{
    const struct down *down = opaque;
    char byte;
    prctl(PR_SET_PDEATHSIG, 0);
    while (read(PROCESS_FD, &byte, 1) < 0 && errno == EINTR)
        continue;
    run_script(down->script, down->name);
    _exit(0);
}

static bool scripts(struct keyvalues *options, const char *name, GError **error)
{
    const char *up = keyvalues_get(options, "script"), *down = keyvalues_get(options, "downscript");
    const char *up_path = up ? up : "/etc/qemu-ifup", *down_path = down ? down : "/etc/qemu-ifdown";
    struct down wait = {.script = down_path};
    int pair[2];
    if (!up && !netproc_may_run(up_path, NULL))
        up_path = "no";
    if (!down && !netproc_may_run(down_path, NULL))
        down_path = "no";
    if ((strcmp(up_path, "no") != 0 || strcmp(down_path, "no") != 0) && !netproc_may_run("a script", error))
        return false;
    if (strcmp(up_path, "no") != 0 && (up || g_file_test(up_path, G_FILE_TEST_IS_EXECUTABLE)) &&
        run_script(up_path, name) != 0)
        return FAIL("tap: the script '%s' failed; script=no does without", up_path);
    if (strcmp(down_path, "no") == 0 || (!down && !g_file_test(down_path, G_FILE_TEST_IS_EXECUTABLE)))
        return true;
    g_strlcpy(wait.name, name, IFNAMSIZ);
    if (pipe2(pair, O_CLOEXEC) < 0)
        return FAIL("no pipe: %s", g_strerror(errno));
    bool ok = process_start("ringer-ifdown", &pair[0], 1, down_run, &wait, error) > 0;
    close(pair[0]);
    return ok;
}

static void *tap_open(struct netproc *process, struct keyvalues *options, GString *info, GError **error)
{
    static const char *const without_effect[] = {"vhost", "vhostforce", "queues", "sndbuf", "vnet_hdr", "poll-us"};
    const char *fd = keyvalues_get(options, "fd"), *name = keyvalues_get(options, "ifname");
    struct tap *tap = g_new0(struct tap, 1);
    struct ifreq about;
    char taken[IFNAMSIZ];
    uint64_t number;
    for (unsigned i = 0; i < G_N_ELEMENTS(without_effect); i++)
        (void)keyvalues_get(options, without_effect[i]);
    tap->process = process;
    if (fd) {
        if (name || keyvalues_get(options, "script") || keyvalues_get(options, "downscript"))
            return FAIL("tap: fd= goes without ifname=, script= and downscript=");
        tap->fd = value_is_number(fd, INT32_MAX, &number) ? (int)number : -1;
        if (ioctl(tap->fd, TUNGETIFF, &about) < 0)
            return FAIL("tap: fd=%s is no tap device", fd);
        tap->has_header = about.ifr_flags & IFF_VNET_HDR;
        int size = 10;
        if (tap->has_header)
            ioctl(tap->fd, TUNSETVNETHDRSZ, &size);
        fcntl(tap->fd, F_SETFL, fcntl(tap->fd, F_GETFL) | O_NONBLOCK);
        g_string_append_printf(info, "fd=%s", about.ifr_name);
    } else {
        tap->fd = tap_make(name, &tap->has_header, taken);
        if (tap->fd < 0)
            return FAIL("tap: cannot use '%s': %s; 'ip tuntap add %s mode tap user %s' makes one that you may use",
                        name ? name : "a new interface", g_strerror(errno), name ? name : "tap0", g_get_user_name());
        if (!scripts(options, taken, error))
            return NULL;
        g_string_append_printf(info, "ifname=%s", taken);
    }
    offload_set(tap, 0);
    return tap;
}

static uint8_t tap_takes(void *role)
{
    const struct tap *tap = role;
    return tap->has_header ? NETDEV_TAKES_CSUM | NETDEV_TAKES_TSO4 | NETDEV_TAKES_TSO6 : 0;
}

static void tap_needs(void *role, struct fence_network *needs)
{
    needs->tap = true;
}

static bool tap_frame(void *role, uint8_t *frame, size_t len, const struct netdev_offload *offload)
{
    struct tap *tap = role;
    struct iovec pieces[2] = {{(void *)offload, sizeof(*offload)}, {frame, len}};
    if (!tap->has_header && !offload_finish(frame, len, offload))
        return true;
    ssize_t done = tap->has_header ? writev(tap->fd, pieces, 2) : write(tap->fd, frame, len);
    tap->blocked = done < 0 && errno == EAGAIN;
    return !tap->blocked; /* whatever else it is, the frame is lost */
}

static void tap_fill(void *role, struct polls *polls)
{
    struct tap *tap = role;
    uint8_t takes = netproc_front_takes(tap->process);
    if (takes != tap->takes)
        offload_set(tap, takes);
    tap->place = polls_add(polls, tap->fd, (short)(POLLIN | (tap->blocked ? POLLOUT : 0)));
}

static void tap_done(void *role, const struct polls *polls, bool can_deliver)
{
    struct tap *tap = role;
    if (!can_deliver || !(polls_result(polls, tap->place) & POLLIN))
        return;
    for (unsigned i = 0; i < FRAMES_AT_ONCE; i++) {
        struct netdev_offload offload = {0};
        struct iovec pieces[2] = {{&offload, sizeof(offload)}, {tap->frame, sizeof(tap->frame)}};
        ssize_t len = tap->has_header ? readv(tap->fd, pieces, 2) : read(tap->fd, tap->frame, sizeof(tap->frame));
        if (len <= 0)
            return;
        if (tap->has_header)
            len -= (ssize_t)sizeof(offload);
        if (len < 14)
            continue;
        if (!(netproc_front_takes(tap->process) & NETDEV_TAKES_CSUM)) {
            if (offload.gso_type != NETDEV_GSO_NONE || !offload_finish(tap->frame, (size_t)len, &offload))
                continue;
            offload = (struct netdev_offload){0};
        }
        netproc_deliver(tap->process, &(struct iovec){tap->frame, (size_t)len}, 1, &offload);
    }
}

static const char *const fd_keys[] = {"fd", NULL};

const struct net_role role_tap = {.type = "tap",
                                  .open = tap_open,
                                  .needs = tap_needs,
                                  .takes = tap_takes,
                                  .frame = tap_frame,
                                  .fill = tap_fill,
                                  .done = tap_done,
                                  .fd_keys = fd_keys};
