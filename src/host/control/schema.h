/* Types of what is said in QMP: declared as text, checked against values, told by query-qmp-schema.
 *
 *     str int number bool any null     built in
 *     [T]                              an array
 *     Name                             a declared type (struct schema_type)
 *
 * A declaration is an enum "<one two three>", or an object: members "name:T", optional ones "name:T?", in any order,
 * and "*" when it may have further members. Behind a member "type:Kind" of an enum type an object can have variants:
 * "| type=inet:InetAddress | type=unix:UnixAddress": the members of that object are there, too, for that value.
 *
 * The names are those of QEMU's QAPI where it has such a type; clients never see them.
 */
#pragma once

#include <glib.h>
#include <jansson.h>

#include "types.h"

struct schema_type {
    const char *name, *text;
};

/* Adds declarations; both the array and its texts stay. A name is declared once. */
void schema_add(const struct schema_type *types, size_t count);

/* Checks a value against a type; the words of the error are QEMU's. name: how messages call the value. */
bool schema_check(const char *type, const json_t *value, const char *name, GError **error);
/* The same for an object of members (text as above) that has no name of its own: a command's arguments. */
bool schema_check_members(const char *members, const json_t *object, GError **error);

/* A member of such a text: its type (g_free), NULL if there is none. */
char *schema_member_type(const char *members, const char *name, bool *is_optional);
/* The value's place in an enum, -1 if it has none. */
int schema_enum_index(const char *type, const char *value);

/* query-qmp-schema. schema_entity adds what has a type: "command" (args members, returns a type or NULL) or "event". */
struct schema_writer;
struct schema_writer *schema_writer_new(void);
void schema_write_command(struct schema_writer *writer, const char *name, const char *args, const char *returns);
void schema_write_event(struct schema_writer *writer, const char *name, const char *data);
json_t *schema_writer_free(struct schema_writer *writer); /* the array */
