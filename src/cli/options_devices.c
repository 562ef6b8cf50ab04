/* The command line: devices, drives, back ends, screen. */
#include "options_internal.h"

#include <string.h>

#include "keyvalue.h"
#include "log.h"

void list_append(GPtrArray **list, struct keyvalues *values)
{
    if (!*list)
        *list = g_ptr_array_new_with_free_func((GDestroyNotify)keyvalues_free);
    g_ptr_array_add(*list, values);
}

bool set_device(struct parse *parse, const char *arg, GError **error)
{
    struct options *options = parse->options;
    struct keyvalues *request = keyvalues_parse(arg, "-device", "driver", error);
    if (!request)
        return false;
    const char *driver = keyvalues_get(request, "driver"), *help = keyvalues_get(request, "help");
    if ((driver && (strcmp(driver, "help") == 0 || strcmp(driver, "?") == 0)) || help) {
        options->action = OPTIONS_DEVICE_HELP;
        options->help_about = help ? g_intern_string(driver) : NULL;
    }
    list_append(&options->devices, request);
    return true;
}

bool set_global(struct parse *parse, const char *arg, GError **error)
{
    const char *equals = strchr(arg, '='), *dot = strrchr(arg, '.');
    struct keyvalues *global;
    if (strchr(arg, ',') && g_str_has_prefix(arg, "driver=")) {
        global = keyvalues_parse(arg, "-global", NULL, error);
    } else {
        for (dot = equals; dot && dot > arg && *dot != '.'; dot--)
            continue;
        if (!equals || dot == arg || *dot != '.')
            return FAIL("-global: '%s' is not understood; write DRIVER.PROPERTY=VALUE", arg);
        char *driver = g_strndup(arg, (gsize)(dot - arg)), *property = g_strndup(dot + 1, (gsize)(equals - dot - 1));
        global = keyvalues_new();
        keyvalues_add(global, "driver", driver);
        keyvalues_add(global, "property", property);
        keyvalues_add(global, "value", equals + 1);
        g_free(driver);
        g_free(property);
    }
    if (!global)
        return false;
    list_append(&parse->options->globals, global);
    if (!keyvalues_get(global, "driver") || !keyvalues_get(global, "property") || !keyvalues_get(global, "value"))
        return FAIL("-global: '%s' is not understood; write DRIVER.PROPERTY=VALUE", arg);
    return true;
}

bool set_usb(struct parse *parse, const char *arg, GError **error)
{
    parse->options->usb = true;
    return true;
}

/* Old: -usbdevice disk:FILE, disk:format=raw:FILE. */
static bool usb_disk(struct parse *parse, const char *file, GError **error)
{
    static unsigned count;
    GString *drive = g_string_new(NULL);
    char *format = NULL;
    if (g_str_has_prefix(file, "format=") && strchr(file, ':')) {
        const char *begin = file + strlen("format="), *end = strchr(begin, ':');
        format = g_strndup(begin, (gsize)(end - begin));
        file = end + 1;
    }
    g_string_append_printf(drive, "if=none,id=usbdisk%u,", count);
    if (format)
        g_string_append_printf(drive, "format=%s,", format);
    g_string_append(drive, "file=");
    for (const char *c = file; *c; c++)
        g_string_append(drive, *c == ',' ? ",," : (char[]){*c, 0});
    char *device = g_strdup_printf("usb-storage,drive=usbdisk%u", count++);
    bool ok =
        *file ? set_usb(parse, NULL, error) && set_drive(parse, drive->str, error) && set_device(parse, device, error)
              : FAIL("-usbdevice disk: needs a file, as in -usbdevice disk:FILE");
    g_string_free(drive, TRUE);
    g_free(device);
    g_free(format);
    return ok;
}

/* Old: -usbdevice tablet is -usb -device usb-tablet. */
bool set_usbdevice(struct parse *parse, const char *arg, GError **error)
{
    static const char *const names[][2] = {{"tablet", "usb-tablet"}, {"mouse", "usb-mouse"}, {"keyboard", "usb-kbd"}};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(arg, names[i][0]) == 0)
            return set_usb(parse, NULL, error) && set_device(parse, names[i][1], error);
    }
    if (g_str_has_prefix(arg, "disk:"))
        return usb_disk(parse, arg + strlen("disk:"), error);
    return FAIL("-usbdevice: there is no '%s'; choose tablet, mouse, keyboard or disk:FILE", arg);
}

/* Words behind -vga, and the device that each is. */
static const char *const vga_cards[][2] = {
    {"std", "VGA"}, {"cirrus", "cirrus-vga"}, {"vmware", "vmware-svga"}, {"virtio", "virtio-vga"}, {"none", NULL},
};

static bool driver_is_vga(const char *driver)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(vga_cards); i++) {
        if (vga_cards[i][1] && strcmp(driver, vga_cards[i][1]) == 0)
            return true;
    }
    return strcmp(driver, "virtio-gpu-pci") == 0;
}

/* A device of the user's stands in for what the board would have had by default, as in QEMU. */
void defaults_settle(struct parse *parse)
{
    struct options *options = parse->options;
    for (unsigned i = 0; options->devices && i < options->devices->len; i++) {
        const char *driver = keyvalues_get(g_ptr_array_index(options->devices, i), "driver");
        if (!driver)
            continue;
        if (strcmp(driver, "ide-cd") == 0 || strcmp(driver, "ide-hd") == 0)
            options->drives.no_default_cd = true;
        if (strcmp(driver, "floppy") == 0)
            options->drives.no_default_floppy = true;
        if (driver_is_vga(driver) && !parse->vga_given)
            options->vga = NULL;
    }
}

bool set_vga(struct parse *parse, const char *arg, GError **error)
{
    unsigned i = 0;
    if (strcmp(arg, "qxl") == 0) {
        log_user("-vga qxl: there is no such card; the standard one (-vga std) takes its place");
        arg = "std";
    }
    while (i < G_N_ELEMENTS(vga_cards) && strcmp(arg, vga_cards[i][0]) != 0)
        i++;
    if (i == G_N_ELEMENTS(vga_cards))
        return FAIL("-vga: there is no '%s' card; choose std, cirrus, vmware, virtio or none", arg);
    parse->options->vga = vga_cards[i][1];
    parse->vga_given = true;
    return true;
}

bool set_drive(struct parse *parse, const char *arg, GError **error)
{
    return drives_set_drive(&parse->options->drives, arg, error);
}

bool set_blockdev(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-blockdev", "driver", error);
    if (!list)
        return false;
    list_append(&parse->options->blockdevs, list);
    return true;
}

bool set_boot(struct parse *parse, const char *arg, GError **error)
{
    return drives_set_boot(&parse->options->drives, arg, error);
}

bool set_snapshot(struct parse *parse, const char *arg, GError **error)
{
    parse->options->drives.snapshot = true;
    return true;
}

bool set_nodefaults(struct parse *parse, const char *arg, GError **error)
{
    parse->options->drives.no_defaults = true;
    if (!parse->vga_given)
        parse->options->vga = NULL;
    return true;
}

bool set_option_rom(struct parse *parse, const char *arg, GError **error)
{
    struct options *options = parse->options;
    if (options->option_rom_count == OPTIONS_ROM_MAX)
        return FAIL("-option-rom: there are %u at most", OPTIONS_ROM_MAX);
    options->option_rom[options->option_rom_count++] = arg;
    return true;
}

/* -hda and its like: the flag's own name says which drive. */
#define SET_FILE(flag) \
    bool set_##flag(struct parse *parse, const char *arg, GError **error) \
    { \
        return drives_set_file(&parse->options->drives, #flag, arg, error); \
    }
SET_FILE(hda)
SET_FILE(hdb)
SET_FILE(hdc)
SET_FILE(hdd)
SET_FILE(cdrom)
SET_FILE(fda)
SET_FILE(fdb)
