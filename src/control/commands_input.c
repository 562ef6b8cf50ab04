/* Keys and the pointer, as if from a keyboard and a mouse. */
#include <string.h>

#include "commands.h"
#include "host/display/keys.h"
#include "host/display/pointer.h"
#include "lock.h"

#define HOLD_MS  100
#define HOLD_MAX 10000

static bool press(const uint16_t *code, unsigned count, int64_t hold, GError **error)
{
    if (keys_press(code, count, (unsigned)CLAMP(hold, 1, HOLD_MAX)))
        return true;
    g_set_error(error, command_error(), COMMAND_ERROR_GENERIC,
                "the guest still waits for the keys before; try again later");
    return false;
}

static json_t *run_sendkey(struct command_context *context, json_t *args, GError **error)
{
    uint16_t code[KEYS_COMBO_MAX];
    unsigned count = keys_parse(arg_str(args, "keys"), code);
    if (!count)
        return COMMAND_FAIL(GENERIC, "invalid parameter: %s", arg_str(args, "keys"));
    return press(code, count, arg_int(args, "hold-time", HOLD_MS), error) ? json_object() : NULL;
}

/* A KeyValue: {type: qcode, data: name} or {type: number, data: scan code}. */
static bool key_value(const json_t *key, uint16_t *code, GError **error)
{
    const json_t *data = json_object_get(key, "data");
    uint16_t combo[KEYS_COMBO_MAX];
    if (strcmp(arg_str(key, "type"), "number") == 0) {
        json_int_t number = json_integer_value(data);
        *code = (uint16_t)(number & 0x80 ? 0xe000 | (number & 0x7f) : number); /* QEMU's: bit 7 is E0h */
        if (number > 0 && number < 0x100)
            return true;
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "there is no key of number %lld", (long long)number);
        return false;
    }
    if (keys_parse(json_string_value(data), combo) == 1) {
        *code = combo[0];
        return true;
    }
    g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "this keyboard has no key '%s'",
                json_string_value(data));
    return false;
}

static json_t *run_send_key(struct command_context *context, json_t *args, GError **error)
{
    uint16_t code[KEYS_COMBO_MAX];
    const json_t *keys = json_object_get(args, "keys");
    size_t count = json_array_size(keys);
    if (count == 0 || count > KEYS_COMBO_MAX)
        return COMMAND_FAIL(GENERIC, "Parameter 'keys' expects 1 to %u keys", KEYS_COMBO_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!key_value(json_array_get(keys, i), &code[i], error))
            return NULL;
    }
    return press(code, (unsigned)count, arg_int(args, "hold-time", HOLD_MS), error) ? json_object() : NULL;
}

/* Own: types the rest of the line, \n and \t as in C. */
static json_t *run_type(struct command_context *context, json_t *args, GError **error)
{
    char *line = g_strdup(arg_str(args, "text"));
    size_t len = strlen(line), slashes = 0;
    while (slashes < len && line[len - 1 - slashes] == '\\')
        slashes++;
    if (slashes % 2) /* a line that ends in the middle of an escape */
        line[len - 1] = 0;
    char *text = g_strcompress(line);
    bool ok = true;
    for (const char *c = text; *c && ok; c++) {
        uint16_t code[KEYS_COMBO_MAX];
        unsigned count = keys_of_char((unsigned char)*c, code);
        ok = !count || press(code, count, 10, error);
    }
    g_free(text);
    g_free(line);
    return ok ? json_object() : NULL;
}

/* --- The pointer --- */

/* The mouse is told in steps, with the machine lock held: not too many of them. */
static int move_clamp(int64_t move)
{
    return (int)CLAMP(move, -32767, 32767);
}

/* A position, 0 to 32767 each, while a device takes such. */
static json_t *run_mouse_move(struct command_context *context, json_t *args, GError **error)
{
    if (pointer_is_absolute()) {
        pointer_place((int)CLAMP(arg_int(args, "dx", 0), 0, INPUT_ABSOLUTE_MAX),
                      (int)CLAMP(arg_int(args, "dy", 0), 0, INPUT_ABSOLUTE_MAX),
                      (int)CLAMP(arg_int(args, "dz", 0), -127, 127));
        return json_object();
    }
    pointer_move(move_clamp(arg_int(args, "dx", 0)), move_clamp(arg_int(args, "dy", 0)),
                 (int)CLAMP(arg_int(args, "dz", 0), -127, 127));
    return json_object();
}

static json_t *run_mouse_button(struct command_context *context, json_t *args, GError **error)
{
    unsigned state = (unsigned)arg_int(args, "state", 0); /* QEMU's: 1 left, 2 middle, 4 right */
    pointer_buttons((state & 1) | (state & 4) >> 1 | (state & 2) << 1);
    return json_object();
}

static json_t *run_mouse_set(struct command_context *context, json_t *args, GError **error)
{
    struct pointer_look look;
    for (unsigned i = 0; pointer_look(i, &look); i++) {
        if ((int64_t)look.number == arg_int(args, "index", -1)) {
            pointer_choose(look.number);
            return json_object();
        }
    }
    return COMMAND_FAIL(GENERIC, "Mouse at index '%lld' not found", (long long)arg_int(args, "index", -1));
}

static json_t *query_mice(struct command_context *context, json_t *args, GError **error)
{
    struct pointer_look look;
    json_t *list = json_array();
    for (unsigned i = 0; pointer_look(i, &look); i++)
        json_array_append_new(list, json_pack("{s:i s:s s:b s:b}", "index", look.number, "name", look.name, "current",
                                              look.is_current, "absolute", look.is_absolute));
    return list;
}

static void print_mice(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    size_t index;
    json_t *one;
    if (!json_array_size(value))
        g_string_append(out, "No mouse devices connected\n");
    json_array_foreach(value, index, one) g_string_append_printf(
        out, "%c Mouse #%lld: %s%s\n", arg_bool(one, "current", false) ? '*' : ' ', (long long)arg_int(one, "index", 0),
        arg_str(one, "name"), arg_bool(one, "absolute", false) ? " (absolute)" : "");
}

/* --- input-send-event: a list of events that happen at once --- */

static const uint8_t button_bits[] = {0x01, 0x04, 0x02, 0, 0, 0x08, 0x10, 0, 0}; /* InputButton; wheels have none */

static void button_event(const json_t *data, int *wheel)
{
    int button = schema_enum_index("InputButton", arg_str(data, "button"));
    bool down = arg_bool(data, "down", false);
    if (button == 3 || button == 4) { /* wheel-up, wheel-down */
        if (down)
            *wheel += button == 3 ? -1 : 1;
    } else if (button_bits[button]) {
        pointer_button(button_bits[button], down);
    }
}

static json_t *run_send_event(struct command_context *context, json_t *args, GError **error)
{
    const json_t *events = json_object_get(args, "events");
    int dx = 0, dy = 0, wheel = 0, x = -1, y = -1;
    size_t index;
    json_t *event;
    json_array_foreach((json_t *)events, index, event)
    {
        uint16_t code;
        if (strcmp(arg_str(event, "type"), "key") == 0 &&
            !key_value(json_object_get(json_object_get(event, "data"), "key"), &code, error))
            return NULL;
        if (strcmp(arg_str(event, "type"), "abs") == 0 && !pointer_is_absolute())
            return COMMAND_FAIL(GENERIC, "there is no pointing device that takes absolute positions");
    }
    json_array_foreach((json_t *)events, index, event)
    {
        const char *type = arg_str(event, "type");
        const json_t *data = json_object_get(event, "data");
        uint16_t code;
        if (strcmp(type, "key") == 0 && key_value(json_object_get(data, "key"), &code, NULL)) {
            if (!keys_set(code, arg_bool(data, "down", false)))
                return COMMAND_FAIL(GENERIC, "the guest still waits for the keys before; try again later");
        } else if (strcmp(type, "btn") == 0) {
            if (x >= 0 || y >= 0) /* a click is where the pointer has gone before */
                pointer_place(x, y, 0);
            button_event(data, &wheel);
        } else if (strcmp(type, "abs") == 0) {
            *(strcmp(arg_str(data, "axis"), "x") == 0 ? &x : &y) =
                (int)CLAMP(arg_int(data, "value", 0), 0, INPUT_ABSOLUTE_MAX);
        } else if (strcmp(type, "rel") == 0) {
            int *sum = strcmp(arg_str(data, "axis"), "x") == 0 ? &dx : &dy;
            *sum = move_clamp(*sum + move_clamp(arg_int(data, "value", 0)));
        }
    }
    if (x >= 0 || y >= 0)
        pointer_place(x, y, 0);
    if (dx || dy || wheel || (x < 0 && y < 0))
        pointer_move(dx, dy, CLAMP(wheel, -127, 127));
    return json_object();
}

static const struct schema_type types[] = {
    {"QKeyCode",
     "<unmapped shift shift_r alt alt_r ctrl ctrl_r menu esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab q w e r t y "
     "u "
     "i o p bracket_left bracket_right ret a s d f g h j k l semicolon apostrophe grave_accent backslash z x c v b n m "
     "comma dot slash asterisk spc caps_lock f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock scroll_lock kp_divide kp_multiply "
     "kp_subtract kp_add kp_enter kp_decimal sysrq kp_0 kp_1 kp_2 kp_3 kp_4 kp_5 kp_6 kp_7 kp_8 kp_9 less f11 f12 "
     "print "
     "home pgup pgdn end left up down right insert delete stop again props undo front copy open paste find cut lf help "
     "meta_l meta_r compose pause ro hiragana henkan yen muhenkan katakanahiragana kp_comma kp_equals power sleep wake "
     "audionext audioprev audiostop audioplay audiomute volumeup volumedown mediaselect mail calculator computer "
     "ac_home "
     "ac_back ac_forward ac_refresh ac_bookmarks lang1 lang2>"},
    {"KeyValueKind", "<number qcode>"},
    {"IntWrapper", "data:int"},
    {"QKeyCodeWrapper", "data:QKeyCode"},
    {"KeyValue", "type:KeyValueKind | type=number:IntWrapper | type=qcode:QKeyCodeWrapper"},
    {"InputEventKind", "<key btn rel abs>"},
    {"InputButton", "<left middle right wheel-up wheel-down side extra wheel-left wheel-right>"},
    {"InputAxis", "<x y>"},
    {"InputKeyEvent", "key:KeyValue down:bool"},
    {"InputBtnEvent", "button:InputButton down:bool"},
    {"InputMoveEvent", "axis:InputAxis value:int"},
    {"InputKeyEventWrapper", "data:InputKeyEvent"},
    {"InputBtnEventWrapper", "data:InputBtnEvent"},
    {"InputMoveEventWrapper", "data:InputMoveEvent"},
    {"InputEvent", "type:InputEventKind | type=key:InputKeyEventWrapper | type=btn:InputBtnEventWrapper | "
                   "type=rel:InputMoveEventWrapper | type=abs:InputMoveEventWrapper"},
    {"MouseInfo", "name:str index:int current:bool absolute:bool"},
};

static const struct command rows[] = {
    {NULL, "sendkey keys [hold-time]", "keys:str hold-time:int?", NULL, "press keys together, as in ctrl-alt-delete",
     run_sendkey, NULL},
    {"send-key", NULL, "keys:[KeyValue] hold-time:int?", NULL, "press keys together", run_send_key, NULL},
    {NULL, "type text...", "text:str", NULL, "type a text as on a US keyboard; \\n is Enter", run_type, NULL},
    {"input-send-event", NULL, "device:str? head:int? events:[InputEvent]", NULL, "keys, buttons and moves",
     run_send_event, NULL},
    {NULL, "mouse_move dx dy [dz]", "dx:int dy:int dz:int?", NULL,
     "move the pointer, or to a place (0 to 32767) with a tablet", run_mouse_move, NULL},
    {NULL, "mouse_button state", "state:int", NULL, "buttons that are down: 1 left, 2 middle, 4 right",
     run_mouse_button, NULL},
    {NULL, "mouse_set index", "index:int", NULL, "which mouse gets what the pointer does", run_mouse_set, NULL},
    {"query-mice", "info mice", NULL, "[MouseInfo]", "mice", query_mice, print_mice},
};

void commands_input_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    commands_add(rows, G_N_ELEMENTS(rows));
}
