#!/usr/bin/env python3
"""Stop means stop: all clocks of the guest stand alike, nothing is lost, and what is off stays off.

usage: standstill.py RINGER ENGINE CLOCKS.elf
"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import die_with_parent  # noqa: E402
from monitor import Hmp  # noqa: E402

failed = 0


def report(name, wrong):
    global failed
    failed += bool(wrong)
    print("%s - %s%s" % ("not ok" if wrong else "ok", name, ": " + wrong if wrong else ""), flush=True)


class Machine:
    def __init__(self, ringer, engine, image, *options):
        self.folder = tempfile.TemporaryDirectory()
        self.log, path = os.path.join(self.folder.name, "log"), os.path.join(self.folder.name, "monitor")
        self.process = subprocess.Popen(
            [ringer, "-accel", engine, "-m", "16", "-kernel", image, "-display", "none", "-serial", "null", "-debugcon",
             "file:" + self.log, "-monitor", "unix:%s,server=on,wait=off" % path, *options], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        self.monitor = Hmp(path, timeout=20)

    def command(self, line):
        return self.monitor.command(line)

    def lines(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log) as f:
            return f.read().split("\n")

    def wait(self, pattern, count=1, limit=60):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            found = [line for line in self.lines()[:-1] if re.search(pattern, line)]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        return []

    def kept_waiting_ms(self):
        """For how long its threads were ready, and the host had other things to do (proc(5): schedstat)."""
        total = 0
        for task in glob.glob("/proc/%d/task/*/schedstat" % self.process.pid):
            with open(task) as f:
                total += int(f.read().split()[1])
        return total // 1000000

    def end(self):
        self.process.kill()
        self.process.wait()


STANDS = (0.5, 2, 0.05, 1)  # s
STANDS_MS = int(sum(STANDS) * 1000)


def check_clocks(ringer, engine, image):
    machine = Machine(ringer, engine, image)
    machine.wait("clocks begin")
    for stand in STANDS:
        machine.command("stop")
        status = machine.command("info status")
        before = len(machine.lines())
        time.sleep(stand)
        if len(machine.lines()) != before or "paused" not in status:
            report("nothing runs while it stands", "the guest went on; " + status)
        machine.command("cont")
        time.sleep(0.3)
    seconds = 6 if engine != "interp" else 4
    found = machine.wait("clocks pm", seconds)
    busy = machine.kept_waiting_ms()
    machine.end()
    if not found:
        report("clocks", "the guest said nothing")
        return
    clocks = dict(zip(*[iter(found[seconds - 1].split()[1:])] * 2))
    pm = int(clocks.pop("pm"))
    # A tick's own length; and clocks that the guest counts by interrupts are behind by those that came to nothing while a
    # busy host kept the processor waiting: less than the seconds for which the machine stood, which would show, too.
    allowed = 40 + pm // 200 + min(busy, 300)
    behind = max(allowed, min(busy, STANDS_MS - 1000))
    wrong = ["%s says %s ms of %d, kept waiting %d" % (name, value, pm, busy) for name, value in clocks.items()
             if not -(behind if name in ("pit", "rtc") else allowed) <= int(value) - pm <= allowed]
    report("all clocks stand alike", ", ".join(wrong))


def check_off(ringer, engine, image):
    machine = Machine(ringer, engine, image, "-append", "off", "-no-shutdown")
    machine.wait("clocks pm")
    for _ in range(100):
        if "shutdown" in machine.command("info status"):
            break
        time.sleep(0.05)
    wrong = []
    status = machine.command("info status")
    if "paused (shutdown)" not in status:
        wrong.append("status: " + status.split("\r")[0])
    before = machine.lines()
    registers = [machine.command("info registers") for _ in range(3)]
    answer = machine.command("cont")
    if "system_reset" not in answer:
        wrong.append("cont: " + answer)
    time.sleep(0.5)
    registers.append(machine.command("info registers"))
    if len(set(registers)) != 1 or machine.lines() != before:
        wrong.append("it went on")
    report("what is off stays off, whatever is asked", "; ".join(wrong))
    machine.command("system_reset")
    wrong = []
    if "paused (prelaunch)" not in machine.command("info status"):
        wrong.append("after the reset: " + machine.command("info status"))
    machine.command("cont")
    if not machine.wait("clocks begin", 2):
        wrong.append("it does not start again")
    report("system_reset and cont start it again", "; ".join(wrong))
    machine.end()


def main():
    ringer, engine, image = sys.argv[1:4]
    check_clocks(ringer, engine, image)
    check_off(ringer, engine, image)
    print("standstill: %d failed" % failed)
    return 1 if failed else 0


sys.exit(main())
