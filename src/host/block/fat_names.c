/* Names and times in FAT directories. Microsoft, FAT 1.03, section 6 (short names, times), and VFAT's long names,
 * section 7: UTF-16 in entries before that of the short name, last piece first, thirteen units each.
 */
#include "fat_internal.h"

#define UNITS_PER_ENTRY 13

/* Not in long names. */
static bool is_forbidden(gunichar c)
{
    return c < 0x20 || c == 0x7f || (c < 0x80 && strchr("\"*/:<>?\\|", (int)c));
}

char *fat_shown_name(const char *name)
{
    GString *shown = g_string_new(NULL);
    for (const char *at = name; *at;) {
        gunichar c = g_utf8_get_char_validated(at, -1);
        bool is_valid = c != (gunichar)-1 && c != (gunichar)-2 && c != 0xfffe && c != 0xffff;
        g_string_append_unichar(shown, is_valid && !is_forbidden(c) ? c : '_');
        at = is_valid ? g_utf8_next_char(at) : at + 1;
    }
    /* Windows takes dots and spaces at the end away. */
    for (gsize i = shown->len; i > 0 && strchr(". ", shown->str[i - 1]); i--)
        shown->str[i - 1] = '_';
    return g_string_free(shown, FALSE);
}

char *fat_fold(const char *shown)
{
    GString *fold = g_string_new(NULL); /* by single characters, as file systems do */
    for (const char *at = shown; *at; at = g_utf8_next_char(at))
        g_string_append_unichar(fold, g_unichar_toupper(g_utf8_get_char(at)));
    return g_string_free(fold, FALSE);
}

/* "name.ext" with "~n" before the ending; 255 units at most. */
static char *with_tail(const char *shown, unsigned n)
{
    const char *dot = strrchr(shown, '.');
    if (!dot || dot == shown)
        dot = shown + strlen(shown);
    glong room = 255 - 8 - g_utf8_strlen(dot, -1);
    GString *name = g_string_new(NULL);
    for (const char *at = shown; at < dot && (at == shown || g_utf8_pointer_to_offset(shown, at) < room / 2);
         at = g_utf8_next_char(at))
        g_string_append_unichar(name, g_utf8_get_char(at));
    g_string_append_printf(name, "~%u", n);
    if (room > 0)
        g_string_append(name, dot);
    return g_string_free(name, FALSE);
}

/* --- Short names --- */

static bool is_short(char c)
{
    return g_ascii_isupper(c) || g_ascii_isdigit(c) || (c && strchr("$%'-_@~`!(){}^#&", c));
}

/* DOS's devices, with any ending. */
static bool is_device(const uint8_t base[8])
{
    static const char *const names[] = {"CON     ", "PRN     ", "AUX     ", "NUL     ", "CLOCK$  "};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (memcmp(base, names[i], 8) == 0)
            return true;
    }
    return (memcmp(base, "COM", 3) == 0 || memcmp(base, "LPT", 3) == 0) && g_ascii_isdigit(base[3]) &&
           memcmp(base + 4, "    ", 4) == 0;
}

/* True: it says all there is to say, but for the case of letters. */
static bool short_make(const char *shown, uint8_t out[11], unsigned *base_len)
{
    const char *dot = strrchr(shown, '.');
    bool is_exact = true;
    unsigned at = 0;
    memset(out, ' ', 11);
    if (dot == shown)
        dot = NULL;
    for (const char *from = shown; *from && from != dot; from = g_utf8_next_char(from)) {
        char c = (unsigned char)*from < 0x80 ? g_ascii_toupper(*from) : '_';
        if (c == ' ' || c == '.') {
            is_exact = false;
            continue;
        }
        if (!is_short(c) || (unsigned char)*from >= 0x80) {
            c = '_';
            is_exact = is_exact && *from == '_';
        }
        if (at < 8)
            out[at++] = (uint8_t)c;
        else
            is_exact = false;
    }
    *base_len = at;
    if (at == 0) {
        out[0] = '_';
        *base_len = 1;
        is_exact = false;
    }
    at = 8;
    for (const char *from = dot ? dot + 1 : ""; *from; from = g_utf8_next_char(from)) {
        char c = (unsigned char)*from < 0x80 ? g_ascii_toupper(*from) : '_';
        if (c == ' ') {
            is_exact = false;
            continue;
        }
        if (!is_short(c) || (unsigned char)*from >= 0x80) {
            c = '_';
            is_exact = is_exact && *from == '_';
        }
        if (at < 11)
            out[at++] = (uint8_t)c;
        else
            is_exact = false;
    }
    return is_exact;
}

/* The next numbered one; numbers of a beginning are not tried twice. */
static void short_number(uint8_t name[11], unsigned base_len, GHashTable *used, GHashTable *numbers)
{
    char stem[12] = "", text[16];
    memcpy(stem, name, MIN(base_len, 6));
    memcpy(stem + 7, name + 8, 3);
    stem[6] = '.';
    for (unsigned i = 0; i < 6; i++)
        stem[i] = stem[i] ? stem[i] : ' ';
    unsigned n = GPOINTER_TO_UINT(g_hash_table_lookup(numbers, stem));
    uint8_t key[12] = "";
    do {
        unsigned digits = (unsigned)g_snprintf(text, sizeof(text), "~%u", ++n);
        unsigned keep = MIN(base_len, 8 - digits);
        memset(key, ' ', 8);
        memcpy(key, name, keep);
        memcpy(key + keep, text, digits);
        memcpy(key + 8, name + 8, 3);
    } while (g_hash_table_contains(used, key));
    g_hash_table_insert(numbers, g_strdup(stem), GUINT_TO_POINTER(n));
    memcpy(name, key, 11);
}

static bool short_is_shown(const struct fat_node *node)
{
    char text[16];
    unsigned len = 8, ext = 3;
    while (len > 0 && node->short_name[len - 1] == ' ')
        len--;
    while (ext > 0 && node->short_name[8 + ext - 1] == ' ')
        ext--;
    g_snprintf(text, sizeof(text), "%.*s%s%.*s", (int)len, node->short_name, ext ? "." : "", (int)ext,
               node->short_name + 8);
    return strcmp(text, node->shown) == 0;
}

bool fat_needs_long(const struct fat_node *node)
{
    return !short_is_shown(node);
}

void fat_names_settle(struct fat_node *folder)
{
    GHashTable *folded = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTable *used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTable *numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    /* First come those that need no change. */
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < folder->children->len; i++) {
            struct fat_node *node = g_ptr_array_index(folder->children, i);
            if (pass == 0)
                node->shown = fat_shown_name(node->name);
            bool is_same = strcmp(node->shown, node->name) == 0;
            if (is_same != (pass == 0))
                continue;
            char *fold = fat_fold(node->shown), *plain = node->shown;
            for (unsigned n = 1; g_hash_table_contains(folded, fold); n++) {
                if (node->shown != plain)
                    g_free(node->shown);
                node->shown = with_tail(plain, n);
                g_free(fold);
                fold = fat_fold(node->shown);
            }
            if (node->shown != plain)
                g_free(plain);
            g_hash_table_add(folded, fold);
        }
    }
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < folder->children->len; i++) {
            struct fat_node *node = g_ptr_array_index(folder->children, i);
            unsigned base_len;
            uint8_t name[12] = "";
            bool is_exact = short_make(node->shown, name, &base_len) && !is_device(name);
            if (is_exact != (pass == 0))
                continue;
            if (!is_exact || g_hash_table_contains(used, name))
                short_number(name, base_len, used, numbers);
            g_hash_table_add(used, g_strdup((const char *)name));
            memcpy(node->short_name, name, 11);
        }
    }
    g_hash_table_destroy(folded);
    g_hash_table_destroy(used);
    g_hash_table_destroy(numbers);
}

uint8_t fat_short_sum(const uint8_t short_name[11])
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < 11; i++)
        sum = (uint8_t)((sum >> 1 | sum << 7) + short_name[i]);
    return sum;
}

/* --- Times --- */

void fat_time_put(uint8_t *at, time_t when)
{
    struct tm tm;
    uint16_t time = 0, date = 1 << 5 | 1; /* the first of January 1980 */
    if (localtime_r(&when, &tm) && tm.tm_year >= 80) {
        if (tm.tm_year > 207)
            tm = (struct tm){.tm_year = 207, .tm_mon = 11, .tm_mday = 31, .tm_hour = 23, .tm_min = 59, .tm_sec = 58};
        time = (uint16_t)(tm.tm_hour << 11 | tm.tm_min << 5 | MIN(tm.tm_sec, 59) / 2);
        date = (uint16_t)((tm.tm_year - 80) << 9 | (tm.tm_mon + 1) << 5 | tm.tm_mday);
    }
    put16(at, time);
    put16(at + 2, date);
}

time_t fat_time_get(const uint8_t *at)
{
    uint16_t time = get16(at), date = get16(at + 2);
    struct tm tm = {.tm_sec = MIN((time & 31) * 2, 59),
                    .tm_min = MIN(time >> 5 & 63, 59),
                    .tm_hour = MIN(time >> 11, 23),
                    .tm_mday = MAX(date & 31, 1),
                    .tm_mon = CLAMP((date >> 5 & 15) - 1, 0, 11),
                    .tm_year = 80 + (date >> 9),
                    .tm_isdst = -1};
    return mktime(&tm);
}

/* --- Entries --- */

static glong units_of(const struct fat_node *node, gunichar2 **units)
{
    glong count = 0;
    *units = g_utf8_to_utf16(node->shown, -1, NULL, &count, NULL);
    return *units ? count : 0;
}

unsigned fat_entry_count(const struct fat_node *node)
{
    gunichar2 *units;
    if (!fat_needs_long(node))
        return 1;
    glong count = units_of(node, &units);
    g_free(units);
    return 1 + (unsigned)(count + UNITS_PER_ENTRY - 1) / UNITS_PER_ENTRY;
}

/* Where the units of a long name's entry lie. */
static const uint8_t unit_at[UNITS_PER_ENTRY] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};

uint8_t *fat_entry_write(const struct fat_node *node, uint8_t *at)
{
    if (fat_needs_long(node)) {
        gunichar2 *units;
        unsigned count = (unsigned)units_of(node, &units), pieces = (count + UNITS_PER_ENTRY - 1) / UNITS_PER_ENTRY;
        for (unsigned piece = pieces; piece > 0; piece--, at += ENTRY) {
            memset(at, 0, ENTRY);
            at[0] = (uint8_t)(piece | (piece == pieces ? 0x40 : 0));
            at[11] = ATTR_LONG_NAME;
            at[13] = fat_short_sum(node->short_name);
            for (unsigned i = 0; i < UNITS_PER_ENTRY; i++) {
                unsigned place = (piece - 1) * UNITS_PER_ENTRY + i;
                put16(at + unit_at[i], place < count ? units[place] : place == count ? 0 : 0xffff);
            }
        }
        g_free(units);
    }
    memset(at, 0, ENTRY);
    memcpy(at, node->short_name, 11);
    at[11] = node->attributes;
    fat_time_put(at + 14, node->mtime);
    memcpy(at + 18, at + 16, 2);
    fat_time_put(at + 22, node->mtime);
    put16(at + 20, node->first >> 16);
    put16(at + 26, node->first);
    put32(at + 28, node->is_dir ? 0 : node->size);
    return at + ENTRY;
}

/* Code page 437, from 80h: what DOS writes, unless told otherwise. */
static const char code_page[] =
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌"
    "█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xc2\xa0";

static void append_short(GString *name, uint8_t c, bool lower)
{
    if (c < 0x80)
        g_string_append_c(name, lower ? g_ascii_tolower((char)c) : (char)c);
    else
        g_string_append_unichar(name, g_utf8_get_char(g_utf8_offset_to_pointer(code_page, c - 0x80)));
}

static char *short_text(const uint8_t *entry)
{
    GString *name = g_string_new(NULL);
    unsigned len = 8, ext = 3;
    while (len > 0 && entry[len - 1] == ' ')
        len--;
    while (ext > 0 && entry[8 + ext - 1] == ' ')
        ext--;
    for (unsigned i = 0; i < len; i++) /* 05h stands for E5h, which means deleted */
        append_short(name, i == 0 && entry[0] == 0x05 ? 0xe5 : entry[i], entry[12] & 0x08);
    if (ext)
        g_string_append_c(name, '.');
    for (unsigned i = 0; i < ext; i++)
        append_short(name, entry[8 + i], entry[12] & 0x10);
    return g_string_free(name, FALSE);
}

static bool is_host_name(const char *name)
{
    if (!name || !*name || strlen(name) > 255 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (const char *at = name; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == '/' || *at == 0x7f)
            return false;
    }
    return !g_str_has_prefix(name, FAT_RESCUE);
}

char *fat_entry_name(const uint8_t *entry, const uint16_t *units, unsigned count)
{
    char *name = count ? g_utf16_to_utf8(units, (glong)count, NULL, NULL, NULL) : NULL;
    if (is_host_name(name))
        return name;
    g_free(name);
    name = short_text(entry);
    if (is_host_name(name))
        return name;
    g_free(name);
    return NULL;
}
