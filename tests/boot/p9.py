#!/usr/bin/env python3
"""Debian's kernel mounts folders of the host by its own 9P client; both sides compare what the other wrote.

    p9.py RINGER ACCEL [P9USE]

One folder for each security model and one that is only read: trees written and read back, modes, owners, links, special
files, attributes, a large file, many small ones, a mapped file; and what the process behind a folder may not do.
"""
import os
import shutil
import signal
import stat
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from digest import sum_of  # noqa: E402
from guest import Guest, main  # noqa: E402
import initrd  # noqa: E402

MIB = 1 << 20
MODELS = ("none", "passthrough", "mapped-xattr")


def check(guest, what, ok):
    if not ok:
        guest.fail(what)


def use(guest, model, host, large, small):
    """host: the folder as we see it; the guest has it at /mnt/MODEL."""
    here = lambda name: os.path.join(host, name)
    is_root, is_mapped = os.geteuid() == 0, model.startswith("mapped")
    guest.run("cd /mnt/" + model)
    # From the host to the guest, and back.
    guest.says("what the host wrote", "sha256sum < from-host", sum_of(here("from-host")) + "  -")
    guest.run("mkdir -p a/b/c && echo hello >a/b/c/file && cp from-host a/copy && echo more >>a/b/c/file", 120)
    with open(here("a/b/c/file")) as f:
        check(guest, "what the guest wrote", f.read() == "hello\nmore\n")
    check(guest, "the guest's copy", sum_of(here("a/copy")) == sum_of(here("from-host")))
    with open(here("a/b/c/file"), "w") as f:
        f.write("changed on the host\n")
    guest.says("what the host changed", "cat a/b/c/file", "changed on the host")
    # Modes and owners.
    guest.run("chmod 4751 a/b/c/file && chown 12:34 a/b/c/file && touch -d '2001-02-03 04:05:06' a/b/c/file")
    if is_root or is_mapped:
        guest.says("mode and owner", "stat -c '%a %u %g' a/b/c/file", "751 12 34")
    about = os.stat(here("a/b/c/file"))
    if is_mapped:
        check(guest, "the host's mode", stat.S_IMODE(about.st_mode) in (0o600, 0o644))
        check(guest, "the mapped owner", os.getxattr(here("a/b/c/file"), "user.virtfs.uid") == b"\x0c\0\0\0")
    elif is_root:
        check(guest, "the host's mode and owner", (stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid) ==
              (0o751, 12, 34))
    check(guest, "the time", about.st_mtime == 981173106)
    # Names.
    guest.run("ln -s b/c/file a/sym && ln -s /etc/passwd a/abs && ln a/copy a/hard && mkfifo a/fifo && mv a/copy a/moved")
    guest.says("a link", "readlink a/sym; cat a/sym; stat -c %h a/moved; stat -c %F a/fifo",
           "b/c/file\nchanged on the host\n2\nfifo")
    check(guest, "a link on the host", os.path.islink(here("a/sym")) != is_mapped)
    guest.says("a fifo's ends", "(echo through >a/fifo &); cat a/fifo", "through")
    guest.run("mv a/b a/bb && mv a/moved a/bb/c/ && rm a/hard a/abs && rm -r a/bb && mkdir d && rmdir d")
    check(guest, "what is left", sorted(os.listdir(here("a"))) == ["fifo", "sym"])
    guest.says("a device", "mknod dev c 1 3 2>/dev/null; echo x >dev && echo yes", "yes")
    check(guest, "no device on the host", not os.path.exists(here("dev")) or stat.S_ISREG(os.lstat(here("dev")).st_mode))
    # Mapped: a program that runs from there.
    guest.says("a program", "cp /bin/busybox echo && ./echo it runs", "it runs")
    check(guest, "the program", os.path.getsize(here("echo")) > 100000)
    if len(sys.argv) > 3:  # none is mounted with cache=mmap: others map nothing that is written
        guest.says("attributes", "p9use used" + ("" if model == "none" else " nomap"), "used")
        check(guest, "an attribute", os.getxattr(here("used"), "user.two") == b"second")
        if model == "none":
            with open(here("used")) as f:
                check(guest, "what was mapped", f.read() == "m" * 100000)
    # Open files without a name; truncating; appending.
    guest.says("unlinked", "exec 5>gone 6<gone; rm gone; echo still >&5; cat <&6; exec 5>&- 6<&-", "still")
    guest.run("truncate -s 1000000 t && truncate -s 10 t && printf x >>t")
    check(guest, "truncated", os.path.getsize(here("t")) == 11)
    guest.run("df /mnt/%s >/dev/null && sync" % model)
    # A large file, in both directions, and by another way: the page cache.
    guest.run("dd if=/dev/urandom of=large bs=64k count=%d 2>/dev/null && sha256sum <large >/tmp/sum" % (large * 16), 600)
    check(guest, "size of the large file", os.path.getsize(here("large")) == large * MIB)
    guest.says("the large file", "cat /tmp/sum", sum_of(here("large")) + "  -")
    # Many small ones.
    guest.run("mkdir many && i=0; while [ $i -lt %d ]; do echo $i >many/file-$i; i=$((i+1)); done" % small, 900)
    names = os.listdir(here("many"))
    check(guest, "small files", len(names) == small)
    for name in names:
        with open(here("many/" + name)) as f:
            check(guest, name, f.read() == name[5:] + "\n")
    guest.says("their list", "ls many | wc -l", str(small))
    guest.run("rm -r many large", 600)
    check(guest, "they are gone", not os.path.exists(here("many")))
    guest.run("cd /")


def read_only(guest, host):
    guest.says("reading", "sha256sum </mnt/ro/from-host", sum_of(os.path.join(host, "from-host")) + "  -")
    for command in ("echo x >/mnt/ro/new", "echo x >>/mnt/ro/from-host", "mkdir /mnt/ro/d", "rm /mnt/ro/from-host",
                    "chmod 777 /mnt/ro/from-host", "mv /mnt/ro/from-host /mnt/ro/x", "ln -s a /mnt/ro/l"):
        guest.says(command, "( %s ) 2>/dev/null || echo refused" % command, "refused")
    check(guest, "nothing is new", os.listdir(host) == ["from-host"])


def fences(pid):
    """The processes behind the folders: each is alone behind its fence."""
    found = []
    for child in open("/proc/%d/task/%d/children" % (pid, pid)).read().split():
        with open("/proc/%s/status" % child) as f:
            about = dict(line.rstrip("\n").split(":", 1) for line in f)
        if about["Name"].strip() == "ringer-9p":
            found.append(int(child))
            if about["Seccomp"].strip() != "2" or about["NoNewPrivs"].strip() != "1":
                sys.exit("FAIL: a folder's process is behind no fence")
            if int(about["CapEff"].strip(), 16) & ~0x1b:
                sys.exit("FAIL: a folder's process has more powers than it needs")
    return found


def test():
    ringer, accel = os.path.abspath(sys.argv[1]), sys.argv[2]
    if not os.path.exists(os.path.join(initrd.VIRTIO, ".complete")):
        print("SKIP: needs the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    large, small = (4, 100) if accel == "interp" else (64, 2000)
    top = tempfile.mkdtemp(dir="/var/tmp")
    try:
        folders = {name: os.path.join(top, name) for name in MODELS + ("ro",)}
        for path in folders.values():
            os.mkdir(path)
            with open(os.path.join(path, "from-host"), "wb") as f:
                f.write(os.urandom(3 * MIB + 17))
        initrd.write_with_modules(os.path.join(top, "initrd.gz"), sys.argv[3:], modules=initrd.VIRTIO)
        command = [ringer, "-accel", accel, "-m", "128", "-nographic", "-no-reboot", "-monitor", "none",
                   "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", os.path.join(top, "initrd.gz"),
                   "-append", "console=ttyS0",
                   "-virtfs", "local,path=%s,mount_tag=none,security_model=none" % folders["none"],
                   "-fsdev", "local,id=pt,path=%s,security_model=passthrough" % folders["passthrough"],
                   "-device", "virtio-9p-pci-non-transitional,fsdev=pt,mount_tag=passthrough",
                   "-virtfs", "local,path=%s,mount_tag=mapped-xattr,id=m,security_model=mapped" % folders["mapped-xattr"],
                   "-virtfs", "local,path=%s,mount_tag=ro,security_model=none,readonly=on" % folders["ro"]]
        guest = Guest(command)
        guest.expect("guest# ", 900)
        guest.run("for m in /lib/drivers/*; do insmod $m; done", 300)
        for name in folders:
            guest.run("mkdir -p /mnt/%s && mount -t 9p -o trans=virtio,version=9p2000.L%s %s /mnt/%s" % (
                name, {"none": ",cache=mmap", "mapped-xattr": ",cache=loose,msize=262144"}.get(name, ""), name, name), 60)
        pids = fences(guest.process.pid)
        check(guest, "a process for each folder", len(pids) == 4)
        for model in MODELS:
            if model == "mapped-xattr":  # its cache is not told of what the host does
                guest.run("umount /mnt/mapped-xattr && mount -t 9p -o trans=virtio,version=9p2000.L mapped-xattr "
                          "/mnt/mapped-xattr")
            use(guest, model, folders[model], large, small)
        read_only(guest, folders["ro"])
        # One ends: errors for whoever uses it, and nothing for the others.
        os.kill(pids[3], signal.SIGKILL)
        guest.says("its process has ended", "ls /mnt/ro >/dev/null 2>&1 || echo error", "error", 60)
        guest.says("the others are there", "cat /mnt/none/t | wc -c", "11")
        guest.send("poweroff -f\n")
        if guest.wait(300) != 0:
            guest.fail("poweroff did not end with status 0")
        if guest.errors.decode().count("has ended") != 1:
            sys.exit("FAIL: a process's death is told once, not:\n" + guest.errors.decode())
    finally:
        shutil.rmtree(top)
    print("OK: folders of the host under %s" % accel)


main(test)
