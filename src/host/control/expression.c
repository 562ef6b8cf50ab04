/* Numbers as people write them. See expression.h. A parser by recursive descent, with a limit on its depth. */
#include "expression.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 64
#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, __VA_ARGS__), false)

struct parser {
    const char *at;
    bool (*read)(void *opaque, const char *name, int64_t *value);
    void *opaque;
    unsigned depth;
};

static bool sum(struct parser *parser, int64_t *value, GError **error);

static void skip_blanks(struct parser *parser)
{
    while (g_ascii_isspace(*parser->at))
        parser->at++;
}

/* One of these operators comes next: it is taken. What stands behind a blank without one behind it is the next word, as
 * in "memsave 0 16 /tmp/file". */
static char take_operator(struct parser *parser, const char *set)
{
    const char *at = parser->at;
    while (g_ascii_isspace(*at))
        at++;
    if (!*at || !strchr(set, *at) || (at != parser->at && !g_ascii_isspace(at[1])))
        return 0;
    parser->at = at + 1;
    return *at;
}

static bool named(struct parser *parser, int64_t *value, GError **error)
{
    const char *start = ++parser->at;
    while (g_ascii_isalnum(*parser->at) || *parser->at == '_' || *parser->at == '.')
        parser->at++;
    char *name = g_strndup(start, (gsize)(parser->at - start));
    bool ok = parser->read && parser->read(parser->opaque, name, value);
    if (!ok)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "unknown register '$%s'", name);
    g_free(name);
    return ok;
}

static bool number(struct parser *parser, int64_t *value, GError **error)
{
    char *end;
    errno = 0;
    *value = (int64_t)g_ascii_strtoull(parser->at, &end, 0);
    if (errno || end == parser->at)
        return FAIL(errno ? "number too large" : "invalid char '%c' in expression", *parser->at ? *parser->at : ' ');
    parser->at = end;
    return true;
}

static bool unary(struct parser *parser, int64_t *value, GError **error)
{
    skip_blanks(parser);
    if (++parser->depth > DEPTH_MAX)
        return FAIL("expression too deep");
    bool ok;
    char first = *parser->at;
    if (first == '+' || first == '-' || first == '~') {
        parser->at++;
        ok = unary(parser, value, error);
        if (ok && first == '-')
            *value = (int64_t) - (uint64_t)*value;
        if (ok && first == '~')
            *value = ~*value;
    } else if (first == '(') {
        parser->at++;
        ok = sum(parser, value, error);
        skip_blanks(parser);
        if (ok && *parser->at++ != ')')
            ok = (parser->at--, FAIL("')' expected"));
    } else if (first == '\'') {
        ok = (parser->at[1] && parser->at[2] == '\'') || FAIL("missing terminating ' character");
        if (ok) {
            *value = (unsigned char)parser->at[1];
            parser->at += 3;
        }
    } else if (first == '$') {
        ok = named(parser, value, error);
    } else {
        ok = number(parser, value, error);
    }
    parser->depth--;
    return ok;
}

/* QEMU's precedence: * / %, then & | ^, then + -. */
static bool product(struct parser *parser, int64_t *value, GError **error)
{
    if (!unary(parser, value, error))
        return false;
    for (;;) {
        int64_t right;
        char op = take_operator(parser, "*/%");
        if (!op)
            return true;
        if (!unary(parser, &right, error))
            return false;
        if (op == '*')
            *value = (int64_t)((uint64_t)*value * (uint64_t)right);
        else if (right == 0)
            return FAIL("division by zero");
        else if (right == -1) /* the one quotient that does not fit */
            *value = op == '/' ? (int64_t) - (uint64_t)*value : 0;
        else
            *value = op == '/' ? *value / right : *value % right;
    }
}

static bool bits(struct parser *parser, int64_t *value, GError **error)
{
    if (!product(parser, value, error))
        return false;
    for (;;) {
        int64_t right;
        char op = take_operator(parser, "&|^");
        if (!op)
            return true;
        if (!product(parser, &right, error))
            return false;
        *value = op == '&' ? *value & right : op == '|' ? *value | right : *value ^ right;
    }
}

static bool sum(struct parser *parser, int64_t *value, GError **error)
{
    if (!bits(parser, value, error))
        return false;
    for (;;) {
        int64_t right;
        char op = take_operator(parser, "+-");
        if (!op)
            return true;
        if (!bits(parser, &right, error))
            return false;
        *value = (int64_t)(op == '+' ? (uint64_t)*value + (uint64_t)right : (uint64_t)*value - (uint64_t)right);
    }
}

bool expression_parse(const char **text, bool (*read)(void *opaque, const char *name, int64_t *value), void *opaque,
                      int64_t *value, GError **error)
{
    struct parser parser = {.at = *text, .read = read, .opaque = opaque};
    bool ok = sum(&parser, value, error);
    *text = parser.at;
    return ok;
}
