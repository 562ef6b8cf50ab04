#!/usr/bin/env python3
"""Debian's kernel drives a UHCI: a tablet, a mouse and a keyboard, two of them behind a hub, and what the monitor sends
arrives in /dev/input.

    usb.py RINGER ACCEL [ehci]

ehci: the tablet is on one, and so at high speed.
Then an idle guest with a tablet that somebody has open: what that takes of a processor.
"""
import os
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from evdev import event_of, watched  # noqa: E402
from guest import Guest, main  # noqa: E402
from qmp import Qmp  # noqa: E402
import initrd  # noqa: E402

IDLE_SECONDS = 10


def expect_events(guest, what, got, want):
    if got != want:
        guest.fail("%s: events %r, not %r" % (what, got, want))


def enumerated(guest, qmp, is_ehci):
    for name in ("QEMU QEMU USB Tablet", "QEMU QEMU USB Mouse", "QEMU QEMU USB Keyboard"):
        guest.run("for i in $(seq 300); do grep -qs '^%s$' /sys/class/input/event*/device/name && break; sleep 0.2; "
                  "done; grep -qs '^%s$' /sys/class/input/event*/device/name" % (name, name), 300)
    info = qmp.human("info usb")
    if is_ehci:
        if "Port 1, Speed 480 Mb/s, Product QEMU USB Tablet, ID: tab" not in info:
            guest.fail("info usb: %s" % info)
        return
    for port, product in (("1", "Tablet, ID: tab"), ("2", "Hub"), ("2.1", "Mouse"), ("2.2", "Keyboard")):
        line = [one for one in info.splitlines() if ", Port %s, " % port in one]
        if len(line) != 1 or not line[0].rstrip().endswith("Product QEMU USB " + product) or "Device 0.0," in line[0]:
            guest.fail("info usb: %s" % info)


def inputs(guest, qmp):
    tablet, mouse, keyboard = (event_of(guest, "QEMU QEMU USB " + name) for name in ("Tablet", "Mouse", "Keyboard"))
    before = {one["name"]: one for one in qmp.execute("query-mice")}
    if before["QEMU USB Tablet"]["current"]:
        guest.fail("nobody has opened the tablet, and it has the pointer: %r" % before)

    def point():
        qmp.execute("input-send-event", events=[{"type": "abs", "data": {"axis": "x", "value": 12345}},
                                                {"type": "abs", "data": {"axis": "y", "value": 23456}}])
        qmp.human("mouse_move 100 200")
        qmp.human("mouse_button 1")
        qmp.human("mouse_button 0")
    # Two places may have become one, if the guest was slow to ask.
    got = watched(guest, tablet, point, lambda events: events and events[-2:] == [(1, 0x110, 0), (0, 0, 0)])
    moves = [event for event in got if event[0] in (1, 3)]
    if moves[-4:] != [(3, 0, 100), (3, 1, 200), (1, 0x110, 1), (1, 0x110, 0)]:
        guest.fail("positions: events %r" % got)
    after = {one["name"]: one for one in qmp.execute("query-mice")}
    if not after["QEMU USB Tablet"]["current"] or not after["QEMU USB Tablet"]["absolute"]:
        guest.fail("the tablet does not have the pointer: %r" % after)
    got = watched(guest, keyboard, lambda: qmp.human("sendkey shift-a"), lambda events: (1, 42, 0) in events)
    keys = [event for event in got if event[0] == 1 and event[2] != 2]
    if keys[:2] != [(1, 42, 1), (1, 30, 1)] or sorted(keys[2:]) != [(1, 30, 0), (1, 42, 0)]:
        guest.fail("keys: events %r" % got)

    guest.run("(sleep 20; true) </dev/input/%s &\ntrue" % mouse)
    time.sleep(1)
    qmp.human("mouse_set %d" % after["QEMU USB Mouse"]["index"])
    expect_events(guest, "moves", watched(guest, mouse, lambda: qmp.human("mouse_move 5 -7"), lambda events: len(events) >= 3),
                  [(2, 0, 5), (2, 1, -7), (0, 0, 0)])
    return tablet


def cpu_seconds(pid):
    """Of all threads, by the scheduler's nanoseconds."""
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
            total += int(f.read().split()[0])
    return total / 1e9


def share(guest):
    begin, used = time.monotonic(), cpu_seconds(guest.process.pid)
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds(guest.process.pid) - used) / (time.monotonic() - begin)


def walks(qmp, is_ehci):
    text = qmp.human("info usb-ehci" if is_ehci else "info piix3-usb-uhci")
    return int(re.search(r"(\d+) (frames|times) walked", text).group(1))


def idle(guest, qmp, tablet, is_ehci):
    guest.run("(sleep 600) </dev/input/%s &\ntrue" % tablet)
    time.sleep(3)
    before = walks(qmp, is_ehci)
    with_tablet = share(guest)
    looked = (walks(qmp, is_ehci) - before) / IDLE_SECONDS
    guest.run("echo 0000:00:01.2 >/sys/bus/pci/drivers/uhci_hcd/unbind")
    if is_ehci:
        guest.run("cd /sys/bus/pci/drivers/ehci-pci; for d in 0000*; do echo $d >unbind; done; cd /")
    time.sleep(3)
    without = share(guest)
    print("idle with an open tablet: %.2f %% of a processor, without USB: %.2f %%; %.0f frames a second walked"
          % (100 * with_tablet, 100 * without, looked))
    if not 10 < looked < 400:
        guest.fail("%.0f frames a second are walked for nothing" % looked)


def test():
    ringer, accel, is_ehci = os.path.abspath(sys.argv[1]), sys.argv[2], len(sys.argv) > 3
    if not all(os.path.exists(os.path.join(folder, ".complete")) for folder in (initrd.USB, initrd.INPUT, initrd.USB_DISK)):
        print("SKIP: needs the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        drivers = {"lib/drivers/%s-%s" % (number, name): os.path.join(where, name)
                   for number, where in (("1", initrd.INPUT), ("2", initrd.USB), ("3", initrd.USB_DISK))
                   for name in os.listdir(where)
                   if name.endswith(".ko") and (where != initrd.USB_DISK or (is_ehci and "ehci" in name))}
        initrd.write("initrd.gz", (), drivers)
        guest = Guest([ringer, "-accel", accel, "-m", "128", "-nographic", "-no-reboot", "-monitor", "none",
                       "-qmp", "unix:qmp.sock,server=on,wait=off",
                       "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", "initrd.gz",
                       "-append", "console=ttyS0", "-usb"] +
                      (["-device", "usb-ehci,id=ehci", "-device", "usb-tablet,id=tab,bus=ehci.0"] if is_ehci else
                       ["-device", "usb-tablet,id=tab"]) + ["-usbdevice", "mouse", "-device", "usb-kbd"])
        guest.expect("guest# ", 900)
        qmp = Qmp("qmp.sock")
        guest.run("for m in /lib/drivers/*; do insmod $m; done", 300)
        enumerated(guest, qmp, is_ehci)
        tablet = inputs(guest, qmp)
        idle(guest, qmp, tablet, is_ehci)
        guest.send("poweroff -f\n")
        if guest.wait(300) != 0:
            guest.fail("poweroff did not end with status 0")
    print("OK: USB under %s" % accel)


main(test)
