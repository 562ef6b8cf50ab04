#!/usr/bin/env python3
"""Interrupt controllers and timers, paired against QEMU's TCG, Debian's and the newest (tests/tools/rival.sh): the same guest
(apic.c), in turn.

usage: apic.py RINGER IMAGE [--rounds N] [--quick] [--json FILE] [--only NAME...]

Times are taken here, between two marks that the guest writes to a port. Cycles are those of the guest's time-stamp counter;
TCG's is the host's. Status 1 where a target is missed.
"""
import argparse
import json
import os
import shutil
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import marked  # noqa: E402
import rival  # noqa: E402

# name: times, most cycles of one, the least of TCG's time over ours
WORKS = {
    "id": (1000000, 300, None),
    "tpr-read": (1000000, 300, None),
    "tpr": (1000000, 300, None),
    "eoi": (1000000, 300, None),
    "ccr": (1000000, 300, None),
    "icr": (1000000, 300, None),
    "tpr-byte": (1000000, 300, None),
    "tpr-or": (1000000, None, None),
    "pm": (1000000, None, None),
    "pit": (500000, None, None),
    "syscall": (500000, None, 1),
}


def run(command, name, times):
    """(seconds, checksum, cycles of one)."""
    command = command + ["-display", "none", "-m", "64", "-vga", "none", "-debugcon", "stdio", "-serial", "none", "-monitor", "none",
                         "-parallel", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", options.image,
                         "-append", "%s %d" % (name, times)]
    seconds, found = marked.run(command)
    checksum, cycles = found.split()
    return seconds, checksum, int(cycles)


def main():
    machines = {"ringer": [os.path.abspath(options.ringer), "-accel", options.accel, "-nic", "none"]}
    installed = shutil.which("qemu-system-i386")
    if installed and not options.alone:
        machines["qemu"] = [installed, "-accel", "tcg", "-net", "none"]
    if not options.alone:
        machines["newest"] = [rival.newest(), "-accel", "tcg", "-net", "none"]
    names = options.only or list(WORKS)
    found = {name: {who: [] for who in machines} for name in names}
    for number in range(options.rounds):
        for name in names:
            times = max(1, WORKS[name][0] // (10 if options.quick else 1))
            sums = set()
            for who in sorted(machines, reverse=number & 1):
                seconds, checksum, cycles = run(machines[who], name, times)
                sums.add(checksum)
                found[name][who].append((seconds / times, cycles))
            if len(sums) != 1:
                sys.exit("FAIL: %s: the checksums differ: %s" % (name, sums))
    result, missed = {}, []
    for name in names:
        _, most, least = WORKS[name]
        result[name] = {who: {"ns": statistics.median(s for s, _ in found[name][who]) * 1e9,
                              "cycles": statistics.median(c for _, c in found[name][who])} for who in machines}
        line = "%-10s" % name
        for who in machines:
            line += "  %s %7.0f ns %7.0f cycles" % (who, result[name][who]["ns"], result[name][who]["cycles"])
        for who in list(machines)[1:]:
            ratio = statistics.median(b[0] / a[0] for a, b in zip(found[name]["ringer"], found[name][who]))
            result[name][who]["ratio"] = ratio
            line += "  %s/ringer %.2f" % (who, ratio)
            if least and ratio < least:
                missed.append("%s (%s)" % (name, who))
        if most and result[name]["ringer"]["cycles"] > most:
            missed.append("%s (%d cycles)" % (name, most))
        print(line, flush=True)
    if options.json:
        with open(options.json, "w", encoding="ascii") as f:
            json.dump(result, f, indent=1)
    if missed:
        sys.exit("MISSED: " + ", ".join(missed))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("ringer")
parser.add_argument("image")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--quick", action="store_true")
parser.add_argument("--accel", default="bt")
parser.add_argument("--alone", action="store_true", help="no QEMU")
parser.add_argument("--json")
parser.add_argument("--only", nargs="*")
options = parser.parse_args()
main()
