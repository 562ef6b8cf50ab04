#!/usr/bin/env python3
"""Debian's installer (netboot image) to its first dialog, on the VGA's text screen and on its frame buffer.

usage: installer.py RINGER ENGINE CASE...       cases: text graphics

Status 77, a skip, where the cache lacks the installer: tests/tools/guests.sh fetch.
"""
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from guest import main  # noqa: E402
from screen import Screen  # noqa: E402

RINGER, ENGINE, CASES = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
CACHE = subprocess.run(["sh", os.path.join(HERE, "../tools/guests.sh"), "dir"], stdout=subprocess.PIPE, text=True,
                       check=True).stdout.strip()
KERNEL, INITRD = os.path.join(CACHE, "installer-linux"), os.path.join(CACHE, "installer-initrd.gz")
LIMIT = 600


def start(append):
    return Screen([RINGER, "-accel", ENGINE, "-m", "512", "-display", "none", "-serial", "none", "-kernel", KERNEL, "-initrd",
                   INITRD, "-append", append])


def text():
    """In text mode the dialog can be read, and answers keys."""
    screen = start("fb=false nomodeset")
    screen.expect("Select a language", timeout=LIMIT)
    screen.expect("English", timeout=30)
    screen.key("ret")
    screen.expect("Select your location", timeout=120)
    screen.command("quit")
    screen.wait()


def ppm(path):
    with open(path, "rb") as file:
        data = file.read()
    _, size, _, pixels = data.split(b"\n", 3)
    width, height = map(int, size.split())
    return width, height, pixels


def graphics():
    """With the card's own driver (bochs): a frame buffer of 1024x768, blue behind the grey dialog with its red line."""
    screen = start("fb=false")
    end = time.monotonic() + LIMIT
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "screen.ppm")
        while True:
            screen.command("screendump " + path)
            width, height, pixels = ppm(path)
            count = {colour: 0 for colour in (b"\x00\x00\xaa", b"\xaa\xaa\xaa", b"\xaa\x00\x00")}
            for at in range(0, len(pixels), 3 * 7):
                if pixels[at:at + 3] in count:
                    count[pixels[at:at + 3]] += 1
            samples = len(pixels) // 21
            blue, grey, red = (n / samples for n in count.values())
            if (width, height) == (1024, 768) and 0.1 < blue < 0.7 and 0.3 < grey < 0.9 and 0.001 < red < 0.05:
                break
            if time.monotonic() > end or screen.process.poll() is not None:
                screen.fail(f"no dialog: {width}x{height}, blue {blue:.3f}, grey {grey:.3f}, red {red:.3f}")
            time.sleep(1)
    screen.command("quit")
    screen.wait()


def test():
    for name in CASES:
        {"text": text, "graphics": graphics}[name]()
        print(f"OK: {name}", flush=True)


if not (os.path.exists(KERNEL) and os.path.exists(INITRD)):
    print("skipped: the installer is not there; fill the cache with tests/tools/guests.sh fetch")
    sys.exit(77)
main(test)
