/* 8042, keyboard and mouse: one test per behaviour of the technical reference. */
#include "board.h"
#include "devices/kbd8042.h"

static struct wire irq1, irq12, a20;
static unsigned resets;
static struct kbd8042 *kbd;

static void create(void)
{
    memset(&irq1, 0, sizeof(irq1));
    memset(&irq12, 0, sizeof(irq12));
    memset(&a20, 0, sizeof(a20));
    resets = 0;
    struct kbd8042_wiring wiring = {wire_irq(&irq1), wire_irq(&irq12), wire_irq(&a20), {pulse_count, &resets, 0}};
    kbd = kbd8042_new(&wiring);
}

static void setup(void)
{
    if (kbd)
        kbd8042_free(kbd);
    ioport_clear();
    vclock_fake_start();
    create();
}

/* Is there a byte, perhaps when it has come over the wire? */
static bool has_byte(void)
{
    if (!(inb(0x64) & 1))
        vclock_fake_advance(1 * MS);
    return inb(0x64) & 1;
}

/* Everything in the output buffer, as hexadecimal text. */
static const char *drain(void)
{
    static char text[512];
    text[0] = 0;
    while (has_byte())
        g_snprintf(text + strlen(text), sizeof(text) - strlen(text), "%02x ", inb(0x60));
    return text;
}

static void command(uint8_t byte)
{
    outb(0x64, byte);
}

static void command_with(uint8_t byte, uint8_t parameter)
{
    outb(0x64, byte);
    outb(0x60, parameter);
}

static void mouse_send(uint8_t byte)
{
    command_with(0xd4, byte);
}

static void test_self_test(void)
{
    setup();
    command(0xaa);
    g_assert_cmpstr(drain(), ==, "55 ");
    command(0xab);
    g_assert_cmpstr(drain(), ==, "00 ");
    command(0xa9);
    g_assert_cmpstr(drain(), ==, "00 ");
}

static void test_command_byte(void)
{
    setup();
    command_with(0x60, 0x47);
    command(0x20);
    g_assert_cmpstr(drain(), ==, "47 ");
}

static void test_controller_ram(void)
{
    setup();
    command_with(0x65, 0x5a);
    command(0x25);
    g_assert_cmpstr(drain(), ==, "5a ");
}

static void test_status_shows_command_or_data(void)
{
    setup();
    command(0xae);
    g_assert_cmphex(inb(0x64) & 0x08, ==, 0x08);
    outb(0x60, 0xee);
    g_assert_cmphex(inb(0x64) & 0x08, ==, 0);
    drain();
}

static void test_key_is_translated(void)
{
    setup();
    kbd8042_key(kbd, 0x1e, true);
    g_assert_true(irq1.level);
    g_assert_cmpstr(drain(), ==, "1e ");
    g_assert_false(irq1.level);
    kbd8042_key(kbd, 0x1e, false);
    g_assert_cmpstr(drain(), ==, "9e ");
}

static void test_all_keys_survive_translation(void)
{
    setup();
    for (unsigned code = 1; code < 0x59; code++) {
        char want[8];
        kbd8042_key(kbd, (uint16_t)code, true);
        g_snprintf(want, sizeof(want), "%02x ", code);
        g_assert_cmpstr(drain(), ==, want);
        kbd8042_key(kbd, (uint16_t)code, false);
        g_snprintf(want, sizeof(want), "%02x ", code | 0x80);
        g_assert_cmpstr(drain(), ==, want);
    }
}

static void test_set2_without_translation(void)
{
    setup();
    command_with(0x60, 0x05);
    kbd8042_key(kbd, 0x1e, true);
    kbd8042_key(kbd, 0x1e, false);
    kbd8042_key(kbd, 0x41, true); /* F7 */
    g_assert_cmpstr(drain(), ==, "1c f0 1c 83 ");
}

static void test_extended_and_pause_keys(void)
{
    setup();
    kbd8042_key(kbd, 0xe048, true);
    kbd8042_key(kbd, 0xe048, false);
    g_assert_cmpstr(drain(), ==, "e0 48 e0 c8 ");
    kbd8042_key(kbd, KEY_PAUSE, true);
    kbd8042_key(kbd, KEY_PAUSE, false);
    g_assert_cmpstr(drain(), ==, "e1 1d 45 e1 9d c5 ");
}

/* A press of each key in turn, then the releases in reverse. */
static const char *press(unsigned count, const uint16_t *keys)
{
    static char text[512];
    text[0] = 0;
    for (unsigned i = 0; i < count; i++) {
        kbd8042_key(kbd, keys[i], true);
        g_strlcat(text, drain(), sizeof(text));
    }
    g_strlcat(text, "| ", sizeof(text));
    for (unsigned i = count; i-- > 0;) {
        kbd8042_key(kbd, keys[i], false);
        g_strlcat(text, drain(), sizeof(text));
    }
    return text;
}
#define PRESS(...) press(sizeof((const uint16_t[]){__VA_ARGS__}) / 2, (const uint16_t[]){__VA_ARGS__})

/* What the keys that a PC/XT had elsewhere send, with Ctrl, Shift and Alt held. */
static void test_print_and_break_keys(void)
{
    setup();
    command_with(0x60, 0x45);
    g_assert_cmpstr(PRESS(0x1d, KEY_PAUSE), ==, "1d e0 46 e0 c6 | 9d ");
    g_assert_cmpstr(PRESS(0xe01d, KEY_PAUSE), ==, "e0 1d e0 46 e0 c6 | e0 9d ");
    g_assert_cmpstr(PRESS(0x2a, KEY_PAUSE), ==, "2a e1 1d 45 e1 9d c5 | aa ");
    g_assert_cmpstr(PRESS(KEY_PRINT), ==, "e0 2a e0 37 | e0 b7 e0 aa ");
    g_assert_cmpstr(PRESS(0x36, KEY_PRINT), ==, "36 e0 37 | e0 b7 b6 ");
    g_assert_cmpstr(PRESS(0x1d, KEY_PRINT), ==, "1d e0 37 | e0 b7 9d ");
    g_assert_cmpstr(PRESS(0x38, KEY_PRINT), ==, "38 54 | d4 b8 ");
    g_assert_cmpstr(PRESS(0xe038, KEY_PRINT), ==, "e0 38 54 | d4 e0 b8 ");
    kbd8042_key(kbd, KEY_PRINT, true); /* the release goes with the press, whatever happens between */
    kbd8042_key(kbd, 0x38, true);
    kbd8042_key(kbd, KEY_PRINT, false);
    kbd8042_key(kbd, 0x38, false);
    g_assert_cmpstr(drain(), ==, "e0 2a e0 37 38 e0 b7 e0 aa b8 ");
    command_with(0x60, 0x05); /* untranslated: set 2 */
    g_assert_cmpstr(PRESS(0x1d, KEY_PAUSE), ==, "14 e0 7e e0 f0 7e | f0 14 ");
    g_assert_cmpstr(PRESS(KEY_PRINT), ==, "e0 12 e0 7c | e0 f0 7c e0 f0 12 ");
    g_assert_cmpstr(PRESS(0x2a, KEY_PRINT), ==, "12 e0 7c | e0 f0 7c f0 12 ");
    g_assert_cmpstr(PRESS(0x38, KEY_PRINT), ==, "11 84 | f0 84 f0 11 ");
    command_with(0x60, 0x05);
    outb(0x60, 0xf0);
    outb(0x60, 0x01); /* set 1 by itself */
    g_assert_cmpstr(drain(), ==, "fa fa ");
    g_assert_cmpstr(PRESS(0x1d, KEY_PAUSE), ==, "1d e0 46 e0 c6 | 9d ");
    g_assert_cmpstr(PRESS(KEY_PRINT), ==, "e0 2a e0 37 | e0 b7 e0 aa ");
    g_assert_cmpstr(PRESS(0x38, KEY_PRINT), ==, "38 54 | d4 b8 ");
}

/* The chip has one place for its own answers: the last one counts. Keys in the buffer are not overwritten. */
static void test_unread_answer_gives_way(void)
{
    setup();
    command_with(0x60, 0x45);
    command(0xc0);
    command(0xaa);
    command(0x20);
    g_assert_cmpstr(drain(), ==, "45 ");
    kbd8042_key(kbd, 0x1e, true);
    command(0xab);
    command(0x20);
    kbd8042_key(kbd, 0x1e, false);
    g_assert_cmpstr(drain(), ==, "1e 45 9e ");
    command_with(0xd3, 0x11);
    command_with(0xd2, 0x22);
    g_assert_cmphex(inb(0x64) & 0x21, ==, 0x01);
    g_assert_cmpstr(drain(), ==, "22 ");
}

/* INT 9 hooks read port 60h, and then the BIOS does: the byte is there until the next has come over the wire. */
static void test_byte_can_be_read_twice(void)
{
    setup();
    command_with(0x60, 0x45);
    kbd8042_key(kbd, 0xe048, true);
    g_assert_true(irq1.level);
    g_assert_cmphex(inb(0x60), ==, 0xe0);
    g_assert_false(irq1.level);
    g_assert_cmphex(inb(0x64) & 1, ==, 0);
    vclock_fake_advance(500 * US);
    g_assert_cmphex(inb(0x60), ==, 0xe0);
    g_assert_cmpuint(irq1.rises, ==, 1);
    vclock_fake_advance(500 * US);
    g_assert_cmpuint(irq1.rises, ==, 2);
    g_assert_cmphex(inb(0x60), ==, 0x48);
    g_assert_cmphex(inb(0x60), ==, 0x48);
    command_with(0x60, 0x44); /* polled: all there is, at once */
    kbd8042_key(kbd, 0xe048, false);
    g_assert_cmphex(inb(0x60), ==, 0xe0);
    g_assert_cmphex(inb(0x64) & 1, ==, 1);
    g_assert_cmphex(inb(0x60), ==, 0xc8);
}

static void test_each_byte_is_an_edge(void)
{
    setup();
    kbd8042_key(kbd, 0xe048, true);
    g_assert_cmpuint(irq1.rises, ==, 1);
    inb(0x60);
    vclock_fake_advance(1 * MS);
    g_assert_cmpuint(irq1.rises, ==, 2);
    inb(0x60);
    vclock_fake_advance(1 * MS);
    g_assert_cmpuint(irq1.rises, ==, 2);
    g_assert_false(irq1.level);
}

static void test_keyboard_reset_and_identify(void)
{
    setup();
    outb(0x60, 0xff);
    g_assert_cmpstr(drain(), ==, "fa aa ");
    outb(0x60, 0xf2);
    g_assert_cmpstr(drain(), ==, "fa ab 41 "); /* 83 translated, as on every PC */
    command_with(0x60, 0x05);
    outb(0x60, 0xf2);
    g_assert_cmpstr(drain(), ==, "fa ab 83 ");
}

static void test_set_leds(void)
{
    setup();
    outb(0x60, 0xed);
    g_assert_cmpstr(drain(), ==, "fa ");
    outb(0x60, 0x02);
    g_assert_cmpstr(drain(), ==, "fa ");
    g_assert_cmpuint(kbd8042_leds(kbd), ==, 2);
}

static void test_echo_resend_and_unknown(void)
{
    setup();
    outb(0x60, 0xee);
    g_assert_cmpstr(drain(), ==, "ee ");
    outb(0x60, 0xfe);
    g_assert_cmpstr(drain(), ==, "ee ");
    outb(0x60, 0x12);
    g_assert_cmpstr(drain(), ==, "fe ");
}

static void test_scan_set_query(void)
{
    setup();
    command_with(0x60, 0x05);
    outb(0x60, 0xf0);
    outb(0x60, 0x00);
    g_assert_cmpstr(drain(), ==, "fa fa 02 ");
    outb(0x60, 0xf0);
    outb(0x60, 0x01);
    g_assert_cmpstr(drain(), ==, "fa fa ");
    kbd8042_key(kbd, 0x1e, false);
    g_assert_cmpstr(drain(), ==, "9e ");
}

static void test_disabled_keyboard_is_silent(void)
{
    setup();
    command(0xad);
    kbd8042_key(kbd, 0x1e, true);
    g_assert_cmphex(inb(0x64) & 1, ==, 0);
    command(0xae);
    g_assert_cmpstr(drain(), ==, "1e "); /* it was held, not lost */
    outb(0x60, 0xf5);
    drain();
    kbd8042_key(kbd, 0x1e, true);
    g_assert_cmpstr(drain(), ==, ""); /* scanning is off */
}

static void test_overrun(void)
{
    setup();
    command_with(0x60, 0x05);
    for (int i = 0; i < 100; i++)
        kbd8042_key(kbd, 0x1e, true);
    unsigned count = 0;
    uint8_t last = 0xaa;
    while (has_byte()) {
        last = inb(0x60);
        count++;
    }
    g_assert_cmphex(last, ==, 0x00); /* the overrun code of set 2 */
    g_assert_cmpuint(count, <, 40);
}

static void test_aux_loop_has_aux_bit(void)
{
    setup();
    command_with(0xd3, 0x5a);
    g_assert_cmphex(inb(0x64) & 0x21, ==, 0x21);
    g_assert_cmphex(inb(0x60), ==, 0x5a);
    command_with(0xd2, 0x5b);
    g_assert_cmphex(inb(0x64) & 0x21, ==, 0x01);
    g_assert_cmphex(inb(0x60), ==, 0x5b);
}

static void test_aux_disable_shows_in_command_byte(void)
{
    setup();
    command(0xa8);
    command(0x20);
    g_assert_cmphex(inb(0x60) & 0x20, ==, 0);
    command(0xa7);
    command(0x20);
    g_assert_cmphex(inb(0x60) & 0x20, ==, 0x20);
}

static void test_mouse_interrupt(void)
{
    setup();
    command_with(0x60, 0x47);
    mouse_send(0xf4);
    g_assert_true(irq12.level);
    g_assert_false(irq1.level);
    g_assert_cmpstr(drain(), ==, "fa ");
    g_assert_false(irq12.level);
}

static void test_mouse_reset_and_identify(void)
{
    setup();
    mouse_send(0xff);
    g_assert_cmpstr(drain(), ==, "fa aa 00 ");
    mouse_send(0xf2);
    g_assert_cmpstr(drain(), ==, "fa 00 ");
}

static void test_mouse_report(void)
{
    setup();
    mouse_send(0xf4);
    drain();
    kbd8042_mouse(kbd, 10, -5, 0, 1);
    g_assert_cmpstr(drain(), ==, "29 0a fb ");
    kbd8042_mouse(kbd, 0, 0, 0, 1); /* nothing new */
    g_assert_cmpstr(drain(), ==, "");
    kbd8042_mouse(kbd, 300, 0, 0, 1); /* more than one report holds */
    g_assert_cmpstr(drain(), ==, "09 7f 00 09 7f 00 09 2e 00 ");
}

static void test_mouse_wheel_knock(void)
{
    static const uint8_t rates[] = {200, 100, 80};
    setup();
    for (unsigned i = 0; i < 3; i++) {
        mouse_send(0xf3);
        mouse_send(rates[i]);
    }
    drain();
    mouse_send(0xf2);
    g_assert_cmpstr(drain(), ==, "fa 03 ");
    mouse_send(0xf4);
    drain();
    kbd8042_mouse(kbd, 0, 0, -1, 0);
    g_assert_cmpstr(drain(), ==, "08 00 00 ff ");
}

static void test_mouse_status_and_remote(void)
{
    setup();
    mouse_send(0xe8);
    mouse_send(3);
    mouse_send(0xf3);
    mouse_send(40);
    mouse_send(0xf0);
    drain();
    mouse_send(0xe9);
    g_assert_cmpstr(drain(), ==, "fa 40 03 28 ");
    kbd8042_mouse(kbd, 1, 2, 0, 0);
    g_assert_cmpstr(drain(), ==, "");
    mouse_send(0xeb);
    g_assert_cmpstr(drain(), ==, "fa 08 01 02 ");
}

static void test_a20_gate(void)
{
    setup();
    g_assert_true(a20.level);
    command_with(0xd1, 0xdd);
    g_assert_false(a20.level);
    command(0xd0);
    g_assert_cmphex(inb(0x60) & 0x02, ==, 0);
    command(0xdf);
    g_assert_true(a20.level);
    command(0xdd);
    g_assert_false(a20.level);
    g_assert_cmpuint(resets, ==, 0);
}

static void test_reset_pulse(void)
{
    setup();
    command(0xff); /* pulses nothing */
    g_assert_cmpuint(resets, ==, 0);
    command(0xfe);
    g_assert_cmpuint(resets, ==, 1);
    command_with(0xd1, 0x02);
    g_assert_cmpuint(resets, ==, 2);
}

static void test_save_load_in_mid_sequence(void)
{
    setup();
    command_with(0x60, 0x47);
    outb(0x60, 0xed); /* waits for its parameter */
    mouse_send(0xf2); /* its answer is not read yet */
    GByteArray *bytes = device_saved(&kbd8042_class, kbd);
    kbd8042_free(kbd);
    create();
    device_load_checked(&kbd8042_class, kbd, bytes);
    g_assert_true(irq1.level);
    g_assert_cmpstr(drain(), ==, "fa fa 00 ");
    outb(0x60, 0x04);
    g_assert_cmpstr(drain(), ==, "fa ");
    g_assert_cmpuint(kbd8042_leds(kbd), ==, 4);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kbd8042/self_test", test_self_test);
    g_test_add_func("/kbd8042/command_byte", test_command_byte);
    g_test_add_func("/kbd8042/controller_ram", test_controller_ram);
    g_test_add_func("/kbd8042/status_shows_command_or_data", test_status_shows_command_or_data);
    g_test_add_func("/kbd8042/key_is_translated", test_key_is_translated);
    g_test_add_func("/kbd8042/all_keys_survive_translation", test_all_keys_survive_translation);
    g_test_add_func("/kbd8042/set2_without_translation", test_set2_without_translation);
    g_test_add_func("/kbd8042/extended_and_pause_keys", test_extended_and_pause_keys);
    g_test_add_func("/kbd8042/each_byte_is_an_edge", test_each_byte_is_an_edge);
    g_test_add_func("/kbd8042/byte_can_be_read_twice", test_byte_can_be_read_twice);
    g_test_add_func("/kbd8042/print_and_break_keys", test_print_and_break_keys);
    g_test_add_func("/kbd8042/unread_answer_gives_way", test_unread_answer_gives_way);
    g_test_add_func("/kbd8042/keyboard_reset_and_identify", test_keyboard_reset_and_identify);
    g_test_add_func("/kbd8042/set_leds", test_set_leds);
    g_test_add_func("/kbd8042/echo_resend_and_unknown", test_echo_resend_and_unknown);
    g_test_add_func("/kbd8042/scan_set_query", test_scan_set_query);
    g_test_add_func("/kbd8042/disabled_keyboard_is_silent", test_disabled_keyboard_is_silent);
    g_test_add_func("/kbd8042/overrun", test_overrun);
    g_test_add_func("/kbd8042/aux_loop_has_aux_bit", test_aux_loop_has_aux_bit);
    g_test_add_func("/kbd8042/aux_disable_shows_in_command_byte", test_aux_disable_shows_in_command_byte);
    g_test_add_func("/kbd8042/mouse_interrupt", test_mouse_interrupt);
    g_test_add_func("/kbd8042/mouse_reset_and_identify", test_mouse_reset_and_identify);
    g_test_add_func("/kbd8042/mouse_report", test_mouse_report);
    g_test_add_func("/kbd8042/mouse_wheel_knock", test_mouse_wheel_knock);
    g_test_add_func("/kbd8042/mouse_status_and_remote", test_mouse_status_and_remote);
    g_test_add_func("/kbd8042/a20_gate", test_a20_gate);
    g_test_add_func("/kbd8042/reset_pulse", test_reset_pulse);
    g_test_add_func("/kbd8042/save_load_in_mid_sequence", test_save_load_in_mid_sequence);
    return g_test_run();
}
