/* In a guest: the controls of its first sound card, as ALSA's driver shows them (sound/asound.h).
 *
 *     mixer                            a line for each: NAME,INDEX: VALUE... of MAXIMUM
 *     mixer NAME INDEX VALUE...        sets one
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <sound/asound.h>

#define CONTROLS_MAX 256

static int fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    return 1;
}

static int show(int fd, const struct snd_ctl_elem_id *id)
{
    struct snd_ctl_elem_info info = {.id = *id};
    struct snd_ctl_elem_value value = {.id = *id};
    if (ioctl(fd, SNDRV_CTL_IOCTL_ELEM_INFO, &info) < 0 || ioctl(fd, SNDRV_CTL_IOCTL_ELEM_READ, &value) < 0)
        return fail((const char *)id->name);
    if (info.type != SNDRV_CTL_ELEM_TYPE_INTEGER && info.type != SNDRV_CTL_ELEM_TYPE_BOOLEAN)
        return 0;
    printf("%s,%u:", id->name, id->index);
    for (unsigned i = 0; i < info.count && i < 8; i++)
        printf(" %ld", value.value.integer.value[i]);
    printf(" of %ld\n", info.value.integer.max);
    return 0;
}

static int list(int fd)
{
    static struct snd_ctl_elem_id ids[CONTROLS_MAX];
    struct snd_ctl_elem_list all = {.space = CONTROLS_MAX, .pids = ids};
    int status = 0;
    if (ioctl(fd, SNDRV_CTL_IOCTL_ELEM_LIST, &all) < 0)
        return fail("list");
    for (unsigned i = 0; i < all.used; i++) {
        if (ids[i].iface == SNDRV_CTL_ELEM_IFACE_MIXER)
            status |= show(fd, &ids[i]);
    }
    return status;
}

static int set(int fd, const char *name, unsigned index, char **values)
{
    struct snd_ctl_elem_value value = {.id = {.iface = SNDRV_CTL_ELEM_IFACE_MIXER, .index = index}};
    strncpy((char *)value.id.name, name, sizeof(value.id.name) - 1);
    for (unsigned i = 0; values[i] && i < 8; i++)
        value.value.integer.value[i] = atol(values[i]);
    if (ioctl(fd, SNDRV_CTL_IOCTL_ELEM_WRITE, &value) < 0)
        return fail(name);
    return show(fd, &value.id);
}

int main(int argc, char **argv)
{
    int fd = open("/dev/snd/controlC0", O_RDWR);
    if (fd < 0)
        return fail("/dev/snd/controlC0");
    return argc > 3 ? set(fd, argv[1], (unsigned)atoi(argv[2]), argv + 3) : list(fd);
}
