#!/usr/bin/env python3
"""Debian's kernel reads and writes virtio disks by its own drivers; the images are compared with what it says.

    virtio.py RINGER ACCEL

A raw disk of -drive if=virtio (transitional, MSI-X), one with the legacy interface alone and INTx, and a modern one with
a qcow2 image and several queues: all are read whole, written, discarded and flushed, and read again past the guest's
caches. And two network cards without a cable: their driver finds them, and sets their filters.
"""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from digest import sum_of  # noqa: E402
from guest import Guest, main  # noqa: E402
import initrd  # noqa: E402

MIB = 1 << 20
DISKS = ("vda", "vdb", "vdc")


def sums(guest):
    guest.run("echo 3 >/proc/sys/vm/drop_caches")
    return [guest.run("sha256sum /dev/%s" % disk, 1200).split()[0] for disk in DISKS]


def use(guest, size, paths):
    for got, path in zip(sums(guest), paths):
        if got != sum_of(path):
            guest.fail("%s is not what the guest reads" % path)
    guest.says("serial", "cat /sys/block/vda/serial", "RINGER-0")
    guest.says("size", "cat /sys/block/vdb/size", str(size * MIB // 512))
    guest.says("queues", "ls /sys/block/vdc/mq | wc -l", "1")  # no more than processors
    guest.says("VERSION_1", "cut -c33 /sys/block/vd?/device/features | tr -d '\\n'", "101")


def cards(guest):
    for n, last in ((0, "56"), (1, "77")):
        guest.says("address of eth%d" % n, "cat /sys/class/net/eth%d/address" % n, "52:54:00:12:34:" + last)
        guest.run("ip link set eth%d up" % n)
        guest.says("carrier of eth%d" % n, "cat /sys/class/net/eth%d/carrier" % n, "0")
        guest.run("ip link set eth%d promisc on && ip link set eth%d promisc off" % (n, n))
        guest.run("ip link set eth%d address 02:11:22:33:44:5%d" % (n, n))
        guest.says("new address", "cat /sys/class/net/eth%d/address" % n, "02:11:22:33:44:5%d" % n)
    guest.says("complaints", "dmesg | grep -ci 'fail.*\\(promisc\\|multicast\\|MAC\\|VLAN\\|filter\\)'; true", "0")


def write(guest, size):
    for command in ("dd if=/dev/vda of=/dev/vdb bs=3584 count=500 skip=33 seek=71 conv=fsync",
                    "dd if=/dev/vdb of=/dev/vdc bs=64k count=40 skip=3 seek=60 conv=fsync",
                    "dd if=/dev/vdc of=/dev/vda bs=1M count=3 skip=1 seek=2 oflag=direct",
                    "dd if=/dev/zero of=/dev/vda bs=512 count=3 seek=1001 conv=fsync",
                    # Several at once, in both directions.
                    "for d in vda vdb vdc; do for n in 1 2 3; do dd if=/dev/urandom of=/dev/$d bs=4k count=64 "
                    "seek=$((n * 300)) conv=fsync & dd if=/dev/$d of=/dev/null bs=64k & done; done; wait"):
        guest.run("{ %s; } 2>/dev/null" % command, 900)
    # The first half of one disk is not needed any more, the second half becomes zeros.
    guest.run("blkdiscard -l %d /dev/vda" % (size * MIB // 2), 300)
    guest.run("fallocate -p -o %d -l %d /dev/vdc 2>/dev/null || dd if=/dev/zero of=/dev/vdc bs=1M seek=%d count=%d "
              "conv=fsync 2>/dev/null" % (size * MIB // 2, size * MIB // 2, size // 2, size // 2), 300)


def test():
    ringer, accel = os.path.abspath(sys.argv[1]), sys.argv[2]
    if not shutil.which("qemu-img") or not os.path.exists(os.path.join(initrd.VIRTIO, ".complete")):
        print("SKIP: needs qemu-img and the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    size = 8 if accel == "interp" else 32
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in ("a.raw", "b.raw", "c.raw"):
            with open(name, "wb") as f:
                f.write(os.urandom(size * MIB))
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "c.raw", "-F", "raw", "c.qcow2"], check=True)
        room = os.stat("a.raw").st_blocks
        initrd.write_with_modules("initrd.gz", modules=initrd.VIRTIO)
        guest = Guest([ringer, "-accel", accel, "-m", "128", "-nographic", "-no-reboot", "-monitor", "none",
                       "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", "initrd.gz",
                       "-append", "console=ttyS0",
                       "-drive", "file=a.raw,format=raw,if=virtio,serial=RINGER-0,discard=unmap",
                       "-drive", "file=b.raw,format=raw,if=none,id=b", "-drive", "file=c.qcow2,if=none,id=c",
                       "-device", "virtio-blk-pci,drive=b,disable-modern=on,vectors=0",
                       "-device", "virtio-blk-pci-non-transitional,drive=c,num-queues=4",
                       "-nic", "none", "-device", "virtio-net-pci", "-device",
                       "virtio-net-pci,disable-modern=on,vectors=0,mac=52:54:00:12:34:77"])
        guest.expect("guest# ", 900)
        guest.run("for m in /lib/drivers/*; do insmod $m; done", 300)
        guest.run("while [ ! -e /dev/vda ] || [ ! -e /dev/vdb ] || [ ! -e /dev/vdc ]; do sleep 0.2; done", 120)
        use(guest, size, ("a.raw", "b.raw", "c.raw"))
        guest.says("interrupts of vda", "grep -c 'PCI-MSI.*virtio0-req' /proc/interrupts", "1")
        guest.says("interrupts of vdb", "grep -c 'fasteoi.*virtio1' /proc/interrupts", "1")
        cards(guest)
        write(guest, size)
        last = sums(guest)
        guest.send("poweroff -f\n")
        if guest.wait(300) != 0:
            guest.fail("poweroff did not end with status 0")
        subprocess.run(["qemu-img", "check", "-q", "c.qcow2"], check=True)
        subprocess.run(["qemu-img", "convert", "-O", "raw", "c.qcow2", "c.out"], check=True)
        for want, path in zip(last, ("a.raw", "b.raw", "c.out")):
            if sum_of(path) != want:
                sys.exit("FAIL: %s is not what the guest read at last" % path)
        if os.stat("a.raw").st_blocks > room * 3 // 4:
            sys.exit("FAIL: what was discarded still takes room")
    print("OK: virtio disks under %s" % accel)


main(test)
