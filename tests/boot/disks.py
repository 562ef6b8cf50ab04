#!/usr/bin/env python3
"""Debian's kernel reads and writes IDE disks, a CD and a floppy; the images are compared with what it says.

    disks.py RINGER ACCEL

A raw disk, a qcow2 disk on a backing file, a CD and a floppy: all are read whole (DMA, and the 8237's), disks
and floppy are written, flushed and read again past the guest's caches; media are changed while it runs. A damaged
disk gives the guest an I/O error where it is damaged, and the user a message.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402
from digest import sum_of  # noqa: E402
from monitor import Hmp  # noqa: E402
import initrd  # noqa: E402

MIB = 1 << 20


def guest_sum(guest, device):
    return guest.run("sha256sum /dev/%s" % device, 1200).split()[0]


def expect_sum(guest, device, path):
    if guest_sum(guest, device) != sum_of(path):
        guest.fail("%s is not what is in %s" % (device, path))


def monitor(path, line):
    client = Hmp(path)
    answer = client.command(line)
    client.close()
    if answer:
        sys.exit("FAIL: %s: %s" % (line, answer))


def make_damaged(path):
    """A qcow2 disk of 1 MiB whose second cluster is said to be at an impossible place."""
    with open("plain", "wb") as f:
        f.write(b"good" * (MIB // 4))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", "plain", path], check=True)
    with open(path, "r+b") as f:
        f.seek(40)
        f.seek(struct.unpack(">Q", f.read(8))[0])
        table = struct.unpack(">Q", f.read(8))[0] & 0x00fffffffffffe00
        f.seek(table + 8)
        f.write(struct.pack(">Q", 1 << 63 | 0x12345600))


def test():
    ringer, accel = os.path.abspath(sys.argv[1]), sys.argv[2]
    if not shutil.which("qemu-img") or not os.path.exists(os.path.join(initrd.MODULES, ".complete")):
        print("SKIP: needs qemu-img and the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    size = 64 if accel == "bt" else 8
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, length in (("disk.raw", size * MIB), ("base.raw", size * MIB), ("cd.iso", 3 * MIB),
                             ("cd2.iso", 2 * MIB), ("floppy.img", 1474560), ("floppy2.img", 1474560)):
            with open(name, "wb") as f:
                f.write(os.urandom(length // 2) + bytes(length - length // 2))
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "disk.qcow2"],
                       check=True)
        make_damaged("damaged.qcow2")
        initrd.write_with_modules("initrd.gz")
        guest = Guest([ringer, "-accel", accel, "-m", "128", "-nographic", "-no-reboot", "-monitor",
                       "unix:monitor,server=on,wait=off", "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"),
                       "-initrd", "initrd.gz", "-append", "console=ttyS0", "-hda", "disk.raw", "-hdb", "disk.qcow2",
                       "-cdrom", "cd.iso", "-hdd", "damaged.qcow2", "-fda", "floppy.img"])
        guest.expect("guest# ", 900)
        guest.run("for m in /lib/drivers/*; do insmod $m; done", 300)
        guest.run("while [ ! -e /dev/sda ] || [ ! -e /dev/sdb ] || [ ! -e /dev/sr0 ] || [ ! -e /dev/fd0 ]; do "
                  "sleep 0.2; done", 120)
        guest.run("grep -q DMA /sys/class/ata_device/dev1.0/xfer_mode")
        for device, path in (("sda", "disk.raw"), ("sdb", "base.raw"), ("sr0", "cd.iso"), ("fd0", "floppy.img")):
            expect_sum(guest, device, path)
        guest.run("dd if=/dev/sdc bs=64k count=1 iflag=direct 2>/dev/null | grep -q goodgood", 300)
        guest.run("! dd if=/dev/sdc of=/dev/null bs=64k count=1 skip=1 iflag=direct 2>/dev/null", 300)
        guest.run("dd if=/dev/sdc bs=64k count=1 skip=2 iflag=direct 2>/dev/null | grep -q goodgood", 300)
        if guest.errors.count(b"is damaged") != 1 or b"the guest sees a drive error" not in guest.errors:
            guest.fail("the user was not told of the damaged image, or too often")
        # Moves data between all of them, with offsets that are no multiple of anything but the sector.
        for command in ("dd if=/dev/sda of=/dev/sdb bs=3584 count=1000 skip=33 seek=71 conv=fsync",
                        "dd if=/dev/sdb of=/dev/sda bs=64k count=40 skip=3 seek=60 conv=fsync",
                        "dd if=/dev/sr0 of=/dev/sdb bs=2k count=500 seek=900 conv=fsync",
                        "dd if=/dev/sda of=/dev/fd0 bs=9216 count=100 seek=30 conv=fsync",
                        "dd if=/dev/zero of=/dev/sdb bs=512 count=3 seek=1001 conv=fsync"):
            guest.run(command + " 2>/dev/null", 600)
        guest.run("echo 3 >/proc/sys/vm/drop_caches")
        sums = {device: guest_sum(guest, device) for device in ("sda", "sdb", "fd0")}
        if sum_of("floppy.img") != sums["fd0"]:
            guest.fail("what the guest wrote to the floppy is not in its image")
        monitor("monitor", "change floppy0 floppy2.img raw")
        monitor("monitor", "change ide1-cd0 cd2.iso")
        # Linux notices the change line at the first read, and fails that one (under QEMU, too).
        guest.run("dd if=/dev/fd0 of=/dev/null count=1 2>/dev/null || sleep 4")
        expect_sum(guest, "fd0", "floppy2.img")
        expect_sum(guest, "sr0", "cd2.iso")
        guest.send("poweroff -f\n")
        if guest.wait(300) != 0:
            guest.fail("poweroff did not end with status 0")
        if sum_of("disk.raw") != sums["sda"]:
            sys.exit("FAIL: the raw disk is not what the guest read at last")
        check = subprocess.run(["qemu-img", "check", "disk.qcow2"], capture_output=True, text=True)
        if check.returncode:
            sys.exit("FAIL: qemu-img check: " + check.stdout + check.stderr)
        subprocess.run(["qemu-img", "convert", "-O", "raw", "disk.qcow2", "out.raw"], check=True)
        if sum_of("out.raw") != sums["sdb"]:
            sys.exit("FAIL: the qcow2 disk is not what the guest read at last")
    print("OK: disks, CD and floppy under %s" % accel)


main(test)
