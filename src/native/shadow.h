/* Shadows: what is remembered of guest page directories to keep their windows true.
 *
 * A space is one guest page directory (or the unpaged address space) with two windows: what the
 * supervisor reaches and what user code reaches. Pages are mapped on demand by shadow_fill, from the
 * fault handler; shadow_sync drops what the guest's own invalidations have made stale, by comparing
 * the guest's tables with a copy of what was used of them. Nothing is write-protected for that.
 */
#pragma once

#include "stats.h"
#include "bt.h"
#include "types.h"

struct space;

/* False: no address space for a single jump table. */
bool shadow_init(void);
/* How many bits of physical addresses from 32 on the processor has in entries for 4 MiB pages. */
void shadow_set_pse36(unsigned high_bits);
/* Switches to the space of cpu's present paging state and consumes cpu->changed. Then
 * bt->window, bt->jtable belong to bt->mode, which must be up to date. */
void shadow_sync(struct bt *bt);
/* INVLPG in the present space, which is otherwise in line with the CPU. */
void shadow_invlpg(struct bt *bt, gla_t gla);
/* Forgets all spaces and all translations, and gives back what was needed for them. A sync of everything must follow.
 */
void shadow_forget_all(void);
/* After a change of mode alone (CPL, segments): chooses window and table of the present space. */
void shadow_select(struct bt *bt);

enum fill {
    FILL_OK,      /* mapped now: retry the access */
    FILL_FAULT,   /* the guest's tables refuse it; *error is the page-fault error code */
    FILL_EMULATE, /* MMIO, ROM, open bus, or a store to a page with translations */
};
/* What of the guest a mapping shows: all that the supervisor reaches, or what user code does, in a window or in a cell.
 */
enum view { VIEW_SUPERVISOR, VIEW_USER, VIEW_CELL, VIEWS };
#define WINDOWS 2 /* the views that are windows, as in bt->view */

/* The access to gla in a window of the present space faulted. Async-signal-safe with respect to translated code. */
enum fill shadow_fill(struct bt *bt, enum view view, gla_t gla, bool write, uint32_t *error);

/* A number for the page of gla in the present space. */
uint64_t shadow_page_number(gla_t gla);
/* For an access to gla, within its page, that does without a mapping: where its byte is, and *frame, the guest-physical
 * page. Accessed and dirty bits are set. NULL: it is to be mapped or done otherwise (a fault, a large page, no RAM,
 * code, a point). */
uint8_t *shadow_touch(struct bt *bt, enum view view, gla_t gla, bool write, gpa_t *frame);
/* The same without a fault having come, as the window's list does not name the page (EXIT_SITE). FILL_OK only if it
 * does by now. */
enum fill shadow_fill_site(struct bt *bt, uint32_t *error);

/* code_page_fn and tr_protect_fn for the translator. */
bool shadow_code_page(struct bt *bt, gla_t gla, gpa_t *gpa, bool *global);
void shadow_protect(gpa_t page);
/* More pages of supervisor code are known than there is a budget for: time to forget them, with all translations. */
bool shadow_code_crowded(void);
void shadow_code_forget(void);

/* Takes linear page gla out of all windows and cells: it is to be mapped anew, as points.h says. */
void shadow_drop_page(gla_t gla);

/* The present space's cell, made if there is none; NULL: *why says why not. */
struct cell *shadow_cell(const char **why);
/* Ends it. */
void shadow_cell_drop(void);
/* Pages with SSE code may be mapped in cells: CR4.OSFXSR was set at some time. */
bool shadow_cell_may_have_sse(void);
/* An order of its manager failed: nothing is mapped in it. */
void shadow_cell_drop_mappings(void);
/* The runner faulted at gla, fetching the instruction at eip (execute) or not. True: mapped now, retry. False: the
 * instruction is for the interpreter, which raises what is to be raised. */
bool shadow_cell_fill(struct bt *bt, gla_t gla, bool execute, uint32_t eip);
/* The guest has just mapped the page of gla, which the runner touched: it is there at the next cell_run. */
void shadow_cell_premap(struct bt *bt, gla_t gla);
/* Was running the code at gla directly worth it, whichever process did it last? A number: how often it was begun
 * without being it; CELL_PAID; 0 also if nothing is known. It is known of code until that is written to. */
enum cell_worth { CELL_UNKNOWN, CELL_PAID = 15 };
void shadow_cell_set_worth(struct bt *bt, gla_t gla, enum cell_worth worth);
enum cell_worth shadow_cell_worth(struct bt *bt, gla_t gla);
/* guest_mem.code_written: translations and direct code of these bytes are void. */
void shadow_code_written(void *opaque, gpa_t gpa, uint32_t len);
/* Another number for each guest address space that is met. */
uint32_t shadow_space_serial(void);

/* Grows whenever an address space may have lost code it had: private stacks are stale. */
uint32_t shadow_code_epoch(void);
/* Identifies the present space (for the user private stack). */
unsigned shadow_space_id(void);
void shadow_stats_gather(struct stats *s); /* any thread */
