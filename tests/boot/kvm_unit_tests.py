#!/usr/bin/env python3
"""Runs kvm-unit-tests built for i386 here and under QEMU's TCG, and compares line by line.

    kvm_unit_tests.py RINGER FOLDER [ACCEL]

FOLDER holds the built x86/*.flat (./configure --arch=i386 && make, in a checkout of kvm-unit-tests, which is not part
of this repository). Ends with status 1 when something passes under TCG and not here; lists what passes only here.
"""
import glob
import os
import re
import subprocess
import sys

LIMIT = 120


def run(command):
    """(status, names of the tests that passed); status None: killed for its time."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        text, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
        return None, names(text)
    return process.returncode, names(text)


def names(text):
    found, counts = set(), {}
    for name in re.findall(r"^PASS: (.*?)\r?$", text.decode(errors="replace"), re.M):
        name = re.sub(r"\d{3,}|0x[0-9a-f]+", "N", name)
        counts[name] = counts.get(name, 0) + 1
        found.add((name, counts[name]))
    return found


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    ringer, folder = sys.argv[1:3]
    accel = sys.argv[3] if len(sys.argv) > 3 else "bt"
    common = ["-m", "128", "-device", "pc-testdev", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-serial", "stdio",
              "-display", "none", "-no-reboot"]
    worse = better = 0
    for path in sorted(glob.glob(os.path.join(folder, "x86", "*.flat"))):
        name = os.path.basename(path)[:-5]
        ours = run([ringer, "-accel", accel] + common + ["-kernel", path])
        theirs = run(["qemu-system-i386", "-accel", "tcg", "-vga", "none", "-monitor", "none"] + common +
                     ["-kernel", path])
        lost, gained = theirs[1] - ours[1], ours[1] - theirs[1]
        ends_worse = theirs[0] == 1 and ours[0] != 1
        print("%-20s here: status %s, %d passed; TCG: status %s, %d passed" % (
            name, ours[0], len(ours[1]), theirs[0], len(theirs[1])), flush=True)
        for test, _ in sorted(lost):
            print("    LOST: %s" % test)
        for test, _ in sorted(gained):
            print("    only here: %s" % test)
        if ours[0] == 1 and theirs[0] != 1:
            print("    only here: the whole of it")
        worse += bool(lost) or ends_worse
        better += bool(gained) or (ours[0] == 1 and theirs[0] != 1)
    print("%d programs do worse here than under TCG, %d better" % (worse, better))
    sys.exit(1 if worse else 0)


main()
