#!/usr/bin/env python3
"""Ringer on /dev/kvm, in a machine that has one: QEMU's TCG emulates an AMD processor with SVM, Debian's amd64 kernel
in it loads kvm-amd, and Ringer runs there with -accel kvm.

    kvm_engine.py RINGER IMAGE.elf...        our own guest kernels, judged by tests/guest/run.py (known.txt: engine kvm)
    kvm_engine.py RINGER --linux [KERNEL]    Debian's i386 kernel to the shell, inside of that (slow)

Status 77, a skip, where QEMU or the kernel (tests/tools/guests.sh kvm-host) is missing.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import initrd  # noqa: E402
from guest import Guest, GuestError, main  # noqa: E402

HOST = os.path.join(initrd.CACHE, "kvm-host")
RUN = os.path.join(HERE, "..", "guest", "run.py")
OPTIONS = ("-accel kvm -m 128 -display none -vga none -net none -serial none -monitor none -debugcon stdio -no-reboot "
           "-device isa-debug-exit,iobase=0xf4,iosize=0x04")
# What is left to chance there: emulated twice over, 1000 ticks a second are sometimes too many; VMRUN in QEMU 7.2
# forgets the interrupt shadow, which shows if a timer tick of the outer machine comes just then.
BY_CHANCE = {"WRONG failed: timer: ticks of 1 kHz in a second of the RTC",
             "WRONG failed: sti shadow: no interrupt between STI and HLT",
             "WRONG failed: mov ss shadow: no interrupt after MOV SS and POP SS"}
# The same there: one in fifty runs of interrupts.elf sleeps for ever, as its only tick came between STI and HLT, and
# sometimes all of the outer machine does. What sleeps three times in a row does so by a fault of ours.
ASLEEP = "WRONG no verdict: the kernel did not come to its end"
TRIES = 3
problems = []


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


def libraries(program):
    """Paths of the shared libraries a program needs, and of its loader."""
    found = {}
    for line in subprocess.check_output(["ldd", program], text=True).splitlines():
        match = re.search(r"(?:=> )?(/\S+) \(", line)
        if match:
            found[match.group(1).lstrip("/")] = os.path.realpath(match.group(1))
    return found


def start(folder, ringer, files):
    """A machine with KVM, at its prompt."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        skip("qemu-system-x86_64 is not installed")
    for need in (os.path.join(HOST, "vmlinuz"), os.path.join(initrd.CACHE, "initrd.gz")):
        if not os.path.exists(need):
            skip(need + " is missing: tests/tools/guests.sh fetch, and kvm-host")
    more = {"lib/drivers/" + name: os.path.join(HOST, name) for name in sorted(os.listdir(HOST)) if name.endswith(".ko")}
    more.update(libraries(ringer))
    more["bin/ringer"] = ringer
    more.update(files)
    initrd.write(os.path.join(folder, "initrd"), [], more)
    guest = Guest([qemu, "-accel", "tcg", "-cpu", "max,+svm", "-m", "1024", "-display", "none", "-serial", "stdio", "-no-reboot",
                   "-nodefaults", "-kernel", os.path.join(HOST, "vmlinuz"), "-initrd", os.path.join(folder, "initrd"),
                   "-append", "console=ttyS0 quiet mitigations=off panic=-1"])
    guest.expect("shell ready", 300)
    guest.expect("guest# ")
    guest.run("for m in /lib/drivers/*; do insmod $m; done; test -c /dev/kvm")
    return guest


def report(name, wrong):
    print(f"{'not ok' if wrong else 'ok'} - {name}", flush=True)
    for line in wrong:
        print("# " + line)
        problems.append(line)


def run_image(guest, folder, image):
    """One of our kernels in there; run.py judges what it wrote, played back to it. What was wrong, and its last words."""
    name = os.path.basename(image)
    out = guest.run(f"timeout 60 ringer {OPTIONS} -kernel /guest/{name} >/tmp/out 2>&1; echo status=$? >>/tmp/out; cat /tmp/out", 200)
    text, _, status = out.rpartition("status=")
    if not text.lstrip().startswith("ringer: engine kvm "):
        return ["the engine is not KVM: " + text[:300]], text
    with open(os.path.join(folder, "out"), "w", encoding="utf-8") as file:
        file.write(text)
    replay = os.path.join(folder, "replay")
    with open(replay, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\ncat '{folder}/out'\nexit {int(status)}\n")
    os.chmod(replay, 0o755)
    judged = subprocess.run([sys.executable, RUN, replay, "kvm", image], capture_output=True, text=True)
    wrong = [line for line in judged.stdout.splitlines() if line.startswith("WRONG")]
    if judged.returncode and not wrong:
        wrong = ["run.py ended with status %d; %s" % (judged.returncode, judged.stderr[-500:])]
    return [line for line in wrong if line not in BY_CHANCE], text


def check_image(start_guest, guest, folder, image):
    """Returns the machine to go on with."""
    wrong, text = ["it does not answer"], ""
    for _ in range(TRIES):
        try:
            wrong, text = run_image(guest, folder, image)
            if ASLEEP not in wrong:
                break
            print(f"# {os.path.basename(image)} sleeps")
        except GuestError as e:
            print(f"# the machine around {os.path.basename(image)} sleeps: {e}", flush=True)
            guest = start_guest()
    report(os.path.basename(image), wrong)
    if wrong:
        print("# its last words:\n" + "\n".join("#     " + line for line in text.splitlines()[-6:]), flush=True)
    return guest


def check_monitor(guest):
    """Stopped, looked at, reset, ended from outside."""
    wrong = []
    # As long as an emulated machine in an emulated machine needs to come through its BIOS on a slow host.
    commands = "sleep 12; echo stop; sleep 1; echo info registers; sleep 1; echo cont; sleep 1; echo system_reset; sleep 12; echo info stats; sleep 1; echo quit"
    out = guest.run(f"({commands}) | ringer {OPTIONS.replace('-monitor none', '-monitor stdio').replace('-debugcon stdio', '').replace('-no-reboot', '')} "
                    "-stats file:/tmp/stats -kernel /guest/idle 2>&1")
    registers = dict(re.findall(r"(\w+) *=\s?([0-9a-f]+)", out))
    if registers.get("EAX") != "12345678" or registers.get("CS") != "0008" or registers.get("HLT") != "1":
        wrong.append(f"info registers: {registers}")
    if "engine kvm" not in out:
        wrong.append("no engine line: " + out[:300])
    stats = json.loads(guest.run("cat /tmp/stats"))
    spent = sum(c["ns"] for c in stats["counters"].values() if c["unit"] == "time")
    if abs(spent - stats["wall_ns"]) > 0.02 * stats["wall_ns"]:
        wrong.append(f"statistics: {spent} of {stats['wall_ns']} ns")
    if stats["counters"]["hlt"]["count"] < 2:
        wrong.append("the reset did not start it again: " + str(stats["counters"]["hlt"]))
    report("monitor", wrong)
    wrong = []
    out = guest.run(f"ringer {OPTIONS.replace('-accel kvm', '-enable-kvm')} -kernel /guest/idle >/tmp/out 2>&1 & n=0; "
                    "until grep -q 'engine kvm' /tmp/out || [ $n = 60 ]; do sleep 1; n=$((n + 1)); done; sleep 2; kill -TERM $!; wait $!; "
                    "echo status=$?; cat /tmp/out")
    if "status=0" not in out or "ringer: engine kvm (-enable-kvm)" not in out:
        wrong.append("-enable-kvm, ended by SIGTERM: " + out)
    report("-enable-kvm", wrong)


IDLE = """
    .text
    .globl _start
    .long 0x1badb002, 0, -0x1badb002
_start:
    movl $0x12345678, %eax
    cli
1:  hlt
    jmp 1b
"""


def test_images(ringer, images):
    with tempfile.TemporaryDirectory() as folder:
        idle = os.path.join(folder, "idle")
        with open(idle + ".s", "w", encoding="ascii") as file:
            file.write(IDLE)
        subprocess.run(["as", "--32", "-o", idle + ".o", idle + ".s"], check=True)
        subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x100000", "-e", "_start", "-o", idle, idle + ".o"], check=True)
        files = {"guest/" + os.path.basename(image): image for image in images}
        files["guest/idle"] = idle
        guest = start(folder, ringer, files)
        try:
            for image in images:
                guest = check_image(lambda: start(folder, ringer, files), guest, folder, image)
            check_monitor(guest)
        finally:
            guest.kill()


def test_linux(ringer, kernel):
    files = {"guest/vmlinuz": os.path.join(initrd.CACHE, "vmlinuz-" + kernel),
             "guest/initrd": os.path.join(initrd.CACHE, "initrd.gz")}
    with tempfile.TemporaryDirectory() as folder:
        guest = start(folder, ringer, files)
        try:
            guest.send("ringer -accel kvm -m 128 -nographic -no-reboot -kernel /guest/vmlinuz -initrd /guest/initrd "
                       "-append 'console=ttyS0 panic=-1'; echo ringer''=$?\n")
            guest.expect("ringer: engine kvm", 60)
            guest.expect("shell ready", 1800)
            guest.expect("guest# ", 300)
            if guest.run("uname -m", 300).strip() != "i686":
                guest.fail("this is not the inner guest")
            if guest.run("seq 1 1000 | sort -rn | head -n 3 | tr '\\n' ' '", 300).strip() != "1000 999 998":
                guest.fail("fork, exec, pipes")
            guest.send("poweroff -f\n")
            guest.expect("ringer=0", 300)
            report(f"Debian's kernel {kernel}", [])
        finally:
            guest.kill()


def test():
    ringer = os.path.abspath(sys.argv[1])
    if sys.argv[2] == "--linux":
        test_linux(ringer, sys.argv[3] if len(sys.argv) > 3 else "686")
    else:
        test_images(ringer, [os.path.abspath(image) for image in sys.argv[2:]])
    if problems:
        raise GuestError("%d problems" % len(problems))


main(test)
