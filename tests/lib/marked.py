"""A guest that marks what it measures on the debug console: '<', '>', and then what it found."""
import subprocess
import sys
import time

from guest import die_with_parent


def run(command):
    """(seconds between the marks, by the host's clock; what came behind them)."""
    marks, text = {}, b""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                          preexec_fn=die_with_parent) as process:
        while True:
            byte = process.stdout.read(1)
            if not byte:
                break
            marks.setdefault(byte, time.monotonic())
            text += byte
        errors = process.stderr.read()
    if b">" not in marks or b"\n" not in text:
        sys.exit("%s\nsaid %s\n%s" % (" ".join(command), text, errors.decode(errors="replace")))
    return marks[b">"] - marks[b"<"], text[text.index(b">") + 1:].strip().decode()
