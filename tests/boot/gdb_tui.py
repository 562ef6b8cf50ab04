#!/usr/bin/env python3
"""A small kernel with a process, laid out as teaching kernels are, in gdb's text windows: they follow $pc.

usage: gdb_tui.py RINGER ENGINE

Status 77, a skip, where there is no gdb.
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from expect import Failure  # noqa: E402
from guest import die_with_parent  # noqa: E402
from term import Term  # noqa: E402

SKIP = 77
RINGER, ENGINE = os.path.abspath(sys.argv[1]), sys.argv[2]

# Linear 0: the process (physical 400000h). Linear 80000000h: all memory, the kernel's.
KERNEL = """
    .globl _start, kmain, trap, traps
    .set HIGH, 0x80000000
    .long 0x1badb002, 0, -0x1badb002
    .globl entry
entry:
    movl %cr4, %eax
    orl $0x10, %eax
    movl %eax, %cr4
    movl $pgdir - HIGH, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $0x80010000, %eax
    movl %eax, %cr0
    movl $stack, %esp
    movl $kmain, %eax
    jmp *%eax
kmain:
    lgdt gdtr
    ljmp $8, $1f
1:  movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $program, %esi
    movl $HIGH + 0x400000, %edi
    movl $program_end - program, %ecx
    cld
    rep movsb
    movl $0x400087, pgdir
    movl %cr3, %eax
    movl %eax, %cr3
    movl $tss, %eax
    movw %ax, gdt + 0x2a
    shrl $16, %eax
    movb %al, gdt + 0x2c
    movb %ah, gdt + 0x2f
    movl $stack, tss + 4
    movl $0x10, tss + 8
    movw $0x28, %ax
    ltr %ax
    movl $trap, %eax
    movw %ax, idt + 8 * 0x40
    movw $8, idt + 8 * 0x40 + 2
    movw $0xee00, idt + 8 * 0x40 + 4
    shrl $16, %eax
    movw %ax, idt + 8 * 0x40 + 6
    lidt idtr
    movw $0x23, %ax
    movw %ax, %ds
    movw %ax, %es
    pushl $0x23
    pushl $0x2000
    pushl $2
    pushl $0x1b
    pushl $0x20
    iret
trap:
    pushl %ebx
    incl traps
    movl traps, %eax
    popl %ebx
    iret
    .data
    .balign 4096
pgdir:
    .long 0x87
    .fill 511, 4, 0
    .long 0x83, 0x400083
    .fill 510, 4, 0
gdtr: .word 8 * 6 - 1
    .long gdt
    .balign 8
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cffa000000ffff, 0x00cff2000000ffff, 0x0000890000000067
idtr: .word 8 * 0x41 - 1
    .long idt
program: .incbin "user.bin"
program_end:
    .balign 8
traps: .long 0
idt: .space 8 * 0x41
tss: .space 104
    .space 4096
stack:
"""

USER = """
    .globl main, add_one
    .org 0x20 # gdb's windows show nothing where $pc is 0
main:
    movl $7, %eax
    int $0x40
    addl %eax, %ecx
    call add_one
    jmp main
add_one:
    incl counter
    ret
    .globl counter
counter: .long 0
"""

SCRIPT = """
ENTRY(entry_physical)
entry_physical = entry - 0x80000000;
SECTIONS {
    . = 0x80100000;
    .text : AT(0x100000) { *(.text) }
    .data ALIGN(4096) : AT(ADDR(.data) - 0x80000000) { *(.data) *(.bss) }
}
"""


def build():
    def tool(*command):
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    for name, text in ("user.s", USER), ("kernel.s", KERNEL), ("kernel.ld", SCRIPT):
        with open(name, "w", encoding="ascii") as out:
            out.write(text)
    tool("as", "--32", "-o", "user.o", "user.s")
    tool("ld", "-m", "elf_i386", "-N", "-Ttext", "0", "-e", "main", "-o", "user.elf", "user.o")
    tool("objcopy", "-O", "binary", "user.elf", "user.bin")
    tool("as", "--32", "-o", "kernel.o", "kernel.s")
    tool("ld", "-m", "elf_i386", "-z", "max-page-size=4096", "-T", "kernel.ld", "-o", "kernel.elf", "kernel.o")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Tui:
    def __init__(self, port):
        self.term = Term(["gdb", "-nx", "-q", "kernel.elf"])
        self.port = port

    def expect(self, pattern):
        match = self.term.expect(pattern)
        if not match:
            raise Failure("no %r on:\n%s" % (pattern, self.term.text()))
        return match

    def give(self, line, pattern):
        self.term.type(line + "\n")
        return self.expect(pattern)

    def at(self, where, instruction):
        """The window's arrow, its address and the status line are one place, and that is this."""
        name = re.escape("<%s>" % where)
        line = self.expect(r"> ?\|? *0x(\w+) +%s +%s" % (name, instruction))
        self.expect(r"In: %s .*PC: 0x0*%x\b" % (where.split("+")[0], int(line.group(1), 16)))


def test():
    build()
    port = free_port()
    machine = subprocess.Popen([RINGER, "-accel", ENGINE, "-m", "16", "-display", "none", "-serial", "none", "-kernel", "kernel.elf",
                                "-S", "-gdb", "tcp:127.0.0.1:%d" % port], preexec_fn=die_with_parent)
    tui = Tui(port)
    try:
        tui.expect(r"\(gdb\)")
        tui.term.type("set pagination off\nset confirm off\nset tcp connect-timeout 20\nadd-symbol-file user.elf 0\n")
        tui.give("target remote :%d" % port, "Remote debugging using")
        tui.give("layout asm", r"0xfffffff0")
        tui.term.type("hbreak kmain\ncontinue\n")
        tui.at("kmain", "lgdt")
        tui.give("break main", "Breakpoint 2 at")
        tui.term.type("continue\n")
        walk = [("main", "mov +\\$0x7,%eax"), ("main+5", "int +\\$0x40"), ("trap", "push +%ebx"), ("trap+1", "incl"), ("trap+7", "mov"),
                ("trap+12", "pop +%ebx"), ("trap+13", "iret"), ("main+7", "add +%eax,%ecx"), ("main+9", "call"),
                ("add_one", "incl"), ("add_one+6", "ret"), ("main+14", "jmp")]
        for where, instruction in walk:
            tui.at(where, instruction)
            tui.term.type("stepi\n")
        tui.at(*walk[0])
        tui.term.type("tbreak trap\ncontinue\n")
        tui.at(*walk[2])
        tui.term.type("continue\n")
        tui.at(*walk[0])
        tui.term.type("info registers cs\n")
        tui.expect(r"^cs +0x1b")
        tui.give("print *(int *)&counter", r"^\$1 = 2$")
        tui.term.type("kill\n")
        status = machine.wait(20)
        if status:
            raise Failure("status %d after kill" % status)
    finally:
        tui.term.close()
        machine.kill()
        machine.wait()


def main():
    try:
        test()
    except (Failure, OSError, subprocess.SubprocessError) as error:
        print("not ok: %s" % error)
        return 1
    print("ok")
    return 0


if __name__ == "__main__":
    if not shutil.which("gdb"):
        print("skipped: package gdb is not installed")
        sys.exit(SKIP)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.exit(main())
