/* A tiny machine for interpreter tests: 16 MiB of RAM, one CPU, flat protected or real mode, descriptor
 * tables at known places, and a record of what exception came. */
#pragma once

#include <glib.h>
#include <string.h>

#include "cpu.h"
#include "cpu/cpuid.h"
#include "mem.h"

#define GDT_AT   0x1000u
#define IDT_AT   0x2000u
#define TSS_AT   0x3000u
#define TSS2_AT  0x3800u
#define STUBS_AT 0x5000u /* vector v: STUBS_AT + v, one HLT each */
#define STACK0   0x8000u /* top of the ring 0 stack of inner entries */
#define CODE_AT  0x10000u
#define STACK_AT 0x20000u
#define DATA_AT  0x30000u
#define PAGES_AT 0x100000u

enum {
    CS0 = 0x08,
    DS0 = 0x10,
    CS3 = 0x1b,
    DS3 = 0x23,
    TSS_SEL = 0x28,
    TSS2_SEL = 0x30,
    CS16 = 0x38,
    DS16 = 0x40,
    FREE_SEL = 0x48, /* from here on the test's own */
    GDT_ENTRIES = 32
};

static struct cpu cpu;

static inline void put32(uint32_t gpa, uint32_t value)
{
    mem_write(gpa, &value, 4);
}
static inline void put16(uint32_t gpa, uint16_t value)
{
    mem_write(gpa, &value, 2);
}
static inline uint32_t get32(uint32_t gpa)
{
    uint32_t value;
    mem_read(gpa, &value, 4);
    return value;
}
static inline uint16_t get16(uint32_t gpa)
{
    uint16_t value;
    mem_read(gpa, &value, 2);
    return value;
}

/* access as in struct seg: type, S, DPL, P, then AVL, D/B, G in bits 12..15; limit in descriptor units */
static inline void put_desc(uint16_t sel, uint32_t base, uint32_t limit, uint16_t access)
{
    put32(GDT_AT + (sel & ~7u), (base & 0xffff) << 16 | (limit & 0xffff));
    put32(GDT_AT + (sel & ~7u) + 4,
          (base & 0xff000000u) | (base >> 16 & 0xff) | (limit & 0xf0000) | (uint32_t)access << 8);
}

/* A gate of any kind: access is type, DPL, P. */
static inline void put_gate(uint32_t at, uint16_t sel, uint32_t offset, uint8_t access, uint8_t params)
{
    put32(at, (uint32_t)sel << 16 | (offset & 0xffff));
    put32(at + 4, (offset & 0xffff0000u) | (uint32_t)access << 8 | params);
}

static inline void put_idt(uint8_t vector, uint16_t sel, uint32_t offset, uint8_t access)
{
    put_gate(IDT_AT + vector * 8u, sel, offset, access, 0);
}

static inline void set_flat(enum segreg reg, uint16_t sel, uint16_t access)
{
    cpu.seg[reg] = (struct seg){sel, access, 0, 0xffffffffu};
}

static inline void tiny_ring(unsigned ring)
{
    uint16_t dpl = (uint16_t)(ring << ACC_DPL_SHIFT);

    cpu.cpl = (uint8_t)ring;
    set_flat(SEG_CS, ring ? CS3 : CS0, 0xc09b | dpl);
    for (unsigned i = 0; i <= SEG_GS; i++) {
        if (i != SEG_CS)
            set_flat(i, ring ? DS3 : DS0, 0xc093 | dpl);
    }
}

/* Protected mode, flat, ring 0, every vector has a 32-bit interrupt gate to a HLT of its own. */
static inline void tiny_start_model(const char *model)
{
    static struct cpu_model *own;

    if (!guest_mem.ram) {
        GError *error = NULL;
        g_assert_true(mem_init(16 * MiB, &error));
    }
    g_free(own);
    own = cpu_model_parse(model, NULL);
    g_assert_nonnull(own);
    if (cpu.interp)
        interp_free(cpu.interp);
    cpu.model = own;
    interp_new(&cpu);
    cpu_reset(&cpu);
    memset(guest_mem.ram, 0, 0x200000);

    put_desc(CS0, 0, 0xfffff, 0xc09b);
    put_desc(DS0, 0, 0xfffff, 0xc093);
    put_desc(CS3, 0, 0xfffff, 0xc0fb);
    put_desc(DS3, 0, 0xfffff, 0xc0f3);
    put_desc(TSS_SEL, TSS_AT, 0x2ff, 0x8b);
    put_desc(TSS2_SEL, TSS2_AT, 0x67, 0x89);
    put_desc(CS16, 0, 0xffff, 0x009b);
    put_desc(DS16, 0, 0xffff, 0x0093);
    put32(TSS_AT + 4, STACK0);
    put16(TSS_AT + 8, DS0);
    put16(TSS_AT + 102, 0x68);
    for (unsigned v = 0; v < 256; v++) {
        put_idt((uint8_t)v, CS0, STUBS_AT + v, 0x8e);
        guest_mem.ram[STUBS_AT + v] = 0xf4;
    }
    cpu.cr0 = CR0_PE | CR0_ET | CR0_NE;
    cpu.gdtr = (struct dtable){GDT_AT, GDT_ENTRIES * 8 - 1};
    cpu.idtr = (struct dtable){IDT_AT, 256 * 8 - 1};
    cpu.seg[SEG_TR] = (struct seg){TSS_SEL, 0x8b, TSS_AT, 0x2ff};
    cpu.seg[SEG_LDTR].access = 0;
    tiny_ring(0);
    cpu.eip = CODE_AT;
    cpu.gpr[ESP] = STACK_AT;
}

static inline void tiny_start(void)
{
    tiny_start_model(NULL);
}

/* Real mode, CS:IP = 1000:0000, SS:SP = 2000:8000, vectors 0..31 at F000:v, one HLT each. */
static inline void tiny_start_real(void)
{
    tiny_start();
    cpu_reset(&cpu);
    memset(guest_mem.ram, 0, 0x1000);
    for (unsigned v = 0; v < 256; v++) {
        put16(v * 4, (uint16_t)v);
        put16(v * 4 + 2, 0x0500);
    }
    for (unsigned i = 0; i <= SEG_GS; i++)
        cpu.seg[i] = (struct seg){0, 0x93, 0, 0xffff};
    cpu.seg[SEG_CS] = (struct seg){CODE_AT >> 4, 0x93, CODE_AT, 0xffff};
    cpu.seg[SEG_SS] = (struct seg){0x2000, 0x93, 0x20000, 0xffff};
    cpu.seg[SEG_DS] = (struct seg){DATA_AT >> 4, 0x93, DATA_AT, 0xffff};
    cpu.eip = 0;
    cpu.gpr[ESP] = 0x8000;
}

static inline void tiny_code_at(uint32_t gpa, const void *bytes, size_t len)
{
    mem_write(gpa, bytes, (uint32_t)len);
}
#define tiny_code(...) \
    do { \
        static const uint8_t code_[] = {__VA_ARGS__}; \
        tiny_code_at(CODE_AT, code_, sizeof(code_)); \
    } while (0)

/* Runs until HLT, shutdown or 100000 instructions. */
static inline enum exit_reason tiny_run(void)
{
    const int quiet = 0;
    uint64_t done = 0;

    return interp_run(&cpu, 100000, &quiet, NULL, &done);
}

/* The exception that one step raised: its vector, or -1. */
static inline int tiny_step_vector(void)
{
    interp_step(&cpu);
    if (cpu.eip >= STUBS_AT && cpu.eip < STUBS_AT + 256)
        return (int)(cpu.eip - STUBS_AT);
    return -1;
}

/* The word on top of the (ring 0, 32-bit) stack: an exception's error code, or EIP. */
static inline uint32_t tiny_top(unsigned index)
{
    return get32(cpu.seg[SEG_SS].base + cpu.gpr[ESP] + index * 4);
}

#define assert_fault(vector, error) \
    do { \
        g_assert_cmpint(tiny_step_vector(), ==, vector); \
        g_assert_cmphex(tiny_top(0), ==, error); \
    } while (0)
