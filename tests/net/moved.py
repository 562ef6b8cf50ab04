#!/usr/bin/env python3
"""A guest with an open TCP connection is moved from process to process at random moments: the connection goes on.

    moved.py RINGER MOVER MODEL MOMENTS [SEED]

The moved guest and another one are joined by a Unix socket (-netdev stream). For as long as it takes, each sends numbered
blocks to the other over one connection, and both check what they get by its checksum.
"""
import hashlib
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import initrd  # noqa: E402
import netguest  # noqa: E402
import netns  # noqa: E402
from guest import Guest, main  # noqa: E402

LONGEST = 400  # milliseconds between two moments

# Both ends: as many blocks as the kernel's command line says, a few times a second.
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
dmesg -n 1
eval $(tr ' ' '\\n' < /proc/cmdline | grep '^T_')
for m in $(echo $T_DRIVERS | tr , ' '); do insmod /lib/net/$m.ko; done
ip link set lo up; ip addr add 192.168.9.$T_OWN/24 dev eth0; ip link set eth0 up
talk() {
    i=0
    while [ $i -lt $T_BLOCKS ]; do
        echo "$T_OWN $i"; cat /block; usleep 40000; i=$((i + 1))
    done
    until [ -s /tmp/sum ]; do usleep 100000; done # nc goes when it reads an end
    sleep 8
}
if [ $T_OWN = 1 ]; then
    echo listening > /dev/ttyS0
    talk | nc -l -p 7000 | head -c $T_BYTES | md5sum > /tmp/sum
else
    until ping -c 1 -W 1 192.168.9.1 > /dev/null 2>&1; do :; done
    echo "connected at $(cut -d ' ' -f 1 /proc/uptime)" > /dev/ttyS0
    talk | nc 192.168.9.1 7000 | head -c $T_BYTES | md5sum > /tmp/sum
fi
echo "sum $(cat /tmp/sum)" > /dev/ttyS0
sleep 9 # what the other has not got yet is sent again
poweroff -f
"""


def said_by(own, blocks, block):
    return b"".join(b"%d %d\n" % (own, number) + block for number in range(blocks))


def test():
    ringer, mover, model, moments = sys.argv[1:5]
    seed = int(sys.argv[5]) if len(sys.argv) > 5 else random.randrange(1 << 30)
    # Moved for all of the connection's life, and before: on average half of LONGEST between moments.
    blocks = int(int(moments) * LONGEST / 2 / 40 * 1.3)
    folder = tempfile.mkdtemp()
    block = bytes(random.Random(seed).randrange(256) for _ in range(20000))
    for name, content in (("block", block), ("init", INIT.encode())):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(content)
    image = os.path.join(folder, "initrd")
    netguest.write_initrd(image, {"block": os.path.join(folder, "block"), "init": os.path.join(folder, "init")},
                          tools=False)
    drivers = ",".join(netguest.DRIVERS[model])

    def options(own, net):
        return ["-m", "96", "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", image, "-append",
                "console=tty0 panic=-1 T_OWN=%d T_BLOCKS=%d T_BYTES=%d T_DRIVERS=%s" % (
                    own, blocks, len(said_by(own, blocks, block)), drivers), "-display", "none",
                "-serial", "stdio", "-no-reboot", "-netdev", net, "-device",
                "%s,netdev=n0,mac=52:54:00:00:00:%02x" % (model, own)]

    where = "addr.type=unix,addr.path=" + os.path.join(folder, "cable")
    first = Guest([ringer] + options(1, "stream,id=n0,server=on," + where))
    first.expect("listening", 600)
    second = Guest([mover, moments, str(seed), str(LONGEST)] + options(2, "stream,id=n0," + where) +
                   ["-sandbox", "off"])
    second.expect("connected", 600)
    for guest, other in ((second, 1), (first, 2)):
        guest.expect("sum ", 1200)
        got = guest.expect("  -", 60)
        if got != hashlib.md5(said_by(other, blocks, block)).hexdigest():
            guest.fail("seed %d: what %d sent came as %s" % (seed, other, got))
    status = second.wait(120)
    first.wait(120)
    said = second.errors.decode(errors="replace")
    if status != 0 or "%s moments" % moments not in said:
        second.fail("seed %d: status %d, %s" % (seed, status, said))
    print("OK: %s, %s moments, %d blocks each way, seed %d" % (model, moments, blocks, seed))


if __name__ == "__main__":
    if not netguest.have_guest():
        netns.skip("the guest cache lacks network drivers; fetch guests with tests/tools/guests.sh")
    main(test)
