/* Back ends that are paths: files, named pipes, serial ports and other terminals of the host. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "char_internal.h"

static void start(struct host_chardev *dev, int in_fd, int out_fd)
{
    struct stream *stream = (struct stream *)dev;
    stream->owns_fds = true;
    stream_start(stream, in_fd, out_fd);
    dev->is_open = true;
}

static bool file_open(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    const char *path = keyvalues_get(options, "path"), *input = keyvalues_get(options, "input-path");
    if (!path)
        return CHARDEV_FAIL("chardev: file: no filename given");
    int mode = chardev_switch(options, "append", false) ? O_APPEND : O_TRUNC;
    int fd = chardev_open_path(path, O_WRONLY | O_CREAT | O_NOCTTY | mode, 0666), in_fd = -1;
    if (fd < 0)
        return CHARDEV_FAIL("Could not open '%s': %s", path, g_strerror(errno));
    if (input && (in_fd = chardev_open_path(input, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0)) < 0) {
        int code = errno;
        close(fd);
        return CHARDEV_FAIL("Could not open '%s': %s", input, g_strerror(code));
    }
    start(dev, in_fd, fd);
    return true;
}

/* Opened for both directions a pipe has no end, and opening it waits for nobody. */
static bool pipe_open(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    const char *path = keyvalues_get(options, "path");
    const int flags = O_RDWR | O_NONBLOCK | O_NOCTTY;
    if (!path)
        return CHARDEV_FAIL("chardev: pipe: no device path given");
    char *in = g_strdup_printf("%s.in", path), *out = g_strdup_printf("%s.out", path);
    int in_fd = chardev_open_path(in, flags, 0), out_fd = chardev_open_path(out, flags, 0);
    g_free(in);
    g_free(out);
    if (in_fd < 0 || out_fd < 0) {
        if (in_fd >= 0)
            close(in_fd);
        if (out_fd >= 0)
            close(out_fd);
        in_fd = out_fd = chardev_open_path(path, flags, 0);
    }
    if (in_fd < 0)
        return CHARDEV_FAIL("Could not open '%s': %s", path, g_strerror(errno));
    start(dev, in_fd, out_fd);
    return true;
}

/* The line's speed is the host's business: a guest's own settings change nothing here. */
static bool serial_open(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    const char *path = keyvalues_get(options, "path");
    struct termios raw;
    if (!path)
        return CHARDEV_FAIL("chardev: serial/tty: no device path given");
    int fd = chardev_open_path(path, O_RDWR | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return CHARDEV_FAIL("Could not open '%s': %s", path, g_strerror(errno));
    if (tcgetattr(fd, &raw) == 0) {
        cfmakeraw(&raw);
        raw.c_cflag |= CLOCAL | CREAD;
        cfsetspeed(&raw, B115200);
        tcsetattr(fd, TCSANOW, &raw);
    }
    start(dev, fd, fd);
    return true;
}

#define PATH_KIND(kind, opener, word) \
    const struct chardev_kind kind = { \
        .name = word, \
        .size = sizeof(struct stream), \
        .open = opener, \
        .write = stream_write, \
        .waits = true, \
        .in_space = stream_in_space, \
        .close = stream_close, \
        .release = stream_release, \
        .free = stream_free, \
    }
PATH_KIND(chardev_file, file_open, "file");
PATH_KIND(chardev_pipe, pipe_open, "pipe");
PATH_KIND(chardev_serial, serial_open, "serial");
