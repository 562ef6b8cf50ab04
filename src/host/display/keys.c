/* Keys by name and by character, and a queue that types them no faster than a guest can read. See keys.h. */
#include "keys.h"

#include <glib.h>
#include <string.h>

#include "vclock.h"

#define SHIFT 0x2a

/* Scan code set 1; E0xxh for the extended keys. */
static const struct {
    const char *name;
    uint16_t code;
} names[] = {
    {"esc", 0x01},
    {"1", 0x02},
    {"2", 0x03},
    {"3", 0x04},
    {"4", 0x05},
    {"5", 0x06},
    {"6", 0x07},
    {"7", 0x08},
    {"8", 0x09},
    {"9", 0x0a},
    {"0", 0x0b},
    {"minus", 0x0c},
    {"equal", 0x0d},
    {"backspace", 0x0e},
    {"tab", 0x0f},
    {"q", 0x10},
    {"w", 0x11},
    {"e", 0x12},
    {"r", 0x13},
    {"t", 0x14},
    {"y", 0x15},
    {"u", 0x16},
    {"i", 0x17},
    {"o", 0x18},
    {"p", 0x19},
    {"bracket_left", 0x1a},
    {"bracket_right", 0x1b},
    {"ret", 0x1c},
    {"ctrl", 0x1d},
    {"a", 0x1e},
    {"s", 0x1f},
    {"d", 0x20},
    {"f", 0x21},
    {"g", 0x22},
    {"h", 0x23},
    {"j", 0x24},
    {"k", 0x25},
    {"l", 0x26},
    {"semicolon", 0x27},
    {"apostrophe", 0x28},
    {"grave_accent", 0x29},
    {"shift", 0x2a},
    {"backslash", 0x2b},
    {"z", 0x2c},
    {"x", 0x2d},
    {"c", 0x2e},
    {"v", 0x2f},
    {"b", 0x30},
    {"n", 0x31},
    {"m", 0x32},
    {"comma", 0x33},
    {"dot", 0x34},
    {"slash", 0x35},
    {"shift_r", 0x36},
    {"asterisk", 0x37},
    {"kp_multiply", 0x37},
    {"alt", 0x38},
    {"spc", 0x39},
    {"caps_lock", 0x3a},
    {"f1", 0x3b},
    {"f2", 0x3c},
    {"f3", 0x3d},
    {"f4", 0x3e},
    {"f5", 0x3f},
    {"f6", 0x40},
    {"f7", 0x41},
    {"f8", 0x42},
    {"f9", 0x43},
    {"f10", 0x44},
    {"num_lock", 0x45},
    {"scroll_lock", 0x46},
    {"kp_7", 0x47},
    {"kp_8", 0x48},
    {"kp_9", 0x49},
    {"kp_subtract", 0x4a},
    {"kp_4", 0x4b},
    {"kp_5", 0x4c},
    {"kp_6", 0x4d},
    {"kp_add", 0x4e},
    {"kp_1", 0x4f},
    {"kp_2", 0x50},
    {"kp_3", 0x51},
    {"kp_0", 0x52},
    {"kp_decimal", 0x53},
    {"sysrq", 0x54},
    {"less", 0x56},
    {"f11", 0x57},
    {"f12", 0x58},
    {"kp_enter", 0xe01c},
    {"ctrl_r", 0xe01d},
    {"kp_divide", 0xe035},
    {"print", 0xe037},
    {"alt_r", 0xe038},
    {"home", 0xe047},
    {"up", 0xe048},
    {"pgup", 0xe049},
    {"left", 0xe04b},
    {"right", 0xe04d},
    {"end", 0xe04f},
    {"down", 0xe050},
    {"pgdn", 0xe051},
    {"insert", 0xe052},
    {"delete", 0xe053},
    {"meta_l", 0xe05b},
    {"meta_r", 0xe05c},
    {"menu", 0xe05d},
    {"pause", 0xe11d},
};

unsigned keys_parse(const char *combo, uint16_t code[KEYS_COMBO_MAX])
{
    char **parts = g_strsplit(combo, "-", -1);
    unsigned count = 0;

    for (unsigned i = 0; parts[i]; i++) {
        const char *end;
        uint64_t number = 0;
        bool known = false;
        if (g_str_has_prefix(parts[i], "0x")) {
            number = g_ascii_strtoull(parts[i], (char **)&end, 16);
            known = !*end && number && number < 0x80;
        }
        for (unsigned n = 0; n < G_N_ELEMENTS(names) && !known; n++) {
            if (strcmp(names[n].name, parts[i]) == 0) {
                number = names[n].code;
                known = true;
            }
        }
        if (!known || count == KEYS_COMBO_MAX) {
            count = 0;
            break;
        }
        code[count++] = (uint16_t)number;
    }
    g_strfreev(parts);
    return count;
}

unsigned keys_of_char(unsigned char c, uint16_t code[KEYS_COMBO_MAX])
{
    /* Position in these rows is the scan code, counted from the row's first. */
    static const struct {
        uint8_t first;
        const char *plain, *shifted;
    } rows[] = {
        {0x02, "1234567890-=", "!@#$%^&*()_+"},
        {0x10, "qwertyuiop[]", "QWERTYUIOP{}"},
        {0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
        {0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?"},
    };
    static const struct {
        unsigned char c;
        uint8_t code;
    } controls[] = {{'\r', 0x1c}, {'\n', 0x1c}, {'\t', 0x0f}, {0x1b, 0x01}, {0x7f, 0x0e}, {0x08, 0x0e}, {' ', 0x39}};

    for (unsigned i = 0; i < G_N_ELEMENTS(controls); i++) {
        if (c == controls[i].c) {
            code[0] = controls[i].code;
            return 1;
        }
    }
    for (unsigned i = 0; c && i < G_N_ELEMENTS(rows); i++) {
        const char *at = strchr(rows[i].plain, c);
        if (at) {
            code[0] = (uint16_t)(rows[i].first + (at - rows[i].plain));
            return 1;
        }
        at = strchr(rows[i].shifted, c);
        if (at) {
            code[0] = SHIFT;
            code[1] = (uint16_t)(rows[i].first + (at - rows[i].shifted));
            return 2;
        }
    }
    if (c >= 1 && c <= 26) {
        uint16_t letter[KEYS_COMBO_MAX];
        keys_of_char((unsigned char)('a' + c - 1), letter);
        code[0] = 0x1d;
        code[1] = letter[0];
        return 2;
    }
    return 0;
}

/* --- The queue --- */

#define STEP_MS      5
#define EVENTS_LIMIT 65536u /* a quarter of it: characters that wait to be typed */

struct event {
    uint16_t code;
    bool down;
    unsigned wait_ms; /* before it */
};

static struct {
    GQueue queue; /* struct event */
    bool timer_runs;
    void (*sink)(void *opaque, uint16_t code, bool down);
    unsigned (*leds)(void *opaque);
    void *sink_opaque;
} keys = {.queue = G_QUEUE_INIT};

void keys_set_sink(void (*send)(void *opaque, uint16_t code, bool down), unsigned (*leds)(void *opaque), void *opaque)
{
    keys.sink = send;
    keys.leds = leds;
    keys.sink_opaque = opaque;
}

unsigned keys_leds(void)
{
    machine_lock();
    unsigned leds = keys.leds ? keys.leds(keys.sink_opaque) : 0;
    machine_unlock();
    return leds;
}

static gboolean event_due(gpointer opaque)
{
    struct event *event = g_queue_pop_head(&keys.queue);
    const struct event *next = g_queue_peek_head(&keys.queue);

    machine_lock();
    if (keys.sink)
        keys.sink(keys.sink_opaque, event->code, event->down);
    machine_unlock();
    g_free(event);
    if (next)
        g_timeout_add(next->wait_ms, event_due, NULL);
    keys.timer_runs = next;
    return G_SOURCE_REMOVE;
}

static void event_add(uint16_t code, bool down, unsigned wait_ms)
{
    struct event *event = g_new(struct event, 1);
    *event = (struct event){code, down, wait_ms};
    g_queue_push_tail(&keys.queue, event);
    if (!keys.timer_runs)
        g_timeout_add(wait_ms, event_due, NULL);
    keys.timer_runs = true;
}

bool keys_press(const uint16_t *code, unsigned count, unsigned hold_ms)
{
    if (keys.queue.length + 2 * count > EVENTS_LIMIT)
        return false;
    for (unsigned i = 0; i < count; i++)
        event_add(code[i], true, STEP_MS);
    for (unsigned i = count; i-- > 0;)
        event_add(code[i], false, i == count - 1 ? hold_ms : STEP_MS);
    return true;
}

bool keys_set(uint16_t code, bool down)
{
    if (keys.queue.length >= EVENTS_LIMIT)
        return false;
    event_add(code, down, STEP_MS);
    return true;
}
