"""A guest on a serial line: start it, wait for text, type, and say what was on its screen if it fails.

Used by tests/boot and tests/bench. Nothing here depends on speed but the time limits, which are generous.
"""
import ctypes
import os
import select
import signal
import subprocess
import sys
import time


PR_SET_PDEATHSIG = 1


class GuestError(Exception):
    pass


def die_with_parent():
    """A test that is killed for its time takes its guest with it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Guest:
    def __init__(self, command, log=None):
        """Starts command (a list) with its serial line on stdin and stdout."""
        self.command = command
        self.output = b""
        self.seen = 0  # how far expect() has read
        self.log = log
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        os.set_blocking(self.process.stdout.fileno(), False)
        os.set_blocking(self.process.stderr.fileno(), False)
        self.errors = b""

    def _read(self, timeout):
        """Reads what is there; False at the end of output."""
        streams = [s for s in (self.process.stdout, self.process.stderr) if not s.closed]
        if not streams:
            return False
        for s in select.select(streams, [], [], timeout)[0]:
            part = os.read(s.fileno(), 65536)
            if not part:
                s.close()
            elif s is self.process.stdout:
                self.output += part
                if self.log:
                    self.log.write(part)
            else:
                self.errors += part
        return True

    def fail(self, why):
        self.kill()
        screen = self.output[-4000:].decode(errors="replace").splitlines()[-40:]
        raise GuestError("%s\ncommand: %s\nlast screen:\n%s\nstderr:\n%s" % (
            why, " ".join(self.command), "\n".join("    " + line for line in screen),
            self.errors[-2000:].decode(errors="replace")))

    def expect(self, text, timeout=300):
        """Waits for text after what was last expected; returns what came before it."""
        want = text.encode()
        end = time.monotonic() + timeout
        while True:
            at = self.output.find(want, self.seen)
            if at >= 0:
                before = self.output[self.seen:at]
                self.seen = at + len(want)
                return before.decode(errors="replace")
            left = end - time.monotonic()
            if left <= 0:
                self.fail("no '%s' within %d s" % (text, timeout))
            if not self._read(min(left, 1.0)):
                self.fail("ended while waiting for '%s'" % text)

    def send(self, text):
        """Types text. In small pieces: a guest's receive buffer is a few bytes."""
        data = text.encode()
        for i in range(0, len(data), 8):
            self.process.stdin.write(data[i:i + 8])
            self.process.stdin.flush()
            time.sleep(0.002)

    def run(self, command, timeout=300, prompt="guest# "):
        """Runs a shell command in the guest; returns its output, or fails if its status is not 0."""
        # The echo of the typed line, which the shell may wrap, must not look like the markers.
        self.send("echo __be''gin=; " + command + "; echo __rc''=$?=\n")
        self.expect("__begin=", timeout)
        out = self.expect("__rc=", timeout)
        status = self.expect("=", timeout)
        self.expect(prompt, timeout)
        if status != "0":
            self.fail("'%s' ended with status %s" % (command, status))
        return out.replace("\r", "")

    def says(self, what, command, want, timeout=300):
        """The output of a command that is known."""
        got = self.run(command, timeout).strip()
        if got != want:
            self.fail("%s: got '%s', want '%s'" % (what, got, want))

    def wait(self, timeout=60):
        """Waits for the process to end; returns its status."""
        end = time.monotonic() + timeout
        while self._read(0.2):
            if time.monotonic() > end:
                self.fail("still running after %d s" % timeout)
        try:
            return self.process.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.fail("still running after %d s" % timeout)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def main(test):
    """Runs test(); prints why it failed."""
    try:
        test()
    except GuestError as e:
        print("FAIL: %s" % e)
        sys.exit(1)
