/* PCnet-PCI II: what the Am79C970A's data sheet says, and what its drivers look for. */
#include "nic_board.h"
#include "devices/net/frame.h"

extern const struct device_class pcnet_class;

#define PORT 0xc000
#define MAC  "\x52\x54\x00\x12\x34\x56"

#define INIT    0x1000u
#define RX_RING 0x2000u
#define TX_RING 0x3000u
#define RX_BUFS 0x10000u
#define TX_BUFS 0x20000u
#define BUF     0x800u

#define OWN 0x80000000u
#define ERR 0x40000000u
#define STP 0x02000000u
#define ENP 0x01000000u

static unsigned style;

/* As in pcnet.c, without its ROM. */
struct config {
    struct netdev *netdev;
    uint8_t mac[6];
    const struct board_rom *rom;
};

static void plug(void)
{
    struct config config = {.netdev = &nic_board.cable.netdev};
    memcpy(config.mac, MAC, 6);
    nic_board_plug(&pcnet_class, &config);
    pci_put(PCI_BAR0, 4, PORT);
    pci_put(PCI_BAR0 + 4, 4, 0xe0000000);
    pci_put(PCI_COMMAND, 2, 7);
}

static void setup(void)
{
    nic_board_begin();
    plug();
    style = 2;
}

static uint16_t csr(unsigned n)
{
    ioport_write(PORT + 0x12, 2, n);
    return (uint16_t)ioport_read(PORT + 0x10, 2);
}

static void csr_set(unsigned n, uint16_t value)
{
    ioport_write(PORT + 0x12, 2, n);
    ioport_write(PORT + 0x10, 2, value);
}

static uint16_t bcr(unsigned n)
{
    ioport_write(PORT + 0x12, 2, n);
    return (uint16_t)ioport_read(PORT + 0x16, 2);
}

static void bcr_set(unsigned n, uint16_t value)
{
    ioport_write(PORT + 0x12, 2, n);
    ioport_write(PORT + 0x16, 2, value);
}

static void put32(uint32_t at, uint32_t value)
{
    mem_write(at, &value, 4);
}

static uint32_t get32(uint32_t at)
{
    uint32_t value;
    mem_read(at, &value, 4);
    return value;
}

static void put16(uint32_t at, uint16_t value)
{
    mem_write(at, &value, 2);
}

static uint16_t get16(uint32_t at)
{
    return (uint16_t)get32(at);
}

/* A descriptor, in this test's style. status: as the upper half of RMD1 and TMD1. */
static void descriptor(uint32_t ring, unsigned n, uint32_t buffer, unsigned len, uint32_t status)
{
    uint32_t md1 = status | 0xf000 | (-len & 0xfff);
    if (style == 0) {
        put16(ring + 8 * n, (uint16_t)buffer);
        put16(ring + 8 * n + 2, (uint16_t)(status >> 16 | (buffer >> 16 & 0xff)));
        put16(ring + 8 * n + 4, (uint16_t)md1);
        put16(ring + 8 * n + 6, 0);
    } else {
        put32(ring + 16 * n + (style == 3 ? 8 : 0), buffer);
        put32(ring + 16 * n + (style == 3 ? 0 : 8), 0);
        put32(ring + 16 * n + 4, md1);
    }
}

static uint32_t status(uint32_t ring, unsigned n)
{
    return style == 0 ? (uint32_t)(get16(ring + 8 * n + 2) & 0xff00) << 16 : get32(ring + 16 * n + 4) & 0xffff0000;
}

/* RMD2 or TMD2; in style 0 what RMD3 or TMD3 is. */
static uint32_t md2(uint32_t ring, unsigned n)
{
    return style == 0 ? get16(ring + 8 * n + 6) : get32(ring + 16 * n + (style == 3 ? 0 : 8));
}

/* 2^log2 descriptors in each ring, all receive buffers the chip's. */
static void start_with(uint16_t mode, unsigned log2)
{
    uint8_t filter[8] = {0};
    bcr_set(20, (uint16_t)style);
    put16(INIT, mode);
    if (style == 0) {
        mem_write(INIT + 2, MAC, 6);
        mem_write(INIT + 8, filter, 8);
        put32(INIT + 16, RX_RING | log2 << 29);
        put32(INIT + 20, TX_RING | log2 << 29);
    } else {
        put16(INIT + 2, (uint16_t)(log2 << 12 | log2 << 4));
        mem_write(INIT + 4, MAC "\0", 8);
        mem_write(INIT + 12, filter, 8);
        put32(INIT + 20, RX_RING);
        put32(INIT + 24, TX_RING);
    }
    for (unsigned i = 0; i < 1u << log2; i++) {
        descriptor(RX_RING, i, RX_BUFS + i * BUF, BUF, OWN);
        descriptor(TX_RING, i, TX_BUFS + i * BUF, 0, 0);
    }
    csr_set(1, INIT);
    csr_set(2, 0);
    csr_set(0, 0x41); /* INIT, IENA */
    settle();
    g_assert_cmphex(csr(0), ==, 0x01c1);
    csr_set(0, 0x142); /* IDON away, STRT */
    settle();
    g_assert_false(nic_board.irq.level);
}

static void start(void)
{
    setup();
    start_with(0, 2);
}

static void transmit(unsigned n, const void *frame, unsigned len, uint32_t flags)
{
    mem_write(TX_BUFS + n * BUF, frame, len);
    descriptor(TX_RING, n, TX_BUFS + n * BUF, len, OWN | flags);
}

static void demand(void)
{
    csr_set(0, 0x48);
    settle();
}

/* --- What drivers look for --- */

static void test_identity(void)
{
    setup();
    g_assert_cmphex(pci_get(0, 4), ==, 0x20001022);
    g_assert_cmphex(pci_get(8, 4), ==, 0x02000010);
    g_assert_cmphex(pci_get(PCI_SUBSYSTEM, 4), ==, 0);
    g_assert_cmphex(csr(0), ==, 0x0004);
    g_assert_cmphex(csr(88) | (uint32_t)csr(89) << 16, ==, 0x02621003);
    ioport_write(PORT + 0x12, 2, 88); /* pcnet32's check for word I/O */
    g_assert_cmphex(ioport_read(PORT + 0x12, 2), ==, 88);
    g_assert_cmphex(bcr(32), ==, 0); /* no MII */
    g_assert_cmphex(bcr(20), ==, 0x0200);
    g_assert_cmphex(csr(4), ==, 0x0115);
}

static void test_aprom(void)
{
    uint8_t aprom[16];
    uint16_t sum = 0;
    setup();
    for (unsigned i = 0; i < 16; i++)
        aprom[i] = inb((uint16_t)(PORT + i));
    g_assert_cmpmem(aprom, 6, MAC, 6);
    g_assert_cmphex(aprom[14] << 8 | aprom[15], ==, 0x5757);
    for (unsigned i = 0; i < 16; i++)
        sum += i == 12 || i == 13 ? 0 : aprom[i];
    g_assert_cmphex(aprom[12] | aprom[13] << 8, ==, sum);
    g_assert_cmphex(ioport_read(PORT, 4), ==, 0x12005452);
    g_assert_cmphex(get32(0xe0000000), ==, 0x12005452);
    outb(PORT, 0x99); /* APROMWE is off */
    g_assert_cmphex(inb(PORT), ==, 0x52);
    bcr_set(2, 0x0102);
    outb(PORT, 0x99);
    g_assert_cmphex(inb(PORT), ==, 0x99);
}

static void test_double_word_io(void)
{
    setup();
    ioport_write(PORT + 0x10, 4, 0); /* CSR0: harmless */
    g_assert_cmphex(ioport_read(PORT + 0x12, 2), ==, 0xffff);
    ioport_write(PORT + 0x14, 4, 18);
    g_assert_cmphex(ioport_read(PORT + 0x14, 4), ==, 18);
    g_assert_cmphex(ioport_read(PORT + 0x1c, 4) & 0x80, ==, 0x80);
    g_assert_cmphex(get32(0xe0000014), ==, 18);
    ioport_read(PORT + 0x18, 4); /* a software reset leaves the mode as it is */
    g_assert_cmphex(ioport_read(PORT + 0x14, 4), ==, 0);
    pcnet_class.reset(nic_board.dev);
    g_assert_cmphex(csr(0), ==, 4);
    g_assert_cmphex(get32(0xe0000020), ==, 0xffffffff); /* behind the 32 bytes */
}

static void test_software_reset(void)
{
    start();
    csr_set(3, 0x5f00);
    csr_set(4, 0x0915);
    ioport_read(PORT + 0x14, 2);
    g_assert_cmphex(ioport_read(PORT + 0x12, 2), ==, 0);
    g_assert_cmphex(csr(0), ==, 4);
    g_assert_cmphex(csr(3), ==, 0);
    g_assert_cmphex(csr(4), ==, 0x0115);
    g_assert_cmphex(bcr(20), ==, 0x0302); /* BCRs stay */
}

static void test_link_led(void)
{
    setup();
    g_assert_cmphex(bcr(4), ==, 0x80c0); /* pcnet32: not 00c0h */
    fake_netdev_set_link(&nic_board.cable, false);
    g_assert_cmphex(bcr(4), ==, 0x00c0);
}

static void test_software_styles(void)
{
    static const uint16_t shown[] = {0x0200, 0x0101, 0x0302, 0x0303};
    setup();
    for (unsigned i = 0; i < 4; i++) {
        bcr_set(20, (uint16_t)i);
        g_assert_cmphex(bcr(20), ==, shown[i]);
        g_assert_cmphex(csr(58), ==, shown[i]);
    }
    bcr_set(20, 7);
    g_assert_cmphex(csr(58), ==, 0x0303);
}

static void test_registers_while_running(void)
{
    start();
    csr_set(15, 0x8000);
    g_assert_cmphex(csr(15), ==, 0);
    csr_set(5, 1); /* suspended */
    g_assert_cmphex(csr(5), ==, 1);
    csr_set(15, 0x8000);
    g_assert_cmphex(csr(15), ==, 0x8000);
    csr_set(0, 4);
    g_assert_cmphex(csr(5), ==, 0); /* STOP ends it */
    csr_set(8, 0x1234);
    g_assert_cmphex(csr(8), ==, 0x1234);
    csr_set(5, 1); /* and it does not begin while stopped */
    g_assert_cmphex(csr(5), ==, 0);
}

/* --- Initialisation --- */

static void test_initialisation(void)
{
    for (unsigned i = 0; i < 4; i++) {
        setup();
        style = i;
        start_with(0x8000, 3);
        g_assert_cmphex(csr(15), ==, 0x8000);
        g_assert_cmphex(csr(12) | (uint32_t)csr(13) << 16, ==, 0x12005452);
        g_assert_cmphex(csr(14), ==, 0x5634);
        g_assert_cmphex(csr(24), ==, RX_RING);
        g_assert_cmphex(csr(30), ==, TX_RING);
        g_assert_cmphex(csr(76), ==, (uint16_t)-8);
        g_assert_cmphex(csr(78), ==, (uint16_t)-8);
        g_assert_cmphex(csr(28), ==, RX_RING);                       /* current */
        g_assert_cmphex(csr(26), ==, RX_RING + (i == 0 ? 8u : 16u)); /* next */
        g_assert_cmphex(csr(0), ==, 0x73);
    }
    setup(); /* switched off: DTX, DRX */
    start_with(3, 3);
    g_assert_cmphex(csr(0), ==, 0x43);
}

static void test_init_is_deferred_and_interrupts(void)
{
    setup();
    bcr_set(20, 2);
    csr_set(1, INIT);
    csr_set(0, 0x43);                  /* INIT, STRT, IENA at once */
    g_assert_cmphex(csr(0), ==, 0x43); /* neither IDON nor RXON before the block has been read */
    settle();
    g_assert_cmphex(csr(0), ==, 0x1f3);
    g_assert_true(nic_board.irq.level);
    csr_set(0, 0); /* IENA is a plain bit */
    g_assert_false(nic_board.irq.level);
    g_assert_cmphex(csr(0), ==, 0x1b3);
    csr_set(0, 0x0100);
    g_assert_cmphex(csr(0), ==, 0x33);
    csr_set(0, 7); /* STOP wins */
    g_assert_cmphex(csr(0), ==, 4);
}

static void test_no_master_no_dma(void)
{
    setup();
    bcr_set(20, 2);
    csr_set(1, INIT);
    pci_put(PCI_COMMAND, 2, 3);
    csr_set(0, 0x43);
    vclock_fake_advance(10 * MS);
    g_assert_cmphex(csr(0), ==, 0x43);
    pci_put(PCI_COMMAND, 2, 7);
    settle();
    g_assert_cmphex(csr(0), ==, 0x1f3);
}

static void test_rlen_of_32bit_blocks(void)
{
    setup();
    style = 2;
    bcr_set(20, 2);
    put32(INIT, 0xf0900000); /* both mean 512 */
    put32(INIT + 20, 0x40000);
    put32(INIT + 24, 0x50000);
    csr_set(1, INIT);
    csr_set(0, 1);
    settle();
    g_assert_cmphex(csr(76), ==, (uint16_t)-512);
    g_assert_cmphex(csr(78), ==, (uint16_t)-512);
}

/* --- Transmit --- */

static void test_transmit_in_all_styles(void)
{
    uint8_t frame[200];
    for (unsigned i = 0; i < 4; i++) {
        setup();
        style = i;
        start_with(0, 2);
        frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
        transmit(0, frame, sizeof frame, STP | ENP);
        csr_set(0, 0x48);
        g_assert_cmpuint(nic_board.cable.sent->len, ==, 0); /* not in the access */
        settle();
        g_assert_cmpmem(sent_frame(0)->data, sent_frame(0)->len, frame, sizeof frame);
        g_assert_cmphex(status(TX_RING, 0), ==, STP | ENP);
        g_assert_cmphex(csr(0), ==, 0x2f3); /* TINT, INTR; TDMD is over */
        g_assert_true(nic_board.irq.level);
        csr_set(0, 0x240);
        g_assert_false(nic_board.irq.level);
        g_assert_cmphex(csr(34), ==, TX_RING + (i == 0 ? 8u : 16u));
    }
}

static void test_transmit_polling(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    transmit(0, frame, sizeof frame, STP | ENP);
    vclock_fake_advance(2 * MS); /* 65,536 clocks: 1.97 ms */
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 1);
    csr_set(4, 0x1115); /* DPOLL */
    transmit(1, frame, sizeof frame, STP | ENP);
    vclock_fake_advance(100 * MS);
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 1);
    demand();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 2);
}

static void test_chained_transmit_buffers(void)
{
    uint8_t frame[300];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    transmit(2, frame + 150, 150, ENP);
    transmit(1, frame + 1, 149, 0);
    transmit(0, frame, 1, STP);
    demand();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 1);
    g_assert_cmpmem(sent_frame(0)->data, sent_frame(0)->len, frame, sizeof frame);
    for (unsigned i = 0; i < 3; i++)
        g_assert_false(status(TX_RING, i) & (OWN | ERR));
}

static void test_broken_chain_is_an_underflow(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    transmit(0, frame, sizeof frame, STP); /* the next one is not the chip's */
    demand();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 0);
    g_assert_cmphex(status(TX_RING, 0), ==, ERR | STP);
    g_assert_cmphex(md2(TX_RING, 0), ==, 0xc0000000); /* BUFF, UFLO */
    g_assert_cmphex(csr(0), ==, 0x02e3);              /* TXON is off */

    start();
    csr_set(3, 0x0040); /* DXSUFLO: it goes on */
    transmit(0, frame, sizeof frame, STP);
    demand();
    g_assert_cmphex(csr(0), ==, 0x02f3);
    transmit(1, frame, sizeof frame, ENP); /* the rest of that frame: skipped */
    transmit(2, frame, sizeof frame, STP | ENP);
    demand();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 1);
    g_assert_cmphex(status(TX_RING, 1), ==, ENP);
}

static void test_padding_and_fcs(void)
{
    uint8_t frame[64];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    csr_set(4, 0x0915); /* APAD_XMT */
    transmit(0, frame, 20, STP | ENP);
    demand();
    g_assert_cmpuint(sent_frame(0)->len, ==, 60);
    g_assert_cmpmem(sent_frame(0)->data, 20, frame, 20);
    g_assert_cmphex(sent_frame(0)->data[20] | sent_frame(0)->data[59], ==, 0);
    csr_set(4, 0x0115);
    transmit(1, frame, 20, STP | ENP); /* a runt stays one */
    demand();
    g_assert_cmpuint(sent_frame(1)->len, ==, 20);

    start();
    csr_set(5, 1);
    csr_set(15, 0x0008); /* DXMTFCS: the FCS is in the buffer */
    csr_set(5, 0);
    uint32_t fcs = ether_crc_le(frame, 60);
    memcpy(&frame[60], &fcs, 4);
    transmit(0, frame, 64, STP | ENP);
    frame[63] ^= 1; /* nobody takes this one */
    transmit(1, frame, 64, STP | ENP);
    transmit(2, frame, 60, STP | ENP | 0x20000000); /* ADD_FCS */
    demand();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 2);
    g_assert_cmpuint(sent_frame(0)->len, ==, 60);
    g_assert_cmpuint(sent_frame(1)->len, ==, 60);
    g_assert_false(status(TX_RING, 1) & (OWN | ERR));
    csr_set(4, 0x0915); /* APAD_XMT brings an FCS */
    transmit(3, frame, 20, STP | ENP);
    demand();
    g_assert_cmpuint(sent_frame(2)->len, ==, 60);
    g_assert_cmpmem(sent_frame(2)->data, 20, frame, 20);
}

static void test_transmit_interrupts_that_are_not_wanted(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    csr_set(5, 0x8000); /* TOKINTD */
    transmit(0, frame, sizeof frame, STP | ENP);
    demand();
    g_assert_cmphex(csr(0) & 0x200, ==, 0);
    csr_set(5, 0x4000); /* LTINTEN */
    transmit(1, frame, sizeof frame, STP | ENP);
    demand();
    g_assert_cmphex(csr(0) & 0x200, ==, 0);
    transmit(2, frame, sizeof frame, STP | ENP | 0x10000000); /* LTINT */
    demand();
    g_assert_cmphex(csr(0) & 0x200, ==, 0x200);
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 3);
    csr_set(3, 0x0200); /* TINTM */
    g_assert_false(nic_board.irq.level);
    g_assert_cmphex(csr(4) & 8, ==, 8); /* TXSTRT, masked */
    csr_set(4, 0x0111);
    g_assert_true(nic_board.irq.level);
    csr_set(4, 0x0119);
    g_assert_false(nic_board.irq.level);
}

static void test_babble(void)
{
    uint8_t frame[1600];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    transmit(0, frame, 1514, STP | ENP);
    demand();
    g_assert_cmphex(csr(0) & 0xc000, ==, 0);
    transmit(1, frame, 1518, STP | ENP);
    demand();
    g_assert_cmphex(csr(0) & 0xc000, ==, 0xc000); /* ERR, BABL */
    transmit(2, frame, 1600, STP | ENP);
    demand();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 2); /* that one does not get over the cable */
    g_assert_cmphex(status(TX_RING, 2), ==, STP | ENP);
}

static void test_no_link(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    fake_netdev_set_link(&nic_board.cable, false);
    transmit(0, frame, sizeof frame, STP | ENP);
    demand();
    g_assert_cmphex(status(TX_RING, 0), ==, ERR | STP | ENP);
    g_assert_cmphex(md2(TX_RING, 0), ==, 0x08000000); /* LCAR */
    g_assert_cmphex(csr(0) & 0xa200, ==, 0xa200);     /* ERR, CERR, TINT */
}

static void test_back_end_without_room(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    nic_board.cable.room = 1;
    transmit(0, frame, sizeof frame, STP | ENP);
    transmit(1, frame, 30, STP);
    transmit(2, frame + 30, 30, ENP);
    demand();
    g_assert_cmphex(status(TX_RING, 2), ==, OWN | ENP);
    GByteArray *bytes = device_saved(&pcnet_class, nic_board.dev); /* with a frame that has been fetched */
    csr_set(0, 4);
    device_load_checked(&pcnet_class, nic_board.dev, bytes);
    nic_board.cable.room = 9;
    settle(); /* it was armed again */
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 2);
    g_assert_cmpmem(sent_frame(1)->data, sent_frame(1)->len, frame, sizeof frame);

    nic_board.cable.room = 2;
    transmit(3, frame, sizeof frame, STP | ENP);
    demand();
    g_assert_cmphex(status(TX_RING, 3), ==, OWN | STP | ENP);
    nic_board.cable.room = 3;
    nic_board.cable.netdev.front->sendable(nic_board.cable.netdev.front_opaque);
    settle();
    g_assert_cmphex(status(TX_RING, 3), ==, STP | ENP);
}

static void test_suspend(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, MAC);
    csr_set(5, 1);
    transmit(0, frame, sizeof frame, STP | ENP);
    demand();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 0);
    g_assert_true(deliver(frame, sizeof frame)); /* lost */
    g_assert_cmphex(status(RX_RING, 0), ==, OWN);
    csr_set(5, 0); /* goes on where it was */
    settle();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 1);
}

/* --- Receive --- */

static void test_receive_in_all_styles(void)
{
    uint8_t frame[100], got[104];
    for (unsigned i = 0; i < 4; i++) {
        setup();
        style = i;
        start_with(0, 2);
        frame_make(frame, sizeof frame, MAC);
        g_assert_true(deliver(frame, sizeof frame));
        g_assert_cmphex(status(RX_RING, 0), ==, STP | ENP | (i ? 0x00400000 : 0)); /* PAM */
        g_assert_cmphex(md2(RX_RING, 0), ==, 104);
        mem_read(RX_BUFS, got, sizeof got);
        g_assert_cmpmem(got, 100, frame, 100);
        uint32_t fcs = ether_crc_le(frame, sizeof frame);
        g_assert_cmpmem(&got[100], 4, &fcs, 4);
        g_assert_cmphex(csr(0), ==, 0x4f3);
        g_assert_true(nic_board.irq.level);
    }
}

static void test_short_frames_and_stripping(void)
{
    uint8_t frame[60], got[64];
    start();
    frame_make(frame, sizeof frame, MAC);
    g_assert_true(deliver(frame, 42));
    g_assert_cmphex(md2(RX_RING, 0), ==, 64);
    mem_read(RX_BUFS, got, sizeof got);
    g_assert_cmphex(got[42] | got[59], ==, 0);
    csr_set(4, 0x0515); /* ASTRP_RCV: by IEEE 802.3's length field */
    frame[12] = 0;
    frame[13] = 10;
    g_assert_true(deliver(frame, 60));
    g_assert_cmphex(md2(RX_RING, 1), ==, 24);
    frame[13] = 46;
    g_assert_true(deliver(frame, 60));
    g_assert_cmphex(md2(RX_RING, 2), ==, 64);
}

static void test_chained_receive_buffers(void)
{
    uint8_t frame[250], got[256];
    start();
    for (unsigned i = 0; i < 4; i++)
        descriptor(RX_RING, i, RX_BUFS + 100 * i, 100, OWN);
    frame_make(frame, sizeof frame, MAC);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(status(RX_RING, 0), ==, STP);
    g_assert_cmphex(status(RX_RING, 1), ==, 0);
    g_assert_cmphex(status(RX_RING, 2), ==, ENP | 0x00400000);
    g_assert_cmphex(md2(RX_RING, 2), ==, 254);
    mem_read(RX_BUFS, got, 250);
    g_assert_cmpmem(got, 250, frame, 250);
    g_assert_true(deliver(frame, sizeof frame)); /* one buffer is left: BUFF */
    g_assert_cmphex(status(RX_RING, 3), ==, ERR | STP | 0x04000000);
    g_assert_cmphex(csr(0) & 0x400, ==, 0x400);
    g_assert_cmphex(csr(28), ==, RX_RING);
}

static bool is_taken(const char *mac)
{
    uint8_t frame[60];
    uint32_t before = csr(28);
    frame_make(frame, sizeof frame, mac);
    g_assert_true(deliver(frame, sizeof frame));
    bool taken = csr(28) != before;
    for (unsigned i = 0; i < 4; i++)
        descriptor(RX_RING, i, RX_BUFS + i * BUF, BUF, OWN);
    return taken;
}

static void mode_set(uint16_t mode)
{
    csr_set(5, 1);
    csr_set(15, mode);
    csr_set(5, 0);
}

static void test_address_filters(void)
{
    start();
    g_assert_true(is_taken(MAC));
    g_assert_false(is_taken("\x52\x54\x00\x12\x34\x57"));
    g_assert_true(is_taken("\xff\xff\xff\xff\xff\xff"));
    g_assert_false(is_taken("\x85\0\0\0\0\0"));
    csr_set(5, 1);
    csr_set(8, 0x0001); /* the data sheet's table: 85-00-00-00-00-00 is bit 0, A5 bit 1, E5 bit 2 */
    csr_set(5, 0);
    g_assert_true(is_taken("\x85\0\0\0\0\0"));
    g_assert_false(is_taken("\xa5\0\0\0\0\0"));
    csr_set(5, 1);
    csr_set(8, 0x0002);
    csr_set(5, 0);
    g_assert_true(is_taken("\xa5\0\0\0\0\0"));
    mode_set(0x4000); /* DRCVBC */
    g_assert_false(is_taken("\xff\xff\xff\xff\xff\xff"));
    mode_set(0x2000); /* DRCVPA */
    g_assert_false(is_taken(MAC));
    mode_set(0x8000); /* PROM */
    g_assert_true(is_taken("\x52\x54\x00\x12\x34\x57"));
    g_assert_true(is_taken("\x01\0\0\0\0\x77"));
}

static void test_ring_without_descriptors(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, MAC);
    for (unsigned i = 0; i < 4; i++)
        g_assert_true(deliver(frame, sizeof frame));
    unsigned ready = nic_board.cable.ready;
    g_assert_false(deliver(frame, sizeof frame)); /* the back end keeps it, and nothing is missed yet */
    g_assert_cmphex(csr(0) & 0x1000, ==, 0);
    vclock_fake_advance(10 * MS);
    g_assert_cmpuint(nic_board.cable.ready, ==, ready);
    descriptor(RX_RING, 0, RX_BUFS, BUF, OWN); /* found by polling */
    vclock_fake_advance(1 * MS);
    g_assert_cmpuint(nic_board.cable.ready, ==, ready + 1);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_false(deliver(frame, sizeof frame));
    vclock_fake_advance(60 * MS); /* nobody cares for the ring: now it is as on a wire */
    g_assert_cmpuint(nic_board.cable.ready, ==, ready + 2);
    g_assert_cmphex(csr(112), ==, 0);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(csr(112), ==, 2);
    g_assert_cmphex(csr(0) & 0x9000, ==, 0x9000);
    csr_set(0, 0x1440);
    g_assert_cmphex(csr(0) & 0x9080, ==, 0);
    descriptor(RX_RING, 1, RX_BUFS, BUF, OWN);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_false(status(RX_RING, 1) & OWN);
    g_assert_false(deliver(frame, sizeof frame)); /* patient again */
}

static void test_missed_frame_counter_rolls_over(void)
{
    uint8_t frame[60];
    setup();
    style = 2;
    start_with(0, 0);
    frame_make(frame, sizeof frame, MAC);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_false(deliver(frame, sizeof frame));
    vclock_fake_advance(60 * MS);
    for (unsigned i = 0; i < 0xffff; i++)
        g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(csr(4) & 0x200, ==, 0);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(csr(4) & 0x200, ==, 0x200); /* MFCO */
    g_assert_cmphex(csr(112), ==, 0);
    csr_set(0, 0x1440);
    csr_set(3, 0x1000);
    g_assert_false(nic_board.irq.level); /* MFCOM is on */
    csr_set(4, 0x0015);
    g_assert_true(nic_board.irq.level);
    csr_set(4, 0x0215);
    g_assert_false(nic_board.irq.level);
}

static void test_receiver_off(void)
{
    uint8_t frame[60];
    start();
    frame_make(frame, sizeof frame, MAC);
    csr_set(0, 4);
    unsigned ready = nic_board.cable.ready;
    g_assert_true(deliver(frame, sizeof frame));
    csr_set(0, 0x42); /* STRT alone: the rings go on */
    g_assert_cmpuint(nic_board.cable.ready, >, ready);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(status(RX_RING, 0), ==, STP | ENP | 0x00400000);
    pci_put(PCI_COMMAND, 2, 3); /* no master: lost */
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_cmphex(status(RX_RING, 1), ==, OWN);
}

/* --- Loopback --- */

static void test_loopback(void)
{
    uint8_t frame[64], got[64];
    setup();
    start_with(0x0044, 2); /* INTL, LOOP */
    frame_make(frame, sizeof frame, MAC);
    transmit(0, frame, 60, STP | ENP);
    demand();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 0);
    g_assert_cmphex(status(RX_RING, 0), ==, STP | ENP | 0x00400000);
    g_assert_cmphex(md2(RX_RING, 0), ==, 64);
    mem_read(RX_BUFS, got, 60);
    g_assert_cmpmem(got, 60, frame, 60);
    g_assert_true(deliver(frame, 60)); /* deaf to the wire */
    g_assert_cmphex(status(RX_RING, 1), ==, OWN);
    mode_set(0x004c); /* with the driver's FCS, which is wrong */
    transmit(1, frame, 64, STP | ENP);
    demand();
    g_assert_cmphex(status(RX_RING, 1), ==, ERR | STP | ENP | 0x08400000);
    g_assert_cmphex(csr(0) & 0x600, ==, 0x600);
}

/* --- Malformed rings --- */

static void check_abort(void)
{
    g_assert_cmphex(csr(0), ==, 4);
    g_assert_cmphex(csr(5) & 0x800, ==, 0x800);
    g_assert_cmphex(pci_get(PCI_STATUS, 2) & 0x2000, ==, 0x2000);
}

static void test_addresses_where_nobody_is(void)
{
    static const uint32_t places[] = {0xe0000000, 0xfffffff8, NIC_RAM, NIC_RAM - 8, 0x80000000};
    uint8_t frame[60];
    frame_make(frame, sizeof frame, MAC);
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        setup(); /* the initialisation block */
        bcr_set(20, 2);
        csr_set(1, (uint16_t)places[i]);
        csr_set(2, (uint16_t)(places[i] >> 16));
        csr_set(0, 0x41);
        settle();
        check_abort();
        start(); /* a transmit buffer */
        descriptor(TX_RING, 0, places[i], 60, OWN | STP | ENP);
        demand();
        check_abort();
        start(); /* a receive buffer */
        descriptor(RX_RING, 0, places[i], BUF, OWN);
        g_assert_true(deliver(frame, sizeof frame));
        check_abort();
        start(); /* the rings */
        csr_set(5, 1);
        csr_set(24, (uint16_t)places[i]);
        csr_set(25, (uint16_t)(places[i] >> 16));
        csr_set(5, 0);
        g_assert_true(deliver(frame, sizeof frame));
        check_abort();
    }
    csr_set(5, 0x0c00); /* SINT away */
    g_assert_cmphex(csr(5) & 0x800, ==, 0);
}

static void test_ring_in_rom_is_paced(void)
{
    uint32_t image[1024];
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(image); i += 4) {
        image[i] = TX_BUFS;
        image[i + 1] = OWN | STP | ENP | 0xffc4;
        image[i + 2] = image[i + 3] = 0;
    }
    mem_set_rom(0x30000, PAGE_SIZE, false);
    mem_write(0x30000, image, sizeof image);
    mem_set_rom(0x30000, PAGE_SIZE, true);
    start_with(0, 2);
    csr_set(5, 1);
    csr_set(30, 0);
    csr_set(31, 3);
    csr_set(5, 0);
    demand(); /* the descriptors stay the chip's: it sends for ever, but not all at once */
    unsigned sent = nic_board.cable.sent->len;
    g_assert_cmpuint(sent, >, 0);
    g_assert_cmpuint(sent, <=, 64);
    vclock_fake_advance(150 * US);
    g_assert_cmpuint(nic_board.cable.sent->len, <=, 3 * sent);
    csr_set(0, 4);
    mem_set_rom(0x30000, PAGE_SIZE, false);
}

static void test_rings_over_themselves(void)
{
    uint8_t frame[1500];
    start();
    frame_make(frame, sizeof frame, MAC);
    /* 65,536 descriptors of one byte, never an end, the buffers being the ring */
    csr_set(5, 1);
    csr_set(76, 0);
    csr_set(78, 0);
    csr_set(72, 0x1234);
    csr_set(74, 0x4321);
    csr_set(24, 0);
    csr_set(25, 0);
    csr_set(30, 0);
    csr_set(31, 0);
    for (uint32_t at = 0; at < 0x100000; at += 16) {
        put32(at, at + 4);
        put32(at + 4, OWN | STP | 0xffff);
    }
    csr_set(5, 0);
    demand();
    for (unsigned i = 0; i < 20; i++)
        deliver(frame, sizeof frame);
    vclock_fake_advance(100 * MS);
    g_assert_true(csr(0) & 0x12);
    csr_set(0, 4);
    g_assert_cmphex(csr(0), ==, 4);
}

static void test_length_zero_is_4096(void)
{
    start();
    descriptor(TX_RING, 0, TX_BUFS, 4096, OWN | STP | ENP); /* BCNT 0 */
    demand();
    g_assert_cmphex(status(TX_RING, 0), ==, STP | ENP);
    g_assert_cmphex(csr(0) & 0x4000, ==, 0x4000);
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 0);
    descriptor(RX_RING, 0, RX_BUFS, 4096, OWN);
    uint8_t frame[1519];
    frame_make(frame, sizeof frame, MAC);
    g_assert_true(deliver(frame, 1518));
    g_assert_cmphex(md2(RX_RING, 0), ==, 1522);
    g_assert_true(deliver(frame, 1519)); /* too long: not even looked at */
    g_assert_cmphex(csr(28), ==, RX_RING + 16);
}

/* --- State --- */

static void test_save_in_the_middle_of_a_chain(void)
{
    uint8_t frame[300];
    start();
    frame_make(frame, sizeof frame, "\x02\0\0\0\0\1");
    for (unsigned i = 0; i < 300; i++) { /* more descriptors than one go takes */
        put32(TX_BUFS + 0x10000 + 4 * i, frame[i]);
        descriptor(0x40000, i, TX_BUFS + 0x10000 + 4 * i, 1, OWN | (i == 0 ? STP : i == 299 ? ENP : 0));
    }
    csr_set(5, 1);
    csr_set(30, 0);
    csr_set(31, 4);
    csr_set(74, (uint16_t)-512);
    csr_set(78, (uint16_t)-512);
    csr_set(5, 0);
    demand();
    g_assert_cmpuint(nic_board.cable.sent->len, ==, 0);
    GByteArray *bytes = device_saved(&pcnet_class, nic_board.dev);
    nic_board_remove();
    plug();
    pci_put(PCI_COMMAND, 2, 7);
    device_load_checked(&pcnet_class, nic_board.dev, bytes);
    settle();
    g_assert_cmpmem(sent_frame(0)->data, sent_frame(0)->len, frame, sizeof frame);
    g_assert_true(nic_board.irq.level);
}

static void test_save_while_the_ring_is_full(void)
{
    uint8_t frame[60];
    setup();
    start_with(0, 0);
    frame_make(frame, sizeof frame, MAC);
    g_assert_true(deliver(frame, sizeof frame));
    g_assert_false(deliver(frame, sizeof frame));
    GByteArray *bytes = device_saved(&pcnet_class, nic_board.dev);
    nic_board_remove();
    plug();
    device_load_checked(&pcnet_class, nic_board.dev, bytes);
    unsigned ready = nic_board.cable.ready;
    descriptor(RX_RING, 0, RX_BUFS, BUF, OWN);
    vclock_fake_advance(1 * MS);
    g_assert_cmpuint(nic_board.cable.ready, ==, ready + 1);
    g_assert_true(deliver(frame, sizeof frame));
}

static void test_state_that_makes_no_sense(void)
{
    start();
    GByteArray *bytes = device_saved(&pcnet_class, nic_board.dev);
    for (guint i = 0; i + 9 < bytes->len; i++) {
        if (memcmp(&bytes->data[i], "csr\0\1", 5) == 0) /* name, then the size */
            bytes->data[i + 3 + 4 + 2 * 58] = 9;
    }
    g_assert_false(device_load(&pcnet_class, nic_board.dev, bytes->data, bytes->len));
    g_assert_cmphex(csr(58), ==, 0x0302);
    g_byte_array_unref(bytes);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pcnet/identity", test_identity);
    g_test_add_func("/pcnet/aprom", test_aprom);
    g_test_add_func("/pcnet/double_word_io", test_double_word_io);
    g_test_add_func("/pcnet/software_reset", test_software_reset);
    g_test_add_func("/pcnet/link_led", test_link_led);
    g_test_add_func("/pcnet/software_styles", test_software_styles);
    g_test_add_func("/pcnet/registers_while_running", test_registers_while_running);
    g_test_add_func("/pcnet/initialisation", test_initialisation);
    g_test_add_func("/pcnet/init_is_deferred_and_interrupts", test_init_is_deferred_and_interrupts);
    g_test_add_func("/pcnet/no_master_no_dma", test_no_master_no_dma);
    g_test_add_func("/pcnet/rlen_of_32bit_blocks", test_rlen_of_32bit_blocks);
    g_test_add_func("/pcnet/transmit_in_all_styles", test_transmit_in_all_styles);
    g_test_add_func("/pcnet/transmit_polling", test_transmit_polling);
    g_test_add_func("/pcnet/chained_transmit_buffers", test_chained_transmit_buffers);
    g_test_add_func("/pcnet/broken_chain_is_an_underflow", test_broken_chain_is_an_underflow);
    g_test_add_func("/pcnet/padding_and_fcs", test_padding_and_fcs);
    g_test_add_func("/pcnet/transmit_interrupts_that_are_not_wanted", test_transmit_interrupts_that_are_not_wanted);
    g_test_add_func("/pcnet/babble", test_babble);
    g_test_add_func("/pcnet/no_link", test_no_link);
    g_test_add_func("/pcnet/back_end_without_room", test_back_end_without_room);
    g_test_add_func("/pcnet/suspend", test_suspend);
    g_test_add_func("/pcnet/receive_in_all_styles", test_receive_in_all_styles);
    g_test_add_func("/pcnet/short_frames_and_stripping", test_short_frames_and_stripping);
    g_test_add_func("/pcnet/chained_receive_buffers", test_chained_receive_buffers);
    g_test_add_func("/pcnet/address_filters", test_address_filters);
    g_test_add_func("/pcnet/ring_without_descriptors", test_ring_without_descriptors);
    g_test_add_func("/pcnet/missed_frame_counter_rolls_over", test_missed_frame_counter_rolls_over);
    g_test_add_func("/pcnet/receiver_off", test_receiver_off);
    g_test_add_func("/pcnet/loopback", test_loopback);
    g_test_add_func("/pcnet/addresses_where_nobody_is", test_addresses_where_nobody_is);
    g_test_add_func("/pcnet/ring_in_rom_is_paced", test_ring_in_rom_is_paced);
    g_test_add_func("/pcnet/rings_over_themselves", test_rings_over_themselves);
    g_test_add_func("/pcnet/length_zero_is_4096", test_length_zero_is_4096);
    g_test_add_func("/pcnet/save_in_the_middle_of_a_chain", test_save_in_the_middle_of_a_chain);
    g_test_add_func("/pcnet/save_while_the_ring_is_full", test_save_while_the_ring_is_full);
    g_test_add_func("/pcnet/state_that_makes_no_sense", test_state_that_makes_no_sense);
    return g_test_run();
}
