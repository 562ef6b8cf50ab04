/* The PC's speaker: what programs do with port 61h and the timer's counter 2, and what is heard then. */
#include "board.h"
#include "devices/pit.h"
#include "lock.h"
#include "wav_file.h"

extern const struct device_class pcspk_class;

static struct pit *pit;
static void *speaker;

static void *find(struct board *board, const char *name)
{
    return g_str_equal(name, "pit") ? pit : NULL;
}

static void board_begin(const char *options)
{
    static const struct board_ops ops = {.service = find};
    static struct board board = {&ops};
    const struct device_site site = {.board = &board, .id = "speaker"};
    const struct {
        struct audiodev *audiodev;
    } config = {options ? wav_begin(options) : NULL};
    ioport_clear();
    vclock_fake_start();
    pit = pit_new(&(struct irq){0});
    speaker = pcspk_class.create(&site, &config, NULL);
    outb(0x43, 0x30); /* counter 0 has no timer in mode 0 */
    vclock_fake_advance(60 * MS);
}

static void cards_end(void)
{
    pcspk_class.destroy(speaker);
    pit_free(pit);
}

static struct wav_file board_end(void)
{
    cards_end();
    return wav_end();
}

static void count_set(uint16_t count)
{
    outb(0x42, count & 0xff);
    outb(0x42, count >> 8);
}

static void tone_on(uint16_t count)
{
    outb(0x43, 0xb6);
    count_set(count);
    outb(0x61, inb(0x61) | 3);
}

static void tone_off(void)
{
    outb(0x61, inb(0x61) & ~3);
}

static bool is_idle(void)
{
    return vclock_fake_first_due() == INT64_MAX;
}

static void test_tone(void)
{
    board_begin("");
    g_assert_true(is_idle());
    tone_on(2712); /* 439.963 Hz */
    g_assert_false(is_idle());
    vclock_fake_advance(2 * NS_PER_SECOND);
    tone_off();
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_true(is_idle());
    struct wav_file wav = board_end();
    g_assert_cmpuint(wav.frames, >=, 2 * 44100 + 44100 / 8);
    g_assert_cmpuint(wav.frames, <=, 2 * 44100 + 44100 / 8 + 441 + 1); /* it looks every 10 ms */
    unsigned rises = wav_rises(&wav, 0, 4410, 4410 + 44100);
    g_assert_cmpuint(rises, >=, 439);
    g_assert_cmpuint(rises, <=, 440);
    /* A square wave's: the third harmonic has a third of it, the second nothing. The frequency is right to a hundredth
     * of a Hertz: else the phase would turn in two seconds. */
    double hz = PIT_HZ / 2712.0, first = wav_tone(&wav, 0, hz, 4410, 83790);
    g_assert_cmpfloat(fabs(first - 0.5 * 2 / G_PI), <, 0.002);
    g_assert_cmpfloat(fabs(wav_tone(&wav, 0, 3 * hz, 4410, 83790) - first / 3), <, 0.002);
    g_assert_cmpfloat(wav_tone(&wav, 0, 2 * hz, 4410, 83790), <, 0.002);
    g_assert_cmpfloat(wav_tone(&wav, 0, hz + 1, 4410, 83790), <, 0.5 * first);
    double quiet = 0;
    for (unsigned i = 2 * 44100 + 4410; i < wav.frames; i++)
        quiet = MAX(quiet, fabs(wav_sample(&wav, i, 0)));
    g_assert_cmpfloat(quiet, <, 0.002);
    wav_forget(&wav);
}

/* Each note as long as it was played. */
static void test_tune(void)
{
    static const uint16_t counts[] = {4560, 4063, 3620, 3417, 3044};
    board_begin(",out.channels=1,out.frequency=48000");
    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        if (i == 0)
            tone_on(counts[i]);
        else
            count_set(counts[i]); /* without a control word: at the end of a period */
        vclock_fake_advance(200 * MS);
    }
    tone_off();
    vclock_fake_advance(NS_PER_SECOND);
    struct wav_file wav = board_end();
    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        unsigned from = i * 9600 + 400, to = from + 8800;
        for (unsigned n = 0; n < G_N_ELEMENTS(counts); n++) {
            double found = wav_tone(&wav, 0, (double)PIT_HZ / counts[n], from, to);
            if (n == i)
                g_assert_cmpfloat(found, >, 0.31);
            else
                g_assert_cmpfloat(found, <, 0.1);
        }
    }
    wav_forget(&wav);
}

/* Bit 1 alone, with the timer's gate low: OUT2 is high. */
static void test_toggled_by_the_program(void)
{
    board_begin("");
    outb(0x43, 0xb6);
    for (unsigned i = 0; i < 2000; i++) {
        outb(0x61, i % 2 ? 0 : 2);
        vclock_fake_advance(500 * US);
    }
    vclock_fake_advance(NS_PER_SECOND);
    struct wav_file wav = board_end();
    g_assert_cmpfloat(fabs(wav_tone(&wav, 0, 1000, 4410, 4410 + 35280) - 0.5 * 2 / G_PI), <, 0.002);
    g_assert_cmpfloat(wav_tone(&wav, 0, 970, 4410, 4410 + 35280), <, 0.002);
    wav_forget(&wav);
}

/* Speech: 16,384 times a second a pulse (mode 0: low while it counts) whose width is the sample. */
static void test_pulse_widths(void)
{
    board_begin("");
    outb(0x43, 0x90); /* counter 2, low byte only, mode 0 */
    outb(0x61, 3);
    for (unsigned i = 0; i < 16384; i++) {
        outb(0x42, (uint8_t)lrint(36 + 30 * sin(2 * G_PI * 500 * i / 16384)));
        vclock_fake_advance((int64_t)(i + 1) * NS_PER_SECOND / 16384 - (int64_t)i * NS_PER_SECOND / 16384);
    }
    outb(0x61, 0);
    vclock_fake_advance(NS_PER_SECOND);
    struct wav_file wav = board_end();
    /* 30 of 72.8 CLKs, of half the range */
    g_assert_cmpfloat(fabs(wav_tone(&wav, 0, 500, 4410, 4410 + 35280) - 0.5 * 30 / 72.826), <, 0.004);
    for (unsigned hz = 250; hz < 8000; hz += 250) {
        if (hz != 500)
            g_assert_cmpfloat(wav_tone(&wav, 0, hz, 4410, 4410 + 35280), <, 0.015); /* what widths have of it */
    }
    wav_forget(&wav);
}

static void test_what_nobody_can_hear(void)
{
    board_begin("");
    tone_on(30); /* 39,773 Hz */
    vclock_fake_advance(NS_PER_SECOND);
    tone_off();
    vclock_fake_advance(NS_PER_SECOND);
    struct wav_file wav = board_end();
    double loud = 0;
    for (unsigned i = 8820; i < 44100 - 441; i++)
        loud = MAX(loud, fabs(wav_sample(&wav, i, 0)));
    g_assert_cmpfloat(loud, <, 0.15);
    wav_forget(&wav);
}

/* To the first moment of that CLK. */
static void run_to(int64_t clk)
{
    vclock_fake_advance((clk * NS_PER_SECOND + PIT_HZ - 1) / PIT_HZ - vclock_now());
    g_assert_cmpint(pit_clk_now(), ==, clk);
}

/* Many CLKs at once are what they are one by one: as port 61h shows OUT2. */
static void test_each_clk_counts(void)
{
    static const uint16_t counts[] = {2, 3, 7, 24, 101};
    for (unsigned mode = 0; mode < 6; mode++) {
        for (unsigned n = 0; n < G_N_ELEMENTS(counts) * G_N_ELEMENTS(counts); n++) {
            board_begin(NULL);
            run_to(pit_clk_now() + 1);
            outb(0x43, (uint8_t)(0xb0 | mode << 1));
            count_set(counts[n % 5]);
            outb(0x61, n % 2 ? 3 : 2); /* in some modes it is the trigger */
            run_to(pit_clk_now() + 5);
            outb(0x61, n % 3 ? 3 : 2);
            count_set(counts[n / 5]); /* often at the end of a period only */
            GByteArray *saved = device_saved(&pit_class, pit);
            int64_t from = pit_clk_now();
            uint32_t all[200];
            for (unsigned len = 0; len < G_N_ELEMENTS(all); len++) {
                all[len] = pit_speaker_high(pit, from, from + len);
                g_assert_true(device_load(&pit_class, pit, saved->data, saved->len));
            }
            g_byte_array_unref(saved);
            uint32_t sum = 0;
            for (unsigned len = 0; len < G_N_ELEMENTS(all); len++) {
                g_assert_cmpuint(all[len], ==, sum);
                sum += inb(0x61) >> 5 & 1;
                run_to(from + len + 1);
            }
            cards_end();
        }
    }
}

/* Programs that only look at the timer make no sound, and no work. */
static void test_at_rest(void)
{
    board_begin("");
    outb(0x43, 0xb6);
    count_set(1000);
    outb(0x61, 1);
    for (unsigned i = 0; i < 100; i++) {
        inb(0x61);
        vclock_fake_advance(MS);
        g_assert_true(is_idle());
    }
    outb(0x61, 0);
    struct wav_file wav = board_end();
    g_assert_cmpuint(wav.frames, ==, 0);
    wav_forget(&wav);
    board_begin(NULL); /* nobody listens */
    tone_on(1000);
    g_assert_true(is_idle());
    cards_end();
}

static void test_saved_in_the_middle(void)
{
    board_begin(NULL);
    tone_on(1193);
    vclock_fake_advance(333 * MS);
    GByteArray *saved = device_saved(&pit_class, pit);
    int64_t now = vclock_now();
    cards_end();
    board_begin("");
    vclock_fake_advance(now - vclock_now());
    g_assert_true(device_load(&pit_class, pit, saved->data, saved->len));
    g_byte_array_unref(saved);
    vclock_fake_advance(500 * MS);
    pit_class.reset(pit);
    vclock_fake_advance(500 * MS);
    struct wav_file wav = board_end();
    g_assert_cmpfloat(wav_tone(&wav, 0, PIT_HZ / 1193.0, 2205, 22050), >, 0.31);
    g_assert_cmpfloat(wav_tone(&wav, 0, PIT_HZ / 1193.0, 22050 + 2205, wav.frames), <, 0.01);
    wav_forget(&wav);
}

#define TEST(name) g_test_add_func("/pcspk/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(tone);
    TEST(tune);
    TEST(toggled_by_the_program);
    TEST(pulse_widths);
    TEST(what_nobody_can_hear);
    TEST(each_clk_counts);
    TEST(at_rest);
    TEST(saved_in_the_middle);
    return g_test_run();
}
