/* In a guest, on a file of a folder of the host: extended attributes, and a mapping that is written to.
 *
 *     p9use FILE [nomap]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SIZE 100000

static int fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    char text[256] = "", names[256] = "";
    int fd = argc > 1 ? open(argv[1], O_RDWR | O_CREAT, 0644) : -1;
    if (fd < 0 || ftruncate(fd, SIZE) < 0)
        return fail("open");
    if (setxattr(argv[1], "user.one", "first", 5, XATTR_CREATE) < 0 || fsetxattr(fd, "user.two", "second", 6, 0) < 0)
        return fail("setxattr");
    if (setxattr(argv[1], "user.one", "x", 1, XATTR_CREATE) == 0 || errno != EEXIST)
        return fail("XATTR_CREATE");
    if (getxattr(argv[1], "user.one", text, sizeof(text)) != 5 || strcmp(text, "first") != 0)
        return fail("getxattr");
    if (listxattr(argv[1], names, sizeof(names)) != 18)
        return fail("listxattr");
    if (removexattr(argv[1], "user.one") < 0 || getxattr(argv[1], "user.one", text, sizeof(text)) >= 0 ||
        errno != ENODATA)
        return fail("removexattr");
    if (argc == 2) {
        char *map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
            return fail("mmap");
        memset(map, 'm', SIZE);
        if (msync(map, SIZE, MS_SYNC) < 0 || munmap(map, SIZE) < 0)
            return fail("msync");
        if (pread(fd, text, 8, SIZE - 8) != 8 || memcmp(text, "mmmmmmmm", 8) != 0)
            return fail("read of what was mapped");
    }
    if (close(fd) < 0)
        return fail("close");
    printf("used\n");
    return 0;
}
