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
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs dev "$root/dev"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir -m 1777 "$root/dev/shm"
mount -o remount,bind,ro "$root"
exec env -i /usr/sbin/chroot "$root" /bin/bash /bench/serve "$@"
