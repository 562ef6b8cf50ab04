/* AdLib: an FM chip at 388h and nothing else. This one is an OPL3, which is an OPL2 for programs that know only that.
 *
 * A Sound Blaster has the same; beside one, this card is that one's chip.
 */
#include "ioport.h"
#include "opl_card.h"

#define BASE 0x388

struct adlib {
    struct opl_card *opl; /* NULL: another card's */
};

struct adlib_config {
    struct audiodev *audiodev;
    uint32_t iobase, freq;
};

static void *adlib_create(const struct device_site *site, const void *config, GError **error)
{
    const struct adlib_config *wanted = config;
    struct adlib *adlib = g_new0(struct adlib, 1);
    if (board_service(site->board, "opl3"))
        return adlib;
    if (!isa_ports_claim(site, BASE, 4, error)) {
        g_free(adlib);
        return NULL;
    }
    adlib->opl = opl_card_new(wanted->audiodev);
    opl_card_add_ports(adlib->opl, BASE, 4);
    board_provide(site->board, "opl3", adlib->opl);
    return adlib;
}

static void adlib_destroy(void *dev)
{
    struct adlib *adlib = dev;
    if (adlib->opl)
        opl_card_free(adlib->opl);
    g_free(adlib);
}

static void adlib_reset(void *dev)
{
    struct adlib *adlib = dev;
    if (adlib->opl)
        opl_card_reset(adlib->opl);
}

static void adlib_pieces(void *dev, struct state_pieces *pieces)
{
    struct adlib *adlib = dev;
    if (adlib->opl)
        opl_card_pieces(adlib->opl, pieces);
}

static void adlib_before_save(void *dev)
{
    struct adlib *adlib = dev;
    if (adlib->opl)
        opl_card_before_save(adlib->opl);
}

static bool adlib_after_load(void *dev)
{
    struct adlib *adlib = dev;
    return !adlib->opl || opl_card_after_load(adlib->opl);
}

static void adlib_dump(void *dev, GString *out)
{
    struct adlib *adlib = dev;
    if (adlib->opl)
        opl_card_dump(adlib->opl, out);
}

static const struct property adlib_properties[] = {
    PROPERTY(adlib_config, audiodev, "audiodev", PROPERTY_AUDIODEV, 0, NULL, "id of an -audiodev"),
    PROPERTY(adlib_config, iobase, "iobase", PROPERTY_NUMBER, 0xfff0, "0x220",
             "taken, and without effect: it is at 388h"),
    PROPERTY(adlib_config, freq, "freq", PROPERTY_NUMBER, 1000000, "44100",
             "taken, and without effect: it has the chip's"),
    PROPERTY_END,
};

const struct device_class adlib_class = {
    .name = "adlib",
    .help = "AdLib sound card, with an OPL3",
    .bus = BUS_ISA,
    .properties = adlib_properties,
    .config_size = sizeof(struct adlib_config),
    .create = adlib_create,
    .destroy = adlib_destroy,
    .reset = adlib_reset,
    .pieces = adlib_pieces,
    .before_save = adlib_before_save,
    .after_load = adlib_after_load,
    .dump = adlib_dump,
};
DEVICE_CLASS(adlib_class);
