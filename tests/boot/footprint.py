#!/usr/bin/env python3
"""The monitor's own memory beside the guest's RAM has a limit, whatever the guest does (translator/README.md).

    footprint.py RINGER ENGINE GROWTH.ELF [CASE...]     code drop keep user places tables
    footprint.py RINGER ENGINE linux [RESETS [PROCESSES]]

With GROWTH.ELF (tests/guest/growth.c): the most anonymous memory that each case takes. With linux: after RESETS resets
of Debian's 686 kernel (default 5) and PROCESSES processes (default 600) it must be about where it was. By hand:
footprint.py build/src/ringer bt linux 30 10000
"""
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, die_with_parent  # noqa: E402
import initrd  # noqa: E402

CASES = ["code", "drop", "keep", "user", "places", "tables"]
# MiB of anonymous memory at most; without budgets these took 1641, 1641, 734, 271, 121 and 336.
LIMITS = {"places": 80, "tables": 80}
LIMIT = 150
SKIP = 77


def anonymous(pid):
    """In MiB; None when it has ended."""
    try:
        text = open("/proc/%d/status" % pid).read()
    except OSError:
        return None
    found = re.search(r"RssAnon:\s+(\d+)", text)
    return int(found.group(1)) / 1024 if found else None


def grow(ringer, engine, image, case):
    """Status, last line of output and peak of a run."""
    process = subprocess.Popen(
        [ringer, "-accel", engine, "-m", "64", "-display", "none", "-vga", "none", "-serial", "none", "-monitor", "none",
         "-debugcon", "stdio", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-kernel", image,
         "-append", case], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent)
    peak, end = 0, time.monotonic() + 100
    while process.poll() is None and time.monotonic() < end:
        peak = max(peak, anonymous(process.pid) or 0)
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    out = process.communicate()[0].decode(errors="replace").splitlines()
    return process.returncode, out[-1] if out else "", peak


def kernels(ringer, engine, image, cases):
    wrong = 0
    for case in cases or CASES:
        status, last, peak = grow(ringer, engine, image, case)
        limit = LIMITS.get(case, LIMIT)
        bad = status != 1 or not last.startswith("PASS") or peak > limit
        wrong += bad
        print("%s%s: %.0f MiB of %d, status %s, %s" % ("WRONG " if bad else "", case, peak, limit, status, last), flush=True)
    return 1 if wrong else 0


def linux(ringer, engine, resets, processes):
    kernel = os.path.join(initrd.CACHE, "vmlinuz-686")
    if not os.path.exists(kernel):
        print("skipped: no guest kernel; sh tests/tools/guests.sh fetch")
        return SKIP
    with tempfile.TemporaryDirectory() as folder:
        control = os.path.join(folder, "monitor")
        guest = Guest([ringer, "-accel", engine, "-m", "128", "-kernel", kernel, "-initrd",
                       os.path.join(initrd.CACHE, "initrd.gz"), "-append", "console=ttyS0 panic=-1 quiet", "-nographic",
                       "-monitor", "unix:%s,server,nowait" % control])
        try:
            seen = []
            for _ in range(resets + 1):
                guest.expect("guest# ", 200)
                seen.append(anonymous(guest.process.pid))
                if len(seen) <= resets:
                    with socket.socket(socket.AF_UNIX) as s:
                        s.connect(control)
                        s.sendall(b"system_reset\n")
                        time.sleep(0.2)
            print("at the shell, after each reset: " + " ".join("%.0f" % n for n in seen), flush=True)
            wrong = max(seen) > seen[0] * 1.2 + 5
            # What a process needs for the first time is there after some hundred; then no more is to come but for
            # translations, up to their limit.
            seen = []
            part = max(1, processes // 6)
            for _ in range(6):
                guest.run("i=0; while [ $i -lt %d ]; do busybox true; i=$((i+1)); done" % part, 3000)
                seen.append(anonymous(guest.process.pid))
            print("after each %d processes: %s" % (part, " ".join("%.0f" % n for n in seen)), flush=True)
            wrong |= max(seen[2:]) > seen[1] * 1.2 + 8
        finally:
            guest.kill()
    if wrong:
        print("WRONG: it grows")
    return 1 if wrong else 0


def main():
    ringer, engine, what = sys.argv[1:4]
    rest = sys.argv[4:]
    if what == "linux":
        return linux(ringer, engine, int(rest[0]) if rest else 5, int(rest[1]) if len(rest) > 1 else 600)
    return kernels(ringer, engine, what, rest)


sys.exit(main())
