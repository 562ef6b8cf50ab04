/* The two halves of the UHCI: registers and ports in uhci.c, the schedule in uhci_walk.c. Names and sections are those
 * of Intel's Universal Host Controller Interface Design Guide, revision 1.1. */
#pragma once

#include "devices/pci.h"
#include "usb.h"
#include "vclock.h"

#define UHCI_PORTS    2u
#define UHCI_FRAME_NS 1000000ll

/* I/O registers (2.1) */
#define USBCMD    0x00
#define USBSTS    0x02
#define USBINTR   0x04
#define FRNUM     0x06
#define FLBASEADD 0x08
#define SOFMOD    0x0c
#define PORTSC1   0x10
#define PORTSC2   0x12

#define CMD_RS      0x0001u
#define CMD_HCRESET 0x0002u
#define CMD_GRESET  0x0004u
#define CMD_EGSM    0x0008u
#define CMD_FGR     0x0010u
#define CMD_ALL     0x00ffu

#define STS_USBINT 0x0001u
#define STS_ERRINT 0x0002u
#define STS_RD     0x0004u /* resume detect */
#define STS_HSE    0x0008u
#define STS_HCPE   0x0010u /* process error */
#define STS_HCH    0x0020u

#define INTR_CRC    0x0001u /* timeout, CRC */
#define INTR_RESUME 0x0002u
#define INTR_IOC    0x0004u
#define INTR_SPD    0x0008u

#define PORT_CCS    0x0001u
#define PORT_CSC    0x0002u
#define PORT_PE     0x0004u
#define PORT_PEC    0x0008u
#define PORT_RD     0x0040u /* resume */
#define PORT_ONE    0x0080u
#define PORT_LSDA   0x0100u
#define PORT_PR     0x0200u
#define PORT_SUSP   0x1000u
#define PORT_LINE_J 0x0010u /* D+ high: a full-speed device when nothing is sent */
#define PORT_LINE_K 0x0020u /* D-: a low-speed one */

#define FRAME_MASK 0x7ffu

/* Saved. */
struct uhci_regs {
    uint16_t usbcmd, usbsts, usbintr;
    uint16_t cause;   /* INTR_IOC, INTR_SPD: why USBINT is set, as each has a switch of its own */
    uint16_t frame;   /* the next to be walked; halted: FRNUM */
    int64_t frame_at; /* running: when it begins */
    uint32_t flbaseadd;
    uint8_t sofmod;
    uint16_t portsc[UHCI_PORTS];
    uint32_t quiet;     /* frames walked one after the other in which nothing happened */
    int64_t late_until; /* up to here FRNUM has gone on without walks */
};

struct uhci {
    struct pci_device pci; /* first */
    struct uhci_regs regs;
    struct usb_bus bus;
    struct usb_port port[UHCI_PORTS];
    struct vtimer *timer;
    struct pci_work *work;
    uint64_t walks; /* frames whose schedule was looked at, for people and tests */
};

/* Frames are due, or something has happened that they should see. */
void uhci_kick(struct uhci *uhci);
/* From now on frames are looked at when they begin. */
void uhci_attend(struct uhci *uhci);
void uhci_arm(struct uhci *uhci);
bool uhci_is_idle(const struct uhci *uhci);
void uhci_run(void *opaque); /* the work */
void uhci_update_irq(struct uhci *uhci);
/* Clears RS: a guest's mistake that the chip stops at (2.1.2). */
void uhci_process_error(struct uhci *uhci);
