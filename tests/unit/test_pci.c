/* PCI: configuration mechanism #1 and attribute map of the i440FX, BARs, routing and reset control of the PIIX3. */
#include "board.h"
#include "mem.h"
#include "devices/i440fx.h"
#include "devices/piix3.h"

static struct wire irq[16];
static unsigned resets;
static struct i440fx *host;
static struct piix3 *bridge;
static struct pci_bus *pci;
static struct pci_device card;
static uint32_t io_last;

static uint32_t card_read(void *opaque, uint16_t port, unsigned size)
{
    return 0x1234;
}

static void card_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    io_last = value;
}

static const struct io_ops card_io = {.widths = 1 | 2 | 4, .read = card_read, .write = card_write};

static uint64_t card_mmio_read(void *opaque, uint32_t offset, unsigned size)
{
    return 0xabcd0000 + offset;
}

static const struct mmio_ops card_mmio = {.read = card_mmio_read};

static GString *pam;

static void pam_note(void *opaque, gpa_t base, uint32_t size, bool readable, bool writable)
{
    g_string_append_printf(pam, "%x+%x:%d%d ", (unsigned)base, size, readable, writable);
}

static void create(void)
{
    struct piix3_wiring wiring = {.reset = {pulse_count, &resets, 0}};
    memset(irq, 0, sizeof(irq));
    resets = 0;
    for (unsigned i = 0; i < 16; i++)
        wiring.irq[i] = wire_irq(&irq[i]);
    host = i440fx_new(pam_note, NULL);
    pci = i440fx_bus(host);
    bridge = piix3_new(pci, &wiring);
    pci_device_init(&card, "card", 0x1022, 0x2000, 0x020000, 0x10);
    card.config[PCI_INTERRUPT_PIN] = 1;
    pci_add_io_bar(&card, 0, 32, &card_io, NULL);
    pci_add_mmio_bar(&card, 1, 4096, &card_mmio, NULL);
    pci_plug(pci, &card, PCI_DEVFN(3, 0));
    g_string_truncate(pam, 0);
}

static void destroy(void)
{
    piix3_free(bridge);
    i440fx_free(host);
}

static void setup(void)
{
    if (!pam) {
        GError *error = NULL;
        g_assert_true(mem_init(16 * MiB, &error));
        pam = g_string_new(NULL);
    } else {
        destroy();
    }
    ioport_clear();
    vclock_fake_start();
    create();
}

static void outl(uint16_t port, uint32_t value)
{
    ioport_write(port, 4, value);
}

static uint32_t config(uint8_t devfn, uint8_t offset)
{
    outl(0xcf8, 0x80000000u | devfn << 8 | (offset & 0xfc));
    return ioport_read(0xcfc, 4);
}

static void config_set(uint8_t devfn, uint8_t offset, uint32_t value)
{
    outl(0xcf8, 0x80000000u | devfn << 8 | (offset & 0xfc));
    outl(0xcfc, value);
}

#define CARD PCI_DEVFN(3, 0)
#define ISA  PCI_DEVFN(1, 0)

static void test_mechanism_1_probe(void)
{
    setup();
    outb(0xcfb, 0x01); /* mechanism #2 of nobody */
    outl(0xcf8, 0x80000000u);
    g_assert_cmphex(ioport_read(0xcf8, 4), ==, 0x80000000u);
    g_assert_cmphex(config(0, 0), ==, 0x12378086);
    g_assert_cmphex(config(ISA, 0), ==, 0x70008086);
}

static void test_nobody_reads_as_ones(void)
{
    setup();
    g_assert_cmphex(config(PCI_DEVFN(9, 0), 0), ==, 0xffffffffu);
    outl(0xcf8, 0x80010000u); /* bus 1 */
    g_assert_cmphex(ioport_read(0xcfc, 4), ==, 0xffffffffu);
    outl(0xcf8, 0x00000000u); /* not enabled */
    g_assert_cmphex(ioport_read(0xcfc, 4), ==, 0xffffffffu);
}

static void test_byte_and_word_access(void)
{
    setup();
    outl(0xcf8, 0x80000000u | CARD << 8);
    g_assert_cmphex(ioport_read(0xcfe, 2), ==, 0x2000);
    g_assert_cmphex(ioport_read(0xcfd, 1), ==, 0x10);
}

static void test_read_only_bits(void)
{
    setup();
    config_set(CARD, PCI_VENDOR_ID, 0);
    g_assert_cmphex(config(CARD, PCI_VENDOR_ID), ==, 0x20001022);
    config_set(CARD, PCI_COMMAND, 0xffff);
    g_assert_cmphex(config(CARD, PCI_COMMAND) & 0xffff, ==, 0x0547);
}

static void test_status_is_write_one_to_clear(void)
{
    setup();
    card.config[PCI_STATUS + 1] |= 0x20; /* received master abort */
    config_set(CARD, PCI_COMMAND, 0);
    g_assert_cmphex(config(CARD, PCI_COMMAND) >> 16 & 0x2000, ==, 0x2000);
    config_set(CARD, PCI_COMMAND, 0x20000000);
    g_assert_cmphex(config(CARD, PCI_COMMAND) >> 16 & 0x2000, ==, 0);
}

static void test_bar_sizing(void)
{
    setup();
    config_set(CARD, PCI_BAR0, 0xffffffffu);
    g_assert_cmphex(config(CARD, PCI_BAR0), ==, 0xffffffe1u);
    config_set(CARD, PCI_BAR0 + 4, 0xffffffffu);
    g_assert_cmphex(config(CARD, PCI_BAR0 + 4), ==, 0xfffff000u);
    config_set(CARD, PCI_BAR0 + 8, 0xffffffffu);
    g_assert_cmphex(config(CARD, PCI_BAR0 + 8), ==, 0);
}

static void test_io_bar_maps_when_enabled(void)
{
    setup();
    config_set(CARD, PCI_BAR0, 0xc001);
    g_assert_cmphex(ioport_read(0xc000, 2), ==, 0xffff);
    config_set(CARD, PCI_COMMAND, PCI_COMMAND_IO);
    g_assert_cmphex(ioport_read(0xc000, 2), ==, 0x1234);
    config_set(CARD, PCI_BAR0, 0xd001);
    g_assert_cmphex(ioport_read(0xc000, 2), ==, 0xffff);
    ioport_write(0xd010, 4, 77);
    g_assert_cmpuint(io_last, ==, 77);
    config_set(CARD, PCI_COMMAND, 0);
    g_assert_cmphex(ioport_read(0xd000, 2), ==, 0xffff);
}

static void test_memory_bar_maps_when_enabled(void)
{
    uint32_t value;
    setup();
    config_set(CARD, PCI_BAR0 + 4, 0xe0000000u);
    config_set(CARD, PCI_COMMAND, PCI_COMMAND_MEMORY);
    mem_read(0xe0000010, &value, 4);
    g_assert_cmphex(value, ==, 0xabcd0010);
    config_set(CARD, PCI_COMMAND, 0);
    mem_read(0xe0000010, &value, 4);
    g_assert_cmphex(value, ==, 0xffffffffu);
}

static void test_bar_on_top_of_the_board_stays_off(void)
{
    setup();
    ioport_register(0x60, 1, &card_io, NULL, "board");
    config_set(CARD, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    config_set(CARD, PCI_BAR0, 0x41 | 1);
    config_set(CARD, PCI_BAR0, 0x61);
    g_assert_false(card.bar[0].mapped);
    config_set(CARD, PCI_BAR0 + 4, 0x100000); /* in RAM */
    g_assert_false(card.bar[1].mapped);
    config_set(CARD, PCI_BAR0, 0xfff1); /* over the end */
    config_set(CARD, PCI_BAR0, 0xc001);
    g_assert_true(card.bar[0].mapped);
}

static void route(unsigned pirq, uint8_t value)
{
    outl(0xcf8, 0x80000060u | ISA << 8);
    ioport_write((uint16_t)(0xcfc + pirq), 1, value);
}

static void test_intx_goes_through_the_router(void)
{
    setup();
    route(2, 11); /* slot 3, INTA: (0 + 3 - 1) mod 4 */
    pci_set_intx(&card, true);
    g_assert_true(irq[11].level);
    route(2, 10); /* moved while it is up */
    g_assert_false(irq[11].level);
    g_assert_true(irq[10].level);
    route(2, 0x80);
    g_assert_false(irq[10].level);
    route(2, 10);
    pci_set_intx(&card, false);
    g_assert_false(irq[10].level);
}

static void test_routing_to_reserved_irqs_is_ignored(void)
{
    setup();
    pci_set_intx(&card, true);
    route(2, 0);
    route(2, 2);
    route(2, 8);
    route(2, 13);
    g_assert_cmpuint(irq[0].rises + irq[2].rises + irq[8].rises + irq[13].rises, ==, 0);
}

static void test_shared_line_is_an_or(void)
{
    static struct pci_device other;
    setup();
    pci_device_init(&other, "other", 1, 1, 0, 0);
    other.config[PCI_INTERRUPT_PIN] = 2;
    pci_plug(pci, &other, PCI_DEVFN(2, 0)); /* slot 2, INTB: the same PIRQ */
    route(2, 11);
    pci_set_intx(&card, true);
    pci_set_intx(&other, true);
    pci_set_intx(&card, false);
    g_assert_true(irq[11].level);
    pci_set_intx(&other, false);
    g_assert_false(irq[11].level);
}

static void test_intx_disable(void)
{
    setup();
    route(2, 11);
    pci_set_intx(&card, true);
    config_set(CARD, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
    g_assert_false(irq[11].level);
    config_set(CARD, PCI_COMMAND, 0);
    g_assert_true(irq[11].level);
}

static void test_cf9_resets_on_rising_edge(void)
{
    setup();
    outb(0xcf9, 0x02);
    g_assert_cmpuint(resets, ==, 0);
    outb(0xcf9, 0x06);
    g_assert_cmpuint(resets, ==, 1);
    outb(0xcf9, 0x06);
    g_assert_cmpuint(resets, ==, 1);
    g_assert_cmphex(inb(0xcf9), ==, 0x06);
}

static void test_pam_tells_of_segments(void)
{
    setup();
    outl(0xcf8, 0x80000058u);
    ioport_write(0xcfd, 1, 0x30); /* 59h */
    g_assert_cmpstr(pam->str, ==, "f0000+10000:11 ");
    g_string_truncate(pam, 0);
    ioport_write(0xcfe, 1, 0x21); /* 5Ah */
    g_assert_cmpstr(pam->str, ==, "c0000+4000:10 c4000+4000:01 ");
}

static void test_reset_unmaps(void)
{
    setup();
    config_set(CARD, PCI_BAR0, 0xc001);
    config_set(CARD, PCI_COMMAND, PCI_COMMAND_IO);
    route(2, 11);
    pci_set_intx(&card, true);
    outb(0xcf9, 0x02);
    i440fx_class.reset(host);
    piix3_class.reset(bridge);
    g_assert_false(irq[11].level);
    g_assert_cmphex(ioport_read(0xc000, 2), ==, 0xffff);
    g_assert_cmphex(config(CARD, PCI_BAR0), ==, 1);
    g_assert_cmphex(config(ISA, 0x60), ==, 0x80808080u);
    g_assert_cmphex(inb(0xcf9), ==, 0);
    route(2, 11);
    g_assert_false(irq[11].level); /* its pin is down again */
}

static void test_save_load_mapped_and_interrupting(void)
{
    setup();
    config_set(CARD, PCI_BAR0, 0xc001);
    config_set(CARD, PCI_COMMAND, PCI_COMMAND_IO);
    route(2, 11);
    pci_set_intx(&card, true);
    outl(0xcf8, 0x80000000u | CARD << 8 | PCI_BAR0);
    outb(0xcf9, 0x02);
    GByteArray *bytes = device_saved(&i440fx_class, host), *isa = device_saved(&piix3_class, bridge);
    destroy();
    create();
    g_assert_false(irq[11].level);
    device_load_checked(&i440fx_class, host, bytes);
    device_load_checked(&piix3_class, bridge, isa);
    g_assert_cmphex(inb(0xcf9), ==, 0x02);
    g_assert_true(irq[11].level);
    g_assert_cmphex(ioport_read(0xcfc, 4), ==, 0xc001);
    g_assert_cmphex(ioport_read(0xc000, 2), ==, 0x1234);
}

/* --- MSI-X: a card of its own --- */

#define MSIX_CARD PCI_DEVFN(4, 0)
#define MSIX_BAR  0xe0100000u

static struct pci_device msix_card;
static unsigned messages;
static uint64_t message_address;
static uint32_t message_data;

static void message_note(void *opaque, uint64_t address, uint32_t data)
{
    messages++;
    message_address = address;
    message_data = data;
}

static void msix_plug(void)
{
    messages = 0;
    pci_bus_set_msi(pci, message_note, NULL);
    pci_device_init(&msix_card, "msix", 0x1234, 0x5678, 0, 0);
    msix_card.config[PCI_INTERRUPT_PIN] = 1;
    pci_add_capability(&msix_card, 0x09, 0x60, "\x05vwx", 4);
    pci_add_msix(&msix_card, 0x50, 2, 200);
    pci_plug(pci, &msix_card, MSIX_CARD);
    config_set(MSIX_CARD, PCI_BAR0 + 8, MSIX_BAR);
    config_set(MSIX_CARD, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static uint32_t msix_get(uint32_t offset)
{
    uint32_t value;
    mem_read(MSIX_BAR + offset, &value, 4);
    return value;
}

static void msix_set(uint32_t offset, uint32_t value)
{
    mem_write(MSIX_BAR + offset, &value, 4);
}

static void msix_vector(unsigned n, uint32_t control)
{
    msix_set(16 * n, 0xfee01000u);
    msix_set(16 * n + 4, 0);
    msix_set(16 * n + 8, 0x100 + n);
    msix_set(16 * n + 12, control);
}

static void msix_control(uint32_t value)
{
    config_set(MSIX_CARD, 0x50, value << 16);
}

#define MSIX_ON  0x8000u
#define MSIX_ALL 0x4000u

static void test_msix_capability(void)
{
    setup();
    msix_plug();
    g_assert_cmphex(config(MSIX_CARD, PCI_CAPABILITIES) & 0xff, ==, 0x50);
    g_assert_cmphex(config(MSIX_CARD, 0x50), ==, 0x00c76011); /* 200 vectors; the next is at 60h */
    g_assert_cmphex(config(MSIX_CARD, 0x54), ==, 0x00000002);
    g_assert_cmphex(config(MSIX_CARD, 0x58), ==, 0x00001002);
    g_assert_cmphex(config(MSIX_CARD, 0x60), ==, 0x76050009);
    config_set(MSIX_CARD, PCI_BAR0 + 8, 0xffffffffu);
    g_assert_cmphex(config(MSIX_CARD, PCI_BAR0 + 8), ==, 0xffffe000u);
    msix_control(0xffff);
    g_assert_cmphex(config(MSIX_CARD, 0x50) >> 16, ==, 0xc0c7);
}

static void test_msix_table_after_reset(void)
{
    setup();
    msix_plug();
    g_assert_cmphex(msix_get(0), ==, 0);
    g_assert_cmphex(msix_get(12), ==, 1);
    msix_set(12, 0xfffffffe);
    g_assert_cmphex(msix_get(12), ==, 0);
    msix_set(0x1000, 0xff); /* pending bits */
    g_assert_cmphex(msix_get(0x1000), ==, 0);
    pci_device_reset(&msix_card);
    config_set(MSIX_CARD, PCI_BAR0 + 8, MSIX_BAR);
    config_set(MSIX_CARD, PCI_COMMAND, PCI_COMMAND_MEMORY);
    g_assert_cmphex(msix_get(12), ==, 1);
}

static void test_msix_sends(void)
{
    setup();
    msix_plug();
    msix_vector(3, 0);
    pci_msix_notify(&msix_card, 3);
    g_assert_cmpuint(messages, ==, 0); /* it is off */
    msix_control(MSIX_ON);
    pci_msix_notify(&msix_card, 3);
    pci_msix_notify(&msix_card, 200);
    g_assert_cmpuint(messages, ==, 1);
    g_assert_cmphex(message_address, ==, 0xfee01000u);
    g_assert_cmphex(message_data, ==, 0x103);
    config_set(MSIX_CARD, PCI_COMMAND, PCI_COMMAND_MEMORY); /* not bus master */
    pci_msix_notify(&msix_card, 3);
    g_assert_cmpuint(messages, ==, 1);
}

static void test_msix_masked_vector_is_pending(void)
{
    setup();
    msix_plug();
    msix_vector(33, 1);
    msix_control(MSIX_ON);
    pci_msix_notify(&msix_card, 33);
    pci_msix_notify(&msix_card, 33);
    g_assert_cmpuint(messages, ==, 0);
    g_assert_cmphex(msix_get(0x1004), ==, 2);
    msix_set(16 * 33 + 12, 0);
    g_assert_cmpuint(messages, ==, 1);
    g_assert_cmphex(msix_get(0x1004), ==, 0);
}

static void test_msix_function_mask(void)
{
    setup();
    msix_plug();
    msix_vector(0, 0);
    msix_vector(1, 0);
    msix_control(MSIX_ON | MSIX_ALL);
    pci_msix_notify(&msix_card, 0);
    pci_msix_notify(&msix_card, 1);
    g_assert_cmpuint(messages, ==, 0);
    msix_control(MSIX_ON);
    g_assert_cmpuint(messages, ==, 2);
}

static void test_msix_takes_the_pin_away(void)
{
    setup();
    msix_plug();
    route(3, 11); /* slot 4, INTA */
    pci_set_intx(&msix_card, true);
    g_assert_true(irq[11].level);
    msix_control(MSIX_ON);
    g_assert_false(irq[11].level);
    msix_control(0);
    g_assert_true(irq[11].level);
}

static void test_msix_save_load_with_one_pending(void)
{
    setup();
    msix_plug();
    msix_vector(5, 1);
    msix_control(MSIX_ON);
    pci_msix_notify(&msix_card, 5);
    GByteArray *bytes = device_saved(&i440fx_class, host);
    destroy();
    create();
    msix_plug();
    device_load_checked(&i440fx_class, host, bytes);
    g_assert_cmphex(msix_get(0x1000), ==, 1u << 5);
    msix_set(16 * 5 + 12, 0);
    g_assert_cmpuint(messages, ==, 1);
    g_assert_cmphex(message_data, ==, 0x105);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pci/mechanism_1_probe", test_mechanism_1_probe);
    g_test_add_func("/pci/nobody_reads_as_ones", test_nobody_reads_as_ones);
    g_test_add_func("/pci/byte_and_word_access", test_byte_and_word_access);
    g_test_add_func("/pci/read_only_bits", test_read_only_bits);
    g_test_add_func("/pci/status_is_write_one_to_clear", test_status_is_write_one_to_clear);
    g_test_add_func("/pci/bar_sizing", test_bar_sizing);
    g_test_add_func("/pci/io_bar_maps_when_enabled", test_io_bar_maps_when_enabled);
    g_test_add_func("/pci/memory_bar_maps_when_enabled", test_memory_bar_maps_when_enabled);
    g_test_add_func("/pci/bar_on_top_of_the_board_stays_off", test_bar_on_top_of_the_board_stays_off);
    g_test_add_func("/pci/intx_goes_through_the_router", test_intx_goes_through_the_router);
    g_test_add_func("/pci/routing_to_reserved_irqs_is_ignored", test_routing_to_reserved_irqs_is_ignored);
    g_test_add_func("/pci/shared_line_is_an_or", test_shared_line_is_an_or);
    g_test_add_func("/pci/intx_disable", test_intx_disable);
    g_test_add_func("/pci/cf9_resets_on_rising_edge", test_cf9_resets_on_rising_edge);
    g_test_add_func("/pci/pam_tells_of_segments", test_pam_tells_of_segments);
    g_test_add_func("/pci/reset_unmaps", test_reset_unmaps);
    g_test_add_func("/pci/save_load_mapped_and_interrupting", test_save_load_mapped_and_interrupting);
    g_test_add_func("/pci/msix_capability", test_msix_capability);
    g_test_add_func("/pci/msix_table_after_reset", test_msix_table_after_reset);
    g_test_add_func("/pci/msix_sends", test_msix_sends);
    g_test_add_func("/pci/msix_masked_vector_is_pending", test_msix_masked_vector_is_pending);
    g_test_add_func("/pci/msix_function_mask", test_msix_function_mask);
    g_test_add_func("/pci/msix_takes_the_pin_away", test_msix_takes_the_pin_away);
    g_test_add_func("/pci/msix_save_load_with_one_pending", test_msix_save_load_with_one_pending);
    return g_test_run();
}
