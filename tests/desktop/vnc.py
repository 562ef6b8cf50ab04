#!/usr/bin/env python3
"""The screen for viewers far away: pictures pixel by pixel, keys, passwords, who may look at the same time; real viewers:
TigerVNC in a window, noVNC in a browser.

    vnc.py RINGER [XPROBE] CASE...

Cases: picture keys password share words events many sound pointer (needs x11.py's xprobe) tigervnc browser (status 77, a skip, without what a case needs).
"""
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import browser  # noqa: E402
import desktop  # noqa: E402
import initrd  # noqa: E402
import rfb  # noqa: E402
import wav  # noqa: E402
import xguest  # noqa: E402
from desktop import dumped, wait_until  # noqa: E402
from guest import GuestError, die_with_parent, main  # noqa: E402
from qmp import Qmp  # noqa: E402
from rfb import RfbError, Viewer  # noqa: E402
from screen import Screen  # noqa: E402

RINGER = os.path.abspath(sys.argv[1])
XPROBE = os.path.abspath(sys.argv[2]) if sys.argv[2:] and os.path.exists(sys.argv[2]) else None
CASES_WANTED = sys.argv[3:] if XPROBE else sys.argv[2:]
FLOPPY = os.path.join(initrd.CACHE, "grub-rescue-floppy.img")
NOVNC = "/usr/share/novnc"


def expect(what, holds):
    if not holds:
        raise GuestError("not so: %s" % what)


def start(*options, vnc=None):
    """GRUB's prompt: (Screen, where to look: a path)."""
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "vnc")
    screen = Screen([RINGER, "-vnc", "unix:%s%s" % (path, vnc or ""), "-serial", "none", "-nic", "none", "-fda", FLOPPY, "-boot",
                     "a", "-snapshot"] + list(options))
    screen.expect("The highlighted entry will be executed")
    screen.key("c")
    screen.expect("grub>")
    return screen, path


def end(screen, path):
    screen.command("quit")
    if screen.wait(30) != 0:
        screen.fail("its status is not 0")
    expect("the socket's name is gone", not os.path.exists(path))
    os.rmdir(os.path.dirname(path))


def free_port():
    """A display's number nobody uses, of 100 up, for VNC and WebSocket."""
    for number in range(100, 1000):
        try:
            for base in (5900, 5700):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + number))
            return number
        except OSError:
            continue
    raise GuestError("no free port")


def picture():
    """What is there, what changes, and another size."""
    screen, path = start()
    viewer = Viewer(path)
    expect("its name", viewer.name == "Ringer")
    screen.command("stop")
    want = dumped(screen)
    expect("the guest's picture", viewer.see(lambda got: got == want))
    screen.command("cont")
    screen.type("echo changed\n")
    screen.expect("changed\ngrub>")
    screen.command("stop")
    want = dumped(screen)
    expect("what has changed", viewer.see(lambda got: got == want))
    screen.command("cont")
    screen.type("insmod all_video\ninsmod gfxterm\nset gfxmode=800x600\nterminal_output gfxterm\n")
    expect("another size", viewer.see(lambda got: got[:2] == (800, 600)))
    time.sleep(1)
    screen.command("stop")
    want = dumped(screen)
    expect("its picture", viewer.see(lambda got: got == want))
    # One that does not know of sizes that change goes on with the old one, and hurts nobody.
    screen.command("cont")
    old = Viewer(path, encodings=(rfb.RAW,))
    screen.type("terminal_output console\n")
    expect("back again", viewer.see(lambda got: got[:2] == (720, 400)))
    old.request(False)
    old.close()
    expect("the other one goes on", viewer.see(lambda got: True))
    viewer.close()
    end(screen, path)


def keys():
    screen, path = start()
    viewer = Viewer(path, encodings=(rfb.RAW, rfb.EXTENDED_KEY))
    viewer.type('echo Abc "1|2" {x}_')
    screen.expect('grub> echo Abc "1|2" {x}_')
    # A viewer whose keyboard has ( on a key of its own; and one that has = with Shift.
    viewer.type("=(")
    viewer.symbol(0xffe1, 1)
    viewer.type("=+")
    viewer.symbol(0xffe1, 0)
    screen.expect('{x}_=(=+')
    # Caps Lock does for letters what the viewer's does.
    for down in (1, 0):
        viewer.symbol(0xffe5, down)
    wait_until("its light", lambda: "leds=4" in screen.command("info kbd8042"))
    for symbol in (ord("b"), ord("C"), 0xffe5):
        viewer.symbol(symbol, 1)
        viewer.symbol(symbol, 0)
    screen.expect('{x}_=(=+bC')
    wait_until("it is dark", lambda: "leds=0" in screen.command("info kbd8042"))
    for symbol in (0xff08, 0xff08):
        viewer.symbol(symbol, 1)
        viewer.symbol(symbol, 0)
    for symbol in (0xff50, 0xff57, 0xff08):  # Home, End, BackSpace
        viewer.symbol(symbol, 1)
        viewer.symbol(symbol, 0)
    viewer.type("#")
    screen.expect('{x}_=(=#')
    # By their place: the server has said that it knows them.
    while rfb.EXTENDED_KEY not in [encoding for encoding, _ in viewer.told]:
        viewer.request()
        viewer.update()
    for code in (0x1e, 0x30, 0xc7, 0x0b):  # A, B, Home (E0 47h), 0
        viewer.place(code, 1)
        viewer.place(code, 0)
    screen.expect('grub> 0echo Abc "1|2" {x}_=(=#ab')
    # What a viewer holds comes up when it goes.
    viewer.symbol(0xffe1, 1)
    viewer.symbol(ord("Q"), 1)
    screen.expect('grub> 0Q')
    viewer.close()
    wait_until("nobody looks", lambda: "Client" not in screen.command("info vnc"))
    screen.key("w")
    screen.expect("grub> 0Qw")
    end(screen, path)


def refused(path, password):
    try:
        Viewer(path, password=password).close()
    except RfbError:
        return True
    return False


def password():
    screen, path = start(vnc=",password=on")
    expect("nobody before there is one", refused(path, "") and refused(path, "secret"))
    screen.command("set_password vnc secret")
    expect("with it", not refused(path, "secret"))
    expect("without it", refused(path, "Secret") and refused(path, "") and refused(path, None))
    screen.command("change vnc password longer-than-eight")
    expect("eight characters count", not refused(path, "longer-t") and refused(path, "secret"))
    screen.command("expire_password vnc now")
    expect("no longer", refused(path, "longer-t"))
    screen.command("expire_password vnc +3600")
    expect("again", not refused(path, "longer-t"))
    screen.command("expire_password vnc 1")
    expect("since 1970", refused(path, "longer-t"))
    screen.command("expire_password vnc never")
    expect("for ever", not refused(path, "longer-t"))
    end(screen, path)
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("c2VjcmV0")  # "secret"
        f.flush()
        screen, path = start("-object", "secret,id=s,format=base64,file=" + f.name, vnc=",password-secret=s")
    expect("from a file", not refused(path, "secret") and refused(path, "c2VjcmV0"))
    expect("said so", "Auth: vnc" in screen.command("info vnc"))
    end(screen, path)
    screen, path = start()
    expect("none wanted", "no password" in screen.command("set_password vnc x"))
    end(screen, path)


def is_alive(viewer):
    """It is answered."""
    try:
        viewer.request(False)
        while not viewer.update():
            pass
        return True
    except (RfbError, OSError):
        return False


def comes_in(path):
    try:
        return is_alive(Viewer(path))
    except (RfbError, OSError):
        return False


def share():
    screen, path = start()
    first, second = Viewer(path), Viewer(path)
    expect("two look", is_alive(first) and is_alive(second))
    alone = Viewer(path, shared=False)
    expect("who wants to be alone is", is_alive(alone) and not is_alive(first) and not is_alive(second))
    end(screen, path)
    screen, path = start(vnc=",share=force-shared")
    first = Viewer(path)
    expect("one looks", is_alive(first))
    try:
        alone = is_alive(Viewer(path, shared=False))
    except (RfbError, OSError):
        alone = False
    expect("nobody is alone", not alone and is_alive(first))
    end(screen, path)
    screen, path = start(vnc=",share=ignore")
    first, alone = Viewer(path), Viewer(path, shared=False)
    expect("nobody goes", is_alive(first) and is_alive(alone))
    end(screen, path)


def words():
    """Addresses, and sentences about what is wrong."""
    number = free_port()

    def runs(*options):
        process = subprocess.Popen([RINGER, "-S", "-nic", "none", "-serial", "none", "-monitor", "none", *options],
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        try:
            said = process.communicate(timeout=30)[1].decode()
            return said
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return ""
    for words_, want in ((["-vnc", ""], "HOST:NUMBER"), (["-vnc", ":x"], "HOST:NUMBER"), (["-vnc", ":70000"], "HOST:NUMBER"),
                         (["-vnc", ":1,tls-creds=x"], "there is no tls-creds"), (["-vnc", ":1,share=no"], "allow-exclusive"),
                         (["-vnc", ":1,nonsense=1"], "Invalid parameter"), (["-vnc", ":1,password=maybe"], "on or off"),
                         (["-vnc", "unix:/nowhere/x"], "-vnc: "), (["-vnc", ":1,password-secret=x"], "no -object secret"),
                         (["-vnc", ":1,websocket=x"], "websocket"), (["-vga", "none", "-vnc", ":1"], "graphics card")):
        said = runs(*words_)
        expect("%s: %r" % (words_, said), want in said)
    screen = Screen([RINGER, "-S", "-nic", "none", "-serial", "none", "-display", "vnc=127.0.0.1:%d,websocket=on,to=%d" % (number, number + 99)])
    said = screen.command("info vnc")
    port = int(re.search(r"Server: 127\.0\.0\.1:(\d+) \(ipv4\)\n", said).group(1))
    expect("a port of those", port == 5900 + number)
    expect("and one for browsers", "127.0.0.1:%d (ipv4 (Websocket))" % (5700 + number) in said)
    expect("a viewer comes in", is_alive(Viewer(port)))
    # The next machine takes the next free port.
    second = Screen([RINGER, "-S", "-nic", "none", "-serial", "none", "-vnc", "127.0.0.1:%d,to=%d" % (number, number + 50)])
    said = second.command("info vnc")
    expect("another port", int(re.search(r"127\.0\.0\.1:(\d+)", said).group(1)) > port)
    second.kill()
    screen.kill()
    screen = Screen([RINGER, "-S", "-nic", "none", "-serial", "none", "-vnc", "none"])
    expect("none", screen.command("info vnc").strip() == "None")
    screen.kill()
    # A viewer that is called.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        screen = Screen([RINGER, "-S", "-nic", "none", "-serial", "none", "-vnc",
                         "127.0.0.1:%d,reverse=on" % listener.getsockname()[1]])
        listener.settimeout(60)
        caller, _ = listener.accept()
        caller.settimeout(60)
        expect("it calls", caller.recv(12) == b"RFB 003.008\n")
        screen.kill()


def events():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vnc")
        screen = Screen([RINGER, "-S", "-nic", "none", "-serial", "none", "-vnc", "unix:" + path, "-qmp",
                         "unix:%s/qmp,server=on,wait=off" % folder])
        program = Qmp(os.path.join(folder, "qmp"))

        def event(name):
            for _ in range(200):
                program.execute("query-status")
                for message in program.events:
                    if message["event"] == name:
                        return message["data"]
                time.sleep(0.05)
            raise GuestError("no event %s" % name)
        viewer = Viewer(path)
        data = event("VNC_CONNECTED")
        expect("from where: %r" % data, data["client"]["family"] == "unix" and data["server"]["host"] == path)
        viewer.request(False)
        event("VNC_INITIALIZED")
        info = program.execute("query-vnc")
        expect("who looks: %r" % info, info["enabled"] and len(info["clients"]) == 1 and info["auth"] == "none")
        expect("servers", program.execute("query-vnc-servers")[0]["server"][0]["host"] == path)
        viewer.close()
        event("VNC_DISCONNECTED")
        screen.kill()


def sound():
    """GRUB's tone, in formats of the viewer's choice."""
    screen, path = start("-audiodev", "none,id=s", "-machine", "pcspk-audiodev=s", vnc=",audiodev=s")
    screen.type("play 60 1000 600\n")
    for sample, channels, frequency, code, zero, full in ((3, 2, 44100, "h", 0, 32767), (0, 1, 22050, "B", 128, 127),
                                                          (5, 2, 48000, "i", 0, (1 << 31) - 1)):
        viewer = Viewer(path, encodings=(rfb.RAW, rfb.AUDIO))
        viewer.listen(sample, channels, frequency)
        width = struct.calcsize(code) * channels
        viewer.request(False)
        while len(viewer.sound) < frequency * width * 3 // 2:
            viewer.update()
        expect("it knows the message", rfb.AUDIO in [encoding for encoding, _ in viewer.told])
        expect("it says when it begins", viewer.sound_news[:1] == ["begin"])
        values = memoryview(bytes(viewer.sound[:len(viewer.sound) // width * width])).cast(code)[::channels]
        samples = [(value - zero) / full for value in values[frequency // 2:frequency * 3 // 2]]
        tone, other = wav.tone(samples, 1000, frequency), wav.tone(samples, 1100, frequency)
        expect("1000 Hz in %d, %d, %d: %.4f, elsewhere %.4f" % (sample, channels, frequency, tone, other), tone > 0.1 and other < tone / 20)
        viewer.close()
    silent = Viewer(path)
    expect("who has not asked hears nothing", is_alive(silent) and not silent.sound)
    end(screen, path)


def many():
    """More than may look at a time; some say nothing, some vanish in the middle of a word, some send what is no RFB."""
    screen, path = start()
    seen = Viewer(path)
    crowd = []
    for n in range(100):
        c = socket.socket(socket.AF_UNIX)
        c.settimeout(10)
        c.connect(path)
        c.sendall((b"", b"RFB 003.008\n", b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n", os.urandom(200), b"RFB 003.008\n\x01\x01" +
                   struct.pack(">BxHI", 2, 65535, 0))[n % 5])
        crowd.append(c)
        if n % 3 == 0:
            crowd.pop(0).close()
    expect("one who was there looks on", is_alive(seen))
    for c in crowd:
        c.close()
    wait_until("they have gone", lambda: screen.command("info vnc").count("Client") == 1)
    # Those who were at the door only are nowhere listed: it may be some time until there is room.
    wait_until("another one comes in", lambda: comes_in(path))
    if screen.process.poll() is not None:
        screen.fail("it has ended")
    end(screen, path)


def pointer():
    """The guest's pointer, which virtio-gpu shows: by viewers that can (in three ways), at its place; else in the picture. X
    in the guest with a tablet: the pointer is where a viewer points."""
    if not XPROBE or not xguest.is_there():
        print("skipped: needs xprobe, a C library for -m32, and the guest cache's X (tests/tools/guests.sh fetch)")
        sys.exit(77)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        path = os.path.join(folder, "vnc")
        guest = xguest.XGuest([RINGER, "-vnc", "unix:" + path, "-vga", "virtio", "-device", "virtio-tablet-pci", "-qmp",
                               "unix:%s/qmp,server=on,wait=off" % folder], folder, driver="modesetting", pointer="Virtio Tablet",
                              programs=[XPROBE], modules=[os.path.join(initrd.GRAPHICS_MORE, name) for name in
                                                          ("10-virtio_dma_buf.ko", "11-virtio-gpu.ko")])
        guest.start("-retro")
        program = Qmp(os.path.join(folder, "qmp"))

        def painted():
            program.execute("screendump", filename=folder + "/dump")
            with open(folder + "/dump", "rb") as f:
                return desktop.ppm(f.read())

        def monitor(line):
            return program.execute("human-monitor-command", **{"command-line": line})

        def moved(viewer, x, y):
            viewer.pointer(x, y)
            wait_until("the guest's pointer is there", lambda: guest.x("/usr/bin/xprobe pointer").split() == [str(x), str(y)])
        plain = Viewer(path)
        moved(plain, 300, 200)
        want = painted()
        expect("in the picture", plain.see(lambda got: got == want))
        others = {kind: Viewer(path, encodings=(rfb.RAW, rfb.NEW_SIZE, kind, rfb.PLACE)) for kind in (rfb.SHAPE, rfb.X_SHAPE)}
        others[rfb.ALPHA_SHAPE] = Viewer(path, encodings=(rfb.RAW, rfb.NEW_SIZE, rfb.SHAPE, rfb.ALPHA_SHAPE, rfb.PLACE))
        for kind, viewer in others.items():
            expect("a shape (%d)" % kind, viewer.see(lambda got: viewer.shape and viewer.shape[2]))
            expect("a shape (%d)" % kind, viewer.see(lambda got: viewer.shape and viewer.shape[2]))
            expect("and the rest without it (%d)" % kind, viewer.see(
                lambda got: got != want and viewer.with_shape((300, 200)) == want))
            expect("its place (%d)" % kind, viewer.see(lambda got: viewer.pointer_at == (300, 200)))
        # Another one moves it: seen, and told to those who can be told, once the guest has it there.
        moved(plain, 640, 420)
        want = painted()
        expect("moved in the picture", plain.see(lambda got: got == want))
        for kind, viewer in others.items():
            expect("its new place (%d)" % kind, viewer.see(lambda got: viewer.pointer_at == (640, 420)))
            expect("with it (%d)" % kind, viewer.see(lambda got: viewer.with_shape((640, 420)) == want))
        # Its own moves are not told to it.
        shape = others[rfb.SHAPE]
        moved(shape, 100, 90)
        want = painted()
        expect("moved by the other", plain.see(lambda got: got == want))
        expect("still without it", shape.see(lambda got: shape.with_shape((100, 90)) == want))
        alpha = others[rfb.ALPHA_SHAPE]
        expect("told to others", alpha.see(lambda got: alpha.pointer_at == (100, 90)))
        expect("not to itself", shape.pointer_at == (640, 420))
        # A guest that takes moves has its pointer anywhere: all see it in the picture, and no shape.
        mouse = [line for line in monitor("info mice").split("\n") if "PS/2" in line][0].split("#")[1].split(":")[0]
        monitor("mouse_set " + mouse)
        for kind, viewer in others.items():
            expect("no shape (%d)" % kind, viewer.see(lambda got: viewer.shape[2] == 0 and got == want))
        tablet = [line for line in monitor("info mice").split("\n") if "ablet" in line][0].split("#")[1].split(":")[0]
        monitor("mouse_set " + tablet)
        for kind, viewer in others.items():
            expect("a shape again (%d)" % kind, viewer.see(lambda got: viewer.shape[2] and viewer.with_shape((100, 90)) == want))
        # One that says that it no longer can.
        shape.socket.sendall(struct.pack(">BxHi", 2, 1, rfb.RAW))
        expect("in its picture", shape.see(lambda got: got == want))
        guest.kill()


def tigervnc():
    """In a window: Tight and ZRLE, exact to the pixel; keys."""
    desk = desktop.Desktop()
    number = free_port()
    screen = Screen([RINGER, "-vnc", "127.0.0.1:%d" % number, "-serial", "none", "-nic", "none", "-fda", FLOPPY, "-boot", "a",
                     "-snapshot"])
    screen.expect("The highlighted entry will be executed")
    screen.key("c")
    screen.expect("grub>")
    for encoding in ("Tight", "ZRLE", "Hextile"):
        viewer = subprocess.Popen(["xtigervncviewer", "127.0.0.1::%d" % (5900 + number), "-AutoSelect=0", "-PreferredEncoding=" + encoding,
                                   "-FullColor=1", "-NoJPEG=0", "-QualityLevel=5", "-DotWhenNoCursor=0", "-MenuKey="],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        window = desk.window("Ringer - TigerVNC")
        if not window:
            screen.fail("no viewer's window")
        # Its window is there before its connection is, and would lose what is typed.
        screen.command("stop")
        want = dumped(screen)
        wait_until("the guest's picture at first by " + encoding, lambda: desk.picture(window) == want)
        screen.command("cont")
        desk.focus(window)
        wait_until("the viewer has the keys", lambda: desk.tool("getwindowfocus") == window)
        desk.tool("mousemove", 1599, 1199)
        text = "echo " + encoding
        desk.tool("type", "--delay", 60, text)
        screen.expect("grub> " + text)
        screen.command("stop")
        want = dumped(screen)
        wait_until("the guest's picture by " + encoding, lambda: desk.picture(window)[:2] == want[:2] and desk.picture(window) == want)
        screen.command("cont")
        desk.tool("key", "Return")
        wait_until("GRUB has obeyed", lambda: any(line.strip() == encoding for line in screen.text().split("\n")))
        if encoding == "ZRLE":  # another size, and back
            screen.type("insmod all_video\ninsmod gfxterm\nset gfxmode=800x600\nterminal_output gfxterm\n")
            wait_until("the viewer's window has the new size", lambda: desk.geometry(window)[2:] == (800, 600))
            screen.command("stop")
            want = dumped(screen)
            wait_until("the new picture", lambda: desk.picture(window) == want)
            screen.command("cont")
            screen.type("terminal_output console\n")
            wait_until("the viewer's window has the old size", lambda: desk.geometry(window)[2:] == (720, 400))
        viewer.kill()
        viewer.wait()
        wait_until("the window has gone", lambda: not desk.tool("search", "--name", "Ringer - TigerVNC"))
    screen.command("quit")
    desk.close()


def browser_sees():
    """noVNC, from Debian's package, over a WebSocket: sees, types, points."""
    number = free_port()
    screen = Screen([RINGER, "-vnc", "127.0.0.1:%d,websocket=on" % number, "-serial", "none", "-nic", "none", "-fda", FLOPPY, "-boot",
                     "a", "-snapshot"])
    screen.expect("The highlighted entry will be executed")
    screen.key("c")
    screen.expect("grub>")
    pages, page = browser.Pages(NOVNC), browser.Browser()
    page.open(pages.url + "vnc_lite.html?host=127.0.0.1&port=%d&path=&scale=false" % (5700 + number))
    size = "const c = document.querySelector('canvas'); return c ? [c.width, c.height] : null"
    wait_until("a picture of the guest's size", lambda: page.run(size) == [720, 400])
    expect("by the WebSocket", "(Websocket)" in screen.command("info vnc").split("Client")[1])
    # What noVNC shows, pixel by pixel.
    digest = """const c = document.querySelector('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let rows = []; for (let y = 0; y < c.height; y++) { let h = 0; for (let x = 0; x < c.width; x++) {
        const i = (y * c.width + x) * 4; h = (Math.imul(h, 31) + (d[i] << 16 | d[i + 1] << 8 | d[i + 2])) | 0; } rows.push(h); }
        return rows;"""

    def own(row):
        value = 0
        for x in range(0, len(row), 3):
            value = (value * 31 + int.from_bytes(row[x:x + 3], "big")) & 0xffffffff
        return value - (1 << 32 if value & 1 << 31 else 0)
    page.point(100, 100, click=True)
    page.type("echo hello-browser")
    screen.expect("grub> echo hello-browser")
    screen.command("stop")
    want = [own(row) for row in dumped(screen)[2]]
    wait_until("the guest's picture", lambda: page.run(digest) == want)
    page.close()
    pages.close()
    wait_until("it has gone", lambda: "Client" not in screen.command("info vnc"))
    screen.command("quit")


CASES = {"picture": picture, "keys": keys, "password": password, "share": share, "words": words, "events": events, "many": many, "sound": sound,
         "pointer": pointer, "tigervnc": tigervnc, "browser": browser_sees}


def test():
    for name in CASES_WANTED or CASES:
        needs = {"tigervnc": ["xtigervncviewer"] + list(desktop.TOOLS), "password": ["openssl"]}.get(name, [])
        if name == "browser" and not browser.is_there():
            print("skipped: %s needs chromium, chromedriver and novnc" % name)
            sys.exit(77)
        if not os.path.exists(FLOPPY) or not all(shutil.which(tool) for tool in needs):
            print("skipped: %s needs %s and the guest cache (tests/tools/guests.sh fetch)" % (name, ", ".join(needs)))
            sys.exit(77)
        CASES[name]()
        print("OK: %s" % name, flush=True)


main(test)
