#!/usr/bin/env python3
"""The monitor, screen dumps and the curses display, from outside.

usage: monitor.py RINGER IMAGE [ENGINE]

IMAGE is a floppy with a guest that writes the keys it reads (INT 16h) to the screen and marks the machine it is: see
echo.S.
"""
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import GuestError  # noqa: E402
from screen import Screen  # noqa: E402

RINGER, IMAGE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
ENGINE = sys.argv[3] if len(sys.argv) > 3 else "bt"
BASE = [RINGER, "-accel", ENGINE, "-m", "16", "-fda", IMAGE, "-boot", "a", "-display", "none"]
failures = 0
machines = []


def check(name):
    def decorate(test):
        global failures
        try:
            test()
            print(f"ok - {name}")
        except (GuestError, AssertionError, OSError) as e:
            failures += 1
            print(f"not ok - {name}")
            for line in str(e).splitlines() or traceback.format_exc().splitlines()[-3:]:
                print(f"# {line}")
        for screen in machines:  # one that a failed test has left has the image to itself
            screen.kill()
        machines.clear()
        return test
    return decorate


def started():
    screen = Screen(BASE)
    machines.append(screen)
    screen.expect("ready")
    return screen


def png_pixels(path):
    """Width, height and rows of RGB of an 8-bit PNG, by the specification, without a library."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG"
    at, compressed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0], "bad CRC"
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 2), (depth, colour)
        elif kind == b"IDAT":
            compressed += body
        at += 12 + size
    raw = zlib.decompress(compressed)
    rows, before, stride = [], bytes(3 * width), 3 * width
    for y in range(height):
        kind = raw[y * (stride + 1)]
        line = bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            a = line[x - 3] if x >= 3 else 0
            b = before[x]
            c = before[x - 3] if x >= 3 else 0
            if kind == 1:
                line[x] = line[x] + a & 255
            elif kind == 2:
                line[x] = line[x] + b & 255
            elif kind == 3:
                line[x] = line[x] + (a + b) // 2 & 255
            elif kind == 4:
                p = a + b - c
                pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
                line[x] = line[x] + (a if pa <= pb and pa <= pc else b if pb <= pc else c) & 255
        rows.append(bytes(line))
        before = bytes(line)
    return width, height, rows


@check("keys reach the guest and the screen can be read")
def _():
    screen = started()
    screen.type("Hello, World_1!")
    screen.expect("Hello, World_1!")
    screen.key("shift-a", "b", "spc", "minus")
    screen.expect("Hello, World_1!Ab -")
    assert "invalid parameter: nonsense" in screen.command("sendkey nonsense")
    screen.command("quit")
    assert screen.wait() == 0


@check("keys that the guest cannot take yet have a limit")
def _():
    screen = started()
    answers = {screen.command("type " + "x" * 500) for _ in range(100)}
    assert answers == {"", "Error: the guest still waits for the keys before; try again later\n"}, answers
    for _ in range(100):  # one is taken each few milliseconds, which a slow host may need from a command to the next
        screen.command("type " + "x" * 500)
        if "try again later" in screen.command("sendkey a"):
            break
    else:
        raise AssertionError("sendkey is never refused")
    screen.command("quit")
    assert screen.wait() == 0


@check("screendump: PNG, PPM and text show the same screen")
def _():
    screen = started()
    with tempfile.TemporaryDirectory() as d:
        for path in ("s.png", "s.ppm", "s.txt"):
            answer = screen.command(f"screendump {d}/{path}")
            assert answer == "", answer
        screen.command("stop")  # the cursor blinks
        screen.command(f"screendump {d}/s2.bin -f png")
        screen.command(f"screendump {d}/s3.bin -f ppm")
        width, height, rows = png_pixels(f"{d}/s2.bin")
        assert (width, height) == (720, 400), (width, height)
        with open(f"{d}/s3.bin", "rb") as file:
            ppm = file.read()
        header = b"P6\n720 400\n255\n"
        assert ppm.startswith(header) and ppm[len(header):] == b"".join(rows), "PNG and PPM differ"
        # The guest fills row 24 with a block (DBh) of colour 0Ah on 0: light green.
        assert rows[24 * 16 + 3][3 * 100:3 * 100 + 3] == bytes((0x55, 0xff, 0x55)), rows[24 * 16 + 3][300:303]
        with open(f"{d}/s.txt", encoding="utf-8") as file:
            text = file.read()
        assert "ready" in text and "█" * 80 in text, text
    assert "cannot write" in screen.command("screendump /nowhere/x.png")
    assert "none of png" in screen.command("screendump x -f gif")
    screen.command("quit")
    screen.wait()


@check("stop, cont and status")
def _():
    screen = started()
    assert "running" in screen.command("info status")
    screen.command("stop")
    assert "paused" in screen.command("info status")
    time.sleep(0.2)
    first = screen.command("xp /1xw 0x46c")
    time.sleep(0.5)
    assert screen.command("xp /1xw 0x46c") == first, "the tick count moved"
    screen.command("cont")
    time.sleep(0.5)
    assert screen.command("xp /1xw 0x46c") != first, "the tick count stands"
    screen.command("quit")
    screen.wait()


@check("system_reset starts over")
def _():
    screen = started()
    screen.type("before")
    screen.expect("before")
    screen.command("system_reset")
    end = time.monotonic() + 30
    while "before" in screen.text():
        assert time.monotonic() < end, "the old screen stays"
        time.sleep(0.1)
    screen.expect("ready")
    screen.command("quit")
    screen.wait()


@check("registers, devices, memory")
def _():
    screen = started()
    registers = screen.command("info registers")
    assert "EIP=" in registers and "CS =" in registers, registers
    assert "window=text" in screen.command("info vga")
    assert "VGA controller: PCI device 1234:1111" in screen.command("info pci")
    words = screen.command("xp /4xb 0xb8000").split()
    assert words[0] == "00000000000b8000:" and len(words) == 5, words
    assert "unknown command" in screen.command("frobnicate")
    assert "screendump" in screen.command("help")
    screen.command("quit")
    screen.wait()


@check("several clients at once; a long line does no harm")
def _():
    screen = started()
    assert "too long" in screen.command("x" * 10000)
    path = screen.command_line[-1].split(":")[1].split(",")[0]
    import socket
    second = socket.socket(socket.AF_UNIX)
    second.connect(path)
    second.settimeout(10)
    greeting = second.recv(200)
    assert b"monitor" in greeting, greeting
    assert "running" in screen.command("info status")
    second.sendall(b"info sta")
    second.sendall(b"tus\nquit\n")
    assert screen.wait() == 0


def terminal(output):
    """What a terminal shows after these bytes: 25 rows of 80, of what curses uses of an xterm. A word may have come in
    two pieces, with other things between them."""
    rows, row, column, last = [[" "] * 80 for _ in range(25)], 0, 0, " "
    for match in re.finditer(r"\x1b\[([0-9;?]*)([@-~])|\x1b[()].|\x1b[=>78]|[\x00-\x1f]|[^\x00-\x1f\x1b]",
                             output.decode("utf-8", errors="replace")):
        final = match.group(2)
        given = [int(n) if n.isdigit() else 0 for n in (match.group(1) or "").split(";")]
        n = given[0] or 1
        if final == "H":
            row, column = n - 1, (given[1] or 1) - 1 if len(given) > 1 else 0
        elif final == "d":
            row = n - 1
        elif final == "G":
            column = n - 1
        elif final in ("A", "B", "C", "D"):
            row += (final == "B") * n - (final == "A") * n
            column += (final == "C") * n - (final == "D") * n
        elif final == "K":
            rows[row][column:] = " " * (80 - column)
        elif final == "X":
            rows[row][column:column + n] = " " * len(rows[row][column:column + n])
        elif final == "J":
            if given[0] == 2:
                rows = [[" "] * 80 for _ in range(25)]
            else:
                rows[row][column:] = " " * (80 - column)
                rows[row + 1:] = [[" "] * 80 for _ in rows[row + 1:]]
        elif match.group() == "\r":
            column = 0
        elif match.group() == "\n":
            row += 1
        elif match.group() == "\b":
            column -= 1
        elif final == "b" or len(match.group()) == 1 and match.group() >= " ":
            last = last if final else match.group()
            for _ in range(n if final else 1):
                if 0 <= row < 25 and 0 <= column < 80:
                    rows[row][column] = last
                column += 1
        row, column = max(0, min(row, 24)), max(0, min(column, 80))
    return "\n".join("".join(r) for r in rows)


@check("-display curses shows the screen and takes keys")
def _():
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", LC_ALL="C.UTF-8")
        os.execv(RINGER, [RINGER, "-accel", ENGINE, "-m", "16", "-fda", IMAGE, "-boot", "a", "-display", "curses"])
    import fcntl
    import termios
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
    output = b""

    def wait_for(text, limit=60):
        nonlocal output
        end = time.monotonic() + limit
        while text not in terminal(output):
            assert time.monotonic() < end, f"no {text!r} on\n{terminal(output)}\nafter {output[-1500:]!r}"
            if select.select([fd], [], [], 0.5)[0]:
                try:
                    output += os.read(fd, 65536)
                except OSError:
                    break
    try:
        wait_for("ready")
        os.write(fd, b"Xyz")
        wait_for("Xyz")
        os.write(fd, b"\x1b2")
        wait_for("q ends")
        os.write(fd, b"q")
        end = time.monotonic() + 20
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                pid = 0
                assert status == 0, status
                break
            if select.select([fd], [], [], 0.1)[0]:
                try:
                    os.read(fd, 65536)
                except OSError:
                    pass
            assert time.monotonic() < end, "does not end"
    finally:
        if pid:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


@check("curses without a terminal is an error")
def _():
    result = subprocess.run([RINGER, "-display", "curses", "-fda", IMAGE], stdin=subprocess.DEVNULL, capture_output=True,
                            timeout=30, check=False)
    assert result.returncode == 1 and b"not a terminal" in result.stderr, result


sys.exit(failures != 0)
