/* The terminal we were started from, or whatever else standard input and output are. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "char_internal.h"

static struct {
    struct termios before; /* if saved */
    bool saved, taken, forbidden;
} terminal;

void terminal_restore(void)
{
    if (terminal.saved)
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.before);
    terminal.saved = false;
}

static void terminal_set_raw(bool keep_signals)
{
    struct termios raw;
    if (!isatty(STDIN_FILENO) || terminal.saved || tcgetattr(STDIN_FILENO, &terminal.before) < 0)
        return;
    terminal.saved = true;
    atexit(terminal_restore);
    raw = terminal.before;
    raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag |= OPOST;
    raw.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN);
    if (!keep_signals)
        raw.c_lflag &= ~ISIG;
    raw.c_cflag = (raw.c_cflag & ~(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* Standard output may be shared with a shell that wants it blocking: a terminal or pipe is opened anew. */
static int stdout_open(void)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || isatty(STDOUT_FILENO))) {
        int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd >= 0)
            return fd;
    }
    return STDOUT_FILENO;
}

void chardev_forbid_stdio(void)
{
    terminal.forbidden = true;
}

static bool stdio_open(struct host_chardev *dev, struct keyvalues *options, GError **error)
{
    struct stream *stream = (struct stream *)dev;
    if (terminal.forbidden)
        return CHARDEV_FAIL("cannot use stdio with -daemonize");
    if (terminal.taken)
        return CHARDEV_FAIL("cannot use stdio by multiple character devices");
    terminal.taken = true;
    terminal_set_raw(chardev_switch(options, "signal", true));
    stream->hard_to_wait = isatty(STDIN_FILENO) && chardev_switch(options, "mux", false);
    stream_start(stream, STDIN_FILENO, stdout_open());
    dev->is_open = true;
    return true;
}

static void stdio_release(struct host_chardev *dev)
{
    struct stream *stream = (struct stream *)dev;
    if (!stream->out.bytes)
        return;
    if (stream->out.fd != STDOUT_FILENO && stream->out.fd >= 0)
        close(stream->out.fd);
    stream_stop(stream);
    terminal_restore();
    terminal.taken = false;
}

const struct chardev_kind chardev_stdio = {
    .name = "stdio",
    .size = sizeof(struct stream),
    .open = stdio_open,
    .write = stream_write,
    .waits = true,
    .in_space = stream_in_space,
    .close = stream_close,
    .release = stdio_release,
    .free = stream_free,
};
