/* What devices that know they are virtual need of the host, and whom they tell: random bytes, news for those who listen
 * to the machine.
 */
#include "machine_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "host/control/events.h"
#include "host/usb/usb.h"

/* getrandom(2): what /dev/urandom gives, without a file. */
static bool rng_get(void *opaque, uint8_t *bytes, size_t len)
{
    while (len) {
        ssize_t got = getrandom(bytes, len, GRND_NONBLOCK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        bytes += got;
        len -= (size_t)got;
    }
    return true;
}

/* Objects are made when the board is there: what will be is looked up in the command line. */
static bool rng_is_there(void *opaque, const char *id)
{
    const struct machine *machine = opaque;
    GPtrArray *objects = machine->options.objects;
    for (unsigned i = 0; objects && i < objects->len; i++) {
        const char *type = keyvalues_get(g_ptr_array_index(objects, i), "qom-type");
        const char *own = keyvalues_get(g_ptr_array_index(objects, i), "id");
        if (type && own && g_str_has_prefix(type, "rng-") && strcmp(own, id) == 0)
            return true;
    }
    return false;
}

/* Of devices with an id of the user's: nobody knows the others by name. */
static void port_changed(void *opaque, const char *device, bool open)
{
    struct machine *machine = opaque;
    const struct instance *instance;
    for (unsigned i = 0; (instance = registry_instance(machine->registry, i)); i++) {
        if (instance->has_id && strcmp(instance->id, device) == 0)
            event_emit("VSERPORT_CHANGE", json_pack("{s:s s:b}", "id", device, "open", open));
    }
}

static void balloon_changed(void *opaque, uint64_t bytes)
{
    event_emit("BALLOON_CHANGE", json_pack("{s:I}", "actual", (json_int_t)bytes));
}

void paravirt_provide(struct machine *machine)
{
    struct board *board = registry_board(machine->registry);
    machine->rng = (struct board_rng){rng_get, rng_is_there, machine};
    machine->news = (struct board_news){port_changed, balloon_changed, machine};
    board_provide(board, "rng", &machine->rng);
    board_provide(board, "news", &machine->news);
    board_provide(board, "usb-host", (void *)usb_host_service());
}
