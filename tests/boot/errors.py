#!/usr/bin/env python3
"""Bad input from the user: each case must end with status 1 and one sentence on standard error.

usage: errors.py RINGER
"""
import os
import resource
import struct
import subprocess
import sys
import tempfile

RINGER = os.path.abspath(sys.argv[1])
failures = 0


def run(arguments, limit=None):
    def prepare():
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return subprocess.run([RINGER, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=20, preexec_fn=prepare)


def check(name, arguments, sentence, limit=None):
    global failures
    problems = []
    try:
        result = run(arguments, limit)
        lines = result.stderr.splitlines()
        if result.returncode != 1:
            problems.append(f"status {result.returncode}, not 1")
        if len(lines) != 1 or not lines[0].startswith("ringer: "):
            problems.append(f"not one sentence: {result.stderr!r}")
        elif sentence not in lines[0]:
            problems.append(f"{lines[0]!r} does not say {sentence!r}")
        if result.stdout:
            problems.append(f"wrote to standard output: {result.stdout!r}")
    except subprocess.TimeoutExpired:
        problems.append("did not end")
    if problems:
        failures += 1
    print(f"{'not ok' if problems else 'ok'} - {name}")
    for problem in problems:
        print(f"# {problem}")


def bzimage(code=4096, init_size=0x10000, version=0x20f, loadflags=1):
    """A kernel whose code is HLT with interrupts off: never started here."""
    image = bytearray(1024 + code)
    image[0x1f1] = 1
    struct.pack_into("<I", image, 0x1f4, code // 16)
    struct.pack_into("<H", image, 0x1fe, 0xaa55)
    image[0x200:0x202] = b"\xeb\x66"
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, version)
    image[0x211] = loadflags
    struct.pack_into("<I", image, 0x214, 0x100000)
    struct.pack_into("<I", image, 0x22c, 0x37ffffff)
    struct.pack_into("<I", image, 0x238, 255)
    struct.pack_into("<QI", image, 0x258, 0x100000, init_size)
    image[1024:] = b"\xf4" * code
    return bytes(image)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    files = {
        "good": bzimage(),
        "empty": b"",
        "text": b"This is not a kernel.\n" * 100,
        "short": bzimage()[:2000],
        "stub": bzimage()[:0x220],
        "old": bzimage(version=0x203),
        "zimage": bzimage(loadflags=0),
        "hungry": bzimage(init_size=200 << 20),
        "elf": b"\177ELF" + bytes(100),
        "big": bytes(20 << 20),
    }
    for file, content in files.items():
        with open(file, "wb") as out:
            out.write(content)

    check("no arguments", [], "give -kernel FILE")
    check("missing kernel", ["-kernel", "nothere"], "there is no such file")
    check("directory as kernel", ["-kernel", "."], "is a directory")
    check("empty kernel", ["-kernel", "empty"], "is empty")
    check("text as kernel", ["-kernel", "text"], "neither a Linux bzImage nor a multiboot kernel")
    check("truncated kernel", ["-kernel", "short"], "truncated")
    check("kernel truncated in its header", ["-kernel", "stub"], "truncated")
    check("old boot protocol", ["-kernel", "old"], "boot protocol 2.03")
    check("zImage", ["-kernel", "zimage"], "zImage")
    check("ELF without multiboot header", ["-kernel", "elf"], "without a multiboot header")
    check("kernel too large for RAM", ["-m", "64", "-kernel", "hungry"], "give more with -m")
    check("missing initrd", ["-kernel", "good", "-initrd", "nothere"], "there is no such file")
    check("directory as initrd", ["-kernel", "good", "-initrd", "."], "is a directory")
    check("empty initrd", ["-kernel", "good", "-initrd", "empty"], "is empty")
    check("initrd too large", ["-m", "16", "-kernel", "good", "-initrd", "big"], "does not fit")
    check("long command line", ["-kernel", "good", "-append", "x" * 300], "300 bytes long")
    if os.geteuid() != 0:
        os.chmod("text", 0)
        check("unreadable kernel", ["-kernel", "text"], "Permission denied")

    check("unknown flag", ["-kernell", "good"], "did you mean '-kernel'?")
    check("flag without its argument", ["-kernel"], "needs an argument")
    check("no number", ["-kernel", "good", "-m", "lots"], "not a size")
    check("too little memory", ["-kernel", "good", "-m", "0"], "out of range")
    check("too much memory", ["-kernel", "good", "-m", "4G"], "out of range")
    check("two processors", ["-kernel", "good", "-smp", "2"], "processors")
    check("unknown engine", ["-kernel", "good", "-accel", "hax"], "there is no engine 'hax'")
    check("unknown CPU model", ["-kernel", "good", "-cpu", "z80"], "z80")
    check("unknown machine", ["-kernel", "good", "-M", "q35"], "there is no 'q35'")
    check("disk", ["-hda", "good"], "no disks yet")
    check("unknown log item", ["-kernel", "good", "-d", "int,everything"], "'everything'")
    check("log file in no folder", ["-kernel", "good", "-D", "no/where"], "cannot write 'no/where'")
    check("serial file in no folder", ["-kernel", "good", "-serial", "file:no/where"],
          "cannot write 'no/where'")
    check("unknown serial device", ["-kernel", "good", "-serial", "carrier-pigeon"], "carrier-pigeon")
    check("debug exit on taken ports", ["-kernel", "good", "-device", "isa-debug-exit,iobase=0x60"],
          "are taken")
    for engine in ("interp", "bt"):
        check(f"memory limit under {engine}", ["-kernel", "good", "-m", "3072", "-accel", engine], "-m",
              limit=1 << 30)
        # Also where RAM would fit but the rest of the engine does not: a sentence, not a signal.
        check(f"small memory limit under {engine}", ["-kernel", "good", "-m", "256", "-accel", engine], "",
              limit=300 << 20 if engine == "bt" else 200 << 20)

sys.exit(1 if failures else 0)
