/* Host ends of serial ports. The device side appends to a buffer under the machine lock; all system
 * calls are made by the device thread. While the machine stands still, the device hears of nothing. On a terminal in
 * raw mode Ctrl-A starts a command, as in QEMU.
 */
#include "chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "devthread.h"
#include "log.h"
#include "vclock.h"

#define OUT_LIMIT 65536u
#define IN_LIMIT  4096u
#define ESCAPE    0x01 /* Ctrl-A */

struct host_chardev {
    struct chardev base; /* first */
    char *label;
    int in_fd, out_fd;
    bool escapes;      /* Ctrl-A commands */
    bool drops_output; /* nobody may be reading: forget the oldest bytes rather than wait */
    bool in_escape, out_blocked, out_dead;
    GByteArray *out; /* waiting to be written */
    bool flush_scheduled;
    bool has_room;  /* the device is to be told that there is room again */
    GByteArray *in; /* typed, not yet taken by the device */
    guint in_source, out_source;
};

static struct {
    GPtrArray *all; /* struct host_chardev */
    void (*quit)(void *opaque);
    void *quit_opaque;
    struct termios terminal; /* as it was before, if terminal_saved */
    bool terminal_saved;
    _Atomic bool no_waiting; /* the processor is to stop */
} chardevs;

static void terminal_restore(void)
{
    if (chardevs.terminal_saved)
        tcsetattr(STDIN_FILENO, TCSANOW, &chardevs.terminal);
    chardevs.terminal_saved = false;
}

static void terminal_set_raw(bool keep_signals)
{
    struct termios raw;
    if (!isatty(STDIN_FILENO) || chardevs.terminal_saved || tcgetattr(STDIN_FILENO, &chardevs.terminal) < 0)
        return;
    chardevs.terminal_saved = true;
    atexit(terminal_restore);
    raw = chardevs.terminal;
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

/* --- Output --- */

static gboolean out_ready(gint fd, GIOCondition condition, gpointer opaque);

static void room_tell(struct host_chardev *dev)
{
    if (!dev->has_room || vclock_is_stopped())
        return;
    dev->has_room = false;
    if (dev->base.front)
        dev->base.front->writable(dev->base.front_opaque);
}

/* Writes what the descriptor takes now. Device thread, machine lock held; the buffer is small and writes to
 * it do not block, so the lock is not held long. */
static void out_flush(struct host_chardev *dev)
{
    bool was_full = dev->out->len >= OUT_LIMIT;
    while (dev->out->len && !dev->out_dead) {
        struct pollfd poll_fd = {.fd = dev->out_fd, .events = POLLOUT};
        if (poll(&poll_fd, 1, 0) <= 0)
            break;
        /* A pipe that polls as writable has room for PIPE_BUF bytes. */
        ssize_t written = write(dev->out_fd, dev->out->data, MIN(dev->out->len, 4096));
        if (written > 0) {
            g_byte_array_remove_range(dev->out, 0, (guint)written);
        } else if (written < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        } else {
            log_user("%s: cannot write (%s); further output is lost", dev->label, g_strerror(errno));
            dev->out_dead = true;
            g_byte_array_set_size(dev->out, 0);
        }
    }
    if (dev->out->len && !dev->out_source)
        dev->out_source = devthread_fd_add(dev->out_fd, G_IO_OUT, out_ready, dev);
    dev->has_room |= was_full && dev->out->len < OUT_LIMIT;
    room_tell(dev);
}

static gboolean out_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    struct host_chardev *dev = opaque;
    machine_lock();
    dev->out_source = 0;
    out_flush(dev);
    machine_unlock();
    return G_SOURCE_REMOVE;
}

static gboolean out_idle(gpointer opaque)
{
    struct host_chardev *dev = opaque;
    machine_lock();
    dev->flush_scheduled = false;
    out_flush(dev);
    machine_unlock();
    return G_SOURCE_REMOVE;
}

static size_t host_write(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    if (dev->out_fd < 0 || dev->out_dead)
        return len;
    size_t room = dev->out->len < OUT_LIMIT ? OUT_LIMIT - dev->out->len : 0;
    if (dev->drops_output && room < len) {
        g_byte_array_remove_range(dev->out, 0, dev->out->len / 2);
        room = OUT_LIMIT - dev->out->len;
    }
    size_t taken = MIN(len, room);
    g_byte_array_append(dev->out, bytes, (guint)taken);
    if (taken && !dev->flush_scheduled && !dev->out_source) {
        dev->flush_scheduled = true;
        devthread_idle_add(out_idle, dev);
    }
    return taken;
}

/* The processor's thread, in a port write. The main loop, which empties the buffer, runs meanwhile. */
static void host_write_all(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    for (;;) {
        size_t taken = host_write(chardev, bytes, len);
        bytes += taken;
        len -= taken;
        if (!len)
            return;
        if (atomic_load(&chardevs.no_waiting)) {
            g_byte_array_append(dev->out, bytes, (guint)len); /* one access; what nobody reads is told at the end */
            return;
        }
        machine_unlock();
        g_usleep(1000);
        machine_lock();
    }
}

void chardev_set_waiting(bool wait)
{
    atomic_store(&chardevs.no_waiting, !wait);
}

/* --- Input --- */

static gboolean in_ready(gint fd, GIOCondition condition, gpointer opaque);

static void in_watch(struct host_chardev *dev)
{
    if (dev->in_fd >= 0 && !dev->in_source)
        dev->in_source = devthread_fd_add(dev->in_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, in_ready, dev);
}

static void in_deliver(struct host_chardev *dev)
{
    const struct chardev_front *front = dev->base.front;
    if (!front || !dev->in->len || vclock_is_stopped())
        return;
    uint8_t bytes[64];
    size_t room = front->room(dev->base.front_opaque);
    size_t len = MIN(MIN(room, dev->in->len), sizeof(bytes));
    if (len) {
        /* Taken out first: receiving may make the device ask for more at once. */
        memcpy(bytes, dev->in->data, len);
        g_byte_array_remove_range(dev->in, 0, (guint)len);
        front->receive(dev->base.front_opaque, bytes, len);
    }
}

static void terminal_say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; /* nobody to tell */
}

/* The key after Ctrl-A. */
static void escape_command(struct host_chardev *dev, uint8_t key)
{
    const uint8_t escape = ESCAPE;
    switch (key) {
    case 'x':
        terminal_say("\r\nringer: ended by Ctrl-A x\r\n");
        if (chardevs.quit)
            chardevs.quit(chardevs.quit_opaque);
        break;
    case 'h':
    case '?':
        terminal_say("\r\nCtrl-A h  this help\r\nCtrl-A x  end the machine\r\n"
                     "Ctrl-A b  send a break\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n");
        break;
    case 'b':
        if (dev->base.front && dev->base.front->event)
            dev->base.front->event(dev->base.front_opaque, CHARDEV_BREAK);
        break;
    case ESCAPE:
        g_byte_array_append(dev->in, &escape, 1);
        break;
    }
}

static void in_take(struct host_chardev *dev, uint8_t byte)
{
    if (dev->in_escape) {
        dev->in_escape = false;
        escape_command(dev, byte);
    } else if (dev->escapes && byte == ESCAPE) {
        dev->in_escape = true;
    } else if (dev->in->len < IN_LIMIT) {
        g_byte_array_append(dev->in, &byte, 1);
    }
}

static gboolean in_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    struct host_chardev *dev = opaque;
    uint8_t bytes[256];
    size_t want = sizeof(bytes);
    gboolean keep = G_SOURCE_CONTINUE;

    machine_lock();
    if (!dev->escapes) { /* a pipe can wait; where keys command us, all of them must be seen */
        size_t room = IN_LIMIT - MIN(dev->in->len, IN_LIMIT);
        want = MIN(want, room);
    }
    if (want == 0) {
        dev->in_source = 0; /* host_room_changed watches again */
        keep = G_SOURCE_REMOVE;
    } else {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN}; /* somebody else may have been faster */
        if (poll(&poll_fd, 1, 0) == 0) {
            machine_unlock();
            return G_SOURCE_CONTINUE;
        }
        ssize_t len = read(fd, bytes, want);
        if (len <= 0 && !(len < 0 && (errno == EAGAIN || errno == EINTR))) {
            dev->in_source = 0; /* end of file: the machine runs on without input */
            dev->in_fd = -1;
            keep = G_SOURCE_REMOVE;
        }
        for (ssize_t i = 0; i < len; i++)
            in_take(dev, bytes[i]);
        in_deliver(dev);
    }
    machine_unlock();
    return keep;
}

static void host_room_changed(struct chardev *chardev)
{
    struct host_chardev *dev = (struct host_chardev *)chardev;
    in_deliver(dev);
    if (dev->in->len < IN_LIMIT)
        in_watch(dev);
}

static const struct chardev_ops host_ops = {host_write, host_room_changed, host_write_all};

static size_t null_write(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    return len;
}

static void null_room_changed(struct chardev *chardev)
{
}

static const struct chardev_ops null_ops = {null_write, null_room_changed};

/* --- Opening --- */

/* Standard output may be shared with a shell that wants it blocking: a terminal or pipe is opened anew. */
int chardev_stdout_open(void)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || isatty(STDOUT_FILENO))) {
        int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd >= 0)
            return fd;
    }
    return STDOUT_FILENO;
}

static int pty_open(const char *label, GError **error)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno),
                    "-serial pty: cannot make a pseudo-terminal: %s", g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    /* We keep the other end open, too: else reading fails whenever nobody is there. */
    int peer = open(ptsname(fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios raw;
    if (peer >= 0 && tcgetattr(peer, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(peer, TCSANOW, &raw);
    }
    fprintf(stderr, "char device redirected to %s (label %s)\n", ptsname(fd), label);
    return fd;
}

struct chardev *chardev_open(const char *spec, const char *label, GError **error)
{
    struct host_chardev *dev = g_new0(struct host_chardev, 1);
    dev->base.ops = &host_ops;
    dev->in_fd = dev->out_fd = -1;
    bool ok = true;

    if (chardev_find(label)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "two character devices have the id '%s'", label);
        ok = false;
    } else if (strcmp(spec, "stdio") == 0 || strcmp(spec, "mon:stdio") == 0) {
        bool muxed = strcmp(spec, "mon:stdio") == 0;
        dev->in_fd = STDIN_FILENO;
        dev->out_fd = chardev_stdout_open();
        dev->escapes = muxed && isatty(STDIN_FILENO);
        terminal_set_raw(!muxed);
    } else if (g_str_has_prefix(spec, "file:")) {
        dev->out_fd = open(spec + 5, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (dev->out_fd < 0) {
            g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "%s: cannot write '%s': %s", label,
                        spec + 5, g_strerror(errno));
            ok = false;
        }
    } else if (strcmp(spec, "pty") == 0) {
        dev->in_fd = dev->out_fd = pty_open(label, error);
        dev->drops_output = true;
        ok = dev->in_fd >= 0;
    } else if (strcmp(spec, "null") == 0) {
        dev->base.ops = &null_ops;
    } else {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: '%s' is none of stdio, mon:stdio, file:PATH, pty, null, none", label, spec);
        ok = false;
    }
    if (!ok) {
        g_free(dev);
        return NULL;
    }
    dev->label = g_strdup(label);
    dev->out = g_byte_array_new();
    dev->in = g_byte_array_new();
    if (!chardevs.all)
        chardevs.all = g_ptr_array_new();
    g_ptr_array_add(chardevs.all, dev);
    in_watch(dev);
    return &dev->base;
}

void chardev_resume(void)
{
    for (unsigned i = 0; chardevs.all && i < chardevs.all->len; i++) {
        struct host_chardev *dev = g_ptr_array_index(chardevs.all, i);
        room_tell(dev);
        host_room_changed(&dev->base);
    }
}

struct chardev *chardev_find(const char *label)
{
    for (unsigned i = 0; chardevs.all && i < chardevs.all->len; i++) {
        struct host_chardev *dev = g_ptr_array_index(chardevs.all, i);
        if (strcmp(dev->label, label) == 0)
            return &dev->base;
    }
    return NULL;
}

void chardev_set_quit(void (*quit)(void *opaque), void *opaque)
{
    chardevs.quit = quit;
    chardevs.quit_opaque = opaque;
}

void chardev_close_all(void)
{
    for (unsigned i = 0; chardevs.all && i < chardevs.all->len; i++) {
        struct host_chardev *dev = g_ptr_array_index(chardevs.all, i);
        int64_t give_up = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;
        dev->base.front = NULL;
        while (dev->out->len && !dev->out_dead && g_get_monotonic_time() < give_up) {
            struct pollfd poll_fd = {.fd = dev->out_fd, .events = POLLOUT};
            poll(&poll_fd, 1, 100);
            out_flush(dev);
        }
        if (dev->out->len && !dev->out_dead && !dev->drops_output)
            log_user("%s: nobody has read the last %u bytes; they are lost", dev->label, dev->out->len);
    }
    terminal_restore();
}
