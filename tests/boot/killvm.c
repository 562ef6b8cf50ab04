/* An ordinary process that makes the translator's worst block: a page with code and data close together, full of the
 * longest instructions there are. For survive.py. Without a C library: i386 Linux, INT 80h.
 */
#define CALLS  60 /* of changed code, before the page is "mixed" */
#define ROUNDS 20
#define INSNS  200

static long call6(long n, long a, long b, long c, long d, long e)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "0"(n), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
    return r;
}

static void say(const char *text)
{
    unsigned n = 0;
    while (text[n])
        n++;
    call6(4, 1, (long)text, n, 0, 0); /* write */
}

static void run(const unsigned char *at, unsigned char *data)
{
    __asm__ volatile("call *%0" : : "r"(at), "a"(0), "b"(data) : "ecx", "edx", "memory", "cc");
}

/* CMP with prefixes, displacement and immediate; jumps to what follows; PUSHF; MOV to ES. */
static const struct {
    unsigned char length, bytes[15];
} kinds[] = {
    {15, {0x3e, 0x3e, 0x3e, 0x3e, 0x81, 0xbc, 0x18, 0, 0, 0, 0, 1, 2, 3, 4}},
    {2, {0x74, 0}},
    {6, {0x0f, 0x84, 0, 0, 0, 0}},
    {1, {0x9c}},
    {2, {0x8e, 0xc2}},
};

void _start(void)
{
    struct {
        unsigned long address, length, rights, flags, fd, offset;
    } map = {0, 8192, 7 /* RWX */, 0x22 /* private, anonymous */, ~0ul, 0};
    unsigned char *page = (unsigned char *)call6(90, (long)&map, 0, 0, 0, 0);

    say("killvm: runs\n");
    for (unsigned kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        unsigned char *p = page + 0x100;
        unsigned times = INSNS;
        page[0] = 0xc3;
        if (kinds[kind].bytes[0] == 0x9c) { /* PUSHF: puts the stack back as it was, LEA ESP */
            times = 96;
            for (unsigned i = 0; i < times; i++)
                *p++ = 0x9c;
            static const unsigned char lea[] = {0x8d, 0xa4, 0x24, 96 * 4 & 0xff, 96 * 4 >> 8, 0, 0};
            for (unsigned i = 0; i < sizeof lea; i++)
                *p++ = lea[i];
        } else if (kinds[kind].bytes[0] == 0x8e) { /* MOV ES, EDX: what is there */
            static const unsigned char get[] = {0x8c, 0xc2};
            *p++ = get[0];
            *p++ = get[1];
            for (unsigned i = 0; i < times; i++) {
                *p++ = 0x8e;
                *p++ = 0xc2;
            }
        } else {
            for (unsigned i = 0; i < times; i++)
                for (unsigned k = 0; k < kinds[kind].length; k++)
                    *p++ = kinds[kind].bytes[k];
        }
        *p = 0xc3;
        for (unsigned n = 0; n < ROUNDS; n++) {
            for (unsigned i = 0; i < CALLS; i++) {
                ((volatile unsigned char *)page)[0xff0] = (unsigned char)i;
                run(page, page);
            }
            run(page + 0x100, page);
        }
    }
    say("killvm: survived\n");
    call6(1, 0, 0, 0, 0, 0); /* exit */
}
