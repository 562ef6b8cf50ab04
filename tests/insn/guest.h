/* The guest in which an engine runs the cases: ring 3, flat, paged, as native32 sees the world. */
#pragma once

#include "engine.h"
#include "native_case.h"

struct guest_result {
    bool faulted;
    uint32_t vector, error, cr2;
    struct nt_regs regs; /* as the handler found them on its stack, if faulted */
};

/* Sets up memory, page tables, descriptors and the CPU. read_only: what the page at NT_RO holds;
 * mxcsr_mask: as the host's, so that both take the same values. */
void guest_init(const struct engine *engine, const uint8_t *read_only, uint32_t mxcsr_mask);
/* Host pointer to the guest's data pages (NT_DATA_SIZE bytes). */
uint8_t *guest_data(void);
void guest_write_code(uint32_t offset, const uint8_t *bytes, uint32_t len);
/* shape: number in nt_shapes. pads: where an instruction that completes may have gone, for engines that end at HLT.
 * code16: in 16-bit code based at NT_CODE. fx: loaded before and filled afterwards, or NULL. */
void guest_run(const struct nt_regs *in, const uint32_t pads[3], bool code16, unsigned shape, struct fxstate *fx,
               struct guest_result *result);
