#!/bin/sh
# What init does in a guest, on the host, for ringer bench: runs the tree's programs in a chroot, as root. native.sh NAMES [quick]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${REAL_OWN_MOUNTS:-}" ]; then
    REAL_OWN_MOUNTS=yes exec unshare --mount --propagation private sh "$0" "$@"
fi
root=$here/tree
mount --bind "$root" "$root"
mount --bind "$here/programs" "$root/bench"
mount -o remount,bind,ro "$root/bench"
mount -t tmpfs tmp "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec env -i /usr/sbin/chroot "$root" /bin/bash /bench/serve "$@"
