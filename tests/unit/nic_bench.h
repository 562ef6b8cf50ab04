/* What tests of PCI network cards share: a bus with one card on it, its cable, guest memory, packets that are right. */
#pragma once

#include "board.h"
#include "devices/net/frame.h"
#include "devices/pci.h"
#include "fake_netdev.h"
#include "mem.h"

#define NIC_MMIO 0xe0000000u
#define NIC_IO   0xc000u
#define NIC_RAM  (16 * MiB)

/* As every card's config begins: NIC_PROPERTIES. */
struct nic_config {
    struct netdev *netdev;
    uint8_t mac[6];
    const struct board_rom *rom;
};

static struct nic_config nic_config = {.mac = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56}};
static struct fake_netdev cable;
static struct pci_bus *nic_bus;
static struct pci_device *nic_pci;
static void *nic;

static void *nic_board_service(struct board *board, const char *name)
{
    return g_str_equal(name, "pci") ? nic_bus : NULL;
}

static inline void *nic_new(const struct device_class *class)
{
    static const struct board_ops ops = {.service = nic_board_service};
    static struct board board = {&ops};
    const struct device_site site = {.board = &board, .id = "net0", .unit = PCI_DEVFN(3, 0)};
    GError *error = NULL;
    nic_bus = pci_bus_new();
    nic = class->create(&site, &nic_config, &error);
    g_assert_no_error(error);
    nic_pci = pci_find(nic_bus, PCI_DEVFN(3, 0));
    return nic;
}

static inline void nic_free(const struct device_class *class)
{
    class->destroy(nic);
    pci_bus_free(nic_bus);
    nic = NULL;
}

/* Both BARs mapped, as master. */
static inline void nic_map(unsigned mmio_bar, unsigned io_bar)
{
    pci_config_write(nic_bus, PCI_DEVFN(3, 0), (uint8_t)(PCI_BAR0 + 4 * mmio_bar), 4, NIC_MMIO);
    pci_config_write(nic_bus, PCI_DEVFN(3, 0), (uint8_t)(PCI_BAR0 + 4 * io_bar), 4, NIC_IO);
    pci_config_write(nic_bus, PCI_DEVFN(3, 0), PCI_COMMAND, 2, 7);
}

static inline void nic_setup(const struct device_class *class, uint8_t takes)
{
    static bool begun;
    GError *error = NULL;
    if (!begun) {
        g_assert_true(mem_init(NIC_RAM, &error));
        begun = true;
    } else {
        nic_free(class);
        fake_netdev_clear(&cable);
    }
    ioport_clear();
    vclock_fake_start();
    memset(guest_mem.ram, 0, NIC_RAM);
    fake_netdev_init(&cable);
    cable.netdev.takes = takes;
    nic_config.netdev = &cable.netdev;
    nic_new(class);
}

static inline uint32_t mmio32(uint32_t offset)
{
    uint32_t value;
    mem_read(NIC_MMIO + offset, &value, 4);
    return value;
}

static inline void mmio32_set(uint32_t offset, uint32_t value)
{
    mem_write(NIC_MMIO + offset, &value, 4);
}

static inline void ram_fill(gpa_t at, unsigned seed, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        guest_mem.ram[at + i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

/* Counting bytes behind an Ethernet header. */
static inline size_t frame_plain(uint8_t *frame, const char *to, size_t len)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, "\x02\x00\x00\x00\x00\x01\x08\x06", 8); /* ARP: nobody looks into it */
    for (size_t i = 14; i < len; i++)
        frame[i] = (uint8_t)(i * 3);
    return len;
}

/* An IPv4 or IPv6 packet with TCP or UDP, all fields as they should be but for the checksums, which are zero. */
static inline size_t frame_ip(uint8_t *frame, unsigned version, unsigned protocol, size_t payload)
{
    uint8_t *ip = frame + 14, *l4 = ip + (version == 4 ? 20 : 40);
    size_t header = protocol == IP_TCP ? 20 : 8;
    memset(frame, 0, 14 + 40 + 20);
    memcpy(frame, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01", 12);
    be16_put(frame + 12, version == 4 ? ETHER_IPV4 : ETHER_IPV6);
    if (version == 4) {
        memcpy(ip, "\x45\x00\x00\x00\x12\x34\x40\x00\x40\x06\x00\x00\x0a\x00\x02\x0f\x0a\x00\x02\x02", 20);
        be16_put(ip + 2, (uint32_t)(20 + header + payload));
        ip[9] = (uint8_t)protocol;
    } else {
        ip[0] = 0x60;
        be16_put(ip + 4, (uint32_t)(header + payload));
        ip[6] = (uint8_t)protocol;
        ip[7] = 64;
        for (unsigned i = 8; i < 40; i++)
            ip[i] = (uint8_t)(i * 11);
    }
    be16_put(l4, 1025);
    be16_put(l4 + 2, 80);
    if (protocol == IP_TCP) {
        memcpy(l4 + 4, "\xff\xff\xff\x00\x00\x00\x12\x34\x50\x99\x20\x00\x00\x00\x00\x00", 16); /* CWR ACK PSH FIN */
    } else {
        be16_put(l4 + 4, (uint32_t)(8 + payload));
    }
    for (size_t i = 0; i < payload; i++)
        l4[header + i] = (uint8_t)(i * 5 + (i >> 8));
    return (size_t)(l4 - frame) + header + payload;
}

/* Checksums straight from RFC 791 and 793, two bytes at a time: the judge of the card's own. */
static inline uint16_t slow_sum(uint32_t sum, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static inline void assert_checksums_right(const uint8_t *frame, size_t len)
{
    const uint8_t *ip = frame + 14;
    bool v4 = ip[0] >> 4 == 4;
    size_t l4_len = v4 ? be16(ip + 2) - 20u : be16(ip + 4);
    const uint8_t *l4 = ip + (v4 ? 20 : 40);
    g_assert_cmpuint((size_t)(l4 - frame) + l4_len, <=, len);
    if (v4)
        g_assert_cmphex(slow_sum(0, ip, 20), ==, 0xffff);
    uint32_t pseudo = v4 ? slow_sum(0, ip + 12, 8) : slow_sum(0, ip + 8, 32);
    g_assert_cmphex(slow_sum(pseudo + (uint32_t)l4_len + (v4 ? ip[9] : ip[6]), l4, l4_len), ==, 0xffff);
}

static inline void frame_put_csums(uint8_t *frame, size_t len)
{
    struct frame_parts parts;
    g_assert_true(frame_parse(frame, len, &parts));
    frame_put_ip_csum(frame, &parts);
    frame_put_l4_csum(frame, &parts);
}

/* What segment number n of a TCP packet has to be, built anew from what the RFCs say; checksums are checked apart. */
static inline size_t segment_expected(const uint8_t *whole, size_t len, size_t header, size_t mss, unsigned n,
                                      uint8_t *to)
{
    size_t at = n * mss, piece = MIN(mss, len - header - at);
    bool v4 = whole[14] >> 4 == 4, last = at + piece == len - header;
    uint8_t *ip = to + 14, *l4 = ip + (v4 ? 20 : 40);
    memcpy(to, whole, header);
    memcpy(to + header, whole + header + at, piece);
    be16_put(v4 ? ip + 2 : ip + 4, (uint32_t)(header + piece - 14 - (v4 ? 0 : 40)));
    if (v4)
        be16_put(ip + 4, be16(whole + 18) + n);
    uint32_t seq = GUINT32_FROM_BE(*(const uint32_t *)(const void *)(whole + (l4 - to) + 4)) + (uint32_t)at;
    seq = GUINT32_TO_BE(seq);
    memcpy(l4 + 4, &seq, 4);
    if (!last)
        l4[13] &= 0xf6;
    if (n)
        l4[13] &= 0x7f;
    be16_put(l4 + 16, 0);
    if (v4)
        be16_put(ip + 10, 0);
    frame_put_csums(to, header + piece);
    return header + piece;
}

static inline const GByteArray *sent(unsigned n)
{
    g_assert_cmpuint(n, <, cable.sent->len);
    return g_ptr_array_index(cable.sent, n);
}

static inline void assert_sent(unsigned n, const uint8_t *frame, size_t len)
{
    g_assert_cmpmem(sent(n)->data, sent(n)->len, frame, len);
}
