/* filter-dump: what goes over a cable, into a file that tcpdump and Wireshark read (pcap, microseconds, Ethernet).
 *
 * Files are written by a thread of their own: a slow disk delays no frame. What it cannot keep up with is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "lock.h"
#include "log.h"
#include "net_internal.h"

#define WAITING_MAX (16u << 20) /* bytes */
#define MAXLEN      65536u

struct pcap_file {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t accuracy, snaplen, link_type;
};

struct pcap_frame {
    uint32_t seconds, microseconds, captured, length;
};

struct dump {
    char *id, *netdev;
    uint32_t maxlen;
    int fd;
    GThread *thread;
    GMutex mutex;
    GCond more;
    GByteArray *waiting; /* these under the mutex */
    bool ends;
    uint64_t lost;
};

static GPtrArray *dumps;

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t some = write(fd, bytes, len);
        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            return false;
        bytes += some;
        len -= (size_t)some;
    }
    return true;
}

static gpointer writer_run(gpointer opaque)
{
    struct dump *dump = opaque;
    bool fails = false;
    g_mutex_lock(&dump->mutex);
    while (!dump->ends || dump->waiting->len) {
        if (!dump->waiting->len) {
            g_cond_wait(&dump->more, &dump->mutex);
            continue;
        }
        GByteArray *bytes = dump->waiting;
        dump->waiting = g_byte_array_new();
        g_mutex_unlock(&dump->mutex);
        if (!fails && !write_all(dump->fd, bytes->data, bytes->len)) {
            fails = true;
            log_user("filter-dump '%s': cannot write: %s", dump->id, g_strerror(errno));
        }
        g_byte_array_unref(bytes);
        g_mutex_lock(&dump->mutex);
    }
    g_mutex_unlock(&dump->mutex);
    return NULL;
}

void dump_frame(struct dump *dump, const struct iovec *pieces, unsigned count)
{
    int64_t now = g_get_real_time();
    size_t len = 0;
    for (unsigned i = 0; i < count; i++)
        len += pieces[i].iov_len;
    struct pcap_frame frame = {(uint32_t)(now / 1000000), (uint32_t)(now % 1000000), (uint32_t)MIN(len, dump->maxlen),
                               (uint32_t)len};
    uint32_t left = frame.captured;
    g_mutex_lock(&dump->mutex);
    if (dump->waiting->len + sizeof(frame) + left <= WAITING_MAX) {
        g_byte_array_append(dump->waiting, (const uint8_t *)&frame, sizeof(frame));
        for (unsigned i = 0; i < count && left > 0; i++) {
            uint32_t some = (uint32_t)MIN(pieces[i].iov_len, left);
            g_byte_array_append(dump->waiting, pieces[i].iov_base, some);
            left -= some;
        }
        g_cond_signal(&dump->more);
    } else {
        dump->lost++;
    }
    g_mutex_unlock(&dump->mutex);
}

static void dump_close(struct dump *dump)
{
    if (dump->thread) {
        g_mutex_lock(&dump->mutex);
        dump->ends = true;
        g_cond_signal(&dump->more);
        g_mutex_unlock(&dump->mutex);
        g_thread_join(dump->thread);
    }
    if (dump->lost)
        log_user("filter-dump '%s': %llu frames came faster than the file takes them and are not in it", dump->id,
                 (unsigned long long)dump->lost);
    if (dump->fd >= 0)
        close(dump->fd);
    g_byte_array_unref(dump->waiting);
    g_mutex_clear(&dump->mutex);
    g_cond_clear(&dump->more);
    g_free(dump->id);
    g_free(dump->netdev);
    g_free(dump);
}

static struct dump *dump_find(const char *id)
{
    for (unsigned i = 0; dumps && i < dumps->len; i++) {
        struct dump *dump = g_ptr_array_index(dumps, i);
        if (strcmp(dump->id, id) == 0)
            return dump;
    }
    return NULL;
}

static struct dump *dump_new(struct keyvalues *options, GError **error)
{
    const char *id = keyvalues_get(options, "id"), *netdev = keyvalues_get(options, "netdev");
    const char *file = keyvalues_get(options, "file"), *maxlen = keyvalues_get(options, "maxlen");
    const struct pcap_file head = {0xa1b2c3d4, 2, 4, 0, 0, MAXLEN, 1};
    uint64_t most = MAXLEN;
    if (!id || !netdev || !file)
        return NET_FAIL("filter-dump: '%s' is missing", !id ? "id" : !netdev ? "netdev" : "file");
    machine_lock();
    bool has_netdev = net_backend_find(netdev), is_there = dump_find(id);
    machine_unlock();
    if (is_there)
        return NET_FAIL("filter-dump: there is a '%s' already", id);
    if (!has_netdev)
        return NET_FAIL("filter-dump: there is no -netdev with the id '%s'", netdev);
    if (maxlen && !value_is_number(maxlen, MAXLEN, &most))
        return NET_FAIL("filter-dump: 'maxlen' is a number up to %u, not '%s'", MAXLEN, maxlen);
    int fd = files_open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || !write_all(fd, (const uint8_t *)&head, sizeof(head))) {
        g_set_error(error, net_error(), 0, "filter-dump: cannot write '%s': %s", file, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct dump *dump = g_new0(struct dump, 1);
    dump->id = g_strdup(id);
    dump->netdev = g_strdup(netdev);
    dump->maxlen = (uint32_t)most;
    dump->fd = fd;
    dump->waiting = g_byte_array_new();
    g_mutex_init(&dump->mutex);
    g_cond_init(&dump->more);
    return dump;
}

bool net_dump_add(struct keyvalues *options, GError **error)
{
    struct dump *dump = dump_new(options, error);
    if (!dump)
        return false;
    dump->thread = g_thread_try_new("dump", writer_run, dump, error);
    if (!dump->thread) {
        dump_close(dump);
        return false;
    }
    machine_lock();
    struct net_backend *backend = net_backend_find(dump->netdev);
    if (backend) {
        if (!backend->dumps)
            backend->dumps = g_ptr_array_new();
        g_ptr_array_add(backend->dumps, dump);
        if (!dumps)
            dumps = g_ptr_array_new();
        g_ptr_array_add(dumps, dump);
    }
    machine_unlock();
    if (!backend) {
        g_set_error(error, net_error(), 0, "filter-dump: there is no -netdev with the id '%s'", dump->netdev);
        dump_close(dump);
    }
    return backend;
}

bool net_dump_remove(const char *id, GError **error)
{
    machine_lock();
    struct dump *dump = dump_find(id);
    if (dump) {
        struct net_backend *backend = net_backend_find(dump->netdev);
        g_ptr_array_remove(dumps, dump);
        if (backend)
            g_ptr_array_remove(backend->dumps, dump);
    }
    machine_unlock();
    if (!dump)
        return NET_FAIL("object '%s' not found", id);
    dump_close(dump);
    return true;
}

void net_dump_close_all(void)
{
    while (dumps && dumps->len)
        net_dump_remove(((struct dump *)g_ptr_array_index(dumps, 0))->id, NULL);
}
