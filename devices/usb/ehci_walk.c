/* EHCI: the periodic and the asynchronous schedule. EHCI 1.0, 3 (data structures), 4 (what is done with them).
 *
 * As with UHCI (uhci_walk.c) frames pass without being walked when nothing can have changed: a device that said NAK
 * calls usb_wakeup(), and each register that is written makes the schedules be looked at. What a driver puts into
 * memory without a word is found after 32 ms at most; but while packets move, and a few milliseconds longer, the
 * asynchronous schedule is looked at in each microframe, and more often at first: a chip with an empty list sleeps for
 * 10 us and starts anew (4.8.4), and a driver that does one thing after the other (a disk's command, data and status)
 * tells nobody when it has put the next one there. So after a packet it is looked at again 10 us later, and then
 * whenever half as much more has passed, up to a microframe: what the driver takes long for waits no longer than half
 * of that.
 * When the processor halts it is looked at, too: who waits for what has just been put there has nothing else to do.
 *
 * All packets of a queue that can be moved are moved at one go, up to a budget: the bus is as fast as the host.
 * No full-speed device is behind a high-speed hub here, as our hub is a full-speed one: there are no split transactions
 * (siTDs, FSTNs are passed over). No device has isochronous endpoints: an iTD's transactions end in an error.
 */
#include <string.h>

#include "ehci.h"
#include "log.h"

#define IDLE_AFTER   16u /* quiet frames */
#define DEEP_AFTER   1024u
#define IDLE_FRAMES  16
#define DEEP_FRAMES  32
#define LATE_FRAMES  64 /* of one run */
#define MICRO_NS     125000ll
#define SLEEP_NS     10000ll   /* 4.8.4: AsyncSchedSleepTime */
#define AWAKE_NS     3000000ll /* after a packet, microframes are looked at so long */
#define FRAME_LINKS  128u      /* elements of one frame */
#define ASYNC_LINKS  256u      /* queue heads of one run */
#define ASYNC_BYTES  (256 * 1024)
#define PACKET_BYTES 64          /* at least, of the budget */
#define QUEUE_BYTES  (32 * 1024) /* of one queue, before it is the next one's turn */

#define LINK_T     1u
#define LINK_AT    0xffffffe0u
#define TYPE(link) ((link) >> 1 & 3)
enum { TYPE_ITD, TYPE_QH, TYPE_SITD, TYPE_FSTN };

#define TOKEN_XACT         0x00000008u
#define TOKEN_BABBLE       0x00000010u
#define TOKEN_BUFFER       0x00000020u
#define TOKEN_HALTED       0x00000040u
#define TOKEN_ACTIVE       0x00000080u
#define TOKEN_CERR         0x00000c00u
#define TOKEN_CERR_1       0x00000400u
#define TOKEN_C_PAGE       0x00007000u
#define TOKEN_IOC          0x00008000u
#define TOKEN_TOGGLE       0x80000000u
#define TOKEN_BYTES(token) ((token) >> 16 & 0x7fff)

#define QH_HEAD 0x00008000u
#define QH_DTC  0x00004000u
#define PAGES   5u
#define PAGE    4096u

struct qtd {
    uint32_t next, alternate, token, buffer[PAGES];
};

/* As in memory; its tail is the overlay (3.6.3). */
struct qh {
    uint32_t link, endpoint, capabilities, current;
    struct qtd overlay;
};

enum outcome { MOVED, NOTHING, FAILED };

/* One run. */
struct walk {
    struct ehci *ehci;
    int bytes; /* that still fit */
    bool has_moved;
    uint32_t causes; /* STS_INT, STS_ERRINT */
};

static struct usb_device *addressed(struct ehci *ehci, uint8_t address)
{
    const uint32_t usable = EHCI_PORT_CCS | EHCI_PORT_PED;
    for (unsigned n = 0; n < EHCI_PORTS; n++) {
        if ((ehci->regs.portsc[n] & (usable | EHCI_PORT_PR | EHCI_PORT_SUSP | EHCI_PORT_OWNER)) != usable)
            continue;
        struct usb_device *dev = usb_find(&ehci->port[n], address);
        if (dev)
            return dev;
    }
    return NULL;
}

/* --- A transaction --- */

/* The buffer's pages, from the current offset (3.5.4). Moves at most what is left of the five pages. */
static uint32_t move_buffer(const struct ehci *ehci, struct qtd *qtd, uint8_t *bytes, uint32_t len, bool to_memory)
{
    uint32_t done = 0, page = (qtd->token & TOKEN_C_PAGE) >> 12, offset = qtd->buffer[0] & (PAGE - 1);
    while (done < len && page < PAGES) {
        uint32_t piece = MIN(len - done, PAGE - offset);
        uint64_t at = (qtd->buffer[page] & ~(PAGE - 1)) + offset;
        if (to_memory)
            pci_dma_write(&ehci->pci, at, bytes + done, piece);
        else
            pci_dma_read(&ehci->pci, at, bytes + done, piece);
        done += piece;
        offset += piece;
        if (offset == PAGE) {
            offset = 0;
            page++;
        }
    }
    return done;
}

static void advance_buffer(struct qtd *qtd, uint32_t len)
{
    uint32_t offset = (qtd->buffer[0] & (PAGE - 1)) + len, page = ((qtd->token & TOKEN_C_PAGE) >> 12) + offset / PAGE;
    qtd->buffer[0] = (qtd->buffer[0] & ~(PAGE - 1)) | (offset & (PAGE - 1));
    qtd->token = (qtd->token & ~TOKEN_C_PAGE) | (MIN(page, 7u) << 12);
    qtd->token -= len << 16;
    qtd->token ^= TOKEN_TOGGLE;
}

static enum outcome halt(struct walk *walk, struct qtd *qtd, uint32_t why)
{
    qtd->token = (qtd->token & ~TOKEN_ACTIVE) | TOKEN_HALTED | why;
    walk->causes |= EHCI_STS_ERRINT | (qtd->token & TOKEN_IOC ? EHCI_STS_INT : 0);
    return FAILED;
}

/* 4.10.3: one packet of the overlay's. */
static enum outcome transact(struct walk *walk, const struct qh *qh, struct qtd *qtd)
{
    static const uint8_t pids[] = {USB_OUT, USB_IN, USB_SETUP, 0};
    struct ehci *ehci = walk->ehci;
    uint8_t buffer[1024], pid = pids[qtd->token >> 8 & 3];
    uint32_t left = TOKEN_BYTES(qtd->token), max = qh->endpoint >> 16 & 0x7ff;
    uint32_t len = MIN(left, MIN(max, sizeof(buffer)));
    struct usb_device *dev = addressed(ehci, qh->endpoint & 0x7f);
    struct usb_packet packet = {.pid = pid,
                                .address = qh->endpoint & 0x7f,
                                .endpoint = qh->endpoint >> 8 & 0xf,
                                .buffer = buffer,
                                .len = len,
                                .more = left - len};
    if (!pid || (left && !len)) {
        log_guest("ehci: a queue with PID code 3 or packets of 0 bytes");
        return halt(walk, qtd, TOKEN_XACT);
    }
    if (pid != USB_IN && move_buffer(ehci, qtd, buffer, len, false) < len)
        return halt(walk, qtd, TOKEN_BUFFER);
    enum usb_result result = dev ? dev->ops->packet(dev, &packet) : USB_NONE;
    uint32_t actual = pid == USB_IN ? packet.actual : len;
    if (result == USB_ACK && actual > len)
        result = USB_BABBLE;
    walk->bytes -= PACKET_BYTES + (int)(result == USB_ACK ? actual : 0);
    switch (result) {
    case USB_ACK:
        if (pid == USB_IN && move_buffer(ehci, qtd, buffer, actual, true) < actual)
            return halt(walk, qtd, TOKEN_BUFFER);
        advance_buffer(qtd, actual);
        if (actual == len && TOKEN_BYTES(qtd->token))
            return MOVED;
        qtd->token &= ~TOKEN_ACTIVE;
        if ((qtd->token & TOKEN_IOC) || actual < len)
            walk->causes |= EHCI_STS_INT;
        return MOVED;
    case USB_STALL:
        return halt(walk, qtd, 0);
    case USB_BABBLE:
        return halt(walk, qtd, TOKEN_BABBLE);
    case USB_NONE: /* three in a row are too many, or as many as the driver has said; 0 is no limit */
        qtd->token |= TOKEN_XACT;
        if (!(qtd->token & TOKEN_CERR))
            return NOTHING;
        qtd->token -= TOKEN_CERR_1;
        return qtd->token & TOKEN_CERR ? MOVED : halt(walk, qtd, 0);
    default:
        return NOTHING;
    }
}

/* --- Queues (4.10) --- */

/* The next qTD into the overlay. False: there is none that is active. */
static bool advance_queue(const struct ehci *ehci, struct qh *qh)
{
    struct qtd *overlay = &qh->overlay, next;
    bool was_short = TOKEN_BYTES(overlay->token) && !(overlay->alternate & LINK_T);
    uint32_t link = was_short ? overlay->alternate : overlay->next, toggle = overlay->token & TOKEN_TOGGLE;
    if (link & LINK_T)
        return false;
    pci_dma_read(&ehci->pci, link & LINK_AT, &next, sizeof(next));
    if (!(next.token & TOKEN_ACTIVE))
        return false;
    qh->current = link & LINK_AT;
    *overlay = next;
    if (!(qh->endpoint & QH_DTC))
        overlay->token = (overlay->token & ~TOKEN_TOGGLE) | toggle;
    return true;
}

/* packets: how many at most. True: something was moved. */
static bool queue_run(struct walk *walk, uint32_t at, struct qh *qh, unsigned packets)
{
    struct ehci *ehci = walk->ehci;
    int before = walk->bytes;
    bool has_moved = false;
    struct qh old = *qh;
    while (packets > 0 && walk->bytes > 0 && before - walk->bytes < QUEUE_BYTES) {
        struct qtd *overlay = &qh->overlay;
        if (overlay->token & TOKEN_HALTED)
            break;
        if (!(overlay->token & TOKEN_ACTIVE)) {
            if (!advance_queue(ehci, qh))
                break;
            walk->bytes--; /* a chain of empty ones has an end */
        }
        enum outcome outcome = transact(walk, qh, overlay);
        packets--;
        has_moved |= outcome != NOTHING;
        if (!(overlay->token & TOKEN_ACTIVE)) /* written back (4.10.4) */
            pci_dma_write(&ehci->pci, qh->current + 8, &overlay->token, sizeof(overlay->token));
        if (outcome != MOVED)
            break;
    }
    /* What the driver may change meanwhile is not written: link and characteristics. */
    if (memcmp(&old.current, &qh->current, sizeof(*qh) - offsetof(struct qh, current)) != 0)
        pci_dma_write(&ehci->pci, at + offsetof(struct qh, current), &qh->current,
                      sizeof(*qh) - offsetof(struct qh, current));
    walk->has_moved |= has_moved;
    return has_moved;
}

/* --- Schedules --- */

static void async_run(struct walk *walk)
{
    struct ehci *ehci = walk->ehci;
    uint32_t at = ehci->regs.asynclistaddr, first = at;
    unsigned links = ASYNC_LINKS;
    bool has_moved = false, has_head = false;
    while (walk->bytes > 0 && links > 0) {
        struct qh qh;
        links--;
        pci_dma_read(&ehci->pci, at, &qh, sizeof(qh));
        /* 4.8.3: at the head with nothing done since it was there last. */
        bool is_head = qh.endpoint & QH_HEAD;
        if (is_head && has_head && !has_moved)
            break;
        if (is_head) {
            has_head = true;
            has_moved = false;
        }
        if (!(qh.capabilities & 0xff)) /* no interrupt queue */
            has_moved |= queue_run(walk, at, &qh, UINT_MAX);
        if ((qh.link & LINK_T) || TYPE(qh.link) != TYPE_QH)
            break;
        at = qh.link & LINK_AT;
        if (at == first && !has_head) { /* a list without a head */
            if (!has_moved)
                break;
            has_moved = false;
        }
    }
    ehci->regs.asynclistaddr = at;
    /* The list was gone through, and of what was taken out of it nothing is remembered (4.8.2). */
    if (ehci->regs.usbcmd & EHCI_CMD_IAAD && (walk->bytes > 0 || links == 0)) {
        ehci->regs.usbcmd &= ~EHCI_CMD_IAAD;
        walk->causes |= EHCI_STS_IAA;
    }
}

struct itd {
    uint32_t link, transaction[8], buffer[7];
};
#define ITD_ACTIVE 0x80000000u
#define ITD_XACT   0x10000000u
#define ITD_LENGTH 0x0fff0000u
#define ITD_IOC    0x00008000u

static uint32_t itd_run(struct walk *walk, uint32_t at)
{
    struct itd itd;
    pci_dma_read(&walk->ehci->pci, at, &itd, sizeof(itd));
    for (unsigned i = 0; i < 8; i++) {
        uint32_t *transaction = &itd.transaction[i];
        if (!(*transaction & ITD_ACTIVE))
            continue;
        *transaction = (*transaction & ~(ITD_ACTIVE | ITD_LENGTH)) | ITD_XACT;
        walk->causes |= EHCI_STS_ERRINT | (*transaction & ITD_IOC ? EHCI_STS_INT : 0);
        walk->has_moved = true;
        pci_dma_write(&walk->ehci->pci, at + 4 + 4 * i, transaction, sizeof(*transaction));
    }
    return itd.link;
}

static void periodic_run(struct walk *walk, uint32_t link)
{
    struct ehci *ehci = walk->ehci;
    for (unsigned links = FRAME_LINKS; links > 0 && !(link & LINK_T) && walk->bytes > 0; links--) {
        uint32_t at = link & LINK_AT;
        struct qh qh;
        switch (TYPE(link)) {
        case TYPE_ITD:
            link = itd_run(walk, at);
            break;
        case TYPE_QH:
            pci_dma_read(&ehci->pci, at, &qh, sizeof(qh));
            if (qh.capabilities & 0xff)
                queue_run(walk, at, &qh, (unsigned)__builtin_popcount(qh.capabilities & 0xff));
            link = qh.link;
            break;
        default: /* siTD, FSTN: there is nobody who needs them */
            pci_dma_read(&ehci->pci, at, &link, sizeof(link));
            break;
        }
    }
}

/* --- Time --- */

bool ehci_is_idle(const struct ehci *ehci)
{
    return ehci->regs.quiet >= IDLE_AFTER;
}

static bool has_schedule(const struct ehci *ehci)
{
    return ehci->regs.usbcmd & (EHCI_CMD_PSE | EHCI_CMD_ASE);
}

void ehci_arm(struct ehci *ehci)
{
    const struct ehci_regs *regs = &ehci->regs;
    int64_t left = regs->quiet >= DEEP_AFTER ? DEEP_FRAMES : ehci_is_idle(ehci) ? IDLE_FRAMES : 1, now = vclock_now();
    int64_t when = regs->frame_at + (left - 1) * EHCI_FRAME_NS;
    if (!(regs->usbcmd & EHCI_CMD_RS)) {
        vtimer_cancel(ehci->timer);
        return;
    }
    if (!has_schedule(ehci)) /* for FRINDEX's rollover only, which takes a second */
        when = regs->frame_at + 256 * EHCI_FRAME_NS;
    else if ((regs->usbcmd & EHCI_CMD_ASE) && now - regs->active_at < AWAKE_NS)
        when = MIN(when, now + CLAMP((now - regs->active_at) / 2, SLEEP_NS, MICRO_NS));
    vtimer_arm(ehci->timer, when);
}

void ehci_kick(struct ehci *ehci)
{
    if (ehci->regs.usbcmd & EHCI_CMD_RS)
        pci_work_ask(ehci->work);
}

void ehci_attend(struct ehci *ehci)
{
    if (ehci_is_idle(ehci))
        ehci->regs.late_until = vclock_now();
    ehci->regs.quiet = 0;
    ehci_arm(ehci);
    ehci_kick(ehci);
}

/* So many frames are over. */
static void frames_over(struct ehci *ehci, int64_t count)
{
    struct ehci_regs *regs = &ehci->regs;
    /* FRINDEX goes through a list of 1024 entries: its bit 13 changes (2.3.4). */
    if ((regs->frame & 0x3ff) + count >= 0x400)
        regs->usbsts |= EHCI_STS_FLR;
    regs->frame = (uint16_t)((regs->frame + count) & EHCI_FRAME_MASK);
    regs->frame_at += count * EHCI_FRAME_NS;
}

#define HEADS 16u /* that were quiet in this run */

static void frames_run(struct ehci *ehci, int64_t now, uint32_t *causes, bool *has_moved)
{
    struct ehci_regs *regs = &ehci->regs;
    uint32_t quiet_head[HEADS];
    unsigned heads = 0;
    int64_t due = now < regs->frame_at ? 0 : (now - regs->frame_at) / EHCI_FRAME_NS + 1;
    if (!(regs->usbcmd & EHCI_CMD_PSE) || due > LATE_FRAMES) {
        int64_t skipped = regs->usbcmd & EHCI_CMD_PSE ? due - LATE_FRAMES : due;
        regs->quiet = (uint32_t)MIN(regs->quiet + skipped, DEEP_AFTER);
        frames_over(ehci, skipped);
        due -= skipped;
    }
    for (; due > 0; due--) {
        struct walk walk = {.ehci = ehci, .bytes = ASYNC_BYTES};
        uint32_t head;
        bool is_known = false;
        pci_dma_read(&ehci->pci, regs->periodiclistbase + (regs->frame & 0x3ffu) * 4, &head, sizeof(head));
        for (unsigned i = 0; i < heads && !is_known; i++)
            is_known = quiet_head[i] == head;
        if (!is_known)
            periodic_run(&walk, head);
        if (walk.has_moved)
            heads = 0;
        else if (!is_known && heads < HEADS)
            quiet_head[heads++] = head;
        regs->quiet = walk.has_moved ? 0 : MIN(regs->quiet + 1, DEEP_AFTER);
        *has_moved |= walk.has_moved;
        *causes |= walk.causes;
        frames_over(ehci, 1);
    }
}

void ehci_run(void *opaque)
{
    struct ehci *ehci = opaque;
    struct ehci_regs *regs = &ehci->regs;
    int64_t now = vclock_now();
    uint32_t causes = 0;
    bool has_moved = false;
    if (!(regs->usbcmd & EHCI_CMD_RS))
        return;
    if (has_schedule(ehci))
        ehci->walks++;
    frames_run(ehci, now, &causes, &has_moved);
    if (regs->usbcmd & EHCI_CMD_ASE) {
        struct walk walk = {.ehci = ehci, .bytes = ASYNC_BYTES};
        async_run(&walk);
        causes |= walk.causes;
        has_moved |= walk.has_moved;
        if (walk.has_moved) {
            regs->active_at = now;
            regs->quiet = 0;
            vtimer_arm_at_halt(ehci->halt_timer);
        }
        if (walk.bytes <= 0) /* there is more */
            ehci_kick(ehci);
    }
    regs->usbsts |= causes;
    ehci_update_irq(ehci);
    ehci_arm(ehci);
}
