/* usb-storage: the Bulk-Only Transport's cases, SCSI commands, and requests that take their time. Packets go to the
 * device itself, but where it matters what a controller makes of a wake-up. */
#include "ram_block.h"
#include "usb_guest.h"

extern const struct device_class usb_storage_class;

#define DISK_SIZE (1 * MiB)
#define IN_EP     1
#define OUT_EP    2

static struct ram_block ram;
static struct device_drive drive;
static struct usb_device *dev;
static unsigned packet_len = 64;
static uint32_t last_tag;

/* As in usb_storage.c. */
struct config {
    struct usb_options usb;
    const struct device_drive *drive;
    const char *serial;
    bool removable;
};

static void setup_drive(uint64_t size, bool is_cd, bool removable)
{
    static struct config config;
    GError *error = NULL;
    usb_setup_bare();
    g_free(ram.bytes);
    ram_block_init(&ram, size);
    ram.block.read_only = is_cd;
    drive = (struct device_drive){.id = "stick", .block = &ram.block, .is_cd = is_cd};
    config = (struct config){.drive = &drive, .removable = removable};
    const struct device_site site = {.board = &usb.board, .id = "dev/0", .controller = usb.bus};
    void *storage = usb_storage_class.create(&site, &config, &error);
    g_assert_no_error(error);
    usb.class[usb.devices] = &usb_storage_class;
    usb.device[usb.devices++] = storage;
    dev = storage;
}

static enum usb_result packet(uint8_t pid, unsigned endpoint, void *buffer, uint32_t len, uint32_t *actual)
{
    struct usb_packet one = {.pid = pid, .endpoint = (uint8_t)endpoint, .buffer = buffer, .len = len};
    enum usb_result result = dev->ops->packet(dev, &one);
    if (actual)
        *actual = one.actual;
    return result;
}

/* On the default pipe, without data of OUT. */
static enum usb_result request(uint8_t type, uint8_t code, uint16_t value, uint16_t index, uint16_t length,
                               uint8_t *data)
{
    uint8_t setup[8] = {type,
                        code,
                        (uint8_t)value,
                        (uint8_t)(value >> 8),
                        (uint8_t)index,
                        (uint8_t)(index >> 8),
                        (uint8_t)length,
                        (uint8_t)(length >> 8)};
    uint32_t moved = 0, actual;
    g_assert_cmpint(packet(USB_SETUP, 0, setup, 8, NULL), ==, USB_ACK);
    while (type & 0x80 && moved < length) {
        enum usb_result result = packet(USB_IN, 0, data + moved, 64, &actual);
        if (result != USB_ACK)
            return result;
        moved += actual;
        if (actual < 8)
            break;
    }
    return type & 0x80 ? packet(USB_OUT, 0, NULL, 0, NULL) : packet(USB_IN, 0, NULL, 0, NULL);
}

static void setup_power_on(uint64_t size, bool is_cd, bool removable)
{
    setup_drive(size, is_cd, removable);
    dev->ops->reset(dev);
    g_assert_cmpint(request(0, 5, 3, 0, 0, NULL), ==, USB_ACK);
    g_assert_cmpint(request(0, 9, 1, 0, 0, NULL), ==, USB_ACK);
}

static enum usb_result send_cbw(uint32_t len, bool in, const uint8_t *cdb, unsigned cdb_len)
{
    uint8_t cbw[31] = {'U', 'S', 'B', 'C'};
    last_tag += 0x01020304;
    memcpy(cbw + 4, &last_tag, 4);
    memcpy(cbw + 8, &len, 4);
    cbw[12] = in ? 0x80 : 0;
    cbw[14] = (uint8_t)cdb_len;
    memcpy(cbw + 15, cdb, cdb_len);
    return packet(USB_OUT, OUT_EP, cbw, 31, NULL);
}

static bool is_halted(unsigned endpoint)
{
    uint8_t status[64];
    g_assert_cmpint(request(0x82, 0, 0, (uint16_t)endpoint, 2, status), ==, USB_ACK);
    return status[0];
}

static void clear_halt(unsigned endpoint)
{
    g_assert_cmpint(request(0x02, 1, 0, (uint16_t)endpoint, 0, NULL), ==, USB_ACK);
}

#define CSW_NAK 0xfe

/* The status; its residue. */
static unsigned get_csw(uint32_t *residue)
{
    uint8_t csw[64];
    uint32_t len, tag;
    enum usb_result result = packet(USB_IN, IN_EP, csw, 64, &len);
    if (result == USB_NAK)
        return CSW_NAK;
    g_assert_cmpint(result, ==, USB_ACK);
    g_assert_cmpuint(len, ==, 13);
    g_assert_cmpmem(csw, 4, "USBS", 4);
    memcpy(&tag, csw + 4, 4);
    g_assert_cmphex(tag, ==, last_tag);
    memcpy(residue, csw + 8, 4);
    return csw[12];
}

static uint8_t data[512 * 1024];

/* A whole command, as a driver does it: the medium answers when it is asked. moved: bytes of data. */
static unsigned command(uint32_t len, bool in, const uint8_t *cdb, unsigned cdb_len, uint32_t *moved, uint32_t *residue)
{
    bool is_over = false;
    *moved = 0;
    g_assert_cmpint(send_cbw(len, in, cdb, cdb_len), ==, USB_ACK);
    while (*moved < len && !is_over) {
        uint32_t n = MIN(packet_len, len - *moved), actual = 0;
        enum usb_result result = packet(in ? USB_IN : USB_OUT, in ? IN_EP : OUT_EP, data + *moved, n, &actual);
        if (result == USB_NAK) {
            g_assert_cmpuint(ram.count, >, 0);
            ram_block_complete(&ram);
            continue;
        }
        if (result == USB_STALL) {
            clear_halt(in ? 0x80 | IN_EP : OUT_EP);
            break;
        }
        g_assert_cmpint(result, ==, USB_ACK);
        *moved += actual;
        is_over = actual < n;
    }
    if (is_halted(0x80 | IN_EP))
        clear_halt(0x80 | IN_EP);
    if (is_halted(OUT_EP))
        clear_halt(OUT_EP);
    unsigned status;
    while ((status = get_csw(residue)) == CSW_NAK) {
        g_assert_cmpuint(ram.count, >, 0);
        ram_block_complete(&ram);
    }
    return status;
}

#define CDB(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static uint32_t moved, residue;

static void expect_sense(unsigned key, unsigned asc)
{
    g_assert_cmpuint(command(18, true, CDB(0x03, 0, 0, 0, 18, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(moved, ==, 18);
    g_assert_cmphex(data[2], ==, key);
    g_assert_cmphex(data[12] << 8 | data[13], ==, asc);
}

static void setup(void)
{
    setup_power_on(DISK_SIZE, false, false);
    g_assert_cmpuint(command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue), ==, 1);
    expect_sense(6, 0x2900);
    g_assert_cmpuint(command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue), ==, 0);
}

static void test_descriptors(void)
{
    uint8_t bytes[512];
    setup();
    g_assert_cmpint(request(0x80, 6, 0x0200, 0, 255, bytes), ==, USB_ACK);
    g_assert_cmpmem(bytes + 14, 3, "\x08\x06\x50", 3);
    g_assert_cmpuint(bytes[22] | bytes[23] << 8, ==, 64);
    g_assert_cmpint(request(0x80, 6, 0x0600, 0, 10, bytes), ==, USB_ACK); /* what it is at high speed */
    g_assert_cmpuint(bytes[0], ==, 10);
    g_assert_cmpuint(bytes[7], ==, 64);
    g_assert_cmpint(request(0x80, 6, 0x0700, 0, 255, bytes), ==, USB_ACK);
    g_assert_cmpuint(bytes[1], ==, 7);
    g_assert_cmpuint(bytes[22] | bytes[23] << 8, ==, 512);
    g_assert_cmpint(request(0x80, 6, 0x0303, 0x409, 255, bytes), ==, USB_ACK);
    g_assert_cmpuint(bytes[0], ==, 2 + 2 * 12); /* a serial number has twelve digits */
    g_assert_cmpint(request(0xa1, 0xfe, 0, 0, 1, bytes), ==, USB_ACK);
    g_assert_cmpuint(bytes[0], ==, 0);
}

static void test_inquiry(void)
{
    setup();
    g_assert_cmpuint(command(36, true, CDB(0x12, 0, 0, 0, 36, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(moved, ==, 36);
    g_assert_cmpuint(residue, ==, 0);
    g_assert_cmpmem(data + 8, 8, "QEMU    ", 8);
    g_assert_cmphex(data[1], ==, 0);
    g_assert_cmpuint(command(5, true, CDB(0x12, 0, 0, 0, 5, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(command(255, true, CDB(0x12, 1, 0, 0, 255, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(moved, ==, 7);
    g_assert_cmpuint(residue, ==, 248);
    g_assert_cmpuint(command(255, true, CDB(0x12, 1, 0x77, 0, 255, 0), &moved, &residue), ==, 1);
    expect_sense(5, 0x2400);
    g_assert_cmpuint(command(0, false, CDB(0xf7, 0, 0, 0, 0, 0), &moved, &residue), ==, 1);
    expect_sense(5, 0x2000);
}

static void test_capacity(void)
{
    setup();
    g_assert_cmpuint(command(8, true, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), &moved, &residue), ==, 0);
    g_assert_cmpmem(data, 8, "\0\0\x07\xff\0\0\x02\0", 8);
    g_assert_cmpuint(command(32, true, CDB(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), &moved, &residue),
                     ==, 0);
    g_assert_cmpmem(data, 12, "\0\0\0\0\0\0\x07\xff\0\0\x02\0", 12);
    g_assert_cmpuint(command(12, true, CDB(0x23, 0, 0, 0, 0, 0, 0, 0, 12, 0), &moved, &residue), ==, 0);
    g_assert_cmpmem(data, 12, "\0\0\0\x08\0\0\x08\0\x02\0\x02\0", 12);
    g_assert_cmpuint(command(16, true, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(command(192, true, CDB(0x1a, 0, 0x3f, 0, 192, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(moved, ==, 4 + 8 + 12 + 20);
    g_assert_cmphex(data[2], ==, 0x10);
    g_assert_cmpuint(command(192, true, CDB(0x5a, 8, 8, 0, 0, 0, 0, 0, 192, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(moved, ==, 8 + 20);
    g_assert_cmphex(data[10], ==, 0x04);
}

/* All groups of commands, over several pieces of the buffer. */
static void test_read_and_write(void)
{
    setup();
    g_assert_cmpuint(command(512, true, CDB(0x08, 0, 0, 5, 1, 0), &moved, &residue), ==, 0);
    g_assert_cmpmem(data, 512, ram.bytes + 5 * 512, 512);
    uint32_t len = 300 * 512;
    g_assert_cmpuint(command(len, true, CDB(0x28, 0, 0, 0, 0, 7, 0, 1, 44, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(moved, ==, len);
    g_assert_cmpmem(data, len, ram.bytes + 7 * 512, len);
    g_assert_cmpuint(ram.largest, <=, 65536);
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 31 + i / 512);
    uint8_t *copy = g_memdup2(data, len);
    g_assert_cmpuint(command(len, false, CDB(0xaa, 0, 0, 0, 0, 100, 0, 0, 1, 44, 0, 0), &moved, &residue), ==, 0);
    g_assert_cmpmem(copy, len, ram.bytes + 100 * 512, len);
    unsigned flushes = ram.flushes;
    g_assert_cmpuint(command(1024, false, CDB(0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0), &moved, &residue), ==,
                     0);
    g_assert_cmpmem(copy, 1024, ram.bytes + 9 * 512, 1024);
    g_assert_cmpuint(ram.flushes, ==, flushes + 1); /* FUA */
    g_assert_cmpuint(command(0, false, CDB(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(ram.flushes, ==, flushes + 2);
    g_assert_cmpuint(command(512, true, CDB(0x28, 0, 0, 0, 8, 0, 0, 0, 1, 0), &moved, &residue), ==, 1);
    expect_sense(5, 0x2100);
    g_assert_cmpuint(command(0, false, CDB(0x2f, 0, 0, 0, 7, 0xff, 0, 0, 1, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(command(0, false, CDB(0x2f, 0, 0, 0, 7, 0xff, 0, 0, 2, 0), &moved, &residue), ==, 1);
    ram.block.read_only = true;
    g_assert_cmpuint(command(512, false, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), &moved, &residue), ==, 1);
    expect_sense(7, 0x2700);
    g_free(copy);
}

static void test_medium_errors(void)
{
    setup();
    ram.error = EIO;
    g_assert_cmpuint(command(1024, true, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0), &moved, &residue), ==, 1);
    g_assert_cmpuint(residue, ==, 1024);
    expect_sense(3, 0x1100);
    g_assert_cmpuint(command(512, false, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), &moved, &residue), ==, 1);
    expect_sense(3, 0x0c00);
    uint32_t len = 200 * 512; /* the first piece fails, while the host would give more */
    g_assert_cmpuint(command(len, false, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 200, 0), &moved, &residue), ==, 1);
    g_assert_cmpuint(residue, ==, len - 65536);
    expect_sense(3, 0x0c00);
}

/* 6.7: which pipe is halted, the status, the residue, what was moved. */
static void test_thirteen_cases(void)
{
    static const struct {
        unsigned host, n;
        bool in;
        uint8_t op, sectors;
        unsigned status, residue, moved;
    } cases[] = {
        {1, 0, false, 0x00, 0, 0, 0, 0},         /* Hn = Dn */
        {2, 0, false, 0x28, 1, 2, 0, 0},         /* Hn < Di */
        {3, 0, false, 0x2a, 1, 2, 0, 0},         /* Hn < Do */
        {4, 512, true, 0x00, 0, 0, 512, 0},      /* Hi > Dn */
        {5, 1024, true, 0x28, 1, 0, 512, 512},   /* Hi > Di */
        {6, 512, true, 0x28, 1, 0, 0, 512},      /* Hi = Di */
        {7, 512, true, 0x28, 2, 2, 0, 512},      /* Hi < Di */
        {8, 512, true, 0x2a, 1, 2, 512, 0},      /* Hi <> Do */
        {9, 512, false, 0x00, 0, 0, 512, 0},     /* Ho > Dn */
        {10, 512, false, 0x28, 1, 2, 512, 0},    /* Ho <> Di */
        {11, 1024, false, 0x2a, 1, 0, 512, 512}, /* Ho > Do */
        {12, 512, false, 0x2a, 1, 0, 0, 512},    /* Ho = Do */
        {13, 512, false, 0x2a, 2, 2, 512, 0},    /* Ho < Do */
    };
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const uint8_t cdb[10] = {cases[i].op, 0, 0, 0, 0, 3, 0, 0, cases[i].sectors, 0};
        unsigned writes = ram.writes;
        unsigned status = command(cases[i].n, cases[i].in, cdb, 10, &moved, &residue);
        g_test_message("case %u", cases[i].host);
        g_assert_cmpuint(status, ==, cases[i].status);
        g_assert_cmpuint(residue, ==, cases[i].residue);
        g_assert_cmpuint(moved, ==, cases[i].moved);
        g_assert_cmpuint(ram.writes - writes, ==, cases[i].op == 0x2a && cases[i].status == 0 ? 1 : 0);
        while (ram.count)
            ram_block_complete(&ram);
    }
    /* A short reply ends in a short packet, and the pipe is halted. */
    g_assert_cmpint(send_cbw(255, true, CDB(0x12, 0, 0, 0, 255, 0)), ==, USB_ACK);
    g_assert_cmpint(packet(USB_IN, IN_EP, data, 64, &moved), ==, USB_ACK);
    g_assert_cmpuint(moved, ==, 36);
    g_assert_cmpint(packet(USB_IN, IN_EP, data, 64, &moved), ==, USB_STALL);
    g_assert_true(is_halted(0x81));
    clear_halt(0x81);
    g_assert_cmpuint(get_csw(&residue), ==, 0);
    g_assert_cmpuint(residue, ==, 219);
}

static void recover(void)
{
    g_assert_cmpint(request(0x21, 0xff, 0, 0, 0, NULL), ==, USB_ACK);
    clear_halt(0x81);
    clear_halt(OUT_EP);
}

static void test_reset_recovery(void)
{
    static const struct {
        unsigned len, at, value;
    } bad[] = {{30, 0, 'U'}, {32, 0, 'U'}, {31, 0, 'X'}, {31, 13, 1}, {31, 14, 0}, {31, 14, 17}, {31, 14, 0x26}};
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint8_t cbw[64] = {'U', 'S', 'B', 'C', [14] = 6};
        cbw[bad[i].at] = (uint8_t)bad[i].value;
        g_assert_cmpint(packet(USB_OUT, OUT_EP, cbw, bad[i].len, NULL), ==, USB_STALL);
        clear_halt(0x81);
        clear_halt(OUT_EP); /* does not help alone */
        g_assert_cmpint(packet(USB_IN, IN_EP, data, 64, NULL), ==, USB_STALL);
        g_assert_cmpint(send_cbw(0, false, CDB(0, 0, 0, 0, 0, 0)), ==, USB_STALL);
        recover();
        g_assert_cmpuint(command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue), ==, 0);
    }
    /* In the middle of data, while the medium works: the next command waits until it has come back. */
    g_assert_cmpint(send_cbw(512, true, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0)), ==, USB_ACK);
    g_assert_cmpint(packet(USB_IN, IN_EP, data, 64, NULL), ==, USB_NAK);
    for (unsigned i = 0; i < 100; i++)
        recover();
    g_assert_cmpuint(ram.count, ==, 1);
    g_assert_cmpint(send_cbw(0, false, CDB(0, 0, 0, 0, 0, 0)), ==, USB_NAK);
    ram.error = EIO; /* of what nobody wants any more */
    ram_block_complete(&ram);
    ram.error = 0;
    expect_sense(0, 0);
    g_assert_cmpuint(command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue), ==, 0);
    /* 3.1: no other form of it. */
    g_assert_cmpint(request(0x21, 0xff, 1, 0, 0, NULL), ==, USB_STALL);
    g_assert_cmpint(request(0x21, 0xff, 0, 1, 0, NULL), ==, USB_STALL);
}

static void test_packets_of_odd_lengths(void)
{
    setup();
    packet_len = 61;
    uint32_t got = 0, actual;
    g_assert_cmpint(send_cbw(200 * 512, true, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 200, 0)), ==, USB_ACK);
    for (unsigned i = 0; i < 200 * 512 / 61 + 10 && got < 200 * 512; i++) {
        if (packet(USB_IN, IN_EP, data + got, 61, &actual) == USB_ACK)
            got += actual;
        else if (ram.count)
            ram_block_complete(&ram);
    }
    g_assert_cmpuint(got, ==, 200 * 512);
    g_assert_cmpmem(data, got, ram.bytes, got);
    recover();
    while (ram.count)
        ram_block_complete(&ram);
    g_assert_cmpuint(command(200 * 512, false, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 200, 0), &moved, &residue), ==, 2);
    packet_len = 64;
    g_assert_cmpuint(command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue), ==, 0);
}

static void test_eject(void)
{
    setup_power_on(DISK_SIZE, false, true);
    command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue);
    g_assert_cmpuint(command(36, true, CDB(0x12, 0, 0, 0, 36, 0), &moved, &residue), ==, 0);
    g_assert_cmphex(data[1], ==, 0x80);
    g_assert_cmpuint(command(0, false, CDB(0x1e, 0, 0, 0, 1, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(command(0, false, CDB(0x1b, 0, 0, 0, 2, 0), &moved, &residue), ==, 1);
    expect_sense(5, 0x5302);
    g_assert_cmpuint(command(0, false, CDB(0x1e, 0, 0, 0, 0, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(command(0, false, CDB(0x1b, 0, 0, 0, 2, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue), ==, 1);
    expect_sense(2, 0x3a02);
    g_assert_cmpuint(command(0, false, CDB(0x1b, 0, 0, 0, 3, 0), &moved, &residue), ==, 0);
    g_assert_cmpuint(command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue), ==, 1);
    expect_sense(6, 0x2800);
    g_assert_cmpuint(command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue), ==, 0);
}

static void test_cd(void)
{
    setup_power_on(DISK_SIZE, true, false);
    command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue);
    g_assert_cmpuint(command(36, true, CDB(0x12, 0, 0, 0, 36, 0), &moved, &residue), ==, 0);
    g_assert_cmphex(data[0], ==, 5);
    g_assert_cmpuint(command(8, true, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), &moved, &residue), ==, 0);
    g_assert_cmpmem(data, 8, "\0\0\x01\xff\0\0\x08\0", 8);
    g_assert_cmpuint(command(4096, true, CDB(0x28, 0, 0, 0, 0, 4, 0, 0, 2, 0), &moved, &residue), ==, 0);
    g_assert_cmpmem(data, 4096, ram.bytes + 4 * 2048, 4096);
    g_assert_cmpuint(command(20, true, CDB(0x43, 2, 0, 0, 0, 0, 0, 0, 20, 0), &moved, &residue), ==, 0);
    g_assert_cmpmem(data, 20, "\0\x12\x01\x01\0\x14\x01\0\0\0\x02\0\0\x16\xaa\0\0\0\x08\x3e", 20);
    g_assert_cmpuint(command(2048, false, CDB(0x2a, 0, 0, 0, 0, 4, 0, 0, 1, 0), &moved, &residue), ==, 1);
    expect_sense(5, 0x2000);
}

/* What was moved and what was not goes on elsewhere, at whatever moment. */
static void test_state_at_any_moment(void)
{
    for (unsigned stop = 0; stop < 40; stop++) {
        for (unsigned is_read = 0; is_read < 2; is_read++) {
            setup();
            const uint32_t len = 3 * 512;
            const uint8_t cdb[10] = {is_read ? 0x28 : 0x2a, 0, 0, 0, 0, 3, 0, 0, 3, 0};
            uint8_t pattern[64], got[3 * 512];
            uint32_t done = 0, steps = 0, actual;
            bool has_command = false, was_loaded = false;
            unsigned status = CSW_NAK;
            memset(pattern, 0x5a, sizeof(pattern));
            while (status == CSW_NAK) {
                if (steps++ == stop && !was_loaded) {
                    GByteArray *blob = g_byte_array_new();
                    device_save(&usb_storage_class, dev, blob);
                    struct ram_block old = ram;
                    uint8_t *bytes = g_memdup2(ram.bytes, DISK_SIZE);
                    uint32_t tag = last_tag;
                    ram.count = 0;
                    setup();
                    memcpy(ram.bytes, bytes, DISK_SIZE);
                    last_tag = tag;
                    g_assert_true(device_load(&usb_storage_class, dev, blob->data, blob->len));
                    /* What the other one still waits for was its own. */
                    g_assert_cmpuint(ram.count, ==, old.count);
                    for (unsigned i = 0; i < old.count; i++)
                        old.pending[i].done(old.pending[i].opaque, 0);
                    g_byte_array_unref(blob);
                    g_free(bytes);
                    was_loaded = true;
                }
                if (!has_command) {
                    g_assert_cmpint(send_cbw(len, is_read, cdb, 10), ==, USB_ACK);
                    has_command = true;
                    continue;
                }
                enum usb_result result = USB_NAK;
                if (done < len)
                    result = is_read ? packet(USB_IN, IN_EP, got + done, 64, &actual)
                                     : packet(USB_OUT, OUT_EP, pattern, 64, &actual);
                else
                    status = get_csw(&residue);
                if (result == USB_ACK)
                    done += 64;
                else if (status == CSW_NAK && ram.count && (steps & 1))
                    ram_block_complete(&ram);
            }
            g_assert_cmpuint(status, ==, 0);
            g_assert_cmpuint(residue, ==, 0);
            for (unsigned i = 0; i < len && !is_read; i++)
                g_assert_cmphex(ram.bytes[3 * 512 + i], ==, 0x5a);
            if (is_read)
                g_assert_cmpmem(got, len, ram.bytes + 3 * 512, len);
        }
    }
}

/* A state that no drive can be in is refused, or does no harm. */
static void test_random_states(void)
{
    GRand *random = g_rand_new_with_seed(4711);
    GByteArray *blob = g_byte_array_new();
    setup();
    g_assert_cmpint(send_cbw(65536 * 2, false, CDB(0x2a, 0, 0, 0, 0, 0, 0, 1, 0, 0)), ==, USB_ACK);
    g_assert_cmpint(packet(USB_OUT, OUT_EP, data, 64, NULL), ==, USB_ACK);
    device_save(&usb_storage_class, dev, blob);
    for (unsigned i = 0; i < 3000; i++) {
        guint8 *bytes = g_memdup2(blob->data, blob->len);
        uint32_t all = MIN(blob->len, 1400);
        for (unsigned n = 0; n < 3; n++)
            bytes[g_rand_int_range(random, 0, (gint32)all)] = (uint8_t)g_rand_int(random);
        while (ram.count)
            ram_block_complete(&ram);
        device_load(&usb_storage_class, dev, bytes, blob->len);
        for (unsigned n = 0; n < 30; n++) {
            uint8_t some[64] = {0};
            packet(n & 1 ? USB_IN : USB_OUT, n & 1 ? IN_EP : OUT_EP, some, 64, NULL);
            if (ram.count && n % 3 == 0)
                ram_block_complete(&ram);
        }
        g_free(bytes);
    }
    while (ram.count)
        ram_block_complete(&ram);
    g_byte_array_unref(blob);
    g_rand_free(random);
}

/* The idle controller hears of the medium's answer, and is not walked for it before. */
static void test_wakes_the_controller(void)
{
    uint8_t cbw[31] = {'U', 'S', 'B', 'C', [8] = 64, [12] = 0x80, [14] = 10, [15] = 0x28, [23] = 1};
    cbw[9] = 2; /* 512 bytes */
    cbw[8] = 0;
    setup_drive(DISK_SIZE, false, false);
    usb_start();
    port_start(0);
    enumerate(3);
    g_assert_cmpuint(command(0, false, CDB(0, 0, 0, 0, 0, 0), &moved, &residue), ==, 1); /* of the power-on */
    memcpy(guest_mem.ram + USB_BUFFER(4), cbw, 31);
    put_td(40, LINK_END, STATUS_ON | STATUS_3, USB_OUT, 3, OUT_EP, 31, 4);
    put_qh(QH_AT, LINK_END, USB_TD(40));
    all_frames(QH_AT | LINK_QH);
    uw_set(SOFMOD, 0x40);
    frames_pass(2);
    g_assert_false(td_status(40) & STATUS_ON);
    g_assert_cmpuint(ram.count, ==, 1);
    put_td(41, LINK_END, STATUS_ON | STATUS_3, USB_IN, 3, IN_EP, 64, 5);
    put_qh(QH_AT, LINK_END, USB_TD(41));
    frames_pass(3000);
    g_assert_true(td_status(41) & STATUS_ON);
    uint64_t before = usb.uhci->walks;
    frames_pass(1000);
    g_assert_cmpuint(usb.uhci->walks - before, <, 100);
    ram_block_complete(&ram);
    vclock_fake_advance(2 * MS);
    g_assert_false(td_status(41) & STATUS_ON);
    g_assert_cmpmem(guest_mem.ram + USB_BUFFER(5), 64, ram.bytes, 64);
}

/* The drive outlives nothing that it waits for. */
static void test_going_while_busy(void)
{
    setup();
    g_assert_cmpint(send_cbw(512, true, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0)), ==, USB_ACK);
    g_assert_cmpuint(ram.count, ==, 1);
    usb_free();
    ram_block_complete(&ram);
}

static void test_config(void)
{
    GError *error = NULL;
    struct config config = {0};
    usb_setup_bare();
    const struct device_site site = {.board = &usb.board, .id = "dev/0", .controller = usb.bus};
    g_assert_null(usb_storage_class.create(&site, &config, &error));
    g_assert_nonnull(strstr(error->message, "drive"));
    g_clear_error(&error);
    g_assert_cmpuint(usb_bus_free_ports(usb.bus), ==, 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usb_storage/descriptors", test_descriptors);
    g_test_add_func("/usb_storage/inquiry", test_inquiry);
    g_test_add_func("/usb_storage/capacity", test_capacity);
    g_test_add_func("/usb_storage/read_and_write", test_read_and_write);
    g_test_add_func("/usb_storage/medium_errors", test_medium_errors);
    g_test_add_func("/usb_storage/thirteen_cases", test_thirteen_cases);
    g_test_add_func("/usb_storage/reset_recovery", test_reset_recovery);
    g_test_add_func("/usb_storage/packets_of_odd_lengths", test_packets_of_odd_lengths);
    g_test_add_func("/usb_storage/eject", test_eject);
    g_test_add_func("/usb_storage/cd", test_cd);
    g_test_add_func("/usb_storage/state_at_any_moment", test_state_at_any_moment);
    g_test_add_func("/usb_storage/random_states", test_random_states);
    g_test_add_func("/usb_storage/wakes_the_controller", test_wakes_the_controller);
    g_test_add_func("/usb_storage/going_while_busy", test_going_while_busy);
    g_test_add_func("/usb_storage/config", test_config);
    int rc = g_test_run();
    usb_free();
    g_free(ram.bytes);
    return rc;
}
