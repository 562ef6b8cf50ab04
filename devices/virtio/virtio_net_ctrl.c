/* virtio-net: which frames are meant for the driver, and the control queue by which it says so.
 *
 * VIRTIO 1.1, 5.1.6.5. More addresses than the table has room for: all of that kind are taken.
 */
#include <string.h>

#include "log.h"
#include "virtio_net.h"

#define ACK_OK  0
#define ACK_ERR 1

#define CLASS_RX       0
#define CLASS_MAC      1
#define CLASS_VLAN     2
#define CLASS_OFFLOADS 5

#define MAC_TABLE_SET 0
#define MAC_ADDR_SET  1

static const struct state_field net_fields[] = {
    STATE_FIELD(net_regs, offloads),
    STATE_FIELD(net_regs, mac),
    STATE_FIELD(net_regs, table),
    STATE_FIELD(net_regs, unicast),
    STATE_FIELD(net_regs, multicast),
    STATE_FIELD(net_regs, unicast_overflow),
    STATE_FIELD(net_regs, multicast_overflow),
    STATE_FIELD(net_regs, promisc),
    STATE_FIELD(net_regs, allmulti),
    STATE_FIELD(net_regs, alluni),
    STATE_FIELD(net_regs, nomulti),
    STATE_FIELD(net_regs, nouni),
    STATE_FIELD(net_regs, nobcast),
    STATE_FIELD(net_regs, vlan),
};
const struct state_layout net_layout = STATE_LAYOUT(1, net_regs, net_fields);

/* --- The filter --- */

void net_filter_reset(struct net *net)
{
    net->regs = (struct net_regs){.promisc = true};
    memcpy(net->regs.mac, net->config->mac, 6);
    memset(net->regs.vlan, 0xff, sizeof(net->regs.vlan));
    net_update_takes(net);
}

void net_filter_start(struct net *net)
{
    if (virtio_has(&net->virtio, NET_F_CTRL_VLAN))
        memset(net->regs.vlan, 0, sizeof(net->regs.vlan));
    net->regs.offloads = net->virtio.features & net->virtio.regs.driver_features & NET_GUEST_OFFLOADS;
    net_update_takes(net);
}

void net_update_takes(struct net *net)
{
    uint64_t offloads = net->regs.offloads;
    netdev_set_takes(net->netdev, (offloads & NET_F_GUEST_CSUM ? NETDEV_TAKES_CSUM : 0) |
                                      (offloads & NET_F_GUEST_TSO4 ? NETDEV_TAKES_TSO4 : 0) |
                                      (offloads & NET_F_GUEST_TSO6 ? NETDEV_TAKES_TSO6 : 0));
}

static bool is_in_table(const struct net *net, const uint8_t *address, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++) {
        if (memcmp(net->regs.table[i], address, 6) == 0)
            return true;
    }
    return false;
}

bool net_wants(const struct net *net, const uint8_t *frame)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const struct net_regs *regs = &net->regs;
    if (regs->promisc)
        return true;
    if (frame[12] == 0x81 && frame[13] == 0x00) { /* at least 14 bytes are there; a tag without number is not wanted */
        unsigned id = (unsigned)(frame[14] << 8 | frame[15]) & 0xfff;
        if (!(regs->vlan[id / 32] >> id % 32 & 1))
            return false;
    }
    if (memcmp(frame, broadcast, 6) == 0)
        return !regs->nobcast;
    if (frame[0] & 1)
        return !regs->nomulti &&
               (regs->allmulti || regs->multicast_overflow || is_in_table(net, frame, regs->unicast, regs->multicast));
    return !regs->nouni && (regs->alluni || regs->unicast_overflow || memcmp(frame, regs->mac, 6) == 0 ||
                            is_in_table(net, frame, 0, regs->unicast));
}

/* --- Commands: the parameters are in virtio->chain from byte 2 on --- */

#define PARAMETERS 2

static bool parameters_read(struct net *net, void *buffer, uint32_t len)
{
    return virtio_chain_read(&net->virtio, net->virtio.chain, PARAMETERS, buffer, len) == len;
}

static uint8_t set_mode(struct net *net, uint8_t command)
{
    struct net_regs *regs = &net->regs;
    bool *const modes[] = {&regs->promisc, &regs->allmulti, &regs->alluni,
                           &regs->nomulti, &regs->nouni,    &regs->nobcast};
    uint8_t on;
    if (command >= G_N_ELEMENTS(modes) || !parameters_read(net, &on, 1))
        return ACK_ERR;
    *modes[command] = on != 0;
    return ACK_OK;
}

/* One of the two lists, from *at of the chain on, behind what is in the table already. */
static bool table_read(struct net *net, uint64_t *at, uint8_t *count, unsigned from, bool *overflow)
{
    const struct virtio_chain *chain = net->virtio.chain;
    uint32_t entries;
    if (virtio_chain_read(&net->virtio, chain, *at, &entries, 4) != 4)
        return false;
    *at += 4;
    uint64_t bytes = 6ull * entries;
    if (bytes > chain->out_len - *at)
        return false;
    *overflow = entries > NET_MACS - from;
    *count = *overflow ? 0 : (uint8_t)entries;
    virtio_chain_read(&net->virtio, chain, *at, net->regs.table[from < NET_MACS ? from : 0], 6u * *count);
    *at += bytes;
    return true;
}

static uint8_t set_addresses(struct net *net, uint8_t command)
{
    struct net_regs *regs = &net->regs;
    uint64_t at = PARAMETERS;
    if (command == MAC_ADDR_SET) {
        uint8_t mac[6];
        if (!virtio_has(&net->virtio, NET_F_CTRL_MAC_ADDR) || !parameters_read(net, mac, 6))
            return ACK_ERR;
        memcpy(regs->mac, mac, 6);
        return ACK_OK;
    }
    if (command != MAC_TABLE_SET)
        return ACK_ERR;
    regs->unicast = regs->multicast = 0;
    return table_read(net, &at, &regs->unicast, 0, &regs->unicast_overflow) &&
                   table_read(net, &at, &regs->multicast, regs->unicast, &regs->multicast_overflow)
               ? ACK_OK
               : ACK_ERR;
}

static uint8_t set_vlan(struct net *net, uint8_t command)
{
    uint16_t id;
    if (command > 1 || !parameters_read(net, &id, 2) || id >= 4096)
        return ACK_ERR;
    uint32_t bit = 1u << id % 32, *word = &net->regs.vlan[id / 32];
    *word = command == 0 ? *word | bit : *word & ~bit;
    return ACK_OK;
}

static uint8_t set_offloads(struct net *net, uint8_t command)
{
    uint64_t offloads, possible = net->virtio.features & net->virtio.regs.driver_features & NET_GUEST_OFFLOADS;
    if (command != 0 || !virtio_has(&net->virtio, NET_F_CTRL_GUEST_OFFLOADS) || !parameters_read(net, &offloads, 8) ||
        (offloads & ~possible))
        return ACK_ERR;
    net->regs.offloads = offloads;
    net_update_takes(net);
    return ACK_OK;
}

static uint8_t command_run(struct net *net, uint8_t class, uint8_t command)
{
    switch (class) {
    case CLASS_RX:
        return set_mode(net, command);
    case CLASS_MAC:
        return set_addresses(net, command);
    case CLASS_VLAN:
        return set_vlan(net, command);
    case CLASS_OFFLOADS:
        return set_offloads(net, command);
    default:
        return ACK_ERR;
    }
}

#define CTRL_BUDGET 16

bool net_ctrl_run(struct net *net)
{
    struct virtio *virtio = &net->virtio;
    unsigned left = CTRL_BUDGET;
    do {
        while (left && virtqueue_pop(virtio, NET_QUEUE_CTRL, virtio->chain)) {
            uint8_t head[2];
            if (virtio->chain->in_len < 1 || virtio_chain_read(virtio, virtio->chain, 0, head, 2) != 2) {
                virtio_break(virtio, "a command without class or place for its answer");
                return false;
            }
            uint8_t ack = command_run(net, head[0], head[1]);
            virtio_chain_write(virtio, virtio->chain, 0, &ack, 1);
            virtqueue_push(virtio, NET_QUEUE_CTRL, virtio->chain->head, 1);
            left--;
        }
    } while (left && virtqueue_listen(virtio, NET_QUEUE_CTRL));
    virtqueue_interrupt(virtio, NET_QUEUE_CTRL);
    return !left;
}
