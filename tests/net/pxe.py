#!/usr/bin/env python3
"""The BIOS boots from the network: the cards' ROMs (Debian's package ipxe-qemu), user networking's TFTP, and on it the
netboot tree of Debian's installer as the package has it.

    pxe.py RINGER ACCEL CASE...

Cases: a model of card, to the installer's first dialog; once, order, bootindex, menu, none: how the network is chosen.
Status 77, a skip, where the ROMs or the tree are missing.
"""
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import main  # noqa: E402
from initrd import CACHE  # noqa: E402
from netns import skip  # noqa: E402
from screen import Screen  # noqa: E402

RINGER, ACCEL, CASES = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
TREE = os.path.join(CACHE, "netboot")
ROMS = "/usr/lib/ipxe/qemu"
CARDS = ["e1000", "pcnet", "rtl8139", "virtio-net-pci", "ne2k_pci"]
SERVED = ["-netdev", "user,id=n0,tftp=%s,bootfile=/pxelinux.0" % TREE]
GRAPHICS = "the screen is in a graphics mode"
LIMIT = 900


def start(*options):
    return Screen([RINGER, "-accel", ACCEL, "-m", "512", "-display", "none", "-serial", "none"] + list(options))


def quit_guest(screen):
    screen.command("quit")
    screen.wait()


def wait_for_menu(screen):
    """pxelinux has loaded its menu, which is a picture: until it has not changed for some time."""
    screen.expect(GRAPHICS, timeout=LIMIT)
    with tempfile.TemporaryDirectory() as directory:
        path, before, since = os.path.join(directory, "screen.ppm"), b"", time.monotonic()
        while time.monotonic() - since < 2:
            screen.command("screendump " + path)
            with open(path, "rb") as f:
                now = f.read()
            if now != before or len(set(now[-30000:])) < 2 and GRAPHICS not in screen.text():
                before, since = now, time.monotonic()
            time.sleep(0.2)


def install(model):
    """The menu's first entry, with options for a dialog that can be read."""
    screen = start("-boot", "n", *SERVED, "-device", model + ",netdev=n0")
    screen.expect("Booting from network")
    wait_for_menu(screen)
    screen.key("tab")
    screen.type(" vga=normal fb=false nomodeset\n")
    screen.expect("Select a language", timeout=LIMIT)
    screen.expect("English", timeout=60)
    quit_guest(screen)


def once():
    """-boot once=n: the network, and after a reset what is next."""
    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(1 << 20)
        screen = start("-boot", "order=c,once=n", "-drive", "format=raw,file=" + disk.name, *SERVED, "-device",
                       "e1000,netdev=n0")
        screen.expect("Booting from network", timeout=60)
        screen.expect("net0: 52:54:00:12:34:56", timeout=LIMIT)
        screen.command("system_reset")
        screen.expect("No bootable device", timeout=120)
        if "Booting from hard disk" not in screen.text():
            screen.fail("the disk was not tried")
        quit_guest(screen)


def order():
    """-boot order=nc: what the network does not have, the disk may; iPXE gives up and comes back."""
    with tempfile.NamedTemporaryFile() as disk:
        # A boot sector that writes "disk!" and stops.
        code = bytes.fromhex("fc31c08ed8be147cac84c07406b40ecd10ebf5f4ebfd").ljust(0x16, b"\xf4")
        code = code.replace(b"\xbe\x14\x7c", b"\xbe" + (0x7c00 + len(code)).to_bytes(2, "little")) + b"disk!\0"
        disk.write(code.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
        disk.flush()
        screen = start("-boot", "order=nc", "-drive", "format=raw,file=" + disk.name, "-netdev", "user,id=n0",
                       "-device", "e1000,netdev=n0")
        screen.expect("Booting from network", timeout=60)
        screen.expect("Nothing to boot", "No more network devices", timeout=LIMIT)
        screen.expect("disk!", timeout=120)
        quit_guest(screen)


def bootindex():
    """The card with the lowest one, whichever its slot; with -device and with -nic."""
    screen = start("-device", "e1000", *SERVED, "-device", "rtl8139,netdev=n0,bootindex=1")
    screen.expect("Booting from network rtl8139", timeout=60)
    screen.expect("using rtl8139", timeout=LIMIT)
    quit_guest(screen)
    screen = start("-nic", "user,model=pcnet", "-nic", "user,model=virtio-net-pci,bootindex=2", "-boot", "c")
    screen.expect("Booting from network virtio-net", timeout=60)
    quit_guest(screen)


def menu():
    """The menu calls each card by its name, and the ROM, and boots from the one chosen."""
    cards = [option for model in CARDS for option in ("-device", model)]
    screen = start("-boot", "menu=on", "-nic", "none", "-S", *cards)
    text = screen.boot_menu()
    lines = [line.strip() for line in text.splitlines() if "network" in line]
    for model in ["e1000", "pcnet", "rtl8139", "virtio-net", "ne2k_pci"]:
        if not any("network " + model + " iPXE (PCI 00:" in line for line in lines):
            screen.fail("the menu lacks " + model)
    screen.key(next(line for line in lines if "pcnet" in line)[0])
    screen.expect("Booting from network pcnet", timeout=60)
    screen.expect("using pcnet32", timeout=LIMIT)
    quit_guest(screen)


def none():
    """romfile= is empty: there is nothing to boot from."""
    screen = start("-boot", "n", "-nic", "none", "-device", "e1000,romfile=")
    screen.expect("No bootable device", timeout=120)
    if "iPXE" in screen.text():
        screen.fail("a ROM ran")
    quit_guest(screen)


def test():
    own = {"once": once, "order": order, "bootindex": bootindex, "menu": menu, "none": none}
    for name in CASES:
        own[name]() if name in own else install(name)
        print("OK: %s" % name, flush=True)


if __name__ == "__main__":
    if not os.path.exists(os.path.join(ROMS, "pxe-e1000.rom")):
        skip("%s is not there (package ipxe-qemu)" % ROMS)
    if not os.path.exists(os.path.join(TREE, ".complete")):
        skip("the installer's netboot tree is not there; fill the cache with tests/tools/guests.sh fetch")
    main(test)
