/* Sound. */
#include "commands.h"
#include "host/audio/audiodev.h"

static json_t *run_mute(struct command_context *context, json_t *args, GError **error)
{
    if (!audiodev_needs_device())
        return COMMAND_FAIL(GENERIC, "no loudspeaker is in use");
    audiodev_set_muted(arg_bool(args, "state", false));
    return json_object();
}

static const struct command rows[] = {
    {NULL, "mute state", "state:bool", NULL, "on: quiet; off: sound again", run_mute, NULL},
};

void commands_audio_add(void)
{
    commands_add(rows, G_N_ELEMENTS(rows));
}
