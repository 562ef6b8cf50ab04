#!/usr/bin/env python3
"""Devices from outside: ports without a handshake and a slow reader, users' ports that meet, ends that are standstills.

    devices.py RINGER [ENGINE]
"""
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from screen import Screen  # noqa: E402

RINGER = os.path.abspath(sys.argv[1])
ENGINE = sys.argv[2] if len(sys.argv) > 2 else "bt"
failures = 0


def report(name, problem):
    global failures
    failures += bool(problem)
    print(f"{'not ok' if problem else 'ok'} - {name}")
    if problem:
        print(f"# {problem}")


def kernel(code):
    with open("k.s", "w") as f:
        f.write(".text\n.globl _start\n.long 0x1badb002, 0, -0x1badb002\n_start:\n" + code)
    subprocess.run(["as", "--32", "-o", "k.o", "k.s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x100000", "-o", "kernel", "k.o"], check=True)
    return [RINGER, "-display", "none", "-serial", "none", "-accel", ENGINE, "-kernel", "kernel", "-device",
            "isa-debug-exit,iobase=0xf4,iosize=1"]


COUNT = 400000
TALK = f"""
    xorl %ebx, %ebx
1:  movl %ebx, %eax
    andb $63, %al
    addb $' ', %al
    SEND
    incl %ebx
    cmpl ${COUNT}, %ebx
    jb 1b
    movb $1, %al
    outb %al, $0xf4
2:  jmp 2b
"""
WAYS = (("debug console", "outb %al, $0xe9", "-debugcon"),
        ("parallel port", """movw $0x378, %dx
    outb %al, %dx
    movb $0x0d, %al
    movw $0x37a, %dx
    outb %al, %dx
    movb $0x0c, %al
    outb %al, %dx""", "-parallel"))


def slow_reader():
    """Nothing is lost: the guest waits."""
    want = bytes(32 + (n & 63) for n in range(COUNT))
    for name, send, option in WAYS:
        process = subprocess.Popen(kernel(TALK.replace("SEND", send)) + [option, "stdio"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.7)
        got = b""
        while True:
            part = process.stdout.read(20000)
            if not part:
                break
            got += part
            time.sleep(0.01)
        status = process.wait()
        report(f"{name}, slow reader", None if status == 3 and got == want else f"status {status}, {len(got)} bytes")


def no_reader():
    """A guest that waits for somebody who never reads can be ended, and what is lost is told."""
    process = subprocess.Popen(kernel(TALK.replace("SEND", WAYS[0][1])) + ["-debugcon", "stdio"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.7)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status = process.wait(timeout=20)
    took = time.monotonic() - begin
    errors = process.stderr.read()
    process.stdout.close()
    report("debug console, no reader", None if status == 0 and took < 5 and b"they are lost" in errors and b"stop" not in errors
           else f"status {status}, {took:.1f} s, {errors!r}")
    # "stop" stands for whatever looks at the machine as a whole.
    read, write = os.pipe()
    screen = Screen(kernel(TALK.replace("SEND", WAYS[0][1])) + ["-chardev", f"file,id=c,path=/dev/fd/{write}", "-debugcon",
                                                              "chardev:c"], pass_fds=[write])
    time.sleep(0.7)
    begin = time.monotonic()
    answers = [screen.command("stop"), screen.command("info status")]
    screen.process.send_signal(signal.SIGTERM)
    status = screen.wait()
    took = time.monotonic() - begin
    os.close(read)
    os.close(write)
    report("debug console, no reader, stop", None if status == 0 and took < 8 and "paused" in answers[1]
           else f"status {status}, {took:.1f} s, {answers!r}")


def taken_ports():
    for options in (["-device", "pc-testdev", "-debugcon", "null"], ["-global", "isa-debugcon.iobase=0x60", "-debugcon", "null"],
                    ["-device", "isa-debug-exit,iobase=0x3f8", "-serial", "null"]):
        result = subprocess.run([RINGER, "-display", "none", *options], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=20)
        report(" ".join(options), None if result.returncode == 1 and len(result.stderr.splitlines()) == 1 and
               "taken" in result.stderr else f"{result.returncode} {result.stderr!r}")


def standstill():
    """-no-shutdown: what -no-reboot makes of a triple fault, and a power-off, stop the machine; it does not end."""
    for name, code, options in (("triple fault", "lidt none\nint3\n1: jmp 1b\nnone: .word 0\n.long 0\n", ["-no-reboot"]),
                                ("reset", "movb $0xfe, %al\noutb %al, $0x64\n1: jmp 1b\n", ["-no-reboot"]),
                                ("power-off", "movw $0x604, %dx\nmovw $0x2000, %ax\noutw %ax, %dx\n1: jmp 1b\n", [])):
        screen = Screen(kernel(code) + options + ["-no-shutdown"])
        time.sleep(1)
        answer = screen.command("info registers") if screen.process.poll() is None else None
        status = screen.process.poll()
        screen.kill()
        report(f"-no-shutdown, {name}", None if status is None and answer and "EIP=" in answer else
               f"status {status}, {answer!r}")


def jump_to_reset():
    """A program that jumps to the reset vector resets the machine: with -no-reboot that is the end."""
    for target in ("$0xffff, $0", "$0xf000, $0xfff0"):
        with open("k.s", "w") as f:
            f.write(".code16\n.globl _start\n_start:\nmovb $'J', %al\noutb %al, $0xe9\n"
                    f"ljmpw {target}\n.org 510\n.word 0xaa55\n.org 1474560\n")
        subprocess.run(["as", "--32", "-o", "k.o", "k.s"], check=True)
        subprocess.run(["ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", "0", "-o", "fd.img", "k.o"], check=True)
        for options, want in ((["-no-reboot"], b"J"), ([], b"JJ")):
            process = subprocess.Popen([RINGER, "-display", "none", "-serial", "none", "-accel", ENGINE, "-fda", "fd.img", "-boot",
                                        "a", "-debugcon", "file:log", *options], stdin=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            end, log = time.monotonic() + 20, b""
            while process.poll() is None and time.monotonic() < end and not (not options and log.startswith(want)):
                time.sleep(0.05)
                if os.path.exists("log"):
                    with open("log", "rb") as f:
                        log = f.read()
            status = process.poll()
            process.kill()
            process.wait()
            if options:
                with open("log", "rb") as f:
                    log = f.read()
            report(f"jump to {target} {' '.join(options)}", None if log.startswith(want) and (status == 0) == bool(options) and
                   (not options or log == want) else f"status {status}, {log!r}")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    slow_reader()
    no_reader()
    taken_ports()
    standstill()
    jump_to_reset()
sys.exit(failures != 0)
