#!/usr/bin/env python3
"""Drawing by the byte, against QEMU's TCG: ns a byte in text, mode 13h and planar memory. By hand.

usage: speed.py RINGER [ROUNDS]
"""
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
RINGER = os.path.abspath(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
CASES = [("text", 0x03, 0xb800, 4000, 20000), ("mode 13h", 0x13, 0xa000, 64000, 1250), ("planar", 0x12, 0xa000, 38400, 100)]


def build(directory, name, mode, segment, length, count):
    elf, image = (os.path.join(directory, name.replace(" ", "_") + end) for end in (".elf", ".img"))
    subprocess.run(["gcc", "-m16", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-m,elf_i386", "-T",
                    os.path.join(HERE, "image.ld"), f"-DMODE={mode}", f"-DSEG={segment}", f"-DLEN={length}",
                    f"-DCOUNT={count}", "-o", elf, os.path.join(HERE, "fill.S")], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["objcopy", "-O", "binary", "--pad-to", "0x168000", elf, image], check=True)
    return image


def seconds(command):
    """Between the guest's two marks."""
    with subprocess.Popen(command + ["-display", "none", "-m", "16", "-boot", "a", "-debugcon", "stdio", "-device",
                                     "isa-debug-exit,iobase=0xf4,iosize=4"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as process:
        times = {}
        while True:
            byte = process.stdout.read(1)
            if not byte:
                break
            times[byte] = time.monotonic()
        process.wait()
    return times[b">"] - times[b"<"]


def main():
    with tempfile.TemporaryDirectory() as directory:
        for name, mode, segment, length, count in CASES:
            image = build(directory, name, mode, segment, length, count)
            pairs = [(seconds([RINGER, "-fda", image]),
                      seconds(["qemu-system-i386", "-accel", "tcg", "-net", "none", "-drive",
                               "if=floppy,format=raw,file=" + image])) for _ in range(ROUNDS)]
            ours, theirs = (sorted(p[i] for p in pairs)[ROUNDS // 2] for i in (0, 1))
            scale = 1e9 / length / count
            print(f"{name}: {ours * scale:.2f} ns a byte, TCG {theirs * scale:.2f}: {theirs / ours:.2f} times as fast",
                  flush=True)


main()
