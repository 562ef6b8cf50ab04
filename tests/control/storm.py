#!/usr/bin/env python3
"""Random commands, malformed and split input, lines of a megabyte, clients that go in the middle of a word, two hundred
clients at once, and one that never reads, while a guest boots again and again: the monitors answer as the protocol says,
and the machine lives.

usage: storm.py RINGER IMAGE [COUNT [SEED [RINGER-OPTION...]]]

Built with the sanitizers and with the options -sandbox off, leaks are looked for, too.

What commands there are, and what they take, is asked of the program (query-qmp-schema, help). IMAGE: the floppy of
tests/vga/echo.S. The seed is printed.
"""
import json
import os
import random
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from monitor import PROMPT, Hmp  # noqa: E402
from qmp import Machine, Qmp, Schema  # noqa: E402

RINGER, IMAGE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else int(time.time())
OPTIONS = sys.argv[5:]

# These end the machine, which is asked for at the end; or the connection's own meaning.
FATAL = {"quit", "qmp_capabilities"}
FATAL_WORDS = {"quit", "q"}
WORDS = ["ide1-cd0", "floppy0", "ide0-hd0", "nothing", "", "a.img", "b.img", "/nowhere/x", "all", "on", "off", "none", "raw",
         "qcow2", "serial0", "ring", "0", "1", "-1", "0x7c00", "4294967296", "99999999999999999999", "$eip", "$foo", "'A'",
         "1+", "(((", "ctrl-alt-delete", "ret", "s.png", "/machine", "/machine/unattached/device[3]", "type", "index",
         "isa-serial", "VGA", "x" * 300, "\u00e4\u20ac", "%s%n", "-f", "-f x", "/4xw", "/3i", "/1000000b", "\"", "\"a b\"", "\\",
         "tcp:127.0.0.1:0", "null", "pty,id=p", "ringbuf,id=ring2", "int,cpu", "guest_errors", "json"]


class Failure(Exception):
    pass


def value_of(schema, name, rng, depth=0):
    """A value of a type, mostly one that fits."""
    entity = schema.of[name]
    kind = entity["meta-type"]
    if rng.random() < 0.04:
        return rng.choice([None, True, -1, 1.5, "x", [], {}, [[]], {"a": 1}])
    if kind == "builtin":
        return {"string": lambda: rng.choice(WORDS), "boolean": lambda: rng.random() < 0.5, "null": lambda: None,
                "number": lambda: rng.choice([0, 1, -1, 0.5, 1e300]),
                "int": lambda: rng.choice([0, 1, 2, 16, 255, 4096, -1, 1 << 31, (1 << 63) - 1, rng.randrange(1 << 20)]),
                }.get(entity["json-type"], lambda: rng.choice(WORDS))()
    if kind == "enum":
        return rng.choice(entity["values"])
    if kind == "array":
        return [value_of(schema, entity["element-type"], rng, depth + 1) for _ in range(rng.choice([0, 1, 1, 2, 9]))]
    value = {}
    members = schema.members(name)
    for member, (member_type, optional) in members.items():
        if rng.random() < (0.3 if optional else 0.97):
            value[member] = value_of(schema, member_type, rng, depth + 1)
    variant = schema.variants(name).get(str(value.get(entity.get("tag"))))
    if variant and depth < 8:
        for member, (member_type, optional) in schema.members(variant).items():
            if rng.random() < (0.3 if optional else 0.97):
                value[member] = value_of(schema, member_type, rng, depth + 1)
    if rng.random() < 0.02:
        value["surplus"] = 1
    return value


def small(command, arguments):
    """Files that would fill the disk, and descriptors, are not what is looked for."""
    if not isinstance(arguments, dict):
        return arguments
    if command in ("pmemsave", "memsave") and isinstance(arguments.get("size"), int) and arguments["size"] > 1 << 16:
        arguments["size"] &= 0xffff
    if command == "set-action":
        arguments.pop("shutdown", None)  # else the guest may switch it off
        arguments.pop("reboot", None)
    for key in ("filename", "path", "logfile"):
        if isinstance(arguments.get(key), str) and arguments[key].startswith("/dev"):
            arguments[key] = "x"
    return arguments


class Qmps:
    """A QMP client that sends at random, and expects exactly one answer to each command."""

    def __init__(self, path, schema, rng):
        self.path, self.schema, self.rng = path, schema, rng
        self.names = [n for n in schema.commands() if n not in FATAL]
        self.number = 0
        self.connect()

    def connect(self):
        self.qmp = Qmp(self.path)

    def one(self):
        rng = self.rng
        what = rng.random()
        if what < 0.7:
            name = rng.choice(self.names)
            arguments = small(name, value_of(self.schema, self.schema.of[name]["arg-type"], rng) or {})
            if name == "human-monitor-command" and isinstance(arguments, dict):
                words = str(arguments.get("command-line", "")).split()
                if words and words[0] in FATAL_WORDS:
                    return
            self.number += 1
            self.pieces(json.dumps({"execute": name, "arguments": arguments, "id": self.number},
                                   ensure_ascii=rng.random() < 0.5).encode() + b"\n")
            self.answered(name, arguments)
        elif what < 0.95:
            self.garbage()
        else:
            self.qmp.send(b'{"execute": "query-status", "argu')
            self.qmp.close()
            self.connect()

    def answered(self, name, arguments):
        answer = self.qmp.answer()
        if answer.get("id") != self.number or ("return" in answer) == ("error" in answer):
            raise Failure("%s %r: %r" % (name, arguments, answer))
        if "error" in answer:
            if answer["error"]["class"] not in ("GenericError", "DeviceNotFound", "DeviceNotActive") or not answer["error"]["desc"]:
                raise Failure("%s %r: %r" % (name, arguments, answer))
        else:
            wrong = self.schema.wrong(self.schema.of[name]["ret-type"], answer["return"], name)
            if wrong:
                raise Failure("%s %r: %s" % (name, arguments, wrong))

    def pieces(self, data):
        """As the network cuts them."""
        while data:
            n = len(data) if self.rng.random() < 0.5 else self.rng.randrange(1, len(data) + 1)
            self.qmp.send(data[:n])
            data = data[n:]

    def garbage(self):
        """Whatever it is, one question behind it is answered."""
        rng = self.rng
        kind = rng.randrange(6)
        data = [lambda: bytes(rng.randrange(256) for _ in range(rng.randrange(1, 200))),
                lambda: json.dumps({"execute": "query-status"}).encode()[:rng.randrange(1, 20)] + b"}]",
                lambda: b"[" * rng.randrange(1, 2000), lambda: b'{"execute": "' + b"a" * rng.choice([10, 1 << 20]) + b'"}',
                lambda: b'"' + b"\\" * 33, lambda: b"{'a': 'b\"', 5}"][kind]()
        self.qmp.send(data.replace(b"\n", b" "))
        # A string or brackets that are open swallow what comes; a new connection begins anew.
        self.qmp.close()
        self.connect()
        self.number += 1
        self.qmp.send(b'{"execute": "query-status", "id": %d}' % self.number)
        self.answered("query-status", {})


def human_lines(hmp):
    """First words, and what they take, out of the help."""
    lines = []
    for listing in ("help", "help info"):
        for line in hmp.command(listing).splitlines():
            usage = line.split(" -- ")[0]
            words = usage.split()
            name = words[1] if words[:1] == ["info"] and len(words) > 1 else words[0]
            names = name.split("|")
            if FATAL_WORDS & set(names) or name in ("screendump", "logfile", "memsave", "pmemsave", "log"):
                continue
            lines.append((("info " if words[0] == "info" and len(words) > 1 else "") + names[0], len(words) - 1))
    if len(lines) < 50:
        raise Failure("the help has %d lines" % len(lines))
    return lines


class Hmps:
    def __init__(self, path, rng):
        self.path, self.rng = path, rng
        self.hmp = Hmp(path)
        self.lines = human_lines(self.hmp)

    def one(self):
        rng = self.rng
        what = rng.random()
        if what < 0.75:
            name, slots = rng.choice(self.lines)
            line = " ".join([name] + [rng.choice(WORDS) for _ in range(rng.randrange(0, slots + 2))])
            line = re.sub(r"[\x00-\x1f]", "", line)[:4000]
            self.hmp.command(line)
        elif what < 0.85:
            keys = "".join(rng.choice(["\t", "\x01", "\x05", "\x02", "\x06", "\x7f", "\x1b[A", "\x1b[B", "\x1b[3~", "\x15", "\x17",
                                       "info ", "s", "x", "\x1bb", "\x0c"]) for _ in range(rng.randrange(1, 40)))
            self.hmp.socket.sendall(keys.encode())
            self.hmp.close()
            self.hmp = Hmp(self.path)
        elif what < 0.93:
            self.hmp.socket.sendall(bytes(b for b in os.urandom(rng.randrange(1, 300)) if b not in (10, 13)))
            self.hmp.close()
            self.hmp = Hmp(self.path)
        else:
            self.hmp.socket.sendall(b"help " + b"y" * rng.choice([4000, 5000, 1 << 20]) + b"\n")
            self.hmp.receive()


def drain(clients, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for s in select.select(clients, [], [], 0.05)[0]:
            if not s.recv(1 << 16):
                clients.remove(s)


def many(path, count):
    """All of them are greeted, each gets its answer."""
    clients = [Qmp(path) for _ in range(count)]
    for i, client in enumerate(clients):
        client.send(b'{"execute": "query-version", "id": %d}\n' % i)
    for i, client in enumerate(clients):
        if client.answer().get("id") != i:
            raise Failure("client %d of %d" % (i, count))
    for client in clients:
        client.close()


def never_reads(path):
    """Asks until it is cut off."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.setblocking(False)
    sent = 0
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            sent += s.send(b'{"execute": "qmp_capabilities"}' + b'{"execute": "query-qmp-schema"}' * 20)
        except BlockingIOError:
            time.sleep(0.05)
            if sent > 1 << 16:
                break
        except OSError:
            break
    return s


def main():
    print("seed %d" % SEED, flush=True)
    rng = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, size in (("a.img", 1440), ("b.img", 720), ("disk", 1024)):
            with open(name, "wb") as f:
                f.truncate(size * 1024)
        shutil.copy(IMAGE, "boot.img")  # others use it, too
        machine = Machine([RINGER, "-accel", "bt", "-m", "16", "-display", "none", "-drive", "file=boot.img,format=raw,if=floppy",
                           "-snapshot", "-boot", "a", "-drive", "file=disk,format=raw", "-no-shutdown", "-serial", "null", "-chardev", "ringbuf,id=ring", "-D", "log",
                           "-monitor", "unix:hmp,server=on,wait=off", *OPTIONS], folder, stderr=open("errors", "wb"),
                          env=dict(os.environ, ASAN_OPTIONS="detect_leaks=%d" % ("-sandbox" in OPTIONS)))  # not from behind the fence
        why, last = "", ""
        try:
            schema = Schema(machine.qmp.execute("query-qmp-schema"))
            silent = never_reads(machine.path)
            many(machine.path, min(200, max(20, COUNT // 10)))
            sources = [Qmps(machine.path, schema, rng), Hmps("hmp", rng)]
            for i in range(COUNT):
                last = "command %d" % i
                rng.choice(sources).one()
                if i % 200 == 0:
                    machine.qmp.execute("cont") if rng.random() < 0.7 else machine.qmp.execute("system_reset")
                    machine.qmp.events.clear()
            silent.close()
            status = machine.end(60)
            if status != 0:
                why = "ended with status %s" % status
        except (Failure, EOFError, OSError, json.JSONDecodeError) as e:
            time.sleep(1)  # it may be on its way out
            why = "%s: %s: %s; status %s" % (last, type(e).__name__, e, machine.process.poll())
            if machine.process.poll() is None and isinstance(e, TimeoutError):
                why += "; it hangs"
            machine.process.kill()
        machine.process.wait()
        with open("errors", encoding="utf-8", errors="replace") as f:
            errors = f.read()
        if why or "Sanitizer" in errors or "runtime error" in errors or "assert" in errors:
            why += "\n" + errors[-6000:]
        os.chdir("/")
    print("%s - %d commands, %d clients, seed %d%s" % ("not ok" if why else "ok", COUNT, 200, SEED, ": " + why if why else ""))
    return 1 if why else 0


sys.exit(main())
