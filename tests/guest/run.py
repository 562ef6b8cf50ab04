#!/usr/bin/env python3
"""Runs one guest kernel on one engine and judges its output.

usage: run.py RINGER ENGINE IMAGE [-append STRING] [--memory MIB] [--vga NAME] [--end CONDITION]
              [--bounds 'NAME>=N,...'] [--timeout SECONDS]

ENGINE is an -accel of Ringer, or qemu (qemu-system-i386 -accel tcg; status 77, a skip, where there is none).
A kernel prints "ok NAME" or "not ok NAME" per check and then "PASS n" or "FAIL n of m". known.txt beside this
script names the checks that must fail on an engine, each with its reason.
--end survive: any end that is not the monitor's crash is right, also none at all within the time.
--bounds: what statistics of Ringer must be, with >= or <=, or the kernel did not put to the test what it was made for.
--end reset: the guest resets itself, which with -no-reboot ends with status 0.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

SKIP = 77


def known_failures(engine, image):
    """(those that must fail, those that may)"""
    must, may = set(), set()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "known.txt")
    for line in open(path):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        engines, images, name = (part.strip() for part in line.split("|")[:3])
        for names, written in ((must, engine), (may, engine + "?")):
            if written in engines.split(",") and image == images:
                names.add(name)
    return must, may


def command(args):
    # Both programs understand the same flags: one board, two monitors.
    common = ["-m", args.memory, "-display", "none", "-vga", args.vga, "-net", "none", "-serial", "none", "-monitor",
              "none", "-parallel", "none", "-debugcon", "stdio", "-no-reboot", "-device",
              "isa-debug-exit,iobase=0xf4,iosize=0x04", "-kernel", args.image]
    # QEMU derives the width of physical addresses from it.
    more = ",+pse36" if int(args.memory) > 3072 else ""
    if args.append:
        common += ["-append", args.append]
    if args.engine == "qemu":
        qemu = shutil.which("qemu-system-i386")
        if not qemu:
            print("skipped: qemu-system-i386 is not installed")
            sys.exit(SKIP)
        # The Atom of the same family as our default model.
        return [qemu, "-accel", "tcg", "-cpu", "n270" + more] + common
    if args.bounds:
        common += ["-stats", "file:" + args.stat_file]
    if more:
        common += ["-cpu", "n270" + more]
    return [args.ringer, "-accel", args.engine] + common


def judge_output(args, out, status):
    image = os.path.basename(args.image).split(".")[0]
    known, may = known_failures(args.engine, image)
    passed, failed, verdict = [], [], None
    for line in out.splitlines():
        if line.startswith("ok "):
            passed.append(line[3:])
        elif line.startswith("not ok "):
            failed.append(line[7:])
        elif line.startswith(("PASS ", "FAIL ")):
            verdict = line
    wrong = []
    if verdict is None:
        wrong.append("no verdict: the kernel did not come to its end")
    elif status != (1 if verdict.startswith("PASS") else 3):
        wrong.append("status %d does not fit the verdict '%s'" % (status, verdict))
    elif verdict.startswith("PASS") and not passed:
        wrong.append("nothing was checked")
    wrong += ["failed: " + name for name in failed if name not in known | may]
    wrong += ["passed, but is listed in known.txt: " + name for name in passed if name in known]
    wrong += ["listed in known.txt, but not run: " + name for name in known - set(passed) - set(failed)]
    print("%d passed, %d failed as known, %d problems" % (
        len(passed), len([n for n in failed if n in known | may]), len(wrong)))
    return wrong


def count_of(args, name):
    text = open(args.stat_file).read()
    return int(re.search(r'"%s": \{[^}]*"count": (\d+)' % name, text).group(1))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ringer")
    p.add_argument("engine")
    p.add_argument("image")
    p.add_argument("-append", "--append", default="")
    p.add_argument("--memory", default="128")
    p.add_argument("--vga", default="none")
    p.add_argument("--end", default="verdict", choices=["verdict", "survive", "reset"])
    p.add_argument("--bounds", default="")
    p.add_argument("--timeout", type=float, default=100)
    args = p.parse_args()
    folder = tempfile.TemporaryDirectory()
    args.stat_file = os.path.join(folder.name, "stats")

    process = subprocess.Popen(command(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    timed_out = False
    try:
        out, _ = process.communicate(timeout=args.timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
        # A monitor that lives ends when it is asked to.
        process.send_signal(signal.SIGTERM)
        try:
            out, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
    out = out.decode(errors="replace")
    status = process.returncode
    sys.stdout.write(out if out.endswith("\n") or not out else out + "\n")

    if args.end == "survive":
        # A guest may end by reset (0), by the exit port (odd) or by our SIGTERM; never by a signal else.
        wrong = []
        if timed_out and status not in (0, -signal.SIGTERM):
            wrong.append("did not end on SIGTERM")
        elif not timed_out and (status < 0 or status >= 128 and status % 2 == 0):
            wrong.append("the monitor died with status %d" % status)
        if "internal error" in out or "differs from the interpreter" in out:
            wrong.append("the monitor found a bug of its own")
    elif timed_out:
        wrong = ["no end within %d s" % args.timeout]
    elif args.end == "reset":
        wrong = [] if status == 0 else ["status %d, but a reset with -no-reboot ends with 0" % status]
    else:
        wrong = judge_output(args, out, status)
        for each in filter(None, args.bounds.split(",")):
            name, relation, bound = re.fullmatch(r"(\w+)([<>]=)(\d+)", each).groups()
            count = count_of(args, name)
            print("%s: %d" % (name, count))
            if count < int(bound) if relation == ">=" else count > int(bound):
                wrong.append("%s is %d, not %s %s" % (name, count, relation, bound))
    for line in wrong:
        print("WRONG " + line)
    sys.exit(1 if wrong else 0)


main()
