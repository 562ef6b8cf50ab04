/* Every network card of the registry (whatever has a property "netdev"), without a processor, under random operations:
 * register accesses of all widths, drivers that set up rings and then break them, descriptors of nonsense, frames of
 * any length, a cable that is full, pulled, or not there, configuration space, resets, and states saved, damaged and
 * loaded at any moment, also into a board made afresh. Nothing may end the process, hang it, leak, or grow; what a card
 * saves it takes back, and saves the same again.
 *
 * usage: net_storm [--ops N] [--seed S] [--class NAME]
 *
 * N operations for each class, 200,000 if not said. The seed is printed; the same one does the same again. The long
 * run, by hand, for whoever has changed a card, in a build with -Db_sanitize=address,undefined (the leak check is at
 * the end), and once in a plain one (which looks at growth): net_storm --ops 10000000 --class pcnet
 */
#define STORM "net_storm"
#include "netdev.h"
#include "storm.h"

/* --- The cable --- */

static struct {
    struct netdev netdev; /* first */
    bool is_full;         /* send() is false */
    bool was_full;        /* it has been */
    bool holds;           /* a frame that the card had no room for */
    uint64_t sent, refused, taken, held, readies;
    uint8_t sum; /* of what was sent: so that it is looked at */
} cable;

static bool cable_send(struct netdev *netdev, const struct iovec *pieces, unsigned count,
                       const struct netdev_offload *offload)
{
    if (cable.is_full) {
        cable.was_full = true;
        cable.refused++;
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        for (size_t n = 0; n < pieces[i].iov_len; n++)
            cable.sum ^= ((const uint8_t *)pieces[i].iov_base)[n];
    }
    if (offload)
        cable.sum ^= offload->flags ^ offload->gso_type;
    cable.sent++;
    return true;
}

static void cable_ready(struct netdev *netdev)
{
    cable.readies++;
    cable.holds = false;
}

static void cable_takes_changed(struct netdev *netdev)
{
}

static const struct netdev_ops cable_ops = {cable_send, cable_ready, cable_takes_changed};

static const uint8_t card_mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

static void frame_fill(uint8_t *frame, size_t len)
{
    static const uint8_t ip_tcp[] = {0x08, 0x00, 0x45, 0x00, 0x05, 0xdc, 0, 1,  0, 0, 0x40,
                                     0x06, 0,    0,    10,   0,    2,    2, 10, 0, 2, 15};
    memset(frame, (int)rnd(), len);
    for (size_t i = 0; i + 4 <= len && i < 64; i += 4) {
        uint32_t word = rnd();
        memcpy(&frame[i], &word, 4);
    }
    if (len >= 6 && below(8)) {
        if (below(4))
            memcpy(frame, card_mac, 6);
        else
            memset(frame, 0xff, 6);
    }
    if (len >= 12 + sizeof ip_tcp && below(2))
        memcpy(&frame[12], ip_tcp, sizeof ip_tcp);
}

static void cable_deliver(void)
{
    static uint8_t frame[NETDEV_FRAME_MAX];
    const struct netdev_front *front = cable.netdev.front;
    struct netdev_offload offload = {0};
    size_t len = below(16) ? MIN(length(), 1518u) : below(NETDEV_FRAME_MAX + 1);
    if (!front || cable.holds)
        return;
    if (below(64) == 0)
        offload = (struct netdev_offload){(uint8_t)rnd(),  (uint8_t)rnd(),  (uint16_t)rnd(),
                                          (uint16_t)rnd(), (uint16_t)rnd(), (uint16_t)rnd()};
    frame_fill(frame, len);
    /* In memory of its own, so that a byte too many is seen. */
    uint8_t *own = g_memdup2(frame, len ? len : 1);
    bool is_taken = front->receive(cable.netdev.front_opaque, own, len, &offload);
    g_free(own);
    cable.holds = !is_taken;
    cable.taken += is_taken;
    cable.held += !is_taken;
}

static void cable_change(void)
{
    const struct netdev_front *front = cable.netdev.front;
    switch (below(6)) {
    case 0: /* pulled, plugged */
        cable.netdev.link_up = !cable.netdev.link_up;
        if (front && front->link_changed)
            front->link_changed(cable.netdev.front_opaque);
        break;
    case 1:
        cable.is_full = true;
        break;
    case 2: /* what is behind it has died with all it held, and there is another */
        cable.holds = cable.is_full = cable.was_full = false;
        cable.netdev.takes = below(8);
        break;
    default:
        cable.is_full = false;
        if (cable.was_full && front && front->sendable) {
            cable.was_full = false;
            front->sendable(cable.netdev.front_opaque);
        }
        break;
    }
    if (below(4)) {
        cable.netdev.link_up = true;
        if (front && front->link_changed)
            front->link_changed(cable.netdev.front_opaque);
    }
}

/* --- The board --- */

static struct netdev *find_netdev(void *opaque, const char *id)
{
    return &cable.netdev;
}

/* One board in sixteen has no cable for the card. */
static void board_build(void)
{
    static const char *const rows[] = {"apic", "ioapic", "isa-i8259", "i440FX-pcihost", "PIIX3"};
    const struct registry_backends backends = {.netdev = find_netdev};
    GError *error = NULL;
    char *row = g_strdup_printf("%s%s,mac=52:54:00:12:34:56", class_now->name, below(16) ? ",netdev=net" : "");
    registry = registry_new(&backends);
    board_provide_wire(registry_board(registry), "bus-request", (struct irq){ask_bus, NULL, 0});
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!registry_add_row(registry, rows[i], &error))
            g_error("%s: %s", rows[i], error->message);
    }
    if (!registry_add_row(registry, row, &error))
        g_error("%s: %s", row, error->message);
    g_free(row);
    card = NULL;
    for (unsigned i = 0; registry_instance(registry, i); i++)
        card = registry_instance(registry, i);
    registry_reset(registry);
    bars_find();
}

static void board_free(void)
{
    registry_free(registry);
    registry = NULL;
    cable.holds = cable.was_full = false;
    if (cable.netdev.front)
        FAIL("the card is gone and still on the cable");
}

/* --- Memory: what descriptors could be --- */

/* 32 bits of flags and a length, as many cards have them. */
static uint32_t flags_and_length(void)
{
    uint32_t len = length(), flags = below(8) ? 0x83000000u : rnd() & 0xff000000u;
    return flags | (below(4) ? (-len & 0xfff) | 0xf000 : len & 0xffff);
}

static void words_make(uint32_t *word, unsigned kind, uint32_t at)
{
    switch (kind) {
    case 0: /* 8 bytes */
        word[0] = (address() & 0xffffff) | (flags_and_length() & 0xff000000u);
        word[1] = -length() & 0xfff;
        word[2] = (address() & 0xffffff) | 0x83000000u;
        word[3] = -length() & 0xfff;
        break;
    case 1:
        word[0] = address();
        word[1] = flags_and_length();
        word[2] = word[3] = 0;
        break;
    case 2:
        word[0] = 0;
        word[1] = flags_and_length();
        word[2] = address();
        word[3] = 0;
        break;
    case 3: /* 64 bits of address, length, commands */
        word[0] = address();
        word[1] = below(32) ? 0 : value();
        word[2] = length() | (below(2) ? 0x0b000000u : rnd() & 0xff300000u);
        word[3] = below(4) ? 0 : value();
        break;
    case 4: /* virtio's */
        word[0] = address();
        word[1] = 0;
        word[2] = length();
        word[3] = below(8) | below(16) << 16;
        break;
    case 5: /* a list that leads to itself, or nearly */
        word[0] = value();
        word[1] = at - 16 * below(3);
        word[2] = at;
        word[3] = length();
        break;
    case 6:
        word[0] = flags_and_length();
        word[1] = value();
        word[2] = address();
        word[3] = 0;
        break;
    default:
        for (unsigned i = 0; i < 4; i++)
            word[i] = value();
        break;
    }
}

/* --- Drivers that know something of the card --- */

enum what { SET, PAGE, PAGE_LOW, PAGE_HIGH, PAGE_NUMBER, LENGTH, ANY, SMALL, READ };

struct row {
    uint8_t bar;
    uint16_t offset;
    uint8_t size;
    uint8_t what; /* SET: value; PAGE: an address, and its parts; LENGTH: of a buffer; SMALL: below value */
    uint32_t value;
};

struct program {
    const char *class;
    const struct row *row;
    unsigned count;
};

/* RAP, then RDP or BDP, in word I/O and in double-word I/O */
#define CSR(n, what, value) \
    {0, 0x12, 2, SET, n}, \
    { \
        0, 0x10, 2, what, value \
    }
#define BCR(n, what, value) \
    {0, 0x12, 2, SET, n}, \
    { \
        0, 0x16, 2, what, value \
    }
#define CSRD(n, what, value) \
    {1, 0x14, 4, SET, n}, \
    { \
        1, 0x10, 4, what, value \
    }
#define BCRD(n, what, value) \
    {1, 0x14, 4, SET, n}, \
    { \
        1, 0x1c, 4, what, value \
    }

static const struct row pcnet_init[] = {{0, 0x14, 2, READ, 0}, BCR(20, SMALL, 4), CSR(1, PAGE_LOW, 0),
                                        CSR(2, PAGE_HIGH, 0),  CSR(4, ANY, 0),    CSR(0, SET, 0x43)};
static const struct row pcnet_init_dwio[] = {{1, 0x10, 4, SET, 0}, {1, 0x18, 4, READ, 0}, BCRD(20, SMALL, 4),
                                             CSRD(1, PAGE_LOW, 0), CSRD(2, PAGE_HIGH, 0), CSRD(0, SET, 0x43)};
static const struct row pcnet_rings[] = {CSR(0, SET, 4),        BCR(20, SMALL, 4),    CSR(24, PAGE_LOW, 0),
                                         CSR(25, PAGE_HIGH, 0), CSR(30, PAGE_LOW, 0), CSR(31, PAGE_HIGH, 0),
                                         CSR(76, ANY, 0),       CSR(78, ANY, 0),      CSR(72, ANY, 0),
                                         CSR(74, ANY, 0),       CSR(15, ANY, 0),      CSR(0, SET, 0x42)};
static const struct row pcnet_loop[] = {CSR(5, SET, 1), CSR(15, SET, 0x8004), CSR(5, SET, 0), CSR(0, SET, 0x4a)};
static const struct row pcnet_any[] = {{0, 0x12, 2, SMALL, 132}, {0, 0x10, 2, READ, 0},   {0, 0x12, 2, SMALL, 132},
                                       {0, 0x10, 2, ANY, 0},     {0, 0x12, 2, SMALL, 36}, {0, 0x16, 2, READ, 0},
                                       {0, 0x12, 2, SMALL, 36},  {0, 0x16, 2, ANY, 0}};
static const struct row pcnet_demand[] = {CSR(0, SET, 0x7f48), CSRD(0, SET, 0x7f48)};

static const struct row ne2000_start[] = {{0, 0x0, 1, SET, 0x21}, {0, 0xe, 1, SMALL, 0x80}, {0, 0xc, 1, SET, 0x1c},
                                          {0, 0xd, 1, SMALL, 8},  {0, 0x1, 1, SET, 0x46},   {0, 0x2, 1, SET, 0x80},
                                          {0, 0x3, 1, SET, 0x46}, {0, 0xf, 1, SET, 0x7f},   {0, 0x0, 1, SET, 0x61},
                                          {0, 0x7, 1, SET, 0x47}, {0, 0x0, 1, SET, 0x22},   {0, 0xd, 1, SET, 0}};
static const struct row ne2000_send[] = {
    {0, 0x0, 1, SET, 0x22}, {0, 0x4, 1, ANY, 0}, {0, 0x5, 2, LENGTH, 0}, {0, 0x0, 1, SET, 0x26}};
static const struct row ne2000_remote[] = {{0, 0x0, 1, SET, 0x22},   {0, 0x8, 2, ANY, 0},  {0, 0xa, 2, LENGTH, 0},
                                           {0, 0x0, 1, SMALL, 0x40}, {0, 0x10, 2, ANY, 0}, {0, 0x10, 4, READ, 0},
                                           {0, 0x10, 1, ANY, 0},     {0, 0x10, 2, READ, 0}};
static const struct row ne2000_take[] = {{0, 0x0, 1, SET, 0x22}, {0, 0x3, 1, ANY, 0}, {0, 0x7, 1, SET, 0xff}};

static const struct row rtl8139_start[] = {
    {0, 0x50, 1, SET, 0xc0},  {0, 0x37, 1, SET, 0x0c},   {0, 0x30, 4, PAGE, 0}, {0, 0x44, 4, SET, 0x0000e70f},
    {0, 0x40, 4, SET, 0x600}, {0, 0x3c, 2, SET, 0xffff}, {0, 0x38, 2, ANY, 0}};
static const struct row rtl8139_send[] = {{0, 0x20, 4, PAGE, 0},    {0, 0x10, 4, LENGTH, 0}, {0, 0x24, 4, PAGE, 0},
                                          {0, 0x14, 4, LENGTH, 0},  {0, 0x28, 4, PAGE, 0},   {0, 0x18, 4, LENGTH, 0},
                                          {0, 0x3e, 2, SET, 0xffff}};
static const struct row rtl8139_plus[] = {{0, 0xe0, 2, SET, 0x2b},   {0, 0x20, 4, PAGE, 0},  {0, 0x24, 4, SET, 0},
                                          {0, 0xe4, 4, PAGE, 0},     {0, 0xe8, 4, SET, 0},   {0, 0x37, 1, SET, 0x0c},
                                          {0, 0x44, 4, SET, 0xe70f}, {0, 0xd9, 1, SET, 0x40}};

static const struct row e1000_start[] = {
    {0, 0x2800, 4, PAGE, 0},    {0, 0x2804, 4, SET, 0},     {0, 0x2808, 4, SET, 0x1000}, {0, 0x2810, 4, SET, 0},
    {0, 0x2818, 4, SMALL, 256}, {0, 0x3800, 4, PAGE, 0},    {0, 0x3804, 4, SET, 0},      {0, 0x3808, 4, SET, 0x1000},
    {0, 0x3810, 4, SET, 0},     {0, 0x3818, 4, SMALL, 256}, {0, 0x400, 4, SET, 0x1010a}, {0, 0x100, 4, SET, 0x801e},
    {0, 0xd0, 4, ANY, 0},       {0, 0xc0, 4, READ, 0}};
static const struct row e1000_send[] = {{0, 0x3818, 4, SMALL, 256}, {0, 0x2818, 4, SMALL, 256}, {0, 0xc0, 4, READ, 0}};
static const struct row e1000_odd[] = {{0, 0x2808, 4, ANY, 0}, {0, 0x2810, 4, ANY, 0}, {0, 0x2818, 4, ANY, 0},
                                       {0, 0x100, 4, ANY, 0},  {0, 0x3808, 4, ANY, 0}, {0, 0x3810, 4, ANY, 0},
                                       {0, 0x3818, 4, ANY, 0}};

static const struct row i82557_start[] = {{1, 0x4, 4, SET, 0},    {1, 0x2, 1, SET, 0x60}, {1, 0x4, 4, SET, 0},
                                          {1, 0x2, 1, SET, 0x06}, {1, 0x4, 4, PAGE, 0},   {1, 0x2, 1, SET, 0x10},
                                          {1, 0x4, 4, PAGE, 0},   {1, 0x2, 1, SET, 0x01}, {1, 0x1, 1, SET, 0xff}};
static const struct row i82557_more[] = {{1, 0x4, 4, PAGE, 0}, {1, 0x2, 1, SMALL, 0x80}, {1, 0x8, 4, PAGE, 0}};

static const struct row virtio_legacy[] = {
    {0, 0x12, 1, SET, 0},        {0, 0x12, 1, SET, 3}, {0, 0x4, 4, ANY, 0},         {0, 0xe, 2, SET, 0},
    {0, 0x8, 4, PAGE_NUMBER, 0}, {0, 0xe, 2, SET, 1},  {0, 0x8, 4, PAGE_NUMBER, 0}, {0, 0xe, 2, SET, 2},
    {0, 0x8, 4, PAGE_NUMBER, 0}, {0, 0x12, 1, SET, 7}, {0, 0x10, 2, SMALL, 3},      {0, 0x10, 2, SMALL, 3}};
static const struct row virtio_notify[] = {{0, 0x10, 2, SMALL, 4}, {0, 0x13, 1, READ, 0}};

#define PROGRAM(class, rows) \
    { \
        class, rows, G_N_ELEMENTS(rows) \
    }

/* class: the beginning of its name. */
static const struct program programs[] = {
    PROGRAM("pcnet", pcnet_init),     PROGRAM("pcnet", pcnet_init_dwio), PROGRAM("pcnet", pcnet_rings),
    PROGRAM("pcnet", pcnet_loop),     PROGRAM("pcnet", pcnet_demand),    PROGRAM("pcnet", pcnet_demand),
    PROGRAM("pcnet", pcnet_any),      PROGRAM("ne2k", ne2000_start),     PROGRAM("ne2k", ne2000_send),
    PROGRAM("ne2k", ne2000_remote),   PROGRAM("ne2k", ne2000_take),      PROGRAM("rtl8139", rtl8139_start),
    PROGRAM("rtl8139", rtl8139_send), PROGRAM("rtl8139", rtl8139_plus),  PROGRAM("e1000", e1000_start),
    PROGRAM("e1000", e1000_send),     PROGRAM("e1000", e1000_odd),       PROGRAM("i8255", i82557_start),
    PROGRAM("i8255", i82557_more),    PROGRAM("virtio", virtio_legacy),  PROGRAM("virtio", virtio_notify),
};

/* A virtqueue as legacy drivers place it (VIRTIO 1.0, 2.4.2): 256 descriptors, and all of them available. */
static void prepare_virtqueue(uint32_t at)
{
    uint32_t words[4], is_in = below(2) ? 2 : 0;
    uint16_t ring[2 + 256] = {0, (uint16_t)(below(4) ? 1 + below(256) : rnd())};
    for (unsigned i = 0; i < 256; i++) {
        bool ends = below(3) == 0;
        words[0] = address();
        words[1] = 0;
        words[2] = length();
        words[3] = (below(32) ? is_in | !ends : below(8)) | (below(32) ? (i + 1) % 256 : below(512)) << 16;
        mem_write(at + 16 * i, words, sizeof words);
        ring[2 + i] = (uint16_t)(below(32) ? i : rnd());
    }
    mem_write(at + PAGE_SIZE, ring, sizeof ring);
}

/* What is at the address that a driver gives to its card. */
static void prepare_at(uint32_t at)
{
    uint32_t words[4], receive = page(), transmit = page();
    bool is_pcnet = g_str_has_prefix(class_now->name, "pcnet");
    if (is_pcnet && below(4)) { /* an initialisation block, of 16 or 32 bits */
        uint32_t mode = below(4) ? 0 : value() & 0xffff, rlen = below(10), tlen = below(10);
        uint32_t wide[7] = {tlen << 28 | rlen << 20 | mode, 0x12005452, 0x5634, value(), value(), receive, transmit};
        uint32_t narrow[6] = {0x54520000 | mode, 0x56341200,           value(),
                              value(),           receive | rlen << 29, transmit | tlen << 29};
        if (below(2))
            mem_write(at, wide, sizeof wide);
        else
            mem_write(at, narrow, sizeof narrow);
        at = receive;
    }
    for (unsigned ring = 0; ring < 2; ring++, at = transmit) {
        unsigned kind = below(is_pcnet ? 3 : 8);
        for (unsigned i = 0; i < 32; i++) {
            words_make(words, kind, at + 16 * i);
            mem_write(at + 16 * i, words, sizeof words);
        }
    }
}

static void drive(void)
{
    const struct program *fitting[G_N_ELEMENTS(programs)];
    unsigned count = 0;
    uint32_t at = address(), v;
    for (unsigned i = 0; i < G_N_ELEMENTS(programs); i++) {
        if (g_str_has_prefix(class_now->name, programs[i].class))
            fitting[count++] = &programs[i];
    }
    if (!count)
        return;
    const struct program *program = fitting[below(count)];
    if (card->class->bus == BUS_PCI && below(4) == 0)
        bars_place();
    for (const struct row *row = program->row; row < program->row + program->count; row++) {
        v = row->value;
        if (below(32) == 0)
            continue;
        if (row->what == READ || below(64) == 0) {
            reg_read(row->bar, row->offset, row->size);
            continue;
        }
        if (row->what == PAGE || row->what == PAGE_NUMBER || row->what == PAGE_LOW)
            at = address() & (below(8) ? ~15u : ~0u);
        if (row->what == PAGE_NUMBER && below(8))
            prepare_virtqueue(at & ~(PAGE_SIZE - 1));
        else if ((row->what == PAGE || row->what == PAGE_LOW) && below(4))
            prepare_at(at);
        switch ((enum what)row->what) {
        case PAGE:
            v = at;
            break;
        case PAGE_LOW:
            v = at & 0xffff;
            break;
        case PAGE_HIGH:
            v = at >> 16;
            break;
        case PAGE_NUMBER:
            v = at >> PAGE_SHIFT;
            break;
        case LENGTH:
            v = length();
            break;
        case ANY:
            v = value();
            break;
        case SMALL:
            v = below(row->value);
            break;
        default:
            break;
        }
        reg_write(row->bar, row->offset, row->size, v);
    }
}

/* Anything, anywhere. */
static void prepare_memory(void)
{
    uint32_t words[4], at = address() & ~15u;
    switch (below(3)) {
    case 0: { /* a PCnet's initialisation block, a list of commands, or whatever it is taken for */
        uint32_t block[] = {below(16) << 28 | below(16) << 20 | (below(4) ? 0 : value() & 0xffff),
                            0x12005452,
                            0x5634,
                            value(),
                            value(),
                            address() & ~15u,
                            address() & ~15u};
        mem_write(at, block, sizeof block);
        break;
    }
    case 1: /* one for many */
        words_make(words, below(8), at);
        for (unsigned i = 1 + below(256); i > 0; i--, at += 16)
            mem_write(at, words, sizeof words);
        break;
    default:
        for (unsigned i = 1 + below(32); i > 0; i--, at += 16) {
            words_make(words, below(8), at);
            mem_write(at, words, sizeof words);
        }
        break;
    }
}

/* --- Operations --- */

/* After RESET# a card is off: it has told a back end that waits, and loses what comes. */
static void reset(void)
{
    bool held = cable.holds;
    uint64_t before = cable.readies;
    registry_reset(registry);
    if (held && cable.netdev.front && cable.readies == before)
        FAIL("RESET#, and nobody told the back end, which waits");
    cable_deliver();
    if (cable.holds)
        FAIL("after RESET# a frame is held");
    bars_place();
}

static void step(void)
{
    static const uint32_t moods[] = {2, 64, 4096, 100000};
    static bool is_quiet; /* drivers are mostly left alone */

    unsigned kind = below(1000);
    if (op_now % 128 == 0) {
        odds = moods[below(G_N_ELEMENTS(moods))];
        is_quiet = below(2);
    }
    if (is_quiet && kind < 350 && below(32))
        kind = 580 + below(320);
    if (kind < 250) {
        touch_register(true);
    } else if (kind < 350) {
        touch_register(false);
    } else if (kind < 480) {
        drive();
    } else if (kind < 580) {
        prepare_memory();
    } else if (kind < 780) {
        for (unsigned i = below(8); i-- > 0;)
            cable_deliver();
    } else if (kind < 900) {
        let_time_pass();
    } else if (kind < 940) {
        cable_change();
    } else if (kind < 955) {
        grant_bus();
    } else if (kind < 970 && card->class->bus == BUS_PCI) {
        touch_config();
    } else if (kind < 980) {
        save_and_load();
    } else if (kind < 983) {
        load_damaged();
    } else if (kind < 985) {
        dump_card();
    } else if (below(8) == 0) {
        reset();
    }
    if (card->class->bus == BUS_PCI && below(64) == 0)
        bars_place();
    renew(board_build);
}

static bool is_card(const struct device_class *class)
{
    for (const struct property *p = class->properties; p && p->name; p++) {
        if (p->type == PROPERTY_NETDEV)
            return !class->internal;
    }
    return false;
}

static void storm(uint64_t ops)
{
    seed_state = seed;
    rnd();
    memset(&cable, 0, sizeof cable);
    cable.netdev.ops = &cable_ops;
    cable.netdev.link_up = true;
    machine_lock();
    board_build();
    double seconds = storm_run(ops, board_build, step);
    printf("net_storm: %s: %llu operations in %.1f s; sent %llu, refused %llu, received %llu, held %llu\n",
           class_now->name, (unsigned long long)ops, seconds, (unsigned long long)cable.sent,
           (unsigned long long)cable.refused, (unsigned long long)cable.taken, (unsigned long long)cable.held);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    return storm_main(argc, argv, is_card, storm);
}
