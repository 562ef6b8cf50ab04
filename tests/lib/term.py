"""A terminal (what xterm's terminfo promises of one, without colours) and a program in it: its screen as lines of text."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

SEQUENCE = re.compile(rb"\x1b\[([?>!]?)([0-9;]*)([@-~])|\x1b[()][A-Z0-9]|\x1b\][^\x07]*\x07|\x1b([=>78MDEHc])|[\x00-\x1a\x1c-\x1f]|"
                      rb"[\x20-\x7f]+|[\x80-\xff]+")


class Term:
    def __init__(self, command, columns=80, rows=25, environment=None):
        self.columns, self.rows = columns, rows
        self.screen = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.top, self.bottom = 0, rows - 1
        self.saved = (0, 0)
        self.last = " "
        self.pending = b""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ.update({"TERM": "xterm", "LC_ALL": "C", **(environment or {})})
            for name in "LINES", "COLUMNS":
                os.environ.pop(name, None)
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execvp(command[0], command)

    def _blank(self):
        return [" "] * self.columns

    def _scroll(self, lines):
        """The region's lines, up."""
        for _ in range(min(abs(lines), self.rows)):
            del self.screen[self.top if lines > 0 else self.bottom]
            self.screen.insert(self.bottom if lines > 0 else self.top, self._blank())

    def _down(self):
        if self.row == self.bottom:
            self._scroll(1)
        elif self.row < self.rows - 1:
            self.row += 1

    def _put(self, text):
        for letter in text:
            if self.column == self.columns:
                self.column = 0
                self._down()
            self.screen[self.row][self.column] = self.last = letter
            self.column += 1

    def _control(self, letter, numbers):
        n = max(1, numbers[0])
        line, column = self.screen[self.row], min(self.column, self.columns - 1)
        if letter == "A":
            self.row = max(0, self.row - n)
        elif letter == "B":
            self.row = min(self.rows - 1, self.row + n)
        elif letter == "C":
            self.column = min(self.columns - 1, column + n)
        elif letter == "D":
            self.column = max(0, column - n)
        elif letter == "G":
            self.column = min(self.columns, n) - 1
        elif letter == "d":
            self.row = min(self.rows, n) - 1
        elif letter in "Hf":
            self.row, self.column = min(self.rows, n) - 1, min(self.columns, max(1, (numbers + [1])[1])) - 1
        elif letter == "J":
            if numbers[0] == 0:
                line[column:] = [" "] * (self.columns - column)
            for row in range(self.row + 1 if numbers[0] == 0 else 0, self.row if numbers[0] == 1 else self.rows):
                self.screen[row] = self._blank()
        elif letter == "K":
            start, end = {0: (column, self.columns), 1: (0, column + 1), 2: (0, self.columns)}[numbers[0]]
            line[start:end] = [" "] * (end - start)
        elif letter in "LM" and self.top <= self.row <= self.bottom:
            top, self.top = self.top, self.row
            self._scroll(n if letter == "M" else -n)
            self.top = top
        elif letter in "ST":
            self._scroll(n if letter == "S" else -n)
        elif letter == "X":
            line[column:column + n] = [" "] * len(line[column:column + n])
        elif letter == "P":
            self.screen[self.row] = (line[:column] + line[column + n:] + self._blank())[:self.columns]
        elif letter == "@":
            self.screen[self.row] = (line[:column] + [" "] * n + line[column:])[:self.columns]
        elif letter == "b":
            self._put(self.last * n)
        elif letter == "r":
            self.top, self.bottom = n - 1, ((numbers + [0])[1] or self.rows) - 1
            self.row = self.column = 0

    def _take(self, match):
        text = match.group()
        if match.group(3):
            if not match.group(1):
                self._control(match.group(3).decode(), [int(number or 0) for number in match.group(2).split(b";")])
        elif match.group(4) == b"M":
            if self.row == self.top:
                self._scroll(-1)
            else:
                self.row = max(0, self.row - 1)
        elif match.group(4) == b"7":
            self.saved = (self.row, self.column)
        elif match.group(4) == b"8":
            self.row, self.column = self.saved
        elif text == b"\r":
            self.column = 0
        elif text == b"\n":
            self._down()
        elif text == b"\b":
            self.column = max(0, self.column - 1)
        elif text == b"\t":
            self.column = min(self.columns - 1, self.column // 8 * 8 + 8)
        elif text[0] >= 0x20:
            self._put(text.decode("ascii", "replace"))

    def read(self, seconds):
        """What comes within that time is shown. False: the program has ended."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            self.pending += os.read(self.fd, 65536)
        except OSError:
            return False
        at = 0
        while True:
            match = SEQUENCE.match(self.pending, at)
            if not match:
                break
            self._take(match)
            at = match.end()
        self.pending = self.pending[at:]
        return True

    def type(self, text):
        os.write(self.fd, text.encode())

    def lines(self):
        return ["".join(line).rstrip() for line in self.screen]

    def text(self):
        return "\n".join(self.lines())

    def expect(self, pattern, timeout=30):
        """Waits until the screen shows it; the match. None: it does not."""
        end = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.text(), re.M)
            if match or time.monotonic() > end or not self.read(0.05):
                return match

    def close(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)
        os.close(self.fd)
