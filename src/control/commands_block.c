/* Drives and their media. Shapes are those of QEMU's qapi/block-core.json; formats those of its monitor. */
#include <string.h>
#include <sys/stat.h>

#include "commands.h"
#include "object.h"
#include "host/block/blockdev.h"
#include "host/block/nodes.h"
#include "host/vnc/vnc.h"

/* --- Which drive --- */

static bool drive_is_there(const char *label)
{
    struct blockdev_look look;
    bool found = false;
    for (unsigned i = 0; !found && blockdev_look(i, &look); i++) {
        found = strcmp(look.label, label) == 0;
        blockdev_look_clear(&look);
    }
    return found;
}

/* A drive by its own name ("device") or by that of the device that it is in ("id"). Free it. */
static char *label_of(struct machine *machine, const char *device, const char *id, GError **error)
{
    if (!device == !id)
        return COMMAND_FAIL(GENERIC, "Need exactly one of 'device' and 'id'");
    if (device && !drive_is_there(device))
        return COMMAND_FAIL(NO_DEVICE, "Device '%s' not found", device);
    if (device)
        return g_strdup(device);
    const struct instance *instance = object_instance(machine, id);
    const char *drive = instance ? object_drive(instance) : NULL;
    if (!drive)
        return COMMAND_FAIL(NO_DEVICE, "Device '%s' not found", id);
    return g_strdup(drive);
}

/* Gives its answer to a function of blockdev.h. */
static json_t *done(bool ok, char *label)
{
    g_free(label);
    return ok ? json_object() : NULL;
}

static json_t *run_eject(struct command_context *context, json_t *args, GError **error)
{
    char *label = label_of(context->machine, arg_str(args, "device"), arg_str(args, "id"), error);
    return label ? done(blockdev_eject(label, arg_bool(args, "force", false), error), label) : NULL;
}

static json_t *run_open_tray(struct command_context *context, json_t *args, GError **error)
{
    char *label = label_of(context->machine, arg_str(args, "device"), arg_str(args, "id"), error);
    return label ? done(blockdev_open_tray(label, arg_bool(args, "force", false), error), label) : NULL;
}

static json_t *run_close_tray(struct command_context *context, json_t *args, GError **error)
{
    char *label = label_of(context->machine, arg_str(args, "device"), arg_str(args, "id"), error);
    return label ? done(blockdev_close_tray(label, error), label) : NULL;
}

static json_t *run_change_medium(struct command_context *context, json_t *args, GError **error)
{
    char *label = label_of(context->machine, arg_str(args, "device"), arg_str(args, "id"), error);
    const char *mode = arg_str(args, "read-only-mode");
    int index = mode ? schema_enum_index("BlockdevChangeReadOnlyMode", mode) : BLOCKDEV_RETAIN;
    return label ? done(blockdev_insert(label, arg_str(args, "filename"), arg_str(args, "format"),
                                        (enum blockdev_mode)index, arg_bool(args, "force", false), error),
                        label)
                 : NULL;
}

/* "change vnc password TEXT" is old, and people's only. */
static json_t *run_change(struct command_context *context, json_t *args, GError **error)
{
    const char *device = arg_str(args, "device"), *what = arg_str(args, "filename");
    if (!device || strcmp(device, "vnc") != 0)
        return run_change_medium(context, args, error);
    if (strcmp(what, "password") != 0 && strcmp(what, "passwd") != 0)
        return COMMAND_FAIL(GENERIC, "Expected 'password' after 'vnc'");
    return vnc_set_password(arg_str(args, "format"), error) ? json_object() : NULL;
}

static json_t *run_commit(struct command_context *context, json_t *args, GError **error)
{
    const char *device = arg_str(args, "device");
    commands_hold(context->machine);
    bool ok = blockdev_commit(strcmp(device, "all") == 0 ? NULL : device, error);
    commands_release(context->machine);
    return ok ? json_object() : NULL;
}

/* --- What there is --- */

static json_t *image_json(const struct blockdev_look *look)
{
    struct stat st;
    json_t *image = json_pack("{s:I s:o s:s s:b}", "virtual-size", (json_int_t)look->size, "filename",
                              json_text(look->path), "format", look->format, "dirty-flag", 0);
    if (stat(look->path, &st) == 0)
        json_object_set_new(image, "actual-size", json_integer((json_int_t)st.st_blocks * 512));
    return image;
}

static json_t *medium_json(const struct blockdev_look *look)
{
    json_t *cache = json_pack("{s:b s:b s:b}", "no-flush", look->cache == IMAGE_UNSAFE, "direct", 0, "writeback",
                              look->cache != IMAGE_WRITETHROUGH);
    return json_pack("{s:i s:s s:o s:i s:b s:i s:s s:i s:i s:i s:i s:b s:i s:o s:o}", "iops_rd", 0, "detect_zeroes",
                     "off", "image", image_json(look), "iops_wr", 0, "ro", look->read_only, "backing_file_depth",
                     look->snapshot ? 1 : 0, "drv", look->snapshot ? "qcow2" : look->format, "iops", 0, "bps_wr", 0,
                     "write_threshold", 0, "bps", 0, "encrypted", 0, "bps_rd", 0, "cache", cache, "file",
                     json_text(look->path));
}

static json_t *query_block(struct command_context *context, json_t *args, GError **error)
{
    json_t *list = json_array();
    struct blockdev_look look;
    for (unsigned i = 0; blockdev_look(i, &look); i++) {
        json_t *one = json_pack("{s:s s:b s:b s:s}", "device", look.label, "locked", look.tray_locked, "removable",
                                look.removable, "type", "unknown");
        char *path = object_path_of_drive(context->machine, look.label);
        if (path)
            json_object_set_new(one, "qdev", json_string(path));
        if (look.has_tray)
            json_object_set_new(one, "tray_open", json_boolean(look.tray_open));
        if (look.path)
            json_object_set_new(one, "inserted", medium_json(&look));
        if (path)
            json_object_set_new(one, "io-status", json_string("ok"));
        json_array_append_new(list, one);
        g_free(path);
        blockdev_look_clear(&look);
    }
    return list;
}

static void print_block(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const char *wanted = arg_str(args, "device");
    struct blockdev_look look;
    bool first = true;
    for (unsigned i = 0; blockdev_look(i, &look); i++) {
        if (wanted && strcmp(wanted, look.label) != 0) {
            blockdev_look_clear(&look);
            continue;
        }
        char *path = object_path_of_drive(context->machine, look.label);
        g_string_append_printf(out, "%s%s: ", first ? "" : "\n", look.label);
        if (look.path)
            g_string_append_printf(out, "%s (%s%s)\n", look.path, look.format, look.read_only ? ", read-only" : "");
        else
            g_string_append(out, "[not inserted]\n");
        if (path)
            g_string_append_printf(out, "    Attached to:      %s\n", path);
        if (look.removable)
            g_string_append_printf(out, "    Removable device: %slocked, tray %s\n", look.tray_locked ? "" : "not ",
                                   look.tray_open ? "open" : "closed");
        if (look.path)
            g_string_append_printf(out, "    Cache mode:       %s%s\n",
                                   look.cache == IMAGE_WRITETHROUGH ? "writethrough" : "writeback",
                                   look.cache == IMAGE_UNSAFE ? ", ignore flushes" : "");
        if (look.path && look.snapshot)
            g_string_append(out, "    Snapshot:         what is written is kept apart (see commit)\n");
        g_free(path);
        blockdev_look_clear(&look);
        first = false;
    }
}

static json_t *stats_json_of(const struct blockdev_stats *stats)
{
    json_t *json = json_pack(
        "{s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:[] s:b s:b}", "rd_bytes", (json_int_t)stats->rd.bytes,
        "wr_bytes", (json_int_t)stats->wr.bytes, "rd_operations", (json_int_t)stats->rd.operations, "wr_operations",
        (json_int_t)stats->wr.operations, "flush_operations", (json_int_t)stats->flush.operations, "rd_total_time_ns",
        (json_int_t)stats->rd.ns, "wr_total_time_ns", (json_int_t)stats->wr.ns, "flush_total_time_ns",
        (json_int_t)stats->flush.ns, "wr_highest_offset", (json_int_t)stats->wr_highest, "failed_rd_operations",
        (json_int_t)stats->rd.failed, "failed_wr_operations", (json_int_t)stats->wr.failed, "failed_flush_operations",
        (json_int_t)stats->flush.failed, "unmap_bytes", (json_int_t)stats->unmap.bytes, "timed_stats",
        "account_invalid", 1, "account_failed", 1);
    static const char *const none[] = {"rd_merged",
                                       "wr_merged",
                                       "unmap_merged",
                                       "invalid_rd_operations",
                                       "invalid_wr_operations",
                                       "invalid_flush_operations",
                                       "invalid_unmap_operations"};
    for (unsigned i = 0; i < G_N_ELEMENTS(none); i++)
        json_object_set_new(json, none[i], json_integer(0));
    json_object_set_new(json, "unmap_operations", json_integer((json_int_t)stats->unmap.operations));
    json_object_set_new(json, "unmap_total_time_ns", json_integer(stats->unmap.ns));
    json_object_set_new(json, "failed_unmap_operations", json_integer((json_int_t)stats->unmap.failed));
    if (stats->last_at)
        json_object_set_new(json, "idle_time_ns", json_integer(stats->idle_ns));
    return json;
}

static json_t *query_blockstats(struct command_context *context, json_t *args, GError **error)
{
    json_t *list = json_array();
    struct blockdev_look look;
    for (unsigned i = 0; blockdev_look(i, &look); i++) {
        json_t *one = json_pack("{s:s s:o}", "device", look.label, "stats", stats_json_of(&look.stats));
        char *path = object_path_of_drive(context->machine, look.label);
        if (path)
            json_object_set_new(one, "qdev", json_string(path));
        json_array_append_new(list, one);
        g_free(path);
        blockdev_look_clear(&look);
    }
    return list;
}

static void print_blockstats(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    static const char *const shown[] = {
        "rd_bytes",         "wr_bytes",         "rd_operations",    "wr_operations",
        "flush_operations", "wr_total_time_ns", "rd_total_time_ns", "flush_total_time_ns",
        "rd_merged",        "wr_merged",        "idle_time_ns"};
    size_t index;
    json_t *one;
    json_array_foreach(value, index, one)
    {
        const json_t *stats = json_object_get(one, "stats");
        g_string_append_printf(out, "%s:", arg_str(one, "device"));
        for (unsigned i = 0; i < G_N_ELEMENTS(shown); i++)
            g_string_append_printf(out, " %s=%lld", shown[i], (long long)arg_int(stats, shown[i], 0));
        g_string_append_c(out, '\n');
    }
}

/* --- Nodes --- */

static json_t *run_node_add(struct command_context *context, json_t *args, GError **error)
{
    const json_t *file = json_object_get(args, "file"), *cache = json_object_get(args, "cache");
    struct node node = {.name = (char *)arg_str(args, "node-name"),
                        .driver = (char *)arg_str(args, "driver"),
                        .path = (char *)arg_str(args, "filename"),
                        .read_only = arg_bool(args, "read-only", false)};
    if (!node.name)
        return COMMAND_FAIL(GENERIC, "'node-name' must be specified for the root node");
    if (json_is_string(file)) {
        node.below = (char *)json_string_value(file);
    } else if (json_is_object(file)) {
        node.path = (char *)arg_str(file, "filename");
        if (!arg_str(file, "driver") || strcmp(arg_str(file, "driver"), "file") != 0)
            return COMMAND_FAIL(GENERIC, "Parameter 'file.driver' does not accept that value; it is 'file'");
    } else if (file) {
        return COMMAND_FAIL(GENERIC, "Invalid parameter type for 'file', expected: BlockdevRef");
    }
    if (json_is_true(json_object_get(cache, "no-flush")))
        node.cache = IMAGE_UNSAFE;
    return nodes_add(&node, error) ? json_object() : NULL;
}

static json_t *run_node_del(struct command_context *context, json_t *args, GError **error)
{
    return nodes_remove(arg_str(args, "node-name"), error) ? json_object() : NULL;
}

static json_t *run_insert(struct command_context *context, json_t *args, GError **error)
{
    char *label = label_of(context->machine, NULL, arg_str(args, "id"), error);
    return label ? done(nodes_insert(label, arg_str(args, "node-name"), error), label) : NULL;
}

static json_t *run_remove(struct command_context *context, json_t *args, GError **error)
{
    char *label = label_of(context->machine, NULL, arg_str(args, "id"), error);
    return label ? done(nodes_take_out(label, error), label) : NULL;
}

static json_t *query_nodes(struct command_context *context, json_t *args, GError **error)
{
    json_t *list = json_array();
    const struct node *node;
    struct stat st;
    for (unsigned i = 0; (node = nodes_at(i)); i++) {
        struct blockdev_look look = {.path = node->path,
                                     .format = node->driver,
                                     .read_only = node->read_only,
                                     .cache = node->cache,
                                     .size = stat(node->path, &st) == 0 ? (uint64_t)st.st_size : 0};
        json_t *one = medium_json(&look);
        json_object_set_new(one, "node-name", json_text(node->name));
        json_array_append_new(list, one);
    }
    return list;
}

/* --- Drives that come and go --- */

static json_t *run_drive_add(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    return storage_add(&machine->storage, arg_str(args, "opts"), error) ? json_object() : NULL;
}

static void print_drive_add(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    g_string_append(out, "OK\n");
}

static json_t *run_drive_del(struct command_context *context, json_t *args, GError **error)
{
    struct machine *machine = context->machine;
    return storage_remove(&machine->storage, machine->registry, arg_str(args, "id"), error) ? json_object() : NULL;
}

static json_t *query_jobs(struct command_context *context, json_t *args, GError **error)
{
    return json_array(); /* nothing here takes long enough to be one */
}

static void print_snapshots(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    g_string_append(out, "There is no snapshot available.\n");
}

static const struct schema_type types[] = {
    {"BlockdevChangeReadOnlyMode", "<retain read-only read-write>"},
    {"BlockdevDetectZeroesOptions", "<off on unmap>"},
    {"BlockDeviceIoStatus", "<ok failed nospace>"},
    {"BlockdevCacheInfo", "writeback:bool direct:bool no-flush:bool"},
    {"BlockdevCacheOptions", "direct:bool? no-flush:bool?"},
    {"BlockdevDriver", "<file raw qcow2>"},
    {"BlockdevDiscardOptions", "<ignore unmap>"},
    {"BlockdevAioOptions", "<threads native io_uring>"},
    {"OnOffAuto", "<auto on off>"},
    {"BlockdevOptionsFile", "filename:str locking:OnOffAuto? aio:BlockdevAioOptions?"},
    {"BlockdevOptionsFormat", "file:any"},
    {"ImageInfo", "filename:str format:str dirty-flag:bool? actual-size:int? virtual-size:int cluster-size:int? "
                  "encrypted:bool? compressed:bool? backing-filename:str? full-backing-filename:str? "
                  "backing-filename-format:str?"},
    {"BlockDeviceInfo", "file:str node-name:str? ro:bool drv:str backing_file:str? backing_file_depth:int "
                        "encrypted:bool detect_zeroes:BlockdevDetectZeroesOptions bps:int bps_rd:int bps_wr:int "
                        "iops:int iops_rd:int iops_wr:int image:ImageInfo cache:BlockdevCacheInfo "
                        "write_threshold:int"},
    {"BlockInfo", "device:str qdev:str? type:str removable:bool locked:bool inserted:BlockDeviceInfo? tray_open:bool? "
                  "io-status:BlockDeviceIoStatus?"},
    {"BlockDeviceTimedStats",
     "interval_length:int min_rd_latency_ns:int max_rd_latency_ns:int avg_rd_latency_ns:int min_wr_latency_ns:int "
     "max_wr_latency_ns:int avg_wr_latency_ns:int min_flush_latency_ns:int max_flush_latency_ns:int "
     "avg_flush_latency_ns:int avg_rd_queue_depth:number avg_wr_queue_depth:number"},
    {"BlockDeviceStats",
     "rd_bytes:int wr_bytes:int unmap_bytes:int rd_operations:int wr_operations:int flush_operations:int "
     "unmap_operations:int rd_total_time_ns:int wr_total_time_ns:int flush_total_time_ns:int unmap_total_time_ns:int "
     "wr_highest_offset:int rd_merged:int wr_merged:int unmap_merged:int idle_time_ns:int? failed_rd_operations:int "
     "failed_wr_operations:int failed_flush_operations:int failed_unmap_operations:int invalid_rd_operations:int "
     "invalid_wr_operations:int invalid_flush_operations:int invalid_unmap_operations:int account_invalid:bool "
     "account_failed:bool timed_stats:[BlockDeviceTimedStats]"},
    {"BlockStats",
     "device:str? qdev:str? node-name:str? stats:BlockDeviceStats parent:BlockStats? backing:BlockStats?"},
    {"JobType", "<commit stream mirror backup create amend snapshot-load snapshot-save snapshot-delete>"},
    {"JobStatus", "<undefined created running paused ready standby waiting pending aborting concluded null>"},
    {"JobInfo", "id:str type:JobType status:JobStatus current-progress:int total-progress:int error:str?"},
    {"IoOperationType", "<read write>"},
    {"BlockErrorAction", "<ignore report stop>"},
};

static const struct event_type events[] = {
    {"DEVICE_TRAY_MOVED", "device:str id:str tray-open:bool"},
    {"BLOCK_IO_ERROR", "device:str node-name:str? operation:IoOperationType action:BlockErrorAction nospace:bool? "
                       "reason:str"},
};

static const struct command rows[] = {
    {"eject", "eject [-f:force] device", "device:str? id:str? force:bool?", NULL,
     "take a removable medium out (-f: also when the guest has locked it)", run_eject, NULL},
    {"blockdev-open-tray", NULL, "device:str? id:str? force:bool?", NULL, "open a drive's tray", run_open_tray, NULL},
    {"blockdev-close-tray", NULL, "device:str? id:str?", NULL, "close a drive's tray", run_close_tray, NULL},
    {NULL, "change device [-f:force] filename [format] [read-only-mode]",
     "device:str filename:str format:str? force:bool? read-only-mode:BlockdevChangeReadOnlyMode?", NULL,
     "put another medium in; vnc password TEXT: what viewers need", run_change, NULL},
    {"blockdev-change-medium", NULL,
     "device:str? id:str? filename:str format:str? force:bool? read-only-mode:BlockdevChangeReadOnlyMode?", NULL,
     "put another medium in", run_change_medium, NULL},
    {"blockdev-add", NULL,
     "driver:BlockdevDriver node-name:str? discard:BlockdevDiscardOptions? cache:BlockdevCacheOptions? read-only:bool? "
     "auto-read-only:bool? force-share:bool? detect-zeroes:BlockdevDetectZeroesOptions? | "
     "driver=file:BlockdevOptionsFile | driver=raw:BlockdevOptionsFormat | driver=qcow2:BlockdevOptionsFormat",
     NULL, "an image by a name", run_node_add, NULL},
    {"blockdev-del", NULL, "node-name:str", NULL, "forget such a one", run_node_del, NULL},
    {"blockdev-insert-medium", NULL, "id:str node-name:str", NULL, "put such a one into an open, empty drive",
     run_insert, NULL},
    {"blockdev-remove-medium", NULL, "id:str", NULL, "take the medium out of an open drive", run_remove, NULL},
    {"query-named-block-nodes", NULL, "flat:bool?", "[BlockDeviceInfo]", "images by their names", query_nodes, NULL},
    {NULL, "drive_add [-n:node] where opts", "node:bool? where:str opts:str", NULL,
     "one more drive, as -drive has it, with if=none and an id (where: not looked at)", run_drive_add, print_drive_add},
    {NULL, "drive_del id", "id:str", NULL, "take such a one away", run_drive_del, NULL},
    {NULL, "commit device", "device:str", NULL, "write what -snapshot keeps apart into the image of a drive, or of all",
     run_commit, NULL},
    {"query-block", NULL, NULL, "[BlockInfo]", "the drives", query_block, NULL},
    {NULL, "info block [-n:nodes] [-v:verbose] [device]", "device:str? nodes:bool? verbose:bool?", NULL,
     "the drives and what is in them", NULL, print_block},
    {"query-blockstats", "info blockstats", "query-nodes:bool?", "[BlockStats]", "what drives have done",
     query_blockstats, print_blockstats},
    {"query-jobs", "info block-jobs", NULL, "[JobInfo]", "long work on drives", query_jobs, NULL},
    {NULL, "info snapshots", NULL, NULL, "saved states of the machine", NULL, print_snapshots},
};

void commands_block_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    events_add(events, G_N_ELEMENTS(events));
    commands_add(rows, G_N_ELEMENTS(rows));
}
