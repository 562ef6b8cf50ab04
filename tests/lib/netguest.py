"""A Debian kernel with busybox, drivers of all network cards, an SSH server and iperf3."""
import os

import initrd
from guest import Guest

DRIVERS = {
    "e1000": ["e1000"],
    "pcnet": ["mii", "pcnet32"],
    "rtl8139": ["mii", "8139cp", "8139too"],
    "ne2k_pci": ["8390", "ne2k-pci"],
    "ne2k_isa": ["8390p", "ne"],
    "virtio-net-pci": ["virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
                       "failover", "net_failover", "virtio_net"],
}
MODULE_OPTIONS = {"ne": "io=0x300 irq=10"}

LEASE = """#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev $interface scope global
ip addr add $ip/$mask dev $interface
ip route add default via $router
echo nameserver $dns > /etc/resolv.conf
echo "lease $ip $router $dns"
"""


def write_initrd(destination, more=None, tools=True):
    """more: {path there: path here}; tools: the SSH server and iperf3."""
    files = {}
    for modules in (initrd.NETWORK, initrd.VIRTIO):
        for name in os.listdir(modules):
            if name.endswith(".ko"):
                files["lib/net/" + name.split("-", 1)[1]] = os.path.join(modules, name)
    files.update(initrd.tree(initrd.NET_TOOLS) if tools else {})
    lease = destination + ".lease"
    with open(lease, "w") as f:
        f.write(LEASE)
    passwd = destination + ".passwd"
    with open(passwd, "w") as f:
        f.write("root::0:0:root:/root:/bin/sh\n")
    files["etc/lease"] = lease
    files["etc/passwd"] = passwd
    files.update(more or {})
    initrd.write(destination, (), files)
    os.unlink(lease)
    os.unlink(passwd)


def have_guest():
    return all(os.path.exists(os.path.join(initrd.CACHE, name))
               for name in ("vmlinuz-686", "initrd.gz", "net-686/.complete", "net-tools/.complete",
                            "virtio-686/.complete"))


def boot(ringer, image, options, log=None, append=""):
    """To the shell."""
    log = log or (os.environ.get("GUEST_LOG") and open(os.environ["GUEST_LOG"], "wb", 0))
    guest = Guest([ringer, "-m", "256", "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", image,
                   "-append", "console=ttyS0 panic=-1 " + append, "-nographic", "-no-reboot"] + options, log=log)
    guest.expect("shell ready", 1800)
    guest.expect("guest# ", 300)
    return guest


def load(guest, model, options=""):
    """Loads the card's driver, with options of its, and switches the card on."""
    for module in DRIVERS[model]:
        guest.run("[ -d /sys/module/%s ] || insmod /lib/net/%s.ko %s %s" % (
            module.replace("-", "_"), module, MODULE_OPTIONS.get(module, ""), options), 300)
    guest.run("ip link set lo up; ip link set eth0 up", 300)
    # IPv6 addresses are used at once, not after the time in which somebody could object.
    guest.run("for i in 1 2 3 4 5 6 7 8 9 10; do grep -q 1 /sys/class/net/eth0/carrier && break; sleep 0.3; done", 300)


def lease(guest):
    """DHCP; (address, router, name server)."""
    out = guest.run("udhcpc -i eth0 -n -q -t 10 -s /etc/lease", 600)
    words = [line.split()[1:] for line in out.splitlines() if line.startswith("lease ")]
    if not words:
        guest.fail("no lease: %s" % out)
    return words[-1]
