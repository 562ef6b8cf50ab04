#!/usr/bin/env python3
"""A graphics card: a guest draws on it by its registers, commands and memory (cirrus.c, svga.c), or in all modes of the
video BIOS's ROM, which QEMU's card gets as well (std.c, on a floppy disk). Video memory and pictures must be what they are
on QEMU's card, pixel by pixel but for what is listed in DIFFERENT with a reason, and what they are when the machine is saved
and loaded at random moments (MOVER, tests/state).

usage: cards.py RINGER IMAGE MOVER CARD ROM [ENGINE...]     without qemu-system-i386 the engines are compared with each other
"""
import concurrent.futures
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import GuestError  # noqa: E402
import vgarom  # noqa: E402
from screen import Screen  # noqa: E402

RINGER, IMAGE, MOVER = (os.path.abspath(arg) for arg in sys.argv[1:4])
CARD, ROM = sys.argv[4:6]
ENGINES = sys.argv[6:] or ["interp", "bt"]
IS_FLOPPY = IMAGE.endswith(".img")
QEMU = shutil.which("qemu-system-i386")
LIMIT = 240
# QEMU's Cirrus takes these two for each other: NOR and NAND. The manual's table has each code's halves the other way round
# where the source is inverted (05 and 50, 0D and D0), so 90 is to 09 (S and not D) what 50 is to 05.
EXCUSED = {"cirrus": r"rop=(90|da) "}
# Lines that only our card has.
MORE = {"virtio": r"(vbe |screen vbe)189\b"}  # 1920x1200 of 32 bits: QEMU's has 8 MiB for the VGA
failures = 0


def report(name, problems):
    global failures
    failures += bool(problems)
    print(f"{'not ok' if problems else 'ok'} - {name}")
    for line in problems[:20]:
        print(f"# {line}")


def boot(machine_is_ours):
    if not IS_FLOPPY:
        return ["-kernel", IMAGE]
    return ["-drive", "if=floppy,format=raw,snapshot=on,file=" + IMAGE] if not machine_is_ours else \
        ["-fda", IMAGE, "-snapshot"]


def dumps(machine, path, flashes):
    """What the screen shows: a picture, or two if it flashes."""
    found, end = [], time.monotonic() + 2
    for count in range(1000):
        machine.command("screendump " + path)
        with open(path, "rb") as file:
            picture = Picture.read(file.read())
        if picture not in found:
            found.append(picture)
        if not flashes or len(found) == 2 or (count >= 20 and time.monotonic() > end):
            break
        time.sleep(0.05)
    return sorted(found, key=lambda picture: picture.data)


def run(name, command, directory, ours=True):
    """The guest's lines and its screens' pictures."""
    out = os.path.join(directory, name)
    card = vgarom.options(CARD, ROM, directory) if IS_FLOPPY and not ours else ["-vga", CARD]
    machine = Screen(command + card + boot(ours) + ["-m", "32", "-display", "none", "-net", "none", "-serial", "none",
                                                    "-debugcon", "file:" + out, "-device",
                                                    "isa-debug-exit,iobase=0xf4,iosize=4"])
    end, lines, pictures, seen = time.monotonic() + LIMIT, [], {}, 0
    while machine.process.poll() is None:
        if time.monotonic() > end:
            machine.fail(f"{name}: did not end; last {lines[-1:]}")
        time.sleep(0.01)
        if os.path.exists(out):
            with open(out, encoding="ascii") as file:
                lines = file.read().split("\n")[:-1]
        for line in lines[seen:]:
            if line.startswith("screen "):
                pictures[line[7:]] = dumps(machine, os.path.join(directory, name + ".ppm"), line.startswith("screen flash"))
                machine.command("sendkey a 1")
        seen = len(lines)
    with open(out, encoding="ascii") as file:
        lines = file.read().split("\n")[:-1]
    report(f"{name} runs", [] if lines and lines[-1] == "done" else [f"the last line is {lines[-1:]}"])
    return lines, pictures


class Picture:
    """Rows of red, green, blue."""

    def __init__(self, width, height, data):
        self.width, self.height, self.data = width, height, data

    @staticmethod
    def read(ppm):
        head, data = ppm.split(b"\n255\n", 1)
        return Picture(*(int(number) for number in head.split()[1:3]), data)

    @staticmethod
    def of(rows):
        return Picture(len(rows[0]) // 3, len(rows), b"".join(rows))

    def rows(self):
        return [self.data[3 * self.width * y:3 * self.width * (y + 1)] for y in range(self.height)]

    def __eq__(self, other):
        return (self.width, self.height, self.data) == (other.width, other.height, other.data)

    def __repr__(self):
        return f"{self.width}x{self.height}"


# --- How colours of fewer bits become eight: full is full. QEMU leaves zeros below, or repeats the last bit. ---

SIX = bytes(v >> 2 << 2 | v >> 6 for v in range(256))
FIVE = bytes(v >> 3 << 3 | v >> 5 for v in range(256))


# cirrus.c's: six bits in a picture of any depth.
CURSORS = [bytes((0x3d, 0x13, 0x05)), bytes((0x02, 0x3e, 0x2b))]


def whole(screen, picture, screens):
    if CARD == "vmware" and not IS_FLOPPY or "dac8" in screen:
        return picture
    data = bytearray(picture.data)
    if not re.search(r"x(24|32)\b", screen):
        tables = (FIVE, FIVE, FIVE) if re.search(r"x15\b", screen) else (FIVE, SIX, FIVE) if re.search(r"x16\b", screen) \
            else (SIX, SIX, SIX)
        for gun, table in enumerate(tables):
            data[gun::3] = data[gun::3].translate(table)
    for colour in CURSORS if "cursor" in screen and CARD == "cirrus" else []:
        theirs, full = (bytes(f(v) for v in colour) for f in (lambda v: v << 2 | (v & 1) * 3, lambda v: v << 2 | v >> 4))
        without = screens[screen.replace("-cursor", "")][0].data
        at = picture.data.find(theirs)
        while at >= 0:
            if at % 3 == 0 and without[at:at + 3] != theirs:
                data[at:at + 3] = full
            at = picture.data.find(theirs, at + 1)
    return Picture(picture.width, picture.height, bytes(data))


# --- Where QEMU's card is not what the manuals say: what is to be seen, made of other pictures of QEMU's ---

def doubled(picture):
    """Each dot twice."""
    return Picture.of([b"".join(row[at:at + 3] * 2 for at in range(0, len(row), 3)) for row in picture.rows()])


def line_doubled(picture):
    """The upper half, each line twice."""
    return Picture.of([row for row in picture.rows()[:picture.height // 2] for _ in range(2)])


def beside(left, right, dots, character):
    """A picture that begins some dots later: its end is in the picture that begins a character later."""
    return Picture.of([a[3 * dots:] + b[len(b) - 3 * character:len(b) - 3 * (character - dots)]
                       for a, b in zip(left.rows(), right.rows())])


def above(upper, lower, lines):
    return Picture.of(upper.rows()[:lines] + lower.rows()[:upper.height - lines])


def panned(theirs, name, first):
    dots, character = (5, 9) if name == "text03" else (8, 16) if name == "planes0d" else (4, 8)
    return beside(theirs[f"{name}-start{first}"][0], theirs[f"{name}-start{first + 1}"][0], dots, character)


VGA = "IBM PS/2 Hardware Technical Reference, Video Subsystem: "
# Screen, what is to be seen instead of QEMU's picture (of QEMU's pictures and the match), why.
DIFFERENT = [
    (r"narrow0[01]200|text0[237]200", lambda theirs, m: [line_doubled(theirs[m[0]][0])],
     VGA + "CRTC, Maximum Scan Line, bit 7: 200 lines are shown as 400. QEMU does it in graphics modes only"),
    (r"text(0[01])200", lambda theirs, m: [doubled(line_doubled(theirs[f"narrow{m[1]}200"][0]))],
     VGA + "Sequencer, Clocking Mode, bits 0 and 3 (the dot clock's half does not make characters eight dots wide); the same"),
    (r"text(0[01])400", lambda theirs, m: [doubled(theirs[f"narrow{m[1]}400"][0])],
     VGA + "Sequencer, Clocking Mode, bits 0 and 3: the dot clock's half does not make characters eight dots wide"),
    (r"ninth04", lambda theirs, m: [Picture.of(theirs["ninth04"][0].rows()[:192] + theirs["ninth00"][0].rows()[192:])],
     VGA + "Attribute Controller, Mode Control, bit 2: characters C0h to DFh, while QEMU begins with B0h"),
    (r"flash blink03", lambda theirs, m: sorted(theirs["blink03-on"] + theirs["blink03-off"], key=lambda p: p.data),
     VGA + "Attribute Controller, Mode Control, bit 3: attribute bit 7 blinks, while QEMU's background has eight more colours"),
    (r"underline07", lambda theirs, m: theirs["underline07-font"],
     VGA + "CRTC, Underline Location. QEMU draws none"),
    (r"text03-split199", lambda theirs, m: [above(theirs["text03-start16"][0], theirs["text03-start0"][0], 200)],
     VGA + "CRTC, Line Compare. QEMU splits no text"),
    (r"text03-row5", lambda theirs, m: [Picture.of(theirs["text03-start16"][0].rows()[5:] +
                                                   theirs["text03-start96"][0].rows()[-16:-11])],
     VGA + "CRTC, Preset Row Scan. QEMU leaves it out"),
    (r"(.*)-pan4", lambda theirs, m: [panned(theirs, m[1], 16)],
     VGA + "Attribute Controller, Horizontal PEL Panning. QEMU leaves it out"),
    (r"(.*)-pan4-split199", lambda theirs, m: [above(panned(theirs, m[1], 16), panned(theirs, m[1], 0), 200)],
     "the same; in text, the same as without panning"),
    (r"(.*)-pan4-split199-pas", lambda theirs, m: [above(panned(theirs, m[1], 16), theirs[m[1] + "-start0"][0], 200)],
     VGA + "Attribute Controller, Mode Control, bit 5"),
    (r"linear13-mask", lambda theirs, m: theirs["linear13-masked"],
     VGA + "DAC, PEL Mask 3C6h. QEMU has none"),
    (r"(odd-even|chained)(04|13)", lambda theirs, m: theirs[f"{m[1]}-apart{m[2]}"],
     VGA + "Graphics Controller, Mode; Sequencer, Memory Mode: both choose planes, and what the data path does to a byte (write "
     "mode, set/reset, function, bit mask, latches) stays. QEMU stores the byte as it comes"),
    (r"vbe(\d+) (.*)x4", lambda theirs, m: theirs[f"vbe{int(m[1], 16) + 1:x} {m[2]}x8-as-planes"],
     "VBE 3.0, 4.2: memory model 3, planes. QEMU's card in DISPI modes has another sequencer, which the guest's map mask and "
     "memory mode do not reach, so planes are not to be had"),
]
if CARD == "vmware" and not IS_FLOPPY:
    DIFFERENT = [(r".*-cursor", lambda theirs, m: theirs[m[0] + "-drawn"],
                  "VMware SVGA Device Developer Kit, svga_reg.h: SVGA_CAP_CURSOR, SVGA_CAP_ALPHA_CURSOR. QEMU leaves its cursor to "
                  "the host's pointer, so the guest draws it, too")]
# The same of lines: the beginning, and how the reference's begins.
LINES = [(r"(odd-even|chained) (.*):", r"\1-apart \2:"),
         (r"vbe (102|104|106):", lambda m: f"vbe-as-planes {int(m[1], 16) + 1:x}:")]


def reference(name, lines):
    """The line that one with this beginning has to be equal to behind it."""
    for pattern, to in LINES:
        if re.fullmatch(pattern, name):
            name = re.sub(pattern, to, name)
    return next((line[len(name):] for line in lines if line.startswith(name)), None)


def as_manuals(screen, theirs):
    for pattern, make, _ in DIFFERENT:
        match = re.fullmatch(pattern, screen)
        if match:
            return make(theirs, match)
    return theirs[screen]


def compare_pictures(ours, theirs):
    problems = []
    for screen in theirs:
        have, want = ours.get(screen, []), as_manuals(screen, theirs)
        if have != want:
            different = [sum(a[at:at + 3] != b[at:at + 3] for at in range(0, len(b), 3))
                         for a, b in zip((p.data for p in have), (p.data for p in want))]
            problems.append(f"{screen}: {have}, not {want}; pixels that differ: {different}")
    return problems


def compare(name, have, want, excused=r"^$", is_qemu=False):
    problems, lines = [], have[0]
    if is_qemu and CARD in MORE:
        lines = [line for line in lines if not re.match(MORE[CARD], line)]
    if len(lines) != len(want[0]):
        problems.append(f"{len(lines)} lines, {len(want[0])} expected")
    for a, b in zip(lines, want[0]):
        start = a.split(":")[0] + ":"
        if is_qemu and a != b and any(re.fullmatch(pattern, start) for pattern, _ in LINES):
            b = start + str(reference(start, want[0]))
        if a != b and not re.search(excused, a):
            problems += ["have " + a, "want " + b]
    theirs = want[1]
    if is_qemu:
        theirs = {screen: sorted((whole(screen, picture, want[1]) for picture in pictures), key=lambda p: p.data)
                  for screen, pictures in theirs.items()}
        report(name + ": pictures", compare_pictures(have[1], theirs))
    else:
        problems += [f"{screen}: {have[1].get(screen)}, not {theirs[screen]}" for screen in theirs
                     if have[1].get(screen) != theirs[screen]]
    report(name, problems)


def moved(engine):
    """The lines before the pictures, of a machine that goes from process to process meanwhile."""
    seed = random.randrange(1 << 30)
    options = boot(True) + (["-boot", "a"] if IS_FLOPPY else ["-append", "unseen"])
    result = subprocess.run([MOVER, "100", str(seed), "20", "-accel", engine, "-vga", CARD, "-m", "32"] + options +
                            ["-display", "none", "-serial", "null", "-no-reboot", "-debugcon", "stdio", "-device",
                             "isa-debug-exit,iobase=0xf4", "-sandbox", "off"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=LIMIT, check=False)
    print(f"# moved with seed {seed}")
    return result.stdout.split("\n")[:-1], {}


def main():
    with tempfile.TemporaryDirectory() as directory, concurrent.futures.ThreadPoolExecutor() as pool:
        qemu = pool.submit(run, "qemu", [QEMU], directory, False) if QEMU else None
        ours = {engine: run(engine, [RINGER, "-accel", engine], directory) for engine in ENGINES}
        for engine in ENGINES[1:]:
            compare(f"{engine} as {ENGINES[0]}", ours[engine], ours[ENGINES[0]])
        lines = [line for line in ours[ENGINES[-1]][0] if not line.startswith("screen ")]
        compare("moved as not moved", moved(ENGINES[-1]), (lines, {}))
        if not QEMU:
            print("ok - # SKIP no qemu-system-i386")
            return
        compare("as QEMU's card", ours[ENGINES[0]], qemu.result(), EXCUSED.get(CARD, r"^$"), True)


try:
    main()
except GuestError as e:
    report("machine", str(e).splitlines())
sys.exit(failures != 0)
