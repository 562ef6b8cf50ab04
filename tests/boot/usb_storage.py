#!/usr/bin/env python3
"""Debian's kernel has disks on USB: a file system with checksums, an ejected stick, and devices that come and go.

    usb_storage.py RINGER ACCEL CONTROLLER [CYCLES | large=MIB]

CONTROLLER: uhci, ehci, ohci, xhci, nec-xhci (few ports) or ich9 (EHCI with UHCI companions). With CYCLES a tablet is plugged in and out so often,
and the kernel sees each. With large= so many MiB of random bytes are written and read back, and nothing else (by hand: large=1024).
"""
import hashlib
import os
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402
from qmp import Qmp  # noqa: E402
import initrd  # noqa: E402

MIB = 1 << 20
CD = os.path.join(initrd.CACHE, "ipxe.iso")
# Its options, the bus's name, the speed of a disk on it, the guest's drivers that drive it.
CONTROLLERS = {
    "uhci": (["-usb"], "usb-bus.0", "12"),
    "ehci": (["-device", "usb-ehci,id=ehci"], "ehci.0", "480"),
    "xhci": (["-device", "qemu-xhci,id=xhci"], "xhci.0", "480"),
    "nec-xhci": (["-device", "nec-usb-xhci,id=xhci,p2=4,p3=0", "-device", "usb-tablet,bus=xhci.0"], "xhci.0", "480"),
    "ohci": (["-device", "pci-ohci,id=ohci"], "ohci.0", "12"),
    "ich9": (["-device", "ich9-usb-ehci1,id=ehci,addr=1d.7",
              "-device", "ich9-usb-uhci1,masterbus=ehci.0,firstport=0,addr=1d.0,multifunction=on",
              "-device", "ich9-usb-uhci2,masterbus=ehci.0,firstport=2,addr=1d.1",
              "-device", "ich9-usb-uhci3,masterbus=ehci.0,firstport=4,addr=1d.2"], "ehci.0", "480"),
}


def wait_for(guest, what, seconds=60):
    guest.run("n=0; until %s; do n=$((n+1)); [ $n -lt %d ] || break; sleep 0.1; done; %s"
              % (what, 10 * seconds, what), seconds + 120)


def files(guest, disk, count):
    """A file system on it, and files whose checksums are right when it is mounted anew."""
    guest.run("mke2fs -F /dev/%s >/dev/null 2>&1 && mkdir -p /mnt && mount -t ext4 /dev/%s /mnt" % (disk, disk), 120)
    guest.run("cd /mnt; for i in $(seq %d); do dd if=/dev/urandom of=f$i bs=$((i*3777)) count=9 2>/dev/null; done; "
              "sha256sum f* >/tmp/sums; sync; cd /; umount /mnt" % count, 300)
    guest.run("echo 3 >/proc/sys/vm/drop_caches; mount -t ext4 /dev/%s /mnt && cd /mnt && sha256sum -c /tmp/sums "
              ">/tmp/checked; rc=$?; cd /; umount /mnt; [ $rc = 0 ]" % disk, 300)


def heap(pid):
    """kB that are neither guest memory nor files."""
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1))


def disks(guest, qmp, bus, speed):
    wait_for(guest, "[ -b /dev/sda ]")
    begin = time.monotonic()
    files(guest, "sda", 20 if speed == "480" else 8)
    print("a file system with some files: %.1f s" % (time.monotonic() - begin))
    begin = time.monotonic()
    guest.run("dd if=/dev/sda of=/dev/null bs=64k count=128 2>/dev/null", 120)
    print("%.1f MB/s" % (8.4 / (time.monotonic() - begin)))
    line = [one for one in qmp.human("info usb").splitlines() if "MSD" in one]
    if len(line) != 1 or "Speed %s Mb/s, Product QEMU USB MSD, ID: stick" % speed not in line[0]:
        guest.fail("info usb: %r" % line)
    guest.run("[ $(cat /sys/block/sda/removable) = 1 ] && eject -s /dev/sda 2>/dev/null; true")


def hot(guest, qmp, bus):
    """A disk comes by drive_add, and goes with its drive; another by blockdev-add."""
    assert qmp.human("drive_add 0 if=none,id=late,file=late.img,format=raw") == "OK\n"
    assert qmp.human("device_add usb-storage,drive=late,id=hot,bus=%s" % bus) == ""
    wait_for(guest, "[ -b /dev/sdb ]")
    files(guest, "sdb", 5)
    # Away in the middle of reading.
    guest.run("(while dd if=/dev/sdb of=/dev/null bs=64k iflag=direct; do :; done) >/dev/null 2>&1 &\ntrue")
    time.sleep(0.5)
    qmp.execute("device_del", id="hot")
    event = qmp.wait_event("DEVICE_DELETED")
    if event["data"] != {"device": "hot", "path": "/machine/peripheral/hot"}:
        guest.fail("DEVICE_DELETED: %r" % event)
    wait_for(guest, "[ ! -b /dev/sdb ]")
    if "late" in qmp.human("info block"):
        guest.fail("the drive is still there: %s" % qmp.human("info block"))
    qmp.execute("blockdev-add", **{"driver": "raw", "node-name": "node", "file": {"driver": "file",
                                                                                  "filename": "late.img"}})
    qmp.execute("device_add", driver="usb-storage", drive="node", id="hot", removable=True, bus=bus)
    wait_for(guest, "[ -b /dev/sdb ]")
    guest.run("mount -t ext4 /dev/sdb /mnt && cd /mnt && sha256sum f1 >/dev/null; cd /; umount /mnt", 60)
    qmp.execute("device_del", id="hot")
    wait_for(guest, "[ ! -b /dev/sdb ]")
    qmp.execute("blockdev-del", **{"node-name": "node"})


def cd(guest, qmp, bus):
    with open(CD, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    answer = qmp.human("drive_add 0 if=none,id=cd,media=cdrom,file=" + CD)
    assert answer == "OK\n", answer
    assert qmp.human("device_add usb-storage,drive=cd,id=hot,bus=" + bus) == ""
    for _ in range(2):
        wait_for(guest, "sha256sum /dev/sr0 2>/dev/null | grep -q " + digest)
        qmp.human("eject cd")
        guest.run("! dd if=/dev/sr0 of=/dev/null count=1 2>/dev/null")
        qmp.human("change cd " + CD)
    qmp.execute("device_del", id="hot")
    wait_for(guest, "[ ! -b /dev/sr0 ]")


def large(guest, mebibytes):
    wait_for(guest, "[ -b /dev/sda ]")
    begin = time.monotonic()
    written = guest.run("dd if=/dev/urandom bs=1M count=%d 2>/dev/null | tee /dev/sda | sha256sum; sync" % mebibytes, 3600).split()[0]
    middle = time.monotonic()
    read = guest.run("echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/sda bs=1M count=%d 2>/dev/null | sha256sum" % mebibytes, 3600).split()[0]
    if read != written:
        guest.fail("what was written has the checksum %s, what is read %s" % (written, read))
    with open("stick.img", "rb") as f:
        if hashlib.file_digest(f, "sha256").hexdigest() != written:
            guest.fail("the image has another checksum")
    print("%d MiB written in %.0f s, with their making and checksum, read in %.0f s" % (mebibytes, middle - begin,
                                                                                     time.monotonic() - middle))


def cycles(guest, qmp, bus, count):
    guest.run("dmesg -c >/dev/null")
    size = seen = 0
    for i in range(count):
        qmp.execute("device_add", driver="usb-tablet", id="tab", bus=bus)
        wait_for(guest, "grep -qs 'USB Tablet' /sys/class/input/event*/device/name")
        if ", ID: tab" not in qmp.human("info usb"):
            guest.fail("info usb: %s" % qmp.human("info usb"))
        qmp.execute("device_del", id="tab")
        wait_for(guest, "! grep -qs 'USB Tablet' /sys/class/input/event*/device/name")
        if i % 20 == 19 or i == count - 1:
            seen += int(guest.run("dmesg -c | grep -c 'USB disconnect'; true").split()[0])
        if i == count // 2:
            size = heap(guest.process.pid)
    after = heap(guest.process.pid)
    print("%d cycles: %d disconnects seen, %d kB, then %d kB" % (count, seen, size, after))
    if len(qmp.execute("query-mice")) != 1:
        guest.fail("query-mice: %r" % qmp.execute("query-mice"))
    if seen != count:
        guest.fail("%d disconnects of %d were seen" % (seen, count))
    # What a translator keeps of the guest's code grows by 30 MB meanwhile; to the kB it is tests/control/hotplug.py's.
    if after > size + 60000:
        guest.fail("memory grew from %d to %d kB" % (size, after))


def test():
    ringer, accel, controller = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
    more = sys.argv[4] if len(sys.argv) > 4 else "0"
    size = int(more[len("large="):]) if more.startswith("large=") else 0
    count = 0 if size else int(more)
    wanted = [(initrd.INPUT, None), (initrd.USB, None), (initrd.MODULES, ("scsi_common", "scsi_mod", "sd_mod", "t10", "crc",
                                                                                    "cdrom", "sr_mod")),
              (initrd.USB_DISK, None)] + ([(initrd.XHCI, None)] if "xhci" in controller else [])
    if not initrd.is_there(wanted):
        print("SKIP: needs the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    options, bus, speed = CONTROLLERS[controller]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        initrd.write("initrd.gz", (), initrd.drivers_of(wanted))
        for name in ("stick.img", "late.img"):
            with open(name, "wb") as f:
                f.truncate((size if size and name == "stick.img" else 48) * MIB)
        guest = Guest([ringer, "-accel", accel, "-m", "128", "-nographic", "-no-reboot", "-monitor", "none",
                       "-qmp", "unix:qmp.sock,server=on,wait=off",
                       "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", "initrd.gz",
                       "-append", "console=ttyS0"] + options +
                      ["-drive", "if=none,id=stick,file=stick.img,format=raw",
                       "-device", "usb-storage,drive=stick,id=stick,removable=on,bus=" + bus])
        guest.expect("guest# ", 900)
        qmp = Qmp("qmp.sock")
        guest.run("dmesg -n 1; for m in /lib/drivers/*; do insmod $m || echo failed $m; done", 300)
        if size:
            large(guest, size)
        elif count:
            cycles(guest, qmp, bus, count)
        else:
            disks(guest, qmp, bus, speed)
            hot(guest, qmp, bus)
            cd(guest, qmp, bus)
        guest.send("poweroff -f\n")
        if guest.wait(300) != 0:
            guest.fail("poweroff did not end with status 0")
    print("OK: disks on USB (%s) under %s" % (controller, accel))


main(test)
