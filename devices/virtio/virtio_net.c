/* virtio-net: an Ethernet card.
 *
 * VIRTIO 1.1, 5.1. A header goes before each frame. What the back end brings comes on the device thread and waits in a
 * short queue of ours until the next run takes it to the driver; it is lost when the state is saved, as on a wire.
 */
#include "virtio_net.h"

#include <string.h>

#include "log.h"

#define HEADER_LEGACY 10u /* without num_buffers */
#define HEADER_LEN    12u

#define STATUS_LINK_UP 1u

struct net_header {
    struct netdev_offload offload;
    uint16_t num_buffers;
};

/* struct virtio_net_config, 5.1.4 */
struct net_layout_config {
    uint8_t mac[6];
    uint16_t status, max_virtqueue_pairs, mtu;
};

static uint32_t header_len(const struct net *net)
{
    return virtio_has(&net->virtio, NET_F_MRG_RXBUF) || virtio_has(&net->virtio, VIRTIO_F_VERSION_1) ? HEADER_LEN
                                                                                                     : HEADER_LEGACY;
}

/* --- Sending --- */

/* What the header asks for is something that was agreed on, and lies within the frame. */
static bool offload_is_valid(const struct net *net, const struct netdev_offload *offload, uint32_t len)
{
    const struct virtio *virtio = &net->virtio;
    uint8_t gso = offload->gso_type & (uint8_t)~NETDEV_GSO_ECN;
    if (offload->flags & NETDEV_NEEDS_CSUM) {
        if (!virtio_has(virtio, NET_F_CSUM) || (uint32_t)offload->csum_start + offload->csum_offset + 2 > len)
            return false;
    }
    if ((offload->gso_type & NETDEV_GSO_ECN) && !virtio_has(virtio, NET_F_HOST_ECN))
        return false;
    if (gso == NETDEV_GSO_NONE)
        return true;
    return offload->gso_size && ((gso == NETDEV_GSO_TCPV4 && virtio_has(virtio, NET_F_HOST_TSO4)) ||
                                 (gso == NETDEV_GSO_TCPV6 && virtio_has(virtio, NET_F_HOST_TSO6)));
}

#define IOV_MAX_HERE 64

/* virtio->chain is a frame with its header. False: the back end has no room. */
static bool frame_send(struct net *net)
{
    struct virtio *virtio = &net->virtio;
    const struct virtio_chain *chain = virtio->chain;
    struct netdev_offload offload;
    struct iovec iov[IOV_MAX_HERE];
    uint32_t skip = header_len(net);
    if (chain->out_len < skip) {
        virtio_break(virtio, "a frame without its header");
        return true;
    }
    uint64_t len = chain->out_len - skip;
    virtio_chain_read(virtio, chain, 0, &offload, sizeof(offload));
    if (len < 14 || len > NETDEV_FRAME_MAX || !offload_is_valid(net, &offload, (uint32_t)len)) {
        log_guest("virtio-net: a frame of %llu bytes, flags %x, type %x cannot be sent", (unsigned long long)len,
                  offload.flags, offload.gso_type);
        return true;
    }
    offload.flags &= NETDEV_NEEDS_CSUM;
    unsigned count = virtio_chain_iov(virtio, chain, skip, (uint32_t)len, iov, IOV_MAX_HERE);
    if (!count) {
        virtio_chain_read(virtio, chain, skip, net->frame, (uint32_t)len);
        iov[0] = (struct iovec){net->frame, len};
        count = 1;
    }
    return netdev_send(net->netdev, iov, count, &offload);
}

#define TX_BUDGET 64

static bool tx_run(struct net *net)
{
    struct virtio *virtio = &net->virtio;
    unsigned left = TX_BUDGET;
    bool is_full = false;
    virtqueue_hush(virtio, NET_QUEUE_TX);
    do {
        while (left && !is_full && virtqueue_pop(virtio, NET_QUEUE_TX, virtio->chain)) {
            is_full = !frame_send(net);
            if (is_full)
                virtqueue_unpop(virtio, NET_QUEUE_TX);
            else
                virtqueue_push(virtio, NET_QUEUE_TX, virtio->chain->head, 0);
            left--;
        }
    } while (left && !is_full && virtqueue_listen(virtio, NET_QUEUE_TX));
    virtqueue_interrupt(virtio, NET_QUEUE_TX);
    return !left && !is_full;
}

static void net_sendable(void *opaque)
{
    struct net *net = opaque;
    virtio_kick(&net->virtio, NET_QUEUE_TX);
}

/* --- Receiving --- */

#define FRAMES_MAX      64u
#define FRAME_BYTES_MAX (256u * KiB)

static bool driver_is_there(const struct net *net)
{
    return virtio_is_running(&net->virtio) && virtio_queue_is_on(&net->virtio, NET_QUEUE_RX);
}

/* What comes with it is something that the driver takes. */
static bool offload_is_taken(const struct net *net, const struct netdev_offload *offload)
{
    uint64_t on = net->regs.offloads;
    uint8_t gso = offload->gso_type & (uint8_t)~NETDEV_GSO_ECN;
    return (!(offload->flags & NETDEV_NEEDS_CSUM) || (on & NET_F_GUEST_CSUM)) &&
           (gso == NETDEV_GSO_NONE || (gso == NETDEV_GSO_TCPV4 && (on & NET_F_GUEST_TSO4)) ||
            (gso == NETDEV_GSO_TCPV6 && (on & NET_F_GUEST_TSO6)));
}

static bool net_receive(void *opaque, const uint8_t *bytes, size_t len, const struct netdev_offload *offload)
{
    struct net *net = opaque;
    uint8_t start[16] = {0};
    if (len < 14 || len > NETDEV_FRAME_MAX || !driver_is_there(net))
        return true;
    memcpy(start, bytes, MIN(len, sizeof(start)));
    if (!net_wants(net, start) || !offload_is_taken(net, offload))
        return true;
    if (net->frames.length >= FRAMES_MAX || net->frame_bytes >= FRAME_BYTES_MAX) {
        net->owes_ready = true;
        return false;
    }
    struct net_frame *frame = g_malloc(sizeof(*frame) + len);
    frame->offload = *offload;
    if (!(net->regs.offloads & NET_F_GUEST_CSUM))
        frame->offload.flags = 0;
    frame->len = (uint32_t)len;
    memcpy(frame->bytes, bytes, len);
    g_queue_push_tail(&net->frames, frame);
    net->frame_bytes += frame->len;
    virtio_kick(&net->virtio, NET_QUEUE_RX);
    return true;
}

static void frame_drop(struct net *net)
{
    struct net_frame *frame = g_queue_pop_head(&net->frames);
    net->frame_bytes -= frame->len;
    g_free(frame);
}

enum delivery { DELIVERED, NO_BUFFERS, TOO_LARGE };

#define CHAINS_MAX 64

/* The frame into as many chains as it takes (one, unless they may be merged). Chains of a frame that does not go in
 * are put back. */
/* Takes what it looks at off *left: chains, each of which may be long. */
static enum delivery frame_deliver(struct net *net, const struct net_frame *frame, unsigned *left)
{
    struct virtio *virtio = &net->virtio;
    struct {
        uint16_t head;
        uint32_t len;
    } used[CHAINS_MAX];
    bool may_merge = virtio_has(virtio, NET_F_MRG_RXBUF);
    uint32_t header = header_len(net), done = 0;
    unsigned count = 0;
    enum delivery result = DELIVERED;
    do {
        struct virtio_chain *chain = count ? virtio->chain : net->first;
        if (count == (may_merge ? CHAINS_MAX : 1)) {
            result = TOO_LARGE;
            break;
        }
        if (!virtqueue_pop(virtio, NET_QUEUE_RX, chain)) {
            result = NO_BUFFERS;
            break;
        }
        *left -= *left ? 1 : 0;
        if (chain->in_len < (count ? 1 : header)) {
            virtio_break(virtio, "a buffer for frames without room");
            return NO_BUFFERS;
        }
        uint32_t skip = count ? 0 : header;
        uint32_t part = virtio_chain_write(virtio, chain, skip, frame->bytes + done, frame->len - done);
        done += part;
        used[count].head = chain->head;
        used[count++].len = skip + part;
    } while (done < frame->len);
    if (result != DELIVERED) {
        while (count--)
            virtqueue_unpop(virtio, NET_QUEUE_RX);
        return result;
    }
    struct net_header head = {frame->offload, (uint16_t)count};
    virtio_chain_write(virtio, net->first, 0, &head, header);
    for (unsigned i = 0; i < count; i++)
        virtqueue_fill(virtio, NET_QUEUE_RX, i, used[i].head, used[i].len);
    virtqueue_flush(virtio, NET_QUEUE_RX, count);
    return DELIVERED;
}

#define RX_BUDGET 64

static bool rx_run(struct net *net)
{
    struct virtio *virtio = &net->virtio;
    unsigned left = RX_BUDGET;
    bool waits = false;
    virtqueue_hush(virtio, NET_QUEUE_RX);
    while (left && net->frames.length && !waits) {
        enum delivery result = frame_deliver(net, g_queue_peek_head(&net->frames), &left);
        if (result == NO_BUFFERS) {
            waits = !virtqueue_listen(virtio, NET_QUEUE_RX) || !driver_is_there(net);
            /* Buffers that are there, but too few for the frame, are none. */
            waits = waits || frame_deliver(net, g_queue_peek_head(&net->frames), &left) == NO_BUFFERS;
            if (!waits)
                frame_drop(net);
        } else {
            if (result == TOO_LARGE)
                log_guest("virtio-net: a frame of %u bytes does not go into the driver's buffers",
                          ((struct net_frame *)g_queue_peek_head(&net->frames))->len);
            frame_drop(net);
        }
        left -= left ? 1 : 0;
    }
    virtqueue_interrupt(virtio, NET_QUEUE_RX);
    if (net->owes_ready && net->frames.length < FRAMES_MAX / 2 && net->frame_bytes < FRAME_BYTES_MAX / 2) {
        net->owes_ready = false;
        netdev_ready(net->netdev);
    }
    return !left && !waits;
}

static void frames_clear(struct net *net)
{
    while (net->frames.length)
        frame_drop(net);
}

static void net_link_changed(void *opaque)
{
    struct net *net = opaque;
    virtio_config_changed(&net->virtio);
    virtio_kick(&net->virtio, NET_QUEUE_TX); /* what waits for room at a dead end is lost now */
}

/* --- The card --- */

static bool net_run(struct virtio *virtio, unsigned queue)
{
    struct net *net = (struct net *)virtio;
    return queue == NET_QUEUE_RX ? rx_run(net) : queue == NET_QUEUE_TX ? tx_run(net) : net_ctrl_run(net);
}

static void net_get_config(struct virtio *virtio, uint8_t *bytes)
{
    const struct net *net = (struct net *)virtio;
    struct net_layout_config layout = {.status = netdev_link_is_up(net->netdev) ? STATUS_LINK_UP : 0,
                                       .max_virtqueue_pairs = 1};
    memcpy(layout.mac, net->regs.mac, 6);
    memcpy(bytes, &layout, sizeof(layout));
}

/* A legacy driver sets its address here; a modern one has a command for it. */
static void net_set_config(struct virtio *virtio, const uint8_t *config, uint32_t offset, unsigned size)
{
    struct net *net = (struct net *)virtio;
    if (offset < 6 && !virtio_has(virtio, VIRTIO_F_VERSION_1) && !virtio_has(virtio, NET_F_CTRL_MAC_ADDR))
        memcpy(net->regs.mac, config, 6);
}

static void net_driver_ok(struct virtio *virtio)
{
    struct net *net = (struct net *)virtio;
    net_filter_start(net);
    netdev_ready(net->netdev);
}

static void net_was_reset(struct virtio *virtio)
{
    struct net *net = (struct net *)virtio;
    frames_clear(net);
    net_filter_reset(net);
    net->owes_ready = false;
    netdev_ready(net->netdev); /* what it keeps is lost now */
}

static const struct virtio_ops net_ops = {net_run, net_get_config, net_set_config, net_driver_ok, net_was_reset};
static const struct virtio_identity net_identity = {"virtio-net", 1, 0x1000, 0x020000,
                                                    sizeof(struct net_layout_config)};

static bool is_queue_size(uint16_t size)
{
    return size >= 64 && size <= VIRTQUEUE_SIZE_MAX && !(size & (size - 1));
}

/* What the back end can do, and what the driver can take from one that does. */
static uint64_t features(const struct net_config *config)
{
    uint8_t takes = config->netdev ? config->netdev->takes : 0;
    bool csum = takes & NETDEV_TAKES_CSUM, tso4 = csum && (takes & NETDEV_TAKES_TSO4),
         tso6 = csum && (takes & NETDEV_TAKES_TSO6);
    uint64_t all = NET_F_MAC | NET_F_STATUS | (config->mrg_rxbuf ? NET_F_MRG_RXBUF : 0);
    if (config->ctrl_vq)
        all |= NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_VLAN | NET_F_CTRL_RX_EXTRA | NET_F_CTRL_MAC_ADDR;
    if (config->csum && csum)
        all |= NET_F_CSUM;
    if (config->csum && config->tso)
        all |= (tso4 ? NET_F_HOST_TSO4 : 0) | (tso6 ? NET_F_HOST_TSO6 : 0) | (tso4 || tso6 ? NET_F_HOST_ECN : 0);
    if (config->guest_csum && csum)
        all |= NET_F_GUEST_CSUM | (config->ctrl_vq ? NET_F_CTRL_GUEST_OFFLOADS : 0);
    if (config->guest_csum && config->guest_tso)
        all |= (tso4 ? NET_F_GUEST_TSO4 : 0) | (tso6 ? NET_F_GUEST_TSO6 : 0) | (tso4 || tso6 ? NET_F_GUEST_ECN : 0);
    return all;
}

static void *net_create(const struct device_site *site, enum virtio_variant variant, const void *opaque, GError **error)
{
    static const struct netdev_front front = {net_receive, net_link_changed, net_sendable};
    const struct net_config *config = opaque;
    if (!is_queue_size(config->rx_queue_size) || !is_queue_size(config->tx_queue_size)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: queue sizes are powers of 2 from 64 to 1024",
                    site->id);
        return NULL;
    }
    struct net *net = g_new0(struct net, 1);
    if (!virtio_init(&net->virtio, site, &net_identity, variant, &config->virtio, &net_ops, error)) {
        g_free(net);
        return NULL;
    }
    if (!pci_add_rom(&net->virtio.pci, config->rom, error)) {
        virtio_destroy(&net->virtio);
        g_free(net);
        return NULL;
    }
    net->config = config;
    net->netdev = config->netdev;
    net->first = g_new0(struct virtio_chain, 1);
    net->frame = g_malloc(NETDEV_FRAME_MAX);
    g_queue_init(&net->frames);
    net->virtio.features |= features(config);
    virtio_add_queue(&net->virtio, config->rx_queue_size);
    virtio_add_queue(&net->virtio, config->tx_queue_size);
    if (config->ctrl_vq)
        virtio_add_queue(&net->virtio, 64);
    virtio_plug(&net->virtio, site);
    net_filter_reset(net);
    netdev_attach(net->netdev, &front, net);
    return net;
}

static void net_destroy(void *dev)
{
    struct net *net = dev;
    netdev_detach(net->netdev);
    frames_clear(net);
    virtio_destroy(&net->virtio);
    g_free(net->first);
    g_free(net->frame);
    g_free(net);
}

static void net_reset(void *dev)
{
    virtio_reset(dev);
}

static void net_pieces(void *dev, struct state_pieces *pieces)
{
    struct net *net = dev;
    virtio_pieces(dev, pieces);
    state_add(pieces, "net", 0, &net_layout, &net->regs);
}

static void net_before_save(void *dev)
{
}

static void net_before_load(void *dev)
{
    frames_clear(dev);
}

static bool net_after_load(void *dev)
{
    struct net *net = dev;
    if (net->regs.unicast + net->regs.multicast > NET_MACS || (net->regs.offloads & ~NET_GUEST_OFFLOADS) ||
        !virtio_after_load(&net->virtio))
        return false;
    net_update_takes(net);
    netdev_ready(net->netdev);
    return true;
}

static void net_dump(void *dev, GString *out)
{
    const struct net *net = dev;
    const struct net_regs *regs = &net->regs;
    virtio_dump(&net->virtio, out);
    g_string_append_printf(out, "  mac=%02x:%02x:%02x:%02x:%02x:%02x link=%s%s%s addresses=%u+%u frames waiting=%u\n",
                           regs->mac[0], regs->mac[1], regs->mac[2], regs->mac[3], regs->mac[4], regs->mac[5],
                           netdev_link_is_up(net->netdev) ? "up" : "down", regs->promisc ? " promisc" : "",
                           regs->allmulti ? " allmulti" : "", regs->unicast, regs->multicast, net->frames.length);
}

static const struct property net_properties[] = {
    VIRTIO_PROPERTIES(net_config),
    NIC_PROPERTIES(net_config, "pxe-virtio.rom"),
    PROPERTY(net_config, rx_queue_size, "rx_queue_size", PROPERTY_NUMBER, VIRTQUEUE_SIZE_MAX, "256", "a power of 2"),
    PROPERTY(net_config, tx_queue_size, "tx_queue_size", PROPERTY_NUMBER, VIRTQUEUE_SIZE_MAX, "256", "a power of 2"),
    PROPERTY(net_config, mrg_rxbuf, "mrg_rxbuf", PROPERTY_BOOL, 0, "on", "a frame may take several buffers"),
    PROPERTY(net_config, csum, "csum", PROPERTY_BOOL, 0, "on", "checksums are left to the back end, if it can"),
    PROPERTY(net_config, guest_csum, "guest_csum", PROPERTY_BOOL, 0, "on", "and to the driver"),
    PROPERTY(net_config, tso, "host_tso4", PROPERTY_BOOL, 0, "on", "segmentation is left to the back end, if it can"),
    PROPERTY(net_config, guest_tso, "guest_tso4", PROPERTY_BOOL, 0, "on", "and to the driver"),
    PROPERTY(net_config, ctrl_vq, "ctrl_vq", PROPERTY_BOOL, 0, "on", "a control queue: filters, address"),
    PROPERTY_END};

VIRTIO_CLASSES(net, "virtio-net", "Virtio network card");
