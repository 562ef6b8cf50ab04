#!/usr/bin/env python3
"""The video BIOS: a guest calls INT 10h and prints what can be seen of it. The same lines must come from ringer's engines,
and from QEMU with our ROM; QEMU's own video BIOS is the reference, but for what is listed here with a reason.

usage: bios.py RINGER IMAGE CARD ROM [ENGINE...]    without qemu-system-i386 only the engines are compared with each other

CARD is std, cirrus or vmware.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import vgarom  # noqa: E402

RINGER, IMAGE, ROM = (os.path.abspath(sys.argv[n]) for n in (1, 2, 4))
CARD = sys.argv[3]
ENGINES = sys.argv[5:] or ["interp", "bt"]
QEMU = shutil.which("qemu-system-i386")
SEABIOS = "/usr/share/seabios/bios-256k.bin"
# What QEMU's card has.
SEAVGABIOS = "/usr/share/seabios/" + {"std": "vgabios-stdvga.bin", "cirrus": "vgabios-cirrus.bin", "vmware": "vgabios-vmware.bin",
                                    "virtio": "vgabios-virtio.bin"}[CARD]
LIMIT = 120
failures = 0

# Where the machine, not the video BIOS, makes the difference: line, what, why.
MACHINE = [
    (r"1019", r"bx=\w+", "QEMU's card has no DAC mask at 3C6h"),
    (r"4f01 .*", r" lfb=\w+", "the frame buffer is where the system BIOS puts it"),
]
if CARD == "cirrus":
    MACHINE += [(r"4f02 .*", r" dispi=\w+", "it has no DISPI, and QEMU zeros there")]
# Where we differ from QEMU's video BIOS on purpose.
REFERENCE = MACHINE + [
    (r".*", r"(?<=d403|b403)\w{4}(?=\.)", "CGA mode and palette registers in the BIOS data area: it leaves them zero"),
    (r"mode (07|0d|0f|11)", r".*", "its tables for these modes are not IBM's (640 wide CRTC in mode Dh, attributes)"),
    (r"0b0.", r"attr=\w+", "the border follows the background, as on the CGA"),
    (r"1111", r"crtc=\w+", "28 rows of 14 lines end on line 392"),
    (r"1210", r"cx=\w+", "feature bits"),
    (r"1230 (350|200)", r".*", "it does not switch scan lines"),
    (r"1236", r".*", "it does not turn the picture off"),
    (r"1b00", r".*", "rows are counted from 1; other static functions"),
    (r"1c02", r"misc=\w+", "it forgets the miscellaneous output register"),
    (r"4f0a", r".*", "it has no protected-mode interface"),
    (r"4f09", r".*", "we keep the 6 bits that function 08h chose"),
]
if CARD == "cirrus":
    REFERENCE += [
        (r"4f00", r"found=\w+", "we have more modes: 640x400, 1280x1024 of 24 bits, two of 32 bits"),
        (r"4f01 (100|11b|142|143|144)", r".*", "the same"),
        (r"4f01 .*", r"window=\w+", "its banks are of 16 KiB"),
        (r"4f02 .*", r" x=.*", "it divides the start address otherwise"),
        (r"4f08", r".*", "it sets a DAC of 8 bits that the card has not"),
        (r"own .*", r"first=\w+", "it clears the screen with ones"),
    ]

# SeaVGABIOS 1.16 computes these from its tables through DS, which is not its own segment: what comes out depends on RAM.
GARBAGE = MACHINE + [
    (r"mode 0d", r"attr=\w+", "its mode Dh has no attribute table"),
    (r"1b00", r"static=\w+", "the list of modes"),
]

PROTECTED = "4f0a: ax=004f window=004f bank=0003 start=004f x=0008 y=000a palette=004f 302010312111"


def report(name, problems):
    global failures
    failures += bool(problems)
    print(f"{'not ok' if problems else 'ok'} - {name}")
    for line in problems:
        print(f"# {line}")


def run(name, command, directory):
    """The lines that the guest printed."""
    out = os.path.join(directory, name)
    image = os.path.join(directory, name + ".img")
    shutil.copyfile(IMAGE, image)
    command = command + ["-display", "none", "-m", "32", "-boot", "a", "-debugcon", "file:" + out, "-device",
                         "isa-debug-exit,iobase=0xf4,iosize=4"]
    if command[0] == RINGER:
        command += ["-fda", image]
    else:
        command += ["-drive", "if=floppy,format=raw,file=" + image, "-net", "none"]
    problems = []
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
        if result.returncode != 33:
            problems.append(f"status {result.returncode}: {result.stderr.decode(errors='replace')[-300:]}")
    except subprocess.TimeoutExpired:
        problems.append("did not end")
    lines = []
    if os.path.exists(out):
        with open(out, encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    if not lines or lines[-1] != "done":
        problems.append(f"the guest did not finish: {lines[-1:]}")
    report(f"{name} runs", problems)
    return lines


def plain(line, excuses):
    name = line.split(":")[0]
    for where, what, _ in excuses:
        if re.fullmatch(where, name):
            line = re.sub(what, "", line)
    return line


def compare(name, lines, reference, excuses):
    problems = []
    if len(lines) != len(reference):
        problems.append(f"{len(lines)} lines, {len(reference)} expected")
    for a, b in zip(lines, reference):
        if plain(a, excuses) != plain(b, excuses):
            problems += ["have " + a, "want " + b]
    report(name, problems)


def prefixes():
    """An X server runs the video BIOS in an emulator (x86emu) that forgets a segment or size that stands before REP."""
    with open(ROM, "rb") as f:
        rom = f.read()
    report("no prefix before REP", ["at %x: %s" % (m.start(), m.group().hex())
                                    for m in re.finditer(rb"[\x26\x2e\x36\x3e\x64\x65\x67]\xf3[\xa4\xa5\xaa\xab]", rom)])


def main():
    prefixes()
    with tempfile.TemporaryDirectory() as directory:
        ours = {engine: run(engine, [RINGER, "-vga", CARD, "-accel", engine], directory) for engine in ENGINES}
        for engine in ENGINES[1:]:
            compare(f"{engine} as {ENGINES[0]}", ours[engine], ours[ENGINES[0]], [])
        have = [line for line in ours[ENGINES[0]] if line.startswith("4f0a")]
        want = "4f0a: ax=014f" if CARD == "cirrus" else PROTECTED
        report("VBE in protected mode", [] if have == [want] else have + ["want " + want])
        if not QEMU:
            print("ok - # SKIP no qemu-system-i386")
            return
        with_rom = run("qemu", [QEMU] + vgarom.options(CARD, ROM, directory), directory)
        compare("as in QEMU with the same ROM", ours[ENGINES[0]], with_rom, MACHINE)
        theirs = run("qemu-own", [QEMU, "-vga", CARD], directory)
        compare("as QEMU's video BIOS", ours[ENGINES[0]], theirs, REFERENCE)
        if os.path.exists(SEABIOS) and os.path.exists(SEAVGABIOS):
            engine = ENGINES[-1]
            guests = run("seabios", [RINGER, "-vga", CARD, "-accel", engine, "-bios", SEABIOS, "-global",
                                     vgarom.DRIVER[CARD] + ".romfile=" + SEAVGABIOS], directory)
            compare("QEMU's video BIOS sees the same card here", guests, theirs, GARBAGE)


main()
sys.exit(failures != 0)
