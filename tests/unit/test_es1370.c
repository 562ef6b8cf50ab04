/* ES1370: what the AudioPCI's data sheet says, and what its drivers count on. */
#include "nic_board.h"
#include "lock.h"
#include "wav_file.h"

extern const struct device_class es1370_class;

#define PORT 0xc000
#define BUF1 0x10000u
#define BUF2 0x40000u

#define CONTROL 0x00
#define STATUS  0x04
#define PAGE    0x0c
#define CODEC   0x10
#define SERIAL  0x20
#define COUNT1  0x24
#define COUNT2  0x28
#define COUNT3  0x2c

#define DAC1_EN   0x40u
#define DAC2_EN   0x20u
#define ADC_EN    0x10u
#define P1_INT_EN 0x100u
#define P2_INT_EN 0x200u
#define R1_INT_EN 0x400u
#define P1_S16    0x3u /* stereo */
#define P2_S16    0xcu
#define R1_S16    0x30u

#define PCLKDIV(rate) ((1411200u / (rate)-2) << 16)
#define WTSRSEL(n)    ((uint32_t)(n) << 12)

static uint32_t get(unsigned reg)
{
    return ioport_read((uint16_t)(PORT + reg), 4);
}

static void put(unsigned reg, uint32_t value)
{
    ioport_write((uint16_t)(PORT + reg), 4, value);
}

static void plug(const char *options)
{
    const struct {
        struct audiodev *audiodev;
    } config = {options ? wav_begin(options) : NULL};
    nic_board_plug(&es1370_class, &config);
    pci_put(PCI_BAR0, 4, PORT);
    pci_put(PCI_COMMAND, 2, 5);
}

static void codec_put(unsigned reg, unsigned value)
{
    ioport_write(PORT + CODEC, 2, reg << 8 | value);
}

/* As it is when power comes: nothing is heard. */
static void setup_muted(const char *options)
{
    nic_board_begin();
    plug(options);
}

/* Both DACs as they are. */
static void unmute(void)
{
    codec_put(0x10, 0x60);
    codec_put(0x11, 0x0c);
    for (unsigned reg = 2; reg < 6; reg++)
        codec_put(reg, 6);
}

static void setup(const char *options)
{
    setup_muted(options);
    unmute();
}

static struct wav_file done(void)
{
    nic_board_remove();
    return wav_end();
}

/* Channel 0, 1: DACs; 2: the ADC. */
static void buffer(unsigned channel, uint32_t address, uint32_t bytes)
{
    put(PAGE, channel == 2 ? 0xd : 0xc);
    put(channel == 1 ? 0x38 : 0x30, address);
    put(channel == 1 ? 0x3c : 0x34, bytes / 4 - 1);
}

/* Bytes that are done. */
static uint32_t position(unsigned channel)
{
    put(PAGE, channel == 2 ? 0xd : 0xc);
    return (get(channel == 1 ? 0x3c : 0x34) >> 16) * 4;
}

static bool is_idle(void)
{
    return vclock_fake_first_due() == INT64_MAX;
}

static void test_identity(void)
{
    setup(NULL);
    g_assert_cmphex(pci_get(PCI_VENDOR_ID, 4), ==, 0x50001274);
    g_assert_cmphex(pci_get(PCI_REVISION, 4), ==, 0x04010000);
    g_assert_cmphex(pci_get(PCI_SUBSYSTEM, 4), ==, 0x4c4c4942);
    g_assert_cmpuint(pci_get(PCI_INTERRUPT_PIN, 1), ==, 1);
    g_assert_cmphex(get(STATUS), ==, 0x60);
    g_assert_cmphex(get(CONTROL), ==, 1);
    g_assert_cmphex(get(SERIAL), ==, 0);
    g_assert_true(is_idle());
    for (unsigned i = 0; i < 0x1a; i++)
        ioport_write(PORT + CODEC, 2, i << 8 | 0x80);
    g_assert_cmphex(get(STATUS), ==, 0x60); /* it is never busy */
    g_assert_true(is_idle());
}

static void test_paged_memory(void)
{
    setup(NULL);
    for (unsigned page = 0; page < 16; page++) {
        ioport_write(PORT + PAGE, 1, page);
        for (unsigned i = 0; i < 4; i++)
            put(0x30 + 4 * i, page << 24 | i << 8);
    }
    for (unsigned page = 0; page < 16; page++) {
        put(PAGE, page);
        g_assert_cmpuint(get(PAGE), ==, page);
        for (unsigned i = 0; i < 4; i++)
            g_assert_cmphex(get(0x30 + 4 * i), ==, page << 24 | i << 8);
    }
    /* Parts of registers. */
    ioport_write(PORT + 0x32, 2, 0xabcd);
    ioport_write(PORT + 0x31, 1, 0xef);
    g_assert_cmphex(get(0x30), ==, 0xabcdef00);
    g_assert_cmphex(ioport_read(PORT + 0x33, 1), ==, 0xab);
    put(CONTROL, 0);
    ioport_write(PORT + CONTROL + 2, 2, 0x1234);
    ioport_write(PORT + CONTROL + 1, 1, 0x30);
    g_assert_cmphex(get(CONTROL), ==, 0x12343000);
    put(SERIAL, ~0u);
    g_assert_cmphex(get(SERIAL), ==, 0x3fffff);
}

/* What is in the buffer is heard, round and round, as often as time says. */
static void test_dac2_plays_its_buffer(void)
{
    int16_t frames[1000][2];
    setup("");
    for (unsigned i = 0; i < 1000; i++) {
        frames[i][0] = (int16_t)(i * 31);
        frames[i][1] = (int16_t)(i * -29);
    }
    mem_write(BUF2, frames, sizeof(frames));
    buffer(1, BUF2, sizeof(frames));
    put(COUNT2, 249);
    put(SERIAL, P2_S16);
    put(CONTROL, PCLKDIV(44100) | DAC2_EN);
    vclock_fake_advance(NS_PER_SECOND + 500 * MS);
    put(CONTROL, PCLKDIV(44100));
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_true(is_idle());
    struct wav_file wav = done();
    g_assert_cmpuint(wav.frames, ==, 66150);
    for (unsigned i = 0; i < wav.frames; i++)
        g_assert_cmpmem(wav.data + 4 * i, 4, frames[i % 1000], 4);
    wav_forget(&wav);
}

/* At each moment the position and what is left of the count are what time says: at all rates, in all formats, with and
 * without somebody who listens. */
static void test_position_is_virtual_time(void)
{
    for (unsigned n = 0; n < 2 * 4 * 4 * 2; n++) {
        unsigned channel = n & 1, mode = n >> 1 & 3, rate = n >> 3 & 3;
        unsigned size = (mode & 1 ? 2 : 1) * (mode & 2 ? 2 : 1), len = 20000, counts = 777;
        unsigned divider = channel ? 30 + 97 * rate : 256u >> rate;
        int64_t passed = 0;
        setup(n >> 5 ? "" : NULL);
        buffer(channel, BUF1, len);
        put(channel ? COUNT2 : COUNT1, counts - 1);
        put(SERIAL, mode << 2 * channel);
        put(CONTROL, channel ? (divider - 2) << 16 | DAC2_EN : WTSRSEL(rate) | DAC1_EN);
        for (unsigned step = 1; step < 200; step++) {
            int64_t ns = (int64_t)step * step % 977 * 50021;
            vclock_fake_advance(ns);
            passed += ns;
            uint64_t frames = (uint64_t)((__int128)passed * 1411200 / divider / NS_PER_SECOND);
            g_assert_cmpuint(get(channel ? COUNT2 : COUNT1), ==, (counts - 1 - frames % counts) << 16 | (counts - 1));
            g_assert_cmpuint(position(channel), ==, frames * size % len / 4 * 4);
        }
        nic_board_remove();
        audiodev_close_all();
    }
    unlink(wav_path);
}

/* The first nanosecond at which that many frames at 1411200 / divider have passed. */
static int64_t time_of(int64_t frames, unsigned divider)
{
    return (frames * divider * NS_PER_SECOND + 1411199) / 1411200;
}

static void test_interrupts_come_with_their_frame(void)
{
    setup(NULL);
    buffer(0, BUF1, 4096);
    put(COUNT1, 511);
    put(SERIAL, P1_S16 | P1_INT_EN);
    put(CONTROL, WTSRSEL(2) | DAC1_EN);
    for (int64_t i = 1; i <= 50; i++) {
        vclock_fake_advance(time_of(512 * i, 64) - 1 - vclock_now());
        g_assert_false(nic_board.irq.level);
        vclock_fake_advance(1);
        g_assert_true(nic_board.irq.level);
        g_assert_cmphex(get(STATUS), ==, 0x80000064);
        g_assert_cmpuint(position(0), ==, i * 2048 % 4096);
        put(SERIAL, P1_S16); /* taken */
        g_assert_false(nic_board.irq.level);
        g_assert_cmphex(get(STATUS), ==, 0x60);
        put(SERIAL, P1_S16 | P1_INT_EN);
        g_assert_false(nic_board.irq.level);
    }
    g_assert_cmpuint(nic_board.irq.rises, ==, 50);
    /* Without the enable bit there is none, and the count goes on. */
    put(SERIAL, P1_S16);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_false(nic_board.irq.level);
    put(CONTROL, WTSRSEL(2));
    uint32_t was = position(0);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_cmpuint(position(0), ==, was);
    g_assert_true(is_idle());
}

/* SIZE is written in the middle of a longword: it begins anew. */
static void test_size_is_written(void)
{
    setup(NULL);
    buffer(0, BUF1, 4096);
    put(COUNT1, 4095);
    put(CONTROL, WTSRSEL(3) | DAC1_EN);
    vclock_fake_advance(time_of(7, 32));
    g_assert_cmpuint(position(0), ==, 4);
    buffer(0, BUF1, 4096);
    vclock_fake_advance(time_of(8, 32) - vclock_now());
    g_assert_cmpuint(position(0), ==, 0);
    vclock_fake_advance(time_of(11, 32) - vclock_now());
    g_assert_cmpuint(position(0), ==, 4);
    put(0x34, 4095u << 16 | 1); /* shorter than where it is: from its beginning */
    vclock_fake_advance(time_of(15, 32) - vclock_now());
    g_assert_cmpuint(position(0), ==, 4);
}

static void test_pause_and_stop(void)
{
    setup(NULL);
    buffer(1, BUF2, 8192);
    put(COUNT2, 999);
    put(SERIAL, P2_S16 | P2_INT_EN);
    put(CONTROL, PCLKDIV(44100) | DAC2_EN);
    vclock_fake_advance(10 * MS);
    g_assert_cmpuint(position(1), ==, 441 * 4);
    put(SERIAL, P2_S16 | P2_INT_EN | 1u << 12);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_cmpuint(position(1), ==, 441 * 4);
    g_assert_false(nic_board.irq.level);
    put(SERIAL, P2_S16 | P2_INT_EN);
    vclock_fake_advance(10 * MS);
    g_assert_cmpuint(position(1), ==, 882 * 4);
    /* P2_LOOP_SEL: with the end of the count it stops, and interrupts once. */
    put(SERIAL, P2_S16 | P2_INT_EN | 1u << 14);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_cmpuint(position(1), ==, 1000 * 4);
    g_assert_cmpuint(nic_board.irq.rises, ==, 1);
    put(SERIAL, P2_S16 | 1u << 14);
    put(SERIAL, P2_S16 | P2_INT_EN | 1u << 14);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_cmpuint(nic_board.irq.rises, ==, 1);
    put(CONTROL, PCLKDIV(44100)); /* begins anew */
    put(CONTROL, PCLKDIV(44100) | DAC2_EN);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_cmpuint(position(1), ==, 2000 * 4);
    g_assert_cmpuint(nic_board.irq.rises, ==, 2);
}

/* Two tones, of both DACs, at two rates and in two formats. */
static void test_both_dacs(void)
{
    setup("");
    for (unsigned i = 0; i < 11025; i++) {
        uint8_t sample = (uint8_t)lrint(128 + 60 * sin(2 * G_PI * 300 * i / 11025));
        mem_write(BUF1 + i, &sample, 1);
    }
    for (unsigned i = 0; i < 22050; i++) {
        int16_t sample[2] = {0, (int16_t)lrint(10000 * sin(2 * G_PI * 700 * i / 22050))};
        mem_write(BUF2 + 4 * i, sample, 4);
    }
    buffer(0, BUF1, 11024); /* longwords */
    buffer(1, BUF2, 4 * 22050);
    put(COUNT1, 4000);
    put(COUNT2, 4000);
    put(SERIAL, P2_S16);
    put(CONTROL, PCLKDIV(22050) | WTSRSEL(1) | DAC1_EN | DAC2_EN);
    vclock_fake_advance(NS_PER_SECOND * 99 / 100);
    put(CONTROL, PCLKDIV(22050) | WTSRSEL(1) | DAC2_EN);
    vclock_fake_advance(NS_PER_SECOND / 100);
    put(CONTROL, 0);
    struct wav_file wav = done();
    g_assert_cmpuint(wav.frames, ==, 44100);
    for (unsigned side = 0; side < 2; side++) {
        g_assert_cmpfloat(fabs(wav_tone(&wav, side, 300, 441, 441 + 41160) - 60.0 / 128), <, 0.004);
        g_assert_cmpfloat(fabs(wav_tone(&wav, side, 700, 441, 441 + 41580) - (side ? 10000.0 / 32768 : 0)), <, 0.004);
    }
    wav_forget(&wav);
}

/* A second of a tone for each DAC: DAC1 900 Hz, DAC2 1500 Hz. */
static void tones_write(void)
{
    for (unsigned i = 0; i < 22050; i++) {
        int16_t one = (int16_t)lrint(12000 * sin(2 * G_PI * 900 * i / 22050)),
                two = (int16_t)lrint(12000 * sin(2 * G_PI * 1500 * i / 22050));
        const int16_t frames[2][2] = {{one, one}, {two, two}};
        mem_write(BUF1 + 4 * i, frames[0], 4);
        mem_write(BUF1 + 0x20000 + 4 * i, frames[1], 4);
    }
}

static void tones_begin(void)
{
    tones_write();
    buffer(0, BUF1, 4 * 22050);
    buffer(1, BUF1 + 0x20000, 4 * 22050);
    put(SERIAL, P1_S16 | P2_S16);
    put(CONTROL, PCLKDIV(22050) | WTSRSEL(2) | DAC1_EN | DAC2_EN);
}

/* dB of DAC1's left and right, of DAC2's; OFF: nothing. */
#define OFF (-1000)
static void heard(const int db[4])
{
    struct wav_file wav = done();
    for (unsigned i = 0; i < 4; i++) {
        double tone = wav_tone(&wav, i % 2, i / 2 ? 1500 : 900, 441, 441 + 36750) * 32768 / 12000;
        g_assert_cmpfloat(fabs(tone - (db[i] == OFF ? 0 : pow(10, db[i] / 20.0))), <, 0.002);
    }
    wav_forget(&wav);
}

/* The AK4531's data sheet: the master 2 dB a step from 0 down, inputs from +12 dB; switches, mutes, reset, power. */
static void test_volumes(void)
{
    static const struct {
        struct {
            uint8_t reg, value;
        } writes[3];
        int db[4];
    } rows[] = {
        {{{0x00, 0x00}}, {0, 0, 0, 0}},
        {{{0x00, 3}, {0x01, 10}}, {-6, -20, -6, -20}},
        {{{0x02, 6 + 4}, {0x03, 6 + 15}}, {0, 0, -8, -30}},            /* voice: DAC2 */
        {{{0x04, 6 + 1}, {0x05, 6 + 7}}, {-2, -14, 0, 0}},             /* FM: DAC1 */
        {{{0x00, 0x1f}, {0x04, 0}}, {-50, 0, -62, 0}},                 /* +12 dB before -62 */
        {{{0x03, 0}}, {0, 0, 0, 0}},                                   /* not louder than full scale */
        {{{0x01, 4}, {0x03, 2}}, {0, -8, 0, 0}},                       /* both together: -8 and +8 */
        {{{0x00, 0x80}}, {OFF, 0, OFF, 0}},                            /* mutes */
        {{{0x03, 0x86}, {0x04, 0x86}}, {OFF, 0, 0, OFF}},              /* */
        {{{0x10, 0x40}, {0x11, 0x04}}, {0, OFF, OFF, 0}},              /* switches */
        {{{0x10, 0x9f}, {0x11, 0xf3}}, {OFF, OFF, OFF, OFF}},          /* those of others */
        {{{0x06, 0x1f}, {0x0f, 0x80}, {0x14, 0xff}}, {0, 0, 0, 0}},    /* CD, mono output, what is recorded */
        {{{0x20, 5}}, {-10, 0, -10, 0}},                               /* five bits are the address */
        {{{0x00, 0x60}}, {0, 0, 0, 0}},                                /* bits that are not there */
        {{{0x16, 0x01}}, {OFF, OFF, OFF, OFF}},                        /* no power */
        {{{0x04, 6 + 5}, {0x16, 0x01}, {0x16, 0x03}}, {-10, 0, 0, 0}}, /* and again */
        {{{0x16, 0x02}}, {OFF, OFF, OFF, OFF}},                        /* in reset */
        {{{0x16, 0x02}, {0x16, 0x03}}, {OFF, OFF, OFF, OFF}},          /* after it */
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        setup("");
        for (unsigned i = 0; i < 3; i++) {
            if (rows[n].writes[i].reg || rows[n].writes[i].value)
                codec_put(rows[n].writes[i].reg, rows[n].writes[i].value);
        }
        tones_begin();
        vclock_fake_advance(NS_PER_SECOND);
        heard(rows[n].db);
    }
}

/* Power on, and the card's reset: muted, and the master is at 0 dB. A reset that is over lets all be set again. */
static void test_volumes_at_first(void)
{
    for (unsigned n = 0; n < 4; n++) {
        setup_muted("");
        if (n == 1) {
            unmute();
            es1370_class.reset(nic_board.dev);
            pci_put(PCI_BAR0, 4, PORT);
            pci_put(PCI_COMMAND, 2, 5);
        }
        if (n == 2) {
            codec_put(0x16, 0x02);
            unmute(); /* in vain */
            codec_put(0x16, 0x03);
        }
        if (n == 3) {
            codec_put(0x00, 0x9f);
            codec_put(0x16, 0x02);
            codec_put(0x16, 0x03);
            unmute();
        }
        tones_begin();
        vclock_fake_advance(NS_PER_SECOND);
        heard(n == 3 ? (const int[4]){0, 0, 0, 0} : (const int[4]){OFF, OFF, OFF, OFF});
    }
}

/* The codec is told by words: a byte, or the upper half, changes nothing. */
static void test_codec_takes_words(void)
{
    setup("");
    put(CODEC, 0x0005);
    ioport_write(PORT + CODEC, 1, 0x1f);
    ioport_write(PORT + CODEC + 1, 1, 0x02);
    ioport_write(PORT + CODEC + 2, 2, 0x0186);
    tones_begin();
    vclock_fake_advance(NS_PER_SECOND);
    heard((const int[4]){-10, 0, -10, 0});
}

/* A card that is loaded is as loud as it was saved, and not as it was before. */
static void test_volumes_are_saved(void)
{
    setup(NULL);
    codec_put(0x01, 5);
    codec_put(0x04, 0x86);
    codec_put(0x02, 6 + 3);
    tones_begin();
    vclock_fake_advance(NS_PER_SECOND);
    GByteArray *saved = device_saved(&es1370_class, nic_board.dev);
    int64_t then = vclock_now();
    setup_muted("");
    tones_write();
    vclock_fake_advance(then);
    device_load_checked(&es1370_class, nic_board.dev, saved);
    vclock_fake_advance(NS_PER_SECOND);
    put(CONTROL, 0);
    heard((const int[4]){OFF, -10, -6, -10});
}

/* The ADC hears nothing, at its rate; memory changes where bus masters may write, and nowhere else. */
static void test_adc_hears_silence(void)
{
    uint8_t memory[4096], wanted[4096];
    setup(NULL);
    memset(memory, 0x55, sizeof(memory));
    mem_write(BUF1, memory, sizeof(memory));
    buffer(2, BUF1 + 1024, 2048);
    put(COUNT3, 255);
    put(SERIAL, R1_S16 | R1_INT_EN);
    put(CONTROL, PCLKDIV(8820) | ADC_EN);
    vclock_fake_advance(time_of(256, 160) - 1);
    g_assert_false(nic_board.irq.level);
    vclock_fake_advance(1);
    settle();
    g_assert_true(nic_board.irq.level);
    g_assert_cmphex(get(STATUS), ==, 0x80000061);
    g_assert_cmpuint(position(2), ==, 1024);
    mem_read(BUF1, memory, sizeof(memory));
    memset(wanted, 0x55, sizeof(wanted));
    memset(wanted + 1024, 0, 1024);
    g_assert_cmpmem(memory, sizeof(memory), wanted, sizeof(wanted));
    put(SERIAL, 0); /* 8 bits */
    vclock_fake_advance(NS_PER_SECOND);
    mem_read(BUF1, memory, sizeof(memory));
    memset(wanted + 1024, 0x80, 2048);
    g_assert_cmpmem(memory, sizeof(memory), wanted, sizeof(wanted));
    put(CONTROL, PCLKDIV(8820) | ADC_EN | 1u << 31); /* ADC_STOP */
    uint32_t was = position(2);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_cmpuint(position(2), ==, was);
    g_assert_true(is_idle());
}

/* A guest without sense: a buffer of one longword, a count of one frame, no bus mastering, memory that is not there. */
static void test_senseless_settings(void)
{
    setup("");
    buffer(0, 0xfffffffc, 4);
    buffer(1, 0xfffffff0, 0x40000);
    buffer(2, 0xfffffffc, 4);
    put(SERIAL, 0x3fu | P1_INT_EN | P2_INT_EN | R1_INT_EN);
    put(CONTROL, DAC1_EN | DAC2_EN | ADC_EN); /* divider 2: 705,600 Hz */
    vclock_fake_advance(100 * MS);
    g_assert_true(nic_board.irq.level);
    pci_put(PCI_COMMAND, 2, 1);
    vclock_fake_advance(100 * MS);
    put(PAGE, 0xc);
    put(0x3c, 0xffff0000); /* beyond its end */
    put(SERIAL, 0x15u);    /* other formats, in the middle of a longword */
    vclock_fake_advance(100 * MS);
    for (unsigned i = 0; i < 64; i += 4)
        get(i);
    es1370_class.reset(nic_board.dev);
    g_assert_false(nic_board.irq.level);
    g_assert_cmphex(ioport_read(PORT, 4), ==, ~0u); /* unmapped */
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_true(is_idle());
    struct wav_file wav = done();
    wav_forget(&wav);
}

static GByteArray *play_and_save(void)
{
    setup(NULL);
    buffer(0, BUF1, 10000);
    buffer(1, BUF2, 20000);
    buffer(2, BUF1 + 0x8000, 3000);
    put(COUNT1, 1234);
    put(COUNT2, 4321);
    put(COUNT3, 567);
    put(SERIAL, 0x1d | P1_INT_EN | P2_INT_EN | R1_INT_EN);
    put(CONTROL, PCLKDIV(22050) | WTSRSEL(3) | DAC1_EN | DAC2_EN | ADC_EN);
    vclock_fake_advance(123456789);
    put(SERIAL, 0x1d); /* all taken */
    put(SERIAL, 0x1d | P1_INT_EN | P2_INT_EN | R1_INT_EN);
    return device_saved(&es1370_class, nic_board.dev);
}

/* All that a guest can see, but for how far the ADC is between its interrupts: it moves when it gets the bus. */
static void look(uint32_t seen[11])
{
    unsigned n = 0;
    for (unsigned channel = 0; channel < 3; channel++)
        seen[n++] = position(channel);
    seen[n++] = get(CONTROL);
    seen[n++] = get(STATUS);
    seen[n++] = get(SERIAL);
    for (unsigned i = 0; i < 3; i++)
        seen[n++] = get(COUNT1 + 4 * i);
    seen[n++] = nic_board.irq.level;
    seen[2] = seen[8] = seen[n] = 0;
}

static void test_saved_in_the_middle(void)
{
    static const int64_t steps[] = {0, 10 * MS, 12345678, 1, 77 * MS, 500 * MS};
    uint32_t wanted[G_N_ELEMENTS(steps)][11], seen[11];
    GByteArray *saved = play_and_save();
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        vclock_fake_advance(steps[i]);
        look(wanted[i]);
    }
    g_assert_cmphex(wanted[1][4], !=, wanted[5][4]);
    setup("");
    vclock_fake_advance(123456789);
    device_load_checked(&es1370_class, nic_board.dev, saved);
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        vclock_fake_advance(steps[i]);
        look(seen);
        g_assert_cmpmem(seen, sizeof(seen), wanted[i], sizeof(wanted[i]));
    }
    struct wav_file wav = done();
    g_assert_cmpuint(wav.frames, >, 44100 * 59 / 100);
    wav_forget(&wav);
}

/* And the sound goes on where it was: nobody has touched the card since. */
static void test_sound_of_a_saved_card(void)
{
    GByteArray *saved = play_and_save();
    uint32_t at = position(0);
    g_assert_cmpuint(at, >, 0);
    setup("");
    vclock_fake_advance(123456789);
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t sample = (uint8_t)(i * 7 / 5);
        mem_write(BUF1 + i, &sample, 1);
    }
    device_load_checked(&es1370_class, nic_board.dev, saved);
    vclock_fake_advance(300 * MS);
    struct wav_file wav = done();
    g_assert_cmpuint(wav.frames, >=, 44100 * 29 / 100);
    for (unsigned i = 0; i < 2 * 44100 * 29 / 100; i++) { /* 8 bits, stereo, at 44,100 Hz */
        uint32_t from = (at + i) % 10000;
        g_assert_cmpfloat(wav_sample(&wav, i / 2, i % 2), ==, ((uint8_t)(from * 7 / 5) - 128) / 128.0);
    }
    wav_forget(&wav);
}

/* Changes the nth field of that name; what comes out is refused, and the card goes on as it was. */
static void refused(const char *name, unsigned nth, uint32_t size, uint64_t value)
{
    GByteArray *saved = play_and_save();
    uint32_t before[11], after[11];
    size_t len = strlen(name);
    bool found = false;
    for (guint i = 0; i + 5 + len + size <= saved->len && !found; i++) {
        uint32_t its;
        memcpy(&its, saved->data + i + 1 + len, 4);
        if (saved->data[i] == len && memcmp(saved->data + i + 1, name, len) == 0 && its >= size && !nth--) {
            memcpy(saved->data + i + 5 + len, &value, size);
            found = true;
        }
    }
    g_assert_true(found);
    look(before);
    g_assert_false(device_load(&es1370_class, nic_board.dev, saved->data, saved->len));
    look(after);
    g_assert_cmpmem(before, sizeof(before), after, sizeof(after));
    g_byte_array_unref(saved);
    vclock_fake_advance(NS_PER_SECOND);
}

static void test_strange_states(void)
{
    refused("page", 0, 1, 16);
    refused("serial", 0, 4, 1u << 22);
    refused("interrupt", 0, 1, 8);
    refused("stopped", 0, 1, 8);
    refused("stopped", 0, 1, 1); /* and yet it has an event to come */
    refused("within", 0, 1, 4);
    refused("control", 0, 4, DAC1_EN); /* other channels run */
    refused("count", 0, 4, 0);
    for (unsigned n = 0; n < 3; n++) {
        refused("epoch", n, 8, UINT64_MAX / 2);
        refused("epoch", n, 8, (uint64_t)INT64_MIN);
        refused("taken", n, 8, UINT64_MAX);
        refused("event_in", n, 8, 1);
        refused("rate_num", n, 4, 0);
        refused("rate_den", n, 4, 0);
        refused("rate_den", n, 4, 7);
        refused("running", n, 1, 0);
        refused("running", n, 1, 2);
    }
}

#define TEST(name) g_test_add_func("/es1370/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(identity);
    TEST(paged_memory);
    TEST(dac2_plays_its_buffer);
    TEST(position_is_virtual_time);
    TEST(interrupts_come_with_their_frame);
    TEST(size_is_written);
    TEST(pause_and_stop);
    TEST(both_dacs);
    TEST(volumes);
    TEST(volumes_at_first);
    TEST(codec_takes_words);
    TEST(volumes_are_saved);
    TEST(adc_hears_silence);
    TEST(senseless_settings);
    TEST(saved_in_the_middle);
    TEST(sound_of_a_saved_card);
    TEST(strange_states);
    int status = g_test_run();
    nic_board_remove();
    return status;
}
