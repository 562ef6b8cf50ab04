/* 8259A pair: one test per behaviour of the data sheet. */
#include "board.h"
#include "devices/pic.h"

static struct wire intr;
static struct pic *pic;
static unsigned eois;

static void init(uint8_t icw4)
{
    outb(0x20, 0x11);
    outb(0x21, 0x20);
    outb(0x21, 0x04);
    outb(0x21, icw4);
    outb(0xa0, 0x11);
    outb(0xa1, 0x28);
    outb(0xa1, 0x02);
    outb(0xa1, icw4);
}

static void setup(void)
{
    if (pic)
        pic_free(pic);
    ioport_clear();
    memset(&intr, 0, sizeof(intr));
    eois = 0;
    struct irq out = wire_irq(&intr);
    pic = pic_new(&out);
    init(0x01);
}

static void line(int irq, bool level)
{
    pic_set_line(pic, irq, level);
}

static void test_edge_requests_and_acknowledges(void)
{
    setup();
    line(4, true);
    g_assert_true(intr.level);
    g_assert_cmphex(pic_ack(pic), ==, 0x24);
    g_assert_false(intr.level);
    outb(0x20, 0x20);
    g_assert_false(intr.level); /* still high, but no new edge */
    line(4, false);
    line(4, true);
    g_assert_true(intr.level);
}

static void test_masked_request_waits(void)
{
    setup();
    outb(0x21, 0x10);
    line(4, true);
    g_assert_false(intr.level);
    g_assert_cmphex(inb(0x20), ==, 0x10); /* but it stands in IRR */
    outb(0x21, 0x00);
    g_assert_true(intr.level);
    g_assert_cmphex(inb(0x21), ==, 0x00);
}

static void test_lower_irq_has_priority(void)
{
    setup();
    line(7, true);
    line(3, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x23);
    g_assert_false(intr.level); /* 7 is locked out by 3 */
    outb(0x20, 0x20);
    g_assert_cmphex(pic_ack(pic), ==, 0x27);
}

static void test_higher_irq_nests(void)
{
    setup();
    line(5, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x25);
    line(1, true);
    g_assert_true(intr.level);
    g_assert_cmphex(pic_ack(pic), ==, 0x21);
    outb(0x20, 0x0b);
    g_assert_cmphex(inb(0x20), ==, 0x22);
    outb(0x20, 0x20); /* non-specific: ends the highest in service */
    g_assert_cmphex(inb(0x20), ==, 0x20);
}

static void test_slave_by_cascade(void)
{
    setup();
    line(12, true);
    g_assert_true(intr.level);
    g_assert_cmphex(pic_ack(pic), ==, 0x2c);
    outb(0x20, 0x0b);
    outb(0xa0, 0x0b);
    g_assert_cmphex(inb(0x20), ==, 0x04);
    g_assert_cmphex(inb(0xa0), ==, 0x10);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    g_assert_cmphex(inb(0x20), ==, 0);
    g_assert_cmphex(inb(0xa0), ==, 0);
}

static void test_second_slave_request_follows(void)
{
    setup();
    line(14, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x2e);
    line(9, true);
    g_assert_false(intr.level); /* IR2 in service at the master */
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    g_assert_true(intr.level);
    g_assert_cmphex(pic_ack(pic), ==, 0x29);
}

static void test_special_fully_nested(void)
{
    setup();
    init(0x11); /* SFNM */
    line(14, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x2e);
    line(9, true);
    g_assert_true(intr.level); /* higher at the slave gets through its own IR2 */
    g_assert_cmphex(pic_ack(pic), ==, 0x29);
}

static void test_short_edge_is_remembered(void)
{
    setup();
    line(4, true);
    line(4, false);
    g_assert_true(intr.level);
    g_assert_cmphex(pic_ack(pic), ==, 0x24);
}

static void test_withdrawn_level_is_spurious_ir7(void)
{
    setup();
    outb(0x4d0, 0x20); /* IRQ 5 */
    line(5, true);
    line(5, false);
    g_assert_false(intr.level);
    g_assert_cmphex(pic_ack(pic), ==, 0x27);
    outb(0x20, 0x0b);
    g_assert_cmphex(inb(0x20), ==, 0); /* and nothing is in service */
}

static void test_level_trigger_by_elcr(void)
{
    setup();
    outb(0x4d1, 0x02); /* IRQ 9 */
    line(9, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x29);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    g_assert_true(intr.level); /* still high: requests again */
    g_assert_cmphex(pic_ack(pic), ==, 0x29);
    line(9, false);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    g_assert_false(intr.level);
}

static void test_elcr_fixed_bits(void)
{
    setup();
    outb(0x4d0, 0xff);
    outb(0x4d1, 0xff);
    g_assert_cmphex(inb(0x4d0), ==, 0xf8);
    g_assert_cmphex(inb(0x4d1), ==, 0xde);
}

static void test_isa_and_pci_share_a_pin(void)
{
    setup();
    outb(0x4d1, 0x08); /* IRQ 11 */
    line(11, true);
    line(PIC_LINE_PCI + 11, true);
    line(11, false);
    g_assert_true(intr.level); /* PCI still holds it */
    line(PIC_LINE_PCI + 11, false);
    g_assert_false(intr.level);
}

static void test_auto_eoi(void)
{
    setup();
    init(0x03);
    line(4, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x24);
    outb(0x20, 0x0b);
    g_assert_cmphex(inb(0x20), ==, 0);
    line(6, true);
    g_assert_true(intr.level);
}

static void test_specific_eoi(void)
{
    setup();
    line(5, true);
    pic_ack(pic);
    line(1, true);
    pic_ack(pic);
    outb(0x20, 0x65); /* ends 5, not the highest */
    outb(0x20, 0x0b);
    g_assert_cmphex(inb(0x20), ==, 0x02);
}

static void test_rotation(void)
{
    setup();
    line(3, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x23);
    outb(0x20, 0xa0); /* rotate on non-specific EOI: 3 becomes the lowest */
    line(3, false);
    line(3, true);
    line(5, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x25);
}

static void test_set_priority(void)
{
    setup();
    outb(0x20, 0xc4); /* 4 lowest, so 5 is highest */
    line(0, true);
    line(5, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x25);
}

static void test_special_mask_mode(void)
{
    setup();
    line(2 + 1, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x23);
    line(6, true);
    g_assert_false(intr.level);
    outb(0x21, 0x08); /* mask the one in service */
    g_assert_false(intr.level);
    outb(0x20, 0x68);          /* ESMM | SMM */
    g_assert_true(intr.level); /* lower ones get through */
    g_assert_cmphex(pic_ack(pic), ==, 0x26);
}

static void test_poll_command(void)
{
    setup();
    line(6, true);
    outb(0x20, 0x0c);
    g_assert_cmphex(inb(0x20), ==, 0x86);
    g_assert_false(intr.level);
    outb(0x20, 0x0c);
    g_assert_cmphex(inb(0x20), ==, 0x00);
    outb(0x20, 0x0b);
    g_assert_cmphex(inb(0x20), ==, 0x40);
}

static void test_icw1_clears(void)
{
    setup();
    outb(0x21, 0xff);
    line(4, true);
    init(0x01);
    g_assert_cmphex(inb(0x21), ==, 0);
    g_assert_false(intr.level); /* the edge is forgotten: the line must fall first */
    line(4, false);
    line(4, true);
    g_assert_true(intr.level);
}

static void test_eoi_hook(void)
{
    setup();
    pic_set_eoi_hook(pic, 8, &(struct irq){pulse_count, &eois, 0});
    line(8, true);
    pic_ack(pic);
    outb(0x20, 0x20);
    g_assert_cmpuint(eois, ==, 0);
    outb(0xa0, 0x20);
    g_assert_cmpuint(eois, ==, 1);
    outb(0xa0, 0x20); /* nothing in service */
    g_assert_cmpuint(eois, ==, 1);
}

static void test_save_load_in_service(void)
{
    setup();
    line(14, true);
    pic_ack(pic);
    line(1, true);
    outb(0xa0, 0x11); /* and the slave in the middle of its initialisation */
    outb(0xa1, 0x70);
    GByteArray *bytes = device_saved(&pic_class, pic);
    pic_free(pic);
    memset(&intr, 0, sizeof(intr));
    struct irq out = wire_irq(&intr);
    pic = pic_new(&out);
    device_load_checked(&pic_class, pic, bytes);
    g_assert_true(intr.level);
    g_assert_cmphex(pic_ack(pic), ==, 0x21);
    outb(0xa1, 0x02);
    outb(0xa1, 0x01);
    outb(0x20, 0x20);
    outb(0x20, 0x20);
    line(15, true);
    g_assert_cmphex(pic_ack(pic), ==, 0x77);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pic/edge_requests_and_acknowledges", test_edge_requests_and_acknowledges);
    g_test_add_func("/pic/masked_request_waits", test_masked_request_waits);
    g_test_add_func("/pic/lower_irq_has_priority", test_lower_irq_has_priority);
    g_test_add_func("/pic/higher_irq_nests", test_higher_irq_nests);
    g_test_add_func("/pic/slave_by_cascade", test_slave_by_cascade);
    g_test_add_func("/pic/second_slave_request_follows", test_second_slave_request_follows);
    g_test_add_func("/pic/special_fully_nested", test_special_fully_nested);
    g_test_add_func("/pic/short_edge_is_remembered", test_short_edge_is_remembered);
    g_test_add_func("/pic/withdrawn_level_is_spurious_ir7", test_withdrawn_level_is_spurious_ir7);
    g_test_add_func("/pic/level_trigger_by_elcr", test_level_trigger_by_elcr);
    g_test_add_func("/pic/elcr_fixed_bits", test_elcr_fixed_bits);
    g_test_add_func("/pic/isa_and_pci_share_a_pin", test_isa_and_pci_share_a_pin);
    g_test_add_func("/pic/auto_eoi", test_auto_eoi);
    g_test_add_func("/pic/specific_eoi", test_specific_eoi);
    g_test_add_func("/pic/rotation", test_rotation);
    g_test_add_func("/pic/set_priority", test_set_priority);
    g_test_add_func("/pic/special_mask_mode", test_special_mask_mode);
    g_test_add_func("/pic/poll_command", test_poll_command);
    g_test_add_func("/pic/icw1_clears", test_icw1_clears);
    g_test_add_func("/pic/eoi_hook", test_eoi_hook);
    g_test_add_func("/pic/save_load_in_service", test_save_load_in_service);
    return g_test_run();
}
