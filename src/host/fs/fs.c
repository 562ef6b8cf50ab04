/* What -fsdev says, and the list of all. See fs.h. */
#include "fs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "keyvalue.h"
#include "share.h"

#define SAY(...)  g_set_error(error, g_quark_from_static_string("ringer-fs"), 0, __VA_ARGS__)
#define FAIL(...) (SAY(__VA_ARGS__), false)

struct folder {
    char *id;
    struct fsdev *fsdev;
};

static GArray *folders;

static bool model_parse(const char *name, struct p9_export *export, GError **error)
{
    if (!name)
        return FAIL("security_model= is needed: none, passthrough or mapped-xattr");
    if (strcmp(name, "passthrough") == 0)
        export->model = P9_PASSTHROUGH;
    else if (strcmp(name, "none") == 0)
        export->model = P9_NONE;
    else if (strcmp(name, "mapped") == 0 || strcmp(name, "mapped-xattr") == 0)
        export->model = P9_MAPPED_XATTR;
    else if (strcmp(name, "mapped-file") == 0)
        return FAIL("security_model=mapped-file is not there; mapped-xattr keeps the same in extended attributes");
    else
        return FAIL("security_model= is none, passthrough or mapped-xattr, not '%s'", name);
    return true;
}

static bool mode_parse(struct keyvalues *options, const char *key, struct p9_export *export, uint32_t *mode,
                       GError **error)
{
    const char *text = keyvalues_get(options, key);
    uint64_t value;
    if (!text)
        return true;
    if (export->model != P9_MAPPED_XATTR)
        return FAIL("%s= is for the mapped security models only", key);
    if (!value_is_number(text, 07777, &value))
        return FAIL("%s= is a mode such as 0644, not '%s'", key, text);
    *mode = (uint32_t)value & 0777;
    return true;
}

static bool export_parse(struct keyvalues *options, struct p9_export *export, GError **error)
{
    const char *read_only = keyvalues_get(options, "readonly"), *writeout = keyvalues_get(options, "writeout");
    const char *multidevs = keyvalues_get(options, "multidevs");
    *export = (struct p9_export){.fmode = 0600, .dmode = 0700};
    if (!model_parse(keyvalues_get(options, "security_model"), export, error))
        return false;
    if (read_only && !value_is_switch(read_only, &export->read_only))
        return FAIL("readonly= is on or off, not '%s'", read_only);
    if (writeout && strcmp(writeout, "immediate") != 0)
        return FAIL("writeout= can be immediate, not '%s'", writeout);
    export->writeout = writeout;
    if (multidevs && strcmp(multidevs, "remap") != 0 && strcmp(multidevs, "warn") != 0 &&
        strcmp(multidevs, "forbid") != 0)
        return FAIL("multidevs= is remap, forbid or warn, not '%s'", multidevs);
    export->one_device = multidevs && strcmp(multidevs, "forbid") == 0;
    return mode_parse(options, "fmode", export, &export->fmode, error) &&
           mode_parse(options, "dmode", export, &export->dmode, error);
}

/* Its descriptor, -1 with a sentence. */
static int root_open(const char *path, const struct p9_export *export, GError **error)
{
    uint32_t value;
    int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        SAY("'%s' cannot be opened as a folder: %s", path, g_strerror(errno));
    } else if (export->model == P9_MAPPED_XATTR && fgetxattr(root, "user.virtfs.uid", &value, sizeof(value)) < 0 &&
               errno == EOPNOTSUPP) {
        SAY("'%s' is on a file system without extended attributes, which security_model=mapped-xattr needs", path);
        close(root);
        root = -1;
    }
    return root;
}

static struct fsdev *open_folder(struct keyvalues *options, const char *id, GError **error)
{
    struct p9_export export;
    const char *path = keyvalues_get(options, "path");
    if (!path) {
        SAY("path= is needed: the folder");
        return NULL;
    }
    if (!export_parse(options, &export, error))
        return NULL;
    const char *unused = keyvalues_unused(options);
    if (unused) {
        SAY("Invalid parameter '%s'", unused);
        return NULL;
    }
    int root = root_open(path, &export, error);
    return root < 0 ? NULL : fs_link_new(id, root, &export, error);
}

struct fsdev *fs_new(struct keyvalues *options, GError **error)
{
    const char *driver = keyvalues_get(options, "fsdriver"), *id = keyvalues_get(options, "id");
    struct folder folder = {NULL, NULL};
    if (!driver || strcmp(driver, "local") != 0)
        SAY("there is no '%s' here; local is what there is", driver ? driver : "");
    else if (!id)
        SAY("id= is needed: a name for it");
    else if (fs_find(id))
        SAY("there are two with the id '%s'", id);
    else
        folder.fsdev = open_folder(options, id, error);
    if (!folder.fsdev)
        return NULL;
    folder.id = g_strdup(id);
    if (!folders)
        folders = g_array_new(FALSE, FALSE, sizeof(struct folder));
    g_array_append_val(folders, folder);
    return folder.fsdev;
}

struct fsdev *fs_find(const char *id)
{
    for (unsigned i = 0; folders && i < folders->len; i++) {
        if (strcmp(g_array_index(folders, struct folder, i).id, id) == 0)
            return g_array_index(folders, struct folder, i).fsdev;
    }
    return NULL;
}

void fs_settle_all(void)
{
    for (unsigned i = 0; folders && i < folders->len; i++)
        fs_link_settle(g_array_index(folders, struct folder, i).fsdev);
}

void fs_close_all(void)
{
    for (unsigned i = 0; folders && i < folders->len; i++) {
        fs_link_free(g_array_index(folders, struct folder, i).fsdev);
        g_free(g_array_index(folders, struct folder, i).id);
    }
    g_clear_pointer(&folders, g_array_unref);
}
