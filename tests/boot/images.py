#!/usr/bin/env python3
"""Images as users have them: containers of other programs, made by qemu-img; floppies of any size; media that cannot
be changed.

    images.py RINGER [ENGINE]
"""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from screen import Screen  # noqa: E402

RINGER = os.path.abspath(sys.argv[1])
ENGINE = sys.argv[2] if len(sys.argv) > 2 else "bt"
SEABIOS = "/usr/share/seabios/bios.bin"
failures = 0


def report(name, problem):
    global failures
    failures += bool(problem)
    print(f"{'not ok' if problem else 'ok'} - {name}")
    if problem:
        print(f"# {problem}")


def run(*arguments):
    return subprocess.run([RINGER, "-display", "none", "-accel", ENGINE, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30)


# qemu-img's name, options, the file that a user would give
CONTAINERS = (("vmdk", "subformat=monolithicSparse", "a.vmdk"), ("vmdk", "subformat=monolithicFlat", "b.vmdk"),
              ("vmdk", "subformat=streamOptimized", "c.vmdk"), ("vdi", None, "a.vdi"), ("vdi", "static=on", "b.vdi"),
              ("vpc", "subformat=dynamic", "a.vhd"), ("vpc", "subformat=fixed", "b.vhd"), ("vhdx", None, "a.vhdx"),
              ("qed", None, "a.qed"), ("qcow", None, "a.qcow"), ("parallels", None, "a.hds"),
              ("luks", "key-secret=k,iter-time=10", "a.luks"))


def containers():
    if not shutil.which("qemu-img"):
        print("ok - containers # SKIP no qemu-img")
        return
    for name, options, file in CONTAINERS:
        command = ["qemu-img", "create", "-q", "-f", name, file, "4M"]
        if options:
            command[2:2] = ["-o", options]
        if name == "luks":
            command[2:2] = ["--object", "secret,id=k,data=secret"]
        if subprocess.run(command, capture_output=True).returncode != 0:
            print(f"ok - {name} {options} # SKIP qemu-img cannot make one")
            continue
        with open(file, "rb") as f:
            before = f.read()
        result = run("-hda", file)
        problem = None
        words = f"driver=luks,key-secret=key,file.filename={file}" if name == "luks" else f"qemu-img convert -f {name} -O qcow2 {file}"
        if result.returncode != 1 or len(result.stderr.splitlines()) != 1 or words not in result.stderr:
            problem = f"status {result.returncode}, {result.stderr!r}"
        with open(file, "rb") as f:
            if f.read() != before:
                problem = "the file was changed"
        report(f"{name} {options or ''}", problem)
        if name == "luks" or problem:
            continue
        # What the sentence says works.
        subprocess.run(result.stderr.split("convert it: ")[1].split(" (or ")[0], shell=True, check=True)
        os.unlink(file.rsplit(".", 1)[0] + ".qcow2")


# A boot sector that reads the N sectors behind it in one call, as beginners' do, and runs them.
BOOT = """
    .code16
    .globl _start
_start:
    movw $0x9000, %bp
    movw %bp, %sp
    xorw %ax, %ax
    movw %ax, %es
    movw %ax, %ds
    movw $0x1000, %bx
    movb $2, %ah
    movb $N, %al
    movw $0x0002, %cx
    movb $0, %dh
    int $0x13
    jc 1f
    cmpb $N, %al
    jne 2f
    call 0x1000 - 0x7c00 + _start
    movb $1, %al
    jmp 3f
1:  movb $'E', %al
    outb %al, $0xe9
    movb %ah, %al
    addb $'0', %al
    outb %al, $0xe9
    movb $2, %al
    jmp 3f
2:  movb $'S', %al
    outb %al, $0xe9
    movb $2, %al
3:  movw $0xf4, %dx
    outb %al, %dx
    hlt
    .org 510
    .word 0xaa55
# the kernel: adds up what was read behind it
    movw $0x1000 + LEN, %si
    movw $0x1000 + N * 512, %cx
    subw %si, %cx
    jbe 4f
    xorw %bx, %bx
5:  lodsb
    orb %al, %bl
    loop 5b
    testb %bl, %bl
    jnz 6f
4:  movb $'K', %al
    outb %al, $0xe9
    ret
6:  movb $'Z', %al
    outb %al, $0xe9
    ret
    .org 512 + LEN, 0x90
"""


def assemble(output, **symbols):
    with open("boot.s", "w") as f:
        f.write(BOOT)
    subprocess.run(["as", "--32", *(f"--defsym={name}={value}" for name, value in symbols.items()), "-o", "boot.o",
                    "boot.s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", "0x7c00", "-o", output, "boot.o"],
                   check=True)


def floppy_boots(name, *options, drive="-fda"):
    result = run("-debugcon", "file:log", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-boot", "a", drive,
                 "floppy.img", *options)
    with open("log", "rb") as f:
        log = f.read()
    report(name, None if result.returncode == 3 and log == b"K" else f"status {result.returncode}, {log!r}, {result.stderr!r}")


def floppies():
    """A boot sector and a kernel in a file, as `cat boot kernel` makes it: missing sectors read as zeros."""
    for count, length in ((5, 3011), (8, 100), (15, 3011), (31, 3011), (50, 3011), (50, 50 * 512 - 1)):
        assemble("floppy.img", N=count, LEN=length)
        floppy_boots(f"floppy of {os.path.getsize('floppy.img')} bytes, {count} sectors at once")
    for size, count in ((163840, 7), (184320, 8), (327680, 15), (368640, 17), (737280, 17), (1228800, 29),
                        (1474560, 35), (2949120, 53), (1474560, 50), (1720320, 41), (1000000, 50), (2949119, 50)):
        assemble("floppy.img", N=count, LEN=3011)
        os.truncate("floppy.img", size)
        floppy_boots(f"floppy of {size} bytes, {count} sectors at once")
    if os.path.exists(SEABIOS):  # it leaves sides and cylinders to the controller
        for count in (8, 50):
            assemble("floppy.img", N=count, LEN=3011)
            floppy_boots(f"floppy of {os.path.getsize('floppy.img')} bytes, SeaBIOS", "-bios", SEABIOS)
        os.truncate("floppy.img", 1474560)
        floppy_boots("floppy of 1474560 bytes, SeaBIOS", "-bios", SEABIOS)


# Reads sector LBA by the geometry that function 08h says, as boot loaders do, and tells its first byte.
FAR = """
    .code16
    .globl _start
_start:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7000, %sp
    movw $3, %bp
    movb $8, %ah
    movb $0, %dl
    int $0x13
    jc 9f
    andb $63, %cl
    movzbw %cl, %bx             # sectors
    movzbw %dh, %si
    incw %si                    # heads
    movw $LBA, %ax
    xorw %dx, %dx
    divw %bx
    movb %dl, %cl
    incb %cl
    xorw %dx, %dx
    divw %si
    movb %al, %ch
    movb %dl, %dh
    movb $0, %dl
    xorw %bx, %bx
    movw %bx, %es
    movw $0x8000, %bx
1:  movw $0x0201, %ax
    int $0x13
    jnc 2f
    decw %bp                    # the first call after a change of the disk may fail
    jnz 1b
9:  movb $'E', %al
    jmp 3f
2:  movb 0x8000, %al
3:  outb %al, $0xe9
    movb $1, %al
    outb %al, $0xf4
    hlt
    .org 510
    .word 0xaa55
"""


def far_sectors():
    """What the BIOS says about a floppy's tracks is how the controller reads it (but for 720 KiB: it tells the drive's)."""
    for size in (1228800, 1296384, 1474560, 2949120, 1000000):
        lba = size // 512 - 100
        with open("boot.s", "w") as f:
            f.write(FAR)
        subprocess.run(["as", "--32", f"--defsym=LBA={lba}", "-o", "boot.o", "boot.s"], check=True)
        subprocess.run(["ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", "0x7c00", "-o", "floppy.img", "boot.o"],
                       check=True)
        with open("floppy.img", "r+b") as f:
            f.truncate(size)
            f.seek(lba * 512)
            f.write(b"F")
        for options in ([], ["-bios", SEABIOS]):
            if options and not os.path.exists(SEABIOS):
                continue
            result = run("-debugcon", "file:log", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-boot", "a", "-fda",
                         "floppy.img", *options)
            with open("log", "rb") as f:
                log = f.read()
            report(f"sector {lba} of a floppy of {size} bytes {' '.join(options)}",
                   None if log == b"F" else f"status {result.returncode}, {log!r}")


def medium_stays():
    """A medium that cannot be opened leaves the old one in."""
    assemble("floppy.img", N=5, LEN=3011)
    screen = Screen([RINGER, "-S", "-display", "none", "-serial", "none", "-fda", "floppy.img"])
    before = screen.command("info block")
    answer = screen.command("change floppy0 /nonexistent")
    after = screen.command("info block")
    screen.kill()
    problem = None
    if "there is no such file" not in answer:
        problem = answer
    elif "floppy.img" not in after or before.splitlines()[1:] != after.splitlines()[1:]:
        problem = after
    report("change to a file that is not there", problem)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    containers()
    floppies()
    far_sectors()
    medium_stays()
sys.exit(failures != 0)
