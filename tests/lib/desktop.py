"""A desktop of a test's own: Xvfb with a window manager, and what a user's hands and eyes do there (xdotool, wmctrl,
ImageMagick's import)."""
import os
import re
import shutil
import subprocess
import time

from guest import die_with_parent

TOOLS = ("Xvfb", "openbox", "xdotool", "wmctrl", "import")


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
        self.manager = subprocess.Popen(["openbox", "--sm-disable"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent)
        end = time.monotonic() + 30
        while subprocess.run(["wmctrl", "-m"], capture_output=True).returncode and time.monotonic() < end:
            time.sleep(0.1)

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
        """(width, height, rows of RGB bytes) of what is in the window."""
        return ppm(subprocess.run(["import", "-silent", "-window", str(window), "-depth", "8", "ppm:-"], capture_output=True).stdout)

    def close(self):
        for process in (self.manager, self.process):
            process.kill()
            process.wait()


def ppm(data):
    head = re.match(rb"P6\s+(?:#.*\n)*(\d+)\s+(\d+)\s+255\s", data)
    width, height = int(head.group(1)), int(head.group(2))
    body = data[head.end():]
    return width, height, [body[y * width * 3:(y + 1) * width * 3] for y in range(height)]
