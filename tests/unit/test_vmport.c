/* VMware's backdoor and the mouse behind it: called as an instruction does, with registers. */
#include "board.h"

#include "clipboard.h"
#include "devices/kbd8042.h"
#include "devices/vmport.h"
#include "mem.h"

extern const struct device_class vmport_class, vmmouse_class;

static struct board_ops ops;
static struct board board = {&ops};
static uint32_t gpr[8];
static void *vmport, *vmmouse, *provided;
static struct kbd8042 *kbd;
static struct input_sink *input;
static struct wire irq12;

static void *service(struct board *unused, const char *name)
{
    return strcmp(name, "vmport") == 0 ? provided : strcmp(name, "i8042") == 0 ? (void *)kbd : (void *)input;
}

static void provide(struct board *unused, const char *name, void *what)
{
    if (strcmp(name, "vmport") == 0)
        provided = what;
    else
        input = what;
}

static void setup(void)
{
    GError *error = NULL;
    const struct device_site site = {.board = &board, .id = "dev/0"};
    ops.service = service;
    ops.provide = provide;
    if (kbd) {
        vmmouse_class.destroy(vmmouse);
        vmport_class.destroy(vmport);
        kbd8042_free(kbd);
    }
    vclock_fake_start();
    memset(&irq12, 0, sizeof(irq12));
    input = NULL;
    static struct wire none;
    struct kbd8042_wiring wiring = {wire_irq(&none), wire_irq(&irq12), wire_irq(&none), wire_irq(&none)};
    kbd = kbd8042_new(&wiring);
    vmport = vmport_class.create(&site, NULL, &error);
    g_assert_no_error(error);
    vmmouse = vmmouse_class.create(&site, NULL, &error);
    g_assert_no_error(error);
    vmport_class.reset(vmport);
    vmmouse_class.reset(vmmouse);
    ioport_set_registers(gpr);
}

/* IN EAX, DX. */
static uint32_t call(uint16_t number, uint32_t ebx)
{
    memset(gpr, 0x11, sizeof(gpr));
    gpr[IO_EAX] = VMPORT_MAGIC;
    gpr[IO_EBX] = ebx;
    gpr[IO_ECX] = number;
    gpr[IO_EDX] = 0x5658;
    return gpr[IO_EAX] = ioport_read(0x5658, 4);
}

static void test_calls(void)
{
    setup();
    guest_mem.ram_size = 96 * MiB;
    vclock_set_wall_base(0x123456789ll);
    g_assert_cmphex(call(0x0a, 0), ==, 6);
    g_assert_cmphex(gpr[IO_EBX], ==, VMPORT_MAGIC);
    g_assert_cmphex(call(0x14, 0), ==, 96);
    vclock_fake_advance(5 * NS_PER_SECOND + 123456 * US);
    g_assert_cmphex(call(0x17, 0), ==, 0x2345678eu);
    g_assert_cmpuint(gpr[IO_EBX], ==, 123456);
    g_assert_cmphex(call(0x2e, 0), ==, VMPORT_MAGIC);
    g_assert_cmphex(gpr[IO_ESI], ==, 1);
    g_assert_cmphex(gpr[IO_EDX], ==, 0x2345678e);
    g_assert_cmphex(call(0x3f, 0), ==, 0xffffffff); /* nobody's */
    g_assert_cmphex(call(0x4000, 0), ==, 0xffffffff);
    g_assert_cmphex(gpr[IO_EBX], ==, 0);
    /* OUT is the same. */
    call(0x0a, 0);
    gpr[IO_EAX] = VMPORT_MAGIC;
    gpr[IO_ECX] = 0x0a;
    ioport_write(0x5658, 4, VMPORT_MAGIC);
    g_assert_cmphex(gpr[IO_EAX], ==, 6);
}

static void test_without_magic(void)
{
    setup();
    memset(gpr, 0, sizeof(gpr));
    gpr[IO_ECX] = 0x0a;
    g_assert_cmphex(ioport_read(0x5658, 4), ==, 0xffffffff);
    g_assert_cmphex(gpr[IO_EBX], ==, 0);
    ioport_write(0x5658, 4, 5);
    g_assert_cmphex(gpr[IO_EAX], ==, 0);
    gpr[IO_EAX] = VMPORT_MAGIC;
    g_assert_cmphex(ioport_read(0x5658, 1), ==, 0xff); /* not a call */
    g_assert_cmphex(gpr[IO_EBX], ==, 0);
    ioport_set_registers(NULL);
    g_assert_cmphex(ioport_read(0x5658, 4), ==, 0xffffffff);
}

/* --- Clipboard --- */

static void test_text_to_guest(void)
{
    char text[16] = {0};
    setup();
    clipboard_offer(CLIPBOARD_HOST, "from the host", 64);
    g_assert_cmpuint(call(6, 0), ==, 13);
    for (unsigned i = 0; i < 16; i += 4) {
        uint32_t piece = call(7, 0);
        memcpy(text + i, &piece, 4);
    }
    g_assert_cmpstr(text, ==, "from the host");
    g_assert_cmphex(call(7, 0), ==, 0);
    g_assert_cmphex(call(6, 0), ==, 0xffffffff); /* it has that already */
    clipboard_offer(CLIPBOARD_HOST, "", 0);
    g_assert_cmpuint(call(6, 0), ==, 0);
}

static void test_text_from_guest(void)
{
    uint64_t serial, before;
    setup();
    clipboard_text(CLIPBOARD_GUEST, &before);
    g_assert_cmphex(call(9, 0x41414141), ==, 0xffffffff); /* not announced */
    g_assert_cmphex(call(8, 6), ==, 0);
    call(9, 0x64636261);
    clipboard_text(CLIPBOARD_GUEST, &serial);
    g_assert_cmpuint(serial, ==, before);
    call(9, 0xff0a0065 | 0x6600); /* "ef": the rest is not of it */
    g_assert_cmpstr(clipboard_text(CLIPBOARD_GUEST, &serial), ==, "abcdef");
    g_assert_cmpuint(serial, ==, before + 1);
    g_assert_cmphex(call(9, 0), ==, 0xffffffff);
    g_assert_cmphex(call(8, CLIPBOARD_MAX + 1), ==, 0xffffffff);
    /* All of it bytes that are no text: three for each are too many. */
    g_assert_cmphex(call(8, CLIPBOARD_MAX), ==, 0);
    for (unsigned i = 0; i < CLIPBOARD_MAX; i += 4)
        call(9, 0xfefefefe);
    const char *text = clipboard_text(CLIPBOARD_GUEST, &serial);
    g_assert_true(g_utf8_validate(text, -1, NULL));
    g_assert_cmpuint(strlen(text), <=, CLIPBOARD_MAX);
    g_assert_cmpuint(strlen(text), >, CLIPBOARD_MAX - 8);
}

/* --- The mouse --- */

enum { DATA = 39, STATUS = 40, COMMAND = 41 };

static void enable(void)
{
    call(COMMAND, 0x45414552);
    g_assert_cmphex(call(STATUS, 0), ==, 1);
    g_assert_cmphex(call(DATA, 1), ==, 0x3442554a);
    g_assert_cmphex(call(STATUS, 0), ==, 0);
    call(COMMAND, 0x53424152);
}

static void stream(void)
{
    outb(0x64, 0x60);
    outb(0x60, 0x43);
    outb(0x64, 0xd4);
    outb(0x60, 0xf4);
    while (inb(0x64) & 1)
        inb(0x60);
}

/* The last sink that is on, as pointer.c finds it. */
static struct input_sink *taker(void)
{
    struct input_sink *sink = input;
    while (sink && !input_sink_is_on(sink))
        sink = sink->next;
    return sink;
}

static void expect_event(uint32_t flags, uint32_t x, uint32_t y, uint32_t z)
{
    g_assert_cmphex(call(DATA, 4), ==, flags);
    g_assert_cmphex(gpr[IO_EBX], ==, x);
    g_assert_cmphex(gpr[IO_ECX], ==, y);
    g_assert_cmphex(gpr[IO_EDX], ==, z);
    g_assert_cmphex(gpr[IO_ESI], ==, 0x11111111);
}

static void test_positions(void)
{
    setup();
    g_assert_null(taker());
    g_assert_cmphex(call(STATUS, 0), ==, 0xffff0000);
    enable();
    stream();
    unsigned rises = irq12.rises;
    struct input_sink *sink = taker();
    g_assert_nonnull(sink->absolute);
    sink->absolute(sink->opaque, 0, INPUT_ABSOLUTE_MAX, 0, 1);
    g_assert_cmpuint(irq12.rises, ==, rises + 1);
    /* The PS/2 mouse's report is empty. */
    g_assert_cmphex(inb(0x60), ==, 0x08);
    g_assert_cmphex(inb(0x60), ==, 0x00);
    g_assert_cmphex(inb(0x60), ==, 0x00);
    g_assert_cmphex(inb(0x64) & 1, ==, 0);
    sink->absolute(sink->opaque, INPUT_ABSOLUTE_MAX, 1, -2, 6);
    g_assert_cmphex(call(STATUS, 0), ==, 8);
    expect_event(0x20, 0, 0xffff, 0);
    expect_event(0x18, 0xffff, 2, (uint32_t)-2);
    g_assert_cmphex(call(STATUS, 0), ==, 0);
    /* Moves, on demand. */
    call(COMMAND, 0x4c455252);
    sink = taker();
    g_assert_null(sink->absolute);
    sink->mouse(sink->opaque, -3, 4, 1, 2);
    expect_event(0x10010, (uint32_t)-3, 4, 1);
    call(COMMAND, 0xf5);
    g_assert_null(taker());
    g_assert_cmphex(call(STATUS, 0), ==, 0xffff0000);
}

static void test_six_words(void)
{
    setup();
    enable();
    struct input_sink *sink = taker();
    sink->absolute(sink->opaque, 0, 0, 0, 0);
    sink->absolute(sink->opaque, INPUT_ABSOLUTE_MAX, 0, 0, 1);
    g_assert_cmphex(call(DATA, 6), ==, 0);
    g_assert_cmphex(gpr[IO_EBX], ==, 0);
    g_assert_cmphex(gpr[IO_ESI], ==, 0x20);
    g_assert_cmphex(gpr[IO_EDI], ==, 0xffff);
    g_assert_cmphex(call(STATUS, 0), ==, 2);
}

/* Asking for what there is not switches it off. */
static void test_greed(void)
{
    static const uint32_t wrong[] = {0, 7, 5, 0xffffffff};
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        setup();
        enable();
        struct input_sink *sink = taker();
        sink->absolute(sink->opaque, 1, 1, 0, 0);
        g_assert_cmphex(call(DATA, wrong[i]), ==, 0xffff0000);
        g_assert_cmphex(call(STATUS, 0), ==, 0xffff0000);
        enable();
    }
}

/* A guest that does not look: positions run together, clicks are kept as far as there is room. */
static void test_full(void)
{
    setup();
    enable();
    struct input_sink *sink = taker();
    for (unsigned i = 0; i < 5000; i++)
        sink->absolute(sink->opaque, i, i, 0, 0);
    g_assert_cmpuint(call(STATUS, 0), <=, 12);
    for (unsigned i = 0; i < 5000; i++)
        sink->absolute(sink->opaque, i, i, 0, i & 1);
    g_assert_cmpuint(call(STATUS, 0), ==, 1024);
    for (unsigned i = 0; i < 2000; i++)
        call(COMMAND, 0x45414552);
    g_assert_cmpuint(call(STATUS, 0), ==, 1024);
}

static void test_save_and_load(void)
{
    setup();
    enable();
    struct input_sink *sink = taker();
    sink->absolute(sink->opaque, 77, 99, 1, 4);
    call(8, 9);
    call(9, 0x64636261);
    GByteArray *mouse = device_saved(&vmmouse_class, vmmouse), *port = device_saved(&vmport_class, vmport);
    setup();
    device_load_checked(&vmmouse_class, vmmouse, mouse);
    device_load_checked(&vmport_class, vmport, port);
    expect_event(0x08, 77 * 0xffffu / 32767, 99 * 0xffffu / 32767, 1);
    call(9, 0x68676665);
    call(9, 0x69);
    uint64_t serial;
    g_assert_cmpstr(clipboard_text(CLIPBOARD_GUEST, &serial), ==, "abcdefghi");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmport/calls", test_calls);
    g_test_add_func("/vmport/without_magic", test_without_magic);
    g_test_add_func("/vmport/text_to_guest", test_text_to_guest);
    g_test_add_func("/vmport/text_from_guest", test_text_from_guest);
    g_test_add_func("/vmmouse/positions", test_positions);
    g_test_add_func("/vmmouse/six_words", test_six_words);
    g_test_add_func("/vmmouse/greed", test_greed);
    g_test_add_func("/vmmouse/full", test_full);
    g_test_add_func("/vmmouse/save_and_load", test_save_and_load);
    return g_test_run();
}
