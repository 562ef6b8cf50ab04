#!/usr/bin/env python3
"""Checks that includes point downward only, and that dangerous things have one owner file.

    layers.py [TOP]      exit status 1 and a line for each breach
"""
import os
import re
import sys

TOP = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

# A file in a layer may include headers of its own layer, of those listed, and of include/.
LAYERS = {
    "devices": [],
    "translator": [],
    "src/cpu": [],
    "src/native": [],
    "src/host": ["src"],
    "src/bench": ["src/bench/programs"],
    "src": ["src/cpu", "src/native", "src/host", "src/bench", "translator", "devices"],
}
# src/ files that sit below the composition root and must not look up at it.
LOW = {"src/base/mem.c", "src/base/log.c", "src/base/ioport.c", "src/base/vclock.c"}

# What only one file may do. Patterns are looked for outside comments.
OWNERS = {
    r"\bsigaction\s*\(": {"src/native/sighandler.c"},
    r"\bmprotect\s*\(": {"src/native/window.c", "translator/jtable.c", "src/engine/bt_loop.c", "src/cpu/fpu_thunk.c"},
    r"\buc_mcontext\b": {"src/native/sighandler.c", "translator/recover.c"},
    r"\bclock_gettime\s*\(": {"src/base/vclock.c", "src/base/log.c", "src/engine/vcpu.c"},
    r"\bwrgsbase\b": {"src/native/world.c"},
    r"\bfxrstor\b": {"src/native/world.c", "src/cpu/fpu_thunk.c", "src/cpu/interp_fpu.c", "src/cpu/interp_x87.c"},
    r"\b(SDL|slirp)_\w+\s*\(": {"src/host/net.c", "src/host/ui.c"},
    r"\bguest_mem\.ram\b": {"src/base/mem.c", "include/mem.h"},
}


def layer_of(path):
    best = None
    for layer in LAYERS:
        if path.startswith(layer + "/") and (best is None or len(layer) > len(best)):
            best = layer
    return best


def strip_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return re.sub(r"//[^\n]*", "", text)


def main():
    bad = 0
    for root in LAYERS:
        for directory, _, names in os.walk(os.path.join(TOP, root)):
            for name in names:
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.relpath(os.path.join(directory, name), TOP)
                if layer_of(path) != root:
                    continue
                with open(os.path.join(TOP, path)) as f:
                    text = f.read()
                for include in re.findall(r'^#include "([^"]+)"', text, re.M):
                    if os.path.exists(os.path.join(TOP, "include", include)):
                        continue
                    for candidate in [root] + LAYERS[root]:
                        target = os.path.normpath(os.path.join(candidate, include))
                        if os.path.exists(os.path.join(TOP, target)):
                            break
                    else:
                        if include.endswith(".def") or "/" not in include and root == "src/cpu":
                            continue
                        print("%s: includes %s, which its layer may not see" % (path, include))
                        bad += 1
                    if path in LOW:
                        print("%s: a low file includes %s" % (path, include))
                        bad += 1
                code = strip_comments(text)
                for pattern, owners in OWNERS.items():
                    if path not in owners and re.search(pattern, code):
                        print("%s: %s belongs to %s" % (path, pattern, ", ".join(sorted(owners))))
                        bad += 1
    print("layers: %d breaches" % bad)
    return 1 if bad else 0


sys.exit(main())
