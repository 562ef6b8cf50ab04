#!/usr/bin/env python3
"""What guests look like in the window.

    pictures.py RINGER MODES CASE...
    pictures.py RINGER MODES --update CASE...     writes the references anew

Cases: grub installer tux (pictures of others' programs: the mean colours of 32x20 cells, in pictures.txt); modes (our own program
MODES draws through all ways into the VGA's memory: every pixel is compared). Status 77, a skip, without Xvfb, xdotool and
ImageMagick, or without the guest.
"""
import os
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import desktop  # noqa: E402
import initrd  # noqa: E402
from guest import main  # noqa: E402
from screen import Screen  # noqa: E402

RINGER, MODES = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
REFERENCES = os.path.join(HERE, "pictures.txt")
COLUMNS, ROWS = 32, 20
# A cell differs if a mean is farther away than this (a reference is a multiple of 17, so 8 of it are nothing).
NEAR, MOST = 16, 6


class Absent(Exception):
    """A guest that is not there."""


def cached(*names):
    paths = [os.path.join(initrd.CACHE, name) for name in names]
    for path in paths:
        if not os.path.exists(path):
            raise Absent(path)
    return paths if len(paths) > 1 else paths[0]


def start(*options):
    screen = Screen([RINGER, "-display", "sdl,show-menubar=off", "-serial", "none", "-nic", "none", "-name", "picture"] + list(options))
    window = desk.window("picture")
    if not window:
        screen.fail("no window")
    return screen, window


def cells(picture):
    """Mean colours: ROWS lists of COLUMNS (red, green, blue)."""
    width, height, rows = picture
    grid = []
    for r in range(ROWS):
        band = rows[r * height // ROWS:(r + 1) * height // ROWS]
        line = []
        for c in range(COLUMNS):
            left, right = c * width // COLUMNS, (c + 1) * width // COLUMNS
            part = b"".join(row[3 * left:3 * right] for row in band)
            line.append(tuple(sum(part[i::3]) / (len(part) // 3) for i in range(3)))
        grid.append(line)
    return grid


def references():
    """name -> (size, cells)."""
    found = {}
    if os.path.exists(REFERENCES):
        with open(REFERENCES, encoding="ascii") as f:
            for block in f.read().split("\n\n")[1:]:
                head, *lines = block.strip().split("\n")
                name, size = head.split()
                found[name] = (size, [[tuple(int(digit, 16) * 17 for digit in line[c:c + 3]) for c in range(0, len(line), 3)]
                                      for line in lines])
    return found


def write(found):
    with open(REFERENCES, "w", encoding="ascii") as f:
        f.write("Mean colours of %dx%d cells, one digit each for red, green, blue. Written by pictures.py --update.\n" %
                (COLUMNS, ROWS))
        for name, (size, grid) in sorted(found.items()):
            f.write("\n%s %s\n" % (name, size))
            for line in grid:
                f.write("".join("%x" % round(v / 17) for cell in line for v in cell) + "\n")


def wrong_cells(grid, want):
    return [(c, r) for r in range(len(want)) for c in range(COLUMNS)
            if max(abs(a - b) for a, b in zip(grid[r][c], want[r][c])) > NEAR]


def looks_like(name, screen, window, rows=ROWS, timeout=60):
    """The window shows the reference, or its first rows, within a minute."""
    end = time.monotonic() + timeout
    if update:
        time.sleep(3)
        have = desk.picture(window)
        write(dict(references(), **{name: ("%dx%d" % have[:2], cells(have)[:rows])}))
        return
    size, want = references()[name]
    while True:
        have = desk.picture(window)
        wrong = wrong_cells(cells(have), want) if "%dx%d" % have[:2] == size else None
        if wrong is not None and len(wrong) <= MOST:
            break
        if time.monotonic() > end:
            keep = os.environ.get("KEEP_PICTURES")
            if keep:
                with open(os.path.join(keep, name + ".ppm"), "wb") as f:
                    f.write(b"P6\n%d %d\n255\n" % have[:2] + b"".join(have[2]))
            screen.fail("%s: %dx%d instead of %s, wrong cells: %s" % (name, *have[:2], size, wrong))
        time.sleep(1)
    print("%s: %s, %d of %d cells differ" % (name, size, len(wrong), COLUMNS * len(want)), flush=True)


def grub():
    screen, window = start("-fda", cached("grub-rescue-floppy.img"), "-snapshot")
    screen.expect("The highlighted entry will be executed")
    screen.key("down")  # the countdown ends
    looks_like("grub", screen, window)
    screen.kill()


def installer():
    kernel, image = cached("installer-linux", "installer-initrd.gz")
    screen, window = start("-m", "512", "-kernel", kernel, "-initrd", image, "-append", "fb=false nomodeset")
    screen.expect("Select a language", timeout=600)
    screen.expect("English", timeout=30)
    looks_like("installer", screen, window)
    screen.kill()


def tux():
    """Debian's kernels have no penguin; the one that is built for virtual-8086 mode has. In a frame buffer of the video BIOS's."""
    kernel, image, config = cached("vm86/bzImage", "initrd.gz", "vm86/config")
    with open(config, encoding="ascii") as f:
        if "CONFIG_LOGO_LINUX_CLUT224=y" not in f.read():
            raise Absent("a kernel with a penguin: %s was built before it had one" % kernel)
    screen, window = start("-m", "256", "-kernel", kernel, "-initrd", image, "-append", "vga=0x317 console=tty0 loglevel=5")
    looks_like("tux", screen, window, 2)  # what stands below it is another text each time
    # Its belly, its feet, what is around it; and no second one.
    rows = desk.picture(window)[2]
    at = {(x, y): tuple(rows[y][3 * x:3 * x + 3]) for x, y in ((40, 50), (14, 66), (66, 68), (4, 6), (76, 6), (110, 50))}
    for x, y, low, high in ((40, 50, (200, 200, 200), (255, 255, 255)), (14, 66, (180, 120, 0), (255, 230, 80)),
                            (66, 68, (180, 120, 0), (255, 230, 80)), (4, 6, (0, 0, 0), (8, 8, 8)), (76, 6, (0, 0, 0), (8, 8, 8)),
                            (110, 50, (0, 0, 0), (8, 8, 8))):
        if not all(a <= v <= b for a, v, b in zip(low, at[x, y], high)):
            screen.fail("tux: %s at %d, %d" % (at[x, y], x, y))
    screen.kill()


# --- Our own program ---

def colour(index):
    """As the program's palette has it: six bits, of which eight are made."""
    return bytes(v << 2 | v >> 4 for v in ((index & 7) * 9, (index >> 3 & 7) * 9, (index >> 6) * 21))


def linear():
    return [[x + 3 * y & 255 for x in range(320)] for y in range(200)]


def unchained():
    rows = []
    for y in range(240):
        if y < 80:
            row = [x * 3 + y & 255 for x in range(320)]
        elif y < 120:
            row = [x // 4 + y & 255 for x in range(320)]
        elif y < 160:
            row = list(rows[y - 120])
        elif y < 200:
            row = [(y + 17 if x % 4 < 2 else y * 2) & 255 for x in range(320)]
        else:
            row = [y + (x // 4 & ~3) + x % 4 * 64 & 255 for x in range(320)]
        rows.append(row)
    return rows


def planar():
    rows = []
    for y in range(480):
        row = []
        for x in range(640):
            byte, bit = x // 8, 7 - x % 8
            if y < 80:
                value = sum((byte * 37 + y * 11 + plane * 59 >> bit & 1) << plane for plane in range(4))
            elif y < 160:
                value = x // 3 + y & 15
            elif y < 240:
                value = (~y if 0x3c >> bit & 1 else y) & 15
            elif y < 320:
                value = rows[y - 240][x]
            elif y < 400:
                data = byte + y & 255
                value = 10 if (data >> 1 | data << 7) >> bit & 1 else 5
            else:
                value = 9 ^ (y & 15 if byte * 5 + y >> bit & 1 else 0)
            row.append(value)
        rows.append(row)
    return rows


def total(values):
    """As the program sums up what it reads."""
    result = 0
    for value in values:
        result = result * 31 + value & 0xffffffff
    return result


def read_back(name, rows):
    if name == "13h":
        return total(v for row in rows for v in row)
    if name == "X":
        return total(row[x] for plane in range(4) for row in rows for x in range(plane, 320, 4))
    return total(sum((row[x + i] & 7 == 7) << 7 - i for i in range(8)) for row in rows for x in range(0, 640, 8))


def modes():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        screen, window = start("-fda", MODES, "-snapshot", "-boot", "a", "-debugcon", "file:" + out, "-device",
                               "isa-debug-exit,iobase=0xf4,iosize=4")

        def said(text):
            end = time.monotonic() + 120
            while True:
                lines = open(out, encoding="ascii").read().split("\n") if os.path.exists(out) else []
                if text in lines:
                    return lines
                if time.monotonic() > end or (screen.process.poll() is not None and text != "done"):
                    screen.fail("no '%s' but %s" % (text, lines))
                time.sleep(0.05)
        for name, draw in (("13h", linear), ("X", unchained), ("12h", planar)):
            want = draw()
            lines = said("screen " + name)
            sums = [line.split()[2] for line in lines if line.startswith("read %s " % name)]
            if sums != ["%08x" % read_back(name, want)]:
                screen.fail("%s: read back %s instead of %08x" % (name, sums, read_back(name, want)))
            rows = [b"".join(colour(v) for v in row) for row in want]
            size = len(want[0]), len(want)
            scale, end = desk.geometry(window)[2] // size[0], time.monotonic() + 30
            while True:
                have = desk.picture(window)
                scale = max(1, have[0] // size[0])
                wrong = compare(have, desktop.scaled((size[0], size[1], rows), scale))
                if not wrong:
                    break
                if time.monotonic() > end:
                    keep = os.environ.get("KEEP_PICTURES")
                    if keep:
                        with open(os.path.join(keep, name + ".ppm"), "wb") as f:
                            f.write(b"P6\n%d %d\n255\n" % have[:2] + b"".join(have[2]))
                    screen.fail("%s: %s" % (name, wrong))
                time.sleep(0.5)
            print("%s: %dx%d, each pixel" % (name, *size), flush=True)
            screen.key("a")
        said("done")
        screen.kill()


def compare(have, want):
    """What is wrong, or None."""
    if have[:2] != want[:2]:
        return "%dx%d instead of %dx%d" % (have[:2] + want[:2])
    wrong = [(x, y) for y, (a, b) in enumerate(zip(have[2], want[2])) if a != b
             for x in range(have[0]) if a[3 * x:3 * x + 3] != b[3 * x:3 * x + 3]]
    return "%d pixels, the first at %s" % (len(wrong), wrong[:3]) if wrong else None


CASES = {"grub": grub, "installer": installer, "tux": tux, "modes": modes}


def test():
    global desk, update
    names = sys.argv[3:]
    update = "--update" in names
    if not desktop.is_there():
        print("skipped: needs %s" % ", ".join(desktop.TOOLS))
        sys.exit(77)
    desk, skipped = desktop.Desktop(), 0
    for name in [name for name in names if name != "--update"] or CASES:
        try:
            CASES[name]()
            print("OK: %s" % name, flush=True)
        except Absent as e:
            skipped += 1
            print("skipped: %s needs %s (tests/tools/guests.sh fetch, vm86)" % (name, e), flush=True)
    desk.close()
    if skipped:
        sys.exit(77)


if __name__ == "__main__":
    main(test)
