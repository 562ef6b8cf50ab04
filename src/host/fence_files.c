/* Which files a process may still open: Landlock (Linux 5.13, landlock(7)), which needs no privilege.
 *
 * Only reading is left, and only below what is named; what is open already stays usable. Where the kernel has no
 * Landlock, the list of system calls alone says that nothing is opened for writing.
 */
#include "fence_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define HANDLED /* all that its first version knows */ ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static void allow_below(int rules, const char *path, uint64_t more)
{
    struct stat about;
    struct landlock_path_beneath_attr beneath = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
    if (beneath.parent_fd < 0)
        return;
    bool is_dir = fstat(beneath.parent_fd, &about) == 0 && S_ISDIR(about.st_mode);
    beneath.allowed_access = (is_dir ? READ : LANDLOCK_ACCESS_FS_READ_FILE) | more;
    syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    close(beneath.parent_fd);
}

static bool enter(int rules)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
}

bool fence_files_devices(const char *const *paths, unsigned count, const char *devices)
{
    const struct landlock_ruleset_attr attr = {.handled_access_fs = HANDLED};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (rules < 0)
        return false;
    for (unsigned i = 0; i < count; i++)
        allow_below(rules, paths[i], 0);
    if (devices)
        allow_below(rules, devices, LANDLOCK_ACCESS_FS_WRITE_FILE);
    bool ok = enter(rules);
    close(rules);
    return ok;
}

bool fence_files_only(const char *const *paths, unsigned count)
{
    return fence_files_devices(paths, count, NULL);
}

/* Of later versions of the kernel's (2, 3 and 5), which the host's headers may not know. */
#define REFER     (1ull << 13)
#define TRUNCATE  (1ull << 14)
#define IOCTL_DEV (1ull << 15)

#define WRITE \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | REFER | TRUNCATE)

bool fence_files_below(int folder, bool read_only)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    const struct landlock_ruleset_attr attr = {.handled_access_fs = HANDLED | (version >= 2 ? REFER : 0) |
                                                                    (version >= 3 ? TRUNCATE : 0) |
                                                                    (version >= 5 ? IOCTL_DEV : 0)};
    struct landlock_path_beneath_attr beneath = {.parent_fd = folder};
    int rules = version < 1 ? -1 : (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (rules < 0)
        return false;
    beneath.allowed_access = (READ | (read_only ? 0 : WRITE)) & attr.handled_access_fs;
    bool ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0 && enter(rules);
    close(rules);
    return ok;
}
