#!/usr/bin/env python3
"""Debugs debuggee.c at random on one engine, and compares each stop with what happens on the interpreter.

usage: sessions.py SESSIONS-PROGRAM ENGINE COUNT SEED IMAGE [--free | --storm]

--free: with timer interrupts, where only what must hold in any case is checked. --storm: a debugger that writes anything
anywhere, which nothing but the guest may suffer from. By hand: COUNT 2000.
"""
import subprocess
import sys


def start(program, engine, count, seed, image, free):
    command = [program, count, seed, free or "fixed", "-accel", engine, "-m", "64", "-display", "none", "-vga",
               "none", "-net", "none", "-serial", "none", "-monitor", "none", "-sandbox", "off", "-kernel", image]
    if free:
        command += ["-append", "timer"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def main():
    free = "free" if "--free" in sys.argv else "storm" if "--storm" in sys.argv else ""
    program, engine, count, seed, image = [a for a in sys.argv[1:] if not a.startswith("--")]
    engines = [engine] if free else ["interp", engine]
    runs = [(name, start(program, name, count, seed, image, free)) for name in engines]
    results = [(name,) + run.communicate() + (run.returncode,) for name, run in runs]
    for name, out, err, status in results:
        print("%s: status %d, %d stops; %s" % (name, status, out.count("\n"), err.strip().splitlines()[-1:]))
    if len(results) == 2:
        want, got = (out.splitlines() for _, out, _, _ in results)
        for n, (a, b) in enumerate(zip(want, got)):
            if a != b:
                print("the first difference, stop %d:\n before %s\n interp %s\n %s %s" %
                      (n, want[n - 1] if n else "", a, engine, b))
                return 1
        if len(want) != len(got):
            print("%d stops on the interpreter, %d on %s" % (len(want), len(got), engine))
            return 1
    for name, _, err, status in results:
        if status:
            print(err)
            return 1
    return 0


sys.exit(main())
