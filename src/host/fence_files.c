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

static void allow_below(int rules, const char *path)
{
    struct stat about;
    struct landlock_path_beneath_attr beneath = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
    if (beneath.parent_fd < 0)
        return;
    bool is_dir = fstat(beneath.parent_fd, &about) == 0 && S_ISDIR(about.st_mode);
    beneath.allowed_access = is_dir ? READ : LANDLOCK_ACCESS_FS_READ_FILE;
    syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    close(beneath.parent_fd);
}

bool fence_files_only(const char *const *paths, unsigned count)
{
    const struct landlock_ruleset_attr attr = {.handled_access_fs = HANDLED};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (rules < 0)
        return false;
    for (unsigned i = 0; i < count; i++)
        allow_below(rules, paths[i]);
    bool ok = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return ok;
}
