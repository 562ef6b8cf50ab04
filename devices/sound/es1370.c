/* ENSONIQ AudioPCI ES1370: the card and its registers (AudioPCI ES1370 data sheet, "Register descriptions").
 *
 * Two DACs and an ADC (es1370_dma.c), of which the ADC hears nothing. The AK4531 codec has their volumes
 * (es1370_codec.c); it takes what is written to it and says nothing. The UART has nobody at its other end, and there is
 * no joystick.
 */
#include "es1370.h"

#include <string.h>

#define PORTS 0x40

enum {
    CONTROL = 0x00,
    STATUS = 0x04,
    UART = 0x08, /* 08h data, 09h status and control */
    MEM_PAGE = 0x0c,
    CODEC = 0x10,
    SERIAL = 0x20,
    DAC1_COUNT = 0x24,
    DAC2_COUNT = 0x28,
    ADC_COUNT = 0x2c,
    MEMORY = 0x30 /* to 3Fh: a page */
};
#define UART_TXRDY 0x02u

#define CONTROL_RESET 1u /* SERR_DIS */

void es1370_update_irq(struct es1370 *es)
{
    pci_set_intx(&es->pci, es->regs.interrupt != 0);
}

static uint32_t register_read(struct es1370 *es, unsigned reg)
{
    struct es1370_regs *regs = &es->regs;
    switch (reg) {
    case CONTROL:
        return regs->control;
    case STATUS:
        return STATUS_VC | regs->interrupt | (regs->interrupt ? STATUS_INTR : 0);
    case UART:
        return UART_TXRDY << 8;
    case MEM_PAGE:
        return regs->page;
    case SERIAL:
        return regs->serial;
    case DAC1_COUNT:
    case DAC2_COUNT:
    case ADC_COUNT:
        return regs->count[(reg - DAC1_COUNT) / 4];
    case MEMORY ... MEMORY + 0xc:
        return regs->memory[regs->page][(reg - MEMORY) / 4];
    default:
        return 0;
    }
}

static void memory_write(struct es1370 *es, uint32_t *at, uint32_t value)
{
    *at = value;
    for (unsigned n = 0; n < ES_CHANNELS; n++) {
        if (at == es1370_frame(es, n) + 1)
            es->regs.within[n] = 0;
    }
}

static void register_write(struct es1370 *es, unsigned reg, uint32_t value)
{
    struct es1370_regs *regs = &es->regs;
    switch (reg) {
    case CONTROL:
        regs->control = value;
        break;
    case MEM_PAGE:
        regs->page = value & (ES_PAGES - 1);
        break;
    case CODEC: /* address, data */
        es1370_codec_write(es, value >> 8, (uint8_t)value);
        break;
    case SERIAL:
        if (value & ~regs->serial & SERIAL_P1_SCT_RLD)
            regs->count[ES_DAC1] = regs->count[ES_DAC1] << 16 | (regs->count[ES_DAC1] & 0xffff);
        regs->serial = value & SERIAL_BITS;
        break;
    case DAC1_COUNT:
    case DAC2_COUNT:
    case ADC_COUNT: { /* what is left is only to be read */
        uint32_t *count = &regs->count[(reg - DAC1_COUNT) / 4];
        *count = (*count & 0xffff0000) | (value & 0xffff);
        break;
    }
    case MEMORY ... MEMORY + 0xc:
        memory_write(es, &regs->memory[regs->page][(reg - MEMORY) / 4], value);
        break;
    }
}

static uint32_t es1370_read(void *opaque, uint16_t port, unsigned size)
{
    struct es1370 *es = opaque;
    unsigned offset = port - es->pci.bar[0].base, shift = 8 * (offset & 3);
    if (offset % size)
        return ~0u;
    es1370_channels_sync(es);
    uint32_t value = register_read(es, offset & ~3u) >> shift;
    return size == 4 ? value : value & ((1u << 8 * size) - 1);
}

/* Part of a register: the rest of it stays as it is. */
static void es1370_write(void *opaque, uint16_t port, unsigned size, uint32_t value)
{
    struct es1370 *es = opaque;
    unsigned offset = port - es->pci.bar[0].base, shift = 8 * (offset & 3), reg = offset & ~3u;
    uint32_t mask = size == 4 ? ~0u : ((1u << 8 * size) - 1) << shift;
    if (offset % size || (reg == CODEC && (mask & 0xffff) != 0xffff)) /* a word goes to the codec, or nothing */
        return;
    es1370_channels_sync(es);
    register_write(es, reg, (register_read(es, reg) & ~mask) | (value << shift & mask));
    es1370_channels_update(es);
}

static const struct io_ops es1370_io = {.widths = 1 | 2 | 4, .read = es1370_read, .write = es1370_write};

/* --- The class --- */

static void es1370_reset(void *dev)
{
    struct es1370 *es = dev;
    pci_device_reset(&es->pci);
    es1370_channels_reset(es);
    memset(&es->regs, 0, sizeof(es->regs));
    es->regs.control = CONTROL_RESET;
    es1370_codec_reset(es);
    es1370_channels_update(es);
}

#define F(member) STATE_FIELD(es1370_regs, member)
static const struct state_field es1370_fields[] = {F(control), F(serial),    F(count), F(memory), F(within),
                                                   F(stopped), F(interrupt), F(page),  F(codec)};
#undef F
static const struct state_layout es1370_layout = STATE_LAYOUT(1, es1370_regs, es1370_fields);

static void es1370_pieces(void *dev, struct state_pieces *pieces)
{
    struct es1370 *es = dev;
    state_add(pieces, "regs", 0, &es1370_layout, &es->regs);
    for (unsigned n = 0; n < ES_CHANNELS; n++)
        state_add(pieces, "voice", n, &voice_layout, &es->voice[n].regs);
}

static void es1370_before_save(void *dev)
{
    es1370_channels_sync(dev);
}

static bool es1370_after_load(void *dev)
{
    struct es1370 *es = dev;
    if (es->regs.page >= ES_PAGES || (es->regs.serial & ~SERIAL_BITS) ||
        (es->regs.interrupt & ~(STATUS_DAC1 | STATUS_DAC2 | STATUS_ADC)) || es->regs.stopped >> ES_CHANNELS ||
        !es1370_channels_are_sane(es))
        return false;
    es1370_channels_after_load(es);
    es1370_codec_apply(es);
    es1370_update_irq(es);
    return true;
}

static void es1370_dump(void *dev, GString *out)
{
    static const char *const names[ES_CHANNELS] = {"DAC1", "DAC2", "ADC"};
    struct es1370 *es = dev;
    es1370_channels_sync(es);
    g_string_append_printf(out, "es1370: control %08x serial %06x interrupts %x\n", es->regs.control, es->regs.serial,
                           es->regs.interrupt);
    es1370_codec_dump(es, out);
    for (unsigned n = 0; n < ES_CHANNELS; n++) {
        const uint32_t *frame = es1370_frame(es, n);
        const struct voice *voice = &es->voice[n];
        g_string_append_printf(
            out, "  %s: %s%u Hz, %s, %s; buffer %08x, %u of %u bytes; %u of %u frames left\n", names[n],
            voice->regs.running ? "" : "off, ", voice->format.rate_num / voice->format.rate_den,
            voice->format.sample == AUDIO_S16 ? "s16" : "u8", voice->format.channels == 2 ? "stereo" : "mono", frame[0],
            4 * (frame[1] >> 16) + es->regs.within[n], 4 * ((frame[1] & 0xffff) + 1), (es->regs.count[n] >> 16) + 1,
            (es->regs.count[n] & 0xffff) + 1);
    }
}

struct es1370_config {
    struct audiodev *audiodev;
};

static void *es1370_create(const struct device_site *site, const void *config, GError **error)
{
    const struct es1370_config *wanted = config;
    struct es1370 *es = g_new0(struct es1370, 1);
    struct pci_device *pci = &es->pci;
    pci_device_init(pci, "ES1370", 0x1274, 0x5000, 0x040100, 0);
    memcpy(&pci->config[PCI_SUBSYSTEM], "\x42\x49\x4c\x4c", 4);
    pci->config[PCI_STATUS + 1] = 0x04; /* DEVSEL# slow */
    pci->config[PCI_INTERRUPT_PIN] = 1;
    pci->config[0x3e] = 0x0c; /* MIN_GNT, MAX_LAT */
    pci->config[0x3f] = 0x80;
    pci_add_io_bar(pci, 0, PORTS, &es1370_io, es);
    es1370_channels_init(es, wanted->audiodev);
    pci_plug(board_service(site->board, "pci"), pci, (uint8_t)site->unit);
    es1370_reset(es);
    return es;
}

static void es1370_destroy(void *dev)
{
    struct es1370 *es = dev;
    es1370_channels_fini(es);
    pci_unplug(&es->pci);
    g_free(es);
}

static const struct property es1370_properties[] = {
    PROPERTY(es1370_config, audiodev, "audiodev", PROPERTY_AUDIODEV, 0, NULL, "id of an -audiodev"),
    PROPERTY_END,
};

const struct device_class es1370_class = {
    .name = "ES1370",
    .alias = "es1370",
    .help = "ENSONIQ AudioPCI ES1370 sound card",
    .bus = BUS_PCI,
    .properties = es1370_properties,
    .config_size = sizeof(struct es1370_config),
    .create = es1370_create,
    .destroy = es1370_destroy,
    .reset = es1370_reset,
    .pieces = es1370_pieces,
    .before_save = es1370_before_save,
    .after_load = es1370_after_load,
    .dump = es1370_dump,
};
DEVICE_CLASS(es1370_class);
