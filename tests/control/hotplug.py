#!/usr/bin/env python3
"""device_add and device_del on USB, without a guest: names, errors, hubs with what is in them, drives, memory.

    hotplug.py RINGER
"""
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from qmp import Machine, QmpError  # noqa: E402


def refused(qmp, part, command, **arguments):
    try:
        qmp.execute(command, **arguments)
    except QmpError as error:
        assert part in str(error), (part, str(error))
        return
    raise AssertionError("%s %r was not refused" % (command, arguments))


def heap(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1))


def deleted(qmp):
    return qmp.wait_event("DEVICE_DELETED")["data"]


def names(qmp):
    return re.findall(r"ID: (\S+)", qmp.human("info usb"))


def errors(qmp):
    refused(qmp, "not a valid device model", "device_add", driver="usb-pigeon")
    refused(qmp, "isa.0' does not support hotplugging", "device_add", driver="isa-serial")
    refused(qmp, "does not support hotplugging", "device_add", driver="usb-ehci")
    refused(qmp, "needs drive=", "device_add", driver="usb-storage", id="s")
    refused(qmp, "no -drive", "device_add", driver="usb-storage", id="s", drive="nothing")
    refused(qmp, "there is no property 'colour'", "device_add", driver="usb-mouse", colour="red")
    refused(qmp, "there is no USB port '9'", "device_add", driver="usb-mouse", port="9")
    refused(qmp, "no free port of its speed", "device_add", driver="usb-hub", bus="ehci.0")
    refused(qmp, "'nowhere' is none here", "device_add", driver="usb-mouse", bus="nowhere")
    refused(qmp, "not found", "device_del", id="m")
    assert "missing" in qmp.human("device_add id=x")
    qmp.execute("device_add", driver="usb-mouse", id="m")
    refused(qmp, "Duplicate device ID 'm'", "device_add", driver="usb-mouse", id="m")
    qmp.execute("device_del", id="m")
    assert deleted(qmp) == {"device": "m", "path": "/machine/peripheral/m"}
    assert names(qmp) == []


def hubs(qmp):
    """What is in a hub goes with it, the farthest first."""
    qmp.execute("device_add", driver="usb-hub", id="h1", port="1")
    qmp.execute("device_add", driver="usb-hub", id="h2", port="1.3")
    qmp.execute("device_add", driver="usb-kbd", id="k", port="1.3.2")
    qmp.execute("device_add", driver="usb-tablet", id="t", port="2")
    assert sorted(names(qmp)) == ["h1", "h2", "k", "t"], names(qmp)
    qmp.execute("send-key", keys=[{"type": "qcode", "data": "a"}])
    qmp.execute("device_del", id="h1")
    assert [deleted(qmp)["device"] for _ in range(3)] == ["k", "h2", "h1"]
    assert names(qmp) == ["t"]
    mice = [one["name"] for one in qmp.execute("query-mice")]
    assert mice == ["QEMU PS/2 Mouse", "QEMU USB Tablet"], mice
    assert qmp.human("device_del t") == ""
    deleted(qmp)
    # The last port becomes a hub, as at the start.
    for i in range(5):
        qmp.execute("device_add", driver="usb-mouse", id="m%d" % i)
    assert "Port 2.1" in qmp.human("info usb") and len(names(qmp)) == 5
    for i in range(5):
        qmp.execute("device_del", id="m%d" % i)
        deleted(qmp)


def drives(qmp):
    for name in ("c1", "c2"):  # nobody writes on a CD: it may be in two drives
        assert qmp.human("drive_add 0 if=none,id=%s,media=cdrom,file=disk.img,format=raw" % name) == "OK\n"
    for name in ("c1", "c2"):
        qmp.human("drive_del " + name)
    assert qmp.human("drive_add 0 if=none,id=d,file=disk.img,format=raw") == "OK\n"
    qmp.execute("device_add", driver="usb-storage", id="s", drive="d", removable=True)
    refused(qmp, "in s already", "device_add", driver="usb-storage", id="s2", drive="d")
    assert "in use" in qmp.human("drive_del d")
    assert "removable" in qmp.human("info block").lower()
    qmp.execute("device_del", id="s")
    deleted(qmp)
    assert "disk.img" not in qmp.human("info block")
    qmp.execute("blockdev-add", **{"driver": "raw", "node-name": "n",
                                   "file": {"driver": "file", "filename": "disk.img"}})
    qmp.execute("device_add", driver="usb-storage", id="s", drive="n")
    refused(qmp, "in use", "blockdev-del", **{"node-name": "n"})
    qmp.execute("device_del", id="s")
    deleted(qmp)
    qmp.execute("device_add", driver="usb-storage", id="s", drive="n")  # a node stays
    qmp.execute("device_del", id="s")
    deleted(qmp)
    qmp.execute("blockdev-del", **{"node-name": "n"})


def cycles(qmp, pid):
    for i in range(600):
        if i == 200:
            before = heap(pid)
        qmp.human("drive_add 0 if=none,id=d,file=disk.img,format=raw")
        qmp.execute("device_add", driver="usb-storage", id="s", drive="d")
        qmp.execute("device_add", driver="usb-tablet", id="t")
        for name in ("t", "s"):
            qmp.execute("device_del", id=name)
            deleted(qmp)
    after = heap(pid)
    print("memory: %d kB, %d kB after 400 more" % (before, after))
    with open("/proc/%d/maps" % pid) as f:
        is_asan = "libasan" in f.read()  # which keeps what was freed
    assert is_asan or after < before + 1000, (before, after)


def test():
    ringer = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("disk.img", "wb") as f:
            f.truncate(1 << 20)
        machine = Machine([ringer, "-S", "-m", "16", "-display", "none", "-usb", "-device", "usb-ehci,id=ehci"], folder)
        try:
            qmp = machine.qmp
            errors(qmp)
            hubs(qmp)
            drives(qmp)
            cycles(qmp, machine.process.pid)
            qmp.execute("quit")
            assert machine.process.wait(20) == 0
        finally:
            machine.end()
    print("OK: hot plug")


if __name__ == "__main__":
    test()
