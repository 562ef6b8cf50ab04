/* USB devices of the host (usbhost.h), each in a process of its own. See README.md. */
#pragma once

#include <glib.h>

#include "usbhost.h"

/* The process that makes the others, before there are threads: a machine may have such devices. False with a sentence.
 */
bool usb_host_start(GError **error);
/* NULL: it was not started, or this program was built without libusb. */
const struct usbhost_service *usb_host_service(void);
/* "info usbhost", in QEMU's words. */
void usb_host_list(GString *out);
void usb_host_stop(void);
