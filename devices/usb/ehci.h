/* The two halves of the EHCI: registers and ports in ehci.c, the schedules in ehci_walk.c. Names and sections are those
 * of Intel's Enhanced Host Controller Interface Specification for Universal Serial Bus, revision 1.0. */
#pragma once

#include "devices/pci.h"
#include "usb.h"
#include "vclock.h"

#define EHCI_PORTS      6u
#define EHCI_COMPANIONS 3u
#define EHCI_FRAME_NS   1000000ll
#define EHCI_BAR        0x1000u

/* Capability registers (2.2), and behind them the operational ones (2.3), by offset from the BAR. */
#define EHCI_CAPLENGTH   0x00u
#define EHCI_HCSPARAMS   0x04u
#define EHCI_HCCPARAMS   0x08u
#define EHCI_OPERATIONAL 0x20u
#define EHCI_USBCMD      0x20u
#define EHCI_USBSTS      0x24u
#define EHCI_USBINTR     0x28u
#define EHCI_FRINDEX     0x2cu
#define EHCI_SEGMENT     0x30u
#define EHCI_PERIODIC    0x34u /* PERIODICLISTBASE */
#define EHCI_ASYNC       0x38u /* ASYNCLISTADDR */
#define EHCI_CONFIGFLAG  0x60u
#define EHCI_PORTSC      0x64u

#define EHCI_CMD_RS      0x00000001u
#define EHCI_CMD_HCRESET 0x00000002u
#define EHCI_CMD_PSE     0x00000010u
#define EHCI_CMD_ASE     0x00000020u
#define EHCI_CMD_IAAD    0x00000040u
#define EHCI_CMD_ALL     0x00ff0071u /* of those that stay as written */

#define EHCI_STS_INT    0x00000001u
#define EHCI_STS_ERRINT 0x00000002u
#define EHCI_STS_PCD    0x00000004u /* port change */
#define EHCI_STS_FLR    0x00000008u /* frame list rollover */
#define EHCI_STS_HSE    0x00000010u
#define EHCI_STS_IAA    0x00000020u /* async advance */
#define EHCI_STS_RWC    0x0000003fu
#define EHCI_STS_HCH    0x00001000u
#define EHCI_STS_RECL   0x00002000u
#define EHCI_STS_PSS    0x00004000u
#define EHCI_STS_ASS    0x00008000u

#define EHCI_PORT_CCS    0x00000001u
#define EHCI_PORT_CSC    0x00000002u
#define EHCI_PORT_PED    0x00000004u
#define EHCI_PORT_PEDC   0x00000008u
#define EHCI_PORT_FPR    0x00000040u
#define EHCI_PORT_SUSP   0x00000080u
#define EHCI_PORT_PR     0x00000100u
#define EHCI_PORT_LINE_K 0x00000400u /* a low-speed device: it is the companion's */
#define EHCI_PORT_LINE_J 0x00000800u
#define EHCI_PORT_PP     0x00001000u
#define EHCI_PORT_OWNER  0x00002000u /* the companion has it */
#define EHCI_PORT_WAKE   0x00700000u

#define EHCI_FRAME_MASK 0x7ffu /* FRINDEX without microframes */

/* Saved. */
struct ehci_regs {
    uint32_t usbcmd, usbsts, usbintr;
    uint16_t frame;   /* FRINDEX / 8 of the next frame to be walked; halted: FRINDEX / 8 */
    int64_t frame_at; /* running: when it begins */
    uint32_t periodiclistbase, asynclistaddr;
    bool configflag;
    uint32_t portsc[EHCI_PORTS];
    uint32_t quiet;     /* frames walked one after the other in which nothing happened */
    int64_t active_at;  /* when something was moved last */
    int64_t late_until; /* up to here FRINDEX has gone on without walks */
};

struct ehci {
    struct pci_device pci; /* first */
    struct ehci_regs regs;
    struct usb_bus bus;
    struct usb_port port[EHCI_PORTS];
    struct usb_port *companion[EHCI_PORTS]; /* NULL: none has that port */
    unsigned companions;
    struct vtimer *timer, *halt_timer;
    struct pci_work *work;
    uint64_t walks; /* runs that looked at a schedule, for people and tests */
};

void ehci_kick(struct ehci *ehci);
/* From now on frames are looked at when they begin. */
void ehci_attend(struct ehci *ehci);
void ehci_arm(struct ehci *ehci);
bool ehci_is_idle(const struct ehci *ehci);
void ehci_run(void *opaque); /* the work */
/* Must be called when USBSTS or USBINTR may have changed. */
void ehci_update_irq(struct ehci *ehci);
