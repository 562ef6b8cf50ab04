#!/usr/bin/env python3
"""FreeDOS from a floppy, seen through screen and keyboard; by hand, as no Debian package holds such a floppy.

    dos.py RINGER ACCEL FLOPPY [RINGER-OPTION...]

FLOPPY is a bootable 1.44M FreeDOS image with FREEDOS\\BIN on it, as 8086tiny's fd.img; it is not written to. Lists the
directory, asks for memory, writes, copies and deletes files, assembles a program with DEBUG and runs it; then all of it
again in virtual-8086 mode under HIMEM and EMM386, with DOS in the high memory area. What was written must be on the
image, and dosfsck must find it clean.
"""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import main  # noqa: E402
from screen import Screen  # noqa: E402

PROMPT = "A:\\>"
MEMORY_MANAGERS = b"""DOS=HIGH,UMB
FILES=40
BUFFERS=20
DEVICE=A:\\FREEDOS\\BIN\\HIMEM.EXE
DEVICE=A:\\FREEDOS\\BIN\\EMM386.EXE X=TEST I=TEST
SHELL=A:\\COMMAND.COM A:\\COMMAND.COM /E:1024 /P
"""
PROGRAM = ["a 100", "mov dx,10d", "mov ah,9", "int 21", "int 20", "", "e 10d 'made by debug$'", "rcx", "1a", "n p.com", "w", "q"]


def tool(*command, data=None):
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def session(command, image, wants):
    """A boot, some commands, the image afterwards. wants: text that MEM must show."""
    guest = Screen(command + ["-fda", image, "-boot", "a", "-display", "none"])

    def run(line, *expected):
        guest.type("cls\n")
        guest.type(line + "\n")
        for text in expected:
            guest.expect(text, timeout=60)
        guest.expect("\n" + PROMPT + "\n", timeout=60)

    guest.expect(PROMPT, timeout=120)
    run("dir", "COMMAND  COM", "KERNEL   SYS", "bytes free")
    run("mem", *wants)
    run("echo written by dos >one.txt")
    run("copy one.txt two.txt", "one.txt => two.txt")
    run("type two.txt", "written by dos")
    run("del one.txt")
    guest.type("cls\ndebug\n")
    for line in PROGRAM:
        guest.type(line + "\n")
    guest.expect("\n" + PROMPT + "\n", timeout=60)
    run("p", "made by debug")
    run("chkdsk a:", "bytes available on the volume")
    guest.command("quit")
    guest.wait(60)
    status, text = tool("dosfsck", "-n", image)
    if status != 0:
        guest.fail("dosfsck: %s" % text.decode(errors="replace"))
    if tool("mtype", "-i", image, "::TWO.TXT")[1].strip() != b"written by dos":
        guest.fail("TWO.TXT is not on the image")
    if tool("mtype", "-i", image, "::ONE.TXT")[0] == 0:
        guest.fail("ONE.TXT is still on the image")


def test():
    ringer, accel, floppy = sys.argv[1:4]
    for program in ("dosfsck", "mtype"):
        if not shutil.which(program):
            print("SKIP: packages dosfstools and mtools are needed")
            sys.exit(77)
    command = [ringer, "-accel", accel, "-m", "16"] + sys.argv[4:]
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "dos.img")
        shutil.copy(floppy, image)
        os.chmod(image, 0o600)
        session(command, image, ["Conventional", "Extended (XMS)"])
        shutil.copy(floppy, image)
        tool("mcopy", "-o", "-i", image, "-", "::CONFIG.SYS", data=MEMORY_MANAGERS.replace(b"\n", b"\r\n"))
        session(command, image, ["Largest free upper memory block", "FreeDOS is resident in the high memory area"])
    print("OK: FreeDOS under %s, in real mode and in virtual-8086 mode" % accel)


main(test)
