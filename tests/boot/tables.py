#!/usr/bin/env python3
"""The tables of the firmware are there for a kernel given with -kernel, too: MP table, ACPI, SMBIOS, memory map.

    tables.py RINGER ACCEL

Debian's kernel, from the guest cache, shows the memory below 1 MiB; the tables are read here as the specifications say
(MultiProcessor Specification 1.4, ACPI 1.0b with the MADT of 2.0, SMBIOS 2.4). What the MP table and the MADT
say about interrupts must agree, and Linux must use it.
"""
import os
import re
import struct
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402

CACHE = os.environ.get("RINGER_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ringer")
BASE = 0xe0000


def find(memory, start, signature, length):
    """Address of a structure on a paragraph whose bytes add up to 0."""
    for at in range(start - BASE, len(memory), 16):
        if memory[at:at + len(signature)] == signature and sum(memory[at:at + length]) % 256 == 0:
            return at + BASE
    return None


class Tables:
    def __init__(self, guest, memory):
        self.guest, self.memory = guest, memory

    def want(self, right, what):
        if not right:
            self.guest.fail(what)

    def bytes(self, at, length):
        self.want(BASE <= at and at + length <= 1 << 20, "a table is at %#x" % at)
        return self.memory[at - BASE:at - BASE + length]

    def mp(self):
        """What the MP configuration table says: ISA interrupts as {irq: (pin, flags)}, PCI ones, I/O APICs, local ones."""
        # In the first page: a kernel maps and unmaps all from there to 1 MiB for each paragraph that it looks at.
        at = find(self.memory, 0xf0000, b"_MP_", 16)
        self.want(at, "no MP floating pointer at F0000h to FFFFFh")
        self.want(at < 0xf1000, "the MP floating pointer is at %#x" % at)
        pointer, length, revision, default = struct.unpack("<IBB x B", self.bytes(at + 4, 8))
        self.want((length, revision, default) == (1, 4, 0), "MP floating pointer: %d %d %d" % (length, revision, default))
        table = self.bytes(pointer, struct.unpack("<H", self.bytes(pointer + 4, 2))[0])
        self.want(table[:4] == b"PCMP" and sum(table) % 256 == 0, "MP configuration table: signature or checksum")
        self.want(struct.unpack_from("<I", table, 36)[0] == 0xfee00000, "MP table: local APIC's address")
        left, entry = struct.unpack_from("<H", table, 34)[0], 44
        buses, isa, pci, apics, processors, local = {}, {}, {}, {}, 0, set()
        while left:
            kind = table[entry]
            if kind == 0:
                processors += 1
                self.want(table[entry + 3] == 3, "MP table: processor is not the boot processor or not usable")
            elif kind == 1:
                buses[table[entry + 1]] = table[entry + 2:entry + 8].decode().strip()
            elif kind == 2:
                apics[table[entry + 1]] = struct.unpack_from("<I", table, entry + 4)[0]
            elif kind == 3:
                _, flags, bus, irq, apic, pin = struct.unpack_from("<BHBBBB", table, entry + 1)
                self.want(apic in apics, "MP table: interrupt at an I/O APIC %d that is not there" % apic)
                (isa if buses[bus] == "ISA" else pci)[irq] = (pin, flags)
            elif kind == 4:
                local.add((table[entry + 1], table[entry + 7]))
            entry += 20 if kind == 0 else 8
            left -= 1
        self.want(entry == len(table), "MP table: length and number of entries do not agree")
        self.want(processors == 1, "MP table: %d processors" % processors)
        self.want(local == {(3, 0), (1, 1)}, "MP table: local interrupts %s" % local)
        return isa, pci, apics

    def acpi(self):
        at = find(self.memory, 0xe0000, b"RSD PTR ", 20)
        self.want(at, "no RSDP")
        rsdt = struct.unpack("<I", self.bytes(at + 16, 4))[0]
        found = {}
        length = struct.unpack("<I", self.bytes(rsdt + 4, 4))[0]
        for address in (rsdt,) + struct.unpack("<%dI" % ((length - 36) // 4), self.bytes(rsdt + 36, length - 36)):
            table = self.bytes(address, struct.unpack("<I", self.bytes(address + 4, 4))[0])
            self.want(sum(table) % 256 == 0, "ACPI: checksum of %s" % table[:4])
            found[table[:4].decode()] = table
        self.want(sorted(found) == ["APIC", "FACP", "HPET", "RSDT"], "ACPI tables are %s" % sorted(found))
        return found

    def madt(self, table):
        """ISA interrupts as {irq: (pin, flags)}, I/O APICs."""
        isa, apics, at = {irq: (irq, 0) for irq in range(16)}, {}, 44
        while at < len(table):
            if table[at] == 1:
                apics[table[at + 2]] = struct.unpack_from("<I", table, at + 4)[0]
            elif table[at] == 2:
                irq, pin, flags = struct.unpack_from("<BIH", table, at + 3)
                isa[irq] = (pin, flags)
            at += table[at + 1]
        return isa, apics


def test():
    ringer, accel = sys.argv[1:3]
    files = [os.path.join(CACHE, "vmlinuz-686"), os.path.join(CACHE, "initrd.gz")]
    for f in files:
        if not os.path.exists(f):
            print("SKIP: %s is missing; fetch guests with tests/tools/guests.sh" % f)
            sys.exit(77)
    guest = Guest([ringer, "-accel", accel, "-m", "128", "-kernel", files[0], "-initrd", files[1],
                   "-append", "console=ttyS0 panic=-1", "-nographic", "-no-reboot"])
    log = guest.expect("guest# ", 120)
    guest.run("test -c /dev/mem || mknod /dev/mem c 1 1")
    # Compressed: most of it is zeroes, and each byte is two on the line.
    text = guest.run("dd if=/dev/mem bs=65536 skip=14 count=2 2>/dev/null | gzip -9 | "
                     "hexdump -v -e '32/1 \"%02x\" \"\\n\"'")
    memory = zlib.decompress(bytes.fromhex("".join(text.split())), 31)
    tables = Tables(guest, memory)
    tables.want(len(memory) == 0x20000, "%d bytes of the firmware's memory" % len(memory))

    isa, pci, apics = tables.mp()
    found = tables.acpi()
    acpi_isa, acpi_apics = tables.madt(found["APIC"])
    tables.want(apics == acpi_apics == {1: 0xfec00000}, "I/O APICs: MP %s, MADT %s" % (apics, acpi_apics))
    tables.want(isa[0][0] == 2, "the timer is at pin %d" % isa[0][0])
    for irq, pin in isa.items():
        tables.want(acpi_isa[irq] == pin, "IRQ %d: pin and flags are %s by the MP table, %s by the MADT" % (
            irq, pin, acpi_isa[irq]))
    for line, pin in pci.items():
        tables.want(acpi_isa[pin[0]] == pin, "PCI %#x: pin and flags are %s, the MADT has %s" % (
            line, pin, acpi_isa[pin[0]]))
    at = find(memory, 0xf0000, b"_SM_", 31)
    tables.want(at, "no SMBIOS entry point")

    for line in ("BIOS-e820: [mem 0x00000000000e0000-0x00000000000fffff] reserved",
                 "BIOS-e820: [mem 0x0000000000100000-0x0000000007ffffff] usable",
                 "BIOS-e820: [mem 0x00000000fec00000-0x00000000fec00fff] reserved",
                 "BIOS-e820: [mem 0x00000000fee00000-0x00000000fee00fff] reserved",
                 "found SMP MP-table", "DMI: Ringer PC", "ACPI: Using ACPI (MADT)", "ACPI: Using IOAPIC",
                 "hpet0: at MMIO 0xfed00000", "TSC deadline timer available"):
        tables.want(line in log, "Linux does not say '%s'" % line)
    interrupts = guest.run("cat /proc/interrupts")
    for irq, name in (("4", "ttyS0"), ("9", "acpi"), ("1", "i8042")):
        tables.want(re.search(r"^ *%s: +\d+ +IO-APIC +%s-\S+ +%s" % (irq, irq, name), interrupts, re.M),
                    "interrupt %s (%s) is not at the I/O APIC:\n%s" % (irq, name, interrupts))
    ticks = int(re.search(r"^ *LOC: +(\d+)", interrupts, re.M).group(1))
    tables.want(ticks > 50, "the local APIC's timer interrupted %d times" % ticks)
    started = time.monotonic()
    guest.run("sleep 1")
    tables.want(0.9 < time.monotonic() - started < 5, "sleep 1 took %.1f s" % (time.monotonic() - started))
    guest.send("poweroff -f\n")
    status = guest.wait(60)
    tables.want(status == 0, "poweroff ended with status %d" % status)
    print("OK: tables under %s" % accel)


main(test)
