/* The board as a tree of objects with properties, as QEMU's object model (QOM) names them: what the registry, the
 * character devices and the command line know, under paths. Nothing of it is kept; it is looked up when it is asked
 * for.
 *
 *     /machine                          the board; its properties are the machine's
 *     /machine/peripheral/ID            devices with an id of the user's
 *     /machine/peripheral-anon/device[N]
 *     /machine/unattached/device[0]     the processor
 *     /machine/unattached/device[N]     the board's own devices
 *     /chardevs/ID
 */
#pragma once

#include <jansson.h>

#include "board/machine_internal.h"

/* The device of that path, id or "device[N]"; NULL: none. */
const struct instance *object_instance(struct machine *machine, const char *path);
/* Where it is; free it. */
char *object_path(struct machine *machine, const struct instance *wanted);
/* The id of the drive in it, NULL: none. */
const char *object_drive(const struct instance *instance);
/* The path of the device that a drive is in; free it. NULL: it is in none. */
char *object_path_of_drive(struct machine *machine, const char *drive);

/* [{name, type}] of a path's properties and children; NULL: there is no such path. */
json_t *object_list(struct machine *machine, const char *path);
/* The value of a property. NULL with *error. */
json_t *object_get(struct machine *machine, const char *path, const char *property, GError **error);
/* The type of what is there, as in "isa-serial"; NULL: nothing is. */
const char *object_type(struct machine *machine, const char *path);

/* QAPI's name of a property's type. */
const char *object_property_type(const struct property *property);
