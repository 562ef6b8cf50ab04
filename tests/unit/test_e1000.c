/* Intel 82540EM, by its manual (317453): registers, EEPROM, PHY, both rings, filters, offloads, interrupts. */
#include "nic_bench.h"

#include "devices/net/e1000.h"

#define TX_RING 0x10000u
#define RX_RING 0x20000u
#define TX_DATA 0x100000u
#define RX_DATA 0x200000u
#define TX_SIZE 8u /* descriptors: 128 bytes */
#define RX_SIZE 8u

static struct e1000 *card(void)
{
    return nic;
}

static void run_now(void)
{
    vclock_fake_advance(1000);
}

static void link_up(void)
{
    vclock_fake_advance(300 * MS);
    mmio32_set(IMC, ~0u);
    (void)mmio32(ICR);
}

static void setup_takes(uint8_t takes)
{
    nic_setup(&e1000_class, takes);
    nic_map(0, 1);
    link_up();
    mmio32_set(TDBAL, TX_RING);
    mmio32_set(TDLEN, TX_SIZE * 16);
    mmio32_set(TCTL, TCTL_EN | TCTL_PSP);
    mmio32_set(RDBAL, RX_RING);
    mmio32_set(RDLEN, RX_SIZE * 16);
    for (unsigned i = 0; i < RX_SIZE; i++) {
        uint64_t at = RX_DATA + i * 0x4000;
        memcpy(guest_mem.ram + RX_RING + i * 16, &at, 8);
    }
    mmio32_set(RDT, RX_SIZE - 1);
    mmio32_set(RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC);
}

static void setup(void)
{
    setup_takes(0);
}

/* --- Descriptors --- */

static uint32_t tail;

static void tx(uint64_t at, uint32_t low, uint32_t high)
{
    uint32_t word[4] = {(uint32_t)at, (uint32_t)(at >> 32), low, high};
    memcpy(guest_mem.ram + TX_RING + tail * 16, word, 16);
    tail = (tail + 1) % (mmio32(TDLEN) / 16);
}

static void tx_legacy(uint64_t at, uint32_t len, uint32_t command)
{
    tx(at, len | command << 24, 0);
}

static void tx_data(uint64_t at, uint32_t len, uint32_t command, uint32_t popts)
{
    tx(at, len | 1u << 20 | (command | TX_DEXT) << 24, popts << 8);
}

/* ip_csum_at and l4_at from the frame's own layout. */
static void tx_context(bool v4, bool is_tcp, uint32_t command, uint32_t mss, uint32_t payload)
{
    uint32_t l4 = v4 ? 34 : 54, header = l4 + (is_tcp ? 20 : 8);
    uint32_t word[4] = {14 | 24u << 8 | (v4 ? 33u << 16 : 0), l4 | (l4 + (is_tcp ? 16u : 6u)) << 8,
                        payload | (command | TX_DEXT | (is_tcp ? TUCMD_TCP : 0) | (v4 ? TUCMD_IP : 0)) << 24,
                        header << 8 | mss << 16};
    memcpy(guest_mem.ram + TX_RING + tail * 16, word, 16);
    tail = (tail + 1) % (mmio32(TDLEN) / 16);
}

static void tx_go(void)
{
    mmio32_set(TDT, tail);
    run_now();
}

static uint8_t tx_status(unsigned i)
{
    return guest_mem.ram[TX_RING + i * 16 + 12];
}

struct rx_descriptor {
    uint64_t buffer;
    uint16_t len, checksum;
    uint8_t status, errors;
    uint16_t special;
};

static struct rx_descriptor *rx(unsigned i)
{
    return (struct rx_descriptor *)(void *)(guest_mem.ram + RX_RING + i * 16);
}

static const char own[] = "\x52\x54\x00\x12\x34\x56";

static bool comes(const char *to, size_t len)
{
    uint8_t frame[20000];
    return fake_netdev_deliver(&cable, frame, frame_plain(frame, to, len));
}

/* --- EEPROM, PHY, link --- */

static uint16_t eerd(unsigned address)
{
    mmio32_set(EERD, address << 8 | EERD_START);
    g_assert_true(mmio32(EERD) & EERD_DONE);
    return (uint16_t)(mmio32(EERD) >> 16);
}

static void test_eerd_reads_the_eeprom(void)
{
    uint16_t sum = 0;
    setup();
    for (unsigned i = 0; i < 64; i++)
        sum += eerd(i);
    g_assert_cmphex(sum, ==, 0xbaba);
    g_assert_cmphex(eerd(0), ==, 0x5452);
    g_assert_cmphex(eerd(1), ==, 0x1200);
    g_assert_cmphex(eerd(2), ==, 0x5634);
    g_assert_cmphex(eerd(200), ==, 0xffff);
    g_assert_cmphex(mmio32(RAL), ==, 0x12005452);
    g_assert_cmphex(mmio32(RAH), ==, 0x80005634);
}

static void microwire_out(uint32_t bits, unsigned count)
{
    while (count--) {
        uint32_t eecd = EECD_REQ | EECD_CS | (bits >> count & 1 ? EECD_DI : 0);
        mmio32_set(EECD, eecd);
        mmio32_set(EECD, eecd | EECD_SK);
        mmio32_set(EECD, eecd);
    }
}

static uint16_t microwire_in(void)
{
    uint16_t word = 0;
    for (unsigned i = 0; i < 16; i++) {
        mmio32_set(EECD, EECD_REQ | EECD_CS | EECD_SK);
        word = (uint16_t)(word << 1 | !!(mmio32(EECD) & EECD_DO));
        mmio32_set(EECD, EECD_REQ | EECD_CS);
    }
    return word;
}

static void microwire_begin(uint32_t bits, unsigned count)
{
    mmio32_set(EECD, EECD_REQ);
    g_assert_true(mmio32(EECD) & EECD_GNT);
    mmio32_set(EECD, EECD_REQ | EECD_CS);
    microwire_out(bits, count);
}

static void test_eecd_reads_and_writes_the_eeprom(void)
{
    setup();
    g_assert_true(mmio32(EECD) & EECD_PRES);
    microwire_begin(6 << 6 | 1, 9);         /* READ 1 */
    g_assert_false(mmio32(EECD) & EECD_DO); /* the dummy bit */
    g_assert_cmphex(microwire_in(), ==, 0x1200);
    g_assert_cmphex(microwire_in(), ==, 0x5634); /* and on */
    microwire_begin(5 << 6 | 0x20, 9);           /* WRITE, but not enabled */
    microwire_out(0x1234, 16);
    g_assert_cmphex(eerd(0x20), !=, 0x1234);
    microwire_begin(0x130, 9); /* EWEN */
    microwire_begin(5 << 6 | 0x20, 9);
    microwire_out(0x1234, 16);
    mmio32_set(EECD, 0);
    g_assert_cmphex(eerd(0x20), ==, 0x1234);
    microwire_begin(7 << 6 | 0x20, 9); /* ERASE */
    g_assert_cmphex(eerd(0x20), ==, 0xffff);
}

static uint32_t mdic(uint32_t op, unsigned reg, uint16_t value)
{
    mmio32_set(MDIC, op | 1u << 21 | reg << 16 | value);
    g_assert_true(mmio32(MDIC) & MDIC_R);
    return mmio32(MDIC);
}

static void test_mdic_reaches_the_phy(void)
{
    setup();
    g_assert_cmphex(mdic(MDIC_OP_READ, 2, 0) & 0xffff, ==, 0x0141);
    g_assert_cmphex(mdic(MDIC_OP_READ, 3, 0) & 0xffff, ==, 0x0c20);
    mdic(MDIC_OP_WRITE, 2, 0);
    g_assert_cmphex(mdic(MDIC_OP_READ, 2, 0) & 0xffff, ==, 0x0141);
    mmio32_set(MDIC, MDIC_OP_READ | 2u << 21 | 2u << 16);
    g_assert_true(mmio32(MDIC) & MDIC_E); /* no such PHY */
    mmio32_set(IMS, ICR_MDAC);
    mdic(MDIC_OP_READ | MDIC_I, 2, 0);
    g_assert_true(nic_pci->intx);
}

static void test_link_comes_up_after_negotiation(void)
{
    nic_setup(&e1000_class, 0);
    nic_map(0, 1);
    mmio32_set(IMS, ICR_LSC);
    g_assert_false(mmio32(STATUS) & STATUS_LU);
    g_assert_cmphex(mdic(MDIC_OP_READ, 1, 0) & 0x24, ==, 0);
    vclock_fake_advance(300 * MS);
    g_assert_cmphex(mmio32(STATUS) & 0x3c3, ==, 0x283);
    g_assert_cmphex(mdic(MDIC_OP_READ, 1, 0) & 0x24, ==, 0x24);
    g_assert_cmphex(mdic(MDIC_OP_READ, 17, 0) & 0xec00, ==, 0xac00);
    g_assert_true(nic_pci->intx);
    g_assert_cmphex(mmio32(ICR), ==, ICR_LSC);
    g_assert_false(nic_pci->intx);
    mdic(MDIC_OP_WRITE, 0, 0x1340); /* restart */
    g_assert_false(mmio32(STATUS) & STATUS_LU);
    vclock_fake_advance(300 * MS);
    g_assert_true(mmio32(STATUS) & STATUS_LU);
    mdic(MDIC_OP_WRITE, 0, 0x2100); /* forced: at once */
    g_assert_cmphex(mmio32(STATUS) & 0xc3, ==, 0x43);
}

static void test_cable_pulled_and_plugged(void)
{
    setup();
    mmio32_set(IMS, ICR_LSC);
    fake_netdev_set_link(&cable, false);
    g_assert_false(mmio32(STATUS) & STATUS_LU);
    g_assert_true(nic_pci->intx);
    (void)mmio32(ICR);
    g_assert_true(comes(own, 60)); /* lost */
    fake_netdev_set_link(&cable, true);
    g_assert_false(mmio32(STATUS) & STATUS_LU);
    vclock_fake_advance(300 * MS);
    g_assert_true(mmio32(STATUS) & STATUS_LU);
    g_assert_true(nic_pci->intx);
    mmio32_set(CTRL, 0x201); /* SLU off: the MAC does not look */
    g_assert_false(mmio32(STATUS) & STATUS_LU);
}

static void test_without_a_cable(void)
{
    setup();
    nic_free(&e1000_class);
    nic_config.netdev = NULL;
    nic_new(&e1000_class);
    nic_map(0, 1);
    link_up();
    g_assert_false(mmio32(STATUS) & STATUS_LU);
    mmio32_set(TDBAL, TX_RING);
    mmio32_set(TDLEN, TX_SIZE * 16);
    mmio32_set(TCTL, TCTL_EN);
    tail = 0;
    tx_legacy(TX_DATA, 64, TX_EOP | TX_RS);
    tx_go();
    g_assert_cmphex(tx_status(0), ==, 1); /* lost */
}

static void test_registers_keep_what_is_written(void)
{
    static const uint32_t plain[] = {FCAL, TXCW, TIPG,    AIFS,         LEDCTL, FCRTL,
                                     WUFC, IPAV, MTA + 4, VFTA + 0x1fc, FFMT,   FFVT};
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(plain); i++) {
        mmio32_set(plain[i], 0x12345678);
        g_assert_cmphex(mmio32(plain[i]), ==, 0x12345678);
    }
    mmio32_set(RDBAL, 0x12345678);
    g_assert_cmphex(mmio32(RDBAL), ==, 0x12345670);
    mmio32_set(TDLEN, 0xffffffff);
    g_assert_cmphex(mmio32(TDLEN), ==, 0x000fff80);
    mmio32_set(0x1fffc, 1);
    g_assert_cmphex(mmio32(0x1fffc), ==, 0);
    g_assert_cmphex(mmio32(STATUS), !=, 0);
    mmio32_set(STATUS, 0);
    g_assert_cmphex(mmio32(STATUS), !=, 0);
    ioport_write(NIC_IO, 4, IPAV);
    g_assert_cmphex(ioport_read(NIC_IO, 4), ==, IPAV);
    g_assert_cmphex(ioport_read(NIC_IO + 4, 4), ==, 0x12345678);
    ioport_write(NIC_IO + 4, 4, 0x55);
    g_assert_cmphex(mmio32(IPAV), ==, 0x55);
    ioport_write(NIC_IO, 4, 0xfffffff0u);
    ioport_write(NIC_IO + 4, 4, 0x55);
    g_assert_cmphex(ioport_read(NIC_IO + 4, 4), ==, 0);
}

static void test_reset(void)
{
    setup();
    mmio32_set(IMS, ICR_TXQE);
    mmio32_set(ICS, ICR_TXQE);
    g_assert_true(nic_pci->intx);
    mmio32_set(RAL, 0);
    mmio32_set(CTRL, CTRL_RST | CTRL_SLU);
    g_assert_false(nic_pci->intx);
    g_assert_cmphex(mmio32(RCTL) | mmio32(TCTL) | mmio32(IMS) | mmio32(ICR) | mmio32(TDLEN) | mmio32(TDT), ==, 0);
    g_assert_cmphex(mmio32(RAL), ==, 0x12005452);
    g_assert_false(mmio32(CTRL) & CTRL_RST);
    g_assert_true(mmio32(STATUS) & STATUS_LU); /* the PHY has not been reset */
    mmio32_set(CTRL, CTRL_PHY_RST | CTRL_SLU);
    g_assert_false(mmio32(STATUS) & STATUS_LU);
    vclock_fake_advance(300 * MS);
    g_assert_true(mmio32(STATUS) & STATUS_LU);
}

/* --- Transmit --- */

static void test_transmit_wraps_and_gives_back(void)
{
    setup();
    tail = 0;
    mmio32_set(IMS, ICR_TXDW);
    for (unsigned i = 0; i < 3 * TX_SIZE; i++) {
        ram_fill(TX_DATA + i * 2048, i, 100 + i);
        tx_legacy(TX_DATA + i * 2048, 100 + i, TX_EOP | (i % 2 ? TX_RS : 0));
        mmio32_set(TDT, tail);
        g_assert_cmpuint(cable.sent->len, ==, i); /* not in the access itself */
        run_now();
        g_assert_cmpuint(mmio32(TDH), ==, tail);
        assert_sent(i, guest_mem.ram + TX_DATA + i * 2048, 100 + i);
        g_assert_cmphex(tx_status(i % TX_SIZE), ==, i % 2);
        g_assert_cmpuint(nic_pci->intx, ==, i % 2);
        g_assert_true(mmio32(ICR) & ICR_TXQE);
    }
}

static void test_transmit_frame_in_pieces(void)
{
    setup();
    tail = 0;
    ram_fill(TX_DATA, 1, 3000);
    tx_legacy(TX_DATA, 14, 0);
    tx_legacy(TX_DATA + 14, 0, 0);
    tx_legacy(TX_DATA + 14, 1000, TX_RS);
    tx_legacy(TX_DATA + 1014, 400, TX_EOP | TX_RS);
    tx_go();
    assert_sent(0, guest_mem.ram + TX_DATA, 1414);
    g_assert_cmphex(tx_status(0), ==, 0);
    g_assert_cmphex(tx_status(2), ==, 1);
    /* The end comes later than the beginning, which the chip has in its FIFO by then. */
    tx_legacy(TX_DATA, 100, TX_RS);
    tx_go();
    g_assert_cmpuint(cable.sent->len, ==, 1);
    g_assert_cmphex(tx_status(4), ==, 1);
    memset(guest_mem.ram + TX_DATA, 0, 10);
    tx_legacy(TX_DATA + 100, 100, TX_EOP | TX_RS);
    tx_go();
    ram_fill(TX_DATA, 1, 10);
    assert_sent(1, guest_mem.ram + TX_DATA, 200);
    tx_legacy(TX_DATA, 100, 0); /* begun, and given up */
    tx_go();
    mmio32_set(TDH, tail);
    tx_legacy(TX_DATA, 70, TX_EOP);
    tx_go();
    assert_sent(2, guest_mem.ram + TX_DATA, 70);
}

static void test_transmit_pads_short_frames(void)
{
    uint8_t expected[60] = {0};
    setup();
    tail = 0;
    ram_fill(TX_DATA, 9, 60);
    memcpy(expected, guest_mem.ram + TX_DATA, 42);
    tx_legacy(TX_DATA, 42, TX_EOP);
    tx_go();
    assert_sent(0, expected, 60);
    mmio32_set(TCTL, TCTL_EN);
    tx_legacy(TX_DATA, 42, TX_EOP);
    tx_go();
    assert_sent(1, expected, 42);
    tx_legacy(TX_DATA, 13, TX_EOP | TX_RS); /* no frame */
    tx_go();
    g_assert_cmpuint(cable.sent->len, ==, 2);
    g_assert_cmphex(tx_status(2), ==, 1);
}

static void test_transmit_waits_for_the_cable(void)
{
    setup();
    tail = 0;
    ram_fill(TX_DATA, 2, 100);
    cable.room = 1;
    for (unsigned i = 0; i < 3; i++)
        tx_legacy(TX_DATA, 100, TX_EOP | TX_RS);
    tx_go();
    g_assert_cmpuint(cable.sent->len, ==, 1);
    g_assert_cmpuint(mmio32(TDH), ==, 1);
    g_assert_cmphex(tx_status(1), ==, 0);
    tx_legacy(TX_DATA, 100, TX_EOP | TX_RS);
    tx_go();
    g_assert_cmpuint(mmio32(TDH), ==, 1);
    cable.room = 100;
    cable.netdev.front->sendable(cable.netdev.front_opaque);
    run_now();
    g_assert_cmpuint(cable.sent->len, ==, 4);
    g_assert_cmpuint(mmio32(TDH), ==, 4);
}

static void test_transmit_checksums(void)
{
    uint8_t *frame = guest_mem.ram + TX_DATA, expected[1600];
    for (unsigned takes = 0; takes < 2; takes++) {
        for (unsigned i = 0; i < 4; i++) {
            unsigned version = i & 1 ? 6 : 4, protocol = i & 2 ? IP_UDP : IP_TCP;
            setup_takes(takes ? NETDEV_TAKES_CSUM : 0);
            tail = 0;
            size_t len = frame_ip(frame, version, protocol, 777), l4 = version == 4 ? 34 : 54;
            size_t at = l4 + (protocol == IP_TCP ? 16 : 6);
            memcpy(expected, frame, len);
            frame_put_csums(expected, len);
            assert_checksums_right(expected, len);
            struct frame_parts parts;
            frame_parse(frame, len, &parts);
            be16_put(frame + at, inet_add(frame_pseudo(frame, &parts), (uint32_t)(len - l4))); /* the driver's part */
            if (takes)
                memcpy(expected + at, frame + at, 2);
            tx_context(version == 4, protocol == IP_TCP, 0, 0, 0);
            tx_data(TX_DATA, 60, 0, (version == 4 ? POPTS_IXSM : 0) | POPTS_TXSM);
            tx_data(TX_DATA + 60, (uint32_t)len - 60, TX_EOP | TX_RS, 0);
            tx_go();
            assert_sent(0, expected, len);
            g_assert_cmphex(cable.offload.flags, ==, takes ? NETDEV_NEEDS_CSUM : 0);
            g_assert_cmpuint(cable.offload.csum_start, ==, takes ? l4 : 0);
            g_assert_cmpuint(cable.offload.csum_offset, ==, takes ? at - l4 : 0);
        }
    }
    setup(); /* legacy: CSO and CSS, up to the end */
    tail = 0;
    ram_fill(TX_DATA, 3, 100);
    be16_put(frame + 30, 0);
    memcpy(expected, frame, 100);
    be16_put(expected + 30, (uint16_t)~slow_sum(0, frame + 20, 80));
    tx(TX_DATA, 100 | 30u << 16 | (TX_EOP | TX_IC) << 24, 20u << 8);
    tx_go();
    assert_sent(0, expected, 100);
}

/* A TCP packet in guest memory with the checksums a driver leaves: the pseudo header's without the length. */
static size_t tso_packet(unsigned version, size_t payload)
{
    uint8_t *frame = guest_mem.ram + TX_DATA;
    struct frame_parts parts;
    size_t len = frame_ip(frame, version, IP_TCP, payload);
    frame_parse(frame, len, &parts);
    be16_put(frame + parts.l4 + TCP_CSUM, frame_pseudo(frame, &parts));
    return len;
}

static void tso_send(unsigned version, size_t len, unsigned mss, uint32_t command)
{
    uint32_t header = version == 4 ? 54 : 74;
    tx_context(version == 4, true, TX_TSE, mss, (uint32_t)len - header);
    tx_data(TX_DATA, header, TX_TSE | command, (version == 4 ? POPTS_IXSM : 0) | POPTS_TXSM);
    tx_data(TX_DATA + header, (uint32_t)len - header, TX_TSE | TX_EOP | TX_RS | command, 0);
    tx_go();
}

static void test_segmentation_in_software(void)
{
    uint8_t expected[2000];
    for (unsigned version = 4; version <= 6; version += 2) {
        unsigned header = version == 4 ? 54 : 74;
        setup();
        tail = 0;
        size_t len = tso_packet(version, 10001);
        tso_send(version, len, 1400, 0);
        g_assert_cmpuint(cable.sent->len, ==, 8);
        for (unsigned n = 0; n < 8; n++) {
            size_t piece = segment_expected(guest_mem.ram + TX_DATA, len, header, 1400, n, expected);
            assert_checksums_right(expected, piece);
            assert_sent(n, expected, piece);
        }
        g_assert_cmphex(tx_status(2), ==, 1);
        g_assert_cmpuint(mmio32(GPTC), ==, 8);
        g_assert_cmpuint(mmio32(TSCTC), ==, 1);
        g_assert_cmpuint(mmio32(GOTCL), ==, 10001 + 8 * (header + 4));
    }
}

static void test_segmentation_left_to_the_cable(void)
{
    uint8_t expected[11000];
    setup_takes(NETDEV_TAKES_CSUM | NETDEV_TAKES_TSO4);
    tail = 0;
    size_t len = tso_packet(4, 10001);
    struct frame_parts parts;
    memcpy(expected, guest_mem.ram + TX_DATA, len);
    be16_put(expected + 16, (uint32_t)len - 14);
    frame_parse(expected, len, &parts);
    frame_put_ip_csum(expected, &parts);
    be16_put(expected + 50, inet_add(frame_pseudo(expected, &parts), (uint32_t)len - 34));
    be16_put(guest_mem.ram + TX_DATA + 16, 0); /* as drivers leave it */
    tso_send(4, len, 1400, 0);
    g_assert_cmpuint(cable.sent->len, ==, 1);
    assert_sent(0, expected, len);
    g_assert_cmphex(cable.offload.flags, ==, NETDEV_NEEDS_CSUM);
    g_assert_cmpuint(cable.offload.gso_type, ==, NETDEV_GSO_TCPV4);
    g_assert_cmpuint(cable.offload.gso_size, ==, 1400);
    g_assert_cmpuint(cable.offload.hdr_len, ==, 54);
    g_assert_cmpuint(cable.offload.csum_start, ==, 34);
    g_assert_cmpuint(cable.offload.csum_offset, ==, 16);
    g_assert_cmpuint(mmio32(GPTC), ==, 8);
    len = tso_packet(6, 10001); /* which it does not take */
    tso_send(6, len, 1400, 0);
    g_assert_cmpuint(cable.sent->len, ==, 9);
}

static void test_segmentation_blocked_saved_and_gone_on_with(void)
{
    uint8_t expected[2000];
    setup();
    tail = 0;
    size_t len = tso_packet(4, 10001);
    cable.room = 3;
    tso_send(4, len, 1400, 0);
    g_assert_cmpuint(cable.sent->len, ==, 3);
    g_assert_cmpuint(mmio32(TDH), ==, 0);
    GByteArray *bytes = device_saved(&e1000_class, nic);
    nic_free(&e1000_class);
    nic_new(&e1000_class);
    nic_map(0, 1);
    device_load_checked(&e1000_class, nic, bytes);
    cable.room = 100;
    run_now();
    g_assert_cmpuint(cable.sent->len, ==, 8);
    for (unsigned n = 0; n < 8; n++) {
        size_t piece = segment_expected(guest_mem.ram + TX_DATA, len, 54, 1400, n, expected);
        assert_sent(n, expected, piece);
    }
    g_assert_cmpuint(mmio32(TDH), ==, tail);
}

static void test_save_in_mid_packet_and_with_delays(void)
{
    setup();
    tail = 0;
    ram_fill(TX_DATA, 4, 300);
    tx_legacy(TX_DATA, 100, 0);
    tx_go();
    mmio32_set(IMS, ICR_RXT0);
    mmio32_set(RDTR, 100);
    g_assert_true(comes(own, 100));
    GByteArray *bytes = device_saved(&e1000_class, nic);
    nic_free(&e1000_class);
    nic_new(&e1000_class);
    nic_map(0, 1);
    device_load_checked(&e1000_class, nic, bytes);
    g_assert_false(nic_pci->intx);
    tx_legacy(TX_DATA + 100, 200, TX_EOP);
    tx_go();
    assert_sent(0, guest_mem.ram + TX_DATA, 300);
    vclock_fake_advance(110 * US);
    g_assert_true(nic_pci->intx);
}

static void test_vlan_tag_is_inserted(void)
{
    uint8_t expected[2000];
    setup();
    tail = 0;
    mmio32_set(CTRL, mmio32(CTRL) | CTRL_VME);
    ram_fill(TX_DATA, 5, 100);
    memcpy(expected, guest_mem.ram + TX_DATA, 12);
    memcpy(expected + 12, "\x81\x00\x20\x07", 4);
    memcpy(expected + 16, guest_mem.ram + TX_DATA + 12, 88);
    tx(TX_DATA, 100 | (TX_EOP | TX_VLE) << 24, 0x2007u << 16);
    tx_go();
    assert_sent(0, expected, 104);
    tx_legacy(TX_DATA, 100, TX_EOP);
    tx_go();
    assert_sent(1, guest_mem.ram + TX_DATA, 100);
    size_t len = tso_packet(4, 2000); /* each segment has one */
    tso_send(4, len, 1400, TX_VLE);
    g_assert_cmpuint(sent(2)->len, ==, 1458);
    g_assert_cmpuint(sent(3)->len, ==, 658);
    size_t piece = segment_expected(guest_mem.ram + TX_DATA, len, 54, 1400, 1, expected);
    g_assert_cmpmem(sent(3)->data + 12, 4, "\x81\x00\x00\x00", 4);
    g_assert_cmpmem(sent(3)->data + 16, 642, expected + 12, piece - 12);
}

static void test_transmit_delays(void)
{
    setup();
    tail = 0;
    mmio32_set(IMS, ICR_TXDW);
    mmio32_set(TIDV, 100);
    mmio32_set(TADV, 150);
    tx_legacy(TX_DATA, 60, TX_EOP | TX_RS | TX_IDE);
    tx_go();
    vclock_fake_advance(80 * US);
    g_assert_false(nic_pci->intx);
    tx_legacy(TX_DATA, 60, TX_EOP | TX_RS | TX_IDE); /* TIDV begins anew, TADV does not */
    tx_go();
    vclock_fake_advance(40 * US);
    g_assert_false(nic_pci->intx);
    vclock_fake_advance(40 * US);
    g_assert_true(nic_pci->intx);
    (void)mmio32(ICR);
    tx_legacy(TX_DATA, 60, TX_EOP | TX_RS);
    tx_go();
    g_assert_true(nic_pci->intx);
    (void)mmio32(ICR);
    tx_legacy(TX_DATA, 60, TX_EOP | TX_RS | TX_IDE);
    tx_go();
    mmio32_set(TIDV, DELAY_FPD | 100);
    g_assert_true(nic_pci->intx);
    (void)mmio32(ICR);
    mmio32_set(TIDV, 8); /* no longer than the frame would have taken */
    tx_legacy(TX_DATA, 60, TX_EOP | TX_RS | TX_IDE);
    tx_go();
    g_assert_true(nic_pci->intx);
}

static void test_transmit_ring_is_low(void)
{
    setup();
    tail = 0;
    mmio32_set(TDLEN, 32 * 16);
    mmio32_set(TXDCTL, 1u << 25); /* fewer than eight */
    cable.room = 2;
    for (unsigned i = 0; i < 10; i++)
        tx_legacy(TX_DATA, 60, TX_EOP);
    tx_go();
    g_assert_false(mmio32(ICR) & ICR_TXD_LOW);
    cable.room = 3;
    cable.netdev.front->sendable(cable.netdev.front_opaque);
    run_now();
    g_assert_true(mmio32(ICR) & ICR_TXD_LOW);
}

/* --- Receive --- */

static void test_receive_fills_the_ring(void)
{
    uint8_t frame[1514];
    setup();
    mmio32_set(IMS, ICR_RXT0);
    frame_plain(frame, own, sizeof(frame));
    for (unsigned i = 0; i < 2 * RX_SIZE; i++) {
        g_assert_true(fake_netdev_deliver(&cable, frame, 1000 + i));
        g_assert_cmpmem(guest_mem.ram + rx(i % RX_SIZE)->buffer, 1000 + i, frame, 1000 + i);
        g_assert_cmpuint(rx(i % RX_SIZE)->len, ==, 1000 + i);
        g_assert_cmphex(rx(i % RX_SIZE)->status, ==, RX_DD | RX_EOP | RX_IXSM);
        g_assert_cmphex(rx(i % RX_SIZE)->errors, ==, 0);
        g_assert_cmpuint(mmio32(RDH), ==, (i + 1) % RX_SIZE);
        g_assert_true(nic_pci->intx);
        (void)mmio32(ICR);
        mmio32_set(RDT, i % RX_SIZE);
    }
}

static void test_receive_ring_full_and_going_on(void)
{
    setup();
    mmio32_set(IMS, ICR_RXO);
    for (unsigned i = 0; i < RX_SIZE - 1; i++)
        g_assert_true(comes(own, 100));
    g_assert_false(comes(own, 100));
    g_assert_false(comes(own, 100));
    g_assert_true(nic_pci->intx);
    g_assert_cmpuint(mmio32(RNBC), ==, 1);                 /* one frame, however often it was tried */
    g_assert_true(comes("\x02\x99\x99\x99\x99\x99", 100)); /* not for us: taken, and thrown away */
    unsigned ready = cable.ready;
    mmio32_set(RDT, 0);
    g_assert_cmpuint(cable.ready, ==, ready + 1);
    g_assert_true(comes(own, 101));
    g_assert_cmpuint(rx(7)->len, ==, 101);
    g_assert_false(comes(own, 100));
    ready = cable.ready;
    mmio32_set(RCTL, 0); /* off: nothing waits */
    g_assert_cmpuint(cable.ready, ==, ready + 1);
    g_assert_true(comes(own, 100));
}

static void test_receive_in_pieces_with_fcs(void)
{
    uint8_t frame[1514], got[2048];
    setup();
    mmio32_set(RCTL, RCTL_EN | 3u << RCTL_BSIZE); /* 256 bytes, and the frame check sequence */
    frame_plain(frame, own, sizeof(frame));
    g_assert_true(fake_netdev_deliver(&cable, frame, 1022)); /* its last two bytes are in a buffer of their own */
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmpuint(rx(i)->len, ==, i < 4 ? 256 : 2);
        g_assert_cmphex(rx(i)->status & 3, ==, i < 4 ? 1 : 3);
        memcpy(got + i * 256, guest_mem.ram + rx(i)->buffer, rx(i)->len);
    }
    uint32_t crc = ether_crc_le(frame, 1022);
    g_assert_cmpmem(got, 1022, frame, 1022);
    g_assert_cmpmem(got + 1022, 4, &crc, 4);
    mmio32_set(RCTL, RCTL_EN | RCTL_SECRC | RCTL_LPE | RCTL_BSEX | 1u << RCTL_BSIZE); /* 16 KiB */
    uint8_t *big = g_malloc(9000);
    frame_plain(big, own, 9000);
    mmio32_set(RDT, 4);
    g_assert_true(fake_netdev_deliver(&cable, big, 9000));
    g_assert_cmpuint(rx(5)->len, ==, 9000);
    g_assert_cmpmem(guest_mem.ram + rx(5)->buffer, 9000, big, 9000);
    mmio32_set(RCTL, RCTL_EN | RCTL_SECRC);
    g_assert_true(fake_netdev_deliver(&cable, big, 1519)); /* 1523 with the FCS */
    g_assert_cmpuint(mmio32(ROC), ==, 1);
    g_assert_cmpuint(mmio32(RDH), ==, 6);
    g_free(big);
}

static void test_receive_pads(void)
{
    uint8_t frame[60] = {0};
    setup();
    frame_plain(frame, own, 20);
    memset(guest_mem.ram + RX_DATA, 0xee, 64);
    g_assert_true(fake_netdev_deliver(&cable, frame, 20));
    g_assert_cmpuint(rx(0)->len, ==, 60);
    g_assert_cmpmem(guest_mem.ram + RX_DATA, 60, frame, 60);
    g_assert_true(comes(own, 13)); /* no frame */
    g_assert_cmpuint(mmio32(RDH), ==, 1);
}

static bool is_taken(const char *to)
{
    uint32_t head = mmio32(RDH);
    mmio32_set(RDT, (head + RX_SIZE - 1) % RX_SIZE);
    g_assert_true(comes(to, 64));
    return mmio32(RDH) != head;
}

static void test_receive_filters(void)
{
    static const char other[] = "\x02\x11\x22\x33\x44\x55", all[] = "\xff\xff\xff\xff\xff\xff",
                      group[] = "\x01\x00\x5e\x00\xab\xcd", *to[] = {own, other, all, group};
    static const struct {
        uint32_t rctl;
        bool taken[4];
    } rows[] = {{0, {1, 0, 0, 0}},
                {RCTL_BAM, {1, 0, 1, 0}},
                {RCTL_UPE, {1, 1, 0, 0}},
                {RCTL_MPE, {1, 0, 1, 1}},
                {RCTL_UPE | RCTL_MPE, {1, 1, 1, 1}}};
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        mmio32_set(RCTL, RCTL_EN | rows[i].rctl);
        for (unsigned n = 0; n < 4; n++)
            g_assert_cmpuint(is_taken(to[n]), ==, rows[i].taken[n]);
    }
    mmio32_set(RCTL, RCTL_EN);
    mmio32_set(RAL + 15 * 8, 0x33221102);
    mmio32_set(RAH + 15 * 8, 0x00005544);
    g_assert_false(is_taken(other));
    mmio32_set(RAH + 15 * 8, 0x80005544);
    g_assert_true(is_taken(other));
    mmio32_set(RAH + 15 * 8, 0x80015544); /* the source's */
    g_assert_false(is_taken(other));
    /* Address bits 47:36, 46:35, 45:34, 43:32 of CD AB: CDA, 9B5, 36A, DAB. */
    static const uint16_t hash[4] = {0xcda, 0x9b5, 0x36a, 0xdab};
    for (unsigned mo = 0; mo < 4; mo++) {
        mmio32_set(RCTL, RCTL_EN | mo << RCTL_MO);
        g_assert_false(is_taken(group));
        mmio32_set(MTA + (hash[mo] >> 5) * 4, 1u << (hash[mo] & 31));
        uint32_t head = mmio32(RDH);
        g_assert_true(is_taken(group));
        g_assert_true(rx(head)->status & RX_PIF);
        mmio32_set(MTA + (hash[mo] >> 5) * 4, 0);
    }
    mmio32_set(RCTL, 0);
    g_assert_false(is_taken(own));
}

static void vlan_frame(uint8_t *frame, uint16_t tci)
{
    frame_plain(frame, own, 100);
    memcpy(frame + 12, "\x81\x00", 2);
    be16_put(frame + 14, tci);
}

static void test_vlan_strip_and_filter(void)
{
    uint8_t frame[100];
    setup();
    vlan_frame(frame, 0x6123);
    g_assert_true(fake_netdev_deliver(&cable, frame, 100)); /* as it is */
    g_assert_cmpuint(rx(0)->len, ==, 100);
    g_assert_false(rx(0)->status & RX_VP);
    mmio32_set(CTRL, mmio32(CTRL) | CTRL_VME);
    g_assert_true(fake_netdev_deliver(&cable, frame, 100));
    g_assert_cmpuint(rx(1)->len, ==, 96);
    g_assert_true(rx(1)->status & RX_VP);
    g_assert_cmphex(rx(1)->special, ==, 0x6123);
    g_assert_cmpmem(guest_mem.ram + rx(1)->buffer, 12, frame, 12);
    g_assert_cmpmem(guest_mem.ram + rx(1)->buffer + 12, 84, frame + 16, 84);
    g_assert_true(fake_netdev_deliver(&cable, frame, 30)); /* padded, then stripped */
    g_assert_cmpuint(rx(2)->len, ==, 56);
    mmio32_set(RCTL, RCTL_EN | RCTL_SECRC | RCTL_VFE);
    g_assert_true(fake_netdev_deliver(&cable, frame, 100));
    g_assert_cmpuint(mmio32(RDH), ==, 3);
    mmio32_set(VFTA + (0x123 >> 5) * 4, 1u << (0x123 & 31));
    g_assert_true(fake_netdev_deliver(&cable, frame, 100));
    g_assert_cmpuint(mmio32(RDH), ==, 4);
    mmio32_set(RCTL, RCTL_EN | RCTL_SECRC | RCTL_VFE | RCTL_CFIEN | RCTL_CFI);
    g_assert_true(fake_netdev_deliver(&cable, frame, 100));
    g_assert_cmpuint(mmio32(RDH), ==, 4);
}

static void test_receive_checksum_status(void)
{
    uint8_t frame[1514];
    size_t len = frame_ip(frame, 4, IP_TCP, 500);
    memcpy(frame, own, 6);
    frame_put_csums(frame, len);
    setup();
    mmio32_set(RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL | 14);
    g_assert_cmphex(cable.netdev.front_takes, ==, NETDEV_TAKES_CSUM);
    g_assert_true(fake_netdev_deliver(&cable, frame, len));
    g_assert_cmphex(rx(0)->status, ==, RX_DD | RX_EOP | RX_TCPCS | RX_IPCS);
    g_assert_cmphex(rx(0)->errors, ==, 0);
    g_assert_cmphex(rx(0)->checksum, ==, slow_sum(0, frame + 14, len - 14));
    frame[len - 1] ^= 1;
    g_assert_true(fake_netdev_deliver(&cable, frame, len));
    g_assert_cmphex(rx(1)->errors, ==, RX_TCPE);
    frame[len - 1] ^= 1;
    frame[22] ^= 1; /* TTL */
    g_assert_true(fake_netdev_deliver(&cable, frame, len));
    g_assert_cmphex(rx(2)->errors, ==, RX_IPE);
    g_assert_true(comes(own, 100)); /* no IP */
    g_assert_true(rx(3)->status & RX_IXSM);
    len = frame_ip(frame, 6, IP_UDP, 501);
    memcpy(frame, own, 6);
    frame_put_csums(frame, len);
    g_assert_true(fake_netdev_deliver(&cable, frame, len));
    g_assert_cmphex(rx(4)->status, ==, RX_DD | RX_EOP | RX_TCPCS);
    g_assert_cmphex(rx(4)->errors, ==, 0);
    /* Left undone by the sender: the guest gets it done. */
    struct frame_parts parts;
    uint8_t done[1514];
    memcpy(done, frame, len);
    frame_parse(frame, len, &parts);
    be16_put(frame + 60, inet_add(frame_pseudo(frame, &parts), (uint32_t)len - 54));
    const struct netdev_offload undone = {.flags = NETDEV_NEEDS_CSUM, .csum_start = 54, .csum_offset = 6};
    g_assert_true(e1000_receive(nic, frame, len, &undone));
    g_assert_cmpmem(guest_mem.ram + rx(5)->buffer, len, done, len);
}

static void test_receive_interrupts(void)
{
    setup();
    mmio32_set(IMS, ICR_RXT0 | ICR_RXDMT0);
    mmio32_set(RDTR, 10);
    mmio32_set(RADV, 15);
    mmio32_set(RCTL, mmio32(RCTL) | 1u << RCTL_RDMTS); /* a quarter: two are left */
    g_assert_true(comes(own, 60));
    vclock_fake_advance(8 * US);
    g_assert_true(comes(own, 60)); /* RDTR begins anew */
    vclock_fake_advance(4 * US);
    g_assert_false(nic_pci->intx);
    vclock_fake_advance(4 * US); /* RADV */
    g_assert_true(nic_pci->intx);
    g_assert_cmphex(mmio32(ICR) & ICR_RXT0, ==, ICR_RXT0);
    for (unsigned i = 0; i < 2; i++)
        g_assert_true(comes(own, 60));
    g_assert_cmphex(mmio32(ICR), ==, 0);
    g_assert_true(comes(own, 60));
    g_assert_cmphex(mmio32(ICR), ==, ICR_RXDMT0);
    mmio32_set(RDTR, DELAY_FPD | 10);
    g_assert_cmphex(mmio32(ICR), ==, ICR_RXT0);
    mmio32_set(RSRPD, 100);
    g_assert_true(comes(own, 101));
    g_assert_cmphex(mmio32(ICR), ==, 0);
    mmio32_set(RDT, 4);
    g_assert_true(comes(own, 100));
    g_assert_cmphex(mmio32(ICR), ==, ICR_SRPD);
}

static void test_interrupt_cause_and_mask(void)
{
    setup();
    mmio32_set(ICS, ICR_TXDW | ICR_RXO);
    g_assert_false(nic_pci->intx);
    mmio32_set(IMS, ICR_RXO);
    g_assert_true(nic_pci->intx);
    mmio32_set(IMS, ICR_LSC); /* adds */
    g_assert_cmphex(mmio32(IMS), ==, ICR_RXO | ICR_LSC);
    mmio32_set(ICR, ICR_RXO);
    g_assert_false(nic_pci->intx);
    g_assert_cmphex(mmio32(ICR), ==, ICR_TXDW);
    g_assert_cmphex(mmio32(ICR), ==, 0);
    mmio32_set(ICS, ICR_RXO);
    mmio32_set(IMC, ICR_RXO);
    g_assert_false(nic_pci->intx);
    g_assert_cmphex(mmio32(IMS), ==, ICR_LSC);
}

static void test_interrupts_are_throttled(void)
{
    setup();
    mmio32_set(ITR, 4000); /* 1.024 ms */
    mmio32_set(IMS, ICR_RXT0);
    g_assert_true(comes(own, 60));
    g_assert_true(nic_pci->intx); /* the first one at once */
    (void)mmio32(ICR);
    g_assert_true(comes(own, 60));
    vclock_fake_advance(900 * US);
    g_assert_false(nic_pci->intx);
    g_assert_true(comes(own, 60));
    vclock_fake_advance(100 * US);
    g_assert_false(nic_pci->intx);
    vclock_fake_advance(50 * US);
    g_assert_true(nic_pci->intx);
    (void)mmio32(ICR);
    g_assert_true(comes(own, 60));
    (void)mmio32(ICR); /* gone before its time */
    vclock_fake_advance(2 * MS);
    g_assert_false(nic_pci->intx);
}

static void test_statistics_are_cleared_by_reading(void)
{
    setup();
    tail = 0;
    g_assert_true(comes(own, 60));
    g_assert_true(comes("\xff\xff\xff\xff\xff\xff", 200));
    mmio32_set(RCTL, mmio32(RCTL) | RCTL_MPE);
    g_assert_true(comes("\x01\x00\x5e\x00\x00\x01", 1514));
    frame_plain(guest_mem.ram + TX_DATA, "\xff\xff\xff\xff\xff\xff", 300);
    tx_legacy(TX_DATA, 300, TX_EOP);
    tx_go();
    g_assert_cmpuint(mmio32(GPRC), ==, 3);
    g_assert_cmpuint(mmio32(GPRC), ==, 0);
    g_assert_cmpuint(mmio32(TPR), ==, 3);
    g_assert_cmpuint(mmio32(BPRC), ==, 1);
    g_assert_cmpuint(mmio32(MPRC), ==, 1);
    g_assert_cmpuint(mmio32(PRC64), ==, 1);
    g_assert_cmpuint(mmio32(PRC64 + 8), ==, 1);
    g_assert_cmpuint(mmio32(PRC64 + 20), ==, 1);
    g_assert_cmpuint(mmio32(GORCL), ==, 60 + 200 + 1514 + 12);
    g_assert_cmpuint(mmio32(GORCL), ==, 60 + 200 + 1514 + 12); /* until the upper half is read */
    g_assert_cmpuint(mmio32(GORCL + 4), ==, 0);
    g_assert_cmpuint(mmio32(GORCL), ==, 0);
    g_assert_cmpuint(mmio32(GPTC), ==, 1);
    g_assert_cmpuint(mmio32(TPT), ==, 1);
    g_assert_cmpuint(mmio32(BPTC), ==, 1);
    g_assert_cmpuint(mmio32(PTC64 + 12), ==, 1);
    g_assert_cmpuint(mmio32(TOTL), ==, 304);
    *e1000_reg(card(), GPRC) = UINT32_MAX;
    g_assert_true(comes(own, 60));
    g_assert_cmphex(mmio32(GPRC), ==, UINT32_MAX);
}

static void test_loopback(void)
{
    uint8_t *frame = guest_mem.ram + TX_DATA;
    setup();
    tail = 0;
    mmio32_set(RCTL, RCTL_EN | RCTL_SECRC | 3u << 6);
    frame_plain(frame, own, 100);
    for (unsigned i = 0; i < RX_SIZE + 2; i++) { /* more than it has room for */
        tx_legacy(TX_DATA, 40, 0);
        tx_legacy(TX_DATA + 40, 60, TX_EOP);
        tx_go();
    }
    g_assert_cmpuint(cable.sent->len, ==, 0);
    g_assert_cmpuint(mmio32(RDH), ==, RX_SIZE - 1);
    g_assert_cmpuint(mmio32(MPC), ==, 3);
    for (unsigned i = 0; i < RX_SIZE - 1; i++)
        g_assert_cmpmem(guest_mem.ram + rx(i)->buffer, rx(i)->len, frame, 100);
    mmio32_set(RDT, 6);
    g_assert_true(comes(own, 60)); /* the cable is off */
    g_assert_cmpuint(mmio32(RDH), ==, RX_SIZE - 1);
    mmio32_set(RCTL, RCTL_EN | RCTL_SECRC);
    mdic(MDIC_OP_WRITE, 0, 0x4140); /* the PHY's own */
    g_assert_true(mmio32(STATUS) & STATUS_LU);
    tx_legacy(TX_DATA, 100, TX_EOP);
    tx_go();
    g_assert_cmpuint(mmio32(RDH), ==, 0);
    g_assert_cmpuint(cable.sent->len, ==, 0);
}

/* --- What no driver should do --- */

static void test_malformed_transmit_rings(void)
{
    setup();
    tail = 0;
    mmio32_set(TDT, 1000); /* behind the ring's end */
    run_now();
    g_assert_cmpuint(mmio32(TDH), ==, 0);
    mmio32_set(TDLEN, 0);
    mmio32_set(TDT, 1);
    run_now();
    mmio32_set(TDLEN, 0xfff80); /* 65528 descriptors without an end */
    memset(guest_mem.ram + TX_RING, 0, 16);
    mmio32_set(TDT, 65527);
    for (unsigned i = 0; i < 300; i++)
        run_now();
    g_assert_cmpuint(cable.sent->len, ==, 0);
    setup();
    tail = 0;
    for (unsigned i = 0; i < 5; i++) /* more than a packet can have */
        tx_data(TX_DATA, 0xfffff, i < 4 ? 0 : TX_EOP | TX_RS, 0);
    tx_go();
    g_assert_cmpuint(cable.sent->len, ==, 0);
    g_assert_cmphex(tx_status(4), ==, 1);
    tx_legacy(TX_DATA, 0, TX_EOP | TX_RS); /* nothing at all */
    tx_go();
    g_assert_cmpuint(mmio32(TDH), ==, 6);
    g_assert_cmpuint(cable.sent->len, ==, 0);
    mmio32_set(TDBAH, 0xffffffff); /* descriptors of all ones */
    tx_legacy(TX_DATA, 60, TX_EOP | TX_RS);
    tx_go();
    g_assert_cmpuint(cable.sent->len, ==, 0);
}

static void test_data_where_no_memory_is(void)
{
    uint8_t ones[100];
    memset(ones, 0xff, sizeof(ones));
    setup();
    tail = 0;
    tx_legacy(NIC_MMIO + ICR, 100, TX_EOP); /* in its own registers */
    tx_legacy(NIC_RAM, 100, TX_EOP);
    tx_legacy(~0ull - 500, 100, TX_EOP);
    ram_fill(NIC_RAM - 50, 3, 50);
    tx_legacy(NIC_RAM - 50, 100, TX_EOP);
    mmio32_set(ICS, ICR_RXO);
    tx_go();
    for (unsigned i = 0; i < 3; i++)
        assert_sent(i, ones, 100);
    g_assert_cmpmem(sent(3)->data, 50, guest_mem.ram + NIC_RAM - 50, 50);
    g_assert_cmpmem(sent(3)->data + 50, 50, ones, 50);
    g_assert_true(mmio32(ICR) & ICR_RXO); /* it has not been read */
    rx(0)->buffer = NIC_MMIO + RCTL;
    rx(1)->buffer = 0xffffffffffffffffull;
    for (unsigned i = 0; i < 3; i++)
        g_assert_true(comes(own, 1000));
    g_assert_cmphex(mmio32(RCTL), ==, RCTL_EN | RCTL_BAM | RCTL_SECRC);
    g_assert_cmpuint(rx(2)->len, ==, 1000);
    pci_config_write(nic_bus, PCI_DEVFN(3, 0), PCI_COMMAND, 2, 3); /* no master */
    tx_legacy(TX_DATA, 60, TX_EOP);
    tx_go();
    g_assert_cmpuint(cable.sent->len, ==, 4);
    g_assert_true(comes(own, 60));
}

static void test_malformed_receive_rings(void)
{
    setup();
    mmio32_set(RDT, 5000);
    g_assert_false(comes(own, 60));
    mmio32_set(RDLEN, 0);
    g_assert_true(comes(own, 60));
    g_assert_cmpuint(mmio32(MPC), ==, 1);
    mmio32_set(RDLEN, 128);
    mmio32_set(RDH, 0);
    mmio32_set(RDT, 7);
    mmio32_set(RCTL, RCTL_EN | RCTL_LPE | 3u << RCTL_BSIZE);
    g_assert_true(comes(own, 9000)); /* longer than all of it */
    g_assert_cmpuint(mmio32(MPC), ==, 1);
    g_assert_cmpuint(mmio32(RDH), ==, 0);
}

static void test_segmentation_that_cannot_be(void)
{
    setup();
    tail = 0;
    size_t len = tso_packet(4, 3000);
    tso_send(4, len, 0, 0); /* into nothing */
    g_assert_cmpuint(cable.sent->len, ==, 0);
    g_assert_cmpuint(mmio32(TSCTFC), ==, 1);
    uint32_t context[4] = {0xffffffffu, 0xffffffffu, (TX_DEXT | TX_TSE) << 24, 0x05b4ff00};
    memcpy(guest_mem.ram + TX_RING + tail * 16, context, 16);
    tail = (tail + 1) % TX_SIZE;
    tx_data(TX_DATA, 3000, TX_TSE | TX_EOP, 3);
    tx_go();
    g_assert_cmpuint(cable.sent->len, ==, 0);
    tx_context(true, true, TX_TSE, 1, 3000); /* a byte each: 3000 frames, 64 a run */
    tx_data(TX_DATA, (uint32_t)len, TX_TSE | TX_EOP, POPTS_IXSM | POPTS_TXSM);
    mmio32_set(TDT, tail);
    e1000_tx_work(nic);
    g_assert_cmpuint(cable.sent->len, ==, 64);
    run_now(); /* all the other runs, as time stands still in them */
    g_assert_cmpuint(mmio32(TDH), ==, tail);
    g_assert_cmpuint(cable.sent->len, ==, 3000);
}

static void test_damaged_state_is_refused(void)
{
    setup();
    card()->regs.packet.len = NETDEV_FRAME_MAX + 1;
    g_assert_false(e1000_class.after_load(nic));
    setup();
    card()->regs.eeprom.left = 200;
    g_assert_false(e1000_class.after_load(nic));
    setup();
    GString *text = g_string_new(NULL);
    e1000_class.dump(nic, text);
    g_assert_nonnull(strstr(text->str, "52:54:00:12:34:56, link up"));
    g_string_free(text, TRUE);
}

#define TEST(name) g_test_add_func("/e1000/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(eerd_reads_the_eeprom);
    TEST(eecd_reads_and_writes_the_eeprom);
    TEST(mdic_reaches_the_phy);
    TEST(link_comes_up_after_negotiation);
    TEST(cable_pulled_and_plugged);
    TEST(without_a_cable);
    TEST(registers_keep_what_is_written);
    TEST(reset);
    TEST(transmit_wraps_and_gives_back);
    TEST(transmit_frame_in_pieces);
    TEST(transmit_pads_short_frames);
    TEST(transmit_waits_for_the_cable);
    TEST(transmit_checksums);
    TEST(segmentation_in_software);
    TEST(segmentation_left_to_the_cable);
    TEST(segmentation_blocked_saved_and_gone_on_with);
    TEST(save_in_mid_packet_and_with_delays);
    TEST(vlan_tag_is_inserted);
    TEST(transmit_delays);
    TEST(transmit_ring_is_low);
    TEST(receive_fills_the_ring);
    TEST(receive_ring_full_and_going_on);
    TEST(receive_in_pieces_with_fcs);
    TEST(receive_pads);
    TEST(receive_filters);
    TEST(vlan_strip_and_filter);
    TEST(receive_checksum_status);
    TEST(receive_interrupts);
    TEST(interrupt_cause_and_mask);
    TEST(interrupts_are_throttled);
    TEST(statistics_are_cleared_by_reading);
    TEST(loopback);
    TEST(malformed_transmit_rings);
    TEST(data_where_no_memory_is);
    TEST(malformed_receive_rings);
    TEST(segmentation_that_cannot_be);
    TEST(damaged_state_is_refused);
    return g_test_run();
}
