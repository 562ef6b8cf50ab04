#!/usr/bin/env python3
"""Kills ringer while a guest writes and flushes a journal: nothing flushed may be lost, no image damaged.

    powercut.py RINGER ENGINE JOURNAL.elf [ROUNDS [SEED]]

Each round: the guest of tests/guest/journal.c writes numbered records to a disk (raw, qcow2, qcow2 on a backing
file, in turn), by PIO, DMA or both; at a random moment the process gets SIGKILL. What the guest had been told
is flushed must be in the image, every sector must be one the guest wrote, and qemu-img must find no error.
The image of a round is the next one's, but for every tenth.
"""
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

SKIP = 77
SLOTS, SECTORS = 1024, 8
SIZE = SLOTS * SECTORS * 512

RINGER, ENGINE, JOURNAL = os.path.abspath(sys.argv[1]), sys.argv[2], os.path.abspath(sys.argv[3])
ROUNDS = int(sys.argv[4]) if len(sys.argv) > 4 else 9
SEED = int(sys.argv[5]) if len(sys.argv) > 5 else random.randrange(1 << 32)
if not shutil.which("qemu-img"):
    print("skipped: qemu-img is not installed")
    sys.exit(SKIP)
# Every 128th word of a record is its number, the next one the sector's place; the rest depends on the number.
WORDS = [struct.pack("<128I", *range(i * 128, i * 128 + 128)) for i in range(SECTORS)]


def sector_is_right(sector, i):
    words = struct.unpack("<128I", sector)
    number = words[0]
    if number == 0:
        return not any(sector)
    return words[1] == i and all(words[k] == (number * 40503 + i * 128 + k) & 0xffffffff for k in range(2, 128))


def slot_of(number):
    return ((number * 2654435761 & 0xffffffff) >> 16) % SLOTS


class Disk:
    def __init__(self, kind):
        self.kind = kind
        self.newest = {}  # slot: the number that was flushed last
        self.next = 1
        for name in ("disk", "base"):
            if os.path.exists(name):
                os.unlink(name)
        if kind == "raw":
            with open("disk", "wb") as f:
                f.truncate(SIZE)
            return
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=" + random.choice(("4k", "64k"))]
        if kind == "backing":
            with open("base", "wb") as f:
                f.truncate(SIZE)
            command += ["-b", "base", "-F", "raw"]
        subprocess.run(command + ["disk", str(SIZE)], check=True)

    def run(self, mode, seconds):
        """Starts the guest, kills it seconds after its first flush; returns all that it said was flushed."""
        first = self.next
        process = subprocess.Popen(
            [RINGER, "-accel", ENGINE, "-m", "16", "-display", "none", "-vga", "none", "-serial", "none",
             "-debugcon", "stdio", "-kernel", JOURNAL, "-append", "start=%d %s" % (first, mode), "-hda", "disk"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        start = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
        if process.returncode != -signal.SIGKILL:
            sys.exit("FAIL: the guest ended by itself (%d): %r %r" % (process.returncode, start + out, err))
        told = [int(n) for n in re.findall(rb"^F (\d+)\n", start + out, re.M)]
        if not told:
            sys.exit("FAIL: nothing was flushed: %r %r" % (start + out, err))
        for number in range(first, told[-1] + 1):
            self.newest[slot_of(number)] = number
        # What came after the last flush may be there or not; the next round's numbers are higher.
        self.next = told[-1] + 1000000
        return told

    def check(self):
        content = "disk"
        if self.kind != "raw":
            result = subprocess.run(["qemu-img", "check", "disk"], capture_output=True, text=True)
            # 3: leaked clusters, which a kill may leave
            if result.returncode not in (0, 3):
                sys.exit("FAIL: qemu-img check: %s%s" % (result.stdout, result.stderr))
            subprocess.run(["qemu-img", "convert", "-O", "raw", "disk", "content"], check=True)
            content = "content"
        with open(content, "rb") as f:
            data = f.read()
        for slot in range(SLOTS):
            for i in range(SECTORS):
                at = (slot * SECTORS + i) * 512
                sector = data[at:at + 512]
                if not sector_is_right(sector, i):
                    sys.exit("FAIL: slot %d sector %d is nothing that was written" % (slot, i))
                number = struct.unpack_from("<I", sector)[0]
                if number < self.newest.get(slot, 0):
                    sys.exit("FAIL: slot %d sector %d holds record %d; record %d was flushed"
                             % (slot, i, number, self.newest[slot]))


def main():
    random.seed(SEED)
    print("seed %d" % SEED)
    flushes = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        disk = None
        for number in range(ROUNDS):
            kind = ("raw", "qcow2", "backing")[number % 3] if ROUNDS < 30 else \
                ("raw", "qcow2", "backing")[number // 10 % 3]
            if ROUNDS < 30 or number % 10 == 0:
                disk = Disk(kind)
            told = disk.run(("pio", "dma", "both")[number % 3], random.random() ** 2 * 0.5)
            disk.check()
            flushes += len(told)
    print("OK: %d kills, %d flushes, nothing flushed was lost" % (ROUNDS, flushes))


main()
