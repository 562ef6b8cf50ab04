/* libvncserver's functions, loaded in the processes that speak with viewers: no other ringer has use for it and what it
 * brings along. */
#pragma once

#include <rfb/rfb.h>

#include <stdbool.h>

#define VNC_FUNCTIONS(X) \
    X(rfbEncryptBytes) \
    X(rfbGetScreen) \
    X(rfbInitServerWithPthreadsAndZRLE) \
    X(rfbLogEnable) \
    X(rfbMarkRectAsModified) \
    X(rfbNewClient) \
    X(rfbNewFramebuffer) \
    X(rfbProcessEvents) \
    X(rfbReadExact) \
    X(rfbRegisterProtocolExtension) \
    X(rfbSendServerCutText) \
    X(rfbStartOnHoldClient) \
    X(rfbWriteExact)

#define VNC_MEMBER(name) __typeof__(&(name)) name##_;
extern struct vnc_functions {
    VNC_FUNCTIONS(VNC_MEMBER)
    int *max_client_wait; /* ms that a viewer may keep us from sending */
} vnc_rfb;

/* NULL; or why not. */
const char *vnc_load(void);
