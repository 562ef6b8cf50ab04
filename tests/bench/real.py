#!/usr/bin/env python3
"""Programs of a normal Debian userland: what they cost in a guest, of what they cost natively.

    real.py RINGER [--rounds N] [--only NAME...] [--engines A,B] [--json FILE] [--memory MIB] [--cpu N] [--fresh]
    real.py --list
    real.py --prepare     (guests.sh does it: lays beside the tree what ringer bench's part "real" needs)

The tree (`sh tests/tools/guests.sh real`) is the root of all runs, read-only: natively by chroot, in guests as a disk; what
programs write goes to tmpfs. Needs root, for the mounts (in a namespace of its own) and the chroot. Each guest is booted once and
then runs one program after the other, in turn with the others: each first shorter, unmeasured, then measured, --rounds times.

CPU seconds are those of all threads and child processes, between two marks on the serial line; natively those of the program and
its children. Ratios are of medians. For Ringer's engines one more run, with "stats on" (which costs a little, so that it does not
count), tells where the vCPU's time went; --no-where leaves it out. What a program prints is compared with what it prints natively.

Status 1 if a target was missed, 2 if something could not be measured.
"""
import argparse
import ctypes
import gzip
import hashlib
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import initrd  # noqa: E402
import rival  # noqa: E402
from guest import Guest, GuestError  # noqa: E402
from monitor import Hmp  # noqa: E402

TOP = os.path.join(initrd.CACHE, "real-i386")
DRIVERS = ((initrd.VIRTIO, ("virtio.", "virtio_ring", "virtio_pci", "virtio_blk")),
           (initrd.USB_DISK, ("crc16", "mbcache", "jbd2", "crc32c", "ext4")))
SOURCES = os.path.join(HERE, "real")
OURS = ("direct", "bt", "interp")
ENGINES = ("native", "direct", "bt", "qemu", "qemu-new", "interp")
LONG = 1800  # no program takes so many seconds unless it hangs

# Environment of all programs; the first words of each.
ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/tmp", "LC_ALL": "C", "TERM": "dumb",
               "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000", "GIT_CONFIG_NOSYSTEM": "1",
               # Natively, too, without AES-NI, PCLMULQDQ, AVX and what leaf 7 has (SHA): no guest's processor here has them.
               "OPENSSL_ia32cap": "~0x1200000200000000:0",
               "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
HEAD = "cd /tmp/w || exit 1\nD=/bench/data n=$1\n"


def times(what):
    return "for ((i = 0; i < n; i++)); do %s || exit 1; done" % what


# name: how often (measured, before that unmeasured), most CPU seconds of native, the program, what comes before it
PROGRAMS = {
    "gcc-large": (1, 1, 1.4, times("gcc -O1 -c $D/large.c -o l.o") + "; md5sum l.o", ""),
    "gcc-hello": (10, 2, 3.5, times("gcc $D/hello.c -o h && ./h"), ""),
    "make": (1, 1, None, "make -s && ./prog", "cp -r $D/make/. ."),
    "true": (300, 30, 5, times("/bin/true"), ""),
    "python-start": (30, 3, 2.5, times("python3 -c pass"), ""),
    "perl-start": (120, 10, 5, times("perl -e 1"), ""),
    "python-loop": (12, 1, None, "python3 $D/loop.py $n", ""),
    "perl-text": (4, 1, None, "perl $D/text.pl $D/text $n", ""),
    "xz": (1024, 64, 1.1, "head -c ${n}K $D/text | xz -5 >t.xz; md5sum t.xz; xz -dc t.xz | md5sum", ""),
    "bzip2": (4096, 256, None, "head -c ${n}K $D/text | bzip2 >t.bz2; md5sum t.bz2; bzip2 -dc t.bz2 | md5sum", ""),
    "gzip": (4096, 256, None, "head -c ${n}K $D/text | gzip -n >t.gz; md5sum t.gz; gzip -dc t.gz | md5sum", ""),
    "sort": (2, 1, 1.5, times("tr -s ' ' '\\n' <$D/text | sort | uniq -c | sort -rn | head -n 3"), ""),
    "grep": (20, 2, None, times("grep -cE '(th|wh)[aeiou]+.*[0-9]{2}' $D/text"), ""),
    "sqlite": (1, 1, 1.4, "sqlite3 t.db <$D/work.sql", ""),
    "git": (1, 1, 3, "git -c init.defaultBranch=main init -q . && git add . && git commit -qm one && git log --stat | md5sum && "
            "git gc -q && git fsck --no-progress && git rev-parse HEAD", "cp -r $D/git src"),
    "lua": (6, 1, 1.3, "lua5.4 $D/work.lua $n", ""),
    "node": (6, 2, 1.6, "node $D/work.js $n", ""),
    "node-start": (5, 1, None, times("node -e 0"), ""),
    "openssl-sha": (10, 1, 1.5, "%s | openssl sha256" % times("cat $D/text $D/text"), ""),
    "openssl-aes": (6, 1, 1.5, "%s | openssl enc -aes-128-ctr -K 0123456789abcdef0123456789abcdef -iv 00 | openssl dgst -md5" %
                    times("cat $D/text $D/text"), ""),
    "tar": (6, 1, 2.5, times("tar cf t.tar -C $D files && tar xf t.tar && rm -r files t.tar"), ""),
    "find": (6, 1, 2, times("find $D/files -type f | LC_ALL=C sort | xargs md5sum | md5sum"), ""),
    "pipes": (80, 4, None, "yes ringer | head -c ${n}M | tr a-z A-Z | md5sum", ""),
    "threads": (20000, 1000, 1.8, "python3 $D/threads.py $n", ""),
    "stress-vm": (4000, 400, None, "stress-ng -q --temp-path /tmp --vm 1 --vm-bytes 32M --vm-method write64 --vm-keep --vm-ops $n", ""),
    "stress-mmap": (8, 1, None, "stress-ng -q --temp-path /tmp --mmap 1 --mmap-bytes 16M --mmap-ops $n", ""),
    "switch": (100000, 5000, None, "/bench/bin/system switch $n", ""),
    "malloc": (1500000, 100000, None, "/bench/bin/system malloc $n", ""),
    "fork": (4000, 300, None, "/bench/bin/system-static fork $n", ""),
    "exec": (300, 30, None, "/bench/bin/system exec $n", ""),
    "matrix-sse": (120, 5, 1.15, "/bench/bin/matrix-sse $n", ""),
    "matrix-x87": (60, 5, 1.15, "/bench/bin/matrix-x87 $n", ""),
    "fault-memset": (50, 3, 2.5, "/bench/bin/system fault-memset $n", ""),
    "fault-words": (50, 3, 2.5, "/bench/bin/system fault-words $n", ""),
    "mprotect": (80000, 8000, 2.5, "/bench/bin/system mprotect $n", ""),
}
TARGET_MEAN, TARGET_WORST = 1.8, 5
SLOW_TCG, TIMES_TCG = 6, 3  # where the better QEMU is above so many times native, direct is to be so many times as fast

BUILD = """set -e
mkdir -p /tmp/made/data /tmp/made/bin
python3 /bench/real/data.py /tmp/made/data
cd /bench/real
gcc -O2 system.c -o /tmp/made/bin/system
gcc -O2 -static system.c -o /tmp/made/bin/system-static
gcc -O2 -msse2 -mfpmath=sse -fno-tree-vectorize matrix.c -o /tmp/made/bin/matrix-sse
gcc -O2 -mno-sse -mfpmath=387 matrix.c -o /tmp/made/bin/matrix-x87
"""

# Process 1 of the guest.
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
dmesg -n 1
for m in /lib/drivers/*; do insmod $m; done
mkdir -p /tree
while ! [ -b /dev/vda -a -b /dev/vdb ]; do usleep 10000; done
mount -t ext4 -o ro /dev/vda /tree && mount -t ext4 -o ro /dev/vdb /tree/bench || echo "@failed mount"
mount -t tmpfs tmp /tree/tmp && mount -t proc proc /tree/proc && mount -t sysfs sys /tree/sys && mount --bind /dev /tree/dev
stty -F /dev/ttyS0 -echo -onlcr
exec chroot /tree /bin/bash /bench/serve $real $real_length </dev/ttyS0 >/dev/ttyS0 2>&1
"""

# It runs what its arguments name (ringer bench's: names with commas, or "all"; "quick" for the short runs), or else what the serial
# line does. The marks are what is measured between.
SERVE = """%s
run() {
    rm -rf /tmp/w; mkdir /tmp/w; cd /tmp/w
    [ ! -e /bench/run/$1.before ] || bash /bench/run/$1.before
    echo "@begin $1"
    bash /bench/run/$1 $2 >/tmp/output 2>&1 </dev/null
    echo "@end $? "
    head -c 2000 /tmp/output
    echo "@output"
    md5sum </tmp/output
}
echo @ready
if [ -n "$1" ]; then
    while read -r name before often; do
        case ",$1," in
        ,all,|*,$name,*)
            [ "$2" != quick ] || often=$before
            run $name $before >/tmp/before
            run $name $often
            ;;
        esac
    done </bench/list
    echo @done
    [ $$ != 1 ] || echo b >/proc/sysrq-trigger
    exit
fi
while read -r name n; do
    run $name $n
done
"""


class Unmeasurable(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    if done.returncode:
        raise Unmeasurable("'%s' ended with status %d: %s" % (" ".join(command), done.returncode, done.stdout[-2000:]))
    return done.stdout


def own_mounts():
    """From here on, mounts are seen by us and our children only, and end with us."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000):  # CLONE_NEWNS
        raise Unmeasurable("no mount namespace is to be had (%s): run this as root" % os.strerror(ctypes.get_errno()))
    run("mount", "--make-rprivate", "/")


class Folder:
    """A folder for mounts. It goes when none is left in it, and only then: else what is mounted there would go with it."""

    def __init__(self, prefix):
        self.path = tempfile.mkdtemp(prefix=prefix)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
            mounted = [line.split()[4] for line in f]
        for path in reversed([path for path in mounted if path.startswith(self.path + "/")]):
            subprocess.run(["umount", "-l", path], check=False)
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
            if self.path + "/" not in f.read():
                shutil.rmtree(self.path)


class Tree:
    """The tree with what programs need, mounted in folder; and the disk of the same for guests."""

    def __init__(self, folder):
        self.root, self.image, self.initrd = (os.path.join(folder, name) for name in ("root", "bench.ext4", "initrd"))
        work = os.path.join(folder, "bench")
        for name in (self.root, work):
            os.mkdir(name)
        run("mount", "-t", "tmpfs", "work", work)
        run("mount", "--bind", os.path.join(TOP, "tree"), self.root)
        run("mount", "-o", "remount,bind,ro", self.root)
        run("mount", "-t", "tmpfs", "tmp", self.root + "/tmp")
        run("mount", "-t", "proc", "proc", self.root + "/proc")
        run("mount", "-t", "sysfs", "-o", "ro", "sysfs", self.root + "/sys")
        run("mount", "-t", "tmpfs", "dev", self.root + "/dev")
        for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
            os.mknod(self.root + "/dev/" + name, 0o20666, os.makedev(1, minor))
            os.chmod(self.root + "/dev/" + name, 0o666)
        os.symlink("/proc/self/fd", self.root + "/dev/fd")
        os.mkdir(self.root + "/dev/shm", 0o1777)
        os.mkdir(work + "/run")
        os.mkdir(work + "/real")
        for name in os.listdir(SOURCES):
            shutil.copy(os.path.join(SOURCES, name), work + "/real")
        run("mount", "--bind", work, self.root + "/bench")
        run("chroot", self.root, "/bin/bash", "-c", BUILD, env=ENVIRONMENT)
        for name in ("data", "bin"):
            shutil.move(self.root + "/tmp/made/" + name, work)
        for name, (_, _, _, text, before) in PROGRAMS.items():
            self.script(work + "/run/" + name, HEAD + text)
            if before:
                self.script(work + "/run/%s.before" % name, HEAD + before)
        self.script(work + "/list", "\n".join("%s %d %d" % (name, row[1], row[0]) for name, row in PROGRAMS.items()))
        exports = "\n".join("export %s='%s'" % pair for pair in ENVIRONMENT.items())
        self.script(work + "/serve", SERVE % exports)
        size = int(run("du", "-sk", work).split()[0])
        run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-N", "8192", "-d", work, self.image, "%dk" % (size * 5 // 4 + 8192))
        run("mount", "-o", "remount,bind,ro", self.root + "/bench")
        files = {"init": INIT.encode()}
        for path, source in initrd.drivers_of(DRIVERS).items():
            with open(source, "rb") as f:
                files[path] = f.read()
        with open(os.path.join(initrd.CACHE, "initrd.gz"), "rb") as f:
            base = f.read()
        with open(self.initrd, "wb") as f:
            f.write(base + gzip.compress(initrd.cpio(files), 1))

    def keep(self, folder):
        """For ringer bench: the disk, the initrd, the same as a folder for the host, with what starts it there."""
        for path, name in ((self.image, "programs.ext4"), (self.initrd, "initrd"), (SOURCES + "/native.sh", "native.sh")):
            shutil.copy(path, os.path.join(folder, name))
        shutil.rmtree(os.path.join(folder, "programs"), ignore_errors=True)
        shutil.copytree(self.root + "/bench", os.path.join(folder, "programs"))

    @staticmethod
    def script(path, text):
        with open(path, "w", encoding="ascii") as f:
            f.write(text + "\n")


class Native:
    name, boot = "native", None

    def __init__(self, tree):
        self.tree = tree

    def run(self, name, count):
        """(wall seconds, CPU seconds, sum of the output)."""
        work = self.tree.root + "/tmp/w"
        shutil.rmtree(work, ignore_errors=True)
        os.mkdir(work)
        command = ["/usr/sbin/chroot", self.tree.root, "/bin/bash", "/bench/run/" + name]
        if PROGRAMS[name][4]:
            run(*command[:-1], command[-1] + ".before", env=ENVIRONMENT)
        output = self.tree.root + "/tmp/output"
        with open(output, "wb") as f:
            begin = time.monotonic()
            process = subprocess.Popen(command + [str(count)], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=f, stderr=f)
            _, status, used = os.wait4(process.pid, 0)
            wall = time.monotonic() - begin
            process.returncode = status
        with open(output, "rb") as f:
            content = f.read()
        if status:
            raise Unmeasurable("native: %s ended with status %d: %s" % (name, status, content[-500:].decode(errors="replace")))
        return wall, used.ru_utime + used.ru_stime, hashlib.md5(content).hexdigest()

    def close(self):
        pass


def children_of(pid):
    found = []
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, thread), encoding="ascii") as f:
                for child in map(int, f.read().split()):
                    found += [child] + children_of(child)
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended meanwhile
    return found


def cpu_seconds(pid):
    """Of a process, its threads that have ended, its children that live and those that it has waited for."""
    total = 0.0
    for each in [pid] + children_of(pid):
        try:
            total += time.clock_gettime(~each << 3 | 2)  # clock_getcpuclockid(3)
            with open("/proc/%d/stat" % each, encoding="ascii", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime, cstime
        except (OSError, FileNotFoundError):
            continue  # just ended: its parent's, by now or soon
    return total


class Machine:
    def __init__(self, name, command, tree, folder, memory):
        self.name = name
        self.monitor = None
        command = command + ["-m", str(memory), "-kernel", os.path.join(initrd.CACHE, "vmlinuz-686"), "-initrd", tree.initrd,
                             "-append", "console=ttyS0 quiet panic=-1", "-display", "none", "-serial", "stdio", "-no-reboot",
                             "-nic", "none"]
        for image in (os.path.join(TOP, "tree.ext4"), tree.image):
            command += ["-drive", "file=%s,format=raw,if=virtio,readonly=on" % image]
        if name in OURS:
            path = os.path.join(folder, "monitor-" + name)
            command += ["-monitor", "unix:%s,server=on,wait=off" % path]
        else:
            command += ["-monitor", "none", "-vga", "none"]
        begin = time.monotonic()
        self.guest = Guest(command)
        if name in OURS:
            self.monitor = Hmp(path)
        self.guest.expect("@ready\n", LONG)
        self.boot = (time.monotonic() - begin, self.cpu())

    def cpu(self):
        return cpu_seconds(self.guest.process.pid)

    def run(self, name, count):
        self.guest.send("%s %d\n" % (name, count))
        self.guest.expect("@begin %s\n" % name, LONG)
        begin, before = time.monotonic(), self.cpu()
        self.guest.expect("@end ", LONG)
        wall, used = time.monotonic() - begin, self.cpu() - before
        status = self.guest.expect(" \n")
        output = self.guest.expect("@output\n")
        if status != "0":
            raise Unmeasurable("%s: %s ended with status %s: %s" % (self.name, name, status, output[-500:]))
        return wall, used, self.guest.expect("\n").split()[0]

    def stats(self):
        text = self.monitor.command("info stats json")
        return json.loads(text[text.index("{"):])["counters"]

    def where(self, name, count):
        """{counter: (count, seconds)} of one run."""
        self.monitor.command("stats on")
        before = self.stats()
        self.run(name, count)
        after = self.stats()
        self.monitor.command("stats off")

        def value(row, key):
            return row.get(key, 0) if isinstance(row, dict) else row if key == "count" else 0
        found = {}
        for counter, row in after.items():
            group = row.get("group") if isinstance(row, dict) else None
            of = [value(row, key) - value(before.get(counter, 0), key) for key in ("count", "ns")]
            if any(of):
                found[counter] = {"group": group, "count": of[0], "s": of[1] / 1e9}
        return found

    def close(self):
        self.guest.kill()
        if self.monitor:
            self.monitor.close()


def where_text(found):
    """Shares of the time that the guest was not idle, and the counters behind the greatest."""
    timed = {name: row for name, row in found.items() if row["s"] > 0 and row["group"] not in ("IDLE", "STOPPED")}
    total = sum(row["s"] for row in timed.values()) or 1
    greatest = sorted(timed, key=lambda name: -timed[name]["s"])[:7]
    return "%.2f s: " % total + ", ".join("%s %.0f %% (%d)" % (name, timed[name]["s"] / total * 100, timed[name]["count"])
                                         for name in greatest if timed[name]["s"] / total >= 0.01)


def commands(ringer):
    return {"direct": [ringer, "-accel", "direct"], "bt": [ringer, "-accel", "bt"], "interp": [ringer, "-accel", "interp"],
            "qemu": ["qemu-system-i386", "-accel", "tcg"]}


def start(options, engines, tree, folder, result):
    known, machines = commands(os.path.abspath(options.ringer)), []
    for engine in engines:
        if engine == "native":
            machines.append(Native(tree))
            continue
        command = known.get(engine) or [rival.newest(), "-accel", "tcg"]
        try:
            machines.append(Machine(engine, command, tree, folder, options.memory))
        except (GuestError, OSError) as e:
            result["complaints"].append("%s does not start: %s" % (engine, e))
            continue
        result["boot"][engine] = machines[-1].boot
        say("%s: up after %.1f s (%.1f CPU seconds)" % ((engine,) + machines[-1].boot))
    return machines


def measure(options, names, engines, result):
    """Fills result: samples (engine, name) -> [(wall, CPU)], where, boot, complaints."""
    with Folder("ringer-real.") as folder:
        tree = Tree(folder)
        if options.prepare:
            tree.keep(TOP)
            return
        for group in [[name] for name in names] if options.fresh else [names]:
            machines = start(options, engines, tree, folder, result)
            try:
                for number in range(options.rounds):
                    for name in group:
                        one_round(options, number, name, machines, result)
                for machine in machines:
                    if machine.name in OURS and not options.no_where:
                        explain(machine, group, result)
            finally:
                for machine in machines:
                    machine.close()


def explain(machine, names, result):
    for name in names:
        try:
            result["where"].setdefault(name, {})[machine.name] = machine.where(name, PROGRAMS[name][0])
        except (GuestError, Unmeasurable) as e:
            result["complaints"].append("%s: %s: where: %s" % (machine.name, name, e))
            return


def one_round(options, number, name, machines, result):
    often, before = PROGRAMS[name][:2]
    line = []
    for machine in list(machines if number % 2 == 0 else reversed(machines)):
        try:
            if number == 0:
                machine.run(name, before)
            wall, used, output = machine.run(name, often)
        except (GuestError, Unmeasurable) as e:
            result["complaints"].append("%s: %s: %s" % (machine.name, name, e))
            if isinstance(e, GuestError):
                machines.remove(machine)
            continue
        result["samples"].setdefault((machine.name, name), []).append((wall, used))
        result["outputs"].setdefault(name, {}).setdefault(output, set()).add(machine.name)
        line.append("%s %.2f" % (machine.name, used))
    say("round %d of %d: %s: CPU seconds: %s" % (number + 1, options.rounds, name, ", ".join(line)))


def median(result, engine, name, which):
    samples = result["samples"].get((engine, name))
    return statistics.median(sample[which] for sample in samples) if samples else None


def ratio_of(result, engine, name, which=1):
    mine, native = median(result, engine, name, which), median(result, "native", name, which)
    return mine / native if mine and native else None


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))


def judge(ratios):
    """Sentences about targets missed. ratios: {engine: {name: ratio}}; a target for all needs all programs."""
    missed = []
    mine = ratios.get("direct") or ratios.get("bt") or {}
    for name, ratio in mine.items():
        target = PROGRAMS[name][2]
        if target and ratio > target:
            missed.append("%s: %.2f times native, at most %s" % (name, ratio, target))
        peers = [ratios[peer][name] for peer in ("qemu", "qemu-new") if name in ratios.get(peer, {})]
        if peers and ratio > min(peers):
            missed.append("%s: %.2f times native, the better QEMU %.2f" % (name, ratio, min(peers)))
        elif peers and min(peers) > SLOW_TCG and ratio * TIMES_TCG > min(peers):
            missed.append("%s: %.1f times as fast as the better QEMU (%.1f times native), at least %d" % (
                name, min(peers) / ratio, min(peers), TIMES_TCG))
    if mine.keys() >= PROGRAMS.keys():
        if geometric_mean(mine.values()) > TARGET_MEAN:
            missed.append("geometric mean: %.2f, at most %s" % (geometric_mean(mine.values()), TARGET_MEAN))
        worst = max(mine, key=mine.get)
        if mine[worst] > TARGET_WORST:
            missed.append("the worst, %s: %.1f, at most %s" % (worst, mine[worst], TARGET_WORST))
    return missed


def report(result, names, engines):
    """Prints the tables; returns (ratios by CPU seconds, what was missed)."""
    others = [engine for engine in engines if engine != "native"]
    print("%-13s %8s %8s %7s" % ("ratio, CPU (wall)", "native", "wall s", "target") +
          "".join(" %16s" % engine for engine in others))
    ratios = {engine: {} for engine in others}
    for name in [name for name in names if name in result["outputs"]]:
        row = ""
        for engine in others:
            ratio = ratio_of(result, engine, name)
            if ratio:
                ratios[engine][name] = ratio
            row += " %16s" % ("%.2f (%.2f)" % (ratio, ratio_of(result, engine, name, 0)) if ratio else "-")
        native = [median(result, "native", name, which) for which in (1, 0)]
        print("%-17s %8s %8s %7s" % (name, *("%.3f" % value if value else "-" for value in native), PROGRAMS[name][2] or "") + row)
    for text, of in (("geometric mean", geometric_mean), ("worst", max)):
        print("%-42s " % text + "".join(" %16s" % ("%.2f" % of(ratios[engine].values()) if ratios[engine] else "-")
                                       for engine in others))
    for engine, boot in result["boot"].items():
        print("%s: ready after %.2f s, %.2f CPU seconds" % ((engine,) + boot))
    for name in names:
        for engine, found in result["where"].get(name, {}).items():
            print("where %-13s %-6s %s" % (name, engine, where_text(found)))
    return ratios, judge(ratios)


def listing():
    for name, (often, _, target, text, _) in PROGRAMS.items():
        print("%-13s %6s  n=%d  %s" % (name, target or "", often, text))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ringer", nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--engines", default="native,direct,bt,qemu,qemu-new", help="from " + ", ".join(ENGINES))
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--memory", type=int, default=800, metavar="MIB", help="of each guest (800: no high memory)")
    parser.add_argument("--cpu", type=int, metavar="N", help="pin everything to this CPU")
    parser.add_argument("--fresh", action="store_true", help="boot anew for each program: no program pays for those before it")
    parser.add_argument("--no-where", action="store_true")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        listing()
        return 0
    names, engines = options.only or list(PROGRAMS), options.engines.split(",")
    unknown = [name for name in names if name not in PROGRAMS] + [name for name in engines if name not in ENGINES]
    if unknown or not (options.ringer or options.prepare) or options.rounds < 1:
        parser.error("no such program or engine: %s" % ", ".join(unknown) if unknown else "RINGER, and at least one round")
    if not os.path.exists(os.path.join(TOP, ".complete")) or not initrd.is_there(DRIVERS):
        print("real: the tree or drivers are not there: sh tests/tools/guests.sh fetch, and then real", file=sys.stderr)
        return 2
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    result = {"samples": {}, "outputs": {}, "where": {}, "boot": {}, "complaints": []}
    load = os.getloadavg()[0]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        own_mounts()
        measure(options, names, engines, result)
    except Unmeasurable as e:
        print("real: %s" % e, file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # what there is, is told
        result["complaints"].append("interrupted")
    if options.prepare:
        return 0
    for name, outputs in result["outputs"].items():
        if len(outputs) != 1:
            result["complaints"].append("%s: results differ: %s" % (name, " / ".join(
                ", ".join(sorted(who)) for who in outputs.values())))
    print("%s, %d rounds, %d MiB, load before %.1f on %d CPUs" % (time.strftime("%Y-%m-%d"), options.rounds, options.memory, load,
                                                                  os.cpu_count()))
    ratios, missed = report(result, names, engines)
    for sentence in missed:
        print("MISSED " + sentence)
    for sentence in result["complaints"]:
        print("NOT MEASURED " + sentence)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump({"rounds": options.rounds, "memory": options.memory, "boot": result["boot"], "ratios": ratios,
                       "samples": {"%s %s" % key: value for key, value in result["samples"].items()},
                       "where": result["where"], "missed": missed, "complaints": result["complaints"]}, f, indent=1)
            f.write("\n")
    return 2 if result["complaints"] else 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
