/* A debugger's memory accesses (debug.h): page walks that leave no trace, and writes that engines hear of as they do of
 * the guest's own. All on the processor's thread: translations and decoded instructions are its.
 */
#include "debug_memory.h"

#include <string.h>

#include "cpu/paging.h"
#include "mem.h"

struct job {
    struct cpu *cpu;
    bool physical, ok;
    uint64_t address;
    size_t len;
    uint8_t *to;         /* of a read */
    const uint8_t *from; /* of a write */
};

/* Where the byte is. False: not mapped, or not memory. */
static bool find(const struct cpu *cpu, bool physical, uint64_t address, gpa_t *gpa)
{
    struct paging_result r;
    *gpa = address;
    if (!physical) {
        if (address > UINT32_MAX || !paging_peek(cpu, (gla_t)address, 0, &r))
            return false;
        *gpa = r.gpa + (address & (PAGE_SIZE - 1));
    }
    return mem_ptr(*gpa) != NULL;
}

static size_t in_page(uint64_t address, size_t len)
{
    size_t rest = PAGE_SIZE - (address & (PAGE_SIZE - 1));
    return len < rest ? len : rest;
}

size_t debug_peek(const struct cpu *cpu, uint64_t address, void *bytes, size_t len)
{
    gpa_t gpa;
    size_t done = 0;
    for (size_t n; done < len; done += n) {
        n = in_page(address + done, len - done);
        if (!find(cpu, !cpu, address + done, &gpa))
            break;
        memcpy((uint8_t *)bytes + done, mem_ptr(gpa), n);
    }
    return done;
}

/* All or nothing: what it is to be written to is looked at first, and no write moves it. */
static bool write_all(const struct job *job)
{
    gpa_t gpa;
    if (job->address + job->len < job->address)
        return false;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t done = 0, n; done < job->len; done += n) {
            n = in_page(job->address + done, job->len - done);
            if (!find(job->cpu, job->physical, job->address + done, &gpa))
                return false; /* in the second pass: it has just written to the page tables it goes through */
            if (mem_page_flags(gpa) & MEM_PAGE_ROM)
                return false;
            if (pass)
                mem_write(gpa, job->from + done, (uint32_t)n);
        }
    }
    return true;
}

static void read_job(void *opaque)
{
    struct job *job = opaque;
    job->ok = job->address + job->len >= job->address &&
              debug_peek(job->physical ? NULL : job->cpu, job->address, job->to, job->len) == job->len;
}

static void write_job(void *opaque)
{
    struct job *job = opaque;
    job->ok = write_all(job);
}

bool debug_read_memory(struct vcpu *vcpu, bool physical, uint64_t address, uint8_t *bytes, size_t len)
{
    struct job job = {.cpu = vcpu_cpu(vcpu), .physical = physical, .address = address, .len = len, .to = bytes};
    vcpu_call(vcpu, read_job, &job);
    return job.ok;
}

bool debug_write_memory(struct vcpu *vcpu, bool physical, uint64_t address, const uint8_t *bytes, size_t len)
{
    struct job job = {.cpu = vcpu_cpu(vcpu), .physical = physical, .address = address, .len = len, .from = bytes};
    vcpu_call(vcpu, write_job, &job);
    return job.ok;
}
