#!/usr/bin/env python3
"""Real-mode and 16-bit protected-mode work (real.S) here and under QEMU's TCG, paired in one run.

usage: realmode.py RINGER ROM [--rounds N]

Ends with status 1 when a target is missed: compute kernels at least 3 times as fast as TCG (geometric mean, for
each of the two modes), a program of far calls and far pointers at least twice, the program with code and data in one
page at least as fast.
"""
import argparse
import math
import re
import statistics
import subprocess
import sys

EXIT = ["-device", "isa-debug-exit,iobase=0x501,iosize=2"]


def run(command):
    """name -> (cycles, checksum) as the ROM prints them."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    lines = re.findall(r"^(\w+) ([0-9a-f]{8}) ([0-9a-f]{8})$", done.stdout.decode(errors="replace"), re.M)
    if done.returncode != 0x21 or not lines:
        sys.exit("%s\nended with status %d and said:\n%s%s" % (
            " ".join(command), done.returncode, done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace")))
    return {name: (int(cycles, 16), sum_) for name, cycles, sum_ in lines}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ringer")
    parser.add_argument("rom")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    commands = {
        "ringer": [options.ringer, "-bios", options.rom, "-display", "none", "-debugcon", "stdio"] + EXIT,
        "tcg": ["qemu-system-i386", "-accel", "tcg", "-bios", options.rom, "-display", "none", "-debugcon", "stdio",
                "-monitor", "none", "-serial", "none"] + EXIT,
    }
    found = {who: {} for who in commands}
    for number in range(options.rounds):
        for who in sorted(commands, reverse=number & 1):
            for name, (cycles, checksum) in run(commands[who]).items():
                found[who].setdefault(name, []).append(cycles)
                if checksum != found.setdefault("sums", {}).setdefault(name, checksum):
                    sys.exit("%s: %s has checksum %s, expected %s" % (who, name, checksum, found["sums"][name]))
        print("round %d of %d" % (number + 1, options.rounds), flush=True)
    ratio = {}
    print("%-14s %14s %14s %10s" % ("kernel", "ringer Mcycles", "tcg Mcycles", "tcg/ringer"))
    for name in found["ringer"]:
        ours, theirs = (statistics.median(found[who][name]) for who in ("ringer", "tcg"))
        ratio[name] = theirs / ours
        print("%-14s %14.1f %14.1f %10.2f" % (name, ours / 1e6, theirs / 1e6, ratio[name]))
    missed = 0
    for what, names, target in (("real mode", [n for n in ratio if n.startswith("real_")], 3),
                                ("16-bit protected mode", [n for n in ratio if n.startswith("prot_")], 3),
                                ("far calls and pointers", ["large_model"], 2),
                                ("code and data in one page", ["one_page"], 1)):
        mean = math.exp(sum(math.log(ratio[n]) for n in names) / len(names))
        ok = mean >= target
        missed += not ok
        print("%s %s: %.2f times as fast as TCG (target %d)" % ("ok    " if ok else "MISSED", what, mean, target))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
