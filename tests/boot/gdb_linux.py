#!/usr/bin/env python3
"""Debian's kernel and a process in it under Debian's gdb.

usage: gdb_linux.py RINGER ENGINE CRUNCH [CASE...]

CRUNCH is the static i386 program crunch.c. Status 77, a skip, where there is no gdb or no kernel in the guest cache.
"""
import base64
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import initrd  # noqa: E402
from gdb import Gdb, GdbError, symbols_of_kallsyms  # noqa: E402
from expect import Failure, check, equal, in_order  # noqa: E402
from guest import Guest, GuestError  # noqa: E402
from monitor import Hmp  # noqa: E402

SKIP = 77
RINGER, ENGINE, CRUNCH = os.path.abspath(sys.argv[1]), sys.argv[2], os.path.abspath(sys.argv[3])
KERNEL = os.path.join(initrd.CACHE, "vmlinuz-686")
MARK_TURNS = 1 << 16


def state_after(turns):
    """What crunch.c has computed: the same steps, doubled each time."""
    state, a, c = 1, 1664525, 1013904223
    while turns:
        if turns & 1:
            state = (state * a + c) % (1 << 32)
        a, c = a * a % (1 << 32), c * (a + 1) % (1 << 32)
        turns >>= 1
    return state


class Machine:
    def __init__(self):
        for name in "gdb.sock", "hmp.sock":
            if os.path.exists(name):
                os.remove(name)
        self.guest = Guest([RINGER, "-accel", ENGINE, "-m", "256", "-kernel", KERNEL, "-initrd", "initrd", "-append",
                            "console=ttyS0 panic=-1 nokaslr", "-display", "none", "-serial", "stdio", "-no-reboot",
                            "-gdb", "unix:gdb.sock,server=on,wait=off", "-monitor", "unix:hmp.sock,server=on,wait=off"])
        self.guest.expect("shell ready", 600)
        self.guest.expect("guest# ", 300)
        text = self.guest.run("grep -v '\\[' /proc/kallsyms | gzip -c | base64", 300)
        self.guest.output, self.guest.seen = b"", 0
        self.hmp = Hmp("hmp.sock")
        self.symbols = symbols_of_kallsyms(gzip.decompress(base64.b64decode(text)).decode(), os.getcwd(), self.save)

    def save(self, address, length):
        """Memory of the kernel."""
        self.hmp.command('memsave %#x %d "memory"' % (address, length))
        with open("memory", "rb") as memory:
            return memory.read()

    def attach(self):
        """gdb with the kernel's symbols; the machine stands."""
        gdb = Gdb()
        gdb.command("symbol-file " + self.symbols)
        text = gdb.command("target remote gdb.sock")
        check("Remote debugging using gdb.sock" in text, text)
        return gdb

    def times(self, seconds):
        """Nanoseconds of each kind that pass meanwhile."""
        self.hmp.command("stats on")
        time.sleep(seconds)
        counters = json.loads(self.hmp.command("info stats json"))["counters"]
        self.hmp.command("stats off")
        return {name: counter["ns"] for name, counter in counters.items() if counter["unit"] == "time"}

    def alive(self):
        """A command at the guest's shell works."""
        equal(self.guest.run("echo $((6 * 7)); cat /proc/uptime | wc -l").split(), ["42", "1"], "the shell")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            print("# serial line: " + self.guest.output[-300:].decode(errors="replace"))
        status = self.guest.process.poll()
        self.guest.kill()
        check(kind or status is None, "it has ended with status %s" % status)


# --- the kernel ---

CHAIN = ["write_null", "vfs_write", "ksys_write", "__ia32_sys_write"]


def case_system_call(machine):
    """A breakpoint in a system call: who called it, back out of it, instruction by instruction."""
    with machine.attach() as gdb:
        in_order(gdb.command("break write_null"), "^Breakpoint 1 at 0xc1")
        gdb.start("continue")
        machine.guest.send("echo once > /dev/null\n")
        in_order(gdb.finish(), "^Breakpoint 1, 0xc1.* in write_null")
        trace = gdb.command("backtrace")
        in_order(trace, "^#0 .* write_null", *["^#%d .* in %s " % (n + 1, f) for n, f in enumerate(CHAIN[1:])], "in entry_")
        in_order(gdb.command("finish"), "^Run till exit from #0 .*write_null", "in vfs_write")
        equal(gdb.value("$eax"), 5, "what write returns")
        in_order(gdb.command("finish"), "in ksys_write")
        pc = gdb.value("$pc")
        in_order(gdb.command("stepi"), "in ksys_write")
        check(0 < gdb.value("$pc") - pc < 16, "stepi")
        in_order(gdb.command("info symbol $pc"), "^ksys_write")
        gdb.command("delete")
        in_order(gdb.command("detach"), "detached")
    machine.guest.expect("guest# ")
    machine.alive()


def case_jiffies(machine):
    """A watchpoint on what the clock's interrupt counts. Debian's kernel names no variables: do_timer() adds to it."""
    with machine.attach() as gdb:
        code = gdb.command("x/20i do_timer")
        jiffies = re.search(r"\badd +%\w+,(0xc\w+)\n.*\badc ", code)
        check(jiffies, code)
        jiffies = "*(int *)" + jiffies.group(1)
        in_order(gdb.command("watch " + jiffies), "^Hardware watchpoint 1")
        for _ in range(10):
            text = gdb.command("continue")
            old, new = (int(re.search("^%s value = (-?\\d+)$" % w, text, re.M).group(1)) for w in ("Old", "New"))
            check(0 < (new - old) % (1 << 32) < 1000, "jiffies: %d, then %d" % (old, new))
            equal(gdb.value("(int)" + jiffies), new, "jiffies")
        check("timer" in text or "jiffies" in text, text)
        gdb.command("delete")
        in_order(gdb.command("detach"), "detached")
    machine.alive()


def case_thousand(machine):
    """A thousand system calls are a thousand hits: none lost, none twice."""
    with machine.attach() as gdb:
        gdb.command("break write_null")
        gdb.command("break __ia32_sys_exit_group")
        gdb.command("ignore 1 999")
        gdb.start("continue")
        machine.guest.send("dd if=/dev/zero of=/dev/null bs=1 count=1000\n")
        in_order(gdb.finish(), "^Breakpoint 1, .* write_null")
        in_order(gdb.command("continue"), "^Breakpoint 2, .* __ia32_sys_exit_group")
        in_order(gdb.command("info breakpoints"), "write_null", "breakpoint already hit 1000 times")
        gdb.command("delete")
        in_order(gdb.command("detach"), "detached")
    machine.guest.expect("1000+0 records out")
    machine.guest.expect("guest# ")
    machine.alive()


# --- a process ---

def start_crunch(machine):
    machine.guest.send("crunch > /tmp/out &\n")
    machine.guest.expect("guest# ")


def end_crunch(machine):
    out = machine.guest.run("wait; cat /tmp/out")
    found = re.search(r"crunch: turns=(\d+) state=(\d+) marks=(\d+) end", out)
    check(found, "crunch says: " + out)
    turns, state, marks = (int(n) for n in found.groups())
    equal((state, marks), (state_after(turns), turns // MARK_TURNS), "after %d turns" % turns)
    return turns


def break_in_crunch(machine, gdb):
    gdb.command("add-symbol-file " + CRUNCH)
    in_order(gdb.command("break crunch_turn"), r"^Breakpoint \d+ at 0x2")
    in_order(gdb.command("continue"), r"^Breakpoint \d+, .* crunch_turn")


def in_cell_again(machine, what):
    """With -accel direct: soon most of the time is spent in the cell."""
    if not ENGINE.startswith("direct"):
        return
    end = time.monotonic() + 60
    while True:
        spent = machine.times(0.5)
        if spent["direct"] > 0.9 * sum(ns for name, ns in spent.items() if name not in ("idle", "stopped")):
            return
        check(time.monotonic() < end, "%s: it does not run in its cell: %r" % (what, spent))


def case_process(machine):
    """A process in its loop: stopped, stepped, watched, read, written, and left to itself."""
    start_crunch(machine)
    in_cell_again(machine, "before")
    with machine.attach() as gdb:
        break_in_crunch(machine, gdb)
        equal(gdb.value("$cs & 3"), 3, "CPL")
        turns = gdb.value("(unsigned)crunch_turns")
        for more in range(1, 20):
            in_order(gdb.command("continue"), "^Breakpoint 1, .* crunch_turn")
            equal(gdb.value("(unsigned)crunch_turns"), turns + more, "turns at the breakpoint")
        equal(gdb.value("*(unsigned *)($esp + 4)") % (1 << 32), state_after(turns + 19), "the argument at turn %d" % (turns + 19))
        in_order(gdb.command("backtrace"), "^#0 .* crunch_turn")
        in_order(gdb.command("stepi 2"), "in crunch_turn")
        in_order(gdb.command("finish"), "in crunch")
        equal(gdb.value("(unsigned)$eax") % (1 << 32), state_after(turns + 20), "what the turn returns")
        gdb.command("delete")
        in_order(gdb.command("watch *(unsigned *)&crunch_turns"), "^Hardware watchpoint 2")
        for more in range(1, 6):
            in_order(gdb.command("continue"), "^Old value = %d$" % (turns + 18 + more), "^New value = %d$" % (turns + 19 + more))
        gdb.command("delete")
        in_order(gdb.command("watch *(unsigned *)&crunch_marks"), "^Hardware watchpoint 3")
        marks = gdb.value("*(unsigned *)&crunch_marks")
        in_order(gdb.command("continue"), "^Old value = %d$" % marks, "^New value = %d$" % (marks + 1), "crunch_mark")
        equal(gdb.value("*(unsigned *)&crunch_turns"), (marks + 1) * MARK_TURNS, "turns at the mark")
        gdb.command("delete")
        gdb.command("set var *(unsigned *)((char *)&crunch_cold + 20) = 1234567")
        equal(gdb.value("*(unsigned *)((char *)&crunch_cold + 20)"), 1234567, "what was written")
        in_order(gdb.command("detach"), "detached")
    in_cell_again(machine, "after a debugger")
    with machine.attach() as gdb:
        break_in_crunch(machine, gdb)
        gdb.command("delete")
        gdb.command("set var *(unsigned *)&crunch_stop = 1")
        gdb.command("detach")
    check(end_crunch(machine) > turns, "turns")


def case_points_at_rest(machine):
    """Points that nobody meets, on pages beside: the process stays in its cell."""
    start_crunch(machine)
    with machine.attach() as gdb:
        break_in_crunch(machine, gdb)
        gdb.command("delete")
        gdb.command("break *(char *)&crunch_cold")  # nothing is executed there
        gdb.command("watch *(unsigned *)((char *)&crunch_cold + 4096)")
        gdb.start("continue")
        time.sleep(1)
        in_cell_again(machine, "with points at rest")
        gdb.interrupt()
        in_order(gdb.finish(), "SIGINT")
        gdb.command("delete")
        break_in_crunch(machine, gdb)
        gdb.command("delete")
        gdb.command("set var *(unsigned *)&crunch_stop = 1")
        gdb.command("detach")
    end_crunch(machine)


def main():
    names = sys.argv[4:] or [name[5:] for name in globals() if name.startswith("case_")]
    failures = 0
    shutil.copy(CRUNCH, "crunch")
    initrd.write("initrd", ["crunch"])
    for name in names:
        problem, start = None, time.monotonic()
        try:
            with Machine() as machine:
                globals()["case_" + name](machine)
        except (Failure, GdbError, GuestError, OSError, ValueError) as error:
            problem = "%s: %s" % (type(error).__name__, error)
        print("%s - %s (%.1f s)" % ("not ok" if problem else "ok", name, time.monotonic() - start), flush=True)
        if problem:
            failures += 1
            print("# " + problem.replace("\n", "\n# "), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    if not shutil.which("gdb"):
        print("skipped: package gdb is not installed")
        sys.exit(SKIP)
    if not os.path.exists(KERNEL):
        print("SKIP: %s is missing; fetch guests with tests/tools/guests.sh" % KERNEL)
        sys.exit(SKIP)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.exit(main())
