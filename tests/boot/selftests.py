#!/usr/bin/env python3
"""Runs the kernel's own 32-bit x86 selftests in a guest, here and under QEMU's TCG.

    selftests.py RINGER FOLDER [KERNEL]

FOLDER holds the built programs of tools/testing/selftests/x86 (Debian's linux-source-6.1; gcc -m32 -static), KERNEL is
686 or 686-pae. Ends with status 1 when a program reports a failure here that it does not report under TCG.
"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import initrd  # noqa: E402
from guest import Guest, GuestError, main  # noqa: E402


def run_all(command, programs):
    """name -> (number of [OK] lines, lines with FAIL); None for what did not end."""
    found = {}

    def start():
        guest = Guest(command)
        guest.expect("shell ready", 300)
        guest.expect("guest# ", 60)
        return guest

    guest = start()
    for name in programs:
        guest.send("echo __be''gin=; timeout 100 /bin/%s 2>&1 | tail -n 80; echo __rc''=\n" % name)
        try:
            guest.expect("__begin=", 60)
            lines = guest.expect("__rc=", 150).replace("\r", "").split("\n")
            guest.expect("guest# ", 60)
            found[name] = (sum("[OK]" in line for line in lines), [line for line in lines if "FAIL" in line])
        except GuestError:
            guest.kill()
            found[name] = None
            guest = start()
    guest.kill()
    return found


def test():
    ringer, folder = sys.argv[1:3]
    kernel = os.path.join(initrd.CACHE, "vmlinuz-" + (sys.argv[3] if len(sys.argv) > 3 else "686"))
    programs = sorted(os.listdir(folder))
    with tempfile.TemporaryDirectory() as work:
        image = os.path.join(work, "initrd.gz")
        initrd.write(image, [os.path.join(folder, name) for name in programs])
        options = ["-m", "256", "-kernel", kernel, "-initrd", image, "-append", "console=ttyS0", "-nographic", "-no-reboot"]
        here = run_all([ringer] + options, programs)
        tcg = run_all(["qemu-system-i386", "-accel", "tcg"] + options, programs)
    worse = 0
    for name in programs:
        ours, theirs = here[name], tcg[name]
        bad = ours is None or (ours[1] and not (theirs and theirs[1])) or (theirs and ours[0] < theirs[0])
        worse += bool(bad)
        print("%s %-28s here: %s; TCG: %s" % ("WORSE" if bad else "ok   ", name, ours, theirs))
    print("%d of %d programs do worse here than under TCG" % (worse, len(programs)))
    if worse:
        sys.exit(1)


main(test)
