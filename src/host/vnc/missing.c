/* In place of the VNC server where libvncserver was not there when ringer was built. */
#include "vnc.h"

bool vnc_open(const struct display *display, const struct vnc_options *options, const char *title, GError **error)
{
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NODEV,
                "-vnc needs libvncserver, which this ringer was built without; use -display curses or none");
    return false;
}

void vnc_close(void)
{
}

void vnc_set_hooks(const struct vnc_hooks *hooks)
{
}

bool vnc_is_open(void)
{
    return false;
}

const struct vnc_options *vnc_options_now(void)
{
    static const struct vnc_options none;
    return &none;
}

bool vnc_listens_at(bool websocket, GString *text)
{
    return false;
}

bool vnc_viewer_look(unsigned i, struct vnc_viewer *viewer)
{
    return false;
}

static bool no_server(GError **error)
{
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NODEV, "there is no VNC server");
    return false;
}

bool vnc_set_password(const char *password, GError **error)
{
    return no_server(error);
}

bool vnc_expire_password(int64_t when, GError **error)
{
    return no_server(error);
}

void vnc_disconnect_all(void)
{
}
