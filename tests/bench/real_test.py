#!/usr/bin/env python3
"""What real.py adds up and judges, without a guest: CPU seconds of processes, ratios, targets, its programs' syntax."""
import os
import subprocess
import sys
import time

import real

failures = 0


def check(good, what):
    global failures
    if not good:
        failures += 1
        print("FAIL: " + what)


BURN = "import time\ndef burn(s):\n    while time.process_time() < s: pass\n"
# A thread that has ended, a child that has been waited for, one that lives on: each with 0.2 s and more behind it.
FAMILY = BURN + """import subprocess, sys, threading
t = threading.Thread(target=burn, args=(0.2,))
t.start()
t.join()
code = sys.argv[1]
subprocess.run([sys.executable, "-c", code + "burn(0.2)"], check=True)
child = subprocess.Popen([sys.executable, "-c", code + "burn(0.2)\\nprint('there', flush=True)\\nimport sys; sys.stdin.read()"], stdin=subprocess.PIPE)
sys.stdin.read()
"""


def cpu_seconds():
    with subprocess.Popen([sys.executable, "-c", FAMILY, BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        pids = [process.pid] + real.children_of(process.pid)
        got = real.cpu_seconds(process.pid)
        own = time.clock_gettime(~process.pid << 3 | 2)
        process.stdin.close()
    check(len(pids) == 2, "it and the child that lives are seen: %s" % pids)
    # Ends of children are told in ticks of 10 ms.
    check(got >= 0.58, "thread, both children: %.3f s" % got)
    check(got >= own + 0.38, "children are more than the process: %.3f and %.3f s" % (got, own))


def ratios():
    result = {"samples": {("native", "true"): [(1, 0.5), (9, 0.1), (1, 0.4)], ("direct", "true"): [(3, 2.0), (3, 0.8), (2, 0.8)]}}
    check(real.ratio_of(result, "direct", "true") == 2, "CPU seconds of medians: %s" % real.ratio_of(result, "direct", "true"))
    check(real.ratio_of(result, "direct", "true", 0) == 3, "wall seconds of medians")
    check(real.ratio_of(result, "bt", "true") is None, "nothing of what was not measured")
    check(abs(real.geometric_mean([1, 4, 16]) - 4) < 1e-9, "geometric mean")


def targets():
    def missed(**ratios):
        return real.judge({engine.replace("_", "-"): of for engine, of in ratios.items()})
    check(not missed(direct={"true": 5.0}, qemu={"true": 15.1}, qemu_new={"true": 20}), "all met")
    check("true: 5.10" in " ".join(missed(direct={"true": 5.1})), "a target of its own")
    check("better QEMU 4.00" in " ".join(missed(direct={"true": 4.1}, qemu={"true": 9}, qemu_new={"true": 4.0})), "slower than QEMU")
    check("2.5 times as fast" in " ".join(missed(direct={"true": 4.0}, qemu={"true": 10}, qemu_new={"true": 11})), "not thrice as fast")
    check(not missed(direct={"true": 4.0}, qemu={"true": 6}), "QEMU is near native itself")
    every = dict.fromkeys(real.PROGRAMS, 1.0)
    check(not missed(direct=every), "all programs at native speed")
    every.update(git=5.5)
    check("the worst, git" in " ".join(missed(direct=every)), "the worst")
    every = dict.fromkeys(real.PROGRAMS, 1.9)
    check("geometric mean: 1.90" in " ".join(missed(direct=every)), "the mean")
    every.pop("git")
    check("geometric mean" not in " ".join(missed(direct=every)), "some programs have no mean to be judged")


def where():
    text = real.where_text({"guest": {"group": "GUEST", "count": 7, "s": 3.0}, "idle": {"group": "IDLE", "count": 1, "s": 99},
                            "irq": {"group": "EVENTS", "count": 5, "s": 0}, "translate": {"group": "TRANSLATE", "count": 2, "s": 1.0}})
    check(text == "4.00 s: guest 75 % (7), translate 25 % (2)", "shares without idle time: " + text)


def programs():
    check(len(real.PROGRAMS) >= 24, "at least 24")
    for name, (often, before, target, text, prepare) in real.PROGRAMS.items():
        check(often >= before >= 1 and (target is None or target > 1), name + ": numbers")
        done = subprocess.run(["bash", "-n"], input=real.HEAD + text + "\n" + prepare, capture_output=True, text=True, check=False)
        check(done.returncode == 0, "%s: %s" % (name, done.stderr))
    listed = subprocess.run([sys.executable, os.path.join(real.HERE, "real.py"), "--list"], capture_output=True, text=True, check=True)
    check([line.split()[0] for line in listed.stdout.splitlines()] == list(real.PROGRAMS), "--list names all")


for test in (cpu_seconds, ratios, targets, where, programs):
    test()
sys.exit(1 if failures else 0)
