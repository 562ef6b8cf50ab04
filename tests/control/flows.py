#!/usr/bin/env python3
"""What tools do with a machine, from its start to its end, in their ways of speaking.

usage: flows.py RINGER labgrid|vagrant

labgrid: QMP on standard input and output, the console on a Unix socket, the machine held until it is told to go on; boot,
login, a port of the host's forwarded and no longer, power cycle, end. vagrant (its QEMU provider): a daemon with a PID
file, the monitor and the console on sockets, the guest's SSH port forwarded; boot, login, the power button by a client that
closes its side at once and reads on, the guest's own shutdown.
Both with Debian: the kernel with the test initrd, and the disk. Guests come from the cache, see tests/README.md.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import die_with_parent  # noqa: E402
import initrd  # noqa: E402
import netguest  # noqa: E402

RINGER = os.path.abspath(sys.argv[1])
SKIP = 77


class Flow(Exception):
    pass


class Console:
    """A serial line behind a socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.seen = b""

    def expect(self, text, limit=600):
        end = time.monotonic() + limit
        while text.encode() not in self.seen:
            left = end - time.monotonic()
            if left <= 0:
                raise Flow("no %r in %r" % (text, self.seen[-1500:]))
            self.socket.settimeout(left)
            try:
                part = self.socket.recv(65536)
            except TimeoutError:
                part = b""
            if not part and time.monotonic() < end:
                raise Flow("the console was closed; %r" % self.seen[-1500:])
            self.seen += part
        at = self.seen.index(text.encode()) + len(text)
        before, self.seen = self.seen[:at], self.seen[at:]
        return before.decode(errors="replace")

    def send(self, text):
        self.socket.sendall(text.encode())


class QmpPipe:
    """As labgrid's QMPMonitor: lines of JSON over two pipes."""

    def __init__(self, process):
        self.input, self.output = process.stdin, process.stdout
        greeting = json.loads(self.output.readline())
        if "QMP" not in greeting:
            raise Flow("greeting %r" % greeting)
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        message = {"execute": name}
        if arguments:
            message["arguments"] = arguments
        self.input.write(json.dumps(message).encode() + b"\n")
        self.input.flush()
        while True:
            answer = json.loads(self.output.readline())
            if "error" in answer:
                raise Flow("%s: %r" % (name, answer))
            if "return" in answer:
                return answer["return"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, limit=120):
    """What a port of the host's says; None: nobody listens there."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
                said = s.recv(100).decode()
        except ConnectionRefusedError:
            return None
        except OSError:
            said = ""
        if said:
            return said.strip()
        time.sleep(0.5)
    return ""


def labgrid(folder):
    kernel = os.path.join(initrd.CACHE, "vmlinuz-686")
    disk = os.path.join(folder, "initrd")
    if not netguest.have_guest():
        print("skipped: no guest kernel; sh tests/tools/guests.sh fetch")
        return SKIP
    path = os.path.join(folder, "serialrw")
    command = [RINGER, "-machine", "pc", "-cpu", "qemu32", "-m", "128M", "-display", "none", "-nic", "user", "-kernel", kernel,
               "-initrd", disk, "-append", "console=ttyS0 panic=-1 quiet", "-S", "-qmp", "stdio", "-chardev",
               "socket,id=serialsocket,path=%s,server=on,wait=off" % path, "-serial", "chardev:serialsocket"]
    netguest.write_initrd(disk)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=die_with_parent)
    try:
        qmp = QmpPipe(process)
        console = Console(path)
        if qmp.command("query-status")["running"]:
            raise Flow("it runs before it is told to")
        qmp.command("cont")
        console.expect("guest# ")
        console.send("echo $((6*7)) is there\n")
        console.expect("42 is there")
        # Its add_port_forward and remove_port_forward.
        port = free_port()
        console.send("insmod /lib/net/e1000.ko; ip link set eth0 up; udhcpc -i eth0 -n -q -t 10 -s /etc/lease\n")
        console.expect("lease 10.0.2.15")
        console.send("while :; do nc -l -p 22 -e echo hello from the target; done &\n")
        console.expect("guest# ")
        qmp.command("human-monitor-command", **{"command-line": "hostfwd_add tcp:127.0.0.1:%d-10.0.2.15:22" % port})
        if (said := ask(port)) != "hello from the target":
            raise Flow("through the forwarded port came %r" % said)
        qmp.command("human-monitor-command", **{"command-line": "hostfwd_remove tcp:127.0.0.1:%d" % port})
        if (said := ask(port)) is not None:
            raise Flow("the port is still there: %r" % said)
        # A power cycle, as far as the emulator's process stays: it boots again.
        qmp.command("system_reset")
        console.expect("shell ready")
        console.expect("guest# ")
        if "running" not in qmp.command("human-monitor-command", **{"command-line": "info status"}):
            raise Flow("info status")
        qmp.command("quit")
        status = process.wait(20)
        if status != 0:
            raise Flow("ended with %d" % status)
    finally:
        process.kill()
        process.wait()
    return 0


def control(path, line):
    """As vagrant's provider: prints, closes its side, reads to the end."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.settimeout(60)
        s.sendall(line.encode() + b"\n")
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while part := s.recv(4096):
            answer += part
    return answer.decode(errors="replace")


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def vagrant(folder):
    master = os.path.join(initrd.CACHE, "debian.img")
    if not os.path.exists(master):
        print("skipped: %s is missing; make it with tests/tools/guests.sh debian" % master)
        return SKIP
    image, pidfile = os.path.join(folder, "linked-box.img"), os.path.join(folder, "qemu.pid")
    monitor, serial = os.path.join(folder, "qemu_socket"), os.path.join(folder, "qemu_socket_serial")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", master, image], check=True)
    port = free_port()
    command = [RINGER, "-machine", "pc", "-cpu", "qemu32", "-smp", "1", "-m", "256", "-device",
               "virtio-net-pci,netdev=net0", "-netdev", "user,id=net0,hostfwd=tcp::%d-:22" % port, "-drive",
               "id=disk0,format=qcow2,file=" + image, "-chardev", "socket,id=mon0,path=%s,server=on,wait=off" % monitor,
               "-mon", "chardev=mon0,mode=readline", "-chardev", "socket,id=ser0,path=%s,server=on,wait=off" % serial,
               "-serial", "chardev:ser0", "-pidfile", pidfile, "-daemonize", "-parallel", "null", "-monitor", "none",
               "-display", "none"]
    done = subprocess.run(command, timeout=60, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise Flow("the parent ended with %d: %r" % (done.returncode, done.stderr))
    with open(pidfile, encoding="ascii") as f:
        pid = int(f.read())
    try:
        console = Console(serial)
        for _ in range(5):  # it closes its side before anybody has looked
            if "running" not in control(monitor, "info status"):
                raise Flow("info status")
        console.expect("login:", 1200)
        console.send("root\n")
        console.expect("root@ringer-disk:", 300)
        # It has no SSH server, but an address by DHCP and Perl.
        console.send("modprobe virtio_net; for i in 1 2 3 4 5 6 7 8 9; do [ -e /sys/class/net/eth0 ] && break; sleep 1; done; "
                     "/usr/lib/klibc/bin/ipconfig -t 60 eth0\n")
        console.expect("10.0.2.15", 300)
        console.send("perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 22, Listen => 5, ReuseAddr => 1); "
                     "while ($c = $s->accept) { print $c \"SSH-2.0-none\\n\"; close $c }' &\n")
        if (said := ask(port)) != "SSH-2.0-none":
            raise Flow("through the forwarded port came %r" % said)
        # Nobody in this small guest acts on the button; that it is felt can be read, and a shutdown is what should follow.
        button = "/sys/firmware/acpi/interrupts/ff_pwr_btn"
        console.send("echo before $(cat %s)\n" % button)
        console.expect("before 0")
        control(monitor, "system_powerdown")
        console.send("sleep 1; echo behind $(cat %s)\n" % button)
        console.expect("behind 1")
        console.send("poweroff\n")
        end = time.monotonic() + 300
        while alive(pid) and time.monotonic() < end:
            time.sleep(0.2)
        if alive(pid):
            raise Flow("it does not end: %r" % console.seen[-1000:])
        if os.path.exists(pidfile) or os.path.exists(monitor):
            raise Flow("left behind: " + " ".join(os.listdir(folder)))
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    done = subprocess.run(["qemu-img", "check", image], capture_output=True, check=False)
    if done.returncode != 0:
        raise Flow("qemu-img check: %r" % done.stdout)
    return 0


def main():
    with tempfile.TemporaryDirectory() as folder:
        try:
            return {"labgrid": labgrid, "vagrant": vagrant}[sys.argv[2]](folder)
        except (Flow, OSError) as e:
            print("FAIL: %s" % e)
            return 1


sys.exit(main())
