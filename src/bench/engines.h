/* What runs guests: this program's engines, and peers where they are installed. */
#pragma once

#include <stdbool.h>

#include <glib.h>

enum engine_kind { ENGINE_OURS, ENGINE_QEMU, ENGINE_BOCHS };

struct engine {
    const char *name; /* as in --engines and in reports */
    const char *title;
    enum engine_kind kind;
    bool wanted;
    char *refused; /* why it is left out; NULL if it runs */
    char *message; /* what it says about itself, one line */
    bool has_stats;
};

extern struct engine engines[];
extern const unsigned engine_count;
extern const char *engines_ringer; /* the program of ENGINE_OURS; NULL = this one */

/* From "bt,direct": sets wanted. NULL means every one. */
bool engines_choose(const char *list, GError **error);
/* Asks every wanted engine whether it runs here; kernel is a multiboot kernel to ask with. */
void engines_probe(const char *kernel);
void engines_clear(void);
/* The command line for a guest with its serial line on standard output. For Bochs, kernel is its
 * configuration file and the rest does not matter; initrd, append and monitor (the value of
 * -monitor, with statistics on) may be NULL. NULL-terminated, for g_ptr_array_free. */
GPtrArray *engine_command(const struct engine *engine, const char *kernel, const char *initrd, const char *append,
                          const char *monitor);
