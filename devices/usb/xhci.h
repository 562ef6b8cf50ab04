/* The two halves of the xHCI: registers and ports in xhci.c, rings and contexts in xhci_rings.c. Names and sections are
 * those of Intel's eXtensible Host Controller Interface for Universal Serial Bus, revision 1.1. */
#pragma once

#include "devices/pci.h"
#include "usb.h"
#include "vclock.h"

#define XHCI_SLOTS     32u
#define XHCI_PORTS_MAX 15u /* of either kind */
#define XHCI_BAR       0x4000u

/* By offset from the BAR (5.3 to 5.6). */
#define XHCI_CAPLENGTH   0x00u
#define XHCI_HCSPARAMS1  0x04u
#define XHCI_HCSPARAMS2  0x08u
#define XHCI_HCCPARAMS1  0x10u
#define XHCI_DBOFF       0x14u
#define XHCI_RTSOFF      0x18u
#define XHCI_PROTOCOLS   0x20u /* extended capabilities: USB 2, USB 3 */
#define XHCI_OPERATIONAL 0x40u
#define XHCI_USBCMD      0x40u
#define XHCI_USBSTS      0x44u
#define XHCI_PAGESIZE    0x48u
#define XHCI_DNCTRL      0x54u
#define XHCI_CRCR        0x58u
#define XHCI_DCBAAP      0x70u
#define XHCI_CONFIG      0x78u
#define XHCI_PORTSC      0x440u /* each 10h */
#define XHCI_RUNTIME     0x1000u
#define XHCI_IMAN        0x1020u
#define XHCI_IMOD        0x1024u
#define XHCI_ERSTSZ      0x1028u
#define XHCI_ERSTBA      0x1030u
#define XHCI_ERDP        0x1038u
#define XHCI_DOORBELL    0x2000u

#define XHCI_CMD_RS    0x00000001u
#define XHCI_CMD_HCRST 0x00000002u
#define XHCI_CMD_INTE  0x00000004u
#define XHCI_CMD_ALL   0x00000c0du
#define XHCI_STS_HCH   0x00000001u
#define XHCI_STS_HSE   0x00000004u
#define XHCI_STS_EINT  0x00000008u
#define XHCI_STS_PCD   0x00000010u
#define XHCI_STS_RWC   0x0000041cu
#define XHCI_IMAN_IP   0x1u
#define XHCI_IMAN_IE   0x2u
#define XHCI_ERDP_EHB  0x8u
#define XHCI_CRCR_RCS  0x1u
#define XHCI_CRCR_CS   0x2u
#define XHCI_CRCR_CA   0x4u
#define XHCI_CRCR_CRR  0x8u

#define XHCI_PORT_CCS   0x00000001u
#define XHCI_PORT_PED   0x00000002u
#define XHCI_PORT_PR    0x00000010u
#define XHCI_PORT_PLS   0x000001e0u
#define XHCI_PORT_PP    0x00000200u
#define XHCI_PORT_SPEED 0x00003c00u
#define XHCI_PORT_LWS   0x00010000u
#define XHCI_PORT_CSC   0x00020000u
#define XHCI_PORT_WRC   0x00080000u
#define XHCI_PORT_PRC   0x00200000u
#define XHCI_PORT_PLC   0x00400000u
#define XHCI_PORT_RWC   0x00fe0000u
#define XHCI_PORT_WAKE  0x0e000000u
#define XHCI_PORT_WPR   0x80000000u

/* Saved. What endpoints do is in their contexts, in the guest's memory. */
struct xhci_regs {
    uint32_t usbcmd, usbsts, dnctrl, config, iman, imod, erstsz;
    uint64_t dcbaap, crcr, erstba, erdp;
    bool crr;                            /* the command ring runs */
    bool er_changed;                     /* ERSTBA was written: the table is to be read */
    uint64_t er_base;                    /* of the event ring */
    uint32_t er_size, er_at;             /* in TRBs */
    bool er_cycle;                       /* PCS */
    uint32_t portsc[2 * XHCI_PORTS_MAX]; /* USB 2, then USB 3 */
    uint32_t port_events;                /* by port: to be told */
    bool command;                        /* doorbell 0 */
    uint8_t slot_port[XHCI_SLOTS + 1]; /* of an enabled slot its root port from 1, 80h: not addressed; 0: not enabled */
    uint32_t doorbell[XHCI_SLOTS + 1]; /* by DCI: endpoints to look at */
    uint32_t waiting[XHCI_SLOTS + 1];  /* by DCI: the device has said NAK */
    uint32_t moved[(XHCI_SLOTS + 1) * 32]; /* by slot and DCI: bytes of the TD that is under way */
};

struct xhci {
    struct pci_device pci; /* first */
    struct xhci_regs regs;
    struct usb_bus bus;
    struct usb_port port[XHCI_PORTS_MAX];
    unsigned ports2, ports3;
    struct pci_work *work;
    uint64_t runs; /* for people and tests */
};

/* The port behind PORTSC number n (from 0), and the number that a device's speed gives it. */
static inline struct usb_port *xhci_port(struct xhci *xhci, unsigned n)
{
    return &xhci->port[n < xhci->ports2 ? n : n - xhci->ports2];
}

void xhci_run(void *opaque); /* the work */
/* Must be called when IMAN or USBCMD may have changed. */
void xhci_update_irq(struct xhci *xhci);
/* An event was written. */
void xhci_event_told(struct xhci *xhci);
