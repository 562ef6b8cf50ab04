/* The command line: network. -netdev is a back end, -device (or a board's default) its card; -nic is both at once; -net
 * puts either on a hub, which is a wire where it has one of each. Older words turn into these. */
#include "options_internal.h"

#include <string.h>

#include "host/net/net.h"
#include "log.h"

#define DEFAULT_NET "user"

bool set_netdev(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-netdev", "type", error);
    if (!list)
        return false;
    const char *type = keyvalues_get(list, "type");
    if (type && (strcmp(type, "help") == 0 || strcmp(type, "?") == 0))
        parse->options->action = OPTIONS_NETDEV_HELP;
    parse->net_given = true;
    list_append(&parse->options->netdevs, list);
    return true;
}

/* QEMU's short names of models; others are classes of devices. */
static const char *class_of_model(const char *model)
{
    if (strcmp(model, "virtio") == 0 || strcmp(model, "virtio-net") == 0)
        return "virtio-net-pci";
    return model;
}

/* What belongs to the card moves from list to the request for the device. */
static struct keyvalues *card_new(struct keyvalues *list, const char *default_model)
{
    static const char *const own[][2] = {
        {"mac", "mac"}, {"macaddr", "mac"},     {"addr", "addr"},          {"vectors", "vectors"},
        {"name", "id"}, {"romfile", "romfile"}, {"bootindex", "bootindex"}};
    struct keyvalues *card = keyvalues_new();
    const char *model = keyvalues_get(list, "model");
    keyvalues_add(card, "driver", class_of_model(model ? model : default_model));
    for (unsigned i = 0; i < G_N_ELEMENTS(own); i++) {
        const char *value = keyvalues_get(list, own[i][0]);
        if (value && strcmp(own[i][0], "addr") == 0 && strchr(value, ':') == NULL && strlen(value) > 4)
            continue; /* -net nic,addr= is a PCI slot */
        if (value)
            keyvalues_add(card, own[i][1], value);
    }
    return card;
}

static bool is_of_card(const char *key)
{
    static const char *const keys[] = {"model", "mac", "macaddr", "vectors", "romfile", "bootindex"};
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (strcmp(keys[i], key) == 0)
            return true;
    }
    return false;
}

static bool model_is_help(struct parse *parse, struct keyvalues *list)
{
    const char *model = keyvalues_get(list, "model");
    if (!model || (strcmp(model, "help") != 0 && strcmp(model, "?") != 0))
        return false;
    parse->options->action = OPTIONS_NIC_HELP;
    return true;
}

/* --- -nic --- */

bool set_nic(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-nic", "type", error), *netdev;
    char id[32];
    if (!list)
        return false;
    parse->net_given = true;
    const char *type = keyvalues_get(list, "type"), *given = keyvalues_get(list, "id");
    if (type && strcmp(type, "none") == 0) {
        keyvalues_free(list);
        return true;
    }
    if (model_is_help(parse, list)) {
        keyvalues_free(list);
        return true;
    }
    g_snprintf(id, sizeof(id), "__org.qemu.net%u", parse->net_count++);
    netdev = keyvalues_new();
    keyvalues_add(netdev, "type", type ? type : DEFAULT_NET);
    keyvalues_add(netdev, "id", given ? given : id);
    for (unsigned i = 0; i < list->item->len; i++) {
        const struct keyvalue *item = g_ptr_array_index(list->item, i);
        if (!is_of_card(item->key) && strcmp(item->key, "type") != 0 && strcmp(item->key, "id") != 0)
            keyvalues_add(netdev, item->key, item->value);
    }
    struct keyvalues *card = card_new(list, "default");
    keyvalues_add(card, "netdev", given ? given : id);
    list_append(&parse->options->netdevs, netdev);
    list_append(&parse->options->nics, card);
    keyvalues_free(list);
    return true;
}

/* --- -net --- */

/* A card or a back end on a hub. */
struct on_hub {
    unsigned hub;
    struct keyvalues *card;
    const char *netdev; /* id, where card is NULL; in an element of options->netdevs */
};

static void on_hub_add(struct parse *parse, unsigned hub, struct keyvalues *card, const char *netdev)
{
    struct on_hub item = {hub, card, netdev};
    if (!parse->on_hubs)
        parse->on_hubs = g_array_new(FALSE, FALSE, sizeof(struct on_hub));
    g_array_append_val(parse->on_hubs, item);
}

bool set_net(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-net", "type", error), *netdev;
    char id[32];
    uint64_t hub = 0;
    if (!list)
        return false;
    parse->net_given = true;
    const char *type = keyvalues_get(list, "type"), *vlan = keyvalues_get(list, "vlan");
    const char *name = keyvalues_get(list, "name");
    bool ok = true, is_help = model_is_help(parse, list);
    if (vlan && !value_is_number(vlan, INT32_MAX, &hub)) {
        ok = FAIL("-net: 'vlan' is a number, not '%s'", vlan);
    } else if (!type) {
        ok = FAIL("-net: '%s' says neither nic nor a back end", arg);
    } else if (is_help || strcmp(type, "none") == 0) {
        ok = true;
    } else if (strcmp(type, "nic") == 0) {
        struct keyvalues *card = card_new(list, "default");
        list_append(&parse->options->nics, card);
        const char *own = keyvalues_get(list, "netdev");
        if (own)
            keyvalues_add(card, "netdev", own);
        else
            on_hub_add(parse, (unsigned)hub, card, NULL);
    } else {
        g_snprintf(id, sizeof(id), "__org.qemu.net%u", parse->net_count++);
        netdev = keyvalues_new();
        keyvalues_add(netdev, "type", type);
        keyvalues_add(netdev, "id", name ? name : id);
        for (unsigned i = 0; i < list->item->len; i++) {
            const struct keyvalue *item = g_ptr_array_index(list->item, i);
            if (strcmp(item->key, "type") != 0 && strcmp(item->key, "vlan") != 0 && strcmp(item->key, "name") != 0)
                keyvalues_add(netdev, item->key, item->value);
        }
        list_append(&parse->options->netdevs, netdev);
        on_hub_add(parse, (unsigned)hub, NULL, keyvalues_get(netdev, "id"));
    }
    keyvalues_free(list);
    return ok;
}

static void hub_settle(struct parse *parse, unsigned hub)
{
    struct keyvalues *card = NULL;
    const char *netdev = NULL;
    unsigned cards = 0, netdevs = 0, port = 0;
    for (unsigned i = 0; i < parse->on_hubs->len; i++) {
        const struct on_hub *item = &g_array_index(parse->on_hubs, struct on_hub, i);
        if (item->hub != hub)
            continue;
        if (item->card)
            cards++, card = item->card;
        else
            netdevs++, netdev = item->netdev;
    }
    if (cards == 1 && netdevs == 1) {
        keyvalues_add(card, "netdev", netdev);
        return;
    }
    if (cards + netdevs < 2) /* nobody is at the other end of the cable */
        return;
    for (unsigned i = 0; i < parse->on_hubs->len; i++) {
        const struct on_hub *item = &g_array_index(parse->on_hubs, struct on_hub, i);
        char id[40], number[16];
        if (item->hub != hub)
            continue;
        g_snprintf(id, sizeof(id), "hub%uport%u", hub, port++);
        g_snprintf(number, sizeof(number), "%u", hub);
        struct keyvalues *list = keyvalues_new();
        keyvalues_add(list, "type", "hubport");
        keyvalues_add(list, "id", id);
        keyvalues_add(list, "hubid", number);
        if (item->card)
            keyvalues_add(item->card, "netdev", id);
        else
            keyvalues_add(list, "netdev", item->netdev);
        list_append(&parse->options->netdevs, list);
    }
}

/* --- Older words --- */

/* [tcp|udp]:host port:[guest]:guest port. */
bool set_redir(struct parse *parse, const char *arg, GError **error)
{
    char **parts = g_strsplit(arg, ":", -1);
    bool ok = g_strv_length(parts) == 4;
    if (ok) {
        if (!parse->forwards)
            parse->forwards = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(parse->forwards, g_strdup_printf("hostfwd=%s::%s-%s:%s", *parts[0] ? parts[0] : "tcp", parts[1],
                                                         parts[2], parts[3]));
    }
    g_strfreev(parts);
    return ok || FAIL("-redir: '%s' is [tcp|udp]:HOSTPORT:[GUEST]:GUESTPORT", arg);
}

static bool for_user_net(struct parse *parse, const char *key, const char *value)
{
    if (!parse->forwards)
        parse->forwards = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(parse->forwards, g_strconcat(key, "=", value, NULL));
    return true;
}

bool set_tftp(struct parse *parse, const char *arg, GError **error)
{
    return for_user_net(parse, "tftp", arg);
}

bool set_bootp(struct parse *parse, const char *arg, GError **error)
{
    return for_user_net(parse, "bootfile", arg);
}

bool set_smb(struct parse *parse, const char *arg, GError **error)
{
    return for_user_net(parse, "smb", arg);
}

/* They are about all user networks there are. */
static bool forwards_settle(struct parse *parse, GError **error)
{
    bool found = false;
    for (unsigned i = 0; parse->options->netdevs && i < parse->options->netdevs->len; i++) {
        struct keyvalues *list = g_ptr_array_index(parse->options->netdevs, i);
        const char *type = keyvalues_get(list, "type");
        if (!type || strcmp(type, "user") != 0)
            continue;
        found = true;
        for (unsigned n = 0; n < parse->forwards->len; n++) {
            const char *text = g_ptr_array_index(parse->forwards, n), *equals = strchr(text, '=');
            char *key = g_strndup(text, (gsize)(equals - text));
            keyvalues_add(list, key, equals + 1);
            g_free(key);
        }
    }
    return found || FAIL("-redir, -tftp, -bootp and -smb need a user network (-netdev user, -nic user)");
}

/* --- All together --- */

bool net_settle(struct parse *parse, GError **error)
{
    struct options *options = parse->options;
    bool ok = true;
    if (!parse->net_given && !options->drives.no_defaults)
        ok = net_has_type(DEFAULT_NET) ? set_nic(parse, DEFAULT_NET, error) : set_net(parse, "nic", error);
    for (unsigned i = 0; parse->on_hubs && i < parse->on_hubs->len; i++) {
        unsigned hub = g_array_index(parse->on_hubs, struct on_hub, i).hub;
        bool is_done = false;
        for (unsigned n = 0; n < i; n++)
            is_done = is_done || g_array_index(parse->on_hubs, struct on_hub, n).hub == hub;
        if (!is_done)
            hub_settle(parse, hub);
    }
    if (ok && parse->forwards)
        ok = forwards_settle(parse, error);
    g_clear_pointer(&parse->on_hubs, g_array_unref);
    g_clear_pointer(&parse->forwards, g_ptr_array_unref);
    return ok;
}

bool set_object(struct parse *parse, const char *arg, GError **error)
{
    struct keyvalues *list = keyvalues_parse(arg, "-object", "qom-type", error);
    if (!list)
        return false;
    list_append(&parse->options->objects, list);
    return true;
}
