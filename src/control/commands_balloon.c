/* The memory that the guest has given back: shapes are those of QEMU's qapi/machine.json. */
#include "commands_balloon.h"

#include <string.h>

#include "balloon.h"
#include "commands.h"
#include "lock.h"

static const struct balloon *balloon_of(struct machine *machine, GError **error)
{
    const struct balloon *balloon = board_service(registry_board(machine->registry), "balloon");
    if (!balloon)
        g_set_error(error, command_error(), COMMAND_ERROR_INACTIVE, "No balloon device has been activated");
    return balloon;
}

static json_t *run_balloon(struct command_context *context, json_t *args, GError **error)
{
    const struct balloon *balloon = balloon_of(context->machine, error);
    int64_t bytes = arg_int(args, "value", 0);
    if (!balloon)
        return NULL;
    if (bytes <= 0)
        return COMMAND_FAIL(GENERIC, "Parameter 'value' expects a size");
    machine_lock();
    balloon->set_target(balloon->opaque, (uint64_t)bytes);
    machine_unlock();
    return json_object();
}

static json_t *query_balloon(struct command_context *context, json_t *args, GError **error)
{
    const struct balloon *balloon = balloon_of(context->machine, error);
    if (!balloon)
        return NULL;
    machine_lock();
    uint64_t bytes = balloon->actual(balloon->opaque);
    machine_unlock();
    return json_pack("{s:I}", "actual", (json_int_t)bytes);
}

static void print_balloon(struct command_context *context, json_t *args, json_t *value, GString *out)
{
    g_string_append_printf(out, "balloon: actual=%lld\n", (long long)(arg_int(value, "actual", 0) >> 20));
}

/* --- As properties of its device --- */

static const char *const stat_names[BALLOON_STATS] = {[BALLOON_SWAP_IN] = "stat-swap-in",
                                                      [BALLOON_SWAP_OUT] = "stat-swap-out",
                                                      [BALLOON_MAJOR_FAULTS] = "stat-major-faults",
                                                      [BALLOON_MINOR_FAULTS] = "stat-minor-faults",
                                                      [BALLOON_FREE_MEMORY] = "stat-free-memory",
                                                      [BALLOON_TOTAL_MEMORY] = "stat-total-memory",
                                                      [BALLOON_AVAILABLE_MEMORY] = "stat-available-memory",
                                                      [BALLOON_DISK_CACHES] = "stat-disk-caches",
                                                      [BALLOON_HTLB_PGALLOC] = "stat-htlb-pgalloc",
                                                      [BALLOON_HTLB_PGFAIL] = "stat-htlb-pgfail"};

static const struct balloon *balloon_named(struct machine *machine, const struct instance *instance)
{
    const struct balloon *balloon = board_service(registry_board(machine->registry), "balloon");
    return balloon && strcmp(balloon->id, instance->id) == 0 ? balloon : NULL;
}

/* What the guest did not say is -1, as QEMU's 64-bit all ones. */
static json_t *stats_json(const struct balloon *balloon)
{
    uint64_t stat[BALLOON_STATS];
    json_t *stats = json_object();
    int64_t when = balloon->stats(balloon->opaque, stat);
    for (unsigned i = 0; i < BALLOON_STATS; i++)
        json_object_set_new(stats, stat_names[i], json_integer((json_int_t)stat[i]));
    return json_pack("{s:o s:I}", "stats", stats, "last-update", (json_int_t)when);
}

json_t *balloon_property_get(struct machine *machine, const struct instance *instance, const char *property)
{
    const struct balloon *balloon = balloon_named(machine, instance);
    json_t *value = NULL;
    machine_lock();
    if (balloon && strcmp(property, "guest-stats") == 0)
        value = stats_json(balloon);
    else if (balloon && strcmp(property, "guest-stats-polling-interval") == 0)
        value = json_integer(balloon->polling(balloon->opaque));
    machine_unlock();
    return value;
}

bool balloon_property_set(struct machine *machine, const struct instance *instance, const char *property,
                          const json_t *value, GError **error)
{
    const struct balloon *balloon = balloon_named(machine, instance);
    if (!balloon || strcmp(property, "guest-stats-polling-interval") != 0)
        return false;
    json_int_t seconds = json_integer_value(value);
    if (!json_is_integer(value) || seconds < 0 || seconds > UINT32_MAX) {
        g_set_error(error, command_error(), COMMAND_ERROR_GENERIC, "timer value must be 0 to %u seconds", UINT32_MAX);
        return true;
    }
    machine_lock();
    balloon->set_polling(balloon->opaque, (uint32_t)seconds);
    machine_unlock();
    return true;
}

static const struct schema_type types[] = {{"BalloonInfo", "actual:int"}};

static const struct event_type news[] = {{"BALLOON_CHANGE", "actual:int"}, {"VSERPORT_CHANGE", "id:str open:bool"}};

static const struct command rows[] = {
    {"balloon", "balloon value:M", "value:int", NULL, "how much memory the guest shall do with", run_balloon, NULL},
    {"query-balloon", "info balloon", NULL, "BalloonInfo", "how much memory the guest has", query_balloon,
     print_balloon},
};

void commands_balloon_add(void)
{
    schema_add(types, G_N_ELEMENTS(types));
    events_add(news, G_N_ELEMENTS(news));
    commands_add(rows, G_N_ELEMENTS(rows));
}
