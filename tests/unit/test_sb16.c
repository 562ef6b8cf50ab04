/* Sound Blaster 16: what Creative's programming guide says, and what programs count on. */
#include "isa_sound.h"

extern const struct device_class sb16_class;

#define BASE  0x220
#define BUF   0x20000u
#define IRQ   (&isa.irq[5])
#define EDGES 0.02 /* of what a wave says, at both ends */

struct sb16_config {
    struct audiodev *audiodev;
    uint32_t version, iobase, irq, dma, dma16;
};

static void plug(const char *options)
{
    const struct sb16_config config = {options ? wav_begin(options) : NULL, 0x405, BASE, 5, 1, 5};
    isa_begin(&sb16_class, &config);
}

static struct wav_file done(void)
{
    isa_remove();
    return wav_end();
}

static void dsp(uint8_t value)
{
    g_assert_cmphex(inb(BASE + 12) & 0x80, ==, 0);
    outb(BASE + 12, value);
}

static void dsp3(uint8_t command, uint8_t a, uint8_t b)
{
    dsp(command);
    dsp(a);
    dsp(b);
}

static uint8_t dsp_get(void)
{
    g_assert_cmphex(inb(BASE + 14) & 0x80, ==, 0x80);
    return inb(BASE + 10);
}

static bool has_answer(void)
{
    return inb(BASE + 14) & 0x80;
}

static void mixer_put(uint8_t index, uint8_t value)
{
    outb(BASE + 4, index);
    outb(BASE + 5, value);
}

static uint8_t mixer_get(uint8_t index)
{
    outb(BASE + 4, index);
    return inb(BASE + 5);
}

static bool is_idle(void)
{
    return vclock_fake_first_due() == INT64_MAX;
}

static void test_reset_and_identity(void)
{
    plug(NULL);
    outb(BASE + 6, 1);
    outb(BASE + 6, 0);
    g_assert_cmphex(dsp_get(), ==, 0xaa);
    g_assert_false(has_answer());
    g_assert_cmphex(inb(BASE + 10), ==, 0xaa); /* the last one, again and again */
    dsp(0xe1);
    g_assert_cmphex(dsp_get(), ==, 4);
    g_assert_cmphex(dsp_get(), ==, 5);
    dsp(0xe0);
    dsp(0x5a);
    g_assert_cmphex(dsp_get(), ==, 0xa5);
    dsp(0xe4);
    dsp(0x77);
    dsp(0xe8);
    g_assert_cmphex(dsp_get(), ==, 0x77);
    dsp(0xe3);
    for (const char *c = "COPYRIGHT (C) CREATIVE TECHNOLOGY LTD, 1992."; *c; c++)
        g_assert_cmphex(dsp_get(), ==, *c);
    g_assert_cmphex(dsp_get(), ==, 0);
    dsp(0xd8);
    g_assert_cmphex(dsp_get(), ==, 0);
    dsp(0xd1);
    dsp(0xd8);
    g_assert_cmphex(dsp_get(), ==, 0xff);
    /* A reset in the middle of a command. */
    dsp(0x14);
    outb(BASE + 6, 1);
    outb(BASE + 6, 0);
    g_assert_cmphex(dsp_get(), ==, 0xaa);
    dsp(0xd8);
    g_assert_cmphex(dsp_get(), ==, 0);
    g_assert_true(is_idle());
}

static void test_interrupts_on_order(void)
{
    plug(NULL);
    dsp(0xf2);
    g_assert_true(IRQ->level);
    g_assert_cmphex(mixer_get(0x82) & 7, ==, 1);
    dsp(0xf3);
    g_assert_cmphex(mixer_get(0x82) & 7, ==, 3);
    inb(BASE + 14);
    g_assert_cmphex(mixer_get(0x82) & 7, ==, 2);
    g_assert_true(IRQ->level);
    inb(BASE + 15);
    g_assert_cmphex(mixer_get(0x82) & 7, ==, 0);
    g_assert_false(IRQ->level);
    g_assert_cmphex(mixer_get(0x80) & 15, ==, 2);
    g_assert_cmphex(mixer_get(0x81), ==, 0x22);
    mixer_put(0x80, 4); /* line 7 */
    dsp(0xf2);
    g_assert_true(isa.irq[7].level);
    g_assert_false(IRQ->level);
}

/* A byte, or half of a word, that says where it is. */
static uint8_t ramp(uint32_t i)
{
    return (uint8_t)(i * 7 + i / 256);
}

static void fill(uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        uint8_t value = ramp(i);
        mem_write(BUF + i, &value, 1);
    }
}

/* Bxh and Cxh, again and again, at many rates: interrupts come with the last sample of each block, and the DMA
 * controller's count is what time says. */
static void test_auto_init_in_time(void)
{
    static const uint16_t rates[] = {5000, 8000, 11025, 22050, 32000, 44100, 45454};
    for (unsigned n = 0; n < G_N_ELEMENTS(rates) * 8; n++) {
        unsigned rate = rates[n >> 3], is_16 = n & 1, stereo = n >> 1 & 1, is_signed = n >> 2 & 1, units = 500;
        unsigned size = (is_16 ? 2 : 1) * (stereo ? 2 : 1), frames = units / (stereo ? 2 : 1);
        uint32_t buffer = 4 * units * (is_16 ? 2 : 1);
        plug(n % 5 == 0 ? "" : NULL);
        fill(buffer);
        dma_program(is_16 ? 5 : 1, BUF, buffer, true, false);
        dsp3(0x41, (uint8_t)(rate >> 8), (uint8_t)rate);
        dsp3(is_16 ? 0xb6 : 0xc6, (uint8_t)(stereo << 5 | is_signed << 4), (uint8_t)(units - 1));
        dsp((units - 1) >> 8);
        int64_t begin = vclock_now();
        for (unsigned block = 1; block <= 9; block++) {
            int64_t due = begin + ((int64_t)block * frames * NS_PER_SECOND + rate - 1) / rate;
            isa_advance(due - 1 - vclock_now());
            g_assert_false(IRQ->level);
            isa_advance(1);
            g_assert_true(IRQ->level);
            g_assert_cmphex(mixer_get(0x82) & 7, ==, is_16 ? 2 : 1);
            g_assert_cmpuint(dma_count(is_16 ? 5 : 1), ==, 4 * units - 1 - block * units % (4 * units));
            inb(is_16 ? BASE + 15 : BASE + 14);
            g_assert_false(IRQ->level);
            isa_advance(1234567);
            uint64_t passed = (uint64_t)(vclock_now() - begin) * rate / NS_PER_SECOND * (stereo ? 2 : 1);
            g_assert_cmpuint(dma_count(is_16 ? 5 : 1), ==, 4 * units - 1 - passed % (4 * units));
        }
        g_assert_cmpuint(size * frames, ==, units * (is_16 ? 2 : 1));
        isa_remove();
        audiodev_close_all();
    }
    unlink(wav_path);
}

/* What is in memory is what is heard. */
static void test_formats(void)
{
    for (unsigned n = 0; n < 8; n++) {
        unsigned is_16 = n & 1, stereo = n >> 1 & 1, is_signed = n >> 2 & 1;
        plug("");
        fill(40000);
        dma_program(is_16 ? 5 : 1, BUF, 40000, false, false);
        dsp3(0x41, 44100 >> 8, 44100 & 255);
        unsigned frames = 40000 / (is_16 ? 2 : 1) / (stereo ? 2 : 1), units = 40000 / (is_16 ? 2 : 1) - 1;
        dsp3(is_16 ? 0xb0 : 0xc0, (uint8_t)(stereo << 5 | is_signed << 4), (uint8_t)units);
        dsp((uint8_t)(units >> 8));
        isa_advance(2 * NS_PER_SECOND);
        g_assert_true(IRQ->level);
        g_assert_true(is_idle());
        struct wav_file wav = done();
        g_assert_cmpuint(wav.frames, >=, frames);
        g_assert_cmpuint(wav.frames, <, frames + 44100 / 10);
        for (unsigned i = 0; i < frames; i++) {
            for (unsigned side = 0; side < 2; side++) {
                unsigned at = stereo ? 2 * i + side : i;
                int wanted = is_16 ? (int16_t)(ramp(2 * at) | ramp(2 * at + 1) << 8) : (int8_t)ramp(at) * 256;
                if (!is_signed)
                    wanted = is_16 ? (int16_t)(wanted ^ 0x8000) : (ramp(at) - 128) * 256;
                g_assert_cmpfloat(wav_sample(&wav, i, side), ==, wanted / 32768.0);
            }
        }
        wav_forget(&wav);
    }
}

/* 14h, 1Ch, 90h, with time constants; stereo by the mixer, as on a Pro. */
static void test_old_commands(void)
{
    for (unsigned n = 0; n < 3; n++) {
        plug(NULL);
        fill(4000);
        dma_program(1, BUF, 4000, n > 0, false);
        dsp(0x40);
        dsp(0xa6); /* 256 - 166: 90 us */
        if (n == 2)
            mixer_put(0x0e, 2);
        if (n == 0) {
            dsp3(0x14, 999 & 255, 999 >> 8);
        } else {
            dsp3(0x48, 999 & 255, 999 >> 8);
            dsp(n == 1 ? 0x1c : 0x90);
        }
        for (unsigned block = 1; block <= 3; block++) {
            isa_advance(block * 1000 * 90 * US - 1 - vclock_now());
            g_assert_false(IRQ->level);
            isa_advance(1);
            g_assert_cmpint(IRQ->level, ==, n > 0 || block == 1);
            inb(BASE + 14);
        }
        if (n == 1) { /* ends with its block */
            dsp(0xda);
            isa_advance(NS_PER_SECOND);
            g_assert_cmpuint(IRQ->rises, ==, 4);
            g_assert_true(is_idle());
        }
    }
}

/* Each block is begun by the handler of the one before: sound without a gap, in time. */
static void test_blocks_one_by_one(void)
{
    plug("");
    for (unsigned i = 0; i < 22050; i++) {
        uint8_t sample = (uint8_t)lrint(128 + 100 * sin(2 * G_PI * 441 * i / 22050));
        mem_write(BUF + i, &sample, 1);
    }
    dma_program(1, BUF, 22050, true, false);
    dsp3(0x41, 22050 >> 8, 22050 & 255);
    for (unsigned block = 0; block < 44; block++) {
        dsp3(0x14, 499 & 255, 499 >> 8);
        while (!IRQ->level)
            isa_advance(5 * US);
        inb(BASE + 14);
        isa_advance(3 * US); /* the handler's way */
    }
    g_assert_cmpint(ABS(vclock_now() - 22000 * NS_PER_SECOND / 22050), <, MS);
    isa_advance(NS_PER_SECOND);
    struct wav_file wav = done();
    g_assert_cmpfloat(fabs(wav_tone(&wav, 0, 441, 882, 882 + 42000) - 100.0 / 128), <, 0.01);
    wav_forget(&wav);
}

static void test_pause_and_continue(void)
{
    plug(NULL);
    fill(8000);
    dma_program(1, BUF, 8000, false, false);
    dsp3(0x41, 8000 >> 8, 8000 & 255);
    dsp3(0xc0, 0, 7999 & 255);
    dsp(7999 >> 8);
    isa_advance(100 * MS);
    g_assert_cmpuint(dma_count(1), ==, 7999 - 800);
    dsp(0xd0);
    isa_advance(20 * MS);
    g_assert_cmpuint(dma_count(1), ==, 7999 - 800);
    isa_advance(NS_PER_SECOND);
    g_assert_cmpuint(dma_count(1), ==, 7999 - 800);
    g_assert_true(is_idle());
    dsp(0xd4);
    isa_advance(899 * MS);
    g_assert_false(IRQ->level);
    isa_advance(1 * MS);
    g_assert_true(IRQ->level);
}

/* A channel that is masked moves nothing, and the block waits for it. */
static void test_masked_channel(void)
{
    plug(NULL);
    fill(1000);
    dma_program(1, BUF, 1000, false, false);
    outb(0x0a, 5);
    dsp3(0x41, 8000 >> 8, 8000 & 255);
    dsp3(0xc0, 0, 999 & 255);
    dsp(999 >> 8);
    isa_advance(500 * MS);
    g_assert_false(IRQ->level);
    g_assert_cmphex(inb(8) & 0x20, ==, 0x20); /* it asks */
    outb(0x0a, 1);
    isa_advance(124 * MS);
    g_assert_false(IRQ->level);
    isa_advance(2 * MS);
    g_assert_true(IRQ->level);
    g_assert_cmphex(inb(8) & 0x22, ==, 0x02);
}

static void test_silence(void)
{
    plug(NULL);
    dsp3(0x41, 10000 >> 8, 10000 & 255);
    dsp3(0x80, 999 & 255, 999 >> 8);
    isa_advance(100 * MS - 1);
    g_assert_false(IRQ->level);
    isa_advance(1);
    g_assert_true(IRQ->level);
}

/* Recording hears nothing, and memory changes where it may. */
static void test_recording(void)
{
    uint8_t memory[1000];
    plug(NULL);
    memset(memory, 0x55, sizeof(memory));
    mem_write(BUF, memory, sizeof(memory));
    dma_program(1, BUF, 900, false, true);
    dsp3(0x41, 10000 >> 8, 10000 & 255);
    dsp3(0x24, 899 & 255, 899 >> 8);
    isa_advance(95 * MS);
    g_assert_true(IRQ->level);
    mem_read(BUF, memory, sizeof(memory));
    for (unsigned i = 0; i < 1000; i++)
        g_assert_cmphex(memory[i], ==, i < 900 ? 0x80 : 0x55);
    dsp(0x20);
    g_assert_cmphex(dsp_get(), ==, 0x80);
    /* DMA identification: the first answer to 0 is AAh - 106. */
    dma_program(1, BUF, 1, false, true);
    dsp(0xe2);
    dsp(0);
    isa_advance(MS);
    mem_read(BUF, memory, 1);
    g_assert_cmphex(memory[0], ==, (0xaa - 106) & 255);
}

/* ADPCM, decoded here by what is said of it elsewhere: tables of moves and of steps. */
static void adpcm(unsigned bits, const uint8_t *bytes, unsigned count, GByteArray *out)
{
    static const int8_t move4[4][8] = {{0, 1, 2, 3, 4, 5, 6, 7},
                                       {1, 3, 5, 7, 9, 11, 13, 15},
                                       {2, 6, 10, 14, 18, 22, 26, 30},
                                       {4, 12, 20, 28, 36, 44, 52, 60}};
    static const int8_t move3[5][4] = {{0, 1, 2, 3}, {1, 3, 5, 7}, {2, 6, 10, 14}, {4, 12, 20, 28}, {5, 15, 25, 35}};
    static const int8_t move2[6][2] = {{0, 1}, {1, 3}, {2, 6}, {4, 12}, {8, 24}, {16, 48}};
    int sample = bytes[0], step = 0;
    for (unsigned i = 1; i < count; i++) {
        for (unsigned k = 0; k < (bits == 4 ? 2 : bits == 3 ? 3 : 4); k++) {
            uint8_t b = bytes[i];
            unsigned code = bits == 4   ? (k ? b & 15 : b >> 4)
                            : bits == 3 ? (k == 0   ? b >> 5
                                           : k == 1 ? b >> 2 & 7
                                                    : (b & 3) << 1)
                                        : b >> (6 - 2 * k) & 3;
            unsigned magnitude = code & ((1u << (bits - 1)) - 1);
            int move = bits == 4 ? move4[step][magnitude] : bits == 3 ? move3[step][magnitude] : move2[step][magnitude];
            sample = CLAMP(code >> (bits - 1) ? sample - move : sample + move, 0, 255);
            if (magnitude == 0)
                step = MAX(step - 1, 0);
            else if (magnitude >= (bits == 4 ? 5 : bits == 3 ? 3 : 1))
                step = MIN(step + 1, bits == 4 ? 3 : bits == 3 ? 4 : 5);
            uint8_t value = (uint8_t)sample;
            g_byte_array_append(out, &value, 1);
        }
    }
}

static void test_adpcm(void)
{
    static const uint8_t commands[] = {0x17, 0x77, 0x75};
    for (unsigned bits = 2; bits <= 4; bits++) {
        uint8_t bytes[3000];
        GByteArray *wanted = g_byte_array_new();
        plug("");
        for (unsigned i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)(i * i * 31 + i / 7);
        mem_write(BUF, bytes, sizeof(bytes));
        adpcm(bits, bytes, sizeof(bytes), wanted);
        dma_program(1, BUF, sizeof(bytes), false, false);
        dsp3(0x41, 44100 >> 8, 44100 & 255);
        dsp3(commands[bits - 2], (sizeof(bytes) - 1) & 255, (sizeof(bytes) - 1) >> 8);
        int64_t due = ((int64_t)wanted->len * NS_PER_SECOND + 44099) / 44100;
        isa_advance(due - 1);
        g_assert_false(IRQ->level);
        isa_advance(1);
        g_assert_true(IRQ->level);
        isa_advance(NS_PER_SECOND);
        struct wav_file wav = done();
        for (unsigned i = 0; i < wanted->len; i++)
            g_assert_cmpfloat(wav_sample(&wav, i, 0), ==, (wanted->data[i] - 128) / 128.0);
        wav_forget(&wav);
        g_byte_array_unref(wanted);
    }
}

/* 10h: the processor writes samples, here 11,111 a second. */
static void test_direct(void)
{
    plug("");
    for (unsigned i = 0; i < 11111; i++) {
        dsp(0x10);
        dsp((uint8_t)lrint(128 + 100 * sin(2 * G_PI * 500 * i * 90e-6)));
        isa_advance(90 * US);
    }
    isa_advance(NS_PER_SECOND);
    g_assert_true(is_idle());
    struct wav_file wav = done();
    g_assert_cmpfloat(fabs(wav_tone(&wav, 0, 500, 4410, 4410 + 35280) - 100.0 / 128), <, 0.01);
    wav_forget(&wav);
}

static void test_mixer(void)
{
    plug("");
    for (unsigned i = 0; i < 44100; i++) {
        int16_t sample = (int16_t)lrint(30000 * sin(2 * G_PI * 1000 * i / 44100));
        mem_write(BUF + 2 * i, &sample, 2);
    }
    mixer_put(0x22, 0xf8);
    g_assert_cmphex(mixer_get(0x30), ==, 0xf8);
    g_assert_cmphex(mixer_get(0x31) & 0xf0, ==, 0x80);
    mixer_put(0x04, 0x3c);
    g_assert_cmphex(mixer_get(0x04), ==, 0x3c);
    mixer_put(0x00, 0);
    g_assert_cmphex(mixer_get(0x30), ==, 0xf8);
    g_assert_cmphex(mixer_get(0x22), ==, 0xff);
    mixer_put(0x32, (31 - 3) << 3);  /* voice, left: -6 dB */
    mixer_put(0x31, (31 - 10) << 3); /* master, right: -20 dB */
    dma_program(5, BUF, 88200, false, false);
    dsp3(0x41, 44100 >> 8, 44100 & 255);
    dsp3(0xb0, 0x10, 44099 & 255);
    dsp(44099 >> 8);
    isa_advance(2 * NS_PER_SECOND);
    struct wav_file wav = done();
    g_assert_cmpfloat(fabs(wav_tone(&wav, 0, 1000, 0, 44100) * 32768 / 30000 - pow(10, -6.0 / 20)), <, 0.002);
    g_assert_cmpfloat(fabs(wav_tone(&wav, 1, 1000, 0, 44100) * 32768 / 30000 - 0.1), <, 0.002);
    wav_forget(&wav);
}

static void test_mpu401(void)
{
    plug(NULL);
    g_assert_cmphex(inb(0x331) & 0xc0, ==, 0x80);
    outb(0x331, 0xff);
    g_assert_cmphex(inb(0x331) & 0xc0, ==, 0);
    g_assert_cmphex(inb(0x330), ==, 0xfe);
    g_assert_cmphex(inb(0x331) & 0x80, ==, 0x80);
    outb(0x331, 0x3f);
    g_assert_cmphex(inb(0x330), ==, 0xfe);
    outb(0x330, 0x90);
    outb(0x331, 0xac); /* not in this mode */
    g_assert_cmphex(inb(0x331) & 0xc0, ==, 0x80);
}

/* --- Saved --- */

static uint32_t chance_state;

static uint32_t chance(uint32_t below)
{
    chance_state = chance_state * 1664525 + 1013904223;
    return (chance_state >> 8) % below;
}

static void play_something(unsigned n)
{
    fill(60000);
    chance_state = n + 1;
    dma_program(1, BUF, 1 + chance(20000), chance(2), false);
    dma_program(5, BUF, 2 + 2 * chance(20000), chance(2), false);
    dsp3(0x41, (uint8_t)(0x20 + chance(0x80)), (uint8_t)chance(256));
    dsp3(0x48, (uint8_t)chance(256), (uint8_t)chance(20));
    switch (n % 6) {
    case 0:
        dsp3(0xb6, (uint8_t)(chance(4) << 4), (uint8_t)chance(256));
        dsp(1 + (uint8_t)chance(20));
        break;
    case 1:
        dsp3(0xc6, (uint8_t)(chance(4) << 4), (uint8_t)chance(256));
        dsp(1 + (uint8_t)chance(20));
        break;
    case 2:
        dsp(0x1c);
        break;
    case 3:
        dsp3(0x77, 0, 20);
        break;
    case 4:
        dsp(0x7d);
        break;
    default:
        dsp3(0x14, 0, 9);
        break;
    }
    isa_advance(chance(300) * MS + chance(1000000));
    if (n % 4 == 3)
        dsp(0xd0);
    if (n % 5 == 3)
        dsp(0x40); /* in the middle of a command */
}

/* What is heard and seen from a random moment on is the same for a card that goes on and one that is loaded. */
static void test_saved_at_random_moments(void)
{
    for (unsigned n = 0; n < 60; n++) {
        GByteArray *dma[2] = {NULL}, *seen[2];
        struct wav_file wav[2];
        GByteArray *saved = NULL;
        int64_t at = 0;
        for (unsigned again = 0; again < 2; again++) {
            if (!again) {
                plug(NULL);
                play_something(n);
                saved = device_saved(&sb16_class, isa.dev);
                dma[0] = device_saved(&dma8237_class, isa.dma);
                at = vclock_now();
            }
            plug("");
            vclock_fake_advance(at);
            g_assert_true(device_load(&dma8237_class, isa.dma, dma[0]->data, dma[0]->len));
            GByteArray *copy = g_byte_array_new();
            g_byte_array_append(copy, saved->data, saved->len);
            device_load_checked(&sb16_class, isa.dev, copy);
            if (again) { /* saved and loaded once more on its way */
                isa_advance(10 * MS);
                GByteArray *way = device_saved(&sb16_class, isa.dev);
                device_load_checked(&sb16_class, isa.dev, way);
            } else {
                isa_advance(10 * MS);
            }
            seen[again] = g_byte_array_new();
            for (unsigned i = 0; i < 30; i++) {
                isa_advance(7 * MS);
                uint8_t byte[3] = {(uint8_t)dma_count(1), (uint8_t)dma_count(5), mixer_get(0x82)};
                g_byte_array_append(seen[again], byte, 3);
                inb(BASE + 14);
                inb(BASE + 15);
            }
            wav[again] = done();
        }
        g_assert_cmpmem(seen[0]->data, seen[0]->len, seen[1]->data, seen[1]->len);
        g_assert_cmpint(ABS((int)wav[0].frames - (int)wav[1].frames), <=, 1);
        for (unsigned again = 0; again < 2; again++) {
            wav_forget(&wav[again]);
            g_byte_array_unref(seen[again]);
        }
        g_byte_array_unref(saved);
        g_byte_array_unref(dma[0]);
    }
}

/* What is heard after a load, sample for sample: in the middle of a block, and when the last sample stays. */
static void test_sound_of_a_saved_card(void)
{
    for (unsigned n = 0; n < 2; n++) {
        unsigned units = n ? 2000 : 40000, done_frames = 0;
        plug(NULL);
        fill(80000);
        dma_program(5, BUF, 2 * units, false, false);
        dsp3(0x41, 44100 >> 8, 44100 & 255);
        dsp3(0xb0, 0x30, (uint8_t)(units - 1));
        dsp((uint8_t)((units - 1) >> 8));
        isa_advance(n ? 30 * MS : 123456789);
        GByteArray *saved = device_saved(&sb16_class, isa.dev), *dma = device_saved(&dma8237_class, isa.dma);
        int64_t at = vclock_now();
        done_frames = n ? units / 2 : (unsigned)(at * 44100 / NS_PER_SECOND);
        plug("");
        vclock_fake_advance(at);
        g_assert_true(device_load(&dma8237_class, isa.dma, dma->data, dma->len));
        device_load_checked(&sb16_class, isa.dev, saved);
        g_byte_array_unref(dma);
        isa_advance(10 * MS);
        struct wav_file wav = done();
        g_assert_cmpuint(wav.frames, >=, 440);
        for (unsigned i = 0; i < 440; i++) {
            for (unsigned side = 0; side < 2; side++) {
                unsigned frame = MIN(done_frames + i, units / 2 - 1), byte = 4 * frame + 2 * side;
                g_assert_cmpfloat(wav_sample(&wav, i, side), ==, (int16_t)(ramp(byte) | ramp(byte + 1) << 8) / 32768.0);
            }
        }
        wav_forget(&wav);
    }
}

static void test_strange_states(void)
{
    static const struct {
        const char *name;
        uint32_t size;
        uint64_t value;
    } bad[] = {{"mode", 1, 4},         {"left", 4, 0},       {"left", 4, 0xffffffff}, {"block", 4, 0xffffffff},
               {"hold", 4, 0xffffff},  {"out_first", 1, 64}, {"out_count", 1, 65},    {"wanted", 1, 9},
               {"interrupt", 1, 4},    {"bits", 1, 5},       {"bits", 1, 0},          {"step", 1, 9},
               {"event_in", 8, 77777}, {"running", 1, 0},    {"rate_num", 4, 0},      {"is_recording", 1, 1},
               {"is_16", 1, 2}};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        plug(NULL);
        play_something(1);
        GByteArray *saved = device_saved(&sb16_class, isa.dev);
        size_t len = strlen(bad[i].name);
        bool found = false;
        for (guint k = 0; k + 5 + len + bad[i].size <= saved->len && !found; k++) {
            if (saved->data[k] == len && memcmp(saved->data + k + 1, bad[i].name, len) == 0) {
                memcpy(saved->data + k + 5 + len, &bad[i].value, bad[i].size);
                found = true;
            }
        }
        g_assert_true(found);
        g_test_message("%s", bad[i].name);
        g_assert_false(device_load(&sb16_class, isa.dev, saved->data, saved->len));
        g_byte_array_unref(saved);
        isa_advance(NS_PER_SECOND);
    }
}

/* A guest without sense: all commands, with all arguments, at all times. */
static void test_senseless(void)
{
    plug("");
    chance_state = 7;
    for (unsigned i = 0; i < 200000; i++) {
        uint32_t what = chance(100);
        if (what < 60)
            outb(BASE + 12, (uint8_t)chance(256));
        else if (what < 80)
            outb((uint16_t)(BASE + chance(16)), (uint8_t)chance(256));
        else if (what < 90)
            inb((uint16_t)(BASE + chance(16)));
        else if (what < 93)
            dma_program(chance(2) ? 1 : 5, BUF, 2 + 2 * chance(5000), chance(2), chance(2));
        else if (what < 94)
            isa_advance(chance(100000));
        if (i % 1000 == 0) {
            device_load_checked(&sb16_class, isa.dev, device_saved(&sb16_class, isa.dev));
            isa_advance(chance(30) * MS);
        }
    }
    sb16_class.reset(isa.dev);
    isa_advance(NS_PER_SECOND);
    g_assert_true(is_idle());
    g_assert_false(IRQ->level);
    struct wav_file wav = done();
    wav_forget(&wav);
}

#define TEST(name) g_test_add_func("/sb16/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(reset_and_identity);
    TEST(interrupts_on_order);
    TEST(auto_init_in_time);
    TEST(formats);
    TEST(old_commands);
    TEST(blocks_one_by_one);
    TEST(pause_and_continue);
    TEST(masked_channel);
    TEST(silence);
    TEST(recording);
    TEST(adpcm);
    TEST(direct);
    TEST(mixer);
    TEST(mpu401);
    TEST(saved_at_random_moments);
    TEST(sound_of_a_saved_card);
    TEST(strange_states);
    TEST(senseless);
    int status = g_test_run();
    isa_remove();
    return status;
}
