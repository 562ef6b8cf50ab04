/* The monitor's fence, from inside: each call in a process of its own that has entered it. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/fence.h"

#define DIED_BY_SIGSYS (-1)

/* errno of call() behind a fence, 0 if it succeeded, DIED_BY_SIGSYS. */
static int behind(bool (*enter)(const void *needs), const void *needs, long (*call)(void))
{
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        signal(SIGSYS, SIG_DFL);
        if (!enter(needs))
            _exit(200);
        errno = 0;
        _exit(call() < 0 ? errno : 0);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (WIFSIGNALED(status)) {
        g_assert_cmpint(WTERMSIG(status), ==, SIGSYS);
        return DIED_BY_SIGSYS;
    }
    g_assert_cmpint(WEXITSTATUS(status), !=, 200);
    return WEXITSTATUS(status);
}

static bool enter_monitors(const void *needs)
{
    GError *error = NULL;
    return fence_enter(needs, &error);
}

static bool enter_dialers(const void *needs)
{
    return fence_enter_dialer();
}

static bool enter_networks(const void *needs)
{
    return fence_enter_network(needs);
}

/* needs: NULL: the dialer's fence. */
static int behind_fence(const struct fence_needs *needs, long (*call)(void))
{
    return behind(needs ? enter_monitors : enter_dialers, needs, call);
}

static const struct fence_needs nothing, all = {true, true, true, true, true};

static long call_all_of_a_day(void);

/* --- calls --- */

static long call_execve(void)
{
    char *const argv[] = {(char *)"/bin/true", NULL};
    return execve("/bin/true", argv, argv + 1);
}
static long call_execveat(void)
{
    char *const none[] = {NULL};
    return syscall(SYS_execveat, AT_FDCWD, "/bin/true", none, none, 0);
}
static long call_fork(void)
{
    return syscall(SYS_fork);
}
static long call_clone_process(void)
{
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}
static long call_ptrace_attach(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), 0, 0);
}
static long call_process_vm_readv(void)
{
    return syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}
static long call_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}
static long call_socket_unix(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}
static long call_pty(void)
{
    char path[64];
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    return fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, path, sizeof(path)) != 0 ? -1 : 0;
}
static int pair[2]; /* made before */
static long call_sockname(void)
{
    struct sockaddr at;
    socklen_t len = sizeof(at);
    return getsockname(pair[0], &at, &len);
}
static long call_accept(void)
{
    return accept4(pair[0], NULL, NULL, SOCK_CLOEXEC);
}
static long call_recvmsg(void)
{
    struct msghdr message = {0};
    return recvmsg(pair[0], &message, MSG_DONTWAIT);
}
static long call_sendmsg(void)
{
    struct msghdr message = {0};
    return sendmsg(pair[0], &message, MSG_DONTWAIT);
}
static long call_bind(void)
{
    const struct sockaddr at = {.sa_family = AF_UNIX};
    return bind(pair[0], &at, sizeof(at.sa_family));
}
static long call_listen(void)
{
    return listen(pair[0], 1);
}
static long call_connect(void)
{
    const struct sockaddr at = {.sa_family = AF_UNSPEC};
    return connect(pair[0], &at, sizeof(at));
}
static long call_open(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}
static long call_create(void)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd;
}
static long call_unlink(void)
{
    return unlink("/nowhere/at-all");
}
static long call_exec_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}
static uint8_t page[8192] __attribute__((aligned(4096)));
static long call_exec_protect(void)
{
    return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}
static long call_mount(void)
{
    return syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL);
}
static long call_setuid(void)
{
    return syscall(SYS_setuid, 65534);
}
static long call_kill_parent(void)
{
    return kill(getppid(), SIGCONT);
}
static long call_signal_parent(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), SIGCONT);
}
static long call_chmod(void)
{
    return syscall(SYS_chmod, "/nowhere", 0777);
}
static long call_ioctl(void)
{
    return syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI: types on the terminal */, "x");
}
static long call_kvm_ioctl(void)
{
    return syscall(SYS_ioctl, -1, 0xae80 /* KVM_RUN */, 0);
}
/* Numbers of the 32-bit and x32 interfaces must not be a way around. */
static long call_int80_open(void)
{
    long rc;
    static char path[] = "/etc/passwd";
    char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED)
        return 0;
    memcpy(low, path, sizeof(path));
    __asm__ volatile("int $0x80"
                     : "=a"(rc)
                     : "a"(5), "b"(low), "c"(O_RDONLY), "d"(0)
                     : "memory", "r8", "r9", "r10", "r11");
    errno = rc < 0 ? (int)-rc : 0;
    return rc;
}
static long call_x32_open(void)
{
    return syscall(0x40000000 | SYS_open, "/etc/passwd", O_RDONLY);
}

static void test_hostile(void)
{
    long (*const calls[])(void) = {call_execve,           call_execveat, call_fork,   call_ptrace_attach,
                                   call_process_vm_readv, call_mount,    call_setuid, call_int80_open};
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++)
        g_assert_cmpint(behind_fence(&nothing, calls[i]), ==, DIED_BY_SIGSYS);
    /* With all of the extras on: what cells need is no more than that. */
    g_assert_cmpint(behind_fence(&all, call_execve), ==, DIED_BY_SIGSYS);
    g_assert_cmpint(behind_fence(&all, call_fork), ==, DIED_BY_SIGSYS);
    g_assert_cmpint(behind_fence(&all, call_process_vm_readv), ==, DIED_BY_SIGSYS);
    g_assert_cmpint(behind_fence(&all, call_int80_open), ==, DIED_BY_SIGSYS);
    g_assert_cmpint(behind_fence(&all, call_execveat), ==, EPERM);
    g_assert_cmpint(behind_fence(&all, call_ptrace_attach), ==, EPERM);
}

static void test_refused(void)
{
    long (*const calls[])(void) = {call_socket,   call_socket_unix, call_open,          call_create,
                                   call_unlink,   call_exec_memory, call_exec_protect,  call_clone_process,
                                   call_chmod,    call_kill_parent, call_signal_parent, call_ioctl,
                                   call_kvm_ioctl};
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++)
        g_assert_cmpint(behind_fence(&nothing, calls[i]), ==, EPERM);
    g_assert_cmpint(behind_fence(&all, call_socket), ==, EPERM);
    g_assert_cmpint(behind_fence(&all, call_chmod), ==, EPERM);
    g_assert_cmpint(behind_fence(&all, call_ioctl), ==, EPERM);
    g_assert_cmpint(behind_fence(&all, call_clone_process), ==, EPERM);
    int x32 = behind_fence(&nothing, call_x32_open);
    g_assert_true(x32 == DIED_BY_SIGSYS || x32 == ENOSYS || x32 == EPERM);
}

/* The monitor uses sockets, and makes none; whoever makes them does nothing else. */
static void test_sockets(void)
{
    const struct fence_needs clients = {.clients = true};
    long (*const uses[])(void) = {call_sockname, call_accept, call_recvmsg};
    long (*const makes[])(void) = {call_socket, call_socket_unix, call_bind, call_listen, call_connect};
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(uses); i++) {
        g_assert_cmpint(behind_fence(&nothing, uses[i]), ==, EPERM);
        g_assert_cmpint(behind_fence(&clients, uses[i]), !=, EPERM);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(makes); i++) {
        g_assert_cmpint(behind_fence(&all, makes[i]), ==, EPERM);
        g_assert_cmpint(behind_fence(NULL, makes[i]), !=, EPERM);
        g_assert_cmpint(behind_fence(NULL, makes[i]), !=, DIED_BY_SIGSYS);
    }
    g_assert_cmpint(behind_fence(&all, call_sendmsg), ==, EPERM); /* no descriptor of ours goes out */
    long (*const hostile_calls[])(void) = {call_execve,           call_execveat, call_fork,      call_ptrace_attach,
                                           call_process_vm_readv, call_mount,    call_int80_open};
    for (unsigned i = 0; i < G_N_ELEMENTS(hostile_calls); i++)
        g_assert_cmpint(behind_fence(NULL, hostile_calls[i]), ==, DIED_BY_SIGSYS);
    long (*const refused[])(void) = {call_create, call_exec_memory, call_exec_protect, call_clone_process,
                                     call_chmod,  call_kill_parent, call_ioctl};
    for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++)
        g_assert_cmpint(behind_fence(NULL, refused[i]), ==, EPERM);
    g_assert_cmpint(behind_fence(NULL, call_open), ==, 0); /* names are looked up in files */
    g_assert_cmpint(behind_fence(NULL, call_all_of_a_day), ==, 0);
    close(pair[0]);
    close(pair[1]);
}

/* A process with a network in it: sockets and nothing else; what user networking reads for names and TFTP. */
static char folder[] = "/tmp/fence-XXXXXX";

static long call_open_in_folder(void)
{
    char *path = g_build_filename(folder, "file", NULL);
    return open(path, O_RDONLY | O_CLOEXEC);
}
static long call_create_in_folder(void)
{
    char *path = g_build_filename(folder, "new", NULL);
    return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}
static long call_leave_folder(void)
{
    char *path = g_build_filename(folder, "../../etc/passwd", NULL);
    return open(path, O_RDONLY | O_CLOEXEC);
}
static long call_resolv_conf(void)
{
    return open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
}

static void test_network(void)
{
    const struct fence_network none = {0}, names = {.name_servers = true}, tftp = {.folder = folder};
    const struct fence_network *const kinds[] = {&none, &names, &tftp};
    long (*const uses[])(void) = {call_socket, call_socket_unix, call_bind, call_listen, call_connect, call_sendmsg};
    long (*const hostile_calls[])(void) = {call_execve,           call_execveat, call_fork,      call_ptrace_attach,
                                           call_process_vm_readv, call_mount,    call_int80_open};
    long (*const refused[])(void) = {call_create, call_unlink,      call_exec_memory, call_exec_protect,
                                     call_chmod,  call_kill_parent, call_ioctl,       call_clone_process};
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_nonnull(g_mkdtemp(folder));
    char *path = g_build_filename(folder, "file", NULL);
    g_assert_true(g_file_set_contents(path, "x", 1, NULL));
    for (unsigned kind = 0; kind < G_N_ELEMENTS(kinds); kind++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(uses); i++) {
            g_assert_cmpint(behind(enter_networks, kinds[kind], uses[i]), !=, EPERM);
            g_assert_cmpint(behind(enter_networks, kinds[kind], uses[i]), !=, DIED_BY_SIGSYS);
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(hostile_calls); i++)
            g_assert_cmpint(behind(enter_networks, kinds[kind], hostile_calls[i]), ==, DIED_BY_SIGSYS);
        for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++)
            g_assert_cmpint(behind(enter_networks, kinds[kind], refused[i]), ==, EPERM);
    }
    g_assert_cmpint(behind(enter_networks, &none, call_open), ==, EPERM);
    g_assert_cmpint(behind(enter_networks, &names, call_resolv_conf), ==, 0);
    g_assert_cmpint(behind(enter_networks, &tftp, call_open_in_folder), ==, 0);
    g_assert_cmpint(behind(enter_networks, &tftp, call_create_in_folder), ==, EPERM);
    /* The kernel may have no Landlock: then only writing is refused. */
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0) {
        g_assert_cmpint(behind(enter_networks, &tftp, call_leave_folder), ==, EACCES);
        g_assert_cmpint(behind(enter_networks, &tftp, call_resolv_conf), ==, EACCES);
        if (geteuid() == 0) {
            g_assert_cmpint(behind(enter_networks, &names, call_open), ==, EACCES);
        }
    } else {
        g_test_message("this kernel has no Landlock");
    }
    unlink(path);
    rmdir(folder);
    g_free(path);
    close(pair[0]);
    close(pair[1]);
}

/* A process with a folder of the host's: files below it, by whatever name, and nothing else. */
static char shared[] = "/tmp/fence-XXXXXX";
static int shared_fd = -1, secret_fd = -1;

static bool enter_folders(const void *read_only)
{
    return fence_enter_folder(shared_fd, *(const bool *)read_only);
}
static long call_folder_read(void)
{
    return openat(shared_fd, "file", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}
static long call_folder_reopen(void)
{
    char path[64];
    int fd = openat(shared_fd, "file", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}
static long call_folder_write(void)
{
    return openat(shared_fd, "file", O_WRONLY | O_TRUNC | O_CLOEXEC);
}
static long call_folder_create(void)
{
    return openat(shared_fd, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}
static long call_folder_names(void)
{
    return mkdirat(shared_fd, "d", 0700) < 0 || renameat(shared_fd, "d", shared_fd, "e") < 0 ||
                   unlinkat(shared_fd, "e", AT_REMOVEDIR) < 0 || symlinkat("x", shared_fd, "s") < 0 ||
                   unlinkat(shared_fd, "s", 0) < 0 || mknodat(shared_fd, "p", S_IFIFO | 0600, 0) < 0 ||
                   unlinkat(shared_fd, "p", 0) < 0
               ? -1
               : 0;
}
static long call_folder_device(void)
{
    return mknodat(shared_fd, "null", S_IFCHR | 0666, 0x103);
}
static long call_folder_leave(void)
{
    return openat(shared_fd, "../../etc/passwd", O_RDONLY | O_CLOEXEC);
}
static long call_folder_elsewhere(void)
{
    return mkdirat(secret_fd, "d", 0700);
}
static long call_folder_link_out(void)
{
    return linkat(shared_fd, "file", secret_fd, "linked", 0);
}
static long call_eventfd_read(void)
{
    uint64_t count;
    return read(shared_fd, &count, 0) < 0 && errno == EPERM ? -1 : 0;
}

static void test_folder(void)
{
    static const bool yes = true, no = false;
    static char elsewhere[] = "/tmp/fence-XXXXXX";
    long (*const hostile_calls[])(void) = {call_execve,           call_execveat, call_fork,      call_ptrace_attach,
                                           call_process_vm_readv, call_mount,    call_int80_open};
    long (*const refused[])(void) = {call_socket,        call_socket_unix, call_bind,          call_connect,
                                     call_accept,        call_sendmsg,     call_recvmsg,       call_exec_memory,
                                     call_exec_protect,  call_kill_parent, call_signal_parent, call_ioctl,
                                     call_clone_process, call_pty,         call_folder_device};
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_nonnull(g_mkdtemp(shared));
    g_assert_nonnull(g_mkdtemp(elsewhere));
    char *path = g_build_filename(shared, "file", NULL), *new = g_build_filename(shared, "new", NULL);
    g_assert_true(g_file_set_contents(path, "x", 1, NULL));
    shared_fd = open(shared, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    secret_fd = open(elsewhere, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool *const kinds[] = {&yes, &no};
    for (unsigned kind = 0; kind < 2; kind++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(hostile_calls); i++)
            g_assert_cmpint(behind(enter_folders, kinds[kind], hostile_calls[i]), ==, DIED_BY_SIGSYS);
        for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
            int why = behind(enter_folders, kinds[kind], refused[i]);
            g_assert_true(why == EPERM || (why == EACCES && refused[i] == call_pty));
        }
        g_assert_cmpint(behind(enter_folders, kinds[kind], call_folder_read), ==, 0);
        g_assert_cmpint(behind(enter_folders, kinds[kind], call_folder_reopen), ==, 0);
        g_assert_cmpint(behind(enter_folders, kinds[kind], call_eventfd_read), ==, 0);
    }
    g_assert_cmpint(behind(enter_folders, &no, call_folder_write), ==, 0);
    g_assert_cmpint(behind(enter_folders, &no, call_folder_create), ==, 0);
    g_assert_cmpint(behind(enter_folders, &no, call_folder_names), ==, 0);
    g_assert_cmpint(behind(enter_folders, &yes, call_folder_names), ==, EPERM);
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0) {
        long (*const elsewhere_calls[])(void) = {call_open, call_folder_leave, call_folder_elsewhere};
        for (unsigned i = 0; i < G_N_ELEMENTS(elsewhere_calls); i++)
            g_assert_cmpint(behind(enter_folders, &no, elsewhere_calls[i]), ==, EACCES);
        g_assert_cmpint(behind(enter_folders, &yes, call_folder_write), ==, EACCES);
        g_assert_cmpint(behind(enter_folders, &no, call_folder_link_out), !=, 0);
    } else {
        g_test_message("this kernel has no Landlock");
    }
    unlink(path);
    unlink(new);
    rmdir(shared);
    rmdir(elsewhere);
    g_free(path);
    g_free(new);
    close(shared_fd);
    close(secret_fd);
    close(pair[0]);
    close(pair[1]);
}

/* Each extra opens its own door. */
static void test_extras(void)
{
    g_assert_cmpint(behind_fence(&(struct fence_needs){.files = true}, call_open), ==, 0);
    g_assert_cmpint(behind_fence(&(struct fence_needs){.files = true, .clients = true}, call_pty), ==, 0);
    g_assert_cmpint(behind_fence(&nothing, call_pty), ==, EPERM);
    g_assert_cmpint(behind_fence(&(struct fence_needs){.removes = true}, call_unlink), ==, ENOENT);
    g_assert_cmpint(behind_fence(&(struct fence_needs){.clients = true}, call_open), ==, EPERM);
    g_assert_cmpint(behind_fence(&(struct fence_needs){.kvm = true}, call_kvm_ioctl), ==, EBADF);
    g_assert_cmpint(behind_fence(&(struct fence_needs){.cells = true}, call_exec_protect), ==, 0);
    g_assert_cmpint(behind_fence(&(struct fence_needs){.cells = true}, call_open), ==, EPERM);
}

/* --- what a running machine does --- */

static void *thread(void *opaque)
{
    g_usleep(1000);
    return opaque;
}

static long call_all_of_a_day(void)
{
    static int token;
    pthread_t id;
    void *result;
    char *memory = malloc(1 << 22);
    if (!memory)
        return -1;
    memset(memory, 1, 1 << 22);
    free(memory);
    if (pthread_create(&id, NULL, thread, &token) != 0 || pthread_join(id, &result) != 0 || result != &token)
        return -1;
    GMainContext *context = g_main_context_new();
    g_main_context_iteration(context, FALSE);
    g_main_context_unref(context);
    g_usleep(10);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    return g_get_monotonic_time() > 0 && time(NULL) > 0 ? 0 : -1;
}

static void test_life_goes_on(void)
{
    g_assert_cmpint(behind_fence(&nothing, call_all_of_a_day), ==, 0);
    g_assert_cmpint(behind_fence(&all, call_all_of_a_day), ==, 0);
}

/* Threads that were there before are inside, too. */
static pthread_barrier_t entered;
static int other_result;

static void *other(void *opaque)
{
    pthread_barrier_wait(&entered);
    other_result = open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
    return NULL;
}

static void test_threads(void)
{
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        pthread_t id;
        pthread_barrier_init(&entered, NULL, 2);
        if (pthread_create(&id, NULL, other, NULL) != 0 || !fence_enter(&nothing, NULL))
            _exit(1);
        pthread_barrier_wait(&entered);
        pthread_join(id, NULL);
        _exit(other_result == EPERM ? 0 : 2);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    GError *error = NULL;
    pid_t pid = fork();
    if (pid == 0)
        _exit(fence_enter(&nothing, &error) ? 0 : 77);
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        g_print("1..0 # SKIP this host allows no seccomp filter\n");
        return 77;
    }
    g_test_add_func("/fence/hostile", test_hostile);
    g_test_add_func("/fence/refused", test_refused);
    g_test_add_func("/fence/extras", test_extras);
    g_test_add_func("/fence/sockets", test_sockets);
    g_test_add_func("/fence/network", test_network);
    g_test_add_func("/fence/folder", test_folder);
    g_test_add_func("/fence/life_goes_on", test_life_goes_on);
    g_test_add_func("/fence/threads", test_threads);
    return g_test_run();
}
