#!/usr/bin/env python3
"""Boots Debian's kernel to the shell, runs a script there, powers off, and wants status 0.

    linux.py RINGER KERNEL ACCEL [--sha MIB] [RINGER-OPTION...]

KERNEL: 686 or 686-pae, out of the guest cache. --sha says how much is hashed in the guest: by default 64 MiB
under bt, less under the slow engines. By hand: linux.py build/src/ringer 686 interp --sha 64
"""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402

CACHE = os.environ.get("RINGER_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ringer")
MIB = 1 << 20


def check(guest, what, got, want):
    if got.strip() != want:
        guest.fail("%s: got '%s', want '%s'" % (what, got.strip(), want))


def test():
    ringer, kernel, accel = sys.argv[1:4]
    options = sys.argv[4:]
    size = {"interp": 4, "lockstep": 1}.get(accel, 64)
    if options[:1] == ["--sha"]:
        size, options = int(options[1]), options[2:]
    files = [os.path.join(CACHE, "vmlinuz-" + kernel), os.path.join(CACHE, "initrd.gz")]
    for f in files:
        if not os.path.exists(f):
            print("SKIP: %s is missing; fetch guests with tests/tools/guests.sh" % f)
            sys.exit(77)
    slow = accel in ("interp", "lockstep")
    guest = Guest([ringer, "-accel", accel, "-m", "256", "-kernel", files[0], "-initrd", files[1],
                   "-append", "console=ttyS0 panic=-1", "-nographic", "-no-reboot"] + options)
    guest.expect("shell ready", 1800 if slow else 600)
    guest.expect("guest# ", 300)
    check(guest, "proc", guest.run("mount | grep -c '^proc on /proc type proc'"), "1")
    check(guest, "fork, exec, pipes", guest.run("seq 1 1000 | sort -rn | head -n 3 | tr '\\n' ' '"),
          "1000 999 998")
    check(guest, "subshells", guest.run("for i in 1 2 3 4 5; do (echo $i) & done | sort | tr -d '\\n'; wait"),
          "12345")
    check(guest, "floating point",
          guest.run("awk 'BEGIN { for (i = 1; i <= 20000; i++) s += i / (i * i + 0.5) - 1 / (3 * i); "
                    "printf \"%.9f\", s }'"), reference_awk())
    text = b"r" * (size * MIB)
    check(guest, "sha256sum",
          guest.run("dd if=/dev/zero bs=65536 count=%d 2>/dev/null | tr '\\0' r | sha256sum" % (size * 16), 3000),
          hashlib.sha256(text).hexdigest() + "  -")
    check(guest, "gzip", guest.run("yes ringer | head -c 300000 | gzip -9 | gunzip | md5sum"),
          hashlib.md5((b"ringer\n" * 50000)[:300000]).hexdigest() + "  -")
    guest.send("poweroff -f\n")
    status = guest.wait(300)
    if status != 0:
        guest.fail("poweroff ended with status %d" % status)
    print("OK: %s under %s" % (kernel, accel))


def reference_awk():
    s = 0.0
    for i in range(1, 20001):
        s += i / (i * i + 0.5) - 1 / (3 * i)
    return "%.9f" % s


main(test)
