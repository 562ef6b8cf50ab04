/* Voices, the mixer and -audiodev, without a card: frames in virtual time, and what is in the file then. */
#include "board.h"
#include "devices/sound/voice.h"
#include "wav_file.h"

#include <fcntl.h>
#include <sys/stat.h>

/* A voice whose frames say which they are, or are a tone. */
struct source {
    struct voice voice;
    struct audio_format format;
    double hz; /* 0: a count */
    uint64_t taken, calls, most;
    uint64_t ends_at;     /* no more frames from there on; 0: there are always more */
    uint64_t event_every; /* frames */
    GArray *events;       /* int64_t: when */
};

static void sample_make(const struct source *source, uint64_t n, unsigned channel, uint8_t *to)
{
    double rate = (double)source->format.rate_num / source->format.rate_den;
    double value = source->hz ? 0.5 * sin(2 * G_PI * source->hz * (double)n / rate) : 0;
    int16_t sample = source->hz ? (int16_t)lrint(value * 32767) : (int16_t)(n * 3 + channel);
    if (source->format.sample == AUDIO_U8)
        *to = (uint8_t)((sample >> 8) + 128);
    else
        memcpy(to, &sample, 2);
}

static unsigned source_take(void *opaque, void *frames, unsigned count)
{
    struct source *source = opaque;
    uint8_t *to = frames;
    unsigned some =
        source->ends_at ? (unsigned)MIN(count, source->ends_at - MIN(source->ends_at, source->taken)) : count;
    unsigned size = source->format.sample == AUDIO_U8 ? 1 : 2;
    for (unsigned i = 0; i < some; i++) {
        for (unsigned c = 0; c < source->format.channels; c++, to += size)
            sample_make(source, source->taken + i, c, to);
    }
    source->taken += count;
    source->calls++;
    source->most = MAX(source->most, count);
    if (source->event_every && source->taken % source->event_every == 0) {
        int64_t now = vclock_now();
        g_array_append_val(source->events, now);
        voice_set_event(&source->voice, source->event_every);
    }
    return some;
}

static const struct voice_front source_front = {.take = source_take};

static void source_begin(struct source *source, struct audiodev *audiodev, enum audio_sample sample, uint8_t channels,
                         uint32_t rate_num, uint32_t rate_den, double hz)
{
    *source = (struct source){.format = {sample, channels, rate_num, rate_den}, .hz = hz};
    source->events = g_array_new(FALSE, FALSE, sizeof(int64_t));
    voice_init(&source->voice, audiodev, true, "source", &source_front, source);
    voice_set_format(&source->voice, &source->format);
}

static void source_end(struct source *source)
{
    voice_fini(&source->voice);
    g_array_unref(source->events);
}

static void play(struct source *source)
{
    voice_sync(&source->voice);
    voice_set_running(&source->voice, true);
}

static void stop(struct source *source)
{
    voice_sync(&source->voice);
    voice_set_running(&source->voice, false);
}

static bool is_idle(void)
{
    return vclock_fake_first_due() == INT64_MAX;
}

/* Frames that go in come out, as many and the same. */
static void test_same_rate_is_exact(void)
{
    struct source a;
    vclock_fake_start();
    source_begin(&a, wav_begin(""), AUDIO_S16, 2, 44100, 1, 0);
    vclock_fake_advance(1234567);
    play(&a);
    vclock_fake_advance(NS_PER_SECOND);
    stop(&a);
    g_assert_cmpuint(a.taken, ==, 44100);
    vclock_fake_advance(NS_PER_SECOND);
    source_end(&a);
    struct wav_file wav = wav_end();
    g_assert_cmpuint(wav.rate, ==, 44100);
    g_assert_cmpuint(wav.channels, ==, 2);
    g_assert_cmpuint(wav.frames, ==, 44100);
    for (unsigned i = 0; i < wav.frames; i++) {
        int16_t is[2];
        memcpy(is, wav.data + 4 * i, 4);
        g_assert_cmpint(is[0], ==, (int16_t)(3 * i));
        g_assert_cmpint(is[1], ==, (int16_t)(3 * i + 1));
    }
    wav_forget(&wav);
}

/* Each is heard where it was played: not earlier, not later, and nothing else with it. */
static void resample(enum audio_sample sample, uint8_t channels, uint32_t num, uint32_t den, const char *options,
                     unsigned rate, double tolerance)
{
    struct source a;
    unsigned seconds = 3;
    vclock_fake_start();
    source_begin(&a, wav_begin(options), sample, channels, num, den, 440);
    play(&a);
    vclock_fake_advance(seconds * NS_PER_SECOND);
    stop(&a);
    g_assert_cmpuint(a.taken, ==, (uint64_t)seconds * num / den);
    vclock_fake_advance(NS_PER_SECOND);
    source_end(&a);
    struct wav_file wav = wav_end();
    g_assert_cmpuint(wav.rate, ==, rate);
    g_assert_cmpuint(wav.frames, ==, seconds * rate);
    for (unsigned i = 0; i < wav.frames; i++) {
        bool is_edge = i < rate / 50 || i >= wav.frames - rate / 50;
        double wanted = 0.5 * sin(2 * G_PI * 440 * i / rate);
        g_assert_cmpfloat(fabs(wav_sample(&wav, i, 0) - wanted), <, (is_edge ? 0.15 : tolerance));
    }
    g_assert_cmpfloat(fabs(wav_tone(&wav, wav.channels - 1, 440, rate / 50, 2 * rate) - 0.5), <, tolerance);
    wav_forget(&wav);
}

static void test_rates_are_converted(void)
{
    resample(AUDIO_S16, 2, 22050, 1, "", 44100, 0.003);
    resample(AUDIO_S16, 1, 1411200, 256, "", 44100, 0.003); /* 5512.5 a second */
    resample(AUDIO_U8, 1, 11025, 1, "", 44100, 0.015);
    resample(AUDIO_S16, 1, 1193182, 24, ",out.channels=1", 44100, 0.003);
    resample(AUDIO_S16, 2, 44100, 1, ",out.frequency=48000", 48000, 0.003);
    resample(AUDIO_S16, 1, 48000, 1, ",out.frequency=8000,out.channels=1", 8000, 0.003);
}

static void test_voices_are_mixed(void)
{
    struct source a, b;
    vclock_fake_start();
    struct audiodev *audiodev = wav_begin("");
    source_begin(&a, audiodev, AUDIO_S16, 2, 44100, 1, 440);
    source_begin(&b, audiodev, AUDIO_S16, 1, 11025, 1, 1000);
    play(&a);
    vclock_fake_advance(NS_PER_SECOND);
    play(&b);
    audio_set_volume(b.voice.stream, AUDIO_VOLUME_MAX / 2, 0);
    vclock_fake_advance(NS_PER_SECOND);
    stop(&a);
    vclock_fake_advance(NS_PER_SECOND);
    stop(&b);
    source_end(&a);
    source_end(&b);
    struct wav_file wav = wav_end();
    g_assert_cmpuint(wav.frames, ==, 3 * 44100);
    for (unsigned second = 0; second < 3; second++) {
        unsigned from = second * 44100 + 441, to = from + 42000;
        g_assert_cmpfloat(fabs(wav_tone(&wav, 0, 440, from, to) - (second < 2 ? 0.5 : 0)), <, 0.002);
        g_assert_cmpfloat(fabs(wav_tone(&wav, 0, 1000, from, to) - (second > 0 ? 0.25 : 0)), <, 0.002);
        g_assert_cmpfloat(wav_tone(&wav, 1, 1000, from, to), <, 0.002); /* its right side is off */
    }
    /* The second one begins where it did, to the frame; the converter rings a little. */
    for (unsigned i = 0; i < 44100 - 200; i++)
        g_assert_cmpfloat(fabs(wav_sample(&wav, i, 0) - wav_sample(&wav, i, 1)), <, 1e-4);
    wav_forget(&wav);
}

/* Silence between two sounds is there if it is short; then nothing runs. */
static void test_sessions_end(void)
{
    struct source a;
    vclock_fake_start();
    g_assert_true(is_idle());
    source_begin(&a, wav_begin(""), AUDIO_S16, 2, 44100, 1, 440);
    g_assert_true(is_idle());
    play(&a);
    vclock_fake_advance(500 * MS);
    stop(&a);
    vclock_fake_advance(50 * MS);
    play(&a);
    vclock_fake_advance(500 * MS);
    stop(&a);
    vclock_fake_advance(10 * NS_PER_SECOND);
    g_assert_true(is_idle());
    play(&a);
    vclock_fake_advance(500 * MS);
    g_assert_false(is_idle());
    source_end(&a); /* playing */
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_true(is_idle());
    struct wav_file wav = wav_end();
    g_assert_cmpuint(wav.frames, ==, 44100 * 1050 / 1000 + 22050);
    g_assert_cmpfloat(wav_tone(&wav, 0, 440, 22050, 22050 + 2205), ==, 0);
    g_assert_cmpfloat(wav_tone(&wav, 0, 440, 22050 + 2205, 44100 + 2205), >, 0.49);
    wav_forget(&wav);
}

/* The guest's time is the same whoever listens: with nobody there, too, at rates that are no whole number. */
static void test_position_is_virtual_time(void)
{
    static const uint32_t rates[][2] = {{44100, 1}, {1411200, 256}, {1411200, 8193}, {1411200, 7}, {1193182, 24}};
    for (unsigned i = 0; i < G_N_ELEMENTS(rates); i++) {
        struct source a;
        int64_t passed = 0;
        vclock_fake_start();
        source_begin(&a, NULL, AUDIO_S16, 2, rates[i][0], rates[i][1], 0);
        vclock_fake_advance(777);
        play(&a);
        for (unsigned step = 1; step < 3000; step++) {
            int64_t ns = step % 97 * step % 1000003 * 31;
            vclock_fake_advance(ns);
            passed += ns;
            voice_sync(&a.voice);
            g_assert_cmpuint(a.taken, ==,
                             (uint64_t)((__int128)passed * rates[i][0] / ((__int128)rates[i][1] * NS_PER_SECOND)));
        }
        g_assert_cmpuint(a.most, <=, 1024);
        g_assert_cmpuint(a.taken, >, rates[i][0] / rates[i][1]);
        stop(&a);
        source_end(&a);
        g_assert_true(is_idle());
    }
}

static void test_events_are_in_time(void)
{
    struct source a;
    vclock_fake_start();
    source_begin(&a, NULL, AUDIO_S16, 2, 1411200, 64, 0);
    a.event_every = 100;
    play(&a);
    voice_set_event(&a.voice, 100);
    vclock_fake_advance(NS_PER_SECOND);
    g_assert_cmpuint(a.events->len, ==, 220);
    for (unsigned i = 0; i < a.events->len; i++) {
        int64_t exact = ((int64_t)(i + 1) * 100 * NS_PER_SECOND + 22049) / 22050; /* the first nanosecond */
        g_assert_cmpint(g_array_index(a.events, int64_t, i), ==, exact);
    }
    /* A guest that wants one for each frame does not get all of the host. */
    stop(&a);
    a.format.rate_num = 700000;
    a.format.rate_den = 1;
    voice_set_format(&a.voice, &a.format);
    a.event_every = 1;
    g_array_set_size(a.events, 0);
    play(&a);
    voice_set_event(&a.voice, 1);
    a.calls = a.taken = 0;
    vclock_fake_advance(10 * MS);
    voice_sync(&a.voice);
    g_assert_cmpuint(a.taken, ==, 7000);
    unsigned moments = 0;
    for (unsigned i = 1; i < a.events->len; i++)
        moments += g_array_index(a.events, int64_t, i) != g_array_index(a.events, int64_t, i - 1);
    g_assert_cmpuint(moments, <=, 500);
    source_end(&a);
}

static void test_rate_changes_while_it_plays(void)
{
    struct source a;
    vclock_fake_start();
    source_begin(&a, wav_begin(""), AUDIO_S16, 1, 11025, 1, 440);
    play(&a);
    vclock_fake_advance(NS_PER_SECOND);
    voice_sync(&a.voice);
    a.format.rate_num = 22050;
    voice_set_format(&a.voice, &a.format);
    vclock_fake_advance(NS_PER_SECOND);
    stop(&a);
    g_assert_cmpuint(a.taken, ==, 11025 + 22050);
    source_end(&a);
    struct wav_file wav = wav_end();
    g_assert_cmpuint(wav.frames, ==, 2 * 44100);
    g_assert_cmpfloat(wav_tone(&wav, 0, 440, 44100 + 882, 2 * 44100 - 882), >, 0.49);
    wav_forget(&wav);
}

/* What a card has no more frames for is silence, in its time. */
static void test_frames_that_are_not_there(void)
{
    struct source a;
    vclock_fake_start();
    source_begin(&a, wav_begin(""), AUDIO_U8, 1, 44100, 1, 440);
    a.ends_at = 22050;
    play(&a);
    vclock_fake_advance(NS_PER_SECOND);
    stop(&a);
    source_end(&a);
    struct wav_file wav = wav_end();
    g_assert_cmpuint(wav.frames, ==, 44100);
    g_assert_cmpfloat(wav_tone(&wav, 0, 440, 0, 22050), >, 0.49);
    for (unsigned i = 22050; i < 44100; i++)
        g_assert_cmpfloat(wav_sample(&wav, i, 0), ==, 0);
    wav_forget(&wav);
}

/* The thread was held up for long: a second of it is made up for, and the sound is not behind for ever. */
static void test_long_delay(void)
{
    struct source a;
    vclock_fake_start();
    source_begin(&a, NULL, AUDIO_S16, 2, 44100, 1, 0);
    play(&a);
    vtimer_cancel(a.voice.timer);
    vclock_fake_advance(60 * NS_PER_SECOND);
    voice_sync(&a.voice);
    g_assert_cmpuint(a.taken, <=, 44101);
    uint64_t was = a.taken;
    vclock_fake_advance(NS_PER_SECOND);
    voice_sync(&a.voice);
    g_assert_cmpuint(a.taken, >=, was + 44100);
    g_assert_cmpuint(a.taken, <=, was + 44101);
    source_end(&a);
}

static void test_saved_in_the_middle(void)
{
    struct source a, b;
    vclock_fake_start();
    source_begin(&a, NULL, AUDIO_S16, 2, 1411200, 70, 0);
    play(&a);
    a.event_every = 5000;
    voice_set_event(&a.voice, 5000);
    vclock_fake_advance(777777777);
    voice_sync(&a.voice);
    source_begin(&b, wav_begin(""), AUDIO_S16, 2, 1411200, 70, 0);
    b.taken = a.taken;
    b.event_every = 5000;
    b.voice.regs = a.voice.regs;
    g_assert_true(voice_is_sane(&b.voice));
    voice_after_load(&b.voice);
    vclock_fake_advance(3333333333);
    voice_sync(&a.voice);
    voice_sync(&b.voice);
    g_assert_cmpuint(a.taken, ==, b.taken);
    g_assert_cmpint(g_array_index(a.events, int64_t, a.events->len - 1), ==,
                    g_array_index(b.events, int64_t, b.events->len - 1));
    g_assert_cmpuint(a.events->len, ==, a.taken / 5000);

    const struct voice_regs good = b.voice.regs;
#define REFUSED(member, value) \
    do { \
        b.voice.regs = good; \
        b.voice.regs.member = (value); \
        g_assert_false(voice_is_sane(&b.voice)); \
    } while (0)
    REFUSED(rate_num, 0);
    REFUSED(rate_den, 0);
    REFUSED(rate_num, UINT32_MAX);
    REFUSED(rate_den, UINT32_MAX);
    REFUSED(taken, good.rate_num);
    REFUSED(event_in, UINT64_MAX);
    REFUSED(epoch, vclock_now() + 1);
    REFUSED(epoch, INT64_MIN);
    b.voice.regs = good;
    g_assert_true(voice_is_sane(&b.voice));
    source_end(&a);
    source_end(&b);
    struct wav_file wav = wav_end();
    wav_forget(&wav);
}

/* The file is whole at any moment, not only at the end. */
static void test_wav_is_whole_while_it_grows(void)
{
    struct source a;
    vclock_fake_start();
    source_begin(&a, wav_begin(",out.format=u8"), AUDIO_U8, 1, 44100, 1, 440);
    play(&a);
    vclock_fake_advance(NS_PER_SECOND);
    for (unsigned tries = 0; tries < 2000; tries++) {
        gchar *text;
        gsize len;
        uint32_t data;
        g_usleep(1000);
        g_assert_true(g_file_get_contents(wav_path, &text, &len, NULL));
        memcpy(&data, text + 40, 4);
        g_free(text);
        if (len > 44 + 80000 && data == len - 44)
            break;
        g_assert_cmpuint(tries, <, 1999);
    }
    struct wav_file wav = wav_read(wav_path);
    g_assert_cmpuint(wav.frames, >=, 44100 * 95 / 100);
    g_assert_cmpuint(wav.bits, ==, 8);
    g_assert_cmpuint(wav.data[0], ==, 128);
    wav_forget(&wav);
    source_end(&a);
    wav = wav_end();
    g_assert_cmpuint(wav.frames, ==, 44100);
    wav_forget(&wav);
}

static gpointer drain(gpointer opaque)
{
    int fd = *(int *)opaque;
    char bytes[65536];
    uint64_t *all = g_new0(uint64_t, 1);
    ssize_t some;
    while ((some = read(fd, bytes, sizeof(bytes))) > 0)
        *all += (uint64_t)some;
    return all;
}

/* What cannot be written yet waits, up to a bound; time does not. */
static void test_slow_file(void)
{
    struct source a;
    vclock_fake_start();
    wav_path = wav_path ? wav_path : g_strdup_printf("%s/ringer-test-%d.wav", g_get_tmp_dir(), (int)getpid());
    unlink(wav_path);
    g_assert_cmpint(mkfifo(wav_path, 0600), ==, 0);
    int fd = open(wav_path, O_RDONLY | O_NONBLOCK);
    g_assert_cmpint(fd, >=, 0);
    source_begin(&a, wav_begin(",out.frequency=192000,out.format=s32"), AUDIO_S16, 1, 44100, 1, 440);
    play(&a);
    vclock_fake_advance(20 * NS_PER_SECOND);
    stop(&a);
    g_assert_cmpuint(a.taken, ==, 20 * 44100);
    source_end(&a);
    fcntl(fd, F_SETFL, 0);
    GThread *reader = g_thread_new("drain", drain, &fd);
    audiodev_close_all();
    uint64_t *all = g_thread_join(reader);
    g_assert_cmpuint(*all, >, 7u << 20);
    g_assert_cmpuint(*all, <, 17u << 20); /* of 30,720,000 bytes */
    g_free(all);
    close(fd);
    unlink(wav_path);
}

static void refused(const char *text, const char *why)
{
    GError *error = NULL;
    struct keyvalues *list = keyvalues_parse(text, "-audiodev", "driver", &error);
    g_assert_no_error(error);
    g_assert_null(audiodev_new(list, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, why));
    g_error_free(error);
    keyvalues_free(list);
}

static void test_options(void)
{
    GError *error = NULL;
    struct keyvalues *list = keyvalues_parse("{\"driver\": \"none\", \"id\": \"a\", \"out\": {\"frequency\": 48000}}",
                                             "-audiodev", "driver", &error);
    struct audiodev *audiodev = audiodev_new(list, &error);
    g_assert_no_error(error);
    g_assert_null(audio_open(audiodev, "x", NULL, NULL));
    keyvalues_free(list);
    refused("none,id=a", "Duplicate ID 'a'");
    refused("none", "'id' is missing");
    refused("loud,id=b", "there is no sound back end 'loud'");
    refused("id=b", "'driver' is missing");
    refused("none,id=b,path=x", "Invalid parameter 'path'");
    refused("wav,id=b,out.frequency=12", "out.frequency= is a number from 8000");
    refused("wav,id=b,out.channels=6", "out.channels=");
    refused("wav,id=b,out.format=f32", "out.format= is u8, s16 or s32");
    refused("wav,id=b,path=/dev/full", "cannot write '/dev/full'");
    refused("wav,id=b,path=/nowhere/x.wav", "cannot write '/nowhere/x.wav'");
    g_assert_null(audiodev_find("b"));
    audiodev_close_all();
    g_assert_null(audiodev_find("a"));
}

#define TEST(name) g_test_add_func("/audio/" #name, test_##name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(same_rate_is_exact);
    TEST(rates_are_converted);
    TEST(voices_are_mixed);
    TEST(sessions_end);
    TEST(position_is_virtual_time);
    TEST(events_are_in_time);
    TEST(rate_changes_while_it_plays);
    TEST(frames_that_are_not_there);
    TEST(long_delay);
    TEST(saved_in_the_middle);
    TEST(wav_is_whole_while_it_grows);
    TEST(slow_file);
    TEST(options);
    return g_test_run();
}
