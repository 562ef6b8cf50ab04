/* A guest that draws on a VMware SVGA II card, by its registers, its FIFO and its frame buffer. It prints sums of what
 * is in the frame buffer then, and shows pictures, each until a key is pressed: for cards.py to compare between
 * machines. QEMU's card knows a mode's size when somebody has looked at it.
 */
#include "code.h"

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

static void screen_show(const char *name)
{
    if (string_has(guest_cmdline, "unseen"))
        return;
    while (inb(0x64) & 1)
        inb(0x60);
    print("screen %s\n", name);
    while (!(inb(0x64) & 1))
        continue;
    inb(0x60);
    for (unsigned i = 0; i < 100000; i++) /* the key's other code */
        inb(0x80);
    while (inb(0x64) & 1)
        inb(0x60);
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

void guest_main(void)
{
    static const struct {
        uint16_t width, height;
        const char *name;
    } modes[] = {{640, 480, "640x480"}, {800, 600, "800x600"}, {1024, 768, "1024x768"}, {1280, 1024, "1280x1024"}};

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
        screen_show(modes[i].name);
    }
    set(ENABLE, 0);
    print("done\n");
    guest_exit(0);
}
