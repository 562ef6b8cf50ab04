/* libusb's functions, loaded in the processes that have devices and nowhere else: see ../vnc/load.h for why.
 */
#pragma once

#include <libusb.h>

#define USB_FUNCTIONS(X) \
    X(libusb_alloc_transfer) \
    X(libusb_attach_kernel_driver) \
    X(libusb_cancel_transfer) \
    X(libusb_claim_interface) \
    X(libusb_clear_halt) \
    X(libusb_close) \
    X(libusb_detach_kernel_driver) \
    X(libusb_error_name) \
    X(libusb_free_config_descriptor) \
    X(libusb_free_device_list) \
    X(libusb_free_pollfds) \
    X(libusb_free_transfer) \
    X(libusb_get_active_config_descriptor) \
    X(libusb_get_bus_number) \
    X(libusb_get_configuration) \
    X(libusb_get_device_address) \
    X(libusb_get_device_descriptor) \
    X(libusb_get_device_list) \
    X(libusb_get_device_speed) \
    X(libusb_get_next_timeout) \
    X(libusb_get_pollfds) \
    X(libusb_get_port_numbers) \
    X(libusb_get_string_descriptor_ascii) \
    X(libusb_handle_events_timeout_completed) \
    X(libusb_init) \
    X(libusb_kernel_driver_active) \
    X(libusb_open) \
    X(libusb_ref_device) \
    X(libusb_release_interface) \
    X(libusb_reset_device) \
    X(libusb_set_configuration) \
    X(libusb_set_interface_alt_setting) \
    X(libusb_submit_transfer) \
    X(libusb_unref_device)

#define USB_MEMBER(name) __typeof__(&(name)) name##_;
extern struct usb_functions {
    USB_FUNCTIONS(USB_MEMBER)
} usb_lib;

/* NULL; or why it cannot be had. */
const char *usb_load(void);
