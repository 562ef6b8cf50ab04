#!/usr/bin/env python3
"""Plants breaches in a copy of the tree, one at a time, and expects layers.py to find each, and only that.

    layers_test.py [TOP]
"""
import os
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", ".."))
CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.py")

# file, line added at its end
BREACHES = [
    ("devices/pit.c", '#include "cpu/interp.h"'),
    ("devices/pit.c", '#include <engine/vcpu.h>'),
    ("devices/pit.c", '#include "../src/native/window.h"'),
    ("devices/pit.c", '  #  include "board/machine.h"'),
    ("translator/emit.c", '#include "devices/pic.h"'),
    ("translator/emit.c", '#include "engine/bt_loop.h"'),
    ("translator/emit.c", '#include "native/window.h"'),
    ("src/native/window.c", '#include "engine/vcpu.h"'),
    ("src/native/window.c", '#include "translator/tr.h"'),
    ("src/engine/bt_loop.c", '#include "translator/emit.h"'),
    ("src/cpu/paging.c", '#include "translator/ginsn.h"'),
    ("src/base/mem.c", '#include "cpu/paging.h"'),
    ("src/engine/vcpu.c", '#include "board/machine.h"'),
    ("src/engine/kvm/kvm.c", '#include "devices/pic.h"'),
    ("src/host/block/image.c", '#include "../control/monitor.h"'),
    ("src/host/display/keys.c", '#include "host/control/monitor.h"'),
    ("src/host/char/chardev.c", '#include "devices/uart.h"'),
    ("src/firmware/loader.c", '#include "board/machine.h"'),
    ("src/board/storage.c", '#include "bench/bench.h"'),
    ("src/bench/bench.c", '#include "board/machine.h"'),
    ("include/types.h", '#include "cpu.h"'),
    ("include/mem.h", '#include "device.h"'),
    ("include/block.h", '#include "host/block/image.h"'),
    ("include/newcomer.h", '#include "types.h"'),
    ("src/attic/newcomer.c", '#include "types.h"'),
    ("devices/pit.c", '#include "gone.h"'),
    ("devices/pit.c", "int x = mprotect(0, 0, 0);"),
    ("src/engine/gates.c", "static void f(void) { sigaction (1, 0, 0); }"),
    ("translator/tcache.c", "void *p = guest_mem.ram;"),
]
# What looks like one and is none.
HARMLESS = [
    ("devices/pit.c", "/* mprotect(x) and\n#include \"cpu/interp.h\"\nin a comment */"),
    ("src/engine/vcpu.c", '#include "native/window.h"'),
    ("src/native/window.c", '#include "translator/jtable.h"'),
]


def check(top, *files):
    run = subprocess.run([sys.executable, CHECK, top, *files], stdout=subprocess.PIPE, text=True)
    return run.returncode, run.stdout


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as work:
        tree = os.path.join(work, "tree")
        for folder in "include src translator devices".split():
            shutil.copytree(os.path.join(TOP, folder), os.path.join(tree, folder))
        if check(tree)[0] != 0:
            print("not ok: the tree has breaches to begin with")
            return 1
        for path, line in BREACHES + HARMLESS:
            file = os.path.join(tree, path)
            before = None
            if os.path.exists(file):
                with open(file) as f:
                    before = f.read()
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w") as f:
                f.write((before or "") + "\n" + line + "\n")
            status, out = check(tree, path) if (path, line) != BREACHES[0] else check(tree)  # the whole tree once
            wanted = (path, line) in BREACHES
            if (status == 1 and out.startswith(path + ":") and "layers: 1 breaches" in out) if wanted else status == 0:
                print("ok: %s: %s" % (path, line.split("\n")[0].strip()))
            else:
                print("NOT OK: %s: %s\n%s" % (path, line, out))
                failed += 1
            if before is None:
                os.remove(file)
            else:
                with open(file, "w") as f:
                    f.write(before)
    print("layers_test: %d of %d failed" % (failed, len(BREACHES) + len(HARMLESS)))
    return 1 if failed else 0


sys.exit(main())
