/* Devices that come and go while the machine runs. */
#include "machine_internal.h"

#include "host/block/nodes.h"
#include "lock.h"

#define SINKS_MAX 32

/* Who took keys and the pointer before. */
struct sinks {
    struct input_sink *sink[SINKS_MAX];
    unsigned count;
};

static void sinks_note(struct machine *machine, struct sinks *sinks)
{
    struct input_sink *sink = board_service(registry_board(machine->registry), "input");
    for (sinks->count = 0; sink && sinks->count < SINKS_MAX; sink = sink->next)
        sinks->sink[sinks->count++] = sink;
}

bool machine_plug(struct machine *machine, struct keyvalues *request, GError **error)
{
    struct sinks before;
    char *drive = g_strdup(keyvalues_get(request, "drive"));
    bool is_node = drive && !storage_find(&machine->storage, drive) && nodes_is_there(drive);
    bool ok = !is_node || storage_add_node(&machine->storage, drive, false, error);
    if (!ok)
        keyvalues_free(request);
    if (ok) {
        machine_lock();
        sinks_note(machine, &before);
        ok = registry_add(machine->registry, request, true, error);
        console_sinks_changed(machine, before.sink, before.count);
        machine_unlock();
        if (!ok && is_node)
            storage_remove(&machine->storage, machine->registry, drive, NULL);
    }
    g_free(drive);
    return ok;
}

struct going {
    void (*tell)(void *opaque, const struct instance *instance);
    void *opaque;
    GPtrArray *drives; /* that were in them */
};

static void note_going(void *opaque, const struct instance *instance)
{
    const struct going *going = opaque;
    const char *drive = keyvalues_get(instance->request, "drive");
    if (drive)
        g_ptr_array_add(going->drives, g_strdup(drive));
    going->tell(going->opaque, instance);
}

bool machine_unplug(struct machine *machine, const struct instance *instance,
                    void (*tell)(void *opaque, const struct instance *instance), void *opaque, GError **error)
{
    struct sinks before;
    struct going going = {tell, opaque, g_ptr_array_new_with_free_func(g_free)};
    machine_lock();
    sinks_note(machine, &before);
    bool ok = registry_remove(machine->registry, instance, note_going, &going, error);
    console_sinks_changed(machine, before.sink, before.count);
    machine_unlock();
    for (unsigned i = 0; i < going.drives->len; i++) /* waits for what the device has asked for */
        storage_remove(&machine->storage, machine->registry, g_ptr_array_index(going.drives, i), NULL);
    g_ptr_array_unref(going.drives);
    return ok;
}
