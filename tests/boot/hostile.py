#!/usr/bin/env python3
"""User code that tries to get out of where it runs (tests/guest/hostile.c).

    hostile.py RINGER ENGINE hostile.elf

The guest judges itself; with engine direct,always=on the counters must also say that its code did run directly and did
leave for the host's selectors, or nothing was tried.
"""
import json
import os
import subprocess
import sys
import tempfile

ROGUES = 40  # attempts that get as far as 64-bit code, at least


def main():
    ringer, engine, image = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as folder:
        out, stats = os.path.join(folder, "out"), os.path.join(folder, "stats")
        try:
            run = subprocess.run([ringer, "-accel", engine, "-kernel", image, "-display", "none", "-debugcon",
                                  "file:" + out, "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-stats",
                                  "file:" + stats], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=180)
        except subprocess.TimeoutExpired:
            print("HANG")
            return 1
        lines = open(out, errors="replace").read().splitlines()
        bad = [line for line in lines if line.startswith("not ok")]
        passed = [line for line in lines if line.startswith("PASS ")]
        print("\n".join(bad[:20]))
        print(run.stderr.decode().strip())
        if bad or not passed or run.returncode < 0:
            print("WRONG: %d checks failed, verdict %s, status %d" % (len(bad), passed, run.returncode))
            return 1
        if engine.startswith("direct"):
            counters = json.load(open(stats))["counters"]
            rogue, stops = counters["cell_rogue"]["count"], counters["cell_stops"]["count"]
            print("stops %d, rogue %d" % (stops, rogue))
            if rogue < ROGUES:
                print("WRONG: the code did not leave for 64-bit code, so nothing was shown")
                return 1
    print("OK: " + passed[0])
    return 0


sys.exit(main())
