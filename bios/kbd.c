/* Keyboard: INT 09h, INT 16h, the 8042's set-up; PS/2 mouse: INT 15h function C2h, INT 74h.
 *
 * IBM PS/2 BIOS Interface Technical Reference; IBM AT Technical Reference (8042).
 */
#include "bios.h"

#define KBD_DATA    0x60
#define KBD_STATUS  0x64
#define KBD_COMMAND 0x64
#define STATUS_OBF  0x01
#define STATUS_IBF  0x02
#define STATUS_AUX  0x20

/* 40:17 */
#define FLAG_RSHIFT 0x01
#define FLAG_LSHIFT 0x02
#define FLAG_CTRL   0x04
#define FLAG_ALT    0x08
#define FLAG_SCROLL 0x10
#define FLAG_NUM    0x20
#define FLAG_CAPS   0x40
#define FLAG_INSERT 0x80
/* 40:18 */
#define HELD_LCTRL  0x01
#define HELD_LALT   0x02
#define HELD_SYSREQ 0x04
#define HELD_PAUSE  0x08 /* not a key: pause is on */
/* 40:96 */
#define LAST_E1    0x01
#define LAST_E0    0x02
#define HELD_RCTRL 0x04
#define HELD_RALT  0x08
#define ENHANCED   0x10

/* --- 8042 --- */

bool kbd_wait_input(void)
{
    struct timeout t = timeout_start(500);
    do {
        if (!(inb(KBD_STATUS) & STATUS_IBF))
            return true;
    } while (!timeout_passed(&t));
    return false;
}

void kbd_write_command(uint8_t command)
{
    kbd_wait_input();
    outb(KBD_COMMAND, command);
}

static void write_data(uint8_t value)
{
    kbd_wait_input();
    outb(KBD_DATA, value);
}

static int read_output(uint32_t ms, bool want_aux)
{
    struct timeout t = timeout_start(ms);
    do {
        uint8_t status = inb(KBD_STATUS);
        if (status & STATUS_OBF) {
            uint8_t value = inb(KBD_DATA);
            if (!(status & STATUS_AUX) == !want_aux)
                return value;
        }
    } while (!timeout_passed(&t));
    return -1;
}

static void flush_output(void)
{
    for (unsigned i = 0; i < 64 && (inb(KBD_STATUS) & STATUS_OBF); i++)
        inb(KBD_DATA);
}

/* IRQ 1 has been raised for a byte that we have read by asking: its interrupt comes later, and finds nothing. */
static bool stale_irq;

static void polled_done(void)
{
    outb(0x20, 0x0a);
    if ((inb(0x20) & 0x02) && !(inb(KBD_STATUS) & STATUS_OBF))
        stale_irq = true;
}

/* A scan code that waits would be taken for the answer: no more come, and one that is there is INT 09h's, or, with its
 * interrupt masked, lost. The keyboard stays off until the byte is written. */
static uint8_t command_byte(void)
{
    kbd_write_command(0xad);
    yield();
    flush_output();
    kbd_write_command(0x20);
    int value = read_output(500, false);
    polled_done();
    return value < 0 ? 0x65 : (uint8_t)value;
}

static void set_command_byte(uint8_t value)
{
    kbd_write_command(0x60);
    write_data(value);
}

static bool keyboard_send(uint8_t byte)
{
    write_data(byte);
    bool good = read_output(500, false) == 0xfa;
    polled_done();
    return good;
}

/* Scan codes that came while the keyboard was to acknowledge something: the user types on. */
static uint8_t early[16], early_count;

static bool led_send(uint8_t byte)
{
    int answer;
    write_data(byte);
    while ((answer = read_output(500, false)) >= 0 && answer != 0xfa && answer != 0xfe) {
        if (early_count < sizeof(early))
            early[early_count++] = (uint8_t)answer;
    }
    polled_done();
    return answer == 0xfa;
}

static void set_leds(void)
{
    uint8_t leds = peek8(BDA_SEG, BDA_KBD_FLAGS0) >> 4 & 7;
    if ((peek8(BDA_SEG, BDA_KBD_LEDS) & 7) == leds)
        return;
    poke8(BDA_SEG, BDA_KBD_LEDS, (uint8_t)((peek8(BDA_SEG, BDA_KBD_LEDS) & ~7) | leds));
    if (led_send(0xed))
        led_send(leds);
}

/* --- Buffer --- */

static uint16_t next_of(uint16_t at)
{
    at = (uint16_t)(at + 2);
    return at >= peek16(BDA_SEG, BDA_KBD_END) ? peek16(BDA_SEG, BDA_KBD_START) : at;
}

static bool put_key(uint16_t key)
{
    uint16_t tail = peek16(BDA_SEG, BDA_KBD_TAIL), next = next_of(tail);
    if (next == peek16(BDA_SEG, BDA_KBD_HEAD))
        return false;
    poke16(BDA_SEG, tail, key);
    poke16(BDA_SEG, BDA_KBD_TAIL, next);
    return true;
}

static bool peek_key(uint16_t *key)
{
    uint16_t head = peek16(BDA_SEG, BDA_KBD_HEAD);
    if (head == peek16(BDA_SEG, BDA_KBD_TAIL))
        return false;
    *key = peek16(BDA_SEG, head);
    return true;
}

static void drop_key(void)
{
    poke16(BDA_SEG, BDA_KBD_HEAD, next_of(peek16(BDA_SEG, BDA_KBD_HEAD)));
}

/* --- INT 09h --- */

static void change_flag(uint16_t where, uint8_t bit, bool on)
{
    uint8_t old = peek8(BDA_SEG, where);
    poke8(BDA_SEG, where, (uint8_t)(on ? old | bit : old & ~bit));
}

static void update_ctrl_alt(void)
{
    uint8_t held = peek8(BDA_SEG, BDA_KBD_FLAGS1), held2 = peek8(BDA_SEG, BDA_KBD_FLAGS2);
    change_flag(BDA_KBD_FLAGS0, FLAG_CTRL, (held & HELD_LCTRL) || (held2 & HELD_RCTRL));
    change_flag(BDA_KBD_FLAGS0, FLAG_ALT, (held & HELD_LALT) || (held2 & HELD_RALT));
}

static void alt_released(void)
{
    uint8_t value = peek8(BDA_SEG, BDA_ALT_KEYPAD);
    if (value && !(peek8(BDA_SEG, BDA_KBD_FLAGS0) & FLAG_ALT)) {
        put_key(value);
        poke8(BDA_SEG, BDA_ALT_KEYPAD, 0);
    }
}

/* A lock key toggles once however long it is held. */
static void lock_key(uint8_t bit, bool down)
{
    uint8_t held = peek8(BDA_SEG, BDA_KBD_FLAGS1);
    if (down && !(held & bit))
        poke8(BDA_SEG, BDA_KBD_FLAGS0, peek8(BDA_SEG, BDA_KBD_FLAGS0) ^ bit);
    change_flag(BDA_KBD_FLAGS1, bit, down);
}

static void ctrl_break(void)
{
    struct bregs regs;
    uint16_t start = peek16(BDA_SEG, BDA_KBD_START);
    memset(&regs, 0, sizeof(regs));
    poke16(BDA_SEG, BDA_KBD_HEAD, start);
    poke16(BDA_SEG, BDA_KBD_TAIL, start);
    poke8(BDA_SEG, BDA_BREAK, 0x80);
    call_int(0x1b, &regs);
    put_key(0);
}

static void reboot(void)
{
    poke16(BDA_SEG, BDA_RESET_FLAG, 0x1234);
    kbd_write_command(0xfe); /* first, as a V86 monitor knows it */
    outb(0xcf9, 0x02);
    outb(0xcf9, 0x06);
    for (;;)
        __asm__ volatile("hlt");
}

/* Keys that are states. True: the key was one. */
static bool modifier_key(uint8_t code, bool down, bool is_e0)
{
    switch (code) {
    case 0x2a:
    case 0x36:
        if (!is_e0) /* E0 2A is the keyboard's fake shift around grey keys */
            change_flag(BDA_KBD_FLAGS0, code == 0x2a ? FLAG_LSHIFT : FLAG_RSHIFT, down);
        return true;
    case 0x1d:
        change_flag(is_e0 ? BDA_KBD_FLAGS2 : BDA_KBD_FLAGS1, is_e0 ? HELD_RCTRL : HELD_LCTRL, down);
        update_ctrl_alt();
        return true;
    case 0x38:
        change_flag(is_e0 ? BDA_KBD_FLAGS2 : BDA_KBD_FLAGS1, is_e0 ? HELD_RALT : HELD_LALT, down);
        update_ctrl_alt();
        if (!down)
            alt_released();
        return true;
    case 0x3a:
        lock_key(FLAG_CAPS, down);
        return true;
    case 0x45:
        if (is_e0 || (peek8(BDA_SEG, BDA_KBD_FLAGS0) & FLAG_CTRL))
            return false;
        lock_key(FLAG_NUM, down);
        return true;
    case 0x46:
        if (is_e0 || (peek8(BDA_SEG, BDA_KBD_FLAGS0) & FLAG_CTRL))
            return false;
        lock_key(FLAG_SCROLL, down);
        return true;
    default:
        return false;
    }
}

static void pause_until_key(void)
{
    change_flag(BDA_KBD_FLAGS1, HELD_PAUSE, true);
    outb(0x20, 0x20);
    while (peek8(BDA_SEG, BDA_KBD_FLAGS1) & HELD_PAUSE)
        yield_halt();
}

static void system_request(bool down)
{
    struct bregs regs;
    memset(&regs, 0, sizeof(regs));
    regs.ah = 0x85;
    regs.al = down ? 0 : 1;
    change_flag(BDA_KBD_FLAGS1, HELD_SYSREQ, down);
    call_int(0x15, &regs);
}

static void key_event(uint8_t byte)
{
    uint8_t state = peek8(BDA_SEG, BDA_KBD_FLAGS2);
    bool is_e0 = state & LAST_E0, is_e1 = state & LAST_E1, down = !(byte & 0x80);
    uint8_t code = byte & 0x7f;

    if (byte == 0xe0) {
        change_flag(BDA_KBD_FLAGS2, LAST_E0, true);
        return;
    }
    if (byte == 0xe1) {
        change_flag(BDA_KBD_FLAGS2, LAST_E1, true);
        return;
    }
    change_flag(BDA_KBD_FLAGS2, LAST_E0, false);
    if (is_e1) { /* Pause is E1 1D 45 E1 9D C5, only pressed, never released */
        if (code == 0x1d)
            return;
        change_flag(BDA_KBD_FLAGS2, LAST_E1, false);
        if (code == 0x45 && down)
            pause_until_key();
        return;
    }
    if (modifier_key(code, down, is_e0))
        return;

    uint8_t flags = peek8(BDA_SEG, BDA_KBD_FLAGS0);
    if (code == 0x54 || (code == 0x37 && is_e0 && (flags & FLAG_ALT))) {
        system_request(down);
        return;
    }
    if (code == 0x52 && !(flags & (FLAG_CTRL | FLAG_ALT))) { /* Insert is a key and a state */
        bool is_digit = !is_e0 && !(flags & FLAG_NUM) != !(flags & (FLAG_LSHIFT | FLAG_RSHIFT));
        if (!is_digit) {
            if (down && !(peek8(BDA_SEG, BDA_KBD_FLAGS1) & FLAG_INSERT))
                poke8(BDA_SEG, BDA_KBD_FLAGS0, flags ^ FLAG_INSERT);
            change_flag(BDA_KBD_FLAGS1, FLAG_INSERT, down);
        }
    }
    if (!down)
        return;
    if (peek8(BDA_SEG, BDA_KBD_FLAGS1) & HELD_PAUSE) {
        change_flag(BDA_KBD_FLAGS1, HELD_PAUSE, false); /* this key ends the pause and is lost */
        return;
    }
    if (code == 0x53 && (flags & FLAG_CTRL) && (flags & FLAG_ALT))
        reboot();
    if (code == 0x46 && (flags & FLAG_CTRL)) {
        ctrl_break();
        return;
    }
    if (code == 0x45 && (flags & FLAG_CTRL)) {
        pause_until_key();
        return;
    }
    if (code == 0x37 && (is_e0 || (flags & (FLAG_LSHIFT | FLAG_RSHIFT)))) {
        struct bregs regs;
        memset(&regs, 0, sizeof(regs));
        if (flags & FLAG_CTRL)
            put_key(0x7200);
        else
            call_int(0x05, &regs);
        return;
    }
    if ((flags & FLAG_ALT) && !is_e0 && code >= 0x47 && code <= 0x52 && code != 0x4a && code != 0x4e) {
        static const uint8_t digit[] = {7, 8, 9, 0, 4, 5, 6, 0, 1, 2, 3, 0};
        poke8(BDA_SEG, BDA_ALT_KEYPAD, (uint8_t)(peek8(BDA_SEG, BDA_ALT_KEYPAD) * 10 + digit[code - 0x47]));
        return;
    }
    uint16_t key = keymap_translate(code, is_e0, flags);
    if (key)
        put_key(key);
}

static void take_scan_code(uint8_t byte)
{
    struct bregs hook;
    memset(&hook, 0, sizeof(hook));
    hook.ah = 0x4f;
    hook.al = byte;
    /* Carry set means: the BIOS shall have it. It is set before, as IBM's sets it: a hook that does not care for the
     * key leaves it so, and keyboard drivers (mKEYB) take a call without it for somebody else's. */
    hook.flags = F_CF;
    call_int(0x15, &hook);
    if (hook.flags & F_CF)
        key_event(hook.al);
}

void handle_09(struct bregs *regs)
{
    struct bregs hook;

    uint8_t status = inb(KBD_STATUS) & (STATUS_OBF | STATUS_AUX);
    if (status == (STATUS_OBF | STATUS_AUX) || (!status && stale_irq)) {
        stale_irq = false;
        outb(0x20, 0x20);
        return;
    }
    /* With the buffer empty, too: a hook may have read the byte before us, and it is still there. */
    stale_irq = false;
    take_scan_code(inb(KBD_DATA));
    set_leds();
    while (early_count > 0) {
        uint8_t next = early[0];
        early_count--;
        for (unsigned i = 0; i < early_count; i++)
            early[i] = early[i + 1];
        take_scan_code(next);
        set_leds();
    }
    outb(0x20, 0x20);
    memset(&hook, 0, sizeof(hook));
    hook.ax = 0x9102; /* something came from the keyboard */
    call_int(0x15, &hook);
}

/* --- INT 16h --- */

/* What programs of before the enhanced keyboard get; 0: the key did not exist for them. */
static uint16_t old_key(uint16_t key)
{
    uint8_t code = (uint8_t)(key >> 8), c = (uint8_t)key;
    if (c == 0xe0 && code)
        return (uint16_t)(code << 8);
    if (code == 0xe0)
        return (uint16_t)((c == 0x0d || c == 0x0a ? 0x1c00 : 0x3500) | c);
    if (code > 0x84)
        return 0;
    return key;
}

static uint16_t new_key(uint16_t key)
{
    return (key & 0xff) == 0xf0 && (key >> 8) ? key & 0xff00 : key;
}

static void read_key(struct bregs *regs, bool is_new)
{
    uint16_t key = 0;
    for (;;) {
        while (!peek_key(&key)) {
            struct bregs hook;
            memset(&hook, 0, sizeof(hook));
            hook.ax = 0x9002;
            call_int(0x15, &hook);
            if (!peek_key(&key))
                yield_halt();
        }
        drop_key();
        uint16_t shown = is_new ? new_key(key) : old_key(key);
        if (shown || key == 0) {
            regs->ax = shown;
            return;
        }
    }
}

static void check_key(struct bregs *regs, bool is_new)
{
    uint16_t key;
    for (;;) {
        yield();
        if (!peek_key(&key)) {
            set_zf(regs, true);
            return;
        }
        uint16_t shown = is_new ? new_key(key) : old_key(key);
        if (shown || key == 0) {
            regs->ax = shown;
            set_zf(regs, false);
            return;
        }
        drop_key();
    }
}

void handle_16(struct bregs *regs)
{
    switch (regs->ah) {
    case 0x00:
        read_key(regs, false);
        break;
    case 0x01:
        check_key(regs, false);
        break;
    case 0x02:
        regs->al = peek8(BDA_SEG, BDA_KBD_FLAGS0);
        break;
    case 0x03: /* typematic rate and delay */
        if (regs->al == 0x05 && keyboard_send(0xf3))
            keyboard_send((uint8_t)((regs->bh & 3) << 5 | (regs->bl & 31)));
        break;
    case 0x05:
        regs->al = put_key(regs->cx) ? 0 : 1;
        break;
    case 0x09: /* functions 10h to 12h, and 0Ah; typematic can be set */
        regs->al = 0x30;
        break;
    case 0x0a:
        regs->bx = 0x41ab;
        break;
    case 0x10:
        read_key(regs, true);
        break;
    case 0x11:
        check_key(regs, true);
        break;
    case 0x12: {
        uint8_t f1 = peek8(BDA_SEG, BDA_KBD_FLAGS1), f2 = peek8(BDA_SEG, BDA_KBD_FLAGS2);
        regs->al = peek8(BDA_SEG, BDA_KBD_FLAGS0);
        regs->ah = (uint8_t)((f1 & 0x73) | (f2 & 0x0c) | (f1 & HELD_SYSREQ ? 0x80 : 0));
        break;
    }
    case 0x25: /* some keyboard drivers ask; they want to see it unchanged */
    case 0x92:
    case 0xa2:
        if (regs->ah == 0x92)
            regs->ah = 0x80; /* function 10h is there */
        break;
    default:
        log_unknown("int 16", regs);
        break;
    }
}

/* --- For POST and the boot menu --- */

bool kbd_pressed_during(uint32_t ms, uint16_t *key)
{
    struct timeout t = timeout_start(ms);
    do {
        yield();
        if (peek_key(key)) {
            drop_key();
            if (*key == 0x011b || *key == 0x8600)
                return true;
        }
    } while (!timeout_passed(&t));
    return false;
}

uint16_t kbd_wait(void)
{
    uint16_t key;
    while (!peek_key(&key))
        yield_halt();
    drop_key();
    return key;
}

void kbd_init(void)
{
    poke16(BDA_SEG, BDA_KBD_START, BDA_KBD_BUFFER);
    poke16(BDA_SEG, BDA_KBD_END, BDA_KBD_BUFFER + 32);
    poke16(BDA_SEG, BDA_KBD_HEAD, BDA_KBD_BUFFER);
    poke16(BDA_SEG, BDA_KBD_TAIL, BDA_KBD_BUFFER);
    poke8(BDA_SEG, BDA_KBD_FLAGS2, ENHANCED);

    flush_output();
    kbd_write_command(0xaa);
    if (read_output(1000, false) != 0x55) {
        printf("No keyboard controller\n");
        return;
    }
    set_command_byte(0x74); /* both ports off, no interrupts, translation, system flag */
    kbd_write_command(0xab);
    read_output(500, false);
    set_command_byte(0x64); /* keyboard on */
    if (!keyboard_send(0xff) || read_output(1500, false) != 0xaa) {
        printf("No keyboard\n");
        return;
    }
    keyboard_send(0xf4);
    flush_output();
    kbd_write_command(0xa8);
    set_command_byte(0x45 | 0x20);
    flush_output();
}

/* --- Mouse --- */

/* EBDA 26h: bit 7 a command is under way, bits 0-2 index into the packet; 27h: bit 7 handler is set, bits 0-2
 * packet size - 1. */

static int aux_send(uint8_t byte)
{
    kbd_write_command(0xd4);
    write_data(byte);
    return read_output(500, true);
}

/* Off while we talk: the keyboard's bytes and the mouse's own packets would mix in. */
static uint8_t aux_begin(void)
{
    uint8_t old = command_byte();
    set_command_byte((uint8_t)((old & ~0x23) | 0x10)); /* mouse port on, keyboard port off, no interrupts */
    return old;
}

static void aux_end(uint8_t byte)
{
    set_command_byte((uint8_t)(byte & ~0x30));
}

static void mouse_return(struct bregs *regs, uint8_t code)
{
    regs->ah = code;
    set_cf(regs, code != 0);
}

static bool aux_command(uint8_t byte, int argument)
{
    return aux_send(byte) == 0xfa && (argument < 0 || aux_send((uint8_t)argument) == 0xfa);
}

void mouse_15(struct bregs *regs)
{
    static const uint8_t rates[] = {10, 20, 40, 60, 80, 100, 200};
    uint16_t ebda = ebda_seg();
    uint8_t old = 0, code = 0;

    if (regs->al != 0x07)
        old = aux_begin();
    poke8(ebda, EBDA_MOUSE_FLAG1, 0);
    switch (regs->al) {
    case 0x00: /* off, on */
        if (regs->bh > 1)
            code = 0x01;
        else if (regs->bh && !(peek8(ebda, EBDA_MOUSE_FLAG2) & 0x80))
            code = 0x05; /* nobody to tell */
        else if (!aux_command(regs->bh ? 0xf4 : 0xf5, -1))
            code = 0x03;
        else if (regs->bh)
            old |= 2;
        break;
    case 0x05: /* packet size, and as 01 */
        if (!regs->bh || regs->bh > 8) {
            code = 0x02;
            break;
        }
        poke8(ebda, EBDA_MOUSE_FLAG2, (uint8_t)((peek8(ebda, EBDA_MOUSE_FLAG2) & 0x80) | (regs->bh - 1)));
        /* fall through */
    case 0x01: { /* reset */
        if (aux_send(0xff) != 0xfa) {
            code = 0x03;
            break;
        }
        int passed = read_output(1000, true), id = read_output(500, true);
        if (passed != 0xaa || id < 0) {
            code = 0x03;
        } else {
            regs->bl = 0xaa;
            regs->bh = (uint8_t)id;
        }
        old |= 2;
        break;
    }
    case 0x02:
        if (regs->bh > 6)
            code = 0x02;
        else if (!aux_command(0xf3, rates[regs->bh]))
            code = 0x03;
        break;
    case 0x03:
        if (regs->bh > 3)
            code = 0x02;
        else if (!aux_command(0xe8, regs->bh))
            code = 0x03;
        break;
    case 0x04: {
        int id = aux_command(0xf2, -1) ? read_output(500, true) : -1;
        if (id < 0)
            code = 0x03;
        else
            regs->bh = (uint8_t)id;
        break;
    }
    case 0x06:
        if (regs->bh == 0) {
            int status[3] = {-1, -1, -1};
            if (aux_command(0xe9, -1)) {
                for (unsigned i = 0; i < 3; i++)
                    status[i] = read_output(500, true);
            }
            if (status[2] < 0) {
                code = 0x03;
            } else {
                regs->bl = (uint8_t)status[0];
                regs->cl = (uint8_t)status[1];
                regs->dl = (uint8_t)status[2];
            }
        } else if (regs->bh > 2) {
            code = 0x01;
        } else if (!aux_command(regs->bh == 1 ? 0xe6 : 0xe7, -1)) {
            code = 0x03;
        }
        break;
    case 0x07:
        poke16(ebda, EBDA_MOUSE_CALL, regs->bx);
        poke16(ebda, EBDA_MOUSE_CALL + 2, regs->es);
        if (regs->bx || regs->es) {
            poke8(ebda, EBDA_MOUSE_FLAG2, peek8(ebda, EBDA_MOUSE_FLAG2) | 0x80);
        } else {
            poke8(ebda, EBDA_MOUSE_FLAG2, peek8(ebda, EBDA_MOUSE_FLAG2) & 0x7f);
        }
        break;
    default:
        code = 0x01;
        break;
    }
    if (regs->al != 0x07)
        aux_end(old);
    if (code)
        dprintf("int 15 c2%02x bx=%04x: error %02x\n", regs->al, regs->bx, code);
    mouse_return(regs, code);
}

void handle_74(struct bregs *regs)
{
    uint16_t ebda = ebda_seg();
    uint8_t flag1 = peek8(ebda, EBDA_MOUSE_FLAG1), flag2 = peek8(ebda, EBDA_MOUSE_FLAG2);
    uint8_t index = flag1 & 7, last = flag2 & 7;

    if ((inb(KBD_STATUS) & (STATUS_OBF | STATUS_AUX)) == (STATUS_OBF | STATUS_AUX)) {
        uint8_t byte = inb(KBD_DATA);
        poke8(ebda, (uint16_t)(EBDA_MOUSE_DATA + index), byte);
        if (index < last) {
            poke8(ebda, EBDA_MOUSE_FLAG1, (uint8_t)(index + 1));
        } else {
            poke8(ebda, EBDA_MOUSE_FLAG1, 0);
            if (flag2 & 0x80)
                mouse_call(peek32(ebda, EBDA_MOUSE_CALL),
                           peek8(ebda, EBDA_MOUSE_DATA) | (uint32_t)peek8(ebda, EBDA_MOUSE_DATA + 1) << 16,
                           peek8(ebda, EBDA_MOUSE_DATA + 2));
        }
    }
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
}
