#!/usr/bin/env python3
"""Compares two builds of Ringer: figure by figure, in turn, on one machine.

usage: before_after.py BENCH BEFORE AFTER [--pairs N] [--engines A,B] [--only nano|linux]
                       [--figures A,B] [--cpu N]

BENCH is the program whose `bench` measures both, so that the work is the same; BEFORE and AFTER are
the programs measured. Each pair measures both once, the order changing from pair to pair. Printed
are the medians, the median of the ratios after / before, the ratio of the least values, and in how
many of the pairs AFTER took longer: on a noisy machine a change is one that nearly all pairs show.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile


def measure(bench, program, options):
    """All figures of one run of `program`: {(engine, figure): value}."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [bench, "bench", f"--ringer={program}", "--rounds=1", f"--json={out.name}"]
        subprocess.run(command + options, stdout=subprocess.DEVNULL, check=True)
        results = json.load(open(out.name))
    values = {}
    for name, figure in results["figures"].items():
        for engine, entry in figure.get("engines", {}).items():
            if engine != "native" and entry.get("values"):
                values[engine, name] = entry["values"][0]
    return values


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n\n")[0])
    for name in ("bench", "before", "after"):
        parser.add_argument(name)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--engines", default="bt,direct")
    for name in ("only", "figures", "cpu"):
        parser.add_argument(f"--{name}")
    args = parser.parse_args()
    options = [f"--engines={args.engines}"]
    options += [f"--{name}={getattr(args, name)}" for name in ("only", "figures", "cpu") if getattr(args, name)]
    programs = {"before": os.path.abspath(args.before), "after": os.path.abspath(args.after)}
    runs = {"before": [], "after": []}
    for pair in range(args.pairs):
        for which in ("before", "after") if pair % 2 == 0 else ("after", "before"):
            runs[which].append(measure(args.bench, programs[which], options))
        print(f"pair {pair + 1} of {args.pairs}", file=sys.stderr)
    print(f"{'engine':8} {'figure':24} {'before':>12} {'after':>12} {'ratio':>7} {'of least':>9} {'slower':>7}")
    for key in runs["before"][0]:
        before = [run[key] for run in runs["before"] if key in run]
        after = [run[key] for run in runs["after"] if key in run]
        if len(before) != args.pairs or len(after) != args.pairs or min(before) <= 0:
            print(f"{key[0]:8} {key[1]:24} not measured by both")
            continue
        ratios = [b / a for a, b in zip(before, after)]
        slower = sum(ratio > 1 for ratio in ratios)
        print(f"{key[0]:8} {key[1]:24} {statistics.median(before):12.5g} {statistics.median(after):12.5g} "
              f"{statistics.median(ratios):7.3f} {min(after) / min(before):9.3f} {slower:3}/{args.pairs}")


if __name__ == "__main__":
    main()
