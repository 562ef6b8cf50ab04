/* Ports of the guest's network at which something of the host's answers: see guestfwd.h.
 *
 * libslirp connects each of the guest's connections to a Unix socket. Behind it is a process that was started before
 * the fence went up: it does what the command line says for that port, and takes no orders. Its sockets are in a folder
 * of its own, which it removes at the end.
 */
#include "guestfwd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/process.h"

#define SERVICES_MAX 16
#define END_US       2000000 /* for commands to end when they are told */
#define FAIL(...)    (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, __VA_ARGS__), false)

struct service {
    char *command;     /* a command for the shell, or NULL: */
    bool wants_tcp;    /* that command gets a TCP socket */
    char *host, *port; /* where to connect to */
    int listener;
};

struct guestfwds {
    Slirp *slirp;
    struct service service[SERVICES_MAX];
    unsigned count;
    char *folder; /* NULL: not made yet */
    char *smb_config;
};

struct guestfwds *guestfwds_new(Slirp *slirp, const struct user_config *config)
{
    struct guestfwds *guestfwds = g_new0(struct guestfwds, 1);
    guestfwds->slirp = slirp;
    return guestfwds;
}

static bool listen_at(struct guestfwds *guestfwds, struct service *service, struct in_addr server, int port,
                      GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!guestfwds->folder && !(guestfwds->folder = g_dir_make_tmp("ringer-net-XXXXXX", error)))
        return false;
    if ((size_t)g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/%u", guestfwds->folder, guestfwds->count) >=
        sizeof(address.sun_path))
        return FAIL("guestfwd: the name of the temporary folder '%s' is too long for a socket in it; set TMPDIR",
                    guestfwds->folder);
    service->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (service->listener < 0 || bind(service->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(service->listener, 64) < 0)
        return FAIL("guestfwd: no socket in %s: %s", guestfwds->folder, g_strerror(errno));
    if (slirp_add_unix(guestfwds->slirp, address.sun_path, &server, port) < 0)
        return FAIL("guestfwd: port %d of %s cannot be forwarded (the gateway's and the name server's cannot)", port,
                    inet_ntoa(server));
    guestfwds->count++;
    return true;
}

bool guestfwds_add(struct guestfwds *guestfwds, const char *rule, GError **error)
{
    const char *at = g_str_has_prefix(rule, "tcp:") ? rule + 4 : rule[0] == ':' ? rule + 1 : NULL;
    const char *dash = at ? strchr(at, '-') : NULL;
    char *where = dash ? g_strndup(at, (gsize)(dash - at)) : NULL, *colon = where ? strrchr(where, ':') : NULL;
    struct in_addr server = {0};
    uint64_t port;
    bool ok = colon && value_is_number(colon + 1, 65535, &port) && port;
    if (ok)
        *colon = 0;
    ok = ok && (!*where || inet_aton(where, &server));
    g_free(where);
    if (!ok)
        return FAIL("guestfwd: '%s' is not a rule such as tcp:10.0.2.100:80-cmd:netcat localhost 8080", rule);
    if (guestfwds->count == SERVICES_MAX)
        return FAIL("guestfwd: there are %u at most", SERVICES_MAX);
    const char *device = dash + 1;
    struct service *service = &guestfwds->service[guestfwds->count];
    if (g_str_has_prefix(device, "cmd:")) {
        if (!netproc_may_run("guestfwd= with a command", error))
            return false;
        service->command = g_strdup(device + 4);
    } else if (g_str_has_prefix(device, "tcp:")) {
        const char *last = strrchr(device + 4, ':');
        if (!last)
            return FAIL("guestfwd: '%s' is tcp:HOST:PORT", device);
        service->host = g_strndup(device + 4, (gsize)(last - device - 4));
        service->port = g_strndup(last + 1, strcspn(last + 1, ","));
    } else if (g_str_has_prefix(device, "unix:")) {
        char *path = g_strndup(device + 5, strcspn(device + 5, ","));
        ok = slirp_add_unix(guestfwds->slirp, path, &server, (int)port) == 0;
        g_free(path);
        return ok || FAIL("guestfwd: port %d cannot be forwarded", (int)port);
    } else {
        return FAIL("guestfwd: '%s' is cmd:COMMAND, tcp:HOST:PORT or unix:PATH", device);
    }
    return listen_at(guestfwds, service, server, (int)port, error);
}

/* --- smb: Samba's server, a process for each connection --- */

/* Samba has no way to write a name into smb.conf that means nothing else: an end of line begins the next setting, %
 * stands for what the client says, a backslash at the end joins lines, blanks and quotes are cut off. So the folder
 * that is shared has none there: it is behind a symbolic link in our own folder, whose name has to be plain. Samba
 * resolves the share's own path; links in it that lead out of it are refused ("wide links", off by default). */
static bool is_plain_path(const char *path)
{
    for (const char *at = path; *at; at++) {
        if (!g_ascii_isalnum(*at) && !strchr("/._-+,@=: ", *at) && (*at & 0x80) == 0)
            return false;
    }
    return g_utf8_validate(path, -1, NULL);
}

static bool smb_config_write(struct guestfwds *guestfwds, const char *path, GError **error)
{
    const char *folder = guestfwds->folder;
    char *shared = realpath(path, NULL), *link = g_strdup_printf("%s/shared", folder);
    bool ok = (shared && symlink(shared, link) == 0) || FAIL("smb=%s cannot be shared: %s", path, g_strerror(errno));
    ok = ok &&
         (g_utf8_validate(shared, -1, NULL) || FAIL("smb=%s: Samba serves no folder whose name is not UTF-8", path));
    guestfwds->smb_config = g_strdup_printf("%s/smb.conf", folder);
    char *text = g_strdup_printf("[global]\n"
                                 "private dir = %s\npid directory = %s\nlock directory = %s\n"
                                 "state directory = %s\ncache directory = %s\nncalrpc dir = %s\n"
                                 "log file = %s/log\nserver min protocol = NT1\nntlm auth = yes\n"
                                 "security = user\nmap to guest = Bad User\nload printers = no\nprinting = bsd\n"
                                 "disable spoolss = yes\nusershare max shares = 0\n"
                                 "change notify = no\n" /* its daemon may be late: no memory, a client is told */
                                 "[qemu]\npath = %s\nread only = yes\nguest ok = yes\nforce user = %s\n",
                                 folder, folder, folder, folder, folder, folder, folder, link, g_get_user_name());
    ok = ok && g_file_set_contents(guestfwds->smb_config, text, -1, error);
    g_free(text);
    g_free(link);
    free(shared);
    return ok;
}

static bool smb_service_add(struct guestfwds *guestfwds, const char *smbd, struct in_addr server, int port,
                            GError **error)
{
    if (guestfwds->count == SERVICES_MAX)
        return FAIL("smb: too many guestfwd beside it");
    char *program = g_shell_quote(smbd), *folder = g_shell_quote(guestfwds->folder);
    char *config = g_shell_quote(guestfwds->smb_config);
    struct service *service = &guestfwds->service[guestfwds->count];
    service->command = g_strdup_printf("exec %s -l %s -s %s", program, folder, config);
    service->wants_tcp = true; /* a client without an address is sent away */
    g_free(program);
    g_free(folder);
    g_free(config);
    return listen_at(guestfwds, service, server, port, error);
}

static bool smb_add(struct guestfwds *guestfwds, const char *path, struct in_addr server, GError **error)
{
    char *smbd = g_find_program_in_path("smbd");
    if (!smbd && g_file_test("/usr/sbin/smbd", G_FILE_TEST_IS_EXECUTABLE))
        smbd = g_strdup("/usr/sbin/smbd");
    bool ok =
        netproc_may_run("smb=", error) &&
        (smbd || FAIL("smb=%s needs Samba's smbd; install the package samba", path)) &&
        (is_plain_path(g_get_tmp_dir()) ||
         FAIL("smb: Samba cannot keep its files in the temporary folder '%s'; set TMPDIR to one with a plain name",
              g_get_tmp_dir()));
    ok = ok && (guestfwds->folder || (guestfwds->folder = g_dir_make_tmp("ringer-net-XXXXXX", error)));
    ok = ok && smb_config_write(guestfwds, path, error) && smb_service_add(guestfwds, smbd, server, 139, error) &&
         smb_service_add(guestfwds, smbd, server, 445, error);
    g_free(smbd);
    return ok;
}

/* --- The process that serves them --- */

static int connect_to(const struct service *service)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int fd = -1;
    if (getaddrinfo(service->host, service->port, &hints, &list) != 0)
        return -1;
    for (const struct addrinfo *one = list; one && fd < 0; one = one->ai_next) {
        fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, one->ai_addr, one->ai_addrlen) < 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

/* One way of a connection, with what has been read and not yet written. */
struct way {
    int from, to;
    size_t at, len;
    bool ended; /* nothing more comes */
    char bytes[16384];
};

/* False: the other end is gone. */
static bool way_move(struct way *way, short in, short out)
{
    if (!way->len && !way->ended && in) {
        ssize_t len = read(way->from, way->bytes, sizeof(way->bytes));
        if (len > 0) {
            way->at = 0;
            way->len = (size_t)len;
        } else if (len == 0 || (errno != EAGAIN && errno != EINTR)) {
            way->ended = true;
            shutdown(way->to, SHUT_WR);
        }
    }
    if (way->len && (in || out)) {
        ssize_t len = write(way->to, way->bytes + way->at, way->len);
        if (len < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        way->at += len > 0 ? (size_t)len : 0;
        way->len -= len > 0 ? (size_t)len : 0;
    }
    return true;
}

/* Both ways, neither waits for the other. */
static void relay(int a, int b)
{
    static struct way ways[2];
    ways[0] = (struct way){.from = a, .to = b};
    ways[1] = (struct way){.from = b, .to = a};
    fcntl(a, F_SETFL, fcntl(a, F_GETFL) | O_NONBLOCK);
    fcntl(b, F_SETFL, fcntl(b, F_GETFL) | O_NONBLOCK);
    while (!ways[0].ended || !ways[1].ended || ways[0].len || ways[1].len) {
        struct pollfd both[2] = {{a, 0, 0}, {b, 0, 0}};
        for (unsigned i = 0; i < 2; i++) {
            both[i].events |= !ways[i].len && !ways[i].ended ? POLLIN : 0;
            both[1 - i].events |= ways[i].len ? POLLOUT : 0;
        }
        if (poll(both, 2, -1) < 0 && errno != EINTR)
            return;
        for (unsigned i = 0; i < 2; i++) {
            if (!way_move(&ways[i], both[i].revents & (POLLIN | POLLHUP | POLLERR),
                          both[1 - i].revents & (POLLOUT | POLLHUP | POLLERR)))
                return;
        }
    }
}

/* Two ends of a TCP connection with nobody else's. */
static bool tcp_pair(int pair[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, own, peer;
    socklen_t size = sizeof(address), own_size = size, peer_size = size;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
        connect(pair[0], (struct sockaddr *)&address, size) < 0 ||
        getsockname(pair[0], (struct sockaddr *)&own, &own_size) < 0)
        return false;
    pair[1] = accept4(listener, (struct sockaddr *)&peer, &peer_size, SOCK_CLOEXEC);
    close(listener);
    return pair[1] >= 0 && peer.sin_port == own.sin_port && peer.sin_addr.s_addr == own.sin_addr.s_addr;
}

_Noreturn static void command_run(const char *command, int client)
{
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setsid(); /* smbd ends with all of its process group */
    dup2(client, STDIN_FILENO);
    dup2(client, STDOUT_FILENO);
    close_range(STDERR_FILENO + 1, ~0u, 0);
    execl("/bin/sh", "sh", "-c", command, NULL);
    _exit(127);
}

_Noreturn static void serve(const struct service *service, int client)
{
    int pair[2];
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* it ends with whom it serves */
    if (service->wants_tcp && tcp_pair(pair)) {
        if (fork() == 0)
            command_run(service->command, pair[1]);
        close(pair[1]);
        relay(client, pair[0]);
        _exit(0);
    }
    if (service->command)
        command_run(service->command, client);
    int fd = connect_to(service);
    if (fd >= 0)
        relay(client, fd);
    _exit(0);
}

static void folder_remove(const char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        char *path = g_build_filename(folder, name, NULL);
        struct stat about;
        if (lstat(path, &about) == 0 && S_ISDIR(about.st_mode))
            folder_remove(path); /* Samba makes some */
        else
            unlink(path);
        g_free(path);
    }
    if (dir)
        g_dir_close(dir);
    rmdir(folder);
}

_Noreturn static void accept_all(const struct guestfwds *guestfwds)
{
    struct pollfd fds[SERVICES_MAX + 1];
    unsigned count = guestfwds->count;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    for (unsigned i = 0; i <= count; i++)
        fds[i] = (struct pollfd){PROCESS_FD + (int)i, POLLIN, 0};
    for (;;) {
        if (poll(fds, count + 1, -1) < 0)
            continue;
        if (fds[count].revents)
            _exit(0);
        for (unsigned i = 0; i < count; i++) {
            int client = fds[i].revents & POLLIN ? accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;
            if (client < 0)
                continue;
            if (fork() == 0)
                serve(&guestfwds->service[i], client);
            close(client);
        }
    }
}

/* Another one accepts: with it end all that serve, and what those have started, and then their folder goes. */
static void server_run(void *opaque)
{
    const struct guestfwds *guestfwds = opaque;
    prctl(PR_SET_PDEATHSIG, 0); /* it has something to put away */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t acceptor = fork();
    if (acceptor == 0)
        accept_all(guestfwds);
    close_range(PROCESS_FD, PROCESS_FD + guestfwds->count, 0);
    while (waitpid(-1, NULL, 0) != acceptor && errno != ECHILD)
        continue;
    for (int64_t end = g_get_monotonic_time() + END_US; g_get_monotonic_time() < end; g_usleep(5000)) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            continue;
        if (pid < 0)
            break;
    }
    folder_remove(guestfwds->folder);
    _exit(0);
}

bool guestfwds_start(struct guestfwds *guestfwds, const char *smb, struct in_addr smb_server, GError **error)
{
    int fds[SERVICES_MAX + 1], pair[2];
    if (smb && !smb_add(guestfwds, smb, smb_server, error)) {
        if (guestfwds->folder)
            folder_remove(guestfwds->folder);
        return false;
    }
    if (!guestfwds->count)
        return true;
    if (pipe2(pair, O_CLOEXEC) < 0)
        return FAIL("no pipe: %s", g_strerror(errno));
    for (unsigned i = 0; i < guestfwds->count; i++)
        fds[i] = guestfwds->service[i].listener;
    fds[guestfwds->count] = pair[0];
    bool ok = process_start("ringer-guestfwd", fds, guestfwds->count + 1, server_run, guestfwds, error) > 0;
    close(pair[0]); /* the other end stays open as long as we live */
    for (unsigned i = 0; i < guestfwds->count; i++)
        close(guestfwds->service[i].listener);
    return ok;
}
