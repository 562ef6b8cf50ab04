#!/usr/bin/env python3
"""The whole machine with guests of a few instructions: console, interrupts, reset, power-off, exit status.

usage: machine.py RINGER [ENGINE]

Each guest is a multiboot kernel assembled here (as --32, ld -m elf_i386). It ends by writing v to port F4h:
status (v << 1) | 1.
"""
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time

RINGER = os.path.abspath(sys.argv[1])
ENGINE = sys.argv[2] if len(sys.argv) > 2 else "interp"
failures = 0

HEADER = """
    .text
    .globl _start
    .long 0x1badb002, 0, -0x1badb002
.macro exit value
    movb $\\value, %al
    outb %al, $0xf4
1:  jmp 1b
.endm
.macro out port, value
    movw $\\port, %dx
    movb $\\value, %al
    outb %al, %dx
.endm
.macro putc value
    out 0x3f8, \\value
.endm
.macro gate vector, handler
    movl $\\handler, %eax
    movw %ax, idt + 8 * \\vector
    movw %cs, idt + 8 * \\vector + 2
    movw $0x8e00, idt + 8 * \\vector + 4
    shrl $16, %eax
    movw %ax, idt + 8 * \\vector + 6
.endm
_start:
    movl $0x80000, %esp
"""
FOOTER = """
    .bss
    .balign 8
idt: .space 8 * 256
    .data
idtr: .word 8 * 256 - 1
    .long idt
no_idtr: .word 0
    .long 0
"""


def assemble(name, body):
    with open(name + ".s", "w", encoding="ascii") as out:
        out.write(HEADER + body + FOOTER)
    subprocess.run(["as", "--32", "-o", name + ".o", name + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x100000", "-e", "_start", "-o", name, name + ".o"],
                   check=True)


def command(name, *extra):
    return [RINGER, "-accel", ENGINE, "-m", "16", "-kernel", name, "-serial", "stdio", "-display", "none",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *extra]


def report(name, problems):
    global failures
    if problems:
        failures += 1
    print(f"{'not ok' if problems else 'ok'} - {name}", flush=True)
    for problem in problems:
        print(f"# {problem}")


def check(name, body, status, output=None, extra=(), stdin=b""):
    problems = []
    assemble(name, body)
    try:
        result = subprocess.run(command(name, *extra), input=stdin, capture_output=True, timeout=20)
        if result.returncode != status:
            problems.append(f"status {result.returncode}, not {status}; {result.stderr!r}")
        if output is not None and result.stdout != output:
            problems.append(f"printed {result.stdout!r}, not {output!r}")
        if not result.stderr.startswith(b"ringer: engine " + ENGINE.split(",")[0].encode()):
            problems.append(f"engine line: {result.stderr!r}")
    except subprocess.TimeoutExpired:
        problems.append("did not end")
    report(name, problems)


PIC = """
    out 0x20, 0x11
    out 0x21, 0x20
    out 0x21, 0x04
    out 0x21, 0x01
    out 0xa0, 0x11
    out 0xa1, 0x28
    out 0xa1, 0x02
    out 0xa1, 0x01
"""

# Counts boots in CMOS byte 40h, which a reset keeps; the fourth boot ends.
COUNT_BOOTS = """
    out 0x70, 0x40
    inb $0x71, %al
    incb %al
    outb %al, $0x71
    addb $'0', %al
    movw $0x3f8, %dx
    outb %al, %dx
    cmpb $'4', %al
    jne again
    exit 0x20
again:
"""

with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)

    check("exit_status", "exit 0x21", 0x43)
    check("serial_output", "putc 'h'\nputc 'i'\nexit 0", 1, b"hi")
    check("much_serial_output", """
    movl $200000, %ecx
    movw $0x3f8, %dx
    movb $'x', %al
2:  outb %al, %dx
    loop 2b
    exit 0
""", 1)
    check("serial_input", """
2:  movw $0x3fd, %dx
    inb %dx, %al
    testb $1, %al
    jz 2b
    movw $0x3f8, %dx
    inb %dx, %al
    outb %al, %dx
    cmpb $'!', %al
    jne 2b
    exit 0
""", 1, b"echo!", stdin=b"echo!")
    check("multiboot_registers", """
    cmpl $0x2badb002, %eax
    jne 2f
    testl $1, (%ebx)
    jz 2f
    cmpl $15360, 8(%ebx)
    jne 2f
    exit 0
2:  exit 1
""", 1)
    check("timer_wakes_hlt", PIC + """
    gate 0x20, tick
    lidt idtr
    out 0x21, 0xfe
    out 0x43, 0x34
    out 0x40, 0x9c
    out 0x40, 0x2e
    xorl %ebx, %ebx
    sti
2:  hlt
    cmpl $10, %ebx
    jb 2b
    exit 0
tick:
    incl %ebx
    movb $0x20, %al
    outb %al, $0x20
    iret
""", 1)
    # The local APIC's timer by the TSC: not before it is due, and IA32_TSC_DEADLINE reads 0 afterwards. KVM's is KVM's own.
    check("tsc_deadline", """
    movl $1, %eax
    cpuid
    btl $24, %ecx
    jnc 3f
    gate 0x50, due
    lidt idtr
    out 0x21, 0xff
    out 0xa1, 0xff
    movl $0x1ff, 0xfee000f0
    movl $0x40050, 0xfee00320
    xorl %ebx, %ebx
    movl $0x6e0, %ecx
    movl $20, %ebp
4:  rdtsc
    addl $5000000, %eax
    adcl $0, %edx
    movl %eax, %esi
    movl %edx, %edi
    wrmsr
    rdmsr
    cmpl %eax, %esi
    jne 2f
    sti
5:  hlt
    testl %ebx, %ebx
    jz 5b
    cli
    decl %ebx
    jnz 2f
    rdtsc
    subl %esi, %eax
    sbbl %edi, %edx
    jc 2f
    rdmsr
    orl %edx, %eax
    jnz 2f
    decl %ebp
    jnz 4b
3:  exit 0
2:  exit 1
due:
    incl %ebx
    movl $0, 0xfee000b0
    iret
""", 1)
    check("slave_interrupt", PIC + """
    gate 0x28, clock
    lidt idtr
    out 0x21, 0xfb
    out 0xa1, 0xfe
    out 0x70, 0x0c
    inb $0x71, %al
    out 0x70, 0x0b
    out 0x71, 0x42
    sti
2:  hlt
    jmp 2b
clock:
    exit 0
""", 1)
    check("soft_off", "movw $0x604, %dx\nmovw $0x2000, %ax\noutw %ax, %dx\n2: jmp 2b", 0)
    check("reset_by_cf9", COUNT_BOOTS + "out 0xcf9, 2\nout 0xcf9, 6\n2: jmp 2b", 0x41, b"1234")
    check("reset_by_8042", COUNT_BOOTS + "out 0x64, 0xfe\n2: jmp 2b", 0x41, b"1234")
    check("reset_by_port92", COUNT_BOOTS + "out 0x92, 3\n2: jmp 2b", 0x41, b"1234")
    check("reset_by_triple_fault", COUNT_BOOTS + "lidt no_idtr\nint3\n2: jmp 2b", 0x41, b"1234")
    check("no_reboot", COUNT_BOOTS + "out 0x64, 0xfe\n2: jmp 2b", 0, b"1", extra=["-no-reboot"])
    check("no_reboot_after_triple_fault", "lidt no_idtr\nint3\n2: jmp 2b", 0, extra=["-no-reboot"])
    check("reset_reloads_data", """
    cmpl $0x12345678, value
    jne 2f
    movl $0, value
""" + COUNT_BOOTS + """
    out 0x64, 0xfe
3:  jmp 3b
2:  exit 1
    .data
value: .long 0x12345678
    .text
""", 0x41)
    check("a20_wraps", """
    movl $0x11111111, 0x200500
    movl $0x22222222, 0x300500
    jmp 3f
    .org 0x200000 - 0x100000
3:  out 0x92, 0
    movl 0x300500, %ebx
    out 0x92, 2
    cmpl $0x11111111, %ebx
    jne 2f
    cmpl $0x22222222, 0x300500
    jne 2f
    exit 0
2:  exit 1
""", 1)
    check("open_bus", """
    movw $0x1234, %dx
    inl %dx, %eax
    cmpl $-1, %eax
    jne 2f
    cmpl $-1, 0xb8000
    jne 2f
    exit 0
2:  exit 1
""", 1, extra=["-vga", "none"])
    # The screen is in text mode, its last row is free, and the BIOS data area says so.
    check("text_screen", """
    cmpl $0x07200720, 0xb8f00
    jne 2f
    movw $0x1e41, 0xb8f9e
    cmpw $0x1e41, 0xb8f9e
    jne 2f
    cmpb $3, 0x449
    jne 2f
    cmpw $0x3d4, 0x463
    jne 2f
    exit 0
2:  exit 1
""", 1)
    check("debugcon", "movb $'d', %al\noutb %al, $0xe9\ninb $0xe9, %al\nputc '.'\ncmpb $0xe9, %al\nexit 0",
          1, b".", extra=["-debugcon", "file:log"])
    with open("log", "rb") as log:
        report("debugcon_file", [] if log.read() == b"d" else ["the byte is not in the file"])

    # A machine that sleeps uses no host CPU, and ends on a signal with status 0.
    assemble("sleeper", "putc 's'\ncli\n2: hlt\njmp 2b")
    for name, number in (("SIGTERM", signal.SIGTERM), ("SIGINT", signal.SIGINT)):
        problems = []
        with subprocess.Popen(command("sleeper"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            if process.stdout.read(1) != b"s":
                problems.append("did not start")
            def ticks():
                with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
                    return sum(int(x) for x in stat.read().rsplit(")", 1)[1].split()[11:13])
            before = ticks()
            time.sleep(1)
            used = ticks() - before
            if used > 5:
                problems.append(f"used {used} of 100 ticks of CPU time while halted")
            process.send_signal(number)
            try:
                if process.wait(10) != 0:
                    problems.append(f"status {process.returncode}")
            except subprocess.TimeoutExpired:
                problems.append("did not end")
                process.kill()
        report(f"idle_and_{name}", problems)

    # Ctrl-A x ends the machine and gives the terminal back; Ctrl-A Ctrl-A reaches the guest.
    problems = []
    assemble("typist", """
    putc '>'
2:  movw $0x3fd, %dx
    inb %dx, %al
    testb $1, %al
    jz 2b
    movw $0x3f8, %dx
    inb %dx, %al
    addb $0x40, %al
    outb %al, %dx
    jmp 2b
""")
    master, slave = pty.openpty()
    settings = termios.tcgetattr(slave)
    with subprocess.Popen([RINGER, "-accel", ENGINE, "-m", "16", "-kernel", "typist", "-nographic"],
                          stdin=slave, stdout=slave, stderr=subprocess.DEVNULL) as process:
        def read_until(mark):
            got = b""
            while mark not in got:
                if not select.select([master], [], [], 10)[0]:
                    problems.append(f"read {got!r} and no {mark!r}")
                    break
                got += os.read(master, 100)
        read_until(b">")
        os.write(master, b"\x01\x01\x03")
        read_until(b"AC") # Ctrl-C is the guest's, too
        os.write(master, b"\x01x")
        try:
            if process.wait(10) != 0:
                problems.append(f"status {process.returncode}")
        except subprocess.TimeoutExpired:
            problems.append("did not end")
            process.kill()
        if termios.tcgetattr(slave) != settings:
            problems.append("the terminal's settings are not restored")
    report("terminal", problems)

    # A spinning guest ends on a signal, too.
    problems = []
    assemble("spinner", "putc 's'\n2: jmp 2b")
    with subprocess.Popen(command("spinner"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        process.stdout.read(1)
        process.terminate()
        try:
            if process.wait(10) != 0:
                problems.append(f"status {process.returncode}")
        except subprocess.TimeoutExpired:
            problems.append("did not end")
            process.kill()
    report("spinner_SIGTERM", problems)

sys.exit(1 if failures else 0)
