"""Makes what real.py's programs work on, always the same bytes: data.py FOLDER. Runs inside the tree, with its Python."""
import os
import random
import sys

WORDS = """the of and to a in that it is was for on are with as his they be at one have this from or had by hot but some what there
we can out other were all your when up use word how said an each she which do their time if will way about many then them would
write like so these her long make thing see him two has look more day could go come did my sound no most number who over know
water than call first people may down side been now find any new work part take get place made live where after back little only
round man year came show every good me give our under name very through just form much great think say help low line before turn
cause same mean differ move right boy old too does tell sentence set three want air well also play small end put home read hand
port large spell add even land here must big high such follow act why ask men change went light kind off need house picture try"""


def words(rng, count):
    pool = WORDS.split()
    return [pool[min(int(rng.expovariate(0.03)), len(pool) - 1)] + (str(rng.randrange(1000)) if rng.random() < 0.05 else "")
            for _ in range(count)]


def text(rng, size):
    lines = []
    while size > 0:
        line = " ".join(words(rng, 12))
        lines.append(line)
        size -= len(line) + 1
    return "\n".join(lines) + "\n"


def large_c(rng, functions):
    """Functions with loops, branches, tables and calls of those before them."""
    out = ["#include <stdint.h>", "#include <stdio.h>", "#include <string.h>", "struct s { int a, b; double d; struct s *next; };",
           "static int f0(int x, struct s *p) { return x + p->a; }"]
    for i in range(1, functions):
        cases = "\n".join("    case %d: p->b ^= x * %d; if (p->b > %d) p->a += f%d(x - 1, p); break;" % (
            k, rng.randrange(1000), rng.randrange(5000), rng.randrange(max(0, i - 9), i)) for k in range(12))
        out.append("""static int f%d(int x, struct s *p)
{
    int table[16], sum = %d;
    for (int i = 0; i < 16; i++)
        table[i] = (x >> i) * %d + (p->a << (i & 7));
    switch (x & 15) {
%s
    default:
        for (struct s *q = p; q; q = q->next)
            sum += q->a * %d + (int)(q->d * %d.5);
    }
    for (int i = 0; i < x %% %d; i++)
        sum ^= table[i & 15] + (sum << 3) - (sum >> 5);
    return sum + table[p->b & 15];
}""" % (i, rng.randrange(100), rng.randrange(50), cases, rng.randrange(9), rng.randrange(9), 5 + rng.randrange(40)))
    out.append("int run(int x, struct s *p) { return f%d(x, p); }" % (functions - 1))
    return "\n".join(out) + "\n"


def main(top):
    rng = random.Random(13)

    def write(path, content):
        path = os.path.join(top, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(content)

    write("text", text(rng, 4 << 20))
    write("large.c", large_c(rng, 50))
    write("hello.c", '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n')
    for i in range(800):
        write("git/%d/%d/file%d.c" % (i % 9, i % 40, i), text(rng, 200 + rng.randrange(3000)))
    for i in range(2000):
        write("files/%d/%d/%d.txt" % (i % 10, i % 100, i), text(rng, 100 + rng.randrange(8000)))
    names = ["part%d" % i for i in range(10)]
    for name in names:
        write("make/%s.c" % name, large_c(rng, 5).replace("int run(", "int %s(" % name))
    write("make/main.c", "#include <stdio.h>\nstruct s { int a, b; double d; struct s *next; };\n%s\nint main(void)\n{\n"
          "    struct s s = {1, 2, 3.0, 0};\n    printf(\"%%d\\n\", 0 %s);\n    return 0;\n}\n" % (
              "\n".join("int %s(int x, struct s *p);" % name for name in names),
              "".join("+ %s(%d, &s)" % (name, i) for i, name in enumerate(names))))
    write("make/Makefile", "prog: main.o %s\n\t$(CC) -o $@ $^\n%%.o: %%.c Makefile\n\t$(CC) -O -c -o $@ $<\n" % (
        " ".join(name + ".o" for name in names)))
    write("loop.py", """import sys
def primes(limit):
    sieve = bytearray([1]) * limit
    for i in range(2, limit):
        if sieve[i]:
            for k in range(i * i, limit, i):
                sieve[k] = 0
    return sum(sieve[2:])
class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y
    def moved(self, d):
        return Point(self.x + d, self.y - d)
for number in range(int(sys.argv[1])):
    p, seen = Point(number, 0), {}
    for i in range(40000):
        p = p.moved(i % 7)
        seen[p.x % 1000] = seen.get(p.x % 1000, 0) + p.y
    print(primes(100000), p.x, p.y, sum(seen.values()))
""")
    write("threads.py", """import queue, sys, threading
def work(source, sink):
    while True:
        item = source.get()
        if item is None:
            break
        sink.put(item * item % 1009)
source, sink = queue.Queue(50), queue.Queue(50)
threads = [threading.Thread(target=work, args=(source, sink)) for _ in range(4)]
for t in threads:
    t.start()
count, total = int(sys.argv[1]), 0
def feed():
    for i in range(count):
        source.put(i)
    for _ in threads:
        source.put(None)
feeder = threading.Thread(target=feed)
feeder.start()
for i in range(count):
    total += sink.get()
for t in threads + [feeder]:
    t.join()
print(total)
""")
    write("text.pl", """use strict;
my ($path, $times) = @ARGV;
for my $round (1 .. $times) {
    my (%count, %after, $last);
    open my $f, '<', $path or die;
    while (my $line = <$f>) {
        $line =~ s/\\b([a-z])([a-z]*)\\b/\\U$1\\E$2/g if $. % 4 == 0;
        for my $word (split ' ', lc $line) {
            $count{$word}++;
            $after{"$last $word"}++ if defined $last && $word =~ /^[a-m]/;
            $last = $word =~ /[0-9]$/ ? undef : $word;
        }
        last if $. >= 20000;
    }
    my @best = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 9];
    print join(' ', map { "$_=$count{$_}" } @best), ' ', scalar(keys %after), "\\n";
}
""")
    write("work.lua", """local times = tonumber(arg[1])
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
for round = 1, times do
    local t, parts = {}, {}
    for i = 1, 60000 do t[i] = (i * 7919) % 65537 end
    table.sort(t)
    for i = 1, 20000 do parts[#parts + 1] = string.format("%d:%s", t[i], string.rep("x", i % 5)) end
    local joined = table.concat(parts, ",")
    local _, count = joined:gsub("%d+:x", "")
    local x = 0.0
    for i = 1, 500000 do x = x + i % 7 / 3 end
    print(fib(22), #joined, count, string.format("%.3f", x))
end
""")
    write("work.js", """const times = Number(process.argv[2]);
class Body { constructor(x, v) { this.x = x; this.v = v; } step(f) { this.v = (this.v + f) % 17; this.x += this.v * 0.25; return this.x; } }
function numbers(n) { let s = 0; for (let i = 1; i < n; i++) { s = (s + (i * i ^ s >>> 3)) | 0; } return s; }
function sieve(n) { const a = new Uint8Array(n); let c = 0; for (let i = 2; i < n; i++) { if (!a[i]) { c++; for (let k = i * 2; k < n; k += i) a[k] = 1; } } return c; }
for (let t = 0; t < times; t++) {
    const bodies = []; for (let i = 0; i < 1000; i++) bodies.push(new Body(i, i % 5));
    let e = 0; for (let r = 0; r < 300; r++) for (const b of bodies) e += b.step(r & 3);
    const m = new Map(); for (let i = 0; i < 100000; i++) { const k = 'k' + i % 1000; m.set(k, (m.get(k) || 0) + i); }
    const o = JSON.stringify([...m]).length;
    console.log(numbers(1e7), sieve(1e6), e.toFixed(2), o);
}
""")
    write("work.sql", """PRAGMA journal_mode=WAL;
CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, b TEXT);
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 80000)
INSERT INTO t SELECT i, (i * 7919) % 10007, 'row ' || i || hex(i * 31) FROM c;
CREATE INDEX ta ON t(a);
SELECT count(*), sum(a), max(b) FROM t WHERE a BETWEEN 100 AND 5000;
UPDATE t SET b = b || a WHERE a % 3 = 0;
SELECT x.a, count(*) FROM t x JOIN t y ON x.a = y.a GROUP BY x.a ORDER BY 2 DESC, 1 LIMIT 5;
DELETE FROM t WHERE id % 5 = 0;
SELECT length(group_concat(b)), count(DISTINCT b) FROM t;
SELECT substr(b, 1, 6), count(*) FROM t GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5;
""")


main(sys.argv[1])
