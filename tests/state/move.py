#!/usr/bin/env python3
"""Moves a guest that checks itself from process to process at random moments, and judges what it says.

usage: move.py MOVER ENGINE MOMENTS IMAGE [SEED]

The guest runs for as long as the moments need on average; a new seed each time, printed.
"""
import os
import random
import subprocess
import sys
import tempfile


def main():
    mover, engine, moments, image = sys.argv[1:5]
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else random.randrange(1 << 30)
    longest = 80
    seconds = int(int(moments) * (longest + 1) / 2 / 1000 * 1.6) + 2
    with tempfile.TemporaryDirectory() as folder:
        disk, log = os.path.join(folder, "disk.img"), os.path.join(folder, "log")
        with open(disk, "wb") as f:
            f.truncate(1 << 20)
        # One log for all processes: each appends.
        run = subprocess.run([mover, moments, str(seed), str(longest), "-accel", engine, "-m", "16", "-kernel", image,
                              "-append", str(seconds), "-hda", disk, "-display", "none", "-serial", "null", "-no-reboot",
                              "-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4", "-sandbox", "off"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=280)
    print(run.stdout + "".join(line + "\n" for line in run.stderr.split("\n") if "engine" not in line))
    # The guest's verdict 0 leaves as (0 << 1) | 1.
    good = run.returncode == 1 and "not ok" not in run.stdout and "\nPASS " in run.stdout
    print("seed %d: %s" % (seed, "ok" if good else "WRONG, status %d" % run.returncode))
    return 0 if good else 1


sys.exit(main())
