/* The little guest of the instruction tests.
 *
 * Physical memory: page tables from 0x1000, system tables and the ring-0 stack from 0x10000, the read-only
 * page at 0x20000, data at 0x21000, code at 0x30000. The system pages are mapped, for ring 0 only, where native32
 * itself lives and no case looks. A case that faults ends at the first instruction of its
 * handler, which is not run: the frame on the stack tells everything. */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "mem.h"

#define PD_AT     0x1000u
#define PT_AT     0x2000u /* one page each for data, code, system: filled on demand */
#define GDT_AT    0x10000u
#define IDT_AT    0x11000u
#define TSS_AT    0x12000u
#define STACK_AT  0x13000u
#define STUBS_AT  0x14000u
#define RO_AT     0x20000u
#define DATA_AT   0x21000u
#define CODE_AT   0x30000u
#define SYSTEM    0x68000000u /* linear address of physical 0 */
#define STUB_SIZE 16u
#define KERNEL_CS 0x10u
#define KERNEL_DS 0x18u
#define TSS_SEL   0x68u

static struct cpu *guest;
static struct cpu fresh; /* segments and control registers before each case */
static const struct engine *tested;
static unsigned page_tables;

static uint32_t *ram32(uint32_t gpa)
{
    return (uint32_t *)(guest_mem.ram + gpa);
}

static void map_page(uint32_t linear, uint32_t gpa, uint32_t rights)
{
    uint32_t *pde = ram32(PD_AT) + (linear >> 22);

    if (!*pde)
        *pde = (PT_AT + PAGE_SIZE * page_tables++) | 0x67;
    ram32(*pde & PAGE_MASK)[(linear >> 12) & 0x3ff] = gpa | 0x61 | rights;
}

static void put_descriptor(unsigned selector, uint32_t base, uint32_t limit, uint32_t access)
{
    uint32_t *d = ram32(GDT_AT + (selector & ~7u));

    d[0] = base << 16 | (limit & 0xffff);
    d[1] = (base & 0xff000000) | (base >> 16 & 0xff) | (limit & 0xf0000) | access << 8;
}

static struct seg flat(uint16_t selector, uint16_t access)
{
    return (struct seg){.sel = selector, .access = access, .base = 0, .limit = 0xffffffff};
}

void guest_init(const struct engine *engine, const uint8_t *read_only, uint32_t mxcsr_mask)
{
    GError *error = NULL;
    struct cpu_model *model;

    if (!mem_init(2 * MiB, &error)) {
        fprintf(stderr, "insn_test: %s\n", error->message);
        exit(1);
    }
    tested = engine;
    map_page(NT_RO, RO_AT, PTE_U);
    for (uint32_t i = 0; i < NT_DATA_SIZE; i += PAGE_SIZE)
        map_page(NT_DATA + i, DATA_AT + i, PTE_U | PTE_W);
    for (uint32_t i = 0; i < NT_CODE_SIZE; i += PAGE_SIZE)
        map_page(NT_CODE + i, CODE_AT + i, PTE_U);
    for (uint32_t i = GDT_AT; i < STUBS_AT + PAGE_SIZE; i += PAGE_SIZE)
        map_page(SYSTEM + i, i, PTE_W);
    memcpy(guest_mem.ram + RO_AT, read_only, PAGE_SIZE);

    put_descriptor(KERNEL_CS, 0, 0xfffff, 0xc09b);
    put_descriptor(KERNEL_DS, 0, 0xfffff, 0xc093);
    put_descriptor(NT_CS, 0, 0xfffff, 0xc0fb);
    put_descriptor(NT_DS, 0, 0xfffff, 0xc0f3);
    put_descriptor(NT_FS, NT_FS_BASE, NT_FS_LIMIT, 0x40f3);
    put_descriptor(TSS_SEL, SYSTEM + TSS_AT, 0x67, 0x008b);
    ram32(TSS_AT)[1] = SYSTEM + STACK_AT + PAGE_SIZE; /* ESP0, SS0 */
    ram32(TSS_AT)[2] = KERNEL_DS;
    ram32(TSS_AT)[25] = 0x68u << 16; /* no I/O bitmap */
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t stub = SYSTEM + STUBS_AT + STUB_SIZE * i;

        ram32(IDT_AT)[2 * i] = KERNEL_CS << 16 | (stub & 0xffff);
        ram32(IDT_AT)[2 * i + 1] = (stub & 0xffff0000) | 0x8e00 | (i == EXC_BP || i == EXC_OF ? 0x6000 : 0);
    }

    model = cpu_model_parse(NULL, &error);
    g_assert_no_error(error);
    model->feats = ~0u; /* which rows the host can judge is decided elsewhere */
    guest = engine->create(model);
    cpu_reset(guest);
    guest->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    guest->cr4 = CR4_PSE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    guest->cr3 = PD_AT;
    guest->cpl = 3;
    guest->seg[SEG_CS] = flat(NT_CS, 0xc0fb);
    guest->seg[SEG_SS] = guest->seg[SEG_DS] = guest->seg[SEG_ES] = flat(NT_DS, 0xc0f3);
    guest->seg[SEG_FS] = (struct seg){.sel = NT_FS, .access = 0x40f3, .base = NT_FS_BASE, .limit = NT_FS_LIMIT};
    guest->seg[SEG_GS] = guest->seg[SEG_LDTR] = (struct seg){0};
    guest->seg[SEG_TR] = (struct seg){.sel = TSS_SEL, .access = 0x008b, .base = SYSTEM + TSS_AT, .limit = 0x67};
    guest->gdtr = (struct dtable){SYSTEM + GDT_AT, 0xfff};
    guest->idtr = (struct dtable){SYSTEM + IDT_AT, 0x7ff};
    guest->eflags = FL_FIXED1 | FL_IF;
    for (uint32_t i = 0; i < PAGE_SIZE; i += STUB_SIZE)
        guest_mem.ram[STUBS_AT + i] = 0xf4; /* hlt */
    fresh = *guest;
    guest->fpu.mxcsr_mask = mxcsr_mask;
    tested->reset(guest);
}

uint8_t *guest_data(void)
{
    return guest_mem.ram + DATA_AT;
}

void guest_write_code(uint32_t offset, const uint8_t *bytes, uint32_t len)
{
    mem_write(CODE_AT + offset, bytes, len);
}

static struct seg shaped(uint32_t selector, const struct nt_segment *s)
{
    return (struct seg){.sel = (uint16_t)selector,
                        .access = (uint16_t)(0x00f3 | (s->big ? ACC_DB : 0) | (s->expand_down ? ACC_EXPDOWN : 0) |
                                             (s->limit > 0xfffff ? ACC_G : 0)),
                        .base = s->base,
                        .limit = s->limit};
}

void guest_run(const struct nt_regs *in, const uint32_t pads[3], bool code16, unsigned shape, struct fxstate *fx,
               struct guest_result *result)
{
    memcpy(guest->gpr, in->gpr, sizeof(guest->gpr));
    guest->eip = in->eip;
    guest->eflags = in->eflags;
    guest->cpl = 3;
    guest->seg[SEG_CS] =
        code16 ? (struct seg){.sel = NT_CS16, .access = 0x00fb, .base = NT_CODE, .limit = NT_CODE_SIZE - 1}
               : fresh.seg[SEG_CS];
    guest->changed |= CHANGED_MODE;
    guest->seg[SEG_SS] = shaped(NT_SEL_STACK(shape), &nt_shapes[shape].stack);
    guest->seg[SEG_DS] = guest->seg[SEG_ES] = shaped(NT_SEL_DATA(shape), &nt_shapes[shape].data);
    if (fx) {
        uint32_t mask = guest->fpu.mxcsr_mask;

        guest->fpu = *fx;
        guest->fpu.mxcsr_mask = mask;
    }
    tested->run_one(guest);
    if (fx)
        *fx = guest->fpu;
    memcpy(result->regs.gpr, guest->gpr, sizeof(guest->gpr));
    result->regs.eip = guest->eip;
    result->regs.eflags = guest->eflags;
    result->faulted = guest->cpl == 0;
    result->vector = result->error = result->cr2 = 0;
    if (result->faulted) {
        const uint32_t *frame = ram32(guest->gpr[ESP] - SYSTEM);
        uint32_t depth = (SYSTEM + STACK_AT + PAGE_SIZE - guest->gpr[ESP]) / 4;

        result->vector = (guest->eip - (SYSTEM + STUBS_AT)) / STUB_SIZE;
        if (depth == 6)
            result->error = *frame++;
        result->cr2 = result->vector == EXC_PF ? guest->cr2 : 0;
        result->regs.eip = frame[0];
        result->regs.eflags = frame[2];
        result->regs.gpr[ESP] = frame[3];
    }
    if (result->faulted && tested->ends_at_hlt) {
        uint32_t eip = result->regs.eip, code_base = code16 ? NT_CODE : 0;

        if (eip != in->eip && /* its own fault */
            ((result->vector == EXC_GP && (eip == pads[0] || eip == pads[1] || eip == pads[2])) ||
             (result->vector == EXC_PF && result->cr2 == eip + code_base))) {
            result->faulted = false;
            result->regs.eflags &= ~FL_RF;
        }
    }
    if (guest->halted || guest->shutdown) { /* never in ring 3 */
        fprintf(stderr, "insn_test: the guest halted or shut down\n");
        exit(1);
    }
}

/* --- the interpreter as an engine --- */

static struct cpu *interp_create(const struct cpu_model *model)
{
    static struct cpu cpu;

    cpu.model = model;
    interp_new(&cpu);
    return &cpu;
}

static void interp_run_one(struct cpu *cpu)
{
    uint32_t start = cpu->eip;

    do {
        interp_step(cpu);
    } while (cpu->eip == start && cpu->cpl == 3);
}

const struct engine engine_interp = {
    .name = "interp",
    .create = interp_create,
    .reset = interp_flush_tlb,
    .run_one = interp_run_one,
};
