"""Our video BIOS's ROM for QEMU's cards. That for std serves vmware and virtio, too: our cards put their numbers into it,
QEMU's do not."""
import os
import struct

DRIVER = {"std": "VGA", "cirrus": "cirrus-vga", "vmware": "vmware-svga", "virtio": "virtio-vga"}
NUMBERS = {"vmware": (0x15ad, 0x0405), "virtio": (0x1af4, 0x1050)}


def options(card, rom, directory):
    """QEMU's options for the card with a copy of the ROM in the directory."""
    with open(rom, "rb") as file:
        image = bytearray(file.read())
    if card in NUMBERS:
        at = image.index(b"PCIR") + 4
        image[at:at + 4] = struct.pack("<HH", *NUMBERS[card])
        image[6] = (image[6] - sum(image)) & 0xff
    path = os.path.join(directory, "rom")
    with open(path, "wb") as file:
        file.write(image)
    return ["-vga", "none", "-device", DRIVER[card] + ",romfile=" + path]
