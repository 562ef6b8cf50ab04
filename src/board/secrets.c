/* -object secret,id=ID,file=PATH or data=TEXT, format=raw or base64. See secrets.h. */
#include "secrets.h"

#include <string.h>

#include "keyvalue.h"

#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, __VA_ARGS__), NULL)

static struct keyvalues *secret_find(const struct options *options, const char *id)
{
    for (unsigned i = 0; options->objects && i < options->objects->len; i++) {
        struct keyvalues *list = g_ptr_array_index(options->objects, i);
        const char *type = keyvalues_get(list, "qom-type"), *own = keyvalues_get(list, "id");
        if (type && own && strcmp(type, "secret") == 0 && strcmp(own, id) == 0)
            return list;
    }
    return NULL;
}

char *secret_read(const struct options *options, const char *id, GError **error)
{
    struct keyvalues *list = secret_find(options, id);
    if (!list)
        return FAIL("there is no -object secret with the id '%s'", id);
    const char *data = keyvalues_get(list, "data"), *file = keyvalues_get(list, "file");
    const char *format = keyvalues_get(list, "format"), *unknown = keyvalues_unused(list);
    char *text = NULL;
    if (unknown)
        return FAIL("-object secret: '%s' is not supported", unknown);
    if (!data == !file)
        return FAIL("-object secret,id=%s: give either data=TEXT or file=PATH", id);
    if (data)
        text = g_strdup(data);
    else if (!g_file_get_contents(file, &text, NULL, error))
        return NULL;
    if (format && strcmp(format, "base64") == 0) {
        gsize len;
        g_base64_decode_inplace(text, &len);
        text[len] = 0;
    } else if (format && strcmp(format, "raw") != 0) {
        g_free(text);
        return FAIL("-object secret: format is raw or base64, not '%s'", format);
    }
    return text;
}
