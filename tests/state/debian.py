#!/usr/bin/env python3
"""Moves Debian's 686 kernel from process to process at random moments while a script in it computes, forks, hashes and
compares, and judges what the script says. By hand: 200 moments take some minutes.

usage: debian.py MOVER ENGINE MOMENTS [SEED]
"""
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from initrd import cpio  # noqa: E402

SCRIPT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /tmp
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t devtmpfs none /dev
exec >/dev/ttyS0 2>&1
echo begins
dd if=/dev/urandom of=/tmp/a bs=64k count=32 2>/dev/null
want=$(sha256sum </tmp/a)
bad=0
round=0
end=$(($(cut -d. -f1 /proc/uptime) + SECONDS))
while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do
    round=$((round + 1))
    cp /tmp/a /tmp/b$((round % 3))
    [ "$(sha256sum </tmp/b$((round % 3)))" = "$want" ] || bad=$((bad + 1))
    [ "$(gzip -1 </tmp/a | gunzip | sha256sum)" = "$want" ] || bad=$((bad + 1))
    sum=$(seq 1 2000 | awk '{ s += $1 * 1.5; t = $1 / 7 * 7 - $1; if (t < -0.000001 || t > 0.000001) e++ } END { print s, e + 0 }')
    [ "$sum" = "3001500 0" ] || { bad=$((bad + 1)); echo "sum $sum"; }
    n=0
    for i in 1 2 3 4 5 6 7 8; do (exit $i); [ $? = $i ] && n=$((n + 1)); done
    [ $n = 8 ] || bad=$((bad + 1))
    echo "$round" | grep -q '^[0-9]*$' || bad=$((bad + 1))
done
echo "rounds $round wrong $bad"
poweroff -f
"""


def main():
    mover, engine, moments = sys.argv[1:4]
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 30)
    cache = subprocess.run(["sh", os.path.join(HERE, "../tools/guests.sh"), "dir"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.strip()
    longest = 250
    seconds = int(int(moments) * longest / 2000 * 1.3) + 3
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "initrd")
        with open(os.path.join(cache, "busybox"), "rb") as f:
            busybox = f.read()
        with open(image, "wb") as f:
            f.write(cpio({"bin/busybox": busybox, "init": SCRIPT.replace("SECONDS", str(seconds)).encode()}))
        run = subprocess.run([mover, moments, str(seed), str(longest), "-accel", engine, "-m", "96", "-kernel",
                              os.path.join(cache, "vmlinuz-686"), "-initrd", image, "-append",
                              "console=ttyS0 quiet panic=-1", "-display", "none", "-serial", "stdio", "-no-reboot",
                              "-sandbox", "off"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, timeout=3600)
    said = run.stdout[-3000:]
    print(said + run.stderr[-300:])
    good = run.returncode == 0 and " wrong 0" in said and "%s moments" % moments in run.stderr
    print("seed %d: %s" % (seed, "ok" if good else "WRONG, status %d" % run.returncode))
    return 0 if good else 1


sys.exit(main())
