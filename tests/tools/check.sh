#!/bin/sh
# Installs what is missing, builds with gcc, clang and the sanitizers, and runs all quick tests.
# The suite 'long' is left out: meson test -C build --suite long. The last line is "N passed, N failed, N skipped".
#
#   check.sh [BUILD-DIRECTORY]   default: build-check
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$top/build-check}
passed=0 failed=0 skipped=0

# What failed is told once more at the end, the names last: who reads only the last lines sees them.
failures() {
    python3 - "$work"/*/meson-logs/testlog.json <<'PY'
import json, os, sys
names = []
for log in filter(os.path.exists, sys.argv[1:]):
    for line in open(log):
        test = json.loads(line)
        if test["result"] not in ("OK", "EXPECTEDFAIL", "SKIP"):
            text = test.get("stdout", "") + test.get("stderr", "")
            names.append("%s of %s" % (test["name"], log.split("/")[-3]))
            print("== %s: %s, after %.0f s\n%s" % (names[-1], test["result"], test["duration"], text[-3000:]))
if names:
    print("== failed: " + ", ".join(names))
PY
}

finish() {
    [ "$failed" = 0 ] || failures
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}
broken() {
    echo "check: $1"
    failed=$((failed + 1))
    finish
}

sh "$top/tests/tools/setup.sh" test || broken "packages could not be installed"
sh "$top/tests/tools/guests.sh" fetch || broken "guests could not be fetched"
sh "$top/tests/tools/guests.sh" debian || broken "Debian's disk could not be built"
sh "$top/tests/tools/guests.sh" kvm-host || broken "the kernel with KVM could not be fetched"
RINGER_CACHE=$(sh "$top/tests/tools/guests.sh" dir)
export RINGER_CACHE

# one NAME CC SUITE-ARGUMENTS MESON-OPTIONS...
one() {
    name=$1 cc=$2 suites=$3
    shift 3
    dir=$work/$name
    echo "== $name: building"
    if [ ! -e "$dir/build.ninja" ]; then
        CC=$cc meson setup "$dir" "$top" "$@" >"$work/$name.setup.log" 2>&1 || {
            cat "$work/$name.setup.log"
            broken "$name: meson setup failed"
        }
    fi
    ninja -C "$dir" >"$work/$name.build.log" 2>&1 || {
        tail -n 60 "$work/$name.build.log"
        broken "$name: the build failed"
    }
    echo "== $name: testing"
    # shellcheck disable=SC2086
    meson test -C "$dir" --no-rebuild --print-errorlogs $suites || true
    counts=$(python3 - "$dir/meson-logs/testlog.json" <<'PY'
import json, sys
ok = bad = skip = 0
for line in open(sys.argv[1]):
    result = json.loads(line)["result"]
    if result in ("OK", "EXPECTEDFAIL"):
        ok += 1
    elif result == "SKIP":
        skip += 1
    else:
        bad += 1
print(ok, bad, skip)
PY
    ) || broken "$name: no test log"
    # shellcheck disable=SC2086
    set -- $counts
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

mkdir -p "$work"
# The other compiler lays memory out otherwise: there, what direct execution promises is to hold as well.
one gcc gcc "--no-suite long"
one clang clang "--suite quick --suite cells" -Dwerror=true
one sanitize gcc "--suite quick" -Db_sanitize=address,undefined -Dbuildtype=debugoptimized
finish
