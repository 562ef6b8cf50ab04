#!/bin/sh
# Fetches what a virtual machine needs that has /dev/kvm itself: Debian's amd64 kernel and its modules for KVM on AMD,
# which QEMU's TCG can emulate (-cpu max,+svm). tests/boot/kvm_engine.py runs Ringer in it.
#
#   kvm-host.sh DESTINATION     leaves vmlinuz, NN-MODULE.ko (in the order of loading), package
#
# Called by guests.sh kvm-host, which has prepared apt.
set -eu

dest=$1
mkdir -p "$dest"
tmp=$(mktemp -d "$dest/fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"
package=$(apt-cache depends linux-image-amd64:amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9][^: ]*\).*/\1/p' | head -n 1)
echo "kvm-host: downloading $package" >&2
(cd "$tmp" && apt-get download -qq "$package:amd64") || {
    echo "kvm-host: cannot download $package: check the network and 'apt-get update'" >&2
    exit 1
}
dpkg-deb -x "$tmp"/*.deb "$tmp/x"
number=10
for module in irqbypass ccp kvm kvm-amd; do
    cp "$(find "$tmp/x/lib/modules" -name "$module.ko")" "$dest/$number-$module.ko"
    number=$((number + 1))
done
cp "$tmp"/x/boot/vmlinuz-* "$dest/vmlinuz.part"
mv "$dest/vmlinuz.part" "$dest/vmlinuz"
echo "$package" >"$dest/package"
