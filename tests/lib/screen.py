"""A guest seen through its screen and keyboard: starts it with a monitor on a Unix socket, reads the text screen, types.

Works with ringer; with QEMU for what both monitors have (command, sendkey).
"""
import os
import subprocess
import tempfile
import time

from guest import GuestError, die_with_parent
from monitor import Hmp


class Screen:
    def __init__(self, command, stdin=None, pass_fds=()):
        """Starts command (a list) with a monitor added."""
        self.directory = tempfile.TemporaryDirectory()
        path = os.path.join(self.directory.name, "monitor")
        self.command_line = command + ["-monitor", f"unix:{path},server=on,wait=off"]
        self.process = subprocess.Popen(self.command_line, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, preexec_fn=die_with_parent, pass_fds=pass_fds)
        os.set_blocking(self.process.stderr.fileno(), False)
        self.errors = b""
        self.monitor = None
        try:
            self.monitor = Hmp(path, alive=lambda: self.process.poll() is None)
        except OSError:
            self.fail("no monitor")

    def command(self, line):
        """Gives a command; returns its answer, what there is of it if the machine ends."""
        try:
            return self.monitor.command(line)
        except OSError:
            return ""

    def text(self):
        """The text screen."""
        return self.command("screentext")

    def fail(self, why):
        self.read_errors()
        screen = self.text() if self.process.poll() is None and self.monitor and hasattr(self, "seen") else ""
        self.kill()
        raise GuestError("%s\ncommand: %s\nscreen:\n%s\nstderr:\n%s" % (
            why, " ".join(self.command_line), "\n".join("    " + line for line in screen.splitlines()),
            self.errors[-2000:].decode(errors="replace")))

    def read_errors(self):
        try:
            self.errors += self.process.stderr.read() or b""
        except (OSError, ValueError):
            pass
        return self.errors

    def expect(self, *texts, timeout=120):
        """Waits until one of texts is on the screen; returns which."""
        self.seen = True
        end = time.monotonic() + timeout
        while True:
            screen = self.text()
            for text in texts:
                if text in screen:
                    return text
            if self.process.poll() is not None:
                self.fail("ended while waiting for '%s'" % "' or '".join(texts))
            if time.monotonic() > end:
                self.fail("no '%s' on the screen within %d s" % ("' or '".join(texts), timeout))
            time.sleep(0.2)

    def key(self, *names):
        """Presses keys one after the other: names as in QEMU's sendkey."""
        for name in names:
            answer = self.command("sendkey %s 20" % name)
            if answer.strip() and "sendkey" not in answer.split("\n")[0]:
                self.fail("sendkey %s: %s" % (name, answer))
            time.sleep(0.06)

    def boot_menu(self, timeout=120):
        """Into the BIOS's boot menu, of a machine started with -S; returns the screen. The BIOS looks for a key for a quarter
        of a second: the machine runs a little at a time until it does, so a busy host cannot sleep through it; where one
        did all the same, it is done again from the start."""
        self.seen = True
        end, pressed = time.monotonic() + timeout, False
        while time.monotonic() < end:
            self.command("cont")
            time.sleep(0.02)
            self.command("stop")
            text = self.text()
            if "Boot from:" in text:
                self.command("cont")
                return text
            if "Booting" in text or "No bootable device" in text:
                self.command("system_reset")
                pressed = False
            elif ": boot menu" in text and not pressed:
                # F12, because a second Esc that is already in the keyboard would leave the menu again.
                self.command("sendkey f12 20")
                pressed = True
        self.fail("no boot menu within %d s" % timeout)

    def type(self, text):
        """Types text as on a US keyboard; "\\n" is Enter."""
        self.command("type " + text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t"))
        time.sleep(0.04 * len(text) + 0.1)

    def wait(self, timeout=60):
        """Waits for the process to end; returns its status."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.fail("still running after %d s" % timeout)
        self.read_errors()
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
