#!/usr/bin/env python3
"""Two guests on one cable: by -netdev socket, and by two taps on a bridge in a network namespace of the test's own.

    two.py RINGER ACCEL socket|tap [SECONDS [SIZE]]

Static addresses, ping, ping of link-local IPv6 addresses, iperf3 SECONDS (5) each way, virtio-net with offloads at one end
and an e1000 at the other; what went over the cable is written by filter-dump, and read by the host's tcpdump.
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netguest  # noqa: E402
import netns  # noqa: E402
import servers  # noqa: E402
from guest import main  # noqa: E402

MODELS = ["virtio-net-pci", "e1000"]
MACS = ["52:54:00:12:34:0a", "52:54:00:12:34:0b"]


def ip(*words):
    subprocess.run(["ip"] + list(words), check=True)


def make_bridge():
    """Two taps on a bridge, which has an address, too."""
    if not os.path.exists("/dev/net/tun"):
        netns.skip("this host has no /dev/net/tun")
    netns.enter()
    if subprocess.run(["ip", "tuntap", "add", "tap0", "mode", "tap"], stderr=subprocess.DEVNULL).returncode != 0:
        netns.skip("this host makes no tap devices in a network namespace")
    ip("tuntap", "add", "tap1", "mode", "tap")
    if subprocess.run(["ip", "link", "add", "br0", "type", "bridge"], stderr=subprocess.DEVNULL).returncode != 0:
        netns.skip("this host makes no bridges")
    for tap in ("tap0", "tap1"):
        ip("link", "set", tap, "master", "br0", "up")
    ip("addr", "add", "192.168.77.1/24", "dev", "br0")
    ip("link", "set", "br0", "up")


def netdevs(kind):
    if kind == "tap":
        return ["tap,id=n0,ifname=tap%d,script=no,downscript=no" % n for n in (0, 1)]
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % s.getsockname()[1]
    return ["socket,id=n0,listen=" + address, "socket,id=n0,connect=" + address]


def want(guest, what, text, out):
    if text not in out:
        guest.fail("%s: no '%s' in: %s" % (what, text, out))


def iperf(here, there, address, seconds):
    """there sends to here; bits in a second as here has received them."""
    here.run("iperf3 -s -1 -D -I /tmp/iperf.pid > /dev/null; sleep 1")
    out = there.run("iperf3 -c %s -t %d -J > /tmp/out; rc=$?; cat /tmp/out | tr -d '\\n\\t'; test $rc = 0" %
                    (address, seconds), seconds + 600)
    # What the serial line's terminal made of it is between the outermost braces.
    report = json.loads(out[out.index("{"):out.rindex("}") + 1])
    if "error" in report:
        there.fail("iperf3: %s" % report["error"])
    return report["end"]["sum_received"]["bits_per_second"]


def counters(guest):
    return guest.run("cd /sys/class/net/eth0/statistics; for i in *errors; do echo $i $(cat $i); done; "
                     "grep -E '^(Ip|Tcp|Udp):' /proc/net/snmp; cd /")


def check_counters(guest):
    out = counters(guest)
    for name, value in re.findall(r"(\w+_errors) (\d+)", out):
        if value != "0":
            guest.fail("%s: %s" % (name, value))
    lines = [line.split() for line in out.splitlines()]
    for names, values in zip(lines, lines[1:]):
        if names and values and names[0] == values[0] and "InErrs" in names:  # TCP segments with wrong checksums
            errors = dict(zip(names, values))
            if errors["InErrs"] != "0" or errors.get("InCsumErrors", "0") != "0":
                guest.fail("TCP: %s" % errors)


def check_dump(path):
    """As tcpdump sees it, whole frames only are in it. Its checksums are the guest's business: offloads leave them open."""
    if subprocess.run(["tcpdump", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        print("tcpdump is not installed: the dump was not read")
        return
    done = subprocess.run(["tcpdump", "-nner", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    bad = [line for line in lines if re.search(r"malformed|truncated|\[\||bad-len|invalid|bad length", line)]
    if done.returncode != 0 or bad or len(lines) < 20:
        raise SystemExit("FAIL: tcpdump: status %d, %d frames, e.g. %s\n%s" % (done.returncode, len(lines), bad[:3],
                                                                               done.stderr))
    for what in ("ARP", "ICMP echo request", "ICMP6, echo reply", "Flags [S]"):
        if what not in done.stdout:
            raise SystemExit("FAIL: tcpdump: no '%s' in the dump" % what)
    print("tcpdump: %d frames" % len(lines))


def start(ringer, accel, netdev, number, image, dump):
    guest = netguest.boot(ringer, image, ["-accel", accel, "-netdev", netdev, "-device", "%s,netdev=n0,mac=%s" % (
        MODELS[number], MACS[number]), "-object", "filter-dump,id=d0,netdev=n0," + dump])
    netguest.load(guest, MODELS[number])
    guest.run("ip addr add 192.168.77.%d/24 dev eth0" % (10 + number))
    return guest


def test():
    ringer, accel, kind = sys.argv[1:4]
    seconds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    if kind == "tap":
        make_bridge()
    temporary = tempfile.TemporaryDirectory()
    folder = temporary.name
    image = os.path.join(folder, "initrd")
    netguest.write_initrd(image)
    # Whole frames, as long as that is not too much.
    dumps = [os.path.join(folder, "dump%d.pcap" % n) for n in (0, 1)]
    length = 65536 if seconds <= 10 else 256
    guests = [start(ringer, accel, netdev, n, image, "file=%s,maxlen=%d" % (dumps[n], length)) for n, netdev in enumerate(netdevs(kind))]
    one, two = guests
    want(one, "ping", "3 packets received", one.run("ping -c 3 -i 0.2 -W 20 192.168.77.11"))
    want(two, "ping", "2 packets received", two.run("ping -c 2 -i 0.2 -W 20 -s 1472 192.168.77.10"))
    if kind == "tap":
        want(one, "ping of the host", "2 packets received", one.run("ping -c 2 -i 0.2 -W 20 192.168.77.1"))
        http = servers.start_http(address="192.168.77.1")
        for guest in guests:
            want(guest, "HTTP from the host", servers.data_md5(20),
                 guest.run("wget -q -O - http://192.168.77.1:%d/20 | md5sum" % http.server_port, 600))
    other = two.run("ip -6 addr show dev eth0 scope link | grep -o 'fe80[^/]*'").split()[-1]
    # Duplicate address detection may still be under way.
    want(one, "link-local IPv6", "2 packets received",
         one.run("ping6 -c 1 -W 5 -I eth0 %s > /dev/null; ping6 -c 2 -i 0.2 -W 20 -I eth0 %s" % (other, other)))
    for sender, receiver, address in ((one, two, "192.168.77.11"), (two, one, "192.168.77.10")):
        rate = iperf(receiver, sender, address, seconds)
        print("%s to %s: %.0f Mbit/s" % (MODELS[guests.index(sender)], MODELS[guests.index(receiver)], rate / 1e6),
              flush=True)
    for guest in guests:
        check_counters(guest)
        guest.send("poweroff -f\n")
        if guest.wait(300) != 0:
            guest.fail("poweroff ended with another status")
    for dump in dumps:
        check_dump(dump)
        os.unlink(dump)
    print("OK: %s, %s under %s" % (kind, " and ".join(MODELS), accel))


if __name__ == "__main__":
    if not netguest.have_guest():
        netns.skip("the guest cache lacks network drivers; fetch guests with tests/tools/guests.sh")
    main(test)
