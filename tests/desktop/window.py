#!/usr/bin/env python3
"""The window on a real desktop: what is in it is the guest's picture, keys and clicks arrive, closing asks first.

    window.py RINGER CASE...

Cases: picture keys size close select tablet default (status 77, a skip, without Xvfb, xdotool and ImageMagick, or without the guest
cache).
"""
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import desktop  # noqa: E402
import initrd  # noqa: E402
from guest import Guest, GuestError, die_with_parent, main  # noqa: E402
from desktop import scaled, wait_until  # noqa: E402
from screen import Screen  # noqa: E402

RINGER = os.path.abspath(sys.argv[1])
FLOPPY = os.path.join(initrd.CACHE, "grub-rescue-floppy.img")


def start(*options, bar=False):
    return desk.grub([RINGER, "-display", "sdl,show-menubar=%s" % ("on" if bar else "off"), "-fda", FLOPPY] + list(options))


def picture():
    """Every pixel; while the machine stands, as the cursor blinks."""
    screen, window = start()
    screen.command("stop")
    want = desktop.dumped(screen)
    if want[:2] != (720, 400) or len(set(b"".join(want[2]))) < 2:
        screen.fail("the guest's picture is %r" % (want[:2],))
    wait_until("the window shows the guest's picture", lambda: desk.picture(window) == want)
    # Twice as large: each pixel is four. And with bars, where the proportions are others.
    desk.tool("windowsize", "--sync", window, 1440, 800)
    wait_until("twice as large", lambda: desk.picture(window) == scaled(want, 2))
    desk.tool("windowsize", "--sync", window, 900, 400)
    black = bytes(3 * 90)
    wait_until("with bars", lambda: desk.picture(window) == (900, 400, [black + row + black for row in want[2]]))
    screen.command("quit")


def keys():
    screen, window = start()
    desk.tool("type", "--delay", 60, "echo Abc-12_x=[7];")
    screen.expect("grub> echo Abc-12_x=[7];")
    desk.tool("key", "BackSpace", "Home")
    desk.tool("type", "--delay", 60, "#")
    screen.expect("grub> #echo Abc-12_x=[7]")
    # Shift goes down here and comes up elsewhere: the guest's comes up when the window is left.
    desk.tool("keydown", "shift")
    other = subprocess.Popen(["xdotool", "search", "--name", "nobody"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    other.wait()
    away = Screen([RINGER, "-display", "sdl,show-menubar=off", "-name", "other", "-serial", "none", "-nic", "none"])
    second = desk.window("other")
    desk.focus(second)
    desk.tool("keyup", "shift")
    time.sleep(0.3)
    desk.focus(window)
    desk.tool("key", "End")
    desk.tool("type", "--delay", 60, "shift")
    screen.expect("grub> #echo Abc-12_x=[7]shift")
    away.kill()
    screen.command("quit")


def size():
    """The window follows the guest's size, and is full screen on demand."""
    screen, window = start("-full-screen")
    wait_until("full screen", lambda: desk.geometry(window) == (0, 0, 1600, 1200))
    desk.tool("key", "ctrl+alt+f")
    wait_until("a window again", lambda: desk.geometry(window)[2] < 1600)
    desk.tool("key", "ctrl+alt+u")
    wait_until("as large as the guest's", lambda: desk.geometry(window)[2:] == (720, 400))
    # GRUB's own graphics: another mode.
    screen.type("insmod all_video\ninsmod gfxterm\nset gfxmode=800x600\nterminal_output gfxterm\n")
    wait_until("as large as its new mode", lambda: desk.geometry(window)[2:] == (800, 600))
    screen.command("stop")
    wait_until("its picture", lambda: desk.picture(window) == desktop.dumped(screen))
    screen.command("quit")


def close():
    """GRUB hears no power button: the first time the window only says so."""
    screen, window = start("-name", "to close")
    desk.ask_to_close(window)
    wait_until("it asks", lambda: "close once more" in desk.title(window))
    if screen.process.poll() is not None:
        screen.fail("it has ended")
    desk.ask_to_close(window)
    if screen.wait(30) != 0:
        screen.fail("closed, and its status is not 0")
    screen, window = start("-no-acpi")
    desk.ask_to_close(window)
    if screen.wait(30) != 0:
        screen.fail("a board without a power button: closed, and its status is not 0")
    screen = Screen([RINGER, "-display", "gtk,window-close=off,gl=on", "-serial", "none", "-nic", "none"])
    window = desk.window("Ringer")
    desk.ask_to_close(window)
    time.sleep(1)
    if screen.process.poll() is not None:
        screen.fail("window-close=off, and it has ended")
    screen.kill()


def drag(window, cells):
    """The button down in one cell of 9x16 and on to another; it stays down."""
    (column, row), (to_column, to_row) = cells
    desk.tool("mousemove", "--window", window, 9 * column + 4, 16 * row + 8, "mousedown", 1)
    desk.tool("mousemove", "--window", window, 9 * to_column + 4, 16 * to_row + 8)


def inverted(picture_, first, last):
    """With the cells from one to another, in reading order, inverted."""
    width, height, rows = picture_
    rows = [bytearray(row) for row in rows]
    for cell in range(first[1] * 80 + first[0], last[1] * 80 + last[0] + 1):
        x = 27 * (cell % 80)
        for row in rows[16 * (cell // 80):16 * (cell // 80 + 1)]:
            row[x:x + 27] = bytes(255 - c for c in row[x:x + 27])
    return width, height, [bytes(row) for row in rows]


def select():
    """Text is marked by dragging the pointer: shown so, and in the clipboard; a click unmarks, another one takes the pointer."""
    screen, window = start()
    screen.type("echo one two\n")
    screen.expect("one two\ngrub>")
    desk.tool("key", "ctrl+alt+c")
    wait_until("the screen's text", lambda: "echo one two" in desk.clipboard())
    rows = desk.clipboard().split("\n")
    row = [n for n, text in enumerate(rows) if text.startswith("grub> echo one two")][0]
    screen.command("stop")
    want = desktop.dumped(screen)

    def takes(cells, text):
        first, last = sorted(cells, key=lambda cell: (cell[1], cell[0]))
        desk.clipboard("something else")
        drag(window, cells)
        wait_until("shown as marked", lambda: desk.picture(window) == inverted(want, first, last))
        if desk.clipboard() != "something else":
            screen.fail("the clipboard has it before the button comes up")
        desk.tool("mouseup", 1)
        wait_until("%r in the clipboard" % text, lambda: desk.clipboard() == text)
        if desk.picture(window) != inverted(want, first, last):
            screen.fail("it is not marked any longer")
    takes(((6, row), (9, row)), "echo")
    takes(((13, row + 1), (2, row)), "ub> echo one two\none two")  # backwards, with blanks at the ends
    takes(((70, row - 2), (5, row + 2)), "\n".join([rows[row - 2][70:], rows[row - 1], "grub> echo one two", "one two", "grub>"]))
    desk.clipboard("stays")
    desk.tool("mousemove", "--window", window, 300, 300, "click", 1)
    wait_until("a click unmarks", lambda: desk.picture(window) == want)
    if "Ctrl-Alt-G" in desk.title(window) or desk.clipboard() != "stays":
        screen.fail("a click that unmarks has done more")
    drag(window, ((70, row), (75, row)))
    desk.tool("mouseup", 1)
    wait_until("blanks are marked", lambda: desk.picture(window) == inverted(want, (70, row), (75, row)))
    if desk.clipboard() != "stays":
        screen.fail("blanks are in the clipboard")
    desk.tool("click", 1)
    wait_until("unmarked again", lambda: desk.picture(window) == want)
    desk.tool("click", 1)
    wait_until("the next one takes the pointer", lambda: "Ctrl-Alt-G" in desk.title(window))
    desk.tool("key", "ctrl+alt+g")
    wait_until("given back", lambda: "Ctrl-Alt-G" not in desk.title(window))
    # Twice as large, and another screen: graphics, which have nothing to mark.
    desk.tool("windowsize", "--sync", window, 1440, 800)
    wait_until("twice as large", lambda: desk.picture(window) == scaled(want, 2))
    desk.tool("mousemove", "--window", window, 2 * 9 * 6 + 8, 32 * row + 16, "mousedown", 1, "mousemove", "--window", window,
              2 * 9 * 10 - 2, 32 * row + 31, "mouseup", 1)
    wait_until("marked in the large one", lambda: desk.clipboard() == "echo")
    if desk.picture(window) != scaled(inverted(want, (6, row), (9, row)), 2):
        screen.fail("the marks are elsewhere in the large one")
    screen.command("cont")
    screen.type("insmod all_video\ninsmod gfxterm\nset gfxmode=800x600\nterminal_output gfxterm\n")
    wait_until("as large as its new mode", lambda: desk.geometry(window)[2:] == (800, 600))
    screen.command("stop")
    wait_until("without marks", lambda: desk.picture(window) == desktop.dumped(screen))
    desk.tool("mousemove", "--window", window, 100, 100, "mousedown", 1)
    wait_until("the button takes the pointer", lambda: "Ctrl-Alt-G" in desk.title(window))
    desk.tool("mouseup", 1)
    screen.command("quit")


def tablet():
    """Debian's driver of a tablet: the pointer is where it was put, without a grab; a click; the wheel. And a mouse that
    moves only while it is grabbed."""
    drivers = {"lib/drivers/" + name: os.path.join(initrd.VIRTIO, name) for name in os.listdir(initrd.VIRTIO)
               if name.endswith(".ko") and not any(other in name for other in ("9p", "fs", "net", "blk"))}
    drivers.update({"lib/drivers/30-" + name: os.path.join(initrd.INPUT, name) for name in os.listdir(initrd.INPUT)
                    if name.endswith(".ko")})
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "initrd")
        initrd.write(image, (), drivers)
        guest = Guest([RINGER, "-display", "sdl,show-menubar=off", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-name", "tablet",
                       "-device", "virtio-tablet-pci", "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", image,
                       "-append", "console=ttyS0"])
        window = desk.window("tablet")
        guest.expect("guest# ", 300)
        guest.run("for m in /lib/drivers/*; do insmod $m 2>/dev/null; done; true", 300)
        event = guest.run("for e in /sys/class/input/event*; do grep -q Tablet $e/device/name && echo ${e##*/}; done; true").strip()
        if not event:
            guest.fail("the guest has found no tablet")
        desk.focus(window)
        wide, high = desk.geometry(window)[2:]
        guest.run("(timeout 300 cat /dev/input/%s >/tmp/events; true) & "
                  "while ! ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q %s; do sleep 0.1; done" % (event, event))

        def last(kind, code):
            text = guest.run("hexdump -v -e '16/1 \"%02x\" \"\\n\"' /tmp/events")
            found = [bytes.fromhex(line) for line in text.split() if len(line) == 32]
            found = [int.from_bytes(raw[12:16], "little", signed=True) for raw in found
                     if (int.from_bytes(raw[8:10], "little"), int.from_bytes(raw[10:12], "little")) == (kind, code)]
            return found[-1] if found else None
        for x, y in ((17, 23), (wide - 1, high - 1), (wide // 2, high // 3)):
            desk.tool("mousemove", "--window", window, x, y)
            wait_until("the pointer at %d, %d" % (x, y), lambda: None not in (last(3, 0), last(3, 1)) and
                       round(last(3, 0) * (wide - 1) / 32767) == x and round(last(3, 1) * (high - 1) / 32767) == y)
        desk.tool("mousedown", 1)
        wait_until("a click", lambda: last(1, 0x110) == 1)
        desk.tool("mouseup", 1)
        wait_until("its end", lambda: last(1, 0x110) == 0)
        desk.tool("click", 4)
        wait_until("the wheel", lambda: last(2, 8) == 1)
        # With Shift the pointer marks text, and the guest hears no button.
        guest.run("printf '\\033[H\\033[2J  text to mark' >/dev/tty1; : >/tmp/events")
        wait_until("the guest's size", lambda: desk.geometry(window)[2:] == (720, 400))
        desk.tool("keydown", "shift")
        drag(window, ((2, 0), (13, 0)))
        desk.tool("mouseup", 1)
        desk.tool("keyup", "shift")
        wait_until("the marked text", lambda: desk.clipboard() == "text to mark")
        desk.tool("mousemove", "--window", window, 40, 40)
        wait_until("moves are the guest's", lambda: last(3, 0) is not None and round(last(3, 0) * (wide - 1) / 32767) == 40)
        if last(1, 0x110) is not None:
            guest.fail("the guest has heard the button")
        guest.kill()


def default():
    """Where there is a desktop there is a window, unless somebody says otherwise."""
    def runs(*options, display=None):
        environment = dict(os.environ)
        if display is not None:
            environment["DISPLAY"] = display
        process = subprocess.Popen([RINGER, "-nic", "none", "-name", "by default", "-serial", "none"] + list(options), env=environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   preexec_fn=die_with_parent)
        window = desk.window("by default", 5)
        process.kill()
        return window, process.communicate()[1].decode()
    if not runs()[0]:
        raise GuestError("no window by default")
    for options in (["-display", "none"], ["-nographic"], ["-vga", "none"]):
        if runs(*options)[0]:
            raise GuestError("a window with %s" % options)
    if runs(display="")[0]:
        raise GuestError("a window without a desktop")
    window, text = runs("-display", "sdl", display=":99999")
    if window or "there is no desktop for a window" not in text:
        raise GuestError("a desktop that is not there: %s" % text)


CASES = {"picture": picture, "keys": keys, "size": size, "close": close, "select": select, "tablet": tablet, "default": default}


def test():
    global desk
    if not desktop.is_there():
        print("skipped: needs %s" % ", ".join(desktop.TOOLS))
        sys.exit(77)
    if not os.path.exists(FLOPPY) or not os.path.exists(os.path.join(initrd.INPUT, ".complete")):
        print("skipped: needs the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    desk = desktop.Desktop()
    for name in sys.argv[2:] or CASES:
        CASES[name]()
        print("OK: %s" % name, flush=True)
    desk.close()


main(test)
