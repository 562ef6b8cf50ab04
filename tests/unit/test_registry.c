/* Classes, properties, buses and wires, with two made-up cards (toy_isa.c, toy_pci.c) on the PC's own chips. */
#include <string.h>

#include "backend.h"
#include "board.h"
#include "board/registry.h"
#include "mem.h"
#include "usb.h"

static struct registry *registry;
static struct chardev backend;
static unsigned intr_rises;
static bool intr_level;
static const struct board_int_ack *ack;

static struct chardev *find_chardev(void *opaque, const char *id)
{
    return strcmp(id, "known") == 0 ? &backend : NULL;
}

static void intr(void *opaque, int line, bool level)
{
    intr_rises += level && !intr_level;
    intr_level = level;
}

static void setup(void)
{
    static const char *const rows[] = {"apic", "ioapic", "isa-i8259", "i440FX-pcihost", "PIIX3", "piix3-ide"};
    const struct registry_backends backends = {.chardev = find_chardev};
    ioport_clear();
    vclock_fake_start();
    intr_rises = 0;
    intr_level = false;
    g_assert_true(mem_init(4 * MiB, NULL));
    registry = registry_new(&backends);
    board_provide_wire(registry_board(registry), "intr", (struct irq){intr, NULL, 0});
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_true(registry_add_row(registry, rows[i], NULL));
    ack = board_service(registry_board(registry), "int-ack");
}

static void teardown(void)
{
    registry_free(registry);
    mem_destroy();
}

static void good(const char *device)
{
    GError *error = NULL;
    struct keyvalues *request = keyvalues_parse(device, "-device", "driver", &error);
    g_assert_no_error(error);
    registry_add(registry, request, true, &error);
    g_assert_no_error(error);
}

static void bad(const char *device, const char *says)
{
    GError *error = NULL;
    struct keyvalues *request = keyvalues_parse(device, "-device", "driver", &error);
    g_assert_no_error(error);
    g_assert_false(registry_add(registry, request, true, &error));
    if (!strstr(error->message, says))
        g_error("%s: '%s' does not say '%s'", device, error->message, says);
    g_error_free(error);
}

static const struct instance *find(const char *id)
{
    const struct instance *instance;
    for (unsigned i = 0; (instance = registry_instance(registry, i)); i++) {
        if (strcmp(instance->id, id) == 0)
            return instance;
    }
    return NULL;
}

/* The master 8259A: vectors 20h up, cascade on 2, 8086 mode, all open. */
static void master_start(void)
{
    outb(0x20, 0x11);
    outb(0x21, 0x20);
    outb(0x21, 0x04);
    outb(0x21, 0x01);
    outb(0x21, 0x00);
}

static void test_isa_card(void)
{
    setup();
    good("toy-isa,iobase=0x300,irq=7,greeting=good,,bye,id=toy");
    g_assert_cmphex(inb(0x301), ==, 'g');
    master_start();
    outb(0x300, 1);
    g_assert_true(intr_level);
    g_assert_cmphex(ack->ack(ack->opaque), ==, 0x27);
    outb(0x300, 0);
    g_assert_cmpuint(inb(0x300), ==, 2);
    registry_reset(registry);
    g_assert_cmpuint(inb(0x300), ==, 0);
    teardown();
}

/* COM1 and COM3, in small: who lets go of a line does not take the other's request away. */
static void test_shared_isa_line(void)
{
    setup();
    good("toy-isa,iobase=0x220,irq=4");
    good("toy-isa,iobase=0x240,irq=4");
    master_start();
    outb(0x220, 1);
    g_assert_true(intr_level);
    g_assert_cmphex(ack->ack(ack->opaque), ==, 0x24);
    outb(0x240, 1);
    outb(0x220, 0);
    outb(0x20, 0x20);
    g_assert_false(intr_level); /* no edge since */
    outb(0x4d0, 0x10);          /* level: it is still held */
    g_assert_true(intr_level);
    outb(0x240, 0);
    g_assert_false(intr_level);
    outb(0x240, 0);
    outb(0x220, 1);
    g_assert_true(intr_level);
    registry_reset(registry);
    g_assert_false(intr_level);
    teardown();
}

static void test_presets_and_globals(void)
{
    setup();
    registry_set_global(registry, "toy-isa", "loud", "on");
    registry_set_global(registry, "toy-isa", "iobase", "0x240");
    g_assert_nonnull(registry_unused_global(registry));
    good("toy-isa,iobase=0x220");
    good("toy-isa");
    g_assert_null(registry_unused_global(registry));
    outb(0x220, 0);
    g_assert_cmpuint(inb(0x220), ==, 2);
    g_assert_cmpuint(inb(0x240), ==, 0);
    registry_set_global(registry, "nobody", "x", "1");
    g_assert_cmpstr(registry_unused_global(registry), ==, "nobody");
    teardown();
}

static void test_what_is_refused(void)
{
    setup();
    bad("toy", "-device help");
    bad("apic", "part of the board");
    bad("toy-isa,iobase=0x20", "ports 0x20");
    bad("toy-isa,iobase=0x10000", "from 0 to 65534");
    bad("toy-isa,iobase=-1", "not '-1'");
    bad("toy-isa,irq=16", "from 0 to 15");
    bad("toy-isa,loud=perhaps", "on or off");
    bad("toy-isa,greeting=far too long", "8 characters");
    bad("toy-isa,colour=red", "no property 'colour'");
    bad("toy-isa,chardev=unknown", "no -chardev with the id 'unknown'");
    bad("toy-isa,bus=pci.0", "'pci.0' is none");
    bad("toy-isa,id=1st", "begins with a letter");
    bad("toy-pci,addr=20", "slot from 0 to 1f");
    bad("toy-pci,addr=1.0", "slot 1.0 is taken");
    bad("toy-pci,bus=pci.1", "'pci.1' is none");
    bad("floppy", "no floppy-bus bus");
    bad("ide-hd", "needs drive=");
    bad("ide-hd,drive=x", "no -drive with the id 'x'");
    bad("ide-hd,unit=2", "0 or 1");
    good("toy-isa,chardev=known,id=a");
    bad("toy-isa,chardev=known,iobase=0x300", "is in a already");
    bad("toy-isa,id=a,iobase=0x300", "two devices have the id 'a'");
    teardown();
}

static uint32_t config_read(unsigned slot, unsigned offset)
{
    ioport_write(0xcf8, 4, 0x80000000u | slot << 11 | offset);
    return ioport_read(0xcfc, 4);
}

static void config_write(unsigned slot, unsigned offset, uint32_t value)
{
    ioport_write(0xcf8, 4, 0x80000000u | slot << 11 | offset);
    ioport_write(0xcfc, 4, value);
}

static void test_pci_slots(void)
{
    setup();
    good("toy-pci,addr=3");
    good("toy-pci");
    good("toy-pci");
    good("toy-pci,addr=1f.0,id=last");
    g_assert_cmphex(config_read(2, 0), ==, 0x43211234);
    g_assert_cmphex(config_read(3, 0), ==, 0x43211234);
    g_assert_cmphex(config_read(4, 0), ==, 0x43211234);
    g_assert_cmphex(config_read(31, 0), ==, 0x43211234);
    g_assert_cmphex(config_read(5, 0), ==, 0xffffffff);
    for (unsigned i = 0; i < 26; i++)
        good("toy-pci");
    bad("toy-pci", "all PCI slots are taken");
    teardown();
}

static void mmio_write(uint32_t value)
{
    mem_write(0xe0000000, &value, 4);
}

static void test_pci_interrupts(void)
{
    uint32_t enable = 0x1ff;
    setup();
    good("toy-pci,addr=4");
    config_write(4, 0x10, 0xe0000000);
    config_write(4, 0x04, 6);
    config_write(1, 0x60, 0x0b0b0b0b); /* all PIRQs to IRQ 11 */
    master_start();
    outb(0xa0, 0x11);
    outb(0xa1, 0x28);
    outb(0xa1, 0x02);
    outb(0xa1, 0x01);
    outb(0xa1, 0x00);
    outb(0x4d1, 0x08); /* level */
    mmio_write(1);
    g_assert_true(intr_level);
    g_assert_cmphex(ack->ack(ack->opaque), ==, 0x2b);
    mmio_write(0);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    g_assert_false(intr_level);

    /* With messages the pin is silent; a message is a vector of the local APIC. */
    g_assert_cmphex(config_read(4, 0x34) & 0xff, ==, 0x40);
    g_assert_cmphex(config_read(4, 0x40) & 0xff, ==, 0x05);
    mem_write(0xfee000f0, &enable, 4);
    config_write(4, 0x44, 0xfee00000);
    config_write(4, 0x48, 0);
    config_write(4, 0x4c, 0x51);
    config_write(4, 0x40, 0x00010000);
    mmio_write(1);
    g_assert_false(intr_level);
    mmio_write(2);
    g_assert_true(intr_level);
    g_assert_cmphex(ack->ack(ack->opaque), ==, 0x51);
    config_write(4, 0x44, 0xd0000000); /* nobody's address */
    mmio_write(2);
    g_assert_false(intr_level);
    teardown();
}

static void test_state(void)
{
    setup();
    good("toy-isa,iobase=0x300,irq=7,id=toy");
    const struct instance *toy = find("toy");
    outb(0x300, 1);
    outb(0x300, 1);
    GByteArray *saved = device_saved(toy->class, toy->dev);
    registry_reset(registry);
    g_assert_cmpuint(inb(0x300), ==, 0);
    device_load_checked(toy->class, toy->dev, saved);
    g_assert_cmpuint(inb(0x300), ==, 2);
    teardown();
}

static void test_tree_and_help(void)
{
    GString *out = g_string_new(NULL);
    setup();
    good("toy-isa,iobase=0x300,id=toy,greeting=hi");
    good("toy-pci,addr=7");
    registry_print_tree(registry, out);
    static const char *const expected[] = {"bus: main-system-bus\n  type System\n",
                                           "  dev: i440FX-pcihost, id \"\"\n    bus: pci.0\n      type PCI\n",
                                           "      dev: toy-pci, id \"\"\n        addr = 07.0\n",
                                           "bus: ide.1\n",
                                           "bus: isa.0\n  type ISA\n  dev: isa-i8259, id \"\"\n",
                                           "  dev: toy-isa, id \"toy\"\n    iobase = 768 (0x300)\n    irq = 5 (0x5)\n",
                                           "    loud = false\n    greeting = \"hi\"\n"};
    for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
        if (!strstr(out->str, expected[i]))
            g_error("not in the tree: %s\n%s", expected[i], out->str);
    }
    g_string_truncate(out, 0);
    device_classes_print(out);
    g_assert_nonnull(strstr(out->str, "name \"toy-pci\", bus PCI, desc \"a card for tests\"\n"));
    g_assert_null(strstr(out->str, "\"apic\""));
    g_string_truncate(out, 0);
    g_assert_true(device_class_print("toy-isa", out));
    g_assert_nonnull(strstr(out->str, "iobase=<uint32>"));
    g_assert_nonnull(strstr(out->str, "(default: 0x220)"));
    g_assert_false(device_class_print("toy", out));
    g_string_free(out, TRUE);
    teardown();
}

/* Controllers of serial ports are buses of their own, named after them. */
static void test_serial_buses(void)
{
    setup();
    bad("virtserialport", "No 'virtio-serial-bus' bus found for device 'virtserialport'");
    good("virtio-serial,id=vs0,max_ports=3");
    good("virtio-serial-pci");
    good("virtio-serial-pci,id=other");
    good("virtserialport,id=a,name=org.test.0"); /* the first one's */
    good("virtserialport,id=b,bus=virtio-serial-bus.0,nr=7");
    good("virtconsole,id=c,bus=other.0");
    bad("virtserialport,bus=vs1.0", "'vs1.0' is none here");
    bad("virtserialport,bus=virtio-serial-bus.1", "is none here");
    bad("virtserialport,bus=vs0.0,name=org.test.0", "already exists");
    GString *tree = g_string_new(NULL);
    registry_print_tree(registry, tree);
    const char *first = strstr(tree->str, "bus: vs0.0"), *second = strstr(tree->str, "bus: virtio-serial-bus.0"),
               *third = strstr(tree->str, "bus: other.0");
    g_assert_true(first && second && third && first < second && second < third);
    const char *a = strstr(tree->str, "id \"a\""), *b = strstr(tree->str, "id \"b\""),
               *c = strstr(tree->str, "id \"c\"");
    g_assert_true(first < a && a < second && second < b && b < third && third < c);
    g_string_free(tree, TRUE);
    teardown();
}

/* The last port becomes a hub, unless it is asked for; other controllers are not forgotten. */
static void test_usb_ports(void)
{
    setup();
    bad("usb-tablet", "No 'usb-bus' bus found");
    good("piix3-usb-uhci,id=one");
    good("piix3-usb-uhci");
    good("usb-kbd,bus=usb-bus.0,port=2");
    good("usb-tablet,bus=usb-bus.0,port=1,id=own");
    bad("usb-mouse,bus=usb-bus.0", "all USB ports are taken");
    for (unsigned i = 0; i < 9; i++)
        good("usb-kbd");
    const struct usb_device *last = find("usb-kbd/9")->dev;
    g_assert_cmpstr(last->port->path, ==, "2.8.1"); /* behind two hubs */
    bad("usb-mouse,port=2.8", "taken by QEMU USB Hub");
    good("usb-mouse,port=2.8.8");
    GString *text = g_string_new(NULL);
    usb_dump(registry_board(registry), text);
    g_assert_nonnull(strstr(text->str, "  Device 0.0, Port 2.8.8, Speed 12 Mb/s, Product QEMU USB Mouse\n"));
    g_assert_nonnull(strstr(text->str, "  Device 1.0, Port 1, Speed 12 Mb/s, Product QEMU USB Tablet, ID: own\n"));
    g_string_free(text, TRUE);
    teardown();
}

#define TEST(name) g_test_add_func("/registry/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(isa_card);
    TEST(shared_isa_line);
    TEST(presets_and_globals);
    TEST(what_is_refused);
    TEST(pci_slots);
    TEST(pci_interrupts);
    TEST(state);
    TEST(serial_buses);
    TEST(usb_ports);
    TEST(tree_and_help);
    return g_test_run();
}
