#!/usr/bin/env python3
"""Debian's kernel drives the virtio devices that are neither disk nor card: consoles and ports, random bytes, a balloon,
a keyboard, a mouse and a tablet.

    virtio_devices.py RINGER ACCEL

Ports: a console's text both ways, and 1 MiB both ways through ports with a name, of a modern and of a legacy
controller, compared by checksum. The balloon goes to half of the memory and back: what the guest has and what this
process takes follow.
"""
import hashlib
import os
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, main  # noqa: E402
from monitor import connect  # noqa: E402
from qmp import Qmp, QmpError  # noqa: E402
import initrd  # noqa: E402

MIB = 1 << 20
RAM = 256
PORT = "find_port() { for p in /sys/class/virtio-ports/*; do [ \"$(cat $p/name 2>/dev/null)\" = $1 ] && echo /dev/${p##*/}; done; }"


def take(sock, count, timeout):
    data, end = b"", time.monotonic() + timeout
    while len(data) < count:
        sock.settimeout(max(0.1, end - time.monotonic()))
        part = sock.recv(65536)
        if not part:
            break
        data += part
    return data


def take_text(sock, text, timeout=120):
    data, end = b"", time.monotonic() + timeout
    while text not in data:
        sock.settimeout(max(0.1, end - time.monotonic()))
        data += sock.recv(4096)
    return data


def console(guest, sock):
    guest.run("while [ ! -e /dev/hvc0 ]; do sleep 0.2; done; stty -F /dev/hvc0 raw -echo; true", 60)
    guest.run("echo from-the-guest >/dev/hvc0")
    take_text(sock, b"from-the-guest")
    guest.send("read line </dev/hvc0; echo got-$line-here\n")
    time.sleep(1)
    sock.sendall(b"from-the-host\n")
    guest.expect("got-from-the-host-here", 120)
    guest.expect("guest# ", 60)


def port(guest, qmp, sock, name, device, size):
    """size bytes to the guest and back again; the guest's end reads slowly at first, the host's later."""
    bytes_out = os.urandom(size)
    want = hashlib.sha256(bytes_out).hexdigest()
    guest.run(PORT)
    guest.run("P=$(find_port %s); [ -c $P ]" % name)
    sender = threading.Thread(target=sock.sendall, args=(bytes_out,), daemon=True)
    sender.start()
    guest.run("(sleep 2; head -c %d) <$P >/tmp/all" % size, 300)
    sender.join(60)
    event = qmp.wait_event("VSERPORT_CHANGE")
    if event["data"] != {"id": device, "open": True}:
        guest.fail("not the event of a port that is opened: %r" % event)
    event = qmp.wait_event("VSERPORT_CHANGE")
    if event["data"] != {"id": device, "open": False}:
        guest.fail("not the event of a port that is closed: %r" % event)
    got = guest.run("sha256sum </tmp/all", 60).split()[0]
    if got != want:
        guest.fail("%s: the guest has read something else" % name)
    guest.send("dd if=/tmp/all of=$P bs=4k 2>/dev/null; rm /tmp/all; echo all-'written'\n")
    time.sleep(2)  # so much does not go into what lies between
    if b"all-written" in guest.output[guest.seen:]:
        guest.fail("%s: the guest did not wait for the host" % name)
    data = take(sock, size, 300)
    guest.expect("all-written", 60)
    guest.expect("guest# ", 60)
    if hashlib.sha256(data).hexdigest() != want:
        guest.fail("%s: %d bytes came back, and not those" % (name, len(data)))
    for _ in range(2):
        qmp.wait_event("VSERPORT_CHANGE")


def random_bytes(guest):
    current = guest.run("cat /sys/class/misc/hw_random/rng_current").strip()
    if not current.startswith("virtio_rng"):
        guest.fail("the guest's source of random bytes is '%s'" % current)
    one, two = (guest.run("head -c 4096 /dev/hwrng | sha256sum", 60).split()[0] for _ in range(2))
    zero = hashlib.sha256(bytes(4096)).hexdigest()
    if one == two or zero in (one, two):
        guest.fail("the random bytes are not")


def resident(pid):
    """Bytes of shared memory that this process has mapped and in use (the guest's memory counts twice where it is in a
    window, too), and those that its memory file takes."""
    with open("/proc/%d/status" % pid) as f:
        mapped = next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssShmem:"))
    for fd in os.listdir("/proc/%d/fd" % pid):
        path = "/proc/%d/fd/%s" % (pid, fd)
        if "guest-ram" in os.readlink(path):
            return mapped, os.stat(path).st_blocks * 512
    sys.exit("FAIL: no memory file")


def mem_total(guest):
    return int(guest.run("grep MemTotal /proc/meminfo").split()[1]) * 1024


def balloon(guest, qmp):
    try:
        qmp.execute("balloon", value=0)
        guest.fail("a balloon of no bytes is taken")
    except QmpError as e:
        if "expects a size" not in str(e):
            raise
    guest.run("dd if=/dev/zero of=/tmp/fill bs=1M count=%d 2>/dev/null; rm /tmp/fill" % (RAM * 5 // 8), 300)
    total, taken = mem_total(guest), resident(guest.process.pid)
    if taken[1] < RAM * MIB // 2 + 16 * MIB:
        guest.fail("the guest has filled its memory, and this process has only %d MiB" % (taken[1] // MIB))
    qmp.execute("balloon", value=RAM * MIB // 2)
    end = time.monotonic() + 180
    while qmp.execute("query-balloon")["actual"] > RAM * MIB // 2:
        if time.monotonic() > end:
            guest.fail("the balloon does not grow: %r" % qmp.execute("query-balloon"))
        time.sleep(0.3)
    event = qmp.wait_event("BALLOON_CHANGE")
    if not RAM * MIB // 2 <= event["data"]["actual"] < RAM * MIB:
        guest.fail("not the event of a balloon that grows: %r" % event)
    small, left = mem_total(guest), resident(guest.process.pid)
    if total - small < RAM * MIB // 2 - 4 * MIB:
        guest.fail("the guest still has %d MiB of %d" % (small // MIB, total // MIB))
    if left[1] > RAM * MIB // 2 + 24 * MIB or left[0] > taken[0] - (taken[1] - left[1]) // 2:
        guest.fail("the process still takes %r bytes of %r" % (left, taken))
    if "balloon: actual=%d" % (RAM // 2) not in qmp.human("info balloon"):
        guest.fail("info balloon: " + qmp.human("info balloon"))
    print("balloon: MemTotal %d to %d MiB, memory file %d to %d MiB, resident %d to %d MiB" % tuple(
        n // MIB for n in (total, small, taken[1], left[1], taken[0], left[0])))
    qmp.execute("qom-set", path="/machine/peripheral/b0", property="guest-stats-polling-interval", value=1)
    time.sleep(4)
    stats = qmp.execute("qom-get", path="/machine/peripheral/b0", property="guest-stats")
    if abs(stats["stats"]["stat-total-memory"] - small) > MIB or not stats["last-update"]:
        guest.fail("statistics: %r" % stats)
    qmp.human("balloon %d" % RAM)
    while qmp.execute("query-balloon")["actual"] < RAM * MIB:
        if time.monotonic() > end + 180:
            guest.fail("the balloon does not shrink: %r" % qmp.execute("query-balloon"))
        time.sleep(0.3)
    if abs(mem_total(guest) - total) > MIB:
        guest.fail("the guest does not have its memory back")
    # And it can use it.
    guest.run("dd if=/dev/urandom of=/tmp/fill bs=1M count=%d 2>/dev/null; cp /tmp/fill /dev/null; "
              "sha256sum /tmp/fill /tmp/fill | cut -c1-64 | uniq | wc -l | grep -q 1; rm /tmp/fill" % (16 if sys.argv[2] == "interp" else RAM // 2), 600)


def event_of(guest, name):
    return guest.run("for e in /sys/class/input/event*; do [ \"$(cat $e/device/name)\" = '%s' ] && "
                     "echo ${e##*/}; done; true" % name).strip()


def watched(guest, device, count, act):
    """The events (type, code, value) that come while act() is done: 16 bytes each on this kernel."""
    guest.run("(timeout 20 head -c %d /dev/input/%s | hexdump -v -e '16/1 \"%%02x\" \"\\n\"' >/tmp/events; "
              "echo >/tmp/done) 2>/dev/null &\ntrue" % (16 * count, device))
    time.sleep(1)
    act()
    text = guest.run("while [ ! -e /tmp/done ]; do sleep 0.2; done; rm /tmp/done; cat /tmp/events", 60)
    events = []
    for line in text.split():
        raw = bytes.fromhex(line)
        if len(raw) == 16:
            events.append((int.from_bytes(raw[8:10], "little"), int.from_bytes(raw[10:12], "little"),
                           int.from_bytes(raw[12:16], "little", signed=True)))
    return events


def expect_events(guest, what, got, want):
    if got != want:
        guest.fail("%s: events %r, not %r" % (what, got, want))


def inputs(guest, qmp):
    guest.run("while [ ! -e /dev/input/event0 ]; do sleep 0.2; done", 60)
    keyboard, tablet, mouse = (event_of(guest, "QEMU Virtio " + name) for name in ("Keyboard", "Tablet", "Mouse"))
    if not (keyboard and tablet and mouse):
        guest.fail("the guest has not found all: %r" % [keyboard, tablet, mouse])
    mice = {one["name"]: one for one in qmp.execute("query-mice")}
    current = mice["QEMU Virtio Tablet"]
    if not current["current"] or not current["absolute"] or mice["QEMU PS/2 Mouse"]["current"]:
        guest.fail("mice: %r" % mice)
    expect_events(guest, "a key", watched(guest, keyboard, 4, lambda: qmp.human("sendkey a")),
                  [(1, 30, 1), (0, 0, 0), (1, 30, 0), (0, 0, 0)])

    def point():
        qmp.execute("input-send-event", events=[{"type": "abs", "data": {"axis": "x", "value": 12345}},
                                                {"type": "abs", "data": {"axis": "y", "value": 23456}}])
        qmp.human("mouse_move 100 200")
        qmp.human("mouse_button 1")
    expect_events(guest, "positions", watched(guest, tablet, 8, point),
                  [(3, 0, 12345), (3, 1, 23456), (0, 0, 0), (3, 0, 100), (3, 1, 200), (0, 0, 0), (1, 0x110, 1),
                   (0, 0, 0)])
    qmp.human("mouse_button 0")
    qmp.human("mouse_set %d" % mice["QEMU Virtio Mouse"]["index"])
    expect_events(guest, "moves", watched(guest, mouse, 3, lambda: qmp.human("mouse_move 5 -7")),
                  [(2, 0, 5), (2, 1, -7), (0, 0, 0)])
    qmp.human("mouse_set %d" % mice["QEMU PS/2 Mouse"]["index"])
    if "* Mouse #2: QEMU PS/2 Mouse" not in qmp.human("info mice"):
        guest.fail("info mice: " + qmp.human("info mice"))


def test():
    ringer, accel = os.path.abspath(sys.argv[1]), sys.argv[2]
    if not all(os.path.exists(os.path.join(folder, ".complete")) for folder in (initrd.VIRTIO, initrd.INPUT)):
        print("SKIP: needs the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    size = MIB // 8 if accel == "interp" else MIB
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        drivers = {"lib/drivers/" + name: os.path.join(initrd.VIRTIO, name) for name in os.listdir(initrd.VIRTIO)
                   if name.endswith(".ko") and "9p" not in name and "fs" not in name and "net" not in name}
        drivers.update({"lib/drivers/30-" + name: os.path.join(initrd.INPUT, name)
                        for name in os.listdir(initrd.INPUT) if name.endswith(".ko")})
        initrd.write("initrd.gz", (), drivers)
        chardevs = [arg for name in ("con", "agent", "old")
                    for arg in ("-chardev", "socket,id=%s,path=%s.sock,server=on,wait=off" % (name, name))]
        guest = Guest([ringer, "-accel", accel, "-m", str(RAM), "-nographic", "-no-reboot", "-monitor", "none",
                       "-qmp", "unix:qmp.sock,server=on,wait=off",
                       "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", "initrd.gz",
                       "-append", "console=ttyS0"] + chardevs + [
                       "-device", "virtio-serial", "-device", "virtconsole,chardev=con",
                       "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0,id=agent0",
                       "-device", "virtio-serial-pci,id=vs1,disable-modern=on,vectors=0",
                       "-device", "virtserialport,bus=vs1.0,nr=5,chardev=old,name=old.port,id=old0",
                       "-object", "rng-random,filename=/dev/urandom,id=r0", "-device", "virtio-rng-pci,rng=r0",
                       "-device", "virtio-balloon-pci,id=b0", "-device", "virtio-keyboard-pci",
                       "-device", "virtio-mouse-pci", "-device", "virtio-tablet-pci"])
        guest.expect("guest# ", 900)
        qmp = Qmp("qmp.sock")
        con, agent, old = (connect(name + ".sock", 60) for name in ("con", "agent", "old"))
        guest.run("for m in /lib/drivers/*; do insmod $m; done", 300)
        console(guest, con)
        port(guest, qmp, agent, "org.qemu.guest_agent.0", "agent0", size)
        port(guest, qmp, old, "old.port", "old0", size)
        random_bytes(guest)
        inputs(guest, qmp)
        balloon(guest, qmp)
        guest.send("poweroff -f\n")
        if guest.wait(300) != 0:
            guest.fail("poweroff did not end with status 0")
    print("OK: virtio devices under %s" % accel)


main(test)
