#!/usr/bin/env python3
"""A tree of 5,000 files in a folder of the host, walked, read and asked about by git in a guest, paired against
the newest QEMU's TCG (tests/tools/rival.sh).

    p9.py RINGER [ROUNDS]

The same Debian guest mounts the same folder (virtio-9p, cache=none, security_model=none) under both, in turn. The guest's
clock is not trusted: times are taken here, from a command's echo to its end. The medians of the pairs' ratios are the
result. Status 0 if Ringer is at least as fast at each.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402
import initrd  # noqa: E402
import rival  # noqa: E402

FOLDERS, FILES = 50, 100
GIT = os.path.join(initrd.CACHE, "git-686")
COMMANDS = [("find", "find /mnt/tree/dir* -type f | wc -l"),
            ("stat", "find /mnt/tree/dir* -type f | sort | xargs stat -c '%n %s %Y' | md5sum"),
            ("md5sum", "find /mnt/tree/dir* -type f | sort | xargs md5sum | md5sum"),
            ("git status", "cd /mnt/tree && git status --porcelain | wc -l; cd /")]


def tree(top):
    for folder in range(FOLDERS):
        os.makedirs("%s/dir%d" % (top, folder))
        for number in range(FILES):
            with open("%s/dir%d/file%d.c" % (top, folder, number), "w") as f:
                f.write("int number_%d_%d;\n" % (folder, number) * 100)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-m", "x"],
                    ["gc", "-q"]):
        subprocess.run(["git", "-C", top] + command, check=True)


def run(command, folder, programs, expected):
    guest = Guest(command + ["-m", "256", "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", programs,
                             "-append", "console=ttyS0", "-no-reboot", "-virtfs",
                             "local,path=%s,mount_tag=share,security_model=none" % folder])
    guest.expect("guest# ", 300)
    guest.run("for m in /lib/drivers/*; do insmod $m; done; mkdir /mnt; "
              "mount -t 9p -o trans=virtio,version=9p2000.L,cache=none share /mnt", 120)
    guest.run("git config --global safe.directory '*'; cd /mnt/tree && git status >/dev/null; cd /", 600)
    # That has noted what the files are to this guest: git reads none of them from now on.
    times = []
    for name, text in COMMANDS:
        start = time.monotonic()
        said = guest.run(text, 600).strip().splitlines()[-1]
        times.append(time.monotonic() - start)
        if expected.setdefault(name, said) != said:
            guest.fail("%s: '%s', and before '%s'" % (name, said, expected[name]))
    guest.send("poweroff -f\n")
    guest.wait(60)
    return times


def test():
    ringer = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if not shutil.which("git") or not all(os.path.exists(os.path.join(folder, ".complete"))
                                          for folder in (initrd.VIRTIO, GIT)):
        print("SKIP: needs git and the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    qemu = rival.newest()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        programs, share = os.path.join(folder, "initrd.gz"), os.path.join(folder, "share")
        os.makedirs(share)
        tree(os.path.join(share, "tree"))
        more = {"lib/drivers/" + name: os.path.join(initrd.VIRTIO, name)
                for name in sorted(os.listdir(initrd.VIRTIO)) if name.endswith(".ko")}
        more.update(initrd.tree(GIT))
        initrd.write(programs, [], more)
        expected = {"find": str(FOLDERS * FILES), "git status": "0"}
        pairs = []
        for _ in range(rounds):
            ours = run([ringer, "-nographic", "-monitor", "none"], share, programs, expected)
            theirs = run([qemu, "-accel", "tcg", "-nodefaults", "-display", "none", "-serial", "stdio"], share, programs,
                         expected)
            pairs.append([b / a for a, b in zip(ours, theirs)])
            print("; ".join("%s %.2f against %.2f s (%.2f)" % (name, a, b, b / a)
                            for (name, _), a, b in zip(COMMANDS, ours, theirs)), flush=True)
        medians = [statistics.median(pair[i] for pair in pairs) for i in range(len(COMMANDS))]
        print("median: " + ", ".join("%s %.2f" % (name, m) for (name, _), m in zip(COMMANDS, medians)) + " times TCG")
        if min(medians) < 1:
            sys.exit("FAIL: slower than TCG")


main(test)
