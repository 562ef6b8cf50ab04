#!/usr/bin/env python3
"""Runs the BIOS test floppy on one machine with one BIOS and judges its output.

usage: run.py RINGER ENGINE BIOS IMAGE [--boot MEDIUM] [--timeout SECONDS]

MEDIUM is floppy, or cd-floppy, cd-disk or cd: an El Torito CD with that emulation, or without one.

ENGINE is an -accel of Ringer, or qemu. BIOS is a ROM file, or seabios (Debian's package; 77, a skip, where it is
missing), or ours (what is linked into Ringer). known.txt beside this script names the checks that must fail with a BIOS,
each with its reason.
"""
import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile

SKIP = 77
SEABIOS = "/usr/share/seabios/bios.bin"
VGABIOS = "/usr/share/seabios/vgabios-stdvga.bin"


def numbered(path, count, size, head=b""):
    """Sectors that begin with their number, behind head."""
    with open(path, "wb") as out:
        for n in range(count):
            out.write(struct.pack("<I", n) + b"SECT" + b"\0" * (size - 8))
        out.seek(0)
        out.write(head)


def boot_record(catalog_block):
    return b"\0CD001\1EL TORITO SPECIFICATION".ljust(0x47, b"\0") + struct.pack("<I", catalog_block)


def catalog(media, sectors, block):
    validation = bytearray(struct.pack("<BBH24sHBB", 1, 0, 0, b"Ringer", 0, 0x55, 0xaa))
    total = sum(struct.unpack("<16H", validation))
    struct.pack_into("<H", validation, 28, -total & 0xffff)
    return bytes(validation) + struct.pack("<BBHBBHI", 0x88, media, 0, 0, 0, sectors, block)


def make_cd(path, medium, head):
    """Without a boot record, numbered blocks; with one, numbered blocks but for the image."""
    numbered(path, 1000, 2048)
    if medium == "floppy":
        return
    image = path + ".image"
    head[508] = {"cd-floppy": 1, "cd-disk": 2, "cd": 3}[medium]
    if medium == "cd-disk": # 80 cylinders of 2 heads and 18 sectors, said by the partition table
        head[446:462] = struct.pack("<BBBBBBBBII", 0x80, 0, 1, 0, 1, 1, 18, 79, 0, 2880)
    numbered(image, 2880, 512, head)
    with open(path, "r+b") as cd:
        cd.seek(17 * 2048)
        cd.write(boot_record(18))
        cd.seek(18 * 2048)
        cd.write(catalog(*{"cd-floppy": (2, 1), "cd-disk": (4, 1), "cd": (0, 81)}[medium], 20))
        cd.seek(20 * 2048)
        content = open(image, "rb").read()
        cd.write(content[:81 * 512] if medium == "cd" else content)


def make_media(directory, image, flags, medium):
    head = bytearray(open(image, "rb").read())
    head[509] = flags
    assert len(head) <= 81 * 512
    numbered(directory + "/fd.img", 2880, 512, head)
    numbered(directory + "/hd.img", 80640, 512, struct.pack("<I", 0) + b"CESR")
    make_cd(directory + "/cd.iso", medium, head)


def known_failures(engine, bios, medium):
    names = set()
    for line in open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "known.txt")):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        engines, bioses, name = (part.strip() for part in line.split("|")[:3])
        # The one of a CD boot is run with this medium only.
        where = "cd-disk" if name.startswith("int13.4b") else "floppy"
        if (engines == "*" or engine in engines.split(",")) and bios in bioses.split(",") and medium == where:
            names.add(name)
    return names


def command(args, directory):
    common = ["-m", "64", "-display", "none", "-net", "none", "-serial", "null", "-monitor", "none", "-debugcon", "stdio",
              "-device", "isa-debug-exit,iobase=0x501,iosize=0x02", "-rtc", "base=2026-06-17T10:20:30",
              "-drive", "file=%s/fd.img,format=raw,if=floppy,index=0" % directory,
              "-drive", "file=%s/hd.img,format=raw,if=ide,index=0,media=disk" % directory,
              "-drive", "file=%s/cd.iso,format=raw,if=ide,index=2,media=cdrom" % directory, "-boot", "a" if args.boot == "floppy" else "d"]
    if args.bios == "seabios":
        if not os.path.exists(SEABIOS):
            print("skipped: %s is not there (package seabios)" % SEABIOS)
            sys.exit(SKIP)
        rom = ["-bios", SEABIOS]
    else:
        rom = [] if args.bios == "ours" else ["-bios", args.bios]
    if args.engine == "qemu":
        qemu = shutil.which("qemu-system-i386")
        if not qemu:
            print("skipped: qemu-system-i386 is not installed")
            sys.exit(SKIP)
        return [qemu, "-accel", "tcg"] + common + rom
    if args.bios == "seabios":
        rom += ["-global", "VGA.romfile=" + VGABIOS]
    return [args.ringer, "-accel", args.engine] + common + rom


def judge(out, status, known):
    passed, failed, verdict = [], [], None
    for line in out.splitlines():
        if line.startswith("ok "):
            passed.append(line[3:])
        elif line.startswith("not ok "):
            failed.append(line[7:])
        elif line.startswith(("PASS ", "FAIL ")):
            verdict = line
    wrong = []
    if verdict is None:
        wrong.append("no verdict: the guest did not come to its end (status %d)" % status)
    elif status != (1 if verdict.startswith("PASS") else 3):
        wrong.append("status %d does not fit the verdict '%s'" % (status, verdict))
    wrong += ["failed: " + name for name in failed if name not in known]
    wrong += ["passed, but is listed in known.txt: " + name for name in passed if name in known]
    wrong += ["listed in known.txt, but not run: " + name for name in known - set(passed) - set(failed)]
    print("%d passed, %d failed as known, %d problems" % (len(passed), len([n for n in failed if n in known]), len(wrong)))
    return wrong


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ringer")
    p.add_argument("engine")
    p.add_argument("bios")
    p.add_argument("image")
    p.add_argument("--boot", default="floppy", choices=["floppy", "cd-floppy", "cd-disk", "cd"])
    p.add_argument("--timeout", type=float, default=120)
    args = p.parse_args()

    with tempfile.TemporaryDirectory(prefix="ringer-bios.") as directory:
        # A reset with a shutdown byte: QEMU clears it, and SeaBIOS starts anew after a reset of the chipset.
        flags = (args.engine != "qemu" and args.bios != "seabios") | (args.bios != "seabios") << 1
        make_media(directory, args.image, flags, args.boot)
        process = subprocess.Popen(command(args, directory), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        try:
            out, _ = process.communicate(timeout=args.timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
    out = out.decode(errors="replace")
    bios = "seabios" if args.bios == "seabios" else "ours"
    wrong = judge(out, process.returncode, known_failures(args.engine, bios, args.boot))
    if wrong:
        print("\n".join(wrong))
        print("--- output")
        print("\n".join(line for line in out.splitlines() if not line.startswith("ok "))[-4000:])
        sys.exit(1)


if __name__ == "__main__":
    main()
