/* What insn_test (64-bit) and native32 (32-bit) share: one test case, and where everything lies.
 *
 * One memfd carries all of it. Layout of the memfd, and linear addresses in native32 and in the
 * guest (the guest has only code and data):
 *
 *     memfd offset  linear       what
 *     0             0x1ffff000   one read-only data page
 *     0x1000        0x20000000   two read-write data pages; unmapped before the first and after these
 *     0x3000        0x40000000   code, read and execute; unmapped behind
 *     NT_CASES_AT   0x60000000   struct nt_cases, native32 only
 *                   0x70000000   native32 itself
 */
#pragma once

#include <stdint.h>

#define NT_RO             0x1ffff000u
#define NT_DATA           0x20000000u
#define NT_DATA_SIZE      0x2000u
#define NT_CODE           0x40000000u
#define NT_CODE_SIZE      0x10000u
#define NT_CASES          0x60000000u
#define NT_FORBIDDEN_LOW  0x58000000u /* generated operands keep out: native32 lives here */
#define NT_FORBIDDEN_HIGH 0x78000000u

#define NT_DATA_AT  0x0u /* offsets in the memfd; the read-only page comes first */
#define NT_CODE_AT  0x3000u
#define NT_CASES_AT 0x13000u

/* FS in both worlds: a small segment inside the read-write pages. GS is null. */
#define NT_FS_BASE  (NT_DATA + 0x800u)
#define NT_FS_LIMIT 0x1000u
#define NT_FS_ENTRY 12 /* the first TLS slot of a 32-bit process on a 64-bit kernel */
#define NT_CS       0x23u
#define NT_DS       0x2bu
#define NT_FS       ((NT_FS_ENTRY << 3) | 3u)
/* What DS and ES, and SS, are in a case: like FS, the same in both worlds. LDT entries from 1 on, the data segment's
 * first. Bases are such that the data pages lie within 64 KiB where offsets have 16 bits. */
struct nt_segment {
    uint32_t base, limit; /* in bytes */
    uint8_t big, expand_down;
};
struct nt_shape {
    struct nt_segment data, stack;
};
#define NT_FLAT \
    { \
        0, 0xffffffffu, 1, 0 \
    }
static const struct nt_shape nt_shapes[] = {
    {NT_FLAT, NT_FLAT}, /* without the LDT */
    {{0, NT_DATA + 0x1fffu, 1, 0}, NT_FLAT},
    {{0, NT_DATA + 0xfffu, 1, 0}, {0, NT_DATA + 0x1fffu, 1, 0}},
    {{NT_DATA, 0xffffu, 0, 0}, {NT_DATA, 0xffffu, 0, 0}},
    {NT_FLAT, {NT_DATA, 0x17ffu, 0, 0}},
    {{0x1230000u, 0xffffffffu, 1, 0}, {0x1230000u, 0xffffffffu, 1, 0}},
    {{NT_DATA - 0x1234u, 0x2a01u, 1, 0}, {NT_DATA - 0x1234u, 0x2a01u, 1, 0}},
    {{0, NT_DATA + 0xfffu, 1, 1}, {0, NT_DATA + 0xfffu, 1, 1}},
};
#define NT_SHAPES           (sizeof(nt_shapes) / sizeof(nt_shapes[0]))
#define NT_SEL_DATA(shape)  ((shape) ? ((1 + 2 * (shape)) << 3 | 7u) : NT_DS)
#define NT_SEL_STACK(shape) ((shape) ? ((2 + 2 * (shape)) << 3 | 7u) : NT_DS)

/* 16-bit code: LDT entry 0, based at NT_CODE, so that IP is the offset in the code region. */
#define NT_CS16 0x07u

#define NT_BATCH      1024u
#define NT_WINDOW_MAX 640u

/* Code of case i: NT_SLOT_SIZE bytes from NT_CODE + i * NT_SLOT_SIZE:
 *     [jmp exit1] [nops] insn [jmp exit0] [nops] [jmp exit2]
 * exit1 and exit2 are the landing pads for a taken branch, backwards and forwards. The jumps are
 * jmp dword cs:[exit_entry + 4 n] (DS may be anything), and in 16-bit code jmp far NT_CS:exit. */
#define NT_SLOT_SIZE      64u
#define NT_SLOTS_PER_PAGE (4096u / NT_SLOT_SIZE)
#define NT_SLOT_INSN      24u /* where the instruction starts; up to 15 bytes, then up to 8 of jmp */
#define NT_SLOT_BACK      0u
#define NT_SLOT_FORTH     56u

enum nt_exit { NT_EXIT_NEXT, NT_EXIT_BACK, NT_EXIT_FORTH, NT_EXIT_SIGNAL };

#define NT_FPU    1u /* load fx before, save it afterwards */
#define NT_CODE16 2u /* in 16-bit code; eip is an offset from NT_CODE */

struct nt_regs {
    uint32_t gpr[8];
    uint32_t eflags;
    uint32_t eip;
};

struct nt_case {
    struct nt_regs in;
    struct nt_regs out;          /* out.eip is set by a signal only */
    uint32_t flags;              /* NT_FPU, NT_CODE16 */
    uint32_t window, window_len; /* linear address and length of what memory_in fills beforehand */
    uint32_t exit;               /* enum nt_exit */
    uint32_t vector, error, cr2;
    uint32_t shape; /* number in nt_shapes */
    uint32_t pad[1];
    uint32_t env[7]; /* FNSTENV behind the instruction, if it completed: the x87 pointers */
    uint8_t fx_in[512] __attribute__((aligned(16)));
    uint8_t fx_out[512];
    uint8_t memory_in[NT_WINDOW_MAX];
    uint8_t memory_out[NT_WINDOW_MAX];
};
_Static_assert(sizeof(struct nt_case) % 16 == 0, "fx images must stay aligned");

/* Every batch starts with the same data pages, and what it leaves there is kept for comparison. */
struct nt_cases {
    uint32_t exit_entry[3]; /* native32's landing addresses for the three jumps of a slot */
    uint32_t progress;      /* index of the case being run: the culprit when native32 dies */
    uint32_t has_code16;    /* this kernel lets native32 make segments, also 16-bit ones */
    uint32_t pad[11];
    uint8_t data_first[NT_DATA_SIZE];
    uint8_t data_last[NT_DATA_SIZE];
    struct nt_case c[NT_BATCH];
};

/* Command on fd 4, answered by the same bytes on fd 5. fd 3 is the memfd. */
struct nt_command {
    uint32_t first, count;
};
