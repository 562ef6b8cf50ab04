#!/usr/bin/env python3
"""iPXE's own CD gets an address by DHCP and runs a script that it loads over HTTP, whose address user networking's
bootfile= gives it; the script asks for another, and writes on the screen what it has got.

    ipxe.py RINGER ACCEL MODEL...

Status 77, a skip, where the CD is missing.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netns  # noqa: E402
import servers  # noqa: E402
from guest import main  # noqa: E402
from initrd import CACHE  # noqa: E402
from screen import Screen  # noqa: E402

CD = os.path.join(CACHE, "ipxe.iso")
FIRST = """#!ipxe
echo first script for ${net0/mac}
chain http://10.0.2.2:%d/second.ipxe || shell
"""
SECOND = """#!ipxe
set answer 6x7
echo address=${net0/ip} gateway=${net0/gateway} answer=${answer}
sleep 3600
"""


def boot(ringer, accel, model):
    http = servers.start_http({"/second.ipxe": SECOND})
    http.texts["/first.ipxe"] = FIRST % http.server_port
    screen = Screen([ringer, "-accel", accel, "-display", "none", "-serial", "none", "-cdrom", CD, "-boot", "d", "-netdev",
                     "user,id=n0,bootfile=http://10.0.2.2:%d/first.ipxe" % http.server_port, "-device",
                     "%s,netdev=n0,mac=52:54:00:77:88:99" % model])
    screen.expect("iPXE initialising devices", timeout=120)
    screen.expect("address=10.0.2.15 gateway=10.0.2.2 answer=6x7", timeout=900)
    if "first script for 52:54:00:77:88:99" not in screen.text():
        screen.fail("the first script did not write")
    if http.asked != ["/first.ipxe", "/second.ipxe"]:
        screen.fail("the server was asked for %s" % http.asked)
    screen.command("quit")
    screen.wait()


def test():
    netns.enter()
    for model in sys.argv[3:]:
        boot(os.path.abspath(sys.argv[1]), sys.argv[2], model)
        print("OK: %s" % model, flush=True)


if __name__ == "__main__":
    if not os.path.exists(CD):
        netns.skip("%s is not there; fill the cache with tests/tools/guests.sh fetch" % CD)
    main(test)
