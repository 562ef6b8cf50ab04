#!/bin/sh
# The newest QEMU that Debian has for this release (bookworm-backports), unpacked into the guest cache beside the installed
# one, not installed. Prints the command that starts it.
set -eu

cache=${RINGER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringer}
dest="$cache/qemu-new"

if [ ! -s "$dest/.complete" ]; then
    mkdir -p "$dest/apt/lists/partial" "$dest/apt/cache/archives/partial" "$dest/debs"
    echo "deb http://deb.debian.org/debian bookworm-backports main
deb http://deb.debian.org/debian bookworm main" >"$dest/apt/sources.list"
    apt="-o Dir::Etc::SourceList=$dest/apt/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$dest/apt/lists
        -o Dir::Cache=$dest/apt/cache -o APT::Architectures::=amd64 -o APT::Architecture=amd64"
    # shellcheck disable=SC2086
    apt-get $apt update -qq >&2
    # What it needs and this machine does not have, and itself.
    # shellcheck disable=SC2086
    packages=$(apt-get $apt install -s -qq --no-install-recommends -t bookworm-backports qemu-system-x86 |
        sed -n 's/^Inst \([^ ]*\).*/\1/p')
    # shellcheck disable=SC2086
    (cd "$dest/debs" && for package in $packages; do apt-get $apt download -qq -t bookworm-backports "$package"; done) >&2
    for deb in "$dest"/debs/*.deb; do
        dpkg-deb -x "$deb" "$dest/root"
    done
    rm -rf "$dest/debs" "$dest/apt"
    cat >"$dest/qemu-system-i386" <<END
#!/bin/sh
LD_LIBRARY_PATH=$dest/root/usr/lib/x86_64-linux-gnu:$dest/root/lib/x86_64-linux-gnu \\
QEMU_MODULE_DIR=$dest/root/usr/lib/x86_64-linux-gnu/qemu \\
exec $dest/root/usr/bin/qemu-system-i386 -L $dest/root/usr/share/qemu -L $dest/root/usr/share/seabios -L $dest/root/usr/lib/ipxe/qemu "\$@"
END
    chmod +x "$dest/qemu-system-i386"
    echo complete >"$dest/.complete"
fi
echo "$dest/qemu-system-i386"
