#!/usr/bin/env python3
"""A guest plays a sine and computes; what a loudspeaker got of it is searched for gaps.

    sound_load.py RINGER ACCEL IMAGE CARD SECONDS [gaps=N] [load=N] [latency=MILLISECONDS]

IMAGE: tone.c's kernel. CARD: sb16 or ac97. The loudspeaker is a PulseAudio's of the test's own (lib/pulse.py), whose clock is
the host's and which SDL plays to as on any desktop. load: processes of this host that compute without end. gaps: how many are
allowed at most; without it they are counted and said only, as a host that gives nobody any time tears sound whatever Ringer
does, and the tone has to be there. By hand, for ten minutes (packages pulseaudio, pulseaudio-utils):

    sound_load.py RINGER bt IMAGE sb16 600 load=2 gaps=1
"""
import array
import math
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import json  # noqa: E402
import pulse  # noqa: E402
from guest import GuestError, die_with_parent, main  # noqa: E402

# Cards: the options that make one, the tone's frequency, the card's rate.
CARDS = {"sb16": (["-device", "sb16,audiodev=s"], 441, 44100), "ac97": (["-device", "AC97,audiodev=s"], 400, 48000)}
# A sine goes on as x[n+1] = 2 cos(w) x[n] - x[n-1]. What is not so by this much of its amplitude is a gap's edge, or a jump of its
# phase by 5 degrees: at a crest that is w * sin(5 degrees), 0.0046 and 0.0055. The resampler's ratio changes less, 1 % of w squared.
TORN = 0.004
TOGETHER = 0.1  # seconds: a gap's edges are one


def tears(samples, hz, rate):
    """(Places in seconds at which the sine is torn, its amplitude, where it begins, (frequency, seconds) of its longest whole piece)."""
    amplitude = max(abs(s) for s in samples[-rate:])
    begin = next((i for i, s in enumerate(samples) if abs(s) > amplitude / 2), len(samples))
    if amplitude < 1000 or begin > len(samples) - rate:
        raise GuestError("there is no tone: %.1f s, amplitude %d" % (len(samples) / rate, amplitude))
    samples = samples[begin:]
    twice, limit = 2 * math.cos(2 * math.pi * hz / rate), TORN * amplitude
    places = []
    for i, (before, now, after) in enumerate(zip(samples, samples[1:], samples[2:])):
        torn = after + before - twice * now
        if (torn > limit or torn < -limit) and (not places or i / rate - places[-1] > TOGETHER):
            places.append(i / rate)
    edges = [-TOGETHER] + places + [len(samples) / rate]
    first, last = max(((a + TOGETHER, b) for a, b in zip(edges, edges[1:])), key=lambda piece: piece[1] - piece[0])
    whole = samples[round(first * rate):round(last * rate)]
    rises = sum(a < 0 <= b for a, b in zip(whole, whole[1:]))
    return places, amplitude, begin / rate, (rises * rate / max(1, len(whole)), len(whole) / rate)


def play(ringer, accel, image, card, seconds, folder, latency, load):
    options, _, rate = CARDS[card]
    server = pulse.Pulse(folder, rate)
    stats, heard = os.path.join(folder, "stats"), os.path.join(folder, "heard")
    recorder = server.record(heard)  # before: that somebody hears a sink's monitor makes it ask for less at once
    # In sessions of their own, as other programs of a user's are: Linux shares processors out among those (sched_autogroup).
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=die_with_parent, start_new_session=True)
               for _ in range(load)]
    guest = subprocess.Popen([ringer, "-accel", accel, "-m", "16", "-display", "none", "-nodefaults", "-kernel", image, "-append",
                              card, "-debugcon", "stdio", "-stats", "file:" + stats, "-audiodev",
                              "sdl,id=s,out.frequency=%d%s" % (rate, latency)] + options,
                             env=dict(server.environment, SDL_AUDIODRIVER="pulseaudio"), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, preexec_fn=die_with_parent)
    said = guest.stdout.readline()
    if said != b"plays\n":
        guest.kill()
        raise GuestError("the guest says %r: %s" % (said, guest.communicate()[1].decode(errors="replace")))
    end = time.monotonic() + seconds
    while time.monotonic() < end and guest.poll() is None and recorder.poll() is None:
        time.sleep(0.2)
    server.finish(recorder)
    guest.send_signal(signal.SIGTERM)
    errors = guest.communicate(timeout=60)[1].decode(errors="replace")
    for burner in burners:
        burner.kill()
        burner.wait()
    server.close()
    if guest.returncode != 0:
        raise GuestError("status %d: %s" % (guest.returncode, errors))
    __import__("shutil").copy(heard, "/tmp/heard")
    samples = array.array("h")
    with open(heard, "rb") as f:
        data = f.read()
    samples.frombytes(data[:len(data) // 2 * 2])
    with open(stats) as f:
        return samples, json.load(f)["counters"]


def test():
    ringer, accel, image, card, seconds = sys.argv[1:6]
    words = dict(word.split("=") for word in sys.argv[6:])
    seconds, load = int(seconds), int(words.get("load", 0))
    latency = ",out.buffer-length=%d000" % int(words["latency"]) if "latency" in words else ""
    if not pulse.is_there():
        print("SKIP: needs PulseAudio (packages pulseaudio and pulseaudio-utils)")
        sys.exit(77)
    _, hz, rate = CARDS[card]
    with tempfile.TemporaryDirectory() as folder:
        samples, counters = play(ringer, accel, image, card, seconds, folder, latency, load)
    places, amplitude, begin, (found, whole) = tears(samples, hz, rate)
    print("%s: %.1f s of sound, amplitude %d, %.2f Hz (%d) for %.1f s, torn %d times%s; by Ringer's count %d underruns, %d overruns, ratio %.6f"
          % (card, len(samples) / rate, amplitude, found, hz, whole, len(places),
             " at " + " ".join("%.2f" % (begin + place) for place in places[:50]) if places else "",
             counters["sound_underruns"]["count"], counters["sound_overruns"]["count"], counters["sound_ratio"]["count"] / 1e6))
    if "gaps" in words and len(places) > int(words["gaps"]):
        raise GuestError("%d gaps, %s allowed" % (len(places), words["gaps"]))
    if len(samples) < seconds / 2 * rate:
        raise GuestError("the record is too short")
    # The clocks are adapted by 1 % at most (playback.c); a wave more or less.
    if whole < 0.3 or abs(found / hz - 1) > 0.011 + 1 / (whole * hz):
        raise GuestError("that is not the tone")


if __name__ == "__main__":
    main(test)
