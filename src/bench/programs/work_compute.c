/* Programs that only compute. One operation is a unit of about half a millisecond on a CPU of 2025;
 * each unit begins from the same state, so that its checksum must be the same everywhere. See
 * program.h.
 *
 * The functions do what those of the same name in tests/bench/kernels.c do, without a C library. */
#include "program.h"

#define NOINLINE __attribute__((noinline, noclone))

static uint32_t seed;
static uint32_t rnd(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static NOINLINE uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}
static uint32_t unit_fib(void)
{
    return fib(24);
}

/* sorting through a comparator */
typedef int comparator(const void *, const void *);
static NOINLINE int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}
static NOINLINE void sort(uint32_t *v, int32_t low, int32_t high, comparator *order)
{
    while (low < high) {
        uint32_t pivot = v[low + (high - low) / 2];
        int32_t i = low, j = high;
        while (i <= j) {
            while (order(&v[i], &pivot) < 0)
                i++;
            while (order(&v[j], &pivot) > 0)
                j--;
            if (i <= j) {
                uint32_t x = v[i];
                v[i++] = v[j];
                v[j--] = x;
            }
        }
        sort(v, low, j, order);
        low = i;
    }
}
static uint32_t unit_qsort(void)
{
    static uint32_t v[6000];
    comparator *volatile order = compare;
    for (unsigned i = 0; i < 6000; i++)
        v[i] = rnd();
    sort(v, 0, 5999, order);
    return v[100] + v[5999];
}

/* integer mix: a hash table, a CRC, rounds of a hash function */
#define ROR(x, n) ((x) >> (n) | (x) << (32 - (n)))
static uint32_t unit_integer(void)
{
    static uint32_t table[1 << 12], crc_table[256];
    uint32_t found = 0, crc = ~0u, a = 1, b = 2, c = 3, d = 4;

    memset(table, 0, sizeof table);
    for (uint32_t i = 0; i < 30000; i++) {
        uint32_t key = rnd() % 3000 + 1, h = key * 2654435761u >> 20;
        while (table[h] && table[h] != key)
            h = (h + 1) & ((1 << 12) - 1);
        found += table[h] == key;
        table[h] = key;
    }
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t x = i;
        for (int k = 0; k < 8; k++)
            x = x & 1 ? x >> 1 ^ 0xedb88320u : x >> 1;
        crc_table[i] = x;
    }
    const uint8_t *bytes = (const uint8_t *)table;
    for (unsigned i = 0; i < sizeof table; i++)
        crc = crc_table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
    for (uint32_t i = 0; i < 40000; i++) {
        uint32_t t = d + (ROR(a, 6) ^ ROR(a, 11) ^ ROR(a, 25)) + ((a & b) ^ (~a & c)) + table[i & 4095];
        d = c, c = b, b = a, a = t + (ROR(t, 2) ^ ROR(t, 13));
    }
    return found ^ crc ^ a ^ b ^ c ^ d;
}

/* double matmul */
#define N 80
static uint32_t unit_matrix(void)
{
    static double a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)(int32_t)(rnd() & 1023) / 64.0;
            b[i][j] = (double)(int32_t)(rnd() & 1023) / 128.0;
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double s = 0;
            for (int k = 0; k < N; k++)
                s += a[i][k] * b[k][j];
            c[i][j] = s;
        }
    return (uint32_t)(int32_t)c[17][33];
}

/* list chasing */
struct node {
    struct node *next;
    uint32_t value;
};
static uint32_t unit_list(void)
{
    static struct node nodes[2048];
    static uint32_t order[2048];
    for (uint32_t i = 0; i < 2048; i++)
        order[i] = i;
    for (uint32_t i = 2047; i; i--) {
        uint32_t j = rnd() % (i + 1), x = order[i];
        order[i] = order[j];
        order[j] = x;
    }
    for (uint32_t i = 0; i < 2048; i++) {
        nodes[order[i]].next = &nodes[order[(i + 1) & 2047]];
        nodes[order[i]].value = i;
    }
    uint32_t sum = 0;
    struct node *p = nodes;
    for (uint32_t i = 0; i < 400000; i++) {
        sum += p->value;
        p = p->next;
    }
    return sum;
}

/* a switch interpreter */
static uint32_t unit_interpreter(void)
{
    static const uint8_t code[] = {0, 3, 1, 4, 2, 5, 6, 1, 3, 0, 4, 7, 5, 2, 8, 9};
    uint32_t a = 1, b = 2, c = 3, pc = 0;
    for (uint32_t n = 0; n < 250000; n++) {
        switch (code[pc]) {
        case 0:
            a += b;
            break;
        case 1:
            b ^= c;
            break;
        case 2:
            c += a >> 3;
            break;
        case 3:
            a = a << 1 | a >> 31;
            break;
        case 4:
            b -= a;
            break;
        case 5:
            c ^= b << 5;
            break;
        case 6:
            if (a & 1)
                b++;
            break;
        case 7:
            c = c * 5 + 1;
            break;
        case 8:
            a ^= c;
            break;
        case 9:
            pc = (pc + 1 + (a & 3)) & 15;
            continue;
        }
        pc = (pc + 1) & 15;
    }
    return a + b + c;
}

/* memcpy by SSE2, as C libraries copy */
static NOINLINE void copy(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    typedef long long vector __attribute__((vector_size(16), aligned(1), may_alias));
    for (; bytes >= 64; bytes -= 64, to += 64, from += 64) {
        vector a = *(const vector *)from, b = *(const vector *)(from + 16);
        vector c = *(const vector *)(from + 32), d = *(const vector *)(from + 48);
        *(vector *)to = a;
        *(vector *)(to + 16) = b;
        *(vector *)(to + 32) = c;
        *(vector *)(to + 48) = d;
    }
    memcpy(to, from, bytes);
}
static uint32_t unit_memcpy(void)
{
    static uint8_t a[1 << 16], b[1 << 16];
    uint32_t sum = 0;
    for (unsigned i = 0; i < sizeof a; i += 64)
        a[i] = (uint8_t)rnd();
    for (unsigned r = 0; r < 200; r++) {
        copy(b, a, sizeof a - (r & 63));
        sum += b[r * 64 & 65535];
    }
    return sum;
}

/* virtual calls */
struct shape {
    const struct shape_ops *ops;
    uint32_t x;
};
struct shape_ops {
    uint32_t (*area)(const struct shape *);
};
#define SHAPE(n) \
    static NOINLINE uint32_t area##n(const struct shape *s) \
    { \
        return s->x * n + (s->x >> n); \
    } \
    static const struct shape_ops ops##n = {area##n};
SHAPE(1) SHAPE(2) SHAPE(3) SHAPE(4) static uint32_t unit_virtual(void)
{
    static const struct shape_ops *const ops[] = {&ops1, &ops2, &ops3, &ops4};
    static struct shape shapes[1024];
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 1024; i++)
        shapes[i] = (struct shape){ops[i & 3], i};
    for (uint32_t r = 0; r < 300; r++)
        for (uint32_t i = 0; i < 1024; i++)
            sum += shapes[i].ops->area(&shapes[i]);
    return sum;
}

/* sine by x87, square root by SSE2; coarse, because not everyone's FSIN has all its bits */
static uint32_t unit_trig(void)
{
    double s = 0;
    for (int i = 0; i < 15000; i++) {
        double x = i * 0.001;
        __asm__("fsin" : "+t"(x));
        s += x + __builtin_sqrt(i);
    }
    return (uint32_t)(int32_t)s >> 4;
}

#define WORKLOAD(name) \
    static uint32_t run_##name(uint32_t count) \
    { \
        uint32_t sum = 0; \
        for (uint32_t i = 0; i < count; i++) { \
            seed = 1; \
            sum = unit_##name(); \
        } \
        return sum; \
    }
WORKLOAD(fib)
WORKLOAD(qsort)
WORKLOAD(integer)
WORKLOAD(matrix)
WORKLOAD(list)
WORKLOAD(interpreter)
WORKLOAD(memcpy)
WORKLOAD(virtual)
WORKLOAD(trig)

const struct workload compute_workloads[] = {
    {"fib", run_fib},       {"qsort", run_qsort},     {"integer", run_integer},
    {"matrix", run_matrix}, {"list", run_list},       {"interpreter", run_interpreter},
    {"memcpy", run_memcpy}, {"virtual", run_virtual}, {"trig", run_trig},
    {NULL, NULL},
};
