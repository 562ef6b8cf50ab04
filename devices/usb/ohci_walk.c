/* OHCI: frames, endpoint descriptors and their queues. OHCI 1.0a, 4 (data structures), 6 (what is done with them).
 *
 * As with UHCI (uhci_walk.c) frames pass without being walked when nothing can have changed, 32 at most, unless the
 * driver wants an interrupt with each. The frame number in the HCCA is the last one that was walked.
 * No device has isochronous endpoints: their TDs end with "device not responding".
 */
#include <string.h>

#include "log.h"
#include "ohci.h"

#define IDLE_AFTER    16u /* quiet frames */
#define DEEP_AFTER    1024u
#define IDLE_FRAMES   16
#define DEEP_FRAMES   32
#define LATE_FRAMES   64 /* of one run */
#define FRAME_BYTES   1500
#define PACKET_BYTES  13
#define FRAME_FETCHES 256u /* EDs and TDs looked at */

#define HCCA_FRAME 0x80u
#define HCCA_DONE  0x84u

#define ED_SKIP   0x00004000u
#define ED_ISO    0x00008000u
#define ED_HALTED 1u
#define ED_CARRY  2u
#define AT        0xfffffff0u

#define TD_ROUNDING     0x00040000u
#define TD_TOGGLE       0x02000000u /* it is in T, and not in the ED */
#define TD_T            0x01000000u
#define TD_ERRORS       0x0c000000u
#define TD_ERROR_1      0x04000000u
#define TD_CC(code)     ((uint32_t)(code) << 28)
#define TD_DELAY(flags) ((flags) >> 21 & 7)
enum { CC_NONE, CC_STALL = 4, CC_NOT_RESPONDING = 5, CC_OVERRUN = 8, CC_UNDERRUN = 9, CC_BUFFER_OVERRUN = 12 };

struct ed {
    uint32_t flags, tail, head, next;
};

struct td {
    uint32_t flags, buffer, next, end;
};

/* One frame. */
struct walk {
    struct ohci *ohci;
    int bytes;        /* that still fit */
    unsigned fetches; /* how many more */
    bool has_moved;
};

static struct usb_device *addressed(struct ohci *ohci, uint8_t address)
{
    const uint32_t usable = OHCI_PORT_CCS | OHCI_PORT_PES;
    for (unsigned n = 0; n < ohci->ports; n++) {
        if ((ohci->regs.port_status[n] & (usable | OHCI_PORT_PSS)) != usable)
            continue;
        struct usb_device *dev = usb_find(&ohci->port[n], address);
        if (dev)
            return dev;
    }
    return NULL;
}

/* 4.3.1.2: from the buffer's first byte to its last, which may be on another page. */
static uint32_t td_len(const struct td *td)
{
    if (!td->buffer)
        return 0;
    if ((td->buffer ^ td->end) & ~0xfffu)
        return (0x1000 - (td->buffer & 0xfff)) + (td->end & 0xfff) + 1;
    return td->end >= td->buffer ? td->end - td->buffer + 1 : 0;
}

static void td_move(const struct ohci *ohci, const struct td *td, uint8_t *bytes, uint32_t len, bool to_memory)
{
    uint32_t first = MIN(len, 0x1000 - (td->buffer & 0xfff));
    for (unsigned i = 0; i < 2; i++) {
        uint32_t at = i == 0 ? td->buffer : td->end & ~0xfffu, piece = i == 0 ? first : len - first;
        if (to_memory)
            pci_dma_write(&ohci->pci, at, bytes, piece);
        else
            pci_dma_read(&ohci->pci, at, bytes, piece);
        bytes += piece;
    }
}

static void td_advance(struct td *td, uint32_t len, uint32_t left)
{
    uint32_t room = 0x1000 - (td->buffer & 0xfff);
    if (len == left)
        td->buffer = 0;
    else
        td->buffer = len >= room ? (td->end & ~0xfffu) + (len - room) : td->buffer + len;
}

/* The TD goes to the done queue (4.6), and out of its endpoint's. */
static void td_retire(struct walk *walk, struct ed *ed, uint32_t at, struct td *td, unsigned code)
{
    struct ohci_regs *regs = &walk->ohci->regs;
    uint32_t next = td->next & AT;
    td->flags = (td->flags & ~TD_CC(15)) | TD_CC(code);
    td->next = regs->done_head;
    regs->done_head = at;
    regs->done_delay = (uint8_t)MIN(regs->done_delay, code ? 0 : TD_DELAY(td->flags));
    pci_dma_write(&walk->ohci->pci, at, td, sizeof(*td));
    ed->head = next | (ed->head & ED_CARRY) | (code ? ED_HALTED : 0);
    walk->has_moved = true;
}

/* One packet of the endpoint's first TD. True: another one may follow. */
static bool transact(struct walk *walk, struct ed *ed)
{
    static const uint8_t pids[] = {USB_SETUP, USB_OUT, USB_IN, 0};
    struct ohci *ohci = walk->ohci;
    uint32_t at = ed->head & AT, direction = ed->flags >> 11 & 3, max = ed->flags >> 16 & 0x7ff;
    uint8_t buffer[2048];
    struct td td;
    pci_dma_read(&ohci->pci, at, &td, sizeof(td));
    if (ed->flags & ED_ISO) {
        td_retire(walk, ed, at, &td, CC_NOT_RESPONDING);
        ed->head &= ~ED_HALTED; /* isochronous ones are never (4.3.2.3) */
        return true;
    }
    uint8_t pid = direction == 1 ? USB_OUT : direction == 2 ? USB_IN : pids[td.flags >> 19 & 3];
    uint32_t left = td_len(&td), len = MIN(left, max);
    if (!pid || (left && !len)) {
        log_guest("ohci: TD at %x without direction, or packets of 0 bytes", at);
        td_retire(walk, ed, at, &td, CC_BUFFER_OVERRUN);
        return false;
    }
    struct usb_device *dev = addressed(ohci, ed->flags & 0x7f);
    struct usb_packet packet = {.pid = pid,
                                .address = ed->flags & 0x7f,
                                .endpoint = ed->flags >> 7 & 0xf,
                                .buffer = buffer,
                                .len = len,
                                .more = left - len};
    if (pid != USB_IN)
        td_move(ohci, &td, buffer, len, false);
    enum usb_result result = dev ? dev->ops->packet(dev, &packet) : USB_NONE;
    uint32_t actual = pid == USB_IN ? packet.actual : len;
    if (result == USB_ACK && actual > len)
        result = USB_BABBLE;
    walk->bytes -= PACKET_BYTES + (int)(result == USB_ACK ? actual : 0);
    switch (result) {
    case USB_ACK:
        if (pid == USB_IN)
            td_move(ohci, &td, buffer, actual, true);
        walk->has_moved = true;
        td_advance(&td, actual, left);
        td.flags &= ~TD_ERRORS;
        bool toggle = td.flags & TD_TOGGLE ? !(td.flags & TD_T) : !(ed->head & ED_CARRY);
        td.flags = (td.flags & ~TD_T) | TD_TOGGLE | (toggle ? TD_T : 0);
        ed->head = (ed->head & ~ED_CARRY) | (toggle ? ED_CARRY : 0);
        if (actual == left)
            td_retire(walk, ed, at, &td, CC_NONE);
        else if (actual < len)
            td_retire(walk, ed, at, &td, td.flags & TD_ROUNDING ? CC_NONE : CC_UNDERRUN);
        else
            pci_dma_write(&ohci->pci, at, &td, sizeof(td));
        return !(ed->head & ED_HALTED);
    case USB_STALL:
        td_retire(walk, ed, at, &td, CC_STALL);
        return false;
    case USB_BABBLE:
        td_retire(walk, ed, at, &td, CC_OVERRUN);
        return false;
    case USB_NONE: /* three in a row are too many (4.3.1.3.5) */
        walk->has_moved = true;
        td.flags += TD_ERROR_1;
        if ((td.flags & TD_ERRORS) == TD_ERRORS)
            td_retire(walk, ed, at, &td, CC_NOT_RESPONDING);
        else
            pci_dma_write(&ohci->pci, at, &td.flags, sizeof(td.flags));
        return false;
    default:
        return false;
    }
}

/* The list from this ED on; packets: of one endpoint. True: some endpoint has something to do. */
static bool list_run(struct walk *walk, uint32_t at, unsigned packets)
{
    struct ohci *ohci = walk->ohci;
    bool has_work = false;
    while ((at & AT) && walk->bytes > 0 && walk->fetches > 0) {
        struct ed ed;
        walk->fetches--;
        pci_dma_read(&ohci->pci, at & AT, &ed, sizeof(ed));
        uint32_t before = ed.head;
        for (unsigned n = 0; n < packets && walk->bytes > 0 && walk->fetches > 0; n++) {
            if (ed.flags & ED_SKIP || ed.head & ED_HALTED || (ed.head & AT) == (ed.tail & AT))
                break;
            has_work = true;
            walk->fetches--;
            if (!transact(walk, &ed))
                break;
        }
        if (ed.head != before)
            pci_dma_write(&ohci->pci, (at & AT) + offsetof(struct ed, head), &ed.head, sizeof(ed.head));
        at = ed.next;
    }
    return has_work;
}

/* --- A frame (6.4) --- */

static void done_queue_tell(struct ohci *ohci)
{
    struct ohci_regs *regs = &ohci->regs;
    if (regs->done_delay != OHCI_NO_DONE && regs->done_delay > 0) {
        regs->done_delay--;
        return;
    }
    if (regs->done_delay == OHCI_NO_DONE || regs->intr_status & OHCI_INT_WDH)
        return;
    uint32_t head = regs->done_head | ((regs->intr_status & regs->intr_enable & OHCI_INT_ALL) != 0);
    pci_dma_write(&ohci->pci, regs->hcca + HCCA_DONE, &head, sizeof(head));
    regs->done_head = 0;
    regs->done_delay = OHCI_NO_DONE;
    regs->intr_status |= OHCI_INT_WDH;
}

/* True: it was quiet. */
static bool frame_run(struct ohci *ohci)
{
    struct ohci_regs *regs = &ohci->regs;
    struct walk walk = {.ohci = ohci, .bytes = FRAME_BYTES, .fetches = FRAME_FETCHES};
    uint16_t number[2] = {regs->fm_number, 0};
    bool was_told = regs->intr_status & OHCI_INT_WDH;
    ohci->walks++;
    pci_dma_write(&ohci->pci, regs->hcca + HCCA_FRAME, number, sizeof(number));
    if (regs->control & OHCI_CTL_PLE) {
        uint32_t head;
        pci_dma_read(&ohci->pci, regs->hcca + 4 * (regs->fm_number & 31u), &head, sizeof(head));
        list_run(&walk, head, 1);
    }
    if ((regs->control & OHCI_CTL_CLE) && (regs->command_status & OHCI_CMD_CLF) &&
        !list_run(&walk, regs->control_head, 8))
        regs->command_status &= ~OHCI_CMD_CLF;
    if ((regs->control & OHCI_CTL_BLE) && (regs->command_status & OHCI_CMD_BLF) &&
        !list_run(&walk, regs->bulk_head, FRAME_FETCHES))
        regs->command_status &= ~OHCI_CMD_BLF;
    done_queue_tell(ohci);
    regs->intr_status |= OHCI_INT_SF;
    regs->fm_number++;
    if (!(regs->fm_number & 0x7fff))
        regs->intr_status |= OHCI_INT_FNO;
    return !walk.has_moved && regs->done_delay == OHCI_NO_DONE && was_told == !!(regs->intr_status & OHCI_INT_WDH);
}

bool ohci_is_idle(const struct ohci *ohci)
{
    return ohci->regs.quiet >= IDLE_AFTER && !(ohci->regs.intr_enable & OHCI_INT_SF);
}

void ohci_arm(struct ohci *ohci)
{
    const struct ohci_regs *regs = &ohci->regs;
    int64_t left = !ohci_is_idle(ohci) ? 1 : regs->quiet >= DEEP_AFTER ? DEEP_FRAMES : IDLE_FRAMES;
    if (ohci_runs(ohci))
        vtimer_arm(ohci->timer, regs->frame_at + (left - 1) * OHCI_FRAME_NS);
    else
        vtimer_cancel(ohci->timer);
}

void ohci_kick(struct ohci *ohci)
{
    if (ohci_runs(ohci))
        pci_work_ask(ohci->work);
}

void ohci_attend(struct ohci *ohci)
{
    ohci->regs.quiet = 0;
    ohci_arm(ohci);
    ohci_kick(ohci);
}

void ohci_run(void *opaque)
{
    struct ohci *ohci = opaque;
    struct ohci_regs *regs = &ohci->regs;
    int64_t now = vclock_now();
    if (!ohci_runs(ohci))
        return;
    int64_t late = now < regs->frame_at ? 0 : (now - regs->frame_at) / OHCI_FRAME_NS;
    if (late >= LATE_FRAMES) {
        late -= LATE_FRAMES - 1;
        regs->fm_number = (uint16_t)(regs->fm_number + late);
        regs->frame_at += late * OHCI_FRAME_NS;
    }
    while (regs->frame_at <= now) {
        bool is_quiet = frame_run(ohci);
        regs->quiet = is_quiet ? MIN(regs->quiet + 1, DEEP_AFTER) : 0;
        regs->frame_at += OHCI_FRAME_NS;
    }
    ohci_update_irq(ohci);
    ohci_arm(ohci);
}
