/* NE2000 and RTL8029: what the DP8390D's data sheet says, and what their drivers look for. */
#include "nic_board.h"
#include "devices/net/frame.h"

extern const struct device_class ne2k_isa_class, ne2k_pci_class;

#define MAC "\x52\x54\x00\x12\x34\x56"

/* The ring as Linux lays it out: 46h to 80h, behind room for a packet to be sent. */
#define TX_START 0x40
#define START    0x46
#define STOP     0x80

static uint16_t port;

struct isa_config { /* as in ne2000.c */
    struct netdev *netdev;
    uint8_t mac[6];
    uint32_t iobase, irq;
};
struct pci_config {
    struct netdev *netdev;
    uint8_t mac[6];
    const struct board_rom *rom;
};

static void plug_isa(void)
{
    struct isa_config config = {.netdev = &nic_board.cable.netdev, .iobase = 0x300, .irq = 9};
    memcpy(config.mac, MAC, 6);
    nic_board_plug(&ne2k_isa_class, &config);
    port = 0x300;
}

static void plug_pci(void)
{
    struct pci_config config = {.netdev = &nic_board.cable.netdev};
    memcpy(config.mac, MAC, 6);
    nic_board_plug(&ne2k_pci_class, &config);
    port = 0xc000;
    pci_put(PCI_BAR0, 4, port);
    pci_put(PCI_COMMAND, 2, 1);
}

static void setup(void)
{
    nic_board_begin();
    plug_isa();
}

static uint8_t reg(unsigned n)
{
    return inb((uint16_t)(port + n));
}

static void reg_set(unsigned n, uint8_t value)
{
    outb((uint16_t)(port + n), value);
}

static void remote(uint16_t address, uint16_t count, bool is_write)
{
    reg_set(0, 0x22);
    reg_set(0x8, (uint8_t)address);
    reg_set(0x9, address >> 8);
    reg_set(0xa, (uint8_t)count);
    reg_set(0xb, count >> 8);
    reg_set(0, is_write ? 0x12 : 0x0a);
}

static void card_write(uint16_t address, const void *bytes, unsigned len)
{
    const uint8_t *from = bytes;
    remote(address, (uint16_t)len, true);
    for (unsigned i = 0; i < len; i += 2)
        ioport_write(port + 0x10, 2, from[i] | (uint32_t)from[i + 1] << 8);
    g_assert_cmphex(reg(7) & 0x40, ==, 0x40);
    reg_set(7, 0x40);
}

static void card_read(uint16_t address, void *bytes, unsigned len)
{
    uint8_t *to = bytes;
    remote(address, (uint16_t)len, false);
    for (unsigned i = 0; i < len; i += 2) {
        uint32_t word = ioport_read(port + 0x10, 2);
        to[i] = (uint8_t)word;
        to[i + 1] = (uint8_t)(word >> 8);
    }
    g_assert_cmphex(reg(7) & 0x40, ==, 0x40);
    reg_set(7, 0x40);
}

static uint8_t curr(void)
{
    reg_set(0, 0x62);
    uint8_t value = reg(7);
    reg_set(0, 0x22);
    return value;
}

/* As drivers do. rcr: what to receive. */
static void start_with(uint8_t rcr)
{
    reg_set(0, 0x21);
    reg_set(0xe, 0x49); /* words, FIFO, no loopback */
    reg_set(0xa, 0);
    reg_set(0xb, 0);
    reg_set(0xc, rcr);
    reg_set(0xd, 0x02);
    reg_set(0x4, TX_START);
    reg_set(0x1, START);
    reg_set(0x3, START);
    reg_set(0x2, STOP);
    reg_set(7, 0xff);
    reg_set(0xf, 0x7f);
    reg_set(0, 0x61);
    for (unsigned i = 0; i < 6; i++)
        reg_set(1 + i, (uint8_t)MAC[i]);
    reg_set(7, START + 1);
    for (unsigned i = 8; i < 16; i++)
        reg_set(i, 0);
    reg_set(0, 0x22);
    reg_set(0xd, 0);
}

static void start(void)
{
    setup();
    start_with(0x04);
}

static void transmit(const void *frame, uint16_t len)
{
    card_write(TX_START << 8, frame, (len + 1u) & ~1u);
    reg_set(0x4, TX_START);
    reg_set(0x5, (uint8_t)len);
    reg_set(0x6, len >> 8);
    reg_set(0, 0x26);
}

/* --- What drivers look for --- */

static void test_prom(void)
{
    setup();
    reg_set(0xe, 0x48); /* bytes */
    remote(0, 32, false);
    for (unsigned i = 0; i < 16; i++) {
        uint8_t first = reg(0x10), second = reg(0x10);
        g_assert_cmphex(first, ==, second); /* 16 bits wide */
        if (i < 6)
            g_assert_cmphex(first, ==, (uint8_t)MAC[i]);
        if (i >= 14)
            g_assert_cmphex(first, ==, 0x57);
    }
    g_assert_cmphex(reg(7) & 0x40, ==, 0x40);
    reg_set(0xe, 0x49); /* words */
    remote(0, 12, false);
    g_assert_cmphex(ioport_read(port + 0x10, 2), ==, 0x5252);
    g_assert_cmphex(ioport_read(port + 0x10, 2), ==, 0x5454);
}

static void test_probe_of_linux(void)
{
    setup();
    reg_set(0, 0x61);
    reg_set(0xd, 0xff);
    reg_set(0, 0x20);
    reg(0xd);
    g_assert_cmphex(reg(0xd), ==, 0); /* page 0's is a counter that reading clears */
    outb(port + 0x1f, reg(0x1f));
    g_assert_cmphex(reg(7) & 0x80, ==, 0x80);
    g_assert_cmphex(reg(0), ==, 0x21);
    reg_set(7, 0xff);
    g_assert_cmphex(reg(7), ==, 0x80); /* RST is a status */
    reg_set(0xf, 0x50);
    reg_set(0xa, 0);
    reg_set(0xb, 0);
    reg_set(0, 0x0a); /* no byte at all: done at once */
    g_assert_true(nic_board.irq.level);
    reg_set(7, 0xff);
    g_assert_false(nic_board.irq.level);
    g_assert_cmphex(reg(7), ==, 0); /* STA ended the reset */
}

static void test_memory_probe_of_bsd(void)
{
    uint8_t pattern[32], got[32];
    setup();
    for (unsigned i = 0; i < 32; i++)
        pattern[i] = (uint8_t)(i * 5 + 1);
    reg_set(0xe, 0x49);
    card_write(0x2000, pattern, 32); /* an NE1000's memory: not here */
    card_read(0x2000, got, 32);
    g_assert_cmpint(memcmp(got, pattern, 32), !=, 0);
    card_write(0x4000, pattern, 32);
    card_read(0x4000, got, 32);
    g_assert_cmpmem(got, 32, pattern, 32);
    card_write(0x7fe0, pattern, 32);
    card_write(0x8000, pattern, 32); /* nothing there */
    card_read(0x8000, got, 32);
    g_assert_cmphex(got[0] & got[31], ==, 0xff);
}

static void test_register_pages(void)
{
    start();
    reg_set(0, 0xa2);
    g_assert_cmphex(reg(0), ==, 0xa2);
    g_assert_cmphex(reg(1), ==, START);
    g_assert_cmphex(reg(2), ==, STOP);
    g_assert_cmphex(reg(4), ==, TX_START);
    g_assert_cmphex(reg(0xc), ==, 0xc4);
    g_assert_cmphex(reg(0xd), ==, 0xe0);
    g_assert_cmphex(reg(0xe), ==, 0xc9);
    g_assert_cmphex(reg(0xf), ==, 0xff);
    reg_set(0, 0x62);
    for (unsigned i = 0; i < 6; i++)
        g_assert_cmphex(reg(1 + i), ==, (uint8_t)MAC[i]);
    g_assert_cmphex(reg(7), ==, START + 1);
    g_assert_cmphex(ioport_read(port + 1, 2), ==, 0x5452); /* bytes in a row */
}

static void test_reset_port(void)
{
    start();
    reg_set(0xd, 0x04);
    reg(0x18);
    g_assert_cmphex(reg(0), ==, 0x21);
    g_assert_cmphex(reg(7), ==, 0x80);
    reg_set(0, 0xa1);
    g_assert_cmphex(reg(0xf), ==, 0x80);  /* IMR */
    g_assert_cmphex(reg(0xd) & 6, ==, 0); /* loopback */
    g_assert_cmphex(reg(1), ==, START);   /* what the table of RESET does not name */
    reg_set(0, 0x20);                     /* neither bit: it stays stopped */
    g_assert_cmphex(reg(0), ==, 0x21);
    reg_set(0, 0x22);
    reg_set(0, 0x20);
    g_assert_cmphex(reg(0), ==, 0x22);
}

static void test_rtl8029(void)
{
    nic_board_begin();
    plug_pci();
    g_assert_cmphex(pci_get(0, 4), ==, 0x802910ec);
    g_assert_cmphex(pci_get(8, 4) >> 8, ==, 0x020000);
    g_assert_cmphex(reg(0xa), ==, 'P');
    g_assert_cmphex(reg(0xb), ==, 'C');
    reg_set(0, 0xe1);
    g_assert_cmphex(reg(0xe), ==, 0x29);
    g_assert_cmphex(reg(0xf), ==, 0x80);
    reg_set(6, 0x40);
    g_assert_cmphex(reg(6), ==, 0); /* 9346CR protects it */
    reg_set(1, 0xc0);
    reg_set(6, 0x40);
    g_assert_cmphex(reg(6), ==, 0x40);
    reg_set(0, 0x21);
    start_with(0x04);
    uint8_t frame[60], got[64];
    frame_make(frame, sizeof frame, MAC);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_true(nic_board.irq.level);
    remote((START + 1) << 8, 64, false);
    for (unsigned i = 0; i < 64; i += 4) {
        uint32_t value = ioport_read(port + 0x10, 4); /* two words */
        memcpy(&got[i], &value, 4);
    }
    g_assert_cmpmem(&got[4], 60, frame, 60);
    g_assert_cmphex(reg(7) & 0x40, ==, 0x40);
}

/* --- Remote DMA --- */

static void test_remote_bytes_and_words(void)
{
    uint8_t got[4];
    setup();
    reg_set(0, 0x22);
    reg_set(0xe, 0x48);
    remote(0x4000, 4, true);
    ioport_write(port + 0x10, 2, 0x2211); /* the bus makes two bytes of it */
    reg_set(0x10, 0x33);
    g_assert_cmphex(reg(7) & 0x40, ==, 0);
    g_assert_cmphex(reg(8) | reg(9) << 8, ==, 0x4003);
    reg_set(0x10, 0x44);
    g_assert_cmphex(reg(7) & 0x40, ==, 0x40);
    reg_set(0x10, 0x55); /* too many */
    reg_set(0xe, 0x49);
    card_read(0x4000, got, 4);
    g_assert_cmpmem(got, 4, "\x11\x22\x33\x44", 4);
    remote(0x4000, 3, false); /* an odd count of bytes takes two words */
    g_assert_cmphex(reg(0x10), ==, 0x11);
    g_assert_cmphex(ioport_read(port + 0x10, 2), ==, 0x4433);
    g_assert_cmphex(ioport_read(port + 0x10, 2), ==, 0xffff);
}

static void test_remote_abort(void)
{
    setup();
    reg_set(0, 0x22);
    reg_set(7, 0xff);
    reg_set(0xe, 0x49);
    remote(0x4000, 100, false);
    ioport_read(port + 0x10, 2);
    reg_set(0, 0x22); /* RD2 */
    g_assert_cmphex(ioport_read(port + 0x10, 2), ==, 0xffff);
    g_assert_cmphex(reg(7), ==, 0);
    g_assert_cmphex(reg(8) | reg(9) << 8, ==, 0x4002);
}

static void test_remote_wraps_in_the_ring(void)
{
    uint8_t got[8];
    start();
    card_write((STOP - 1) << 8 | 0xfc, "abcd", 4);
    card_write(START << 8, "efgh", 4);
    card_read((STOP - 1) << 8 | 0xfc, got, 8);
    g_assert_cmpmem(got, 8, "abcdefgh", 8);
}

static void test_save_in_mid_transfer(void)
{
    start();
    card_write(0x4000, "abcdefgh", 8);
    remote(0x4000, 8, false);
    g_assert_cmphex(ioport_read(port + 0x10, 2), ==, 0x6261);
    GByteArray *bytes = device_saved(&ne2k_isa_class, nic_board.dev);
    nic_board_remove();
    plug_isa();
    device_load_checked(&ne2k_isa_class, nic_board.dev, bytes);
    g_assert_cmphex(ioport_read(port + 0x10, 2), ==, 0x6463);
    ioport_read(port + 0x10, 2);
    ioport_read(port + 0x10, 2);
    g_assert_cmphex(reg(7) & 0x40, ==, 0x40);
}

/* --- Transmit --- */

static void test_transmit(void)
{
    uint8_t frame[100];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    transmit(frame, sizeof frame);
    g_assert_cmphex(reg(0) & 4, ==, 4); /* not in the access */
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 0);
    settle();
    g_assert_cmphex(reg(0) & 4, ==, 0);
    g_assert_cmphex(reg(4), ==, 0x01);
    g_assert_cmphex(reg(7), ==, 0x02);
    g_assert_true(nic_board.irq.level);
    g_assert_cmpmem(sent_frame(0)->data, sent_frame(0)->len, frame, sizeof frame);
    reg_set(7, 0x02);
    g_assert_false(nic_board.irq.level);
    transmit(frame, 20); /* the chip does not pad */
    settle();
    g_assert_cmpuint(sent_frame(1)->len, ==, 20);
    transmit(frame, 0);
    settle();
    reg_set(5, 0xff);
    reg_set(6, 0xff);
    reg_set(0, 0x26);
    settle();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 2);
    g_assert_cmphex(reg(7), ==, 0x02);
}

static void test_transmit_needs_a_start(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    reg_set(0, 0x21);
    reg_set(5, 60);
    reg_set(0, 0x25);
    settle();
    g_assert_cmphex(reg(0), ==, 0x21);
    g_assert_cmphex(reg(7), ==, 0x80);
    reg_set(0, 0x22);
    transmit(frame, sizeof frame);
    reg_set(0, 0x21); /* what is being sent is sent */
    settle();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 1);
}

static void test_fcs_by_the_driver(void)
{
    uint8_t frame[64];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    uint32_t fcs = ether_crc_le(frame, 60);
    memcpy(&frame[60], &fcs, 4);
    reg_set(0xd, 0x01); /* TCR.CRC */
    transmit(frame, 64);
    settle();
    g_assert_cmpuint(sent_frame(0)->len, ==, 60);
    frame[3] ^= 1;
    transmit(frame, 64);
    settle();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 1);
}

static void test_no_link_and_no_room(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    nic_board.cable.room = 0;
    transmit(frame, sizeof frame); /* lost */
    settle();
    g_assert_cmphex(reg(4), ==, 0x01);
    fake_netdev_set_link(&nic_board.cable, false);
    transmit(frame, sizeof frame);
    settle();
    g_assert_cmphex(reg(4), ==, 0x11); /* CRS */
    g_assert_cmphex(reg(0) & 4, ==, 0);
}

static void test_save_while_transmitting(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    transmit(frame, sizeof frame);
    GByteArray *bytes = device_saved(&ne2k_isa_class, nic_board.dev);
    nic_board_remove();
    plug_isa();
    device_load_checked(&ne2k_isa_class, nic_board.dev, bytes);
    settle();
    g_assert_cmpmem(sent_frame(0)->data, sent_frame(0)->len, frame, sizeof frame);
    g_assert_true(nic_board.irq.level);
}

/* --- Receive --- */

static void test_receive(void)
{
    uint8_t frame[300], got[308];
    start();
    frame_make(frame, sizeof frame, MAC);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(reg(7), ==, 0x01);
    g_assert_cmphex(reg(0xc), ==, 0x01);
    g_assert_true(nic_board.irq.level);
    g_assert_cmphex(curr(), ==, START + 3);
    card_read((START + 1) << 8, got, sizeof got);
    g_assert_cmphex(got[0], ==, 0x01);
    g_assert_cmphex(got[1], ==, START + 3);
    g_assert_cmpuint(got[2] | got[3] << 8, ==, 304);
    g_assert_cmpmem(&got[4], 300, frame, 300);
    uint32_t fcs = ether_crc_le(frame, sizeof frame);
    g_assert_cmpmem(&got[304], 4, &fcs, 4);
    memset(frame, 0xff, 6);
    g_assert_true(deliver(frame, 42)); /* padded, broadcast */
    card_read((START + 3) << 8, got, 68);
    g_assert_cmphex(got[0], ==, 0x21);
    g_assert_cmpuint(got[2] | got[3] << 8, ==, 64);
    g_assert_cmphex(got[4 + 42] | got[4 + 59], ==, 0);
    uint8_t long_frame[1515];
    frame_make(long_frame, sizeof long_frame, MAC);
    uint8_t before = curr();
    g_assert_true(deliver(long_frame, 1515));
    g_assert_cmphex(curr(), ==, before);
    g_assert_true(deliver(long_frame, 1514));
    g_assert_cmphex(curr(), ==, before + 6);
}

static bool is_taken(const char *mac)
{
    uint8_t frame[60], before = curr();
    frame_make(frame, sizeof frame, mac);
    g_assert_true(deliver(frame, sizeof frame));
    bool taken = curr() != before;
    reg_set(3, curr() == START ? STOP - 1 : curr() - 1);
    return taken;
}

static void test_address_filters(void)
{
    setup();
    start_with(0x00);
    g_assert_true(is_taken(MAC));
    g_assert_false(is_taken("\x52\x54\x00\x12\x34\x57"));
    g_assert_false(is_taken("\xff\xff\xff\xff\xff\xff"));
    reg_set(0xc, 0x04); /* AB */
    g_assert_true(is_taken("\xff\xff\xff\xff\xff\xff"));
    g_assert_false(is_taken("\x01\x00\x5e\x00\x00\x01"));
    reg_set(0, 0x62);
    unsigned hash = ether_hash_be((const uint8_t *)"\x01\x00\x5e\x00\x00\x01");
    reg_set(8 + hash / 8, (uint8_t)(1u << hash % 8));
    reg_set(0, 0x22);
    g_assert_false(is_taken("\x01\x00\x5e\x00\x00\x01"));
    reg_set(0xc, 0x08); /* AM */
    g_assert_true(is_taken("\x01\x00\x5e\x00\x00\x01"));
    g_assert_false(is_taken("\x01\x00\x5e\x00\x00\x02"));
    reg_set(0xc, 0x10); /* PRO: of physical addresses */
    g_assert_true(is_taken("\x52\x54\x00\x12\x34\x57"));
    g_assert_false(is_taken("\xff\xff\xff\xff\xff\xff"));
}

static void test_monitor_mode_and_tally(void)
{
    uint8_t frame[60];
    setup();
    start_with(0x20);
    frame_make(frame, sizeof frame, MAC);
    uint8_t before = curr();
    for (unsigned i = 0; i < 127; i++)
        g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(reg(0xc), ==, 0x50); /* DIS, MPA */
    g_assert_cmphex(reg(7), ==, 0);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(reg(7), ==, 0x20); /* CNT: its uppermost bit */
    for (unsigned i = 0; i < 100; i++)
        g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmpuint(reg(0xf), ==, 192);
    g_assert_cmpuint(reg(0xf), ==, 0);
    g_assert_cmphex(curr(), ==, before);
}

static void test_ring_wraps(void)
{
    uint8_t frame[1000], got[1004];
    start();
    reg_set(0, 0x62);
    reg_set(7, STOP - 2);
    reg_set(0, 0x22);
    reg_set(3, STOP - 3);
    frame_make(frame, sizeof frame, MAC);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(curr(), ==, START + 2);
    card_read((STOP - 2) << 8, got, sizeof got); /* the remote DMA wraps as well */
    g_assert_cmphex(got[1], ==, START + 2);
    g_assert_cmpmem(&got[4], 1000, frame, 1000);
}

/* 58 pages; a frame of 1000 bytes takes four. BNRY is one behind CURR: 57 are free, of which 56 may be used. */
static unsigned fill(const uint8_t *frame)
{
    unsigned taken = 0;
    while (deliver(frame, 1000))
        taken++;
    return taken;
}

static void test_ring_full_and_patient(void)
{
    uint8_t frame[1000], header[4];
    start();
    frame_make(frame, sizeof frame, MAC);
    g_assert_cmpuint(fill(frame), ==, 14);
    g_assert_cmphex(reg(7), ==, 0x01); /* no overflow yet: the back end holds it */
    reg_set(7, 0x01);
    g_assert_false(nic_board.irq.level);
    vclock_fake_advance(1 * MS);
    g_assert_cmphex(reg(7), ==, 0x01); /* the driver left packets in the ring: it is reminded of them */
    g_assert_true(nic_board.irq.level);
    unsigned ready = nic_board.cable.ready;
    card_read((START + 1) << 8, header, 4);
    reg_set(3, header[1] - 1);
    g_assert_cmpuint(nic_board.cable.ready, ==, ready + 1);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_false(deliver(frame, sizeof frame));
    vclock_fake_advance(20 * MS);
    g_assert_cmphex(reg(7) & 0x10, ==, 0);
}

static void test_boundary_before_the_ring(void)
{
    uint8_t frame[1000];
    start();
    frame_make(frame, sizeof frame, MAC);
    reg_set(0, 0x62);
    reg_set(7, START);
    reg_set(0, 0x22);
    reg_set(3, START - 1); /* as Linux does; it means STOP - 1 */
    g_assert_cmpuint(fill(frame), ==, 14);
}

static void test_overflow_and_recovery(void)
{
    uint8_t frame[1000], header[4];
    start();
    frame_make(frame, sizeof frame, MAC);
    g_assert_cmpuint(fill(frame), ==, 14);
    uint8_t full = curr();
    unsigned ready = nic_board.cable.ready;
    vclock_fake_advance(60 * MS);
    g_assert_cmpuint(nic_board.cable.ready, ==, ready + 1);
    g_assert_true(deliver(frame, sizeof frame)); /* now it is as on a wire */
    g_assert_cmphex(reg(7), ==, 0x91);           /* OVW, RST, PRX */
    g_assert_cmphex(reg(0xc), ==, 0x10);         /* MPA */
    g_assert_cmphex(curr(), ==, full);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmpuint(reg(0xf), ==, 2);
    /* The data sheet's way out: stop, loopback, start, take packets out, acknowledge, normal mode. */
    reg_set(0, 0x21);
    reg_set(0xa, 0);
    reg_set(0xb, 0);
    reg_set(0xd, 0x02);
    reg_set(0, 0x22);
    g_assert_true(deliver(frame, sizeof frame)); /* in loopback: nothing is heard */
    uint8_t next = START + 1;
    for (unsigned i = 0; i < 14; i++) {
        card_read((uint16_t)(next << 8), header, 4);
        g_assert_cmpuint(header[2] | header[3] << 8, ==, 1004);
        next = header[1];
        reg_set(3, next == START ? STOP - 1 : next - 1);
    }
    g_assert_cmphex(next, ==, curr());
    reg_set(7, 0x11);
    reg_set(0xd, 0);
    g_assert_cmphex(reg(7), ==, 0);
    g_assert_cmpuint(fill(frame), ==, 14);
}

static void test_overflow_without_a_stop(void)
{
    uint8_t frame[1000];
    start();
    frame_make(frame, sizeof frame, MAC);
    fill(frame);
    vclock_fake_advance(60 * MS);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(reg(7) & 0x90, ==, 0x90);
    reg_set(3, curr() == START ? STOP - 1 : curr() - 1);
    g_assert_cmphex(reg(7) & 0x90, ==, 0x10); /* RST goes with the packets */
    g_assert_true(deliver(frame, sizeof frame));
}

static void test_save_while_the_ring_is_full(void)
{
    uint8_t frame[1000];
    start();
    frame_make(frame, sizeof frame, MAC);
    fill(frame);
    GByteArray *bytes = device_saved(&ne2k_isa_class, nic_board.dev);
    nic_board_remove();
    plug_isa();
    device_load_checked(&ne2k_isa_class, nic_board.dev, bytes);
    unsigned ready = nic_board.cable.ready;
    vclock_fake_advance(60 * MS);
    g_assert_cmpuint(nic_board.cable.ready, ==, ready + 1);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(reg(7) & 0x10, ==, 0x10);
}

static void test_receiver_off(void)
{
    uint8_t frame[60];
    setup();
    frame_make(frame, sizeof frame, MAC);
    g_assert_true(deliver(frame, sizeof frame));
    start_with(0x04);
    uint8_t before = curr();
    reg_set(0, 0x21);
    g_assert_true(deliver(frame, sizeof frame));
    reg_set(0, 0x22);
    g_assert_cmphex(curr(), ==, before);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(curr(), ==, before + 1);
}

/* --- Loopback --- */

static void test_loopback(void)
{
    static const uint8_t tsr[] = {0x53, 0x43, 0x03};
    uint8_t frame[64];
    start();
    frame_make(frame, sizeof frame, MAC);
    uint8_t before = curr();
    for (unsigned mode = 1; mode <= 3; mode++) { /* the data sheet's table */
        reg_set(7, 0xff);
        reg_set(0xd, (uint8_t)(mode << 1));
        transmit(frame, 60);
        settle();
        g_assert_cmphex(reg(4), ==, tsr[mode - 1]);
        g_assert_cmphex(reg(0xc), ==, 0x02);
        g_assert_cmphex(reg(7), ==, 0x02);
    }
    /* 64 bytes with the FCS: byte count, last byte, FCS */
    uint32_t fcs = ether_crc_le(frame, 60);
    g_assert_cmphex(reg(6), ==, 64);
    g_assert_cmphex(reg(6), ==, 0);
    g_assert_cmphex(reg(6), ==, 0);
    g_assert_cmphex(reg(6), ==, frame[59]);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmphex(reg(6), ==, (uint8_t)(fcs >> 8 * i));
    /* the driver's FCS is checked if the address is ours */
    memcpy(&frame[60], &fcs, 4);
    reg_set(0xd, 0x03);
    transmit(frame, 64);
    settle();
    g_assert_cmphex(reg(0xc), ==, 0x01);
    frame[62] ^= 4;
    transmit(frame, 64);
    settle();
    g_assert_cmphex(reg(0xc), ==, 0x02);
    frame[5] ^= 4;
    transmit(frame, 64);
    settle();
    g_assert_cmphex(reg(0xc), ==, 0x01);
    g_assert_cmphex(curr(), ==, before);
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 0);
}

/* --- Malformed rings --- */

static void test_malformed_rings(void)
{
    uint8_t frame[1514], value = 1;
    start();
    frame_make(frame, sizeof frame, MAC);
    for (unsigned i = 0; i < 20000; i++) {
        value = (uint8_t)(value * 5 + 3);
        reg_set(0, 0x22);
        reg_set(1 + i % 3, value ^ (uint8_t)(i >> 3)); /* PSTART, PSTOP, BNRY */
        if (i % 5 == 0) {
            reg_set(0, 0x62);
            reg_set(7, value);
            reg_set(0, 0x22);
        }
        deliver(frame, i % 2 ? sizeof frame : 60);
        if (i % 7 == 0) {
            remote((uint16_t)(value << 8 | 0xfe), 0xffff, i % 2);
            for (unsigned n = 0; n < 9; n++)
                i % 2 ? ioport_write(port + 0x10, 2, i) : (void)ioport_read(port + 0x10, 2);
        }
    }
    reg_set(1, 0x50); /* nothing but the boundary */
    reg_set(2, 0x50);
    reg_set(3, 0x50);
    start_with(0x04);
    g_assert_true(deliver(frame, sizeof frame));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ne2000/prom", test_prom);
    g_test_add_func("/ne2000/probe_of_linux", test_probe_of_linux);
    g_test_add_func("/ne2000/memory_probe_of_bsd", test_memory_probe_of_bsd);
    g_test_add_func("/ne2000/register_pages", test_register_pages);
    g_test_add_func("/ne2000/reset_port", test_reset_port);
    g_test_add_func("/ne2000/rtl8029", test_rtl8029);
    g_test_add_func("/ne2000/remote_bytes_and_words", test_remote_bytes_and_words);
    g_test_add_func("/ne2000/remote_abort", test_remote_abort);
    g_test_add_func("/ne2000/remote_wraps_in_the_ring", test_remote_wraps_in_the_ring);
    g_test_add_func("/ne2000/save_in_mid_transfer", test_save_in_mid_transfer);
    g_test_add_func("/ne2000/transmit", test_transmit);
    g_test_add_func("/ne2000/transmit_needs_a_start", test_transmit_needs_a_start);
    g_test_add_func("/ne2000/fcs_by_the_driver", test_fcs_by_the_driver);
    g_test_add_func("/ne2000/no_link_and_no_room", test_no_link_and_no_room);
    g_test_add_func("/ne2000/save_while_transmitting", test_save_while_transmitting);
    g_test_add_func("/ne2000/receive", test_receive);
    g_test_add_func("/ne2000/address_filters", test_address_filters);
    g_test_add_func("/ne2000/monitor_mode_and_tally", test_monitor_mode_and_tally);
    g_test_add_func("/ne2000/ring_wraps", test_ring_wraps);
    g_test_add_func("/ne2000/ring_full_and_patient", test_ring_full_and_patient);
    g_test_add_func("/ne2000/boundary_before_the_ring", test_boundary_before_the_ring);
    g_test_add_func("/ne2000/overflow_and_recovery", test_overflow_and_recovery);
    g_test_add_func("/ne2000/overflow_without_a_stop", test_overflow_without_a_stop);
    g_test_add_func("/ne2000/save_while_the_ring_is_full", test_save_while_the_ring_is_full);
    g_test_add_func("/ne2000/receiver_off", test_receiver_off);
    g_test_add_func("/ne2000/loopback", test_loopback);
    g_test_add_func("/ne2000/malformed_rings", test_malformed_rings);
    return g_test_run();
}
