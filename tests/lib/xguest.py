"""A guest with an X server: Debian's kernel 686, its X server on a disk made here of the guest cache's x11/root."""
import os
import shutil
import subprocess
import tempfile
import time

import initrd
from guest import Guest

TOP = os.path.join(initrd.CACHE, "x11")
ROOT, DRIVERS = os.path.join(TOP, "root"), os.path.join(TOP, "drivers")
CARDS = ("bochs", "cirrus")  # drivers in the kernel, which the X server's own would find the card taken by

CONFIG = """
Section "ServerFlags"
    Option "AutoAddDevices" "false"
    Option "AutoAddGPU" "false"
    Option "BlankTime" "0"
EndSection
Section "Monitor"
    Identifier "monitor"
    HorizSync 20-130
    VertRefresh 40-100
EndSection
Section "Device"
    Identifier "card"
    Driver "%(driver)s"
    Option "AccelMethod" "%(accel)s"
EndSection
Section "Screen"
    Identifier "screen"
    Device "card"
    Monitor "monitor"
    DefaultDepth %(depth)d
    SubSection "Display"
        Depth %(depth)d
        Modes "%(mode)s"
    EndSubSection
EndSection
Section "InputDevice"
    Identifier "keyboard"
    Driver "evdev"
    Option "Device" "%(keyboard)s"
EndSection
Section "InputDevice"
    Identifier "pointer"
    Driver "evdev"
    Option "Device" "%(pointer)s"
EndSection
Section "ServerLayout"
    Identifier "layout"
    Screen "screen"
    InputDevice "keyboard" "CoreKeyboard"
    InputDevice "pointer" "CorePointer"
EndSection
"""


def is_there():
    return (os.path.exists(os.path.join(TOP, ".complete")) and os.path.exists(os.path.join(DRIVERS, ".complete")) and
            os.path.exists(os.path.join(initrd.CACHE, "initrd.gz")) and bool(shutil.which("mke2fs")))


class XGuest(Guest):
    def __init__(self, command, directory, driver="vesa", mode="1024x768", depth=24, pointer="AT|PS/2|Mouse", kernel=(), programs=(),
                 accel="none", append="", modules=(), libraries=()):
        """Boots and starts the X server. command: the machine's; driver: the X server's, the kernel's are those in kernel;
        accel: its AccelMethod; pointer: words
        that the name of the pointer to use may have; programs: files for /usr/bin; modules: files of more drivers of the kernel;
        libraries: for where the loader finds them."""
        command = command + self.files(directory, kernel, programs, modules, libraries) + ["-append", "console=ttyS0 " + append]
        super().__init__(command + ["-serial", "stdio", "-monitor", "none", "-nic", "none"])
        self.expect("guest# ", 300)
        self.run("for m in /lib/drivers/*; do insmod $m; done; i=0; while [ ! -e /dev/sda ] && [ $i -lt 100 ]; do sleep 0.1; "
                 "i=$((i + 1)); done; mkdir /x && mount -t ext4 /dev/sda /x && mkdir -p /x/dev /x/proc /x/sys /x/tmp /x/bin && "
                 "for d in dev proc sys; do mount --bind /$d /x/$d; done; mount -t tmpfs tmp /x/tmp; cp /bin/busybox /x/bin/sh; "
                 "mkdir -p /x/tmp/.X11-unix /x/var/lib/xkb /x/var/log", 300)
        self.options = dict(driver=driver, mode=mode, depth=depth, accel=accel)
        self.words = pointer

    def start(self, options=""):
        """options: of the X server; "-retro": a pointer is shown at once, not only when a client says which."""
        keyboard, pointer = self.event("AT Translated"), self.event(self.words)
        if not keyboard or not pointer:
            self.fail("no keyboard or pointer: %s" % self.run("cat /sys/class/input/event*/device/name"))
        text = CONFIG % dict(self.options, keyboard=keyboard, pointer=pointer)
        self.run("cat >/x/etc/x.conf <<'EOT'\n%s\nEOT\ntrue" % text.strip())
        self.run("(chroot /x /usr/lib/xorg/Xorg :0 vt7 -config /etc/x.conf -ac -noreset -nolisten tcp -logfile /tmp/x.log "
                 "-extension GLX -s 0 %s >/tmp/x.out 2>&1 </dev/null &)" % options)
        end = time.monotonic() + 300
        while not self.run("chroot /x /usr/bin/xprobe size 2>/dev/null; true").strip():
            if time.monotonic() > end or not self.run("pidof Xorg; true").strip():
                self.fail("X does not start:\n" + self.run("grep -E 'EE|WW' /x/tmp/x.log; tail -n 5 /x/tmp/x.log /tmp/x.out; true"))
            time.sleep(0.5)

    @staticmethod
    def files(directory, kernel, programs, modules, libraries):
        """Makes disk and initrd; options for them."""
        image, disk = os.path.join(directory, "initrd"), os.path.join(directory, "x.img")
        drivers = {"lib/drivers/" + name: os.path.join(DRIVERS, name) for name in sorted(os.listdir(DRIVERS))
                   if name.endswith(".ko") and (name[3:-3] not in CARDS or name[3:-3] in kernel)}
        drivers.update({"lib/drivers/%d-%s" % (90 + n, os.path.basename(path)[3:]): path for n, path in enumerate(modules)})
        initrd.write(image, (), drivers)
        with tempfile.TemporaryDirectory(dir=directory) as top:
            tree = os.path.join(top, "root")
            shutil.copytree(ROOT, tree, symlinks=True)
            for program in programs:
                shutil.copy(program, os.path.join(tree, "usr/bin"))
            for library in libraries:
                shutil.copy(library, os.path.join(tree, "usr/lib/i386-linux-gnu"))
            subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", tree, disk, "64M"], check=True,
                           stdout=subprocess.DEVNULL)
        return ["-m", "256", "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", image, "-drive",
                "file=%s,format=raw,snapshot=on" % disk]

    def event(self, words):
        """The device file of an input whose name has one of words in it."""
        return self.run("for e in /sys/class/input/event*; do grep -qE '%s' $e/device/name && echo /dev/input/${e##*/}; done | "
                        "tail -n 1" % words).strip()

    def x(self, command):
        return self.run("DISPLAY=:0 chroot /x " + command)

    def x_behind(self, command, output="/dev/null"):
        self.run("(DISPLAY=:0 chroot /x %s >%s 2>&1 </dev/null &)" % (command, output))
