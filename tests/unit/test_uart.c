/* 16550A: one test per behaviour of the data sheet. */
#include "board.h"
#include "devices/uart.h"

#define BASE 0x3f8
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

/* A back that records, and takes only as much as it is told. */
struct recorder {
    struct chardev chardev;
    GString *sent;
    size_t takes;
    unsigned room_changes;
};

static size_t recorder_write(struct chardev *chardev, const uint8_t *bytes, size_t len)
{
    struct recorder *recorder = (struct recorder *)chardev;
    size_t taken = MIN(len, recorder->takes);
    recorder->takes -= taken;
    g_string_append_len(recorder->sent, (const char *)bytes, (gssize)taken);
    return taken;
}

static void recorder_room_changed(struct chardev *chardev)
{
    ((struct recorder *)chardev)->room_changes++;
}

static const struct chardev_ops recorder_ops = {recorder_write, recorder_room_changed};

static struct recorder back;
static struct wire irq4;
static struct uart *uart;

static void create(void)
{
    struct irq irq = wire_irq(&irq4);
    memset(&irq4, 0, sizeof(irq4));
    uart = uart_new(BASE, &irq, &back.chardev, "test");
}

static void setup(void)
{
    if (uart)
        uart_free(uart);
    ioport_clear();
    vclock_fake_start();
    if (back.sent)
        g_string_free(back.sent, TRUE);
    back = (struct recorder){.chardev.ops = &recorder_ops, .sent = g_string_new(NULL), .takes = 1000000};
    create();
    outb(BASE + LCR, 0x80);
    outb(BASE + DATA, 1); /* 115200 */
    outb(BASE + IER, 0);
    outb(BASE + LCR, 0x03);
    outb(BASE + MCR, 0x0b);
}

static void receive(const char *bytes)
{
    back.chardev.front->receive(back.chardev.front_opaque, (const uint8_t *)bytes, strlen(bytes));
}

static size_t room(void)
{
    return back.chardev.front->room(back.chardev.front_opaque);
}

static void test_sends(void)
{
    setup();
    outb(BASE + DATA, 'h');
    outb(BASE + DATA, 'i');
    g_assert_cmpstr(back.sent->str, ==, "hi");
    g_assert_cmphex(inb(BASE + LSR), ==, 0x60);
}

static void test_divisor_latch(void)
{
    setup();
    outb(BASE + LCR, 0x83);
    outb(BASE + DATA, 0x34);
    outb(BASE + IER, 0x12);
    g_assert_cmphex(inb(BASE + DATA), ==, 0x34);
    g_assert_cmphex(inb(BASE + IER), ==, 0x12);
    outb(BASE + LCR, 0x03);
    g_assert_cmphex(inb(BASE + IER), ==, 0);
    g_assert_cmpuint(back.sent->len, ==, 0);
}

static void test_receives_one_without_fifo(void)
{
    setup();
    g_assert_cmpuint(room(), ==, 1);
    receive("a");
    g_assert_cmpuint(room(), ==, 0);
    g_assert_cmphex(inb(BASE + LSR) & 0x01, ==, 0x01);
    g_assert_cmpuint(inb(BASE + DATA), ==, 'a');
    g_assert_cmphex(inb(BASE + LSR) & 0x01, ==, 0);
    g_assert_cmpuint(back.room_changes, >=, 1);
}

static void test_overrun_replaces(void)
{
    setup();
    receive("ab");
    g_assert_cmphex(inb(BASE + LSR) & 0x03, ==, 0x03);
    g_assert_cmphex(inb(BASE + LSR) & 0x03, ==, 0x01); /* cleared by reading */
    g_assert_cmpuint(inb(BASE + DATA), ==, 'b');
}

static void test_fifo_holds_sixteen(void)
{
    setup();
    outb(BASE + IIR, 0x01);
    g_assert_cmphex(inb(BASE + IIR), ==, 0xc1);
    g_assert_cmpuint(room(), ==, 16);
    receive("0123456789abcdef");
    g_assert_cmpuint(room(), ==, 0);
    receive("x");
    g_assert_cmphex(inb(BASE + LSR) & 0x02, ==, 0x02);
    GString *got = g_string_new(NULL);
    while (inb(BASE + LSR) & 1)
        g_string_append_c(got, (char)inb(BASE + DATA));
    g_assert_cmpstr(got->str, ==, "0123456789abcdef"); /* the overrun byte is lost, not an old one */
    g_string_free(got, TRUE);
}

static void test_trigger_level(void)
{
    setup();
    outb(BASE + IIR, 0x41); /* 4 bytes */
    outb(BASE + IER, 0x01);
    receive("abc");
    g_assert_false(irq4.level);
    receive("d");
    g_assert_true(irq4.level);
    g_assert_cmphex(inb(BASE + IIR) & 0x0f, ==, 0x04);
    inb(BASE + DATA);
    g_assert_false(irq4.level); /* below the level again */
}

static void test_character_timeout(void)
{
    setup();
    outb(BASE + IIR, 0xc1); /* 14 bytes */
    outb(BASE + IER, 0x01);
    receive("ab");
    /* 4 characters of 10 bits at 115200: 347 us. */
    vclock_fake_advance(340 * US);
    g_assert_false(irq4.level);
    vclock_fake_advance(10 * US);
    g_assert_true(irq4.level);
    g_assert_cmphex(inb(BASE + IIR) & 0x0f, ==, 0x0c);
    inb(BASE + DATA); /* reading starts it anew */
    g_assert_false(irq4.level);
    vclock_fake_advance(350 * US);
    g_assert_true(irq4.level);
}

static void test_thre_on_enable(void)
{
    setup();
    g_assert_false(irq4.level);
    outb(BASE + IER, 0x02);
    g_assert_true(irq4.level);
    g_assert_cmphex(inb(BASE + IIR), ==, 0x02);
    g_assert_false(irq4.level); /* reading IIR took it back */
    g_assert_cmphex(inb(BASE + IIR), ==, 0x01);
    outb(BASE + IER, 0x00);
    outb(BASE + IER, 0x02);
    g_assert_true(irq4.level); /* and enabling raises it again */
}

static void test_thre_after_each_byte(void)
{
    setup();
    outb(BASE + IER, 0x02);
    inb(BASE + IIR);
    outb(BASE + DATA, 'x');
    g_assert_true(irq4.level);
    g_assert_cmphex(inb(BASE + IIR), ==, 0x02);
}

static void test_reading_iir_keeps_thre_if_another_shows(void)
{
    setup();
    outb(BASE + IER, 0x03);
    receive("a");
    g_assert_cmphex(inb(BASE + IIR), ==, 0x04); /* data comes first */
    inb(BASE + DATA);
    g_assert_true(irq4.level);
    g_assert_cmphex(inb(BASE + IIR), ==, 0x02);
}

static void test_priorities(void)
{
    setup();
    outb(BASE + IER, 0x0f);
    receive("ab"); /* overrun, data, THRE; a modem change below */
    outb(BASE + MCR, 0x10);
    outb(BASE + MCR, 0x0b);
    g_assert_cmphex(inb(BASE + IIR), ==, 0x06);
    inb(BASE + LSR);
    g_assert_cmphex(inb(BASE + IIR), ==, 0x04);
    inb(BASE + DATA);
    g_assert_cmphex(inb(BASE + IIR), ==, 0x02);
    g_assert_cmphex(inb(BASE + IIR), ==, 0x00);
    inb(BASE + MSR);
    g_assert_cmphex(inb(BASE + IIR), ==, 0x01);
    g_assert_false(irq4.level);
}

/* As QEMU has it: kernels written there do not know OUT2. */
static void test_interrupts_without_out2(void)
{
    setup();
    outb(BASE + MCR, 0x00);
    outb(BASE + IER, 0x02);
    g_assert_true(irq4.level);
    outb(BASE + MCR, 0x0b);
    g_assert_true(irq4.level);
    inb(BASE + IIR);
    g_assert_false(irq4.level);
    outb(BASE + MCR, 0x03);
    outb(BASE + IER, 0x01);
    receive("a");
    g_assert_true(irq4.level);
}

static void test_loopback_data(void)
{
    setup();
    outb(BASE + MCR, 0x1b);
    outb(BASE + DATA, 0x5a);
    g_assert_cmphex(inb(BASE + LSR) & 0x01, ==, 0x01);
    g_assert_cmphex(inb(BASE + DATA), ==, 0x5a);
    g_assert_cmpuint(back.sent->len, ==, 0);
    g_assert_cmpuint(room(), ==, 0); /* the line is disconnected */
}

static void test_loopback_modem_lines(void)
{
    setup();
    outb(BASE + MCR, 0x10);
    inb(BASE + MSR);
    outb(BASE + MCR, 0x1a); /* RTS, OUT2: the probe of every driver */
    g_assert_cmphex(inb(BASE + MSR) & 0xf0, ==, 0x90);
    outb(BASE + MCR, 0x15); /* DTR, OUT1 */
    g_assert_cmphex(inb(BASE + MSR) & 0xf0, ==, 0x60);
}

static void test_modem_deltas(void)
{
    setup();
    inb(BASE + MSR);
    outb(BASE + MCR, 0x14);                     /* loopback: from CTS, DSR, DCD to RI */
    g_assert_cmphex(inb(BASE + MSR), ==, 0x4b); /* RI up is no event, the others changed */
    outb(BASE + MCR, 0x10);
    g_assert_cmphex(inb(BASE + MSR), ==, 0x04); /* RI down is */
}

static void test_break_in_fifo_order(void)
{
    setup();
    outb(BASE + IIR, 0x01);
    receive("a");
    back.chardev.front->event(back.chardev.front_opaque, CHARDEV_BREAK);
    g_assert_cmphex(inb(BASE + LSR) & 0x91, ==, 0x81); /* an error is in the FIFO, not yet on top */
    g_assert_cmpuint(inb(BASE + DATA), ==, 'a');
    g_assert_cmphex(inb(BASE + LSR) & 0x11, ==, 0x11);
    g_assert_cmphex(inb(BASE + LSR) & 0x90, ==, 0);
    g_assert_cmpuint(inb(BASE + DATA), ==, 0);
}

static void test_slow_back_withholds_thre(void)
{
    setup();
    back.takes = 0;
    outb(BASE + DATA, 'x');
    g_assert_cmphex(inb(BASE + LSR) & 0x60, ==, 0);
    outb(BASE + IER, 0x02);
    g_assert_false(irq4.level);
    back.takes = 10;
    back.chardev.front->writable(back.chardev.front_opaque);
    g_assert_cmpstr(back.sent->str, ==, "x");
    g_assert_cmphex(inb(BASE + LSR) & 0x60, ==, 0x60);
    g_assert_true(irq4.level);
}

static void test_fcr_change_clears(void)
{
    setup();
    outb(BASE + IIR, 0x01);
    receive("abc");
    outb(BASE + IIR, 0x00);
    g_assert_cmphex(inb(BASE + LSR) & 0x01, ==, 0);
    g_assert_cmphex(inb(BASE + IIR), ==, 0x01);
}

static void test_scratch_survives_reset(void)
{
    setup();
    outb(BASE + SCR, 0xa5);
    uart_class.reset(uart);
    g_assert_cmphex(inb(BASE + SCR), ==, 0xa5);
    g_assert_cmphex(inb(BASE + IER), ==, 0);
    g_assert_cmphex(inb(BASE + LSR), ==, 0x60);
}

static void test_nobody_on_the_line(void)
{
    setup();
    uart_free(uart);
    struct irq irq = wire_irq(&irq4);
    uart = uart_new(BASE, &irq, NULL, "test");
    g_assert_cmphex(inb(BASE + MSR) & 0xf0, ==, 0);
    outb(BASE + DATA, 'x');
    g_assert_cmphex(inb(BASE + LSR), ==, 0x60); /* bytes vanish */
}

static void test_save_load_with_full_fifos(void)
{
    setup();
    outb(BASE + IIR, 0xc1);
    outb(BASE + IER, 0x01);
    back.takes = 0;
    outb(BASE + DATA, 'o');
    receive("in");
    GByteArray *bytes = device_saved(&uart_class, uart);
    uart_free(uart);
    create();
    device_load_checked(&uart_class, uart, bytes);
    vclock_fake_advance(1 * MS);
    g_assert_true(irq4.level); /* the timeout runs again */
    g_assert_cmpuint(inb(BASE + DATA), ==, 'i');
    g_assert_cmpuint(inb(BASE + DATA), ==, 'n');
    back.takes = 10;
    back.chardev.front->writable(back.chardev.front_opaque);
    g_assert_cmpstr(back.sent->str, ==, "o");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/uart/sends", test_sends);
    g_test_add_func("/uart/divisor_latch", test_divisor_latch);
    g_test_add_func("/uart/receives_one_without_fifo", test_receives_one_without_fifo);
    g_test_add_func("/uart/overrun_replaces", test_overrun_replaces);
    g_test_add_func("/uart/fifo_holds_sixteen", test_fifo_holds_sixteen);
    g_test_add_func("/uart/trigger_level", test_trigger_level);
    g_test_add_func("/uart/character_timeout", test_character_timeout);
    g_test_add_func("/uart/thre_on_enable", test_thre_on_enable);
    g_test_add_func("/uart/thre_after_each_byte", test_thre_after_each_byte);
    g_test_add_func("/uart/reading_iir_keeps_thre_if_another_shows", test_reading_iir_keeps_thre_if_another_shows);
    g_test_add_func("/uart/priorities", test_priorities);
    g_test_add_func("/uart/interrupts_without_out2", test_interrupts_without_out2);
    g_test_add_func("/uart/loopback_data", test_loopback_data);
    g_test_add_func("/uart/loopback_modem_lines", test_loopback_modem_lines);
    g_test_add_func("/uart/modem_deltas", test_modem_deltas);
    g_test_add_func("/uart/break_in_fifo_order", test_break_in_fifo_order);
    g_test_add_func("/uart/slow_back_withholds_thre", test_slow_back_withholds_thre);
    g_test_add_func("/uart/fcr_change_clears", test_fcr_change_clears);
    g_test_add_func("/uart/scratch_survives_reset", test_scratch_survives_reset);
    g_test_add_func("/uart/nobody_on_the_line", test_nobody_on_the_line);
    g_test_add_func("/uart/save_load_with_full_fifos", test_save_load_with_full_fifos);
    return g_test_run();
}
