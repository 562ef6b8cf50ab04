#!/bin/sh
# Builds the Debian 12 i386 userland that tests/bench/real.py runs programs of: as a folder, and as an image of a disk.
#
#   real-tree.sh FOLDER     (needs root: debootstrap installs into a chroot)
#
# FOLDER/tree is for the host's chroot, FOLDER/tree.ext4 has the same files for guests. Packages come from the mirror that this
# machine's apt uses.
set -eu

dest=${1:?usage: real-tree.sh FOLDER}

say() {
    echo "real-tree: $*" >&2
}

missing=
for program in debootstrap:debootstrap mke2fs:e2fsprogs; do
    command -v "${program%%:*}" >/dev/null || missing="$missing ${program##*:}"
done
if [ -n "$missing" ]; then
    say "installing$missing"
    # shellcheck disable=SC2086
    apt-get install -qq -y $missing >/dev/null
fi

rm -rf "$dest"
mkdir -p "$dest"
mirror=$(sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list \
    /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -n 1)
say "debootstrap from ${mirror:=http://deb.debian.org/debian} (some minutes)"
proxy=$(apt-config shell P Acquire::http::Proxy | sed "s/^P='\(.*\)'/\1/")
http_proxy=${proxy:-${http_proxy:-}} debootstrap --arch=i386 --variant=minbase \
    --include=gcc,libc6-dev,make,python3,perl,git,sqlite3,openssl,nodejs,lua5.4,xz-utils,bzip2,gzip,tar,stress-ng,bc \
    bookworm "$dest/tree" "$mirror" >"$dest/log" 2>&1 || {
    tail -n 20 "$dest/log" "$dest/tree/debootstrap/debootstrap.log" >&2
    say "debootstrap failed"
    exit 1
}
rm -rf "$dest"/tree/var/cache/apt/archives/*.deb "$dest"/tree/var/lib/apt/lists/* "$dest"/tree/usr/share/doc/* \
    "$dest"/tree/usr/share/locale/* "$dest"/tree/usr/share/man/* "$dest"/tree/dev/*
mkdir "$dest/tree/bench" # real.py's programs and their data are mounted there
echo bench >"$dest/tree/etc/hostname"

say "disk image"
kib=$(du -sk --apparent-size "$dest/tree" | cut -f 1)
mke2fs -q -t ext4 -O ^has_journal -d "$dest/tree" -L real "$dest/tree.ext4" "$((kib * 5 / 4 + 65536))k"

rm -f "$dest/log"
touch "$dest/.complete"
say "$dest is ready"
