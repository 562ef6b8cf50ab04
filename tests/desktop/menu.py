#!/usr/bin/env python3
"""The window's bar and menu, by key and by mouse: what they say happens to the machine; clipboard, lamps, scaling.

    menu.py RINGER CASE...

Cases: keys mouse drives screenshot clipboard lamps sound scaling (status 77, a skip, without Xvfb and its like, or without the
guest cache).
"""
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import desktop  # noqa: E402
import initrd  # noqa: E402
from desktop import dumped, scaled, wait_until  # noqa: E402
from guest import main  # noqa: E402

RINGER = os.path.abspath(sys.argv[1])
FLOPPY = os.path.join(initrd.CACHE, "grub-rescue-floppy.img")
BAR = 20  # rows
ROW = 20  # of the menu
LIT = bytes((0x4c, 0xd9, 0x64))


def start(*options, display="sdl", folder=None):
    if folder:
        os.environ["XDG_CONFIG_HOME"] = folder  # no Pictures of the tester's
        os.chdir(folder)
    return desk.grub([RINGER, "-display", display, "-fda", FLOPPY] + list(options))


def bar(window):
    """The bar's pixels."""
    return desk.picture(window)[2][-BAR:]


def picture(window):
    """What is above it."""
    width, height, rows = desk.picture(window)
    return width, height - BAR, rows[:-BAR]


def choose(*letters):
    """Rows of the menu by how they begin."""
    desk.tool("key", "ctrl+alt+m")
    for letter in letters:
        desk.tool("key", letter)
        desk.tool("key", "Return")


def status(screen):
    return screen.command("info status")


def keys():
    screen, window = start()
    choose("p")
    wait_until("paused", lambda: "paused" in status(screen))
    wait_until("the window shows the guest's picture", lambda: picture(window) == dumped(screen))
    paused = bar(window)
    # Esc leaves it without doing anything, and nothing of it stays on the screen; nor have the keys gone to the guest.
    desk.tool("key", "ctrl+alt+m")
    wait_until("a menu on the picture", lambda: picture(window) != dumped(screen))
    desk.tool("key", "Down", "Up", "Escape")
    wait_until("no menu", lambda: picture(window) == dumped(screen))
    choose("c")
    wait_until("running", lambda: "running" in status(screen))
    wait_until("the bar says no more", lambda: bar(window) != paused)
    desk.tool("type", "--delay", 60, "echo its own")
    screen.expect("grub> echo its own")
    # The page View, and back out of it.
    desk.tool("key", "ctrl+alt+m", "v", "Return", "Left", "Escape")
    desk.tool("type", "--delay", 60, "_again")
    screen.expect("grub> echo its own_again")
    choose("r")
    screen.expect("The highlighted entry will be executed")
    screen.key("c")
    screen.expect("grub>")
    choose("s")  # Ctrl-Alt-Del, which the BIOS knows
    screen.expect("The highlighted entry will be executed")
    screen.command("quit")


def mouse():
    screen, window = start()
    high = desk.geometry(window)[3]
    click = lambda x, y: desk.tool("mousemove", "--window", window, x, y, "click", 1)  # noqa: E731
    before = picture(window)
    click(20, high - 10)
    wait_until("a menu", lambda: picture(window) != before)
    # Its first row: above the bar are 14 rows at most; the first that is not the guest's has the frame's colour.
    rows = picture(window)[2]
    top = next(y for y, row in enumerate(rows) if row[:3] != bytes(3) and row[:3] == row[3:6])
    click(60, top + 1 + ROW // 2)
    wait_until("paused", lambda: "paused" in status(screen))
    click(20, high - 10)
    click(700, 100)  # beside it
    wait_until("no menu", lambda: picture(window) == dumped(screen))
    if "running" in status(screen):
        screen.fail("a click beside the menu")
    screen.command("quit")


def drives():
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, 'a "disk".img')
        with open(name, "wb") as f:
            f.write(bytes(1440 * 1024))
        screen, window = start()
        desk.tool("key", "ctrl+alt+m", "d", "Return", "f", "Return", "e", "Return")
        wait_until("ejected", lambda: "floppy0: [not inserted]" in screen.command("info block"))
        desk.tool("key", "ctrl+alt+m", "d", "Return", "f", "Return", "i", "Return")
        desk.tool("type", "--delay", 60, folder + '/a "disk".img')
        desk.tool("key", "Return")
        wait_until("inserted", lambda: name in screen.command("info block"))
        # Pasted; and one that is not there is said so.
        desk.clipboard(folder + "/none-%s.img\n" % ("long" * 20))
        desk.tool("key", "ctrl+alt+m", "d", "Return", "f", "Return", "i", "Return", "ctrl+v", "Return")
        wait_until("a sentence", lambda: b"longlong.img" in screen.read_errors())
        if "running" not in status(screen):
            screen.fail("it does not run")
        screen.command("quit")


def screenshot():
    with tempfile.TemporaryDirectory() as folder:
        screen, window = start(folder=folder)
        screen.command("stop")
        desk.tool("key", "ctrl+alt+m", "s", "s", "Return")
        names = lambda: [n for n in os.listdir(folder) if re.fullmatch(r"ringer-[-0-9]+\.png", n)]  # noqa: E731
        wait_until("a file", names)
        os.chdir("/")
        wait_until("the guest's picture in it", lambda: desktop.converted(os.path.join(folder, names()[0])) == dumped(screen))
        screen.command("quit")


def clipboard():
    screen, window = start()
    desk.tool("key", "ctrl+alt+c")
    wait_until("the screen's text", lambda: "Minimal BASH-like line editing" in desk.clipboard())
    rows = desk.clipboard().split("\n")
    if len(rows) < 25 or "grub>" not in rows[8:12][0] + rows[9] + rows[10] + rows[11]:
        screen.fail("the copied text: %r" % (rows,))
    desk.clipboard('echo "Typed: {a|b} ~ 100%" \u00e9\n')
    desk.tool("key", "ctrl+alt+v")
    screen.expect("Typed: {a|b} ~ 100%")
    screen.command("quit")


def lamps():
    """GRUB reads its floppy anew after a reset; nothing reads it while the machine stands."""
    screen, window = start()
    dark = bar(window)
    if any(LIT in row for row in dark):
        wait_until("dark", lambda: not any(LIT in row for row in bar(window)))

    def lit():
        screen.command("system_reset")
        return any(LIT in row for _ in range(20) for row in bar(window))
    wait_until("a lamp while the floppy is read", lit, 120)
    screen.command("stop")
    wait_until("dark again", lambda: not any(LIT in row for row in bar(window)))
    screen.command("quit")


def sound():
    """Mute: what SDL's driver that writes a file gets is loud, then silent, then loud."""
    with tempfile.TemporaryDirectory() as folder:
        raw = os.path.join(folder, "raw")
        os.environ.update(SDL_AUDIODRIVER="disk", SDL_DISKAUDIOFILE=raw)
        screen, window = start("-audiodev", "sdl,id=s", "-machine", "pcspk-audiodev=s")
        screen.type("play 60 440 240\n")  # four minutes
        seen = [0]

        def is_loud():
            """What has come since the last call."""
            with open(raw, "rb") as f:
                f.seek(seen[0])
                data = f.read()
            seen[0] += len(data)
            return any(data[len(data) // 2:]) if len(data) > 10000 else None
        wait_until("a tone", lambda: is_loud() is True)
        for want in (False, True):
            desk.tool("key", "ctrl+alt+m", "s", "s", "s", "Return")  # Send, Screenshot, Sound
            is_loud()
            wait_until("loud: %s" % want, lambda: is_loud() is want)
        del os.environ["SDL_AUDIODRIVER"], os.environ["SDL_DISKAUDIOFILE"]
        screen.command("quit")


def scaling():
    screen, window = start(display="sdl,show-menubar=off,scaling=integer")
    screen.command("stop")
    want = dumped(screen)
    desk.tool("windowsize", "--sync", window, 1000, 500)
    left, above = (1000 - 720) // 2, (500 - 400) // 2
    wait_until("at its size, in the middle", lambda: desk.picture(window) == (1000, 500, [bytes(3000)] * above + [
        bytes(3 * left) + row + bytes(3 * left) for row in want[2]] + [bytes(3000)] * above))
    choose("v", "f")  # "Full screen" comes first; "Fill the window" behind it
    desk.tool("key", "ctrl+alt+f")
    wait_until("a window again", lambda: desk.geometry(window)[2] < 1600)
    desk.tool("windowsize", "--sync", window, 1440, 400)
    desk.tool("key", "ctrl+alt+m", "v", "Return", "f", "f", "Return")
    desk.tool("key", "ctrl+alt+m", "v", "Return", "s", "Return")
    wait_until("as wide as the window, and sharp",
               lambda: desk.picture(window) == (1440, 400, scaled((720, 400, want[2]), 2)[2][::2]))
    screen.command("quit")


CASES = {"keys": keys, "mouse": mouse, "drives": drives, "screenshot": screenshot, "clipboard": clipboard, "lamps": lamps, "sound": sound,
         "scaling": scaling}


def test():
    global desk
    if not desktop.is_there() or not os.path.exists(FLOPPY):
        print("skipped: needs %s, and the guest cache (tests/tools/guests.sh fetch)" % ", ".join(desktop.TOOLS))
        sys.exit(77)
    desk = desktop.Desktop()
    for name in sys.argv[2:] or CASES:
        CASES[name]()
        print("OK: %s" % name, flush=True)
    desk.close()


main(test)
