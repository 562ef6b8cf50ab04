#!/usr/bin/env python3
"""Bad input from the user: each case must end with status 1 and one sentence on standard error.

usage: errors.py RINGER
"""
import fcntl
import os
import resource
import struct
import subprocess
import sys
import tempfile

RINGER = os.path.abspath(sys.argv[1])
failures = 0


def run(arguments, limit=None):
    def prepare():
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return subprocess.run([RINGER, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=20, preexec_fn=prepare)


def check(name, arguments, sentence, limit=None):
    global failures
    problems = []
    try:
        result = run(arguments, limit)
        lines = result.stderr.splitlines()
        if result.returncode != 1:
            problems.append(f"status {result.returncode}, not 1")
        if len(lines) != 1 or not lines[0].startswith("ringer: "):
            problems.append(f"not one sentence: {result.stderr!r}")
        elif sentence not in lines[0]:
            problems.append(f"{lines[0]!r} does not say {sentence!r}")
        if result.stdout:
            problems.append(f"wrote to standard output: {result.stdout!r}")
    except subprocess.TimeoutExpired:
        problems.append("did not end")
    if problems:
        failures += 1
    print(f"{'not ok' if problems else 'ok'} - {name}")
    for problem in problems:
        print(f"# {problem}")


def check_kvm():
    """Without /dev/kvm: a sentence; where another engine may take its place, a word about that in the engine line."""
    def command(*arguments):
        return ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /dev && exec \"$0\" \"$@\"", RINGER, *arguments]
    global failures
    if subprocess.run(command("-version"), capture_output=True).returncode != 0:
        print("ok - without /dev/kvm # SKIP unshare is not allowed")
        return
    problems = []
    result = subprocess.run(command("-accel", "kvm,fallback=off", "-kernel", "good"), capture_output=True, text=True, timeout=20)
    if result.returncode != 1 or len(result.stderr.splitlines()) != 1 or \
            not result.stderr.startswith("ringer: KVM cannot be used: /dev/kvm: "):
        problems.append(f"-accel kvm,fallback=off: status {result.returncode}, {result.stderr!r}")
    for wish in (["-enable-kvm"], ["-accel", "kvm"], ["-machine", "accel=kvm"], ["-machine", "accel=kvm:tcg"], ["-accel", "kvm", "-accel", "tcg"]):
        process = subprocess.Popen(command(*wish, "-kernel", "good", "-display", "none"), stderr=subprocess.PIPE, text=True)
        line = process.stderr.readline()
        process.kill()
        process.wait()
        if not line.startswith("ringer: engine ") or line.startswith("ringer: engine kvm") or \
                "KVM cannot be used: /dev/kvm: " not in line:
            problems.append(f"{wish}: {line!r}")
    failures += bool(problems)
    print(f"{'not ok' if problems else 'ok'} - without /dev/kvm")
    for problem in problems:
        print(f"# {problem}")


def bzimage(code=4096, init_size=0x10000, version=0x20f, loadflags=1):
    """A kernel whose code is HLT with interrupts off: never started here."""
    image = bytearray(1024 + code)
    image[0x1f1] = 1
    struct.pack_into("<I", image, 0x1f4, code // 16)
    struct.pack_into("<H", image, 0x1fe, 0xaa55)
    image[0x200:0x202] = b"\xeb\x66"
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, version)
    image[0x211] = loadflags
    struct.pack_into("<I", image, 0x214, 0x100000)
    struct.pack_into("<I", image, 0x22c, 0x37ffffff)
    struct.pack_into("<I", image, 0x238, 255)
    struct.pack_into("<QI", image, 0x258, 0x100000, init_size)
    image[1024:] = b"\xf4" * code
    return bytes(image)


def qcow2(version=3, cluster_bits=16, crypt=0, incompatible=0, backing=b""):
    """An empty disk of 64 MiB: header, refcount table, refcount block, L1 table."""
    cluster = 65536
    image = bytearray(4 * cluster)
    struct.pack_into(">4sIQIIQIIQQIIQ", image, 0, b"QFI\xfb", version, 120 if backing else 0, len(backing),
                     cluster_bits, 64 << 20, crypt, 1, 3 * cluster, cluster, 1, 0, 0)
    struct.pack_into(">QQQII", image, 72, incompatible, 0, 0, 4, 104)
    image[120:120 + len(backing)] = backing
    struct.pack_into(">Q", image, cluster, 2 * cluster)
    struct.pack_into(">4H", image, 2 * cluster, 1, 1, 1, 1)
    return bytes(image)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    files = {
        "good": bzimage(),
        "empty": b"",
        "text": b"This is not a kernel.\n" * 100,
        "short": bzimage()[:2000],
        "stub": bzimage()[:0x220],
        "old": bzimage(version=0x103),
        "hungry": bzimage(init_size=200 << 20),
        "elf": b"\177ELF" + bytes(100),
        "big": bytes(20 << 20),
    }
    for file, content in files.items():
        with open(file, "wb") as out:
            out.write(content)

    check("missing kernel", ["-kernel", "nothere"], "there is no such file")
    check("directory as kernel", ["-kernel", "."], "is a directory")
    check("empty kernel", ["-kernel", "empty"], "is empty")
    check("text as kernel", ["-kernel", "text"], "neither a Linux bzImage nor a multiboot kernel")
    check("truncated kernel", ["-kernel", "short"], "truncated")
    check("kernel truncated in its header", ["-kernel", "stub"], "truncated")
    check("old boot protocol", ["-kernel", "old"], "boot protocol 1.03")
    check("ELF without multiboot header", ["-kernel", "elf"], "without a multiboot header")
    check("kernel too large for RAM", ["-m", "64", "-kernel", "hungry"], "give more with -m")
    check("missing initrd", ["-kernel", "good", "-initrd", "nothere"], "there is no such file")
    check("directory as initrd", ["-kernel", "good", "-initrd", "."], "is a directory")
    check("empty initrd", ["-kernel", "good", "-initrd", "empty"], "is empty")
    check("initrd too large", ["-m", "16", "-kernel", "good", "-initrd", "big"], "does not fit")
    check("long command line", ["-kernel", "good", "-append", "x" * 300], "300 bytes long")
    if os.geteuid() != 0:
        os.chmod("text", 0)
        check("unreadable kernel", ["-kernel", "text"], "Permission denied")

    check("unknown flag", ["-kernell", "good"], "did you mean '-kernel'?")
    check("flag without its argument", ["-kernel"], "needs an argument")
    check("no number", ["-kernel", "good", "-m", "lots"], "not a size")
    check("too little memory", ["-kernel", "good", "-m", "0"], "out of range")
    check("too little memory", ["-kernel", "good", "-m", "512K"], "out of range")
    check("no processor", ["-kernel", "good", "-smp", "0"], "not a number of processors")
    check("unknown engine", ["-kernel", "good", "-accel", "hax"], "there is no engine 'hax'")
    check_kvm()
    check("unknown CPU model", ["-kernel", "good", "-cpu", "z80"], "z80")
    check("unknown machine", ["-kernel", "good", "-M", "microvm"], "there is no 'microvm'")
    for flag in ("-hda", "-hdd", "-cdrom", "-fda", "-fdb"):
        check(f"missing image for {flag}", [flag, "nothere"], "there is no such file")
        check(f"directory as image for {flag}", [flag, "."], "is a directory")
        check(f"empty image for {flag}", [flag, "empty"], "is empty")
    check("folder as disk", ["-hda", "fat:rw:/nowhere"], "cannot be opened as a folder")
    check("folder too large", ["-fda", "fat:floppy:/usr/bin"], "more than fits on a floppy")
    check("folder's label", ["-drive", "driver=vvfat,dir=/tmp,label=a/b"], "a label that FAT does not allow")
    check("folder without dir", ["-drive", "driver=vvfat"], "needs dir=")
    check("folder as qcow2", ["-drive", "file=fat:/tmp,format=qcow2"], "none but raw")
    check("server as disk", ["-drive", "file=nbd:localhost:1"], "not supported; make an image file")
    check("two character devices of one name", ["-chardev", "null,id=serial0", "-serial", "null"], "Duplicate ID 'serial0'")
    with open("pid", "w") as pid:
        fcntl.lockf(pid, fcntl.LOCK_EX)
        check("pid file of a running machine", ["-pidfile", "pid"], "belongs to a machine that runs")
    check("missing kernel, with a pid file", ["-kernel", "nothere", "-pidfile", "pid"], "there is no such file")
    if not os.path.exists("pid"):
        sys.exit("not ok - another machine's pid file is gone")
    check("device as BIOS", ["-bios", "/dev/zero"], "is a device; name a file")
    check("device as disk", ["-hda", "/dev/null"], "neither a file nor a block device")
    check("text as qcow2", ["-drive", "file=text,format=qcow2"], "is not in qcow2 format")
    check("too large for a floppy", ["-fda", "big"], "larger than any floppy")
    check("unknown image format", ["-drive", "file=good,format=vdi"], "qemu-img convert -f vdi -O qcow2 good good.qcow2")
    check("unknown drive key", ["-drive", "file=good,colour=red"], "'colour' is not known")
    check("drive without a file", ["-drive", "if=ide"], "needs file=")
    check("drive on no bus", ["-drive", "file=good,bus=2"], "bus 0 and 1")
    check("drive interface", ["-drive", "file=good,if=scsi"], "if=scsi")
    check("one drive twice", ["-hdc", "good", "-cdrom", "text"], "given twice")
    check("one image in two drives", ["-hda", "good", "-hdb", "good"], "for two drives")
    check("unknown boot order", ["-boot", "xyz"], "order 'xyz'")
    check("boot key", ["-boot", "order=c,when=now"], "'when' is not known")
    if os.geteuid() != 0:
        with open("protected", "wb") as out:
            out.write(bytes(4096))
        os.chmod("protected", 0o444)
        check("read-only disk", ["-hda", "protected"], "use -snapshot, or readonly=on")
    images = {}
    for name, head in (("truncated.qcow2", qcow2()[:60]), ("short.qcow2", qcow2()[:3 * 65536]),
                       ("encrypted.qcow2", qcow2(crypt=1)), ("version.qcow2", qcow2(version=7)),
                       ("clusters.qcow2", qcow2(cluster_bits=40)), ("features.qcow2", qcow2(incompatible=1 << 40)),
                       ("datafile.qcow2", qcow2(incompatible=4)), ("corrupt.qcow2", qcow2(incompatible=2)),
                       ("backing.qcow2", qcow2(backing=b"nowhere.img")),
                       ("self.qcow2", qcow2(backing=b"self.qcow2"))):
        images[name] = head
        with open(name, "wb") as out:
            out.write(head)
    for name, sentence in (("truncated", "is truncated"), ("short", "not in the file"),
                           ("encrypted", "is encrypted"), ("version", "version 7"), ("clusters", "clusters of 2^40"),
                           ("features", "bit 40"), ("datafile", "another file"), ("corrupt", "marked as corrupt"),
                           ("backing", "needs its backing file"), ("self", "stands on it itself")):
        check(f"{name} qcow2", ["-hda", name + ".qcow2"], sentence)
    for name, content in images.items():
        with open(name, "rb") as image:
            if image.read() != content:
                failures += 1
                print(f"not ok - {name} is unchanged")
    with open("used", "wb") as out:
        out.write(bytes(4096))
    first = subprocess.Popen([RINGER, "-S", "-display", "none", "-serial", "none", "-hda", "used"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    first.stderr.readline()  # the engine line comes when all images are open
    check("image in use", ["-hda", "used"], "in use already")
    first.kill()
    first.wait()
    check("unknown log item", ["-kernel", "good", "-d", "int,everything"], "'everything'")
    check("log file in no folder", ["-kernel", "good", "-D", "no/where"], "cannot write 'no/where'")
    check("serial file in no folder", ["-kernel", "good", "-serial", "file:no/where"],
          "Could not open 'no/where': No such file")
    for name, chardev, sentence in (("socket of no kind", "socket,id=a", "give path=, or host= and port="),
                                    ("back end without id", "null", "no id specified"),
                                    ("file without path", "file,id=a", "no filename given"),
                                    ("unknown back end", "pigeon,id=a", "'pigeon' is not a valid char driver name"),
                                    ("unknown key", "null,id=a,colour=red", "Invalid parameter 'colour'"),
                                    ("no such switch", "null,id=a,mux=perhaps", "'mux' expects 'on' or 'off'"),
                                    ("back end that is not there", "braille,id=a", "no braille displays"),
                                    ("nobody listens", "socket,id=a,path=no-one", "Failed to connect to 'no-one'"),
                                    ("no descriptor", "socket,id=a,fd=77", "File descriptor '77' is not a socket"),
                                    ("no set", "file,id=a,path=/dev/fdset/3", "Could not open '/dev/fdset/3'")):
        check(name, ["-kernel", "good", "-chardev", chardev], sentence)
    check("passed file that is none", ["-kernel", "good", "-add-fd", "set=1,fd=77"], "fd is not valid or already in use")
    check("standard output passed", ["-kernel", "good", "-add-fd", "set=1,fd=1"], "cannot be a standard I/O stream")
    check("in the background", ["-kernel", "good", "-daemonize", "-serial", "file:no/where"], "Could not open")
    check("unknown serial device", ["-kernel", "good", "-serial", "carrier-pigeon"], "carrier-pigeon")
    check("debug exit on taken ports", ["-kernel", "good", "-device", "isa-debug-exit,iobase=0x60"],
          "are taken")
    one = "user,id=a"
    for name, words, sentence in (
            ("back end without id", ["-netdev", "user"], "'id' is missing"),
            ("unknown back end", ["-netdev", "pigeon,id=a"], "there is no network back end 'pigeon'"),
            ("unknown -net", ["-net", "pigeon"], "there is no network back end 'pigeon'"),
            ("two back ends of one name", ["-netdev", one, "-netdev", one], "Duplicate ID 'a'"),
            ("unknown key", ["-netdev", one + ",colour=red"], "Invalid parameter 'colour'"),
            ("network", ["-netdev", one + ",net=nonsense"], "such as 10.0.2.0/24, not 'nonsense'"),
            ("address outside", ["-netdev", one + ",host=1.2.3.4"], "not an address in the network"),
            ("switch", ["-netdev", one + ",restrict=perhaps"], "on or off, not 'perhaps'"),
            ("IPv6 prefix", ["-netdev", one + ",ipv6-prefix=zz"], "an IPv6 address, not 'zz'"),
            ("forward", ["-netdev", one + ",hostfwd=nonsense"], "is not a rule such as tcp:127.0.0.1:2222-:22"),
            ("forward of somebody's address", ["-netdev", one + ",hostfwd=tcp:192.0.2.1:99-:22"],
             "Could not set up host forwarding rule"),
            ("guestfwd", ["-netdev", one + ",guestfwd=x"], "is not a rule such as tcp:10.0.2.100:80-cmd:"),
            ("TFTP folder", ["-netdev", one + ",tftp=nothere"], "is not a folder"),
            ("descriptor", ["-netdev", "tap,id=a,fd=77"], "there is no such open descriptor"),
            ("socket of no kind", ["-netdev", "socket,id=a"], "exactly one of listen=, connect="),
            ("nobody listens", ["-netdev", "socket,id=a,connect=127.0.0.1:1"], "Connection refused"),
            ("stream to nowhere", ["-netdev", "stream,id=a"], "addr.type is inet, unix or fd"),
            ("port of no hub", ["-netdev", "hubport,id=a"], "'hubid' is a number"),
            ("card on nothing", ["-device", "e1000,netdev=nothere"], "no -netdev with the id 'nothere'"),
            ("-net nic on nothing", ["-net", "nic,netdev=nothere"], "no -netdev with the id 'nothere'"),
            ("two cards on one", ["-netdev", one, "-device", "e1000,netdev=a", "-device", "e1000,netdev=a"],
             "netdev 'a' is in e1000/0 already"),
            ("address", ["-nic", "user,mac=nonsense"], "such as 52:54:00:12:34:56, not 'nonsense'"),
            ("group address", ["-nic", "user,mac=01:00:00:00:00:01"], "multicast MAC address '01:00:00:00:00:01'"),
            ("bootindex", ["-device", "e1000,bootindex=x"], "bootindex= is a number, not 'x'"),
            ("ROM", ["-device", "e1000,romfile=nothere.rom"], "cannot read option ROM 'nothere.rom'"),
            ("model", ["-nic", "user,model=ne3210"], "Unsupported NIC model: ne3210"),
            ("ports that are taken", ["-device", "ne2k_isa,iobase=0x60"], "ports 0x60 to 0x7f are taken"),
            ("forward without a network", ["-nic", "none", "-redir", "tcp:5000::22"], "need a user network"),
            ("dump of nothing", ["-object", "filter-dump,id=d,netdev=nothere,file=x"], "no -netdev with the id 'nothere'"),
            ("unknown object", ["-object", "pigeon,id=a"], "invalid object type: pigeon")):
        check(f"network: {name}", ["-kernel", "good", "-display", "none", "-serial", "none", *words], sentence)
    for name, words, sentence in (
            ("no controller", ["-device", "usb-tablet"], "No 'usb-bus' bus found for device 'usb-tablet'"),
            ("port that is not there", ["-usb", "-device", "usb-tablet,port=3"], "there is no USB port '3'"),
            ("port that is taken", ["-usb", "-device", "usb-kbd,port=2", "-device", "usb-tablet,port=2"],
             "USB port '2' is taken by QEMU USB Keyboard"),
            ("no port left", ["-usb", "-device", "usb-kbd,port=2", "-device", "usb-kbd,port=1", "-device", "usb-tablet"],
             "all USB ports are taken"),
            ("bus that is not there", ["-usb", "-device", "usb-tablet,bus=usb-bus.1"], "'usb-bus.1' is none here"),
            ("node without a name", ["-blockdev", "file,filename=/etc/passwd"], "'node-name' must be specified"),
            ("node of no file", ["-blockdev", "raw,node-name=n,file=m"], "node-name='m'"),
            ("node's parameter", ["-blockdev", "raw,node-name=n,file=m,colour=red"], "Invalid parameter 'colour'"),
            ("video memory", ["-vga", "none", "-device", "VGA,vgamem_mb=7"], "vgamem_mb is 1, 2, 4"),
            ("-usbdevice", ["-usbdevice", "braille"], "choose tablet, mouse, keyboard or disk:FILE"),
            ("-usbdevice disk:", ["-usbdevice", "disk:"], "needs a file")):
        check(f"USB: {name}", ["-kernel", "good", "-display", "none", "-serial", "none", *words], sentence)
    for engine in ("interp", "bt"):
        check(f"memory limit under {engine}", ["-kernel", "good", "-m", "3072", "-accel", engine], "-m",
              limit=1 << 30)
        # Also where RAM would fit but the rest of the engine does not: a sentence, not a signal.
        check(f"small memory limit under {engine}", ["-kernel", "good", "-m", "256", "-accel", engine], "",
              limit=300 << 20 if engine == "bt" else 200 << 20)

sys.exit(1 if failures else 0)
