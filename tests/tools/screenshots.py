#!/usr/bin/env python3
"""Makes the pictures of guests in README.md, of the window itself: docs/screenshots/*.png.

    screenshots.py RINGER BUILD [NAME...]

Names: grub memtest installer tux x11 demo ipxe. Needs what tests/desktop needs, and the guest cache (guests.sh fetch, vm86).
"""
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import desktop  # noqa: E402
import initrd  # noqa: E402
import xguest  # noqa: E402
from guest import main  # noqa: E402
from screen import Screen  # noqa: E402

RINGER, BUILD = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
FOLDER = os.path.join(HERE, "../../docs/screenshots")
MOST = 60 * 1024
WINDOW = ["-display", "sdl,show-menubar=off", "-name", "shot"]


def start(*options):
    screen = Screen([RINGER] + WINDOW + ["-serial", "none", "-nic", "none"] + list(options))
    return screen, desk.window("shot")


def take(name, window, width=720):
    """As few bytes as it can do with: a palette, and not larger than it is shown."""
    path, colours = os.path.join(FOLDER, name + ".png"), 64
    with tempfile.NamedTemporaryFile(suffix=".ppm") as f:
        subprocess.run(["import", "-silent", "-window", window, "-depth", "8", f.name], check=True)
        while True:
            subprocess.run(["convert", f.name, "-filter", "box", "-resize", "%dx>" % width, "-dither", "None", "-colors", str(colours),
                            "-strip", "-define", "png:compression-level=9", "png8:" + path], check=True)
            if os.path.getsize(path) <= MOST or colours < 16:
                break
            colours //= 2
    print("%s: %d bytes" % (name, os.path.getsize(path)), flush=True)


def cached(name):
    return os.path.join(initrd.CACHE, name)


def grub():
    screen, window = start("-fda", cached("grub-rescue-floppy.img"), "-snapshot")
    screen.expect("The highlighted entry will be executed")
    screen.key("down")
    time.sleep(1)
    take("grub", window)
    screen.kill()


def memtest():
    screen, window = start("-m", "128", "-cdrom", cached("memtest86+ia32.iso"), "-boot", "d")
    time.sleep(40)
    take("memtest", window)
    screen.kill()


def installer():
    screen, window = start("-m", "512", "-kernel", cached("installer-linux"), "-initrd", cached("installer-initrd.gz"), "-append",
                           "fb=false nomodeset")
    screen.expect("Select a language", timeout=600)
    time.sleep(2)
    take("installer", window)
    screen.kill()


def tux():
    screen, window = start("-m", "256", "-kernel", cached("vm86/bzImage"), "-initrd", cached("initrd.gz"), "-append",
                           "vga=0x317 console=tty0")
    time.sleep(12)
    take("tux", window)
    screen.kill()


def x11():
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        guest = xguest.XGuest([RINGER] + WINDOW + ["-vga", "std", "-device", "virtio-tablet-pci"], directory, driver="modesetting",
                              mode="800x600", kernel=["bochs"], pointer="Virtio Tablet",
                              programs=[os.path.join(BUILD, "tests/desktop/xprobe")])
        guest.start()
        guest.run("mkdir -p /x/dev/pts; mount -t devpts pts /x/dev/pts; cp /bin/busybox /x/bin/busybox; "
                  "chroot /x /bin/busybox --install -s /bin; mkdir -p /x/root; true")
        guest.x("/usr/bin/xsetroot -solid '#305070'")
        for command in ("xclock -geometry 180x180+600+20", "xeyes -geometry 180x110+600+230",
                        "xlogo -geometry 180x180+600+370",
                        "xterm -fn fixed -geometry 90x40+20+20 -e /bin/sh -c 'uname -a; cat /proc/cpuinfo; sh'"):
            guest.x_behind("/usr/bin/" + command)
        window = desk.window("shot")
        desk.tool("mousemove", "--window", window, 500, 480)
        time.sleep(6)
        take("x11", window)
        guest.kill()


def demo():
    screen, window = start("-vga", "std", "-kernel", os.path.join(BUILD, "tests/guest/graphics.elf"), "-append", "animation 100000",
                           "-debugcon", "null")
    time.sleep(2)
    screen.command("stop")
    time.sleep(0.5)
    take("demo", window, 320)
    screen.kill()


def ipxe():
    screen = Screen([RINGER] + WINDOW + ["-serial", "none", "-cdrom", cached("ipxe.iso"), "-boot", "d"])
    window = desk.window("shot")
    screen.expect("iPXE initialising devices", "Configuring", "net0", timeout=120)
    time.sleep(8)
    take("ipxe", window)
    screen.kill()


CASES = {"grub": grub, "memtest": memtest, "installer": installer, "tux": tux, "x11": x11, "demo": demo, "ipxe": ipxe}


def make():
    global desk
    if not desktop.is_there() or not xguest.is_there():
        print("needs %s, and the guest cache (tests/tools/guests.sh fetch)" % ", ".join(desktop.TOOLS))
        sys.exit(77)
    os.makedirs(FOLDER, exist_ok=True)
    desk = desktop.Desktop()
    for name in sys.argv[3:] or CASES:
        CASES[name]()
    desk.close()


main(make)
