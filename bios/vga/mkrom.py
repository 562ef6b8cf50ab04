#!/usr/bin/env python3
"""Makes an option ROM of a flat binary: its length in the header and in PCIR, the checksum. mkrom.py IN OUT"""
import sys

with open(sys.argv[1], "rb") as file:
    rom = bytearray(file.read())
rom += b"\xff" * (-len(rom) % 512)
if rom[:2] != b"\x55\xaa" or len(rom) > 255 * 512:
    sys.exit("mkrom.py: this is no option ROM")
pcir = int.from_bytes(rom[0x18:0x1a], "little")
if rom[pcir:pcir + 4] != b"PCIR":
    sys.exit("mkrom.py: the PCI data structure is missing")
blocks = len(rom) // 512
rom[2] = blocks
rom[pcir + 0x10:pcir + 0x12] = blocks.to_bytes(2, "little")
# The last byte makes the sum zero; the linker leaves room behind the contents.
rom[-1] = 0
rom[-1] = -sum(rom) & 0xff
with open(sys.argv[2], "wb") as file:
    file.write(rom)
