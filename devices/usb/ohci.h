/* The two halves of the OHCI: registers and root hub in ohci.c, the lists in ohci_walk.c. Names and sections are those
 * of the Open Host Controller Interface Specification for USB, 1.0a. */
#pragma once

#include "devices/pci.h"
#include "usb.h"
#include "vclock.h"

#define OHCI_PORTS_MAX 15u
#define OHCI_FRAME_NS  1000000ll
#define OHCI_BAR       0x1000u

#define OHCI_REVISION       0x00u
#define OHCI_CONTROL        0x04u
#define OHCI_COMMAND_STATUS 0x08u
#define OHCI_INTR_STATUS    0x0cu
#define OHCI_INTR_ENABLE    0x10u
#define OHCI_INTR_DISABLE   0x14u
#define OHCI_HCCA           0x18u
#define OHCI_PERIOD_CURRENT 0x1cu
#define OHCI_CONTROL_HEAD   0x20u
#define OHCI_CONTROL_CUR    0x24u
#define OHCI_BULK_HEAD      0x28u
#define OHCI_BULK_CUR       0x2cu
#define OHCI_DONE_HEAD      0x30u
#define OHCI_FM_INTERVAL    0x34u
#define OHCI_FM_REMAINING   0x38u
#define OHCI_FM_NUMBER      0x3cu
#define OHCI_PERIODIC_START 0x40u
#define OHCI_LS_THRESHOLD   0x44u
#define OHCI_RH_A           0x48u
#define OHCI_RH_B           0x4cu
#define OHCI_RH_STATUS      0x50u
#define OHCI_RH_PORT        0x54u

#define OHCI_CTL_PLE  0x004u
#define OHCI_CTL_CLE  0x010u
#define OHCI_CTL_BLE  0x020u
#define OHCI_CTL_HCFS 0x0c0u
#define OHCI_CTL_ALL  0x7ffu
#define OHCI_RESET    0x000u /* HCFS */
#define OHCI_RESUME   0x040u
#define OHCI_RUNS     0x080u
#define OHCI_SUSPEND  0x0c0u

#define OHCI_CMD_HCR 0x1u
#define OHCI_CMD_CLF 0x2u
#define OHCI_CMD_BLF 0x4u

#define OHCI_INT_WDH  0x00000002u
#define OHCI_INT_SF   0x00000004u
#define OHCI_INT_RD   0x00000008u
#define OHCI_INT_UE   0x00000010u
#define OHCI_INT_FNO  0x00000020u
#define OHCI_INT_RHSC 0x00000040u
#define OHCI_INT_ALL  0x0000007fu
#define OHCI_INT_MIE  0x80000000u

#define OHCI_PORT_CCS     0x00000001u
#define OHCI_PORT_PES     0x00000002u
#define OHCI_PORT_PSS     0x00000004u
#define OHCI_PORT_PPS     0x00000100u
#define OHCI_PORT_LSDA    0x00000200u
#define OHCI_PORT_CSC     0x00010000u
#define OHCI_PORT_PESC    0x00020000u
#define OHCI_PORT_PSSC    0x00040000u
#define OHCI_PORT_PRSC    0x00100000u
#define OHCI_PORT_CHANGES 0x001f0000u

#define OHCI_NO_DONE 7u /* done_delay: no TD is to be told of */

/* Saved. */
struct ohci_regs {
    uint32_t control, command_status, intr_status, intr_enable;
    uint32_t hcca, control_head, control_current, bulk_head, bulk_current, done_head;
    uint32_t fm_interval, periodic_start, ls_threshold, rh_a, rh_b;
    uint16_t fm_number; /* of the next frame to be walked */
    uint8_t done_delay; /* frames until HcDoneHead is told; OHCI_NO_DONE */
    bool remote_wakeup; /* DRWE: a connection wakes, too */
    int64_t frame_at;   /* running: when the next frame begins */
    uint32_t port_status[OHCI_PORTS_MAX];
    uint32_t quiet; /* frames walked one after the other in which nothing happened */
};

struct ohci {
    struct pci_device pci; /* first */
    struct ohci_regs regs;
    struct usb_bus bus;
    struct usb_port port[OHCI_PORTS_MAX];
    unsigned ports;
    struct vtimer *timer;
    struct pci_work *work;
    uint64_t walks; /* frames whose lists were looked at, for people and tests */
};

void ohci_kick(struct ohci *ohci);
/* From now on frames are looked at when they begin. */
void ohci_attend(struct ohci *ohci);
void ohci_arm(struct ohci *ohci);
bool ohci_runs(const struct ohci *ohci);
bool ohci_is_idle(const struct ohci *ohci);
void ohci_run(void *opaque); /* the work */
/* Must be called when HcInterruptStatus or HcInterruptEnable may have changed. */
void ohci_update_irq(struct ohci *ohci);
