#!/usr/bin/env python3
"""Viewers that send what they should not: messages of RFB with fields of chance, pieces of messages, bytes of chance, over
sockets and WebSockets. Such a viewer's process may end; the one that lets viewers in must not, nor grow, nor the monitor stop
listening, nor others be kept out.

    vnc_storm.py RINGER COUNT SEED

COUNT messages; by hand 10000000, also with the sanitizers' build.
"""
import base64
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from guest import GuestError, die_with_parent, main  # noqa: E402
from qmp import Qmp  # noqa: E402
from rfb import RfbError, Viewer  # noqa: E402

ENCODINGS = (0, 1, 2, 4, 5, 6, 7, 8, 9, 16, 17, -223, -224, -232, -239, -240, -247, -256, -257, -258, -259, -307, -308, -313, -314,
             0xc0a1e5ce - (1 << 32), 1464686180, 0xffff0000 - (1 << 32), 0xfffe0000 - (1 << 32), 0xfffe0005 - (1 << 32))
GROWTH_KB = 400 * 1024  # of the process, with 64 MiB of picture and pictures under way to many viewers


def message(r):
    kind = r.randrange(14)
    if kind == 0:
        return struct.pack(">B3xBBBBHHHBBB3x", 0, r.choice((8, 16, 32, 24, 0, r.randrange(256))), r.randrange(33), r.randrange(2),
                           r.choice((0, 1, 1, 255)), *(r.choice((0, 1, 3, 7, 31, 63, 255, 65535)) for _ in range(3)),
                           *(r.randrange(40) for _ in range(3)))
    if kind == 1:
        count = r.randrange(20)
        return struct.pack(">BxH%di" % count, 2, count, *(r.choice(ENCODINGS) for _ in range(count)))
    if kind in (2, 3):
        return struct.pack(">BBHHHH", 3, r.randrange(2), *(r.choice((0, 1, 64, 720, 65535, r.randrange(65536))) for _ in range(4)))
    if kind in (4, 5):
        return struct.pack(">BBHI", 4, r.randrange(2), 0, r.choice((r.randrange(256), 0xff00 + r.randrange(256), r.getrandbits(32))))
    if kind == 6:
        return struct.pack(">BBHH", 5, r.randrange(256), r.randrange(65536), r.randrange(65536))
    if kind == 7:
        length = r.choice((0, 1, 20, 500))
        return struct.pack(">B3xi", 6, length) + r.randbytes(length)
    if kind == 8:  # the extended clipboard
        length = r.choice((4, 8, 40))
        return struct.pack(">B3xi", 6, -length) + struct.pack(">I", 1 << r.randrange(32)) + r.randbytes(length - 4)
    if kind in (9, 10):
        return struct.pack(">BBHII", 255, 0, r.randrange(2), r.getrandbits(32), r.choice((r.randrange(256), r.getrandbits(32))))
    if kind == 11:
        operation = r.randrange(4)
        return struct.pack(">BBH", 255, 1, operation) + (r.randbytes(6) if operation == 2 else b"")
    if kind == 12:  # a size that the viewer would like
        screens = r.randrange(3)
        return struct.pack(">BxHHBx", 251, r.randrange(5000), r.randrange(5000), screens) + r.randbytes(16 * screens)
    return struct.pack(">BBBB", 250, 0, 1, r.randrange(6))  # xvp


def frame(r, data):
    """A WebSocket's, mostly as it should be."""
    mask, opcode = r.randbytes(4), r.choice((2, 2, 2, 2, 2, 2, 0, 1, 8, 9, 10, r.randrange(16)) if r.random() < 0.05 else (2,))
    head = bytes([0x80 | opcode])
    length = len(data) if r.random() > 0.002 else r.getrandbits(20)
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", length)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", length)
    return head + mask + bytes(a ^ b for a, b in zip(data, mask * (len(data) // 4 + 1)))


class Sender:
    """A connection; the other end may close it at any time."""

    def __init__(self, r, path, port):
        self.r, self.websocket = r, r.random() < 0.4
        if self.websocket:
            self.socket = socket.create_connection(("127.0.0.1", port), 30)
            key = base64.b64encode(r.randbytes(16)).decode()
            self.socket.sendall(("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n" % (
                                     key, r.choice(("binary", "binary", "base64, binary", "chat")))).encode())
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(30)
            self.socket.connect(path)
        for part in ((b"RFB 003.00%d\n" % r.choice((3, 7, 8, 8, 8, 8))), b"\1", b"\1"):
            self.send(part)
            time.sleep(0.002)
        self.socket.setblocking(False)

    def send(self, data):
        self.socket.sendall(frame(self.r, data) if self.websocket else data)

    def storm(self):
        """Some messages; how many. EOFError: it is closed."""
        count = self.r.randrange(1, 200)
        data = b"".join(message(self.r) for _ in range(count))
        chance = self.r.random()
        if chance < 0.03:
            data = data[:self.r.randrange(len(data))] + self.r.randbytes(self.r.randrange(50))
        if self.websocket:
            data = frame(self.r, data)
        self.socket.settimeout(0.2)
        try:
            self.socket.sendall(data)
        except TimeoutError as error:
            raise EOFError from error  # it waits for us to read: it may
        self.socket.setblocking(False)
        try:
            while self.r.random() < 0.9 and self.socket.recv(1 << 16):
                pass
        except BlockingIOError:
            pass
        return count

    def close(self):
        self.socket.close()


def process_of(monitor):
    """The one that speaks with viewers: (its number, its memory in kB)."""
    for child in subprocess.run(["pgrep", "-P", str(monitor)], capture_output=True, text=True).stdout.split():
        with open("/proc/%s/comm" % child) as f:
            if f.read().strip() == "ringer-vnc":
                with open("/proc/%s/status" % child) as f:
                    return child, int([line.split()[1] for line in f if line.startswith("RssAnon")][0])
    return None, 0


def test():
    ringer, count, seed = os.path.abspath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    r = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vnc")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = subprocess.Popen([ringer, "-nic", "none", "-serial", "none", "-vnc", "unix:%s,websocket=%d" % (path, port), "-qmp",
                                    "unix:%s/qmp,server=on,wait=off" % folder], stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        program = Qmp(os.path.join(folder, "qmp"))
        number, first = process_of(process.pid)
        senders, sent, closed, most = [], 0, 0, 0

        def look():
            now, size = process_of(process.pid)
            if now != number or program.execute("query-status")["running"] is not True:
                raise GuestError("the viewers' process has died (seed %d, after %d messages)" % (seed, sent))
            if size > first + GROWTH_KB:
                raise GuestError("it has grown from %d to %d kB (seed %d, after %d messages)" % (first, size, seed, sent))
            program.events.clear()
            return size
        while sent < count:
            while len(senders) < 12:
                try:
                    senders.append(Sender(r, path, port))
                except OSError:
                    closed += 1
                    look()
            sender = r.choice(senders)
            try:
                sent += sender.storm()
                if r.random() < 0.01:
                    raise EOFError
            except (EOFError, OSError):
                sender.close()
                senders.remove(sender)
                closed += 1
            if r.random() < 0.01:
                most = max(most, look())
        for sender in senders:
            sender.close()
        most = max(most, look())
        end = time.monotonic() + 120
        while program.execute("query-vnc")["clients"] and time.monotonic() < end:
            time.sleep(0.1)
        if program.execute("query-vnc")["clients"]:
            raise GuestError("viewers that have gone are still there")
        for tries in range(50):
            try:
                viewer = Viewer(path)
                break
            except (RfbError, OSError):
                time.sleep(0.2)
        viewer.request(False)
        while not viewer.update():
            pass
        process.kill()
        process.communicate()
    print("%d messages by %d connections; at most %d kB, %d at first" % (sent, closed + len(senders), most, first))


main(test)
