#!/bin/sh
# Builds Ringer and boots Debian's i386 kernel to a shell in this terminal. Ctrl-A x ends it.
#
#   demo.sh [RINGER-OPTION...]
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${RINGER_BUILD:-$top/build}

echo "demo: 1/3 packages" >&2
sh "$top/tests/tools/setup.sh" build
echo "demo: 2/3 building ringer in $build" >&2
[ -e "$build/build.ninja" ] || meson setup "$build" "$top" >/dev/null
ninja -C "$build" src/ringer
echo "demo: 3/3 fetching Debian's kernel and busybox" >&2
sh "$top/tests/tools/guests.sh" fetch
cache=$(sh "$top/tests/tools/guests.sh" dir)
echo "demo: booting; 'poweroff -f' or Ctrl-A x ends the guest" >&2
exec "$build/src/ringer" -m 256 -kernel "$cache/vmlinuz-686" -initrd "$cache/initrd.gz" \
    -append "console=ttyS0" -nographic "$@"
