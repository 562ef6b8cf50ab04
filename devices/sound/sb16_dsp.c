/* Sound Blaster 16: its DSP's commands (Sound Blaster Series Hardware Programming Guide, chapter 6). A command is a
 * byte and up to three arguments; answers wait in a buffer. It never is busy.
 */
#include "sb16.h"

#include <string.h>

#define RESET_ANSWER 0xaau
#define AUTO         0x04u /* of Bxh, Cxh */
#define RECORD       0x08u
#define MODE_STEREO  0x20u
#define MODE_SIGNED  0x10u
#define PRO_STEREO   0x02u /* mixer register 0Eh */

static void answer(struct sb16 *sb, uint8_t value)
{
    struct sb16_regs *regs = &sb->regs;
    if (regs->out_count < SB16_OUT_MAX)
        regs->out[(regs->out_first + regs->out_count++) % SB16_OUT_MAX] = value;
}

/* --- Transfers --- */

static uint16_t low_high(const struct sb16_regs *regs, unsigned first)
{
    return (uint16_t)(regs->argument[first] | regs->argument[first + 1] << 8);
}

/* units: bytes, or words if it is_16; all but one of them. */
static void begin(struct sb16 *sb, enum sb16_mode mode, bool is_16, uint16_t units, bool is_auto)
{
    struct sb16_regs *regs = &sb->regs;
    bool goes_on = sb->play.regs.running && !regs->is_recording && mode != SB16_IDLE;
    regs->mode = (uint8_t)mode;
    regs->is_16 = is_16;
    regs->block = regs->left = (units + 1u) * (is_16 ? 2 : 1);
    regs->is_auto = is_auto;
    regs->is_stereo = regs->is_signed = regs->is_paused = regs->ends_auto = regs->is_recording = false;
    regs->hold = 0;
    if (!goes_on)
        memset(regs->held, is_16 ? 0 : 0x80, sizeof(regs->held));
}

/* Commands from before the 16: 8 bits, unsigned, stereo by the mixer. */
static void begin_8(struct sb16 *sb, uint16_t units, bool is_auto, bool is_recording)
{
    begin(sb, SB16_PCM, false, units, is_auto);
    sb->regs.is_recording = is_recording;
    sb->regs.is_stereo = sb->regs.mixer[0x0e] & PRO_STEREO;
}

static void dsp_single(struct sb16 *sb)
{
    begin_8(sb, low_high(&sb->regs, 0), false, false);
}

static void dsp_auto(struct sb16 *sb)
{
    begin_8(sb, sb->regs.block_size, true, false);
}

static void dsp_single_fast(struct sb16 *sb)
{
    begin_8(sb, sb->regs.block_size, false, false);
}

static void dsp_record(struct sb16 *sb)
{
    begin_8(sb, low_high(&sb->regs, 0), false, true);
}

static void dsp_record_auto(struct sb16 *sb)
{
    begin_8(sb, sb->regs.block_size, true, true);
}

static void dsp_record_fast(struct sb16 *sb)
{
    begin_8(sb, sb->regs.block_size, false, true);
}

/* 16h, 17h: 2 bits; 74h, 75h: 4; 76h, 77h: 2.6; odd ones begin with a sample. 1Fh, 7Dh, 7Fh: the same, again and again.
 */
static void dsp_adpcm(struct sb16 *sb)
{
    uint8_t command = sb->regs.command;
    bool is_auto = command & 8;
    begin(sb, SB16_ADPCM, false, is_auto ? sb->regs.block_size : low_high(&sb->regs, 0), is_auto);
    sb->adpcm.bits = command < 0x20 ? 2 : (command & 2) ? 3 : 4;
    sb->adpcm.left = 0;
    if (command & 1)
        sb->adpcm.needs_reference = true;
}

static void dsp_silence(struct sb16 *sb)
{
    begin(sb, SB16_SILENCE, false, low_high(&sb->regs, 0), false);
}

static void dsp_transfer(struct sb16 *sb)
{
    struct sb16_regs *regs = &sb->regs;
    begin(sb, SB16_PCM, regs->command < 0xc0, low_high(regs, 1), regs->command & AUTO);
    regs->is_recording = regs->command & RECORD;
    regs->is_stereo = regs->argument[0] & MODE_STEREO;
    regs->is_signed = regs->argument[0] & MODE_SIGNED;
}

static void dsp_pause(struct sb16 *sb)
{
    struct sb16_regs *regs = &sb->regs;
    const struct voice *voice = &sb->play;
    if (regs->mode == SB16_IDLE || regs->is_paused)
        return;
    regs->is_paused = true;
    if (!regs->is_recording) /* as after an end */
        regs->hold = voice->regs.rate_num / voice->regs.rate_den / 20 + 1;
}

static void dsp_continue(struct sb16 *sb)
{
    sb->regs.is_paused = false;
    if (sb->regs.mode != SB16_IDLE)
        sb->regs.hold = 0;
}

static void dsp_continue_auto(struct sb16 *sb)
{
    if (sb->regs.mode != SB16_IDLE)
        sb->regs.is_auto = true;
}

static void dsp_exit_auto(struct sb16 *sb)
{
    sb->regs.ends_auto = sb->regs.mode != SB16_IDLE && sb->regs.is_auto;
}

/* --- Settings and answers --- */

static void dsp_direct(struct sb16 *sb)
{
    sb16_dac_write(&sb->dac, sb->regs.argument[0]);
}

static void dsp_direct_record(struct sb16 *sb)
{
    answer(sb, 0x80);
}

static void dsp_time_constant(struct sb16 *sb)
{
    sb->regs.time_constant = sb->regs.argument[0];
    sb->regs.by_rate = false;
}

static void dsp_rate(struct sb16 *sb) /* high byte first */
{
    sb->regs.rate = (uint16_t)(sb->regs.argument[0] << 8 | sb->regs.argument[1]);
    sb->regs.by_rate = true;
}

static void dsp_block_size(struct sb16 *sb)
{
    sb->regs.block_size = low_high(&sb->regs, 0);
}

static void dsp_speaker(struct sb16 *sb) /* all that it does on a 16 is to be remembered */
{
    sb->regs.speaker = sb->regs.command == 0xd1;
}

static void dsp_speaker_status(struct sb16 *sb)
{
    answer(sb, sb->regs.speaker ? 0xff : 0);
}

static void dsp_identify(struct sb16 *sb)
{
    answer(sb, (uint8_t)~sb->regs.argument[0]);
}

static void dsp_version(struct sb16 *sb)
{
    answer(sb, (uint8_t)(sb->version >> 8));
    answer(sb, (uint8_t)sb->version);
}

/* A byte by DMA that depends on all those before: a copy protection of old drivers. */
static void dsp_identify_dma(struct sb16 *sb)
{
    static const int16_t bit[4][9] = {{1, -2, -4, 8, -16, 32, 64, -128, -106},
                                      {-1, 2, -4, 8, 16, -32, 64, -128, 165},
                                      {-1, 2, 4, -8, 16, -32, -64, 128, -151},
                                      {1, -2, 4, -8, -16, 32, -64, 128, 90}};
    struct sb16_regs *regs = &sb->regs;
    for (unsigned i = 0; i < 8; i++) {
        if (regs->argument[0] >> i & 1)
            regs->e2 = (uint8_t)(regs->e2 + bit[regs->e2_step % 4][i]);
    }
    regs->e2 = (uint8_t)(regs->e2 + bit[regs->e2_step % 4][8]);
    regs->e2_step++;
    regs->e2_pending = true;
    irq_set(&sb->bus_request, true);
}

static void dsp_copyright(struct sb16 *sb)
{
    static const char text[] = "COPYRIGHT (C) CREATIVE TECHNOLOGY LTD, 1992.";
    for (unsigned i = 0; i < sizeof(text); i++)
        answer(sb, (uint8_t)text[i]);
}

static void dsp_test_write(struct sb16 *sb)
{
    sb->regs.test = sb->regs.argument[0];
}

static void dsp_test_read(struct sb16 *sb)
{
    answer(sb, sb->regs.test);
}

static void dsp_interrupt(struct sb16 *sb)
{
    sb->regs.interrupt |= sb->regs.command == 0xf2 ? SB16_IRQ_8 : SB16_IRQ_16;
    sb16_update_irq(sb);
}

static void dsp_zero(struct sb16 *sb)
{
    answer(sb, 0);
}

static void dsp_midi_uart(struct sb16 *sb) /* until the next reset all bytes are MIDI's */
{
    sb->regs.midi_uart = true;
}

static void dsp_nothing(struct sb16 *sb)
{
}

static const struct command {
    uint8_t first, last, arguments;
    void (*run)(struct sb16 *sb);
} commands[] = {
    {0x04, 0x04, 1, dsp_nothing}, /* the signal processor that few cards have: its parameters */
    {0x05, 0x05, 2, dsp_nothing},       {0x08, 0x08, 1, dsp_nothing},     {0x0e, 0x0e, 2, dsp_nothing},
    {0x0f, 0x0f, 1, dsp_zero},          {0x10, 0x10, 1, dsp_direct},      {0x14, 0x15, 2, dsp_single},
    {0x16, 0x17, 2, dsp_adpcm},         {0x1c, 0x1c, 0, dsp_auto},        {0x1f, 0x1f, 0, dsp_adpcm},
    {0x20, 0x20, 0, dsp_direct_record}, {0x24, 0x24, 2, dsp_record},      {0x2c, 0x2c, 0, dsp_record_auto},
    {0x34, 0x37, 0, dsp_midi_uart},     {0x38, 0x38, 1, dsp_nothing}, /* a byte of MIDI */
    {0x40, 0x40, 1, dsp_time_constant}, {0x41, 0x42, 2, dsp_rate},        {0x45, 0x45, 0, dsp_continue_auto},
    {0x47, 0x47, 0, dsp_continue_auto}, {0x48, 0x48, 2, dsp_block_size},  {0x74, 0x77, 2, dsp_adpcm},
    {0x7d, 0x7d, 0, dsp_adpcm},         {0x7f, 0x7f, 0, dsp_adpcm},       {0x80, 0x80, 2, dsp_silence},
    {0x90, 0x90, 0, dsp_auto},          {0x91, 0x91, 0, dsp_single_fast}, {0x98, 0x98, 0, dsp_record_auto},
    {0x99, 0x99, 0, dsp_record_fast},   {0xb0, 0xcf, 3, dsp_transfer},    {0xd0, 0xd0, 0, dsp_pause},
    {0xd1, 0xd1, 0, dsp_speaker},       {0xd3, 0xd3, 0, dsp_speaker},     {0xd4, 0xd4, 0, dsp_continue},
    {0xd5, 0xd5, 0, dsp_pause},         {0xd6, 0xd6, 0, dsp_continue},    {0xd8, 0xd8, 0, dsp_speaker_status},
    {0xd9, 0xda, 0, dsp_exit_auto},     {0xe0, 0xe0, 1, dsp_identify},    {0xe1, 0xe1, 0, dsp_version},
    {0xe2, 0xe2, 1, dsp_identify_dma},  {0xe3, 0xe3, 0, dsp_copyright},   {0xe4, 0xe4, 1, dsp_test_write},
    {0xe8, 0xe8, 0, dsp_test_read},     {0xf2, 0xf3, 0, dsp_interrupt},   {0xf8, 0xf8, 0, dsp_zero},
    {0xf9, 0xf9, 1, dsp_zero},          {0xfb, 0xfd, 0, dsp_zero},
};

static const struct command *find(uint8_t code)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (code >= commands[i].first && code <= commands[i].last)
            return &commands[i];
    }
    return NULL;
}

/* --- Ports --- */

void sb16_dsp_write(struct sb16 *sb, uint8_t value)
{
    struct sb16_regs *regs = &sb->regs;
    const struct command *command;
    if (regs->midi_uart || regs->reset_high)
        return;
    if (regs->wanted) {
        regs->argument[regs->arguments++] = value;
        if (--regs->wanted)
            return;
        command = find(regs->command);
    } else {
        command = find(value);
        if (!command) /* as the card: not understood, and forgotten */
            return;
        regs->command = value;
        regs->arguments = 0;
        if ((regs->wanted = command->arguments))
            return;
    }
    command->run(sb);
    sb16_dma_update(sb);
}

uint8_t sb16_dsp_read(struct sb16 *sb)
{
    struct sb16_regs *regs = &sb->regs;
    uint8_t value = regs->out[regs->out_first];
    if (regs->out_count) { /* the last one is read again and again */
        if (--regs->out_count)
            regs->out_first = (uint8_t)((regs->out_first + 1) % SB16_OUT_MAX);
    }
    return value;
}

static void mailbox_clear(struct sb16 *sb)
{
    sb->regs.wanted = sb->regs.arguments = 0;
    sb->regs.out_count = sb->regs.out_first = 0;
}

void sb16_dsp_reset(struct sb16 *sb)
{
    struct sb16_regs *regs = &sb->regs;
    mailbox_clear(sb);
    regs->midi_uart = regs->speaker = regs->by_rate = false;
    regs->e2 = RESET_ANSWER;
    regs->e2_step = 0;
    regs->time_constant = 0x83; /* 8000 */
    regs->rate = 11025;
    regs->block_size = 0x07ff;
    regs->is_16 = regs->is_stereo = regs->is_signed = false;
    regs->block = 0;
    memset(regs->held, 0x80, sizeof(regs->held));
    sb->adpcm = (struct sb16_adpcm){.bits = 4, .sample = 0x80};
    regs->interrupt = 0;
    sb16_update_irq(sb);
    sb16_dma_stop(sb);
}

/* 2x6h: a one, then a zero. */
void sb16_dsp_reset_write(struct sb16 *sb, uint8_t value)
{
    bool was = sb->regs.reset_high;
    sb->regs.reset_high = value & 1;
    if (sb->regs.reset_high && !was)
        sb16_dsp_reset(sb);
    if (!sb->regs.reset_high && was) {
        mailbox_clear(sb);
        answer(sb, RESET_ANSWER);
    }
}

bool sb16_dsp_is_sane(const struct sb16 *sb)
{
    const struct sb16_regs *regs = &sb->regs;
    const struct command *command = regs->wanted ? find(regs->command) : NULL;
    return regs->out_first < SB16_OUT_MAX && regs->out_count <= SB16_OUT_MAX && regs->interrupt <= 3 &&
           (!regs->wanted || (command && regs->arguments + regs->wanted == command->arguments));
}
