/* Where an engine's time goes. See shares.h; the JSON is that of stats_json in include/stats.h. */
#include "shares.h"

#include <string.h>

#include <jansson.h>

#include "child.h"

static int share_compare(gconstpointer a, gconstpointer b)
{
    double x = ((const struct share *)a)->ns, y = ((const struct share *)b)->ns;
    return (x < y) - (x > y);
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

bool shares_parse(struct shares *shares, const char *engine, const char *what, const char *text, GError **error)
{
    json_error_t why;
    json_t *root = json_loads(text, JSON_DISABLE_EOF_CHECK, &why), *row;
    const char *name;

    if (!root)
        return bench_fail(error, "its statistics cannot be read: %s", why.text);
    *shares = (struct shares){
        .engine = g_strdup(engine), .what = what, .rows = g_array_new(FALSE, FALSE, sizeof(struct share))};
    shares->wall_ns = json_number_value(json_object_get(root, "wall_ns"));
    json_object_foreach(json_object_get(root, "counters"), name, row)
    {
        json_t *ns = json_object_get(row, "ns");
        if (!ns || json_number_value(ns) <= 0)
            continue;
        struct share share = {.name = g_strdup(name),
                              .group = g_strdup(text_of(row, "group")),
                              .text = g_strdup(text_of(row, "text")),
                              .ns = json_number_value(ns),
                              .count = json_number_value(json_object_get(row, "count"))};
        g_array_append_val(shares->rows, share);
    }
    json_decref(root);
    g_array_sort(shares->rows, share_compare);
    if (shares->wall_ns > 0 && shares->rows->len > 0)
        return true;
    shares_clear(shares);
    return bench_fail(error, "its statistics hold no times");
}

static const struct share *shares_find(const struct shares *shares, const char *name)
{
    for (unsigned i = 0; i < shares->rows->len; i++) {
        const struct share *share = &g_array_index(shares->rows, struct share, i);
        if (strcmp(share->name, name) == 0)
            return share;
    }
    return NULL;
}

void shares_subtract(struct shares *shares, const struct shares *earlier)
{
    double wall = 0;
    for (unsigned i = 0; i < shares->rows->len; i++) {
        struct share *share = &g_array_index(shares->rows, struct share, i);
        const struct share *before = shares_find(earlier, share->name);
        if (before) {
            share->ns -= before->ns;
            share->count -= before->count;
        }
        wall += share->ns;
    }
    shares->wall_ns = wall;
    g_array_sort(shares->rows, share_compare);
}

void shares_clear(struct shares *shares)
{
    for (unsigned i = 0; i < shares->rows->len; i++) {
        struct share *share = &g_array_index(shares->rows, struct share, i);
        g_free(share->name);
        g_free(share->group);
        g_free(share->text);
    }
    g_array_free(shares->rows, TRUE);
    g_free(shares->engine);
}

double shares_of_group(const struct shares *shares, const char *group)
{
    double ns = 0;
    for (unsigned i = 0; i < shares->rows->len; i++) {
        const struct share *share = &g_array_index(shares->rows, struct share, i);
        if (strcmp(share->group, group) == 0)
            ns += share->ns;
    }
    return ns / shares->wall_ns;
}
