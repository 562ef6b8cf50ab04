#!/bin/sh
# Installs the Debian packages that building and testing need; quick when nothing is missing.
#
#   setup.sh build|test
set -eu

build="gcc pkg-config meson ninja-build python3 acpica-tools libc6-dev libglib2.0-dev libzydis-dev
       libcapstone-dev zlib1g-dev libzstd-dev libpng-dev libncurses-dev libseccomp-dev libjansson-dev libslirp-dev libsdl2-dev
       libsamplerate0-dev libvncserver-dev libusb-1.0-0-dev cpio"
test="clang clang-format gcc-multilib libclang-rt-14-dev qemu-system-x86 qemu-utils gdb seabios
      linux-libc-dev procps e2fsprogs fdisk debootstrap grub-common grub-pc-bin mtools dosfstools make flex bison bc xz-utils bochs bochs-sdl
      ipxe-qemu iproute2 openssh-client tcpdump xvfb openbox xdotool wmctrl imagemagick xclip
      tigervnc-viewer novnc chromium chromium-driver openssl samba smbclient pulseaudio pulseaudio-utils"

case ${1:-build} in
build) want=$build ;;
test) want="$build $test" ;;
*)
    echo "usage: setup.sh build|test" >&2
    exit 2
    ;;
esac

missing=
for package in $want; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
fi
echo "setup: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq || echo "setup: some package lists could not be updated, going on" >&2
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null || {
    echo "setup: apt-get could not install:$missing" >&2
    exit 1
}
