#!/usr/bin/env python3
"""QMP from outside: greeting, errors, ids, events, and what commands do. Every answer is checked against the schema that
the program itself gives.

usage: qmp.py RINGER IMAGE

IMAGE is the floppy of tests/vga/echo.S, whose guest writes the keys that it reads to the screen.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from monitor import Hmp  # noqa: E402
from qmp import Machine, Qmp, QmpError, Schema  # noqa: E402

RINGER, IMAGE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
failures = 0
machines = []
schema = None


def check(name):
    def decorate(test):
        global failures
        with tempfile.TemporaryDirectory() as folder:
            before = os.getcwd()
            os.chdir(folder)
            try:
                test(folder)
                print("ok - " + name, flush=True)
            except (AssertionError, QmpError, EOFError, OSError, KeyError) as e:
                failures += 1
                print("not ok - %s\n# %s: %s" % (name, type(e).__name__, e), flush=True)
            os.chdir(before)
            while machines:
                machines.pop().process.kill()
        return test
    return decorate


def start(folder, *options):
    shutil.copy(IMAGE, "guest.img")  # a machine has it alone, and other tests run
    machines.append(Machine([RINGER, "-accel", "bt", "-m", "16", "-display", "none", "-fda", "guest.img", "-boot", "a", *options],
                            folder, stderr=subprocess.DEVNULL))
    return machines[-1]


def checked(qmp, command, **arguments):
    """The value of a command, which matches what the schema says."""
    global schema
    if not schema:
        schema = Schema(qmp.execute("query-qmp-schema"))
    value = qmp.execute(command, **arguments)
    wrong = schema.wrong(schema.of[command]["ret-type"], value, command)
    assert not wrong, wrong
    return value


def refused(qmp, kind, word, command, **arguments):
    try:
        value = qmp.execute(command, **arguments)
    except QmpError as e:
        assert e.kind == kind and word in str(e), "%s: %s: %s" % (command, e.kind, e)
        return
    raise AssertionError("%s %r gave %r" % (command, arguments, value))


def event_is_right(event):
    entity = schema.of[event["event"]]
    wrong = schema.wrong(entity["arg-type"], event.get("data", {}), event["event"])
    assert not wrong, wrong
    stamp = event["timestamp"]
    assert abs(stamp["seconds"] + stamp["microseconds"] / 1e6 - time.time()) < 60, stamp
    return event.get("data")


def screen(qmp):
    return qmp.human("screentext")


def wait_screen(qmp, text, limit=60):
    end = time.monotonic() + limit
    while text not in screen(qmp):
        assert time.monotonic() < end, "no %r on\n%s" % (text, screen(qmp))
        time.sleep(0.05)


@check("greeting, negotiation, ids, errors")
def _(folder):
    machine = start(folder, "-S")
    qmp = Qmp(machine.path, negotiate=False)
    version = qmp.greeting["QMP"]["version"]
    assert set(version["qemu"]) == {"major", "minor", "micro"} and "Ringer" in version["package"], qmp.greeting
    error = qmp.raw({"execute": "query-status", "id": 7})
    assert error["error"]["class"] == "CommandNotFound" and error["id"] == 7, error
    assert "qmp_capabilities" in error["error"]["desc"], error
    assert "error" in qmp.raw({"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}})
    assert qmp.raw({"execute": "qmp_capabilities", "arguments": {"enable": []}, "id": {"a": [1, None]}}) == {
        "return": {}, "id": {"a": [1, None]}}
    assert "already complete" in qmp.raw({"execute": "qmp_capabilities"})["error"]["desc"]
    for message, words in ((b"[]", "must be a JSON object"), (b"nonsense", "JSON parse error"),
                           (b'{"execute": }', "JSON parse error"), (b'{"id": 1}', "lacks member 'execute'"),
                           (b'{"execute": 5}', "must be a string"),
                           (b'{"execute": "stop", "arguments": []}', "must be an object"),
                           (b'{"execute": "stop", "color": 1}', "'color' is unexpected"),
                           (b'{"execute": "stop", "arguments": {"a": 1}}', "Parameter 'a' is unexpected"),
                           (b'{"execute": "eject", "arguments": {"device": 1}}', "expected: string"),
                           (b'{"execute": "qom-list"}', "Parameter 'path' is missing"),
                           (b'{"execute": "screendump", "arguments": {"filename": "x", "format": "gif"}}',
                            "does not accept value 'gif'"),
                           (b'{"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": 3}]}}',
                            "keys[0].data"), (b'\xff\xfe', "JSON"), (b'{' * 2000, "nesting")):
        qmp.send(message + b"\n")
        answer = qmp.answer()
        assert words in answer["error"]["desc"], (message[:60], answer)
    refused(qmp, "CommandNotFound", "frobnicate", "frobnicate")
    refused(qmp, "DeviceNotFound", "nothing", "device_del", id="nothing")
    qmp.send(b"{'execute': 'query-name'}{\"execute\":\"query-name\"}\n\n")  # as QEMU takes them
    assert qmp.answer() == {"return": {}} == qmp.answer()
    for byte in b'{"execute": "query-status", "id": "split"}':
        qmp.send(bytes([byte]))
    assert qmp.answer()["id"] == "split"
    machine.end()


@check("all that can be asked without arguments has the declared shape")
def _(folder):
    with open("disk", "wb") as f:
        f.truncate(1 << 20)
    machine = start(folder, "-drive", "file=disk,format=raw,id=d0,if=none", "-device", "ide-hd,drive=d0,id=mydisk", "-cdrom",
                    "disk", "-snapshot", "-serial", "null", "-name", "ö,process=x", "-chardev", "ringbuf,id=r", "-device", "virtio-balloon")
    qmp = machine.qmp
    names = [c["name"] for c in checked(qmp, "query-commands")]
    checked(qmp, "query-qmp-schema")
    assert sorted(names) == schema.commands(), set(names) ^ set(schema.commands())
    assert sorted(e["name"] for e in checked(qmp, "query-events")) == schema.events()
    asked = [n for n in names if n.startswith("query-")]
    for name in asked:
        checked(qmp, name)
    assert len(asked) >= 24, asked
    assert checked(qmp, "query-status") == {"running": True, "singlestep": False, "status": "running"}
    assert checked(qmp, "query-name") == {"name": "ö"}
    assert checked(qmp, "query-target") == {"arch": "i386"}
    block = {b["device"]: b for b in checked(qmp, "query-block")}
    assert block["d0"]["qdev"] == "/machine/peripheral/mydisk", block["d0"]
    assert block["d0"]["inserted"]["image"]["virtual-size"] == 1 << 20
    assert [c["label"] for c in checked(qmp, "query-chardev")].count("r") == 1
    machine.end()


@check("stop, cont, reset and their events; quit")
def _(folder):
    machine = start(folder, "-S")
    qmp = machine.qmp
    assert checked(qmp, "query-status")["status"] == "prelaunch"
    checked(qmp, "cont")
    event_is_right(qmp.wait_event("RESUME"))
    wait_screen(qmp, "ready")
    checked(qmp, "stop")
    event_is_right(qmp.wait_event("STOP"))
    assert checked(qmp, "query-status")["status"] == "paused"
    qmp.execute("stop")  # once more: no event
    qmp.human("info registers")  # stands for a moment: neither
    qmp.execute("system_reset")
    event_is_right(qmp.wait_event("RESET"))
    assert checked(qmp, "query-status") == {"status": "prelaunch", "running": False, "singlestep": False}
    checked(qmp, "cont")
    checked(qmp, "system_reset")
    assert event_is_right(qmp.wait_event("RESET")) == {"guest": False, "reason": "host-qmp-system-reset"}
    assert [e["event"] for e in qmp.events] == ["RESUME"], qmp.events
    refused(qmp, "GenericError", "not in suspended", "system_wakeup")
    checked(qmp, "inject-nmi")
    checked(qmp, "set-action", shutdown="pause")
    qmp.execute("quit")
    assert event_is_right(qmp.wait_event("SHUTDOWN")) == {"guest": False, "reason": "host-qmp-quit"}
    assert machine.process.wait(20) == 0


@check("a guest that resets or is triple-faulted; -no-reboot; a signal")
def _(folder):
    machine = start(folder)
    qmp = machine.qmp
    wait_screen(qmp, "ready")
    qmp.human("o /b 0x64 0xfe")  # the keyboard controller's reset line
    checked(qmp, "query-status")
    assert event_is_right(qmp.wait_event("RESET")) == {"guest": True, "reason": "guest-reset"}
    checked(qmp, "set-action", reboot="shutdown")
    qmp.human("o /b 0x64 0xfe")
    assert event_is_right(qmp.wait_event("SHUTDOWN")) == {"guest": True, "reason": "guest-reset"}
    assert machine.process.wait(20) == 0
    machine = start(folder, "-no-reboot")  # the user's reset ends it as the guest's does
    machine.qmp.execute("system_reset")
    assert event_is_right(machine.qmp.wait_event("SHUTDOWN")) == {"guest": False, "reason": "host-qmp-system-reset"}
    assert machine.process.wait(20) == 0
    machine = start(folder, "-no-shutdown", "-no-reboot")
    wait_screen(machine.qmp, "ready")
    machine.qmp.human("o /b 0x64 0xfe")
    machine.qmp.wait_event("SHUTDOWN")
    machine.qmp.wait_event("STOP")
    assert checked(machine.qmp, "query-status")["status"] == "shutdown"
    refused(machine.qmp, "GenericError", "Resetting the Virtual Machine is required", "cont")
    machine.process.terminate()
    assert event_is_right(machine.qmp.wait_event("SHUTDOWN")) == {"guest": False, "reason": "host-signal"}
    assert machine.process.wait(20) == 0


@check("keys by send-key, input-send-event and type")
def _(folder):
    machine = start(folder)
    qmp = machine.qmp
    wait_screen(qmp, "ready")

    def key(name):
        return {"type": "qcode", "data": name}
    checked(qmp, "send-key", keys=[key("shift"), key("a")], **{"hold-time": 20})
    checked(qmp, "send-key", keys=[{"type": "number", "data": 0x30}])  # B
    for name in ("c", "d"):
        checked(qmp, "input-send-event", events=[
            {"type": "key", "data": {"key": key(name), "down": down}} for down in (True, False)])
    wait_screen(qmp, "Abcd")
    qmp.human("type -Xyz-")
    wait_screen(qmp, "Abcd-Xyz-")
    refused(qmp, "GenericError", "mail", "send-key", keys=[key("mail")])
    refused(qmp, "GenericError", "1 to", "send-key", keys=[])
    refused(qmp, "GenericError", "absolute", "input-send-event",
            events=[{"type": "abs", "data": {"axis": "x", "value": 5}}])
    checked(qmp, "input-send-event", events=[{"type": "rel", "data": {"axis": "x", "value": 5}},
                                             {"type": "btn", "data": {"button": "left", "down": True}}])
    text = json.dumps({"execute": "input-send-event", "arguments": {"events": [
        {"type": "rel", "data": {"axis": "x", "value": 32767}}] * 80000}}, separators=(",", ":"))
    qmp.send(text.encode())  # more than an int, if they are all added up
    assert qmp.answer() == {"return": {}}
    machine.end()


@check("balloon: target, size, properties; without one, what is not there")
def _(folder):
    qmp = start(folder).qmp
    refused(qmp, "DeviceNotActive", "No balloon device has been activated", "query-balloon")
    refused(qmp, "DeviceNotActive", "No balloon device has been activated", "balloon", value=8 << 20)
    machines[-1].end()
    qmp = start(folder, "-device", "virtio-balloon,id=b0").qmp
    assert checked(qmp, "query-balloon") == {"actual": 16 << 20}
    checked(qmp, "balloon", value=8 << 20)  # nobody in the guest hears of it
    assert "balloon: actual=16" in qmp.human("info balloon")
    refused(qmp, "GenericError", "expects a size", "balloon", value=0)
    path = {"path": "/machine/peripheral/b0"}
    checked(qmp, "qom-set", property="guest-stats-polling-interval", value=2, **path)
    assert checked(qmp, "qom-get", property="guest-stats-polling-interval", **path) == 2
    refused(qmp, "GenericError", "timer value", "qom-set", property="guest-stats-polling-interval", value=-1, **path)
    stats = checked(qmp, "qom-get", property="guest-stats", **path)
    assert stats["last-update"] == 0 and stats["stats"]["stat-free-memory"] == -1, stats
    refused(qmp, "GenericError", "after it was realized", "qom-set", property="deflate-on-oom", value=True, **path)
    machines[-1].end()


@check("mice: which there are, and which one takes the pointer")
def _(folder):
    qmp = start(folder, "-device", "virtio-tablet-pci", "-device", "virtio-mouse").qmp
    mice = checked(qmp, "query-mice")
    assert [(m["name"], m["current"], m["absolute"]) for m in mice] == [
        ("QEMU PS/2 Mouse", True, False), ("QEMU Virtio Tablet", False, True), ("QEMU Virtio Mouse", False, False)], mice
    qmp.human("mouse_set %d" % mice[2]["index"])  # its driver is not there yet
    assert qmp.execute("query-mice")[0]["current"]
    refused(qmp, "GenericError", "absolute", "input-send-event",
            events=[{"type": "abs", "data": {"axis": "x", "value": 5}}])
    machines[-1].end()


@check("media: trays, changes, their events and refusals")
def _(folder):
    for name, size in (("one.iso", 4), ("two.iso", 6), ("a.img", 1440)):
        with open(name, "wb") as f:
            f.truncate(size * 1024)
    machine = start(folder, "-cdrom", "one.iso")
    qmp = machine.qmp

    def drive(label="ide1-cd0"):
        return [b for b in checked(qmp, "query-block") if b["device"] == label][0]

    def moved():
        data = event_is_right(qmp.wait_event("DEVICE_TRAY_MOVED"))
        assert data["device"] == "ide1-cd0" and data["id"] == drive()["qdev"], data
        return data["tray-open"]
    assert drive()["tray_open"] is False and drive()["inserted"]["file"] == "one.iso"
    for line in ("info block -v", "info block -n"):
        assert qmp.human(line) == qmp.human("info block") and "one.iso" in qmp.human(line + " ide1-cd0")
    checked(qmp, "blockdev-open-tray", device="ide1-cd0")
    assert moved() is True and drive()["tray_open"] is True and "inserted" in drive()
    checked(qmp, "blockdev-close-tray", id=drive()["qdev"])
    assert moved() is False
    checked(qmp, "blockdev-change-medium", device="ide1-cd0", filename="two.iso", format="raw")
    assert (moved(), moved()) == (True, False) and drive()["inserted"]["image"]["virtual-size"] == 6 * 1024
    refused(qmp, "GenericError", "there is no such file", "blockdev-change-medium", device="ide1-cd0", filename="three.iso")
    assert drive()["inserted"]["file"] == "two.iso"
    checked(qmp, "eject", device="ide1-cd0", force=True)
    assert "inserted" not in drive() and drive()["tray_open"] is True
    refused(qmp, "DeviceNotFound", "not found", "eject", device="nodrive")
    refused(qmp, "GenericError", "exactly one", "eject")
    refused(qmp, "DeviceNotFound", "nobody", "eject", id="nobody")
    checked(qmp, "blockdev-change-medium", device="floppy0", filename="a.img", **{"read-only-mode": "read-only"})
    assert drive("floppy0")["inserted"]["ro"] is True and "tray_open" not in drive("floppy0")
    assert {s["device"] for s in checked(qmp, "query-blockstats")} == {"ide1-cd0", "floppy0"}
    machine.end()


@check("nodes and drives that come and go; commit")
def _(folder):
    for name, size in (("cd.iso", 8), ("disk", 64), ("spare", 64)):
        with open(name, "wb") as f:
            f.truncate(size * 1024)
    machine = start(folder, "-device", "ide-cd,id=cd", "-drive", "file=disk,format=raw,id=d0,if=none,snapshot=on", "-device",
                    "ide-hd,drive=d0", "-boot", "a")
    qmp = machine.qmp
    checked(qmp, "blockdev-add", **{"driver": "file", "filename": "cd.iso", "node-name": "storage", "read-only": True,
                                    "auto-read-only": True, "discard": "unmap"})
    checked(qmp, "blockdev-add", **{"driver": "raw", "file": "storage", "node-name": "format", "read-only": True})
    assert [n["node-name"] for n in checked(qmp, "query-named-block-nodes")] == ["storage", "format"]
    refused(qmp, "GenericError", "Duplicate", "blockdev-add", **{"driver": "raw", "file": "storage", "node-name": "format"})
    refused(qmp, "GenericError", "no such file", "blockdev-add", driver="qcow2",
            file={"driver": "file", "filename": "nothing"}, **{"node-name": "n"})
    refused(qmp, "GenericError", "not open", "blockdev-insert-medium", id="cd", **{"node-name": "format"})
    checked(qmp, "blockdev-open-tray", id="cd")
    refused(qmp, "GenericError", "node-name='other'", "blockdev-insert-medium", id="cd", **{"node-name": "other"})
    checked(qmp, "blockdev-insert-medium", id="cd", **{"node-name": "format"})
    checked(qmp, "blockdev-close-tray", id="cd")
    cd = [b for b in checked(qmp, "query-block") if b.get("qdev", "").endswith("/cd")][0]
    assert cd["inserted"]["file"] == "cd.iso" and cd["tray_open"] is False, cd
    refused(qmp, "GenericError", "in use", "blockdev-del", **{"node-name": "format"})
    refused(qmp, "GenericError", "in use", "blockdev-del", **{"node-name": "storage"})
    checked(qmp, "blockdev-open-tray", id="cd")
    checked(qmp, "blockdev-remove-medium", id="cd")
    checked(qmp, "blockdev-del", **{"node-name": "format"})
    checked(qmp, "blockdev-del", **{"node-name": "storage"})
    assert qmp.human("drive_add 0 if=none,id=late,file=spare,format=raw") == "OK\n"
    assert "two drives" in qmp.human("drive_add 0 if=none,id=late,file=spare,format=raw")
    assert "late: spare (raw)" in qmp.human("info block late")
    assert "in use" in qmp.human("drive_del d0") and "not found" in qmp.human("drive_del nothing")
    assert qmp.human("drive_del late") == "" and "late" not in qmp.human("info block")
    assert "not found" in qmp.human("commit nothing") and qmp.human("commit all") == "" == qmp.human("commit d0")
    machine.end()


@check("commit that fails leaves the disk as it was; -daemonize and a relative name")
def _(folder):
    with open("disk", "wb") as f:
        f.truncate(1 << 20)
    machine = start(folder, "-snapshot", "-drive", "file=disk,format=raw")
    os.rename("disk", "away")
    assert "'commit' error for 'ide0-hd0'" in machine.qmp.human("commit all")
    os.rename("away", "disk")
    assert machine.qmp.human("commit all") == ""  # what is below was not lost
    machine.end()
    subprocess.run([*machine.command, "-daemonize"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    qmp = Qmp(machine.path)
    assert qmp.human("commit all") == ""
    qmp.execute("quit")


@check("sum is that of the bytes, across pages")
def _(folder):
    qmp = start(folder, "-S").qmp
    checked(qmp, "pmemsave", val=0xf0ffd, size=0x2005, filename="bytes")
    total = 0
    with open("bytes", "rb") as f:
        for byte in f.read():
            total = ((total >> 1 | total << 15) + byte) & 0xffff
    assert qmp.human("sum 0xf0ffd 0x2005") == "%05d\n" % total != "00000\n"
    machines[-1].end()


@check("memory and screen to files")
def _(folder):
    machine = start(folder)
    qmp = machine.qmp
    wait_screen(qmp, "ready")
    checked(qmp, "stop")
    checked(qmp, "pmemsave", val=0xb8000, size=4000, filename="text")
    checked(qmp, "memsave", val=0xb8000, size=4000, filename="text2")
    with open("text", "rb") as a, open("text2", "rb") as b:
        cells = a.read()
        assert len(cells) == 4000 and cells == b.read()
    assert b"ready" in cells[::2], cells[::2][:200]
    refused(qmp, "GenericError", "Invalid addr", "memsave", val=0xfffffff0, size=32, filename="x")
    refused(qmp, "GenericError", "Invalid addr", "pmemsave", val=1 << 40, size=32, filename="x")
    refused(qmp, "GenericError", "Could not open", "pmemsave", val=0, size=32, filename="/nowhere/x")
    refused(qmp, "GenericError", "negative", "pmemsave", val=0, size=-1, filename="x")
    checked(qmp, "screendump", filename="s.png", format="png")
    with open("s.png", "rb") as f:
        assert f.read(4) == b"\x89PNG"
    assert qmp.human("xp /2xb 0xb8000").startswith("00000000000b8000: 0x")
    assert qmp.human("print 1 + 2 * 3 + (7 & 3)") == "10\n"
    assert qmp.human("p/x 'A'") == "0x41\n"
    assert "division by zero" in qmp.human("print 5 / 0")
    assert "unknown register" in qmp.human("print $foo")
    assert qmp.human("gva2gpa 0x7c00") == "gpa: 0x7c00\n"
    machine.end()


@check("character devices and passed descriptors")
def _(folder):
    machine = start(folder, "-chardev", "ringbuf,id=r0,size=16", "-serial", "chardev:r0")
    qmp = machine.qmp
    checked(qmp, "ringbuf-write", device="r0", data="hello")
    checked(qmp, "ringbuf-write", device="r0", data="d29ybGQ=", format="base64")
    assert checked(qmp, "ringbuf-read", device="r0", size=100) == "helloworld"
    assert checked(qmp, "ringbuf-read", device="r0", size=100) == ""
    assert checked(qmp, "ringbuf-read", device="r0", size=100, format="base64") == ""
    refused(qmp, "GenericError", "", "ringbuf-read", device="nothing", size=1)
    refused(qmp, "GenericError", "greater than zero", "ringbuf-read", device="r0", size=0)
    path = checked(qmp, "chardev-add", id="p", backend={"type": "pty", "data": {}})["pty"]
    assert os.path.exists(path)
    checked(qmp, "chardev-remove", id="p")
    refused(qmp, "GenericError", "busy", "chardev-remove", id="r0")
    refused(qmp, "GenericError", "", "chardev-add", id="b", backend={"type": "braille", "data": {}})
    checked(qmp, "chardev-add", id="s", backend={"type": "socket", "data": {
        "addr": {"type": "unix", "data": {"path": os.path.join(folder, "late")}}, "server": True, "wait": False}})
    s = socket.socket(socket.AF_UNIX)
    s.connect("late")
    s.close()
    refused(qmp, "GenericError", "SCM_RIGHTS", "getfd", fdname="x")
    read, write = os.pipe()
    assert qmp.execute("getfd", fds=[write], fdname="mine") == {}
    checked(qmp, "closefd", fdname="mine")
    refused(qmp, "GenericError", "not found", "closefd", fdname="mine")
    count = len(os.listdir("/proc/%d/fd" % machine.process.pid))
    for reconnect, name in ((5, "refused"), (0, "mine")):  # the first one is closed again
        ours, theirs = socket.socketpair()
        qmp.execute("getfd", fds=[theirs.fileno()], fdname="peer")
        theirs.close()
        make = {"id": name, "backend": {"type": "socket", "data": {
            "server": False, "reconnect": reconnect, "addr": {"type": "fd", "data": {"str": "peer"}}}}}
        if reconnect:
            refused(qmp, "GenericError", "reconnect", "chardev-add", **make)
            assert len(os.listdir("/proc/%d/fd" % machine.process.pid)) == count
    checked(qmp, "chardev-add", **make)
    checked(qmp, "chardev-remove", id="mine")
    assert ours.recv(1) == b""
    answer = qmp.raw({"execute": "add-fd", "arguments": {"opaque": "log"}}, fds=[write])["return"]
    os.close(write)
    os.close(read)
    assert checked(qmp, "query-fdsets") == [{"fdset-id": answer["fdset-id"], "fds": [{"fd": answer["fd"], "opaque": "log"}]}]
    checked(qmp, "remove-fd", **{"fdset-id": answer["fdset-id"]})
    with open("dump", "w+b") as dump:
        answer = qmp.raw({"execute": "add-fd"}, fds=[dump.fileno()])["return"]
        checked(qmp, "screendump", filename="/dev/fdset/%d" % answer["fdset-id"], format="ppm")
        dump.seek(0)
        assert dump.read(2) == b"P6"
    refused(qmp, "GenericError", "", "remove-fd", **{"fdset-id": answer["fdset-id"], "fd": -1})
    assert len(checked(qmp, "query-fdsets")) == 1
    machine.end()


@check("quit: what was asked before is answered to the end, however slow the reader")
def _(folder):
    machine = start(folder, "-monitor", "unix:hmp,server=on,wait=off")
    machine.qmp.send(b'{"execute": "query-qmp-schema"}\n' * 8 + b'{"execute": "quit"}\n')
    time.sleep(0.5)
    for _ in range(8):
        assert len(machine.qmp.answer()["return"]) > 100
    assert machine.qmp.answer() == {"return": {}}
    assert machine.process.wait(20) == 0
    process = subprocess.run([RINGER, "-accel", "bt", "-m", "16", "-display", "none", "-S", "-monitor", "stdio"],
                             input=b"xp /60000xb 0\nquit\n", capture_output=True, timeout=60)
    assert process.stdout.count(b"0x00 ") > 30000 and process.stdout.count(b"\n") > 60000 / 8, len(process.stdout)


@check("a monitor that shares a parallel port or the debug console may open files, too")
def _(folder):
    with open("a.img", "wb") as f:
        f.truncate(1440 << 10)
    for port in ("-parallel", "-debugcon", "-serial"):
        process = subprocess.run([RINGER, "-accel", "bt", "-m", "16", "-display", "none", "-S", "-monitor", "none", port,
                                  "mon:stdio"], capture_output=True, timeout=60, input=b"\x01cchange floppy0 a.img\ninfo block "
                                 b"floppy0\nchardev-add socket,id=s,path=sock,server=on,wait=off\nquit\n")
        assert b"floppy0: a.img" in process.stdout and b"Error" not in process.stdout, (port, process.stdout)


@check("one listening socket is one monitor's, debugger's or port's")
def _(folder):
    for other in (["-mon", "c"], ["-serial", "chardev:c"], ["-gdb", "chardev:c"]):
        process = subprocess.run([RINGER, "-accel", "bt", "-m", "16", "-display", "none", "-S", "-chardev",
                                  "socket,id=c,path=c,server=on,wait=off", "-mon", "chardev=c,mode=control", *other],
                                 capture_output=True, timeout=20)
        assert process.returncode == 1 and b"in use" in process.stderr, (other, process)


@check("a FIFO that nobody reads is refused at once")
def _(folder):
    qmp = start(folder).qmp
    os.mkfifo("fifo")
    refused(qmp, "GenericError", "", "screendump", filename="fifo")
    refused(qmp, "GenericError", "", "pmemsave", val=0, size=10, filename="fifo")
    refused(qmp, "GenericError", "", "chardev-add", id="f", backend={"type": "file", "data": {"out": "fifo"}})
    refused(qmp, "GenericError", "", "chardev-add", id="f", backend={"type": "null", "data": {"logfile": "fifo"}})
    assert "cannot write 'fifo'" in qmp.human("logfile fifo")
    machines[-1].end()


@check("objects and types")
def _(folder):
    machine = start(folder, "-device", "isa-serial,id=com,index=1", "-debugcon", "null")
    qmp = machine.qmp
    assert {"name": "com", "type": "child<isa-serial>"} in checked(qmp, "qom-list", path="/machine/peripheral")
    assert checked(qmp, "qom-get", path="/machine/peripheral/com", property="index") == 1
    assert checked(qmp, "qom-get", path="com", property="realized") is True
    refused(qmp, "GenericError", "realized", "qom-set", path="com", property="index", value=2)
    refused(qmp, "GenericError", "not found", "qom-get", path="com", property="colour")
    refused(qmp, "DeviceNotFound", "/nowhere", "qom-list", path="/nowhere")
    names = {t["name"] for t in checked(qmp, "qom-list-types", implements="isa-device")}
    assert "isa-serial" in names and "ide-hd" not in names and "VGA" not in names, names
    assert {"i386-cpu", "device"} & {t["name"] for t in checked(qmp, "qom-list-types", abstract=True)}
    for name in names:  # what is listed can be asked about
        checked(qmp, "device-list-properties", typename=name)
    assert "chardev" in {p["name"] for p in checked(qmp, "device-list-properties", typename="isa-serial")}
    refused(qmp, "DeviceNotFound", "pigeon", "device-list-properties", typename="pigeon")
    refused(qmp, "GenericError", "not a valid device model", "device_add", driver="pigeon")
    refused(qmp, "GenericError", "isa.0' does not support hotplugging", "device_add", driver="isa-serial", id="c2", index=2)
    refused(qmp, "GenericError", "does not support hotplugging", "device_del", id="com")
    for path, seen in (("/", 0), ("/machine", 0)):
        for child in checked(qmp, "qom-list", path=path):
            if child["type"].startswith("child<"):
                checked(qmp, "qom-list", path=path.rstrip("/") + "/" + child["name"])
                seen += 1
        assert seen >= 3
    machine.end()


@check("several clients, each with its own ids and events; one that goes in the middle of a line")
def _(folder):
    machine = start(folder, "-monitor", "unix:hmp,server=on,wait=off")
    clients = [Qmp(machine.path) for _ in range(20)]
    half = Qmp(machine.path)
    half.send(b'{"execute": "qu')
    half.close()
    silent = Qmp(machine.path, negotiate=False)
    for i, client in enumerate(clients):
        client.send(b'{"execute": "query-status", "id": %d}\n' % i)
    for i, client in enumerate(clients):
        assert client.answer()["id"] == i
    clients[0].execute("stop")
    for client in clients:
        client.wait_event("STOP")
    human = Hmp("hmp")
    assert human.command("info status") == "VM status: paused\n"
    assert "(qemu) " in human.greeting.decode() and "monitor" in human.greeting.decode()
    silent.socket.settimeout(0.3)
    try:
        raise AssertionError(silent.receive())  # nothing is told before it has negotiated
    except TimeoutError:
        pass
    machine.end()


@check("-mon, -qmp-pretty, and a monitor that shares a serial port")
def _(folder):
    machine = start(folder, "-chardev", "socket,id=c,path=mon,server=on,wait=off", "-mon", "chardev=c,mode=control,pretty=on",
                    "-chardev", "socket,id=h,path=human,server=on,wait=off", "-mon", "h", "-serial",
                    "mon:unix:shared,server=on,wait=off")
    pretty = socket.socket(socket.AF_UNIX)
    pretty.connect("mon")
    pretty.settimeout(20)
    text = b""
    while text.count(b"{") == 0 or text.count(b"{") != text.count(b"}"):
        text += pretty.recv(4096)
    assert b'\n    "QMP": {\n' in text.replace(b"\r", b""), text
    json.loads(text)
    assert "running" in Hmp("human").command("info status")
    shared = socket.socket(socket.AF_UNIX)
    shared.connect("shared")
    shared.settimeout(20)
    shared.sendall(b"\x01cinfo status\r")
    text = b""
    while b"running" not in text:
        part = shared.recv(4096)
        assert part, text
        text += part
    shared.sendall(b"\x01x")  # ends the machine
    assert machine.process.wait(20) == 0


sys.exit(failures != 0)
