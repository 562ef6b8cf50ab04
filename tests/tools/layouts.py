#!/usr/bin/env python3
"""Checks that each state layout names every member of its struct, so that nothing is forgotten in a saved machine.

    layouts.py [TOP]              exit status 1 and a line for each member that is missing
    layouts.py --mutate [TOP]     takes each field out of each layout, one at a time, and expects the check to notice

A member that is not to be saved does not belong into such a struct.
"""
import os
import re
import sys

FOLDERS = ["devices", "include", "src", "tests/unit"]


def strip_comments(text):
    return re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", " ", text, flags=re.S))


def sources(top):
    for folder in FOLDERS:
        for directory, _, names in os.walk(os.path.join(top, folder)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    path = os.path.join(directory, name)
                    with open(path) as f:
                        yield os.path.relpath(path, top), f.read()


def struct_members(body):
    """The names declared in a struct's body; inner structs count as their own declarator."""
    while re.search(r"\{[^{}]*\}", body):
        body = re.sub(r"\{[^{}]*\}", " ", body)
    for declaration in body.split(";"):
        declaration = re.sub(r"\[[^\]]*\]", "", declaration).strip()
        if not declaration:
            continue
        pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", declaration)
        if pointer:  # to a function
            yield pointer.group(1)
            continue
        for declarator in declaration.split(","):
            yield re.findall(r"\w+", declarator)[-1]


def structs(files):
    found = {}
    for _, text in files:
        for match in re.finditer(r"^struct (\w+) \{\n(.*?)^\}", strip_comments(text), re.M | re.S):
            found[match.group(1)] = set(struct_members(match.group(2)))
    return found


LAYOUT = re.compile(r"struct state_layout \w+ =\s*(?:STATE_LAYOUT\(\s*\d+,\s*(\w+),\s*(\w+)\)|"
                    r"\{\s*\d+,\s*G_N_ELEMENTS\((\w+)\),\s*\w+,\s*sizeof\(struct (\w+)\)\s*\})")


def layouts(text):
    """(struct, name of the field array, its fields)"""
    code = strip_comments(text)
    for match in LAYOUT.finditer(code):
        struct, array = match.group(1) or match.group(4), match.group(2) or match.group(3)
        body = re.search(r"struct state_field %s\[\] = \{(.*?)\};" % array, code, re.S)
        yield struct, array, re.findall(r"\b(?:F\(|STATE_FIELD\(\s*\w+,)\s*(\w+)\s*\)", body.group(1)) if body else []


def excepted(text, array):
    """Members that the comment before the fields says are not saved."""
    match = re.search(r"/\* layouts: not saved: ([\w ]+) \*/\nstatic const struct state_field %s\[\]" % array, text)
    return set(match.group(1).split()) if match else set()


def check(files, known):
    problems, count = [], 0
    for path, text in files:
        for struct, array, fields in layouts(text):
            count += 1
            not_saved = excepted(text, array)
            if struct not in known:
                problems.append("%s: struct %s of %s is not found" % (path, struct, array))
                continue
            for member in sorted(known[struct] - set(fields) - not_saved):
                problems.append("%s: %s lacks member %s of struct %s" % (path, array, member, struct))
            for member in sorted(set(fields)):
                if fields.count(member) > 1:
                    problems.append("%s: %s has %s twice" % (path, array, member))
        if len(re.findall(r"struct state_layout \w+ =", strip_comments(text))) != len(list(layouts(text))):
            problems.append("%s: a layout is written in a way that this check does not understand" % path)
    return problems, count


def mutate(files, known):
    missed = tried = 0
    for path, text in files:
        for struct, array, fields in layouts(text):
            start = text.index("struct state_field %s[]" % array)
            end = text.index("};", start)
            for field in fields:
                body = text[start:end]
                less = re.sub(r"\b(?:F\(|STATE_FIELD\(\s*\w+,)\s*%s\s*\),?" % field, "", body, count=1)
                tried += 1
                problems, _ = check([(path, text[:start] + less + text[end:])], known)
                if not any("lacks member %s of struct %s" % (field, struct) in p for p in problems):
                    print("%s: without %s in %s nothing is noticed" % (path, field, array))
                    missed += 1
    print("layouts: %d fields taken out, %d not noticed" % (tried, missed))
    return 1 if missed or not tried else 0


def main():
    rest = [a for a in sys.argv[1:] if a != "--mutate"]
    top = os.path.abspath(rest[0] if rest else os.path.join(os.path.dirname(__file__), "..", ".."))
    files = list(sources(top))
    known = structs(files)
    if "--mutate" in sys.argv:
        return mutate(files, known)
    problems, count = check(files, known)
    print("\n".join(problems + ["layouts: %d, %d problems" % (count, len(problems))]))
    return 1 if problems or count < 20 else 0


sys.exit(main())
