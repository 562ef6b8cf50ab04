/* Host ends of byte streams, by id: terminals, files, pipes, sockets, and what only looks like one.
 *
 * All I/O is done on the device thread (devthread.h) and never waits. What is said here to need the machine lock takes
 * it if the caller does not have it.
 */
#pragma once

#include <glib.h>

#include "backend.h"

struct keyvalues;

/* --- Making and finding --- */

/* options: "backend", "id" and what QEMU's -chardev has besides; stays the caller's. Main thread; opening files
 * and finding out whether a connection comes about take a moment, for which the machine lock is let go. wait=on waits
 * for the first client, until a signal comes; not any more when the machine runs. NULL with a sentence, in QEMU's words
 * where it has any. */
struct chardev *chardev_new(struct keyvalues *options, GError **error);

/* The other way users write it, of -serial and its like: "tcp:HOST:PORT,server", "mon:stdio". Into a list for
 * chardev_new() with id=label; "chardev:ID" into a list with the key "chardev" only. NULL with a sentence. */
struct keyvalues *chardev_short_form(const char *text, const char *label, GError **error);

/* Machine lock, or before machine_run(). NULL: there is none. */
struct chardev *chardev_find(const char *id);

/* Nothing of it is called any more, and the pointer is void. What was written still goes out, for two seconds at most.
 * Machine lock. */
void chardev_close(struct chardev *chardev);
/* chardev-remove. Machine lock. */
bool chardev_remove(const char *id, GError **error);

/* Every name that "backend" may have. */
void chardev_backends_each(void (*each)(void *opaque, const char *name), void *opaque);

struct chardev_description {
    const char *id;
    const char *filename; /* as QEMU writes it: "unix:/tmp/x,server=on" */
    bool frontend_is_open;
};
/* Machine lock. */
void chardev_each(void (*each)(void *opaque, const struct chardev_description *description), void *opaque);
/* Of a pseudo-terminal: where its other end is; else NULL. */
const char *chardev_pty_path(const struct chardev *chardev);

/* --- Sockets --- */

/* Of a listening socket: each client becomes a chardev of its own, which accepted() gets on the device thread with the
 * lock held, and which ends by chardev_close(). There are CHARDEV_CLIENTS_MAX at a time, further ones wait. Without
 * this, and with accepted NULL, there is one client at a time. False: it does not listen, or is in use. Machine lock.
 */
#define CHARDEV_CLIENTS_MAX 256u
bool chardev_set_acceptor(struct chardev *chardev, void (*accepted)(void *opaque, struct chardev *client),
                          void *opaque);
/* A descriptor that came over a Unix socket (SCM_RIGHTS), the oldest first; it is the caller's then. False: there is
 * none. Machine lock. */
bool chardev_take_fd(struct chardev *chardev, int *fd);

/* --- Others --- */

/* ringbuf-read: up to len bytes are taken out; ringbuf-write: put in. Machine lock. */
bool chardev_ringbuf_read(const char *id, size_t len, GByteArray *bytes, GError **error);
bool chardev_ringbuf_write(const char *id, const uint8_t *bytes, size_t len, GError **error);
/* chardev-send-break. */
bool chardev_send_break(const char *id, GError **error);

/* To all serial mice. dx to the right, dy down; buttons: 0 left, 1 right, 2 middle. False: there is none. Machine lock.
 */
bool msmouse_event(int dx, int dy, unsigned buttons);

/* --- The program --- */

/* -echr: the key that starts a command on a mux (Ctrl-A). */
void chardev_set_escape(uint8_t key);
/* -daemonize: nobody is at the terminal. */
void chardev_forbid_stdio(void);

/* Starts the process that makes connections when the machine runs (dialer.h), if one of these (struct keyvalues as
 * chardev_new() takes them) reconnects, or somebody may order further ones: control. Before there are threads. */
bool chardev_dialer_start(GPtrArray *lists, bool control, GError **error);
/* From now on only that process makes sockets: the fence is about to go up. */
void chardev_seal(void);
/* What the fence must allow for those that are open, or may be. */
bool chardev_needs_clients(void);
bool chardev_needs_unlink(void);

/* The machine goes on: devices hear of what came while it stood. Machine lock. */
void chardev_resume(void);

/* Called on the device thread when the user types Ctrl-A x, Ctrl-A s. */
void chardev_set_quit(void (*quit)(void *opaque), void *opaque);
void chardev_set_commit(void (*commit)(void *opaque), void *opaque);

/* While the processor is to stop, no device waits for a reader. Any thread. */
void chardev_set_waiting(bool wait);

/* Writes out what is still buffered (waits up to two seconds for stuck readers), removes sockets' names and gives the
 * terminal back its settings. When no other thread runs. */
void chardev_close_all(void);
