/* In place of the host's USB devices where libusb was not there when ringer was built. */
#include "usb.h"

#define MISSING "this needs libusb-1.0, which this ringer was built without"

static struct usbhost *missing_open(const char *id, const struct usbhost_match *match,
                                    const struct usbhost_front *front, void *front_opaque, GError **error)
{
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NODEV, MISSING);
    return NULL;
}

bool usb_host_start(GError **error)
{
    return true;
}

const struct usbhost_service *usb_host_service(void)
{
    static const struct usbhost_service service = {.open = missing_open};
    return &service;
}

void usb_host_list(GString *out)
{
    g_string_append(out, "info usbhost: " MISSING "\n");
}

void usb_host_stop(void)
{
}
