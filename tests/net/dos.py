#!/usr/bin/env python3
"""FreeDOS with a packet driver asks who has the gateway's address, and is answered; by hand, as no Debian package holds
FreeDOS or packet drivers.

    dos.py RINGER ACCEL FLOPPY DRIVER MODEL ARGUMENTS

FLOPPY as for tests/boot/dos.py; it is not written to. DRIVER is a packet driver's .COM file for the card MODEL, loaded with
ARGUMENTS, which put it at interrupt 60h; what asks is arp.S beside this.

    dos.py build/src/ringer direct fd.img ne2000.com ne2k_isa,irq=5,iobase=0x300 "0x60 5 0x300"
    dos.py build/src/ringer direct fd.img pcntpk.com pcnet int=0x60
    dos.py build/src/ringer direct fd.img pcipkt.com ne2k_pci 0x60
    dos.py build/src/ringer direct fd.img rtspkt.com rtl8139 0x60
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from guest import main  # noqa: E402
from screen import Screen  # noqa: E402


def make_program(folder):
    elf, com = os.path.join(folder, "arp.elf"), os.path.join(folder, "arp.com")
    subprocess.run(["gcc", "-m16", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-m,elf_i386",
                    "-Wl,-Ttext=0x100", "-o", elf, os.path.join(HERE, "arp.S")], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", elf, com], check=True)
    return com


def test():
    ringer, accel, floppy, driver, model, arguments = sys.argv[1:7]
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "dos.img")
        shutil.copy(floppy, image)
        os.chmod(image, 0o600)
        for source, name in ((driver, "PKTDRV.COM"), (make_program(folder), "ARP.COM")):
            subprocess.run(["mcopy", "-o", "-i", image, source, "::" + name], check=True)
        screen = Screen([ringer, "-accel", accel, "-m", "16", "-display", "none", "-fda", image, "-boot", "a", "-netdev",
                         "user,id=n0", "-device", model + ",netdev=n0"])
        screen.expect("A:\\>", timeout=300)
        screen.type("pktdrv %s\n" % arguments)
        time.sleep(3)
        screen.type("\narp\n")
        answer = screen.expect("10.0.2.2 has answered", "no packet driver", "nothing was sent", "nobody answers", timeout=120)
        if answer != "10.0.2.2 has answered":
            screen.fail(answer)
        screen.command("quit")
        screen.wait()
    print("OK: %s under %s" % (model, accel))


main(test)
