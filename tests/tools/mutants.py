#!/usr/bin/env python3
"""Shows that each fence around directly executed code matters: takes them down one by one, in a copy of the tree, and
expects tests/boot/hostile.py to fail.

    mutants.py          about 3 minutes; status 1 if a mutant passes
"""
import os
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

# name, file, text there, text instead
MUTANTS = [
    ("the runner may do system calls", "src/native/cell/stub.S",
     "runner_filter:\n    FILTER(RET, 0, 0, TRAP)", "runner_filter:\n    FILTER(RET, 0, 0, ALLOW)"),
    ("the orders may be written in the cell", "src/native/cell/stub.S",
     "movl $1, %edx       /* PROT_READ */", "movl $3, %edx"),
    ("the stub's own code may be written", "src/native/meson.build", "'-Wl,-z,noseparate-code'", "'-Wl,-N'"),
    ("supervisor pages are mapped into cells", "src/native/shadow_cell.c",
     "if (gla < cell_lowest() || !shadow_walk(&bt->cpu, s, gla, &k) || !k.u ||",
     "if (gla < cell_lowest() || !shadow_walk(&bt->cpu, s, gla, &k) ||"),
]


def call(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def build(tree):
    out = os.path.join(tree, "out")
    if not os.path.isdir(out):
        made = call(["meson", "setup", out, tree])
        if made.returncode:
            sys.exit(made.stdout.decode())
    made = call(["ninja", "-C", out, "src/ringer", "tests/guest/hostile.elf"])
    if made.returncode:
        sys.exit(made.stdout.decode())
    return os.path.join(out, "src", "ringer"), os.path.join(out, "tests", "guest", "hostile.elf")


def hostile(tree):
    ringer, image = build(tree)
    return call([sys.executable, os.path.join(tree, "tests/boot/hostile.py"), ringer, "direct,always=on", image])


def main():
    with tempfile.TemporaryDirectory() as tree:
        for name in subprocess.check_output(["git", "-C", TOP, "ls-files"], text=True).split("\n"):
            if name and os.path.exists(os.path.join(TOP, name)):
                os.makedirs(os.path.join(tree, os.path.dirname(name)), exist_ok=True)
                shutil.copy2(os.path.join(TOP, name), os.path.join(tree, name))
        sane = hostile(tree)
        if sane.returncode:
            print(sane.stdout.decode())
            print("WRONG: hostile.py fails with all fences up")
            return 1
        print("all fences up: passes")
        alive = 0
        for name, path, old, new in MUTANTS:
            path = os.path.join(tree, path)
            text = open(path).read()
            if text.count(old) != 1:
                sys.exit("mutant '%s': its text is not there once" % name)
            open(path, "w").write(text.replace(old, new))
            run = hostile(tree)
            print("%s: %s" % (name, "found" if run.returncode else "NOT FOUND"))
            for line in run.stdout.decode(errors="replace").splitlines()[:4]:
                print("    " + line)
            alive += not run.returncode
            open(path, "w").write(text)
    return 1 if alive else 0


sys.exit(main())
