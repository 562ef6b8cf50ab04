#!/usr/bin/env python3
"""What looking at an idle Debian guest costs: a window (text screen, frame buffer), a VNC viewer, a USB tablet; each as what
it adds to the same guest without it.

    idle_screen.py RINGER [--rounds N] [--seconds S]

Counted are all threads of the monitor and its processes. The desktop is the test's own (Xvfb); what the X server does is
not counted. The text screen's cursor blinks 3.75 times a second.
"""
import argparse
import os
import statistics
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import desktop  # noqa: E402
import initrd  # noqa: E402
from guest import Guest, main  # noqa: E402
from idle import share  # noqa: E402
from rfb import RfbError, Viewer  # noqa: E402


def bench():
    parser = argparse.ArgumentParser()
    parser.add_argument("ringer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    args = parser.parse_args()
    desk = desktop.Desktop()
    folder = tempfile.mkdtemp()
    socket = os.path.join(folder, "vnc")

    def take(mode, options, after=lambda: None):
        append = "console=ttyS0 " + ("vga=0x317" if mode == "picture" else "")
        guest = Guest([args.ringer, "-serial", "stdio", "-monitor", "none", "-nic", "none", "-kernel",
                       os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", os.path.join(initrd.CACHE, "initrd.gz"), "-append", append] +
                      options)
        guest.expect("guest# ", 300)
        end = after()
        result = share(guest.process.pid, args.seconds)
        if end:
            end()
        guest.kill()
        return result

    def look():
        viewer = Viewer(socket)
        on = [True]

        def watch():
            try:
                while on[0]:
                    viewer.see(lambda picture: not on[0], 3600)
            except (OSError, RfbError):
                pass
        threading.Thread(target=watch, daemon=True).start()

        def end():
            on[0] = False
        return end
    none = ["-display", "none"]
    rows = [("window, text screen", "text", ["-display", "sdl"], None), ("window, 1024x768x16", "picture", ["-display", "sdl"], None),
            ("VNC, a viewer", "text", ["-vnc", "unix:" + socket], look), ("USB tablet", "text", none + ["-usb", "-device", "usb-tablet"], None)]
    added = {row[0]: [] for row in rows}
    for _ in range(args.rounds):
        base = {mode: take(mode, none) for mode in ("text", "picture")}
        for name, mode, options, after in rows:
            added[name].append(take(mode, options, after or (lambda: None)) - base[mode])
    for name in added:
        print("%-24s %5.2f %% of a CPU more" % (name, statistics.median(added[name])))
    desk.close()


main(bench)
