"""A desktop of a test's own: Xvfb with a window manager, and what a user's hands and eyes do there (xdotool, wmctrl,
ImageMagick's import, xclip)."""
import os
import re
import shutil
import subprocess
import tempfile
import time

from guest import GuestError, die_with_parent
from screen import Screen

TOOLS = ("Xvfb", "openbox", "xdotool", "wmctrl", "import", "xclip")


def is_there():
    return all(shutil.which(tool) for tool in TOOLS)


class Desktop:
    def __init__(self, size="1600x1200"):
        """An X server on the first display that is free; DISPLAY is set for all that is started from now on."""
        read, write = os.pipe()
        self.process = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", size + "x24", "-nolisten", "tcp"],
                                        pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent)
        os.close(write)
        with os.fdopen(read) as f:
            os.environ["DISPLAY"] = ":" + f.readline().strip()
        os.environ.pop("WAYLAND_DISPLAY", None)
        # It says that it is there (wmctrl -m) before it takes windows: one that comes in between is never managed. What it
        # starts comes after that.
        with tempfile.TemporaryDirectory() as directory:
            ready = os.path.join(directory, "ready")
            self.manager = subprocess.Popen(["openbox", "--sm-disable", "--startup", "touch " + ready], stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
            wait_until("a window manager", lambda: os.path.exists(ready))

    def tool(self, *words):
        return subprocess.run(["xdotool"] + [str(word) for word in words], capture_output=True, text=True).stdout.strip()

    def window(self, title, timeout=60):
        """The number of the window whose title has that in it; None: it does not come."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = self.tool("search", "--name", title).split()
            if found:
                return found[0]
            time.sleep(0.1)
        return None

    def geometry(self, window):
        """x, y, width, height."""
        out = self.tool("getwindowgeometry", "--shell", window)
        return tuple(int(re.search(r"^%s=(-?\d+)$" % name, out, re.M).group(1)) for name in ("X", "Y", "WIDTH", "HEIGHT"))

    def title(self, window):
        return self.tool("getwindowname", window)

    def focus(self, window):
        self.tool("windowactivate", "--sync", window)

    def ask_to_close(self, window):
        """As the button in its frame does."""
        subprocess.run(["wmctrl", "-i", "-c", window], capture_output=True)

    def picture(self, window):
        """(width, height, rows of RGB bytes) of what is in the window; no rows: it is not there, or not yet."""
        data = subprocess.run(["import", "-silent", "-window", str(window), "-depth", "8", "ppm:-"], capture_output=True).stdout
        return ppm(data) if data else (0, 0, [])

    def grub(self, command):
        """GRUB's prompt in a window, from the floppy in command: (Screen, window)."""
        screen = Screen(command + ["-serial", "none", "-nic", "none", "-boot", "a", "-snapshot"])
        window = self.window("Ringer")
        if not window:
            screen.fail("no window")
        screen.expect("The highlighted entry will be executed")
        screen.key("c")
        screen.expect("grub>")
        self.focus(window)
        return screen, window

    def clipboard(self, text=None):
        """What is in it; or puts text there."""
        if text is None:
            return subprocess.run(["xclip", "-o", "-selection", "clipboard"], capture_output=True, text=True, timeout=30).stdout
        subprocess.run(["xclip", "-i", "-selection", "clipboard"], input=text, text=True, timeout=30, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        return text

    def close(self):
        for process in (self.manager, self.process):
            process.kill()
            process.wait()


def ppm(data):
    head = re.match(rb"P6\s+(?:#.*\n)*(\d+)\s+(\d+)\s+255\s", data)
    width, height = int(head.group(1)), int(head.group(2))
    body = data[head.end():]
    return width, height, [body[y * width * 3:(y + 1) * width * 3] for y in range(height)]


def converted(path):
    """The picture in a file of any kind."""
    return ppm(subprocess.run(["convert", path, "-depth", "8", "ppm:-"], capture_output=True).stdout)


def dumped(screen):
    """The guest's picture, by the monitor."""
    with tempfile.NamedTemporaryFile(suffix=".ppm") as f:
        screen.command("screendump %s" % f.name)
        return ppm(f.read())


def scaled(picture, scale):
    width, height, rows = picture
    wide = [b"".join(row[x:x + 3] * scale for x in range(0, len(row), 3)) for row in rows]
    return width * scale, height * scale, [row for row in wide for _ in range(scale)]


def wait_until(what, holds, timeout=60):
    end = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > end:
            raise GuestError("not within %d s: %s" % (timeout, what))
        time.sleep(0.1)
