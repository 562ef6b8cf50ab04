/* Types declared as text. See schema.h; the shape of what query-qmp-schema says is QEMU's (qapi/introspect.json). */
#include "schema.h"

#include <string.h>

#include "log.h"

#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, __VA_ARGS__), false)

static const struct {
    const char *name, *expected, *json;
} builtins[] = {{"str", "string", "string"},    {"int", "integer", "int"}, {"number", "number", "number"},
                {"bool", "boolean", "boolean"}, {"null", "null", "null"},  {"any", "value", "value"}};

struct member {
    char *name, *type;
    bool optional;
};

struct variant {
    char *value, *type;
};

/* A declaration, taken apart. */
struct shape {
    const char *name;
    char **values;  /* an enum's; NULL: an object */
    GArray *member; /* struct member */
    GArray *variant;
    char *tag; /* NULL: no variants */
    bool is_open;
};

static GHashTable *shapes; /* by name */

static int builtin_find(const char *type)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(builtins); i++) {
        if (strcmp(builtins[i].name, type) == 0)
            return (int)i;
    }
    return -1;
}

static void member_clear(gpointer opaque)
{
    struct member *member = opaque;
    g_free(member->name);
    g_free(member->type);
}

static void variant_clear(gpointer opaque)
{
    struct variant *variant = opaque;
    g_free(variant->value);
    g_free(variant->type);
}

static void word_take(struct shape *shape, const char *word)
{
    const char *colon = strchr(word, ':'), *equals = strchr(word, '=');
    if (strcmp(word, "*") == 0) {
        shape->is_open = true;
        return;
    }
    assert_always(colon);
    if (equals && equals < colon) {
        struct variant variant = {g_strndup(equals + 1, (gsize)(colon - equals - 1)), g_strdup(colon + 1)};
        if (!shape->tag)
            shape->tag = g_strndup(word, (gsize)(equals - word));
        g_array_append_val(shape->variant, variant);
        return;
    }
    struct member member = {g_strndup(word, (gsize)(colon - word)), g_strdup(colon + 1), g_str_has_suffix(word, "?")};
    if (member.optional)
        member.type[strlen(member.type) - 1] = 0;
    g_array_append_val(shape->member, member);
}

static struct shape *shape_parse(const char *name, const char *text)
{
    struct shape *shape = g_new0(struct shape, 1);
    shape->name = name;
    if (*text == '<') {
        char *inside = g_strndup(text + 1, strlen(text) - 2);
        shape->values = g_strsplit(inside, " ", -1);
        g_free(inside);
        return shape;
    }
    shape->member = g_array_new(FALSE, FALSE, sizeof(struct member));
    shape->variant = g_array_new(FALSE, FALSE, sizeof(struct variant));
    g_array_set_clear_func(shape->member, member_clear);
    g_array_set_clear_func(shape->variant, variant_clear);
    char **words = g_strsplit_set(text, " |", -1);
    for (unsigned i = 0; words[i]; i++) {
        if (*words[i])
            word_take(shape, words[i]);
    }
    g_strfreev(words);
    return shape;
}

static void shape_free(gpointer opaque)
{
    struct shape *shape = opaque;
    g_strfreev(shape->values);
    if (shape->member)
        g_array_unref(shape->member);
    if (shape->variant)
        g_array_unref(shape->variant);
    g_free(shape->tag);
    g_free(shape);
}

void schema_add(const struct schema_type *types, size_t count)
{
    if (!shapes)
        shapes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, shape_free);
    for (size_t i = 0; i < count; i++) {
        bool is_new = g_hash_table_insert(shapes, (gpointer)types[i].name, shape_parse(types[i].name, types[i].text));
        assert_always(is_new);
    }
}

static struct shape *shape_find(const char *name)
{
    struct shape *shape = shapes ? g_hash_table_lookup(shapes, name) : NULL;
    if (!shape)
        log_user("schema: there is no type '%s'", name);
    assert_always(shape);
    return shape;
}

/* Of "[T]": T, to be freed; NULL: it is no array. */
static char *element_of(const char *type)
{
    return *type == '[' ? g_strndup(type + 1, strlen(type) - 2) : NULL;
}

static int enum_index(const struct shape *shape, const char *value)
{
    for (unsigned i = 0; shape->values[i]; i++) {
        if (strcmp(shape->values[i], value) == 0)
            return (int)i;
    }
    return -1;
}

int schema_enum_index(const char *type, const char *value)
{
    return enum_index(shape_find(type), value);
}

/* --- Checking --- */

static bool object_check(const struct shape *shape, const json_t *value, const char *name, GError **error);

static bool builtin_check(int builtin, const json_t *value, const char *name, GError **error)
{
    switch (builtins[builtin].name[0]) {
    case 's':
        if (json_is_string(value))
            return true;
        break;
    case 'i':
        if (json_is_integer(value))
            return true;
        break;
    case 'n':
        if (strcmp(builtins[builtin].name, "null") == 0 ? json_is_null(value) : json_is_number(value))
            return true;
        break;
    case 'b':
        if (json_is_boolean(value))
            return true;
        break;
    default:
        return true;
    }
    return FAIL("Invalid parameter type for '%s', expected: %s", name, builtins[builtin].expected);
}

bool schema_check(const char *type, const json_t *value, const char *name, GError **error)
{
    int builtin = builtin_find(type);
    if (builtin >= 0)
        return builtin_check(builtin, value, name, error);
    char *element = element_of(type);
    if (element) {
        bool ok = json_is_array(value) || FAIL("Invalid parameter type for '%s', expected: array", name);
        for (size_t i = 0; ok && i < json_array_size(value); i++) {
            char *inner = g_strdup_printf("%s[%zu]", name, i);
            ok = schema_check(element, json_array_get(value, i), inner, error);
            g_free(inner);
        }
        g_free(element);
        return ok;
    }
    const struct shape *shape = shape_find(type);
    if (shape->values) {
        if (!json_is_string(value))
            return FAIL("Invalid parameter type for '%s', expected: string", name);
        return enum_index(shape, json_string_value(value)) >= 0 ||
               FAIL("Parameter '%s' does not accept value '%s'", name, json_string_value(value));
    }
    return object_check(shape, value, name, error);
}

static const struct shape *variant_shape(const struct shape *shape, const json_t *object)
{
    const char *value = shape->tag ? json_string_value(json_object_get(object, shape->tag)) : NULL;
    for (unsigned i = 0; value && i < shape->variant->len; i++) {
        const struct variant *variant = &g_array_index(shape->variant, struct variant, i);
        if (strcmp(variant->value, value) == 0)
            return shape_find(variant->type);
    }
    return NULL;
}

/* "name" of a member: with the object's own name in front, if it has one. */
static char *inner_name(const char *name, const char *member)
{
    return *name ? g_strdup_printf("%s.%s", name, member) : g_strdup(member);
}

static bool members_check(const struct shape *shape, const json_t *object, const char *name, GError **error)
{
    bool ok = true;
    for (unsigned i = 0; ok && i < shape->member->len; i++) {
        const struct member *member = &g_array_index(shape->member, struct member, i);
        const json_t *value = json_object_get(object, member->name);
        char *inner = inner_name(name, member->name);
        if (value)
            ok = schema_check(member->type, value, inner, error);
        else if (!member->optional)
            ok = FAIL("Parameter '%s' is missing", inner);
        g_free(inner);
    }
    return ok;
}

static bool has_member(const struct shape *shape, const char *name)
{
    for (unsigned i = 0; i < shape->member->len; i++) {
        if (strcmp(g_array_index(shape->member, struct member, i).name, name) == 0)
            return true;
    }
    return false;
}

static bool object_check(const struct shape *shape, const json_t *value, const char *name, GError **error)
{
    if (!json_is_object(value))
        return FAIL("Invalid parameter type for '%s', expected: object", name);
    if (!members_check(shape, value, name, error))
        return false;
    const struct shape *variant = variant_shape(shape, value);
    if (variant && !members_check(variant, value, name, error))
        return false;
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)value, key, member)
    {
        if (shape->is_open || has_member(shape, key) || (variant && (variant->is_open || has_member(variant, key))))
            continue;
        char *inner = inner_name(name, key);
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "Parameter '%s' is unexpected", inner);
        g_free(inner);
        return false;
    }
    return true;
}

bool schema_check_members(const char *members, const json_t *object, GError **error)
{
    struct shape *shape = shape_parse("", members);
    bool ok = object_check(shape, object, "", error);
    shape_free(shape);
    return ok;
}

char *schema_member_type(const char *members, const char *name, bool *is_optional)
{
    struct shape *shape = shape_parse("", members);
    char *type = NULL;
    for (unsigned i = 0; i < shape->member->len; i++) {
        const struct member *member = &g_array_index(shape->member, struct member, i);
        if (strcmp(member->name, name) == 0) {
            type = g_strdup(member->type);
            *is_optional = member->optional;
        }
    }
    shape_free(shape);
    return type;
}

/* --- Telling --- */

struct schema_writer {
    json_t *entities;
    GHashTable *names; /* of types written: type text to number */
};

struct schema_writer *schema_writer_new(void)
{
    struct schema_writer *writer = g_new0(struct schema_writer, 1);
    writer->entities = json_array();
    writer->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return writer;
}

static json_t *entity(const char *name, const char *meta)
{
    return json_pack("{s:s s:s}", "name", name, "meta-type", meta);
}

static const char *type_write(struct schema_writer *writer, const char *type);

static json_t *members_write(struct schema_writer *writer, const struct shape *shape)
{
    json_t *members = json_array();
    for (unsigned i = 0; i < shape->member->len; i++) {
        const struct member *member = &g_array_index(shape->member, struct member, i);
        json_t *one = json_pack("{s:s s:s}", "name", member->name, "type", type_write(writer, member->type));
        if (member->optional)
            json_object_set_new(one, "default", json_null());
        json_array_append_new(members, one);
    }
    return members;
}

static void object_write(struct schema_writer *writer, const char *name, const struct shape *shape)
{
    json_t *object = entity(name, "object");
    json_array_append_new(writer->entities, object);
    json_object_set_new(object, "members", members_write(writer, shape));
    if (!shape->tag)
        return;
    json_t *variants = json_array();
    const char *tag_type = NULL;
    for (unsigned i = 0; i < shape->member->len; i++) {
        const struct member *member = &g_array_index(shape->member, struct member, i);
        if (strcmp(member->name, shape->tag) == 0)
            tag_type = member->type;
    }
    assert_always(tag_type);
    const struct shape *tag = shape_find(tag_type);
    for (unsigned v = 0; tag->values[v]; v++) { /* those without members of their own, too */
        const char *type = "Empty";
        for (unsigned i = 0; i < shape->variant->len; i++) {
            const struct variant *variant = &g_array_index(shape->variant, struct variant, i);
            if (strcmp(variant->value, tag->values[v]) == 0)
                type = variant->type;
        }
        json_array_append_new(variants,
                              json_pack("{s:s s:s}", "case", tag->values[v], "type", type_write(writer, type)));
    }
    json_object_set_new(object, "tag", json_string(shape->tag));
    json_object_set_new(object, "variants", variants);
}

static void enum_write(struct schema_writer *writer, const char *name, const struct shape *shape)
{
    json_t *values = json_array(), *members = json_array(), *object = entity(name, "enum");
    for (unsigned i = 0; shape->values[i]; i++) {
        json_array_append_new(values, json_string(shape->values[i]));
        json_array_append_new(members, json_pack("{s:s}", "name", shape->values[i]));
    }
    json_object_set_new(object, "members", members);
    json_object_set_new(object, "values", values);
    json_array_append_new(writer->entities, object);
}

/* Returns the name under which clients find the type. */
static const char *type_write(struct schema_writer *writer, const char *type)
{
    const char *known = g_hash_table_lookup(writer->names, type);
    if (known)
        return known;
    int builtin = builtin_find(type);
    char *element = element_of(type);
    char *name = builtin >= 0 ? g_strdup(type) : NULL;
    if (element) {
        const char *inner = type_write(writer, element);
        name = g_strdup_printf("[%s]", inner);
        json_t *array = entity(name, "array");
        json_object_set_new(array, "element-type", json_string(inner));
        json_array_append_new(writer->entities, array);
        g_free(element);
    }
    if (!name)
        name = g_strdup_printf("%u", g_hash_table_size(writer->names));
    g_hash_table_insert(writer->names, g_strdup(type), name);
    if (builtin >= 0) {
        json_t *object = entity(name, "builtin");
        json_object_set_new(object, "json-type", json_string(builtins[builtin].json));
        json_array_append_new(writer->entities, object);
    } else if (*type != '[') {
        const struct shape *shape = shape_find(type);
        if (shape->values)
            enum_write(writer, name, shape);
        else
            object_write(writer, name, shape);
    }
    return name;
}

/* An object without a name of its own. */
static const char *members_type_write(struct schema_writer *writer, const char *members)
{
    const char *known = g_hash_table_lookup(writer->names, members);
    if (known)
        return known;
    char *name = g_strdup_printf("%u", g_hash_table_size(writer->names));
    struct shape *shape = shape_parse("", members);
    g_hash_table_insert(writer->names, g_strdup(members), name);
    object_write(writer, name, shape);
    shape_free(shape);
    return name;
}

void schema_write_command(struct schema_writer *writer, const char *name, const char *args, const char *returns)
{
    json_t *command = entity(name, "command");
    json_object_set_new(command, "arg-type", json_string(members_type_write(writer, args ? args : "")));
    json_object_set_new(command, "ret-type",
                        json_string(returns ? type_write(writer, returns) : members_type_write(writer, "")));
    json_array_append_new(writer->entities, command);
}

void schema_write_event(struct schema_writer *writer, const char *name, const char *data)
{
    json_t *event = entity(name, "event");
    json_object_set_new(event, "arg-type", json_string(members_type_write(writer, data ? data : "")));
    json_array_append_new(writer->entities, event);
}

json_t *schema_writer_free(struct schema_writer *writer)
{
    json_t *entities = writer->entities;
    g_hash_table_unref(writer->names);
    g_free(writer);
    return entities;
}
