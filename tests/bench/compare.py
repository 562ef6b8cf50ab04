#!/usr/bin/env python3
"""Ringer against QEMU's TCG and the bare CPU, in one run on one machine.

    compare.py RINGER PROGRAMS [--quick] [--rounds N] [--json FILE] [--kernel 686|686-pae] [--accel NAME]

PROGRAMS is the folder of the built static i386 programs (tests/bench in the build folder). Rounds alternate:
ringer, native, TCG, native, ringer, ... Each round boots a guest anew (time until its shell is ready), then
runs in it, one after the other: sha256sum of 64 MiB, gzip -9 of 16 MiB, an awk loop, the kernels of kernels.c.
Native rounds run the same static i386 files on the host, with their data in /dev/shm as the guest's is in
tmpfs. Times are the guest's own, held against the host's clock on the serial line.

Prints medians (least..most), and the targets that were missed; status 1 if any was, 2 if it could not be
measured.
"""
import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, GuestError  # noqa: E402
import initrd  # noqa: E402

SHA_BYTES = 64 << 20
GZIP_BYTES = 16 << 20
AWK = ("BEGIN { for (i = 1; i <= 1000000; i++) s += i / (i * i + 0.5) - 1 / (3 * i); "
       "printf \"%.9f\\n\", s }")
LONG = 1800  # no step takes so many seconds unless it hangs

# What a guest's clock may be off, of the time measured and at all: the serial line and the host's
# scheduler delay the marks.
DRIFT_PART, DRIFT_SECONDS = 0.05, 0.15

TARGET_BOOT = 0.5        # of TCG's time
TARGET_TCG = 4.0         # times as fast as TCG
TARGET_NATIVE = 1.25     # of native time
TARGET_GEOMEAN = 1.15    # of native time, kernels
TARGET_WORST = 1.5


def workloads(folder):
    """name, shell command that makes its input, command to be timed, command that prints a checksum of what
    it did; all work in the guest and on the host, there with busybox and its data in folder."""
    return [
        ("sha256sum", "textgen %d >%s/sha" % (SHA_BYTES, folder),
         "busybox sha256sum %s/sha" % folder, None),
        ("gzip", "textgen %d >%s/gz" % (GZIP_BYTES, folder),
         "busybox gzip -9 -k -f %s/gz" % folder, "busybox md5sum <%s/gz.gz" % folder),
        ("awk", None, "busybox awk '%s'" % AWK, None),
    ]


class Results:
    def __init__(self):
        self.times = {}      # (who, what) -> [seconds]
        self.checks = {}     # (who, what) -> {checksum}
        self.drift = []      # sentences

    def add(self, who, what, seconds):
        self.times.setdefault((who, what), []).append(seconds)

    def check(self, who, what, text):
        self.checks.setdefault((who, what), set()).add(text.strip())

    def median(self, who, what):
        values = self.times.get((who, what))
        return statistics.median(values) if values else None

    def held_against_host(self, who, what, guest, host):
        if abs(guest - host) > max(DRIFT_PART * host, DRIFT_SECONDS):
            self.drift.append("%s: %s took %.3f s by its own clock, %.3f s by the host's"
                              % (who, what, guest, host))


def say(text):
    print(text, file=sys.stderr, flush=True)


def output_and_time(text):
    """What timed printed, taken apart: (output, seconds)."""
    before, _, after = text.partition("@timed-end ")
    nanoseconds, status = after.split()[:2]
    if status != "0":
        raise GuestError("a timed command ended with status %s: %s" % (status, text))
    return before.strip(), int(nanoseconds) / 1e9


def kernel_lines(text):
    """kernels' output: name -> (seconds, checksum)."""
    found = {}
    for line in text.splitlines():
        part = line.split()
        if len(part) == 3 and part[1].isdigit():
            found[part[0]] = (int(part[1]) / 1e9, part[2])
    return found


class Native:
    def __init__(self, programs):
        self.folder = tempfile.mkdtemp(prefix="ringer-bench.", dir="/dev/shm")
        # The guest finds its programs by name in PATH; so here, and nothing else of the host's is in it.
        self.bin = os.path.join(self.folder, "bin")
        os.mkdir(self.bin)
        for program in programs + [os.path.join(initrd.CACHE, "busybox")]:
            os.symlink(os.path.abspath(program), os.path.join(self.bin, os.path.basename(program)))

    def sh(self, command):
        result = subprocess.run([os.path.join(self.bin, "busybox"), "sh", "-c", command],
                                env={"PATH": self.bin}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode:
            raise GuestError("native: '%s' ended with status %d: %s" % (command, result.returncode,
                                                                          result.stdout))
        return result.stdout

    def round(self, results):
        for name, prepare, command, check in workloads(self.folder):
            if prepare:
                self.sh(prepare)
            out, seconds = output_and_time(self.sh("timed " + command).partition("@timed-begin\n")[2])
            results.add("native", name, seconds)
            results.check("native", name, (self.sh(check) if check else out).split()[0])
        say("    native: " + ", ".join("%s %.2f s" % (w[0], results.times["native", w[0]][-1])
                                       for w in workloads(self.folder)))
        found = kernel_lines(self.sh("kernels"))
        for name, (seconds, checksum) in found.items():
            results.add("native", "kernel " + name, seconds)
            results.check("native", "kernel " + name, checksum)

    def close(self):
        subprocess.run(["rm", "-rf", self.folder], check=True)


def guest_timed(who, guest, name, command, results):
    """Runs a command under timed; returns (output, seconds)."""
    guest.send("timed %s\n" % command)
    guest.expect("@timed-begin\r\n", LONG)
    start = time.monotonic()
    out = guest.expect("@timed-end ", LONG)
    host = time.monotonic() - start
    out, seconds = output_and_time(out + "@timed-end " + guest.expect("\r\n", LONG))
    guest.expect("guest# ", LONG)
    results.held_against_host(who, name, seconds, host)
    say("    %s: %s %.2f s" % (who, name, seconds))
    return out, seconds


def guest_round(who, command, results):
    begin = time.monotonic()
    guest = Guest(command)
    try:
        guest.expect("shell ready", LONG)
        boot = time.monotonic() - begin
        guest.expect("guest# ", LONG)
        results.add(who, "boot", boot)
        say("    %s: shell ready after %.2f s" % (who, boot))
        for name, prepare, command, check in workloads("/tmp"):
            if prepare:
                guest.run(prepare, LONG)
            out, seconds = guest_timed(who, guest, name, command, results)
            results.add(who, name, seconds)
            results.check(who, name, (guest.run(check) if check else out).split()[0])
        found = kernel_lines(guest_timed(who, guest, "kernels", "kernels", results)[0])
        for name, (seconds, checksum) in found.items():
            results.add(who, "kernel " + name, seconds)
            results.check(who, "kernel " + name, checksum)
        guest.send("poweroff -f\n")
        if guest.wait(120) != 0:
            guest.fail("%s: poweroff did not end it with status 0" % who)
    finally:
        guest.kill()


def spread(results, who, what, scale=1.0, unit="s"):
    values = results.times.get((who, what))
    if not values:
        return "-"
    return "%.2f (%.2f..%.2f) %s" % (statistics.median(values) * scale, min(values) * scale,
                                    max(values) * scale, unit)


def ratio(results, a, b, what):
    x, y = results.median(a, what), results.median(b, what)
    return x / y if x and y else float("nan")


def report(results, ringer_name):
    """Prints the tables; returns (missed targets, figures for the JSON file)."""
    missed, figures = [], {}

    def target(text, value, good):
        if not good:
            missed.append("%s: %.2f" % (text, value))

    row = "%-16s %-26s %-26s %-26s %10s %10s"
    print(row % ("", ringer_name, "tcg", "native", "tcg/ringer", "ringer/nat"))
    for what in ["boot", "sha256sum", "gzip", "awk"]:
        faster, slower = ratio(results, "tcg", "ringer", what), ratio(results, "ringer", "native", what)
        print(row % (what, spread(results, "ringer", what), spread(results, "tcg", what),
                     spread(results, "native", what), "%.2f" % faster,
                     "-" if math.isnan(slower) else "%.2f" % slower))
        figures[what] = {"tcg_over_ringer": faster,
                         "ringer_over_native": None if math.isnan(slower) else slower}
        if what == "boot":
            target("boot, of TCG's time (target %.2f)" % TARGET_BOOT, 1 / faster, 1 / faster <= TARGET_BOOT)
        else:
            target("%s, times as fast as TCG (target %.1f)" % (what, TARGET_TCG), faster, faster >= TARGET_TCG)
            target("%s, of native time (target %.2f)" % (what, TARGET_NATIVE), slower, slower <= TARGET_NATIVE)
    print()
    names = [what for who, what in results.times if who == "native" and what.startswith("kernel ")]
    print("%-20s %26s %14s %14s %14s" % ("kernel", "native", "ringer/native", "tcg/native", "tcg/ringer"))
    ratios = {"ringer": {}, "tcg": {}}
    for what in names:
        for who in ratios:
            ratios[who][what[7:]] = ratio(results, who, "native", what)
        print("%-20s %26s %14.2f %14.2f %14.2f" % (
            what[7:], spread(results, "native", what, 1000, "ms"), ratios["ringer"][what[7:]],
            ratios["tcg"][what[7:]], ratio(results, "tcg", "ringer", what)))
    for who, of in ratios.items():
        mean = math.exp(statistics.fmean(math.log(x) for x in of.values()))
        worst = max(of, key=of.get)
        print("%-20s geometric mean %.3f of native, worst %.2f (%s)" % (
            ringer_name if who == "ringer" else who, mean, of[worst], worst))
        figures["kernels_" + who] = {"geometric_mean": mean, "worst": of[worst], "worst_name": worst,
                                     "ratios": of}
        if who == "ringer":
            target("kernels, geometric mean of native time (target %.2f)" % TARGET_GEOMEAN, mean,
                   mean <= TARGET_GEOMEAN)
            for name, value in of.items():
                target("kernel %s, of native time (target %.2f)" % (name, TARGET_WORST), value,
                       value <= TARGET_WORST)
    for sentence in results.drift:
        missed.append("clock: " + sentence)
    for (who, what), sums in results.checks.items():
        want = results.checks["native", what]
        if who == "ringer" and sums != want:
            missed.append("%s: result %s, natively %s" % (what, sorted(sums), sorted(want)))
        elif who == "tcg" and sums != want: # TCG computes x87's functions with less precision
            print("note: %s under TCG: result %s, natively %s" % (what, sorted(sums), sorted(want)))
    return missed, figures


def host_name():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    qemu = subprocess.run(["qemu-system-i386", "--version"], capture_output=True, text=True, check=True)
    return "%s, %d CPUs, Linux %s, %s" % (model, os.cpu_count(), os.uname().release,
                                         qemu.stdout.splitlines()[0])


def main():
    parser = argparse.ArgumentParser(description="Ringer against QEMU's TCG and the bare CPU.")
    parser.add_argument("ringer")
    parser.add_argument("programs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--kernel", default="686", choices=["686", "686-pae"])
    parser.add_argument("--accel", default="bt")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    if rounds < 1:
        parser.error("--rounds must be at least 1")

    programs = [os.path.join(options.programs, name) for name in ("timed", "textgen", "kernels")]
    kernel = os.path.join(initrd.CACHE, "vmlinuz-" + options.kernel)
    for path in programs + [kernel, options.ringer]:
        if not os.path.exists(path):
            print("compare: %s is missing" % path, file=sys.stderr)
            return 2

    shm = os.statvfs("/dev/shm")
    if shm.f_bavail * shm.f_frsize < SHA_BYTES + 2 * GZIP_BYTES:
        print("compare: /dev/shm has no room for the native runs' %d MiB"
              % ((SHA_BYTES + 2 * GZIP_BYTES) >> 20), file=sys.stderr)
        return 2
    # Killed, it leaves nothing in /dev/shm.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    results = Results()
    with tempfile.TemporaryDirectory(prefix="ringer-bench.") as folder:
        image = os.path.join(folder, "initrd")
        initrd.write(image, programs)
        machine = ["-m", "256", "-kernel", kernel, "-initrd", image,
                   "-append", "console=ttyS0 panic=-1", "-nographic", "-no-reboot"]
        # Without its network card and VGA, which Ringer does not have, QEMU boots faster.
        guests = {
            "ringer": [options.ringer, "-accel", options.accel] + machine,
            "tcg": ["qemu-system-i386", "-accel", "tcg", "-nic", "none", "-vga", "none"] + machine,
        }
        native = Native(programs)
        try:
            begin = time.monotonic()
            for number in range(rounds):
                say("round %d of %d (%.0f s)" % (number + 1, rounds, time.monotonic() - begin))
                # Every second round goes the other way, so that a machine that slows down slows both.
                order = ["ringer", "tcg"] if number % 2 == 0 else ["tcg", "ringer"]
                for who in order:
                    guest_round(who, guests[who], results)
                    native.round(results)
        except GuestError as e:
            print("compare: %s" % e, file=sys.stderr)
            return 2
        finally:
            native.close()

    date = time.strftime("%Y-%m-%d")
    host = host_name()
    print("%s, %d rounds, vmlinuz-%s, medians (least..most)\n%s\n" % (date, rounds, options.kernel, host))
    missed, figures = report(results, options.accel)
    print()
    for sentence in missed:
        print("MISSED %s" % sentence)
    if not missed:
        print("all targets met")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump({"date": date, "host": host, "rounds": rounds, "kernel": options.kernel,
                       "accel": options.accel, "figures": figures, "missed": missed,
                       "times": {"%s %s" % key: values for key, values in results.times.items()}},
                      f, indent=1)
            f.write("\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
