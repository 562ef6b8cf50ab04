/* Lists of options: see keyvalue.h. */
#include "keyvalue.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static GQuark keyvalue_error(void)
{
    return g_quark_from_static_string("ringer-options");
}

static void item_free(gpointer opaque)
{
    struct keyvalue *item = opaque;
    g_free(item->key);
    g_free(item->value);
    g_free(item);
}

struct keyvalues *keyvalues_new(void)
{
    struct keyvalues *list = g_new0(struct keyvalues, 1);
    list->item = g_ptr_array_new_with_free_func(item_free);
    return list;
}

void keyvalues_free(struct keyvalues *list)
{
    if (!list)
        return;
    g_ptr_array_unref(list->item);
    g_free(list);
}

void keyvalues_add(struct keyvalues *list, const char *key, const char *value)
{
    struct keyvalue *item = g_new0(struct keyvalue, 1);
    item->key = g_strdup(key);
    item->value = g_strdup(value);
    g_ptr_array_add(list->item, item);
}

const char *keyvalues_get(struct keyvalues *list, const char *key)
{
    const char *value = NULL;
    for (unsigned i = 0; i < list->item->len; i++) {
        struct keyvalue *item = g_ptr_array_index(list->item, i);
        if (strcmp(item->key, key) == 0) {
            item->used = true;
            value = item->value;
        }
    }
    return value;
}

const char *keyvalues_unused(const struct keyvalues *list)
{
    for (unsigned i = 0; i < list->item->len; i++) {
        const struct keyvalue *item = g_ptr_array_index(list->item, i);
        if (!item->used)
            return item->key;
    }
    return NULL;
}

/* --- a=1,b=2 --- */

/* The next item of the list at *at, without its comma; two commas are one. */
static char *item_next(const char **at)
{
    GString *item = g_string_new(NULL);
    for (; **at; (*at)++) {
        if (**at == ',') {
            (*at)++;
            if (**at != ',')
                break;
        }
        g_string_append_c(item, **at);
    }
    return g_string_free(item, FALSE);
}

static void list_read(struct keyvalues *list, const char *text, const char *implied)
{
    const char *at = text;
    for (bool first = true; *at; first = false) {
        char *item = item_next(&at);
        char *value = strchr(item, '=');
        if (value) {
            *value++ = 0;
            keyvalues_add(list, item, value);
        } else if (first && implied) {
            keyvalues_add(list, implied, item);
        } else if (g_str_has_prefix(item, "no") && item[2] && strcmp(item, "node") != 0) {
            keyvalues_add(list, item + 2, "off");
        } else if (*item) {
            keyvalues_add(list, item, "on");
        }
        g_free(item);
    }
}

/* --- JSON --- */

#define JSON_DEPTH_MAX 16

static bool json_read(struct keyvalues *list, const char *key, json_t *value, unsigned depth)
{
    char *text = NULL;
    if (depth > JSON_DEPTH_MAX)
        return false;
    switch (json_typeof(value)) {
    case JSON_OBJECT: {
        const char *name;
        json_t *member;
        json_object_foreach(value, name, member)
        {
            char *inner = *key ? g_strdup_printf("%s.%s", key, name) : g_strdup(name);
            bool ok = json_read(list, inner, member, depth + 1);
            g_free(inner);
            if (!ok)
                return false;
        }
        return true;
    }
    case JSON_ARRAY:
        for (size_t i = 0; i < json_array_size(value); i++) {
            char *inner = g_strdup_printf("%s.%zu", key, i);
            bool ok = json_read(list, inner, json_array_get(value, i), depth + 1);
            g_free(inner);
            if (!ok)
                return false;
        }
        return true;
    case JSON_STRING:
        text = g_strdup(json_string_value(value));
        break;
    case JSON_INTEGER:
        text = g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        text = g_strdup_printf("%g", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        text = g_strdup(json_is_true(value) ? "on" : "off");
        break;
    case JSON_NULL:
        return true;
    }
    keyvalues_add(list, key, text);
    g_free(text);
    return true;
}

struct keyvalues *keyvalues_parse(const char *text, const char *what, const char *implied, GError **error)
{
    struct keyvalues *list = keyvalues_new();
    if (*text != '{') {
        list_read(list, text, implied);
        return list;
    }
    json_error_t where;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    bool ok = root && json_read(list, "", root, 0);
    if (!ok)
        g_set_error(error, keyvalue_error(), 0, "%s: this JSON is not understood: %s", what,
                    root ? "it is nested too deeply" : where.text);
    json_decref(root);
    if (ok)
        return list;
    keyvalues_free(list);
    return NULL;
}

/* --- Values --- */

bool value_is_switch(const char *value, bool *on)
{
    static const char *const yes[] = {"on", "yes", "true", "y"}, *const no[] = {"off", "no", "false", "n"};
    for (unsigned i = 0; i < G_N_ELEMENTS(yes); i++) {
        if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
            *on = strcmp(value, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

bool value_is_number(const char *value, uint64_t max, uint64_t *number)
{
    char *end;
    if (value[0] < '0' || value[0] > '9')
        return false;
    errno = 0;
    unsigned long long parsed = strtoull(value, &end, 0);
    if (errno || *end || parsed > max)
        return false;
    *number = parsed;
    return true;
}

bool value_is_size(const char *value, unsigned shift, uint64_t *bytes)
{
    static const char units[] = "BKMGT";
    char *end;
    if (value[0] < '0' || value[0] > '9')
        return false;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno)
        return false;
    if (*end) {
        const char *unit = strchr(units, g_ascii_toupper(*end));
        if (!unit || (end[1] && strcmp(end + 1, "B") != 0 && strcmp(end + 1, "iB") != 0))
            return false;
        shift = 10 * (unsigned)(unit - units);
    }
    if (number > UINT64_MAX >> shift)
        return false;
    *bytes = (uint64_t)number << shift;
    return true;
}

bool value_is_mac(const char *value, uint8_t mac[6])
{
    uint8_t bytes[6];
    for (unsigned i = 0; i < 6; i++, value++) {
        int high = g_ascii_xdigit_value(value[0]), low = high < 0 ? -1 : g_ascii_xdigit_value(value[1]);
        if (high >= 0 && low >= 0)
            value += 2;
        else if (high >= 0) /* one digit, as QEMU takes it */
            low = high, high = 0, value += 1;
        else
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
        if (i < 5 ? *value != ':' && *value != '-' : *value != 0)
            return false;
    }
    memcpy(mac, bytes, 6);
    return true;
}
