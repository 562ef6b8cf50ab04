#!/usr/bin/env python3
"""Debian's kernel on user networking, with one model of card: DHCP, ping, IPv6, names, HTTP, SSH.

    network.py RINGER ACCEL MODEL [MEGABYTES]

In a network namespace of its own: the guest's peers are this program and the host's ssh on its loopback device.
"""
import os
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netguest  # noqa: E402
import netns  # noqa: E402
import servers  # noqa: E402
from guest import main  # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def want(guest, what, text, out):
    if text not in out:
        guest.fail("%s: no '%s' in: %s" % (what, text, out))


class Ssh:
    """The host's ssh to the guest's dropbear."""

    def __init__(self, folder, port):
        self.key = os.path.join(folder, "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self.command = ["ssh", "-F", "none", "-i", self.key, "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o",
                        "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o",
                        "ConnectTimeout=120", "root@127.0.0.1"]

    def start(self, command, **more):
        return subprocess.Popen(self.command + [command], stdout=subprocess.PIPE, **more)


def test():
    ringer, accel, model = sys.argv[1:4]
    size = int(sys.argv[4]) if len(sys.argv) > 4 else 200
    slow = accel == "interp"
    netns.enter()
    temporary = tempfile.TemporaryDirectory()
    folder = temporary.name
    port = free_port()
    ssh = Ssh(folder, port)
    image = os.path.join(folder, "initrd")
    netguest.write_initrd(image, {"root/.ssh/authorized_keys": ssh.key + ".pub"})
    http = servers.start_http()
    servers.start_dns({"somewhere.example": "192.0.2.77"})
    card = ["-device", "%s,netdev=n0" % model] if model != "ne2k_isa" else ["-device", "ne2k_isa,netdev=n0,irq=10"]
    guest = netguest.boot(ringer, image, ["-accel", accel, "-netdev",
                                          "user,id=n0,hostfwd=tcp:127.0.0.1:%d-:22" % port] + card)
    netguest.load(guest, model)
    if netguest.lease(guest) != ["10.0.2.15", "10.0.2.2", "10.0.2.3"]:
        guest.fail("an unexpected lease")
    want(guest, "the card's address", "52:54:00:12:34:56", guest.run("cat /sys/class/net/eth0/address"))
    want(guest, "ping", "3 packets received", guest.run("ping -c 3 -i 0.2 -W 20 10.0.2.2", 300))
    want(guest, "longest frames", "2 packets received", guest.run("ping -c 2 -i 0.2 -W 20 -s 1472 10.0.2.2", 300))
    want(guest, "name", "192.0.2.77", guest.run("nslookup somewhere.example", 300))
    want(guest, "name that is none", "NXDOMAIN", guest.run("nslookup nowhere.example || true", 300))
    want(guest, "IPv6 address", "fec0::", guest.run(
        "for i in $(seq 50); do ip -6 addr show dev eth0 | grep -q 'fec0.*dynamic' && break; sleep 0.3; done; "
        "ip -6 addr show dev eth0", 300))
    want(guest, "IPv6", "2 packets received", guest.run("ping6 -c 2 -i 0.2 -W 20 fec0::2", 300))
    url = "http://10.0.2.2:%d/%d" % (http.server_port, size)
    want(guest, "HTTP", servers.data_md5(size), guest.run("wget -q -O - %s | md5sum" % url, 3000))

    # SSH, and both directions at once: what the guest's cat gets it sends back, while it downloads.
    guest.run("mkdir -p /etc/dropbear /var/log /var/run; dropbear -R -p 22", 600)
    both = 1 if slow else max(4, size // 10)
    echo = ssh.start("cat", stdin=subprocess.PIPE)
    data = b"".join(servers.block(number) for number in range(both))
    guest.send("wget -q -O - http://10.0.2.2:%d/%d | md5sum > /tmp/sum; echo loa''ded\n" % (http.server_port, both))
    back, _ = echo.communicate(data, timeout=3000)
    if echo.returncode != 0 or back != data:
        guest.fail("ssh: status %d, %d bytes back of %d" % (echo.returncode, len(back), len(data)))
    guest.expect("loaded", 3000)
    guest.expect("guest# ")
    want(guest, "HTTP while SSH", servers.data_md5(both), guest.run("cat /tmp/sum"))
    errors = guest.run("cd /sys/class/net/eth0/statistics; echo =$(cat rx_errors),$(cat tx_errors)=").split("=")[1].split(",")
    # Where a busy host lets the guest sleep for long, a PCnet misses frames, as the real one, and its driver counts those.
    if int(errors[0]) > (10 if model == "pcnet" else 0) or errors[1] != "0":
        guest.fail("errors, received and sent: %s" % errors)
    guest.send("poweroff -f\n")
    if guest.wait(300) != 0:
        guest.fail("poweroff ended with another status")
    print("OK: %s under %s, %d MB" % (model, accel, size))


if __name__ == "__main__":
    if not netguest.have_guest():
        netns.skip("the guest cache lacks network drivers; fetch guests with tests/tools/guests.sh")
    main(test)
