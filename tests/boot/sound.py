#!/usr/bin/env python3
"""Debian's kernel plays a tone on a sound card, into a file.

    sound.py RINGER ACCEL CARD [MIXER]

How fast the guest thinks it was says whether the card keeps time; the file says whether what is heard is the tone. MIXER
(mixer.c) sets the ES1370's volumes by its driver; without it that card is skipped (77).
"""
import math
import os
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import initrd  # noqa: E402
import netguest  # noqa: E402
import wav  # noqa: E402
from guest import main  # noqa: E402

# Drivers of a card, and the rate at which it plays what /dev/dsp gets, which are 8000 bytes a second.
CARDS = {"ES1370": (["gameport", "snd-ens1370"], 1411200 / (1411200 // 8000)),
         "sb16": (["snd-hwdep", "snd-opl3-lib", "snd-mpu401-uart", "snd-sb-common", "snd-sb16-csp", "snd-sb16-dsp",
                   "snd-sb16 isapnp=0 port=0x220 irq=5 dma8=1 dma16=5 mpu_port=0x330 fm_port=0x388"], 8000),
         "AC97": (["ac97_bus", "snd-ac97-codec", "snd-intel8x0"], 8000)}
COMMON = ["soundcore", "snd", "snd-timer", "snd-pcm", "snd-seq-device", "snd-rawmidi", "snd-mixer-oss", "snd-pcm-oss"]
# Linux begins with everything off. Volumes, by the driver's controls or by ports and bytes; base: where the card's name is in /proc/ioports.
VOLUMES = {"ES1370": "; ".join("mixer '%s' 0 %s" % row for row in (
               ("Master Playback Switch", "1 1"), ("Master Playback Volume", "31 31"), ("PCM Switch", "1 1"),
               ("PCM Volume", "25 25"), ("PCM Playback Switch", "1 1"))) + "; ",
           "sb16": "".join("p 548 %d; p 549 248; " % index for index in (0x30, 0x31, 0x32, 0x33)),
           "AC97": "base=$((0x$(grep -m1 'Intel 82801AA' /proc/ioports | sed 's/^ *//;s/-.*//'))); "
                   "p $((base+2)) 0; p $((base+3)) 0; p $((base+24)) 8; p $((base+25)) 8; "}
PORT = "p() { printf $(printf '\\\\%o' $2) | dd of=/dev/port bs=1 seek=$1 2>/dev/null; }; "
CONTROL = "mkdir -p /dev/snd; n=/dev/snd/controlC0; [ -e $n ] || mknod $n c $(tr : ' ' < /sys/class/sound/controlC0/dev)"
# Then, by the ES1370's driver: what is set, and dB of the left and the right side.
LEVELS = [(("Master Playback Volume", "26 31"), -10, 0), (("PCM Volume", "25 10"), -10, -30),
          (("Master Playback Switch", "0 1"), None, -30), (("PCM Playback Switch", "1 0"), None, None),
          (("PCM Playback Switch", "1 1"), None, -30), (("Master Playback Switch", "1 1"), -10, -30)]
SECONDS = 5
HZ = 500


def sine(hz, seconds):
    return bytes(round(128 + 100 * math.sin(2 * math.pi * hz * i / 8000)) for i in range(8000 * seconds))


def check(guest, rate, sides, scale):
    """Each of LEVELS had a second with a tone of its own, somewhere in what was heard."""
    for n, (_, *wanted) in enumerate(LEVELS):
        for side, samples, db in zip(("left", "right"), sides, wanted):
            loud = wav.tone(samples, hz_of(n) * scale, rate) * len(samples) / rate * scale * 128 / 100
            print("%d Hz, %s: %.4f, wanted %s dB" % (hz_of(n), side, loud, db))
            if abs(loud - (0 if db is None else 10 ** (db / 20))) > 0.01:
                guest.fail("%.4f instead of %s dB" % (loud, db))


def hz_of(n):
    return 700 + 150 * n


def test():
    ringer, accel, card = sys.argv[1:4]
    if card == "ES1370" and not sys.argv[4:]:
        print("SKIP: needs a C library for -m32")
        sys.exit(77)
    drivers, plays_at = CARDS[card]
    temporary = tempfile.TemporaryDirectory()
    image, heard, tone = (os.path.join(temporary.name, name) for name in ("initrd", "out.wav", "tone"))
    files = {"root/tone": tone}
    files.update({"root/tone%d" % n: tone + str(n) for n in range(len(LEVELS))})
    for path in files.values():
        with open(path, "wb") as f:
            f.write(sine(HZ, SECONDS) if path == tone else sine(hz_of(int(path[len(tone):])), 1))
    for folder in (initrd.SOUND, initrd.SOUND_MORE):
        for name in os.listdir(folder) if os.path.exists(folder) else ():
            if name.endswith(".ko"):
                files["lib/sound/" + name.split("-", 1)[1]] = os.path.join(folder, name)
    initrd.write(image, sys.argv[4:], files)
    guest = netguest.boot(ringer, image, ["-accel", accel, "-net", "none", "-audiodev", "wav,id=w,path=" + heard,
                                          "-device", card + ",audiodev=w"])
    for module in COMMON[:6] + drivers + COMMON[6:]:
        name, _, options = module.partition(" ")
        guest.run("[ ! -e /lib/sound/%s.ko ] || insmod /lib/sound/%s.ko %s" % (name, name, options), 300)
    guest.run("ls /dev/dsp || mknod /dev/dsp c 14 3")
    guest.run("ls /dev/port || mknod /dev/port c 1 4")
    guest.run(CONTROL + "; " + PORT + VOLUMES[card] + "true")
    if card == "ES1370":
        controls = guest.run("mixer")
        for line in ("Master Playback Volume,0: 31 31 of 31", "PCM Volume,0: 25 25 of 31", "PCM Volume,1: 0 0 of 31"):
            if line not in controls:
                guest.fail("the driver does not show %s but %s" % (line, controls))
    before = float(guest.run("cut -d' ' -f1 /proc/uptime").split()[-1])
    guest.run("cat /root/tone > /dev/dsp && echo played", 300)
    took = float(guest.run("cut -d' ' -f1 /proc/uptime").split()[-1]) - before
    irqs = guest.run("grep -i -e ens -e snd -e sound -e 82801 /proc/interrupts")
    if card == "ES1370":
        for n, ((name, values), *_) in enumerate(LEVELS):
            guest.run("mixer '%s' 0 %s && cat /root/tone%d > /dev/dsp" % (name, values, n), 300)
    guest.process.send_signal(signal.SIGTERM)
    guest.process.wait(60)
    rate, samples, right = wav.read_sides(heard)
    wanted = SECONDS * 8000 / plays_at
    if card == "ES1370":
        check(guest, rate, (samples, right), plays_at / 8000)
        samples = samples[:round((took + 0.2) * rate)]
    loud = wav.tone(samples[rate:3 * rate], HZ * plays_at / 8000, rate)
    print("guest: %.2f s, file: %.2f s, tone %.4f; %s" % (took, len(samples) / rate, loud, irqs.strip()))
    if not wanted - 0.1 < took < wanted + 2.5:
        guest.fail("%d seconds of sound took %.2f s" % (SECONDS, took))
    if not wanted - 0.05 < len(samples) / rate < wanted + 2.5:
        guest.fail("the file has %.2f s of sound" % (len(samples) / rate))
    if abs(loud - 100 / 128) > 0.01:
        guest.fail("the tone is not there")


if __name__ == "__main__":
    if not all(os.path.exists(os.path.join(folder, ".complete")) for folder in (initrd.SOUND, initrd.SOUND_MORE)):
        print("SKIP: needs the guest cache (tests/tools/guests.sh fetch)")
        sys.exit(77)
    main(test)
