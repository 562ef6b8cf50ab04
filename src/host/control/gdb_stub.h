/* The stub's inside, for gdb*.c: what is remembered of the debugger, and the commands in their files. */
#pragma once

#include "gdb.h"
#include "gdb_packet.h"
#include "gdb_parse.h"
#include "session.h"

#define GDB_EINVAL 0x22u /* as QEMU writes errno's in decimal: 22 */
#define GDB_EFAULT 0x14u

struct gdb_point {
    enum debug_point kind;
    gla_t address;
    uint32_t len;
};

struct gdb_stub {
    struct session *session;
    const struct debug_target *target;
    struct gdb_hooks hooks;
    struct debug_client client;
    struct gdb_packet packet; /* coming in */
    GString *last;            /* as it was sent, until it is acknowledged */
    GString *reply;           /* being made */
    bool silent;              /* this command has no reply, or not yet */
    /* What this debugger has said about itself. */
    bool no_ack, greeted, multiprocess, swbreak, hwbreak;
    bool described; /* it has read the description */
    bool is_16bit;  /* the one that it has read last */
    bool physical;  /* memory packets mean physical addresses */
    unsigned sstep; /* SSTEP_* */
    /* And how the machine stands. */
    bool attached;
    bool awaiting; /* it waits for the machine to stop */
    struct debug_stop stop;
    /* It steps until it is out of these addresses. Sources: next_step between two of them, */
    bool in_range;
    gla_t range_start, range_end;
    guint next_step;
    guint off_reply; /* when the guest has switched the machine off, unless the program ends now */
    GArray *points;  /* struct gdb_point */
};

enum { SSTEP_ENABLE = 1, SSTEP_NOIRQ = 2, SSTEP_NOTIMER = 4, SSTEP_ALL = 7 };

typedef void gdb_command_fn(struct gdb_stub *stub, struct gdb_args *args);

/* A command's name is followed by its arguments at once (one letter), or by nothing or one of ,:;= (longer ones). */
struct gdb_command {
    const char *name;
    gdb_command_fn *run;
    enum {
        GDB_ANY,   /* at all times */
        GDB_STAND, /* the debugger has the machine, and it stands: made so first */
    } needs;
};

/* Each ends with a row without name. */
extern const struct gdb_command gdb_state_commands[]; /* gdb_state.c: registers, memory, points */
extern const struct gdb_command gdb_run_commands[];   /* gdb_run.c: going on, ending */
extern const struct gdb_command gdb_query_commands[]; /* gdb_query.c: questions and settings */

/* --- gdb.c --- */

/* Sends a packet of its own, before the reply. */
void gdb_send(struct gdb_stub *stub, const char *body, size_t len);
void gdb_reply_ok(struct gdb_stub *stub);
void gdb_reply_error(struct gdb_stub *stub, unsigned number);
/* False, with the reply set: somebody else debugs it, or nobody can. */
bool gdb_attach(struct gdb_stub *stub);
void gdb_detach(struct gdb_stub *stub);

/* --- gdb_run.c --- */

/* The machine stands after a step, and there are more to come before the debugger hears of it. */
bool gdb_range_goes_on(struct gdb_stub *stub);
/* It does not wait any more: steps in a range end, too. */
void gdb_waits_no_more(struct gdb_stub *stub);
/* Says why the machine stands. */
void gdb_stop_reply(struct gdb_stub *stub, GString *out);

/* --- gdb_state.c --- */
void gdb_points_remove(struct gdb_stub *stub);
