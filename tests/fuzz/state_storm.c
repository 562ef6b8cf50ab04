/* States of a machine with bytes of them changed, cut off, sections left out, doubled or in another order: each is
 * refused with a sentence, or is a machine that goes on somehow. Nothing may end the process, and the right state still
 * loads afterwards and is saved again as it was.
 *
 * usage: state_storm ROUNDS SEED RINGER-OPTIONS...    (no -no-reboot, no isa-debug-exit: what a guest does then ends
 * it)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/machine.h"
#include "cli/options.h"
#include "log.h"
#include "state/machine_state.h"

#define HEAD     12 /* bytes before the first section */
#define START_MS 300
#define RUN_MS   4 /* for which a machine with a damaged state runs */

static struct machine *machine;
static GByteArray *good;
static GRand *rand_source;
static unsigned rounds, done, accepted;

struct section {
    guint at, len, body; /* in the stream; body: where its bytes begin */
};

static GArray *sections_of(const GByteArray *stream)
{
    GArray *found = g_array_new(FALSE, FALSE, sizeof(struct section));
    for (guint at = HEAD; at < stream->len;) {
        guint64 size;
        guint head = 1u + stream->data[at] + 4 + 8;
        memcpy(&size, stream->data + at + head - 8, 8);
        struct section section = {at, head + (guint)size, at + head};
        g_array_append_val(found, section);
        at += section.len;
    }
    return found;
}

static guint below(guint n)
{
    return (guint)g_rand_int_range(rand_source, 0, (gint32)n);
}

static uint8_t byte(void)
{
    static const uint8_t special[] = {0, 1, 2, 0x7f, 0x80, 0xff};
    return below(2) ? special[below(sizeof special)] : (uint8_t)below(256);
}

/* Bytes within one section; it is chosen first, as main memory is most of the stream. */
static void change_bytes(GByteArray *stream, const GArray *sections)
{
    guint which = below(4) ? below(sections->len) : sections->len - 1; /* the last is the processor */
    const struct section *s = &g_array_index(sections, struct section, which);
    guint from = below(8) ? s->body : s->at, len = s->at + s->len - from;
    for (guint n = 1 + below(4); n-- && len;)
        stream->data[from + below(len)] = byte();
}

static GByteArray *rearranged(const GByteArray *stream, const GArray *sections)
{
    GByteArray *out = g_byte_array_new();
    guint odd = below(sections->len), other = below(sections->len), what = below(3);
    g_byte_array_append(out, stream->data, HEAD);
    for (guint i = 0; i < sections->len; i++) {
        guint take = what == 2 && i == odd ? other : what == 2 && i == other ? odd : i;
        const struct section *s = &g_array_index(sections, struct section, take);
        for (guint n = i == odd && what < 2 ? 2 * what : 1; n--;) /* left out, twice, or in another's place */
            g_byte_array_append(out, stream->data + s->at, s->len);
    }
    return out;
}

static GByteArray *damaged(void)
{
    GArray *sections = sections_of(good);
    GByteArray *stream = g_byte_array_append(g_byte_array_sized_new(good->len), good->data, good->len);
    guint kind = below(20);
    if (kind == 0) {
        g_byte_array_set_size(stream, below(stream->len));
    } else if (kind < 4) {
        GByteArray *other = rearranged(stream, sections);
        g_byte_array_unref(stream);
        stream = other;
    } else {
        change_bytes(stream, sections);
    }
    g_array_unref(sections);
    return stream;
}

static void tell_difference(const GByteArray *before, const GByteArray *again)
{
    GArray *sections = sections_of(before);
    guint at = 0, i = 0;
    while (at < before->len && at < again->len && before->data[at] == again->data[at])
        at++;
    while (i + 1 < sections->len && g_array_index(sections, struct section, i + 1).at <= at)
        i++;
    const struct section *s = &g_array_index(sections, struct section, i);
    printf("state_storm: the right state is not saved as it was loaded: section '%.*s', byte %u of %u; before it:",
           before->data[s->at], before->data + s->at + 1, at - s->body, s->len);
    for (guint k = MAX(s->body, at > 60 ? at - 60 : 0); k < at; k++)
        putchar(g_ascii_isprint(before->data[k]) ? before->data[k] : '.');
    putchar('\n');
    g_array_unref(sections);
}

static GByteArray *load_and_save(const GByteArray *stream)
{
    GError *error = NULL;
    GByteArray *again = g_byte_array_new();
    if (!machine_load(machine, stream->data, stream->len, &error)) {
        printf("state_storm: the right state is refused: %s\n", error->message);
        machine_quit(machine, 1);
        exit(1);
    }
    machine_save(machine, again);
    return again;
}

/* What was due at the moment of saving is done when it is loaded; from then on nothing changes. */
static int end(void)
{
    machine_pause(machine, PAUSE_SNAPSHOT);
    GByteArray *first = load_and_save(good), *second = load_and_save(first);
    bool same = first->len == second->len && memcmp(first->data, second->data, first->len) == 0;
    if (!same)
        tell_difference(first, second);
    machine_resume(machine, PAUSE_SNAPSHOT);
    printf("state_storm: %u states, %u of them accepted\n", done, accepted);
    return same && accepted && accepted < done ? 0 : 1;
}

static gboolean round_due(gpointer opaque)
{
    GError *error = NULL;
    if (!good) {
        good = g_byte_array_new();
        machine_save(machine, good);
    } else if (done == rounds) {
        machine_quit(machine, end());
        return G_SOURCE_REMOVE;
    } else {
        GByteArray *stream = damaged();
        if (machine_load(machine, stream->data, stream->len, &error))
            accepted++;
        else if (!error || !*error->message)
            g_error("state_storm: a state was refused without a sentence");
        g_clear_error(&error);
        g_byte_array_unref(stream);
        done++;
    }
    g_timeout_add(RUN_MS, round_due, NULL);
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
    struct options options;
    GError *error = NULL;
    if (argc < 4) {
        fprintf(stderr, "usage: state_storm ROUNDS SEED RINGER-OPTIONS...\n");
        return 2;
    }
    rounds = (unsigned)atoi(argv[1]);
    guint32 seed = strcmp(argv[2], "any") ? (guint32)strtoul(argv[2], NULL, 0) : g_random_int();
    printf("state_storm: seed %u\n", seed);
    fflush(stdout);
    rand_source = g_rand_new_with_seed(seed);
    argv[2] = argv[0];
    if (!options_parse(argc - 2, argv + 2, &options, &error) || !(machine = machine_new(&options, &error))) {
        fprintf(stderr, "state_storm: %s\n", error->message);
        return 1;
    }
    g_timeout_add(START_MS, round_due, NULL);
    int status = machine_run(machine);
    machine_free(machine);
    return status;
}
