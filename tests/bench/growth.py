#!/usr/bin/env python3
"""What a process costs must not grow with how many there are, were, or with how much memory is in use.

    growth.py RINGER [--accel direct|bt] [--rounds N] [--json FILE] [--earlier N]

One guest, booted as real.py's (whose tree this needs). What is measured is 300 times /bin/true from bash, dynamic: CPU seconds
of the whole monitor. First alone; then with 10, 1,000 and 5,000 other processes alive; after 100,000 (--earlier) that have been;
with 1 GiB of the guest's memory in use (else some 64 MiB are). Each is held against the same measured just before it, so that a
host that gets slower meanwhile does not count. And what the monitor has of memory beside the guest's.

Status 1 if a ratio or the memory is above its limit, 2 if something could not be measured.
"""
import argparse
import json
import os
import re
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import real  # noqa: E402
from guest import GuestError  # noqa: E402

RATIO, MEMORY_MIB = 1.3, 200
GUEST_MIB = 1400
ALL = "kill -9 -$(cat /tmp/group); wait; while kill -0 -$(cat /tmp/group); do sleep 0.1; done; true"
PROGRAMS = {
    "sleepers": "/bench/bin/system-static sleepers $n; sleep 1",
    "hold": "/bench/bin/system-static hold $n",
    "earlier": "/bench/bin/system-static fork $n",
    "gone": "{ %s; } 2>/dev/null" % ALL,
}


def memory_mib(pid):
    """What is there beside the guest's RAM, with the host's page tables."""
    kib, counts = 0, True
    with open("/proc/%d/smaps" % pid, encoding="ascii", errors="replace") as f:
        for line in f:
            if re.match(r"[0-9a-f]+-", line):
                counts = "guest-ram" not in line
            elif counts and line.startswith("Pss:"):
                kib += int(line.split()[1])
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        kib += int(re.search(r"VmPTE:\s+(\d+)", f.read()).group(1))
    return kib / 1024


class Bench:
    def __init__(self, machine, rounds):
        self.machine, self.rounds, self.rows, self.memory = machine, rounds, {}, 0
        machine.run("true", 60)

    def starts(self):
        found = statistics.median(self.machine.run("true", 300)[1] for _ in range(self.rounds))
        self.memory = max(self.memory, memory_mib(self.machine.guest.process.pid))
        return found

    def compare(self, name, begin, end):
        """With what begin() makes, of without it."""
        before = self.starts()
        begin()
        now = self.starts()
        end()
        self.rows[name] = (before, now)
        print("%-40s %6.3f s, %6.3f s before: %5.2f   (%.0f MiB beside RAM)" % (name, now, before, now / before, self.memory), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ringer")
    parser.add_argument("--accel", default="direct")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--earlier", type=int, default=100000)
    parser.add_argument("--json")
    options = parser.parse_args()
    real.own_mounts()
    real.PROGRAMS.update({name: (1, 1, None, text, "") for name, text in PROGRAMS.items()})
    with real.Folder("ringer-growth.") as folder:
        tree = real.Tree(folder)
        machine = real.Machine(options.accel, real.commands(os.path.abspath(options.ringer))[options.accel], tree, folder, GUEST_MIB)
        try:
            bench = Bench(machine, options.rounds)

            def gone():
                machine.run("gone", 1)
            for count in (10, 1000, 5000):
                bench.compare("%d other processes" % count, lambda n=count: machine.run("sleepers", n), gone)
            bench.compare("after %d processes" % options.earlier, lambda: machine.run("earlier", options.earlier), lambda: None)
            bench.compare("1 GiB in use", lambda: machine.run("hold", 1024), gone)
        finally:
            machine.close()
    missed = ["%s: %.2f, at most %.1f" % (name, now / before, RATIO) for name, (before, now) in bench.rows.items() if now > before * RATIO]
    if bench.memory > MEMORY_MIB:
        missed.append("%.0f MiB beside the guest's RAM, at most %d" % (bench.memory, MEMORY_MIB))
    if options.json:
        with open(options.json, "w", encoding="ascii") as f:
            json.dump({"rows": bench.rows, "memory": bench.memory, "missed": missed}, f, indent=1)
    for line in missed:
        print("MISSED " + line)
    return 1 if missed else 0


try:
    sys.exit(main())
except (real.Unmeasurable, GuestError) as e:
    print("growth: %s" % e, file=sys.stderr)
    sys.exit(2)
