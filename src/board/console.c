/* What the user sees of the machine and does to it: text screen, keys, statistics. */
#include "machine_internal.h"

#include <errno.h>
#include <string.h>

#include "host/display/display_curses.h"
#include "host/display/keys.h"
#include "host/display/pointer.h"
#include "display.h"
#include "log.h"
#include "vclock.h"

static void quit_by_key(void *opaque)
{
    machine_shut_down(opaque, SHUTDOWN_UI);
}

void console_stats(struct machine *machine, bool json, GString *out)
{
    vcpu_print_stats(machine->vcpu, json, out);
}

bool console_build(struct machine *machine, GError **error)
{
    struct board *board = registry_board(machine->registry);
    const struct input_sink *input = board_service(board, "input");
    const struct options *options = &machine->options;
    const struct display *display = board_service(board, "display");

    if (input) {
        keys_set_sink(input->key, input->opaque);
        pointer_add("QEMU PS/2 Mouse", input->mouse, input->opaque);
    }
    if (options->curses && !display) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "-display curses needs a graphics card, not -vga none");
        return false;
    }
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
}
