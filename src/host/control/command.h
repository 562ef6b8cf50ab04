/* The one table of commands: what may be asked of a running machine, by people (HMP) and by programs (QMP).
 *
 * A command has typed arguments (schema.h), which both faces hand over as one JSON object. The program's face gets the
 * value that run() returns; the human's face prints it with print(). Everything runs on the main thread without the
 * machine lock.
 */
#pragma once

#include <glib.h>
#include <jansson.h>

#include "schema.h"

/* Classes of errors that programs tell apart; whatever else a GError is, is a GenericError. */
enum command_error {
    COMMAND_ERROR_GENERIC,
    COMMAND_ERROR_NOT_FOUND, /* CommandNotFound */
    COMMAND_ERROR_INACTIVE,  /* DeviceNotActive */
    COMMAND_ERROR_NO_DEVICE, /* DeviceNotFound */
};
GQuark command_error(void);
const char *command_error_class(const GError *error);

/* Who asks. */
struct command_context {
    void *machine; /* struct machine, which this folder does not know */
    /* File descriptors that this client has sent along: the oldest one, -1: none. NULL: it cannot. */
    int (*take_fd)(void *client);
    void *client;
    GHashTable *fds; /* named by getfd: name to GINT_TO_POINTER(fd), closed when they are removed; NULL: none can be */
};

struct command {
    const char *name; /* the program's; NULL: for people only */
    /* The human's: names "quit|q", then how arguments are written: "device", "[device]" where it can be left out,
     * "[-f:force]" a flag that is true, "[-f=format]" one with a word behind it, "keys..." the rest of the line, "/fmt"
     * the format of x. "device:M" counts in MiB without a suffix. NULL: for programs only. */
    const char *human;
    const char *args;    /* members (schema.h); NULL: none */
    const char *returns; /* type; NULL: an empty object */
    const char *help;
    /* The value (a new reference), NULL with *error set; where returns is NULL: json_object(), or what it says is
     * dropped. NULL: print does it all. */
    json_t *(*run)(struct command_context *context, json_t *args, GError **error);
    void (*print)(struct command_context *context, json_t *args, json_t *value, GString *out);
};

/* Rows stay. A command of a program's name is there once. */
void commands_add(const struct command *rows, size_t count);
/* In the order in which they were added; NULL behind the last. */
const struct command *command_at(unsigned i);
const struct command *command_find(const char *name);

/* As QMP runs it: arguments are checked. NULL args: none. The value, NULL with *error. */
json_t *command_execute(struct command_context *context, const char *name, json_t *args, GError **error);

/* A line of a human's; what it says is appended to out. */
void command_line(struct command_context *context, const char *line, GString *out);
/* "help" and "help NAME". */
void command_help(struct command_context *context, const char *about, GString *out);
/* What line can go on with, as whole last words; free with g_ptr_array_unref. */
GPtrArray *command_complete(struct command_context *context, const char *line);
/* Names for words of a type of argument ("device"): adds strings to list. */
void command_set_completer(void (*complete)(struct command_context *context, const char *argument, GPtrArray *list));
/* "info WORD" for words that are no rows: print says whether there is such a one; words adds them all to list. */
void command_set_info_fallback(bool (*print)(struct command_context *context, const char *word, GString *out),
                               void (*words)(struct command_context *context, GPtrArray *list));
/* Numbers in human's arguments may name registers ("$eip"). */
void command_set_register_reader(bool (*read)(struct command_context *context, const char *name, int64_t *value));

/* --- For run() and print(): arguments and values --- */

const char *arg_str(const json_t *args, const char *name); /* NULL: not given */
int64_t arg_int(const json_t *args, const char *name, int64_t otherwise);
bool arg_bool(const json_t *args, const char *name, bool otherwise);
/* json_string() of bytes that need not be UTF-8. */
json_t *json_text(const char *text);

#define COMMAND_FAIL(class, ...) (g_set_error(error, command_error(), COMMAND_ERROR_##class, __VA_ARGS__), NULL)
