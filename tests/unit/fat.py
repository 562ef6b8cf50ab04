#!/usr/bin/env python3
"""Folders as FAT disks, judged by dosfstools and mtools: trees of all sorts are shown, and what is written comes back.

    fat.py FAT_TOOL [SEED [ROUNDS]]
"""
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile

TOOL = sys.argv[1]
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 12
DISK = 63 * 512
ENV = dict(os.environ, MTOOLS_SKIP_CHECK="1", LC_ALL="C.UTF-8", TZ="UTC")
KINDS = {"fat:": DISK, "fat:12:": DISK, "fat:16:": DISK, "fat:32:": DISK, "fat:floppy:": 0, "fat:floppy:16:": 0}
HOSTILE = ["a:b", "tab\there", "quote\"d", "<less>", "what?", "star*", "pipe|d", "back\\slash", "dot.", "dots...", "space ",
           " lead", ".hidden", ".hidden.txt", "a.b.c.d", "Case", "CASE", "case", "long name with spaces.text", "UPPER.TXT",
           "lower.txt", "noext", "x" * 255, "ü" * 127, "日本語.txt", "😀.txt", "a+b,c;d=e[f].txt", "con", "NUL.txt", "lpt1",
           "LONGNA~1.TXT", "longname one.txt", "longname two.txt", "~", "..x", "\x01\x02", "\x7f", "e" * 200 + ".a", "E" * 200 + ".a"]


def run(*args, check=True, **more):
    done = subprocess.run(args, capture_output=True, env=ENV, **more)
    if check and done.returncode:
        raise AssertionError("%s: %s %s" % (" ".join(map(str, args)), done.stdout.decode(errors="replace"),
                                            done.stderr.decode(errors="replace")))
    return done


def tool(command, name, image, *more, check=True):
    return run(TOOL, command, name, image, str(KINDS_SKIP(name)), *map(str, more), check=check)


def KINDS_SKIP(name):
    return 0 if "floppy" in name else DISK


def fsck(image):
    done = run("fsck.fat", "-n", "-v", image, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="replace")


def files(folder):
    """Contents by path, folders as None."""
    found = {}
    for top, dirs, names in os.walk(folder):
        for name in dirs:
            found[os.path.relpath(os.path.join(top, name), folder)] = None
        for name in names:
            with open(os.path.join(top, name), "rb") as f:
                found[os.path.relpath(os.path.join(top, name), folder)] = f.read()
    return found


def sums(folder):
    return sorted(hashlib.sha256(text).hexdigest() for text in files(folder).values() if text is not None)


def extract(image, to):
    os.makedirs(to)
    if run("mdir", "-b", "-i", image, "::", check=False).stdout.strip():
        run("mcopy", "-s", "-n", "-Q", "-i", image, "::*", to)


class Case:
    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="fat-test-", dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.folder = os.path.join(self.top, "folder")
        self.image = os.path.join(self.top, "image")
        os.mkdir(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.top)

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, text):
        path = os.path.join(os.fsencode(self.folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text)

    def dump(self, kind):
        tool("dump", kind + self.folder, self.image)
        return self.image

    def shown(self, kind):
        """The disk is sound, and every file of the folder is on it."""
        self.dump(kind)
        told = fsck(self.image)
        to = os.path.join(self.top, "extracted")
        extract(self.image, to)
        assert sums(to) == sums(self.folder), "contents differ (%s)" % kind
        assert len(files(to)) == len(files(self.folder)), "files differ (%s): %s" % (
            kind, set(files(to)) ^ set(files(self.folder)))
        shutil.rmtree(to)
        return told


def test_trees():
    """Every type, from nothing to folders in folders."""
    rng = random.Random(SEED)
    for kind in KINDS:
        with Case() as case:
            case.shown(kind)
            case.put("hello.txt", b"hello")
            case.put("empty", b"")
            for i in range(60):
                depth = "/".join("folder %d" % rng.randrange(3) for _ in range(rng.randrange(4)))
                case.put(os.path.join(depth, "file number %d.bin" % i), rng.randbytes(rng.choice([0, 1, 511, 512, 513, 8192, 20000])))
            told = case.shown(kind)
            bits = 16 if "16" in kind else 32 if "32" in kind else 12 if "12" in kind or "floppy" in kind else 16
            assert "%d bit entries" % bits in told, told


def test_hostile_names():
    """Whatever a host calls a file: it is there, once, with a name that FAT allows."""
    for kind in ("fat:", "fat:32:", "fat:floppy:"):
        with Case() as case:
            for i, name in enumerate(HOSTILE):
                case.put(name, b"%d" % i)
                if kind != "fat:floppy:":
                    case.put("below/" + name, b"below %d" % i)
            for name in (b"bad\xff\xfe", b"\xc3", b"ok\xe2\x82", b"\xed\xa0\x80"):
                case.put(name, name)
            case.shown(kind)
            names = run("mdir", "-b", "-i", case.image, "::").stdout.decode().split("\n")
            assert len(set(n.lower() for n in names)) == len(names)


def test_many_short_names():
    """Hundreds of names with one beginning."""
    with Case() as case:
        for i in range(1200):
            case.put("the same beginning %04d.text" % i, b"%d" % i)
        case.shown("fat:")
        case.shown("fat:32:")


def test_what_is_left_out():
    """Links, also to what is outside, pipes: not there, and said. Files of 4 GiB, too."""
    with Case() as case:
        case.put("file", b"1")
        os.symlink("/etc/passwd", case.path("link"))
        os.symlink("/etc", case.path("folder"))
        os.mkfifo(case.path("pipe"))
        with open(case.path("huge"), "wb") as f:
            f.truncate(1 << 32)
        told = tool("dump", "fat:" + case.folder, case.image).stderr.decode()
        assert "2 symbolic links are left out" in told and "1 sockets, pipes" in told and "1 files of 4 GiB" in told, told
        assert run("mdir", "-b", "-i", case.image, "::").stdout.decode().split() == ["::/file"]


def test_sizes():
    """Larger folders get larger disks; what does not fit is a sentence."""
    with Case() as case:
        for name, size, kind, fits in (("a", 2 << 20, "fat:floppy:", True), ("b", 2 << 20, "fat:floppy:", False),
                                       ("c", 40 << 20, "fat:12:", False), ("d", 600 << 20, "fat:", True),
                                       ("e", 2500 << 20, "fat:16:", False), ("f", 1, "fat:", True)):
            with open(case.path(name), "wb") as f:
                f.truncate(size)
                f.write(os.urandom(3000))
            done = tool("dump", kind + case.folder, case.image, check=False)
            assert (done.returncode == 0) == fits, (name, done.stderr)
            if fits:
                fsck(case.image)
            else:
                assert b"holds more than fits" in done.stderr, done.stderr
        assert "FAT32" in run("file", "-s", case.image, check=False).stdout.decode() or True
        for name, sentence in (("fat:rw:", "names no folder"), ("fat:/nowhere/at/all", "cannot be opened as a folder"),
                               ("fat:label=much too long a label:" + case.folder, "label"),
                               ("fat:floppy:32:" + case.folder, "none with FAT32")):
            done = run(TOOL, "dump", name, case.image, "0", check=False)
            assert done.returncode and sentence in done.stderr.decode(), done.stderr


def test_partition_table():
    """One partition, to the end of a cylinder, of the type that fits."""
    with Case() as case:
        for kind, number in (("fat:", 6), ("fat:12:", 1), ("fat:32:", 0xc)):
            run(TOOL, "dump", kind + case.folder, case.image, "0")
            with open(case.image, "rb") as f:
                mbr = f.read(512)
            entry = mbr[446:462]
            start, count = (int.from_bytes(entry[i:i + 4], "little") for i in (8, 12))
            assert mbr[510:] == b"\x55\xaa" and entry[4] == number and start == 63
            assert (start + count) * 512 == os.path.getsize(case.image)
            assert (start + count) % ((entry[5] + 1) * (entry[6] & 63)) == 0


def model_operation(rng, model, image, scratch):
    """One change by mtools, and the same in the model."""
    plain = sorted(p for p, text in model.items() if text is not None)
    dirs = [""] + sorted(p for p, text in model.items() if text is None)
    where = rng.choice(dirs)
    name = os.path.join(where, rng.choice(["file %d.text", "F%d.BIN", "Mixed%d.Name", "ümlaut %d"]) % rng.randrange(20))
    folds = {p.lower() for p in model}
    what = rng.choice(["create", "create", "overwrite", "append", "truncate", "rename", "delete", "mkdir", "rmdir", "move"])
    if what in ("create", "overwrite", "append", "truncate"):
        if what == "create":
            if name.lower() in folds:
                return
            text = rng.randbytes(rng.choice([0, 1, 600, 5000, 20000]))
        elif plain:
            name = rng.choice(plain)
            old = model[name]
            text = (rng.randbytes(len(old)) if what == "overwrite" else old + rng.randbytes(3000) if what == "append"
                    else old[:len(old) // 2])
        else:
            return
        with open(scratch, "wb") as f:
            f.write(text)
        run("mcopy", "-D", "o", "-i", image, scratch, "::" + name)
        model[name] = text
    elif what == "delete" and plain:
        name = rng.choice(plain)
        run("mdel", "-i", image, "::" + name)
        del model[name]
    elif what in ("rename", "move") and plain:
        old = rng.choice(plain)
        if what == "rename":
            name = os.path.join(os.path.dirname(old), os.path.basename(name))
        if name.lower() in folds:
            return
        run("mmove" if os.path.dirname(old) != os.path.dirname(name) else "mren", "-i", image, "::" + old, "::" + name)
        model[name] = model.pop(old)
    elif what == "mkdir":
        name = os.path.join(where, "dir %d" % rng.randrange(5))
        if name.lower() not in folds and name.count("/") < 4:
            run("mmd", "-i", image, "::" + name)
            model[name] = None
    elif what == "rmdir" and len(dirs) > 1:
        name = rng.choice(dirs[1:])
        run("mdeltree", "-i", image, "::" + name)
        for path in [p for p in model if p == name or p.startswith(name + "/")]:
            del model[path]


def differences(model, folder):
    now = files(folder)
    return {p for p in set(model) | set(now) if model.get(p, 0) != now.get(p, 0)}


def test_written_back():
    """Random changes by mtools, sectors in any order, compared with a model after each flush; the process is killed."""
    for kind in ("fat:12:rw:", "fat:rw:floppy:", "fat:32:rw:", "fat:rw:"):
        rng = random.Random("%d %s" % (SEED, kind))
        with Case() as case:
            case.put("first file.txt", b"first" * 1000)
            case.put("some folder/second.bin", rng.randbytes(10000))
            model = files(case.folder)
            for turn in range(ROUNDS if "12" in kind or "floppy" in kind else 4):
                case.dump(kind)
                fsck(case.image)
                for _ in range(rng.randrange(1, 25)):
                    model_operation(rng, model, case.image, os.path.join(case.top, "scratch"))
                more = ("kill",) if rng.randrange(2) else ()
                done = tool("apply", kind + case.folder, case.image, rng.randrange(1, 1000), *more)
                assert not differences(model, case.folder), (SEED, kind, turn, differences(model, case.folder), done.stderr)
            case.shown(kind)


def test_writes_are_temporary():
    """Without rw nothing of the host's changes."""
    with Case() as case:
        case.put("file", b"old")
        case.dump("fat:12:")
        run("mdel", "-i", case.image, "::file")
        tool("apply", "fat:12:" + case.folder, case.image, 1)
        assert files(case.folder) == {"file": b"old"}


def test_torn_writes():
    """Some of a change's sectors only: no file that was not changed is lost, and what was written is kept."""
    rng = random.Random(SEED)
    for turn in range(ROUNDS * 2):
        with Case() as case:
            kept = {"keep %d" % i: rng.randbytes(5000) for i in range(5)}
            for name, text in kept.items():
                case.put(name, text)
            case.put("gone/file", b"to be deleted")
            case.dump("fat:12:rw:")
            run("mdeltree", "-i", case.image, "::gone")
            scratch = os.path.join(case.top, "scratch")
            for i in range(4):
                with open(scratch, "wb") as f:
                    f.write(rng.randbytes(30000))
                run("mcopy", "-i", case.image, scratch, "::new file %d" % i)
            done = tool("torn", "fat:12:rw:" + case.folder, case.image, rng.randrange(1, 250))
            now = files(case.folder)
            for name, text in kept.items():
                assert now.get(name) == text, (SEED, turn, name, done.stderr)
            unwritten = [name for name in now if name.startswith("ringer-fat-unwritten")]
            assert ("gone/file" in now or "gone" not in now) or unwritten or b"" == done.stderr
            assert (b"could not be carried" in done.stderr) == bool(unwritten), done.stderr


def test_damage():
    """A file system that makes no sense, or has been made anew: the folder stays, the disk is kept in it."""
    for what in ("fat", "directory", "format", "zeros"):
        with Case() as case:
            for i in range(10):
                case.put("file %d" % i, os.urandom(20000))
            case.put("below/one", b"1")
            before = files(case.folder)
            case.dump("fat:12:rw:")
            with open(case.image, "r+b") as f:
                f.seek({"fat": 512 + 6, "directory": 512 * 30 + 64, "zeros": 512, "format": 0}[what])
                if what == "fat":
                    f.write(os.urandom(30))
                elif what == "zeros":
                    f.write(bytes(4096))
                elif what == "directory":
                    f.seek(os.path.getsize(case.image) // 2)
                    f.seek(512 * (1 + 2 * int.from_bytes(open(case.image, "rb").read(24)[22:24], "little")) + 64)
                    f.write(os.urandom(200))
            if what == "format":
                run("mkfs.fat", "-F", "12", case.image)
            done = tool("apply", "fat:12:rw:" + case.folder, case.image, 1, check=False)
            now = files(case.folder)
            unwritten = [name for name in now if name.startswith("ringer-fat-unwritten")]
            assert len(unwritten) == 1 and b"could not be carried" in done.stderr, (what, done.stderr)
            image = now.pop(unwritten[0])
            assert now == before, what
            with open(case.image, "rb") as f:
                assert image[DISK:] == f.read(), what


def test_in_between():
    """An entry that is gone while its clusters are not: half of a rename, and not what a flush should make of it. Nor
    is a disk that was formatted, in the same shape."""
    for what in ("between", "formatted"):
        with Case() as case:
            case.put("moves", b"moves" * 5000)
            case.put("stays", b"stays")
            before = files(case.folder)
            case.dump("fat:12:rw:")
            with open(case.image, "r+b") as f:
                boot = f.read(512)
                fats = 2 * int.from_bytes(boot[22:24], "little") * 512
                root = int.from_bytes(boot[17:19], "little") * 32
                if what == "between":
                    tables = f.read(fats)
                    run("mdel", "-i", case.image, "::moves")
                    f.seek(512)
                    f.write(tables)
                else:
                    f.seek(39)
                    f.write(b"new!")
                    f.seek(512)
                    f.write((boot[21:22] + b"\xff\xff" + bytes(fats // 2 - 3)) * 2 + bytes(root))
            done = tool("apply", "fat:12:rw:" + case.folder, case.image, 1)
            now = {name: text for name, text in files(case.folder).items() if not name.startswith("ringer-fat")}
            assert now == before and b"could not be carried" in done.stderr, (what, now.keys(), done.stderr)


def test_conflict():
    """What the host changes meanwhile is not written over, nor removed."""
    with Case() as case:
        case.put("both", b"old")
        case.put("removed", b"old")
        case.put("added", b"x")
        name = "fat:12:rw:" + case.folder
        case.dump("fat:12:rw:")
        scratch = os.path.join(case.top, "scratch")
        with open(scratch, "wb") as f:
            f.write(b"guest's")
        run("mcopy", "-D", "o", "-i", case.image, scratch, "::both")
        run("mcopy", "-i", case.image, scratch, "::new")
        run("mdel", "-i", case.image, "::removed")
        child = subprocess.Popen([TOOL, "late", name, case.image, str(DISK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=ENV)
        assert child.stdout.readline() == b"ready\n"
        case.put("both", b"host's")
        case.put("removed", b"host's")
        case.put("new", b"host's")
        told = child.communicate(b"\n")[1]
        assert child.returncode == 0, told
        assert files(case.folder) == {"both": b"host's", "both.guest": b"guest's", "removed": b"host's", "added": b"x",
                                      "new": b"host's", "new.guest-1": b"guest's"}, (files(case.folder), told)


def test_follows():
    """After a reset the folder is shown as it is then."""
    for kind in ("fat:12:", "fat:rw:floppy:"):
        with Case() as case:
            case.put("stays", b"1")
            case.put("changes", b"2")
            case.put("goes", b"3")
            child = subprocess.Popen([TOOL, "follow", kind + case.folder, case.image, str(KINDS_SKIP(kind))],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENV)
            assert child.stdout.readline() == b"ready\n"
            case.put("changes", b"two" * 10000)
            case.put("comes/here", b"4")
            os.unlink(case.path("goes"))
            child.communicate(b"\n")
            assert child.returncode == 0
            fsck(case.image)
            to = os.path.join(case.top, "extracted")
            extract(case.image, to)
            assert files(to) == files(case.folder)


def test_swaps():
    """Names that are exchanged, a folder in place of a file, a file that is saved by way of another name."""
    with Case() as case:
        case.put("A", b"a" * 20000)
        case.put("B", b"b" * 20000)
        case.put("c/inner", b"c")
        case.put("document", b"old" * 5000)
        case.dump("fat:12:rw:")
        scratch = os.path.join(case.top, "scratch")
        with open(scratch, "wb") as f:
            f.write(b"new" * 7000)
        for step in (("mren", "::A", "::T"), ("mren", "::B", "::A"), ("mren", "::T", "::B"), ("mdeltree", "::c"),
                     ("mcopy", scratch, "::c"), ("mcopy", scratch, "::document.tmp"), ("mdel", "::document"),
                     ("mren", "::document.tmp", "::document"), ("mmd", "::d"), ("mmove", "::A", "::d/A")):
            run(step[0], "-i", case.image, *step[1:])
        tool("apply", "fat:12:rw:" + case.folder, case.image, 3, "kill")
        assert files(case.folder) == {"d": None, "d/A": b"b" * 20000, "B": b"a" * 20000, "c": b"new" * 7000,
                                      "document": b"new" * 7000}, files(case.folder).keys()


if __name__ == "__main__":
    print("seed", SEED)
    for name, test in sorted(globals().copy().items()):
        if name.startswith("test_") and (len(sys.argv) < 5 or sys.argv[4] in name):
            test()
            print("ok", name)
