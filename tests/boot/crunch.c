/* An ordinary process that computes until it is told to stop, by a debugger: for gdb_linux.py, which knows what must
 * come out after so many turns. Without a C library: i386 Linux, INT 80h. It lies where no other program does.
 */
volatile unsigned crunch_stop, crunch_turns, crunch_marks;
/* On pages of its own: who watches it must not slow down the rest. Every second one is never touched. */
volatile unsigned crunch_cold[2048] __attribute__((aligned(4096)));

#define MARK_TURNS (1u << 16)

static long call3(long n, long a, long b, long c)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "0"(n), "b"(a), "c"(b), "d"(c) : "memory");
    return r;
}

static char *put(char *p, const char *text)
{
    while (*text)
        *p++ = *text++;
    return p;
}

static char *put_number(char *p, unsigned value)
{
    char digits[10];
    unsigned n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (n)
        *p++ = digits[--n];
    return p;
}

__attribute__((noinline)) unsigned crunch_turn(unsigned state)
{
    state = state * 1664525 + 1013904223;
    __asm__ volatile("" : "+r"(state));
    return state;
}

/* Two pages away from the loop. */
__attribute__((noinline, section(".text.far"), aligned(4096))) void crunch_mark(void)
{
    crunch_marks++;
}

__attribute__((noinline, section(".text.loop"), aligned(4096))) static unsigned crunch(unsigned turns)
{
    unsigned state = 1;
    while (!crunch_stop) {
        state = crunch_turn(state);
        if (!(++crunch_turns % MARK_TURNS))
            crunch_mark();
        if (turns && crunch_turns == turns)
            break;
    }
    return state;
}

static unsigned number(const char *text)
{
    unsigned value = 0;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + (unsigned)(*text++ - '0');
    return value;
}

/* What Linux leaves on a new program's stack. */
__attribute__((used)) static void begin(const char *const *stack)
{
    char line[100], *p = put(line, "crunch: turns=");
    for (unsigned i = 0; i < sizeof crunch_cold / sizeof *crunch_cold; i += 2)
        crunch_cold[i] = i;
    unsigned state = crunch(stack[0] == (const char *)2 ? number(stack[2]) : 0);
    p = put_number(p, crunch_turns);
    p = put_number(put(p, " state="), state);
    p = put_number(put(p, " marks="), crunch_marks);
    p = put(p, " end\n");
    call3(4, 1, (long)line, p - line); /* write */
    call3(1, 0, 0, 0);                 /* exit */
    for (;;)
        ;
}

__asm__(".globl _start\n_start: movl %esp, %eax\n andl $-16, %esp\n subl $12, %esp\n pushl %eax\n call begin\n");
