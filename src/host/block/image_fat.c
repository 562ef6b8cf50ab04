/* Folders as disks: "fat:[TYPE:][floppy:][rw:]FOLDER", QEMU's name of it. See fat.h.
 *
 * The file system is made by a process of its own, where somebody has set how such a one is started; else right here.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "image_fat.h"
#include "log.h"

static fat_source_starter *starter;
static fat_source_again *starter_again;

void image_fat_set_starter(fat_source_starter *wanted, fat_source_again *again)
{
    starter = wanted;
    starter_again = again;
}

/* --- Names --- */

bool image_is_fat(const char *path)
{
    return g_str_has_prefix(path, "fat:");
}

static bool label_ok(const char *label, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)label[i] < ' ' || (unsigned char)label[i] >= 0x7f || strchr("\"*+,./:;<=>?[\\]|", label[i]))
            return false;
    }
    return len > 0 && len <= 11;
}

const char *image_fat_parse(const char *name, struct fat_options *options, GError **error)
{
    const char *at = name + strlen("fat:");
    *options = (struct fat_options){.type = 0};
    for (;;) {
        size_t len = strcspn(at, ":");
        if (!at[len])
            break;
        if (len == 2 && (strncmp(at, "12", 2) == 0 || strncmp(at, "16", 2) == 0 || strncmp(at, "32", 2) == 0))
            options->type = (unsigned)(10 * (at[0] - '0') + (at[1] - '0'));
        else if (len == 6 && strncmp(at, "floppy", len) == 0)
            options->floppy = true;
        else if (len == 2 && strncmp(at, "rw", len) == 0)
            options->writable = true;
        else if (g_str_has_prefix(at, "label=") && label_ok(at + 6, len - 6))
            g_strlcpy(options->label, at + 6, MIN(sizeof(options->label), len - 5));
        else if (g_str_has_prefix(at, "label="))
            return image_fail(error, name, "has a label that FAT does not allow: 11 plain characters at most");
        else
            break;
        at += len + 1;
    }
    return *at ? at : image_fail(error, name, "names no folder; write for example fat:rw:/some/folder");
}

/* --- Right here --- */

struct local {
    struct fat_source source; /* first */
    struct fat *fat;
};

static void local_tell(void *opaque, const char *text)
{
    log_user("'%s': %s", (const char *)opaque, text);
}

static int local_read(struct fat_source *source, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    return fat_read(((struct local *)source)->fat, offset, buffer, len);
}
static int local_write(struct fat_source *source, uint64_t offset, const uint8_t *buffer, uint32_t len)
{
    return fat_write(((struct local *)source)->fat, offset, buffer, len);
}
static int local_flush(struct fat_source *source)
{
    return fat_flush(((struct local *)source)->fat);
}
static int local_refresh(struct fat_source *source)
{
    return fat_refresh(((struct local *)source)->fat, false);
}
static int local_close(struct fat_source *source)
{
    struct local *local = (struct local *)source;
    int code = fat_close(local->fat);
    g_free(source->name);
    g_free(local);
    return code;
}

static struct fat_source *local_start(const char *name, int folder, int store, const struct fat_options *options,
                                      GError **error)
{
    struct local *local = g_new0(struct local, 1);
    local->source = (struct fat_source){local_read, local_write, local_flush, local_refresh, local_close, 0, NULL};
    local->source.name = g_strdup(name);
    local->fat = fat_open(folder, store, options, local_tell, local->source.name, error);
    if (local->fat) {
        local->source.size = fat_size(local->fat);
        return &local->source;
    }
    g_free(local->source.name);
    g_free(local);
    return NULL;
}

/* --- The image --- */

struct image_fat {
    struct image image; /* first */
    struct fat_source *source;
    bool writable;
};

static struct image_fat *fat_of(struct image *image)
{
    return (struct image_fat *)image;
}

static int image_fat_read(struct image *image, uint64_t offset, uint8_t *buffer, uint32_t len)
{
    return fat_of(image)->source->read(fat_of(image)->source, offset, buffer, len);
}

static int image_fat_write(struct image *image, uint64_t offset, const uint8_t *buffer, uint32_t len)
{
    return fat_of(image)->writable ? fat_of(image)->source->write(fat_of(image)->source, offset, buffer, len) : EROFS;
}

static int image_fat_flush(struct image *image)
{
    return fat_of(image)->writable ? fat_of(image)->source->flush(fat_of(image)->source) : 0;
}

static int image_fat_refresh(struct image *image)
{
    return fat_of(image)->source->refresh(fat_of(image)->source);
}

static void image_fat_close(struct image *image)
{
    int code = fat_of(image)->source->close(fat_of(image)->source);
    if (code)
        log_user("closing '%s' failed: %s; what was written last may be lost", image->file.path, g_strerror(code));
}

static const struct image_ops fat_ops = {.format = "vvfat",
                                         .read = image_fat_read,
                                         .write = image_fat_write,
                                         .flush = image_fat_flush,
                                         .close = image_fat_close,
                                         .refresh = image_fat_refresh};

/* The folder and what there is to it, for whoever makes a disk of it. */
static struct fat_source *source_make(const char *name, const char *path, const struct fat_options *options,
                                      GError **error)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), store = -1;
    if (folder < 0)
        g_set_error(error, image_error(), 0, "cannot be made: '%s' cannot be opened as a folder: %s", path,
                    g_strerror(errno));
    else if (options->writable && faccessat(folder, ".", W_OK | X_OK, 0) < 0)
        g_set_error(error, image_error(), 0, "cannot be written into its folder (%s); leave rw: out",
                    g_strerror(errno));
    else if ((store = image_temporary_file()) < 0)
        g_set_error(error, image_error(), 0, "cannot be used: no temporary file (%s); set TMPDIR", g_strerror(errno));
    else
        return (starter ? starter : local_start)(name, folder, store, options, error);
    if (folder >= 0)
        close(folder);
    return NULL;
}

struct image *image_fat_open(const char *name, bool may_write, GError **error)
{
    struct fat_options options;
    GError *why = NULL;
    const char *path = image_fat_parse(name, &options, error);
    if (!path)
        return NULL;
    options.writable = options.writable && may_write;
    struct fat_source *source = starter_again ? starter_again(name, &why) : NULL;
    if (!source && !why)
        source = source_make(name, path, &options, &why);
    if (!source) {
        image_fail(error, name, "%s", why->message);
        g_error_free(why);
        return NULL;
    }
    struct image_fat *fat = g_new0(struct image_fat, 1);
    fat->image.ops = &fat_ops;
    fat->image.file = (struct image_file){.fd = -1, .path = g_strdup(name), .writable = options.writable};
    fat->image.size = source->size;
    fat->source = source;
    fat->writable = options.writable;
    return &fat->image;
}

bool image_fat_writes(const char *name)
{
    struct fat_options options;
    return image_fat_parse(name, &options, NULL) && options.writable;
}
