#!/usr/bin/env python3
"""Checks that every C file of the repository is as clang-format would write it; format.py --fix writes it so.

    format.py [--fix] [TOP]      exit status 1 and the names of files that differ; 77 where there is no clang-format
"""
import os
import shutil
import subprocess
import sys

fix = "--fix" in sys.argv
rest = [a for a in sys.argv[1:] if a != "--fix"]
top = rest[0] if rest else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
if not shutil.which("clang-format"):
    print("format: clang-format is not installed")
    sys.exit(77)
files = []
for folder in "bios devices include src tests translator".split():
    for directory, _, names in os.walk(os.path.join(top, folder)):
        files += [os.path.join(directory, name) for name in names if name.endswith((".c", ".h"))]
files.sort()
if fix:
    sys.exit(subprocess.run(["clang-format", "-i"] + files).returncode)
bad = 0
for file in files:
    formatted = subprocess.run(["clang-format", file], stdout=subprocess.PIPE, check=True).stdout
    with open(file, "rb") as f:
        if f.read() != formatted:
            print("%s: not formatted; run tests/tools/format.py --fix" % os.path.relpath(file, top))
            bad += 1
print("format: %d of %d files differ" % (bad, len(files)))
sys.exit(1 if bad or not files else 0)
