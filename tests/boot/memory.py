#!/usr/bin/env python3
"""Guest memory to its extent, with Debian's kernels and our own guest.

    memory.py RINGER PROGRAMS ACCEL CASE...

PROGRAMS is the folder of the built memfill and scatter (static i386). Cases:
    large-686, large-686-pae      -m 3072: nearly all of it filled and checked by several processes, and in tmpfs
    above-686-pae                 -m 6144: 3 GiB of it above 4 GiB, most of all filled and checked
    above-686                     -m 6144: a kernel without PAE has the first 3 GiB
    scattered-686[-pae]           -m 1536: over 200,000 single pages mapped at once, more than the host grants
    small-686[-pae]               the least memory, to 4 MiB, in which QEMU boots the same kernel
    noproc                        tiny where /proc cannot be read (in a mount namespace of its own)
    tiny                          -m 2, 3 and 16: a multiboot guest of our own finds, fills and checks its memory
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import Guest, GuestError  # noqa: E402
import initrd  # noqa: E402

RINGER, PROGRAMS, ACCEL = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
SCATTER_PROCESSES, SCATTER_PAGES, SCATTER_ACTIONS = 10, 21000, 5000


def skip(why):
    print("SKIP: %s" % why)
    sys.exit(77)


def need_host_memory(mib):
    with open("/proc/meminfo", encoding="ascii") as f:
        available = next(int(line.split()[1]) for line in f if line.startswith("MemAvailable:")) // 1024
    if available < mib:
        skip("the host has %d MiB to give, this needs %d" % (available, mib))


def linux_command(first, mib, kernel, image):
    return first + ["-m", str(mib), "-kernel", os.path.join(initrd.CACHE, "vmlinuz-" + kernel),
                    "-initrd", image, "-append", "console=ttyS0 panic=-1", "-nographic", "-no-reboot"]


class Linux:
    """A guest at its shell prompt, with memfill and scatter in it."""
    def __init__(self, folder, mib, kernel):
        image = os.path.join(folder, "initrd")
        initrd.write(image, [os.path.join(PROGRAMS, name) for name in ("memfill", "scatter")])
        self.guest = Guest(linux_command([RINGER, "-accel", ACCEL], mib, kernel, image))
        self.guest.expect("shell ready", 600)
        self.guest.expect("guest# ", 60)

    def memory(self, name):
        """A line of /proc/meminfo, in MiB."""
        return int(self.guest.run("awk '/^%s:/ { print $2 }' /proc/meminfo" % name)) // 1024

    def done(self):
        self.guest.send("poweroff -f\n")
        status = self.guest.wait(300)
        if status != 0:
            self.guest.fail("poweroff ended with status %d" % status)


def large(folder, kernel):
    need_host_memory(3072 + 512)
    linux = Linux(folder, 3072, kernel)
    guest = linux.guest
    total, free = linux.memory("MemTotal"), linux.memory("MemAvailable")
    print("# %s of 3072 MiB are the guest's to use" % total)
    if total < 2900:
        guest.fail("the guest found only %d MiB" % total)
    fill = free - 100
    text = guest.run("memfill %d 700" % fill, 1200)
    print("# %s" % text.strip())
    if "memfill: %d MiB in" % fill not in text or ", ok" not in text:
        guest.fail("memfill: %s" % text)
    # The same memory again, now as the page cache of a file: pages have other places in it.
    size = fill - 200
    guest.run("mount -t tmpfs -o size=%dm big /tmp" % fill)
    text = guest.run("memfill -f /tmp/file %d" % size, 1200)
    print("# %s" % text.strip())
    if "memfill: %d MiB in a file, ok" % size not in text:
        guest.fail("memfill: %s" % text)
    linux.done()


def above(folder, kernel):
    pae = kernel.endswith("-pae")
    fill = 4600 if pae else 0
    need_host_memory(fill + 1024)
    linux = Linux(folder, 6144, kernel)
    guest = linux.guest
    total = linux.memory("MemTotal")
    print("# %s of 6144 MiB are the guest's to use" % total)
    if not (5850 < total < 6144 if pae else 2900 < total < 3072):
        guest.fail("the guest found %d MiB" % total)
    text = guest.run("grep RAM /proc/iomem")
    if "100000000-1bfffffff : System RAM" not in text and pae:
        guest.fail("iomem: %s" % text)
    if fill:
        text = guest.run("memfill %d 700" % fill, 1200)
        print("# %s" % text.strip())
        if "memfill: %d MiB in" % fill not in text or ", ok" not in text:
            guest.fail("memfill: %s" % text)
    linux.done()


def scattered(folder, kernel):
    need_host_memory(1536 + 512)
    linux = Linux(folder, 1536, kernel)
    text = linux.guest.run("scatter %d %d %d" % (SCATTER_PROCESSES, SCATTER_PAGES, SCATTER_ACTIONS), 1800)
    print("# %s" % text.strip())
    if "scatter: %d pages" % (SCATTER_PROCESSES * SCATTER_PAGES) not in text or "ok" not in text:
        linux.guest.fail("scatter: %s" % text)
    linux.done()


def boots(command, timeout):
    guest = Guest(command)
    try:
        guest.expect("shell ready", timeout)
        guest.expect("guest# ", timeout)
        return guest.run("echo $((6 * 7))", timeout).strip() == "42"
    except GuestError:
        return False
    finally:
        guest.kill()


def small(folder, kernel):
    image = os.path.join(initrd.CACHE, "initrd.gz")
    qemu = ["qemu-system-i386", "-accel", "tcg", "-nic", "none", "-vga", "none"]
    try:
        subprocess.run(["qemu-system-i386", "--version"], capture_output=True, check=True)
    except OSError:
        skip("qemu-system-i386 is missing: what the least memory is, only it says")
    # Where it does not boot it often hangs without a word: few tries, and not long ones.
    low, mib = 24, 128
    if not boots(linux_command(qemu, mib, kernel, image), 120):
        raise GuestError("QEMU does not boot vmlinuz-%s in %d MiB" % (kernel, mib))
    while mib - low > 4:
        middle = (low + mib) // 8 * 4
        if boots(linux_command(qemu, middle, kernel, image), 30):
            mib = middle
        else:
            low = middle
    print("# QEMU boots vmlinuz-%s from %d MiB on" % (kernel, mib))
    if not boots(linux_command([RINGER, "-accel", ACCEL], mib, kernel, image), 300):
        raise GuestError("vmlinuz-%s does not boot in %d MiB, in which QEMU boots it" % (kernel, mib))


TINY = """
    .text
    .globl _start
    .long 0x1badb002, 2, -0x1badb004
# The multiboot information's mem_upper is what lies above 1 MiB; the code is at 1 MiB, ended by `end`.
_start:
    movl $0x80000, %esp
    testl $1, (%ebx)
    jz bad
    movl 8(%ebx), %ecx          # KiB above 1 MiB
    leal 1024(%ecx), %eax
    cmpl $KIB, %eax
    jne bad
    shll $10, %ecx
    leal 0x100000(%ecx), %edx   # end of memory
    movl $end, %edi
2:  movl %edi, %eax
    xorl $0x5a5aa5a5, %eax
    movl %eax, (%edi)
    addl $4, %edi
    cmpl %edx, %edi
    jb 2b
    movl $end, %edi
3:  movl %edi, %eax
    xorl $0x5a5aa5a5, %eax
    cmpl %eax, (%edi)
    jne bad
    addl $4, %edi
    cmpl %edx, %edi
    jb 3b
    cmpl $-1, (%edx)            # behind it there is nothing
    jne bad
    movb $0, %al
    outb %al, $0xf4
bad:
    movb $1, %al
    outb %al, $0xf4
1:  jmp 1b
    .balign 16
end:
"""


WITHOUT_PROC = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                'mount -t tmpfs none /proc && [ ! -e /proc/sys ] && exec "$@"', "sh"]


def noproc(folder):
    if subprocess.run(WITHOUT_PROC + ["true"], capture_output=True).returncode:
        skip("unshare cannot make a mount namespace here")
    tiny(folder, 16, WITHOUT_PROC)


def tiny(folder, mib, first=()):
    source, kernel = os.path.join(folder, "tiny.s"), os.path.join(folder, "tiny")
    with open(source, "w", encoding="ascii") as out:
        out.write(TINY)
    subprocess.run(["as", "--32", "--defsym", "KIB=%d" % (mib * 1024), "-o", kernel + ".o", source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x100000", "-e", "_start", "-o", kernel, kernel + ".o"],
                   check=True)
    result = subprocess.run([*first, RINGER, "-accel", ACCEL, "-m", str(mib), "-kernel", kernel, "-display", "none",
                             "-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
                            stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    if result.returncode != 1:
        raise GuestError("-m %d: status %d, not 1; %r" % (mib, result.returncode, result.stderr))


def main():
    cases = sys.argv[4:]
    if any("-" in case for case in cases):
        for kernel in ("vmlinuz-686", "vmlinuz-686-pae", "initrd.gz"):
            if not os.path.exists(os.path.join(initrd.CACHE, kernel)):
                skip("%s is not in the cache; fetch guests with tests/tools/guests.sh" % kernel)
    if any(case.startswith(("above", "large", "scattered")) for case in cases):
        for name in ("memfill", "scatter"):
            if not os.path.exists(os.path.join(PROGRAMS, name)):
                skip("%s is not built: gcc has no C library for -m32 (Debian: gcc-multilib)" % name)
    for case in cases:
        kind, _, kernel = case.partition("-")
        with tempfile.TemporaryDirectory(prefix="ringer-memory.") as folder:
            if kind == "tiny":
                for mib in (2, 3, 16):
                    tiny(folder, mib)
            elif kind == "noproc":
                noproc(folder)
            else:
                {"above": above, "large": large, "scattered": scattered, "small": small}[kind](folder, kernel)
        print("ok - %s under %s" % (case, ACCEL), flush=True)


try:
    main()
except GuestError as e:
    print("FAIL: %s" % e)
    sys.exit(1)
