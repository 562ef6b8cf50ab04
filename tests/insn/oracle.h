/* The other side of native32: starts it, shares the cases with it. */
#pragma once

#include <stdbool.h>

#include "native_case.h"

struct oracle {
    struct nt_cases *cases;
    uint8_t *code;      /* NT_CODE_SIZE bytes, writable here */
    uint8_t *read_only; /* the page at NT_RO */
    int to, from;
    int pid;
};

/* path: the native32 program. False after a message if it cannot run here. */
bool oracle_start(struct oracle *o, const char *path);
void oracle_stop(struct oracle *o);
/* Starts cases [first, first + count); oracle_wait waits for the end. False: native32 died or hangs,
 * in case cases->progress. */
void oracle_run(struct oracle *o, uint32_t first, uint32_t count);
bool oracle_wait(struct oracle *o);
