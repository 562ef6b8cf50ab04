#!/usr/bin/env python3
"""Boot media of other people, through the BIOS: GRUB's rescue floppy and CD, memtest86+, iPXE; the boot menu.

usage: media.py RINGER ENGINE BIOS CASE...

BIOS is ours, or seabios (Debian's package; status 77, a skip, where it is missing).
Cases: grub-isapc grub-floppy grub-cd grub-disk memtest ipxe menu order nothing
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from guest import GuestError, main  # noqa: E402
from screen import Screen  # noqa: E402

SKIP = 77
RINGER, ENGINE, BIOS = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
SEABIOS = "/usr/share/seabios/"
CACHE = subprocess.run(["sh", os.path.join(HERE, "../tools/guests.sh"), "dir"], stdout=subprocess.PIPE, text=True,
                       check=True).stdout.strip()


def medium(name):
    path = os.path.join(CACHE, name)
    if not os.path.exists(path):
        print("skipped: %s is not there; fill the cache with tests/tools/guests.sh fetch" % path)
        sys.exit(SKIP)
    return path


def start(*options):
    command = [RINGER, "-accel", ENGINE, "-display", "none", "-serial", "none"] + list(options)
    if BIOS == "seabios":
        if not os.path.exists(SEABIOS + "bios.bin"):
            print("skipped: package seabios is not installed")
            sys.exit(SKIP)
        command += ["-bios", SEABIOS + "bios.bin", "-global", "VGA.romfile=" + SEABIOS + "vgabios-stdvga.bin"]
    return Screen(command)


def grub(screen, drive):
    """From the menu to the prompt, and commands there; drive is GRUB's name of what it started from."""
    screen.expect("GNU GRUB")
    screen.expect("The highlighted entry will be executed")
    screen.key("c")
    screen.expect("grub>")
    screen.command("type echo at-$root\\n")
    screen.expect("at-" + drive)
    screen.command("type lsmmap\\n")
    screen.expect("available RAM", "Type = RAM")
    screen.command("quit")


def grub_isapc():
    """The same on a board without PCI: from a floppy, and from a CD by programmed I/O."""
    grub(start("-M", "isapc", "-cpu", "pentium", "-fda", medium("grub-rescue-floppy.img"), "-boot", "a", "-snapshot"), "fd0")
    grub(start("-M", "isapc", "-cpu", "pentium", "-cdrom", medium("grub-rescue-cdrom.iso"), "-boot", "d"), "hd96")


def grub_floppy():
    grub(start("-fda", medium("grub-rescue-floppy.img"), "-boot", "a", "-snapshot"), "fd0")


def grub_cd():
    grub(start("-cdrom", medium("grub-rescue-cdrom.iso"), "-boot", "d"), "hd96")


def grub_disk():
    # The rescue CD is a hybrid: it has a boot sector for disks, too.
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "disk.img")
        shutil.copy(medium("grub-rescue-cdrom.iso"), path)
        grub(start("-drive", "file=%s,format=raw" % path), "hd0")


def memtest():
    screen = start("-m", "64", "-cdrom", medium("memtest86+ia32.iso"), "-boot", "d")
    screen.expect("Memtest86+")
    found = screen.expect("Pass:  1", "Errors: 1", "Unexpected", timeout=900)
    text = screen.text()
    if found != "Pass:  1" or "Errors: 0" not in text:
        screen.fail("memtest86+ is not content")
    screen.command("quit")


def ipxe():
    screen = start("-cdrom", medium("ipxe.iso"), "-boot", "d")
    # No network card: the way to the shell is Ctrl-B while it waits.
    screen.expect("iPXE initialising devices")
    screen.expect("Press Ctrl-B", "No more network devices", "iPXE>")
    if "iPXE>" not in screen.text():
        screen.key("ctrl-b")
    screen.expect("iPXE>", timeout=30)
    screen.command("type help\\n")
    screen.expect("ifstat", "config", "exit")
    screen.command("quit")


def menu():
    screen = start("-fda", medium("grub-rescue-floppy.img"), "-cdrom", medium("grub-rescue-cdrom.iso"), "-snapshot", "-S")
    text = screen.boot_menu()
    if "1. " not in text or "floppy" not in text or "CD " not in text:
        screen.fail("the menu does not have both drives")
    number = next(line.strip()[0] for line in text.splitlines() if ". CD " in line)
    screen.key(number)
    screen.expect("Booting from CD")
    grub(screen, "hd96")


def order():
    screen = start("-fda", medium("grub-rescue-floppy.img"), "-cdrom", medium("grub-rescue-cdrom.iso"), "-snapshot",
                   "-boot", "da")
    grub(screen, "hd96")


def nothing():
    screen = start("-boot", "c")
    screen.expect("No bootable device")
    screen.key("a")
    screen.expect("No bootable device")
    screen.command("quit")


CASES = {"grub-isapc": grub_isapc, "grub-floppy": grub_floppy, "grub-cd": grub_cd, "grub-disk": grub_disk, "memtest": memtest, "ipxe": ipxe,
         "menu": menu, "order": order, "nothing": nothing}


def run():
    for name in sys.argv[4:]:
        if name not in CASES:
            raise GuestError("no case '%s'" % name)
        CASES[name]()
        print("ok - %s" % name, flush=True)


if __name__ == "__main__":
    main(run)
