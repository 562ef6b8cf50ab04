"""An initrd with more programs in it: a second cpio archive behind the guest cache's. Linux unpacks both."""
import gzip
import os

CACHE = os.environ.get("RINGER_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ringer")

MODULES = os.path.join(CACHE, "modules-686")
NETWORK = os.path.join(CACHE, "net-686")
NET_TOOLS = os.path.join(CACHE, "net-tools")
VIRTIO = os.path.join(CACHE, "virtio-686")
SOUND = os.path.join(CACHE, "sound-686")
SOUND_MORE = os.path.join(CACHE, "sound-more-686")
INPUT = os.path.join(CACHE, "input-686")
USB = os.path.join(CACHE, "usb-686")
GRAPHICS = os.path.join(CACHE, "graphics-686")
GRAPHICS_MORE = os.path.join(CACHE, "graphics-more-686")
USB_DISK = os.path.join(CACHE, "usb-disk-686")
XHCI = os.path.join(CACHE, "xhci-686")
FAT = os.path.join(CACHE, "fat-686")


def cpio(files):
    """A newc archive (Linux, Documentation/driver-api/early-userspace/buffer-format) of {path: content}."""
    archive = b""

    def add(path, mode, content):
        nonlocal archive
        name = path.encode() + b"\0"
        fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)

    for folder in sorted({os.path.dirname(path[:i] + "/") for path in files for i, c in enumerate(path) if c == "/"}):
        add(folder, 0o40755, b"")
    for path, content in files.items():
        add(path, 0o100755, content)
    add("TRAILER!!!", 0, b"")
    return archive


def write_with_modules(destination, programs=(), modules=MODULES):
    """As write, and with drivers of disks in /lib/drivers; "for m in /lib/drivers/*; do insmod $m; done" loads them.
    modules: VIRTIO for those of virtio devices."""
    drivers = {"lib/drivers/" + name: os.path.join(modules, name)
               for name in sorted(os.listdir(modules)) if name.endswith(".ko")}
    write(destination, programs, drivers)


def is_there(groups):
    """groups: as drivers_of's; the guest cache has them."""
    return all(os.path.exists(os.path.join(folder, ".complete")) for folder, _ in groups)


def drivers_of(groups):
    """{path there: path here} of the drivers of several folders, to be loaded in this order. groups: (folder, words), with words
    only those that have one of them in their names; None: all."""
    return {"lib/drivers/%d-%s" % (number, name): os.path.join(folder, name)
            for number, (folder, words) in enumerate(groups) for name in os.listdir(folder)
            if name.endswith(".ko") and (not words or any(word in name for word in words))}


def tree(top):
    """{path there: path here} of a folder with bin and lib."""
    return {"%s/%s" % (folder, name): os.path.join(top, folder, name)
            for folder in ("bin", "lib") for name in sorted(os.listdir(os.path.join(top, folder)))}


def write(destination, programs, more=None):
    """Writes the cache's initrd with programs (paths of files here) in /bin; more: {path there: path here}."""
    sources = dict(more or {})
    sources.update({"bin/" + os.path.basename(program): program for program in programs})
    files = {}
    for path, source in sources.items():
        with open(source, "rb") as f:
            files[path] = f.read()
    with open(os.path.join(CACHE, "initrd.gz"), "rb") as f:
        base = f.read()
    with open(destination, "wb") as f:
        f.write(base + gzip.compress(cpio(files), 1))
