#!/usr/bin/env python3
"""The x87 pointers in a Linux guest (Debian's 686 kernel).

    fip.py RINGER ENGINE FIP

FIP is the static i386 program fip.c. Where the host runs it, it must be content there first.
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402
import initrd  # noqa: E402

KERNEL = os.path.join(initrd.CACHE, "vmlinuz-686")


def test():
    ringer, engine, program = sys.argv[1:4]
    if not os.path.exists(KERNEL):
        print("SKIP: %s is missing; fetch guests with tests/tools/guests.sh" % KERNEL)
        sys.exit(77)
    try:
        native = subprocess.run([program], stdout=subprocess.PIPE).stdout.decode()
        print("natively: " + native.replace("\n", "; "))
    except OSError as e:
        print("natively: %s" % e)
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "initrd")
        initrd.write(image, [program])
        guest = Guest([ringer, "-accel", engine, "-m", "128", "-kernel", KERNEL, "-initrd", image, "-append",
                       "console=ttyS0 panic=-1", "-nographic", "-no-reboot"])
        guest.expect("shell ready", 600)
        guest.expect("guest# ")
        out = guest.run(os.path.basename(program), 200)
        print("in the guest: " + out.replace("\n", "; "))
        if "fip: passed" not in out:
            guest.fail("wrong pointers")
        guest.kill()


main(test)
