/* The command line: sound. -audiodev is a back end, -device its card; -audio is both at once, and -soundhw a card by
 * its old name. The PC speaker is there anyway: what names it says what it is heard on. */
#include "options_internal.h"

#include <string.h>

/* QEMU's short names of cards. */
static const char *const cards[][2] = {{"sb16", "sb16"},      {"adlib", "adlib"}, {"ac97", "AC97"},
                                       {"es1370", "ES1370"},  {"gus", "gus"},     {"hda", "intel-hda"},
                                       {"cs4231a", "cs4231a"}};

#define SPEAKER "pcspk"

static const char *class_of_card(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cards); i++) {
        if (strcmp(name, cards[i][0]) == 0)
            return cards[i][1];
    }
    return NULL;
}

static bool is_card(const char *class)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cards); i++) {
        if (strcmp(class, cards[i][0]) == 0 || strcmp(class, cards[i][1]) == 0)
            return true;
    }
    return false;
}

static bool is_help(const char *word)
{
    return word && (strcmp(word, "help") == 0 || strcmp(word, "?") == 0);
}

/* What is wrong with it is found out when it is opened. */
bool set_audiodev(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-audiodev", "driver", error);
    if (!list)
        return false;
    if (is_help(keyvalues_get(list, "driver")))
        parse->options->action = OPTIONS_AUDIODEV_HELP;
    list_append(&parse->options->audiodevs, list);
    return true;
}

/* A card on that back end; NULL: on the one that is given first. */
static bool card_add(struct parse *parse, const char *flag, const char *name, const char *audiodev, GError **error)
{
    const char *class = class_of_card(name);
    if (strcmp(name, SPEAKER) == 0) {
        parse->speaker_wanted = true;
        if (audiodev)
            parse->options->speaker_audiodev = g_intern_string(audiodev);
        return true;
    }
    if (!class)
        return FAIL("%s: there is no '%s'; %s help lists what there is", flag, name,
                    strcmp(flag, "-audio") == 0 ? "-audio none,model=help" : "-soundhw");
    struct keyvalues *device = keyvalues_new();
    keyvalues_add(device, "driver", class);
    if (audiodev)
        keyvalues_add(device, "audiodev", audiodev);
    list_append(&parse->options->devices, device);
    return true;
}

bool set_audio(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-audio", "driver", error);
    if (!list)
        return false;
    const char *driver = keyvalues_get(list, "driver"), *model = keyvalues_get(list, "model");
    const char *id = keyvalues_get(list, "id");
    bool ok = true;
    if (is_help(driver)) {
        parse->options->action = OPTIONS_AUDIODEV_HELP;
    } else if (is_help(model)) {
        parse->options->action = OPTIONS_SOUND_HELP;
    } else {
        struct keyvalues *audiodev = keyvalues_new();
        for (unsigned i = 0; i < list->item->len; i++) {
            const struct keyvalue *item = g_ptr_array_index(list->item, i);
            if (strcmp(item->key, "model") != 0)
                keyvalues_add(audiodev, item->key, item->value);
        }
        if (!id)
            keyvalues_add(audiodev, "id", id = "audiodev0");
        list_append(&parse->options->audiodevs, audiodev);
        ok = !model || card_add(parse, "-audio", model, id, error);
    }
    keyvalues_free(list);
    return ok;
}

/* Old: a list of cards. */
bool set_soundhw(struct parse *parse, const char *arg, GError **error)
{
    if (is_help(arg)) {
        parse->options->action = OPTIONS_SOUND_HELP;
        return true;
    }
    char **names = g_strsplit(arg, ",", -1);
    bool ok = true;
    for (unsigned i = 0; names[i] && ok; i++)
        ok = card_add(parse, "-soundhw", names[i], NULL, error);
    g_strfreev(names);
    return ok;
}

/* A card that does not say what it is heard on takes the back end that is given first, as in QEMU; where there is none,
 * one that the board makes. */
void audio_settle(struct parse *parse)
{
    struct options *options = parse->options;
    const char *first = options->audiodevs ? keyvalues_get(g_ptr_array_index(options->audiodevs, 0), "id") : NULL;
    if (options->audiodevs && !first) /* it will be told so */
        return;
    if (parse->speaker_wanted && !options->speaker_audiodev) {
        options->speaker_audiodev = first ? g_intern_string(first) : OPTIONS_DEFAULT_AUDIODEV;
        options->default_audiodev |= !first;
    }
    for (unsigned i = 0; options->devices && i < options->devices->len; i++) {
        struct keyvalues *device = g_ptr_array_index(options->devices, i);
        const char *driver = keyvalues_get(device, "driver");
        if (driver && is_card(driver) && !keyvalues_get(device, "audiodev")) {
            keyvalues_add(device, "audiodev", first ? first : OPTIONS_DEFAULT_AUDIODEV);
            options->default_audiodev |= !first;
        }
    }
}
