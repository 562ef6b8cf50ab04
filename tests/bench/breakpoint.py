#!/usr/bin/env python3
"""What a debugger costs that waits: Debian's kernel with points that nothing meets, against the same without.

usage: breakpoint.py RINGER CRUNCH [--rounds N] [--engines A,B] [--only WORK]

CRUNCH is tests/boot/crunch.c's program. Two machines of each engine stand side by side; one is never debugged, the other is
with different points in turn. Each round measures everything once, in a random order; the figure is CPU time of the
processor's thread and its cells. Printed are the medians, the medians of the ratios to "no debugger" (the second machine, with nobody
attached) in the same round, the ratio of the means of the fastest quarters (who shares the host's CPUs slows down the rest), and
in how many rounds it took longer.
Where blocks lie in the code cache is worth some per cent, and differs from machine to machine and each time a page is
translated anew: look at many rounds.
"""
import argparse
import base64
import glob
import gzip
import os
import random
import shutil
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import initrd  # noqa: E402
from guest import Guest  # noqa: E402
from rsp import Rsp  # noqa: E402

KERNEL = os.path.join(initrd.CACHE, "vmlinuz-686")
SYSTEM_CALLS = "dd if=/dev/zero of=/dev/null bs=1 count=300000 2>/dev/null"
PROGRAMS = "i=0; while [ $i -lt 40 ]; do busybox true; i=$((i + 1)); done"
COMPUTING = "crunch 160000000 >/dev/null"

# What waits, by work: where nothing is met. Names are the kernel's, numbers linear addresses.
KERNEL_POINTS = [("break, page of vfs_write", "0,do_pwritev,1"), ("break, page of entries", "0,asm_exc_double_fault,1"),
                 ("break elsewhere", "0,machine_restart,1"), ("watch, a cold page", "2,c0001000,4")]
WORK = {"system calls": (SYSTEM_CALLS, KERNEL_POINTS), "programs": (PROGRAMS, KERNEL_POINTS),
        "computing": (COMPUTING, [("break, page of the loop", "0,20003ff0,1"), ("break, page beside", "0,20002ff0,1"),
                                  ("break in the kernel", "0,machine_restart,1"), ("watch, a cold page", "2,20005014,4")])}


class Machine:
    def __init__(self, ringer, engine, name):
        self.socket = name
        self.guest = Guest([ringer, "-accel", engine, "-m", "256", "-kernel", KERNEL, "-initrd", "initrd", "-append",
                            "console=ttyS0 panic=-1 nokaslr", "-display", "none", "-serial", "stdio", "-no-reboot",
                            "-gdb", "unix:%s,server=on,wait=off" % name])
        self.guest.expect("shell ready", 600)
        self.guest.expect("guest# ", 300)
        for path in glob.glob("/proc/%d/task/*/comm" % self.guest.process.pid):
            with open(path, encoding="ascii") as comm:
                if comm.read().strip() == "vcpu":
                    self.time_file = os.path.join(os.path.dirname(path), "schedstat")
        self.rsp = None

    def symbols(self):
        text = self.guest.run("grep -v '\\[' /proc/kallsyms | gzip -c | base64")
        lines = gzip.decompress(base64.b64decode(text)).decode().split("\n")
        return sorted((int(line.split()[0], 16), line.split()[2]) for line in lines if line)

    def seconds(self):
        """CPU time of the processor's thread, and of the processes that are cells: there may be others by now."""
        files = [self.time_file]
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path, encoding="ascii") as stat:
                    if int(stat.read().rsplit(")", 1)[1].split()[1]) == self.guest.process.pid:
                        files.append(os.path.join(os.path.dirname(path), "schedstat"))
            except OSError: # has ended meanwhile
                pass
        total = 0.0
        for path in files:
            with open(path, encoding="ascii") as times:
                total += int(times.read().split()[0]) / 1e9
        with open("/proc/%d/stat" % self.guest.process.pid, encoding="ascii") as stat:
            ended = stat.read().rsplit(")", 1)[1].split()[13:15]
        return total + sum(int(ticks) for ticks in ended) / os.sysconf("SC_CLK_TCK")

    def debug(self, points):
        if points is None:
            return
        self.rsp = Rsp(self.socket)
        for point in points:
            self.rsp.ask("Z" + point, "OK")
        self.rsp.go()

    def leave(self):
        if self.rsp:
            if not self.rsp.is_silent(0):
                raise SystemExit("a point was met")
            self.rsp.interrupt()
            self.rsp.ask("D", "OK")
            self.rsp.close()
            self.rsp = None

    def measure(self, command, points):
        self.debug(points)
        before = self.seconds()
        self.guest.run(command, 60)
        spent = self.seconds() - before
        self.leave()
        return spent


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n\n")[0])
    parser.add_argument("ringer")
    parser.add_argument("crunch")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--engines", default="bt,direct")
    parser.add_argument("--only", help="one kind of work")
    args = parser.parse_args()
    ringer, crunch = os.path.abspath(args.ringer), os.path.abspath(args.crunch)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        shutil.copy(crunch, "crunch")
        initrd.write("initrd", ["crunch"])
        print(f"{'engine':8} {'work':13} {'what waits':26} {'seconds':>8} {'ratio':>7} {'of fast':>9} {'slower':>7}")
        for engine in args.engines.split(","):
            compare(ringer, engine, args.rounds, args.only)


def fast(times):
    return statistics.mean(sorted(times)[:max(1, len(times) // 4)])


def compare(ringer, engine, rounds, only):
    never, other = Machine(ringer, engine, "never"), Machine(ringer, engine, "debugged")
    symbols = {name: value for value, name in other.symbols()}
    never.symbols()

    def address(point):
        kind, name, length = point.split(",")
        return "%s,%x,%s" % (kind, symbols[name], length) if name in symbols else point
    for work, (command, waits) in WORK.items():
        if only not in (None, work):
            continue
        cases = [("never debugged", never, None), ("no debugger", other, None), ("a debugger, no point", other, [])]
        cases += [(name, other, [address(point)]) for name, point in waits]
        times = {name: [] for name, _, _ in cases}
        for machine in never, other:
            for _ in range(3):
                machine.measure(command, None)
        for _ in range(rounds):
            for name, machine, points in random.sample(cases, len(cases)):
                times[name].append(machine.measure(command, points))
        for name, _, _ in cases:
            ratios = [mine / base for mine, base in zip(times[name], times["no debugger"])]
            print(f"{engine:8} {work:13} {name:26} {statistics.median(times[name]):8.3f} {statistics.median(ratios):7.3f} "
                  f"{fast(times[name]) / fast(times['no debugger']):9.3f} {sum(ratio > 1 for ratio in ratios):3}/{rounds}", flush=True)
    for machine in never, other:
        machine.guest.kill()


if __name__ == "__main__":
    main()
