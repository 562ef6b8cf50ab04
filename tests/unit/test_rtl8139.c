/* Realtek RTL8139C+, by its data sheets: registers, EEPROM, timer, the classic mode, descriptor rings, offloads. */
#include "nic_bench.h"

#include "devices/net/rtl8139.h"

#define TX_DATA 0x100000u
#define RX_RING 0x200000u /* bytes */
#define CP_TX   0x10000u  /* normal priority */
#define CP_TX_H 0x11000u
#define CP_RX   0x12000u
#define CP_DATA 0x300000u
#define CP_SIZE 4u /* receive descriptors */

static const char own[] = "\x52\x54\x00\x12\x34\x56";

static uint8_t in8(unsigned offset)
{
    return (uint8_t)ioport_read((uint16_t)(NIC_IO + offset), 1);
}

static uint16_t in16(unsigned offset)
{
    return (uint16_t)ioport_read((uint16_t)(NIC_IO + offset), 2);
}

static uint32_t in32(unsigned offset)
{
    return ioport_read((uint16_t)(NIC_IO + offset), 4);
}

static void out8(unsigned offset, uint8_t value)
{
    ioport_write((uint16_t)(NIC_IO + offset), 1, value);
}

static void out16(unsigned offset, uint16_t value)
{
    ioport_write((uint16_t)(NIC_IO + offset), 2, value);
}

static void out32(unsigned offset, uint32_t value)
{
    ioport_write((uint16_t)(NIC_IO + offset), 4, value);
}

static void run_now(void)
{
    vclock_fake_advance(1000);
}

static void setup_takes(uint8_t takes)
{
    nic_setup(&rtl8139_class, takes);
    nic_map(1, 0);
    vclock_fake_advance(200 * MS);
    out8(CR, CR_RST);
    out32(RBSTART, RX_RING);
    out8(CR, CR_TE | CR_RE);
    out32(RCR, RCR_APM | RCR_AB); /* 8 KiB and 16 bytes */
    g_assert_cmphex(in16(ISR), ==, 0);
}

static void setup(void)
{
    setup_takes(0);
}

static bool comes(const char *to, size_t len)
{
    uint8_t frame[2000];
    return fake_netdev_deliver(&cable, frame, frame_plain(frame, to, len));
}

static void reload(void)
{
    GByteArray *bytes = device_saved(&rtl8139_class, nic);
    nic_free(&rtl8139_class);
    nic_new(&rtl8139_class);
    nic_map(1, 0);
    device_load_checked(&rtl8139_class, nic, bytes);
}

/* --- Registers --- */

static void test_identity_and_reset_values(void)
{
    setup();
    g_assert_cmphex(in32(IDR), ==, 0x12005452);
    g_assert_cmphex(in16(IDR + 4), ==, 0x5634);
    g_assert_cmphex(in32(TCR) & 0x7cc00000, ==, 0x74800000);
    g_assert_cmphex(nic_pci->config[PCI_REVISION], ==, 0x20);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmphex(in32(TSD + 4 * i), ==, TSD_OWN);
    g_assert_cmphex(in16(CAPR), ==, 0xfff0);
    g_assert_cmphex(in16(CBR), ==, 0);
    g_assert_cmphex(in8(CR), ==, CR_TE | CR_RE | CR_BUFE);
    g_assert_cmphex(mmio32(IDR), ==, 0x12005452);
    g_assert_cmphex(mmio32(0x400), ==, 0xffffffffu);
}

static void test_accesses_of_any_size(void)
{
    setup();
    out8(RBSTART + 1, 0x77);
    g_assert_cmphex(in32(RBSTART), ==, (RX_RING & 0xffff00ff) | 0x7700);
    out32(IMR, 0xffff0005); /* IMR, and all of ISR */
    g_assert_cmphex(in16(IMR), ==, 5);
    g_assert_cmphex(in32(CAPR - 1) & 0xffffff, ==, 0xfff000 | in8(CR));
    out16(MAR + 3, 0x1234); /* not aligned */
    g_assert_cmphex(in8(MAR + 3), ==, 0x34);
    g_assert_cmphex(in8(MAR + 4), ==, 0x12);
    out32(TCR, 0xffffffff);
    g_assert_cmphex(in32(TCR) & 0x7cc00000, ==, 0x74800000);
    out32(MPC, 1);
    g_assert_cmphex(in32(MPC), ==, 0);
    g_assert_cmphex(in32(0xfe) & 0xffff, ==, 0); /* to the end, not beyond */
    out32(0xfe, ~0u);
}

static void test_soft_reset_keeps_addresses(void)
{
    setup();
    out32(IDR, 0x11223344);
    out32(MAR, 0x55667788);
    out16(IMR, INT_SW);
    out8(TPPOLL, TPPOLL_SW);
    g_assert_true(nic_pci->intx);
    uint16_t bmsr = in16(BMSR);
    out8(CR, CR_RST);
    g_assert_cmphex(in8(CR), ==, CR_BUFE); /* at once */
    g_assert_false(nic_pci->intx);
    g_assert_cmphex(in32(IDR), ==, 0x11223344);
    g_assert_cmphex(in32(MAR), ==, 0x55667788);
    g_assert_cmphex(in16(IMR) | in16(ISR) | in32(RCR) | in16(CPCR), ==, 0);
    g_assert_cmphex(in16(BMSR), ==, bmsr);
    rtl8139_class.reset(nic);
    g_assert_cmphex(in32(IDR), ==, 0x12005452);
}

static void test_config_is_locked(void)
{
    setup();
    uint8_t config1 = in8(CONFIG1);
    out8(CONFIG1, config1 ^ 0xc0);
    g_assert_cmphex(in8(CONFIG1), ==, config1);
    out8(CR9346, CR9346_UNLOCKED);
    out8(CONFIG1, config1 ^ 0xc0);
    g_assert_cmphex(in8(CONFIG1), ==, config1 ^ 0xc0);
    out8(CONFIG0, 0xff); /* read only */
    g_assert_cmphex(in8(CONFIG0), ==, 0);
    out8(CR9346, 0);
    out8(CONFIG1, config1);
    g_assert_cmphex(in8(CONFIG1), ==, config1 ^ 0xc0);
    out8(CR9346, CR9346_AUTOLOAD);
    g_assert_cmphex(in8(CONFIG1), ==, config1);
    g_assert_cmphex(in8(CR9346), ==, 0);
}

static void eeprom_bits(uint32_t bits, unsigned count)
{
    while (count--) {
        uint8_t lines = CR9346_PROGRAM | CR9346_EECS | (bits >> count & 1 ? CR9346_EEDI : 0);
        out8(CR9346, lines);
        out8(CR9346, lines | CR9346_EESK);
    }
    out8(CR9346, CR9346_PROGRAM | CR9346_EECS);
}

static uint16_t eeprom_word(unsigned address)
{
    uint16_t word = 0;
    out8(CR9346, CR9346_PROGRAM);
    out8(CR9346, CR9346_PROGRAM | CR9346_EECS);
    eeprom_bits(6 << 6 | address, 10); /* a zero before the start bit */
    for (unsigned i = 0; i < 16; i++) {
        out8(CR9346, CR9346_PROGRAM | CR9346_EECS | CR9346_EESK);
        word = (uint16_t)(word << 1 | (in8(CR9346) & CR9346_EEDO));
        out8(CR9346, CR9346_PROGRAM | CR9346_EECS);
    }
    out8(CR9346, 0);
    return word;
}

static void test_eeprom(void)
{
    setup();
    g_assert_cmphex(eeprom_word(0), ==, 0x8129);
    g_assert_cmphex(eeprom_word(1), ==, 0x10ec);
    g_assert_cmphex(eeprom_word(2), ==, 0x8139);
    g_assert_cmphex(eeprom_word(7), ==, 0x5452);
    g_assert_cmphex(eeprom_word(8), ==, 0x1200);
    g_assert_cmphex(eeprom_word(9), ==, 0x5634);
    for (unsigned i = 0; i < 2; i++) { /* EWEN, WRITE */
        out8(CR9346, CR9346_PROGRAM);
        out8(CR9346, CR9346_PROGRAM | CR9346_EECS);
        eeprom_bits(i ? 5 << 6 | 7 : 0x130, 9);
        if (i)
            eeprom_bits(0xbeef, 16);
    }
    g_assert_cmphex(eeprom_word(7), ==, 0xbeef);
    out8(CR9346, CR9346_AUTOLOAD);
    g_assert_cmphex(in16(IDR), ==, 0xbeef);
    struct rtl8139 *card = nic;
    card->regs.eeprom.word[7] = 0x5452;
}

static void test_link(void)
{
    nic_setup(&rtl8139_class, 0);
    nic_map(1, 0);
    g_assert_true(in8(MSR) & MSR_LINKB);
    vclock_fake_advance(200 * MS);
    g_assert_false(in8(MSR) & MSR_LINKB);
    g_assert_cmphex(in16(BMSR) & 0x24, ==, 0x24);
    g_assert_cmphex(in16(ANLPAR) & 0x01e0, ==, 0x01e0);
    out16(ISR, 0xffff);
    out16(IMR, INT_LINKCHG);
    fake_netdev_set_link(&cable, false);
    g_assert_true(nic_pci->intx);
    g_assert_true(in8(MSR) & MSR_LINKB);
    out16(ISR, INT_LINKCHG);
    g_assert_false(nic_pci->intx);
    fake_netdev_set_link(&cable, true);
    vclock_fake_advance(200 * MS);
    g_assert_true(nic_pci->intx);
    out16(BMCR, BMCR_ANE | BMCR_RESTART);
    g_assert_cmphex(in16(BMSR) & 0x24, ==, 0);
    vclock_fake_advance(200 * MS);
    g_assert_cmphex(in16(BMSR) & 0x24, ==, 0x24);
    out16(BMCR, 0); /* 10 Mb/s, forced */
    g_assert_cmphex(in16(BMSR) & 0x24, ==, 4);
    g_assert_true(in8(MSR) & MSR_SPEED);
    out16(BMCR, BMCR_RESET);
    g_assert_cmphex(in16(BMCR), ==, 0x3100);
}

static void test_timer(void)
{
    setup();
    out16(IMR, INT_TIMEOUT);
    out32(TCTR, 0);
    vclock_fake_advance(1 * MS);
    g_assert_cmpuint(in32(TCTR), ==, 33000);
    out32(TIMERINT, 66000);
    vclock_fake_advance(990 * US);
    g_assert_false(nic_pci->intx);
    vclock_fake_advance(11 * US);
    g_assert_true(nic_pci->intx);
    out16(ISR, INT_TIMEOUT);
    out32(TCTR, 0);
    vclock_fake_advance(1 * MS);
    reload();
    g_assert_false(nic_pci->intx);
    vclock_fake_advance(1001 * US);
    g_assert_true(nic_pci->intx);
    out16(ISR, INT_TIMEOUT);
    vclock_fake_advance(NS_PER_SECOND * 131); /* once round */
    g_assert_true(nic_pci->intx);
    out32(TIMERINT, 0);
    out16(ISR, INT_TIMEOUT);
    vclock_fake_advance(NS_PER_SECOND * 300);
    g_assert_false(nic_pci->intx);
}

/* --- Classic transmit --- */

static void test_transmit_four_descriptors_in_turn(void)
{
    setup();
    out16(IMR, INT_TOK);
    for (unsigned i = 0; i < 10; i++) {
        ram_fill(TX_DATA + i * 2048, i, 100 + i);
        out32(TSAD + 4 * (i % 4), TX_DATA + i * 2048);
        out32(TSD + 4 * (i % 4), (100 + i) | 3u << 16);
        g_assert_cmpuint(cable.sent->len, ==, i); /* not in the access itself */
        g_assert_cmphex(in16(TSADS) >> (i % 4) & 0x1001, ==, 0);
        run_now();
        assert_sent(i, guest_mem.ram + TX_DATA + i * 2048, 100 + i);
        g_assert_cmphex(in32(TSD + 4 * (i % 4)), ==, TSD_OWN | TSD_TOK | 3u << 16 | (100 + i));
        g_assert_cmphex(in16(TSADS) >> (i % 4) & 0x1001, ==, 0x1001);
        g_assert_true(nic_pci->intx);
        out16(ISR, INT_TOK);
        g_assert_false(nic_pci->intx);
    }
    out32(TSD + 4 * 3, 60); /* out of turn: waits for its own */
    run_now();
    g_assert_cmpuint(cable.sent->len, ==, 10);
    out32(TSD + 4 * 2, 60);
    run_now();
    g_assert_cmpuint(cable.sent->len, ==, 12);
}

static void test_transmit_waits_for_the_cable(void)
{
    setup();
    cable.room = 1;
    ram_fill(TX_DATA, 5, 100);
    for (unsigned i = 0; i < 3; i++) {
        out32(TSAD + 4 * i, TX_DATA);
        out32(TSD + 4 * i, 100 + i);
    }
    run_now();
    g_assert_cmpuint(cable.sent->len, ==, 1);
    g_assert_cmphex(in32(TSD + 4), ==, 101);
    reload();
    cable.room = 100;
    run_now(); /* the new one tries by itself */
    g_assert_cmpuint(cable.sent->len, ==, 3);
    cable.room = 3;
    out32(TSD + 12, 100);
    run_now();
    cable.room = 4;
    cable.netdev.front->sendable(cable.netdev.front_opaque);
    run_now();
    g_assert_cmpuint(cable.sent->len, ==, 4);
}

/* --- Classic receive --- */

static unsigned ring_at; /* as the driver counts */

static void ring_begin(void)
{
    ring_at = 0;
}

/* Takes the next frame out of the ring as drivers do, across its end. */
static void ring_take(const uint8_t *expected, size_t len, uint16_t status)
{
    const uint8_t *ring = guest_mem.ram + RX_RING;
    uint8_t got[2000];
    uint32_t size = 8192, crc = ether_crc_le(expected, len);
    g_assert_false(in8(CR) & CR_BUFE);
    g_assert_cmphex(ring[ring_at] | ring[ring_at + 1] << 8, ==, status);
    g_assert_cmpuint(ring[ring_at + 2] | ring[ring_at + 3] << 8, ==, len + 4);
    for (size_t i = 0; i < len + 4; i++) {
        bool wraps = !(in32(RCR) & RCR_WRAP);
        got[i] = ring[wraps ? (ring_at + 4 + i) % size : ring_at + 4 + i];
    }
    g_assert_cmpmem(got, len, expected, len);
    g_assert_cmpmem(got + len, 4, &crc, 4);
    ring_at = (ring_at + 4 + (uint32_t)len + 4 + 3) & ~3u & 0x1fff;
    ring_at %= size;
    out16(CAPR, (uint16_t)(ring_at - 16));
}

static void receive_round(uint32_t rcr)
{
    uint8_t frame[1514];
    setup();
    ring_begin();
    out32(RCR, RCR_APM | rcr);
    memset(guest_mem.ram + RX_RING + 8192, 0xee, 2048);
    frame_plain(frame, own, sizeof(frame));
    for (unsigned i = 0; i < 200; i++) {
        size_t len = 60 + (i * 37) % 1455;
        g_assert_true(fake_netdev_deliver(&cable, frame, len));
        g_assert_true(in16(ISR) & INT_ROK);
        ring_take(frame, len, RX_ROK | RX_PAM);
        g_assert_true(in8(CR) & CR_BUFE);
        g_assert_cmpuint(in16(CBR), ==, ring_at);
    }
    if (!(rcr & RCR_WRAP))
        g_assert_cmphex(guest_mem.ram[RX_RING + 8192], ==, 0xee);
}

static void test_receive_ring_wraps(void)
{
    receive_round(0);
}

static void test_receive_ring_without_wrapping_a_frame(void)
{
    receive_round(RCR_WRAP);
}

static void test_receive_ring_full_and_going_on(void)
{
    uint8_t frame[1514];
    unsigned count = 0;
    setup();
    ring_begin();
    frame_plain(frame, own, sizeof(frame));
    out16(IMR, INT_RXOVW);
    while (fake_netdev_deliver(&cable, frame, 1000))
        count++;
    g_assert_cmpuint(count, ==, 8); /* 8 * 1008 */
    g_assert_false(nic_pci->intx);  /* it waits, and is not lost */
    out16(IMR, 0);                  /* may mean that there is room; there is not */
    g_assert_false(fake_netdev_deliver(&cable, frame, 1000));
    g_assert_true(comes("\x02\x99\x99\x99\x99\x99", 100)); /* not for us: taken */
    unsigned ready = cable.ready;
    ring_take(frame, 1000, RX_ROK | RX_PAM);
    g_assert_cmpuint(cable.ready, ==, ready + 1);
    g_assert_true(fake_netdev_deliver(&cable, frame, 1000));
    reload();
    g_assert_false(fake_netdev_deliver(&cable, frame, 1000));
    for (unsigned i = 0; i < 8; i++)
        ring_take(frame, 1000, RX_ROK | RX_PAM);
    g_assert_true(in8(CR) & CR_BUFE);
    g_assert_true(fake_netdev_deliver(&cable, frame, 1000));
    out8(CR, CR_TE);
    out8(CR, CR_TE | CR_RE); /* begins anew */
    g_assert_cmphex(in16(CBR), ==, 0);
    g_assert_true(in8(CR) & CR_BUFE);
}

static void test_receive_pads(void)
{
    uint8_t frame[60] = {0};
    setup();
    ring_begin();
    frame_plain(frame, own, 20);
    g_assert_true(fake_netdev_deliver(&cable, frame, 20));
    ring_take(frame, 60, RX_ROK | RX_PAM);
}

static uint16_t taken_as(const char *to)
{
    uint16_t cbr = in16(CBR), status = 0;
    g_assert_true(comes(to, 64));
    if (in16(CBR) != cbr)
        memcpy(&status, guest_mem.ram + RX_RING + cbr, 2);
    out16(CAPR, (uint16_t)(in16(CBR) - 16));
    return status;
}

static void test_receive_filters(void)
{
    static const char other[] = "\x02\x11\x22\x33\x44\x55", all[] = "\xff\xff\xff\xff\xff\xff",
                      group[] = "\x01\x00\x5e\x00\x00\x01", *to[] = {own, other, all, group};
    static const struct {
        uint32_t rcr;
        uint16_t as[4];
    } rows[] = {{0, {0, 0, 0, 0}},
                {RCR_APM, {RX_ROK | RX_PAM, 0, 0, 0}},
                {RCR_AB, {0, 0, RX_ROK | RX_BAR, 0}},
                {RCR_AM, {0, 0, 0, 0}},
                {RCR_AAP, {RX_ROK | RX_PAM, RX_ROK, RX_ROK | RX_BAR, RX_ROK | RX_MAR}}};
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        out32(RCR, rows[i].rcr);
        for (unsigned n = 0; n < 4; n++)
            g_assert_cmphex(taken_as(to[n]), ==, rows[i].as[n]);
    }
    out32(RCR, RCR_AM);
    out8(MAR + 31 / 8, 1u << 31 % 8); /* the hash of 01:00:5e:00:00:01 is 31 */
    g_assert_cmphex(taken_as(group), ==, RX_ROK | RX_MAR);
    g_assert_cmphex(taken_as("\x01\x00\x5e\x00\x00\x02"), ==, 0);
    out8(CR, CR_TE);
    out32(RCR, RCR_AAP);
    g_assert_cmphex(taken_as(own), ==, 0);
}

static void test_loopback(void)
{
    uint8_t *frame = guest_mem.ram + TX_DATA;
    setup();
    ring_begin();
    out32(TCR, TCR_LBK);
    frame_plain(frame, own, 1000);
    for (unsigned i = 0; i < 10; i++) {
        out32(TSAD + 4 * (i % 4), TX_DATA);
        out32(TSD + 4 * (i % 4), 1000);
        run_now();
    }
    g_assert_cmpuint(cable.sent->len, ==, 0);
    for (unsigned i = 0; i < 8; i++)
        ring_take(frame, 1000, RX_ROK | RX_PAM);
    g_assert_true(in8(CR) & CR_BUFE);
    g_assert_cmpuint(in32(MPC), ==, 2);
    g_assert_true(in16(ISR) & INT_RXOVW);
    g_assert_true(comes(own, 100)); /* the cable is off */
    g_assert_true(in8(CR) & CR_BUFE);
}

/* --- C+ mode --- */

static unsigned cp_tail;

static void cp_setup(uint8_t takes)
{
    setup_takes(takes);
    out16(CPCR, CPCR_TX | CPCR_RX);
    out32(TNPDS, CP_TX);
    out32(TNPDS + 4, 0);
    out32(THPDS, CP_TX_H);
    out32(RDSAR, CP_RX);
    out32(RDSAR + 4, 0);
    for (unsigned i = 0; i < CP_SIZE; i++) {
        uint32_t word[4] = {CP_OWN | 1536 | (i == CP_SIZE - 1 ? CP_EOR : 0), 0, CP_DATA + i * 2048, 0};
        memcpy(guest_mem.ram + CP_RX + 16 * i, word, 16);
    }
    cp_tail = 0;
}

static uint32_t *cp_rx(unsigned i)
{
    return (uint32_t *)(void *)(guest_mem.ram + CP_RX + 16 * i);
}

static uint32_t *cp_tx(unsigned i)
{
    return (uint32_t *)(void *)(guest_mem.ram + CP_TX + 16 * i);
}

/* In a ring of eight. */
static void cp_put(uint32_t ring, uint32_t at, uint32_t len, uint32_t bits, uint32_t tag)
{
    uint32_t word[4] = {CP_OWN | bits | len | (cp_tail == 7 ? CP_EOR : 0), tag, at, 0};
    memcpy(guest_mem.ram + ring + 16 * cp_tail, word, 16);
    cp_tail = (cp_tail + 1) % 8;
}

static void cp_go(void)
{
    out8(TPPOLL, TPPOLL_NPQ);
    run_now();
}

static void test_cp_transmit_ring_wraps(void)
{
    cp_setup(0);
    out16(IMR, INT_TOK);
    ram_fill(TX_DATA, 1, 2000);
    for (unsigned i = 0; i < 10; i++) {
        unsigned first = cp_tail;
        cp_put(CP_TX, TX_DATA, 100, CP_FS, 0);
        cp_put(CP_TX, TX_DATA + 100, 0, 0, 0);
        cp_put(CP_TX, TX_DATA + 100, 500 + i, CP_LS, 0);
        out8(TPPOLL, TPPOLL_NPQ);
        g_assert_cmpuint(cable.sent->len, ==, i);
        run_now();
        assert_sent(i, guest_mem.ram + TX_DATA, 600 + i);
        for (unsigned n = 0; n < 3; n++)
            g_assert_false(*cp_tx((first + n) % 8) & CP_OWN);
        g_assert_true(nic_pci->intx);
        g_assert_true(in16(ISR) & INT_TDU); /* all are sent */
        out16(ISR, 0xffff);
    }
    cp_put(CP_TX, TX_DATA, 100, CP_FS, 0); /* its rest comes later */
    cp_go();
    g_assert_cmpuint(cable.sent->len, ==, 10);
    cp_put(CP_TX, TX_DATA + 100, 20, CP_LS, 0);
    cp_go();
    assert_sent(10, guest_mem.ram + TX_DATA, 120);
    cp_put(CP_TX, TX_DATA, 20, CP_FS | CP_LS, 0); /* padded in this mode */
    cp_go();
    g_assert_cmpuint(sent(11)->len, ==, 60);
}

static void test_cp_high_priority_first(void)
{
    cp_setup(0);
    ram_fill(TX_DATA, 1, 2000);
    cp_put(CP_TX, TX_DATA, 100, CP_FS | CP_LS, 0);
    cp_tail = 0;
    cp_put(CP_TX_H, TX_DATA, 200, CP_FS | CP_LS, 0);
    out8(TPPOLL, TPPOLL_NPQ | TPPOLL_HPQ);
    run_now();
    g_assert_cmpuint(sent(0)->len, ==, 200);
    g_assert_cmpuint(sent(1)->len, ==, 100);
}

static void test_cp_checksums(void)
{
    uint8_t *frame = guest_mem.ram + TX_DATA, expected[1600];
    for (unsigned takes = 0; takes < 2; takes++) {
        for (unsigned i = 0; i < 2; i++) {
            unsigned protocol = i ? IP_UDP : IP_TCP, at = i ? 40 : 50;
            cp_setup(takes ? NETDEV_TAKES_CSUM : 0);
            size_t len = frame_ip(frame, 4, protocol, 777);
            struct frame_parts parts;
            be16_put(frame + at, 0x5555); /* does not count */
            memcpy(expected, frame, len);
            frame_put_csums(expected, len);
            assert_checksums_right(expected, len);
            frame_parse(frame, len, &parts);
            if (takes)
                be16_put(expected + at, inet_add(frame_pseudo(frame, &parts), (uint32_t)len - 34));
            cp_put(CP_TX, TX_DATA, (uint32_t)len, CP_FS | CP_LS | CP_TX_IPCS | (i ? CP_TX_UDPCS : CP_TX_TCPCS), 0);
            cp_go();
            assert_sent(0, expected, len);
            g_assert_cmphex(cable.offload.flags, ==, takes);
            g_assert_cmpuint(cable.offload.csum_start, ==, takes ? 34 : 0);
            g_assert_cmpuint(cable.offload.csum_offset, ==, takes ? at - 34 : 0);
        }
    }
}

static void cp_put_large(size_t len, unsigned mss, uint32_t tag)
{
    cp_put(CP_TX, TX_DATA, 54, CP_FS | CP_LGSEN | mss << 16, tag);
    cp_put(CP_TX, TX_DATA + 54, (uint32_t)len - 54, CP_LS | CP_LGSEN | mss << 16, tag);
    cp_go();
}

static void test_cp_large_send_in_software(void)
{
    uint8_t expected[2000];
    cp_setup(0);
    size_t len = frame_ip(guest_mem.ram + TX_DATA, 4, IP_TCP, 10001);
    cable.room = 3;
    cp_put_large(len, 1400, 0);
    g_assert_cmpuint(cable.sent->len, ==, 3);
    g_assert_true(*cp_tx(0) & CP_OWN);
    reload(); /* in the middle of it */
    cable.room = 100;
    run_now();
    g_assert_cmpuint(cable.sent->len, ==, 8);
    for (unsigned n = 0; n < 8; n++) {
        size_t piece = segment_expected(guest_mem.ram + TX_DATA, len, 54, 1400, n, expected);
        assert_checksums_right(expected, piece);
        assert_sent(n, expected, piece);
    }
    for (unsigned i = 0; i < 2; i++) /* no errors where the segment size was */
        g_assert_cmphex(*cp_tx(i) & (CP_OWN | CP_TX_RESULT), ==, 0);
    for (unsigned i = 0; i < 2; i++) /* each begins at its beginning */
        cp_put(CP_TX, TX_DATA, (uint32_t)len, CP_FS | CP_LS | CP_LGSEN | 1400u << 16, 0);
    cp_go();
    g_assert_cmpuint(cable.sent->len, ==, 24);
    len = frame_ip(guest_mem.ram + TX_DATA, 4, IP_UDP, 100); /* not TCP: sent as it is, with checksums */
    cp_put_large(len, 1024, 0);
    g_assert_cmphex(slow_sum(0, sent(24)->data + 14, 20), ==, 0xffff);
    g_assert_cmpmem(sent(24)->data + 40, len - 40, guest_mem.ram + TX_DATA + 40, len - 40);
}

static void test_cp_large_send_left_to_the_cable(void)
{
    uint8_t expected[11000];
    struct frame_parts parts;
    cp_setup(NETDEV_TAKES_CSUM | NETDEV_TAKES_TSO4);
    size_t len = frame_ip(guest_mem.ram + TX_DATA, 4, IP_TCP, 10001);
    memcpy(expected, guest_mem.ram + TX_DATA, len);
    frame_parse(expected, len, &parts);
    frame_put_ip_csum(expected, &parts);
    be16_put(expected + 50, inet_add(frame_pseudo(expected, &parts), (uint32_t)len - 34));
    cp_put_large(len, 1400, 0);
    g_assert_cmpuint(cable.sent->len, ==, 1);
    assert_sent(0, expected, len);
    g_assert_cmpuint(cable.offload.gso_type, ==, NETDEV_GSO_TCPV4);
    g_assert_cmpuint(cable.offload.gso_size, ==, 1400);
    g_assert_cmpuint(cable.offload.hdr_len, ==, 54);
    cp_put_large(1000, 1400, 0); /* less than a segment */
    g_assert_cmpuint(cable.offload.gso_type, ==, 0);
    cp_put_large(len, 1400, CP_TAGC | 0x0720); /* with a tag */
    g_assert_cmpuint(cable.sent->len, ==, 10);
    g_assert_cmpmem(sent(3)->data + 12, 6, "\x81\x00\x20\x07\x08\x00", 6);
    g_assert_cmpuint(sent(3)->len, ==, 1458);
}

static void test_cp_vlan(void)
{
    uint8_t expected[200], frame[200];
    cp_setup(0);
    ram_fill(TX_DATA, 5, 100);
    memcpy(expected, guest_mem.ram + TX_DATA, 12);
    memcpy(expected + 12, "\x81\x00\x20\x07", 4);
    memcpy(expected + 16, guest_mem.ram + TX_DATA + 12, 88);
    cp_put(CP_TX, TX_DATA, 100, CP_FS | CP_LS, CP_TAGC | 0x0720);
    cp_go();
    assert_sent(0, expected, 104);
    frame_plain(frame, own, 100);
    memcpy(frame + 12, "\x81\x00\x61\x23", 4);
    g_assert_true(fake_netdev_deliver(&cable, frame, 100)); /* as it is */
    g_assert_cmpuint(*cp_rx(0) & 0x1fff, ==, 104);
    out16(CPCR, CPCR_TX | CPCR_RX | CPCR_VLAN);
    g_assert_true(fake_netdev_deliver(&cable, frame, 100));
    g_assert_cmpuint(*cp_rx(1) & 0x1fff, ==, 100);
    g_assert_cmphex(cp_rx(1)[1], ==, CP_TAVA | 0x2361);
    g_assert_cmpmem(guest_mem.ram + CP_DATA + 2048 + 12, 84, frame + 16, 84);
}

static void test_cp_receive_ring_full_and_going_on(void)
{
    uint8_t frame[1514];
    cp_setup(0);
    out16(IMR, INT_RXOVW);
    frame_plain(frame, own, sizeof(frame));
    for (unsigned i = 0; i < CP_SIZE; i++) {
        uint32_t crc = ether_crc_le(frame, 1000 + i);
        g_assert_true(fake_netdev_deliver(&cable, frame, 1000 + i));
        g_assert_cmphex(*cp_rx(i), ==, CP_FS | CP_LS | CP_RX_PAM | (1004 + i) | (i == CP_SIZE - 1 ? CP_EOR : 0));
        g_assert_cmpmem(guest_mem.ram + CP_DATA + i * 2048, 1000 + i, frame, 1000 + i);
        g_assert_cmpmem(guest_mem.ram + CP_DATA + i * 2048 + 1000 + i, 4, &crc, 4);
    }
    g_assert_false(nic_pci->intx);
    g_assert_false(fake_netdev_deliver(&cable, frame, 1000));
    g_assert_true(nic_pci->intx);
    unsigned ready = cable.ready;
    *cp_rx(0) = CP_OWN | 500; /* nobody tells the chip, and the frame takes three */
    vclock_fake_advance(2 * MS);
    g_assert_cmpuint(cable.ready, >, ready);
    g_assert_false(fake_netdev_deliver(&cable, frame, 1000));
    *cp_rx(1) = *cp_rx(2) = CP_OWN | 500;
    vclock_fake_advance(2 * MS);
    reload();
    g_assert_true(fake_netdev_deliver(&cable, frame, 1000));
    g_assert_cmphex(*cp_rx(0), ==, CP_FS | CP_RX_PAM | 500);
    g_assert_cmphex(*cp_rx(1), ==, CP_RX_PAM | 500);
    g_assert_cmphex(*cp_rx(2), ==, CP_LS | CP_RX_PAM | 1004);
    g_assert_cmpmem(guest_mem.ram + CP_DATA + 2048, 500, frame + 500, 500);
}

static void test_cp_receive_checksum_status(void)
{
    uint8_t frame[1514];
    size_t len = frame_ip(frame, 4, IP_TCP, 500);
    memcpy(frame, own, 6);
    frame_put_csums(frame, len);
    cp_setup(0);
    out16(CPCR, CPCR_TX | CPCR_RX | CPCR_CHKSUM);
    g_assert_cmphex(cable.netdev.front_takes, ==, NETDEV_TAKES_CSUM);
    g_assert_true(fake_netdev_deliver(&cable, frame, len));
    g_assert_cmphex(*cp_rx(0) & 0x7c000, ==, 1u << 17);
    frame[len - 1] ^= 1;
    g_assert_true(fake_netdev_deliver(&cable, frame, len));
    g_assert_cmphex(*cp_rx(1) & 0x7c000, ==, 1u << 17 | CP_RX_TCPF);
    len = frame_ip(frame, 4, IP_UDP, 500);
    memcpy(frame, own, 6);
    frame_put_csums(frame, len);
    frame[22] ^= 1;
    g_assert_true(fake_netdev_deliver(&cable, frame, len));
    g_assert_cmphex(*cp_rx(2) & 0x7c000, ==, 2u << 17 | CP_RX_IPF);
    g_assert_true(comes(own, 100));
    g_assert_cmphex(*cp_rx(3) & 0x7c000, ==, 0);
}

static void test_cp_tally_counters(void)
{
    static const uint32_t at = 0x40040;
    uint64_t ok[2];
    uint32_t multicast;
    cp_setup(0);
    cp_put(CP_TX, TX_DATA, 100, CP_FS | CP_LS, 0);
    cp_go();
    g_assert_true(comes(own, 100));
    g_assert_true(comes("\xff\xff\xff\xff\xff\xff", 100));
    out32(DTCCR + 4, 0);
    out32(DTCCR, at | DTCCR_CMD);
    g_assert_true(in32(DTCCR) & DTCCR_CMD);
    run_now();
    g_assert_cmphex(in32(DTCCR), ==, at);
    memcpy(ok, guest_mem.ram + at, 16);
    g_assert_cmpuint(ok[0], ==, 1);
    g_assert_cmpuint(ok[1], ==, 2);
    memcpy(ok, guest_mem.ram + at + 40, 16);
    g_assert_cmpuint(ok[0], ==, 1);
    g_assert_cmpuint(ok[1], ==, 1);
    memcpy(&multicast, guest_mem.ram + at + 56, 4);
    g_assert_cmpuint(multicast, ==, 0);
}

/* --- What no driver should do --- */

static void test_malformed_descriptors(void)
{
    uint8_t ones[100];
    memset(ones, 0xff, sizeof(ones));
    cp_setup(0);
    for (unsigned i = 0; i < 64; i++) { /* a ring without an end of packets, and of itself */
        cp_tail = 0;
        cp_put(CP_TX + 16 * i, TX_DATA, 0xffff, 0, 0);
    }
    cp_go();
    g_assert_cmpuint(cable.sent->len, ==, 0);
    for (unsigned i = 0; i < 64; i++)
        g_assert_cmphex(*cp_tx(i) & (CP_OWN | CP_TX_TES), ==, CP_TX_TES);
    g_assert_true(in16(ISR) & INT_TER);
    cp_tail = 0;
    cp_put(CP_TX, NIC_MMIO, 100, CP_FS | CP_LS, 0);
    cp_put(CP_TX, TX_DATA, 0, CP_FS | CP_LS, 0);
    cp_put(CP_TX, TX_DATA, 0xffff, CP_FS | CP_LS | CP_LGSEN, 0);            /* into segments of nothing */
    cp_put(CP_TX, TX_DATA, 0xffff, CP_FS | CP_LS | CP_LGSEN | 1u << 16, 0); /* what is no TCP */
    cp_go();
    g_assert_cmpuint(cable.sent->len, ==, 1);
    assert_sent(0, ones, 100);
    g_assert_false(*cp_tx(3) & CP_OWN);
    size_t len = frame_ip(guest_mem.ram + TX_DATA, 4, IP_TCP, 3000);
    cp_put_large(len, 1, 0);
    for (unsigned i = 0; i < 60; i++)
        run_now();
    g_assert_cmpuint(cable.sent->len, ==, 3001);
    for (unsigned i = 0; i < CP_SIZE; i++) /* buffers of no size: nothing ever fits */
        *cp_rx(i) = CP_OWN;
    g_assert_false(comes(own, 100));
    vclock_fake_advance(10 * MS);
    out32(RDSAR + 4, 0xffffffff); /* descriptors of all ones, nowhere */
    g_assert_true(comes(own, 100));
}

static void test_data_where_no_memory_is(void)
{
    uint8_t ones[100];
    memset(ones, 0xff, sizeof(ones));
    setup();
    out32(TSAD, NIC_MMIO);
    out32(TSD, 100);
    out32(TSAD + 4, 0xffffffc0);
    out32(TSD + 4, 0x1fff);
    out32(TSD + 8, 0); /* nothing */
    run_now();
    assert_sent(0, ones, 100);
    g_assert_cmpuint(sent(1)->len, ==, 0x1fff);
    g_assert_cmphex(in32(TSD + 8), ==, TSD_OWN | TSD_TOK);
    out32(RBSTART, NIC_MMIO); /* its own registers */
    out32(RCR, RCR_AAP);
    g_assert_true(comes(own, 100));
    g_assert_cmphex(in32(IDR), ==, 0x12005452);
    out32(RBSTART, 0xfffffff0);
    g_assert_true(comes(own, 1000));
    out16(CAPR, 0x1233); /* not aligned, and anywhere */
    for (unsigned i = 0; i < 20; i++)
        comes(own, 1514);
    out32(RCR, RCR_AAP | 3u << RCR_RBLEN | RCR_WRAP);
    for (unsigned i = 0; i < 100; i++) {
        comes(own, 1514);
        out16(CAPR, (uint16_t)(in16(CBR) - 16));
    }
    pci_config_write(nic_bus, PCI_DEVFN(3, 0), PCI_COMMAND, 2, 3); /* no master */
    out32(TSD + 12, 100);
    run_now();
    g_assert_cmpuint(cable.sent->len, ==, 2);
    pci_config_write(nic_bus, PCI_DEVFN(3, 0), PCI_COMMAND, 2, 7);
    run_now();
    g_assert_cmpuint(cable.sent->len, ==, 3);
}

static void test_damaged_state_is_refused(void)
{
    struct rtl8139 *card;
    setup();
    card = nic;
    card->regs.cp_rx = 64;
    g_assert_false(rtl8139_class.after_load(nic));
    setup();
    card = nic;
    card->regs.tx_next = 4;
    g_assert_false(rtl8139_class.after_load(nic));
    setup();
    GString *text = g_string_new(NULL);
    rtl8139_class.dump(nic, text);
    g_assert_nonnull(strstr(text->str, "52:54:00:12:34:56, link up"));
    g_string_free(text, TRUE);
}

#define TEST(name) g_test_add_func("/rtl8139/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(identity_and_reset_values);
    TEST(accesses_of_any_size);
    TEST(soft_reset_keeps_addresses);
    TEST(config_is_locked);
    TEST(eeprom);
    TEST(link);
    TEST(timer);
    TEST(transmit_four_descriptors_in_turn);
    TEST(transmit_waits_for_the_cable);
    TEST(receive_ring_wraps);
    TEST(receive_ring_without_wrapping_a_frame);
    TEST(receive_ring_full_and_going_on);
    TEST(receive_pads);
    TEST(receive_filters);
    TEST(loopback);
    TEST(cp_transmit_ring_wraps);
    TEST(cp_high_priority_first);
    TEST(cp_checksums);
    TEST(cp_large_send_in_software);
    TEST(cp_large_send_left_to_the_cable);
    TEST(cp_vlan);
    TEST(cp_receive_ring_full_and_going_on);
    TEST(cp_receive_checksum_status);
    TEST(cp_tally_counters);
    TEST(malformed_descriptors);
    TEST(data_where_no_memory_is);
    TEST(damaged_state_is_refused);
    return g_test_run();
}
