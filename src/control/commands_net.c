/* Network: cards and what they are connected to, and objects that listen in. Shapes are those of QEMU's qapi/net.json.
 */
#include <string.h>

#include "commands.h"
#include "host/net/net.h"
#include "lock.h"
#include "object.h"

/* --- Looking --- */

static const struct instance *card_of(struct machine *machine, const char *netdev)
{
    return registry_user(machine->registry, "netdev", netdev);
}

static void card_print(GString *out, const struct instance *card, const char *indent)
{
    const char *mac = keyvalues_get(card->request, "mac");
    g_string_append_printf(out, "%s%s: index=0,type=nic,model=%s,macaddr=%s\n", indent, card->id, card->class->name,
                           mac ? mac : "");
}

struct printing {
    struct machine *machine;
    GString *out;
    int hub;          /* only its ports; -1: what is on no hub */
    uint8_t seen[64]; /* hubs that were printed, a bit each */
};

static void backend_print(GString *out, const struct net_description *d, const char *indent)
{
    g_string_append_printf(out, "%s%s: index=0,type=%s,%s%s\n", indent, d->id, d->type, d->info ? d->info : "",
                           d->netdev->link_up ? "" : ",link=down");
}

/* The back end that a port of the printed hub has, in the port's line; or whether a port has it. */
struct finding {
    const char *id;
    GString *out;
    bool found;
};

static void print_peer(void *opaque, const struct net_description *d)
{
    struct finding *finding = opaque;
    if (strcmp(d->id, finding->id) == 0)
        backend_print(finding->out, d, ": ");
}

static void look_for_port(void *opaque, const struct net_description *d)
{
    struct finding *finding = opaque;
    finding->found = finding->found || (d->peer && strcmp(d->peer, finding->id) == 0);
}

static void print_one(void *opaque, const struct net_description *d)
{
    struct printing *printing = opaque;
    const struct instance *card = card_of(printing->machine, d->id);
    if (d->hub != printing->hub)
        return;
    if (d->hub >= 0) {
        g_string_append_printf(printing->out, " \\ %s", d->id);
        if (d->peer)
            net_each(print_peer, &(struct finding){.id = d->peer, .out = printing->out});
        else if (card)
            card_print(printing->out, card, ": ");
        else
            g_string_append(printing->out, "\n");
        return;
    }
    struct finding finding = {.id = d->id};
    net_each(look_for_port, &finding);
    if (finding.found)
        return;
    if (card)
        card_print(printing->out, card, "");
    backend_print(printing->out, d, card ? " \\ " : "");
}

static void print_hub(void *opaque, const struct net_description *d)
{
    struct printing *printing = opaque;
    if (d->hub < 0 || d->hub >= (int)sizeof(printing->seen) * 8 || printing->seen[d->hub / 8] & 1 << d->hub % 8)
        return;
    printing->seen[d->hub / 8] |= (uint8_t)(1 << d->hub % 8);
    g_string_append_printf(printing->out, "hub %d\n", d->hub);
    printing->hub = d->hub;
    net_each(print_one, printing);
}

static void print_network(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    struct printing printing = {.machine = context->machine, .out = out, .hub = -1};
    const struct instance *instance;
    machine_lock();
    net_each(print_hub, &printing);
    printing.hub = -1;
    net_each(print_one, &printing);
    for (unsigned i = 0; (instance = registry_instance(printing.machine->registry, i)); i++) {
        if (device_class_property(instance->class, "netdev") && !keyvalues_get(instance->request, "netdev"))
            card_print(out, instance, "");
    }
    machine_unlock();
}

static void print_usernet(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    net_usernet_print(out);
}

/* --- Cables --- */

/* A card by its id, or a back end by its. */
static struct netdev *netdev_named(struct machine *machine, const char *name)
{
    const struct instance *instance;
    struct netdev *netdev = net_find(name);
    for (unsigned i = 0; !netdev && (instance = registry_instance(machine->registry, i)); i++) {
        const char *own = strcmp(instance->id, name) == 0 && device_class_property(instance->class, "netdev")
                              ? keyvalues_get(instance->request, "netdev")
                              : NULL;
        netdev = own ? net_find(own) : NULL;
    }
    return netdev;
}

static json_t *run_set_link(struct command_context *context, json_t *args, GError **error)
{
    machine_lock();
    struct netdev *netdev = netdev_named(context->machine, arg_str(args, "name"));
    if (netdev)
        net_set_link(netdev, arg_bool(args, "up", true));
    machine_unlock();
    return netdev ? json_object() : COMMAND_FAIL(NO_DEVICE, "Device '%s' not found", arg_str(args, "name"));
}

/* Values as the command line writes them; "a": {"b": 1} is a.b=1, [x] is a.0=x. */
static void list_add(struct keyvalues *list, const char *key, json_t *value)
{
    const char *inner;
    json_t *one;
    size_t index;
    if (json_is_object(value)) {
        json_object_foreach(value, inner, one)
        {
            char *own = g_strconcat(key, ".", inner, NULL);
            list_add(list, own, one);
            g_free(own);
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, index, one)
        {
            char *own = g_strdup_printf("%s.%zu", key, index);
            list_add(list, own, one);
            g_free(own);
        }
    } else {
        commands_add_scalar(list, key, value);
    }
}

static struct keyvalues *list_of(json_t *args)
{
    struct keyvalues *list = keyvalues_new();
    const char *key;
    json_t *value;
    json_object_foreach(args, key, value) list_add(list, key, value);
    return list;
}

static json_t *netdev_make(struct keyvalues *list, GError **error)
{
    bool ok = list && net_new(list, error);
    keyvalues_free(list);
    return ok ? json_object() : NULL;
}

static json_t *run_netdev_add(struct command_context *context, json_t *args, GError **error)
{
    return netdev_make(list_of(args), error);
}

static json_t *run_netdev_add_line(struct command_context *context, json_t *args, GError **error)
{
    return netdev_make(keyvalues_parse(arg_str(args, "netdev"), "netdev_add", "type", error), error);
}

static json_t *run_netdev_del(struct command_context *context, json_t *args, GError **error)
{
    machine_lock();
    bool ok = net_remove(arg_str(args, "id"), error);
    machine_unlock();
    return ok ? json_object() : NULL;
}

/* --- Forwarding: "hostfwd_add [netdev] rule" --- */

static json_t *run_hostfwd_add(struct command_context *context, json_t *args, GError **error)
{
    const char *first = arg_str(args, "arg1"), *second = arg_str(args, "arg2");
    return net_hostfwd_add(second ? first : NULL, second ? second : first, error) ? json_object() : NULL;
}

static json_t *run_hostfwd_remove(struct command_context *context, json_t *args, GError **error)
{
    const char *first = arg_str(args, "arg1"), *second = arg_str(args, "arg2");
    return net_hostfwd_remove(second ? first : NULL, second ? second : first, error) ? json_object() : NULL;
}

static void print_hostfwd_remove(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    const char *first = arg_str(args, "arg1"), *second = arg_str(args, "arg2");
    g_string_append_printf(out, "host forwarding rule for %s removed\n", second ? second : first);
}

/* --- Objects --- */

static json_t *object_add(struct keyvalues *list, GError **error)
{
    bool ok = list && object_make(list, error);
    keyvalues_free(list);
    return ok ? json_object() : NULL;
}

static json_t *run_object_add(struct command_context *context, json_t *args, GError **error)
{
    return object_add(list_of(args), error);
}

static json_t *run_object_add_line(struct command_context *context, json_t *args, GError **error)
{
    return object_add(keyvalues_parse(arg_str(args, "object"), "object_add", "qom-type", error), error);
}

static json_t *run_object_del(struct command_context *context, json_t *args, GError **error)
{
    return object_delete(arg_str(args, "id"), error) ? json_object() : NULL;
}

static const struct schema_type types[] = {
    {"NetClientDriver", "<user tap socket stream dgram hubport>"},
    {"ObjectType", "<filter-dump iothread rng-builtin rng-random>"},
};

static const struct command rows[] = {
    {NULL, "info network", NULL, NULL, "network cards and what they are connected to", NULL, print_network},
    {NULL, "info usernet", NULL, NULL, "connections of user networks", NULL, print_usernet},
    {"set_link", "set_link name up", "name:str up:bool", NULL, "plug a network cable, or pull it", run_set_link, NULL},
    {"netdev_add", NULL, "type:NetClientDriver id:str *", NULL, "one more network back end", run_netdev_add, NULL},
    {NULL, "netdev_add netdev", "netdev:str", NULL, "one more network back end, as -netdev has it", run_netdev_add_line,
     NULL},
    {"netdev_del", "netdev_del id", "id:str", NULL, "take a network back end away", run_netdev_del, NULL},
    {NULL, "hostfwd_add arg1 [arg2]", "arg1:str arg2:str?", NULL,
     "[NETDEV] [tcp|udp]:[ADDRESS]:PORT-[GUEST]:PORT: a port of the host's becomes one of the guest's", run_hostfwd_add,
     NULL},
    {NULL, "hostfwd_remove arg1 [arg2]", "arg1:str arg2:str?", NULL, "[NETDEV] [tcp|udp]:[ADDRESS]:PORT: no longer",
     run_hostfwd_remove, print_hostfwd_remove},
    {"object-add", NULL, "qom-type:ObjectType id:str *", NULL, "one more object (filter-dump)", run_object_add, NULL},
    {NULL, "object_add object", "object:str", NULL, "one more object, as -object has it", run_object_add_line, NULL},
    {"object-del", "object_del id", "id:str", NULL, "take an object away", run_object_del, NULL},
};

void commands_net_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    commands_add(rows, G_N_ELEMENTS(rows));
}
