#!/usr/bin/env python3
"""The speaker's tone through SDL: what leaves for the host's loudspeaker, by SDL's driver that writes a file instead.

    sound_sdl.py RINGER ACCEL [SECONDS]

A boot sector beeps, and then goes round in a loop that writes memory and reads ports. The host's clock and
that of the pretended loudspeaker are not the same. Counted is how often the loudspeaker found nothing: said, and not
judged, as a busy host may be the reason; what is judged is that the tone is one. By hand, for ten minutes: 600.
"""
import json
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
              0x31, 0xc0, 0x8e, 0xd8, 0xff, 0x06, 0x00, 0x06,  # xor ax,ax; mov ds,ax; l: inc word [600h]
              0xe4, 0x71, 0xeb, 0xf8])     # in al,71h; jmp l


def play(ringer, accel, folder, seconds, options, environment):
    disk, stats = os.path.join(folder, "floppy"), os.path.join(folder, "stats")
    with open(disk, "wb") as f:
        f.write((CODE.ljust(510, b"\0") + b"\x55\xaa").ljust(1474560, b"\0"))
    process = subprocess.Popen([ringer, "-accel", accel, "-display", "none", "-nodefaults", "-fda", disk,
                                "-stats", "file:" + stats] + options, env=dict(os.environ, **environment),
                               stderr=subprocess.PIPE, preexec_fn=die_with_parent)
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1].decode()
    if process.returncode != 0:
        sys.exit("status %s: %s" % (process.returncode, said))
    with open(stats) as f:
        return json.load(f)["counters"], said


def test(ringer, accel, seconds=10):
    with tempfile.TemporaryDirectory() as folder:
        raw, file = os.path.join(folder, "raw"), os.path.join(folder, "out.wav")
        reference, _ = play(ringer, accel, folder, 5, ["-audiodev", "wav,id=w,out.frequency=48000,path=" + file, "-machine",
                                                       "pcspk-audiodev=w"], {})
        counters, said = play(ringer, accel, folder, seconds,
                              ["-audiodev", "pa,id=w,out.frequency=48000", "-machine", "pcspk-audiodev=w"],
                              {"SDL_AUDIODRIVER": "disk", "SDL_DISKAUDIOFILE": raw})
        if "SDL plays it" not in said:
            sys.exit("nothing is said about pa: %s" % said)
        rate, wanted = wav.read(file)
        with open(raw, "rb") as f:
            data = f.read()
        samples = memoryview(data[:len(data) // 4 * 4]).cast("h")[::2]  # left; as numbers of 16 bits, for their size
        begin = next((i for i, s in enumerate(samples) if abs(s) > 0.05 * 32768), len(samples))
        print("sdl: %.2f s, of them silence before the tone %.2f s; underruns %d, overruns %d, ratio %.6f" % (
            len(samples) / rate, begin / rate, counters["sound_underruns"]["count"],
            counters["sound_overruns"]["count"], counters["sound_ratio"]["count"] / 1e6))
        # Each half a second: the tone, as loud as in the file; its pitch follows the loudspeaker's clock by at most 1 %.
        hz, half = 1193182 / COUNT, rate // 2
        loud = wav.tone(wanted[rate:rate + half], hz, rate)
        good = pieces = 0
        for at in range(begin + rate, len(samples) - half, half):
            piece = [s / 32768 for s in samples[at:at + half]]
            best = max((wav.tone(piece, hz * (1 + k / 2000), rate), k) for k in range(-20, 21, 1)) \
                if pieces < 20 else (loud, 0)
            rms = (sum(s * s for s in piece) / half) ** 0.5
            pieces += 1
            good += abs(best[0] - loud) < 0.05 * loud and rms > 0.2
        print("tone %.4f in the file; %d of %d pieces of what SDL got have it" % (loud, good, pieces))
        # A loudspeaker of more than 1 % beside the guest's clock, as this one is on a busy host, loses a piece now and then.
        if pieces < seconds - 4 or good < pieces * 0.5:
            sys.exit("that is not the tone")


if __name__ == "__main__":
    test(*sys.argv[1:3], *[int(s) for s in sys.argv[3:]])
