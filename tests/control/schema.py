#!/usr/bin/env python3
"""Commands and events have the shapes that QEMU's have: members, types, what is optional, values of enums.

usage: schema.py RINGER [QEMU]

Both programs are asked by query-qmp-schema. Types are compared by what they are made of, as their names mean nothing.
Of a shape of ours everything has to be in QEMU's, with the same type; what QEMU's commands need, ours may not do
without; what QEMU's answers always have, ours have. Differences that are meant stand in differences.txt with a reason;
one that is there and not found is a failure, too. There, * stands for anything.
"""
import fnmatch
import os
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, "..", "lib"))
from qmp import Machine, Schema  # noqa: E402

SKIP = 77


def ask(command):
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(command + ["-display", "none", "-S", "-m", "16", "-nodefaults"], folder,
                          stderr=subprocess.DEVNULL)
        schema = Schema(machine.qmp.execute("query-qmp-schema"))
        machine.end()
        return schema


class Comparison:
    def __init__(self, ours, theirs):
        self.ours, self.theirs = ours, theirs
        self.found = []
        self.seen = set()

    def say(self, path, what):
        self.found.append("%s: %s" % (path, what))

    def types(self, our, their, path, is_answer):
        if (our, their, is_answer) in self.seen:
            return
        self.seen.add((our, their, is_answer))
        a, b = self.ours.of[our], self.theirs.of[their]
        if b["meta-type"] == "alternate":
            kinds = [self.theirs.of[m["type"]]["meta-type"] for m in b["members"]]
            if a["meta-type"] not in kinds and a["meta-type"] != "alternate":
                self.say(path, "%s, there one of %s" % (a["meta-type"], kinds))
            return
        if a["meta-type"] != b["meta-type"]:
            self.say(path, "%s, there %s" % (a["meta-type"], b["meta-type"]))
        elif a["meta-type"] == "builtin" and a["json-type"] != b["json-type"]:
            self.say(path, "%s, there %s" % (a["json-type"], b["json-type"]))
        elif a["meta-type"] == "enum":
            for value in sorted(set(a["values"]) - set(b["values"])):
                self.say(path, "value %s is not there" % value)
            for value in sorted(set(b["values"]) - set(a["values"])):
                self.say(path, "value %s is missing" % value)
        elif a["meta-type"] == "array":
            self.types(a["element-type"], b["element-type"], path + "[]", is_answer)
        elif a["meta-type"] == "object":
            self.objects(our, their, path, is_answer)

    def objects(self, our, their, path, is_answer):
        a, b = self.ours.members(our), self.theirs.members(their)
        for name in a:
            if name not in b:
                self.say(path, "member %s is not there" % name)
                continue
            self.types(a[name][0], b[name][0], path + "." + name, is_answer)
            if is_answer and a[name][1] and not b[name][1]:
                self.say(path, "member %s can be missing, there it is always given" % name)
            if not is_answer and not a[name][1] and b[name][1]:
                self.say(path, "member %s has to be given, there it can be left out" % name)
        for name in b:
            if name not in a and (is_answer != b[name][1] or not is_answer):
                self.say(path, "member %s is missing" % name)
        ours, theirs = self.ours.variants(our), self.theirs.variants(their)
        for value in ours:
            if value in theirs:
                self.types(ours[value], theirs[value], "%s(%s)" % (path, value), is_answer)

    def all(self):
        for name in self.ours.commands():
            if name not in self.theirs.of:
                self.say(name, "there is no such command there")
                continue
            self.types(self.ours.of[name]["arg-type"], self.theirs.of[name]["arg-type"], name, False)
            self.types(self.ours.of[name]["ret-type"], self.theirs.of[name]["ret-type"], name + "->", True)
        for name in self.ours.events():
            if name not in self.theirs.of:
                self.say(name, "there is no such event there")
                continue
            self.types(self.ours.of[name]["arg-type"], self.theirs.of[name]["arg-type"], name, True)
        return self.found


def meant():
    """{difference: reason}"""
    with open(os.path.join(FOLDER, "differences.txt"), encoding="utf-8") as f:
        lines = [line.rstrip("\n") for line in f if line.strip() and not line.startswith("#")]
    return {k.replace("[", "[[]"): why for k, why in (line.split(" -- ", 1) for line in lines)}


def main():
    ringer = os.path.abspath(sys.argv[1])
    qemu = sys.argv[2] if len(sys.argv) > 2 else "qemu-system-i386"
    try:
        version = subprocess.run([qemu, "-version"], capture_output=True, text=True, check=True).stdout
    except OSError:
        print("skipped: there is no %s to compare with" % qemu)
        return SKIP
    if "version 7.2" not in version:
        print("skipped: differences.txt is about QEMU 7.2, not " + version.split("\n", 1)[0])
        return SKIP
    ours, theirs = ask([ringer]), ask([qemu])
    found, known = Comparison(ours, theirs).all(), meant()
    new = [d for d in found if not any(fnmatch.fnmatchcase(d, k) for k in known)]
    gone = [k for k in known if not fnmatch.filter(found, k)]
    for difference in new:
        print("not meant: " + difference)
    for difference in gone:
        print("not there any more: " + difference)
    print("%d commands, %d events; %d differences, of which %d are meant" % (
        len(ours.commands()), len(ours.events()), len(found), len(found) - len(new)))
    return 1 if new or gone else 0


sys.exit(main())
