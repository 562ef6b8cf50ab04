/* What the user sees of the machine and does to it: text screen, keys, statistics. */
#include "machine_internal.h"

#include <errno.h>
#include <string.h>

#include "host/audio/audiodev.h"
#include "host/display/display_curses.h"
#include "host/display/keys.h"
#include "host/display/pointer.h"
#include "host/display/window/window.h"
#include "host/vnc/vnc.h"
#include "display.h"
#include "log.h"
#include "secrets.h"
#include "vclock.h"

static void quit_by_key(void *opaque)
{
    machine_shut_down(opaque, SHUTDOWN_UI);
}

void console_stats(struct machine *machine, bool json, GString *out)
{
    vcpu_print_stats(machine->vcpu, json, out);
}

/* --- Keys --- */

static struct input_sink *keyboard(struct machine *machine)
{
    struct input_sink *sink = board_service(registry_board(machine->registry), "input");
    while (sink && !(sink->key && input_sink_is_on(sink)))
        sink = sink->next;
    return sink;
}

/* A key comes up where it went down, whoever has been switched on meanwhile. */
static void console_key(void *opaque, uint16_t code, bool down)
{
    struct machine *machine = opaque;
    struct input_sink *sink = keyboard(machine);
    unsigned i = 0, unused = KEYS_HELD_MAX;
    for (; i < KEYS_HELD_MAX && !(machine->key_holder[i] && machine->key_scan[i] == code); i++)
        unused = machine->key_holder[i] ? unused : i;
    if (i < KEYS_HELD_MAX) {
        sink = machine->key_holder[i];
        machine->key_holder[i] = down ? sink : NULL;
    } else if (down && unused < KEYS_HELD_MAX) {
        machine->key_scan[unused] = code;
        machine->key_holder[unused] = sink;
    }
    if (sink)
        sink->key(sink->opaque, code, down);
}

static unsigned console_leds(void *opaque)
{
    const struct input_sink *sink = keyboard(opaque);
    return sink && sink->leds ? sink->leds(sink->opaque) : 0;
}

/* The first one that was plugged in comes first. */
static void pointers_add(const struct input_sink *sink)
{
    if (sink->next)
        pointers_add(sink->next);
    if (sink->mouse || sink->absolute)
        pointer_add(sink);
}

void console_sinks_changed(struct machine *machine, struct input_sink *const *before, unsigned count)
{
    struct input_sink *first = board_service(registry_board(machine->registry), "input"), *sink;
    for (unsigned i = 0; i < count; i++) {
        for (sink = first; sink && sink != before[i];)
            sink = sink->next;
        if (sink)
            continue;
        pointer_remove(before[i]);
        for (unsigned key = 0; key < KEYS_HELD_MAX; key++)
            machine->key_holder[key] = machine->key_holder[key] == before[i] ? NULL : machine->key_holder[key];
    }
    for (sink = first; sink; sink = sink->next) {
        bool is_new = true;
        for (unsigned i = 0; i < count; i++)
            is_new = is_new && sink != before[i];
        if (is_new && (sink->mouse || sink->absolute))
            pointer_add(sink);
    }
    keys_set_sink(console_key, console_leds, machine);
}

static bool power_button(void *opaque)
{
    return machine_press_power_button(opaque);
}

static const char *status(void *opaque)
{
    return machine_status(opaque);
}

static bool show_window(struct machine *machine, const struct display *display, GError **error)
{
    const struct options *options = &machine->options;
    char *title = options->name ? g_strdup_printf("Ringer (%s)", options->name) : g_strdup("Ringer");
    struct window_options wanted = options->window_options;
    const struct window_hooks hooks = {quit_by_key, power_button, status, machine};
    wanted.title = title;
    bool ok = window_open(display, &wanted, &hooks, error);
    g_free(title);
    return ok;
}

/* The back end that -vnc names, or the first one there is. */
static bool viewers_hear(const struct options *options, struct vnc_options *wanted, GError **error)
{
    const char *id = options->vnc_audiodev;
    if (!id && options->default_audiodev)
        id = OPTIONS_DEFAULT_AUDIODEV;
    else if (!id && options->audiodevs)
        id = keyvalues_get(g_ptr_array_index(options->audiodevs, 0), "id");
    wanted->audiodev = id ? audiodev_find(id) : NULL;
    if (options->vnc_audiodev && !wanted->audiodev) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-vnc: there is no -audiodev with the id '%s'", id);
        return false;
    }
    return true;
}

static bool viewers_let_in(struct machine *machine, const struct display *display, GError **error)
{
    const struct options *options = &machine->options;
    char *password = NULL;
    if (!display) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-vnc needs a graphics card, not -vga none");
        return false;
    }
    if (options->vnc_secret && !(password = secret_read(options, options->vnc_secret, error)))
        return false;
    struct vnc_options wanted = options->vnc_options;
    if (!viewers_hear(options, &wanted, error))
        return false;
    bool ok = vnc_open(display, &wanted, options->name ? options->name : "Ringer", error) &&
              (!password || vnc_set_password(password, error));
    g_free(password);
    return ok;
}

bool console_build(struct machine *machine, GError **error)
{
    struct board *board = registry_board(machine->registry);
    const struct input_sink *input = board_service(board, "input");
    const struct options *options = &machine->options;
    const struct display *display = board_service(board, "display");

    if (input) {
        keys_set_sink(console_key, console_leds, machine);
        pointers_add(input);
    }
    if ((options->curses || options->window) && !display) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-display %s needs a graphics card, not -vga none",
                    options->curses ? "curses" : "sdl");
        return false;
    }
    if (options->display_is_open && display && window_has_desktop())
        machine->options.window = true;
    if (options->vnc && !viewers_let_in(machine, display, error))
        return false;
    if (options->window && !show_window(machine, display, error))
        return false;
    if (options->curses && !curses_open(display, quit_by_key, machine, error))
        return false;
    return true;
}

/* -stats file:PATH: at the end, as JSON. */
void console_save_stats(struct machine *machine)
{
    if (!machine->stats_file)
        return;
    GString *out = g_string_new(NULL);
    console_stats(machine, true, out);
    bool ok = fputs(out->str, machine->stats_file) >= 0;
    if (fclose(machine->stats_file) != 0 || !ok)
        log_user("-stats: cannot write '%s': %s", machine->options.stats_file, g_strerror(errno));
    machine->stats_file = NULL;
    g_string_free(out, TRUE);
}

void console_close(struct machine *machine)
{
    if (machine->stats_file)
        fclose(machine->stats_file);
    curses_close();
    window_close();
    vnc_close();
}
