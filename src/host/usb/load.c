/* libusb at run time: see load.h. dlopen(3). */
#include "load.h"

#include <dlfcn.h>

#define LIBRARY "libusb-1.0.so.0"

struct usb_functions usb_lib;

#define USB_ROW(name) {#name, (void **)&usb_lib.name##_},
static const struct {
    const char *name;
    void **at;
} rows[] = {USB_FUNCTIONS(USB_ROW)};

const char *usb_load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return "it needs libusb (Debian's package libusb-1.0-0)";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        *rows[i].at = dlsym(library, rows[i].name);
        if (!*rows[i].at)
            return "this libusb is too old";
    }
    return NULL;
}
