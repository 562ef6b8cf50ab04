/* virtio-net: frames by a legacy and a modern driver, buffers that are merged or too small, filters, offloads. */
#include "fake_netdev.h"
#include "virtio_guest.h"

extern const struct device_class net_pci_class;

#define F_CSUM       (1ull << 0)
#define F_GUEST_CSUM (1ull << 1)
#define F_OFFLOADS   (1ull << 2)
#define F_GUEST_TSO4 (1ull << 7)
#define F_HOST_TSO4  (1ull << 11)
#define F_HOST_TSO6  (1ull << 12)
#define F_MRG_RXBUF  (1ull << 15)
#define F_STATUS     (1ull << 16)
#define F_CTRL_VQ    (1ull << 17)
#define F_CTRL_VLAN  (1ull << 19)
#define F_CTRL_MAC   (1ull << 23)
#define F_CTRL       (F_CTRL_VQ | 1ull << 18 | 1ull << 20 | F_CTRL_MAC)

#define RX   0
#define TX   1
#define CTRL 2

static struct fake_netdev cable;
static void *config;
static const uint8_t own[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

static void config_set(const char *name, uint64_t value)
{
    for (const struct property *p = net_pci_class.properties; p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            memcpy((uint8_t *)config + p->offset, &value, p->size);
            return;
        }
    }
    g_assert_not_reached();
}

static void setup_takes(uint8_t takes)
{
    guest_free();
    g_free(config);
    config = g_malloc0(net_pci_class.config_size);
    if (cable.sent)
        fake_netdev_clear(&cable);
    fake_netdev_init(&cable);
    cable.netdev.takes = takes;
    for (const struct property *p = net_pci_class.properties; p->name; p++) {
        if (p->type == PROPERTY_NUMBER)
            config_set(p->name, g_ascii_strtoull(p->preset, NULL, 0));
        else if (p->type == PROPERTY_BOOL)
            config_set(p->name, p->preset != NULL);
        else if (p->type == PROPERTY_MAC)
            memcpy((uint8_t *)config + p->offset, own, 6);
    }
    config_set("netdev", (uintptr_t)&cable);
    guest_setup(&net_pci_class, config);
}

static void setup(void)
{
    setup_takes(NETDEV_TAKES_CSUM | NETDEV_TAKES_TSO4 | NETDEV_TAKES_TSO6);
}

static unsigned header_len(void)
{
    return guest.modern || (guest.features & F_MRG_RXBUF) ? 12 : 10;
}

/* A frame for this address, with bytes that tell their place. */
static const uint8_t *frame_to(const uint8_t *address, uint32_t len)
{
    static uint8_t frame[NETDEV_FRAME_MAX + 64];
    for (uint32_t i = 0; i < len; i++)
        frame[i] = (uint8_t)(i * 7 + len);
    memcpy(frame, address, 6);
    frame[12] = 0x08;
    frame[13] = 0x00;
    return frame;
}

static void rx_buffer(uint64_t at, uint32_t len)
{
    guest_avail(RX, guest_put(RX, at, len, true, false));
}

static bool deliver(const uint8_t *address, uint32_t len)
{
    bool taken = fake_netdev_deliver(&cable, frame_to(address, len), len);
    guest_settle();
    return taken;
}

/* Header at HEADER, frame behind, sent in pieces. */
static void put_frame(uint32_t len, uint32_t piece)
{
    memset(guest_mem.ram + GUEST_BUFFER, 0, 12);
    memcpy(guest_mem.ram + GUEST_BUFFER + 12, frame_to(own, len), len);
    uint16_t head = guest_put(TX, GUEST_BUFFER, header_len(), false, true);
    for (uint32_t at = 0; at < len; at += piece)
        guest_put(TX, GUEST_BUFFER + 12 + at, MIN(piece, len - at), false, at + piece < len);
    guest_avail(TX, head);
}

static void send(uint32_t len, uint32_t piece)
{
    put_frame(len, piece);
    guest_notify(TX);
    guest_settle();
}

static GByteArray *sent(unsigned n)
{
    return g_ptr_array_index(cable.sent, n);
}

static uint8_t command(uint8_t class, uint8_t code, const void *parameters, uint32_t len)
{
    uint64_t at = GUEST_BUFFER + 0x80000;
    guest_write(at, 1, class);
    guest_write(at + 1, 1, code);
    memcpy(guest_mem.ram + at + 16, parameters, len);
    guest_write(at + 8, 1, 0x77);
    uint16_t head = guest_put(CTRL, at, 2, false, true);
    guest_put(CTRL, at + 16, len, false, true);
    guest_put(CTRL, at + 8, 1, true, false);
    guest_kick(CTRL, head);
    g_assert_true(guest_take(CTRL, NULL, NULL));
    return (uint8_t)guest_read(at + 8, 1);
}

static void test_configuration(void)
{
    setup();
    guest.modern = true;
    g_assert_cmphex(guest_config(0, 4), ==, 0x10001af4);
    g_assert_cmphex(guest_config(PCI_CLASS + 1, 2), ==, 0x0200);
    g_assert_cmphex(guest_offered(), ==, 0x1389fbba7ull);
    g_assert_cmphex(guest_read(GUEST_CONFIG, 4), ==, 0x12005452);
    g_assert_cmphex(guest_read(GUEST_CONFIG + 4, 2), ==, 0x5634);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 6, 2), ==, 1);
    setup_takes(0); /* a back end that can do nothing for it */
    guest.modern = true;
    g_assert_cmphex(guest_offered(), ==, 0x1389f8020ull);
    config_set("netdev", 0);
    config_set("ctrl_vq", 0);
    guest_setup(&net_pci_class, config); /* no cable at all */
    guest.modern = true;
    g_assert_cmphex(guest_offered(), ==, 0x138018020ull);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 6, 2), ==, 0);
    guest_start(true, F_MRG_RXBUF, 2);
    send(60, 60);
    g_assert_true(guest_take(TX, NULL, NULL)); /* lost */
}

static void test_send(gconstpointer modern)
{
    setup();
    guest_start(GPOINTER_TO_INT(modern), F_STATUS, 2);
    send(60, 60);
    send(1514, 100);
    g_assert_cmpuint(cable.sent->len, ==, 2);
    g_assert_cmpmem(sent(0)->data, sent(0)->len, frame_to(own, 60), 60);
    g_assert_cmpmem(sent(1)->data, sent(1)->len, frame_to(own, 1514), 1514);
    g_assert_true(guest_intx());
}

static void test_send_many_pieces(void)
{
    setup();
    guest_start(true, F_INDIRECT_DESC, 2);
    for (unsigned i = 0; i < 200; i++) /* every other byte, so that they are no stretch */
        guest_desc(GUEST_BUFFER + 0x10000, i + 1, GUEST_BUFFER + 0x20000 + 2 * i, 1, i < 199 ? DESC_NEXT : 0,
                   (uint16_t)(i + 2));
    guest_desc(GUEST_BUFFER + 0x10000, 0, GUEST_BUFFER, 12, DESC_NEXT, 1);
    for (unsigned i = 0; i < 200; i++)
        guest_write(GUEST_BUFFER + 0x20000 + 2 * i, 1, i);
    guest_desc(guest.queue[TX].desc, 0, GUEST_BUFFER + 0x10000, 201 * 16, DESC_INDIRECT, 0);
    guest_kick(TX, 0);
    g_assert_cmpuint(sent(0)->len, ==, 200);
    for (unsigned i = 0; i < 200; i++)
        g_assert_cmpuint(sent(0)->data[i], ==, i);
}

static void test_bad_frames_are_lost(void)
{
    setup();
    guest_start(true, 0, 2);
    send(13, 13);
    send(NETDEV_FRAME_MAX + 1, 8192);
    g_assert_true(guest_take(TX, NULL, NULL));
    g_assert_true(guest_take(TX, NULL, NULL));
    put_frame(100, 100);
    guest_write(GUEST_BUFFER, 1, NETDEV_NEEDS_CSUM); /* not agreed on */
    guest_notify(TX);
    guest_settle();
    g_assert_true(guest_take(TX, NULL, NULL));
    g_assert_cmpuint(cable.sent->len, ==, 0);
    g_assert_cmphex(guest_status(), ==, 15);
    guest_kick(TX, guest_put(TX, GUEST_BUFFER, 11, false, false)); /* not even a header */
    g_assert_cmphex(guest_status(), ==, 0x4f);
}

static void test_send_with_offloads(void)
{
    setup();
    guest_start(true, F_CSUM | F_HOST_TSO4, 2);
    put_frame(4000, 4000);
    guest_write(GUEST_BUFFER, 1, NETDEV_NEEDS_CSUM | 0xf0);
    guest_write(GUEST_BUFFER + 1, 1, NETDEV_GSO_TCPV4);
    guest_write(GUEST_BUFFER + 2, 2, 54);
    guest_write(GUEST_BUFFER + 4, 2, 1448);
    guest_write(GUEST_BUFFER + 6, 2, 34);
    guest_write(GUEST_BUFFER + 8, 2, 16);
    guest_notify(TX);
    guest_settle();
    g_assert_cmpuint(cable.sent->len, ==, 1);
    g_assert_cmpuint(cable.offload.flags, ==, NETDEV_NEEDS_CSUM);
    g_assert_cmpuint(cable.offload.gso_type, ==, NETDEV_GSO_TCPV4);
    g_assert_cmpuint(cable.offload.gso_size, ==, 1448);
    g_assert_cmpuint(cable.offload.csum_start, ==, 34);
    static const struct {
        uint8_t at, value;
    } bad[] = {{1, 4}, {1, 0x81}, {1, 3}, {4, 0}, {7, 0xff}};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        put_frame(4000, 4000);
        guest_write(GUEST_BUFFER, 1, NETDEV_NEEDS_CSUM);
        guest_write(GUEST_BUFFER + 1, 1, NETDEV_GSO_TCPV4);
        guest_write(GUEST_BUFFER + 4, 2, 200);
        guest_write(GUEST_BUFFER + bad[i].at, 1, bad[i].value);
        guest_notify(TX);
        guest_settle();
        g_assert_cmpuint(cable.sent->len, ==, 1);
    }
}

static void test_send_to_a_full_back_end(void)
{
    setup();
    guest_start(true, F_EVENT_IDX, 2);
    cable.room = 2;
    for (unsigned i = 0; i < 4; i++)
        put_frame(60 + i, 100);
    guest_notify(TX);
    guest_settle();
    g_assert_cmpuint(cable.sent->len, ==, 2);
    g_assert_cmpuint(guest_used_index(TX), ==, 2);
    cable.room = UINT32_MAX;
    guest_reload(config); /* what waits is in the ring */
    guest_settle();
    g_assert_cmpuint(cable.sent->len, ==, 4);
    cable.room = 4;
    send(99, 99);
    g_assert_cmpuint(cable.sent->len, ==, 4);
    cable.room = 5;
    cable.netdev.front->sendable(cable.netdev.front_opaque);
    guest_settle();
    g_assert_cmpuint(cable.sent->len, ==, 5);
    g_assert_cmpuint(guest_used_index(TX), ==, 5);
}

static void test_budget(void)
{
    setup();
    guest_start(true, 0, 2);
    for (unsigned i = 0; i < 100; i++)
        guest_avail(TX, guest_put(TX, GUEST_BUFFER, 72, false, false));
    guest_notify(TX);
    g_assert_cmpuint(cable.sent->len, ==, 0);
    vclock_fake_advance(0);
    guest_settle();
    g_assert_cmpuint(cable.sent->len, ==, 100);
}

static void test_receive(gconstpointer modern)
{
    uint32_t len = 0;
    setup();
    guest_start(GPOINTER_TO_INT(modern), F_STATUS, 2);
    memset(guest_mem.ram + GUEST_BUFFER, 0xee, 4096);
    rx_buffer(GUEST_BUFFER, 2048);
    g_assert_true(deliver(own, 1514));
    g_assert_true(guest_take(RX, NULL, &len));
    g_assert_cmpuint(len, ==, 1514 + header_len());
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER + header_len(), 1514, frame_to(own, 1514), 1514);
    for (unsigned i = 0; i < 10; i++)
        g_assert_cmpuint(guest_mem.ram[GUEST_BUFFER + i], ==, 0);
    if (GPOINTER_TO_INT(modern))
        g_assert_cmpuint(guest_read(GUEST_BUFFER + 10, 2), ==, 1);
    g_assert_true(guest_intx());
}

static void test_receive_before_the_driver(void)
{
    setup();
    g_assert_true(deliver(own, 60));
    guest_begin(true, 0);
    guest_queue_setup(0, 0);
    rx_buffer(GUEST_BUFFER, 2048);
    g_assert_true(deliver(own, 60));
    guest_drive();
    guest_settle();
    g_assert_cmpuint(guest_used_index(RX), ==, 0);
}

static void test_merged_buffers(void)
{
    uint32_t len = 0;
    setup();
    guest_start(true, F_MRG_RXBUF, 2);
    for (unsigned i = 0; i < 3; i++)
        rx_buffer(GUEST_BUFFER + 4096 * i, 500);
    deliver(own, 1200);
    g_assert_cmpuint(guest_used_index(RX), ==, 3);
    g_assert_cmpuint(guest_read(GUEST_BUFFER + 10, 2), ==, 3);
    static const uint32_t lens[] = {500, 500, 212};
    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(guest_take(RX, NULL, &len));
        g_assert_cmpuint(len, ==, lens[i]);
    }
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER + 12, 488, frame_to(own, 1200), 488);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER + 8192, 212, frame_to(own, 1200) + 988, 212);
}

/* Some of the buffers are there: they stay the driver's until there are enough, of which it tells. */
static void test_too_few_buffers(gconstpointer event)
{
    setup();
    guest_start(true, F_MRG_RXBUF | (GPOINTER_TO_INT(event) ? F_EVENT_IDX : 0), 2);
    rx_buffer(GUEST_BUFFER, 500);
    rx_buffer(GUEST_BUFFER + 4096, 500);
    g_assert_true(deliver(own, 1200));
    g_assert_cmpuint(guest_used_index(RX), ==, 0);
    if (GPOINTER_TO_INT(event))
        g_assert_cmpuint(guest_avail_event(RX), ==, 2);
    else
        g_assert_cmpuint(guest_read(guest.queue[RX].used, 2), ==, 0);
    rx_buffer(GUEST_BUFFER + 8192, 500);
    guest_notify(RX);
    guest_settle();
    g_assert_cmpuint(guest_used_index(RX), ==, 3);
}

static void test_too_small_buffers(void)
{
    setup();
    guest_start(true, 0, 2);
    rx_buffer(GUEST_BUFFER, 500);
    g_assert_true(deliver(own, 1200));
    g_assert_cmpuint(guest_used_index(RX), ==, 0); /* lost; the buffer is for the next one */
    deliver(own, 60);
    g_assert_cmpuint(guest_used_index(RX), ==, 1);
    rx_buffer(GUEST_BUFFER, 11);
    guest_notify(RX);
    deliver(own, 60);
    g_assert_cmphex(guest_status(), ==, 0x4f);
    g_assert_true(deliver(own, 60));
    guest_start(true, F_MRG_RXBUF, 2); /* one byte each: more buffers than one frame may have */
    rx_buffer(GUEST_BUFFER, 12);
    for (unsigned i = 0; i < 200; i++)
        rx_buffer(GUEST_BUFFER + 16 + i, 1);
    g_assert_true(deliver(own, 150));
    g_assert_cmpuint(guest_used_index(RX), ==, 0);
    deliver(own, 60);
    g_assert_cmpuint(guest_used_index(RX), ==, 61);
}

/* Frames wait, up to a limit; then the back end does, and is told when there is room. */
static void test_no_buffers(void)
{
    unsigned taken = 0;
    setup();
    guest_start(true, 0, 2);
    unsigned before = cable.ready;
    while (deliver(own, 1000))
        g_assert_cmpuint(++taken, <, 1000);
    g_assert_cmpuint(taken, ==, 64);
    g_assert_cmpuint(cable.ready, ==, before);
    for (unsigned i = 0; i < 40; i++)
        rx_buffer(GUEST_BUFFER + 2048 * i, 2048);
    guest_notify(RX);
    guest_settle();
    g_assert_cmpuint(guest_used_index(RX), ==, 40);
    g_assert_cmpuint(cable.ready, ==, before + 1);
    g_assert_true(deliver(own, 1000));
    for (taken = 0; deliver(own, 65000);) /* large ones have a limit in bytes */
        g_assert_cmpuint(++taken, <, 10);
    guest_set_status(0);
    g_assert_cmpuint(cable.ready, >, before + 1);
    g_assert_true(deliver(own, 1000));
}

static void test_receive_with_offloads(void)
{
    const struct netdev_offload gso = {NETDEV_NEEDS_CSUM, NETDEV_GSO_TCPV4, 54, 1448, 34, 16};
    const struct netdev_offload valid = {.flags = NETDEV_DATA_VALID};
    setup();
    guest_start(true, F_MRG_RXBUF | F_GUEST_CSUM | F_GUEST_TSO4 | F_OFFLOADS | F_CTRL, 3);
    g_assert_cmphex(cable.netdev.front_takes, ==, NETDEV_TAKES_CSUM | NETDEV_TAKES_TSO4);
    rx_buffer(GUEST_BUFFER, 8192);
    cable.netdev.front->receive(cable.netdev.front_opaque, frame_to(own, 4000), 4000, &gso);
    guest_settle();
    g_assert_cmpuint(guest_used_index(RX), ==, 1);
    g_assert_cmpmem(guest_mem.ram + GUEST_BUFFER, 10, &gso, 10);
    uint64_t offloads = F_GUEST_TSO4;
    g_assert_cmpuint(command(5, 0, &offloads, 8), ==, 0);
    g_assert_cmphex(cable.netdev.front_takes, ==, NETDEV_TAKES_TSO4);
    offloads = 1ull << 8; /* was not agreed on */
    g_assert_cmpuint(command(5, 0, &offloads, 8), ==, 1);
    rx_buffer(GUEST_BUFFER, 8192);
    cable.netdev.front->receive(cable.netdev.front_opaque, frame_to(own, 4000), 4000, &gso);
    guest_settle();
    g_assert_cmpuint(guest_used_index(RX), ==, 1); /* it cannot take that any more */
    cable.netdev.front->receive(cable.netdev.front_opaque, frame_to(own, 60), 60, &valid);
    guest_settle();
    g_assert_cmpuint(guest_used_index(RX), ==, 2);
    g_assert_cmpuint(guest_mem.ram[GUEST_BUFFER], ==, 0);
    guest_set_status(0);
    g_assert_cmphex(cable.netdev.front_takes, ==, 0);
}

static unsigned arrived;

static bool arrives(const uint8_t *address, int vlan)
{
    uint8_t frame[64];
    memcpy(frame, frame_to(address, 64), 64);
    if (vlan >= 0) {
        frame[12] = 0x81;
        frame[14] = (uint8_t)(0xe0 | vlan >> 8);
        frame[15] = (uint8_t)vlan;
    }
    rx_buffer(GUEST_BUFFER, 2048);
    g_assert_true(fake_netdev_deliver(&cable, frame, 64));
    guest_settle();
    uint16_t before = (uint16_t)arrived;
    arrived = guest_used_index(RX);
    return arrived != before;
}

static bool to(uint8_t first, uint8_t last)
{
    const uint8_t address[6] = {first, 0x11, 0x22, 0x33, 0x44, last};
    return arrives(address, -1);
}

#define ON(code)  command(0, code, (uint8_t[]){1}, 1)
#define OFF(code) command(0, code, (uint8_t[]){0}, 1)

static void test_filter(void)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    setup();
    guest_start(true, F_CTRL, 3);
    arrived = 0;
    g_assert_true(to(0x02, 1)); /* everything, until the driver says something */
    g_assert_true(to(0x03, 1));
    g_assert_cmpuint(OFF(0), ==, 0);
    g_assert_false(to(0x02, 1));
    g_assert_false(to(0x03, 1));
    g_assert_true(arrives(own, -1));
    g_assert_true(arrives(broadcast, -1));
    g_assert_true(arrives(own, 5)); /* no filter for VLANs was agreed on */
    ON(1);
    g_assert_true(to(0x03, 1));
    OFF(1);
    ON(2);
    g_assert_true(to(0x02, 1));
    OFF(2);
    ON(4);
    g_assert_false(arrives(own, -1));
    OFF(4);
    ON(5);
    g_assert_false(arrives(broadcast, -1));
    OFF(5);
    g_assert_cmpuint(ON(6), ==, 1);
    g_assert_cmpuint(command(9, 0, "", 1), ==, 1);

    uint8_t table[8 + 18] = {1, 0,    0,    0,    0x02, 0x11, 0x22, 0x33, 0x44, 7,    2,    0,    0,
                             0, 0x03, 0x11, 0x22, 0x33, 0x44, 8,    0x03, 0x11, 0x22, 0x33, 0x44, 9};
    g_assert_cmpuint(command(1, 0, table, sizeof(table)), ==, 0);
    g_assert_true(to(0x02, 7));
    g_assert_false(to(0x02, 8));
    g_assert_true(to(0x03, 8));
    g_assert_true(to(0x03, 9));
    g_assert_false(to(0x03, 7));
    ON(3);
    g_assert_false(to(0x03, 8));
    OFF(3);
    guest_reload(config);
    guest_settle();
    g_assert_true(to(0x03, 9));
    g_assert_false(to(0x03, 7));
    g_assert_cmpuint(command(1, 0, table, 20), ==, 1); /* shorter than it says */
    uint8_t many[8 + 6 * 65] = {65};
    g_assert_cmpuint(command(1, 0, many, sizeof(many)), ==, 0);
    g_assert_true(to(0x02, 8)); /* too many: all of them */
    g_assert_false(to(0x03, 8));
    uint8_t huge[8] = {0xff, 0xff, 0xff, 0xff};
    g_assert_cmpuint(command(1, 0, huge, 8), ==, 1);

    const uint8_t other[6] = {0x02, 0xaa, 0, 0, 0, 1};
    g_assert_cmpuint(command(1, 0, (uint8_t[8]){0}, 8), ==, 0);
    g_assert_false(arrives(other, -1));
    g_assert_cmpuint(command(1, 1, other, 6), ==, 0);
    g_assert_true(arrives(other, -1));
    g_assert_false(arrives(own, -1));
    g_assert_cmphex(guest_read(GUEST_CONFIG, 1), ==, 0x02);
}

static void test_vlan_filter(void)
{
    setup();
    guest_start(true, F_CTRL | F_CTRL_VLAN, 3);
    arrived = 0;
    OFF(0);
    g_assert_true(arrives(own, -1));
    g_assert_false(arrives(own, 5));
    g_assert_cmpuint(command(2, 0, (uint8_t[]){5, 0}, 2), ==, 0);
    g_assert_true(arrives(own, 5));
    g_assert_false(arrives(own, 6));
    g_assert_cmpuint(command(2, 1, (uint8_t[]){5, 0}, 2), ==, 0);
    g_assert_false(arrives(own, 5));
    g_assert_cmpuint(command(2, 0, (uint8_t[]){0, 0x10}, 2), ==, 1);
}

static void test_legacy_sets_its_address(void)
{
    setup();
    guest_start(false, 0, 2);
    outb(GUEST_IO + 20, 0x06);
    g_assert_cmphex(inb(GUEST_IO + 20), ==, 0x06);
    guest_set_status(0);
    g_assert_cmphex(inb(GUEST_IO + 20), ==, 0x52);
    guest_start(true, 0, 2);
    guest_write(GUEST_CONFIG, 1, 0x06);
    g_assert_cmphex(guest_read(GUEST_CONFIG, 1), ==, 0x52);
}

static void test_link(void)
{
    setup();
    guest_start(true, F_STATUS, 2);
    g_assert_false(guest_intx());
    fake_netdev_set_link(&cable, false);
    g_assert_true(guest_intx());
    g_assert_cmphex(guest_isr(), ==, 2);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 6, 2), ==, 0);
    send(60, 60);
    g_assert_cmpuint(cable.sent->len, ==, 0);
    g_assert_true(guest_take(TX, NULL, NULL));
    fake_netdev_set_link(&cable, true);
    g_assert_cmpuint(guest_read(GUEST_CONFIG + 6, 2), ==, 1);
}

static void test_broken_commands(void)
{
    setup();
    guest_start(true, F_CTRL, 3);
    guest_kick(CTRL, guest_put(CTRL, GUEST_BUFFER, 2, false, false));
    g_assert_cmphex(guest_status(), ==, 0x4f);
}

static void test_storm(void)
{
    GRand *rand = g_rand_new_with_seed(99);
    setup();
    for (unsigned round = 0; round < 300; round++) {
        guest_start(g_rand_boolean(rand), g_rand_int(rand) & 0xffffffffu, 3);
        for (unsigned i = 0; i < 100; i++) {
            uint32_t value = g_rand_int(rand), queue = value >> 4 & 3;
            if (queue == 3)
                queue = 0;
            if (value % 8 < 3)
                guest_desc(guest.queue[queue].desc, value >> 6 & 63, GUEST_BUFFER + (value >> 12),
                           g_rand_int(rand) >> value % 32, g_rand_int(rand) & 7, g_rand_int(rand) & 63);
            else if (value % 8 < 5)
                guest_avail(queue, value >> 6 & 63), guest_notify(queue);
            else if (value % 8 == 5)
                guest_write(GUEST_BUFFER + (value >> 12), 4, g_rand_int(rand));
            else if (!fake_netdev_deliver(&cable, frame_to(own, 14 + (value >> 8) % 3000), 14 + (value >> 8) % 3000))
                guest_settle();
            vclock_fake_advance(1);
        }
        guest_settle();
        g_ptr_array_set_size(cable.sent, 0);
    }
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio_net/configuration", test_configuration);
    g_test_add_data_func("/virtio_net/send_legacy", GINT_TO_POINTER(0), test_send);
    g_test_add_data_func("/virtio_net/send_modern", GINT_TO_POINTER(1), test_send);
    g_test_add_func("/virtio_net/send_many_pieces", test_send_many_pieces);
    g_test_add_func("/virtio_net/bad_frames_are_lost", test_bad_frames_are_lost);
    g_test_add_func("/virtio_net/send_with_offloads", test_send_with_offloads);
    g_test_add_func("/virtio_net/send_to_a_full_back_end", test_send_to_a_full_back_end);
    g_test_add_func("/virtio_net/budget", test_budget);
    g_test_add_data_func("/virtio_net/receive_legacy", GINT_TO_POINTER(0), test_receive);
    g_test_add_data_func("/virtio_net/receive_modern", GINT_TO_POINTER(1), test_receive);
    g_test_add_func("/virtio_net/receive_before_the_driver", test_receive_before_the_driver);
    g_test_add_func("/virtio_net/merged_buffers", test_merged_buffers);
    g_test_add_data_func("/virtio_net/too_few_buffers", GINT_TO_POINTER(0), test_too_few_buffers);
    g_test_add_data_func("/virtio_net/too_few_buffers_event_index", GINT_TO_POINTER(1), test_too_few_buffers);
    g_test_add_func("/virtio_net/too_small_buffers", test_too_small_buffers);
    g_test_add_func("/virtio_net/no_buffers", test_no_buffers);
    g_test_add_func("/virtio_net/receive_with_offloads", test_receive_with_offloads);
    g_test_add_func("/virtio_net/filter", test_filter);
    g_test_add_func("/virtio_net/vlan_filter", test_vlan_filter);
    g_test_add_func("/virtio_net/legacy_sets_its_address", test_legacy_sets_its_address);
    g_test_add_func("/virtio_net/link", test_link);
    g_test_add_func("/virtio_net/broken_commands", test_broken_commands);
    g_test_add_func("/virtio_net/storm", test_storm);
    return g_test_run();
}
