/* A guest is moved from process to process while it runs: at random moments its machine is made to stand still, saved
 * to a buffer and torn down; another process builds it anew, loads the buffer and goes on.
 *
 *   mover MOMENTS SEED MILLISECONDS RINGER-OPTIONS...
 *
 * MILLISECONDS: longest time between two moments. Ends with the guest's own status (isa-debug-exit), or 1 when the
 * guest ended before MOMENTS were over. What is saved twice in a row without time passing must be the same bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/machine.h"
#include "cli/options.h"
#include "log.h"
#include "state/machine_state.h"

#define MOVED 99 /* status of a process that has saved its machine */

static struct machine *machine;
static int state_fd;

static void write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len) {
        ssize_t written = write(fd, bytes, len);
        if (written <= 0)
            g_error("mover: cannot write the state: %s", g_strerror(errno));
        bytes += written;
        len -= (size_t)written;
    }
}

/* Where the two differ first, by section. */
static void tell_difference(const GByteArray *a, const GByteArray *b)
{
    guint i = 0;
    while (i < a->len && i < b->len && a->data[i] == b->data[i])
        i++;
    guint near = i > 200 ? i - 200 : 0;
    fprintf(stderr, "mover: saved twice, differs at %u of %u and %u; before it:", i, a->len, b->len);
    for (guint k = near; k < i; k++)
        fputc(a->data[k] >= 32 && a->data[k] < 127 ? a->data[k] : '.', stderr);
    fputc('\n', stderr);
}

static gboolean moment(gpointer opaque)
{
    GByteArray *first = g_byte_array_new(), *second = g_byte_array_new();
    machine_pause(machine, PAUSE_SNAPSHOT);
    machine_save(machine, first);
    machine_save(machine, second);
    if (first->len != second->len || memcmp(first->data, second->data, first->len) != 0) {
        tell_difference(first, second);
        _exit(1);
    }
    if (ftruncate(state_fd, 0) < 0 || lseek(state_fd, 0, SEEK_SET) < 0)
        g_error("mover: %s", g_strerror(errno));
    write_all(state_fd, first->data, first->len);
    machine_quit(machine, MOVED);
    return G_SOURCE_REMOVE;
}

/* The child: loads what there is, and runs until the moment or the guest's end. */
static int carry(unsigned milliseconds, int argc, char **argv)
{
    struct options options;
    GError *error = NULL;
    off_t len = lseek(state_fd, 0, SEEK_END);
    if (!options_parse(argc, argv, &options, &error) || !(machine = machine_new(&options, &error))) {
        fprintf(stderr, "mover: %s\n", error->message);
        return 1;
    }
    if (len > 0) {
        const uint8_t *bytes = mmap(NULL, (size_t)len, PROT_READ, MAP_SHARED, state_fd, 0);
        if (bytes == MAP_FAILED || !machine_load(machine, bytes, (size_t)len, &error)) {
            fprintf(stderr, "mover: %s\n", error ? error->message : "cannot map the state");
            return 1;
        }
        munmap((void *)bytes, (size_t)len);
    }
    if (milliseconds)
        g_timeout_add(milliseconds, moment, NULL);
    int status = machine_run(machine);
    machine_free(machine);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: mover MOMENTS SEED MILLISECONDS RINGER-OPTIONS...\n");
        return 2;
    }
    unsigned moments = (unsigned)atoi(argv[1]), seed = (unsigned)atoi(argv[2]), longest = (unsigned)atoi(argv[3]);
    GRand *rand = g_rand_new_with_seed(seed);
    char *own = g_file_read_link("/proc/self/exe", NULL);
    argv[3] = own;
    state_fd = memfd_create("state", 0);
    if (g_getenv("MOVER_CHILD")) { /* started below, by its own name */
        state_fd = atoi(g_getenv("MOVER_CHILD"));
        return carry((unsigned)atoi(g_getenv("MOVER_MS")), argc - 3, argv + 3);
    }
    for (unsigned n = 0;; n++) {
        char fd[16], ms[16];
        g_snprintf(fd, sizeof(fd), "%d", state_fd);
        g_snprintf(ms, sizeof(ms), "%d", n < moments ? g_rand_int_range(rand, 1, (gint32)longest + 1) : 0);
        pid_t child = fork();
        if (child == 0) {
            setenv("MOVER_CHILD", fd, 1);
            setenv("MOVER_MS", ms, 1);
            char **args = g_memdup2(argv, sizeof(char *) * (size_t)(argc + 1));
            args[3] = (char *)"0";
            execv(own, args);
            _exit(1);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child)
            return 1;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != MOVED) {
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            fprintf(stderr, "mover: seed %u: %u moments, then status %d\n", seed, n, code);
            return n < moments ? (code ? code : 1) : code;
        }
    }
}
