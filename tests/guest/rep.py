#!/usr/bin/env python3
"""rep.c on several engines: none may end, and all must come to the same results.

    rep.py RINGER REP.ELF SEED [ROUNDS [ENGINE...]]

The first engine (interp if none is named) is what the others (bt, lockstep) are compared with; direct is bt here, as
nothing runs directly without paging. To see the combinations of a form: run.py RINGER ENGINE REP.ELF --append "SEED 1 verbose".
"""
import subprocess
import sys


def outcomes(ringer, engine, image, seed, rounds):
    command = [ringer, "-accel", engine, "-m", "16", "-display", "none", "-vga", "none", "-serial", "none", "-monitor",
               "none", "-debugcon", "stdio", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
               "-kernel", image, "-append", "%s %s" % (seed, rounds)]
    try:
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=60 * int(rounds))
        out, status = run.stdout, run.returncode
    except subprocess.TimeoutExpired as e:
        out, status = e.stdout or b"", "none within the time"
    lines = out.decode(errors="replace").splitlines()
    forms = [line for line in lines if line.startswith("form ")]
    if status != 1 or not any(line.startswith("PASS") for line in lines):
        print("WRONG %s: status %s after %s" % (engine, status, forms[-1] if forms else "nothing"))
        print("\n".join("    " + line for line in lines[-20:] if not line.startswith("form ")))
        return None
    return forms


def main():
    ringer, image, seed = sys.argv[1:4]
    rounds = sys.argv[4] if len(sys.argv) > 4 else "1"
    engines = sys.argv[5:] or ["interp", "bt", "lockstep"]
    print("seed %s" % seed)
    want = outcomes(ringer, engines[0], image, seed, rounds)
    wrong = want is None
    for engine in engines[1:]:
        got = outcomes(ringer, engine, image, seed, rounds)
        differ = [(w, g) for w, g in zip(want or [], got or []) if w != g]
        for w, g in differ[:10]:
            print("WRONG %s: %s, %s: %s" % (engines[0], w, engine, g))
        wrong |= got is None or bool(differ)
        print("%s: %d forms, %d differ" % (engine, len(got or []), len(differ)))
    sys.exit(1 if wrong else 0)


main()
