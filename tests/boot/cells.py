#!/usr/bin/env python3
"""Cells from outside: somebody kills their processes, or the host allows none.

    cells.py RINGER DENY [KILLS]

DENY is the program deny.c: it forbids its child ptrace. A Linux guest (Debian's 686 kernel) computes in user code that
runs directly; KILLS times (default 30) one of the cell's processes is killed. The results must be right and Ringer alive.
"""
import ctypes
import os
import random
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest  # noqa: E402
import initrd  # noqa: E402

KERNEL = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ringer", "vmlinuz-686")
SKIP = 77
WORK = "i=0; while [ $i -lt 6 ]; do busybox head -c 12000000 /dev/zero | busybox sha1sum; i=$((i+1)); done"
TRANSLATES = "user code is translated"  # what Ringer says of a host that allows no cells
SUM = subprocess.run("head -c 12000000 /dev/zero | sha1sum", shell=True, stdout=subprocess.PIPE).stdout.decode().split()[0]


def start(prefix, ringer, engine, folder):
    image = os.path.join(folder, "initrd")
    initrd.write(image, [])
    return Guest(prefix + [ringer, "-accel", engine, "-m", "128", "-kernel", KERNEL, "-initrd", image, "-append",
                           "console=ttyS0 panic=-1", "-nographic", "-no-reboot"])


def is_cell(pid):
    """Not the process that makes connections, which is the program itself."""
    try:
        return os.path.basename(os.readlink("/proc/%d/exe" % pid)) != "ringer"
    except OSError:
        return False


def children(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], stdout=subprocess.PIPE).stdout.decode()
    return [int(p) for p in out.split() if is_cell(int(p))]


def victim(found):
    """The process that runs just now, if there is one; every third time any."""
    def state(pid):
        try:
            return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0]
        except OSError:
            return "X"
    running = [pid for pid in found if state(pid) == "R"]
    return random.choice(running if running and random.randrange(3) else found)


def foreign_area(pid):
    """The first area of a cell's memory that is not to be there, or None: a cell has guest pages, the stub, its orders,
    and what the kernel puts into every process; nothing that grows."""
    try:
        lines = open("/proc/%d/maps" % pid).read().splitlines()
    except OSError:
        return None
    for line in lines:
        area, rights, _, _, _, *name = line.split(None, 5)
        if int(area.split("-")[0], 16) < 1 << 32:
            if not name or "guest-ram" not in name[0] or ("w" in rights and "x" in rights):
                return line
        elif not name or not ("ringer-" in name[0] or name[0] in ("[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]")):
            return line
        elif "w" in rights:
            return line
    return None


def check_maps(pid):
    """A process that is being set up has what its parent has, then a stack, for some microseconds (longer on a loaded
    machine); a cell's memory is as it is to be from the first guest instruction on."""
    end = time.monotonic() + 5
    line = foreign_area(pid)
    while line and time.monotonic() < end:
        time.sleep(0.01)
        line = foreign_area(pid)
    if line:
        sys.exit("WRONG: a cell has " + line)


def compute(guest, kills):
    """Runs WORK once, killing up to so many of the cells' processes meanwhile. Returns how many were killed."""
    first = len(guest.output)
    guest.send(WORK + "; echo all''over\n")
    killed = 0
    seen = ""
    end = time.monotonic() + 300
    while "allover" not in seen:
        if time.monotonic() > end:
            sys.exit("WRONG: the guest does not come to its end:\n" + seen[-2000:])
        found = children(guest.process.pid)
        for pid in found:
            check_maps(pid)
        if found and killed < kills:
            try:
                os.kill(victim(found), signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        pause = time.monotonic() + random.uniform(0.01, 0.12)
        while time.monotonic() < pause:
            guest._read(0.01)
        seen = guest.output[first:].decode(errors="replace")
        if guest.process.poll() is not None:
            sys.exit("WRONG: Ringer ended with %s:\n%s" % (guest.process.returncode, guest.errors.decode()))
    sums = re.findall(r"\b[0-9a-f]{40}\b", seen)
    if len(sums) != 6 or set(sums) != {SUM}:
        sys.exit("WRONG: sums %s, they should be six times %s:\n%s" % (sums, SUM, seen[-1500:]))
    return killed


def adopt():
    """Whose parent has gone comes to this process (prctl(2): PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def orphans():
    """Processes of cells whose monitor has gone, and that are not over."""
    found = set()
    for pid in children(os.getpid()):
        try:
            name, _, rest = open("/proc/%d/stat" % pid).read().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name.startswith("memfd:ringer") and rest.split()[0] != "Z":
            found.add(pid)
    return found


def check_killed_starts(ringer, count=300):
    """Whoever is killed while he makes his first cell leaves none behind, which would stand for ever."""
    adopt()
    for _ in range(count):
        process = subprocess.Popen([ringer, "-display", "none", "-m", "16"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.random() * 0.03)
        process.kill()
        process.wait()
    end = time.monotonic() + 20
    while orphans() and time.monotonic() < end:
        time.sleep(0.1)
    if orphans():
        sys.exit("WRONG: cells are left behind: %s" % orphans())


def main():
    import tempfile
    ringer, deny = sys.argv[1:3]
    kills = int(sys.argv[3]) if len(sys.argv) > 3 else 30
    check_killed_starts(ringer)
    if not os.path.exists(KERNEL):
        print("no guest kernel: run tests/tools/guests.sh")
        return SKIP
    with tempfile.TemporaryDirectory() as folder:
        guest = start([], ringer, "direct,always=on", folder)
        try:
            guest.expect("shell ready", 300)
            guest.expect("guest# ")
            killed = rounds = 0
            while killed < kills: # a fast machine has done the work before all are killed: then once more
                now = compute(guest, kills - killed)
                if not now:
                    sys.exit("WRONG: no cell is there any more:\n" + guest.errors.decode())
                killed += now
                rounds += 1
            print("killed %d processes of cells in %d rounds; all sums are right" % (killed, rounds))
            if TRANSLATES in guest.errors.decode():
                sys.exit("WRONG: Ringer takes killed processes for a host without ptrace:\n" + guest.errors.decode())
        finally:
            guest.kill()
        guest = start([deny], ringer, "direct", folder)
        try:
            guest.expect("shell ready", 300)
            guest.expect("guest# ")
            compute(guest, 0)
            text = guest.errors.decode()
            told = text.count(TRANSLATES)
            print("without ptrace: computes, says so %d time(s)" % told)
            if told != 1:
                print("WRONG: it is to say so once:\n" + text)
                return 1
        finally:
            guest.kill()
    print("OK")
    return 0


sys.exit(main())
