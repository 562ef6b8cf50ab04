/* Containers of disk images that are not ours, told by their first and last bytes: taken for raw, they would be
 * destroyed by the guest's first write. The names are those of qemu-img, which converts them.
 *
 * Sources: VMware, Virtual Disk Format 5.0; Microsoft, Virtual Hard Disk Image Format and VHDX Format Specification;
 * VirtualBox, VDI header; QEMU's docs/interop (qcow2, qed, parallels); LUKS On-Disk Format; Apple's UDIF trailer
 * ("koly").
 */
#include "image.h"

#include <string.h>

struct container {
    const char *name; /* qemu-img's */
    uint16_t offset;
    uint8_t len;
    const char *magic;
};

static const struct container containers[] = {
    {"vmdk", 0, 4, "KDMV"},                             /* hosted sparse */
    {"vmdk", 0, 4, "COWD"},                             /* ESX sparse */
    {"vmdk", 0, 8, "\xbe\xba\xfe\xca\x00\x00\x00\x00"}, /* seSparse */
    {"vdi", 0x40, 4, "\x7f\x10\xda\xbe"},               /* behind a text that each maker has its own of */
    {"vpc", 0, 8, "conectix"},                          /* dynamic VHD: a copy of its footer */
    {"vhdx", 0, 8, "vhdxfile"},                         /* */
    {"qed", 0, 4, "QED\0"},                             /* */
    {"qcow", 0, 8, "QFI\xfb\x00\x00\x00\x01"},          /* version 1 */
    {"parallels", 0, 16, "WithoutFreeSpace"},           /* */
    {"parallels", 0, 16, "WithouFreSpacExt"},           /* */
    {"luks", 0, 6, "LUKS\xba\xbe"},                     /* versions 1 and 2 */
    {"bochs", 0, 22, "Bochs Virtual HD Image"},         /* redolog of any type */
    {"cloop", 0, 51, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mo"},
};

/* A VMDK's description can be a text file of its own: comments, then "version=N". */
static bool is_vmdk_text(const uint8_t *head, size_t len)
{
    const char *at = (const char *)head, *end = at + len;

    if (len >= 21 && g_ascii_strncasecmp(at, "# Disk DescriptorFile", 21) == 0)
        return true;
    while (at < end && (*at == '#' || *at == '\n' || *at == '\r')) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end)
            return false;
        at = line_end + 1;
    }
    return end - at > 8 && memcmp(at, "version=", 8) == 0 && g_ascii_isdigit(at[8]);
}

const char *image_foreign_head(const uint8_t *head, size_t len)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(containers); i++) {
        const struct container *container = &containers[i];
        if (len >= (size_t)container->offset + container->len &&
            memcmp(head + container->offset, container->magic, container->len) == 0)
            return container->name;
    }
    return is_vmdk_text(head, len) ? "vmdk" : NULL;
}

const char *image_foreign(const struct image_file *file, const uint8_t *head, size_t len)
{
    const char *name = image_foreign_head(head, len);
    uint8_t tail[512];

    if (name || file->size < sizeof(tail))
        return name;
    if (image_file_read(file, file->size - sizeof(tail), tail, sizeof(tail), true))
        return NULL; /* the first read of the data will tell */
    /* A fixed VHD is its disk and a footer, which old makers wrote with 511 bytes. */
    if (memcmp(tail, "conectix", 8) == 0 || memcmp(tail + 1, "conectix", 8) == 0)
        return "vpc";
    return memcmp(tail, "koly", 4) == 0 ? "dmg" : NULL;
}

/* As a shell wants it, and only then in quotes. */
static char *shell_word(const char *path)
{
    bool plain = *path && *path != '-' && *path != '~';
    for (const char *at = path; *at; at++)
        plain = plain && (g_ascii_isalnum(*at) || strchr("/._-+@%:", *at));
    return plain ? g_strdup(path) : g_shell_quote(path);
}

char *image_convert_command(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    bool has_ending = dot && dot != path && dot != slash + 1;
    char *stem = g_strndup(path, has_ending ? (size_t)(dot - path) : strlen(path));
    char *target = g_strconcat(stem, ".qcow2", NULL);
    char *from = shell_word(path), *to = shell_word(target), *command;

    if (strcmp(name, "luks") == 0) /* its contents come out only with the pass phrase */
        command = g_strdup_printf("qemu-img convert --object secret,id=key,file=PASSPHRASE-FILE --image-opts "
                                  "driver=luks,key-secret=key,file.filename=%s -O qcow2 %s",
                                  from, to);
    else
        command = g_strdup_printf("qemu-img convert -f %s -O qcow2 %s %s", name, from, to);
    g_free(stem);
    g_free(target);
    g_free(from);
    g_free(to);
    return command;
}

bool image_can_convert(const char *name)
{
    bool known = strcmp(name, "dmg") == 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(containers); i++)
        known = known || strcmp(name, containers[i].name) == 0;
    return known;
}
