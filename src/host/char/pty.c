/* Pseudo-terminals: whoever wants may come and go at the other end. pty(7). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "char_internal.h"

struct pty {
    struct stream stream; /* first */
    int peer;             /* the other end, kept open: else reading fails whenever nobody is there */
    char *path;
};

static bool pty_open(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    struct pty *pty = (struct pty *)dev;
    char path[64];
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    pty->peer = -1;
    if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, path, sizeof(path)) != 0) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return CHARDEV_FAIL("Failed to create a pseudo-terminal: %s", g_strerror(code));
    }
    struct termios raw;
    pty->peer = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (pty->peer >= 0 && tcgetattr(pty->peer, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(pty->peer, TCSANOW, &raw);
    }
    pty->path = g_strdup(path);
    /* Words that tools look for; label is the id that the user gave. */
    fprintf(stderr, "char device redirected to %s (label %.*s)\n", path,
            (int)(strlen(dev->id) - (chardev_switch(options, "mux", false) ? strlen("-base") : 0)), dev->id);
    pty->stream.owns_fds = pty->stream.drops = true;
    stream_start(&pty->stream, fd, fd);
    dev->is_open = true;
    return true;
}

static void pty_release(struct host_chardev *dev)
{
    struct pty *pty = (struct pty *)dev;
    if (pty->path && pty->peer >= 0)
        close(pty->peer);
    stream_stop(&pty->stream);
}

static void pty_free(struct host_chardev *dev)
{
    g_free(((struct pty *)dev)->path);
    stream_free(dev);
}

static void pty_describe(struct host_chardev *dev, GString *filename)
{
    g_string_append_printf(filename, "pty:%s", ((struct pty *)dev)->path);
}

const char *chardev_pty_path(const struct chardev *chardev)
{
    const struct host_chardev *dev = (const struct host_chardev *)chardev;
    return dev->kind == &chardev_pty ? ((const struct pty *)dev)->path : NULL;
}

const struct chardev_kind chardev_pty = {
    .name = "pty",
    .size = sizeof(struct pty),
    .open = pty_open,
    .write = stream_write,
    .in_space = stream_in_space,
    .close = stream_close,
    .release = pty_release,
    .describe = pty_describe,
    .free = pty_free,
};
