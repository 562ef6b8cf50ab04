#!/usr/bin/env python3
"""Processes of a Linux guest that want to end the monitor.

    survive.py RINGER ENGINE KILLVM

Debian's 686 kernel runs KILLVM (killvm.c); it must come to its end, and the guest go on.
"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402
import initrd  # noqa: E402

KERNEL = os.path.join(initrd.CACHE, "vmlinuz-686")
SKIP = 77


def test():
    ringer, engine, program = sys.argv[1:4]
    if not os.path.exists(KERNEL):
        print("skipped: no guest kernel; sh tests/tools/guests.sh fetch")
        sys.exit(SKIP)
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "initrd")
        initrd.write(image, [program])
        guest = Guest([ringer, "-accel", engine, "-m", "128", "-kernel", KERNEL, "-initrd", image, "-append",
                       "console=ttyS0 panic=-1 quiet", "-nographic", "-no-reboot"])
        guest.expect("guest# ", 120)
        for _ in range(2):
            out = guest.run("/bin/killvm", 60)
            if "killvm: survived" not in out:
                guest.fail("killvm said: " + out)
        guest.send("poweroff -f\n")
        if guest.wait(60) != 0:
            guest.fail("status %d" % guest.process.returncode)
    print("survived")


main(test)
