/* What is on the screen. */
#include "commands.h"
#include "host/display/screendump.h"

static const struct display *display_of(struct machine *machine, GError **error)
{
    const struct display *display = board_service(registry_board(machine->registry), "display");
    return display ? display : COMMAND_FAIL(GENERIC, "there is no graphics card");
}

static json_t *run_screendump(struct command_context *context, json_t *args, GError **error)
{
    const struct display *display = display_of(context->machine, error);
    if (!display)
        return NULL;
    if (arg_str(args, "device"))
        return COMMAND_FAIL(NO_DEVICE, "Device '%s' not found", arg_str(args, "device"));
    if (arg_int(args, "head", 0) != 0)
        return COMMAND_FAIL(GENERIC, "'head' must be specified together with 'device'");
    bool ok = screendump_write(display, arg_str(args, "filename"), arg_str(args, "format"), error);
    return ok ? json_object() : NULL;
}

static void print_screentext(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const struct display *display = display_of(context->machine, NULL);
    if (!display)
        g_string_append(out, "there is no graphics card\n");
    else if (!screendump_text(display, out))
        g_string_append(out, "the screen is in a graphics mode; use screendump FILE.png\n");
}

static const struct schema_type types[] = {{"ImageFormat", "<ppm png>"}};

static const struct command rows[] = {
    {"screendump", NULL, "filename:str device:str? head:int? format:ImageFormat?", NULL, "the screen to a file",
     run_screendump, NULL},
    {NULL, "screendump [-f=format] filename [device] [head]", "filename:str device:str? head:int? format:str?", NULL,
     "the screen to a file: png, ppm, txt, or as its name ends", run_screendump, NULL},
    {NULL, "screentext", NULL, NULL, "the text screen", NULL, print_screentext},
    {NULL, "info screen", NULL, NULL, "the text screen", NULL, print_screentext},
};

void commands_screen_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    commands_add(rows, G_N_ELEMENTS(rows));
}
