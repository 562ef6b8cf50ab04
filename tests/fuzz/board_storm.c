/* The whole board (pc, isapc), without a processor, under random accesses: ports, memory, PCI configuration, at random
 * times, with media that come and go, fail or hang, keys, serial bytes, resets, screens that are looked at, and states
 * that are loaded after bytes of them were changed. Nothing may end the process, no single access may keep it for long,
 * and after a reset the board works as on the first day.
 *
 * usage: board_storm ROUNDS [SEED]; a round is 20,000 accesses. The seed is printed; the same one does the same again.
 */
#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "backend.h"
#include "block.h"
#include "board/registry.h"
#include "chance.h"
#include "device.h"
#include "display.h"
#include "input.h"
#include "ioport.h"
#include "lock.h"
#include "log.h"
#include "mem.h"
#include "vclock.h"

#define STEPS   20000u
#define RAM     (8 * MiB)
#define STUCK_S 20 /* of processor time for one access, on the slowest host */

/* --- Chance --- */

/* Numbers as devices know them: small ones, single bits, all ones, anything. */
static uint32_t value(void)
{
    switch (below(6)) {
    case 0:
        return below(4);
    case 1:
        return 1u << below(32);
    case 2:
        return ~0u;
    case 3:
        return below(256);
    default:
        return rnd();
    }
}

static uint64_t seed, step_now; /* seed: this round's */

/* --- Media --- */

struct request {
    uint64_t offset;
    uint8_t *to;
    const uint8_t *from;
    uint32_t len;
    block_done_fn *done;
    void *opaque;
};

struct medium {
    struct block block; /* first */
    struct device_drive drive;
    uint8_t *bytes;
    uint64_t full;  /* size of what is put in */
    unsigned queue; /* requests that may be under way at once; 0: one */
    GArray *pending;
    void (*changed)(void *opaque);
    void *changed_opaque;
};

static void push(struct block *block, struct request request)
{
    struct medium *medium = (struct medium *)block;
    assert_always(request.offset + request.len <= medium->full);
    g_array_append_val(medium->pending, request);
    /* A drive has one buffer, but for a virtio disk; a state that is loaded leaves what was under way to itself. */
    if (medium->pending->len > (seed % 2 ? 100 : medium->queue ? medium->queue : 1))
        g_error("seed %llu: %u requests at once to %s", (unsigned long long)seed, medium->pending->len,
                medium->drive.id);
}

static void medium_read(struct block *block, uint64_t offset, void *to, uint32_t len, block_done_fn *done, void *opaque)
{
    push(block, (struct request){offset, to, NULL, len, done, opaque});
}

static void medium_write(struct block *block, uint64_t offset, const void *from, uint32_t len, block_done_fn *done,
                         void *opaque)
{
    push(block, (struct request){offset, NULL, from, len, done, opaque});
}

static void medium_flush(struct block *block, block_done_fn *done, void *opaque)
{
    push(block, (struct request){0, NULL, NULL, 0, done, opaque});
}

static void medium_set_removable(struct block *block, void (*changed)(void *opaque), void *opaque, uint64_t max_size)
{
    struct medium *medium = (struct medium *)block;
    medium->changed = changed;
    medium->changed_opaque = opaque;
}

static void medium_discard(struct block *block, uint64_t offset, uint32_t len, block_done_fn *done, void *opaque)
{
    push(block, (struct request){offset, NULL, NULL, len, done, opaque});
}

static void medium_write_zeroes(struct block *block, uint64_t offset, uint32_t len, bool may_unmap, block_done_fn *done,
                                void *opaque)
{
    push(block, (struct request){offset, NULL, NULL, len, done, opaque});
}

static const struct block_ops medium_ops = {medium_read,
                                            medium_write,
                                            medium_flush,
                                            medium_set_removable,
                                            .discard = medium_discard,
                                            .write_zeroes = medium_write_zeroes};

static struct medium media[6] = {{.drive.id = "disk", .full = 2048 * 512},
                                 {.drive.id = "slave", .full = 999 * 512},
                                 {.drive.id = "cd", .full = 400 * 2048, .drive.is_cd = true},
                                 {.drive.id = "floppy", .full = 1474560},
                                 {.drive.id = "virtio", .full = 4096 * 512, .queue = 64},
                                 {.drive.id = "stick", .full = 2048 * 512}};

static void media_init(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(media); i++) {
        struct medium *medium = &media[i];
        medium->block = (struct block){.ops = &medium_ops, .size = medium->full, .has_medium = true};
        medium->bytes = g_malloc0(medium->full);
        medium->pending = g_array_new(FALSE, FALSE, sizeof(struct request));
        medium->drive.block = &medium->block;
        medium->drive.cylinders = 2;
        medium->drive.heads = 16;
        medium->drive.sectors = 31;
    }
}

static bool medium_complete(struct medium *medium, int error)
{
    if (!medium->pending->len)
        return false;
    struct request request = g_array_index(medium->pending, struct request, 0);
    g_array_remove_index(medium->pending, 0);
    if (!error && request.to)
        memcpy(request.to, medium->bytes + request.offset, request.len);
    if (!error && request.from)
        memcpy(medium->bytes + request.offset, request.from, request.len);
    request.done(request.opaque, error);
    return true;
}

static void medium_swap(struct medium *medium)
{
    if (!medium->changed)
        return;
    medium->block.has_medium = !medium->block.has_medium;
    medium->block.size = medium->block.has_medium ? medium->full : 0;
    medium->changed(medium->changed_opaque);
}

static const struct device_drive *find_drive(void *opaque, const char *id)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(media); i++) {
        if (strcmp(media[i].drive.id, id) == 0)
            return &media[i].drive;
    }
    return NULL;
}

/* --- The other end of serial and parallel ports --- */

static size_t cable_write(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    return below(4) ? len : below((uint32_t)len + 1);
}

static void cable_room(struct chardev *chardev)
{
}

static const struct chardev_ops cable_ops = {.write = cable_write, .room_changed = cable_room};
static struct chardev cables[4] = {{&cable_ops}, {&cable_ops}, {&cable_ops}, {&cable_ops}};

static struct chardev *find_chardev(void *opaque, const char *id)
{
    unsigned n = (unsigned)atoi(id);
    return n < G_N_ELEMENTS(cables) ? &cables[n] : NULL;
}

static void cable_receive(struct chardev *chardev)
{
    uint8_t bytes[16];
    if (!chardev->front || !chardev->front->receive)
        return;
    size_t room = chardev->front->room(chardev->front_opaque), len = below(sizeof bytes + 1);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rnd();
    if (MIN(len, room))
        chardev->front->receive(chardev->front_opaque, bytes, MIN(len, room));
    chardev->front->writable(chardev->front_opaque);
    if (chardev->front->event && below(8) == 0)
        chardev->front->event(chardev->front_opaque, CHARDEV_BREAK);
}

/* --- The board --- */

static struct registry *registry;
static bool intr, reset_asked;
static const struct board_int_ack *ack;
static const struct input_sink *input;
static const struct display *display;

static void set_intr(void *opaque, int line, bool level)
{
    intr = level;
}

static void ask_reset(void *opaque, int line, bool level)
{
    reset_asked |= level;
}

static void guest_exit(void *opaque, int status)
{
}

static bool is_isa;             /* this round's board has no PCI */
static bool is_cirrus, is_svga; /* or another graphics card */

static void board_build(void)
{
    static const char *const pc[] = {"apic,tsc-deadline=on",
                                     "ioapic",
                                     "isa-i8259",
                                     "i440FX-pcihost",
                                     "PIIX3",
                                     "hpet",
                                     "isa-pit",
                                     "isa-pcspk",
                                     "mc146818rtc",
                                     "i8042",
                                     "port92",
                                     "PIIX4_PM",
                                     "fw_cfg",
                                     "ferr",
                                     "piix3-ide",
                                     "piix3-usb-uhci,addr=1.2",
                                     "usb-tablet",
                                     "usb-mouse",
                                     "usb-storage,drive=stick,removable=on",
                                     "ich9-usb-ehci1,id=ehci",
                                     "ich9-usb-uhci1,masterbus=ehci.0",
                                     "usb-tablet,bus=ehci.0",
                                     "pci-ohci,id=ohci",
                                     "usb-mouse,bus=ohci.0",
                                     "usb-kbd",
                                     "i8257",
                                     "isa-fdc",
                                     "ide-hd,drive=disk",
                                     "ide-hd,drive=slave",
                                     "ide-cd,drive=cd",
                                     "floppy,drive=floppy",
                                     "VGA",
                                     "isa-serial,chardev=0",
                                     "isa-serial,chardev=1",
                                     "isa-parallel,chardev=2",
                                     "isa-debugcon,chardev=3,iobase=0x402",
                                     "pc-testdev",
                                     "isa-debug-exit,iobase=0xf4",
                                     "virtio-blk-pci,drive=virtio,num-queues=2",
                                     "virtio-net-pci",
                                     "ES1370",
                                     "AC97",
                                     "sb16",
                                     "adlib",
                                     NULL};
    static const char *const isapc[] = {"isa-i8259",
                                        "isa-shadow",
                                        "isa-pit",
                                        "isa-pcspk",
                                        "mc146818rtc",
                                        "i8042",
                                        "port92",
                                        "fw_cfg",
                                        "ferr",
                                        "isa-ide",
                                        "i8257",
                                        "isa-fdc",
                                        "ide-hd,drive=disk",
                                        "ide-cd,drive=cd",
                                        "floppy,drive=floppy",
                                        "isa-vga",
                                        "isa-serial,chardev=0",
                                        "isa-serial,chardev=1,index=2",
                                        "isa-parallel,chardev=2",
                                        "adlib",
                                        "sb16,dma16=6",
                                        NULL};
    const char *const *rows = is_isa ? isapc : pc;
    static struct board_exit on_exit = {guest_exit, NULL};
    const struct registry_backends backends = {.chardev = find_chardev, .drive = find_drive};
    registry = registry_new(&backends);
    struct board *board = registry_board(registry);
    board_provide_wire(board, "intr", (struct irq){set_intr, NULL, 0});
    board_provide_wire(board, "reset", (struct irq){ask_reset, NULL, 0});
    board_provide(board, "exit", &on_exit);
    for (unsigned i = 0; rows[i]; i++) {
        GError *error = NULL;
        const char *row = rows[i];
        if (strcmp(row, "VGA") == 0)
            row = is_cirrus ? "cirrus-vga" : is_svga ? "vmware-svga" : row;
        if (!registry_add_row(registry, row, &error))
            g_error("%s: %s", row, error->message);
    }
    ack = board_service(board, "int-ack");
    input = board_service(board, "input");
    display = board_service(board, "display");
    assert_always(ack && input && display);
}

/* --- What the guest does --- */

static void out(uint16_t port, unsigned size, uint32_t v)
{
    machine_lock();
    ioport_write(port, size, v);
    machine_unlock();
}

static uint32_t in(uint16_t port, unsigned size)
{
    machine_lock();
    uint32_t v = ioport_read(port, size);
    machine_unlock();
    return v;
}

static uint16_t claimed[4096];
static unsigned claimed_count;

static void ports_find(void)
{
    claimed_count = 0;
    for (unsigned port = 0; port < 0x10000 && claimed_count < G_N_ELEMENTS(claimed); port++) {
        if (!ioport_is_free((uint16_t)port, 1))
            claimed[claimed_count++] = (uint16_t)port;
    }
}

static uint32_t config_read(uint8_t devfn, unsigned offset)
{
    out(0xcf8, 4, 0x80000000u | (uint32_t)devfn << 8 | offset);
    return in(0xcfc, 4);
}

static void config_write(uint8_t devfn, unsigned offset, uint32_t v)
{
    out(0xcf8, 4, 0x80000000u | (uint32_t)devfn << 8 | (offset & 0xfc));
    out((uint16_t)(0xcfc + (offset & 3)), 1, v);
}

static const uint8_t functions[] = {0x00, 0x08, 0x09, 0x0b, 0x10, 0x18, 0x20};

/* Places where something is, more often than chance would. */
static gpa_t any_address(void)
{
    static const gpa_t places[] = {0xfee00000, 0xfec00000, 0xfed00000, 0xa0000, 0xb8000, 0xc0000, 0xff000000, 0};
    uint32_t bar;
    switch (below(4)) {
    case 0:
        return below(RAM);
    case 1:
        bar = config_read(functions[below(sizeof functions)], 0x10 + 4 * below(6));
        return (bar & ~15u) + below(0x1000);
    case 2:
        return rnd();
    default:
        return places[below(G_N_ELEMENTS(places))] + (below(2) ? below(0x400) & ~3u : below(0x10000));
    }
}

static void touch_memory(void)
{
    uint8_t bytes[64];
    uint32_t word = value(), len = below(8) ? 1u << below(4) : below(sizeof bytes);
    gpa_t at = any_address();
    memcpy(bytes, &word, 4);
    machine_lock();
    if (below(2))
        mem_write(at, bytes, len);
    else
        mem_read(at, bytes, len);
    machine_unlock();
}

/* A bus master's descriptors, an ATAPI packet, a sector: what random bytes seldom are. */
static void touch_disks(void)
{
    static const uint8_t commands[] = {0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0xc4, 0xc5, 0xc8, 0xca,
                                       0xa0, 0xa1, 0xec, 0xef, 0xe7, 0x91, 0xc6, 0x08, 0x90, 0xb0, 0x40};
    uint16_t base = below(2) ? 0x1f0 : 0x170;
    uint32_t words[4] = {below(RAM), value() & 0x8000ffff, below(RAM), value() | 0x80000000u};
    switch (below(5)) {
    case 0:
        out(base + 6, 1, 0xe0 | below(32));
        for (unsigned i = 2; i < 6; i++)
            out((uint16_t)(base + i), 1, below(3));
        out(base + 7, 1, commands[below(sizeof commands)]);
        break;
    case 1:
        for (unsigned i = below(2) ? 6 : 256; i--;)
            out(base, 2, value() & 0x033f);
        break;
    case 2:
        for (unsigned i = 0; i < 256; i++)
            in(base, 2);
        break;
    case 3:
        machine_lock();
        mem_write(0x10000, words, sizeof words);
        machine_unlock();
        config_write(0x09, 0x04, 7);
        config_write(0x09, 0x20, 1);
        config_write(0x09, 0x21, 0xc0);
        out(base == 0x1f0 ? 0xc004 : 0xc00c, 4, 0x10000);
        out(base == 0x1f0 ? 0xc000 : 0xc008, 1, below(2) ? 9 : 1);
        break;
    default:
        for (unsigned i = 0; i < 9; i++)
            out(0x3f5, 1, i ? below(3) : (uint32_t)(0x40 | below(32)));
        break;
    }
}

/* The Cirrus card's extensions are behind a key that chance does not find; its blitter's registers are many. */
static void touch_cirrus(void)
{
    out(0x3c4, 2, 0x1206);
    out(0x3ce, 2, below(2) ? 0x0506 : 0x0806);
    for (unsigned i = below(12); i--;) {
        if (below(3))
            out(0x3ce, 2, below(0x40) | value() << 8);
        else
            out(below(2) ? 0x3c4 : 0x3d4, 2, below(0x28) | value() << 8);
    }
    out(0x3c4, 2, 0x0107);
    if (below(2))
        config_write(functions[below(sizeof functions)], 0x04, 3);
    if (below(2))
        out(0x3ce, 2, below(3) ? 0x0231 : 0x0431);
}

static void write_word(gpa_t at, uint32_t word)
{
    machine_lock();
    mem_write(at, &word, 4);
    machine_unlock();
}

/* The SVGA card's FIFO and its registers. Commands of any kind, pointers mostly good. */
static void touch_svga(void)
{
    uint32_t port = 0, fifo = 0;
    for (unsigned i = 0; i < sizeof(functions) && !fifo; i++) {
        if (config_read(functions[i], 0) != 0x040515ad)
            continue;
        for (unsigned bar = 0; bar < 3; bar++)
            config_write(functions[i], 0x10 + 4 * bar, bar ? 0xe0000000u + bar * 0x4000000u : 0xc000);
        config_write(functions[i], 0x04, 3);
        port = 0xc000;
        fifo = 0xe8000000u;
    }
    if (!port)
        return;
    static const uint32_t start[] = {2048, 8192, 2048, 2048};
    for (unsigned i = 0; i < 4 && below(2); i++)
        write_word(fifo + 4 * i, start[i]);
    for (unsigned i = below(200), at = 2048; i--; at += 4)
        write_word(fifo + at, below(2) ? below(40) : below(2) ? below(700) : value());
    write_word(fifo + 8, below(20) ? 2048 + 4 * below(300) : value());
    for (unsigned i = below(6); i--;) {
        out((uint16_t)port, 4, below(40));
        out((uint16_t)(port + 1), 4, below(3) ? below(1500) : value());
    }
    for (unsigned i = 0; i < 2; i++) {
        out((uint16_t)port, 4, i ? 21 : below(2) ? 20 : 1);
        out((uint16_t)(port + 1), 4, 1);
        out((uint16_t)port, 4, 22);
        in((uint16_t)(port + 1), 4);
    }
}

static void let_time_pass(void)
{
    static const int64_t most[] = {2000, 100000, 5000000, 60000000, 3000000000};
    vclock_fake_advance((int64_t)(rnd() % (uint64_t)most[below(below(20) ? 4 : 5)]));
}

static void look(void)
{
    static struct display_text text;
    static uint32_t pixels[4096 * 4];
    unsigned width, height;
    GString *dump = g_string_new(NULL);
    machine_lock();
    display->text(display->opaque, &text);
    display->size(display->opaque, &width, &height);
    if (width && width <= 4096 && height)
        display->rows(display->opaque, width, height, below(height), 1, pixels);
    const struct instance *instance;
    for (unsigned i = 0; (instance = registry_instance(registry, i)); i++) {
        if (instance->class->dump && below(8) == 0)
            instance->class->dump(instance->dev, dump);
    }
    machine_unlock();
    g_string_free(dump, TRUE);
}

static unsigned instance_count(void)
{
    unsigned count = 0;
    while (registry_instance(registry, count))
        count++;
    return count;
}

/* What is saved, with some bytes of it changed, is refused or makes a device that can be gone on with. */
static void load_damaged(void)
{
    const struct instance *instance = registry_instance(registry, below(instance_count()));
    if (!instance->class->layout && !instance->class->pieces)
        return;
    GByteArray *bytes = g_byte_array_new();
    machine_lock();
    device_save(instance->class, instance->dev, bytes);
    for (unsigned i = below(6); i-- && bytes->len;)
        bytes->data[below(bytes->len)] = (uint8_t)value();
    device_load(instance->class, instance->dev, bytes->data, below(10) ? bytes->len : below(bytes->len + 1));
    machine_unlock();
    g_byte_array_unref(bytes);
}

static void reset(void)
{
    reset_asked = false;
    machine_lock();
    registry_reset(registry);
    machine_unlock();
}

static void step(void)
{
    unsigned kind = below(100);
    uint16_t port = below(8) ? claimed[below(claimed_count)] : (uint16_t)rnd();
    unsigned size = below(3) ? 1 : 1u << below(3);

    if (kind < 40) {
        out(port, size, value());
    } else if (kind < 55) {
        in(port, size);
    } else if (kind < 68) {
        touch_memory();
    } else if (kind < 74) {
        config_write(functions[below(sizeof functions)], below(256), value());
    } else if (kind < 80) {
        if (is_cirrus && below(2))
            touch_cirrus();
        else if (is_svga && below(2))
            touch_svga();
        else
            touch_disks();
    } else if (kind < 87) {
        let_time_pass();
    } else if (kind < 90) {
        medium_complete(&media[below(G_N_ELEMENTS(media))], below(6) ? 0 : EIO);
    } else if (kind < 92) {
        machine_lock();
        registry_bus_granted(registry);
        if (intr)
            ack->ack(ack->opaque);
        machine_unlock();
    } else if (kind < 94) {
        machine_lock();
        const struct input_sink *sink = input;
        for (unsigned i = below(4); i && sink->next; i--)
            sink = sink->next;
        if (sink->absolute)
            sink->absolute(sink->opaque, value(), value(), (int)value(), value());
        if (sink->key && (below(2) || !sink->mouse))
            sink->key(sink->opaque, (uint16_t)value(), below(2));
        else if (sink->mouse)
            sink->mouse(sink->opaque, (int)value(), (int)value(), (int)value(), value());
        machine_unlock();
    } else if (kind < 96) {
        machine_lock();
        cable_receive(&cables[below(G_N_ELEMENTS(cables))]);
        machine_unlock();
    } else if (kind < 97) {
        machine_lock();
        medium_swap(&media[below(G_N_ELEMENTS(media))]);
        machine_unlock();
    } else if (kind < 98) {
        look();
    } else if (kind < 99) {
        if (seed % 2)
            load_damaged();
    } else if (below(100) == 0 || reset_asked) {
        reset();
    }
}

/* --- As on the first day --- */

static void settle(void)
{
    bool more = true;
    for (unsigned i = 0; more && i < 10000; i++) {
        machine_lock();
        more = false;
        for (unsigned n = 0; n < G_N_ELEMENTS(media); n++)
            more |= medium_complete(&media[n], 0);
        machine_unlock();
    }
    assert_always(!more);
}

static void expect(const char *what, uint32_t got, uint32_t wanted)
{
    if (got != wanted)
        g_error("seed %llu, after a reset: %s is %x, not %x", (unsigned long long)seed, what, got, wanted);
}

static void check_board(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(media); i++) {
        if (!media[i].block.has_medium)
            medium_swap(&media[i]);
    }
    settle();
    reset();
    settle();
    for (unsigned i = 0; i < 512; i++)
        media[0].bytes[7 * 512 + i] = (uint8_t)(i * 3);
    for (uint16_t line = 0; line < 24; line++) /* pc-testdev has no reset */
        out((uint16_t)(0x2000 + line), 1, 0);
    if (!is_isa) {
        expect("the host bridge", config_read(0x00, 0), 0x12378086);
        expect("the ISA bridge", config_read(0x08, 0), 0x70008086);
    }
    out(0x3f6, 1, 0);
    static const uint8_t address[] = {1, 7, 0, 0, 0xe0, 0x20};
    for (unsigned i = 0; i < sizeof address; i++)
        out((uint16_t)(0x1f2 + i), 1, address[i]);
    settle();
    expect("the disk's status", in(0x1f7, 1), 0x58);
    for (unsigned i = 0; i < 512; i += 2)
        expect("the disk's data", in(0x1f0, 2), (uint8_t)(i * 3) | (uint32_t)(uint8_t)((i + 1) * 3) << 8);
    for (unsigned i = 0; i < 64 && in(0x64, 1) & 1; i++)
        in(0x60, 1);
    out(0x64, 1, 0xaa);
    vclock_fake_advance(50000000);
    expect("the keyboard controller", in(0x60, 1), 0x55);
    static const uint16_t pics[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1}, {0x21, 0xfe},
                                       {0xa0, 0x11}, {0xa1, 0x28}, {0xa1, 2}, {0xa1, 1}, {0xa1, 0xff}};
    for (unsigned i = 0; i < G_N_ELEMENTS(pics); i++)
        out(pics[i][0], 1, pics[i][1]);
    static const uint32_t apic_on = 0x1ff, ext_int = 0x700; /* virtual wire */
    machine_lock();
    mem_write(0xfee000f0, &apic_on, 4);
    mem_write(0xfee00350, &ext_int, 4);
    machine_unlock();
    out(0x43, 1, 0x34);
    out(0x40, 1, 0);
    out(0x40, 1, 0x10);
    vclock_fake_advance(10000000);
    expect("the timer's interrupt", intr, true);
    machine_lock();
    expect("the timer's vector", ack->ack(ack->opaque), 0x20);
    machine_unlock();
    out(0x3fb, 1, 0x03);
    out(0x3ff, 1, 0x5a);
    expect("the serial port", in(0x3ff, 1), 0x5a);
}

/* --- One access may not take for ever --- */

static void stuck(int sig)
{
    char text[128];
    int len = snprintf(text, sizeof text, "board_storm: seed %llu, step %llu is stuck\n", (unsigned long long)seed,
                       (unsigned long long)step_now);
    if (write(STDERR_FILENO, text, (size_t)len) < 0)
        _exit(2);
    abort();
}

static void watch(uint64_t *last)
{
    struct itimerval limit = {.it_value.tv_sec = STUCK_S};
    if (++*last % 64 == 1)
        setitimer(ITIMER_VIRTUAL, &limit, NULL);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 20;
    uint64_t watched = 0;
    seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)g_get_real_time();
    printf("board_storm: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    signal(SIGVTALRM, stuck);
    vclock_fake_start();
    media_init();
    for (unsigned long round = 0; round < rounds; round++, seed++) {
        GError *error = NULL;
        seed_state = seed;
        rnd();
        is_isa = seed % 8 >= 6;
        is_cirrus = seed % 16 >= 2 && seed % 16 < 4; /* with damaged states and without */
        is_svga = seed % 16 >= 10 && seed % 16 < 12;
        if (!mem_init(RAM, &error))
            g_error("%s", error->message);
        board_build();
        check_board();
        for (step_now = 0; step_now < STEPS; step_now++) {
            if (step_now % 1000 == 0)
                ports_find();
            watch(&watched);
            step();
        }
        if (seed % 2 == 0)
            check_board();
        settle();
        registry_free(registry);
        for (unsigned i = 0; i < G_N_ELEMENTS(media); i++)
            media[i].changed = NULL; /* the next board may not have that drive */
        mem_destroy();
    }
    printf("board_storm: %lu rounds\n", rounds);
    return 0;
}
