#!/usr/bin/env python3
"""-kernel with kernels of all ages: each boot protocol of Linux from 2.00 on, started by its own setup code in real mode;
multiboot kernels that count on what QEMU does; files that change while the machine runs. QEMU judges, where it is installed.

    kernels.py RINGER [ENGINE]
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from screen import Screen  # noqa: E402

RINGER = [os.path.abspath(sys.argv[1]), "-accel", sys.argv[2] if len(sys.argv) > 2 else "bt"]
QEMU = shutil.which("qemu-system-i386")
SEABIOS = "/usr/share/seabios/bios.bin"
failures = 0


def report(name, problem):
    global failures
    failures += bool(problem)
    print(f"{'not ok' if problem else 'ok'} - {name}")
    if problem:
        print(f"# {problem}")


# Boot sector, setup code, 32-bit code. Says on port E9h: the command line, then, from 32-bit code, the initrd.
LINUX = """
    .code16
    .globl _start
_start:
    .org 0x1f1
    .byte 4                     # setup sectors
    .word 0
    .long (end - code32) / 16   # syssize
    .org 0x1fe
    .word 0xaa55
    jmp setup
    .ascii "HdrS"
    .word VERSION
    .org 0x210
    .byte 0, FLAGS
    .word 0
    .long CODE32                # code32_start
    .org 0x22c
    .long 0x37ffffff
    .org 0x238
    .long 2047
    .org 0x258
    .quad 0x100000
    .long 0x4000
    .org 0x268
setup:
    movw %cs, %ax
    subw $0x20, %ax
    movw %ds, %bx
    cmpw %ax, %bx
    jne bad
    movw %ss, %bx
    cmpw %ax, %bx
    jne bad
    movw $0x1234, %ax           # a stack, and interrupts by the BIOS
    pushw %ax
    sti
    movb $0x0f, %ah
    int $0x10
    cmpb $80, %ah
    jne bad
    popw %ax
    cmpw $0x1234, %ax
    jne bad
    cli
.if VERSION >= 0x202
    movl 0x228, %eax
    movl %eax, %esi
    shrl $4, %eax
    movw %ax, %fs
    andl $15, %esi
.else
    cmpw $0xa33f, 0x20
    jne bad
    movw 0x22, %si
    movw %ds, %ax
    movw %ax, %fs
.endif
1:  movb %fs:(%si), %al
    incw %si
    testb %al, %al
    jz 2f
    outb %al, $0xe9
    jmp 1b
2:  cmpb $0, 0x210              # type_of_loader
    je bad
.if VERSION >= 0x201
    testb $0x80, 0x211          # CAN_USE_HEAP
    jz bad
    movw 0x224, %ax
    cmpw $0x4000, %ax
    jb bad
.endif
    movw 0x1fa, %bx             # vid_mode
    movl 0x218, %esi
    movl 0x21c, %ecx
    xorl %eax, %eax
    movw %ds, %ax
    shll $4, %eax
    addl %eax, gdtr + 2 - _start
    lgdt gdtr - _start
    movl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $ENTRY
bad:
    movb $'!', %al
    outb %al, $0xe9
    movb $2, %al
    outb %al, $0xf4
    hlt
gdtr:
    .word 23
    .long gdt - _start
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
    .org 0xa00
    .code32
code32:
    movw $16, %ax
    movw %ax, %ds
    jecxz 4f
3:  lodsb
    outb %al, $0xe9
    loop 3b
4:  movb %bl, %al
    addb $'0', %al
    outb %al, $0xe9
    movb $1, %al
    outb %al, $0xf4
    hlt
    .org 0xa00 + 4096
end:
"""


def assemble(source, output, elf=False, **symbols):
    with open("k.s", "w") as f:
        f.write(source)
    subprocess.run(["as", "--32", *(f"--defsym={name}={value}" for name, value in symbols.items()), "-o", "k.o", "k.s"],
                   check=True)
    link = ["-Ttext", "0x100000"] if elf else ["--oformat", "binary", "-Ttext", "0"]
    subprocess.run(["ld", "-m", "elf_i386", *link, "-o", output, "k.o"], check=True)


def run(command, *arguments):
    if os.path.exists("log"):
        os.unlink("log")
    result = subprocess.run([*command, "-display", "none", "-debugcon", "file:log", "-device",
                             "isa-debug-exit,iobase=0xf4,iosize=1", *arguments], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=30)
    log = b""
    if os.path.exists("log"):
        with open("log", "rb") as f:
            log = f.read()
    return result.returncode, log, result.stderr


def runs(name, want, *arguments):
    """The same here and under QEMU."""
    for who, command in (("ringer", RINGER), ("qemu", [QEMU])):
        if not command[0]:
            continue
        status, log, errors = run(command, *arguments)
        report(f"{name}, {who}", None if (status, log) == (3, want) else f"status {status}, {log!r}, {errors!r}")


def protocols():
    with open("initrd", "wb") as f:
        f.write(b"<initial disk>")
    line = "one two vga=5 " + "x" * 100
    for version in (0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x20a, 0x20f):
        assemble(LINUX, "kernel", VERSION=version, FLAGS=1, CODE32=0x100000, ENTRY=0x100000)
        runs(f"boot protocol {version >> 8}.{version & 255:02}", line.encode() + b"<initial disk>5", "-kernel", "kernel",
             "-append", line, "-initrd", "initrd")
    for version in (0x200, 0x202, 0x206):
        assemble(LINUX, "kernel", VERSION=version, FLAGS=0, CODE32=0x1000, ENTRY=0x10000)
        runs(f"zImage, protocol {version >> 8}.{version & 255:02}", b"a<initial disk>0", "-kernel", "kernel",
             "-append", "a", "-initrd", "initrd")
    # iPXE's and memdisk's headers: the setup code knows the way.
    for version in (0x203, 0x207):
        assemble(LINUX, "kernel", VERSION=version, FLAGS=1, CODE32=0, ENTRY=0x100000)
        runs(f"code32_start 0, protocol {version >> 8}.{version & 255:02}", b"0", "-kernel", "kernel")
    with open("rom", "wb") as f:
        f.write(bytes(65536))
    result = run(RINGER, "-kernel", "kernel", "-bios", "rom")
    report("code32_start 0 with another BIOS", None if result[0] == 1 and "starts in real mode" in result[2] else result)


# A kernel that takes QEMU's GDT for granted and names its code selector in its IDT; then it names its modules.
MULTIBOOT = """
    .text
    .long 0x1badb002, 3, -0x1badb005
    .globl _start
_start:
    movl $stack, %esp
    pushl %ebx
    movl $handler, %eax
    movw %ax, idt + 0x20 * 8
    shrl $16, %eax
    movw %ax, idt + 0x20 * 8 + 6
    movw $8, idt + 0x20 * 8 + 2
    movw $0x8e00, idt + 0x20 * 8 + 4
    lidt idtr
    movb $0x11, %al
    outb %al, $0x20
    movb $0x20, %al
    outb %al, $0x21
    movb $0, %al
    outb %al, $0x21
    movb $1, %al
    outb %al, $0x21
    movb $0xfe, %al
    outb %al, $0x21
    movw %cs, %ax
    addb $'0', %al
    outb %al, $0xe9
    movw %ds, %ax
    addb $'0', %al
    outb %al, $0xe9
    movw $8, %ax                # the data segment after it, loaded anew
    movw $16, %ax
    movw %ax, %ss
    movw %ax, %es
    popl %ebx
    testl $2, (%ebx)
    jz bad
    testl $8, (%ebx)
    jz bad
    movl 20(%ebx), %ecx
    movl 24(%ebx), %edi
    jecxz 3f
1:  movl 8(%edi), %esi
2:  lodsb
    outb %al, $0xe9
    testb %al, %al
    jnz 2b
    movl (%edi), %esi
    movl 4(%edi), %edx
4:  cmpl %edx, %esi
    jae 5f
    lodsb
    outb %al, $0xe9
    jmp 4b
5:  addl $16, %edi
    loop 1b
3:  sti
    jmp .
bad:
    movb $2, %al
    outb %al, $0xf4
    hlt
handler:
    movb $'I', %al
    outb %al, $0xe9
    movb $1, %al
    outb %al, $0xf4
    hlt
    .data
idtr: .word 2047
    .long idt
    .bss
    .balign 8
idt: .space 2048
    .space 4096
stack:
"""


def multiboot():
    assemble(MULTIBOOT, "kernel", elf=True)
    with open("a", "wb") as f:
        f.write(b"(first)")
    with open("b,c", "wb") as f:
        f.write(b"(second)")
    runs("multiboot: code 08h, data 10h", b"8@I", "-kernel", "kernel")
    runs("multiboot: modules with arguments", b"8@a x=1 y\0(first)b,c z\0(second)a\0(first)I", "-kernel", "kernel",
         "-initrd", "a x=1 y,b,,c z,a")


# Says the first byte of its initrd, waits for a reset.
SPEAKS = LINUX.replace("4:  movb %bl, %al", "4:  cli\n    hlt\n    movb %bl, %al")


def files_change():
    """Files that change behind our back: what was read at the start is booted again."""
    assemble(SPEAKS, "kernel", VERSION=0x206, FLAGS=1, CODE32=0x100000, ENTRY=0x100000)
    with open("initrd", "wb") as f:
        f.write(b"disk" + bytes(100000))
    for name in ("kernel", "initrd"):
        shutil.copy(name, name + ".old")
        if os.path.exists("log"):
            os.unlink("log")
        screen = Screen([*RINGER, "-display", "none", "-serial", "none", "-debugcon", "file:log", "-kernel", "kernel",
                         "-initrd", "initrd"])

        def wait_for(size):
            end = time.monotonic() + 20
            while os.path.getsize("log") < size and screen.process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)

        wait_for(100004)
        os.truncate(name, 0)
        screen.command("system_reset")
        wait_for(2 * 100004)
        with open("log", "rb") as f:
            log = f.read()
        status = screen.process.poll()
        screen.kill()
        report(f"{name} is truncated, reset", None if status is None and log == 2 * (b"disk" + bytes(100000)) else
               f"status {status}, {len(log)} bytes")
        os.rename(name + ".old", name)


def acpi_for_another_bios():
    """SeaBIOS takes the tables that the machine offers (there are none of its own in Debian's)."""
    if not os.path.exists(SEABIOS):
        print("ok - ACPI tables under SeaBIOS # SKIP no SeaBIOS")
        return
    screen = Screen([*RINGER, "-display", "none", "-serial", "none", "-bios", SEABIOS])
    screen.expect("Boot failed", timeout=30)
    words = [int(word, 16) for line in screen.command("xp /16384wx 0xf0000").splitlines() if ":" in line
             for word in line.split(":")[1].split()]
    memory = struct.pack(f"<{len(words)}I", *words)
    at = memory.find(b"RSD PTR ")
    oem = memory[at + 9:at + 15] if at >= 0 else None
    rsdt = screen.command(f"xp /1wx {struct.unpack_from('<I', memory, at + 16)[0]:#x}") if oem else ""
    screen.kill()
    report("ACPI tables under SeaBIOS", None if oem == b"RINGER" and "0x54445352" in rsdt else f"{at} {oem} {rsdt}")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    protocols()
    multiboot()
    files_change()
    acpi_for_another_bios()
sys.exit(failures != 0)
