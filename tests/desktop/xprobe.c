/* A client of the X server in the guest, which speaks its protocol (X.Org, "X Window System Protocol", X Version 11) by
 * hand, as no library for it can be had here.
 *
 *   xprobe pattern      covers the screen with known colours (reference() in x11.py), prints "key KEYSYM" for each key
 *   xprobe pointer      prints where the pointer is: X Y
 *   xprobe size         prints the screen's: WIDTH HEIGHT DEPTH
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    REQ_CREATE_WINDOW = 1,
    REQ_MAP_WINDOW = 8,
    REQ_QUERY_POINTER = 38,
    REQ_SET_INPUT_FOCUS = 42,
    REQ_CREATE_GC = 55,
    REQ_CHANGE_GC = 56,
    REQ_POLY_FILL_RECTANGLE = 70,
    REQ_GET_KEYBOARD_MAPPING = 101
};
enum { REPLY = 1, KEY_PRESS = 2, EXPOSE = 12 };
#define MASK_KEY_PRESS 0x1u
#define MASK_EXPOSURE  0x8000u
#define CW_BACK_PIXEL  0x2u
#define CW_OVERRIDE    0x200u
#define CW_EVENT_MASK  0x800u
#define GC_FOREGROUND  0x4u

#define COLUMNS 16
#define ROWS    12

struct screen {
    uint32_t root, colormap, white, black, input_masks;
    uint16_t width, height, width_mm, height_mm, min_maps, max_maps;
    uint32_t visual;
    uint8_t backing_stores, save_unders, depth, depths;
};
struct visual {
    uint32_t id;
    uint8_t class, bits;
    uint16_t entries;
    uint32_t mask[3], unused;
};

static int server;
static uint32_t base, keysyms[256][2];
static uint8_t key_min, key_max;
static struct screen screen;
static struct visual visual;

static void die(const char *why)
{
    fprintf(stderr, "xprobe: %s\n", why);
    exit(1);
}

static void get(void *to, size_t length)
{
    for (char *at = to; length;) {
        ssize_t n = read(server, at, length);
        if (n <= 0)
            die("the server has gone");
        at += n;
        length -= (size_t)n;
    }
}

static void request(uint8_t opcode, uint8_t detail, const uint32_t *words, unsigned count)
{
    uint32_t head = opcode | (uint32_t)detail << 8 | (uint32_t)(count + 1) << 16;
    if (write(server, &head, 4) != 4 || write(server, words, 4 * count) != (ssize_t)(4 * count))
        die("the server does not listen");
}

/* Its first 32 bytes; what was reported meanwhile is lost. */
static void reply(uint8_t *packet)
{
    do {
        get(packet, 32);
        if (!packet[0])
            die("the server reports an error");
    } while (packet[0] != REPLY);
}

static void greet(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/tmp/.X11-unix/X0"};
    server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (server < 0 || connect(server, (struct sockaddr *)&name, sizeof(name)))
        die("no server");
    const uint16_t hello[6] = {'l', 11, 0, 0, 0, 0};
    uint16_t head[4];
    if (write(server, hello, sizeof(hello)) != sizeof(hello))
        die("the server does not listen");
    get(head, sizeof(head));
    uint8_t *answer = malloc(4u * head[3]);
    get(answer, 4u * head[3]);
    if ((head[0] & 0xff) != 1)
        die("the server does not want us");
    uint16_t vendor;
    memcpy(&base, answer + 4, 4);
    memcpy(&vendor, answer + 16, 2);
    key_min = answer[26];
    key_max = answer[27];
    const uint8_t *at = answer + 32 + ((vendor + 3) & ~3u) + 8u * answer[21];
    memcpy(&screen, at, sizeof(screen));
    at += sizeof(screen);
    for (unsigned depths = screen.depths; depths; depths--) {
        uint16_t visuals;
        memcpy(&visuals, at + 2, 2);
        at += 8;
        for (; visuals; visuals--, at += sizeof(visual))
            if (!memcmp(at, &screen.visual, 4))
                memcpy(&visual, at, sizeof(visual));
    }
    free(answer);
}

static uint32_t pixel(const unsigned *rgb)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 3; i++) {
        unsigned shift = (unsigned)__builtin_ctz(visual.mask[i]);
        uint32_t most = visual.mask[i] >> shift;
        value |= (rgb[i] * most + 127) / 255 << shift;
    }
    return value;
}

static void fill(uint32_t window, uint32_t gc, const unsigned *rgb, unsigned x, unsigned y, unsigned width,
                 unsigned height)
{
    request(REQ_CHANGE_GC, 0, (uint32_t[]){gc, GC_FOREGROUND, pixel(rgb)}, 3);
    request(REQ_POLY_FILL_RECTANGLE, 0, (uint32_t[]){window, gc, x | y << 16, width | height << 16}, 4);
}

/* Cells of different colours, each with another one's diagonal of single pixels, and a white line around all. */
static void draw(uint32_t window, uint32_t gc)
{
    static const unsigned white[3] = {255, 255, 255};
    unsigned width = screen.width, height = screen.height;
    for (unsigned row = 0; row < ROWS; row++)
        for (unsigned column = 0; column < COLUMNS; column++) {
            unsigned n = row * COLUMNS + column, left = column * width / COLUMNS, top = row * height / ROWS;
            unsigned right = (column + 1) * width / COLUMNS, bottom = (row + 1) * height / ROWS;
            const unsigned rgb[3] = {n * 7 % 4 * 85, n * 5 / 4 % 4 * 85, n * 3 / 16 % 4 * 85};
            const unsigned other[3] = {255 - rgb[0], 255 - rgb[1], 255 - rgb[2]};
            fill(window, gc, rgb, left, top, right - left, bottom - top);
            for (unsigned i = 0; i < 16; i++)
                fill(window, gc, other, left + 8 + i, top + 8 + i, 1, 1);
        }
    fill(window, gc, white, 0, 0, width, 1);
    fill(window, gc, white, 0, height - 1, width, 1);
    fill(window, gc, white, 0, 0, 1, height);
    fill(window, gc, white, width - 1, 0, 1, height);
}

static void keys_learn(void)
{
    uint8_t packet[32];
    unsigned count = key_max - key_min + 1u;
    request(REQ_GET_KEYBOARD_MAPPING, 0, (uint32_t[]){key_min | count << 8}, 1);
    reply(packet);
    for (unsigned key = 0; key < count; key++)
        for (unsigned i = 0; i < packet[1]; i++) {
            uint32_t symbol;
            get(&symbol, 4);
            if (i < 2)
                keysyms[key_min + key][i] = symbol;
        }
}

static void pattern(void)
{
    uint32_t window = base, gc = base + 1;
    keys_learn();
    request(REQ_CREATE_WINDOW, 0,
            (uint32_t[]){window, screen.root, 0, screen.width | (uint32_t)screen.height << 16, 1u << 16, 0,
                         CW_BACK_PIXEL | CW_OVERRIDE | CW_EVENT_MASK, screen.black, 1, MASK_KEY_PRESS | MASK_EXPOSURE},
            10);
    request(REQ_CREATE_GC, 0, (uint32_t[]){gc, window, 0}, 3);
    request(REQ_MAP_WINDOW, 0, &window, 1);
    for (;;) {
        uint8_t event[32];
        get(event, 32);
        if (!event[0])
            die("the server reports an error");
        if ((event[0] & 0x7f) == EXPOSE) {
            request(REQ_SET_INPUT_FOCUS, 0, (uint32_t[]){window, 0}, 2);
            draw(window, gc);
        } else if ((event[0] & 0x7f) == KEY_PRESS) {
            printf("key %x\n", keysyms[event[1]][event[28] & 1]);
            fflush(stdout);
        }
    }
}

static void pointer(void)
{
    uint8_t packet[32];
    int16_t at[2];
    request(REQ_QUERY_POINTER, 0, &screen.root, 1);
    reply(packet);
    memcpy(at, packet + 16, sizeof(at));
    printf("%d %d\n", at[0], at[1]);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    greet();
    if (!strcmp(what, "pattern"))
        pattern();
    else if (!strcmp(what, "pointer"))
        pointer();
    else if (!strcmp(what, "size"))
        printf("%d %d %d\n", screen.width, screen.height, screen.depth);
    else
        die("pattern, pointer or size");
    return 0;
}
