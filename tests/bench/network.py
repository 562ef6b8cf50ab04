#!/usr/bin/env python3
"""Network throughput and latency of a Debian guest on user networking, paired with QEMU's TCG: same kernel, card, programs.

    network.py RINGER [QEMU] [--rounds N] [--seconds S] [MODEL...]

QEMU: by default the newest (tests/tools/rival.sh). Each round boots both, one after the other, and takes iperf3 in both
directions and 300 pings. Printed are medians and their ratios: of throughput above 1 and of latency below 1 are Ringer's
favour. iperf3's server runs here, on the loopback device of a network namespace.

One stream has 64 KiB under way at most, as libslirp knows no window scaling; and Linux's driver asks an e1000 for 4,000
interrupts a second under load, each of which the card puts off. So one stream to an e1000 has a ceiling of 2.1 Gbit/s
whatever the processor does (64 KiB for each interrupt); "receive 4", with four streams, and "no throttle", with
the driver's InterruptThrottleRate=0, have none.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import netguest  # noqa: E402
import netns  # noqa: E402
import rival  # noqa: E402
from guest import main  # noqa: E402

PORT = 5201
UNTHROTTLED = "receive, no throttle"
UNITS = {"send": "Mbit/s", "receive": "Mbit/s", "receive 4": "Mbit/s", UNTHROTTLED: "Mbit/s", "ping": "us"}


def start(program, options, model, image, driver_options=""):
    guest = netguest.boot(program, image, options + ["-netdev", "user,id=n0", "-device", model + ",netdev=n0"])
    netguest.load(guest, model, driver_options)
    netguest.lease(guest)
    return guest


def transfer(guest, ways, seconds):
    result = {}
    for name, way in ways:
        server = subprocess.Popen(["iperf3", "-s", "-1", "-p", str(PORT)], stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        out = guest.run("iperf3 -J -c 10.0.2.2 -p %d -t %d -O 1 %s" % (PORT, seconds, way), 120)
        server.wait(30)
        end = json.loads(out[out.index("{"):])["end"]
        result[name] = end["sum_received"]["bits_per_second"] / 1e6
    return result


def measure(program, options, model, image, seconds):
    guest = start(program, options, model, image)
    result = transfer(guest, (("send", ""), ("receive", "-R"), ("receive 4", "-R -P 4")), seconds)
    out = guest.run("ping -c 300 -i 0.01 10.0.2.2", 120)
    times = sorted(float(line.split("time=")[1].split()[0]) for line in out.splitlines() if "time=" in line)
    result["ping"] = statistics.median(times) * 1000
    guest.kill()
    if model == "e1000":
        guest = start(program, options, model, image, "InterruptThrottleRate=0")
        result.update(transfer(guest, ((UNTHROTTLED, "-R"),), seconds))
        guest.kill()
    return result


def bench():
    parser = argparse.ArgumentParser()
    parser.add_argument("ringer")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    args = parser.parse_intermixed_args()
    models = [word for word in args.words if word in netguest.DRIVERS]
    others = [word for word in args.words if word not in netguest.DRIVERS]
    qemu = others[0] if others else rival.newest()
    netns.enter()
    image = os.path.join(tempfile.mkdtemp(), "initrd")
    netguest.write_initrd(image)
    for model in models or ["virtio-net-pci", "e1000", "pcnet", "rtl8139"]:
        runs = {"ringer": [], "qemu": []}
        for _ in range(args.rounds):
            runs["ringer"].append(measure(args.ringer, [], model, image, args.seconds))
            runs["qemu"].append(measure(qemu, ["-accel", "tcg", "-vga", "none"], model, image, args.seconds))
        for what, unit in UNITS.items():
            if what not in runs["qemu"][0]:
                continue
            ours, theirs = (statistics.median(run[what] for run in runs[who]) for who in ("ringer", "qemu"))
            print("%-15s %-20s ringer %7.0f  qemu %7.0f %s  ratio %.2f" % (model, what, ours, theirs, unit,
                                                                         ours / theirs), flush=True)


main(bench)
