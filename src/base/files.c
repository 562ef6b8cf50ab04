/* Files by name, and sets of passed descriptors: see files.h. fcntl(2). */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FDSET_PATH "/dev/fdset/"
#define FDS_MAX    1024u

struct passed {
    int64_t set;
    int fd;
    char *description;
};

static struct {
    GMutex lock;
    GPtrArray *passed; /* struct passed, by set */
} files;

static GQuark files_error(void)
{
    return g_quark_from_static_string("ringer-files");
}

static void passed_free(gpointer opaque)
{
    struct passed *passed = opaque;
    close(passed->fd);
    g_free(passed->description);
    g_free(passed);
}

static struct passed *passed_at(unsigned index)
{
    return files.passed && index < files.passed->len ? g_ptr_array_index(files.passed, index) : NULL;
}

/* One that was opened for more than is asked is taken where none fits exactly. */
static int fdset_open(int64_t set, int flags)
{
    const struct passed *passed;
    int fd = -1;
    errno = ENOENT;
    for (unsigned i = 0; (passed = passed_at(i)); i++) {
        if (passed->set != set)
            continue;
        int mode = fcntl(passed->fd, F_GETFL) & O_ACCMODE;
        if (mode == (flags & O_ACCMODE))
            return fcntl(passed->fd, F_DUPFD_CLOEXEC, 0);
        if (mode == O_RDWR && fd < 0)
            fd = passed->fd;
        errno = EACCES;
    }
    return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

int files_open(const char *path, int flags, mode_t mode)
{
    if (!g_str_has_prefix(path, FDSET_PATH))
        return open(path, flags | O_CLOEXEC, mode);
    guint64 set;
    if (!g_ascii_string_to_unsigned(path + strlen(FDSET_PATH), 10, 0, INT64_MAX, &set, NULL)) {
        errno = ENOENT;
        return -1;
    }
    g_mutex_lock(&files.lock);
    int fd = fdset_open((int64_t)set, flags);
    int why = errno;
    g_mutex_unlock(&files.lock);
    errno = why;
    return fd;
}

static int64_t lowest_free(void)
{
    const struct passed *passed;
    int64_t set = 0;
    for (unsigned i = 0; (passed = passed_at(i)) && passed->set <= set; i++)
        set = passed->set + 1;
    return set;
}

int64_t fdset_add(int64_t set, int fd, const char *description, GError **error)
{
    const struct passed *other;
    unsigned at = 0;
    if (set < FDSET_NEW) {
        g_set_error(error, files_error(), 0, "Parameter 'fdset-id' expects a non-negative value");
        return -1;
    }
    g_mutex_lock(&files.lock);
    if (!files.passed)
        files.passed = g_ptr_array_new_with_free_func(passed_free);
    if (files.passed->len == FDS_MAX) {
        g_mutex_unlock(&files.lock);
        g_set_error(error, files_error(), 0, "There are %u file descriptors in sets already; remove some", FDS_MAX);
        return -1;
    }
    if (set == FDSET_NEW)
        set = lowest_free();
    while ((other = passed_at(at)) && other->set <= set)
        at++;
    struct passed *passed = g_new0(struct passed, 1);
    *passed = (struct passed){set, fd, g_strdup(description)};
    g_ptr_array_insert(files.passed, (gint)at, passed);
    g_mutex_unlock(&files.lock);
    return set;
}

bool fdset_add_inherited(int64_t set, int fd, const char *description, GError **error)
{
    int flags = fcntl(fd, F_GETFD);
    if (fd >= 0 && fd <= STDERR_FILENO) {
        g_set_error(error, files_error(), 0, "fd cannot be a standard I/O stream");
        return false;
    }
    /* All that is ours closes on exec; what we were given does not. */
    if (flags < 0 || (flags & FD_CLOEXEC)) {
        g_set_error(error, files_error(), 0, "fd is not valid or already in use");
        return false;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fdset_add(set, fd, description, error) >= 0;
}

bool fdset_remove(int64_t set, int fd, GError **error)
{
    const struct passed *passed;
    bool found = false;
    g_mutex_lock(&files.lock);
    for (unsigned i = 0; (passed = passed_at(i));) {
        if (passed->set == set && (fd == FDSET_ALL || passed->fd == fd)) {
            g_ptr_array_remove_index(files.passed, i);
            found = true;
        } else {
            i++;
        }
    }
    g_mutex_unlock(&files.lock);
    if (!found && fd == FDSET_ALL)
        g_set_error(error, files_error(), 0, "File descriptor named 'fdset-id:%lld' not found", (long long)set);
    else if (!found)
        g_set_error(error, files_error(), 0, "File descriptor named 'fdset-id:%lld, fd:%d' not found", (long long)set,
                    fd);
    return found;
}

void fdset_each(void (*each)(void *opaque, int64_t set, int fd, const char *description), void *opaque)
{
    const struct passed *passed;
    g_mutex_lock(&files.lock);
    for (unsigned i = 0; (passed = passed_at(i)); i++)
        each(opaque, passed->set, passed->fd, passed->description);
    g_mutex_unlock(&files.lock);
}
