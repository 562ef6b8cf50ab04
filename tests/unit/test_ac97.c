/* AC'97: what the 82801AA's data sheet says, and what its drivers count on. */
#include "nic_board.h"
#include "wav_file.h"

extern const struct device_class ac97_class;

#define NAM  0xc000
#define NABM 0xc400
#define LIST 0x8000u
#define BUF  0x10000u

enum { IN = 0x00, OUT = 0x10, MIC = 0x20 };
enum { BDBAR = 0, CIV = 4, LVI = 5, SR = 6, PICB = 8, PIV = 10, CR = 11 };
#define GLOB_CNT 0x2c
#define GLOB_STA 0x30

#define IOC 0x80000000u

static uint32_t get(unsigned reg, unsigned size)
{
    return ioport_read((uint16_t)(NABM + reg), size);
}

static void put(unsigned reg, unsigned size, uint32_t value)
{
    ioport_write((uint16_t)(NABM + reg), size, value);
}

static uint32_t nam(unsigned reg)
{
    return ioport_read((uint16_t)(NAM + reg), 2);
}

static void nam_put(unsigned reg, uint32_t value)
{
    ioport_write((uint16_t)(NAM + reg), 2, value);
}

static void setup(const char *options)
{
    const struct {
        struct audiodev *audiodev;
    } config = {options ? wav_begin(options) : NULL};
    nic_board_begin();
    nic_board_plug(&ac97_class, &config);
    pci_put(PCI_BAR0, 4, NAM);
    pci_put(PCI_BAR0 + 4, 4, NABM);
    pci_put(PCI_COMMAND, 2, 5);
    put(GLOB_CNT, 4, 2);
    nam_put(0x02, 0);
    nam_put(0x18, 0x0808);
}

static struct wav_file done(void)
{
    nic_board_remove();
    return wav_end();
}

static bool is_idle(void)
{
    return vclock_fake_first_due() == INT64_MAX;
}

/* 32 buffers of so many samples, one behind the other, each with an interrupt. */
static void list(uint32_t samples)
{
    for (unsigned i = 0; i < 32; i++) {
        uint32_t descriptor[2] = {BUF + i * samples * 2, samples | IOC};
        mem_write(LIST + 8 * i, descriptor, 8);
    }
}

static void test_identity(void)
{
    setup(NULL);
    g_assert_cmphex(pci_get(PCI_VENDOR_ID, 4), ==, 0x24158086);
    g_assert_cmphex(pci_get(PCI_REVISION, 4), ==, 0x04010001);
    g_assert_cmphex(get(GLOB_STA, 4), ==, 0x100);
    for (unsigned n = 0; n < 0x30; n += 0x10) {
        g_assert_cmphex(get(n + SR, 2), ==, 1);
        g_assert_cmphex(get(n + CR, 1), ==, 0);
    }
    nam_put(0, 0);
    g_assert_cmphex(nam(0x7c), ==, 0x8384);
    g_assert_cmphex(nam(0x7e), ==, 0x7600);
    g_assert_cmphex(nam(0x26) & 15, ==, 15);
    g_assert_cmphex(nam(0x02), ==, 0x8000);
    g_assert_cmphex(nam(0x18), ==, 0x8808);
    nam_put(0x02, 0xffff);
    g_assert_cmphex(nam(0x02), ==, 0x9f1f);
    /* Rates are fixed until they may vary. */
    nam_put(0x2c, 8000);
    g_assert_cmpuint(nam(0x2c), ==, 48000);
    nam_put(0x2a, 1);
    nam_put(0x2c, 8000);
    g_assert_cmpuint(nam(0x2c), ==, 8000);
    /* The codec's semaphore. */
    nam(0);
    g_assert_cmphex(get(0x34, 1), ==, 0);
    g_assert_cmphex(get(0x34, 1), ==, 1);
    nam(0);
    g_assert_cmphex(get(0x34, 1), ==, 0);
    put(GLOB_CNT, 4, 0);
    g_assert_cmphex(get(GLOB_STA, 4), ==, 0);
    g_assert_true(is_idle());
}

static int64_t time_of(int64_t frames, int64_t rate)
{
    return (frames * NS_PER_SECOND + rate - 1) / rate;
}

/* The driver moves the last index on: round and round, and each buffer interrupts with its last sample. */
static void test_plays_in_time(void)
{
    static const unsigned rates[] = {48000, 44100, 8000};
    for (unsigned i = 0; i < G_N_ELEMENTS(rates); i++) {
        setup(i ? NULL : "");
        nam_put(0x2a, 1);
        nam_put(0x2c, rates[i]);
        list(1000);
        put(OUT + BDBAR, 4, LIST);
        put(OUT + LVI, 1, 31);
        put(OUT + CR, 1, 0x11);
        for (unsigned n = 1; n <= 70; n++) {
            vclock_fake_advance(time_of(500 * n, rates[i]) - 1 - vclock_now());
            g_assert_false(nic_board.irq.level);
            g_assert_cmpuint(get(OUT + PICB, 2), ==, 2);
            vclock_fake_advance(1);
            g_assert_true(nic_board.irq.level);
            g_assert_cmphex(get(OUT + SR, 2), ==, 8);
            g_assert_cmphex(get(GLOB_STA, 4), ==, 0x140);
            g_assert_cmpuint(get(OUT + CIV, 1), ==, n % 32);
            g_assert_cmpuint(get(OUT + PIV, 1), ==, (n + 1) % 32);
            g_assert_cmpuint(get(OUT + PICB, 2), ==, 1000);
            put(OUT + LVI, 1, (n + 30) % 32);
            put(OUT + SR, 2, 8);
            g_assert_false(nic_board.irq.level);
        }
        vclock_fake_advance(time_of(100, rates[i]) + 1);
        g_assert_cmpuint(get(OUT + PICB, 2), ==, 800);
        put(OUT + CR, 1, 0x10); /* a pause */
        vclock_fake_advance(NS_PER_SECOND);
        g_assert_cmpuint(get(OUT + PICB, 2), ==, 800);
        g_assert_cmphex(get(OUT + SR, 2), ==, 1);
        g_assert_true(is_idle());
        put(OUT + CR, 1, 0x11);
        vclock_fake_advance(time_of(100, rates[i]) + 1);
        g_assert_cmpuint(get(OUT + PICB, 2), ==, 600);
        put(OUT + CR, 1, 2);
        g_assert_cmphex(get(OUT + CR, 1), ==, 0);
        g_assert_cmpuint(get(OUT + CIV, 1), ==, 0);
        nic_board_remove();
        audiodev_close_all();
    }
    unlink(wav_path);
}

/* At the last valid index it halts, and goes on when that is moved. */
static void test_last_valid(void)
{
    setup(NULL);
    list(960);
    put(OUT + BDBAR, 4, LIST);
    put(OUT + LVI, 1, 1);
    put(OUT + CR, 1, 0x05);
    vclock_fake_advance(time_of(960, 48000) - 1);
    g_assert_false(nic_board.irq.level);
    vclock_fake_advance(1);
    g_assert_true(nic_board.irq.level);
    g_assert_cmphex(get(OUT + SR, 2), ==, 0x0f);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_cmpuint(get(OUT + CIV, 1), ==, 1);
    put(OUT + SR, 2, 0x1c);
    g_assert_false(nic_board.irq.level);
    int64_t begin = vclock_now();
    put(OUT + LVI, 1, 2);
    g_assert_cmphex(get(OUT + SR, 2), ==, 0);
    vclock_fake_advance(time_of(481, 48000));
    g_assert_cmphex(get(OUT + SR, 2), ==, 0x0f);
    g_assert_cmpint(vclock_now() - begin, <, 11 * MS);
    g_assert_cmpuint(get(OUT + CIV, 1), ==, 2);
}

static void test_sound_and_volume(void)
{
    setup(",out.frequency=48000");
    for (unsigned i = 0; i < 32 * 1500; i++) {
        int16_t frame[2] = {(int16_t)(i * 31), (int16_t)(i * -29)};
        mem_write(BUF + 4 * i, frame, 4);
    }
    list(3000);
    put(OUT + BDBAR, 4, LIST);
    put(OUT + LVI, 1, 31);
    put(OUT + CR, 1, 1);
    vclock_fake_advance(900 * MS);
    put(OUT + CR, 1, 0);
    struct wav_file wav = done();
    g_assert_cmpuint(wav.frames, ==, 43200);
    for (unsigned i = 0; i < wav.frames; i++) {
        g_assert_cmpfloat(wav_sample(&wav, i, 0), ==, (int16_t)(i * 31) / 32768.0);
        g_assert_cmpfloat(wav_sample(&wav, i, 1), ==, (int16_t)(i * -29) / 32768.0);
    }
    wav_forget(&wav);
    static const struct {
        uint16_t master, pcm;
        double left, right;
    } rows[] = {{0x0000, 0x0808, 0, 0},     {0x0400, 0x0808, -6, 0},      {0x0000, 0x080c, 0, -6},
                {0x0404, 0x0c0c, -12, -12}, {0x8000, 0x0808, -200, -200}, {0x0000, 0x8808, -200, -200},
                {0x0000, 0x0000, 0, 0}};
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        setup(",out.frequency=48000");
        for (unsigned i = 0; i < 32 * 1500; i++) {
            int16_t sample = (int16_t)lrint(20000 * sin(2 * G_PI * i / 48));
            int16_t frame[2] = {sample, sample};
            mem_write(BUF + 4 * i, frame, 4);
        }
        list(3000);
        nam_put(0x02, rows[n].master);
        nam_put(0x18, rows[n].pcm);
        put(OUT + BDBAR, 4, LIST);
        put(OUT + LVI, 1, 31);
        put(OUT + CR, 1, 1);
        vclock_fake_advance(500 * MS);
        wav = done();
        g_assert_cmpfloat(fabs(wav_tone(&wav, 0, 1000, 0, 19200) * 32768 / 20000 - pow(10, rows[n].left / 20)), <,
                          0.002);
        g_assert_cmpfloat(fabs(wav_tone(&wav, 1, 1000, 0, 19200) * 32768 / 20000 - pow(10, rows[n].right / 20)), <,
                          0.002);
        wav_forget(&wav);
    }
}

static void test_recording(void)
{
    uint8_t memory[4000];
    setup(NULL);
    memset(memory, 0x55, sizeof(memory));
    mem_write(BUF, memory, sizeof(memory));
    list(480);
    put(MIC + BDBAR, 4, LIST);
    put(MIC + LVI, 1, 1);
    put(MIC + CR, 1, 0x15);
    vclock_fake_advance(50 * MS);
    settle();
    g_assert_true(nic_board.irq.level);
    g_assert_cmphex(get(GLOB_STA, 4), ==, 0x180);
    g_assert_cmphex(get(MIC + SR, 2), ==, 0x0f);
    mem_read(BUF, memory, sizeof(memory));
    for (unsigned i = 0; i < sizeof(memory); i++)
        g_assert_cmphex(memory[i], ==, i < 1920 ? 0 : 0x55);
}

/* What is seen and heard after a load is what it would have been. */
static void test_saved_in_the_middle(void)
{
    for (unsigned n = 0; n < 20; n++) {
        GByteArray *seen[2], *saved = NULL, *before = NULL;
        int64_t at = 3 * MS + n * 12345678;
        for (unsigned again = 0; again < 2; again++) {
            setup(again ? "" : NULL);
            list(700 + n);
            if (!again) {
                nam_put(0x2a, 1);
                nam_put(0x2c, 8000 + n * 1999);
                put(OUT + BDBAR, 4, LIST);
                put(OUT + LVI, 1, n % 3 ? 31 : 2);
                put(OUT + CR, 1, n % 7 == 6 ? 0x10 : 0x1d);
            }
            vclock_fake_advance(at);
            if (!again) {
                saved = device_saved(&ac97_class, nic_board.dev);
            } else {
                before = g_byte_array_new();
                g_byte_array_append(before, saved->data, saved->len);
                device_load_checked(&ac97_class, nic_board.dev, before);
            }
            seen[again] = g_byte_array_new();
            for (unsigned i = 0; i < 40; i++) {
                vclock_fake_advance(3333333);
                for (unsigned reg = CIV; reg <= CR; reg++) {
                    uint8_t value = (uint8_t)get(OUT + reg, 1);
                    g_byte_array_append(seen[again], &value, 1);
                }
                put(OUT + SR, 2, 8);
            }
        }
        g_assert_cmpmem(seen[0]->data, seen[0]->len, seen[1]->data, seen[1]->len);
        g_byte_array_unref(seen[0]);
        g_byte_array_unref(seen[1]);
        g_byte_array_unref(saved);
        nic_board_remove();
        audiodev_close_all();
    }
    unlink(wav_path);
}

static void test_strange_states(void)
{
    static const struct {
        const char *name;
        uint32_t size;
        uint64_t value;
    } bad[] = {{"current", 3, 0x202020}, {"last", 3, 0x808080},    {"prefetched", 3, 0xffffff},
               {"status", 3, 0x808080},  {"control", 3, 0x020202}, {"control", 3, 0},
               {"list", 4, 1},           {"left", 6, 0},           {"fetched", 3, 0},
               {"running", 1, 2},        {"rate_num", 4, 0},       {"event_in", 8, 12345}};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        setup(NULL);
        list(700);
        for (unsigned n = 0; n < 0x30; n += 0x10) {
            put(n + BDBAR, 4, LIST);
            put(n + LVI, 1, 31);
            put(n + CR, 1, 0x1d);
        }
        vclock_fake_advance(10 * MS);
        GByteArray *saved = device_saved(&ac97_class, nic_board.dev);
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
        g_assert_false(device_load(&ac97_class, nic_board.dev, saved->data, saved->len));
        g_byte_array_unref(saved);
        vclock_fake_advance(NS_PER_SECOND);
    }
}

/* A guest without sense: lists of nothing, or of anything, at all times. */
static void test_senseless(void)
{
    uint32_t state = 5;
    setup("");
    list(0);
    put(OUT + BDBAR, 4, LIST);
    put(OUT + LVI, 1, 31);
    put(OUT + CR, 1, 0x1d);
    g_assert_cmphex(get(OUT + SR, 2) & 1, ==, 1);
    vclock_fake_advance(100 * MS);
    for (unsigned i = 0; i < 100000; i++) {
        state = state * 1664525 + 1013904223;
        uint32_t value = state >> 5, size = 1u << (state >> 24) % 3;
        if (i % 3 == 0)
            ioport_write((uint16_t)(NAM + (state >> 8) % 256), size, value);
        else
            put((state >> 8) % 64, size, value);
        get((state >> 16) % 64, size);
        if (i % 50 == 0)
            vclock_fake_advance((state >> 10) % (5 * MS));
        if (i % 997 == 0)
            list((state >> 9) % 3 ? (state >> 12) % 5000 : 0);
        if (i % 4001 == 0)
            device_load_checked(&ac97_class, nic_board.dev, device_saved(&ac97_class, nic_board.dev));
    }
    ac97_class.reset(nic_board.dev);
    g_assert_false(nic_board.irq.level);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_true(is_idle());
    struct wav_file wav = done();
    wav_forget(&wav);
}

#define TEST(name) g_test_add_func("/ac97/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(identity);
    TEST(plays_in_time);
    TEST(last_valid);
    TEST(sound_and_volume);
    TEST(recording);
    TEST(saved_in_the_middle);
    TEST(strange_states);
    TEST(senseless);
    int status = g_test_run();
    nic_board_remove();
    return status;
}
