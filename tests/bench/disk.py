#!/usr/bin/env python3
"""Disk speed of a Debian guest by fio, paired with QEMU's TCG: the same kernel, program, image (in memory).

    disk.py RINGER [QEMU] [--rounds N] [--seconds S] [virtio|ide...]

QEMU: by default the newest (tests/tools/rival.sh). fio: 4 KiB random and 1 MiB sequential reads and writes, O_DIRECT, eight
at a time on virtio. Printed are medians and ratios; above 1 is Ringer's favour. The first line is how fast this host
reads the image by itself, 1 MiB at a time: no guest can be faster than that, whatever its processor does.
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
import initrd  # noqa: E402
import netguest  # noqa: E402
import rival  # noqa: E402
from guest import main  # noqa: E402

JOBS = [("4k random read", "randread", "4k"), ("4k random write", "randwrite", "4k"),
        ("1M read", "read", "1M"), ("1M write", "write", "1M")]
VIRTIO = ["virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk"]


def measure(program, options, kind, image, disk, seconds):
    drive = "file=%s,format=raw,cache=writeback,if=%s" % (disk, kind)
    guest = netguest.boot(program, image, options + ["-drive", drive])
    if kind == "virtio":
        for module in VIRTIO:
            guest.run("insmod /lib/net/%s.ko" % module)
    else:
        guest.run("for m in /lib/drivers/*; do insmod $m; done")
    device = "/dev/vda" if kind == "virtio" else "/dev/sda"
    result = {}
    for name, way, size in JOBS:
        out = guest.run("fio --name=x --filename=%s --direct=1 --rw=%s --bs=%s --ioengine=libaio --iodepth=%d "
                        "--runtime=%d --time_based --thread --output-format=json" %
                        (device, way, size, 8 if kind == "virtio" else 1, seconds), 120)
        job = json.loads(out[out.index("{"):out.rindex("}") + 1])["jobs"][0]
        side = job["read" if "read" in way else "write"]
        result[name] = side["iops"] if size == "4k" else side["bw"] / 1024
    guest.kill()
    return result


def host_speed(disk):
    """MiB a second, of several passes."""
    buffer = memoryview(bytearray(1 << 20))
    count, began = 0, time.monotonic()
    while time.monotonic() - began < 2:
        with open(disk, "rb", buffering=0) as f:
            while f.readinto(buffer):
                count += 1
    return count / (time.monotonic() - began)


def bench():
    parser = argparse.ArgumentParser()
    parser.add_argument("ringer")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    args = parser.parse_intermixed_args()
    kinds = [word for word in args.words if word in ("virtio", "ide")] or ["virtio", "ide"]
    others = [word for word in args.words if word not in ("virtio", "ide")]
    tools = os.path.join(HERE, "..", "tools")
    qemu = others[0] if others else rival.newest()
    fio = subprocess.run([sys.executable, os.path.join(tools, "program.py"), "fio", "fio", "fio"], capture_output=True,
                         text=True, check=True).stdout.strip()
    folder = tempfile.mkdtemp(dir="/dev/shm")
    image, disk = os.path.join(folder, "initrd"), os.path.join(folder, "disk")
    drivers = {"lib/drivers/" + name: os.path.join(initrd.MODULES, name)
               for name in sorted(os.listdir(initrd.MODULES)) if name.endswith(".ko")}
    netguest.write_initrd(image, {**initrd.tree(fio), **drivers}, tools=False)
    with open(disk, "wb") as f:
        for _ in range(512):
            f.write(os.urandom(1 << 20))
    print("the host reads %.0f MiB/s" % host_speed(disk), flush=True)
    try:
        for kind in kinds:
            runs = {"ringer": [], "qemu": []}
            for _ in range(args.rounds):
                runs["ringer"].append(measure(args.ringer, ["-nic", "none"], kind, image, disk, args.seconds))
                runs["qemu"].append(measure(qemu, ["-accel", "tcg", "-vga", "none", "-nic", "none"], kind, image, disk,
                                            args.seconds))
            for name, _, size in JOBS:
                ours, theirs = (statistics.median(run[name] for run in runs[who]) for who in ("ringer", "qemu"))
                print("%-7s %-16s ringer %7.0f  qemu %7.0f %s  ratio %.2f" %
                      (kind, name, ours, theirs, "IOPS" if size == "4k" else "MiB/s", ours / theirs), flush=True)
    finally:
        subprocess.run(["rm", "-rf", folder])


main(bench)
