#!/usr/bin/env python3
"""Checks that includes point downward only, and that dangerous things have one owner file.

    layers.py [TOP [FILE...]]      exit status 1 and a line for each breach; FILE: only these, relative to TOP

An include is resolved as the compiler does it: the includer's own folder (for quotes), then the search path of
meson.build. So it does not matter how a file is spelled, only which one is read.
"""
import os
import re
import sys

TOP = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", ".."))
SEARCH = ["include", "src", "."]

# Which folders a folder may look into, besides itself and include/. Whoever is missing here may be included by nobody.
HOST = ["src/host/audio", "src/host/block", "src/host/char", "src/host/display", "src/host/display/window", "src/host/vnc", "src/host/folder", "src/host/fs", "src/host/net", "src/host/usb"]
ENGINE = ["src/engine", "src/engine/kvm", "src/native", "src/native/cell", "translator", "src/cpu"]
LAYERS = {
    "include": ["src/cpu/decode"],
    "src/base": [],
    "src/cpu/decode": [],
    "src/cpu": ["src/cpu/decode"],
    "translator": [],
    "src/native": ["src/native/cell", "translator"],
    "src/native/cell": [],
    "devices": [],
    "devices/net": ["devices"],
    "devices/sound": ["devices"],
    "devices/virtio": ["devices", "devices/vga"],  # virtio-vga is a VGA, too
    "devices/usb": ["devices"],
    "devices/vga": ["devices"],
    "src/engine": ENGINE,
    "src/engine/kvm": ENGINE,
    "src/firmware": ["devices"],
    "src/host/audio": ["src/host"],  # sdl_load.h
    "src/host/block": [],
    "src/host/char": ["src/host"],  # dialer.c: its own fence
    "src/host/folder": ["src/host", "src/host/block"],
    "src/host/fs": ["src/host"],
    "src/host/net": ["src/host"],  # processes, their fence
    "src/host/usb": ["src/host"],
    "src/host/display": HOST,
    "src/host/vnc": ["src/host", "src/host/audio", "src/host/display"],  # a process, its fence
    "src/host/display/window": HOST + ["src/host"],  # sdl_load.h
    "src/host/control": HOST,
    "src/host": ["src/native"],  # fence.c: SIGSYS
    "src/bench": ["src/bench/programs"],
    "src/bench/programs": [],
    "src/bench/nano": [],
    "src/board": HOST + ENGINE + ["src/host", "src/host/control", "src/firmware", "devices"],
    "src/control": HOST + ENGINE + ["src/host/control", "src/board", "devices"],
    "src/state": ["src/board", "src/engine", "src/cpu", "devices"],
    "src/cli": ["src/board", "src/control", "src/bench", "src/engine", "src/host", "src/host/audio", "src/host/block",
                "src/host/char", "src/host/display/window", "src/host/net", "src/host/vnc"],
}
# Of these folders others may include these headers only; the rest are private.
PUBLIC = {
    "translator": ["block.h", "cache.h", "ginsn.h", "jtable.h", "site.h"],
}
# Exceptions, each with its reason.
EXCEPTIONS = {
    ("src/board", "src/cli/options.h"): "what the user wants is built here",
}

# include/ has an order of its own: a header may include those of earlier rows and its own row. insn.def is a table.
CONTRACTS = [
    ["types.h", "x86.h", "acpi.h", "dispi.h"],
    ["log.h", "stats.def", "stats.h"],
    ["insn.h", "cpu.h"],
    ["bt.h"],
    ["mem.h", "ioport.h", "irq.h", "lock.h", "vclock.h", "devthread.h", "busypoll.h", "clipboard.h"],
    ["files.h", "keyvalue.h", "state.h"],
    ["device.h"],
    ["audio.h", "backend.h", "balloon.h", "block.h", "debug.h", "display.h", "flight.h", "fsdev.h", "hostcpu.h", "input.h", "netdev.h", "points.h", "usb.h", "usbhost.h"],
]
RANK = {name: rank for rank, row in enumerate(CONTRACTS) for name in row}

# What only one file may do. Patterns are looked for outside comments.
OWNERS = {
    r"\bsigaction\s*\(": {"src/native/sighandler.c"},
    r"\bmprotect\s*\(": {"src/native/window.c", "translator/jtable.c", "src/engine/bt_loop.c", "src/cpu/fpu_thunk.c"},
    r"\buc_mcontext\b": {"src/native/sighandler.c", "translator/recover.c"},
    r"\bclock_gettime\s*\(": {"src/base/vclock.c", "src/base/busypoll.c", "src/base/log.c", "src/engine/vcpu.c"},
    r"\bwrgsbase\b": {"src/native/world.c"},
    r"\bfxrstor\b": {"src/native/world.c", "src/cpu/fpu_thunk.c", "src/cpu/interp_fpu.c", "src/cpu/interp_x87.c"},
    r"\b(SDL|slirp)_\w+\s*\(": {"src/host/net/role_user.c", "src/host/net/guestfwd.c", *("src/host/display/window/%s.c" % name for name in
                                   ("bar", "clipboard", "glyphs", "menu", "picture", "selection", "window")),
                                     "src/host/audio/sdl_audio.c", "src/host/sdl_load.c"},
    r"\bsrc_(process|new)\s*\(": {"src/host/audio/mixer.c", "src/host/audio/playback.c", "src/host/vnc/sound.c"},
    r"\bguest_mem\.ram\b": {"src/base/mem.c", "include/mem.h"},
}


def strip_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return re.sub(r"//[^\n]*", "", text)


def resolve(path, name, quoted):
    """The project's file that the compiler reads, or None: a system header or a generated one."""
    for folder in ([os.path.dirname(path)] if quoted else []) + SEARCH:
        target = os.path.normpath(os.path.join(folder, name))
        if not target.startswith("..") and os.path.isfile(os.path.join(TOP, target)):
            return target
    return None


def breaches(path, text):
    own = os.path.dirname(path)
    code = strip_comments(text)
    if own not in LAYERS:
        yield "its folder has no place in layers.py"
        return
    if own == "include" and path.endswith(".h") and os.path.basename(path) not in RANK:
        yield "has no place in the order of include/"
    for mark, name in re.findall(r'^\s*#\s*include\s*(["<])([^">]+)[">]', code, re.M):
        target = resolve(path, name, mark == '"')
        if target is None:
            if mark == '"':
                yield "includes \"%s\", which is nowhere" % name
            continue
        folder = os.path.dirname(target)
        if (own, target) in EXCEPTIONS:
            continue
        if own == "include" and folder == "include":
            mine, other = (RANK.get(os.path.basename(p)) for p in (path, target))
            if mine is not None and (other is None or other > mine):
                yield "includes %s, which is not below it in the order of include/" % target
        elif folder not in (own, "include") and folder not in LAYERS[own]:
            yield "includes %s, which its layer may not see" % target
        elif folder != own and os.path.basename(target) not in PUBLIC.get(folder, [os.path.basename(target)]):
            yield "includes %s, which is private to its folder" % target
    for pattern, owners in OWNERS.items():
        if path not in owners and re.search(pattern, code):
            yield "%s belongs to %s" % (pattern, ", ".join(sorted(owners)))


def main():
    bad = 0
    files = sys.argv[2:]
    for root in [] if files else sorted({layer.split("/")[0] for layer in LAYERS}):
        for directory, _, names in os.walk(os.path.join(TOP, root)):
            files += [os.path.relpath(os.path.join(directory, name), TOP) for name in sorted(names)]
    for path in files:
        if path.endswith((".c", ".h")):
            with open(os.path.join(TOP, path)) as f:
                for what in breaches(path, f.read()):
                    print("%s: %s" % (path, what))
                    bad += 1
    print("layers: %d breaches" % bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
