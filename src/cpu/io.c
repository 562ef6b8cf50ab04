/* Port access by guest instructions. Intel SDM vol. 1, chapter 19 (I/O permission bitmap). */
#include "io.h"

#include "interp.h"
#include "ioport.h"
#include "stats.h"
#include "vclock.h"

enum cpu_rc io_check(struct cpu *cpu, uint16_t port, unsigned size)
{
    const struct seg *tr = &cpu->seg[SEG_TR];
    uint32_t base, bits;
    enum cpu_rc rc;

    if (cpu_is_real(cpu))
        return CPU_OK;
    if (!cpu_is_v86(cpu) && cpu->cpl <= (cpu->eflags & FL_IOPL) >> FL_IOPL_SHIFT)
        return CPU_OK;
    /* Only a 32-bit TSS has a bitmap. */
    if (!(tr->access & ACC_P) || !(tr->access & 8) || tr->limit < 103)
        return cpu_raise(cpu, EXC_GP, 0);
    rc = interp_read_linear(cpu, tr->base + 102, 2, false, &base);
    if (rc != CPU_OK)
        return rc;
    if (base + port / 8 + 1 > tr->limit) /* two bytes are read, whatever the width */
        return cpu_raise(cpu, EXC_GP, 0);
    rc = interp_read_linear(cpu, tr->base + base + port / 8, 2, false, &bits);
    if (rc != CPU_OK)
        return rc;
    if ((bits >> (port & 7)) & ((1u << size) - 1))
        return cpu_raise(cpu, EXC_GP, 0);
    return CPU_OK;
}

/* I/O breakpoints, with CR4.DE: type 2. */
static void io_watch(struct cpu *cpu, uint16_t port, unsigned size)
{
    uint32_t dr7 = cpu->dr[7];

    if (!(cpu->cr4 & CR4_DE) || !(dr7 & 0xff))
        return;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t len = ((dr7 >> (18 + i * 4)) & 3) + 1;
        uint32_t first = cpu->dr[i] & ~(len - 1);
        if (((dr7 >> (i * 2)) & 3) && ((dr7 >> (16 + i * 4)) & 3) == 2 && port < first + len &&
            first < (uint32_t)port + size)
            cpu->interp->db_hits |= 1u << i;
    }
}

static bool io_is_forbidden(struct cpu *cpu)
{
    if (!cpu->interp->log)
        return false;
    cpu->interp->log->device = true;
    return true;
}

enum cpu_rc io_in(struct cpu *cpu, uint16_t port, unsigned size, uint32_t *value)
{
    if (io_is_forbidden(cpu))
        return CPU_EXIT;
    io_watch(cpu, port, size);
    enum stat_id before = stats_enter(STAT_device_port);
    machine_lock();
    *value = ioport_read(port, size);
    machine_unlock();
    stats_leave(before);
    return CPU_OK;
}

enum cpu_rc io_out(struct cpu *cpu, uint16_t port, unsigned size, uint32_t value)
{
    if (io_is_forbidden(cpu))
        return CPU_EXIT;
    io_watch(cpu, port, size);
    enum stat_id before = stats_enter(STAT_device_port);
    machine_lock();
    ioport_write(port, size, value);
    machine_unlock();
    stats_leave(before);
    return CPU_OK;
}
