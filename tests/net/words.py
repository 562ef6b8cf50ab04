#!/usr/bin/env python3
"""Networks in all the words that QEMU's users have for them, and the monitor's, as a guest and the host see them.

    words.py RINGER ACCEL CASE...

Cases: default nic-user redir hub device links forwards netdevs shapes.
"""
import os
import re
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netguest  # noqa: E402
import netns  # noqa: E402
from guest import main  # noqa: E402
from monitor import Hmp  # noqa: E402
from screen import Screen  # noqa: E402

FOLDER = tempfile.TemporaryDirectory()
IMAGE = os.path.join(FOLDER.name, "initrd")
RINGER, ACCEL = os.path.abspath(sys.argv[1]), sys.argv[2]


def want(guest, what, text, out):
    if text not in out:
        guest.fail("%s: no '%s' in: %s" % (what, text, out))


def start(*options):
    """A guest with a monitor."""
    path = os.path.join(FOLDER.name, "monitor")
    guest = netguest.boot(RINGER, IMAGE, ["-accel", ACCEL, "-monitor", "unix:%s,server=on,wait=off" % path] + list(options))
    guest.monitor = Hmp(path)
    return guest


def end(guest):
    guest.monitor.close()
    guest.send("poweroff -f\n")
    if guest.wait(300) != 0:
        guest.fail("poweroff ended with another status")


def lease(guest, card="eth0"):
    """(address, file to boot) by DHCP; the address is the card's from then on."""
    guest.run("printf '#!/bin/sh\\n[ $1 = bound ] || exit 0\\nip addr add $ip/$mask dev $interface\\n"
              "echo =got $ip,$boot_file=\\n' > /tmp/lease; chmod +x /tmp/lease")
    out = guest.run("udhcpc -i %s -n -q -t 10 -s /tmp/lease" % card, 600)
    got = re.search(r"=got ([\d.]+),([^=]*)=", out)
    if not got:
        guest.fail("no lease on %s: %s" % (card, out))
    return got.groups()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serve(guest, port, text):
    guest.run("while :; do nc -l -p %d -e echo %s; done > /dev/null 2>&1 < /dev/null & true" % (port, text))


def ask(port):
    """What a port of the host's says; None: nobody listens there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
                data = b""
                while part := s.recv(100):
                    data += part
        except ConnectionRefusedError:
            return None
        except OSError:
            data = b""
        if data:  # else nc was between two clients
            return data.decode().strip()
        time.sleep(0.3)
    return ""


def expect_answer(guest, port, wanted):
    got = ask(port)
    if got != wanted:
        guest.fail("port %d of the host says %r, not %r" % (port, got, wanted))


def default():
    """Who says nothing has a card and a network."""
    guest = start()
    netguest.load(guest, "e1000")
    want(guest, "address", "52:54:00:12:34:56", guest.run("cat /sys/class/net/eth0/address"))
    if lease(guest)[0] != "10.0.2.15":
        guest.fail("an unexpected lease")
    want(guest, "ping", "2 packets received", guest.run("ping -c 2 -i 0.2 -W 20 10.0.2.2"))
    end(guest)


def nic_user():
    """-nic user with all that is a network's, or the card's."""
    port = free_port()
    guest = start("-nic", "user,model=virtio,mac=52:54:00:aa:bb:cc,net=192.168.9.0/24,dhcpstart=192.168.9.40,"
                  "hostfwd=tcp:127.0.0.1:%d-:7" % port)
    netguest.load(guest, "virtio-net-pci")
    want(guest, "address", "52:54:00:aa:bb:cc", guest.run("cat /sys/class/net/eth0/address"))
    if lease(guest)[0] != "192.168.9.40":
        guest.fail("an unexpected lease")
    # hostfwd= without an address is the first one that DHCP gives.
    serve(guest, 7, "from-nic")
    expect_answer(guest, port, "from-nic")
    end(guest)


def redir():
    """-net nic -net user with -redir, -tftp and -bootp."""
    with open(os.path.join(FOLDER.name, "hello.txt"), "w") as f:
        f.write("over TFTP\n" * 1000)
    port = free_port()
    guest = start("-net", "nic,model=pcnet,macaddr=52:54:00:01:02:03", "-net", "user", "-redir", "tcp:%d::23" % port, "-tftp",
                  FOLDER.name, "-bootp", "/hello.txt")
    netguest.load(guest, "pcnet")
    want(guest, "address", "52:54:00:01:02:03", guest.run("cat /sys/class/net/eth0/address"))
    if lease(guest) != ("10.0.2.15", "/hello.txt"):
        guest.fail("an unexpected lease")
    want(guest, "TFTP", "10000 /tmp/hello.txt", guest.run(
        "cd /tmp; tftp -g -r hello.txt -l hello.txt 10.0.2.2; wc -c /tmp/hello.txt; cd /", 300))
    serve(guest, 23, "from-redir")
    expect_answer(guest, port, "from-redir")
    end(guest)


def hub():
    """Two cards and a network on one hub: both get leases, and hear each other."""
    guest = start("-net", "nic,model=e1000", "-net", "nic,model=rtl8139,macaddr=52:54:00:01:02:03", "-net", "user")
    out = guest.monitor.command("info network")
    for line in ("hub 0\n", "e1000/0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:5",
                 "rtl8139/0: index=0,type=nic,model=rtl8139,macaddr=52:54:00:01:02:03",
                 ": index=0,type=user,net=10.0.2.0,restrict=off"):
        want(guest, "info network", line, out)
    netguest.load(guest, "e1000")
    netguest.load(guest, "rtl8139")
    guest.run("ip link set eth1 up")
    if [lease(guest, "eth0")[0], lease(guest, "eth1")[0]] != ["10.0.2.15", "10.0.2.16"]:
        guest.fail("unexpected leases: %s" % guest.run("ip addr"))
    for card in ("eth0", "eth1"):
        want(guest, "ping by " + card, "2 packets received", guest.run("ping -c 2 -i 0.2 -W 20 -I %s 10.0.2.2" % card))
    # They hear each other: the second goes to a network namespace of its own in the guest.
    guest.run("ip addr flush dev eth0; ip addr add 10.9.0.1/24 dev eth0; unshare -n sleep 10000 & sleep 1; "
              "echo $! > /tmp/other; ip link set eth1 netns $(cat /tmp/other)")
    guest.run("nsenter -t $(cat /tmp/other) -n sh -c 'ip link set eth1 up; ip addr add 10.9.0.2/24 dev eth1'")
    want(guest, "ping over the hub", "2 packets received", guest.run("ping -c 2 -i 0.2 -W 20 10.9.0.2"))
    end(guest)


def device():
    """-device with netdev=, and none of another's defaults: what -netdev names is all there is."""
    guest = start("-netdev", "user,id=n0", "-device", "e1000,netdev=n0,mac=52:54:00:0a:0b:0c,id=card,addr=9")
    netguest.load(guest, "e1000")
    want(guest, "cards", "eth0\nlo\n", guest.run("ls -1 /sys/class/net"))
    want(guest, "slot", "0000:00:09.0", guest.run("readlink -f /sys/class/net/eth0/device"))
    want(guest, "info network", "card: index=0,type=nic,model=e1000,macaddr=52:54:00:0a:0b:0c\n"
         " \\ n0: index=0,type=user,net=10.0.2.0,restrict=off", guest.monitor.command("info network"))
    if lease(guest)[0] != "10.0.2.15":
        guest.fail("an unexpected lease")
    end(guest)


def links():
    """set_link, by the card's name and its network's, and what the guest's drivers think of it."""
    models = ["e1000", "pcnet", "rtl8139", "virtio-net-pci"]
    options = []
    for n, model in enumerate(models):
        options += ["-netdev", "user,id=n%d" % n, "-device", "%s,netdev=n%d,id=card%d,mac=52:54:00:00:00:0%d" %
                    (model, n, n, n)]
    guest = start(*options)
    for model in models:
        netguest.load(guest, model)
    names = {}
    for n in range(len(models)):
        names[n] = guest.run("basename $(dirname $(grep -l 52:54:00:00:00:0%d /sys/class/net/*/address))" % n).split()[-1]
        guest.run("ip link set %s up" % names[n])

    def carrier(n, wanted):
        """Drivers look every few seconds."""
        guest.run("n=0; while [ $(cat /sys/class/net/%s/carrier) != %d ] && [ $n -lt 100 ]; do sleep 0.3; n=$((n+1)); done; "
                  "[ $(cat /sys/class/net/%s/carrier) = %d ]" % (names[n], wanted, names[n], wanted), 600)

    for n in range(len(models)):
        carrier(n, 1)
        for name in ("card%d" % n, "n%d" % n):
            if guest.monitor.command("set_link %s off" % name).strip():
                guest.fail("set_link off")
            carrier(n, 0)
            want(guest, "info network", "link=down", guest.monitor.command("info network"))
            guest.monitor.command("set_link %s on" % name)
            carrier(n, 1)
        address = lease(guest, names[n])[0]
        if address != "10.0.2.15":
            guest.fail("an unexpected lease: %s" % address)
        guest.run("ip addr flush dev %s" % names[n])
        print("OK: link of %s" % models[n], flush=True)
    want(guest, "set_link of nothing", "Device 'nothing' not found", guest.monitor.command("set_link nothing off"))
    end(guest)


def forwards():
    """hostfwd_add and hostfwd_remove while the guest runs."""
    first, second = free_port(), free_port()
    guest = start("-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:%d-:7" % first, "-device", "virtio-net-pci,netdev=n0")
    netguest.load(guest, "virtio-net-pci")
    lease(guest)
    serve(guest, 7, "seven")
    serve(guest, 8, "eight")
    expect_answer(guest, first, "seven")
    expect_answer(guest, second, None)
    for words in ("", "n0 "):
        answer = guest.monitor.command("hostfwd_add %stcp:127.0.0.1:%d-10.0.2.15:8" % (words, second))
        if answer.strip():
            guest.fail("hostfwd_add: %s" % answer)
        expect_answer(guest, second, "eight")
        if not re.search(r"TCP\[HOST_FORWARD\] +\d+ +127\.0\.0\.1 +%d +10\.0\.2\.15 +8 +0 +0\n" % second,
                         guest.monitor.command("info usernet")):
            guest.fail("info usernet: %s" % guest.monitor.command("info usernet"))
        want(guest, "hostfwd_remove", "host forwarding rule for tcp:127.0.0.1:%d removed" % second,
             guest.monitor.command("hostfwd_remove %stcp:127.0.0.1:%d" % (words, second)))
        expect_answer(guest, second, None)
    want(guest, "hostfwd_remove", "not found", guest.monitor.command("hostfwd_remove tcp:127.0.0.1:%d" % second))
    want(guest, "hostfwd_add", "nonsense", guest.monitor.command("hostfwd_add n0 nonsense"))
    want(guest, "hostfwd_add", "nowhere", guest.monitor.command("hostfwd_add nowhere tcp::1-:1"))
    expect_answer(guest, first, "seven")
    end(guest)


def netdevs():
    """netdev_add and netdev_del, behind the fence."""
    guest = start("-netdev", "user,id=n0", "-device", "e1000,netdev=n0")
    if guest.monitor.command("netdev_add user,id=n1,net=10.7.0.0/24").strip():
        guest.fail("netdev_add")
    want(guest, "info network", "\nn1: index=0,type=user,net=10.7.0.0,restrict=off", guest.monitor.command("info network"))
    want(guest, "netdev_add twice", "Duplicate ID 'n1'", guest.monitor.command("netdev_add user,id=n1"))
    want(guest, "netdev_add nonsense", "pigeon", guest.monitor.command("netdev_add pigeon,id=n2"))
    port = free_port()
    if guest.monitor.command("hostfwd_add n1 tcp:127.0.0.1:%d-:1" % port).strip():
        guest.fail("hostfwd_add on the new one")
    if guest.monitor.command("netdev_del n1").strip():
        guest.fail("netdev_del")
    want(guest, "netdev_del twice", "Device 'n1' not found", guest.monitor.command("netdev_del n1"))
    if "n1" in guest.monitor.command("info network"):
        guest.fail("n1 is still there")
    expect_answer(guest, port, None)
    netguest.load(guest, "e1000")
    lease(guest)
    end(guest)


def shapes():
    """info network and info usernet without a guest: who has no card, and what a frame of the table looks like."""
    def shown(*options):
        screen = Screen([RINGER, "-accel", ACCEL, "-display", "none", "-serial", "none", "-S"] + list(options))
        out = screen.command("info network"), screen.command("info usernet"), screen.command("info pci")
        screen.command("quit")
        screen.wait()
        return out

    def check(what, good, out):
        if not good:
            raise SystemExit("FAIL: %s: %s" % (what, out))

    for words in (("-nic", "none"), ("-net", "none"), ("-nodefaults",)):
        network, usernet, pci = shown(*words)
        check(words, not network.strip() and not usernet.strip() and "Ethernet" not in pci, (network, usernet, pci))
    network, usernet, pci = shown("-net", "nic", "-net", "user")
    check("one of each", len(network.splitlines()) == 2 and "type=nic,model=e1000" in network, network)
    check("a card", "Ethernet controller: PCI device 8086:100e" in pci, pci)
    network, usernet, _ = shown("-netdev", "user,id=n0,hostfwd=udp:127.0.0.1:5023-10.0.2.16:23", "-device", "e1000,netdev=n0")
    check("table", re.fullmatch(r"Hub -1 \(n0\):\n"
                                r"  Protocol\[State\]    FD  Source Address  Port   Dest\. Address  Port RecvQ SendQ\n"
                                r"  UDP\[HOST_FORWARD\] +\d+ +127\.0\.0\.1  5023 +10\.0\.2\.16 +23 +0 +0\n", usernet), usernet)
    network, usernet, _ = shown("-net", "nic", "-net", "nic,model=pcnet", "-net", "user", "-net", "nic,vlan=2,model=rtl8139",
                                "-net", "user,vlan=2")
    check("two networks", network.startswith("hub 0\n") and len(network.splitlines()) == 6, network)
    check("hubs in the table", "Hub 0 (" in usernet and "Hub -1 (" in usernet, usernet)


def test():
    netns.enter()
    netguest.write_initrd(IMAGE)
    cases = {"default": default, "nic-user": nic_user, "redir": redir, "hub": hub, "device": device, "links": links,
             "forwards": forwards, "netdevs": netdevs, "shapes": shapes}
    for name in sys.argv[3:]:
        cases[name]()
        print("OK: %s" % name, flush=True)


if __name__ == "__main__":
    if not netguest.have_guest():
        netns.skip("the guest cache lacks network drivers; fetch guests with tests/tools/guests.sh")
    main(test)
