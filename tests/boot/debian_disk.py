#!/usr/bin/env python3
"""Debian 12 on a disk, through BIOS, GRUB and its own drivers to a login and back.

    debian_disk.py RINGER ACCEL ours|seabios raw|qcow2|virtio [RINGER-OPTION...]

virtio: a raw image as a virtio disk.

Logs in, writes files, syncs, powers off; then the file system on the image must be clean (e2fsck) and the file must
be there. The image comes from the guest cache: tests/tools/guests.sh debian
"""
import hashlib
import mmap
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402

CACHE = os.environ.get("RINGER_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ringer")
SEABIOS = "/usr/share/seabios/bios-256k.bin"
PARTITION = 2048 * 512
PROMPT = "root@ringer-disk:"


def tool(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def skip(why):
    print("SKIP: " + why)
    sys.exit(77)


def rename_root(image):
    """Its root file system is on the first virtio disk now: in GRUB's configuration and in fstab."""
    with open(image, "r+b") as f, mmap.mmap(f.fileno(), 0) as content:
        at = content.find(b"/dev/sda1")
        while at >= 0:
            content[at + 5:at + 6] = b"v"
            at = content.find(b"/dev/sda1", at)


def test_in(folder):
    ringer, accel, bios, form = sys.argv[1:5]
    master = os.path.join(CACHE, "debian.img")
    if not os.path.exists(master):
        skip("%s is missing; make it with tests/tools/guests.sh debian" % master)
    if bios == "seabios" and not os.path.exists(SEABIOS):
        skip("package seabios is not installed")
    for program in ("e2fsck", "debugfs") + (("qemu-img",) if form == "qcow2" else ()):
        if not shutil.which(program):
            skip("%s is not installed" % program)
    raw = os.path.join(folder, "disk.img")
    image = os.path.join(folder, "disk." + form)
    drive = ["-hda", image]
    if form != "qcow2":
        subprocess.run(["cp", "--sparse=always", master, raw], check=True)
        drive = ["-hda", raw]
    if form == "virtio":
        rename_root(raw)
        drive = ["-drive", "file=%s,format=raw,if=virtio" % raw]
    if form == "qcow2":
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", master, image], check=True)
    guest = Guest([ringer, "-accel", accel, "-m", "256", "-nographic", "-no-reboot"] + drive +
                  (["-bios", SEABIOS] if bios == "seabios" else []) + sys.argv[5:])
    guest.expect("login:", 1200)
    guest.send("root\n")
    guest.expect(PROMPT, 300)
    guest.run("dd if=/dev/urandom of=/root/file bs=65536 count=256 2>/dev/null; mkdir -p /root/many; "
              "for i in $(seq 300); do echo $i >/root/many/$i; done; sync", prompt=PROMPT)
    want = guest.run("sha256sum </root/file", prompt=PROMPT).split()[0]
    guest.send("poweroff\n")
    status = guest.wait(300)
    if status != 0:
        guest.fail("poweroff ended with status %d" % status)
    if form == "qcow2":
        status, text = tool("qemu-img", "check", image)
        if status != 0:
            guest.fail("qemu-img check: %s" % text.decode(errors="replace"))
        subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    where = "%s?offset=%d" % (raw, PARTITION)
    status, text = tool("e2fsck", "-fn", where)
    if status != 0:
        guest.fail("e2fsck: %s" % text.decode(errors="replace"))
    copy = os.path.join(folder, "file")
    tool("debugfs", "-R", "dump /root/file %s" % copy, where)
    with open(copy, "rb") as f:
        have = hashlib.sha256(f.read()).hexdigest()
    if have != want:
        guest.fail("the file written is not the file on the disk: %s, %s" % (want, have))
    status, text = tool("debugfs", "-R", "cat /root/many/299", where)
    if not text.decode(errors="replace").rstrip().endswith("299"):
        guest.fail("small files are missing: %s" % text.decode(errors="replace"))
    print("OK: Debian from a %s disk under %s, BIOS: %s" % (form, accel, bios))


def test():
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        test_in(folder)


main(test)
