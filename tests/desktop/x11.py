#!/usr/bin/env python3
"""X in a guest, seen through the window: its pictures, its pointer, its keys.

    x11.py RINGER XPROBE VMMOUSED XATRACKER CASE...

Cases: vesa modesetting cirrus vmware (Debian's X server with that driver: the picture in the window is the one that a client drew, a key
arrives); vmmouse usb-tablet virtio-tablet (the pointer in the guest is where it is in the window). Status 77, a skip, without
Xvfb, xdotool and ImageMagick, or without the guest cache.
"""
import os
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import desktop  # noqa: E402
import xguest  # noqa: E402
from guest import main  # noqa: E402
from desktop import wait_until  # noqa: E402

RINGER, XPROBE, VMMOUSED, XATRACKER = (os.path.abspath(argument) for argument in sys.argv[1:5])
COLUMNS, ROWS = 16, 12
# What five or six bits of a colour become.
NEAR = 8


def reference(width, height):
    """What xprobe draws: rows of RGB bytes."""
    rows = [bytearray(3 * width) for _ in range(height)]
    for n in range(COLUMNS * ROWS):
        row, column = divmod(n, COLUMNS)
        left, top = column * width // COLUMNS, row * height // ROWS
        right, bottom = (column + 1) * width // COLUMNS, (row + 1) * height // ROWS
        rgb = bytes((n * 7 % 4 * 85, n * 5 // 4 % 4 * 85, n * 3 // 16 % 4 * 85))
        for y in range(top, bottom):
            rows[y][3 * left:3 * right] = rgb * (right - left)
        for i in range(16):
            x = 3 * (left + 8 + i)
            rows[top + 8 + i][x:x + 3] = bytes(255 - c for c in rgb)
    for y in range(height):
        rows[y][:3] = rows[y][-3:] = b"\xff\xff\xff"
    rows[0][:] = rows[-1][:] = b"\xff" * (3 * width)
    return rows


def differing(picture, want):
    """How many pixels are not what they should be; all of them if the size is not."""
    width, height, rows = picture
    if (width, height) != (len(want[0]) // 3, len(want)):
        return len(want[0]) // 3 * len(want)
    wrong = 0
    for have, expected in zip(rows, want):
        if have != expected:
            wrong += sum(any(abs(a - b) > NEAR for a, b in zip(have[x:x + 3], expected[x:x + 3]))
                         for x in range(0, len(expected), 3))
    return wrong


def boot(directory, *options, **how):
    guest = xguest.XGuest([RINGER, "-display", "sdl,show-menubar=off", "-name", "xguest"] + list(options), directory,
                          programs=[XPROBE, VMMOUSED], libraries=[XATRACKER], **how)
    return guest


def started(guest):
    """Starts X and the client: (window, width, height)."""
    guest.start()
    width, height, depth = (int(word) for word in guest.x("/usr/bin/xprobe size").split())
    window = desk.window("xguest")
    wait_until("the window has the screen's size", lambda: desk.geometry(window)[2:] == (width, height))
    guest.x_behind("/usr/bin/xprobe pattern", "/tmp/keys")
    print("%dx%d, %d bits" % (width, height, depth), flush=True)
    return window, width, height


def shows(guest, window, width, height, timeout=30):
    """The client's picture is in the window; but for a pointer of 16x16."""
    want, end = reference(width, height), time.monotonic() + timeout
    while True:
        wrong = differing(desk.picture(window), want)
        if wrong <= 16 * 16:
            break
        if time.monotonic() > end:
            keep = os.environ.get("KEEP_PICTURES")
            if keep:
                with open(os.path.join(keep, "x11.ppm"), "wb") as f:
                    have = desk.picture(window)
                    f.write(b"P6\n%d %d\n255\n" % have[:2] + b"".join(have[2]))
            guest.fail("%d pixels of the window are wrong" % wrong)
        time.sleep(0.5)
    print("picture: %d of %d pixels differ (the pointer)" % (wrong, width * height), flush=True)


def types(guest, window):
    desk.focus(window)
    desk.tool("type", "--delay", 80, "aZ7?")
    desk.tool("key", "Return", "F5")
    want = ["key %x" % ord(c) for c in "aZ7?"] + ["key ff0d", "key ffc2"]

    def arrived():
        return [line for line in guest.run("cat /tmp/keys").split("\n") if line.startswith("key") and
                not line.startswith("key ffe")]  # without Shift's own
    end = time.monotonic() + 30
    while arrived() != want:
        if time.monotonic() > end:
            guest.fail("keys: %s" % arrived())
        time.sleep(0.2)
    print("keys arrive", flush=True)


def picture(*options, **how):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        guest = boot(directory, *options, **how)
        window, width, height = started(guest)
        shows(guest, window, width, height)
        types(guest, window)
        guest.kill()


def vesa():
    picture("-vga", "std", driver="vesa")


def modesetting():
    picture("-vga", "std", driver="modesetting", kernel=["bochs"])


def cirrus():
    picture("-vga", "cirrus", driver="cirrus", depth=16, accel="EXA")


def vmware():
    picture("-vga", "vmware", driver="vmware")


def pointer(*options, before=None, **how):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        guest = boot(directory, "-vga", "std", *options, driver="vesa", **how)
        if before:
            guest.run(before)
        window, width, height = started(guest)
        desk.focus(window)
        for x, y in ((width // 2, height // 2), (0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1), (1, 1),
                     (333, 222), (700, 501)):
            desk.tool("mousemove", "--window", window, x, y)
            end = time.monotonic() + 20
            while True:
                there = tuple(int(word) for word in guest.x("/usr/bin/xprobe pointer").split())
                if max(abs(there[0] - x), abs(there[1] - y)) <= 1:
                    break
                if time.monotonic() > end:
                    guest.fail("the pointer is at %s instead of %s" % (there, (x, y)))
                time.sleep(0.1)
            print("%4d %4d: %4d %4d" % (x, y, *there), flush=True)
        guest.kill()


def vmmouse():
    # Debian 12 has no X driver for it, and its kernel's wants VMware's or KVM's CPUID: a program asks the port and says what it hears
    # to the kernel.
    pointer(pointer="vmmoused", before="(chroot /x /usr/bin/vmmoused >/tmp/vmmoused 2>&1 </dev/null &); sleep 1")


def usb_tablet():
    pointer("-usb", "-device", "usb-tablet", pointer="USB Tablet")


def virtio_tablet():
    pointer("-device", "virtio-tablet-pci", pointer="Virtio Tablet")


CASES = {"vesa": vesa, "modesetting": modesetting, "cirrus": cirrus, "vmware": vmware, "vmmouse": vmmouse, "usb-tablet": usb_tablet,
         "virtio-tablet": virtio_tablet}


def test():
    global desk
    if not desktop.is_there() or not xguest.is_there():
        print("skipped: needs %s, mke2fs, and the guest cache (tests/tools/guests.sh fetch)" % ", ".join(desktop.TOOLS))
        sys.exit(77)
    desk = desktop.Desktop()
    for name in sys.argv[5:] or CASES:
        CASES[name]()
        print("OK: %s" % name, flush=True)
    desk.close()


main(test)
