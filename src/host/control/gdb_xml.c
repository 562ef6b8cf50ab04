/* Target descriptions (manual of gdb, appendix G): made of the table of registers, so that they cannot differ from what
 * is sent. gdb wants the names org.gnu.gdb.i386.core and .sse and their registers; all else is ours.
 */
#include <string.h>

#include "gdb_regs.h"

struct bit {
    const char *name; /* NULL ends */
    uint8_t from, to;
};
struct flags {
    const char *id;
    enum gdb_feature feature;
    const struct bit *bits;
};

static const struct bit eflags_bits[] = {
    {"CF", 0, 0},   {"PF", 2, 2},   {"AF", 4, 4},    {"ZF", 6, 6},     {"SF", 7, 7},   {"TF", 8, 8},
    {"IF", 9, 9},   {"DF", 10, 10}, {"OF", 11, 11},  {"IOPL", 12, 13}, {"NT", 14, 14}, {"RF", 16, 16},
    {"VM", 17, 17}, {"AC", 18, 18}, {"VIF", 19, 19}, {"VIP", 20, 20},  {"ID", 21, 21}, {NULL}};
static const struct bit mxcsr_bits[] = {{"IE", 0, 0},   {"DE", 1, 1},   {"ZE", 2, 2},   {"OE", 3, 3},
                                        {"UE", 4, 4},   {"PE", 5, 5},   {"DAZ", 6, 6},  {"IM", 7, 7},
                                        {"DM", 8, 8},   {"ZM", 9, 9},   {"OM", 10, 10}, {"UM", 11, 11},
                                        {"PM", 12, 12}, {"RC", 13, 14}, {"FZ", 15, 15}, {NULL}};
static const struct bit cr0_bits[] = {{"PE", 0, 0},   {"MP", 1, 1},   {"EM", 2, 2},   {"TS", 3, 3},
                                      {"ET", 4, 4},   {"NE", 5, 5},   {"WP", 16, 16}, {"AM", 18, 18},
                                      {"NW", 29, 29}, {"CD", 30, 30}, {"PG", 31, 31}, {NULL}};
static const struct bit cr4_bits[] = {{"VME", 0, 0}, {"PVI", 1, 1},    {"TSD", 2, 2},          {"DE", 3, 3},
                                      {"PSE", 4, 4}, {"PAE", 5, 5},    {"MCE", 6, 6},          {"PGE", 7, 7},
                                      {"PCE", 8, 8}, {"OSFXSR", 9, 9}, {"OSXMMEXCPT", 10, 10}, {NULL}};
static const struct bit efer_bits[] = {{"SCE", 0, 0}, {"LME", 8, 8}, {"LMA", 10, 10}, {"NXE", 11, 11}, {NULL}};

static const struct flags flag_types[] = {
    {"i386_eflags", GDB_CORE, eflags_bits}, {"i386_mxcsr", GDB_SSE, mxcsr_bits},  {"i386_cr0", GDB_SYSTEM, cr0_bits},
    {"i386_cr4", GDB_SYSTEM, cr4_bits},     {"i386_efer", GDB_SYSTEM, efer_bits},
};

/* What an XMM register may hold. */
static const struct {
    const char *id, *type, *field;
    unsigned count;
} vectors[] = {
    {"v4f", "ieee_single", "v4_float", 4}, {"v2d", "ieee_double", "v2_double", 2}, {"v16i8", "int8", "v16_int8", 16},
    {"v8i16", "int16", "v8_int16", 8},     {"v4i32", "int32", "v4_int32", 4},      {"v2i64", "int64", "v2_int64", 2},
};

static const struct {
    const char *annex, *name;
} features[GDB_FEATURES] = {
    [GDB_CORE] = {"i386-core.xml", "org.gnu.gdb.i386.core"},
    [GDB_SSE] = {"i386-sse.xml", "org.gnu.gdb.i386.sse"},
    [GDB_SYSTEM] = {"i386-system.xml", "ringer.i386.system"},
    [GDB_SEGMENTS] = {"i386-segments.xml", "ringer.i386.segments"},
};

static void head(GString *out, const char *root)
{
    g_string_append_printf(out, "<?xml version=\"1.0\"?>\n<!DOCTYPE %s SYSTEM \"gdb-target.dtd\">\n", root);
}

static void put_flags(GString *out, const struct flags *flags)
{
    g_string_append_printf(out, "  <flags id=\"%s\" size=\"4\">\n", flags->id);
    for (const struct bit *bit = flags->bits; bit->name; bit++)
        g_string_append_printf(out, "    <field name=\"%s\" start=\"%u\" end=\"%u\"/>\n", bit->name, bit->from,
                               bit->to);
    g_string_append(out, "  </flags>\n");
}

static void put_vectors(GString *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(vectors); i++)
        g_string_append_printf(out, "  <vector id=\"%s\" type=\"%s\" count=\"%u\"/>\n", vectors[i].id, vectors[i].type,
                               vectors[i].count);
    g_string_append(out, "  <union id=\"vec128\">\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(vectors); i++)
        g_string_append_printf(out, "    <field name=\"%s\" type=\"%s\"/>\n", vectors[i].field, vectors[i].id);
    g_string_append(out, "    <field name=\"uint128\" type=\"uint128\"/>\n  </union>\n");
}

static void put_feature(GString *out, enum gdb_feature feature)
{
    head(out, "feature");
    g_string_append_printf(out, "<feature name=\"%s\">\n", features[feature].name);
    for (unsigned i = 0; i < G_N_ELEMENTS(flag_types); i++) {
        if (flag_types[i].feature == feature)
            put_flags(out, &flag_types[i]);
    }
    if (feature == GDB_SSE)
        put_vectors(out);
    for (unsigned i = 0; i < gdb_regs_count(); i++) {
        const struct gdb_reg *row = gdb_reg_row(i);
        if (row->feature != feature)
            continue;
        g_string_append_printf(out, "  <reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"", row->name,
                               row->size * 8, row->type, i);
        if (row->group)
            g_string_append_printf(out, " group=\"%s\"", row->group);
        g_string_append(out, "/>\n");
    }
    g_string_append(out, "</feature>\n");
}

static void put_target(GString *out, bool is_16bit)
{
    head(out, "target");
    g_string_append_printf(out, "<target>\n  <architecture>%s</architecture>\n", is_16bit ? "i8086" : "i386");
    if (is_16bit) /* else gdb complains that none of those it knows is for an i8086 */
        g_string_append(out, "  <osabi>none</osabi>\n");
    for (unsigned i = 0; i < GDB_FEATURES; i++)
        g_string_append_printf(out, "  <xi:include href=\"%s\"/>\n", features[i].annex);
    g_string_append(out, "</target>\n");
}

bool gdb_xml(const char *annex, bool is_16bit, GString *out)
{
    if (strcmp(annex, "target.xml") == 0) {
        put_target(out, is_16bit);
        return true;
    }
    for (unsigned i = 0; i < GDB_FEATURES; i++) {
        if (strcmp(annex, features[i].annex) == 0) {
            put_feature(out, i);
            return true;
        }
    }
    return false;
}
