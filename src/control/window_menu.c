/* What is in the window's menu, in the monitor's words; and the lamps in its bar. */
#include <string.h>
#include <time.h>

#include "commands.h"
#include "control.h"
#include "host/audio/audiodev.h"
#include "host/block/blockdev.h"
#include "host/display/window/window.h"
#include "host/net/net.h"
#include "lock.h"
#include "window_menu.h"

static struct window_item *add(GPtrArray *list, const char *label)
{
    struct window_item *item = window_item_new(label);
    g_ptr_array_add(list, item);
    return item;
}

static void add_command(GPtrArray *list, const char *label, const char *command, const char *done)
{
    struct window_item *item = add(list, label);
    item->command = g_strdup(command);
    item->done = g_strdup(done);
}

/* --- Drives --- */

static char *base_name(const char *path)
{
    char *base = g_path_get_basename(path), *text = g_utf8_make_valid(base, -1);
    g_free(base);
    return text;
}

static void fill_drives(GPtrArray *list)
{
    struct blockdev_look look;
    for (unsigned i = 0; blockdev_look(i, &look); i++) {
        if (look.removable) {
            char *name = look.path ? base_name(look.path) : g_strdup("empty");
            char *label = g_strdup_printf("%s: %s", look.label, name);
            struct window_item *item = add(list, label);
            item->page = g_strdup("drive");
            item->argument = g_strdup(look.label);
            g_free(label);
            g_free(name);
        }
        blockdev_look_clear(&look);
    }
}

static void fill_drive(GPtrArray *list, const char *drive)
{
    struct window_item *item = add(list, "Insert...");
    item->command = g_strdup_printf("change %s", drive);
    item->question = g_strdup_printf("The image for %s (a file; drop one on the window, or Ctrl-V):", drive);
    item->done = g_strdup("Inserted");
    item = add(list, "Eject");
    item->command = g_strdup_printf("eject %s", drive);
    item->done = g_strdup("Ejected");
}

static void fill_dropped(GPtrArray *list, const char *path)
{
    struct blockdev_look look;
    char *name = base_name(path);
    for (unsigned i = 0; blockdev_look(i, &look); i++) {
        if (look.removable) {
            char *label = g_strdup_printf("Insert %s into %s", name, look.label);
            struct window_item *item = add(list, label);
            item->command = g_strdup_printf("change %s", look.label);
            item->argument = g_strdup(path);
            item->done = g_strdup("Inserted");
            g_free(label);
        }
        blockdev_look_clear(&look);
    }
    if (list->len == 0)
        add(list, "No drive here takes other media");
    g_free(name);
}

/* --- The first page --- */

/* Where the desktop keeps pictures; else here. */
static void add_screenshot(GPtrArray *list)
{
    const char *folder = g_get_user_special_dir(G_USER_DIRECTORY_PICTURES);
    char stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(stamp, sizeof(stamp), "%Y-%m-%d-%H%M%S", localtime_r(&now, &tm));
    char *name = g_strdup_printf("ringer-%s.png", stamp);
    bool is_there = folder && g_file_test(folder, G_FILE_TEST_IS_DIR);
    struct window_item *item = add(list, "Screenshot");
    item->command = g_strdup("screendump -f png");
    item->argument = is_there ? g_build_filename(folder, name, NULL) : g_strdup(name);
    item->done = g_strdup_printf("The screen is in %s", item->argument);
    g_free(name);
}

static void fill(void *opaque, const char *page, const char *argument, GPtrArray *list)
{
    struct machine *machine = opaque;
    if (page && strcmp(page, "drives") == 0) {
        fill_drives(list);
    } else if (page && strcmp(page, "drive") == 0) {
        fill_drive(list, argument);
    } else if (page) {
        fill_dropped(list, argument);
    } else {
        bool runs = strcmp(machine_status(machine), "running") == 0;
        GPtrArray *drives = g_ptr_array_new_with_free_func(window_item_free);
        add_command(list, runs ? "Pause" : "Continue", runs ? "stop" : "cont", NULL);
        add_command(list, "Reset", "system_reset", NULL);
        add_command(list, "Press the power button", "system_powerdown", NULL);
        add_command(list, "Send Ctrl-Alt-Del", "sendkey ctrl-alt-delete", NULL);
        add(list, NULL);
        fill_drives(drives);
        if (drives->len)
            add(list, "Drives")->page = g_strdup("drives");
        g_ptr_array_unref(drives);
        add_screenshot(list);
        if (audiodev_needs_device()) {
            add_command(list, "Sound", audiodev_is_muted() ? "mute off" : "mute on", NULL);
            ((struct window_item *)g_ptr_array_index(list, list->len - 1))->is_checked = !audiodev_is_muted();
        }
        add(list, NULL);
    }
}

/* The word goes behind the command in the quotes that a monitor's words have. */
static char *run(void *opaque, const char *command, const char *word)
{
    struct command_context context = {.machine = opaque};
    GString *line = g_string_new(command), *out = g_string_new(NULL);
    if (word) {
        g_string_append(line, " \"");
        for (const char *c = word; *c; c++) {
            if (*c == '"' || *c == '\\')
                g_string_append_c(line, '\\');
            g_string_append_c(line, *c);
        }
        g_string_append_c(line, '"');
    }
    command_line(&context, line->str, out);
    g_string_free(line, TRUE);
    return g_string_free(out, FALSE);
}

/* --- Lamps --- */

static void count_frames(void *opaque, const struct net_description *description)
{
    uint64_t *frames = opaque;
    *frames += description->frames;
}

/* A lamp for each drive, and one for all networks; in the drives' order. */
static unsigned lamps(void *opaque, struct window_lamp lamps[WINDOW_LAMPS_MAX])
{
    struct blockdev_look look;
    unsigned count = 0;
    uint64_t frames = 0;
    for (unsigned i = 0; count < WINDOW_LAMPS_MAX - 1 && blockdev_look(i, &look); i++) {
        struct window_lamp *lamp = &lamps[count++];
        g_strlcpy(lamp->name, look.label, sizeof(lamp->name));
        lamp->count = look.stats.rd.operations + look.stats.wr.operations;
        blockdev_look_clear(&look);
    }
    machine_lock();
    net_each(count_frames, &frames);
    machine_unlock();
    lamps[count] = (struct window_lamp){.name = "net", .count = frames};
    return count + 1;
}

void window_menu_open(struct machine *machine)
{
    const struct window_menu menu = {fill, run, lamps, machine};
    window_set_menu(&menu);
}
