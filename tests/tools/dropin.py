#!/usr/bin/env python3
"""How many command lines written for qemu-system-i386 are accepted, and which option stops each of the others.

    dropin.py RINGER LIST [--verbose] [--expect NAME,...]

LIST: a command line a row; the first word is not looked at. Words in capitals stand for files that are made here (DISK,
CDROM, FLOPPY, KERNEL, BZIMAGE, INITRD, QCOW2, VDI, ROM, LOG, SOCK, DIR and their like). A line is accepted when the
machine is running after a moment. --expect: status 1 unless every refusal is about one of these words (options, devices,
values), which are those that are not there yet.
"""
import collections
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import time


def multiboot_kernel():
    """CLI; HLT, for the loader that QEMU users rely on."""
    header = struct.pack("<IIIIIIII", 0x1BADB002, 0x10000, (-0x1BADB002 - 0x10000) & 0xFFFFFFFF, 0x100000, 0x100000, 0,
                         0, 0x100020)
    return header + b"\xfa\xf4\xeb\xfd" + bytes(64)


def bzimage():
    """The smallest file that has a Linux boot header of protocol 2.02."""
    setup = bytearray(1024)
    setup[0x1F1] = 1
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x200:0x202] = b"\xeb\x30"
    setup[0x202:0x206] = b"HdrS"
    setup[0x206:0x208] = b"\x02\x02"
    setup[0x211] = 1
    setup[0x214:0x218] = struct.pack("<I", 0x100000)
    return bytes(setup) + b"\xfa\xf4\xeb\xfd" * 64


def files_make(folder):
    sector = b"\xfa\xf4" + bytes(508) + b"\x55\xaa"
    content = {"DISK": sector + bytes(1 << 20), "DISK2": sector + bytes(1 << 20), "CDROM": bytes(64 << 10),
               "FLOPPY": sector + bytes(1474560 - 512), "KERNEL": multiboot_kernel(), "BZIMAGE": bzimage(),
               "INITRD": bytes(4096), "ROM": b"\x55\xaa\x01\xcb" + bytes(508)}
    for name, data in content.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    for name in ("QCOW2", "QCOW2B", "QCOW2F"):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", os.path.join(folder, name),
                        "1440k" if name == "QCOW2F" else "4M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "vdi", os.path.join(folder, "VDI"), "4M"], check=True)
    os.mkdir(os.path.join(folder, "DIR"))


NAMES = "DISK2|DISK|CDROM|FLOPPY|KERNEL|BZIMAGE|INITRD|ROM|QCOW2B|QCOW2F|QCOW2|VDI|LOG|SOCK|PID|DIR"


SAID = r"(\S+Z )?ringer: "  # -msg timestamp=on
STARTED = re.compile(r"^" + SAID + "engine ", re.M)


def background_end(words):
    """-daemonize: the machine is somebody else than the process that was started."""
    if "-daemonize" not in words:
        return
    path = words[words.index("-pidfile") + 1]
    try:
        with open(path) as f:
            os.kill(int(f.read()), signal.SIGKILL)
    except (OSError, ValueError):
        pass


def try_line(ringer, line, folder):
    """None if accepted, else the sentence."""
    words = [re.sub(r"\b(%s)\b" % NAMES, lambda m: os.path.join(folder, m.group(1)), word)
             for word in shlex.split(line)[1:]]
    if "-daemonize" in words and "-pidfile" not in words:
        words += ["-pidfile", os.path.join(folder, "PID")]
    master, slave = pty.openpty()
    process = subprocess.Popen([ringer] + words, stdin=slave, stdout=slave, stderr=subprocess.PIPE, cwd=folder,
                               env=dict(os.environ, TERM="xterm"), start_new_session=True)
    os.close(slave)
    end = time.monotonic() + 10
    said = ""
    os.set_blocking(process.stderr.fileno(), False)
    while time.monotonic() < end:
        ended = process.poll() is not None
        said += (process.stderr.read() or b"").decode(errors="replace")
        if STARTED.search(said) or ended:
            break
        time.sleep(0.02)
    started = STARTED.search(said)
    process.kill()
    process.wait()
    background_end(words)
    process.stderr.close()
    os.close(master)
    if started:
        return None
    sentences = [s.split("ringer: ", 1)[1] for s in said.split("\n") if re.match(SAID, s)]
    return sentences[-1] if sentences else "no sentence; status %s: %s" % (process.returncode, said[-200:])


def main():
    verbose = "--verbose" in sys.argv
    expect = None
    rest = [a for a in sys.argv[1:] if a != "--verbose"]
    if "--expect" in rest:
        at = rest.index("--expect")
        expect = rest[at + 1].split(",")
        del rest[at:at + 2]
    ringer, path = os.path.abspath(rest[0]), rest[1]
    with open(path) as f:
        lines = [line.strip() for line in f if line.strip() and not line.startswith("#")]
    reasons, unexpected = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        files_make(folder)
        for line in lines:
            sentence = try_line(ringer, line, folder)
            for name in ("LOG", "SOCK", "PID"):
                if os.path.exists(os.path.join(folder, name)):
                    os.remove(os.path.join(folder, name))
            if sentence is None:
                continue
            sentence = sentence.replace(folder + "/", "")
            reasons[sentence] += 1
            if expect is not None and not any(re.search(r"(?<![\w-])%s(?![\w-])" % re.escape(word), sentence)
                                              for word in expect):
                unexpected.append((line, sentence))
            if verbose:
                print("refused: %s\n         %s" % (line, sentence))
    for sentence, count in reasons.most_common():
        print("%4d  %s" % (count, sentence))
    print("dropin: %d of %d accepted" % (len(lines) - sum(reasons.values()), len(lines)))
    for line, sentence in unexpected:
        print("NOT EXPECTED: %s\n    %s" % (line, sentence))
    return 1 if unexpected else 0


sys.exit(main())
