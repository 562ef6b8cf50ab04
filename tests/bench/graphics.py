#!/usr/bin/env python3
"""Drawing on the graphics card, paired against the newest QEMU's TCG (tests/tools/rival.sh): the same guest (graphics.c), the same
card, in turn.

usage: graphics.py RINGER IMAGE [--rounds N] [--quick] [--json FILE] [--only NAME...]
       graphics.py RINGER IMAGE --traps     only: pixels written to a linear frame buffer cost no trap (counters of -stats)

Times are taken here, between two marks that the guest writes to a port. Status 1 where a target is missed.
"""
import argparse
import json
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import marked  # noqa: E402
import rival  # noqa: E402

# name: card, times, bytes drawn each time, target
WORKS = {
    "animation": ("std", 400, 640 * 480 * 4, 6),
    "rotozoom": ("std", 400, 640 * 480 * 4, 6),
    "lfb-fill": ("std", 3000, 640 * 480 * 4, None),
    "lfb-copy": ("std", 3000, 640 * 480 * 4, None),
    "13h": ("std", 3000, 64000, 3),
    "modex": ("std", 300, 4 * 80 * 240, 3),
    "12h-bytes": ("std", 100, 4 * 80 * 480, 3),
    "12h-set": ("std", 1000, 80 * 480, 3),
    "12h-masked": ("std", 100, 80 * 480, 3),
    "blt-fill": ("cirrus", 3000, 640 * 480 * 4, None),
    "blt-copy": ("cirrus", 3000, 640 * 480 * 4, None),
}
# A blit is to be so much faster than what the processor does on "std": of either machine's.
BLITS = {"blt-fill": "lfb-fill", "blt-copy": "lfb-copy"}
BLIT_TARGET = 3
COUNTERS = ("memory", "page_fault", "shadow_fill", "device_memory", "interp_near", "exit_interp", "exit_site", "exit_fault",
            "fill_emulate", "interp_insns")


def run(command, name, times):
    """(seconds, sum of what has been drawn)."""
    command = command + ["-display", "none", "-m", "32", "-vga", WORKS[name][0], "-debugcon", "stdio", "-serial", "none", "-monitor",
                         "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", options.image, "-append",
                         "%s %d" % (name, times)]
    return marked.run(command)


def counters(name, times):
    with tempfile.NamedTemporaryFile(suffix=".json") as f:
        run([os.path.abspath(options.ringer), "-nic", "none", "-stats", "file:" + f.name], name, times)
        found = json.load(f)

    def count(of):
        value = found.get("counters", found)[of]
        return value["count"] if isinstance(value, dict) else value
    return {of: count(of) for of in COUNTERS}


TRIES = 8


def traps():
    """Thirty frames must not stop more often than ten do: less than once in a thousand pixels. (How often the BIOS looks at
    the clock while it waits for the keyboard differs from run to run, by hundreds of thousands on a busy host: what pixels cost they
    cost each time.)"""
    pixels = 20 * 640 * 480
    for _ in range(TRIES):
        few, many = counters("animation", 10), counters("animation", 30)
        more = {of: many[of] - few[of] for of in COUNTERS}
        if max(more.values()) <= pixels // 1000:
            print("OK: %d pixels more, at most %d stops more" % (pixels, max(more.values())))
            return
        for of in COUNTERS:
            print("%-14s %8d %8d" % (of, few[of], many[of]))
    sys.exit("FAIL: %d pixels have cost %s" % (pixels, more))


def main():
    ours = [os.path.abspath(options.ringer), "-nic", "none"]
    theirs = [rival.newest(), "-accel", "tcg", "-net", "none"]
    names = options.only or list(WORKS)
    found = {name: {"ringer": [], "tcg": []} for name in names}
    for number in range(options.rounds):
        for name in names:
            times = max(1, WORKS[name][1] // (10 if options.quick else 1))
            sums = set()
            for who, command in sorted((("ringer", ours), ("tcg", theirs)), reverse=number & 1):
                seconds, drawn = run(command, name, times)
                sums.add(drawn)
                found[name][who].append(seconds / times)
            if len(sums) != 1:
                sys.exit("FAIL: %s: what is drawn differs: %s" % (name, sums))
        print("round %d of %d" % (number + 1, options.rounds), flush=True)
    result, missed = {}, []
    print("%-12s %14s %14s %10s %8s" % ("", "ringer", "tcg", "ratio", "target"))
    for name in names:
        mine, other = (statistics.median(found[name][who]) for who in ("ringer", "tcg"))
        ratio = statistics.median(b / a for a, b in zip(found[name]["ringer"], found[name]["tcg"]))
        target = WORKS[name][3]
        result[name] = {"ringer_s": mine, "tcg_s": other, "ratio": ratio, "target": target,
                        "ringer_ns_per_byte": mine / WORKS[name][2] * 1e9, "tcg_ns_per_byte": other / WORKS[name][2] * 1e9}
        print("%-12s %11.1f /s %11.1f /s %10.2f %8s  %.3f and %.3f ns a byte" % (
            name, 1 / mine, 1 / other, ratio, target or "", result[name]["ringer_ns_per_byte"], result[name]["tcg_ns_per_byte"]))
        if target and ratio < target:
            missed.append(name)
    for blit, plain in BLITS.items():
        if blit in result and plain in result:
            own = result[plain]["ringer_s"] / result[blit]["ringer_s"]
            other = result[plain]["tcg_s"] / result[blit]["ringer_s"]
            result[blit].update(own_processor=own, tcg_processor=other)
            print("%s: %.2f times as fast as our processor on std, %.2f times TCG's (target %d)" % (blit, own, other, BLIT_TARGET))
            if other < BLIT_TARGET:
                missed.append(blit)
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
parser.add_argument("--json")
parser.add_argument("--only", nargs="*")
parser.add_argument("--traps", action="store_true")
options = parser.parse_args()
if options.traps:
    traps()
else:
    main()
