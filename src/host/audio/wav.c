/* -audiodev wav: what is played, into a RIFF file of PCM samples.
 *
 * The file is written by a thread of its own: a slow disk delays no guest. What it cannot keep up with, and what a full
 * one has no room for, is left out. After each piece the sizes in the file's head are put right, so that it is a whole
 * file whenever this program ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "audio_internal.h"
#include "files.h"
#include "log.h"

#define WAITING_MAX (8u << 20)  /* bytes */
#define DATA_MAX    0xfffff000u /* sizes in the head have 32 bits */

struct wav_head {
    char riff[4];
    uint32_t riff_size; /* of what follows */
    char wave[4], fmt[4];
    uint32_t fmt_size;
    uint16_t tag, channels; /* 1: PCM */
    uint32_t frequency, bytes_per_second;
    uint16_t frame_size, bits;
    char data[4];
    uint32_t data_size;
};

struct wav {
    struct audio_sink sink; /* first */
    char *path;
    int fd;
    struct wav_head head; /* the writer's */
    GThread *thread;      /* NULL: nothing has been played */
    bool fails;           /* there was no thread to be had */
    GMutex mutex;
    GCond more;
    GByteArray *waiting; /* these under the mutex */
    bool ends;
    uint64_t lost;
};

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t some = write(fd, bytes, len);
        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            return false;
        bytes += some;
        len -= (size_t)some;
    }
    return true;
}

/* Where it cannot be changed any more, in a pipe, it stays as it is. */
static void sizes_update(struct wav *wav)
{
    uint32_t riff = wav->head.riff_size, data = wav->head.data_size;
    if (pwrite(wav->fd, &riff, 4, offsetof(struct wav_head, riff_size)) == 4)
        (void)!pwrite(wav->fd, &data, 4, offsetof(struct wav_head, data_size));
}

/* False: no more fits. */
static bool piece_write(struct wav *wav, const GByteArray *bytes)
{
    size_t len = MIN(bytes->len, DATA_MAX - wav->head.data_size);
    len -= len % wav->head.frame_size;
    if (!write_all(wav->fd, bytes->data, len)) {
        log_user("-audiodev wav: cannot write '%s': %s", wav->path, g_strerror(errno));
        return false;
    }
    wav->head.data_size += (uint32_t)len;
    wav->head.riff_size += (uint32_t)len;
    sizes_update(wav);
    if (len < bytes->len)
        log_user("-audiodev wav: '%s' is as long as such a file can be", wav->path);
    return len == bytes->len;
}

static gpointer writer_run(gpointer opaque)
{
    struct wav *wav = opaque;
    bool fails = false;
    g_mutex_lock(&wav->mutex);
    while (!wav->ends || wav->waiting->len) {
        if (!wav->waiting->len) {
            g_cond_wait(&wav->more, &wav->mutex);
            continue;
        }
        GByteArray *bytes = wav->waiting;
        wav->waiting = g_byte_array_new();
        g_mutex_unlock(&wav->mutex);
        fails = fails || !piece_write(wav, bytes);
        g_byte_array_unref(bytes);
        g_mutex_lock(&wav->mutex);
    }
    g_mutex_unlock(&wav->mutex);
    return NULL;
}

static void wav_write(struct audio_sink *sink, const void *frames, size_t bytes)
{
    struct wav *wav = (struct wav *)sink;
    if (wav->fails)
        return;
    if (!wav->thread) {
        GError *error = NULL;
        wav->thread = g_thread_try_new("wav", writer_run, wav, &error);
        if (!wav->thread) {
            log_user("-audiodev wav: nothing is written to '%s': %s", wav->path, error->message);
            g_error_free(error);
            wav->fails = true;
            return;
        }
    }
    g_mutex_lock(&wav->mutex);
    if (wav->waiting->len + bytes <= WAITING_MAX)
        g_byte_array_append(wav->waiting, frames, (guint)bytes);
    else
        wav->lost += bytes;
    g_cond_signal(&wav->more);
    g_mutex_unlock(&wav->mutex);
}

static void wav_close(struct audio_sink *sink)
{
    struct wav *wav = (struct wav *)sink;
    if (wav->thread) {
        g_mutex_lock(&wav->mutex);
        wav->ends = true;
        g_cond_signal(&wav->more);
        g_mutex_unlock(&wav->mutex);
        g_thread_join(wav->thread);
    }
    if (wav->lost)
        log_user("-audiodev wav: %llu frames came faster than '%s' takes them and are not in it",
                 (unsigned long long)(wav->lost / wav->head.frame_size), wav->path);
    close(wav->fd);
    g_byte_array_unref(wav->waiting);
    g_mutex_clear(&wav->mutex);
    g_cond_clear(&wav->more);
    g_free(wav->path);
    g_free(wav);
}

struct audio_sink *wav_open(const char *path, const struct audio_output *output, GError **error)
{
    static const struct audio_sink_ops ops = {wav_write, wav_close};
    unsigned size = output_frame_size(output);
    const struct wav_head head = {.riff = {'R', 'I', 'F', 'F'},
                                  .riff_size = sizeof(head) - 8,
                                  .wave = {'W', 'A', 'V', 'E'},
                                  .fmt = {'f', 'm', 't', ' '},
                                  .fmt_size = 16,
                                  .tag = 1,
                                  .channels = output->channels,
                                  .frequency = output->frequency,
                                  .bytes_per_second = output->frequency * size,
                                  .frame_size = (uint16_t)size,
                                  .bits = (uint16_t)(8 * size / output->channels),
                                  .data = {'d', 'a', 't', 'a'}};
    int fd = files_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || !write_all(fd, (const uint8_t *)&head, sizeof(head))) {
        AUDIO_SAY("cannot write '%s': %s", path, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct wav *wav = g_new0(struct wav, 1);
    wav->sink.ops = &ops;
    wav->path = g_strdup(path);
    wav->fd = fd;
    wav->head = head;
    wav->waiting = g_byte_array_new();
    g_mutex_init(&wav->mutex);
    g_cond_init(&wav->more);
    return &wav->sink;
}
