/* An OPL3 on a card: its ports, timers and stream (YMF262 Application Manual, "Status register" and "Timers").
 *
 * The chip's samples are counted from the beginning of virtual time. A register is written at the sample that is due
 * then, which is when all samples before it are made: programs that set registers as time goes by are heard exactly.
 * While nothing sounds nothing is computed. The timers are clocks to look at: no card has their interrupt on a wire.
 */
#include "opl_card.h"

#include "audio.h"
#include "ioport.h"
#include "opl3.h"
#include "vclock.h"

#define AT_ONCE     256
#define REST        (OPL3_CLOCK / OPL3_DIVIDER / 8) /* samples of silence until it is at rest */
#define PORTS       4
#define REG_TIMER   0x02u /* and 03h */
#define REG_CONTROL 0x04u

#define CONTROL_RESET 0x80u
#define STATUS_IRQ    0x80u

struct opl_card_regs {
    uint16_t address;
    uint8_t flags;  /* of the status: 40h, 20h */
    int64_t due[2]; /* when a timer overflows; 0: it stands */
};

struct opl_card {
    struct opl_card_regs regs;
    struct opl3 chip;
    struct audio_stream *stream; /* NULL: nobody hears it */
    bool is_playing;
    uint64_t sounded; /* the sample at which something was heard last */
    struct {
        uint16_t first, count;
    } ports[PORTS];
    unsigned port_count;
};

/* --- Samples --- */

static uint64_t sample_at(int64_t now)
{
    return (uint64_t)((__int128)now * OPL3_CLOCK / ((__int128)OPL3_DIVIDER * NS_PER_SECOND));
}

static void samples_make(struct opl_card *opl, uint64_t count)
{
    int16_t frames[AT_ONCE][2];
    while (count > 0) {
        unsigned some = (unsigned)MIN(count, AT_ONCE);
        for (unsigned i = 0; i < some; i++)
            opl3_sample(&opl->chip, frames[i]);
        audio_write(opl->stream, frames, some);
        count -= some;
    }
}

static void advance(struct opl_card *opl)
{
    uint64_t now = sample_at(vclock_now()), *clock = &opl->chip.regs.clock;
    if (now < *clock) /* a saved machine was loaded */
        *clock = now;
    if (now - *clock > OPL3_CLOCK / OPL3_DIVIDER || !opl->is_playing) /* the host had us stand; nothing sounds */
        opl3_skip(&opl->chip, now - *clock);
    else
        samples_make(opl, now - *clock);
}

static void play_if_sounding(struct opl_card *opl)
{
    if (!opl->stream || opl3_is_silent(&opl->chip))
        return;
    opl->sounded = opl->chip.regs.clock;
    if (!opl->is_playing)
        audio_set_playing(opl->stream, true);
    opl->is_playing = true;
}

static void stream_sync(void *opaque)
{
    struct opl_card *opl = opaque;
    advance(opl);
    play_if_sounding(opl);
    if (opl->chip.regs.clock - MIN(opl->sounded, opl->chip.regs.clock) < REST)
        return;
    opl->is_playing = false;
    audio_set_playing(opl->stream, false);
}

/* --- Timers --- */

/* 4 samples for the first one's count, 16 for the second's. */
static int64_t period(const struct opl_card *opl, unsigned n)
{
    int64_t samples = (256 - opl->chip.regs.reg[REG_TIMER + n]) * (n ? 16 : 4);
    return samples * OPL3_DIVIDER * NS_PER_SECOND / OPL3_CLOCK;
}

static void timers_look(struct opl_card *opl)
{
    int64_t now = vclock_now();
    for (unsigned n = 0; n < 2; n++) {
        int64_t *due = &opl->regs.due[n];
        if (!*due || now < *due)
            continue;
        *due += (1 + (now - *due) / period(opl, n)) * period(opl, n);
        if (!(opl->chip.regs.reg[REG_CONTROL] & 0x40 >> n)) /* masked */
            opl->regs.flags |= (uint8_t)(0x40 >> n);
    }
}

static void control_write(struct opl_card *opl, uint8_t value)
{
    timers_look(opl);
    if (value & CONTROL_RESET) {
        opl->regs.flags = 0;
        return;
    }
    opl3_write(&opl->chip, REG_CONTROL, value);
    opl->regs.flags &= (uint8_t)~value;
    for (unsigned n = 0; n < 2; n++) {
        if (!(value >> n & 1))
            opl->regs.due[n] = 0;
        else if (!opl->regs.due[n])
            opl->regs.due[n] = vclock_now() + period(opl, n);
    }
}

/* --- Ports --- */

static uint32_t opl_read(void *opaque, uint16_t port, unsigned size)
{
    struct opl_card *opl = opaque;
    timers_look(opl);
    return port & 1 ? 0 : opl->regs.flags | (opl->regs.flags ? STATUS_IRQ : 0);
}

static void opl_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct opl_card *opl = opaque;
    if (!(port & 1)) {
        opl->regs.address = (uint16_t)((port & 2) << 7 | (value & 0xff));
        return;
    }
    if (opl->regs.address == REG_CONTROL) {
        control_write(opl, (uint8_t)value);
        return;
    }
    timers_look(opl);
    advance(opl);
    opl3_write(&opl->chip, opl->regs.address, (uint8_t)value);
    play_if_sounding(opl);
}

static const struct io_ops opl_io = {.widths = 1, .read = opl_read, .write = opl_write};

/* Whose bit 1 is not its second half's: base + 8 and 9 of a Sound Blaster. */
void opl_card_add_ports(struct opl_card *opl, uint16_t first, unsigned count)
{
    if (opl->port_count == PORTS || !ioport_is_free(first, (uint16_t)count))
        return;
    opl->ports[opl->port_count].first = first;
    opl->ports[opl->port_count++].count = (uint16_t)count;
    ioport_register(first, (uint16_t)count, &opl_io, opl, "opl3");
}

/* --- Life --- */

void opl_card_set_volume(struct opl_card *opl, uint32_t left, uint32_t right)
{
    advance(opl);
    audio_set_volume(opl->stream, left, right);
}

void opl_card_reset(struct opl_card *opl)
{
    advance(opl);
    uint64_t clock = opl->chip.regs.clock;
    opl3_reset(&opl->chip);
    opl->chip.regs.clock = clock;
    opl->regs = (struct opl_card_regs){0};
}

#define F(member) STATE_FIELD(opl_card_regs, member)
static const struct state_field opl_card_fields[] = {F(address), F(flags), F(due)};
#undef F
static const struct state_layout opl_card_layout = STATE_LAYOUT(1, opl_card_regs, opl_card_fields);

void opl_card_pieces(struct opl_card *opl, struct state_pieces *pieces)
{
    state_add(pieces, "opl", 0, &opl_card_layout, &opl->regs);
    state_add(pieces, "opl3", 0, &opl3_layout, &opl->chip.regs);
}

void opl_card_before_save(struct opl_card *opl)
{
    advance(opl);
    timers_look(opl);
}

bool opl_card_after_load(struct opl_card *opl)
{
    const struct opl_card_regs *regs = &opl->regs;
    bool due_is_sane = true;
    for (unsigned n = 0; n < 2; n++)
        due_is_sane &= regs->due[n] >= 0 && regs->due[n] <= vclock_now() + NS_PER_SECOND;
    if (regs->address > 0x1ff || (regs->flags & ~0x60) || !due_is_sane || !opl3_is_sane(&opl->chip))
        return false;
    opl3_after_load(&opl->chip);
    if (opl->is_playing)
        audio_set_playing(opl->stream, false);
    opl->is_playing = false;
    play_if_sounding(opl);
    return true;
}

void opl_card_dump(struct opl_card *opl, GString *out)
{
    unsigned keys = 0, sounding = 0;
    for (unsigned n = 0; n < OPL3_SLOTS; n++) {
        keys += opl->chip.regs.key[n] != 0;
        sounding += opl->chip.regs.env[n] != OPL3_ENV_OFF;
    }
    g_string_append_printf(out, "opl3: %s, of %u operators %u have their key down, %u sound; flags %02x\n",
                           opl->chip.regs.reg[0x105] & 1 ? "OPL3" : "OPL2", OPL3_SLOTS, keys, sounding,
                           opl->regs.flags);
}

struct opl_card *opl_card_new(struct audiodev *audiodev)
{
    static const struct audio_front front = {stream_sync};
    static const struct audio_format format = {AUDIO_S16, 2, OPL3_CLOCK, OPL3_DIVIDER};
    struct opl_card *opl = g_new0(struct opl_card, 1);
    opl->stream = audio_open(audiodev, "opl3", &front, opl);
    audio_set_format(opl->stream, &format);
    opl3_reset(&opl->chip);
    return opl;
}

void opl_card_free(struct opl_card *opl)
{
    for (unsigned i = 0; i < opl->port_count; i++)
        ioport_unregister(opl->ports[i].first, opl->ports[i].count);
    audio_close(opl->stream);
    g_free(opl);
}
