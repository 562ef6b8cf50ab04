/* Small compute kernels: one static i386 program, run natively, under Ringer and under QEMU.
 *
 *   kernels [NAME...]   runs all or the named ones; prints "name nanoseconds checksum" for each
 *
 * The time is the least of three rounds of CLOCK_MONOTONIC. Checksums must agree everywhere.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))
#define X87      __attribute__((target("fpmath=387")))

static uint32_t seed = 1;
static uint32_t rnd(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

/* recursion */
static NOINLINE uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}
static uint32_t k_fib(void)
{
    return fib(37);
}

static NOINLINE uint32_t ack(uint32_t m, uint32_t n)
{
    if (m == 0)
        return n + 1;
    return n == 0 ? ack(m - 1, 1) : ack(m - 1, ack(m, n - 1));
}
static uint32_t k_ack(void)
{
    return ack(2, 2500) + ack(3, 9);
}

static int queens_try(int row, uint32_t cols, uint32_t d1, uint32_t d2, int n)
{
    int count = 0;
    if (row == n)
        return 1;
    for (uint32_t free = ~(cols | d1 | d2) & ((1u << n) - 1); free; free &= free - 1) {
        uint32_t bit = free & -free;
        count += queens_try(row + 1, cols | bit, (d1 | bit) << 1, (d2 | bit) >> 1, n);
    }
    return count;
}
static uint32_t k_queens(void)
{
    return (uint32_t)queens_try(0, 0, 0, 0, 13);
}

/* sorting through a comparator */
static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}
static uint32_t k_qsort(void)
{
    static uint32_t v[200000];
    for (unsigned i = 0; i < 200000; i++)
        v[i] = rnd();
    qsort(v, 200000, sizeof *v, compare);
    return v[100] + v[199999];
}

/* a switch interpreter */
static uint32_t k_switch(void)
{
    static const uint8_t code[] = {0, 3, 1, 4, 2, 5, 6, 1, 3, 0, 4, 7, 5, 2, 8, 9};
    uint32_t a = 1, b = 2, c = 3, pc = 0;
    for (uint32_t n = 0; n < 30000000; n++) {
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

/* hashing */
static uint32_t k_hash(void)
{
    static uint32_t table[1 << 14];
    uint32_t found = 0;
    memset(table, 0, sizeof table);
    for (uint32_t i = 0; i < 12000000; i++) {
        uint32_t key = rnd() % 12000 + 1, h = key * 2654435761u >> 18;
        while (table[h] && table[h] != key)
            h = (h + 1) & ((1 << 14) - 1);
        if (table[h])
            found++;
        table[h] = key;
    }
    return found;
}

static uint32_t k_crc(void)
{
    static uint32_t t[256];
    static uint8_t data[65536];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        t[i] = c;
    }
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)rnd();
    uint32_t crc = ~0u;
    for (int r = 0; r < 400; r++)
        for (unsigned i = 0; i < sizeof data; i++)
            crc = t[(crc ^ data[i]) & 255] ^ crc >> 8;
    return crc;
}

#define ROR(x, n) ((x) >> (n) | (x) << (32 - (n)))
static uint32_t k_sha(void)
{
    static const uint32_t k[8] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
                                  0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5};
    uint32_t h[8] = {1, 2, 3, 4, 5, 6, 7, 8}, w[64];
    for (unsigned i = 0; i < 64; i++)
        w[i] = rnd();
    for (int r = 0; r < 300000; r++) {
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], x = h[7];
        for (int i = 0; i < 64; i++) {
            uint32_t t1 = x + (ROR(e, 6) ^ ROR(e, 11) ^ ROR(e, 25)) + ((e & f) ^ (~e & g)) + k[i & 7] + w[i];
            uint32_t t2 = (ROR(a, 2) ^ ROR(a, 13) ^ ROR(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            x = g;
            g = f;
            f = e;
            e = d + t1;
            d = c;
            c = b;
            b = a;
            a = t1 + t2;
        }
        h[0] += a;
        h[1] += b;
        h[2] += c;
        h[3] += d;
        h[4] += e;
        h[5] += f;
        h[6] += g;
        h[7] += x;
    }
    return h[0] ^ h[7];
}

/* compression: greedy LZ with a hash of three bytes */
static uint32_t k_lz(void)
{
    static uint8_t in[1 << 18], out[1 << 19];
    static uint32_t head[1 << 14];
    for (unsigned i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)("the quick brown fox jumps over the lazy dog "[rnd() % 44 & ~(i >> 3 & 3)]);
    uint32_t o = 0, sum = 0;
    for (int r = 0; r < 12; r++) {
        memset(head, 0, sizeof head);
        o = 0;
        for (uint32_t i = 0; i + 8 < sizeof in;) {
            uint32_t h = (in[i] | in[i + 1] << 8 | in[i + 2] << 16) * 2654435761u >> 18;
            uint32_t at = head[h], len = 0;
            head[h] = i + 1;
            if (at--) {
                while (len < 255 && i + len < sizeof in && in[at + len] == in[i + len])
                    len++;
            }
            if (len > 3) {
                out[o++] = 0xff;
                out[o++] = (uint8_t)len;
                out[o++] = (uint8_t)(i - at);
                out[o++] = (uint8_t)((i - at) >> 8);
                i += len;
            } else {
                out[o++] = in[i++];
            }
        }
        sum += o + out[o / 2];
    }
    return sum;
}

/* list chasing */
struct node {
    struct node *next;
    uint32_t value;
};
static uint32_t k_list(void)
{
    static struct node nodes[4096];
    static uint32_t order[4096];
    for (uint32_t i = 0; i < 4096; i++)
        order[i] = i;
    for (uint32_t i = 4095; i; i--) {
        uint32_t j = rnd() % (i + 1), x = order[i];
        order[i] = order[j];
        order[j] = x;
    }
    for (uint32_t i = 0; i < 4096; i++) {
        nodes[order[i]].next = &nodes[order[(i + 1) & 4095]];
        nodes[order[i]].value = i;
    }
    uint32_t sum = 0;
    struct node *p = nodes;
    for (uint32_t i = 0; i < 40000000; i++) {
        sum += p->value;
        p = p->next;
    }
    return sum;
}

struct tree {
    struct tree *l, *r;
    uint32_t key;
};
static NOINLINE uint32_t tree_depth(const struct tree *t)
{
    if (!t)
        return 0;
    uint32_t a = tree_depth(t->l), b = tree_depth(t->r);
    return 1 + (a > b ? a : b);
}
static uint32_t k_bst(void)
{
    static struct tree pool[60000];
    struct tree *root = NULL;
    uint32_t sum = 0;
    for (unsigned i = 0; i < 60000; i++) {
        struct tree **p = &root;
        uint32_t key = rnd();
        while (*p)
            p = key < (*p)->key ? &(*p)->l : &(*p)->r;
        pool[i] = (struct tree){.key = key};
        *p = &pool[i];
    }
    for (int r = 0; r < 60; r++)
        sum += tree_depth(root);
    return sum;
}

/* matrices */
#define N 160
static double ma[N][N], mb[N][N], mc[N][N];
static void matrix_fill(void)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            ma[i][j] = (rnd() & 1023) / 64.0;
            mb[i][j] = (rnd() & 1023) / 128.0;
        }
}
static NOINLINE void matrix_sse(void)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double s = 0;
            for (int k = 0; k < N; k++)
                s += ma[i][k] * mb[k][j];
            mc[i][j] = s;
        }
}
static NOINLINE X87 void matrix_x87(void)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double s = 0;
            for (int k = 0; k < N; k++)
                s += ma[i][k] * mb[k][j];
            mc[i][j] = s;
        }
}
static uint32_t k_matrix_sse(void)
{
    matrix_fill();
    for (int r = 0; r < 60; r++)
        matrix_sse();
    return (uint32_t)mc[17][33];
}
static uint32_t k_matrix_x87(void)
{
    matrix_fill();
    for (int r = 0; r < 12; r++)
        matrix_x87();
    return (uint32_t)mc[17][33];
}
static uint32_t k_matrix_int(void)
{
    static int32_t a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (int32_t)rnd();
            b[i][j] = (int32_t)rnd();
        }
    for (int r = 0; r < 25; r++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                int32_t s = 0;
                for (int k = 0; k < N; k++)
                    s += a[i][k] * b[k][j];
                c[i][j] = s;
            }
    return (uint32_t)c[3][5];
}

static NOINLINE X87 double nbody_x87(int steps)
{
    static const double start[5][7] = {{0, 0, 0, 0, 0, 0, 39.47},
                                       {4.84, -1.16, -.10, .606, 2.81, -.02, .037},
                                       {8.34, 4.12, -.4, -1.01, 1.82, .008, .011},
                                       {12.89, -15.11, -.22, 1.08, .868, -.01, .0017},
                                       {15.37, -25.9, .179, .979, .594, -.034, .002}};
    double b[5][7];
    memcpy(b, start, sizeof b);
    for (int s = 0; s < steps; s++) {
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++) {
                double dx = b[i][0] - b[j][0], dy = b[i][1] - b[j][1], dz = b[i][2] - b[j][2];
                double d2 = dx * dx + dy * dy + dz * dz;
                double mag = 0.001 / (d2 * __builtin_sqrt(d2));
                for (int k = 0; k < 3; k++) {
                    double d = k == 0 ? dx : k == 1 ? dy : dz;
                    b[i][3 + k] -= d * b[j][6] * mag;
                    b[j][3 + k] += d * b[i][6] * mag;
                }
            }
        for (int i = 0; i < 5; i++)
            for (int k = 0; k < 3; k++)
                b[i][k] += 0.001 * b[i][3 + k];
    }
    return b[1][0];
}
static uint32_t k_nbody(void)
{
    return (uint32_t)(int32_t)(nbody_x87(150000) * 1000);
}

static uint32_t k_trig(void)
{
    double s = 0;
    for (int i = 0; i < 2000000; i++)
        s += sin(i * 0.001) + sqrt(i);
    return (uint32_t)(int64_t)s;
}

/* string functions */
static uint32_t k_string(void)
{
    static char text[8192], copy[8192];
    uint32_t sum = 0;
    for (unsigned i = 0; i < sizeof text - 1; i++)
        text[i] = (char)('a' + rnd() % 26);
    for (int r = 0; r < 4000; r++) {
        const char *p = text;
        char *q = copy;
        while ((*q++ = *p++))
            ;
        for (p = copy; *p; p++)
            if (*p == 'e')
                sum++;
        text[r & 4095] ^= 1;
        if (text[r & 4095] < 'a')
            text[r & 4095] = 'z';
    }
    return sum;
}

static uint32_t k_memcpy(void)
{
    static uint8_t a[1 << 16], b[1 << 16];
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;
    for (unsigned i = 0; i < sizeof a; i++)
        a[i] = (uint8_t)rnd();
    uint32_t sum = 0;
    for (int r = 0; r < 30000; r++) {
        copy(b, a, sizeof a - (r & 63));
        sum += b[r & 65535];
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
SHAPE(1) SHAPE(2) SHAPE(3) SHAPE(4) static uint32_t virtual_calls(int random)
{
    static const struct shape_ops *const ops[] = {&ops1, &ops2, &ops3, &ops4};
    static struct shape shapes[1024];
    for (uint32_t i = 0; i < 1024; i++)
        shapes[i] = (struct shape){ops[random ? rnd() & 3 : i & 3], i};
    uint32_t sum = 0;
    for (uint32_t r = 0; r < 20000; r++)
        for (uint32_t i = 0; i < 1024; i++)
            sum += shapes[i].ops->area(&shapes[i]);
    return sum;
}
static uint32_t k_virtual(void)
{
    return virtual_calls(0);
}
static uint32_t k_virtual_random(void)
{
    return virtual_calls(1);
}

/* large code: 1024 functions, called in random order */
#define BIG(n) \
    static NOINLINE uint32_t big##n(uint32_t a, uint32_t b) \
    { \
        uint32_t c = a * (0x##n | 1) + b; \
        if (c & (1u << (0x##n & 15))) \
            c ^= a << (0x##n % 7 + 1); \
        else \
            c -= b >> (0x##n % 5 + 1); \
        for (uint32_t i = 0; i < 0x##n % 4; i++) \
            c = c * 33 + (c >> (0x##n % 11 + 1)); \
        return c + (a > b ? a ^ c : b + c); \
    }
/* clang-format off */
#define B1(p) BIG(p##0) BIG(p##1) BIG(p##2) BIG(p##3) BIG(p##4) BIG(p##5) BIG(p##6) BIG(p##7) BIG(p##8) \
    BIG(p##9) BIG(p##a) BIG(p##b) BIG(p##c) BIG(p##d) BIG(p##e) BIG(p##f)
#define B2(p) B1(p##0) B1(p##1) B1(p##2) B1(p##3) B1(p##4) B1(p##5) B1(p##6) B1(p##7) B1(p##8) B1(p##9) \
    B1(p##a) B1(p##b) B1(p##c) B1(p##d) B1(p##e) B1(p##f)
/* clang-format on */
B2(1)
B2(2)
B2(3)
B2(4)
#define NAME(n) big##n,
/* clang-format off */
#define N1(p) NAME(p##0) NAME(p##1) NAME(p##2) NAME(p##3) NAME(p##4) NAME(p##5) NAME(p##6) NAME(p##7) \
    NAME(p##8) NAME(p##9) NAME(p##a) NAME(p##b) NAME(p##c) NAME(p##d) NAME(p##e) NAME(p##f)
#define N2(p) N1(p##0) N1(p##1) N1(p##2) N1(p##3) N1(p##4) N1(p##5) N1(p##6) N1(p##7) N1(p##8) N1(p##9) \
    N1(p##a) N1(p##b) N1(p##c) N1(p##d) N1(p##e) N1(p##f)
/* clang-format on */
static uint32_t (*const big_table[])(uint32_t, uint32_t) = {N2(1) N2(2) N2(3) N2(4)};
static uint32_t k_bigcode(void)
{
    uint32_t a = 1, b = 2;
    for (uint32_t i = 0; i < 8000000; i++) {
        uint32_t c = big_table[(a ^ b >> 7 ^ i) & 1023](a, b);
        b = a;
        a = c;
    }
    return a;
}

static const struct {
    const char *name;
    uint32_t (*fn)(void);
} kernels[] = {
    {"fib", k_fib},
    {"ack", k_ack},
    {"queens", k_queens},
    {"qsort", k_qsort},
    {"switch", k_switch},
    {"hash", k_hash},
    {"crc", k_crc},
    {"sha", k_sha},
    {"lz", k_lz},
    {"list", k_list},
    {"bst", k_bst},
    {"matrix_sse", k_matrix_sse},
    {"matrix_x87", k_matrix_x87},
    {"matrix_int", k_matrix_int},
    {"nbody_x87", k_nbody},
    {"trig", k_trig},
    {"string", k_string},
    {"memcpy", k_memcpy},
    {"virtual", k_virtual},
    {"virtual_random", k_virtual_random},
    {"bigcode", k_bigcode},
};

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    for (unsigned k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        int wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            wanted |= !strcmp(argv[i], kernels[k].name);
        if (!wanted)
            continue;
        uint64_t best = UINT64_MAX;
        uint32_t sum = 0;
        for (int round = 0; round < 3; round++) {
            seed = 1;
            uint64_t t = now();
            sum = kernels[k].fn();
            t = now() - t;
            if (t < best)
                best = t;
        }
        printf("%s %llu %08x\n", kernels[k].name, (unsigned long long)best, sum);
        fflush(stdout);
    }
    return 0;
}
