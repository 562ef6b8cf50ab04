"""The human's monitor as a client sees it: lines in, answers out. The monitor shows what is typed and asks with a prompt,
as QEMU's does."""
import re
import socket
import time

PROMPT = b"(qemu) "


def answer(output):
    """What a command said: without the line as it was typed, the carriage returns and the prompt behind it."""
    text = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", output).replace(b"\r", b"")
    return text[text.find(b"\n") + 1:text.rfind(PROMPT)].decode(errors="replace")


def connect(path, timeout, alive=lambda: True):
    """A Unix socket connected to path, also to one that does not listen yet. alive: whether it still may."""
    end = time.monotonic() + 20
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            s.settimeout(timeout)
            return s
        except OSError:
            s.close()
            if not alive() or time.monotonic() > end:
                raise
            time.sleep(0.02)


class Hmp:
    """A monitor behind a Unix socket."""

    def __init__(self, path, timeout=60, alive=lambda: True):
        self.socket = connect(path, timeout, alive)
        self.greeting = self.receive()

    def receive(self):
        """Everything up to the next prompt, or the end."""
        output = b""
        while not output.endswith(PROMPT):
            try:
                part = self.socket.recv(65536)
            except ConnectionResetError:
                part = b""
            if not part:
                break
            output += part
        return output

    def command(self, line):
        """Gives a command; returns its answer."""
        self.socket.sendall(line.encode() + b"\n")
        return answer(self.receive())

    def close(self):
        self.socket.close()
