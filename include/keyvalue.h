/* Lists of options as QEMU's command line has them: "a=1,b=2", or a JSON object.
 *
 * In a list two commas are one in a value; a first word without '=' is the value of an implied key; a further one is
 * switched on (with "no" in front of it: off). JSON: members of inner objects are "outer.inner", elements of arrays
 * "list.0"; true and false are on and off.
 */
#pragma once

#include <glib.h>

#include "types.h"

struct keyvalue {
    char *key, *value;
    bool used; /* somebody has asked for it */
};

struct keyvalues {
    GPtrArray *item; /* of struct keyvalue, in the order given */
};

/* what: for messages, "-device". implied: key of a first word without '=', NULL: there is none. NULL with a sentence in
 * *error. */
struct keyvalues *keyvalues_parse(const char *text, const char *what, const char *implied, GError **error);
struct keyvalues *keyvalues_new(void);
void keyvalues_free(struct keyvalues *list);
void keyvalues_add(struct keyvalues *list, const char *key, const char *value);
/* The last value given for key, NULL if there is none. */
const char *keyvalues_get(struct keyvalues *list, const char *key);
/* The first key that nobody has asked for, or NULL. */
const char *keyvalues_unused(const struct keyvalues *list);

/* on, yes, true, off, no, false. */
bool value_is_switch(const char *value, bool *on);
/* Decimal, hexadecimal (0x) or octal, nothing after it, at most max. */
bool value_is_number(const char *value, uint64_t max, uint64_t *number);
/* As -m has it: a number with B, K, M, G, T behind it, or without: then in units of 1 << shift bytes. */
bool value_is_size(const char *value, unsigned shift, uint64_t *bytes);
/* Six bytes in hexadecimal with ':' or '-' between them. */
bool value_is_mac(const char *value, uint8_t mac[6]);
