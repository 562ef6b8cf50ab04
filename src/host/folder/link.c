/* A folder's process as a drive's thread sees it. See folder.h. */
#include <string.h>
#include <sys/socket.h>

#include "folder.h"
#include "host/process.h"
#include "log.h"
#include "order.h"

struct link {
    struct fat_source source; /* first */
    int socket;
    bool in_use, dead;
};

/* All that were ever made; the list is the main thread's and the drives' threads'. */
static GMutex mutex;
static GPtrArray *links;

static struct link *link_of(struct fat_source *source)
{
    return (struct link *)source;
}

static int link_die(struct link *link)
{
    if (!link->dead)
        log_user("the process behind '%s' has ended: the guest gets errors from now on", link->source.name);
    link->dead = true;
    return EIO;
}

static int answer_take(struct link *link)
{
    struct answer answer;
    char text[TEXT_MAX + 1];
    if (!socket_read(link->socket, &answer, sizeof(answer)) || answer.text_len > TEXT_MAX ||
        !socket_read(link->socket, text, answer.text_len))
        return link_die(link);
    text[answer.text_len] = 0;
    for (uint32_t at = 0; at < answer.text_len; at += (uint32_t)strlen(text + at) + 1)
        log_user("'%s': %s", link->source.name, text + at);
    if (answer.size != link->source.size)
        return link_die(link);
    return answer.code < 0 ? EIO : answer.code;
}

static int order_send(struct link *link, enum order_kind kind, uint64_t offset, uint32_t len)
{
    const struct order order = {(uint32_t)kind, len, offset};
    return !link->dead && socket_write(link->socket, &order, sizeof(order)) ? 0 : link_die(link);
}

static int simple(struct link *link, enum order_kind kind)
{
    int code = order_send(link, kind, 0, 0);
    return code ? code : answer_take(link);
}

static int link_read(struct fat_source *source, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    struct link *link = link_of(source);
    int code = 0;
    while (len > 0 && code == 0) {
        uint32_t piece = MIN(len, ORDER_MAX);
        code = order_send(link, ORDER_READ, offset, piece);
        if (code == 0)
            code = answer_take(link);
        if (code == 0 && !socket_read(link->socket, buffer, piece))
            code = link_die(link);
        offset += piece;
        buffer += piece;
        len -= piece;
    }
    return code;
}

static int link_write(struct fat_source *source, uint64_t offset, const uint8_t *buffer, uint32_t len)
{
    struct link *link = link_of(source);
    int code = 0;
    while (len > 0 && code == 0) {
        uint32_t piece = MIN(len, ORDER_MAX);
        code = order_send(link, ORDER_WRITE, offset, piece);
        if (code == 0 && !socket_write(link->socket, buffer, piece))
            code = link_die(link);
        if (code == 0)
            code = answer_take(link);
        offset += piece;
        buffer += piece;
        len -= piece;
    }
    return code;
}

static int link_flush(struct fat_source *source)
{
    return simple(link_of(source), ORDER_FLUSH);
}

static int link_refresh(struct fat_source *source)
{
    return simple(link_of(source), ORDER_REFRESH);
}

/* The process stays, for the next drive with that folder. */
static int link_close(struct fat_source *source)
{
    int code = simple(link_of(source), ORDER_FINISH);
    g_mutex_lock(&mutex);
    link_of(source)->in_use = false;
    g_mutex_unlock(&mutex);
    return code;
}

static void child_run(void *opaque)
{
    folder_process_main(opaque);
}

static struct link *link_make(const char *name, int folder, int store, const struct fat_options *options,
                              GError **error)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "has no process: %s", g_strerror(errno));
        return NULL;
    }
    const int given[FOLDER_FDS] = {pair[1], folder, store};
    pid_t pid = process_start("ringer-fat", given, FOLDER_FDS, child_run, (void *)options, error);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return NULL;
    }
    struct link *link = g_new0(struct link, 1);
    link->source = (struct fat_source){link_read, link_write, link_flush, link_refresh, link_close, 0, g_strdup(name)};
    link->socket = pair[0];
    struct answer answer;
    char text[TEXT_MAX + 1] = "its process has ended";
    bool ok = socket_read(link->socket, &answer, sizeof(answer)) && answer.text_len <= TEXT_MAX &&
              socket_read(link->socket, text, answer.text_len);
    const char *last = text;
    for (uint32_t at = 0; ok && at < answer.text_len; at += (uint32_t)strlen(text + at) + 1) {
        if (!answer.code)
            log_user("'%s': %s", name, text + at);
        last = text + at; /* why it cannot be opened comes behind what was left out */
    }
    if (ok && !answer.code) {
        link->source.size = answer.size;
        return link;
    }
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s", last);
    close(link->socket);
    g_free(link->source.name);
    g_free(link);
    return NULL;
}

static struct link *link_find(const char *name)
{
    for (unsigned i = 0; links && i < links->len; i++) {
        struct link *link = g_ptr_array_index(links, i);
        if (!link->dead && strcmp(link->source.name, name) == 0)
            return link;
    }
    return NULL;
}

/* Processes are made no more. */
static bool is_sealed;

static struct fat_source *again(const char *name, GError **error)
{
    g_mutex_lock(&mutex);
    struct link *link = link_find(name);
    bool is_free = link && !link->in_use;
    if (is_free)
        link->in_use = true;
    g_mutex_unlock(&mutex);
    if (!link && is_sealed)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                    "can only be used if a drive has had that name when the program was started");
    else if (link && !is_free)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "is in another drive already");
    else if (link && simple(link, ORDER_AGAIN))
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "cannot be read again");
    else
        return link ? &link->source : NULL;
    if (is_free)
        link->in_use = false;
    return NULL;
}

static struct fat_source *start(const char *name, int folder, int store, const struct fat_options *options,
                                GError **error)
{
    struct link *link = link_make(name, folder, store, options, error);
    if (link) {
        link->in_use = true;
        g_mutex_lock(&mutex);
        if (!links)
            links = g_ptr_array_new();
        g_ptr_array_add(links, link);
        g_mutex_unlock(&mutex);
    }
    close(folder);
    close(store);
    return link ? &link->source : NULL;
}

void folder_processes_use(void)
{
    image_fat_set_starter(start, again);
}

void folder_processes_seal(void)
{
    is_sealed = true;
}
