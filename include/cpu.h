/* The virtual CPU's architectural state, and what engines say to the run loop.
 *
 * Intel SDM vol. 3A, chapters 2 to 6. struct cpu holds architectural values only (and the few hidden
 * ones the manual names: descriptor caches, the interrupt shadow). Engine state lives in struct vcpu.
 */
#pragma once

#include "types.h"
#include "x86.h"

/* The x87/MMX/SSE state exactly as FXSAVE writes it (SDM vol. 2A, FXSAVE, 32-bit layout of the
 * pointers). 16-byte aligned: the host's FXSAVE/FXRSTOR are used on it directly. */
struct fxstate {
    uint16_t fcw, fsw;
    uint8_t ftw, rsvd0; /* abridged tag: bit set = register not empty */
    uint16_t fop;
    uint32_t fip;
    uint16_t fcs, rsvd1;
    uint32_t fdp;
    uint16_t fds, rsvd2;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];   /* ST(0)..ST(7), 10 bytes used each */
    uint8_t xmm[16][16]; /* a 32-bit guest has the first eight */
    uint8_t rsvd3[96];
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct fxstate) == 512, "FXSAVE image");

/* A segment register with its descriptor cache. In real and V86 mode base = sel << 4. */
struct seg {
    uint16_t sel;
    uint16_t access; /* ACC_*; ACC_P clear = null or unusable: any use raises #GP (#SS for SS) */
    uint32_t base;
    uint32_t limit; /* in bytes, granularity applied: highest valid offset (lowest minus one if expand-down) */
};

struct dtable { /* GDTR, IDTR */
    uint32_t base;
    uint16_t limit;
};

/* What changed in a way engines other than the interpreter must hear of. Set where the guest changes
 * it (interp, task, exception), consumed in one place, before the next entry to translated code. */
#define CHANGED_MODE   0x01u /* CR0, CR4, EFER, EFLAGS.VM/TF/AC/NT/IOPL, CPL, any segment register */
#define CHANGED_CR3    0x02u /* CR3 written (PDPTEs reloaded with PAE): non-global translations are stale */
#define CHANGED_TLB    0x04u /* all translations are stale, global ones too (PG, PGE, PSE, PAE, WP, NXE toggled) */
#define CHANGED_INVLPG 0x08u /* the pages in invlpg[] are stale; overflow sets CHANGED_TLB instead */
#define CHANGED_A20    0x10u
#define CHANGED_DR     0x20u

#define CPU_INVLPG_MAX 16

struct cpu_model; /* cpuid.h: what CPUID shows */
struct machine_hooks;

struct cpu {
    uint32_t gpr[8];
    uint32_t eip;    /* offset in CS of the next (or faulting) instruction */
    uint32_t eflags; /* all bits valid, FL_FIXED1 set */
    struct seg seg[SEG_COUNT];
    struct dtable gdtr, idtr;
    uint32_t cr0, cr2, cr3, cr4;
    uint64_t pdpte[4]; /* loaded by MOV CR3 / CR0.PG with CR4.PAE */
    uint64_t efer;
    uint32_t dr[8]; /* DR4, DR5 unused */
    uint8_t cpl;
    bool halted;      /* HLT executed; cleared when an interrupt is delivered */
    bool shutdown;    /* triple fault: the machine must reset */
    bool nmi_blocked; /* until IRET */
    bool inhibit_irq; /* interrupt shadow: after STI, MOV SS, POP SS, for one instruction */
    bool inhibit_db;  /* the same shadow holds off #DB after MOV/POP SS */
    bool a20_masked;  /* A20 gate closed: physical bit 20 forced to 0 */
    bool ferr;        /* FERR# pin: with CR0.NE = 0 a waiting x87 instruction has met an unmasked error (IRQ 13) */
    bool ignne;       /* IGNNE# pin: it goes on in spite of that. Port F0h, until FERR# ends */
    uint32_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_offset; /* guest TSC = host TSC + tsc_offset */
    uint64_t msr_pat, msr_apicbase, msr_misc_enable, msr_mtrr_def_type;
    uint64_t msr_mtrr[32]; /* 0x200..0x20f variable, then the eleven fixed ones (cpu_msr.c maps them) */
    struct fxstate fpu;

    /* --- not architectural: news and wiring --- */
    uint32_t changed; /* CHANGED_* */
    bool ferr_news;   /* FERR# has moved: the machine must hear of it */
    uint32_t invlpg_count;
    gla_t invlpg[CPU_INVLPG_MAX];
    const struct cpu_model *model;
    void (*fpu_fetch)(struct cpu *cpu); /* not NULL: the FPU state is elsewhere, and this brings it to `fpu` */
    struct interp *interp;              /* the interpreter's private caches (TLB, decoded instructions) */
};

/* How one step of guest work ended. */
enum cpu_rc {
    CPU_OK = 0,    /* the instruction completed */
    CPU_FAULT = 1, /* an exception is pending in cpu (internal to src/cpu; interp_step delivers it) */
    CPU_EXIT = 2,  /* the run loop must look at cpu->halted, cpu->shutdown, or the reason */
};

/* Why an engine came back to the run loop. One counter each (stats). */
enum exit_reason {
    EXIT_BUDGET,   /* ran the number of instructions asked for */
    EXIT_KICK,     /* another thread asked for attention (interrupt, stop, reset) */
    EXIT_HALT,     /* HLT */
    EXIT_SHUTDOWN, /* triple fault */
    EXIT_DEVICE,   /* interp only, with io_forbidden: the next instruction would touch a device */
    EXIT_LOOKUP,   /* translated code needs a block for cpu->eip */
    EXIT_CHAIN,    /* the same, and the jump that asked can be patched: only bt->find sees it */
    EXIT_INTERP,   /* the instruction at cpu->eip is for the interpreter */
    EXIT_FPU,      /* an FPU instruction, and the FPU state is in memory */
    EXIT_STALE,    /* a block found that its source bytes have changed */
    EXIT_SITE,     /* a memory operand was looked for and is not mapped: see tr_site.c */
    EXIT_GATE,     /* as EXIT_INTERP, and translated code could do it itself if it knew: see src/engine/gates.h */
    EXIT_FAULT,    /* a guest exception, recorded by the fault handler */
    EXIT_COUNT
};

/* Power-on or RESET# state (SDM vol. 3A, table 9-1). Keeps model, interp and wiring. */
void cpu_reset(struct cpu *cpu);

/* True in protected mode outside V86 / in V86 / in real mode. */
static inline bool cpu_is_protected(const struct cpu *cpu)
{
    return (cpu->cr0 & CR0_PE) && !(cpu->eflags & FL_VM);
}
static inline bool cpu_is_v86(const struct cpu *cpu)
{
    return (cpu->cr0 & CR0_PE) && (cpu->eflags & FL_VM);
}
static inline bool cpu_is_real(const struct cpu *cpu)
{
    return !(cpu->cr0 & CR0_PE);
}
static inline bool cpu_is_paging(const struct cpu *cpu)
{
    return (cpu->cr0 & CR0_PG) != 0;
}
/* Default operand and address size of code: 32 if CS.D is set. */
static inline bool cpu_code32(const struct cpu *cpu)
{
    return (cpu->seg[SEG_CS].access & ACC_DB) != 0;
}
static inline bool cpu_stack32(const struct cpu *cpu)
{
    return (cpu->seg[SEG_SS].access & ACC_DB) != 0;
}

/* Guest RDTSC value now. */
uint64_t cpu_tsc(const struct cpu *cpu);

/* Hears of writes to IA32_APIC_BASE, on the vCPU thread, without the machine lock. */
void cpu_set_apicbase_hook(void (*hook)(void *opaque, uint64_t value), void *opaque);
/* IA32_TSC_DEADLINE is the local APIC's. host_tsc: what the host's TSC will be when the guest's is value. As above. */
struct tsc_deadline_hooks {
    uint64_t (*read)(void *opaque);
    void (*write)(void *opaque, uint64_t value, uint64_t host_tsc);
    void *opaque;
};
void cpu_set_tsc_deadline_hooks(struct tsc_deadline_hooks hooks); /* all NULL: there is no APIC */

/* For humans, as QEMU prints it. While it stands, or on its own thread. */
struct _GString;
void cpu_print(const struct cpu *cpu, struct _GString *out);
void cpu_print_short(const struct cpu *cpu, struct _GString *out); /* without the FPU */
void cpu_print_code(const struct cpu *cpu, struct _GString *out);  /* the bytes around CS:EIP, one line */

/* The processor's state as bytes (state.c), while time stands. stopped_tsc: the host's TSC when it stopped, for that of
 * the guest. Load: false when the bytes do not fit or make no sense; the processor is then as it was. */
struct _GByteArray;
void cpu_save(struct cpu *cpu, uint64_t stopped_tsc, struct _GByteArray *out);
bool cpu_load(struct cpu *cpu, uint64_t stopped_tsc, const uint8_t *bytes, size_t len);

/* Delivers an external interrupt (already acknowledged at the PIC) or NMI through the IDT; wakes a
 * halted CPU. May end in a fault delivered in its place or in shutdown. Call only between
 * instructions, with EFLAGS.IF set (not required for NMI) and no interrupt shadow. */
void cpu_interrupt(struct cpu *cpu, uint8_t vector);

/* Delivers a fault found outside the interpreter (translated code), with exact state in *cpu.
 * For EXC_PF cr2 is stored in CR2. error is pushed where the vector has an error code. */
void cpu_exception(struct cpu *cpu, uint8_t vector, uint32_t error, gla_t cr2);

/* --- The interpreter (src/cpu/interp.c) --- */

/* Allocates the interpreter's caches. Never fails (aborts on out of memory, at start-up). */
struct interp *interp_new(struct cpu *cpu);
void interp_free(struct interp *interp);

/* Executes exactly one instruction at CS:EIP (a REP string instruction counts as one iteration or
 * more, restartable), including delivery of whatever it raises. On return cpu is at an instruction
 * boundary. Returns CPU_OK or CPU_EXIT (halted or shutdown set, or io_forbidden hit). */
enum cpu_rc interp_step(struct cpu *cpu);

/* Executes until budget instructions are done, *kick becomes non-zero (checked at least every 64
 * instructions), the CPU halts or shuts down, or an interrupt shadow/IF change makes a pending
 * interrupt deliverable (irq_pending non-NULL and set, IF = 1: checked after STI, POPF, IRET).
 * Adds the number executed to *done. */
enum exit_reason interp_run(struct cpu *cpu, uint64_t budget, const volatile int *kick, const volatile int *irq_pending,
                            uint64_t *done);

/* From now on stores to RAM happen that the interpreter does not hear of (translated code): it compares
 * each cached decoded instruction with memory before use. */
void interp_share_ram(struct cpu *cpu);

/* The interpreter's TLB caches guest translations as a real one does. It flushes itself for what
 * guest instructions do; call these when state was changed from outside (load, lockstep rewind). */
void interp_flush_tlb(struct cpu *cpu);
/* Where the n bytes at gla are, if they are in a page that no RAM or ROM answers for (mem_ptr is NULL), and nobody
 * watches accesses. walk: also if that is not known from earlier accesses. For an access that is going to be made. */
bool interp_find_device(struct cpu *cpu, gla_t gla, unsigned n, bool write, bool user, bool walk, gpa_t *gpa);
/* A #DB comes before the next instruction: that is the interpreter's. */
bool interp_db_pending(const struct cpu *cpu);

/* Points (points.h). A breakpoint: the instruction is not executed, interp_step ends with CPU_EXIT, interp_run with
 * EXIT_DEVICE. A watchpoint: the access happens, and the instruction or one iteration of it is completed. stop is
 * called in the middle of either, once, until interp_points_begin. */
struct debug_stop;
struct point_hook {
    void (*stop)(void *opaque, const struct debug_stop *stop);
    void *opaque;
};
void interp_set_point_hook(struct cpu *cpu, struct point_hook hook);
void interp_points_begin(struct cpu *cpu);
void interp_points_changed(struct cpu *cpu);  /* engines see others */
bool interp_point_hit(const struct cpu *cpu); /* stop was called */
/* As interp_step, in spite of a breakpoint, and one iteration of a REP instruction at most. host_tsc: what the host's
 * TSC was when time stopped; 0: time runs. */
enum cpu_rc interp_step_one(struct cpu *cpu, uint64_t host_tsc);

/* Lockstep: while log is set, every store to RAM first appends what was there, and an instruction
 * that would touch a device (port or MMIO) or read the TSC does nothing and ends with CPU_EXIT
 * and log->device set. */
struct store_log_entry {
    gpa_t gpa;
    uint8_t size; /* 1..16 */
    bool walk;    /* the accessed and dirty bits of a page table's entry */
    uint8_t old[16];
};
struct store_log {
    struct store_log_entry *entry;
    uint32_t count, capacity;
    bool overflow; /* capacity reached: entries are missing */
    bool device;
};
void interp_set_store_log(struct cpu *cpu, struct store_log *log); /* NULL ends it */
