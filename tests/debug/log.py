#!/usr/bin/env python3
"""What -d writes has QEMU's form, and where QEMU is installed, the same exceptions with the same values.

usage: log.py RINGER DEBUGGEE ROBUST
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

COMMON = ["-m", "64", "-display", "none", "-vga", "none", "-net", "none", "-serial", "none", "-monitor", "none", "-no-reboot"]
failures = []


def check(name, ok, text=""):
    print(("ok " if ok else "not ok ") + name)
    if not ok:
        failures.append(name)
        print("# " + text[:3000])


def log_of(program, items, image, seconds, more=()):
    """The log of some seconds of a guest."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        command = program + COMMON + ["-d", items, "-D", path, "-kernel", image] + list(more)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
        with open(path, errors="replace") as file:
            return file.read(64 << 20)


V = re.compile(r"^ *\d+: v=(..) e=(....) i=(\d) cpl=(\d) IP=(....:........) pc=(........) SP=(....:........) (CR2=........)?", re.M)
REGISTERS = (r"EAX=[0-9a-f]{8} EBX=[0-9a-f]{8} ECX=[0-9a-f]{8} EDX=[0-9a-f]{8}\n"
             r"ESI=[0-9a-f]{8} EDI=[0-9a-f]{8} EBP=[0-9a-f]{8} ESP=[0-9a-f]{8}\n"
             r"EIP=[0-9a-f]{8} EFL=[0-9a-f]{8} \[.{7}\] CPL=[0-3] II=[01] A20=1 SMM=0 HLT=[01]\n"
             r"ES =[0-9a-f]{4} [0-9a-f]{8} [0-9a-f]{8} [0-9a-f]{8}")


def test_int(ringer, image):
    logs = {}
    for engine in "interp", "bt", "direct,always=on":
        log = log_of([ringer, "-accel", engine], "int", image, 2)
        logs[engine] = V.findall(log)
        page_faults = re.findall(r"check_exception old: 0xffffffff new 0xe\n *\d+: v=0e e=000[02] i=0 cpl=0 IP=0008:\S+ pc=\S+ "
                                 r"SP=0010:\S+ CR2=40000\S{3}\n" + REGISTERS, log)
        check("int: page faults on " + engine, len(page_faults) > 2, log[:2000])
        check("int: INT 80h of ring 3 on " + engine, any(v[:4] == ("80", "0000", "1", "3") for v in logs[engine]), log[:2000])
    n = min(len(v) for v in logs.values())
    check("int: engines agree", n > 50 and logs["interp"][:n] == logs["bt"][:n] == logs["direct,always=on"][:n])
    qemu = shutil.which("qemu-system-i386")
    if qemu:
        theirs = [v for v in V.findall(log_of([qemu, "-accel", "tcg", "-cpu", "n270"], "int", image, 5)) if v[4][:4] != "f000"]
        n = min(n, len(theirs), 40)
        different = [i for i in range(n) if theirs[i] != logs["bt"][i]]
        check("int: as QEMU", n > 20 and not different,
              "%d compared, first difference %s" % (n, [(theirs[i], logs["bt"][i]) for i in different[:1]]))


def test_blocks(ringer, image):
    log = log_of([ringer, "-accel", "bt"], "in_asm,exec,cpu", image, 1)
    check("in_asm", re.search(r"^-{16}\nIN: \n0x00103000:  a3 (?:.. )+ +movl +%eax, \S+\n", log, re.M) is not None, log)
    check("exec", re.search(r"^Trace 0: 0x[0-9a-f]+ \[00000000/00103000/", log, re.M) is not None, log)
    check("cpu", re.search(r"^Trace 0: .*\n" + REGISTERS, log, re.M) is not None, log)
    log = log_of([ringer, "-accel", "bt"], "op", image, 1)
    check("op", re.search(r"^block eip=", log, re.M) is not None, log)
    log = log_of([ringer, "-accel", "interp"], "cpu", image, 1)
    check("cpu on interp", re.search(r"^" + REGISTERS, log) is not None, log)
    log = log_of([ringer, "-accel", "bt"], "in_asm,exec", image, 1, ["-dfilter", "0x103000..0x1030ff"])
    places = set(re.findall(r"^0x(\S+):", log, re.M)) | set(re.findall(r"^Trace 0: \S+ \[\S{8}/(\S{8})/", log, re.M))
    check("dfilter", places and all(0x103000 <= int(p, 16) < 0x103100 for p in places), log)
    log = log_of([ringer, "-accel", "bt"], "nochain,exec", image, 1)
    lines = log.splitlines()
    check("nochain", max(map(lines.count, set(lines[:1000]))) > 50, log)
    log = log_of([ringer, "-accel", "bt"], "pcall", image, 1)
    check("pcall", re.search(r"^lret new 001b:\S{8} s=1 addend=0x0\n" + REGISTERS, log, re.M) is not None, log)


def test_reset(ringer, image):
    for engine in "interp", "bt":
        log = log_of([ringer, "-accel", engine], "cpu_reset", image, 20, ["-append", "triple"])
        check("cpu_reset on " + engine, re.search(r"^CPU Reset \(CPU 0\)\n" + REGISTERS, log, re.M) is not None, log)
        end = log[log.rfind("Triple fault"):]
        check("triple fault on " + engine, re.match(r"Triple fault\n" + REGISTERS, end) is not None, end)
        check("triple fault: code on " + engine, re.search(r"^Code=(.. )*<..>( ..)*$", end, re.M) is not None, end)
        check("triple fault: what came before on " + engine, "exception" in end and "triple fault" in end.split("Code=")[-1], end)


def test_words(ringer):
    run = subprocess.run([ringer, "-d", "help"], capture_output=True, text=True)
    check("-d help", run.returncode == 0 and run.stdout.startswith("Log items (comma separated):\n") and "in_asm " in run.stdout)
    for words in (["-d", "trace:pic*"], ["-d", "int,trace:x"], ["-dfilter", "5"], ["-dfilter", "5..4"], ["-dfilter", "1+0"]):
        run = subprocess.run([ringer] + words, capture_output=True, text=True)
        check("refused: " + " ".join(words), run.returncode == 1 and run.stderr.count("\n") == 1 and words[0] in run.stderr,
              run.stderr)


ringer, debuggee, robust = sys.argv[1:]
test_words(ringer)
test_int(ringer, debuggee)
test_blocks(ringer, debuggee)
test_reset(ringer, robust)
sys.exit(bool(failures))
