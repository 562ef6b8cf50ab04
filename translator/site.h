/* Sites: instructions that look whether their operand is mapped before they touch it. tr_site.c. */
#pragma once

#include "bt.h"

/* The instruction at host address pc touched a page that was not mapped (for this). Async-signal-safe. */
void tr_site_fault(struct bt *bt, const void *pc);
/* If bt->sites_due: translates anew the instructions that tr_site_fault found worth it. Not while translated code runs.
 */
void tr_sites_take(struct bt *bt);
/* After EXIT_SITE: false if it came because the site seldom misses by now, and looks no more. */
bool tr_site_missed(struct bt *bt);
/* Instead of leaving, site n is to access a device: false if it is to leave. And whether it has done so. */
bool tr_site_answers(struct bt *bt, unsigned n);
bool tr_site_is_device(unsigned n);
/* After tr_site_missed: is it better to interpret the access than to map the page? page: a number for it and its
 * address space; epoch: another one after each change of address spaces. */
bool tr_site_interprets(const struct bt *bt, uint64_t page, uint32_t epoch);
void tr_site_touched(const struct bt *bt, uint64_t page, uint32_t epoch); /* that was done */
/* The page is mapped now, whatever for. Async-signal-safe. */
void tr_site_mapped(uint64_t page, uint32_t epoch);
