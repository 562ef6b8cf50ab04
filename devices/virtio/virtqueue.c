/* Split virtqueues: see virtqueue.h. VIRTIO 1.1, 2.6.
 *
 *   desc   16 bytes each: u64 address, u32 len, u16 flags, u16 next
 *   avail  u16 flags, u16 idx, u16 ring[size], u16 used_event
 *   used   u16 flags, u16 idx, {u32 id, u32 len}[size], u16 avail_event
 *
 * The guest's processor runs meanwhile: an index is read and written as one, and what it publishes stands before it.
 */
#include "virtqueue.h"

#include <string.h>

#include "virtio_pci.h"

#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u
#define DESC_SIZE     16u

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY     1u

struct desc {
    uint64_t address;
    uint32_t len;
    uint16_t flags, next;
};

static const struct state_field virtqueue_fields[] = {
    STATE_FIELD(virtqueue_regs, desc),
    STATE_FIELD(virtqueue_regs, avail),
    STATE_FIELD(virtqueue_regs, used),
    STATE_FIELD(virtqueue_regs, size),
    STATE_FIELD(virtqueue_regs, vector),
    STATE_FIELD(virtqueue_regs, last_avail),
    STATE_FIELD(virtqueue_regs, used_index),
    STATE_FIELD(virtqueue_regs, signalled),
    STATE_FIELD(virtqueue_regs, signalled_is_valid),
    STATE_FIELD(virtqueue_regs, enabled),
};
const struct state_layout virtqueue_layout = STATE_LAYOUT(1, virtqueue_regs, virtqueue_fields);

static struct virtqueue_regs *regs_of(struct virtio *virtio, unsigned queue)
{
    return &virtio->queue[queue].regs;
}

/* --- The rings --- */

static uint16_t ring_read(struct virtio *virtio, uint64_t address)
{
    uint16_t value;
    const uint8_t *at = address >> PAGE_SHIFT < MEM_PAGES && address % 2 == 0 ? mem_ptr(address) : NULL;
    if (at && (virtio->pci.config[PCI_COMMAND] & PCI_COMMAND_MASTER))
        return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_ACQUIRE);
    pci_dma_read(&virtio->pci, address, &value, 2);
    return value;
}

/* What the guest sees no later than this. */
static void ring_write(struct virtio *virtio, uint64_t address, uint16_t value)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    pci_dma_write(&virtio->pci, address, &value, 2);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint64_t used_event_at(const struct virtqueue_regs *regs)
{
    return regs->avail + 4 + 2ul * regs->size;
}

static uint64_t avail_event_at(const struct virtqueue_regs *regs)
{
    return regs->used + 4 + 8ul * regs->size;
}

unsigned virtqueue_waiting(struct virtio *virtio, unsigned queue)
{
    const struct virtqueue_regs *regs = regs_of(virtio, queue);
    if (!virtio_is_running(virtio) || !virtio_queue_is_on(virtio, queue))
        return 0;
    uint16_t count = (uint16_t)(ring_read(virtio, regs->avail + 2) - regs->last_avail);
    if (count > regs->size) {
        virtio_break(virtio, "more chains than the ring has room for");
        return 0;
    }
    return count;
}

/* --- Chains --- */

/* The descriptors at table, of which there are so many: from number first on. False with the device broken. */
static bool chain_add(struct virtio *virtio, struct virtio_chain *chain, uint64_t table, uint32_t count, uint16_t first,
                      bool is_indirect)
{
    bool may_nest = !is_indirect && virtio_has(virtio, VIRTIO_F_INDIRECT_DESC);
    struct desc desc = {.flags = DESC_NEXT, .next = first};
    while (desc.flags & DESC_NEXT) {
        if (desc.next >= count)
            return virtio_break(virtio, "a descriptor outside its table"), false;
        pci_dma_read(&virtio->pci, table + (uint64_t)DESC_SIZE * desc.next, &desc, DESC_SIZE);
        if (desc.flags & DESC_INDIRECT) {
            if (!may_nest || (desc.flags & DESC_NEXT) || !desc.len || desc.len % DESC_SIZE)
                return virtio_break(virtio, "an indirect descriptor that cannot be one"), false;
            return chain_add(virtio, chain, desc.address, desc.len / DESC_SIZE, 0, true);
        }
        unsigned n = chain->out_count + chain->in_count;
        if (n == VIRTQUEUE_SIZE_MAX)
            return virtio_break(virtio, "a chain without an end"), false;
        chain->piece[n] = (struct virtio_piece){desc.address, desc.len};
        if (desc.flags & DESC_WRITE) {
            chain->in_count++;
            chain->in_len += desc.len;
        } else if (chain->in_count) {
            return virtio_break(virtio, "a buffer to be read behind one to be written"), false;
        } else {
            chain->out_count++;
            chain->out_len += desc.len;
        }
    }
    return true;
}

struct virtio_chain *virtio_chain_copy(const struct virtio_chain *chain)
{
    return g_memdup2(chain, offsetof(struct virtio_chain, piece) +
                                (chain->out_count + (size_t)chain->in_count) * sizeof(chain->piece[0]));
}

bool virtqueue_walk(struct virtio *virtio, unsigned queue, uint16_t head, struct virtio_chain *chain)
{
    const struct virtqueue_regs *regs = regs_of(virtio, queue);
    if (!virtio_is_running(virtio) || !virtio_queue_is_on(virtio, queue))
        return false;
    chain->head = head;
    chain->out_count = chain->in_count = 0;
    chain->out_len = chain->in_len = 0;
    return chain_add(virtio, chain, regs->desc, regs->size, head, false);
}

bool virtqueue_pop(struct virtio *virtio, unsigned queue, struct virtio_chain *chain)
{
    struct virtqueue_regs *regs = regs_of(virtio, queue);
    if (!virtqueue_waiting(virtio, queue))
        return false;
    uint16_t head = ring_read(virtio, regs->avail + 4 + 2ul * (regs->last_avail & (regs->size - 1u)));
    if (!virtqueue_walk(virtio, queue, head, chain))
        return false;
    regs->last_avail++;
    return true;
}

void virtqueue_unpop(struct virtio *virtio, unsigned queue)
{
    regs_of(virtio, queue)->last_avail--;
}

void virtqueue_fill(struct virtio *virtio, unsigned queue, unsigned slot, uint16_t head, uint32_t written)
{
    const struct virtqueue_regs *regs = regs_of(virtio, queue);
    uint32_t element[2] = {head, written};
    if (virtio_is_running(virtio) && virtio_queue_is_on(virtio, queue))
        pci_dma_write(&virtio->pci, regs->used + 4 + 8ul * ((regs->used_index + slot) & (regs->size - 1u)), element, 8);
}

void virtqueue_flush(struct virtio *virtio, unsigned queue, unsigned slots)
{
    struct virtqueue_regs *regs = regs_of(virtio, queue);
    if (!virtio_is_running(virtio) || !virtio_queue_is_on(virtio, queue))
        return;
    uint16_t before = regs->used_index;
    regs->used_index += (uint16_t)slots;
    ring_write(virtio, regs->used + 2, regs->used_index);
    /* Once around since the last interrupt: the comparison below would be about another lap. */
    if ((uint16_t)(regs->used_index - regs->signalled) < (uint16_t)(regs->used_index - before))
        regs->signalled_is_valid = false;
}

void virtqueue_push(struct virtio *virtio, unsigned queue, uint16_t head, uint32_t written)
{
    virtqueue_fill(virtio, queue, 0, head, written);
    virtqueue_flush(virtio, queue, 1);
}

void virtqueue_interrupt(struct virtio *virtio, unsigned queue)
{
    struct virtqueue_regs *regs = regs_of(virtio, queue);
    bool wanted;
    if (!virtio_is_running(virtio) || !virtio_queue_is_on(virtio, queue))
        return;
    if (virtio_has(virtio, VIRTIO_F_EVENT_IDX)) { /* 2.6.7.2: the driver's index was passed */
        uint16_t event = ring_read(virtio, used_event_at(regs));
        uint16_t now = regs->used_index, before = regs->signalled;
        wanted = !regs->signalled_is_valid || (uint16_t)(now - event - 1) < (uint16_t)(now - before);
        regs->signalled = now;
        regs->signalled_is_valid = true;
    } else {
        wanted = !(ring_read(virtio, regs->avail) & AVAIL_NO_INTERRUPT);
    }
    if (wanted)
        virtio_queue_interrupt(virtio, queue);
}

void virtqueue_hush(struct virtio *virtio, unsigned queue)
{
    const struct virtqueue_regs *regs = regs_of(virtio, queue);
    if (virtio_is_running(virtio) && virtio_queue_is_on(virtio, queue) && !virtio_has(virtio, VIRTIO_F_EVENT_IDX))
        ring_write(virtio, regs->used, USED_NO_NOTIFY);
}

bool virtqueue_listen(struct virtio *virtio, unsigned queue)
{
    const struct virtqueue_regs *regs = regs_of(virtio, queue);
    if (!virtio_is_running(virtio) || !virtio_queue_is_on(virtio, queue))
        return false;
    if (virtio_has(virtio, VIRTIO_F_EVENT_IDX))
        ring_write(virtio, avail_event_at(regs), ring_read(virtio, regs->avail + 2)); /* at the next one */
    else
        ring_write(virtio, regs->used, 0);
    return virtqueue_waiting(virtio, queue) > 0;
}

/* --- Bytes --- */

/* Calls move for each stretch of [offset, offset + len) of these pieces; how many bytes there were. */
static uint32_t pieces_move(struct virtio *virtio, const struct virtio_piece *piece, unsigned count, uint64_t offset,
                            uint8_t *buffer, uint32_t len, bool to_guest)
{
    uint32_t done = 0;
    for (; count && done < len; piece++, count--) {
        if (offset >= piece->len) {
            offset -= piece->len;
            continue;
        }
        uint32_t part = MIN(len - done, piece->len - (uint32_t)offset);
        if (to_guest)
            pci_dma_write(&virtio->pci, piece->address + offset, buffer + done, part);
        else
            pci_dma_read(&virtio->pci, piece->address + offset, buffer + done, part);
        done += part;
        offset = 0;
    }
    return done;
}

uint32_t virtio_chain_read(struct virtio *virtio, const struct virtio_chain *chain, uint64_t offset, void *buffer,
                           uint32_t len)
{
    return pieces_move(virtio, chain->piece, chain->out_count, offset, buffer, len, false);
}

uint32_t virtio_chain_write(struct virtio *virtio, const struct virtio_chain *chain, uint64_t offset,
                            const void *buffer, uint32_t len)
{
    return pieces_move(virtio, chain->piece + chain->out_count, chain->in_count, offset, (uint8_t *)buffer, len, true);
}

unsigned virtio_chain_iov(struct virtio *virtio, const struct virtio_chain *chain, uint64_t offset, uint32_t len,
                          struct iovec *iov, unsigned max)
{
    unsigned n = 0;
    if (!(virtio->pci.config[PCI_COMMAND] & PCI_COMMAND_MASTER))
        return 0;
    for (unsigned i = 0; i < chain->out_count && len; i++) {
        uint64_t address = chain->piece[i].address + offset;
        if (offset >= chain->piece[i].len) {
            offset -= chain->piece[i].len;
            continue;
        }
        uint32_t left = MIN(len, chain->piece[i].len - (uint32_t)offset);
        offset = 0;
        len -= left;
        while (left) {
            uint32_t part = MIN(left, PAGE_SIZE - (uint32_t)(address & (PAGE_SIZE - 1)));
            uint8_t *at = address >> PAGE_SHIFT < MEM_PAGES ? mem_ptr(address) : NULL;
            if (!at)
                return 0;
            if (n && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == at)
                iov[n - 1].iov_len += part;
            else if (n < max)
                iov[n++] = (struct iovec){at, part};
            else
                return 0;
            address += part;
            left -= part;
        }
    }
    return n;
}
