/* Parallel port: one test per behaviour of IBM's printer adapter. */
#include "board.h"
#include "devices/lpt.h"

static struct wire irq7;
static uint8_t printed[16];
static size_t count;

static size_t print(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    g_assert_cmpuint(count + len, <=, sizeof printed);
    memcpy(printed + count, bytes, len);
    count += len;
    return len;
}

static const struct chardev_ops printer_ops = {.write = print};
static struct chardev printer = {.ops = &printer_ops};
static struct lpt *lpt;

static void setup(void)
{
    struct irq irq = wire_irq(&irq7);
    if (lpt)
        lpt_free(lpt);
    ioport_clear();
    memset(&irq7, 0, sizeof irq7);
    count = 0;
    lpt = lpt_new(0x378, &irq, &printer);
}

static void test_strobe_prints(void)
{
    setup();
    outb(0x378, 'a');
    g_assert_cmpuint(count, ==, 0);
    outb(0x37a, 0x0d);
    outb(0x37a, 0x0d); /* still the same strobe */
    outb(0x37a, 0x0c);
    outb(0x378, 'b');
    outb(0x37a, 0x0d);
    g_assert_cmpmem(printed, count, "ab", 2);
    g_assert_cmpuint(irq7.rises, ==, 0);
}

static void test_ready_and_latches(void)
{
    setup();
    g_assert_cmphex(inb(0x379) & 0xf8, ==, 0xd8);
    outb(0x378, 0x5a);
    g_assert_cmphex(inb(0x378), ==, 0x5a);
    outb(0x37a, 0xff);
    g_assert_cmphex(inb(0x37a), ==, 0xff);
    outb(0x37a, 0x00);
    g_assert_cmphex(inb(0x37a), ==, 0xe0); /* three bits are not there */
}

static void test_acknowledge_interrupts(void)
{
    setup();
    outb(0x378, 'x');
    outb(0x37a, 0x1d);
    g_assert_cmpuint(irq7.rises, ==, 1);
    g_assert_false(irq7.level);
}

static void test_reset_line_holds_the_printer(void)
{
    setup();
    outb(0x37a, 0x08);
    outb(0x37a, 0x09);
    g_assert_cmpuint(count, ==, 0);
}

static void test_save_and_load(void)
{
    setup();
    outb(0x378, 0x77);
    outb(0x37a, 0x1c);
    GByteArray *bytes = device_saved(&lpt_class, lpt);
    setup();
    device_load_checked(&lpt_class, lpt, bytes);
    g_assert_cmphex(inb(0x378), ==, 0x77);
    g_assert_cmphex(inb(0x37a), ==, 0xfc);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lpt/strobe_prints", test_strobe_prints);
    g_test_add_func("/lpt/ready_and_latches", test_ready_and_latches);
    g_test_add_func("/lpt/acknowledge_interrupts", test_acknowledge_interrupts);
    g_test_add_func("/lpt/reset_line_holds_the_printer", test_reset_line_holds_the_printer);
    g_test_add_func("/lpt/save_and_load", test_save_and_load);
    return g_test_run();
}
