/* The monitor's own fence: once the machine is built, the process drops to the system calls that a running machine
 * needs (seccomp, by libseccomp; DESIGN.md, section 7). What a guest might make of a hole in us ends there.
 *
 * A call that no running machine makes for any reason (starting programs, looking into other processes, mounting,
 * changing user) ends the process with SIGSYS; other calls fail with EPERM. Child processes (cells) inherit it.
 */
#pragma once

#include <glib.h>

#include "types.h"

/* What this machine will need besides. */
struct fence_needs {
    bool kvm;     /* ioctls on KVM's file descriptors */
    bool files;   /* somebody may name new files: screendump, change */
    bool clients; /* there are sockets, or may be: accept, take descriptors, ask who it is */
    bool cells;   /* child processes, traced (native/cell.c) */
    bool removes; /* a file of ours, at the end */
    bool viewers; /* a process speaks with them for us */
    bool window;  /* what a desktop says, and memory shared with it */
    bool sound;   /* a sound server's connection, or a sound card, that are open */
};

/* For the whole process, all threads, for good. False with *error where the host does not allow it. */
bool fence_enter(const struct fence_needs *needs, GError **error);

/* The same for the process that makes sockets (host/char/dialer.c): besides threads and memory only that, and reading
 * what names mean. False: this host does not allow it. */
bool fence_enter_dialer(void);

/* The same for a process with a network in it (host/net/process.c): sockets, and what is open already. */
struct fence_network {
    bool name_servers;  /* reads the host's resolv.conf again when it changes */
    const char *folder; /* reads files below it (TFTP); NULL: none */
    bool tap;
};
bool fence_enter_network(const struct fence_network *needs);

/* The same for a process with a folder of the host in it (host/fs/process.c): files by descriptors and names below
 * folder, as far as the kernel can tell (Landlock); no device nodes, no sockets. */
bool fence_enter_folder(int folder, bool read_only);

/* The same for the process that speaks with viewers (host/vnc/process.c): sockets that are open, and who comes to
 * them. */
bool fence_enter_viewers(void);

/* The same for the process that has a USB device of the host's (host/usb/process.c), in two steps: of files the devices
 * and what is said about them, for threads to come, as far as the kernel can tell (Landlock); then system calls, for
 * all threads. */
void fence_usb_files(void);
bool fence_enter_usb(void);

/* For the processes that make such processes by order (host/net/broker.c, host/usb/link.c), and all they make: nothing
 * that is hostile, above all no program. */
bool fence_enter_broker(void);
