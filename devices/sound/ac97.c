/* Intel 82801AA AC'97 with a SigmaTel STAC9700: the card and its registers (82801AA data sheet, chapter 9; AC'97
 * Component Specification 2.1, 6.3).
 *
 * BAR 0 is the codec's (NAM), BAR 1 the bus master's (NABM):
 *   00h, 10h, 20h  PCM in, PCM out, microphone: list, current and last index, status, samples left, next index, control
 *   2Ch, 30h, 34h  global control, global status, codec access semaphore
 * What is heard is PCM out, behind its volume and the master's. Recording is silence.
 */
#include "ac97.h"

#include <math.h>
#include <string.h>

#define NAM_BYTES  0x100
#define NABM_BYTES 0x40

enum { BDBAR = 0, CIV = 4, LVI = 5, SR = 6, PICB = 8, PIV = 10, CR = 11, GLOB_CNT = 0x2c, GLOB_STA = 0x30, CAS = 0x34 };

#define GLOB_CNT_COLD 0x02u /* as 0: the codec is in reset */
#define GLOB_CNT_BITS 0x3fu
#define GLOB_STA_PCR  0x100u /* the codec is ready */
static const uint8_t global_bit[AC97_CHANNELS] = {[AC97_IN] = 0x20, [AC97_OUT] = 0x40, [AC97_MIC] = 0x80};

bool ac97_interrupts(const struct ac97 *ac, unsigned n)
{
    uint8_t status = ac->regs.status[n], control = ac->regs.control[n];
    return ((status & SR_LVBCI) && (control & CR_LVBIE)) || ((status & SR_BCIS) && (control & CR_IOCE));
}

void ac97_update_irq(struct ac97 *ac)
{
    pci_set_intx(&ac->pci,
                 ac97_interrupts(ac, AC97_IN) || ac97_interrupts(ac, AC97_OUT) || ac97_interrupts(ac, AC97_MIC));
}

/* --- The codec --- */

/* Which bits of a register are kept; the rest reads as 0. */
static const uint16_t nam_bits[64] = {
    [0x02 / 2] = 0x9f1f, [0x04 / 2] = 0x9f1f, [0x06 / 2] = 0x801f, [0x0a / 2] = 0x801e, [0x0c / 2] = 0x801f,
    [0x0e / 2] = 0x805f, [0x10 / 2] = 0x9f1f, [0x12 / 2] = 0x9f1f, [0x14 / 2] = 0x9f1f, [0x16 / 2] = 0x9f1f,
    [0x18 / 2] = 0x9f1f, [0x1a / 2] = 0x0707, [0x1c / 2] = 0x8f0f, [0x20 / 2] = 0xffff, [0x22 / 2] = 0x000f,
    [0x2a / 2] = 0x0009, [0x2c / 2] = 0xffff, [0x32 / 2] = 0xffff, [0x34 / 2] = 0xffff};

static void nam_reset(struct ac97_regs *regs)
{
    static const uint16_t preset[][2] = {{0x02, 0x8000}, {0x04, 0x8000}, {0x06, 0x8000}, {0x0c, 0x8008}, {0x0e, 0x8008},
                                         {0x10, 0x8808}, {0x12, 0x8808}, {0x14, 0x8808}, {0x16, 0x8808}, {0x18, 0x8808},
                                         {0x1c, 0x8000}, {0x26, 0x000f}, {0x28, 0x0009}, {0x2c, 48000},  {0x32, 48000},
                                         {0x34, 48000},  {0x7c, 0x8384}, {0x7e, 0x7600}};
    memset(regs->nam, 0, sizeof(regs->nam));
    for (unsigned i = 0; i < G_N_ELEMENTS(preset); i++)
        regs->nam[preset[i][0] / 2] = preset[i][1];
}

/* 5 bits, 1.5 dB each, from where nothing is taken away on. */
static double gain(unsigned value, unsigned full)
{
    return value > full ? pow(10, -1.5 * (value - full) / 20) : 1;
}

static void volume_apply(struct ac97 *ac)
{
    uint16_t master = ac->regs.nam[NAM_MASTER / 2], pcm = ac->regs.nam[NAM_PCM_OUT / 2];
    double is_on = (master | pcm) & 0x8000 ? 0 : AUDIO_VOLUME_MAX;
    audio_set_volume(ac->voice[AC97_OUT].stream,
                     (uint32_t)lrint(is_on * gain(master >> 8 & 31, 0) * gain(pcm >> 8 & 31, 8)),
                     (uint32_t)lrint(is_on * gain(master & 31, 0) * gain(pcm & 31, 8)));
}

static uint32_t nam_read(void *opaque, uint16_t port, unsigned size)
{
    struct ac97 *ac = opaque;
    unsigned at = port & (NAM_BYTES - 1);
    ac->regs.semaphore = false;
    uint16_t value = at < 0x80 ? ac->regs.nam[at / 2] : 0xffff;
    return size == 1 && (at & 1) ? value >> 8 : value;
}

static void nam_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct ac97 *ac = opaque;
    unsigned at = port & (NAM_BYTES - 1);
    ac->regs.semaphore = false;
    if (at >= 0x80)
        return;
    ac97_channels_sync(ac);
    uint16_t *reg = &ac->regs.nam[at / 2], word = (uint16_t)value;
    if (size == 1)
        word = at & 1 ? (uint16_t)((*reg & 0xff) | value << 8) : (uint16_t)((*reg & 0xff00) | (value & 0xff));
    if (at / 2 == 0)
        nam_reset(&ac->regs);
    else if (nam_bits[at / 2])
        *reg = word & nam_bits[at / 2];
    for (unsigned rate = NAM_DAC_RATE; rate <= NAM_MIC_RATE; rate += 2) {
        bool variable = ac->regs.nam[NAM_EXTENDED / 2] & (rate == NAM_MIC_RATE ? 8 : 1);
        if (at / 2 == rate / 2 && !variable) /* fixed */
            *reg = 48000;
    }
    volume_apply(ac);
    ac97_channels_update(ac);
}

/* --- The bus master --- */

static uint32_t global_status(const struct ac97 *ac)
{
    uint32_t value = ac->regs.global_control & GLOB_CNT_COLD ? GLOB_STA_PCR : 0;
    for (unsigned n = 0; n < AC97_CHANNELS; n++)
        value |= ac97_interrupts(ac, n) ? global_bit[n] : 0;
    return value;
}

static uint8_t byte_of(uint32_t value, unsigned n)
{
    return (uint8_t)(value >> 8 * n);
}

static uint8_t channel_read(const struct ac97_regs *regs, unsigned n, unsigned at)
{
    switch (at) {
    case BDBAR ... BDBAR + 3:
        return byte_of(regs->list[n], at);
    case CIV:
        return regs->current[n];
    case LVI:
        return regs->last[n];
    case SR:
        return regs->status[n];
    case PICB:
    case PICB + 1:
        return byte_of(regs->left[n], at - PICB);
    case PIV:
        return regs->prefetched[n];
    case CR:
        return regs->control[n];
    default:
        return 0;
    }
}

static uint32_t nabm_read(void *opaque, uint16_t port, unsigned size)
{
    struct ac97 *ac = opaque;
    struct ac97_regs *regs = &ac->regs;
    uint32_t value = 0;
    ac97_channels_sync(ac);
    for (unsigned i = 0; i < size; i++) {
        unsigned at = ((port & (NABM_BYTES - 1)) + i) % NABM_BYTES;
        uint8_t byte = 0;
        if (at < GLOB_CNT) {
            byte = at >> 4 < AC97_CHANNELS ? channel_read(regs, at >> 4, at & 15) : 0;
        } else if (at < GLOB_STA) {
            byte = byte_of(regs->global_control, at - GLOB_CNT);
        } else if (at < CAS) {
            byte = byte_of(global_status(ac), at - GLOB_STA);
        } else if (at == CAS) {
            byte = regs->semaphore;
            regs->semaphore = true;
        }
        value |= (uint32_t)byte << 8 * i;
    }
    return value;
}

static void control_write(struct ac97 *ac, unsigned n, uint8_t value)
{
    struct ac97_regs *regs = &ac->regs;
    if (value & CR_RR) {
        ac97_channel_reset(ac, n);
        return;
    }
    regs->control[n] = value & 0x1d;
    if (!(value & CR_RPBM))
        regs->status[n] |= SR_DCH;
    else if (!(regs->status[n] & SR_CELV))
        regs->status[n] &= (uint8_t)~SR_DCH;
    else if (regs->current[n] != regs->last[n]) /* moved while it was stopped */
        ac97_channel_extend(ac, n);
}

static void channel_write(struct ac97 *ac, unsigned n, unsigned at, uint8_t value)
{
    struct ac97_regs *regs = &ac->regs;
    switch (at) {
    case BDBAR ... BDBAR + 3:
        regs->list[n] = (regs->list[n] & ~(0xffu << 8 * at)) | (uint32_t)value << 8 * at;
        regs->list[n] &= ~7u;
        break;
    case LVI:
        regs->last[n] = value % AC97_BUFFERS;
        ac97_channel_extend(ac, n);
        break;
    case SR:
        regs->status[n] &= (uint8_t) ~(value & (SR_LVBCI | SR_BCIS | SR_FIFOE));
        break;
    case CR:
        control_write(ac, n, value);
        break;
    default:
        break;
    }
}

static void nabm_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct ac97 *ac = opaque;
    struct ac97_regs *regs = &ac->regs;
    ac97_channels_sync(ac);
    for (unsigned i = 0; i < size; i++) {
        unsigned at = ((port & (NABM_BYTES - 1)) + i) % NABM_BYTES;
        if (at < GLOB_CNT && at >> 4 < AC97_CHANNELS)
            channel_write(ac, at >> 4, at & 15, byte_of(value, i));
        else if (at == GLOB_CNT) /* a warm reset, 4, is over at once */
            regs->global_control = byte_of(value, i) & GLOB_CNT_BITS & ~4u;
    }
    ac97_channels_update(ac);
}

static const struct io_ops nam_io = {.widths = 1 | 2, .read = nam_read, .write = nam_write};
static const struct io_ops nabm_io = {.widths = 1 | 2 | 4, .read = nabm_read, .write = nabm_write};

/* --- Life --- */

static void ac97_reset(void *dev)
{
    struct ac97 *ac = dev;
    for (unsigned n = 0; n < AC97_CHANNELS; n++)
        ac97_channel_reset(ac, n);
    pci_work_cancel(ac->work);
    nam_reset(&ac->regs);
    ac->regs.global_control = 0;
    ac->regs.semaphore = false;
    pci_device_reset(&ac->pci);
    volume_apply(ac);
    ac97_channels_update(ac);
}

#define F(member) STATE_FIELD(ac97_regs, member)
static const struct state_field ac97_fields[] = {F(global_control), F(semaphore),  F(nam),       F(list),    F(current),
                                                 F(last),           F(prefetched), F(status),    F(control), F(fetched),
                                                 F(address),        F(left),       F(interrupts)};
#undef F
static const struct state_layout ac97_layout = STATE_LAYOUT(1, ac97_regs, ac97_fields);

static void ac97_pieces(void *dev, struct state_pieces *pieces)
{
    struct ac97 *ac = dev;
    state_add(pieces, "ac97", 0, &ac97_layout, &ac->regs);
    for (unsigned n = 0; n < AC97_CHANNELS; n++)
        state_add(pieces, "voice", n, &voice_layout, &ac->voice[n].regs);
}

static void ac97_before_save(void *dev)
{
    ac97_channels_sync(dev);
}

static bool ac97_after_load(void *dev)
{
    struct ac97 *ac = dev;
    const struct ac97_regs *regs = &ac->regs;
    for (unsigned n = 0; n < AC97_CHANNELS; n++) {
        if ((regs->list[n] & 7) || (regs->status[n] & ~0x1f) || (regs->control[n] & ~0x1d))
            return false;
    }
    if (!ac97_channels_are_sane(ac))
        return false;
    ac97_channels_after_load(ac);
    volume_apply(ac);
    ac97_update_irq(ac);
    return true;
}

static void ac97_dump(void *dev, GString *out)
{
    static const char *const names[AC97_CHANNELS] = {"in", "out", "mic"};
    struct ac97 *ac = dev;
    for (unsigned n = 0; n < AC97_CHANNELS; n++)
        g_string_append_printf(out, "ac97 %s: control=%02x status=%02x list=%08x current=%u last=%u left=%u rate=%u\n",
                               names[n], ac->regs.control[n], ac->regs.status[n], ac->regs.list[n], ac->regs.current[n],
                               ac->regs.last[n], ac->regs.left[n], ac->voice[n].regs.rate_num);
}

struct ac97_config {
    struct audiodev *audiodev;
};

static void *ac97_create(const struct device_site *site, const void *config, GError **error)
{
    const struct ac97_config *wanted = config;
    struct ac97 *ac = g_new0(struct ac97, 1);
    struct pci_device *pci = &ac->pci;
    pci_device_init(pci, "AC97", 0x8086, 0x2415, 0x040100, 1);
    memcpy(&pci->config[PCI_SUBSYSTEM], "\x86\x80\x00\x00", 4);
    pci->config[PCI_STATUS] = 0x80; /* fast back-to-back */
    pci->config[PCI_STATUS + 1] = 0x02;
    pci->config[PCI_INTERRUPT_PIN] = 1;
    pci_add_io_bar(pci, 0, NAM_BYTES, &nam_io, ac);
    pci_add_io_bar(pci, 1, NABM_BYTES, &nabm_io, ac);
    ac97_channels_init(ac, wanted->audiodev);
    pci_plug(board_service(site->board, "pci"), pci, (uint8_t)site->unit);
    ac97_reset(ac);
    return ac;
}

static void ac97_destroy(void *dev)
{
    struct ac97 *ac = dev;
    ac97_channels_fini(ac);
    pci_unplug(&ac->pci);
    g_free(ac);
}

static const struct property ac97_properties[] = {
    PROPERTY(ac97_config, audiodev, "audiodev", PROPERTY_AUDIODEV, 0, NULL, "id of an -audiodev"),
    PROPERTY_END,
};

const struct device_class ac97_class = {
    .name = "AC97",
    .alias = "ac97",
    .help = "Intel 82801AA AC'97 sound",
    .bus = BUS_PCI,
    .properties = ac97_properties,
    .config_size = sizeof(struct ac97_config),
    .create = ac97_create,
    .destroy = ac97_destroy,
    .reset = ac97_reset,
    .pieces = ac97_pieces,
    .before_save = ac97_before_save,
    .after_load = ac97_after_load,
    .dump = ac97_dump,
};
DEVICE_CLASS(ac97_class);
