/* Between the files of host/char: what all back ends have in common (chardev.c), and what those that are file
 * descriptors have (stream.c).
 *
 *   front  <- deliver ---  in buffer   <- read --- descriptor         one front, or mux.c with up to four
 *   front  --- write --->  outlet      --- write -> descriptor        and a second outlet for logfile=
 *
 * All of it happens with the machine lock held. Descriptors are read and written on the device thread only.
 */
#pragma once

#include "host/address.h"
#include "host/char/chardev.h"
#include "keyvalue.h"

#define IN_LIMIT  4096u  /* bytes from outside that the front has not taken yet; the rest stays with the sender */
#define OUT_LIMIT 65536u /* bytes for outside that nobody has read yet */

struct watch;
struct outlet;
struct host_chardev;

struct chardev_kind {
    const char *name;
    size_t size; /* of the struct, whose first member is a struct host_chardev */
    /* With the lock, which it may let go: nobody knows it yet. */
    bool (*open)(struct host_chardev *dev, struct keyvalues *options, GError **error);
    size_t (*write)(struct host_chardev *dev, const uint8_t *bytes, size_t len);
    /* A front without a handshake waits for the reader; if not, what does not fit is lost. */
    bool waits;
    /* There is space in the in buffer again. NULL: nothing comes from outside. */
    void (*in_space)(struct host_chardev *dev);
    void (*set_lines)(struct host_chardev *dev, bool dtr, bool rts);
    /* The machine goes on. NULL: chardev_resume() knows all there is. */
    void (*resume)(struct host_chardev *dev);
    /* Nobody calls any more. What is still to be written may stay; then it returns true, and calls
     * chardev_is_written() when that is done. */
    bool (*close)(struct host_chardev *dev);
    /* Closes the descriptors. May be NULL. */
    void (*release)(struct host_chardev *dev);
    void (*describe)(struct host_chardev *dev, GString *filename); /* NULL: by its name */
    void (*free)(struct host_chardev *dev);                        /* memory only; any thread. May be NULL */
    const struct chardev_ops *ops;                                 /* NULL: chardev.c's */
};

struct host_chardev {
    struct chardev base; /* first */
    const struct chardev_kind *kind;
    char *id;     /* for messages where it is not named */
    bool named;   /* chardev_find() finds it */
    gint refs;    /* owner, watches; g_atomic */
    bool accepts; /* somebody takes its clients: it is in use, too */
    bool closed;  /* by its owner */
    bool written; /* closed, and nothing is left to write */
    bool is_open, told_open, break_pending;
    bool delivering, was_short;
    bool keeps;     /* a protocol: rather wait than lose a byte */
    bool awaits;    /* a client handed over: nothing is read, not even its end, before somebody has it */
    GByteArray *in; /* not yet taken by the front */
    struct outlet *log;
    struct watch *linger;
};

/* --- chardev.c --- */

/* files_open() without the machine lock: it may take a while. */
int chardev_open_path(const char *path, int flags, mode_t mode);

bool chardev_fail(GError **error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define CHARDEV_FAIL(...) chardev_fail(error, __VA_ARGS__) /* false */

/* Takes the machine lock if this thread does not have it; for guard_leave(). */
bool guard_enter(void);
void guard_leave(bool taken);

/* With one reference, not yet known to anybody. */
struct host_chardev *host_chardev_new(const struct chardev_kind *kind, const char *id);
/* From now on chardev_find() knows it, or (a client) at least chardev_close_all(). */
void host_chardev_register(struct host_chardev *dev, bool named);
void host_chardev_ref(struct host_chardev *dev);
void host_chardev_unref(struct host_chardev *dev);

/* Its front may be told something now. */
bool chardev_hears(const struct host_chardev *dev);
void chardev_set_open(struct host_chardev *dev, bool open);
/* How many bytes may be given to chardev_receive(). */
size_t chardev_in_space(const struct host_chardev *dev);
void chardev_receive(struct host_chardev *dev, const uint8_t *bytes, size_t len);
void chardev_deliver(struct host_chardev *dev);
void chardev_break(struct host_chardev *dev);
/* After a short write there is room again. */
void chardev_tell_room(struct host_chardev *dev);
void chardev_is_written(struct host_chardev *dev);
/* Bytes on their way out that may be thrown away for newer ones. */
bool chardev_may_drop(const struct host_chardev *dev);

extern const struct chardev_kind chardev_null, chardev_stdio, chardev_file, chardev_pipe, chardev_serial, chardev_pty,
    chardev_socket, chardev_udp, chardev_ringbuf, chardev_vc, chardev_msmouse, chardev_mux;
/* chardev_options.c: the kind by a name of -chardev. NULL with a sentence. */
const struct chardev_kind *chardev_kind_find(const char *name, GError **error);
void chardev_kinds_each(void (*each)(void *opaque, const char *name), void *opaque);
bool chardev_id_is_good(const char *id);
/* No key but those that some back end has; values of switches. */
bool chardev_options_check(struct keyvalues *options, GError **error);
/* fallback: where the key is not there. */
bool chardev_switch(struct keyvalues *options, const char *key, bool fallback);

/* --- stream.c: watches --- */

/* Calls run on the device thread with the lock held until it is cancelled; one shot: once, *slot is NULL then. *slot
 * must be NULL before. */
void watch_fd(struct watch **slot, struct host_chardev *dev, int fd, GIOCondition condition,
              void (*run)(void *opaque, GIOCondition condition), void *opaque);
void watch_soon(struct watch **slot, struct host_chardev *dev, void (*run)(void *opaque, GIOCondition condition),
                void *opaque);
void watch_after(struct watch **slot, struct host_chardev *dev, unsigned ms,
                 void (*run)(void *opaque, GIOCondition condition), void *opaque);
void watch_cancel(struct watch **slot);

/* --- stream.c: outlets --- */

struct outlet {
    struct host_chardev *dev;
    int fd; /* -1: nobody is there */
    bool dead;
    bool is_datagram;
    GByteArray *bytes;
    struct watch *soon, *ready;
    /* Writing failed for good. NULL: it is said, and what comes later is lost. */
    void (*failed)(struct outlet *outlet, int code);
    /* Some was written; or, empty, all of it. */
    void (*progress)(struct outlet *outlet);
};

void outlet_init(struct outlet *outlet, struct host_chardev *dev, int fd);
void outlet_free(struct outlet *outlet); /* memory only */
void outlet_stop(struct outlet *outlet); /* forgets what is there */
/* Takes as much as fits; all of it if it may drop older bytes. */
size_t outlet_put(struct outlet *outlet, const uint8_t *bytes, size_t len, bool may_drop);
/* More than fits, for once. */
void outlet_force(struct outlet *outlet, const uint8_t *bytes, size_t len);
void outlet_flush(struct outlet *outlet);

/* --- stream.c: back ends that are descriptors --- */

struct stream {
    struct host_chardev dev; /* first */
    int in_fd;               /* -1: none, or ended */
    bool owns_fds, drops;
    bool hard_to_wait; /* keys command us: all of them are read */
    struct outlet out;
    struct watch *in;
    /* read(2) of any kind. NULL: read(2). */
    ssize_t (*read)(struct stream *stream, uint8_t *bytes, size_t len);
    /* What was read, on its way to chardev_receive(), which NULL means. */
    void (*filter)(struct stream *stream, const uint8_t *bytes, size_t len);
    /* End of file or an error. NULL: the machine runs on without input. */
    void (*ended)(struct stream *stream, bool hung_up);
};

/* For a kind's open. Descriptors that may be waited for without being O_NONBLOCK: terminals, pipes of others. */
void stream_start(struct stream *stream, int in_fd, int out_fd);
/* Neither reads nor writes any more; closes the descriptors if they are its own. */
void stream_stop(struct stream *stream);
size_t stream_write(struct host_chardev *dev, const uint8_t *bytes, size_t len);
void stream_in_space(struct host_chardev *dev);
bool stream_close(struct host_chardev *dev);
void stream_release(struct host_chardev *dev);
void stream_free(struct host_chardev *dev);

/* --- mux.c --- */
void mux_break(struct host_chardev *dev);
struct host_chardev *mux_new(const char *id, struct host_chardev *driver);
extern const struct chardev_front mux_front;

/* --- socket.c --- */
/* chardev_seal() was called: the machine runs, or is about to. */
bool chardev_is_sealed(void);
/* A socket, by the dialer when the machine runs; lets go of the machine lock meanwhile. -1 with a sentence in why. */
int socket_make(const struct address *address, char *why);
/* host= and port= of a list, or what is behind local. */
bool address_set_host(struct address *address, const char *host, const char *port, GError **error);
/* ipv4=, ipv6=. */
void address_set_family(struct address *address, struct keyvalues *options);

/* --- stdio.c --- */
void terminal_restore(void);
