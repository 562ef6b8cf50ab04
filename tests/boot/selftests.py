#!/usr/bin/env python3
"""Runs the kernel's own 32-bit x86 selftests in a guest, here and under QEMU's TCG.

    selftests.py RINGER [KERNEL [ACCEL [PROGRAM...]]]

KERNEL is 686, 686-pae, vm86 (the default: the kernel with virtual-8086 mode, which Debian's lack) or a file. The
programs, tools/testing/selftests/x86, are those that tests/tools/guests.sh vm86 built. Ends with status 1 when a program
reports a failure here that it does not report under TCG, or fewer successes.
"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import initrd  # noqa: E402
from guest import Guest, GuestError, main  # noqa: E402


def run_all(command, programs):
    """name -> (status, number of [OK] lines, lines with FAIL); None for what did not end."""
    found = {}

    def start():
        guest = Guest(command)
        guest.expect("shell ready", 300)
        guest.expect("guest# ", 60)
        return guest

    guest = start()
    for name in programs:
        guest.send("echo __be''gin=; timeout 100 /bin/%s >/tmp/out 2>&1; rc=$?; tail -n 80 /tmp/out; echo __rc''=$rc=\n"
                   % name)
        try:
            guest.expect("__begin=", 60)
            lines = guest.expect("__rc=", 150).replace("\r", "").split("\n")
            status = int(guest.expect("=", 60))
            guest.expect("guest# ", 60)
            found[name] = (status, sum("[OK]" in line for line in lines), [line for line in lines if "FAIL" in line])
        except GuestError:
            guest.kill()
            found[name] = None
            guest = start()
    guest.kill()
    return found


VM86 = os.path.join(initrd.CACHE, "vm86")


def kernel_file(name):
    if name == "vm86":
        return os.path.join(VM86, "bzImage")
    return name if "/" in name else os.path.join(initrd.CACHE, "vmlinuz-" + name)


def test():
    ringer = sys.argv[1]
    kernel = kernel_file(sys.argv[2] if len(sys.argv) > 2 else "vm86")
    accel = sys.argv[3] if len(sys.argv) > 3 else "bt"
    folder = os.path.join(VM86, "selftests")
    for need in (kernel, folder):
        if not os.path.exists(need):
            print("SKIP: %s is missing; make it with tests/tools/guests.sh vm86" % need)
            sys.exit(77)
    programs = sys.argv[4:] or sorted(os.listdir(folder))
    with tempfile.TemporaryDirectory() as work:
        image = os.path.join(work, "initrd.gz")
        initrd.write(image, [os.path.join(folder, name) for name in programs])
        options = ["-m", "256", "-kernel", kernel, "-initrd", image, "-append", "console=ttyS0", "-nographic", "-no-reboot"]
        here = run_all([ringer, "-accel", accel] + options, programs)
        tcg = run_all(["qemu-system-i386", "-accel", "tcg"] + options, programs)
    worse = 0
    for name in programs:
        ours, theirs = here[name], tcg[name]
        bad = ours is None or (theirs and ours[1] < theirs[1]) or \
            (any(ours[i] and not (theirs and theirs[i]) for i in (0, 2)))
        worse += bool(bad)
        print("%s %-28s here: %s; TCG: %s" % ("WORSE" if bad else "ok   ", name, ours, theirs))
    if not any(result and result[1] for result in here.values()):
        print("no program said [OK]: this guest runs none of them")
        worse += 1
    print("%d [OK] in all" % sum(result[1] for result in here.values() if result))
    print("%d of %d programs do worse here than under TCG" % (worse, len(programs)))
    if worse:
        sys.exit(1)


main(test)
