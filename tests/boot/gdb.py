#!/usr/bin/env python3
"""Debugging guests of our own: with Debian's gdb, and with packets that no gdb sends.

usage: gdb.py RINGER ENGINE [CASE...]

Status 77, a skip, where there is no gdb.
"""
import fcntl
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from expect import Failure, check, equal, in_order  # noqa: E402
from guest import die_with_parent  # noqa: E402
from rsp import Rsp, RspError, frame  # noqa: E402

SKIP = 77
RINGER, ENGINE = os.path.abspath(sys.argv[1]), sys.argv[2]
EAX, ECX, EBX, ESP, EIP, EFLAGS, CS, CR0, EIP_OFFSET = 0, 1, 3, 4, 8, 9, 10, 44, 54

# Real mode in a segment that does not start at 0, then protected mode: a loop that counts at 9000h.
BOOT = """
    .code16
    .globl _start, variable, prot, sub32, far
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7000, %sp
    ljmp $0x7b0, $(far - _start + 0x100)
far:
    movw $0x1234, %bx
    movw $5, %cx
2:  incw %cs:variable - _start + 0x100
    loop 2b
    call sub16
    lgdtl %cs:gdtr - _start + 0x100
    movl %cr0, %eax
    orb $1, %al
to_protected:
    movl %eax, %cr0
    ljmpl $8, $prot
sub16:
    pushw $0x4321
    popw %dx
    ret
variable: .word 0x10
gdtr: .word 31
    .long gdt
    .balign 8
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0
    .code32
prot:
    movl $0x10, %eax
    movw %ax, %ds
    movw %ax, %ss
    movl $0x7000, %esp
    movl $0, 0x9000
3:  incl 0x9000
    call sub32
    jmp 3b
sub32:
    movl 0x9004, %ecx
    movl %ecx, 0x9008
    ret
    .org 510
    .word 0xaa55
"""

# Paging (linear 400000h is physical 200000h) and a clock that interrupts: 9010h counts its ticks, 9000h the loop's turns.
# What the debugger writes to 9020h it does: 1 HLT, 2 reset, 3 port F4h (isa-debug-exit), 4 triple fault.
KERNEL = """
    .text
    .globl _start, loop, tick, word
    .long 0x1badb002, 0, -0x1badb002
.macro out port, value
    movb $\\value, %al
    outb %al, $\\port
.endm
_start:
    movl $0x80000, %esp
    lgdt gdtr
    ljmp $8, $1f
1:  movl $0x10, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0, 0x9000
    movl $0, 0x9010
    movl $0, 0x9020
    movl $3, %eax
    movl $0x11000, %edi
2:  stosl
    addl $0x1000, %eax
    cmpl $0x400003, %eax
    jne 2b
    movl $0x200003, %eax
    movl $0x12000, %edi
3:  stosl
    addl $0x1000, %eax
    cmpl $0x210003, %eax
    jne 3b
    movl $0x11003, 0x10000
    movl $0x12003, 0x10004
    movl $0x10000, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    movl $tick, %eax
    movw %ax, idt + 8 * 0x20
    movw $8, idt + 8 * 0x20 + 2
    movw $0x8e00, idt + 8 * 0x20 + 4
    shrl $16, %eax
    movw %ax, idt + 8 * 0x20 + 6
    lidt idtr
    out 0x20, 0x11
    out 0x21, 0x20
    out 0x21, 0x04
    out 0x21, 0x01
    out 0x21, 0xfe
    out 0x43, 0x34
    out 0x40, 0x00
    out 0x40, 0x10
    movl $0x12345678, 0x400100
    sti
loop:
    incl 0x9000
    movl 0x9020, %eax
    cmpl $1, %eax
    je 4f
    cmpl $2, %eax
    je 5f
    cmpl $3, %eax
    je 6f
    cmpl $4, %eax
    jne loop
    lidt no_idtr
    int3
4:  hlt
    jmp loop
5:  out 0x64, 0xfe
    jmp 5b
6:  out 0xf4, 0x07
    jmp 6b
tick:
    incl 0x9010
    pushl %eax
    out 0x20, 0x20
    popl %eax
    iret
    .data
gdtr: .word 23
    .long gdt
    .balign 8
gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
idtr: .word 8 * 0x21 - 1
    .long idt
no_idtr: .word 0
    .long 0
    .bss
    .balign 8
idt: .space 8 * 0x21
"""

HOOK = ["define hook-stop", "unset tdesc filename", "end"]


def assemble():
    for name, text, link in ("boot", BOOT, ["-Ttext", "0x7c00"]), ("kernel", KERNEL, ["-Ttext", "0x100000", "-e", "_start"]):
        with open(name + ".s", "w", encoding="ascii") as out:
            out.write(text)
        subprocess.run(["as", "--32", "-o", name + ".o", name + ".s"], check=True)
        subprocess.run(["ld", "-m", "elf_i386", *link, "-o", name + ".elf", name + ".o"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", "boot.elf", "boot.img"], check=True)
    symbols = {}
    for name in "boot", "kernel":
        listing = subprocess.run(["nm", name + ".elf"], check=True, stdout=subprocess.PIPE, text=True).stdout
        for line in listing.splitlines():
            value, _, symbol = line.split()
            symbols[symbol if name == "boot" or symbol in ("loop", "tick") else "kernel" + symbol] = int(value, 16)
    return symbols


class Machine:
    """A guest with its debugger's socket."""
    count = 0

    def __init__(self, guest, *extra, gdb=None):
        Machine.count += 1
        self.socket = os.path.abspath("gdb%d" % Machine.count)
        device = gdb or "unix:%s,server=on,wait=off" % self.socket
        media = ["-drive", "file=boot.img,format=raw"] if guest == "boot" else ["-kernel", "kernel.elf"]
        command = [RINGER, "-accel", ENGINE, "-m", "16", "-display", "none", "-serial", "none", "-device",
                   "isa-debug-exit,iobase=0xf4,iosize=4", *media, *(["-s"] if gdb == "-s" else ["-gdb", device]), *extra]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        ended = self.process.poll()
        self.process.kill()
        errors = self.process.communicate()[1]
        if kind:
            print("# status %s; standard error: %s" % (ended, errors.strip()))
        check(kind or ended is None or ended >= 0, "ended by signal %s: %s" % (ended, errors))

    def rsp(self, **options):
        return Rsp(self.socket, **options)

    def status(self):
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            raise Failure("still running") from None

    def gdb(self, *commands, symbols=None, hook=True):
        """Runs gdb with these commands after it has connected; what it says. It ends well."""
        status, text = self.start_gdb(*commands, symbols=symbols, hook=hook)
        check(status >= 0, "gdb ended by signal %d:\n%s" % (-status, text))
        return text

    def start_gdb(self, *commands, symbols=None, hook=True):
        script = ["set pagination off", "set confirm off", "set tcp connect-timeout 20"]
        script += ["symbol-file " + symbols] if symbols else []
        script += (HOOK if hook else []) + ["target remote " + self.socket, *commands]
        with open("script.gdb", "w", encoding="ascii") as out:
            out.write("\n".join(script) + "\n")
        while not os.path.exists(self.socket):
            check(self.process.poll() is None, "the machine has ended")
            time.sleep(0.02)
        result = subprocess.run(["gdb", "-nx", "-q", "-batch", "-x", "script.gdb"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return result.returncode, result.stdout


def go_to(rsp, name):
    rsp.ask("Z0,%x,1" % SYMBOLS[name], "OK")
    check(rsp.go_to_stop().startswith("T05"), "no stop at " + name)
    rsp.ask("z0,%x,1" % SYMBOLS[name], "OK")
    equal(rsp.register(EIP), SYMBOLS[name], "pc at " + name)


def counts(rsp, address=0x9000):
    """The machine runs: some time later there is more."""
    before, end = rsp.read32(address), time.monotonic() + 10
    while time.monotonic() < end:
        rsp.go()
        time.sleep(0.1)
        rsp.interrupt()
        if rsp.read32(address) != before:
            return True
    return False


# --- gdb itself ---

def case_boot_sector():
    """From the reset vector through a boot sector into protected mode, rightly disassembled all the way."""
    with Machine("boot", "-S") as machine:
        text = machine.gdb("x/i $pc", "break *0x7c00", "continue", "x/3i $pc", "info registers", "stepi 5", "x/i $pc",
                           "stepi", "x/i $pc", "print/x $cs", "print/x $eip_offset", "watch *(short *)&variable",
                           "continue", "continue", "delete", "break sub16", "continue", "x/2i $pc", "x/1xh $sp", "stepi",
                           "x/2xh $sp", "tbreak to_protected", "continue", "x/2i $pc", "stepi", "x/i $pc", "stepi", "x/2i $pc",
                           "show architecture", "rwatch *(int *)0x9004", "continue", "delete", "awatch *(int *)0x9008",
                           "continue", "delete", "hbreak sub32", "continue", "backtrace 1", "print *(int *)0x9000",
                           "continue", "print *(int *)0x9000", "kill", symbols="boot.elf")
        in_order(text, r"^=> 0xfffffff0:\tljmp +\$0xf000", r"^Breakpoint 1, .*_start", r"^=> 0x7c00.*:\tcli",
                 r"^ +0x7c01.*:\txor +%ax,%ax", r"^eip +0x7c00", r"^cs +0x0", r"^=> 0x7c0a.*ljmp +\$0x7b0,\$0x10f",
                 r"^=> 0x7c0f <far>:\tmov +\$0x1234,%bx", r"= 0x7b0$", r"= 0x10f$", r"^Old value = 16$", r"^New value = 17$",
                 r"^Old value = 17$", r"^New value = 18$", r"^Breakpoint 3, .*sub16", r"push +\$0x4321", r"pop +%dx",
                 r"^0x6ffe:\t0x\w+", r"^0x6ffc:\t0x4321", r"mov +%eax,%cr0", r"ljmpl +\$0x8,\$0x", r"^=> .*ljmpl", r"^=> .*mov +\$0x10,%eax",
                 r"mov +%eax,%ds", r"currently \"i386\"", r"^Hardware read watchpoint", r"^Value = 0$",
                 r"^Hardware access \(read/write\) watchpoint", r"^Breakpoint \d+, .*sub32", r"#0 .*sub32", r"= (\d+)")
        values = re.findall(r"^\$\d+ = (\d+)$", text, re.M)
        equal(int(values[-1]) - int(values[-2]), 1, "turns of the loop between two breakpoints")
        equal(machine.status(), 0, "status after kill")


def case_plain_gdb():
    """Without the lines for following the mode: all is right but the disassembly, and what was read holds."""
    with Machine("boot", "-S") as machine:
        text = machine.gdb("break *%d" % SYMBOLS["prot"], "continue", "show architecture", "print/x $pc", "stepi",
                           "print/x $eax", "print/x $pc", "print $xmm7.uint128", "set $pc = 0x7c00", "print/x $pc",
                           "print/x $eip_offset", "info all-registers", hook=False)
        in_order(text, "^Breakpoint 1,", "currently \"i8086\"", "= 0x%x$" % SYMBOLS["prot"], "= 0x10$",
                 "= 0x%x$" % (SYMBOLS["prot"] + 5), "= 0$", "= 0x7c00$", "= 0x7c00$", "^fctrl +0x37f", "^mxcsr +0x1f80")
        check("rror" not in text and "warning: A handler" not in text, text)


def case_pipe_and_pty():
    """Back ends that are no sockets: gdb starts the machine; a pseudo-terminal, where a debugger is killed."""
    pipe = "| exec %s -accel %s -m 16 -display none -serial none -gdb stdio -S -drive file=boot.img,format=raw" % (RINGER, ENGINE)
    script = ["-ex", "target remote " + pipe, "-ex", "break *0x7c00", "-ex", "continue", "-ex", "x/i $pc", "-ex", "kill"]
    result = subprocess.run(["gdb", "-nx", "-q", "-batch", *script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=60)
    in_order(result.stdout, "^Breakpoint 1,", "^=> 0x7c00:\tcli", "killed")
    with Machine("kernel", gdb="pty") as machine:
        line = machine.process.stderr.readline()
        machine.socket = re.search(r"/dev/pts/\d+", line).group()
        status, killed = machine.start_gdb("break loop", "continue", "shell kill -9 $PPID", symbols="kernel.elf")
        equal(status, -9, "gdb's end")
        in_order(killed, "^Breakpoint 1, ")
        text = machine.gdb("tbreak tick", "continue", "detach", symbols="kernel.elf")
        in_order(text, "^Temporary breakpoint 1, .*tick", "detached")


def case_source():
    """A kernel with its symbols, loaded as gdb loads programs; detached and attached again."""
    with Machine("kernel") as machine:
        text = machine.gdb("break tick", "continue", "stepi", "info breakpoints", "delete", "watch *(int *)0x9010", "continue",
                           "detach", "target remote " + machine.socket, "delete", "print *(int *)0x9010 > 1", "info threads",
                           "x/1xw 0x400100", "maint packet Qqemu.PhyMemMode:1", "maint flush dcache", "x/1xw 0x200100",
                           "maint packet Qqemu.PhyMemMode:0", "set var *(int *)0x400100 = 0x77", "maint packet bs",
                           "reverse-stepi", symbols="kernel.elf")
        in_order(text, "^Breakpoint 1, .*tick", "^Num ", "^Hardware watchpoint 2", "^Old value = ", "detached",
                 r"^\$1 = 1$", r"^\* 1 +Thread 1.1 \(CPU#0 \[stopped\]\)", "^0x400100:\t0x12345678", "^0x200100:\t0x12345678",
                 "^received: \"\"", "does not support this command")
        rsp = machine.rsp()
        equal(rsp.read32(0x400100), 0x77, "what gdb wrote")
        check(counts(rsp), "it does not run after gdb has gone")


# --- Packets ---

def case_start_stopped():
    """-S: it stands until it is told to go; detaching lets it go."""
    with Machine("kernel", "-S") as machine:
        rsp = machine.rsp()
        equal(rsp.ask("?"), "T05thread:01;", "?")
        first = rsp.register(EIP)
        rsp.close()
        time.sleep(0.2)
        rsp = machine.rsp()
        equal(rsp.register(EIP), first, "pc after a debugger that only looked")
        rsp.ask("D", "OK")
        time.sleep(0.3)
        check(rsp.read32(0x9000) > 0, "it does not run")


def case_interrupt():
    """Ctrl-C in a loop and in HLT; what the machine does is not disturbed."""
    with Machine("kernel") as machine:
        rsp = machine.rsp()
        go_to(rsp, "loop")
        for _ in range(50):
            rsp.go()
            equal(rsp.interrupt(), "T02thread:01;", "Ctrl-C")
        check(counts(rsp), "the loop")
        check(counts(rsp, 0x9010), "the clock")
        rsp.write(0x9020, b"\1")
        rsp.go()
        time.sleep(0.1)
        equal(rsp.interrupt(), "T02thread:01;", "Ctrl-C in HLT")
        check(counts(rsp, 0x9010), "the clock, in HLT")
        check(counts(rsp), "the loop, between")


def case_points():
    with Machine("kernel") as machine:
        rsp = machine.rsp()
        rsp.ask("qSupported:swbreak+;hwbreak+")
        go_to(rsp, "tick")
        for packet, stop in (("0,%x,1" % SYMBOLS["loop"], "T05swbreak:;thread:01;"), ("1,%x,1" % SYMBOLS["loop"], "T05hwbreak:;thread:01;"),
                             ("2,9001,2", "T05watch:9001;thread:01;"), ("3,9022,1", "T05rwatch:9022;thread:01;"),
                             ("4,9013,1", "T05awatch:9013;thread:01;")):
            rsp.ask("Z" + packet, "OK")
            for _ in range(3):
                equal(rsp.go_to_stop(), stop, "Z" + packet)
            if packet[0] in "01":
                equal(rsp.register(EIP), SYMBOLS["loop"], "pc")
            rsp.ask("z" + packet, "OK")
        check(counts(rsp), "it runs without them")
        rsp.ask("Z3,%x,1000" % 0x9000, "OK")
        rsp.ask("Z0,%x,1" % SYMBOLS["tick"], "OK")
        rsp.go_to_stop()
        rsp.close()  # with points
        rsp = machine.rsp()
        check(counts(rsp), "points of one who has gone")


def case_steps():
    """qqemu.sstep: with the masks no interrupt is seen in a thousand steps, without them some are."""
    with Machine("kernel") as machine:
        rsp = machine.rsp()
        go_to(rsp, "tick")
        go_to(rsp, "loop")

        def steps(count):
            seen = set()
            for _ in range(count):
                equal(rsp.step(), "T05thread:01;", "step")
                seen.add(rsp.register(EIP))
            return SYMBOLS["tick"] in seen
        equal(rsp.ask("qqemu.sstep"), "0x7", "the masks")
        check(not steps(1000), "an interrupt in spite of the mask")
        rsp.ask("Qqemu.sstep=1", "OK")
        check(steps(3000), "no interrupt in spite of no mask")
        rsp.ask("Qqemu.sstep=7", "OK")
        check(counts(rsp, 0x9010), "the clock afterwards")
        # A range of steps is one: the loop's instructions up to the comparison.
        go_to(rsp, "loop")
        equal(rsp.ask("vCont;r%x,%x:1" % (SYMBOLS["loop"], SYMBOLS["loop"] + 0x0b)), "T05thread:01;", "vCont;r")
        equal(rsp.register(EIP), SYMBOLS["loop"] + 0x0b, "pc after it")
        rsp.send("vCont;r0,ffffffff:1")
        time.sleep(0.1)
        equal(rsp.interrupt(), "T02thread:01;", "Ctrl-C in a range without end")


def case_registers():
    """All can be written, and are read back, one by one and all at once; the description fits."""
    with Machine("kernel") as machine:
        rsp = machine.rsp()
        go_to(rsp, "loop")
        text = rsp.description()
        check("<architecture>i386</architecture>" in text, text)
        names = []
        for annex in re.findall(r'href="([^"]+)"', text):
            names += re.findall(r'<reg name="(\w+)" bitsize="(\d+)"', rsp.description(annex))
        whole = rsp.ask("g")
        equal(len(whole), sum(int(bits) // 4 for _, bits in names), "digits of g")
        fixed = {"eflags", "k_gs_base", "cr0", "cr3", "cr4", "cr8", "efer", "fstat", "ftag", "fiseg", "foseg", "mxcsr", "cs", "ss", "ds", "es",
                 "fs", "gs", "fctrl", "fop"}
        want = {}
        for number, (name, bits) in enumerate(names):
            if name in fixed or name.endswith("_offset") or name.endswith("_base"):
                continue
            value = random.getrandbits(int(bits))
            if name.startswith("st"):
                value |= 1 << 63
            rsp.set_register(number, value, int(bits) // 8)
            want[name] = value
        for name, value in (("fctrl", 0x27f), ("fstat", 0x4100), ("mxcsr", 0x1fa0), ("fop", 0x123), ("fiseg", 0x8), ("foseg", 0x10),
                            ("cr3", 0x10000), ("eflags", 0x202), ("cr0", 0xe0000011), ("ds", 0x10), ("fs", 0x10), ("gs", 0),
                            ("fs_base", 0x12340), ("es_base", 0), ("k_gs_base", 0), ("cr8", 0)):
            rsp.set_register([n for n, _ in names].index(name), value)
            want[name] = value
        for number, (name, bits) in enumerate(names):
            if name.startswith("st") and name in want:
                continue  # moved by fstat's TOP
            if name in want:
                equal(hex(rsp.register(number)), hex(want[name]), name)
        again = rsp.ask("g")
        rsp.ask("G" + again, "OK")
        equal(rsp.ask("g"), again, "g after G")
        for number in range(len(names)):
            rsp.ask("P%x=00" % number, "E22")
        rsp.ask("P%x=00000000" % len(names), "E22")
        equal(rsp.ask("p%x" % len(names)), "E22", "one too many")


def case_two_debuggers():
    """The second waits, and does the first no harm."""
    with Machine("kernel") as machine:
        first = machine.rsp()
        second = socket.socket(socket.AF_UNIX)
        second.connect(machine.socket)
        second.sendall(frame("m9000,4"))
        check(counts(first), "the first")
        equal(first.register(CS), 8, "cs")
        second.settimeout(0.1)
        try:
            check(False, "the second hears %r" % second.recv(10))
        except socket.timeout:
            pass
        first.close()
        second.settimeout(20)
        equal(second.recv(1), b"+", "the second, when the first has gone")
        second.close()
        check(counts(machine.rsp()), "the third")


def case_gone():
    """A debugger that goes away in mid-packet, standing and running, and as its machine runs into a point."""
    with Machine("kernel") as machine:
        for turn in range(20):
            rsp = machine.rsp(ack=turn % 2)
            rsp.ask("Z2,9000,4", "OK")
            if turn % 3 == 0:
                rsp.send("vCont;c")
            elif turn % 3 == 1:
                rsp.raw(b"$M9020,4:030")
            else:
                rsp.ask("z2,9000,4", "OK")
                rsp.go()
                rsp.raw(b"$vCont;c#")
            rsp.close()
        time.sleep(0.1)
        rsp = machine.rsp()
        equal(rsp.read32(0x9020), 0, "what was never sent in whole")
        check(counts(rsp), "it does not run")


def case_reset_and_off():
    """What happens to the machine while it is debugged."""
    with Machine("kernel", "-S") as machine:
        rsp = machine.rsp()
        rsp.ask("Z0,%x,1" % SYMBOLS["kernel_start"], "OK")
        rsp.go_to_stop()
        rsp.go()
        time.sleep(0.1)
        rsp.interrupt()
        for how in b"\2", b"\4", b"\2":
            rsp.write(0x9020, how)
            equal(rsp.go_to_stop(), "T05thread:01;", "a breakpoint after a reset")
            equal(rsp.register(EIP), SYMBOLS["kernel_start"], "pc")
            rsp.go()
            time.sleep(0.3)
            rsp.interrupt()
        rsp.write(0x9020, b"\3")
        equal(rsp.go_to_stop(), "W0f", "the machine's end")
        equal(machine.status(), 15, "status")
    with Machine("boot", "-no-reboot", "-no-shutdown") as machine:
        rsp = machine.rsp()
        rsp.ask("Z0,%x,1" % SYMBOLS["sub32"], "OK")
        rsp.go_to_stop()
        rsp.set_register(EIP, 0x9100)
        rsp.write(0x9100, bytes.fromhex("0f011d009200000fff"))  # lidt 9200h (zeros); ud0
        equal(rsp.go_to_stop(), "T03thread:01;", "a triple fault with nobody to reset")
        rsp.read(0x9100, 4)
        equal(rsp.go_to_stop(), "T03thread:01;", "it cannot go on")
        rsp.ask("D", "OK")


def case_monitor():
    """The monitor's commands, also those that do what the debugger does."""
    with Machine("kernel", "-S") as machine:
        text = machine.gdb("monitor info status", "monitor nonsense", "break _start", "continue", "monitor system_reset",
                           "continue", "monitor info registers", "monitor cont", "shell sleep 0.2", "monitor stop",
                           "monitor info status", "maint flush register-cache", "print $pc == _start", "delete",
                           "monitor quit", symbols="kernel.elf")
        in_order(text, "^VM status: paused", "^unknown command: 'nonsense'", "^Breakpoint 1, ", "^Breakpoint 1, ",
                 "^EAX=2badb002", "^VM status: paused", "^\\$1 = ")
        equal(machine.status(), 0, "status after quit")


def case_kill():
    for packet in "k", "vKill;1":
        with Machine("kernel") as machine:
            rsp = machine.rsp()
            rsp.send(packet)
            equal(machine.status(), 0, packet)


def case_garbage():
    """Whatever comes, the machine and its debugger live."""
    seed = random.randrange(1 << 32)
    print("# seed %d" % seed)
    rng = random.Random(seed)
    letters = b"gGpPmMXZz?csCSHTDqQv!0123456789abcdef,:;=.-+$#}*\x03\xff\0"
    starts = [b"vCont;s", b"vCont;c", b"m9000,", b"Z0,", b"Z2,9000,", b"P", b"s", b"c", b"X9100,4:", b"M9100,4:", b"G", b"qXfer:features:read:",
              b"Qqemu.sstep=", b"Qqemu.PhyMemMode:", b"D", b"?", b"g"]
    with Machine("kernel") as machine:
        for _ in range(10):
            rsp = machine.rsp()
            rsp.socket.setblocking(False)
            for _ in range(300):
                body = rng.choice(starts) + bytes(rng.choice(letters) for _ in range(rng.randrange(12)))
                data = frame(body) if rng.randrange(3) else b"$" + body + b"#00"
                if b"$k" in data or b"$vK" in data or b"$R" in data:
                    continue
                try:
                    rsp.socket.sendall(data)
                    rsp.socket.recv(65536)
                except OSError:
                    pass
            rsp.close()
            check(machine.process.poll() is None, "ended with %s" % machine.process.poll())
        rsp = machine.rsp()
        equal(rsp.ask("?"), "T05thread:01;", "?")


def case_tcp():
    """-S -s: it stands at its first instruction, on TCP's port 1234; attached, left, attached again."""
    with open(os.path.join(tempfile.gettempdir(), "ringer-test-port-1234"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the same case with another engine, perhaps at this moment
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", 1234))
            except OSError:
                print("# port 1234 is somebody else's")
                return
        tcp_checked()


def tcp_checked():
    with Machine("kernel", "-S", gdb="-s"):
        rsp = Rsp(("127.0.0.1", 1234))
        equal(rsp.register(EIP), 0xfffffff0, "pc")
        rsp.ask("D", "OK")
        rsp.close()
        rsp = Rsp(("127.0.0.1", 1234), ack=True)
        rsp.raw(b"-")
        rsp.raw(b"+$qC#b4")
        rsp.ack = False
        equal(rsp.receive(), "QC01", "qC")
        rsp.raw(b"-")
        equal(rsp.receive(), "QC01", "again")
        rsp.raw(b"+$qC#00")
        equal(rsp.socket.recv(10), b"-", "a bad checksum")
        check(counts(rsp), "it runs")


def main():
    names = sys.argv[3:] or [name[5:] for name in globals() if name.startswith("case_")]
    failures = 0
    for name in names:
        problem = None
        try:
            globals()["case_" + name]()
        except (Failure, RspError, OSError, ValueError, subprocess.TimeoutExpired) as error:
            problem = "%s: %s" % (type(error).__name__, error)
        print("%s - %s" % ("not ok" if problem else "ok", name), flush=True)
        if problem:
            failures += 1
            print("# " + problem.replace("\n", "\n# "), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    if not shutil.which("gdb"):
        print("skipped: package gdb is not installed")
        sys.exit(SKIP)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        SYMBOLS = assemble()
        sys.exit(main())
