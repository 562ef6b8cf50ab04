/* Reading the words of a packet: hexadecimal numbers, thread ids, hexadecimal bytes. Each says whether it was there,
 * and then stands behind it.
 */
#pragma once

#include <glib.h>
#include <string.h>

#include "types.h"

struct gdb_args {
    const char *at;
    size_t left;
};

static inline bool args_char(struct gdb_args *args, char want)
{
    if (!args->left || *args->at != want)
        return false;
    args->at++;
    args->left--;
    return true;
}

static inline bool args_word(struct gdb_args *args, const char *word)
{
    size_t len = strlen(word);
    if (args->left < len || memcmp(args->at, word, len) != 0)
        return false;
    args->at += len;
    args->left -= len;
    return true;
}

/* One to sixteen significant digits. */
static inline bool args_hex(struct gdb_args *args, uint64_t *value)
{
    size_t digits = 0;
    *value = 0;
    for (; digits < args->left && g_ascii_isxdigit(args->at[digits]); digits++) {
        if (*value >> 60)
            return false;
        *value = *value << 4 | (uint64_t)g_ascii_xdigit_value(args->at[digits]);
    }
    args->at += digits;
    args->left -= digits;
    return digits != 0;
}

static inline bool args_end(const struct gdb_args *args)
{
    return args->left == 0;
}

/* "address,length" */
static inline bool args_range(struct gdb_args *args, uint64_t *address, uint64_t *len)
{
    return args_hex(args, address) && args_char(args, ',') && args_hex(args, len);
}

/* All that is left, two digits a byte. */
static inline bool args_bytes(struct gdb_args *args, GByteArray *bytes)
{
    if (args->left % 2)
        return false;
    for (size_t i = 0; i < args->left; i += 2) {
        int high = g_ascii_xdigit_value(args->at[i]), low = g_ascii_xdigit_value(args->at[i + 1]);
        if (high < 0 || low < 0)
            return false;
        uint8_t byte = (uint8_t)(high << 4 | low);
        g_byte_array_append(bytes, &byte, 1);
    }
    args->at += args->left;
    args->left = 0;
    return true;
}

/* One number of a thread id: our only process and thread is 1; 0 means any and -1 all. */
static inline bool args_one(struct gdb_args *args)
{
    uint64_t number;
    if (args_word(args, "-1"))
        return true;
    return args_hex(args, &number) && number <= 1;
}

/* "thread", "pprocess" or "pprocess.thread". */
static inline bool args_thread(struct gdb_args *args)
{
    if (!args_char(args, 'p'))
        return args_one(args);
    return args_one(args) && (!args_char(args, '.') || args_one(args));
}
