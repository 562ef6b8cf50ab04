#!/usr/bin/env python3
"""Serial lines from outside: every form of -serial and -chardev to a guest that sends back what it gets; waiting,
background, passed descriptors, and peers that do not behave.

usage: chardev.py RINGER FLOPPY
"""
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import die_with_parent

RINGER, FLOPPY = (os.path.abspath(path) for path in sys.argv[1:3])
ENGINE = re.compile(r"ringer: engine ")
failures = 0


class Failure(Exception):
    pass


def check(condition, why):
    if not condition:
        raise Failure(why)


class Line:
    """One end of a byte stream."""

    def __init__(self, fd, out=None):
        self.fd, self.out, self.got = fd, fd if out is None else out, b""

    def expect(self, text, timeout=20):
        end = time.monotonic() + timeout
        while text not in self.got:
            left = end - time.monotonic()
            check(left > 0 and select.select([self.fd], [], [], left)[0], "no %r, only %r" % (text, self.got[-200:]))
            part = os.read(self.fd, 65536)
            check(part, "end before %r, after %r" % (text, self.got[-200:]))
            self.got += part
        before, self.got = self.got.split(text, 1)
        return before

    def send(self, text):
        while text:
            text = text[os.write(self.out, text):]

    def echo(self, text):
        self.send(text)
        self.expect(text)


class Machine:
    def __init__(self, *arguments, wait=True, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        self.process = subprocess.Popen([RINGER, "-fda", FLOPPY, "-boot", "a", "-display", "none", "-vga", "none", "-nic", "none", *arguments],
                                        stderr=subprocess.PIPE, preexec_fn=die_with_parent, **kwargs)
        self.errors = Line(self.process.stderr.fileno())
        self.said = b""
        if wait:
            self.said = self.errors.expect(b"ringer: engine ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(20)


def unix(path):
    line = socket.socket(socket.AF_UNIX)
    end = time.monotonic() + 20
    while True:
        try:
            line.connect(path)
            return line
        except OSError:
            check(time.monotonic() < end, "nobody listens on " + path)
            time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tcp(port):
    end = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            check(time.monotonic() < end, "nobody listens on port %d" % port)
            time.sleep(0.02)


def test_stdio():
    with Machine("-serial", "stdio", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as machine:
        line = Line(machine.process.stdout.fileno(), machine.process.stdin.fileno())
        line.expect(b"ready")
        line.echo(b"hello\x01x")  # no command here
        check(machine.end() == 0, "status after SIGTERM")


def test_mux():
    with Machine("-serial", "mon:stdio", "-echr", "0x14", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as machine:
        line = Line(machine.process.stdout.fileno(), machine.process.stdin.fileno())
        line.expect(b"ready")
        line.echo(b"hello\x01")
        line.send(b"\x14b")
        line.expect(b"B")
        line.send(b"\x14\x14")
        line.expect(b"\x14")
        line.send(b"\x14h")
        line.expect(b"Ctrl-T x  end the machine")
        line.send(b"\x14x")
        check(machine.process.wait(20) == 0, "status after Ctrl-T x")


def test_files():
    with Machine("-serial", "file:out", "-parallel", "file:lpt", "-debugcon", "file:e9",
                 "-chardev", "null,id=n,logfile=log", "-serial", "chardev:n") as machine:
        end = time.monotonic() + 20
        while not (os.path.exists("e9") and open("e9").read() == "ready\n" or time.monotonic() > end):
            time.sleep(0.05)
        machine.end()
    check(open("out").read() == "ready\n", "serial file")
    check(open("e9").read() == "ready\n", "debug console file")
    check(open("lpt").read() == "", "printer file")


def test_pty():
    with Machine("-serial", "pty", "-chardev", "pty,id=second", "-serial", "chardev:second") as machine:
        paths = re.findall(rb"char device redirected to (\S+) \(label (\S+)\)", machine.said)
        check([name for _, name in paths] == [b"second", b"serial0"], "names of terminals: %r" % machine.said)
        line = Line(os.open(paths[1][0], os.O_RDWR | os.O_NOCTTY))
        line.expect(b"ready")
        line.echo(b"hello")
        os.close(line.fd)


def test_pipe():
    os.mkfifo("pipe.in")
    os.mkfifo("pipe.out")
    with Machine("-serial", "pipe:pipe"):
        line = Line(os.open("pipe.out", os.O_RDONLY), os.open("pipe.in", os.O_WRONLY))
        line.expect(b"ready")
        line.echo(b"hello")


def test_unix_server():
    with Machine("-serial", "unix:sock,server=on,wait=off") as machine:
        for word in (b"first", b"second"):
            with unix("sock") as client:
                Line(client.fileno()).echo(word)
        machine.end()
        check(not os.path.exists("sock"), "the socket's name is left")


def test_wait():
    """The machine starts when somebody is there: nothing of what it says is lost."""
    for serial, said, connect in (("unix:sock,server", b"disconnected:unix:sock,server=on", lambda: unix("sock")),
                                  ("tcp:127.0.0.1:%d,server=on", b"disconnected:tcp:127.0.0.1:%d,server=on", None),
                                  ("telnet::%d,server", b"disconnected:telnet:0.0.0.0:%d,server=on", None)):
        port = free_port()
        with Machine("-serial", serial % port if "%" in serial else serial, wait=False) as machine:
            machine.errors.expect(b"waiting for connection on: " + (said % port if b"%" in said else said) + b"\n")
            check(not select.select([machine.errors.fd], [], [], 0.3)[0], "it does not wait")
            client = connect() if connect else tcp(port)
            line = Line(client.fileno())
            line.expect(b"ready")
            line.echo(b"hello")
            client.close()
    with Machine("-serial", "unix:sock,server", wait=False) as machine:
        machine.errors.expect(b"waiting for connection")
        check(machine.end(signal.SIGINT) == 1, "status after SIGINT")
        check(not os.path.exists("sock"), "the socket's name is left")


def test_telnet():
    port = free_port()
    with Machine("-serial", "telnet:localhost:%d,server,nowait" % port):
        with tcp(port) as client:
            line = Line(client.fileno())
            line.expect(b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00")
            line.send(b"\xff\xfd\x01a\xff\xffb")
            line.expect(b"a\xff\xffb")
            line.send(b"\xff\xf3")
            line.expect(b"B")


def test_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(20)
        port = free_port()
        with Machine("-serial", "udp:127.0.0.1:%d@127.0.0.1:%d" % (peer.getsockname()[1], port)):
            got = b""
            while b"ready\r\n" not in got:
                got += peer.recv(2000)
            peer.sendto(b"hello", ("127.0.0.1", port))
            while b"hello" not in got:
                got += peer.recv(2000)


def test_reconnect():
    """By the dialer, from behind the fence."""
    port = free_port()
    with Machine("-chardev", "socket,id=s,host=localhost,ipv4=on,port=%d,reconnect=1" % port, "-serial", "chardev:s") as machine:
        for word in (b"first", b"second"):
            with socket.socket() as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("127.0.0.1", port))
                server.listen()
                server.settimeout(20)
                client, _ = server.accept()
                Line(client.fileno()).echo(word)
                client.close()
        # Who makes the connections may be killed: that is said once, and nothing else happens.
        with open("/proc/%d/task/%d/children" % (machine.process.pid, machine.process.pid)) as f:
            dialer = int(f.read().split()[0])
        with open("/proc/%d/comm" % dialer) as f:
            check(f.read() == "ringer-dialer\n", "its first child is another")
        os.kill(dialer, signal.SIGKILL)
        machine.errors.expect(b"the process that makes connections has ended")
        time.sleep(1.5)
        check(machine.process.poll() is None, "it has ended, too")
        check(machine.end() == 0, "status after SIGTERM")
        check(b"connections has ended" not in machine.errors.got + machine.process.stderr.read(), "said twice")


def test_passed():
    with open("second", "wb") as image:
        image.write(bytes(1474560))
    with open("passed", "w+b") as log, socket.socket(socket.AF_UNIX) as server, open("second", "rb") as floppy:
        log.write(b"before ")
        log.flush()
        server.bind("listening")
        server.listen()
        fds = [log.fileno(), server.fileno(), floppy.fileno()]
        with Machine("-add-fd", "set=0,fd=%d,opaque=serial0-source" % fds[0],
                     "-chardev", "file,id=c0,path=/dev/fdset/0,append=on",
                     "-chardev", "socket,id=c1,fd=%d,server=on,wait=off" % fds[1],
                     "-add-fd", "set=2,fd=%d" % fds[2], "-drive", "file=/dev/fdset/2,if=floppy,index=1,readonly=on,format=raw",
                     "-serial", "chardev:c1", "-debugcon", "chardev:c0", pass_fds=fds) as machine:
            with unix("listening") as client:
                Line(client.fileno()).echo(b"hello")
            end = time.monotonic() + 20
            while os.pread(log.fileno(), 100, 0) != b"before ready\r\nhello":
                check(time.monotonic() < end, "the passed file")
                time.sleep(0.05)
            machine.end()
        check(os.path.exists("listening"), "a name that is not ours is gone")


def test_daemonize():
    arguments = ("-serial", "unix:sock,server,nowait", "-pidfile", "pid", "-daemonize")
    with Machine(*arguments) as starter:
        check(starter.process.wait(20) == 0, "status of -daemonize")
        with open("pid") as f:
            pid = int(f.read())
        check(pid != starter.process.pid, "it is in the background")
        try:
            check(os.readlink("/proc/%d/fd/0" % pid) == os.readlink("/proc/%d/fd/2" % pid) == "/dev/null", "standard files")
            with unix("sock") as client:
                Line(client.fileno()).echo(b"hello")
            with Machine(*arguments, wait=False) as second:
                check(second.process.wait(20) == 1, "a second one with this file")
                second.errors.expect(b"'" + os.path.abspath("pid").encode() + b"' belongs to a machine that runs")
            with unix("sock") as client:  # which has done nothing to the first one's
                Line(client.fileno()).echo(b"again")
        finally:
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 20
        while os.path.exists("pid"):
            check(time.monotonic() < end, "the file with its number is left")
            time.sleep(0.05)
    for words, sentence in ((("-serial", "stdio"), b"cannot use stdio with -daemonize"),
                            (("-serial", "file:no/where"), b"Could not open 'no/where'")):
        with Machine("-daemonize", *words, wait=False) as machine:
            machine.errors.expect(sentence)
            check(machine.process.wait(20) == 1, "status of a failure in the background")


def test_messages():
    with Machine("-msg", "timestamp=on", "-name", "guest=g,process=a-name,debug-threads=on", "-serial", "null") as machine:
        check(re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ", machine.said), "time: %r" % machine.said)
        with open("/proc/%d/comm" % machine.process.pid) as f:
            check(f.read() == "a-name\n", "name of the process")


def test_stalled():
    """A client that types and never reads: the guest takes it all."""
    with Machine("-serial", "unix:sock,server,nowait"):
        with unix("sock") as client:
            client.settimeout(60)
            client.sendall(b"x" * 1000000)
        with unix("sock") as client:
            Line(client.fileno()).echo(b"y")


def test_terminal():
    """Raw while it runs, and as before when it has ended."""
    import termios
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with Machine("-serial", "mon:stdio", stdin=slave, stdout=slave) as machine:
        line = Line(master)
        line.expect(b"ready")
        check(not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ISIG), "the terminal is not raw")
        line.send(b"\x03")
        line.expect(b"\x03")
        line.send(b"\x01x")
        line.expect(b"ended by Ctrl-A x")
        check(machine.process.wait(20) == 0, "status after Ctrl-A x")
    end = time.monotonic() + 20
    while termios.tcgetattr(slave) != before:
        check(time.monotonic() < end, "the terminal is not as before")
        time.sleep(0.05)
    os.close(master)
    os.close(slave)


for name, test in list(globals().items()):
    if not name.startswith("test_"):
        continue
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            test()
            print("ok - " + name[5:])
        except (Failure, OSError, subprocess.TimeoutExpired) as e:
            failures += 1
            print("not ok - %s\n# %s" % (name[5:], e))
        os.chdir("/")

sys.exit(1 if failures else 0)
