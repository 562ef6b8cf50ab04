#pragma once
#include <glib.h>
static inline void flight_print(GString *out)
{
    g_string_append(out, "none\n");
}
