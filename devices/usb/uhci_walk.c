/* UHCI: frames and the schedule. Design Guide, 1.2 (data structures), 3 (what is done in a frame).
 *
 * Frames that nobody looks at. A frame whose walk finds inactive TDs, and active ones to which devices say NAK, changes
 * nothing. It would be walked to the same end a thousand times a second; so after some such frames the controller is
 * idle: frames are left until 16 are due, and later 32, and are walked then one after the other. A guest cannot tell,
 * but by measuring how long its first packet after a pause takes:
 *
 * - FRNUM goes on with the clock, and no frame is left out: each is walked in its turn, from its own entry of the frame
 *   list, later than it should be.
 * - When a device that has something to say calls usb_wakeup(), and when the guest writes a register or asks which
 *   frame it is, everything is walked at once that is due.
 * - What a walk writes in a frame with nothing but NAKs is the NAK bit of a TD, once.
 * - TDs that the guest puts into memory without a word are found after 32 frames at most. A driver has to be content
 *   with that: no deadline of USB's is shorter but those of isochronous TDs, which are active and so keep the
 *   controller awake while there are some.
 *
 * Within a run of late frames nothing changes what quiet walks saw (the guest stands, the devices wait for the lock),
 * so one that begins at the same element as a quiet one before it is not repeated.
 */
#include <string.h>

#include "log.h"
#include "uhci.h"

#define IDLE_AFTER  16u /* quiet frames */
#define DEEP_AFTER  1024u
#define IDLE_FRAMES 16
#define DEEP_FRAMES 32
#define LATE_FRAMES 64 /* of one run: the host did not let us for longer, and frames are lost */

/* What fits into a frame: 12,000 bits, with what goes with a packet (USB 1.1, 5.8.4: 19 of 64 bytes each). */
#define FRAME_BYTES   1500
#define PACKET_BYTES  13
#define FRAME_FETCHES 256u /* TDs and QHs looked at: each takes the chip's PCI master about a microsecond or more */
#define PACKET_MAX    1280u

#define LINK_T  0x1u /* terminate */
#define LINK_Q  0x2u /* a QH, not a TD */
#define LINK_VF 0x4u /* depth first */
#define LINK_AT 0xfffffff0u

#define TD_ACTLEN  0x000007ffu
#define TD_TIMEOUT (1u << 18)
#define TD_NAK     (1u << 19)
#define TD_BABBLE  (1u << 20)
#define TD_STALLED (1u << 22)
#define TD_ACTIVE  (1u << 23)
#define TD_IOC     (1u << 24)
#define TD_IOS     (1u << 25)
#define TD_C_ERR   (3u << 27)
#define TD_C_ERR_1 (1u << 27)
#define TD_SPD     (1u << 29)

struct td {
    uint32_t link, status, token, buffer;
};

struct qh {
    uint32_t head, element;
};

enum td_end {
    TD_NEXT, /* the queue goes on behind it */
    TD_STAY, /* the queue stands at it: not ready, failed, short, or not active */
    TD_FATAL,
};

/* One frame. */
struct walk {
    struct uhci *uhci;
    int bytes;        /* that still fit */
    unsigned fetches; /* how many more */
    unsigned packets; /* that were not answered by NAK, so far */
    uint16_t causes;
    bool is_error, is_queue; /* is_queue: the TD is of one */
};

/* --- TDs --- */

static struct usb_device *addressed(struct uhci *uhci, uint8_t address)
{
    for (unsigned i = 0; i < UHCI_PORTS; i++) {
        if ((uhci->regs.portsc[i] & (PORT_CCS | PORT_PE | PORT_PR | PORT_SUSP)) != (PORT_CCS | PORT_PE))
            continue;
        struct usb_device *dev = usb_find(&uhci->port[i], address);
        if (dev)
            return dev;
    }
    return NULL;
}

static enum usb_result send(struct uhci *uhci, const struct td *td, uint8_t *buffer, uint32_t len, uint32_t *actual)
{
    struct usb_packet packet = {.pid = (uint8_t)td->token,
                                .address = td->token >> 8 & 0x7f,
                                .endpoint = td->token >> 15 & 0xf,
                                .is_isochronous = td->status & TD_IOS,
                                .buffer = buffer,
                                .len = len};
    struct usb_device *dev = addressed(uhci, packet.address);
    if (!dev)
        return USB_NONE;
    if (packet.pid != USB_IN)
        pci_dma_read(&uhci->pci, td->buffer, buffer, len);
    enum usb_result result = dev->ops->packet(dev, &packet);
    *actual = packet.actual;
    return result;
}

static void retire(struct walk *walk, struct td *td, uint32_t why)
{
    td->status = (td->status & ~TD_ACTIVE) | why;
    if (why & TD_STALLED)
        walk->is_error = true;
    if (td->status & TD_IOC)
        walk->causes |= INTR_IOC;
}

/* 3.2.2: three in a row are too many, or as many as the driver has said; 0 is no limit. */
static void count_error(struct walk *walk, struct td *td)
{
    td->status |= TD_TIMEOUT;
    if (!(td->status & TD_C_ERR))
        return;
    td->status -= TD_C_ERR_1;
    if (!(td->status & TD_C_ERR))
        retire(walk, td, TD_STALLED);
}

static enum td_end td_settle(struct walk *walk, struct td *td, enum usb_result result, uint32_t len, uint32_t actual)
{
    bool is_short = false;
    if (result == USB_ACK) {
        td->status = (td->status & ~(TD_ACTLEN | TD_NAK)) | ((actual - 1) & TD_ACTLEN);
        is_short = (uint8_t)td->token == USB_IN && actual < len && (td->status & TD_SPD) && walk->is_queue;
        retire(walk, td, 0);
    } else if (td->status & TD_IOS) { /* whatever has happened, it was this frame's */
        retire(walk, td, result == USB_NONE ? TD_TIMEOUT : result == USB_BABBLE ? TD_BABBLE : 0);
        td->status |= TD_ACTLEN;
    } else if (result == USB_STALL) {
        retire(walk, td, TD_STALLED);
    } else if (result == USB_BABBLE) {
        retire(walk, td, TD_STALLED | TD_BABBLE);
    } else if (result == USB_NONE) {
        count_error(walk, td);
    } else {
        td->status |= TD_NAK;
        return TD_STAY;
    }
    walk->packets++;
    if (is_short) {
        walk->causes |= INTR_SPD;
        return TD_STAY;
    }
    return result == USB_ACK || (td->status & TD_IOS) ? TD_NEXT : TD_STAY;
}

static enum td_end td_run(struct walk *walk, uint32_t at, struct td *td)
{
    struct uhci *uhci = walk->uhci;
    uint8_t buffer[PACKET_MAX];
    pci_dma_read(&uhci->pci, at, td, sizeof(*td));
    if (!(td->status & TD_ACTIVE)) { /* its IOC counts even so (3.2.2): a driver can have itself called like that */
        if (td->status & TD_IOC)
            walk->causes |= INTR_IOC;
        return TD_STAY;
    }
    uint8_t pid = (uint8_t)td->token;
    uint32_t len = (td->token >> 21) + 1, actual = 0, before = td->status;
    len &= 0x7ff;
    if ((pid != USB_IN && pid != USB_OUT && pid != USB_SETUP) || len > PACKET_MAX) {
        log_guest("uhci: TD at %x has PID %02x, length %u", at, pid, len);
        uhci_process_error(uhci);
        return TD_FATAL;
    }
    enum usb_result result = send(uhci, td, buffer, len, &actual);
    if (actual > len)
        result = USB_BABBLE;
    if (result == USB_ACK && pid == USB_IN)
        pci_dma_write(&uhci->pci, td->buffer, buffer, actual);
    walk->bytes -= PACKET_BYTES + (int)(result == USB_ACK ? actual : 0);
    enum td_end end = td_settle(walk, td, result, len, actual);
    if (td->status != before)
        pci_dma_write(&uhci->pci, at + 4, &td->status, sizeof(td->status));
    return end;
}

/* --- Queues --- */

/* As many of its TDs as may be now; where the walk goes on. */
static uint32_t qh_run(struct walk *walk, uint32_t at, bool *fatal)
{
    struct uhci *uhci = walk->uhci;
    struct qh qh;
    pci_dma_read(&uhci->pci, at, &qh, sizeof(qh));
    while (!(qh.element & LINK_T) && walk->bytes > 0 && walk->fetches > 0) {
        struct td td;
        if (qh.element & LINK_Q)
            return qh.element;
        walk->fetches--;
        walk->is_queue = true;
        enum td_end end = td_run(walk, qh.element & LINK_AT, &td);
        if (end == TD_FATAL)
            *fatal = true;
        if (end != TD_NEXT)
            break;
        qh.element = td.link;
        pci_dma_write(&uhci->pci, at + 4, &qh.element, sizeof(qh.element));
        if (!(td.link & LINK_VF))
            break;
    }
    return qh.head;
}

/* A circle of QHs (bandwidth reclamation, 3.4.2) is gone round while packets move: when the QH that was first after the
 * last one comes again, all have had their turn. Brent's way finds circles that begin later. */
struct circle {
    uint32_t mark;
    unsigned packets, steps, power;
};

static bool has_come_round(struct circle *circle, const struct walk *walk, uint32_t link)
{
    if (walk->packets == circle->packets && circle->mark == link)
        return true;
    if (walk->packets != circle->packets || circle->steps == circle->power) {
        circle->power = walk->packets != circle->packets ? 1 : circle->power * 2;
        circle->packets = walk->packets;
        circle->mark = link;
        circle->steps = 0;
    }
    circle->steps++;
    return false;
}

/* True: it was quiet. */
static bool frame_walk(struct uhci *uhci, uint32_t link)
{
    struct walk walk = {.uhci = uhci, .bytes = FRAME_BYTES, .fetches = FRAME_FETCHES};
    struct circle circle = {.mark = LINK_T, .power = 1};
    bool fatal = false;
    uhci->walks++;
    while (!(link & LINK_T) && walk.bytes > 0 && walk.fetches > 0 && !fatal) {
        walk.fetches--;
        if (link & LINK_Q) {
            if (has_come_round(&circle, &walk, link))
                break;
            link = qh_run(&walk, link & LINK_AT, &fatal);
        } else {
            struct td td;
            walk.is_queue = false;
            fatal = td_run(&walk, link & LINK_AT, &td) == TD_FATAL;
            link = td.link;
        }
    }
    if (walk.causes || walk.is_error) {
        uhci->regs.cause |= walk.causes;
        uhci->regs.usbsts |= (walk.causes ? STS_USBINT : 0) | (walk.is_error ? STS_ERRINT : 0);
        uhci_update_irq(uhci);
    }
    return !walk.packets && !walk.causes && !fatal;
}

/* --- Frames --- */

bool uhci_is_idle(const struct uhci *uhci)
{
    return uhci->regs.quiet >= IDLE_AFTER;
}

void uhci_arm(struct uhci *uhci)
{
    const struct uhci_regs *regs = &uhci->regs;
    int64_t left = regs->quiet >= DEEP_AFTER ? DEEP_FRAMES : uhci_is_idle(uhci) ? IDLE_FRAMES : 1;
    if (regs->usbcmd & CMD_RS)
        vtimer_arm(uhci->timer, regs->frame_at + (left - 1) * UHCI_FRAME_NS);
    else
        vtimer_cancel(uhci->timer);
}

void uhci_kick(struct uhci *uhci)
{
    if (uhci->regs.usbcmd & CMD_RS)
        pci_work_ask(uhci->work);
}

void uhci_attend(struct uhci *uhci)
{
    if (uhci_is_idle(uhci))
        uhci->regs.late_until = vclock_now();
    uhci->regs.quiet = 0;
    uhci_arm(uhci);
    uhci_kick(uhci);
}

#define HEADS 16u /* that were quiet in this run */

void uhci_run(void *opaque)
{
    struct uhci *uhci = opaque;
    struct uhci_regs *regs = &uhci->regs;
    uint32_t quiet_head[HEADS];
    unsigned heads = 0;
    int64_t now = vclock_now(), late;
    if (!(regs->usbcmd & CMD_RS))
        return;
    late = (now - regs->frame_at) / UHCI_FRAME_NS;
    if (now >= regs->frame_at && late >= LATE_FRAMES) {
        late -= LATE_FRAMES - 1;
        regs->frame = (uint16_t)((regs->frame + late) & FRAME_MASK);
        regs->frame_at += late * UHCI_FRAME_NS;
    }
    while (regs->frame_at <= now && (regs->usbcmd & CMD_RS)) {
        uint32_t head;
        bool is_known = false;
        pci_dma_read(&uhci->pci, regs->flbaseadd + (regs->frame & 0x3ffu) * 4, &head, sizeof(head));
        for (unsigned i = 0; i < heads && !is_known; i++)
            is_known = quiet_head[i] == head;
        /* Counted first: a frame that stops the controller is FRNUM's. */
        bool is_quiet = is_known || frame_walk(uhci, head);
        if (!(regs->usbcmd & CMD_RS))
            break;
        if (is_quiet && !is_known && heads < HEADS)
            quiet_head[heads++] = head;
        if (!is_quiet)
            heads = 0;
        regs->quiet = is_quiet ? MIN(regs->quiet + 1, DEEP_AFTER) : 0;
        regs->frame = (regs->frame + 1) & FRAME_MASK;
        regs->frame_at += UHCI_FRAME_NS;
    }
    uhci_arm(uhci);
}
