#!/usr/bin/env python3
"""ringer bench from outside: its figures are there and plausible, its report is well-formed, a guest that lies is
found out, a missed target is named.

    bench.py RINGER nano|qemu|bochs|linux|real|liars|refusals
"""
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

CACHE = os.environ.get("RINGER_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ringer")

# Cycles that no engine can need fewer, or more, for one operation. A CALL and its RET are at least one.
NANO_LEAST, NANO_MOST = 0.5, 20e6
NANO = ["syscall_int", "syscall_sysenter", "in", "out", "cr3_write", "call_ret", "call_indirect", "page_fault",
        "page_fault_hidden", "page_fault_demand", "divide_error", "pte_modify", "invlpg", "page_remap",
        "context_switch", "rdtsc", "hlt_wake", "irq_busy"]
OS = ["syscall", "syscall_int80", "pipe", "fork", "exec", "fault", "signal", "file"]
COMPUTE = ["fib", "qsort", "integer", "matrix", "list", "interpreter", "memcpy", "virtual", "trig"]

failures = 0


def check(good, what):
    global failures
    if not good:
        failures += 1
        print("FAIL: " + what)


class Run:
    """One run of bench: status, out, err, and what it wrote."""

    def __init__(self, ringer, *arguments):
        with tempfile.TemporaryDirectory(prefix="bench-test.") as folder:
            files = [os.path.join(folder, name) for name in ("json", "html")]
            done = subprocess.run([ringer, "bench", "--json", files[0], "--html", files[1]] + list(arguments),
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=500)
            self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
            self.json = self.html = None
            if os.path.exists(files[0]):
                with open(files[0], encoding="utf-8") as f:
                    self.json = json.load(f)
                with open(files[1], encoding="utf-8") as f:
                    self.html = f.read()

    def complains(self, text):
        return any(text in sentence for sentence in self.json["complaints"])


def check_values(run, engine, names, least, most):
    for name in names:
        figure = run.json["figures"].get(name)
        check(figure is not None, "%s is in the JSON" % name)
        if not figure:
            continue
        values = figure["engines"].get(engine)
        check(values is not None, "%s has %s" % (name, engine))
        if not values:
            continue
        check(least <= values["median"] <= most, "%s, %s: %r is plausible" % (name, engine, values["median"]))
        check(values["least"] <= values["median"] <= values["most"], "%s, %s: order" % (name, engine))
        check(len(values["values"]) >= 1, "%s, %s: values" % (name, engine))


def check_html(run, words):
    root = xml.etree.ElementTree.fromstring(run.html)
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    check(tags.count("svg") >= 1, "the report has a chart")
    check(not {"script", "link", "img", "iframe"} & set(tags), "the report needs nothing from elsewhere")
    text = " ".join(root.itertext())
    for word in words:
        check(word in text, "the report says '%s'" % word)


def nano(ringer):
    run = Run(ringer, "--quick", "--only", "nano", "--engines", "bt,interp", "--rounds", "1")
    check(run.status == 0, "status %d: %s" % (run.status, run.err))
    for engine in ("bt", "interp"):
        check(run.json["engines"][engine].get("message", "").startswith("engine " + engine), engine + " ran")
        timed = [name for name in NANO if name not in ("hlt_wake", "irq_busy")]
        check_values(run, engine, timed, NANO_LEAST, NANO_MOST)
        # A timer is never early by more than its own tick; how late it is, the host decides.
        check_values(run, engine, ["hlt_wake", "irq_busy"], -10000, 1e9)
    # Translated, a call is not interpreted; a store to a page table does not leave the code.
    at = {name: run.json["figures"][name]["engines"] for name in ("call_ret", "pte_modify")}
    for name, engines in at.items():
        check(engines["bt"]["least"] < engines["interp"]["least"], "%s: bt is faster than interp" % name)
    check(run.json["figures"]["page_fault"]["published"]["software_vmm"] == 3927, "published figures are there")
    check_html(run, ["ASPLOS 2006", "divide error", "Targets"])
    check("2006" in run.out and "INVLPG" in run.out, "the table is on the terminal")


def qemu(ringer):
    """The nano kernel itself is right if QEMU runs it."""
    run = Run(ringer, "--quick", "--only", "nano", "--engines", "tcg", "--rounds", "1")
    if "not installed" in run.err:
        print("SKIP: " + run.err.strip())
        sys.exit(77)
    check(run.status == 0, "status %d: %s" % (run.status, run.err))
    check_values(run, "tcg", NANO[:-2], NANO_LEAST, NANO_MOST)


def bochs(ringer):
    """Its counter counts instructions: what is reported must come from the host's clock."""
    run = Run(ringer, "--only", "nano", "--engines", "bochs", "--rounds", "1")
    if "not installed" in run.err:
        print("SKIP: " + run.err.strip())
        sys.exit(77)
    check(run.status == 0, "status %d: %s" % (run.status, run.err))
    check_values(run, "bochs", [name for name in NANO[:-2] if not name.startswith("page_fault_")], 10, NANO_MOST)
    check(run.complains("time-stamp counter counts"), "its counter is named: %s" % run.json["complaints"])


def linux(ringer):
    if not os.path.exists(os.path.join(CACHE, "vmlinuz-686")):
        print("SKIP: there is no vmlinuz-686 in %s; fetch guests with tests/tools/guests.sh" % CACHE)
        sys.exit(77)
    run = Run(ringer, "--quick", "--only", "linux", "--engines", "bt", "--rounds", "1")
    check(run.status == 0, "status %d: %s" % (run.status, run.err))
    for engine in ("native", "bt"):
        check_values(run, engine, OS + COMPUTE, 10, 1e9)
    check_values(run, "bt", ["boot"], 1e8, 300e9)
    check(not run.complains("computed"), "the same results in the guest: %s" % run.json["complaints"])
    check(run.json["compute_geomean"]["native"] == 1, "native is 1")
    check(0.2 < run.json["compute_geomean"]["bt"] < 5, "computing: %r" % run.json["compute_geomean"])
    for what in ("boot", "system", "computing"):
        time = run.json["time"]["bt"][what]
        total = sum(row["ns"] for row in time["rows"])
        check(0.9 < total / time["wall_ns"] < 1.1, "times of %s sum up" % what)
        check(any(row["name"] == "guest" and row["ns"] > 0 for row in time["rows"]), what + ": guest code takes time")
    check_html(run, ["pipe ping-pong", "Where the time goes", "geometric mean"])


# Plays ringer: says that it is the engine asked for, then prints lines as a guest would.
FAKE = """#!/usr/bin/env python3
import sys, time
if "-help" in sys.argv:
    sys.exit()
print("ringer: engine %%s (fake)" %% sys.argv[sys.argv.index("-accel") + 1], file=sys.stderr, flush=True)
if "-S" in sys.argv:
    time.sleep(60)
def say(*words):
    print(*words, flush=True)
%s
"""


def fake(folder, body):
    path = os.path.join(folder, "ringer")
    with open(path, "w", encoding="utf-8") as f:
        f.write(FAKE % body)
    os.chmod(path, 0o755)
    return path


def liars(ringer):
    with tempfile.TemporaryDirectory(prefix="bench-test.") as folder:
        def run(body, *arguments):
            return Run(ringer, "--ringer", fake(folder, body), "--engines", "bt", "--rounds", "1", *arguments)

        # A counter that hardly counts: 1000 operations, 16 ticks each by it, in half a second of the host's.
        lie = ("for i in range(3): say('@sample in 3e8 3e80')\n"
               "say('@begin in'); time.sleep(0.5); say('@end in 3e8 3e80')\n"
               "say('@sample page_fault_hidden 10 100')\nsay('@done')")
        r = run(lie, "--only", "nano")
        check(r.status == 0, "a liar does not end it: %s" % r.err)
        check(r.complains("time-stamp counter counts"), "a counter that lies is named: %s" % r.json["complaints"])
        took = r.json["figures"]["in"]["engines"]["bt"]["median"] * 1000 / (r.json["tsc_ghz"] * 1e9)
        check(0.4 < took < 3, "its cycles are the host's: %f s" % took)
        check("page_fault_hidden" not in r.json["figures"], "what cannot be checked is left out")
        check("time-stamp counter" in r.out and "time-stamp counter" in r.html, "reports say so")

        # Missed and met targets; 1 only if asked to check.
        slow = "say('@sample in 1 12d'); say('@sample out 1 12c'); say('@done')"  # 301 and 300 cycles
        check(run(slow, "--only", "nano").status == 0, "no --check, no status")
        r = run(slow, "--only", "nano", "--check")
        check(r.status == 1, "a missed target: status %d" % r.status)
        check("MISSED bt, IN from a device register: 301.00" in r.out, "it is named: %s" % r.out)
        check("met    bt, OUT to a device register: 300.00" in r.out, "so is what was met: %s" % r.out)
        r = run(slow.replace("12d", "12c"), "--only", "nano", "--check")
        check(r.status == 0, "all met: status %d" % r.status)

        # A clock that runs at half the speed, and a wrong result.
        clock = ("say('@booted'); say('@clock 0 0'); say('@batch fib 1 5f5e100 1 bad')\n"
                 "time.sleep(1); say('@clock 1dcd6500 0'); say('@done')")
        r = run(clock, "--only", "linux", "--kernel", "/dev/null", "--figures", "fib", "--quick")
        check(r.complains("its clock is wrong: fib took 0.500 s"), "a clock that lies: %s" % r.json["complaints"])
        check(r.complains("fib computed 00000bad"), "a wrong result: %s" % r.json["complaints"])

        # A counter that stands while the clock is right.
        r = run(clock.replace("1dcd6500", "3b9aca00"), "--only", "linux", "--kernel", "/dev/null", "--figures", "fib",
                "--quick")
        check(r.complains("its time-stamp counter is wrong"), "a counter that stands: %s" % r.json["complaints"])
        check(not r.complains("its clock is wrong"), "and the clock is right: %s" % r.json["complaints"])

        # Ends, hangs, fails.
        r = run("say('@sample in 1 1')", "--only", "nano")
        check(r.status == 2 and "ended too early" in r.err, "an end too early: %s" % r.err)
        r = run("say('@fail mount 13')", "--only", "linux", "--kernel", "/dev/null")
        check(r.status == 2 and "could not go on: mount 13" in r.err, "a failure inside: %s" % r.err)
        r = run("say('@sample nonsense 1 1'); say('@done')", "--only", "nano")
        check(r.status == 2 and "makes no sense" in r.err, "nonsense: %s" % r.err)


# What a tree's programs print, natively and in a guest: how long git takes, the checksum of outputs.
TREE = """say('@ready')
for name, seconds in (("git", %s), ("true", 0.1)):
    say('@begin ' + name)
    time.sleep(seconds)
    say('@end 0 ')
    say('what it printed, without a line end@output')
    say('%s  -')
say('@done')
"""


def real(ringer):
    """Against a tree and a guest that are fakes: the times between the marks are taken, differences told."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
    import real as script
    with tempfile.TemporaryDirectory(prefix="bench-test.") as folder:
        tree = os.path.join(folder, "real-i386")
        os.mkdir(tree)
        for path in ("vmlinuz-686", "real-i386/tree.ext4", "real-i386/programs.ext4", "real-i386/initrd"):
            with open(os.path.join(folder, path), "w", encoding="utf-8"):
                pass
        with open(os.path.join(tree, "native.py"), "w", encoding="utf-8") as f:
            f.write("import time\ndef say(*words):\n    print(*words, flush=True)\n" + TREE % (0.1, "0badcafe" * 4))
        with open(os.path.join(tree, "native.sh"), "w", encoding="utf-8") as f:
            f.write('[ "$*" = "all quick" ] && exec python3 "${0%.sh}.py"\n')
        os.environ["RINGER_CACHE"] = folder

        def run(body):
            return Run(ringer, "--ringer", fake(folder, body), "--engines", "bt", "--only", "real", "--quick")

        r = run(TREE % (0.5, "0badcafe" * 4))
        check(r.status == 0, "status %d: %s" % (r.status, r.err))
        took = r.json["figures"]["real_git"]["engines"]["bt"]["median"]
        check(took >= 0.49e9, "the time between its marks: %r" % took)
        if os.geteuid() == 0:
            native = r.json["figures"]["real_git"]["engines"]["native"]["median"]
            check(abs(r.json["figures"]["real_git"]["engines"]["bt"]["of_native"] * native / took - 1) < 1e-6, "of native time")
            check(not r.complains("computed"), "the same results: %s" % r.json["complaints"])
            r = run(TREE % (0, "1badcafe" * 4))
            check(r.complains("bt: real_git computed 1badcafe"), "another result is told: %s" % r.json["complaints"])
        else:
            check(r.complains("which only root may make"), "native runs need root: %s" % r.json["complaints"])
        r = run((TREE % (0, "0badcafe" * 4)).replace("@end 0", "@end 3"))
        check(r.complains("bt: git: 800 files ended with status 3"), "a program that fails: %s" % r.json["complaints"])
        check("bt" not in r.json["figures"].get("real_git", {"engines": {}})["engines"], "and has no time")
        r = run("say('@failed mount')")
        check(r.status == 2 and "stopped: @failed mount" in r.err, "a guest that cannot start them: %s" % r.err)
        # The rows and their limits are the script's.
        every = "".join("say('@begin %s'); say('@end 0 '); say('@output'); say('0badcafe'); " % name for name in script.PROGRAMS)
        r = run(every + "say('@done')")
        check(not r.complains("none that this program knows of"), "all of real.py's rows: %s" % r.json["complaints"])
        for name, row in script.PROGRAMS.items():
            check("real_" + name in r.json["figures"], name + " is a row here")
        if os.geteuid() == 0:
            limits = {t["title"]: t["limit"] for t in r.json["targets"]}
            for name in ("git", "true"):
                check(limits[r.json["figures"]["real_" + name]["title"]] == script.PROGRAMS[name][2], name + ": the script's limit")


def refusals(ringer):
    def sentence(text, *arguments):
        r = Run(ringer, *arguments)
        check(r.status == 2, "%s: status %d" % (arguments, r.status))
        check(text in r.err and r.err.count("\n") == 1, "%s: %s" % (arguments, r.err))

    sentence("there is no 'warp'; choose from", "--engines", "bt,warp")
    sentence("there is no kernel /nowhere/vmlinuz; give one with --kernel FILE", "--kernel", "/nowhere/vmlinuz",
             "--engines", "bt")
    sentence("--rounds must be from 1 to 1000", "--rounds", "-1")
    sentence("--only: 'all' is neither nano nor linux nor real", "--only", "all")
    sentence("there is no tree.ext4 in /nowhere; make it with 'sh tests/tools/guests.sh real'", "--only", "real", "--tree", "/nowhere")
    sentence("'frob' is not understood", "frob")
    sentence("--figures: there is no 'walk'", "--figures", "pipe,walk", "--engines", "bt")
    sentence("--cpu: 4000", "--cpu", "4000", "--engines", "bt")


if __name__ == "__main__":
    {"nano": nano, "qemu": qemu, "bochs": bochs, "linux": linux, "real": real, "liars": liars, "refusals": refusals}[sys.argv[2]](sys.argv[1])
    sys.exit(1 if failures else 0)
