/* Linear to physical: the guest's page tables. Intel SDM vol. 3A, chapter 4. */
#pragma once

#include "cpu.h"

#define PAGING_WRITE 0x1u
#define PAGING_USER  0x2u /* with ring 3's rights */
#define PAGING_EXEC  0x4u

struct paging_result {
    gpa_t gpa;                       /* of the 4 KiB page that holds the address, A20 applied */
    uint32_t page_size;              /* 4 KiB, 2 MiB or 4 MiB: how far the mapping reaches */
    bool user, writable, nx, global; /* effective: all levels taken together (writable ignores CR0.WP) */
    bool accessed, dirty;            /* of the leaf, after the walk; both true without paging */
    uint32_t error;                  /* page-fault error code when the walk failed */
};

/* Walks for an access of kind PAGING_*. On success sets A (and D for a write) as the processor does
 * and returns true. On failure returns false with out->error; raises nothing, leaves CR2 alone. */
bool paging_walk(struct cpu *cpu, gla_t gla, unsigned access, struct paging_result *out);

/* The same, but changes nothing. Async-signal-safe: takes no lock, allocates nothing. With access 0 it
 * tells what the tables say for a supervisor read. */
bool paging_peek(const struct cpu *cpu, gla_t gla, unsigned access, struct paging_result *out);

/* The gpa the CPU puts on the bus: bit 20 forced to 0 while the A20 gate is closed. */
static inline gpa_t paging_a20(const struct cpu *cpu, gpa_t gpa)
{
    return cpu->a20_masked ? gpa & ~(gpa_t)MiB : gpa;
}

/* Loads the four PDPTEs that CR3 names. False, and nothing loaded, when one has reserved bits set. */
bool paging_load_pdptes(struct cpu *cpu, uint32_t cr3);
