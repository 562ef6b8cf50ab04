#!/usr/bin/env python3
"""A boot sector beeps on the PC's speaker, into a file; the program is ended by a signal.

    speaker.py RINGER ACCEL

1193 CLKs of the timer's 1,193,182 a second are a tone of 1000.15 Hz.
"""
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import wav  # noqa: E402
from guest import die_with_parent  # noqa: E402

COUNT = 1193
CODE = bytes([0xfa,                        # cli
              0xb0, 0xb6, 0xe6, 0x43,      # counter 2, both bytes, mode 3
              0xb0, COUNT & 255, 0xe6, 0x42, 0xb0, COUNT >> 8, 0xe6, 0x42,
              0xe4, 0x61, 0x0c, 0x03, 0xe6, 0x61,  # its gate, and what it says
              0xf4, 0xeb, 0xfd])           # hlt


def play(ringer, accel, folder, how):
    disk, heard = os.path.join(folder, "floppy"), os.path.join(folder, "out.wav")
    with open(disk, "wb") as f:
        f.write((CODE.ljust(510, b"\0") + b"\x55\xaa").ljust(1474560, b"\0"))
    process = subprocess.Popen([ringer, "-accel", accel, "-display", "none", "-nodefaults", "-fda", disk, "-audiodev",
                                "wav,id=w,path=" + heard, "-machine", "pcspk-audiodev=w"],
                               stderr=subprocess.PIPE, preexec_fn=die_with_parent)
    end = time.monotonic() + 60
    while not os.path.exists(heard) or os.path.getsize(heard) < 3 * 4 * 44100:
        if time.monotonic() > end or process.poll() is not None:
            process.kill()
            sys.exit("nothing is heard: %s" % process.communicate()[1])
        time.sleep(0.1)
    process.send_signal(how)
    process.communicate()
    return heard


def test(ringer, accel):
    with tempfile.TemporaryDirectory() as folder:
        for how in (signal.SIGTERM, signal.SIGKILL):
            heard = play(ringer, accel, folder, how)
            rate, samples = wav.read(heard, how == signal.SIGTERM)
            os.unlink(heard)
            second = samples[rate:3 * rate]
            hz = 1193182 / COUNT
            loud, above, below = (wav.tone(second, f, rate) for f in (hz, hz + 1, hz - 1))
            print("%s: %.2f s, %.4f at %.2f Hz, %.4f and %.4f beside it" % (
                how.name, len(samples) / rate, loud, hz, above, below))
            if loud < 0.31 or above > 0.03 or below > 0.03:  # 2 seconds: nothing of a tone is 1 Hz beside it
                sys.exit("that is not the tone")


if __name__ == "__main__":
    test(*sys.argv[1:3])
