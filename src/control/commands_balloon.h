/* Properties of a balloon that are no words of its command line, for qom-get and qom-set. */
#pragma once

#include <jansson.h>

#include "board/machine_internal.h"

/* NULL: it is no balloon, or has no such property. */
json_t *balloon_property_get(struct machine *machine, const struct instance *instance, const char *property);
/* False: as above. True: it is set, or *error says why not. */
bool balloon_property_set(struct machine *machine, const struct instance *instance, const char *property,
                          const json_t *value, GError **error);
