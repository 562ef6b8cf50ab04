#!/usr/bin/env python3
"""Debian's vfat driver mounts folders of the host as disks and floppies: it reads them, and what it writes comes back.

    folders.py RINGER ACCEL

Checksums of a tree of files; changes under rw, compared on the host after each sync, after the monitor has been killed
in the middle of more, and at the end; a floppy that is changed and shows the folder as it is then; a restart; the fence
of the folder's process.
"""
import hashlib
import os
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402
from monitor import Hmp  # noqa: E402
import initrd  # noqa: E402


def put(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(text)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def sums(folder):
    """As sha256sum prints them for find's list."""
    lines = []
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            lines.append("%s  ./%s" % (hashlib.sha256(get(path)).hexdigest(), os.path.relpath(path, folder)))
    return sorted(lines)


def modules():
    drivers = {"lib/drivers/1" + name: os.path.join(initrd.MODULES, name)
               for name in os.listdir(initrd.MODULES) if name.endswith(".ko")}
    drivers.update({"lib/drivers/2" + name: os.path.join(initrd.FAT, name)
                    for name in os.listdir(initrd.FAT) if name.endswith(".ko")})
    return drivers


def start(ringer, accel, more=()):
    guest = Guest([ringer, "-accel", accel, "-m", "128", "-nographic", "-monitor", "unix:monitor,server=on,wait=off",
                   "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", "initrd.gz", "-append",
                   "console=ttyS0 panic=1", "-hda", "fat:rw:" + os.path.abspath("shared"), "-drive",
                   "file=fat:32:read,format=raw", "-fda", "fat:floppy:" + os.path.abspath("floppy"), *more])
    booted(guest)
    return guest


def booted(guest):
    guest.expect("guest# ", 900)
    guest.run("for m in /lib/drivers/*; do insmod $m; done", 300)
    guest.run("while [ ! -e /dev/sda1 ] || [ ! -e /dev/sdb1 ] || [ ! -e /dev/fd0 ]; do sleep 0.2; done", 120)
    guest.run("mkdir -p /s /r /f")


def mount(guest, device, where):
    guest.run("mount -t vfat -o iocharset=utf8 /dev/%s /%s" % (device, where), 120)


def seen(guest, where):
    text = guest.run("cd /%s; find . -type f -print0 | xargs -0 sha256sum; cd /" % where, 600)
    return sorted(line.strip() for line in text.replace("\r", "").split("\n") if "  ./" in line)


def expect_files(guest, where, folder, seconds=0):
    """seconds: Linux's vfat driver writes all at a sync, but flushes no disk; ours waits for a pause then."""
    files, until = seen(guest, where), time.monotonic() + seconds
    while files != sums(folder) and time.monotonic() < until:
        time.sleep(0.2)
    if files != sums(folder):
        guest.fail("%s is not what is in %s: %s" % (where, folder, set(files) ^ set(sums(folder))))


def ask(line):
    client = Hmp("monitor")
    answer = client.command(line)
    client.close()
    return answer


def same_as_guest(guest):
    """What it sees after a sync is what the host has."""
    guest.run("sync", 120)
    expect_files(guest, "s", "shared", 10)


def fsynced(guest, name):
    """After a sync, and an fsync, which flushes: at once."""
    guest.run("cd /s; dd if=/dev/urandom of=%s bs=64k count=20 2>/dev/null; sync; "
              "dd if=/dev/zero of=%s bs=1 count=1 conv=notrunc,fsync 2>/dev/null; cd /" % (name, name), 120)
    want = guest.run("sha256sum /s/%s" % name).split()[0]
    if hashlib.sha256(get("shared/" + name)).hexdigest() != want:
        guest.fail("a flush was over before '%s' was in the folder" % name)
    return want


def writes(guest):
    guest.run("cd /s; echo 'hello from the guest' >'A new file.txt'; dd if=/dev/urandom of=big bs=4k count=700 2>/dev/null; "
              "mkdir -p one/two/three; cp big one/two/three/copy; sync; cd /", 300)
    same_as_guest(guest)
    guest.run("cd /s; dd if=/dev/urandom of=big bs=1k count=33 seek=100 conv=notrunc 2>/dev/null; echo more >>'A new file.txt'; "
              "mv one/two/three/copy 'one/A moved and renamed file'; rmdir one/two/three; rm 'readme 3'; "
              "mv sub 'sub renamed'; cd /", 300)
    same_as_guest(guest)
    if os.path.exists("shared/sub") or not os.path.isdir("shared/sub renamed") or os.path.exists("shared/one/two/three"):
        guest.fail("folders were not renamed or removed: %s" % os.listdir("shared"))
    guest.run("cd /s; for i in $(seq 60); do echo $i >>log; mv log log.tmp; mv log.tmp log; done; : >'readme 1'; "
              "rm -r one; cd /", 300)
    same_as_guest(guest)


def fence(guest):
    """The folder's process: seccomp, nothing of the monitor's, and of the file system its folder only."""
    found = 0
    for pid in os.listdir("/proc"):
        try:
            if pid.isdigit() and get("/proc/%s/comm" % pid).strip() == b"ringer-fat":
                status = get("/proc/%s/status" % pid).decode()
                found += 1
                if "Seccomp:\t2" not in status or len(os.listdir("/proc/%s/fd" % pid)) > 3 + 3 + 16:
                    guest.fail("the folder's process has no fence: " + status)
        except FileNotFoundError:
            continue
    if found < 3:
        guest.fail("there are %d processes of folders" % found)


def test():
    ringer, accel = os.path.abspath(sys.argv[1]), sys.argv[2]
    for where in (initrd.MODULES, initrd.FAT):
        if not os.path.exists(os.path.join(where, ".complete")):
            print("SKIP: needs the guest cache (tests/tools/guests.sh fetch)")
            sys.exit(77)
    rng = random.Random(1)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chdir(folder)
        for i in range(8):
            put("shared/readme %d" % i, rng.randbytes(3000 * i))
            put("shared/sub/inner %d.bin" % i, rng.randbytes(100 * i))
            put("read/Größe %d/%s" % (i, "n" * (20 * i + 1)), rng.randbytes(70000))
        put("floppy/first.txt", b"first")
        initrd.write("initrd.gz", (), modules())
        guest = start(ringer, accel)
        for device, where, here in (("sda1", "s", "shared"), ("sdb1", "r", "read"), ("fd0", "f", "floppy")):
            mount(guest, device, where)
            expect_files(guest, where, here)
        fence(guest)
        # Without rw it may write, and nothing comes of it.
        before = sums("read")
        guest.run("rm -r /r/G*; echo new >/r/new; sync; cat /r/new", 120)
        if sums("read") != before:
            guest.fail("a folder without rw was changed")
        writes(guest)
        fsynced(guest, "some-file")
        # The floppy is taken out and put in: it is what the folder is now.
        guest.run("umount /f")
        put("floppy/second file.txt", b"second" * 1000)
        put("floppy/first.txt", b"changed")
        answer = ask("change floppy0 fat:floppy:" + os.path.abspath("floppy"))
        if answer:
            guest.fail("change: " + answer)
        guest.run("dd if=/dev/fd0 of=/dev/null count=1 2>/dev/null || sleep 4")
        mount(guest, "fd0", "f")
        expect_files(guest, "f", "floppy")
        # A restart shows all as it is then.
        put("read/later/file", b"later" * 100)
        os.unlink("read/Größe 0/n")
        guest.run("sync; umount /s /r /f")
        guest.send("reboot -f\n")
        booted(guest)
        mount(guest, "sdb1", "r")
        expect_files(guest, "r", "read")
        mount(guest, "sda1", "s")
        expect_files(guest, "s", "shared")
        # Killed while more is written: what was flushed is there.
        want = fsynced(guest, "flushed")
        old = {path: get("shared/" + path) for path in os.listdir("shared") if os.path.isfile("shared/" + path)}
        guest.send("cd /s; while :; do dd if=/dev/urandom of=more$((n=n+1)) bs=64k count=3 2>/dev/null; done\n")
        time.sleep(3)
        guest.kill()
        time.sleep(2)
        if hashlib.sha256(get("shared/flushed")).hexdigest() != want:
            sys.exit("FAIL: a flushed file was lost by a kill")
        for path, text in old.items():
            if not os.path.exists("shared/" + path) or get("shared/" + path) != text:
                sys.exit("FAIL: '%s' was damaged by a kill" % path)
        # And all at the end, without a sync.
        guest = start(ringer, accel)
        mount(guest, "sda1", "s")
        guest.run("echo last >/s/last; umount /s")
        guest.send("poweroff -f\n")
        if guest.wait(300) != 0:
            guest.fail("poweroff did not end with status 0")
        if not os.path.exists("shared/last") or get("shared/last") != b"last\n":
            sys.exit("FAIL: what was written last is not there: %s, %s" % (os.listdir("shared"), guest.errors))
    print("OK: folders as disks under %s" % accel)


main(test)
