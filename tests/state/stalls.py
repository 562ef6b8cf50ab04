#!/usr/bin/env python3
"""What the user does beside the machine delays no timer of the guest by more than 5 ms, and SIGTERM ends it at once.

usage: stalls.py RINGER GAP.elf STORM.elf

The guest of gap.c tells the longest gap between two ticks of its 1 kHz timer, second by second. On a busy host gaps come
from elsewhere: so each is compared with the gap when nothing was done just before, and the best of several tries counts.
"""
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import die_with_parent  # noqa: E402
from monitor import Hmp  # noqa: E402
import rfb  # noqa: E402
from qmp import Qmp  # noqa: E402
from rfb import RfbError, Viewer  # noqa: E402

LIMIT_US = 5000
failed = 0


def report(name, wrong):
    global failed
    failed += bool(wrong)
    print("%s - %s%s" % ("not ok" if wrong else "ok", name, ": " + wrong if wrong else ""), flush=True)


class Machine:
    def __init__(self, ringer, image, *options, terminal=False):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "monitor")
        self.gaps, self.log = [], os.path.join(self.folder.name, "debug")
        self.master = None
        standard = {}
        if terminal:
            self.master, slave = pty.openpty()
            standard = {"stdin": slave, "stdout": slave, "env": dict(os.environ, TERM="xterm"), "start_new_session": True}
        self.process = subprocess.Popen(
            [ringer, "-m", "32", "-kernel", image, "-debugcon", "file:" + self.log, "-serial", "null", "-no-reboot",
             "-device", "isa-debug-exit,iobase=0xf4", "-monitor", "unix:%s,server=on,wait=off" % self.path, *options],
            stderr=subprocess.PIPE, preexec_fn=die_with_parent, **standard)
        for _ in range(500):
            if os.path.exists(self.path):
                break
            time.sleep(0.02)

    def client(self):
        c = socket.socket(socket.AF_UNIX)
        c.connect(self.path)
        return c

    def seconds(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log) as f:
            return [int(n) for n in re.findall(r"^gap (\d+)$", f.read(), re.M)]

    def wait_seconds(self, count, limit=60):
        end = time.monotonic() + limit
        while len(self.seconds()) < count and time.monotonic() < end and self.process.poll() is None:
            time.sleep(0.05)
        return len(self.seconds()) >= count

    def end(self, sig=signal.SIGTERM):
        begin = time.monotonic()
        self.process.send_signal(sig)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.master is not None:
            os.close(self.master)
        self.process.stderr.close()
        return time.monotonic() - begin


def longest_gap(machine, act):
    """Of the two seconds after act began; None: the guest's clock stands."""
    had = len(machine.seconds())
    act()
    return max(machine.seconds()[had:had + 2]) if machine.wait_seconds(had + 2) else None


def check_gap(name, machine, act, tries=12):
    """A monitor that stalls does so each time; a host that is busy with other things does not."""
    seen = []
    for _ in range(tries):
        idle, busy = longest_gap(machine, lambda: None), longest_gap(machine, act)
        if idle is None or busy is None:
            report(name, "the guest's clock stood")
            return
        seen.append("%d after %d us" % (busy, idle))
        if busy <= max(idle, 1000) + LIMIT_US:
            report(name, "")
            return
    report(name, "gaps of " + ", ".join(seen))


def main():
    ringer, gap, storm = sys.argv[1:4]
    control = tempfile.TemporaryDirectory()
    program = os.path.join(control.name, "qmp")
    machine = Machine(ringer, gap, "-display", "none", "-qmp", "unix:%s,server=on,wait=off" % program, "-vnc",
                      "unix:" + os.path.join(control.name, "vnc"))
    machine.wait_seconds(1)
    silent = machine.client()

    def flood():
        """600 questions whose answers nobody reads."""
        try:
            silent.setblocking(False)
            for _ in range(600):
                silent.send(b"info qtree\n")
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass

    check_gap("a client that does not read", machine, flood)
    silent.close()
    picture = os.path.join(machine.folder.name, "picture.ppm")

    def dump():
        with machine.client() as c:
            c.sendall(b"screendump %s\n" % picture.encode())
            time.sleep(0.5)

    def ask_all():
        """Two seconds of questions by people and programs, whose answers are read; some stop the machine to look at it."""
        end = time.monotonic() + 2
        humans = [Hmp(machine.path) for _ in range(4)]
        programs = [Qmp(program) for _ in range(4)]
        while time.monotonic() < end:
            for human in humans:
                human.socket.sendall(b"info qtree\ninfo registers\nx /200i 0x100000\ninfo mtree\ninfo tlb\nhelp\n")
            for client in programs:
                client.execute("query-qmp-schema")
                client.execute("query-block")
            for human in humans:
                human.socket.settimeout(0.01)
                try:
                    while human.socket.recv(1 << 20):
                        pass
                except TimeoutError:
                    pass
        for client in humans + programs:
            client.close()

    check_gap("questions of eight clients", machine, ask_all)
    check_gap("screen dumps of 2560 x 1600", machine, dump)
    size = os.path.getsize(picture) if os.path.exists(picture) else 0
    report("they are whole", "" if size == 2560 * 1600 * 3 + len("P6\n2560 1600\n255\n") else "%d bytes" % size)

    vnc = os.path.join(control.name, "vnc")

    def crowd():
        """20 viewers: some look, some say nothing, some do not read what they asked for, some vanish in the middle."""
        viewers = []
        for n in range(20):
            try:
                if n % 4 == 0:
                    c = socket.socket(socket.AF_UNIX)
                    c.connect(vnc)
                    c.send(b"RFB 003.008\n"[:n])
                    viewers.append(c)
                    continue
                viewer = Viewer(vnc, encodings=(rfb.RAW,))
                viewer.request(False)
                if n % 4 == 1:
                    viewer.update()
                elif n % 4 == 2:
                    viewer.close()
                    continue
                viewers.append(viewer)
            except (OSError, RfbError):
                pass
        time.sleep(0.5)
        for c in viewers:
            c.close()

    check_gap("twenty viewers", machine, crowd)

    def stuck():
        """The main thread waits for two seconds for the reader of a pipe that it was given."""
        read, write = os.pipe()
        client = Qmp(program)
        fds = client.raw({"execute": "add-fd"}, fds=[write])["return"]["fdset-id"]
        os.close(write)
        with machine.client() as c:
            c.sendall(b"screendump -f ppm /dev/fdset/%d\n" % fds)
            time.sleep(2)
            left = size
            while left > 0:
                left -= len(os.read(read, 1 << 20))
            client.execute("remove-fd", **{"fdset-id": fds})
        os.close(read)
        client.close()

    check_gap("a monitor that is stuck for two seconds", machine, stuck)
    took = machine.end()
    report("SIGTERM", "" if took < 1 else "took %.1f s" % took)

    machine = Machine(ringer, gap, "-display", "curses", terminal=True)
    machine.wait_seconds(1)
    check_gap("a terminal that nobody reads", machine, lambda: time.sleep(2))  # nothing reads the master
    machine.end(signal.SIGKILL)

    slow = []
    for engine in ("bt", "interp", "direct"):
        for n in range(6):
            machine = Machine(ringer, storm, "-display", "none", "-accel", engine, "-append", "%d" % n)
            time.sleep(0.1 + 0.07 * n)
            took = machine.end()
            if took > 1:
                slow.append("%s: %.1f s" % (engine, took))
    report("SIGTERM in a storm of timers", ", ".join(slow) if len(slow) > 2 else "")
    print("stalls: %d failed" % failed)
    return 1 if failed else 0


sys.exit(main())
