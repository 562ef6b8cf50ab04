/* Sound Blaster 16 with DSP 4.05: the card (Sound Blaster Series Hardware Programming Guide, chapter 2).
 *
 *   base + 0 to 3  FM, also at + 8 and 9, and at 388h   (opl_card.c)
 *        + 4, 5    mixer: index, value                  (sb16_mixer.c)
 *        + 6       DSP reset
 *        + A       its answers
 *        + C       its commands; read: bit 7, it is busy
 *        + E       read: bit 7, there is an answer; ends an interrupt of 8 bits
 *        + F       ends an interrupt of 16 bits
 *   330h, 331h     MPU-401                              (mpu401.c)
 */
#include "sb16.h"

#include <string.h>

#include "ioport.h"
#include "opl_card.h"

#define MPU401_BASE 0x330
#define ADLIB_BASE  0x388

enum {
    FM_0,
    FM_3 = 3,
    MIXER_INDEX,
    MIXER_VALUE,
    DSP_RESET,
    FM_8 = 8,
    DSP_READ = 10,
    DSP_WRITE = 12,
    DSP_STATUS = 14,
    DSP_ACK_16
};

static const uint8_t irq_lines[4] = {9, 5, 7, 10};

void sb16_update_irq(struct sb16 *sb)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(irq_lines); i++)
        irq_set(&sb->irq[i], sb->regs.interrupt && sb->regs.mixer[0x80] >> i & 1);
}

static void interrupt_end(struct sb16 *sb, unsigned which)
{
    sb->regs.interrupt &= (uint8_t)~which;
    sb16_update_irq(sb);
}

static uint32_t sb16_read(void *opaque, uint16_t port, unsigned size)
{
    struct sb16 *sb = opaque;
    sb16_dma_sync(sb);
    switch (port - sb->base) {
    case MIXER_INDEX:
        return sb->regs.index;
    case MIXER_VALUE:
        return sb16_mixer_read(sb);
    case DSP_READ:
        return sb16_dsp_read(sb);
    case DSP_WRITE:
        return 0x7f; /* not busy */
    case DSP_STATUS:
        interrupt_end(sb, SB16_IRQ_8);
        return (sb->regs.out_count ? 0x80 : 0) | 0x7f;
    case DSP_ACK_16:
        interrupt_end(sb, SB16_IRQ_16);
        return 0xff;
    default:
        return 0xff;
    }
}

static void sb16_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct sb16 *sb = opaque;
    sb16_dma_sync(sb);
    switch (port - sb->base) {
    case MIXER_INDEX:
        sb->regs.index = (uint8_t)value;
        break;
    case MIXER_VALUE:
        sb16_mixer_write(sb, (uint8_t)value);
        break;
    case DSP_RESET:
        sb16_dsp_reset_write(sb, (uint8_t)value);
        break;
    case DSP_WRITE:
        sb16_dsp_write(sb, (uint8_t)value);
        break;
    default:
        break;
    }
}

static const struct io_ops sb16_io = {.widths = 1, .read = sb16_read, .write = sb16_write};

static void sb16_reset(void *dev)
{
    struct sb16 *sb = dev;
    sb16_dsp_reset(sb);
    sb->regs.reset_high = false;
    sb16_mixer_reset(sb);
    sb16_dma_route(sb);
    if (sb->mpu)
        mpu401_reset(sb->mpu);
    if (sb->opl)
        opl_card_reset(sb->opl);
}

#define F(member) STATE_FIELD(sb16_regs, member)
static const struct state_field sb16_fields[] = {
    F(command),       F(arguments), F(argument),     F(wanted),     F(out),       F(out_first), F(out_count),
    F(reset_high),    F(midi_uart), F(speaker),      F(test),       F(e2),        F(e2_step),   F(e2_pending),
    F(time_constant), F(by_rate),   F(rate),         F(block_size), F(mode),      F(is_16),     F(is_stereo),
    F(is_signed),     F(is_auto),   F(is_recording), F(is_paused),  F(ends_auto), F(block),     F(left),
    F(hold),          F(held),      F(interrupt),    F(index),      F(mixer)};
#undef F
static const struct state_layout sb16_layout = STATE_LAYOUT(1, sb16_regs, sb16_fields);

static void sb16_pieces(void *dev, struct state_pieces *pieces)
{
    struct sb16 *sb = dev;
    state_add(pieces, "sb16", 0, &sb16_layout, &sb->regs);
    state_add(pieces, "adpcm", 0, &sb16_adpcm_layout, &sb->adpcm);
    state_add(pieces, "voice", 0, &voice_layout, &sb->play.regs);
    state_add(pieces, "voice", 1, &voice_layout, &sb->record.regs);
    if (sb->mpu)
        mpu401_pieces(sb->mpu, pieces);
    if (sb->opl)
        opl_card_pieces(sb->opl, pieces);
}

static void sb16_before_save(void *dev)
{
    struct sb16 *sb = dev;
    sb16_dma_sync(sb);
    if (sb->opl)
        opl_card_before_save(sb->opl);
}

static bool sb16_after_load(void *dev)
{
    struct sb16 *sb = dev;
    if (!sb16_adpcm_is_sane(&sb->adpcm) || !sb16_dsp_is_sane(sb) || !sb16_dma_is_sane(sb) ||
        (sb->mpu && !mpu401_is_sane(sb->mpu)) || (sb->opl && !opl_card_after_load(sb->opl)))
        return false;
    sb16_dma_after_load(sb);
    sb16_mixer_apply(sb);
    sb16_update_irq(sb);
    return true;
}

static void sb16_dump(void *dev, GString *out)
{
    static const char *const modes[] = {"idle", "pcm", "adpcm", "silence"};
    struct sb16 *sb = dev;
    const struct sb16_regs *regs = &sb->regs;
    g_string_append_printf(out, "sb16: %s%s%s %u bits %s block=%u left=%u rate=%u/%u interrupt=%x dma=%d,%d\n",
                           modes[regs->mode & 3], regs->is_auto ? " auto" : "", regs->is_paused ? " paused" : "",
                           regs->is_16 ? 16 : 8, regs->is_stereo ? "stereo" : "mono", regs->block, regs->left,
                           sb->play.regs.rate_num, sb->play.regs.rate_den, regs->interrupt, sb->dma_8, sb->dma_16);
    if (sb->opl)
        opl_card_dump(sb->opl, out);
}

struct sb16_config {
    struct audiodev *audiodev;
    uint32_t version, iobase, irq, dma, dma16;
};

static bool presets_take(struct sb16 *sb, const struct device_site *site, const struct sb16_config *wanted,
                         GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(irq_lines); i++) {
        if (wanted->irq == irq_lines[i] || (i == 0 && wanted->irq == 2))
            sb->irq_preset = (uint8_t)(1u << i);
    }
    sb->dma_preset = (uint8_t)(1u << wanted->dma | 1u << wanted->dma16);
    if (sb->irq_preset && (wanted->dma <= 1 || wanted->dma == 3) && wanted->dma16 >= 5 && wanted->dma16 <= 7)
        return true;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                "%s: the card has irq= 2, 5, 7, 9 or 10, dma= 0, 1 or 3, and dma16= 5, 6 or 7", site->id);
    return false;
}

static void sb16_destroy(void *dev)
{
    struct sb16 *sb = dev;
    sb16_dma_fini(sb);
    sb16_dac_fini(&sb->dac);
    if (sb->mpu)
        mpu401_free(sb->mpu);
    if (sb->opl)
        opl_card_free(sb->opl);
    ioport_unregister((uint16_t)(sb->base + MIXER_INDEX), 4);
    ioport_unregister((uint16_t)(sb->base + DSP_READ), 6);
    g_free(sb);
}

/* Whatever of 388h, and of the MPU-401, another card has already, that card has. */
static void *sb16_create(const struct device_site *site, const void *config, GError **error)
{
    const struct sb16_config *wanted = config;
    struct sb16 *sb = g_new0(struct sb16, 1);
    sb->base = (uint16_t)wanted->iobase;
    sb->version = (uint16_t)wanted->version;
    if (!presets_take(sb, site, wanted, error) || !isa_ports_claim(site, sb->base, 16, error)) {
        g_free(sb);
        return NULL;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(irq_lines); i++)
        sb->irq[i] = board_isa_irq(site->board, irq_lines[i]);
    sb->dma = board_service(site->board, "dma8237");
    sb->bus_request = board_wire(site->board, "bus-request");
    board_add_bus_hook(site->board, sb16_dma_bus_granted, sb);
    sb16_dma_init(sb, wanted->audiodev);
    sb16_dac_init(&sb->dac, wanted->audiodev);
    sb->mpu = mpu401_new(MPU401_BASE);
    struct opl_card *opl = board_service(site->board, "opl3");
    if (!opl) {
        opl = sb->opl = opl_card_new(wanted->audiodev);
        opl_card_add_ports(opl, ADLIB_BASE, 4);
        board_provide(site->board, "opl3", opl);
    }
    opl_card_add_ports(opl, sb->base, 4);
    opl_card_add_ports(opl, (uint16_t)(sb->base + FM_8), 2);
    ioport_register((uint16_t)(sb->base + MIXER_INDEX), 4, &sb16_io, sb, "sb16");
    ioport_register((uint16_t)(sb->base + DSP_READ), 6, &sb16_io, sb, "sb16-dsp");
    sb16_reset(sb);
    return sb;
}

static const struct property sb16_properties[] = {
    PROPERTY(sb16_config, audiodev, "audiodev", PROPERTY_AUDIODEV, 0, NULL, "id of an -audiodev"),
    PROPERTY(sb16_config, version, "version", PROPERTY_NUMBER, 0xffff, "0x405", "of the DSP"),
    PROPERTY(sb16_config, iobase, "iobase", PROPERTY_NUMBER, 0xfff0, "0x220", "first port"),
    PROPERTY(sb16_config, irq, "irq", PROPERTY_NUMBER, 15, "5", "interrupt line"),
    PROPERTY(sb16_config, dma, "dma", PROPERTY_NUMBER, 7, "1", "DMA channel of 8 bits"),
    PROPERTY(sb16_config, dma16, "dma16", PROPERTY_NUMBER, 7, "5", "DMA channel of 16 bits"),
    PROPERTY_END,
};

const struct device_class sb16_class = {
    .name = "sb16",
    .help = "Sound Blaster 16, with an OPL3 and an MPU-401",
    .bus = BUS_ISA,
    .properties = sb16_properties,
    .config_size = sizeof(struct sb16_config),
    .create = sb16_create,
    .destroy = sb16_destroy,
    .reset = sb16_reset,
    .pieces = sb16_pieces,
    .before_save = sb16_before_save,
    .after_load = sb16_after_load,
    .dump = sb16_dump,
};
DEVICE_CLASS(sb16_class);
