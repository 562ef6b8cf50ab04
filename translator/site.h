/* Sites: instructions that look whether their operand is mapped before they touch it. tr_site.c. */
#pragma once

#include "bt.h"

/* The instruction at host address pc touched a page that was not mapped (for this), or divided what cannot be divided.
 * Async-signal-safe. */
void tr_site_fault(struct bt *bt, const void *pc);
/* If bt->sites_due: translates anew the instructions that tr_site_fault found worth it. Not while translated code runs.
 */
void tr_sites_take(struct bt *bt);
/* Translated code was interrupted at host address pc: looks there that seldom miss by now are given up.
 * Async-signal-safe. */
void tr_site_sample(struct bt *bt, const void *pc);
/* After EXIT_SITE: false if the site looks no more. */
bool tr_site_missed(struct bt *bt);
/* Instead of leaving, site n is to access a device: false if it is to leave. And whether it has done so. */
bool tr_site_answers(unsigned n);
bool tr_site_is_device(unsigned n);
/* After tr_site_missed: is it better to interpret the access than to map the page? page: a number for it and its
 * address space; frame: the guest-physical page that it is, NO_FRAME if that is yet to be. */
#define NO_FRAME UINT64_MAX
bool tr_site_interprets(const struct bt *bt, uint64_t page, gpa_t frame);
void tr_site_interpreted(const struct bt *bt, uint64_t page, gpa_t frame); /* that was done */
/* Instead of leaving, site n is to access the page by a call, as that is better than to map it: false if it is to
 * leave. */
bool tr_site_touches(unsigned n, uint64_t page, gpa_t frame);
/* The page is mapped now, whatever for. Async-signal-safe. */
void tr_site_mapped(uint64_t page, gpa_t frame);
/* The guest may have changed where the page is. */
void tr_site_unmapped(uint64_t page);
