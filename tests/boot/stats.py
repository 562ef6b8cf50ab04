#!/usr/bin/env python3
"""Statistics: known work is counted exactly, and the vCPU thread's time is accounted for within 2 %.

usage: stats.py RINGER ENGINE

Guests are a few instructions each, assembled here as in machine.py. The clock that the times are compared with is
this script's own.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import monitor  # noqa: E402

RINGER = os.path.abspath(sys.argv[1])
ENGINE = sys.argv[2]
failures = 0

HEADER = """
    .text
    .globl _start
    .long 0x1badb002, 0, -0x1badb002
.macro gate vector, handler
    movl $\\handler, %eax
    movw %ax, idt + 8 * \\vector
    movw %cs, idt + 8 * \\vector + 2
    movw $0x8e00, idt + 8 * \\vector + 4
    shrl $16, %eax
    movw %ax, idt + 8 * \\vector + 6
.endm
_start:
    movl $0x80000, %esp
    lidt idtr
"""
FOOTER = """
    movb $0, %al
    outb %al, $0xf4
1:  jmp 1b
    .bss
    .balign 8
idt: .space 8 * 256
    .data
idtr: .word 8 * 256 - 1
    .long idt
"""

EVENTS = """
    gate 0, divided
    gate 0x80, called
    movl $3000, %ecx
1:  int $0x80
    loop 1b
    movl $2000, %ecx
1:  xorl %edx, %edx
    xorl %ebx, %ebx
    movl $1, %eax
    divl %ebx
after_div:
    loop 1b
    movl $200000, %ecx
1:  outb %al, $0x80
    loop 1b
    jmp done
divided:
    movl $after_div, (%esp)
    iret
called:
    iret
done:
"""

BUSY = """
    movl $0x7fffffff, %ecx
1:  decl %ecx
    jnz 1b
    jmp _start
"""

IDLE = """
    cli
1:  hlt
    jmp 1b
"""

# Some of everything, for ever: 100 timer ticks a second with HLT between some of them, port reads, loops.
MIXED = """
    gate 0x20, tick
    movb $0x11, %al
    outb %al, $0x20
    movb $0x20, %al
    outb %al, $0x21
    movb $0x04, %al
    outb %al, $0x21
    movb $0x01, %al
    outb %al, $0x21
    movb $0xfe, %al
    outb %al, $0x21
    movb $0x34, %al
    outb %al, $0x43
    movb $0x9c, %al
    outb %al, $0x40
    movb $0x2e, %al
    outb %al, $0x40
    sti
1:  hlt
    movl $3000, %ecx
2:  inb $0x61, %al
    loop 2b
    movl $3000000, %ecx
3:  loop 3b
    jmp 1b
tick:
    pushl %eax
    movb $0x20, %al
    outb %al, $0x20
    popl %eax
    iret
"""


def assemble(name, body):
    with open(name + ".s", "w", encoding="ascii") as out:
        out.write(HEADER + body + FOOTER)
    subprocess.run(["as", "--32", "-o", name + ".o", name + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x100000", "-e", "_start", "-o", name, name + ".o"], check=True)


def command(name, *extra):
    return [RINGER, "-accel", ENGINE, "-m", "16", "-kernel", name, "-display", "none", "-vga", "none", "-nic", "none", "-no-reboot",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *extra]


def report(name, problems):
    global failures
    failures += bool(problems)
    print(f"{'not ok' if problems else 'ok'} - {name}", flush=True)
    for problem in problems:
        print(f"# {problem}")


def total(stats):
    return sum(c["ns"] for c in stats["counters"].values() if c["unit"] == "time")


def summing(stats):
    problems = []
    if abs(total(stats) - stats["wall_ns"]) > 0.02 * stats["wall_ns"]:
        problems.append(f"times sum up to {total(stats)} of {stats['wall_ns']} ns")
    if abs(sum(stats["groups"].values()) - total(stats)) > 1000:
        problems.append(f"groups {stats['groups']} are not the sum of their counters")
    return problems


class Monitor:
    """A machine with its monitor on stdin and stdout."""

    def __init__(self, name, *extra):
        self.process = subprocess.Popen(command(name, "-monitor", "stdio", *extra), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._answer()

    def _answer(self):
        out = b""
        while not out.endswith(monitor.PROMPT):
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                raise SystemExit(f"FAIL: the machine ended; {self.process.stderr.read()!r}")
            out += part
        return monitor.answer(out)

    def ask(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self._answer()

    def stats(self):
        return json.loads(self.ask("info stats json"))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=20)[1].decode()


def check_events():
    problems = []
    assemble("events", EVENTS)
    result = subprocess.run(command("events", "-stats", "file:events.json"), capture_output=True, timeout=60)
    if result.returncode != 1:
        report("events", [f"status {result.returncode}, {result.stderr!r}"])
        return
    with open("events.json", encoding="ascii") as file:
        stats = json.load(file)
    counters = stats["counters"]
    for name, want in (("soft_int", 3000), ("exc_de", 2000)):
        if counters[name]["count"] != want:
            problems.append(f"{name}: {counters[name]['count']}, not {want}")
    # The BIOS uses ports, too; how many, depends on how long it waits.
    if not 200001 <= counters["device_port"]["count"] <= 250000:
        problems.append(f"device_port: {counters['device_port']['count']}, not a little over 200000")
    if stats["engine"] != ENGINE.split(",")[0] or not stats["timing"]:
        problems.append(f"engine {stats['engine']}, timing {stats['timing']}")
    report("events are counted exactly", problems + summing(stats))


def check_share(name, body, group):
    assemble(name, body)
    machine = Monitor(name, "-stats", "on")
    time.sleep(0.3)
    first, begin = machine.stats(), time.monotonic()
    time.sleep(1.5)
    last, end = machine.stats(), time.monotonic()
    errors = machine.end()
    spent = last["groups"][group] - first["groups"][group]
    passed = (end - begin) * 1e9
    problems = summing(last)
    if not 0.9 * passed <= spent <= 1.1 * passed:
        problems.append(f"{spent} ns in {group} of {passed:.0f}; {errors}")
    report(f"{name}: time in {group}", problems)


def check_wall():
    assemble("mixed", MIXED)
    machine = Monitor("mixed", "-stats", "on")
    time.sleep(0.3)
    first, begin = machine.stats(), time.monotonic()
    time.sleep(3)
    last, end = machine.stats(), time.monotonic()
    problems = summing(last)
    spent, passed = total(last) - total(first), (end - begin) * 1e9
    if abs(spent - passed) > 0.02 * passed:
        problems.append(f"{spent} ns are accounted for, {passed:.0f} went by")
    for name in ("device_port", "interrupt", "idle"):
        if last["counters"][name]["ns"] <= first["counters"][name]["ns"]:
            problems.append(f"{name} did not grow")
    # By signal, sorted by time.
    machine.process.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    errors = machine.end()
    times = [float(t) for t in re.findall(r"^\w+ +\d+ +([0-9.]+) +[0-9.]+", errors, re.M)]
    if len(times) < 5 or times != sorted(times, reverse=True):
        problems.append(f"the table by SIGUSR1 is not sorted by time: {errors}")
    report("times sum up to the clock's", problems)


def check_off_and_on():
    problems = []
    assemble("mixed", MIXED)
    machine = Monitor("mixed")
    time.sleep(0.3)
    text = machine.ask("info stats")
    if "stats on" not in text or not re.search(r"^device_port +[1-9]", text, re.M):
        problems.append(f"without times: {text}")
    if total(machine.stats()) != 0:
        problems.append("times without having been asked for")
    machine.ask("stats on")
    begin = time.monotonic()
    time.sleep(1)
    stats = machine.stats()
    passed = (time.monotonic() - begin) * 1e9
    if abs(total(stats) - passed) > 0.05 * passed:
        problems.append(f"after 'stats on' {total(stats)} ns of {passed:.0f}")
    machine.ask("stats off")
    if "help stats" not in machine.ask("stats"):
        problems.append("a wrong command is not explained")
    machine.end()
    report("times on demand", problems + summing(stats))


def check_bad_file():
    assemble("events", EVENTS)
    result = subprocess.run(command("events", "-stats", "file:/nowhere/x"), capture_output=True, timeout=60)
    problems = []
    if result.returncode != 1 or b"-stats: " not in result.stderr or b"/nowhere/x" not in result.stderr:
        problems.append(f"no word about a file that cannot be written: {result.stderr!r}")
    result = subprocess.run(command("events", "-stats", "perhaps"), capture_output=True, timeout=60)
    if result.returncode != 1 or b"-stats: 'perhaps'" not in result.stderr:
        problems.append(f"-stats perhaps: {result.returncode} {result.stderr!r}")
    report("errors", problems)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    check_events()
    check_share("busy", BUSY, "INTERP" if ENGINE == "interp" else "GUEST")
    check_share("idle", IDLE, "IDLE")
    check_wall()
    check_off_and_on()
    check_bad_file()
    os.chdir("/")
sys.exit(1 if failures else 0)
