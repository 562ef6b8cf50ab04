#!/usr/bin/env python3
"""Turns a binary file into a C array: bin2c.py IN OUT NAME. For build outputs such as DSDT and ROMs."""
import sys

source, target, name = sys.argv[1:]
with open(source, "rb") as file:
    content = file.read()
with open(target, "w", encoding="ascii") as out:
    out.write("/* Made by bin2c.py. */\n#include <stdint.h>\n\n")
    out.write(f"extern const uint8_t {name}[];\nextern const uint32_t {name}_size;\n\n")
    out.write(f"const uint32_t {name}_size = {len(content)};\nconst uint8_t {name}[] = {{\n")
    for at in range(0, len(content), 16):
        out.write("    " + ", ".join(f"0x{byte:02x}" for byte in content[at:at + 16]) + ",\n")
    out.write("};\n")
