/* A guest that draws on a VMware SVGA II card, by its registers, its FIFO and its frame buffer. It prints sums of what
 * is in the frame buffer then, and shows pictures, each until a key is pressed: for cards.py to compare between
 * machines. QEMU's card knows a mode's size when somebody has looked at it.
 */
#include "screen.h"

enum {
    ID = 0,
    ENABLE = 1,
    WIDTH,
    HEIGHT,
    MAX_WIDTH,
    MAX_HEIGHT,
    DEPTH,
    BITS,
    PSEUDOCOLOR,
    RED,
    GREEN,
    BLUE,
    LINE,
    FB_START,
    FB_OFFSET,
    VRAM_SIZE,
    FB_SIZE,
    CAPABILITIES,
    MEM_START,
    MEM_SIZE,
    CONFIG_DONE,
    SYNC,
    BUSY,
    GUEST_ID,
    CURSOR_ID,
    CURSOR_X,
    CURSOR_Y,
    CURSOR_ON
};

static uint32_t port, fb, fifo_at, fifo_size, width, height;

static void set(uint32_t reg, uint32_t value)
{
    outl((uint16_t)port, reg);
    outl((uint16_t)(port + 1), value);
}

static uint32_t get(uint32_t reg)
{
    outl((uint16_t)port, reg);
    return inl((uint16_t)(port + 1));
}

static volatile uint32_t *fifo(uint32_t at)
{
    return (volatile uint32_t *)(fifo_at + at);
}

static bool card_find(void)
{
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        if (config_read(devfn, 0) != 0x040515ad)
            continue;
        port = config_read(devfn, 0x10) & ~3u;
        fb = config_read(devfn, 0x14) & ~15u;
        fifo_at = config_read(devfn, 0x18) & ~15u;
        return true;
    }
    return false;
}

static void sync(void)
{
    set(SYNC, 1);
    while (get(BUSY))
        continue;
}

static void put(uint32_t value)
{
    uint32_t next = *fifo(8), after = next + 4 == fifo_size ? *fifo(0) : next + 4;
    if (after == *fifo(12))
        sync();
    *fifo(next) = value;
    *fifo(8) = after;
}

static void fill(uint32_t colour, uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
    put(2), put(colour), put(x), put(y), put(w), put(h);
}

static void copy(uint32_t sx, uint32_t sy, uint32_t dx, uint32_t dy, uint32_t w, uint32_t h)
{
    put(3), put(sx), put(sy), put(dx), put(dy), put(w), put(h);
}

static void update(void)
{
    put(1), put(0), put(0), put(width), put(height);
    sync();
}

static void mode_set(uint32_t w, uint32_t h, const char *name)
{
    width = w;
    height = h;
    set(ENABLE, 0);
    set(WIDTH, w);
    set(HEIGHT, h);
    set(BITS, 32);
    set(ENABLE, 1);
    for (uint32_t i = 0; i < w * h; i++)
        ((volatile uint32_t *)fb)[i] = i * 0x010307;
    fifo_size = get(MEM_SIZE);
    *fifo(0) = 2048;
    *fifo(4) = fifo_size;
    *fifo(8) = *fifo(12) = 2048;
    set(CONFIG_DONE, 1);
    print("mode %u %u line=%u depth=%u bits=%u masks=%x %x %x\n", get(WIDTH), get(HEIGHT), get(LINE), get(DEPTH),
          get(BITS), get(RED), get(GREEN), get(BLUE));
    update();
    screen_show(name);
}

static uint32_t sum(void)
{
    uint32_t s = 0x12345678;
    for (uint32_t at = 0; at < width * height; at++)
        s = (s << 5 | s >> 27) ^ ((volatile uint32_t *)fb)[at];
    return s;
}

static uint32_t below(uint32_t n)
{
    return rnd() % n;
}

static void draw_some(unsigned count)
{
    while (count--) {
        uint32_t w = 1 + below(width), h = 1 + below(height);
        if (below(2)) {
            w = 1 + below(60);
            h = 1 + below(60);
        }
        uint32_t x = below(width - w + 1), y = below(height - h + 1);
        switch (below(4)) {
        case 0: /* far */
            copy(x, y, below(width - w + 1), below(height - h + 1), w, h);
            break;
        case 1: /* over itself */ {
            uint32_t dx = x + below(11), dy = y + below(11);
            if (dx >= 5 && dy >= 5 && dx - 5 + w <= width && dy - 5 + h <= height)
                copy(x, y, dx - 5, dy - 5, w, h);
            break;
        }
        case 2:
            fill(rnd() & 0xffffff, x, y, w > 90 ? 90 : w, h > 90 ? 90 : h);
            break;
        case 3:
            sync();
            ((volatile uint32_t *)fb)[y * width + x] = rnd() & 0xffffff;
            break;
        }
        if (!below(20))
            sync();
    }
    sync();
}

/* --- Cursors: on the card, and as a reference by us in the frame buffer --- */

#define CURSOR 48u

enum { ONE_BIT, MASKS, ALPHA, CURSORS };
static const char *const cursor_names[CURSORS][2] = {{"one-bit-cursor", "one-bit-cursor-drawn"},
                                                     {"masks-cursor", "masks-cursor-drawn"},
                                                     {"alpha-cursor", "alpha-cursor-drawn"}};

/* Colours come multiplied by alpha. */
static uint32_t blended(uint32_t over, uint32_t under)
{
    uint32_t rest = 255 - (over >> 24), colour = 0;
    for (unsigned shift = 0; shift < 24; shift += 8)
        colour |= ((over >> shift & 255) + ((under >> shift & 255) * rest + 127) / 255) << shift;
    return colour;
}

static void cursor_show(unsigned kind, uint32_t left, uint32_t top)
{
    static uint32_t and_mask[CURSOR * CURSOR], xor_mask[CURSOR * CURSOR];
    volatile uint32_t *screen = (volatile uint32_t *)fb;

    for (unsigned i = 0; i < CURSOR * CURSOR; i++) {
        uint32_t alpha = below(256);
        and_mask[i] = kind == ONE_BIT ? (below(2) ? 0xffffff : 0) : rnd() & 0xffffff;
        xor_mask[i] = kind == ONE_BIT ? (below(2) ? 0xffffff : 0) : rnd() & 0xffffff;
        if (kind == ALPHA)
            xor_mask[i] = alpha << 24 | below(alpha + 1) << 16 | below(alpha + 1) << 8 | below(alpha + 1);
    }
    put(kind == ALPHA ? 22 : 19), put(0), put(3), put(5), put(CURSOR), put(CURSOR);
    if (kind != ALPHA)
        put(kind == ONE_BIT ? 1 : 32), put(kind == ONE_BIT ? 1 : 32);
    for (unsigned mask = kind == ALPHA ? 1 : 0; mask < 2; mask++) {
        const uint32_t *from = mask ? xor_mask : and_mask;
        if (kind != ONE_BIT) {
            for (unsigned i = 0; i < CURSOR * CURSOR; i++)
                put(from[i]);
            continue;
        }
        for (unsigned y = 0; y < CURSOR; y++) { /* the highest bit of a byte is the first; lines of doublewords */
            uint32_t words[2] = {0, 0};
            for (unsigned x = 0; x < CURSOR; x++)
                words[x / 32] |= (uint32_t) !!from[y * CURSOR + x] << (x % 32 / 8 * 8 + 7 - x % 8);
            put(words[0]), put(words[1]);
        }
    }
    sync();
    set(CURSOR_ID, 0);
    set(CURSOR_X, left + 3);
    set(CURSOR_Y, top + 5);
    set(CURSOR_ON, 1);
    update();
    screen_show(cursor_names[kind][0]);
    set(CURSOR_ON, 0);
    for (unsigned y = 0; y < CURSOR && top + y < height; y++) {
        for (unsigned x = 0; x < CURSOR && left + x < width; x++) {
            unsigned i = y * CURSOR + x;
            volatile uint32_t *at = &screen[(top + y) * width + left + x];
            uint32_t under = *at & 0xffffff;
            *at = kind == ALPHA ? blended(xor_mask[i], under) : (under & and_mask[i]) ^ xor_mask[i];
        }
    }
    update();
    screen_show(cursor_names[kind][1]);
    print("cursor %s sum=%x\n", cursor_names[kind][0], sum());
}

void guest_main(void)
{
    static const struct {
        uint16_t width, height;
        const char *name, *drawn;
    } modes[] = {{320, 200, "320x200", "320x200-drawn"},       {640, 480, "640x480", "640x480-drawn"},
                 {800, 600, "800x600", "800x600-drawn"},       {1024, 768, "1024x768", "1024x768-drawn"},
                 {1152, 864, "1152x864", "1152x864-drawn"},    {1280, 1024, "1280x1024", "1280x1024-drawn"},
                 {1600, 1200, "1600x1200", "1600x1200-drawn"}, {1920, 1080, "1920x1080", "1920x1080-drawn"}};

    if (!card_find()) {
        print("no card\n");
        guest_exit(1);
    }
    set(ID, 0x90000002);
    print("id=%x", get(ID));
    set(ID, 0x90000001);
    print(" %x", get(ID));
    set(ID, 0x90000002);
    print(" rectangles=%x starts=%u,%u memory=%x\n", get(CAPABILITIES) & 3, get(FB_START) == fb,
          get(MEM_START) == fifo_at, get(VRAM_SIZE));
    for (unsigned i = 0; i < ARRAY_COUNT(modes); i++) {
        rnd_state = 17 + i;
        mode_set(modes[i].width, modes[i].height, modes[i].name);
        for (unsigned n = 0; n < 10; n++) {
            draw_some(40);
            print("drawn %s %u sum=%x\n", modes[i].name, n, sum());
        }
        update();
        screen_show(modes[i].drawn);
    }
    mode_set(800, 600, "cursors");
    cursor_show(ONE_BIT, 77, 55);
    cursor_show(MASKS, 790, 580); /* cut off */
    cursor_show(ALPHA, 301, 202);
    set(ENABLE, 0);
    print("done\n");
    guest_exit(0);
}
