#!/usr/bin/env python3
"""Sequential disk reads in a Linux guest, paired against QEMU's TCG.

    diskread.py RINGER [ROUNDS]

Both read the same raw image of 512 MiB (in the host's page cache) through bus-master DMA with dd in the same
Debian guest, past the guest's page cache; in turn, ROUNDS times each. The guest's clock is not trusted: the
time is taken here, from the command's echo to its end. The median of the pairs' ratios is the result.
Status 0 if Ringer is at least as fast.
"""
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402
import initrd  # noqa: E402

MIB = 512


def run(command, image, drivers, expected):
    kernel = os.path.join(initrd.CACHE, "vmlinuz-686")
    guest = Guest(command + ["-m", "256", "-kernel", kernel, "-initrd", drivers, "-append", "console=ttyS0",
                             "-no-reboot", "-hda", image])
    guest.expect("guest# ", 300)
    guest.run("for m in /lib/drivers/*; do insmod $m; done; while [ ! -e /dev/sda ]; do sleep 0.1; done", 120)
    guest.run("grep -q DMA /sys/class/ata_device/dev1.0/xfer_mode")
    start = time.monotonic()
    guest.run("dd if=/dev/sda of=/dev/null bs=1M count=%d iflag=direct" % MIB, 300)
    large = time.monotonic() - start
    start = time.monotonic()
    guest.run("dd if=/dev/sda of=/dev/null bs=4k count=20000 iflag=direct", 300)
    small = time.monotonic() - start
    if guest.run("dd if=/dev/sda bs=1M count=64 2>/dev/null | md5sum", 300).split()[0] != expected:
        guest.fail("what was read is not what is in the image")
    guest.send("poweroff -f\n")
    guest.wait(60)
    return MIB / large, 20000 / small


def test():
    ringer = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    qemu = shutil.which("qemu-system-i386")
    if not qemu or not os.path.exists(os.path.join(initrd.MODULES, ".complete")):
        print("SKIP: needs qemu-system-i386 and the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        image, drivers = os.path.join(folder, "disk.img"), os.path.join(folder, "initrd.gz")
        initrd.write_with_modules(drivers)
        digest = hashlib.md5()
        with open(image, "wb") as f:
            for i in range(MIB):
                part = os.urandom(1 << 20)
                f.write(part)
                if i < 64:
                    digest.update(part)
        ratios = []
        for _ in range(rounds):
            ours = run([ringer, "-nographic"], image, drivers, digest.hexdigest())
            theirs = run([qemu, "-accel", "tcg", "-nodefaults", "-display", "none", "-serial", "stdio"], image,
                         drivers, digest.hexdigest())
            ratios.append((ours[0] / theirs[0], ours[1] / theirs[1]))
            print("1 MiB blocks: %5.0f against %5.0f MiB/s (%.2f); 4 KiB blocks: %6.0f against %6.0f /s (%.2f)" % (
                ours[0], theirs[0], ratios[-1][0], ours[1], theirs[1], ratios[-1][1]), flush=True)
    large, small = (statistics.median(r[i] for r in ratios) for i in range(2))
    print("median: large blocks %.2f, small blocks %.2f times TCG" % (large, small))
    if large < 1:
        sys.exit("FAIL: sequential reads are slower than TCG's")


main(test)
