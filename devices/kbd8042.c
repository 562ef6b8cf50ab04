/* 8042 keyboard controller, PS/2 keyboard, PS/2 mouse.
 *
 * IBM PS/2 Hardware Interface Technical Reference: "Keyboard/Auxiliary Device Controller", "Keyboards",
 * "Mouse". The keyboard speaks scan code set 2 (or 1); the controller translates 2 to 1 if told so.
 */
#include "kbd8042.h"

#include <string.h>

#include "ioport.h"
#include "log.h"
#include "state.h"
#include "vclock.h"

/* Status register, port 64h. */
#define STS_OBF  0x01u
#define STS_SYS  0x04u
#define STS_CMD  0x08u /* last write was to port 64h */
#define STS_KEYL 0x10u /* keyboard not locked */
#define STS_AUX  0x20u /* the byte in the output buffer is the mouse's */

/* Controller command byte (RAM byte 0). */
#define CCB_INT1    0x01u
#define CCB_INT12   0x02u
#define CCB_SYS     0x04u
#define CCB_KBD_OFF 0x10u
#define CCB_AUX_OFF 0x20u
#define CCB_XLAT    0x40u

/* Output port. */
#define OUT_NOT_RESET 0x01u
#define OUT_A20       0x02u
#define OUT_OBF1      0x10u
#define OUT_OBF12     0x20u

#define ACK    0xfa
#define RESEND 0xfe

#define KBD_QUEUE   32
#define MOUSE_QUEUE 64
#define REPLY_QUEUE 1

struct byte_queue {
    uint8_t byte[64];
    uint8_t head, count;
};

struct kbd8042_regs {
    /* controller */
    uint8_t ram[32]; /* [0] is the command byte */
    uint8_t status_sys, last_was_command;
    uint8_t outport;
    uint8_t obuf, obuf_full, obuf_aux;
    uint8_t obuf_reply;      /* it is the controller's own */
    uint8_t pending_command; /* the command at port 64h that waits for its byte at 60h; 0 = none */
    uint8_t xlat_break;      /* F0h seen: the next code is a break code */
    struct byte_queue reply; /* the controller's own answer; bit 0 of reply_aux per entry */
    struct byte_queue reply_aux;
    /* keyboard */
    struct byte_queue kbd;
    uint8_t kbd_command; /* waits for its parameter */
    uint8_t kbd_scanning, kbd_set, kbd_leds, kbd_rate, kbd_last;
    uint8_t kbd_held;  /* MOD_...: keys that change what PrtSc and Pause send */
    uint8_t kbd_print; /* enum print_form: what PrtSc sent when it went down */
    int64_t kbd_next;  /* when its next byte can be here */
    /* mouse */
    struct byte_queue mouse;
    uint8_t mouse_command;
    uint8_t mouse_streaming, mouse_remote, mouse_wrap, mouse_scale21;
    uint8_t mouse_resolution, mouse_rate, mouse_id, mouse_buttons, mouse_sent_buttons;
    uint8_t mouse_rates[2]; /* the two sample rates set before this one: the wheel's knock */
    uint8_t mouse_last;
    int32_t mouse_dx, mouse_dy, mouse_dz; /* not yet reported */
};

#define MOD_SHIFT_L 0x01u
#define MOD_SHIFT_R 0x02u
#define MOD_CTRL_L  0x04u
#define MOD_CTRL_R  0x08u
#define MOD_ALT_L   0x10u
#define MOD_ALT_R   0x20u
#define MOD_SHIFT   (MOD_SHIFT_L | MOD_SHIFT_R)
#define MOD_CTRL    (MOD_CTRL_L | MOD_CTRL_R)
#define MOD_ALT     (MOD_ALT_L | MOD_ALT_R)

enum print_form { PRINT_PLAIN, PRINT_SHORT, PRINT_SYSREQ };

struct kbd8042 {
    struct kbd8042_regs regs;
    struct kbd8042_wiring wiring;
    struct input_sink input;
    struct vtimer *timer; /* kbd_next */
};

/* Scan code set 2 for each set 1 make code: what the 8042's translation table inverts. */
static const uint8_t set2_of_set1[128] = {
    0x00, 0x76, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66, 0x0d, 0x15, 0x1d, 0x24,
    0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x14, 0x1c, 0x1b, 0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42,
    0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5d, 0x1a, 0x22, 0x21, 0x2a, 0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7c, 0x11,
    0x29, 0x58, 0x05, 0x06, 0x04, 0x0c, 0x03, 0x0b, 0x83, 0x0a, 0x01, 0x09, 0x77, 0x7e, 0x6c, 0x75, 0x7d, 0x7b, 0x6b,
    0x73, 0x74, 0x79, 0x69, 0x72, 0x7a, 0x70, 0x71, 0x84, 0x60, 0x61, 0x78, 0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37,
    0x3f, 0x47, 0x4f, 0x56, 0x5e, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x57, 0x6f, 0x13, 0x19,
    0x39, 0x51, 0x53, 0x5c, 0x5f, 0x62, 0x63, 0x64, 0x65, 0x67, 0x68, 0x6a, 0x6d, 0x6e,
};

static uint8_t set1_of_set2(uint8_t code)
{
    if (code == 0x02)
        return 0x41; /* F7 has two codes in the table; and so has Alt-SysRq */
    if (code == 0x7f)
        return 0x54;
    for (unsigned i = 0; i < 128; i++) {
        if (set2_of_set1[i] == code)
            return i;
    }
    return code;
}

static bool queue_push(struct byte_queue *queue, unsigned limit, uint8_t byte)
{
    if (queue->count >= limit)
        return false;
    queue->byte[(queue->head + queue->count++) % sizeof(queue->byte)] = byte;
    return true;
}

static uint8_t queue_pop(struct byte_queue *queue)
{
    uint8_t byte = queue->byte[queue->head];
    queue->head = (queue->head + 1) % sizeof(queue->byte);
    queue->count--;
    return byte;
}

/* --- Output buffer and pins --- */

static uint8_t *ccb(struct kbd8042 *kbd)
{
    return &kbd->regs.ram[0];
}

/* Must be called whenever the output buffer or the command byte changed. */
static void kbd_update_irq(struct kbd8042 *kbd)
{
    struct kbd8042_regs *regs = &kbd->regs;
    bool irq1 = regs->obuf_full && !regs->obuf_aux;
    bool irq12 = regs->obuf_full && regs->obuf_aux;
    regs->outport = (regs->outport & ~(OUT_OBF1 | OUT_OBF12)) | (irq1 ? OUT_OBF1 : 0) | (irq12 ? OUT_OBF12 : 0);
    irq_set(&kbd->wiring.irq1, irq1 && (*ccb(kbd) & CCB_INT1));
    irq_set(&kbd->wiring.irq12, irq12 && (*ccb(kbd) & CCB_INT12));
}

static void obuf_set(struct kbd8042 *kbd, uint8_t byte, bool aux)
{
    kbd->regs.obuf = byte;
    kbd->regs.obuf_full = 1;
    kbd->regs.obuf_aux = aux;
    kbd->regs.obuf_reply = 0;
}

/* A byte of the keyboard as it enters the output buffer. False: swallowed (F0h, when translating). */
static bool kbd_translate(struct kbd8042 *kbd, uint8_t *byte)
{
    struct kbd8042_regs *regs = &kbd->regs;
    if (!(*ccb(kbd) & CCB_XLAT))
        return true;
    if (*byte == 0xf0) {
        regs->xlat_break = 0x80;
        return false;
    }
    if (*byte < 0x80 || *byte == 0x83 || *byte == 0x84) {
        *byte = set1_of_set2(*byte) | regs->xlat_break;
        regs->xlat_break = 0;
    }
    return true;
}

/* A byte takes its time on the wire, and until it is here the one before can be read again: hooks of INT 9 read it, and
 * then the BIOS does. Without the interrupt nobody has hooked it, and polling programs get all there is at once. */
#define WIRE_NS 1000000ll

static bool kbd_has_byte(struct kbd8042 *kbd)
{
    const struct kbd8042_regs *regs = &kbd->regs;
    if (!regs->kbd.count || (*ccb(kbd) & CCB_KBD_OFF))
        return false;
    if (!(*ccb(kbd) & CCB_INT1) || vclock_now() >= regs->kbd_next)
        return true;
    vtimer_arm(kbd->timer, regs->kbd_next);
    return false;
}

/* Fills the output buffer from who has something to say: controller, keyboard, mouse. */
static void kbd_pump(struct kbd8042 *kbd)
{
    struct kbd8042_regs *regs = &kbd->regs;
    while (!regs->obuf_full) {
        uint8_t byte;
        if (regs->reply.count) {
            byte = queue_pop(&regs->reply);
            obuf_set(kbd, byte, queue_pop(&regs->reply_aux));
            regs->obuf_reply = 1;
        } else if (kbd_has_byte(kbd)) {
            byte = queue_pop(&regs->kbd);
            if (kbd_translate(kbd, &byte))
                obuf_set(kbd, byte, false);
        } else if (regs->mouse.count && !(*ccb(kbd) & CCB_AUX_OFF)) {
            obuf_set(kbd, queue_pop(&regs->mouse), true);
        } else {
            break;
        }
    }
    kbd_update_irq(kbd);
}

/* The chip has one place for an answer: one that nobody has read gives way to the next. What a device sent, and is in
 * the buffer, stays until it is read (QEMU's way): keys are not lost to a command. */
static void reply(struct kbd8042 *kbd, uint8_t byte, bool aux)
{
    struct kbd8042_regs *regs = &kbd->regs;
    if (regs->obuf_full && regs->obuf_reply) {
        regs->obuf = byte;
        regs->obuf_aux = aux;
        return;
    }
    regs->reply.count = regs->reply_aux.count = 0;
    queue_push(&regs->reply, REPLY_QUEUE, byte);
    queue_push(&regs->reply_aux, REPLY_QUEUE, aux);
}

static void outport_write(struct kbd8042 *kbd, uint8_t value)
{
    kbd->regs.outport = (value & ~(OUT_OBF1 | OUT_OBF12)) | OUT_NOT_RESET;
    irq_set(&kbd->wiring.a20, value & OUT_A20);
    if (!(value & OUT_NOT_RESET))
        irq_set(&kbd->wiring.reset, true);
}

/* --- Keyboard --- */

static void kbd_say(struct kbd8042 *kbd, uint8_t byte)
{
    if (byte != RESEND)
        kbd->regs.kbd_last = byte;
    queue_push(&kbd->regs.kbd, KBD_QUEUE + 16, byte); /* keys leave room for answers */
}

static void kbd_defaults(struct kbd8042 *kbd)
{
    kbd->regs.kbd_scanning = 1;
    kbd->regs.kbd_set = 2;
    kbd->regs.kbd_rate = 0x2b; /* 500 ms, 10.9 a second */
    kbd->regs.kbd_command = 0;
}

static void kbd_parameter(struct kbd8042 *kbd, uint8_t command, uint8_t value)
{
    struct kbd8042_regs *regs = &kbd->regs;
    switch (command) {
    case 0xed:
        regs->kbd_leds = value & 7;
        kbd_say(kbd, ACK);
        break;
    case 0xf3:
        regs->kbd_rate = value & 0x7f;
        kbd_say(kbd, ACK);
        break;
    case 0xf0:
        if (value > 2) { /* there is no set 3 */
            kbd_say(kbd, RESEND);
            break;
        }
        kbd_say(kbd, ACK);
        if (value == 0)
            kbd_say(kbd, regs->kbd_set);
        else
            regs->kbd_set = value;
        break;
    }
}

static void kbd_receive(struct kbd8042 *kbd, uint8_t byte)
{
    struct kbd8042_regs *regs = &kbd->regs;
    uint8_t command = regs->kbd_command;

    regs->kbd_command = 0;
    if (command && byte < 0xed) {
        kbd_parameter(kbd, command, byte);
        return;
    }
    switch (byte) {
    case 0xed: /* set LEDs */
    case 0xf0: /* scan code set */
    case 0xf3: /* typematic rate */
        kbd_say(kbd, ACK);
        regs->kbd_command = byte;
        break;
    case 0xee: /* echo */
        kbd_say(kbd, 0xee);
        break;
    case 0xf2: /* identify */
        kbd_say(kbd, ACK);
        kbd_say(kbd, 0xab);
        kbd_say(kbd, 0x83);
        break;
    case 0xf4: /* enable */
        regs->kbd.count = 0;
        regs->kbd_scanning = 1;
        kbd_say(kbd, ACK);
        break;
    case 0xf5: /* defaults, disable */
    case 0xf6: /* defaults */
        regs->kbd.count = 0;
        kbd_defaults(kbd);
        regs->kbd_scanning = byte == 0xf6;
        kbd_say(kbd, ACK);
        break;
    case 0xf7:
    case 0xf8:
    case 0xf9:
    case 0xfa: /* key types: only set 3 has them */
        kbd_say(kbd, ACK);
        break;
    case 0xfe: /* resend */
        queue_push(&regs->kbd, KBD_QUEUE, regs->kbd_last);
        break;
    case 0xff: /* reset and self-test */
        regs->kbd.count = 0;
        regs->xlat_break = 0;
        kbd_defaults(kbd);
        regs->kbd_leds = 0;
        kbd_say(kbd, ACK);
        kbd_say(kbd, 0xaa);
        break;
    default:
        kbd_say(kbd, RESEND);
        break;
    }
}

/* All the bytes of one key event, or an overrun mark: half a code would confuse the guest. */
static void kbd_emit(struct kbd8042 *kbd, const uint8_t *bytes, unsigned count)
{
    struct byte_queue *queue = &kbd->regs.kbd;
    if (queue->count + count > KBD_QUEUE - 1) {
        if (queue->count < KBD_QUEUE)
            queue_push(queue, KBD_QUEUE, kbd->regs.kbd_set == 1 ? 0xff : 0x00);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        queue_push(queue, KBD_QUEUE, bytes[i]);
}

#define EMIT(...) kbd_emit(kbd, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Sends make and break at once, and nothing on release: with Ctrl it is Break, else what a PC/XT's Ctrl-NumLock sent.
 */
static void pause_key(struct kbd8042 *kbd)
{
    bool set1 = kbd->regs.kbd_set == 1;
    if (kbd->regs.kbd_held & MOD_CTRL) {
        if (set1)
            EMIT(0xe0, 0x46, 0xe0, 0xc6);
        else
            EMIT(0xe0, 0x7e, 0xe0, 0xf0, 0x7e);
    } else if (set1) {
        EMIT(0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    } else {
        EMIT(0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
    }
}

/* A shifted asterisk of the keypad to programs of the PC/XT; SysReq with Alt. The release goes with the press. */
static void print_key(struct kbd8042 *kbd, bool down)
{
    struct kbd8042_regs *regs = &kbd->regs;
    bool set1 = regs->kbd_set == 1;

    if (down)
        regs->kbd_print = regs->kbd_held & MOD_ALT                  ? PRINT_SYSREQ
                          : regs->kbd_held & (MOD_SHIFT | MOD_CTRL) ? PRINT_SHORT
                                                                    : PRINT_PLAIN;
    if (regs->kbd_print == PRINT_SYSREQ) {
        if (set1)
            EMIT(down ? 0x54 : 0xd4);
        else if (down)
            EMIT(0x84);
        else
            EMIT(0xf0, 0x84);
    } else if (regs->kbd_print == PRINT_SHORT) {
        if (set1)
            EMIT(0xe0, down ? 0x37 : 0xb7);
        else if (down)
            EMIT(0xe0, 0x7c);
        else
            EMIT(0xe0, 0xf0, 0x7c);
    } else if (set1) {
        if (down)
            EMIT(0xe0, 0x2a, 0xe0, 0x37);
        else
            EMIT(0xe0, 0xb7, 0xe0, 0xaa);
    } else if (down) {
        EMIT(0xe0, 0x12, 0xe0, 0x7c);
    } else {
        EMIT(0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
    }
}

static void held_note(struct kbd8042 *kbd, uint16_t code, bool down)
{
    static const struct {
        uint16_t code;
        uint8_t bit;
    } keys[] = {{0x2a, MOD_SHIFT_L},  {0x36, MOD_SHIFT_R}, {0x1d, MOD_CTRL_L},
                {0xe01d, MOD_CTRL_R}, {0x38, MOD_ALT_L},   {0xe038, MOD_ALT_R}};
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (keys[i].code == code)
            kbd->regs.kbd_held = down ? kbd->regs.kbd_held | keys[i].bit : kbd->regs.kbd_held & ~keys[i].bit;
    }
}

void kbd8042_key(struct kbd8042 *kbd, uint16_t code, bool down)
{
    uint8_t bytes[3];
    unsigned count = 0;
    bool set1 = kbd->regs.kbd_set == 1;

    held_note(kbd, code, down);
    if (!kbd->regs.kbd_scanning)
        return;
    if (code == KEY_PAUSE) {
        if (down)
            pause_key(kbd);
    } else if (code == KEY_PRINT) {
        print_key(kbd, down);
    } else {
        if (code >> 8 == 0xe0)
            bytes[count++] = 0xe0;
        if (!down && !set1)
            bytes[count++] = 0xf0;
        uint8_t key = code & 0x7f;
        bytes[count++] = set1 ? key | (down ? 0 : 0x80) : set2_of_set1[key];
        kbd_emit(kbd, bytes, count);
    }
    kbd_pump(kbd);
}

unsigned kbd8042_leds(const struct kbd8042 *kbd)
{
    return kbd->regs.kbd_leds;
}

/* --- Mouse --- */

static void mouse_say(struct kbd8042 *kbd, uint8_t byte)
{
    if (byte != RESEND)
        kbd->regs.mouse_last = byte;
    queue_push(&kbd->regs.mouse, MOUSE_QUEUE, byte);
}

static void mouse_defaults(struct kbd8042 *kbd)
{
    struct kbd8042_regs *regs = &kbd->regs;
    regs->mouse_streaming = regs->mouse_remote = regs->mouse_wrap = regs->mouse_scale21 = 0;
    regs->mouse_resolution = 2; /* 4 counts a millimetre */
    regs->mouse_rate = 100;
    regs->mouse_command = 0;
    regs->mouse_dx = regs->mouse_dy = regs->mouse_dz = 0;
}

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* In stream mode with 2:1 scaling small counts shrink and large ones double. */
static int mouse_scale(const struct kbd8042 *kbd, int counts)
{
    static const int small[6] = {0, 1, 1, 3, 6, 9};
    if (!kbd->regs.mouse_scale21 || kbd->regs.mouse_remote)
        return counts;
    int size = counts < 0 ? -counts : counts;
    int scaled = size < 6 ? small[size] : 2 * size;
    return counts < 0 ? -scaled : scaled;
}

/* One movement report. What does not fit stays for the next. */
static void mouse_report(struct kbd8042 *kbd)
{
    struct kbd8042_regs *regs = &kbd->regs;
    int raw_x = clamp(regs->mouse_dx, -127, 127), raw_y = clamp(regs->mouse_dy, -127, 127);
    int x = clamp(mouse_scale(kbd, raw_x), -255, 255), y = clamp(mouse_scale(kbd, raw_y), -255, 255);
    uint8_t report[4] = {0x08 | (regs->mouse_buttons & 7) | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0), (uint8_t)x,
                         (uint8_t)y, 0};
    unsigned count = 3;

    regs->mouse_dx -= raw_x;
    regs->mouse_dy -= raw_y;
    if (regs->mouse_id == 3) {
        int z = clamp(regs->mouse_dz, -127, 127);
        regs->mouse_dz -= z;
        report[3] = (uint8_t)z;
        count = 4;
    } else if (regs->mouse_id == 4) {
        int z = clamp(regs->mouse_dz, -7, 7);
        regs->mouse_dz -= z;
        report[3] = (z & 15) | (regs->mouse_buttons >> 3 & 3) << 4;
        count = 4;
    } else {
        regs->mouse_dz = 0;
    }
    regs->mouse_sent_buttons = regs->mouse_buttons;
    for (unsigned i = 0; i < count; i++)
        mouse_say(kbd, report[i]);
}

void kbd8042_mouse(struct kbd8042 *kbd, int dx, int dy, int dz, unsigned buttons)
{
    struct kbd8042_regs *regs = &kbd->regs;
    /* The counters of a real mouse overflow, too, when nobody asks. */
    regs->mouse_dx = clamp(regs->mouse_dx + clamp(dx, -4096, 4096), -4096, 4096);
    regs->mouse_dy = clamp(regs->mouse_dy + clamp(dy, -4096, 4096), -4096, 4096);
    regs->mouse_dz = clamp(regs->mouse_dz + clamp(dz, -127, 127), -127, 127);
    regs->mouse_buttons = buttons & 0x1f;
    if (!regs->mouse_streaming || regs->mouse_remote || regs->mouse_wrap)
        return;
    /* Room for some whole reports is kept; else movement adds up in the counters. */
    while ((regs->mouse_dx || regs->mouse_dy || regs->mouse_dz || regs->mouse_buttons != regs->mouse_sent_buttons) &&
           regs->mouse.count + 4u <= MOUSE_QUEUE / 2)
        mouse_report(kbd);
    kbd_pump(kbd);
}

void kbd8042_mouse_nudge(struct kbd8042 *kbd)
{
    const struct kbd8042_regs *regs = &kbd->regs;
    if (!regs->mouse_streaming || regs->mouse_remote || regs->mouse_wrap || regs->mouse.count + 4u > MOUSE_QUEUE / 2)
        return;
    mouse_report(kbd);
    kbd_pump(kbd);
}

static void mouse_parameter(struct kbd8042 *kbd, uint8_t command, uint8_t value)
{
    struct kbd8042_regs *regs = &kbd->regs;
    if (command == 0xe8) {
        if (value > 3) {
            mouse_say(kbd, RESEND);
            return;
        }
        regs->mouse_resolution = value;
    } else {
        /* 200, 100, 80 turns the wheel on; 200, 200, 80 after that the side buttons. */
        if (regs->mouse_rates[0] == 200 && regs->mouse_rates[1] == 100 && value == 80)
            regs->mouse_id = 3;
        else if (regs->mouse_rates[0] == 200 && regs->mouse_rates[1] == 200 && value == 80 && regs->mouse_id == 3)
            regs->mouse_id = 4;
        regs->mouse_rates[0] = regs->mouse_rates[1];
        regs->mouse_rates[1] = value;
        regs->mouse_rate = value;
    }
    mouse_say(kbd, ACK);
}

static void mouse_receive(struct kbd8042 *kbd, uint8_t byte)
{
    struct kbd8042_regs *regs = &kbd->regs;
    uint8_t command = regs->mouse_command;

    regs->mouse_command = 0;
    if (regs->mouse_wrap && byte != 0xff && byte != 0xec) {
        mouse_say(kbd, byte);
        return;
    }
    if (command) {
        mouse_parameter(kbd, command, byte);
        return;
    }
    if (byte != 0xfe)
        regs->mouse.count = 0; /* a command ends what was being sent */
    switch (byte) {
    case 0xe6: /* scaling 1:1 */
    case 0xe7: /* 2:1 */
        regs->mouse_scale21 = byte & 1;
        break;
    case 0xe8: /* resolution */
    case 0xf3: /* sample rate */
        regs->mouse_command = byte;
        break;
    case 0xe9: { /* status */
        uint8_t buttons = regs->mouse_buttons;
        mouse_say(kbd, ACK);
        mouse_say(kbd, regs->mouse_remote << 6 | regs->mouse_streaming << 5 | regs->mouse_scale21 << 4 |
                           (buttons & 1) << 2 | (buttons & 4) >> 1 | (buttons & 2) >> 1);
        mouse_say(kbd, regs->mouse_resolution);
        mouse_say(kbd, regs->mouse_rate);
        return;
    }
    case 0xea: /* stream mode */
    case 0xf0: /* remote mode */
        regs->mouse_remote = byte == 0xf0;
        break;
    case 0xeb: /* read data */
        mouse_say(kbd, ACK);
        mouse_report(kbd);
        return;
    case 0xec: /* end of wrap mode */
    case 0xee: /* wrap mode */
        regs->mouse_wrap = byte == 0xee;
        break;
    case 0xf2: /* identify */
        mouse_say(kbd, ACK);
        mouse_say(kbd, regs->mouse_id);
        return;
    case 0xf4: /* enable */
    case 0xf5: /* disable */
        regs->mouse_streaming = byte == 0xf4;
        break;
    case 0xf6: /* defaults */
        mouse_defaults(kbd);
        break;
    case 0xfe: /* resend */
        queue_push(&regs->mouse, MOUSE_QUEUE, regs->mouse_last);
        return;
    case 0xff: /* reset */
        mouse_defaults(kbd);
        regs->mouse_id = 0;
        memset(regs->mouse_rates, 0, sizeof(regs->mouse_rates));
        mouse_say(kbd, ACK);
        mouse_say(kbd, 0xaa);
        mouse_say(kbd, 0x00);
        return;
    default:
        mouse_say(kbd, RESEND);
        return;
    }
    mouse_say(kbd, ACK);
}

/* --- Ports 60h and 64h --- */

static void kbd_command(struct kbd8042 *kbd, uint8_t command)
{
    struct kbd8042_regs *regs = &kbd->regs;

    regs->pending_command = 0;
    switch (command) {
    case 0x20 ... 0x3f: /* read RAM */
        reply(kbd, regs->ram[command & 0x1f], false);
        break;
    case 0x60 ... 0x7f: /* write RAM */
    case 0xd1:          /* write output port */
    case 0xd2:          /* write as if the keyboard had sent it */
    case 0xd3:          /* as if the mouse had */
    case 0xd4:          /* to the mouse */
        regs->pending_command = command;
        break;
    case 0xa4: /* password installed? */
        reply(kbd, 0xf1, false);
        break;
    case 0xa7:
        *ccb(kbd) |= CCB_AUX_OFF;
        break;
    case 0xa8:
        *ccb(kbd) &= ~CCB_AUX_OFF;
        break;
    case 0xa9: /* test mouse interface: no error */
    case 0xab: /* test keyboard interface */
        reply(kbd, 0x00, false);
        break;
    case 0xaa: /* self-test */
        regs->status_sys = 1;
        reply(kbd, 0x55, false);
        break;
    case 0xad:
        *ccb(kbd) |= CCB_KBD_OFF;
        break;
    case 0xae:
        *ccb(kbd) &= ~CCB_KBD_OFF;
        break;
    case 0xc0: /* input port: keyboard not locked, colour display */
        reply(kbd, 0x80, false);
        break;
    case 0xd0:
        reply(kbd, regs->outport, false);
        break;
    case 0xdd: /* A20 off */
    case 0xdf: /* A20 on */
        outport_write(kbd, command == 0xdf ? regs->outport | OUT_A20 : regs->outport & ~OUT_A20);
        break;
    case 0xe0: /* test inputs: clock and data lines idle */
        reply(kbd, 0x00, false);
        break;
    case 0xf0 ... 0xff: /* pulse low output port bits 0 to 3 whose bit is 0 */
        if (!(command & 1))
            irq_set(&kbd->wiring.reset, true);
        break;
    default:
        log_guest("8042: unknown command %02x", command);
        break;
    }
}

static void kbd_data_write(struct kbd8042 *kbd, uint8_t value)
{
    struct kbd8042_regs *regs = &kbd->regs;
    uint8_t command = regs->pending_command;

    regs->pending_command = 0;
    switch (command) {
    case 0:
        *ccb(kbd) &= ~CCB_KBD_OFF; /* sending to the keyboard lets its clock run */
        kbd_receive(kbd, value);
        break;
    case 0x60 ... 0x7f:
        regs->ram[command & 0x1f] = value;
        if (command == 0x60)
            regs->status_sys = (value & CCB_SYS) != 0;
        break;
    case 0xd1:
        outport_write(kbd, value);
        break;
    case 0xd2:
        reply(kbd, value, false);
        break;
    case 0xd3:
        reply(kbd, value, true);
        break;
    case 0xd4:
        *ccb(kbd) &= ~CCB_AUX_OFF;
        mouse_receive(kbd, value);
        break;
    }
}

static void kbd_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct kbd8042 *kbd = opaque;
    kbd->regs.last_was_command = port == 0x64;
    if (port == 0x64)
        kbd_command(kbd, value);
    else
        kbd_data_write(kbd, value);
    kbd_pump(kbd);
}

static uint32_t kbd_read(void *opaque, uint16_t port, unsigned size)
{
    struct kbd8042 *kbd = opaque;
    struct kbd8042_regs *regs = &kbd->regs;

    if (port == 0x64)
        return (regs->obuf_full ? STS_OBF : 0) | (regs->status_sys ? STS_SYS : 0) |
               (regs->last_was_command ? STS_CMD : 0) | STS_KEYL | (regs->obuf_full && regs->obuf_aux ? STS_AUX : 0);
    uint8_t byte = regs->obuf;
    if (regs->obuf_full && !regs->obuf_reply && !regs->obuf_aux)
        regs->kbd_next = vclock_now() + WIRE_NS;
    regs->obuf_full = 0;
    kbd_update_irq(kbd); /* the pins fall before the next byte raises them: an edge per byte */
    kbd_pump(kbd);
    return byte;
}

static void kbd_timer(void *opaque)
{
    kbd_pump(opaque);
}

static const struct io_ops kbd_io = {.widths = 1, .read = kbd_read, .write = kbd_write};

static void kbd8042_reset(void *dev)
{
    struct kbd8042 *kbd = dev;
    memset(&kbd->regs, 0, sizeof(kbd->regs));
    vtimer_cancel(kbd->timer);
    *ccb(kbd) = CCB_XLAT | CCB_SYS | CCB_INT1; /* as a BIOS leaves it: keyboard on, mouse off */
    *ccb(kbd) |= CCB_AUX_OFF;
    kbd->regs.status_sys = 1;
    kbd->regs.outport = 0xcf;
    kbd_defaults(kbd);
    mouse_defaults(kbd);
    irq_set(&kbd->wiring.a20, true);
    kbd_update_irq(kbd);
}

static const struct state_field kbd8042_fields[] = {
    STATE_FIELD(kbd8042_regs, ram),
    STATE_FIELD(kbd8042_regs, status_sys),
    STATE_FIELD(kbd8042_regs, last_was_command),
    STATE_FIELD(kbd8042_regs, outport),
    STATE_FIELD(kbd8042_regs, obuf),
    STATE_FIELD(kbd8042_regs, obuf_full),
    STATE_FIELD(kbd8042_regs, obuf_aux),
    STATE_FIELD(kbd8042_regs, obuf_reply),
    STATE_FIELD(kbd8042_regs, pending_command),
    STATE_FIELD(kbd8042_regs, xlat_break),
    STATE_FIELD(kbd8042_regs, reply),
    STATE_FIELD(kbd8042_regs, reply_aux),
    STATE_FIELD(kbd8042_regs, kbd),
    STATE_FIELD(kbd8042_regs, kbd_command),
    STATE_FIELD(kbd8042_regs, kbd_scanning),
    STATE_FIELD(kbd8042_regs, kbd_set),
    STATE_FIELD(kbd8042_regs, kbd_leds),
    STATE_FIELD(kbd8042_regs, kbd_rate),
    STATE_FIELD(kbd8042_regs, kbd_last),
    STATE_FIELD(kbd8042_regs, kbd_held),
    STATE_FIELD(kbd8042_regs, kbd_print),
    STATE_FIELD(kbd8042_regs, kbd_next),
    STATE_FIELD(kbd8042_regs, mouse),
    STATE_FIELD(kbd8042_regs, mouse_command),
    STATE_FIELD(kbd8042_regs, mouse_streaming),
    STATE_FIELD(kbd8042_regs, mouse_remote),
    STATE_FIELD(kbd8042_regs, mouse_wrap),
    STATE_FIELD(kbd8042_regs, mouse_scale21),
    STATE_FIELD(kbd8042_regs, mouse_resolution),
    STATE_FIELD(kbd8042_regs, mouse_rate),
    STATE_FIELD(kbd8042_regs, mouse_id),
    STATE_FIELD(kbd8042_regs, mouse_buttons),
    STATE_FIELD(kbd8042_regs, mouse_sent_buttons),
    STATE_FIELD(kbd8042_regs, mouse_rates),
    STATE_FIELD(kbd8042_regs, mouse_last),
    STATE_FIELD(kbd8042_regs, mouse_dx),
    STATE_FIELD(kbd8042_regs, mouse_dy),
    STATE_FIELD(kbd8042_regs, mouse_dz),
};
static const struct state_layout kbd8042_layout = STATE_LAYOUT(1, kbd8042_regs, kbd8042_fields);

static bool queue_is_sane(const struct byte_queue *queue)
{
    return queue->head < sizeof(queue->byte) && queue->count <= sizeof(queue->byte);
}

static bool kbd8042_after_load(void *dev)
{
    struct kbd8042 *kbd = dev;
    struct kbd8042_regs *regs = &kbd->regs;
    if (!queue_is_sane(&regs->reply) || !queue_is_sane(&regs->reply_aux) || !queue_is_sane(&regs->kbd) ||
        !queue_is_sane(&regs->mouse) || regs->reply.count != regs->reply_aux.count) {
        return false;
    }
    irq_set(&kbd->wiring.a20, regs->outport & OUT_A20);
    regs->kbd_next = MIN(regs->kbd_next, vclock_now() + WIRE_NS);
    kbd_pump(kbd);
    return true;
}

static void kbd8042_dump(void *dev, GString *out)
{
    struct kbd8042 *kbd = dev;
    const struct kbd8042_regs *regs = &kbd->regs;
    g_string_append_printf(out, "8042: ccb=%02x outport=%02x obf=%d aux=%d kbd=%u mouse=%u leds=%u\n", regs->ram[0],
                           regs->outport, regs->obuf_full, regs->obuf_aux, regs->kbd.count, regs->mouse.count,
                           regs->kbd_leds);
}

struct kbd8042 *kbd8042_new(const struct kbd8042_wiring *wiring)
{
    struct kbd8042 *kbd = g_new0(struct kbd8042, 1);
    kbd->wiring = *wiring;
    kbd->timer = vtimer_new(kbd_timer, kbd, "8042");
    ioport_register(0x60, 1, &kbd_io, kbd, "kbd-data");
    ioport_register(0x64, 1, &kbd_io, kbd, "kbd-command");
    kbd8042_reset(kbd);
    return kbd;
}

void kbd8042_free(struct kbd8042 *kbd)
{
    ioport_unregister(0x60, 1);
    ioport_unregister(0x64, 1);
    vtimer_free(kbd->timer);
    g_free(kbd);
}

static void kbd8042_input_key(void *opaque, uint16_t code, bool down)
{
    kbd8042_key(opaque, code, down);
}

static void kbd8042_input_mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    kbd8042_mouse(opaque, dx, dy, dz, buttons);
}

static unsigned kbd8042_input_leds(void *opaque)
{
    return kbd8042_leds(opaque);
}

static void *kbd8042_create(const struct device_site *site, const void *config, GError **error)
{
    struct kbd8042_wiring wiring = {board_isa_irq(site->board, 1), board_isa_irq(site->board, 12),
                                    board_wire(site->board, "a20"), board_wire(site->board, "reset")};
    struct kbd8042 *kbd = kbd8042_new(&wiring);
    kbd->input = (struct input_sink){.name = "QEMU PS/2 Mouse",
                                     .key = kbd8042_input_key,
                                     .mouse = kbd8042_input_mouse,
                                     .leds = kbd8042_input_leds,
                                     .opaque = kbd};
    input_sink_add(site->board, &kbd->input);
    board_provide(site->board, "i8042", kbd);
    return kbd;
}

static void kbd8042_destroy(void *dev)
{
    kbd8042_free(dev);
}

const struct device_class kbd8042_class = {
    .name = "i8042",
    .info = "kbd8042",
    .help = "keyboard controller with a PS/2 keyboard and mouse",
    .bus = BUS_ISA,
    .internal = true,
    .create = kbd8042_create,
    .destroy = kbd8042_destroy,
    .reset = kbd8042_reset,
    .layout = &kbd8042_layout,
    .regs_offset = offsetof(struct kbd8042, regs),
    .after_load = kbd8042_after_load,
    .dump = kbd8042_dump,
};
DEVICE_CLASS(kbd8042_class);
