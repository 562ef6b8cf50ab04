#!/usr/bin/env python3
"""Debian's kernel plays a tone on a sound card, into a file.

    sound.py RINGER ACCEL CARD

How fast the guest thinks it was says whether the card keeps time; the file says whether what is heard is the tone.
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
# Linux begins with everything off. Volumes, by ports and bytes; base: where the card's name is in /proc/ioports.
VOLUMES = {"ES1370": "",
           "sb16": "".join("p 548 %d; p 549 248; " % index for index in (0x30, 0x31, 0x32, 0x33)),
           "AC97": "base=$((0x$(grep -m1 'Intel 82801AA' /proc/ioports | sed 's/^ *//;s/-.*//'))); "
                   "p $((base+2)) 0; p $((base+3)) 0; p $((base+24)) 8; p $((base+25)) 8; "}
PORT = "p() { printf $(printf '\\\\%o' $2) | dd of=/dev/port bs=1 seek=$1 2>/dev/null; }; "
SECONDS = 5
HZ = 500


def test():
    ringer, accel, card = sys.argv[1:4]
    drivers, plays_at = CARDS[card]
    temporary = tempfile.TemporaryDirectory()
    image, heard, tone = (os.path.join(temporary.name, name) for name in ("initrd", "out.wav", "tone"))
    with open(tone, "wb") as f:
        f.write(bytes(round(128 + 100 * math.sin(2 * math.pi * HZ * i / 8000)) for i in range(8000 * SECONDS)))
    files = {"root/tone": tone}
    for folder in (initrd.SOUND, initrd.SOUND_MORE):
        for name in os.listdir(folder) if os.path.exists(folder) else ():
            if name.endswith(".ko"):
                files["lib/sound/" + name.split("-", 1)[1]] = os.path.join(folder, name)
    initrd.write(image, (), files)
    guest = netguest.boot(ringer, image, ["-accel", accel, "-net", "none", "-audiodev", "wav,id=w,path=" + heard,
                                          "-device", card + ",audiodev=w"])
    for module in COMMON[:6] + drivers + COMMON[6:]:
        name, _, options = module.partition(" ")
        guest.run("[ ! -e /lib/sound/%s.ko ] || insmod /lib/sound/%s.ko %s" % (name, name, options), 300)
    guest.run("ls /dev/dsp || mknod /dev/dsp c 14 3")
    guest.run("ls /dev/port || mknod /dev/port c 1 4")
    if VOLUMES[card]:
        guest.run(PORT + VOLUMES[card] + "true")
    before = float(guest.run("cut -d' ' -f1 /proc/uptime").split()[-1])
    guest.run("cat /root/tone > /dev/dsp && echo played", 300)
    took = float(guest.run("cut -d' ' -f1 /proc/uptime").split()[-1]) - before
    irqs = guest.run("grep -i -e ens -e snd -e sound -e 82801 /proc/interrupts")
    guest.process.send_signal(signal.SIGTERM)
    guest.process.wait(60)
    rate, samples = wav.read(heard)
    wanted = SECONDS * 8000 / plays_at
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
