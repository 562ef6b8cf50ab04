#!/usr/bin/env python3
"""Moves Debian's kernel from process to process at random moments while it plays sound, writes and reads a disk on USB, draws,
and the pointer moves: with a window, the host's loudspeaker (SDL's driver that writes a file) and a tablet in each process.

usage: desktop.py MOVER ENGINE MOMENTS [CONTROLLER [SEED]]

CONTROLLER: uhci, ehci or xhci. What is judged: everything read is what was written, each tone came to its end, the picture in the
window of the last process, its sound, and where its pointer is. A new seed each time, printed. By hand: 100 moments.
"""
import array
import hashlib
import os
import random
import re
import struct
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import desktop  # noqa: E402
import initrd  # noqa: E402
from guest import Guest, main  # noqa: E402

LONGEST = 1000  # milliseconds between two moments
WIDTH, HEIGHT, UPPER = 800, 600, 300  # the guest draws on the upper rows again and again, and has drawn the others once
DISK_MIB = 16
TONE_SECONDS = 2
CONTROLLERS = {"uhci": (["-usb"], "usb-bus.0"), "ehci": (["-device", "usb-ehci,id=ehci"], "ehci.0"),
               "xhci": (["-device", "qemu-xhci,id=xhci"], "xhci.0")}
BLASTER = "isapnp=0 port=0x220 irq=5 dma8=1 dma16=5 mpu_port=0x330 fm_port=0x388"
MODULES = [(initrd.GRAPHICS, ("syscopyarea", "sysfillrect", "sysimgblt", "fb_sys_fops", "cirrusfb")), (initrd.INPUT, None),
           (initrd.USB, None), (initrd.XHCI, None), (initrd.MODULES, ("crc", "t10", "scsi_common", "scsi_mod", "sd_mod")),
           (initrd.USB_DISK, ("ehci", "usb-storage")), (initrd.SOUND, ("soundcore", "snd.", "timer", "pcm.", "seq", "rawmidi")),
           (initrd.SOUND_MORE, ("hwdep", "opl3", "mpu401", "sb-common", "sb16")), (initrd.SOUND, ("mixer-oss", "pcm-oss"))]

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
dmesg -n 1
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
for m in /lib/drivers/*; do
    case $m in
    *snd-sb16.ko) insmod $m BLASTER;;
    *cirrusfb*) insmod $m mode_option=800x600-16;;
    *) insmod $m;;
    esac
done
wait_for() { n=0; until eval "$1"; do n=$((n + 1)); [ $n -lt 600 ] || { echo "missing: $1"; poweroff -f; }; usleep 100000; done; }
event() { for e in /sys/class/input/event*; do grep -qs Tablet $e/device/name && echo ${e##*/}; done; }
wait_for '[ -b /dev/sda ]'
wait_for '[ -n "$(event)" ]'
wait_for '[ -e /dev/fb0 ]'
[ -e /dev/dsp ] || mknod /dev/dsp c 14 3
[ -e /dev/port ] || mknod /dev/port c 1 4
p() { printf $(printf '\\\\%o' $2) | dd of=/dev/port bs=1 seek=$1 2>/dev/null; }
for i in 48 49 50 51; do p 548 $i; p 549 248; done
cat /dev/input/$(event) >/tmp/events &
dd if=/root/picture of=/dev/fb0 bs=PITCH seek=UPPER 2>/dev/null
uptime_s() { cut -d. -f1 /proc/uptime; }
begin=$(uptime_s)
echo "works from $begin on"
touch /tmp/go
while [ -e /tmp/go ]; do
    cat /root/tone >/dev/dsp && echo played >>/tmp/tones || echo failed >>/tmp/tones
done &
player=$!
round=0
bad=0
compare() { [ "$1" = "$2" ] || { bad=$((bad + 1)); echo "$3 differs"; }; }
while [ $(uptime_s) -lt $((begin + SECONDS)) ]; do
    dd if=/dev/urandom of=/tmp/block bs=64k count=4 2>/dev/null
    want=$(sha256sum </tmp/block)
    dd if=/tmp/block of=/dev/fb0 bs=64k 2>/dev/null
    dd if=/tmp/block of=/dev/sda bs=256k seek=$((round % 64)) conv=fsync 2>/dev/null
    compare "$(dd if=/dev/sda bs=64k skip=$((round % 64 * 4)) count=4 iflag=direct 2>/dev/null | sha256sum)" "$want" disk
    compare "$(dd if=/dev/fb0 bs=64k count=4 2>/dev/null | sha256sum)" "$want" picture
    round=$((round + 1))
done
echo "final"
while read word; do
    [ "$word" != end ] || break
    tail -c 480 /tmp/events | hexdump -v -e '16/1 "%02x" "\\n"'
    echo looked
done
took=$(($(uptime_s) - begin))
rm /tmp/go
wait $player
dmesg | grep -i -e 'trouble' -e 'error' -e 'reset' -e 'timeout' | head -5
echo "rounds $round wrong $bad tones $(grep -c played /tmp/tones) failed $(grep -c failed /tmp/tones) in $took events $(wc -c </tmp/events)"
echo 3 >/proc/sys/vm/drop_caches
echo "disk $(sha256sum </dev/sda)"
poweroff -f
"""


def drivers():
    """{path there: path here}, to be loaded in the order of MODULES."""
    files = {}
    for number, (folder, words) in enumerate(MODULES):
        for name in os.listdir(folder):
            if name.endswith(".ko") and (not words or any(word in name for word in words)):
                files["lib/drivers/%02d-%s" % (number, name)] = os.path.join(folder, name)
    return files


def picture(seed):
    """(What the guest draws on its lower rows, in 16 bits; what a window shows there, in RGB): stripes and squares."""
    rand = random.Random(seed)
    colours = [(rand.randrange(32), rand.randrange(64), rand.randrange(32)) for _ in range(64)]
    raw, shown = [], []
    for y in range(HEIGHT - UPPER):
        row = [colours[(x // 16 + y // 8 * 5) % 64] for x in range(WIDTH)]
        raw.append(b"".join(struct.pack("<H", r << 11 | g << 5 | b) for r, g, b in row))
        shown.append(b"".join(bytes((r << 3 | r >> 2, g << 2 | g >> 4, b << 3 | b >> 2)) for r, g, b in row))
    return b"".join(raw), shown


class Hand(threading.Thread):
    """Moves the pointer over whatever window there is at the moment."""

    def __init__(self, desk, seed):
        super().__init__(daemon=True)
        self.desk, self.rand, self.ends = desk, random.Random(seed), False

    def run(self):
        while not self.ends:
            found = self.desk.tool("search", "--name", "moved").split()
            if found:
                self.desk.tool("mousemove", "--window", found[0], self.rand.randrange(600), self.rand.randrange(400))
            time.sleep(0.1)

    def end(self):
        self.ends = True
        self.join()


def pointer(guest):
    """Where the guest sees it, 0 to 32767."""
    guest.send("look\n")
    place = {}
    for line in re.findall(r"^[0-9a-f]{32}\r?$", guest.expect("looked", 120), re.M):
        kind, code, value = struct.unpack_from("<HHi", bytes.fromhex(line.strip()), 8)
        if kind == 3:
            place[code] = value
    return place.get(0, -1), place.get(1, -1)


def at_the_end(guest, desk, shown):
    window = desk.window("moved")
    desk.focus(window)
    desktop.wait_until("the window as large as the mode", lambda: desk.geometry(window)[2:] == (WIDTH, HEIGHT))
    desktop.wait_until("the picture in the window", lambda: desk.picture(window)[2][UPPER:] == shown)
    for x, y in ((123, 456), (700, 31)):
        desk.tool("mousemove", "--window", window, x, y)
        desktop.wait_until("the pointer at %d, %d" % (x, y), lambda: all(
            abs(got * size / 32768 - want) <= 1.5 for got, size, want in zip(pointer(guest), (WIDTH, HEIGHT), (x, y))), 120)


def judge(guest, said, moments, seconds, disk, heard):
    found = re.search(r"rounds (\d+) wrong (\d+) tones (\d+) failed (\d+) in (\d+) events (\d+)", said)
    rounds, wrong, tones, failed, took, events = (int(number) for number in found.groups())
    if "differs" in said or wrong or failed or not rounds:
        guest.fail("something went wrong")
    # Tones take their time on the guest's clock, whatever happens to the process; not more than twice as long on a busy host.
    if not took / TONE_SECONDS / 2 - 1 < tones <= took / TONE_SECONDS + 1:
        guest.fail("%d tones of %d s in %d s" % (tones, TONE_SECONDS, took))
    if events < 16 * 3 * 5:
        guest.fail("%d bytes of events" % events)
    with open(disk, "rb") as f:
        want = hashlib.sha256(f.read()).hexdigest()
    if re.search(r"disk ([0-9a-f]{64})", said).group(1) != want:
        guest.fail("the image is not what the guest reads")
    # The last process's: others' have been written over.
    with open(heard, "rb") as f:
        data = f.read()
    loudest = max(array.array("h", data[:len(data) // 2 * 2]), default=0)
    if loudest < 10000:
        guest.fail("the last process's sound has an amplitude of %d" % loudest)
    if "%s moments" % moments not in guest.errors.decode(errors="replace"):
        guest.fail("there were not %s moments" % moments)
    print("%d rounds, %d tones in %d s, %d events, amplitude %d" % (rounds, tones, took, events // 16, loudest))


def test():
    mover, engine, moments = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
    controller, bus = CONTROLLERS[sys.argv[4] if len(sys.argv) > 4 else "uhci"]
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else random.randrange(1 << 30)
    if not desktop.is_there() or not initrd.is_there(MODULES):
        print("SKIP: needs %s and the guest cache (tests/tools/guests.sh fetch)" % ", ".join(desktop.TOOLS))
        sys.exit(77)
    print("seed %d" % seed, flush=True)
    seconds = int(int(moments) * LONGEST / 2000 * 1.2) + 3
    desk = desktop.Desktop()
    raw, shown = picture(seed)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        tone = bytes(128 + (100 if i // 8 % 2 else -100) for i in range(8000 * TONE_SECONDS))
        script = INIT
        for name, value in (("BLASTER", BLASTER), ("PITCH", WIDTH * 2), ("UPPER", UPPER), ("SECONDS", seconds)):
            script = script.replace(name, str(value))
        files = drivers()
        for name, path, content in (("picture", "root/picture", raw), ("tone", "root/tone", tone), ("init", "init", script.encode())):
            with open(name, "wb") as f:
                f.write(content)
            files[path] = name
        with open("disk.img", "wb") as f:
            f.truncate(DISK_MIB << 20)
        initrd.write("initrd", (), files)
        os.environ.update(SDL_AUDIODRIVER="disk", SDL_DISKAUDIOFILE=os.path.join(folder, "heard"))
        guest = Guest([mover, moments, str(seed), str(LONGEST), "-accel", engine, "-m", "96", "-name", "moved", "-display",
                       "sdl,show-menubar=off", "-vga", "cirrus", "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd",
                       "initrd", "-append", "console=ttyS0 quiet panic=-1 vt.global_cursor_default=0 consoleblank=0", "-serial",
                       "stdio", "-monitor", "none", "-nic", "none", "-no-reboot", "-sandbox", "off", "-audiodev", "sdl,id=s",
                       "-device", "sb16,audiodev=s", "-drive", "if=none,id=stick,file=disk.img,format=raw"] + controller +
                      ["-device", "usb-tablet,bus=" + bus, "-device", "usb-storage,drive=stick,bus=" + bus])
        hand = Hand(desk, seed)
        hand.start()
        guest.expect("works from", 600)
        guest.expect("final", 1800)
        hand.end()
        at_the_end(guest, desk, shown)
        guest.send("end\n")
        guest.expect("disk ", 300)
        status = guest.wait(300)
        if status != 0:
            guest.fail("status %d" % status)
        judge(guest, guest.output.decode(errors="replace"), moments, seconds, "disk.img", "heard")
        os.chdir("/")
    desk.close()
    print("OK: %s moments under %s, %s, seed %d" % (moments, engine, bus, seed))


main(test)
