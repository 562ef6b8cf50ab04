#!/usr/bin/env python3
"""What an idle Debian guest takes of a CPU, with a network card and without, beside QEMU's TCG, and beside a program that
does nothing but wake up as often.

    idle.py RINGER [QEMU] [--rounds N] [--seconds S]

QEMU: by default the newest (tests/tools/rival.sh). Debian's kernel ticks 250 times a second when idle, too. Counted are
all threads of the monitor and the processes behind its network. The last row is the host's own price for the wake-ups:
a C program that sleeps 4 ms again and again.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import netguest  # noqa: E402
import rival  # noqa: E402
from guest import main  # noqa: E402

SLEEPER = r"""
#include <sys/prctl.h>
#include <time.h>
int main(void)
{
    struct timespec at;
    prctl(PR_SET_TIMERSLACK, 1);
    clock_gettime(CLOCK_MONOTONIC, &at);
    for (;;) {
        at.tv_nsec += 4000000;
        if (at.tv_nsec >= 1000000000) {
            at.tv_nsec -= 1000000000;
            at.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0);
    }
}
"""
SETTLE = 3  # what a guest still does after its last command


def family(pid):
    """pid and its children, as QEMU and Ringer have them."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [str(pid)] + children


def cpu_ns(pid):
    """Of all threads: /proc/PID/task/TID/schedstat counts nanoseconds, not ticks."""
    total = 0
    for process in family(pid):
        for thread in os.listdir("/proc/%s/task" % process):
            with open("/proc/%s/task/%s/schedstat" % (process, thread)) as f:
                total += int(f.read().split()[0])
    return total


def share(pid, seconds):
    time.sleep(SETTLE)
    before, began = cpu_ns(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_ns(pid) - before) / (time.monotonic() - began) / 1e7


def guest_share(program, options, image, seconds, with_network):
    card = ["-netdev", "user,id=n0", "-device", "e1000,netdev=n0"] if with_network else ["-nic", "none"]
    guest = netguest.boot(program, image, options + card)
    if with_network:
        netguest.load(guest, "e1000")
        netguest.lease(guest)
    result = share(guest.process.pid, seconds)
    guest.kill()
    return result


def sleeper_share(folder, seconds):
    program = os.path.join(folder, "sleeper")
    subprocess.run(["cc", "-O2", "-x", "c", "-o", program, "-"], input=SLEEPER, text=True, check=True)
    process = subprocess.Popen([program])
    result = share(process.pid, seconds)
    process.kill()
    process.wait()
    return result


def bench():
    parser = argparse.ArgumentParser()
    parser.add_argument("ringer")
    parser.add_argument("qemu", nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    args = parser.parse_args()
    qemu = args.qemu or rival.newest()
    folder = tempfile.mkdtemp()
    image = os.path.join(folder, "initrd")
    netguest.write_initrd(image)
    tcg = ["-accel", "tcg", "-vga", "none"]
    rows = [("ringer, e1000", lambda: guest_share(args.ringer, [], image, args.seconds, True)),
            ("ringer, no network", lambda: guest_share(args.ringer, [], image, args.seconds, False)),
            ("qemu, e1000", lambda: guest_share(qemu, tcg, image, args.seconds, True)),
            ("sleeping 250 times a second", lambda: sleeper_share(folder, args.seconds))]
    shares = {name: [] for name, _ in rows}
    for _ in range(args.rounds):
        for name, take in rows:
            shares[name].append(take())
    for name, _ in rows:
        print("%-28s %5.2f %% of a CPU" % (name, statistics.median(shares[name])))
    subprocess.run(["rm", "-rf", folder])


if __name__ == "__main__":
    main(bench)
