/* Thunks: tiny host functions around one FPU instruction each, made on demand and cached.
 *
 * void thunk(struct fxstate *fx: rdi, void *memory: rsi, struct fpu_thunk_regs *regs: rdx)
 *
 * The code area is mapped twice, writable here and executable there, never both in one place.
 */
#include "fpu_thunk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

#define THUNK_SIZE  64u
#define THUNK_COUNT 16384u
#define HASH_SIZE   (2 * THUNK_COUNT)

typedef void thunk_fn(struct fxstate *fx, void *memory, struct fpu_thunk_regs *regs);

struct thunk_slot {
    uint64_t key; /* bytes, length and flags; 0 = empty */
    thunk_fn *fn;
};

static struct {
    uint8_t *rw, *rx;
    unsigned used;
    struct thunk_slot hash[HASH_SIZE];
} thunks;

static _Noreturn void fail(const char *sentence)
{
    log_user("%s", sentence);
    exit(1);
}

void fpu_thunk_init(void)
{
    const size_t size = THUNK_SIZE * THUNK_COUNT;
    int fd;

    if (thunks.rw)
        return;
    fd = memfd_create("ringer-fpu-thunks", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        fail("cannot create the FPU code area: allow memfd_create for this process");
    thunks.rx = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    thunks.rw = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (thunks.rx == MAP_FAILED || thunks.rw == MAP_FAILED)
        fail("cannot map the FPU code area: allow executable shared memory for this process");
    close(fd);
}

static uint8_t *put(uint8_t *p, const void *bytes, unsigned n)
{
    memcpy(p, bytes, n);
    return p + n;
}
#define PUT(...) p = put(p, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static thunk_fn *thunk_make(const uint8_t *bytes, unsigned len, bool flags)
{
    unsigned at = THUNK_SIZE * thunks.used++;
    uint8_t *p = thunks.rw + at;

    PUT(0x53);                   /* push rbx */
    PUT(0x48, 0x89, 0xd3);       /* mov rbx, rdx */
    PUT(0x48, 0x0f, 0xae, 0x0f); /* fxrstor64 [rdi] */
    PUT(0x8b, 0x03);             /* mov eax, [rbx] */
    PUT(0x8b, 0x4b, 0x04);       /* mov ecx, [rbx + 4] */
    PUT(0x8b, 0x53, 0x08);       /* mov edx, [rbx + 8] */
    if (flags)
        PUT(0xff, 0x73, 0x10, 0x9d); /* push qword [rbx + 16]; popfq */
    p = put(p, bytes, len);
    if (flags)
        PUT(0x9c, 0x8f, 0x43, 0x10); /* pushfq; pop qword [rbx + 16] */
    PUT(0x89, 0x03);                 /* mov [rbx], eax */
    PUT(0x89, 0x4b, 0x04);           /* mov [rbx + 4], ecx */
    PUT(0x48, 0x0f, 0xae, 0x07);     /* fxsave64 [rdi]: raises nothing, whatever is pending */
    PUT(0xdb, 0xe3);                 /* fninit: drops what is pending, empties the stack for our ABI */
    PUT(0x0f, 0xae, 0x53, 0x0c);     /* ldmxcsr [rbx + 12] */
    PUT(0x5b, 0xc3);                 /* pop rbx; ret */
    assert_always(p <= thunks.rw + at + THUNK_SIZE);
    return (thunk_fn *)(void *)(thunks.rx + at);
}

static thunk_fn *thunk_get(const uint8_t *bytes, unsigned len, bool flags)
{
    uint64_t key = 0;
    unsigned i;

    memcpy(&key, bytes, len);
    key |= (uint64_t)(len | (flags ? 0x80u : 0)) << 56;
    i = (unsigned)((key * 0x9e3779b97f4a7c15ull) >> 49) & (HASH_SIZE - 1);
    for (; thunks.hash[i].key; i = (i + 1) & (HASH_SIZE - 1))
        if (thunks.hash[i].key == key)
            return thunks.hash[i].fn;
    if (thunks.used == THUNK_COUNT) { /* full: start again, all are cheap to make */
        memset(thunks.hash, 0, sizeof(thunks.hash));
        thunks.used = 0;
        return thunk_get(bytes, len, flags);
    }
    thunks.hash[i].key = key;
    thunks.hash[i].fn = thunk_make(bytes, len, flags);
    return thunks.hash[i].fn;
}

void fpu_thunk_run(const uint8_t *bytes, unsigned len, bool flags, struct fxstate *fx, void *memory,
                   struct fpu_thunk_regs *regs)
{
    if (unlikely(!thunks.rw))
        fpu_thunk_init();
    __asm__ volatile("stmxcsr %0" : "=m"(regs->host_mxcsr));
    regs->eflags = (regs->eflags & FL_ARITH) | FL_FIXED1 | FL_IF;
    thunk_get(bytes, len, flags)(fx, memory, regs);
}
