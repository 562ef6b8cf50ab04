/* libvncserver at run time: see load.h. dlopen(3). */
#include "load.h"

#include <dlfcn.h>

#define LIBRARY "libvncserver.so.1"

struct vnc_functions vnc_rfb;

#define VNC_ROW(name) {#name, (void **)&vnc_rfb.name##_},
static const struct {
    const char *name;
    void **at;
} rows[] = {VNC_FUNCTIONS(VNC_ROW){"rfbMaxClientWait", (void **)&vnc_rfb.max_client_wait}};

const char *vnc_load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return "it needs libvncserver (Debian's package libvncserver1)";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        *rows[i].at = dlsym(library, rows[i].name);
        if (!*rows[i].at)
            return "this libvncserver is too old";
    }
    return NULL;
}
