#!/usr/bin/env python3
"""Debian's kernel drives a graphics card, and writes on its console there.

    graphics.py RINGER ACCEL DRIVER

DRIVER is cirrus (DRM, draws by itself into the linear frame buffer), cirrusfb (fbdev, draws with the blitter), virtio-gpu, on
virtio-vga and virtio-gpu-pci, or vmwgfx, on vmware-svga. What is on the screen must be what QEMU's card shows; vmwgfx does not take
QEMU's ("Hardware has no pitchlock"), so there it is a virtio card with a monitor of that size.
"""
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import initrd  # noqa: E402
import netguest  # noqa: E402
from guest import main  # noqa: E402
from monitor import Hmp  # noqa: E402

QEMU = shutil.which("qemu-system-i386")
LIBRARIES = ["syscopyarea", "sysfillrect", "sysimgblt", "fb_sys_fops", "drm", "drm_shmem_helper", "drm_kms_helper"]
VIRTIO = ["virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_dma_buf"]
CARDS = {"virtio-gpu": ["-vga", "virtio"], "virtio-gpu-pci": ["-vga", "none", "-device", "virtio-gpu-pci,xres=1024,yres=768"],
         "vmwgfx": ["-vga", "vmware"]}
MODULES = {"virtio-gpu": VIRTIO + LIBRARIES + ["virtio-gpu"], "virtio-gpu-pci": VIRTIO + LIBRARIES + ["virtio-gpu"],
           "vmwgfx": LIBRARIES + ["ttm", "drm_ttm_helper", "vmwgfx"]}
OPTIONS = {"cirrusfb": "mode_option=800x600-16"}
# Fifty lines, so that it scrolls, with colours; no cursor, as it blinks.
DRAW = r"""printf '\033[?25l\033[2J\033[H' >/dev/tty1; i=0; while [ $i -lt 50 ]; do
printf '\033[3%dm%d the quick brown fox \033[4%dm jumps over %d lazy dogs\033[0m\n' $((i % 8)) $i $((i / 3 % 8)) $((i * i)) >/dev/tty1;
i=$((i + 1)); done"""


def picture(program, accel, driver, image, directory):
    """What is on the screen, and how fast /dev/fb0 was."""
    monitor = os.path.join(directory, "monitor-" + accel)
    guest = netguest.boot(program, image, ["-accel", accel, "-net", "none", *CARDS.get(driver, ["-vga", "cirrus"]),
                                           "-monitor", f"unix:{monitor},server=on,wait=off"])
    for module in MODULES.get(driver, LIBRARIES + [driver]):
        guest.run("[ ! -e /lib/graphics/%s.ko ] || insmod /lib/graphics/%s.ko %s" % (
            module, module, OPTIONS.get(module, "")), 300)
    print(guest.run("cat /proc/fb; cat /sys/class/graphics/fb0/virtual_size /sys/class/graphics/fb0/bits_per_pixel"))
    guest.run(DRAW.replace("\n", " "), 300)
    time.sleep(1)
    hmp, path = Hmp(monitor), os.path.join(directory, accel + ".ppm")
    hmp.command("screendump " + path)
    with open(path, "rb") as f:
        shown = f.read()
    print(guest.run("time dd if=/dev/zero of=/dev/fb0 bs=64k count=14 2>&1", 300).splitlines()[-3:])
    guest.kill()
    return guest, shown


def test():
    ringer, accel, driver = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as directory:
        image, files = os.path.join(directory, "initrd"), {}
        for folder in (initrd.VIRTIO, initrd.GRAPHICS, initrd.GRAPHICS_MORE):
            for name in os.listdir(folder):
                if name.endswith(".ko"):
                    files["lib/graphics/" + name.split("-", 1)[1]] = os.path.join(folder, name)
        initrd.write(image, (), files)
        guest, have = picture(ringer, accel, driver, image, directory)
        keep = os.environ.get("KEEP_PICTURES")
        if keep:
            with open(os.path.join(keep, f"{driver}-{accel}.ppm"), "wb") as f:
                f.write(have)
        size, colours = have[:20].split(b"\n")[1], len({have[i:i + 3] for i in range(15, len(have), 3)})
        print(f"{driver}: {size.decode()}, {colours} colours")
        if colours < 8:
            guest.fail("there is hardly anything on the screen")
        if not QEMU:
            print("no qemu-system-i386: not compared")
            return
        if driver == "vmwgfx":
            driver = "virtio-gpu"
            width, height = size.decode().split()
            CARDS[driver] = ["-vga", "none", "-device", f"virtio-vga,xres={width},yres={height}"]
        _, want = picture(QEMU, "tcg", driver, image, directory)
        # Five and six bits become eight otherwise there.
        wrong = sum(abs(a - b) > 7 for a, b in zip(have, want))
        if len(have) != len(want) or wrong:
            guest.fail(f"{len(have)} bytes of a picture, {len(want)} in QEMU; {wrong} differ")


if __name__ == "__main__":
    if not all(os.path.exists(os.path.join(folder, ".complete"))
               for folder in (initrd.VIRTIO, initrd.GRAPHICS, initrd.GRAPHICS_MORE)):
        print("SKIP: needs the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    main(test)
