#!/usr/bin/env python3
"""A Debian i386 program with all libraries it needs, for an initrd: into the guest cache as NAME/bin and NAME/lib.

    program.py NAME PROGRAM PACKAGE...

PACKAGEs and what they depend on are downloaded; only PROGRAM and the libraries that it, or one of those, names stay.
Prints the folder.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

CACHE = os.environ.get("RINGER_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ringer")


def run(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def closure(packages):
    """With all they depend on, as far as a machine without anything would need it."""
    out = run("apt-get", "install", "-s", "-qq", "--no-install-recommends", "-o", "Dir::State::status=/dev/null", "-o",
              "APT::Architecture=i386", "-o", "APT::Architectures::=i386", *packages)
    names = [name.split(":")[0] for name in re.findall(r"^Inst (\S+)", out, re.M)]
    return [name for name in names if name in packages or name.startswith(("lib", "zlib"))]


def needed(path):
    return re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", path))


def main():
    name, program, packages = sys.argv[1], sys.argv[2], sys.argv[3:]
    dest = os.path.join(CACHE, name)
    if not os.path.exists(os.path.join(dest, ".complete")):
        with tempfile.TemporaryDirectory(dir=CACHE) as top:
            os.chmod(top, 0o755)
            for package in closure(packages):
                # What is there for all architectures has no library; one that is missing is found out below.
                subprocess.run(["apt-get", "download", "-qq", package + ":i386"], cwd=top, capture_output=True)
            for deb in glob.glob(os.path.join(top, "*.deb")):
                run("dpkg-deb", "-x", deb, os.path.join(top, "x"))
            files = {}
            for folder, _, names in os.walk(os.path.join(top, "x")):
                for file in names:
                    if folder.endswith("bin") or ".so" in file:
                        files.setdefault(file, os.path.join(folder, file))
            shutil.rmtree(dest, ignore_errors=True)
            os.makedirs(os.path.join(dest, "bin"))
            os.makedirs(os.path.join(dest, "lib"))
            shutil.copy(files[program], os.path.join(dest, "bin", program))
            wanted, seen = needed(files[program]) + ["ld-linux.so.2"], set()
            while wanted:
                library = wanted.pop()
                if library in seen:
                    continue
                seen.add(library)
                shutil.copy(os.path.realpath(files[library]), os.path.join(dest, "lib", library))
                wanted += needed(os.path.realpath(files[library]))
            with open(os.path.join(dest, ".complete"), "w") as f:
                f.write("complete\n")
    print(dest)


main()
