#!/usr/bin/env python3
"""Debian's kernel has USB devices of the host's: a stick and a mouse of the stand-in for libusb (tests/usbhost/). They
come and go, are given back, and misbehave; the machine goes on.

    usb_host.py RINGER ACCEL CONTROLLER LIBRARY

CONTROLLER: uhci, ehci (which has no room for a full-speed mouse), ich9, ohci or xhci. LIBRARY: the stand-in.
"""
import ctypes
import hashlib
import mmap
import os
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from evdev import event_of, watched  # noqa: E402
from guest import Guest, main  # noqa: E402
from qmp import Qmp, QmpError  # noqa: E402
import initrd  # noqa: E402

DISK = 4 << 20
STICK, MOUSE = 1, 2
DIES, HANGS, STALLS, BUSY, DENIED, CHAOS, MUTE, KEEPS, SHORT = (1 << i for i in range(9))
CONTROLLERS = {
    "uhci": (["-usb"], "usb-bus.0", "12"),
    "ehci": (["-device", "usb-ehci,id=ehci"], "ehci.0", "480"),
    "xhci": (["-device", "qemu-xhci,id=xhci"], "xhci.0", "480"),
    "ohci": (["-device", "pci-ohci,id=ohci"], "ohci.0", "12"),
    "ich9": (["-device", "ich9-usb-ehci1,id=ehci,addr=1d.7",
              "-device", "ich9-usb-uhci1,masterbus=ehci.0,firstport=0,addr=1d.0,multifunction=on",
              "-device", "ich9-usb-uhci2,masterbus=ehci.0,firstport=2,addr=1d.1",
              "-device", "ich9-usb-uhci3,masterbus=ehci.0,firstport=4,addr=1d.2"], "ehci.0", "480"),
}


class Bus(ctypes.Structure):
    """struct fake_bus."""
    _fields_ = ([("present", ctypes.c_uint32), ("plugged", ctypes.c_uint32 * 2), ("wrong", ctypes.c_uint32),
                 ("seed", ctypes.c_uint32)] +
                [(name, ctypes.c_uint32) for name in ("opened", "closed", "claimed", "released", "detached", "attached",
                                                      "resets", "halts_cleared", "transfers", "cancelled", "longest",
                                                      "reports_put", "reports_taken")] +
                [("report", (ctypes.c_uint8 * 4) * 64), ("disk", ctypes.c_uint8 * DISK)])

    def plug(self, device):
        self.plugged[device - 1] += 1
        self.present |= device

    def pull(self, device):
        self.present &= ~device

    def move(self, buttons, x, y):
        at = self.reports_put % 64
        for i, value in enumerate((buttons, x & 0xff, y & 0xff)):
            self.report[at][i] = value
        self.reports_put += 1


def wait_for(guest, what, seconds=60):
    guest.run("n=0; until %s; do n=$((n+1)); [ $n -lt %d ] || break; sleep 0.1; done; %s || { dmesg | tail -n 20; false; }"
              % (what, 10 * seconds, what), seconds + 120)


def until(guest, what, is_so, seconds=30):
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            guest.fail("not within %d s: %s" % (seconds, what))
        time.sleep(0.05)


def says(guest, text):
    """A sentence to the user, once."""
    def is_said():
        guest._read(0)
        return text in guest.errors.decode(errors="replace")
    until(guest, "'%s' on stderr" % text, is_said)
    guest.errors = b""


def line_of(guest, qmp, name, wanted):
    lines = [one.strip() for one in qmp.human("info usb").splitlines() if one.strip().endswith("ID: " + name)]
    if len(lines) != 1 or not re.search(wanted, lines[0]):
        guest.fail("info usb: %r, not %s" % (lines, wanted))


def listed(guest, qmp, bus):
    if qmp.human("info usbhost").strip() != "no USB devices on the host":
        guest.fail("info usbhost: %r" % qmp.human("info usbhost"))
    bus.plug(STICK)
    bus.plug(MOUSE)
    wanted = ("  Bus 1, Addr 4, Port 1.1, Speed 480 Mb/s\n    Class 00: USB device 1209:d15c, Stand-in Stick\n"
              "  Bus 1, Addr 5, Port 1.2, Speed 12 Mb/s\n    Class 00: USB device 1209:30ce, Stand-in Mouse\n")
    got = qmp.human("info usbhost").replace("\r", "")
    if got != wanted:
        guest.fail("info usbhost: %r" % got)


def data(guest, qmp, bus, speed):
    """What the guest writes is on the stick, and what is on it the guest reads."""
    wait_for(guest, "[ -b /dev/sda ]")
    line_of(guest, qmp, "stick", "Device \\d+\\.[1-9]\\d*, .*Speed %s Mb/s, Product Stand-in Stick, ID: stick" % speed)
    size = DISK if speed == "480" else DISK // 8
    content = os.urandom(size)
    ctypes.memmove(bus.disk, content, size)
    begin = time.monotonic()
    guest.run("[ $(head -c %d /dev/sda | sha256sum | cut -c1-64) = %s ]"
              % (size, hashlib.sha256(content).hexdigest()), 300)
    print("%.2f MB/s read" % (size / 1e6 / (time.monotonic() - begin)))
    begin = time.monotonic()
    text = guest.run("head -c %d /dev/urandom >/tmp/r; dd if=/tmp/r of=/dev/sda bs=64k conv=fsync 2>/dev/null; "
                     "sha256sum </tmp/r" % size, 300)
    print("%.2f MB/s written" % (size / 1e6 / (time.monotonic() - begin)))
    digest = re.search("[0-9a-f]{64}", text).group(0)
    if hashlib.sha256(bytes(bus.disk)[:size]).hexdigest() != digest:
        guest.fail("what was written is not on the stick")
    if speed == "480" and bus.longest < 4096:
        guest.fail("transfers go packet by packet: the longest had %d bytes" % bus.longest)


def errors(guest, qmp, bus):
    """Stalls and short data: the guest's driver gets over them."""
    guest.run("dmesg -c >/dev/null")
    cleared = bus.halts_cleared
    bus.wrong = SHORT
    guest.run("echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/sda of=/dev/null bs=64k count=1 iflag=direct "
              "2>/dev/null; true", 120)
    if bus.wrong & SHORT or bus.halts_cleared == cleared:
        guest.fail("no short transfer, or its halt was not cleared")
    # Nobody answers: the driver's time-out, a reset, and it goes on.
    resets = bus.resets
    guest.run("echo 3 >/sys/block/sda/device/timeout; echo 3 >/proc/sys/vm/drop_caches")
    bus.wrong = MUTE
    guest.run("(dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; echo $? >/tmp/muted) >/dev/null 2>&1 &\ntrue")
    until(guest, "a reset of what does not answer", lambda: bus.resets > resets, 60)
    bus.wrong = 0
    wait_for(guest, "grep -q '^0' /tmp/muted", 120)
    guest.run("echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/sda of=/dev/null bs=64k count=1 2>/dev/null", 120)


def mouse(guest, qmp, bus):
    name = "Ringer Stand-in Mouse"
    wait_for(guest, "grep -qs '^%s$' /sys/class/input/event*/device/name" % name)
    line_of(guest, qmp, "mouse", "Speed 12 Mb/s, Product Stand-in Mouse, ID: mouse")
    moves = ((5, -7), (100, 3), (-128 + 1, 127))
    wanted = [event for x, y in moves for event in ((2, 0, x), (2, 1, y), (0, 0, 0))]

    def act():
        for x, y in moves:
            bus.move(0, x, y)
    events = watched(guest, event_of(guest, name), act, lambda events: len(events) >= len(wanted))
    if events != wanted:
        guest.fail("events %r, not %r" % (events, wanted))


def pulled(guest, qmp, bus):
    """Out of the host's socket in the midst of reading, and in again."""
    guest.run("(while dd if=/dev/sda of=/dev/null bs=64k iflag=direct; do :; done) >/dev/null 2>&1 &\ntrue")
    bus.pull(STICK)
    wait_for(guest, "[ ! -b /dev/sda ]")
    line_of(guest, qmp, "stick", "Device \\d+\\.0, .*Product USB Host Device")
    bus.plug(STICK)
    wait_for(guest, "[ -b /dev/sda ] || [ -b /dev/sdb ]")
    line_of(guest, qmp, "stick", "Product Stand-in Stick")


def given_back(guest, qmp, bus, name):
    """By device_del: the host's driver has it again. And a new device takes it."""
    qmp.execute("device_del", id="stick")
    qmp.wait_event("DEVICE_DELETED")
    wait_for(guest, "! ls /dev/sd? 2>/dev/null")
    until(guest, "the stick is given back", lambda: bus.attached >= 1 and bus.released >= 1)
    if bus.closed != bus.opened - (1 if bus.present & MOUSE and name else 0):
        guest.fail("%d opened, %d closed" % (bus.opened, bus.closed))
    qmp.execute("device_add", driver="usb-host", id="stick", hostbus=1, hostaddr=2 + 2 * bus.plugged[0])
    wait_for(guest, "ls /dev/sd? 2>/dev/null")


def refused(guest, qmp, bus):
    def try_add(part, **options):
        try:
            qmp.execute("device_add", driver="usb-host", **options)
        except QmpError as error:
            if part not in str(error):
                guest.fail("device_add says %r" % str(error))
            return
        guest.fail("device_add %r was not refused" % options)
    try_add("there is no USB device 1:99", hostbus=1, hostaddr=99)
    try_add("which device", id="none")
    qmp.execute("device_del", id="stick")
    qmp.wait_event("DEVICE_DELETED")
    bus.wrong = BUSY
    try_add("in use by another program", hostbus=1, hostaddr=2 + 2 * bus.plugged[0])
    bus.wrong = DENIED
    qmp.execute("device_add", driver="usb-host", id="stick", vendorid=0x1209, productid=0xd15c)
    says(guest, "give this user the right to write to /dev/bus/usb/001/")
    bus.wrong = 0
    bus.pull(STICK)
    time.sleep(1)
    bus.plug(STICK)
    wait_for(guest, "ls /dev/sd? 2>/dev/null")


def broken(guest, qmp, bus):
    """A library that aborts, one that hangs, one that keeps transfers: the device goes, the machine does not."""
    for wrong, sentence in ((DIES, "has ended"), (HANGS, None), (KEEPS | MUTE, None)):
        guest.run("echo 3 >/proc/sys/vm/drop_caches; (dd if=$(ls /dev/sd? | head -n1) of=/dev/null bs=4k count=9 "
                  "iflag=direct) >/dev/null 2>&1 &\ntrue")
        bus.wrong = wrong
        guest.run("(dd if=$(ls /dev/sd? | head -n1) of=/dev/null bs=4k count=9 iflag=direct) >/dev/null 2>&1 &\ntrue")
        if sentence:
            says(guest, sentence)
        begin = time.monotonic()
        qmp.execute("device_del", id="stick")
        qmp.wait_event("DEVICE_DELETED")
        if time.monotonic() - begin > 5:
            guest.fail("device_del took %.1f s" % (time.monotonic() - begin))
        wait_for(guest, "! ls /dev/sd? 2>/dev/null")
        bus.wrong = 0
        bus.pull(STICK)
        bus.plug(STICK)
        qmp.execute("device_add", driver="usb-host", id="stick", vendorid=0x1209, productid=0xd15c)
        wait_for(guest, "ls /dev/sd? 2>/dev/null")
        guest.run("dd if=$(ls /dev/sd? | head -n1) of=/dev/null bs=4k count=2 2>/dev/null")
    # Nonsense, for a while: what the guest makes of it is its own matter.
    bus.wrong = CHAOS
    for _ in range(20):
        guest.run("(dd if=$(ls /dev/sd? | head -n1) of=/dev/null bs=4k count=9 iflag=direct) >/dev/null 2>&1 &\ntrue")
        bus.pull(STICK)
        bus.plug(STICK)
        time.sleep(0.3)
    bus.wrong = 0
    qmp.execute("device_del", id="stick")
    qmp.wait_event("DEVICE_DELETED")


def test():
    ringer, accel, controller, library = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
    wanted = [(initrd.INPUT, None), (initrd.USB, None), (initrd.MODULES, ("scsi_common", "scsi_mod", "sd_mod", "t10", "crc")),
              (initrd.USB_DISK, None)] + ([(initrd.XHCI, None)] if controller == "xhci" else [])
    if not initrd.is_there(wanted):
        print("SKIP: needs the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    options, name, speed = CONTROLLERS[controller]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("bus", "wb") as f:
            f.truncate(ctypes.sizeof(Bus))
        with open("bus", "r+b") as f:
            bus = Bus.from_buffer(mmap.mmap(f.fileno(), 0))
        os.environ["LD_LIBRARY_PATH"] = os.path.dirname(library)
        os.environ["RINGER_FAKE_USB"] = os.path.join(folder, "bus")
        initrd.write("initrd.gz", (), initrd.drivers_of(wanted))
        guest = Guest([ringer, "-accel", accel, "-m", "128", "-nographic", "-no-reboot", "-monitor", "none",
                       "-qmp", "unix:qmp.sock,server=on,wait=off",
                       "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", "initrd.gz",
                       "-append", "console=ttyS0"] + options +
                      ["-device", "usb-host,vendorid=0x1209,productid=0xd15c,id=stick,bus=" + name,
                       "-device", "usb-host,hostbus=1,hostport=1.2,id=mouse,bus=" + name])
        guest.expect("guest# ", 900)
        qmp = Qmp("qmp.sock")
        guest.run("dmesg -n 1; for m in /lib/drivers/*; do insmod $m || echo failed $m; done", 300)
        listed(guest, qmp, bus)
        if controller == "ehci":
            says(guest, "mouse: host USB device 1:5 (1209:30ce) is left to the host, as it cannot be plugged in: "
                 "Stand-in Mouse: USB port '2' has not its speed")
        data(guest, qmp, bus, speed)
        if controller != "ehci":
            mouse(guest, qmp, bus)
        errors(guest, qmp, bus)
        pulled(guest, qmp, bus)
        given_back(guest, qmp, bus, controller != "ehci")
        refused(guest, qmp, bus)
        broken(guest, qmp, bus)
        if controller != "ehci": # whose driver may still be busy with what it was told last
            bus.pull(MOUSE)
            wait_for(guest, "! grep -qs 'Stand-in Mouse' /sys/class/input/event*/device/name")
            bus.plug(MOUSE)
            mouse(guest, qmp, bus)
        guest.send("poweroff -f\n")
        if guest.wait(300) != 0:
            guest.fail("poweroff did not end with status 0")
        until(guest, "all is given back at the end", lambda: bus.opened >= bus.closed)
    print("OK: USB devices of the host's (%s) under %s" % (controller, accel))


main(test)
