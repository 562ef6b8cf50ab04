/* xHCI: rings of TRBs, commands, transfers. xHCI 1.1, 4 (what is done), 6 (what it looks like in memory).
 *
 *     command ring -> slots and their contexts       transfer ring of an endpoint -> packets
 *     all of them  -> events, on the event ring
 *
 * What an endpoint is, and where its ring goes on, stands in the guest's memory only: it is read anew each time, and
 * believed as far as any of the guest's numbers. A ring without an end has a budget.
 */
#include <string.h>

#include "log.h"
#include "xhci.h"

#define RUN_BYTES   (512u * 1024) /* of one run */
#define RUN_TRBS    512u
#define TD_TRBS     256u
#define TD_BYTES    (1u << 20)
#define PIECE_MAX   4096u /* of one packet; longer ones than the wire's are the same to devices */
#define EVENTS_KEPT 4u    /* room that must be there before anything is done that has events */

enum trb_type {
    TRB_NORMAL = 1,
    TRB_SETUP,
    TRB_DATA,
    TRB_STATUS,
    TRB_ISOCH,
    TRB_LINK,
    TRB_EVENT_DATA,
    TRB_NOOP,
    TRB_ENABLE_SLOT,
    TRB_DISABLE_SLOT,
    TRB_ADDRESS_DEVICE,
    TRB_CONFIGURE_ENDPOINT,
    TRB_EVALUATE_CONTEXT,
    TRB_RESET_ENDPOINT,
    TRB_STOP_ENDPOINT,
    TRB_SET_TR_DEQUEUE,
    TRB_RESET_DEVICE,
    TRB_COMMAND_NOOP = 23,
    TRB_TRANSFER_EVENT = 32,
    TRB_COMMAND_COMPLETION = 33,
    TRB_PORT_STATUS = 34
};

enum completion {
    CC_NONE,
    CC_SUCCESS,
    CC_BABBLE = 3,
    CC_TRANSACTION = 4,
    CC_TRB = 5,
    CC_STALL = 6,
    CC_NO_SLOTS = 9,
    CC_SLOT_NOT_ENABLED = 11,
    CC_ENDPOINT_NOT_ENABLED = 12,
    CC_SHORT_PACKET = 13,
    CC_PARAMETER = 17,
    CC_CONTEXT_STATE = 19,
};

enum ep_state { EP_DISABLED, EP_RUNNING, EP_HALTED, EP_STOPPED, EP_ERROR };
enum slot_state { SLOT_DEFAULT = 1, SLOT_ADDRESSED = 2, SLOT_CONFIGURED = 3 };

#define TRB_C   0x01u /* cycle */
#define TRB_TC  0x02u /* of a link: toggle cycle */
#define TRB_ISP 0x04u
#define TRB_CH  0x10u
#define TRB_IOC 0x20u
#define TRB_IDT 0x40u
#define TRB_BSR 0x200u /* of Address Device; of Configure Endpoint: DC */
#define TRB_IN  0x10000u
#define TRB_ED  0x04u /* of an event */

struct trb {
    uint64_t parameter;
    uint32_t status, control;
};

static unsigned trb_type(const struct trb *trb)
{
    return trb->control >> 10 & 0x3f;
}

/* Eight dwords. */
struct context {
    uint32_t dword[8];
};

/* --- Events (4.9.4) --- */

static void event_ring_load(struct xhci *xhci)
{
    struct xhci_regs *regs = &xhci->regs;
    uint32_t entry[4];
    if (!regs->er_changed || !regs->erstsz)
        return;
    pci_dma_read(&xhci->pci, regs->erstba, entry, sizeof(entry));
    regs->er_changed = false;
    regs->er_base = (entry[0] & ~0x3full) | (uint64_t)entry[1] << 32;
    regs->er_size = (entry[2] & 0xffff) < 16 ? 0 : entry[2] & 0xffff;
    regs->er_at = 0;
    regs->er_cycle = true;
}

/* False: the guest has to take some first. */
static bool event_room(const struct xhci *xhci)
{
    const struct xhci_regs *regs = &xhci->regs;
    if (!regs->er_size)
        return false;
    uint64_t dequeue = ((regs->erdp & ~0xfull) - regs->er_base) / 16;
    if (dequeue >= regs->er_size)
        return true; /* nonsense: it is the guest's ring */
    uint32_t used = (uint32_t)((regs->er_at + regs->er_size - dequeue) % regs->er_size);
    return regs->er_size - used > EVENTS_KEPT;
}

static void event_put(struct xhci *xhci, uint64_t parameter, uint32_t status, uint32_t control)
{
    struct xhci_regs *regs = &xhci->regs;
    if (!regs->er_size)
        return;
    const struct trb event = {parameter, status, (control & ~TRB_C) | (regs->er_cycle ? TRB_C : 0)};
    pci_dma_write(&xhci->pci, regs->er_base + 16ull * regs->er_at, &event, sizeof(event));
    if (++regs->er_at == regs->er_size) {
        regs->er_at = 0;
        regs->er_cycle = !regs->er_cycle;
    }
    xhci_event_told(xhci);
}

static void port_events_put(struct xhci *xhci)
{
    struct xhci_regs *regs = &xhci->regs;
    for (unsigned n = 0; n < xhci->ports2 + xhci->ports3 && event_room(xhci); n++) {
        if (!(regs->port_events & 1u << n))
            continue;
        regs->port_events &= ~(1u << n);
        event_put(xhci, (uint64_t)(n + 1) << 24, CC_SUCCESS << 24, TRB_PORT_STATUS << 10);
    }
}

/* --- Rings (4.9.2) --- */

/* The TRB at *at, through links, which move it; false: it is not the guest's turn to be read. */
static bool ring_fetch(struct xhci *xhci, uint64_t *at, bool *cycle, struct trb *trb)
{
    for (unsigned links = 0; links < 8; links++) {
        pci_dma_read(&xhci->pci, *at, trb, sizeof(*trb));
        if (!(trb->control & TRB_C) == *cycle)
            return false;
        if (trb_type(trb) != TRB_LINK)
            return true;
        *at = trb->parameter & ~0xfull;
        if (trb->control & TRB_TC)
            *cycle = !*cycle;
    }
    return false;
}

/* --- Contexts (6.2) --- */

/* 0: there is none. */
static uint64_t device_context(struct xhci *xhci, unsigned slot)
{
    uint64_t at = 0;
    if (!xhci->regs.dcbaap)
        return 0;
    pci_dma_read(&xhci->pci, xhci->regs.dcbaap + 8 * slot, &at, sizeof(at));
    return at & ~0x3full;
}

static void context_read(struct xhci *xhci, uint64_t base, unsigned n, struct context *context)
{
    pci_dma_read(&xhci->pci, base + 32 * n, context, sizeof(*context));
}

static void context_write(struct xhci *xhci, uint64_t base, unsigned n, const struct context *context)
{
    pci_dma_write(&xhci->pci, base + 32 * n, context, sizeof(*context));
}

static void ep_state_set(struct context *ep, enum ep_state state)
{
    ep->dword[0] = (ep->dword[0] & ~7u) | (uint32_t)state;
}

static uint64_t ep_dequeue(const struct context *ep, bool *cycle)
{
    *cycle = ep->dword[2] & 1;
    return (ep->dword[2] & ~0xfull) | (uint64_t)ep->dword[3] << 32;
}

static void ep_dequeue_set(struct context *ep, uint64_t at, bool cycle)
{
    ep->dword[2] = (uint32_t)at | cycle;
    ep->dword[3] = (uint32_t)(at >> 32);
}

/* --- Devices --- */

static struct usb_device *slot_device(struct xhci *xhci, unsigned slot, uint8_t address)
{
    unsigned n = xhci->regs.slot_port[slot] & 0x7fu;
    if (!n || !(xhci->regs.portsc[n - 1] & XHCI_PORT_PED))
        return NULL;
    return usb_find(xhci_port(xhci, n - 1), address);
}

static enum usb_result packet_send(struct usb_device *dev, uint8_t address, uint8_t pid, unsigned endpoint,
                                   uint8_t *buffer, uint32_t len, uint32_t more, uint32_t *actual)
{
    struct usb_packet packet = {
        .pid = pid, .address = address, .endpoint = (uint8_t)endpoint, .buffer = buffer, .len = len, .more = more};
    enum usb_result result = dev ? dev->ops->packet(dev, &packet) : USB_NONE;
    *actual = pid == USB_IN ? packet.actual : len;
    return result;
}

/* --- Commands (4.6) --- */

static void slot_forget(struct xhci *xhci, unsigned slot)
{
    struct xhci_regs *regs = &xhci->regs;
    regs->doorbell[slot] = regs->waiting[slot] = 0;
    memset(&regs->moved[32 * slot], 0, 32 * sizeof(regs->moved[0]));
}

static enum completion enable_slot(struct xhci *xhci, unsigned *slot)
{
    for (unsigned i = 1; i <= XHCI_SLOTS; i++) {
        if (xhci->regs.slot_port[i])
            continue;
        xhci->regs.slot_port[i] = 0x80;
        slot_forget(xhci, i);
        *slot = i;
        return CC_SUCCESS;
    }
    return CC_NO_SLOTS;
}

static enum completion address_device(struct xhci *xhci, unsigned slot, const struct trb *trb)
{
    uint64_t input = trb->parameter & ~0xfull, output = device_context(xhci, slot);
    struct context control, slot_context, ep;
    uint8_t setup[8] = {0, 5, (uint8_t)slot}, none[8];
    uint32_t actual;
    context_read(xhci, input, 0, &control);
    context_read(xhci, input, 1, &slot_context);
    context_read(xhci, input, 2, &ep);
    unsigned port = slot_context.dword[1] >> 16 & 0xff;
    if ((control.dword[1] & 3) != 3 || !output || port < 1 || port > xhci->ports2 + xhci->ports3)
        return CC_PARAMETER;
    xhci->regs.slot_port[slot] = (uint8_t)port;
    slot_forget(xhci, slot);
    bool is_set = !(trb->control & TRB_BSR);
    if (is_set) {
        struct usb_device *dev = slot_device(xhci, slot, 0);
        if (packet_send(dev, 0, USB_SETUP, 0, setup, 8, 0, &actual) != USB_ACK ||
            packet_send(dev, 0, USB_IN, 0, none, 0, 0, &actual) != USB_ACK)
            return CC_TRANSACTION;
    }
    slot_context.dword[3] = is_set ? (uint32_t)SLOT_ADDRESSED << 27 | slot : (uint32_t)SLOT_DEFAULT << 27;
    ep_state_set(&ep, EP_RUNNING);
    context_write(xhci, output, 0, &slot_context);
    context_write(xhci, output, 1, &ep);
    return CC_SUCCESS;
}

static void endpoints_disable(struct xhci *xhci, unsigned slot, uint64_t output, uint32_t which)
{
    const struct context disabled = {{0}};
    for (unsigned dci = 2; dci < 32; dci++) {
        if (!(which & 1u << dci))
            continue;
        context_write(xhci, output, dci, &disabled);
        xhci->regs.doorbell[slot] &= ~(1u << dci);
        xhci->regs.waiting[slot] &= ~(1u << dci);
        xhci->regs.moved[32 * slot + dci] = 0;
    }
}

static enum completion configure_endpoint(struct xhci *xhci, unsigned slot, const struct trb *trb)
{
    uint64_t input = trb->parameter & ~0xfull, output = device_context(xhci, slot);
    struct context control, slot_in, slot_out, ep;
    if (!output)
        return CC_PARAMETER;
    context_read(xhci, output, 0, &slot_out);
    if (slot_out.dword[3] >> 27 < SLOT_ADDRESSED)
        return CC_CONTEXT_STATE;
    bool is_deconfigure = trb->control & TRB_BSR;
    uint32_t add = 0, drop = ~3u;
    if (!is_deconfigure) {
        context_read(xhci, input, 0, &control);
        context_read(xhci, input, 1, &slot_in);
        drop = control.dword[0] & ~3u;
        add = control.dword[1];
        slot_out.dword[0] = (slot_out.dword[0] & 0x01ffffffu) | (slot_in.dword[0] & 0xfe000000u);
        if (add & 1) { /* a hub's ports */
            slot_out.dword[0] = (slot_out.dword[0] & ~0x06000000u) | (slot_in.dword[0] & 0x06000000u);
            slot_out.dword[1] = (slot_out.dword[1] & 0x00ffffffu) | (slot_in.dword[1] & 0xff000000u);
        }
    }
    endpoints_disable(xhci, slot, output, drop | (add & ~3u));
    for (unsigned dci = 2; dci < 32; dci++) {
        if (!(add & 1u << dci))
            continue;
        context_read(xhci, input, dci + 1, &ep);
        ep_state_set(&ep, EP_RUNNING);
        context_write(xhci, output, dci, &ep);
    }
    slot_out.dword[3] = (slot_out.dword[3] & 0xff) | (uint32_t)(is_deconfigure ? SLOT_ADDRESSED : SLOT_CONFIGURED)
                                                         << 27;
    context_write(xhci, output, 0, &slot_out);
    return CC_SUCCESS;
}

static enum completion evaluate_context(struct xhci *xhci, unsigned slot, const struct trb *trb)
{
    uint64_t input = trb->parameter & ~0xfull, output = device_context(xhci, slot);
    struct context control, in, out;
    if (!output)
        return CC_PARAMETER;
    context_read(xhci, input, 0, &control);
    if (control.dword[1] & 2) { /* the packet size of endpoint 0 */
        context_read(xhci, input, 2, &in);
        context_read(xhci, output, 1, &out);
        out.dword[1] = (out.dword[1] & 0xffff) | (in.dword[1] & 0xffff0000u);
        context_write(xhci, output, 1, &out);
    }
    return CC_SUCCESS;
}

/* Reset, Stop, Set TR Dequeue Pointer. */
static enum completion endpoint_command(struct xhci *xhci, unsigned slot, const struct trb *trb)
{
    struct xhci_regs *regs = &xhci->regs;
    unsigned dci = trb->control >> 16 & 0x1f, type = trb_type(trb);
    uint64_t output = device_context(xhci, slot);
    struct context ep;
    if (!dci || !output)
        return CC_TRB;
    context_read(xhci, output, dci, &ep);
    enum ep_state state = ep.dword[0] & 7;
    bool allowed = type == TRB_RESET_ENDPOINT  ? state == EP_HALTED
                   : type == TRB_STOP_ENDPOINT ? state == EP_RUNNING
                                               : state == EP_STOPPED || state == EP_ERROR;
    if (state == EP_DISABLED)
        return CC_ENDPOINT_NOT_ENABLED;
    if (!allowed)
        return CC_CONTEXT_STATE;
    if (type == TRB_SET_TR_DEQUEUE) {
        ep_dequeue_set(&ep, trb->parameter & ~0xfull, trb->parameter & 1);
        regs->moved[32 * slot + dci] = 0;
    }
    ep_state_set(&ep, EP_STOPPED);
    regs->doorbell[slot] &= ~(1u << dci);
    regs->waiting[slot] &= ~(1u << dci);
    context_write(xhci, output, dci, &ep);
    return CC_SUCCESS;
}

static enum completion reset_device(struct xhci *xhci, unsigned slot)
{
    uint64_t output = device_context(xhci, slot);
    struct context context;
    if (!output)
        return CC_PARAMETER;
    context_read(xhci, output, 0, &context);
    context.dword[3] = (uint32_t)SLOT_DEFAULT << 27;
    context.dword[0] = (context.dword[0] & 0x07ffffffu) | 1u << 27;
    context_write(xhci, output, 0, &context);
    endpoints_disable(xhci, slot, output, ~3u);
    slot_forget(xhci, slot);
    return CC_SUCCESS;
}

static enum completion command_run(struct xhci *xhci, const struct trb *trb, unsigned *slot)
{
    unsigned type = trb_type(trb);
    *slot = trb->control >> 24;
    if (type == TRB_COMMAND_NOOP)
        return CC_SUCCESS;
    if (type == TRB_ENABLE_SLOT)
        return enable_slot(xhci, slot);
    if (*slot < 1 || *slot > XHCI_SLOTS || !xhci->regs.slot_port[*slot])
        return CC_SLOT_NOT_ENABLED;
    switch (type) {
    case TRB_DISABLE_SLOT:
        slot_forget(xhci, *slot);
        xhci->regs.slot_port[*slot] = 0;
        return CC_SUCCESS;
    case TRB_ADDRESS_DEVICE:
        return address_device(xhci, *slot, trb);
    case TRB_CONFIGURE_ENDPOINT:
        return configure_endpoint(xhci, *slot, trb);
    case TRB_EVALUATE_CONTEXT:
        return evaluate_context(xhci, *slot, trb);
    case TRB_RESET_ENDPOINT:
    case TRB_STOP_ENDPOINT:
    case TRB_SET_TR_DEQUEUE:
        return endpoint_command(xhci, *slot, trb);
    case TRB_RESET_DEVICE:
        return reset_device(xhci, *slot);
    default:
        return CC_TRB;
    }
}

/* False: there are no more for now. */
static bool command_next(struct xhci *xhci)
{
    struct xhci_regs *regs = &xhci->regs;
    struct trb trb;
    uint64_t at = regs->crcr & ~0x3full;
    bool cycle = regs->crcr & XHCI_CRCR_RCS;
    unsigned slot = 0;
    /* Six bits of the address are not the register's: it is kept here whole. */
    at |= regs->crcr & 0x30;
    if (!ring_fetch(xhci, &at, &cycle, &trb)) {
        regs->crcr = at | cycle;
        return false;
    }
    enum completion code = command_run(xhci, &trb, &slot);
    event_put(xhci, at, (uint32_t)code << 24, TRB_COMMAND_COMPLETION << 10 | (uint32_t)slot << 24);
    regs->crcr = (at + 16) | cycle;
    return true;
}

/* --- Transfers (4.10, 4.11) --- */

struct td {
    struct trb trb[TD_TRBS];
    uint64_t at[TD_TRBS];
    unsigned count;
    uint32_t len;
    uint64_t next; /* behind it */
    bool cycle;
};

static bool has_data(const struct trb *trb)
{
    unsigned type = trb_type(trb);
    return type == TRB_NORMAL || type == TRB_DATA || type == TRB_SETUP || type == TRB_ISOCH;
}

/* False: it is not there whole. */
static bool td_fetch(struct xhci *xhci, uint64_t at, bool cycle, struct td *td)
{
    td->count = td->len = 0;
    for (;;) {
        struct trb *trb = &td->trb[td->count];
        if (td->count == TD_TRBS || !ring_fetch(xhci, &at, &cycle, trb))
            return false;
        td->at[td->count++] = at;
        if (has_data(trb))
            td->len += trb->status & 0x1ffff;
        at += 16;
        if (td->len > TD_BYTES)
            return false;
        if (!(trb->control & TRB_CH))
            break;
    }
    td->next = at;
    td->cycle = cycle;
    return true;
}

/* Bytes [offset, offset + len) of a TD's buffers. */
static void td_copy(struct xhci *xhci, const struct td *td, uint32_t offset, uint8_t *bytes, uint32_t len,
                    bool to_guest)
{
    for (unsigned i = 0; i < td->count && len > 0; i++) {
        const struct trb *trb = &td->trb[i];
        uint32_t size = has_data(trb) ? trb->status & 0x1ffff : 0;
        if (offset >= size) {
            offset -= size;
            continue;
        }
        uint32_t piece = MIN(len, size - offset);
        if (trb->control & TRB_IDT) {
            if (!to_guest && offset + piece <= 8)
                memcpy(bytes, (const uint8_t *)&trb->parameter + offset, piece);
        } else if (to_guest) {
            pci_dma_write(&xhci->pci, trb->parameter + offset, bytes, piece);
        } else {
            pci_dma_read(&xhci->pci, trb->parameter + offset, bytes, piece);
        }
        bytes += piece;
        len -= piece;
        offset = 0;
    }
}

/* 4.11.3: who hears of it. */
static void td_report(struct xhci *xhci, const struct td *td, unsigned slot, unsigned dci, enum completion code,
                      uint32_t moved)
{
    uint32_t left = moved, sum = 0, control = TRB_TRANSFER_EVENT << 10 | (uint32_t)dci << 16 | (uint32_t)slot << 24;
    bool told = false, is_short = false;
    for (unsigned i = 0; i < td->count; i++) {
        const struct trb *trb = &td->trb[i];
        uint32_t size = has_data(trb) ? trb->status & 0x1ffff : 0, part = MIN(size, left);
        if (trb_type(trb) == TRB_EVENT_DATA) {
            if (trb->control & TRB_IOC)
                event_put(xhci, trb->parameter,
                          (uint32_t)(is_short && code == CC_SUCCESS ? CC_SHORT_PACKET : code) << 24 | (sum & 0xffffff),
                          control | TRB_ED);
            continue;
        }
        left -= part;
        sum += part;
        bool ends_here = part < size || (code != CC_SUCCESS && left == 0);
        is_short = is_short || (code == CC_SUCCESS && part < size);
        bool wants =
            (trb->control & TRB_IOC) || (is_short && (trb->control & TRB_ISP)) || (code != CC_SUCCESS && ends_here);
        if (wants && !told) {
            event_put(xhci, td->at[i], (uint32_t)(is_short ? CC_SHORT_PACKET : code) << 24 | (size - part), control);
            told = true;
            if (code != CC_SUCCESS)
                return;
        }
    }
}

static enum completion code_of(enum usb_result result)
{
    return result == USB_ACK      ? CC_SUCCESS
           : result == USB_STALL  ? CC_STALL
           : result == USB_BABBLE ? CC_BABBLE
                                  : CC_TRANSACTION;
}

/* CC_NONE: the device is not ready, or (*budget is 0) there is more to do. */
static enum completion td_move(struct xhci *xhci, const struct td *td, unsigned slot, unsigned dci,
                               const struct context *ep, uint32_t *moved, uint32_t *budget)
{
    const struct trb *first = &td->trb[0];
    unsigned type = trb_type(first);
    uint8_t bytes[PIECE_MAX], pid = dci & 1 ? USB_IN : USB_OUT;
    uint32_t mps = ep->dword[1] >> 16, actual;
    uint8_t address = (uint8_t)slot;
    struct context slot_context;
    if (type == TRB_NOOP || type == TRB_EVENT_DATA)
        return CC_SUCCESS;
    if (dci == 1)
        pid = type == TRB_SETUP ? USB_SETUP : first->control & TRB_IN ? USB_IN : USB_OUT;
    if (type == TRB_ISOCH || mps == 0 || (pid == USB_SETUP && (td->len != 8 || !(first->control & TRB_IDT))) ||
        (dci == 1) != (type == TRB_SETUP || type == TRB_DATA || type == TRB_STATUS))
        return CC_TRB;
    context_read(xhci, device_context(xhci, slot), 0, &slot_context);
    if (slot_context.dword[3] >> 27 == SLOT_DEFAULT)
        address = 0;
    struct usb_device *dev = slot_device(xhci, slot, address);
    if (pid == USB_SETUP)
        mps = 8;
    mps = MIN(mps, PIECE_MAX);
    do {
        uint32_t piece = MIN(mps, td->len - *moved);
        if (*budget < piece || *budget == 0) {
            *budget = 0;
            return CC_NONE;
        }
        if (pid != USB_IN)
            td_copy(xhci, td, *moved, bytes, piece, false);
        enum usb_result result =
            packet_send(dev, address, pid, dci / 2, bytes, piece, td->len - *moved - piece, &actual);
        if (result == USB_NAK)
            return CC_NONE;
        if (result != USB_ACK)
            return code_of(result);
        actual = MIN(actual, piece);
        if (pid == USB_IN)
            td_copy(xhci, td, *moved, bytes, actual, true);
        *moved += actual;
        *budget -= MAX(actual, 1);
        if (actual < piece)
            break;
    } while (*moved < td->len);
    return CC_SUCCESS;
}

static void endpoint_run(struct xhci *xhci, unsigned slot, unsigned dci, uint32_t *budget)
{
    static struct td td; /* one thread's, and large */
    struct xhci_regs *regs = &xhci->regs;
    uint32_t bit = 1u << dci, *moved = &regs->moved[32 * slot + dci];
    uint64_t output = device_context(xhci, slot);
    struct context ep;
    bool cycle;
    regs->doorbell[slot] &= ~bit;
    if (!output)
        return;
    context_read(xhci, output, dci, &ep);
    enum ep_state state = ep.dword[0] & 7;
    if (state == EP_STOPPED)
        ep_state_set(&ep, EP_RUNNING);
    else if (state != EP_RUNNING)
        return;
    for (unsigned count = 0;; count++) {
        uint64_t at = ep_dequeue(&ep, &cycle);
        if (!event_room(xhci) || *budget == 0 || count == RUN_TRBS) {
            regs->doorbell[slot] |= bit;
            break;
        }
        if (!td_fetch(xhci, at, cycle, &td))
            break;
        *moved = MIN(*moved, td.len);
        enum completion code = td_move(xhci, &td, slot, dci, &ep, moved, budget);
        if (code == CC_NONE) {
            if (*budget == 0)
                regs->doorbell[slot] |= bit;
            else
                regs->waiting[slot] |= bit;
            break;
        }
        td_report(xhci, &td, slot, dci, code, *moved);
        *moved = 0;
        if (code != CC_SUCCESS) { /* 4.10.2: it stays there */
            ep_dequeue_set(&ep, td.at[0], cycle);
            ep_state_set(&ep, code == CC_TRB ? EP_ERROR : EP_HALTED);
            break;
        }
        ep_dequeue_set(&ep, td.next, td.cycle);
    }
    context_write(xhci, output, dci, &ep);
}

/* --- All of it --- */

void xhci_run(void *opaque)
{
    struct xhci *xhci = opaque;
    struct xhci_regs *regs = &xhci->regs;
    uint32_t budget = RUN_BYTES;
    bool more = false;
    if (!(regs->usbcmd & XHCI_CMD_RS))
        return;
    xhci->runs++;
    event_ring_load(xhci);
    port_events_put(xhci);
    for (unsigned i = 0; regs->command && i < RUN_TRBS && event_room(xhci); i++)
        regs->command = command_next(xhci);
    for (unsigned slot = 1; slot <= XHCI_SLOTS; slot++) {
        for (unsigned dci = 1; regs->doorbell[slot] && dci < 32; dci++) {
            if (regs->doorbell[slot] & 1u << dci)
                endpoint_run(xhci, slot, dci, &budget);
        }
        more = more || regs->doorbell[slot];
    }
    if ((more || regs->command) && event_room(xhci)) /* else ERDP asks */
        pci_work_ask(xhci->work);
}
