/* The board: classes of devices, instances made of them, and the wires, services and buses between them.
 *
 * A class is found by its name among all that are linked in (DEVICE_CLASS, device.h). An instance is a row of the board
 * (pc.c) or a -device; both are a list of key=value with "driver" in it. Instances are created in order, reset in that
 * order, and freed in reverse.
 */
#pragma once

#include <glib.h>

#include "device.h"
#include "keyvalue.h"

struct registry;
struct instance;

/* What back ends there are. Either may be NULL: there are none. */
struct registry_backends {
    struct chardev *(*chardev)(void *opaque, const char *id);
    const struct device_drive *(*drive)(void *opaque, const char *id);
    /* A drive without a medium for the device of that id, which becomes its own. */
    const struct device_drive *(*empty)(void *opaque, const char *id, bool is_cd, GError **error);
    struct netdev *(*netdev)(void *opaque, const char *id);
    struct fsdev *(*fsdev)(void *opaque, const char *id);
    struct audiodev *(*audiodev)(void *opaque, const char *id);
    /* A ROM's bytes, for as long as the board lives; NULL with *error. */
    const struct board_rom *(*rom)(void *opaque, const char *file, GError **error);
    void *opaque;
};

struct registry *registry_new(const struct registry_backends *backends);
/* All devices, last first. */
void registry_free(struct registry *registry);

/* -global: for each instance of driver that does not say otherwise. */
void registry_set_global(struct registry *registry, const char *driver, const char *property, const char *value);
/* The first -global that no instance has taken, as "driver.property"; NULL: none. */
const char *registry_unused_global(const struct registry *registry);

/* A device as -device would make it: request has "driver", may have "id", "bus", "addr" or "unit", "bootindex", and
 * what the class has properties for. user: only what is not the board's own. The registry takes request, in any case.
 */
bool registry_add(struct registry *registry, struct keyvalues *request, bool user, GError **error);
/* A row of the board: "driver,property=value,...". */
bool registry_add_row(struct registry *registry, const char *row, GError **error);

/* The same for values that may have commas in them: driver, then keys and values, NULL. */
bool registry_add_pairs(struct registry *registry, GError **error, const char *driver, ...) G_GNUC_NULL_TERMINATED;

/* --- While the machine runs; machine lock held --- */

/* Does a bus of that kind take devices now? */
bool registry_takes_hotplug(const struct registry *registry, enum device_bus bus);
/* A device goes, and what hangs on it goes before: going() is told of each while it is still there. False with a
 * sentence: it cannot. */
bool registry_remove(struct registry *registry, const struct instance *instance,
                     void (*going)(void *opaque, const struct instance *instance), void *opaque, GError **error);

struct board *registry_board(struct registry *registry);
void registry_reset(struct registry *registry);
/* How often interrupt line 0 to 15 was asked for (its level rose), by whatever bus. A statistic: not a part of the
 * state.
 */
uint64_t registry_irq_requests(const struct registry *registry, unsigned line);
/* Calls all bus hooks (device.h): between two guest instructions. */
void registry_bus_granted(struct registry *registry);

/* --- Looking at it --- */

struct instance {
    const struct device_class *class;
    char *id;              /* unique; for those without an id of the user's "driver/number" */
    bool has_id, is_users; /* an id of the user's; not a part of the board */
    struct device_site site;
    struct keyvalues *request;
    void *config;
    GPtrArray *strings; /* that config refers to */
    int bootindex;      /* -1: none */
    void *dev;
};
/* Instance number i in the order of creation, NULL behind the last. */
const struct instance *registry_instance(const struct registry *registry, unsigned i);
/* The device that has this back end (key: "drive", "chardev"), NULL: none. */
const struct instance *registry_user(const struct registry *registry, const char *key, const char *id);
/* Where "bus" of a device on a bus of that kind and number is: "ide.1". */
char *registry_bus_name(const struct registry *registry, enum device_bus bus, unsigned number);
/* The number of the first bus that this device has, among those of its kind. */
unsigned registry_bus_first(const struct registry *registry, const struct instance *owner);
const struct device_class *device_class_find(const char *name);
/* NULL: it has no such property. */
const struct property *device_class_property(const struct device_class *class, const char *name);
const struct device_class *device_class_number(unsigned i); /* NULL behind the last */
/* -device help; -device NAME,help (false: no such class). */
void device_classes_print(GString *out);
bool device_class_print(const char *name, GString *out);
/* info qtree. */
void registry_print_tree(const struct registry *registry, GString *out);
